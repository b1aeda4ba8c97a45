"""
What this host has published last under each name, so that it is removed when another address takes its place; and which
PTR records, by their reverse names.

Without these files, an old address of this host counts as somebody else's, and is left where it is, with a warning;
nothing else is lost. Only root can read them.
"""

from __future__ import annotations

import ipaddress

import _dualstack_dns_reverse as dns_reverse
import _dualstack_host_files as host_files
import _dualstack_host_hindrances as host_hindrances
import _dualstack_host_json as host_json
import salt.utils.json
from salt.exceptions import CommandExecutionError

MEMORY = "/var/lib/dualstack_aaaa/published.json"
POINTERS = "/var/lib/dualstack_aaaa/pointers.json"
MODE = 0o600

Addresses = dict[str, list[str]]  # by name; or names, by reverse name


def path(kind: str) -> str:
    """
    The file in which records of a type are remembered.

    kind
        ``AAAA`` or ``PTR``.
    """
    return POINTERS if kind == "PTR" else MEMORY


def recall(kind: str = "AAAA") -> Addresses:
    """
    The addresses that this host has published, by name.

    kind
        ``AAAA``; or ``PTR``, for the names, by reverse name.

    Raises ``OSError``, and ``CommandExecutionError`` where the file is damaged.
    """
    file = path(kind)
    try:
        found = host_json.typed(host_json.load(file), dict)
        for name, remembered in found.items():
            for each in host_json.typed(remembered, list):
                if kind != "PTR":
                    ipaddress.IPv6Address(host_json.typed(each, str))
                elif not dns_reverse.is_name(name) or not dns_reverse.is_target(each):
                    raise ValueError(name)
    except ValueError:
        what = "names of addresses" if kind == "PTR" else "addresses"
        old = "PTR records" if kind == "PTR" else "addresses"
        raise CommandExecutionError(
            f"{file} is damaged: it names the {what} that this host has published; remove it, and remove old "
            f"{old} of this host from DNS by hand, if there are any"
        ) from None
    known: Addresses = found
    return known


def refuse(kind: str = "AAAA") -> None:
    """
    Refuse, before anything is changed, where what is published could not be remembered.

    kind
        As for :py:func:`recall`.

    Raises ``CommandExecutionError``, and ``OSError``.
    """
    host_hindrances.refuse(path(kind), exists=host_files.read(path(kind)) is not None)


def drift(kind: str = "AAAA") -> host_files.Edits:
    """
    The edit that gives the file its permissions back, for a plan; empty where they are right.

    kind
        As for :py:func:`recall`.

    Raises ``OSError``, and ``CommandExecutionError`` where it could not be changed.
    """
    text = host_files.read(path(kind))
    return host_files.edit(path(kind), text, text, MODE)


def remember(addresses: Addresses, kind: str = "AAAA") -> None:
    """
    Replace what is remembered of some names.

    addresses
        By name; an empty list forgets the name.
    kind
        As for :py:func:`recall`.

    Raises ``OSError``.
    """
    before = recall(kind)
    kept = {name: sorted(set(each)) for name, each in sorted({**before, **addresses}.items()) if each}
    if kept and kept != before:
        host_files.replace(path(kind), salt.utils.json.dumps(kept, indent=1), MODE)
    elif before and not kept:
        host_files.remove(path(kind))
