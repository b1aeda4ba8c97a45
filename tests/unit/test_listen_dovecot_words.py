"""The words of Dovecot's grammar, one by one: its listeners, its protocols, its blocks."""

from __future__ import annotations

import pytest

from .test_listen_dovecot import BOTH, VERSION, block, notes, one, sockets


def test_a_listener_that_is_no_inet_listener_has_no_port() -> None:
    text = VERSION + "protocols = lmtp\nservice lmtp {\n  unix_listener lmtp {\n    mode = 0666\n  }\n}\n"
    assert sockets(text) == []
    assert sockets(text.replace("unix_", "inet_").replace("    mode = 0666\n", "")) == [(24, "0.0.0.0"), (24, "::")]


def test_a_named_group_of_settings_is_a_block() -> None:
    text = VERSION + "protocols = imap\ngroup @defaults strict {\n  listen = *\n}\n"
    assert one(text) == text
    assert sockets(text) == BOTH


def test_an_empty_text_in_quotes_is_a_value() -> None:
    text = 'login_greeting = "" \\\n  and more\nlisten = *\n'
    assert one(text) == text.replace("*", "*, [::]")


def test_an_empty_list_of_addresses_is_no_address() -> None:
    for text in ("listen =\n", "service anvil {\n}\nlisten =\n", VERSION + "protocols = imap\nlisten =\n"):
        assert sockets(text) == []
        assert one(text) == text


@pytest.mark.parametrize(
    ("service", "name", "port"),
    [
        *(("imap-login", "imap", 143), ("imap-login", "imaps", 993), ("pop3-login", "pop3", 110)),
        *(("pop3-login", "pop3s", 995), ("submission-login", "submission", 587), ("managesieve-login", "sieve", 4190)),
    ],
)
def test_each_listener_can_have_an_address_of_its_own(service: str, name: str, port: int) -> None:
    text = "protocols = imap pop3 submission sieve\n" + block("address = 192.0.2.1", service=service, name=name)
    assert [each for each in sockets(text) if each[1] not in ("0.0.0.0", "::")] == [(port, "192.0.2.1")]
    assert port not in [each for each, address in sockets(text) if address == "::"]


@pytest.mark.parametrize(("word", "yes"), [("yes", True), ("Y", True), ("1", True), ("no", False), ("true", False)])
def test_words_for_yes(word: str, yes: bool) -> None:
    text = "protocols = none\n" + block("port = 1", f"ssl = {word}", service="auth", name="x") + "ssl = no\n"
    assert (sockets(text) == []) is yes
    assert (sockets(f"{VERSION}protocols {{\n  imap = {word}\n}}\n") == BOTH) is yes


def test_protocols_of_dovecot_1() -> None:
    def own(protocol: str, *lines: str) -> list[tuple[int | None, str]]:
        found = sockets("\n".join([f"protocol {protocol} {{", *lines, "}", ""]))
        return [each for each in found if each[1] not in ("0.0.0.0", "::")]

    assert own("imap", "listen = 192.0.2.1") == [(143, "192.0.2.1")]
    assert own("imap", "ssl_listen = 192.0.2.1") == [(993, "192.0.2.1")]
    assert own("pop3", "listen = 192.0.2.1", "ssl_listen = 192.0.2.2") == [(110, "192.0.2.1"), (995, "192.0.2.2")]
    assert own("!imap", "listen = 192.0.2.1") == [(110, "192.0.2.1")]
    sieve = "protocols = sieve\nprotocol {} {{\n  listen = 192.0.2.1\n  ssl_listen = 192.0.2.2\n}}\n"
    for name in ("sieve", "managesieve"):
        assert sockets(sieve.format(name)) == [(4190, "192.0.2.1")]


def test_submissions_of_2_4_is_of_tls() -> None:
    text = VERSION + "protocols = submission\n"
    own = block("listen = 192.0.2.1", service="submission-login", name="submissions")
    assert sockets(text + own) == [(587, "0.0.0.0"), (587, "::"), (465, "192.0.2.1")]
    assert sockets(f"{text}ssl = no\n{own}") == [(587, "0.0.0.0"), (587, "::")]


def test_blocks_inside_of_a_protocol_do_not_listen() -> None:
    text = "protocol imap {\n  local 192.0.2.1 {\n    listen = *\n  }\n}\n"
    assert one(text) == text
    assert sockets(text)[:4] == BOTH


def test_what_needs_no_tls_listens_without_it() -> None:
    text = "protocols = imap pop3 submission sieve\nssl = no\n"
    assert sorted({port or 0 for port, _ in sockets(text)}) == [110, 143, 587, 4190]


@pytest.mark.parametrize(("port", "known"), [("1", 1), ("65535", 65535), ("65536", None), ("100000", None)])
def test_the_limits_of_a_port(port: str, known: int | None) -> None:
    text = "protocols = none\n" + block(f"port = {port}", service="auth", name="x")
    assert sockets(text) == [(known, "0.0.0.0"), (known, "::")]


def test_what_is_widened_without_a_port_needs_no_note() -> None:
    assert notes("listen = *\n") == notes("service anvil {\n}\nlisten = *\n") == []


@pytest.mark.parametrize(
    ("service", "protocol"),
    [
        *(("imap-login", "imap"), ("pop3-login", "pop3"), ("submission-login", "submission")),
        *(("managesieve-login", "sieve"), ("lmtp", "lmtp")),
    ],
)
def test_another_listener_of_a_service_needs_its_protocol(service: str, protocol: str) -> None:
    other = block("port = 10000", service=service, name="other")
    assert (10000, "::") in sockets(f"protocols = {protocol}\n{other}")
    assert sockets(f"protocols = none\n{other}") == []
    by_its_own_word = other.replace("{\n", "{\n  protocol = x\n", 1)
    assert sockets(f"protocols = x\n{by_its_own_word}")[-1:] == [(10000, "::")]
