"""
What a hook of ifup's does to a tunnel, as far as that can be said with the tunnel's own keys. PURE: never accesses the
host.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import _dualstack_tunnel_scripts as tunnel_scripts
import _dualstack_tunnel_shell as tunnel_shell
import _dualstack_tunnel_wireguard as tunnel_wireguard

DEFAULT = ("default", "::/0", "0::/0", "0/0")
# Modules that the kernel loads by itself with the first tunnel.
MODULES = ("ipv6", "sit", "tunnel4", "ip_tunnel", "net-pf-10")
QUIET = re.compile(r"/proc/sys/net/ipv6/conf/([^/\s]+)/(?:accept_ra|autoconf)")
QUIET_BY_SYSCTL = re.compile(r"net[./]ipv6[./]conf[./](.+)[./](?:accept_ra|autoconf)=0")
REFUSING = "unreachable"
KINDS = ("sit", "gre")  # of tunnels that this project makes by one command
PEERED = tunnel_wireguard.CARRIER  # and by two
ADDING, REMOVING = ("add", "replace", "change", "chg", "append"), ("delete", "remove", "flush")


class Effect(NamedTuple):
    """One of a tunnel's keys, and its value; no key: nothing that would be missed."""

    key: str
    value: Any = None


NOTHING = Effect("")
Found = tuple[str, list[Effect]]  # the interface, empty where it does not matter, and what is done to it


class _Unclear(Exception):
    """It does something that has no key."""


def effects(text: str, name: str, iface: str) -> list[Effect] | None:
    """
    What a hook does to a tunnel.

    text
        The hook, as a line of shell.
    name
        The tunnel's interface.
    iface
        The interface in whose stanza it stands: ``$IFACE``.

    Returns ``None`` where it does anything else as well: to another interface, or what no key of a tunnel says. A hook
    in the stanza of another interface has to name the tunnel's.
    """
    result: list[Effect] = []
    devices = set()
    for command in tunnel_shell.commands(text, {"IFACE": iface}):
        try:
            device, found = _effects(command)
        except (_Unclear, IndexError):
            return None
        devices.add(device)
        result += found
    named = devices - {""}
    if named - {name} or (not named and iface != name):
        return None
    return result


def touches(text: str, name: str, iface: str) -> bool:
    """
    Whether a hook configures a tunnel, whatever else it does.

    text
        The hook, as a line of shell.
    name
        The tunnel's interface.
    iface
        The interface in whose stanza it stands.
    """
    for command in tunnel_shell.commands(text, {"IFACE": iface}):
        words = tunnel_scripts.program(command.words)
        if words and words[0] in ("sh", "bash", "dash", "ash") and "-c" in words:
            return any(touches(each, name, iface) for each in words[words.index("-c") + 1 :][:1])
        if name in words or (command.words[0].endswith("route") and name in command.words):
            return True
    return False


def _effects(command: tunnel_shell.Command) -> Found:
    if not command.certain or command.before in ("|", "|&", "&", "(", ")") or command.document:
        raise _Unclear
    words = [posixpath.basename(command.words[0]), *command.words[1:]]
    targets = [each for each in command.targets if each != "/dev/null"]
    if words[0] == "echo" and len(targets) == 1:
        found = QUIET.fullmatch(targets[0])
        if found and words[1:] == ["0"]:
            return found[1], [NOTHING]
    if targets:
        raise _Unclear
    if command.before == "||" and words[0] not in ("true", ":"):
        raise _Unclear
    if words[0] in ("true", ":", "sleep"):
        return "", [NOTHING]
    reader = READERS.get(words[0])
    if reader is None:
        raise _Unclear
    return reader(words[1:])


def _modprobe(words: list[str]) -> Found:
    names = [each for each in words if not each.startswith("-")]
    if not names or any(each not in MODULES for each in names):
        raise _Unclear
    return "", [NOTHING]


def _sysctl(words: list[str]) -> Found:
    names = [QUIET_BY_SYSCTL.fullmatch(each) for each in words if not each.startswith("-")]
    devices = {each[1].replace("/", ".") for each in names if each}
    if not names or None in names or len(devices) != 1:
        raise _Unclear
    return devices.pop(), [NOTHING]


