"""Router advertisements: through the tunnel none is listened to, by rule and by setting."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _dualstack_host_sysctl as host_sysctl
import _dualstack_tunnel_advertisements as tunnel_advertisements
import _dualstack_tunnel_change as tunnel_change
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_stack as tunnel_stack
import pytest
import tunnel_ifupdown

from . import netfilter
from .test_dual import _network  # noqa: F401

Converge = Callable[..., dict[str, Any]]

# A router with a prefix: RFC 4861, section 4.2 and 4.6.2. The kernel writes the checksum.
ADVERTISE = """
import socket, struct, sys
interface, prefix = sys.argv[1:]
option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 1800, 1800, 0) + socket.inet_pton(socket.AF_INET6, prefix)
packet = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0x08, 1800, 0, 0) + option
one = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(interface))
for _ in range(3):
    one.sendto(packet, ("ff02::1", 0))
"""


def advertised(interface: str, peer: str) -> bool:
    """Whether an advertisement from the other end gives an address to an interface."""
    host_sysctl.write(tunnel_advertisements.parameter(interface), _accepts(interface), "1")
    words = ["ip", "netns", "exec", "others", sys.executable, "-c", ADVERTISE, peer, "2001:db8:bad::"]
    end = time.monotonic() + 4
    while time.monotonic() < end:
        subprocess.run(words, check=False)
        if "2001:db8:bad:" in netfilter.run("ip", "-6", "addr", "show", "dev", interface):
            return True
        time.sleep(0.5)
    return False


def _accepts(interface: str) -> str:
    found = host_sysctl.live(tunnel_advertisements.parameter(interface))
    assert found is not None
    return found


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("rules", [["-p icmp -j ACCEPT"], ["-j ACCEPT"]])
def test_the_rules_let_none_in_through_the_tunnel(converge: Converge, rules: list[str]) -> None:
    """Even if the setting were another."""
    tunnel = {"name": "he-ipv6", "endpoint": "192.0.2.41"}
    done = converge({"filter": {"INPUT": {"policy": "DROP", "rules": rules}}}, tunnel=tunnel)
    assert done["result"] is True, done["comment"]
    assert not advertised("he-ipv6", "far6")
    assert advertised("eth0", "far0"), "elsewhere they are as ever"


@pytest.mark.usefixtures("network")
def test_without_the_rules_they_come_in() -> None:
    """Else the tests above would show nothing."""
    assert advertised("he-ipv6", "far6")


# --------------------------------------------------------------------------------------------------------------
# The setting

LINK = "he.7"  # a dot in a name stands for itself


@pytest.fixture(name="link")
def _link() -> Any:
    netfilter.run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "peer0")
    netfilter.run("ip", "link", "set", LINK, "up")
    yield
    netfilter.run("ip", "link", "del", LINK)


def plan() -> dict[str, Any]:
    """The plan for an interface of which nothing else has to change."""
    plugin: Any = tunnel_ifupdown
    live = tunnel_host.live(LINK)
    seen = tunnel_host.Sight(LINK, tunnel_stack.Configuration("ifupdown", plugin, {}, None, []), [], [], live)
    return tunnel_change._plan(seen, {}, live, [])


@pytest.mark.usefixtures("link")
def test_a_live_interface_is_repaired_and_put_back() -> None:
    name = "net.ipv6.conf.he/7.accept_ra"
    made = plan()
    assert made["changes"] == {"settings": {name: {"old": "1", "new": "0"}}}
    assert [image.words for image in tunnel_change.before(made)] == [
        ("parameter", "/proc/sys/net/ipv6/conf/he.7/accept_ra", "1")
    ]
    tunnel_change.apply(made)
    assert host_sysctl.live(name) == "0"
    assert plan()["changes"] == {}
    for step in tunnel_change.undo(made):
        step()
    assert host_sysctl.live(name) == "1"
    assert plan()["changes"] == made["changes"]


@pytest.mark.usefixtures("link")
def test_what_is_live_is_not_what_it_should_be() -> None:
    configured = {
        "endpoint": "216.66.84.42", "local": "46.105.5.1", "address": "2001:db8::2/64", "gateway": "2001:db8::1",
    }  # fmt: skip
    plugin: Any = tunnel_ifupdown
    configuration = tunnel_stack.Configuration("ifupdown", plugin, {}, configured, [])
    seen = tunnel_host.Sight(LINK, configuration, [], [], tunnel_host.live(LINK))
    assert tunnel_host.differences(seen)["settings"] == {"net.ipv6.conf.he/7.accept_ra": {"old": "1", "new": "0"}}
    tunnel_advertisements.settle(tunnel_advertisements.differences(LINK))
    assert "settings" not in tunnel_host.differences(seen)


def test_an_interface_that_is_not_there_listens_to_nothing() -> None:
    assert tunnel_advertisements.differences("none0") == {}


@pytest.mark.usefixtures("link")
def test_where_it_cannot_be_set_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(host_sysctl, "refuse", refuse)
    made = plan()
    assert made["changes"] == {}
    assert made["warnings"] == [
        "router advertisements through he.7 stay accepted, net.ipv6.conf.he/7.accept_ra cannot be set: "
        "/proc/sys/net/ipv6/conf/he.7/accept_ra: Read-only file system"
    ]


@pytest.mark.parametrize("addresses", [[], ["2001:db8:1::77/64"]])
def test_ifup_makes_an_interface_that_does_not_listen(addresses: list[str], tmp_path: Path, shadows: Path) -> None:
    """With a veth for the tunnel, which this kernel may not have."""
    tunnel = {
        "name": "he-ipv6", "endpoint": "192.0.2.41", "local": "192.0.2.1", "address": "2001:db8::2/64",
        "addresses": addresses, "source": "2001:db8::2", "routing": "none", "ttl": 255, "mtu": 1480, "routes": [],
    }  # fmt: skip
    (text,) = tunnel_ifupdown.files(tunnel).values()
    (tmp_path / "interfaces").write_text(text)
    real = netfilter.run("sh", "-c", "command -v ip").strip()
    (shadows / "ip").write_text(
        f'#!/bin/sh\n[ "$1 $2" != "tunnel add" ] || exec {real} link add "$3" type veth peer name peer0\n'
        f'exec {real} "$@"\n'
    )
    (shadows / "modprobe").write_text("#!/bin/sh\n")
    for name in ("ip", "modprobe"):
        (shadows / name).chmod(0o755)
    netfilter.run("ifup", "--force", "-i", str(tmp_path / "interfaces"), "he-ipv6")
    try:
        assert _accepts("he-ipv6") == "0"
    finally:
        netfilter.run("ip", "link", "del", "he-ipv6")
