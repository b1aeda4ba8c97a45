"""
A tunnel as a connection of NetworkManager: written, read, and compared with one that was made by hand. PURE.

NetworkManager writes a keyfile anew when its connection is changed by others (``nmcli connection modify``): in another
order, another form, and without comments. So meaning is compared, never text, and what makes a file ours is a key.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

import _dualstack_tunnel_keyfile as tunnel_keyfile
import _dualstack_tunnel_own as tunnel_own

# What NetworkManager keeps when it writes the file anew: a key in its section for the data of others.
OURS = "org.saltproject.he_tunnel"
ANY = "any"  # an end that is not given
CARRIERS = ("sit", "gre")  # what a tunnel can be
UNREACHABLE = "unreachable"  # the kind of the routes that refuse packets
USED = re.compile(r"|auto|dhcp|manual|shared")  # methods with which the addresses of a connection count

# What a keyfile may have beside the keys of a tunnel, and is not lost when it is left out: it is the usual value, has
# no effect on a tunnel, or is only a name.
HARMLESS = re.compile(
    r"connection\.(?:id|uuid|interface-name|timestamp)=.*"
    r"|connection\.type=ip-tunnel"
    r"|connection\.autoconnect=(?i:true|1|yes)"
    r"|connection\.(?:autoconnect-priority|gateway-ping-timeout|metered|mptcp-flags)=0"
    r"|connection\.(?:autoconnect-retries|autoconnect-slaves|autoconnect-ports|auth-retries|lldp|mdns|llmnr"
    r"|dns-over-tls|wait-device-timeout)=(?:-1|default)"
    r"|ip-tunnel\.path-mtu-discovery=(?i:true|1|yes)"
    r"|ip-tunnel\.(?:tos|flags|fwmark|encapsulation-limit|flow-label|ttl|mtu)=0"
    r"|ipv4\.method=(?:disabled|auto|ignore)"  # no DHCP goes through such a tunnel
    r"|ipv6\.method=(?:manual|auto)"  # nor does a router announce itself in it
    r"|ipv[46]\.(?:may-fail|ignore-auto-dns|ignore-auto-routes|dhcp-[a-z0-9-]+|never-default)=.*"
    r"|ipv[46]\.route-table=(?:0|254)"
    r"|ipv[46]\.route-metric=-1"
    r"|ipv6\.(?:addr-gen-mode|ip6-privacy|ra-timeout|token)=.*"
    r"|proxy\.method=(?:0|none)"
    rf"|user\.{re.escape(OURS)}(?:\.addresses|\.gateway)?=.*"
    r"|[^=]+="  # empty
)
ROUTE_OPTIONS = ("onlink", "src", "from")  # that the routes of a tunnel have themselves
USUAL_OPTIONS = (("table", "0"), ("table", "254"), ("type", "unicast"), ("type", UNREACHABLE))
OTHER = "the pillar has no key for it"


# --------------------------------------------------------------------------------------------------------------
# Writing


def text(tunnel: Mapping[str, Any], identifier: str, label: str) -> str:
    """
    The keyfile of a tunnel.

    tunnel
        In canonical form, its ``local`` an address, or ``any``.
    identifier
        The connection's UUID.
    label
        Its name for people.
    """
    every = [tunnel["address"], *tunnel["addresses"]]
    # The source first: the kernel takes it, unless a program or a route says otherwise.
    listed = sorted(every, key=lambda each: each.partition("/")[0] != tunnel["source"])
    lines = [
        "[connection]",
        f"id={label}",
        f"uuid={identifier}",
        "type=ip-tunnel",
        f"interface-name={tunnel['name']}",
        "",
        "[ip-tunnel]",
        f"mode={tunnel_keyfile.MODES.index(tunnel.get('carrier', 'sit'))}",
        *([] if tunnel["local"] == ANY else [f"local={tunnel['local']}"]),
        f"remote={tunnel['endpoint']}",
        *([f"parent={tunnel['dev']}"] if tunnel.get("dev") else []),
        f"ttl={tunnel['ttl']}",
        f"mtu={tunnel['mtu']}",
        "",
        "[ipv4]",
        "method=disabled",
        "",
        "[ipv6]",
        "method=manual",
        "addr-gen-mode=stable-privacy",  # with the usual one, of Ethernet's addresses, a tunnel does not come up
        *(f"address{number}={each}" for number, each in enumerate(listed, 1)),
    ]
    for number, (route, options) in enumerate(_routes(tunnel), 1):
        lines += [f"route{number}={route}", f"route{number}_options={options}"]
    lines += ["", "[user]", f"{OURS}=managed", f"{OURS}.addresses={' '.join(every)}"]
    if not tunnel["routes"] and tunnel["gateway"]:
        lines.append(f"{OURS}.gateway={tunnel['gateway']}")
    return tunnel_own.HEADER + "\n".join(lines) + "\n"


def _routes(tunnel: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The routes of a tunnel, and their options."""
    for prefix, gateway, metric in _declared(tunnel):
        options = f"from={prefix},onlink=true" if prefix else f"onlink=true,src={tunnel['source']}"
        yield f"{tunnel_keyfile.DEFAULT},{gateway},{metric}", options
    for route in tunnel.get("unreachable", []):
        _, prefix, _, metric = route.split()
        yield f"{prefix},,{metric}", f"type={UNREACHABLE}"


