"""
What has to change to turn one set of tables into another, and nothing more. PURE: never accesses the host.

Only rules that differ are touched. So the counters of all others, and what the kernel remembers for them (``limit``,
``recent``, ``quota``), survive, and what belongs to others stays where it is.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import _dualstack_firewall_save as firewall_save

TARGETS = re.compile(r"(?:^| )(?:-j|-g) (\S+)", re.MULTILINE)
NAMES = re.compile(r"(?:^| )(?:-j|-g|-i|-o|--match-set|--add-set|--del-set|--map-set|--name) (\S+)", re.MULTILINE)
WILD = re.compile(r"[*?]|\[!?.[^]]*\]")  # in a pattern, what stands for other text
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')

Singles = dict[str, dict[str, list[str]]]  # rules, by table and chain


class Others(NamedTuple):
    """
    What in one family's tables belongs to others: chains, and rules.

    preserve
        The patterns of names of chains, interfaces and sets, as in a shell, or of whole rules.
    registered
        Single rules of other formulas: they stay where they are.
    made
        What is ours whatever it is called, since it was declared. A chain with a name of others is ours as a whole if
        it is in ``chains``; otherwise only these rules of it are.
    chains
        The declared chains of each table.
    known
        What else we have made and may take away, where that is known: any other rule is foreign.
    keep
        Whether what is foreign belongs to others, too.
    """

    preserve: list[str]
    registered: Singles = {}
    made: Singles = {}
    chains: dict[str, list[str]] = {}
    known: Singles | None = None
    keep: bool = False

    def chain(self, table: str, chain: str) -> bool:
        """Whether a chain belongs to others."""
        if chain in self.chains.get(table, ()):
            return False
        return foreign(chain, self.preserve) or (self.keep and self._is_foreign(table, chain))

    def _is_foreign(self, table: str, chain: str) -> bool:
        ours = (self.made.get(table, {}), (self.known or {}).get(table, {}))
        return chain not in firewall_save.BUILT_IN.get(table, ()) and not any(chain in each for each in ours)

    def alien(self, table: str, chain: str, rules: list[str]) -> set[str]:
        """Those of a chain's rules that belong to others."""
        if self.keep:
            away = set(rules) - set((self.known or {}).get(table, {}).get(chain, ()))
        else:
            away = set(rules) if self.chain(table, chain) else leading_away(rules, self.preserve)
        return away - set(self.made.get(table, {}).get(chain, ())) if away else away

    def foreign(self, table: str, chain: str, rules: list[str]) -> list[str]:
        """Those of a chain's rules that nobody of us has made, as far as that is known."""
        if self.known is None:
            return []
        ours = {*self.known.get(table, {}).get(chain, ()), *self.made.get(table, {}).get(chain, ())}
        return [rule for rule in rules if rule not in ours]


class Delta(TypedDict):
    """What has to change, the script for it, and the result."""

    changes: dict[str, Any]
    script: str
    after: firewall_save.Tables


def foreign(name: str, preserve: Sequence[str]) -> bool:
    """
    Whether a chain or an interface belongs to others.

    name
        Of the chain or interface.
    preserve
        The patterns of such names, as in a shell: ``DOCKER*``.
    """
    return bool(_pattern(tuple(preserve)).match(name))


@functools.lru_cache(maxsize=8)
def _pattern(preserve: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(each) for each in preserve) or "(?!)")


def targets(rules: list[str]) -> set[str]:
    """
    The targets that rules jump or go to.

    rules
        Without their ``-A CHAIN``.
    """
    return set(_targets(tuple(rules)))


@functools.lru_cache(maxsize=16)
def _targets(rules: tuple[str, ...]) -> frozenset[str]:
    return frozenset(TARGETS.findall(_unquoted("\n".join(rules))))


def own(tables: firewall_save.Tables, others: Others) -> firewall_save.Tables:
    """
    Tables without the chains of others and the rules that lead to them.

    tables
        Of one family.
    others
        What belongs to others.

    Of a chain of others only our own rules are kept, and no chain that has none.
    """
    return {table: _own(table, chains, others) for table, chains in tables.items()}


