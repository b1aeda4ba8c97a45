"""The part ``native`` of the pillar: which values there are, what is said of others, and what is published of it."""

from __future__ import annotations

from typing import Any

import _dualstack_dns_address as dns_address
import _dualstack_native_settings as native_settings
import _dualstack_pillar as pillar
import _dualstack_proof_ladder as proof_ladder
import _dualstack_settings_native as settings_native
import _dualstack_settings_tunnels as settings_tunnels
import _dualstack_tunnel_settings as tunnel_settings
import pytest
from salt.exceptions import SaltInvocationError

GIVEN: dict[str, Any] = {"interface": "eth0", "address": "2001:DB8:1::8/64", "gateway": "FE80::1"}
ROUTER = "the hoster's router: a link-local address such as fe80::1, or a global one"
TUNNEL = {
    "endpoint": "216.66.84.42",
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
    "addresses": ["2001:470:1f13:f87::77/64"],
}


def test_a_part_is_completed() -> None:
    assert native_settings.canonical(GIVEN) == {
        "interface": "eth0",
        "address": "2001:db8:1::8/64",
        "addresses": ["2001:db8:1::8/64"],
        "gateway": "fe80::1",
        "metric": None,
        "source": None,
        "stack": "auto",
    }
    more = native_settings.canonical({**GIVEN, "addresses": ["2001:db8:1::0009/128"], "source": "2001:db8:1::9"})
    assert more["addresses"] == ["2001:db8:1::8/64", "2001:db8:1::9/128"]
    assert more["source"] == "2001:db8:1::9"


