"""Valid and invalid tunnels."""

from __future__ import annotations

from typing import Any

import _dualstack_tunnel_sit as tunnel_sit
import pytest
from salt.exceptions import SaltInvocationError

TUNNEL: dict[str, Any] = {
    "endpoint": "216.66.84.42",
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
    "addresses": ["2001:470:1f13:f87::77/64"],
}


def test_what_is_left_out_has_a_default() -> None:
    assert tunnel_sit.canonical(TUNNEL) == {
        "name": "he-ipv6",
        "endpoint": "216.66.84.42",
        "local": "auto",
        "dev": None,
        "address": "2001:470:1f12:f87::2/64",
        "gateway": "2001:470:1f12:f87::1",
        "ttl": 255,
        "mtu": 1480,
        "metric": 1024,
        "routing": "default",
        "source": "2001:470:1f13:f87::77",
        "addresses": ["2001:470:1f13:f87::77/64"],
        "routed": [],
        "carrier": "sit",
        "stack": "auto",
        "adopt": False,
        "unreachable": [],
        "routes": ["default via 2001:470:1f12:f87::1 metric 1024"],
    }


def test_none_is_left_out() -> None:
    assert tunnel_sit.canonical({**TUNNEL, "ttl": None, "source": None}) == tunnel_sit.canonical(TUNNEL)


def test_addresses_become_canonical() -> None:
    written = {
        **TUNNEL,
        "address": "2001:0470:1F12:0F87::0002/64",
        "gateway": "2001:470:1f12:f87:0:0:0:1",
        "addresses": ["2001:470:1F13:f87:0::77/64"],
        "source": "2001:0470:1f13:f87::0077",
    }
    assert tunnel_sit.canonical(written) == tunnel_sit.canonical(TUNNEL)


def test_the_tunnels_own_address_is_the_source_if_there_is_no_other() -> None:
    assert tunnel_sit.canonical({**TUNNEL, "addresses": []})["source"] == "2001:470:1f12:f87::2"


def test_source_routing_has_one_route_for_each_prefix() -> None:
    addresses = ["2001:470:1f13:f87::77/64", "2001:470:1f13:f87::78/64", "2001:470:ab:1::1/128"]
    tunnel = {**TUNNEL, "routing": "source", "metric": 7, "addresses": addresses}
    assert tunnel_sit.canonical(tunnel)["routes"] == [
        "default from 2001:470:ab:1::1/128 via 2001:470:1f12:f87::1 metric 7",
        "default from 2001:470:1f12:f87::/64 via 2001:470:1f12:f87::1 metric 7",
        "default from 2001:470:1f13:f87::/64 via 2001:470:1f12:f87::1 metric 7",
    ]


