"""Probes that speak in packets: SSH, databases, and questions over UDP."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import _dualstack_service_compare as service_compare
import _dualstack_service_probe_udp as service_probe_udp
import pytest

from .servers import LATE, WAIT, Serve, probe

# --------------------------------------------------------------------------------------------------------------
# SSH: RFC 4253


def packet(payload: bytes) -> bytes:
    padding = 8 - (len(payload) + 5) % 8 + 8
    return struct.pack("!IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def string(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


def kexinit(exchanges: bytes) -> bytes:
    return b"\x14" + bytes(16) + string(exchanges) + string(b"x") * 9 + bytes(5)


def ssh(heard: list[bytes], *messages: bytes) -> Callable[[socket.socket], None]:
    def _act(connection: socket.socket) -> None:
        connection.sendall(b"Wait a moment.\r\nSSH-2.0-OpenSSH_9.2p1\r\n")
        version = b""
        while not version.endswith(b"\n"):
            version += connection.recv(1)
        heard.append(version)
        for each in messages:
            connection.sendall(packet(each))
        while header := connection.recv(4, socket.MSG_WAITALL):
            body = connection.recv(int.from_bytes(header, "big"), socket.MSG_WAITALL)
            assert (len(body) + 4) % 8 == 0 and 4 <= body[0] < len(body)
            heard.append(body[1 : len(body) - body[0]])
            if heard[-1][0] == 1:
                return

    return _act


@pytest.mark.parametrize(
    ("exchange", "length"),
    [(b"curve25519-sha256", 32), (b"ecdh-sha2-nistp256", 65), (b"diffie-hellman-group14-sha256", 255)],
)
def test_the_host_key(serve: Serve, exchange: bytes, length: int) -> None:
    heard: list[bytes] = []
    key = string(b"ssh-ed25519") + string(b"k" * 32)
    ignored = [b"\x02" + string(b"ignore"), b"\x04\x00" + string(b"debug") + string(b"")]
    reply = b"\x1f" + string(key) + string(b"f") + string(b"signature")
    act = ssh(heard, *ignored, kexinit(b"other@example.org," + exchange), *ignored, reply, b"\x15")
    found = probe("127.0.0.1", serve(act), "ssh")
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    assert found["look"] == {"greeting": "SSH-2.0-OpenSSH_9.2p1", "keys": [f"SHA256:{digest}"]}
    assert (found["answers"], found["banner"]) == (True, "Wait a moment.")
    version, offer, begin, end = heard
    assert version.startswith(b"SSH-2.0-") and offer[0] == 20 and exchange in offer
    assert begin[0] == 30 and begin[1:5] == length.to_bytes(4, "big") and len(begin) == 5 + length
    assert end == struct.pack("!BIII", 1, 11, 0, 0)  # section 11.1: by application
    assert found["seconds"] < LATE


def test_no_key_exchange_in_common(serve: Serve) -> None:
    heard: list[bytes] = []
    found = probe("127.0.0.1", serve(ssh(heard, kexinit(b"other@example.org"))), "ssh")
    assert found["look"]["keys"] == [] and found["answers"] and "broken" not in found["look"]
    assert heard[-1][0] == 1


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([b"\x01" + struct.pack("!I", 2) + string(b"too many") + string(b"")], "ends the key exchange: too many"),
        ([kexinit(b"curve25519-sha256"), b"\x63"], "ends the key exchange: message 99"),
    ],
)
def test_a_key_exchange_that_ends(serve: Serve, messages: list[bytes], said: str) -> None:
    found = probe("127.0.0.1", serve(ssh([], *messages)), "ssh")
    assert found["answers"] and (found["look"]["keys"], found["look"]["broken"]) == ([], said)


def test_a_length_that_makes_no_sense(serve: Serve) -> None:
    def act(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-x\r\n" + b"\xff" * 100)
        connection.recv(4096)

    assert probe("127.0.0.1", serve(act), "ssh")["look"]["broken"] == "answered, but not in this protocol"


# --------------------------------------------------------------------------------------------------------------
# Databases


def mysql(heard: list[bytes], *packets: bytes) -> Callable[[socket.socket], None]:
    def _act(connection: socket.socket) -> None:
        for number, each in enumerate(packets):
            connection.sendall(len(each).to_bytes(3, "little") + bytes([2 * number]) + each)
            header = connection.recv(4, socket.MSG_WAITALL)
            heard.append(header + connection.recv(int.from_bytes(header[:3], "little"), socket.MSG_WAITALL))

    return _act


GREETING = b"\n10.11.6-MariaDB\0" + bytes(50)


@pytest.mark.parametrize("refusal", [b"\xff\x15\x04#28000Access denied", b"\xfemysql_native_password\0" + bytes(21)])
def test_mysql(serve: Serve, refusal: bytes) -> None:
    heard: list[bytes] = []
    found = probe("127.0.0.1", serve(mysql(heard, GREETING, refusal)), "mysql")
    assert found["answers"] and (found["look"]["code"], found["look"]["greeting"]) == (0, "10.11.6-MariaDB")
    assert found["banner"] == "10.11.6-MariaDB"
    assert heard[0][3] == 1 and heard[0][4:8] == b"\0\x82\0\0" and heard[0][36:] == b"probe\0\0"


def test_mysql_says_good_bye_where_it_is_let_in(serve: Serve) -> None:
    heard: list[bytes] = []
    probe("127.0.0.1", serve(mysql(heard, GREETING, b"\0\0\0\2\0\0\0")), "mysql")
    assert heard[1] == b"\x01\0\0\0\x01"


def test_mysql_that_refuses_this_host(serve: Serve) -> None:
    found = probe("127.0.0.1", serve(mysql([], b"\xff\x6a\x04Host 'x' is not allowed")), "mysql")
    assert (found["answers"], found["look"], found["banner"]) == (
        True,
        {"code": 1130, "greeting": ""},
        "Host 'x' is not allowed",
    )
    good = probe("127.0.0.1", serve(mysql([], GREETING, b"\xff\x15\x04no")), "mysql")
    assert service_compare.differences(good, found) == ["answers with code 0 over IPv4 and 1130 over IPv6"]
    assert service_compare.differences(found, found) == []


def test_postgresql(serve: Serve, tls: ssl.SSLContext) -> None:
    heard: list[bytes] = []

    def act(connection: socket.socket) -> None:
        heard.append(connection.recv(8))
        connection.sendall(b"S")
        with tls.wrap_socket(connection, server_side=True) as secure:
            heard.append(secure.recv(10))

    look = probe("127.0.0.1", serve(act), "postgresql")["look"]
    assert look["starttls"] == "offered" and not look["certificate"]["fits"]
    assert heard[0] == b"\0\0\0\x08\x04\xd2\x16\x2f"


def test_dns_over_tcp(serve: Serve) -> None:
    def act(connection: socket.socket) -> None:
        question = connection.recv(4096)
        answer = question[2:4] + b"\x80\x05" + question[6:]
        connection.sendall(len(answer).to_bytes(2, "big") + answer)

    found = probe("127.0.0.1", serve(act), "dns")
    assert (found["answers"], found["look"], found["banner"]) == (True, {"code": 5}, "")


# --------------------------------------------------------------------------------------------------------------
# UDP

Reply = Callable[[bytes], "list[bytes]"]


@pytest.fixture
def serve_udp() -> Iterator[Callable[..., int]]:
    """Starts a server that answers each packet with some, and returns its port."""
    with ExitStack() as stack:

        def _serve(reply: Reply, address: str = "127.0.0.1") -> int:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            stream = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            stream.bind((address, 0))

            def _run() -> None:
                with suppress(OSError):
                    while True:
                        heard, place = stream.recvfrom(65536)
                        for each in reply(heard):
                            stream.sendto(each, place)

            threading.Thread(target=_run, daemon=True).start()
            return int(stream.getsockname()[1])

        yield _serve


ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "dns": lambda asked: asked[:2] + b"\x80\x05" + asked[4:],
    "ntp": lambda asked: b"\x24" + bytes(23) + asked[40:48] + bytes(16),
    "stun": lambda asked: b"\x01\x01\0\0" + asked[4:20],
    "quic": lambda asked: b"\xc0\0\0\0\0" + asked[14:23] + asked[5:14] + b"\0\0\0\x01",
}


def test_all_are_tried_here() -> None:
    assert service_probe_udp.udp_protocols() == {53: "dns", 123: "ntp", 3478: "stun", 443: "quic"}
    assert ANSWERS.keys() == {*service_probe_udp.udp_protocols().values()}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("protocol", ANSWERS)
def test_an_answer(serve_udp: Callable[..., int], protocol: str, address: str) -> None:
    port = serve_udp(lambda asked: [b"", asked, bytes(48), ANSWERS[protocol](asked)], address)
    found = service_probe_udp.probe_udp(address, port, protocol)
    assert found.pop("seconds") < 1
    assert found.pop("look") == ({"code": 5} if protocol == "dns" else {})
    assert found == {
        "address": address,
        "port": port,
        "protocol": protocol,
        "name": "",
        "answers": True,
        "banner": "",
        "error": "",
        "reason": "",
    }


@pytest.mark.parametrize("protocol", ANSWERS)
def test_the_answer_to_another_question(serve_udp: Callable[..., int], protocol: str) -> None:
    other = service_probe_udp.question(protocol)
    found = service_probe_udp.probe_udp("127.0.0.1", serve_udp(lambda _: [ANSWERS[protocol](other)]), protocol, WAIT)
    assert (found["answers"], found["reason"], found["error"]) == (
        False,
        "garbage",
        "answered, but not in this protocol",
    )
    assert found["seconds"] < LATE


def test_a_packet_that_is_lost(serve_udp: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_probe_udp, "AGAIN", 0.05)
    asked: list[bytes] = []

    def second(question: bytes) -> list[bytes]:
        asked.append(question)
        return [ANSWERS["dns"](question)] if len(asked) > 1 else []

    assert service_probe_udp.probe_udp("127.0.0.1", serve_udp(second), "dns")["answers"]


def test_nobody_answers_over_udp(serve_udp: Callable[..., int]) -> None:
    began = time.monotonic()
    found = service_probe_udp.probe_udp("127.0.0.1", serve_udp(lambda _: []), "ntp", WAIT)
    assert (found["answers"], found["reason"], found["error"]) == (False, "timeout", "no answer within 0.4 s")
    assert WAIT <= time.monotonic() - began < LATE


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nobody_listens_over_udp(address: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((address, 0))
        port = free.getsockname()[1]
    found = service_probe_udp.probe_udp(address, port, "stun")
    assert (found["answers"], found["reason"], found["error"]) == (False, "refused", "connection refused")


def test_a_zone_that_is_not_there() -> None:
    found = service_probe_udp.probe_udp("fe80::1%nowhere", 53, "dns")
    assert (found["reason"], found["error"]) == ("unreachable", "this host has no such zone")
