"""
A change of the live rules and of the files for the next boot: planned, applied, and undone.
"""

from __future__ import annotations

import difflib
from typing import Any

import _dualstack_converge as converge
import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_conntrack as firewall_conntrack
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_register as firewall_register
import _dualstack_firewall_save as firewall_save
import _dualstack_host_files as host_files
from salt.exceptions import CommandExecutionError

MODE = 0o640  # of the files for the next boot

Live = dict[str, firewall_save.Tables]  # by family


def plan(
    changes: dict[str, Any],
    warnings: list[str],
    files: firewall_boot.Edits,
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
    edited = {path: _lines(edit) for path, edit in files.items() if edit.old != edit.new}
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
        "backend": backend,
        "preserve": preserve,
        "registered": registered,
    }


def _lines(edit: firewall_boot.Edit) -> dict[str, str]:
    """The lines of a file that differ; of a new file, only that it is new: its rules are reported already."""
    if edit.old is None:
        return {"old": "absent", "new": "present"}
    diff = list(difflib.unified_diff(edit.old.split("\n"), edit.new.split("\n"), n=0, lineterm=""))[2:]
    return {
        sign: "\n".join(line[1:] for line in diff if line[0] == mark) for sign, mark in (("old", "-"), ("new", "+"))
    }


def apply(plan: converge.Plan) -> None:
    """
    Carry a plan out: one iptables-restore for each family that differs, then the files for the next boot.

    plan
        Its ``warnings`` will say so where connections older than the kernel's tracking may suffer.

    Raises ``CommandExecutionError``.
    """
    try:
        firewall_conntrack.enter()
    except CommandExecutionError as error:
        plan["warnings"].append(f"a connection that the first rule for tracked ones finds open may stall: {error}")
    _swap(plan, "wanted")
    for path, edit in plan["files"].items():
        host_files.write(path, edit.new, mode=MODE)


def undo(plan: converge.Plan) -> None:
    """
    Restore the state before a plan was applied, in whole or in part.

    plan
        The plan.

    Raises ``CommandExecutionError``.
    """
    for path, edit in plan["files"].items():
        host_files.write(path, edit.old, mode=MODE)
    _swap(plan, "before")


def _swap(plan: converge.Plan, which: str) -> None:
    firewall_kernel.swap(plan[which], plan["preserve"], plan["backend"], plan["registered"])
