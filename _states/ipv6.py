"""
The pillar ``ipv6``, refused before anything is changed; and the proof, which all else has to be behind.

.. code-block:: yaml

    The pillar ipv6 makes sense:
      ipv6.valid:
        - supported:
            Debian: ["11", "13"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from salt.exceptions import SaltException

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "ipv6"


def valid(
    name: str, supported: dict[str, list[str]] | None = None, shaped: bool = True, **kwargs: Any
) -> dict[str, Any]:
    """
    There is nothing wrong with the pillar ``ipv6``, and this is a host for it.

    name
        What the state is called in the report.
    supported
        By the grain ``os`` the first and the last release that this is made for; by default any.
    shaped
        ``False`` where the pillar was such that no other state could be made of it.

    Changes nothing. If anything is wrong it fails, under ``test=True`` too, and tells everything.
    """
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}}
    try:
        __salt__["converge.refuse"](kwargs)
    except SaltException as error:
        return {**ret, "comment": str(error)}
    # Not pillar.get: Salt 3008 masks the values that it returns to a state.
    if "ipv6" not in __pillar__:
        return {**ret, "comment": "ipv6: there is no such pillar for this host; an empty one, {}, manages nothing"}
    pillar = __pillar__["ipv6"]
    problems = list(__salt__["ipv6.errors"](pillar))
    if supported:
        problems += __salt__["ipv6.unsupported"](pillar, supported)
    problems = problems or list(__salt__["ipv6.impossible"](pillar))
    if not shaped:
        problems = problems or ["ipv6: no state could be made of it"]
    return {**ret, "result": not problems, "comment": "\n".join(problems) or "nothing is wrong with it"}


def proven(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    All that this state requires has held, so that what requires it may rely on that.

    name
        What the state is called in the report.

    Changes nothing. Under ``test=True`` the result is ``None``: nothing was tried.
    """
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}}
    try:
        __salt__["converge.refuse"](kwargs)
    except SaltException as error:
        return {**ret, "comment": str(error)}
    if __opts__["test"]:
        return {**ret, "result": None, "comment": "not proven: under test=True nothing was tried"}
    return {**ret, "result": True, "comment": "all that was tried holds; what was skipped says so itself"}
