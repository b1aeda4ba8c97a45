"""
Kernel parameters of the pillar with which this host would lose its default route: one that forwards ignores router
advertisements, unless ``accept_ra`` is 2.

Source: Linux, Documentation/networking/ip-sysctl.rst, ``accept_ra``; rt6_purge_dflt_routers() when forwarding is
switched on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_host_ip as host_ip
import _dualstack_host_sysctl as host_sysctl
from salt.exceptions import CommandExecutionError

FORWARDING, ACCEPT = "net.ipv6.conf.{}.forwarding", "net.ipv6.conf.{}.accept_ra"
PARAMETER = re.compile(r"net\.ipv6\.conf\.(.+)\.(forwarding|accept_ra)")
ALL = "all"
ADVERTISED = "ra"
REASON = "a host that forwards ignores router advertisements, and its default route from them vanishes"


def together(parameters: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """
    The parameters that contradict each other. It is not looked at the host.

    parameters
        The part ``sysctl``. It need not be valid.

    Yields the key of each, and why.
    """
    for key in parameters:
        found = PARAMETER.fullmatch(str(key))
        if found and found[2] == "accept_ra" and _value(parameters[key]) == "1":
            forwarding = _forwards(parameters, found[1])
            if forwarding:
                yield str(key), f"1, and {forwarding} is on: {REASON}; expected 2, or 0 with a route of its own"


def _forwards(parameters: Mapping[Any, Any], interface: str) -> str:
    """The parameter by which an interface forwards; empty if none says so."""
    own, every = FORWARDING.format(interface), FORWARDING.format(ALL)
    if own in parameters:
        return own if _is_on(parameters[own]) else ""
    return every if _is_on(parameters.get(every, 0)) else ""


def _is_on(value: Any) -> bool:
    return _value(value) not in ("0", "")


def _value(value: Any) -> str:
    return str(value).strip()


def lost(parameters: Mapping[str, Any], native: str | None = None) -> list[str]:
    """
    The default routes that this host would lose.

    parameters
        The part ``sysctl``, valid.
    native
        The interface that gets a default route of its own.

    Returns a sentence for each, beginning with the parameter; also where it cannot be told which routes there are.
    Nothing is looked up where none forwards.
    """
    forwarding = [str(key) for key, value in parameters.items() if str(key).endswith(".forwarding") and _is_on(value)]
    if not forwarding:
        return []
    try:
        routes = host_ip.look(["-6", "route", "show", "default"])
    except (host_commands.NotInstalled, host_ip.Nothing):
        return []  # ip(8) may be installed by this very run; without IPv6, there is no such route
    except CommandExecutionError as error:
        return [
            f"{forwarding[0]}: whether this host has a default route from router advertisements, which would vanish, "
            f"is not known: {error}"
        ]
    return list(_lost(parameters, routes, native))


def _lost(parameters: Mapping[str, Any], routes: Iterable[Mapping[str, Any]], native: str | None) -> Iterator[str]:
    devices = [str(each["dev"]) for each in routes if each.get("protocol") == ADVERTISED and "dev" in each]
    for name in dict.fromkeys(each for each in devices if each != native):
        written = name.replace(".", "/")  # as sysctl(8) writes it
        key = _forwards(parameters, written)
        accept = ACCEPT.format(written)
        now = _value(parameters[accept]) if accept in parameters else host_sysctl.live(accept)
        # 0: not the kernel, but a network stack acts on them, or nobody does any more.
        if key and now == "1" and host_sysctl.live(FORWARDING.format(written)) == "0":
            yield (
                f"{key}: the IPv6 default route, dev {name}, comes from router advertisements, and {REASON}; "
                f"expected {accept}: 2 beside it"
            )
