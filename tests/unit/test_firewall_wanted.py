"""The kernel's form of a firewall: what is remembered of it, what is said of it, and which rule is to blame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_firewall_blame as firewall_blame
import _dualstack_firewall_canonical as firewall_canonical
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_scratch as firewall_scratch
import _dualstack_firewall_wanted as firewall_wanted
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

Declared = firewall_declared.Declared
SET = "create bad hash:ip family inet\n"
SENTENCE = "'restore' ended with 1 and said: no"


def refusal(line: int | None = None) -> firewall_scratch.Refusal:
    return firewall_scratch.Refusal("no", line, SENTENCE)


class Kernel:
    """Takes every rule but those with a certain word, and knows what it was asked."""

    def __init__(self) -> None:
        self.families = ["ipv4", "ipv6"]
        self.print, self.sets, self.bad = "one kernel", "", "no-such-target"
        self.line: int | None = None  # that it names in a refusal
        self.namespaces, self.loads = True, 0

    def load(self, texts: dict[str, str], backend: str, sets: str = "") -> firewall_scratch.Loaded:
        if not self.namespaces:
            raise firewall_commands.NoNamespaces("namespaces are not permitted")
        self.loads += 1
        refusals = {each: refusal(self.line) for each, text in texts.items() if self.bad in text}
        taken = {each: firewall_save.parse(text) for each, text in texts.items() if each not in refusals}
        return firewall_scratch.Loaded(taken, refusals)

    def load_in_place(self, tables: dict[str, firewall_save.Tables], backend: str) -> firewall_scratch.Loaded:
        self.loads += 1
        return firewall_scratch.Loaded(tables, {})


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel()
    monkeypatch.setattr(firewall_commands, "backend", lambda choice: "nft" if choice == "auto" else choice)
    monkeypatch.setattr(firewall_kernel, "families", lambda: found.families)
    monkeypatch.setattr(firewall_kernel, "sets", lambda: found.sets)
    monkeypatch.setattr(firewall_kernel, "fingerprint", lambda backend: [found.print, backend])
    monkeypatch.setattr(firewall_scratch, "load", found.load)
    monkeypatch.setattr(firewall_scratch, "load_in_place", found.load_in_place)
    return found


def firewall(*rules: Any, **others: Any) -> dict[str, Any]:
    return {"tables": {"filter": {"INPUT": {"policy": "DROP", "rules": list(rules)}}}, **others}


def wanted(tmp_path: Path, *rules: Any, tunnel: Any = None, key: str = "", **others: Any) -> firewall_wanted.Wanted:
    return firewall_wanted.wanted(Declared(firewall(*rules, **others), tunnel, key), str(tmp_path))


# --------------------------------------------------------------------------------------------------------------
# What is remembered


def test_the_kernel_is_asked_once(kernel: Kernel, tmp_path: Path) -> None:
    first = wanted(tmp_path, "-i lo -j ACCEPT", preserve_only=["x-*"])
    assert first.tables["ipv4"]["filter"]["INPUT"] == {"policy": "DROP", "rules": ["-i lo -j ACCEPT"]}
    assert (first.preserve, first.warnings, first.backend, first.lasting) == (["x-*"], [], "nft", True)
    assert wanted(tmp_path, "-i lo -j ACCEPT", preserve_only=["x-*"]) == first
    assert kernel.loads == 1


def test_what_does_not_affect_the_rules_does_not_matter(kernel: Kernel, tmp_path: Path) -> None:
    for others in ({}, {"save": False}, {"expect": [{"to": "tcp/22", "verdict": "drop"}]}):
        wanted(tmp_path, "-i lo -j ACCEPT", **others)
    assert kernel.loads == 1


TUNNEL = {"name": "six", "endpoint": "192.0.2.41", "ttl": 5}


@pytest.mark.parametrize(
    "others",
    [
        {"backend": "legacy"},
        {"preserve": ["x-*"]},
        {"icmpv6_essential": False},
        {"tunnel": TUNNEL},
        {"clamp_mss": True},
        {"key": "ipv6:firewall"},
    ],
)
def test_whatever_affects_them_has_the_kernel_asked_again(kernel: Kernel, tmp_path: Path, others: Any) -> None:
    first = wanted(tmp_path, "-i lo -j ACCEPT")
    assert wanted(tmp_path, "-i lo -j ACCEPT", **others).key != first.key
    assert kernel.loads == 2


@pytest.mark.parametrize(("change", "loads"), [({"endpoint": "192.0.2.42"}, 2), ({"name": "x"}, 2), ({"ttl": 9}, 1)])
def test_of_a_tunnel_its_name_and_its_endpoint_matter(
    kernel: Kernel, tmp_path: Path, change: dict[str, Any], loads: int
) -> None:
    wanted(tmp_path, "-i lo -j ACCEPT", tunnel=TUNNEL)
    wanted(tmp_path, "-i lo -j ACCEPT", tunnel={**TUNNEL, **change})
    assert kernel.loads == loads


def test_another_kernel_is_asked_anew(kernel: Kernel, tmp_path: Path) -> None:
    wanted(tmp_path, "-i lo -j ACCEPT")
    kernel.print = "another kernel"
    wanted(tmp_path, "-i lo -j ACCEPT")
    assert kernel.loads == 2


def test_a_set_that_now_holds_another_family(kernel: Kernel, tmp_path: Path) -> None:
    rule = "-m set --match-set bad src -j DROP"
    kernel.sets = SET
    assert rule in wanted(tmp_path, rule).tables["ipv4"]["filter"]["INPUT"]["rules"]
    assert rule not in wanted(tmp_path, rule).tables["ipv6"]["filter"]["INPUT"]["rules"]
    kernel.sets = SET.replace("inet", "inet6")
    assert rule in wanted(tmp_path, rule).tables["ipv6"]["filter"]["INPUT"]["rules"]
    assert kernel.loads == 2


@pytest.mark.parametrize(
    ("rule", "lasting"),
    [
        ("-s www.example.org -j DROP", False),
        ("-p tcp -d www -j DROP", False),
        ("-s 192.0.2.1,www.example.org -j DROP", False),
        ("! -s cafe -j DROP", False),
        ("-s www.example.org", False),
        ("-s 192.0.2.1,192.0.2.0/24,10.0.0.0/255.0.0.0 -j DROP", True),
        ("-s 2001:db8::/32 -d fe80::1 -j DROP", True),
        ("-d 192.0.2.1", True),
        ('-m comment --comment "www -sx" -j DROP', True),
    ],
)
def test_a_host_name_may_have_another_address_tomorrow(
    kernel: Kernel, tmp_path: Path, rule: str, lasting: bool
) -> None:
    assert wanted(tmp_path, rule).lasting is lasting
    wanted(tmp_path, rule)
    assert kernel.loads == (1 if lasting else 2)


def test_a_proof_is_remembered_beside_the_rules(kernel: Kernel, tmp_path: Path) -> None:
    first = wanted(tmp_path, "-i lo -j ACCEPT")
    assert first.proof == ""
    firewall_wanted.remember(first._replace(proof="of these"), str(tmp_path))
    assert wanted(tmp_path, "-i lo -j ACCEPT") == first._replace(proof="of these")
    assert kernel.loads == 1
    named = wanted(tmp_path, "-s www.example.org -j DROP")
    firewall_wanted.remember(named._replace(proof="of those"), str(tmp_path))
    assert wanted(tmp_path, "-s www.example.org -j DROP").proof == "of those"


# --------------------------------------------------------------------------------------------------------------
# What is said


def test_a_warning_begins_with_its_place_in_every_run(kernel: Kernel, tmp_path: Path) -> None:
    said = "ipv6:firewall:tables:filter:INPUT:rules[1]: `--log-prefix`: the kernel keeps 29 of 30 bytes"
    for _ in range(2):
        found = wanted(tmp_path, "-i lo -j ACCEPT", f"-j LOG --log-prefix {'x' * 30}", key="ipv6:firewall")
        assert found.warnings == [said]


def test_a_kernel_without_ipv6(kernel: Kernel, tmp_path: Path) -> None:
    kernel.families = ["ipv4"]
    found = wanted(tmp_path, "-i lo -j ACCEPT")
    assert list(found.tables) == ["ipv4"]
    assert found.warnings == ["this kernel was started without IPv6 (ipv6.disable): nothing was done for it"]


def test_where_namespaces_are_not_permitted(kernel: Kernel, tmp_path: Path) -> None:
    kernel.namespaces = False
    found = wanted(tmp_path, "-i lo -j ACCEPT")
    assert found.warnings == ["namespaces are not permitted; the rules were normalised in unreferenced chains"]
    assert found.tables["ipv4"]["filter"]["INPUT"]["rules"] == ["-i lo -j ACCEPT"]


def test_every_error_is_said_with_its_place(kernel: Kernel, tmp_path: Path) -> None:
    with pytest.raises(SaltInvocationError) as caught:
        wanted(tmp_path, "-p", sve=True, key="ipv6:firewall")
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        "ipv6:firewall:sve",
        "ipv6:firewall:tables:filter:INPUT:rules[0]",
    ]
    with pytest.raises(SaltInvocationError, match=r"^tables:filter:INPUT:rules\[0\]: "):
        wanted(tmp_path, "-p")
    assert kernel.loads == 0


def refused(tmp_path: Path, *rules: str) -> list[str]:
    return firewall_wanted.refused({"ipv6": {"firewall": firewall(*rules)}}, "ipv6:firewall", str(tmp_path))


def test_a_rule_that_the_kernel_refuses(kernel: Kernel, tmp_path: Path) -> None:
    assert refused(tmp_path, "-i lo -j ACCEPT") == []
    assert refused(tmp_path, "-i lo -j ACCEPT", "-j no-such-target") == [
        f"ipv6:firewall:tables:filter:INPUT:rules[1]: {command} does not take '-j no-such-target': no"
        for command in ("iptables", "ip6tables")
    ]
    assert refused(tmp_path, "-p")[0].startswith("ipv6:firewall:tables:filter:INPUT:rules[0]: ")


def test_other_obstacles_are_not_the_rules_fault(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (firewall_commands.NotInstalled("no iptables"), CommandExecutionError("x"), OSError("x")):

        def fails(choice: str, error: Exception = error) -> str:
            raise error

        monkeypatch.setattr(firewall_commands, "backend", fails)
        assert refused(tmp_path, "-i lo -j ACCEPT") == []


# --------------------------------------------------------------------------------------------------------------
# Who is to blame

TABLES: firewall_save.Tables = {
    "nat": {"OUTPUT": {"policy": "ACCEPT", "rules": ["-p tcp", "-p udp"]}, "IN": {"policy": None, "rules": ["-p 9"]}},
    "filter": {
        "INPUT": {"policy": "DROP", "rules": ["", "-i lo -j A", "-i lo -j B"]},
        "OUTPUT": {"policy": "DROP", "rules": ["-o lo -j A", "", "-o lo -j B"]},
    },
}
PLACES = [
    (table, chain, number)
    for table, chains in TABLES.items()
    for chain, each in chains.items()
    for number in range(len(each["rules"]))
]
ORIGINS = {
    table: {
        chain: [f"{table} {chain} {number}" for number in range(len(each["rules"]))] for chain, each in chains.items()
    }
    for table, chains in TABLES.items()
}


@pytest.mark.parametrize(("table", "chain", "number"), PLACES)
@pytest.mark.parametrize("named", [True, False])
def test_the_rule_that_is_to_blame(
    monkeypatch: pytest.MonkeyPatch, table: str, chain: str, number: int, named: bool
) -> None:
    """By the line that iptables-restore names, or by trying, where it names none, or the one of its COMMIT."""
    lines = firewall_save.render(TABLES).split("\n")
    rules = TABLES[table][chain]["rules"]
    start = lines.index(f"*{table}")
    same = [at for at, line in enumerate(lines) if at > start and f"{line} ".startswith(f"-A {chain} ")]
    bad = same[number]
    tries = []

    def load(texts: dict[str, str], backend: str, sets: str) -> firewall_scratch.Loaded:
        """Refuses whatever has this rule, which is not the same as any other up to there."""
        (text,) = texts.values()
        assert (backend, sets) == ("nft", SET)
        tries.append(text)
        count = sum(line.startswith("-A ") for line in lines[: bad + 1])
        wrong = sum(line.startswith("-A ") for line in text.split("\n")) >= count
        return firewall_scratch.Loaded({}, {"ipv4": refusal()} if wrong else {})

    monkeypatch.setattr(firewall_scratch, "load", load)
    for line in [bad + 1] if named else [None, 0, start + 1, len(lines), len(lines) + 5]:
        found = firewall_blame.rule("ipv4", refusal(line), TABLES, ORIGINS, "nft", SET)
        assert found == (f"{table} {chain} {number}", rules[number])
    assert bool(tries) is not named


def test_nobody_is_to_blame(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.bad = "nothing"
    assert firewall_blame.rule("ipv4", refusal(), TABLES, ORIGINS, "nft", "") is None
    kernel.bad = "*filter"  # not even without a rule
    assert firewall_blame.rule("ipv4", refusal(), TABLES, ORIGINS, "nft", "") is None
    kernel.namespaces = False
    assert firewall_blame.rule("ipv4", refusal(), TABLES, ORIGINS, "nft", "") is None
    assert firewall_blame.rule("ipv4", refusal(), {}, {}, "nft", "") is None


def test_a_ruleset_without_a_rule_to_blame(kernel: Kernel) -> None:
    kernel.bad = "*filter"
    tables = {"ipv6": {"filter": TABLES["filter"]}}
    with pytest.raises(firewall_canonical.Refused) as caught:
        firewall_canonical.canonical(tables, {"ipv6": ORIGINS}, [], "nft", "")
    assert (caught.value.rules, caught.value.others) == ([], [f"ip6tables does not take the ruleset: {SENTENCE}"])
    assert str(caught.value) == f"ip6tables does not take the ruleset: {SENTENCE}"


def test_what_nobody_has_stated_is_not_stated_afterwards(kernel: Kernel) -> None:
    """Nor are the chains of others that stood in for those that the rules lead to."""
    declared: firewall_save.Tables = {
        "filter": {"INPUT": {"policy": "", "rules": ["-j f2b-sshd"]}, "OWN": {"policy": None, "rules": []}}
    }
    found, warnings = firewall_canonical.canonical({"ipv4": declared}, {"ipv4": {}}, ["f2b-*"], "nft", "")
    assert warnings == []
    assert found == {"ipv4": declared}
