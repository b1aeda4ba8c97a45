"""Any ruleset becomes any other in one step; what somebody changes by hand is found; what cannot be is refused."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import netfilter

Converge = Callable[..., dict[str, Any]]

SAVED = {"ipv4": Path("/etc/iptables/rules.v4"), "ipv6": Path("/etc/iptables/rules.v6")}


# --------------------------------------------------------------------------------------------------------------
# Any ruleset from any other

TABLES = ("filter", "mangle", "nat", "raw")
CHAINS = ("alpha", "b-2", "C_3", "delta.v6", "a-chain-with-a-name-of-28-by")
COMMENTS = (
    "plain",
    "two words",
    'a "quoted" word',
    "it's",
    "one, two, three",
    "back\\slash\\",
    "\\\"'",
    "müßig 漢字",
    "-j DROP",
    "*filter COMMIT # [1:2]",
    "a  b ",
    "$HOME `id` %s {{ x }}",
    "no-break\u00a0space",
)
MATCHES = (
    "",
    "-i eth0",
    "-o wlan+",
    "-p tcp --dport 22",
    "-p tcp --syn",
    "-p udp -m multiport --dports 53,123,5000:6000",
    "-m conntrack --ctstate NEW,RELATED",
    "-m limit --limit 7/min --limit-burst 9",
    "-m mark --mark 0x1/0xff",
    "! -p tcp",
)
# Where a target may stand: some only load in one table, and there only in some chains.
TARGETS = {
    "filter": ("-j ACCEPT", "-j DROP", "-j REJECT", "-j LOG --log-prefix 'a \"b\", c: '", "-j RETURN", ""),
    "mangle": ("-j MARK --set-mark 7", "-j ACCEPT", "-j RETURN", ""),
    "nat": ("-j ACCEPT", "-j RETURN", ""),
    "raw": ("-j ACCEPT", "-j CT --notrack", "-j RETURN", ""),
}
# A match that the chains of a table would not take.
REFUSED = {"PREROUTING": "-o", "INPUT": "-o", "OUTPUT": "-i", "POSTROUTING": "-i"}


class World:
    """Rulesets at random: as the pillar has them, and the lines that both commands would be given for them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def tables(self) -> dict[str, Any]:
        names = self.random.sample(TABLES, self.random.randint(1, len(TABLES)))
        return {name: self.table(name) for name in names}

    def table(self, name: str) -> dict[str, Any]:
        own = self.random.sample(CHAINS, self.random.randint(0, len(CHAINS)))
        built_in = [chain for chain in netfilter.BUILT_IN[name] if self.random.random() < 0.7]
        chains: dict[str, Any] = {}
        for chain in built_in:
            chains[chain] = {"rules": self.rules(name, chain, own)}
            if name != "nat" and self.random.random() < 0.7:
                chains[chain]["policy"] = self.random.choice(["ACCEPT", "DROP"])
        for place, chain in enumerate(own):
            chains[chain] = self.rules(name, chain, own[place + 1 :])
        return chains

    def rules(self, table: str, chain: str, below: list[str]) -> list[Any]:
        rules = [self.rule(table, chain, below) for _ in range(self.random.choice([0, 1, 3, 8, 20]))]
        return rules + self.random.sample(rules, len(rules) // 4)  # equal rules

    def rule(self, table: str, chain: str, below: list[str]) -> str:
        matches = [match for match in MATCHES if not match.startswith(REFUSED.get(chain, "-x"))]
        if chain in CHAINS:
            matches = [match for match in matches if not match.startswith(("-i", "-o"))]
        words = [self.random.choice(matches)]
        if self.random.random() < 0.4:
            words.append(f"-m comment --comment {shlex.quote(self.random.choice(COMMENTS))}")
        words.append(self.random.choice([*TARGETS[table], *(f"-j {other}" for other in below)]))
        return " ".join(filter(None, words)) or "-j ACCEPT"

    def changed(self, tables: dict[str, Any]) -> dict[str, Any]:
        """Some edits of what is there, as people make them."""
        edited = {}
        for table, chains in tables.items():
            edited[table] = {chain: dict(each) if isinstance(each, dict) else each for chain, each in chains.items()}
            own = [chain for chain in chains if chain in CHAINS]
            for chain, each in edited[table].items():
                rules = list(each["rules"] if isinstance(each, dict) else each)
                for _ in range(self.random.randint(0, 4)):
                    below = own[own.index(chain) + 1 :] if chain in own else own
                    self.edit(rules, self.rule(table, chain, below))
                edited[table][chain] = {**each, "rules": rules} if isinstance(each, dict) else rules
        return edited

    def edit(self, rules: list[str], new: str) -> None:
        place = self.random.randint(0, len(rules))
        kind = self.random.choice(["insert", "delete", "replace", "move", "turn round"])
        if kind == "insert":
            rules.insert(place, new)
        elif kind == "turn round":
            rules.reverse()
        elif rules:
            old = rules.pop(place % len(rules))
            if kind != "delete":
                rules.insert(self.random.randint(0, len(rules)), old if kind == "move" else new)


def by_hand(tables: dict[str, Any], before: dict[str, list[str]] | None = None) -> str:
    """
    A ruleset as a person would write the file for iptables-restore. A policy that is not said, also of a chain that is
    not, is what it was before.
    """
    lines = []
    for table, chains in tables.items():
        lines.append(f"*{table}")
        lines_before = [line[1:].split() for line in (before or {}).get(table, []) if line.startswith(":")]
        was = {chain: policy for chain, policy in lines_before if policy != "-"}
        policies = was | {
            name: each.get("policy", was.get(name, "ACCEPT")) if isinstance(each, dict) else "-"
            for name, each in chains.items()
        }
        lines += [f":{chain} {policy} [0:0]" for chain, policy in policies.items()]
        for chain, each in chains.items():
            for rule in each["rules"] if isinstance(each, dict) else each:
                words = [quoted(word) for word in shlex.split(rule)]
                lines.append(" ".join(["-A", chain, *words]))
        lines.append("COMMIT")
    return "".join(f"{line}\n" for line in lines)


def quoted(word: str) -> str:
    return '"' + "".join(f"\\{sign}" if sign in "\"'\\" else sign for sign in word) + '"'


@pytest.mark.parametrize("seed", range(6))
def test_any_ruleset_becomes_any_other_in_one_step(converge: Converge, backend: str, seed: int) -> None:
    world = World(seed)
    tables: dict[str, Any] = {}
    expected: dict[str, Any] = {family: {} for family in SAVED}
    for step in range(10):
        tables = world.changed(tables) if tables and world.random.random() < 0.5 else world.tables()
        before = {family: netfilter.tables(netfilter.save(family, backend)) for family in SAVED}
        predicted = converge(tables, test=True, icmpv6_essential=False)
        assert predicted["result"] is not False, predicted["comment"]
        assert {family: netfilter.tables(netfilter.save(family, backend)) for family in SAVED} == before
        done = converge(tables, icmpv6_essential=False)
        assert done["result"] is True, done["comment"]
        assert done["changes"] == predicted["changes"], step
        assert converge(tables, icmpv6_essential=False)["changes"] == {}, step
        for family, path in SAVED.items():
            wanted = netfilter.loaded(family, backend, by_hand(tables, before[family]))
            others = {name: lines for name, lines in expected[family].items() if name not in tables}
            expected[family] = {**others, **wanted}
            assert netfilter.difference(netfilter.tables(netfilter.save(family, backend)), expected[family]) == "", step
            assert (
                netfilter.difference(netfilter.loaded(family, backend, path.read_text()), expected[family]) == ""
            ), step


# --------------------------------------------------------------------------------------------------------------
# What somebody changed by hand

SSH, TELNET, WEB, MAIL = (f"-p tcp -m tcp --dport {port} -j ACCEPT" for port in (22, 23, 80, 25))
CREATED, DELETED = {"old": "absent", "new": "present"}, {"old": "present", "new": "absent"}
HOST: dict[str, Any] = {
    "filter": {
        "INPUT": {"policy": "DROP", "rules": [SSH, WEB, MAIL, "-j own"]},
        "FORWARD": {"policy": "DROP"},
        "OUTPUT": {"policy": "ACCEPT"},  # said, so it is repaired
        "own": ["-p udp -m udp --dport 53 -j ACCEPT"],
    },
    "nat": {"PREROUTING": ["-p tcp -m tcp --dport 81 -j REDIRECT --to-ports 80"]},
}


@pytest.mark.parametrize("family", SAVED)
@pytest.mark.parametrize(
    ("drift", "changes"),
    [
        ("-D INPUT 2", {"filter INPUT": {"added": [WEB]}}),
        ("-A INPUT -j ACCEPT", {"filter INPUT": {"foreign": ["-j ACCEPT"]}}),
        (f"-I INPUT 2 {SSH}", {"filter INPUT": {"removed": [SSH]}}),
        (f"-D INPUT 1\n-A INPUT {SSH}", {"filter INPUT": {"moved": [SSH]}}),
        (f"-R INPUT 1 {TELNET}", {"filter INPUT": {"foreign": [TELNET], "added": [SSH]}}),
        ("-P INPUT ACCEPT", {"filter INPUT": {"policy": {"old": "ACCEPT", "new": "DROP"}}}),
        ("-P OUTPUT DROP", {"filter OUTPUT": {"policy": {"old": "DROP", "new": "ACCEPT"}}}),
        ("-F INPUT", {"filter INPUT": {"added": [SSH, WEB, MAIL, "-j own"]}}),
        ("-F own", {"filter own": {"added": ["-p udp -m udp --dport 53 -j ACCEPT"]}}),
        (
            "-N stray\n-A stray -j DROP\n-I INPUT 1 -j stray",
            {"filter INPUT": {"foreign": ["-j stray"]}, "filter stray": {"chain": DELETED, "foreign": ["-j DROP"]}},
        ),
        (
            "-D INPUT -j own\n-F own\n-X own",
            {
                "filter INPUT": {"added": ["-j own"]},
                "filter own": {"chain": CREATED, "added": ["-p udp -m udp --dport 53 -j ACCEPT"]},
            },
        ),
    ],
)  # fmt: skip
def test_drift_is_named_and_repaired(
    converge: Converge, backend: str, family: str, drift: str, changes: dict[str, Any]
) -> None:
    assert converge(HOST, icmpv6_essential=False)["result"] is True
    before = {each: netfilter.save(each, backend) for each in SAVED}
    netfilter.load(family, backend, f"*filter\n{drift}\nCOMMIT\n")
    assert converge(HOST, test=True, icmpv6_essential=False)["changes"] == {family: changes}
    done = converge(HOST, icmpv6_essential=False)
    assert (done["result"], done["changes"]) == (True, {family: changes})
    assert {each: netfilter.tables(netfilter.save(each, backend)) for each in SAVED} == {
        each: netfilter.tables(text) for each, text in before.items()
    }


def test_a_table_that_somebody_flushed(converge: Converge, backend: str) -> None:
    converge(HOST)
    before = netfilter.tables(netfilter.save("ipv4", backend))
    netfilter.reset()
    assert set(converge(HOST)["changes"]["ipv4"]) == {"filter INPUT", "filter FORWARD", "filter own", "nat PREROUTING"}
    assert netfilter.tables(netfilter.save("ipv4", backend)) == before


@pytest.mark.parametrize("edit", ["", "*filter\nCOMMIT\n", "-A INPUT -j ACCEPT\nCOMMIT\n", None])
def test_a_file_that_somebody_changed(converge: Converge, edit: str | None) -> None:
    converge(HOST)
    path = SAVED["ipv6"]
    before = path.read_text()
    if edit is None:
        path.unlink()
    else:
        path.write_text(edit)
    done = converge(HOST)
    assert done["result"] is True, done["comment"]
    assert list(done["changes"]) == [str(path)]
    assert path.read_text() == before


@pytest.mark.parametrize("sign", ["\u2028", "\u0085", "\x0b", "\x0c", "\x1e", "\t"], ids=ascii)
def test_a_comment_that_others_wrote_breaks_no_run(converge: Converge, backend: str, sign: str) -> None:
    """Python knows more line ends than iptables-save."""
    for table in ("filter", "mangle"):
        rule = f'-A INPUT -p tcp -m comment --comment "theirs{sign}-A INPUT" -j ACCEPT'
        netfilter.load("ipv4", backend, f"*{table}\n{rule}\nCOMMIT\n")
    done = converge(HOST, icmpv6_essential=False)
    assert done["result"] is True, done["comment"]
    assert netfilter.rules("ipv4", backend, "INPUT") == [SSH, WEB, MAIL, "-j own"]
    assert sign in netfilter.save("ipv4", backend)


# --------------------------------------------------------------------------------------------------------------
# What cannot be


@pytest.mark.parametrize(
    ("chains", "named"),
    [
        (
            {"INPUT": [SSH, "-p udp -j ACCEPT", {"rule": "-j REJECT --reject-with tcp-reset", "family": "ipv4"}]},
            ["INPUT:rules[2]", "--reject-with tcp-reset"],
        ),
        (
            {"INPUT": {"rules": {"10-a": [SSH], "20-b": [WEB, "-p tcp --dport nosuchport -j DROP"]}}},
            ["INPUT:rules:20-b[1]", "nosuchport"],
        ),
        ({"INPUT": [SSH, "-j NOWHERE"]}, ["INPUT:rules[1]", "NOWHERE"]),
        ({"INPUT": [SSH, "-j FROBNICATE --frob 7"]}, ["INPUT:rules[1]", "--frob"]),
        ({"INPUT": [SSH, "-m nosuchmatch -j DROP"]}, ["INPUT:rules[1]", "nosuchmatch"]),
        ({"INPUT": [SSH, "-j one"], "one": [WEB, "-j two"], "two": [MAIL, "-j one"]}, ["rules[1]", "-j "]),
        ({"INPUT": [SSH, "-j self"], "self": ["-p tcp -j self"]}, ["self:rules[0]", "-p tcp -j self"]),
        ({"INPUT": ["-j MASQUERADE"]}, ["INPUT:rules[0]", "-j MASQUERADE"]),
        ({"OUTPUT": [SSH, "-i eth0 -j ACCEPT"]}, ["OUTPUT:rules[1]", "-i eth0 -j ACCEPT"]),
        ({"INPUT": ["-m set --match-set missing src -j DROP"]}, ["INPUT:rules[0]", "missing"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_ruleset_that_cannot_be_loaded(
    converge: Converge, backend: str, test: bool, chains: dict[str, Any], named: list[str]
) -> None:
    assert converge(HOST)["result"] is True
    before = [netfilter.save(family, backend, counters=True) for family in SAVED]
    files = [path.read_text() for path in SAVED.values()]
    done = converge({"filter": chains}, test=test)
    assert done["result"] is False
    assert done["changes"] == {}
    for text in ["tables:filter:", *named]:
        assert text in done["comment"]
    assert [netfilter.save(family, backend, counters=True) for family in SAVED] == before
    assert [path.read_text() for path in SAVED.values()] == files
