"""
What nf_tables holds in this host's kernel, asked through netlink(7): without nft(8), which need not be installed, and
which has no words for what iptables-nft writes.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

from salt.exceptions import CommandExecutionError

# linux/netlink.h, linux/netfilter.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
NETLINK_NETFILTER = 12
HEADER = struct.Struct("=IHHII")
GENERIC = struct.Struct(">BBH")
REQUEST, DUMP = 0x1, 0x300
DUMP_INTERRUPTED = 0x10
ERROR, DONE = 2, 3
SUBSYSTEM = 10 << 8
GET_TABLE, GET_CHAIN, GET_RULE, GET_SET, GET_GENERATION = 1, 4, 7, 10, 16
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
HOOKS_OF_DEVICES = ("ingress", "egress")
VERDICTS = {0: "drop", 1: "accept", 3: "queue", -3: "jump", -4: "goto", -5: "return"}
LACKING = (errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT)  # a kernel without nf_tables
BUFFER = 1 << 16  # the kernel answers in pieces of 32 KiB at most
PATIENCE = 10.0  # seconds
ATTEMPTS = 5

Table = tuple[str, str]  # its family and its name, as nft(8) has them


class Unseen(CommandExecutionError):
    """What the kernel holds could not be read, which does not mean that it is nothing."""


class Chain(NamedTuple):
    """A chain; one that no packet enters by itself has no hook and no policy."""

    table: Table
    name: str
    hook: str
    policy: str


class Rule(NamedTuple):
    """A rule: its chain, and its expressions as the kernel has them."""

    table: Table
    chain: str
    data: bytes


class Expression(NamedTuple):
    """One step of a rule: what it is, and its attributes."""

    name: str
    attributes: dict[int, bytes]


def tables() -> list[Table]:
    """
    All tables, of every family; none where the kernel has no nf_tables.

    Raises ``Unseen``.
    """
    return [(family, _text(given[1])) for family, given in _all(GET_TABLE)]


def chains() -> list[Chain]:
    """
    All chains, of every family. Raises ``Unseen``.
    """
    found = []
    for family, given in _all(GET_CHAIN):
        hook = policy = ""
        if 4 in given:
            names = HOOKS_OF_DEVICES if family == "netdev" else HOOKS
            number = _number(dict(_attributes(given[4])).get(1, b""))
            hook = names[number] if number < len(names) else str(number)
            policy = "drop" if 5 in given and _number(given[5]) == 0 else "accept"
        found.append(Chain((family, _text(given[1])), _text(given[3]), hook, policy))
    return found


def sets() -> list[Table]:
    """
    The table of each set and map, named or not. Raises ``Unseen``.
    """
    return [(family, _text(given[1])) for family, given in _all(GET_SET)]


def generation() -> list[str]:
    """
    What is another one as soon as anything in nf_tables has changed; empty where the kernel does not say. It is of this
    boot and this network namespace.

    Raises ``Unseen``.
    """
    numbers = [str(_number(dict(_attributes(given)).get(1, b""))) for _, given in _told(GET_GENERATION, flags=REQUEST)]
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return [stream.read().strip(), str(os.stat("/proc/self/ns/net").st_ino), *numbers] if numbers else []


def rules(table: Table) -> list[Rule]:
    """
    The rules of a table, in no order between its chains.

    table
        The table.

    Raises ``Unseen``.
    """
    found = [dict(_attributes(each)) for each in _raw(table)]
    return [Rule(table, _text(given[2]), given.get(4, b"")) for given in found]


def text(table: Table) -> tuple[int, bytes]:
    """
    How many rules a table has, and all of them one behind the other, as the kernel has them: to search in them is much
    quicker than to read ten thousand.

    table
        The table.

    Raises ``Unseen``.
    """
    found = _raw(table)
    return len(found), b"".join(found)


def expressions(rule: Rule) -> list[Expression]:
    """
    The steps of a rule.

    rule
        The rule.
    """
    found = []
    for _, element in _attributes(rule.data):
        each = dict(_attributes(element))
        found.append(Expression(_text(each[1]), dict(_attributes(each.get(2, b"")))))
    return found


def verdict(expression: Expression) -> tuple[str, str]:
    """
    What a step decides, ``drop`` or ``jump``, and where it leads; two empty texts if it decides nothing by itself.

    expression
        The step.
    """
    if expression.name == "immediate" and _number(expression.attributes.get(1, b"\1")) == 0:
        given = dict(_attributes(dict(_attributes(expression.attributes.get(2, b""))).get(2, b"")))
        (code,) = struct.unpack(">i", given.get(1, b"\0\0\0\1"))
        return VERDICTS.get(code, "queue" if code & 0xFF == 3 else ""), _text(given.get(2, b""))
    return "", ""


# --------------------------------------------------------------------------------------------------------------
# netlink(7)


def _raw(table: Table) -> list[bytes]:
    family, name = table
    encoded = name.encode("utf-8", "surrogateescape") + b"\0"
    wanted = struct.pack("=HH", 4 + len(encoded), 1) + encoded + bytes(-len(encoded) % 4)
    number = next(each for each, known in FAMILIES.items() if known == family)
    # A kernel that does not know this filter answers with all. The table is what each answer begins with.
    return [given for of, given in _told(GET_RULE, number, wanted) if of == number and given.startswith(wanted)]


def _all(what: int) -> list[tuple[str, dict[int, bytes]]]:
    return [(FAMILIES[of], dict(_attributes(given))) for of, given in _told(what) if of in FAMILIES]


def _told(what: int, family: int = 0, wanted: bytes = b"", flags: int = REQUEST | DUMP) -> list[tuple[int, bytes]]:
    try:
        for _ in range(ATTEMPTS):
            answers, whole = _asked(what, family, wanted, flags)
            if whole:
                return answers
    except OSError as error:
        if error.errno in LACKING:
            return []
        why = errno.errorcode.get(error.errno or 0, str(error))
        raise Unseen(f"what nf_tables filters on this host could not be read ({why})") from None
    raise Unseen("what nf_tables filters on this host could not be read: it changed whenever it was")


def _asked(what: int, family: int, wanted: bytes, asked: int) -> tuple[list[tuple[int, bytes]], bool]:
    """The answers to one question, and whether they are one consistent view."""
    answers: list[tuple[int, bytes]] = []
    whole = True
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
        netlink.settimeout(PATIENCE)
        payload = GENERIC.pack(family, 0, 0) + wanted
        netlink.sendto(HEADER.pack(HEADER.size + len(payload), SUBSYSTEM | what, asked, 1, 0) + payload, (0, 0))
        while True:
            part = netlink.recv(BUFFER)
            start = 0
            while start < len(part):
                length, kind, flags, _, _ = HEADER.unpack_from(part, start)
                if length < HEADER.size:
                    raise OSError(errno.EBADMSG, "")
                whole = whole and not flags & DUMP_INTERRUPTED
                begin = start + HEADER.size
                if kind in (ERROR, DONE):
                    number = -struct.unpack_from("=i", part, begin)[0] if length >= HEADER.size + 4 else 0
                    if number in (errno.EINTR, errno.EAGAIN):
                        return answers, False
                    if number:
                        raise OSError(number, os.strerror(number))
                    return answers, whole
                answers.append((part[begin], part[begin + GENERIC.size : start + length]))
                if not asked & DUMP:
                    return answers, True
                start += length + -length % 4


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, start)
        if length < 4:
            return
        yield kind & 0x3FFF, data[start + 4 : start + length]
        start += length + -length % 4


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "surrogateescape")


# --------------------------------------------------------------------------------------------------------------
# What is searched for in the text of a whole table. Each pattern begins with bytes that are found quickly, and finds
# only what is not expected: there may be ten thousand rules.


def _kind(number: int) -> bytes:
    return re.escape(struct.pack("=H", number))


def _word(kind: int) -> bytes:
    """The beginning of an attribute that is a number of four bytes, up to its last two."""
    return re.escape(struct.pack("=HH", 8, kind)) + rb"\0\0"


def _but(known: Collection[bytes]) -> bytes:
    return b"(?!" + b"|".join(re.escape(each) for each in sorted(known)) + b")"


COUNTER = struct.pack("=H", 1) + b"counter\0"
_DATA = b".{4}"  # the beginning of NFTA_EXPR_DATA


def other_names(known: Collection[str]) -> re.Pattern[bytes]:
    """
    Finds the names of expressions (NFTA_EXPR_NAME in NFTA_LIST_ELEM) beside those that are known.

    known
        The names.
    """
    names = {each.encode() + b"\0" for each in known}
    return re.compile(_kind(1) + b".." + _kind(1) + _but(names) + rb"([a-z_0-9]{2,15})\0", re.DOTALL)


def other_parts(known: Collection[tuple[int, int, int]]) -> re.Pattern[bytes]:
    """
    Finds the parts of packets that are compared (NFTA_PAYLOAD_BASE, _OFFSET, _LEN) beside those that are known.

    known
        Of each the base, the offset, and the length.
    """
    numbers = [[each.to_bytes(2, "big") for each in part] for part in known]
    heads = [re.escape(struct.pack("=HH", 8, kind) + b"\0\0") for kind in (2, 3, 4)]
    parts = [b"".join(head + re.escape(each) for head, each in zip(heads, part)) for part in sorted(numbers)]
    start = _kind(1) + rb"payload\0" + _DATA + re.escape(struct.pack("=HH", 8, 1)) + b".{4}"
    found = b"".join(head + b"(..)" for head in heads)
    return re.compile(start + b"(?!" + b"|".join(parts) + b")" + found, re.DOTALL)


def other_facts(known: Collection[int]) -> re.Pattern[bytes]:
    """
    Finds the facts about packets that are compared or set (NFTA_META_KEY) beside those that are known.

    known
        Their numbers.
    """
    numbers = {each.to_bytes(2, "big") for each in known}
    return re.compile(_kind(1) + rb"meta\0{4}" + _DATA + _word(2) + _but(numbers) + b"(..)", re.DOTALL)
