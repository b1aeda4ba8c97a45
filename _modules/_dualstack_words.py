"""
Words that this project's messages have in common.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

ABSENT, PRESENT = "absent", "present"
LISTS = {  # of lines, such as rules: how each is, and what was expected
    "removed": f"is {PRESENT}, expected {ABSENT}",
    "added": f"is {ABSENT}, expected {PRESENT}",
    "moved": "is not in its place",
}


def unknown(key: object, known: Iterable[str]) -> str:
    """
    The error for an unknown key, with the one that may have been meant.

    key
        As it was written.
    known
        The keys that there are.
    """
    known = list(known)
    near = difflib.get_close_matches(str(key), known, 1)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; expected one of {', '.join(known)}"


def printable(value: Any) -> Any:
    """
    Text that Salt can send to its master: bytes that are not UTF-8, as in an old file, become question marks.

    value
        Text, or mappings and lists with text in them.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {printable(key): printable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [each if isinstance(each, str) and each.isascii() else printable(each) for each in value]
    return value


def differences(changes: Mapping[str, Any]) -> list[str]:
    """
    What would have to change, one difference a line.

    changes
        Those of a plan: mappings of any depth, down to ``old`` and ``new``, to ``removed``, ``added`` and ``moved``
        (lists of lines), or to a unified diff.
    """
    return [line for key, change in changes.items() for line in _lines(str(key), change)]


def _lines(place: str, change: Any) -> list[str]:
    if isinstance(change, str):  # a unified diff, whose first two lines are its header
        marks = {"-": "removed", "+": "added"}
        lines = [line for line in change.splitlines()[2:] if line[:1] in marks]
        return [f"{place}: `{line[1:]}` {LISTS[marks[line[0]]]}" for line in lines]
    if not isinstance(change, Mapping):
        return [f"{place}: {_value(change)}"]
    found = []
    if "old" in change and "new" in change:
        found += _pair(place, change["old"], change["new"])
    for key, each in change.items():
        if key in LISTS:
            found += [f"{place}: `{line}` {LISTS[key]}" for line in each]
        elif key not in ("old", "new"):
            found += _lines(f"{place}: {key}", each)
    return found


def _pair(place: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        pairs = {key: (old.get(key, ABSENT), new.get(key, ABSENT)) for key in keys}
        return [
            line for key, (one, other) in pairs.items() if one != other for line in _pair(f"{place}: {key}", one, other)
        ]
    if "\n" in f"{old}{new}":
        sides = {"removed": old, "added": new}
        lines = [(key, line) for key, text in sides.items() if text != ABSENT for line in str(text).splitlines()]
        return [f"{place}: `{line}` {LISTS[key]}" for key, line in lines]
    return [f"{place} is {_value(old)}, expected {_value(new)}"]


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    return str(value) or "empty"
