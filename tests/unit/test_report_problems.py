"""What a report finds wrong, and which names it takes for this host's."""

from __future__ import annotations

import types
from typing import Any

import _dualstack_report_names as report_names
import _dualstack_report_problems as report_problems
import dns.exception
import dns.resolver
import pytest

YES = {"listening": True, "allowed": True, "answering": True}
FOUR, SIX = "46.105.5.1", "2001:470:1f13:f87::77"


def row(four: dict[str, Any], six: dict[str, Any], **others: Any) -> dict[str, Any]:
    usual = {"service": "x", "transport": "tcp", "port": 80, "protocol": "http", "declared": False}
    return {**usual, "ipv4": four, "ipv6": six, **others}


def matrix(*rows: dict[str, Any], **others: Any) -> dict[str, Any]:
    usual = {family: {"addresses": [each]} for family, each in (("ipv4", FOUR), ("ipv6", SIX))}
    empty: dict[str, Any] = {key: [] for key in ("proof", "ptr", "mail", "tunnels", "published", "notes")}
    return {**usual, **empty, "services": list(rows), **others}


def said(*rows: dict[str, Any], **others: Any) -> list[str]:
    return [each["text"] for each in report_problems.problems(matrix(*rows, **others))]


def test_no_problem() -> None:
    assert said(row(YES, YES)) == []
    assert said(row({**YES, "allowed": False}, {**YES, "allowed": False})) == []
    assert said(row({**YES, "allowed": None}, {**YES, "allowed": False})) == [], "it is not known"
    assert said(row({"listening": None}, {"listening": None})) == []


@pytest.mark.parametrize(
    ("four", "six", "words"),
    [
        (YES, {"listening": False}, "does not listen over IPv6"),
        ({"listening": False}, YES, "does not listen over IPv4"),
        ({"listening": False}, {"listening": False}, "does not listen"),
        (YES, {**YES, "answering": False, "error": "refused"}, "does not answer over IPv6: refused"),
        ({**YES, "answering": False, "error": "refused"}, YES, "does not answer over IPv4: refused"),
        ({**YES, "allowed": False}, YES, "is open over IPv6 and closed over IPv4"),
        (YES, {**YES, "allowed": False}, "is open over IPv4 and closed over IPv6"),
    ],
)
def test_a_problem(four: dict[str, Any], six: dict[str, Any], words: str) -> None:
    assert said(row(four, six)) == [f"x (80) {words}"]
    assert said(row(four, six, port=53, transport="udp")) == [f"x (53/udp) {words}"]
    assert said(row(four, six, port=None, declared=True)) == [f"x {words}"]
    assert said(row(four, six), row(four, six, port=443)) == [f"x (80, 443) {words}"]
    assert [each["of"] for each in report_problems.problems(matrix(row(four, six)))] == ["x"]


@pytest.mark.parametrize(
    ("transport", "port", "expected"),
    [
        *(("udp", port, False) for port in (67, 68, 546, 547, 137, 138)),
        *(("tcp", port, True) for port in (67, 68, 546, 547, 137, 138, 80, 32767)),
        ("tcp", 139, False),
        ("udp", 139, True),
        ("tcp", 32768, False),
    ],
)
def test_what_exists_in_one_family_only_is_no_problem(transport: str, port: int, expected: bool) -> None:
    """DHCP, NetBIOS, and ports that the kernel has chosen; unless the pillar expects them."""
    one = {"transport": transport, "port": port}
    assert bool(said(row(YES, {"listening": False}, **one))) is expected
    assert said(row(YES, {"listening": False}, **one, declared=True)) != []


def test_a_host_without_addresses() -> None:
    none: dict[str, Any] = {"addresses": []}
    assert said(ipv6=none) == ["this host has no public IPv6 address"]
    assert said(ipv4=none, ipv6=none) == ["this host has no public IPv4 and no IPv6 address"]
    assert report_problems.problems(matrix(ipv4=none))[0]["of"] == "this host"


