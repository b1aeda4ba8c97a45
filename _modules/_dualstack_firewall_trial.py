"""
Rules tested on behalf of this host: whether they do what is expected, and whom they let in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_view as firewall_view
import _dualstack_host_management as host_management

EXPECTED = re.compile(r"expect\[(\d+)\]")  # by which a given expectation is found among those that were tested


class Allowed(TypedDict):
    """Whether a stranger is let in, by target and family, and what was not tested."""

    allowed: dict[str, dict[str, bool | None]]
    warnings: list[str]


def tried(
    expect: list[dict[str, Any]] | None,
    tunnel: dict[str, Any] | None,
    tables: Mapping[str, firewall_save.Tables],
    backend: str,
    managed: Sequence[host_management.Connection] = (),
    asked: Sequence[host_management.Connection] = (),
) -> list[firewall_rehearsal.Tried]:
    """
    The verdict on every expectation, from real packets in a scratch network namespace.

    expect
        As in the pillar ``ipv6:firewall:expect``.
    tunnel
        As in the pillar ``ipv6:tunnel``: IPv6 without a route is expected to come by it.
    tables
        The rules of each family.
    backend
        ``nft`` or ``legacy``.
    managed
        The connections that this host is managed by: they are expected without being listed, and come first.
    asked
        Connections of which nothing is expected: they come next.

    Raises ``SaltInvocationError`` for a malformed list, and ``CommandExecutionError``; ``NoNamespaces``, which is
    one, where namespaces are not permitted.
    """
    expectations = firewall_view.expectations(expect or [], tunnel, managed, asked)
    if not expectations:
        return []
    texts = {family: firewall_save.render(each) for family, each in tables.items()}
    sets = firewall_kernel.sets() if any("-set " in text for text in texts.values()) else ""
    return firewall_rehearsal.run(texts, expectations, backend, sets)


class Admitted(NamedTuple):
    """What the live rules do to the connections that manage this host, and what could not be tried, in sentences."""

    tried: list[firewall_rehearsal.Tried]
    unknown: list[str]


def admitted(managed: Sequence[host_management.Connection], choice: str = "auto") -> Admitted:
    """
    Whether the live rules still let those in, and out, who manage this host.

    managed
        The connections.
    choice
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.

    That a packet passes these rules is no proof that it arrives: others may filter it, here or on its way. Raises
    ``CommandExecutionError`` where the live rules cannot be read or tried.
    """
    if not managed:
        return Admitted([], ["No connection is known that would have to be let in"])
    try:
        backend = firewall_commands.backend(choice)
        found = tried(None, None, firewall_kernel.read(backend), backend, managed)
    except firewall_commands.NotInstalled as error:
        return Admitted([], [f"{error}: whether it filters was not looked at"])
    except firewall_commands.NoNamespaces as error:
        return Admitted([], [untried(error, managed)])
    return Admitted(found, firewall_kernel.other(backend))


def untried(error: Exception, managed: Sequence[host_management.Connection]) -> str:
    """
    What is not known where rules cannot be tried, in one sentence.

    error
        Why they cannot.
    managed
        The connections that this host is managed by.
    """
    who = ", ".join(dict.fromkeys(each.why for each in managed))
    return f"{error}; nothing has shown that these rules let in {who or 'whoever manages this host'}"


def verdict(tried: firewall_rehearsal.Tried) -> str:
    """
    The result for an expectation, in one sentence.

    tried
        The expectation.
    """
    port = f"/{tried['port']}" if tried["port"] else ""
    packet = f"{tried['protocol']}{port} from {tried['source']} to {tried['destination']}"
    note = f" ({tried['note']})" if tried["note"] else ""
    return f"{tried['why']}: {packet}: expected {tried['verdict']}, found {tried['found']}{note}"


def allowed(targets: list[str], tunnel: dict[str, Any] | None, choice: str) -> Allowed:
    """
    Whether the live rules of each family let a stranger in.

    targets
        What a stranger wants to reach, as an expectation's ``to``.
    tunnel
        As for :py:func:`tried`.
    choice
        ``nft``, ``legacy``, or ``auto``: that of the host's command iptables.

    Returns for each target and family ``True``, ``False``, or ``None`` where these rules accept and others exist that
    were not tested; and sentences about those. Raises as :py:func:`tried`.
    """
    backend = firewall_commands.backend(choice)
    live = firewall_kernel.read(backend)
    warnings = firewall_kernel.other(backend)
    family = {"family": next(iter(live))} if len(live) == 1 else {}
    expect = [{"to": target, "verdict": "accept", **family} for target in targets]
    found: dict[str, dict[str, bool | None]] = {target: {} for target in targets}
    for each in tried(expect, tunnel, live, backend):
        number = EXPECTED.fullmatch(each["why"])
        assert number
        passes = each["found"] == "accept"
        found[targets[int(number[1])]][each["family"]] = None if passes and warnings else passes
    return {"allowed": found, "warnings": warnings}
