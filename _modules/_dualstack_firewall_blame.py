"""
Which rule is the reason that the kernel rejects a ruleset.
"""

from __future__ import annotations

from typing import NamedTuple

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_scratch as firewall_scratch

Origins = dict[str, dict[str, list[str]]]  # where each rule comes from, by table and chain


class Blamed(NamedTuple):
    """A rule, and where it comes from."""

    origin: str
    words: str


def rule(
    family: str,
    refusal: firewall_scratch.Refusal,
    tables: firewall_save.Tables,
    origins: Origins,
    backend: str,
    sets: str,
) -> Blamed | None:
    """
    The rule that cannot be loaded.

    family
        ``ipv4`` or ``ipv6``.
    refusal
        Why the tables were rejected.
    tables
        Those that were to be loaded.
    origins
        Where each of their rules comes from.
    backend
        ``nft`` or ``legacy``.
    sets
        The sets that rules may refer to, as ipset save prints them.

    Returns ``None`` where no rule is to blame. Raises ``CommandExecutionError``.
    """
    lines = firewall_save.render(tables).split("\n")
    number = refusal.line
    if not number or number > len(lines) or not lines[number - 1].startswith("-A "):
        number = _first_refused(family, lines, backend, sets)
    if not number:
        return None
    chain, _, words = lines[number - 1][3:].partition(" ")
    before = lines[:number]
    table = next(line[1:] for line in reversed(before) if line.startswith("*"))
    start = len(before) - before[::-1].index(f"*{table}")
    place = sum(line.startswith(f"-A {chain} ") or line == f"-A {chain}" for line in before[start:]) - 1
    return Blamed(origins[table][chain][place], words)


def _first_refused(family: str, lines: list[str], backend: str, sets: str) -> int:
    """Some errors only come when a whole table is committed: the first line up to which it cannot be loaded."""
    rules = [number for number, line in enumerate(lines, 1) if line.startswith("-A ")]

    def refused(last: int) -> bool:
        text = "".join(
            f"{line}\n" for number, line in enumerate(lines, 1) if number <= last or not line.startswith("-A ")
        )
        try:
            return bool(firewall_scratch.load({family: text}, backend, sets).refusals)
        except firewall_commands.NoNamespaces:
            return bool(firewall_scratch.load_in_place({family: firewall_save.parse(text)}, backend).refusals)

    if not rules or not refused(rules[-1]) or refused(0):
        return 0
    low, high = 0, len(rules) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if refused(rules[middle]) else (middle + 1, high)
    return rules[low]