def _ip(words: list[str]) -> Found:
    made = tunnel_scripts.tunnel_of(["ip", *words])
    if made:
        return _made(made)
    _, rest = tunnel_scripts.objects(words)
    if not rest:
        raise _Unclear
    for name, reader in (("address", _address), ("route", _route), ("link", _link), ("tunnel", _tunnel)):
        if name.startswith(rest[0]):
            return reader(rest[1:])
    raise _Unclear


def _made(made: tunnel_scripts.Tunnel) -> Found:
    """A tunnel of the kind that this project makes, with nothing that it has no key for."""
    if made.kind == PEERED and not made.exotic and not made.options:
        return made.name, [Effect("tunnel", made.kind)]
    if made.kind not in KINDS or made.exotic or made.endpoint in (tunnel_scripts.ANY, tunnel_scripts.UNKNOWN):
        raise _Unclear
    result = [Effect("tunnel", made.kind), Effect("endpoint", made.endpoint)]
    if made.local != tunnel_scripts.ANY:
        result.append(Effect("local", made.local))
    for word, value in made.options.items():
        if word in ("ttl", "hoplimit", "hlim"):
            result += [] if value in ("inherit", "0") else [Effect("ttl", _number(value))]
        elif word == "mtu":
            result.append(Effect("mtu", _number(value)))
        elif word in ("dev", "link"):  # as ip-tunnel(8) has it, and ip-link(8)
            result.append(Effect("dev", value))
        else:
            raise _Unclear
    return made.name, result


def _wg(words: list[str]) -> Found:
    try:
        name, endpoint, part = tunnel_wireguard.understood(words)
    except ValueError:
        raise _Unclear from None
    return name, [Effect("endpoint", endpoint), Effect(PEERED, part)]


def _iptunnel(words: list[str]) -> Found:
    made = tunnel_scripts.tunnel_of(["iptunnel", *words])
    return _made(made) if made else _tunnel(words)


def _tunnel(words: list[str]) -> Found:
    if _removes(words[0]):
        names = [each for each in words[1:] if each not in ("name", "dev")]
        return names[0], [NOTHING]
    raise _Unclear


def _removes(verb: str) -> bool:
    """Whether a verb of ip(8) takes something away, instead of adding it; ip(8) knows it by its beginning."""
    if verb and any(each.startswith(verb) for each in ADDING):
        return False
    if verb and any(each.startswith(verb) for each in REMOVING):
        return True
    raise _Unclear


def _link(words: list[str]) -> Found:
    verb, rest = words[0], list(words[1:])
    if not "set".startswith(verb) and _removes(verb):
        names = [each for each in rest if each not in ("name", "dev")]
        return names[0], [NOTHING]
    if not verb or not "set".startswith(verb):
        raise _Unclear
    device, result = "", [NOTHING]
    while rest:
        word = rest.pop(0)
        if word == "mtu":
            result.append(Effect("mtu", _number(rest.pop(0))))
        elif word == "dev":
            device = rest.pop(0)
        elif word not in ("up", "down"):
            if device:
                raise _Unclear
            device = word
    return device, result


def _address(words: list[str]) -> Found:
    verb, rest = words[0], list(words[1:])
    removing = _removes(verb)
    device, address, deprecated = "", "", False
    while rest:
        word = rest.pop(0)
        if word == "dev":
            device = rest.pop(0)
        elif word in ("scope", "valid_lft"):
            if rest.pop(0) not in ("global", "forever"):
                raise _Unclear
        elif word == "preferred_lft":
            deprecated = rest.pop(0) in ("0", "0sec")
        elif word == "local" or word in ("nodad", "noprefixroute"):
            if word == "noprefixroute":
                raise _Unclear
        elif not address:
            address = word
        else:
            raise _Unclear
    if removing:
        return device, [NOTHING]
    return device, [Effect("address", (_interface(address), deprecated, "/" in address))]