def test_without_routes_no_gateway_is_needed() -> None:
    tunnel = tunnel_sit.canonical({**TUNNEL, "routing": "none", "gateway": None})
    assert (tunnel["gateway"], tunnel["routes"]) == (None, [])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("endpoint", "2001:db8::1", "endpoint: '2001:db8::1' is not an IPv4 address"),
        ("endpoint", "216.66.84", "endpoint: '216.66.84' is not an IPv4 address"),
        ("endpoint", 216.66, "endpoint: 216.66 is not an IPv4 address"),
        ("endpoint", "tserv1.par1.he.net", "endpoint: 'tserv1.par1.he.net' is not an IPv4 address"),
        ("endpoint", "127.0.0.1", "endpoint: '127.0.0.1' is not an IPv4 unicast address that a tunnel can end at"),
        ("endpoint", "224.0.0.1", "endpoint: '224.0.0.1' is not an IPv4 unicast address that a tunnel can end at"),
        ("endpoint", "0.0.0.0", "endpoint: '0.0.0.0' is not an IPv4 unicast address that a tunnel can end at"),
        ("endpoint", None, "endpoint: missing; expected the broker's IPv4 address"),
        ("local", "::1", "local: '::1' is not an IPv4 address"),
        ("local", "any", "local: 'any' is not an IPv4 address"),
        ("local", "216.66.84.42", "endpoint: 216.66.84.42 is also the local address; expected the broker's address"),
        ("address", "46.105.5.1/24", "address: '46.105.5.1' is not an IPv6 address"),
        ("address", "2001:470:1f12:f87::2", "address: '2001:470:1f12:f87::2' has no prefix length"),
        ("address", "2001:470:1f12:f87::2/129", "address: '2001:470:1f12:f87::2/129' has no valid prefix length"),
        ("address", "2001:470:1f12:f87::2/x", "address: '2001:470:1f12:f87::2/x' has no valid prefix length"),
        ("address", "2001:470:1f12:f87::/64", "address: '2001:470:1f12:f87::/64' is the prefix itself"),
        ("address", "fe80::2/64", "address: 'fe80::2' is not a global IPv6 unicast address"),
        ("address", "ff02::2/64", "address: 'ff02::2' is not a global IPv6 unicast address"),
        ("address", "::ffff:1.2.3.4/96", "address: '::ffff:1.2.3.4' is not a global IPv6 unicast address"),
        ("address", 2001, "address: 2001 is not an IPv6 address with its prefix length"),
        ("address", None, "address: missing; expected an IPv6 address with its prefix length"),
        ("gateway", "2001:470:1f13:f87::1", "gateway: 2001:470:1f13:f87::1 is outside of 2001:470:1f12:f87::/64"),
        ("gateway", "2001:470:1f12:f87::2", "gateway: 2001:470:1f12:f87::2 is this end of the tunnel"),
        ("gateway", "216.66.84.42", "gateway: '216.66.84.42' is not an IPv6 address"),
        ("gateway", "2001:470:1f12:f87::1/64", "gateway: '2001:470:1f12:f87::1/64' is not an IPv6 address"),
        ("gateway", None, "gateway: missing; expected the IPv6 address of the broker's end"),
        ("ttl", 0, "ttl: 0 is not a whole number from 1 to 255"),
        ("ttl", 256, "ttl: 256 is not a whole number from 1 to 255"),
        ("ttl", "255", "ttl: '255' is not a whole number from 1 to 255"),
        ("ttl", True, "ttl: True is not a whole number from 1 to 255"),
        ("mtu", 1279, "mtu: 1279 is not a whole number from 1280 to 65515"),
        ("mtu", 1480.5, "mtu: 1480.5 is not a whole number from 1280 to 65515"),
        ("metric", 0, "metric: 0 is not a whole number from 1 to 4294967295"),
        ("routing", "all", "routing: 'all' is not one of default, source, none"),
        ("source", "2001:db8::1", "source: 2001:db8::1 is not one of the tunnel's addresses"),
        ("addresses", "2001:470:1f13:f87::77/64", "addresses: expected a list of IPv6 addresses"),
        ("addresses", ["2001:470:1f13:f87::77"], "addresses: '2001:470:1f13:f87::77' has no prefix length"),
        ("addresses", ["192.0.2.1/24"], "addresses: '192.0.2.1' is not an IPv6 address"),
        ("addresses", ["2001:470:1f12:f87::2/64"], "addresses: 2001:470:1f12:f87::2 is given twice"),
        ("addresses", ["2001:470:1f12:f87::1/64"], "addresses: 2001:470:1f12:f87::1 is the broker's end"),
        ("name", "a-name-of-sixteen", "name: 'a-name-of-sixteen' has 17 characters; an interface name has at most 15"),
        ("name", "he ipv6", "name: 'he ipv6' is not an interface name"),
        ("name", "../passwd", "name: '../passwd' is not an interface name"),
        ("name", "-6", "name: '-6' is not an interface name"),
        ("name", "sit0", "name: 'sit0' is reserved"),
        ("name", 6, "name: 6 is not an interface name"),
        ("stack", "no such", "stack: 'no such' is not the name of a network stack"),
        ("adopt", "yes", "adopt: 'yes' is not true or false"),
        ("endpiont", "216.66.84.42", "endpiont: unknown key; did you mean endpoint?"),
        ("zzz", 1, "zzz: unknown key; expected one of name, endpoint,"),
    ],
)
def test_bad_input_is_refused_with_key_value_and_expectation(key: str, value: Any, said: str) -> None:
    (error,) = tunnel_sit.errors({**TUNNEL, key: value})
    assert error.startswith(said)
    with pytest.raises(SaltInvocationError) as raised:
        tunnel_sit.canonical({**TUNNEL, key: value})
    assert error in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("ttl", 1), ("ttl", 255), ("mtu", 1280), ("mtu", 65515), ("metric", 1), ("metric", 2**32 - 1)),
        *(("name", "a-name-of-15-ch"), ("name", "6in4"), ("name", "a.b_c-D"), ("routing", "source")),
        *(("addresses", ["2001:db8::/127"]), ("addresses", ["2001:db8::/128"]), ("addresses", ["8000::1/48"])),
        *(("local", "10.0.0.1"), ("local", "auto"), ("adopt", True), ("stack", "ifupdown-2")),
    ],
)
def test_the_limits_themselves_are_allowed(key: str, value: Any) -> None:
    assert tunnel_sit.canonical({**TUNNEL, key: value})[key] == value


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mtu", 65516, "mtu: 65516 is not a whole number from 1280 to 65515"),
        ("metric", 2**32, "metric: 4294967296 is not a whole number from 1 to 4294967295"),
        ("name", "a-name-of-16-chr", "name: 'a-name-of-16-chr' has 16 characters; an interface name has at most 15"),
        *(("name", name, f"name: '{name}' is reserved; expected a name of") for name in ("lo", "all", "default")),
        ("address", "2001:db8::2/47", "address: '2001:db8::2/47' has a prefix that is not one host's; expected the"),
        ("addresses", ["2001:db8::2/32"], "addresses: '2001:db8::2/32' has a prefix that is not one host's"),
        ("address", "2001:db8::2/0", "address: '2001:db8::2/0' has no valid prefix length; expected 1 to 128"),
        ("addresses", ["2001:db8::/126"], "addresses: '2001:db8::/126' is the prefix itself; expected an address in"),
        ("endpoint", "240.0.0.1", "endpoint: '240.0.0.1' is not an IPv4 unicast address that a tunnel can end at"),
        ("gateway", "::1", "gateway: '::1' is not a global IPv6 unicast address"),
        ("gateway", "::", "gateway: '::' is not a global IPv6 unicast address"),
        ("gateway", "2001:db8::1%eth0", "gateway: '2001:db8::1%eth0' is not a global IPv6 unicast address"),
    ],
)
def test_what_is_just_beyond_a_limit_is_refused(key: str, value: Any, said: str) -> None:
    (error,) = tunnel_sit.errors({**TUNNEL, key: value})
    assert error.startswith(said)


