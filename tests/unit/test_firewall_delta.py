"""The minimal change between tables."""

from __future__ import annotations

import random

import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_save as firewall_save
import pytest

LIVE: firewall_save.Tables = {
    "filter": {
        "INPUT": {"policy": "ACCEPT", "rules": ["-j f2b-sshd", "-p tcp -j a", "-p udp -j b", "-j c"]},
        "FORWARD": {"policy": "DROP", "rules": ["-i docker0 -j ACCEPT"]},
        "OUTPUT": {"policy": "ACCEPT", "rules": []},
        "f2b-sshd": {"policy": None, "rules": ["-j RETURN"]},
        "OLD": {"policy": None, "rules": ["-j RETURN"]},
    }
}
PRESERVE = ["f2b-*", "docker0"]


def wanted(*rules: str, policy: str = "ACCEPT", forward: str = "") -> firewall_save.Tables:
    """The table filter with these rules in INPUT."""
    return {
        "filter": {
            "INPUT": {"policy": policy, "rules": list(rules)},
            "FORWARD": {"policy": forward, "rules": []},
            "OUTPUT": {"policy": "ACCEPT", "rules": []},
            "OLD": {"policy": None, "rules": ["-j RETURN"]},
        }
    }


def carried_out(rules: list[str], script: list[str]) -> list[str]:
    """What iptables-restore makes of a chain."""
    rules = list(rules)
    for line in script:
        verb, _, rest = line.split(" ", 2)
        if verb == "-D":
            del rules[int(rest) - 1]
        elif verb == "-A":
            rules.append(rest)
        else:
            number, _, rule = rest.partition(" ")
            rules.insert(int(number) - 1, rule)
    return rules


def test_nothing_to_do_is_nothing() -> None:
    same = firewall_delta.tables(LIVE, wanted("-p tcp -j a", "-p udp -j b", "-j c"), PRESERVE)
    assert (same["changes"], same["script"]) == ({}, "")
    assert same["after"] == LIVE


def test_only_what_differs_is_touched() -> None:
    found = firewall_delta.tables(LIVE, wanted("-p tcp -j a", "new", "-j c", "-p udp -j b", policy="DROP"), PRESERVE)
    assert found["changes"] == {
        "filter INPUT": {"policy": {"old": "ACCEPT", "new": "DROP"}, "added": ["new"], "moved": ["-p udp -j b"]}
    }
    assert found["script"].splitlines() == [
        "*filter", "-P INPUT DROP", "-D INPUT 3", "-A INPUT -p udp -j b", "-I INPUT 3 new", "COMMIT",
    ]  # fmt: skip


def test_rules_of_others_stay_behind_the_rule_that_they_follow() -> None:
    found = firewall_delta.tables(LIVE, wanted("first", "-p tcp -j a"), PRESERVE)
    assert found["after"]["filter"]["INPUT"]["rules"] == ["-j f2b-sshd", "first", "-p tcp -j a"]
    assert found["after"]["filter"]["f2b-sshd"] == LIVE["filter"]["f2b-sshd"]


@pytest.mark.parametrize(("stated", "is_then"), [("", "DROP"), ("ACCEPT", "ACCEPT")])
def test_a_policy_that_nobody_states_is_left_to_others(stated: str, is_then: str) -> None:
    found = firewall_delta.tables(LIVE, wanted(forward=stated), PRESERVE)
    assert found["after"]["filter"]["FORWARD"]["policy"] == is_then
    assert firewall_delta.tables(LIVE, wanted(forward=""), [])["after"]["filter"]["FORWARD"]["policy"] == "ACCEPT"


def test_chains_come_and_go() -> None:
    tables = wanted()
    del tables["filter"]["OLD"]
    tables["filter"]["NEW"] = {"policy": None, "rules": ["-j RETURN"]}
    script = firewall_delta.tables(LIVE, tables, PRESERVE)["script"].splitlines()
    assert script[1] == "-N NEW"
    assert script[-3:] == ["-F OLD", "-X OLD", "COMMIT"]


