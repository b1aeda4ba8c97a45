"""
The language of /etc/network/interfaces, interfaces(5), as the three implementations of ifup(8) share it: stanzas, files
that are included, and how a stanza is taken out. PURE: never accesses the host.

Measured with ifupdown 0.8.41: the names of options are exact (``TTL``, ``preferred_lifetime`` are ignored); there are
no comments behind a value, which becomes part of a shell command as it is; a comment is not continued by a backslash.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

MAIN = "/etc/network/interfaces"
FOLDER = "/etc/network/interfaces.d"
# By which an interface is brought up at boot. Not `allow-hotplug`: no event of the kernel's precedes a tunnel.
SELECTED = r"^[ \t]*(?:auto|allow-auto)[ \t](?:.*[ \t])?{}(?:[ \t]|$)"
UNLESS = {"/etc/default/networking": r"^[ \t]*(?:CONFIGURE_INTERFACES=[\"']?no\b|EXCLUDE_INTERFACES=.*\b{}\b)"}

# Words that end a stanza and begin another one.
INCLUDES = ("source", "source-directory")
SELECTIONS = ("auto", "no-auto-down", "no-scripts")
STANZAS = ("iface", "mapping", "template", "rename", *INCLUDES, *SELECTIONS)
# Names of files that source-directory reads, run-parts(8); `source` reads whatever its pattern matches.
RUN_PARTS = r"[A-Za-z0-9_-]+"
HOOKS = ("pre-up", "up", "post-up", "pre-down", "down", "post-down")
DOWN = ("pre-down", "down", "post-down")
METHODS = 4  # words before the method of `iface NAME FAMILY METHOD` is read


def implementation(version: str, names: Mapping[str, str]) -> str:
    """
    Which implementation of ifup(8) this is: ``ifupdown``, ``ifupdown-ng``, ``ifupdown2``, or ``unknown``.

    version
        What ``ifup --version`` printed.
    names
        Other names for them.
    """
    for name, sign in (("ifupdown-ng", "ifupdown-ng"), ("ifupdown2", "ifupdown2"), ("ifupdown", "ifup version 0.")):
        if sign in version:
            return names.get(name, name)
    return "unknown"


class Option(NamedTuple):
    """A line of a stanza."""

    key: str
    value: str
    first: int  # the number of its first line, from 0
    last: int


class Stanza(NamedTuple):
    """A stanza. Its last line is the last with an option: comments above the next stanza belong to that one."""

    words: list[str]
    first: int
    last: int
    options: list[Option]

    @property
    def keyword(self) -> str:
        """What it is: ``iface``, ``auto``, ..."""
        return self.words[0]

    @property
    def name(self) -> str:
        """The interface that it describes, if any."""
        return self.words[1] if self.keyword in ("iface", "mapping", "template") and len(self.words) > 1 else ""

    @property
    def selects(self) -> bool:
        """Whether it says which interfaces come up, and how."""
        return self.keyword in SELECTIONS or self.keyword.startswith("allow-")

    @property
    def method(self) -> tuple[str, str]:
        """The family and the method; what is not given is empty."""
        family, method = [*self.words[2:METHODS], "", ""][:2]
        if family == "inherits":
            return "", ""
        return (family, "") if method == "inherits" else (family, method)

    @property
    def inherits(self) -> str:
        """The stanza whose options it has as well."""
        rest = self.words[2:]
        return "".join(rest[rest.index("inherits") + 1 :][:1]) if "inherits" in rest else ""

    @property
    def interfaces(self) -> list[str]:
        """Those that it selects; what looks like a comment behind them is none."""
        words = self.words[1:] if self.selects else []
        comments = [position for position, word in enumerate(words) if word.startswith("#")]
        return words[: comments[0]] if comments else words

    def declares(self, name: str) -> bool:
        """Whether it is about an interface."""
        return bool(name) and any(real(each) == name for each in [self.name, *self.interfaces])

    def values(self, key: str) -> list[str]:
        """The values of an option, without what looks like a comment behind them."""
        return [plain(each.value) for each in self.options if each.key == key]


def real(name: str) -> str:
    """
    The interface that a name stands for: ``he-ipv6:1`` is an old way to give he-ipv6 another address.

    name
        As it is in the file.
    """
    return name.partition(":")[0]


def plain(value: str) -> str:
    """
    A value as it is meant: without a comment behind it, which interfaces(5) does not know, but people write.

    value
        As it is in the file.
    """
    return re.split(r"\s#", value, maxsplit=1)[0].strip()


def stanzas(text: str) -> list[Stanza]:
    """
    The stanzas of a file.

    text
        Its content.
    """
    result: list[Stanza] = []
    for line, first, last in _lines(text):
        words = line.split()
        if words[0] in STANZAS or words[0].startswith("allow-"):
            result.append(Stanza(words, first, last, []))
        elif result:
            key, *value = line.split(maxsplit=1)
            result[-1].options.append(Option(key, "".join(value).strip(), first, last))
            result[-1] = result[-1]._replace(last=last)
    return result


def _lines(text: str) -> Iterator[tuple[str, int, int]]:
    """The lines that say something, with those that continue them: text, first and last number."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        first, line = number, lines[number].strip()
        number += 1
        if not line or line.startswith("#"):
            continue
        while line.endswith("\\") and number < len(lines):
            line = line[:-1] + lines[number].strip()
            number += 1
        line = line.rstrip("\\").strip()
        if line:
            yield line, first, number - 1


