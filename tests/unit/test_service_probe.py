"""Probes, against small servers that are good, silent, closing, dribbling, or speak something else."""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import _dualstack_service_probe as service_probe
import _dualstack_service_probe_stream as service_probe_stream
from salt.exceptions import SaltInvocationError

from .servers import LATE, WAIT, Act, Serve, certificate, closes, dribbles, probe, says, silent

XML = "<?xml version='1.0'?><stream:stream id='1' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
GREETINGS = {
    "smtp": "220 mail.example.org ESMTP Postfix\r\n",
    "imap": "* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS] Dovecot ready.\r\n",
    "pop3": "+OK Dovecot ready.\r\n",
    "ftp": "220 (vsFTPd 3.0.3)\r\n",
    "ssh": "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
    "http": "HTTP/1.1 404 Not Found\r\nServer: nginx\r\n\r\n",
    "xmpp": XML,
    "xmpp-server": XML,
    "mysql": "\x0f\0\0\0\n10.11-MariaDB\0",
    "postgresql": "N",
}
BINARY = ("mysql", "postgresql")
SECURE = {"smtps": "smtp", "imaps": "imap", "pop3s": "pop3", "https": "http"}
BANNERED = [*GREETINGS, *SECURE]


def greeting_of(protocol: str) -> str:
    return GREETINGS[SECURE.get(protocol, protocol)]


def context_of(protocol: str, tls: ssl.SSLContext) -> ssl.SSLContext | None:
    return tls if protocol in SECURE else None


def test_all_protocols_are_tried_here() -> None:
    assert service_probe.protocols() == sorted([*BANNERED, "dns", "tcp", "tls"])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("protocol", BANNERED)
def test_a_good_server(serve: Serve, tls: ssl.SSLContext, protocol: str, address: str) -> None:
    port = serve(says(greeting_of(protocol)), context_of(protocol, tls), address)
    found = probe(address, port, protocol)
    assert 0 <= found.pop("seconds") < LATE
    assert (found.pop("look") != {}) == (protocol != "tcp")
    banner = found.pop("banner")
    assert protocol in BINARY or banner == greeting_of(protocol).splitlines()[0]
    assert found == {
        "address": address,
        "port": port,
        "protocol": protocol,
        "name": "",
        "answers": True,
        "error": "",
        "reason": "",
    }


def ask_all(serve: Serve, tls: ssl.SSLContext, act: Callable[[str], Act]) -> list[dict[str, Any]]:
    """Probes of all protocols at the same time, each against a server of its own."""
    return service_probe.probe_all(
        [
            {"address": "127.0.0.1", "port": serve(act(each), context_of(each, tls)), "protocol": each, "seconds": WAIT}
            for each in BANNERED
        ]
    )


def test_silent_servers(serve: Serve, tls: ssl.SSLContext) -> None:
    for found in ask_all(serve, tls, lambda _: silent):
        assert (found["answers"], found["banner"], found["error"]) == (False, "", "no banner within 0.4 s"), found
        assert (found["reason"], {*found["look"]} - {"certificate"}) == ("timeout", set())
        assert ("certificate" in found["look"]) is (found["protocol"] in SECURE)
        assert WAIT <= found["seconds"] < LATE


def test_servers_that_close(serve: Serve, tls: ssl.SSLContext) -> None:
    for found in ask_all(serve, tls, lambda _: closes):
        assert not found["answers"]
        assert found["error"] in (
            "closed the connection without sending anything",
            "closed the connection in the TLS handshake",
            "connection reset by peer",
            "broken pipe",
        ), found
        assert found["reason"] == "closed"


def test_servers_that_dribble(serve: Serve, tls: ssl.SSLContext) -> None:
    def slowly(protocol: str) -> Act:
        greeting = greeting_of(protocol).removesuffix("\r\n\r\n").removesuffix("\r\n")
        return dribbles({"mysql": "\x0f", "postgresql": ""}.get(protocol, greeting.replace("'>", "' ")).encode())

    for found in ask_all(serve, tls, slowly):
        if found["protocol"] in BINARY:
            assert not found["answers"], found
        else:
            assert (found["answers"], found["error"]) == (False, "no end of the banner within 0.4 s"), found
            assert found["banner"] and WAIT <= found["seconds"] < LATE


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        ("smtp", "2200 mail.example.org\r\n"),
        ("imap", "* OKAY\r\n"),
        ("imap", "+OK\r\n"),
        ("pop3", "* OK\r\n"),
        ("ftp", "120 wait\r\n"),
        ("postgresql", "E"),
        ("mysql", "\x01\0\0\0\x09"),
        ("mysql", "SSH-2.0-OpenSSH_9.2p1\r\n"),
        ("http", "SSH-2.0-OpenSSH_9.2p1\r\n"),
        ("xmpp", "HTTP/1.1 400 Bad Request\r\n\r\n<?xml version='1.0'?>"),
        ("xmpp-server", "220 mail.example.org\r\n"),
    ],
)
def test_other_words(serve: Serve, protocol: str, text: str) -> None:
    found = probe("127.0.0.1", serve(says(text)), protocol)
    assert not found["answers"] and found["seconds"] < LATE
    assert (found["error"], found["reason"]) == ("answered, but not in this protocol", "garbage")
    assert protocol in BINARY or found["banner"] == text.splitlines()[0]