def test_a_wanted_rule_is_not_one_of_others() -> None:
    found = firewall_delta.tables(LIVE, wanted("-p tcp -j a", "-j f2b-sshd"), PRESERVE)
    assert found["after"]["filter"]["INPUT"]["rules"] == ["-p tcp -j a", "-j f2b-sshd"]


def test_registered_rules_stay() -> None:
    registered = {"filter": {"INPUT": ["-j c"]}}
    found = firewall_delta.tables(LIVE, wanted(), ["f2b-*", "docker0"], registered)
    assert found["after"]["filter"]["INPUT"]["rules"] == ["-j f2b-sshd", "-j c"]


def test_a_pattern_with_a_space_is_of_a_whole_rule() -> None:
    tables: firewall_save.Tables = {
        "nat": {"POSTROUTING": {"policy": "ACCEPT", "rules": ["-s a -d a -j MASQUERADE", "-s a -j MASQUERADE"]}}
    }
    kept = firewall_delta.own(tables, ["-s * -d * -j MASQUERADE"])
    assert kept["nat"]["POSTROUTING"]["rules"] == ["-s a -j MASQUERADE"]


def test_what_is_quoted_leads_nowhere() -> None:
    rule = '-m comment --comment "go -j f2b-sshd \\" -i docker0" -j ACCEPT'
    tables: firewall_save.Tables = {"filter": {"INPUT": {"policy": "DROP", "rules": [rule]}}}
    assert firewall_delta.own(tables, PRESERVE) == tables
    assert firewall_delta.targets([rule]) == {"ACCEPT"}


def test_stubs_for_what_is_led_to() -> None:
    tables: firewall_save.Tables = {
        "filter": {"INPUT": {"policy": "DROP", "rules": ["-j f2b-sshd", "-j f2b-mail", "-j LOG"]}}
    }
    assert set(firewall_delta.with_stubs(tables, PRESERVE)["filter"]) == {"INPUT", "f2b-sshd", "f2b-mail"}


def test_renamed() -> None:
    chains: firewall_save.Table = {
        "A": {"policy": None, "rules": ['-m comment --comment "x -j B" -j B']},
        "B": {"policy": None, "rules": []},
    }
    found = firewall_delta.renamed(chains, {"A": "B", "B": "C"})
    assert found == {
        "B": {"policy": None, "rules": ['-m comment --comment "x -j B" -j C']},
        "C": {"policy": None, "rules": []},
    }


def test_any_chain_becomes_any_other() -> None:
    chance = random.Random(3)
    for _ in range(3000):
        now, target = ([chance.choice("abcdefg") for _ in range(chance.randint(0, 9))] for _ in range(2))
        others = [f"-j f2b-{number}" for number in range(chance.randint(0, 3))]
        for rule in others:
            now.insert(chance.randint(0, len(now)), rule)
        live: firewall_save.Tables = {"raw": {"OUTPUT": {"policy": "ACCEPT", "rules": now}}}
        goal: firewall_save.Tables = {"raw": {"OUTPUT": {"policy": "ACCEPT", "rules": target}}}
        found = firewall_delta.tables(live, goal, PRESERVE)
        after = found["after"]["raw"]["OUTPUT"]["rules"]
        assert carried_out(now, found["script"].splitlines()[1:-1]) == after
        assert [rule for rule in after if rule not in others] == target
        assert [rule for rule in after if rule in others] == [rule for rule in now if rule in others]
        assert bool(found["changes"]) == bool(found["script"])


def test_a_long_chain_that_is_turned_round() -> None:
    rules = [f"rule {number}" for number in range(20_000)]
    kept = firewall_delta.tables(
        {"raw": {"OUTPUT": {"policy": "ACCEPT", "rules": rules}}},
        {"raw": {"OUTPUT": {"policy": "ACCEPT", "rules": rules[::-1]}}},
        [],
    )
    assert len(kept["changes"]["raw OUTPUT"]["moved"]) == len(rules) - 1


