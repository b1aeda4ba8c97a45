"""The ladder: each rung holds if all is well, and otherwise reports the fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ..lab.network import CLIENT6, NAME, OWN_FILE, PUBLISHED, TUNNEL, hear, on, run, world
from .test_formula import EXAMPLE, apply

OURS, GATEWAY, ENDPOINT = "2001:470:1f12:f87::2", TUNNEL["gateway"], TUNNEL["endpoint"]
NOBODY = "2001:db8:dead::1"  # the broker has no route to it


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Do something at the broker, and undo it when the test is over."""

    def do(words: str, undo: str) -> None:
        request.addfinalizer(lambda: on("broker", *undo.split()))
        on("broker", *words.split())

    return do


def drop(what: str) -> tuple[str, str]:
    """Packets that the broker shall not take."""
    return f"iptables-legacy -A INPUT {what} -j DROP", "iptables-legacy -F INPUT"


RUNGS = {
    "live": ({}, f"{NAME} is up as configured: from 46.105.5.1 to {ENDPOINT}, TTL 255, MTU 1480, with "),
    "routed": ({"beyond": [CLIENT6]}, f"packets to {CLIENT6} leave by {NAME} and come from {PUBLISHED}"),
    "underlaid": ({}, f"{ENDPOINT} answers over IPv4: 3 of 3, 0% loss"),
    "answering": ({}, f"{GATEWAY} answers through {NAME}: 3 of 3, 0% loss"),
    "reaching": ({"beyond": [CLIENT6]}, f"{CLIENT6} answers to {PUBLISHED}: 3 of 3, 0% loss"),
}


def test_each_rung_holds_and_changes_nothing(states: Any, tunnel: None) -> None:
    before = world()
    for rung, (given, said) in RUNGS.items():
        climb = getattr(states.he_tunnel, rung)
        asked = climb(NAME, **given, test=True)
        assert (asked.result, asked.changes) == (None, {})
        assert asked.comment == f"{NAME} was not asked: test=True sends no packets"
        done = climb(NAME, **given)
        assert (done.result, done.changes) == (True, {}), done.comment
        assert done.comment.startswith(said)
        assert "warning" not in done.comment
        refused = climb(NAME, retries=3)
        assert (refused.result, refused.comment) == (False, "unknown argument: retries")
    assert world() == before


def test_without_a_tunnel_each_rung_says_so(states: Any) -> None:
    assert states.he_tunnel.live(NAME).comment == f"{NAME} is not configured on this host"
    for rung in ("routed", "underlaid", "answering", "reaching"):
        done = getattr(states.he_tunnel, rung)(NAME)
        assert done.result is False
        assert f"{NAME} is not configured" in done.comment or f"{NAME} does not exist" in done.comment


# --------------------------------------------------------------------------------------------------------------
# The device, and the route


def test_a_device_that_is_another(states: Any, tunnel: None) -> None:
    for happens, said in (
        (f"ip link set {NAME} mtu 1400", f"{NAME} is not what its configuration says: mtu is 1400, expected 1480"),
        (f"ip -6 addr del {PUBLISHED}/64 dev {NAME}", f"; {PUBLISHED}/64 is absent, expected preferred"),
        (f"sed -i 's/endpoint .*/endpoint x/' {OWN_FILE}", "says: endpoint: 'x' is not an IPv4 address"),
        (f"ip link del {NAME}", f"{NAME} does not exist on this host"),
        (f"rm {OWN_FILE}", f"{NAME} is not configured on this host"),
    ):
        run("sh", "-ec", happens)
        done = states.he_tunnel.live(NAME)
        assert done.result is False
        assert said in done.comment


def test_an_address_that_another_host_has_too(states: Any, tunnel: None) -> None:
    """A tunnel detects no duplicates, but an interface that took its name may."""
    run("ip", "link", "del", NAME)
    run("ip", "link", "add", NAME, "type", "veth", "peer", "name", "twin", "netns", "client6")
    on("client6", "ip", "link", "set", "twin", "up")
    on("client6", "ip", "addr", "add", "2001:db8:77::77/64", "dev", "twin", "nodad")
    run("ip", "link", "set", NAME, "up")
    run("ip", "addr", "add", "2001:db8:77::77/64", "dev", NAME)
    assert "2001:db8:77::77 is tentative, and cannot be used" in states.he_tunnel.live(NAME).comment
    deadline = time.monotonic() + 10
    while run("ip", "-6", "addr", "show", "dev", NAME, "dadfailed") == "":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "2001:db8:77::77 is dadfailed, and cannot be used" in states.he_tunnel.live(NAME).comment


