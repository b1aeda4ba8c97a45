"""
The TCP connections of this host, entered into the kernel's connection tracking before a rule depends on it.

A network namespace tracks nothing until a rule requires it. So when the first ruleset that accepts ``ESTABLISHED`` is
loaded, existing connections are not tracked. The next packet from the other end counts as new and is dropped until this
host itself has sent one: a minion would not hear its master for minutes.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator

import _dualstack_host_files as host_files
from salt.exceptions import CommandExecutionError

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
ESTABLISHED, LISTEN = "01", "0A"  # include/net/tcp_states.h
TIMEOUT = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established"
FIVE_DAYS = 432_000  # seconds; the kernel's own default

# linux/netlink.h, linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h, nf_conntrack_common.h, nf_conntrack_tcp.h
NETLINK_NETFILTER = 12
NEW = 1 << 8  # IPCTNL_MSG_CT_NEW of NFNL_SUBSYS_CTNETLINK
REQUEST_ACK_CREATE_EXCL = 0x1 | 0x4 | 0x400 | 0x200
NESTED = 0x8000
TUPLE_ORIG, TUPLE_REPLY, STATUS, PROTOINFO, CT_TIMEOUT = 1, 2, 3, 4, 7
SEEN_REPLY_ASSURED_CONFIRMED = 0x2 | 0x4 | 0x8
TCP_ESTABLISHED = 3
LIBERAL = struct.pack("BB", 0x8, 0x8)  # the window is not known: learn it from the next packets
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
BUFFER = 1 << 13
PATIENCE = 5.0  # seconds for an answer that usually takes microseconds

End = tuple[str, int]


def connections() -> list[tuple[End, End]]:
    """
    The established TCP connections of this host.

    Returns for each the end that opened it, as far as that is known, and the other, both as address and port.
    """
    rows = [row for path in TABLES for row in _rows(path)]
    served = {local[1] for local, _, state in rows if state == LISTEN}
    return [
        (remote, local) if local[1] in served else (local, remote)
        for local, remote, state in rows
        if state == ESTABLISHED
    ]


def _rows(path: str) -> Iterator[tuple[End, End, str]]:
    """The lines of a table, proc(5)."""
    text = host_files.read(path) or ""  # there is none in a kernel without IPv6
    for line in text.splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        yield _end(local), _end(remote), state


def _end(text: str) -> End:
    """``0100007F:0016`` as an address, each word of it in the host's byte order, and a port."""
    address, _, port = text.partition(":")
    words = [int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8)]
    parsed = ipaddress.ip_address(b"".join(words))
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(parsed), int(port, 16)


def enter() -> int:
    """
    Enter every established TCP connection of this host that is not tracked yet.

    Returns how many there were. Tracked ones stay as they are. Raises ``CommandExecutionError`` where the kernel does
    not allow this.
    """
    timeout = int(host_files.read(TIMEOUT) or FIVE_DAYS)  # it may not be loaded yet
    entered = 0
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
            netlink.settimeout(PATIENCE)
            for opener, other in connections():
                netlink.sendto(_message(opener, other, timeout), (0, 0))
                (code,) = struct.unpack_from("=i", netlink.recv(BUFFER), HEADER.size)
                if code not in (0, -errno.EEXIST):
                    raise OSError(-code, "")
                entered += not code
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, str(error))
        raise CommandExecutionError(f"the kernel does not allow connections to be entered ({reason})") from None
    return entered


def _message(opener: End, other: End, timeout: int) -> bytes:
    family = socket.AF_INET6 if ":" in opener[0] else socket.AF_INET
    tcp = _attribute(1, bytes([TCP_ESTABLISHED])) + _attribute(4, LIBERAL) + _attribute(5, LIBERAL)
    payload = (
        struct.pack("=BBH", family, 0, 0)
        + _tuple(TUPLE_ORIG, family, opener, other)
        + _tuple(TUPLE_REPLY, family, other, opener)
        + _attribute(STATUS, struct.pack(">I", SEEN_REPLY_ASSURED_CONFIRMED))
        + _attribute(PROTOINFO | NESTED, _attribute(1 | NESTED, tcp))
        + _attribute(CT_TIMEOUT, struct.pack(">I", timeout))
    )
    return HEADER.pack(HEADER.size + len(payload), NEW, REQUEST_ACK_CREATE_EXCL, 1, 0) + payload


def _tuple(which: int, family: int, source: End, destination: End) -> bytes:
    first = 1 if family == socket.AF_INET else 3  # CTA_IP_V4_SRC, CTA_IP_V6_SRC
    addresses = (socket.inet_pton(family, each[0]) for each in (source, destination))
    ip = b"".join(_attribute(first + at, address) for at, address in enumerate(addresses))
    proto = _attribute(1, bytes([socket.IPPROTO_TCP]))
    proto += b"".join(_attribute(2 + at, struct.pack(">H", each[1])) for at, each in enumerate((source, destination)))
    return _attribute(which | NESTED, _attribute(1 | NESTED, ip) + _attribute(2 | NESTED, proto))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
