"""Several tunnels in one pillar: who reads which, and what one host cannot have twice."""

from __future__ import annotations

from typing import Any

import _dualstack_pillar as pillar
import _dualstack_settings_tunnels as settings_tunnels
import _dualstack_tunnel_settings as tunnel_settings
import pytest
from salt.exceptions import SaltInvocationError

KNOWN = pillar.Known({}, {}, {})
ONE: dict[str, Any] = {
    "endpoint": "216.66.84.42",
    "local": "46.105.5.1",
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
    "addresses": ["2001:470:1f13:f87::77/64"],
}
TWO: dict[str, Any] = {
    "endpoint": "192.0.2.66",
    "address": "2001:db8:66::2/64",
    "gateway": "2001:db8:66::1",
    "addresses": ["2001:db8:6666::77/64"],
    "routing": "source",
}
BOTH: dict[str, Any] = {"tunnels": {"he-ipv6": ONE, "second": TWO}}
FIRST = "ipv6:tunnels:he-ipv6"


def errors(two: dict[str, Any], **one: Any) -> list[str]:
    return pillar.errors({"tunnels": {"he-ipv6": {**ONE, **one}, "second": {**TWO, **two}}}, KNOWN)


def test_two_tunnels() -> None:
    assert pillar.errors(BOTH, KNOWN) == []
    assert pillar.errors({"tunnels": {}}, KNOWN) == []
    assert errors({"routing": "default", "metric": 2048}) == []
    # From two addresses of this host, and by another carrier, they are not the same.
    assert errors({"endpoint": ONE["endpoint"], "local": "46.105.5.2"}) == []
    assert errors({"endpoint": ONE["endpoint"], "carrier": "gre"}) == []


@pytest.mark.parametrize(
    ("two", "said"),
    [
        (
            {"routing": "default"},
            f"ipv6:tunnels:second:routing: default, with the metric 1024, is also that of {FIRST}: packets take one of "
            "them; expected another metric, or 'routing: source', by which each has the packets from its own addresses",
        ),
        (
            {"endpoint": "216.66.84.42", "local": "46.105.5.1"},
            f"ipv6:tunnels:second:endpoint: 216.66.84.42 is also that of {FIRST}, from the same address; only one is "
            "allowed",
        ),
        (
            {"endpoint": "216.66.84.42"},  # whose address is not said
            f"ipv6:tunnels:second:endpoint: 216.66.84.42 is also that of {FIRST}, from the same address; only one is "
            "allowed",
        ),
        (
            {"addresses": ["2001:470:1f13:f87:0::77/128"]},
            f"ipv6:tunnels:second:addresses: 2001:470:1f13:f87::77 is also an address of {FIRST}",
        ),
        (
            {"address": "2001:470:1f12:f87::2/64", "gateway": "2001:470:1f12:f87::3"},
            f"ipv6:tunnels:second:address: 2001:470:1f12:f87::2 is also an address of {FIRST}",
        ),
        (
            {"routed": "2001:470:1f13:f87::/64"},
            f"ipv6:tunnels:second:routed: 2001:470:1f13:f87::/64 is also routed by {FIRST}, as 2001:470:1f13::/48",
        ),
    ],
)
def test_what_one_host_cannot_have_twice(two: dict[str, Any], said: str) -> None:
    assert errors(two, routed="2001:470:1f13::/48") == [said]


def test_the_same_prefix_by_two_ways() -> None:
    (error,) = errors({"addresses": ["2001:470:1f13:f87::78/64"]}, routing="source")
    prefix = "2001:470:1f13:f87::/64"
    assert error.startswith(
        f"ipv6:tunnels:second:addresses: {prefix} is also a prefix of {FIRST}, with the same metric"
    )


@pytest.mark.parametrize(
    ("tunnels", "said"),
    [
        ({"second": {**ONE, "endpoint": "x"}}, "second:endpoint: 'x' is not an IPv4 address"),
        ({"second": {**ONE, "zzz": 1}}, "second:zzz: unknown key; expected one of name, endpoint"),
        ({"second": {}}, "second:endpoint: missing; expected the broker's IPv4 address"),
        ({"second": [ONE]}, "second: expected a mapping of the tunnel's numbers, found a list"),
        ({"a b": ONE}, "a b: 'a b' is not an interface name"),
        ({"sit0": ONE}, "sit0: 'sit0' is reserved"),
        ({"x" * 16: ONE}, f"{'x' * 16}: '{'x' * 16}' has 16 characters"),
        ({"second": {**ONE, "name": "third"}}, "second:name: 'third' is not 'second', the key, which is the interface"),
        ({"second": {**ONE, "stack": "none"}}, "second:stack: 'none' is not a network stack that is supported"),
    ],
)
def test_each_has_its_errors_with_its_key(tunnels: dict[str, Any], said: str) -> None:
    found = pillar.errors({"tunnels": tunnels}, KNOWN)
    assert any(each.startswith(f"ipv6:tunnels:{said}") for each in found), found


def test_one_or_several() -> None:
    assert pillar.errors({**BOTH, "tunnel": ONE}, KNOWN) == [
        "ipv6:tunnels: there is ipv6:tunnel as well; expected one of the two, with all tunnels in it"
    ]
    assert pillar.errors({"tunnels": [ONE]}, KNOWN) == [
        "ipv6:tunnels: expected a mapping of several tunnels, by the names of their interfaces, found a list"
    ]


