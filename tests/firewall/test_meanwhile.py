"""Others who change rules, or the saved files, while a change is under way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_whole as firewall_whole
import _dualstack_host_files as host_files
import pytest
from salt.exceptions import CommandExecutionError

from . import netfilter

OLD = ["-i lo -j ACCEPT", "-p tcp -m tcp --dport 22 -j ACCEPT"]
NEW = [*OLD, "-p tcp -m tcp --dport 443 -j ACCEPT"]
BAN = "-s 192.0.2.66/32 -j DROP"  # the administrator's, or a program's
SAVED = Path("/etc/iptables/rules.v4")


@pytest.fixture
def change(backend: str, tmp_path: Path) -> Callable[[list[str]], converge.Change]:
    """The change to a firewall with some rules in INPUT."""

    def of(rules: list[str]) -> converge.Change:
        firewall = {"backend": backend, "tables": {"filter": {"INPUT": {"policy": "DROP", "rules": rules}}}}
        declared = firewall_declared.Declared(firewall, None)
        return firewall_whole.change(lambda: declared, {"cachedir": str(tmp_path)}, test=False)

    return of


@pytest.fixture(autouse=True)
def _before(change: Callable[[list[str]], converge.Change]) -> None:
    done = converge.run("the firewall", change(OLD), {}, False)
    assert done["result"] is True, done


def ban(backend: str) -> None:
    """Somebody else inserts a rule."""
    netfilter.run(f"iptables-{backend}", "-I", "INPUT", *BAN.split())


def rules(backend: str) -> list[str]:
    """The rules of INPUT, live."""
    return [
        line.removeprefix("-A INPUT ")
        for line in netfilter.save("ipv4", backend).split("\n")
        if line.startswith("-A INPUT ")
    ]


def test_a_rule_that_came_since_the_plan_is_not_overwritten(change: Any, backend: str) -> None:
    """It is in no plan that anybody has seen."""
    new = change(NEW)

    def apply(plan: converge.Plan) -> None:
        ban(backend)
        new.apply(plan)

    done = converge.run("the firewall", new._replace(apply=apply), {}, False)
    assert (done["result"], done["changes"]) == (False, {})
    said = (
        "the chain INPUT of the table filter (ipv4) has been changed by somebody else meanwhile: that was left as it is"
    )
    assert done["comment"].splitlines()[0] == said
    assert rules(backend) == [BAN, *OLD]


def test_a_rule_that_came_since_the_change_survives_its_undo(change: Any, backend: str) -> None:
    new, saved = change(NEW), SAVED.read_text()

    def apply(plan: converge.Plan) -> None:
        new.apply(plan)
        assert rules(backend) == NEW
        ban(backend)
        raise CommandExecutionError("and then something went wrong")

    done = converge.run("the firewall", new._replace(apply=apply), {}, False)
    assert done["result"] is False
    assert done["comment"].splitlines()[0] == "and then something went wrong"
    assert (rules(backend), SAVED.read_text()) == ([BAN, *OLD], saved)


def test_the_rules_are_put_back_before_the_files(change: Any, backend: str) -> None:
    """A file that cannot be put back keeps nobody locked out."""
    new = change(NEW)

    def apply(plan: converge.Plan) -> None:
        new.apply(plan)
        SAVED.write_text("*filter\nCOMMIT\n")  # somebody else's
        raise CommandExecutionError("and then something went wrong")

    def undo(plan: converge.Plan) -> list[converge.Step]:
        first, *others = new.undo(plan)
        return [lambda: (first(), rules(backend) == OLD or pytest.fail("the rules come first"))[0], *others]

    done = converge.run("the firewall", new._replace(apply=apply, undo=undo), {}, False)
    assert done["comment"].splitlines()[:3] == [
        "and then something went wrong",
        f"{SAVED} has been changed by somebody else meanwhile: that was left as it is",
        "Everything else was put back as it was.",
    ]
    assert (rules(backend), SAVED.read_text()) == (OLD, "*filter\nCOMMIT\n")


def test_a_saved_file_that_was_edited_since_the_plan_is_not_overwritten(change: Any, backend: str) -> None:
    new, edited = change(NEW), SAVED.read_text() + "# mind the gap\n"
    late = new._replace(apply=lambda plan: (SAVED.write_text(edited), new.apply(plan)))
    done = converge.run("the firewall", late, {}, False)
    assert (done["result"], done["changes"]) == (False, {})
    assert str(host_files.Moved(str(SAVED))) in done["comment"].splitlines()
    assert (rules(backend), SAVED.read_text()) == (OLD, edited)
