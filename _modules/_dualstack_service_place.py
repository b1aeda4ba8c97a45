"""
Where others find the services of this host: by which names, and on which of its addresses, in each family.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_families as families
import _dualstack_host_routes as host_routes
import _dualstack_service_verdict as service_verdict
import salt.utils.network
from salt.exceptions import CommandExecutionError

LOOPBACK = {"ipv4": ["127.0.0.1"], "ipv6": ["::1"]}
ITSELF = ["127.0.0.1", "::1"]
# Addresses that cannot be reached from outside (RFC 1918, RFC 6598, RFC 3927, RFC 4193): a host behind NAT has another
# one there.
PRIVATE = [
    ipaddress.ip_network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7")
]

BEYOND = "192.0.2.1"  # any address of the internet: no packet is sent to it

Sockets = list[dict[str, Any]]  # live ones, or listeners of a configuration
Addresses = dict[str, list[str]]  # by family


class Place(NamedTuple):
    """
    Where others find this host.

    ``addresses`` are those by which they do, or will; ``held`` those of them that this host has now; ``chosen``,
    whether the IPv6 ones were chosen by somebody: then each of them counts, and otherwise any; ``spare``, what stands
    in for a family of which none is held.
    """

    names: list[str]
    addresses: Addresses
    held: Addresses
    chosen: bool
    spare: Addresses


def here(names: Sequence[str] = (), published: str | None = None) -> Place:
    """
    Where others find this host.

    names
        Its names, if they were declared.
    published
        The IPv6 address that is published, or will be; by default all global ones.

    Where there is no public IPv4 address, the host is behind NAT: then the one counts from which its packets leave.
    Those of bridges and of private networks beside it do not: nobody comes by them.
    """
    six = [each for each in salt.utils.network.ip_addrs6() if not ipaddress.ip_address(each).is_link_local]
    four = _public(salt.utils.network.ip_addrs())
    if all(map(private, four)):
        source = host_routes.to(BEYOND).source if len(four) > 1 else None
        four = [each for each in four if source in (None, each)]
    held = {"ipv4": four, "ipv6": _public(six)}
    if not published:
        return Place(list(names), held, held, False, LOOPBACK)
    own = str(ipaddress.IPv6Address(published))
    here_now = {**held, "ipv6": [own] if own in six else []}
    return Place(list(names), {**held, "ipv6": [own]}, here_now, True, LOOPBACK)


def at(addresses: Iterable[str], names: Sequence[str] = ()) -> Place:
    """
    The same for addresses that somebody has named.

    addresses
        Of either family.
    names
        Its names.
    """
    found: Addresses = {family: [] for family in families.FAMILIES}
    for each in addresses:
        found["ipv6" if ":" in each else "ipv4"].append(each)
    return Place(list(names), found, found, True, {family: [] for family in found})


def private(address: str) -> bool:
    """
    Whether an address cannot be reached from outside.

    address
        Of either family.
    """
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in PRIVATE)


def _public(addresses: Iterable[str]) -> list[str]:
    own = list(dict.fromkeys(addresses))
    return [each for each in own if not private(each)] or own


def refuse_one_family(place: Place) -> None:
    """
    Raise ``CommandExecutionError`` where this host has no address of one family by which others could reach it.

    place
        The place.
    """
    for family, words in families.NAMES.items():
        if not place.held[family]:
            published = ", ".join(place.addresses[family])
            if published:
                raise CommandExecutionError(f"this host does not have {published}, which is published")
            raise CommandExecutionError(f"this host has no {words} address but those of loopback and link")


def by_port(sockets: Iterable[Mapping[str, Any]], place: Place) -> dict[int, Sockets]:
    """
    The TCP sockets, or configured listeners, that others can connect to, by port.

    sockets
        Each with ``transport``, ``port`` and ``address``.
    place
        On all addresses, or on one of this place.
    """
    known = {address for own in (place.addresses, place.held) for each in own.values() for address in each}
    found: dict[int, Sockets] = {}
    for each in sockets:
        address = plain(each["address"])
        if each["transport"] == "tcp" and each["port"] and (service_verdict.wildcard(address) or address in known):
            found.setdefault(each["port"], []).append(dict(each))
    return dict(sorted(found.items()))


def covered(sockets: Sockets, place: Place, bindv6only: int = 0) -> Addresses:
    """
    The addresses of a place on which sockets of one port are reached, by family.

    sockets
        The sockets, or configured listeners.
    place
        The place.
    bindv6only
        The kernel's default, for those that use it.
    """
    wide = _wide(sockets, bindv6only)
    single = {plain(each["address"]) for each in sockets}
    return {
        family: [each for each in own if family in wide or each in single] for family, own in place.addresses.items()
    }


def served(sockets: Sockets, place: Place, bindv6only: int = 0) -> list[str]:
    """
    The families that sockets of one port serve, as others see it: a single address is enough, if it is the one by which
    they come.

    sockets, place, bindv6only
        As for :py:func:`covered`.
    """
    wide = _wide(sockets, bindv6only)
    found = covered(sockets, place, bindv6only)
    return [
        family
        for family in families.FAMILIES
        if family in wide or (found[family] and not (family == "ipv6" and place.chosen and lacking(found, place)))
    ]


def _wide(sockets: Sockets, bindv6only: int) -> list[str]:
    """The families of the sockets on all addresses."""
    return service_verdict.served([each for each in sockets if service_verdict.wildcard(each["address"])], bindv6only)


def lacking(found: Addresses, place: Place) -> list[str]:
    """
    The IPv6 addresses of a place that are not covered.

    found
        From :py:func:`covered`.
    place
        The place.
    """
    return [each for each in place.addresses["ipv6"] if each not in found["ipv6"]]


def asked(sockets: Sockets, place: Place) -> Addresses:
    """
    The addresses at which a port is asked, by family.

    sockets
        The live ones of the port; none, if it is not known.
    place
        The place.

    Those of this host's that the port is on, or else all of them, so that it is heard what is missing; loopback, where
    the host has none of the family yet.
    """
    found = covered(sockets, place)
    result = {}
    for family, own in place.held.items():
        on = [each for each in own if each in found[family]]
        every = family == "ipv6" and place.chosen
        result[family] = (own if every else on or own) or place.spare[family]
    return result


def plain(address: str) -> str:
    """
    An address as others write it: the IPv4 one in ``::ffff:192.0.2.1``.

    address
        As a socket has it.
    """
    return address.removeprefix("::ffff:") if "." in address else address
