"""
How often in a row the proof of IPv6 has failed, or has held again: no record comes or goes for one run.

A name that appears and disappears with every lost packet is worse than either. So records are withdrawn only after
several runs in which something was tried and failed, and published again only after as many in which all of it held.
A run that could not try is neither. Only root can read the file.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import _dualstack_converge as converge
import _dualstack_host_files as host_files
import _dualstack_host_hindrances as host_hindrances
import _dualstack_host_json as host_json
import salt.utils.json
from salt.exceptions import CommandExecutionError, SaltInvocationError

MEMORY = "/var/lib/dualstack_aaaa/proof.json"
MODE = 0o600
AFTER = 3  # runs
FAILED, HELD = "runs in a row in which IPv6 failed", "runs in a row in which IPv6 held again"


class Streak(NamedTuple):
    """The last runs, as far as they are remembered."""

    failed: int = 0
    held: int = 0  # since the records were withdrawn
    withdrawn: bool = False  # because of failures
    run: str = ""  # the last one that was counted


Plan = Callable[[], converge.Plan]


class Counted(NamedTuple):
    """What a run does, and what it remembers."""

    key: str  # of the pillar, whose records are meant
    outcome: str
    after: int
    run: str
    test: bool  # nothing was tried then, and all of it might hold


def counted(key: str, outcome: Any, after: int, test: bool = False) -> Counted:
    """
    A run that is to be counted, once, however often its plan is made.

    key
        Whose records are meant: the key of the pillar.
    outcome
        Of the proof: ``held``, ``failed`` or ``not tried``.
    after
        How many runs in a row it takes.
    test
        Whether this only predicts.

    Raises ``SaltInvocationError`` for another outcome.
    """
    if outcome not in converge.OUTCOMES.values():
        expected = ", ".join(converge.OUTCOMES.values())
        raise SaltInvocationError(f"proof: {outcome!r} is not an outcome; expected one of {expected}")
    return Counted(key, outcome, after, uuid.uuid4().hex, test)


def published(this: Counted, plan: Plan) -> converge.Plan:
    """
    What would change so that records are published, or come nearer to it after they were withdrawn.

    this
        From :py:func:`counted`.
    plan
        Plans to publish them.

    Raises ``CommandExecutionError`` where IPv6 is not proven.
    """
    if this.outcome == converge.FAILED or (this.outcome == converge.UNTRIED and not this.test):
        raise CommandExecutionError(f"nothing is published, since IPv6 is not proven: the outcome is {this.outcome!r}")
    before = recall(this.key)
    if not before.withdrawn:
        return {**plan(), "streak": {}}
    held = before.held if before.run == this.run else before.held + 1
    now = before._replace(held=held, failed=0, run=this.run)
    if held < this.after:
        said = f"withdrawn because IPv6 had failed, not yet published: it held in {held} of {this.after} runs in a row"
        return _only(this, before, now, [said])
    made = plan()
    return {**made, **_remembering(this, before, Streak(run=this.run), made["changes"])}


def withdrawn(this: Counted, plan: Plan) -> converge.Plan:
    """
    What would change so that records are withdrawn once IPv6 has failed often enough.

    this
        From :py:func:`counted`.
    plan
        Plans to withdraw them.
    """
    before = recall(this.key)
    if this.outcome == converge.UNTRIED:
        return _only(this, before, before, ["nothing was tried and failed: the records stay as they are"])
    if this.outcome == converge.HELD:
        said = "the records, which were withdrawn, come back" if before.withdrawn else "the records stay"
        return _only(this, before, before._replace(failed=0), [f"IPv6 is proven: {said}"])
    failed = before.failed if before.run == this.run else min(before.failed + 1, this.after)
    now = before._replace(failed=failed, held=0, run=this.run)
    if failed < this.after:
        said = f"IPv6 failed in {failed} of {this.after} runs in a row: the records stay as they are"
        return _only(this, before, now, [said])
    made = plan()
    return {**made, **_remembering(this, before, now._replace(withdrawn=True), made["changes"])}


def _only(this: Counted, before: Streak, now: Streak, said: list[str]) -> converge.Plan:
    return {"warnings": said, "edits": {}, "files": {}, **_remembering(this, before, now, {})}


def _remembering(this: Counted, before: Streak, now: Streak, changes: dict[str, Any]) -> dict[str, Any]:
    """The keys of a plan that also changes what is remembered."""
    counts = {
        words: {"old": old, "new": new}
        for words, old, new in ((FAILED, before.failed, now.failed), (HELD, before.held, now.held))
        if old != new
    }
    if before.withdrawn != now.withdrawn:
        counts["withdrawn because IPv6 failed"] = {"old": before.withdrawn, "new": now.withdrawn}
    same = before._replace(run="") == now._replace(run="")
    if not same:
        host_hindrances.refuse(MEMORY, exists=host_files.read(MEMORY) is not None)
    return {"changes": {**changes, **counts}, "streak": {} if same else {"key": this.key, "old": before, "new": now}}


def waits(key: str) -> bool:
    """
    Whether records are not published yet, since they were withdrawn because of failures.

    key
        Whose records are meant.

    Raises as :py:func:`recall` does.
    """
    return recall(key).withdrawn


def apply(plan: converge.Plan, carry_out: Callable[[converge.Plan], None]) -> None:
    """
    Carry out a plan, and remember this run.

    plan
        From :py:func:`published` or :py:func:`withdrawn`.
    carry_out
        Changes the records.
    """
    if _has_records(plan):
        carry_out(plan)
    if plan["streak"]:
        _remember(plan["streak"]["key"], plan["streak"]["new"])


def undo(plan: converge.Plan, put_back: Callable[[converge.Plan], list[converge.Step]]) -> list[converge.Step]:
    """
    The steps that undo a plan.

    plan
        From :py:func:`published` or :py:func:`withdrawn`.
    put_back
        The steps that put the records back.
    """
    steps = put_back(plan) if _has_records(plan) else []
    if plan["streak"]:
        steps.append(lambda: _remember(plan["streak"]["key"], plan["streak"]["old"]))
    return steps


def forget(key: str) -> None:
    """
    Forget the last runs. A damaged file is removed: what it counted is not needed.

    key
        Whose records are meant.

    Raises ``OSError``.
    """
    try:
        known = recall(key)
    except CommandExecutionError:
        host_files.remove(MEMORY)
        return
    if known != Streak():
        _remember(key, Streak())


def _has_records(plan: converge.Plan) -> bool:
    return bool(plan["edits"] or plan["files"])


def _remember(key: str, streak: Streak) -> None:
    known = {each: found for each, found in _load().items() if each != key}
    if streak._replace(run="") != Streak():
        known[key] = streak._asdict()
    if known:
        host_files.replace(MEMORY, salt.utils.json.dumps(known, indent=1), MODE)
    else:
        host_files.remove(MEMORY)


def recall(key: str) -> Streak:
    """
    What is remembered of the last runs.

    key
        Whose records are meant.

    Raises ``OSError``, and ``CommandExecutionError`` where the file is damaged.
    """
    return Streak(**_load().get(key, {}))


def _load() -> dict[str, Any]:
    try:
        found = host_json.typed(host_json.load(MEMORY), dict)
        for each in found.values():
            streak = Streak(**host_json.typed(each, dict))
            for value, kind in zip(streak, (int, int, bool, str)):
                host_json.typed(value, kind)
    except (ValueError, TypeError):
        raise CommandExecutionError(
            f"{MEMORY} is damaged: it counts the runs in which IPv6 has failed; remove it, and the count begins anew"
        ) from None
    known: dict[str, Any] = found
    return known
