"""What the report makes of the rungs, of other tunnels, and of threads, on a host that is made up."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import _dualstack_converge as converge
import _dualstack_host_ip as host_ip
import _dualstack_host_time as host_time
import _dualstack_pillar as pillar
import _dualstack_proof_ladder as proof_ladder
import _dualstack_report as report
import _dualstack_report_mail as report_mail
import _dualstack_report_proof as report_proof
import _dualstack_report_threads as report_threads
import _dualstack_report_tunnels as report_tunnels
import _dualstack_report_whole as report_whole
import _dualstack_tunnel_echo as tunnel_echo
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

KNOWN = pillar.Known({}, {}, {})
PUBLISHED = "2001:470:1f13:f87::77"
TUNNEL = {"endpoint": "216.66.84.42", "address": f"{PUBLISHED}/64", "gateway": "2001:470:1f13:f87::1"}
PILLAR: dict[str, Any] = {"tunnel": TUNNEL, "dns": {"names": ["www.example.org"]}}
LOOKS = ("assigned", "leaving", "reaching", "leading", "next_boot")

Ladder = Callable[..., None]


@pytest.fixture
def ladder(monkeypatch: pytest.MonkeyPatch) -> Ladder:
    """The rungs find this, by the names of their functions, and else that all is well."""

    def build(**given: Any) -> None:
        def finder(name: str) -> Callable[..., converge.Finding]:
            def find(*_: Any) -> converge.Finding:
                found = given.get(name, (True, f"{name} holds"))
                if isinstance(found, Exception):
                    raise found
                return converge.Finding(*found)

            return find

        for name in LOOKS:
            monkeypatch.setattr(proof_ladder, name, finder(name))
        monkeypatch.setattr(report_proof, "_tunnel", finder("tunnel"))
        monkeypatch.setattr(tunnel_echo, "ask", lambda *_, **__: {"sent": 1, "reason": ""})

    build()
    return build


def climbed(ipv6: Any, usual: str | None = None) -> dict[str, Any]:
    return {each["rung"]: each for each in report_proof.climb(report_proof.about(ipv6, usual), KNOWN)}


@pytest.mark.usefixtures("ladder")
def test_the_rungs_of_a_pillar() -> None:
    way = ["published address", "route", "beyond"]
    assert list(climbed(PILLAR)) == ["tunnel", *way, "next boot", "A record"]
    assert list(climbed({"tunnel": TUNNEL})) == ["tunnel", *way, "next boot"]
    assert list(climbed({"dns": {"address": PUBLISHED}})) == [*way, "next boot"]
    assert list(climbed({"services": {}})) == ["next boot"]
    assert climbed({}) == {}


@pytest.mark.usefixtures("ladder")
def test_the_address_of_a_host_that_publishes_none() -> None:
    """The way of the one that others use is looked at; but not instead of one that the pillar should have."""
    assert list(climbed({}, PUBLISHED)) == ["route", "beyond"]
    assert report_proof.about({}, PUBLISHED).addresses == [PUBLISHED]
    for private in ("fd00::1", "fe80::1", "not an address"):
        assert climbed({}, private) == {}
    assert report_proof.about({"dns": {"names": ["www.example.org"]}}, PUBLISHED).addresses == []
    assert report_proof.about({"dns": {"address": "2001:470::1"}}, PUBLISHED).addresses == ["2001:470::1"]
    with pytest.raises(SaltInvocationError, match="^ipv6:dns:address: "):
        report_proof.about({"dns": {"address": "x"}}, PUBLISHED)


def test_the_outcomes(ladder: Ladder) -> None:
    ladder(reaching=(None, "nobody"), next_boot=CommandExecutionError("no loader"), leading=KeyError("a secret"))
    found = climbed(PILLAR)
    assert {rung: each["outcome"] for rung, each in found.items()} == {
        **{"tunnel": "held", "published address": "held", "route": "held", "beyond": "not tried"},
        **{"next boot": "not tried", "A record": "not tried"},
    }
    assert (found["route"]["text"], found["next boot"]["text"]) == ("leaving holds", "no loader")
    assert "KeyError" in found["A record"]["text"] and "a secret" not in found["A record"]["text"]
    assert all(each["needed"] for each in found.values())
    forgiven = {**PILLAR, "dns": {**PILLAR["dns"], "without": ["beyond", "A record"]}}
    needed = {rung: each["needed"] for rung, each in climbed(forgiven).items()}
    assert [rung for rung in needed if not needed[rung]] == ["beyond", "A record"]


def test_what_says_nothing_where_another_rung_has_failed(ladder: Ladder) -> None:
    ladder(assigned=(False, "not here"), leaving=(False, "no route"), reaching=(True, "odd"))
    found = climbed(PILLAR)
    for rung in ("route", "beyond"):
        said = (found[rung]["outcome"], found[rung]["text"])
        assert said == ("not tried", "not tried, since this failed: published address")
    ladder(leaving=(False, "no route"))
    assert climbed(PILLAR)["beyond"]["text"] == "not tried, since this failed: route"
    ladder(tunnel=(False, "it is not as configured"))
    assert climbed(PILLAR)["beyond"]["outcome"] == "held", "what was tried is told"


def test_a_warning_is_told_once(ladder: Ladder) -> None:
    lost = "warning: large packets are lost"
    ladder(tunnel=(True, f"fine\n{lost}"), reaching=(False, f"nobody\nanswers\n{lost}\nwarning: and more"))
    found = climbed(PILLAR)
    assert (found["tunnel"]["text"], found["tunnel"]["warnings"]) == ("fine", ["large packets are lost"])
    assert (found["beyond"]["text"], found["beyond"]["warnings"]) == ("nobody\nanswers", ["and more"])


def test_silence_where_no_ping_can_be_sent(ladder: Ladder, monkeypatch: pytest.MonkeyPatch) -> None:
    ladder(reaching=(False, "nobody answers"))
    assert climbed(PILLAR)["beyond"]["outcome"] == "failed"
    monkeypatch.setattr(tunnel_echo, "ask", lambda *_, **__: {"sent": 0, "reason": "ping: socket: no"})
    found = climbed(PILLAR)["beyond"]
    assert (found["outcome"], found["text"]) == ("not tried", "no ping can be sent here (ping: socket: no)")

    def ask(*_: Any, **__: Any) -> Any:
        raise CommandExecutionError("ping is not installed")

    monkeypatch.setattr(tunnel_echo, "ask", ask)
    found = climbed(PILLAR)["beyond"]
    assert (found["outcome"], found["text"]) == ("not tried", "ping is not installed")
    ladder()
    assert climbed(PILLAR)["beyond"]["outcome"] == "held"


def test_a_tunnel_without_a_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its prefix is routed, only somebody beyond can say."""
    tunnel = {**{key: TUNNEL[key] for key in ("endpoint", "address")}, "local": "46.105.5.1", "routing": "none"}
    live = tunnel_interface.wanted(tunnel_sit.canonical(tunnel))
    configuration = tunnel_stack.Configuration("toy", cast(Any, None), {}, tunnel, [])
    monkeypatch.setattr(tunnel_host, "look", lambda *_: tunnel_host.Sight("he-ipv6", configuration, [], [], live))
    answering: set[str] = set()

    def ask(target: str, *_: Any, **__: Any) -> dict[str, Any]:
        found = target in answering
        return {
            **{"target": target, "answering": found, "sent": 3, "received": 3 * found, "loss": 0 if found else 100},
            **{"rtt": None, "reason": ""},
        }

    monkeypatch.setattr(tunnel_echo, "ask", ask)

    def look(*beyond: str) -> tuple[bool | None, list[str]]:
        found = report_proof._tunnels(report_proof.about({"tunnel": tunnel, "verify": {"beyond": [*beyond]}}, None), {})
        return found.holds, found.comment.splitlines()

    holds, lines = look("2001:db8::1")
    assert (holds, lines[0].partition(" (")[0]) == (None, "216.66.84.42 does not answer over IPv4")
    answering.add("216.66.84.42")
    holds, lines = look()
    assert (holds, lines[0]) == (None, "he-ipv6 to 216.66.84.42: the endpoint answers, MTU 1480")
    assert lines[1].startswith("nobody is named who could answer")
    assert look("2001:db8::1")[0] is False
    answering.add("2001:db8::1")
    said = f"he-ipv6 to 216.66.84.42: the endpoint answers, {PUBLISHED} is routed, MTU 1480"
    assert look("2001:db8::1") == (True, [said])


