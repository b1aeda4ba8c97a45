"""
What the states of the PTR record are asked for, by their arguments or by the pillar ``ipv6:dns:ptr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _dualstack_dns_credentials as dns_credentials
import _dualstack_dns_parts as dns_parts
import _dualstack_dns_provider as dns_provider
import _dualstack_dns_ptr as dns_ptr
import _dualstack_dns_reverse as dns_reverse
import _dualstack_dns_settings as dns_settings
import _dualstack_dns_values as dns_values
import _dualstack_settings as settings_room
from salt.exceptions import SaltInvocationError

PILLAR = "ipv6:dns:ptr"


def wish(
    name: str,
    given: Mapping[str, Any],
    key: str | None,
    pillar: Mapping[str, Any],
    providers: dns_ptr.Providers,
) -> dns_settings.Wish:
    """
    What a state is asked for.

    name
        The state's name, which is the host name where there is neither a ``name`` among the arguments nor ``key``.
    given
        The state's arguments, by the keys of the pillar, ``None`` where one is not given; ``address``, and
        ``credentials``. Without ``ttl``, that of the pillar is not looked at.
    key
        The key of the pillar for what the arguments do not give.
    pillar
        The whole pillar.
    providers
        From :py:func:`_dualstack_plugins.providers`.

    Returns the wish, whose one name is the reverse name of the address. Raises ``SaltInvocationError`` with every
    error.
    """
    named = {each: value for each, value in given.items() if value is not None}
    credentials = named.pop("credentials", None)
    dns_settings.refuse_misplaced({"pillar": key, "credentials": credentials}, PILLAR)
    address = named.pop("address", None)
    above: str = ""
    dns: dict[str, Any] = {}
    if key is None:
        ptr = {"provider": "rfc2136", "name": name, **named}
    else:
        above, dns, ptr = _from_pillar(key, pillar)
        address = dns_settings.address(above, pillar) if address is None else address
        ptr.update(named)
        if "ttl" not in given:
            ptr.pop("ttl", None)  # its errors must not prevent a record from being withdrawn
    provider: Any = ptr["provider"] if ptr.get("provider") is not None else dns.get("provider")
    place = f"{key or PILLAR}:{provider}" if credentials is None else credentials
    if isinstance(provider, str) and provider in providers and (key is None or credentials is not None):
        ptr[provider] = _settings(place, pillar, providers[provider].about, provider)
        dns = {key: each for key, each in dns.items() if key != provider}
    if ptr.get("name") is None:
        ptr["name"] = next(iter(dns_parts.names(dns)), None)
    problems = [] if ptr["name"] else [f"{settings_room.told(str(key))}:name: missing; expected a host name"]
    for each in dns_ptr.errors(ptr, dns, providers, needs_zone=key is not None):
        problems.append(_placed(each, above, key, named, provider, place))
    if address is None:
        problems.append(f"{settings_room.told(above)}:address: missing; expected an IPv6 address".lstrip(":"))
    elif said := _address_error(address):
        problems.append(said if given.get("address") is not None else f"{settings_room.told(above)}:{said}")
    if problems:
        raise SaltInvocationError("\n".join(problems))
    settings = dns_credentials.merged(dns, ptr, provider, dns_provider.zoned(providers[provider].about))
    zone = ptr["zone"] if ptr.get("zone") is not None else settings.get("zone")
    problems = dns_ptr.address_errors({"zone": zone}, address)
    if problems:
        raise SaltInvocationError(f"{settings_room.told(place if key is None else key)}:{problems[0]}")
    full = {**dns_settings.DEFAULTS, **{each: value for each, value in ptr.items() if value is not None}}
    return dns_settings.Wish(
        names=[dns_reverse.name(address)],
        address=dns_values.address(address),
        ttl=full["ttl"],
        exclusive=full["exclusive"],
        servers=full.get("servers"),
        deadline=full["deadline"],
        withdraw_after=full["withdraw_after"],
        provider=provider,
        about=dns_settings.about(providers[provider], dict(settings), dns_ptr.KIND),
        credentials=place,
        place="" if key is None else f"{settings_room.told(key)}:",
        kind=dns_ptr.KIND,
        host=dns_values.names([ptr["name"]])[0],
        zone=None if zone is None else dns_reverse.zone(zone),
    )


def _from_pillar(key: str, pillar: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    ptr = settings_room.part(pillar, key)
    above, _, word = key.rpartition(":")
    if word != dns_credentials.PTR or not above:
        raise SaltInvocationError(f"pillar: expected the key of a PTR record in the pillar, such as {PILLAR}")
    return above, settings_room.part(pillar, above), ptr


def _settings(place: str, pillar: Mapping[str, Any], describe: dns_provider.Describe, provider: str) -> dict[str, Any]:
    if place.rpartition(":")[0].rpartition(":")[2] != dns_credentials.PTR:
        return dns_settings.settings(place, pillar, provider)
    return dns_credentials.read(pillar, place, dns_provider.zoned(describe))


def _placed(
    sentence: str, above: str, key: str | None, named: Mapping[str, Any], provider: Any, credentials: str
) -> str:
    """A sentence, beginning with the key of the pillar that is wrong, unless it is an argument."""
    inner = sentence.removeprefix("ptr:")
    word, _, rest = inner.partition(":")
    if inner != sentence and word in named:
        return f"host:{rest}" if word == "name" else f"by:{rest}" if word == "provider" else inner
    if key is None:
        return f"{credentials}:{rest}" if word == provider else inner
    if word == provider and credentials != f"{key}:{provider}":
        return f"{settings_room.told(credentials)}:{rest}"
    return f"{settings_room.told(above)}:{sentence}"


def _address_error(address: Any) -> str:
    try:
        dns_values.address(address)
    except ValueError as error:
        return f"address: {error}"
    return ""
