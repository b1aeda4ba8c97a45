"""
Single rules, for other formulas: in the live tables, in the files for the next boot, and in the register that tells the
ruleset to keep them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _dualstack_converge as converge
import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_canonical as firewall_canonical
import _dualstack_firewall_change as firewall_change
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_expectations as firewall_expectations
import _dualstack_firewall_guard as firewall_guard
import _dualstack_firewall_ipset as firewall_ipset
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_others as firewall_others
import _dualstack_firewall_register as firewall_register
import _dualstack_firewall_rules as firewall_rules
import _dualstack_firewall_save as firewall_save
import _dualstack_host_files as host_files
import _dualstack_settings as settings
import salt.utils.json

# A rule that ends its chain for all packets, or logs them before: the rules after it are never reached.
LAST = re.compile(r"-j (DROP|ACCEPT|RETURN|REJECT|LOG|NFLOG)( --\S+ (\S+|\".*\"))*")


class Asked(NamedTuple):
    """A requested rule, in one family: in the kernel's form, and its place."""

    texts: list[str]
    table: str
    chain: str
    position: str  # start or end


Edit = Callable[[list[str], Asked], list[str]]


def change(
    rules: list[dict[str, Any]], backend: str, save: bool, edit: Edit, opts: Mapping[str, Any]
) -> converge.Change:
    """
    The change that edits rules live, in files and in the register.

    rules
        Each with ``rule``, ``chain``, ``table``, and ``position`` where it is to be added.
    backend
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.
    save
        Edit the files for the next boot, too.
    edit
        :py:func:`with_rule` or :py:func:`without_rule`.
    opts
        Salt's, of this minion, with its pillar.

    Planning raises ``SaltInvocationError`` and ``CommandExecutionError``: also for rules that would shut out who
    manages this host.
    """

    def plan() -> converge.Plan:
        made = _plan(rules, firewall_commands.backend(backend), save, edit)
        if any(family in made["changes"] for family in made["before"]):
            made["warnings"] += _guarded(made, opts)
        return made

    return converge.Change(
        firewall_change.PART, plan, firewall_change.apply, firewall_change.undo, before=firewall_change.before
    )


def _guarded(plan: converge.Plan, opts: Mapping[str, Any]) -> list[str]:
    """Whether those who manage this host get in with these rules; what should be known, in sentences."""
    live = firewall_kernel.read(plan["backend"])
    after = {
        family: firewall_delta.tables(tables, plan["wanted"].get(family, {}), plan["others"][family])["after"]
        for family, tables in live.items()
    }
    firewall = settings.at(opts.get("pillar") or {}, firewall_declared.KEY) or {}
    expect = [] if firewall_expectations.errors(firewall.get("expect") or []) else firewall.get("expect") or []
    change = firewall_guard.Change(live, after, plan["backend"])
    try:
        return firewall_guard.admitting(change, expect, None, opts, tested=False)  # the rest of it may come later
    except firewall_guard.Untried as error:
        return [str(error), *error.unseen]


def with_rule(rules: list[str], one: Asked) -> list[str]:
    """
    A chain's rules with one added, unless it is there: at the start, or at the end. The end is before a last rule that
    matches all packets.
    """
    new = [text for text in one.texts if text not in rules]
    if one.position == "start":
        return [*new, *rules]
    end = len(rules)
    while end and LAST.fullmatch(rules[end - 1]):
        end -= 1
    return [*rules[:end], *new, *rules[end:]]


def without_rule(rules: list[str], one: Asked) -> list[str]:
    """
    A chain's rules with one removed.
    """
    return [text for text in rules if text not in one.texts]


