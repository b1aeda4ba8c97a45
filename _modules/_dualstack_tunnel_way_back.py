"""
Whether those who manage this host, and its name servers, are still reached as they are now when the tunnel, or an
interface of the hoster's, has changed.

Packets to them must not begin to leave by it: whoever is connected would never see another answer. Nor may the address
go at which somebody is connected.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import _dualstack_host_ip as host_ip
import _dualstack_host_peers as host_peers
import _dualstack_host_ways as host_ways
import _dualstack_tunnel_interface as tunnel_interface
from salt.exceptions import CommandExecutionError

Interface = dict[str, Any]  # as tunnel_interface describes it
Peers = Callable[[], list[host_peers.Peer]]  # not asked for unless something changes: looking for them takes time


def check(name: str, live: Interface | None, target: Interface | None, peers: Peers, tunnel: bool = True) -> list[str]:
    """
    Refuse a change that takes a way back.

    name
        The interface.
    live, target
        As it is, and as it is to be; ``None`` for none.
    peers
        Everybody whom this host must not lose.
    tunnel
        Whether it is a tunnel, which has other keys that may help.

    Returns warnings: what could not be found out. Raises ``CommandExecutionError``, with a line about each who would be
    lost, which begins with the key of the pillar that helps, if one does.
    """
    changes = tunnel_interface.commands(name, live, target)
    found = peers() if changes else []
    if target is None:  # whoever removes the tunnel knows that its name servers are not reached by it any more
        found = [each for each in found if each.manages]
    if not found:
        return []
    problems = [f"address: {said}" for each in found if (said := _leaves(each, name, live, target))]
    unknown = "a copy of this host's network decides otherwise"
    try:
        foreseen = host_ways.foresee([each.flow for each in found], name, changes)
    except host_ways.NoCopy as error:
        foreseen, unknown = [host_ways.Foreseen(None, None, known=False)] * len(found), str(error)
    ways = [way if way.known else _presumed(each.flow, name, target) for each, way in zip(found, foreseen)]
    problems += [_said(*each, name, target, tunnel) for each in zip(found, ways) if _is_lost(*each, name)]
    if problems:
        raise CommandExecutionError("\n".join(dict.fromkeys(problems)))
    said = "whether it is still reached as it is now is not known"
    return [f"{peer.who}: {said}: {unknown}" for peer, way in zip(found, ways) if not way.known]


def _presumed(flow: host_ways.Flow, name: str, target: Interface | None) -> host_ways.Foreseen:
    """
    The ways of packets where the kernel cannot be asked: by the tunnel if its prefixes or a smaller metric say so, even
    if a rule or another address says otherwise.
    """
    now = host_ways.now(flow)
    if now is None or target is None:
        return host_ways.Foreseen(now, now, known=False)
    reached = host_ip.look(["-6", "route", "get", "fibmatch", flow.remote, *(["from", flow.own] if flow.own else [])])
    metric = max((each.get("metric", 0) for each in reached if each.get("dst") == "default"), default=-1)
    first = [each for each in target["routes"] if each.split()[1] == "via" and int(each.split()[-1]) <= metric]
    if first or _prefix_of(flow, target):
        return host_ways.Foreseen(now, host_ways.Way(name, flow.own), known=True)
    return host_ways.Foreseen(now, now, known=False)


def _is_lost(peer: host_peers.Peer, way: host_ways.Foreseen, name: str) -> bool:
    if way.now is None or way.then == way.now or not way.known:
        return False
    if way.then is None:
        return True
    if way.then.interface == way.now.interface:  # from another address
        return not peer.answered and way.now.interface != name
    # What this host sends by itself may leave the tunnel, and come from another address: that is asked for.
    return peer.answered or way.now.interface != name


def _leaves(peer: host_peers.Peer, name: str, live: Interface | None, target: Interface | None) -> str:
    """Said if the address goes at which somebody is connected."""
    own = peer.flow.own
    if own not in _hosts(live) or own in _hosts(target):
        return ""
    return (
        f"{own} on {name} would go, and {peer.who} is connected to it; "
        "connect to an address of this host that stays, for instance over IPv4"
    )


def _hosts(interface: Interface | None) -> list[str]:
    return [each.partition("/")[0] for each in (interface or {"addresses": {}})["addresses"]]


def _said(peer: host_peers.Peer, way: host_ways.Foreseen, name: str, target: Interface | None, tunnel: bool) -> str:
    now, then = way.now, way.then
    assert now is not None
    lost = f"{peer.who}: packets there leave by {now.interface} from {now.source}, and with this change "
    if then is None:
        return f"{lost}they would have no way"
    lost += f"they would leave by {then.interface}{f' from {then.source}' if then.source else ''}"
    if then.interface != name or target is None:
        return lost
    prefix = _prefix_of(peer.flow, target)
    if prefix:
        where = "at the other end of the tunnel" if tunnel else f"at the link of {name}; expected it with /128"
        return f"address: {lost}: {prefix} says that this whole prefix is {where}"
    metrics = [
        each.get("metric", 0) for each in host_ip.look(["-6", "route", "show", "default"]) if _is_other(each, name)
    ]
    if not metrics:
        return f"routing: {lost}; expected 'source'" if tunnel else f"gateway: {lost}"
    return (
        f"metric: {lost}: this host has an IPv6 default route of its own, of metric {max(metrics)}, and the least "
        f"comes first; expected more than {max(metrics)}{', or ' + repr('routing: source') if tunnel else ''}"
    )


def _is_other(route: dict[str, Any], name: str) -> bool:
    return route.get("dev") != name and "from" not in route


def _prefix_of(flow: host_ways.Flow, target: Interface) -> str:
    """The address of the tunnel whose prefix somebody is in; empty if there is none."""
    remote = ipaddress.IPv6Address(flow.remote)
    return next((each for each in target["addresses"] if remote in ipaddress.IPv6Interface(each).network), "")
