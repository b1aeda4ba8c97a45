"""
The definition of a tunnel, and its validation. PURE: never accesses the host.

A *tunnel* is a plain dictionary. User input goes through :py:func:`canonical` once; from then on every key exists,
addresses are in the canonical form of :rfc:`5952`, and all other modules rely on it.
"""

from __future__ import annotations

import ipaddress
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import _dualstack_broker_settings as broker_settings
import _dualstack_dns_address as dns_address
import _dualstack_tunnel_wireguard as tunnel_wireguard
import _dualstack_words as words
from salt.exceptions import SaltInvocationError

DEFAULTS: dict[str, Any] = {
    "name": "he-ipv6",
    "local": "auto",
    "ttl": 255,
    "mtu": 1480,  # less with another carrier
    "metric": 1024,
    "routing": "default",
    "addresses": [],
    "routed": [],
    "carrier": "sit",
    "stack": "auto",
    "adopt": False,
}
REQUIRED = ("endpoint", "address", "gateway")  # the gateway only if there is a route
ROUTING = ("default", "source", "none")
# What carries the packets, and the MTU by default: what it leaves of an Ethernet's 1500 bytes, of which 20 are the IPv4
# header's, and 4 those of GRE. WireGuard's is the usual one, at both ends, which leaves room for IPv6 as well.
CARRIERS = {"sit": 1480, "gre": 1476, tunnel_wireguard.CARRIER: 1420}
# Bytes that it adds to a packet.
HEADERS = {"sit": 20, "gre": 24, tunnel_wireguard.CARRIER: tunnel_wireguard.HEADER}
# A route that refuses packets has no device, so its metric says whose it is: higher than any other route's, and of the
# tunnel's name. (Not above 2**31, as 4294967295 is: netplan takes that for none at all.)
UNREACHABLE = 0x7FFF0000

# The kernel's own devices, and the names that stand for "every device" below /proc/sys/net.
RESERVED_NAMES = ("sit0", "lo", "all", "default")
# Bits of the shortest prefix that a broker routes to one host. The kernel sends all of an address's prefix into the
# tunnel: a shorter one is a part of the internet, such as the network of a provider, with everybody who is there.
SHORTEST = 48
MTU = (1280, 65515)  # RFC 8200, section 5; an IPv4 packet's 65535 bytes less its header


def canonical(tunnel: Mapping[str, Any]) -> dict[str, Any]:
    """
    Complete a tunnel with the defaults and write its addresses in their canonical form.

    tunnel
        ``endpoint``, ``address`` and ``gateway`` at least; see the state ``he_tunnel.present`` for all keys.

    Returns another dictionary with every key present; ``source`` defaults to the first of ``addresses``. Two are added,
    as words of ``ip route``: ``routes``, the default routes, and ``unreachable``, those that refuse what is sent to
    addresses of the ``routed`` prefixes that nobody has. The ``addresses`` within these become /128: with less, the
    kernel would send all of their prefix into the tunnel. ``local`` is an address, or ``auto``: then the kernel takes,
    for each packet, the address of the route to the endpoint.
    Raises ``SaltInvocationError`` with every error, one per line.
    """
    result, problems = _read(tunnel)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    return {key: value for key, value in result.items() if key not in broker_settings.READERS}


def errors(tunnel: Mapping[str, Any]) -> list[str]:
    """
    All errors in a tunnel, as far as this can be checked without the host.

    tunnel
        As a user wrote it.

    Returns a list of sentences, each beginning with the wrong key; empty if there are none. What the broker knows may
    be missing where the tunnel says how it is asked.
    """
    unknown = [f"{key}: missing;" for key in broker_settings.FILLED] if broker_settings.wired(tunnel) else []
    return [each for each in _read(tunnel)[1] if not each.startswith(tuple(unknown))]


