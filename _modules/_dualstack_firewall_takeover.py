"""
The firewall taken over from ufw(8), in one step: the pillar's rules are live first, in one swap of each family, which
takes ufw's chains away as well; then ufw is switched off, as by its own ``ufw disable``: ``ENABLED=no`` in its
configuration. (That command is not called: it lets everything in before it returns.)

Its unit stays enabled, as it is where ufw is installed and switched off: without ``ENABLED=yes`` it starts and stops
nothing, so that it can be stopped and removed with the package. Source: ufw-init-functions of ufw 0.36.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_firewall_beside as firewall_beside
import _dualstack_firewall_boot as firewall_boot
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_managers as firewall_managers
import _dualstack_firewall_whole as firewall_whole
import _dualstack_host_files as host_files
from salt.exceptions import CommandExecutionError

# What ufw loads beside its users' rules, for each family; and what it sets and runs.
RULES = ("before{}.rules", "after{}.rules")
FOLDER = "/etc/ufw"
SYSCTL = f"{FOLDER}/sysctl.conf"
HOOKS = (f"{FOLDER}/before.init", f"{FOLDER}/after.init")
LINE = re.compile(r"^[ \t]*[^#\s]", re.MULTILINE)


def change(declare: firewall_whole.Declare, opts: Mapping[str, Any], test: bool) -> converge.Change:
    """
    The change that converges the rules to the declared ones, and ends the managers under ``take_over``.

    declare
        Returns the declared firewall.
    opts
        Salt's, of this minion.
    test
        As for ``firewall_whole.change``.

    Planning raises as that of ``firewall_whole.change`` does, and where something of ufw's would stay, or be lost.
    """
    whole = firewall_whole.change(declare, opts, test, taking=True)

    def plan() -> converge.Plan:
        declared = declare()
        if not firewall_beside.listed(declared.firewall, "take_over"):
            declared.refuse(["take_over: missing; expected the managers that are taken over: [ufw]"])
        made = whole.plan()
        files = made.setdefault("files", {})
        if not firewall_boot.is_loaded():
            # Until there is something that loads them, they are of no use, and the package that brings it loads them at
            # once: what others have in these tables by then would be gone.
            for path in (*firewall_boot.SAVED.values(), firewall_boot.SETS):
                files.pop(path, None)
                made["changes"].pop(path, None)
        live = firewall_managers.ufw_live(firewall_managers.declared_chains(declared.firewall))
        enabled = firewall_managers.ufw_enabled()
        if not live.chains and not enabled:
            return made
        if problems := list(_problems(declared, live, made.get("others", {}), made.get("backend", ""))):
            raise CommandExecutionError("\n".join(problems))
        if enabled:
            old = host_files.read(firewall_managers.UFW_CONF) or ""
            new = firewall_managers.UFW_ENABLED.sub(r"\1\2no\4", old)
            files.update(host_files.edit(firewall_managers.UFW_CONF, old, new))
            made["changes"][firewall_managers.UFW_CONF] = {"old": "ENABLED=yes", "new": "ENABLED=no"}
        made["warnings"] += _told()
        return made

    return whole._replace(plan=plan)


def saving(declare: firewall_whole.Declare, opts: Mapping[str, Any], test: bool) -> converge.Change:
    """
    The change that saves the declared rules for the next boot, and leaves the live ones as they are.

    declare, opts, test
        As for :py:func:`change`.
    """
    whole = firewall_whole.change(declare, opts, test, taking=True)

    def plan() -> converge.Plan:
        made = whole.plan()
        loaded = (*firewall_boot.SAVED.values(), firewall_boot.SETS)
        files = {path: each for path, each in made.get("files", {}).items() if path in loaded}
        changes = {path: each for path, each in made["changes"].items() if path in files}
        return {"changes": changes, "warnings": made["warnings"], "files": files}

    return whole._replace(
        plan=plan,
        apply=lambda made: host_files.write(made["files"]),
        undo=lambda made: host_files.restoring(made["files"]),
        before=lambda made: [],
    )


def _problems(
    declared: firewall_declared.Declared,
    live: firewall_managers.Live,
    others: Mapping[str, firewall_delta.Others],
    backend: str,
) -> Iterator[str]:
    """Why ufw cannot be taken over: what would stay of it, or be lost with it."""
    tables = declared.firewall["tables"]
    if "filter" not in tables:
        yield "take_over: ufw filters in the table filter, and the pillar has no ipv6:firewall:tables:filter"
    patterns = [each for of in others.values() for each in of.preserve]
    kept = sorted({chain for _, _, chain in live.chains if firewall_delta.foreign(chain, patterns)})
    if kept:
        yield f"take_over: preserve keeps {', '.join(kept[:3])} of ufw: take the pattern out of ipv6:firewall:preserve"
    backends = sorted({of for of, _, _ in live.chains} - {backend})
    if backend and backends:
        yield (
            f"take_over: ufw's chains are in iptables-{backends[0]}, and the pillar's rules go to iptables-{backend}: "
            f"say ipv6:firewall:backend: {backends[0]}"
        )
    for path, names in _elsewhere():
        if missing := [each for each in names if each not in tables]:
            yield (
                f"take_over: {path} also has rules of the table {', '.join(missing)}, which would be lost at the next "
                "boot: write them into ipv6:firewall:tables, and take them out of that file"
            )


def _elsewhere() -> Iterator[tuple[str, list[str]]]:
    """The tables beside filter for which ufw's files have rules."""
    for path in (f"{FOLDER}/{name.format(of)}" for name in RULES for of in ("", "6")):
        text = host_files.read(path) or ""
        blocks = re.findall(r"^\*(\S+)(.*?)^COMMIT", text, re.MULTILINE | re.DOTALL)
        names = [table for table, rules in blocks if re.search(r"^-[AI] ", rules, re.MULTILINE) and table != "filter"]
        if names:
            yield path, list(dict.fromkeys(names))


def _told() -> Iterator[str]:
    """What ends with ufw besides its rules."""
    if LINE.search(host_files.read(SYSCTL) or ""):
        yield f"the next boot no longer sets what is in {SYSCTL}: what of it is to stay belongs into ipv6:sysctl"
    for path in HOOKS:
        if os.access(path, os.X_OK):
            yield f"the next boot no longer runs {path}"