@pytest.mark.parametrize(
    ("address", "gateway"),
    [
        ("2a01:4f8:1:2::2/64", "fe80::1"),  # Hetzner
        ("2001:41d0:8:1::1/128", "2001:41d0:8:1ff:ff:ff:ff:ff"),  # OVH: outside of the prefix
        ("2607:5300:60:62ac::1/64", "2607:5300:60:62ff:ff:ff:ff:ff"),
        ("2001:bc8:1640:1::1/128", "fe80::dc00:ff:fe01:2"),  # Scaleway
        ("2a03:4000:6:f::1/64", "fe80::1"),  # netcup
        ("2001:41d0:20b:4500::/56", "fe80::1"),  # OVH, too
        ("2001:db8:1::2/127", "2001:db8:1::3"),
        ("2001:db8::/127", "2001:db8::1"),
        ("2001:db8:1::8/32", "2001:db8::1"),
    ],
)
def test_what_hosters_give(address: str, gateway: str) -> None:
    assert native_settings.errors({"interface": "enp1s0.100", "address": address, "gateway": gateway}) == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("gateway", "fe80::1%eth0", "'fe80::1%eth0' names an interface; expected fe80::1 alone, since 'interface' does"),  # noqa: E501
        ("gateway", "fe80::1/64", "'fe80::1/64' is not an IPv6 address; expected fe80::1, without a prefix length"),
        ("gateway", "192.0.2.1", "'192.0.2.1' is not an IPv6 address"),
        ("gateway", "::", f"'::' is no router's; expected {ROUTER}"),
        ("gateway", "::1", f"'::1' is no router's; expected {ROUTER}"),
        ("gateway", "ff02::2", f"'ff02::2' is no router's; expected {ROUTER}"),
        ("gateway", "::ffff:192.0.2.1", f"'::ffff:192.0.2.1' is no router's; expected {ROUTER}"),
        ("gateway", "2001:db8:1::8", f"2001:db8:1::8 is this host's own address; expected {ROUTER}"),
        ("gateway", None, f"missing; expected {ROUTER}"),
        ("gateway", True, "True is not an IPv6 address"),
        ("address", "2001:db8:1::8", "'2001:db8:1::8' has no prefix length; expected 2001:db8:1::8/64, or /128 for one address"),  # noqa: E501
        ("address", "2001:db8:1::8/129", "'2001:db8:1::8/129' has no valid prefix length; expected 32 to 128, as in 2001:db8:1::8/64"),  # noqa: E501
        ("address", "2001:db8:1::8/", "'2001:db8:1::8/' has no valid prefix length; expected 32 to 128, as in 2001:db8:1::8/64"),  # noqa: E501
        ("address", "fe80::8/64", "'fe80::8/64' is a link-local address, which every interface has anyway; expected a global one"),  # noqa: E501
        ("address", "fd00::8/64", "'fd00::8/64' is a unique local address, which nobody on the internet reaches; expected a global one"),  # noqa: E501
        ("address", "::/0", "'::/0' is not a global IPv6 unicast address"),
        ("address", "::1/128", "'::1/128' is not a global IPv6 unicast address"),
        ("address", "ff05::2/64", "'ff05::2/64' is not a global IPv6 unicast address"),
        ("address", "2001:db8:1::8%eth0/64", "'2001:db8:1::8%eth0' names an interface; expected 2001:db8:1::8 alone, since 'interface' does"),  # noqa: E501
        ("address", "192.0.2.8/24", "'192.0.2.8' is not an IPv6 address"),
        ("addresses", "2001:db8:1::9/64", "expected a list of IPv6 addresses with their prefix lengths, found '2001:db8:1::9/64'"),  # noqa: E501
        ("addresses", ["2001:db8:1::8/128"], "2001:db8:1::8 is given twice"),
        ("addresses", ["2001:db8:1::9/64", "fe80::9/64"], "'fe80::9/64' is a link-local address, which every interface has anyway; expected a global one"),  # noqa: E501
        ("interface", "lo", "'lo' is not an interface that leads to others; expected one such as eth0"),
        ("interface", "eth0; reboot", "'eth0; reboot' is not the name of the interface that the hoster's network is at, such as eth0"),  # noqa: E501
        ("interface", "a" * 16, f"'{'a' * 16}' has 16 characters; an interface name has at most 15"),
        ("interface", None, "missing; expected the name of the interface that the hoster's network is at, such as eth0"),  # noqa: E501
        ("metric", 0, "0 is not a whole number from 1 to 4294967295"),
        ("metric", "1024", "'1024' is not a whole number from 1 to 4294967295"),
        ("metric", True, "True is not a whole number from 1 to 4294967295"),
        ("source", "2001:db8:1::9", "2001:db8:1::9 is not one of the addresses (2001:db8:1::8)"),
        ("stack", "If up", "'If up' is not the name of a network stack, such as ifupdown"),
        ("gatewy", "fe80::1", "unknown key; did you mean gateway?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_key(key: str, value: Any, said: str) -> None:
    wrong = {**GIVEN, key: value}
    assert native_settings.errors(wrong) == [f"{key}: {said}"]
    with pytest.raises(SaltInvocationError) as raised:
        native_settings.canonical(wrong)
    assert str(raised.value) == f"{key}: {said}"


def test_every_error_is_said_at_once_and_only_those_that_matter_where_others_do_not() -> None:
    wrong = {"interface": "lo", "gateway": "::", "metric": 0}
    assert [each.partition(":")[0] for each in native_settings.errors(wrong)] == [
        *("interface", "address", "gateway", "metric"),
    ]
    native_settings.check({"interface": "eth0", "gateway": "::"}, ("interface", "stack"))
    with pytest.raises(SaltInvocationError, match="^interface: missing"):
        native_settings.check({"gateway": "::"}, ("interface", "stack"))
    assert native_settings.errors({**GIVEN, "stack": "nobody"}, ["ifupdown"]) == [
        "stack: 'nobody' is not a network stack that is supported; expected one of auto, ifupdown"
    ]
    assert native_settings.errors({**GIVEN, "addresses": ["2001:db8:1::1/64"], "gateway": "2001:db8:1::1"}) == [
        "addresses: 2001:db8:1::1 is the gateway; expected addresses of this host"
    ]


# --------------------------------------------------------------------------------------------------------------
# In the pillar


def errors(ipv6: dict[str, Any]) -> list[str]:
    return pillar.errors(ipv6, pillar.Known({"ifupdown": None}, {}, {}))  # type: ignore[dict-item]


def test_the_pillar_can_have_it_alone_and_beside_a_tunnel() -> None:
    assert errors({"native": GIVEN}) == []
    assert errors({"native": {**GIVEN, "metric": 512}, "tunnel": TUNNEL}) == []
    assert errors({"native": GIVEN, "tunnel": {**TUNNEL, "routing": "source"}}) == []
    assert errors({"native": {**GIVEN, "gateway": "::"}}) == [
        f"ipv6:native:gateway: '::' is no router's; expected {ROUTER}"
    ]
    assert errors({"native": ["x"]}) == [
        "ipv6:native: expected a mapping of the addresses and the gateway of the hoster, found a list"
    ]


def test_a_tunnel_beside_it_may_not_have_the_same() -> None:
    said = (
        "ipv6:native:metric: 1024 is also that of the tunnel he-ipv6, and the kernel has one default route of a metric"
    )
    assert [each.partition(";")[0] for each in errors({"native": GIVEN, "tunnel": TUNNEL})] == [said]
    assert errors({"native": GIVEN, "tunnel": {**TUNNEL, "metric": 512}}) == []
    two = {"one": {**TUNNEL, "routing": "source"}, "eth0": {**TUNNEL, "endpoint": "192.0.2.7", "routing": "none"}}
    two["eth0"] = {**two["eth0"], "address": "2001:db8:1::8/64", "gateway": "2001:db8:1::1", "addresses": []}
    assert errors({"native": GIVEN, "tunnels": two}) == [
        "ipv6:native:address: 2001:db8:1::8 is also an address of the tunnel eth0; expected one of the hoster's",
        "ipv6:native:interface: eth0 is the tunnel; expected that of the hoster's network, such as eth0",
    ]
    assert errors({"native": GIVEN, "tunnel": {**TUNNEL, "name": "eth0-ipv6", "routing": "none"}}) == [
        "ipv6:native:interface: its file would be that of the tunnel eth0-ipv6; expected another name for that"
    ]


PUBLISHING = {"provider": "command", "names": ["www.example.org"], "command": {"publish": "/bin/true"}}


@pytest.mark.parametrize(
    ("ipv6", "address"),
    [
        ({"native": GIVEN}, "2001:db8:1::8"),
        ({"native": {**GIVEN, "addresses": ["2001:db8:1::9/64"]}}, "2001:db8:1::8"),
        ({"native": {**GIVEN, "addresses": ["2001:db8:1::9/64"], "source": "2001:db8:1::9"}}, "2001:db8:1::9"),
        ({"native": GIVEN, "tunnel": TUNNEL}, "2001:470:1f13:f87::77"),
        ({"native": GIVEN, "dns": {"address": "2001:db8:1::9"}}, "2001:db8:1::9"),
        ({"native": {}}, None),
        ({"native": ["x"]}, None),
        ({"native": {"address": 5}}, None),
    ],
)
def test_which_address_is_published(ipv6: dict[str, Any], address: str | None) -> None:
    holder = settings_tunnels.of(settings_native.holders(ipv6), None)
    assert dns_address.published(ipv6.get("dns"), holder) == address
    assert settings_native.holders(ipv6) == settings_native.beside({"ipv6": ipv6}, "ipv6:dns")
    if address:
        asked = proof_ladder.of(ipv6)
        assert asked.addresses == [address]
        assert [each["name"] for each in asked.native] == ["eth0"]


def test_an_address_of_nobody_is_not_published() -> None:
    held = list(
        pillar._address_errors({**PUBLISHING, "address": "2001:db8:1::7"}, settings_native.holders({"native": GIVEN}))
    )
    assert held == ["ipv6:dns:address: 2001:db8:1::7 is not one of the hoster's addresses (2001:db8:1::8)"]
    both = settings_native.holders({"native": GIVEN, "tunnel": TUNNEL})
    (said,) = pillar._address_errors({**PUBLISHING, "address": "2001:db8:1::7"}, both)
    assert "is not one of the tunnel's and the hoster's addresses" in said
    assert list(pillar._address_errors({**PUBLISHING, "address": "2001:db8:1::8"}, both)) == []


def test_a_tunnel_beside_it_is_asked_from_its_own_source() -> None:
    whole = {"ipv6": {"native": GIVEN, "tunnel": TUNNEL, "dns": {"address": "2001:db8:1::8"}}}
    stacks: dict[str, Any] = {}
    assert tunnel_settings.asked("x", {}, whole, "ipv6:tunnel", stacks)["source"] == "2001:470:1f13:f87::77"
    del whole["ipv6"]["native"]
    assert tunnel_settings.asked("x", {}, whole, "ipv6:tunnel", stacks)["source"] == "2001:db8:1::8"
