"""
What is expected of the firewall, with what depends on this host: the interface, and its own address.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import _dualstack_firewall_expectations as firewall_expectations
import _dualstack_host_management as host_management
import _dualstack_host_routes as host_routes
from salt.exceptions import SaltInvocationError

# A host anywhere, and this host while it has no address yet: RFC 5737, RFC 3849.
OUTSIDE = {"ipv4": "198.51.100.1", "ipv6": "2001:db8:ffff::1"}
HERE = {"ipv4": "198.51.100.2", "ipv6": "2001:db8:ffff::2"}
LOOPBACK = {"ipv4": "127.0.0.1", "ipv6": "::1"}


class Expectation(TypedDict):
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

    Returns expectations, one for each family, host and port. Raises ``SaltInvocationError`` for a malformed list,
    ``CommandExecutionError`` without ip(8).
    """
    wishes, problems = firewall_expectations.read(expect)
    if problems:
        raise SaltInvocationError("\n".join(f"expect{problem}" for problem in problems))
    route = functools.cache(host_routes.to)
    expected = [_wish(each, "accept") for each in managed] + [_wish(each, "any") for each in asked]
    return [_resolved(wish, tunnel or {}, route) for wish in [*expected, *wishes]]


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
    wish: firewall_expectations.Wish, tunnel: dict[str, Any], route: Callable[..., host_routes.Route]
) -> Expectation:
    """A wish completed with what depends on the live host."""
    family, interface = wish["family"], wish["interface"]
    remote = wish["remote"] or (LOOPBACK if interface == "lo" else OUTSIDE)[family]
    outside = OUTSIDE[family] if remote == firewall_expectations.NEIGHBOUR else remote
    found = route(outside, interface)
    tunnels = tunnel.get("name", "he-ipv6") if tunnel and family == "ipv6" else None
    interface = interface or found.interface or tunnels or route(OUTSIDE["ipv4"], None).interface or "eth0"
    on_its_way = found.interface == interface
    own = wish["own"] or (found.source if on_its_way else host_routes.address(interface, family))
    if not own and interface == tunnels:
        own = tunnel.get("source") or next(iter([*(tunnel.get("addresses") or []), tunnel.get("address")]))
    own = (own or HERE[family]).partition("/")[0]
    source, destination = (own, remote) if wish["direction"] == "out" else (remote, own)
    return {
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