def test_a_route_or_a_source_that_is_another(states: Any, tunnel: None) -> None:
    prefix = "2001:470:1f13:f87:"
    for happens, said in (
        (
            f"ip -6 addr add {prefix}:76/64 dev {NAME} nodad",
            f"leave by {NAME}, but come from {prefix}:76 instead of {PUBLISHED}: ",
        ),
        (
            f"ip -6 addr change {prefix}:76/64 dev {NAME} preferred_lft 0; "
            f"ip -6 addr add {prefix}:75/64 dev {NAME} nodad; "
            f"ip -6 addr change {PUBLISHED}/64 dev {NAME} preferred_lft 0",
            f"leave by {NAME}, but come from {prefix}:75 instead of {PUBLISHED}: ",
        ),
        (
            "ip -6 route add default dev eth0 metric 1",
            f"do not leave by {NAME}, but by another route that comes first: dev eth0 metric 1",
        ),
        (
            f"ip -6 route del default dev eth0; ip -6 route del default dev {NAME}",
            f"this host has no route to {CLIENT6}: ",
        ),
    ):
        run("sh", "-ec", happens)
        done = states.he_tunnel.routed(NAME, beyond=[CLIENT6])
        assert done.result is False
        assert said in done.comment


def test_source_routing_beside_a_native_route(states: Any) -> None:
    assert states.he_tunnel.present(**{**TUNNEL, "routing": "source"}).result is True
    run("ip", "-6", "route", "add", "default", "dev", "eth0", "metric", "1")
    done = states.he_tunnel.routed(NAME, beyond=[CLIENT6])
    assert (done.result, done.comment) == (True, f"packets from {PUBLISHED} to {CLIENT6} leave by {NAME}")
    done = states.he_tunnel.routed(NAME, beyond=[CLIENT6], source="2001:db8:5::5")
    assert done.result is False
    assert f"packets from 2001:db8:5::5 to {CLIENT6} do not leave by {NAME}" in done.comment


def test_where_no_route_is_wanted(states: Any) -> None:
    assert states.he_tunnel.present(**{**TUNNEL, "routing": "none", "gateway": None}).result is True
    done = states.he_tunnel.routed(NAME)
    assert (done.result, done.comment) == (True, f"no route is wanted: {NAME} has routing: none")


# --------------------------------------------------------------------------------------------------------------
# The endpoint, and the broker's end


def test_an_endpoint_that_is_down(states: Any, tunnel: None, broker: Any) -> None:
    broker(f"ip addr del {ENDPOINT}/32 dev lo", f"ip addr add {ENDPOINT}/32 dev lo")
    done = states.he_tunnel.underlaid(NAME)
    assert done.result is False
    assert done.comment.startswith(f"{ENDPOINT} does not answer over IPv4 (")
    assert done.comment.endswith(f", nor {GATEWAY} through the tunnel: IPv4 to the endpoint is down or blocked")
    done = states.he_tunnel.answering(NAME, attempts=1, timeout=1)
    assert done.result is False
    assert f"{ENDPOINT} does not answer over IPv4 either: IPv4 to the endpoint is down or blocked" in done.comment


def test_an_endpoint_that_answers_no_pings_is_not_down(states: Any, tunnel: None, broker: Any) -> None:
    broker(*drop("-p icmp"))
    done = states.he_tunnel.underlaid(NAME)
    assert done.result is True
    said = f"{ENDPOINT} does not answer over IPv4 (nothing came back), but {GATEWAY} answers through the tunnel"
    assert done.comment.startswith(said)


def blocked(broker: Any) -> None:
    broker(*drop("-p 41"))


def another_address(broker: Any) -> None:
    hear("46.105.5.2")


@pytest.mark.parametrize("happens", [blocked, another_address])
def test_protocol_41_does_not_come_through(states: Any, tunnel: None, broker: Any, happens: Any) -> None:
    happens(broker)
    assert states.he_tunnel.underlaid(NAME).result is True
    done = states.he_tunnel.answering(NAME, attempts=1, timeout=1)
    assert done.result is False
    assert done.comment.startswith(f"{GATEWAY} does not answer through {NAME}: 100% loss")
    assert done.comment.endswith(
        f"; {ENDPOINT} answers over IPv4: protocol 41 is blocked on the way, "
        "or the broker holds another IPv4 address of this host than 46.105.5.1"
    )


