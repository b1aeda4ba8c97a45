"""
What nft(8), or a program like it, has written, and iptables does not show: tables of its own that drop packets, and
rules in iptables' tables that iptables-save misreads.

Of ``ip saddr { 192.0.2.1 } tcp dport 22 accept`` in the table filter, iptables-save prints ``-p tcp --dport 22 -j
ACCEPT``. So whatever is not certain to come from iptables-nft counts as written by nft(8): a set, a rule without a
counter (iptables-nft gives one to each), and an expression that it does not use.

Source: nft-shared.c and nft.c of iptables 1.8; linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

import _dualstack_firewall_beside as firewall_beside
import _dualstack_firewall_memory as firewall_memory
import _dualstack_firewall_nftables as firewall_nftables
import _dualstack_firewall_save as firewall_save
from salt.exceptions import CommandExecutionError

FAMILIES = {"ip": "ipv4", "ip6": "ipv6"}
FILTERING = ("ip", "ip6", "inet", "netdev")  # what the others filter is no packet to or from an address of this host
FIREWALLD = "firewalld"  # the name of its tables
DROPPING = ("drop", "queue")
SHUTTING = ("reject", "synproxy", "queue")  # expressions
MEMORY = "dualstack_nftables"
QUICK = 0.01  # seconds: what takes no longer need not be remembered
VERDICT = 0  # the register of a verdict map's answer

# What iptables-nft makes rules of: expressions, parts of a packet (base, offset, length), and facts about it.
NAMES = firewall_nftables.other_names("match target counter immediate payload meta cmp bitwise range limit log".split())
FACTS = firewall_nftables.other_facts([3, 6, 7, 12, 16])  # NFT_META_MARK, _IIFNAME, _OIFNAME, _NFTRACE, _L4PROTO
NETWORK, TRANSPORT = 1, 2
PORTS_AND_FLAGS = [(TRANSPORT, 0, 2), (TRANSPORT, 2, 2), (TRANSPORT, 0, 4), (TRANSPORT, 13, 1)]
# The protocol, fragments, and the addresses or the beginnings of them.
PARTS = {
    "ip": firewall_nftables.other_parts(
        [*PORTS_AND_FLAGS, (NETWORK, 9, 1), (NETWORK, 6, 2)]
        + [(NETWORK, offset, size) for offset in (12, 16) for size in range(1, 5)]
    ),
    "ip6": firewall_nftables.other_parts(
        [*PORTS_AND_FLAGS, (NETWORK, 6, 1)] + [(NETWORK, offset, size) for offset in (8, 24) for size in range(1, 17)]
    ),
}


class Native(NamedTuple):
    """A table of its own that can drop packets: where it does, how many rules it has, and how many of them do."""

    table: firewall_nftables.Table
    hooks: list[str]
    policies: list[str]  # the chains whose policy is to drop
    rules: int
    dropping: int

    @property
    def name(self) -> str:
        """As nft(8) has it: ``inet filter``."""
        return " ".join(self.table)

    @property
    def said(self) -> str:
        """What it does, in words."""
        parts = [f"policy drop in {', '.join(self.policies)}"] if self.policies else []
        parts += [f"{self.dropping} of its {self.rules} rules drop or reject"] if self.dropping else []
        return f"the table {self.name} ({'; '.join(parts)}; hook {', '.join(self.hooks)})"


class Seen(NamedTuple):
    """The tables that can drop packets, and the tables of iptables' names that nft(8) has written: why, in words."""

    filtering: list[Native]
    written: dict[firewall_nftables.Table, str]


def look(cachedir: str = "") -> Seen:
    """
    What is in nf_tables and not of iptables. Of the tables that both have, those that nft(8) has written count.

    cachedir
        Salt's folder for what is remembered: that there was nothing of this, as long as nothing changes. To look at ten
        thousand rules takes as long as iptables-save.

    Raises ``Unseen``.
    """
    generation = firewall_nftables.generation() if cachedir else []
    known = {"generation": generation, "rooms": firewall_memory.rooms()} if generation else {}
    if known and firewall_memory.recall(cachedir, MEMORY) == known:
        return Seen([], {})
    began = time.monotonic()
    found = _look()
    late = time.monotonic() - began > QUICK
    if known and late and found == Seen([], {}) and firewall_nftables.generation() == generation:
        firewall_memory.keep(cachedir, known, MEMORY)
    return found


