"""Declared rules that look like those of other programs: live, at the next boot, and when they are declared no more."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import netfilter

Converge = Callable[..., dict[str, Any]]
SAVED = {"ipv4": Path("/etc/iptables/rules.v4"), "ipv6": Path("/etc/iptables/rules.v6")}
DOCKER = """\
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""
OURS = "-i docker0 -p tcp -m tcp --dport 25 -j DROP"
BANNED = "-j f2b-sshd"


def host(*forward: str, **chains: Any) -> dict[str, Any]:
    rules = {"policy": "DROP", "rules": ["-i lo -j ACCEPT"]}
    return {"filter": {"INPUT": rules, "FORWARD": {"policy": "DROP", "rules": list(forward)}, **chains}}


@pytest.fixture(name="converge")
def _converge(converge: Converge) -> Converge:
    """Without what every host has, so that the chains are short."""
    return functools.partial(converge, icmpv6_essential=False)


def chain(backend: str, name: str) -> list[list[str]]:
    return [netfilter.rules(family, backend, name) for family in SAVED]


def booted(name: str) -> list[list[str]]:
    """The rules of a chain, as the files have them."""
    return [
        [line.partition(f"-A {name} ")[2] for line in path.read_text().splitlines() if line.startswith(f"-A {name} ")]
        for path in SAVED.values()
    ]


def start(backend: str, text: str = DOCKER) -> None:
    for family in SAVED:
        netfilter.load(family, backend, text)


def test_a_rule_at_an_interface_of_dockers(converge: Converge, backend: str) -> None:
    start(backend)
    theirs = chain(backend, "FORWARD")
    done = converge(host(OURS))
    assert done["result"] is True, done["comment"]
    assert converge(host(OURS))["changes"] == {}
    assert chain(backend, "FORWARD") == [[*each, OURS] for each in theirs]
    assert booted("FORWARD") == [[OURS]] * 2
    done = converge(host())
    assert done["result"] is True, done["comment"]
    assert chain(backend, "FORWARD") == theirs
    assert booted("FORWARD") == [[]] * 2
    assert converge(host())["changes"] == {}


def test_what_is_reported_when_it_is_declared_no_more(converge: Converge, backend: str) -> None:
    start(backend)
    converge(host(OURS))
    predicted = converge(host(), test=True)["changes"]
    assert predicted["ipv4"]["filter FORWARD"] == {"removed": [OURS]}
    assert converge(host())["changes"] == predicted


def test_the_chain_for_the_administrators_rules(converge: Converge, backend: str) -> None:
    """DOCKER-USER as a whole, which Docker makes with one rule, and leads to."""
    start(backend)
    declared = host(**{"DOCKER-USER": ["-s 192.0.2.0/24 -j DROP", "-s 2001:db8::/32 -j DROP"]})
    done = converge(declared)
    assert done["result"] is True, done["comment"]
    assert chain(backend, "DOCKER-USER") == [["-s 192.0.2.0/24 -j DROP"], ["-s 2001:db8::/32 -j DROP"]]
    assert booted("DOCKER-USER") == chain(backend, "DOCKER-USER")
    assert converge(declared)["changes"] == {}
    assert all("-j DOCKER-USER" in each for each in chain(backend, "FORWARD"))
    done = converge(host())
    assert done["result"] is True, done["comment"]
    assert chain(backend, "DOCKER-USER") == [[]] * 2
    assert all(":DOCKER-USER" not in path.read_text() for path in SAVED.values())


def test_a_chain_of_fail2bans_that_the_pillar_leads_to(converge: Converge, backend: str) -> None:
    """It is loaded at boot, when fail2ban has not made its chain."""
    declared = host()
    declared["filter"]["INPUT"]["rules"].insert(0, f"-p tcp --dport 22 {BANNED}")
    start(backend, "*filter\n:f2b-sshd - [0:0]\n-A f2b-sshd -j RETURN\nCOMMIT\n")
    done = converge(declared)
    assert done["result"] is True, done["comment"]
    assert all(f"-p tcp -m tcp --dport 22 {BANNED}" in each for each in booted("INPUT"))
    assert all(":f2b-sshd -" in path.read_text() for path in SAVED.values())
    assert booted("f2b-sshd") == [[]] * 2
    netfilter.reset()
    for family, path in SAVED.items():
        netfilter.load(family, backend, path.read_text())
    assert chain(backend, "INPUT")[0][0] == f"-p tcp -m tcp --dport 22 {BANNED}"


ADMIN = "-i docker0 -s 10.1.0.0/16 -j ACCEPT"


