"""
What this host can find out by itself about whether it can be managed: new connections that it makes, and whether the
live rules let those in who are logged in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_firewall_trial as firewall_trial
import _dualstack_host_management as host_management
import _dualstack_host_management_proof as host_management_proof
from salt.exceptions import CommandExecutionError

UNKNOWN = "it may not have answered before either"
LET_IN = "the live rules let in {}"


def found(opts: Mapping[str, Any]) -> list[converge.Finding]:
    """
    All proofs that it can be managed, weighed.

    opts
        Salt's, of this minion, with its pillar.

    Returns nothing where nobody is known who manages this host. Raises ``CommandExecutionError``.
    """
    judged = host_management_proof.judge(opts)
    managed = [each.connection for each in judged if each.connection.direction == "in"]
    return [*_weighed(judged, opts), *(_let_in(managed) if managed else [])]


def masters(opts: Mapping[str, Any]) -> list[converge.Finding]:
    """
    Only the new connections to the masters.

    opts
        As for :py:func:`found`.
    """
    return _weighed([each for each in host_management_proof.judge(opts) if each.connection.direction == "out"], opts)


def _weighed(judged: list[host_management_proof.Proof], opts: Mapping[str, Any]) -> list[converge.Finding]:
    out = [each for each in judged if each.connection.direction == "out"]
    lost = {each.connection.remote for each in out if not each.holds}
    reached = {each.connection.remote for each in out} - lost
    return [
        (
            converge.Finding(None, f"{each.words}; {UNKNOWN}")
            if _excused(each, reached, opts)
            else converge.Finding(each.holds, each.words)
        )
        for each in judged
    ]


def _excused(proof: host_management_proof.Proof, reached: set[str], opts: Mapping[str, Any]) -> bool:
    """
    A master that does not answer need not have answered before: one of several, or where the run was not its job.
    """
    lost = proof.connection.direction == "out" and proof.holds is False
    return lost and (bool(reached) or opts.get("file_client") == "local")


def _let_in(managed: list[host_management.Connection]) -> list[converge.Finding]:
    """Others' states in the same run may have changed the rules, too."""
    try:
        tried, unknown = firewall_trial.admitted(managed)
    except CommandExecutionError as error:
        tried, unknown = [], [firewall_trial.untried(error, managed)]
    lost = [each for each in tried if not each["ok"]]
    unknown += [firewall_trial.verdict(each) for each in lost if each["found"] == "unknown"]
    wrong = [firewall_trial.verdict(each) for each in lost if each["found"] != "unknown"]
    if wrong:
        return [converge.Finding(False, each) for each in wrong]
    if not tried or lost:
        return [converge.Finding(None, each) for each in unknown]
    who = ", ".join(dict.fromkeys(each.why for each in managed))
    return [converge.Finding(True, "; ".join([LET_IN.format(who), *unknown]))]
