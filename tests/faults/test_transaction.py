"""
A sample of the harness: whole runs of the formula, struck by each kind of fault. Afterwards the host is as before the
run or as after it, everybody can log in, every service runs, nothing is left over, and the next run ends as one without
a fault. ``bash tests/faults/all.sh`` tries all faults that the harness knows.
"""

from __future__ import annotations

from typing import Any

import pytest

from . import harness, harness_cases, harness_host

FAULTS = 24
JOBS = 4  # at a time, on any number of cores: each waits for its daemons half of the time


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """What a run without a fault does."""
    return harness.reference(harness_host.QUICK)


def test_a_run_is_one_transaction(known: dict[str, Any]) -> None:
    names = [each["name"] for each in known["effects"] if "name" in each]
    folder = "/var/lib/dualstack/transaction"
    assert [each for each in names if each.startswith(f"rename {folder}/armed to")] == [
        f"rename {folder}/armed to {folder}/committed"
    ]


def test_a_run_that_changes_nothing_has_none(known: dict[str, Any]) -> None:
    assert not [each for each in known["again"] if "transaction" in each.get("name", "")]


def test_every_kind_of_fault(known: dict[str, Any]) -> None:
    faults = harness_cases.sample(known["effects"], harness_host.QUICK, FAULTS)
    everything = harness_cases.every(known["effects"], harness_host.QUICK)
    assert {harness_cases.kind(each) for each in faults} == {harness_cases.kind(each) for each in everything}
    reports = harness.attempts(known, faults, JOBS, harness.show)
    print(harness.table(reports))
    assert not [each["label"] for each in reports if each["bad"]]
