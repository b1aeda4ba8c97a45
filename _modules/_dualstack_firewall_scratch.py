"""
Rulesets in the kernel's form: loaded where no packets pass, and read back.
"""

from __future__ import annotations

import re
import tempfile
from typing import NamedTuple

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_save as firewall_save
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
from salt.exceptions import CommandExecutionError

CHAIN = "salt-scratch-"  # unreferenced chains, where namespaces are not permitted


class Refusal(NamedTuple):
    """Why a ruleset could not be loaded, and the number of the line that was refused, if that is known."""

    said: str
    line: int | None


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

    Raises ``NoNamespaces`` where namespaces are not permitted.
    """
    loaded = Loaded({}, {})
    with tempfile.TemporaryDirectory(prefix="iptables-") as folder:
        host_files.write(f"{folder}/sets", _headers(sets))
        runs = {}
        for family, text in texts.items():
            restore, save = (firewall_commands.command(family, backend, verb) for verb in ("restore", "save"))
            script = f"{restore} && exec {save}"
            if sets:
                script = f"{host_commands.which('ipset')} restore <{folder}/sets && {script}"
            # The scratch rules are private: they need not wait for the lock of the live ones.
            lock = {"XTABLES_LOCKFILE": f"{folder}/{family}.lock"}
            runs[family] = firewall_commands.start_in_namespace(["sh", "-c", script], text, lock)
        for family, run in runs.items():
            try:
                loaded.tables[family] = firewall_save.parse(firewall_commands.finish(run))
            except firewall_commands.NoNamespaces:
                raise
            except CommandExecutionError as error:
                number = re.search(r"\bline:? (\d+)", str(error))
                loaded.refusals[family] = Refusal(str(error), int(number[1]) if number else None)
    return loaded


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
        except CommandExecutionError as error:
            loaded.refusals[family] = Refusal(str(error), None)
    return loaded


def _in_place(family: str, tables: firewall_save.Tables, backend: str) -> firewall_save.Tables:
    restore = firewall_commands.adding(family, backend)
    scratch = {table: {chain: f"{CHAIN}{n}" for n, chain in enumerate(each)} for table, each in tables.items()}
    named = {table: firewall_delta.renamed(each, scratch[table]) for table, each in tables.items()}
    firewall_commands.finish(firewall_commands.start(restore, firewall_save.render(named)))
    try:
        live = firewall_save.parse(firewall_commands.run([firewall_commands.command(family, backend, "save")]))
    finally:
        lines = []
        for table, names in scratch.items():
            lines += [f"*{table}", *(f"-{verb} {name}" for verb in "FX" for name in names.values()), "COMMIT"]
        firewall_commands.finish(firewall_commands.start(restore, "".join(f"{line}\n" for line in lines)))
    found: firewall_save.Tables = {}
    for table, names in scratch.items():
        mine = {name: live[table][name] for name in names.values()}
        chains = firewall_delta.renamed(mine, {name: chain for chain, name in names.items()})
        found[table] = firewall_save.empty(table)
        for chain, each in chains.items():
            found[table][chain] = {"policy": tables[table][chain]["policy"], "rules": each["rules"]}
    return found
