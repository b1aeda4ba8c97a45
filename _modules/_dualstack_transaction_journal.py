"""
The journal of a transaction: how things were before each step, on the disk before they are changed.

A step is one file of calls that the restorer understands, with its texts beside it. It is written aside and renamed: so
it is there as a whole, or the step has not begun.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import _dualstack_host_files as host_files
import _dualstack_transaction_place as transaction_place

NONE = "-"  # the digest of a file that does not exist


class Image(NamedTuple):
    """How one thing was: a call of the restorer's, without step and part, and the texts that it reads, by suffix."""

    words: tuple[str, ...]
    texts: Mapping[str, str] = {}


class _Known(NamedTuple):
    """What earlier steps have written about a file."""

    step: int
    old: str
    new: str


def of_files(edits: host_files.Edits) -> list[Image]:
    """
    How files were.

    edits
        What is about to become of them.
    """
    found = []
    for path, each in edits.items():
        real = os.path.realpath(path)
        if each.old == each.new:
            found.append(Image(("mode", real, f"{each.wrong or 0:o}", f"{host_files.limited(each):o}")))
            continue
        known = _known(real)
        old = known[0].old if known else _digest(each.old)
        new = " ".join(dict.fromkeys([*(one.new for one in known[-1:]), _digest(each.new)]))
        found.append(Image(("file", real, host_files.kept(real), old, new, each.folder)))
    return found


def _digest(text: str | None) -> str:
    return NONE if text is None else hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def write(part: str, images: list[Image], edits: host_files.Edits) -> int:
    """
    Write a step down.

    part
        Of the host.
    images
        How everything was that it is about to change.
    edits
        The files among it: each gets a second name, unless an earlier step has given it one.

    Returns its number. Raises ``OSError``; then nothing may be changed.
    """
    step = 1 + max((int(each) for each in _steps()), default=0)
    lines = []
    for image in images:
        call, *words = image.words
        lines.append(" ".join([call, str(step), shlex.quote(part), *map(shlex.quote, words)]))
        for suffix, text in image.texts.items():
            transaction_place.put(f"{transaction_place.ENTRIES}/{step:04d}.{suffix}", text)
    _put(step, lines)
    try:
        host_files.keep(edits)
    except BaseException:
        _forget(step)
        raise
    return step


def undone(step: int) -> None:
    """
    Write down that a step was undone: it is nothing any more that could be put back.

    step
        Its number.

    Raises ``OSError``.
    """
    own = _kept_by(step)
    number = 1 + max(int(each) for each in _steps())
    _put(number, [f"undone {step}"])
    _unlink(own)


def _forget(step: int) -> None:
    """A step that could not be written down as a whole was not taken."""
    own = _kept_by(step)
    os.unlink(f"{transaction_place.ENTRIES}/{step:04d}")
    _unlink(own)


def _kept_by(step: int) -> list[str]:
    """The second names of files that this step was the first to give."""
    return [words[4] for words in _calls("file") if int(words[1]) == step and _known(words[3])[0].step == step]


def _unlink(paths: list[str]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def parts() -> list[str]:
    """
    The parts of the host that this transaction has changed. Raises ``OSError`` where that cannot be read.
    """
    gone = _undone()
    found = [words for name in _steps() for words in _lines(name) if words[0] != "undone" and int(words[1]) not in gone]
    return list(dict.fromkeys(words[2] for words in found))


def _known(path: str) -> list[_Known]:
    gone = _undone()
    found = [words for words in _calls("file") if words[3] == path and int(words[1]) not in gone]
    return [_Known(int(words[1]), words[5], words[6]) for words in found]


def _undone() -> set[int]:
    return {int(words[1]) for words in _calls("undone")}


def _calls(name: str) -> Iterator[list[str]]:
    for step in _steps():
        yield from (words for words in _lines(step) if words[0] == name)


def _lines(step: str) -> list[list[str]]:
    text = host_files.read(f"{transaction_place.ENTRIES}/{step}") or ""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " ", True, ""
    calls: list[list[str]] = [[]]
    for word in lexer:
        if set(word) == {"\n"}:
            calls.append([])
        else:
            calls[-1].append(word)
    return [each for each in calls if each]


def _steps() -> list[str]:
    return sorted(each for each in os.listdir(transaction_place.ENTRIES) if each.isdigit())


def _put(step: int, lines: list[str]) -> None:
    transaction_place.put(f"{transaction_place.ENTRIES}/{step:04d}", "".join(f"{each}\n" for each in lines))
    transaction_place.settle(transaction_place.ENTRIES)