def _interface(text: str) -> str:
    """An IPv6 address with its prefix length; /128 where none is given."""
    try:
        return str(ipaddress.IPv6Interface(text))
    except ValueError:
        raise _Unclear from None


def _route(words: list[str]) -> Found:
    verb, rest = words[0], list(words[1:])
    removing = _removes(verb)
    if rest[:1] == [REFUSING]:
        return "", [NOTHING if removing else _refused(rest[1:])]
    destination, values = "", {}
    while rest:
        word = rest.pop(0)
        if word in ("via", "dev", "from", "metric", "src", "proto", "protocol", "pref", "table", "preference", "prio"):
            values[word] = rest.pop(0)
            if word == "pref" and values[word] != "medium":
                raise _Unclear
            if word == "via" and values[word] in ("inet6", "inet"):
                values[word] = rest.pop(0)
        elif word == "to" and not destination:
            destination = rest.pop(0)
        elif word != "onlink":
            if destination:
                raise _Unclear
            destination = word
    if values.get("table", "main") != "main":
        raise _Unclear
    device = values.get("dev", "")
    if removing:
        return device, [NOTHING]
    metric = values.get("metric") or values.get("preference") or values.get("prio") or ""
    return device, _routes(destination, values.get("via", ""), metric, values.get("from", ""), values.get("src", ""))


def _refused(words: list[str]) -> Effect:
    """A route that refuses what is sent to unassigned addresses of a prefix. To the kernel it has no device but lo."""
    options = dict(zip(words[1::2], words[2::2]))
    if len(words) % 2 == 0 or options.keys() - {"metric", "dev"} or options.get("dev", "lo") != "lo":
        raise _Unclear
    return Effect("routed", _network(words[0]))


def _routes(destination: str, via: str, metric: str, origin: str, source: str) -> list[Effect]:
    if destination not in DEFAULT:
        if origin or source:
            raise _Unclear
        return [Effect("prefix", _network(destination))]
    result = [Effect("routing", "source" if origin else "default")]
    if origin:
        result.append(Effect("from", _network(origin)))
    if via and via not in ("::",):
        result.append(Effect("gateway", _host(via)))
    if source:
        result.append(Effect("source", _host(source)))
    result.append(Effect("metric", _number(metric) if metric else None))
    return result


def _network(text: str) -> str:
    try:
        return str(ipaddress.IPv6Network(text, strict=False))
    except ValueError:
        raise _Unclear from None


def _host(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise _Unclear from None


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _Unclear from None


def _old_route(words: list[str]) -> Found:
    """route(8): ``route -A inet6 add ::/0 gw ADDRESS dev NAME metric 1``."""
    rest = [each for each in words if each not in ("-A", "inet6", "--inet6", "-6", "dev")]
    if len(rest) == len(words) or not rest:
        raise _Unclear
    removing = _removes(rest[0])
    destination, rest = rest[1], rest[2:]
    device, via, metric = "", "", "1"  # as route(8) has it
    while rest:
        word = rest.pop(0)
        if word in ("gw", "metric"):
            via, metric = (rest.pop(0), metric) if word == "gw" else (via, rest.pop(0))
        elif device:
            raise _Unclear
        else:
            device = word
    return device, ([NOTHING] if removing else _routes(destination, via, metric, "", ""))


def _ifconfig(words: list[str]) -> Found:
    device, rest = words[0], [each for each in words[1:] if each != "inet6"]
    result = [NOTHING]
    while rest:
        word = rest.pop(0)
        if word == "mtu":
            result.append(Effect("mtu", _number(rest.pop(0))))
        elif word == "add":
            address = rest.pop(0)
            result.append(Effect("address", (_interface(address), False, "/" in address)))
        elif word == "del":
            rest.pop(0)
        elif word not in ("up", "down"):
            raise _Unclear
    return device, result


READERS: dict[str, Callable[[list[str]], Found]] = {
    "ip": _ip,
    "wg": _wg,
    "iptunnel": _iptunnel,
    "ifconfig": _ifconfig,
    "route": _old_route,
    "modprobe": _modprobe,
    "sysctl": _sysctl,
}
