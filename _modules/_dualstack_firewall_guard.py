"""
The guard of every change of the firewall: rules that would shut out who manages this host are not loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_firewall_change as firewall_change
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_expectations as firewall_expectations
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_reach as firewall_reach
import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_trial as firewall_trial
import _dualstack_host_management as host_management
from salt.exceptions import CommandExecutionError

WAY_OUT = (
    "Whoever manages this host has to get in again: let a rule do that, or say in ipv6:manage:ignore who need not, as "
    "where a rehearsal cannot imitate what lets him in (port knocking, hardware addresses)"
)
NOT_KNOWN = "Not known: "


class Change(NamedTuple):
    """All rules as they are, and as they would be, of each family; the backend; and the sets, where they change."""

    live: firewall_change.Live
    after: firewall_change.Live
    backend: str
    sets: str | None = None  # as they would be, as ipset save prints them


class Untried(CommandExecutionError):
    """Network namespaces are not permitted here, so nothing was tried; ``unseen`` is what else is not known."""

    def __init__(self, said: str, unseen: list[str]) -> None:
        super().__init__(said)
        self.unseen = unseen


def admitting(
    change: Change,
    expect: list[dict[str, Any]],
    tunnel: dict[str, Any] | None,
    opts: Mapping[str, Any],
    tested: bool = True,
    hosts: Any = None,
) -> list[str]:
    """
    Try a change: it has to admit who manages this host, to leave sshd open to somebody, and to do what is expected.

    change
        The change.
    expect, tunnel
        As in the pillar.
    opts
        Salt's, of this minion, with its pillar.
    tested
        Whether the rules have to do what is expected; else it only counts what is to be shut.
    hosts
        Those that stand for anywhere, as in the pillar.

    Returns what should be known, in sentences: what is unknown begins with :py:data:`NOT_KNOWN`. Raises
    ``CommandExecutionError`` for a change that must not be made, and ``Untried``.
    """
    managers = host_management.managers(opts)
    managed = needed(managers, expect)
    strangers = firewall_reach.strangers(managers.sshd)

    def among(
        tables: firewall_change.Live, sets: str | None, whom: Sequence[host_management.Connection]
    ) -> list[firewall_rehearsal.Tried]:
        return firewall_trial.tried([], tunnel, tables, change.backend, whom, sets=sets)

    texts = {family: firewall_save.render(each) for family, each in change.after.items()}
    rules = firewall_reach.Rules(
        functools.partial(among, change.after, change.sets),
        functools.partial(among, change.live, None),
        texts,
        lambda: firewall_kernel.sets() if change.sets is None else change.sets,
    )
    try:
        wanted = expect if tested else []
        of_change = change.after, change.backend
        tried = firewall_trial.tried(wanted, tunnel, *of_change, managed, strangers, hosts, change.sets)
        asked = tried[len(managed) : len(managed) + len(strangers)]
        reach = firewall_reach.compared(strangers, asked, managers.sshd, expect, rules)
    except firewall_commands.NoNamespaces as error:
        raise Untried(firewall_trial.untried(error, managed), managers.unseen) from None
    unknown = [each for each in tried[len(managed) :] if each["found"] == firewall_rehearsal.UNKNOWN]
    failures = [firewall_trial.verdict(each) for each in tried if not each["ok"] and each not in unknown]
    failures += reach.failures
    if failures:
        shut_out = any(not each["ok"] for each in tried[: len(managed)])
        lines = [
            "The ruleset was not loaded, since it fails its rehearsal:",
            *failures,
            *([WAY_OUT] if shut_out else []),
        ]
        raise CommandExecutionError("\n".join(lines))
    return [*managers.unseen, *reach.warnings, *(f"{NOT_KNOWN}{firewall_trial.verdict(each)}" for each in unknown)]


def needed(managers: host_management.Managers, expect: list[dict[str, Any]]) -> list[host_management.Connection]:
    """
    The connections that have to pass: not those that are to be shut, as the user says.

    managers
        Who manages this host.
    expect
        As in the pillar.
    """
    return [
        each
        for each in managers.connections
        if each.direction == "out" or not firewall_expectations.closes(expect, each.family, each.port, each.remote)
    ]
