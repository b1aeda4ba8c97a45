"""
What a firewall is expected to do, as users write it: the pillar's list ``expect``. PURE: never accesses the host.

A *wish* is what one entry says about one family, host and port. What depends on the host is ``None`` in it.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import _dualstack_families as families
import _dualstack_words as words

VERDICTS = ("accept", "drop", "reject", "deny")
FORWARD, INPUT = "forward", "input"  # what happens to a packet that is accepted: forwarded, or taken by this host
NEIGHBOUR = "fe80::1"


class Via(TypedDict, total=False):
    """What only some wishes have."""

    via: str


class Wish(Via):
    """One packet and its answer, and the expected verdict."""

    family: str
    direction: str  # in, or out: a connection of this host
    protocol: str  # tcp, udp, icmp (an echo request), nd (a neighbour solicitation)
    own: str | None
    remote: str | None
    port: int | None
    interface: str | None
    verdict: str  # accept, drop, reject; deny: either of these two; any, where nothing is expected
    why: str


def errors(expect: Any) -> list[str]:
    """
    All errors in a list of expectations as users write it.

    expect
        The list ``ipv6:firewall:expect`` of the pillar; see :py:func:`read`.

    Returns a list of texts, each beginning with the place within the list, as in ``[0]:to: ...``; empty if there are
    none.
    """
    return read(expect)[1]


def read(expect: Any) -> tuple[list[Wish], list[str]]:
    """
    The meaning of a list of expectations, as far as this can be checked without the host.

    expect
        A list of dictionaries:

        ``to``: ``tcp/22``, ``udp/53``, ``tcp/25,80,143``, ``icmp`` (an echo request, in each family), ``nd`` (IPv6
        neighbour discovery), ``tcp/[2001:db8::1]:22``, or a list of these;
        ``verdict``: ``accept``, ``drop``, ``reject``, or ``deny`` (drop or reject);
        ``from``: an address or a network or a list of them, by default a host anywhere, in each family;
        ``address``: the address, or one of each family, that it is sent to;
        ``interface``: the one that it arrives on or leaves by, by default that of the route;
        ``family``: ``ipv4`` or ``ipv6``, by default what the addresses are, else both;
        ``direction``: ``in``, or ``out`` for connections of this host to ``address``;
        ``via``: ``forward``, if it is to be forwarded, as to a container: either to where the rules send what comes to
        this host, or, where ``to`` or ``address`` is not this host's, to that one. ``input``, if this host is to take
        it itself. By default either is fine.

    Returns the wishes, one for each family, host and port, and the errors, as :py:func:`errors` does.
    """
    if not isinstance(expect, list):
        return [], [f": expected a list, found {expect!r}"]
    wishes: list[Wish] = []
    problems = []
    for index, entry in enumerate(expect):
        place = f"[{index}]"
        if not isinstance(entry, dict):
            problems.append(f"{place}: expected a dictionary such as {{to: tcp/22, verdict: accept}}, found {entry!r}")
            continue
        given, wrong = _values(entry)
        found = [] if wrong else [_wishes(given, target, f"expect{place}") for target in given["to"]]
        if not all(found):
            wrong = [": no family is left; family, to, from and address have none in common"]
        problems += [f"{place}{each}" for each in wrong]
        wishes += itertools.chain.from_iterable(found)
    return wishes, problems


def anywhere(hosts: Any) -> tuple[dict[str, list[str]], list[str]]:
    """
    The hosts that stand for one anywhere, where ``from`` says nothing.

    hosts
        The value of ``ipv6:firewall:from``: an address or a network, or a list of them; ``None`` for the default.

    Returns those of each family that are given, and the errors, each as ``: ...``.
    """
    if hosts is None:
        return {}, []
    try:
        found = _sources(hosts)
    except ValueError as error:
        return {}, [f": {error}"]
    if not all(address for _, address in found):
        return {}, [": a network of all addresses is what this is to stand for; expected hosts in it"]
    named = dict.fromkeys(family for family, _ in found)
    return {each: [str(address) for family, address in found if family == each] for each in named}, []


def closes(expect: Sequence[Mapping[str, Any]], family: str, port: int, peer: str | None) -> bool:
    """
    Whether the expectations say that a TCP port of this host is to be shut.

    expect
        As :py:func:`read` takes it, without errors.
    family
        ``ipv4`` or ``ipv6``.
    port
        Its number.
    peer
        For whom: the address of a host, which an entry has to name, itself or its network (``from``); ``None`` for
        everybody.

    What is said of one of this host's addresses, or of one interface, is not said of the port.
    """
    for entry in expect:
        given = _values(dict(entry))[0]
        if given["verdict"] == "accept" or {"address", "interface"} & given.keys() or given.get("direction") == "out":
            continue
        if given.get("via") == FORWARD:
            continue
        if given.get("family", family) == family and ("tcp", None, port) in given["to"]:
            sources = [ipaddress.ip_network(each, strict=False) for each in _list(entry.get("from") or "0.0.0.0/0")]
            if peer is None and not all(each.prefixlen for each in sources):
                return True
            if peer is not None and "from" in entry and any(ipaddress.ip_address(peer) in each for each in sources):
                return True
    return False


def _values(entry: dict[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    given: dict[str, Any] = {}
    problems = []
    for key, value in entry.items():
        if key not in READERS:
            problems.append(f":{key}: {words.unknown(key, READERS)}")
            continue
        try:
            given[key] = READERS[key](value)
        except ValueError as error:
            problems.append(f":{key}: {error}")
    for key, example in (("to", "tcp/22"), ("verdict", "accept")):
        if key not in entry:
            problems.append(f":{key}: missing; expected for instance {example}")
    if given.get("direction") == "out" and "from" in given:
        problems.append(":from: is for what comes in; where a connection goes to is its address")
    if any(protocol == "nd" for protocol, _, _ in given.get("to", [])) and ("from" in given or "direction" in given):
        problems.append(":to: nd comes in, from a neighbour; it has neither from nor direction")
    if given.get("via") and (given.get("direction") == "out" or given.get("interface") == "lo"):
        problems.append(":via: is for what comes in from others")
    if given.get("via") == FORWARD and any(protocol == "nd" for protocol, _, _ in given.get("to", [])):
        problems.append(":via: nd is not forwarded")
    return given, problems


def _wishes(given: dict[str, Any], target: tuple[str, Any, int | None], why: str) -> list[Wish]:
    """One for each family, remote host and own address."""
    outwards = given.get("direction") == "out"
    protocol, address, port = target
    wishes: list[Wish] = []
    via: Via = {"via": given["via"]} if given.get("via") else {}
    for family in families.FAMILIES:
        addresses = _of_family(family, [address] if address else given.get("address"))
        sources = _of_family(family, given.get("from"))
        if family == "ipv4" and protocol == "nd" or given.get("family", family) != family:
            continue
        for own, remote in itertools.product(addresses, sources):
            wishes.append(
                {
                    **via,
                    "family": family,
                    "direction": "out" if outwards else "in",
                    "protocol": protocol,
                    "own": None if outwards else own,
                    "remote": own if outwards else NEIGHBOUR if protocol == "nd" else remote,
                    "port": port,
                    "interface": given.get("interface"),
                    "verdict": given["verdict"],
                    "why": why,
                }
            )
    return wishes


def _of_family(family: str, hosts: list[tuple[str, str | None]] | None) -> list[str | None]:
    """The addresses of one family; ``None`` is any of it."""
    return [None] if hosts is None else [address for its_family, address in hosts if its_family == family]


def _targets(value: Any) -> list[tuple[str, tuple[str, str | None] | None, int | None]]:
    found: list[tuple[str, tuple[str, str | None] | None, int | None]] = []
    for each in _list(value):
        if each in ("icmp", "nd"):
            found.append((each, None, None))
            continue
        parts = re.fullmatch(
            r"(tcp|udp)/(?:\[(.+)\]:|([0-9.]+):)?(\d+(?:,\d+)*)", each if isinstance(each, str) else ""
        )
        if not parts:
            raise ValueError(f"{each!r} is not tcp/PORT, udp/PORT, icmp or nd, as in tcp/22 or tcp/25,80,143")
        protocol, ipv6, ipv4, ports = parts.groups()
        address = _hosts(ipv6 or ipv4)[0] if ipv6 or ipv4 else None
        for port in map(int, ports.split(",")):
            if not 1 <= port <= 65535:
                raise ValueError(f"{each!r} has a port that is not a whole number from 1 to 65535")
            found.append((protocol, address, port))
    return found


def _sources(value: Any) -> list[tuple[str, str | None]]:
    """The first host of a network; any, for a network of all addresses."""
    found: list[tuple[str, str | None]] = []
    for each in _list(value):
        try:
            given = ipaddress.ip_interface(each if isinstance(each, str) else repr(each))
        except ValueError:
            raise ValueError(f"{each!r} is not an address or a network") from None
        network = given.network
        host = given.ip + 1 if given.ip == network.network_address and network.num_addresses > 2 else given.ip
        found.append((f"ipv{given.version}", _unicast(host, each) if network.prefixlen else None))
    return found


def _hosts(value: Any) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for each in _list(value):
        try:
            address = ipaddress.ip_address(each if isinstance(each, str) else repr(each))
        except ValueError:
            raise ValueError(f"{each!r} is not an address") from None
        found.append((f"ipv{address.version}", _unicast(address, each)))
    return found


def _unicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address, written: Any) -> str:
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        raise ValueError(f"{written!r} is not the address of a host")
    if "%" in str(written):
        raise ValueError(f"{written!r} has a zone; the interface is a key of its own")
    return str(address)


def _list(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("expected at least one, found an empty list")
    return values


def _interface(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}", value):
        raise ValueError(f"{value!r} is not the name of an interface")
    return value


def _one_of(*known: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is not one of {', '.join(known)}")
        return str(value)

    return read


READERS: dict[str, Callable[[Any], Any]] = {
    "to": _targets,
    "verdict": _one_of(*VERDICTS),
    "from": _sources,
    "address": _hosts,
    "interface": _interface,
    "family": _one_of(*families.FAMILIES),
    "direction": _one_of("in", "out"),
    "via": _one_of(FORWARD, INPUT),
}
