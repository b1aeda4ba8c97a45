"""The doors ``dualstack_iptables`` and ``aaaa``: what they take from the pillar, and whom they ask."""

from __future__ import annotations

from typing import Any, NamedTuple

import aaaa
import dualstack_iptables
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

TABLES: dict[str, Any] = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-p icmp -j ACCEPT"]}}}
TUNNEL = {"name": "six", "endpoint": "192.0.2.41"}
PILLAR: dict[str, Any] = {"ipv6": {"firewall": {"tables": TABLES, "icmpv6_essential": False}, "tunnel": TUNNEL}}
LIVE = {
    "ipv4": {"filter": {"INPUT": {"policy": "DROP", "rules": ["-j x-own", "-j f2b-sshd", "-s 192.0.2.1 -j ACCEPT"]}}},
    "ipv6": {"filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp -j ACCEPT"]}}},
}


def room(door: Any, name: str) -> Any:
    """A room, as a door has it."""
    return vars(door)[name]


@pytest.fixture(autouse=True)
def _salt(monkeypatch: pytest.MonkeyPatch) -> None:
    for door in (dualstack_iptables, aaaa):
        for name, value in (
            ("__opts__", {"test": False, "cachedir": "/nowhere"}),
            ("__pillar__", {}),
            ("__salt__", {}),
        ):
            monkeypatch.setattr(door, name, value, raising=False)


def pillar(monkeypatch: pytest.MonkeyPatch, **firewall: Any) -> None:
    found = {"ipv6": {**PILLAR["ipv6"], "firewall": {**PILLAR["ipv6"]["firewall"], **firewall}}}
    monkeypatch.setattr(dualstack_iptables, "__pillar__", found)


# --------------------------------------------------------------------------------------------------------------
# dualstack_iptables


def test_the_rules_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the pillar, or those that are given."""
    pillar(monkeypatch)
    four = "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.41 -p ipv6 -j ACCEPT\n"
    found = dualstack_iptables.render()
    assert found["ipv4"].startswith(four)
    assert found["ipv6"] == "*filter\n:INPUT DROP [0:0]\n-A INPUT -p ipv6-icmp -j ACCEPT\nCOMMIT\n"
    given = {"tables": {"filter": {"INPUT": ["-i lo -j DROP"]}}, "icmpv6_essential": False}
    found = dualstack_iptables.render(given, {"name": "x", "endpoint": "192.0.2.42"})
    assert found["ipv6"] == "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -j DROP\nCOMMIT\n"
    assert "-s 192.0.2.42 -p ipv6 -j ACCEPT" in found["ipv4"]
    with pytest.raises(SaltInvocationError, match="^tables: expected a mapping"):
        dualstack_iptables.render({})


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with these rules and sets."""
    commands, kernel = room(dualstack_iptables, "firewall_commands"), room(dualstack_iptables, "firewall_kernel")
    monkeypatch.setattr(commands, "backend", lambda choice: f"the {choice} one")
    monkeypatch.setattr(kernel, "read", lambda backend: LIVE if backend == "the auto one" else {"ipv4": {}, "ipv6": {}})
    monkeypatch.setattr(kernel, "sets", lambda: "create bad hash:ip family inet\n")


@pytest.mark.usefixtures("live")
def test_the_live_rules_without_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    found, *_ = dualstack_iptables.adopt()["ipv6"]["firewall"]["tables"]["filter"]["INPUT"]["rules"]
    assert found == {"family": "ipv4", "rule": "-j x-own"}
    pillar(monkeypatch, preserve_only=["x-*"])
    assert dualstack_iptables.adopt()["ipv6"]["firewall"]["tables"]["filter"]["INPUT"]["rules"] == [
        {"family": "ipv4", "rule": "-j f2b-sshd"},
        "-s 192.0.2.1 -j ACCEPT",
        {"family": "ipv6", "rule": "-p tcp -j ACCEPT"},
    ]
    assert dualstack_iptables.adopt("legacy")["ipv6"]["firewall"]["tables"] == {}
    assert [each["rule"] for each in dualstack_iptables.audit()] == ["-p tcp -j ACCEPT", "-j f2b-sshd"]
    assert dualstack_iptables.audit("legacy") == []