def _declared(tunnel: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """The default routes of a tunnel: where its packets come from, or an empty text; gateway; and metric."""
    for route in tunnel["routes"]:
        words = route.split()
        pairs = dict(zip(words[1::2], words[2::2]))
        yield pairs.get("from", ""), pairs["via"], int(pairs["metric"])


# --------------------------------------------------------------------------------------------------------------
# Reading


def marked(profile: tunnel_keyfile.Profile, content: str) -> bool:
    """
    Whether a connection has our mark. A clone of ours has it as well.

    profile
        The connection.
    content
        The text of its file.
    """
    return profile.entry("user", OURS) is not None or content.startswith(tunnel_own.MARK)


def tunnel(profile: tunnel_keyfile.Profile) -> dict[str, Any]:
    """
    The keys of a tunnel as far as a connection has them.

    profile
        A connection of one of the kinds in ``CARRIERS``.
    """
    result: dict[str, Any] = {"name": profile.interface, "endpoint": profile.value("ip-tunnel", "remote")}
    if profile.kind != CARRIERS[0]:
        result["carrier"] = profile.kind
    if profile.value("ip-tunnel", "local"):
        result["local"] = profile.value("ip-tunnel", "local")
    if profile.value("ip-tunnel", "parent"):
        result["dev"] = profile.value("ip-tunnel", "parent")
    for key in ("ttl", "mtu"):
        number = tunnel_keyfile.number(profile.value("ip-tunnel", key))
        if number:
            result[key] = number
    used = USED.fullmatch(profile.value("ipv6", "method"))
    listed = [each.address for each in tunnel_keyfile.addresses(profile)] if used else []
    result.update(_routing(profile))
    routed = [each.destination for each in tunnel_keyfile.routes(profile) if _refuses(each)]
    if routed:
        result["routed"] = routed
    noted = _noted(profile, "addresses").split()
    order = noted if sorted(noted) == sorted(listed) else _from_the_main_one(listed, result.get("gateway"))
    result["addresses"] = order[1:]
    if order:
        result["address"] = order[0]
        result.setdefault("source", listed[0].partition("/")[0])
    return result


def _routing(profile: tunnel_keyfile.Profile) -> dict[str, Any]:
    """``routing``, ``gateway``, ``metric`` and ``source``, as far as the routes tell."""
    usual = tunnel_keyfile.number(profile.value("ipv6", "route-metric")) or tunnel_keyfile.METRIC
    gateway = tunnel_keyfile.gateway(profile)
    routes = [each for each in tunnel_keyfile.routes(profile) if each.destination == tunnel_keyfile.DEFAULT]
    routes = [each for each in routes if not _refuses(each)]
    result: dict[str, Any] = {"routing": "none"}
    if gateway:
        result.update(routing="default", gateway=gateway, metric=usual)
    elif routes:
        first = next((each for each in routes if "from" not in each.options), routes[0])
        result.update(routing="source" if "from" in first.options else "default", metric=first.metric or usual)
        if first.gateway:
            result["gateway"] = first.gateway
    elif _noted(profile, "gateway"):
        result["gateway"] = _noted(profile, "gateway")
    sources = [each.options["src"] for each in routes if "src" in each.options]
    return {**result, "source": tunnel_keyfile.address(sources[0])} if sources else result


def _refuses(route: tunnel_keyfile.Route) -> bool:
    """Whether a route refuses packets, to addresses of a prefix that nobody has."""
    return route.options.get("type") == UNREACHABLE


def _noted(profile: tunnel_keyfile.Profile, key: str) -> str:
    """What our own file notes because nothing else in it could tell: which address is the broker's, and their order."""
    return profile.value("user", f"{OURS}.{key}")


def _from_the_main_one(listed: list[str], gateway: str | None) -> list[str]:
    """The address that is in the network of the gateway, and the others."""
    if gateway:
        host = ipaddress.IPv6Address(gateway)
        return sorted(listed, key=lambda each: host not in ipaddress.IPv6Interface(each).network)
    return listed


def same(before: tunnel_keyfile.Profile, fresh: tunnel_keyfile.Profile, wanted: Mapping[str, Any]) -> bool:
    """
    Whether our own file works and means what it should, though NetworkManager may have written it in its way.

    before, fresh
        The connection of the file, and the one that it should have.
    wanted
        The tunnel, in canonical form.
    """
    ipv6 = {key: before.value("ipv6", key) for key in ("method", "addr-gen-mode")}
    works = ipv6["method"] == "manual" and ipv6["addr-gen-mode"] not in ("", "0", "eui64")
    known = bool(before.value("connection", "uuid"))
    return works and known and not [*lost(before, wanted)] and tunnel(before) == tunnel(fresh)


# --------------------------------------------------------------------------------------------------------------
# Comparing


def lost(profile: tunnel_keyfile.Profile, wanted: Mapping[str, Any] | None) -> Iterator[str]:
    """
    The lines of a connection that say something else than a tunnel does: their numbers and keys, never a value.

    profile
        The connection.
    wanted
        The tunnel, in canonical form; ``None`` for whatever a tunnel could say.
    """
    for line in profile.strange:
        yield f"{line} (NetworkManager cannot read it)"
    listed = {each.entry: each for each in tunnel_keyfile.addresses(profile)}
    routes = {each.entry: each for each in tunnel_keyfile.routes(profile)}
    options = {(each.entry.section, f"{each.entry.key}_options"): each for each in routes.values()}
    names = any(profile.value("ipv6", each) for each in ("dns", "dns-search"))
    for entry in profile.entries:
        place = f"{entry.section.partition('.')[0]}.{entry.key}"
        if entry in listed:
            why = _of_address(listed[entry], profile, wanted)
        elif entry in routes:
            why = _of_route(routes[entry], wanted)
        elif (entry.section, entry.key) in options:
            why = _of_options(options[entry.section, entry.key], wanted)
        elif place == "ip-tunnel.mode":
            why = _of_mode(profile.kind, wanted)
        elif place == "ipv6.gateway":
            why = _of_gateway(tunnel_keyfile.gateway(profile), wanted)
        elif HARMLESS.fullmatch(f"{place}={entry.value}") or (place == "ipv6.dns-priority" and not names):
            why = ""
        elif place in ENDS:
            why = _of_end(ENDS[place], entry.value, wanted)
        else:
            why = OTHER
        if why:
            yield f"{entry.line} ({place}: {why})"


# The keys of a tunnel that a connection has by themselves.
ENDS = {
    "ip-tunnel.remote": "endpoint",
    "ip-tunnel.local": "local",
    "ip-tunnel.parent": "dev",
    "ip-tunnel.ttl": "ttl",
    "ip-tunnel.mtu": "mtu",
    "ipv6.route-metric": "metric",
}


def _of_end(key: str, value: str, wanted: Mapping[str, Any] | None) -> str:
    if wanted is None:
        return ""
    number = tunnel_keyfile.number(value) if isinstance(wanted.get(key), int) else value
    return "" if number == wanted.get(key) else _another(key)


def _of_mode(kind: str, wanted: Mapping[str, Any] | None) -> str:
    if kind not in CARRIERS:
        return "expected that of sit, 3, or of gre, 2"
    return "" if wanted is None or kind == wanted.get("carrier", CARRIERS[0]) else _another("carrier")


def _another(key: str) -> str:
    return f"the pillar has another {key}"


def _of_gateway(gateway: str, wanted: Mapping[str, Any] | None) -> str:
    """A gateway makes a default route, unless that is forbidden: then it is empty."""
    if not gateway or wanted is None or any(each[:2] == ("", gateway) for each in _declared(wanted)):
        return ""
    return _another("routing" if wanted["gateway"] == gateway else "gateway")


def _of_address(
    found: tunnel_keyfile.Address, profile: tunnel_keyfile.Profile, wanted: Mapping[str, Any] | None
) -> str:
    if wanted is not None and found.address not in [wanted["address"], *wanted["addresses"]]:
        return "it is not among the pillar's addresses"
    return _of_gateway(tunnel_keyfile.gateway(profile), wanted) if found.gateway else ""


def _of_route(found: tunnel_keyfile.Route, wanted: Mapping[str, Any] | None) -> str:
    if _refuses(found):
        return "" if wanted is None or found.destination in wanted.get("routed", []) else _another("routed")
    if found.destination != tunnel_keyfile.DEFAULT:
        return OTHER
    if wanted is None:
        return ""
    prefix = found.options.get("from", "")
    for declared, gateway, metric in _declared(wanted):
        if (declared, gateway) == (prefix, found.gateway):
            return "" if found.metric in (None, metric) else _another("metric")
    return _another("routing" if wanted["gateway"] == found.gateway else "gateway")


def _of_options(found: tunnel_keyfile.Route, wanted: Mapping[str, Any] | None) -> str:
    for option, value in found.options.items():
        if option not in ROUTE_OPTIONS and (option, value) not in USUAL_OPTIONS:
            return f"{OTHER}, {option}"
    source = found.options.get("src")
    return (
        ""
        if wanted is None or source is None or tunnel_keyfile.address(source) == wanted["source"]
        else _another("source")
    )
