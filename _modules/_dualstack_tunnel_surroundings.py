"""
Whether this host can have a tunnel: what it lacks, and what would conflict with the tunnel.

Each check raises ``CommandExecutionError``. Its text begins with the key of the tunnel that has to be changed, if any.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_host_sysctl as host_sysctl
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_others as tunnel_others
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
from salt.exceptions import CommandExecutionError

SWITCH = "net.ipv6.conf.{}.disable_ipv6"
SWITCHES = re.compile(r"net\.ipv6\.conf\.(.+)\.disable_ipv6")
# What switches it off for as long as the kernel runs. Source: Linux, Documentation/networking/ipv6.rst.
BOOT, COMMAND_LINE, DISABLED = "ipv6.disable=1", "/proc/cmdline", "/sys/module/ipv6/parameters/disable"
MODULES = {
    **{"sit": ("sit", "CONFIG_IPV6_SIT"), "gre": ("ip_gre", "CONFIG_NET_IPGRE")},
    "wireguard": ("wireguard", "CONFIG_WIREGUARD"),
}
NEEDING = {"sit": "a 6in4 tunnel", "gre": "a GRE tunnel", "wireguard": "a WireGuard tunnel"}
MODPROBE = 10.0  # seconds to look for a module


def check_ipv6(name: str, promised: Mapping[str, Any]) -> None:
    """
    IPv6 is not disabled: on this host, on the tunnel's interface, or, where that is still to come, on new ones.

    name
        The interface.
    promised
        The kernel parameters that states before this one would have set by now, if they did more than predict.

    Source: Linux, ip-sysctl.rst: ``all`` changes ``default`` and all interfaces; a new one has what ``default`` has.
    """
    own = name.replace(".", "/")  # as sysctl(8) writes it
    values = {each: host_sysctl.live(SWITCH.format(each)) for each in ("all", "default", own)}
    for parameter, value in promised.items():
        found = SWITCHES.fullmatch(str(parameter))
        place = found[1] if found else ""
        if values.get(place) not in (None, str(value)):
            values.update({each: str(value) for each in values if place == "all" and values[each] is not None})
            values[place] = str(value)
    if values["all"] is None:
        raise CommandExecutionError(_no_ipv6())
    advice = "set it to 0, as with ipv6:sysctl"
    if values["all"] != "0":
        raise CommandExecutionError(f"IPv6 is disabled on this host ({SWITCH.format('all')}); {advice}")
    if values[own] is None and values["default"] != "0":
        parameter = SWITCH.format("default")
        raise CommandExecutionError(
            f"IPv6 is disabled on every new interface, and so on the tunnel's ({parameter}); {advice}"
        )
    if values[own] not in (None, "0"):
        raise CommandExecutionError(f"IPv6 is disabled on {name} ({SWITCH.format(own)}); {advice}")


def _no_ipv6() -> str:
    """Why the kernel has no IPv6: there is nothing below /proc/sys/net/ipv6."""
    words = (host_files.read(COMMAND_LINE) or "").split()
    if BOOT in words:
        return (
            f"IPv6 is switched off at boot, by {BOOT} on the kernel's command line; take it away from there, with GRUB "
            "from GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub and a reboot"
        )
    if (host_files.read(DISABLED) or "0").strip() != "0":
        return (
            "IPv6 is switched off by an option of the kernel's module ipv6, 'disable'; take it away from "
            "/etc/modprobe.d, then a reboot"
        )
    if not os.path.isdir(os.path.dirname(os.path.dirname(DISABLED))):
        return "this kernel has no IPv6: its module ipv6 is not loaded (modprobe ipv6), or was never built"
    return "this host has no /proc/sys/net/ipv6, though its kernel has IPv6: a container's host has to show it"


def check_stack(seen: tunnel_host.Sight) -> None:
    """
    The network stack for a new tunnel is unambiguous.

    seen
        The tunnel as it is.
    """
    if seen.configuration.rivals:
        names = " and ".join([seen.configuration.stack, *seen.configuration.rivals])
        raise CommandExecutionError(f"stack: {names} could configure this host; expected the name of one of them")


def check_carrier(wanted: dict[str, Any], seen: tunnel_host.Sight) -> None:
    """
    The network stack can make a tunnel of this kind.

    wanted
        The tunnel in canonical form.
    seen
        The tunnel as it is.
    """
    stack = seen.configuration.stack
    problem = tunnel_stack.carrier_error(wanted["carrier"], stack, seen.configuration.plugin)
    if problem:
        raise CommandExecutionError(problem)


def check_dev(wanted: dict[str, Any], seen: tunnel_host.Sight) -> None:
    """
    The network stack can bind the tunnel to its device, and this host has that.

    wanted
        The tunnel in canonical form.
    seen
        The tunnel as it is, and its surroundings.
    """
    dev = wanted["dev"]
    if not dev:
        return
    problem = tunnel_stack.dev_error(seen.configuration.stack, seen.configuration.plugin)
    if problem:
        raise CommandExecutionError(problem)
    no_uplinks = (*tunnel_sit.RESERVED_NAMES, *tunnel_others.FALLBACK, seen.name)
    there = [each["ifname"] for each in seen.links if each["ifname"] not in no_uplinks]
    if dev not in there:
        raise CommandExecutionError(f"dev: this host has no interface {dev}; expected one of {', '.join(there)}")


def check_kernel(seen: tunnel_host.Sight, carrier: str = "sit") -> None:
    """
    The kernel has the device, or could load it.

    seen
        The tunnel as it is.
    carrier
        The kind of the device.
    """
    module, option = MODULES[carrier]
    if (seen.live and seen.live["link"]["kind"] == carrier) or os.path.isdir(f"/sys/module/{module}"):
        return
    try:
        problem = host_commands.failure(["modprobe", "--dry-run", module], MODPROBE)
    except host_commands.NotInstalled as error:
        problem = str(error)
    if problem:
        raise CommandExecutionError(
            f"the kernel {os.uname().release} has no module '{module}' ({option}), which {NEEDING[carrier]} needs; "
            f"in a container, the host has to load it ({problem})"
        )


def check_interface(seen: tunnel_host.Sight, carrier: str = "sit") -> None:
    """
    The interface is not one of another kind, which a change would delete.

    seen
        The tunnel, or another interface of its name.
    carrier
        The kind of the tunnel.
    """
    kind = seen.live["link"]["kind"] if seen.live else carrier
    if kind == "physical" or (kind != carrier and seen.configuration.tunnel is None):
        raise CommandExecutionError(f"name: {seen.name} is an interface of this host of the kind {kind}, not a tunnel")


def beside_lan(wanted: dict[str, Any], seen: tunnel_host.Sight) -> tuple[dict[str, Any], list[str]]:
    """
    The tunnel as it can be where another interface has addresses of the same prefix, such as that of a LAN behind this
    host: with all of the prefix on both, the kernel would send packets for the LAN into the tunnel.

    wanted
        The tunnel in canonical form.
    seen
        The tunnel as it is, and its surroundings.

    Returns it with these prefixes as ``routed``, so that its addresses are /128, and a warning about each.
    """
    held = {
        ipaddress.IPv6Interface(f"{each['local']}/{each['prefixlen']}"): link["ifname"]
        for link in seen.links
        for each in link.get("addr_info", [])
        if link["ifname"] != seen.name and each["family"] == "inet6" and each.get("scope") == "global"
    }
    routed, said = list(wanted["routed"]), []
    for own in map(ipaddress.IPv6Interface, wanted["addresses"]):
        there = next((each for each in held if own.network.prefixlen < 128 and own.ip in each.network), None)
        if there is not None and str(own.network) not in routed and there.network.prefixlen < 128:
            routed.append(str(own.network))
            said.append(
                f"addresses: {held[there]} has {there}, of the prefix of {own}: that is used as {own.ip}/128, and "
                f"{own.network} as a prefix that is routed; write 'routed: {own.network}'"
            )
    if not said:
        return wanted, []
    own_keys = {key: wanted[key] for key in tunnel_sit.READERS if key in wanted}
    return tunnel_sit.canonical({**own_keys, "routed": routed}), said


def check_local(wanted: dict[str, Any], seen: tunnel_host.Sight) -> None:
    """
    The tunnel begins at an address of this host.

    wanted
        The tunnel in canonical form.
    seen
        The tunnel as it is, and its surroundings.
    """
    held = [each["local"] for link in seen.links for each in link.get("addr_info", []) if each["family"] == "inet"]
    if wanted["local"] not in (tunnel_stack.AUTO, *held):
        raise CommandExecutionError(
            f"local: {wanted['local']} is not an address of this host, which has {', '.join(held)}; "
            "behind NAT it is the private one; 'auto' follows when it changes"
        )


def check_tunnels(wanted: dict[str, Any], seen: tunnel_host.Sight, tunnels: list[tunnel_others.Tunnel]) -> None:
    """
    No other tunnel has these ends, and one of this name that somebody else has made is taken over only where that is
    wanted, and only where nobody makes it again at the next boot.

    wanted
        The tunnel in canonical form.
    seen
        The tunnel as it is, and its surroundings.
    tunnels
        All of this host, from :py:func:`tunnel_others.found`.
    """
    name = wanted["name"]
    for each in tunnel_others.colliding(wanted, tunnels, wanted["carrier"]):
        raise CommandExecutionError(
            f"endpoint: this host has a tunnel there already: {tunnel_others.sentence(each)}, and of the same ends the "
            "kernel allows one; remove it, for instance with he_tunnel.absent, or take it over: its name as "
            "ipv6:tunnel:name, and 'adopt: true'"
        )
    for each in tunnels:
        if each["name"] == name:
            _check_maker(each, wanted["adopt"], seen)


def check_makers(seen: tunnel_host.Sight, tunnels: list[tunnel_others.Tunnel]) -> None:
    """
    Nobody makes a tunnel again at the next boot, when it is gone.

    seen
        The tunnel as it is.
    tunnels
        All of this host, from :py:func:`tunnel_others.found`.
    """
    for place in [place for each in tunnels if each["name"] == seen.name for place in _elsewhere(each, seen)]:
        raise CommandExecutionError(
            f"name: {seen.name} is made by {place}, and would be made again at the next boot; take that away first"
        )


def _elsewhere(tunnel: tunnel_others.Tunnel, seen: tunnel_host.Sight) -> list[str]:
    """The places that make a tunnel beside the files of its network stack."""
    own = {path for former in seen.configuration.former for path in former.files} | seen.configuration.files.keys()
    return [each for each in tunnel["places"] if each.rpartition(", line ")[0] not in own]


def _check_maker(tunnel: tunnel_others.Tunnel, adopt: bool, seen: tunnel_host.Sight) -> None:
    elsewhere = _elsewhere(tunnel, seen)
    if elsewhere:
        raise CommandExecutionError(
            f"name: {tunnel['name']} is made by {', '.join(elsewhere)} as well, and would be made twice at the next "
            "boot; take that away first"
        )
    unknown = seen.configuration.known == "" and not seen.configuration.former
    if tunnel["live"] and not tunnel["ours"] and not tunnel["places"] and unknown and not adopt:
        raise CommandExecutionError(
            f"name: {tunnel['name']} is up, but in no file of this host, and not by he_tunnel; "
            "'adopt: true' lets he_tunnel take it over"
        )


def check_others(wanted: dict[str, Any], seen: tunnel_host.Sight) -> None:
    """
    The tunnel conflicts with no default route.

    wanted
        The tunnel in canonical form.
    seen
        The tunnel as it is, and its surroundings.
    """
    for route in [] if _has_routes(wanted, seen) else _rivals(wanted, seen):
        raise CommandExecutionError(
            f"metric: this host already has an IPv6 default route of metric {wanted['metric']}, "
            f"via {route.get('gateway')} dev {route.get('dev')}; "
            "use 'routing: source' beside native IPv6, or another metric"
        )


def _rivals(wanted: dict[str, Any], seen: tunnel_host.Sight) -> list[dict[str, Any]]:
    """The default routes of other interfaces that the kernel takes for the same as the tunnel's."""
    return [
        route
        for route in (seen.routes if wanted["routing"] == "default" else [])
        if route.get("dev") != seen.name
        and route.get("metric") == wanted["metric"]
        and route.get("type") != tunnel_interface.REFUSING
        and "from" not in route
    ]