def _own(table: str, chains: firewall_save.Table, others: Others) -> firewall_save.Table:
    kept: firewall_save.Table = {}
    for chain, each in chains.items():
        away = others.alien(table, chain, each["rules"])
        rules = [rule for rule in each["rules"] if rule not in away] if away else each["rules"]
        if rules or not others.chain(table, chain):
            kept[chain] = {"policy": each["policy"], "rules": rules}
    return kept


def with_stubs(tables: firewall_save.Tables, preserve: list[str]) -> firewall_save.Tables:
    """
    Tables with an empty chain for each of the chains of others that their rules lead to and that they lack.

    tables
        Of one family.
    preserve
        The patterns of names that belong to others.
    """
    return {table: {**chains, **_stubs(chains, preserve)} for table, chains in tables.items()}


def renamed(chains: firewall_save.Table, names: dict[str, str]) -> firewall_save.Table:
    """
    The chains of one table under other names, in the rules that lead to them as well. None of them has a policy.

    chains
        Of one table.
    names
        The new name of each.
    """
    return {
        names[chain]: {"policy": None, "rules": [_led_to(rule, names) for rule in each["rules"]]}
        for chain, each in chains.items()
    }


def _led_to(rule: str, names: dict[str, str]) -> str:
    """A rule with the new name of the chain that it leads to. Quoted text is not changed."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', rule)
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(
            r"((?:^| )(?:-j|-g) )(\S+)", lambda found: found[1] + names.get(found[2], found[2]), parts[index]
        )
    return "".join(parts)


def _stubs(chains: firewall_save.Table, preserve: list[str]) -> firewall_save.Table:
    led_to = {name for each in chains.values() for name in targets(each["rules"])} if preserve else set()
    missing = sorted(name for name in led_to - set(chains) if foreign(name, preserve))
    return {name: {"policy": None, "rules": []} for name in missing}


def tables(live: firewall_save.Tables, wanted: firewall_save.Tables, others: Others, numbered: bool = True) -> Delta:
    """
    Compare the tables of one family with the wanted ones.

    live, wanted
        The tables, both in the form that the kernel gives them. A table that is not wanted is ignored; one that is not
        live is empty. A wanted policy of ``""`` is left as it is. Rules of others may be wanted where they are: those
        that are not live are not made.
    others
        What belongs to others: their chains, and rules that lead there, stay if not wanted.
    numbered
        Rules are deleted by their numbers. Otherwise by their text: the script then does what is wanted even if
        somebody else has added or deleted rules meanwhile.

    Returns ``changes``, by ``"table CHAIN"`` with ``policy`` (``old``, ``new``), ``removed``, ``added``, ``moved``, and
    ``foreign``, what is removed though nobody of us is known to have made it; ``script``, for iptables-restore
    --noflush; and ``after``, all tables as they will be then.
    """
    changes: dict[str, Any] = {}
    script: list[str] = []
    after = dict(live)
    for table, chains in wanted.items():
        found, lines, after[table] = _table(table, live.get(table, {}), chains, others, numbered)
        changes.update({f"{table} {chain}": change for chain, change in found.items()})
        if lines:
            script += [f"*{table}", *lines, "COMMIT"]
    return {"changes": changes, "script": "".join(f"{line}\n" for line in script), "after": after}


def _table(
    table: str, live: firewall_save.Table, wanted: firewall_save.Table, others: Others, numbered: bool
) -> tuple[dict[str, Any], list[str], firewall_save.Table]:
    """One table: the changes by chain, the lines for iptables-restore, and the chains afterwards."""
    registered, made = others.registered.get(table, {}), others.made.get(table, {})
    changes: dict[str, Any] = {}
    created, edits, removed = [], [], []
    after: firewall_save.Table = {}
    for chain, target in wanted.items():
        new: firewall_save.Chain = {"policy": None if target["policy"] is None else "ACCEPT", "rules": []}
        now = live.get(chain, new)
        change: dict[str, Any]
        alien = others.alien(table, chain, now["rules"] + target["rules"])
        there = Counter(now["rules"])
        wish = [rule for rule in target["rules"] if rule not in alien or there[rule]]  # it may have gone meanwhile
        theirs = _rest(now["rules"], wish, alien | set(registered.get(chain, ())))
        change, lines, rules = _rules(chain, now["rules"], wish, theirs, numbered)
        change = _by_origin(change, others, table, chain)
        policy = now["policy"] if target["policy"] == firewall_save.UNSAID else target["policy"]
        if policy != now["policy"]:
            edits.append(f"-P {chain} {policy}")
            change = {"policy": {"old": now["policy"], "new": policy}, **change}
        if chain not in live and policy is None:
            created.append(f"-N {chain}")
            change = {"chain": {"old": "absent", "new": "present"}, **change}
        edits += lines
        after[chain] = {"policy": policy, "rules": rules}
        changes[chain] = change
    for chain, each in live.items():
        if chain in wanted:
            continue
        if others.chain(table, chain):
            gone = set(made.get(chain, ())) - set(registered.get(chain, ()))
            left = [rule for rule in each["rules"] if rule not in gone]
            change, lines, rules = _rules(chain, each["rules"], left, set(), numbered)
            after[chain] = {"policy": each["policy"], "rules": rules}
            edits += lines
            changes[chain] = change
        else:
            removed.append(chain)
            gone_with = _by_origin({"removed": each["rules"]}, others, table, chain)
            changes[chain] = {"chain": {"old": "present", "new": "absent"}, **gone_with}
    # A chain can be deleted only when nothing leads to it, so all are emptied first.
    lines = [*created, *edits, *(f"-F {chain}" for chain in removed), *(f"-X {chain}" for chain in removed)]
    return {chain: change for chain, change in changes.items() if change}, lines, after


def _rules(
    chain: str, now: list[str], target: list[str], theirs: set[int], numbered: bool
) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """
    One chain: the change, the lines for iptables-restore, and the rules afterwards.

    A rule of others keeps its place after our rule that it follows, or at the top.
    """
    if now == target:
        return {}, [], now
    if theirs and [rule for index, rule in enumerate(now) if index not in theirs] == target:
        return {}, [], now
    kept = _kept(now, target, theirs)
    gone = [index for index in range(len(now)) if index not in kept and index not in theirs]
    if not numbered:  # of equal rules, the first is deleted: so all of ours go, and what stays is new
        texts = {now[index] for index in gone}
        kept = {index: position for index, position in kept.items() if now[index] not in texts}
        gone = [index for index in range(len(now)) if index not in kept and index not in theirs]
    staying = [index for index in range(len(now)) if index in kept or index in theirs]
    lines = [f"-D {chain} {index + 1 if numbered else now[index]}".rstrip() for index in reversed(gone)]

    # New rules are inserted from the bottom up, each before a rule that stays: so no number ever refers to a rule that
    # is itself new, which iptables-nft-restore cannot handle.
    rules = [now[index] for index in staying]
    fixed = [(place, kept[index]) for place, index in enumerate(staying) if index in kept]
    following, end = None, len(target)
    for place, position in reversed([(-1, -1), *fixed]):
        new = target[position + 1 : end]
        if following is None:
            lines += [f"-A {chain} {rule}".rstrip() for rule in new]
            rules += new
        else:
            lines += [f"-I {chain} {number} {rule}".rstrip() for number, rule in enumerate(new, following + 1)]
            rules[following:following] = new
        following, end = place, position
    return _told([now[index] for index in gone], _without(target, set(kept.values()))), lines, rules


def _by_origin(change: dict[str, Any], others: Others, table: str, chain: str) -> dict[str, Any]:
    """A chain's change, with what is removed though we have not made it by itself."""
    removed = change.get("removed", [])
    foreign_ones = others.foreign(table, chain, removed)
    if not foreign_ones:
        return change
    ours = _less(removed, Counter(foreign_ones))
    rest = {key: rules for key, rules in change.items() if key != "removed"}
    return {"foreign": foreign_ones, **({"removed": ours} if ours else {}), **rest}


