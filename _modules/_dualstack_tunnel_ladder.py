"""
The ladder that proves a tunnel, from the device on this host to hosts beyond the broker.

Each rung is a state of :py:mod:`he_tunnel <states.he_tunnel>`. It checks one thing, changes nothing, and reports what
is wrong, including faults that do not bring the tunnel down. Each gets the result of :py:func:`tunnel_host.look`, and
inspects further only what it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_host_ip as host_ip
import _dualstack_host_routes as host_routes
import _dualstack_tunnel_echo as tunnel_echo
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_wireguard as tunnel_wireguard
import _dualstack_words as words
import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltInvocationError

HEADERS = 48  # bytes that IPv6 and ICMPv6 put in front of an echo request's data
UNUSABLE = ("tentative", "dadfailed")  # what keeps an address from being used, as ip(8) has it


def live(seen: tunnel_host.Sight) -> converge.Finding:
    """
    The first rung: the live interface matches its configuration, and all its addresses are usable.

    seen
        The tunnel.
    """
    name, interface = seen.name, seen.live
    if seen.configuration.tunnel is None:
        return converge.Finding(False, _unconfigured(name))
    if interface is None:
        return converge.Finding(False, _missing(name))
    found = said(tunnel_host.differences(seen))
    addresses = [each for link in seen.links if link.get("ifname") == name for each in link.get("addr_info", [])]
    for each in addresses:
        flags = [flag for flag in UNUSABLE if each["family"] == "inet6" and each.get(flag)]
        found += [f"{each['local']} is {flag}, and cannot be used" for flag in flags]
    if found:
        return converge.Finding(False, f"{name} is not what its configuration says: {'; '.join(found)}")
    link = interface["link"]
    ends = f"from {link['local']} to {link['endpoint']}, TTL {link['ttl']}, MTU {link['mtu']}"
    return converge.Finding(True, f"{name} is up as configured: {ends}, with {', '.join(interface['addresses'])}")


def said(differences: dict[str, Any]) -> list[str]:
    """
    The differences between an interface and its configuration, in words.

    differences
        From :py:func:`tunnel_host.differences`.
    """
    if "configuration" in differences:
        return [differences["configuration"]["old"]]
    return [line for part in differences.values() for line in words.differences(part)]


def routed(seen: tunnel_host.Sight, beyond: list[str] | None = None, source: str | None = None) -> converge.Finding:
    """
    The second rung: packets beyond the broker leave through the tunnel, from the declared address.

    seen
        The tunnel.
    beyond
        IPv6 addresses; the first is looked up. By default any global address.
    source
        The address that packets come from, where the tunnel has ``routing: source``; by default the tunnel's.

    No packet is sent: this is the kernel's own decision, from ``ip route get``. Raises ``SaltInvocationError`` for bad
    input.
    """
    name, tunnel = seen.name, _tunnel(seen)
    if tunnel["routing"] == "none":
        return converge.Finding(True, f"no route is wanted: {name} has routing: none")
    target = [*_targets(beyond), host_routes.ANYWHERE][0]
    by_source = tunnel["routing"] == "source"
    origin = _source(source) or tunnel["source"]
    asked = ["-6", "route", "get", target, *(["from", origin] if by_source else [])]
    try:
        found = host_ip.route(asked)
    except host_ip.Nothing as error:
        return converge.Finding(False, f"this host has no route to {target}: {error}")
    packets = f"packets{f' from {origin}' if by_source else ''} to {target}"
    if found.get("dev") != name:
        way = " ".join(f"{key} {found[key]}" for key in ("gateway", "dev", "metric") if key in found)
        return converge.Finding(
            False, f"{packets} do not leave by {name}, but by another route that comes first: {way}"
        )
    if by_source:
        return converge.Finding(True, f"{packets} leave by {name}")
    chosen = found.get("prefsrc")
    if chosen != tunnel["source"]:
        return converge.Finding(
            False,
            f"{packets} leave by {name}, but come from {chosen} instead of {tunnel['source']}: "
            "the kernel prefers another address, which is not deprecated as it should be, or was added later",
        )
    return converge.Finding(True, f"{packets} leave by {name} and come from {chosen}")


def underlaid(seen: tunnel_host.Sight) -> converge.Finding:
    """
    The third rung: the broker is reached over IPv4.

    seen
        The tunnel.

    An endpoint that does not answer pings counts as reached if the broker's end answers through the tunnel.
    """
    if moved := _moved(seen):
        return converge.Finding(False, moved)
    answer = _ask_endpoint(seen)
    target = answer["target"]
    if answer["answering"]:
        return converge.Finding(True, f"{target} answers over IPv4: {tunnel_echo.words(answer)}")
    silence = f"{target} does not answer over IPv4 ({answer['reason'] or 'nothing came back'})"
    gateway = _tunnel(seen)["gateway"]
    if gateway is None:
        unknown = "whether it is down, or only pings are not answered, is not known without a gateway to ask"
        return converge.Finding(False if answer["reason"] else None, f"{silence}: {unknown}")
    if ping(seen, gateway)["answering"]:
        return converge.Finding(
            True, f"{silence}, but {gateway} answers through the tunnel: only pings are not answered"
        )
    return converge.Finding(
        False, f"{silence}, nor {gateway} through the tunnel: IPv4 to the endpoint is down or blocked"
    )


def ping(seen: tunnel_host.Sight, target: str | None = None, attempts: int = 3, timeout: float = 2) -> dict[str, Any]:
    """
    Ask whether the broker's end answers through the tunnel.

    seen
        The tunnel.
    target, attempts, timeout
        As for :py:func:`he_tunnel.ping`, which returns and raises what this does.
    """
    name = seen.name
    if seen.live is None:
        raise CommandExecutionError(_missing(name))
    configured = seen.configuration.tunnel or {}
    target = target or configured.get("gateway")
    if not target:
        raise CommandExecutionError(f"the configuration of {name} names no gateway; give a target")
    if not _is_address(target):
        raise SaltInvocationError(f"target: {target!r} is not an IPv6 address")
    # From this end's own address: replies to others may not return, if the broker does not route their prefix here.
    own = configured.get("address", "").partition("/")[0]
    answer = tunnel_echo.ask(target, source=f"{own}%{name}" if own else name, attempts=attempts, timeout=timeout)
    if answer["answering"]:
        answer["summary"] = f"{target} answers through {name}: {tunnel_echo.words(answer)}"
    else:
        answer["summary"] = f"{target} does not answer through {name}: {answer['loss']}% loss; " + (
            answer["reason"]
            or f"nothing came back: {_carrier(configured)} may be blocked on the way, the tunnel's local address may "
            "be wrong, or the broker holds another address of this host"
        )
    return answer


def answering(
    seen: tunnel_host.Sight, target: str | None = None, attempts: int = 3, timeout: float = 2
) -> converge.Finding:
    """
    The fourth rung: the broker's end of the tunnel answers.

    seen
        The tunnel.
    target, attempts, timeout
        As for :py:func:`ping`.

    If it does not, the endpoint is asked over IPv4, to find the cause.
    """
    answer = ping(seen, target, attempts, timeout)
    if answer["answering"]:
        return converge.Finding(True, answer["summary"])
    gateway = _tunnel(seen)["gateway"]
    if not answer["sent"] or answer["target"] != gateway:
        return converge.Finding(False, answer["summary"])
    if moved := _moved(seen):
        return converge.Finding(False, f"{gateway} does not answer through {seen.name}; {moved}")
    outer = _ask_endpoint(seen, attempts, timeout)
    if outer["answering"]:
        cause = (
            f"{outer['target']} answers over IPv4: {_carrier(_tunnel(seen))} is blocked on the way, "
            f"or the broker holds another IPv4 address of this host than {outer['source']}"
        )
    else:
        cause = f"{outer['target']} does not answer over IPv4 either: IPv4 to the endpoint is down or blocked"
    said_by_ping = f" ({answer['reason']})" if answer["reason"] else ""
    loss = f"{gateway} does not answer through {seen.name}: {answer['loss']}% loss{said_by_ping}"
    return converge.Finding(False, f"{loss}; {cause}")


def reaching(seen: tunnel_host.Sight, beyond: list[str] | None = None, source: str | None = None) -> converge.Finding:
    """
    The fifth rung: somebody at the other side of the tunnel answers to the published address.

    seen
        The tunnel.
    beyond
        IPv6 addresses that are not the broker's, asked one after the other until one answers. By default the broker's
        end is asked: its answer comes back to an address out of the routed prefix only if the broker routes that here.
    source
        The published address; by default the tunnel's source.

    A packet as large as the tunnel's MTU is also sent to the broker's end: if it does not come back, the comment has a
    warning. Raises ``SaltInvocationError`` for bad input.
    """
    tunnel = _tunnel(seen)
    origin = _source(source) or tunnel["source"]
    own = tunnel["address"].partition("/")[0]
    asked = _targets(beyond) or [each for each in [tunnel["gateway"]] if each]
    warnings = _full_size(seen.name, tunnel, own)
    if not asked:
        untried = f"nobody is named who could answer to {origin}: neither a gateway nor an address beyond the broker"
        return _warned(None, untried, warnings)
    silence: list[str] = []
    for target in asked:
        answer = tunnel_echo.ask(target, source=origin)
        if answer["answering"]:
            counts = tunnel_echo.words(answer)
            return _warned(True, "; ".join([*silence, f"{target} answers to {origin}: {counts}"]), warnings)
        silence.append(f"{target} does not answer to {origin} ({answer['reason'] or 'nothing came back'})")
    summary = "; ".join(silence)
    if own != origin and tunnel_echo.ask(asked[0], source=own)["answering"]:
        cause = f"the broker does not route the prefix of {origin} to this tunnel, or somebody filters it"
        return _warned(False, f"{summary}, but to {own}, this end of the tunnel: {cause}", warnings)
    return _warned(False, f"{summary}; nor to this end of the tunnel, {own}", warnings)


def _warned(holds: bool | None, summary: str, warnings: list[str]) -> converge.Finding:
    return converge.Finding(holds, "\n".join([summary, *warnings]))


def _full_size(name: str, tunnel: dict[str, Any], own: str) -> list[str]:
    """A warning if packets of the tunnel's full MTU are lost."""
    gateway, mtu = tunnel["gateway"], tunnel["mtu"]
    if gateway is None:
        return []
    answer = tunnel_echo.ask(gateway, source=own, attempts=2, timeout=1, size=mtu - HEADERS)
    if answer["answering"]:
        return []
    return [
        f"warning: packets of {mtu} bytes, the MTU of {name}, do not come back from {gateway} "
        f"({answer['reason'] or 'nothing came back'}): large transfers will hang; "
        "give the tunnel a smaller mtu, here and at the broker"
    ]


