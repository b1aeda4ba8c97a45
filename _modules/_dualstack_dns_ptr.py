"""
The pillar ``ipv6:dns:ptr``, the PTR record of the published address: its errors. PURE: never accesses the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import _dualstack_dns_credentials as dns_credentials
import _dualstack_dns_provider as dns_provider
import _dualstack_dns_reverse as dns_reverse
import _dualstack_dns_values as dns_values
import _dualstack_plugins as plugins
import _dualstack_words as words
from salt.exceptions import SaltException

KIND = "PTR"
READERS: dict[str, Callable[[Any], Any]] = {
    "name": lambda value: dns_values.names([value])[0],
    "zone": dns_reverse.zone,
    "ttl": dns_values.ttl,
    "exclusive": dns_values.truth,
    "servers": dns_values.servers,
    "deadline": dns_values.deadline,
}
KEYS = ("provider", *READERS)  # and the name of each provider, with its own settings

Providers = Mapping[str, plugins.Provider]


def errors(ptr: Any, dns: Mapping[Any, Any], providers: Providers, needs_zone: bool = True) -> list[str]:
    """
    All errors in the part ``ptr``, as far as this can be checked without the address.

    ptr
        As a user wrote it; it may be anything.
    dns
        The part ``dns`` that it stands in.
    providers
        From :py:func:`_dualstack_plugins.providers`.
    needs_zone
        Whether its zone has to be named.

    Returns sentences that begin with the key, seen from ``dns``: ``ptr:zone: ...``, or ``rfc2136:key: ...`` where the
    settings are those for all records. None shows the value of a provider's settings.
    """
    if not isinstance(ptr, Mapping):
        return [f"ptr: expected a mapping with {', '.join(KEYS)}, found {dns_values.kind(ptr)}"]
    known = [*KEYS, *providers]
    problems = [f"{key}: {words.unknown(key, known)}" for key in ptr if key not in known]
    if needs_zone and ptr.get("zone") is None:
        problems.append(f"zone: missing; expected the name of a reverse zone, such as {dns_reverse.EXAMPLE}")
    for key, read in READERS.items():
        try:
            if ptr.get(key) is not None:
                read(ptr[key])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    name: Any = ptr["provider"] if ptr.get("provider") is not None else dns.get("provider")
    problems += _choice_errors(name, ptr.get("provider") is not None, providers)
    placed = [f"ptr:{each}" for each in problems]
    if isinstance(name, str) and name in providers and not any(each.startswith("ptr:provider:") for each in placed):
        placed += _settings_errors(ptr, dns, name, providers[name])
    return placed


def _choice_errors(name: Any, own: bool, providers: Providers) -> list[str]:
    able = [each for each, provider in providers.items() if _able(provider)]
    if not isinstance(name, str) or name not in providers:
        if not own:
            return []  # that of `dns`, whose error is told there
        found = repr(name) if isinstance(name, str) else dns_values.kind(name)  # it may be misplaced settings
        return [f"provider: {found} is not a provider that is known; expected one of {', '.join(able)}"]
    try:
        dns_provider.about(providers[name].about, {}, KIND)
    except SaltException as error:
        return [f"provider: {name} cannot be used: {error}; expected one of {', '.join(able)}"]
    except Exception as error:  # pylint: disable=broad-except  # third-party code; its error may hold a secret
        return [f"provider: {name} cannot be used: a function of its module fails ({type(error).__name__})"]
    return []


def _able(provider: plugins.Provider) -> bool:
    try:
        return bool(dns_provider.about(provider.about, {}, KIND))
    except Exception:  # pylint: disable=broad-except  # third-party code, which is not asked for
        return False


def _settings_errors(
    ptr: Mapping[Any, Any], dns: Mapping[Any, Any], name: str, provider: plugins.Provider
) -> list[str]:
    own = ptr.get(name)
    own = own if isinstance(own, Mapping) else {}
    zoned = dns_provider.zoned(provider.about)
    settings = dns_credentials.merged(dns, ptr, name, zoned)
    if zoned and own.get("zone") is not None and ptr.get("zone") is not None:
        return [f"ptr:{name}:zone: unknown key; the zone is ptr:zone"]
    try:
        found = dns_provider.errors("", settings, [], provider.about, provider.errors, KIND)
    except SaltException as error:
        return [f"ptr:provider: {name} cannot be used: {error}"]
    except Exception as error:  # pylint: disable=broad-except  # third-party code; its error may hold a secret
        return [f"ptr:provider: {name} cannot be used: a function of its module fails ({type(error).__name__})"]
    placed = []
    for each in found:
        key = each.removeprefix(":").partition(":")[0]
        if key == "zone" and ptr.get("zone") is not None:
            continue  # told already
        inner = key in own or (name in ptr and not isinstance(ptr[name], Mapping)) or dns.get(name) is None
        placed.append(f"{'ptr:' if inner else ''}{name}{each}")
    return placed


def address_errors(ptr: Any, address: str | None) -> list[str]:
    """
    Whether the zone contains the address.

    ptr
        The part; it may be anything.
    address
        The published address, if it is known.

    Returns sentences that begin with the key.
    """
    if address is None or not isinstance(ptr, Mapping) or ptr.get("zone") is None:
        return []
    try:
        zone = dns_reverse.zone(ptr["zone"])
    except ValueError as error:
        return [f"zone: {error}"]
    reverse = dns_reverse.name(address)
    if dns_reverse.contains(zone, reverse):
        return []
    return [f"zone: {zone} does not contain {address}, whose reverse name is {reverse}"]
