"""
Where packets of this host go, by its live routes and addresses.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

import _dualstack_host_ip as host_ip

ANYWHERE = "2000::"  # the first address of the global unicast space: its route is looked up, nothing is sent
# Bits of the longest prefix by which the internet is routed, 2000::/3 or an allocation: a longer one is a network.
INTERNET = {6: 32, 4: 7}


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


def back(host: str, own: str) -> Route:
    """
    The live route of what is sent to a host from one of this host's addresses: policy rules may count its source.

    host, own
        The two addresses.

    Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    try:
        found = host_ip.route(["route", "get", host, "from", own])
    except host_ip.Nothing:
        return Route()
    return Route(found["dev"], own, found.get("type") == "local")


def on_link(host: str, own: str | None = None) -> bool:
    """
    Whether packets to a host reach it without a router, and without a default route: then it is no host of the
    internet, but a neighbour of this one.

    host
        Its address.
    own
        This host's, from which they are sent.

    Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    number = ipaddress.ip_address(host).version
    source = ["from", own] if own else []
    try:
        found = host_ip.look([f"-{number}", "route", "get", "fibmatch", host, *source])
    except host_ip.Nothing:
        return False
    ways = [str(each.get("dst")) for each in found if not {"gateway", "via", "nexthops"} & each.keys()]
    longest = INTERNET[number]
    return any(each != "default" and ipaddress.ip_network(each, strict=False).prefixlen >= longest for each in ways)


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
