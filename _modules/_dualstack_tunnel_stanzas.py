"""
What the stanzas and hooks of /etc/network/interfaces say about a tunnel, for each implementation of ifup(8). PURE:
never accesses the host.

A *fact* is one line's contribution: a key of the tunnel, or none for a line that no key can express.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_tunnel_hooks as tunnel_hooks
import _dualstack_tunnel_interfaces5 as tunnel_interfaces5
import _dualstack_tunnel_own as tunnel_own
import _dualstack_tunnel_scripts as tunnel_scripts

Stanza = tunnel_interfaces5.Stanza


class Dialect(NamedTuple):
    """How an implementation of ifup(8) writes a tunnel."""

    options: Mapping[str, str]  # the names of options, and the tunnel's keys
    methods: tuple[tuple[str, str], ...]  # families and methods that a tunnel's stanzas may have
    metric: int  # of a default route, where none is given
    harmless: Mapping[str, tuple[str, ...]]  # options that say what is so anyway, with these values; empty for any
    any_local: bool = False  # whether it has to be said that there is no local address


COMMON = {"mtu": "mtu", "gateway": "gateway", "metric": "metric", "address": "address"}
HARMLESS = {
    "netmask": (),  # read with the address
    "preferred-lifetime": (),
    "accept_ra": ("0",),
    "autoconf": ("0",),
    "privext": ("0",),
    "dad-attempts": (),
    "dad-interval": (),
    "scope": ("global",),
}
IFUPDOWN = Dialect(
    {**COMMON, "endpoint": "endpoint", "local": "local", "ttl": "ttl"},
    (("inet6", "v4tunnel"), ("inet6", "static"), ("inet6", "manual"), ("inet", "manual")),
    1024,
    HARMLESS,
)
TUNNEL_OPTIONS = {"tunnel-local": "local", "tunnel-ttl": "ttl", "tunnel-dev": "dev"}
IFUPDOWN_NG = Dialect(
    {**COMMON, **TUNNEL_OPTIONS, "tunnel-remote": "endpoint"},
    (("", ""), ("inet6", "static"), ("inet6", "manual"), ("inet", "manual")),
    1,
    {**HARMLESS, "use": ("tunnel", "static", "link"), "tunnel-mode": tunnel_hooks.KINDS},
    True,
)
IFUPDOWN2 = Dialect(
    {**COMMON, "tunnel-physdev": "dev", **TUNNEL_OPTIONS, "tunnel-endpoint": "endpoint"},
    (("", ""), ("inet6", "static"), ("inet6", "manual"), ("inet", "manual")),
    1024,
    {**HARMLESS, "tunnel-mode": tunnel_hooks.KINDS},
)
# The names of all dialects, for tunnels that any of them would make.
ENDS = {"endpoint": ("endpoint", "tunnel-remote", "tunnel-endpoint"), "local": ("local", "tunnel-local")}
NUMBERS = ("ttl", "mtu", "metric")
SIT = "sit"
# A hook, since a stanza `v4tunnel` does not heed the option. None may fail: ifdown would not know the interface then.
QUIET = "echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || true"
DOWN = {"post-up": "pre-down"}  # the hooks that undo what others have done
KERNEL = 1024  # the metric of a route that is given none
IMPLIED = "metric of itself"  # the key of a fact about a metric that no line gives


class Fact(NamedTuple):
    """What a line says about a tunnel."""

    key: str  # of the tunnel; empty where it says something else
    value: Any
    path: str
    line: int  # from 1
    word: str  # its first


class Reading(NamedTuple):
    """All that the files of a host say about a tunnel."""

    facts: list[Fact]
    lines: dict[str, list[int]]  # by path: where it is declared, from 1
    taken: dict[str, frozenset[int]]  # by path: lines of other stanzas that are about nothing else, from 0
    staying: list[Fact]  # lines of other stanzas that configure it, and do more


def read(name: str, host: Mapping[str, str], dialect: Dialect) -> Reading:
    """
    All that the files of a host say about a tunnel.

    name
        The interface.
    host
        The texts of the files, by path.
    dialect
        That of the implementation.
    """
    facts: list[Fact] = []
    lines: dict[str, list[int]] = {}
    taken: dict[str, frozenset[int]] = {}
    staying: list[Fact] = []
    every = {path: tunnel_interfaces5.stanzas(text) for path, text in host.items()}
    for path, stanzas in every.items():
        for stanza in stanzas:
            if stanza.declares(name):
                lines.setdefault(path, []).append(stanza.first + 1)
                facts += _of_stanza(name, path, stanza, every, dialect)
            elif stanza.keyword == "iface":
                for found, option, understood in _of_another(name, path, stanza):
                    lines.setdefault(path, []).append(option.first + 1)
                    if understood:
                        facts += found
                        span = frozenset(range(option.first, option.last + 1))
                        taken[path] = taken.get(path, frozenset()) | span
                    else:
                        staying += found
    # Sorted by how they come to be: what makes the tunnel, then the addresses of its own stanza.
    facts.sort(key=lambda each: each.key not in ("tunnel", "endpoint"))
    return Reading(facts, {path: sorted(set(each)) for path, each in lines.items()}, taken, staying)


def _of_stanza(
    name: str, path: str, stanza: Stanza, every: Mapping[str, list[Stanza]], dialect: Dialect
) -> Iterator[Fact]:
    """The facts of a stanza of the tunnel's own."""
    lost = Fact("", None, path, stanza.first + 1, stanza.keyword)
    if stanza.selects:
        if stanza.keyword not in ("auto", "allow-auto", "allow-hotplug"):
            yield lost._replace(key="selection")
        return
    base = next((each for each in _bases(stanza, every)), None)
    family, method = stanza.method if stanza.method != ("", "") or base is None else base[1].method
    extra = [each for each in stanza.words[4:5] if not each.startswith("#")]  # behind that, it may be a comment's
    if stanza.keyword != "iface" or (family, method) not in dialect.methods or extra or stanza.inherits:
        yield lost
    if stanza.keyword != "iface":
        return
    sources = [(path, stanza), *_bases(stanza, every)]
    if (family, method) == ("inet6", "v4tunnel") and (family, method) in dialect.methods:
        yield Fact("tunnel", "sit", path, stanza.first + 1, stanza.keyword)
    elif "tunnel-mode" in dialect.harmless:
        modes = [mode for _, each in sources for mode in each.values("tunnel-mode") if mode in tunnel_hooks.KINDS]
        for mode in modes[:1]:
            yield Fact("tunnel", mode, path, stanza.first + 1, stanza.keyword)
    if family == "inet" and method != "manual":
        return  # IPv4: no line of it is the tunnel's
    yield from _of_options(name, sources, dialect)


