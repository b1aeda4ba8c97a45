"""Probes, against small servers that are good, silent, closing, dribbling, or speak something else."""

from __future__ import annotations

import datetime
import random
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any
from xml.etree import ElementTree

import pytest
import _dualstack_service_probe as service_probe
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from salt.exceptions import SaltInvocationError

WAIT = 0.4  # seconds, for probes that have to wait in vain
LATE = 5  # seconds that none of them may last, on the busiest machine

Act = Callable[[socket.socket], object]
Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that does something with every connection, and returns its port."""
    with ExitStack() as stack:

        def _serve(act: Act, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> int:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = stack.enter_context(socket.create_server((address, 0), family=family))

            def _run() -> None:
                with suppress(OSError):
                    while True:
                        connection, _ = listener.accept()
                        threading.Thread(target=_attend, args=(connection,), daemon=True).start()

            def _attend(connection: socket.socket) -> None:
                with connection, suppress(OSError):
                    connection.settimeout(2)
                    if not tls:
                        act(connection)
                        return
                    with tls.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False) as secure:
                        act(secure)

            threading.Thread(target=_run, daemon=True).start()
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return int(listener.getsockname()[1])

        yield _serve


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What a server needs to speak TLS, with a certificate that nobody trusts and that has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere.example.org")])
    day = datetime.datetime(2011, 6, 8)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(day)
        .not_valid_after(day + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # as servers that log such an end
    return context


def says(text: str) -> Act:
    """Says something, and closes the connection when the other side has spoken or gone."""

    def _act(connection: socket.socket) -> None:
        connection.sendall(text.encode())
        connection.recv(4096)

    return _act


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def closes(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def dribbles(text: bytes) -> Act:
    """A byte every few milliseconds, and for ever."""

    def _act(connection: socket.socket) -> None:
        for each in text + b"x" * 1000:
            connection.sendall(bytes([each]))
            time.sleep(0.02)

    return _act


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
}
SECURE = {"smtps": "smtp", "imaps": "imap", "pop3s": "pop3", "https": "http"}
BANNERED = [*GREETINGS, *SECURE]


def greeting_of(protocol: str) -> str:
    return GREETINGS[SECURE.get(protocol, protocol)]


def context_of(protocol: str, tls: ssl.SSLContext) -> ssl.SSLContext | None:
    return tls if protocol in SECURE else None


def test_all_protocols_are_tried_here() -> None:
    assert service_probe.protocols() == sorted([*BANNERED, "tcp", "tls"])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("protocol", BANNERED)
def test_a_good_server(serve: Serve, tls: ssl.SSLContext, protocol: str, address: str) -> None:
    port = serve(says(greeting_of(protocol)), context_of(protocol, tls), address)
    found = service_probe.probe(address, port, protocol)
    assert 0 <= found.pop("seconds") < LATE
    assert found == {
        "address": address,
        "port": port,
        "protocol": protocol,
        "answers": True,
        "banner": greeting_of(protocol).splitlines()[0],
        "error": "",
    }


def ask_all(serve: Serve, tls: ssl.SSLContext, act: Callable[[str], Act]) -> list[dict[str, Any]]:
    """Probes of all protocols at the same time, each against a server of its own."""
    return service_probe.probe_all(
        [
            {"address": "127.0.0.1", "port": serve(act(each), context_of(each, tls)), "protocol": each}
            for each in BANNERED
        ],
        WAIT,
    )


def test_silent_servers(serve: Serve, tls: ssl.SSLContext) -> None:
    for found in ask_all(serve, tls, lambda _: silent):
        assert (found["answers"], found["banner"], found["error"]) == (False, "", "no banner within 0.4 s"), found
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


def test_servers_that_dribble(serve: Serve, tls: ssl.SSLContext) -> None:
    def slowly(protocol: str) -> Act:
        return dribbles(greeting_of(protocol).replace("\r\n", "").replace("<", "&").encode())

    for found in ask_all(serve, tls, slowly):
        assert (found["answers"], found["error"]) == (False, "no end of the banner within 0.4 s"), found
        assert found["banner"] and WAIT <= found["seconds"] < LATE


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        ("smtp", "421 4.3.2 Service not available\r\n"),
        ("smtp", "554 no\r\n220 yes\r\n"),
        ("smtp", "2200 mail.example.org\r\n"),
        ("imap", "* BYE disconnected\r\n"),
        ("imap", "* OKAY\r\n"),
        ("imap", "+OK\r\n"),
        ("pop3", "-ERR locked\r\n"),
        ("ftp", "500 OOPS: could not bind listening IPv4 socket\r\n"),
        ("http", "SSH-2.0-OpenSSH_9.2p1\r\n"),
        ("xmpp", "HTTP/1.1 400 Bad Request\r\n\r\n<?xml version='1.0'?>"),
        ("xmpp-server", "220 mail.example.org\r\n"),
    ],
)
def test_other_words(serve: Serve, protocol: str, text: str) -> None:
    found = service_probe.probe("127.0.0.1", serve(says(text)), protocol)
    assert not found["answers"] and found["seconds"] < LATE
    assert found["error"] == "answered, but not in this protocol"
    assert found["banner"] == text.splitlines()[0]


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
        ("xmpp", "\n<stream:stream><stream:error>", ""),
        ("smtp", "220 \x1b[2J\tgr\xfc\xdfe \u202e\r\n", "220 ?[2J?gr\xfc\xdfe ?"),
        ("smtp", f"220 {'x' * 1000}\r\n", "220 " + "x" * 196),
    ],
)
def test_other_good_words(serve: Serve, protocol: str, text: str, banner: str) -> None:
    found = service_probe.probe("127.0.0.1", serve(says(text)), protocol)
    assert (found["answers"], found["banner"], found["error"]) == (True, banner, "")


def test_a_greeting_that_ends_in_the_middle(serve: Serve) -> None:
    def halves(connection: socket.socket) -> None:
        connection.sendall(b"220-mail.example.org\r\n")

    found = service_probe.probe("127.0.0.1", serve(halves), "smtp")
    assert (found["answers"], found["banner"]) == (False, "220-mail.example.org")
    assert found["error"] == "closed the connection in the middle of the banner"


@pytest.mark.parametrize("protocol", ["smtp", "ssh", "xmpp"])
def test_megabytes_without_an_end(serve: Serve, protocol: str) -> None:
    def floods(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"220-" * 4096)

    found = service_probe.probe("127.0.0.1", serve(floods), protocol)
    assert (found["answers"], found["error"]) == (False, "no end of the banner in 16384 bytes")
    assert found["seconds"] < LATE and len(found["banner"]) == 200


def test_a_flood_after_the_greeting(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_probe, "PARTING", 0.05)

    def floods(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example.org\r\n")
        while True:
            connection.sendall(b"250 more\r\n" * 4096)

    found = service_probe.probe("127.0.0.1", serve(floods), "smtp")
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


def hears(what: list[bytes], *words: str) -> Act:
    """Says one thing after the other, and keeps what it is told after each."""

    def _act(connection: socket.socket) -> None:
        for each in words:
            connection.sendall(each.encode())
            what.append(connection.recv(4096))

    return _act


@pytest.mark.parametrize(
    ("protocol", "goodbye"),
    [("smtp", b"QUIT\r\n"), ("imap", b"a LOGOUT\r\n"), ("pop3", b"QUIT\r\n"), ("ftp", b"QUIT\r\n")],
)
def test_it_says_good_bye(serve: Serve, protocol: str, goodbye: bytes) -> None:
    heard: list[bytes] = []
    found = service_probe.probe("127.0.0.1", serve(hears(heard, GREETINGS[protocol])), protocol)
    assert (found["answers"], heard) == (True, [goodbye])


def test_it_leaves_ssh_with_a_disconnect(serve: Serve) -> None:
    """A version, and one whole packet that is not encrypted yet, RFC 4253 sections 6 and 11.1."""
    heard: list[bytes] = []
    assert service_probe.probe("127.0.0.1", serve(hears(heard, GREETINGS["ssh"])), "ssh")["answers"]
    version, _, packet = heard[0].partition(b"\r\n")
    length, padding, message, reason, description, language = struct.unpack_from("!IBBIII", packet)
    assert version.startswith(b"SSH-2.0-")
    assert (message, reason, description, language) == (1, 11, 0, 0)
    assert len(packet) == 4 + length == 4 + 1 + 13 + padding and len(packet) % 8 == 0 and padding >= 4


def test_it_says_nothing_before_the_greeting_is_complete(serve: Serve) -> None:
    """As postscreen(8) tests its clients."""
    early: list[Any] = []

    def teases(connection: socket.socket) -> None:
        connection.sendall(b"220-mail.example.org\r\n")
        early.extend(select.select([connection], [], [], 0.1)[0])
        connection.sendall(b"220 mail.example.org\r\n")
        connection.recv(100)

    assert service_probe.probe("127.0.0.1", serve(teases), "smtp")["answers"]
    assert early == []


@pytest.mark.parametrize(
    ("address", "name", "host"),
    [("127.0.0.1", "", "127.0.0.1"), ("::1", "", "[::1]"), ("::1", "a.example", "a.example")],
)
def test_http_asks_for_a_host(serve: Serve, address: str, name: str, host: str) -> None:
    heard: list[bytes] = []

    def answers(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    port = serve(answers, None, address)
    assert service_probe.probe(address, port, "http", name=name)["answers"]
    assert heard[0].decode() == f"HEAD / HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(("protocol", "namespace"), [("xmpp", "jabber:client"), ("xmpp-server", "jabber:server")])
def test_xmpp_opens_a_stream(serve: Serve, protocol: str, namespace: str) -> None:
    heard: list[bytes] = []
    port = serve(hears(heard, "", XML))
    assert service_probe.probe("127.0.0.1", port, protocol, name="jabber.example.org")["answers"]
    assert f"xmlns='{namespace}'".encode() in heard[0] and b"to='jabber.example.org'" in heard[0]
    assert heard[1] == b"</stream:stream>"
    stream = ElementTree.fromstring(b"".join(heard))
    assert (stream.tag, stream.attrib) == (
        "{http://etherx.jabber.org/streams}stream",
        {"to": "jabber.example.org", "version": "1.0"},
    )


# --------------------------------------------------------------------------------------------------------------
# TLS


def test_the_handshake_alone(serve: Serve, tls: ssl.SSLContext) -> None:
    found = service_probe.probe("127.0.0.1", serve(silent, tls), "tls")
    assert (found["answers"], found["banner"], found["error"]) == (True, "", "")


def test_the_end_of_tls_is_reported(serve: Serve, tls: ssl.SSLContext) -> None:
    """Without a close_notify the server would log an unexpected end."""
    ends: list[object] = []

    def waits(connection: socket.socket) -> None:
        try:
            ends.append(connection.recv(1))
        except OSError as error:
            ends.append(error)

    service_probe.probe("127.0.0.1", serve(waits, tls), "tls")
    until = time.monotonic() + 2
    while not ends and time.monotonic() < until:
        time.sleep(0.005)
    assert ends == [b""]


@pytest.mark.parametrize("protocol", ["tls", "imaps"])
def test_a_server_without_tls(serve: Serve, protocol: str) -> None:
    found = service_probe.probe("127.0.0.1", serve(says(GREETINGS["imap"])), protocol)
    assert (found["answers"], found["error"]) == (False, "does not speak TLS: wrong version number")


def test_a_server_that_is_silent_in_the_handshake(serve: Serve) -> None:
    found = service_probe.probe("127.0.0.1", serve(silent), "smtps", WAIT)
    assert (found["answers"], found["error"]) == (False, "no TLS handshake within 0.4 s")


def test_a_server_that_closes_in_the_handshake(serve: Serve) -> None:
    def leaves(connection: socket.socket) -> None:
        connection.recv(4096)

    found = service_probe.probe("127.0.0.1", serve(leaves), "smtps")
    assert (found["answers"], found["error"]) == (False, "closed the connection in the TLS handshake")


def test_a_handshake_that_dribbles(serve: Serve) -> None:
    found = service_probe.probe("127.0.0.1", serve(dribbles(b"\x16\x03\x03\x40\x00")), "tls", WAIT)
    assert (found["answers"], found["error"]) == (False, "no TLS handshake within 0.4 s")
    assert found["seconds"] < LATE


@pytest.mark.parametrize("name", ["", "mail.example.org"])
def test_a_name_is_sent_only_if_one_is_given(serve: Serve, tls: ssl.SSLContext, name: str) -> None:
    names: list[object] = []
    tls.sni_callback = lambda _, sent, __: names.append(sent)
    assert service_probe.probe("127.0.0.1", serve(silent, tls), "tls", name=name)["answers"]
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
    found = service_probe.probe("127.0.0.1", serve(says(GREETINGS["smtp"]), old_tls), "smtps")
    assert (found["answers"], found["error"]) == (True, "")


def test_an_alert_is_no_lack_of_tls(serve: Serve) -> None:
    def refuses(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"\x15\x03\x01\x00\x02\x02\x28")  # handshake_failure, RFC 5246 section 7.2
        connection.recv(1)

    found = service_probe.probe("127.0.0.1", serve(refuses), "tls")
    assert not found["answers"] and found["error"].startswith("refuses TLS: ") and "alert" in found["error"]


# --------------------------------------------------------------------------------------------------------------
# Connections


def test_a_bare_connection(serve: Serve) -> None:
    found = service_probe.probe("127.0.0.1", serve(silent))
    assert (found["protocol"], found["answers"], found["banner"], found["error"]) == ("tcp", True, "", "")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nobody_listens(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as bound:
        bound.bind((address, 0))
        found = service_probe.probe(address, bound.getsockname()[1], "smtp")
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
    assert service_probe.probe("127.0.0.1", port, "tcp")["error"] == "connection refused"


def test_a_daemon_that_does_not_accept_any_more() -> None:
    """Its queue is full, and the kernel drops what comes."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        found = service_probe.probe("127.0.0.1", server.getsockname()[1], "tcp", WAIT)
    assert (found["answers"], found["error"]) == (False, "no connection within 0.4 s")


