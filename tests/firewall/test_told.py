"""What a run says: of an empty host, and of the rules that IPv6 needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _dualstack_firewall_register as firewall_register
import pytest

from . import netfilter

Converge = Callable[..., dict[str, Any]]
INPUT = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp --dport 22 -j ACCEPT"]}}}


def test_what_ipv6_needs_is_one_line(converge: Converge, modules: Any, backend: str) -> None:
    """Under test=True and after it; the rest on request."""
    predicted = converge(INPUT, test=True)
    assert predicted["changes"]["ipv6"] == {
        "filter INPUT": {
            "policy": {"old": "ACCEPT", "new": "DROP"},
            "added": [
                "21 rules of RFC 4890 for ICMPv6 (icmpv6_essential)",
                "-p tcp -m tcp --dport 22 -j ACCEPT",
            ],
        }
    }
    whole = modules.dualstack_iptables.diff({"tables": INPUT, "backend": backend})
    assert len(whole["ipv6"]["filter INPUT"]["added"]) == 22
    assert whole["ipv4"] == predicted["changes"]["ipv4"]
    done = converge(INPUT)
    assert (done["result"], done["changes"]) == (True, predicted["changes"]), done["comment"]
    assert len(netfilter.rules("ipv6", backend, "INPUT")) == 22


def test_a_single_one_of_them_is_shown(converge: Converge, backend: str) -> None:
    assert converge(INPUT)["result"] is True
    netfilter.run(f"ip6tables-{backend}", "-D", "INPUT", "3")
    done = converge(INPUT)
    assert done["changes"] == {"ipv6": {"filter INPUT": {"added": ["-p ipv6-icmp -m icmp6 --icmpv6-type 3 -j ACCEPT"]}}}


def test_with_a_tunnel_there_is_one_more(converge: Converge) -> None:
    predicted = converge(INPUT, test=True, tunnel={"name": "he-ipv6", "endpoint": "192.0.2.41"})
    assert predicted["changes"]["ipv6"]["filter INPUT"]["added"][0].startswith("22 rules of RFC 4890")


@pytest.mark.parametrize("chains", [INPUT, {"filter": {"INPUT": ["-p tcp -j ACCEPT"]}}, {"mangle": {"FORWARD": []}}])
def test_a_first_run_tells_nothing_of_chains_that_nobody_named(
    converge: Converge, backend: str, chains: dict[str, Any]
) -> None:
    done = converge(chains)
    assert done["result"] is True, done["comment"]
    named = {f"{table} {chain}" for table, each in chains.items() for chain in each}
    for family in netfilter.COMMANDS:
        assert set(done["changes"].get(family, {})) <= named
        assert not any(change.get("policy", {}).get("old") == "" for change in done["changes"].get(family, {}).values())


def test_a_first_run_that_fails_is_put_back_and_says_so(converge: Converge, backend: str, shadows: Path) -> None:
    """The second family cannot be changed: the first one has been by then."""
    name, here = f"ip6tables-{backend}-restore", os.readlink("/proc/self/ns/net")
    (shadows / name).write_text(
        f'#!/bin/sh\n[ "$(readlink /proc/self/ns/net)" != "{here}" ] || case "$*" in\n'
        f"*noflush*) echo no >&2; exit 4;; esac\n"
        f'exec /usr/sbin/{name} "$@"\n'
    )
    (shadows / name).chmod(0o755)
    done = converge(INPUT)
    assert (done["result"], done["changes"]) == (False, {})
    assert done["comment"].splitlines()[1:] == ["Everything was put back as it was."]
    assert netfilter.tables(netfilter.save("ipv4", backend)) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ipv4": {"filter": {"INPUT": "-j DROP"}}}'])
def test_a_damaged_register_is_named(converge: Converge, text: str) -> None:
    path = Path(firewall_register.PATH)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for test in (True, False):
        done = converge(INPUT, test=test)
        assert (done["result"], done["changes"]) == (False, {})
        assert done["comment"].startswith(f"{path} is damaged: ")
    assert path.read_text() == text