def test_a_wrong_address_is_no_contradiction_to_others() -> None:
    wrong = {**TUNNEL, "address": "x/64", "addresses": [], "source": "2001:db8::1"}
    assert tunnel_sit.errors(wrong) == ["address: 'x' is not an IPv6 address"]


def test_addresses_that_are_given_twice_are_named_in_order() -> None:
    twice = [f"2001:470:1f13:f87::{n}/64" for n in (9, 7, 9, 8, 7)]
    said = [f"addresses: 2001:470:1f13:f87::{n} is given twice" for n in (7, 9)]
    assert tunnel_sit.errors({**TUNNEL, "addresses": twice}) == said


def test_all_errors_are_told_at_once() -> None:
    wrong = {**TUNNEL, "endpoint": "x", "ttl": 0, "zzz": 1, "gateway": "2001:db8::1"}
    assert [each.partition(":")[0] for each in tunnel_sit.errors(wrong)] == ["zzz", "endpoint", "ttl", "gateway"]
    assert tunnel_sit.errors(TUNNEL) == []


@pytest.mark.parametrize("value", [[], {}, (), b"x", 1 << 200, "\n", "\0", "٣"], ids=repr)
@pytest.mark.parametrize("key", tunnel_sit.READERS)
def test_no_value_is_too_strange_to_be_refused(key: str, value: Any) -> None:
    errors = tunnel_sit.errors({**TUNNEL, key: value})
    assert errors or (key in ("addresses", "routed") and value in ([], ())) or (key == "wireguard" and value == {})


ROUTED = "2001:470:1f13:f87::/64"


