"""What ``service_listen`` makes of its arguments and the pillar, with other Salt modules that are made up."""

from __future__ import annotations

from typing import Any

import pytest
import salt.utils.network
import service_listen as module
from salt.exceptions import SaltInvocationError

service_listen: Any = module
FOUR, SIX, TUNNEL = "192.0.2.1", "2001:db8::1", "2001:db8:7::7"
SERVICES = {"ssh": {"ports": [22]}}


class Toy:
    """A service's plug-in, of which nothing is needed but its facts."""

    @staticmethod
    def functions() -> dict[str, Any]:
        facts = {
            **{"files": [], "processes": [], "units": [], "init": "ssh", "options": {}, "check": []},
            "protocols": {22: "ssh"},
        }
        names = ("includes", "listeners", "dual_stack", "errors")
        return {"listen_ssh.about": lambda: facts, **{f"listen_ssh.{each}": lambda *_: [] for each in names}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a prober was asked to connect to."""
    addresses: list[str] = []

    def runner(function: str, arguments: Any, **how: Any) -> Any:
        targets = arguments[0]["targets"]
        addresses.extend(address for address, _ in targets)
        reached = {"result": True, "comment": "connects"}
        return {"token": "", "answers": [{"address": address, "port": port, **reached} for address, port in targets]}

    def status(name: str) -> dict[str, Any]:
        known = {"he0": {"address": "2001:db8:7::2/64", "source": TUNNEL}, "he1": None}
        return {"configured": known[name]}

    functions = {"publish.runner": runner, "he_tunnel.status": status}
    monkeypatch.setattr(service_listen, "__salt__", {**Toy.functions(), **functions}, raising=False)
    opts = {"id": "server", "master_uri": "tcp://192.0.2.9:4506", "test": False}
    monkeypatch.setattr(service_listen, "__opts__", opts, raising=False)
    monkeypatch.setattr(service_listen, "__pillar__", {}, raising=False)
    monkeypatch.setattr(salt.utils.network, "ip_addrs", lambda: [FOUR])
    monkeypatch.setattr(salt.utils.network, "ip_addrs6", lambda: [SIX])
    monkeypatch.setattr(service_listen.service_questions, "of", seen)
    return addresses


def seen(known: Any, name: str, settings: Any, place: Any) -> Any:
    """The service, on all addresses."""
    ports = settings.get("ports", [22])
    service_listen.service_settings.refuse({name: settings}, known)
    live = {port: [{"address": each, "v6only": False} for each in ("0.0.0.0", "::")] for port in ports}
    service = service_listen.service_change.service_host.daemon(known, name)
    place = place._replace(names=settings.get("names", place.names))
    return service_listen.service_questions.View(service, settings, place, live, {}, {}, ports, [], {})


@pytest.mark.parametrize(
    ("given", "six"),
    [
        ({}, SIX),
        ({"tunnel": "he0"}, TUNNEL),
        ({"tunnel": "he1"}, SIX),
        ({"tunnel": "he0", "address": "2001:db8::9"}, "2001:db8::9"),
    ],
)
def test_others_connect_to_the_address_that_is_published(given: Any, six: str, asked: list[str]) -> None:
    done = service_listen.reachable("outside", prober="prober", services=SERVICES, **given)
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]
    assert asked == [FOUR, six]


@pytest.mark.parametrize(
    ("beside", "six"),
    [
        ({}, SIX),
        ({"tunnel": {"address": "2001:db8:7::2/64"}}, "2001:db8:7::2"),
        ({"tunnel": {"address": "2001:db8:7::2/64"}, "dns": {"address": TUNNEL}}, TUNNEL),
    ],
)
def test_the_pillar_says_whom_to_ask_for_what(
    beside: Any, six: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pillar = {"my": {"services": SERVICES, "verify": {"prober": "prober"}, **beside}}
    monkeypatch.setattr(service_listen, "__pillar__", pillar, raising=False)
    done = service_listen.reachable("outside", pillar="my:services")
    assert done["comment"].startswith("tested from prober:\nssh: tcp/22 on ")
    assert asked == [FOUR, six]
    other = service_listen.reachable("outside", prober="other", address="2001:db8::9", pillar="my:services")
    assert other["comment"].startswith("tested from other:\n")
    assert asked[2:] == [FOUR, "2001:db8::9"]
    nothing = service_listen.reachable("outside", services={}, pillar="my:services")
    assert nothing["comment"] == "not tried: no service is declared that prober could connect to"


def test_in_test_mode_nobody_is_asked(asked: list[str]) -> None:
    done = service_listen.reachable("outside", prober="prober", services=SERVICES, test=True)
    assert (done["result"], done["comment"], asked) == (None, "prober was not asked", [])
    service_listen.__opts__["test"] = True
    done = service_listen.reachable("outside", prober="prober", services=SERVICES)
    assert (done["result"], asked) == (None, [])
    assert service_listen.reachable("outside", prober="prober", services=SERVICES, test=False)["result"] is True
    nobody = service_listen.reachable("outside", services=SERVICES, test=True)
    assert (nobody["result"], nobody["comment"].split(":")[0]) == (None, "not tried")


def test_arguments_that_are_unknown_are_refused(asked: list[str]) -> None:
    for state in (service_listen.reachable, service_listen.unharmed, service_listen.answering):
        done = state("ssh", prots=[22])
        assert (done["result"], done["comment"]) == (False, "unknown argument: prots")
    assert asked == []


def test_a_service_that_answers_is_told_with_its_banner(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    whom: list[Any] = []

    def probe_all(targets: list[dict[str, Any]], timeout: float | None) -> list[dict[str, Any]]:
        whom.append([(each["address"], each["port"], each["protocol"], each["name"]) for each in targets])
        answer = {"answers": True, "error": "", "banner": "SSH-2.0", "look": {}, "reason": ""}
        silent = {"answers": False, "error": "not in this protocol", "banner": "HTTP/1.1", "look": {}, "reason": ""}
        return [{**each, **(silent if each["address"] == SIX else answer)} for each in targets]

    monkeypatch.setattr(service_listen.service_judgement.service_probe, "probe_all", probe_all)
    done = service_listen.answering("ssh", ports=[22])
    assert done["result"] is False
    wrong, *heard = done["comment"].splitlines()
    assert wrong.startswith("tcp/22 answers over IPv4, but not over IPv6: "), "the proof repeats the first line"
    assert heard[:2] == [f"tcp/22 on {FOUR}: SSH-2.0", f"tcp/22 on {SIX}: not in this protocol: HTTP/1.1"]
    assert service_listen.answering("ssh", protocols={22: "tcp"}, addresses=[FOUR])["result"] is True
    assert whom == [[(FOUR, 22, "ssh", ""), (SIX, 22, "ssh", "")], [(FOUR, 22, "tcp", "")]]
    assert service_listen.answering("ssh", test=True)["comment"] == "ssh was not asked"
    service_listen.probe("ssh", [22], {22: "https"}, [SIX], ["www.example.org"], {22: {"path": "/x"}})
    service_listen.probe("ssh")
    assert whom[2:] == [
        [(SIX, 22, "https", "www.example.org")],
        [("127.0.0.1", 22, "ssh", ""), ("::1", 22, "ssh", "")],
    ]


def test_what_is_harmed_and_by_which_value(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def nobody(known: Any, *given: Any) -> list[str]:
        calls.append(given)
        return []

    monkeypatch.setattr(service_listen.service_audit, "harmed", nobody)
    pillar = {"my": {"services": SERVICES, "sysctl": {"net.ipv6.bindv6only": 0}, "sysctl_except": ["a"]}}
    monkeypatch.setattr(service_listen, "__pillar__", pillar, raising=False)
    for given, value in (({}, 1), ({"bindv6only": 0}, 0), ({"pillar": "my:services"}, 0)):
        done = service_listen.unharmed("x", **given)
        assert done["comment"] == f"no service is harmed by net.ipv6.bindv6only={value}"
    service_listen.unharmed("x", bindv6only=1, services={}, exceptions=[], pillar="my:services")
    service_listen.harmed(1)
    service_listen.harmed(0, SERVICES, ["b"])
    assert calls == [
        *((1, {}, []), (0, {}, []), (0, SERVICES, ["a"]), (1, {}, [])),
        *((1, None, None), (0, SERVICES, ["b"])),
    ]


def test_a_service_is_converged_with_what_is_given_and_what_stands_in_the_pillar(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[Any] = []

    def plan(known: Any, name: str, settings: Any, value: Any, place: Any, _lookups: Any) -> Any:
        planned.append((name, settings, value, place.names, place.addresses["ipv6"]))
        raise SaltInvocationError("planned")

    monkeypatch.setattr(service_listen.service_change, "plan", plan)
    pillar = {"my": {"services": {"ssh": {"ports": [22], "timeout": 5}}, "sysctl": {"net.ipv6.bindv6only": 1}}}
    pillar["my"]["dns"] = {"names": ["www.example.org"], "address": TUNNEL}
    monkeypatch.setattr(service_listen, "__pillar__", pillar, raising=False)
    given = {"ports": [2222], "protocols": {2222: "ssh"}, "timeout": 7}
    assert service_listen.dual_stack("ssh", **given, order=1)["comment"] == "planned"
    service_listen.dual_stack("ssh", pillar="my:services")
    service_listen.dual_stack("ssh", bindv6only=0, ports=[2222], address="2001:db8::9", pillar="my:services")
    assert planned == [
        ("ssh", given, None, [], [SIX]),
        ("ssh", {"ports": [22], "timeout": 5}, 1, ["www.example.org"], [TUNNEL]),
        ("ssh", {"ports": [2222], "timeout": 5}, 0, ["www.example.org"], ["2001:db8::9"]),
    ]


@pytest.mark.parametrize(
    ("done", "test", "result", "changes"),
    [
        ({"result": True, "changes": {"master.cf": "x"}, "comment": "changed"}, False, True, {"master.cf": "x"}),
        ({"result": None, "changes": {"master.cf": "x"}, "comment": "would be changed"}, True, None, {}),
        ({"result": True, "changes": {}, "comment": "as declared"}, True, True, {}),
        ({"result": False, "changes": {}, "comment": "not installed"}, True, False, {}),
    ],
    ids=["run", "unknown", "right", "wrong"],
)
def test_what_will_be_published_is_not_known_before(
    done: Any, test: bool, result: Any, changes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def dual_stack(*given: Any, **named: Any) -> Any:
        asked.append((given, named))
        return {"name": "postfix", **done}

    monkeypatch.setattr(service_listen, "__opts__", {"test": False}, raising=False)
    monkeypatch.setattr(service_listen, "dual_stack", dual_stack)
    found = service_listen.sending("postfix", "my:services", test=test)
    assert (found["result"], found["changes"]) == (result, changes)
    assert ("is judged once the records of this run are published" in found["comment"]) is (result is None)
    assert asked == [(("postfix",), {"pillar": "my:services", "test": test})]
    assert service_listen.sending("postfix", oops=1)["comment"] == "unknown argument: oops"
    assert len(asked) == 1


def test_wrong_settings_in_the_pillar_are_named_by_every_state(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_listen, "__pillar__", {"my": {"services": {"ssh": {"ports": [0]}}}}, raising=False)
    said = "my:services:ssh:ports: [0] is not a list of TCP ports, such as [25, 587]"
    for state in ("reachable", "unharmed", "answering", "dual_stack"):
        for test in (True, False):
            done = getattr(service_listen, state)("ssh", pillar="my:services", test=test)
            assert (done["result"], done["changes"], done["comment"]) == (False, {}, said), (state, test)
    with pytest.raises(SaltInvocationError, match="^ssh:ports: "):
        service_listen.probe("ssh", [0])
