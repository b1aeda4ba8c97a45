"""No record comes or goes for one run."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_dns_patience as dns_patience
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

KEY, AFTER = "ipv6:dns", 3
EDIT: dict[str, Any] = {"changes": {"www": {"old": [], "new": ["x"]}}, "edits": {"www": 1}, "files": {}, "warnings": []}
NOTHING: dict[str, Any] = {"changes": {}, "edits": {}, "files": {}, "warnings": []}


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "dualstack" / "proof.json"
    monkeypatch.setattr(dns_patience, "MEMORY", str(path))
    return path


class Zone:
    """Whether the record is there, and how it is published and withdrawn."""

    def __init__(self, there: bool) -> None:
        self.there, self.fails = there, False

    def run(self, which: str, outcome: str, test: bool = False) -> dict[str, Any]:
        """A run of the state that publishes, or of the one that withdraws."""
        wanted = which == "published"
        this = dns_patience.counted(KEY, outcome, AFTER, test)

        def change(plan: Any) -> None:
            if self.fails:
                raise CommandExecutionError("REFUSED")
            self.there = wanted

        made = converge.Change(
            "x",
            lambda: getattr(dns_patience, which)(this, lambda: dict(NOTHING if self.there == wanted else EDIT)),
            lambda plan: dns_patience.apply(plan, change),
            lambda plan: dns_patience.undo(plan, lambda _: [lambda: None]),
        )
        return converge.run("x", made, {}, test)

    def runs(self, outcomes: str) -> list[bool]:
        """Whole runs, each a letter of its outcome: whether the record is there after each."""
        found = []
        for letter in outcomes:
            outcome = {"h": converge.HELD, "f": converge.FAILED, "-": converge.UNTRIED}[letter]
            done = [self.run("published", outcome)] if letter == "h" else []  # else its requisite has failed
            done.append(self.run("withdrawn", outcome))
            assert [each["result"] for each in done] == [True] * len(done), done
            found.append(self.there)
        return found


@pytest.mark.parametrize(
    ("outcomes", "there"),
    [
        ("hh", "11"),
        ("hff", "111"),
        ("hfff", "1110"),
        ("hffhff", "111111"),
        ("hffhfff", "1111110"),
        ("hff-f", "11110"),  # who could not try has not seen it hold either
        ("h---", "1111"),
        ("hfffffff", "11100000"),
        ("hfffhhh", "1110001"),
        ("hfffhhfhhh", "1110000001"),
        ("hfffh-hh", "11100001"),
        ("hfffhhhff", "111000111"),
        ("hfffhhhfff", "1110001110"),
    ],
)
def test_runs_in_a_row(outcomes: str, there: str) -> None:
    assert "".join(str(int(each)) for each in Zone(there=False).runs(outcomes)) == there


def test_each_step_is_told() -> None:
    zone = Zone(there=True)
    assert zone.run("withdrawn", converge.FAILED)["changes"] == {dns_patience.FAILED: {"old": 0, "new": 1}}
    assert zone.run("withdrawn", converge.FAILED)["comment"].endswith(
        "IPv6 failed in 2 of 3 runs in a row: the records stay as they are"
    )
    assert zone.run("withdrawn", converge.FAILED)["changes"] == {
        **EDIT["changes"],
        dns_patience.FAILED: {"old": 2, "new": 3},
        "withdrawn because IPv6 failed": {"old": False, "new": True},
    }
    assert zone.run("withdrawn", converge.FAILED)["changes"] == {}
    done = zone.run("published", converge.HELD)
    assert done["changes"] == {dns_patience.FAILED: {"old": 3, "new": 0}, dns_patience.HELD: {"old": 0, "new": 1}}
    assert "not yet published: it held in 1 of 3 runs in a row" in done["comment"]


def test_a_prediction_counts_nothing(memory: Path) -> None:
    zone = Zone(there=True)
    for _ in range(AFTER + 1):
        assert zone.run("withdrawn", converge.FAILED, test=True)["changes"] == {
            dns_patience.FAILED: {"old": 0, "new": 1}
        }
    assert (zone.there, memory.exists()) == (True, False)


def test_a_withdrawal_that_fails_is_tried_again() -> None:
    zone = Zone(there=True)
    zone.runs("ff")
    zone.fails = True
    for _ in range(2):
        done = zone.run("withdrawn", converge.FAILED)
        assert (done["result"], done["changes"], zone.there) == (False, {}, True)
    zone.fails = False
    assert zone.runs("f") == [False]


def test_a_record_that_somebody_puts_back_is_withdrawn_again() -> None:
    zone = Zone(there=True)
    zone.runs("fff")
    zone.there = True
    assert zone.runs("f") == [False]


def test_the_memory_is_for_root_and_is_gone_when_it_is_empty(memory: Path) -> None:
    zone = Zone(there=True)
    zone.runs("f")
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    zone.runs("h")
    assert not memory.exists()
    zone.runs("fff")
    assert dns_patience.waits(KEY) and not dns_patience.waits("another")
    zone.runs("hhh")
    assert not memory.exists()


@pytest.mark.parametrize("text", ["", "x", "[]", '{"k": 5}', '{"k": {"failed": "1"}}', '{"k": {"other": 1}}'])
def test_a_damaged_memory_is_named(text: str, memory: Path) -> None:
    memory.parent.mkdir()
    memory.write_text(text)
    done = Zone(there=True).run("withdrawn", converge.FAILED)
    assert (done["result"], "proof.json is damaged: it counts the runs in which" in done["comment"]) == (False, True)
    dns_patience.forget(KEY)  # on the way back nobody needs it
    assert not memory.exists()


def test_nothing_is_published_that_is_not_proven() -> None:
    zone = Zone(there=False)
    for outcome in (converge.FAILED, converge.UNTRIED):
        done = zone.run("published", outcome)
        assert (done["result"], done["changes"], zone.there) == (False, {}, False)
        assert "nothing is published, since IPv6 is not proven" in done["comment"]
    predicted = zone.run("published", converge.UNTRIED, test=True)  # all of it might hold in the run
    assert (predicted["result"], predicted["changes"]) == (None, EDIT["changes"])


def test_who_withdraws_them_otherwise_begins_anew(memory: Path) -> None:
    Zone(there=True).runs("fff")
    dns_patience.forget("another")
    assert memory.exists()
    dns_patience.forget(KEY)
    assert not memory.exists()


def test_another_outcome_is_refused() -> None:
    with pytest.raises(
        SaltInvocationError, match="^proof: 'fine' is not an outcome; expected one of held, failed, not"
    ):
        dns_patience.counted(KEY, "fine", AFTER)


def test_records_that_are_not_there_do_not_stay() -> None:
    zone = Zone(there=True)
    assert "the records stay" in zone.run("withdrawn", converge.HELD)["comment"]
    zone.runs("fff")
    assert "the records, which were withdrawn, come back" in zone.run("withdrawn", converge.HELD)["comment"]
