"""
Sites: the names that web servers serve on single addresses, and which of them lack IPv6. PURE: never accesses the host.

A connection is answered by the servers that name its address and port; only where there are none, by those on all
addresses. So a server on ``192.0.2.1`` is alone with its like there, and what is on ``::`` does not answer for it. What
is added here makes a published IPv6 address the mirror of the published IPv4 addresses.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_service_addresses as service_addresses

ANY4, ANY6 = service_addresses.ANY4, service_addresses.ANY6
NAME = re.compile(r"(?=.*[a-z0-9])[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")
# As access lists write them: 192.0.2.1, 192.0.2.0/24, 192.0.2.0/255.255.255.0, 192.0.2., 192.0.2.1-192.0.2.9
IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:[/-][0-9.]+)?|(?:[0-9]{1,3}\.){1,3}(?:[0-9]{1,3})?(?:/[0-9.]+)?")
IPV6 = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:[/-].*)?")
LOOPBACK = re.compile(r"127(?:\.[0-9]+){0,3}\.?(?:/[0-9.]+)?|::1(?:/128)?")
# Not to be met on the Internet; ipaddress.is_private also has the addresses for documentation.
PRIVATE = [
    ipaddress.ip_network(each)
    for each in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
]


class Site(NamedTuple):
    """What is published of this host."""

    names: frozenset[str]  # that the pillar declares
    ipv4: list[str]  # addresses; empty if they are not known
    ipv6: list[str]


class Hold(NamedTuple):
    """One server on one address."""

    server: int  # its number
    address: str
    socket: Hashable  # whatever two of them must share to be on the same port
    what: Any  # where it is written


class Missing(NamedTuple):
    """A server that cannot have what it lacks."""

    hold: Hold
    why: str


def site(given: Mapping[str, Any] | None) -> Site | None:
    """
    What is published of this host, with the addresses as the kernel shows them.

    given
        ``names``, and ``addresses``: those of ``ipv4`` and of ``ipv6``. ``None`` stays ``None``.
    """
    if given is None:
        return None
    ipv4, ipv6 = (service_addresses.published(given, family) for family in ("ipv4", "ipv6"))
    return Site(frozenset(host_names(given["names"])), ipv4, ipv6)


def host_names(words: Iterable[str]) -> list[str]:
    """
    The host names among the names of a server: no patterns, no addresses, no ``_``.

    words
        As they are written. ``.example.org`` counts as ``example.org``.

    Returns them in lower case, each once, in order.
    """
    found = (each.lower().removeprefix(".") for each in words)
    return list(
        dict.fromkeys(
            each.removesuffix(".") for each in found if NAME.fullmatch(each) and not service_addresses.version(each)
        )
    )


def is_named(address: str) -> bool:
    """
    Whether a listener is on whatever a host name stands for, but those of this host for itself.

    address
        What it listens on, without brackets.
    """
    name = address.lower()
    return bool(NAME.fullmatch(name)) and not service_addresses.version(name) and name not in service_addresses.LOCAL


def is_public(address: str, version: int | None = None) -> bool:
    """
    Whether visitors could use an address: not one for this host or for private networks.

    address
        As it is written, without brackets; false for a host name.
    version
        The family that it has to be of, if it matters.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if version and parsed.version != version:
        return False
    if parsed.version == 6:
        return not (parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local)
    return not (parsed.is_unspecified or any(parsed in each for each in PRIVATE))


def reachable(address: str) -> bool:
    """
    Whether others than this host can reach a listener.

    address
        What it listens on, without brackets.
    """
    return not (address in service_addresses.LOCAL or service_addresses.why_alone(address).startswith("loopback"))


def lacking(
    holds: Iterable[Hold],
    names: Sequence[Collection[str]],
    published: Site,
    stuck: Collection[Hashable] = (),
    chosen: Sequence[Collection[str]] = (),
) -> tuple[list[tuple[Hold, str]], list[Missing]]:
    """
    The servers that do not answer over IPv6 where they do over IPv4, as far as single addresses are the reason.

    holds
        All servers on all their addresses. One on a socket for both families holds ``0.0.0.0`` and ``::``. A server on
        ``0.0.0.0`` is assumed to be on ``::`` as well, or about to be.
    names
        The names of each server, for a pair of servers that are one site in one family each.
    published
        What is published of this host.
    stuck
        The sockets of which no server can come to be on ``::``.
    chosen
        The names by which each server is chosen among those on its address, if it is: one name has one server there.

    Returns what to add, pairs of a server and an IPv6 address, and what is missing: while none is known, and where
    servers of the same name are on different IPv4 addresses.
    """
    by_socket: dict[Hashable, dict[str, dict[int, Hold]]] = {}
    for each in holds:
        by_socket.setdefault(each.socket, {}).setdefault(each.address, {}).setdefault(each.server, each)
    added: list[tuple[Hold, str]] = []
    missing: list[Missing] = []
    for socket, held in by_socket.items():
        singles = [address for address in held if _counts(address, held[address], names, published)]
        if not published.ipv6:
            missing += _without(held, singles, names)
        elif singles or socket in stuck or any(address in held for address in published.ipv6):
            chosen = chosen or [()] * len(names)
            found, rivals = _mirrored(held, singles, names, published, socket in stuck, chosen)
            added += found
            missing += rivals
    return added, missing


