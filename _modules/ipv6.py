"""
The pillar ``ipv6`` as a whole, checked before anything is changed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "ipv6"

PARTS = ("tunnel", "firewall", "sysctl", "services")
SYSCTL_KEY = r"[a-z0-9_]+([./][A-Za-z0-9_-]+)+"


def errors(pillar: Any) -> list[str]:
    """
    Everything that is wrong with the pillar ``ipv6``, as far as that can be told without a host.

    pillar
        As a user wrote it; it may be anything.

    CLI Example:

    .. code-block:: bash

        salt '*' ipv6.errors '{tunnel: {endpoint: "2001:db8::1"}}'
    """
    if not isinstance(pillar, dict):
        return [f"ipv6: expected a mapping with the parts {', '.join(PARTS)}, found {pillar!r}"]
    problems = []
    for key in pillar:
        if key not in (*PARTS, "sysctl_except", "lookup"):
            problems.append(f"ipv6:{key}: unknown key; expected one of {', '.join(PARTS)}")
    for part, (what, check) in {
        "tunnel": ("the tunnel's numbers", __salt__["he_tunnel.errors"]),
        "firewall": ("the firewall's tables", __salt__["dualstack_ruleset.errors"]),
        "sysctl": ("kernel parameters", _sysctl_errors),
        "services": ("services", __salt__["service_listen.errors"]),
    }.items():
        if part not in pillar:
            continue
        if isinstance(pillar[part], dict):
            problems += [f"ipv6:{part}:{each}" for each in check(pillar[part])]
        else:
            problems.append(f"ipv6:{part}: expected a mapping of {what}, found {pillar[part]!r}")
    exceptions = pillar.get("sysctl_except", [])
    if not isinstance(exceptions, list) or not all(isinstance(each, str) for each in exceptions):
        problems.append(f"ipv6:sysctl_except: expected a list of services, found {exceptions!r}")
    return problems


def _sysctl_errors(parameters: dict[Any, Any]) -> list[str]:
    problems = []
    for key, value in parameters.items():
        if not isinstance(key, str) or not re.fullmatch(SYSCTL_KEY, key):
            problems.append(f"{key}: not the name of a kernel parameter, as in net.ipv6.bindv6only")
        elif isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
            problems.append(f"{key}: {value!r} is not a number or a text; true and false are written 1 and 0")
    return problems
