"""
The addresses that services listen on: which cover a whole family, and why the others are left alone. PURE: never
accesses the host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

ANY4, ANY6 = "0.0.0.0", "::"  # each is all addresses of its family
OTHER = {ANY4: ANY6, ANY6: ANY4}
# Names of this host for itself only.
LOCAL = ("localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback")
# Why what listens on any other name is missing.
NAMED = "a host name: what it stands for is not known; write the addresses of both families"


def canonical(word: str) -> str:
    """
    An address as the kernel shows it; anything else, such as a host name, stays as it is.

    word
        As it is written, without brackets.
    """
    try:
        return str(ipaddress.ip_address(word))
    except ValueError:
        return word


def version(address: str) -> int | None:
    """
    The family of an address, 4 or 6; ``None`` for a host name, which may have either.

    address
        As it is written, without brackets.
    """
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return None


def why_alone(address: str, single: str = "a specific address", name: str = "a host name") -> str:
    """
    Why a listener is left alone; an empty text for one on all addresses of a family.

    address
        What it listens on, without brackets.
    single
        The word for a single address other than loopback.
    name
        The word for anything that is not an address.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f"{name}: left alone"
    if parsed.is_unspecified:
        return ""
    return "loopback: left alone" if parsed.is_loopback else f"{single}: left alone"


def published(site: Mapping[str, Any] | None, family: str) -> list[str]:
    """
    The addresses of this host by which others come, or will, as the kernel shows them.

    site
        ``addresses``, by family, as plug-ins get them; ``None`` if nothing is known.
    family
        ``ipv4`` or ``ipv6``.
    """
    found = ((site or {}).get("addresses") or {}).get(family) or []
    return [canonical(str(each)) for each in found]