def _has_routes(wanted: dict[str, Any], seen: tunnel_host.Sight) -> bool:
    """
    Whether the live tunnel has its routes already, and keeps them: then nobody adds one, and a router that has
    announced itself since, with the metric that is the kernel's default and ours, is no hindrance.
    """
    target = tunnel_interface.wanted(wanted)
    if seen.live is None or not tunnel_interface.changeable(seen.live, target):
        return False
    return set(wanted["routes"]) <= set(seen.live["routes"])


def warnings(wanted: dict[str, Any], seen: tunnel_host.Sight, route: dict[str, Any]) -> list[str]:
    """
    What does not prevent the tunnel from working, but may be a mistake.

    wanted
        The tunnel in canonical form.
    seen
        The tunnel as it is, and its surroundings.
    route
        The IPv4 route to its endpoint, from :py:func:`tunnel_host.route_to`.
    """
    mtu, underlay = wanted["mtu"], route["dev"]
    # A route may have an MTU of its own, less than that of its interface.
    limits = [each["mtu"] for each in route.get("metrics", []) if "mtu" in each]
    limits += [link["mtu"] for link in seen.links if link["ifname"] == underlay]
    header = tunnel_sit.HEADERS[wanted["carrier"]]
    room = min([*limits, mtu + header]) - header
    said = [
        f"metric: {route.get('dev')} has a default route of the tunnel's metric {wanted['metric']} as well, "
        f"via {route.get('gateway')}: which of them packets take is the kernel's choice; "
        "use 'routing: source' beside native IPv6, or a smaller metric"
        for route in (_rivals(wanted, seen) if _has_routes(wanted, seen) else [])
    ]
    if mtu > room:
        said.append(
            f"mtu: {underlay} carries packets of at most {room} bytes within IPv4, less than the tunnel's {mtu}"
        )
    return said
