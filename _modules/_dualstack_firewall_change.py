"""
A change of the live rules and of the files for the next boot: planned, applied, and undone.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_conntrack as firewall_conntrack
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_ipset as firewall_ipset
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_merge as firewall_merge
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_sets_text as firewall_sets_text
import _dualstack_host_files as host_files
import _dualstack_transaction_journal as transaction_journal
from salt.exceptions import CommandExecutionError

PART = "firewall"  # whose lock is held
RULESET = ("-A ", ":", "*", "COMMIT", "[")  # how the lines of iptables-save begin

Live = dict[str, firewall_save.Tables]  # by family


def plan(
    changes: dict[str, Any],
    warnings: list[str],
    files: host_files.Edits,
    wanted: Live,
    live: Live,
    backend: str,
    others: Mapping[str, firewall_delta.Others],
    sets: firewall_ipset.Change = firewall_ipset.NOTHING,
) -> converge.Plan:
    """
    A plan, with what is needed to apply and to undo it.

    changes
        The changes of the live rules, by family.
    warnings
        Further messages.
    files
        The files, with their new texts.
    wanted, live
        The tables as they are to be, and as they are.
    backend
        ``nft`` or ``legacy``.
    others
        What belongs to others in each family, as in ``firewall_delta.tables``.
    sets
        The sets of ipset(8) that differ: rules name them.
    """
    edited = {path: _shown(path, edit) for path, edit in files.items()}
    named = {"sets": sets.changes} if sets.changes else {}
    before = {
        family: {table: live[family].get(table) or firewall_save.empty(table) for table in tables}
        for family, tables in wanted.items()
    }
    return {
        "changes": {**named, **changes, **edited},
        "warnings": warnings,
        "files": files,
        "wanted": wanted,
        "before": {family: firewall_delta.own(tables, others[family]) for family, tables in before.items()},
        "others": others,
        "chains of others": {family: _chains(tables, others[family]) for family, tables in before.items()},
        "backend": backend,
        "sets": sets,
        "prepared": False,  # whether the live sets may have been changed
        "swapped": False,  # whether the live rules may have been changed
    }


def _shown(path: str, edit: host_files.Edit) -> dict[str, Any]:
    """The lines of a file that differ; of a new file, only that it is new: its rules are reported already."""
    if edit.old is None or edit.new is None:
        return {"old": "absent", "new": "present"}
    shown: dict[str, Any] = {}
    if edit.old != edit.new and path == firewall_boot.SETS:  # as long as what it holds
        shown = dict(firewall_sets_text.changed_lines(edit.old, edit.new))
    elif edit.old != edit.new:
        diff = list(difflib.unified_diff(edit.old.split("\n"), edit.new.split("\n"), n=0, lineterm=""))[2:]
        shown = {
            sign: "\n".join(_known(line[1:]) for line in diff if line[0] == mark)
            for sign, mark in (("old", "-"), ("new", "+"))
        }
    return {**shown, **host_files.mode_change(edit)}


def _known(line: str) -> str:
    """A line of a ruleset; what else somebody has written into the file may be secret."""
    return line if line.startswith(RULESET) or f"{line}\n" == firewall_boot.HEADER else "***"


def _chains(tables: firewall_save.Tables, others: firewall_delta.Others) -> list[tuple[str, str]]:
    """The chains of others, each with its table."""
    return [(table, chain) for table, chains in tables.items() for chain in chains if others.chain(table, chain)]


def before(plan: converge.Plan) -> list[transaction_journal.Image]:
    """
    How the rules were, for the restorer: of each family the tables that are about to change; and the sets, those that
    rules name before them, those that they will name after them.

    plan
        The plan.
    """
    first, last = firewall_ipset.images(plan["sets"])
    return [*first, *(_image(plan, family) for family in plan["wanted"] if family in plan["changes"]), *last]


def _image(plan: converge.Plan, family: str) -> transaction_journal.Image:
    save, restore = (firewall_commands.command(family, plan["backend"], verb) for verb in ("save", "restore"))
    others = "".join(f"#others {table} {chain}\n" for table, chain in plan["chains of others"][family])
    made = firewall_delta.own(plan["wanted"][family], plan["others"][family])
    texts = {
        "before": f"#\n{others}{firewall_save.render(plan['before'][family])}",
        "after": f"#\n{firewall_save.render(made)}",
    }
    return transaction_journal.Image(
        ("rules", family, save, restore), {f"{family}.{suffix}": text for suffix, text in texts.items()}
    )


def apply(plan: converge.Plan) -> None:
    """
    Carry a plan out: the sets, one iptables-restore for each family that differs, then the files for the next boot.

    plan
        Its ``warnings`` will say so where connections older than the kernel's tracking may suffer.

    Raises ``CommandExecutionError``, and ``Moved``, which is one, if somebody else has changed the rules or a file
    since the plan was made.
    """
    try:
        firewall_conntrack.enter()
    except CommandExecutionError as error:
        plan["warnings"].append(f"a connection that the first rule for tracked ones finds open may stall: {error}")
    plan["prepared"] = True
    firewall_ipset.prepare(plan["sets"])
    plan["swapped"] = True
    try:
        times = firewall_kernel.swap(plan["wanted"], plan["others"], plan["backend"], plan["before"])
    except host_files.Moved:
        plan["swapped"] = False
        raise
    if times > 1:
        plan["warnings"].append(f"another program changed its rules meanwhile: the change was done {times} times")
    firewall_ipset.finish(plan["sets"])
    host_files.write(plan["files"])


def undo(plan: converge.Plan) -> list[converge.Step]:
    """
    The steps that restore the state before a plan was applied, in whole or in part: the live rules first.

    plan
        The plan.
    """
    rules = [lambda: _put_back(plan)] if plan["swapped"] else []
    if plan["prepared"] and plan["sets"].changes:
        rules = [
            lambda: firewall_ipset.put_back(plan["sets"]),
            *rules,
            lambda: firewall_ipset.forget(plan["sets"]),
        ]
    return [*rules, *host_files.restoring(plan["files"])]


def _put_back(plan: converge.Plan) -> None:
    """The rules as they were, with those that somebody else has added meanwhile."""
    live = firewall_kernel.read(plan["backend"])
    before = {
        family: firewall_merge.put_back(
            tables, plan["wanted"][family], firewall_delta.own(live[family], plan["others"][family])
        )
        for family, tables in plan["before"].items()
    }
    firewall_kernel.swap(before, plan["others"], plan["backend"])
    theirs = [
        (family, table, chain)
        for family, tables in before.items()
        for table, chains in tables.items()
        for chain in firewall_save.different(chains, plan["before"][family][table])
    ]
    if theirs:
        raise firewall_kernel.moved(theirs)
