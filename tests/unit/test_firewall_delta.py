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
OTHERS, NOBODY = firewall_delta.Others(PRESERVE), firewall_delta.Others([])


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
        if verb == "-D" and rest.isdigit():
            del rules[int(rest) - 1]
        elif verb == "-D":
            rules.remove(rest)
        elif verb == "-A":
            rules.append(rest)
        else:
            number, _, rule = rest.partition(" ")
            rules.insert(int(number) - 1, rule)
    return rules


def test_nothing_to_do_is_nothing() -> None:
    same = firewall_delta.tables(LIVE, wanted("-p tcp -j a", "-p udp -j b", "-j c"), OTHERS)
    assert (same["changes"], same["script"]) == ({}, "")
    assert same["after"] == LIVE


def test_only_what_differs_is_touched() -> None:
    found = firewall_delta.tables(LIVE, wanted("-p tcp -j a", "new", "-j c", "-p udp -j b", policy="DROP"), OTHERS)
    assert found["changes"] == {
        "filter INPUT": {"policy": {"old": "ACCEPT", "new": "DROP"}, "added": ["new"], "moved": ["-p udp -j b"]}
    }
    assert found["script"].splitlines() == [
        "*filter", "-P INPUT DROP", "-D INPUT 3", "-A INPUT -p udp -j b", "-I INPUT 3 new", "COMMIT",
    ]  # fmt: skip


def test_rules_of_others_stay_behind_the_rule_that_they_follow() -> None:
    found = firewall_delta.tables(LIVE, wanted("first", "-p tcp -j a"), OTHERS)
    assert found["after"]["filter"]["INPUT"]["rules"] == ["-j f2b-sshd", "first", "-p tcp -j a"]
    assert found["after"]["filter"]["f2b-sshd"] == LIVE["filter"]["f2b-sshd"]


@pytest.mark.parametrize(("stated", "is_then"), [("", "DROP"), ("ACCEPT", "ACCEPT")])
def test_a_policy_that_nobody_states_stays(stated: str, is_then: str) -> None:
    found = firewall_delta.tables(LIVE, wanted(forward=stated), OTHERS)
    assert found["after"]["filter"]["FORWARD"]["policy"] == is_then
    assert firewall_delta.tables(LIVE, wanted(forward=""), NOBODY)["after"]["filter"]["FORWARD"]["policy"] == "DROP"


def test_chains_come_and_go() -> None:
    tables = wanted()
    del tables["filter"]["OLD"]
    tables["filter"]["NEW"] = {"policy": None, "rules": ["-j RETURN"]}
    script = firewall_delta.tables(LIVE, tables, OTHERS)["script"].splitlines()
    assert script[1] == "-N NEW"
    assert script[-3:] == ["-F OLD", "-X OLD", "COMMIT"]


def test_a_wanted_rule_is_not_one_of_others() -> None:
    found = firewall_delta.tables(LIVE, wanted("-p tcp -j a", "-j f2b-sshd"), OTHERS)
    assert found["after"]["filter"]["INPUT"]["rules"] == ["-p tcp -j a", "-j f2b-sshd"]


def test_registered_rules_stay() -> None:
    registered = {"filter": {"INPUT": ["-j c"]}}
    found = firewall_delta.tables(LIVE, wanted(), firewall_delta.Others(PRESERVE, registered))
    assert found["after"]["filter"]["INPUT"]["rules"] == ["-j f2b-sshd", "-j c"]


def test_a_pattern_with_a_space_is_of_a_whole_rule() -> None:
    tables: firewall_save.Tables = {
        "nat": {"POSTROUTING": {"policy": "ACCEPT", "rules": ["-s a -d a -j MASQUERADE", "-s a -j MASQUERADE"]}}
    }
    kept = firewall_delta.own(tables, firewall_delta.Others(["-s * -d * -j MASQUERADE"]))
    assert kept["nat"]["POSTROUTING"]["rules"] == ["-s a -j MASQUERADE"]


