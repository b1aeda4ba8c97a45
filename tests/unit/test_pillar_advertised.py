"""Kernel parameters by which a host would lose the default route that a router has announced."""

from __future__ import annotations

from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_host_ip as host_ip
import _dualstack_host_sysctl as host_sysctl
import _dualstack_pillar as pillar
import _dualstack_pillar_advertised as pillar_advertised
import pytest
from salt.exceptions import CommandExecutionError

ALL, OWN = "net.ipv6.conf.all.forwarding", "net.ipv6.conf.eth0.forwarding"
ACCEPT = "net.ipv6.conf.eth0.accept_ra"
REASON = "a host that forwards ignores router advertisements, and its default route from them vanishes"
RA = {"dst": "default", "gateway": "fe80::1", "dev": "eth0", "protocol": "ra", "metric": 1024}


@pytest.mark.parametrize(
    ("sysctl", "by"),
    [
        ({OWN: 1, ACCEPT: 1}, OWN),
        ({ALL: 1, ACCEPT: 1}, ALL),
        ({ALL: "1", ACCEPT: "1"}, ALL),
        ({ALL: 1, "net.ipv6.conf.eth0/100.accept_ra": 1}, ALL),
        ({ALL: 1, OWN: 0, ACCEPT: 1}, ""),
        ({ALL: 0, ACCEPT: 1}, ""),
        ({ALL: 1, ACCEPT: 2}, ""),
        ({ALL: 1, ACCEPT: 0}, ""),
        ({ACCEPT: 1}, ""),
        ({"net.ipv6.conf.eth1.forwarding": 1, ACCEPT: 1}, ""),
        ({"net.ipv4.ip_forward": 1, ACCEPT: 1}, ""),
    ],
)
def test_both_at_once_are_refused_wherever(sysctl: dict[str, Any], by: str) -> None:
    said = pillar.errors({"sysctl": sysctl}, pillar.Known({}, {}, {}))
    (key,) = [each for each in sysctl if each.endswith("accept_ra")]
    advice = "expected 2, or 0 with a route of its own"
    assert said == ([f"ipv6:sysctl:{key}: 1, and {by} is on: {REASON}; {advice}"] if by else [])


def lost(
    monkeypatch: pytest.MonkeyPatch,
    sysctl: dict[str, Any],
    routes: Any,
    live: dict[str, str],
    native: str | None = None,
) -> list[str]:
    def look(words: list[str]) -> Any:
        if isinstance(routes, Exception):
            raise routes
        return routes

    monkeypatch.setattr(host_ip, "look", look)
    monkeypatch.setattr(host_sysctl, "live", lambda name: live.get(name))
    return pillar_advertised.lost(sysctl, native)


LIVE = {ACCEPT: "1", OWN: "0"}


@pytest.mark.parametrize("key", [ALL, OWN])
def test_a_route_that_would_vanish(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    said = (
        f"{key}: the IPv6 default route, dev eth0, comes from router advertisements, and {REASON}; "
        f"expected {ACCEPT}: 2 beside it"
    )
    assert lost(monkeypatch, {key: 1}, [RA], LIVE) == [said]
    assert lost(monkeypatch, {key: 1}, [RA, RA], LIVE) == [said], "once for each interface"


@pytest.mark.parametrize(
    ("sysctl", "routes", "live"),
    [
        ({OWN: 1, ACCEPT: 2}, [RA], LIVE),
        ({OWN: 0}, [RA], LIVE),
        ({"net.ipv6.conf.eth1.forwarding": 1}, [RA], LIVE),
        ({ALL: 1, OWN: 0}, [RA], LIVE),
        ({OWN: 1}, [{**RA, "protocol": "static"}], LIVE),
        ({OWN: 1}, [], LIVE),
        ({OWN: 1}, [RA], {**LIVE, ACCEPT: "2"}),
        ({OWN: 1}, [RA], {**LIVE, ACCEPT: "0"}),  # systemd-networkd acts on them by itself
        ({OWN: 1}, [RA], {**LIVE, OWN: "1"}),  # it has survived that
        ({OWN: 1}, host_commands.NotInstalled("no ip", "tunnel"), LIVE),
        ({OWN: 1}, host_ip.Nothing("ip", 2, "RTNETLINK answers: Address family not supported"), LIVE),
    ],
)
def test_a_route_that_stays(
    monkeypatch: pytest.MonkeyPatch, sysctl: dict[str, Any], routes: Any, live: dict[str, str]
) -> None:
    assert lost(monkeypatch, sysctl, routes, live) == []


def test_routes_that_cannot_be_read_are_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = CommandExecutionError("'ip -j -6 route show default' printed no JSON that can be read, but: Usage")
    (said,) = lost(monkeypatch, {ACCEPT: 2, OWN: 1}, broken, LIVE)
    assert said.startswith(f"{OWN}: whether this host has a default route from router advertisements")
    assert said.endswith(str(broken))
    assert lost(monkeypatch, {ACCEPT: 1, OWN: 0}, broken, LIVE) == [], "nothing is asked where none forwards"


def test_a_route_of_its_own_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lost(monkeypatch, {OWN: 1}, [RA], LIVE, native="eth0") == []
    assert lost(monkeypatch, {ALL: 1}, [RA], LIVE, native="eth1") != []
