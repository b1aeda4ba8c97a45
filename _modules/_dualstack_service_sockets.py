"""
The listening sockets of this host, from the kernel's own tables, and the processes behind them.

* The tables are read through netlink, sock_diag(7): that reports ``IPV6_V6ONLY``, which ``/proc/net`` does not contain,
  and what ss(8) prints for it has changed between versions (``*:80`` was IPv4 once, and is both families now).
* Any user may ask. Only the processes behind the sockets of others are hidden from them.
* The kernel shows the sockets of the caller's network namespace: those of containers are not included.
* No connection is made. That a socket listens does not prove that its daemon answers: :py:mod:`service_probe`.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from salt.exceptions import SaltInvocationError

# The protocol, and the state of a socket that waits for clients: TCP_LISTEN, and TCP_CLOSE for one of UDP that is
# bound, but not connected (net/tcp_states.h).
TRANSPORTS = {"tcp": (socket.IPPROTO_TCP, 10), "udp": (socket.IPPROTO_UDP, 7)}
ADDRESS_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST_DUMP = 0x301
NLM_F_DUMP_INTR = 0x10
NLMSG_ERROR, NLMSG_DONE = 2, 3
INET_DIAG_SKV6ONLY = 11
NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence, port
RTATTR = struct.Struct("=HH")  # length, type
ERRNO = struct.Struct("=i")
# inet_diag_req_v2: family, protocol, states; the identity of a socket is left open.
REQUEST = struct.Struct("=BB2xI48x")
# inet_diag_msg: family, port, address, the bound interface, user, inode. Port and address are in network byte order,
# the rest in the host's.
ANSWER = struct.Struct("=B3x2s2x16s16xI8x12xII")
CONNECTED = struct.Struct("=B3x2s2s16s16sI8x16xI")  # the same, with the other end in place of the user
ESTABLISHED = 1  # TCP_ESTABLISHED, net/tcp_states.h

BUFFER = 1 << 17  # the parts of a dump are never longer than 32 KiB
PATIENCE = 5.0  # seconds for an answer that usually takes microseconds
ATTEMPTS = 5  # while the tables change during the dump
NAMED = 10  # the number of ports named in a sentence


class Connected(NamedTuple):
    """A TCP connection: an address of IPv4 in a socket of IPv6 is one of IPv4."""

    family: str
    own: str
    port: int
    remote: str
    remote_port: int
    interface: str  # the one that it is bound to, or that of its link-local address
    pids: tuple[int, ...]


def connected() -> tuple[list[Connected], list[str]]:
    """
    Every established TCP connection of this host, and a sentence for each fact that could not be determined.
    """
    unseen: list[str] = []
    try:
        answers, whole = _dump("tcp", ESTABLISHED)
        rows = [_ends(answer) for answer in answers]
        if not whole:
            unseen.append("The kernel's table of connections changed whenever it was read: one may be missing.")
    except OSError as error:
        rows = _ends_of_proc()
        why = error.strerror or str(error)
        unseen.append(f"sock_diag(7) reports no connections ({why}): read from /proc/net/tcp, without interfaces.")
    holders = _holders() if rows else {}
    found = []
    for family, own, port, remote, remote_port, interface, inode in rows:
        pids = tuple(sorted(holders.get(inode, ())))
        found.append(Connected(family, own, port, remote, remote_port, interface, pids))
    return found, unseen


def listening() -> dict[str, Any]:
    """
    Every socket that waits for clients: TCP that listens, UDP that is bound and not connected.

    Returns ``sockets`` and ``unseen``. Each of ``sockets``, sorted::

        {"transport": "tcp", "family": "ipv6", "address": "::", "port": 25, "interface": "", "v6only": False,
         "families": ["ipv4", "ipv6"], "uid": 0, "inode": 12345, "pids": [812]}

    ``interface`` is the one that the socket is bound to, or the zone of its link-local address. ``v6only`` is
    ``None`` for a socket of IPv4. ``families`` are those that the socket really serves. Sockets that share one
    address by SO_REUSEPORT are one entry, with the ``pids`` of all, and ``uid`` and ``inode`` of the oldest.

    ``unseen`` holds a sentence for each fact that could not be determined. If the kernel has no sock_diag,
    ``/proc/net`` is read instead: then ``v6only`` is ``None`` for IPv6 too, and ``families`` of a socket on ``::`` has
    only the certain one, ``ipv6``; only a connection would show the other.
    """
    unseen: list[str] = []
    merged: dict[tuple, list[tuple[int, int]]] = {}
    for transport in TRANSPORTS:
        for row in _rows(transport, unseen):
            *key, inode, uid = row
            merged.setdefault((transport, *key), []).append((inode, uid))

    holders = _holders()
    sockets = []
    for (transport, family, address, port, interface, v6only), each in merged.items():
        inode, uid = min(each)
        sockets.append(
            {
                "transport": transport,
                "family": family,
                "address": address,
                "port": port,
                "interface": interface,
                "v6only": v6only,
                "families": families(address, v6only is not False),
                "uid": uid,
                "inode": inode,
                "pids": sorted({pid for inode, _ in each for pid in holders.get(inode, ())}),
            }
        )
    sockets.sort(key=_order)
    return {"sockets": sockets, "unseen": [*unseen, *_untold(sockets)]}


def _order(entry: dict[str, Any]) -> tuple:
    keys = ("transport", "port", "family", "address", "interface")
    return (*(entry[key] for key in keys), str(entry["v6only"]))


def families(address: str, v6only: bool | None, bindv6only: int = 0) -> list[str]:
    """
    The families that a socket bound to an address serves, ipv6(7).

    address
        An address of IPv4 or IPv6, maybe with a zone: ``::``, ``fe80::1%eth0``.
    v6only
        Its ``IPV6_V6ONLY``; ``None`` if the program leaves that to the kernel. Has no effect for IPv4.
    bindv6only
        The kernel's default, ``net.ipv6.bindv6only``.

    Only ``::`` can serve both. One on ``::ffff:192.0.2.1`` is a socket of IPv6 that serves IPv4 only. Raises
    ``SaltInvocationError`` for anything but an address.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise SaltInvocationError(f"address: {address!r} is not an address of IPv4 or IPv6") from None
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.ipv4_mapped:
        return ["ipv4"]
    if parsed.is_unspecified and not (int(bindv6only) if v6only is None else v6only):
        return ["ipv4", "ipv6"]
    return ["ipv6"]


