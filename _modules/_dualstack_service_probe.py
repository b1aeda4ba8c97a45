"""
Whether a daemon answers: a connection, and enough of its protocol to know that it is alive.

A daemon may listen and yet not serve: the kernel accepts connections for a process that hangs, and Postfix listens with
a configuration on which every one of its ``smtpd`` dies. So a banner has to come, or an answer. A probe ends the
conversation properly, if the protocol can, so that it leaves no errors in logs.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import ipaddress
import math
import os
import re
import socket
import ssl
import time
from typing import Any, NamedTuple

import _dualstack_host_time as host_time
from salt.exceptions import SaltInvocationError

LIMIT = 16384  # bytes in which a greeting has to be complete
BANNER = 200  # characters of it that are shown
PARTING = 0.5  # seconds at most for the peer to say good-bye
WORKERS = 32  # probes at the same time
LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")


class Talk(NamedTuple):
    """How a protocol begins."""

    first: re.Pattern[bytes]  # how the first line begins
    whole: re.Pattern[bytes]  # what makes the greeting complete
    hello: str = ""  # what the client says first
    goodbye: bytes | None = None  # what it says last; None: it just disconnects


def _lines(first: bytes, whole: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    flags = re.MULTILINE | re.IGNORECASE
    return re.compile(first, flags), re.compile(rb"^" + whole + rb"[^\n]*\n", flags)


def _stream(namespaces: str) -> Talk:
    """The opening of an XML stream, RFC 6120 section 4.2; an error of the other side comes in a stream, too."""
    return Talk(
        re.compile(rb"\s*(?:<|\Z)"),
        re.compile(rb"<stream:stream|<\?xml"),
        "<?xml version='1.0'?><stream:stream to='{host}' version='1.0' "
        f"xmlns:stream='http://etherx.jabber.org/streams' {namespaces}>",
        b"</stream:stream>",
    )


# 220- begins a greeting of several lines, 220 ends it, RFC 5321 section 4.2 and RFC 959 section 4.2. Before its end
# nothing may be sent: postscreen(8) sends a first line to detect clients that talk too early.
_REPLY = _lines(rb"220(?:[ -]|\r?\n)", rb"220(?= |\r?\n)")
TALKS: dict[str, Talk | None] = {
    "smtp": Talk(*_REPLY, goodbye=b"QUIT\r\n"),
    "imap": Talk(*_lines(rb"\* (?:OK|PREAUTH)\b", rb"\* (?:OK|PREAUTH)\b"), goodbye=b"a LOGOUT\r\n"),
    "pop3": Talk(*_lines(rb"\+OK\b", rb"\+OK\b"), goodbye=b"QUIT\r\n"),
    "ftp": Talk(*_REPLY, goodbye=b"QUIT\r\n"),
    # Other lines may come before the version, RFC 4253 section 4.2. sshd logs an error for a client that disconnects
    # without its own version; not for one that sends SSH_MSG_DISCONNECT, section 11.1.
    "ssh": Talk(
        *_lines(rb"", rb"SSH-"),
        goodbye=b"SSH-2.0-probe\r\n" + b"\0\0\0\x14\x06" + b"\x01" + b"\0\0\0\x0b" + bytes(8) + bytes(6),
    ),
    "http": Talk(
        *_lines(rb"HTTP/", rb"HTTP/"),
        hello="HEAD / HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n",
        goodbye=b"",
    ),
    "xmpp": _stream("xmlns='jabber:client'"),
    "xmpp-server": _stream("xmlns='jabber:server' xmlns:db='jabber:server:dialback'"),
    "tcp": None,
}
# The same over TLS.
SECURE = {"smtps": "smtp", "imaps": "imap", "pop3s": "pop3", "https": "http", "tls": "tcp"}


def protocols() -> list[str]:
    """
    The protocols that :py:func:`probe` speaks.

    ``tcp`` is a bare connection, which proves no more than that the kernel listens, and ``tls`` a bare handshake.
    """
    return sorted([*TALKS, *SECURE])


def probe(address: str, port: int, protocol: str = "tcp", timeout: float = 5.0, name: str = "") -> dict[str, Any]:
    """
    Probe whether a daemon answers at one address and port.

    address
        IPv4 or IPv6, maybe with a zone: ``127.0.0.1``, ``::1``, ``fe80::1%eth0``.
    port
        The TCP port.
    protocol
        One of :py:func:`protocols`.
    timeout
        Seconds in total, however slowly the other side answers.
    name
        The host name to send in TLS (SNI), HTTP and XMPP. By default none, and the address.

    Returns these three, ``answers``: whether it is alive; ``banner``: its first line, at most 200 printable characters;
    ``error``: empty, or what happened instead; ``seconds``: the time taken. Certificates are not verified, and old
    versions of TLS are accepted: the probe tests that it answers, not who it is. Raises ``SaltInvocationError`` for
    invalid arguments, and nothing for network errors.
    """
    _refuse(address, port, protocol, timeout, name)
    return _probe(math.inf, address, port, protocol, timeout, name)


def probe_all(targets: list[dict[str, Any]], timeout: float = 5.0) -> list[dict[str, Any]]:
    """
    Ask many at the same time.

    targets
        Each with ``address`` and ``port``, and maybe ``protocol`` and ``name``.
    timeout
        Seconds for each; 32 are asked at a time. Within a state, all have as many as that has left.

    Returns the result of :py:func:`probe` for each, in the order of the targets. Raises ``SaltInvocationError`` before
    anything is asked.
    """
    complete = []
    for each in targets:
        if not isinstance(each, dict) or not {"address", "port"} <= set(each) <= {
            "address",
            "port",
            "protocol",
            "name",
        }:
            raise SaltInvocationError(
                f"targets: {each!r} is not a mapping of address and port, and maybe protocol and name"
            )
        complete.append((each["address"], each["port"], each.get("protocol", "tcp"), timeout, each.get("name", "")))
    for target in complete:
        _refuse(*target)
    end = time.monotonic() + host_time.left(math.inf)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda target: _probe(end, *target), complete))


def _refuse(address: Any, port: Any, protocol: Any, timeout: Any, name: Any) -> None:
    try:
        ipaddress.ip_address(address if isinstance(address, str) else "")
    except ValueError:
        raise SaltInvocationError(f"address: {address!r} is not an address of IPv4 or IPv6") from None
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise SaltInvocationError(f"port: {port!r} is not a port; expected a number from 1 to 65535")
    if protocol not in protocols():
        raise SaltInvocationError(
            f"protocol: {protocol!r} is not a protocol that is known; expected one of {', '.join(protocols())}"
        )
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 3600:
        raise SaltInvocationError(f"timeout: {timeout!r} is not a number of seconds up to 3600")
    if not isinstance(name, str) or (name and not (len(name) < 254 and NAME.fullmatch(name))):
        raise SaltInvocationError(f"name: {name!r} is not the name of a host")


def _probe(end: float, address: str, port: int, protocol: str, timeout: float, name: str) -> dict[str, Any]:
    begin = time.monotonic()
    timeout = min(timeout, end - begin)
    deadline = begin + timeout
    talk = TALKS[SECURE.get(protocol, protocol)]
    heard = bytearray()
    error = ""
    missing = "connection"
    try:
        with _connect(address, port, deadline) as plain:
            missing = "TLS handshake"
            with _encrypt(plain, name, deadline) if protocol in SECURE else plain as stream:
                missing = "banner"
                if talk:
                    _say(stream, talk.hello.format(host=name or _literal(address), port=port).encode(), deadline)
                    error = _hear(stream, talk, heard, deadline)
                if not error:
                    _leave(stream, talk, deadline)
    except TimeoutError:
        error = f"no {'end of the banner' if heard else missing} within {max(timeout, 0):.3g} s"
    except OSError as failure:
        error = _words(failure)
    return {
        "address": address,
        "port": port,
        "protocol": protocol,
        "answers": not error,
        "banner": _banner(bytes(heard)),
        "error": error,
        "seconds": round(time.monotonic() - begin, 3),
    }


def _connect(address: str, port: int, deadline: float) -> socket.socket:
    try:
        # Numeric addresses only: a name service could take longer than the deadline. Zones are supported.
        family, _, _, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )[0]
    except socket.gaierror:
        raise OSError(errno.ENODEV, "this host has no such zone") from None
    stream = socket.socket(family, socket.SOCK_STREAM)
    try:
        stream.settimeout(_left(deadline))
        stream.connect(place)
        # If nothing listens on a port of the ephemeral range, the kernel may choose that same port for this end and
        # connect the socket to itself.
        if stream.getsockname() == stream.getpeername():
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    except OSError:
        stream.close()
        raise
    return stream


def _encrypt(plain: socket.socket, name: str, deadline: float) -> ssl.SSLSocket:
    """The handshake, with everything the library still supports: old servers count, too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options |= 0x4  # SSL_OP_LEGACY_SERVER_CONNECT: servers from before RFC 5746
    with contextlib.suppress(ssl.SSLError):  # not every library has security levels
        context.set_ciphers("ALL:@SECLEVEL=0")
    plain.settimeout(_left(deadline))
    return context.wrap_socket(plain, server_hostname=name or None)


