"""
The pillar's settings of services, in ``ipv6:services`` and beside it; each error begins with the key.

``key`` is where the settings of services are, or ``None``: then nothing is taken from the pillar.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_dns_address as dns_address
import _dualstack_dns_parts as dns_parts
import _dualstack_mail_ask as mail_ask
import _dualstack_plugins as plugins
import _dualstack_service_audit as service_audit
import _dualstack_service_outside as service_outside
import _dualstack_service_place as service_place
import _dualstack_service_sending as service_sending
import _dualstack_service_settings as service_settings
import _dualstack_settings as settings
import _dualstack_settings_native as settings_native
import _dualstack_settings_tunnels as settings_tunnels
from salt.exceptions import SaltInvocationError

Pillar = Mapping[str, Any]

KEY = "ipv6:services"  # where the formula has them


def one(pillar: Pillar, key: str | None, name: str, known: Mapping[str, plugins.Service]) -> dict[str, Any]:
    """
    The valid settings of one service.

    pillar
        The whole pillar.
    key
        Where the settings of services are.
    name
        The service.
    known
        All plug-ins, by the names of their services.

    Raises ``SaltInvocationError`` if they are invalid or missing.
    """
    if key is None:
        return {}
    services = settings.part(pillar, key)
    if name not in services:
        raise SaltInvocationError(f"{key}:{name}: there is no such service in the pillar")
    _refuse_values({name: services[name]}, key)
    service_settings.refuse({name: services[name]}, known, f"{key}:")
    return dict(services[name] or {})


def every(pillar: Pillar, key: str | None, known: Mapping[str, plugins.Service]) -> dict[str, Any]:
    """
    The valid settings of all services; empty if the pillar has none.

    pillar, key, known
        As for :py:func:`one`.

    Raises ``SaltInvocationError`` if they are invalid.
    """
    if key is None:
        return {}
    if settings.at(pillar, key) is None:
        if above := key.rpartition(":")[0]:
            settings.part(pillar, above)  # where nothing is beside the services either, the key is wrong
        return {}
    services = settings.part(pillar, key)
    _refuse_values(services, key)
    service_settings.refuse(services, known, f"{key}:")
    return services


def _refuse_values(services: Mapping[Any, Any], key: str) -> None:
    """Where the key leads to something else than services, as to passwords by service, no value of it is shown."""
    for name, found in services.items() if key != KEY else ():
        if found is not None and not isinstance(found, Mapping):
            raise SaltInvocationError(f"{key}:{name}: expected a mapping, found a {type(found).__name__}")


def bindv6only(pillar: Pillar, key: str | None) -> int | None:
    """
    The value of ``net.ipv6.bindv6only`` in ``sysctl`` beside the services; ``None`` where there is none.

    pillar, key
        As for :py:func:`one`.

    Raises ``SaltInvocationError`` for one that is not 0 or 1.
    """
    value = settings.beside(pillar, key, "sysctl").get(service_audit.PARAMETER) if key else None
    if value is not None and (isinstance(value, bool) or value not in (0, 1)):
        place = settings.place_beside(str(key), f"sysctl:{service_audit.PARAMETER}")
        raise SaltInvocationError(f"{place}: {value!r} is not 0 or 1")
    return value


def exceptions(pillar: Pillar, key: str | None) -> list[str]:
    """
    The services that may be harmed, ``sysctl_except`` beside the services.

    pillar, key
        As for :py:func:`one`.

    Raises ``SaltInvocationError`` for anything but a list.
    """
    found = settings.value_beside(pillar, key, "sysctl_except") if key else None
    if found is not None and not isinstance(found, list):
        place = settings.place_beside(str(key), "sysctl_except")
        raise SaltInvocationError(f"{place}: expected a list of services, found {found!r}")
    return list(found or [])


def place(pillar: Pillar, key: str | None, address: str | None = None) -> service_place.Place:
    """
    Where others find this host, by the parts ``dns`` and ``tunnel`` beside the services; none of them has to be there.

    pillar, key
        As for :py:func:`one`.
    address
        The IPv6 address that is published, if it is not to be taken from the pillar.
    """
    dns = settings.value_beside(pillar, key, "dns") if key else None
    tunnel = settings_tunnels.of(settings_native.beside(pillar, key), None) if key else {}
    return service_place.here(dns_parts.names(dns), address or dns_address.published(dns, tunnel))


def lookups(pillar: Pillar, key: str | None) -> mail_ask.Lookups:
    """
    Questions to the DNS, for which the name servers of ``dns`` beside the services are asked first.

    pillar, key
        As for :py:func:`one`. A key that is no text is refused elsewhere.
    """
    dns = settings.value_beside(pillar, key, "dns") if key and isinstance(key, str) else None
    return mail_ask.Lookups(service_sending.servers_of(dns))


def prober(pillar: Pillar, key: str | None) -> Any:
    """
    The prober, ``verify:prober`` beside the services; not checked.

    pillar, key
        As for :py:func:`one`. A key that is no text is refused elsewhere.
    """
    return settings.value_beside(pillar, key, "verify:prober") if key and isinstance(key, str) else None


def refuse_outside(pillar: Pillar, key: str | None, minion: str) -> None:
    """
    Raise ``SaltInvocationError`` if the prober or the published address is invalid.

    pillar, key
        As for :py:func:`one`.
    minion
        The id of this minion.
    """
    if not key:
        return
    values = {
        "verify:prober": settings.value_beside(pillar, key, "verify:prober"),
        "dns:address": dns_parts.address(settings.value_beside(pillar, key, "dns")),
    }
    for place, value in values.items():
        for each in service_outside.errors(minion, **{place.partition(":")[2]: value}):
            raise SaltInvocationError(f"{settings.place_beside(key, place)}: {each}")
