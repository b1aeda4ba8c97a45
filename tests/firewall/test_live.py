"""What the live rules let in, of a host as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from salt.exceptions import SaltInvocationError

from . import netfilter

OTHER = {"nft": "legacy", "legacy": "nft"}
ONLY_SSH = "*filter\n:INPUT DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n"


@pytest.fixture(autouse=True)
def _interface() -> Iterator[None]:
    """The host has an address of each family on an interface, and its default routes."""
    netfilter.run(*"ip link add eth0 type veth peer name beyond".split())
    for line in (
        "link set eth0 up",
        "link set beyond up",
        "addr add 192.0.2.1/24 dev eth0",
        "route add default via 192.0.2.2",
        "-6 addr add 2001:db8::1/64 dev eth0 nodad",
        "-6 route add default via fe80::1 dev eth0",
    ):
        netfilter.run("ip", *line.split())
    yield
    netfilter.run(*"ip link del eth0".split())


def test_a_host_without_rules_lets_everybody_in(modules: Any, backend: str) -> None:
    done = modules.dualstack_iptables.allowed(["tcp/22", "udp/53"], backend=backend)
    both = {"ipv4": True, "ipv6": True}
    assert done == {"allowed": {"tcp/22": both, "udp/53": both}, "warnings": []}


def test_each_family_has_its_own_rules(modules: Any, backend: str) -> None:
    netfilter.load("ipv4", backend, ONLY_SSH)
    netfilter.load("ipv6", backend, "*filter\n-A INPUT -p tcp --dport 25 -j REJECT\nCOMMIT\n")
    before = [netfilter.save(family, backend) for family in netfilter.COMMANDS]
    done = modules.dualstack_iptables.allowed(["tcp/22", "tcp/25", "tcp/3306"], backend=backend)
    assert done["allowed"] == {
        "tcp/22": {"ipv4": True, "ipv6": True},
        "tcp/25": {"ipv4": False, "ipv6": False},
        "tcp/3306": {"ipv4": False, "ipv6": True},
    }
    assert [netfilter.save(family, backend) for family in netfilter.COMMANDS] == before


def test_a_target_may_be_one_address(modules: Any, backend: str) -> None:
    text = "*filter\n:INPUT DROP\n-A INPUT -d 2001:db8::1 -p tcp -j ACCEPT\nCOMMIT\n"
    netfilter.load("ipv6", backend, text)
    targets = ["tcp/[2001:db8::1]:443", "tcp/[2001:db8::2]:443"]
    done = modules.dualstack_iptables.allowed(targets, backend=backend)
    assert done["allowed"] == {targets[0]: {"ipv6": True}, targets[1]: {"ipv6": False}}


def test_ipv6_without_a_route_comes_by_the_tunnel(modules: Any, backend: str) -> None:
    netfilter.run(*"ip -6 route del default".split())
    netfilter.load("ipv6", backend, "*filter\n:INPUT DROP\n-A INPUT -i he-ipv6 -j ACCEPT\nCOMMIT\n")
    tunnel = {"name": "he-ipv6", "address": "2001:470:1f12:f87::2/64"}
    for given, expected in ((tunnel, True), (None, False)):
        done = modules.dualstack_iptables.allowed(["tcp/22"], given, backend=backend)
        assert done["allowed"]["tcp/22"] == {"ipv4": True, "ipv6": expected}


def test_what_the_other_backend_filters_counts(modules: Any, backend: str) -> None:
    """A packet has to pass both."""
    netfilter.load("ipv4", backend, ONLY_SSH)
    netfilter.load("ipv4", OTHER[backend], ONLY_SSH)
    done = modules.dualstack_iptables.allowed(["tcp/22", "tcp/25"], backend=backend)
    assert done["allowed"] == {"tcp/22": {"ipv4": True, "ipv6": True}, "tcp/25": {"ipv4": False, "ipv6": True}}
    netfilter.load("ipv4", OTHER[backend], "*filter\n-F INPUT\nCOMMIT\n")
    done = modules.dualstack_iptables.allowed(["tcp/22", "tcp/25"], backend=backend)
    assert done["allowed"] == {"tcp/22": {"ipv4": False, "ipv6": True}, "tcp/25": {"ipv4": False, "ipv6": True}}
    (warning,) = done["warnings"]
    assert warning.startswith(f"iptables-{OTHER[backend]} also filters here")


def test_a_target_that_is_none(modules: Any, backend: str) -> None:
    with pytest.raises(SaltInvocationError, match="'tcp/ssh' is not tcp/PORT"):
        modules.dualstack_iptables.allowed(["tcp/ssh"], backend=backend)
