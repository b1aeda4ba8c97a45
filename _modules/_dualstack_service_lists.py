"""
Lists of addresses that a service listens on, such as ``192.0.2.1, 127.0.0.1``: what they lack of the other family.
PURE: never accesses the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_service_addresses as service_addresses

ANY4, ANY6 = service_addresses.ANY4, service_addresses.ANY6


class Lack(NamedTuple):
    """What is to be added to a list, or why nothing is."""

    added: list[str]  # addresses; the other wildcard, or the IPv6 addresses of this host
    note: str  # what was left alone, and why; empty if nothing was
    missing: str  # why there is no IPv6 for a published address; empty if there is, or will be


def lack(addresses: Sequence[str], site: Mapping[str, Any] | None) -> Lack:
    """
    What a list of addresses lacks to serve both families.

    addresses
        Those of one port, in canonical form; host names among them.
    site
        ``addresses``: the published ones of this host, by family; ``None`` if they do not matter.

    ``0.0.0.0`` lacks ``::``, or a published IPv6 address; ``::`` lacks ``0.0.0.0``; a published IPv4 address lacks the
    published IPv6 addresses. All else is left alone.
    """
    four, six = (service_addresses.published(site, family) for family in ("ipv4", "ipv6"))
    wildcards = [each for each in (ANY4, ANY6) if each in addresses]
    if len(wildcards) == 2 or wildcards == [ANY4] and any(each in six for each in addresses):
        return Lack([], "", "")
    if wildcards:
        return _other(service_addresses.OTHER[wildcards[0]], addresses)
    own = [each for each in addresses if each in four]
    if not own:
        whys = [why_alone(each) for each in addresses]
        return Lack([], "; ".join(dict.fromkeys(whys)), "")
    others = [each for each in addresses if service_addresses.version(each) == 6 and not _loopback(each)]
    if any(each in six for each in others) or others and not six:
        return Lack([], "", "")
    if six:
        return Lack(six, "", "")
    return Lack(
        [], "", f"{' and '.join(own)} is published, and no IPv6 address of this host is known to listen on beside it"
    )


def why_alone(address: str) -> str:
    """
    Why an address is left alone; an empty text for a wildcard.

    address
        In canonical form; a network, a host name, or ``?`` for what is not known.
    """
    if "/" in address or address == "?":
        return "a network: left alone" if "/" in address else "not known: cannot decide"
    return service_addresses.why_alone(address, name="loopback" if address == "localhost" else "a host name")


def gap(said: str, port: int | None) -> dict[str, Any]:
    """
    An item of ``missing``, for a service that knows no host names.

    said
        The sentence.
    port
        The TCP port.
    """
    return {"names": [], "port": port, "said": said}


def _other(wanted: str, addresses: Sequence[str]) -> Lack:
    """The other wildcard: two sockets on one port of a family collide."""
    family = service_addresses.version(wanted)
    taken = next((each for each in addresses if service_addresses.version(each) in (family, None)), "")
    taken = taken if taken not in (ANY4, ANY6) else ""
    if taken:
        return Lack([], f"left alone, since `{taken}` has the port in the other family", "")
    return Lack([wanted], "", "")


def _loopback(address: str) -> bool:
    return why_alone(address).startswith("loopback")
