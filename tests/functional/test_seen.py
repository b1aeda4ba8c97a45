"""Tunnels that are there already, by whoever made them; hosts with several uplinks, and with a changing address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..lab.network import (
    IFSTATE,
    MAIN,
    MAIN_TEXT,
    NAME,
    OWN_FILE,
    PUBLISHED,
    TUNNEL,
    boot,
    hear,
    index,
    ip,
    on,
    reaches,
    run,
    world,
)

ENDPOINT, LOCAL = TUNNEL["endpoint"], TUNNEL["local"]
FOLLOWING = {**TUNNEL, "local": "auto"}


def by_hand(name: str = NAME, *more: str) -> None:
    """A tunnel as an administrator makes it, who has read a blog."""
    run("ip", "tunnel", "add", name, "mode", "sit", "remote", ENDPOINT, *more)
    run("ip", "link", "set", name, "up", "mtu", "1480")
    run("ip", "addr", "add", TUNNEL["address"], "dev", name)
    run("ip", "-6", "route", "add", "::/0", "dev", name)


@pytest.fixture
def rc_local() -> Iterator[Path]:
    """A script of the boot's."""
    path = Path("/etc/rc.local")
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("local", "wanted", "up"),
    [
        ([], TUNNEL, True),
        ([], FOLLOWING, False),
        (["local", LOCAL, "ttl", "64"], TUNNEL, False),
        (["local", LOCAL], FOLLOWING, True),
    ],
)
def test_another_name_with_the_same_ends(states: Any, local: list[str], wanted: dict[str, Any], up: bool) -> None:
    by_hand("sit1", *local)
    if not up:
        run("ip", "link", "set", "sit1", "down")
    before = world()
    for test in (True, False):
        done = states.he_tunnel.present(**wanted, test=test)
        assert (done.result, done.changes, world()) == (False, {}, before)
        assert (
            f"sit1{' from ' + LOCAL if local else ''} to {ENDPOINT} (live{'' if up else ', but down'})" in done.comment
        )


@pytest.mark.parametrize(
    "text",
    [
        f"iface eth0 inet manual\n    up ip tunnel add 6in4 mode sit remote {ENDPOINT} local {LOCAL}\n",
        f"auto sixxs\niface sixxs inet6 v4tunnel\n\taddress\t2001:db8::2\n\tnetmask\t64\n\tendpoint\t{ENDPOINT}\n",
    ],
)
def test_another_name_in_a_file_only(states: Any, text: str) -> None:
    """It is not up now; the next boot would make two tunnels."""
    MAIN.write_text(MAIN_TEXT + text)
    before = world()
    done = states.he_tunnel.present(**TUNNEL)
    assert (done.result, done.changes, world()) == (False, {}, before)
    assert f"({MAIN}, line " in done.comment
    MAIN.write_text(MAIN_TEXT)
    assert states.he_tunnel.present(**TUNNEL).result is True


@pytest.mark.parametrize("adopt", [True, False])
def test_a_script_that_makes_it(states: Any, rc_local: Path, adopt: bool) -> None:
    rc_local.write_text(f"#!/bin/sh -e\n# tunnel\nip tunnel add {NAME} mode sit remote {ENDPOINT} ttl 255\nexit 0\n")
    by_hand()
    before = world()
    done = states.he_tunnel.present(**TUNNEL, adopt=adopt)
    assert (done.result, done.changes, world()) == (False, {}, before)
    assert f"{rc_local}, line 3" in done.comment
    gone = states.he_tunnel.absent(NAME, adopt=adopt)
    assert (gone.result, gone.changes, world()) == (False, {}, before)
    assert gone.comment.startswith(
        f"name: {NAME} is made by {rc_local}, line 3, and would be made again at the next boot"
    )
    rc_local.unlink()
    assert states.he_tunnel.present(**TUNNEL, adopt=True).result is True


def test_one_in_no_file_is_taken_over_on_request(states: Any, modules: Any) -> None:
    by_hand()
    number, before = index(), world()
    refused = states.he_tunnel.present(**TUNNEL)
    assert (refused.result, refused.changes, world()) == (False, {}, before)
    assert refused.comment.endswith("'adopt: true' lets he_tunnel take it over")
    assert modules.he_tunnel.status()["configured"] is None
    predicted = states.he_tunnel.present(**TUNNEL, adopt=True, test=True)
    done = states.he_tunnel.present(**TUNNEL, adopt=True)
    assert done.result is True, done.comment
    assert done.changes == predicted.changes
    assert done.changes["record"] == {"ifupdown": {"old": "unaware of it", "new": "aware of it"}}
    assert index() == number and reaches("client6", PUBLISHED)
    assert states.he_tunnel.present(**TUNNEL).changes == {}
    run("ifup", "-a")
    assert reaches("client6", PUBLISHED)
    run("ifdown", NAME)
    assert ip("link", "show", "dev", NAME) == []
    run("ifup", NAME)
    assert reaches("client6", PUBLISHED)
    boot()
    assert reaches("client6", PUBLISHED)
    assert states.he_tunnel.present(**TUNNEL).changes == {}


