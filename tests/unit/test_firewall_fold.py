"""Two families' tables folded into one firewall, and their disagreements."""

from __future__ import annotations

import subprocess
from typing import Any

import _dualstack_firewall_fold as firewall_fold
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_words as firewall_words
import pytest
from salt.exceptions import SaltInvocationError

ESSENTIAL = [
    *(f"-p ipv6-icmp -m icmp6 --icmpv6-type {number} -j ACCEPT" for number in (1, 2, 3, 4, 128, 129)),
    *(
        f"-p ipv6-icmp -m icmp6 --icmpv6-type {number} -m hl --hl-eq 255 -j ACCEPT"
        for number in (133, 134, 135, 136, 141, 142, 148, 149)
    ),
    *(f"-s fe80::/10 -p ipv6-icmp -m icmp6 --icmpv6-type {number} -j ACCEPT" for number in (130, 131, 132, 143)),
    *(
        f"-s fe80::/10 -p ipv6-icmp -m icmp6 --icmpv6-type {number} -m hl --hl-eq 1 -j ACCEPT"
        for number in (151, 152, 153)
    ),
]
TUNNEL = {"name": "he-ipv6", "endpoint": "192.0.2.1"}


def chain(*rules: str, policy: str | None = "ACCEPT") -> dict[str, Any]:
    return {"policy": policy, "rules": list(rules)}


def folded(ipv4: list[str], ipv6: list[str]) -> Any:
    """The rules of a chain that lives with these, in the pillar; what comes of them is what they came from."""
    tables = {
        "ipv4": {"filter": {"INPUT": chain(*ipv4, policy="DROP")}},
        "ipv6": {"filter": {"INPUT": chain(*ipv6, policy="DROP")}},
    }
    firewall = firewall_fold.adopt(tables)
    built = firewall_ruleset.build(firewall)["tables"]
    assert {family: built[family]["filter"]["INPUT"]["rules"] for family in built} == {"ipv4": ipv4, "ipv6": ipv6}
    return firewall["tables"]["filter"]["INPUT"]["rules"]


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "rules"),
    [
        (["-i lo -j ACCEPT"], ["-i lo -j ACCEPT"], ["-i lo -j ACCEPT"]),
        (["-p icmp -j ACCEPT"], ["-p ipv6-icmp -j ACCEPT"], ["-p icmp -j ACCEPT"]),
        (
            ["-p icmp -m icmp --icmp-type 3/4 -j ACCEPT"],
            ["-p ipv6-icmp -m icmp6 --icmpv6-type 2 -j ACCEPT"],
            ["-p icmp -m icmp --icmp-type 3/4 -j ACCEPT"],
        ),
        (
            ["-j REJECT --reject-with icmp-host-prohibited"],
            ["-j REJECT --reject-with icmp6-adm-prohibited"],
            ["-j REJECT --reject-with icmp-host-prohibited"],
        ),
        # in one family only, by itself
        (
            ["-s 192.0.2.0/24 -j DROP"],
            ["-s 2001:db8::/32 -j DROP"],
            ["-s 192.0.2.0/24 -j DROP", "-s 2001:db8::/32 -j DROP"],
        ),
        # in one family only, since it says so
        (
            ["-p tcp -m tcp --dport 8080 -j ACCEPT"],
            [],
            [{"family": "ipv4", "rule": "-p tcp -m tcp --dport 8080 -j ACCEPT"}],
        ),
        # what cannot be for both, and what would be warned of
        (["-f -j DROP"], [], [{"family": "ipv4", "rule": "-f -j DROP"}]),
        (["! -s 192.0.2.0/24 -j DROP"], [], [{"family": "ipv4", "rule": "! -s 192.0.2.0/24 -j DROP"}]),
        # as many rules as keep their order are folded; the n-th of equal rules stands for the n-th
        (
            ["-i a -j LOG", "-i b -j LOG", "-i a -j LOG"],
            ["-i b -j LOG", "-i a -j LOG", "-i a -j LOG"],
            [
                {"family": "ipv4", "rule": "-i a -j LOG"},
                "-i b -j LOG",
                {"family": "ipv6", "rule": "-i a -j LOG"},
                "-i a -j LOG",
            ],
        ),
        # two rules of IPv4 that are the same in IPv6
        (
            ["-j REJECT --reject-with icmp-host-prohibited", "-j REJECT --reject-with icmp-admin-prohibited"],
            ["-j REJECT --reject-with icmp6-adm-prohibited"],
            [
                "-j REJECT --reject-with icmp-host-prohibited",
                {"family": "ipv4", "rule": "-j REJECT --reject-with icmp-admin-prohibited"},
            ],
        ),
        # a rule that iptables takes and that, without its family, is for IPv6 only
        (
            ["-p ipv6-icmp -j ACCEPT"],
            ["-p ipv6-icmp -j ACCEPT"],
            [{"family": "ipv4", "rule": "-p ipv6-icmp -j ACCEPT"}, "-p ipv6-icmp -j ACCEPT"],
        ),
        # a different rest is a different rule, and so are addresses of two families
        (
            ["-s 192.0.2.1/32 -j ACCEPT", "-p udp -m udp --dport 53 -j ACCEPT"],
            ["-s 2001:db8::1/128 -j ACCEPT", "-p udp -m udp --dport 54 -j ACCEPT"],
            [
                "-s 192.0.2.1/32 -j ACCEPT",
                {"family": "ipv4", "rule": "-p udp -m udp --dport 53 -j ACCEPT"},
                "-s 2001:db8::1/128 -j ACCEPT",
                {"family": "ipv6", "rule": "-p udp -m udp --dport 54 -j ACCEPT"},
            ],
        ),
    ],
)
def test_rules_are_folded(ipv4: list[str], ipv6: list[str], rules: list[Any]) -> None:
    assert folded(ipv4, ipv6) == rules