def _say(stream: socket.socket, words: bytes, deadline: float) -> None:
    stream.settimeout(_left(deadline))
    stream.sendall(words)


def _hear(stream: socket.socket, talk: Talk, heard: bytearray, deadline: float) -> str:
    """Collect the greeting in `heard`; returns its error, if any."""
    while True:
        if b"\n" in heard and not talk.first.match(heard):
            return "answered, but not in this protocol"
        if talk.whole.search(heard):
            return ""
        if len(heard) > LIMIT:
            return f"no end of the banner in {LIMIT} bytes"
        stream.settimeout(_left(deadline))
        piece = stream.recv(4096)
        if not piece:
            return f"closed the connection {'in the middle of the banner' if heard else 'without sending anything'}"
        heard += piece


def _leave(stream: socket.socket, talk: Talk | None, deadline: float) -> None:
    """Say good-bye, and wait a moment for the other side to do so: daemons log a connection that was lost."""
    with contextlib.suppress(OSError):
        if talk and talk.goodbye is not None:
            deadline = min(deadline, time.monotonic() + PARTING)
            _say(stream, talk.goodbye, deadline)
            while stream.recv(4096):
                stream.settimeout(_left(deadline))
    if isinstance(stream, ssl.SSLSocket):
        with contextlib.suppress(OSError):
            stream.settimeout(0)  # sends close_notify, and does not wait for the other side's
            stream.unwrap()


def _left(deadline: float) -> float:
    """The seconds that are left. One deadline for all: a server that sends a byte a second must not extend it."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _literal(address: str) -> str:
    """An address as URLs and JIDs have it, RFC 3986 section 3.2.2; the zone means nothing to others."""
    return f"[{address.partition('%')[0]}]" if ":" in address else address


def _words(failure: OSError) -> str:
    if isinstance(failure, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "closed the connection in the TLS handshake"
    if isinstance(failure, ssl.SSLError):
        reason = (failure.reason or str(failure)).lower().replace("_", " ")
        # An alert is TLS: the other side speaks it, but refuses.
        return f"refuses TLS: {reason}" if "alert" in reason else f"does not speak TLS: {reason}"
    return (failure.strerror or str(failure)).lower()


def _banner(heard: bytes) -> str:
    line = heard.partition(b"\n")[0].rstrip(b"\r").decode("utf-8", "replace")
    return "".join(each if each.isprintable() else "?" for each in line[:BANNER])
