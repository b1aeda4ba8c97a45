"""
The pillar ``ipv6:dns``, and the arguments of the states: their errors, and their meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _dualstack_dns_address as dns_address
import _dualstack_dns_parts as dns_parts
import _dualstack_dns_patience as dns_patience
import _dualstack_dns_provider as dns_provider
import _dualstack_dns_ptr as dns_ptr
import _dualstack_dns_values as dns_values
import _dualstack_plugins as plugins
import _dualstack_proof_rungs as proof_rungs
import _dualstack_settings as settings_room
import _dualstack_settings_native as settings_native
import _dualstack_settings_tunnels as settings_tunnels
import _dualstack_words as words
from salt.exceptions import CommandExecutionError, SaltException, SaltInvocationError

PILLAR = dns_parts.KEY
DEFAULTS: dict[str, Any] = {"ttl": 3600, "exclusive": False, "deadline": 60, "withdraw_after": dns_patience.AFTER}
READERS: dict[str, Callable[[Any], Any]] = {
    "names": dns_values.names,
    "address": dns_values.address,
    "ttl": dns_values.ttl,
    "exclusive": dns_values.truth,
    "withdraw_when_broken": dns_values.truth,
    "withdraw_after": dns_values.runs,
    "without": proof_rungs.rungs,
    "other_ipv4": dns_values.truth,
    "servers": dns_values.servers,
    "deadline": dns_values.deadline,
}
KEYS = ("provider", *READERS, "ptr")  # and the name of each provider, with its own settings

Providers = Mapping[str, plugins.Provider]


class Wish(NamedTuple):
    """What a state is asked for; valid."""

    names: list[str]
    address: str | None
    ttl: int
    exclusive: bool
    servers: list[str] | None
    deadline: float
    withdraw_after: int
    provider: str
    about: plugins.About
    credentials: str  # the key of the pillar under which the provider's settings are
    place: str  # what errors begin with: nothing, or the key of the pillar that the wish comes from
    kind: str = "AAAA"  # of the records; PTR: the names are reverse names, and `host` is what they lead to
    host: str | None = None
    zone: str | None = None  # of the PTR records, if it is known


def errors(dns: Any, providers: Providers) -> list[str]:
    """
    All errors in the pillar ``ipv6:dns``, as far as this can be checked without the host.

    dns
        As a user wrote it, a mapping or a list of mappings; it may be anything.
    providers
        From :py:func:`_dualstack_plugins.providers`.

    Returns sentences that begin with the key, with the place in the list, ``[0]:names: ...``, or with a colon. None
    shows the value of a provider's settings.
    """
    if not isinstance(dns, list):
        return _entry_errors(dns, providers)
    if not dns:
        return [f": expected a mapping with {', '.join(KEYS)}, or a list of such mappings, found an empty list"]
    problems = [
        f"[{index}]{_joined(each)}" for index, entry in enumerate(dns) for each in _entry_errors(entry, providers)
    ]
    return [*problems, *_common_errors(dns)]


def _joined(sentence: str) -> str:
    return sentence if sentence.startswith(":") else f":{sentence}"


def _common_errors(dns: list[Any]) -> list[str]:
    """What is wrong with an entry beside the others: two of them would change the same record."""
    problems = []
    seen: dict[str, int] = {}
    given: dict[str, int] = {}
    ptr: list[int] = []
    for index, entry in enumerate(dns):
        for name in dns_parts.names(entry):
            if seen.setdefault(name, index) != index:
                problems.append(f"[{index}]:names: {name} is in [{seen[name]}], too; a name belongs to one entry")
        address = dns_address.published(entry, {})
        if address is not None and given.setdefault(address, index) == index and len(given) > 1:
            problems.append(
                f"[{index}]:address: {address} is not {next(iter(given))}, which another entry has; "
                "IPv6 is proven for one address, with which all names are published"
            )
        if isinstance(entry, Mapping) and entry.get("ptr") is not None:
            ptr.append(index)
    return problems + [f"[{each}]:ptr: [{ptr[0]}] has one, too; an address has one PTR record" for each in ptr[1:]]


def _entry_errors(dns: Any, providers: Providers) -> list[str]:
    if not isinstance(dns, dict):
        return [f": expected a mapping with {', '.join(KEYS)}, found {dns_values.kind(dns)}"]
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
    if dns.get("ptr") is not None:
        problems += [each for each in dns_ptr.errors(dns["ptr"], dns, providers) if each not in problems]
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
    refuse_misplaced({"pillar": key, "credentials": credentials}, PILLAR)
    if key is None:
        dns = {"provider": "rfc2136", "names": [name], **named}
    else:
        dns = {**_from_pillar(key, pillar), **named}
        dns.pop("ptr", None)  # another state's
        if "ttl" not in given:
            dns.pop("ttl", None)  # its errors must not prevent a record from being withdrawn
    provider: Any = dns.get("provider")
    place = f"{PILLAR if key is None else key}:{provider}" if credentials is None else credentials
    if _is_known(provider, providers) and (key is None or credentials is not None):
        dns[provider] = settings(place, pillar, provider)
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
        withdraw_after=full["withdraw_after"],
        provider=provider,
        about=about(providers[provider], {each: value for each, value in full[provider].items() if value is not None}),
        credentials=place,
        place="" if key is None else f"{settings_room.told(key)}:",
    )


def refuse_misplaced(keys: Mapping[str, Any], example: str) -> None:
    """
    Raise ``SaltInvocationError`` for what is no key of the pillar. It is not shown: settings in the wrong place may be
    secret.

    keys
        By the argument; ``None`` where one is not given.
    example
        A key.
    """
    for argument, value in keys.items():
        if value is not None and not isinstance(value, str):
            raise SaltInvocationError(
                f"{argument}: expected a key of the pillar, such as {example}, found {dns_values.kind(value)}"
            )


def _placed(sentence: str, key: str, named: Mapping[str, Any], provider: Any, credentials: str) -> str:
    """A sentence, beginning with the key of the pillar that is wrong, unless it is an argument."""
    word, _, rest = sentence.partition(":")
    if word in named:
        return sentence
    return f"{settings_room.told(credentials if word == provider else key)}:{rest if word == provider else sentence}"


def _from_pillar(key: str, pillar: Mapping[str, Any]) -> dict[str, Any]:
    if listed := dns_parts.entries(settings_room.at(pillar, key), key)[1:]:
        keys = ", ".join([f"{key}:0", *(each for each, _ in listed)])
        raise SaltInvocationError(f"pillar: {key} is a list in the pillar; expected the key of one entry: {keys}")
    dns = settings_room.part(pillar, key)
    if dns.get("address") is None:
        dns["address"] = address(key, pillar)
    return dns


def address(key: str, pillar: Mapping[str, Any]) -> str | None:
    """
    The address that is published: that of the whole part ``dns``, or that of the tunnel beside it, the
    first of several, or else of the hoster's interface.

    key
        The key of an entry, ``ipv6:dns`` or ``ipv6:dns:0``.
    pillar
        The whole pillar.

    Returns it in canonical form; ``None`` if there is none, or if it is no IPv6 address.
    """
    dns = settings_room.at(pillar, settings_room.whole(key))
    return dns_address.published(dns, settings_tunnels.of(settings_native.beside(pillar, key), None))


def settings(place: str, pillar: Mapping[str, Any], provider: str) -> dict[str, Any]:
    """
    A provider's settings, where an argument says that they are.

    place
        The key of the pillar.
    pillar
        The whole pillar.
    provider
        The provider's name.

    Raises ``SaltInvocationError`` where there are none.
    """
    found = settings_room.at(pillar, place)
    if not isinstance(found, Mapping):
        raise SaltInvocationError(
            f"credentials: the pillar has {dns_values.kind(found)} under {place}; "
            f"expected the settings of {provider}, a mapping"
        )
    return dict(found)


def about(provider: plugins.Provider, given: dict[str, Any], kind: str = "AAAA") -> plugins.About:
    """
    What a provider can do.

    provider
        The provider.
    given
        Its settings; valid.
    kind
        The type of the records.

    Raises ``CommandExecutionError`` where it says something wrong of itself, or cannot change these.
    """
    found = dns_provider.about(provider.about, given, kind)
    try:
        dns_values.servers(list(found["servers"]))
    except ValueError as error:
        raise CommandExecutionError(f"a provider has a wrong server: {error}") from None
    return found
