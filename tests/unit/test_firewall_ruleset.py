"""The pillar's firewall as tables, and what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_ruleset as firewall_ruleset
import pytest
from salt.exceptions import SaltInvocationError

TUNNEL = {"name": "he-ipv6", "endpoint": "216.66.84.42"}


def tables(family: str, chains: dict[str, Any], **firewall: Any) -> dict[str, Any]:
    """The table filter of a family, without what nobody has to write."""
    built = firewall_ruleset.build({"tables": {"filter": chains}, "icmpv6_essential": False, **firewall})
    found: dict[str, Any] = built["tables"][family]["filter"]
    return found


def test_both_families_from_one_list() -> None:
    chains = {"INPUT": {"policy": "DROP", "rules": ["-p icmp -j ACCEPT", "-s 192.0.2.1 -j ACCEPT"]}}
    assert tables("ipv4", chains)["INPUT"]["rules"] == ["-p icmp -j ACCEPT", "-s 192.0.2.1 -j ACCEPT"]
    assert tables("ipv6", chains)["INPUT"] == {"policy": "DROP", "rules": ["-p ipv6-icmp -j ACCEPT"]}


def test_groups_are_sorted_by_name() -> None:
    groups = {"50-services": ["-i b -j ACCEPT"], "10-base": ["-i a -j ACCEPT"], "99-none": None, 7: ["-i 7 -j ACCEPT"]}
    rules = tables("ipv4", {"INPUT": {"rules": groups}})["INPUT"]["rules"]
    assert rules == ["-i 7 -j ACCEPT", "-i a -j ACCEPT", "-i b -j ACCEPT"]


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ([100, 5, 20, 10], "5 10 20 100"),
        (["100", "5", "20", "10"], "5 10 20 100"),  # as they are after JSON
        (["100", 5, "20", 10], "5 10 20 100"),
        ([3, "ssh", -1, "0", "10-base", "1e3", "7 "], "-1 0 3 10-base 1e3 7. ssh"),
        (["b", 18446744073709551616, "a", 2], "2 18446744073709551616 a b"),
    ],
)
def test_number_keys_are_numbers(keys: list[Any], order: str) -> None:
    groups = {key: [f"-i if{str(key).replace(' ', '.')} -j ACCEPT"] for key in keys}
    for given in (groups, json.loads(json.dumps(groups))):
        rules = tables("ipv6", {"INPUT": {"rules": given}})["INPUT"]["rules"]
        assert [rule.split()[1] for rule in rules] == [f"if{key}" for key in order.split()]


def test_a_number_and_the_same_as_text_are_no_two_groups() -> None:
    groups = {5: ["-i a -j ACCEPT"], "5": ["-i b -j ACCEPT"], 6: None}
    found = firewall_ruleset.errors({"tables": {"filter": {"INPUT": {"rules": groups}}}})
    assert found == ["tables:filter:INPUT:rules:5: given twice, as a number and as text"]


def test_a_chain_may_be_a_list_or_nothing() -> None:
    found = tables("ipv4", {"INPUT": ["-i a -j OWN"], "OWN": None})
    assert found["INPUT"] == {"policy": "", "rules": ["-i a -j OWN"]}
    assert found["OWN"] == {"policy": None, "rules": []}


def test_policies_and_chains_of_one_family() -> None:
    chains = {
        "INPUT": {"policy": {"ipv4": "DROP", "ipv6": "ACCEPT"}},
        "OWN": {"family": "ipv4", "rules": ["-j RETURN"]},
    }
    assert tables("ipv4", chains)["INPUT"]["policy"] == "DROP"
    assert tables("ipv6", chains) == {"INPUT": {"policy": "ACCEPT", "rules": []}}


def test_each_rule_knows_where_it_comes_from() -> None:
    chains = {"INPUT": {"rules": {"a": ["-s 192.0.2.1 -j ACCEPT", "-i lo -j ACCEPT"]}}}
    built = firewall_ruleset.build({"tables": {"filter": chains}}, TUNNEL)
    assert built["origins"]["ipv4"]["filter"]["INPUT"] == [
        "tunnel:endpoint",
        "tables:filter:INPUT:rules:a[0]",
        "tables:filter:INPUT:rules:a[1]",
    ]
    assert built["origins"]["ipv6"]["filter"]["INPUT"][-1] == "tables:filter:INPUT:rules:a[1]"
    assert len(built["notes"]) == 1 and built["notes"][0].startswith("tables:filter:INPUT:rules:a[0]: not for ipv6: ")


def test_protocol_41_of_the_tunnel_comes_first() -> None:
    built = firewall_ruleset.build({"tables": {"filter": {"INPUT": ["-j DROP"], "OUTPUT": []}}}, TUNNEL)["tables"]
    assert built["ipv4"]["filter"]["INPUT"]["rules"] == ["-s 216.66.84.42 -p ipv6 -j ACCEPT", "-j DROP"]
    assert built["ipv4"]["filter"]["OUTPUT"]["rules"] == ["-d 216.66.84.42 -p ipv6 -j ACCEPT"]
    assert "216.66.84.42" not in str(built["ipv6"])


def test_what_ipv6_needs_comes_first_in_each_chain_that_could_drop_it() -> None:
    chains: dict[str, Any] = {"INPUT": ["-j DROP"], "OUTPUT": {"policy": "DROP"}, "FORWARD": None, "OWN": ["-j DROP"]}
    raw = {"PREROUTING": ["-m rpfilter --invert -j DROP"]}
    mangle = {"FORWARD": ["-j MARK --set-mark 1"]}
    firewall = {"tables": {"filter": chains, "raw": raw, "mangle": mangle}}
    built = firewall_ruleset.build(firewall)["tables"]["ipv6"]
    for table, chain in (("filter", "INPUT"), ("filter", "OUTPUT"), ("filter", "FORWARD"), ("raw", "PREROUTING")):
        rules = firewall_ruleset.essential(chain)
        assert built[table][chain]["rules"][: len(rules)] == rules
        assert any("packet-too-big" in rule for rule in rules)
    assert built["filter"]["OWN"]["rules"] == ["-j DROP"]
    assert len(built["mangle"]["FORWARD"]["rules"]) == 1, "a table that drops nothing needs none"
    assert not any("135" in rule for rule in firewall_ruleset.essential("FORWARD"))
    without = firewall_ruleset.build({**firewall, "icmpv6_essential": False})["tables"]["ipv6"]
    assert without["filter"]["INPUT"]["rules"] == ["-j DROP"]


def test_the_mss_is_clamped_on_the_tunnel() -> None:
    mangle = firewall_ruleset.build({"tables": {}, "clamp_mss": True}, TUNNEL)["tables"]["ipv6"]["mangle"]
    assert [rule.split()[:2] for rule in mangle["FORWARD"]["rules"]] == [["-i", "he-ipv6"], ["-o", "he-ipv6"]]
    assert all(rule.endswith("-j TCPMSS --clamp-mss-to-pmtu") for rule in mangle["FORWARD"]["rules"])


@pytest.mark.parametrize(
    ("firewall", "problem"),
    [
        ([], "expected a mapping with the keys backend, "),
        ({}, "tables: expected a mapping of tables, such as filter, found None"),
        ({"tables": {}, "tabels": {}}, "tabels: unknown key; expected one of backend, "),
        ({"tables": {"fliter": {}}}, "tables:fliter: not a table of iptables; expected one of raw, mangle, nat, "),
        ({"tables": {"filter": []}}, "tables:filter: expected a mapping of chains, such as INPUT, found []"),
        ({"tables": {"filter": {"INPUT": "x"}}}, "tables:filter:INPUT: expected a list of rules, or a mapping with "),
        ({"tables": {"filter": {"IN PUT": []}}}, "tables:filter:IN PUT: not the name of a chain"),
        ({"tables": {"filter": {"A" * 29: []}}}, "tables:filter:" + "A" * 29 + ": not the name of a chain"),
        ({"tables": {"filter": {"INPUT": {"polcy": 1}}}}, "tables:filter:INPUT:polcy: unknown key; expected one of po"),
        ({"tables": {"filter": {"INPUT": {"policy": "REJECT"}}}}, "tables:filter:INPUT:policy: 'REJECT': expected ACC"),
        ({"tables": {"filter": {"INPUT": {"policy": ["DROP"]}}}}, "tables:filter:INPUT:policy: ['DROP']: expected ACC"),
        ({"tables": {"filter": {"INPUT": {"policy": {"ipv4": []}}}}}, "tables:filter:INPUT:policy: {'ipv4': []}: expe"),
        (
            {"tables": {"filter": {"OWN": {"policy": "DROP"}}}},
            "tables:filter:OWN:policy: 'DROP': only a built-in chain",
        ),
        ({"tables": {"filter": {"OWN": {"family": "inet"}}}}, "tables:filter:OWN:family: 'inet': expected ipv4, ipv6 "),
        ({"tables": {"filter": {"OWN": {"family": []}}}}, "tables:filter:OWN:family: []: expected ipv4, ipv6 or both"),
        ({"tables": {"filter": {"INPUT": {"family": "ipv4"}}}}, "tables:filter:INPUT:family: 'ipv4': both families ha"),
        ({"tables": {"filter": {"INPUT": {"rules": "-j DROP"}}}}, "tables:filter:INPUT:rules: expected a list of rule"),
        ({"tables": {"filter": {"INPUT": {"rules": {"a": 1}}}}}, "tables:filter:INPUT:rules:a: expected a list of rul"),
        ({"tables": {"filter": {"INPUT": [7]}}}, "tables:filter:INPUT:rules[0]: "),
        ({"tables": {"filter": {"INPUT": ["-A FORWARD -j DROP"]}}}, "tables:filter:INPUT:rules[0]: "),
        ({"tables": {}, "backend": "nftables"}, "backend: 'nftables' is not a backend of iptables; expected auto, nft"),
        ({"tables": {}, "backend": []}, "backend: [] is not a backend of iptables; expected auto, nft"),
        ({"tables": {}, "icmpv6_essential": "yes"}, "icmpv6_essential: 'yes' is neither true nor false"),
        ({"tables": {}, "preserve": "DOCKER*"}, "preserve: expected a list of names or patterns of chains, such as "),
        ({"tables": {}, "preserve": ["*"]}, "preserve: '*' would leave every rule there is in its place"),
        ({"tables": {}, "preserve_only": ["*"]}, "preserve_only: '*' would leave every rule there is in its place"),
        ({"tables": {}, "preserve": ["**"]}, "preserve: '**' also matches the target ACCEPT"),
        ({"tables": {}, "preserve": ["x", "L*"]}, "preserve: 'L*' also matches the target LOG"),
        ({"tables": {}, "preserve_only": ["[A-D]*"]}, "preserve_only: '[A-D]*' also matches the target ACCEPT"),
        ({"tables": {}, "expect": [{"to": "tpc/22", "verdict": "accept"}]}, "expect[0]:to: 'tpc/22'"),
        ({"tables": {}, "expect": "tcp/22"}, "expect: "),
    ],
)
def test_what_is_wrong_is_named(firewall: Any, problem: str) -> None:
    found = firewall_ruleset.errors(firewall)
    assert len(found) == 1
    assert found[0].startswith(problem)
    with pytest.raises(SaltInvocationError):
        firewall_ruleset.build(firewall)


def test_all_errors_at_once() -> None:
    rules = ["-s 10.0.0.256 -j DROP", "-i lo -j ACCEPT", "-f -j DROP"]
    found = firewall_ruleset.errors({"tables": {"filter": {"INPUT": rules}, "nut": {}}, "save": 1})
    assert [each.partition(": ")[0] for each in found] == [
        "save", "tables:nut", "tables:filter:INPUT:rules[0]", "tables:filter:INPUT:rules[2]",
    ]  # fmt: skip


OTHERS = {
    "Docker": "DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1 docker0 br-0123456789ab",
    "fail2ban": "f2b-sshd fail2ban-ssh",
    "sshguard": "sshguard",
    "libvirt": "LIBVIRT_INP LIBVIRT_FWO virbr0 virbr12",
    "Kubernetes": "KUBE-SERVICES KUBE-SVC-ABC CNI-FORWARD CNI-DN-1 cali-INPUT CILIUM_INPUT FLANNEL-FWD",
    "Podman": "NETAVARK_FORWARD NETAVARK-1234",
    "Tailscale": "ts-input ts-forward",
}


@pytest.mark.parametrize("name", [name for names in OTHERS.values() for name in names.split()])
def test_the_chains_of_well_known_programs_are_theirs(name: str) -> None:
    preserve = firewall_ruleset.build({"tables": {}})["preserve"]
    assert firewall_delta.foreign(name, preserve)
    assert firewall_ruleset.build({"tables": {}, "preserve": ["x"]})["preserve"] == [*preserve, "x"]
    assert firewall_ruleset.build({"tables": {}, "preserve": None})["preserve"] == preserve
    assert firewall_ruleset.build({"tables": {}, "preserve_only": []})["preserve"] == []
    assert firewall_ruleset.build({"tables": {}, "preserve": ["y"], "preserve_only": ["x"]})["preserve"] == ["x"]


@pytest.mark.parametrize("name", ["INPUT", "OWN", "br-lan", "eth0", "br-0123456789abc", "br-0123456789AB", "sshguard2"])
def test_other_chains_are_not(name: str) -> None:
    assert not firewall_delta.foreign(name, firewall_ruleset.build({"tables": {}})["preserve"])


def test_all_that_ipv6_needs() -> None:
    """RFC 4890, sections 4.3.1 and 4.4.1."""
    accept = "-p ipv6-icmp -m icmp6 --icmpv6-type"
    echo = ["echo-request", "echo-reply"]
    names = ["destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem", *echo]
    transit = [f"{accept} {name} -j ACCEPT" for name in names]
    neighbours = [f"{accept} {kind} -m hl --hl-eq 255 -j ACCEPT" for kind in (133, 134, 135, 136, 141, 142, 148, 149)]
    assert firewall_ruleset.essential("FORWARD") == transit
    for chain, local in {
        "INPUT": "-s fe80::/10 ",
        "PREROUTING": "-s fe80::/10 ",
        "OUTPUT": "",
        "POSTROUTING": "",
    }.items():
        assert firewall_ruleset.essential(chain) == [
            *transit,
            *neighbours,
            *(f"{local}{accept} {kind} -j ACCEPT" for kind in (130, 131, 132, 143)),
            *(f"{local}{accept} {kind} -m hl --hl-eq 1 -j ACCEPT" for kind in (151, 152, 153)),
        ]


@pytest.mark.parametrize(
    ("table", "drops"),
    [
        ({"PREROUTING": {"policy": "DROP"}}, True),
        ({"PREROUTING": ["-s 192.0.2.1 -j ACCEPT", "-m rpfilter --invert -j DROP"]}, True),
        ({"OWN": ["-j DROP"], "PREROUTING": []}, True),
        ({"PREROUTING": ["-j ACCEPT"], "OUTPUT": {"policy": "ACCEPT"}}, False),
    ],
)
def test_a_table_that_drops_lets_in_what_ipv6_needs(table: dict[str, Any], drops: bool) -> None:
    for name in ("raw", "mangle"):
        built = firewall_ruleset.build({"tables": {name: table}})["tables"]
        front = firewall_ruleset.essential("PREROUTING")
        assert (built["ipv6"][name]["PREROUTING"]["rules"][: len(front)] == front) is drops
        assert not any("icmp" in rule for rule in built["ipv4"][name]["PREROUTING"]["rules"])
    nat = {"OWN": ["-j DNAT --to-destination 2001:db8::1"], "PREROUTING": {"policy": "DROP"}}
    assert firewall_ruleset.build({"tables": {"nat": nat}})["tables"]["ipv6"]["nat"]["PREROUTING"]["rules"] == []


@pytest.mark.parametrize("key", ["icmpv6_essential", "clamp_mss", "save"])
@pytest.mark.parametrize("value", ["yes", 1, 0, None, []])
def test_a_switch_is_on_or_off(key: str, value: Any) -> None:
    found = firewall_ruleset.errors({"tables": {}, key: value})
    assert found == [f"{key}: {value!r} is neither true nor false"]
    assert (
        firewall_ruleset.errors({"tables": {}, key: True}) == firewall_ruleset.errors({"tables": {}, key: False}) == []
    )


@pytest.mark.parametrize("name", ["A", "_x", "9", "a.b-c_d:e", "é" * 14, "A" * 28])
def test_a_name_of_a_chain(name: str) -> None:
    found = firewall_ruleset.errors({"tables": {"filter": {name: []}}})
    assert (found == []) is name.isascii()
    assert firewall_ruleset.errors({"tables": {"filter": {f"{name[:20]};": []}}}) != []


def test_the_implied_rules_say_where_they_come_from() -> None:
    firewall = {"tables": {"filter": {"INPUT": ["-i lo -j ACCEPT"], "OUTPUT": []}}, "clamp_mss": True}
    built = firewall_ruleset.build(firewall, TUNNEL)
    origins = built["origins"]
    assert origins["ipv4"]["filter"]["OUTPUT"] == ["tunnel:endpoint"]
    assert origins["ipv6"]["mangle"]["FORWARD"] == ["clamp_mss"] * 2
    assert set(origins["ipv6"]["filter"]["OUTPUT"]) == {"icmpv6_essential"}
    for family in ("ipv4", "ipv6"):
        for table, chains in built["tables"][family].items():
            for chain, each in chains.items():
                assert len(origins[family][table][chain]) == len(each["rules"])
    assert "mangle" in built["tables"]["ipv4"], "else what is there in IPv4 would be left alone"
