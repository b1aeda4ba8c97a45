"""``dualstack_iptables`` with its settings in the pillar, and what is read and remembered in a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _dualstack_firewall_canonical as firewall_canonical
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_wanted as firewall_wanted
import pytest

from ..conftest import REPOSITORY
from . import netfilter

SHUT: dict[str, Any] = {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-p tcp --dport 22 -j ACCEPT"]}
TUNNEL = {"endpoint": "192.0.2.41", "address": "2001:db8::2/64"}
Salt = Callable[..., dict[str, Any]]


@pytest.fixture
def commands(backend: str, tmp_path: Path, shadows: Path) -> Path:
    """A log of the iptables commands that are run on the host; those in scratch namespaces are not in it."""
    log = tmp_path / "log"
    here = os.readlink("/proc/self/ns/net")
    for name in (
        f"{command}-{backend}-{verb}" for command in netfilter.COMMANDS.values() for verb in ("save", "restore")
    ):
        wrapper = shadows / name
        noted = f'[ "$(readlink /proc/self/ns/net)" != "{here}" ] || echo {name} >>{log}'
        wrapper.write_text(f'#!/bin/sh\n{noted}\nexec /usr/sbin/{name} "$@"\n')
        wrapper.chmod(0o755)
    return log


@pytest.fixture
def salt(tmp_path: Path) -> Salt:
    """Apply an SLS of one state of ``dualstack_iptables``, masterless, with a pillar."""
    (tmp_path / "states").mkdir()
    (tmp_path / "pillar").mkdir()
    minion = {
        "id": "pillared",
        "file_client": "local",
        "root_dir": str(tmp_path),
        "file_roots": {"base": [str(tmp_path / "states")]},
        "pillar_roots": {"base": [str(tmp_path / "pillar")]},
        "module_dirs": [str(REPOSITORY)],
    }
    (tmp_path / "minion").write_text(json.dumps(minion))
    (tmp_path / "pillar" / "top.sls").write_text("base: {'*': [all]}\n")

    def run(given: str, fun: str = "ruleset", *words: str, **arguments: Any) -> dict[str, Any]:
        (tmp_path / "pillar" / "all.sls").write_text(given)
        named = [{key: value} for key, value in {"pillar": "ipv6:firewall", **arguments}.items()]
        state = {"firewall": {f"dualstack_iptables.{fun}": named}}
        (tmp_path / "states" / "one.sls").write_text("#!json\n" + json.dumps(state))
        program = [sys.executable, "-W", "ignore", str(Path(sys.executable).with_name("salt-call"))]
        program += ["-c", str(tmp_path), "--local", "--out=json", "state.apply", "one", *words]
        said = subprocess.run(program, capture_output=True, text=True, check=False)
        (done,) = json.loads(said.stdout)["local"].values()
        result: dict[str, Any] = done
        return result

    return run


def pillar(choice: str, chain: Any = None, **firewall: Any) -> str:
    given = {"backend": choice, "tables": {"filter": {"INPUT": chain or SHUT}}, **firewall}
    return json.dumps({"ipv6": {"firewall": given, "tunnel": TUNNEL}})


def test_the_state_reads_the_pillar(salt: Salt, backend: str) -> None:
    expect = [{"to": "tcp/22", "verdict": "accept"}, {"to": "tcp/23", "verdict": "drop"}]
    given = pillar(backend, expect=expect, clamp_mss=True)
    predicted = salt(given, "ruleset", "test=True")
    assert predicted["result"] is None, predicted["comment"]
    done = salt(given)
    assert done["result"] is True, done["comment"]
    assert (done["name"], done["changes"]) == ("firewall", predicted["changes"])
    assert netfilter.rules("ipv4", backend, "INPUT")[0] == "-s 192.0.2.41/32 -p ipv6 -j ACCEPT"
    assert any("-i he-ipv6 " in rule for rule in netfilter.rules("ipv6", backend, "FORWARD", "mangle"))
    again = salt(given)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]
    proven = salt(given, "proven")
    assert proven["result"] is True, proven["comment"]
    assert proven["comment"].count("found accept") == 2


def test_a_manager_that_is_not_there_needs_no_taking_over(salt: Salt, backend: str) -> None:
    """As in the example of the command line: the manager is named there, and the rules are the pillar's."""
    predicted = salt(pillar(backend), "taken_over", "test=True", take_over=["ufw"])
    assert predicted["result"] is None, predicted["comment"]
    done = salt(pillar(backend), "taken_over", take_over=["ufw"])
    assert (done["result"], done["changes"]) == (True, predicted["changes"]), done["comment"]
    assert salt(pillar(backend), "taken_over", take_over=["ufw"])["changes"] == {}


