"""``dualstack_iptables.rule`` and ``rule_absent``: single rules of other formulas."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import netfilter

Converge = Callable[..., dict[str, Any]]
MUNIN = "-p tcp -m tcp --dport 4949 -j ACCEPT"
SAVED = {"ipv4": Path("/etc/iptables/rules.v4"), "ipv6": Path("/etc/iptables/rules.v6")}


@pytest.fixture
def single(states: Any, backend: str) -> Callable[..., Any]:
    """One of the two states, on this backend."""

    def run(fun: str, rule: Any, **arguments: Any) -> Any:
        return getattr(states.dualstack_iptables, fun)(name="munin", rule=rule, backend=backend, **arguments)

    return run


def test_a_rule_is_made_in_both_families_and_removed(single: Callable[..., Any], backend: str) -> None:
    rule = {"proto": "tcp", "dport": 4949, "jump": "ACCEPT"}
    predicted = single("rule", rule, test=True)
    assert predicted.result is None, predicted.comment
    assert netfilter.rules("ipv4", backend, "INPUT") == []
    done = single("rule", rule)
    assert done.result is True, done.comment
    assert done.changes == predicted.changes
    for family, path in SAVED.items():
        assert netfilter.rules(family, backend, "INPUT") == [MUNIN]
        assert f"-A INPUT {MUNIN}\n" in path.read_text()
    assert single("rule", rule).changes == {}
    gone = single("rule_absent", rule)
    assert gone.result is True, gone.comment
    assert list(gone.changes["ipv4"].values()) == [{"removed": [MUNIN]}]
    for family, path in SAVED.items():
        assert netfilter.rules(family, backend, "INPUT") == []
        assert MUNIN not in path.read_text()
    assert single("rule_absent", rule).changes == {}


def test_it_stands_before_a_last_rule_for_all(single: Callable[..., Any], backend: str) -> None:
    last = ['-j LOG --log-prefix "no: "', "-j REJECT --reject-with icmp-port-unreachable"]
    text = "*filter\n-A INPUT -i lo -j ACCEPT\n" + "".join(f"-A INPUT {rule}\n" for rule in last) + "COMMIT\n"
    netfilter.load("ipv4", backend, text)
    single("rule", "-p tcp --dport 4949 -j ACCEPT")
    assert netfilter.rules("ipv4", backend, "INPUT") == ["-i lo -j ACCEPT", MUNIN, *last]
    single("rule", "-p udp --dport 53 -j ACCEPT", position="start")
    assert netfilter.rules("ipv4", backend, "INPUT")[0] == "-p udp -m udp --dport 53 -j ACCEPT"


def test_the_ruleset_and_a_rule_leave_each_other_alone(
    single: Callable[..., Any], converge: Converge, backend: str
) -> None:
    tables = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-j REJECT"]}}}
    assert converge(tables)["result"] is True
    assert single("rule", "-p tcp --dport 4949 -j ACCEPT").result is True
    before = netfilter.save("ipv6", backend), SAVED["ipv6"].read_text()
    again = converge(tables)
    assert (again["result"], again["changes"]) == (True, {})
    tables["filter"]["INPUT"]["rules"].insert(1, "-p tcp --dport 22 -j ACCEPT")  # type: ignore[attr-defined]
    assert converge(tables)["result"] is True
    assert MUNIN in netfilter.rules("ipv4", backend, "INPUT")
    assert single("rule", "-p tcp --dport 4949 -j ACCEPT").changes == {}
    del tables["filter"]["INPUT"]["rules"][1]  # type: ignore[attr-defined]
    assert converge(tables)["result"] is True
    assert (netfilter.save("ipv6", backend), SAVED["ipv6"].read_text()) == before


def test_a_wrong_rule_is_refused(single: Callable[..., Any]) -> None:
    done = single("rule", "-p tcp --dport nowhere -j ACCEPT")
    assert done.result is False
    assert "nowhere" in done.comment
    assert single("rule", "-p tcp -j ACCEPT", colour="red").comment == "unknown argument: colour"


@pytest.mark.parametrize(("bad", "restores"), [("80 ! --icmp-type 8", 1), ("nowhere", 20)])
def test_many_rules_cost_one_restore_for_each_family(
    bad: str, restores: int, loaders: Any, backend: str, tmp_path: Path, shadows: Path
) -> None:
    """Aggregated, the first state makes them all; a wrong one fails alone. Only what the kernel sees costs more."""
    sls = "".join(
        f"port {port}:\n  dualstack_iptables.rule:\n    - rule: -p tcp --dport {port} -j ACCEPT\n"
        f"    - backend: {backend}\n    - aggregate: true\n"
        for port in [*range(1001, 1021), bad]
    )
    log = tmp_path / "log"
    for command in netfilter.COMMANDS.values():
        wrapper = shadows / f"{command}-{backend}-restore"
        wrapper.write_text(
            f'#!/bin/sh\n[ "$1" != --noflush ] || echo {command} >>{log}\nexec /usr/sbin/{wrapper.name} "$@"\n'
        )
        wrapper.chmod(0o755)
    done = loaders.modules.state.template_str(textwrap.dedent(sls)).raw
    results = [each["result"] for each in sorted(done.values(), key=lambda each: each["__run_num__"])]
    assert results == [True] * 20 + [False]
    assert len(netfilter.rules("ipv6", backend, "INPUT")) == 20
    assert sorted(log.read_text().split()) == sorted([*netfilter.COMMANDS.values()] * restores)
