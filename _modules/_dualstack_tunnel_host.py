"""
The 6in4 tunnel of this host, as it is: live in the kernel, and in the files from which the next boot makes it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import _dualstack_host_ip as host_ip
import _dualstack_tunnel_advertisements as tunnel_advertisements
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
from salt.exceptions import CommandExecutionError, SaltInvocationError

Interface = dict[str, Any]  # as tunnel_interface describes it


class Sight(NamedTuple):
    """The result of inspecting this host once."""

    name: str
    configuration: tunnel_stack.Configuration
    links: list[dict[str, Any]]  # all of the host, as ip(8) reports them
    routes: list[dict[str, Any]]  # the IPv6 default routes, likewise
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
    links, routes = _links(), _default_routes()
    return Sight(name, configuration, links, routes, tunnel_interface.parse(name, links, routes))


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
    return links


def _default_routes() -> list[dict[str, Any]]:
    return host_ip.look(["-6", "route", "show", "default"])


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
        target = None if configured is None else tunnel_interface.wanted(_resolved(tunnel_sit.canonical(configured)))
    except (CommandExecutionError, SaltInvocationError) as error:
        return {"configuration": {"old": str(error), "new": ""}}
    if target is not None:
        target = tunnel_interface.renumbered(seen.live, target)  # the old addresses go by themselves
    found = tunnel_interface.differences(seen.live, target)
    settings = tunnel_advertisements.differences(seen.name) if seen.live and target else {}
    if settings and not tunnel_advertisements.refused(seen.name):
        found["settings"] = settings
    return found


def _resolved(tunnel: dict[str, Any]) -> dict[str, Any]:
    return tunnel if tunnel["local"] != "auto" else resolved(tunnel, route_to(tunnel["endpoint"]))


def resolved(tunnel: dict[str, Any], route: dict[str, Any]) -> dict[str, Any]:
    """
    A tunnel with ``local: auto`` replaced by the address that IPv4 packets to its endpoint come from.

    tunnel
        In canonical form.
    route
        The route to its endpoint, from :py:func:`route_to`.

    Raises ``CommandExecutionError`` where the route has no such address.
    """
    if tunnel["local"] != "auto":
        return tunnel
    if "prefsrc" not in route:
        raise CommandExecutionError(f"local: the route to {tunnel['endpoint']} has no source address; give one")
    return {**tunnel, "local": route["prefsrc"]}


def route_to(endpoint: str) -> dict[str, Any]:
    """
    The IPv4 route to the endpoint of a tunnel, as ip(8) reports it.

    endpoint
        The broker's IPv4 address.

    Raises ``CommandExecutionError`` where there is none, where the address is this host's own, and where ip(8) does not
    say.
    """
    try:
        route = host_ip.route(["route", "get", endpoint])
    except host_ip.Nothing as error:
        raise CommandExecutionError(f"endpoint: this host has no route to {endpoint}: {error}") from None
    if route.get("type") == "local" or route.get("dev") == "lo":
        raise CommandExecutionError(f"endpoint: {endpoint} is an address of this host; expected the broker's")
    return route


def status(seen: Sight) -> dict[str, Any]:
    """
    The tunnel as plain data, as :py:func:`he_tunnel.status` returns it.

    seen
        From :py:func:`look`.
    """
    stack, plugin, files, configured, _ = seen.configuration
    changes = differences(seen)
    return {
        "name": seen.name,
        "stack": stack,
        "live": seen.live,
        "configured": configured,
        "files": [path for path, text in files.items() if plugin.parse(seen.name, {path: text})],
        "differences": changes,
        "in_sync": not changes,
    }
