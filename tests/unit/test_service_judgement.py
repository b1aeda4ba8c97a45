"""Whether a service is over IPv6 what it is over IPv4, with answers that are made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import _dualstack_service_host as service_host
import _dualstack_service_judgement as service_judgement
import _dualstack_service_place as service_place
import _dualstack_service_probe as service_probe
import _dualstack_service_questions as service_questions
import pytest
from salt.exceptions import CommandExecutionError

FOUR, MORE, SIX, OTHER = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"
ABOUT = {"protocols": {80: "http", 443: "https", 22: "ssh"}, "units": ["web.service"], "processes": []}
WEB = service_host.Daemon("web", None, ABOUT)  # type: ignore[arg-type]
PLACE = service_place.at([FOUR, SIX], ["www.example.org"])


def answer(status: int = 200, error: str = "", key: str = "K") -> dict[str, Any]:
    look = {"status": status, "certificate": {"key": key, "fits": True, "names": [], "expires": ""}}
    return {
        **{"answers": not error, "error": error, "banner": "" if error else f"HTTP/1.1 {status}", "seconds": 0.0},
        **{"look": {} if error else look, "reason": "refused" if error else ""},
    }


class Net:
    """What is answered, by address, port and name; everything else is refused."""

    def __init__(self) -> None:
        self.says: dict[tuple[str, int, str], dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.patience: float | None = 0.0

    def probe_all(self, targets: list[dict[str, Any]], timeout: float | None) -> list[dict[str, Any]]:
        self.asked += targets
        self.patience = timeout
        refused = answer(error="connection refused")
        return [{**each, **self.says.get((each["address"], each["port"], each["name"]), refused)} for each in targets]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    found = Net()
    monkeypatch.setattr(service_probe, "probe_all", found.probe_all)
    return found


def view(*ports: int, place: Any = PLACE, sites: Any = None, settings: Any = None, foreign: Any = None) -> Any:
    return service_questions.View(WEB, settings or {}, place, {}, {}, sites or {}, list(ports), [], foreign or {})


def test_the_same_in_both_families(net: Net) -> None:
    net.says = {(each, 80, "www.example.org"): answer() for each in (FOUR, SIX)}
    (found,) = service_judgement.of_service(view(80))
    assert (found.families, found.wrong, found.same) == (["ipv4", "ipv6"], [], True)
    assert service_judgement.faults([found]) == service_judgement.remarks([found]) == []
    assert service_judgement.heard([found]) == [
        f"tcp/80 (www.example.org) on {each}: HTTP/1.1 200" for each in (FOUR, SIX)
    ]
    assert [each["address"] for each in service_judgement.answered([found])] == [FOUR, SIX]


@pytest.mark.parametrize(
    ("four", "six", "said"),
    [
        (answer(), answer(403), "200"),
        (answer(), answer(502), "502"),
        (answer(), answer(error="connection refused"), "connection refused"),
        (answer(key="A"), answer(key="B"), "certificate"),
        (answer(error="connection refused"), answer(), "does not answer over IPv4"),
    ],
)
def test_not_the_same(four: Any, six: Any, said: str, net: Net) -> None:
    net.says = {(FOUR, 443, "www.example.org"): four, (SIX, 443, "www.example.org"): six}
    found = service_judgement.of_service(view(443))
    (fault,) = service_judgement.faults(found)
    assert fault.startswith("tcp/443 (www.example.org) ") and said in fault, fault


def test_what_is_wrong_in_both_is_told(net: Net) -> None:
    net.says = {(each, 80, "www.example.org"): answer(503) for each in (FOUR, SIX)}
    found = service_judgement.of_service(view(80))
    assert service_judgement.faults(found) == []
    assert "503" in " ".join(service_judgement.remarks(found))


def test_a_port_that_answers_in_neither_family_is_a_fault(net: Net) -> None:
    found = service_judgement.of_service(view(80))
    (fault,) = service_judgement.faults(found)
    assert fault.startswith(
        f"tcp/80 (www.example.org) does not answer: connection refused on {FOUR}; connection refused"
    )
    assert found[0].same is False


def test_a_name_that_a_port_does_not_know_is_told_if_it_knows_another(net: Net) -> None:
    place = service_place.at([FOUR, SIX], ["www.example.org", "mail.example.org"])
    net.says = {(each, 443, "www.example.org"): answer() for each in (FOUR, SIX)}
    found = service_judgement.of_service(view(443, place=place))
    assert service_judgement.faults(found) == []
    (told,) = service_judgement.remarks(found)
    assert told.startswith("tcp/443 (mail.example.org) answers in neither family: ")


def test_where_the_declared_names_are_unknown_the_configured_ones_are_asked(net: Net) -> None:
    net.says = {(FOUR, 443, "shop.example.org"): answer()}
    found = service_judgement.of_service(view(443, sites={443: ["shop.example.org"]}))
    assert [each["name"] for each in net.asked] == ["www.example.org"] * 2 + ["shop.example.org"] * 2
    (fault,) = service_judgement.faults(found)
    assert fault.startswith("tcp/443 (shop.example.org) ") and "connection refused" in fault


def test_without_declared_names_the_configured_ones_count(net: Net) -> None:
    place = service_place.at([FOUR, SIX])
    service_judgement.of_service(view(80, 22, place=place, sites={80: ["a.example.org", "b.example.org"]}))
    assert [(each["port"], each["name"]) for each in net.asked if each["address"] == FOUR] == [
        *((80, "a.example.org"), (80, "b.example.org"), (22, "")),
    ]


def test_the_settings_of_a_probe(net: Net) -> None:
    settings = {"probe": {"443": {"path": "/x", "proxy": "v2", "seconds": 9, "name": "own.example.org"}}}
    service_judgement.of_service(view(443, settings=settings))
    first = {"port": 443, "protocol": "https", "name": "own.example.org", "path": "/x", "proxy": "v2", "seconds": 9}
    assert net.asked[0] == {**first, "address": FOUR}


def test_of_several_addresses_one_of_ipv4_is_enough_and_each_of_ipv6_counts(net: Net) -> None:
    place = service_place.at([FOUR, MORE, SIX, OTHER], ["www.example.org"])
    net.says = {(each, 80, "www.example.org"): answer() for each in (MORE, SIX, OTHER)}
    (found,) = service_judgement.of_service(view(80, place=place))
    assert (found.families, found.wrong) == (["ipv4", "ipv6"], [])
    net.says[OTHER, 80, "www.example.org"] = answer(404)
    (found,) = service_judgement.of_service(view(80, place=place))
    (wrong,) = found.wrong
    assert wrong.endswith(f" ({OTHER})")
    del net.says[OTHER, 80, "www.example.org"]
    (found,) = service_judgement.of_service(view(80, place=place))
    assert found.families == ["ipv4"]


def test_who_else_answers_is_a_fault(net: Net) -> None:
    net.says = {(each, 80, "www.example.org"): answer() for each in (FOUR, SIX)}
    stranger = f"on {SIX} is python3 (process 7), not web"
    found = service_judgement.of_service(view(80, foreign={80: [stranger]}))
    assert service_judgement.faults(found) == [f"tcp/80 (www.example.org) {stranger}"]


def test_of_many_names_only_the_faulty_are_shown(net: Net) -> None:
    names = [f"w{number}.example.org" for number in range(40)]
    net.says = {(each, 80, name): answer() for each in (FOUR, SIX) for name in names}
    net.says[SIX, 80, "w7.example.org"] = answer(404)
    found = service_judgement.of_service(view(80, place=service_place.at([FOUR, SIX], names)))
    assert service_judgement.heard(found) == [
        f"tcp/80 (w7.example.org) on {FOUR}: HTTP/1.1 200",
        f"tcp/80 (w7.example.org) on {SIX}: HTTP/1.1 404",
        "39 of 40 names and ports are the same in both families",
    ]
    found = [each._replace(wrong=["is another"]) for each in found]
    assert len(service_judgement.faults(found)) == service_judgement.MANY + 1


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.pauses: list[float] = []
        monkeypatch.setattr(service_judgement, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)


def test_waiting_ends_with_the_answer(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    good = {(each, 80, "www.example.org"): answer() for each in (FOUR, SIX)}

    def seen() -> Any:
        net.says = good if clock.now > 103 else {}
        return view(80)

    service_judgement.wait(seen, 10)
    assert 103 < clock.now < 104 and 6 < (net.patience or 0) < 8
    assert clock.pauses == sorted(clock.pauses) and clock.pauses[0] < 0.2


def test_waiting_ends_with_the_time(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    targets = [{"address": SIX, "port": 81, "name": ""}]
    with pytest.raises(
        CommandExecutionError, match="^it did not answer as it should within 10 s: tcp/81 on 2001:db8::1"
    ):
        service_judgement.wait_for(targets, 10)
    assert 110 < clock.now < 112.5 and net.patience == 2 and max(clock.pauses) <= 2
    with pytest.raises(CommandExecutionError, match="^it did not answer as it should within 10 s: tcp/82"):
        service_judgement.wait(lambda: view(82), 10)


def test_what_stays_different_is_not_waited_for(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    net.says = {(FOUR, 80, "www.example.org"): answer(), (SIX, 80, "www.example.org"): answer(403)}
    with pytest.raises(CommandExecutionError, match="answers 200 over IPv4 and 403 over IPv6$"):
        service_judgement.wait(lambda: view(80), 120)
    assert 105 < clock.now < 110


@pytest.mark.parametrize(
    ("reasons", "elsewhere", "fault"),
    [
        (("alert", "alert"), False, False),
        (("closed", "closed"), True, False),
        (("closed", "closed"), False, True),
        (("alert", "refused"), True, True),
        (("timeout", "timeout"), True, True),
        (("refused", "refused"), True, True),
    ],
)
def test_a_port_that_refuses_everybody_alike(reasons: Any, elsewhere: bool, fault: bool, net: Net) -> None:
    for address, reason in zip((FOUR, SIX), reasons):
        net.says[address, 443, "www.example.org"] = {**answer(error="no"), "reason": reason}
        if elsewhere:
            net.says[address, 80, "www.example.org"] = answer()
    found = service_judgement.of_service(view(80, 443) if elsewhere else view(443))
    assert bool(service_judgement.faults(found)) is fault
    assert fault or "answers in neither family" in " ".join(service_judgement.remarks(found))


def test_ipv6_is_compared_with_the_best_of_ipv4(net: Net) -> None:
    place = service_place.at([FOUR, MORE, SIX], ["www.example.org"])
    net.says = {
        **{(FOUR, 80, "www.example.org"): answer(403), (MORE, 80, "www.example.org"): answer()},
        (SIX, 80, "www.example.org"): answer(403),
    }
    found = service_judgement.of_service(view(80, place=place))
    assert service_judgement.faults(found) == ["tcp/80 (www.example.org) answers 200 over IPv4 and 403 over IPv6"]
    assert f"is not the same on {MORE} and on {FOUR}, over IPv4" in service_judgement.remarks(found)[0]


def test_a_bare_connection_is_told(net: Net) -> None:
    net.says = {(each, 9000, ""): answer() for each in (FOUR, SIX)}
    found = service_judgement.of_service(view(9000))
    assert service_judgement.faults(found) == []
    assert service_judgement.remarks(found) == [
        "tcp/9000: only a connection was tried, since what is spoken there is not known"
    ]


def test_what_is_spoken_on_a_port(net: Net) -> None:
    def spoken(settings: Any, *told: str | None) -> str:
        written = {80: [{"protocol": each} for each in told]}
        return service_questions.protocol(view(80, settings=settings)._replace(written=written), 80)

    assert spoken({}) == spoken({}, None) == "http"
    assert spoken({}, None, "https") == "https"
    assert spoken({"protocols": {"80": "smtp"}}, "https") == "smtp"
    assert service_questions.protocol(view(9000), 9000) == "tcp"
