"""
The rules that this host has after the next boot: the files that Debian's netfilter-persistent loads.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Collection

import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_save as firewall_save
import _dualstack_host_files as host_files

SAVED = {"ipv4": "/etc/iptables/rules.v4", "ipv6": "/etc/iptables/rules.v6"}
LOADERS = "/usr/share/netfilter-persistent/plugins.d"
HEADER = "# Written by Salt (dualstack_iptables): it replaces the tables that it manages, and keeps all others.\n"
MODE = 0o640  # of the files
TABLE_TEXT = re.compile(r"^\*(\S+)\n.*?^COMMIT$", re.MULTILINE | re.DOTALL)


def saved(family: str) -> str | None:
    """
    What will be loaded at boot; ``None`` where there is no such file.

    family
        ``ipv4`` or ``ipv6``.

    Raises ``OSError``.
    """
    return host_files.read(SAVED[family])


def text(old: str | None, tables: firewall_save.Tables, preserve: list[str]) -> str:
    """
    The text of one family's file with tables replaced, or appended if they were not in it.

    old
        The text as it is, as :py:func:`saved` returns it.
    tables
        Those that are to be loaded; the file's other tables stay as they are.
    preserve
        The chains of others, as in ``firewall_delta.tables``: they are not saved.
    """
    complete = firewall_delta.with_stubs(tables, preserve)
    new = {table: firewall_save.render({table: chains}) for table, chains in complete.items()}
    blocks = {found[1]: f"{found[0]}\n" for found in TABLE_TEXT.finditer(old or "")}
    return "".join([HEADER, *{**blocks, **new}.values()])


def edit(family: str, old: str | None, new: str) -> host_files.Edits:
    """
    The edit of one family's file, for a plan.

    family
        ``ipv4`` or ``ipv6``.
    old, new
        Its text, as :py:func:`saved` has just returned it, and as it is to be.

    Raises ``CommandExecutionError`` where it could not be replaced.
    """
    return host_files.edit(SAVED[family], old, new, MODE)


def warnings(texts: Collection[str]) -> list[str]:
    """
    What keeps the files from being loaded at boot.

    texts
        Those of the files that are written.
    """
    if texts and not glob.glob(f"{LOADERS}/*-ip*tables"):
        return ["nothing loads the rules at boot: the package iptables-persistent is not installed"]
    if any("-set " in each for each in texts) and not glob.glob(f"{LOADERS}/*-ipset"):
        return ["nothing loads the sets at boot, and no rule without them: the package ipset-persistent is missing"]
    return []