def test_what_is_quoted_leads_nowhere() -> None:
    rule = '-m comment --comment "go -j f2b-sshd \\" -i docker0" -j ACCEPT'
    tables: firewall_save.Tables = {"filter": {"INPUT": {"policy": "DROP", "rules": [rule]}}}
    assert firewall_delta.own(tables, OTHERS) == tables
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


@pytest.mark.parametrize("numbered", [True, False])
def test_any_chain_becomes_any_other(numbered: bool) -> None:
    chance = random.Random(3)
    for _ in range(3000):
        now, target = ([chance.choice("abcdefg") for _ in range(chance.randint(0, 9))] for _ in range(2))
        others = [f"-j f2b-{number}" for number in range(chance.randint(0, 3))]
        for rule in others:
            now.insert(chance.randint(0, len(now)), rule)
        live: firewall_save.Tables = {"raw": {"OUTPUT": {"policy": "ACCEPT", "rules": now}}}
        goal: firewall_save.Tables = {"raw": {"OUTPUT": {"policy": "ACCEPT", "rules": target}}}
        found = firewall_delta.tables(live, goal, OTHERS, numbered)
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
        NOBODY,
    )
    assert len(kept["changes"]["raw OUTPUT"]["moved"]) == len(rules) - 1


def test_what_is_reported_of_a_chain_that_comes_and_of_one_that_goes() -> None:
    tables = wanted("-p tcp -j a", "-p udp -j b", "-j c")
    del tables["filter"]["OLD"]
    tables["filter"]["NEW"] = {"policy": None, "rules": ["-j RETURN"]}
    tables["filter"]["BARE"] = {"policy": None, "rules": []}
    found = firewall_delta.tables(LIVE, tables, OTHERS)
    assert found["changes"] == {
        "filter NEW": {"chain": {"old": "absent", "new": "present"}, "added": ["-j RETURN"]},
        "filter BARE": {"chain": {"old": "absent", "new": "present"}},
        "filter OLD": {"chain": {"old": "present", "new": "absent"}, "removed": ["-j RETURN"]},
    }
    assert "OLD" not in found["after"]["filter"]
    assert found["after"]["filter"]["BARE"] == {"policy": None, "rules": []}


def test_what_is_reported_of_rules() -> None:
    found = firewall_delta.tables(LIVE, wanted("-j c", "-p tcp -j a", "-j d", "-j d"), OTHERS)
    assert found["changes"] == {
        "filter INPUT": {"removed": ["-p udp -j b"], "added": ["-j d", "-j d"], "moved": ["-p tcp -j a"]}
    }


def test_a_table_that_is_not_wanted_is_left_alone() -> None:
    live: firewall_save.Tables = {**LIVE, "nat": {"OUTPUT": {"policy": "ACCEPT", "rules": ["-j x"]}}}
    found = firewall_delta.tables(live, wanted("-p tcp -j a", "-p udp -j b", "-j c"), OTHERS)
    assert (found["changes"], found["script"], found["after"]) == ({}, "", live)


def test_a_table_that_is_not_live_is_made() -> None:
    raw: firewall_save.Tables = {
        "raw": {"OUTPUT": {"policy": "ACCEPT", "rules": ["-j x"]}, "X": {"policy": None, "rules": []}}
    }
    found = firewall_delta.tables({}, raw, NOBODY)
    assert found["script"].splitlines() == ["*raw", "-N X", "-A OUTPUT -j x", "COMMIT"]
    assert found["after"]["raw"]["OUTPUT"] == {"policy": "ACCEPT", "rules": ["-j x"]}
    assert set(found["changes"]) == {"raw OUTPUT", "raw X"}