def test_what_an_administrator_has_written_into_the_file_stays(converge: Converge, backend: str) -> None:
    path = SAVED["ipv4"]
    path.parent.mkdir(parents=True)
    path.write_text(
        "*nat \n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i docker0 -p udp --dport 53 -j REDIRECT\nCOMMIT\n"
        "*mangle\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"
        f"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:DOCKER - [0:0]\n-A INPUT -p icmp -j ACCEPT\n"
        f"-A FORWARD -o docker0 -j DOCKER\n-A FORWARD {ADMIN}\nCOMMIT\n"
    )
    done = converge(host("-i eth1 -j ACCEPT"))
    assert done["result"] is True, done["comment"]
    assert booted("FORWARD")[0] == [ADMIN, "-i eth1 -j ACCEPT"]
    assert "*mangle\n:FORWARD ACCEPT [0:0]\nCOMMIT\n" in path.read_text()
    assert "-A PREROUTING -i docker0 -p udp --dport 53 -j REDIRECT\n" in path.read_text()
    assert "-p icmp" not in path.read_text()
    assert converge(host("-i eth1 -j ACCEPT"))["changes"] == {}
    netfilter.reset()
    netfilter.load("ipv4", backend, path.read_text())


@pytest.mark.parametrize("name", ["DOCKER-USER", "FORWARD"])
def test_a_single_rule_among_theirs(states: Any, converge: Converge, backend: str, name: str) -> None:
    start(backend)
    assert converge(host())["result"] is True
    before = chain(backend, name)
    rule = "-i docker0 -p udp -m udp --dport 53 -j DROP"
    given = {"rule": rule, "chain": name, "backend": backend, "position": "start"}
    done = states.dualstack_iptables.rule(name="dns", **given)
    assert done.result is True, done.comment
    assert chain(backend, name) == [[rule, *each] for each in before]
    assert booted(name) == [[rule]] * 2
    assert states.dualstack_iptables.rule(name="dns", **given).changes == {}
    assert converge(host())["changes"] == {}, "the ruleset leaves it where it is"
    assert booted(name) == [[rule]] * 2
    gone = states.dualstack_iptables.rule_absent(name="dns", rule=rule, chain=name, backend=backend)
    assert gone.result is True, gone.comment
    assert chain(backend, name) == before
    assert booted(name) == [[]] * 2


FOREIGN = "*filter\n:MINE - [0:0]\n-A INPUT -p tcp --dport 99 -j MINE\n-A MINE -p tcp --dport 99 -j ACCEPT\nCOMMIT\n"
MINE = "-p tcp -m tcp --dport 99 -j "


def test_what_nobody_of_us_has_made_is_shown_by_itself(converge: Converge, backend: str) -> None:
    assert converge(host("-i eth1 -j ACCEPT"))["result"] is True
    start(backend, FOREIGN)
    predicted = converge(host(), test=True)
    assert {name: change for name, change in predicted["changes"]["ipv4"].items()} == {
        "filter INPUT": {"foreign": [f"{MINE}MINE"]},
        "filter FORWARD": {"removed": ["-i eth1 -j ACCEPT"]},
        "filter MINE": {"chain": {"old": "present", "new": "absent"}, "foreign": [f"{MINE}ACCEPT"]},
    }
    assert converge(host())["changes"] == predicted["changes"]
    assert chain(backend, "INPUT") == [["-i lo -j ACCEPT"]] * 2


@pytest.mark.parametrize("save", [True, False])
def test_it_is_kept_where_the_pillar_says_so(converge: Converge, backend: str, save: bool) -> None:
    keeping = functools.partial(converge, foreign="keep", save=save)
    start(backend, FOREIGN)
    done = keeping(host("-i eth1 -j ACCEPT"))
    assert done["result"] is True, done["comment"]
    assert keeping(host("-i eth1 -j ACCEPT"))["changes"] == {}
    assert chain(backend, "INPUT") == [[f"{MINE}MINE", "-i lo -j ACCEPT"]] * 2
    assert chain(backend, "MINE") == [[f"{MINE}ACCEPT"]] * 2
    done = keeping(host())
    assert done["result"] is True, done["comment"]
    assert chain(backend, "FORWARD") == [[]] * 2, "what was ours goes"
    assert chain(backend, "INPUT") == [[f"{MINE}MINE", "-i lo -j ACCEPT"]] * 2
    assert keeping(host())["changes"] == {}


def test_kept_rules_of_the_file_are_loaded_at_boot(converge: Converge, backend: str) -> None:
    for path in SAVED.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FOREIGN)
    start(backend, FOREIGN)
    assert converge(host(), foreign="keep")["result"] is True
    assert booted("INPUT") == [[MINE.replace("-m tcp ", "") + "MINE", "-i lo -j ACCEPT"]] * 2
    assert booted("MINE") == [[MINE.replace("-m tcp ", "") + "ACCEPT"]] * 2
    netfilter.reset()
    start(backend, SAVED["ipv6"].read_text())