# --------------------------------------------------------------------------------------------------------------
# Beyond


def test_a_prefix_that_the_broker_does_not_route(states: Any, tunnel: None, broker: Any) -> None:
    route = f"2001:470:1f13:f87::/64 via {OURS} dev he0"
    broker(f"ip -6 route del {route}", f"ip -6 route add {route}")
    assert states.he_tunnel.answering(NAME).result is True
    done = states.he_tunnel.reaching(NAME, beyond=[CLIENT6])
    assert done.result is False
    assert f"{CLIENT6} does not answer to {PUBLISHED} (nothing came back), but to {OURS}, this end" in done.comment
    assert f"the broker does not route the prefix of {PUBLISHED} to this tunnel" in done.comment
    assert states.he_tunnel.reaching(NAME, beyond=[CLIENT6], source=OURS).result is True


def test_one_that_answers_is_enough(states: Any, tunnel: None) -> None:
    done = states.he_tunnel.reaching(NAME, beyond=[NOBODY])
    assert done.result is False
    assert f"{NOBODY} does not answer to {PUBLISHED} (" in done.comment
    assert f"nor to this end of the tunnel, {OURS}" in done.comment
    done = states.he_tunnel.reaching(NAME, beyond=[NOBODY, CLIENT6])
    assert done.result is True
    assert f"{NOBODY} does not answer" in done.comment
    assert f"{CLIENT6} answers to {PUBLISHED}: 3 of 3, 0% loss" in done.comment


def test_by_default_the_brokers_end_answers_if_it_routes_the_prefix(states: Any, tunnel: None, broker: Any) -> None:
    done = states.he_tunnel.reaching(NAME)
    assert (done.result, f"{GATEWAY} answers to {PUBLISHED}: 3 of 3, 0% loss" in done.comment) == (True, True)
    route = f"2001:470:1f13:f87::/64 via {OURS} dev he0"
    broker(f"ip -6 route del {route}", f"ip -6 route add {route}")
    done = states.he_tunnel.reaching(NAME)
    assert done.result is False
    assert f"the broker does not route the prefix of {PUBLISHED} to this tunnel" in done.comment


def test_large_packets_that_get_lost_are_a_warning(states: Any, tunnel: None, broker: Any) -> None:
    broker(*drop("-p 41 -m length --length 1400:1500"))
    done = states.he_tunnel.reaching(NAME, beyond=[CLIENT6])
    assert done.result is True
    assert f"warning: packets of 1480 bytes, the MTU of {NAME}, do not come back from {GATEWAY} (noth" in done.comment


def test_bad_input_is_refused(states: Any, tunnel: None) -> None:
    for given, said in (
        ({"beyond": CLIENT6}, f"beyond: '{CLIENT6}' is not a list of IPv6 addresses"),
        ({"beyond": ["-f"]}, "beyond: ['-f'] is not a list of IPv6 addresses"),
        ({"beyond": [5]}, "beyond: [5] is not a list of IPv6 addresses"),
        ({"source": "46.105.5.1"}, "source: '46.105.5.1' is not an IPv6 address"),
        ({"source": ["x"]}, "source: ['x'] is not an IPv6 address"),
    ):
        done = states.he_tunnel.reaching(NAME, **given)
        assert (done.result, done.comment) == (False, said)


# --------------------------------------------------------------------------------------------------------------
# The ladder as a whole


def test_the_first_rung_that_fails_speaks_and_those_above_it_are_not_tried(modules: Any) -> None:
    pillar = {"tunnel": EXAMPLE["tunnel"], "verify": {"beyond": [CLIENT6]}}
    hear("46.105.5.2")
    done = apply(modules, "ipv6.verify", pillar)
    failed = [key for key, each in done.items() if not each.result]
    assert failed == [
        "The broker answers through the tunnel",
        "Somebody beyond answers to the published address",
        "IPv6 is proven",
    ]
    assert "protocol 41 is blocked" in done[failed[0]].comment
    assert "requisite" in done[failed[1]].comment
    said = done["IPv6 is proven"].comment.splitlines()
    assert said[1].startswith("failed: tunnel: The broker answers through the tunnel: ")
    assert said[2].startswith("not tried: beyond: One or more requisite failed")
