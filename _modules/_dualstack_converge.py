"""
The procedure that every state of this project follows: plan, gate, apply, plan again.

A :class:`Change` is three functions: one that only reads and makes a plan, one that carries out a plan, and one that
restores the previous state. A plan is plain data. This room reads two of its keys, ``changes`` and ``warnings``; the
rest belongs to its author.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _dualstack_words as words
from salt.exceptions import SaltException
from salt.state import STATE_INTERNAL_KEYWORDS

log = logging.getLogger(__name__)

Plan = dict[str, Any]
Result = dict[str, Any]  # what a state returns: name, result, changes, comment


class Change(NamedTuple):
    """How something is converged."""

    plan: Callable[[], Plan]
    apply: Callable[[Plan], None]
    undo: Callable[[Plan], None]


class Finding(NamedTuple):
    """The result of inspecting the host: whether the requirement holds, and the comment."""

    holds: bool
    comment: str


def run(name: str, change: Change, surplus: Mapping[str, Any], test: bool) -> Result:
    """
    Do what a state does, and return what a state returns.

    name
        The state's name.
    change
        The functions that plan, apply and undo.
    surplus
        Keyword arguments that the state does not know. Salt's own are ignored, any other is an error.
    test
        Only report what would change.

    After the plan was applied, it is made again and has to be empty. If it is not, or if applying it fails, it is
    undone, and a new plan then has to equal the first one.
    """
    ret: Result = {"name": name, "result": False, "changes": {}, "comment": ""}
    try:
        refuse(surplus)
        plan = change.plan()
    except (SaltException, OSError) as error:
        return {**ret, "comment": str(error)}
    changes = plan["changes"]
    parts = ", ".join(changes)
    if not changes:
        return {**ret, "result": True, "comment": _comment(f"{name} is as declared", plan)}
    ret["changes"] = changes
    if test:
        return {**ret, "result": None, "comment": _comment(f"{name} would be changed: {parts}", plan)}
    try:
        change.apply(plan)
        left = change.plan()["changes"]
        failure = "\n".join(["After the change, this still differs:", *words.differences(left)]) if left else ""
    except Exception as error:  # pylint: disable=broad-except  # whatever the error, no host may stay half changed
        if not isinstance(error, (SaltException, OSError)):
            log.exception("%s: the change failed", name)
        failure = str(error) or type(error).__name__
    if not failure:
        return {**ret, "result": True, "comment": _comment(f"{name} was changed: {parts}", plan)}
    lost = _put_back(change, plan)
    if lost:
        return {**ret, "comment": f"{failure}\n{lost}"}
    return {**ret, "changes": {}, "comment": f"{failure}\nEverything was put back as it was."}


def _put_back(change: Change, plan: Plan) -> str:
    """Undo a plan, and check that the host is as it was: the problem, or nothing."""
    try:
        change.undo(plan)
        now = change.plan()["changes"]
    except (SaltException, OSError) as error:
        return f"It could not be put back: {error}"
    if now != plan["changes"]:
        return "\n".join(["Not everything was put back. Now this differs:", *words.differences(now)])
    return ""


def look(
    name: str,
    find: Callable[[], Finding],
    surplus: Mapping[str, Any],
    untried: str = "",
    asked: Callable[[], object] = dict,
) -> Result:
    """
    Do what a state does that changes nothing, and return what a state returns.

    name
        The state's name.
    find
        Inspects the host.
    surplus
        As for :py:func:`run`.
    untried
        Why the host is not inspected, as under ``test=True``, where the run might change it first. The result is then
        ``None``: unknown.
    asked
        Raises ``SaltException`` if the arguments are wrong, whatever the host is like. Called if the host is not
        inspected.
    """
    ret: Result = {"name": name, "result": False, "changes": {}, "comment": ""}
    try:
        refuse(surplus)
        if untried:
            asked()
            return {**ret, "result": None, "comment": untried}
        found = find()
    except (SaltException, OSError) as error:
        return {**ret, "comment": str(error)}
    return {**ret, "result": found.holds, "comment": found.comment}


def tested(test: bool | None, opts: Mapping[str, Any]) -> bool:
    """
    Whether a door only predicts.

    test
        What its caller says; ``None`` for nothing.
    opts
        The minion's configuration, which then decides.
    """
    return bool(opts.get("test")) if test is None else test


def refuse(surplus: Mapping[str, Any]) -> None:
    """
    Refuse keyword arguments that neither the state nor Salt knows.

    surplus
        What the state got besides its own arguments.

    Salt would abort the whole run at such an argument if the state had no ``**kwargs``, and ignore it silently
    if it had. Raises ``SaltException`` with the names.
    """
    unknown = sorted(key for key in surplus if not is_salts_own(key))
    if unknown:
        raise SaltException(f"unknown argument: {', '.join(unknown)}")


def is_salts_own(key: str) -> bool:
    """
    Whether Salt itself adds, or takes, a keyword argument.

    key
        Its name.
    """
    return key in STATE_INTERNAL_KEYWORDS or key.startswith("__")


def _comment(text: str, plan: Plan) -> str:
    return "\n".join([text, *plan.get("warnings", [])])
