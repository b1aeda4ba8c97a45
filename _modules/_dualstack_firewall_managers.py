"""
Which other manager of the firewall is active on this host, what it holds, and what to do about it: ufw, firewalld, and
native tables of nf_tables. Two managers of one firewall take each other's rules away, or each claims what the other
one prevents.

What could not be looked at raises an error: it does not mean that there is nothing.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_boot_rivals as boot_rivals
import _dualstack_boot_units as boot_units
import _dualstack_firewall_beside as firewall_beside
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_native as firewall_native
import _dualstack_firewall_nftables as firewall_nftables
import _dualstack_firewall_save as firewall_save
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_settings as settings
from salt.exceptions import CommandExecutionError

UFW_CONF = "/etc/ufw/ufw.conf"
UFW_ENABLED = re.compile(r"(?i)^([ \t]*(?:export[ \t]+)?ENABLED=)([\"']?)(yes)(\2)(?=\s|;|#|$)", re.MULTILINE)
UFW_RULES = ("/etc/ufw/user.rules", "/etc/ufw/user6.rules")
UFW_RULE = re.compile(r"^### tuple ###", re.MULTILINE)
UFW_CHAIN = re.compile("ufw6?-user-input")  # by which ufw itself finds out whether it runs: ufw-init-functions
UFW_CHAINS = re.compile("ufw6?-")
UFW_PROGRAMS = ("ufw", "/lib/ufw/ufw-init")
FIREWALLD_PID = "/run/firewalld.pid"
FIREWALLD = "firewalld.service"
LEGACY = {"ipv4": "/proc/net/ip_tables_names", "ipv6": "/proc/net/ip6_tables_names"}
DROPS = re.compile(r"^[^#\n]*\b(?:drop|reject)\b", re.MULTILINE)


class Manager(NamedTuple):
    """An active manager: its name, how it is known to be active, what it holds, and what to do about it."""

    name: str
    evidence: list[str]
    holds: str
    advice: str

    @property
    def said(self) -> str:
        """All of it, as one sentence."""
        return f"{self.name} is active ({'; '.join(self.evidence)}) and holds {self.holds}. {self.advice}"


class Live(NamedTuple):
    """The chains in iptables' tables that match a pattern: backend, family, and name; and how many rules they have."""

    chains: list[tuple[str, str, str]]
    rules: int


Tables = Mapping[str, firewall_save.Tables]  # of the backend that the pillar's rules use, by family


def active(
    seen: firewall_native.Seen, declared: Collection[str] = (), live: Tables | None = None, backend: str = ""
) -> list[Manager]:
    """
    The managers that are active on this host.

    seen
        What is in nf_tables.
    declared
        The names of chains that are the pillar's, whatever they are called.
    live, backend
        The live tables of one backend, if they have been read already.

    Raises ``CommandExecutionError`` where it could not be seen, and ``OSError``.
    """
    unrelated = firewall_native.unrelated(seen.filtering)
    strangers = [each for each in unrelated if each.table[1] != firewall_native.FIREWALLD]
    found = [_ufw(declared, live if backend == "legacy" else None), _firewalld(seen.filtering), _nftables(strangers)]
    return [each for each in found if each]


def declared_chains(firewall: Mapping[str, Any]) -> list[str]:
    """
    The names of the chains in a firewall, which may be malformed.

    firewall
        As in the pillar ``ipv6:firewall``.
    """
    tables = firewall.get("tables")
    found = [
        chains for chains in (tables.values() if isinstance(tables, Mapping) else ()) if isinstance(chains, Mapping)
    ]
    return [str(name) for chains in found for name in chains]


def problems(
    firewall: Mapping[str, Any], seen: firewall_native.Seen, taking: bool, live: Tables | None = None
) -> list[str]:
    """
    Why the firewall of a pillar cannot be this host's: a sentence for each table in it that nft(8) has written, or else
    for each manager that is active and that the pillar does not expect.

    firewall
        As in the pillar ``ipv6:firewall``, valid.
    seen
        What is in nf_tables.
    taking
        Those under ``take_over`` are about to be taken over, so they may be active.
    live
        The live tables of the pillar's backend, if they have been read already.

    Raises as :py:func:`active` does.
    """
    backend = _backend(firewall)
    if lines := firewall_native.misread(seen, firewall["tables"] if backend == "nft" else ()):
        return lines
    expected = {*firewall_beside.listed(firewall, "beside")}
    expected |= {*firewall_beside.listed(firewall, "take_over")} if taking else set()
    found = active(seen, declared_chains(firewall), live, backend)
    return [each.said for each in found if each.name not in expected]


