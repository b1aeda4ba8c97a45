"""
The part ``dns`` of the pillar, which is one mapping, or a list of such mappings: one for each zone, or provider.
Everybody who reads it reads it here. PURE: never accesses the host.

An *entry* is such a mapping, with the key of the pillar under which it stands: ``ipv6:dns``, or ``ipv6:dns:0``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_dns_values as dns_values

KEY = "ipv6:dns"


def entries(dns: Any, key: str = KEY) -> list[tuple[str, Mapping[str, Any]]]:
    """
    The entries, each with its key of the pillar.

    dns
        The part; it may be anything. What is no mapping is left out.
    key
        Its own key.
    """
    if isinstance(dns, Mapping):
        return [(key, dns)]
    listed = dns if isinstance(dns, (list, tuple)) else ()
    return [(f"{key}:{index}", each) for index, each in enumerate(listed) if isinstance(each, Mapping)]


def names(dns: Any) -> list[str]:
    """
    The host names of all entries, in their order and canonical form; what is no host name is left out.

    dns
        The part; it may be anything.
    """
    found = []
    for _, entry in entries(dns):
        given = entry.get("names")
        listed = given if isinstance(given, (list, tuple)) else ()
        found += [dns_values.canonical(each) for each in listed if dns_values.is_host_name(each)]
    return list(dict.fromkeys(found))


def servers(dns: Any) -> list[str]:
    """
    The name servers that can be asked about all names; none where the entries have different ones.

    dns
        The part; it may be anything.
    """
    found = [entry.get("servers") or [] for _, entry in entries(dns)]
    return list(found[0]) if found and isinstance(found[0], list) and all(each == found[0] for each in found) else []


def address(dns: Any) -> Any:
    """
    The address that the part gives: that of the first entry that has one, since a host is published with one address.

    dns
        The part; it may be anything.

    Returns it as it was written, ``None`` if there is none.
    """
    return next((entry["address"] for _, entry in entries(dns) if entry.get("address") is not None), None)
