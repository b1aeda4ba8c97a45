"""What is expected of the firewall, with the interface and the address of this host."""

from __future__ import annotations

from typing import Any

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_trial as firewall_trial
import _dualstack_firewall_view as firewall_view
import _dualstack_host_management as host_management
import _dualstack_host_routes as host_routes
import pytest

Route = host_routes.Route
OUTSIDE, HERE = firewall_view.OUTSIDE, firewall_view.HERE
TUNNEL = {"name": "six", "address": "2001:db8:1::2/64", "addresses": ["2001:db8:2::77/64"]}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Routes, by host and interface, and addresses, by interface and family."""
    found: dict[str, dict[tuple[Any, Any], Any]] = {"routes": {}, "addresses": {}}
    monkeypatch.setattr(host_routes, "to", lambda to, by=None: found["routes"].get((to, by), Route()))
    monkeypatch.setattr(host_routes, "address", lambda name, family: found["addresses"].get((name, family)))
    return found


def seen(tunnel: Any = None, **entry: Any) -> list[tuple[Any, ...]]:
    """Source, destination and interface of each packet."""
    found = firewall_view.expectations([{"to": "tcp/22", "verdict": "accept", **entry}], tunnel)
    return [(each["source"], each["destination"], each["interface"]) for each in found]


def test_a_stranger_comes_by_the_default_route_to_the_usual_address(host: Any) -> None:
    host["routes"][OUTSIDE["ipv4"], None] = Route("eth0", "192.0.2.1")
    host["routes"][OUTSIDE["ipv6"], None] = Route("eth1", "2001:db8::1")
    assert seen() == [
        (OUTSIDE["ipv4"], "192.0.2.1", "eth0"),
        (OUTSIDE["ipv6"], "2001:db8::1", "eth1"),
    ]
    assert seen(TUNNEL) == seen()
    host["routes"]["192.0.2.99", None] = Route("eth2", "192.0.2.2")
    assert seen(None, **{"from": "192.0.2.99"}) == [("192.0.2.99", "192.0.2.2", "eth2")]


def test_a_host_without_any_network(host: Any) -> None:
    assert seen() == [
        (OUTSIDE["ipv4"], HERE["ipv4"], "eth0"),
        (OUTSIDE["ipv6"], HERE["ipv6"], "eth0"),
    ]


def test_ipv6_without_a_route_comes_by_the_tunnel_that_is_to_be(host: Any) -> None:
    host["routes"][OUTSIDE["ipv4"], None] = Route("eth0", "192.0.2.1")
    four = (OUTSIDE["ipv4"], "192.0.2.1", "eth0")
    stranger = OUTSIDE["ipv6"]
    assert seen() == [four, (stranger, HERE["ipv6"], "eth0")], "without a tunnel: as IPv4 does"
    assert seen(TUNNEL) == [four, (stranger, "2001:db8:2::77", "six")]
    assert seen({"address": "2001:db8:1::2/64"}) == [four, (stranger, "2001:db8:1::2", "he-ipv6")]
    assert seen({**TUNNEL, "source": "2001:db8:1::2"}) == [four, (stranger, "2001:db8:1::2", "six")]
    host["addresses"]["six", "ipv6"] = "2001:db8:2::78"
    assert seen(TUNNEL)[1] == (stranger, "2001:db8:2::78", "six"), "what it has now"


def test_by_another_interface(host: Any) -> None:
    host["routes"][OUTSIDE["ipv4"], "eth1"] = Route("eth1", "192.0.2.2")
    host["routes"][OUTSIDE["ipv4"], None] = Route("eth0", "192.0.2.1")
    assert seen(interface="eth1", family="ipv4") == [(OUTSIDE["ipv4"], "192.0.2.2", "eth1")]
    host["addresses"]["eth2", "ipv4"] = "192.0.2.3"
    assert seen(interface="eth2", family="ipv4") == [(OUTSIDE["ipv4"], "192.0.2.3", "eth2")]
    assert seen(interface="eth3", family="ipv4") == [(OUTSIDE["ipv4"], HERE["ipv4"], "eth3")]


def test_on_the_loopback_interface_the_host_talks_to_itself(host: Any) -> None:
    host["routes"]["127.0.0.1", "lo"] = Route("lo", "127.0.0.1", True)
    host["routes"]["::1", "lo"] = Route("lo", "::1", True)
    assert seen(interface="lo") == [("127.0.0.1", "127.0.0.1", "lo"), ("::1", "::1", "lo")]


def test_to_an_address_and_outwards(host: Any) -> None:
    host["routes"][OUTSIDE["ipv4"], None] = Route("eth0", "192.0.2.1")
    assert seen(address="192.0.2.5") == [(OUTSIDE["ipv4"], "192.0.2.5", "eth0")]
    host["routes"]["192.0.2.53", None] = Route("eth1", "192.0.2.2")
    assert seen(direction="out", address="192.0.2.53") == [("192.0.2.2", "192.0.2.53", "eth1")]


def test_a_neighbour_is_where_strangers_come_from(host: Any) -> None:
    host["routes"][OUTSIDE["ipv6"], None] = Route("eth1", "2001:db8::1")
    assert seen(to="nd") == [("fe80::1", "2001:db8::1", "eth1")]


def test_who_manages_the_host_is_expected_first(host: Any) -> None:
    master = host_management.Connection("ipv6", "out", "2001:db8::9", 4505, "the Salt master 2001:db8::9")
    client = host_management.Connection("ipv4", "in", "192.0.2.7", 2222, "the ssh client", "192.0.2.1", "eth7")
    host["routes"]["2001:db8::9", None] = Route("eth1", "2001:db8::1")
    found = firewall_view.expectations([{"to": "udp/53", "verdict": "drop", "family": "ipv4"}], None, [master, client])
    usual = {"protocol": "tcp", "verdict": "accept"}
    assert found[:2] == [
        {**usual, "family": "ipv6", "direction": "out", "source": "2001:db8::1", "destination": "2001:db8::9",
         "port": 4505, "interface": "eth1", "why": "the Salt master 2001:db8::9"},
        {**usual, "family": "ipv4", "direction": "in", "source": "192.0.2.7", "destination": "192.0.2.1",
         "port": 2222, "interface": "eth7", "why": "the ssh client"},
    ]  # fmt: skip
    assert [(each["why"], each["protocol"], each["verdict"], each["port"]) for each in found[2:]] == [
        ("expect[0]", "udp", "drop", 53)
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "tcp/22 from 2001:db8::7 to 2001:db8::1: expected accept, found drop"),
        ({"note": "why"}, "tcp/22 from 2001:db8::7 to 2001:db8::1: expected accept, found drop (why)"),
        (
            {"others": ["2001:db8::8"], "direction": "in"},
            "tcp/22 from anywhere (2001:db8::7 and 1 more) to 2001:db8::1: expected accept, found drop",
        ),
        (
            {"others": ["2001:db8::2", "2001:db8::3"], "direction": "out"},
            "tcp/22 from 2001:db8::7 to anywhere (2001:db8::1 and 2 more): expected accept, found drop",
        ),
        ({"port": None, "protocol": "nd"}, "nd from 2001:db8::7 to 2001:db8::1: expected accept, found drop"),
    ],
)
def test_one_sentence_about_an_expectation(change: Any, said: str) -> None:
    tried: Any = {"protocol": "tcp", "source": "2001:db8::7", "destination": "2001:db8::1", "port": 22, "note": ""}
    tried |= {"why": "expect[3]", "verdict": "accept", "found": "drop", **change}
    assert firewall_trial.verdict(tried) == f"expect[3]: {said}"


# --------------------------------------------------------------------------------------------------------------
# Whom the live rules let in


class Packets:
    """A host whose rules reject TCP port 25, and whose packets are tried in no namespace at all."""

    def __init__(self) -> None:
        self.families = ["ipv4", "ipv6"]
        self.others: list[str] = []
        self.rule, self.sets = "-p tcp --dport 25 -j REJECT", "create bad hash:ip family inet"
        self.given: list[Any] = []
        self.at_ssh = "accept"

    def read(self, backend: str) -> Any:
        return {each: {"filter": {"INPUT": {"policy": "ACCEPT", "rules": [self.rule]}}} for each in self.families}

    def run(self, texts: dict[str, str], expectations: list[Any], backend: str, sets: str) -> list[Any]:
        assert all(self.rule in text for text in texts.values())
        self.given.append((list(texts), backend, sets, [each["family"] for each in expectations]))
        said = {22: self.at_ssh, 25: "reject"}
        return [{**each, "found": said.get(each["port"], "accept"), "note": ""} for each in expectations]


@pytest.fixture
def packets(host: Any, monkeypatch: pytest.MonkeyPatch) -> Packets:
    found = Packets()
    monkeypatch.setattr(firewall_commands, "backend", lambda choice: "nft" if choice == "auto" else choice)
    monkeypatch.setattr(firewall_kernel, "read", found.read)
    monkeypatch.setattr(firewall_kernel, "other", lambda backend: list(found.others))
    monkeypatch.setattr(firewall_kernel, "sets", lambda: found.sets)
    monkeypatch.setattr(firewall_rehearsal, "run", found.run)
    return found


def test_whom_both_families_let_in(packets: Packets) -> None:
    assert firewall_trial.allowed(["tcp/22", "tcp/25"], None, "auto") == {
        "allowed": {"tcp/22": {"ipv4": True, "ipv6": True}, "tcp/25": {"ipv4": False, "ipv6": False}},
        "warnings": [],
    }
    assert packets.given == [(["ipv4", "ipv6"], "nft", "", ["ipv4", "ipv6"] * 2)]


def test_a_kernel_without_ipv6_lets_in_over_ipv4(packets: Packets) -> None:
    packets.families = ["ipv4"]
    found = firewall_trial.allowed(["tcp/22", "tcp/25"], None, "legacy")
    assert found["allowed"] == {"tcp/22": {"ipv4": True}, "tcp/25": {"ipv4": False}}
    assert packets.given == [(["ipv4"], "legacy", "", ["ipv4", "ipv4"])]


def test_what_cannot_be_imitated_is_not_known(packets: Packets) -> None:
    packets.others = ["iptables-legacy also filters here"]
    packets.at_ssh = firewall_rehearsal.UNKNOWN
    found = firewall_trial.allowed(["tcp/22", "tcp/25"], None, "auto")
    assert found["allowed"] == {"tcp/22": {"ipv4": None, "ipv6": None}, "tcp/25": {"ipv4": False, "ipv6": False}}
    said, *why = found["warnings"]
    assert said == "iptables-legacy also filters here"
    assert len(why) == 2 and all("tcp/22" in each for each in why)


def test_sets_are_there_for_rules_that_need_them(packets: Packets) -> None:
    packets.rule = "-m set --match-set bad src -j DROP"
    firewall_trial.allowed(["tcp/22"], None, "auto")
    assert packets.given[0][2] == packets.sets


def test_without_expectations_nothing_is_tried(packets: Packets) -> None:
    assert firewall_trial.tried(None, None, packets.read("nft"), "nft") == []
    assert firewall_trial.tried([], None, packets.read("nft"), "nft") == []
    assert packets.given == []
