"""Rules of others that name no chain, interface or set of theirs; and what an administrator has saved for Docker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from . import netfilter
from .test_others import SAVED

Converge = Callable[..., dict[str, Any]]
HOST: dict[str, Any] = {
    "filter": {
        "INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-p tcp --dport 22 -j ACCEPT"]},
        "FORWARD": {"policy": "DROP"},
        "OUTPUT": [],
    },
    "nat": {"PREROUTING": [], "OUTPUT": [], "POSTROUTING": ["-o eth2 -j MASQUERADE"]},
    "mangle": {"PREROUTING": [], "OUTPUT": [], "POSTROUTING": []},
    "raw": {"PREROUTING": []},
}
VXLAN = '-p udp -m udp --dport 4789 -m u32 --u32 "0x0>>0x16&0x3c@0xc&0xffffff00=0x100100"'
QUICK = '-m comment --comment "wg-quick(8) rule for vpn"'
MASKS = "--nfmask 0xffffffff --ctmask 0xffffffff"
THEIRS = {
    "calico": {
        "filter FORWARD": [
            '-m comment --comment "cali:S93hcgKJrXEqnTfs" -m comment --comment "Policy explicitly accepted packet." '
            "-m mark --mark 0x10000/0x10000 -j ACCEPT",
            '-m comment --comment "cali:mp77cMpurHhyjLrM" -j MARK --set-xmark 0x10000/0x10000',
        ]
    },
    "kube-router": {
        "filter INPUT": [
            '-m comment --comment "KUBE-ROUTER rule to explicitly ACCEPT traffic that comply to network policies" '
            "-m mark --mark 0x20000/0x20000 -j ACCEPT"
        ],
        "filter FORWARD": [
            '-i kube-bridge -m comment --comment "allow outbound traffic from pods" -j ACCEPT',
        ],
    },
    "flannel of old": {
        "filter FORWARD": ["-s 10.244.0.0/16 -j ACCEPT", "-d 10.244.0.0/16 -j ACCEPT", "-s 10.42.0.0/16 -j ACCEPT"],
        "nat POSTROUTING": [
            "-s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN",
            "-s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE",
            "! -s 10.244.0.0/16 -d 10.244.1.0/24 -j RETURN",
            "! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE",
        ],
    },
    "libvirt of old": {
        "nat POSTROUTING": [
            "-s 192.168.100.0/24 -d 224.0.0.0/24 -j RETURN",
            "-s 192.168.100.0/24 -d 255.255.255.255/32 -j RETURN",
            "-s 192.168.100.0/24 ! -d 192.168.100.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535",
            "-s 192.168.100.0/24 ! -d 192.168.100.0/24 -j MASQUERADE",
        ]
    },
    "lxc-net": {"nat POSTROUTING": ["-s 10.0.3.0/24 ! -d 10.0.3.0/24 -j MASQUERADE"]},
    "LXD": {
        "nat PREROUTING": [
            '-d 192.0.2.1/32 -p tcp -m tcp --dport 80 -m comment --comment "generated for LXD container c1 (http)" '
            "-j DNAT --to-destination 10.1.1.2:80"
        ]
    },
    "wg-quick": {
        "raw PREROUTING": [f"-d 10.0.0.2/32 ! -i vpn -m addrtype ! --src-type LOCAL {QUICK} -j DROP"],
        "mangle PREROUTING": [f"-p udp {QUICK} -j CONNMARK --restore-mark {MASKS}"],
        "mangle POSTROUTING": [f"-p udp -m mark --mark 0xca6c {QUICK} -j CONNMARK --save-mark {MASKS}"],
    },
    "an encrypted network of Swarm": {
        "filter INPUT": [VXLAN.replace(" -m udp", " -m policy --dir in --pol none -m udp", 1) + " -j DROP"],
        "mangle OUTPUT": [f"{VXLAN} -j MARK --set-xmark 0xd0c4e3/0xffffffff"],
    },
    "Docker 28, a port on a loopback address": {
        "raw PREROUTING": ["-d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 8000 -j DROP"],
    },
}


@pytest.mark.parametrize("program", THEIRS)
def test_rules_that_name_nothing(converge: Converge, backend: str, program: str) -> None:
    for place, rules in THEIRS[program].items():
        table, chain = place.split()
        netfilter.load("ipv4", backend, f"*{table}\n" + "".join(f"-A {chain} {each}\n" for each in rules) + "COMMIT\n")
    before = {place: netfilter.rules("ipv4", backend, *place.split()[::-1]) for place in THEIRS[program]}
    done = converge(HOST)
    assert done["result"] is True, done["comment"]
    for place, rules in before.items():
        found = netfilter.rules("ipv4", backend, *place.split()[::-1])
        assert [each for each in found if each in rules] == rules
    assert converge(HOST)["changes"] == {}


def test_what_nobody_is_known_by_goes(converge: Converge, backend: str) -> None:
    """Rules that look a little like those of a program."""
    strange = ["-s 10.245.0.0/16 -j ACCEPT", '-m comment --comment "scali:x" -j ACCEPT', "-p udp --dport 4789 -j DROP"]
    netfilter.load("ipv4", backend, "*filter\n" + "".join(f"-A INPUT {each}\n" for each in strange) + "COMMIT\n")
    assert converge(HOST)["result"] is True
    assert len(netfilter.rules("ipv4", backend, "INPUT")) == 2


CLOSED = "-i eth0 -p tcp -m tcp --dport 3306 -j DROP"
DOCKERS = f"""\
*filter
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER-USER {CLOSED}
-A DOCKER-USER -j f2b-db
-A DOCKER-USER -j RETURN
COMMIT
"""


def test_what_closes_a_port_of_docker_is_there_after_the_boot(converge: Converge, backend: str) -> None:
    """An administrator has written it into rules.v4, where Docker finds it when it starts."""
    SAVED["ipv4"].parent.mkdir(exist_ok=True)
    dockers = DOCKERS.replace("COMMIT", "-A DOCKER -o docker0 -j ACCEPT\nCOMMIT").replace(
        ":D", ":f2b-db - [0:0]\n:D", 1
    )
    SAVED["ipv4"].write_text(dockers)
    netfilter.load("ipv4", backend, dockers)
    for _ in range(2):
        assert converge(HOST)["result"] is True
        boots = netfilter.loaded("ipv4", backend, SAVED["ipv4"].read_text())["filter"]
        theirs = sorted(each for each in boots if "DOCKER" in each or "f2b" in each)
        assert theirs == [f"-A DOCKER-USER {CLOSED}", "-A DOCKER-USER -j RETURN", ":DOCKER-USER -"]
    assert converge(HOST)["changes"] == {}


def test_of_what_docker_writes_itself_nothing_is_saved(converge: Converge, backend: str) -> None:
    SAVED["ipv4"].parent.mkdir(exist_ok=True)
    dockers = DOCKERS.replace(f"-A DOCKER-USER {CLOSED}\n-A DOCKER-USER -j f2b-db\n", "")
    SAVED["ipv4"].write_text(dockers)
    netfilter.load("ipv4", backend, dockers)
    assert converge(HOST)["result"] is True
    assert "DOCKER" not in SAVED["ipv4"].read_text()


def test_single_rules_and_the_ruleset_write_the_same_file(converge: Converge, backend: str, modules: Any) -> None:
    """Whichever was first: the chains of others that the rules lead to are in one order."""
    netfilter.load("ipv4", backend, "*filter\n:f2b-sshd - [0:0]\n:DOCKER-USER - [0:0]\nCOMMIT\n")
    assert converge(HOST)["result"] is True
    for rule in ("-s 192.0.2.4 -j f2b-sshd", "-s 192.0.2.4 -j DOCKER-USER"):
        done = modules.dualstack_iptables.rule("r", chain="INPUT", rule=rule, backend=backend)
        assert done["result"] is True, done["comment"]
    assert converge(HOST)["changes"] == {}


BLOCK = """\
*filter
:DOCKER-USER - [0:0]
:GEOBLOCK - [0:0]
:GEO[2] - [0:0]
:STALE - [0:0]
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -i eth0 -j GEOBLOCK
-A GEOBLOCK -s 192.0.2.0/24 -j DROP
-A GEOBLOCK -g GEO[2]
-A GEO[2] -s 198.51.100.0/24 -j DROP
-A STALE -j DROP
COMMIT
"""


@pytest.mark.parametrize("only", [None, ["DOCKER*"]])
def test_a_chain_that_a_chain_of_others_leads_to(converge: Converge, backend: str, only: Any) -> None:
    """As an administrator's, in DOCKER-USER: it cannot be removed, nor is it ours."""
    netfilter.load("ipv4", backend, BLOCK)
    predicted = converge(HOST, test=True, preserve_only=only)
    done = converge(HOST, preserve_only=only)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    found = netfilter.save("ipv4", backend).split("\n")
    lines = [line.replace(" [0:0]", "") for line in BLOCK.split("\n") if "DOCKER" in line or "GEO" in line]
    assert [each for each in lines if each not in found] == []
    assert not any("STALE" in each for each in found)
    assert converge(HOST, preserve_only=only)["changes"] == {}


def test_a_declared_chain_that_a_chain_of_others_leads_to(converge: Converge, backend: str) -> None:
    netfilter.load("ipv4", backend, "*filter\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n")
    declared = {"filter": {**HOST["filter"], "own": ["-s 192.0.2.1 -j DROP"]}}
    assert converge(declared)["result"] is True
    netfilter.load("ipv4", backend, "*filter\n-A DOCKER-USER -j own\nCOMMIT\n")
    assert converge(declared)["changes"] == {}
    declared["filter"]["own"] = ["-s 192.0.2.2 -j DROP"]
    assert converge(declared)["result"] is True
    assert netfilter.rules("ipv4", backend, "own") == ["-s 192.0.2.2/32 -j DROP"]
