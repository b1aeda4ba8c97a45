"""
The hoster's IPv6 of the next boot beside the live one: whether the files of the network stack have it, and whether a
boot starts that stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_boot_tunnel as boot_tunnel
import _dualstack_boot_verdict as boot_verdict
import _dualstack_converge as converge
import _dualstack_native_change as native_change
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_words as words


def look(native: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> converge.Finding:
    """
    Whether the next boot gives the interface its addresses and its default route.

    native
        The pillar ``ipv6:native``.
    stacks
        The available network stacks.

    Changes nothing. Raises ``SaltInvocationError`` for bad input, and ``CommandExecutionError`` where no stack
    configures the interface, or ip(8) does not say.
    """
    plan = native_change.plan_present(native, stacks)
    name, changes = plan["name"], plan["changes"]
    problems = [f"{path} does not have what {name} is declared to have" for path in changes.get("files", {})]
    problems += [f"{name} is not as declared now: {each}" for each in words.differences(plan["steps"])]
    _, missing, untried = boot_tunnel.started(plan["boot"], name, plan["stack"])
    held = f"the files of {plan['stack']} have the addresses and the route of {name}"
    return boot_verdict.of(held, [*problems, *missing], untried)
