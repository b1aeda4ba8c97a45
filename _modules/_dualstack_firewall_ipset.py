"""
The declared sets of ipset(8) in this host's kernel: how they differ, and the change that converges them.

A set that differs is made anew under another name, and takes the place of the old one in one step (``swap``): no packet
finds it empty. Sets that are not declared are never touched, but those that were declared before and nobody uses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_register as firewall_register
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_sets as firewall_sets
import _dualstack_firewall_sets_text as firewall_sets_text
import _dualstack_host_commands as host_commands
import _dualstack_transaction_journal as transaction_journal

USE = re.compile(r"(?:^| )--(?:match-set|add-set|del-set|map-set) (\S+)", re.MULTILINE)
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
LEFT = re.compile(rf"^create ({firewall_sets.TEMPORARY}\S+)", re.MULTILINE)
REFERENCES = re.compile(r"^Name: (\S+)$.*?^References: (\d+)$", re.MULTILINE | re.DOTALL)

Tables = Mapping[str, firewall_save.Tables]  # by family


class Change(NamedTuple):
    """The wanted sets that differ, those that go, and what there was of both."""

    wanted: dict[str, firewall_sets.Set]
    gone: list[str]
    before: dict[str, firewall_sets_text.Live]
    known: list[str]  # that are ours, after the change
    changes: dict[str, Any]  # for people
    warnings: list[str]
    problems: list[str]  # sentences that begin with a key

    @property
    def new(self) -> list[str]:
        """Those that are made."""
        return [each for each in self.wanted if each not in self.before]


NOTHING = Change({}, [], {}, [], {}, [], [])


def available() -> str:
    """
    The command ipset(8). Raises ``NotInstalled`` where there is none.
    """
    program = host_commands.which("ipset")
    if not program:
        raise firewall_commands.NotInstalled("ipset is not installed on this host, and the pillar has sets")
    return program


def holding(text: str) -> dict[str, str]:
    """
    For which family each set of this host is, as ``firewall_kernel.set_families`` returns it, with the twins that we
    have made.

    text
        The sets, as ipset save prints them.

    Raises ``CommandExecutionError``.
    """
    return firewall_sets.twins(firewall_kernel.set_families(text), firewall_register.sets())


def adopted(text: str) -> dict[str, Any]:
    """
    The sets that were declared on this host, as for the pillar: with what they hold now.

    text
        The sets, as ipset save prints them.

    Raises ``CommandExecutionError``.
    """
    return firewall_sets_text.declared(text, firewall_register.sets())


def used(tables: Tables) -> Counter[str]:
    """
    How often rules name each set.

    tables
        The rules of each family.
    """
    chains = (chain for each in tables.values() for table in each.values() for chain in table.values())
    return Counter(name for chain in chains for rule in chain["rules"] for name in _named(rule))


def _named(rule: str) -> list[str]:
    return USE.findall(QUOTED.sub("", rule)) if "-set " in rule else []


def compared(declared: firewall_sets.Reading, remembered: Collection[str], live: Tables, after: Tables) -> Change:
    """
    How the sets differ.

    declared
        Those of the pillar.
    remembered
        The names of those that were declared before.
    live, after
        All rules as they are, and as they are to be.

    Raises ``CommandExecutionError``.
    """
    wanted = declared.sets
    if not wanted and not remembered:
        return NOTHING
    if wanted:
        available()
    former = [each for each in remembered if each not in wanted]
    there = firewall_sets_text.parse(firewall_kernel.sets(), {*wanted, *former})
    found = {name: firewall_sets_text.difference(of, there.get(name)) for name, of in wanted.items()}
    differ = {name: wanted[name] for name, each in found.items() if each}
    retyped = [name for name, of in differ.items() if name in there and there[name].set.type != of.type]
    former = [each for each in former if each in there]
    uses = _references() if retyped or former else {}
    now, then = (used(each) if former else Counter() for each in (live, after))
    kept = [each for each in former if uses.get(each, 0) - now[each] + then[each] > 0]
    gone = [each for each in former if each not in kept]
    return Change(
        differ,
        gone,
        {name: there[name] for name in (*differ, *gone) if name in there},
        [*wanted, *kept],
        {
            **{name: found[name] for name in differ},
            **{name: {"old": there[name].set.type, "new": "absent"} for name in gone},
        },
        [
            f"sets: {each} is no longer declared, but rules or other sets still use it: it was left there"
            for each in kept
        ],
        [
            f"sets:{declared.origins[each]}:type: {each} is live as {there[each].set.type}, and wanted as "
            f"{wanted[each].type}: ipset(8) cannot change the type of a set that rules or other sets use; give it "
            "another name, or take those away first"
            for each in retyped
            if uses.get(each, 0)
        ],
    )


def _references() -> dict[str, int]:
    """How many rules and other sets use each set."""
    return {name: int(count) for name, count in REFERENCES.findall(firewall_commands.run([available(), "list", "-t"]))}


def prepare(change: Change) -> None:
    """
    Make the sets that differ what they are to be, before rules name them.

    change
        The change.

    Raises ``CommandExecutionError``.
    """
    _load(change.wanted)


def _load(wanted: Mapping[str, firewall_sets.Set]) -> None:
    if not wanted:
        return
    names = [f"{firewall_sets.TEMPORARY}{number}" for number in range(len(wanted))]
    text = firewall_kernel.sets()
    there = firewall_sets_text.parse(text, wanted)
    lines = [f"destroy {each}" for each in LEFT.findall(text)]  # by a run that was killed
    for name, (of_name, of) in zip(names, wanted.items()):
        live = there.get(of_name)
        if live and live.set.type != of.type:
            lines.append(f"destroy {of_name}")
            live = None
        lines += _lines(name if live else of_name, of, live)
        lines += [f"swap {name} {of_name}", f"destroy {name}"] if live else []
    restore(lines)


def _lines(name: str, of: firewall_sets.Set, live: firewall_sets_text.Live | None) -> Iterator[str]:
    """A set with its entries, and with those that others have put into it for a while."""
    yield firewall_sets_text.create(name, of)
    yield from firewall_sets_text.adding(name, of)
    if live and of.options["timeout"] is not None:
        for entry, words in live.passing.items():
            if entry not in of.entries:
                yield f"add {name} {entry}{_fitting(words, of)}"


def _fitting(words: str, of: firewall_sets.Set) -> str:
    """The words of an entry that the set knows."""
    words = words if of.options["comment"] else firewall_sets_text.COMMENT.sub("", words)
    return words if of.options["counters"] else re.sub(r" (packets|bytes) \d+", "", words)


def restore(lines: list[str]) -> None:
    """
    Have ipset(8) do several things, one after the other; the first that fails ends it.

    lines
        As ipset restore reads them.

    Raises ``CommandExecutionError``.
    """
    if lines:
        firewall_commands.run([available(), "restore"], "".join(f"{each}\n" for each in lines))


def finish(change: Change) -> None:
    """
    Take away the sets that nobody uses any more, after the rules have gone that did.

    change
        The change.

    Raises ``CommandExecutionError``.
    """
    restore([f"destroy {each}" for each in change.gone])


def put_back(change: Change) -> None:
    """
    The sets as they were, before the rules are put back that name them.

    change
        The change.

    Raises ``CommandExecutionError``.
    """
    there = firewall_sets_text.parse(firewall_kernel.sets(), change.before)
    for name, live in change.before.items():
        now = there.get(name)
        if now and now.lines == live.lines:
            continue
        back = f"{firewall_sets.TEMPORARY}back"
        lines = [line.replace(f" {name} ", f" {back} ", 1) for line in live.lines]
        if now and now.set.type == live.set.type:
            restore([*lines, f"swap {back} {name}", f"destroy {back}"])
        else:
            restore([*lines, *([f"destroy {name}"] if now else []), f"rename {back} {name}"])


def forget(change: Change) -> None:
    """
    Take away the sets that were made, once the rules are put back that did not name them.

    change
        The change.

    Raises ``CommandExecutionError``.
    """
    there = firewall_sets_text.parse(firewall_kernel.sets(), change.new)
    restore([f"destroy {each}" for each in change.new if each in there])


def images(change: Change) -> tuple[list[transaction_journal.Image], list[transaction_journal.Image]]:
    """
    How the sets were, for the restorer: what it puts back before the rules, and what it takes away after them.

    change
        The change.
    """
    first, last = [], []
    if change.before:
        texts = {
            f"{name}.set": "".join(f"{line.replace(f' {name} ', ' dualstack-back ', 1)}\n" for line in live.lines)
            for name, live in change.before.items()
        }
        first.append(transaction_journal.Image(("sets", *change.before), texts))
    if change.new:
        last.append(transaction_journal.Image(("newsets", *change.new)))
    return first, last


def missing(tables: Tables, origins: Mapping[str, Any], holding: Mapping[str, str]) -> list[str]:
    """
    The rules that name a set which is neither declared nor on this host.

    tables
        The declared ones of each family.
    origins
        Where each of their rules comes from.
    holding
        The sets that there are.

    Returns sentences that begin with the rule's key.
    """
    if not host_commands.which("ipset"):  # then it is not known which there are
        return []
    found: list[str] = []
    for family, each in tables.items():
        for table, chains in each.items():
            for chain, one in chains.items():
                for rule, origin in zip(one["rules"], origins[family][table][chain]):
                    found += [
                        f"{origin}: there is no set {name}: it is neither declared under `sets` nor on this host"
                        for name in _named(rule)
                        if name not in holding
                    ]
    return list(dict.fromkeys(found))
