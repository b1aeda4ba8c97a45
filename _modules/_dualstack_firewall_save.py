"""
The text of iptables-save and iptables-restore, and the tables in it. PURE: never accesses the host.

*Tables* are plain data: ``{table: {chain: {"policy": "DROP", "rules": ["-p tcp -j ACCEPT"]}}}``, for one family, in
order. The policy of a user's chain is ``None``, and an unstated one is ``""``; a rule is without its ``-A CHAIN``.
"""

from __future__ import annotations

from typing import TypedDict

from salt.exceptions import CommandExecutionError


class Chain(TypedDict):
    """A chain of a table."""

    policy: str | None
    rules: list[str]


Table = dict[str, Chain]
Tables = dict[str, Table]

# Every table's own chains, in the order in which iptables-save prints them.
BUILT_IN = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
UNSAID = ""  # the unstated policy of a built-in chain
NOWHERE = "\n"  # how no line begins
POLICIES = {None: "-", UNSAID: "ACCEPT"}


def empty(table: str) -> Table:
    """
    A table as the kernel has it before its first use: a table that does not exist means the same.

    table
        Its name.
    """
    return {chain: {"policy": "ACCEPT", "rules": []} for chain in BUILT_IN[table]}


def different(one: Table, other: Table) -> list[str]:
    """
    The chains that differ between two states of a table.

    one, other
        The table.
    """
    return sorted(chain for chain in one.keys() | other.keys() if one.get(chain) != other.get(chain))


def parse(text: str) -> Tables:
    """
    Read what iptables-save or ip6tables-save prints, with or without counters.

    text
        The whole of it.

    Returns the tables. Raises ``CommandExecutionError`` for an incomplete text: a table without its COMMIT, or a line
    that no restore would accept.
    """
    tables: Tables = {}
    table: Table | None = None
    same, rules = NOWHERE, [""]  # how a rule of the same chain as the last one begins, and the rules of that
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith(same):  # as most, of which there may be thousands
            rules.append(line[len(same) :].rstrip())
            continue
        if line.startswith("["):  # counters
            line = line.partition("] ")[2]
        if line.startswith("-A ") and table is not None:
            chain, _, rule = line[3:].partition(" ")
            if chain in table:
                rules, same = table[chain]["rules"], f"-A {chain} "
                rules.append(rule.rstrip())
                continue
        elif line.startswith(":") and table is not None:
            chain, policy = line[1:].split()[:2]
            same = NOWHERE
            table[chain] = {"policy": None if policy == "-" else policy, "rules": []}
            continue
        elif line.startswith("*") and table is None:
            table = tables.setdefault(line[1:].strip(), {})
            continue
        elif line.rstrip() == "COMMIT" and table is not None:
            table, same = None, NOWHERE
            continue
        elif "incompatible, use 'nft' tool" in line:
            raise CommandExecutionError(f"iptables cannot read a table that nft(8) has written: {line.lstrip('# ')}")
        elif not line.strip() or line.startswith("#"):
            continue
        raise CommandExecutionError(f"line {number} does not belong in an iptables ruleset: {line!r}")
    if table is not None:
        raise CommandExecutionError("the ruleset ends without COMMIT")
    return tables


def render(tables: Tables) -> str:
    """
    Write tables as iptables-restore takes them.

    tables
        Of one family.
    """
    lines = []
    for table, chains in tables.items():
        lines.append(f"*{table}")
        lines += [f":{chain} {POLICIES.get(each['policy'], each['policy'])} [0:0]" for chain, each in chains.items()]
        for chain, each in chains.items():
            lines += [f"-A {chain} {rule}" if rule else f"-A {chain}" for rule in each["rules"]]
        lines.append("COMMIT")
    return "\n".join([*lines, ""])
