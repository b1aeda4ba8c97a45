"""
The rules of both families folded into one list: a live firewall as a pillar, and where its families disagree.

It never accesses the host. A rule of IPv4 and one of IPv6 are *twins* if ``firewall_rules.translate`` makes the second
of the first. Twins that stand in the same order in both families become one rule; every other rule stays one of its
family. So the folded list, translated again, gives each family exactly its original rules, in their order.

*Tables* are those of ``firewall_save``, in the kernel's form and without what belongs to others.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import _dualstack_families as families
import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_essential as firewall_essential
import _dualstack_firewall_rules as firewall_rules
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_words as firewall_words
import _dualstack_settings_tunnels as settings_tunnels
from salt.exceptions import SaltInvocationError

UNTOUCHED: dict[str, Any] = {"policy": "ACCEPT", "rules": []}  # an unused built-in chain

QUOTING = re.compile(r"[\"'\\#$`]")  # in a rule: some of its words may be quoted, or need quotes
BARE = re.compile(r"[^\s\"'\\#$`]+")
SPECIAL = re.compile(r"[\"\\$`]")  # within double quotes

# What firewall_ruleset puts in front of a family's chains, beside what IPv6 needs. The kernel spells it differently.
IMPLIED = {"clamp_mss": "ipv6", "tunnel:endpoint": "ipv4", "tunnel:account": "ipv4"}
HOST = re.compile(r"^(-[sd] [0-9.]+) ")

# ip6tables also accepts protocols that no IPv6 packet has there. The rule language translates them to what was probably
# meant; only a hexadecimal number is left as it is.
HEXADECIMAL = {"icmp": "0x1", "1": "0x1", "ipv6-route": "0x2b", "ipv6-frag": "0x2c", "ah": "0x33", "ipv6-opts": "0x3c"}
WITH_PROTOCOL = ("-p", "--ctproto", "--vproto")

ORDER = 3  # the least serious finding of an audit

Chains = dict[tuple[str, str], dict[str, Any]]
Translate = Callable[..., dict[str, Any]]
Pairs = list[tuple[int, int]]


# --------------------------------------------------------------------------------------------------------------
# A pillar to start from


def adopt(
    tables: dict[str, Any], tunnel: dict[str, Any] | None = None, sets: dict[str, str] | None = None
) -> dict[str, Any]:
    """
    A firewall for the pillar that means exactly the given tables.

    tables
        Of each family. If one family is missing, the rules of the other are taken as meant for both.
    tunnel
        As in the pillar ``ipv6:tunnel``; the rules that follow from it are left out.
    sets
        The family of each set of ipset(8), as ``firewall_kernel.set_families`` returns it.

    Returns ``tables`` and ``icmpv6_essential``, as in the pillar ``ipv6:firewall``, and ``clamp_mss`` if that is done.
    Raises ``SaltInvocationError`` with every rule that the pillar cannot express, one per line.
    """
    chains = side_by_side(tables)
    firewall: dict[str, Any] = {**without_implied(chains, tunnel, list(tables)), "tables": {}}
    translate = translator(sets)
    problems: list[str] = []
    for (table, chain), both in chains.items():
        rules, refused = _folded(both, translate)
        problems += [f"tables:{table}:{chain}: {each}" for each in refused]
        family = {"family": next(iter(both))} if len(both) < len(tables) else {}
        firewall["tables"].setdefault(table, {})[chain] = {**family, **policy(both), "rules": rules}
    if problems:
        raise SaltInvocationError("\n".join(problems))
    return firewall


def side_by_side(tables: dict[str, Any]) -> Chains:
    """
    By table and chain, what each family has there; a user's chain may be in one of them only.

    tables
        Of each family.
    """
    found = {}
    for table, own in firewall_save.BUILT_IN.items():
        live = {family: each.get(table, {}) for family, each in tables.items()}
        for chain in (*own, *sorted(set().union(*live.values()) - set(own))):
            both = {
                family: {**each, "rules": list(each["rules"])}
                for family, chains in live.items()
                if (each := chains.get(chain, UNTOUCHED if chain in own else None))
            }
            if any(each != UNTOUCHED for each in both.values()):
                found[table, chain] = both
    return found


def policy(both: dict[str, Any]) -> dict[str, Any]:
    """
    The key ``policy`` of a chain in the pillar, if it has one.

    both
        The chain of each family.
    """
    policies = {family: each["policy"] for family, each in both.items()}
    distinct = set(policies.values())
    if len(distinct) > 1:
        return {"policy": policies}
    return {} if distinct == {None} else {"policy": distinct.pop()}


def _folded(both: dict[str, Any], translate: Translate) -> tuple[list[Any], list[str]]:
    """The rules of a chain in the pillar's language, and those that it cannot express."""
    rules = _by_family(both)
    twins = _in_order(_twins(rules, translate))
    folded: list[Any] = []
    refused = []
    start = dict.fromkeys(families.FAMILIES, 0)
    for twin in [*twins, None]:
        for family, end in zip(families.FAMILIES, twin or map(len, rules.values())):
            for rule in rules[family][start[family] : end]:
                words = _of_one_family(rule, family, families.other(family) in both, translate)
                if words:
                    folded.append(words)
                else:
                    refused.append(f"the pillar cannot express the {families.NAMES[family]} rule `{rule}`")
            start[family] = end + 1
        if twin:
            folded.append(in_shell_words(rules["ipv4"][twin[0]]))
    return folded, refused


