"""
A provider's settings: their errors, and how a provider gets them.

They hold a credential, or a command that runs as root, so they are never passed on: the caller names the key of the
pillar under which the settings are, and the provider reads them there itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import _dualstack_dns_credentials as dns_credentials
import _dualstack_dns_reverse as dns_reverse
import _dualstack_dns_values as dns_values
import _dualstack_plugins as plugins
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
    "zone": "",
    "kinds": ["AAAA"],
}
KINDS: dict[str, Any] = {
    **{"keys": Mapping, "required": (list, tuple), "servers": (list, tuple), "zone": str},
    "kinds": (list, tuple, Mapping),
    **dict.fromkeys(("withdraws", "sets_ttl", "replaces", "atomic"), bool),
}

# What helps where names are in several zones.
ADVICE = "one change is made in one zone: write dns as a list, with an entry for each zone"


def about(describe: Describe, settings: Any, kind: str = "AAAA") -> plugins.About:
    """
    What a provider can do.

    describe
        Its function ``about``.
    settings
        Its settings, which may still be wrong.
    kind
        The type of the records, ``AAAA`` or ``PTR``.

    Raises ``CommandExecutionError`` where the function returns something else, or the provider cannot change these.
    """
    found = describe(settings if isinstance(settings, dict) else {})
    if not isinstance(found, Mapping):
        raise CommandExecutionError(f"its function about returns {dns_values.kind(found)}, not a mapping")
    for key, expected in KINDS.items():
        if key in found and not isinstance(found[key], expected):
            raise CommandExecutionError(f"its function about has {dns_values.kind(found[key])} for {key}")
    kinds = found.get("kinds", USUAL["kinds"])
    if kind not in kinds:
        raise CommandExecutionError(f"it cannot change {kind} records")
    own = kinds[kind] if isinstance(kinds, Mapping) else {}
    if not isinstance(own, Mapping):
        raise CommandExecutionError(f"its function about has {dns_values.kind(own)} for kinds:{kind}")
    return cast("plugins.About", {**USUAL, **found, **own})


def zoned(describe: Describe) -> bool:
    """
    Whether a provider's settings have a ``zone``.

    describe
        Its function ``about``.
    """
    found = describe({})
    keys = found.get("keys") if isinstance(found, Mapping) else None
    return isinstance(keys, Mapping) and "zone" in keys


def errors(
    place: str, settings: Any, names: list[str], describe: Describe, check: Check, kind: str = "AAAA"
) -> list[str]:
    """
    All errors in the settings of a provider.

    place
        The beginning of each sentence: where the settings are.
    settings
        As a user wrote them; they may be anything.
    names
        The host names whose records are to be changed; of type PTR, the reverse names of addresses.
    describe, check
        The provider's functions ``about`` and ``errors``.
    kind
        The type of the records, ``AAAA`` or ``PTR``.

    Returns sentences; none shows a value that may be secret.
    """
    known = about(describe, settings, kind)
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
    return [f"zone: {dns_values.shown(each)} is not in the zone {zone}; {ADVICE}" for each in outside]


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
    found = dns_credentials.read(pillar, credentials, zoned(describe))
    kind = kind_of(edits)
    problems = list(_edit_errors(edits, about(describe, found, kind)["sets_ttl"], kind))
    if not problems:
        problems = errors(credentials, found, list(edits), describe, check, kind)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    return {key: value for key, value in found.items() if value is not None}


def kind_of(edits: Any) -> str:
    """
    The type of the records that are to be changed, ``AAAA`` or ``PTR``; one change is of one type.

    edits
        The changes; they may be anything.
    """
    found = edits.values() if isinstance(edits, dict) else ()
    return "PTR" if any(isinstance(each, dict) and each.get("kind") == "PTR" for each in found) else "AAAA"


def plain(edits: plugins.Edits) -> plugins.Edits:
    """
    Changes in one form for both types: the names of PTR records as ``addresses``.

    edits
        Changes that are right.
    """
    found: dict[str, Any] = dict(edits)
    for name, edit in edits.items():
        key = plugins.VALUES[edit.get("kind", "AAAA")]
        sides: dict[str, Any] = {side: cast("dict[str, Any]", edit)[side] for side in ("old", "new")}
        found[name] = {side: {**each, "addresses": list(each[key])} for side, each in sides.items()}
    return found


def _edit_errors(edits: Any, sets_ttl: bool, kind: str) -> Iterator[str]:
    if not isinstance(edits, dict):
        yield f"edits: expected a mapping of host names, found {dns_values.kind(edits)}"
        return
    for name, edit in edits.items():
        if kind == "PTR" and not dns_reverse.is_name(name):
            yield f"edits: {name!r} is not the reverse name of an IPv6 address"
        elif kind != "PTR" and (not dns_values.is_host_name(name) or name != dns_values.canonical(name)):
            yield f"edits: {name!r} is not a host name"
        if isinstance(edit, dict) and edit.get("kind", "AAAA") != kind:
            yield f"edits:{name}:kind: expected {kind} for each of them"
        for side in ("old", "new"):
            records = edit.get(side) if isinstance(edit, dict) else None
            if not isinstance(records, dict) or not _are_records(records, sets_ttl, kind):
                expected = "names, a list of host names" if kind == "PTR" else "addresses, a list of IPv6 addresses"
                yield f"edits:{name}:{side}: expected {expected}, and their ttl in seconds"


def _are_records(records: dict[str, Any], needs_ttl: bool, kind: str) -> bool:
    found, ttl = records.get(plugins.VALUES[kind]), records.get("ttl")
    try:
        if not isinstance(found, list) or not (_targets(found) if kind == "PTR" else _addresses(found)):
            return False
        return dns_values.ttl(ttl) == ttl if ttl is not None else not (found and needs_ttl)
    except ValueError:
        return False


def _addresses(found: list[Any]) -> bool:
    return [str(ipaddress.IPv6Address(each)) for each in found] == found


def _targets(found: list[Any]) -> bool:
    return all(map(dns_reverse.is_target, found))


def zone(settings: Settings) -> str:
    """
    The zone of a provider's settings as it is compared, or nothing.

    settings
        Its settings, which may still be wrong.
    """
    return dns_values.canonical(settings["zone"]) if dns_values.is_zone(settings.get("zone")) else ""
