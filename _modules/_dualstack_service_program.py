"""
The program of a process: whether only root can change it, and whether it sets ``IPV6_V6ONLY`` of its sockets by itself.

A process chooses its own name and its arguments, and may change them while it runs. It cannot choose the file that it
runs: ``/proc/PID/exe``.
"""

from __future__ import annotations

import fnmatch
import os
import stat
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

BOTH = ("tcp", "udp")
# Programs that set IPV6_V6ONLY themselves, whoever runs them, and keep their families when the kernel's default
# changes: measured on Debian 12, see the tests. For all others this is unknown. Over UDP, Node.js leaves it to the
# kernel.
SETS_V6ONLY = {
    "chronyd": BOTH,
    "epmd": BOTH,
    "java": BOTH,
    "mariadbd": BOTH,
    "memcached": BOTH,
    "murmurd": BOTH,
    "mysqld": BOTH,
    "named": BOTH,
    "node": ("tcp",),
    "openvpn": BOTH,
    "postgres": BOTH,
    "redis-check-rdb": BOTH,  # the file behind Debian's link redis-server
    "redis-server": BOTH,
    "rsync": BOTH,
    "squid": BOTH,
    "turnserver": BOTH,
    "unbound": BOTH,
}
FOLDERS = ("/usr/*bin/", "/opt/*bin/")  # where they are: /usr/lib/postgresql/15/bin, /usr/local/sbin
PYTHON = "/usr/*bin/python3*"
MODULES = ("http.server",)  # Python's own that do so, over TCP
VALUED = "XW"  # options of python(1) that are followed by a value

# The head of a file and of a segment in elf(5), by its class: 32 or 64 bits. Of the first: where the table of segments
# begins, the size of an entry, and how many there are. Of the second: type, flags, offset, size in the file, alignment.
HEAD = {1: ("16x12xI10xHH", "IIxxxxxxxxIxxxxII"), 2: ("16x16xQ14xHH", "IIQ16xQ8xQ")}
ORDER = {1: "<", 2: ">"}
LOAD, NOTE, WRITABLE = 1, 4, 2
SEGMENTS = 64  # no linker makes as many
NOTES = 1 << 12  # bytes: more are not read
DATA = 1 << 16  # bytes, as Go's own reader of this
GO_NOTE, GO_BUILD_ID = b"Go\0\0", 4
GO_INFO = b"\xff Go buildinf:"


def roots_own(process: Mapping[str, Any]) -> bool:
    """
    Whether only root can change what a process runs: the file itself, and the folders that it is in.

    process
        From ``service_sockets.process``.

    The file has to be the one that this host has in that place: what a container has there is not. One that was
    upgraded or removed meanwhile is not there any more; it counts where its process is in no container. Returns
    ``False`` for what this user may not see.
    """
    runs, place = f"/proc/{process['pid']}", process["exe"]
    if not place.startswith("/"):
        return False
    try:
        file = os.stat(f"{runs}/exe")
        if process["deleted"]:
            here = all(os.path.samefile(f"{runs}/ns/{each}", f"/proc/self/ns/{each}") for each in ("user", "pid"))
        else:
            here = os.path.samestat(file, os.stat(place))
        folders = [os.stat(place[:end]) for end in range(1, len(place)) if place[end] == "/"]
        return here and all(map(_roots, [file, os.stat("/"), *folders]))
    except OSError:
        return False


def _roots(found: os.stat_result) -> bool:
    return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def sets_v6only(process: Mapping[str, Any], transport: str, read: dict[tuple[int, int], bool]) -> bool | None:
    """
    Whether a program without a plug-in sets ``IPV6_V6ONLY`` of its sockets by itself; ``None`` if that is not known.

    process
        From ``service_sockets.process``.
    transport
        That of the sockets, ``tcp`` or ``udp``.
    read
        What is known already of files, by device and inode; those that are read are added.
    """
    if _inherits(process["pid"]):
        return None  # whoever has opened its sockets
    exe = process["exe"]
    folder, _, program = exe.rpartition("/")
    known = transport in SETS_V6ONLY.get(program, ()) and _matches(f"{folder}/", FOLDERS)
    if transport == "tcp" and _matches(exe, (PYTHON,)):
        known = _module(process["arguments"]) in MODULES
    if (known and roots_own(process)) or _is_go(process["pid"], read):
        return True
    return None


def _matches(text: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(text, each) for each in patterns)


def _inherits(pid: int) -> bool:
    """Whether its sockets were opened by who has started it, sd_listen_fds(3)."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            return f"LISTEN_PID={pid}".encode() in stream.read().split(b"\0")
    except OSError:
        return False


def _module(arguments: list[str]) -> str:
    """The module that python(1) runs, by its arguments; empty if it runs something else."""
    left = iter(arguments)
    for each in left:
        if each.startswith("--"):
            if each == "--check-hash-based-pycs":
                next(left, "")
            continue
        if each[:1] != "-" or each == "-":
            break  # a script
        for at, letter in enumerate(each[1:], 2):  # several options may share a word: `-um http.server`, `-Wignore`
            if letter == "c":
                return ""
            if letter in f"m{VALUED}":
                value = each[at:] or next(left, "")
                if letter == "m":
                    return value
                break
    return ""


def _is_go(pid: int, read: dict[tuple[int, int], bool]) -> bool:
    """
    Whether a program was made by Go's compiler: Go's own package net sets the option of each of its sockets.

    Its linker leaves a note with its name in the file, and, since Go 1.13, information about the build.
    """
    try:
        with open(f"/proc/{pid}/exe", "rb") as stream:
            found = os.fstat(stream.fileno())
            key = (found.st_dev, found.st_ino)
            if key not in read:
                read[key] = False
                read[key] = any(_of_go(stream, *segment) for segment in _segments(stream))
            return read[key]
    except (OSError, ValueError):  # not there any more, or its segments are said to be where no file can have any
        return False


def _segments(stream: BinaryIO) -> list[tuple[int, ...]]:
    """The segments of an ELF file: type, flags, offset, size and alignment of each. Others have none."""
    head = stream.read(64)
    if len(head) < 64 or head[:4] != b"\x7fELF" or head[4] not in HEAD or head[5] not in ORDER:
        return []
    first, each = HEAD[head[4]]
    order = ORDER[head[5]]
    offset, size, number = struct.unpack_from(order + first, head)
    stream.seek(offset)
    table = stream.read(size * min(number, SEGMENTS))
    whole = struct.Struct(order + each)
    found = [whole.unpack_from(table, at) for at in range(0, len(table) - whole.size + 1, size or 1)]
    if head[4] == 1:  # the flags stand elsewhere
        found = [(kind, flags, start, length, align) for kind, start, length, flags, align in found]
    return found


def _of_go(stream: BinaryIO, kind: int, flags: int, offset: int, size: int, align: int) -> bool:
    if kind == LOAD and flags & WRITABLE:
        stream.seek(offset)
        return GO_INFO in stream.read(min(size, DATA))
    if kind != NOTE:
        return False
    stream.seek(offset)
    notes = stream.read(min(size, NOTES))
    step = 8 if align == 8 else 4
    at = 0
    while at + 12 <= len(notes):
        name, text, sort = struct.unpack_from("=III", notes, at)
        start = at + 12
        if (sort, name) == (GO_BUILD_ID, len(GO_NOTE)) and notes[start : start + name] == GO_NOTE:
            return True
        at = start + name + -name % step
        at += text + -(at + text) % step
    return False
