"""Where packets go, by what ip(8) says."""

from __future__ import annotations

import json
from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_host_routes as host_routes
import pytest
from salt.exceptions import CommandExecutionError


class Ip:
    """What ip(8) prints, by its arguments; of all others it says that there is nothing."""

    def __init__(self) -> None:
        self.says: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, words: list[str]) -> host_commands.Said:
        assert words[:2] == ["ip", "-j"]
        asked = " ".join(words[2:])
        if asked not in self.says:
            return host_commands.Said(2, "", "RTNETLINK answers: Network is unreachable\n")
        return host_commands.Said(0, json.dumps(self.says[asked]), "")


@pytest.fixture
def ip(monkeypatch: pytest.MonkeyPatch) -> Ip:
    fake = Ip()
    monkeypatch.setattr(host_commands, "which", lambda name: f"/sbin/{name}")
    monkeypatch.setattr(host_commands, "output", fake)
    return fake


# --------------------------------------------------------------------------------------------------------------
# Routes


def test_the_route_to_a_host(ip: Ip) -> None:
    ip.says["route get 198.51.100.1"] = [{"dst": "198.51.100.1", "dev": "eth0", "prefsrc": "192.0.2.1", "flags": []}]
    assert host_routes.to("198.51.100.1") == host_routes.Route("eth0", "192.0.2.1", False)
    assert host_routes.to("2001:db8::1") == host_routes.Route(None, None, False)
    ip.says["route get 192.0.2.1"] = [{"type": "local", "dst": "192.0.2.1", "dev": "lo", "prefsrc": "192.0.2.1"}]
    assert host_routes.to("192.0.2.1").local is True
    ip.says["route get 192.0.2.99"] = []
    assert host_routes.to("192.0.2.99") == host_routes.Route()


def test_the_route_by_an_interface(ip: Ip) -> None:
    ip.says["route get 198.51.100.1 oif eth1"] = [{"dev": "eth1", "prefsrc": "192.0.2.2"}]
    assert host_routes.to("198.51.100.1", "eth1") == host_routes.Route("eth1", "192.0.2.2", False)
    # To ask for the loopback interface would be no route at all.
    ip.says["route get 127.0.0.1"] = [{"dev": "lo", "prefsrc": "127.0.0.1", "type": "local"}]
    assert host_routes.to("127.0.0.1", "lo").interface == "lo"


def test_a_neighbour_is_reached_without_a_router(ip: Ip) -> None:
    def matched(host: str, **route: Any) -> bool:
        ip.says[f"-6 route get fibmatch {host}"] = [{"dev": "eth0", "flags": [], **route}]
        return host_routes.on_link(host)

    assert matched("2001:db8:1::1", dst="2001:db8:1::/64")
    assert matched("2001:db8:1::2", dst="2001:db8:1::2")
    assert not matched("2001:db8:1::3", dst="2001:db8:1::3", gateway="fe80::1")
    assert not matched("2001:db8:c::2", dst="default", gateway="fe80::1")
    assert not matched("2001:db8:c::2", dst="default")  # a tunnel
    assert not matched("2001:db8:c::2", dst="2000::/3")  # a tunnel, as by hand
    ip.says["-6 route get fibmatch 2001:db8:c::2"] = [{"dst": "default", "nexthops": [{"dev": "eth0"}], "flags": []}]
    assert not host_routes.on_link("2001:db8:c::2")
    assert not host_routes.on_link("2001:db8:c::9")  # no route at all


def link(*held: str) -> dict[str, Any]:
    """An interface with these addresses, each with its scope."""
    addresses = [
        {"family": "inet6" if ":" in local else "inet", "local": local, "prefixlen": 24, "scope": scope}
        for local, scope in map(str.split, held)
    ]
    return {"ifname": "eth0", "mtu": 1500, "flags": ["UP"], "addr_info": [{}, *addresses]}


def test_the_address_of_an_interface(ip: Ip) -> None:
    """A public one, if it has one."""
    ip.says["addr show dev eth0"] = [
        {},  # ip(8) prints one for every link that it does not show
        link("169.254.1.1 link", "192.0.2.1 global", "192.0.2.2 global", "fe80::1 link", "2001:db8::1 global"),
    ]
    assert host_routes.address("eth0", "ipv4") == "192.0.2.1"
    assert host_routes.address("eth0", "ipv6") == "2001:db8::1"
    ip.says["addr show dev eth1"] = [link("fe80::1 link")]
    assert host_routes.address("eth1", "ipv6") == "fe80::1"
    assert host_routes.address("eth1", "ipv4") is None
    assert host_routes.address("eth2", "ipv4") is None


def test_what_does_not_say_is_not_taken_for_no_route(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    ip.says["route get 192.0.2.99"] = [{"gateway": "192.0.2.1"}]
    with pytest.raises(CommandExecutionError, match="printed a route without an interface$"):
        host_routes.to("192.0.2.99")
    monkeypatch.setattr(host_commands, "output", lambda words: host_commands.Said(1, "", "Segmentation fault"))
    for ask in (host_routes.to, lambda host: host_routes.address(host, "ipv4")):
        with pytest.raises(CommandExecutionError, match="ended with 1 and said: Segmentation fault$"):
            ask("192.0.2.99")
