"""
The pillar ``ipv6``, refused before anything is changed.

.. code-block:: yaml

    The pillar ipv6 makes sense:
      ipv6.valid:
        - os_families:
          - Debian
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from salt.exceptions import SaltException

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}
    __grains__: dict[str, Any] = {}

__virtualname__ = "ipv6"


def valid(name: str, os_families: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    There is nothing wrong with the pillar ``ipv6``, and this is a host for it.

    name
        What the state is called in the report.
    os_families
        The values of the grain ``os_family`` that are known; by default any.

    Changes nothing. If anything is wrong it fails, under ``test=True`` too, and tells everything.
    """
    ret: dict[str, Any] = {"name": name, "result": False, "changes": {}}
    try:
        __salt__["converge.refuse"](kwargs)
    except SaltException as error:
        return {**ret, "comment": str(error)}
    # Not pillar.get: Salt 3008 masks the values that it returns to a state.
    problems = list(__salt__["ipv6.errors"](__pillar__.get("ipv6", {})))
    family = __grains__["os_family"]
    if os_families and family not in os_families:
        problems.append(f"the OS family of this host is {family}; expected {', '.join(os_families)}")
    return {**ret, "result": not problems, "comment": "\n".join(problems) or "nothing is wrong with it"}
