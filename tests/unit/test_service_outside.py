"""Whether others reach this host: with the answers that a master would give."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import _dualstack_service_outside as service_outside
import _dualstack_service_questions as service_questions
import pytest
import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltClientError, SaltInvocationError

FOUR, SIX, TUNNEL = "192.0.2.1", "2001:db8::1", "2001:db8::2"
KNOWN: Any = {"web": SimpleNamespace(about=lambda: {"protocols": {80: "http", 443: "https"}, "options": {}})}
SERVICES = {"web": {"ports": [80]}}
OPTS = {"id": "server.example.org", "master_uri": "tcp://192.0.2.9:4506"}
TOKEN = "0123456789abcdef0123456789abcdef"
Ways = tuple[service_outside.Master, list[Any]]


def has(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """This host has these addresses."""
    monkeypatch.setattr(salt.utils.network, "ip_addrs", lambda: [each for each in addresses if ":" not in each])
    monkeypatch.setattr(salt.utils.network, "ip_addrs6", lambda: [each for each in addresses if ":" in each])


def seen(known: Any, name: str, settings: Any, place: Any) -> Any:
    """A service that listens on all addresses."""
    ports = settings.get("ports", [8080])
    live = {port: [{"address": each, "v6only": False} for each in ("0.0.0.0", "::")] for port in ports}
    return SimpleNamespace(ports=ports, live=live)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_outside, "PAUSES", (0.01, 0.02))
    monkeypatch.setattr(service_outside, "PATIENCE", 0.2)


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ways]:
    """
    A master that reaches these addresses, may not or cannot try others, and is busy or not ready a few times; or whose
    answers are these; and what it was asked.
    """
    has(monkeypatch, FOUR, "10.1.2.3", SIX, TUNNEL)
    monkeypatch.setattr(service_questions, "of", seen)

    def build(
        *reached: str,
        untried: tuple[str, ...] = (),
        busy: int = 0,
        late: int = 0,
        answers: Any = None,
        opts: Any = OPTS,
    ) -> Ways:
        asked: list[Any] = []
        state: dict[str, Any] = {"busy": busy, "late": late, "left": []}

        def outcome(address: str, port: int) -> dict[str, Any]:
            result = None if address in untried else address in reached
            comment = {None: "not tested: why", True: "connects", False: "Connection refused"}[result]
            return {"address": address, "port": port, "result": result, "comment": comment}

        def runner(function: str, arguments: Any, **how: Any) -> Any:
            asked.append((function, arguments, how))
            if answers is not None:
                found = answers.pop(0) if len(answers) > 1 else answers[0]
                if isinstance(found, Exception):
                    raise found
                return found
            (given,) = arguments
            if function == "outside_view.connect":
                if state["busy"] > 0:
                    state["busy"] -= 1
                    return {"busy": "others ask"}
                found = [outcome(*each) for each in given["targets"]]
                state["left"] = [each for each in found if each["result"] is not None]
                token = TOKEN if state["left"] else ""
                return {"token": token, "answers": [each for each in found if each["result"] is None]}
            assert (function, given["token"]) == ("outside_view.answer", TOKEN)
            if state["late"] > 0:
                state["late"] -= 1
                return {"waiting": True}
            return {"answers": state["left"]}

        return service_outside.Master(runner, opts), asked

    return build


def reach(ways: Ways, prober: str | None = "prober", services: Any = None, address: str | None = None) -> Any:
    return service_outside.reach(KNOWN, ways[0], prober, SERVICES if services is None else services, address)


def test_each_port_is_tried_on_each_address_that_can_be_reached(master: Any) -> None:
    ways = master(FOUR, SIX, TUNNEL)
    done = reach(ways, services={"web": {"ports": [80, 443]}})
    connects = [f"web: tcp/{port} on {each}: connects" for port in (80, 443) for each in (FOUR, SIX, TUNNEL)]
    private = "10.1.2.3 is a private address, which prober did not test"
    assert done == (True, "\n".join(["tested from prober:", *connects, private]))
    # All at once, and the answer in a second question.
    targets = [[each, port] for port in (80, 443) for each in (FOUR, SIX, TUNNEL)]
    assert ways[1] == [
        (
            "outside_view.connect",
            [{"targets": targets, "prober": "prober", "timeout": 5, "__kwarg__": True}],
            {"timeout": 5},
        ),
        ("outside_view.answer", [{"token": TOKEN, "__kwarg__": True}], {"timeout": 5}),
    ]


def test_two_services_on_one_port_are_one_connection(master: Any) -> None:
    ways = master(FOUR, SIX, TUNNEL)
    done = reach(ways, services={"web": {"ports": [80]}, "other": {"ports": [80]}})
    assert len(ways[1][0][1][0]["targets"]) == 3
    assert f"other: tcp/80 on {SIX}: connects" in done.comment


def test_many_ports_are_several_requests(master: Any) -> None:
    ways = master(FOUR, SIX, TUNNEL)
    assert reach(ways, services={"web": {"ports": list(range(1, 51))}}).holds is True
    assert [len(each[1][0]["targets"]) for each in ways[1] if "targets" in each[1][0]] == [64, 64, 22]


def test_one_that_is_not_reached_is_enough(master: Any) -> None:
    done = reach(master(FOUR, SIX))
    assert (done.holds, f"web: tcp/80 on {TUNNEL}: Connection refused" in done.comment) == (False, True)
    assert "IPv6 itself" not in done.comment
    done = reach(master(SIX, TUNNEL))
    assert (done.holds, f"web: tcp/80 on {FOUR}: Connection refused" in done.comment) == (False, True)
    done = reach(master(FOUR))
    assert done.holds is False
    assert done.comment.endswith("\nprober reaches nothing over IPv6: does it have IPv6 itself?")


def test_what_was_not_tried_over_ipv6_is_not_proven(master: Any) -> None:
    done = reach(master(FOUR, untried=(SIX, TUNNEL)))
    assert done.holds is None
    assert f"web: tcp/80 on {SIX}: not tested: why" in done.comment
    assert done.comment.endswith("\nwhether this host is reachable over IPv6 is not proven: nothing was tried")
    done = reach(master(untried=(SIX, TUNNEL)))  # but what was tried and failed has failed
    assert done.holds is False
    done = reach(master(SIX, untried=(FOUR, TUNNEL)))  # one of its IPv6 addresses is reached, the others are told
    assert (done.holds, f"{FOUR}: not tested: why" in done.comment) == (True, True)


def test_the_published_address_stands_for_all_of_ipv6(master: Any) -> None:
    done = reach(master(FOUR, SIX), address=SIX)
    assert (done.holds, TUNNEL in done.comment) == (True, False)
    assert f"web: tcp/80 on {SIX}: connects" in done.comment
    assert reach(master(FOUR, SIX, untried=(TUNNEL,)), address=TUNNEL).holds is None


@pytest.mark.parametrize("private", ["10.255.0.1", "172.16.0.1", "172.31.9.9", "192.168.1.1", "100.64.0.1"])
def test_private_addresses_cannot_be_reached_from_outside(
    private: str, master: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = master(SIX)
    has(monkeypatch, private, SIX)
    done = reach(ways)
    assert (done.holds, done.comment.splitlines()[2:]) == (
        True,
        [f"{private} is a private address, which prober did not test"],
    )
    assert ways[1][0][1][0]["targets"] == [[SIX, 80]]


@pytest.mark.parametrize("public", ["172.32.0.1", "172.15.0.1", "100.128.0.1", "192.169.0.1", "11.0.0.1"])
def test_other_addresses_are_tried(public: str, master: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = master(SIX)
    has(monkeypatch, public, SIX)
    assert f"web: tcp/80 on {public}: Connection refused" in reach(ways).comment


def test_a_busy_master_is_asked_again(master: Any) -> None:
    ways = master(FOUR, SIX, TUNNEL, busy=3, late=3)
    assert reach(ways).holds is True
    assert [each[0].rpartition(".")[2] for each in ways[1]] == ["connect"] * 4 + ["answer"] * 4
    done = reach(master(FOUR, SIX, TUNNEL, busy=10**6))
    assert done == (None, "not tried: prober had no time within 0.2 s: others ask")
    done = reach(master(FOUR, SIX, TUNNEL, late=10**6))
    assert done == (None, "not tried: prober did not answer within 0.2 s: does it run?")


FINE = {"token": TOKEN, "answers": []}
REACHED = {"address": SIX, "port": 80, "result": True, "comment": "connects"}
NO_SENSE = "the master said something that makes no sense: "
ODD: list[tuple[Any, str]] = [
    ([{}], "the master does not let this host ask it; it needs in its configuration:\npeer_run:\n  ^server\\.exam"),
    (["'outside_view.connect' is not available."], "the master lacks the runner, or has another version of it: run '"),
    (["\nPassed invalid arguments: connect() got an unexpected keyword"], "the master lacks the runner, or has ano"),
    (["No access to master. If using salt-call with --local"], NO_SENSE + "'No access to master. If using"),
    (["'outside_view.connect' runner publish timed out"], NO_SENSE + "\"'outside_view.connect' runner publish timed"),
    (["Exception occurred in runner: Traceback (most\n  File x\nKeyError: 'y'\n"], NO_SENSE + "\"KeyError: 'y'\""),
    ([SaltClientError("no more keys")], "the master could not be asked: no more keys"),
    ([TimeoutError("timed out")], "the master could not be asked: timed out"),
    ([{"error": "prober: 'x' is not master"}], "the master refuses: prober: 'x' is not master"),
    ([{"error": ["nested", {"x": 1}]}], "the master refuses: ['nested', {'x': 1}]"),
    ([None], NO_SENSE + "'None'"),
    ([""], NO_SENSE + "''"),
    ([[]], NO_SENSE + "'[]'"),
    ([5], NO_SENSE + "'5'"),
    ([True], NO_SENSE + "'True'"),
    ([["x"]], NO_SENSE),
    ([{"result": True}], NO_SENSE),
    ([{"token": TOKEN}], NO_SENSE),
    ([{"answers": {}}], NO_SENSE),
    ([{"answers": [None]}], NO_SENSE),
    ([{"answers": ["connects"]}], NO_SENSE),
    ([{"answers": [{**REACHED, "result": "yes"}]}], NO_SENSE),
    ([{"answers": [{**REACHED, "result": 1}]}], NO_SENSE),
    ([{"answers": [{**REACHED, "port": "80"}]}], NO_SENSE),
    ([{"answers": [{**REACHED, "port": []}]}], NO_SENSE),
    ([{"answers": [{**REACHED, "address": None}]}], NO_SENSE),
    ([{"answers": [{"address": SIX, "port": 80}]}, "x"], ""),
    ([FINE, {}], "the master does not let this host ask it"),
    ([FINE, None], NO_SENSE + "'None'"),
    ([FINE, {"answers": [{}]}], NO_SENSE),
    ([FINE, {"error": "token: the master has no such request"}], "the master refuses: token: the master has no such"),
]


@pytest.mark.parametrize(("answers", "said"), ODD)
def test_whatever_the_master_says_is_no_traceback(answers: list[Any], said: str, master: Any) -> None:
    done = reach(master(answers=list(answers)), address=SIX)
    assert done.holds is None
    assert done.comment.startswith(f"not tried: {said}" if said else "tested from prober:"), done.comment
    assert "Traceback" not in done.comment
    if said:
        with pytest.raises(CommandExecutionError, match=re.escape(said)):
            service_outside.ask(master(answers=list(answers))[0], "prober", [(SIX, 80)])


def test_an_answer_about_something_else_is_none(master: Any) -> None:
    other = {"answers": [{**REACHED, "address": "2001:db8::99"}, {**REACHED, "port": 81}]}
    done = reach(master(answers=[FINE, other]), address=SIX)
    assert (done.holds, f"web: tcp/80 on {SIX}: prober did not say" in done.comment) == (None, True)


def test_nobody_is_asked_where_nothing_could_be_proven(master: Any) -> None:
    ways = master(FOUR)
    nobody, nothing = reach(ways, None), reach(ways, services={})
    words = "not tried: no prober is named; whether this host is reachable from outside is not proven"
    assert (nobody, nothing) == (
        (None, words),
        (None, "not tried: no service is declared that prober could connect to"),
    )
    alone = reach(master(opts={"id": "server"}))
    assert alone == (
        None,
        "not tried: this host has no master now, and only a master could make prober connect to it",
    )
    assert ways[1] == []


def test_the_permission_is_for_this_minion_alone() -> None:
    lines = service_outside.permitted("server.example.org").splitlines()
    minion, function = lines[1].strip().removesuffix(":"), lines[2].strip().removeprefix("- ")
    # As a master matches them: Salt's own re.match.
    assert re.match(minion, "server.example.org")
    for other in ("server.example.org.evil", "serverXexample.org", "a.server.example.org"):
        assert not re.match(minion, other)
    for wanted in ("outside_view.connect", "outside_view.answer"):
        assert re.match(function, wanted)
    for other in ("outside_view.connections", "outside_viewXconnect", "outside_view.connect.x"):
        assert not re.match(function, other)


def test_wrong_probers_and_addresses_are_named() -> None:
    assert service_outside.errors("server") == service_outside.errors("server", "prober", SIX) == []
    nobody: list[Any] = ["", 5, []]
    for wrong in nobody:
        assert service_outside.errors("server", wrong) == [f"{wrong!r} is not the id of a minion, or master"]
    itself = "server is this host itself, which cannot prove that others reach it"
    assert service_outside.errors("server", "server") == [itself]
    for address in (FOUR, 5, "x"):
        assert service_outside.errors("server", address=address) == [f"{address!r} is not an IPv6 address"]


def test_what_is_wrong_is_refused_with_its_key(master: Any) -> None:
    with pytest.raises(SaltInvocationError, match="^prober: server.example.org is this host itself"):
        reach(master(FOUR), "server.example.org")
    with pytest.raises(SaltInvocationError, match="^address: 'x' is not an IPv6 address"):
        reach(master(FOUR), address="x")


def test_without_ports_those_that_are_open_to_all_are_tried(master: Any) -> None:
    assert "web: tcp/8080 on 192.0.2.1: connects" in reach(master(FOUR, SIX, TUNNEL), services={"web": None}).comment