def test_a_zone() -> None:
    found = service_probe.probe("fe80::1%nowhere", 25)
    assert (found["answers"], found["error"]) == (False, "this host has no such zone")
    found = service_probe.probe("fe80::1%lo", 25, "tcp", WAIT)
    assert not found["answers"] and "zone" not in found["error"]


def test_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: Any, **__: Any) -> Any:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", without)
    assert service_probe.probe("::1", 25)["error"] == "address family not supported by protocol"


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
        original = service_probe._connect

        def kept(*arguments: Any) -> socket.socket:
            opened.append(original(*arguments))
            return opened[-1]

        patch.setattr(service_probe, "_connect", kept)
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
        ({"protocol": "SMTP"}, "protocol: 'SMTP' is not a protocol that is known; expected one of ftp, http, https, "),
        ({"protocol": ["smtp"]}, r"protocol: \['smtp'\] is not a protocol"),
        ({"name": "a\r\nX: y"}, "name: 'a.* is not the name of a host"),
        ({"name": ".a"}, "name: '.a' is not"),
        ({"name": "a" * 64}, "name: 'a.* is not"),
        ({"name": ".".join(["abcdefghi"] * 30)}, "name: 'a.* is not"),
    ],
)
def test_arguments_that_make_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SaltInvocationError, match=message):
        service_probe.probe(**{**GOOD, **wrong})
    with pytest.raises(SaltInvocationError, match=message):
        service_probe.probe_all([GOOD, {**GOOD, **wrong}])


@pytest.mark.parametrize("timeout", [0, -1, "5", True, float("nan"), float("inf")])
def test_a_timeout_that_makes_no_sense(timeout: Any) -> None:
    with pytest.raises(SaltInvocationError, match="is not a number of seconds"):
        service_probe.probe("127.0.0.1", 25, "tcp", timeout)


@pytest.mark.parametrize("target", [{}, {"address": "::1"}, {**GOOD, "timeout": 3}, [], "::1", None])
def test_targets_that_make_no_sense(target: Any) -> None:
    with pytest.raises(SaltInvocationError, match="targets: .* is not a mapping of address and port"):
        service_probe.probe_all([target])
