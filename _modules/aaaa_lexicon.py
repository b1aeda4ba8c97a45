"""
AAAA records at any of the many DNS providers that the library Lexicon supports.

It needs ``dns-lexicon`` for the Python that runs Salt (``salt-pip install dns-lexicon``; for some hosters with an
extra, as in ``dns-lexicon[route53]``). ``provider`` is the hoster, ``zone`` the zone, and ``options`` what Lexicon's
own documentation lists for that hoster: ``--auth-token`` there is ``auth_token`` here.

Give it the narrowest credential that the hoster has: one that may edit DNS records of this one zone. Few can restrict
it to names or types; if you need that, use ``rfc2136``.

Lexicon changes one record at a time, and for some hosters it reports no failure: the name servers' answers afterwards
decide.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import ipaddress
import logging
import pkgutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import _dualstack_rooms
from salt.exceptions import CommandExecutionError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_dns_provider as dns_provider
    import _dualstack_dns_values as dns_values
    import _dualstack_host_apart as host_apart
    import _dualstack_plugins as plugins
    import _dualstack_secrets_said as secrets_said
if TYPE_CHECKING:
    __pillar__: dict[str, Any] = {}

__virtualname__ = "aaaa_lexicon"

TIMEOUT = 60.0  # seconds for all requests about one name
UNKNOWN = "whether the records were changed is not known"


def about(settings: dict[str, Any]) -> dict[str, Any]:
    """
    What this provider can do, and the keys of its settings.

    settings
        Those of the pillar.

    Returns the mapping that is described in the module ``aaaa``.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_lexicon.about '{}'
    """
    return {
        "keys": {
            "provider": "the hoster as Lexicon calls it, such as gandi",
            "zone": "the name of the zone",
            "options": "a mapping with Lexicon's options for the hoster, such as auth_token",
        },
        "required": ["provider", "zone"],
        "withdraws": True,
        "sets_ttl": True,
        "replaces": False,
        "atomic": False,
        "servers": [],
        "zone": dns_provider.zone(settings),
    }


def errors(settings: dict[str, Any], names: list[str]) -> list[str]:
    """
    The errors in the values of the settings.

    settings
        Those of the pillar that are given and known.
    names
        The host names.

    Returns sentences that begin with the key. No option's value is shown.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_lexicon.errors '{provider: 1}' '[www.example.org]'
    """
    problems = []
    provider = settings.get("provider", "gandi")
    if not isinstance(provider, str) or not provider.isidentifier():
        problems.append(f"provider: {provider!r} is not the name of a hoster, such as gandi")
    elif (known := _hosters()) and provider not in known:
        near = difflib.get_close_matches(provider, known, 1)
        other = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
        problems.append(f"provider: {provider!r} is not a hoster that Lexicon knows; {other}")
    options = settings.get("options", {})
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        problems.append(f"options: expected a mapping such as {{auth_token: TOKEN}}, found a {type(options).__name__}")
    return problems


def _hosters() -> list[str]:
    """Those that Lexicon knows; none where it is not installed yet, so that Lexicon itself is asked later."""
    for name in ("lexicon._private.providers", "lexicon.providers"):  # the second before Lexicon 3.13
        try:
            found = importlib.import_module(name)
        except ImportError:
            continue
        return sorted({each.name for each in pkgutil.iter_modules(found.__path__)} - {"base"})
    return []


def change(credentials: str, edits: plugins.Edits) -> None:
    """
    Change the records of some names, one after the other: new ones first, so that there is always one, unless the TTL
    changes.

    credentials
        The key of the pillar under which the settings are. They are read only from there.
    edits
        ``{name: {"old": {"addresses": [...], "ttl": ...}, "new": {...}}}``

    Raises ``SaltInvocationError`` for wrong settings or edits, and ``CommandExecutionError`` with what Lexicon
    said, without the values of its options.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_lexicon.change ipv6:dns:lexicon '{}'
    """
    settings = dns_provider.checked(__pillar__, credentials, edits, about, errors)
    try:
        from lexicon.client import Client
        from lexicon.config import ConfigResolver
    except ImportError:
        raise CommandExecutionError(
            "the Python that runs Salt has no Lexicon; install it with 'salt-pip install dns-lexicon'"
        ) from None
    for name, edit in edits.items():
        resolver: Any = ConfigResolver()  # type: ignore[no-untyped-call]
        with _quiet():
            try:  # most hosters' plug-ins wait for ever for an answer
                said = host_apart.call(functools.partial(_carry_out, Client, resolver, settings, name, edit), TIMEOUT)
            except TimeoutError:
                said = f"no answer within {TIMEOUT:g} s; {UNKNOWN}"
            except CommandExecutionError as error:
                said = f"{error}; {UNKNOWN}"
        if said:
            raise CommandExecutionError(f"the update of {name} by {settings['provider']} failed: {said}")


def _carry_out(client: Any, resolver: Any, settings: dict[str, Any], name: str, edit: plugins.Edit) -> str:
    """Change the records of one name; the problem, or nothing."""
    old, new, zone = edit["old"], edit["new"], dns_values.canonical(settings["zone"])
    config = {
        "provider_name": settings["provider"],
        "domain": zone,
        # Else Lexicon would guess the zone, by a list that it fetches from somewhere.
        "resolve_zone_name": True,
        "delegated": zone,
        "ttl": new["ttl"],
        # Its `ddns` expects the zone among its own options.
        settings["provider"]: {"domain": zone, **settings.get("options", {})},
    }
    try:
        with client(resolver.with_dict(config)) as operations:
            again = old["ttl"] != new["ttl"]
            # At many hosters all records of a name have one TTL, which stays as long as one of them does.
            for address in old["addresses"] if again else ():
                _delete(operations, name, zone, address)
            for address in new["addresses"]:
                if again or address not in old["addresses"]:
                    operations.create_record("AAAA", name, address)
            for address in old["addresses"] if not again else ():
                if address not in new["addresses"]:
                    _delete(operations, name, zone, address)
    except Exception as error:  # pylint: disable=broad-except  # each hoster raises its own exceptions
        return _clean(f"{type(error).__name__}: {error}", settings.get("options", {}))
    return ""


def _delete(operations: Any, name: str, zone: str, address: str) -> None:
    """
    Delete one record: most hosters' plug-ins delete what they list, so that is looked at first.

    Raises ``ValueError`` if it is anything but this record.
    """
    try:
        listed = list(operations.list_records("AAAA", name, address))
    except Exception:  # pylint: disable=broad-except  # it cannot list records; the name servers will tell
        listed = []
    relative = {"@", ""} if name == zone else {name.removesuffix(f".{zone}")}
    for record in listed:
        kind, owner, content = (record.get(key) for key in ("type", "name", "content"))
        own = owner is None or dns_values.canonical(owner) in {name, *relative}
        # Several values in one record are told apart by the plug-in.
        if kind not in ("AAAA", None) or not own or (isinstance(content, str) and not _is_same(content, address)):
            raise ValueError(f"it would also delete the record {kind} {owner}; nothing was deleted")
    operations.delete_record(rtype="AAAA", name=name, content=address)


def _is_same(content: str, address: str) -> bool:
    try:
        return str(ipaddress.IPv6Address(content)) == address
    except ValueError:
        return False


def _clean(text: str, options: dict[str, Any]) -> str:
    """A text without the values of the options, in whatever form."""
    return secrets_said.without(text, secrets_said.known(map(str, options.values())))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """
    Nobody logs anything in this context but Salt: at level debug, Lexicon and the many libraries of the hosters log
    URLs, records and requests, and some hosters take the credential in the URL.
    """

    def keep(record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] == "salt"

    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    handlers = [handler for each in (logging.root, *loggers) for handler in each.handlers]
    for handler in handlers:
        handler.addFilter(keep)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(keep)
