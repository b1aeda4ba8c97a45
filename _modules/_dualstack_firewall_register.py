"""
What was declared on this host, in the kernel's form: the single rules that other formulas have made with the state
``rule``, which the ruleset leaves where they are; and the rules and chains of the ruleset that look like those of other
programs, so that they are known as ours once the pillar no longer has them.
"""

from __future__ import annotations

import os
from collections.abc import Collection

import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_save as firewall_save
import _dualstack_host_files as host_files
import _dualstack_host_json as host_json
import salt.utils.json
from salt.exceptions import CommandExecutionError

PATH = "/var/lib/dualstack_iptables/rules.json"
DECLARED = "/var/lib/dualstack_iptables/declared.json"

MODE = 0o640
SETS = ("sets", "ipset", "declared")  # beside the families, where the names of sets are remembered
ALL = "everything"  # beside the families, where all that was declared is remembered

Register = dict[str, firewall_delta.Singles]  # by family


def read() -> Register:
    """
    The single rules.

    Raises ``CommandExecutionError`` where the register is damaged: without it, the rules of others would be removed;
    ``OSError`` where it cannot be read.
    """
    return _read(PATH, "run the states `dualstack_iptables.rule` again")


def made() -> Register:
    """
    The rules that the ruleset has made though they look like those of other programs; a chain of such a name has all.

    Raises as :py:func:`read` does.
    """
    return _read(DECLARED, "remove by hand what the pillar has had and has no more")


def sets() -> list[str]:
    """
    The names of the sets of ipset(8) that were declared. Raises as :py:func:`read` does.
    """
    part, table, chain = SETS
    return made().get(part, {}).get(table, {}).get(chain, [])


def _read(path: str, otherwise: str) -> Register:
    try:
        found = host_json.typed(host_json.load(path), dict)
        for tables in found.values():
            for chains in host_json.typed(tables, dict).values():
                for rules in host_json.typed(chains, dict).values():
                    for rule in host_json.typed(rules, list):
                        host_json.typed(rule, str)
    except ValueError:
        raise CommandExecutionError(
            f"{path} is damaged: it names rules that are this formula's; restore it from a backup, or remove it and "
            f"{otherwise}"
        ) from None
    register: Register = found
    return register


def others(
    family: str, preserve: list[str], wanted: firewall_save.Tables, known: Register, single: Register
) -> firewall_delta.Others:
    """
    What in a family's tables belongs to others.

    family
        ``ipv4`` or ``ipv6``.
    preserve
        The patterns of their names.
    wanted
        The declared tables.
    known, single
        As :py:func:`made` and :py:func:`read` return them.
    """
    ours: firewall_delta.Singles = {}
    for source in (_rules(wanted), known.get(family, {}), single.get(family, {})):
        for table, chains in source.items():
            for chain, rules in chains.items():
                ours.setdefault(table, {}).setdefault(chain, []).extend(rules)
    return firewall_delta.Others(
        preserve, single.get(family, {}), ours, {table: list(chains) for table, chains in wanted.items()}
    )


def to_remember(
    wanted: dict[str, firewall_save.Tables], preserve: list[str], everything: bool, sets: Collection[str] = ()
) -> Register:
    """
    What has to be remembered of declared tables: the files for the next boot tell the rest.

    wanted
        They, by family.
    preserve
        The patterns of names that belong to others.
    everything
        Whatever is not known as ours is kept, also in these files: then they do not tell it, and all is remembered.
    sets
        The names of the sets that are ours.
    """
    found: Register = {ALL: {}} if everything else {}
    if sets:
        part, name, key = SETS
        found[part] = {name: {key: list(sets)}}
    for family, tables in wanted.items():
        for table, chains in tables.items():
            for chain, each in chains.items():
                theirs = everything or firewall_delta.foreign(chain, preserve)
                away = set() if theirs else firewall_delta.leading_away(each["rules"], preserve)
                rules = [rule for rule in each["rules"] if theirs or rule in away]
                if rules:
                    found.setdefault(family, {}).setdefault(table, {})[chain] = rules
    return found


def _rules(tables: firewall_save.Tables) -> firewall_delta.Singles:
    return {table: {chain: each["rules"] for chain, each in chains.items()} for table, chains in tables.items()}


def exists() -> bool:
    """
    Whether there is a register of single rules.
    """
    return os.path.exists(PATH)


def edit(register: Register) -> host_files.Edits:
    """
    The edit that puts other single rules into the register, for a plan.

    register
        The rules.

    Raises ``CommandExecutionError`` where it could not be replaced.
    """
    return _edit(PATH, register)


def remembering(register: Register) -> host_files.Edits:
    """
    The edit that remembers declared rules that look like those of others, for a plan; empty where it changes nothing.

    register
        As :py:func:`to_remember` returns it.

    Raises ``CommandExecutionError`` where it could not be replaced.
    """
    return _edit(DECLARED, register) if register or os.path.exists(DECLARED) else {}


def _edit(path: str, register: Register) -> host_files.Edits:
    text = salt.utils.json.dumps(register, indent=2) + "\n"
    return host_files.edit(path, host_files.read(path), text, MODE)


def drift() -> host_files.Edits:
    """
    The edit that gives the register its permissions back, for a plan; empty where they are right.

    Raises ``CommandExecutionError`` where it could not be changed.
    """
    text = host_files.read(PATH)
    return host_files.edit(PATH, text, text, MODE)
