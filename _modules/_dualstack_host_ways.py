"""
By which way packets of this host leave, before and after a change of its links, addresses and routes.

The kernel decides, in a scratch network namespace with copies of what decides on the host: links, addresses, routes,
and rules. Nothing here changes the host.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_host_commands as host_commands
import _dualstack_host_ip as host_ip
import salt.utils.json
from salt.exceptions import CommandExecutionError

# A namespace that is none would be the live one.
GUARD = "[ ! /proc/self/ns/net -ef /proc/{}/ns/net ] || {{ echo 'it has made no network namespace' >&2; exit 125; }}"
MARK = "= "  # a line before each answer: one that fails prints nothing
PLAIN = re.compile(r"""[^\s"'#\\]+""")  # a name that ip(8) reads as one word
ROUTES = ("unicast", "unreachable", "blackhole", "prohibit", "local")  # the types that `ip route add` takes


class Flow(NamedTuple):
    """Packets of this host to somebody over IPv6."""

    remote: str
    own: str | None = None  # the address that they come from, where that is given: an answer's
    interface: str | None = None  # the one that they are bound to, as those to a link-local address are
    words: tuple[str, ...] = ()  # for rules: the protocol and the port, as ip-route(8) has them


class Way(NamedTuple):
    """How packets leave."""

    interface: str
    source: str | None  # the address that they come from; of an answer, that is given


class Foreseen(NamedTuple):
    """The ways of one flow; ``None`` where it has none."""

    now: Way | None
    then: Way | None
    known: bool  # whether the copy decides as this host does: if not, what it says of the change means nothing


class NoCopy(CommandExecutionError):
    """There can be no copy of this host's network, as in containers that permit no namespaces."""