def test_what_is_reported_of_a_chain_that_comes_and_of_one_that_goes() -> None:
    tables = wanted("-p tcp -j a", "-p udp -j b", "-j c")
    del tables["filter"]["OLD"]
    tables["filter"]["NEW"] = {"policy": None, "rules": ["-j RETURN"]}
    tables["filter"]["BARE"] = {"policy": None, "rules": []}
    found = firewall_delta.tables(LIVE, tables, PRESERVE)
    assert found["changes"] == {
        "filter NEW": {"chain": {"old": "absent", "new": "present"}, "added": ["-j RETURN"]},
        "filter BARE": {"chain": {"old": "absent", "new": "present"}},
        "filter OLD": {"chain": {"old": "present", "new": "absent"}, "removed": ["-j RETURN"]},
    }
    assert "OLD" not in found["after"]["filter"]
    assert found["after"]["filter"]["BARE"] == {"policy": None, "rules": []}


def test_what_is_reported_of_rules() -> None:
    found = firewall_delta.tables(LIVE, wanted("-j c", "-p tcp -j a", "-j d", "-j d"), PRESERVE)
    assert found["changes"] == {
        "filter INPUT": {"removed": ["-p udp -j b"], "added": ["-j d", "-j d"], "moved": ["-p tcp -j a"]}
    }


def test_a_table_that_is_not_wanted_is_left_alone() -> None:
    live: firewall_save.Tables = {**LIVE, "nat": {"OUTPUT": {"policy": "ACCEPT", "rules": ["-j x"]}}}
    found = firewall_delta.tables(live, wanted("-p tcp -j a", "-p udp -j b", "-j c"), PRESERVE)
    assert (found["changes"], found["script"], found["after"]) == ({}, "", live)


def test_a_table_that_is_not_live_is_made() -> None:
    raw: firewall_save.Tables = {
        "raw": {"OUTPUT": {"policy": "ACCEPT", "rules": ["-j x"]}, "X": {"policy": None, "rules": []}}
    }
    found = firewall_delta.tables({}, raw, [])
    assert found["script"].splitlines() == ["*raw", "-N X", "-A OUTPUT -j x", "COMMIT"]
    assert found["after"]["raw"]["OUTPUT"] == {"policy": "ACCEPT", "rules": ["-j x"]}
    assert set(found["changes"]) == {"raw OUTPUT", "raw X"}


@pytest.mark.parametrize("rule", ["-i docker0 -j ACCEPT", "-o docker0 -j ACCEPT", "-g f2b-x", "-p tcp -j f2b-x"])
def test_a_rule_that_names_what_belongs_to_others_is_theirs(rule: str) -> None:
    live: firewall_save.Tables = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": [rule, "-j c", rule]}}}
    empty: firewall_save.Tables = {"filter": {"INPUT": {"policy": "", "rules": []}}}
    found = firewall_delta.tables(live, empty, PRESERVE)
    assert found["after"]["filter"]["INPUT"] == {"policy": "ACCEPT", "rules": [rule, rule]}
    assert firewall_delta.own(live, PRESERVE)["filter"]["INPUT"]["rules"] == ["-j c"]
    assert firewall_delta.tables(live, empty, [])["after"]["filter"]["INPUT"]["rules"] == []


def test_one_of_two_equal_rules_is_kept() -> None:
    """Those that are one too many are removed; a registered rule is kept beside a wanted one that is the same."""
    live: firewall_save.Tables = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-j c", "-j c", "-j c"]}}}
    one: firewall_save.Tables = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-j c"]}}}
    found = firewall_delta.tables(live, one, [])
    assert found["changes"] == {"filter INPUT": {"removed": ["-j c", "-j c"]}}
    assert found["after"] == one
    assert firewall_delta.tables(live, one, [], {"filter": {"INPUT": ["-j c"]}})["changes"] == {}
