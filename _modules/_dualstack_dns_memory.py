"""
What this host has published last under each name, so that it is removed when another address takes its place.

Without this file, an old address of this host counts as somebody else's, and is left where it is, with a warning;
nothing else is lost. Only root can read it.
"""

from __future__ import annotations

import ipaddress

import _dualstack_host_files as host_files
import _dualstack_host_hindrances as host_hindrances
import _dualstack_host_json as host_json
import salt.utils.json
from salt.exceptions import CommandExecutionError

MEMORY = "/var/lib/dualstack_aaaa/published.json"
MODE = 0o600

Addresses = dict[str, list[str]]  # by name


def recall() -> Addresses:
    """
    The addresses that this host has published, by name.

    Raises ``OSError``, and ``CommandExecutionError`` where the file is damaged.
    """
    try:
        found = host_json.typed(host_json.load(MEMORY), dict)
        for addresses in found.values():
            for each in host_json.typed(addresses, list):
                ipaddress.IPv6Address(host_json.typed(each, str))
    except ValueError:
        raise CommandExecutionError(
            f"{MEMORY} is damaged: it names the addresses that this host has published; remove it, and remove old "
            "addresses of this host from DNS by hand, if there are any"
        ) from None
    known: Addresses = found
    return known


def refuse() -> None:
    """
    Refuse, before anything is changed, where what is published could not be remembered.

    Raises ``CommandExecutionError``, and ``OSError``.
    """
    host_hindrances.refuse(MEMORY, exists=host_files.read(MEMORY) is not None)


def drift() -> host_files.Edits:
    """
    The edit that gives the file its permissions back, for a plan; empty where they are right.

    Raises ``OSError``, and ``CommandExecutionError`` where it could not be changed.
    """
    text = host_files.read(MEMORY)
    return host_files.edit(MEMORY, text, text, MODE)


def remember(addresses: Addresses) -> None:
    """
    Replace what is remembered of some names.

    addresses
        By name; an empty list forgets the name.

    Raises ``OSError``.
    """
    before = recall()
    kept = {name: sorted(set(each)) for name, each in sorted({**before, **addresses}.items()) if each}
    if kept and kept != before:
        host_files.replace(MEMORY, salt.utils.json.dumps(kept, indent=1), MODE)
    elif before and not kept:
        host_files.remove(MEMORY)
