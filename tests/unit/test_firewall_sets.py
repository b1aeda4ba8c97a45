"""Sets of ipset(8): what the pillar says, and their text."""

from __future__ import annotations

import ipaddress
from typing import Any

import _dualstack_firewall_rules as firewall_rules
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_sets as firewall_sets
import _dualstack_firewall_sets_text as firewall_sets_text
import pytest

from ..formula.pillars import ODD


def read(**sets: Any) -> firewall_sets.Reading:
    return firewall_sets.read({"sets": sets})


def problems(**sets: Any) -> list[str]:
    found = read(**sets).problems
    assert [each for each in firewall_ruleset.errors({"tables": {}, "sets": sets}) if each.startswith("sets")] == found
    return found


def text(**sets: Any) -> str:
    found = read(**sets)
    assert found.problems == []
    return firewall_sets_text.render(found.sets)


def test_one_set_is_one_for_each_family() -> None:
    assert text(blocklist={"entries": ["192.0.2.0/24", "2001:DB8::/48", "198.51.100.7/32"]}) == (
        "create blocklist hash:net family inet maxelem 65536\n"
        "add blocklist 192.0.2.0/24\n"
        "add blocklist 198.51.100.7\n"
        "create blocklist6 hash:net family inet6 maxelem 65536\n"
        "add blocklist6 2001:db8::/48\n"
    )
    assert read(blocklist=[]).families == {"blocklist": "twin blocklist6", "blocklist6": "inet6"}
    assert text(blocklist=None) == text(blocklist=[]) == text(blocklist={})
    assert read(admins={"family": "ipv6", "entries": ["::1"]}).families == {"admins": "inet6"}
    assert list(read(admins={"family": "ipv4"}).sets) == ["admins"]
    assert firewall_sets.read({}) == firewall_sets.read({"sets": {}}) == firewall_sets.Reading({}, {}, {}, [])


def test_a_rule_names_the_set_of_its_family() -> None:
    sets = read(blocklist=[], admins={"family": "ipv4"}).families
    for rule, six in (
        ("-m set --match-set blocklist src -j DROP", ["-m set --match-set blocklist6 src -j DROP"]),
        ("-m set ! --match-set blocklist src,dst -j DROP", ["-m set ! --match-set blocklist6 src,dst -j DROP"]),
        ("-j SET --add-set blocklist src --exist", ["-j SET --add-set blocklist6 src --exist"]),
        ("-m set --match-set admins src -j ACCEPT", []),
        ("-m set --match-set others src -j DROP", ["-m set --match-set others src -j DROP"]),
    ):
        found = firewall_rules.translate(rule, sets=sets)
        assert (found["ipv4"], found["ipv6"]) == ([rule], six)
    assert firewall_rules.translate("-m set --match-set blocklist6 src -j DROP", sets=sets)["ipv4"] == []
    mapping = {"match-set": "blocklist src", "jump": "DROP"}
    assert firewall_rules.translate(mapping, sets=sets)["ipv6"] == ["-m set --match-set blocklist6 src -j DROP"]
    firewall = {"tables": {"filter": {"INPUT": [mapping]}}, "sets": {"blocklist": []}, "icmpv6_essential": False}
    tables = firewall_ruleset.build(firewall)["tables"]
    assert tables["ipv6"]["filter"]["INPUT"]["rules"] == ["-m set --match-set blocklist6 src -j DROP"]


@pytest.mark.parametrize(
    "kind, given, entry",
    [
        ("hash:ip", "192.0.2.1/32", "192.0.2.1"),
        ("hash:ip", "2001:0DB8::0:1", "2001:db8::1"),
        ("hash:net", "2001:db8::1/128", "2001:db8::1"),
        ("hash:net,iface", "0.0.0.0/0,eth0", "0.0.0.0/0,eth0"),
        ("hash:net,iface", "192.0.2.0/24,physdev:eth0.7", "192.0.2.0/24,physdev:eth0.7"),
        ("hash:ip,port", "192.0.2.1,080", "192.0.2.1,tcp:80"),
        ("hash:ip,port", "192.0.2.1,UDP:53", "192.0.2.1,udp:53"),
        ("hash:ip,port,net", "::1,udp:1,2001:db8::/64", "::1,udp:1,2001:db8::/64"),
    ],
)
def test_an_entry_has_one_spelling(kind: str, given: str, entry: str) -> None:
    assert firewall_sets.canonical(kind, given)[0] == entry


