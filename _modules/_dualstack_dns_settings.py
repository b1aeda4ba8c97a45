"""
The pillar ``ipv6:dns``, and the arguments of the states: their errors, and their meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _dualstack_dns_address as dns_address
import _dualstack_dns_provider as dns_provider
import _dualstack_dns_values as dns_values
import _dualstack_plugins as plugins
import _dualstack_settings as settings_room
import _dualstack_words as words
from salt.exceptions import CommandExecutionError, SaltException, SaltInvocationError

PILLAR = "ipv6:dns"
DEFAULTS: dict[str, Any] = {"ttl": 3600, "exclusive": False, "deadline": 60}
READERS: dict[str, Callable[[Any], Any]] = {
    "names": dns_values.names,
    "address": dns_values.address,
    "ttl": dns_values.ttl,
    "exclusive": dns_values.truth,
    "withdraw_when_broken": dns_values.truth,
    "servers": dns_values.servers,
    "deadline": dns_values.deadline,
}
KEYS = ("provider", *READERS)  # and the name of each provider, with its own settings

Providers = Mapping[str, plugins.Provider]


class Wish(NamedTuple):
    """What a state is asked for; valid."""

    names: list[str]
    address: str | None
    ttl: int
    exclusive: bool
    servers: list[str] | None
    deadline: float
    provider: str
    about: plugins.About
    credentials: str  # the key of the pillar under which the provider's settings are
    place: str  # what errors begin with: nothing, or the key of the pillar that the wish comes from


def errors(dns: Any, providers: Providers) -> list[str]:
    """
    All errors in the pillar ``ipv6:dns``, as far as this can be checked without the host.

    dns
        As a user wrote it; it may be anything.
    providers
        From :py:func:`_dualstack_plugins.providers`.

    Returns sentences that begin with the key; none shows the value of a provider's settings.
    """
    if not isinstance(dns, dict):
        return [f"expected a mapping with {', '.join(KEYS)}, found {dns_values.kind(dns)}"]
    provider: Any = dns.get("provider")
    required = {"provider": f"one of {', '.join(providers)}", "names": dns_values.NAMES}
    known = [*KEYS, *providers]
    problems = [f"{key}: {words.unknown(key, known)}" for key in dns if key not in known]
    problems += [f"{key}: missing; expected {what}" for key, what in required.items() if dns.get(key) is None]
    if provider is not None and not _is_known(provider, providers):
        found = (
            repr(provider) if isinstance(provider, str) else dns_values.kind(provider)
        )  # it may be misplaced settings
        problems.append(f"provider: {found} is not a provider that is known; expected {required['provider']}")
    problems += value_errors(dns)
    if _is_known(provider, providers):
        problems += _provider_errors(dns, provider, providers[provider])
    return problems


def value_errors(dns: Mapping[Any, Any]) -> list[str]:
    """
    The errors in the values that do not depend on the provider.

    dns
        The pillar ``ipv6:dns``, or a part of it.

    Returns sentences that begin with the key.
    """
    problems = []
    for key, read in READERS.items():
        try:
            if dns.get(key) is not None:
                read(dns[key])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    return problems


def _is_known(provider: Any, providers: Providers) -> bool:
    return isinstance(provider, str) and provider in providers


def _provider_errors(dns: Mapping[Any, Any], name: str, provider: plugins.Provider) -> list[str]:
    names = dns.get("names")
    good = (
        [dns_values.canonical(each) for each in names if dns_values.is_host_name(each)]
        if isinstance(names, list)
        else []
    )
    try:
        return dns_provider.errors(name, dns.get(name), good, provider.about, provider.errors)
    except SaltException as error:
        return [f"provider: {name} cannot be used: {error}"]
    except Exception as error:  # pylint: disable=broad-except  # third-party code; its error may hold a secret
        return [f"provider: {name} cannot be used: a function of the module aaaa_{name} fails ({type(error).__name__})"]


def wish(name: str, given: Mapping[str, Any], key: str | None, pillar: Mapping[str, Any], providers: Providers) -> Wish:
    """
    What a state is asked for, by its arguments or by the pillar.

    name
        The state's name, which is the host name where there is neither ``names`` nor ``key``.
    given
        The state's arguments, by the keys of the pillar, ``None`` where one is not given; and ``credentials``. Without
        ``ttl``, which ``aaaa.withdrawn`` does not have, that of the pillar is not looked at.
    key
        The key of the pillar for what the arguments do not give.
    pillar
        The whole pillar.
    providers
        From :py:func:`_dualstack_plugins.providers`.

    Raises ``SaltInvocationError`` with every error.
    """
    named = {each: value for each, value in given.items() if value is not None}
    credentials = named.pop("credentials", None)
    for argument, value in (("pillar", key), ("credentials", credentials)):
        if value is not None and not isinstance(value, str):  # settings in the wrong place may be secret
            raise SaltInvocationError(
                f"{argument}: expected a key of the pillar, such as {PILLAR}, found {dns_values.kind(value)}"
            )
    if key is None:
        dns = {"provider": "rfc2136", "names": [name], **named}
    else:
        dns = {**_from_pillar(key, pillar), **named}
        if "ttl" not in given:
            dns.pop("ttl", None)  # its errors must not prevent a record from being withdrawn
    provider: Any = dns.get("provider")
    place = f"{PILLAR if key is None else key}:{provider}" if credentials is None else credentials
    if _is_known(provider, providers) and (key is None or credentials is not None):
        dns[provider] = _settings(place, pillar, provider)
    problems = errors(dns, providers)
    if key is not None:
        problems = [_placed(each, key, named, provider, place) for each in problems]
    if problems:
        # In a state, `names` is reserved by Salt.
        argument = "name" if key is None and "names" not in named else "records"
        raise SaltInvocationError("\n".join(re.sub("^names:", f"{argument}:", each) for each in problems))
    full = {**DEFAULTS, **{each: value for each, value in dns.items() if value is not None}}
    return Wish(
        names=dns_values.names(full["names"]),
        address=dns_values.address(full["address"]) if "address" in full else None,
        ttl=full["ttl"],
        exclusive=full["exclusive"],
        servers=full.get("servers"),
        deadline=full["deadline"],
        provider=provider,
        about=_about(providers[provider], {each: value for each, value in full[provider].items() if value is not None}),
        credentials=place,
        place="" if key is None else f"{key}:",
    )


def _placed(sentence: str, key: str, named: Mapping[str, Any], provider: Any, credentials: str) -> str:
    """A sentence, beginning with the key of the pillar that is wrong, unless it is an argument."""
    word, _, rest = sentence.partition(":")
    if word in named:
        return sentence
    return f"{credentials}:{rest}" if word == provider else f"{key}:{sentence}"


def _from_pillar(key: str, pillar: Mapping[str, Any]) -> dict[str, Any]:
    dns = settings_room.part(pillar, key)
    if dns.get("address") is None:
        dns["address"] = dns_address.published(dns, settings_room.beside(pillar, key, "tunnel"))
    return dns


def _settings(place: str, pillar: Mapping[str, Any], provider: str) -> dict[str, Any]:
    found = settings_room.at(pillar, place)
    if not isinstance(found, Mapping):
        raise SaltInvocationError(
            f"credentials: the pillar has {dns_values.kind(found)} under {place}; "
            f"expected the settings of {provider}, a mapping"
        )
    return dict(found)


def _about(provider: plugins.Provider, settings: dict[str, Any]) -> plugins.About:
    found = dns_provider.about(provider.about, settings)
    try:
        dns_values.servers(list(found["servers"]))
    except ValueError as error:
        raise CommandExecutionError(f"a provider has a wrong server: {error}") from None
    return found
