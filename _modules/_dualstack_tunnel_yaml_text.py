"""
The files of a tunnel's own in the configuration of netplan, as text, for both of its renderers. PURE: never accesses
the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_tunnel_definition as tunnel_definition
import _dualstack_tunnel_own as tunnel_own
import _dualstack_tunnel_yaml as tunnel_yaml

FOLDER = "/etc/netplan"
# Another beginning: systemd-networkd is no root, and could not read a file of the mode of the others.
ROUTES = "/etc/systemd/network/10-netplan-{}.network.d/50-he_tunnel.conf"
ROUTES_HEADER = "# The tunnel's routes, managed by Salt (he_tunnel): they belong in the pillar, ipv6:tunnel.\n"


def own_file(name: str) -> str:
    """
    The file of the tunnel.

    name
        The interface name.
    """
    return f"{FOLDER}/60-{name}{tunnel_yaml.SUFFIX}"


def files(tunnel: Mapping[str, Any], renderer: str) -> dict[str, str | None]:
    """
    The files of a tunnel; ``None`` for one that it does not need.

    tunnel
        In canonical form (:py:func:`tunnel_sit.canonical`), its ``local`` an address, or ``any``.
    renderer
        ``networkd`` or ``NetworkManager``.
    """
    name, source = tunnel["name"], tunnel["source"]
    networkd = renderer == tunnel_definition.NETWORKD
    # netplan of Debian 12 insists on a `local`; this is any.
    local = "0.0.0.0" if tunnel["local"] == "any" else tunnel["local"]
    said = [f"renderer: {renderer}", f"mode: {tunnel['carrier']}", f"local: {local}"]
    said += [f"remote: {tunnel['endpoint']}", f"ttl: {tunnel['ttl']}"]
    # NetworkManager's MTU has to be passed through: netplan writes it where it has no effect on a tunnel.
    said += [f"mtu: {tunnel['mtu']}"] if networkd else ["ipv6-address-generation: stable-privacy"]
    # A broker that does not answer must not delay the boot.
    said += [*tunnel_own.unrouted(tunnel), "accept-ra: false", "optional: true", "addresses:"]
    # Of several, NetworkManager makes the kernel take the first one.
    addresses = sorted([tunnel["address"], *tunnel["addresses"]], key=lambda each: each.partition("/")[0] != source)
    for each in addresses:
        said.append(f'  - "{each}"{f"  {tunnel_definition.OWN}" if each == tunnel["address"] else ""}')
    routes = [dict(zip(words[1::2], words[2::2])) for words in (each.split() for each in tunnel["routes"])]
    refusing = [(each.split()[1], each.split()[3]) for each in tunnel["unreachable"]]
    said += ["routes:"] if tunnel["routing"] == "default" or (refusing and networkd) else []
    if tunnel["routing"] == "default":
        said += ['  - to: "::/0"', f'    via: "{routes[0]["via"]}"', f"    metric: {routes[0]['metric']}"]
        said += ["    on-link: true", f'    from: "{source}"']
        routes = []
    for prefix, metric in refusing if networkd else ():
        said += [f'  - to: "{prefix}"', "    type: unreachable", f"    metric: {metric}"]
    if not networkd:
        said += ["networkmanager:", "  passthrough:", f'    ip-tunnel.mtu: "{tunnel["mtu"]}"']
        first = 2 if tunnel["routing"] == "default" else 1  # netplan numbers its own
        for number, (prefix, metric) in enumerate(refusing, first + len(routes)):
            said.append(f'    ipv6.route{number}: "{prefix},::,{metric}"')
            said.append(f'    ipv6.route{number}_options: "type=unreachable"')
        for number, route in enumerate(routes, first):
            said.append(f'    ipv6.route{number}: "::/0,{route["via"]},{route["metric"]}"')
            said.append(f'    ipv6.route{number}_options: "onlink=true,from={route["from"]}"')
        routes = []
    text = "".join(f"      {line}\n" for line in said)
    lines = [line for route in routes for line in tunnel_definition.networkd_route(route)]
    return {
        own_file(name): f"{tunnel_own.HEADER}network:\n  version: 2\n  tunnels:\n    {name}:\n{text}",
        ROUTES.format(name): f"{ROUTES_HEADER}{chr(10).join(lines)}\n" if lines else None,
    }
