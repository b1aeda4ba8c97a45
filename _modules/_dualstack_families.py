"""
The two families of IP addresses, as this project names them.
"""

from __future__ import annotations

NAMES = {"ipv4": "IPv4", "ipv6": "IPv6"}  # in sentences
FAMILIES = tuple(NAMES)


def other(family: str) -> str:
    """
    The other family.

    family
        ``ipv4`` or ``ipv6``.
    """
    return "ipv6" if family == "ipv4" else "ipv4"
