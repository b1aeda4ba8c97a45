"""
The tunnels of the pillar: ``tunnel`` for one, or ``tunnels``, each by the name of its interface. Everybody who reads
them reads them here, with what their brokers are remembered to know of them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

import _dualstack_broker_complete as broker_complete
import _dualstack_settings as settings
import _dualstack_tunnel_sit as tunnel_sit

NAME: str = tunnel_sit.DEFAULTS["name"]  # of the interface, where `tunnel` does not say it
ONE, SEVERAL = "tunnel", "tunnels"
Tunnel = dict[str, Any]


def entries(ipv6: Any) -> dict[str, Tunnel]:
    """
    The tunnels of a pillar, each with the ``name`` of its interface, by their keys: ``tunnel``, or ``tunnels:second``.

    ipv6
        The pillar ``ipv6``. It need not be valid: what is no mapping, or empty, is none.
    """
    part = ipv6.get(ONE) if isinstance(ipv6, Mapping) else None
    if isinstance(part, Mapping) and part:
        return {ONE: broker_complete.recalled({**part, "name": part.get("name") or NAME})}
    several = ipv6.get(SEVERAL) if isinstance(ipv6, Mapping) else None
    named = several.items() if isinstance(several, Mapping) else ()
    return {
        f"{SEVERAL}:{name}": broker_complete.recalled({**each, "name": name})
        for name, each in named
        if isinstance(each, Mapping) and each
    }


def beside(pillar: Mapping[str, Any], key: str) -> list[Tunnel]:
    """
    The tunnels beside a part of the pillar.

    pillar
        The whole pillar.
    key
        The part: ``ipv6:firewall``.
    """
    found = {name: settings.value_beside(pillar, whole(key), name) for name in (ONE, SEVERAL)}
    return list(entries(found).values())


def part(pillar: Mapping[str, Any], key: str) -> Tunnel:
    """
    One tunnel, with the name of its interface.

    pillar
        The whole pillar.
    key
        Where it is: ``ipv6:tunnel``, ``ipv6:tunnels:second``.

    Raises ``SaltInvocationError`` where there is no such mapping, or the key is not text.
    """
    found = settings.part(pillar, key)
    name = name_in(key)
    whole_one: Tunnel = broker_complete.recalled({**found, "name": name or found.get("name") or NAME})
    return whole_one


def name_in(key: str) -> str:
    """
    The interface that a key names; empty for ``ipv6:tunnel``.

    key
        Where the tunnel is.
    """
    above, _, name = key.rpartition(":")
    return name if above.rpartition(":")[2] == SEVERAL else ""


def whole(key: str) -> str:
    """
    The key of the part in which a tunnel stands: ``ipv6:tunnels`` for ``ipv6:tunnels:second``, else the key itself.

    key
        Of the tunnel, or any other part.
    """
    return re.sub(rf"((?:\A|:){SEVERAL}):[^:]*\Z", r"\1", key)


def of(tunnels: Sequence[Tunnel], address: str | None) -> Tunnel:
    """
    The tunnel that has an address; the first one where none has it, or no address is meant; empty if there is none.

    tunnels
        From :py:func:`beside`.
    address
        An IPv6 address; anything else is nobody's.
    """
    return next((each for each in tunnels if has(each, address)), tunnels[0] if tunnels else {})


def has(tunnel: Mapping[str, Any], address: str | None) -> bool:
    """
    Whether an address is one of a tunnel's own.

    tunnel
        It need not be valid.
    address
        As for :py:func:`of`.
    """
    return address is not None and _plain(address) in hosts(tunnel)


def hosts(tunnel: Mapping[str, Any]) -> list[str]:
    """
    The addresses of a tunnel, without their prefix lengths, in canonical form.

    tunnel
        It need not be valid.
    """
    further = tunnel.get("addresses")
    given = [tunnel.get("address"), *(further if isinstance(further, (list, tuple)) else [])]
    return [plain for each in given if isinstance(each, str) and (plain := _plain(each.partition("/")[0]))]


def _plain(address: Any) -> str:
    try:
        return str(ipaddress.IPv6Address(address if isinstance(address, str) else repr(address)))
    except ValueError:
        return ""


def together(tunnels: Sequence[Tunnel]) -> Tunnel | None:
    """
    The tunnels for who needs one: the first, with the ``others`` in it.

    tunnels
        From :py:func:`beside`.
    """
    return {**tunnels[0], **({"others": list(tunnels[1:])} if tunnels[1:] else {})} if tunnels else None


def apart(tunnel: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """
    The opposite of :py:func:`together`.

    tunnel
        From there, or one tunnel, or ``None``.
    """
    return [tunnel, *(tunnel.get("others") or [])] if tunnel else []


def interfaces(tunnel: Mapping[str, Any] | None) -> list[str]:
    """
    The interfaces of tunnels, as far as they are named.

    tunnel
        As for :py:func:`apart`.
    """
    return [str(each["name"]) for each in apart(tunnel) if each.get("name")]