def _rest(now: list[str], target: list[str], others: set[str]) -> set[int]:
    """The places of those rules of others that are not wanted."""
    if not others:
        return set()
    wanted = Counter(target)
    found = set()
    for index, rule in enumerate(now):
        if wanted[rule] > 0:
            wanted[rule] -= 1
        elif rule in others:
            found.add(index)
    return found


def leading_away(rules: list[str], preserve: list[str]) -> set[str]:
    """
    The rules that lead to a chain of others, name an interface or a set of theirs, or are preserved as a whole.

    rules
        Without their ``-A CHAIN``.
    preserve
        The patterns.
    """
    return set(_leading_away(tuple(rules), tuple(preserve)))


@functools.lru_cache(maxsize=16)  # a run asks of the same chains again and again
def _leading_away(rules: tuple[str, ...], preserve: tuple[str, ...]) -> frozenset[str]:
    text = "\n".join(rules)
    names = set(NAMES.findall(_unquoted(text)))  # few, where there are thousands of rules
    others = {name for name in names if foreign(name, preserve)}
    found = {rule for rule in rules if others.intersection(NAMES.findall(_unquoted(rule)))} if others else set()
    whole = tuple(each for each in preserve if " " in each and all(part in text for part in _certain(each)))
    return frozenset(found.union(rule for rule in rules if foreign(rule, whole)) if whole else found)