def _look() -> Seen:
    chains = firewall_nftables.chains()
    wrote = _written(chains)
    tables = list(dict.fromkeys(each.table for each in chains if each.hook and each.table[0] in FILTERING))
    found = [
        _native(table, [each for each in chains if each.table == table])
        for table in tables
        if table in wrote or not _shared(table)
    ]
    return Seen([each for each in found if each.policies or each.dropping], wrote)


def _native(table: firewall_nftables.Table, chains: list[firewall_nftables.Chain]) -> Native:
    rules = firewall_nftables.rules(table)
    hooks = list(dict.fromkeys(each.hook for each in chains if each.hook))
    policies = [each.name for each in chains if each.policy == "drop"]
    return Native(table, hooks, policies, len(rules), sum(map(_drops, rules)))


def _drops(rule: firewall_nftables.Rule) -> bool:
    """Whether a rule may drop a packet; a map whose answers are verdicts may."""
    for each in firewall_nftables.expressions(rule):
        if each.name in SHUTTING or firewall_nftables.verdict(each)[0] in DROPPING:
            return True
        if each.name == "lookup" and int.from_bytes(each.attributes.get(3, b"\1"), "big") == VERDICT:
            return True
    return False


def _shared(table: firewall_nftables.Table) -> bool:
    """Whether iptables-nft has this table as well."""
    return table[0] in FAMILIES and table[1] in firewall_save.BUILT_IN


def warnings(natives: Iterable[Native]) -> list[str]:
    """
    What is to be known about tables that filter as well.

    natives
        The tables.
    """
    return [f"nf_tables also filters here: {each.said}; a packet has to pass it as well" for each in natives]


def _written(chains: list[firewall_nftables.Chain]) -> dict[firewall_nftables.Table, str]:
    there = [each for each in firewall_nftables.tables() if _shared(each)]
    holding = firewall_nftables.sets() if there else []
    reasons = {table: _reason(table, holding, [each for each in chains if each.table == table]) for table in there}
    return {table: why for table, why in reasons.items() if why}


def _reason(
    table: firewall_nftables.Table, holding: list[firewall_nftables.Table], chains: list[firewall_nftables.Chain]
) -> str:
    for each in chains:
        if each.hook and each.hook.upper() != each.name:
            return f"its chain {each.name} has the hook {each.hook}"
    if table in holding:
        return "it has a set or a map"
    count, text = firewall_nftables.text(table)
    if unknown := {each.decode() for each in NAMES.findall(text)}:
        return f"its rules use {', '.join(sorted(unknown))}"
    if (counters := text.count(firewall_nftables.COUNTER)) < count:
        return f"{count - counters} of its {count} rules have no counter"
    if odd := PARTS[table[0]].search(text):
        base, offset, size = (int.from_bytes(each, "big") for each in odd.groups())
        layer = {NETWORK: "network", TRANSPORT: "transport"}.get(base, "link")
        return f"its rules compare {size} bytes at {offset} of the {layer} header"
    if FACTS.search(text):
        return "its rules compare what iptables does not, such as an interface's number"
    return ""


def misread(seen: Seen, tables: Collection[str] = tuple(firewall_save.BUILT_IN)) -> list[str]:
    """
    The tables that iptables-save misreads, since nft(8) has written them: a sentence for each.

    seen
        What was found.
    tables
        The names of those that are to be read or changed, in both families.
    """
    return [
        f"the table {name} ({FAMILIES[family]}) was written by nft(8), not by iptables ({why}), and iptables-save "
        f"misreads such rules: see 'nft list table {family} {name}'; write these rules into the pillar, or into a "
        f"table of another name, and remove it: 'nft delete table {family} {name}'"
        for (family, name), why in seen.written.items()
        if name in tables
    ]


def refuse_misread(backend: str) -> None:
    """
    Refuse to read iptables' tables where some of them were written by nft(8).

    backend
        ``nft`` or ``legacy``, by which they are to be read: nft(8) writes nothing into those of legacy.

    Raises ``CommandExecutionError`` with :py:func:`misread`; ``Unseen``, which is one.
    """
    if lines := misread(look()) if backend == "nft" else []:
        raise CommandExecutionError("\n".join(lines))


def unrelated(natives: Iterable[Native]) -> list[Native]:
    """
    Of tables that filter, those that are not of a program which drops only what is its own.

    natives
        The tables.
    """
    return [each for each in natives if not firewall_beside.is_neighbour(each.table[1])]