def test_a_record_that_is_lost_is_made_again(states: Any, tunnel: None) -> None:
    number = index()
    IFSTATE.write_text("".join(line for line in IFSTATE.open() if not line.startswith(f"{NAME}=")))
    assert states.he_tunnel.live(NAME).result is False
    done = states.he_tunnel.present(**TUNNEL)
    assert done.changes == {"record": {"ifupdown": {"old": "unaware of it", "new": "aware of it"}}}
    assert index() == number
    assert states.he_tunnel.live(NAME).result is True
    run("ip", "link", "del", NAME)
    assert states.he_tunnel.absent(NAME).result is True
    assert f"{NAME}=" not in IFSTATE.read_text()


def test_all_tunnels_are_listed(modules: Any, rc_local: Path, tunnel: None) -> None:
    rc_local.write_text(f"ip tunnel add other mode sit remote {ENDPOINT} local {LOCAL}\n")
    listed = {each["name"]: each for each in modules.he_tunnel.status()["tunnels"]}
    assert listed[NAME]["ours"] is True and listed[NAME]["live"] is True
    assert listed[NAME]["collides"] == ["other"] and listed["other"]["collides"] == [NAME]
    assert listed["other"]["places"] == [f"{rc_local}, line 1"]


def test_the_pillar_of_a_tunnel_by_hand_gives_the_same(states: Any, modules: Any) -> None:
    by_hand("sit1", "local", LOCAL, "ttl", "64")
    run("ip", "addr", "add", TUNNEL["addresses"][0], "dev", "sit1")
    run("ip", "-6", "route", "del", "::/0", "dev", "sit1")
    run("ip", "-6", "route", "add", "default", "via", TUNNEL["gateway"], "dev", "sit1")
    proposed = modules.he_tunnel.adopt()
    assert proposed["notes"] == []
    pillar = proposed["ipv6"]["tunnel"]
    assert pillar == {
        **{key: TUNNEL[key] for key in ("endpoint", "local", "address", "gateway", "addresses")},
        **{"name": "sit1", "ttl": 64, "adopt": True},
    }
    number = index("sit1")
    done = states.he_tunnel.present(**pillar)
    assert done.result is True, done.comment
    assert set(done.changes) <= {"files", "addresses", "record", "settings"}  # one address is deprecated
    assert index("sit1") == number and reaches("client6", PUBLISHED)


# --------------------------------------------------------------------------------------------------------------
# Uplinks, and a changing address


@pytest.fixture
def second_uplink() -> Iterator[str]:
    """Another way to the internet, with an MTU as PPPoE has it, which packets from its own address take by a rule."""
    on("broker", "ip", "link", "add", "server1", "type", "veth", "peer", "name", "eth1")
    on("broker", "ip", "link", "set", "eth1", "netns", "server")
    on("broker", "ip", "addr", "add", "203.0.113.254/24", "dev", "server1")
    on("broker", "ip", "link", "set", "server1", "up")
    run("ip", "addr", "add", "203.0.113.1/24", "dev", "eth1")
    run("ip", "link", "set", "eth1", "up", "mtu", "1492")
    run("ip", "route", "add", "default", "via", "203.0.113.254", "table", "7")
    run("ip", "rule", "add", "from", "203.0.113.1", "lookup", "7", "priority", "700")
    yield "203.0.113.1"
    run("ip", "rule", "del", "priority", "700")
    run("ip", "link", "del", "eth1", check=False)


def test_the_uplink_is_that_of_the_local_address(states: Any, second_uplink: str) -> None:
    hear(second_uplink)
    done = states.he_tunnel.present(**{**TUNNEL, "local": second_uplink})
    assert done.result is True, done.comment
    assert "eth1 carries packets of at most 1472 bytes within IPv4, less than the tunnel's 1480" in done.comment
    assert reaches("client6", PUBLISHED)
    assert states.he_tunnel.underlaid(NAME).result is True
    states.he_tunnel.absent(NAME)
    other = states.he_tunnel.present(**TUNNEL)
    assert "eth1" not in other.comment


def test_where_the_only_default_route_is_in_another_table(states: Any, second_uplink: str) -> None:
    run("ip", "route", "del", "default")
    try:
        hear(second_uplink)
        assert states.he_tunnel.present(**TUNNEL).comment.startswith("endpoint: this host has no route to")
        done = states.he_tunnel.present(**{**TUNNEL, "local": second_uplink, "mtu": 1472})
        assert done.result is True, done.comment
        assert reaches("client6", PUBLISHED)
    finally:
        run("ip", "route", "add", "default", "via", "46.105.5.254")


def test_a_changing_address_is_followed(states: Any) -> None:
    done = states.he_tunnel.present(**FOLLOWING)
    assert done.result is True, done.comment
    assert "local" not in OWN_FILE.read_text()
    assert reaches("client6", PUBLISHED)
    readdress("46.105.5.1", "46.105.5.9")
    try:
        hear("46.105.5.9")  # the broker has been told
        assert reaches("client6", PUBLISHED)
        assert states.he_tunnel.present(**FOLLOWING).changes == {}
        boot()
        assert reaches("client6", PUBLISHED)
    finally:
        readdress("46.105.5.9", "46.105.5.1")


def readdress(old: str, new: str) -> None:
    """The hoster gives this server another address."""
    run("ip", "addr", "del", f"{old}/24", "dev", "eth0")
    run("ip", "addr", "add", f"{new}/24", "dev", "eth0")
    run("ip", "route", "replace", "default", "via", "46.105.5.254")
