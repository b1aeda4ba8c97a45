"""What IPv6 does not work without, among a chain's own rules."""

from __future__ import annotations

from typing import Any

import _dualstack_firewall_essential as firewall_essential
import _dualstack_firewall_fold as firewall_fold
import _dualstack_firewall_ruleset as firewall_ruleset
import pytest

ACCEPT = "-p ipv6-icmp -m icmp6 --icmpv6-type"


def built(chains: dict[str, Any], table: str = "filter", tunnel: Any = None, **firewall: Any) -> dict[str, list[str]]:
    """IPv6's rules of a table, by chain."""
    made = firewall_ruleset.build({"tables": {table: chains}, **firewall}, tunnel)
    for family, tables in made["tables"].items():
        for name, each in tables[table].items():
            assert len(made["origins"][family][table][name]) == len(each["rules"])
    return {name: each["rules"] for name, each in made["tables"]["ipv6"][table].items()}


def types(rules: list[str]) -> list[str]:
    """The types that are accepted for their own sake."""
    return [rule.partition("--icmpv6-type ")[2].split()[0] for rule in rules if rule.endswith("-j ACCEPT")]


ECHO = "echo-request"


@pytest.mark.parametrize(
    "rule",
    [
        "-p icmp --icmp-type echo-request -j DROP",
        "-p icmp --icmp-type 8 -m limit --limit 5/s -j ACCEPT",
        "-p icmp --icmp-type ping -j LOG",
        {"family": "ipv6", "rule": "-p icmpv6 --icmpv6-type echo-req -j REJECT"},
        "-p ipv6-icmp --icmpv6-type 128/0 -j DROP",
        "-p 58 -m icmp6 --icmpv6-type 128 -j RETURN",
        "-p icmp -j pings",
        "-g outer",
    ],
)
def test_a_ping_is_left_to_the_rules_that_name_it(rule: Any) -> None:
    chains = {
        "INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", rule]},
        "FORWARD": {"policy": "DROP", "rules": ["-j RETURN"]},
        "outer": {"rules": ["-p tcp -j ACCEPT", "-j pings"]},
        "pings": {"rules": ["-p icmp --icmp-type 8 -j DROP", "-g outer"]},
    }
    found = built(chains)
    lines = found["INPUT"][: found["INPUT"].index("-i lo -j ACCEPT")]
    assert types(lines) == [each for each in types(firewall_essential.rules("INPUT")) if each != ECHO]
    assert types(found["FORWARD"]) == types(firewall_essential.rules("FORWARD")), "another chain, another matter"
    notes = firewall_ruleset.build({"tables": {"filter": chains}})["notes"]
    assert "tables:filter:INPUT: echo-request of ICMPv6: left to the rules that name it" in notes


@pytest.mark.parametrize("rule", ["-p icmp -j DROP", "-p icmp -j REJECT", "-p ipv6-icmp -j DROP"])
def test_who_drops_all_of_icmp_drops_pings(rule: str) -> None:
    found = built({"INPUT": [rule]})["INPUT"]
    assert [each for each in types(firewall_essential.rules("INPUT")) if each not in types(found)] == [
        ECHO,
        "echo-reply",
    ]
    assert found[-1].startswith("-p ipv6-icmp -j ")


@pytest.mark.parametrize(
    "rule",
    [
        "-p icmp -j ACCEPT",
        "-p icmp --icmp-type 13 -j DROP",
        "-p ipv6-icmp ! --icmpv6-type echo-request -j DROP",
        "! -p icmp -j DROP",
        '-p tcp -m comment --comment "-p ipv6-icmp --icmpv6-type 128 -j DROP" -j DROP',
        "-p tcp --dport 58 -j DROP",
        "-p ipv6-icmp --icmpv6-type 135 -j ACCEPT",
        "-p icmp --icmp-type 3/4 -m limit --limit 1/s -j ACCEPT",
        "-p ipv6-icmp --icmpv6-type 136 -j LOG",
    ],
)
def test_other_rules_stand_behind_all_of_it(rule: str) -> None:
    front = firewall_essential.rules("INPUT")
    assert built({"INPUT": ["-j RETURN", rule]})["INPUT"][: len(front)] == front