@pytest.mark.parametrize(
    ("saved", "typed"),
    [
        ('"two words"', '"two words"'),
        ("plain", "plain"),
        ('""', '""'),
        (r'"a \"b\" \\ "', r"""'a "b" \ '"""),
        (r'"it\'s"', '"it\'s"'),
        (r'"it\'s \"$HOME\""', r'"it\'s \"\$HOME\""'.replace(r"\'", "'")),
        ('"$HOME `id` #1"', "'$HOME `id` #1'"),
    ],
)
def test_words_are_quoted_as_one_would_type_them(saved: str, typed: str) -> None:
    rule = f"-m comment --comment {saved} -j ACCEPT"
    tables = {family: {"filter": {"OURS": chain(rule, policy=None)}} for family in ("ipv4", "ipv6")}
    rules = firewall_fold.adopt(tables)["tables"]["filter"]["OURS"]["rules"]
    assert rules == [f"-m comment --comment {typed} -j ACCEPT"]
    words = firewall_words.split(rule)
    assert firewall_words.split(rules[0]) == words
    shell = subprocess.run(["sh", "-c", f"printf '%s\\n' {rules[0]}"], capture_output=True, text=True, check=True)
    assert shell.stdout.splitlines() == words


@pytest.mark.parametrize(
    ("live", "spelled"),
    [
        ("", "-p all"),  # a rule without words, which counts all packets
        # ip6tables takes these, and the rule language would make of them what was meant
        ("-p icmp -j ACCEPT", "-p 0x1 -j ACCEPT"),
        ("! -p icmp -j DROP", "! -p 0x1 -j DROP"),
        ("-p ah -j DROP", "-p 0x33 -j DROP"),
        ("-p ipv6-frag -j DROP", "-p 0x2c -j DROP"),
        (
            '-m conntrack --ctproto 1 -m comment --comment "-p icmp"',
            '-m conntrack --ctproto 0x1 -m comment --comment "-p icmp"',
        ),
    ],
)
def test_every_live_rule_has_words(live: str, spelled: str) -> None:
    tables = {"ipv4": {}, "ipv6": {"filter": {"INPUT": chain(live)}}}
    firewall = firewall_fold.adopt(tables)
    assert firewall["tables"]["filter"]["INPUT"]["rules"] == [{"family": "ipv6", "rule": spelled}]
    built = firewall_ruleset.build(firewall)["tables"]
    assert [built[family]["filter"]["INPUT"]["rules"] for family in built] == [[], [spelled]]


