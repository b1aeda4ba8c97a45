"""The output of ip(8), parsed, compared and turned into commands."""

from __future__ import annotations

import copy
from typing import Any

import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_sit as tunnel_sit
import pytest

TUNNEL = {
    **tunnel_sit.canonical(
        {
            "endpoint": "216.66.84.42",
            "address": "2001:470:1f12:f87::2/64",
            "gateway": "2001:470:1f12:f87::1",
            "addresses": ["2001:470:1f13:f87::77/64"],
        }
    ),
    "local": "46.105.5.1",
}
INTERFACE: dict[str, Any] = {
    "link": {"kind": "sit", "endpoint": "216.66.84.42", "local": "46.105.5.1", "ttl": 255, "mtu": 1480, "up": True},
    "addresses": {"2001:470:1f12:f87::2/64": "deprecated", "2001:470:1f13:f87::77/64": "preferred"},
    "routes": ["default via 2001:470:1f12:f87::1 metric 1024"],
}

# What iproute2 6.1 printed for a tunnel that ifupdown 0.8.41 made, shortened.
LINK: dict[str, Any] = {
    "ifname": "he-ipv6",
    "flags": ["POINTOPOINT", "NOARP", "UP", "LOWER_UP"],
    "mtu": 1480,
    "linkinfo": {
        "info_kind": "sit",
        "info_data": {"proto": "ip6ip", "remote": "216.66.84.42", "local": "46.105.5.1", "ttl": 255, "pmtudisc": True},
    },
    "addr_info": [
        {"family": "inet6", "local": "2001:470:1f13:f87::77", "prefixlen": 64, "scope": "global"},
        {"family": "inet6", "local": "2001:470:1f12:f87::2", "prefixlen": 64, "scope": "global", "deprecated": True},
        {"family": "inet6", "local": "fe80::2e69:501", "prefixlen": 64, "scope": "link"},
        {"family": "inet", "local": "192.0.2.1", "prefixlen": 32, "scope": "global"},
    ],
}
ETH0 = {"ifname": "eth0", "flags": ["UP"], "mtu": 1500, "addr_info": []}
ROUTES = [
    {"dst": "default", "gateway": "2001:470:1f12:f87::1", "dev": "he-ipv6", "metric": 1024, "flags": ["onlink"]},
    {"dst": "default", "gateway": "2001:db8::1", "dev": "eth0", "metric": 512, "flags": []},
]


def parsed(link: dict[str, Any], routes: list[dict[str, Any]] = ROUTES) -> Any:
    return tunnel_interface.parse("he-ipv6", [ETH0, link], routes)


def test_what_ip_prints_is_what_the_tunnel_declares() -> None:
    assert parsed(LINK) == INTERFACE
    assert tunnel_interface.wanted(TUNNEL) == INTERFACE
    assert tunnel_interface.differences(INTERFACE, tunnel_interface.wanted(TUNNEL)) == {}


@pytest.mark.parametrize("proto", ["ip6ip", "any"])
def test_both_ways_to_make_a_tunnel_are_equal(proto: str) -> None:
    link = copy.deepcopy(LINK)
    link["linkinfo"]["info_data"]["proto"] = proto
    assert parsed(link) == INTERFACE


def test_a_tunnel_for_ipv4_only_is_another_kind() -> None:
    link = copy.deepcopy(LINK)
    link["linkinfo"]["info_data"]["proto"] = "ipip"
    assert parsed(link)["link"]["kind"] == "sit (ipip)"


def test_other_devices_are_recognised_by_their_kind() -> None:
    ipip = {"info_kind": "ipip", "info_data": {"proto": "ipip"}}
    for info, kind in (
        ({}, "physical"),
        ({"linkinfo": {"info_kind": "dummy"}}, "dummy"),
        ({"linkinfo": ipip}, "ipip"),
    ):
        assert parsed({"ifname": "he-ipv6", "mtu": 1500, "flags": [], **info})["link"]["kind"] == kind