def test_what_is_named_wins_over_the_pillar(salt: Salt, backend: str) -> None:
    named = {"tables": {"filter": {"INPUT": ["-i named -j ACCEPT"]}}, "tunnel": {"endpoint": "192.0.2.99"}}
    done = salt(pillar("sideways"), backend=backend, save=False, **named)
    assert done["result"] is True, done["comment"]
    assert netfilter.rules("ipv4", backend, "INPUT") == ["-s 192.0.2.99/32 -p ipv6 -j ACCEPT", "-i named -j ACCEPT"]
    assert not any("rules.v" in key for key in done["changes"])


@pytest.mark.parametrize(
    ("fun", "chain", "firewall", "arguments", "comments"),
    [
        (
            "ruleset",
            ["-p tcp"],
            {"sav": 1, "backend": "ntf"},
            {"save": 7, "expect": [{"to": "x", "verdict": "drop"}]},
            [
                "ipv6:firewall:sav: unknown key; ",
                "ipv6:firewall:backend: 'ntf' is not a backend",
                "save: 7 is neither",
                "expect[0]:to: 'x' is not",
            ],
        ),
        ("proven", ["--dport"], {}, {}, ["ipv6:firewall:tables:filter:INPUT:rules[0]: "]),
        ("ruleset", ["-j NOWHERE"], {}, {}, ["ipv6:firewall:tables:filter:INPUT:rules[0]: ip"] * 2),
        (
            "proven",
            [],
            {},
            {"pillar": "ipv6:fierwall"},
            ["ipv6:fierwall: expected a mapping in the pillar, found nothing"],
        ),
        ("ruleset", [], {}, {"pilar": "ipv6:firewall"}, ["unknown argument: pilar"]),
    ],
    ids=["keys", "rule", "kernel", "no such key", "argument"],
)
def test_an_error_begins_with_its_place(
    salt: Salt, fun: str, chain: Any, firewall: Any, arguments: dict[str, Any], comments: list[str]
) -> None:
    done = salt(pillar("nft", chain, **firewall), fun, **arguments)
    assert (done["result"], done["changes"]) == (False, {})
    lines = done["comment"].splitlines()
    assert len(lines) == len(comments), lines
    for comment in comments:
        assert any(line.startswith(comment) for line in lines), (comment, lines)


@pytest.mark.parametrize("save", [True, False])
def test_how_often_the_live_rules_are_read(salt: Salt, commands: Path, backend: str, save: bool) -> None:
    """For the plan, under the lock in front of the change, and after it; without changes once, and once to prove."""
    given = pillar(backend, save=save, expect=[{"to": "tcp/22", "verdict": "accept"}])
    for fun, reads, restores in (("ruleset", 3, 1), ("ruleset", 1, 0), ("proven", 1, 0)):
        commands.write_text("")
        done = salt(given, fun)
        assert done["result"] is True, done["comment"]
        expected = {f"{command}-{backend}-save": reads for command in netfilter.COMMANDS.values()}
        expected |= {f"{command}-{backend}-restore": restores for command in netfilter.COMMANDS.values() if restores}
        assert Counter(commands.read_text().split()) == expected


