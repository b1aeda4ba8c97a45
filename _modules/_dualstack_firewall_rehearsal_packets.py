"""
The packets of a rehearsal: built, recognised, and answered. PURE: never accesses the host.

The script of ``firewall_rehearsal_script`` uses it, so it imports no other room and nothing of Salt's.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Hashable
from typing import Any, NamedTuple

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
ICMP = {"ipv4": socket.IPPROTO_ICMP, "ipv6": socket.IPPROTO_ICMPV6}
ETHERTYPE = {"ipv4": 0x0800, "ipv6": 0x86DD}
FAMILY = {number: family for family, number in ETHERTYPE.items()}
FENCE = 0x88B5  # an ethertype for experiments, IEEE 802: no firewall of IP sees it
OUTGOING = 4  # PACKET_OUTGOING, packet(7)
SYN, RST, PSH, ACK = 2, 4, 8, 16
FIRST_PORT = 40000
# Answers go to the gateway's hardware address, which nobody has: only the raw socket at the outer end hears them.
NEAR, FAR, GATEWAY = (bytes((2, 0, 0, 0, 0, number)) for number in (1, 2, 3))
# A TCP probe is identified by its sequence number, any other, and what follows the first packets, by the payload.
FIRST_NUMBER, APART = 0x5EED0000, 256
MAGIC = b"firewall rehearsal"
ASKED, ANSWERED = b"?", b"!"
# Types of ICMP (RFC 792) and ICMPv6 (RFC 4443)
ECHO = {"ipv4": (8, 0), "ipv6": (128, 129)}
UNREACHABLE = {"ipv4": 3, "ipv6": 1}
SOLICITATION, ADVERTISEMENT = 135, 136  # RFC 4861


class Packet(NamedTuple):
    """The payload of an IP packet, and its addresses, packed."""

    family: str
    protocol: int
    source: bytes
    destination: bytes
    body: bytes


def probe(number: int, expectation: dict[str, Any], outer: str) -> dict[str, Any]:
    """
    An expectation, its packet, and the sides of client and server.

    A side is the outer end of the interface, or ``host``: what the host receives once its rules have let it in.

    number
        By which its packets are recognised.
    expectation
        From the job.
    outer
        The outer end of its interface.
    """
    inwards, local = expectation["direction"] == "in", expectation["interface"] == "lo"
    packet = _question(number, expectation)
    known = recognised(packet)
    return {
        **expectation,
        "number": number,
        "packet": packet,
        "key": known[0] if known else None,
        "asks": outer if inwards and not local else "host",
        "answers": "host" if inwards or local else outer,
        "seen": set(),
        "forwarded": None,
    }


def _question(number: int, expectation: dict[str, Any]) -> Packet:
    family, protocol = expectation["family"], expectation["protocol"]
    source, destination = (ipaddress.ip_address(expectation[key]).packed for key in ("source", "destination"))
    payload = MAGIC + struct.pack("!I", number) + ASKED
    if protocol == "tcp":
        body = _tcp(FIRST_PORT + number, expectation["port"], FIRST_NUMBER + number * APART, 0, SYN)
        return Packet(family, TCP, source, destination, body)
    if protocol == "udp":
        return Packet(family, UDP, source, destination, _udp(FIRST_PORT + number, expectation["port"], payload))
    if protocol == "icmp":
        body = struct.pack("!BBHHH", ECHO[family][0], 0, 0, FIRST_PORT + number, 1) + payload
    else:
        body = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + destination + b"\x01\x01" + GATEWAY
    return Packet(family, ICMP[family], source, destination, body)


def _tcp(source: int, destination: int, sequence: int, acknowledged: int, flags: int) -> bytes:
    header = struct.pack("!HHIIBBHHH", source, destination, sequence, acknowledged, 6 << 4, flags, 64240, 0, 0)
    return header + b"\x02\x04\x05\xb4"  # the largest segment, which no real SYN is without


def _udp(source: int, destination: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(payload), 0) + payload


def answer(question: Packet) -> Packet:
    """
    The answer of the side that was asked.

    question
        As it arrived there.
    """
    family, protocol, source, destination, body = question
    if protocol == TCP:
        source_port, destination_port, sequence = struct.unpack_from("!HHI", body)
        said = _tcp(destination_port, source_port, 1, sequence + 1, SYN | ACK)
    elif protocol == UDP:
        source_port, destination_port = struct.unpack_from("!HH", body)
        said = _udp(destination_port, source_port, body[8:-1] + ANSWERED)
    else:
        said = struct.pack("!BBH", ECHO[family][1], 0, 0) + body[4:]
    return Packet(family, protocol, destination, source, said)


def more(answered: Packet, number: int) -> Packet:
    """
    What the side that has asked for a TCP connection says once it is there.

    answered
        The answer.
    number
        Of the probe.
    """
    family, protocol, source, destination, body = answered
    source_port, destination_port, sequence, acknowledged = struct.unpack_from("!HHII", body)
    words = _tcp(destination_port, source_port, acknowledged, sequence + 1 & 0xFFFFFFFF, PSH | ACK)
    return Packet(family, protocol, destination, source, words + MAGIC + struct.pack("!I", number) + ASKED)


def recognised(packet: Packet) -> tuple[Hashable, str] | None:
    """
    Which probe a packet belongs to, and whether it is its question, its answer, or a refusal; ``None`` for another one.

    packet
        Any.
    """
    family, protocol, _, _, body = packet
    if protocol == TCP and len(body) >= 14:
        sequence, acknowledged, _, flags = struct.unpack_from("!IIBB", body, 4)
        if flags & (SYN | ACK | RST) == SYN:
            return (sequence - FIRST_NUMBER) // APART, "question"
        number, rest = divmod(acknowledged - 1 - FIRST_NUMBER, APART)
        told = "reset" if flags & RST else "thanks" if rest else "answer"
        return _by_payload(body[(body[12] >> 4) * 4 :], "more") or (number, told)
    if protocol == UDP:
        return _by_payload(body[8:], "answer" if body.endswith(ANSWERED) else "question")
    if protocol != ICMP[family] or len(body) < 8:
        return None
    kind = body[0]
    if kind == UNREACHABLE[family]:
        return _refused(family, body[8:])
    if kind in ECHO[family]:
        return _by_payload(body[8:], "question" if kind == ECHO[family][0] else "answer")
    if family == "ipv6" and kind in (SOLICITATION, ADVERTISEMENT):
        return body[8:24], "question" if kind == SOLICITATION else "answer"
    return None


def _by_payload(payload: bytes, kind: str) -> tuple[Hashable, str] | None:
    if not payload.startswith(MAGIC):
        return None
    number: int = struct.unpack_from("!I", payload, len(MAGIC))[0]
    return number, kind


def _refused(family: str, quoted: bytes) -> tuple[Hashable, str] | None:
    """An ICMP error is about the packet that it quotes."""
    packet = parsed(family, quoted)
    known = recognised(packet) if packet else None
    return (known[0], "error") if known and known[1] == "question" else None


def parsed(family: str, data: bytes) -> Packet | None:
    """
    An IP packet; ``None`` for what is none.

    family
        ``ipv4`` or ``ipv6``.
    data
        From its header on.
    """
    if family == "ipv4" and len(data) >= 20:
        return Packet(family, data[9], data[12:16], data[16:20], data[(data[0] & 15) * 4 :])
    if family == "ipv6" and len(data) >= 40:
        return Packet(family, data[6], data[8:24], data[24:40], data[40:])
    return None


def encoded(packet: Packet) -> bytes:
    """
    The IP packet, with its checksums. RFC 791, RFC 8200.

    packet
        Its payload and addresses.
    """
    family, protocol, source, destination, body = packet
    pseudo = source + destination + struct.pack("!II", len(body), protocol)
    offset = {TCP: 16, UDP: 6}.get(protocol, 2)
    checksum = _checksum(body if protocol == ICMP["ipv4"] else pseudo + body)
    body = body[:offset] + struct.pack("!H", checksum or 0xFFFF) + body[offset + 2 :]
    if family == "ipv6":
        hops = 255 if body[0] == SOLICITATION and protocol == ICMP[family] else 64
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, hops) + source + destination + body
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, protocol, 0) + source + destination
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + body


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def whereto(packet: Packet) -> str:
    """
    The destination of a packet, with its port.

    packet
        Any.
    """
    address = str(ipaddress.ip_address(packet.destination))
    if packet.protocol not in (TCP, UDP):
        return address
    port = struct.unpack_from("!H", packet.body, 2)[0]
    return f"[{address}]:{port}" if packet.family == "ipv6" else f"{address}:{port}"