def _of_one_family(rule: str, family: str, other_has_chain: bool, translate: Translate) -> str | dict[str, str] | None:
    """The words that give this family the rule, and the other none. The result has been tested."""
    translated = translate(rule)
    if translated[family] == [rule] and not translated["warnings"]:
        if not (other_has_chain and translated[families.other(family)]):
            return in_shell_words(rule)
    for text in (rule, _with_hexadecimal_protocols(rule)):
        if translate(text, family)[family] == [text]:
            return {"family": family, "rule": in_shell_words(text)}
    return None


def _with_hexadecimal_protocols(rule: str) -> str:
    words = firewall_words.split(rule)
    spelled = [
        HEXADECIMAL.get(word, word) if before in WITH_PROTOCOL else word for before, word in zip(["", *words], words)
    ]
    return firewall_words.join(spelled)


# --------------------------------------------------------------------------------------------------------------
# What the pillar need not contain


def without_implied(chains: Chains, tunnel: dict[str, Any] | None, present: list[str]) -> dict[str, bool]:
    """
    Remove the implied rules from the chains.

    chains
        As :py:func:`side_by_side` returns them.
    tunnel
        As in the pillar ``ipv6:tunnel``.
    present
        The families that were given.

    Returns the keys of the pillar that imply them.
    """
    implied = {}
    if "ipv6" in present:
        implied["icmpv6_essential"] = _without_essential(chains, tunnel)
    for origin, fronts in _fronts(chains, tunnel).items():
        family = IMPLIED[origin]
        if family not in present:
            continue
        found = {place for place, front in fronts.items() if _rules(chains, place, family)[: len(front)] == front}
        implied[origin] = len(found) == len(fronts)
        if implied[origin] or origin.startswith("tunnel:"):  # of the tunnel, each rule by itself
            for place in found:
                del chains[place][family]["rules"][: len(fronts[place])]
    clamp = {"clamp_mss": True} if implied.get("clamp_mss") else {}
    return {"icmpv6_essential": implied.get("icmpv6_essential", True), **clamp}


def _without_essential(chains: Chains, tunnel: dict[str, Any] | None) -> bool:
    """Remove what IPv6 needs, if it is in every chain just where it would be put; returns whether it is."""
    names = settings_tunnels.interfaces(tunnel)
    own = {}
    for table, built_in in firewall_save.BUILT_IN.items():
        six = {chain: both["ipv6"] for (of, chain), both in chains.items() if of == table and "ipv6" in both}
        if not firewall_ruleset.needs_essential(table, six):
            continue
        users = firewall_essential.about(six)
        for chain in six.keys() & set(built_in):
            full = firewall_essential.saved(chain, names if table == "filter" else ())
            for rules in _candidates(six[chain]["rules"], full):
                placed = firewall_essential.placed(table, chain, rules, users, names).rules
                saved = [(place, list(map(_as_saved, more))) for place, more in placed]
                if firewall_essential.inserted(rules, saved) == six[chain]["rules"]:
                    own[table, chain] = rules
                    break
            else:
                return False
    for place, rules in own.items():
        chains[place]["ipv6"]["rules"] = rules
    return True


def _candidates(rules: list[str], full: list[str]) -> Iterator[list[str]]:
    """What a chain's own rules may be: without some that stand together in their order, or without each once."""
    start = 0
    while start < len(rules):
        position, end = 0, start
        while end < len(rules) and rules[end] in full[position:]:
            position = full.index(rules[end], position) + 1
            end += 1
        if end > start:
            yield rules[:start] + rules[end:]
        start = max(end, start + 1)
    left, once = list(full), []
    for rule in rules:
        if rule in left:
            left.remove(rule)
        else:
            once.append(rule)
    yield once


