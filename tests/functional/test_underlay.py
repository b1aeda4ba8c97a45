"""Tunnels that are bound to one of a host's uplinks, and uplinks in a VRF."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ..lab import other_ifups
from ..lab.network import MAIN, NAME, OWN_FILE, PUBLISHED, TUNNEL, boot, hear, index, ip, on, reaches, run, world

ENDPOINT, LOCAL = TUNNEL["endpoint"], TUNNEL["local"]
OWN, ROUTER = "203.0.113.1", "203.0.113.254"
BOUND = {**TUNNEL, "local": OWN, "dev": "eth1", "mtu": 1472}
VRF = "blue"


def bound() -> str | None:
    """The device that the live tunnel is bound to."""
    found: str | None = ip("-d", "link", "show", "dev", NAME)[0]["linkinfo"]["info_data"].get("link")
    return found


def sent(name: str) -> int:
    """The packets that have left by an interface."""
    count: int = ip("-s", "link", "show", "dev", name)[0]["stats64"]["tx"]["packets"]
    return count


@pytest.fixture
def eth1() -> Iterator[None]:
    """A second uplink, with an MTU as PPPoE has it, and the default route of less weight."""
    on("broker", "ip", "link", "add", "server1", "type", "veth", "peer", "name", "eth1")
    on("broker", "ip", "link", "set", "eth1", "netns", "server")
    on("broker", "ip", "addr", "add", f"{ROUTER}/24", "dev", "server1")
    on("broker", "ip", "link", "set", "server1", "up")
    run("ip", "addr", "add", f"{OWN}/24", "dev", "eth1")
    # With an IPv6 address of its own, its routes would come some time later.
    run("ip", "link", "set", "eth1", "addrgenmode", "none", "up", "mtu", "1492")
    run("ip", "route", "add", "default", "via", ROUTER, "dev", "eth1", "metric", "500")
    hear(OWN)
    yield
    run("ip", "link", "del", "eth1", check=False)
    run("ip", "link", "del", VRF, check=False)


@pytest.fixture
def vrf(eth1: None) -> None:
    """The second uplink is in a VRF: only its table has a way from there."""
    run("modprobe", "vrf")
    run("ip", "link", "add", VRF, "type", "vrf", "table", "10")
    run("ip", "link", "set", VRF, "up")
    run("ip", "route", "del", "default", "dev", "eth1")
    run("ip", "link", "set", "eth1", "master", VRF)
    run("ip", "route", "add", "default", "via", ROUTER, "table", "10")


def test_the_second_uplink_is_chosen_whatever_the_routes_say(states: Any, modules: Any, eth1: None) -> None:
    predicted = states.he_tunnel.present(**BOUND, test=True)
    done = states.he_tunnel.present(**BOUND)
    assert done.result is True, done.comment
    assert done.changes == predicted.changes and done.changes["link"]["dev"] == {"old": "absent", "new": "eth1"}
    count = sent("eth1")
    assert bound() == "eth1" and reaches("client6", PUBLISHED) and sent("eth1") > count
    assert states.he_tunnel.underlaid(NAME).result is True
    assert states.he_tunnel.live(NAME).result is True
    assert states.he_tunnel.present(**BOUND).changes == {}
    # Drift, in the kernel and in the file.
    number = index()
    run("ip", "tunnel", "change", NAME, "mode", "sit", "remote", ENDPOINT, "local", OWN, "dev", "eth0")
    OWN_FILE.write_text(OWN_FILE.read_text().replace(" dev eth1", ""))
    assert bound() == "eth0" and states.he_tunnel.live(NAME).result is False
    predicted = states.he_tunnel.present(**BOUND, test=True)
    assert predicted.result is None and predicted.changes["link"]["dev"] == {"old": "eth0", "new": "eth1"}
    repaired = states.he_tunnel.present(**BOUND)
    assert repaired.result is True and repaired.changes == predicted.changes, repaired.comment
    assert (bound(), index()) == ("eth1", number) and reaches("client6", PUBLISHED)
    # A reboot, and the pillar of what is there.
    boot()
    assert bound() == "eth1" and reaches("client6", PUBLISHED)
    assert states.he_tunnel.present(**BOUND).changes == {}
    assert modules.he_tunnel.adopt()["ipv6"]["tunnel"]["dev"] == "eth1"
    gone = states.he_tunnel.absent(NAME)
    assert gone.result is True and not ip("link", "show", "dev", NAME), gone.comment


def test_a_device_is_given_in_place_and_taken_with_the_tunnel(states: Any, eth1: None) -> None:
    unbound = {**BOUND, "dev": None}
    assert states.he_tunnel.present(**unbound).result is True
    number = index()
    assert states.he_tunnel.present(**BOUND).result is True
    assert (bound(), index()) == ("eth1", number)
    # ip(8) has no word for none: one that somebody has bound is made anew.
    done = states.he_tunnel.present(**unbound)
    assert done.result is True and done.changes["link"] == {"dev": {"old": "eth1", "new": "absent"}}, done.comment
    assert bound() is None and states.he_tunnel.present(**unbound).changes == {}


def test_the_mtu_and_the_local_address_are_those_of_the_device(states: Any, eth1: None) -> None:
    given = {**BOUND, "local": "auto", "mtu": 1480}
    done = states.he_tunnel.present(**given)
    assert done.result is True, done.comment
    assert "eth1 carries packets of at most 1472 bytes within IPv4, less than the tunnel's 1480" in done.comment
    assert reaches("client6", PUBLISHED) and "local" not in OWN_FILE.read_text()
    assert states.he_tunnel.underlaid(NAME).result is True


def test_without_a_way_by_the_device_it_is_refused(states: Any, eth1: None) -> None:
    run("ip", "route", "del", "default", "dev", "eth1")
    before = world()
    for test in (True, False):
        done = states.he_tunnel.present(**BOUND, test=test)
        assert (done.result, done.changes, world()) == (False, {}, before)
        assert done.comment.startswith(f"endpoint: this host has no route to {ENDPOINT} from {OWN} oif eth1")
    done = states.he_tunnel.present(**{**BOUND, "dev": "eth7"})
    assert done.comment.startswith("dev: this host has no interface eth7; expected one of eth0, eth1")
    done = states.he_tunnel.present(**{**BOUND, "dev": NAME})
    assert done.comment.startswith(f"dev: {NAME} is the tunnel itself")


def test_one_by_hand_is_adopted_with_its_device(states: Any, modules: Any, eth1: None) -> None:
    run("ip", "tunnel", "add", "sit1", "mode", "sit", "remote", ENDPOINT, "local", OWN, "ttl", "64", "dev", "eth1")
    run("ip", "link", "set", "sit1", "up", "mtu", "1472")
    for address in (TUNNEL["address"], *TUNNEL["addresses"]):
        run("ip", "addr", "add", address, "dev", "sit1")
    run("ip", "-6", "route", "add", "default", "via", TUNNEL["gateway"], "dev", "sit1")
    pillar = modules.he_tunnel.adopt()["ipv6"]["tunnel"]
    assert pillar["dev"] == "eth1"
    number = index("sit1")
    done = states.he_tunnel.present(**pillar)
    assert done.result is True and index("sit1") == number, done.comment
    assert reaches("client6", PUBLISHED)


@pytest.mark.parametrize("dev", ["eth1", VRF])
def test_an_uplink_in_a_vrf(states: Any, vrf: None, dev: str) -> None:
    given = {**BOUND, "dev": dev, "mtu": 1480}
    done = states.he_tunnel.present(**given)
    assert done.result is True, done.comment
    assert "eth1 carries packets of at most 1472 bytes within IPv4, less than the tunnel's 1480" in done.comment
    count = sent("eth1")
    assert bound() == dev and reaches("client6", PUBLISHED) and sent("eth1") > count
    for rung in (states.he_tunnel.live, states.he_tunnel.underlaid, states.he_tunnel.answering):
        assert rung(NAME).result is True, rung(NAME).comment
    assert states.he_tunnel.present(**given).changes == {}
    boot()
    assert bound() == dev and reaches("client6", PUBLISHED)


@pytest.fixture(params=other_ifups.ALL)
def other(request: pytest.FixtureRequest, shadows: Any) -> Iterator[str]:
    """Another implementation of ifup(8), with a main file that it can read, and with the uplinks in it."""
    source = "source-directory {}" if request.param == "ifupdown-ng" else "source {}/*"
    lines = [source.format(OWN_FILE.parent), "auto lo", "iface lo inet loopback", "auto eth1"]
    MAIN.write_text("\n".join([*lines, "iface eth1 inet manual", ""]))
    with other_ifups.instead(request.param, shadows) as name:
        yield name


def test_the_other_implementations_bind_it(states: Any, eth1: None, other: str) -> None:
    done = states.he_tunnel.present(**BOUND)
    if other == "ifupdown2":  # its ifdown would take eth1 down as well
        assert done.result is False and done.comment.startswith("dev: ifupdown2 cannot bind a tunnel"), done.comment
        assert done.changes == {} and not ip("link", "show", "dev", NAME)
        return
    assert done.result is True, done.comment
    assert bound() == "eth1" and reaches("client6", PUBLISHED)
    assert states.he_tunnel.present(**BOUND).changes == {}
    run("ip", "tunnel", "change", NAME, "mode", "sit", "remote", ENDPOINT, "local", OWN, "dev", "eth0")
    repaired = states.he_tunnel.present(**BOUND)
    assert repaired.result is True and bound() == "eth1", repaired.comment
    gone = states.he_tunnel.absent(NAME)
    assert gone.result is True and not ip("link", "show", "dev", NAME), gone.comment
    assert "UP" in ip("link", "show", "dev", "eth1")[0]["flags"]
