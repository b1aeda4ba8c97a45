"""
The part ``tunnels`` of the pillar, several tunnels: what is wrong with each, and with them together.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import _dualstack_broker_settings as broker_settings
import _dualstack_settings_tunnels as settings_tunnels
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_wireguard as tunnel_wireguard

Check = Callable[[Mapping[str, Any]], list[str]]


def errors(tunnels: Mapping[Any, Any], check: Check) -> Iterator[str]:
    """
    The errors in the tunnels.

    tunnels
        The part: by the name of its interface, each as the part ``tunnel``.
    check
        The errors in one tunnel.

    Yields sentences that begin with the key in the part.
    """
    valid: dict[str, dict[str, Any]] = {}
    for name, part in tunnels.items():
        if not isinstance(part, Mapping):
            yield f"{name}: expected a mapping of the tunnel's numbers, found a {type(part).__name__}"
            continue
        said = check({**part, "name": name})
        yield from (
            f"{name}{each.removeprefix('name')}" if each.startswith("name:") else f"{name}:{each}" for each in said
        )
        if part.get("name") not in (None, name):
            yield f"{name}:name: {part['name']!r} is not {name!r}, the key, which is the interface; leave the name out"
        elif not said:
            # What a broker knows may be missing, and nobody be there yet who remembers it.
            for tunnel in settings_tunnels.entries({settings_tunnels.SEVERAL: {name: part}}).values():
                valid.update({name: tunnel_sit.canonical(tunnel)} if not _incomplete(tunnel) else {})
    for number, (name, tunnel) in enumerate(valid.items()):
        for other, before in list(valid.items())[:number]:
            yield from (
                f"{name}:{each}" for each in _collisions(tunnel, before, f"ipv6:{settings_tunnels.SEVERAL}:{other}")
            )


def _incomplete(tunnel: Mapping[str, Any]) -> bool:
    return any(tunnel.get(key) is None for key in broker_settings.FILLED) and broker_settings.wired(tunnel)


def _collisions(tunnel: dict[str, Any], other: dict[str, Any], place: str) -> Iterator[str]:
    """What one host, or its kernel, cannot have twice."""
    locals_ = {tunnel["local"], other["local"]}
    same = (tunnel["endpoint"], tunnel["carrier"]) == (other["endpoint"], other["carrier"])
    if same and tunnel["carrier"] != tunnel_wireguard.CARRIER:
        if len(locals_) == 1 or "auto" in locals_:
            yield f"endpoint: {tunnel['endpoint']} is also that of {place}, from the same address; only one is allowed"
    port, held = ((each.get(tunnel_wireguard.CARRIER) or {}).get("listen_port") for each in (tunnel, other))
    if port and port == held:
        yield f"wireguard: listen_port: {port} is also that of {place}; expected another, or 0 for one that is free"
    for address in [each for each in settings_tunnels.hosts(tunnel) if each in settings_tunnels.hosts(other)]:
        key = "address" if address == tunnel["address"].partition("/")[0] else "addresses"
        yield f"{key}: {address} is also an address of {place}"
    for one in map(ipaddress.IPv6Network, tunnel["routed"]):
        for two in map(ipaddress.IPv6Network, other["routed"]):
            if one.overlaps(two):
                yield f"routed: {one} is also routed by {place}" + ("" if one == two else f", as {two}")
    taken = {_for(route) for route in other["routes"]}
    shared = [each for each in map(_for, tunnel["routes"]) if each in taken]
    if ("", tunnel["metric"]) in shared:
        yield (
            f"routing: default, with the metric {tunnel['metric']}, is also that of {place}: packets take one of them; "
            "expected another metric, or 'routing: source', by which each has the packets from its own addresses"
        )
    for prefix in [prefix for prefix, _ in shared if prefix]:
        yield f"addresses: {prefix} is also a prefix of {place}, with the same metric: its packets can take one of them"


def _for(route: str) -> tuple[str, int]:
    """Where the packets come from that a default route is for, and its metric."""
    words = route.split()
    return words[2] if words[1] == "from" else "", int(words[-1])
