"""
IPv6 by the hoster in the kernel. PURE: parses the output of ip(8), compares, returns commands.

A *view* of an interface is a plain dictionary of what is declared of it, and of nothing else that it has::

    {"addresses": {"2001:db8:1::8/64": "preferred"}, "routes": ["default via fe80::1 metric 1024"]}

Other addresses, other routes and the link itself are not in it, and so are never touched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import _dualstack_native_settings as native_settings
import _dualstack_tunnel_interface as tunnel_interface

ABSENT, PRESENT = tunnel_interface.ABSENT, "present"
PREFERRED, DEPRECATED, DUPLICATE = "preferred", "deprecated", "a duplicate"
ANY = "any"  # where no source is declared
ADVERTISED = "ra"  # the protocol of a route that a router has announced

View = dict[str, Any]
Entry = dict[str, Any]  # of ip(8)


def live(native: Mapping[str, Any], link: Entry, routes: Sequence[Entry]) -> View:
    """
    What the interface has of what is declared.

    native
        In canonical form.
    link
        The interface, as ip(8) reports it.
    routes
        The IPv6 default routes of the host, likewise.

    An address that has another prefix length is there with that one.
    """
    hosts = _hosts(native)
    return {
        "addresses": {
            f"{each['local']}/{each['prefixlen']}": _preference(each)
            for each in link.get("addr_info", [])
            if each["family"] == "inet6" and each["local"] in hosts
        },
        "routes": sorted({_words(native, each["metric"]) for each in routes if _is_ours(native, each)}),
    }


def _hosts(native: Mapping[str, Any]) -> list[str]:
    return [each.partition("/")[0] for each in native["addresses"]]


def _preference(address: Entry) -> str:
    if address.get("dadfailed"):
        return DUPLICATE
    return DEPRECATED if address.get("deprecated") else PREFERRED


def _is_ours(native: Mapping[str, Any], route: Entry) -> bool:
    """A route of several next hops is somebody else's."""
    return (
        route.get("dev") == native["interface"]
        and route.get("gateway") == native["gateway"]
        and "from" not in route
        and isinstance(route.get("metric"), int)
    )


def _words(native: Mapping[str, Any], metric: int) -> str:
    return f"default via {native['gateway']} metric {metric}"


def wanted(native: Mapping[str, Any], now: View) -> View:
    """
    What the interface is to have of it.

    native
        In canonical form. Without a ``metric``, a default route by the gateway may have any; without a ``source``, an
        address may be deprecated or not.
    now
        From :py:func:`live`.
    """
    source = native["source"]
    addresses = {}
    for each in native["addresses"]:
        if source is not None:
            addresses[each] = PREFERRED if each.partition("/")[0] == source else DEPRECATED
        else:
            found = now["addresses"].get(each, PREFERRED)
            addresses[each] = PREFERRED if found == DUPLICATE else found
    route = _words(native, native["metric"] or native_settings.METRIC)
    # One of another metric is not in the way, and may be somebody else's.
    there = now["routes"] if native["metric"] is None else [each for each in now["routes"] if each == route]
    return {"addresses": addresses, "routes": there or [route]}


def without(now: View, addresses: Collection[str], route: bool) -> View:
    """
    The same without what goes.

    now
        From :py:func:`live`.
    addresses
        Those that go, with their prefix lengths.
    route
        Whether the default route goes.
    """
    kept = {each: how for each, how in now["addresses"].items() if each not in addresses}
    return {"addresses": kept, "routes": [] if route else now["routes"]}


def differences(now: View, target: View) -> dict[str, Any]:
    """
    The differences between two views: ``{}``, or some of ``addresses`` and ``routes``, each ``{thing: {"old": ...,
    "new": ...}}``.

    now, target
        The views. Routes that are only in the first one stay.
    """
    changes: dict[str, Any] = {}
    things = tunnel_interface.compared(now["addresses"], target["addresses"])
    if things:
        changes["addresses"] = things
    coming = {each: {"old": ABSENT, "new": PRESENT} for each in target["routes"] if each not in now["routes"]}
    going = {} if target["routes"] else {each: {"old": PRESENT, "new": ABSENT} for each in now["routes"]}
    if coming or going:
        changes["routes"] = {**coming, **going}
    return changes


def commands(interface: str, changes: Mapping[str, Any]) -> list[list[str]]:
    """
    The commands that make changes: what comes, comes before what goes.

    interface
        Its name.
    changes
        From :py:func:`differences`.

    Returns lists of words for ip(8). The gateway is on the link, whatever the prefix of the addresses; others may have
    a default route of this metric, which ``replace`` would take away.
    """
    addresses, routes = changes.get("addresses", {}), changes.get("routes", {})
    coming = [each for each, change in addresses.items() if change["new"] != ABSENT]
    going = [each for each, change in addresses.items() if change["new"] == ABSENT]
    # To the kernel, an address with another prefix length is the same address: that has to go first.
    first = [each for each in going if _host(each) in map(_host, coming)]
    steps = [_removal(interface, each) for each in first]
    for each in coming:
        lifetimes = [
            "valid_lft",
            "forever",
            "preferred_lft",
            "0" if addresses[each]["new"] == DEPRECATED else "forever",
        ]
        steps.append(["ip", "-6", "addr", "replace", each, "dev", interface, *lifetimes])
    for route, change in routes.items():
        if change["new"] == PRESENT:
            steps.append(["ip", "-6", "route", "add", *route.split(), "dev", interface, "onlink"])
    for route, change in routes.items():
        if change["new"] == ABSENT:
            steps.append(["ip", "-6", "route", "del", *route.split(), "dev", interface])
    return [*steps, *(_removal(interface, each) for each in going if each not in first)]


def back(changes: Mapping[str, Any]) -> dict[str, Any]:
    """
    The opposite of changes.

    changes
        From :py:func:`differences`.
    """
    return {
        part: {thing: {"old": each["new"], "new": each["old"]} for thing, each in things.items()}
        for part, things in changes.items()
    }


def _host(address: str) -> str:
    return address.partition("/")[0]


def _removal(interface: str, address: str) -> list[str]:
    return ["ip", "-6", "addr", "del", address, "dev", interface]


def rivals(native: Mapping[str, Any], routes: Sequence[Entry], target: View) -> list[Entry]:
    """
    The default routes of others that have the metric of one that is to be added: the kernel has one of each metric, or
    takes packets by any of them.

    native
        In canonical form.
    routes
        The IPv6 default routes of the host, as ip(8) reports them.
    target
        From :py:func:`wanted`.
    """
    metrics = [int(each.split()[-1]) for each in target["routes"]]
    return [
        each for each in routes if each.get("metric") in metrics and "from" not in each and not _is_ours(native, each)
    ]


def interface(link: Mapping[str, Any], view: View) -> dict[str, Any]:
    """
    An interface as ``tunnel_interface`` describes it, for who asks where packets leave; its link is not looked at.

    link
        Of ip(8).
    view
        What it has, or is to have.
    """
    same = {"kind": "physical", "endpoint": "any", "local": "any", "ttl": 0, "mtu": link["mtu"], "up": True}
    states = {each: "deprecated" if how == DEPRECATED else "preferred" for each, how in view["addresses"].items()}
    return {"link": same, "addresses": states, "routes": sorted(view["routes"])}