def test_what_has_no_words_is_reported() -> None:
    rule = '-m comment --comment "a\tb"'
    with pytest.raises(SaltInvocationError) as error:
        firewall_fold.adopt({"ipv4": {"filter": {"INPUT": chain(rule), "OUTPUT": chain(rule)}}, "ipv6": {}})
    assert str(error.value).splitlines() == [
        f"tables:filter:{each}: the pillar cannot express the IPv4 rule `{rule}`" for each in ("INPUT", "OUTPUT")
    ]


# --------------------------------------------------------------------------------------------------------------
# Chains and tables


def test_chains_and_policies() -> None:
    tables = {
        "ipv4": {
            "filter": {
                "a": chain("-j RETURN", policy=None),
                "both": chain("-j ACCEPT", policy=None),
                "INPUT": chain(policy="DROP"),
                "FORWARD": chain(policy="DROP"),
                "OUTPUT": chain(),
            },
            "mangle": {"FORWARD": chain()},
            "nat": {"POSTROUTING": chain("-o eth0 -j MASQUERADE")},
        },
        "ipv6": {"filter": {"INPUT": chain(policy="DROP"), "FORWARD": chain(), "both": chain(policy=None)}},
    }
    adopted = firewall_fold.adopt(tables)["tables"]
    assert adopted == {
        "nat": {"POSTROUTING": {"policy": "ACCEPT", "rules": [{"family": "ipv4", "rule": "-o eth0 -j MASQUERADE"}]}},
        "filter": {
            "INPUT": {"policy": "DROP", "rules": []},
            "FORWARD": {"policy": {"ipv4": "DROP", "ipv6": "ACCEPT"}, "rules": []},
            "a": {"family": "ipv4", "rules": ["-j RETURN"]},
            "both": {"rules": [{"family": "ipv4", "rule": "-j ACCEPT"}]},
        },
    }
    assert list(adopted["filter"]) == ["INPUT", "FORWARD", "a", "both"]


def test_a_host_without_rules() -> None:
    empty = {"filter": {"INPUT": chain(), "FORWARD": chain(), "OUTPUT": chain()}}
    assert firewall_fold.adopt({"ipv4": empty, "ipv6": {}}) == {"icmpv6_essential": True, "tables": {}}


def test_the_rules_of_the_only_family_are_meant_for_both() -> None:
    rules = ("-p tcp -m tcp --dport 22 -j ACCEPT", "-f -j DROP", "-j ours")
    tables = {"ipv4": {"filter": {"INPUT": chain(*rules, policy="DROP"), "ours": chain(policy=None)}}}
    assert firewall_fold.adopt(tables, TUNNEL) == {
        "icmpv6_essential": True,
        "tables": {
            "filter": {
                "INPUT": {
                    "policy": "DROP",
                    "rules": [rules[0], {"family": "ipv4", "rule": "-f -j DROP"}, "-j ours"],
                },
                "ours": {"rules": []},
            }
        },
    }


