"""
The grammar of nginx's configuration: the statements of one file. PURE: never accesses the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import _dualstack_service_edits as service_edits
from salt.exceptions import SaltInvocationError

# ngx_conf_read_token(): quotes count only where a word begins, and `${` does not begin a block.
TOKEN = re.compile(
    r"[ \t\r\n]+|\#[^\n]*|(?P<sign>[;{}])"
    r'|(?P<word>"[^"\\]*(?:\\[\s\S][^"\\]*)*"'
    r"|'[^'\\]*(?:\\[\s\S][^'\\]*)*'"
    r"""|(?!["'])(?:[^ \t\r\n;{\\$]+|\$\{?|\\[\s\S])+)"""
)
AFTER_QUOTE = re.compile(r"[ \t\r\n;{)]|\Z")
# What can contain a brace in Lua without closing the block, https://www.lua.org/manual/5.1/manual.html#2.1
LUA = re.compile(r"""--\[(=*)\[|\[(=*)\[|--[^\n]*|"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*'|[{}]""")


class Statement(NamedTuple):
    """One statement, or what opens or closes a block."""

    path: str
    line: int
    words: list[str]  # as written, quotes included
    start: int
    end: int  # after the sign
    sign: str  # one of ; { }


def _error(path: str, text: str, start: int, what: str) -> SaltInvocationError:
    return SaltInvocationError(f"{service_edits.place(path, text, start)}: {what}")


def statements(path: str, text: str) -> Iterator[Statement]:
    """
    The statements of one file; those that open and close a block are paired.

    path
        The file.
    text
        Its content.

    Raises ``SaltInvocationError`` where the text cannot be read.
    """
    position, line, counted = 0, 1, 0
    words: list[str] = []
    start = 0
    opened: list[int] = []
    while position < len(text):
        token = TOKEN.match(text, position)
        if not token:
            sign = text[position]
            raise _error(
                path, text, position, f"a `{sign}` that is not closed" if sign != "\\" else "a `\\` at the end"
            )
        if token["word"]:
            if token["word"][0] in "'\"" and not AFTER_QUOTE.match(text, token.end()):
                raise _error(path, text, token.end(), "no white space behind a quoted word")
            if not words:
                start = position
            words.append(token["word"])
        position = token.end()
        sign = token["sign"] or ""
        if not sign:
            continue
        if bool(words) == (sign == "}"):
            raise _error(path, text, position - 1, f"an unexpected `{sign}`")
        if not words:
            start = position - 1
        if sign == "{" and words[0].endswith("_by_lua_block"):
            position, sign = _behind_lua(path, text, position), ";"
        elif sign == "{":
            opened.append(start)
        elif sign == "}":
            if not opened:
                raise _error(path, text, start, "a `}` that closes nothing")
            opened.pop()
        line, counted = line + text.count("\n", counted, start), start
        yield Statement(path, line, words, start, position, sign)
        words = []
    if words:
        raise _error(path, text, start, "a statement without its `;`")
    if opened:
        raise _error(path, text, opened[-1], "a block that is not closed")


def _behind_lua(path: str, text: str, start: int) -> int:
    """Where a block of Lua ends that begins after a brace."""
    depth, position = 1, start
    while depth:
        found = LUA.search(text, position)
        if not found:
            raise _error(path, text, start - 1, "a block that is not closed")
        position = found.end()
        level = found[1] if found[1] is not None else found[2]
        if level is not None:  # a long bracket, or a comment of that form
            position = text.find(f"]{level}]", position)
            if position < 0:
                raise _error(path, text, found.start(), "a long bracket that is not closed")
        elif found[0] in "{}":
            depth += 1 if found[0] == "{" else -1
    return position


def plain(word: str) -> str:
    """
    A word without its quotes.

    word
        As it is written.
    """
    return word[1:-1] if word[0] in "'\"" else word
