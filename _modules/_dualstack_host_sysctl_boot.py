"""
What a boot makes of the files of sysctl.d(5) and sysctl.conf(5). PURE: never accesses the host.

Two programs read them, and they differ: systemd-sysctl(8), and procps' sysctl(8) with ``--system``, where systemd does
not run. A *key* is a parameter's path below ``/proc/sys``: ``net/ipv4/conf/eth0.100/rp_filter``.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BLANKS = " \t\r\n"
WILD = re.compile(r"[*?\[]")
LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Setting(NamedTuple):
    """A line that sets a parameter, or all those of a pattern."""

    key: str
    value: str | None  # `None`: the line `-KEY`, which takes a parameter out of the patterns
    file: str
    line: int


def key(name: str) -> str:
    """
    The key of a parameter, or of a pattern.

    name
        As it is written in a file or a pillar. If its first separator is a dot, dots and slashes change their places:
        ``net.ipv4.conf.eth0/100.rp_filter`` is ``net/ipv4/conf/eth0.100/rp_filter``.
    """
    first = re.search(r"[./]", name)
    path = name.translate(str.maketrans("./", "/.")) if first and first[0] == "." else name
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def lines(text: str) -> list[str]:
    """
    The lines of a text, with their ends. (``splitlines`` knows ends that neither program knows.)

    text
        The text.
    """
    return LINE.findall(text)


def settings(text: str, file: str = "") -> Iterator[Setting]:
    """
    The settings in a file, in their order.

    text
        Its text.
    file
        Its path.
    """
    for number, line in enumerate(lines(text), 1):
        said = line.strip(BLANKS)
        if said.startswith(("#", ";")):
            continue
        name, sign, value = said.partition("=")
        if sign or name.startswith("-"):
            # With a value, the hyphen only says that a failure is no error.
            yield Setting(
                key(name.removeprefix("-").strip(BLANKS)), value.strip(BLANKS) if sign else None, file, number
            )


def by_systemd(found: Iterable[Setting], wanted: str) -> Setting | None:
    """
    The setting by which systemd-sysctl gives a parameter its value at boot.

    found
        The settings of all files, in the order in which they are read.
    wanted
        The parameter's key.

    Returns ``None`` if there is none, and one without a value if the last line about it is ``-KEY``: then nothing
    sets it.
    """
    table: dict[str, Setting] = {}
    for each in found:
        if each.key not in table or table[each.key].value != each.value:
            table.pop(each.key, None)  # the later one also takes a later place
            table[each.key] = each
    return table.get(wanted) or _last_pattern(table.values(), wanted)


def by_procps(found: Iterable[Setting], wanted: str) -> Setting | None:
    """
    As :py:func:`by_systemd`, for procps: it carries out one line after the other, so that ``-KEY`` cancels none.

    found, wanted
        As there.
    """
    settings_found = list(found)
    own = [each for each in settings_found if each.key == wanted]
    if own:
        return next((each for each in reversed(own) if each.value is not None), own[-1])
    return _last_pattern(settings_found, wanted)


def _last_pattern(found: Iterable[Setting], wanted: str) -> Setting | None:
    last = None
    for each in found:
        if each.value is not None and WILD.search(each.key) and _matches(each.key, wanted):
            last = each
    return last


def _matches(pattern: str, wanted: str) -> bool:
    """As glob(7): a wildcard matches within one part of the path."""
    parts, names = pattern.replace("[^", "[!").split("/"), wanted.split("/")
    return len(parts) == len(names) and all(map(fnmatch.fnmatchcase, names, parts))
