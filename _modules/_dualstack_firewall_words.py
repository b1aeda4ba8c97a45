"""
A rule's text and its words: split and quoted as by a shell, and as by iptables-save and iptables-restore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from salt.exceptions import SaltInvocationError

HARD = re.compile(r"[\x00-\x1f\x7f'\\#]")  # the same, but for double quotes
SPECIAL = re.compile(r"[\x00-\x1f\x7f\"'\\#]")  # what plain splitting at blanks cannot handle
BARE = re.compile(r"[^\s\x00-\x1f\x7f\"'\\#$`]+")
TOKEN = re.compile(r"""(?P<blank>\s+)|(?P<comment>\#.*)|(?P<word>(?:[^\s"'\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+)""", re.S)
PART = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^"'\\]+)""", re.S)
ESCAPE = re.compile(r"""\\(["'\\$`])""")


def split(text: str) -> list[str]:
    """
    Split a rule's text into its words, as a shell does and as ``iptables-restore`` does.

    text
        Words of a script or of ``iptables-save``. Both quotes and the backslash work as in a shell, ``"it\\'s"`` as
        ``iptables-save`` writes it is read as ``it's``, and a comment after ``#`` is left out. Nothing is expanded.

    Returns the list of words.
    Raises ``SaltInvocationError`` if a quote is not closed.
    """
    if not SPECIAL.search(text):
        return text.split()
    if not HARD.search(text) and (found := _plainly_quoted(text)) is not None:
        return found
    text = text.replace("\\\n", " ")
    words, position = [], 0
    while position < len(text):
        token = TOKEN.match(text, position)
        if not token:
            raise SaltInvocationError(f"`{text[position:]}`: a quote that is not closed")
        if token["word"]:
            words.append("".join(_unquoted(*part) for part in PART.findall(token["word"])))
        position = token.end()
    return words


def _plainly_quoted(text: str) -> list[str] | None:
    """The words of a text in which each quoted part is a word of its own, as in most comments; else ``None``."""
    parts = text.split('"')
    words = []
    for number, part in enumerate(parts):
        if number % 2:
            words.append(part)
            continue
        before, after = not number, number == len(parts) - 1  # nothing is quoted there
        apart = before or part[:1].isspace() or (after and not part)
        if not apart or not (after or part[-1:].isspace() or (before and not part)):
            return None
        words += part.split()
    return words if len(parts) % 2 else None


def _unquoted(single: str, double: str, escaped: str, bare: str) -> str:
    return single + ESCAPE.sub(r"\1", double) + escaped + bare


def join(words: Iterable[str]) -> str:
    """
    Join words into the text that ``iptables-restore`` reads: the reverse of :py:func:`split`.

    words
        The words of one rule.

    Returns the text. A word that is not plain stands in double quotes, with a backslash before each quote in it.
    """
    return " ".join([word if BARE.fullmatch(word) else _quoted(word) for word in words])


def _quoted(word: str) -> str:
    return '"' + re.sub(r"([\"'\\])", r"\\\1", word) + '"'
