"""Whether a name leads to this host over IPv4: what the answers of its name servers mean."""

from __future__ import annotations

from typing import Any

import _dualstack_dns_ask as dns_ask
import _dualstack_proof_names as proof_names
import pytest
from salt.exceptions import CommandExecutionError

NAME, OWN, OTHER, PUBLIC, PRIVATE = "www.example.org", "192.0.2.10", "203.0.113.9", "198.51.100.7", "10.0.0.5"


def says(*addresses: str, alias: str = "", error: str = "") -> Any:
    """The answer of a name server."""
    found = {**dns_ask.NOTHING, "addresses": list(addresses), "alias": alias, "error": error}
    return {**found, "ttl": 60 if addresses else None}


@pytest.mark.parametrize(
    ("addresses", "public", "own", "holds", "comment"),
    [
        ([OWN], None, [OWN], True, f"{NAME} leads here over IPv4, to {OWN}"),
        ([OWN], None, [PRIVATE, OWN], True, f"{NAME} leads here over IPv4, to {OWN}"),
        ([PUBLIC], PUBLIC, [PRIVATE], True, f"{NAME} leads here over IPv4, to {PUBLIC}"),
        ([PRIVATE], None, [PRIVATE], True, f"{NAME} leads here over IPv4, to {PRIVATE}"),
        ([], None, [OWN], True, f"{NAME} has no A record: over IPv4 it leads nowhere"),
        ([], None, [], True, f"{NAME} has no A record: over IPv4 it leads nowhere"),
        (
            [OTHER, OWN],
            None,
            [OWN],
            True,
            f"{NAME} leads here over IPv4, to {OWN}, and also to {OTHER}, which this host does not have",
        ),
        (
            [OTHER],
            None,
            [OWN],
            False,
            f"{NAME} leads to {OTHER} over IPv4, and this host has {OWN}: its AAAA record would split the site over "
            "two machines; ipv6:dns:other_ipv4: true if that is meant, and ipv6:verify:public_ipv4 if this host is "
            "reached by that one",
        ),
        (
            [OTHER],
            PUBLIC,
            [PRIVATE],
            False,
            f"{NAME} leads to {OTHER} over IPv4, and this host has {PUBLIC}: its",
        ),
        ([OTHER], PUBLIC, [OWN], False, f"{NAME} leads to {OTHER} over IPv4, and this host has {OWN}, {PUBLIC}: its"),
        ([OTHER], None, [PRIVATE, OWN], False, f"{NAME} leads to {OTHER} over IPv4, and this host has {OWN}: its AAAA"),
        ([OTHER], None, [], False, f"{NAME} leads to {OTHER} over IPv4, and this host has none: its AAAA record would"),
        (
            [OTHER],
            None,
            [PRIVATE],
            None,
            f"{NAME} leads to {OTHER} over IPv4, and this host has only {PRIVATE}: whether it is reached by that one "
            "is not known; ipv6:verify:public_ipv4 would say so",
        ),
    ],
)
def test_where_a_name_leads(addresses: Any, public: Any, own: Any, holds: Any, comment: str) -> None:
    done = proof_names.judge(NAME, {"ns1": says(*addresses)}, public, own)
    assert (done.holds, done.comment[: len(comment)]) == (holds, comment)


def test_an_alias_cannot_have_the_record() -> None:
    done = proof_names.judge(NAME, {"ns1": says(alias="server.example.org")}, None, [OWN])
    assert done == (
        None,
        f"{NAME} is an alias (CNAME) of server.example.org, beside which it can have no AAAA record; "
        "publish server.example.org instead",
    )


def test_servers_that_do_not_answer() -> None:
    silent = says(error="it answers REFUSED")
    done = proof_names.judge(NAME, {"ns1": silent, "ns2": says(error="timed out")}, None, [OWN])
    assert done == (
        None,
        f"no name server says where {NAME} leads over IPv4: ns1: it answers REFUSED; ns2: timed out",
    )
    done = proof_names.judge(NAME, {"ns1": silent, "ns2": says(OWN)}, None, [OWN])
    assert done == (True, f"{NAME} leads here over IPv4, to {OWN}\nns1: it answers REFUSED")
    done = proof_names.judge(NAME, {"ns1": silent, "ns2": says(OTHER)}, None, [OWN])
    assert done.holds is False
    assert proof_names.judge(NAME, {}, None, [OWN]).holds is None


def test_servers_that_do_not_agree() -> None:
    done = proof_names.judge(NAME, {"ns1": says(OWN), "ns2": says(OTHER), "ns3": says(OTHER)}, None, [OWN])
    assert done.holds is False
    first, second = done.comment.splitlines()
    assert first.startswith(f"{NAME} leads to {OTHER} over IPv4") and first.endswith(", says ns2 and ns3")
    assert second == f"{NAME} leads here over IPv4, to {OWN}, says ns1"
    same = proof_names.judge(NAME, {"ns1": says(OWN, OTHER), "ns2": says(OTHER, OWN)}, None, [OWN])
    assert (same.holds, len(same.comment.splitlines())) == (True, 1)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What name servers say, by name; those of others are not found."""
    known: dict[str, Any] = {}

    def places(names: list[str], servers: Any, fallback: Any, told_as: str) -> Any:
        for name in names:
            if name not in known and not servers:
                raise CommandExecutionError(f"{told_as}: this host's resolver does not find {name}; list them")
        return {name: {"ns1": "192.0.2.53"} for name in names}

    def ask(where: Any, kind: str) -> Any:
        assert kind == "A"
        if known.get("library") == "missing":
            raise CommandExecutionError("dnspython is not installed")
        return {name: {"ns1": known.get(name, says(error="it answers REFUSED"))} for name in where}

    monkeypatch.setattr(dns_ask, "places", places)
    monkeypatch.setattr(dns_ask, "ask", ask)
    return known


def test_the_worst_name_decides_and_each_is_told(zone: Any) -> None:
    zone.update({"a.example.org": says(OWN), "b.example.org": says(OTHER), "c.example.org": says()})
    assert proof_names.lead(["a.example.org", "c.example.org"], None, None, [OWN]).holds is True
    done = proof_names.lead(["a.example.org", "b.example.org", "x.example.org"], None, None, [OWN])
    assert (done.holds, len(done.comment.splitlines())) == (False, 3)
    done = proof_names.lead(["a.example.org", "x.example.org"], None, None, [OWN])
    assert done == (
        None,
        "x.example.org: dns:servers: this host's resolver does not find x.example.org; list them\n"
        f"a.example.org leads here over IPv4, to {OWN}",
    )
    assert proof_names.lead(["x.example.org"], ["192.0.2.53"], None, [OWN]).holds is None
    assert proof_names.lead([], None, None, [OWN]).holds is None
    zone["library"] = "missing"
    assert proof_names.lead(["a.example.org"], None, None, [OWN]) == (None, "dnspython is not installed")
