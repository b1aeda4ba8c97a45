"""
The whole firewall of both families: how it differs from the declared one, and the change that converges it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _dualstack_converge as converge
import _dualstack_firewall_beside as firewall_beside
import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_change as firewall_change
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_essential as firewall_essential
import _dualstack_firewall_guard as firewall_guard
import _dualstack_firewall_ipset as firewall_ipset
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_managers as firewall_managers
import _dualstack_firewall_memory as firewall_memory
import _dualstack_firewall_native as firewall_native
import _dualstack_firewall_others as firewall_others
import _dualstack_firewall_register as firewall_register
import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_sets as firewall_sets
import _dualstack_firewall_sets_text as firewall_sets_text
import _dualstack_firewall_targets as firewall_targets
import _dualstack_firewall_trial as firewall_trial
import _dualstack_firewall_wanted as firewall_wanted
import _dualstack_host_files as host_files
import _dualstack_host_management as host_management
import _dualstack_settings_tunnels as settings_tunnels
from salt.exceptions import CommandExecutionError


class Facts(NamedTuple):
    """What stays the same while the firewall changes: made once in a run."""

    declared: firewall_declared.Declared
    wanted: firewall_wanted.Wanted
    warnings: list[str]
    native: firewall_native.Seen


Declare = Callable[[], firewall_declared.Declared]  # returns the declaration, which may be missing or malformed


class Compared(NamedTuple):
    """The live rules, their differences from the wanted ones, and all rules after the change."""

    live: firewall_change.Live
    after: firewall_change.Live
    changes: dict[str, Any]
    others: dict[str, firewall_delta.Others]
    wanted: firewall_change.Live  # with every policy stated
    warnings: list[str]
    sets: firewall_ipset.Change


def facts(declared: firewall_declared.Declared, cachedir: str) -> Facts:
    """
    What is wanted on this host.

    declared
        The firewall.
    cachedir
        Salt's folder for what is remembered.

    Raises ``SaltInvocationError`` for bad input, and ``CommandExecutionError`` if the ruleset cannot be loaded;
    ``NotInstalled``, which is one, where there is no iptables.
    """
    if staying := firewall_beside.patterns(declared.firewall):
        kept = declared.firewall.get("preserve") or []
        if isinstance(kept, list):
            declared = declared._replace(firewall={**declared.firewall, "preserve": [*kept, *staying]})
    wanted = firewall_wanted.wanted(declared, cachedir)
    native = firewall_native.look(cachedir)
    if misread := firewall_native.misread(native, declared.firewall["tables"] if wanted.backend == "nft" else ()):
        raise CommandExecutionError("\n".join(misread))
    warnings = [*wanted.warnings, *firewall_kernel.other(wanted.backend), *firewall_native.warnings(native.filtering)]
    return Facts(declared, wanted, warnings, native)


def compared(facts: Facts) -> Compared:
    """
    Read the live rules, and compare them.

    facts
        What is wanted.

    Raises ``CommandExecutionError``, and ``SaltInvocationError`` as :py:func:`firewall_wanted.settled` does.
    """
    wanted = facts.wanted
    live = firewall_kernel.read(wanted.backend)
    settled, warnings = firewall_wanted.settled(facts.declared, wanted.tables, live)
    others = firewall_others.of(facts.declared.firewall, settled, live)
    deltas = {family: firewall_delta.tables(tables, settled[family], others[family]) for family, tables in live.items()}
    after = {family: each["after"] for family, each in deltas.items()}
    changing = {family: wanted.tables[family] for family, each in deltas.items() if each["changes"]}
    firewall_targets.refuse_missing(facts.declared, changing, after, wanted.preserve)
    own = firewall_sets.read(facts.declared.firewall)
    sets = firewall_ipset.compared(own, firewall_register.sets(), live, after)
    facts.declared.refuse(sets.problems)
    return Compared(
        live,
        after,
        {family: each["changes"] for family, each in deltas.items() if each["changes"]},
        others,
        settled,
        [*warnings, *facts.declared.told(sets.warnings)],
        sets,
    )


def planned(facts: Facts, compared: Compared) -> converge.Plan:
    """
    What has to be changed: the live rules, and the files for the next boot.

    facts
        What is wanted.
    compared
        The live rules beside it.
    """
    wanted = facts.wanted
    files: host_files.Edits = {}
    texts = []
    if facts.declared.firewall.get("save", True):
        for family, tables in compared.after.items():
            # Only what is wanted, without other live rules.
            others = compared.others[family]
            ours = firewall_delta.own({table: tables[table] for table in wanted.tables[family]}, others)
            old = firewall_boot.saved(family)
            texts.append(firewall_boot.text(old, ours, others))
            files.update(firewall_boot.edit(family, old, texts[-1]))
        files.update(_saved_sets(facts, compared))
    files.update(firewall_register.drift())
    keeps = firewall_others.keeps(facts.declared.firewall)
    preserve = next((each.preserve for each in compared.others.values()), [])  # the same in each family
    remember = firewall_register.to_remember(wanted.tables, preserve, keeps, compared.sets.known)
    files.update(firewall_register.remembering(remember))
    made = firewall_change.plan(
        compared.changes,
        [*facts.warnings, *compared.warnings, *firewall_boot.warnings(texts, wanted.backend)],
        files,
        compared.wanted,
        compared.live,
        wanted.backend,
        compared.others,
        compared.sets,
    )
    return _in_short(made, facts.declared)


def _saved_sets(facts: Facts, compared: Compared) -> host_files.Edits:
    """The sets for the next boot, which loads them before the rules; those of others stay in that file as they are."""
    own, remembered = firewall_sets.read(facts.declared.firewall).sets, firewall_register.sets()
    if not own and not remembered:
        return {}
    old = host_files.read(firewall_boot.SETS)
    gone = [each for each in remembered if each not in compared.sets.known]
    return firewall_boot.edit_sets(old, firewall_sets_text.saved(old, own, gone))


def _in_short(plan: converge.Plan, declared: firewall_declared.Declared) -> converge.Plan:
    """A plan whose ``changes`` have one line for all that IPv6 needs, of each chain; ``full`` has it all."""
    plan["full"] = plan["changes"]
    if not declared.firewall.get("icmpv6_essential", True) or "ipv6" not in plan["changes"]:
        return plan
    names = settings_tunnels.interfaces(declared.tunnel)
    found = {}
    for place, change in plan["changes"]["ipv6"].items():
        table, chain = place.split(" ", 1)
        rules = plan["wanted"]["ipv6"].get(table, {}).get(chain, {"policy": None, "rules": []})["rules"]
        found[place] = firewall_essential.in_short(chain, names, rules, change)
    plan["changes"] = {**plan["changes"], "ipv6": found}
    return plan


def change(declare: Declare, opts: Mapping[str, Any], test: bool, taking: bool = False) -> converge.Change:
    """
    The change that converges the live rules, and those of the next boot, to the declared ones.

    declare
        Returns the declared firewall.
    opts
        Salt's, of this minion.
    test
        The change will not be made, so iptables may yet have to be installed, in the same run.
    taking
        Other managers of the firewall, those under ``take_over``, may be active: they end in the same step.

    Planning refuses where another one is active. In a run the live rules are read three times, each for a reason: for
    the plan; before the change, under the lock, since others may have changed them during the rehearsal; and for the
    second plan, which shows that the change is done. Everything else is determined once. That includes the addresses
    of host names in rules: a second lookup might give others.
    """

    once = functools.cache(lambda: facts(declare(), opts["cachedir"]))
    alone: list[bool] = []  # whether nobody else manages the firewall: asked for the first plan
    proofs: set[str] = set()

    def plan() -> converge.Plan:
        try:
            known = once()
        except firewall_commands.NotInstalled as error:
            if not test:
                raise
            return _without_iptables(declare(), taking, "ipset" if str(error).startswith("ipset") else "iptables")
        found = compared(known)
        if not alone:
            firewall_managers.refuse(known.declared.firewall, known.native, taking, found.live)
            alone.append(True)
        firewall = known.declared.firewall
        proof = firewall_memory.digest(known.wanted.key, firewall.get("expect"), firewall.get("sets"))
        warnings: list[str] = []
        if (
            found.changes or found.sets.changes or proof not in {known.wanted.proof, *proofs}
        ):  # rules already loaded were tested then
            tried, warnings = _rehearsed(known, found, opts)
            if tried:
                proofs.add(proof)
            if tried and proof != known.wanted.proof:
                firewall_wanted.remember(known.wanted._replace(proof=proof), opts["cachedir"])
        made = planned(known, found)
        made["warnings"] += warnings
        return made

    return converge.Change(
        firewall_change.PART, plan, firewall_change.apply, firewall_change.undo, before=firewall_change.before
    )


def _without_iptables(declared: firewall_declared.Declared, taking: bool, lacks: str) -> converge.Plan:
    """What test=True can report on a host where the same run is yet to install iptables, or ipset."""
    built = firewall_ruleset.read(declared.firewall, declared.tunnel)
    declared.refuse(built["problems"])
    firewall_managers.refuse(declared.firewall, firewall_native.look(), taking)
    settled, warnings = firewall_wanted.settled(declared, built["tables"], {})
    changes = {
        family: firewall_delta.tables({}, settled[family], firewall_delta.Others([]))["changes"]
        for family in firewall_kernel.families()
    }
    if own := firewall_sets.read(declared.firewall).sets:
        changes = {"sets": {name: firewall_sets_text.difference(each, None) for name, each in own.items()}, **changes}
    warning = f"{lacks} is not installed yet: the rules are shown as they are written, and were not tested"
    return _in_short({"changes": changes, "warnings": [warning, *warnings], "wanted": settled}, declared)


def _rehearsed(facts: Facts, compared: Compared, opts: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """
    Try the rules with real packets before they are loaded.

    Returns whether they could be tried, and what should be known. Raises ``CommandExecutionError`` if they do not do
    what is expected, or shut out who manages this host.
    """
    expect, tunnel = facts.declared.firewall.get("expect") or [], facts.declared.tunnel
    change = firewall_guard.Change(compared.live, compared.after, facts.wanted.backend, _sets(facts))
    try:
        said = firewall_guard.admitting(change, expect, tunnel, opts, hosts=facts.declared.firewall.get("from"))
        return not any(each.startswith(firewall_guard.NOT_KNOWN) for each in said), said
    except firewall_guard.Untried as error:
        return False, [f"{error}; its expectations were not tested", *error.unseen]


def _tried(facts: Facts, compared: Compared, opts: Mapping[str, Any]) -> list[firewall_rehearsal.Tried]:
    expect, tunnel = facts.declared.firewall.get("expect") or [], facts.declared.tunnel
    managed = firewall_guard.needed(host_management.managers(opts), expect)
    hosts = facts.declared.firewall.get("from")
    return firewall_trial.tried(
        expect, tunnel, compared.after, facts.wanted.backend, managed, hosts=hosts, sets=_sets(facts)
    )


def _sets(facts: Facts) -> str | None:
    """The sets as they are to be, where that is not as they are."""
    own = firewall_sets.read(facts.declared.firewall).sets
    return firewall_sets_text.beside(firewall_kernel.sets(), own) if own else None


def rehearsed(declared: firewall_declared.Declared, opts: Mapping[str, Any]) -> list[firewall_rehearsal.Tried]:
    """
    The verdict on every expectation, as if the firewall were what is declared.

    declared
        The firewall.
    opts
        Salt's, of this minion.

    Raises as :py:func:`facts` and :py:func:`firewall_trial.tried` do.
    """
    known = facts(declared, opts["cachedir"])
    return _tried(known, compared(known), opts)


def proven(declared: firewall_declared.Declared, opts: Mapping[str, Any]) -> converge.Finding:
    """
    Whether the live rules, and those of the next boot, are the declared ones, and do what is expected of them.

    declared
        The firewall.
    opts
        Salt's, of this minion.

    Raises as :py:func:`facts` does. Changes nothing.
    """
    known = facts(declared, opts["cachedir"])
    found = compared(known)
    firewall_managers.refuse(known.declared.firewall, known.native, live=found.live)
    tried: list[firewall_rehearsal.Tried] = []
    untried = []
    try:
        tried = _tried(known, found, opts)
    except firewall_commands.NoNamespaces as error:
        untried = [f"{error}; their expectations were not tested"]
    unknown = [each for each in tried if each["found"] == firewall_rehearsal.UNKNOWN]
    failures = [firewall_trial.verdict(each) for each in tried if not each["ok"] and each not in unknown]
    if failures:
        return converge.Finding(False, "\n".join(["The rules do not do what is expected of them:", *failures]))
    different = planned(known, found)["changes"]
    if different:
        return converge.Finding(False, f"the live or the saved rules are not the declared ones: {', '.join(different)}")
    lines = ["The live rules are the declared ones.", *untried, *map(firewall_trial.verdict, tried)]
    beside = firewall_native.warnings(firewall_native.unrelated(known.native.filtering))
    return converge.Finding(None if unknown or untried else True, "\n".join([*beside, *lines]))
