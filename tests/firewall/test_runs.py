"""What one run has found out, and the next has to know: expectations and warnings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import netfilter

Converge = Callable[..., dict[str, Any]]

TABLES: dict[str, Any] = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp --dport 22 -j ACCEPT"]}}}
HOLDS = [{"to": "tcp/22", "verdict": "accept"}, {"to": "tcp/25", "verdict": "drop"}]
WRONG = [{"to": "tcp/25", "verdict": "accept"}]


def test_expectations_that_change_are_tried_although_the_rules_do_not(converge: Converge) -> None:
    assert converge(TABLES, expect=HOLDS)["result"] is True
    before = [netfilter.save(family, "nft") + netfilter.save(family, "legacy") for family in netfilter.COMMANDS]
    for _ in range(2):  # what has failed once is not taken for tried
        done = converge(TABLES, expect=WRONG)
        assert (done["result"], done["changes"]) == (False, {})
        assert done["comment"].startswith(
            "The ruleset was not loaded, since it fails its rehearsal:\nexpect[0]: tcp/25 "
        )
    assert [netfilter.save(family, "nft") + netfilter.save(family, "legacy") for family in netfilter.COMMANDS] == before
    done = converge(TABLES, expect=HOLDS)
    assert (done["result"], done["changes"]) == (True, {})


def test_expectations_are_tried_before_any_rule_is_loaded(converge: Converge) -> None:
    for test in (True, False):
        done = converge(TABLES, expect=WRONG, test=test)
        assert (done["result"], done["changes"]) == (False, {})
    for family in netfilter.COMMANDS:
        for backend in ("nft", "legacy"):
            assert netfilter.rules(family, backend, "INPUT") == []


def test_what_is_repaired_is_tried_again_with_the_rules_of_others(converge: Converge, backend: str) -> None:
    """Since it was last tried, somebody has put a rule in front of ours; to repair ours would not make it hold."""
    given = {"expect": HOLDS, "preserve": ["x-*"]}
    assert converge(TABLES, **given)["result"] is True
    for family in netfilter.COMMANDS:
        netfilter.load(family, backend, "*filter\n:x-own -\n-A x-own -p tcp -j DROP\n-I INPUT 1 -j x-own\nCOMMIT\n")
        netfilter.load(family, backend, "*filter\n-D INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n")
    done = converge(TABLES, **given)
    assert (done["result"], done["changes"]) == (False, {}), done["comment"]
    assert "expect[0]: tcp/22 " in done["comment"]


def test_a_warning_is_told_in_every_run(converge: Converge) -> None:
    tables = {"filter": {"INPUT": {"rules": ["-i lo -j ACCEPT", f"-j LOG --log-prefix {'x' * 30}"]}}}
    said = "tables:filter:INPUT:rules[1]: `--log-prefix`: the kernel keeps 29 of 30 bytes"
    for changed in (True, False):
        done = converge(tables)
        assert (done["result"], bool(done["changes"])) == (True, changed)
        assert said in done["comment"].splitlines()