# --------------------------------------------------------------------------------------------------------------
# Other tunnels


def link(name: str, kind: str | None, up: bool = True, addresses: Any = (), **data: Any) -> dict[str, Any]:
    held = [{"family": "inet6", "scope": scope, "local": own, "prefixlen": 64} for scope, own in addresses]
    found = {"ifname": name, "mtu": 1480, "flags": ["UP"] * up, "addr_info": held}
    return {**found, "linkinfo": {"info_kind": kind, "info_data": data}} if kind else found


@pytest.fixture
def tunnels(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """The other tunnels of a host that has these interfaces and default routes."""

    def look(links: list[Any], routes: Any = (), name: str | None = "he-ipv6") -> list[dict[str, Any]]:
        monkeypatch.setattr(host_ip, "look", lambda words: links if "addr" in words else list(routes))
        return report_tunnels.others([{**TUNNEL, "name": name}] if name else [])

    return look


def test_other_tunnels(tunnels: Any) -> None:
    links = [
        link("lo", None),
        link("eth0", None, addresses=[("global", "2001:db8::1")]),
        link("he-ipv6", "sit", remote="216.66.84.42", local="any"),
        link(
            "sit1", "sit", addresses=[("link", "fe80::1"), ("global", "2001:db8:1::1")], remote="192.0.2.1", local="any"
        ),
        link("sit0", "sit", up=False, remote="any", local="any"),
        link("wg0", "wireguard"),
        link("vnet0", "tun", type="tap"),
        link("vpn", "tun", type="tun"),
        link("br0", "bridge"),
        link("veth0", "veth"),
    ]
    assert [each["interface"] for each in tunnels(links)] == ["sit1", "wg0", "vpn"]
    assert [each["interface"] for each in tunnels(links, name=None)] == ["he-ipv6", "sit1", "wg0", "vpn"]
    six, wireguard, _ = map(report_tunnels.sentence, tunnels(links))
    assert six == "another tunnel is up: sit1, sit to 192.0.2.1, with 2001:db8:1::1/64"
    assert wireguard == "another tunnel is up: wg0, wireguard"


@pytest.mark.parametrize(
    ("routes", "metrics", "rival"),
    [
        ([], [], False),
        ([{"dev": "sit1", "metric": 1025}], [1025], False),
        ([{"dev": "sit1", "metric": 1024}], [1024], True),
        ([{"dev": "sit1", "metric": 2048}, {"dev": "sit1", "metric": 1}], [2048, 1], True),
        ([{"dev": "sit1", "metric": 1, "from": "2001:db8::/48"}], [], False),
        ([{"dev": "eth0", "metric": 1}, {"type": "unreachable", "metric": 1}], [], False),
    ],
)
def test_a_tunnel_that_may_take_the_packets_of_the_declared_one(
    tunnels: Any, routes: Any, metrics: list[int], rival: bool
) -> None:
    links = [link("he-ipv6", "sit"), link("sit1", "sit", remote="192.0.2.1", local="192.0.2.2")]
    (found,) = tunnels(links, [{"dev": "he-ipv6", "metric": 1024}, *routes])
    assert (found["metrics"], found["rival"]) == (metrics, rival)
    ending = f", and an IPv6 default route of metric {min(metrics)}" if metrics else ""
    assert report_tunnels.sentence(found) == (f"another tunnel is up: sit1, sit from 192.0.2.2 to 192.0.2.1{ending}")
    (found,) = tunnels(links, routes)
    assert not found["rival"], "the declared one takes none"


# --------------------------------------------------------------------------------------------------------------
# The whole


def test_a_part_that_cannot_be_found_out_is_no_end_of_the_report(
    ladder: Ladder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise CommandExecutionError("ip is not installed")

    def broken(*_: Any) -> Any:
        raise KeyError("a secret")

    six = {"addresses": [PUBLISHED], "address": PUBLISHED, "interface": "eth0"}
    odd = {"service": "x\udc80", "transport": "tcp", "port": 1, "protocol": "tcp", "declared": False}
    services = [{**odd, "ipv4": {"listening": True}, "ipv6": {"listening": True}}]
    found = {"host": "x", "ipv4": six, "ipv6": six, "services": services, "published": [], "notes": []}
    monkeypatch.setattr(report, "of_pillar", lambda *_: found)
    monkeypatch.setattr(host_ip, "look", fail)
    monkeypatch.setattr(report_mail, "pointers", broken)
    whole = report_whole.of_pillar({}, KNOWN)
    assert (whole["version"], whole["tunnels"], whole["ptr"], whole["mail"]) == (1, [], [], [])
    notes = [each["text"] for each in whole["notes"] if each["mark"] == "?"]
    assert notes[0].startswith("PTR records, and whether others take mail over IPv6, are not known: this is a bug")
    assert notes[1:] == ["whether there are other tunnels is not known: ip is not installed"]
    assert whole["summary"] == "nothing wrong was found; not known: what the lines with ? say"
    assert whole["services"][0]["service"] == "x\ufffd", "Salt could not send it"


def test_looks_are_taken_at_once_and_each_as_if_it_were_here() -> None:
    """With the context that Salt's plug-ins need, and a time of its own."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody's")
    variable.set("mine")
    together = threading.Barrier(3, timeout=10)

    def look() -> tuple[str, float]:
        together.wait()
        return variable.get(), host_time.left(1000)

    with host_time.within(5):
        assert report_threads.all_of([look] * 3) == [("mine", 1000)] * 3
    together.reset()
    pair = threading.Barrier(2, timeout=10)

    def one() -> str:
        pair.wait()
        return variable.get()

    assert report_threads.both(one, lambda: (one(), 5)) == ("mine", ("mine", 5))
    assert report_threads.all_of([]) == []


def test_a_rung_that_takes_too_long_was_not_tried(ladder: Ladder, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: Any) -> converge.Finding:
        time.sleep(0.05)
        host_time.left(1)
        return converge.Finding(True, "too late")

    monkeypatch.setattr(report_proof, "BOUND", 0.01)
    monkeypatch.setattr(proof_ladder, "leading", slow)
    assert climbed(PILLAR)["A record"]["outcome"] == "not tried"