@pytest.mark.parametrize(
    ("four", "six", "words"),
    [
        ((True, [FOUR]), (False, []), "has no AAAA"),
        ((False, []), (False, []), "has no A and no AAAA"),
        ((True, [FOUR]), (False, ["2001:db8::1", "2001:db8::2"]), "points elsewhere by AAAA 2001:db8::1, 2001:db8::2"),
        ((False, ["192.0.2.1"]), (False, ["2001:db8::1"]), "points elsewhere by A 192.0.2.1 and AAAA 2001:db8::1"),
        ((False, ["192.0.2.1"]), (False, []), "has no AAAA and points elsewhere by A 192.0.2.1"),
        ((None, []), (True, [SIX]), None),
    ],
)
def test_a_name_that_does_not_point_here(four: Any, six: Any, words: str | None) -> None:
    cells = {
        family: {"published": published, "records": found}
        for family, (published, found) in (("ipv4", four), ("ipv6", six))
    }
    found = report_problems.problems(matrix(published=[{"name": "www.example.org", **cells}]))
    assert found == ([{"of": "www.example.org", "text": f"www.example.org {words}"}] if words else [])


def test_the_last_line() -> None:
    found = report_problems.problems(
        matrix(row(YES, {"listening": False}), row({"listening": False}, YES, service="y"))
    )
    assert report_problems.summary(matrix(), found) == "2 things to look at: x, y"
    assert report_problems.summary(matrix(), found[:1]) == "x (80) does not listen over IPv6"
    assert report_problems.summary(matrix(), [*found, found[0]]) == "3 things to look at: x, y"


def test_a_connection_is_all_that_was_tried() -> None:
    bare = {"protocol": "tcp"}
    assert report_problems.is_bare(row(YES, {}, **bare)) and report_problems.is_bare(row({}, YES, protocol="tls"))
    assert not report_problems.is_bare(row(YES, YES))
    assert not report_problems.is_bare(row({"answering": False}, {}, **bare))


# --------------------------------------------------------------------------------------------------------------
# Names


def published(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], six: list[str]) -> tuple[Any, list[str]]:
    """What is found of a name of which the name servers say this, and the notes."""
    monkeypatch.setattr(report_names, "_records", lambda name, family, servers: answers[family])
    notes: list[dict[str, str]] = []
    host = {"ipv4": {"addresses": [FOUR]}, "ipv6": {"addresses": six}}
    (found,) = report_names.published(["www.example.org"], [], host, notes)
    assert found["name"] == "www.example.org"
    return found, [f"{each['mark']} {each['text']}" for each in notes]


@pytest.mark.parametrize(
    ("records", "addresses", "expected", "noted"),
    [
        ([SIX], [SIX], {"published": True, "records": [SIX]}, []),
        ([SIX, "2001:db8::1"], [SIX], {"published": True, "records": [SIX, "2001:db8::1"]}, []),
        (["2001:db8::1"], [SIX], {"published": False, "records": ["2001:db8::1"]}, []),
        ([], [SIX], {"published": False, "records": []}, []),
        ([], [], {"records": []}, []),
        ([SIX], [], {"published": False, "records": [SIX]}, []),
        ([], ["fd00::1"], {"published": False, "records": []}, []),
        (
            *([SIX], ["fd00::1"], {"published": None, "records": [SIX]}),
            ["? www.example.org: this host is behind NAT, and does not know its public IPv6 address"],
        ),
        ([SIX], ["fd00::1", "2001:470::1"], {"published": False, "records": [SIX]}, []),
    ],
)
def test_whether_a_name_points_here(
    monkeypatch: pytest.MonkeyPatch, records: list[str], addresses: list[str], expected: Any, noted: list[str]
) -> None:
    found, notes = published(monkeypatch, {"ipv4": ([FOUR], ""), "ipv6": (records, "")}, addresses)
    assert found["ipv6"] == expected
    assert found["ipv4"] == {"published": True, "records": [FOUR]}
    assert notes == noted


def test_what_the_name_servers_do_not_say_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    late = "no name server answered within 5 s"
    found, notes = published(monkeypatch, {"ipv4": ([], late), "ipv6": ([], late)}, [SIX])
    assert found["ipv4"] == found["ipv6"] == {"published": None, "records": []}
    assert notes == [f"? www.example.org: {late}"], "once, for both families"


