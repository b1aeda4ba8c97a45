"""
A tunnel in the configuration of systemd-networkd: what its files say, and which of their lines the keys of a declared
tunnel do not. PURE: never accesses the host.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

import _dualstack_tunnel_own as tunnel_own
import _dualstack_tunnel_units as tunnel_units
from _dualstack_tunnel_units import Line

# netdevs that carry packets to another host, as systemd.netdev(5) names their kinds.
KINDS = (
    "sit gre gretap ip6gre ip6gretap erspan ipip ip6tnl vti vti6 vxlan geneve wireguard l2tp fou xfrm bareudp"
).split()
CARRIERS = ("sit", "gre")  # those that can be declared
DYNAMIC = ("dhcp4", "dhcp")  # `Local=` of these is the address that a DHCP server has given
DEFAULT = ("", "::/0", "0::/0", "::0/0", "default")
MAIN = ("", "main", "254")
PLAIN = re.compile(r"[A-Za-z0-9._-]+")  # a name that is no pattern
FOREVER = ("", "forever", "infinity")
SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
# What a file may say without being missed: it is the default, or has no effect on a tunnel of this kind.
IDLE: dict[tuple[str, str], tuple[str, ...]] = {
    ("Network", "IPv6AcceptRA"): tunnel_units.NO,
    ("Network", "DHCP"): (*tunnel_units.NO, "none"),
    ("Network", "LinkLocalAddressing"): (*tunnel_units.NO, *tunnel_units.YES, "ipv6"),
    ("Network", "ConfigureWithoutCarrier"): (*tunnel_units.NO, *tunnel_units.YES),
    ("Network", "IPv6PrivacyExtensions"): tunnel_units.NO,
    ("Network", "IPv6DuplicateAddressDetection"): ("0", "1"),
    ("Network", "LLDP"): tunnel_units.NO,
    ("Network", "EmitLLDP"): tunnel_units.NO,
    ("Network", "LLMNR"): tunnel_units.NO,
    ("Network", "MulticastDNS"): tunnel_units.NO,
    ("Network", "IPForward"): tunnel_units.NO,
    ("Link", "RequiredForOnline"): tunnel_units.NO,
    ("Link", "ActivationPolicy"): ("up", "always-up"),
    ("Tunnel", "Independent"): (*tunnel_units.NO, *tunnel_units.YES),
    ("Tunnel", "DiscoverPathMTU"): tunnel_units.YES,
    ("Address", "DuplicateAddressDetection"): ("none", "ipv6", "ipv4", "both", *tunnel_units.NO, *tunnel_units.YES),
    ("Address", "AddPrefixRoute"): tunnel_units.YES,
    ("Route", "GatewayOnLink"): (*tunnel_units.NO, *tunnel_units.YES),
    ("Route", "GatewayOnlink"): (*tunnel_units.NO, *tunnel_units.YES),
    ("Route", "Scope"): ("global",),
    ("Route", "Protocol"): ("static", "boot"),
    ("Route", "IPv6Preference"): ("medium",),
}
NOTES = ("Description",)


def netdevs(name: str, host: Mapping[str, str]) -> dict[str, list[Line]]:
    """
    The ``.netdev`` files that make an interface, with their drop-ins; the first one counts.

    name
        The interface's.
    host
        The texts of the host's files, by path.
    """
    found = tunnel_units.files(host, "netdev")
    return {path: each for path, each in found.items() if tunnel_units.value(each, "NetDev", "Name") == name}


def networks(name: str, host: Mapping[str, str]) -> dict[str, list[Line]]:
    """
    The ``.network`` files that match a tunnel, with their drop-ins; the first one counts.

    name
        The tunnel's.
    host
        The texts of the host's files, by path.
    """
    return {
        path: each for path, each in tunnel_units.files(host, "network").items() if tunnel_units.matches(each, name)
    }


def named(name: str, host: Mapping[str, str]) -> list[Line]:
    """
    Where the file of another interface names a tunnel. That may not be ``Independent``, or systemd-networkd fails to
    configure the other interface.

    name
        The tunnel's.
    host
        The texts of the host's files, by path.
    """
    every = tunnel_units.files(host, "network").values()
    return [line for each in every for line in tunnel_units.listed(each, "Network", "Tunnel") if line.value == name]


def about(name: str, host: Mapping[str, str]) -> dict[str, list[Line]]:
    """
    The ``.network`` files that are about an interface by its name, with their drop-ins; the first one counts.

    name
        The interface's, of whatever kind.
    host
        The texts of the host's files, by path.
    """
    return {
        path: each
        for path, each in tunnel_units.files(host, "network").items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in tunnel_units.patterns(each))
    }


def underlay(name: str, host: Mapping[str, str]) -> str:
    """
    The interface whose file names a tunnel, to which that is bound then; empty where that is none, or not one alone.

    name
        The tunnel's.
    host
        The texts of the host's files, by path.
    """
    every = tunnel_units.files(host, "network").values()
    naming = [each for each in every for line in tunnel_units.listed(each, "Network", "Tunnel") if line.value == name]
    names = {pattern for each in naming for pattern in tunnel_units.patterns(each)}
    found = next(iter(names)) if len(names) == 1 else ""
    return found if PLAIN.fullmatch(found) else ""


def only(assigned: list[Line], name: str) -> bool:
    """
    Whether a ``.network`` file is for one interface and no other.

    assigned
        Its assignments.
    name
        The interface's.
    """
    return set(tunnel_units.patterns(assigned)) == {name}


def read(name: str, host: Mapping[str, str]) -> dict[str, Any] | None:
    """
    The keys of a tunnel as far as the files have them; ``None`` if no file makes a sit of this name.

    name
        The tunnel's.
    host
        The texts of the host's files, by path.
    """
    made = next(iter(netdevs(name, host).values()), None)
    kind = "" if made is None else tunnel_units.value(made, "NetDev", "Kind")
    if made is None or kind not in CARRIERS:
        return None
    network = next(iter(networks(name, host).values()), [])
    tunnel: dict[str, Any] = {"name": name, "addresses": [], "routing": "none"}
    if kind != "sit":
        tunnel["carrier"] = kind
    routed = [_value(each, "Destination") for each in tunnel_units.sections(network, "Route") if refuses(each)]
    if routed:
        tunnel["routed"] = [complete(each) for each in routed]
    if (here := local(made)) != "any":
        tunnel["local"] = here
    if bound := underlay(name, host):
        tunnel["dev"] = bound
    if remote := tunnel_units.value(made, "Tunnel", "Remote"):
        tunnel["endpoint"] = remote
    for key, text in (
        ("ttl", tunnel_units.value(made, "Tunnel", "TTL")),
        ("mtu", tunnel_units.value(network, "Link", "MTUBytes") or tunnel_units.value(made, "NetDev", "MTUBytes")),
    ):
        if text and text != tunnel_units.INHERITED:
            number = tunnel_units.size(text)
            tunnel[key] = text if number is None else number
    preferred = _read_addresses(tunnel, list(addresses(network)))
    source = _read_routes(tunnel, network)
    if source or preferred:
        tunnel["source"] = source or preferred
    _sort(tunnel)
    return tunnel


def local(made: list[Line]) -> str:
    """
    The ``local`` of a netdev: an address, ``any``, or ``auto``.

    made
        The assignments of its file.
    """
    found = tunnel_units.value(made, "Tunnel", "Local", "any")
    return "auto" if found in DYNAMIC else found


def addresses(network: list[Line]) -> Iterator[tuple[str, bool]]:
    """
    Each address of a ``.network`` file, with its prefix length, and whether it is preferred.

    network
        Its assignments.
    """
    for block in tunnel_units.pairs(network, "Address"):
        found = tunnel_units.value(block, "Address", "Address") or tunnel_units.value(block, "Network", "Address")
        if found:
            yield complete(found), tunnel_units.value(block, "Address", "PreferredLifetime") in FOREVER


def complete(address: str) -> str:
    """
    An address as it is compared, with its prefix length; as it stands, if it is none.

    address
        As a file has it.
    """
    try:
        return str(ipaddress.ip_interface(address))
    except ValueError:
        return address


def _read_addresses(tunnel: dict[str, Any], found: list[tuple[str, bool]]) -> str:
    tunnel["addresses"] = [address for address, _ in found]
    return next((address.partition("/")[0] for address, preferred in found if preferred), "")


def _read_routes(tunnel: dict[str, Any], network: list[Line]) -> str:
    """The default routes; the source that they name, if they do."""
    named = ""
    for route in tunnel_units.pairs(network, "Gateway"):
        found = _default(route)
        if found is None:
            continue
        if found["table"] not in MAIN:
            if not any(
                _value(rule, "Table") == found["table"] for rule in tunnel_units.sections(network, "RoutingPolicyRule")
            ):
                continue
            found["source"] = "rule"
        tunnel["routing"] = "source" if found["source"] else "default"
        if found["gateway"]:
            tunnel["gateway"] = found["gateway"]
        if found["metric"]:
            tunnel["metric"] = int(found["metric"]) if found["metric"].isdecimal() else found["metric"]
        named = named or found["preferred"]
    return named


ROUTE = {"source": "Source", "metric": "Metric", "table": "Table", "preferred": "PreferredSource"}


def refuses(route: list[Line]) -> bool:
    """
    Whether a route refuses packets, to addresses of a prefix that nobody has.

    route
        The assignments of its section.
    """
    return _value(route, "Type") == "unreachable"


def _default(route: list[Line]) -> dict[str, str] | None:
    """The parts of an IPv6 default route, as text; ``None`` for another route."""
    if _value(route, "Destination") not in DEFAULT or _value(route, "Type") not in ("", "unicast"):
        return None
    gateway = _value(route, "Gateway") or tunnel_units.value(route, "Network", "Gateway")
    if complete(gateway).partition("/")[0] == "::":  # the interface itself
        return {"gateway": "", **{key: _value(route, word) for key, word in ROUTE.items()}}
    if (gateway and ":" not in gateway) or not (gateway or _value(route, "Destination")):
        return None
    return {"gateway": complete(gateway).partition("/")[0], **{key: _value(route, word) for key, word in ROUTE.items()}}


def _value(block: list[Line], key: str) -> str:
    return tunnel_units.value(block, block[0].section, key)


def _sort(tunnel: dict[str, Any]) -> None:
    """The address of the tunnel itself is that beside the broker's end; without a gateway, it is the first one."""
    found = tunnel["addresses"]
    gateway = tunnel.get("gateway", "")
    if found:
        beside = next((each for each in found if _beside(gateway, each)), found[0])
        tunnel["address"] = beside
        tunnel["addresses"] = [each for each in found if each != beside]


