"""
The configuration of systemd-networkd as it reads it, systemd.syntax(7): assignments, and which files count. PURE: never
accesses the host.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# Of two files of one name, that in the first of these folders is read.
FOLDERS = tuple(f"{each}/systemd/network" for each in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))
KINDS = ("netdev", "network")
# netplan writes these at each boot: they are its own.
NETPLAN = "/run/systemd/network/10-netplan-"
YES, NO = ("1", "yes", "y", "true", "t", "on"), ("0", "no", "n", "false", "f", "off")
# What a link of Kind=sit or Kind=gre has, and what it cannot have; a condition that is not listed may hold.
TRAITS = {"Type": ("sit", "gre", "ipgre"), "Kind": ("sit", "gre"), "Driver": ("sit", "gre")}
NEVER = ("MACAddress", "PermanentMACAddress", "Path", "WLANInterfaceType", "SSID", "BSSID", "Property")
INHERITED = "inherit"


class Line(NamedTuple):
    """One assignment."""

    path: str
    number: int
    section: str
    block: int  # which of the sections of this file, since `[Address]` may stand there several times
    key: str
    value: str


def lines(path: str, text: str) -> list[Line]:
    """
    The assignments of a file, in their order; lines that systemd ignores are left out.

    path
        The file's.
    text
        Its content.
    """
    found: list[Line] = []
    section, block, held, first = "", 0, "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not held):
            continue  # a comment may stand within a line that goes on
        first = first if held else number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        whole, held = (held + line).strip(), ""
        if whole.startswith("[") and whole.endswith("]"):
            section, block = whole[1:-1], block + 1
        elif "=" in whole and section:
            key, _, value = whole.partition("=")
            found.append(Line(path, first, section, block, key.strip(), value.strip()))
    return found


def files(host: Mapping[str, str], kind: str) -> dict[str, list[Line]]:
    """
    The files of one kind that count, in the order in which they are tried, each with its drop-ins.

    host
        The texts of the host's files, by path.
    kind
        ``netdev`` or ``network``.

    Returns their assignments by the path of the main file.
    """
    main: dict[str, str] = {}
    for folder in FOLDERS:
        for path in host:
            here, name = posixpath.split(path)
            if here == folder and name.endswith(f".{kind}") and not path.startswith(NETPLAN):
                main.setdefault(name, path)
    result = {}
    for name, path in sorted(main.items()):
        extra: dict[str, str] = {}
        for folder in FOLDERS:
            for each in host:
                if posixpath.dirname(each) == f"{folder}/{name}.d" and each.endswith(".conf"):
                    extra.setdefault(posixpath.basename(each), each)
        parts = [path, *(each for _, each in sorted(extra.items()))]
        found = [lines(each, host[each]) for each in parts]
        if any(found):  # an empty file masks
            result[path] = [line for part in found for line in part]
    return result


def last(assigned: list[Line], section: str, key: str) -> Line | None:
    """
    The assignment that counts where the last one does; ``None`` if there is none, or it is empty.

    assigned
        The assignments of a file.
    section, key
        Which.
    """
    found = [each for each in assigned if (each.section, each.key) == (section, key)]
    return found[-1] if found and found[-1].value else None


def value(assigned: list[Line], section: str, key: str, default: str = "") -> str:
    """
    The value that counts where the last one does.

    assigned
        The assignments of a file.
    section, key
        Which.
    default
        What it is without.
    """
    found = last(assigned, section, key)
    return found.value if found else default


def sections(assigned: list[Line], name: str) -> list[list[Line]]:
    """
    Each of the sections of one name by itself.

    assigned
        The assignments of a file.
    name
        The sections'.
    """
    found: dict[tuple[str, int], list[Line]] = {}
    for line in assigned:
        if line.section == name:
            found.setdefault((line.path, line.block), []).append(line)
    return list(found.values())


def listed(assigned: list[Line], section: str, key: str) -> list[Line]:
    """
    The assignments that add up; an empty one takes back those before it.

    assigned
        The assignments of a file.
    section, key
        Which.
    """
    found: list[Line] = []
    for line in assigned:
        if (line.section, line.key) == (section, key):
            found = [*found, line] if line.value else []
    return found


def truth(text: str) -> bool | None:
    """
    A boolean, parse_boolean() of systemd; ``None`` for what is none.

    text
        The value.
    """
    return True if text.lower() in YES else False if text.lower() in NO else None


def size(text: str) -> int | None:
    """
    A number of bytes, with the suffixes of systemd; ``None`` for what is none.

    text
        The value.
    """
    found = re.fullmatch(r"(\d+)\s*([KMG]?)B?", text)
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2]] if found else None


def words(text: str) -> list[str]:
    """
    The words of a list, some of which may be quoted.

    text
        The value.
    """
    try:
        return shlex.split(text, posix=True)
    except ValueError:
        return text.split()


def patterns(assigned: list[Line]) -> list[str]:
    """
    The names that a file's ``[Match]`` has, some of which may be patterns.

    assigned
        The assignments of a file.
    """
    return [word for line in listed(assigned, "Match", "Name") for word in words(line.value)]


def matches(assigned: list[Line], name: str) -> bool:
    """
    Whether a ``.network`` file is for a tunnel of Kind=sit or Kind=gre.

    assigned
        The assignments of the file.
    name
        The tunnel's.
    """
    keys = {line.key for line in assigned if line.section == "Match" and line.value}
    if not keys or keys & set(NEVER):
        return False
    for key, traits in TRAITS.items():
        globs = [word for line in listed(assigned, "Match", key) for word in words(line.value)]
        if not any(_one_of(each, globs) for each in traits):
            return False
    return _one_of(name, patterns(assigned))


def _one_of(text: str, globs: list[str]) -> bool:
    """An exclamation mark before the first one inverts them all."""
    if not globs:
        return True
    inverted = globs[0].startswith("!")
    globs = [globs[0].removeprefix("!"), *globs[1:]]
    return any(fnmatch.fnmatchcase(text, each) for each in globs) != inverted


def pairs(assigned: list[Line], name: str) -> Iterator[list[Line]]:
    """
    The sections that say what one line of ``[Network]`` can say as well, such as addresses and routes.

    assigned
        The assignments of a file.
    name
        ``Address``: the section, and the key of ``[Network]``; or ``Gateway``, which ``[Network]`` has for a route.

    Each is a list of assignments of the section's own keys.
    """
    short = listed(assigned, "Network", name)
    emptied = [n for n, line in enumerate(assigned) if (line.section, line.key, line.value) == ("Network", name, "")]
    start = emptied[-1] if emptied else -1  # it takes back the sections before it, too
    yield from ([line] for line in short)
    section = "Route" if name == "Gateway" else name
    yield from sections(assigned[start + 1 :], section)
