"""
The pillar of the tunnels that this host has already: of those in the files of its network stacks, and of those that are
only live.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_others as tunnel_others
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_tunnel_wireguard as tunnel_wireguard
from salt.exceptions import SaltInvocationError


def pillar(
    tunnels: Iterable[tunnel_others.Tunnel],
    links: list[dict[str, Any]],
    routes: list[dict[str, Any]],
    stacks: tunnel_stack.Stacks,
) -> dict[str, Any]:
    """
    The pillar to start from.

    tunnels
        From :py:func:`tunnel_others.found`.
    links, routes
        All interfaces, and the IPv6 default routes, as ip(8) reports them.
    stacks
        The available network stacks.

    Returns ``ipv6``, with ``tunnel`` for one tunnel and ``tunnels`` for several, and ``notes``: sentences about what it
    lacks, and what is in the way of it. Keys that have their defaults are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    notes = []
    for each in tunnels:
        files, unread = _from_files(each["name"], stacks) if each["name"] else (None, {})
        known = each["kind"] in tunnel_sit.CARRIERS and (files or each["kind"] != tunnel_wireguard.CARRIER)
        if not known or not each["name"]:  # where WireGuard has its keys from, is in files alone
            notes.append(f"{tunnel_others.sentence(each)} is no tunnel that the pillar can have")
            continue
        live = tunnel_interface.parse(each["name"], links, routes)
        tunnel = files or (_from_live(live) if live else {"endpoint": each["endpoint"], "local": each["local"]})
        tunnel = {"carrier": each["kind"], **tunnel}
        found[each["name"]] = _short({**tunnel, "adopt": not each["ours"]})
        problems = tunnel_sit.errors({**found[each["name"]], "name": each["name"]})
        notes += [f"{each['name']}: {problem}" for problem in problems]
        notes += [f"{each['name']}: {place} makes it" for place in each["places"] if not files]
        notes += [f"{each['name']}: {said}" for said in each["warnings"]]
        notes += [f"{each['name']}: whether {stack} has it is not known: {why}" for stack, why in unread.items()]
        notes += _lost(each["name"], files, live)
    if not found:
        return {"ipv6": {}, "notes": ["this host has no 6in4 tunnel", *notes]}
    if len(found) == 1:
        ((name, tunnel),) = found.items()
        named = {} if name == tunnel_sit.DEFAULTS["name"] else {"name": name}
        return {"ipv6": {"tunnel": {**named, **tunnel}}, "notes": notes}
    return {"ipv6": {"tunnels": found}, "notes": notes}


def _from_files(name: str, stacks: tunnel_stack.Stacks) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """The tunnel as the first stack has it that has it; and whose files cannot be read, and why."""
    held, unread = tunnel_stack.every(name, stacks)
    return next((each.tunnel for each in held.values() if each.tunnel is not None), None), unread


def _from_live(live: Mapping[str, Any]) -> dict[str, Any]:
    """A tunnel that is in no file."""
    link = live["link"]
    tunnel: dict[str, Any] = {"endpoint": link["endpoint"], "local": link["local"], "mtu": link["mtu"]}
    if "dev" in link:
        tunnel["dev"] = link["dev"]
    if link["ttl"]:
        tunnel["ttl"] = link["ttl"]
    words = [route.split() for route in live["routes"] if route.startswith("default")]
    tunnel["routed"] = [route.split()[1] for route in live["routes"] if not route.startswith("default")]
    gateways = [each[each.index("via") + 1] for each in words if "via" in each]
    addresses = list(live["addresses"])
    own = next((each for each in addresses if any(_is_in(gateway, each) for gateway in gateways)), None)
    own = own or next(iter(addresses), None)
    tunnel["addresses"] = [each for each in addresses if each != own]
    if own:
        tunnel["address"] = own
    if gateways:
        tunnel["gateway"] = gateways[0]
    tunnel["routing"] = "none" if not words else "source" if any("from" in each for each in words) else "default"
    if words and "metric" in words[0]:
        tunnel["metric"] = int(words[0][words[0].index("metric") + 1])
    return tunnel


def _is_in(address: str, prefix: str) -> bool:
    return ipaddress.IPv6Address(address) in ipaddress.IPv6Interface(prefix).network


def _short(tunnel: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is a default, and in the order of the reference."""
    local = "auto" if tunnel.get("local") in tunnel_others.OPEN else tunnel["local"]
    whole = {**tunnel, "local": local}
    usual = {**tunnel_sit.DEFAULTS, "mtu": tunnel_sit.CARRIERS[whole["carrier"]]}
    return {
        key: whole[key]
        for key in tunnel_sit.READERS
        if key != "name" and whole.get(key) is not None and whole[key] != usual.get(key)
    }


def _lost(name: str, files: Mapping[str, Any] | None, live: Mapping[str, Any] | None) -> list[str]:
    """What is live, and not in the files: the next boot does not have it, nor this pillar."""
    if not files or not live:
        return []
    try:
        target = tunnel_interface.wanted(tunnel_sit.canonical({**files, "name": name}))
    except SaltInvocationError:
        return []
    extra = [each for part in ("addresses", "routes") for each in live[part] if each not in target[part]]
    return [f"{name}: {each} is live, and not in the files" for each in extra]