def _read(tunnel: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The canonical tunnel, as far as it could be read, and its errors."""
    problems = _unknown_keys(tunnel)
    result: dict[str, Any] = {}
    given = {**DEFAULTS, **{key: value for key, value in tunnel.items() if value is not None}}
    if tunnel.get("mtu") is None and isinstance(given["carrier"], str):
        given["mtu"] = CARRIERS.get(given["carrier"], DEFAULTS["mtu"])
    for key, read in READERS.items():
        if key not in given:
            if key in REQUIRED and not (key == "gateway" and given["routing"] == "none"):
                problems.append(f"{key}: missing; expected {EXPECTED[key]}")
            continue
        try:
            result[key] = read(given[key])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    problems += [*broker_settings.contradictions(tunnel), *_contradictions(result)]
    problems += tunnel_wireguard.contradictions(result.get("carrier"), given, result) if "carrier" in result else []
    if not result.get(tunnel_wireguard.CARRIER):
        result.pop(tunnel_wireguard.CARRIER, None)
    if not problems:
        result.setdefault("gateway", None)
        result.setdefault("dev", None)
        result.setdefault("source", dns_address.published({}, result))
        result["routes"] = _routes(result)
        result["addresses"] = [_laid(each, result["routed"]) for each in result["addresses"]]
        result["unreachable"] = [f"unreachable {each} metric {owner(result['name'])}" for each in result["routed"]]
    return result, problems


def owner(name: str) -> int:
    """
    The metric of the routes that refuse packets to unassigned addresses: by it they are known as a tunnel's.

    name
        The interface.
    """
    return UNREACHABLE + (zlib.crc32(name.encode()) & 0xFFFF)


def _laid(address: str, routed: list[str]) -> str:
    own = ipaddress.IPv6Interface(address)
    return f"{own.ip}/128" if any(own.ip in ipaddress.IPv6Network(each) for each in routed) else address


def _routes(tunnel: dict[str, Any]) -> list[str]:
    """
    The default routes, as words of ``ip route``.

    ``routing: source`` gives one for every prefix that the tunnel has addresses in, valid only for packets from there,
    so that a native default route of any metric stays in use for the rest.
    """
    tail = f"via {tunnel['gateway']} metric {tunnel['metric']}"
    if tunnel["routing"] == "default":
        return [f"default {tail}"]
    if tunnel["routing"] == "source":
        networks = [ipaddress.IPv6Interface(each).network for each in [tunnel["address"], *tunnel["addresses"]]]
        networks += [ipaddress.IPv6Network(each) for each in tunnel["routed"]]
        return [f"default from {network} {tail}" for network in ipaddress.collapse_addresses(networks)]
    return []


def _unknown_keys(tunnel: Mapping[str, Any]) -> list[str]:
    return [f"{key}: {words.unknown(key, READERS)}" for key in tunnel if key not in READERS]


def _contradictions(tunnel: dict[str, Any]) -> list[str]:
    """Errors between values that are valid by themselves. Checks only those that could be read."""
    problems = []
    address, gateway = tunnel.get("address"), tunnel.get("gateway")
    if address and gateway:
        ours = ipaddress.IPv6Interface(address)
        if ipaddress.IPv6Address(gateway) not in ours.network:
            problems.append(f"gateway: {gateway} is outside of {ours.network}, the prefix of the address {address}")
        elif ipaddress.IPv6Address(gateway) == ours.ip:
            problems.append(f"gateway: {gateway} is this end of the tunnel; expected the broker's end")
    if tunnel.get("endpoint") and tunnel.get("endpoint") == tunnel.get("local"):
        problems.append(f"endpoint: {tunnel['endpoint']} is also the local address; expected the broker's address")
    hosts = [_host(each) for each in [address, *tunnel.get("addresses", [])] if each]
    for host in sorted({host for host in hosts if hosts.count(host) > 1}):
        problems.append(f"addresses: {host} is given twice")
    if gateway in hosts[1:]:
        problems.append(f"addresses: {gateway} is the broker's end of the tunnel")
    if tunnel.get("dev") and tunnel["dev"] == tunnel.get("name"):
        problems.append(f"dev: {tunnel['dev']} is the tunnel itself; expected {EXPECTED['dev']}")
    own = ipaddress.IPv6Interface(address).network if address else None
    for each in map(ipaddress.IPv6Network, tunnel.get("routed", [])):
        if own and each.subnet_of(own):
            problems.append(f"routed: {each} is that of the tunnel itself, of the address {address}; expected another")
    source = tunnel.get("source")
    if source and hosts and source not in hosts:
        problems.append(f"source: {source} is not one of the tunnel's addresses ({', '.join(hosts)})")
    return problems


def _host(address: str) -> str:
    return address.partition("/")[0]


def interface(value: Any, expected: str) -> str:
    """
    The name of an interface: dev_valid_name() of the kernel, without what would be an option or a pattern elsewhere.

    value
        As a user wrote it.
    expected
        What it should be, for the error.

    Raises ``ValueError``.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not {expected}")
    if len(value.encode()) > 15:
        raise ValueError(f"{value!r} has {len(value.encode())} characters; an interface name has at most 15")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError(f"{value!r} is not {expected}")
    return value


def _name(value: Any) -> str:
    if interface(value, EXPECTED["name"]) in RESERVED_NAMES:
        raise ValueError(f"{value!r} is reserved; expected a name of the tunnel's own, such as he-ipv6")
    return str(value)


def _dev(value: Any) -> str:
    if interface(value, EXPECTED["dev"]) in RESERVED_NAMES:
        raise ValueError(f"{value!r} is not {EXPECTED['dev']}")
    return str(value)


def _ipv4(value: Any) -> str:
    try:
        address = ipaddress.IPv4Address(value if isinstance(value, str) else repr(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IPv4 address") from None
    if address.is_multicast or address.is_loopback or address.is_unspecified or address.is_reserved:
        raise ValueError(f"{value!r} is not an IPv4 unicast address that a tunnel can end at")
    return str(address)


def _local(value: Any) -> str:
    return value if value == "auto" else _ipv4(value)


def _ipv6(value: Any) -> str:
    try:
        address = ipaddress.IPv6Address(value if isinstance(value, str) else repr(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IPv6 address") from None
    if (
        address.is_multicast
        or address.is_loopback
        or address.is_unspecified
        or address.is_link_local
        or address.ipv4_mapped
        or address.scope_id
    ):
        raise ValueError(f"{value!r} is not a global IPv6 unicast address")
    return str(address)


def _ipv6_with_prefix(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not {EXPECTED['address']}")
    host, slash, length = value.partition("/")
    address = _ipv6(host)
    if not slash:
        raise ValueError(f"{value!r} has no prefix length; expected {address}/64")
    if not re.fullmatch(r"[0-9]{1,3}", length) or not 1 <= int(length) <= 128:
        raise ValueError(f"{value!r} has no valid prefix length; expected 1 to 128, as in {address}/64")
    if int(length) < SHORTEST:
        raise ValueError(
            f"{value!r} has a prefix that is not one host's; expected the broker's, of /{SHORTEST} to /64, or /128 for "
            f"one address, as in {address}/64"
        )
    interface = ipaddress.IPv6Interface(f"{address}/{int(length)}")
    if int(length) < 127 and interface.ip == interface.network.network_address:
        another = f"{interface.ip + 1}/{length}"
        raise ValueError(f"{value!r} is the prefix itself; expected an address in it, such as {another}")
    return str(interface)


def _addresses(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected {EXPECTED['addresses']}, found {value!r}")
    return [_ipv6_with_prefix(each) for each in value]


def _prefixes(value: Any) -> list[str]:
    if not isinstance(value, (str, list, tuple)):
        raise ValueError(f"expected {EXPECTED['routed']}, found {value!r}")
    found: list[ipaddress.IPv6Network] = []
    for each in [value] if isinstance(value, str) else value:
        prefix = _prefix(each)
        for other in found:
            if prefix.overlaps(other):
                raise ValueError(f"{each!r} is given twice" if prefix == other else f"{prefix} and {other} overlap")
        found.append(prefix)
    return [str(each) for each in found]


def _prefix(value: Any) -> ipaddress.IPv6Network:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9A-Fa-f:.]+/[0-9]{1,3}", value):
        raise ValueError(f"{value!r} is not {EXPECTED['routed']}")
    try:
        address = ipaddress.IPv6Interface(value)
    except ValueError:
        raise ValueError(f"{value!r} is not {EXPECTED['routed']}") from None
    prefix = address.network
    if prefix.prefixlen < SHORTEST or prefix.prefixlen == 128:
        raise ValueError(f"{value!r} is not {EXPECTED['routed']}")
    if prefix.network_address != address.ip:
        raise ValueError(f"{value!r} is an address with a prefix length; expected the prefix, {prefix}")
    _ipv6(str(address.ip))
    return prefix


def _carrier(value: Any) -> str:
    if not isinstance(value, str) or value not in CARRIERS:
        raise ValueError(f"{value!r} is not one of {', '.join(CARRIERS)}")
    return value


def _whole_number(lowest: int, highest: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ValueError(f"{value!r} is not a whole number from {lowest} to {highest}")
        return value

    return read


def _word(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9_-]+", value):
        raise ValueError(f"{value!r} is not the name of a network stack, such as ifupdown")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")
    return value


def _routing(value: Any) -> str:
    if value not in ROUTING:
        raise ValueError(f"{value!r} is not one of {', '.join(ROUTING)}")
    return str(value)


READERS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "endpoint": _ipv4,
    "local": _local,
    "dev": _dev,
    "address": _ipv6_with_prefix,
    "gateway": _ipv6,
    "ttl": _whole_number(1, 255),
    "mtu": _whole_number(*MTU),
    "metric": _whole_number(1, 2**32 - 1),
    "routing": _routing,
    "source": _ipv6,
    "addresses": _addresses,
    "routed": _prefixes,
    "carrier": _carrier,
    tunnel_wireguard.CARRIER: tunnel_wireguard.read,
    "stack": _word,
    "adopt": _truth,
    **broker_settings.READERS,
}
EXPECTED = {
    "name": "an interface name: up to 15 letters, digits, '.', '_' and '-'",
    "endpoint": "the broker's IPv4 address",
    "dev": "the name of the interface that the tunnel's packets leave by, such as eth1",
    "address": "an IPv6 address with its prefix length, as in 2001:470:1f12:f87::2/64",
    "gateway": "the IPv6 address of the broker's end",
    "addresses": "a list of IPv6 addresses with their prefix lengths",
    "routed": f"a prefix that is routed to this host, of /{SHORTEST} or longer, as in 2001:470:1f13:f87::/64, or a "
    "list",
}
