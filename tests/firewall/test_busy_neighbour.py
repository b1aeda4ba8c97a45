"""Another program changes its rules all the time, while the ruleset changes: none of either's is lost or comes back."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import netfilter

Converge = Callable[..., dict[str, Any]]
RUNS = 16
PAUSE = 0.05  # seconds between two changes of the other program
COMMANDS = {"ipv4": "iptables", "ipv6": "ip6tables"}
ADDRESS = {"ipv4": "192.0.2.{}/32", "ipv6": "2001:db8::{:x}/128"}
START = """\
*filter
:f2b-sshd - [0:0]
:DOCKER - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A FORWARD -o docker0 -j DOCKER
-A f2b-sshd -j RETURN
COMMIT
"""


class Neighbour(threading.Thread):
    """fail2ban and Docker in one, in one family: bans and containers come and go, in our chains and in theirs."""

    def __init__(self, family: str, backend: str) -> None:
        super().__init__()
        self.command = f"{COMMANDS[family]}-{backend}"
        self.family, self.over = family, threading.Event()
        self.failures: list[str] = []
        self.chance = random.Random(family)
        self.bans: list[str] = []
        self.containers: list[str] = []
        self.changes = 0

    def run(self) -> None:
        while not self.over.wait(PAUSE):
            kind = self.chance.choice(("ban", "unban", "begin", "end"))
            number = self.chance.randint(1, 200)
            if kind == "ban":
                rule = f"-s {ADDRESS[self.family].format(number)} -j DROP"
                if rule not in self.bans and self._done("-I", "f2b-sshd", "1", rule):
                    self.bans.insert(0, rule)
            elif kind == "unban" and self.bans:
                rule = self.chance.choice(self.bans)
                if self._done("-D", "f2b-sshd", rule):
                    self.bans.remove(rule)
            elif kind == "begin":
                rule = f"-d {ADDRESS[self.family].format(number)} -o docker0 -j ACCEPT"
                if rule not in self.containers and self._done("-I", "FORWARD", "1", rule):
                    self.containers.insert(0, rule)
            elif self.containers:
                rule = self.chance.choice(self.containers)
                if self._done("-D", "FORWARD", rule):
                    self.containers.remove(rule)

    def _done(self, verb: str, *words: str) -> bool:
        *place, rule = words
        done = subprocess.run(
            [self.command, "-w", verb, *place, *rule.split()], capture_output=True, text=True, check=False
        )
        self.changes += 1
        if done.returncode:
            self.failures.append(f"{verb} {words}: {done.stderr}")
        return not done.returncode

    def theirs(self, backend: str) -> dict[str, list[str]]:
        """What it has made, as it is live."""
        forward = netfilter.rules(self.family, backend, "FORWARD")
        return {
            "f2b-sshd": netfilter.rules(self.family, backend, "f2b-sshd"),
            "FORWARD": [rule for rule in forward if "docker0" in rule],
        }

    def expected(self) -> dict[str, list[str]]:
        """The same, as it remembers."""
        return {"f2b-sshd": [*self.bans, "-j RETURN"], "FORWARD": [*self.containers, "-o docker0 -j DOCKER"]}


@pytest.fixture
def neighbours(backend: str) -> Iterator[list[Neighbour]]:
    """One in each family, at work."""
    for family in COMMANDS:
        netfilter.load(family, backend, START)
    found = [Neighbour(family, backend) for family in COMMANDS]
    for each in found:
        each.start()
    yield found
    for each in found:
        each.over.set()
        each.join()


def declared(chance: random.Random) -> dict[str, Any]:
    """A ruleset: many rules in another order, some new, some gone."""
    ports = chance.sample(range(1000, 1030), 20)
    rules = [f"-p tcp -m tcp --dport {port} -j ACCEPT" for port in ports]
    return {
        "filter": {
            "INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", *rules]},
            "FORWARD": {"policy": "DROP", "rules": [f"-i eth1 {rule}" for rule in rules]},
        }
    }


def test_nobodys_rules_are_lost(converge: Converge, backend: str, neighbours: list[Neighbour]) -> None:
    chance = random.Random(5)
    for _ in range(RUNS):
        tables = declared(chance)
        done = converge(tables, icmpv6_essential=False)
        assert done["result"] is True, done["comment"]
        for family in COMMANDS:
            for name in ("INPUT", "FORWARD"):
                live = netfilter.rules(family, backend, name)
                ours = [rule for rule in live if "docker0" not in rule and "f2b-" not in rule]
                assert ours == tables["filter"][name]["rules"]
    for each in neighbours:
        each.over.set()
        each.join()
        print(each.family, each.changes, "changes", file=sys.stderr)
        assert each.failures == []
        assert each.theirs(backend) == each.expected()
        assert each.changes > RUNS
    assert converge(tables, icmpv6_essential=False)["changes"] == {}
