"""
The one skeleton that every state of this project calls: plan, gate, apply, plan again.

A module that converges something offers, for each state ``<verb>``, an execution function ``plan_<verb>`` that
only reads, and for all of them ``apply(plan)`` and ``undo(plan)``. A plan is plain data with two keys for this
module, ``changes`` and ``warnings``; the rest is the module's own.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from salt.exceptions import SaltException
from salt.state import STATE_INTERNAL_KEYWORDS

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

log = logging.getLogger(__name__)

__virtualname__ = "converge"


def run(module: str, verb: str, name: str, arguments: dict[str, Any], surplus: dict[str, Any], test: bool) -> dict:
    """
    Do what a state does, and return what a state returns.

    module, verb
        The execution functions to use: ``<module>.plan_<verb>``, ``<module>.apply`` and ``<module>.undo``.
    name
        The state's name; the first argument of the plan function.
    arguments
        The other arguments of the plan function.
    surplus
        Keyword arguments that the state does not know. Salt's own are ignored, any other is an error.
    test
        Only say what would change.

    The plan is made again after it was applied and has to be empty then. If it is not, or if applying it fails,
    it is undone, and the plan that is made then has to be the first one again.

    CLI Example:

    .. code-block:: bash

        salt-call converge.run he_tunnel absent he-ipv6 '{}' '{}' true
    """
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}, "comment": ""}
    try:
        refuse(surplus)
        plan = __salt__[f"{module}.plan_{verb}"](name, **arguments)
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
        __salt__[f"{module}.apply"](plan)
        left = __salt__[f"{module}.plan_{verb}"](name, **arguments)["changes"]
        failure = f"after the change this is still different: {left}" if left else ""
    except Exception as error:  # pylint: disable=broad-except  # whatever it was, no host must stay half changed
        if not isinstance(error, (SaltException, OSError)):
            log.exception("%s.apply", module)
        failure = str(error) or type(error).__name__
    if not failure:
        return {**ret, "result": True, "comment": _comment(f"{name} was changed: {parts}", plan)}
    lost = _put_back(module, verb, name, arguments, plan)
    if lost:
        return {**ret, "comment": f"{failure}\n{lost}"}
    return {**ret, "changes": {}, "comment": f"{failure}\nEverything was put back as it was."}


def _put_back(module: str, verb: str, name: str, arguments: dict[str, Any], plan: dict) -> str:
    """Undo a plan, and look whether the host is as it was: what is wrong, or nothing."""
    try:
        __salt__[f"{module}.undo"](plan)
        now = __salt__[f"{module}.plan_{verb}"](name, **arguments)["changes"]
    except (SaltException, OSError) as error:
        return f"It could not be put back: {error}"
    if now != plan["changes"]:
        return f"Not everything was put back; what is declared now differs in: {now}"
    return ""


def refuse(surplus: dict[str, Any]) -> None:
    """
    Refuse keyword arguments that neither the state nor Salt knows.

    surplus
        What the state got besides its own arguments.

    Salt would abort the whole run at such an argument if the state had no ``**kwargs``, and ignore it silently
    if it had. Raises ``SaltException`` with the names.

    CLI Example:

    .. code-block:: bash

        salt-call converge.refuse '{endpiont: 216.66.84.42}'
    """
    unknown = sorted(key for key in surplus if key not in STATE_INTERNAL_KEYWORDS and not key.startswith("__"))
    if unknown:
        raise SaltException(f"unknown argument: {', '.join(unknown)}")


def _comment(text: str, plan: dict) -> str:
    return "\n".join([text, *plan.get("warnings", [])])
