"""What cannot work on this host is refused, with and without test mode, and nothing is changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..lab import other_ifups
from ..lab.network import MAIN, MAIN_TEXT, NAME, OWN_FILE, TUNNEL, boot, ip, reaches, run, world


def refused(states: Any, test: bool, **change: Any) -> str:
    """The comment of a run that fails and changes nothing."""
    before = world()
    result = states.he_tunnel.present(**{**TUNNEL, **change}, test=test)
    assert (result.result, result.changes) == (False, {}), result.comment
    assert world() == before
    assert "Traceback" not in result.comment
    return str(result.comment)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"endpoint": "2001:db8::1"}, "endpoint: '2001:db8::1' is not an IPv4 address"),
        ({"address": "46.105.5.1/24"}, "address: '46.105.5.1' is not an IPv6 address"),
        ({"gateway": "2001:db8::1"}, "gateway: 2001:db8::1 is outside of 2001:470:1f12:f87::/64"),
        ({"name": "a-name-of-sixteen"}, "an interface name has at most 15"),
        ({"endpoint": None}, "endpoint: missing"),
        ({"endpoint": "46.105.5.1", "local": "auto"}, "endpoint: 46.105.5.1 is an address of this host"),
        ({"local": "192.0.2.1"}, "local: 192.0.2.1 is not an address of this host, which has 127.0.0.1, 46.105.5.1"),
        ({"stack": "netctl"}, "stack: 'netctl' is not a network stack that is supported"),
        ({"endpiont": "216.66.84.42"}, "unknown argument: endpiont"),
        ({"endpiont": "216.66.84.42", "zzz": 1}, "unknown argument: endpiont, zzz"),
    ],
)
def test_bad_input(states: Any, test: bool, change: dict[str, Any], said: str) -> None:
    assert said in refused(states, test, **change)


def test_salts_own_keywords_are_no_unknown_arguments(states: Any) -> None:
    result = states.he_tunnel.present(**TUNNEL, test=True, order=1, failhard=True, umask="022", fire_event=False)
    assert result.result is None, result.comment


@pytest.fixture
def no_route() -> Iterator[None]:
    """The host has no default route."""
    run("ip", "route", "del", "default")
    yield
    run("ip", "route", "add", "default", "via", "46.105.5.254")


def test_an_endpoint_without_a_route(states: Any, no_route: None, test: bool) -> None:
    assert "endpoint: this host has no route to 216.66.84.42" in refused(states, test)
    assert "Network is unreachable" in refused(states, test, local="auto")


@pytest.fixture
def no_sit_module() -> Iterator[None]:
    """A kernel without the device, as in many containers."""
    run("modprobe", "-r", "sit")
    modules = f"/usr/lib/modules/{run('uname', '-r').strip()}/kernel/net/ipv6/sit.ko"
    run("mount", "--bind", "/dev/null", modules)
    index = Path(f"/usr/lib/modules/{run('uname', '-r').strip()}/modules.dep.bin")
    hidden = shutil.move(index, index.with_suffix(".hidden"))
    yield
    shutil.move(hidden, index)
    run("umount", modules)
    run("modprobe", "sit")
    # with the module, the broker's end went, too
    for words in (
        "ip -n broker tunnel add he0 mode sit local 216.66.84.42 remote 46.105.5.1 ttl 255",
        "ip -n broker link set he0 up mtu 1480",
        "ip -n broker addr add 2001:470:1f12:f87::1/64 dev he0",
        "ip -n broker route add 2001:470:1f13:f87::/64 via 2001:470:1f12:f87::2 dev he0",
    ):
        run(*words.split())


def test_a_kernel_without_the_device(states: Any, no_sit_module: None, test: bool) -> None:
    assert "has no module 'sit' (CONFIG_IPV6_SIT)" in refused(states, test)


def test_ipv6_that_is_disabled(states: Any, test: bool) -> None:
    switch = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    switch.write_text("1")
    try:
        assert "IPv6 is disabled" in refused(states, test)
    finally:
        switch.write_text("0")


def test_another_tunnel_between_the_same_ends(states: Any, test: bool) -> None:
    run("ip", "tunnel", "add", "old", "mode", "sit", "remote", "216.66.84.42", "local", "46.105.5.1")
    said = refused(states, test)
    assert said.startswith(
        "endpoint: this host has a tunnel there already: old from 46.105.5.1 to 216.66.84.42 (live, but"
    )


def test_a_native_default_route_of_the_same_metric(states: Any, test: bool) -> None:
    run("ip", "link", "add", "native", "type", "dummy")
    run("ip", "link", "set", "native", "up")
    run("ip", "-6", "addr", "add", "2001:db8:5::5/64", "dev", "native", "nodad")
    run("ip", "-6", "route", "add", "default", "via", "2001:db8:5::1", "dev", "native", "metric", "1024")
    said = refused(states, test)
    assert "metric: this host already has an IPv6 default route of metric 1024, via 2001:db8:5::1 dev native" in said
    assert states.he_tunnel.present(**TUNNEL, metric=2048, test=True).result is None
    assert states.he_tunnel.present(**TUNNEL, routing="source", test=True).result is None


def test_an_interface_that_is_no_tunnel(states: Any, test: bool) -> None:
    run("ip", "link", "add", NAME, "type", "dummy")
    assert "he-ipv6 is an interface of this host of the kind dummy" in refused(states, test)
    assert "eth0 is an interface of this host of the kind veth" in refused(states, test, name="eth0")


def test_a_tunnel_that_became_another_kind_is_made_anew(states: Any) -> None:
    assert states.he_tunnel.present(**TUNNEL).result is True
    run("ip", "link", "del", NAME)
    run("ip", "tunnel", "add", NAME, "mode", "ipip", "remote", "216.66.84.42", "local", "46.105.5.1")
    result = states.he_tunnel.present(**TUNNEL)
    assert result.result is True, result.comment
    assert result.changes["link"]["kind"] == {"old": "ipip", "new": "sit"}


@pytest.mark.parametrize("other", other_ifups.ALL)
def test_the_other_implementations_of_ifup(states: Any, shadows: Path, other: str, test: bool) -> None:
    with other_ifups.instead(other, shadows):
        assert f"the ifup of this host is {other}" in refused(states, test, stack="ifupdown")
    assert not OWN_FILE.exists()


def test_no_ifup_at_all(states: Any, test: bool) -> None:
    run("mount", "--bind", "/dev/null", "/sbin/ifup")
    try:
        assert "this host has no ifup" in refused(states, test)
    finally:
        run("umount", "/sbin/ifup")


def test_a_bigger_mtu_than_the_way_carries_is_a_warning(states: Any) -> None:
    run("ip", "link", "set", "eth0", "mtu", "1400")
    try:
        result = states.he_tunnel.present(**TUNNEL, test=True)
        assert result.result is None
        assert "mtu: eth0 carries packets of at most 1380 bytes" in result.comment
    finally:
        run("ip", "link", "set", "eth0", "mtu", "1500")


BY_HAND = """\
auto eth9 he-ipv6