@pytest.mark.parametrize(
    ("protocol", "text", "banner"),
    [
        ("smtp", "220\r\n", "220"),
        ("smtp", "220-one\r\n220-two\r\n220 three\r\n", "220-one"),
        ("ftp", "220-one\r\n 221 anything\r\n220 end\r\n", "220-one"),
        ("imap", "* PREAUTH ready\r\n", "* PREAUTH ready"),
        ("imap", "* ok ready\n", "* ok ready"),
        ("pop3", "+OK\r\n", "+OK"),
        ("ssh", "Wait a moment.\r\nSSH-2.0-x\r\n", "Wait a moment."),
        ("xmpp", f"\n{XML[21:]}", ""),
        ("smtp", "220 \x1b[2J\tgr\xfc\xdfe \u202e\r\n", "220 ?[2J?gr\xfc\xdfe ?"),
        ("smtp", f"220 {'x' * 1000}\r\n", "220 " + "x" * 196),
    ],
)
def test_other_good_words(serve: Serve, protocol: str, text: str, banner: str) -> None:
    found = probe("127.0.0.1", serve(says(text)), protocol)
    assert (found["answers"], found["banner"], found["error"]) == (True, banner, "")


def test_a_greeting_that_ends_in_the_middle(serve: Serve) -> None:
    def halves(connection: socket.socket) -> None:
        connection.sendall(b"220-mail.example.org\r\n")

    found = probe("127.0.0.1", serve(halves), "smtp")
    assert (found["answers"], found["banner"]) == (False, "220-mail.example.org")
    assert found["error"] == "closed the connection in the middle of the banner"


@pytest.mark.parametrize("protocol", ["smtp", "ssh", "xmpp"])
def test_megabytes_without_an_end(serve: Serve, protocol: str) -> None:
    def floods(connection: socket.socket) -> None:
        while True:
            connection.sendall((b"<x>" if protocol == "xmpp" else b"220-") * 4096)

    found = probe("127.0.0.1", serve(floods), protocol)
    assert (found["answers"], found["error"]) == (False, "no end of the banner in 16384 bytes")
    assert found["seconds"] < LATE and len(found["banner"]) == 200


