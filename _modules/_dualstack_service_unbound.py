"""
The language of unbound.conf(5): clauses, options and their values. PURE: never accesses the host.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_includes as service_includes
from salt.exceptions import SaltInvocationError

INCLUDES = ("include", "include-toplevel")
# Options that may have their value glued to them, `port:53`: those that matter here.
KNOWN = (
    *(*INCLUDES, "directory", "interface", "ip-address", "port", "do-ip4", "do-ip6", "do-tcp", "do-udp"),
    *("interface-automatic", "interface-automatic-ports", "so-reuseport", "access-control", "interface-action"),
    *("tls-port", "ssl-port", "tls-additional-port", "ssl-additional-port", "https-port"),
)
TOKEN = re.compile(r"""#[^\n]*|"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'|(?P<bare>(?:[^\s"'\\]|\\.)+)|\S""")
KEY = re.compile(r"([a-z][a-z0-9-]*):")


class Word(NamedTuple):
    text: str  # without quotes
    start: int
    end: int


class Option(NamedTuple):
    path: str
    line: int
    name: str
    words: list[Word]  # its values; none for a clause
    start: int  # in the text


class Said(NamedTuple):
    """An option where it counts."""

    clause: str
    option: Option


def options(path: str, text: str) -> list[Option]:
    """
    The options of one file, clauses among them.

    path, text
        The file.

    Raises ``SaltInvocationError`` where a quote is not closed.
    """
    found: list[Option] = []
    line, counted = 1, 0
    for each in TOKEN.finditer(text):
        if each[0].startswith("#"):
            continue
        line, counted = line + text.count("\n", counted, each.start()), each.start()
        if each["bare"] is None and each["double"] is None and each["single"] is None:
            column = each.start() - text.rfind("\n", 0, each.start())
            raise SaltInvocationError(f"{path}:{line}:{column}: a `{each[0]}` that is not closed")
        key = KEY.match(each["bare"] or "")
        if key and (key.end() == len(each[0]) or key[1] in KNOWN):
            found.append(Option(path, line, key[1], [], each.start()))
            if key.end() < len(each[0]):
                found[-1].words.append(Word(each[0][key.end() :], each.start() + key.end(), each.end()))
        elif found:
            word = next(part for part in (each["double"], each["single"], each["bare"]) if part is not None)
            found[-1].words.append(Word(word, each.start(), each.end()))
    return found


def patterns(path: str, text: str) -> list[str]:
    """
    The patterns of paths that a file includes.

    path, text
        The file. Relative ones start in the last ``directory`` above them, or else in /, where unbound is started.

    Raises as :py:func:`options` does.
    """
    folder, found = "/", []
    for each in options(path, text):
        if each.words and each.name == "directory":
            folder = each.words[0].text
        elif each.words and each.name in INCLUDES:
            found.append(posixpath.join(folder, each.words[0].text))
    return found


def walk(files: plugins.Files, main: str) -> Iterator[Said]:
    """
    The options of all files in the order in which they are read, each with its clause.

    files
        All files, by path.
    main
        The file to begin with.

    Raises as :py:func:`options` does, and for a file that includes itself.
    """

    def included(option: Option) -> int:
        return int(option.name in INCLUDES and bool(option.words))

    clause = ""
    for step in service_includes.walk(files, main, options, included, lambda path, each: f"{path}:{each.line}:1"):
        each = step.statement
        if not each.words:
            clause = each.name
        elif each.name == "include-toplevel":
            clause = ""
        yield Said(clause, each)


def beside(text: str, option: Option, word: str) -> tuple[int, int, str]:
    """
    The edit that repeats an option with another first value, below it.

    text
        Of its file.
    option
        The option.
    word
        The value.

    Returns what ``service_edits.spliced`` takes.
    """
    first, last = option.words[0], option.words[-1]
    copy = f"{text[option.start : first.start]}{word}{text[first.end : last.end]}"
    indent = text[text.rfind("\n", 0, option.start) + 1 : option.start]
    end = text.find("\n", last.end)
    end = len(text) if end < 0 else end
    behind = text[last.end : end].strip()
    if "\n" in copy or indent.strip() or behind and not behind.startswith("#"):  # it has its line not to itself
        return last.end, last.end, f" {' '.join(copy.split())}"
    newline = "\r\n" if text[end - 1 : end] == "\r" else "\n"
    end -= len(newline) - 1
    return end, end, f"{newline}{indent}{copy}"
