"""Rules put back among those that somebody else has added meanwhile."""

from __future__ import annotations

import _dualstack_firewall_merge as firewall_merge
import _dualstack_firewall_save as firewall_save
import pytest


def table(*rules: str, chain: str = "INPUT", policy: str | None = "ACCEPT") -> firewall_save.Tables:
    """A table `filter` with one chain."""
    return {"filter": {chain: {"policy": policy, "rules": list(rules)}}}


@pytest.mark.parametrize(
    "before, made, live, after",
    [
        ("a b", "a c", "a c", "a b"),
        ("a b", "a c", "a b", "a b"),  # the change was never made
        ("a b", "a c", "x a c", "x a b"),  # -I, as fail2ban does
        ("a b", "a c", "a x c", "a x b"),
        ("a b", "a c", "a c x", "a x b"),
        ("a b", "c", "c x", "x a b"),
        ("a b", "a b c", "a x y b c", "a x y b"),
        ("", "a", "a x", "x"),
        ("a b", "", "x", "x a b"),
        ("a", "b", "x b x", "x x a"),  # the same rule twice is two rules
        ("a a", "a", "a", "a a"),
        ("a x", "a", "a x", "a x"),  # one that was there before is not doubled
        ("a b", "b a", "b x a", "a b x"),
        ("a b", "a", "a a", "a a b"),  # somebody has added a rule that was there already
        ("a b a c", "a b a", "a b a x", "a b a x c"),
    ],
)
def test_what_others_have_added_stays(before: str, made: str, live: str, after: str) -> None:
    tables = [table(*each.split()) for each in (before, made, live)]
    found = firewall_merge.put_back(*tables)["filter"]["INPUT"]["rules"]
    assert found == after.split()


def test_the_policy_is_the_one_before() -> None:
    assert firewall_merge.put_back(table(policy="ACCEPT"), table(policy="DROP"), table(policy="DROP")) == table()


def test_a_chain_that_others_have_made_meanwhile_stays_and_one_of_ours_does_not() -> None:
    before = table("a")
    made = {"filter": {**before["filter"], **table("b", chain="ours", policy=None)["filter"]}}
    live = {"filter": {**made["filter"], **table("c", chain="theirs", policy=None)["filter"]}}
    after = firewall_merge.put_back(before, made, live)
    assert after == {"filter": {**before["filter"], **table("c", chain="theirs", policy=None)["filter"]}}


def test_a_chain_of_ours_stays_while_a_rule_of_others_leads_to_it() -> None:
    """The kernel would not remove it; with the whole family, that would fail."""
    before = table("a")
    made = {"filter": {**table("a", "-j ours")["filter"], **table("b", chain="ours", policy=None)["filter"]}}
    live = {"filter": {**made["filter"], **table("a", "-j ours", "-s 192.0.2.1/32 -j ours")["filter"]}}
    after = firewall_merge.put_back(before, made, live)["filter"]
    assert after["INPUT"]["rules"] == ["a", "-s 192.0.2.1/32 -j ours"]
    assert after["ours"] == {"policy": None, "rules": ["b"]}


def test_a_table_that_was_not_there_before_is_as_it_was() -> None:
    empty = {"filter": firewall_save.empty("filter")}
    assert firewall_merge.put_back(empty, table("a"), table("a")) == empty