@pytest.mark.usefixtures("live")
def test_the_tunnel_of_the_pillar_and_the_sets_of_the_host_are_considered(monkeypatch: pytest.MonkeyPatch) -> None:
    pillar(monkeypatch)
    rule = "-i six -j ACCEPT"
    tables = {"ipv4": {}, "ipv6": {"filter": {"INPUT": {"policy": "ACCEPT", "rules": [rule]}}}}
    kernel = room(dualstack_iptables, "firewall_kernel")
    monkeypatch.setattr(kernel, "read", lambda backend: tables)
    assert dualstack_iptables.audit() == []
    monkeypatch.setattr(dualstack_iptables, "__pillar__", {})
    assert [each["rule"] for each in dualstack_iptables.audit()] == [rule]
    bad = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-m set --match-set bad src -j DROP"]}}}
    monkeypatch.setattr(kernel, "read", lambda backend: {"ipv4": bad, "ipv6": {}})
    assert dualstack_iptables.audit() == [], "the set holds IPv4 only"


def test_whom_the_rules_let_in_by_the_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(room(dualstack_iptables, "firewall_trial"), "allowed", lambda *each: given.append(each))
    pillar(monkeypatch)
    dualstack_iptables.allowed(["tcp/22"])
    dualstack_iptables.allowed(["tcp/22"], {"name": "x"}, "nft")
    monkeypatch.setattr(dualstack_iptables, "__pillar__", {})
    dualstack_iptables.allowed(["tcp/22"])
    assert given == [(["tcp/22"], TUNNEL, "auto"), (["tcp/22"], {"name": "x"}, "nft"), (["tcp/22"], None, "auto")]