@pytest.mark.parametrize("rule", ["-i docker0 -j ACCEPT", "-o docker0 -j ACCEPT", "-g f2b-x", "-p tcp -j f2b-x"])
def test_a_rule_that_names_what_belongs_to_others_is_theirs(rule: str) -> None:
    live: firewall_save.Tables = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": [rule, "-j c", rule]}}}
    empty: firewall_save.Tables = {"filter": {"INPUT": {"policy": "", "rules": []}}}
    found = firewall_delta.tables(live, empty, OTHERS)
    assert found["after"]["filter"]["INPUT"] == {"policy": "ACCEPT", "rules": [rule, rule]}
    assert firewall_delta.own(live, OTHERS)["filter"]["INPUT"]["rules"] == ["-j c"]
    assert firewall_delta.tables(live, empty, NOBODY)["after"]["filter"]["INPUT"]["rules"] == []


def test_one_of_two_equal_rules_is_kept() -> None:
    """Those that are one too many are removed; a registered rule is kept beside a wanted one that is the same."""
    live: firewall_save.Tables = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-j c", "-j c", "-j c"]}}}
    one: firewall_save.Tables = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-j c"]}}}
    found = firewall_delta.tables(live, one, NOBODY)
    assert found["changes"] == {"filter INPUT": {"removed": ["-j c", "-j c"]}}
    assert found["after"] == one
    assert firewall_delta.tables(live, one, firewall_delta.Others([], {"filter": {"INPUT": ["-j c"]}}))["changes"] == {}


@pytest.mark.parametrize("rules", [["-j RETURN"], ["-s b -j DROP", "-j RETURN"], []])
def test_of_a_chain_of_others_only_what_was_made_is_ours(rules: list[str]) -> None:
    """A single rule in DOCKER-USER: Docker's stay, also those that have come since the plan, and none comes back."""
    others = firewall_delta.Others(PRESERVE, made={"filter": {"f2b-sshd": ["-s a -j DROP"]}})
    live: firewall_save.Tables = {"filter": {"f2b-sshd": {"policy": None, "rules": rules}}}
    goal: firewall_save.Tables = {
        "filter": {"f2b-sshd": {"policy": None, "rules": ["-s a -j DROP", "-s gone -j DROP", "-j RETURN"]}}
    }
    found = firewall_delta.tables(live, goal, others)
    after = found["after"]["filter"]["f2b-sshd"]["rules"]
    assert [rule for rule in after if rule != "-s a -j DROP"] == rules
    assert after.index("-s a -j DROP") <= (after.index("-j RETURN") if rules else 0)
    assert firewall_delta.own(found["after"], others) == {
        "filter": {"f2b-sshd": {"policy": None, "rules": ["-s a -j DROP"]}}
    }
    assert firewall_delta.tables(found["after"], goal, others)["changes"] == {}


def test_a_declared_chain_with_a_name_of_others_is_ours_as_a_whole() -> None:
    others = firewall_delta.Others(PRESERVE, chains={"filter": ["f2b-sshd"]})
    goal: firewall_save.Tables = {"filter": {**LIVE["filter"], "f2b-sshd": {"policy": None, "rules": ["-s a -j DROP"]}}}
    found = firewall_delta.tables(LIVE, goal, others)
    assert found["changes"] == {"filter f2b-sshd": {"removed": ["-j RETURN"], "added": ["-s a -j DROP"]}}
    assert firewall_delta.own(goal, others)["filter"]["f2b-sshd"]["rules"] == ["-s a -j DROP"]


def test_what_was_declared_goes_when_it_is_declared_no_more() -> None:
    """Also what looks like a rule of others; of a chain of theirs, nothing but that."""
    made = {"filter": {"FORWARD": ["-i docker0 -j DROP"], "f2b-sshd": ["-s a -j DROP"]}}
    live: firewall_save.Tables = {
        "filter": {
            "FORWARD": {"policy": "DROP", "rules": ["-i docker0 -j DROP", "-i docker0 -j ACCEPT"]},
            "f2b-sshd": {"policy": None, "rules": ["-s a -j DROP", "-j RETURN"]},
        }
    }
    goal: firewall_save.Tables = {"filter": {"FORWARD": {"policy": "DROP", "rules": []}}}
    found = firewall_delta.tables(live, goal, firewall_delta.Others(PRESERVE, made=made))
    assert found["after"]["filter"]["FORWARD"]["rules"] == ["-i docker0 -j ACCEPT"]
    assert found["after"]["filter"]["f2b-sshd"]["rules"] == ["-j RETURN"]
    assert set(found["changes"]) == {"filter FORWARD", "filter f2b-sshd"}


