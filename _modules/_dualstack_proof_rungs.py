"""
The rungs of the proof, and what they prove together. PURE: never accesses the host.

A rung is one thing that has to hold before others are sent here. Each is *held*, *failed*, or *not tried*: and what was
not tried is neither proven nor broken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import _dualstack_converge as converge

TUNNEL, ADDRESS, ROUTE, BEYOND = "tunnel", "published address", "route", "beyond"
FIREWALL, SERVICES, BOOT = "firewall", "services", "next boot"
LEADING, OUTSIDE = "A record", "reachable from outside"
RUNGS = (TUNNEL, ADDRESS, ROUTE, BEYOND, FIREWALL, SERVICES, BOOT, LEADING, OUTSIDE)
SAID = (converge.FAILED, converge.UNTRIED)
LONGEST = 400  # characters of what is said about one look; its own state has the rest
LATER = (BOOT,)  # what says nothing about now: where only these failed, nothing is broken yet


class Climb(NamedTuple):
    """One look of a rung: what was looked at, its outcome, and why."""

    title: str
    outcome: str
    why: str


Climbs = Mapping[str, Sequence[Climb]]  # by rung


class Proof(NamedTuple):
    """What the rungs prove together."""

    outcome: str  # not tried, too, where nothing fails before the next boot: nothing has to be withdrawn for that
    lines: list[str]


def judge(found: Climbs, without: Collection[str] = ()) -> Proof:
    """
    What rungs prove together.

    found
        Each rung that is needed, with its looks.
    without
        The rungs that need not have been tried. Those that have failed count nevertheless.

    Without any rung nothing is proven.
    """
    by_outcome: dict[str, dict[str, list[Climb]]] = {each: {} for each in converge.OUTCOMES.values()}
    for rung, climbs in sorted(found.items(), key=lambda item: RUNGS.index(item[0])):
        for each in climbs or [Climb(rung, converge.UNTRIED, "")]:
            by_outcome[each.outcome].setdefault(rung, []).append(each)
    failed, untried = by_outcome[converge.FAILED], by_outcome[converge.UNTRIED]
    needed = {rung: each for rung, each in untried.items() if rung not in without}
    lines = [
        line
        for outcome in SAID
        for rung, climbs in by_outcome[outcome].items()
        for line in _said(outcome, rung, climbs, len(found[rung]) > 1)
    ]
    held = [each for each in RUNGS if each in found and each not in failed and each not in untried]
    lines += [f"held: {', '.join(held)}"] if held else []
    if failed:
        return Proof(converge.UNTRIED if set(failed) <= set(LATER) else converge.FAILED, lines)
    if needed or not held:
        return Proof(converge.UNTRIED, lines or ["nothing was tried"])
    forgiven = [each for each in untried if each not in needed]
    return Proof(
        converge.HELD, [*lines, *([f"not needed, as dns:without says: {', '.join(forgiven)}"] if forgiven else [])]
    )


def _said(outcome: str, rung: str, climbs: Sequence[Climb], titled: bool) -> list[str]:
    """A line for each look; with its title where the rung has several."""
    lines = []
    for each in climbs:
        why = " | ".join(filter(None, each.why.splitlines())) or "nothing was said about it"
        why = why if len(why) <= LONGEST else f"{why[:LONGEST]} ..."
        title = f"{each.title}: " if titled else ""
        lines.append(f"{outcome}: {rung}: {title}{why}")
    return lines


def rungs(value: object) -> list[str]:
    """
    A list of rungs.

    value
        Anything.

    Raises ``ValueError`` for anything else.
    """
    if isinstance(value, list) and all(each in RUNGS for each in value):
        return value
    raise ValueError(f"{value!r} is not a list of rungs of the proof; expected some of {', '.join(RUNGS)}")
