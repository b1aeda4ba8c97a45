"""
The ladder by which a tunnel is proven, from the device on this host to what lies beyond the broker.

Each rung looks at one thing, changes nothing, and says in its own words what is wrong. All return ``holds``,
``summary``, and ``warnings`` where something is amiss that does not bring the tunnel down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "tunnel_ladder"

HEADERS = 48  # bytes that IPv6 and ICMPv6 put in front of an echo request's data
UNUSABLE = ("tentative", "dadfailed")  # what keeps an address from being used, as ip(8) has it
ANYWHERE = "2000::"  # the first address of the global unicast space; a route is looked up, nothing is sent


def device(name: str = "he-ipv6") -> dict[str, Any]:
    """
    The first rung: the live interface is what its configuration says, and every address of it can be used.

    name
        The interface.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ladder.device
    """
    status = __salt__["he_tunnel.status"](name)
    if status["configured"] is None:
        return _rung(False, f"{name} is not configured on this host")
    if status["live"] is None:
        return _rung(False, f"{name} does not exist on this host")
    found = said(status["differences"])
    held = __salt__["host_commands.ip"](["-6", "addr", "show", "dev", name])
    addresses = [each for link in held for each in link.get("addr_info", [])]
    for each in addresses:
        found += [f"{each['local']} is {flag}, and cannot be used" for flag in UNUSABLE if each.get(flag)]
    if found:
        return _rung(False, f"{name} is not what its configuration says: {'; '.join(found)}")
    link = status["live"]["link"]
    ends = f"from {link['local']} to {link['endpoint']}, TTL {link['ttl']}, MTU {link['mtu']}"
    return _rung(True, f"{name} is up as configured: {ends}, with {', '.join(status['live']['addresses'])}")


def said(differences: dict[str, Any]) -> list[str]:
    """
    The differences between an interface and its configuration, in words.

    differences
        From ``he_tunnel.status``.

    CLI Example:

    .. code-block:: bash

        salt-call tunnel_ladder.said '{link: {mtu: {old: 1400, new: 1480}}}'
    """
    if "configuration" in differences:
        return [differences["configuration"]["old"]]
    return [
        f"{thing} is {change['old']}, expected {change['new']}"
        for part in differences.values()
        for thing, change in part.items()
    ]


def published(name: str = "he-ipv6") -> str:
    """
    The address that this host is known by where nothing else is declared: the one that its connections come from.

    name
        The interface.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ladder.published
    """
    return str(_tunnel(name)["source"])


def route(name: str = "he-ipv6", beyond: list[str] | None = None, source: str | None = None) -> dict[str, Any]:
    """
    The second rung: what goes beyond the broker leaves by the tunnel, and comes from the declared address.

    name
        The interface.
    beyond
        IPv6 addresses; the first is looked up. By default any global address.
    source
        The address that packets come from, where the tunnel has ``routing: source``; by default the tunnel's.

    No packet is sent: this is the kernel's own decision, as ``ip route get`` tells it.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ladder.route
    """
    tunnel = _tunnel(name)
    if tunnel["routing"] == "none":
        return _rung(True, f"no route is wanted: {name} has routing: none")
    target = [*_targets(beyond), ANYWHERE][0]
    by_source = tunnel["routing"] == "source"
    origin = _source(source) or tunnel["source"]
    asked = ["-6", "route", "get", target, *(["from", origin] if by_source else [])]
    try:
        found = __salt__["host_commands.ip"](asked)[0]
    except CommandExecutionError as error:
        return _rung(False, f"this host has no route to {target}: {error}")
    words = f"packets{f' from {origin}' if by_source else ''} to {target}"
    if found.get("dev") != name:
        way = " ".join(f"{key} {found[key]}" for key in ("gateway", "dev", "metric") if key in found)
        return _rung(False, f"{words} do not leave by {name}, but by another route that comes first: {way}")
    if by_source:
        return _rung(True, f"{words} leave by {name}")
    chosen = found.get("prefsrc")
    if chosen != tunnel["source"]:
        return _rung(
            False,
            f"{words} leave by {name}, but come from {chosen} instead of {tunnel['source']}: "
            "the kernel prefers another address, which is not deprecated as it should be, or was added later",
        )
    return _rung(True, f"{words} leave by {name} and come from {chosen}")


def endpoint(name: str = "he-ipv6") -> dict[str, Any]:
    """
    The third rung: the broker is reached over IPv4.

    name
        The interface.

    An endpoint that answers no pings is one where the broker's end answers through the tunnel.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ladder.endpoint
    """
    answer = _ask_endpoint(name)
    target = answer["target"]
    if answer["answering"]:
        return _rung(True, f"{target} answers over IPv4: {__salt__['icmp_echo.words'](answer)}")
    silence = f"{target} does not answer over IPv4 ({answer['reason'] or 'nothing came back'})"
    gateway = _tunnel(name)["gateway"]
    if gateway is None:
        return _rung(False, f"{silence}: it is down or blocked; and no gateway is named that could be asked instead")
    if __salt__["he_tunnel.ping"](name, gateway)["answering"]:
        return _rung(
            True, f"{silence}, but {gateway} answers through the tunnel: it is the pings that are not answered"
        )
    return _rung(False, f"{silence}, nor {gateway} through the tunnel: IPv4 to the endpoint is down or blocked")


def broker(name: str = "he-ipv6", target: str | None = None, attempts: int = 3, timeout: float = 2) -> dict[str, Any]:
    """
    The fourth rung: the broker's end of the tunnel answers.

    name, target, attempts, timeout
        As for :py:func:`he_tunnel.ping`.

    If it does not, the endpoint is asked over IPv4, which tells one cause from another.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ladder.broker
    """
    answer = __salt__["he_tunnel.ping"](name, target=target, attempts=attempts, timeout=timeout)
    if answer["answering"]:
        return _rung(True, answer["summary"])
    gateway = _tunnel(name)["gateway"]
    if not answer["sent"] or answer["target"] != gateway:
        return _rung(False, answer["summary"])
    outer = _ask_endpoint(name, attempts, timeout)
    if outer["answering"]:
        cause = (
            f"{outer['target']} answers over IPv4: protocol 41 is blocked on the way, "
            f"or the broker holds another IPv4 address of this host than {outer['source']}"
        )
    else:
        cause = f"{outer['target']} does not answer over IPv4 either: IPv4 to the endpoint is down or blocked"
    said_by_ping = f" ({answer['reason']})" if answer["reason"] else ""
    loss = f"{gateway} does not answer through {name}: {answer['loss']}% loss{said_by_ping}"
    return _rung(False, f"{loss}; {cause}")


def beyond(name: str = "he-ipv6", targets: list[str] | None = None, source: str | None = None) -> dict[str, Any]:
    """
    The fifth rung: something beyond the broker answers to the address that is published.

    name
        The interface.
    targets
        IPv6 addresses that are not the broker's; they are asked one after the other until one answers. Without any,
        nothing is proven, and the summary says so.
    source
        The published address; by default the tunnel's source.

    That a packet as large as the tunnel's MTU comes back from the broker's end is tried as well: if it does not,
    that is a warning.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ladder.beyond targets='["2001:db8::1"]'
    """
    tunnel = _tunnel(name)
    origin = _source(source) or tunnel["source"]
    own = tunnel["address"].partition("/")[0]
    warnings = _full_size(name, tunnel, own)
    asked = _targets(targets)
    if not asked:
        skipped = f"skipped: no address beyond the broker is named; whether {origin} is routed is not proven"
        return _rung(True, skipped, warnings)
    silence: list[str] = []
    for target in asked:
        answer = __salt__["icmp_echo.ask"](target, source=origin)
        if answer["answering"]:
            counts = __salt__["icmp_echo.words"](answer)
            return _rung(True, "; ".join([*silence, f"{target} answers to {origin}: {counts}"]), warnings)
        silence.append(f"{target} does not answer to {origin} ({answer['reason'] or 'nothing came back'})")
    summary = "; ".join(silence)
    if own != origin and __salt__["icmp_echo.ask"](asked[0], source=own)["answering"]:
        cause = f"the broker does not route the prefix of {origin} to this tunnel, or somebody filters it"
        return _rung(False, f"{summary}, but to {own}, this end of the tunnel: {cause}", warnings)
    return _rung(False, f"{summary}; to this end of the tunnel, {own}, neither", warnings)


def _full_size(name: str, tunnel: dict[str, Any], own: str) -> list[str]:
    """A warning if packets of the tunnel's full MTU are lost."""
    gateway, mtu = tunnel["gateway"], tunnel["mtu"]
    if gateway is None:
        return []
    answer = __salt__["icmp_echo.ask"](gateway, source=own, attempts=2, timeout=1, size=mtu - HEADERS)
    if answer["answering"]:
        return []
    return [
        f"warning: packets of {mtu} bytes, the MTU of {name}, do not come back from {gateway} "
        f"({answer['reason'] or 'nothing came back'}): large transfers will hang; "
        "give the tunnel a smaller mtu, here and at the broker"
    ]


