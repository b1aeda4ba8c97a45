"""
A change of the live rules and of the files for the next boot: planned, applied, and undone.
"""

from __future__ import annotations

import difflib
from typing import Any

import _dualstack_converge as converge
import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_conntrack as firewall_conntrack
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_merge as firewall_merge
import _dualstack_firewall_register as firewall_register
import _dualstack_firewall_save as firewall_save
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
    preserve: list[str],
    registered: firewall_register.Register,
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
    preserve, registered
        What belongs to others, as in ``firewall_delta.tables``.
    """
    edited = {path: _shown(edit) for path, edit in files.items()}
    before = {
        family: {table: live[family].get(table) or firewall_save.empty(table) for table in tables}
        for family, tables in wanted.items()
    }
    return {
        "changes": {**changes, **edited},
        "warnings": warnings,
        "files": files,
        "wanted": wanted,
        "before": {family: firewall_delta.own(tables, preserve) for family, tables in before.items()},
        "others": {family: _others(tables, preserve) for family, tables in before.items()},
        "backend": backend,
        "preserve": preserve,
        "registered": registered,
        "swapped": False,  # whether the live rules may have been changed
    }


def _shown(edit: host_files.Edit) -> dict[str, Any]:
    """The lines of a file that differ; of a new file, only that it is new: its rules are reported already."""
    if edit.old is None or edit.new is None:
        return {"old": "absent", "new": "present"}
    shown: dict[str, Any] = {}
    if edit.old != edit.new:
        diff = list(difflib.unified_diff(edit.old.split("\n"), edit.new.split("\n"), n=0, lineterm=""))[2:]
        shown = {
            sign: "\n".join(_known(line[1:]) for line in diff if line[0] == mark)
            for sign, mark in (("old", "-"), ("new", "+"))
        }
    return {**shown, **host_files.mode_change(edit)}


def _known(line: str) -> str:
    """A line of a ruleset; what else somebody has written into the file may be secret."""
    return line if line.startswith(RULESET) or f"{line}\n" == firewall_boot.HEADER else "***"


def _others(tables: firewall_save.Tables, preserve: list[str]) -> list[tuple[str, str]]:
    """The chains of others, each with its table."""
    return [
        (table, chain)
        for table, chains in tables.items()
        for chain in chains
        if firewall_delta.foreign(chain, preserve)
    ]


def before(plan: converge.Plan) -> list[transaction_journal.Image]:
    """
    How the rules were, for the restorer: of each family the tables that are about to change.

    plan
        The plan.
    """
    return [_image(plan, family) for family in plan["wanted"] if family in plan["changes"]]


def _image(plan: converge.Plan, family: str) -> transaction_journal.Image:
    save, restore = (firewall_commands.command(family, plan["backend"], verb) for verb in ("save", "restore"))
    others = "".join(f"#others {table} {chain}\n" for table, chain in plan["others"][family])
    made = firewall_delta.own(plan["wanted"][family], plan["preserve"])
    texts = {
        "before": f"#\n{others}{firewall_save.render(plan['before'][family])}",
        "after": f"#\n{firewall_save.render(made)}",
    }
    return transaction_journal.Image(
        ("rules", family, save, restore), {f"{family}.{suffix}": text for suffix, text in texts.items()}
    )


def apply(plan: converge.Plan) -> None:
    """
    Carry a plan out: one iptables-restore for each family that differs, then the files for the next boot.

    plan
        Its ``warnings`` will say so where connections older than the kernel's tracking may suffer.

    Raises ``CommandExecutionError``, and ``Moved``, which is one, if somebody else has changed the rules or a file
    since the plan was made.
    """
    try:
        firewall_conntrack.enter()
    except CommandExecutionError as error:
        plan["warnings"].append(f"a connection that the first rule for tracked ones finds open may stall: {error}")
    plan["swapped"] = True
    try:
        firewall_kernel.swap(plan["wanted"], plan["preserve"], plan["backend"], plan["registered"], plan["before"])
    except host_files.Moved:
        plan["swapped"] = False
        raise
    host_files.write(plan["files"])


def undo(plan: converge.Plan) -> list[converge.Step]:
    """
    The steps that restore the state before a plan was applied, in whole or in part: the live rules first.

    plan
        The plan.
    """
    rules = [lambda: _put_back(plan)] if plan["swapped"] else []
    return [*rules, *host_files.restoring(plan["files"])]


def _put_back(plan: converge.Plan) -> None:
    """The rules as they were, with those that somebody else has added meanwhile."""
    live = firewall_kernel.read(plan["backend"])
    before = {
        family: firewall_merge.put_back(
            tables, plan["wanted"][family], firewall_delta.own(live[family], plan["preserve"])
        )
        for family, tables in plan["before"].items()
    }
    firewall_kernel.swap(before, plan["preserve"], plan["backend"], plan["registered"])
    theirs = [
        (family, table, chain)
        for family, tables in before.items()
        for table, chains in tables.items()
        for chain in firewall_save.different(chains, plan["before"][family][table])
    ]
    if theirs:
        raise firewall_kernel.moved(theirs)
