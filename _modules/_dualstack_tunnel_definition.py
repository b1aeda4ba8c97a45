"""
A tunnel in the configuration of netplan: what its files say, and what of it the keys of a declared tunnel do not. PURE:
never accesses the host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

import _dualstack_tunnel_own as tunnel_own
import _dualstack_tunnel_units as tunnel_units
import _dualstack_tunnel_yaml as tunnel_yaml
from _dualstack_tunnel_yaml import Leaf, Value

NETWORKD, NETWORKMANAGER = "networkd", "NetworkManager"
TYPES = ("ethernets", "wifis", "modems", "bonds", "bridges", "vlans", "vrfs", "dummy-devices", "nm-devices", "tunnels")
CARRIERS = ("sit", "gre")  # those that can be declared
DEFAULT = ("default", "::/0", "0::/0", "::0/0")
ANY = ("", "any", "0.0.0.0")
OWN = "# the tunnel's own"  # behind its address, where no route tells it from the others
# What may be said without being missed: it is the default, or has no effect on a tunnel of this kind.
IDLE: dict[tuple[str, ...], tuple[str, ...]] = {
    ("accept-ra",): tunnel_yaml.NO,
    ("dhcp4",): tunnel_yaml.NO,
    ("dhcp6",): tunnel_yaml.NO,
    ("optional",): tunnel_yaml.YES,
    ("ignore-carrier",): (*tunnel_yaml.YES, *tunnel_yaml.NO),
    ("ipv6-privacy",): tunnel_yaml.NO,
    ("ipv6-address-generation",): ("stable-privacy", "eui64"),
    ("link-local",): ("ipv6", ""),
    ("renderer",): (NETWORKD, NETWORKMANAGER),
    ("addresses", "label"): (),
    ("routes", "on-link"): (*tunnel_yaml.YES, *tunnel_yaml.NO),
    ("routes", "scope"): ("global",),
    ("networkmanager", "uuid"): (),
    ("networkmanager", "name"): (),
}
# Keys of the keyfile that netplan passes through, with what they may say.
PASSED: dict[str, tuple[str, ...]] = {
    "connection.interface-name": (),
    "connection.timestamp": (),
    "connection.permissions": (),
    "ipv4.method": ("disabled",),
    "ipv6.method": ("manual",),
    "ipv6.addr-gen-mode": (),
    "ipv6.ip6-privacy": ("0", "-1"),
    "proxy._": (),
}


def renderer(name: str, host: Mapping[str, str], own: str) -> str:
    """
    What configures the host's own interfaces: ``networkd`` or ``NetworkManager``. Where nothing else says it, it is
    what renders the tunnel already.

    name
        The tunnel's.
    host
        The texts of the host's files, by path.
    own
        The tunnel's own file.
    """
    others = {path: text for path, text in host.items() if path != own}
    network = tunnel_yaml.mapping(tunnel_yaml.read(others), "network")
    general = tunnel_yaml.text(network.get("renderer"))
    said, rest = [], [general]
    for kind in TYPES:
        found = tunnel_yaml.mapping(network.get(kind))
        of_kind = tunnel_yaml.text(found.get("renderer"))
        tunnels = defined(others) if kind == "tunnels" else {}
        mine = [each for key, each in tunnels.items() if key == name]
        own_words = [
            tunnel_yaml.text(tunnel_yaml.mapping(each).get("renderer")) for each in found.values() if each not in mine
        ]
        if kind == "tunnels":
            rest += [of_kind, *own_words]
        else:  # an interface's own word counts before the general one
            said += [each or of_kind or general for each in own_words]
    said += rest
    now = defined(host).get(name)
    said.append(tunnel_yaml.text(now.data.get("renderer")) if now else "")
    return NETWORKMANAGER if next(filter(None, said), "").lower() == NETWORKMANAGER.lower() else NETWORKD


def networkd_route(said: Mapping[str, str]) -> list[str]:
    """
    A route that netplan cannot write, in systemd-networkd's own words: its ``from`` is the address that packets get,
    not the one that they have.

    said
        Its ``from``, ``via`` and ``metric``.
    """
    lines = ["[Route]", "Destination=::/0", f"Source={said['from']}", f"Gateway={said['via']}"]
    return [*lines, "GatewayOnLink=yes", f"Metric={said['metric']}"]


def end(text: str) -> str:
    """
    An end of a tunnel; ``any`` for one that is not given.

    text
        As a file has it.
    """
    return "any" if text in ANY else text


def defined(host: Mapping[str, str]) -> dict[str, Value]:
    """
    All definitions of tunnels, by the names of their interfaces.

    host
        The texts of the host's files, by path.
    """
    found = tunnel_yaml.mapping(tunnel_yaml.read(host), "network", "tunnels")
    result = {}
    for key, each in found.items():
        if isinstance(each.data, dict):
            passed = tunnel_yaml.mapping(each, "networkmanager", "passthrough")
            result[tunnel_yaml.text(passed.get("connection.interface-name")) or key] = each
    return result


def read(name: str, host: Mapping[str, str], extra: list[tunnel_units.Line]) -> dict[str, Any] | None:
    """
    The keys of a tunnel as far as the files have them; ``None`` if no file defines a sit of this name.

    name
        The tunnel's.
    host
        The texts of the host's files, by path.
    extra
        The assignments that are added to what netplan makes of it for systemd-networkd.
    """
    found = defined(host).get(name)
    mode = "" if found is None else tunnel_yaml.text(found.data.get("mode"))
    if found is None or mode not in CARRIERS:
        return None
    said = found.data
    tunnel: dict[str, Any] = {"name": name, "routing": "none", **({} if mode == "sit" else {"carrier": mode})}
    for key, theirs in (("endpoint", "remote"), ("local", "local")):
        value = tunnel_yaml.text(said.get(theirs))
        if value not in ANY:
            tunnel[key] = value
    passed = tunnel_yaml.mapping(found, "networkmanager", "passthrough")
    for key, values in (("ttl", [said.get("ttl")]), ("mtu", [passed.get("ip-tunnel.mtu"), said.get("mtu")])):
        value = next((text for each in values if (text := tunnel_yaml.text(each))), "")
        if value:
            tunnel[key] = number(value)
    if routed := list(_refusing(found, passed)):
        tunnel["routed"] = routed
    listed = list(addresses(found))
    tunnel.update(_routed(found, passed, extra))
    source = tunnel.pop("source", "") or next((host_of(each) for each, preferred, _ in listed if preferred), "")
    if source:
        tunnel["source"] = source
    gateway = tunnel.get("gateway", "")
    own = next((each for each, _, place in listed if OWN in line(host, place)), "")
    own = own or next((each for each, _, _ in listed if beside(gateway, each)), "")
    own = own or next((each for each, _, _ in listed), "")
    if own:
        tunnel["address"] = own
    tunnel["addresses"] = [each for each, _, _ in listed if each != own]
    return tunnel


def line(host: Mapping[str, str], place: tunnel_yaml.Place) -> str:
    """
    The line of a file at which something stands.

    host
        The texts of the host's files, by path.
    place
        Where.
    """
    lines = host.get(place.path, "").splitlines()
    return lines[place.line - 1] if 0 < place.line <= len(lines) else ""


def number(text: str) -> Any:
    """
    A number, if it is one.

    text
        As a file has it.
    """
    return int(text) if text.isdecimal() else text


def host_of(address: str) -> str:
    """
    An address without its prefix length.

    address
        With it, or without.
    """
    return address.partition("/")[0]


def beside(address: str, other: str) -> bool:
    """
    Whether an address is in the prefix of another.

    address, other
        The second one with its prefix length.
    """
    try:
        return ipaddress.IPv6Address(address) in ipaddress.IPv6Interface(other).network
    except ValueError:
        return False


def same(address: str) -> str:
    """
    An address or a prefix as it is compared; as it stands, if it is none.

    address
        As a file has it.
    """
    for kind in (ipaddress.ip_address, ipaddress.ip_interface):
        try:
            return str(kind(address))
        except ValueError:
            continue
    return address


def addresses(definition: Value) -> Iterator[tuple[str, bool, tunnel_yaml.Place]]:
    """
    The addresses of a definition, each with whether it is preferred, and where it stands.

    definition
        The tunnel's.
    """
    seen = set()
    for each in tunnel_yaml.items(definition.data.get("addresses")):
        options: dict[str, Value] = {}
        found = each.data
        if isinstance(found, dict):
            for found, inner in each.data.items():
                options = tunnel_yaml.mapping(inner)
        if isinstance(found, str) and same(found) not in seen:
            seen.add(same(found))
            yield same(found), tunnel_yaml.text(options.get("lifetime")) != "0", each.place


def _refusing(found: Value, passed: Mapping[str, Value]) -> Iterator[str]:
    """The prefixes of the routes that refuse packets, to addresses that nobody has."""
    for route in tunnel_yaml.items(found.data.get("routes")):
        words = {key: tunnel_yaml.text(each) for key, each in tunnel_yaml.mapping(route).items()}
        if words.get("type") == "unreachable":
            yield str(same(words.get("to", "")))
    for key, value in passed.items():
        if options_of(tunnel_yaml.text(passed.get(f"{key}_options"))).get("type") == "unreachable":
            yield str(same(tunnel_yaml.text(value).partition(",")[0]))


def _routed(found: Value, passed: Mapping[str, Value], extra: list[tunnel_units.Line]) -> dict[str, Any]:
    """The default routes: `routing`, `gateway`, `metric`, and the `source` that they name."""
    result: dict[str, Any] = {}
    rules = [tunnel_yaml.text(tunnel_yaml.mapping(each).get("table")) for each in _rules(found)]
    for route in tunnel_yaml.items(found.data.get("routes")):
        words = {key: tunnel_yaml.text(each) for key, each in tunnel_yaml.mapping(route).items()}
        if not is_default(words):
            continue
        table = words.get("table", "")
        if table not in units_main() and table not in rules:
            continue
        result.setdefault("routing", "source" if table not in units_main() else "default")
        _add(result, words.get("via", ""), words.get("metric", ""), words.get("from", ""))
    if gateway := tunnel_yaml.text(found.data.get("gateway6")):
        result.setdefault("routing", "default")
        _add(result, gateway, "", "")
    for key, value in passed.items():
        if key.startswith("ipv6.route") and not key.endswith("_options"):
            to, *rest = tunnel_yaml.text(value).split(",")
            options = options_of(tunnel_yaml.text(passed.get(f"{key}_options")))
            if to in DEFAULT and len(rest) == 2:
                result.setdefault("routing", "source" if "from" in options else "default")
                _add(result, rest[0], rest[1], options.get("src", ""))
    for block in tunnel_units.sections(extra, "Route"):
        assigned = {each.key: each.value for each in block}
        if assigned.get("Destination") == "::/0" and "Source" in assigned:
            result.setdefault("routing", "source")
            _add(result, assigned.get("Gateway", ""), assigned.get("Metric", ""), "")
    return result


def units_main() -> tuple[str, ...]:
    """The names of the main table of routes."""
    return ("", "main", "254")


def _rules(found: Value) -> list[Value]:
    return tunnel_yaml.items(found.data.get("routing-policy"))


def options_of(text: str) -> dict[str, str]:
    """
    The options of a route in a keyfile.

    text
        As in ``onlink=true,src=2001:db8::1``.
    """
    return {key: value for key, _, value in (each.partition("=") for each in text.split(","))}


def is_default(words: Mapping[str, str]) -> bool:
    """
    Whether a route is an IPv6 default route.

    words
        Its keys.
    """
    if words.get("to") not in DEFAULT or words.get("type", "unicast") not in ("", "unicast"):
        return False
    return ":" in words.get("via", "") or words.get("to") != "default"


def _add(result: dict[str, Any], gateway: str, metric: str, source: str) -> None:
    if gateway:
        result.setdefault("gateway", same(gateway))
    if metric:
        result.setdefault("metric", number(metric))
    if source:
        result.setdefault("source", host_of(same(source)))


# --------------------------------------------------------------------------------------------------------------
# What would be lost


def lost(definition: Value, tunnel: Mapping[str, Any] | None) -> list[tuple[Leaf, str]]:
    """
    What would be lost if a declared tunnel took the place of a definition: each with the key of the tunnel that says
    something else, or with an empty text.

    definition
        The one that somebody else has written.
    tunnel
        In canonical form; ``None`` if none takes its place.
    """
    rules = [tunnel_yaml.text(tunnel_yaml.mapping(each).get("table")) for each in _rules(definition)]
    result = []
    parts: list[tuple[Leaf, Leaf, dict[str, str]]] = [(leaf, leaf, {}) for leaf in _scalars(definition)]
    for route in tunnel_yaml.items(definition.data.get("routes")):
        words = {key: tunnel_yaml.text(each) for key, each in tunnel_yaml.mapping(route).items()}
        parts += [(leaf, leaf._replace(keys=("routes", *leaf.keys)), words) for leaf in tunnel_yaml.leaves(route)]
    for each, leaf, words in parts:
        said = _judged(leaf, tunnel, words, rules)
        if said is not None:
            result.append((each, said))
    return result


def _scalars(definition: Value) -> Iterator[Leaf]:
    """All but the routes; an address has its options under the key `addresses`."""
    for key, value in definition.data.items():
        if key == "addresses":
            for each in tunnel_yaml.items(value):
                if isinstance(each.data, dict):
                    for address, options in each.data.items():
                        yield Leaf(("addresses",), address, options.place)
                        for leaf in tunnel_yaml.leaves(options):
                            yield leaf._replace(keys=("addresses", *leaf.keys))
                else:
                    yield Leaf(("addresses",), tunnel_yaml.text(each), each.place)
        elif key != "routes" or not tunnel_yaml.items(value):
            yield from tunnel_yaml.leaves(value, (key,))


SAYS = {("remote",): "endpoint", ("local",): "local", ("ttl",): "ttl", ("mtu",): "mtu", ("gateway6",): "gateway"}


def _judged(leaf: Leaf, tunnel: Mapping[str, Any] | None, words: Mapping[str, str], rules: list[str]) -> str | None:
    """``None`` if the declared tunnel says the same."""
    keys, text = leaf.keys, leaf.text
    if text in tunnel_yaml.NOTHING and keys[0] not in ("routes",):
        return None
    if keys in IDLE:
        return None if not IDLE[keys] or text.lower() in [each.lower() for each in IDLE[keys]] else ""
    if keys == ("mode",):
        return None if tunnel is None or text == tunnel["carrier"] else "carrier"
    if keys[:2] == ("networkmanager", "passthrough"):
        return _judged_passed(keys[2] if len(keys) > 2 else "", text, tunnel)
    if keys[0] == "routes":
        return _judged_route(keys[-1], tunnel, words, rules)
    if keys[0] == "routing-policy":
        if keys[-1] not in ("from", "table", "priority"):
            return ""
        if tunnel is not None and tunnel["routing"] == "source" and keys[-1] == "from":
            return None if tunnel_own.routes_from(text, tunnel) else "addresses"
        return None if tunnel is None or tunnel["routing"] == "source" else "routing"
    if keys == ("addresses", "lifetime"):
        return None if text in ("0", "forever") else ""
    if keys == ("addresses",):
        return None if tunnel is None or _declared(text, tunnel) else "addresses"
    if keys not in SAYS:
        return ""
    return _differing(SAYS[keys], text, tunnel)


def _declared(address: str, tunnel: Mapping[str, Any]) -> bool:
    return str(same(address)) in [tunnel["address"], *tunnel["addresses"]]


def _differing(key: str, text: str, tunnel: Mapping[str, Any] | None) -> str | None:
    if tunnel is None:
        return None
    if key == "local" and text in ANY:
        return None
    if key == "gateway" and tunnel["routing"] != "default":
        return "routing"
    return None if same(text) == str(tunnel[key]) else key


def _judged_passed(key: str, text: str, tunnel: Mapping[str, Any] | None) -> str | None:
    if key in PASSED:
        return None if not PASSED[key] or text in PASSED[key] else ""
    if key == "ip-tunnel.mtu":
        return _differing("mtu", text, tunnel)
    if re.fullmatch(r"ipv6\.route\d+", key):
        to, via, metric = [*text.split(","), "", ""][:3]
        words = {"to": to, "via": via, **({"metric": metric} if metric else {})}
        return next((said for each in words if (said := _judged_route(each, tunnel, words, [])) is not None), None)
    if re.fullmatch(r"ipv6\.route\d+_options", key):
        options = options_of(text)
        same_source = tunnel is None or options.get("src", tunnel["source"]) == tunnel["source"]
        return None if set(options) <= {"onlink", "src"} and same_source else ""
    return ""


def _judged_route(key: str, tunnel: Mapping[str, Any] | None, words: Mapping[str, str], rules: list[str]) -> str | None:
    table = words.get("table", "")
    if words.get("type") == "unreachable" and key in ("to", "type", "metric"):
        return None if tunnel is None or same(words.get("to", "")) in tunnel["routed"] else "routed"
    if not is_default(words) or key not in ("to", "via", "metric", "from", "table", "type"):
        return ""
    if table not in units_main() and table not in rules:
        return ""
    if tunnel is None:
        return None
    if tunnel["routing"] != ("default" if table in units_main() else "source"):
        return "routing"
    if key == "via":
        return None if same(words["via"]) == tunnel["gateway"] else "gateway"
    if key == "metric":
        return None if words["metric"] == str(tunnel["metric"]) or table not in units_main() else "metric"
    if key == "from":
        return None if host_of(same(words["from"])) == tunnel["source"] else "source"
    return None
