"""The messages for a wrong pillar: the key, what was found, what is expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = yaml.safe_load((REPOSITORY / "pillar.example").read_text())["ipv6"]


def tunnel(**change: Any) -> dict[str, Any]:
    """The example's pillar with another tunnel."""
    return {**EXAMPLE, "tunnel": {key: value for key, value in {**EXAMPLE["tunnel"], **change}.items() if value != ...}}


BROKEN: dict[str, tuple[Any, str]] = {
    "family": (tunnel(endpoint="2001:db8::1"), "ipv6:tunnel:endpoint: '2001:db8::1' is not an IPv4 address"),
    "no-prefix": (
        tunnel(address="2001:470:1f12:f87::2"),
        "ipv6:tunnel:address: '2001:470:1f12:f87::2' has no prefix length",
    ),
    "gateway": (tunnel(gateway="2001:470:1f13:f87::1"), "ipv6:tunnel:gateway: 2001:470:1f13:f87::1 is outside of"),
    "long-name": (tunnel(name="a-name-of-sixteen"), "ipv6:tunnel:name: 'a-name-of-sixteen' has 17 characters"),
    "typo": (tunnel(endpiont="216.66.84.42"), "ipv6:tunnel:endpiont: unknown key; did you mean endpoint?"),
    "missing": (tunnel(endpoint=...), "ipv6:tunnel:endpoint: missing"),
    "ttl": (tunnel(ttl=300), "ipv6:tunnel:ttl: 300 is not a whole number from 1 to 255"),
    "mtu": (tunnel(mtu="1480"), "ipv6:tunnel:mtu: '1480' is not a whole number"),
    "addresses": (tunnel(addresses="2001:470:1f13:f87::77/64"), "ipv6:tunnel:addresses: expected a list"),
    "source": (tunnel(source="2001:db8::1"), "ipv6:tunnel:source: 2001:db8::1 is not one of the tunnel's addresses"),
    "stack": (tunnel(stack="wicked"), "ipv6:tunnel:stack: 'wicked' is not a network stack that is supported"),
    "adopt": (tunnel(adopt="yes"), "ipv6:tunnel:adopt: 'yes' is not true or false"),
    "no-tunnel": ({"tunnel": 5}, "ipv6:tunnel: expected a mapping"),
    "null-tunnel": ({"tunnel": None}, "ipv6:tunnel: expected a mapping"),
    "part": ({**EXAMPLE, "tunel": {}}, "ipv6:tunel: unknown key"),
    "no-mapping": (["tunnel"], "ipv6: expected a mapping with the parts tunnel, tunnels, native, firewall, sysctl"),
    "sysctl-type": ({**EXAMPLE, "sysctl": ["x"]}, "ipv6:sysctl: expected a mapping"),
    "sysctl-bool": (
        {**EXAMPLE, "sysctl": {"net.ipv6.bindv6only": True}},
        "ipv6:sysctl:net.ipv6.bindv6only: True is not 0 or 1",
    ),
    "sysctl-key": ({**EXAMPLE, "sysctl": {"bind v6": 1}}, "ipv6:sysctl:bind v6: not the name of a kernel parameter"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_wrong_key_is_named(modules: Any, case: str) -> None:
    pillar, said = BROKEN[case]
    assert [each for each in modules.ipv6.errors(pillar) if said in each]


def test_every_error_is_reported_at_once(modules: Any) -> None:
    found = "\n".join(
        modules.ipv6.errors({"tunnel": {**EXAMPLE["tunnel"], "ttl": 0, "endpoint": "x"}, "sysctl": 1, "zzz": 1})
    )
    for said in ("ipv6:zzz:", "ipv6:tunnel:ttl:", "ipv6:tunnel:endpoint:", "ipv6:sysctl:"):
        assert said in found


def test_another_os_is_refused_part_by_part(modules: Any, loaders: Any) -> None:
    """This host is a Debian 12."""
    loaders.modules.pack["__pillar__"]["ipv6"] = {"tunnel": EXAMPLE["tunnel"], "sysctl": EXAMPLE["sysctl"]}
    assert modules.ipv6.valid("x", supported={"Debian": ["11", "13"]})["comment"] == "it is valid"
    refused = modules.ipv6.valid("x", supported={"RedHat": ["8", "9"]})["comment"].splitlines()
    assert [each.partition(" ")[0] for each in refused] == ["ipv6:tunnel", "ipv6:sysctl"]


def test_valid_refuses_unknown_arguments(states: Any) -> None:
    assert "unknown argument: errors" in states.ipv6.valid("x", errors=[]).comment