def test_no_device_is_none() -> None:
    assert tunnel_interface.parse("he-ipv6", [], []) is None
    assert tunnel_interface.parse("he-ipv6", [ETH0, {}], ROUTES) is None


def test_source_routes_are_read_as_they_are_written() -> None:
    tunnel = {**TUNNEL, **tunnel_sit.canonical({**_given(), "routing": "source"}), "local": "46.105.5.1"}
    routes = [
        {
            "dst": "default",
            "from": f"{prefix}::/64",
            "gateway": "2001:470:1f12:f87::1",
            "dev": "he-ipv6",
            "metric": 1024,
        }
        for prefix in ("2001:470:1f13:f87", "2001:470:1f12:f87")
    ]
    assert tunnel_interface.differences(parsed(LINK, routes), tunnel_interface.wanted(tunnel)) == {}


def _given() -> dict[str, Any]:
    return {key: value for key, value in TUNNEL.items() if key not in ("routes", "unreachable")}


def test_a_missing_interface_differs_in_everything() -> None:
    changes = tunnel_interface.differences(None, INTERFACE)
    assert set(changes) == {"link", "addresses", "routes"}
    assert {change["old"] for part in changes.values() for change in part.values()} == {"absent"}
    assert tunnel_interface.differences(None, None) == {}


def test_an_absent_tunnel_leaves_nothing() -> None:
    changes = tunnel_interface.differences(INTERFACE, None)
    assert {change["new"] for part in changes.values() for change in part.values()} == {"absent"}
    assert tunnel_interface.commands("he-ipv6", INTERFACE, None) == [["ip", "link", "del", "dev", "he-ipv6"]]


def _words(live: Any, target: Any) -> list[str]:
    return [" ".join(words) for words in tunnel_interface.commands("he-ipv6", live, target)]


def test_commands_make_an_interface_from_nothing() -> None:
    assert _words(None, INTERFACE) == [
        "ip tunnel add he-ipv6 mode sit remote 216.66.84.42 local 46.105.5.1 ttl 255",
        "ip link set dev he-ipv6 mtu 1480",
        "ip link set dev he-ipv6 up",
        "ip -6 addr replace 2001:470:1f12:f87::2/64 dev he-ipv6 valid_lft forever preferred_lft 0 nodad",
        "ip -6 addr replace 2001:470:1f13:f87::77/64 dev he-ipv6 valid_lft forever preferred_lft forever nodad",
        "ip -6 route add default via 2001:470:1f12:f87::1 metric 1024 dev he-ipv6 onlink",
    ]


def test_nothing_to_do_is_no_command() -> None:
    assert _words(INTERFACE, INTERFACE) == []
    assert _words(None, None) == []


def test_what_is_not_there_cannot_be_changed_in_place() -> None:
    assert tunnel_interface.changeable(INTERFACE, INTERFACE)
    assert not tunnel_interface.changeable(None, INTERFACE)
    assert not tunnel_interface.changeable(INTERFACE, None)


@pytest.mark.parametrize(
    ("key", "value", "command"),
    [
        ("endpoint", "216.66.84.43", "ip tunnel change he-ipv6 mode sit remote 216.66.84.42 local 46.105.5.1 ttl 255"),
        ("local", "any", "ip tunnel change he-ipv6 mode sit remote 216.66.84.42 local 46.105.5.1 ttl 255"),
        ("ttl", 0, "ip tunnel change he-ipv6 mode sit remote 216.66.84.42 local 46.105.5.1 ttl 255"),
        ("mtu", 1400, "ip link set dev he-ipv6 mtu 1480"),
        ("up", False, "ip link set dev he-ipv6 up"),
    ],
)
def test_a_changed_link_is_one_command(key: str, value: Any, command: str) -> None:
    live = {**INTERFACE, "link": {**INTERFACE["link"], key: value}}
    assert tunnel_interface.changeable(live, INTERFACE)
    assert _words(live, INTERFACE) == [command]


