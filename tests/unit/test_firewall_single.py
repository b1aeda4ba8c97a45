"""Where a single rule is inserted in a chain: tests/firewall asks the kernel."""

from __future__ import annotations

import _dualstack_firewall_single as firewall_single
import pytest


def one(*texts: str, position: str = "end") -> firewall_single.Asked:
    return firewall_single.Asked(list(texts), "filter", "INPUT", position)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], ["new"]),
        (["-i a -j DROP"], ["-i a -j DROP", "new"]),
        (["a", '-j LOG --log-prefix "no: "', "-j REJECT --reject-with tcp-reset"], ["a", "new", "-j LOG", "-j REJECT"]),
        (["-j ACCEPT"], ["new", "-j ACCEPT"]),
        (["-j own"], ["-j own", "new"]),
        (["new", "a"], ["new", "a"]),
    ],
)
def test_the_end_is_in_front_of_what_ends_a_chain(rules: list[str], expected: list[str]) -> None:
    found = firewall_single.with_rule(rules, one("new"))
    assert len(found) == len(expected)
    assert all(rule.startswith(start) for rule, start in zip(found, expected))


def test_the_start_and_only_what_is_missing() -> None:
    assert firewall_single.with_rule(["a", "b"], one("new", "b", position="start")) == ["new", "a", "b"]


def test_a_rule_is_taken_out_wherever_it_is() -> None:
    assert firewall_single.without_rule(["a", "b", "a", "c"], one("a", "c")) == ["b"]
