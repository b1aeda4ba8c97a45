"""Whether a service answers: on which ports and addresses it is asked, and what is said of the answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import _dualstack_service_answers as service_answers
import _dualstack_service_audit as service_audit
import _dualstack_service_host as service_host
import _dualstack_service_probe as service_probe
import pytest
import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltInvocationError

FOUR, SIX, TUNNEL = "192.0.2.1", "2001:db8::1", "2001:db8::2"
KNOWN: Any = {"web": SimpleNamespace(about=lambda: {"protocols": {80: "http", 443: "https"}, "options": {}})}


def socket(port: int, address: str = "::", transport: str = "tcp", service: str = "web") -> dict[str, Any]:
    return {"transport": transport, "port": port, "address": address, "service": service}


def test_the_usual_ports_are_those_that_are_configured_and_if_it_runs_open_to_all() -> None:
    configured = {f"tcp/{port}": [socket(port)] for port in (80, 443, 8080)} | {"udp/443": [socket(443)]}
    live = [socket(443), socket(80, "127.0.0.1"), socket(9999), socket(443, transport="udp")]
    assert service_answers.usual_ports(configured, []) == [80, 443, 8080]
    assert service_answers.usual_ports(configured, live) == [443]
    assert service_answers.usual_ports({}, live) == []


def test_the_open_ports_are_the_services_own(monkeypatch: pytest.MonkeyPatch) -> None:
    live = [socket(80), socket(443, service="other")]
    monkeypatch.setattr(service_host, "configuration", lambda service: {})
    monkeypatch.setattr(service_audit, "configured", lambda service, files: {"tcp/80": [], "tcp/443": []})
    monkeypatch.setattr(service_audit, "sockets", lambda known: {"sockets": live})
    assert service_answers.open_ports(KNOWN, "web") == [80]
    monkeypatch.setattr(service_audit, "configured", lambda service, files: {})
    with pytest.raises(CommandExecutionError, match="^web listens on no TCP port that is open to all$"):
        service_answers.open_ports(KNOWN, "web")
    with pytest.raises(SaltInvocationError, match="^mail: not a service that is known; expected one of web$"):
        service_answers.open_ports(KNOWN, "mail")


def test_whom_to_ask_and_in_which_protocol() -> None:
    service = service_host.daemon(KNOWN, "web")
    found: Any = service_answers.targets(service, [443, 8443, 25], {8443: "https", 443: "tls"})
    assert [(each["address"], each["port"], each["protocol"]) for each in found] == [
        *(("127.0.0.1", 443, "tls"), ("::1", 443, "tls")),
        *(("127.0.0.1", 8443, "https"), ("::1", 8443, "https")),
        *(("127.0.0.1", 25, "tcp"), ("::1", 25, "tcp")),
    ]
    (found,) = service_answers.targets(service, [80], {}, [SIX])
    assert found == {"address": SIX, "port": 80, "protocol": "http"}


def test_all_are_asked_within_the_time_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_probe, "probe_all", lambda whom, timeout: (whom, timeout))
    asked: Any = service_answers.ask(KNOWN, "web", {"ports": [443], "protocols": {"443": "tls"}}, [FOUR])
    assert asked == ([{"address": FOUR, "port": 443, "protocol": "tls"}], 5.0)
    monkeypatch.setattr(service_answers, "open_ports", lambda known, name: [80])
    asked = service_answers.ask(KNOWN, "web", {})
    assert [each["port"] for each in asked[0]] == [80, 80]
    with pytest.raises(SaltInvocationError, match="^web:ports: "):
        service_answers.ask(KNOWN, "web", {"ports": [0]})


def test_silence_in_words() -> None:
    def answer(port: int, error: str) -> dict[str, Any]:
        return {"address": SIX, "port": port, "error": error, "answers": not error}

    said = service_answers.silence([answer(80, "refused"), answer(81, ""), answer(82, "no banner")])
    assert said == f"tcp/80 on {SIX}: refused; tcp/82 on {SIX}: no banner"
    assert service_answers.silence([answer(80, "")]) == service_answers.silence([]) == ""


def test_waiting_ends_with_the_answer_or_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = ["refused", "refused", ""]

    def probe_all(whom: Any, timeout: float) -> list[dict[str, Any]]:
        error = errors.pop(0) if errors else "refused"
        return [{**each, "answers": not error, "error": error} for each in whom]

    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(service_probe, "probe_all", probe_all)
    monkeypatch.setattr(service_answers, "time", clock)
    whom = [{"address": SIX, "port": 80, "protocol": "http"}]
    service_answers.wait(whom, 10)
    assert (errors, now[0] < 101) == ([], True)
    with pytest.raises(CommandExecutionError, match=f"^it did not answer within 10 s: tcp/80 on {SIX}: refused$"):
        service_answers.wait(whom, 10)
    assert 110 <= now[0] < 112


def test_the_addresses_by_which_others_reach_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(four: list[str], six: list[str]) -> list[str]:
        monkeypatch.setattr(salt.utils.network, "ip_addrs", lambda: four)
        monkeypatch.setattr(salt.utils.network, "ip_addrs6", lambda: six)
        return service_answers.public_addresses()

    assert addresses([FOUR], ["fe80::1", SIX, "FE80::2", TUNNEL]) == [FOUR, SIX, TUNNEL]
    for four, six, family in (([], [SIX], "IPv4"), ([FOUR], ["fe80::1"], "IPv6"), ([FOUR], [], "IPv6")):
        said = f"^this host has no {family} address but those of loopback and link$"
        with pytest.raises(CommandExecutionError, match=said):
            addresses(four, six)