def test_what_own_rules_drop_is_accepted_only_after_them() -> None:
    rules = ["-i lo -j ACCEPT", "-p icmp --icmp-type 3/3 -j DROP", "-j own", "-p tcp -j ACCEPT"]
    own = ["-s 2001:db8::/32 -p ipv6-icmp --icmpv6-type router-advertisement -j REJECT"]
    found = built({"INPUT": rules, "own": {"rules": own}})["INPUT"]
    front = [
        each
        for each in firewall_essential.rules("INPUT")
        if " destination-" not in each and f"{ACCEPT} 134" not in each
    ]
    assert found == [
        *front,
        "-i lo -j ACCEPT",
        f"{ACCEPT} 1/4 -j DROP".replace("-m icmp6 ", ""),
        f"{ACCEPT} destination-unreachable -j ACCEPT",
        "-j own",
        f"{ACCEPT} 134 -m hl --hl-eq 255 -j ACCEPT",
        "-p tcp -j ACCEPT",
    ]


@pytest.mark.parametrize("table", ["mangle", "raw"])
def test_in_other_tables_nothing_is_accepted_before_what_marks(table: str) -> None:
    mark = "-i eth0 -j MARK --set-mark 7" if table == "mangle" else "-i eth0 -j CT --notrack"
    front = firewall_essential.rules("PREROUTING")
    for drop in ("-m rpfilter --invert -j DROP", "-j spoofed", "-g via"):
        chains = {
            "PREROUTING": [mark, "-p tcp -j keep", drop, mark],
            "OUTPUT": ["-j keep"],
            "keep": ["-j RETURN"],
            "spoofed": ["-j LOG", "-j DROP"],
            "via": ["-j spoofed"],
        }
        found = built(chains, table)
        assert found["PREROUTING"] == [mark, "-p tcp -j keep", *front, drop, mark]
        assert found["OUTPUT"][0] == "-j keep"
    assert built({"PREROUTING": [mark]}, table)["PREROUTING"] == [mark]
    shut = built({"PREROUTING": {"policy": "DROP", "rules": [mark]}}, table)["PREROUTING"]
    assert shut == [mark, *front]


def test_chains_that_lead_in_a_circle_do_no_harm() -> None:
    """The kernel refuses them, with a better word."""
    assert built({"INPUT": ["-j a"], "a": ["-j b"], "b": ["-j a", "-p icmp --icmp-type 8 -j DROP"]})["INPUT"]


# --------------------------------------------------------------------------------------------------------------
# Router advertisements through the tunnel

TUNNEL = {"name": "six0", "endpoint": "192.0.2.41"}
DROPPED = f"-i six0 {ACCEPT} 134 -j DROP"


def test_a_router_at_the_other_end_of_the_tunnel_is_not_listened_to() -> None:
    chains = {
        "INPUT": {"policy": "DROP", "rules": ["-p icmp -j ACCEPT"]},
        "OUTPUT": ["-p tcp -j ACCEPT"],
        "FORWARD": [],
    }
    found = built(chains, tunnel=TUNNEL)
    assert found["INPUT"].index(DROPPED) < found["INPUT"].index(f"{ACCEPT} 134 -m hl --hl-eq 255 -j ACCEPT")
    assert found["INPUT"].index(DROPPED) < found["INPUT"].index("-p ipv6-icmp -j ACCEPT")
    assert [each for each in found["INPUT"] if each != DROPPED] == built(chains)["INPUT"]
    for name in ("OUTPUT", "FORWARD"):
        assert found[name] == built(chains)[name]
    assert DROPPED not in built(chains, tunnel={"endpoint": "192.0.2.41"})["INPUT"]
    assert not any("134" in each for each in built(chains, tunnel=TUNNEL, icmpv6_essential=False)["INPUT"])


# --------------------------------------------------------------------------------------------------------------
# As they are live


