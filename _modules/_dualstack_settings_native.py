"""
IPv6 that a hoster routes to this host by itself, the part ``native`` of the pillar, for who reads it beside the
tunnels: it is one more interface with addresses that can be published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_settings as settings
import _dualstack_settings_tunnels as settings_tunnels

PART = "native"
Holder = dict[str, Any]  # as settings_tunnels.of takes it


def holders(ipv6: Any) -> list[Holder]:
    """
    Who has the host's addresses: the tunnels first, then the hoster's interface.

    ipv6
        The pillar ``ipv6``. It need not be valid: what is no mapping, or empty, is none.
    """
    tunnels = list(settings_tunnels.entries(ipv6).values())
    return [*tunnels, *of_part(ipv6.get(PART) if isinstance(ipv6, Mapping) else None)]


def beside(pillar: Mapping[str, Any], key: str) -> list[Holder]:
    """
    The same beside a part of the pillar.

    pillar
        The whole pillar.
    key
        The part: ``ipv6:dns``.
    """
    part = settings.value_beside(pillar, settings_tunnels.whole(key), PART)
    return [*settings_tunnels.beside(pillar, key), *of_part(part)]


def of_part(part: Any) -> list[Holder]:
    """
    The hoster's interface alone, if there is one: ``name``, ``address``, ``addresses``, ``source`` and ``gateway``.

    part
        The part ``native``; it may be anything.

    Its ``source`` is the ``address`` where none is given: that is the one to be published.
    """
    if not isinstance(part, Mapping) or not part:
        return []
    address = part.get("address")
    source = part.get("source") or (address.partition("/")[0] if isinstance(address, str) else address)
    return [{**part, "name": part.get("interface"), "source": source}]
