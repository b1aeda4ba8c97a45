"""
The other tunnels of a host, beside those that are declared: those that are up, with their ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import _dualstack_host_ip as host_ip
import _dualstack_tunnel_others as tunnel_others

Tunnel = dict[str, Any]


def others(declared: Sequence[Mapping[str, Any]]) -> list[Tunnel]:
    """
    The other tunnels that are up.

    declared
        Each with its ``name``.

    Returns for each its ``interface``; its ``kind``; its ends, ``local`` and ``remote``, ``None`` where ip(8) does not
    show one; its global IPv6 ``addresses``; the ``metrics`` of its IPv6 default routes for packets from anywhere; and
    whether it is a ``rival``, since such a route comes before that of a declared tunnel, or is as good. Raises
    ``CommandExecutionError`` where ip(8) does not say.
    """
    names = [str(each["name"]) for each in declared]
    links, routes = host_ip.look(["-d", "addr", "show"]), host_ip.look(["-6", "route", "show", "default"])
    metrics: dict[str, list[int]] = {}
    for each in routes:
        if "dev" in each and "from" not in each:
            metrics.setdefault(each["dev"], []).append(each.get("metric", 0))
    ours = min((metric for name in names for metric in metrics.get(name, [])), default=None)
    return [
        _described(each, metrics.get(each["ifname"], []), ours)
        for each in links
        if each["ifname"] not in names and "UP" in each["flags"] and tunnel_others.is_tunnel(each)
    ]


def _described(link: Mapping[str, Any], metrics: list[int], ours: int | None) -> Tunnel:
    data = link["linkinfo"].get("info_data", {})
    ends = {end: data.get(end) if data.get(end) not in tunnel_others.OPEN else None for end in ("local", "remote")}
    return {
        "interface": link["ifname"],
        "kind": link["linkinfo"]["info_kind"],
        **ends,
        "addresses": [
            f"{each['local']}/{each['prefixlen']}"
            for each in link.get("addr_info", [])
            if each["family"] == "inet6" and each["scope"] == "global"
        ],
        "metrics": metrics,
        "rival": ours is not None and any(each <= ours for each in metrics),
    }


def sentence(tunnel: Tunnel) -> str:
    """
    A tunnel in words.

    tunnel
        From :py:func:`others`.
    """
    ends = " ".join(f"{word} {tunnel[end]}" for word, end in (("from", "local"), ("to", "remote")) if tunnel[end])
    held = f", with {', '.join(tunnel['addresses'])}" if tunnel["addresses"] else ""
    routes = f", and an IPv6 default route of metric {min(tunnel['metrics'])}" if tunnel["metrics"] else ""
    return f"another tunnel is up: {tunnel['interface']}, {tunnel['kind']}{f' {ends}' if ends else ''}{held}{routes}"