def test_the_rules_of_the_tunnel_and_its_broker_are_not_the_users() -> None:
    tunnel = {**TUNNEL, "pingers": ["66.220.2.74", "192.0.2.1"]}
    carried = "-s 192.0.2.1/32 -p ipv6 -j ACCEPT"
    pings = [f"-s {each}/32 -p icmp -m icmp --icmp-type 8 -j ACCEPT" for each in ("66.220.2.74", "192.0.2.1")]
    own = ("-p tcp -m tcp --dport 22 -j ACCEPT",)
    for rules, left in (
        ((carried, *pings, *own), 1),
        ((carried, *own), 1),
        ((carried, pings[0], *own), 2),  # not all of them: then they are somebody's
    ):
        tables = {"ipv4": {"filter": {"INPUT": chain(*rules, policy="DROP")}}}
        adopted = firewall_fold.adopt(tables, tunnel)["tables"]["filter"]["INPUT"]["rules"]
        assert (len(adopted), adopted[-1]) == (left, own[0])


def test_the_tables_given_are_not_changed() -> None:
    tables = {"ipv4": {}, "ipv6": {"filter": {"INPUT": chain(*ESSENTIAL)}}}
    firewall_fold.adopt(tables)
    assert tables["ipv6"]["filter"]["INPUT"]["rules"] == ESSENTIAL


def test_the_family_of_a_set_is_the_family_of_its_rules() -> None:
    rule = "-m set --match-set friends src -j ACCEPT"
    tables = {"ipv4": {"filter": {"INPUT": chain(rule)}}, "ipv6": {}}
    for sets, said in ((None, {"family": "ipv4", "rule": rule}), ({"friends": "inet"}, rule)):
        assert firewall_fold.adopt(tables, sets=sets)["tables"]["filter"]["INPUT"]["rules"] == [said]


def test_thousands_of_rules_that_are_turned_round() -> None:
    rules = [f"-p tcp -m tcp --dport {port} -j ACCEPT" for port in range(1, 3001)]
    assert folded(rules, rules) == rules
    assert len(folded(rules, rules[::-1])) == 2 * len(rules) - 1


# --------------------------------------------------------------------------------------------------------------
# What follows from other keys of the pillar


def essentials(ipv6: dict[str, Any], tunnel: dict[str, Any] | None = None, **ipv4: Any) -> dict[str, Any]:
    firewall: dict[str, Any] = firewall_fold.adopt({"ipv4": ipv4, "ipv6": ipv6}, tunnel)
    return firewall


def test_what_must_be_in_ipv6_is_left_out_if_it_is_everywhere() -> None:
    output = [rule.removeprefix("-s fe80::/10 ") for rule in ESSENTIAL]
    live = {
        "INPUT": chain(*ESSENTIAL, "-i lo -j ACCEPT", policy="DROP"),
        "FORWARD": chain(*ESSENTIAL[:6], policy="DROP"),
        "OUTPUT": chain(*output),
    }
    firewall = essentials({"filter": live})
    assert firewall["icmpv6_essential"] is True
    assert firewall["tables"]["filter"]["FORWARD"]["rules"] == []
    assert firewall["tables"]["filter"]["INPUT"]["rules"] == [{"family": "ipv6", "rule": "-i lo -j ACCEPT"}]
    assert firewall["tables"]["filter"]["OUTPUT"] == {"policy": "ACCEPT", "rules": []}

    for chains in (
        {**live, "OUTPUT": chain("-o lo -j ACCEPT")},
        {**live, "OUTPUT": chain("-o lo -j ACCEPT", *output)},
        {**live, "OUTPUT": chain(*output[1:])},
    ):
        firewall = essentials({"filter": chains})
        assert firewall["icmpv6_essential"] is False
        assert firewall["tables"]["filter"]["FORWARD"]["rules"] == ESSENTIAL[:6]


def test_a_table_that_drops_must_let_the_same_through() -> None:
    drop = "-m rpfilter --invert -j DROP"
    assert essentials({"raw": {"PREROUTING": chain(drop)}})["icmpv6_essential"] is False
    assert essentials({"raw": {"PREROUTING": chain("-j CT --notrack")}})["icmpv6_essential"] is True
    assert essentials({"mangle": {"PREROUTING": chain(*ESSENTIAL, drop)}}, TUNNEL)["icmpv6_essential"] is True
    assert essentials({"raw": {"PREROUTING": chain(*ESSENTIAL, drop)}}) == {
        "icmpv6_essential": True,
        "tables": {"raw": {"PREROUTING": {"policy": "ACCEPT", "rules": [{"family": "ipv6", "rule": drop}]}}},
    }