def _backend(firewall: Mapping[str, Any]) -> str:
    try:
        return firewall_commands.backend(firewall.get("backend", "auto"))
    except firewall_commands.NotInstalled:  # it is about to be, and nft is Debian's default
        return "nft"


def refuse(
    firewall: Mapping[str, Any], seen: firewall_native.Seen, taking: bool = False, live: Tables | None = None
) -> None:
    """
    Refuse to change the firewall of a host that somebody else manages.

    firewall, seen, taking, live
        As for :py:func:`problems`.

    Raises ``CommandExecutionError`` with these problems, and as :py:func:`active` does.
    """
    if found := problems(firewall, seen, taking, live):
        raise CommandExecutionError("\n".join(found))


def before(
    plan: Callable[[], dict[str, Any]], tables: list[str], backend: str, pillar: Mapping[str, Any]
) -> Callable[[], dict[str, Any]]:
    """
    A plan for single rules that is not made where somebody else manages the firewall, or has written the tables.

    plan
        Makes it.
    tables
        The tables that it changes.
    backend
        ``nft``, ``legacy`` or ``auto``.
    pillar
        The whole pillar, whose firewall says which managers stay, and what its chains are called.
    """
    firewall = settings.at(pillar, firewall_declared.KEY)
    firewall = firewall if isinstance(firewall, Mapping) else {}
    chains = declared_chains(firewall)
    asked = {**firewall, "backend": backend, "tables": {each: dict.fromkeys(chains) for each in tables}}
    refused = functools.cache(lambda: refuse(asked, firewall_native.look()))  # once: its own second plan need not

    def planned() -> dict[str, Any]:
        refused()
        return plan()

    return planned


def errors(pillar: Mapping[str, Any], key: str, cachedir: str = "") -> list[str]:
    """
    As :py:func:`problems`, before anything is installed or changed: each begins with the key. What could not be looked
    at is one as well.

    pillar
        The whole pillar.
    key
        Where the valid firewall is in it, as in ``ipv6:firewall``.
    cachedir
        As for ``firewall_native.look``.
    """
    firewall = firewall_declared.declared(pillar, key, {}, None).firewall
    try:
        found = problems(firewall, firewall_native.look(cachedir), taking=True)
    except (CommandExecutionError, OSError) as error:
        found = [f"whether another manager of the firewall is active could not be seen: {error}"]
    return [f"{key}: {each}" for each in found]


# --------------------------------------------------------------------------------------------------------------
# ufw(8)


def _ufw(declared: Collection[str], legacy: Tables | None) -> Manager | None:
    live = ufw_live(declared, legacy)
    evidence = []
    if live.chains:
        backends = sorted({backend for backend, _, _ in live.chains})
        evidence.append(f"its chains are live in {' and '.join(f'iptables-{each}' for each in backends)}")
    if ufw_enabled() and any(host_commands.which(each) for each in UFW_PROGRAMS):
        evidence.append(f"ENABLED=yes in {UFW_CONF}")
    if not evidence:
        return None
    own = sum(len(UFW_RULE.findall(host_files.read(path) or "")) for path in UFW_RULES)
    holds = f"{own} rules of its users, {live.rules} live rules in all"
    return Manager(
        "ufw",
        evidence,
        holds,
        "Write its rules into the pillar ('salt-call --out=yaml dualstack_iptables.adopt' prints them) and "
        "'take_over: [ufw]' beside them, under ipv6:firewall: the state dualstack_iptables.taken_over loads the "
        "pillar's rules and then ends ufw, in one step ('ufw disable' by hand opens this host first). Or name it under "
        "ipv6:firewall:beside, where it is to stay",
    )


def ufw_enabled() -> bool:
    """
    Whether ufw starts at boot, and at its next command. Raises ``OSError``.
    """
    return bool(UFW_ENABLED.search(host_files.read(UFW_CONF) or ""))


def ufw_live(declared: Collection[str] = (), legacy: Tables | None = None) -> Live:
    """
    The chains of ufw that are live, by backend and family, without those of a ufw that is switched off: that leaves
    empty ones behind until the next boot.

    declared
        The names of chains that are the pillar's, whatever they are called.
    legacy
        The live tables of legacy, if they have been read already.

    Raises ``CommandExecutionError``.
    """
    chains, count = [], 0
    for backend, family, names, rules in _filters(legacy):
        if any(UFW_CHAIN.fullmatch(each) and each not in declared for each in names):
            mine = [each for each in names if UFW_CHAINS.match(each) and each not in declared]
            chains += [(backend, family, each) for each in mine]
            count += sum(rules(each) for each in mine)
    return Live(chains, count)


