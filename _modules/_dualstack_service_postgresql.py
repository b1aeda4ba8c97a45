"""
PostgreSQL's files: postgresql.conf, and pg_hba.conf, which says whom it lets in. PURE: never accesses the host.

Of the lines of pg_hba.conf the first one that fits decides, and ``127.0.0.1/32`` never fits a client on ::1. A
companion stands directly below its line, so that ::1 may what 127.0.0.1 may, and no more. Lines for networks are never
added.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import NamedTuple

from salt.exceptions import SaltInvocationError

SPACE = r"[ \t\r\f\v]"
SETTING = re.compile(
    rf"{SPACE}*(?P<name>[A-Za-z_][A-Za-z0-9_.]*){SPACE}*=?{SPACE}*"
    r"(?P<value>'(?:[^'\\\n]|''|\\.)*'|[^ \t\r\f\v\n#'=*][^ \t\r\f\v\n#']*)?"
    rf"(?P<rest>{SPACE}*(?:#[^\n]*)?)"
)
NAME = re.compile(rf"{SPACE}*(?P<name>[A-Za-z_][A-Za-z0-9_.]*)")
INCLUDES = ("include", "include_if_exists", "include_dir")
NAMES = ("listen_addresses", "port", "data_directory", *INCLUDES)

# A list may have blanks behind its commas; a name in quotes may have anything in it.
TOKEN = re.compile(r'(?:"[^"\n]*"|[^\s"#,]|,[ \t]*)+')
KINDS = ("host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")
FIELDS = 5  # kind, database, user, address, method
COMPANION = "::1/128"
LOOPBACK = {4: ipaddress.ip_network("127.0.0.1/32"), 6: ipaddress.ip_network("::1/128")}
ANYONE = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
EVERY = ("all", "samehost", "samenet")  # of both families

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Statement(NamedTuple):
    """A setting, or an include."""

    path: str
    line: int
    name: str  # in lower case
    value: str  # without quotes
    span: tuple[int, int]  # of the value in the text, with its quotes


class Entry(NamedTuple):
    """A line of pg_hba.conf that is for TCP."""

    line: int
    key: tuple[str, str, str]  # kind, databases, users
    address: str
    network: Network | None
    span: tuple[int, int]  # of the address in the text, with its mask
    start: int  # of the line
    end: int


def statements(path: str, text: str) -> Iterator[Statement]:
    """
    The statements of a postgresql.conf that matter here.

    path
        The file, for errors.
    text
        Its content.

    Raises ``SaltInvocationError`` for one of these that cannot be read.
    """
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        first, start = start, start + len(line) + 1
        named = NAME.match(line)
        name = named["name"].lower() if named else ""
        if name not in NAMES:
            continue
        match = SETTING.fullmatch(line)
        if not match or match["value"] is None:
            raise SaltInvocationError(f"{path}:{number}:1: no {name} that PostgreSQL could read")
        begin, end = match.span("value")
        yield Statement(path, number, name, _bare(match["value"]), (first + begin, first + end))


def _bare(value: str) -> str:
    if not value.startswith("'"):
        return value
    return re.sub(r"''|\\(.)", lambda found: found[1] or "'", value[1:-1])


def companions(path: str, text: str) -> tuple[list[tuple[int, int, str]], list[str]]:
    """
    What a pg_hba.conf lacks: the lines for ::1 beside those for 127.0.0.1, as edits, and notes about the others.

    path
        The file.
    text
        Its content.
    """
    entries = list(_entries(text))
    edits, foreign = [], []
    for each in entries:
        if each.network is None or each.network.version == 6:
            continue
        beside = [other for other in entries if other.key == each.key and other is not each]
        if each.network == LOOPBACK[4]:
            if not any(_covers(other, LOOPBACK[6]) for other in beside):
                begin, end = each.span
                below = f"{text[each.start : begin]}{_padded(text, each)}{text[end : each.end]}"
                edits.append((each.end, each.end, f"\n{below}"))
        elif not each.network.is_loopback and not any(_foreign(other) for other in beside):
            foreign.append(each)
    notes = [
        f"{path}:{each.line}: `{each.address}` lets in, or keeps out, clients over IPv4 only: "
        + ("add a line for ::/0" if each.network == ANYONE[4] else "add a line for their IPv6 network")
        + ", if it shall hold over IPv6 as well"
        for each in foreign
    ]
    return _once(edits), notes


def _once(edits: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Of the same line twice, one companion."""
    return list({words: (start, end, words) for start, end, words in reversed(edits)}.values())[::-1]


def _padded(text: str, entry: Entry) -> str:
    """The address of the companion, in a column as wide as the other's."""
    begin, end = entry.span
    return COMPANION.ljust(end - begin) if text[end : end + 2] == "  " else COMPANION


def _covers(entry: Entry, network: Network) -> bool:
    if entry.network is None:
        return entry.address in EVERY or entry.address == "localhost"
    return network.network_address in entry.network


def _foreign(entry: Entry) -> bool:
    """Whether a line is for clients over IPv6 that are not on this host."""
    return (
        entry.address in EVERY
        or entry.network is not None
        and entry.network.version == 6
        and (entry.network != LOOPBACK[6])
    )


def _entries(text: str) -> Iterator[Entry]:
    start, continued = 0, False
    for number, line in enumerate(text.split("\n"), 1):
        first, start = start, start + len(line) + 1
        inside, continued = continued, line.rstrip("\r").endswith("\\")
        found = list(TOKEN.finditer(line.partition("#")[0] if '"' not in line else line))
        words = [each[0] for each in found]
        if inside or continued or len(words) < FIELDS or words[0].lower() not in KINDS:
            continue
        length = "" if "/" in words[3] else _length(words[4])
        address = f"{words[3]}/{length}" if length else words[3]
        span = (first + found[3].start(), first + found[4 if length else 3].end())
        key = (words[0].lower(), words[1], words[2])
        shown = text[slice(*span)].strip('"')
        yield Entry(number, key, shown, _network(address), span, first, first + len(line))


def _length(mask: str) -> str:
    """The length of the prefix that a mask stands for, which is a word of its own; empty for what is none."""
    try:
        return str(bin(int(ipaddress.ip_address(mask))).count("1"))
    except ValueError:
        return ""


def _network(address: str) -> Network | None:
    try:
        return ipaddress.ip_network(address, strict=False) if "/" in address else None
    except ValueError:
        return None