def _beside(gateway: str, address: str) -> bool:
    try:
        return ipaddress.IPv6Address(gateway) in ipaddress.IPv6Interface(address).network
    except ValueError:
        return False


def lost(assigned: list[Line], name: str, tunnel: Mapping[str, Any] | None) -> list[tuple[Line, str]]:
    """
    The lines that would be lost if a declared tunnel took the place of a file: each with the key of the tunnel that
    says something else, or with an empty text.

    assigned
        The assignments of the file.
    name
        The tunnel's name.
    tunnel
        In canonical form; ``None`` if none takes its place.
    """
    result = []
    rules = [_value(each, "Table") for each in tunnel_units.sections(assigned, "RoutingPolicyRule")]
    for line in assigned:
        said = _judged(line, name, tunnel, assigned, rules)
        if said is not None:
            result.append((line, said))
    return result


def _judged(
    line: Line, name: str, tunnel: Mapping[str, Any] | None, assigned: list[Line], rules: list[str]
) -> str | None:
    """``None`` if the declared tunnel says the same as a line."""
    place = (line.section, line.key)
    if not line.value or line.key in NOTES:
        return None
    if place in IDLE:
        return None if line.value.lower() in IDLE[place] else ""
    if place in (("NetDev", "Name"), ("Match", "Name")):
        return None if set(tunnel_units.words(line.value)) == {name} else ""
    if place in (("NetDev", "Kind"), ("Match", "Kind"), ("Match", "Type"), ("Match", "Driver")):
        return None if tunnel is None or line.value == tunnel["carrier"] else "carrier"
    if line.section in ("Route", "RoutingPolicyRule") or place == ("Network", "Gateway"):
        return _judged_route(line, tunnel, assigned, rules)
    for key, places in SAYS.items():
        if place in places:
            return _differing(key, line.value, tunnel)
    return ""


