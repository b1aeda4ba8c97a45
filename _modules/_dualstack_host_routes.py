"""
Where packets of this host go, by its live routes and addresses.
"""

from __future__ import annotations

from typing import NamedTuple

import _dualstack_host_ip as host_ip


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

    Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    through = ["oif", interface] if interface and interface != "lo" else []
    try:
        found = host_ip.route(["route", "get", host, *through])
    except host_ip.Nothing:
        return Route()
    return Route(found["dev"], found.get("prefsrc"), found.get("type") == "local")


def address(interface: str, family: str) -> str | None:
    """
    An address of an interface, preferably a public one.

    interface
        Its name.
    family
        ``ipv4`` or ``ipv6``.

    Returns ``None`` if there is none. Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    kind = "inet6" if family == "ipv6" else "inet"
    try:
        links = host_ip.look(["addr", "show", "dev", interface])
    except host_ip.Nothing:
        return None
    held = [each for link in links for each in link.get("addr_info", [])]
    held = sorted((each for each in held if each["family"] == kind), key=lambda each: each["scope"] != "global")
    return held[0]["local"] if held else None