def _bases(stanza: Stanza, every: Mapping[str, list[Stanza]]) -> list[tuple[str, Stanza]]:
    """The stanzas that one inherits from, with their paths."""
    found: list[tuple[str, Stanza]] = []
    wanted = stanza.inherits
    while wanted and all(each.name != wanted for _, each in found):
        more = [(path, each) for path, some in every.items() for each in some if each.name == wanted]
        if not more:
            break
        found += more[:1]
        wanted = more[0][1].inherits
    return found


def _of_options(name: str, sources: list[tuple[str, Stanza]], dialect: Dialect) -> Iterator[Fact]:
    """The facts of the options of a stanza, and of those that it inherits from."""
    masks = [each for _, stanza in sources for each in stanza.values("netmask")]
    lifetimes = [each for _, stanza in sources for each in stanza.values("preferred-lifetime")]
    metrics = [each for _, stanza in sources for each in stanza.values("metric")]
    hooks: list[Fact] = []
    seen: set[str] = set()
    for path, stanza in sources:
        for option in stanza.options:
            key, value = option.key, tunnel_interfaces5.plain(option.value)
            fact = Fact("", None, path, option.first + 1, key)
            known = dialect.options.get(key, "")
            if key in tunnel_interfaces5.HOOKS:
                hooks += _of_hook(fact, option, name, name)
            elif known in seen and known != "address" and len(sources) > 1:
                continue  # the base has it as well, and the stanza's own counts
            elif known == "address":
                address = value if "/" in value else f"{value}/{masks[0] if masks else '128'}"
                given = "/" in value or bool(masks)
                deprecated = lifetimes[:1] == ["0"]
                yield fact._replace(key="address", value=(_canonical(address), deprecated, given))
            elif known == "gateway":
                yield fact._replace(key="routing", value="default")
                yield fact._replace(key="gateway", value=_canonical_host(value))
                if not metrics:
                    yield fact._replace(key=IMPLIED, value=dialect.metric)
            elif known == "local" and value in ("any", "0.0.0.0"):
                continue
            elif known == "ttl" and value in ("inherit", "0"):
                continue
            elif known:
                yield fact._replace(key=known, value=_number(value) if known in NUMBERS else value)
            elif key not in dialect.harmless or (dialect.harmless[key] and value not in dialect.harmless[key]):
                yield fact
            seen.add(known)
    yield from hooks


