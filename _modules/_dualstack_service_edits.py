"""
Edits in texts of configuration files, and places in them. PURE: never accesses the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import _dualstack_plugins as plugins


def spliced(text: str, edits: Iterable[Sequence[Any]]) -> str:
    """
    A text with some of its spans replaced; all else stays as it is.

    text
        The text.
    edits
        Each is ``[start, end, words]``: what stands from offset ``start`` up to ``end`` becomes ``words``. If the two
        are equal, the words are inserted; empty words delete the span. In any order; edits of the same span keep
        theirs. Two spans may touch, but not overlap, which is not checked.

    Returns the new text.
    """
    parts, position = [], 0
    for start, end, words in sorted(edits, key=lambda edit: (edit[0], edit[1])):
        parts += [text[position:start], words]
        position = end
    return "".join([*parts, text[position:]])


def rewritten(files: plugins.Files, edits: Mapping[str, Iterable[Sequence[Any]]]) -> dict[str, str]:
    """
    The new texts of the files that change.

    files
        All files, by path.
    edits
        For some of them, what :py:func:`spliced` takes.
    """
    return {path: spliced(files[path]["text"], each) for path, found in edits.items() if (each := list(found))}


def with_lines(text: str, lines: Iterable[str]) -> str:
    """
    A text with more lines at its end, with the same line ends as the others.

    text
        The text.
    lines
        The lines, without their ends.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    before = "" if not text or text.endswith("\n") else end
    return text + before + "".join(f"{line}{end}" for line in lines)


def afterwards(files: plugins.Files, texts: Mapping[str, str]) -> plugins.Files:
    """
    The files as they will be.

    files
        All files, by path.
    texts
        The new texts of those that change, and of new ones.
    """
    return {**files, **{path: {"includes": [], **files.get(path, {}), "text": text} for path, text in texts.items()}}


def place(path: str, text: str, offset: int) -> str:
    """
    Where something stands, as ``path:line:column``.

    path
        The file.
    text
        Its text.
    offset
        In the text.
    """
    return f"{path}:{text.count(chr(10), 0, offset) + 1}:{offset - text.rfind(chr(10), 0, offset)}"