def test_the_published_address_is_of_one_of_them() -> None:
    tunnels = list(settings_tunnels.entries(BOTH).values())
    for address in (None, "2001:470:1f13:f87::77", "2001:db8:6666:0::77", "2001:db8:66::2"):
        assert list(pillar._address_errors({"address": address}, tunnels)) == []
    (error,) = pillar._address_errors({"address": "2001:db8::1"}, tunnels)
    held = "2001:470:1f12:f87::2, 2001:470:1f13:f87::77, 2001:db8:66::2, 2001:db8:6666::77"
    assert error == f"ipv6:dns:address: 2001:db8::1 is not one of the tunnels' addresses ({held})"


def test_who_reads_them() -> None:
    whole: dict[str, Any] = {"ipv6": {**BOTH, "firewall": {}}}
    first, second = settings_tunnels.beside(whole, "ipv6:firewall")
    assert (first["name"], second["name"]) == ("he-ipv6", "second")
    assert settings_tunnels.entries({"tunnel": ONE}) == {"tunnel": {**ONE, "name": "he-ipv6"}}
    assert settings_tunnels.entries({"tunnel": {**ONE, "name": "x"}}) == {"tunnel": {**ONE, "name": "x"}}
    assert list(settings_tunnels.entries(BOTH["tunnels"] | BOTH)) == ["tunnels:he-ipv6", "tunnels:second"]
    odds: list[Any] = [None, 5, [], {"tunnel": 5}, {"tunnel": {}}, {"tunnels": 5}, {"tunnels": {"x": 5}}]
    for odd in odds:
        assert settings_tunnels.entries(odd) == {}
    assert settings_tunnels.of([first, second], None) == first
    assert settings_tunnels.of([first, second], "2001:db8:6666:0::77") == second
    assert settings_tunnels.of([], None) == {}
    both = settings_tunnels.together([first, second])
    assert settings_tunnels.interfaces(both) == ["he-ipv6", "second"]
    assert settings_tunnels.together([]) is None and settings_tunnels.apart(None) == []


def test_the_settings_of_a_state() -> None:
    whole: dict[str, Any] = {"ipv6": {**BOTH, "verify": {"beyond": ["2001:db8:c::2"]}, "dns": {"address": "x"}}}
    key = "ipv6:tunnels:second"
    assert tunnel_settings.declared("The state", {}, whole, key) == {**TWO, "name": "second"}
    assert tunnel_settings.interface("The state", whole, key) == "second"
    assert tunnel_settings.places_beside(key) == {
        "stack": "ipv6:tunnels:second:stack",
        "beyond": "ipv6:verify:beyond",
        "source": "ipv6:dns:address",
    }
    with pytest.raises(
        SaltInvocationError, match="^ipv6:tunnels:third: expected a mapping in the pillar, found nothing$"
    ):
        tunnel_settings.declared("The state", {}, whole, "ipv6:tunnels:third")


@pytest.mark.parametrize(
    ("dns", "key", "source"),
    [
        ({}, "he-ipv6", "2001:470:1f13:f87::77"),
        ({}, "second", "2001:db8:6666::77"),
        # What is published is one tunnel's; the others are asked from their own.
        ({"address": "2001:470:1f12:f87::2"}, "he-ipv6", "2001:470:1f12:f87::2"),
        ({"address": "2001:470:1f12:f87::2"}, "second", "2001:db8:6666::77"),
        ({"address": "2001:db8:66::2"}, "second", "2001:db8:66::2"),
        ({"address": "2001:db8:66::2"}, "he-ipv6", "2001:470:1f13:f87::77"),
    ],
)
def test_each_is_asked_from_its_own_address(dns: dict[str, Any], key: str, source: str) -> None:
    whole: dict[str, Any] = {"ipv6": {**BOTH, "verify": {"beyond": ["2001:db8:c::2"]}, "dns": dns}}
    found = tunnel_settings.asked("The state", {}, whole, f"ipv6:tunnels:{key}", {})
    assert (found["name"], found["source"], found["beyond"]) == (key, source, ["2001:db8:c::2"])


def test_what_a_broker_knows_is_compared_once_it_is_known() -> None:
    wired = {"id": 5, "account": "tunnelbroker", "addresses": ["2001:db8:6666::77/64"], "routing": "source"}
    assert pillar.errors({"tunnels": {"he-ipv6": ONE, "second": wired}}, KNOWN) == []
    known = {**wired, **{key: ONE[key] for key in ("endpoint", "address", "gateway")}}
    found = pillar.errors({"tunnels": {"he-ipv6": ONE, "second": known}}, KNOWN)
    assert [each.split(": ")[0] for each in found] == [f"ipv6:tunnels:second:{key}" for key in ("endpoint", "address")]


def test_two_peers_at_one_port_of_this_host_are_refused() -> None:
    key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
    part = {"public_key": key, "private_key_file": "/etc/wireguard/own.key", "listen_port": 51820}

    def said(port: int) -> list[str]:
        two = {"carrier": "wireguard", "wireguard": {**part, "listen_port": port}}
        return errors(two, carrier="wireguard", local="auto", wireguard=part)

    assert said(51820) == [
        f"ipv6:tunnels:second:wireguard: listen_port: 51820 is also that of {FIRST}; expected another, or 0 for one "
        "that is free"
    ]
    assert said(51821) == said(0) == []
