"""
Which settings of the pillar a provider gets, by their key. PURE: never accesses the host.

Those for PTR records are ``ipv6:dns:ptr:<provider>``; what lacks there is as in ``ipv6:dns:<provider>``, and the zone
is ``ipv6:dns:ptr:zone``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_settings as settings_room

PTR = "ptr"


def read(pillar: Mapping[str, Any], key: str, zoned: bool) -> dict[str, Any]:
    """
    The settings under a key.

    pillar
        The whole pillar.
    key
        The key.
    zoned
        Whether the provider's settings have a ``zone``.

    Raises ``SaltInvocationError`` where there is no such mapping, or the key is not text.
    """
    above, _, provider = key.rpartition(":") if isinstance(key, str) else ("", "", "")
    if above.rpartition(":")[2] != PTR:
        return settings_room.part(pillar, key)
    dns = settings_room.at(pillar, above.rpartition(":")[0])
    found = merged(dns if isinstance(dns, Mapping) else {}, settings_room.part(pillar, above), provider, zoned)
    return found if isinstance(found, dict) else settings_room.part(pillar, key)


def merged(dns: Mapping[Any, Any], ptr: Mapping[Any, Any], provider: str, zoned: bool) -> Any:
    """
    The settings of a provider for PTR records.

    dns, ptr
        The part ``dns``, and the part ``ptr`` in it.
    provider
        Its name.
    zoned
        As for :py:func:`read`.

    Returns a mapping, or what stands in the place of one, which is then an error.
    """
    usual, own = dns.get(provider), ptr.get(provider)
    for each in (own, usual):
        if each is not None and not isinstance(each, Mapping):
            return each
    if usual is None and own is None:
        return None
    found = {**(usual or {}), **{key: each for key, each in (own or {}).items() if each is not None}}
    return {**found, "zone": ptr["zone"]} if zoned and ptr.get("zone") is not None else found
