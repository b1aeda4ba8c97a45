"""A provider of a user's own, in a folder of their own: it knows nothing of this project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dns.query
import dns.rcode
import dns.tsig
import dns.update
from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    __pillar__: dict[str, Any] = {}


def about(settings: dict[str, Any]) -> dict[str, Any]:
    """
    What this provider can do, and the keys of its settings.

    settings
        Those of the pillar.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_toy.about '{}'
    """
    return {
        "keys": {"zone": "the name of the zone", "host": "the address of its server", "token": "a secret"},
        "required": ["zone", "host", "token"],
    }


def errors(settings: dict[str, Any], names: list[str]) -> list[str]:
    """
    What is wrong with the values of the settings.

    settings
        Those of the pillar.
    names
        The host names.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_toy.errors '{}' '[www.example.org]'
    """
    return [] if str(settings.get("host", "127.")).startswith("127.") else ["host: it is not on loopback"]


def change(credentials: str, edits: dict[str, Any]) -> None:
    """
    Replace all AAAA records of some names.

    credentials
        The key of the pillar under which the settings are.
    edits
        What is to be changed.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_toy.change ipv6:dns:toy '{}'
    """
    settings = __pillar__
    for word in credentials.split(":"):
        settings = settings[word]
    for name, edit in edits.items():
        update = dns.update.UpdateMessage(
            settings["zone"], keyring=dns.tsig.Key("host1", settings["token"], "hmac-sha256.")
        )
        update.delete(f"{name}.", "AAAA")
        for address in edit["new"]["addresses"]:
            update.add(f"{name}.", edit["new"]["ttl"], "AAAA", address)
        code = dns.query.tcp(update, settings["host"], timeout=5).rcode()
        if code:
            raise CommandExecutionError(f"the toy does not like {name}: {dns.rcode.to_text(code)}")
