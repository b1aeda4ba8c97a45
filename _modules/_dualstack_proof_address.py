"""
The published address on this host: that it can be used by others, and how its packets leave.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Collection, Sequence
from typing import Any

import _dualstack_converge as converge
import _dualstack_host_ip as host_ip
import _dualstack_host_routes as host_routes
import _dualstack_host_time as host_time

DETECTION = 3.0  # seconds that duplicate address detection takes at most, with the kernel's settings (RFC 4862)
PAUSE = 0.2  # seconds
# Why an address is not one to be published, as ip(8) has it. (RFC 4862, section 5.5.4; RFC 8981 for temporary ones.)
UNFIT = {
    "dadfailed": "is a duplicate: another host has it",
    "tentative": "is tentative: whether another host has it is not known yet",
    "deprecated": "is deprecated: it is about to go away",
    "temporary": "is a temporary address, which changes",
}


def assigned(address: str, deprecated: Collection[str] = ()) -> converge.Finding:
    """
    Whether this host has an address, and one that others can use.

    address
        Of IPv6, without a prefix length.
    deprecated
        Addresses that may be deprecated: those of a tunnel that only its declared source is to leave by.

    One that is tentative is waited for.
    """
    end = time.monotonic() + host_time.left(DETECTION)
    while True:
        held = _held(address)
        if not any(each.get("tentative") and not each.get("dadfailed") for each in held) or time.monotonic() > end:
            break
        time.sleep(PAUSE)
    if not held:
        return converge.Finding(False, f"{address} is not an address of this host")
    wrong = [said for each in held for said in _unfit(each, address in deprecated)]
    if len(wrong) == len(held) or any(each.get("dadfailed") for each in held):
        return converge.Finding(False, f"{address} {wrong[0]}")
    return converge.Finding(True, f"{address} is on {', '.join(each['dev'] for each in held)}, and can be used")


def _held(address: str) -> list[dict[str, Any]]:
    wanted = ipaddress.IPv6Address(address)
    return [
        {**each, "dev": link["ifname"], "up": "UP" in link["flags"]}
        for link in host_ip.look(["addr", "show"])
        for each in link.get("addr_info", [])
        if each["family"] == "inet6" and ipaddress.IPv6Address(each["local"]) == wanted
    ]


def _unfit(held: dict[str, Any], may_be_deprecated: bool) -> list[str]:
    if not held["up"]:
        return [f"is on {held['dev']}, which is down"]
    if held["scope"] != "global":
        return [f"has the scope {held['scope']}"]
    found = [
        words for flag, words in UNFIT.items() if held.get(flag) and not (flag == "deprecated" and may_be_deprecated)
    ]
    return found[:1]


def leaving(address: str, beyond: Sequence[str] = (), interface: str | None = None) -> converge.Finding:
    """
    Whether what comes from an address leaves this host for the IPv6 internet. No packet is sent.

    address
        Of this host.
    beyond
        Where to: the first of these that is neither this host nor a neighbour of it; by default any global address.
    interface
        The only one that leads there: the tunnel's, for an address of its own.
    """
    goal = next(
        (each for each in beyond if not (host_routes.to(each).local or host_routes.on_link(each))), host_routes.ANYWHERE
    )
    packets = f"packets from {address} to {'the IPv6 internet' if goal == host_routes.ANYWHERE else goal}"
    try:
        found = host_ip.route(["-6", "route", "get", goal, "from", address])
    except host_ip.Nothing as error:
        return converge.Finding(False, f"{packets} have no route: {error}")
    way = " ".join(f"{key} {found[key]}" for key in ("gateway", "dev", "metric") if key in found)
    if found.get("type") == "local" or found["dev"] == "lo":
        return converge.Finding(False, f"{packets} do not leave this host: {way}")
    if "linkdown" in found.get("flags", []) or "dead" in found.get("flags", []):
        return converge.Finding(False, f"{packets} leave by an interface that has no link: {way}")
    if interface and found["dev"] != interface:
        return converge.Finding(
            False, f"{packets} do not leave by {interface}, but by another route that comes first: {way}"
        )
    return converge.Finding(True, f"{packets} leave: {way}")
