"""
A tunnel in the kernel. PURE: parses the output of ip(8) into an *interface*, compares two, returns commands.

An interface is a plain dictionary, or ``None`` where there is none of that name::

    {"link": {"kind": "sit", "endpoint": "216.66.84.42", "local": "46.105.5.1", "ttl": 255, "mtu": 1480, "up": True},
     "addresses": {"2001:470:1f12:f87::2/64": "deprecated", "2001:470:1f13:f87::77/64": "preferred"},
     "routes": ["default via 2001:470:1f12:f87::1 metric 1024"]}

It has only what a tunnel declares: addresses of global scope, default routes through it, and the routes that refuse
packets to unassigned addresses of its prefixes, in the words of ``ip route``. An address that is ``expiring`` is
deprecated, and the kernel removes it by itself. The ``link`` of a tunnel that is bound to a device has that as ``dev``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Any

import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_wireguard as tunnel_wireguard

ABSENT = "absent"
ANY = "any"  # an end that is not given
EXPIRING, SOON = "expiring", "expiring soon"
FOREVER = 2**32 - 1  # seconds, as the kernel says it
LIFETIME = 24 * 3600  # seconds that an expiring address has left: DNS caches keep a record for as long as its TTL
# `ip tunnel add` makes the first, `ip link add type sit` the second; both carry IPv6 alike.
CARRIES_IPV6 = ("ip6ip", "any")
REFUSING = "unreachable"


def parse(name: str, links: list[dict], routes: list[dict]) -> dict[str, Any] | None:
    """
    The interface that ip(8) describes.

    name
        Its name.
    links
        ``ip -d -j addr show``, parsed.
    routes
        ``ip -6 -j route show default``, parsed, and that of ``type unreachable``.

    Returns an interface, or ``None`` if there is none of that name. The kind of a physical one is ``physical``.
    """
    link = next((each for each in links if each.get("ifname") == name), None)
    if link is None:
        return None
    info = link.get("linkinfo", {})
    data = info.get("info_data", {})
    kind = info.get("info_kind", "physical")
    if kind == "sit" and data.get("proto", "any") not in CARRIES_IPV6:
        kind = f"sit ({data['proto']})"
    return {
        "link": {
            "kind": kind,
            "endpoint": data.get("remote", ANY),
            "local": data.get("local", ANY),
            **_bound(data),
            "ttl": data.get("ttl", 0),
            "mtu": link["mtu"],
            "up": "UP" in link["flags"],
            **data.get(tunnel_wireguard.CARRIER, {}),
        },
        "addresses": {
            f"{each['local']}/{each['prefixlen']}": _preference(each)
            for each in link.get("addr_info", [])
            if each["family"] == "inet6" and each["scope"] == "global"
        },
        "routes": sorted(_words(each) for each in routes if _belongs(each, name)),
    }


def _bound(data: dict) -> dict[str, str]:
    """The device by which the packets of a tunnel leave, whatever the routes say; a number if that is gone."""
    bound = data.get("link") or data.get("link_index")
    return {"dev": str(bound)} if bound else {}


def _preference(address: dict) -> str:
    """Deprecated addresses are never chosen as a source while there is a preferred one (RFC 6724, rule 3)."""
    if not address.get("deprecated"):
        return "preferred"
    left = address.get("valid_life_time", FOREVER)
    return "deprecated" if left >= FOREVER else EXPIRING if left > LIFETIME / 2 else SOON


def _belongs(route: dict, name: str) -> bool:
    if route.get("type") == REFUSING:
        return route.get("metric") == tunnel_sit.owner(name)
    return route.get("dev") == name


def _words(route: dict) -> str:
    if route.get("type") == REFUSING:
        return f"{REFUSING} {route['dst']} metric {route['metric']}"
    words = ["default"]
    if "from" in route:
        words += ["from", route["from"]]
    if "gateway" in route:
        words += ["via", route["gateway"]]
    return " ".join([*words, "metric", str(route.get("metric", 0))])


def wanted(tunnel: dict[str, Any], deprecates: bool = True) -> dict[str, Any]:
    """
    The interface that a tunnel declares.

    tunnel
        In canonical form. With ``local: auto`` the kernel takes the address by which a packet leaves, and the tunnel
        follows when that changes.
    deprecates
        Whether its network stack can make addresses deprecated. One that cannot orders them, and names the source in
        the route.

    All addresses but the ``source`` are deprecated: otherwise Linux would use the one that was added last.
    """
    part = tunnel.get(tunnel_wireguard.CARRIER)
    return {
        "link": {
            "kind": tunnel["carrier"],
            "endpoint": tunnel["endpoint"],
            "local": ANY if tunnel["local"] == "auto" else tunnel["local"],
            **({"dev": tunnel["dev"]} if tunnel.get("dev") else {}),
            "ttl": 0 if part else tunnel["ttl"],
            "mtu": tunnel["mtu"],
            "up": True,
            **(tunnel_wireguard.wanted(part) if part else {}),
        },
        "addresses": {
            each: "deprecated" if deprecates and _host(each) != tunnel["source"] else "preferred"
            for each in [tunnel["address"], *tunnel["addresses"]]
        },
        "routes": sorted([*tunnel["routes"], *tunnel["unreachable"]]),
    }


def undeclared(live: dict[str, Any] | None, target: dict[str, Any]) -> list[str]:
    """
    The addresses of an interface, with their prefix lengths, that are not to be on it, whatever the length.

    live, target
        Interfaces; ``None`` for none.
    """
    hosts = {_host(each) for each in target["addresses"]}
    return [each for each in (live["addresses"] if live else ()) if _host(each) not in hosts]


def renumbered(live: dict[str, Any] | None, target: dict[str, Any], published: Collection[str] = ()) -> dict[str, Any]:
    """
    The interface to be, beside which old addresses stay for a while: those to which others are still sent.

    live, target
        Interfaces; ``None`` for none.
    published
        Addresses that DNS leads to. They get their time anew before it is over; those that it leads to no longer, do
        not.

    An old address is of use only while the tunnel has the same ends.
    """
    if live is None or not changeable(live, target):
        return target
    if any(live["link"][end] != target["link"][end] for end in ("endpoint", "local")):
        return target
    staying = {}
    for each in undeclared(live, target):
        if _host(each) in published:
            staying[each] = EXPIRING
        elif live["addresses"][each] in (EXPIRING, SOON):
            staying[each] = live["addresses"][each]
    old = [ipaddress.IPv6Address(_host(each)) for each in staying]
    # Without a route of their own, packets from them would leave by another interface.
    declared = [network for route in target["routes"] for network in _source(route)]
    old = [each for each in old if not any(each in network for network in declared)]
    routes = [
        each for each in live["routes"] if any(address in network for network in _source(each) for address in old)
    ]
    return {
        **target,
        "addresses": {**target["addresses"], **staying},
        "routes": sorted({*target["routes"], *routes}) if routes else target["routes"],
    }


def _source(route: str) -> list[ipaddress.IPv6Network]:
    """Where the packets come from that a route is for; nothing if it is for all."""
    words = route.split()
    return [ipaddress.IPv6Network(words[2])] if words[:2] == ["default", "from"] else []


def _host(address: str) -> str:
    return address.partition("/")[0]


def differences(live: dict[str, Any] | None, target: dict[str, Any] | None) -> dict[str, Any]:
    """
    The differences between two interfaces.

    live, target
        Interfaces; ``None`` for none.

    Returns ``{}`` if there are none, else some of ``link``, ``addresses`` and ``routes``, each a dictionary of
    ``{thing: {"old": ..., "new": ...}}``.
    """
    old, new = _flat(live), _flat(target)
    if target is not None and old["link"].get("kind") == new["link"]["kind"]:
        free = [key for key in tunnel_wireguard.FREE if key not in new["link"]]
        old["link"] = {key: value for key, value in old["link"].items() if key not in free}
    changes: dict[str, Any] = {}
    for part in ("link", "addresses", "routes"):
        things = compared(old[part], new[part])
        if things:
            changes[part] = things
    return changes


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """
    What differs of things by their names: ``{thing: {"old": ..., "new": ...}}``, those of the new ones first.

    old, new
        The things, each with its state; one that is not in there is ``absent``.
    """
    return {
        thing: {"old": old.get(thing, ABSENT), "new": new.get(thing, ABSENT)}
        for thing in [*new, *(each for each in old if each not in new)]
        if old.get(thing, ABSENT) != new.get(thing, ABSENT)
    }


def _flat(link: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    if link is None:
        return {"link": {}, "addresses": {}, "routes": {}}
    return {**link, "routes": dict.fromkeys(link["routes"], "present")}


def changeable(live: dict[str, Any] | None, target: dict[str, Any] | None) -> bool:
    """
    Whether one interface can be changed to the other in place, without being deleted.

    live, target
        Interfaces; ``None`` for none.

    The kernel refuses to change the kind, to add an endpoint to a tunnel without one, and to remove it. A device that
    the tunnel is bound to can be changed, but ip(8) has no word for none.
    """
    if live is None or target is None:
        return False
    if live["link"]["kind"] != target["link"]["kind"]:
        return False
    if target["link"]["kind"] == tunnel_wireguard.CARRIER:
        return True
    if "dev" in live["link"] and "dev" not in target["link"]:
        return False
    return (live["link"]["endpoint"] == ANY) == (target["link"]["endpoint"] == ANY)


def commands(name: str, live: dict[str, Any] | None, target: dict[str, Any] | None) -> list[list[str]]:
    """
    The commands that change one interface to the other.

    name
        The interface name.
    live, target
        Interfaces; ``None`` for none.

    Returns lists of words for ip(8), to be run in this order. An interface that is not
    :py:func:`changeable` is deleted first.
    """
    steps: list[list[str]] = []
    if live and not changeable(live, target):
        steps.append(["ip", "link", "del", "dev", name])
        staying = target["routes"] if target else []
        steps += [_route("del", each, name) for each in live["routes"] if _refuses(each) and each not in staying]
        live = None
    if target is None:
        return steps
    link = target["link"]
    mode = link["kind"] if link["kind"] in tunnel_sit.CARRIERS else "sit"
    ends = ["remote", link["endpoint"], "local", link["local"], "ttl", str(link["ttl"] or "inherit")]
    ends += ["dev", link["dev"]] if "dev" in link else []
    peered = link["kind"] == tunnel_wireguard.CARRIER
    if live is None and peered:
        steps.append(["ip", "link", "add", name, "type", link["kind"]])
        new = {"kind": link["kind"], "endpoint": ANY, "local": ANY, "ttl": 0, "mtu": None, "up": False}
        live = {"link": new, "addresses": {}, "routes": []}
    elif live is None:
        steps.append(["ip", "tunnel", "add", name, "mode", mode, *ends])
        live = {"link": {**link, "mtu": None, "up": False}, "addresses": {}, "routes": []}
    changed = differences(live, target)
    changed_link = changed.get("link", {})
    if peered:
        steps += tunnel_wireguard.commands(name, live["link"], link, target.get("keys", {}))
    elif changed_link.keys() & {"endpoint", "local", "dev", "ttl"}:
        steps.append(["ip", "tunnel", "change", name, "mode", mode, *ends])
    if changed_link.keys() & {"mtu", "dev"}:  # with a device, the kernel takes an MTU that fits it
        steps.append(["ip", "link", "set", "dev", name, "mtu", str(link["mtu"])])
    if "up" in changed_link:
        steps.append(["ip", "link", "set", "dev", name, "up" if link["up"] else "down"])
    return [*steps, *_renumbering(name, changed.get("addresses", {}), changed.get("routes", {}))]


def again(name: str, live: dict[str, Any] | None) -> list[list[str]]:
    """
    The commands that make an interface what it was, whether there is one of this name or not: what has been done
    already, ip(8) refuses.

    name
        The interface name.
    live
        As it was; ``None`` for none.
    """
    if live is None:
        return [["ip", "link", "del", "dev", name]]
    made, *rest = commands(name, None, live)
    if live["link"]["kind"] == tunnel_wireguard.CARRIER:
        return [made, *rest]
    return [made, ["ip", "tunnel", "change", *made[3:]], *rest]


def _renumbering(name: str, addresses: dict[str, Any], routes: dict[str, Any]) -> list[list[str]]:
    """What comes, comes before what goes: the host is reached by one or the other all the time."""
    coming, going = (
        [[each for each, change in part.items() if (change["new"] == ABSENT) is gone] for part in (addresses, routes)]
        for gone in (False, True)
    )
    # To the kernel, an address with another prefix length is the same address: that has to go first.
    first = [each for each in going[0] if _host(each) in {_host(other) for other in coming[0]}]
    steps = [_removal(name, each) for each in first]
    for address in coming[0]:
        new = addresses[address]["new"]
        lifetimes = [str(LIFETIME) if new in (EXPIRING, SOON) else "forever", "forever" if new == "preferred" else "0"]
        words = ["valid_lft", lifetimes[0], "preferred_lft", lifetimes[1], "nodad"]
        steps.append(["ip", "-6", "addr", "replace", address, "dev", name, *words])
    # Not `ip route replace`: it would replace another interface's route of the same metric. To the kernel, two routes
    # that differ in the gateway alone are one with two next hops, which `add` refuses to make.
    for route in coming[1]:
        verb = "append" if any(_but_gateway(route) == _but_gateway(each) for each in going[1]) else "add"
        steps.append(_route("replace" if _refuses(route) else verb, route, name))
    steps += [_route("del", route, name) for route in going[1]]
    return [*steps, *(_removal(name, each) for each in going[0] if each not in first)]


def _removal(name: str, address: str) -> list[str]:
    return ["ip", "-6", "addr", "del", address, "dev", name]


def _route(verb: str, route: str, name: str) -> list[str]:
    """The kernel has a route that refuses packets at no device; it may be there without the interface."""
    onlink = ["onlink"] if " via " in route and verb != "del" else []
    return ["ip", "-6", "route", verb, *route.split(), *([] if _refuses(route) else ["dev", name]), *onlink]


def _refuses(route: str) -> bool:
    return route.startswith(f"{REFUSING} ")


def _but_gateway(route: str) -> str:
    return re.sub(r" via \S+", "", route)
