"""A state is one call of a door: each of its arguments arrives there, under its own name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import types
from pathlib import Path
from typing import Any

import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

STATES = Path(__file__).resolve().parents[2] / "_states"
MODULES = STATES.parent / "_modules"
DONE = {"name": "x", "result": True, "changes": {}, "comment": "done by the door", "there": "it is there"}


def load(name: str, **loader: Any) -> types.ModuleType:
    """A file of states as Salt loads it."""
    spec = importlib.util.spec_from_file_location(f"_state_{name}", STATES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update({"__opts__": {"test": False}, "__salt__": {}, "__states__": {}, **loader})
    return module


FUNCTIONS = [
    (path.stem, name)
    for path in sorted(STATES.glob("*.py"))
    for name, each in vars(load(path.stem)).items()
    if inspect.isfunction(each) and not name.startswith("_") and name != "mod_aggregate"
]
CALLS = [each for each in FUNCTIONS if each != ("ipv6", "provided")]


def at_the_door(state: str, function: str) -> Any:
    """The function that a state calls; a door may have several files, whose names begin alike."""
    doors = [importlib.import_module(each.stem) for each in sorted(MODULES.glob(f"{state}*.py"))]
    return next(getattr(each, function) for each in doors if hasattr(each, function))


def called(state: str, function: str, opts: dict[str, Any], *arguments: Any, running: Any = None, **named: Any) -> Any:
    """What the door's function of the same name is called with."""
    calls: list[dict[str, Any]] = []
    door = at_the_door(state, function)

    def record(*given: Any, **by_name: Any) -> dict[str, Any]:
        bound = inspect.signature(door).bind(*given, **by_name)
        bound.apply_defaults()
        found = dict(bound.arguments)
        for each in inspect.signature(door).parameters.values():
            if each.kind is each.VAR_KEYWORD:
                found.update(found.pop(each.name))
        calls.append(found)
        return DONE

    more = {} if running is None else {"__running__": running}
    module = load(state, __salt__={f"{state}.{function}": record}, __opts__=opts, **more)
    assert getattr(module, function)(*arguments, **named) == DONE
    (call,) = calls
    return call


def parameters(state: str, function: str) -> list[inspect.Parameter]:
    found = inspect.signature(getattr(load(state), function)).parameters.values()
    return [each for each in found if each.kind is not each.VAR_KEYWORD]


def test_all_states_are_looked_at() -> None:
    assert len(FUNCTIONS) == len(set(FUNCTIONS)) >= 20
    assert {state for state, _ in FUNCTIONS} == {"aaaa", "dualstack_iptables", "he_tunnel", "ipv6", "service_listen"}


@pytest.mark.parametrize(("state", "function"), CALLS, ids=".".join)
def test_each_argument_arrives_under_its_own_name(state: str, function: str) -> None:
    given = {each.name: f"the {each.name}" for each in parameters(state, function)}
    call = called(state, function, {"test": False}, **given, more="what Salt adds")
    told: dict[str, Any] = {"proof": "not tried"}  # of a state that has not run; the next test has more
    assert {key: call[key] for key in given} == {**given, **{key: told[key] for key in given if key in told}}
    assert (call["more"], call["test"]) == ("what Salt adds", False)


RUN = {
    "aaaa_|-x_|-x_|-published": {"__id__": "x", "result": True},
    "ipv6_|-The proof_|-The proof_|-proven": {"__id__": "The proof", "result": False, "outcome": "failed"},
    "ipv6_|-The route_|-y_|-leaving": {"__id__": "The route", "result": True, "outcome": "held", "comment": "by eth0"},
    "ipv6_|-The rest_|-z_|-reaching": {
        "__id__": "The rest",
        "result": False,
        "comment": "One or more requisite failed",
    },
}


@pytest.mark.parametrize("function", ["published", "withdrawn"])
@pytest.mark.parametrize(("proof", "outcome"), [("The proof", "failed"), ("x", "not tried"), ("nobody", "not tried")])
def test_what_the_proof_came_to_is_what_salt_has_of_it(function: str, proof: str, outcome: str) -> None:
    assert called("aaaa", function, {"test": False}, "x", proof=proof, running=RUN)["proof"] == outcome
    assert called("aaaa", function, {"test": False}, "x", running=RUN)["proof"] is None