def test_the_tunnels_own_rules_are_left_out_where_they_are_in_front() -> None:
    rules = ("-s 192.0.2.1/32 -p ipv6 -j ACCEPT", "-d 192.0.2.1/32 -p ipv6 -j ACCEPT")
    live = {"INPUT": chain(rules[0]), "OUTPUT": chain("-f -j DROP", rules[1])}
    chains = essentials({}, TUNNEL, filter=live)["tables"]["filter"]
    assert chains["INPUT"]["rules"] == []
    assert chains["OUTPUT"]["rules"] == [{"family": "ipv4", "rule": "-f -j DROP"}, rules[1]]
    assert essentials({}, filter=live)["tables"]["filter"]["INPUT"]["rules"] == [rules[0]]


def test_the_segment_size_of_the_tunnel() -> None:
    clamp = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
    both = [f"{way} he-ipv6 {clamp}" for way in ("-i", "-o")]
    firewall = essentials({"mangle": {"FORWARD": chain(*both)}}, TUNNEL)
    assert firewall["clamp_mss"] is True
    assert firewall["tables"]["mangle"]["FORWARD"]["rules"] == []
    for live, tunnel in ((both[:1], TUNNEL), (both, None)):
        firewall = essentials({"mangle": {"FORWARD": chain(*live)}}, tunnel)
        assert "clamp_mss" not in firewall
        assert len(firewall["tables"]["mangle"]["FORWARD"]["rules"]) == len(live)


# --------------------------------------------------------------------------------------------------------------
# The audit


def audited(ipv4: dict[str, Any], ipv6: dict[str, Any], tunnel: dict[str, Any] | None = None) -> list[tuple[str, ...]]:
    """Chain, family and rule."""
    found = firewall_fold.audit({"ipv4": {"filter": ipv4}, "ipv6": {"filter": ipv6}}, tunnel)
    assert all(each["text"].startswith(f"filter {each['chain']}: ") for each in found)
    return [(each["chain"], each["family"], each["rule"]) for each in found]


def test_the_audit_reports_the_worst_first() -> None:
    ssh = "-p tcp -m tcp --dport 22 -j ACCEPT"
    ipv4 = chain("-i lo -j ACCEPT", "-p udp -j DROP", ssh, policy="DROP")
    assert audited({"INPUT": ipv4, "OUTPUT": chain(policy="DROP")}, {"INPUT": chain("-i lo -j ACCEPT")}) == [
        ("INPUT", "ipv6", "-P INPUT ACCEPT"),
        ("OUTPUT", "ipv6", "-P OUTPUT ACCEPT"),
        ("INPUT", "ipv4", ssh),
        ("INPUT", "ipv4", "-p udp -j DROP"),
    ]
    found = firewall_fold.audit({"ipv4": {"filter": {"INPUT": ipv4}}, "ipv6": {}})
    assert found[0] == {
        "table": "filter",
        "chain": "INPUT",
        "family": "ipv6",
        "rule": "-P INPUT ACCEPT",
        "text": "filter INPUT: the policy is ACCEPT for IPv6 and DROP for IPv4",
    }
    assert found[2]["text"] == f"filter INPUT: IPv4 has `{ssh}`, and IPv6 has no such rule"