def _rules(chains: Chains, place: tuple[str, str], family: str) -> list[str]:
    rules: list[str] = chains.get(place, {}).get(family, UNTOUCHED)["rules"]
    return rules


def _fronts(chains: Chains, tunnel: dict[str, Any] | None) -> dict[str, dict[tuple[str, str], list[str]]]:
    """By what implies them, and by table and chain, the rules that a firewall with these chains would begin with."""
    outline: dict[str, Any] = defaultdict(dict)
    for (table, chain), both in chains.items():
        outline[table][chain] = {**policy(both), "rules": []}
    clamp = ("mangle", "FORWARD") in chains
    built = firewall_ruleset.build({"clamp_mss": clamp, "icmpv6_essential": False, "tables": outline}, tunnel)
    fronts: dict[str, dict[tuple[str, str], list[str]]] = {}
    for origin, family in IMPLIED.items():
        for table, origins_of in built["origins"][family].items():
            for chain, origins in origins_of.items():
                rules = built["tables"][family][table][chain]["rules"]
                front = [_as_saved(rule) for rule, each in zip(rules, origins) if each == origin]
                if front:
                    fronts.setdefault(origin, {})[table, chain] = front
    return fronts


def _as_saved(rule: str) -> str:
    """One of the implied rules as the kernel spells it."""
    return HOST.sub(r"\1/32 ", firewall_essential.as_saved(rule))


# --------------------------------------------------------------------------------------------------------------
# Where the families disagree


def audit(
    tables: dict[str, Any], tunnel: dict[str, Any] | None = None, sets: dict[str, str] | None = None
) -> list[dict[str, str]]:
    """
    Where the tables of the two families disagree: open here, shut there.

    tables
        Of each family.
    tunnel
        As in the pillar ``ipv6:tunnel``: rules that name its interface are for IPv6 alone.
    sets
        The family of each set of ipset(8), as ``firewall_kernel.set_families`` returns it.

    Returns for each disagreement ``table``, ``chain``, ``family``, ``rule`` (what only this family has) and ``text``, a
    sentence. Policies come first, then rules that accept, then other rules, and last those in another order. A rule
    that can exist in one family only is not a disagreement: with addresses, for a tunnel, for neighbour discovery.
    """
    chains = side_by_side({family: tables.get(family, {}) for family in families.FAMILIES})
    translate = translator(sets)
    ways = {f"{option} {name}" for option in ("-i", "-o") for name in settings_tunnels.interfaces(tunnel)}

    def expected(rule: str, family: str, table: str) -> bool:
        """Whether the other family rightly lacks a rule."""
        target = next(iter(firewall_delta.targets([rule])), "")
        return (
            not translate(rule)[families.other(family)]
            or any(f"{way} " in f"{rule} " for way in ways)
            or families.other(family) not in chains.get((table, target), families.FAMILIES)  # reported for the chain
        )

    ranked = []
    for (table, chain), both in chains.items():
        essential = firewall_essential.rules(chain, settings_tunnels.interfaces(tunnel))
        for rank, family, rule, text in _disagreements(table, chain, both, translate, expected, essential):
            finding = {"table": table, "chain": chain, "family": family, "rule": rule}
            ranked.append((rank, {**finding, "text": f"{table} {chain}: {text}"}))
    return [finding for _, finding in sorted(ranked, key=lambda each: each[0])]


def _disagreements(
    table: str,
    chain: str,
    both: dict[str, Any],
    translate: Translate,
    expected: Callable[[str, str, str], bool],
    essential: list[str],
) -> Iterator[tuple[int, str, str, str]]:
    """The weight of each, the family that has what the other lacks, what that is, and a sentence."""
    rules = _by_family(both)
    if len(both) < 2:
        family = next(iter(both))
        unexpected = [rule for rule in rules[family] if not expected(rule, family, table)]
        if unexpected:
            name = families.NAMES[family]
            text = f"only {name} has this chain, with rules that are not for {name} alone"
            yield min(map(_weight, unexpected)), family, f"-N {chain}", text
        return

    policies = {each["policy"]: family for family, each in both.items()}
    if len(policies) > 1:
        accepting, dropping = (families.NAMES[policies[policy]] for policy in ("ACCEPT", "DROP"))
        text = f"the policy is ACCEPT for {accepting} and DROP for {dropping}"
        yield 0, policies["ACCEPT"], f"-P {chain} ACCEPT", text

    twins = _twins(rules, translate)
    for position, family in enumerate(families.FAMILIES):
        paired = {twin[position] for twin in twins}
        for place, rule in enumerate(rules[family]):
            if place not in paired and not expected(rule, family, table) and not _let_in_by_all(rule, rules):
                yield _weight(rule), family, rule, _one_sided(rule, family)

    # What must be in IPv6 may stand in front there.
    needed = set(map(_as_saved, essential))
    ordered = [twin for twin in twins if rules["ipv6"][twin[1]] not in needed]
    for twin in sorted(set(ordered) - set(_in_order(ordered))):
        rule = rules["ipv4"][twin[0]]
        yield ORDER, "ipv4", rule, f"`{rule}` and the rules around it are in another order for IPv6"


