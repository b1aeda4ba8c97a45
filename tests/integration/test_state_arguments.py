"""Arguments besides a state's own: those of Salt, and unknown ones."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
NODES = {
    (path.stem, node.name): node
    for path in sorted((REPOSITORY / "_states").glob("*.py"))
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name != "mod_aggregate"
}
STATES = list(NODES)
FROM_PILLAR = [each for each, node in NODES.items() if "pillar" in [argument.arg for argument in node.args.args]]
# Pillars that are none of this formula: whoever may call a state may name their keys.
OTHERS = {"password": "s3cret", "passwords": {"dovecot": "s3cret", "postfix": ["s3cret"]}}


def applied(modules: Any, state: str, function: str, **arguments: Any) -> Any:
    """What a state of an SLS file returns."""
    (result,) = all_applied(modules, state, function, [arguments])
    return result


def all_applied(modules: Any, state: str, function: str, given: list[dict[str, Any]]) -> Any:
    """What the states of one SLS file return, in order: the same function, with each of these arguments."""
    sls = {
        f"x{number}": {f"{state}.{function}": [{"name": "dovecot"}, *({key: each[key]} for key in each)]}
        for number, each in enumerate(given)
    }
    results = list(modules.state.template_str(yaml.safe_dump(sls, sort_keys=False)))
    assert [each.id for each in results] == list(sls)
    for result in results:
        assert "Traceback" not in result.comment and "exception" not in result.comment, result
    return results


@pytest.mark.parametrize(("state", "function"), STATES, ids=".".join)
@pytest.mark.parametrize("test", [True, False])
def test_an_unknown_argument_is_named(modules: Any, state: str, function: str, test: bool) -> None:
    result = applied(modules, state, function, oops=1, test=test)
    said = "dovecot:oops: unknown key" if function == "dual_stack" else "unknown argument: oops"
    assert (result.result, result.comment[: len(said)]) == (False, said)


@pytest.mark.parametrize(("state", "function"), STATES, ids=".".join)
def test_one_state_of_a_run_may_be_told_to_predict_only(modules: Any, state: str, function: str) -> None:
    result = applied(modules, state, function, test=True)
    assert "unknown argument" not in result.comment


def test_a_dry_run_stays_one_whatever_a_state_says(states: Any) -> None:
    assert states.ipv6.assigned("x", address="2001:db8::7").result is False  # which this host does not have
    assert states.ipv6.assigned("x", address="2001:db8::7", test=True).result is None


def test_predicting_only_is_passed_to_the_door(modules: Any) -> None:
    assert applied(modules, "ipv6", "assigned", address="2001:db8::7", test=True).result is None
    assert applied(modules, "ipv6", "assigned", address="2001:db8::7", test=False).result is False


@pytest.mark.parametrize(("state", "function"), FROM_PILLAR, ids=".".join)
@pytest.mark.parametrize("test", [True, False])
def test_what_is_no_key_of_the_pillar_is_refused_and_not_shown(
    modules: Any, state: str, function: str, test: bool
) -> None:
    need = {"need": "firewall"} if function == "provided" else {}
    wrongs: tuple[Any, ...] = (5, True, 1.5, ["s3cret"], {"s3cret": 1}, [], {})
    given = [{"pillar": wrong, "test": test, **need} for wrong in wrongs]
    for wrong, result in zip(wrongs, all_applied(modules, state, function, given), strict=True):
        assert (result.result, "expected a key of the pillar" in result.comment) == (False, True), (wrong, result)
        assert "s3cret" not in result.comment


@pytest.mark.parametrize(("state", "function"), [each for each in FROM_PILLAR if each[1] != "provided"], ids=".".join)
@pytest.mark.parametrize("test", [True, False])
def test_a_key_that_leads_nowhere_is_named(modules: Any, state: str, function: str, test: bool) -> None:
    result = applied(modules, state, function, pillar="nowhere:it", test=test)
    assert (result.result, result.comment[:7]) == (False, "nowhere"), result


@pytest.mark.parametrize(("state", "function"), FROM_PILLAR, ids=".".join)
def test_a_key_of_other_pillars_shows_no_value_of_them(modules: Any, state: str, function: str) -> None:
    for key in OTHERS:
        given: list[Any] = [function, {"name": "dovecot"}, {"pillar": key}]
        (result,) = modules.state.high({"x": {state: given}}, pillar=OTHERS)
        assert "Traceback" not in result.comment and "s3cret" not in result.comment, result