def test_an_inherited_ttl_can_be_put_back() -> None:
    before = {**INTERFACE, "link": {**INTERFACE["link"], "ttl": 0}}
    assert _words(INTERFACE, before)[0].endswith("ttl inherit")


@pytest.mark.parametrize(("key", "value"), [("endpoint", "any"), ("kind", "ipip")])
def test_what_the_kernel_cannot_change_is_made_anew(key: str, value: str) -> None:
    live = {**INTERFACE, "link": {**INTERFACE["link"], key: value}}
    assert not tunnel_interface.changeable(live, INTERFACE)
    assert _words(live, INTERFACE) == ["ip link del dev he-ipv6", *_words(None, INTERFACE)]
    assert not tunnel_interface.changeable(INTERFACE, live)


def test_what_comes_comes_before_what_goes() -> None:
    live = {
        **INTERFACE,
        "addresses": {"2001:470:1f12:f87::3/64": "preferred", "2001:470:1f12:f87::2/64": "deprecated"},
        "routes": ["default via 2001:470:1f12:f87::1 metric 1"],
    }
    assert _words(live, INTERFACE) == [
        "ip -6 addr replace 2001:470:1f13:f87::77/64 dev he-ipv6 valid_lft forever preferred_lft forever nodad",
        "ip -6 route add default via 2001:470:1f12:f87::1 metric 1024 dev he-ipv6 onlink",
        "ip -6 route del default via 2001:470:1f12:f87::1 metric 1 dev he-ipv6",
        "ip -6 addr del 2001:470:1f12:f87::3/64 dev he-ipv6",
    ]


def test_the_same_address_with_another_prefix_goes_first() -> None:
    live = {
        **INTERFACE,
        "addresses": {"2001:470:1f12:f87::2/64": "deprecated", "2001:470:1f13:f87::77/128": "preferred"},
    }
    assert _words(live, INTERFACE) == [
        "ip -6 addr del 2001:470:1f13:f87::77/128 dev he-ipv6",
        "ip -6 addr replace 2001:470:1f13:f87::77/64 dev he-ipv6 valid_lft forever preferred_lft forever nodad",
    ]


def test_another_gateway_of_the_same_metric_is_a_second_next_hop_first() -> None:
    live = {**INTERFACE, "routes": ["default via 2001:470:1f12:f87::9 metric 1024"]}
    assert _words(live, INTERFACE) == [
        "ip -6 route append default via 2001:470:1f12:f87::1 metric 1024 dev he-ipv6 onlink",
        "ip -6 route del default via 2001:470:1f12:f87::9 metric 1024 dev he-ipv6",
    ]


def test_a_route_without_a_gateway_can_be_put_back() -> None:
    before = {**INTERFACE, "routes": ["default metric 77"]}
    assert "ip -6 route add default metric 77 dev he-ipv6" in _words(INTERFACE, before)


OLD = "2001:470:aaaa:1::5/64"
RENUMBERED = {**INTERFACE, "addresses": {**INTERFACE["addresses"], OLD: "preferred"}}


def test_an_old_address_that_dns_leads_to_stays_for_a_while() -> None:
    target = tunnel_interface.renumbered(RENUMBERED, INTERFACE, ["2001:470:aaaa:1::5"])
    assert target == {**INTERFACE, "addresses": {**INTERFACE["addresses"], OLD: "expiring"}}
    assert _words(RENUMBERED, target) == [f"ip -6 addr replace {OLD} dev he-ipv6 valid_lft 86400 preferred_lft 0 nodad"]
    assert tunnel_interface.renumbered(target, INTERFACE, ["2001:470:aaaa:1::5"]) == target
    assert tunnel_interface.renumbered(target, INTERFACE) == target  # and goes by itself when DNS has moved
    assert tunnel_interface.renumbered(RENUMBERED, INTERFACE) == INTERFACE
    assert tunnel_interface.renumbered(None, INTERFACE, ["2001:470:aaaa:1::5"]) == INTERFACE