SAYS = {
    "endpoint": (("Tunnel", "Remote"),),
    "local": (("Tunnel", "Local"),),
    "ttl": (("Tunnel", "TTL"),),
    "mtu": (("NetDev", "MTUBytes"), ("Link", "MTUBytes")),
    "addresses": (("Network", "Address"), ("Address", "Address")),
    "source": (("Address", "PreferredLifetime"),),
}


def _differing(key: str, value: str, tunnel: Mapping[str, Any] | None) -> str | None:
    if tunnel is None:
        return None
    if key in ("ttl", "mtu"):
        return None if tunnel_units.size(value) == tunnel[key] or value == tunnel_units.INHERITED else key
    if key == "local":
        return None if value in (*DYNAMIC, "any", tunnel["local"]) else key
    if key == "source":  # which one is preferred is declared; only a limited time would be missed
        return None if value in (*FOREVER, "0") else ""
    if key == "addresses":
        return None if complete(value) in [tunnel["address"], *tunnel["addresses"]] else key
    return None if value == tunnel[key] else key


def _judged_route(line: Line, tunnel: Mapping[str, Any] | None, assigned: list[Line], rules: list[str]) -> str | None:
    block = [line]
    if line.section != "Network":
        block = [each for each in assigned if (each.path, each.block) == (line.path, line.block)]
    if line.section == "RoutingPolicyRule":
        if line.key not in ("From", "Table", "Priority", "Family") or not _value(block, "From"):
            return ""
        if tunnel is not None and tunnel["routing"] == "source" and line.key == "From":
            return None if tunnel_own.routes_from(line.value, tunnel) else "addresses"
        return None if tunnel is None or tunnel["routing"] == "source" else "routing"
    if line.section == "Route" and refuses(block) and line.key in ("Type", "Destination", "Metric"):
        routed = complete(_value(block, "Destination"))
        return None if tunnel is None or routed in tunnel["routed"] else "routed"
    found = _default(block)
    if found is None or line.key not in (
        *("Destination", "Gateway", "Metric", "Table", "Source", "PreferredSource", "GatewayOnLink", "Type"),
    ):
        return ""
    if tunnel is None:
        return None
    by_source = bool(found["source"]) or found["table"] not in MAIN
    if found["table"] not in MAIN and found["table"] not in rules:
        return ""
    if tunnel["routing"] != ("source" if by_source else "default"):
        return "routing"
    if line.key == "Gateway":
        return None if found["gateway"] in ("", tunnel["gateway"]) else "gateway"
    if line.key == "Metric":
        return None if found["metric"] == str(tunnel["metric"]) or found["table"] not in MAIN else "metric"
    if line.key == "PreferredSource":
        return None if complete(found["preferred"]).partition("/")[0] == tunnel["source"] else "source"
    if line.key == "Source":
        return None if any(f" from {complete(line.value)} " in each for each in tunnel["routes"]) else "addresses"
    return None


