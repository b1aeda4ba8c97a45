"""
Conversations of daemons that speak in packets: MySQL and MariaDB, PostgreSQL, and DNS over TCP.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, MutableMapping
from typing import Any

import _dualstack_service_probe_stream as service_probe_stream
import _dualstack_service_probe_tls as service_probe_tls
import _dualstack_service_probe_udp as service_probe_udp

Look = MutableMapping[str, Any]

MYSQL_10, MYSQL_ERROR = 10, 255  # the first byte of a greeting
MYSQL_QUIT = b"\x01\0\0\0\x01"
# CLIENT_PROTOCOL_41 and CLIENT_SECURE_CONNECTION; 16 MiB; utf8; a user of this name, and no password.
MYSQL_LOGIN = struct.pack("<IIB23x", 0x8200, 1 << 24, 33) + b"probe\0\0"
SSL_REQUEST = struct.pack("!II", 8, 80877103)


def mysql(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: Look) -> None:
    """
    The client/server protocol of MySQL: the server speaks first.

    A client that leaves without a login counts as an error of its host, and after 100 of them the server blocks that
    host. So a login is tried, which is refused.

    stream
        The connection.
    target
        Of ``service_probe.probe``; all of its facts are known from the connection.
    look
        Gets ``greeting``: the server's version, and ``code``: 0, or the number of the error that it begins with: that
        is an answer, too, such as 1130, "Host ... is not allowed to connect".
    """
    number, packet = _mysql_packet(stream)
    if packet[:1] == bytes([MYSQL_ERROR]) and len(packet) > 3:
        look.update(code=int.from_bytes(packet[1:3], "little"), greeting="")
        stream.banner = packet[3:]
        return
    if packet[:1] != bytes([MYSQL_10]):
        raise service_probe_stream.Failure(service_probe_stream.GARBAGE, "answered, but not in this protocol")
    stream.banner = packet[1:].partition(b"\0")[0]
    look.update(code=0, greeting=service_probe_stream.first_line(stream.banner))
    stream.awaited = "answer to a login"
    stream.say(len(MYSQL_LOGIN).to_bytes(3, "little") + bytes([number + 1]) + MYSQL_LOGIN)
    number, packet = _mysql_packet(stream)
    if packet[:1] == b"\xfe":  # asks for another way to say the password: there is none
        stream.say(b"\0\0\0" + bytes([number + 1]))
        number, packet = _mysql_packet(stream)
    stream.part(MYSQL_QUIT if packet[:1] == b"\0" else b"")


def _mysql_packet(stream: service_probe_stream.Stream) -> tuple[int, bytes]:
    header = stream.take(4)
    length = int.from_bytes(header[:3], "little")
    if length > service_probe_stream.LIMIT:
        raise service_probe_stream.Failure(service_probe_stream.GARBAGE, "answered, but not in this protocol")
    return header[3], stream.take(length)


def postgresql(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: Look) -> None:
    """
    The frontend/backend protocol of PostgreSQL: whether it speaks TLS, which is asked before a user is named.

    stream
        The connection.
    target
        Of ``service_probe.probe``, complete.
    look
        Gets ``starttls``: ``offered`` or empty, and ``certificate``.
    """
    stream.say(SSL_REQUEST)
    answer = stream.take(1)
    if answer not in (b"S", b"N"):
        raise service_probe_stream.Failure(service_probe_stream.GARBAGE, "answered, but not in this protocol")
    stream.banner = b""  # that letter tells a reader nothing
    look["starttls"] = "offered" if answer == b"S" else ""
    if answer == b"S":
        service_probe_tls.upgrade(stream, target["name"], look)
    stream.part(b"")


def dns(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: Look) -> None:
    """
    DNS over TCP, RFC 7766.

    stream
        The connection.
    target
        Of ``service_probe.probe``; all of its facts are known from the connection.
    look
        Gets ``code``: that of the response.
    """
    question = service_probe_udp.question("dns")
    stream.say(struct.pack("!H", len(question)) + question)
    (length,) = struct.unpack("!H", stream.take(2))
    look.update(service_probe_udp.answer("dns", question, stream.take(length)))
    stream.banner = b""  # not a text
