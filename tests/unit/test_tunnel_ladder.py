"""The words of the ladder's first rung."""

from __future__ import annotations

import _dualstack_tunnel_ladder as tunnel_ladder


def test_differences_in_words() -> None:
    differences = {
        "link": {"mtu": {"old": 1400, "new": 1480}},
        "addresses": {"2001:db8::7/64": {"old": "absent", "new": "preferred"}},
    }
    assert tunnel_ladder.said(differences) == [
        "mtu is 1400, expected 1480",
        "2001:db8::7/64 is absent, expected preferred",
    ]
    assert tunnel_ladder.said({}) == []


def test_a_configuration_that_makes_no_sense_speaks_for_itself() -> None:
    differences = {"configuration": {"old": "endpoint: 'x' is not an IPv4 address", "new": ""}}
    assert tunnel_ladder.said(differences) == ["endpoint: 'x' is not an IPv4 address"]
