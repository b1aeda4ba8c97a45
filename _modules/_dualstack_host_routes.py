"""
Where packets of this host go, by its live routes and addresses.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import _dualstack_host_commands as host_commands


class Route(NamedTuple):
    """The route to a host; empty if there is none."""

    interface: str | None = None
    source: str | None = None  # the address that this host uses on it
    local: bool = False  # it ends here


def to(host: str, interface: str | None = None) -> Route:
    """
    The live route to a host.

    host
        Its address.
    interface
        The one that packets leave by; by default that of the route.

    Raises ``CommandExecutionError`` without ip(8).
    """
    found = _ip(["route", "get", host, *(["oif", interface] if interface and interface != "lo" else [])])
    if not found:
        return Route()
    return Route(found[0].get("dev"), found[0].get("prefsrc"), found[0].get("type") == "local")


def address(interface: str, family: str) -> str | None:
    """
    An address of an interface, preferably a public one.

    interface
        Its name.
    family
        ``ipv4`` or ``ipv6``.

    Returns ``None`` if there is none. Raises ``CommandExecutionError`` without ip(8).
    """
    kind = "inet6" if family == "ipv6" else "inet"
    held = [each for link in _ip(["addr", "show", "dev", interface]) for each in link.get("addr_info", [])]
    held = sorted((each for each in held if each["family"] == kind), key=lambda each: each["scope"] != "global")
    return held[0]["local"] if held else None


def _ip(words: list[str]) -> list[dict[str, Any]]:
    """The output of ip(8); nothing if there is no such route or interface."""
    try:
        return host_commands.ip(words)
    except host_commands.CommandFailed:
        return []