def test_a_flood_after_the_greeting(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_probe_stream, "PARTING", 0.05)

    def floods(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example.org\r\n")
        while True:
            connection.sendall(b"250 more\r\n" * 4096)

    found = probe("127.0.0.1", serve(floods), "smtp")
    assert found["answers"] and found["seconds"] < LATE


def test_random_bytes_never_raise(serve: Serve) -> None:
    dice = random.Random(4)
    starts = [b"", b"\r\n", b"\xff\xfe", *(each.encode() for each in GREETINGS.values())]

    def babbles(connection: socket.socket) -> None:
        start = dice.choice(starts)
        connection.sendall(start[: dice.randrange(len(start) + 1)] + dice.randbytes(dice.randrange(60)))

    port = serve(babbles)
    targets = [{"address": "127.0.0.1", "port": port, "protocol": each} for each in service_probe.protocols()]
    for found in service_probe.probe_all(targets * 5, WAIT):
        assert found["answers"] == (found["error"] == "")
        assert found["banner"] == "" or found["banner"].isprintable()


# --------------------------------------------------------------------------------------------------------------
# What the other side hears


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
# TLS


def test_the_handshake_alone(serve: Serve, tls: ssl.SSLContext) -> None:
    found = probe("127.0.0.1", serve(silent, tls), "tls")
    assert (found["answers"], found["banner"], found["error"]) == (True, "", "")


def test_the_end_of_tls_is_reported(serve: Serve, tls: ssl.SSLContext) -> None:
    """Without a close_notify the server would log an unexpected end."""
    ends: list[object] = []

    def waits(connection: socket.socket) -> None:
        try:
            ends.append(connection.recv(1))
        except OSError as error:
            ends.append(error)

    probe("127.0.0.1", serve(waits, tls), "tls")
    until = time.monotonic() + 2
    while not ends and time.monotonic() < until:
        time.sleep(0.005)
    assert ends == [b""]


@pytest.mark.parametrize("protocol", ["tls", "imaps"])
def test_a_server_without_tls(serve: Serve, protocol: str) -> None:
    found = probe("127.0.0.1", serve(says(GREETINGS["imap"])), protocol)
    assert (found["answers"], found["error"]) == (False, "does not speak TLS: wrong version number")


def test_a_server_that_is_silent_in_the_handshake(serve: Serve) -> None:
    found = probe("127.0.0.1", serve(silent), "smtps", WAIT)
    assert (found["answers"], found["error"]) == (False, "no TLS handshake within 0.4 s")


def test_a_server_that_closes_in_the_handshake(serve: Serve) -> None:
    def leaves(connection: socket.socket) -> None:
        connection.recv(4096)

    found = probe("127.0.0.1", serve(leaves), "smtps")
    assert (found["answers"], found["error"]) == (False, "closed the connection in the TLS handshake")


def test_a_handshake_that_dribbles(serve: Serve) -> None:
    found = probe("127.0.0.1", serve(dribbles(b"\x16\x03\x03\x40\x00")), "tls", WAIT)
    assert (found["answers"], found["error"]) == (False, "no TLS handshake within 0.4 s")
    assert found["seconds"] < LATE


@pytest.mark.parametrize("name", ["", "mail.example.org"])
def test_a_name_is_sent_only_if_one_is_given(serve: Serve, tls: ssl.SSLContext, name: str) -> None:
    names: list[object] = []
    tls.sni_callback = lambda _, sent, __: names.append(sent)
    assert probe("127.0.0.1", serve(silent, tls), "tls", name=name)["answers"]
    assert names == [name or None]


@pytest.fixture
def old_tls(tls: ssl.SSLContext) -> Iterator[ssl.SSLContext]:
    """A server of 2011: TLS 1.0 and no more."""
    before = tls.minimum_version, tls.maximum_version, ":".join(each["name"] for each in tls.get_ciphers())
    tls.set_ciphers("ALL:@SECLEVEL=0")
    tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1
    yield tls
    tls.maximum_version = before[1]
    tls.minimum_version = before[0]
    tls.set_ciphers(before[2])


@pytest.mark.filterwarnings("ignore:.*TLSv1 is deprecated:DeprecationWarning")
def test_an_old_server(serve: Serve, old_tls: ssl.SSLContext) -> None:
    found = probe("127.0.0.1", serve(says(GREETINGS["smtp"]), old_tls), "smtps")
    assert (found["answers"], found["error"]) == (True, "")


def test_an_alert_is_no_lack_of_tls(serve: Serve) -> None:
    def refuses(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"\x15\x03\x01\x00\x02\x02\x28")  # handshake_failure, RFC 5246 section 7.2
        connection.recv(1)

    found = probe("127.0.0.1", serve(refuses), "tls")
    assert not found["answers"] and found["reason"] == "alert"
    assert found["error"] == "speaks TLS, but refuses a client that asks for no name: alert handshake failure"


@pytest.mark.parametrize("protocol", ["https", "imaps"])
def test_a_server_that_wants_a_certificate(serve: Serve, protocol: str, tmp_path: Path) -> None:
    strict = certificate(tmp_path / "x.pem", "a.example")
    strict.load_verify_locations(tmp_path / "x.pem")
    strict.verify_mode = ssl.CERT_REQUIRED
    found = probe("127.0.0.1", serve(silent, strict), protocol, name="a.example")
    assert (found["answers"], found["error"]) == (True, "")
    assert found["look"]["requires"] == "a certificate of the client's" and found["look"]["certificate"]["fits"]


# --------------------------------------------------------------------------------------------------------------
# Connections


def test_a_bare_connection(serve: Serve) -> None:
    found = probe("127.0.0.1", serve(silent))
    assert (found["protocol"], found["answers"], found["banner"], found["error"]) == ("tcp", True, "", "")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nobody_listens(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as bound:
        bound.bind((address, 0))
        found = probe(address, bound.getsockname()[1], "smtp")
    assert (found["answers"], found["error"]) == (False, "connection refused")


def test_a_connection_with_itself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may choose the very port that is asked for the asking end, where nobody listens on it."""

    class Unlucky(socket.socket):
        def connect(self, place: Any) -> None:
            self.bind(place)
            super().connect(place)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(socket, "socket", Unlucky)
    assert probe("127.0.0.1", port, "tcp")["error"] == "connection refused"


def test_a_daemon_that_does_not_accept_any_more() -> None:
    """Its queue is full, and the kernel drops what comes."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        found = probe("127.0.0.1", server.getsockname()[1], "tcp", WAIT)
    assert (found["answers"], found["error"]) == (False, "no connection within 0.4 s")


def test_a_zone() -> None:
    found = probe("fe80::1%nowhere", 25)
    assert (found["answers"], found["error"]) == (False, "this host has no such zone")
    found = probe("fe80::1%lo", 25, "tcp", WAIT)
    assert not found["answers"] and "zone" not in found["error"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.ECONNRESET, "closed"),
        (errno.EPIPE, "closed"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.ENETUNREACH, "unreachable"),
        (errno.EACCES, "unreachable"),
        (errno.EADDRNOTAVAIL, "unreachable"),
    ],
)
def test_the_reason_in_one_word(number: int, reason: str) -> None:
    failure = service_probe_stream.failure(OSError(number, os.strerror(number)))
    assert (failure.reason, str(failure)) == (reason, os.strerror(number).lower())


