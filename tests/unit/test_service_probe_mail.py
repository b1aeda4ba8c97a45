"""Probes of mail servers, FTP and XMPP, against small servers that speak what the documents say."""

from __future__ import annotations

import select
import socket
import ssl
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import _dualstack_service_compare as service_compare
import _dualstack_service_probe_stream as service_probe_stream
import pytest

from .servers import WAIT, Serve, certificate, converses, probe, says, silent

SMTP = {
    "EHLO": "250-mail.example.org\r\n250-STARTTLS\r\n250-XCLIENT NAME ADDR\r\n250-size 1000\r\n250 8BITMIME\r\n",
    "STARTTLS": "220 ready\r\nTLS",
    "QUIT": "221 bye\r\n",
}
IMAP = {
    "a CAPABILITY": "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK done\r\n",
    "a STARTTLS": "a OK begin\r\nTLS",
    "a LOGOUT": "* BYE bye\r\na OK bye\r\n",
}
POP3 = {"CAPA": "+OK list\r\nSTLS\r\nTOP\r\n.\r\n", "STLS": "+OK begin\r\nTLS", "QUIT": "+OK bye\r\n"}
FTP = {"AUTH TLS": "234 begin\r\nTLS", "QUIT": "221 bye\r\n"}
GOOD: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "smtp": (
        "220-mail.example.org\r\n220 at 27 Nov 2026 14:00:00\r\n",
        SMTP,
        ["EHLO", "STARTTLS", "TLS", "EHLO", "QUIT"],
    ),
    "imap": (
        "* OK [CAPABILITY IMAP4rev1] ready at 10:00:00\r\n",
        IMAP,
        ["a CAPABILITY", "a STARTTLS", "TLS", "a CAPABILITY", "a LOGOUT"],
    ),
    "pop3": ("+OK ready <1.2@x>\r\n", POP3, ["CAPA", "STLS", "TLS", "CAPA", "QUIT"]),
    "ftp": ("220-one\r\n 221 two\r\n220 three\r\n", FTP, ["AUTH TLS", "TLS", "QUIT"]),
}


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return certificate(tmp_path_factory.mktemp("tls") / "server.pem", "*.example.org")


@pytest.mark.parametrize("protocol", GOOD)
def test_a_whole_conversation(
    serve: Serve, valid: ssl.SSLContext, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_probe_stream, "PARTING", 2.0)  # which is not waited for after the last words
    greeting, answers, spoken = GOOD[protocol]
    heard: list[bytes] = []
    found = probe("127.0.0.1", serve(converses(heard, greeting, answers, valid)), protocol, name="mail.example.org")
    assert (found["answers"], found["error"], found["reason"]) == (True, "", "")
    assert found["seconds"] < 2
    words = [each.decode().strip() for each in heard]
    assert [word for word, start in zip(words, spoken, strict=True) if word.startswith(start)] == words
    look = found["look"]
    assert look["starttls"] == "offered" and look["certificate"]["fits"] and "broken" not in look
    facts: dict[str, dict[str, Any]] = {
        "smtp": {
            "greeting": "mail.example.org at",
            "code": 220,
            "capabilities": ["8BITMIME", "SIZE 1000", "STARTTLS"],
        },
        "imap": {"greeting": "OK ready at", "capabilities": ["IMAP4REV1", "STARTTLS"]},
        "pop3": {"greeting": "+OK ready", "capabilities": ["STLS", "TOP"]},
        "ftp": {"greeting": "one 221 two three"},
    }
    assert {key: look[key] for key in facts[protocol]} == facts[protocol]


def test_a_client_says_its_address(serve: Serve) -> None:
    for address, words in (("127.0.0.1", b"EHLO [127.0.0.1]\r\n"), ("::1", b"EHLO [IPv6:::1]\r\n")):
        heard: list[bytes] = []
        port = serve(converses(heard, "220 x\r\n", {"EHLO": "250 x\r\n", "QUIT": "221 x\r\n"}), None, address)
        assert probe(address, port, "smtp")["look"]["starttls"] == ""
        assert heard == [words, b"QUIT\r\n"]