@functools.lru_cache(maxsize=256)
def _certain(pattern: str) -> list[str]:
    """The parts of a pattern that whatever matches it has in it."""
    return WILD.split(pattern)


def _kept(now: list[str], target: list[str], theirs: set[int]) -> dict[int, int]:
    """
    The rules that stay: their place now, and in the target; as many as keep their order.

    The n-th of equal rules matches the n-th. The rules that keep their order are a longest increasing subsequence,
    which patience sorting finds in O(n log n); a diff by lines would need O(n^2) for a reversed chain.
    """
    if not now or not target:
        return {}
    places: dict[str, deque[int]] = {}
    for position, rule in enumerate(target):
        places.setdefault(rule, deque()).append(position)
    tops: list[int] = []  # the smallest target place that ends an increasing sequence of each length
    ends: list[int] = []  # the rule at that place
    before: dict[int, int | None] = {}
    at: dict[int, int] = {}
    for index, rule in enumerate(now):
        if index in theirs or not places.get(rule):
            continue
        position = at[index] = places[rule].popleft()
        length = bisect_left(tops, position)
        before[index] = ends[length - 1] if length else None
        tops[length : length + 1] = [position]
        ends[length : length + 1] = [index]
    kept = {}
    index_or_none = ends[-1] if ends else None
    while index_or_none is not None:
        kept[index_or_none] = at[index_or_none]
        index_or_none = before[index_or_none]
    return kept


def _without(target: list[str], places: set[int]) -> list[str]:
    return [rule for position, rule in enumerate(target) if position not in places]


def _told(gone: list[str], new: list[str]) -> dict[str, list[str]]:
    """What is removed and what is added; what is both is only moved."""
    moved = Counter(gone) & Counter(new)
    told = {"removed": _less(gone, moved), "added": _less(new, moved), "moved": list(moved.elements())}
    return {key: rules for key, rules in told.items() if rules}


def _less(rules: list[str], fewer: Counter[str]) -> list[str]:
    if not fewer:
        return list(rules)
    left = Counter(fewer)
    result = []
    for rule in rules:
        if left[rule] > 0:
            left[rule] -= 1
        else:
            result.append(rule)
    return result


def _unquoted(rule: str) -> str:
    return QUOTED.sub("", rule) if '"' in rule else rule
