"""What of the proof needs no tunnel: the SLS file for whatever pillar, and the firewall's rung."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..firewall import netfilter

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = yaml.safe_load((REPOSITORY / "pillar.example").read_text())["ipv6"]
TABLES: dict[str, Any] = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp --dport 22 -j ACCEPT"]}}}
FIREWALL: dict[str, Any] = {"tables": TABLES, "expect": [{"to": "tcp/22", "verdict": "accept"}]}
TUNNEL = {"name": "he-ipv6", "endpoint": "216.66.84.42"}


def rungs(modules: Any, pillar: Any) -> list[str]:
    """The IDs of the states of verify.sls itself, in order."""
    found = modules.state.show_sls("ipv6.verify", pillar={"ipv6": pillar})
    assert isinstance(found, dict), found
    own = {key: each for key, each in found.items() if each["__sls__"] == "ipv6.verify"}
    order = {
        key: next(part["order"] for part in each[next(iter(each))] if "order" in part) for key, each in own.items()
    }
    return sorted(own, key=lambda key: order[key])


CHAIN = [
    "The tunnel is as it is configured",
    "Packets leave by the tunnel",
    "IPv4 reaches the broker",
    "The broker answers through the tunnel",
    "The published address is on this host",
    "What comes from the published address leaves for the IPv6 internet",
    "Somebody beyond answers to the published address",
]
BOOT = "The next boot comes up the same"
LEADING = "The published names lead to this host over IPv4"
PROOF = "IPv6 is proven"


def test_the_rungs_of_a_pillar(modules: Any) -> None:
    tunnel = EXAMPLE["tunnel"]
    assert rungs(modules, {}) == [PROOF]
    assert rungs(modules, {"tunnel": tunnel}) == [*CHAIN, BOOT, PROOF]
    assert rungs(modules, {"dns": EXAMPLE["dns"]}) == [*CHAIN[4:], LEADING, PROOF]
    assert rungs(modules, {"tunnel": tunnel, "verify": {"prober": "x"}})[-2] == "This host is reachable from outside"
    without = {"tunnel": {key: value for key, value in tunnel.items() if key != "gateway"}}
    assert CHAIN[3] not in rungs(modules, without)
    whole = rungs(modules, {"tunnel": tunnel, "firewall": {}, "services": {"dovecot": {"ports": [143]}, "x": None}})
    assert whole == [
        *CHAIN,
        "The firewall does what is expected of it",
        "dovecot answers on this host's addresses of both families",
        "x answers on this host's addresses of both families",
        BOOT,
        PROOF,
    ]


@pytest.mark.parametrize("odd", [None, 5, "x: {", {"x: {": [1]}], ids=repr)
def test_whatever_the_pillar_is_there_is_a_state_to_require(modules: Any, odd: Any) -> None:
    for pillar in (
        odd,
        {"verify": odd, "dns": odd},
        {"services": {"dovecot": {"ports": odd}}, "firewall": {"tables": odd}},
        {"tunnel": {"name": "x", "gateway": odd}, "verify": {"beyond": odd, "prober": odd}, "dns": {"address": odd}},
    ):
        assert rungs(modules, pillar)[-1] == "IPv6 is proven"


# --------------------------------------------------------------------------------------------------------------
# The firewall


@pytest.fixture
def _firewall(states: Any) -> Iterator[None]:
    """The firewall is up."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"
    done = states.dualstack_iptables.ruleset("x", **FIREWALL, tunnel=TUNNEL)
    assert done.result is True, done.comment
    yield
    netfilter.reset()
    for folder in ("/etc/iptables", "/var/lib/dualstack_iptables"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.usefixtures("_firewall")
def test_the_live_rules_do_what_is_expected(states: Any) -> None:
    before = [netfilter.save(family, "nft", counters=True) for family in netfilter.COMMANDS]
    done = states.dualstack_iptables.proven("x", **FIREWALL, tunnel=TUNNEL)
    assert (done.result, done.changes) == (True, {}), done.comment
    assert done.comment.splitlines() == [
        "The live rules are the declared ones.",
        "expect[0]: tcp/22 from anywhere (193.0.6.139 and 2 more) to 193.0.6.2: expected accept, found accept",
        "expect[0]: tcp/22 from anywhere (2001:67c:2e8:22::1 and 2 more) to 2001:67c:2e8:22::2: "
        "expected accept, found accept",
    ]
    assert [netfilter.save(family, "nft", counters=True) for family in netfilter.COMMANDS] == before
    done = states.dualstack_iptables.proven("x", **FIREWALL, tunnel=TUNNEL, test=True)
    assert (done.result, done.comment) == (None, "the live rules were not checked")


@pytest.mark.usefixtures("_firewall")
def test_rules_that_are_others_are_no_proof(states: Any) -> None:
    for family, command in netfilter.COMMANDS.items():
        netfilter.run(command, "-I", "INPUT", "-p", "tcp", "--dport", "22", "-j", "DROP")
        done = states.dualstack_iptables.proven("x", **FIREWALL, tunnel=TUNNEL)
        assert (done.result, done.changes) == (False, {})
        assert done.comment == f"the live or the saved rules are not the declared ones: {family}"
        netfilter.run(command, "-D", "INPUT", "1")
    done = states.dualstack_iptables.proven("x", **FIREWALL)
    assert "ipv4" in done.comment  # protocol 41 is let in, of which nobody has said anything
    refused = states.dualstack_iptables.proven("x", **FIREWALL, expct=[])
    assert (refused.result, refused.comment) == (False, "unknown argument: expct")


@pytest.mark.usefixtures("_firewall")
def test_expectations_that_do_not_hold_are_reported(states: Any) -> None:
    wrong = {**FIREWALL, "expect": [{"to": "tcp/23", "verdict": "accept"}]}
    done = states.dualstack_iptables.proven("x", **wrong, tunnel=TUNNEL)
    assert done.result is False
    assert done.comment.splitlines() == [
        "The rules do not do what is expected of them:",
        "expect[0]: tcp/23 from anywhere (193.0.6.139 and 2 more) to 193.0.6.2: expected accept, found drop",
        "expect[0]: tcp/23 from anywhere (2001:67c:2e8:22::1 and 2 more) to 2001:67c:2e8:22::2: "
        "expected accept, found drop",
    ]
