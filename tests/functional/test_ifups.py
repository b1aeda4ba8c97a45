"""What ifup(8) itself knows of the tunnel afterwards; and the tunnel with its other implementations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _dualstack_host_files as host_files
import pytest

from ..lab import other_ifups
from ..lab.network import (
    IFSTATE,
    MAIN,
    MAIN_TEXT,
    NAME,
    OWN_FILE,
    PUBLISHED,
    TUNNEL,
    boot,
    index,
    ip,
    reaches,
    run,
    source_address,
)


def record(modules: Any) -> None:
    """Have the stack know the tunnel as up, as the state does after a change in place."""
    for command in modules.tunnel_ifupdown.record(NAME):
        run(*command)


def addresses() -> set[str]:
    """The tunnel's global addresses."""
    seen = ip("-6", "addr", "show", "dev", NAME, "scope", "global")
    return {each["local"] for link in seen for each in link.get("addr_info", []) if each}


def by_hand() -> None:
    """The tunnel is up, and its file is there; but ifup(8) knows of no interface."""
    run("ip", "tunnel", "add", NAME, "mode", "sit", "remote", "216.66.84.42", "local", "46.105.5.1", "ttl", "64")
    run("ip", "link", "set", NAME, "up")


def test_what_is_recorded_is_left_as_it_is_and_goes_down_wholly(modules: Any) -> None:
    OWN_FILE.write_text(modules.he_tunnel.render(**TUNNEL, stack="ifupdown")[str(OWN_FILE)])
    by_hand()
    assert "No buffer space available" in run("ifup", "-a", check=False)  # so it is without a record
    number = index()
    record(modules)
    assert f"{NAME}={NAME}\n" in IFSTATE.read_text()
    assert index() == number
    assert not addresses(), "nothing of the file was carried out"
    run("ifup", "-a")
    assert index() == number
    run("ifdown", "-a")  # as `systemctl restart networking` does
    assert not ip("link", "show", "dev", NAME)
    run("ifup", "-a")
    assert reaches("client6", PUBLISHED)
    run("ifdown", NAME)
    assert not ip("link", "show", "dev", NAME)
    assert NAME not in IFSTATE.read_text()


def test_what_is_recorded_already_may_be_recorded_again(modules: Any, tunnel: None) -> None:
    number, before = index(), IFSTATE.read_text()
    record(modules)
    assert (index(), sorted(IFSTATE.read_text().split())) == (number, sorted(before.split()))
    assert reaches("client6", PUBLISHED)


BY_HOOKS = """\
auto eth7
iface eth7 inet manual
    pre-up ip link add eth7 type dummy
    up ip tunnel add he-ipv6 mode sit remote 216.66.84.42 local 46.105.5.1 ttl 255
    up ip link set he-ipv6 up mtu 1480
    up ip -6 addr add 2001:470:1f12:f87::2/64 dev he-ipv6; ip -6 addr add 2001:470:1f13:f87::77/64 dev he-ipv6
    up ip -6 route add ::/0 via 2001:470:1f12:f87::1 dev he-ipv6
    down ip tunnel del he-ipv6
    post-down ip link del eth7
"""


def test_hooks_of_another_interface_are_taken_over_with_a_reboot(states: Any) -> None:
    MAIN.write_text(MAIN_TEXT + BY_HOOKS)
    run("ifup", "-a")
    number = index()
    assert reaches("client6", PUBLISHED)
    refused = states.he_tunnel.present(**TUNNEL)
    assert refused.result is False and f"{MAIN}, line 9, 10, 11, 12, 13" in refused.comment
    done = states.he_tunnel.present(**TUNNEL, adopt=True)
    assert done.result is True, done.comment
    assert index() == number
    left = MAIN.read_text()
    assert "he-ipv6" not in left and "pre-up ip link add eth7" in left and "post-down ip link del eth7" in left
    assert states.he_tunnel.present(**TUNNEL).changes == {}
    run("ifdown", "-a")
    assert not ip("link", "show", "dev", NAME)
    boot()
    assert reaches("client6", PUBLISHED)
    assert source_address() == PUBLISHED


SECOND = """\
auto he-ipv6
iface he-ipv6 inet6 v4tunnel
\taddress\t2001:470:1f12:f87::2
\tnetmask\t64
\tendpoint\t216.66.84.42
\tlocal\t46.105.5.1
\tgateway\t2001:470:1f12:f87::1
\tttl\t64
\tup ip link set mtu 1400 dev $IFACE
iface he-ipv6 inet6 static
\taddress\t2001:470:1f13:f87::77/64
\tup ip -6 addr add 2001:470:1f13:f87::99/64 dev $IFACE
"""


