"""
One connection of a probe: all that happens on it ends at one deadline, and every failure has a reason of one word.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import socket
import ssl
import struct
import time
from collections.abc import Iterator

LIMIT = 16384  # bytes in which an answer has to be complete
BANNER = 200  # characters of the first line that are shown
PARTING = 0.5  # seconds at most for the peer to say good-bye
ANYTHING = re.compile(b"")
REFUSED, UNREACHABLE, TIMEOUT, CLOSED, ALERT, GARBAGE = (
    "refused",
    "unreachable",
    "timeout",
    "closed",
    "alert",
    "garbage",
)
GONE = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of the PROXY protocol, version 2
STREAMS = {"v1": ("TCP4", "TCP6"), "v2": (0x11, 0x21)}  # how the PROXY protocol names TCP over each family
# An alert is TLS: the other side speaks it, but refuses. OpenSSL names alerts by the version that introduced them.
ALERTS = re.compile(r"(?:SSLV3_ALERT|TLSV13_ALERT|TLSV1_ALERT|TLSV1)_(.+)")


class Failure(Exception):
    """What happened instead of an answer: `reason` is one word, the text says it."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


class Stream:
    """
    A connection. What its methods raise is always a :py:class:`Failure`.

    address, port
        The other side.
    seconds
        How long all of it may take.
    """

    def __init__(self, address: str, port: int, seconds: float) -> None:
        self.seconds = max(seconds, 0)
        self.deadline = time.monotonic() + seconds
        self.awaited = "connection"  # what comes next, for messages
        self.buffer = bytearray()  # what has been heard and not been taken
        self.beginning = b""  # the first that was heard
        self.banner: bytes | None = None  # what to show instead, where that is no text
        with self.failing():
            self.socket = connect(address, port, self.left())
        self.awaited = "banner"

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Failures of the network become a :py:class:`Failure`."""
        try:
            yield
        except TimeoutError:
            missing = f"end of the {self.awaited}" if self.buffer else self.awaited
            raise Failure(TIMEOUT, f"no {missing} within {self.seconds:.3g} s") from None
        except OSError as error:
            raise failure(error) from None

    def left(self) -> float:
        """The seconds that are left. One deadline for all: a byte a second must not extend it."""
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def say(self, words: bytes) -> None:
        """
        Send all of it.

        words
            What to send.
        """
        try:
            with self.failing():
                self.socket.settimeout(self.left())
                self.socket.sendall(words)
        except Failure as failure:
            if failure.reason == CLOSED:
                self.more()  # the reason may have come before the end: an alert
            raise

    def more(self) -> bool:
        """Wait for more in `buffer`; returns whether there is any: ``False`` at the end of the connection."""
        with self.failing():
            self.socket.settimeout(self.left())
            piece = self.socket.recv(65536)
        self.beginning += piece[: 4 * BANNER - len(self.beginning)]
        self.buffer += piece
        return bool(piece)

    def hear(self, whole: re.Pattern[bytes], first: re.Pattern[bytes] = ANYTHING) -> bytes:
        """
        Wait for an answer, and take it.

        whole
            What an answer is, up to its end.
        first
            How its first line begins; anything else is another protocol.
        """
        while True:
            if b"\n" in self.buffer and not first.match(self.buffer):
                raise Failure(GARBAGE, "answered, but not in this protocol")
            found = whole.search(self.buffer)
            if found:
                answer = bytes(self.buffer[: found.end()])
                del self.buffer[: found.end()]
                return answer
            if len(self.buffer) > LIMIT:
                raise Failure(GARBAGE, f"no end of the {self.awaited} in {LIMIT} bytes")
            self.more_or_fail()

    def take(self, count: int) -> bytes:
        """
        Wait for so many bytes, and take them.

        count
            How many.
        """
        while len(self.buffer) < count:
            self.more_or_fail()
        answer = bytes(self.buffer[:count])
        del self.buffer[:count]
        return answer

    def ask(self, words: bytes, whole: re.Pattern[bytes], awaited: str) -> bytes:
        """
        Say something, and wait for the answer.

        words
            What to say.
        whole
            What an answer is, up to its end.
        awaited
            What the answer is called in messages.
        """
        self.awaited = awaited
        self.say(words)
        return self.hear(whole)

    def part(self, goodbye: bytes, farewell: bytes = b"") -> None:
        """
        Say good-bye, and wait a moment for the other side to do so: daemons log a connection that was lost.

        goodbye
            What to say; may be empty.
        farewell
            What is in the other side's last words; without any, the end of the connection is waited for.
        """
        if goodbye:
            with contextlib.suppress(OSError, Failure):
                self.deadline = min(self.deadline, time.monotonic() + PARTING)
                self.say(goodbye)
                while piece := self.socket.recv(4096):
                    if farewell and farewell in piece:
                        break
                    self.socket.settimeout(self.left())
        if isinstance(self.socket, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self.socket.settimeout(0)  # sends close_notify, and does not wait for the other side's
                self.socket.unwrap()

    def close(self) -> None:
        """The end of the connection."""
        self.socket.close()

    def more_or_fail(self) -> None:
        """Wait for more in `buffer`, which has to come."""
        if not self.more():
            when = f"in the middle of the {self.awaited}" if self.buffer else "without sending anything"
            raise Failure(CLOSED, f"closed the connection {when}")


def connect(address: str, port: int, seconds: float) -> socket.socket:
    """
    A TCP connection.

    address, port
        The other side: a numeric address, maybe with a zone.
    seconds
        For the connection, and for each wait on it.

    Raises ``OSError``.
    """
    try:
        # Numeric addresses only: a name service could take longer than the deadline. Zones are supported.
        family, _, _, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )[0]
    except socket.gaierror:
        raise OSError(errno.ENODEV, "this host has no such zone") from None
    stream = socket.socket(family, socket.SOCK_STREAM)
    try:
        stream.settimeout(seconds)
        stream.connect(place)
        # If nothing listens on a port of the ephemeral range, the kernel may choose that same port for this end and
        # connect the socket to itself.
        if stream.getsockname() == stream.getpeername():
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        # What is said is said at once: two small packets in a row must not wait for each other.
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        stream.close()
        raise
    return stream


def proxy_header(stream: Stream, version: str) -> bytes:
    """
    The header of the PROXY protocol (haproxy's ``proxy-protocol.txt``), with this very connection's addresses.

    stream
        The connection.
    version
        ``v1`` or ``v2``.
    """
    ends = [
        (str(end[0]).partition("%")[0], end[1]) for end in (stream.socket.getsockname(), stream.socket.getpeername())
    ]
    (source, source_port), (target, target_port) = ends
    kind = STREAMS[version][":" in source]
    if version == "v1":
        return f"PROXY {kind} {source} {target} {source_port} {target_port}\r\n".encode()
    places = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    places += struct.pack("!HH", source_port, target_port)
    return SIGNATURE + struct.pack("!BBH", 0x21, kind, len(places)) + places


def literal(address: str) -> str:
    """
    An address as URLs and JIDs have it, RFC 3986 section 3.2.2; the zone means nothing to others.

    address
        IPv4 or IPv6.
    """
    return f"[{address.partition('%')[0]}]" if ":" in address else address


def first_line(heard: bytes) -> str:
    """
    The first line of an answer, as it can be shown.

    heard
        Its bytes.
    """
    line = heard.partition(b"\n")[0].rstrip(b"\r").decode("utf-8", "replace")
    return "".join(each if each.isprintable() else "?" for each in line[:BANNER])


def failure(error: OSError) -> Failure:
    """
    A failure of the network.

    error
        What the kernel or the library for TLS said.
    """
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Failure(CLOSED, "closed the connection")
    if isinstance(error, ssl.SSLError):
        alert = ALERTS.fullmatch(error.reason or "")
        if alert:
            return Failure(ALERT, f"speaks TLS, but refuses: alert {_plain(alert[1])}")
        return Failure(GARBAGE, f"does not speak TLS: {_plain(error.reason or str(error))}")
    words = (error.strerror or str(error)).lower()
    if error.errno == errno.ECONNREFUSED:
        return Failure(REFUSED, words)
    return Failure(CLOSED if error.errno in GONE else UNREACHABLE, words)


def _plain(reason: str) -> str:
    return reason.lower().replace("_", " ")
