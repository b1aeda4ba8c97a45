"""
What is expected of the firewall, with what depends on this host: the interface, and its own address.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import _dualstack_firewall_expectations as firewall_expectations
import _dualstack_host_management as host_management
import _dualstack_host_routes as host_routes
from salt.exceptions import SaltInvocationError

# Hosts that stand for one anywhere: ordinary ones in three regions, since rules often drop what documentation uses
# (RFC 5737, RFC 3849). And this host while it has no address yet. Nothing is ever sent to any of them.
ANYWHERE = {
    "ipv4": ("193.0.6.139", "199.212.0.46", "203.119.101.61"),
    "ipv6": ("2001:67c:2e8:22::1", "2001:500:4:201::46", "2001:dc0:2001:11::194"),
}
OUTSIDE = {family: hosts[0] for family, hosts in ANYWHERE.items()}
HERE = {"ipv4": "193.0.6.2", "ipv6": "2001:67c:2e8:22::2"}
LOOPBACK = {"ipv4": "127.0.0.1", "ipv6": "::1"}


class More(TypedDict, total=False):
    """What only some expectations have."""

    via: str  # as in a wish
    behind: str  # this host's address, where the destination is that of another one, which it forwards to
    others: list[str]  # more hosts from which (or to which) the same packet is sent


class Expectation(More):
    """A packet, and the expected verdict on it and its answer; the keys are those of a wish."""

    family: str
    direction: str
    protocol: str
    source: str
    destination: str
    port: int | None
    interface: str
    verdict: str
    why: str


def expectations(
    expect: list[dict[str, Any]],
    tunnel: dict[str, Any] | None = None,
    managed: Sequence[host_management.Connection] = (),
    asked: Sequence[host_management.Connection] = (),
    anywhere: Mapping[str, Sequence[str]] = ANYWHERE,
) -> list[Expectation]:
    """
    All expectations of this host's firewall: that the host stays manageable, and those of the user.

    expect
        As :py:func:`firewall_expectations.read` takes it.
    tunnel
        The pillar's ``ipv6:tunnel``. IPv6 without a route is expected to come by it.
    managed
        The connections that this host is managed by: they are expected without being listed, and come first.
    asked
        Connections of which nothing is expected (``any``): they come next.
    anywhere
        The hosts of each family that stand for one anywhere; by default some of ours.

    Returns expectations, one for each family, host and port. Raises ``SaltInvocationError`` for a malformed list,
    ``CommandExecutionError`` without ip(8).
    """
    wishes, problems = firewall_expectations.read(expect)
    if problems:
        raise SaltInvocationError("\n".join(f"expect{problem}" for problem in problems))
    route = functools.cache(host_routes.to)
    expected = [_wish(each, "accept") for each in managed] + [_wish(each, "any") for each in asked]
    hosts = {family: list(anywhere.get(family) or ANYWHERE[family]) for family in ANYWHERE}
    return [_resolved(wish, tunnel or {}, route, hosts) for wish in [*expected, *wishes]]


def _wish(connection: host_management.Connection, verdict: str) -> firewall_expectations.Wish:
    return {
        "family": connection.family,
        "direction": connection.direction,
        "protocol": "tcp",
        "own": connection.own,
        "remote": connection.remote,
        "port": connection.port,
        "interface": connection.interface,
        "verdict": verdict,
        "why": connection.why,
    }


def _resolved(
    wish: firewall_expectations.Wish,
    tunnel: dict[str, Any],
    route: Callable[..., host_routes.Route],
    anywhere: Mapping[str, Sequence[str]],
) -> Expectation:
    """A wish completed with what depends on the live host."""
    family, interface = wish["family"], wish["interface"]
    remote = wish["remote"] or (LOOPBACK[family] if interface == "lo" else anywhere[family][0])
    outside = anywhere[family][0] if remote == firewall_expectations.NEIGHBOUR else remote
    found = route(outside, interface)
    tunnels = tunnel.get("name", "he-ipv6") if tunnel and family == "ipv6" else None
    interface = interface or found.interface or tunnels or route(anywhere["ipv4"][0], None).interface or "eth0"
    on_its_way = found.interface == interface
    here = found.source if on_its_way else host_routes.address(interface, family)
    if not here and interface == tunnels:
        here = tunnel.get("source") or next(iter([*(tunnel.get("addresses") or []), tunnel.get("address")]))
    here = (here or HERE[family]).partition("/")[0]
    own = wish["own"] or here
    source, destination = (own, remote) if wish["direction"] == "out" else (remote, own)
    more: More = {}
    if wish.get("via"):
        more["via"] = wish["via"]
    if wish.get("via") == firewall_expectations.FORWARD and own != here and not route(own, None).local:
        more["behind"] = here
    if remote in (OUTSIDE[family], anywhere[family][0]) and interface != "lo":
        more["others"] = [each for each in anywhere[family] if each != remote]
    return {
        **more,
        "family": family,
        "direction": wish["direction"],
        "protocol": wish["protocol"],
        "source": source,
        "destination": destination,
        "port": wish["port"],
        "interface": interface,
        "verdict": wish["verdict"],
        "why": wish["why"],
    }
