"""
Lines by which a boot changes the firewall: in scripts, in ifupdown's files, in units, and in nft(8)'s own language.
PURE: never accesses the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

SAVED = {"iptables": "/etc/iptables/rules.v4", "ip6tables": "/etc/iptables/rules.v6"}
COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
BEFORE = r"(?:^|(?<=[\s;&|(`=\"'/!{]))"  # a command, and no part of another word
# Scripts of old name their commands in variables: IPT=/sbin/iptables; $IPT -F.
TABLES = rf"{BEFORE}(?:ip6?tables(?:-(?:nft|legacy))?|[\"']?\$\{{?(?i:\w*ip6?t(?:ables)?\w*)\}}?[\"']?)"
CHANGE = re.compile(
    rf"{TABLES}(?:-restore|-apply)\b"
    rf"|{TABLES}\s[^;&|]*(?<=\s)(?:-[ADFINPRX]\b|--(?:append|delete(?:-chain)?|flush|insert"
    r"|new-chain|policy|replace)\b)"
    rf"|{BEFORE}nft\s[^;&|]*(?<=\s)(?:-f|--file|add|create|delete|destroy|flush|insert|replace)\b"
    rf"|{BEFORE}ipset\s+(?:-[!q]\s+|-\w+\s+)*(?:-F|-X|flush|destroy)\b"
)
RESTORE = re.compile(r"(ip6?tables)(?:-(?:nft|legacy))?-restore(?:\s+-w)?\s*<?\s*(\S+)")
PROGRAM = re.compile(r"(?<![\w.$/-])/[\w.+/@-]+")
EXEC = re.compile(r"Exec(?:StartPre|Start|StartPost)\s*=\s*[-@:+!|]*(.*)")
CONDITION = re.compile(r"(?:Condition|Assert)\w+\s*=\s*\S")
HOOK = re.compile(r"(?:pre-up|up|post-up)\s+(.*)")
WIREGUARD = re.compile(r"(?:PreUp|PostUp)\s*=\s*(.*)", re.IGNORECASE)
FLUSH = re.compile(r"\bflush\s+ruleset\b(?:\s+(\w+))?")
INCLUDE = re.compile(r"^\s*include\s+\"([^\"]+)\"", re.MULTILINE)
QUOTED = re.compile(r'"[^"\n]*"')


class Line(NamedTuple):
    """A line of a file: its number, and what it says."""

    number: int
    text: str


def _joined(text: str) -> Iterator[Line]:
    """The lines of a text without comments; a backslash at the end goes on with the next one."""
    number, first, held = 0, 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        first = first if held else number
        held += line.rstrip() if not line.lstrip().startswith("#") else ""
        if held.endswith("\\"):
            held = held[:-1] + " "
            continue
        yield Line(first, COMMENT.sub("", held).strip())
        held = ""
    if held:
        yield Line(first, COMMENT.sub("", held).strip())


def command(line: str) -> str:
    """
    The first command of a line that changes a firewall; empty if none does, or if it loads the files that the boot
    loads anyway. What is before and after it may be about anything.

    line
        As for a shell.
    """
    for each in re.split(r"[;&|]", line):
        if found := CHANGE.search(each):
            said = each[found.start() :].rstrip(" '\")")
            same = RESTORE.fullmatch(said)
            if not same or same[2] != SAVED[same[1]]:
                return said
    return ""


def script(text: str) -> list[Line]:
    """
    The lines of a script that change a firewall.

    text
        Of the whole script.
    """
    return [each for each in _joined(text) if command(each.text)]


def unit(text: str) -> list[Line]:
    """
    The commands that a unit runs when it is started.

    text
        Of the unit, or of one of its drop-ins.
    """
    found = ((each.number, EXEC.fullmatch(each.text)) for each in _joined(text))
    return [Line(number, said[1]) for number, said in found if said and said[1]]


def conditions(text: str) -> list[Line]:
    """
    The lines of a unit on which it depends whether it does anything.

    text
        Of the unit, or of one of its drop-ins.
    """
    return [each for each in _joined(text) if CONDITION.match(each.text)]


def hooks(text: str) -> list[Line]:
    """
    The commands that ifupdown runs when it brings an interface up.

    text
        Of one of its files.
    """
    found = ((each.number, HOOK.fullmatch(each.text)) for each in _joined(text))
    return [Line(number, said[1]) for number, said in found if said]


def wireguard(text: str) -> list[Line]:
    """
    The commands that wg-quick(8) runs when it brings an interface up.

    text
        Of the interface's file.
    """
    found = ((each.number, WIREGUARD.fullmatch(each.text)) for each in _joined(text))
    return [Line(number, said[1]) for number, said in found if said]


def reboots(text: str) -> list[Line]:
    """
    The commands that cron runs at boot.

    text
        Of one of its tables.
    """
    return [Line(each.number, each.text) for each in _joined(text) if each.text.startswith("@reboot")]


def programs(line: str) -> list[str]:
    """
    The paths in a command line: programs, and scripts that are given to a shell.

    line
        As for a shell.
    """
    return PROGRAM.findall(line)


def flushes(text: str) -> list[tuple[Line, str]]:
    """
    The lines of an nft(8) script that take away the rules of others, each with the family that it is about; empty for
    all.

    text
        Of the script.
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        bare = QUOTED.sub('""', line).partition("#")[0]
        for each in FLUSH.finditer(bare):
            found.append((Line(number, line.strip()), each[1] or ""))
    return found


def included(text: str) -> list[str]:
    """
    The files that an nft(8) script includes, as patterns; relative ones start in ``/etc``.

    text
        Of the script.
    """
    return [each if each.startswith("/") else f"/etc/{each}" for each in INCLUDE.findall(text)]


def nft_tables(listed: str) -> dict[str, str]:
    """
    The tables in what ``nft list ruleset`` prints, by family and name.

    listed
        The whole of it.
    """
    found: dict[str, str] = {}
    for block in re.split(r"^(?=table )", listed, flags=re.MULTILINE):
        head = re.match(r"table (\S+ \S+) \{", block)
        if head:
            found[head[1]] = block.rstrip()
    return found
