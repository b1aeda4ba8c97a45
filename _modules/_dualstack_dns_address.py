"""
Which address this host publishes. PURE: never accesses the host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import _dualstack_dns_parts as dns_parts


def published(dns: Any, tunnel: Mapping[str, Any]) -> str | None:
    """
    The IPv6 address by which others reach this host, and from which its own connections through the tunnel come.

    dns
        The part ``dns`` of the pillar, a mapping or a list of mappings; empty where there is none.
    tunnel
        The part ``tunnel``, the first of several; empty where there is none. Neither has to be valid.

    Returns the first that is given, in canonical form and without a prefix length: the ``address`` of ``dns``; the
    ``source`` of the tunnel; the first of its ``addresses``; its own ``address``. ``None`` if none is given, or if the
    first one given is not an IPv6 address: a mistake is not replaced by something else.
    """
    further = tunnel.get("addresses")
    first = next(iter(further), None) if isinstance(further, (list, tuple)) else further
    given = (dns_parts.address(dns), tunnel.get("source"), first, tunnel.get("address"))
    chosen = next((each for each in given if each is not None), None)
    if not isinstance(chosen, str):
        return None
    try:
        return str(ipaddress.IPv6Address(chosen.partition("/")[0]))
    except ValueError:
        return None
