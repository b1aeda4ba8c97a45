"""
Whether the next boot comes up as this host lives: the parts of the pillar that a boot brings up, one by one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import _dualstack_boot_firewall as boot_firewall
import _dualstack_boot_native as boot_native
import _dualstack_boot_parameters as boot_parameters
import _dualstack_boot_services as boot_services
import _dualstack_boot_tunnel as boot_tunnel
import _dualstack_boot_verdict as boot_verdict
import _dualstack_converge as converge
import _dualstack_errors as errors
import _dualstack_plugins as plugins
import _dualstack_settings_tunnels as settings_tunnels
import _dualstack_tunnel_stack as tunnel_stack
from salt.exceptions import SaltException


class Known(Protocol):
    """The plug-ins that a pillar may name."""

    @property
    def stacks(self) -> Mapping[str, plugins.Stack]:
        """By the names of their network stacks."""

    @property
    def services(self) -> Mapping[str, plugins.Service]:
        """By the names of their services."""


def look(ipv6: Mapping[str, Any], known: Known) -> converge.Finding:
    """
    Whether the next boot comes up as this host lives.

    ipv6
        The pillar ``ipv6``, valid. A part that it does not have is not looked at.
    known
        The plug-ins.

    It holds if every part does. It does not if one is known to come up otherwise; each line of the comment begins with
    the part. Else it could not be tried. Takes seconds; no file, rule or service is changed. Raises nothing that is
    the host's.
    """
    return boot_verdict.whole(parts(ipv6, known))


def parts(ipv6: Mapping[str, Any], known: Known) -> dict[str, converge.Finding]:
    """
    The same for each part, for a report: ``tunnel``, or ``tunnels:NAME`` for each of several, ``native``, ``firewall``,
    ``sysctl``, ``services``, as far as the pillar has them; and, if it has one, ``kernel``, whether that still has IPv6
    then.

    ipv6, known
        As for :py:func:`look`.
    """
    tunnels = settings_tunnels.entries(ipv6)
    looks: dict[str, Callable[[], converge.Finding]] = {
        "native": lambda: boot_native.look(ipv6["native"], known.stacks),
        "firewall": lambda: boot_firewall.look(ipv6, tunnel_stack.networks(known.stacks)),
        "sysctl": lambda: boot_parameters.look(ipv6["sysctl"]),
        "services": lambda: boot_services.look(ipv6["services"], known.services),
    }
    wanted: dict[str, Callable[[], converge.Finding]] = {
        name: functools.partial(boot_tunnel.look, each, known.stacks) for name, each in tunnels.items()
    }
    wanted.update({name: find for name, find in looks.items() if ipv6.get(name)})
    if wanted:
        wanted["kernel"] = lambda: boot_parameters.kernel([str(each["name"]) for each in tunnels.values()])
    return {name: _tried(find) for name, find in wanted.items()}


def _tried(find: Callable[[], converge.Finding]) -> converge.Finding:
    """A look that cannot be taken has found nothing out."""
    try:
        return find()
    except (SaltException, OSError) as error:
        return converge.Finding(None, f"this could not be found out: {errors.said(error)}")