@pytest.mark.parametrize(
    ("ipv4", "ipv6"),
    [
        (["-s 192.0.2.0/24 -j ACCEPT", "-s 192.0.2.1/32 -p ipv6 -j ACCEPT"], ["-s 2001:db8::/32 -j ACCEPT"]),
        (["-p icmp -m icmp --icmp-type 13 -j DROP", "-f -j DROP"], ["-m rt --rt-type 0 -j DROP"]),
        ([], ESSENTIAL),
        # all of ICMPv6 is accepted, and so is what IPv4 accepts of ICMP
        (["-p icmp -m icmp --icmp-type 8 -j ACCEPT"], ["-p ipv6-icmp -j ACCEPT"]),
        # what must be in IPv6 is in front there
        (["-i lo -j ACCEPT", "-p icmp -m icmp --icmp-type 8 -j ACCEPT"], [*ESSENTIAL, "-i lo -j ACCEPT"]),
        ([], ["-i he-ipv6 -p tcp -m tcp --dport 22 -j ACCEPT"]),
    ],
)
def test_what_is_rightly_in_one_family_only(ipv4: list[str], ipv6: list[str]) -> None:
    assert audited({"INPUT": chain(*ipv4)}, {"INPUT": chain(*ipv6)}, TUNNEL) == []


def test_another_order_is_a_disagreement() -> None:
    rules = ("-i lo -j ACCEPT", "-p udp -j DROP", "-p tcp -j ACCEPT")
    ipv6 = (rules[1], rules[2], rules[0])
    assert audited({"INPUT": chain(*rules)}, {"INPUT": chain(*ipv6)}) == [("INPUT", "ipv4", rules[0])]


def test_a_chain_of_one_family_is_reported_once() -> None:
    own = {"web": chain("-p tcp -m tcp --dport 80 -j ACCEPT", "-j RETURN", policy=None)}
    assert audited({"INPUT": chain("-j web"), **own}, {}) == [("web", "ipv4", "-N web")]
    addresses = {"bad": chain("-s 192.0.2.0/24 -j DROP", policy=None), "empty": chain(policy=None)}
    assert audited({"INPUT": chain("-j bad", "-g empty"), **addresses}, {}) == []


def test_a_protocol_that_ipv6_does_not_have() -> None:
    tables = {"ipv4": {}, "ipv6": {"filter": {"INPUT": chain("-p icmp -j ACCEPT")}}}
    assert firewall_fold.audit(tables)[0]["text"] == (
        "filter INPUT: IPv6 has `-p icmp -j ACCEPT`, but no packet has this protocol there"
    )


@pytest.mark.parametrize(
    ("protocol", "number"),
    [
        *(("icmp", "0x1"), ("1", "0x1"), ("ipv6-route", "0x2b"), ("ipv6-frag", "0x2c"), ("ah", "0x33")),
        ("ipv6-opts", "0x3c"),
    ],
)
def test_a_protocol_that_no_packet_has_stays_what_it_is(protocol: str, number: str) -> None:
    """ip6tables takes it, and it matches nothing: by its name, it would be translated to what was probably meant."""
    for option in ("-p", "-m conntrack --ctproto", "-m ipvs --vproto"):
        if option != "-p" and protocol not in ("icmp", "1"):
            continue
        tables = {"ipv4": {}, "ipv6": {"filter": {"INPUT": chain(f"{option} {protocol} -j DROP")}}}
        adopted = firewall_fold.adopt(tables)["tables"]["filter"]["INPUT"]["rules"]
        assert adopted == [{"family": "ipv6", "rule": f"{option} {number} -j DROP"}]


@pytest.mark.parametrize(("target", "reported"), [("ACCEPT", False), ("DROP", True)])
def test_what_ipv6_accepts_as_a_whole_is_not_missing_there(target: str, reported: bool) -> None:
    rule = f"-p icmp -m icmp --icmp-type 8 -j {target}"
    tables = {
        "ipv4": {"filter": {"INPUT": chain("-p icmp -j ACCEPT", rule)}},
        "ipv6": {"filter": {"INPUT": chain("-p ipv6-icmp -j ACCEPT")}},
    }
    assert [each["rule"] for each in firewall_fold.audit(tables)] == ([rule] if reported else [])
