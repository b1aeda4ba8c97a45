"""
The 6in4 tunnel of this host, as it is: live in the kernel, and in the files from which the next boot makes it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import _dualstack_host_ip as host_ip
import _dualstack_tunnel_advertisements as tunnel_advertisements
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_keys as tunnel_keys
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
from salt.exceptions import CommandExecutionError, SaltInvocationError

Interface = dict[str, Any]  # as tunnel_interface describes it
RECORD, UNKNOWN, KNOWN = "record", "unaware of it", "aware of it"  # of the network stack


class Sight(NamedTuple):
    """The result of inspecting this host once."""

    name: str
    configuration: tunnel_stack.Configuration
    links: list[dict[str, Any]]  # all of the host, as ip(8) reports them
    routes: list[dict[str, Any]]  # the IPv6 default routes, likewise, and those of the kind `unreachable`
    live: Interface | None


def look(name: str, stack: str, stacks: tunnel_stack.Stacks) -> Sight:
    """
    Inspect a tunnel.

    name
        The interface.
    stack
        Which network stack configures the host, or ``auto``.
    stacks
        The available network stacks.

    Raises ``CommandExecutionError`` where none of them configures this host.
    """
    configuration = tunnel_stack.read(name, stack, stacks)
    links, routes = surroundings()
    return Sight(name, configuration, links, routes, tunnel_interface.parse(name, links, routes))


def surroundings() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All interfaces of this host, and its IPv6 default routes, as ip(8) reports them."""
    return _links(), _default_routes()


def live(name: str) -> Interface | None:
    """
    A live interface; ``None`` if there is none of that name.

    name
        The interface.
    """
    return tunnel_interface.parse(name, _links(), _default_routes())


def _links() -> list[dict[str, Any]]:
    links = host_ip.look(["-d", "addr", "show"])
    if not links:
        raise CommandExecutionError("'ip -j -d addr show' printed no interface, and every host has one: lo")
    return tunnel_keys.completed(links)


def _default_routes() -> list[dict[str, Any]]:
    found = host_ip.look(["-6", "route", "show", "default"])
    refusing = host_ip.look(["-6", "route", "show", "type", tunnel_interface.REFUSING])
    return [*(hop for each in found if each.get("type") != tunnel_interface.REFUSING for hop in _hops(each)), *refusing]


def _hops(route: dict[str, Any]) -> list[dict[str, Any]]:
    """A route as one of each of its next hops: of two routers that announce themselves, the kernel makes one route."""
    hops = [each for each in route.get("nexthops", []) if isinstance(each, dict)]
    return [{**{key: value for key, value in route.items() if key != "nexthops"}, **each} for each in hops] or [route]


def differences(seen: Sight) -> dict[str, Any]:
    """
    The differences between the live tunnel and its configuration.

    seen
        From :py:func:`look`.

    Returns ``{part: {thing: {"old": ..., "new": ...}}}``. If the configuration is invalid, its errors are the ``old``
    value of the part ``configuration``.
    """
    configured = seen.configuration.tunnel
    try:
        declared = None if configured is None else tunnel_sit.canonical(configured)
    except SaltInvocationError as error:
        return {"configuration": {"old": str(error), "new": ""}}
    target = None
    if declared is not None:
        try:
            target = wanted(declared, seen.configuration)
        except CommandExecutionError as error:  # of its keys
            return {"configuration": {"old": str(error), "new": ""}}
        target = tunnel_interface.renumbered(seen.live, target)  # the old addresses go by themselves
    found = tunnel_interface.differences(seen.live, target)
    settings = tunnel_advertisements.differences(seen.name) if seen.live and target else {}
    if settings and not tunnel_advertisements.refused(seen.name):
        found["settings"] = settings
    return {**found, **record(seen, target is not None)}


def wanted(tunnel: dict[str, Any], configuration: tunnel_stack.Configuration) -> Interface:
    """
    The interface that a tunnel declares on this host.

    tunnel
        In canonical form.
    configuration
        Of its network stack.

    Raises ``CommandExecutionError`` where its keys cannot be read.
    """
    return tunnel_keys.keyed(tunnel_interface.wanted(tunnel, configuration.deprecates), tunnel)


def record(seen: Sight, wanted: bool) -> dict[str, Any]:
    """
    Whether the network stack knows of the live tunnel. One that it does not know of is not taken down with the others,
    and is in the way when it would be brought up.

    seen
        From :py:func:`look`.
    wanted
        Whether there is to be a tunnel.

    Returns ``{}`` if it knows what is so, or cannot be asked; otherwise ``{"record": {stack: {"old": ..., "new":
    ...}}}``.
    """
    known, stack = seen.configuration.known, seen.configuration.stack
    if known is None:
        return {}
    if seen.live and wanted and not known:
        return {RECORD: {stack: {"old": UNKNOWN, "new": KNOWN}}}
    if not wanted and known and not seen.live:  # else it is taken down by it, which says as much
        return {RECORD: {stack: {"old": KNOWN, "new": UNKNOWN}}}
    return {}


def assigned(address: str) -> bool:
    """
    Whether an IPv4 address is one of this host's.

    address
        The address.

    Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    return any(each["local"] == address for link in _links() for each in link.get("addr_info", []))


def route_to(endpoint: str, local: str | None = tunnel_stack.AUTO, dev: str | None = None) -> dict[str, Any]:
    """
    The IPv4 route to the endpoint of a tunnel, as ip(8) reports it.

    endpoint
        The broker's IPv4 address.
    local
        The address that the packets come from, by which rules may choose another route; ``auto``, whatever the kernel
        takes.
    dev
        The device that the tunnel is bound to, as its ``dev`` says. The kernel then takes a route by this device, of
        the table of the VRF that it is in. ``None``, any.

    Raises ``CommandExecutionError`` where there is none, where the address is this host's own, and where ip(8) does not
    say.
    """
    origin = [] if local in (None, tunnel_stack.AUTO, tunnel_interface.ANY) else ["from", str(local)]
    origin += ["oif", dev] if dev else []
    try:
        route = host_ip.route(["route", "get", endpoint, *origin])
        if dev and "gateway" not in route:
            # Without any route by that device, the kernel takes the endpoint for a neighbour there.
            if not any(each["ifname"] == route["dev"] and "POINTOPOINT" in each["flags"] for each in _links()):
                host_ip.look(["route", "get", "fibmatch", endpoint, *origin])
    except host_ip.Nothing as error:
        said = f"endpoint: this host has no route to {endpoint}{' '.join(['', *origin])}: {error}"
        raise CommandExecutionError(said) from None
    if route.get("type") == "local" or route.get("dev") == "lo":
        raise CommandExecutionError(f"endpoint: {endpoint} is an address of this host; expected the broker's")
    return route


def status(seen: Sight) -> dict[str, Any]:
    """
    The tunnel as plain data, as :py:func:`he_tunnel.status` returns it.

    seen
        From :py:func:`look`.
    """
    configuration = seen.configuration
    changes = differences(seen)
    parse = configuration.plugin.parse
    return {
        "name": seen.name,
        "stack": configuration.stack,
        "reason": configuration.reason,
        "live": seen.live,
        "configured": configuration.tunnel,
        "files": [path for path, text in configuration.files.items() if parse(seen.name, {path: text})],
        "differences": changes,
        "in_sync": not changes,
        "unread": list(configuration.unread),
    }
