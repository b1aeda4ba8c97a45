"""What a firewall is asked for with: named arguments, the pillar, or both."""

from __future__ import annotations

from typing import Any

import _dualstack_firewall_declared as firewall_declared
import pytest
from salt.exceptions import SaltInvocationError

TABLES = {"filter": {"INPUT": {"policy": "DROP"}}}
PILLAR: dict[str, Any] = {
    "ipv6": {"firewall": {"tables": TABLES, "save": False, "preserve": None}, "tunnel": {"endpoint": "192.0.2.41"}},
    "alone": {"tables": TABLES},
}


def declared(key: str | None, tunnel: dict[str, Any] | None = None, **named: Any) -> firewall_declared.Declared:
    return firewall_declared.declared(PILLAR, key, named, tunnel)


def test_the_pillar_has_it_all() -> None:
    found = declared("ipv6:firewall", tables=None, save=None)
    assert found.firewall == {"tables": TABLES, "save": False}
    assert found.tunnel == {"name": "he-ipv6", "endpoint": "192.0.2.41"}


def test_what_is_named_wins() -> None:
    found = declared("ipv6:firewall", {"name": "six"}, save=True, tables={}, backend="nft")
    assert found.firewall == {"tables": {}, "save": True, "backend": "nft"}
    assert found.tunnel == {"name": "six"}
    named = declared(None, save=False, tables=TABLES, expect=None)
    assert named == firewall_declared.Declared({"save": False, "tables": TABLES}, None)


def test_a_tunnel_that_nobody_speaks_of_is_none() -> None:
    assert declared("alone").tunnel is None
    assert declared(None, tables=TABLES).tunnel is None


def test_a_tunnel_has_the_name_that_it_is_given() -> None:
    pillar = {"a": {"b": {"firewall": {}, "tunnel": {"name": "six"}}}}
    assert firewall_declared.declared(pillar, "a:b:firewall", {}, None).tunnel == {"name": "six"}


@pytest.mark.parametrize("key", ["ipv6:fierwall", "ipv6:tunnel:endpoint", "none"])
def test_a_key_of_nothing_is_refused(key: str) -> None:
    with pytest.raises(SaltInvocationError, match=f"^{key}: expected a mapping in the pillar, found "):
        declared(key)


def test_a_problem_is_reported_where_it_was_written() -> None:
    problems = ["tables:filter:INPUT:rules[0]: no", "save: no", "expect[0]:to: no", "expct: no"]
    assert declared("ipv6:firewall", save=True, expect=[]).told(problems) == [
        "ipv6:firewall:tables:filter:INPUT:rules[0]: no",
        "save: no",
        "expect[0]:to: no",
        "ipv6:firewall:expct: no",
    ]
    assert declared(None, tables=TABLES).told(problems) == problems


def test_by_hand_the_pillar_is_the_default() -> None:
    assert firewall_declared.asked_for(PILLAR, None, None).firewall == {"tables": TABLES, "save": False}
    assert firewall_declared.asked_for(PILLAR, None, None).tunnel == {"name": "he-ipv6", "endpoint": "192.0.2.41"}
    assert firewall_declared.asked_for(PILLAR, {"tables": {}}, {"name": "x"})[:2] == ({"tables": {}}, {"name": "x"})
    assert firewall_declared.asked_for({}, None, None)[:2] == ({}, None)
