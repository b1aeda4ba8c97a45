"""
Configuration files that include each other, read in the order in which a daemon reads them. PURE: never accesses the
host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import _dualstack_plugins as plugins
from salt.exceptions import SaltInvocationError

# A limit to a tree of includes: sixty files that each include the next one twice would never end.
VISITS = 10000

Statement = TypeVar("Statement")


@dataclass(frozen=True)
class Step(Generic[Statement]):
    """One statement, where it counts."""

    path: str  # the file that it stands in
    statement: Statement
    above: tuple[Statement, ...]  # the include statements that lead to this file, the outermost first
    included: list[str]  # the files that it includes, known or not


def walk(
    files: plugins.Files,
    main: str,
    read: Callable[[str, str], Iterable[Statement]],
    patterns: Callable[[Statement], int],
    place: Callable[[str, Statement], str],
) -> Iterator[Step[Statement]]:
    """
    The statements of all files, each as often as it is included; included statements follow the include.

    files
        Every file that the daemon reads, by path: ``text``, and ``includes``, the paths that each pattern matched.
    main
        The file to begin with. If it does not exist, nothing is read; a missing included file is skipped.
    read
        The statements of a file, by its path and text. Each file is read once.
    patterns
        The number of patterns of ``includes`` that a statement stands for: 0 if it is not an include.
    place
        Where a statement stands, by the path of its file: ``/etc/x.conf:3:1``.

    Raises ``SaltInvocationError`` for a file that includes itself, even indirectly, and for more than 10000 included
    files.
    """
    known: dict[str, list[Statement]] = {}
    visits = 0

    def opened(path: str, trail: tuple[str, ...], above: tuple[Statement, ...]) -> _Open[Statement]:
        if path not in known:
            known[path] = list(read(path, files[path]["text"]))
        return _Open(path, trail, above, iter(known[path]), iter(files[path].get("includes") or []))

    stack = [opened(main, (main,), ())] if main in files else []
    while stack:
        top = stack[-1]
        statement = next(top.statements, None)
        if statement is None:
            stack.pop()
            continue
        included = [path for _ in range(patterns(statement)) for path in next(top.matched, [])]
        yield Step(top.path, statement, top.above, included)
        inner = []
        for path in included:
            if path not in files:
                continue
            visits += 1
            if path in top.trail or visits > VISITS:
                raise SaltInvocationError(f"{place(top.path, statement)}: {path} is included without an end")
            inner.append(opened(path, (*top.trail, path), (*top.above, statement)))
        stack += reversed(inner)


@dataclass(frozen=True)
class _Open(Generic[Statement]):
    """A file that is being read, or is waiting to be read."""

    path: str
    trail: tuple[str, ...]  # the files that lead to it, and itself
    above: tuple[Statement, ...]
    statements: Iterator[Statement]  # that are still to come
    matched: Iterator[list[str]]  # by the patterns that are still to come
