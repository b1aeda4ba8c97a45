"""
Firewall rules, tried with real packets before they are loaded.

A candidate is loaded into a scratch network namespace, whose interfaces are named and addressed as the live ones. The
packets of the expectations are sent from their outer ends, and the kernel decides on each:
``firewall_rehearsal_script`` does that. Nothing here changes the host.
"""

from __future__ import annotations

import os
import sys
from typing import Any, TypedDict

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_view as firewall_view
import _dualstack_host_commands as host_commands
import salt.utils.json
from salt.exceptions import CommandExecutionError

NAMESPACE = "/proc/self/ns/net"
SCRIPT = os.path.join(os.path.dirname(__file__), "_dualstack_firewall_rehearsal_script.py")


class Finding(TypedDict):
    """The verdict on a packet."""

    found: str  # accept, drop or reject
    ok: bool
    note: str


class Tried(firewall_view.Expectation, Finding):
    """An expectation, and the verdict on its packet."""


def run(
    rulesets: dict[str, str], expectations: list[firewall_view.Expectation], backend: str, sets: str = ""
) -> list[Tried]:
    """
    Try rulesets with real packets, in a scratch network namespace.

    rulesets
        For each family the text for ``iptables-restore``, with all its tables.
    expectations
        As :py:func:`firewall_view.expectations` returns them.
    backend
        ``nft`` or ``legacy``.
    sets
        Text for ``ipset restore``, for the sets that the rules refer to.

    Returns the expectations, each with ``found`` (``accept``, ``drop`` or ``reject``), ``ok``, whether that is what was
    expected, and ``note``, a remark. A packet is accepted if it passes all chains on its way in or out, and its answer
    all those on the way back. Raises ``CommandExecutionError`` if the rulesets do not load, and ``NoNamespaces``, which
    is one, where network namespaces are not permitted.
    """
    results: dict[int, Finding] = {}
    for indices in _stages(expectations):
        packets = [_packet(expectations[index]) for index in indices]
        results.update(zip(indices, _in_namespace(rulesets, packets, backend, sets)))
    return [{**expectation, **results[index]} for index, expectation in enumerate(expectations)]


def _stages(expectations: list[firewall_view.Expectation]) -> list[list[int]]:
    """Which expectations share a namespace: in each, a host is behind one interface only."""
    stages: list[tuple[dict[str, str], list[int]]] = []
    for index, each in enumerate(expectations):
        remote = _remote(each)
        for beyond, indices in stages:
            if beyond.get(remote, each["interface"]) == each["interface"]:
                break
        else:
            beyond, indices = {}, []
            stages.append((beyond, indices))
        beyond[remote] = each["interface"]
        indices.append(index)
    return [indices for _, indices in stages]


def _remote(expectation: firewall_view.Expectation) -> str:
    return expectation["destination"] if expectation["direction"] == "out" else expectation["source"]


def _packet(expectation: firewall_view.Expectation) -> dict[str, object]:
    own = expectation["source"] if expectation["direction"] == "out" else expectation["destination"]
    return {**expectation, "own": own, "remote": _remote(expectation)}


def _in_namespace(rulesets: dict[str, str], packets: list[dict[str, object]], backend: str, sets: str) -> list[Finding]:
    wait = ["-w", str(firewall_commands.LOCK)]
    job = {
        "outside": os.readlink(NAMESPACE),
        "rulesets": [
            ([f"{firewall_commands.COMMANDS[family]}-{backend}-restore", *wait], text)
            for family, text in rulesets.items()
        ],
        "sets": sets,
        "expectations": packets,
    }
    # Isolated: files beside this one must not shadow Python's own modules.
    words = [sys.executable, "-I", "-S", SCRIPT]
    try:
        said = firewall_commands.run(firewall_commands.in_namespace(words), salt.utils.json.dumps(job))
    except firewall_commands.NoNamespaces:
        raise
    except CommandExecutionError as error:
        raise CommandExecutionError(f"the rehearsal of the firewall failed: {error}") from None
    answer = _parsed(said)
    if isinstance(answer.get("error"), str):
        raise CommandExecutionError(f"the rehearsal of the firewall failed: {answer['error']}")
    results = answer.get("results")
    if not isinstance(results, list) or len(results) != len(packets) or not all(map(_is_finding, results)):
        printed = host_commands.in_one_line(said)
        raise CommandExecutionError(f"the rehearsal of the firewall failed: it printed no verdicts, but: {printed}")
    return results


def _parsed(said: str) -> dict[str, Any]:
    try:
        found = salt.utils.json.loads(said)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _is_finding(each: Any) -> bool:
    return (
        isinstance(each, dict)
        and each.keys() == {"found", "ok", "note"}
        and isinstance(each["ok"], bool)
        and all(isinstance(each[key], str) for key in ("found", "note"))
    )
