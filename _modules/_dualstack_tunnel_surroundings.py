"""
Whether this host can have a tunnel: what it lacks, and what would conflict with the tunnel.

Each check raises ``CommandExecutionError``. Its text begins with the key of the tunnel that has to be changed, if any.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_host_sysctl as host_sysctl
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_interface as tunnel_interface
from salt.exceptions import CommandExecutionError

SWITCH = "net.ipv6.conf.{}.disable_ipv6"
SWITCHES = re.compile(r"net\.ipv6\.conf\.(.+)\.disable_ipv6")
IPV4_HEADER = 20  # bytes
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
        raise CommandExecutionError("this kernel has no IPv6, or it is switched off at boot (ipv6.disable)")
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


def check_stack(seen: tunnel_host.Sight) -> None:
    """
    The network stack for a new tunnel is unambiguous.

    seen
        The tunnel as it is.
    """
    if seen.configuration.rivals:
        names = " and ".join([seen.configuration.stack, *seen.configuration.rivals])
        raise CommandExecutionError(f"stack: {names} could configure this host; expected the name of one of them")


def check_kernel(seen: tunnel_host.Sight) -> None:
    """
    The kernel has the device, or could load it.

    seen
        The tunnel as it is.
    """
    if (seen.live and seen.live["link"]["kind"] == "sit") or os.path.isdir("/sys/module/sit"):
        return
    try:
        problem = host_commands.failure(["modprobe", "--dry-run", "sit"], MODPROBE)
    except host_commands.NotInstalled as error:
        problem = str(error)
    if problem:
        raise CommandExecutionError(
            f"the kernel {os.uname().release} has no module 'sit' (CONFIG_IPV6_SIT), which a 6in4 tunnel needs; "
            f"in a container, the host has to load it ({problem})"
        )


def check_interface(seen: tunnel_host.Sight) -> None:
    """
    The interface is not one of another kind, which a change would delete.

    seen
        The tunnel, or another interface of its name.
    """
    kind = seen.live["link"]["kind"] if seen.live else "sit"
    if kind == "physical" or (kind != "sit" and seen.configuration.tunnel is None):
        raise CommandExecutionError(f"name: {seen.name} is an interface of this host of the kind {kind}, not a tunnel")


def check_others(wanted: dict[str, Any], seen: tunnel_host.Sight) -> None:
    """
    The tunnel begins at an address of this host, and conflicts with no other tunnel and no default route.

    wanted
        The tunnel in canonical form, its ``local`` an address.
    seen
        The tunnel as it is, and its surroundings.
    """
    name, links = seen.name, seen.links
    held = [each["local"] for link in links for each in link.get("addr_info", []) if each["family"] == "inet"]
    if wanted["local"] not in held:
        raise CommandExecutionError(
            f"local: {wanted['local']} is not an address of this host, which has {', '.join(held)}; "
            "behind NAT it is the private one"
        )
    for link in links:
        data = link.get("linkinfo", {}).get("info_data", {})
        ends = data.get("local"), data.get("remote")
        if link["ifname"] != name and ends == (wanted["local"], wanted["endpoint"]):
            raise CommandExecutionError(
                f"{link['ifname']} is already a tunnel from {ends[0]} to {ends[1]}, and the kernel allows one; "
                "remove it first, for instance with he_tunnel.absent"
            )
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
        if route.get("dev") != seen.name and route.get("metric") == wanted["metric"] and "from" not in route
    ]


def _has_routes(wanted: dict[str, Any], seen: tunnel_host.Sight) -> bool:
    """
    Whether the live tunnel has its routes already, and keeps them: then nobody adds one, and a router that has
    announced itself since, with the metric that is the kernel's default and ours, is no hindrance.
    """
    target = tunnel_interface.wanted(wanted)
    if seen.live is None or not tunnel_interface.changeable(seen.live, target):
        return False
    return set(target["routes"]) <= set(seen.live["routes"])


def warnings(wanted: dict[str, Any], seen: tunnel_host.Sight, underlay: str) -> list[str]:
    """
    What does not prevent the tunnel from working, but may be a mistake.

    wanted
        The tunnel in canonical form.
    seen
        The tunnel as it is, and its surroundings.
    underlay
        The interface by which its IPv4 packets leave.
    """
    mtu = wanted["mtu"]
    room = next((link["mtu"] - IPV4_HEADER for link in seen.links if link["ifname"] == underlay), mtu)
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
