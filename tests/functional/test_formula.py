"""The formula: what the pillar asks for, in order; nothing where the pillar is wrong or asks for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ..lab.network import NAME, OWN_FILE, PUBLISHED, SYSCTL_FILE, ip, reaches, world

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = yaml.safe_load((REPOSITORY / "pillar.example").read_text())["ipv6"]
del EXAMPLE["services"]  # they take long to start in the guest: tests/lab/test_mission.py has them, once


def apply(modules: Any, sls: str, pillar: Any, **kwargs: Any) -> dict[str, Any]:
    """Apply an SLS file; the results by state ID."""
    result = modules.state.apply(sls, pillar={"ipv6": pillar}, **kwargs)
    return {each.id: each for each in result}


def test_the_whole_formula(modules: Any) -> None:
    before = world()
    predicted = apply(modules, "ipv6", EXAMPLE, test=True)
    assert world() == before
    assert {each.result for each in predicted.values()} <= {True, None}
    done = apply(modules, "ipv6", EXAMPLE)
    assert {each.result for each in done.values()} == {True}, {key: each.comment for key, each in done.items()}
    assert list(done)[-1] == "The broker answers through the tunnel"
    assert done["The tunnel is up"].changes == predicted["The tunnel is up"].changes
    assert reaches("client6", PUBLISHED)
    assert Path("/proc/sys/net/ipv6/bindv6only").read_text() == "1\n"
    assert "net.ipv6.bindv6only = 1" in SYSCTL_FILE.read_text()
    after = world()
    again = apply(modules, "ipv6", EXAMPLE)
    assert [each.changes for each in again.values()] == [{}] * len(again)
    assert {each.result for each in again.values()} == {True}
    assert world() == after
    undone = apply(modules, "ipv6.absent", EXAMPLE)
    assert {each.result for each in undone.values()} == {True}
    assert not OWN_FILE.exists()
    assert ip("link", "show", "dev", NAME) == []
    assert "bindv6only" not in SYSCTL_FILE.read_text()
    assert list(SYSCTL_FILE.parent.glob("local.conf?*")) == []
    again = apply(modules, "ipv6.absent", EXAMPLE)
    assert [each.changes for each in again.values()] == [{}] * len(again)


def test_live_drift_of_a_kernel_parameter_is_repaired(modules: Any) -> None:
    pillar = {"sysctl": EXAMPLE["sysctl"]}
    apply(modules, "ipv6", pillar)
    Path("/proc/sys/net/ipv6/bindv6only").write_text("0")
    assert apply(modules, "ipv6", pillar, test=True)["net.ipv6.bindv6only is 1"].result is None
    assert apply(modules, "ipv6", pillar)["net.ipv6.bindv6only is 1"].changes
    assert Path("/proc/sys/net/ipv6/bindv6only").read_text() == "1\n"


@pytest.mark.parametrize(
    "pillar", [{}, {"sysctl": {}}, {"sysctl": EXAMPLE["sysctl"]}, {"tunnel": EXAMPLE["tunnel"]}], ids=str
)
def test_what_the_pillar_leaves_out_is_not_managed(modules: Any, pillar: dict[str, Any]) -> None:
    done = apply(modules, "ipv6", pillar)
    assert {each.result for each in done.values()} == {True}
    assert OWN_FILE.exists() is ("tunnel" in pillar)
    assert SYSCTL_FILE.exists() is bool(pillar.get("sysctl"))
    assert {each.result for each in apply(modules, "ipv6.absent", pillar).values()} == {True}


@pytest.mark.parametrize("sls", ["deps", "sysctl", "tunnel", "verify"])
def test_every_part_can_be_applied_alone(modules: Any, sls: str) -> None:
    done = apply(modules, f"ipv6.{sls}", EXAMPLE)
    assert {each.result for each in done.values()} == {True}, {key: each.comment for key, each in done.items()}
    assert OWN_FILE.exists() is (sls in ("tunnel", "verify"))
    assert SYSCTL_FILE.exists() is (sls == "sysctl")


def test_a_failed_tunnel_stops_its_proof_and_nothing_else(modules: Any) -> None:
    done = apply(modules, "ipv6", {**EXAMPLE, "tunnel": {**EXAMPLE["tunnel"], "local": "192.0.2.1"}})
    assert done["The tunnel is up"].result is False
    assert done["The broker answers through the tunnel"].result is False
    assert "requisite" in done["The broker answers through the tunnel"].comment
    assert done["net.ipv6.bindv6only is 1"].result is True


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
    "source": (tunnel(source="2001:db8::1"), "ipv6:tunnel:source: 2001:db8::1 is none of the tunnel's addresses"),
    "stack": (tunnel(stack="wicked"), "ipv6:tunnel:stack: 'wicked' is not a network stack that is supported"),
    "adopt": (tunnel(adopt="yes"), "ipv6:tunnel:adopt: 'yes' is not true or false"),
    "no-tunnel": ({"tunnel": 5}, "ipv6:tunnel: expected a mapping"),
    "null-tunnel": ({"tunnel": None}, "ipv6:tunnel: expected a mapping"),
    "part": ({**EXAMPLE, "tunel": {}}, "ipv6:tunel: unknown key"),
    "no-mapping": (["tunnel"], "ipv6: expected a mapping with the parts tunnel, firewall, sysctl"),
    "sysctl-type": ({**EXAMPLE, "sysctl": ["x"]}, "ipv6:sysctl: expected a mapping"),
    "sysctl-bool": (
        {**EXAMPLE, "sysctl": {"net.ipv6.bindv6only": True}},
        "ipv6:sysctl:net.ipv6.bindv6only: True is not a number",
    ),
    "sysctl-key": ({**EXAMPLE, "sysctl": {"bind v6": 1}}, "ipv6:sysctl:bind v6: not the name of a kernel parameter"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_wrong_pillar_changes_nothing(modules: Any, case: str, test: bool) -> None:
    pillar, said = BROKEN[case]
    before = world()
    done = apply(modules, "ipv6", pillar, test=test)
    assert world() == before
    assert [each.changes for each in done.values()] == [{}] * len(done)
    assert {each.result for each in done.values()} == {False}, {key: each.comment for key, each in done.items()}
    refusal = done["The pillar ipv6 makes sense"]
    assert said in refusal.comment
    assert "Traceback" not in refusal.comment


def test_all_errors_are_told_at_once(modules: Any) -> None:
    pillar = {"tunnel": {**EXAMPLE["tunnel"], "ttl": 0, "endpoint": "x"}, "sysctl": 1, "zzz": 1}
    refusal = apply(modules, "ipv6", pillar)["The pillar ipv6 makes sense"]
    for said in ("ipv6:zzz:", "ipv6:tunnel:ttl:", "ipv6:tunnel:endpoint:", "ipv6:sysctl:"):
        assert said in refusal.comment


def test_another_os_family_is_refused(states: Any) -> None:
    result = states.ipv6.valid("x", os_families=["RedHat"])
    assert result.result is False
    assert "the OS family of this host is Debian; expected RedHat" in result.comment
    assert states.ipv6.valid("x", os_families=["RedHat", "Debian"]).result is True


def test_valid_refuses_unknown_arguments(states: Any) -> None:
    assert "unknown argument: errors" in states.ipv6.valid("x", errors=[]).comment