def test_a_routed_prefix_has_a_route_that_refuses_what_nobody_has() -> None:
    tunnel = tunnel_sit.canonical({**TUNNEL, "routed": ROUTED})
    assert tunnel["routed"] == [ROUTED]
    assert tunnel["unreachable"] == [f"unreachable {ROUTED} metric {tunnel_sit.owner('he-ipv6')}"]
    assert tunnel["addresses"] == ["2001:470:1f13:f87::77/128"]  # or all of it would be sent into the tunnel
    assert tunnel["source"] == "2001:470:1f13:f87::77"
    written = {key: value for key, value in tunnel.items() if key in tunnel_sit.READERS}
    assert tunnel_sit.canonical(written) == tunnel


def test_the_metric_says_whose_route_it_is() -> None:
    names = ("he-ipv6", "second", "sit1", "he0", "route64")
    metrics = {tunnel_sit.owner(name) for name in names}
    assert len(metrics) == len(names)
    assert all(2**31 - 2**16 <= each < 2**31 for each in metrics)


def test_all_of_a_routed_prefix_leaves_by_the_tunnel_with_source_routing() -> None:
    tunnel = tunnel_sit.canonical({**TUNNEL, "routing": "source", "routed": ["2001:470:ab::/48", ROUTED]})
    tail = "via 2001:470:1f12:f87::1 metric 1024"
    prefixes = ("2001:470:ab::/48", "2001:470:1f12:f87::/64", ROUTED)
    assert tunnel["routes"] == [f"default from {prefix} {tail}" for prefix in prefixes]
    assert len(tunnel["unreachable"]) == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2001:470:1f13:f87::77/64", "is an address with a prefix length; expected the prefix, 2001:470:1f13:f87::/64"),
        ("2001:470::/32", "is not a prefix that is routed to this host, of /48 or longer"),
        ("2001:470:1f13:f87::77/128", "is not a prefix that is routed"),
        ("2001:470:1f13:f87::", "is not a prefix that is routed"),
        ("2001:470:1f13:f87::/six", "is not a prefix that is routed"),
        ("fe80::/64", "is not a global IPv6 unicast address"),
        ("192.0.2.0/24", "is not a prefix that is routed"),
        (["2001:470:ab::/48", "2001:470:ab:1::/64"], "2001:470:ab:1::/64 and 2001:470:ab::/48 overlap"),
        ([ROUTED, ROUTED], "is given twice"),
        ({ROUTED: None}, "expected a prefix that is routed"),
        ("2001:470:1f12:f87::/64", "is that of the tunnel itself"),
    ],
)
def test_a_wrong_routed_prefix(value: Any, said: str) -> None:
    (error,) = tunnel_sit.errors({**TUNNEL, "routed": value})
    assert error.startswith("routed: ") and said in error


def test_what_carries_the_packets_leaves_its_room() -> None:
    assert tunnel_sit.canonical({**TUNNEL, "carrier": "gre"})["mtu"] == 1476
    assert tunnel_sit.canonical({**TUNNEL, "carrier": "gre", "mtu": 1400})["mtu"] == 1400
    (error,) = tunnel_sit.errors({**TUNNEL, "carrier": "GRE"})
    assert error == "carrier: 'GRE' is not one of sit, gre, wireguard"


@pytest.mark.parametrize("dev", ["eth0", "eth0.100", "ppp0", "wan_2", "vrf-blue"])
def test_a_device(dev: str) -> None:
    assert tunnel_sit.canonical({**TUNNEL, "dev": dev})["dev"] == dev


@pytest.mark.parametrize(
    ("dev", "said"),
    [
        ("he-ipv6", "dev: he-ipv6 is the tunnel itself; expected the name of the interface"),
        ("a-name-of-sixteen", "dev: 'a-name-of-sixteen' has 17 characters; an interface name has at most 15"),
        ("lo", "dev: 'lo' is not the name of the interface that the tunnel's packets leave by, such as eth1"),
        ("eth1; reboot", "dev: 'eth1; reboot' is not the name"),
        ("-I", "dev: '-I' is not the name"),
        (1, "dev: 1 is not the name"),
        (["eth1"], "dev: ['eth1'] is not the name"),
    ],
)
def test_what_is_no_device(dev: object, said: str) -> None:
    (error,) = tunnel_sit.errors({**TUNNEL, "dev": dev})
    assert error.startswith(said)