def test_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: Any, **__: Any) -> Any:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", without)
    assert probe("::1", 25)["error"] == "address family not supported by protocol"


# --------------------------------------------------------------------------------------------------------------
# Many


def test_many_are_asked_at_the_same_time(serve: Serve) -> None:
    mute, good = serve(silent), serve(says(GREETINGS["pop3"]))
    targets = [{"address": "127.0.0.1", "port": mute, "protocol": "smtp"} for _ in range(20)]
    targets.insert(7, {"address": "127.0.0.1", "port": good, "protocol": "pop3"})
    begin = time.monotonic()
    found = service_probe.probe_all(targets, WAIT)
    assert time.monotonic() - begin < 20 * WAIT
    assert [each["answers"] for each in found] == [index == 7 for index in range(21)]


def test_nobody_to_ask() -> None:
    assert service_probe.probe_all([]) == []


def test_no_file_is_left_open(serve: Serve, tls: ssl.SSLContext) -> None:
    ports = [(serve(says("220 x\r\n")), "smtp"), (serve(says("")), "tls"), (serve(silent, tls), "tls"), (1, "tcp")]
    targets = [{"address": "127.0.0.1", "port": port, "protocol": protocol} for port, protocol in ports]
    with pytest.MonkeyPatch.context() as patch:
        opened: list[socket.socket] = []
        original = service_probe_stream.connect

        def kept(*arguments: Any) -> socket.socket:
            opened.append(original(*arguments))
            return opened[-1]

        patch.setattr(service_probe_stream, "connect", kept)
        service_probe.probe_all(targets * 5, WAIT)
    assert opened and all(each.fileno() == -1 for each in opened)


# --------------------------------------------------------------------------------------------------------------
# Arguments

GOOD: dict[str, Any] = {"address": "127.0.0.1", "port": 25}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"address": "localhost"}, "address: 'localhost' is not an address of IPv4 or IPv6"),
        ({"address": "127.1"}, "address: '127.1' is not an address"),
        ({"address": 1}, "address: 1 is not an address"),
        ({"port": 0}, "port: 0 is not a port; expected a number from 1 to 65535"),
        ({"port": 65536}, "port: 65536 is not a port"),
        ({"port": True}, "port: True is not a port"),
        ({"port": "smtp"}, "port: 'smtp' is not a port"),
        (
            {"protocol": "SMTP"},
            "protocol: 'SMTP' is not a protocol that is known; expected one of dns, ftp, http, https, ",
        ),
        ({"protocol": ["smtp"]}, r"protocol: \['smtp'\] is not a protocol"),
        ({"name": "a\r\nX: y"}, "name: 'a.* is not the name of a host"),
        ({"name": ".a"}, "name: '.a' is not"),
        ({"name": "a" * 64}, "name: 'a.* is not"),
        ({"name": ".".join(["abcdefghi"] * 30)}, "name: 'a.* is not"),
        ({"path": "index.html"}, "path: 'index.html' is not the path of a page; expected one such as /index.html"),
        ({"path": "/ HTTP/1.0\r\n"}, "path: '/ HTTP.* is not the path"),
        ({"path": None}, "path: None is not"),
        ({"proxy": "v3"}, "proxy: 'v3' is not a version of the PROXY protocol, v1 or v2"),
        ({"seconds": 0}, "seconds: 0 is not a number of seconds up to 3600"),
    ],
)
def test_arguments_that_make_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SaltInvocationError, match=message):
        service_probe.probe({**GOOD, **wrong})
    with pytest.raises(SaltInvocationError, match=message):
        service_probe.probe_all([GOOD, {**GOOD, **wrong}])


@pytest.mark.parametrize("timeout", [0, -1, "5", True, float("nan"), float("inf")])
def test_a_timeout_that_makes_no_sense(timeout: Any) -> None:
    with pytest.raises(SaltInvocationError, match="is not a number of seconds"):
        probe("127.0.0.1", 25, "tcp", timeout)


@pytest.mark.parametrize("target", [{}, {"address": "::1"}, {**GOOD, "timeout": 3}, [], "::1", None])
def test_targets_that_make_no_sense(target: Any) -> None:
    with pytest.raises(SaltInvocationError, match="targets: .* is not a mapping of address and port"):
        service_probe.probe_all([target])
