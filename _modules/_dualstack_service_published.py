"""
Listeners on a single address of this host that is published: which addresses of IPv6 they lack. PURE: never accesses
the host.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import _dualstack_families as families
import _dualstack_service_addresses as service_addresses

# The names that the pillar declares, and the addresses of this host that are, or will be, published:
# {"names": [...], "addresses": {"ipv4": [...], "ipv6": [...]}}. None: nothing is known of them.
Site = Mapping[str, Any]

# Why `missing` is told, where there is nothing to add.
UNKNOWN = "this address is published, and no address of IPv6 to listen on is known; publish one, or add it here"


def addresses(site: Site | None) -> dict[str, list[str]]:
    """
    The published addresses of either family, as the kernel shows them.

    site
        What is known.
    """
    return {family: service_addresses.published(site, family) for family in families.FAMILIES}


def lacking(address: str, beside: Collection[str], known: Mapping[str, list[str]]) -> list[str] | None:
    """
    The addresses on which a listener of one address has to listen, too.

    address
        Its address, as the kernel shows it.
    beside
        All addresses of the same port, by preference as a set.
    known
        From :py:func:`addresses`.

    Returns ``None`` where nothing lacks: the address is not a published one of IPv4, or the port is on a published one
    of IPv6 already, or on all of a family, which is another question. Returns an empty list where something does, and
    no published address of IPv6 is known.
    """
    if address not in known["ipv4"] or any(each in beside for each in (*service_addresses.OTHER, *known["ipv6"])):
        return None
    return known["ipv6"]


def named(address: str, beside: Collection[str], known: Mapping[str, list[str]]) -> bool:
    """
    Whether a listener is on a host name that may stand for a published address of IPv4 alone.

    address, beside, known
        As for :py:func:`lacking`; the names of loopback are none, nor is one whose port is on a published address of
        IPv6, or on all of a family.
    """
    if not address or service_addresses.version(address) is not None or address.lower() in service_addresses.LOCAL:
        return False
    return not any(each in beside for each in (*service_addresses.OTHER, *known["ipv6"]))


def missing(site: Site | None, port: int | None, said: str) -> dict[str, Any]:
    """
    What a plug-in sees to be without IPv6, and cannot add by itself.

    site
        What is known. A service that does not tell its names apart serves them all.
    port
        The port; ``None`` for several.
    said
        A sentence with its place.
    """
    return {"names": list((site or {}).get("names") or []), "port": port, "said": said}


def unknown(site: Site | None, port: int | None, said: str) -> dict[str, Any]:
    """
    The same for a host name: its sockets may show both families, and then nothing is missing.

    site, port
        As for :py:func:`missing`.
    said
        The place.
    """
    return {**missing(site, port, f"{said}: {service_addresses.NAMED}"), "unknown": True}
