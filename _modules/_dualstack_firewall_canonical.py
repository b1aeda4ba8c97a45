"""
Declared tables in the form that the kernel gives them, in which they can be compared with the live ones.
"""

from __future__ import annotations

import _dualstack_firewall_blame as firewall_blame
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_names as firewall_names
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_scratch as firewall_scratch
from salt.exceptions import CommandExecutionError


class Refused(CommandExecutionError):
    """
    The kernel rejects the tables.

    rules
        A sentence for each rule that is to blame, which begins with where the rule comes from.
    others
        A sentence for each family in which no rule is to blame.
    """

    def __init__(self, rules: list[str], others: list[str]) -> None:
        super().__init__("\n".join([*rules, *others]))
        self.rules, self.others = rules, others


def canonical(
    declared: dict[str, firewall_save.Tables],
    origins: dict[str, firewall_blame.Origins],
    preserve: list[str],
    backend: str,
    sets: str,
) -> tuple[dict[str, firewall_save.Tables], list[str]]:
    """
    Tables in the kernel's form.

    declared
        The tables of each family.
    origins
        Where each of their rules comes from, of each family.
    preserve
        The chains of others, as in ``firewall_delta.tables``.
    backend
        ``nft`` or ``legacy``.
    sets
        The sets that rules may refer to, as ipset save prints them.

    Returns the tables, and warnings. Raises ``Refused``, and ``CommandExecutionError``.
    """
    named = firewall_names.resolved(declared, origins)
    declared, warnings = named.tables, named.warnings
    full = {family: firewall_delta.with_stubs(each, preserve) for family, each in declared.items()}
    try:
        texts = {family: firewall_save.render(each) for family, each in full.items()}
        loaded = firewall_scratch.load(texts, backend, sets)
    except firewall_commands.NoNamespaces as error:
        warnings.append(f"{error}; the rules were normalised in unreferenced chains")
        loaded = firewall_scratch.load_in_place(full, backend)
    if loaded.refusals and named.problems:  # the command itself only says that something was not found
        raise Refused(named.problems, [])
    if loaded.refusals:
        rules, others = [], []
        for family, refusal in loaded.refusals.items():
            rule = firewall_blame.rule(family, refusal, full[family], origins[family], backend, sets)
            command = firewall_commands.COMMANDS[family]
            if rule:
                rules.append(f"{rule.origin}: {command} does not take {rule.words!r}: {refusal.said}")
            else:
                others.append(f"{command} does not take the ruleset: {refusal.sentence}")
        raise Refused(rules, others)
    return {
        family: {table: _completed(loaded.tables[family].get(table), table, chains) for table, chains in each.items()}
        for family, each in declared.items()
    }, warnings


def _completed(kernel: firewall_save.Table | None, table: str, declared: firewall_save.Table) -> firewall_save.Table:
    """A table in the kernel's form, without the stubs, and with unstated policies kept unstated."""
    complete: firewall_save.Table = {}
    for chain, each in (kernel or firewall_save.empty(table)).items():
        if chain in declared or chain in firewall_save.BUILT_IN[table]:
            policy = declared[chain]["policy"] if chain in declared else firewall_save.UNSAID
            complete[chain] = {"policy": policy, "rules": each["rules"]}
    return complete