def includes(path: str, text: str) -> list[list[str]]:
    """
    The files that a file includes.

    path
        The file's own path; relative patterns start in its folder.
    text
        Its content.

    Returns a list of pairs: a shell pattern for paths, and a regular expression for the last part of the path.
    """
    result = []
    for stanza in stanzas(text):
        for word in stanza.words[1:] if stanza.keyword in INCLUDES else []:
            pattern = posixpath.normpath(posixpath.join(posixpath.dirname(path), word))
            result.append([pattern, ".*"] if stanza.keyword == "source" else [f"{pattern}/*", RUN_PARTS])
    return result


def has(interface: Mapping[str, Any], evidence: Mapping[str, str]) -> str:
    """
    By what is seen that an implementation has an interface up whose record is a line for each, as in ``eth0=eth0``.

    interface
        Its ``name``.
    evidence
        The texts of the record's files, by path.
    """
    line = re.compile(rf"^{re.escape(interface['name'])}=\S", re.MULTILINE)
    return next((f"{path} has {interface['name']}" for path, text in evidence.items() if line.search(text)), "")


def own_file(name: str) -> str:
    """
    The one file that belongs to a tunnel.

    name
        The interface name.
    """
    return f"{FOLDER}/{name}"


def source_line(name: str) -> str:
    """
    The line that has this file read, where no other does.

    name
        The interface name.
    """
    return f"source {own_file(name)}\n"


def included(main: str, name: str) -> str:
    """
    The main file with the line that has a file read, at its end.

    main
        Its text.
    name
        The interface name.
    """
    last = main.splitlines()[-1] if main else ""
    # A line that goes on would take ours as its own end.
    end = ("" if main.endswith("\n") or not main else "\n") + ("\n" if last.endswith("\\") else "")
    return f"{main}{end}{source_line(name)}"


def read(name: str, known: Mapping[str, str]) -> bool:
    """
    Whether the own file of a tunnel is read.

    name
        The interface name.
    known
        The texts of the host's files, by path.
    """
    own = own_file(name)
    return any(_matches(own, *each) for path, text in known.items() if path != own for each in includes(path, text))


def _matches(path: str, pattern: str, expression: str) -> bool:
    folder, name = posixpath.split(path)
    pattern_folder, pattern_name = posixpath.split(pattern)
    return (
        fnmatch.fnmatchcase(folder, pattern_folder)
        and fnmatch.fnmatchcase(name, pattern_name)
        and re.fullmatch(expression, name) is not None
    )


def without(text: str, name: str, taken: frozenset[int] = frozenset()) -> str:
    """
    A text without the stanzas of one interface; every other line stays as it is.

    text
        The file's.
    name
        The interface name.
    taken
        The numbers of further lines that go, from 0.
    """
    lines = text.splitlines(keepends=True)
    drop = set(taken)
    for stanza in stanzas(text):
        if not stanza.declares(name):
            continue
        others = [word for word in stanza.interfaces if real(word) != name]
        drop.update(range(stanza.first, stanza.last + 1))
        if others:
            lines[stanza.first] = f"{stanza.keyword} {' '.join(others)}\n"
            drop.discard(stanza.first)
    kept: list[str] = []
    for number, line in enumerate(lines):
        doubled = not line.strip() and (not kept or not kept[-1].strip()) and number - 1 in drop
        if number not in drop and not doubled:
            kept.append(line)
    while len(lines) - 1 in drop and kept and not kept[-1].strip():
        kept.pop()  # the blank line that stood before the last stanza
    return "".join(kept)
