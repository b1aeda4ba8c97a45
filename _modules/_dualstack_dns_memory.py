"""
What this host has published last under each name, so that it is removed when another address takes its place.

Without this file, an old address of this host counts as somebody else's, and is left where it is, with a warning;
nothing else is lost. Only root can read it.
"""

from __future__ import annotations

import _dualstack_host_files as host_files
import salt.utils.json

MEMORY = "/var/lib/dualstack_aaaa/published.json"

Addresses = dict[str, list[str]]  # by name


def recall() -> Addresses:
    """
    The addresses that this host has published, by name.

    A file that is damaged counts as none. Raises ``OSError``.
    """
    try:
        found = salt.utils.json.loads(host_files.read(MEMORY) or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: [each for each in addresses if isinstance(each, str)]
        for name, addresses in found.items()
        if isinstance(addresses, list)
    }


def remember(addresses: Addresses) -> None:
    """
    Replace what is remembered of some names.

    addresses
        By name; an empty list forgets the name.

    Raises ``OSError``.
    """
    before = recall()
    kept = {name: sorted(set(each)) for name, each in sorted({**before, **addresses}.items()) if each}
    if kept != before:
        host_files.write(MEMORY, salt.utils.json.dumps(kept, indent=1), mode=0o600)