# --------------------------------------------------------------------------------------------------------------


def _carrier(tunnel: Mapping[str, Any]) -> str:
    """What carries the tunnel's packets over IPv4."""
    kind = str(tunnel.get("carrier") or "sit")
    if kind == tunnel_wireguard.CARRIER:
        return f"UDP to port {tunnel[kind]['port']}"
    return {"gre": "protocol 47"}.get(kind, "protocol 41")


def _unconfigured(name: str) -> str:
    return f"{name} is not configured on this host"


def _missing(name: str) -> str:
    return f"{name} does not exist on this host"


def _tunnel(seen: tunnel_host.Sight) -> dict[str, Any]:
    """The tunnel as it is configured, complete. (The first rung checks that the live one is the same.)"""
    if seen.configuration.tunnel is None:
        raise CommandExecutionError(_unconfigured(seen.name))
    try:
        return tunnel_sit.canonical(seen.configuration.tunnel)
    except SaltInvocationError as error:
        problems = "; ".join(str(error).splitlines())
        raise CommandExecutionError(f"the configuration of {seen.name} makes no sense: {problems}") from None


def _ask_endpoint(seen: tunnel_host.Sight, attempts: int = 3, timeout: float = 2) -> dict[str, Any]:
    if seen.live is None:
        raise CommandExecutionError(_missing(seen.name))
    endpoint, local = seen.live["link"]["endpoint"], seen.live["link"]["local"]
    # Its packets leave by the device that the tunnel is bound to, and so do these: another way is another question.
    source = "%".join(each for each in (local if local != "any" else "", seen.live["link"].get("dev", "")) if each)
    return {**tunnel_echo.ask(endpoint, source or None, attempts, timeout), "source": local}


def _moved(seen: tunnel_host.Sight) -> str:
    """Where the tunnel's packets come from an address that this host has lost: what it has instead."""
    local = seen.live["link"]["local"] if seen.live else "any"
    held = [each["local"] for link in seen.links for each in link.get("addr_info", []) if each["family"] == "inet"]
    if local == "any" or local in held or not held:  # lo has one
        return ""
    now = next((each for each in held if not each.startswith("127.")), "none")
    try:
        link = seen.live["link"] if seen.live else {}
        now = tunnel_host.route_to(link["endpoint"], dev=link.get("dev")).get("prefsrc", now) if link else now
    except CommandExecutionError:
        pass
    return (
        f"{local}, from which the packets of {seen.name} come, is none of this host's addresses any more; now it has "
        f"{now}: 'local: auto' follows a change, and he_tunnel.registered tells the broker"
    )


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