def _counts(address: str, servers: Iterable[int], names: Sequence[Collection[str]], published: Site) -> bool:
    """Whether an address is a published one of IPv4; if these are not known, whether it has a declared name."""
    if published.ipv4:
        return address in published.ipv4
    if service_addresses.version(address) != 4 or not is_public(address):
        return False
    return any(not published.names.isdisjoint(host_names(names[server])) for server in servers)


def _only_six(held: Mapping[str, Mapping[int, Hold]]) -> set[int]:
    """The servers that have a port in IPv6 alone: each may be the other half of one in IPv4."""
    four = {server for address, servers in held.items() if ":" not in address for server in servers}
    return {server for address, servers in held.items() if ":" in address for server in servers if server not in four}


def _without(
    held: Mapping[str, Mapping[int, Hold]], singles: list[str], names: Sequence[Collection[str]]
) -> Iterator[Missing]:
    reached = {
        server
        for address, servers in held.items()
        if address in (ANY4, ANY6) or (":" in address and is_public(address))
        for server in servers
    }
    halves = {name for server in _only_six(held) & reached for name in names[server]}
    for server, each in {server: each for address in singles for server, each in held[address].items()}.items():
        if server not in reached and halves.isdisjoint(names[server]):
            yield Missing(each, "no IPv6 address of this host is known that it could have, too")


def _mirrored(
    held: Mapping[str, Mapping[int, Hold]],
    singles: list[str],
    names: Sequence[Collection[str]],
    published: Site,
    stuck: bool,
    chosen: Sequence[Collection[str]],
) -> tuple[list[tuple[Hold, str]], list[Missing]]:
    any4 = held.get(ANY4, {})
    everywhere = {**({} if stuck else any4), **held.get(ANY6, {})}
    required: dict[int, Hold] = {}
    sources: dict[int, set[str]] = {}  # the addresses of IPv4 on which each answers
    for source in published.ipv4 or [*singles, ANY4]:
        for server, hold in (held.get(source) or any4).items():
            required.setdefault(server, hold)
            sources.setdefault(server, set()).add(source)
    reached = {server for address in published.ipv6 for server in held.get(address, {})}
    alone = _only_six(held)

    def unserved(answering: set[int]) -> list[int]:
        halves = {name for server in answering & alone for name in names[server]}
        return [each for each in sorted(required) if each not in answering and halves.isdisjoint(names[each])]

    elsewhere = {server for address, servers in held.items() if is_public(address, 6) for server in servers}
    added: list[tuple[Hold, str]] = []
    missing: dict[int, Missing] = {}
    for target in published.ipv6:
        here = held.get(target)
        known = set(here or everywhere)
        # Whoever has a name there already keeps it; else the address that is published first decides.
        first: dict[str, int] = {}
        for server in sorted(required, key=lambda each: each not in known):
            for name in chosen[server]:
                first.setdefault(name.lower(), server)
        rivals = {
            server: first[name.lower()]
            for server in required
            for name in chosen[server]
            if sources[server].isdisjoint(sources[first[name.lower()]])
        }
        wanted = unserved(reached | known)
        if not here and not rivals.keys() >= set(wanted):
            # From now on, those on all addresses do not answer on this one.
            wanted = unserved(reached)
        for server in wanted:
            if server not in rivals:
                added.append((required[server], target))
            elif server not in elsewhere:
                why = (
                    f"a server on {required[rivals[server]].address} has the same name, and only one of the two can be "
                    f"on [{target}]; give each an IPv6 address of its own by hand"
                )
                missing.setdefault(server, Missing(required[server], why))
    return added, list(missing.values())


def only_ipv4(values: Collection[str]) -> bool:
    """
    Whether a list of addresses knows some of IPv4 and none of IPv6; this host itself does not count.

    values
        As they are written: addresses, networks, and other words.
    """
    found = [each for each in values if not LOOPBACK.fullmatch(each)]
    return any(map(IPV4.fullmatch, found)) and not any(map(IPV6.fullmatch, found))