def _weight(rule: str) -> int:
    return 1 if rule.endswith("-j ACCEPT") else 2


def _let_in_by_all(rule: str, rules: dict[str, list[str]]) -> bool:
    """Whether IPv6, which needs ICMPv6, accepts all of it, and thus the type that IPv4 accepts."""
    return rule.startswith("-p icmp ") and rule.endswith("-j ACCEPT") and "-p ipv6-icmp -j ACCEPT" in rules["ipv6"]


def _one_sided(rule: str, family: str) -> str:
    if family == "ipv6" and _with_hexadecimal_protocols(rule) != rule:
        return f"IPv6 has `{rule}`, but no packet has this protocol there"
    return f"{families.NAMES[family]} has `{rule}`, and {families.NAMES[families.other(family)]} has no such rule"


# --------------------------------------------------------------------------------------------------------------
# Twins


def translator(sets: dict[str, str] | None) -> Translate:
    """
    A live rule as the rule language translates it. A rule that needs ``family`` has no words for both.

    sets
        The family of each set of ipset(8), as ``firewall_kernel.set_families`` returns it.

    Returns a function of the rule, and of its family if that is given by hand.
    """

    @functools.lru_cache(maxsize=None)
    def translate(rule: str, family: str | None = None) -> dict[str, Any]:
        words = in_shell_words(rule)
        given = {"family": family, "rule": words} if family else words
        try:
            translated: dict[str, Any] = firewall_rules.translate(given, None, None, sets)
        except SaltInvocationError as error:
            return {"ipv4": [], "ipv6": [], "reasons": dict.fromkeys(families.FAMILIES, str(error)), "warnings": []}
        return translated

    return translate


def _twins(rules: dict[str, list[str]], translate: Translate) -> Pairs:
    """The places of twins, in IPv4's order: the n-th rule of IPv4 that has this twin, and the n-th such twin."""
    places: dict[str, deque[int]] = defaultdict(deque)
    for place, rule in enumerate(rules["ipv6"]):
        places[rule].append(place)
    pairs = []
    for place, rule in enumerate(rules["ipv4"]):
        translated = translate(rule)
        if translated["ipv4"] == [rule] and len(translated["ipv6"]) == 1 and places.get(translated["ipv6"][0]):
            pairs.append((place, places[translated["ipv6"][0]].popleft()))
    return pairs


def _in_order(pairs: Pairs) -> Pairs:
    """As many of the pairs as are in the same order in both families: a longest increasing subsequence."""
    tops: list[int] = []  # the smallest place in IPv6 that ends an increasing sequence of each length
    ends: list[int] = []  # the pair that it is of
    before: list[int | None] = []  # for each pair, the one in front of it
    for index, (_, place) in enumerate(pairs):
        length = bisect_left(tops, place)
        before.append(ends[length - 1] if length else None)
        tops[length : length + 1] = [place]
        ends[length : length + 1] = [index]
    kept = []
    last = ends[-1] if ends else None
    while last is not None:
        kept.append(pairs[last])
        last = before[last]
    return kept[::-1]


# --------------------------------------------------------------------------------------------------------------
# Words


def _by_family(both: dict[str, Any]) -> dict[str, list[str]]:
    return {family: [normal(rule) for rule in both.get(family, UNTOUCHED)["rules"]] for family in families.FAMILIES}


def normal(rule: str) -> str:
    """
    A live rule in the quoting of the rule language. A rule without words, which only counts, matches all packets.

    rule
        As iptables-save prints it, without its ``-A CHAIN``.
    """
    if not rule:
        return "-p all"
    if not QUOTING.search(rule):
        return rule
    return firewall_words.join(firewall_words.split(rule))


def in_shell_words(rule: str) -> str:
    """
    A rule as one would type it.

    rule
        In the quoting of the rule language.
    """
    if not QUOTING.search(rule):
        return rule
    return " ".join(map(_quoted, firewall_words.split(rule)))


def _quoted(word: str) -> str:
    if BARE.fullmatch(word):
        return word
    if "'" not in word and SPECIAL.search(word):
        return f"'{word}'"
    return '"' + SPECIAL.sub(r"\\\g<0>", word) + '"'