@pytest.mark.parametrize(
    ("protocol", "asked", "answer", "said"),
    [
        ("smtp", "STARTTLS", "454 TLS not available\r\n", "offered, fails: 454 TLS not available"),
        ("imap", "a STARTTLS", "a NO not now\r\n", "offered, fails: a NO not now"),
        ("pop3", "STLS", "-ERR not now\r\n", "offered, fails: -ERR not now"),
        ("smtp", "STARTTLS", "220 ready\r\n250 more\r\n", "offered, fails: says something before the TLS handshake"),
        ("smtp", "STARTTLS", "220 ready\r\n", "offered, fails: closed the connection in the TLS handshake"),
    ],
)
def test_starttls_that_fails(serve: Serve, protocol: str, asked: str, answer: str, said: str) -> None:
    greeting, answers, _ = GOOD[protocol]
    found = probe("127.0.0.1", serve(converses([], greeting, {**answers, asked: answer})), protocol)
    assert found["answers"] and found["look"]["starttls"] == said and "certificate" not in found["look"]


def test_starttls_that_refuses_the_name(serve: Serve, valid: ssl.SSLContext, tmp_path: Path) -> None:
    picky = certificate(tmp_path / "x.pem", "x.example.org")
    picky.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    greeting, answers, _ = GOOD["smtp"]
    six = probe("127.0.0.1", serve(converses([], greeting, answers, picky)), "smtp", name="mail.example.org")
    four = probe("127.0.0.1", serve(converses([], greeting, answers, valid)), "smtp", name="mail.example.org")
    words = "offered, fails: speaks TLS, but refuses the name mail.example.org: alert unrecognized name"
    assert six["answers"] and six["look"]["starttls"] == words
    assert f"STARTTLS is {words} over IPv6, and works over IPv4" in service_compare.differences(four, six)


@pytest.mark.parametrize(
    ("protocol", "greeting", "code"),
    [("smtp", "554 no\r\n", 554), ("smtp", "554-no\r\n554 never\r\n", 554)],
)
def test_a_greeting_that_refuses_is_an_answer(serve: Serve, protocol: str, greeting: str, code: int) -> None:
    heard: list[bytes] = []
    found = probe("127.0.0.1", serve(converses(heard, greeting, {"QUIT": "221 bye\r\n"})), protocol)
    assert (found["answers"], found["look"]["code"], heard) == (True, code, [b"QUIT\r\n"])


@pytest.mark.parametrize(
    ("protocol", "greeting"),
    [
        ("imap", "* BYE too many connections\r\n"),
        ("pop3", "-ERR locked\r\n"),
        ("ftp", "500 OOPS: could not bind listening IPv4 socket\r\n"),
        ("ftp", "421 too many\r\n"),
    ],
)
def test_a_daemon_that_refuses(serve: Serve, protocol: str, greeting: str) -> None:
    found = probe("127.0.0.1", serve(says(greeting)), protocol)
    assert (found["answers"], found["reason"]) == (False, "refused")
    assert found["error"] == f"refuses with `{greeting.strip()}`"
    assert "own rules" in service_compare.likely(found)


def test_421_is_no_answer(serve: Serve) -> None:
    """Postfix says so where it waits for the PROXY protocol in vain."""
    found = probe("127.0.0.1", serve(says("421 4.3.0 mail.example.org Server local error\r\n")), "smtp")
    assert (found["answers"], found["reason"], found["look"]) == (False, "refused", {})
    assert found["error"] == "refuses with `421 4.3.0 mail.example.org Server local error`"
    assert service_compare.likely(found).startswith("the PROXY protocol is expected on this port")


def test_what_dovecot_says_to_trusted_clients_is_left_out(serve: Serve) -> None:
    greeting, answers, _ = GOOD["pop3"]
    ports = [serve(converses([], each, answers)) for each in (greeting, greeting.replace("+OK", "+OK [XCLIENT]"))]
    six, four = (probe("127.0.0.1", port, "pop3") for port in ports)
    assert "[XCLIENT]" in four["banner"] and service_compare.differences(four, six) == []


def test_a_daemon_that_greets_and_leaves(serve: Serve) -> None:
    found = probe("127.0.0.1", serve(says("220 x\r\n")), "smtp")
    assert found["answers"] and found["look"]["broken"] == "closed the connection without sending anything"


def test_a_daemon_that_greets_and_is_silent(serve: Serve) -> None:
    def mute(connection: socket.socket) -> None:
        connection.sendall(b"220 x\r\n")
        silent(connection)

    found = probe("127.0.0.1", serve(mute), "smtp", WAIT)
    assert found["answers"] and found["look"]["broken"] == "no answer to EHLO within 0.4 s"


def test_the_time_of_a_target(serve: Serve) -> None:
    port = serve(silent)
    assert probe("127.0.0.1", port, "smtp", None, seconds=0.2)["error"] == "no banner within 0.2 s"
    assert probe("127.0.0.1", port, "smtp", 0.1, seconds=20)["error"] == "no banner within 0.1 s"