def test_by_text_an_insertion_of_others_deletes_none_of_theirs() -> None:
    live: firewall_save.Tables = {
        "filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-j a", "-j b", "-j c", "-j a", "-j f2b-x"]}}
    }
    goal: firewall_save.Tables = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-j c", "-j a"]}}}
    script = firewall_delta.tables(live, goal, OTHERS, numbered=False)["script"].splitlines()[1:-1]
    now = ["-j f2b-new", *live["filter"]["INPUT"]["rules"]]
    after = carried_out(now, script)
    assert [rule for rule in after if "f2b" in rule] == ["-j f2b-new", "-j f2b-x"]
    assert sorted(rule for rule in after if "f2b" not in rule) == ["-j a", "-j c"]


@pytest.mark.parametrize(
    "rule",
    [
        "-m set --match-set f2b-sshd src -j REJECT",
        "-j SET --add-set f2b-x src",
        "-m recent --update --seconds 60 --name f2b-x --rsource -j DROP",
    ],
)
def test_a_rule_that_names_a_set_of_others_is_theirs(rule: str) -> None:
    assert firewall_delta.leading_away([rule, "-m set --match-set mine src -j DROP"], PRESERVE) == {rule}


@pytest.mark.parametrize("pattern", ["-s */32 * -j M", "-s [0-9 x]* -j M", "*--comment *", "-j ?  *", "* *", "[*] x*"])
def test_whole_rules_are_found_as_one_by_one(pattern: str) -> None:
    chance = random.Random(pattern)
    for _ in range(300):
        words = ("-s 1/32", "-s x", "-j M", "--comment x", "-j N ", "[*] x", "* x")
        rules = [" ".join(chance.choices(words, k=chance.randint(1, 3))) for _ in range(chance.randint(0, 4))]
        found = firewall_delta.leading_away(rules, [pattern])
        assert found == {rule for rule in rules if firewall_delta.foreign(rule, [pattern])}


def test_what_is_asked_twice_is_the_askers_own() -> None:
    rules = ["-j f2b-sshd", "-j c"]
    firewall_delta.leading_away(rules, PRESERVE).add("-j c")
    firewall_delta.targets(rules).clear()
    assert firewall_delta.leading_away(rules, PRESERVE) == {"-j f2b-sshd"}
    assert firewall_delta.targets(rules) == {"f2b-sshd", "c"}


WHOLE = [
    ('-i eth1 -m comment --comment "cali:x" -j ACCEPT', '*--comment "cali:*', True),
    ('-i eth1 -m comment --comment "scali:x" -j ACCEPT', '*--comment "cali:*', False),
    ("-s 192.168.150.0/24 -j DROP", "-s 192.168.1[0-9][0-9].0/24 -j DROP", True),
    ("-s 192.168.15.0/24 -j DROP", "-s 192.168.1[0-9][0-9].0/24 -j DROP", False),
    ("-i a] -j DROP", "-i [!]b]?[]x] -j DROP", False),
    ("-i ab] -j DROP", "-i [!]b]?[]x] -j DROP", True),
    ("-i [a -j DROP", "-i [a -j *", True),
    ("-i [!] -j DROP", "-i [!] -j *", True),
    ("-i eth0 -j DROP", "* *", True),
]


@pytest.mark.parametrize("rule, pattern, theirs", WHOLE)
def test_a_pattern_of_a_whole_rule(rule: str, pattern: str, theirs: bool) -> None:
    rules = ["-i lo -j ACCEPT", rule]
    found = firewall_delta.leading_away(rules, [pattern])
    assert (rule in found) is theirs
    assert found == {each for each in rules if firewall_delta.foreign(each, [pattern])}
