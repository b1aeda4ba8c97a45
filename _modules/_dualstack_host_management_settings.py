"""
The pillar's part ``manage``: who has to be able to manage a host, and who need not. PURE: never accesses the host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_words as words

KEY = "ipv6:manage"  # where the pillar has it
KEYS = ("allow", "ignore")
KEYS_OF_ALLOW = ("from", "port", "interface")
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Allowed(NamedTuple):
    """Whoever has to be able to reach sshd: a network; its port and the interface, where they are given."""

    network: Network
    port: int | None
    interface: str | None


class Wanted(NamedTuple):
    """Who has to be able to manage this host, besides those who are found there, and who need not."""

    allow: list[Allowed]
    ignore: list[Network]

    def ignores(self, address: str) -> bool:
        """Whether the host of an address need not."""
        host = ipaddress.ip_address(address)
        return any(host in each for each in self.ignore)


def errors(manage: Mapping[Any, Any]) -> Iterator[str]:
    """
    The errors in the part ``manage``.

    manage
        The part.

    Yields sentences that begin with the key.
    """
    for key, value in manage.items():
        if key not in KEYS:
            yield f"{key}: {words.unknown(key, KEYS)}"
        elif not isinstance(value, list):
            yield f"{key}: expected a list of addresses and networks, found {value!r}"
        else:
            for index, each in enumerate(value):
                found = _errors_of_allow(each) if key == "allow" and isinstance(each, dict) else _errors_of(each)
                yield from (f"{key}[{index}]{said}" for said in found)


def read(manage: Mapping[str, Any] | None) -> Wanted:
    """
    The meaning of the part ``manage``.

    manage
        The part, without errors; ``None`` where the pillar has none.
    """
    given = manage or {}
    allow = [each if isinstance(each, Mapping) else {"from": each} for each in given.get("allow", [])]
    return Wanted(
        [Allowed(_network(each["from"]), each.get("port"), each.get("interface")) for each in allow],
        [_network(each) for each in given.get("ignore", [])],
    )


def _errors_of_allow(entry: dict[Any, Any]) -> Iterator[str]:
    for key, value in entry.items():
        if key not in KEYS_OF_ALLOW:
            yield f":{key}: {words.unknown(key, KEYS_OF_ALLOW)}"
        elif key == "from":
            yield from (f":from{said}" for said in _errors_of(value))
        elif key == "port" and not (type(value) is int and 1 <= value <= 65535):
            yield f":port: {value!r} is not a whole number from 1 to 65535"
        elif key == "interface" and not (isinstance(value, str) and INTERFACE.fullmatch(value)):
            yield f":interface: {value!r} is not the name of an interface"
    if "from" not in entry:
        yield ":from: missing; expected an address or a network, such as 192.0.2.0/24"


def _errors_of(value: Any) -> Iterator[str]:
    try:
        network = _network(value)
    except ValueError:
        yield f": {value!r} is not an address or a network, such as 192.0.2.0/24"
        return
    first = network.network_address
    if not network.prefixlen:
        yield f": {value!r} is everybody; expected an address or a network, and for everybody ipv6:firewall:expect"
    elif first.is_multicast or first.is_unspecified:
        yield f": {value!r} is not the address of a host, and not a network of hosts"


def _network(value: Any) -> Network:
    """A host's address in a network stands for the network; a zone is none of these."""
    if not isinstance(value, str) or "%" in value:
        raise ValueError(value)
    return ipaddress.ip_network(value, strict=False)
