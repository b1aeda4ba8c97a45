"""The pillar as a whole: unsupported hosts, and contradictions between its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_pillar as pillar
import _dualstack_plugins as plugins
import aaaa_command
import pytest
import tunnel_ifupdown
import yaml

SALT = Path(__file__).resolve().parents[2] / "salt" / "ipv6"
SUPPORTED: dict[str, list[str]] = yaml.safe_load((SALT / "supported.yaml").read_text())
TUNNEL = {
    "endpoint": "216.66.84.42",
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
    "addresses": ["2001:470:1f13:f87::77/64"],
}


DNS = {"provider": "command", "names": ["www.example.org"], "command": {"publish": "/usr/local/sbin/publish"}}
KNOWN = pillar.Known(plugins.stacks({"tunnel_ifupdown.about": tunnel_ifupdown.about}), {}, {"command": aaaa_command})


def errors(ipv6: Any) -> list[str]:
    """What is wrong with a pillar."""
    return pillar.errors(ipv6, KNOWN)


@pytest.mark.parametrize(
    ("system", "release"),
    [
        *(("Debian", each) for each in ("11", "12", "12.9", "13", "13.4")),
        *(("Ubuntu", each) for each in ("22.04", "24.04")),
    ],
)
def test_supported_hosts(system: str, release: str) -> None:
    assert pillar.unsupported({"tunnel": {}}, SUPPORTED, system, release) == []
    assert pillar.untried(SUPPORTED, system, release) == []


@pytest.mark.parametrize(
    ("system", "release", "host"),
    [
        ("Debian", "14", "Debian 14"),
        ("Debian", "testing", "Debian without the number of a release (it says 'testing')"),
        ("Debian", "", "Debian without the number of a release (it says '')"),
        ("Ubuntu", "24.10", "Ubuntu 24.10"),
        ("Ubuntu", "26.04", "Ubuntu 26.04"),
        ("Ubuntu", "28.04", "Ubuntu 28.04"),
    ],
)
def test_later_hosts_are_warned_of(system: str, release: str, host: str) -> None:
    assert pillar.unsupported({"tunnel": {}}, SUPPORTED, system, release) == []
    (said,) = pillar.untried(SUPPORTED, system, release)
    assert said.startswith(f"warning: {host} is not among the releases that are supported ({system} ")


@pytest.mark.parametrize(
    ("system", "release", "host"),
    [
        ("Debian", "10", "Debian 10"),
        ("Debian", "9.13", "Debian 9.13"),
        ("Ubuntu", "20.04", "Ubuntu 20.04"),
        ("Raspbian", "12", "Raspbian 12"),
        ("Rocky", "9.4", "Rocky 9.4"),
        ("Arch", "rolling", "Arch without the number of a release (it says 'rolling')"),
    ],
)
def test_other_hosts_are_refused_part_by_part(system: str, release: str, host: str) -> None:
    given: dict[str, Any] = {"firewall": {}, "dns": {}, "lookup": {}, "sysctl_except": []}
    expected = "expected Debian 11 to 13 or Ubuntu 22.04 to 24.04"
    assert pillar.unsupported(given, SUPPORTED, system, release) == [
        f"ipv6:firewall is not supported on {host}; {expected}",
        f"ipv6:dns is not supported on {host}; {expected}",
    ]


def test_a_pillar_that_asks_for_nothing_is_fine_everywhere() -> None:
    assert pillar.unsupported({}, SUPPORTED, "Rocky", "9.4") == []
    assert pillar.unsupported(None, SUPPORTED, "Rocky", "9.4") == []


@pytest.mark.parametrize("address", ["2001:470:1f13:f87::77", "2001:470:1F12:F87:0::2"])
def test_an_address_of_the_tunnel_can_be_published(address: str) -> None:
    assert errors({"tunnel": TUNNEL, "dns": {**DNS, "address": address}}) == []
    assert errors({"tunnel": TUNNEL, "dns": DNS}) == []
    assert errors({"dns": {**DNS, "address": address}}) == []


def test_another_address_cannot() -> None:
    assert errors({"tunnel": TUNNEL, "dns": {**DNS, "address": "2001:db8::1"}}) == [
        "ipv6:dns:address: 2001:db8::1 is not one of the tunnel's addresses "
        "(2001:470:1f12:f87::2, 2001:470:1f13:f87::77)"
    ]
    missing = "ipv6:dns:address: missing; there is no tunnel whose address could be published"
    assert errors({"dns": DNS}) == [missing]
    assert errors({"dns": DNS, "tunel": 1})[1:] == [missing]


def test_the_last_of_two_errors_does_not_hide_the_first() -> None:
    found = errors({"tunnel": {**TUNNEL, "ttl": 0, "mtu": None}, "dns": {**DNS, "address": "2001:db8::1"}, "sysctl": 5})
    assert [each.split(": ")[0] for each in found] == ["ipv6:tunnel:ttl", "ipv6:tunnel:mtu", "ipv6:sysctl"]


def test_no_value_of_a_secret_is_shown() -> None:
    secret: Any = {"a": "s3cret\x7f"}
    for dns in ({"he": {"keys": secret}}, {"he": [secret]}, "s3cret", {"he": {None: "s3cret"}}):
        assert "s3cret" not in str(errors({"dns": dns}))