def test_it_says_nothing_before_the_greeting_is_complete(serve: Serve) -> None:
    """As postscreen(8) tests its clients."""
    early: list[Any] = []

    def teases(connection: socket.socket) -> None:
        connection.sendall(b"220-mail.example.org\r\n")
        early.extend(select.select([connection], [], [], 0.1)[0])
        connection.sendall(b"220 mail.example.org\r\n")
        connection.recv(100)

    assert probe("127.0.0.1", serve(teases), "smtp")["answers"]
    assert early == []


# --------------------------------------------------------------------------------------------------------------
# XMPP

STREAM = (
    "<?xml version='1.0'?><stream:stream id='1' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>{}</starttls>"
MECHANISMS = (
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms><ver xmlns='x'/>"
)
PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


def hears(heard: list[bytes], *words: str, tls: ssl.SSLContext | None = None) -> Any:
    """Says one thing after each that it is told, and goes over to TLS after `PROCEED`."""

    def _act(connection: socket.socket) -> None:
        for each in words:
            heard.append(connection.recv(4096))
            connection.sendall(each.encode())
            if each == PROCEED and tls:
                connection = tls.wrap_socket(connection, server_side=True)
        heard.append(connection.recv(4096))
        connection.close()

    return _act


def features(*what: str) -> str:
    return f"{STREAM}<stream:features>{''.join(what)}</stream:features>"


@pytest.mark.parametrize(("protocol", "namespace"), [("xmpp", "jabber:client"), ("xmpp-server", "jabber:server")])
def test_xmpp_opens_a_stream(serve: Serve, protocol: str, namespace: str) -> None:
    heard: list[bytes] = []
    port = serve(hears(heard, features(MECHANISMS)))
    found = probe("127.0.0.1", port, protocol, name="jabber.example.org")
    assert found["look"] == {"greeting": "", "capabilities": ["mechanisms PLAIN", "ver"], "starttls": ""}
    assert f"xmlns='{namespace}'".encode() in heard[0] and heard[1] == b"</stream:stream>"
    stream = ElementTree.fromstring(b"".join(heard))
    assert (stream.tag, stream.attrib) == (
        "{http://etherx.jabber.org/streams}stream",
        {"to": "jabber.example.org", "version": "1.0"},
    )


@pytest.mark.parametrize(("inside", "word"), [("", "offered"), ("<required/>", "required")])
def test_xmpp_goes_over_to_tls(serve: Serve, valid: ssl.SSLContext, inside: str, word: str) -> None:
    heard: list[bytes] = []
    act = hears(heard, features(STARTTLS.format(inside)), PROCEED, features(MECHANISMS), tls=valid)
    look = probe("127.0.0.1", serve(act), "xmpp", name="jabber.example.org")["look"]
    assert (look["starttls"], look["certificate"]["fits"]) == (word, True)
    assert look["capabilities"] == ["mechanisms PLAIN", "starttls", "ver"]
    assert heard[1] == b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" and heard[3] == b"</stream:stream>"


def test_xmpp_that_refuses_tls(serve: Serve) -> None:
    failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"
    look = probe("127.0.0.1", serve(hears([], features(STARTTLS.format("")), failure)), "xmpp")["look"]
    assert look["starttls"] == "offered, fails: failure"


def test_xmpp_in_which_a_host_is_unknown(serve: Serve) -> None:
    error = "<stream:error><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>x</text>"
    error += "<host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
    unknown = probe("127.0.0.1", serve(hears([], STREAM + error)), "xmpp")
    known = probe("127.0.0.1", serve(hears([], features(MECHANISMS))), "xmpp")
    assert unknown["answers"] and unknown["look"]["greeting"] == "host-unknown"
    assert service_compare.differences(known, unknown) == [
        "answers with host-unknown over IPv6 only",
        "lacks over IPv6: mechanisms PLAIN, ver",
    ]
    assert service_compare.differences(unknown, known) == []
    asked = probe("127.0.0.1", serve(hears([], STREAM + error)), "xmpp", name="a.example")
    assert (asked["answers"], asked["reason"], asked["look"]) == (False, "alert", {})
    assert asked["error"] == "does not serve this host (host-unknown)" and service_compare.likely(asked) == ""


@pytest.mark.parametrize(
    "text", ["<?xml version='1.0' encoding='x'?>", "<html>\n</body>", "&", "220 x\r\n", "\xff\xfe<"]
)
def test_what_is_no_xmpp(serve: Serve, text: str) -> None:
    found = probe("127.0.0.1", serve(says(text)), "xmpp")
    assert (found["answers"], found["error"]) == (False, "answered, but not in this protocol")