def test_a_stanza_with_more_than_the_pillar_is_refused_with_each_key_then_taken_over(states: Any) -> None:
    MAIN.write_text(MAIN_TEXT + SECOND)
    run("ifup", NAME)
    before = addresses()
    refused = states.he_tunnel.present(**TUNNEL, adopt=True)
    assert refused.result is False
    for said in (
        "ttl: 64 in {}, line 13",
        "mtu: 1400 in {}, line 14",
        "addresses: 2001:470:1f13:f87::99/64 in {}, line 17",
    ):
        assert said.format(MAIN) in refused.comment
    whole = {**TUNNEL, "ttl": 64, "mtu": 1400, "addresses": [*TUNNEL["addresses"], "2001:470:1f13:f87::99/64"]}
    done = states.he_tunnel.present(**whole, adopt=True)
    assert done.result is True, done.comment
    assert "link" not in done.changes, "the live tunnel is as it was"
    boot()
    assert addresses() == before
    assert states.he_tunnel.present(**whole).changes == {}


@pytest.fixture(params=other_ifups.ALL)
def other(request: pytest.FixtureRequest, shadows: Path) -> Iterator[str]:
    """Another implementation of ifup(8), with a main file that it can read."""
    if request.param == "ifupdown-ng":
        MAIN.write_text("source-directory /etc/network/interfaces.d\n\nauto lo\niface lo inet loopback\n")
    with other_ifups.instead(request.param, shadows) as name:
        yield name


def test_the_other_implementations_have_the_same_tunnel(states: Any, modules: Any, other: str) -> None:
    stack = other.replace("-", "_")
    predicted = states.he_tunnel.present(**TUNNEL, test=True)
    done = states.he_tunnel.present(**TUNNEL)
    assert done.result is True, done.comment
    assert done.changes == predicted.changes
    status = modules.he_tunnel.status(NAME)
    assert (status["stack"], status["in_sync"]) == (stack, True), status
    assert reaches("client6", PUBLISHED)
    assert source_address() == PUBLISHED
    assert states.he_tunnel.present(**TUNNEL).changes == {}
    # Drift is repaired in place.
    number = index()
    run("ip", "tunnel", "change", NAME, "mode", "sit", "remote", "216.66.84.43", "ttl", "64")
    run("ip", "-6", "addr", "del", TUNNEL["addresses"][0], "dev", NAME)
    repaired = states.he_tunnel.present(**TUNNEL)
    assert repaired.result is True, repaired.comment
    assert index() == number and reaches("client6", PUBLISHED)
    # Without a record, it is made known, and stays.
    for state in other_ifups.STATES:
        state.unlink(missing_ok=True)
    for command in modules[f"tunnel_{stack}.record"](NAME):
        run(*command)
    assert index() == number
    evidence = {each: host_files.read(each) or "" for each in modules[f"tunnel_{stack}.about"]()["evidence"]}
    assert NAME in modules[f"tunnel_{stack}.has"]({"name": NAME, "index": number}, evidence)
    assert not modules[f"tunnel_{stack}.has"]({"name": "he-ipv", "index": 99}, evidence)
    # It comes at a boot, and it goes.
    other_ifups.boot(other)
    assert reaches("client6", PUBLISHED)
    assert states.he_tunnel.present(**TUNNEL).changes == {}
    gone = states.he_tunnel.absent(NAME)
    assert gone.result is True, gone.comment
    assert not ip("link", "show", "dev", NAME) and not OWN_FILE.exists()


def test_the_other_implementations_need_no_local_address(modules: Any, other: str) -> None:
    stack = other.replace("-", "_")
    tunnel = {**modules[f"tunnel_{stack}.parse"](NAME, modules.he_tunnel.render(**TUNNEL, stack=stack)), "routes": []}
    OWN_FILE.write_text(
        modules[f"tunnel_{stack}.files"]({**tunnel, "local": "any", "source": PUBLISHED})[str(OWN_FILE)]
    )
    run("ifup", NAME)
    assert ip("-d", "link", "show", "dev", NAME)[0]["linkinfo"]["info_data"]["local"] == "any"
    assert reaches("client6", PUBLISHED)


@pytest.mark.parametrize(
    "change", [{"routed": "2001:470:1f13:f87::/64"}, {"carrier": "gre", "routing": "source"}], ids=str
)
def test_a_boot_brings_what_is_declared_and_ifdown_leaves_nothing(states: Any, change: dict[str, Any]) -> None:
    wanted = {**TUNNEL, **change}
    done = states.he_tunnel.present(**wanted)
    assert done.result is True, done.comment
    boot()
    again = states.he_tunnel.present(**wanted)
    assert (again.result, again.changes) == (True, {}), again.comment
    assert bool(ip("-6", "route", "show", "type", "unreachable")) == ("routed" in change)
    run("ifdown", NAME)
    assert not ip("link", "show", "dev", NAME)
    assert not ip("-6", "route", "show", "type", "unreachable")