# --------------------------------------------------------------------------------------------------------------


def _rung(holds: bool, summary: str, warnings: list[str] | None = None) -> dict[str, Any]:
    return {"holds": holds, "summary": summary, "warnings": warnings or []}


def _tunnel(name: str) -> dict[str, Any]:
    """The tunnel as it is configured, complete. (That the live one is the same is for the first rung to say.)"""
    configured = __salt__["he_tunnel.status"](name)["configured"]
    if configured is None:
        raise CommandExecutionError(f"{name} is not configured on this host")
    tunnel: dict[str, Any] = __salt__["sit_tunnel.canonical"](configured)
    return tunnel


def _ask_endpoint(name: str, attempts: int = 3, timeout: float = 2) -> dict[str, Any]:
    live = __salt__["he_tunnel.status"](name)["live"]
    if live is None:
        raise CommandExecutionError(f"{name} does not exist on this host")
    local = live["link"]["local"]
    how = {"source": None if local == "any" else local, "attempts": attempts, "timeout": timeout}
    return {**__salt__["icmp_echo.ask"](live["link"]["endpoint"], **how), "source": local}


def _targets(given: Any) -> list[str]:
    targets = [] if given is None else given
    if not isinstance(targets, list) or not all(map(_is_address, targets)):
        raise SaltInvocationError(f"beyond: {given!r} is not a list of IPv6 addresses")
    return targets


def _source(given: Any) -> str | None:
    if given is not None and not _is_address(given):
        raise SaltInvocationError(f"source: {given!r} is not an IPv6 address")
    return given


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and bool(salt.utils.network.is_ipv6(value))
