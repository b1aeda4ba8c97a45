"""
Whether a daemon answers over UDP: a question of its own protocol, asked again while no answer comes.

UDP has no connection: where the protocol has no question that anybody may ask, nothing can be known. For these four it
has one: DNS, NTP, STUN, and QUIC (HTTP/3), whose servers answer an unknown version with those that they know.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import _dualstack_host_time as host_time
import _dualstack_service_probe_stream as service_probe_stream

AGAIN = 1.0  # seconds after which a question is repeated: packets get lost
MAGIC = 0x2112A442  # of STUN, RFC 8489 section 5
RESERVED = 0x1A2A3A4A  # a version of QUIC that never is one, RFC 9000 section 15
QUIC_SMALLEST = 1200  # bytes of what a server of QUIC answers, section 14.1


class Question(NamedTuple):
    """A protocol's question, and its answer: what is known of it, or nothing where it is none."""

    ask: Callable[[], bytes]
    read: Callable[[bytes, bytes], dict[str, Any] | None]


def udp_protocols() -> dict[int, str]:
    """
    The protocols that :py:func:`probe_udp` speaks, by their usual ports.
    """
    return {53: "dns", 123: "ntp", 3478: "stun", 443: "quic"}


def probe_udp(address: str, port: int, protocol: str, timeout: float = 5.0) -> dict[str, Any]:
    """
    Probe whether a daemon answers at one address and port.

    address
        IPv4 or IPv6, maybe with a zone.
    port
        The UDP port.
    protocol
        One of :py:func:`udp_protocols`.
    timeout
        Seconds; within a state, no more than that has left.

    Returns what ``service_probe.probe`` does. Raises nothing for network errors.
    """
    begin = time.monotonic()
    timeout = min(timeout, host_time.left(math.inf))
    result = {"address": address, "port": port, "protocol": protocol, "name": "", "banner": "", "look": {}}
    try:
        look = _exchange(address, port, protocol, begin + timeout)
        result.update(answers=True, error="", reason="", look=look)
    except TimeoutError:
        words = f"no answer within {timeout:.3g} s"
        result.update(answers=False, error=words, reason=service_probe_stream.TIMEOUT)
    except (service_probe_stream.Failure, OSError) as error:
        said = service_probe_stream.failure(error) if isinstance(error, OSError) else error
        result.update(answers=False, error=str(said), reason=said.reason)
    result["seconds"] = round(time.monotonic() - begin, 3)
    return result


def question(protocol: str) -> bytes:
    """
    A question, with an identifier of its own.

    protocol
        One of :py:func:`udp_protocols`.
    """
    return QUESTIONS[protocol].ask()


def answer(protocol: str, asked: bytes, heard: bytes) -> dict[str, Any]:
    """
    What an answer says.

    protocol
        One of :py:func:`udp_protocols`.
    asked
        The question.
    heard
        The answer.

    Raises ``Failure`` where it is no answer to this question.
    """
    found = QUESTIONS[protocol].read(asked, heard)
    if found is None:
        raise service_probe_stream.Failure(service_probe_stream.GARBAGE, "answered, but not in this protocol")
    return found


def _exchange(address: str, port: int, protocol: str, end: float) -> dict[str, Any]:
    try:
        family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[
            0
        ]
    except socket.gaierror:
        raise OSError(errno.ENODEV, "this host has no such zone") from None
    asked = question(protocol)
    last: service_probe_stream.Failure | None = None
    with socket.socket(family, socket.SOCK_DGRAM) as stream:
        stream.connect(place)
        while (now := time.monotonic()) < end:
            stream.send(asked)
            again = min(end, now + AGAIN)
            while (left := again - time.monotonic()) > 0:
                stream.settimeout(left)
                try:
                    return answer(protocol, asked, stream.recv(65536))
                except TimeoutError:
                    break
                except service_probe_stream.Failure as failure:  # the right one may still come
                    last = failure
    raise last or TimeoutError


def _ask_dns() -> bytes:
    """The name servers of the root, which every server can tell, or refuse to; no recursion."""
    return os.urandom(2) + bytes.fromhex("0000 0001 0000 0000 0000 00 0002 0001")


def _read_dns(asked: bytes, heard: bytes) -> dict[str, Any] | None:
    if len(heard) < 12 or heard[:2] != asked[:2] or not heard[2] & 0x80:
        return None
    return {"code": heard[3] & 0x0F}


def _ask_ntp() -> bytes:
    """Mode 3, a client's, of version 4, RFC 5905 section 7.3."""
    return b"\x23" + bytes(39) + os.urandom(8)


def _read_ntp(asked: bytes, heard: bytes) -> dict[str, Any] | None:
    return {} if len(heard) >= 48 and heard[0] & 7 == 4 and heard[24:32] == asked[40:48] else None


def _ask_stun() -> bytes:
    return struct.pack("!HHI", 0x0001, 0, MAGIC) + os.urandom(12)


def _read_stun(asked: bytes, heard: bytes) -> dict[str, Any] | None:
    """A success or an error, section 6.3."""
    return {} if len(heard) >= 20 and heard[:2] in (b"\x01\x01", b"\x01\x11") and heard[4:20] == asked[4:20] else None


def _ask_quic() -> bytes:
    """A long header and two connection identifiers, of a version that is reserved to provoke Version Negotiation."""
    header = b"\xc0" + struct.pack("!I", RESERVED) + b"\x08" + os.urandom(8) + b"\x08" + os.urandom(8)
    return header + bytes(QUIC_SMALLEST - len(header))


def _read_quic(asked: bytes, heard: bytes) -> dict[str, Any] | None:
    """RFC 9000 section 17.2.1: version 0, and the identifiers the other way round."""
    return {} if len(heard) > 22 and heard[0] & 0x80 and heard[1:23] == bytes(4) + asked[14:23] + asked[5:14] else None


QUESTIONS = {
    "dns": Question(_ask_dns, _read_dns),
    "ntp": Question(_ask_ntp, _read_ntp),
    "stun": Question(_ask_stun, _read_stun),
    "quic": Question(_ask_quic, _read_quic),
}