def test_the_proof_gets_what_its_rungs_have_found_out() -> None:
    rungs = {"The route": "route", "The rest": "beyond", "nobody": "tunnel"}
    call = called("ipv6", "proven", {"test": False}, "x", rungs=rungs, running=RUN)
    assert call["rungs"] == [
        {"rung": "route", "title": "The route", "outcome": "held", "why": "by eth0"},
        {"rung": "beyond", "title": "The rest", "outcome": "not tried", "why": "One or more requisite failed"},
        {
            "rung": "tunnel",
            "title": "nobody",
            "outcome": "not tried",
            "why": "it has not run before: include ipv6.verify there",
        },
    ]


@pytest.mark.parametrize(("state", "function"), CALLS, ids=".".join)
def test_what_is_not_given_is_what_the_door_would_take(state: str, function: str) -> None:
    door = inspect.signature(at_the_door(state, function)).parameters
    call = called(state, function, {"test": False}, "x")
    for each in parameters(state, function)[1:]:
        default = door[each.name].default if each.name in door else None  # a key of the firewall, not given
        assert call[each.name] == each.default == default


@pytest.mark.parametrize(("state", "function"), CALLS, ids=".".join)
@pytest.mark.parametrize(
    ("configured", "asked", "predicts"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, True), (False, False, False)],
)
def test_whether_it_only_predicts(state: str, function: str, configured: bool, asked: Any, predicts: bool) -> None:
    """A whole run with ``test=True`` stays a dry run, whatever one of its states says."""
    named = {} if asked is None else {"test": asked}
    assert called(state, function, {"test": configured}, "x", **named)["test"] is predicts


@pytest.mark.parametrize(("state", "_"), FUNCTIONS)
def test_it_is_called_as_the_file_is(state: str, _: str) -> None:
    assert load(state).__virtualname__ == state


# --------------------------------------------------------------------------------------------------------------
# ipv6.provided


class Host:
    """What is missing, before and after Salt's own states have installed something."""

    def __init__(self, *found: dict[str, Any], result: Any = True, retcode: int = 0) -> None:
        self.found, self.result, self.retcode = list(found), result, retcode
        self.asked: list[Any] = []
        self.installed: list[Any] = []
        self.told: list[Any] = []

    def missing(self, **arguments: Any) -> dict[str, Any]:
        self.asked.append(arguments)
        return self.found.pop(0)

    def install(self, kind: str) -> Any:
        def run(**arguments: Any) -> dict[str, Any]:
            self.installed.append((kind, arguments))
            return {"name": "x", "result": self.result, "changes": {"a": "b"}, "comment": "said by Salt"}

        return run

    def tell(self, *words: str, **arguments: Any) -> dict[str, Any]:
        self.told.append((words, arguments))
        return {"retcode": self.retcode, "stderr": "no", "stdout": ""}

    def provided(self, test: bool = False, configured: bool = False, **arguments: Any) -> Any:
        module = load(
            "ipv6",
            __salt__={"ipv6.missing": self.missing, "cmd.run_all": self.tell},
            __states__={f"{each}.installed": self.install(each) for each in ("pkg", "pip")},
            __opts__={"test": configured},
        )
        return module.provided("x", need="firewall", lookup={"packages": {}}, test=test, **arguments)


ANSWERS = {"p": {"p/one": "false", "p/two": "false"}}
LACKS = {"there": "", "lacks": "still missing: p", "packages": ["p", "q"], "distributions": [], "answers": ANSWERS}
THERE = {**LACKS, "there": "installed: p", "lacks": ""}
LIBRARY = {**LACKS, "packages": [], "distributions": ["netaddr"], "answers": {}}
ARGUMENTS = {"need": "firewall", "pillar": "ipv6", "lookup": {"packages": {}}}


def test_what_is_there_is_not_installed() -> None:
    host = Host(THERE)
    assert host.provided() == {"name": "x", "result": True, "changes": {}, "comment": "installed: p"}
    assert (host.asked, host.installed, host.told) == ([ARGUMENTS], [], [])


def test_packages_are_installed_without_what_they_only_recommend() -> None:
    host = Host(LACKS, THERE)
    assert host.provided() == {"name": "x", "result": True, "changes": {"a": "b"}, "comment": "said by Salt"}
    assert host.installed == [
        ("pkg", {"name": "x", "pkgs": ["p", "q"], "install_recommends": False, "refresh": True}),
    ]
    assert host.told == [
        (
            ("debconf-set-selections",),
            {"stdin": "p p/one boolean false\np p/two boolean false", "python_shell": False, "timeout": 60},
        )
    ]
    assert host.asked == [ARGUMENTS, ARGUMENTS]


def test_libraries_are_installed_by_pip() -> None:
    host = Host(LIBRARY, THERE)
    assert host.provided()["result"] is True
    assert host.installed == [("pip", {"name": "x", "pkgs": ["netaddr"]})]
    assert host.told == []
    host = Host({**LACKS, "answers": {}}, THERE)
    assert host.provided()["result"] is True
    assert host.told == [], "there is nothing to answer"