def process(pid: int) -> dict[str, Any]:
    """
    Facts about a process.

    pid
        Its number.

    Returns ``pid``; ``exe``, the path of its program, and ``deleted``, whether that file is gone; ``arguments``;
    ``command``, the path and the arguments, with a blank between them; ``name``, which the process may have given
    itself; ``uids``, its real and its effective user; ``unit``, that of systemd, or an empty text; ``parent``, the
    number of the process that started it; and ``started``, when, in the kernel's ticks since the boot. What this user
    may not see is empty, and ``command`` then begins with the name that the process gave itself; all is empty, and
    ``parent`` and ``started`` 0, if there is no such process.
    """
    exe = ""
    with contextlib.suppress(OSError):
        exe = _text(os.readlink(f"/proc/{pid}/exe".encode()))
    # A daemon that was upgraded but not restarted runs from a deleted file.
    path = exe.removesuffix(" (deleted)")
    own, *arguments = _text(_read(f"/proc/{pid}/cmdline")).rstrip("\0").split("\0")
    # proc(5): "PID (NAME) STATE PARENT ...", and a name may hold blanks and parentheses.
    before, _, after = _text(_read(f"/proc/{pid}/stat")).rpartition(")")
    users = [line.split()[1:3] for line in _text(_read(f"/proc/{pid}/status")).splitlines() if line.startswith("Uid:")]
    return {
        "pid": pid,
        "exe": path,
        "deleted": path != exe,
        "arguments": arguments,
        "command": " ".join([path or own, *arguments]),
        "name": before.partition("(")[2],
        "uids": [int(each) for found in users for each in found],
        "unit": _unit(_text(_read(f"/proc/{pid}/cgroup"))),
        "parent": int(after.split()[1]) if after else 0,
        "started": int(after.split()[19]) if after else 0,
    }


def title(pid: int) -> str:
    """
    The whole command line of a process, which it may have written over.

    pid
        Its number.
    """
    return _text(_read(f"/proc/{pid}/cmdline")).replace("\0", " ").strip()


def _unit(cgroups: str) -> str:
    """
    The unit in lines of cgroups(7), as `0::/system.slice/ssh.service`, or `1:name=systemd:...` of version 1.

    Only root makes units in a slice of the system. Users have their own below `user.slice`, a unit may have been given
    a cgroup in which its user makes others, and what is above the reader's own namespace (`..`) is not known.
    """
    for line in cgroups.splitlines():
        _, controllers, path = f"{line}::".split(":", 2)
        if controllers in ("", "name=systemd"):
            slices = path.rstrip(":").split("/")[1:]
            if slices[:1] != ["user.slice"]:
                unit = next((each for each in slices if not each.endswith(".slice")), "")
                if [unit] != slices[:1] and unit.endswith((".service", ".socket", ".scope")):
                    return unit
    return ""