@pytest.mark.parametrize(("key", "value"), [("endpoint", "216.66.84.43"), ("local", "46.105.5.9"), ("kind", "ipip")])
def test_with_another_end_the_old_addresses_are_of_no_use(key: str, value: str) -> None:
    live = {**RENUMBERED, "link": {**INTERFACE["link"], key: value}}
    assert tunnel_interface.renumbered(live, INTERFACE, ["2001:470:aaaa:1::5"]) == INTERFACE


def test_an_address_that_is_declared_again_is_no_old_one() -> None:
    live = {**INTERFACE, "addresses": {"2001:470:1f13:f87::77/64": "expiring"}}
    assert tunnel_interface.renumbered(live, INTERFACE, ["2001:470:1f13:f87::77"]) == INTERFACE


@pytest.mark.parametrize(
    ("left", "shown"), [(86400, "expiring"), (43201, "expiring"), (43200, "expiring soon"), (4294967295, "deprecated")]
)
def test_an_address_that_the_kernel_removes_is_expiring(left: int, shown: str) -> None:
    link = copy.deepcopy(LINK)
    link["addr_info"][1]["valid_life_time"] = left
    assert parsed(link)["addresses"]["2001:470:1f12:f87::2/64"] == shown
    live = {**RENUMBERED, "addresses": {**INTERFACE["addresses"], OLD: shown}}
    again = tunnel_interface.renumbered(live, INTERFACE, ["2001:470:aaaa:1::5"])
    assert again["addresses"][OLD] == "expiring"
    assert bool(tunnel_interface.differences(live, again)) is (shown != "expiring")


def test_an_old_address_keeps_its_route() -> None:
    tunnel = tunnel_sit.canonical({**_given(), "routing": "source"})
    target = tunnel_interface.wanted({**tunnel, "local": "46.105.5.1"})
    old = ["default from 2001:470:aaaa::/48 via 2001:470:1f12:f87::9 metric 1024"]
    gone = ["default from 2001:470:bbbb::/48 via 2001:470:1f12:f87::9 metric 1024"]
    live = {**RENUMBERED, "routes": [*old, *gone]}
    assert tunnel_interface.renumbered(live, target, ["2001:470:aaaa:1::5"])["routes"] == sorted(target["routes"] + old)
    among = {**RENUMBERED, "addresses": {"2001:470:1f13:f87::78/64": "preferred"}}
    among = {**among, "routes": ["default from 2001:470:1f13:f87::/64 via 2001:470:1f12:f87::9 metric 7"]}
    assert tunnel_interface.renumbered(among, target, ["2001:470:1f13:f87::78"])["routes"] == target["routes"]


REFUSING = f"unreachable 2001:470:1f13:f87::/64 metric {tunnel_sit.owner('he-ipv6')}"


def test_a_device_that_is_not_declared() -> None:
    live = {**INTERFACE, "link": {**INTERFACE["link"], "dev": "eth1"}}
    assert tunnel_interface.differences(live, INTERFACE) == {"link": {"dev": {"old": "eth1", "new": "absent"}}}
    assert not tunnel_interface.changeable(live, INTERFACE)


REFUSED = {"type": "unreachable", "dst": "2001:470:1f13:f87::/64", "dev": "lo", "flags": [], "pref": "medium"}


def test_a_route_that_refuses_packets_is_known_by_its_metric() -> None:
    own, others = ({**REFUSED, "metric": tunnel_sit.owner(name)} for name in ("he-ipv6", "second"))
    by_hand = {**REFUSED, "metric": 1024}
    assert parsed(LINK, [*ROUTES, own, others, by_hand])["routes"] == [*INTERFACE["routes"], REFUSING]
    tunnel = {**_given(), "addresses": ["2001:470:1f13:f87::77/64"], "routed": "2001:470:1f13:f87::/64"}
    target = tunnel_interface.wanted(tunnel_sit.canonical(tunnel))
    assert target["routes"] == [*INTERFACE["routes"], REFUSING]
    assert "2001:470:1f13:f87::77/128" in target["addresses"]


