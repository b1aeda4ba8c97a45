"""
A 6in4 tunnel in the kernel. PURE: parses the output of ip(8) into an *interface*, compares two, returns commands.

An interface is a plain dictionary, or ``None`` where there is none of that name::

    {"link": {"kind": "sit", "endpoint": "216.66.84.42", "local": "46.105.5.1", "ttl": 255, "mtu": 1480, "up": True},
     "addresses": {"2001:470:1f12:f87::2/64": "deprecated", "2001:470:1f13:f87::77/64": "preferred"},
     "routes": ["default via 2001:470:1f12:f87::1 metric 1024"]}

It has only what a tunnel declares: addresses of global scope, and default routes through it, in the words of ``ip
route``.
"""

from __future__ import annotations

from typing import Any

ABSENT = "absent"
# `ip tunnel add` makes the first, `ip link add type sit` the second; both carry IPv6 alike.
CARRIES_IPV6 = ("ip6ip", "any")


def parse(name: str, links: list[dict], routes: list[dict]) -> dict[str, Any] | None:
    """
    The interface that ip(8) describes.

    name
        Its name.
    links
        ``ip -d -j addr show``, parsed.
    routes
        ``ip -6 -j route show default``, parsed.

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
            "endpoint": data.get("remote", "any"),
            "local": data.get("local", "any"),
            "ttl": data.get("ttl", 0),
            "mtu": link["mtu"],
            "up": "UP" in link["flags"],
        },
        "addresses": {
            f"{each['local']}/{each['prefixlen']}": _preference(each)
            for each in link.get("addr_info", [])
            if each["family"] == "inet6" and each["scope"] == "global"
        },
        "routes": sorted(_words(each) for each in routes if each.get("dev") == name),
    }


def _preference(address: dict) -> str:
    """Deprecated addresses are never chosen as a source while there is a preferred one (RFC 6724, rule 3)."""
    return "deprecated" if address.get("deprecated") else "preferred"


def _words(route: dict) -> str:
    words = ["default"]
    if "from" in route:
        words += ["from", route["from"]]
    if "gateway" in route:
        words += ["via", route["gateway"]]
    return " ".join([*words, "metric", str(route.get("metric", 0))])


def wanted(tunnel: dict[str, Any]) -> dict[str, Any]:
    """
    The interface that a tunnel declares.

    tunnel
        In canonical form, its ``local`` an address.

    All addresses but the ``source`` are deprecated: otherwise Linux would use the one that was added last.
    """
    return {
        "link": {
            "kind": "sit",
            "endpoint": tunnel["endpoint"],
            "local": tunnel["local"],
            "ttl": tunnel["ttl"],
            "mtu": tunnel["mtu"],
            "up": True,
        },
        "addresses": {
            each: "preferred" if each.partition("/")[0] == tunnel["source"] else "deprecated"
            for each in [tunnel["address"], *tunnel["addresses"]]
        },
        "routes": sorted(tunnel["routes"]),
    }


def differences(live: dict[str, Any] | None, target: dict[str, Any] | None) -> dict[str, Any]:
    """
    The differences between two interfaces.

    live, target
        Interfaces; ``None`` for none.

    Returns ``{}`` if there are none, else some of ``link``, ``addresses`` and ``routes``, each a dictionary of
    ``{thing: {"old": ..., "new": ...}}``.
    """
    old, new = _flat(live), _flat(target)
    changes: dict[str, Any] = {}
    for part in ("link", "addresses", "routes"):
        things = {
            thing: {"old": old[part].get(thing, ABSENT), "new": new[part].get(thing, ABSENT)}
            for thing in [*new[part], *(each for each in old[part] if each not in new[part])]
            if old[part].get(thing, ABSENT) != new[part].get(thing, ABSENT)
        }
        if things:
            changes[part] = things
    return changes


def _flat(link: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    if link is None:
        return {"link": {}, "addresses": {}, "routes": {}}
    return {**link, "routes": dict.fromkeys(link["routes"], "present")}


def changeable(live: dict[str, Any] | None, target: dict[str, Any] | None) -> bool:
    """
    Whether one interface can be changed to the other in place, without being deleted.

    live, target
        Interfaces; ``None`` for none.

    The kernel refuses to change the kind, to add an endpoint to a tunnel without one, and to remove it.
    """
    if live is None or target is None:
        return False
    if live["link"]["kind"] != target["link"]["kind"]:
        return False
    return (live["link"]["endpoint"] == "any") == (target["link"]["endpoint"] == "any")


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
        live = None
    if target is None:
        return steps
    link = target["link"]
    ends = ["remote", link["endpoint"], "local", link["local"], "ttl", str(link["ttl"] or "inherit")]
    if live is None:
        steps.append(["ip", "tunnel", "add", name, "mode", "sit", *ends])
        live = {"link": {**link, "mtu": None, "up": False}, "addresses": {}, "routes": []}
    changed = differences(live, target)
    changed_link = changed.get("link", {})
    if changed_link.keys() & {"endpoint", "local", "ttl"}:
        steps.append(["ip", "tunnel", "change", name, "mode", "sit", *ends])
    if "mtu" in changed_link:
        steps.append(["ip", "link", "set", "dev", name, "mtu", str(link["mtu"])])
    if "up" in changed_link:
        steps.append(["ip", "link", "set", "dev", name, "up" if link["up"] else "down"])
    # To the kernel, an address with another prefix length is the same address: removals come first.
    for address, change in changed.get("addresses", {}).items():
        if change["new"] == ABSENT:
            steps.append(["ip", "-6", "addr", "del", address, "dev", name])
    for address, change in changed.get("addresses", {}).items():
        if change["new"] != ABSENT:
            lifetime = "forever" if change["new"] == "preferred" else "0"
            words = ["valid_lft", "forever", "preferred_lft", lifetime, "nodad"]
            steps.append(["ip", "-6", "addr", "replace", address, "dev", name, *words])
    # Not `ip route replace`: it would replace another interface's route of the same metric.
    for route, change in changed.get("routes", {}).items():
        if change["new"] == ABSENT:
            steps.append(["ip", "-6", "route", "del", *route.split(), "dev", name])
    for route, change in changed.get("routes", {}).items():
        if change["new"] != ABSENT:
            onlink = ["onlink"] if " via " in route else []
            steps.append(["ip", "-6", "route", "add", *route.split(), "dev", name, *onlink])
    return steps