def test_what_a_check_has_found_out_is_not_found_out_again(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of the whole pillar asks the kernel; the state then finds its answer."""
    whole = json.loads(pillar(backend))
    assert firewall_wanted.refused(whole, "ipv6:firewall", str(tmp_path)) == []

    def never(*_: Any) -> None:
        raise AssertionError("the kernel was asked again")

    monkeypatch.setattr(firewall_canonical, "canonical", never)
    declared = firewall_declared.declared(whole, "ipv6:firewall", {}, None)
    assert firewall_wanted.wanted(declared, str(tmp_path)).tables["ipv4"]["filter"]["INPUT"]["rules"][2:] == [
        "-p tcp -m tcp --dport 22 -j ACCEPT"
    ]
    whole["ipv6"]["firewall"]["icmpv6_essential"] = False
    with pytest.raises(AssertionError):
        firewall_wanted.refused(whole, "ipv6:firewall", str(tmp_path))


def test_a_check_tells_the_rules_that_the_kernel_refuses(backend: str, tmp_path: Path) -> None:
    before = {family: netfilter.save(family, backend) for family in netfilter.COMMANDS}
    for chain, said in (
        (["-p tcp -j ACCEPT", "-j NOWHERE"], {"ipv6:firewall:tables:filter:INPUT:rules[1]"}),
        (["-m set --match-set unheard-of src -j DROP"], {"ipv6:firewall:tables:filter:INPUT:rules[0]"}),
        (["-p tcp -j ACCEPT"], set()),
    ):
        found = firewall_wanted.refused(json.loads(pillar(backend, chain)), "ipv6:firewall", str(tmp_path))
        assert {each.partition(": ")[0] for each in found} == said
    other = json.loads(pillar(backend, expect=[{"to": "tcp/23", "verdict": "accept"}]))
    assert firewall_wanted.refused(other, "ipv6:firewall", str(tmp_path)) == []  # this is told by the rehearsal
    assert {family: netfilter.save(family, backend) for family in netfilter.COMMANDS} == before


NUMBERED = """
ipv6:
  firewall:
    backend: {backend}
    icmpv6_essential: false
    tables:
      filter:
        INPUT:
          policy: DROP
          rules:
            100: [-j DROP]
            20: [-p tcp --dport 20 -j ACCEPT]
            late: [-p tcp --dport 1 -j ACCEPT]
            5: [-i lo -j ACCEPT]
            "10": [-p tcp --dport 10 -j ACCEPT]
    expect:
      - {{to: "tcp/10,20", verdict: accept}}
      - {{to: tcp/1, verdict: drop}}
"""
IN_ORDER = [
    "-i lo -j ACCEPT",
    "-p tcp -m tcp --dport 10 -j ACCEPT",
    "-p tcp -m tcp --dport 20 -j ACCEPT",
    "-j DROP",
    "-p tcp -m tcp --dport 1 -j ACCEPT",
]


def test_number_keys_of_the_pillar_are_numbers(salt: Salt, backend: str) -> None:
    """Sorted as text, 100 would stand in front of 20 and 5, and shut their ports."""
    done = salt(NUMBERED.format(backend=backend))
    assert done["result"] is True, done["comment"]
    for family in netfilter.COMMANDS:
        assert netfilter.rules(family, backend, "INPUT") == IN_ORDER


def test_number_keys_that_have_become_text(converge: Callable[..., dict[str, Any]], backend: str) -> None:
    """As over salt-ssh, where a pillar is JSON for a while."""
    rules = {"100": ["-j DROP"], "20": [IN_ORDER[2]], "late": [IN_ORDER[4]], "5": [IN_ORDER[0]], "10": [IN_ORDER[1]]}
    done = converge({"filter": {"INPUT": {"rules": rules}}}, icmpv6_essential=False)
    assert done["result"] is True, done["comment"]
    assert netfilter.rules("ipv4", backend, "INPUT") == IN_ORDER
