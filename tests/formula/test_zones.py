"""The states of DNS where the pillar has a list of parts, and where it has a PTR record."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .pillars import GOOD
from .test_order import DNS_TOOLS, GONE, PILLAR, PROVEN, PUBLISHED, WITHDRAWN, compiled, waits

PTR = {"zone": "7.8.f.0.3.1.f.1.0.7.4.0.1.0.0.2.ip6.arpa"}
POINTED, UNPOINTED = "The PTR record is published", "The PTR record is withdrawn"


@pytest.fixture
def two() -> dict[str, Any]:
    """A pillar with names of two zones, and what is no entry before them."""
    pillar = copy.deepcopy(GOOD)
    other = {**pillar["dns"], "names": ["www.example.net"], "withdraw_when_broken": True, "ptr": PTR}
    pillar["dns"] = [5, pillar["dns"], other]
    return pillar


def of(low: Any) -> dict[str, tuple[str, Any]]:
    """What the states of DNS do, with which part of the pillar."""
    return {each["__id__"]: (each["fun"], each["pillar"]) for each in low if each["state"] == "aaaa"}


def test_the_ptr_record_comes_after_the_others_and_goes_before_them(modules: Any) -> None:
    pillar = {**GOOD, "dns": {**GOOD["dns"], "ptr": PTR}}
    low = compiled(modules, "ipv6", pillar)
    assert list(of(low).items()) == [
        (PUBLISHED, ("published", "ipv6:dns")),
        (POINTED, ("ptr_published", "ipv6:dns:ptr")),
    ]
    assert waits(low)[POINTED] >= {PILLAR, PUBLISHED, PROVEN, DNS_TOOLS}
    low = compiled(modules, "ipv6.absent", pillar)
    assert list(of(low).items()) == [
        (UNPOINTED, ("ptr_withdrawn", "ipv6:dns:ptr")),
        (WITHDRAWN, ("withdrawn", "ipv6:dns")),
    ]
    assert waits(low)[UNPOINTED] >= {PILLAR, DNS_TOOLS}
    assert UNPOINTED not in waits(low)[WITHDRAWN], "one that cannot be withdrawn keeps nothing else"


def test_each_entry_of_a_list_has_its_states(modules: Any, two: dict[str, Any]) -> None:
    one, other = (f" (ipv6:dns:{index})" for index in (1, 2))
    broken = "The AAAA records are withdrawn once IPv6 has failed too often"
    low = compiled(modules, "ipv6", two)
    assert of(low) == {
        PUBLISHED + one: ("published", "ipv6:dns:1"),
        PUBLISHED + other: ("published", "ipv6:dns:2"),
        broken + other: ("withdrawn", "ipv6:dns:2"),
        POINTED + other: ("ptr_published", "ipv6:dns:2:ptr"),
    }
    found = waits(low)
    assert found[POINTED + other] >= {PUBLISHED + other, PROVEN}
    assert not found[PUBLISHED + other] & {PUBLISHED + one}, "a zone is no matter of the other"
    low = compiled(modules, "ipv6.absent", two)
    assert of(low) == {
        UNPOINTED + other: ("ptr_withdrawn", "ipv6:dns:2:ptr"),
        WITHDRAWN + one: ("withdrawn", "ipv6:dns:1"),
        WITHDRAWN + other: ("withdrawn", "ipv6:dns:2"),
    }
    assert waits(low)[GONE] >= {WITHDRAWN + one, WITHDRAWN + other}


@pytest.mark.parametrize("odd", [[], [None], [[]], "text", 5, None, b"bytes", {"ptr": []}, [{"ptr": 5}], [{}]])
def test_whatever_is_written_is_refused_and_not_tripped_over(modules: Any, odd: Any) -> None:
    for sls in ("ipv6", "ipv6.absent"):
        low = compiled(modules, sls, {**GOOD, "dns": odd})
        assert all(PILLAR in waits(low)[name] for name in of(low))


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ([], "ipv6:dns: expected a mapping with provider"),
        ([5], "ipv6:dns[0]: expected a mapping with provider"),
        ([{**GOOD["dns"], "ttl": "1h"}], "ipv6:dns[0]:ttl: '1h' is not a whole number"),
        ([GOOD["dns"], GOOD["dns"]], "ipv6:dns[1]:names: www.example.org is in [0], too"),
        ([{**GOOD["dns"], "ptr": {**PTR, "tll": 1}}], "ipv6:dns[0]:ptr:tll: unknown key; did you mean ttl?"),
        ([{**GOOD["dns"], "address": "2001:db8::9"}], "ipv6:dns[0]:address: 2001:db8::9 is not one of the tunnel's"),
        (
            {**GOOD["dns"], "command": {"publish_ptr": "/x", "publish": "/x"}, "ptr": {"zone": "0.ip6.arpa"}},
            "ipv6:dns:ptr:zone: 0.ip6.arpa does not contain 2001:470:1f13:f87::77, whose reverse name is 7.7.0.0.0.",
        ),
    ],
)
def test_errors_have_their_place(modules: Any, odd: Any, said: str) -> None:
    pillar = modules.state.apply("ipv6.pillar", pillar={"ipv6": {**GOOD, "dns": odd}}, test=True).raw
    (state,) = (each for each in pillar.values() if each["__id__"] == PILLAR)
    assert state["result"] is False
    assert any(each.startswith(said) for each in state["comment"].splitlines()), state["comment"]
