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
import _dualstack_host_time as host_time
from salt.exceptions import CommandExecutionError

LOCK = "/run/xtables.lock"  # of all iptables-legacy commands
NO_RULES = re.compile("-P (INPUT|FORWARD|OUTPUT) ACCEPT")  # as iptables -S prints a table of which nothing was used
NO_FAMILY = ("list:set", "hash:mac", "bitmap:port")  # types of sets that rules of both families may name
# What a restore says that does not find the rule or the place that it was given.
UNFOUND = re.compile(r"does a matching rule exist|Index of \w+ too big|RULE_\w+ failed")
ATTEMPTS = 10  # at a change while others change their rules
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
    jobs = {
        family: firewall_commands.Job([firewall_commands.command(family, backend, "save")], reads=True)
        for family in families()
    }
    tables = {}
    for family, said in firewall_commands.together(jobs).items():
        if isinstance(said, CommandExecutionError):
            raise said
        tables[family] = firewall_save.parse(said)
        _refuse_silence(family, backend, tables[family])
    return tables


def _refuse_silence(family: str, backend: str, tables: firewall_save.Tables) -> None:
    """Rules that iptables-save does not show would stay, or be added once more, and nobody would see it."""
    name = firewall_commands.COMMANDS[family]
    unseen = [] if backend == "nft" else [each for each in _legacy_tables(family).split() if each not in tables]
    if backend == "nft" and not tables:
        program = host_commands.which(f"{name}-nft") or host_commands.which(name)
        listed = firewall_commands.run([program, "-S"]) if program else ""
        unseen = ["filter"] if [each for each in listed.splitlines() if not NO_RULES.fullmatch(each)] else []
    if unseen:
        raise CommandExecutionError(f"{name}-save printed nothing of the table {unseen[0]}, which has rules")


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
        found[name] = "both" if kind in NO_FAMILY else family[1] if family else "inet"
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
    others: Mapping[str, firewall_delta.Others],
    backend: str,
    before: Mapping[str, firewall_save.Tables] | None = None,
) -> int:
    """
    Change the live tables to the wanted ones, with one iptables-restore for each family that differs.

    wanted
        The tables of each family, in the form that the kernel gives them; a table that is not there is left alone.
    others
        What belongs to others in each family, as in ``firewall_delta.tables``.
    backend
        ``nft`` or ``legacy``.
    before
        What the plan has found in these tables, without what belongs to others. If it is given and they are not so any
        more, nothing is changed.

    Each table is changed in one step, and of it only what differs. Where others change their rules at the same time, it
    is done again until the tables are as wanted, at most :py:data:`ATTEMPTS` times. Returns how often it was done.
    Raises ``CommandExecutionError`` if a family could not be changed; the other one may have been; and ``Moved``, which
    is one.
    """
    numbered = backend == "legacy"  # its lock keeps others away
    done, failures = 0, [""]
    while done < ATTEMPTS:
        with _lock(backend) as environment:
            live = read(backend)  # again: others may have changed them since the plan was made
            if before is not None and not done:
                for family in wanted:
                    _compare(family, before[family], live[family], others[family])
            deltas = {
                family: firewall_delta.tables(live[family], tables, others[family], numbered)
                for family, tables in wanted.items()
            }
            jobs = {
                family: firewall_commands.Job(firewall_commands.adding(family, backend), each["script"], environment)
                for family, each in deltas.items()
                if each["script"]
            }
            if not jobs:
                return done
            ended = firewall_commands.together(jobs)
        done += 1
        failures = [str(each) for each in ended.values() if isinstance(each, CommandExecutionError)]
        if not failures and (backend == "legacy" or not any(_shared(live, wanted, others, each) for each in jobs)):
            return done
        if failures and _theirs(read(backend), others) == _theirs(live, others):  # nobody else was quicker
            if numbered or not all(map(UNFOUND.search, failures)):
                break
            numbered = True  # iptables does not find a rule by its own words for it
    if failures:
        raise CommandExecutionError("\n".join(failures))
    return done


def _shared(
    live: Mapping[str, firewall_save.Tables],
    wanted: Mapping[str, firewall_save.Tables],
    others: Mapping[str, firewall_delta.Others],
    family: str,
) -> bool:
    """Whether another program has rules in the tables that are changed."""
    there = {table: live[family][table] for table in wanted[family] if table in live[family]}
    return firewall_delta.own(there, others[family]) != there


def _theirs(
    live: Mapping[str, firewall_save.Tables], others: Mapping[str, firewall_delta.Others]
) -> dict[tuple[str, str, str], list[str]]:
    """The rules of others, by family, table and chain."""
    found = {}
    for family, tables in live.items():
        for table, chains in tables.items():
            for chain, each in chains.items():
                if family in others and (away := others[family].alien(table, chain, each["rules"])):
                    found[family, table, chain] = [rule for rule in each["rules"] if rule in away]
    return found


def _compare(
    family: str, before: firewall_save.Tables, live: firewall_save.Tables, others: firewall_delta.Others
) -> None:
    now = firewall_delta.own({table: live.get(table) or firewall_save.empty(table) for table in before}, others)
    for table, chains in before.items():
        for chain in firewall_save.different(chains, now[table]):
            raise moved([(family, table, chain)])


def moved(chains: list[tuple[str, str, str]]) -> host_files.Moved:
    """
    The error for chains that somebody else has changed meanwhile.

    chains
        Of each the family, the table, and its name.
    """
    names = ", ".join(f"{chain} of the table {table} ({family})" for family, table, chain in chains)
    return host_files.Moved(f"the chain {names}", *(f"{table} {chain}" for _, table, chain in chains))


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
    with open(LOCK, "ab") as stream, tempfile.TemporaryDirectory(prefix="iptables-") as folder:
        deadline = time.monotonic() + host_time.left(firewall_commands.LOCK)
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    held = f"another program has held {LOCK} for {firewall_commands.LOCK} s"
                    raise CommandExecutionError(held) from None
                time.sleep(0.1)
        yield {"XTABLES_LOCKFILE": f"{folder}/lock"}