def test_what_is_plain_is_what_the_library_takes() -> None:
    for text in ("1.2.3.4", "0.0.0.0", "255.255.255.255", "256.1.1.1", "1.2.3", "1.2.3.04", "1.2.3.4/32", "1.2.3.4/33"):
        for given in (text, f"{text}/1", "128.0.0.0/1", f"{text}/24", "1.2.3.0/24", "10.0.0.2/31", "10.0.0.1/31"):
            try:
                network = str(ipaddress.ip_network(given)).removesuffix("/32")
            except ValueError:
                network = ""
            try:
                found = firewall_sets.canonical("hash:net", given)[0]
            except ValueError:
                found = ""
            assert found == network, given


@pytest.mark.parametrize(
    "kind, given, said",
    [
        ("hash:net", "0.0.0.0/0", "'0.0.0.0/0': a set cannot hold a network of length 0; expected 0.0.0.0/1 and 128."),
        ("hash:net", "::/0", "expected '::/1' and '8000::/1'"),
        ("hash:net", "192.0.2.1/24", "has bits beyond its length; expected 192.0.2.0/24"),
        ("hash:net", "192.0.2.0/255.255.255.0", "is not an address or a network"),
        ("hash:net", "192.0.2.0/33", "is not an address or a network"),
        ("hash:net", "fe80::1%eth0", "is not an address or a network"),
        ("hash:net", "192.0.2.1-192.0.2.9", "is not an address or a network"),
        ("hash:net", "192.0.2.01", "is not an address or a network"),
        ("hash:net", "example.org", "is not an address or a network"),
        ("hash:net", "", "is not an address or a network"),
        ("hash:net", "192.0.2.1,80", "is no entry of hash:net; expected one such as 192.0.2.0/24"),
        ("hash:ip", "192.0.2.0/24", "is a network, and hash:ip holds addresses"),
        ("hash:ip,port", "192.0.2.1", "expected one such as 192.0.2.1,tcp:80"),
        ("hash:ip,port", "192.0.2.1,65536", "is not a port"),
        ("hash:ip,port", "192.0.2.1,icmp:8", "is not a port"),
        ("hash:ip,port", "192.0.2.1, 80", "is not a port"),
        ("hash:ip,port,ip", "192.0.2.1,80,::1", "has addresses of both families"),
        ("hash:net,iface", "192.0.2.0/24,a b", "is not the name of an interface"),
        ("hash:net,iface", "192.0.2.0/24,an-interface-of-1", "is not the name of an interface"),
    ],
)
def test_what_is_no_entry(kind: str, given: str, said: str) -> None:
    (found,) = problems(blocklist={"type": kind, "entries": [given]})
    assert found.startswith("sets:blocklist:entries[0]: ") and said in found


