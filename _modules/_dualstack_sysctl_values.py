"""
Values of kernel parameters: whether two mean the same, and which are secret. PURE: never accesses the host.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re

SECRET = re.compile(r"stable_secret|tcp_fastopen_key")  # the last part of a parameter's name
NUMBER = re.compile(r"(-?)(?:(0[xX][0-9a-fA-F]+)|(0[0-7]*)|([1-9]\d{0,30}))")  # as the kernel reads them, strtoul(3)
RANGES = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*")


def same(one: str, other: str) -> bool:
    """
    Whether two values mean the same to the kernel.

    one, other
        The values: words, between which the kernel puts tabs, numbers in any notation, or lists of ranges, of which
        it makes the shortest.
    """
    words, others = one.split(), other.split()
    return len(words) == len(others) and all(
        word == each or _plain(word) == _plain(each) for word, each in zip(words, others)
    )


def _plain(word: str) -> object:
    if number := NUMBER.fullmatch(word):
        sign, hexadecimal, octal, decimal = number.groups()
        value = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
        return -value if sign else value
    with contextlib.suppress(ValueError):  # the kernel writes an address of IPv6 in full
        return ipaddress.IPv6Address(word)
    return _ranges(word) if RANGES.fullmatch(word) else word


def _ranges(word: str) -> list[tuple[int, int]]:
    """A list of ranges, sorted, and joined where they meet: ``8000,8001-8002`` is ``8000-8002``."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(_ends(each) for each in word.split(",")):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _ends(word: str) -> tuple[int, int]:
    first, _, last = word.partition("-")
    return int(first), int(last or first)


def shown(name: str, value: str) -> str:
    """
    A value for a message; ``***`` for a secret.

    name
        The parameter.
    value
        Its value.
    """
    return "***" if SECRET.fullmatch(name.rpartition(".")[2]) else value
