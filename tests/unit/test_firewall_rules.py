"""The rule language, as plain text: no kernel is asked here. tests/firewall asks it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import _dualstack_families as families
import _dualstack_firewall_protocols as firewall_protocols
import _dualstack_firewall_rules as firewall_rules
import _dualstack_firewall_words as firewall_words
import pytest
import yaml
from salt.exceptions import SaltInvocationError

PAIRS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "rule_pairs.yaml").read_text())


def translate(rule: Any, **arguments: Any) -> tuple[list[str], list[str]]:
    result = firewall_rules.translate(rule, **arguments)
    return result["ipv4"], result["ipv6"]


def error(rule: Any, **arguments: Any) -> str:
    with pytest.raises(SaltInvocationError) as caught:
        firewall_rules.translate(rule, **arguments)
    return str(caught.value)


# --- the golden pairs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", PAIRS, ids=[str(pair["rule"]) for pair in PAIRS])
def test_pair(pair: dict[str, Any]) -> None:
    table, _, chain = pair.get("in", "").partition("/")
    if "error" in pair:
        assert pair["error"] in error(pair["rule"], chain=chain, table=table)
        return
    result = firewall_rules.translate(pair["rule"], chain or None, table or None)
    for family in families.FAMILIES:
        assert len(result[family]) == (family in pair)
        assert (family in result["reasons"]) == (family not in pair)
    assert bool(result["warnings"]) == ("warning" in pair)
    assert pair.get("warning", "") in " ".join(result["warnings"])


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if "error" not in pair and "in" not in pair], ids=str)
def test_what_is_saved_means_itself_by_hand(pair: dict[str, Any]) -> None:
    """A saved rule, given for its own family, comes out word for word: so that adopted rules never change."""
    for family in families.FAMILIES:
        for saved in pair.get(family, []):
            (text,) = firewall_rules.translate({"family": family, "rule": saved})[family]
            assert firewall_words.split(text) == firewall_words.split(saved)


# --- one text for both, and the order of words ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("-A INPUT -p tcp --dport 25 -j ACCEPT", "-p tcp --dport 25 -j ACCEPT"),
        ("iptables -w -A INPUT -j ACCEPT -v", "-j ACCEPT"),
        ("-w 5 -j ACCEPT", "-j ACCEPT"),
        ("--wait=5 -j ACCEPT", "-j ACCEPT"),
        ("--jump=ACCEPT --in-inter eth0 --matc tcp", "-j ACCEPT -i eth0 -m tcp"),
        ("-ieth0 -jACCEPT", "-i eth0 -j ACCEPT"),
        ("-m unknown --strange -5 --other x y", "-m unknown --strange -5 --other x y"),
        ("-m policy --dir in --proto esp --pol ipsec", "-m policy --dir in --proto esp --pol ipsec"),
        ("-m string --algo bm --string '-p tcp'", '-m string --algo bm --string "-p tcp"'),
        ("-m comment --comment -s -j DROP", "-m comment --comment -s -j DROP"),
        ("-m comment --comment ! -j DROP", "-m comment --comment ! -j DROP"),
        ("-m comment --comment=a=b", "-m comment --comment a=b"),
        ("-m set ! --match-set bad src -j DROP", "-m set ! --match-set bad src -j DROP"),
        ("--set-mark 1", "--set-mark 1"),
    ],
)
def test_the_same_for_both(written: str, said: str) -> None:
    assert translate(written) == ([said], [said])


# --- families ---------------------------------------------------------------------------------------------------------


def test_a_set_is_for_the_family_that_it_holds() -> None:
    rule = "-m set --match-set bad src -j DROP"
    assert translate(rule) == ([rule], [rule])
    assert translate(rule, sets={"bad": "inet"}) == ([rule], [])
    assert translate(rule, sets={"bad": "inet6"}) == ([], [rule])
    assert translate(rule, sets={"bad": "both"}) == ([rule], [rule])
    assert "no family" in error(f"-s 10.0.0.1 {rule}", sets={"bad": "inet6"})


def test_host_names_are_for_both_families() -> None:
    assert translate("-s www.example.org,10.0.0.1 -j DROP") == (
        ["-s www.example.org,10.0.0.1 -j DROP"],
        ["-s www.example.org -j DROP"],
    )
    assert translate("-s www.example.org/64") == ([], ["-s www.example.org/64"])


def test_a_literal_of_any_is_never_any_of_the_other_family() -> None:
    for text in ("::/0", "0::/0", "::1/0", "2001:db8::/::", "[::]/0"):
        ipv4, ipv6 = translate(f"-s {text} -j ACCEPT")
        assert ipv4 == [] and len(ipv6) == 1
    for text in ("0.0.0.0/0", "0/0", "1.2.3.4/0", "0.0.0.0/0.0.0.0"):
        ipv4, ipv6 = translate(f"-d {text} -j ACCEPT")
        assert len(ipv4) == 1 and ipv6 == []


def test_overlaps_are_left_out_in_order_and_neighbours_are_not_joined() -> None:
    sources = (
        "10.0.0.128/25,192.168.0.0/24,10.0.0.0/25,10.0.0.1,192.168.0.0/16,10.0.0.0/255.0.255.0,192.168.0.0/255.255.0.0"
    )
    assert translate(f"-s {sources}") == (
        ["-s 10.0.0.128/25,10.0.0.0/25,192.168.0.0/16,10.0.0.0/255.0.255.0"],
        [],
    )


def test_a_long_list_becomes_several_rules() -> None:
    hosts = [f"10.{number // 256}.{number % 256}.1" for number in range(5000)]
    ipv4, ipv6 = translate({"source": [*hosts, hosts[0]], "jump": "DROP"})
    assert ipv6 == []
    assert max(len(text) for text in ipv4) < 1024  # what iptables-restore can read
    assert [host for text in ipv4 for host in text.split()[1].split(",")] == hosts


def test_both_families_are_named_in_the_error() -> None:
    text = error("-s 10.0.0.1 -d 2001:db8::1 -j DROP")
    assert "IPv4: `-d 2001:db8::1`" in text and "IPv6: `-s 10.0.0.1`" in text


def test_what_has_no_twin_does_not_matter_where_the_other_family_is_out() -> None:
    for rest in ("-f", "-p icmp ! --icmp-type 8", "-j REJECT --reject-with icmp-proto-unreachable"):
        assert translate(f"-s 10.0.0.1 {rest}") == ([f"-s 10.0.0.1 {rest}"], [])
        assert "family: ipv4" in error(rest)
        assert translate({"family": "ipv4", "rule": rest}) == ([rest], [])


def test_a_reason_for_each_family_without_the_rule() -> None:
    result = firewall_rules.translate("-p icmp --icmp-type timestamp-request -j DROP")
    assert result["reasons"] == {"ipv6": "`--icmp-type timestamp-request`: ICMPv6 has no counterpart of type 13"}


def test_long_texts_are_a_warning() -> None:
    result = firewall_rules.translate(f"-j LOG --log-prefix {'x' * 30}")
    assert result["warnings"] == ["`--log-prefix`: the kernel keeps 29 of 30 bytes"]


# --- ICMP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", firewall_protocols.ICMP_TYPES)
def test_a_name_and_its_number_mean_the_same(name: str) -> None:
    number = firewall_protocols.ICMP_TYPES[name]
    by_name = translate(f"-p icmp --icmp-type {name.upper()}")
    by_number = translate(f"-p icmp --icmp-type {number}")
    assert by_name[1] == by_number[1]
    assert by_name[0] == [f"-p icmp --icmp-type {name.upper()}"]


def test_each_shortest_unique_abbreviation_of_a_type() -> None:
    assert translate("-p icmp --icmp-type frag")[1] == ["-p ipv6-icmp --icmpv6-type 2"]
    assert translate("-p icmp --icmp-ty pi")[1] == ["-p ipv6-icmp --icmpv6-type 128"]
    assert "router-advertisement, router-solicitation" in error("-p icmp --icmp-type router")


# --- mappings ---------------------------------------------------------------------------------------------------------


def test_the_order_of_salts_own_build_rule() -> None:
    rule = {
        "jump": "LOG",
        "log-prefix": "in: ",
        "source": "www.example.org",
        "comment": "a, 'b'",
        "dports": [80, 443],
        "connstate": "NEW",
        "match": "limit",
        "limit": "5/min",
        "proto": "tcp",
        "of": "eth1",
        "if": "!eth0",
        "name": "not the rule's",
        "save": True,
        "__id__": "state",
    }
    text = (
        "! -i eth0 -o eth1 -p tcp -m limit -m state --state NEW -m multiport --dports 80,443 "
        '-m comment --comment "a, \\\'b\\\'" -s www.example.org --limit 5/min -j LOG --log-prefix "in: "'
    )
    assert translate(rule) == ([text], [text])


def test_flags_are_empty_and_false_is_none() -> None:
    rule = {"proto": "tcp", "syn": "!", "jump": "MASQUERADE", "random": None, "random-fully": False, "persistent": True}
    assert translate(rule)[0] == ["-p tcp ! --syn -j MASQUERADE --persistent --random"]


def test_salts_state_key_is_not_left_out_silently() -> None:
    assert "`connstate`" in error({"proto": "tcp", "dport": 22, "state": "NEW", "jump": "ACCEPT"})


def test_words_in_a_mapping() -> None:
    assert translate({"family": "ipv6", "rule": "-p tcp -j DROP", "comment": "x"}) == (
        [],
        ["-p tcp -j DROP -m comment --comment x"],
    )
    assert translate({"rule": "iptables -A INPUT -j DROP", "table": "filter"}) == (["-j DROP"], ["-j DROP"])


def test_a_value_for_each_family() -> None:
    rule = {"proto": "icmp", "match-set": {"ipv4": "bad4 src", "ipv6": "bad6 src"}, "jump": "DROP"}
    assert translate(rule) == (
        ["-p icmp -m set --match-set bad4 src -j DROP"],
        ["-p ipv6-icmp -m set --match-set bad6 src -j DROP"],
    )
    result = firewall_rules.translate({"dport": 1, "proto": "tcp", "source": {"ipv6": "::1"}})
    assert (result["ipv4"], result["reasons"]) == ([], {"ipv4": "`source` has no value for IPv4"})
    assert "keys ipv4 and ipv6" in error({"source": {"ipv5": "::1"}})


@pytest.mark.parametrize(
    "rule",
    [{}, {"family": "ipv4"}, {"rule": 5}, "", "  ", None, 5, ["-j"], {5: "x"}, {"jump": ["A", "B"], "target": "C"}],
)
def test_what_is_no_rule(rule: Any) -> None:
    assert error(rule)


@pytest.mark.parametrize("rule", ["-s 10.0.0.1,2001:db8::1 -j X", {"source": ["10.0.0.1", "::1"], "match": "icmp"}])
def test_what_is_given_is_not_changed(rule: Any) -> None:
    before = repr(rule)
    try:
        firewall_rules.translate(rule)
    except SaltInvocationError:
        pass
    assert repr(rule) == before


def test_a_protocol_in_another_base_is_the_same_protocol() -> None:
    for spelling in ("0x1", "01"):
        translated = firewall_rules.translate(f"-p {spelling} -j ACCEPT")
        assert translated["ipv6"] == ["-p ipv6-icmp -j ACCEPT"]
    assert firewall_rules.translate("-p 0x3a -j ACCEPT")["ipv4"] == []


def test_many_rules_at_once_each_with_its_own_error() -> None:
    found = firewall_rules.translate_all(["-p icmp -j ACCEPT", "-f -j DROP", 7])
    assert found[0] == firewall_rules.translate("-p icmp -j ACCEPT")
    assert [list(each) for each in found[1:]] == [["error"], ["error"]]


# --- many rules at once -----------------------------------------------------------------------------------------------

PARTS = [
    *("-p tcp", "-p udp", "-p icmp", "-m tcp", "-m comment", "-m multiport", "-i eth0", "-s 10.0.0.1", "-s ::1"),
    *("--dport 80", "--dport 81", "--sport 7", "! --dport 22", "--dport ! 22", "--dport 65535", "--dport 65536"),
    *("--dport 64999", "--dport 007", "--dport=80", "--dport 80:90", "--dports 1,2", "# --dport 80 c"),
    *('--comment "a b"', '--comment "c d"', '--comment "a  b "', '--comment "-x y"', "--comment x", '--comment "a b"c'),
    *('--comment "x --dport 7 y"', '--comment "0comment of0"', '--log-prefix "z --dport 3 "', "-j LOG", "-j ACCEPT"),
    *("-j DROP", "-j DNAT --to-destination 192.0.2.1", "-A INPUT", "-A FORWARD", '"', "--icmp-type echo-request"),
    *("-m set --match-set a src", "--comment --dport 80", "-j LOG --log-prefix 'more than the kernel keeps of it'"),
]


def test_many_rules_are_translated_as_each_by_itself() -> None:
    chance = random.Random(15)
    for _ in range(600):
        rules = [" ".join(chance.choices(PARTS, k=chance.randint(1, 6))) for _ in range(3)]
        rules += [each.replace("80", "8080").replace("a b", "other words") for each in rules]
        expected = []
        for each in rules:
            try:
                expected.append(firewall_rules.translate(each, "INPUT", "filter"))
            except SaltInvocationError as error:
                expected.append({"error": str(error)})
        assert firewall_rules.translate_all(rules, "INPUT", "filter") == expected


def test_what_is_translated_together_is_changed_by_itself() -> None:
    one, other = firewall_rules.translate_all(["-p tcp --dport 1 -j DROP", "-p tcp --dport 2 -j DROP"])
    one["ipv4"].append("x")
    one["warnings"].append("y")
    assert (other["ipv4"], other["warnings"]) == (["-p tcp --dport 2 -j DROP"], [])
