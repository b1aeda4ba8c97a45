"""
Rulesets in the kernel's form: loaded where no packets pass, and read back.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from typing import NamedTuple

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_save as firewall_save
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
from salt.exceptions import CommandExecutionError

# A namespace that is none would be the live one.
GUARD = (
    "[ ! /proc/self/ns/net -ef /proc/{}/ns/net ] || {{ echo 'unshare has made no network namespace' >&2; exit 125; }}"
)
CHAIN = "salt-scratch-"  # unreferenced chains, where namespaces are not permitted


class Refusal(NamedTuple):
    """Why a ruleset could not be loaded, and the number of the line that was refused, if that is known."""

    said: str
    line: int | None
    sentence: str  # the same, with the command


class Loaded(NamedTuple):
    """The results of loading rulesets, by family: tables in the kernel's form, or a refusal."""

    tables: dict[str, firewall_save.Tables]
    refusals: dict[str, Refusal]


def load(texts: dict[str, str], backend: str, sets: str = "") -> Loaded:
    """
    Load rulesets into a scratch network namespace. The live ones stay untouched.

    texts
        For each family what iptables-restore is to load.
    backend
        ``nft`` or ``legacy``.
    sets
        What ipset restore is to load before.

    Raises ``NoNamespaces`` where namespaces are not permitted, and ``CommandExecutionError`` where a command cannot be
    run, hangs, or prints what is no ruleset.
    """
    loaded = Loaded({}, {})
    with tempfile.TemporaryDirectory(prefix="iptables-") as folder:
        host_files.replace(f"{folder}/sets", _headers(sets))
        jobs = {}
        for family, text in texts.items():
            restore, save = (firewall_commands.command(family, backend, verb) for verb in ("restore", "save"))
            script = f"{restore} && exec {save}"
            if sets:
                script = f"{host_commands.which('ipset')} restore <{shlex.quote(folder)}/sets && {script}"
            shown = script.replace(" exec ", " ").replace(f"<{shlex.quote(folder)}/sets ", "")
            script = f"{GUARD.format(os.getpid())}; {script}"
            # The scratch rules are private: they need not wait for the lock of the live ones.
            lock = {"XTABLES_LOCKFILE": f"{folder}/{family}.lock"}
            words = firewall_commands.in_namespace(["sh", "-c", script])
            jobs[family] = firewall_commands.Job(words, text, lock, shown)
        for family, said in firewall_commands.together(jobs).items():
            if isinstance(said, host_commands.CommandFailed):
                loaded.refusals[family] = Refusal(said.said, _line(said.said), str(said))
            else:
                loaded.tables[family] = _complete(family, firewall_save.parse(said), firewall_save.parse(texts[family]))
    return loaded


def _complete(family: str, found: firewall_save.Tables, given: firewall_save.Tables) -> firewall_save.Tables:
    """
    The tables that were found where these were loaded. They have as many rules at least: one with two addresses is two.

    Raises ``CommandExecutionError`` where a rule is missing: it would be taken for one that nobody wants.
    """
    for table, chains in given.items():
        for chain, each in chains.items():
            rules = found.get(table, {}).get(chain, {"policy": None, "rules": []})["rules"]
            if len(rules) < len(each["rules"]):
                command = firewall_commands.COMMANDS[family]
                raise CommandExecutionError(
                    f"{command}-restore took {len(each['rules'])} rules for the chain {chain} of the table {table} and "
                    f"reported no error, but {command}-save then had {len(rules)} of them: one of the two does not work"
                )
    return found


def _headers(sets: str) -> str:
    """The sets without their entries, which no rule depends on."""
    return "".join(f"{line}\n" for line in sets.split("\n") if line.startswith("create "))


def load_in_place(tables: dict[str, firewall_save.Tables], backend: str) -> Loaded:
    """
    As :py:func:`load` where namespaces are not permitted: in unreferenced chains.

    tables
        Of each family.
    backend
        ``nft`` or ``legacy``.

    The chains are in the live tables for a moment, and no packet reaches them. A rule that the kernel accepts there but
    not in its own chain, or a loop of chains, is only found when the ruleset is swapped in.
    """
    loaded = Loaded({}, {})
    for family, each in tables.items():
        try:
            loaded.tables[family] = _in_place(family, each, backend)
        except host_commands.CommandFailed as error:
            said, sentence = (_with_own_names(text, each) for text in (error.said, str(error)))
            loaded.refusals[family] = Refusal(said, _line(said), sentence)
    return loaded


def _line(said: str) -> int | None:
    """The line that a restore complains of: it is the same in either way to load a ruleset."""
    number = re.search(r"\bline:? (\d+)", said)
    return int(number[1]) if number else None


def _with_own_names(text: str, tables: firewall_save.Tables) -> str:
    """What a restore says, about the chains as they are called."""
    for table, chains in tables.items():
        for place, chain in reversed(list(enumerate(chains))):
            text = text.replace(f"{CHAIN}{place}", chain) if len(tables) == 1 else text
    return text


def _in_place(family: str, tables: firewall_save.Tables, backend: str) -> firewall_save.Tables:
    restore = firewall_commands.adding(family, backend)
    scratch = {table: {chain: f"{CHAIN}{n}" for n, chain in enumerate(each)} for table, each in tables.items()}
    named = {table: firewall_delta.renamed(each, scratch[table]) for table, each in tables.items()}
    try:
        firewall_commands.run(restore, firewall_save.render(named))
        live = _complete(family, _read(family, backend), named)
    finally:
        _remove(family, backend)
    found: firewall_save.Tables = {}
    for table, names in scratch.items():
        mine = {name: live.get(table, {}).get(name, {"policy": None, "rules": []}) for name in names.values()}
        chains = firewall_delta.renamed(mine, {name: chain for chain, name in names.items()})
        found[table] = firewall_save.empty(table)
        for chain, each in chains.items():
            found[table][chain] = {"policy": tables[table][chain]["policy"], "rules": each["rules"]}
    return found


def _read(family: str, backend: str) -> firewall_save.Tables:
    return firewall_save.parse(firewall_commands.run([firewall_commands.command(family, backend, "save")]))


def _remove(family: str, backend: str) -> None:
    """Remove the chains, whoever has made them: a restore that was killed may have been through with it."""
    lines = []
    for table, chains in _read(family, backend).items():
        names = [name for name in chains if name.startswith(CHAIN)]
        if names:
            lines += [f"*{table}", *(f"-{verb} {name}" for verb in "FX" for name in names), "COMMIT"]
    if lines:
        firewall_commands.run(firewall_commands.adding(family, backend), "".join(f"{line}\n" for line in lines))
