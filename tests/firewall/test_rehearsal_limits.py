"""What a rehearsal must not take for a drop: limits that its own packets use up, filters of odd sources, and more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_trial as firewall_trial
import _dualstack_firewall_view as firewall_view
import pytest

from . import netfilter

Converge = Callable[..., dict[str, Any]]
PORTS = (22, 25, 80, 143, 443)
FIRST = "-m conntrack --ctstate NEW"
BOGONS = {
    "ipv4": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "192.0.0.0/24", "240.0.0.0/4"),
    "ipv6": ("2001:db8::/32", "3fff::/20", "fec0::/10", "fc00::/7", "2002::/16"),
}


@pytest.fixture(params=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest) -> str:
    """Each."""
    return str(request.param)


def ruleset(*rules: str, policy: str = "DROP") -> str:
    established = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    lines = [f":INPUT {policy} [0:0]", *(f"-A INPUT {rule}" for rule in (established, *rules))]
    return "\n".join(["*filter", *lines, "COMMIT", ""])


def tried(family: str, backend: str, *entries: dict[str, Any], hosts: Any = None) -> list[firewall_rehearsal.Tried]:
    """The verdicts on the live rules, by one family."""
    given = [{"family": family, **each} for each in entries]
    return firewall_trial.tried(given, None, firewall_kernel.read(backend), backend, hosts=hosts)


def found(family: str, backend: str, *entries: dict[str, Any], hosts: Any = None) -> list[str]:
    return [each["found"] for each in tried(family, backend, *entries, hosts=hosts)]


ALL: dict[str, Any] = {"to": f"tcp/{','.join(map(str, PORTS))}", "verdict": "accept"}

# --------------------------------------------------------------------------------------------------------------
# Rules that count packets, or remember hosts


@pytest.mark.parametrize(
    "rules",
    [
        [f"{FIRST} -p tcp -m limit --limit 1/min --limit-burst 3 -j ACCEPT"],
        [f"{FIRST} -p tcp -m hashlimit --hashlimit-above 1/min --hashlimit-burst 2 --hashlimit-mode srcip "
         "--hashlimit-name few -j DROP", "-p tcp -j ACCEPT"],
        ["-p tcp -m connlimit --connlimit-above 1 --connlimit-mask 0 -j REJECT", "-p tcp -j ACCEPT"],
        # What `ufw limit` writes, with fewer hits; ufw reads them in this order.
        [f"-p tcp {FIRST} -m recent --set --name DEFAULT --rsource",
         f"-p tcp {FIRST} -m recent --update --seconds 30 --hitcount 2 --name DEFAULT --rsource -j REJECT",
         "-p tcp -j ACCEPT"],
        # Whoever tries one port is kept out from the others.
        ["-p tcp -m set --match-set trapped src -j DROP", "-p tcp --dport 22 -j SET --add-set trapped src",
         "-p tcp -j ACCEPT"],
        ["-p tcp -m statistic --mode nth --every 2 --packet 1 -j DROP", "-p tcp -j ACCEPT"],
    ],
    ids=["limit", "hashlimit", "connlimit", "recent", "set", "nth"],
)  # fmt: skip
def test_probes_share_no_limit(family: str, backend: str, rules: list[str]) -> None:
    kind = "inet6" if family == "ipv6" else "inet"
    netfilter.run("ipset", "restore", text=f"create trapped hash:ip family {kind}\n")
    netfilter.load(family, backend, ruleset(*rules))
    # The order and the number of the expectations mean nothing.
    one_host = {**ALL, "from": {"ipv4": "192.0.2.99", "ipv6": "2001:db8::99"}[family]}
    verdicts = found(family, backend, ALL, one_host)
    assert set(verdicts) == ({"unknown"} if "statistic" in rules[0] else {"accept"})


def test_a_limit_that_lets_nobody_in_is_still_seen(family: str, backend: str) -> None:
    netfilter.load(family, backend, ruleset(f"{FIRST} -p tcp --dport 22 -m limit --limit 1/min -j ACCEPT"))
    assert found(family, backend, {**ALL, "verdict": "drop"}) == ["accept", "drop", "drop", "drop", "drop"]


def test_limits_of_nftables(family: str, backend: str) -> None:
    netfilter.run(
        "nft", "-f", "-", text="table inet few { chain in { type filter hook input priority 5; ct state established "
        "accept; tcp dport { 22, 25, 80, 143, 443 } limit rate over 1/minute burst 2 packets drop; }; }",
    )  # fmt: skip
    try:
        assert set(found(family, backend, ALL)) == {"accept"}
    finally:
        netfilter.run("nft", "delete", "table", "inet", "few")


@pytest.mark.parametrize("rule", ['-m limit --limit 3/min -j LOG --log-prefix "[UFW BLOCK] "', "-p tcp -j ACCEPT"])
def test_what_only_logs_takes_no_time(rule: str) -> None:
    assert not firewall_rehearsal.COUNTING.search(ruleset(rule))
    assert firewall_rehearsal.COUNTING.search(ruleset(rule, "-m limit --limit 3/min -j ACCEPT"))


# --------------------------------------------------------------------------------------------------------------
# Anywhere


def test_filters_of_addresses_that_nobody_has(family: str, backend: str) -> None:
    bogons = [f"-s {each} -j DROP" for each in BOGONS[family]]
    netfilter.load(family, backend, ruleset(*bogons, "-p tcp -j ACCEPT"))
    (verdict,) = tried(family, backend, {"to": "tcp/22", "verdict": "accept"})
    assert (verdict["found"], verdict["ok"], verdict["note"]) == ("accept", True, "")
    of_one = {"to": "tcp/22", "verdict": "accept", "from": {"ipv4": "192.0.2.7", "ipv6": "2001:db8::7"}[family]}
    assert found(family, backend, of_one) == ["drop"]


def test_most_of_anywhere_decide(family: str, backend: str) -> None:
    one, two, three = firewall_view.ANYWHERE[family]
    netfilter.load(family, backend, ruleset(f"-s {two} -j DROP", "-p tcp -j ACCEPT"))
    (verdict,) = tried(family, backend, {"to": "tcp/22", "verdict": "accept"})
    said = f"it differs by the source: accept from {one}, {three}; drop from {two}"
    assert (verdict["found"], verdict["ok"], verdict["note"]) == ("accept", True, said)
    netfilter.load(family, backend, ruleset(f"-s {one} -j DROP"))
    netfilter.reset()
    netfilter.load(family, backend, ruleset(f"-s {two} -j DROP", f"-s {one} -j REJECT", "-p tcp -j ACCEPT"))
    (verdict,) = tried(family, backend, {"to": "tcp/22", "verdict": "accept"})
    assert (verdict["found"], verdict["ok"]) != ("accept", True), "of as many, what is not as expected"


def test_the_hosts_that_stand_for_anywhere(family: str, backend: str, converge: Converge) -> None:
    mine = {"ipv4": "192.0.2.7", "ipv6": "2001:db8::7"}[family]
    netfilter.load(family, backend, ruleset(f"-s {mine} -p tcp -j ACCEPT"))
    entry = {"to": "tcp/22", "verdict": "accept"}
    assert found(family, backend, entry) == ["drop"]
    assert found(family, backend, entry, hosts=[mine]) == ["accept"]
    netfilter.reset()
    tables = {"filter": {"INPUT": {"policy": "DROP", "rules": [{"family": family, "rule": f"-s {mine} -j ACCEPT"}]}}}
    expect = [{**entry, "family": family}]
    done = converge(tables, test=True, expect=expect)
    assert done["result"] is False and "expected accept, found drop" in done["comment"]
    assert converge(tables, expect=expect, **{"from": mine})["result"] is True
    done = converge(tables, expect=expect, **{"from": "nobody"})
    assert done["result"] is False and done["comment"] == "from: 'nobody' is not an address or a network"


# --------------------------------------------------------------------------------------------------------------
# What cannot be imitated


MAC = "-m mac --mac-source 02:00:5e:00:53:01"


@pytest.mark.parametrize(
    "rule", [f"{MAC} -p tcp --dport 22 -j ACCEPT", "-p tcp --dport 22 -m time --timestop 00:01 -j ACCEPT",
             "-p tcp --dport 22 -j NFQUEUE --queue-num 3"],
    ids=["mac", "time", "queue"],
)  # fmt: skip
def test_what_depends_on_more_than_the_packet_is_unknown(family: str, backend: str, rule: str) -> None:
    netfilter.load(family, backend, ruleset(rule))
    for verdict in ("accept", "drop", "deny"):
        first, second = tried(family, backend, {"to": "tcp/22,23", "verdict": verdict})
        assert (first["found"], first["ok"]) == ("unknown", False)
        assert first["note"].startswith("it depends on what cannot be imitated: '-A INPUT ")
        assert (second["found"], second["ok"]) == ("drop", verdict != "accept"), "this does not"


def test_what_such_a_rule_does_not_change_is_known(family: str, backend: str) -> None:
    comment = '-m comment --comment "not -m mac here"'
    netfilter.load(family, backend, ruleset(f"{MAC} -j ACCEPT", f"-p tcp --dport 22 {comment} -j ACCEPT"))
    assert found(family, backend, {"to": "tcp/22", "verdict": "accept"}) == ["accept"]
    netfilter.reset()
    netfilter.load(family, backend, ruleset(f"-p tcp --dport 22 {comment} -j DROP"))
    assert found(family, backend, {"to": "tcp/22", "verdict": "drop"}) == ["drop"]


@pytest.fixture
def broken_nft(shadows: Path) -> Iterator[None]:
    """An nft(8) that cannot list the table that is there."""
    netfilter.run("nft", "add", "table", "inet", "firewalld")
    (shadows / "nft").write_text("#!/bin/sh\necho 'netlink: Error: cache initialization failed' >&2; exit 1\n")
    (shadows / "nft").chmod(0o755)
    yield
    netfilter.run("/usr/sbin/nft", "delete", "table", "inet", "firewalld")


def test_a_table_that_cannot_be_read(broken_nft: None, backend: str, modules: Any) -> None:
    """Nothing is known; that is no failure, and not held; and it is tried again at the next run."""
    tables = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-p tcp --dport 25 -j DROP"]}}}
    given = {"tables": tables, "backend": backend, "expect": [{"to": "tcp/22,25", "verdict": "accept"}]}
    said = "expected accept, found unknown (the table inet firewalld of nftables could not be read:"
    for _ in range(2):
        done = modules.dualstack_iptables.ruleset("firewall", **given, test=False)
        assert done["result"] is True, done["comment"]
        assert (
            f"Not known: expect[0]: tcp/22 from anywhere ({firewall_view.OUTSIDE['ipv4']} and 2 more)"
            in done["comment"]
        )
        assert said in done["comment"]
    proof = modules.dualstack_iptables.proven("firewall", **given, test=False)
    assert (proof["result"], proof["outcome"]) == (None, "not tried")
    assert said in proof["comment"] and "without that it would be drop" in proof["comment"]


def test_what_fails_is_more_than_what_is_unknown(family: str, backend: str, modules: Any) -> None:
    rules = [f"{MAC} -p tcp --dport 22 -j ACCEPT", "-p icmp -j ACCEPT"]
    tables = {"filter": {"INPUT": {"policy": "DROP", "rules": rules}}}
    expect = [{"to": "tcp/22", "family": family, "verdict": "accept"}]
    given: dict[str, Any] = {"tables": tables, "backend": backend, "expect": expect}
    assert modules.dualstack_iptables.ruleset("firewall", **given, test=False)["result"] is True
    assert modules.dualstack_iptables.proven("firewall", **given, test=False)["outcome"] == "not tried"
    expect.append({"to": "tcp/23", "family": family, "verdict": "accept"})
    assert modules.dualstack_iptables.proven("firewall", **given, test=False)["outcome"] == "failed"


def test_many_rules_and_few_packets_take_seconds(backend: str) -> None:
    """Where each packet has a namespace of its own."""
    few = ruleset(*(f"-p tcp --dport {port} -m limit -j ACCEPT" for port in range(1000, 1200)))
    netfilter.load("ipv4", backend, few)
    began = time.monotonic()
    assert found("ipv4", backend, {"to": "tcp/1001,1002,1003", "verdict": "accept"}) == ["accept"] * 3
    assert time.monotonic() - began < 30