def _plan(rules: list[dict[str, Any]], backend: str, save: bool, edit: Edit) -> converge.Plan:
    live = firewall_kernel.read(backend)
    asked, warnings = _asked(rules, live, backend)
    wanted: firewall_change.Live = {}
    changes: dict[str, Any] = {}
    files: host_files.Edits = {}
    texts = []
    registered, made = firewall_register.read(), firewall_register.made()
    preserve = firewall_others.preserved({}, live)
    others = {family: _others(family, preserve, each, registered, made) for family, each in asked.items()}
    for family, each in asked.items():
        wanted[family] = _edited(_base(live[family], each, others[family]), each, edit)
        delta = firewall_delta.tables(live[family], wanted[family], others[family])
        if delta["changes"]:
            changes[family] = delta["changes"]
        if save:
            old = firewall_boot.saved(family)
            saved = firewall_save.parse(old or "")
            ours = {one.table: saved.get(one.table) or firewall_save.empty(one.table) for one in each}
            texts.append(firewall_boot.text(old, _edited(ours, each, edit), others[family]))
            files.update(firewall_boot.edit(family, old, texts[-1]))
        for one in each:
            known = registered.setdefault(family, {}).setdefault(one.table, {}).setdefault(one.chain, [])
            known[:] = edit(without_rule(known, one), one._replace(position="end"))
    warnings += [*firewall_kernel.other(backend), *firewall_boot.warnings(texts, backend)]
    plan = firewall_change.plan(changes, warnings, files, wanted, live, backend, others)
    if changes or firewall_register.exists():
        # A rule that existed before it was requested is not registered. What is registered is not reported as a change.
        kept = firewall_register.edit(registered)
        plan["files"] = {**files, **kept}
        plan["changes"].update({path: host_files.mode_change(each) for path, each in kept.items() if each.wrong})
    return plan


def _others(
    family: str,
    preserve: list[str],
    asked: list[Asked],
    registered: firewall_register.Register,
    made: firewall_register.Register,
) -> firewall_delta.Others:
    """What belongs to others: not what is asked for now, whatever it is called."""
    named: firewall_save.Tables = {}
    for one in asked:
        chain: firewall_save.Chain = {"policy": None, "rules": []}
        named.setdefault(one.table, {}).setdefault(one.chain, chain)["rules"] += one.texts
    others = firewall_register.others(family, preserve, named, made, registered)
    return others._replace(registered={}, chains={})  # a chain of others stays theirs


def _base(live: firewall_save.Tables, asked: list[Asked], others: firewall_delta.Others) -> firewall_save.Tables:
    """The rules without those of others; but all of a chain that one is asked for in, since it has its place there."""
    base = firewall_delta.own(live, others)
    for one in asked:
        if one.chain in live.get(one.table, {}):
            base[one.table][one.chain] = live[one.table][one.chain]
    return base


def _asked(
    rules: list[dict[str, Any]], live: firewall_change.Live, backend: str
) -> tuple[dict[str, list[Asked]], list[str]]:
    """The rules in the kernel's form, for each family, and warnings."""
    sets = firewall_kernel.sets() if "-set" in salt.utils.json.dumps(rules, default=str) else ""
    holding = firewall_ipset.holding(sets)
    words = [firewall_rules.translate(each["rule"], each["chain"], each["table"], holding) for each in rules]
    # Each goes into a chain of its own, beside the live ones: it may lead to one of them.
    tables: firewall_change.Live = {family: {} for family in live}
    origins: dict[str, Any] = {family: {} for family in live}
    for number, (each, said) in enumerate(zip(rules, words)):
        chain, table = f"salt-rule-{number}", each["table"]
        for family in live:
            tables[family].setdefault(table, {})[chain] = {"policy": None, "rules": said[family]}
            origins[family].setdefault(table, {})[chain] = [each["rule"]] * len(said[family])
    chains = sorted({name for each in live.values() for table in each.values() for name in table})
    canonical, warnings = firewall_canonical.canonical(tables, origins, chains, backend, sets)
    asked: dict[str, list[Asked]] = {family: [] for family in live}
    for number, each in enumerate(rules):
        for family in live:
            texts = canonical[family][each["table"]][f"salt-rule-{number}"]["rules"]
            if texts:
                asked[family].append(Asked(texts, each["table"], each["chain"], each.get("position", "end")))
    return asked, [*(warning for each in words for warning in each["warnings"]), *warnings]


def _edited(tables: firewall_save.Tables, rules: list[Asked], edit: Edit) -> firewall_save.Tables:
    """The tables that the rules are in, with them or without."""
    edited: firewall_save.Tables = {}
    for one in rules:
        chains = edited.get(one.table) or tables.get(one.table) or firewall_save.empty(one.table)
        new: firewall_save.Chain = {"policy": None, "rules": []}
        now = chains.get(one.chain, new)
        edited[one.table] = {**chains, one.chain: {"policy": now["policy"], "rules": edit(now["rules"], one)}}
    return edited
