"""Whether others reach this host: with the answers that a prober and a master would give."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import _dualstack_service_outside as service_outside
import _dualstack_service_questions as service_questions
import pytest
import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltInvocationError

FOUR, SIX, TUNNEL = "192.0.2.1", "2001:db8::1", "2001:db8::2"
KNOWN: Any = {"web": SimpleNamespace(about=lambda: {"protocols": {80: "http", 443: "https"}, "options": {}})}
SERVICES = {"web": {"ports": [80]}}
OPTS = {"id": "server", "master_uri": "tcp://192.0.2.9:4506"}
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


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ways]:
    """A master whose probers connect to these addresses; and what it was asked."""
    has(monkeypatch, FOUR, "10.1.2.3", SIX, TUNNEL)
    monkeypatch.setattr(service_questions, "of", seen)

    def build(*reached: str, answer: Any = None, opts: Any = OPTS) -> Ways:
        asked: list[Any] = []

        def connect(arguments: list[dict[str, Any]]) -> Any:
            (given,) = arguments
            done = given["host"] in reached
            return {"result": done, "comment": "" if done else f"Unable to connect to {given['host']}"}

        def publish(target: str, function: str, arguments: Any, **how: Any) -> Any:
            asked.append((target, function, arguments, how))
            return {target: connect(arguments)} if answer is None else answer

        def runner(function: str, arguments: Any, **how: Any) -> Any:
            asked.append((function, arguments, how))
            return connect(arguments) if answer is None else answer

        return service_outside.Master(publish, runner, opts), asked

    return build


def reach(ways: Ways, prober: str | None = "prober", services: Any = None, address: str | None = None) -> Any:
    return service_outside.reach(KNOWN, ways[0], prober, SERVICES if services is None else services, address)


def test_each_port_is_tried_on_each_address_that_can_be_reached(master: Any) -> None:
    done = reach(master(FOUR, SIX, TUNNEL), services={"web": {"ports": [80, 443]}})
    connects = [f"web: tcp/{port} on {each}: connects" for port in (80, 443) for each in (FOUR, SIX, TUNNEL)]
    private = "10.1.2.3 is a private address, which prober did not test"
    assert done == (True, "\n".join(["tested from prober:", *connects, private]))


def test_one_that_is_not_reached_is_enough(master: Any) -> None:
    done = reach(master(FOUR, SIX))
    assert (done.holds, f"web: tcp/80 on {TUNNEL}: Unable to connect to {TUNNEL}" in done.comment) == (False, True)
    assert "IPv6 itself" not in done.comment
    done = reach(master(SIX, TUNNEL))
    assert (done.holds, f"web: tcp/80 on {FOUR}: Unable to connect to {FOUR}" in done.comment) == (False, True)
    done = reach(master(FOUR))
    assert done.holds is False
    assert done.comment.endswith("\nprober reaches nothing over IPv6: does it have IPv6 itself?")


def test_the_published_address_stands_for_all_of_ipv6(master: Any) -> None:
    done = reach(master(FOUR, SIX), address=SIX)
    assert (done.holds, TUNNEL in done.comment) == (True, False)
    assert f"web: tcp/80 on {SIX}: connects" in done.comment


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
    assert len(ways[1]) == 1


@pytest.mark.parametrize("public", ["172.32.0.1", "172.15.0.1", "100.128.0.1", "192.169.0.1", "11.0.0.1"])
def test_other_addresses_are_tried(public: str, master: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = master(SIX)
    has(monkeypatch, public, SIX)
    assert f"web: tcp/80 on {public}: Unable to connect" in reach(ways).comment


def test_how_a_minion_and_the_master_are_asked(master: Any) -> None:
    def arguments(address: str, family: str) -> list[Any]:
        return [{"host": address, "port": 80, "family": family, "timeout": 5, "__kwarg__": True}]

    ways = master(FOUR, SIX)
    assert service_outside.connect(ways[0], "prober", FOUR, 80) == (True, "connects")
    assert service_outside.connect(ways[0], "master", SIX, 80) == (True, "connects")
    assert service_outside.connect(ways[0], "prober", TUNNEL, 80) == (False, f"Unable to connect to {TUNNEL}")
    assert ways[1][:2] == [
        ("prober", "network.connect", arguments(FOUR, "ipv4"), {"tgt_type": "list", "timeout": 20}),
        ("outside_view.connect", arguments(SIX, "ipv6"), {"timeout": 20}),
    ]


@pytest.mark.parametrize(
    ("prober", "answer", "said"),
    [
        (
            "prober",
            {},
            "the master does not let this host ask prober; it needs in its configuration:\npeer:\n  server:",
        ),
        ("prober", {"prober": "denied"}, "prober could not be asked to connect: denied"),
        ("prober", {"prober": {"result": "yes"}}, "prober could not be asked to connect: {'result': 'yes'}"),
        ("prober", {"other": {"result": True}}, "prober could not be asked to connect: None"),
        ("prober", "lost", "prober could not be asked to connect: lost"),
        (
            "master",
            {},
            "the master does not let this host ask it; it needs in its configuration:\npeer_run:\n  server:",
        ),
        (
            "master",
            "'outside_view.connect' is not available.",
            "the master lacks the runner: run 'salt-run saltutil.sy",
        ),
        ("master", "lost", "master could not be asked to connect: lost"),
    ],
)
def test_a_prober_that_cannot_be_asked(prober: str, answer: Any, said: str, master: Any) -> None:
    with pytest.raises(CommandExecutionError) as raised:
        service_outside.connect(master(answer=answer)[0], prober, SIX, 80)
    assert str(raised.value).startswith(said)


def test_a_prober_that_is_silent_or_unknown(master: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (found, _), times = master(answer={}), iter([0.0, 20.0])
    monkeypatch.setattr(service_outside, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with pytest.raises(CommandExecutionError, match="^prober did not answer within 20 s: does it run?"):
        service_outside.connect(found, "prober", SIX, 80)
    monkeypatch.undo()
    nobody = found._replace(publish=lambda *words, **how: None)
    with pytest.raises(CommandExecutionError, match="^prober: the master knows no minion prober, or has not accepted"):
        service_outside.connect(nobody, "prober", SIX, 80)


def test_nobody_is_asked_where_nothing_could_be_proven(master: Any) -> None:
    ways = master(FOUR)
    nobody, nothing = reach(ways, None), reach(ways, services={})
    words = "skipped: no prober is named; whether this host is reachable from outside is not proven"
    assert (nobody, nothing) == (
        (True, words),
        (True, "skipped: no service is declared that prober could connect to"),
    )
    with pytest.raises(
        CommandExecutionError, match="^this host has no master now, and only a master could make prober"
    ):
        reach(master(opts={"id": "server"}))
    assert ways[1] == []


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
    with pytest.raises(SaltInvocationError, match="^prober: server is this host itself"):
        reach(master(FOUR), "server")
    with pytest.raises(SaltInvocationError, match="^address: 'x' is not an IPv6 address"):
        reach(master(FOUR), address="x")


def test_without_ports_those_that_are_open_to_all_are_tried(master: Any) -> None:
    assert "web: tcp/8080 on 192.0.2.1: connects" in reach(master(FOUR, SIX, TUNNEL), services={"web": None}).comment
