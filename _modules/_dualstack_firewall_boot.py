"""
The rules that this host has after the next boot: the files that Debian's netfilter-persistent loads.
"""

from __future__ import annotations

import glob
import re
from typing import NamedTuple

import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_save as firewall_save
import _dualstack_host_files as host_files

SAVED = {"ipv4": "/etc/iptables/rules.v4", "ipv6": "/etc/iptables/rules.v6"}
LOADERS = "/usr/share/netfilter-persistent/plugins.d"
HEADER = "# Written by Salt (dualstack_iptables): it replaces the tables that it manages, and keeps all others.\n"
TABLE_TEXT = re.compile(r"^\*(\S+)\n.*?^COMMIT$", re.MULTILINE | re.DOTALL)


class Edit(NamedTuple):
    """A file's old and new text; ``None`` if there is no file."""

    old: str | None
    new: str


Edits = dict[str, Edit]  # by path


def saved(family: str) -> str | None:
    """
    What will be loaded at boot; ``None`` where there is no such file.

    family
        ``ipv4`` or ``ipv6``.

    Raises ``OSError``.
    """
    return host_files.read(SAVED[family])


def edit(family: str, old: str | None, tables: firewall_save.Tables, preserve: list[str]) -> Edits:
    """
    The file of one family with tables replaced, or appended if they were not in it.

    family
        ``ipv4`` or ``ipv6``.
    old
        The file as it is, as :py:func:`saved` returns it.
    tables
        Those that are to be loaded; the file's other tables stay as they are.
    preserve
        The chains of others, as in ``firewall_delta.tables``: they are not saved.
    """
    complete = firewall_delta.with_stubs(tables, preserve)
    new = {table: firewall_save.render({table: chains}) for table, chains in complete.items()}
    blocks = {found[1]: f"{found[0]}\n" for found in TABLE_TEXT.finditer(old or "")}
    return {SAVED[family]: Edit(old, "".join([HEADER, *{**blocks, **new}.values()]))}


def warnings(edits: Edits) -> list[str]:
    """
    What keeps the files from being loaded at boot.

    edits
        Those of both families.
    """
    if edits and not glob.glob(f"{LOADERS}/*-ip*tables"):
        return ["nothing loads the rules at boot: the package iptables-persistent is not installed"]
    if any("-set " in each.new for each in edits.values()) and not glob.glob(f"{LOADERS}/*-ipset"):
        return ["nothing loads the sets at boot, and no rule without them: the package ipset-persistent is missing"]
    return []
