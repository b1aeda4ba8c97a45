"""Entries of Postfix's master.cf and of mynetworks, in each of their forms."""

from __future__ import annotations

import pytest

from .test_listen_postfix import MAIN, MASTER, changed, notes, refusal, sockets


@pytest.mark.parametrize("entry", ["fe80::/10", "::1", "2001:db8::/32"])
def test_an_ipv6_network_without_brackets_is_refused(entry: str) -> None:
    said = refusal(f"mynetworks = 127.0.0.0/8 {entry}\n")
    assert said.startswith(f"{MAIN}:1:26: `{entry}` of mynetworks has no brackets, so smtpd dies for every client; wr")


@pytest.mark.parametrize("port", [1, 993, 8025, 65535])
def test_an_entry_may_have_any_port(port: int) -> None:
    assert sockets("", f"{port} inet n - y - - smtpd\n") == [(port, "0.0.0.0"), (port, "::")]


@pytest.mark.parametrize(
    ("service", "port"),
    [
        *(("smtp", 25), ("mail", 25), ("smtps", 465), ("ssmtp", 465), ("submissions", 465), ("urd", 465)),
        *(("submission", 587), ("qmtp", 209), ("qmqp", 628)),
    ],
)
def test_services_that_are_known_by_name(service: str, port: int) -> None:
    assert sockets("inet_protocols = ipv4\n", f"{service} inet n - y - - smtpd\n") == [(port, "0.0.0.0")]


@pytest.mark.parametrize("port", ["0", "65536", "2five", "123456"])
def test_what_begins_like_a_port_and_is_none_is_refused(port: str) -> None:
    said = f"{MASTER}:1:1: `{port}` is not a port from 1 to 65535"
    assert refusal("", f"{port} inet n - y - - smtpd\n") == said


@pytest.mark.parametrize("fields", range(1, 8))
def test_an_entry_that_is_too_short_is_refused(fields: int) -> None:
    entry = " ".join("smtp inet n - y - - smtpd".split()[:fields])
    assert refusal("", f"# c\n{entry}\n") == f"{MASTER}:2:1: an entry of {fields} fields; it needs 8"


def test_names_of_types_are_compared_without_their_case() -> None:
    for pattern in ("SMTP/inet", "Inet", "smtp.INET"):
        assert sockets(f"master_service_disable = {pattern}\n") == []


@pytest.mark.parametrize(
    ("entry", "better"),
    [
        ("127.0.0.1/8", "127.0.0.0/8"),
        ("192.0.2.9/24", "192.0.2.0/24"),
        ("!192.0.2.9/24", "!192.0.2.0/24"),
        ("[2001:db8::1]/32", "[2001:db8::]/32"),
    ],
)
def test_a_network_with_bits_beyond_its_length_is_reported(entry: str, better: str) -> None:
    (note,) = notes(f"mynetworks = [::1]/128 {entry}\n")
    assert note == f"{MAIN}:1: `{entry}` of mynetworks makes Postfix defer mail; write `{better}`"


@pytest.mark.parametrize("entry", ["/etc/networks", "cidr:/etc/networks", "!hash:/etc/networks", "[x", "192.0.2.0/33"])
def test_what_is_no_network_is_left_as_it_is(entry: str) -> None:
    text = f"mynetworks = [::1]/128 {entry}\n"
    assert (changed(text), notes(text)) == (text, [])


def test_tables_that_may_know_the_loopback_are_named() -> None:
    for entry in ("/etc/networks", "cidr:/etc/networks", "!/etc/networks"):
        (note,) = notes(f"mynetworks = 192.0.2.0/24 {entry}\n")
        assert note == f"{MAIN}:1: mynetworks refers to files or tables: they need ::1 where they have 127.0.0.1"
