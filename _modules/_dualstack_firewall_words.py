"""
A rule's text and its words: split and quoted as by a shell, and as by iptables-save and iptables-restore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from salt.exceptions import SaltInvocationError

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
