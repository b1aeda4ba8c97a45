"""What rungs prove together: all held, or nothing is proven; and what was not tried is not broken."""

from __future__ import annotations

import itertools
from typing import Any

import _dualstack_proof_ladder as proof_ladder
import _dualstack_proof_rungs as proof_rungs
import pytest
from salt.exceptions import SaltInvocationError

HELD, FAILED, UNTRIED = "held", "failed", "not tried"


def climbs(**outcomes: str) -> dict[str, list[proof_rungs.Climb]]:
    found = {rung.replace("_", " "): outcome for rung, outcome in outcomes.items()}
    return {rung: [proof_rungs.Climb(rung, outcome, f"why {rung}")] for rung, outcome in found.items()}


@pytest.mark.parametrize("outcomes", list(itertools.product((HELD, FAILED, UNTRIED), repeat=3)), ids="-".join)
def test_it_is_proven_if_all_of_it_holds(outcomes: tuple[str, ...]) -> None:
    proof = proof_rungs.judge(climbs(**dict(zip(("route", "beyond", "services"), outcomes))))
    expected = FAILED if FAILED in outcomes else UNTRIED if UNTRIED in outcomes else HELD
    assert proof.outcome == expected
    assert sum(line.startswith("failed: ") for line in proof.lines) == outcomes.count(FAILED)
    assert sum(line.startswith("not tried: ") for line in proof.lines) == outcomes.count(UNTRIED)


def test_nothing_proves_nothing() -> None:
    assert proof_rungs.judge({}) == (UNTRIED, ["nothing was tried"])
    assert proof_rungs.judge({"route": []}) == (UNTRIED, ["not tried: route: nothing was said about it"])
    assert proof_rungs.judge(climbs(route=UNTRIED), ["route"]).outcome == UNTRIED  # nothing holds


def test_a_rung_that_need_not_have_been_tried_must_not_have_failed() -> None:
    assert proof_rungs.judge(climbs(route=HELD, beyond=UNTRIED)).outcome == UNTRIED
    proof = proof_rungs.judge(climbs(route=HELD, beyond=UNTRIED), ["beyond"])
    assert proof == (
        HELD,
        ["not tried: beyond: why beyond", "held: route", "not needed, as dns:without says: beyond"],
    )
    assert proof_rungs.judge(climbs(route=HELD, beyond=FAILED), ["beyond"]).outcome == FAILED
    assert proof_rungs.judge(climbs(route=UNTRIED, beyond=UNTRIED, services=HELD), ["beyond"]).outcome == UNTRIED


def test_what_fails_at_the_next_boot_only_is_not_broken_now() -> None:
    assert proof_rungs.judge(climbs(route=HELD, next_boot=FAILED)).outcome == UNTRIED
    assert proof_rungs.judge(climbs(route=FAILED, next_boot=FAILED)).outcome == FAILED


def test_the_lines_are_in_the_order_of_the_ladder() -> None:
    found = {
        **climbs(services=HELD, A_record=FAILED, tunnel=HELD),
        "beyond": [proof_rungs.Climb("one", HELD, ""), proof_rungs.Climb("other", FAILED, "it is silent\nfor long")],
    }
    assert proof_rungs.judge(found).lines == [
        "failed: beyond: other: it is silent | for long",
        "failed: A record: why A record",
        "held: tunnel, services",
    ]
    found["beyond"].append(proof_rungs.Climb("third", FAILED, ""))
    assert proof_rungs.judge(found).lines[1] == "failed: beyond: third: nothing was said about it"


# --------------------------------------------------------------------------------------------------------------
# As the door calls it


def rung(name: str, outcome: str) -> dict[str, str]:
    return {"rung": name, "title": f"The {name}", "outcome": outcome, "why": "so"}


def together(dns: Any, *rungs: dict[str, str]) -> tuple[Any, ...]:
    this = proof_ladder.asked({"ipv6": {"dns": dns} if dns else {}}, "ipv6", {})
    return tuple(proof_ladder.together(this, list(rungs)))


def test_without_a_promise_the_unknown_is_no_failure() -> None:
    dns = {"names": ["www.example.org"], "address": "2001:db8::1"}
    held, failed, untried = (rung("route", each) for each in (HELD, FAILED, UNTRIED))
    nobody = "\nnot tried: services: the pillar names none"
    nobody += "\nnot tried: reachable from outside: nobody is named who would connect (verify:prober)"
    for part in (None, dns):
        assert together(part, held) == (True, f"held: route{nobody if part else ''}", HELD)
        assert together(part, failed)[0] is False
        assert together(part) == (None, "nothing was tried, and so nothing is proven", UNTRIED)
        assert together(part, held, rung("beyond", UNTRIED))[0] is (None if part is None else False)
        assert together(part, held, rung("next boot", FAILED))[::2] == (False, UNTRIED)
    assert together(dns, untried)[::2] == (False, UNTRIED)
    assert together(dns, failed)[::2] == (False, FAILED)


def test_a_rung_is_forgiven_where_all_entries_say_so() -> None:
    one, other = ({"names": [f"{each}.example.org"], "address": "2001:db8::1"} for each in ("www", "mail"))
    rungs = rung("route", HELD), rung("beyond", UNTRIED)
    assert together([{**one, "without": ["beyond"]}, {**other, "without": ["beyond", "tunnel"]}], *rungs)[0] is True
    assert together([{**one, "without": ["beyond"]}, other], *rungs)[0] is False


@pytest.mark.parametrize(
    ("rungs", "said"),
    [
        ("route", "rungs: expected IDs of states, each with its rung, found a str"),
        ([5], "rungs: expected rung, title, outcome, why of each, found 5"),
        ([{"rung": "route"}], "rungs: expected rung, title, outcome, why of each"),
        (
            [rung("way out", HELD)],
            "rungs: 'way out' is not a rung of the proof; expected one of tunnel, published addr",
        ),
        ([rung("route", "fine")], "rungs: 'fine' is not an outcome"),
    ],
)
def test_other_rungs_are_refused(rungs: Any, said: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        proof_ladder.together(proof_ladder.asked({}, None, {}), rungs)
    assert str(raised.value).startswith(said)


def test_the_list_of_rungs_in_the_pillar() -> None:
    assert proof_rungs.rungs(["beyond", "reachable from outside"]) == ["beyond", "reachable from outside"]
    for wrong in ("beyond", ["beyound"], [5], {"beyond": 1}):
        with pytest.raises(ValueError, match="is not a list of rungs of the proof; expected some of tunnel, published"):
            proof_rungs.rungs(wrong)