def described(path: str, assigned: list[Line], host: Mapping[str, str]) -> dict[str, Any] | None:
    """
    A tunnel of whatever kind, as a ``.netdev`` file has it; ``None`` for another kind of interface.

    path
        The file's.
    assigned
        Its assignments.
    host
        The texts of the host's files, by path.
    """
    kind, name = tunnel_units.value(assigned, "NetDev", "Kind"), tunnel_units.last(assigned, "NetDev", "Name")
    if kind not in KINDS or name is None:
        return None
    remote, here = tunnel_units.last(assigned, "Tunnel", "Remote"), local(assigned)
    endpoint = remote.value if remote else "any"
    if kind == "wireguard":
        endpoint, here = tunnel_units.value(assigned, "WireGuardPeer", "Endpoint", "any"), "any"
    found: dict[str, Any] = {"name": name.value, "kind": kind, "endpoint": endpoint, "local": here}
    found["place"] = f"{path}, line {name.number}"
    if kind == "sit" and tunnel_units.value(assigned, "Tunnel", "IPv6RapidDeploymentPrefix"):
        found["kind"] = "6rd"
    elif kind == "sit" and endpoint == "any" and _six_to_four(name.value, host):
        found["kind"] = "6to4"
    if kind == "sit" and remote and remote.value != "any" and not _is_ipv4(remote.value):
        found["endpoint"] = "any"
        found["warning"] = (
            f"{remote.path}, line {remote.number}: what Remote= has there is no IPv4 address, and systemd-networkd "
            "ignores it: such a tunnel accepts protocol 41 from anybody"
        )
    return found


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _six_to_four(name: str, host: Mapping[str, str]) -> bool:
    for network in networks(name, host).values():
        for address, _ in addresses(network):
            if ":" in address and _beside(address.partition("/")[0], str(SIX_TO_FOUR)):
                return True
    return False
