"""A bridge whose name somebody has chosen for a program's network: what the program writes for it is kept."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import netfilter

Converge = Callable[..., dict[str, Any]]
FAMILIES = ("ipv4", "ipv6")
# Docker 28 and Docker 20, with a network made by `-o com.docker.network.bridge.name=shop`
FILTER = {
    28: """\
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i shop -o shop -j DROP
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER
-A DOCKER-FORWARD -i shop -j ACCEPT
-A DOCKER-CT -o shop -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
""",
    20: """\
-A FORWARD -j DOCKER-USER
-A FORWARD -o shop -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o shop -j DOCKER
-A FORWARD -i shop ! -o shop -j ACCEPT
-A FORWARD -i shop -o shop -j ACCEPT
""",
}
POOL = {"ipv4": "172.30.0.0/16", "ipv6": "2001:db8:30::/64"}
OLD = "-i eth9 -o shopping -j ACCEPT"  # nobody's any more


@pytest.fixture(autouse=True)
def _bridges() -> Iterator[None]:
    for name in ("shop", "br0"):
        subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    yield
    for name in ("shop", "br0"):
        subprocess.run(["ip", "link", "del", name], check=True)


def start(backend: str, version: int, *more: str) -> None:
    for family in FAMILIES:
        chains = "".join(f":{each} - [0:0]\n" for each in ("DOCKER", "DOCKER-USER", "DOCKER-FORWARD", "DOCKER-CT"))
        rules = "".join(f"{each}\n" for each in more)
        text = f"*filter\n:FORWARD DROP [0:0]\n{chains}{FILTER[version]}-A FORWARD {OLD}\n{rules}COMMIT\n"
        text += f"*nat\n:DOCKER - [0:0]\n-A POSTROUTING -s {POOL[family]} ! -o shop -j MASQUERADE\nCOMMIT\n"
        netfilter.load(family, backend, text)


def rules(backend: str) -> list[list[str]]:
    return [netfilter.rules(family, backend, "FORWARD") for family in FAMILIES]


@pytest.mark.parametrize("version", FILTER)
def test_rules_at_a_bridge_of_dockers_are_kept(converge: Converge, backend: str, version: int) -> None:
    start(backend, version)
    theirs = [[each for each in chain if each != OLD] for chain in rules(backend)]
    wanted = {"filter": {"FORWARD": {"policy": "DROP"}}, "nat": {"POSTROUTING": {"policy": "ACCEPT"}}}
    done = converge(wanted, icmpv6_essential=False)
    assert done["result"] is True, done["comment"]
    assert rules(backend) == theirs
    for family in FAMILIES:
        assert netfilter.rules(family, backend, "POSTROUTING", "nat") == [f"-s {POOL[family]} ! -o shop -j MASQUERADE"]
    assert converge(wanted, icmpv6_essential=False)["changes"] == {}


def test_what_we_have_made_at_it_goes_with_the_pillar(converge: Converge, backend: str) -> None:
    start(backend, 28)
    ours = "-i shop -p tcp -m tcp --dport 25 -j DROP"
    theirs = [[each for each in chain if each != OLD] for chain in rules(backend)]
    wanted = {"filter": {"FORWARD": {"policy": "DROP", "rules": [ours]}}}
    assert converge(wanted, icmpv6_essential=False)["result"] is True
    assert rules(backend) == [[*chain, ours] for chain in theirs]
    wanted["filter"]["FORWARD"]["rules"] = []
    assert converge(wanted, icmpv6_essential=False)["result"] is True
    assert rules(backend) == theirs


def test_a_bridge_of_the_administrators_is_nobodys(converge: Converge, backend: str) -> None:
    """It is named in DOCKER-USER, and by those who are led to fail2ban: that makes it no program's."""
    named = ("-A DOCKER-USER -i br0 -j RETURN", ":f2b-web - [0:0]", "-A FORWARD -i br0 -j f2b-web")
    start(backend, 28, *named, "-A FORWARD -i br0 -j ACCEPT")
    assert converge({"filter": {"FORWARD": {"policy": "DROP"}}}, icmpv6_essential=False)["result"] is True
    for chain in rules(backend):
        assert "-i br0 -j f2b-web" in chain and "-i br0 -j ACCEPT" not in chain


def test_only_what_the_pillar_names_with_preserve_only(converge: Converge, backend: str) -> None:
    start(backend, 20)
    wanted = {"filter": {"FORWARD": {"policy": "DROP"}, "INPUT": {}, "OUTPUT": {}}}
    done = converge(wanted, icmpv6_essential=False, preserve_only=["DOCKER*"])
    assert done["result"] is True, done["comment"]
    for chain in rules(backend):
        assert chain == ["-j DOCKER-USER", "-o shop -j DOCKER"]
