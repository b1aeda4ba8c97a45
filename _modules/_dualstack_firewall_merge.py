"""
Live rules put back as they were, without those that somebody else has added meanwhile being lost. PURE: never accesses
the host.
"""

from __future__ import annotations

from collections import Counter

import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_save as firewall_save


def put_back(
    before: firewall_save.Tables, made: firewall_save.Tables, live: firewall_save.Tables
) -> firewall_save.Tables:
    """
    The tables of one family as they were before a change, and with what others have added since.

    before
        As they were.
    made
        As the change has made them, or would have.
    live
        As they are.
    """
    found = {}
    for table, chains in before.items():
        now = live.get(table, {})
        kept = {**_chains_of_others(chains, made.get(table, {}), now), **_table(table, chains, made, live)}
        while needed := _led_to(kept).intersection(now) - kept.keys():  # chains of ours that others lead to by now
            kept.update({chain: now[chain] for chain in needed})
        found[table] = kept
    return found


def _led_to(chains: firewall_save.Table) -> set[str]:
    return firewall_delta.targets([rule for each in chains.values() for rule in each["rules"]])


def _chains_of_others(
    before: firewall_save.Table, made: firewall_save.Table, live: firewall_save.Table
) -> firewall_save.Table:
    return {chain: each for chain, each in live.items() if chain not in before and chain not in made}


def _table(
    table: str, before: firewall_save.Table, made: firewall_save.Tables, live: firewall_save.Tables
) -> firewall_save.Table:
    found: firewall_save.Table = {}
    for chain, each in before.items():
        ours = made.get(table, {}).get(chain, each)["rules"]
        now = live.get(table, {}).get(chain, each)["rules"]
        found[chain] = {"policy": each["policy"], "rules": _rules(each["rules"], ours, now)}
    return found


def _rules(before: list[str], made: list[str], live: list[str]) -> list[str]:
    """The rules before, each added one behind the nearest rule before it that is there."""
    added = Counter(live) - (Counter(before) | Counter(made))
    rules = list(before)
    place = 0
    for rule in live:
        if added[rule]:
            added[rule] -= 1
            rules.insert(place, rule)
            place += 1
        elif rule in rules[place:]:
            place = rules.index(rule, place) + 1
    return rules
