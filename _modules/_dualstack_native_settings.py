"""
IPv6 that a hoster routes to this host by itself, without a tunnel: the part ``native`` of the pillar, and its
validation. PURE: never accesses the host.

User input goes through :py:func:`canonical` once; from then on every key exists, and addresses are in the canonical
form of :rfc:`5952`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_words as words
from salt.exceptions import SaltInvocationError

METRIC = 1024  # of a route that nobody has given another
DEFAULTS: dict[str, Any] = {"addresses": [], "stack": "auto"}
REQUIRED = ("interface", "address", "gateway")
GLOBAL = ipaddress.IPv6Network("2000::/3")  # what is assigned, RFC 4291; documentation's addresses are in it
UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")
# The kernel takes all of an address's prefix for neighbours: with a shorter one, a part of the internet.
SHORTEST = 32
RESERVED_NAMES = ("lo", "all", "default")
EXPECTED = {
    "interface": "the name of the interface that the hoster's network is at, such as eth0",
    "address": "an IPv6 address with its prefix length, as in 2001:db8:1::8/64",
    "gateway": "the hoster's router: a link-local address such as fe80::1, or a global one",
    "addresses": "a list of IPv6 addresses with their prefix lengths",
    "metric": "a whole number from 1 to 4294967295",
}


def canonical(native: Mapping[str, Any]) -> dict[str, Any]:
    """
    Complete the part with the defaults.

    native
        As a user wrote it; see the state ``ipv6.native`` for all keys.

    Returns another dictionary with every key: ``addresses`` has all of them, the ``address`` first; ``metric`` and
    ``source`` are ``None`` where they are not given: then any will do that is there. Raises ``SaltInvocationError``
    with every error, one per line.
    """
    result, problems = _read(native)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    addresses = [result["address"], *result["addresses"]]
    return {**{key: None for key in READERS}, **result, "addresses": addresses}


def errors(native: Mapping[str, Any], stacks: Collection[str] = ()) -> list[str]:
    """
    All errors in the part, as far as this can be checked without the host.

    native
        As a user wrote it.
    stacks
        The names of the network stacks that there are, if they are known.

    Returns a list of sentences, each beginning with the wrong key; empty if there are none.
    """
    problems = _read(native)[1]
    stack = native.get("stack")
    if stacks and isinstance(stack, str) and stack not in (DEFAULTS["stack"], *stacks):
        if not any(each.startswith("stack:") for each in problems):
            expected = ", ".join([DEFAULTS["stack"], *stacks])
            problems.append(f"stack: {stack!r} is not a network stack that is supported; expected one of {expected}")
    return problems


def check(native: Mapping[str, Any], keys: Sequence[str]) -> None:
    """
    Refuse bad values of some keys, if the others do not matter.

    native
        As a user wrote it.
    keys
        Those that matter.

    Raises ``SaltInvocationError`` with every error, one per line.
    """
    problems = [each for each in errors(native) if each.partition(":")[0] in keys]
    if problems:
        raise SaltInvocationError("\n".join(problems))


def collisions(native: Mapping[str, Any], tunnels: Sequence[Mapping[str, Any]]) -> list[str]:
    """
    What a host cannot have by its hoster and by a tunnel at once.

    native
        The part, valid.
    tunnels
        Those beside it, each with its ``name``. They need not be valid.

    Returns sentences as :py:func:`errors` does.
    """
    own = canonical(native)
    hosts = [each.partition("/")[0] for each in own["addresses"]]
    problems = []
    for tunnel in tunnels:
        name = tunnel.get("name")
        further = tunnel.get("addresses")
        given = [tunnel.get("address"), *(further if isinstance(further, (list, tuple)) else [])]
        for each in [each for each in map(_plain, given) if each in hosts]:
            key = "address" if each == hosts[0] else "addresses"
            problems.append(f"{key}: {each} is also an address of the tunnel {name}; expected one of the hoster's")
        if name == own["interface"]:
            problems.append(f"interface: {name} is the tunnel; expected that of the hoster's network, such as eth0")
        if name == file_name(own["interface"]):
            problems.append(f"interface: its file would be that of the tunnel {name}; expected another name for that")
        routing, metric = tunnel.get("routing"), tunnel.get("metric")
        if routing in (None, "default") and (metric or METRIC) == (own["metric"] or METRIC):
            problems.append(
                f"metric: {own['metric'] or METRIC} is also that of the tunnel {name}, and the kernel has one default "
                "route of a metric; expected another, the least comes first, or 'routing: source' of the tunnel"
            )
    return problems


def anycast(address: str) -> bool:
    """
    Whether an address is that of its prefix, which stands for the prefix's routers: some hosters give it to a host.

    address
        With its prefix length.

    Source: :rfc:`4291`, section 2.6.1.
    """
    interface = ipaddress.IPv6Interface(address)
    return interface.network.prefixlen < 127 and interface.ip == interface.network.network_address


def file_name(interface: str) -> str:
    """
    How a file of our own for an interface is called: not as that of a tunnel.

    interface
        Its name.
    """
    return f"{interface}-ipv6"


def _plain(address: Any) -> str:
    try:
        return str(ipaddress.IPv6Address(str(address).partition("/")[0]))
    except ValueError:
        return ""


def _read(native: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    problems = [f"{key}: {words.unknown(key, READERS)}" for key in native if key not in READERS]
    result: dict[str, Any] = {}
    given = {**DEFAULTS, **{key: value for key, value in native.items() if value is not None}}
    for key, read in READERS.items():
        if key not in given:
            problems += [f"{key}: missing; expected {EXPECTED[key]}"] if key in REQUIRED else []
            continue
        try:
            result[key] = read(given[key])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    return result, [*problems, *_contradictions(result)]


def _contradictions(native: dict[str, Any]) -> list[str]:
    """Errors between values that are valid by themselves. Checks only those that could be read."""
    problems = []
    hosts = [each.partition("/")[0] for each in [native.get("address"), *native.get("addresses", [])] if each]
    gateway, source = native.get("gateway"), native.get("source")
    if gateway in hosts[:1] and native.get("address"):
        problems.append(f"gateway: {gateway} is this host's own address; expected {EXPECTED['gateway']}")
    elif gateway in hosts:
        problems.append(f"addresses: {gateway} is the gateway; expected addresses of this host")
    for host in sorted({host for host in hosts if hosts.count(host) > 1}):
        problems.append(f"addresses: {host} is given twice")
    if source and hosts and source not in hosts:
        problems.append(f"source: {source} is not one of the addresses ({', '.join(hosts)})")
    return problems


def _interface(value: Any) -> str:
    if tunnel_sit.interface(value, EXPECTED["interface"]) in RESERVED_NAMES:
        raise ValueError(f"{value!r} is not an interface that leads to others; expected one such as eth0")
    return str(value)


def _address(value: Any) -> ipaddress.IPv6Address:
    text = value if isinstance(value, str) else repr(value)
    if "%" in text:
        raise ValueError(
            f"{value!r} names an interface; expected {text.partition('%')[0]} alone, since 'interface' does"
        )
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        more = f"; expected {text.partition('/')[0]}, without a prefix length" if "/" in text else ""
        raise ValueError(f"{value!r} is not an IPv6 address{more}") from None
    return address


def _global(value: Any, shown: Any = None) -> str:
    address = _address(value)
    shown = value if shown is None else shown
    if address in UNIQUE_LOCAL:
        raise ValueError(
            f"{shown!r} is a unique local address, which nobody on the internet reaches; expected a global one"
        )
    if address.is_link_local:
        raise ValueError(f"{shown!r} is a link-local address, which every interface has anyway; expected a global one")
    if address not in GLOBAL:
        raise ValueError(f"{shown!r} is not a global IPv6 unicast address")
    return str(address)


def _with_prefix(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not {EXPECTED['address']}")
    host, slash, length = value.partition("/")
    address = _global(host, value if slash else None)
    if not slash:
        raise ValueError(f"{value!r} has no prefix length; expected {address}/64, or /128 for one address")
    if not re.fullmatch(r"[0-9]{1,3}", length) or not SHORTEST <= int(length) <= 128:
        raise ValueError(f"{value!r} has no valid prefix length; expected {SHORTEST} to 128, as in {address}/64")
    return f"{address}/{int(length)}"


def _addresses(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected {EXPECTED['addresses']}, found {value!r}")
    return [_with_prefix(each) for each in value]


def _gateway(value: Any) -> str:
    address = _address(value)
    if address.is_link_local:
        return str(address)
    if address.is_multicast or address.is_loopback or address.is_unspecified or address.ipv4_mapped:
        raise ValueError(f"{value!r} is no router's; expected {EXPECTED['gateway']}")
    if address not in GLOBAL and address not in UNIQUE_LOCAL:
        raise ValueError(f"{value!r} is no router's; expected {EXPECTED['gateway']}")
    return str(address)


def _metric(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**32 - 1:
        raise ValueError(f"{value!r} is not {EXPECTED['metric']}")
    return value


def _word(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9_-]+", value):
        raise ValueError(f"{value!r} is not the name of a network stack, such as ifupdown")
    return value


READERS: dict[str, Callable[[Any], Any]] = {
    "interface": _interface,
    "address": _with_prefix,
    "gateway": _gateway,
    "addresses": _addresses,
    "metric": _metric,
    "source": _global,
    "stack": _word,
}