def test_a_route_that_refuses_packets_comes_and_goes_without_a_device() -> None:
    target = {**INTERFACE, "routes": [*INTERFACE["routes"], REFUSING]}
    # `replace`: it may be there, without the interface.
    assert tunnel_interface.commands("he-ipv6", INTERFACE, target) == [
        ["ip", "-6", "route", "replace", *REFUSING.split()]
    ]
    assert tunnel_interface.commands("he-ipv6", target, INTERFACE) == [["ip", "-6", "route", "del", *REFUSING.split()]]
    assert tunnel_interface.commands("he-ipv6", target, None) == [
        ["ip", "link", "del", "dev", "he-ipv6"],
        ["ip", "-6", "route", "del", *REFUSING.split()],
    ]
    again = tunnel_interface.commands("he-ipv6", {**target, "link": {**target["link"], "kind": "gre"}}, target)
    assert ["ip", "-6", "route", "replace", *REFUSING.split()] in again
    assert not any(each[:4] == ["ip", "-6", "route", "del"] for each in again)


def test_without_an_address_of_the_moment_the_kernel_takes_the_routes() -> None:
    target = tunnel_interface.wanted({**TUNNEL, "local": "auto"})
    assert target["link"]["local"] == "any"
    assert tunnel_interface.commands("he-ipv6", INTERFACE, target) == [
        *[["ip", "tunnel", "change", "he-ipv6", "mode", "sit", "remote", "216.66.84.42", "local", "any", "ttl", "255"]]
    ]


def test_another_carrier() -> None:
    gre = tunnel_interface.wanted({**TUNNEL, "carrier": "gre", "mtu": 1476})
    assert gre["link"]["kind"] == "gre"
    steps = tunnel_interface.commands("he-ipv6", INTERFACE, gre)
    assert steps[:2] == [
        ["ip", "link", "del", "dev", "he-ipv6"],
        *[["ip", "tunnel", "add", "he-ipv6", "mode", "gre", *"remote 216.66.84.42 local 46.105.5.1 ttl 255".split()]],
    ]
    changed = tunnel_interface.commands("he-ipv6", gre, {**gre, "link": {**gre["link"], "ttl": 64}})
    assert changed[0][:6] == ["ip", "tunnel", "change", "he-ipv6", "mode", "gre"]


def test_a_device_is_given_in_place_and_the_mtu_after_it() -> None:
    """The kernel takes another MTU with another device; and ip(8) cannot say none."""
    free = tunnel_interface.wanted(TUNNEL)
    bound = tunnel_interface.wanted({**TUNNEL, "dev": "eth1"})
    assert "dev" not in free["link"] and bound["link"]["dev"] == "eth1"
    assert tunnel_interface.differences(free, bound) == {"link": {"dev": {"old": "absent", "new": "eth1"}}}
    change, mtu = tunnel_interface.commands("he-ipv6", free, bound)
    assert change[:3] == ["ip", "tunnel", "change"] and change[-2:] == ["dev", "eth1"]
    assert mtu == ["ip", "link", "set", "dev", "he-ipv6", "mtu", "1480"]
    assert not tunnel_interface.changeable(bound, free)
    assert tunnel_interface.commands("he-ipv6", bound, free)[0] == ["ip", "link", "del", "dev", "he-ipv6"]
    assert "dev" not in tunnel_interface.commands("he-ipv6", bound, free)[1]


@pytest.mark.parametrize(("data", "dev"), [({"link": "eth1"}, "eth1"), ({"link_index": 7}, "7"), ({}, None)])
def test_the_device_of_a_live_tunnel(data: dict[str, Any], dev: str | None) -> None:
    info = {"info_kind": "sit", "info_data": {"proto": "ip6ip", "remote": "216.66.84.42", "ttl": 255, **data}}
    link = {"ifname": "he0", "flags": ["UP"], "mtu": 1480, "linkinfo": info, "addr_info": []}
    found = tunnel_interface.parse("he0", [link], []) or {}
    assert found["link"].get("dev") == dev
