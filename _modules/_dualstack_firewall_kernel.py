"""
The firewall in this host's kernel: read, and swapped in one step.

Everything here uses the iptables commands of one backend, ``nft`` or ``legacy``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_save as firewall_save
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
from salt.exceptions import CommandExecutionError

NAMES_OF_THE_HOST = ("services", "protocols", "hosts", "passwd", "group")  # below /etc: rules may hold such names


def families() -> list[str]:
    """
    The families that this host's kernel has: ``ipv4``, and ``ipv6`` unless it was started with ``ipv6.disable=1``.
    """
    return ["ipv4", "ipv6"] if os.path.isdir("/proc/sys/net/ipv6") else ["ipv4"]


def read(backend: str) -> dict[str, firewall_save.Tables]:
    """
    The live tables of both families.

    backend
        ``nft`` or ``legacy``.

    Raises ``CommandExecutionError``.
    """
    words = {family: [firewall_commands.command(family, backend, "save")] for family in families()}
    runs = {family: firewall_commands.start(each) for family, each in words.items()}
    texts = {family: firewall_commands.finish(run) for family, run in runs.items()}
    return {family: firewall_save.parse(text) for family, text in texts.items()}


def other(backend: str) -> list[str]:
    """
    What the unused backend filters: its tables that are not empty.

    backend
        The one that is used.

    Returns sentences; the kernel lets a packet pass only if both backends do.
    """
    unused = "legacy" if backend == "nft" else "nft"
    found = []
    for family in families():
        name = f"{firewall_commands.COMMANDS[family]}-{unused}"
        program = host_commands.which(f"{name}-save")
        if not program or (unused == "legacy" and not _legacy_tables(family)):
            continue
        with contextlib.suppress(CommandExecutionError):  # a kernel that has no such backend has nothing in it
            tables = firewall_save.parse(firewall_commands.run([program]))
            for table, chains in tables.items():
                count = sum(len(each["rules"]) for each in chains.values())
                if chains != firewall_save.empty(table):
                    found.append(
                        f"{name} also filters here: its table {table} has {count} rules, "
                        "and a packet has to pass those of both backends"
                    )
    return found


def _legacy_tables(family: str) -> str:
    """The tables that legacy uses; its commands are not asked, since they would load its modules."""
    names = "/proc/net/ip6_tables_names" if family == "ipv6" else "/proc/net/ip_tables_names"
    return host_files.read(names) or ""


def sets() -> str:
    """
    The sets of ipset(8) on this host, as ipset save prints them; empty where there is no ipset.
    """
    program = host_commands.which("ipset")
    return firewall_commands.run([program, "save"]) if program else ""


def set_families(text: str) -> dict[str, str]:
    """
    For which family each set is: ``inet``, ``inet6`` or ``both``.

    text
        As ipset save prints it.
    """
    found = {}
    for name, kind, options in re.findall(r"^create (\S+) (\S+)(.*)$", text, re.MULTILINE):
        family = re.search(r" family (\S+)", options)
        found[name] = "both" if kind == "list:set" else family[1] if family else "inet"
    return found


def fingerprint(backend: str) -> list[Any]:
    """
    What the kernel's form of a rule depends on, besides the rule: the commands, the kernel, and the names of
    services, users and the like.

    backend
        ``nft`` or ``legacy``.
    """
    files = [firewall_commands.command("ipv4", backend, "restore"), *(f"/etc/{name}" for name in NAMES_OF_THE_HOST)]
    looked = [os.stat(path) for path in files if os.path.exists(path)]
    return [backend, os.uname().release, families(), *([each.st_mtime_ns, each.st_size] for each in looked)]


def swap(
    wanted: dict[str, firewall_save.Tables],
    preserve: list[str],
    backend: str,
    registered: Mapping[str, firewall_delta.Singles],
) -> None:
    """
    Change the live tables to the wanted ones, with one iptables-restore for each family that differs.

    wanted
        The tables of each family, in the form that the kernel gives them; a table that is not there is left alone.
    preserve
        The chains of others, as in ``firewall_delta.tables``.
    backend
        ``nft`` or ``legacy``.
    registered
        Single rules of others in each family, as in ``firewall_delta.tables``.

    Each table is changed in one step, and of it only what differs. Raises ``CommandExecutionError`` if a family could
    not be changed; the other one may have been.
    """
    with _lock(backend) as environment:
        live = read(backend)  # again: others may have changed them since the plan was made
        runs = []
        for family, tables in wanted.items():
            rules = registered.get(family)
            script = firewall_delta.tables(live[family], tables, preserve, rules)["script"]
            if script:
                words = firewall_commands.adding(family, backend)
                runs.append(firewall_commands.start(words, script, environment))
        failures = [failure for run in runs if (failure := _failure(run))]
    if failures:
        raise CommandExecutionError("; ".join(failures))


def _failure(run: firewall_commands.Process) -> str:
    try:
        firewall_commands.finish(run)
    except CommandExecutionError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def _lock(backend: str) -> Iterator[dict[str, str]]:
    """
    Hold the lock that all iptables-legacy commands share, from the reading to the writing: rules are named by
    number, and no other may come between. iptables-nft has no lock; the kernel refuses a change to what has changed.

    Gives the environment for the command that runs meanwhile, which must not wait for it.
    """
    if backend == "nft":
        yield {}
        return
    path = os.environ.get("XTABLES_LOCKFILE", "/run/xtables.lock")
    with open(path, "ab") as stream, tempfile.TemporaryDirectory(prefix="iptables-") as folder:
        deadline = time.monotonic() + firewall_commands.PATIENCE
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    held = f"another program has held {path} for {firewall_commands.PATIENCE} s"
                    raise CommandExecutionError(held) from None
                time.sleep(0.1)
        yield {"XTABLES_LOCKFILE": f"{folder}/lock"}
