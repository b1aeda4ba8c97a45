"""
Whether this host can have a tunnel: what it lacks, and what would conflict with the tunnel.

Each check raises ``CommandExecutionError``. Its text begins with the key of the tunnel that has to be changed, if any.
"""

from __future__ import annotations

import os
from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_tunnel_host as tunnel_host
from salt.exceptions import CommandExecutionError

IPV4_HEADER = 20  # bytes
MODPROBE = 10.0  # seconds to look for a module


def check_ipv6() -> None:
    """
    IPv6 is not disabled.
    """
    switch = host_files.read("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    if switch is None or switch.strip() == "1":
        raise CommandExecutionError("IPv6 is disabled on this host (net.ipv6.conf.all.disable_ipv6)")


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
    name, links, routes = seen.name, seen.links, seen.routes
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
    for route in routes if wanted["routing"] == "default" else []:
        if route.get("dev") != name and route.get("metric") == wanted["metric"] and "from" not in route:
            raise CommandExecutionError(
                f"metric: this host already has an IPv6 default route of metric {wanted['metric']}, "
                f"via {route.get('gateway')} dev {route.get('dev')}; "
                "use 'routing: source' beside native IPv6, or another metric"
            )


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
    if mtu <= room:
        return []
    return [f"mtu: {underlay} carries packets of at most {room} bytes within IPv4, less than the tunnel's {mtu}"]
