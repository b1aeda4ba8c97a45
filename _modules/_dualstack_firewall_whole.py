"""
The whole firewall of both families: how it differs from the declared one, and the change that converges it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _dualstack_converge as converge
import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_change as firewall_change
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_guard as firewall_guard
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_memory as firewall_memory
import _dualstack_firewall_register as firewall_register
import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_trial as firewall_trial
import _dualstack_firewall_wanted as firewall_wanted
import _dualstack_host_files as host_files
import _dualstack_host_management as host_management


class Facts(NamedTuple):
    """What stays the same while the firewall changes: made once in a run."""

    declared: firewall_declared.Declared
    wanted: firewall_wanted.Wanted
    warnings: list[str]


Declare = Callable[[], firewall_declared.Declared]  # returns the declaration, which may be missing or malformed


class Compared(NamedTuple):
    """The live rules, their differences from the wanted ones, and all rules after the change."""

    live: firewall_change.Live
    after: firewall_change.Live
    changes: dict[str, Any]
    registered: firewall_register.Register


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
    wanted = firewall_wanted.wanted(declared, cachedir)
    return Facts(declared, wanted, [*wanted.warnings, *firewall_kernel.other(wanted.backend)])


def compared(facts: Facts) -> Compared:
    """
    Read the live rules, and compare them.

    facts
        What is wanted.

    Raises ``CommandExecutionError``.
    """
    wanted = facts.wanted
    live = firewall_kernel.read(wanted.backend)
    registered = firewall_register.read()
    deltas = {
        family: firewall_delta.tables(tables, wanted.tables[family], wanted.preserve, registered.get(family))
        for family, tables in live.items()
    }
    return Compared(
        live,
        {family: each["after"] for family, each in deltas.items()},
        {family: each["changes"] for family, each in deltas.items() if each["changes"]},
        registered,
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
            ours = firewall_delta.own({table: tables[table] for table in wanted.tables[family]}, wanted.preserve)
            old = firewall_boot.saved(family)
            texts.append(firewall_boot.text(old, ours, wanted.preserve))
            files.update(firewall_boot.edit(family, old, texts[-1]))
    files.update(firewall_register.drift())
    return firewall_change.plan(
        compared.changes,
        [*facts.warnings, *firewall_boot.warnings(texts)],
        files,
        wanted.tables,
        compared.live,
        wanted.backend,
        wanted.preserve,
        compared.registered,
    )


def change(declare: Declare, opts: Mapping[str, Any], test: bool) -> converge.Change:
    """
    The change that converges the live rules, and those of the next boot, to the declared ones.

    declare
        Returns the declared firewall.
    opts
        Salt's, of this minion.
    test
        The change will not be made, so iptables may yet have to be installed, in the same run.

    In a run the live rules are read three times, each for a reason: for the plan; before the change, under the lock,
    since others may have changed them during the rehearsal; and for the second plan, which shows that the change is
    done. Everything else is determined once. That includes the addresses of host names in rules: a second lookup might
    give others.
    """
    once = functools.cache(lambda: facts(declare(), opts["cachedir"]))
    proofs: set[str] = set()

    def plan() -> converge.Plan:
        try:
            known = once()
        except firewall_commands.NotInstalled:
            if not test:
                raise
            return _without_iptables(declare())
        found = compared(known)
        proof = firewall_memory.digest(known.wanted.key, known.declared.firewall.get("expect"))
        warnings: list[str] = []
        if found.changes or proof not in {known.wanted.proof, *proofs}:  # rules already loaded were tested then
            tried, warnings = _rehearsed(known, found, opts)
            if tried:
                proofs.add(proof)
                firewall_wanted.remember(known.wanted._replace(proof=proof), opts["cachedir"])
        made = planned(known, found)
        made["warnings"] += warnings
        return made

    return converge.Change(
        firewall_change.PART, plan, firewall_change.apply, firewall_change.undo, before=firewall_change.before
    )


def _without_iptables(declared: firewall_declared.Declared) -> converge.Plan:
    """What test=True can report on a host where the same run is yet to install iptables."""
    built = firewall_ruleset.read(declared.firewall, declared.tunnel)
    declared.refuse(built["problems"])
    changes = {
        family: firewall_delta.tables({}, built["tables"][family], [])["changes"]
        for family in firewall_kernel.families()
    }
    warning = "iptables is not installed yet: the rules are shown as they are written, and were not tested"
    return {"changes": changes, "warnings": [warning]}


def _rehearsed(facts: Facts, compared: Compared, opts: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """
    Try the rules with real packets before they are loaded.

    Returns whether they could be tried, and what should be known. Raises ``CommandExecutionError`` if they do not do
    what is expected, or shut out who manages this host.
    """
    expect, tunnel = facts.declared.firewall.get("expect") or [], facts.declared.tunnel
    change = firewall_guard.Change(compared.live, compared.after, facts.wanted.backend)
    try:
        return True, firewall_guard.admitting(change, expect, tunnel, opts)
    except firewall_guard.Untried as error:
        return False, [f"{error}; its expectations were not tested", *error.unseen]


def _tried(facts: Facts, compared: Compared, opts: Mapping[str, Any]) -> list[firewall_rehearsal.Tried]:
    expect, tunnel = facts.declared.firewall.get("expect") or [], facts.declared.tunnel
    managed = firewall_guard.needed(host_management.managers(opts), expect)
    return firewall_trial.tried(expect, tunnel, compared.after, facts.wanted.backend, managed)


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
    tried: list[firewall_rehearsal.Tried] = []
    untried = []
    try:
        tried = _tried(known, found, opts)
    except firewall_commands.NoNamespaces as error:
        untried = [f"{error}; their expectations were not tested"]
    failures = [firewall_trial.verdict(each) for each in tried if not each["ok"]]
    if failures:
        return converge.Finding(False, "\n".join(["The rules do not do what is expected of them:", *failures]))
    different = planned(known, found)["changes"]
    if different:
        return converge.Finding(False, f"the live or the saved rules are not the declared ones: {', '.join(different)}")
    lines = ["The live rules are the declared ones.", *untried, *map(firewall_trial.verdict, tried)]
    return converge.Finding(True, "\n".join(lines))