def test_a_host_behind_nat_whose_public_address_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(public: str, records: list[str]) -> tuple[Any, list[str]]:
        monkeypatch.setattr(report_names, "_records", lambda name, family, servers: (records, ""))
        notes: list[dict[str, str]] = []
        host = {"ipv4": {"addresses": ["10.0.0.2"]}, "ipv6": {"addresses": [SIX]}}
        rows = report_names.published(["www.example.org"], [], host, notes)
        report_names.behind_nat(rows, public, notes)
        return rows[0]["ipv4"]["published"], [each["text"] for each in notes]

    assert found(FOUR, [FOUR]) == (True, [])
    assert found("192.0.2.1", [FOUR]) == (False, [])
    assert found(FOUR, []) == (False, [])


def test_a_pillar_without_names() -> None:
    notes: list[dict[str, str]] = []
    assert report_names.published([], [], {}, notes) == []
    assert notes == [{"mark": "-", "text": "published: the pillar has no names (ipv6:dns:names)"}]


class Resolver:
    """This host's resolver, or one for the servers that are given."""

    made: list[Resolver] = []
    says: Any = None

    def __init__(self, configure: bool) -> None:
        self.configure, self.nameservers, self.nameserver_ports = configure, ["the host's"], {"x": 1}
        self.made.append(self)

    def resolve(self, name: str, kind: str, lifetime: float, search: bool, raise_on_no_answer: bool) -> Any:
        assert (lifetime, search, raise_on_no_answer) == (5.0, False, False)
        self.asked = (name, kind)
        if isinstance(self.says, Exception):
            raise self.says
        return types.SimpleNamespace(rrset=self.says and [types.SimpleNamespace(address=each) for each in self.says])


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> type[Resolver]:
    monkeypatch.setattr(Resolver, "made", [])
    monkeypatch.setattr(dns.resolver, "Resolver", Resolver)
    return Resolver


def resolved(servers: list[str], six: list[str]) -> tuple[Any, list[str]]:
    notes: list[dict[str, str]] = []
    host = {"ipv4": {"addresses": []}, "ipv6": {"addresses": six}}
    (found,) = report_names.published(["www.example.org."], servers, host, notes)
    return found["ipv6"], [each["text"] for each in notes]


def test_whom_the_names_are_asked_of(monkeypatch: pytest.MonkeyPatch, resolver: type[Resolver]) -> None:
    monkeypatch.setattr(resolver, "says", ["2001:470:1f13:f87:0::77", "2001:DB8::1"])
    found = {"published": True, "records": [SIX, "2001:db8::1"]}
    assert resolved([], [SIX]) == (found, [])
    assert {each.asked for each in resolver.made} == {("www.example.org.", "A"), ("www.example.org.", "AAAA")}
    assert all(each.configure and each.nameservers == ["the host's"] for each in resolver.made)
    resolver.made.clear()
    assert resolved(["192.0.2.53", "2001:db8::53#5353"], [SIX]) == (found, [])
    for each in resolver.made:
        assert (each.configure, each.nameservers) == (False, ["192.0.2.53", "2001:db8::53"])
        assert each.nameserver_ports == {"2001:db8::53": 5353}
    monkeypatch.setattr(resolver, "says", None)
    assert resolved([], [SIX]) == ({"published": False, "records": []}, [])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (dns.resolver.NXDOMAIN, None),
        (dns.resolver.NoResolverConfiguration, "not looked up, since /etc/resolv.conf names no server"),
        (dns.exception.Timeout, "no name server answered within 5 s"),
        (dns.resolver.NoNameservers, "no name server had an answer"),
        (dns.exception.SyntaxError, "not looked up: Text input is malformed."),
    ],
)
def test_why_a_name_is_not_known(
    monkeypatch: pytest.MonkeyPatch, resolver: type[Resolver], error: Any, said: str | None
) -> None:
    monkeypatch.setattr(resolver, "says", error())
    found, notes = resolved([], [SIX])
    assert notes == ([f"www.example.org: {said}"] if said else [])
    assert found == {"published": None if said else False, "records": []}
