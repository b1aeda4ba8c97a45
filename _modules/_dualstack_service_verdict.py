"""
What listening sockets serve now, and what they will serve when their daemon starts again. It never accesses the host.

A socket on ``::`` serves IPv4 as well unless its ``IPV6_V6ONLY`` is set, ipv6(7). Some daemons set it by themselves,
one way or the other; the others take the kernel's default, ``net.ipv6.bindv6only``, *of the moment in which they
start*: a change of that parameter does not affect a running daemon, but takes effect at its restart, maybe weeks later.
"""

from __future__ import annotations

from typing import Any

import _dualstack_families as families
import _dualstack_service_addresses as service_addresses
import _dualstack_service_sockets as service_sockets
from salt.exceptions import SaltInvocationError


def wildcard(address: str) -> bool:
    """
    Whether an address means all addresses of the host.

    address
        As a socket has it, or a configuration: ``0.0.0.0``, ``::``.
    """
    return address in service_addresses.OTHER


def by_port(sockets: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """
    The sockets, or configured listeners, that are for all addresses, by protocol and port.

    sockets
        Each with ``transport``, ``port`` and ``address``. Those on a single address, loopback for one, are left out.

    Returns ``{"tcp/143": [...]}``, sorted.
    """
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for each in sockets:
        if each["port"] and wildcard(each["address"]):
            found.setdefault((each["transport"], each["port"]), []).append(each)
    return {f"{transport}/{port}": found[transport, port] for transport, port in sorted(found)}


def served(sockets: list[dict[str, Any]], bindv6only: int = 0) -> list[str]:
    """
    The families that sockets or configured listeners of one port serve together.

    sockets
        Each with ``address`` and ``v6only``; where that is ``None``, the kernel decides.
    bindv6only
        The kernel's default, ``net.ipv6.bindv6only``.
    """
    found = {family for each in sockets for family in _families(each, bindv6only)}
    return [family for family in families.FAMILIES if family in found]


def _families(each: dict[str, Any], bindv6only: int) -> list[str]:
    try:
        return service_sockets.families(each["address"], each["v6only"], bindv6only)
    except SaltInvocationError:
        return []  # a host name, in a configuration: depends on what it resolves to


def after_start(
    sockets: list[dict[str, Any]], follows: bool | None, bindv6only: int, shares: bool = False
) -> list[str]:
    """
    The families that the sockets of one port will serve when their daemon has started again.

    sockets
        The live ones, each with ``transport``, ``address`` and ``v6only``, all of one port of one daemon.
    follows
        Whether the daemon leaves ``IPV6_V6ONLY`` to the kernel. ``None``, if that is not known: then the worst is told.
    bindv6only
        The kernel's default at that moment.
    shares
        Whether the daemon permits its sockets to overlap: SO_REUSEPORT, over UDP SO_REUSEADDR.

    Returns an empty list where two sockets collide: bind(2) fails with EADDRINUSE then, and most daemons do not start.
    Where two overlap already, the daemon has permitted that.
    """
    then = sockets
    if follows is not False:
        then = [{**each, "v6only": None} if each["address"] == "::" else each for each in sockets]
    clash = collide(then, bindv6only) or follows is None and _overlap(then, bindv6only)
    if clash and not shares and not _overlap(sockets, 1):
        return []
    return served(then, bindv6only)


def collide(sockets: list[dict[str, Any]], bindv6only: int) -> bool:
    """
    Whether a socket on ``0.0.0.0`` and one on ``::`` for both families claim the same TCP port.

    sockets
        Sockets or configured listeners of one port.
    bindv6only
        The kernel's default, for those that use it.

    UDP sockets of daemons with a plug-in set SO_REUSEADDR, and may overlap.
    """
    return _overlap([each for each in sockets if each["transport"] == "tcp"], bindv6only)


def _overlap(sockets: list[dict[str, Any]], bindv6only: int) -> bool:
    four = any(each["address"] == "0.0.0.0" for each in sockets)
    return four and any(len(served([each], bindv6only)) == 2 for each in sockets if each["address"] == "::")
