"""Kernel parameters: whatever the check of the pillar takes, the formula sets."""

from __future__ import annotations

from typing import Any

import _dualstack_pillar_parts as pillar_parts
import pytest

TEXTS = ["1024\t65000", "4096  131072 6291456", "a: b # c", "'\"\\", "{{ 1 }}", "|/usr/sbin/dump %p", 1, -1]
LONG = ",".join(map(str, range(8000, 8400)))
REFUSED = ["pr\u00fcfung", "\U0001f600", "a\nb", " a", 1.5, True, None, [1]]
KEY = "net.ipv4.ip_local_reserved_ports"  # any will do: the values are not looked at under test=True


@pytest.mark.parametrize("value", [*TEXTS, LONG], ids=lambda each: str(each)[:20])
def test_what_is_right_is_set(modules: Any, value: Any) -> None:
    assert list(pillar_parts.sysctl_errors({KEY: value})) == []
    done = modules.state.apply("ipv6.sysctl", pillar={"ipv6": {"sysctl": {KEY: value}}}, test=True)
    (state,) = (each for each in done if each.full_return["name"] == KEY)
    assert (state.result, str(value) in state.comment) == (None, True), state


@pytest.mark.parametrize("value", REFUSED, ids=repr)
def test_what_the_formula_leaves_out_is_refused(value: Any) -> None:
    assert len(list(pillar_parts.sysctl_errors({KEY: value}))) == 1


@pytest.mark.parametrize("part", [{"sysctl": {f"net.{'x' * 2000}": 1}}, {"services": {"x" * 2000: None}}], ids=list)
def test_a_name_beyond_measure_is_refused_by_the_check(modules: Any, part: Any) -> None:
    """And is no error of rendering: a key of YAML has at most 1024 characters."""
    for sls in ("ipv6", "ipv6.absent"):
        (done,) = (
            each
            for each in modules.state.apply(sls, pillar={"ipv6": part}, test=True)
            if "ipv6.valid" in each.id or each.id == "The pillar ipv6 makes sense"
        )
        assert (done.result, done.comment[:5]) == (False, "ipv6:"), done