def _of_hook(fact: Fact, option: tunnel_interfaces5.Option, name: str, iface: str) -> list[Fact]:
    found = tunnel_hooks.effects(option.value, name, iface)
    if found is None:
        return [fact]
    if option.key in tunnel_interfaces5.DOWN:
        return [] if all(not each.key for each in found) else [fact]
    result = []
    for effect in found:
        if effect.key == "metric" and effect.value is None:  # ip-route(8) has none of its own
            result.append(fact._replace(key=IMPLIED, value=KERNEL))
        elif effect.key:
            result.append(fact._replace(key=effect.key, value=effect.value))
    return result


def _of_another(name: str, path: str, stanza: Stanza) -> Iterator[tuple[list[Fact], tunnel_interfaces5.Option, bool]]:
    """The hooks of another interface that configure the tunnel: facts, option, and whether they do nothing else."""
    for option in stanza.options:
        if option.key not in tunnel_interfaces5.HOOKS:
            continue
        fact = Fact("", None, path, option.first + 1, option.key)
        if name not in option.value or not tunnel_hooks.touches(option.value, name, stanza.name):
            continue
        found = _of_hook(fact, option, name, stanza.name)
        yield found, option, all(each.key for each in found)


def _canonical(text: str) -> str:
    try:
        return str(ipaddress.ip_interface(text))
    except ValueError:
        return text


def _canonical_host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _number(text: str) -> int | str:
    """A number if it is one; anything else stays as it is."""
    try:
        return int(text)
    except ValueError:
        return text


def lines(tunnel: Mapping[str, Any], dialect: Dialect, up: str) -> list[str]:
    """
    The options of a stanza that ends a tunnel's file, for the implementations that make a tunnel by ``tunnel-mode``.

    tunnel
        In canonical form.
    dialect
        That of the implementation.
    up
        The hook by which it runs what it has no option for.
    """
    names = {key: option for option, key in dialect.options.items()}
    result = [f"tunnel-mode {tunnel.get('carrier', SIT)}"]
    if tunnel["local"] not in tunnel_own.NO_LOCAL:
        result.append(f"{names['local']} {tunnel['local']}")
    elif dialect.any_local:
        result.append(f"{names['local']} {tunnel_scripts.ANY}")
    result += [f"{names['dev']} {tunnel['dev']}"] if tunnel.get("dev") else []
    result += [f"{names['endpoint']} {tunnel['endpoint']}", f"{names['ttl']} {tunnel['ttl']}", f"mtu {tunnel['mtu']}"]
    addresses = [tunnel["address"], *tunnel["addresses"]]
    result += [f"address {each}" for each in addresses]
    if tunnel["routing"] == "default":
        result += [f"gateway {tunnel['gateway']}", f"metric {tunnel['metric']}"]
    for each in addresses:
        if each.partition("/")[0] != tunnel["source"]:
            result.append(f"{up} ip -6 addr replace {each} dev $IFACE preferred_lft 0")
    result.append(f"{up} {QUIET}")
    if tunnel["routing"] == "source":
        result += [f"{up} ip -6 route replace {route} dev $IFACE onlink" for route in tunnel["routes"]]
    return [
        *(f"    {each}" for each in result),
        *refusing(tunnel, up),
        *(f"    {each}" for each in tunnel_own.unrouted(tunnel)),
    ]


def refusing(tunnel: Mapping[str, Any], up: str = "up") -> list[str]:
    """
    The hooks that refuse packets to unassigned addresses of a tunnel's prefixes. The route has no device, so it does
    not go by itself.

    tunnel
        In canonical form.
    up
        The hook by which an implementation runs what it has no option for.
    """
    ways = ((up, "replace"), (DOWN.get(up, "down"), "del"))
    return [
        f"    {when} ip -6 route {verb} {route} || true"
        for route in tunnel.get("unreachable", [])
        for when, verb in ways
    ]


