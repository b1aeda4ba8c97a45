"""
What the files of a tunnel's own have in common, whatever the network stack: their first line, what they remember, and
what is said where others have the tunnel. PURE: never accesses the host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

MARK = "# Managed by Salt (he_tunnel)"
HEADER = f"{MARK}. Changes here are overwritten: they belong in the pillar, ipv6:tunnel.\n"
NO_LOCAL = ("any", "auto")  # no address of its own: the kernel takes the route's, and the file has no line for it
UNROUTED = re.compile(r"^ *# without a route: gateway (\S+) metric (\d+)$", re.MULTILINE)


def foreign(name: str, place: str, to: str = "") -> str:
    """
    That somebody else has configured a tunnel, and what can be done.

    name
        The interface.
    place
        Where.
    to
        The files to which it would move; empty if it stays where it is.
    """
    moved = f", from there to {to}" if to else ""
    return (
        f"{name} is already configured in {place}, and not by he_tunnel; "
        f"'adopt: true' lets he_tunnel take it over{moved}"
    )


def unrouted(tunnel: Mapping[str, Any]) -> list[str]:
    """
    What a file remembers of a tunnel without routes: the broker's end, which is pinged, and the metric of no route.

    tunnel
        In canonical form.
    """
    if tunnel["routing"] != "none" or not tunnel.get("gateway"):
        return []
    return [f"# without a route: gateway {tunnel['gateway']} metric {tunnel['metric']}"]


def remembered(text: str) -> dict[str, Any]:
    """
    The ``gateway`` and the ``metric`` from there; empty if it has none, or is no file of our own.

    text
        The file's.
    """
    found = UNROUTED.search(text) if text.startswith(MARK) else None
    return {"gateway": found[1], "metric": int(found[2])} if found else {}


def routes_from(prefix: str, tunnel: Mapping[str, Any]) -> bool:
    """
    Whether packets from a prefix, a LAN's for instance, have a route of the declared tunnel's.

    prefix
        As it is in a file; it may be anything.
    tunnel
        In canonical form.
    """
    try:
        wanted = ipaddress.IPv6Network(prefix, strict=False)
    except ValueError:
        return False
    words = [each.split() for each in tunnel["routes"]]
    return any(wanted.subnet_of(ipaddress.IPv6Network(each[2])) for each in words if each[1] == "from")