@pytest.mark.parametrize(
    "key, given, said",
    [
        ("type", {"type": "hash:mac"}, "'hash:mac' is not a type that is possible here; expected hash:ip, hash:net,"),
        ("type", {"type": "bitmap:port"}, "'bitmap:port' is not a type"),
        ("type", {"type": "list:set"}, "'list:set' is not a type"),
        ("type", {"type": ""}, "'' is not a type"),
        ("family", {"family": "inet"}, "'inet': expected ipv4, ipv6 or both"),
        ("entry", {"entry": []}, "unknown key; expected one of type, entries, family, options"),
        ("entries", {"entries": "192.0.2.1"}, "expected a list, found '192.0.2.1'"),
        ("entries[1]", ["192.0.2.1", "192.0.2.1/32"], "192.0.2.1 is there already, as entries[0]"),
        ("entries[1]", ["::1", "0::1"], "::1 is there already, as entries[0]"),
        ("entries[0]", {"family": "ipv4", "entries": ["::1"]}, "::1 is of IPv6, and the set is not"),
        ("entries[0]", [10.0], "expected text, such as 192.0.2.0/24, found 10.0"),
        ("entries[0]", [{"entry": "::1", "timeout": 5}], "timeout: unknown key; expected entry, comment, nomatch"),
        ("entries[0]", [{"entry": "::1", "comment": "x"}], "comment: the set keeps none without options"),
        ("entries[0]", [{"entry": "::1", "nomatch": 1}], "nomatch: 1 is neither true nor false"),
        ("entries[0]", {"type": "hash:ip", "entries": [{"entry": "::1", "nomatch": True}]}, "only networks have it"),
        ("options", {"options": ["comment"]}, "expected a mapping, found ['comment']"),
        ("options:forceadd", {"options": {"forceadd": True}}, "unknown option; expected one of hashsize, maxelem,"),
        ("options:comment", {"options": {"comment": 1}}, "1 is neither true nor false"),
        ("options:maxelem", {"options": {"maxelem": 0}}, "0: expected a whole number from 1 to"),
        ("options:maxelem", {"options": {"maxelem": "9"}}, "'9': expected a whole number from 1 to"),
        ("options:timeout", {"options": {"timeout": True}}, "True: expected a whole number from 0 to 2147483"),
        (
            "options:maxelem",
            {"options": {"maxelem": 1}, "entries": ["192.0.2.1", "192.0.2.2", "::1"]},
            "2 entries of IPv4 are declared, and 1 are possible; raise it",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_key(key: str, given: Any, said: str) -> None:
    (found,) = problems(blocklist=given)
    assert found.startswith(f"sets:blocklist:{key}: ") and said in found


def test_comments_that_a_file_cannot_hold() -> None:
    for comment in ('a "b"', "a\nb", "x" * 256, "é" * 128, ["x"], False, "a\\b"):
        (found,) = problems(one={"options": {"comment": True}, "entries": [{"entry": "::1", "comment": comment}]})
        assert found.startswith("sets:one:entries[0]: comment: ")


def test_names() -> None:
    assert problems(**{"a" * 30: [], "_.-": [], "7": []}) == []
    for name in ("a" * 31, "", "-a", "a b", "a,b", "é", "a\n", "dualstack-new-1", "a/b"):
        (found,) = problems(**{name: []})
        assert found.startswith(f"sets:{name}: ")
    assert problems(blocklist=[], blocklist6=[]) == [
        "sets:blocklist6: its set of the kernel's, blocklist6, is also that of another one under sets"
    ]
    assert problems(blocklist={"family": "ipv4"}, blocklist6={"family": "ipv6"}) == []


GOOD: dict[str, Any] = {
    "type": "hash:net",
    "family": "both",
    "entries": ["::1", {"entry": "::2", "comment": "x", "nomatch": False}],
    "options": {"maxelem": 5, "hashsize": 64, "timeout": 0, "comment": True, "counters": False},
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_values_everywhere(odd: str) -> None:
    value = ODD[odd]
    for key in GOOD:
        found = read(one={**GOOD, key: value}).problems
        assert all(each.startswith("sets:one:") for each in found)
        assert found or value is None or (key, value) in (("entries", []), ("options", {})), key
    for key in GOOD["options"]:
        found = read(one={**GOOD, "options": {**GOOD["options"], key: value}}).problems
        assert all(each.startswith("sets:one:") for each in found)
        assert found or isinstance(value, bool) or value is None, key
    for entry in (value, {"entry": value}):
        found = read(one={**GOOD, "entries": [entry]}).problems
        assert found and all(each.startswith("sets:one:entries[0]: ") for each in found)
    assert read(one=value).problems or value in (None, [], {})


# ----------------------------------------------------------------------------------------------------------------------
# Text

SAVED = """\
create f2b hash:ip family inet hashsize 1024 maxelem 65536 timeout 600 bucketsize 12 initval 0x1
add f2b 203.0.113.7 timeout 500
create one hash:net family inet hashsize 2048 maxelem 65536 timeout 0 counters comment bucketsize 12 initval 0x2
add one 192.0.2.0/24 timeout 0 nomatch packets 1 bytes 2 comment "timeout 7 nomatch"
add one 192.0.2.7 timeout 9 packets 0 bytes 0
"""


def test_what_ipset_prints_is_read() -> None:
    found = firewall_sets_text.parse(SAVED, ["one", "two"])
    assert list(found) == ["one"]
    assert found["one"].set == firewall_sets.Set(
        "hash:net",
        "inet",
        {"maxelem": 65536, "timeout": 0, "counters": True, "comment": True},
        {"192.0.2.0/24": firewall_sets.Entry("timeout 7 nomatch", True)},
        2048,
    )
    assert list(found["one"].passing) == ["192.0.2.7"] and len(found["one"].lines) == 3


def test_what_differs() -> None:
    options = {"timeout": 0, "counters": True, "comment": True}
    entry = {"entry": "192.0.2.0/24", "comment": "timeout 7 nomatch", "nomatch": True}
    live = firewall_sets_text.parse(SAVED, ["one"])["one"]

    def difference(entries: list[Any], **other: Any) -> dict[str, Any]:
        sets = read(one={"entries": entries, "options": options, "family": "ipv4", **other})
        assert sets.problems == []
        return firewall_sets_text.difference(sets.sets["one"], live)

    assert difference([entry]) == {}
    assert difference([{**entry, "comment": "x"}]) == {
        "added": ['192.0.2.0/24 nomatch comment "x"'],
        "removed": ['192.0.2.0/24 nomatch comment "timeout 7 nomatch"'],
    }
    assert difference([entry, "192.0.2.7"]) == {"added": ["192.0.2.7"]}, "it is there for a while only"
    assert difference([], type="hash:ip,port,net") == {
        "old": "hash:net inet",
        "new": "hash:ip,port,net inet",
    }
    assert difference([entry], options={**options, "maxelem": 7}) == {"options": {"maxelem": {"old": 65536, "new": 7}}}
    assert difference([entry], options={**options, "hashsize": 64}) == {}, "it grows by itself"
    many = difference([entry, *(f"10.0.{number}.0/24" for number in range(60))])["added"]
    assert (len(many), many[-1]) == (51, "and 10 more")


def test_the_file_keeps_what_others_have() -> None:
    wanted = read(one=["192.0.2.0/24"]).sets
    assert firewall_sets_text.saved(None, {}, []) is None
    assert firewall_sets_text.saved("create x hash:ip", {}, ["former"]) == "create x hash:ip"
    new = firewall_sets_text.saved(f"# mine\n{SAVED}create former hash:ip\nadd former ::1", wanted, ["former"])
    assert new == firewall_sets_text.render(wanted) + "# mine\n" + "".join(SAVED.splitlines(keepends=True)[:2])
    assert firewall_sets_text.saved(new, wanted, []) == new
    same = "create one6 hash:net family inet6 hashsize 1 bucketsize 12 initval 0x5\ncreate one hash:net\n"
    same += "add one 192.0.2.0/24\n"
    assert firewall_sets_text.saved(same, wanted, []) == same, "as ipset save has it"
    used = "create former hash:ip\ncreate all list:set\nadd all former\n"
    assert firewall_sets_text.saved(used, {}, ["former"]) == used


def test_sets_that_were_declared_come_back_as_declared() -> None:
    sets: dict[str, Any] = {
        "blocklist": {
            "type": "hash:net",
            "entries": ["192.0.2.0/24", {"entry": "192.0.2.64/26", "comment": "x", "nomatch": True}, "2001:db8::/32"],
            "options": {"comment": True, "timeout": 0},
        },
        "admins": {"type": "hash:ip", "family": "ipv6", "entries": ["::1"]},
    }
    made = firewall_sets_text.render(read(**sets).sets)
    assert firewall_sets_text.declared(made, ["blocklist", "blocklist6", "admins"]) == sets
    assert firewall_sets_text.declared(made, ["blocklist"])["blocklist"]["family"] == "ipv4"
    assert firewall_sets_text.declared(made, ["former"]) == {}


def test_twins_are_known_by_what_was_declared() -> None:
    holding = {"a": "inet", "a6": "inet6", "b": "inet", "b6": "inet6", "c": "inet", "c6": "inet"}
    assert firewall_sets.twins(holding, ["a", "a6", "b", "c", "c6"]) == {**holding, "a": "twin a6"}