def now(flow: Flow) -> Way | None:
    """
    The way of packets as they leave now; ``None`` where they have none.

    flow
        The packets.

    Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    try:
        return _way(flow, host_ip.route(_question(flow)))
    except host_ip.Nothing:
        return None


def foresee(flows: list[Flow], name: str, changes: list[list[str]]) -> list[Foreseen]:
    """
    The ways of packets before and after a change.

    flows
        The packets.
    name
        The interface that is changed. If it is made, that is one of the changes.
    changes
        Commands, words for ip(8). What they do to the device itself, but for its being there and up, decides nothing.

    Raises ``NoCopy`` where network namespaces, or interfaces in them, are not permitted, and ``CommandExecutionError``
    where ip(8) does not say, or does not take a change.
    """
    questions = [f"echo '{MARK}'; {_line(['ip', '-j', *_question(each)])} 2>&1 || :" for each in flows]
    lines = [GUARD.format(os.getpid()), *_copy(name), *questions]
    for words in changes:
        lines += [f"{each} || exit 1" for each in _in_copy(words)]
    if not host_commands.which("unshare"):
        raise NoCopy("unshare is not installed on this host; it comes with the package util-linux")
    copy = [*lines, *questions, "exit 0\n"]
    ways = [_ways(flows, words, script) for words, script in ((["sh"], questions), (["unshare", "--net", "sh"], copy))]
    return [_foreseen(*each) for each in zip(ways[0], ways[1], ways[1][len(flows) :])]


def _ways(flows: list[Flow], words: list[str], script: list[str]) -> list[Way | None]:
    """The ways that a shell prints, as often as the script asks for them."""
    said = host_commands.finish(host_commands.start(words, "\n".join([*script, ""])))
    if said.retcode:
        refused = said.stderr.startswith("unshare: ") or "Operation not permitted" in said.stderr
        kind = NoCopy if refused else CommandExecutionError
        raise kind(f"a copy of this host's network could not be made: {said.words()}")
    answers = said.stdout.split(f"{MARK}\n")[1:]
    if not answers or len(answers) % len(flows):
        raise CommandExecutionError(f"not every question after a route was answered, but: {said.words()}")
    return [_answer(each, text) for each, text in zip(flows * (len(answers) // len(flows)), answers)]


def _foreseen(live: Way | None, before: Way | None, after: Way | None) -> Foreseen:
    # Which of several own addresses is used depends on settings that are not copied: only that it changes is told.
    known = (live and live.interface) == (before and before.interface)
    if live and before and after and before.source == after.source:
        after = after._replace(source=live.source)
    return Foreseen(live, after, known)


def _question(flow: Flow) -> list[str]:
    words = ["-6", "route", "get", flow.remote]
    words += ["from", flow.own] if flow.own else []
    words += ["oif", flow.interface] if flow.interface else []
    return [*words, *flow.words]


def _way(flow: Flow, route: Mapping[str, Any]) -> Way:
    return Way(str(route["dev"]), flow.own or route.get("prefsrc"))


def _answer(flow: Flow, text: str) -> Way | None:
    """The way that ip(8) has printed; ``None`` where it says that there is none."""
    lines = [line for line in text.splitlines() if line.startswith("[")]
    try:
        found = salt.utils.json.loads(lines[0])[0] if lines else {}
    except (ValueError, RecursionError, LookupError):
        found = {}
    if isinstance(found, dict) and "dev" in found:
        return _way(flow, found)
    if host_ip.NOTHING.search(text):
        return None
    name = f"ip -j {' '.join(_question(flow))}"
    raise CommandExecutionError(f"'{name}' printed no route, but: {host_commands.in_one_line(text)}")


def _line(words: Iterable[str]) -> str:
    return " ".join(map(shlex.quote, words))


# --------------------------------------------------------------------------------------------------------------
# The copy


def _copy(name: str) -> Iterator[str]:
    """The commands that make it. What it does not take, it does not have: that it decides as the host does is tried."""
    routes = host_ip.look(["-6", "route", "show", "table", "all"])
    devices = {str(each.get("dev")) for each in routes}
    batch = ["link set dev lo up"]
    for number, link in enumerate(host_ip.look(["addr", "show"])):
        held = [each for each in link["addr_info"] if each["family"] == "inet6"]
        if not PLAIN.fullmatch(link["ifname"]) or not (held or link["ifname"] in devices):
            continue
        if link["ifname"] != "lo":
            batch += _device(link["ifname"], number, "UP" in link["flags"])
        batch += [_address(link["ifname"], each, link["ifname"] == name) for each in held]
    batch += [_route(each, name) for each in routes if _is_own(each)]
    yield "\n".join(["ip -6 -force -batch - >/dev/null 2>&1 <<'END'", *batch, "END"])
    rules = host_commands.output(["ip", "-6", "rule", "save"])
    if not rules.retcode:  # a kernel without rules has none to copy
        text = base64.b64encode(rules.stdout.encode("utf-8", "surrogateescape")).decode()
        yield "ip -6 rule flush; ip -6 rule del pref 0"
        yield f"echo {text} | base64 -d | ip -6 rule restore"


def _device(name: str, number: int | str, up: bool) -> list[str]:
    """One end of a wire, the other end of which is up as well: then it is as good as any other device."""
    lines = [f"link add name {name} type veth peer name ~{number}", f"link set dev ~{number} up"]
    return [*lines, f"link set dev {name} up"] if up else lines


def _address(device: str, address: Mapping[str, Any], changing: bool) -> str:
    # Its route is copied as all are; but the address that goes takes along the one that it has brought.
    words = ["addr add", f"{address['local']}/{address['prefixlen']} dev {device} nodad"]
    words += ["valid_lft forever preferred_lft 0"] if address.get("deprecated") else []
    words += ["noprefixroute"] if address.get("noprefixroute") or not changing else []
    return " ".join(words)


def _is_own(route: Mapping[str, Any]) -> bool:
    """Whether the kernel does not add it by itself, with an address or a device, and it can be added."""
    by_itself = route.get("table") == "local" and route.get("protocol") == "kernel"
    return not by_itself and route.get("type", "unicast") in ROUTES


def _route(route: Mapping[str, Any], name: str) -> str:
    """A route, without its router: that is reached by the same interface, and decides nothing."""
    device = route.get("dev") or next((each.get("dev") for each in route.get("nexthops", [])), None)
    words = ["route append", route.get("type", "unicast"), str(route.get("dst"))]
    for key, word in (("from", "from"), ("table", "table"), ("metric", "metric"), ("prefsrc", "src"), ("pref", "pref")):
        words += [word, str(route[key])] if key in route else []
    words += ["dev", str(device)] if device else []
    # That of the changing interface is removed by its whole description.
    words += ["via", str(route["gateway"]), "onlink"] if device == name and "gateway" in route else []
    return " ".join(words)


def _in_copy(words: list[str]) -> list[str]:
    """A change as it is made in the copy, where every device is the end of a wire."""
    if words[:3] == ["ip", "tunnel", "add"]:
        return [f"ip {each}" for each in _device(words[3], "new", False)]
    if words[:2] == ["ip", "tunnel"] or "mtu" in words:
        return []
    return [_line(words)]