def parse(name: str, host: Mapping[str, str], dialect: Dialect) -> dict[str, Any] | None:
    """
    The tunnel that the configuration of a host declares: its keys as far as the files have them, ``None`` if it is not
    in them.

    name
        The interface.
    host
        The texts of the files, by path.
    dialect
        That of the implementation.
    """
    facts = read(name, host, dialect).facts
    if not any(each.key == "tunnel" for each in facts):
        return None
    tunnel: dict[str, Any] = {"name": name, "addresses": [], "routing": "none"}
    addresses = [each.value for each in facts if each.key == "address"]
    deprecated = {value[0] for value in addresses if value[1]}
    for fact in facts:
        if fact.key in ("endpoint", "local", "dev", "gateway", tunnel_hooks.PEERED):
            tunnel.setdefault(fact.key, fact.value)
        elif fact.key == "tunnel" and fact.value != SIT:
            tunnel["carrier"] = fact.value
        elif fact.key == "routed":
            tunnel.setdefault("routed", []).append(fact.value)
        elif fact.key in NUMBERS:
            tunnel[fact.key] = fact.value  # a hook's comes after the stanza's, and stays
        elif fact.key == IMPLIED and fact.value != KERNEL:
            tunnel.setdefault("metric", fact.value)
        elif fact.key == "routing" and tunnel["routing"] != "default":
            tunnel["routing"] = fact.value
    own = host.get(tunnel_interfaces5.own_file(name), "")
    if tunnel["routing"] == "none":
        tunnel.update(tunnel_own.remembered(own))
    for address, _, _ in addresses:
        if "address" not in tunnel:
            tunnel["address"] = address
        elif address not in (tunnel["address"], *tunnel["addresses"]):
            tunnel["addresses"].append(address)
    everything = [tunnel["address"], *tunnel["addresses"]] if "address" in tunnel else []
    source = next((each for each in everything if each not in deprecated), None)
    explicit = next((each.value for each in facts if each.key == "source"), None)
    if explicit or source:
        tunnel["source"] = explicit or str(source).partition("/")[0]
    return tunnel


def tunnels(host: Mapping[str, str]) -> list[dict[str, Any]]:
    """
    All tunnels that the files of a host would make, in any dialect, and by hooks: ``name``, ``kind``, ``endpoint``,
    ``local`` (``any`` where it is not given), ``place``, and whether the file is ``ours``.

    host
        The texts of the files, by path.
    """
    result: list[dict[str, Any]] = []
    every = {path: tunnel_interfaces5.stanzas(text) for path, text in host.items()}
    for path, text in host.items():
        ours = text.startswith(tunnel_own.MARK)
        for stanza in every[path]:
            if stanza.keyword == "iface":
                for entry, line in _tunnels(stanza, every):
                    result.append({**entry, "place": f"{path}, line {line}", "ours": ours})
    return result


def _tunnels(stanza: Stanza, every: Mapping[str, list[Stanza]]) -> Iterator[tuple[dict[str, Any], int]]:
    sources = [stanza, *(each for _, each in _bases(stanza, every))]
    method = next((each.method for each in sources if each.method != ("", "")), ("", ""))
    ends = {
        end: _end([each for name in names for some in sources for each in some.values(name)])
        for end, names in ENDS.items()
    }
    modes = [each for some in sources for key in ("tunnel-mode", "mode") for each in some.values(key)]
    kind = ""
    if method == ("inet6", "v4tunnel"):
        kind = "sit"
    elif method == ("inet6", "6to4"):
        kind = "6to4"
    elif method == ("inet", "tunnel") or any(
        each.values("tunnel-mode") or "tunnel" in each.values("use") for each in sources
    ):
        kind = tunnel_scripts.MODES.get("".join(modes[:1]).lower(), tunnel_scripts.UNKNOWN)
    elif stanza.name == "sit0" and method == ("inet6", "static"):
        kind = "6to4"
    if kind:
        kind = "6to4" if kind == "sit" and ends["endpoint"] == tunnel_scripts.ANY else kind
        yield {"name": stanza.name, "kind": kind, **ends}, stanza.first + 1
    for option in stanza.options:
        if option.key in tunnel_interfaces5.HOOKS and option.key not in tunnel_interfaces5.DOWN:
            for found in tunnel_scripts.found(option.value, known={"IFACE": stanza.name}):
                yield {key: found[key] for key in ("name", "kind", "endpoint", "local")}, option.first + 1


def _end(values: list[str]) -> str:
    if not values or values[0] in ("any", "0.0.0.0", ""):
        return tunnel_scripts.ANY
    found = _canonical_host(values[0])
    return found if found != values[0] or _is_address(found) else tunnel_scripts.UNKNOWN


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
