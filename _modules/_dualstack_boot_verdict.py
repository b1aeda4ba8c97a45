"""
What was found out about the next boot, as one finding. PURE: never accesses the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import _dualstack_converge as converge


def of(fine: str, problems: Iterable[str], untried: Iterable[str] = ()) -> converge.Finding:
    """
    The finding about one part.

    fine
        What is said where it comes up as it lives.
    problems
        How it does not.
    untried
        What could not be found out, and why.
    """
    lines, unknown = list(dict.fromkeys(problems)), list(dict.fromkeys(untried))
    holds = False if lines else None if unknown else True
    return converge.Finding(holds, "\n".join([*lines, *unknown] or [fine]))


def whole(parts: Mapping[str, converge.Finding]) -> converge.Finding:
    """
    The finding about all parts: it holds only if each does, and there is one.

    parts
        Their findings, by their names.

    Each line of the comment begins with the name of its part; what differs comes first.
    """
    named = [
        each._replace(comment="\n".join(f"{name}: {line}" for line in each.comment.split("\n")))
        for name, each in parts.items()
    ]
    return converge.together(named, "the pillar has nothing that a boot could bring up: nothing was looked at")