# --------------------------------------------------------------------------------------------------------------
# Sockets. A row is: family, address, port, interface, v6only, inode, uid.


def _rows(transport: str, unseen: list[str]) -> list[tuple]:
    """The rows of one transport; what could not be read is reported in `unseen`."""
    try:
        answers, whole = _dump(transport, TRANSPORTS[transport][1])
    except OSError as error:
        why = error.strerror or str(error)
        return _rows_of_proc(transport, f"sock_diag(7) reports nothing about {transport} ({why})", unseen)
    if not whole:
        unseen.append(f"The kernel's table of {transport} changed whenever it was read: a socket may be missing.")
    return [_row(answer) for answer in answers]


def _dump(transport: str, state: int) -> tuple[list[bytes], bool]:
    """The answers of sock_diag(7) for both families, and whether they are one consistent view."""
    protocol = TRANSPORTS[transport][0]
    found = []
    whole = True
    for family in ADDRESS_FAMILIES.values():
        for _ in range(ATTEMPTS):
            answers, interrupted = _ask(REQUEST.pack(family, protocol, 1 << state))
            if not interrupted:
                break
        found += answers
        whole = whole and not interrupted
    return found, whole


def _ask(request: bytes) -> tuple[list[bytes], bool]:
    """All parts of the answer to one request, and whether the table changed in between, netlink(7)."""
    answers = []
    interrupted = False
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(PATIENCE)
        header = NLMSGHDR.pack(NLMSGHDR.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1, 0)
        netlink.sendto(header + request, (0, 0))
        while True:
            for kind, flags, payload in _messages(netlink.recv(BUFFER)):
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind == SOCK_DIAG_BY_FAMILY:
                    answers.append(payload)
                elif kind in (NLMSG_ERROR, NLMSG_DONE):
                    # Either reports a missing module, depending on which one it is.
                    number = -ERRNO.unpack_from(payload)[0] if len(payload) >= ERRNO.size else 0
                    if number:
                        raise OSError(number, os.strerror(number))
                    return answers, interrupted


def _messages(part: bytes) -> Iterator[tuple[int, int, bytes]]:
    start = 0
    while start < len(part):
        if len(part) - start < NLMSGHDR.size:
            raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
        length, kind, flags, _, _ = NLMSGHDR.unpack_from(part, start)
        if length < NLMSGHDR.size:  # would never end
            raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
        yield kind, flags, part[start + NLMSGHDR.size : start + length]
        start += length + -length % 4


def _row(answer: bytes) -> tuple:
    family, port, address, index, uid, inode = ANSWER.unpack_from(answer)
    v6only = None
    if family == socket.AF_INET6:
        # Kernels before 2015 do not report it.
        told = _attributes(answer).get(INET_DIAG_SKV6ONLY)
        v6only = None if told is None else told != b"\0"
    return (*_place(family, address, int.from_bytes(port, "big")), _interface(index), v6only, inode, uid)


def _ends(answer: bytes) -> tuple:
    """Both ends of a connection, the interface, and the inode."""
    family, port, remote_port, own, remote, index, inode = CONNECTED.unpack_from(answer)
    one, other = _end(family, own, port), _end(family, remote, remote_port)
    return (*one, *other[1:], _interface(index), inode)


def _end(family: int, address: bytes, port: bytes) -> tuple[str, str, int]:
    if family == socket.AF_INET6 and (mapped := ipaddress.IPv6Address(address).ipv4_mapped):
        family, address = socket.AF_INET, mapped.packed
    return _place(family, address, int.from_bytes(port, "big"))


def _attributes(answer: bytes) -> dict[int, bytes]:
    """The attributes after an answer, rtnetlink(3)."""
    found = {}
    start = ANSWER.size
    while start + RTATTR.size <= len(answer):
        length, kind = RTATTR.unpack_from(answer, start)
        found[kind] = answer[start + RTATTR.size : start + length]
        start += max(length, RTATTR.size) + -length % 4
    return found


def _place(family: int, address: bytes, port: int) -> tuple[str, str, int]:
    if family == socket.AF_INET:
        return "ipv4", socket.inet_ntop(family, address[:4]), port
    return "ipv6", socket.inet_ntop(family, address), port


