"""Which address is published: chosen once, from the pillar, whether it is valid or not."""

from __future__ import annotations

from typing import Any

import _dualstack_dns_address as dns_address
import _dualstack_tunnel_sit as tunnel_sit
import pytest

TUNNEL: dict[str, Any] = {
    "endpoint": "216.66.84.42",
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
    "addresses": ["2001:470:1f13:f87::77/64", "2001:470:1f13:f87::78/64"],
    "source": "2001:470:1f13:f87::78",
}


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in TUNNEL.items() if key not in keys}


@pytest.mark.parametrize(
    ("dns", "tunnel", "expected"),
    [
        ({"address": "2001:db8::7"}, TUNNEL, "2001:db8::7"),
        ({"address": "2001:db8::7"}, {}, "2001:db8::7"),
        ({"names": ["www.example.org"]}, TUNNEL, "2001:470:1f13:f87::78"),
        ({}, without("source"), "2001:470:1f13:f87::77"),
        ({}, without("source", "addresses"), "2001:470:1f12:f87::2"),
        ({}, {**without("source"), "addresses": []}, "2001:470:1f12:f87::2"),
        ({"address": None}, {**TUNNEL, "source": None, "addresses": None}, "2001:470:1f12:f87::2"),
        ({"address": "2001:0DB8:0:0::0007"}, {}, "2001:db8::7"),
        ({}, {}, None),
        ({"names": []}, {"endpoint": "216.66.84.42"}, None),
    ],
)
def test_the_first_that_is_given(dns: dict[str, Any], tunnel: dict[str, Any], expected: str | None) -> None:
    assert dns_address.published(dns, tunnel) == expected


@pytest.mark.parametrize("wrong", ["x", "", "46.105.5.1", 5, 7.5, True, ["2001:db8::7"], {"a": 1}])
def test_what_is_wrong_is_not_replaced_by_something_else(wrong: Any) -> None:
    assert dns_address.published({"address": wrong}, TUNNEL) is None
    assert dns_address.published({}, {**TUNNEL, "source": wrong}) is None
    assert dns_address.published({}, {**without("source"), "addresses": [wrong]}) is None
    assert dns_address.published({}, {**without("source", "addresses"), "address": wrong}) is None


@pytest.mark.parametrize("wrong", ["x", 5, {"a": 1}, [[]]])
def test_addresses_that_are_no_list_are_no_reason_to_fail(wrong: Any) -> None:
    assert dns_address.published({}, {**without("source"), "addresses": wrong}) is None


@pytest.mark.parametrize("tunnel", [TUNNEL, without("source"), without("source", "addresses")])
def test_a_tunnels_source_is_the_same_decision(tunnel: dict[str, Any]) -> None:
    assert tunnel_sit.canonical(tunnel)["source"] == dns_address.published({}, tunnel)
