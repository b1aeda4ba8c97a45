"""What each rung is asked, by the pillar or by its arguments; the rooms that look are exchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _dualstack_converge as converge
import _dualstack_host_ip as host_ip
import _dualstack_host_routes as host_routes
import _dualstack_proof_address as proof_address
import _dualstack_proof_beyond as proof_beyond
import _dualstack_proof_ladder as proof_ladder
import _dualstack_proof_names as proof_names
import pytest
from salt.exceptions import SaltInvocationError

NATIVE, OWN, LINK = "2001:db8:1::8", "2001:470:1f13:f87::77", "2001:470:1f12:f87::2"
TUNNEL = {"endpoint": "216.66.84.42", "address": f"{LINK}/64", "addresses": [f"{OWN}/64"], "gateway": "2001:db8::1"}


def of(ipv6: dict[str, Any], **given: Any) -> proof_ladder.Asked:
    return proof_ladder.asked({"ipv6": ipv6}, "ipv6", given)


def test_every_published_address_is_meant() -> None:
    assert of({}).addresses == []
    assert of({"tunnel": TUNNEL}).addresses == [OWN]
    assert of({"dns": {"address": "2001:DB8:1:0::8"}}).addresses == [NATIVE]
    assert of({"tunnel": TUNNEL, "dns": {"address": LINK}}).addresses == [LINK]
    both = [{"address": NATIVE}, {"names": []}, {"address": NATIVE}]
    assert of({"tunnel": TUNNEL, "dns": both}).addresses == [NATIVE, OWN]
    assert of({"tunnel": TUNNEL}, address=NATIVE).addresses == [NATIVE]
    assert proof_ladder.asked({}, None, {"address": NATIVE, "beyond": [LINK]})[1:3] == ([NATIVE], [LINK])
    assert of({"verify": {"beyond": [LINK]}}).beyond == [LINK]
    for dns in ({"address": 5}, {"address": "192.0.2.1"}):
        with pytest.raises(SaltInvocationError, match="^ipv6:dns:address: expected an IPv6 address"):
            of({"dns": dns})
    with pytest.raises(SaltInvocationError, match="^address: expected an IPv6 address"):
        of({}, address="x")
    with pytest.raises(SaltInvocationError, match="^beyond: expected a list"):
        of({}, beyond="2001:db8::1")


def test_without_an_address_nothing_was_tried() -> None:
    for rung in (proof_ladder.assigned, proof_ladder.leaving):
        assert rung(of({})).holds is None
    assert proof_ladder.reaching(of({}), {}).holds is None
    assert proof_ladder.leading(of({})).holds is None


@pytest.mark.parametrize(("holds", "all_hold"), [((True, True), True), ((True, None), None), ((None, False), False)])
def test_all_addresses_have_to_hold(holds: tuple[Any, Any], all_hold: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dict(zip((NATIVE, OWN), holds))
    monkeypatch.setattr(proof_address, "assigned", lambda address, _: converge.Finding(found[address], address))
    done = proof_ladder.assigned(of({"tunnel": TUNNEL, "dns": [{"address": NATIVE}, {}]}))
    assert (done.holds, sorted(done.comment.splitlines())) == (all_hold, sorted([NATIVE, OWN]))


# --------------------------------------------------------------------------------------------------------------
# The address


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def build(*flags: dict[str, Any]) -> None:
        def look(words: list[str]) -> Any:
            assert words == ["addr", "show"]
            usual = {"family": "inet6", "local": NATIVE, "scope": "global"}
            return [
                {"ifname": f"eth{n}", "flags": each.pop("link", ["UP"]), "addr_info": [{**usual, **each}]}
                for n, each in enumerate(map(dict, flags))
            ]

        monkeypatch.setattr(host_ip, "look", look)
        monkeypatch.setattr(proof_address, "DETECTION", 0.0)

    return build


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([{}], ""),
        ([], "is not an address of this host"),
        ([{"local": "2001:db8:1::9"}], "is not an address of this host"),
        ([{"family": "inet"}], "is not an address of this host"),
        ([{"tentative": True}], "is tentative: whether another host has it is not known yet"),
        ([{"tentative": True, "dadfailed": True}], "is a duplicate: another host has it"),
        ([{"dadfailed": True}, {}], "is a duplicate: another host has it"),
        ([{"deprecated": True}], "is deprecated: it is about to go away"),
        ([{"deprecated": True}, {}], ""),
        ([{"temporary": True}], "is a temporary address, which changes"),
        ([{"scope": "host"}], "has the scope host"),
        ([{"link": ["BROADCAST"]}], "is on eth0, which is down"),
    ],
)
def test_an_address_that_others_can_use(flags: list[Any], said: str, addresses: Any) -> None:
    addresses(*flags)
    done = proof_address.assigned(NATIVE)
    assert (done.holds, said in done.comment) == (not said, True), done.comment


def test_a_tunnels_own_addresses_may_be_deprecated(addresses: Any) -> None:
    addresses({"deprecated": True})
    assert proof_address.assigned(NATIVE, [NATIVE]).holds is True
    addresses({"deprecated": True, "dadfailed": True})
    assert proof_address.assigned(NATIVE, [NATIVE]).holds is False


# --------------------------------------------------------------------------------------------------------------
# The way out


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ({"dev": "eth0", "gateway": "fe80::1"}, ""),
        ({"dev": "lo", "type": "local"}, "do not leave this host"),
        ({"dev": "lo"}, "do not leave this host"),
        ({"dev": "eth0", "flags": ["linkdown"]}, "leave by an interface that has no link"),
        (host_ip.Nothing("ip", 2, "unreachable"), "have no route"),
    ],
)
def test_packets_leave_this_host(route: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(words: list[str]) -> Any:
        assert words == ["-6", "route", "get", "2001:db8:c::2", "from", NATIVE]
        if isinstance(route, Exception):
            raise route
        return route

    monkeypatch.setattr(host_ip, "route", look)
    monkeypatch.setattr(host_routes, "to", lambda host: host_routes.Route("lo", None, host == NATIVE))
    done = proof_address.leaving(NATIVE, [NATIVE, "2001:db8:c::2"])
    assert (done.holds, said in done.comment) == (not said, True), done.comment


def test_what_comes_from_the_tunnels_address_leaves_by_the_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_ip, "route", lambda words: {"dev": "eth0", "gateway": "fe80::1"})
    done = proof_ladder.leaving(of({"tunnel": TUNNEL}))
    assert (done.holds, "do not leave by he-ipv6, but by another route" in done.comment) == (False, True)
    for ipv6 in ({"tunnel": {**TUNNEL, "routing": "none"}}, {"tunnel": TUNNEL, "dns": {"address": NATIVE}}):
        assert proof_ladder.leaving(of(ipv6)).holds is True


# --------------------------------------------------------------------------------------------------------------
# Beyond


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What the broker, those beyond and the name servers find; returns who was asked."""

    def build(tunnelled: Any = None, pinged: Any = None, asked: Any = None) -> list[str]:
        calls: list[str] = []

        def record(name: str, holds: Any) -> Callable[..., converge.Finding]:
            def look(*_: Any) -> converge.Finding:
                calls.append(name)
                return converge.Finding(holds, name)

            return look

        monkeypatch.setattr(proof_ladder, "_through_tunnel", record("broker", tunnelled))
        monkeypatch.setattr(proof_beyond, "pinged", record("beyond", pinged))
        monkeypatch.setattr(proof_beyond, "asked", record("servers", asked))
        return calls

    return build