@pytest.mark.parametrize(
    "chains",
    [
        {"INPUT": {"policy": "DROP", "rules": ["-p icmp -m icmp --icmp-type 8 -j ACCEPT"]}},
        {"INPUT": {"policy": "DROP", "rules": ["-p icmp -m icmp --icmp-type 8 -j DROP", "-p tcp -j own"]}, "own": {}},
        {"INPUT": {"policy": "DROP", "rules": ["-p icmp -j DROP"]}, "OUTPUT": {"policy": "ACCEPT", "rules": []}},
        {"FORWARD": {"policy": "DROP", "rules": ["-i lan0 -j ACCEPT"]}},
    ],
)
@pytest.mark.parametrize("table", ["filter", "mangle"])
def test_a_pillar_is_found_again(chains: dict[str, Any], table: str) -> None:
    """What follows from it is left out, wherever it stands."""
    chains = {name: {"rules": [], **each} for name, each in chains.items()}
    tunnel = {"name": "six0"}
    made = firewall_ruleset.build({"tables": {table: chains}}, tunnel)["tables"]
    saved: dict[str, Any] = {
        family: {
            name: {
                chain: {**each, "rules": [firewall_fold._as_saved(rule) for rule in each["rules"]]}
                for chain, each in found.items()
            }
            for name, found in tables.items()
        }
        for family, tables in made.items()
    }
    assert firewall_fold.adopt(saved, tunnel) == {"icmpv6_essential": True, "tables": {table: chains}}
    # and what stands elsewhere is not
    rules = saved["ipv6"][table][next(iter(chains))]["rules"]
    if table == "filter":
        rules.insert(0, rules.pop(1))
        again = firewall_fold.adopt(saved, tunnel)
        assert again["icmpv6_essential"] is False
        rebuilt = firewall_ruleset.build(again, tunnel)["tables"]
        assert rebuilt["ipv6"][table][next(iter(chains))]["rules"] == rules


def test_quoted_text_says_nothing_and_hides_nothing() -> None:
    rules = [
        '-m comment --comment "icmp 58 -j DROP" -p tcp -j ACCEPT',
        '-m comment --comment "x -j ACCEPT" -p 58 -j DROP',
    ]
    said = built({"INPUT": {"policy": "DROP", "rules": rules}})["INPUT"]
    assert said.index(rules[0]) < said.index(rules[1])
    assert not any(ECHO in rule for rule in said)


def test_each_tunnel_has_its_rules() -> None:
    tunnel = {
        **{"name": "he-ipv6", "endpoint": "216.66.84.42"},
        "others": [{"name": "second", "endpoint": "192.0.2.66", "carrier": "gre"}, {"name": "third"}],
    }
    firewall = {"tables": {"filter": {"INPUT": {"policy": "DROP", "rules": []}, "OUTPUT": {"rules": []}}}}
    read = firewall_ruleset.read({**firewall, "clamp_mss": True}, tunnel)
    assert read["problems"] == []
    assert read["tables"]["ipv4"]["filter"]["INPUT"]["rules"] == [
        *("-s 216.66.84.42 -p ipv6 -j ACCEPT", "-s 192.0.2.66 -p gre -j ACCEPT"),
    ]
    assert read["tables"]["ipv4"]["filter"]["OUTPUT"]["rules"] == [
        *("-d 216.66.84.42 -p ipv6 -j ACCEPT", "-d 192.0.2.66 -p gre -j ACCEPT"),
    ]
    dropped = [rule.split()[1] for rule in read["tables"]["ipv6"]["filter"]["INPUT"]["rules"] if "-j DROP" in rule]
    assert dropped == ["he-ipv6", "second", "third"]
    clamped = [rule.split()[:2] for rule in read["tables"]["ipv6"]["mangle"]["FORWARD"]["rules"]]
    assert clamped == [[way, name] for name in dropped for way in ("-i", "-o")]
    alone = firewall_ruleset.read(firewall, {"name": "he-ipv6", "endpoint": "216.66.84.42", "carrier": None})
    assert alone["tables"]["ipv4"]["filter"]["INPUT"]["rules"] == ["-s 216.66.84.42 -p ipv6 -j ACCEPT"]
