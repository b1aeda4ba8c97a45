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
import functools
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import _dualstack_rooms
from salt.exceptions import CommandExecutionError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_dns_provider as dns_provider
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
    options = settings.get("options", {})
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        problems.append(f"options: expected a mapping such as {{auth_token: TOKEN}}, found a {type(options).__name__}")
    return problems


def change(credentials: str, edits: plugins.Edits) -> None:
    """
    Change the records of some names, one after the other: new ones first, so that there is always one.

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
    old, new = edit["old"], edit["new"]
    config = {
        "provider_name": settings["provider"],
        "domain": settings["zone"],
        # Else Lexicon would guess the zone, by a list that it fetches from somewhere.
        "resolve_zone_name": True,
        "delegated": settings["zone"],
        "ttl": new["ttl"],
        # Its `ddns` expects the zone among its own options.
        settings["provider"]: {"domain": settings["zone"], **settings.get("options", {})},
    }
    try:
        with client(resolver.with_dict(config)) as operations:
            for address in new["addresses"]:
                if address in old["addresses"] and old["ttl"] != new["ttl"]:
                    operations.delete_record(rtype="AAAA", name=name, content=address)
                if address not in old["addresses"] or old["ttl"] != new["ttl"]:
                    operations.create_record("AAAA", name, address)
            for address in old["addresses"]:
                if address not in new["addresses"]:
                    operations.delete_record(rtype="AAAA", name=name, content=address)
    except Exception as error:  # pylint: disable=broad-except  # each hoster raises its own exceptions
        return _clean(f"{type(error).__name__}: {error}", settings.get("options", {}))
    return ""


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