def _interface(index: int) -> str:
    try:
        return socket.if_indextoname(index) if index else ""
    except OSError:
        return f"#{index}"  # it was removed, but its sockets remain


def _rows_of_proc(transport: str, why: str, unseen: list[str]) -> list[tuple]:
    """The rows from /proc/net, proc(5), as a fallback."""
    rows = []
    read = []
    for family, suffix in ((socket.AF_INET, ""), (socket.AF_INET6, "6")):
        path = f"/proc/net/{transport}{suffix}"
        # A kernel without IPv6 has no such file.
        with contextlib.suppress(OSError), open(path, encoding="ascii") as stream:
            rows += [row for line in list(stream)[1:] if (row := _row_of_proc(transport, family, line.split()))]
            read.append(path)
    if read:
        told = "which do" if len(read) > 1 else "which does"
        unseen.append(f"{why}: read from {' and '.join(read)}, {told} not report IPV6_V6ONLY or the interface.")
    else:
        unseen.append(f"{why}, and there is no /proc/net/{transport}: no socket of {transport} could be seen.")
    return rows


def _row_of_proc(transport: str, family: int, words: list[str]) -> tuple | None:
    if int(words[3], 16) != TRANSPORTS[transport][1]:
        return None
    uid, inode = int(words[7]), int(words[9])
    address, port = _printed(words[1])
    return (*_place(family, address, int.from_bytes(port, "big")), "", None, inode, uid)


def _printed(word: str) -> tuple[bytes, bytes]:
    """An address and a port: numbers of 32 bits in the host's byte order, while the port is a number for readers."""
    address, _, port = word.partition(":")
    numbers = [int(address[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(address), 8)]
    return b"".join(numbers), bytes.fromhex(port)


def _ends_of_proc() -> list[tuple]:
    """As `_ends`, from /proc/net/tcp: without the interface."""
    found = []
    for family, suffix in ((socket.AF_INET, ""), (socket.AF_INET6, "6")):
        with contextlib.suppress(OSError), open(f"/proc/net/tcp{suffix}", encoding="ascii") as stream:
            for words in map(str.split, list(stream)[1:]):
                if int(words[3], 16) == ESTABLISHED:
                    one, other = (_end(family, *_printed(word)) for word in words[1:3])
                    found.append((*one, *other[1:], "", int(words[9])))
    return found


# --------------------------------------------------------------------------------------------------------------
# Processes


def _holders() -> dict[int, set[int]]:
    """The processes that have a socket open, by the socket's inode, as far as this user may see them."""
    found: dict[int, set[int]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        folder = f"/proc/{pid}/fd"
        # A process of another user, or one that has just ended, or a file that it has just closed.
        with contextlib.suppress(OSError):
            for each in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError):
                    kind, _, inode = os.readlink(f"{folder}/{each}").partition(":")
                    if kind == "socket":
                        found.setdefault(int(inode[1:-1]), set()).add(int(pid))
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def _text(found: bytes) -> str:
    """For display and matching; bytes that are not UTF-8 would not pass through Salt's event bus."""
    return found.decode("utf-8", "replace")


# --------------------------------------------------------------------------------------------------------------
# What could not be determined


def _untold(sockets: list[dict[str, Any]]) -> list[str]:
    sentences = []
    unsure = ports(each for each in sockets if each["address"] == "::" and each["v6only"] is None)
    if unsure:
        sentences.append(f"It is not known whether :: also serves IPv4 for {unsure}: only a connection would show it.")
    hidden = ports(each for each in sockets if not each["pids"])
    if hidden and os.geteuid():
        sentences.append(f"This user may not see the process behind {hidden}.")
    elif hidden:
        sentences.append(f"No process in sight holds {hidden}: the kernel's own, or of another PID namespace.")
    return sentences


def ports(sockets: Iterable[dict[str, Any]]) -> str:
    """
    Ports in words: ``2 sockets (tcp/25, udp/53)``; an empty text for none.

    sockets
        As :py:func:`listening` has them.
    """
    found = list(sockets)
    if not found:
        return ""
    named = list(dict.fromkeys(f"{each['transport']}/{each['port']}" for each in found))
    more = [f"and {len(named) - NAMED} more"] if len(named) > NAMED else []
    return f"{len(found)} socket{'s' if len(found) > 1 else ''} ({', '.join(named[:NAMED] + more)})"