def test_a_dry_run_of_the_whole_firewall(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a difference is, is found out without predicting that iptables will be installed."""
    seen: list[Any] = []
    whole = room(dualstack_iptables, "firewall_whole")
    converge = room(dualstack_iptables, "converge")

    def change(declare: Any, opts: Any, test: bool) -> Any:
        seen.append((declare(), test))
        plan = {"changes": {"ipv4": {"x": 1}}, "warnings": []}
        return converge.Change("firewall", lambda: dict(plan), lambda _: None, lambda _: [])

    monkeypatch.setattr(whole, "change", change)
    pillar(monkeypatch, save=False)
    assert dualstack_iptables.diff() == {"ipv4": {"x": 1}}
    done = dualstack_iptables.ruleset("x", pillar="ipv6:firewall", backend="nft", test=True)
    assert (done["result"], done["changes"]) == (None, {"ipv4": {"x": 1}})
    assert dualstack_iptables.ruleset("x", tables=TABLES, tunnel={"name": "y"}, oops=1)["comment"] == (
        "unknown argument: oops"
    )
    (first, test), (second, predicted), (third, _) = seen
    assert (test, predicted) == (False, True)
    assert first.firewall == {"tables": TABLES, "icmpv6_essential": False, "save": False}
    assert second.firewall == {**first.firewall, "backend": "nft"}
    assert (second.key, second.named, second.tunnel) == ("ipv6:firewall", {"backend"}, TUNNEL)
    assert (third.firewall, third.key, third.tunnel) == ({"tables": TABLES}, "", {"name": "y"})


class Single:
    """What is done to single rules; it fails where one is wrong."""

    def __init__(self, door: Any) -> None:
        self.made: list[Any] = []
        self.converge = room(door, "converge")

    def change(self, rules: list[Any], backend: str, save: bool, edit: Any, opts: Any) -> Any:
        assert opts is dualstack_iptables.__opts__
        self.made.append((rules, backend, save, edit.__name__))

        def plan() -> Any:
            if "wrong" in str(rules):
                raise SaltInvocationError("one is wrong")
            return {"changes": {}, "warnings": []}

        return self.converge.Change("firewall", plan, lambda _: None, lambda _: [])


@pytest.mark.parametrize(
    ("function", "edit", "place"),
    [("rule", "with_rule", {"position": "end"}), ("rule_absent", "without_rule", {})],
)
def test_single_rules(monkeypatch: pytest.MonkeyPatch, function: str, edit: str, place: dict[str, str]) -> None:
    single = Single(dualstack_iptables)
    monkeypatch.setattr(room(dualstack_iptables, "firewall_single"), "change", single.change)
    # Whatever manages the firewall of the machine that the tests run on.
    monkeypatch.setattr(room(dualstack_iptables, "firewall_managers"), "before", lambda plan, *_: plan)
    run = getattr(dualstack_iptables, function)
    assert run("-i lo")["result"] is True
    assert run("x", rule="-i lo", chain="A", table="nat", backend="nft", save=False)["result"] is True
    one = {"rule": "-i lo", "chain": "INPUT", "table": "filter", **place}
    assert single.made == [
        ([one], "auto", True, edit),
        ([{**one, "chain": "A", "table": "nat"}], "nft", False, edit),
    ]
    assert run("x", oops=1)["comment"] == "unknown argument: oops"


def test_of_rules_that_were_put_together_a_wrong_one_spoils_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    single = Single(dualstack_iptables)
    monkeypatch.setattr(room(dualstack_iptables, "firewall_single"), "change", single.change)
    # Whatever manages the firewall of the machine that the tests run on.
    monkeypatch.setattr(room(dualstack_iptables, "firewall_managers"), "before", lambda plan, *_: plan)
    together = [{"rule": "-i lo"}, {"rule": "-o lo"}]
    assert dualstack_iptables.rule("-i lo", aggregated=together)["result"] is True
    assert [rules for rules, *_ in single.made] == [together]
    single.made.clear()
    together[1]["rule"] = "wrong"
    assert dualstack_iptables.rule("-i lo", aggregated=together)["result"] is True
    assert [len(rules) for rules, *_ in single.made] == [2, 1]
    assert dualstack_iptables.rule("wrong", aggregated=together)["comment"] == "one is wrong"


# --------------------------------------------------------------------------------------------------------------
# aaaa


def test_a_name_is_looked_up_in_its_usual_form(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(room(aaaa, "dns_ask"), "lookup", lambda *each: given.append(each))
    aaaa.lookup("WWW.Example.org.", ["192.0.2.53"])
    aaaa.lookup("www.example.org")
    assert given == [("www.example.org", ["192.0.2.53"]), ("www.example.org", None)]
    with pytest.raises(SaltInvocationError) as caught:
        aaaa.lookup("x y", ["ns1"])
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == ["names", "servers"]


class Wish(NamedTuple):
    """What is asked for."""

    deadline: float = 5.0


WISH = Wish()


class Records:
    """The changes of records, and what is remembered of them."""

    def __init__(self) -> None:
        self.wishes: list[Any] = []
        self.claimed: list[Any] = []
        self.error: Exception | None = None

    def wish(self, name: str, given: Any, key: Any, pillar: Any, providers: Any) -> Any:
        self.wishes.append((name, given, key))
        return WISH

    def plan(self, wish: Any) -> Any:
        if isinstance(self.error, CommandExecutionError):
            raise self.error
        assert wish.deadline in (WISH.deadline, 0)  # nobody waits where it is only predicted
        return {"changes": {}, "warnings": []}

    def claim(self, wish: Any) -> None:
        if self.error:
            raise self.error
        self.claimed.append(wish)


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    found = Records()
    monkeypatch.setattr(room(aaaa, "dns_settings"), "wish", found.wish)
    for name, value in (("plan_published", found.plan), ("plan_withdrawn", found.plan), ("claim", found.claim)):
        monkeypatch.setattr(room(aaaa, "dns_change"), name, value)
    return found


GIVEN: dict[str, Any] = {
    **{"address": "2001:db8::1", "exclusive": True, "servers": ["192.0.2.53"], "deadline": 5.0},
    "credentials": "a:key",
}


def test_what_is_asked_for_in_the_words_of_the_pillar(records: Records) -> None:
    aaaa.published("x", records=["www.example.org"], by="he", ttl=60, pillar="ipv6:dns", **GIVEN)
    aaaa.withdrawn("x", records=["www.example.org"], by="he", pillar="ipv6:dns", **GIVEN)
    wish = {"names": ["www.example.org"], "provider": "he", **GIVEN}
    assert records.wishes == [("x", {**wish, "ttl": 60}, "ipv6:dns"), ("x", wish, "ipv6:dns")]
    assert aaaa.published("x", oops=1)["comment"] == aaaa.withdrawn("x", oops=1)["comment"] == "unknown argument: oops"


def test_what_is_right_already_is_remembered_as_published(records: Records) -> None:
    assert aaaa.published("x")["result"] is True
    assert records.claimed == [WISH]
    assert aaaa.published("x", test=True)["result"] is True
    assert aaaa.withdrawn("x")["result"] is True
    assert records.claimed == [WISH], "neither predicting nor withdrawing publishes anything"


def test_what_could_not_be_remembered_is_an_error(records: Records) -> None:
    records.error = OSError("no space left")
    done = aaaa.published("x")
    assert done["result"] is False
    assert done["comment"].splitlines()[-1] == "It could not be remembered: no space left"
    records.error = CommandExecutionError("no server")
    assert (aaaa.published("x")["result"], aaaa.published("x")["comment"]) == (False, "no server")


EMPTY: dict[str, Any] = {"changes": {}, "warnings": [], "edits": {}, "files": {}}


@pytest.mark.parametrize(
    ("opts", "test", "told"),
    [({}, False, True), ({}, True, False), ({"file_client": "local"}, False, False)],
    ids=["master", "dry-run", "masterless"],
)
def test_what_has_changed_is_told_on_the_event_bus(
    records: Records, monkeypatch: pytest.MonkeyPatch, opts: Any, test: bool, told: bool
) -> None:
    changes = {"xn--bcher-kva.example": {"old": [], "new": ["2001:db8::1"]}}
    sent: list[tuple[str, Any]] = []
    monkeypatch.setattr(aaaa, "__opts__", {"test": False, **opts})
    monkeypatch.setattr(aaaa, "__salt__", {"event.send": lambda tag, data: sent.append((tag, data))})
    for function in ("published", "withdrawn"):
        plans = iter([{**EMPTY, "changes": changes}, EMPTY])
        monkeypatch.setattr(room(aaaa, "dns_change"), f"plan_{function}", lambda _, plans=plans: next(plans))
        done = getattr(aaaa, function)("x", test=test)
        assert done["result"] is (None if test else True), done
        if told:
            tag, data = sent.pop()
            assert tag == f"dualstack/aaaa/{function}"
            assert data == {key: done[key] for key in ("name", "result", "changes", "comment")}
            assert list(data["changes"]) == ["bücher.example (xn--bcher-kva.example)"]
    assert sent == []


def test_a_bus_that_does_not_answer_is_no_failure_of_the_change(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(*_: Any) -> None:
        raise OSError("no master")

    plans = iter([{**EMPTY, "changes": {"a": 1}}, EMPTY])
    monkeypatch.setattr(aaaa, "__salt__", {"event.send": send})
    monkeypatch.setattr(room(aaaa, "dns_change"), "plan_published", lambda _: next(plans))
    assert aaaa.published("x")["result"] is True