NAMES = {"names": ["www.example.org"], "address": NATIVE}
BEYOND = {"verify": {"beyond": ["2001:db8:c::2"]}}


@pytest.mark.parametrize(
    ("ipv6", "found", "holds", "calls"),
    [
        ({"dns": NAMES, **BEYOND}, {"pinged": True}, True, ["beyond"]),
        ({"dns": NAMES, **BEYOND}, {"pinged": False, "asked": True}, False, ["beyond"]),
        ({"dns": NAMES}, {"asked": True}, True, ["servers"]),
        ({"dns": NAMES}, {"asked": None}, None, ["servers"]),
        ({"dns": NAMES}, {"asked": False}, False, ["servers"]),
        ({"dns": {"address": NATIVE}}, {}, None, []),
        ({"tunnel": TUNNEL}, {"tunnelled": True}, True, ["broker"]),
        ({"tunnel": TUNNEL}, {"tunnelled": None}, None, ["broker"]),
        ({"tunnel": TUNNEL, "dns": {"names": NAMES["names"]}}, {"tunnelled": True}, True, ["broker", "servers"]),
        (
            {"tunnel": TUNNEL, "dns": {"names": NAMES["names"]}},
            {"tunnelled": True, "asked": False},
            None,
            ["broker", "servers"],
        ),
        ({"tunnel": TUNNEL, "dns": {"names": NAMES["names"]}}, {"tunnelled": False, "asked": True}, False, ["broker"]),
        ({"tunnel": TUNNEL, "dns": {"names": NAMES["names"]}}, {"asked": True}, True, ["broker", "servers"]),
        ({"tunnel": TUNNEL, "dns": {"names": NAMES["names"]}, **BEYOND}, {"tunnelled": True}, True, ["broker"]),
        ({"tunnel": TUNNEL, "dns": NAMES, **BEYOND}, {"pinged": True}, True, ["beyond"]),
    ],
)
def test_who_is_asked(ipv6: Any, found: Any, holds: Any, calls: list[str], world: Any) -> None:
    asked = world(**found)
    assert proof_ladder.reaching(of(ipv6), {}).holds is holds
    assert asked == calls


# --------------------------------------------------------------------------------------------------------------
# IPv4


def test_names_that_may_lead_elsewhere_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def lead(names: list[str], servers: list[str], public: Any, own: list[str], *_: Any) -> converge.Finding:
        asked.append((names, servers, public))
        return converge.Finding(False, "elsewhere")

    monkeypatch.setattr(proof_names, "lead", lead)
    one = {"names": ["www.example.org"], "servers": ["192.0.2.53"], "address": NATIVE}
    other = {"names": ["mail.example.com"], "other_ipv4": True}
    assert proof_ladder.leading(of({"dns": other})).holds is True
    assert asked == []
    assert proof_ladder.leading(of({"dns": [one, other], "verify": {"public_ipv4": "203.0.113.5"}})).holds is False
    assert asked == [(["www.example.org"], ["192.0.2.53"], "203.0.113.5")]


def test_of_several_tunnels_the_first_ones_source_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    second = {"address": "2001:db8:66::2/64", "addresses": ["2001:db8:6666::77/64"], "routing": "source"}
    both = {"tunnels": {"he-ipv6": TUNNEL, "second": second}}
    assert of(both).addresses == [OWN]
    assert of({**both, "dns": {"address": "2001:db8:6666::77"}}).addresses == ["2001:db8:6666::77"]
    ways: list[Any] = []

    def leaving(*given: Any) -> converge.Finding:
        ways.append(given[2])
        return converge.Finding(True, "")

    monkeypatch.setattr(proof_address, "leaving", leaving)
    for address in (OWN, "2001:db8:6666::77", NATIVE):
        proof_ladder.leaving(of(both, address=address))
    assert ways == ["he-ipv6", "second", None]