# by hand, years ago
iface he-ipv6 inet6 v4tunnel
    address 2001:470:1f12:f87::2
    netmask 64
    endpoint 216.66.84.42
    local 46.105.5.1
    gateway 2001:470:1f12:f87::1
    ttl 64
    post-up ip addr add 2001:470:1f13:f87::77/64 dev $IFACE

iface eth9 inet manual
"""


def test_an_interface_by_hand_is_reported_and_not_doubled(states: Any, test: bool) -> None:
    MAIN.write_text(MAIN_TEXT + BY_HAND)
    assert f"he-ipv6 is already configured in {MAIN}, line 6, 9" in refused(states, test)


def test_an_interface_by_hand_is_adopted_without_an_interruption(states: Any) -> None:
    MAIN.write_text(MAIN_TEXT + BY_HAND)
    run("ifup", NAME)
    number = ip("link", "show", "dev", NAME)[0]["ifindex"]
    assert f"ttl: 64 in {MAIN}, line 15 (ttl), and the pillar has 255" in refused(states, False, adopt=True)
    same = {**TUNNEL, "ttl": 64}
    predicted = states.he_tunnel.present(**same, adopt=True, test=True)
    done = states.he_tunnel.present(**same, adopt=True)
    assert done.result is True, done.comment
    assert done.changes == predicted.changes
    assert "link" not in done.changes
    moved = done.changes["files"][str(MAIN)]
    assert "post-up ip addr add" in moved["old"]
    assert moved["new"] == "auto eth9"
    assert MAIN.read_text() == MAIN_TEXT + "auto eth9\n\n# by hand, years ago\n\niface eth9 inet manual\n"
    assert ip("link", "show", "dev", NAME)[0]["ifindex"] == number
    assert states.he_tunnel.present(**same, adopt=True).changes == {}
    assert states.he_tunnel.present(**same).changes == {}
    boot()
    assert reaches("client6", "2001:470:1f13:f87::77")
