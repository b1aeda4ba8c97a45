"""
What a hook of ifup's does to the IPv6 of an interface of the host's own: the addresses and the default routes that it
adds, whatever else it does; and whether one that is not understood may add what is declared. PURE: never accesses the
host.

ifup(8) fails at an address or a route that is there already, and leaves the interface without what would come after.
So a hook is no reason to write nothing only where it is understood, and no reason to write only where it surely is
about something else.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import _dualstack_native_settings as native_settings
import _dualstack_tunnel_hooks as tunnel_hooks
import _dualstack_tunnel_scripts as tunnel_scripts
import _dualstack_tunnel_shell as tunnel_shell

SHELLS = ("sh", "bash", "dash", "ash", "busybox")
ADDING = ("add", "replace", "change", "chg", "append", "prepend")
MAIN = ("main", "254")
IDLE = ("true", ":", "sleep", "echo", "logger", "[", "test", "sysctl", "grep", "modprobe", "touch")
OBJECTS = ("address", "route", "link", "neighbour", "rule", "tunnel", "token", "maddress", "mroute", "tuntap", "xfrm")
METRICS = ("metric", "preference", "prio")
TEXT = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(\??)")  # what may be an address; something unknown may go on with it
ADDS = re.compile(r"\ba(?:dd|ddr|ddre|ddres|ddress)?\s.*?\b(?:a|ad|add|r\w*|c\w*)\b|\binet6\s+add\b|\badd\s+inet6\b")
ROUTED = re.compile(
    r"\bro?u?t?e?\b.*?\b(?:a|ad|add|rep\w*|app\w*|cha?n?g?e?)\b.*?(?:\bdefault\b|(?<![0-9A-Fa-f])[0:]*::0?/0)"
)
NAMING = re.compile(r"\bip\b.*?\bdev[\s\\\"']", re.DOTALL)  # what a script has to have that adds something to a device
ELSEWHERE = re.compile(r"\s(?:from|tab?l?e?|dst)\s")  # for some packets only


class Added(NamedTuple):
    """What a hook adds; one of the first two."""

    address: str = ""  # with its prefix length
    gateway: str = ""
    metric: int | None = None
    deprecated: bool = False


def read(text: str, name: str, iface: str, known: Mapping[str, str]) -> tuple[list[Added], str]:
    """
    What a hook adds to an interface.

    text
        The hook, as a line of shell.
    name
        The interface.
    iface
        That in whose stanza it stands.
    known
        The variables that ifup(8) sets for it.

    Returns that, and the commands that are not understood, with :py:data:`tunnel_shell.UNKNOWN` for what only a run
    would tell.
    """
    effects = tunnel_hooks.effects(text, name, iface)
    if effects is not None:
        return _of_effects(effects), ""
    found: list[Added] = []
    unclear = []
    for words in _commands(text, {**known, "IFACE": iface}):
        added = _added(words, name, iface)
        found += added
        unclear += [] if added or _is_clear(words, name) else [" ".join(words)]
    return found, "; ".join(unclear)


def _of_effects(effects: list[tunnel_hooks.Effect]) -> list[Added]:
    if any(each.key == "from" for each in effects):
        return []  # a route for some packets only
    metric = next((each.value for each in effects if each.key == "metric" and each.value), native_settings.METRIC)
    found = [Added(address=each.value[0], deprecated=each.value[1]) for each in effects if each.key == "address"]
    return [*found, *(Added(gateway=each.value, metric=metric) for each in effects if each.key == "gateway")]


def _commands(text: str, known: Mapping[str, str], depth: int = 3) -> Iterator[list[str]]:
    for command in tunnel_shell.commands(text, known):
        words = command.words
        base = words[0].rpartition("/")[2]
        if base in SHELLS and "-c" in words and depth:
            yield from _commands("".join(words[words.index("-c") + 1 :][:1]), known, depth - 1)
        elif command.certain:
            yield tunnel_scripts.program(words) or words
        else:
            yield ["", *words]  # no program of this name


def _is_clear(words: list[str], name: str) -> bool:
    """Whether a command that adds nothing is understood to add nothing."""
    if words[0] != "ip":
        return words[0].rpartition("/")[2] in IDLE
    family, rest = tunnel_scripts.objects(words[1:])
    if not rest or not any(each.startswith(rest[0]) for each in OBJECTS):
        return False  # as with -batch
    if len(rest) < 2 or not any(each.startswith(rest[1]) for each in ADDING) or family == "4":
        return True
    if any(map(_is_ipv4, rest)) or ("dev" in rest and rest[rest.index("dev") + 1 :][:1] != [name]):
        return True
    if "route".startswith(rest[0]):
        return not _is_default(rest[2:])
    return not "address".startswith(rest[0])


def _is_ipv4(word: str) -> bool:
    try:
        return bool(ipaddress.IPv4Interface(word))
    except ValueError:
        return False


def _added(words: list[str], name: str, iface: str) -> list[Added]:
    if words[0] != "ip":
        return []
    _, rest = tunnel_scripts.objects(words[1:])
    if len(rest) < 3 or not any(each.startswith(rest[1]) for each in ADDING):
        return []
    if not rest[0] or "dev" in rest and rest[rest.index("dev") + 1 :][:1] != [name]:
        return []
    if "dev" not in rest and name != iface:
        return []
    if "address".startswith(rest[0]):
        return _address(rest[2:])
    return _route(rest[2:]) if "route".startswith(rest[0]) else []


def _address(words: list[str]) -> list[Added]:
    deprecated = "preferred_lft" in words and words[words.index("preferred_lft") + 1 :][:1] in (["0"], ["0sec"])
    for before, word in zip(["", *words], words):
        if before not in ("dev", "label", "peer", "broadcast", "brd", "anycast", "scope"):
            try:
                return [Added(address=str(ipaddress.IPv6Interface(word)), deprecated=deprecated)]
            except ValueError:
                continue
    return []


def _route(words: list[str]) -> list[Added]:
    """Whatever options it has, such as an mtu."""
    said = dict(zip(words, words[1:]))
    if not _is_default(words):
        return []
    via = said.get("via", "")
    via = words[words.index("via") + 2 :][0] if via == "inet6" and words[words.index("via") + 2 :] else via
    metric = next((said[each] for each in METRICS if each in said), str(native_settings.METRIC))
    try:
        gateway = str(ipaddress.IPv6Address(via.partition("%")[0]))
    except ValueError:
        return []
    return [Added(gateway=gateway, metric=int(metric) if metric.isdecimal() else None)]


def _is_default(words: list[str]) -> bool:
    """Whether a route is for all packets."""
    said = dict(zip(words, words[1:]))
    destination = said.get("to", "".join(words[:1]))
    if destination in ("via", "dev"):
        destination = next((each for each in words if each in tunnel_hooks.DEFAULT), "")
    return destination in tunnel_hooks.DEFAULT and "from" not in said and said.get("table", MAIN[0]) in MAIN


def of_script(text: str, name: str) -> Iterator[tuple[int, Added]]:
    """
    What a script, a unit or a crontab adds to an interface that it names, as far as that is understood: with the
    numbers of the lines, from 1.

    text
        Its content.
    name
        The interface.
    """
    if not NAMING.search(text):  # most are not read any further: every service of the host has one
        return
    for command in tunnel_shell.commands(tunnel_scripts.shell(text), {"IFACE": name}):
        words = tunnel_scripts.program(command.words) if command.certain else []
        for each in _added(words, name, "") if words else []:
            yield command.line, each


def may_add(text: str, host: str) -> bool:
    """
    Whether a text that is not understood may add an address.

    text
        The hook.
    host
        The address.
    """
    if not ADDS.search(text) and "ifconfig" not in text:
        return False
    return any(_is(found[0].removesuffix(tunnel_shell.UNKNOWN), host, bool(found[1])) for found in TEXT.finditer(text))


def _is(text: str, host: str, goes_on: bool) -> bool:
    """Whether a text is an address, or the beginning of one."""
    try:
        found = str(ipaddress.IPv6Address(text.rstrip(".")))
    except ValueError:
        found = text.lower()
    return found == host or (goes_on and host.startswith(found))


def may_route(text: str) -> bool:
    """
    Whether a text that is not understood may add an IPv6 default route.

    text
        The hook.
    """
    six = re.search(r"\s-6\b|inet6|:[0-9A-Fa-f:]*:", text)
    return bool(six and ROUTED.search(text)) and not ELSEWHERE.search(text)
