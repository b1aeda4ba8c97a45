"""
The rules that this host has after the next boot: the files that Debian's netfilter-persistent loads.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import re
from collections import Counter
from collections.abc import Collection

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_save as firewall_save
import _dualstack_host_files as host_files
from salt.exceptions import CommandExecutionError

SAVED = {"ipv4": "/etc/iptables/rules.v4", "ipv6": "/etc/iptables/rules.v6"}
SETS = "/etc/iptables/ipsets"
LOADERS = "/usr/share/netfilter-persistent/plugins.d"
HEADER = "# Written by Salt (dualstack_iptables): it replaces the tables that it manages, and keeps all others.\n"
MODE = 0o640  # of the files
USERS = "DOCKER-USER"  # a chain of Docker's that is the administrator's to fill
TABLE_TEXT = re.compile(r"^\*(\S+)[ \t]*\n.*?^COMMIT[ \t]*$", re.MULTILINE | re.DOTALL)


def saved(family: str) -> str | None:
    """
    What will be loaded at boot; ``None`` where there is no such file.

    family
        ``ipv4`` or ``ipv6``.

    Raises ``OSError``.
    """
    return host_files.read(SAVED[family])


def text(old: str | None, tables: firewall_save.Tables, others: firewall_delta.Others) -> str:
    """
    The text of one family's file with tables replaced, or appended if they were not in it.

    old
        The text as it is, as :py:func:`saved` returns it.
    tables
        Those that are to be loaded, without what belongs to others; the file's other tables stay as they are.
    others
        What belongs to others. Of their rules, those stay in the file that an administrator has written into it: not
        those that lead to a chain or a set that another program makes, since it is not there yet. Of the chains of
        others, only ``DOCKER-USER`` stays, which Docker leaves to the administrator.

    A table that no restore would load has nothing to keep.
    """
    complete = {
        table: _stubs_last(chains, others.preserve)
        for table, chains in firewall_delta.with_stubs(tables, others.preserve).items()
    }
    blocks = {found[1]: f"{found[0]}\n" for found in TABLE_TEXT.finditer(old or "")}
    new = {}
    for table, chains in complete.items():
        if table in blocks:
            with contextlib.suppress(CommandExecutionError):
                chains = _with_theirs(table, chains, _read(table, blocks[table]), others)
        new[table] = firewall_save.render({table: chains})
    return "".join([HEADER, *{**blocks, **new}.values()])


def _stubs_last(chains: firewall_save.Table, preserve: list[str]) -> firewall_save.Table:
    """A table whose empty chains of others are the last ones, sorted: by whom they were added makes no difference."""
    empty = [
        chain
        for chain, each in chains.items()
        if each["policy"] is None and not each["rules"] and firewall_delta.foreign(chain, preserve)
    ]
    return {chain: chains[chain] for chain in [*(each for each in chains if each not in empty), *sorted(empty)]}


@functools.lru_cache(maxsize=4)  # a run asks twice, of both families; nobody changes what it gets
def _read(table: str, block: str) -> firewall_save.Table:
    """A table of a file. A person may have left out the lines of its built-in chains: it is loaded all the same."""
    head = "".join(f":{each} ACCEPT [0:0]\n" for each in firewall_save.BUILT_IN.get(table, ()))
    return firewall_save.parse(block.replace("\n", f"\n{head}", 1))[table]


def _with_theirs(
    table: str, ours: firewall_save.Table, saved: firewall_save.Table, others: firewall_delta.Others
) -> firewall_save.Table:
    """The chains of a table with the rules of others that the file has, each after the rule of ours that it follows."""
    merged: firewall_save.Table = {}
    for chain, each in ours.items():
        rules, place, wanted = list(each["rules"]), 0, Counter(each["rules"])
        there = saved.get(chain, {"policy": None, "rules": []})["rules"]
        away = others.alien(table, chain, there)
        for rule in there if away else ():
            if wanted[rule] > 0:
                wanted[rule] -= 1
                place = rules.index(rule, place) + 1 if rule in rules[place:] else place
            elif rule in away and _loadable(rule, ours, others):
                rules.insert(place, rule)
                place += 1
        merged[chain] = {"policy": each["policy"], "rules": rules}
    for chain, each in saved.items():
        if chain in merged or not others.chain(table, chain):
            continue
        if not firewall_delta.foreign(chain, others.preserve):
            merged[chain] = each  # of nobody that is known, and to be kept
        elif chain == USERS:
            # Docker leaves the chain as it is found, and is started later: these rules are what closes its ports.
            away = others.alien(table, chain, each["rules"])
            kept = [rule for rule in each["rules"] if rule in away and _loadable(rule, ours, others)]
            if set(kept) - {"-j RETURN"}:
                merged[chain] = {"policy": None, "rules": kept}
    return merged


def _loadable(rule: str, chains: firewall_save.Table, others: firewall_delta.Others) -> bool:
    """Whether a rule of others can be loaded before their programs have started."""
    led_to = firewall_delta.targets([rule])
    return " --match-set " not in f" {rule}" and not any(
        firewall_delta.foreign(name, others.preserve) and name not in chains for name in led_to
    )


def known(family: str, preserve: list[str]) -> firewall_delta.Singles | None:
    """
    The rules that this formula has made: those of the file, if it has written it, but for what looks like others'.

    family
        ``ipv4`` or ``ipv6``.
    preserve
        The patterns of names that belong to others.

    Returns rules by table and chain; ``None`` where that is not known. Raises ``OSError``.
    """
    text = saved(family)
    return None if text is None or not text.startswith(HEADER) else _made(text, tuple(preserve))


@functools.lru_cache(maxsize=4)  # as above
def _made(text: str, preserve: tuple[str, ...]) -> firewall_delta.Singles | None:
    try:
        tables = firewall_save.parse(text)
    except CommandExecutionError:
        return None
    found: firewall_delta.Singles = {}
    for table, chains in tables.items():
        for chain, each in chains.items():
            away = firewall_delta.leading_away(each["rules"], list(preserve))
            found.setdefault(table, {})[chain] = [rule for rule in each["rules"] if rule not in away]
    return found


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


def edit_sets(old: str | None, new: str | None) -> host_files.Edits:
    """
    The edit of the file with the sets of ipset(8), for a plan; empty where it changes nothing.

    old, new
        Its text, as it was read, and as it is to be.

    Raises ``CommandExecutionError`` where it could not be replaced.
    """
    return {} if old == new else host_files.edit(SETS, old, new, MODE)


def is_loaded() -> bool:
    """
    Whether anything is installed that loads the files at boot.
    """
    return bool(glob.glob(f"{LOADERS}/*-ip*tables"))


def warnings(texts: Collection[str], backend: str) -> list[str]:
    """
    What keeps the files from being loaded at boot, or from being loaded into the same backend.

    texts
        Those of the files that are written.
    backend
        ``nft`` or ``legacy``: of the live rules.
    """
    then = firewall_commands.backend()
    if texts and then != backend:
        program = f"/usr/sbin/iptables-{backend}"
        return [
            f"at boot, these rules are loaded into {then}, since that is what this host's command iptables is: "
            f"'update-alternatives --set iptables {program}', and the same for ip6tables"
        ]
    if texts and not is_loaded():
        return ["nothing loads the rules at boot: the package iptables-persistent is not installed"]
    if any("-set " in each for each in texts) and not glob.glob(f"{LOADERS}/*-ipset"):
        return ["nothing loads the sets at boot, and no rule without them: the package ipset-persistent is missing"]
    return []