def _filters(legacy: Tables | None) -> Iterator[tuple[str, str, list[str], Any]]:
    """The table filter of each backend and family: the names of its chains, and how many rules one has."""
    known = firewall_nftables.chains()
    for of, family in firewall_native.FAMILIES.items():
        names = [each.name for each in known if each.table == (of, "filter")]
        if names:
            listed: list[firewall_nftables.Rule] = []
            if any(UFW_CHAIN.fullmatch(each) for each in names):
                listed = firewall_nftables.rules((of, "filter"))
            yield "nft", family, names, lambda chain, listed=listed: sum(each.chain == chain for each in listed)
    # Where there is none, to ask its commands would load its modules.
    there = [family for family, path in LEGACY.items() if "filter" in (host_files.read(path) or "").split()]
    if legacy is None:
        legacy = _read_legacy(there)
    for family in there:
        table = legacy.get(family, {}).get("filter", {})
        yield "legacy", family, list(table), lambda chain, table=table: len(table[chain]["rules"])


def _read_legacy(there: list[str]) -> Tables:
    """The table filter of legacy in some families."""
    jobs = {
        family: firewall_commands.Job([firewall_commands.command(family, "legacy", "save"), "-t", "filter"], reads=True)
        for family in there
    }
    found = {}
    for family, said in firewall_commands.together(jobs).items():
        if isinstance(said, CommandExecutionError):
            raise said
        found[family] = firewall_save.parse(said)
    return found


# --------------------------------------------------------------------------------------------------------------
# firewalld(1), and nft(8)


def _firewalld(natives: list[firewall_native.Native]) -> Manager | None:
    mine = [each for each in natives if each.table[1] == firewall_native.FIREWALLD]
    evidence = [f"its table {each.name} is live" for each in mine]
    if _runs(FIREWALLD_PID, "firewalld"):
        evidence.append("it runs")
    if boots := _at_boot(FIREWALLD):
        evidence.append(f"the next boot {boots} start it")
    if not evidence:
        return None
    return Manager(
        "firewalld",
        evidence,
        f"{sum(each.rules for each in mine)} rules in nf_tables" if mine else "rules of its zones",
        _later("firewalld", "'firewall-cmd --list-all-zones' prints them", "'systemctl disable --now firewalld'"),
    )


def _at_boot(unit: str) -> str:
    """Whether the next boot starts a unit: that it ``will`` or ``may``, or an empty text."""
    if unit not in boot_units.linked():
        return ""  # most hosts need not ask systemctl(1), which takes longer
    return {True: "will", None: "may", False: ""}[boot_units.start([unit]).starts]


def _runs(path: str, name: str) -> bool:
    """Whether the process of a file is a program of this name."""
    number = (host_files.read(path) or "").strip()
    words = host_files.read_bytes(f"/proc/{number}/cmdline") if number.isdigit() else None
    return any(os.path.basename(each) == name.encode() for each in (words or b"").split(b"\0"))


def _nftables(strangers: list[firewall_native.Native]) -> Manager | None:
    evidence = [f"{each.said} is live" for each in strangers]
    if boots := _at_boot(boot_rivals.NFTABLES):
        for path in boot_rivals.nft_scripts() or [boot_rivals.NFTABLES_FILE]:
            if DROPS.search(host_files.read(path) or ""):
                evidence.append(f"the next boot {boots} load {path}, which has rules that drop or reject")
    if not evidence:
        return None
    removal = ", ".join(f"'nft delete table {each.name}'" for each in strangers)
    ends = [f"'systemctl disable {boot_rivals.NFTABLES}' (to stop it flushes all rules)", removal]
    return Manager(
        "nftables",
        evidence,
        f"{sum(each.rules for each in strangers)} rules in tables of its own",
        _later("nftables", "'nft list ruleset' prints them", " and ".join(filter(None, ends))),
    )


def _later(name: str, shown: str, end: str) -> str:
    """What to do about a manager that has rules beside iptables': a packet has to pass both, so one can end after."""
    return (
        f"A packet has to pass its rules as well: what is expected of the pillar's alone would not be true. Write its "
        f"rules into the pillar ({shown}), name {name} under ipv6:firewall:beside, apply that, and then end it: {end}; "
        "then remove it from there. Or leave it there, where it is to stay"
    )
