"""What is not said stays as it is: no policy opens by itself, and no rule of one's own is hidden by what IPv6 needs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import netfilter
from .test_dual import OWN6, PORTS, _network, reached  # noqa: F401

Converge = Callable[..., dict[str, Any]]
SHUT = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\nCOMMIT\n"
OPEN_SSH: dict[str, Any] = {"rules": ["-p tcp --dport 22 -j ACCEPT"]}


def policies(family: str, backend: str) -> list[str]:
    said = netfilter.run(f"{netfilter.COMMANDS[family]}-{backend}", "-S").splitlines()
    return [line.removeprefix("-P ") for line in said if line.startswith("-P ")]


@pytest.mark.parametrize("chain", [OPEN_SSH, OPEN_SSH["rules"], {"policy": None, **OPEN_SSH}])
def test_a_policy_that_is_not_said_stays(converge: Converge, backend: str, chain: Any) -> None:
    """In the plan, live and at boot; also that of a chain that is not named."""
    for family in netfilter.COMMANDS:
        netfilter.load(family, backend, SHUT)
    predicted = converge({"filter": {"INPUT": chain}}, test=True)
    assert "policy" not in str(predicted["changes"]), predicted
    done = converge({"filter": {"INPUT": chain}})
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    for family, path in (("ipv4", "/etc/iptables/rules.v4"), ("ipv6", "/etc/iptables/rules.v6")):
        assert policies(family, backend) == ["INPUT DROP", "FORWARD DROP", "OUTPUT ACCEPT"]
        text = Path(path).read_text()
        assert ":INPUT DROP" in text and ":FORWARD DROP" in text and ":OUTPUT ACCEPT" in text
    again = converge({"filter": {"INPUT": chain}})
    assert (again["result"], again["changes"]) == (True, {}), again


def test_ipv6_is_not_opened_by_what_is_said_of_ipv4(converge: Converge, backend: str) -> None:
    netfilter.load("ipv6", backend, SHUT)
    tables = {"filter": {"INPUT": {"policy": {"ipv4": "DROP"}, **OPEN_SSH}}}
    done = converge(tables)
    assert done["result"] is True, done["comment"]
    for family in netfilter.COMMANDS:
        assert policies(family, backend)[0] == "INPUT DROP"
    assert converge(tables)["changes"] == {}


def test_ipv6_is_not_left_open_without_a_word(converge: Converge, backend: str) -> None:
    """It is refused, under test=True too, until it is said."""
    before = {family: netfilter.save(family, backend) for family in netfilter.COMMANDS}
    tables = {"filter": {"INPUT": {"policy": {"ipv4": "DROP"}, **OPEN_SSH}}}
    for test in (True, False):
        done = converge(tables, test=test)
        assert (done["result"], done["changes"]) == (False, {})
        assert done["comment"] == (
            "tables:filter:INPUT:policy: IPv4's would become DROP, and IPv6's is not said and stays ACCEPT; expected "
            "DROP, or {ipv4: DROP, ipv6: ACCEPT} where that is meant"
        )
    assert {family: netfilter.save(family, backend) for family in netfilter.COMMANDS} == before
    said = {"filter": {"INPUT": {"policy": {"ipv4": "DROP", "ipv6": "ACCEPT"}, **OPEN_SSH}}}
    done = converge(said)
    assert done["result"] is True, done["comment"]
    assert (policies("ipv4", backend)[0], policies("ipv6", backend)[0]) == ("INPUT DROP", "INPUT ACCEPT")
    # Now it is so, and nothing becomes weaker: but it is told.
    for chain in (tables["filter"]["INPUT"], OPEN_SSH):
        done = converge({"filter": {"INPUT": chain}})
        assert (done["result"], done["changes"]) == (True, {}), done["comment"]
        told = "tables:filter:INPUT:policy: not said for IPv6, so it stays ACCEPT there; for IPv4 it is DROP"
        assert told in done["comment"]


def pings() -> bool:
    """Whether somebody gets an answer over IPv6."""
    words = ["ip", "netns", "exec", "others", "ping", "-6", "-c", "2", "-i", "0.3", "-W", "2", OWN6]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("rules", "answered"),
    [
        (["-p icmp --icmp-type echo-request -j DROP", "-p icmp -j ACCEPT"], False),
        (["-p icmp -j quiet"], False),
        (["-p icmp -j DROP"], False),
        (["-p icmp --icmp-type echo-request -s 2001:db8:e0::/64 -j ACCEPT"], True),
        (["-p icmp --icmp-type echo-request -s 2001:db8:e1::/64 -j ACCEPT"], False),
        (["-i lo -j ACCEPT"], True),
    ],
)
def test_a_rule_about_pings_counts_over_ipv6_too(
    converge: Converge, rules: list[str], answered: bool, backend: str
) -> None:
    """And IPv6 goes on working: neighbours are found."""
    netfilter.run("ip", "-6", "neigh", "flush", "dev", "he-ipv6")
    netfilter.run("ip", "-n", "others", "-6", "neigh", "flush", "dev", "far6")
    chains = {
        "INPUT": {"policy": "DROP", "rules": [*rules, f"-p tcp --dport {PORTS[0]} -j ACCEPT"]},
        "quiet": {"rules": ["-p icmp --icmp-type echo-request -j DROP", "-j RETURN"]},
    }
    done = converge({"filter": chains}, tunnel={"name": "he-ipv6", "endpoint": "192.0.2.41"})
    assert done["result"] is True, done["comment"]
    assert pings() is answered
    assert reached() == ({PORTS[0]}, {PORTS[0]})