def test_what_is_missing_afterwards_is_an_error() -> None:
    done = Host(LACKS, LACKS).provided()
    assert (done["result"], done["changes"]) == (False, {"a": "b"})
    assert done["comment"] == "said by Salt\nstill missing: p"


def test_an_installation_that_fails_speaks_for_itself() -> None:
    done = Host(LACKS, result=False).provided()
    assert (done["result"], done["changes"], done["comment"]) == (False, {"a": "b"}, "said by Salt")


def test_a_dry_run_is_that_of_salts_own_state() -> None:
    host = Host(LACKS, result=None)
    done = host.provided(configured=True)
    assert (done["result"], done["comment"], done["installs"]) == (None, "said by Salt", "firewall")
    assert (len(host.installed), host.told) == (1, [])
    host = Host(LACKS)
    told: dict[str, Any] = {
        "name": "x",
        "result": None,
        "changes": {},
        "comment": "still missing: p",
        "installs": "firewall",
    }
    assert host.provided(test=True) == told
    assert host.installed == [], "Salt's own state would not know that this one only predicts"


def test_what_goes_wrong_is_said() -> None:
    assert "debconf-set-selections said: no" in Host(LACKS, retcode=1).provided()["comment"]
    for error in (SaltInvocationError("need: no"), CommandExecutionError("need: no"), OSError("need: no")):
        host = Host()

        def fails(error: Exception = error, **_: Any) -> Any:
            raise error

        host.missing = fails  # type: ignore[method-assign]
        assert host.provided() == {"name": "x", "result": False, "changes": {}, "comment": "need: no"}


# --------------------------------------------------------------------------------------------------------------
# Single rules that Salt puts together


def aggregated(low: dict[str, Any], *others: dict[str, Any]) -> Any:
    """What one chunk of a run becomes, and which of the others are done with it."""

    def translate(rule: Any, chain: str, table: str) -> None:
        if "wrong" in str(rule):
            raise SaltInvocationError(f"{table} {chain}: {rule}")

    module = load("dualstack_iptables", __salt__={"dualstack_iptables.translate": translate})
    found = module.mod_aggregate(low, [low, *others], {})
    assert found is low
    return low.get("aggregated"), [each["name"] for each in others if "__agg__" in each]


def chunk(name: str, /, **others: Any) -> dict[str, Any]:
    return {"state": "dualstack_iptables", "fun": "rule", "name": name, **others}


def test_single_rules_are_put_together() -> None:
    rules, done = aggregated(
        chunk("a"), chunk("b", rule="-j B", chain="OUTPUT", position="start"), chunk("c", table="nat")
    )
    assert rules == [
        {"rule": "a", "chain": "INPUT", "table": "filter", "position": "end"},
        {"rule": "-j B", "chain": "OUTPUT", "table": "filter", "position": "start"},
        {"rule": "c", "chain": "INPUT", "table": "nat", "position": "end"},
    ]
    assert done == ["b", "c"]


def test_others_are_left_alone() -> None:
    assert aggregated(chunk("a", fun="ruleset"), chunk("b", fun="ruleset")) == (None, [])
    assert aggregated(chunk("a")) == (None, [])
    assert aggregated(chunk("a"), chunk("b", fun="rule_absent")) == (None, [])
    assert aggregated(chunk("a"), {**chunk("b"), "state": "iptables"}) == (None, [])
    assert aggregated(chunk("a"), chunk("wrong")) == (None, [])
    assert aggregated(chunk("wrong"), chunk("b"))[0] is None, "it says itself what is wrong with it"
    assert aggregated(chunk("a"), chunk("b", __agg__=True))[0] is None, "another one has it already"
    conditions = ("unless", "onlyif", "creates", "require", "watch", "onfail", "onchanges", "prereq", "require_any")
    for key, value in (("backend", "legacy"), ("save", False), *((each, ["x"]) for each in conditions)):
        assert aggregated(chunk("a"), chunk("b", **{key: value})) == (None, [])
        assert aggregated(chunk("a", **{key: value}), chunk("b", **{key: value}))[1] == ["b"]


@pytest.mark.parametrize("function", ["rule", "rule_absent"])
def test_what_salt_adds_for_that_is_no_unknown_argument(function: str) -> None:
    call = called("dualstack_iptables", function, {"test": False}, "x", aggregate=True, oops=1)
    assert (call.get("aggregate"), call["oops"]) == (None, 1)
