"""
The settings of the tunnel's states: from their arguments, and, with the argument ``pillar``, from the pillar.

All functions take the state's ``name``, its other arguments (``given``, ``None`` for those that are left out), the
whole ``pillar``, and the ``key`` of the tunnel in it, ``None`` if the state has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_dns_address as dns_address
import _dualstack_dns_parts as dns_parts
import _dualstack_settings as settings
import _dualstack_settings_native as settings_native
import _dualstack_settings_tunnels as settings_tunnels
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
from salt.exceptions import SaltInvocationError


def declared(name: str, given: Mapping[str, Any], pillar: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """
    The declared tunnel, as it was written: in the arguments, or in the pillar and the arguments, which take precedence.

    name, given, pillar, key
        As above.

    Raises ``SaltInvocationError`` where there is nothing in the pillar.
    """
    if key is None:
        return {"name": name, **given}
    return {**settings_tunnels.part(pillar, key), **_named(given)}


def asked(
    name: str,
    given: Mapping[str, Any],
    pillar: Mapping[str, Any],
    key: str | None,
    stacks: tunnel_stack.Stacks,
) -> dict[str, Any]:
    """
    The arguments of a rung: given, or from the tunnel in the pillar and the parts beside it.

    name, given, pillar, key
        As above.
    stacks
        The available network stacks.

    Returns what is given, and from the pillar ``name``, ``stack``, ``gateway``, ``beyond`` and ``source``, the
    published address. Raises ``SaltInvocationError`` with everything that is wrong with the tunnel in the pillar; the
    rungs check ``beyond`` and ``source``.
    """
    if key is None:
        return {"name": name, **given}
    part = settings_tunnels.part(pillar, key)
    problems = tunnel_stack.errors(part, stacks)
    if problems:
        raise SaltInvocationError("\n".join(f"{key}:{each}" for each in problems))
    tunnel = tunnel_sit.canonical(part)
    beside = settings_tunnels.whole(key)
    dns = settings.value_beside(pillar, beside, "dns")
    others = beside != key or settings_native.of_part(settings.value_beside(pillar, beside, settings_native.PART))
    if others and not settings_tunnels.has(tunnel, dns_parts.address(dns)):
        dns = {}  # another tunnel, or the hoster's interface, has the published address, and this one its own source
    found = {
        **{each: tunnel[each] for each in ("name", "stack", "gateway")},
        "beyond": settings.beside(pillar, beside, "verify").get("beyond"),
        "source": dns_address.published(dns, tunnel) or dns_parts.address(dns),  # no address then, and refused
    }
    return {**found, **_named(given)}


def interface(name: str, pillar: Mapping[str, Any], key: str | None) -> str:
    """
    The interface's name in comments. Raises nothing: the plan reports a pillar without the tunnel.

    name, pillar, key
        As above.
    """
    if key is None:
        return name
    own = settings_tunnels.name_in(key) if isinstance(key, str) else ""
    return own or str(_part(pillar, key).get("name") or settings_tunnels.NAME)


def places(pillar: Mapping[str, Any], key: str | None) -> dict[str, str]:
    """
    Where in the pillar each key of the tunnel is, known or not.

    pillar, key
        As above.
    """
    return {} if key is None else {each: f"{key}:{each}" for each in {**tunnel_sit.READERS, **_part(pillar, key)}}


def places_beside(key: str | None) -> dict[str, str]:
    """
    Where in the pillar the arguments of the rungs are.

    key
        As above. One that is no text is refused elsewhere.
    """
    if not isinstance(key, str):
        return {}
    above = settings_tunnels.whole(key).rpartition(":")[0]
    return {"stack": f"{key}:stack", "beyond": f"{above}:verify:beyond", "source": f"{above}:dns:address"}


def told(result: converge.Result, name: str, given: Mapping[str, Any], where: Mapping[str, str]) -> converge.Result:
    """
    A result under the name of its state. Lines of its comment about a key begin with the key's place in the pillar,
    unless it was given as an argument.

    result
        Named after the tunnel.
    name, given
        As above.
    where
        From :py:func:`places` or :py:func:`places_beside`.
    """
    own = _named(given)
    lines = []
    for line in result["comment"].split("\n"):
        key, colon, rest = line.partition(":")
        lines.append(f"{key if key in own else where.get(key, key)}{colon}{rest}")
    return {**result, "name": name, "comment": "\n".join(lines)}


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def _part(pillar: Mapping[str, Any], key: str) -> dict[str, Any]:
    try:
        return settings.part(pillar, key)
    except SaltInvocationError:
        return {}
