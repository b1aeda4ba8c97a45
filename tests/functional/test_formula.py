"""The formula: what the pillar asks for, in order; nothing where the pillar is wrong or asks for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ..lab.network import NAME, OWN_FILE, PUBLISHED, SYSCTL_FILE, ip, reaches, world

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = yaml.safe_load((REPOSITORY / "pillar.example").read_text())["ipv6"]
for part in ("services", "verify", "dns"):  # they take long in the guest: tests/lab/test_mission.py has them, once
    del EXAMPLE[part]


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
    assert list(done)[-1] == "IPv6 is proven"
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
    assert list(SYSCTL_FILE.parent.glob("*local.conf*")) == []
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
    nothing = not any(pillar.values())  # to be proven
    assert {each.result for key, each in done.items() if key != "IPv6 is proven"} == {True}
    assert done["IPv6 is proven"].result is (None if nothing else True)
    assert OWN_FILE.exists() is ("tunnel" in pillar)
    assert SYSCTL_FILE.exists() is bool(pillar.get("sysctl"))
    assert {each.result for each in apply(modules, "ipv6.absent", pillar).values()} == {True}


@pytest.mark.parametrize("sls", ["deps", "sysctl", "tunnel", "verify"])
def test_every_part_can_be_applied_alone(modules: Any, sls: str) -> None:
    done = apply(modules, f"ipv6.{sls}", EXAMPLE)
    assert {each.result for each in done.values()} == {True}, {key: each.comment for key, each in done.items()}
    assert OWN_FILE.exists() is (sls in ("tunnel", "verify"))
    assert SYSCTL_FILE.exists() is (sls in ("sysctl", "verify"))


def test_a_failed_tunnel_stops_its_proof_and_nothing_else(modules: Any) -> None:
    done = apply(modules, "ipv6", {**EXAMPLE, "tunnel": {**EXAMPLE["tunnel"], "local": "192.0.2.1"}})
    assert done["The tunnel is up"].result is False
    assert done["The broker answers through the tunnel"].result is False
    assert "requisite" in done["The broker answers through the tunnel"].comment
    assert done["net.ipv6.bindv6only is 1"].result is True


@pytest.mark.usefixtures("tunnel")
@pytest.mark.parametrize("sls", ["ipv6", "ipv6.absent"])
def test_a_wrong_pillar_leaves_the_tunnel_alone(modules: Any, sls: str, test: bool) -> None:
    before = world()
    done = apply(modules, sls, {**EXAMPLE, "sysctl": {"net.ipv6.bindv6only": True}}, test=test)
    assert world() == before
    assert done.pop("This host can still be managed").changes == {}  # there is nothing that it would have to end
    assert {each.result for each in done.values()} == {False}
    assert "ipv6:sysctl:net.ipv6.bindv6only: True" in done["The pillar ipv6 makes sense"].comment
