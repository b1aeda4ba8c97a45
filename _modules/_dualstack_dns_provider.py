"""
A provider's settings: their errors, and how a provider gets them.

They hold a credential, or a command that runs as root, so they are never passed on: the caller names the key of the
pillar under which the settings are, and the provider reads them there itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import _dualstack_dns_values as dns_values
import _dualstack_plugins as plugins
import _dualstack_settings as settings_room
import _dualstack_words as words
from salt.exceptions import CommandExecutionError, SaltInvocationError

Settings = dict[str, Any]
Describe = Callable[[Settings], Mapping[str, Any]]  # a provider's function `about`
Check = Callable[[Settings, list[str]], list[str]]  # its function `errors`

# Of a provider that does not declare otherwise.
USUAL: plugins.About = {
    "keys": {},
    "required": [],
    "withdraws": True,
    "sets_ttl": True,
    "replaces": False,
    "atomic": False,
    "servers": [],
}
KINDS: dict[str, Any] = {
    **{"keys": Mapping, "required": (list, tuple), "servers": (list, tuple)},
    **dict.fromkeys(("withdraws", "sets_ttl", "replaces", "atomic"), bool),
}


def about(describe: Describe, settings: Any) -> plugins.About:
    """
    What a provider can do.

    describe
        Its function ``about``.
    settings
        Its settings, which may still be wrong.

    Raises ``CommandExecutionError`` where the function returns something else.
    """
    found = describe(settings if isinstance(settings, dict) else {})
    if not isinstance(found, Mapping):
        raise CommandExecutionError(f"its function about returns {dns_values.kind(found)}, not a mapping")
    for key, kind in KINDS.items():
        if key in found and not isinstance(found[key], kind):
            raise CommandExecutionError(f"its function about has {dns_values.kind(found[key])} for {key}")
    return cast("plugins.About", {**USUAL, **found})


def errors(place: str, settings: Any, names: list[str], describe: Describe, check: Check) -> list[str]:
    """
    All errors in the settings of a provider.

    place
        The beginning of each sentence: where the settings are.
    settings
        As a user wrote them; they may be anything.
    names
        The host names whose records are to be changed.
    describe, check
        The provider's functions ``about`` and ``errors``.

    Returns sentences; none shows a value that may be secret.
    """
    known = about(describe, settings)
    if not isinstance(settings, dict):
        missing = "missing; " if settings is None else ""
        return [
            f"{place}: {missing}expected a mapping with {', '.join(known['keys'])}, found {dns_values.kind(settings)}"
        ]
    given = {key: value for key, value in settings.items() if key in known["keys"] and value is not None}
    problems = [f"{key}: {words.unknown(key, known['keys'])}" for key in settings if key not in known["keys"]]
    for key in known["required"]:
        if key not in given:
            problems.append(f"{key}: missing; expected {known['keys'].get(key, 'a value')}")
    if "zone" in given:
        problems += _zone_errors(given["zone"], names)
    problems += [str(each) for each in check(given, names) or []]
    return [f"{place}:{each}" for each in problems]


def _zone_errors(zone: Any, names: list[str]) -> list[str]:
    if not dns_values.is_zone(zone):
        return [f"zone: {zone!r} is not the name of a zone, as in example.org"]
    zone = dns_values.canonical(zone)
    outside = [each for each in names if not f".{each}".endswith(f".{zone}")]
    return [f"zone: {each} is not in the zone {zone}; one change is made in one zone" for each in outside]


def checked(pillar: Mapping[str, Any], credentials: str, edits: Any, describe: Describe, check: Check) -> Settings:
    """
    The settings with which a provider is to change records, read from the pillar.

    pillar
        ``__pillar__`` of the provider.
    credentials
        The key of the pillar under which they are.
    edits
        The changes.
    describe, check
        The provider's functions ``about`` and ``errors``.

    A provider's ``change`` can be called by anybody who may call some function on this host, and it runs as root. So
    everything is checked again: a part of the pillar with other keys besides is not settings; and a name that is not a
    host name could be an option for a command. Raises ``SaltInvocationError`` with every error.
    """
    found = settings_room.part(pillar, credentials)
    problems = list(_edit_errors(edits, about(describe, found)["sets_ttl"]))
    if not problems:
        problems = errors(credentials, found, list(edits), describe, check)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    return {key: value for key, value in found.items() if value is not None}


def _edit_errors(edits: Any, sets_ttl: bool) -> Iterator[str]:
    if not isinstance(edits, dict):
        yield f"edits: expected a mapping of host names, found {dns_values.kind(edits)}"
        return
    for name, edit in edits.items():
        if not dns_values.is_host_name(name) or name != dns_values.canonical(name):
            yield f"edits: {name!r} is not a host name"
        for side in ("old", "new"):
            records = edit.get(side) if isinstance(edit, dict) else None
            if not isinstance(records, dict) or not _are_records(records, sets_ttl):
                yield f"edits:{name}:{side}: expected addresses, a list of IPv6 addresses, and their ttl in seconds"


def _are_records(records: dict[str, Any], needs_ttl: bool) -> bool:
    addresses, ttl = records.get("addresses"), records.get("ttl")
    try:
        if not isinstance(addresses, list) or [str(ipaddress.IPv6Address(each)) for each in addresses] != addresses:
            return False
        return dns_values.ttl(ttl) == ttl if ttl is not None else not (addresses and needs_ttl)
    except ValueError:
        return False
