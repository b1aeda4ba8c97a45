"""
Rules that lead to a chain of others that is not there: they cannot be loaded, though they could be normalised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_save as firewall_save
from salt.exceptions import CommandExecutionError

Families = Mapping[str, firewall_save.Tables]


def refuse_missing(
    declared: firewall_declared.Declared, wanted: Families, after: Families, preserve: list[str]
) -> None:
    """
    Raise ``CommandExecutionError`` with every rule that leads to a chain that there would not be, and its key.

    declared
        The firewall.
    wanted
        The tables that it is to have, of each family that is to change.
    after
        All tables after the change.
    preserve
        The patterns of names that belong to others: chains of any other name are known to be there.
    """
    places = [
        (family, table, chain, name)
        for family, tables in wanted.items()
        for table, chains in tables.items()
        for chain, each in chains.items()
        for name in sorted({rule[rule.rfind(" ") + 1 :] for rule in each["rules"]} - set(after[family][table]))
        if firewall_delta.foreign(name, preserve) and _is_led_to(name, each["rules"])
    ]
    if places:
        built = firewall_ruleset.read(declared.firewall, declared.tunnel)
        problems = [
            f"{origin}: it leads to the chain {name}, which is not in the table {table} ({family}); a program that has "
            "such a chain makes it when it starts, or the pillar has to declare it"
            for family, table, chain, name in places
            for origin in _origins(built, family, table, chain, name)
        ]
        raise CommandExecutionError("\n".join(declared.told(list(dict.fromkeys(problems)))))


def _is_led_to(name: str, rules: list[str]) -> bool:
    """A chain is the last word of a rule: it has no options, and in the kernel's form nothing follows."""
    return any(rule.endswith((f"-j {name}", f"-g {name}")) for rule in rules)


def _origins(built: firewall_ruleset.Reading, family: str, table: str, chain: str, name: str) -> Iterator[str]:
    rules = built["tables"][family].get(table, {}).get(chain, {"policy": None, "rules": []})["rules"]
    found = [number for number, rule in enumerate(rules) if name in firewall_delta.targets([rule])]
    yield from (built["origins"][family][table][chain][number] for number in found)
    if not found:
        yield f"tables:{table}:{chain}"
