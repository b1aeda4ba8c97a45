"""What a state of the tunnel gets from its arguments and the pillar, and the key that a comment names."""

from __future__ import annotations

from typing import Any, cast

import _dualstack_tunnel_settings as tunnel_settings
import _dualstack_tunnel_stack as tunnel_stack
import pytest
from salt.exceptions import SaltInvocationError

STACKS = cast(tunnel_stack.Stacks, {"ifupdown": None, "toy": None})
TUNNEL: dict[str, Any] = {
    "name": "sixxs",
    "endpoint": "216.66.84.42",
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
    "stack": "toy",
}
PILLAR: dict[str, Any] = {
    "ipv6": {"tunnel": TUNNEL, "verify": {"beyond": ["2001:db8::1"]}, "dns": {"address": "2001:DB8::7"}}
}
KEY = "ipv6:tunnel"


def test_without_a_pillar_the_arguments_are_all() -> None:
    given = {"ttl": 64, "mtu": None}
    assert tunnel_settings.declared("he-ipv6", given, PILLAR, None) == {"name": "he-ipv6", **given}
    assert tunnel_settings.asked("he-ipv6", given, PILLAR, None, STACKS) == {"name": "he-ipv6", **given}
    assert tunnel_settings.interface("he-ipv6", PILLAR, None) == "he-ipv6"
    assert tunnel_settings.places(PILLAR, None) == tunnel_settings.places_beside(None) == {}


def test_with_a_pillar_they_win() -> None:
    given = {"ttl": 64, "stack": "auto", "mtu": None}
    declared = tunnel_settings.declared("The tunnel", given, PILLAR, KEY)
    assert declared == {**TUNNEL, "ttl": 64, "stack": "auto"}
    assert tunnel_settings.interface("The tunnel", PILLAR, KEY) == "sixxs"


@pytest.mark.parametrize("part", [{}, {"name": None}])
def test_the_interface_has_a_default(part: dict[str, Any]) -> None:
    assert tunnel_settings.interface("The tunnel", {"ipv6": {"tunnel": part}}, KEY) == "he-ipv6"
    assert tunnel_settings.declared("The tunnel", {}, {"ipv6": {"tunnel": {}}}, KEY) == {"name": "he-ipv6"}


@pytest.mark.parametrize("pillar", [{}, {"ipv6": {}}, {"ipv6": {"tunnel": ["x"]}}, {"ipv6": 5}])
def test_a_pillar_that_is_not_there_is_named(pillar: dict[str, Any]) -> None:
    assert tunnel_settings.interface("The tunnel", pillar, KEY) == "he-ipv6"
    with pytest.raises(SaltInvocationError, match="^ipv6:tunnel: expected a mapping in the pillar"):
        tunnel_settings.declared("The tunnel", {}, pillar, KEY)
    with pytest.raises(SaltInvocationError, match="^ipv6:tunnel: expected a mapping in the pillar"):
        tunnel_settings.asked("The tunnel", {}, pillar, KEY, STACKS)


def test_a_rung_asks_for_what_is_beside_the_tunnel() -> None:
    found = {
        "name": "sixxs",
        "stack": "toy",
        "gateway": "2001:470:1f12:f87::1",
        "beyond": ["2001:db8::1"],
        "source": "2001:db8::7",
    }
    assert tunnel_settings.asked("A rung", {"beyond": None}, PILLAR, KEY, STACKS) == found
    given = {"beyond": [], "source": "2001:db8::8", "stack": "ifupdown"}
    assert tunnel_settings.asked("A rung", given, PILLAR, KEY, STACKS) == {**found, **given}
    alone = tunnel_settings.asked("A rung", {}, {"ipv6": {"tunnel": TUNNEL}}, KEY, STACKS)
    assert (alone["beyond"], alone["source"]) == (None, "2001:470:1f12:f87::2")


def test_a_rung_is_not_given_another_address_than_the_one_that_is_wrong() -> None:
    wrong = {"ipv6": {**PILLAR["ipv6"], "dns": {"address": "x"}}}
    assert tunnel_settings.asked("A rung", {}, wrong, KEY, STACKS)["source"] == "x"


def test_a_rung_finds_all_errors_of_the_tunnel() -> None:
    wrong = {"ipv6": {"tunnel": {**TUNNEL, "ttl": 0, "stack": "wicked", "source": "x"}}}
    with pytest.raises(SaltInvocationError) as raised:
        tunnel_settings.asked("A rung", {}, wrong, KEY, STACKS)
    keys = [each.split(": ")[0] for each in str(raised.value).splitlines()]
    assert keys == ["ipv6:tunnel:ttl", "ipv6:tunnel:source", "ipv6:tunnel:stack"]


def test_comments_say_where_a_key_stands() -> None:
    comment = "ttl: 0 is wrong\nmtu: 1 is wrong\nodd: unknown key\nhe-ipv6 was changed: ttl\nsaid: ttl: 5"
    result = {"name": "sixxs", "result": False, "changes": {}, "comment": comment}
    pillar = {"ipv6": {"tunnel": {"odd": 1}}}
    told = tunnel_settings.told(result, "The tunnel", {"mtu": 1, "ttl": None}, tunnel_settings.places(pillar, KEY))
    assert told == {
        "name": "The tunnel",
        "result": False,
        "changes": {},
        "comment": "ipv6:tunnel:ttl: 0 is wrong\nmtu: 1 is wrong\nipv6:tunnel:odd: unknown key\n"
        "he-ipv6 was changed: ttl\nsaid: ttl: 5",
    }
    result = {**result, "comment": "beyond: no\nsource: no\nstack: no"}
    assert tunnel_settings.told(result, "A rung", {}, tunnel_settings.places_beside(KEY))["comment"] == (
        "ipv6:verify:beyond: no\nipv6:dns:address: no\nipv6:tunnel:stack: no"
    )
