"""
What is known about a rule during translation: its options, and what each of them means for the families.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import _dualstack_firewall_words as firewall_words


class Option(NamedTuple):
    """One option of a rule. ``say`` returns what it is in each family; without it, it is the same in both."""

    name: str
    negated: bool
    values: list[str]
    say: Say | None

    @property
    def words(self) -> list[str]:
        return ["!", self.name, *self.values] if self.negated else [self.name, *self.values]

    def with_values(self, *values: str) -> list[str]:
        """The words of this option with other values."""
        return self._replace(values=list(values)).words

    def __str__(self) -> str:
        return f"`{firewall_words.join(self.words)}`"


class Rule:
    """A rule as it was read, and what its options mean for the families."""

    def __init__(self, sets: Mapping[str, str], family: str | None = None) -> None:
        self.sets = sets
        self.family = family  # stated explicitly
        self.options: list[Option] = []
        self.special = False  # some option has a `say`
        self.denied: dict[str, list[str]] = {}  # family -> why the rule is not for it
        self.undecided: dict[str, list[str]] = {}  # family -> what has no twin in it
        self.lost: dict[str, list[str]] = {}  # family -> its part of mixed lists
        self.only_negated: set[str] = set()  # families that are denied by negated options only
        self.warnings: list[str] = []

    def value(self, name: str) -> str | None:
        return next(("".join(option.values) for option in self.options if option.name == name), None)

    def has(self, name: str, value: str) -> bool:
        return any(option.name == name and option.values == [value] for option in self.options)

    def deny(self, family: str, option: Option, reason: str) -> None:
        if family not in self.denied:
            self.only_negated.add(family)
        if not option.negated:
            self.only_negated.discard(family)
        self.denied.setdefault(family, []).append(f"{option}: {reason}")

    def ask(self, family: str, option: Option, problem: str) -> None:
        self.undecided.setdefault(family, []).append(f"{option}: {problem}")


Both = tuple[list[str], list[str]]
Say = Callable[[Rule, Option], Both]
