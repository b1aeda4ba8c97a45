"""What is made of the answers of several name servers. The servers themselves are asked in tests/dns."""

from __future__ import annotations

from typing import Any, cast

import _dualstack_dns_ask as dns_ask
import dns.exception
import dns.flags
import dns.message
import dns.query
import pytest
from salt.exceptions import CommandExecutionError

NAME = "www.example.org"
ONE, TWO = "2001:db8::1", "2001:db8::2"
MESS: Any = dns.exception.DNSException  # it has no types


def answer(
    *addresses: str, ttl: int | None = 60, alias: str = "", error: str = "", lasting: bool = False
) -> dns_ask.Answer:
    found = {"addresses": list(addresses), "ttl": ttl if addresses else None, "alias": alias}
    return cast("dns_ask.Answer", {**found, "error": error, "lasting": lasting})


def records(*addresses: str, ttl: int | None = 60) -> Any:
    return {"addresses": list(addresses), "ttl": ttl}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answer(ONE), f"{ONE} (TTL 60 s)"),
        (answer(ONE, TWO, ttl=0), f"{ONE}, {TWO} (TTL 0 s)"),
        (records(ONE, ttl=None), ONE),
        (answer(), "no AAAA record"),
        (answer(alias="web.example.net"), "an alias (CNAME) of web.example.net"),
    ],
)
def test_records_in_words(said: Any, words: str) -> None:
    assert dns_ask.told(said) == words


def test_the_same_records() -> None:
    assert dns_ask.same(records(ONE), records(ONE))
    assert dns_ask.same(records(ONE), records(ONE, ttl=None))
    assert not dns_ask.same(records(ONE), records(ONE, ttl=61))
    assert not dns_ask.same(records(ONE), records(TWO))
    assert not dns_ask.same(records(ONE), records(ONE, TWO))


def test_an_alias_is_no_record_of_the_name_itself() -> None:
    assert dns_ask.holds(answer(ONE), records(ONE))
    assert not dns_ask.holds(answer(TWO), records(ONE))
    assert not dns_ask.holds(answer(ONE, alias="x.example.org"), records(ONE))
    assert not dns_ask.holds(answer(alias="x.example.org"), records())


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (answer(ONE), []),
        (answer(ONE, ttl=None), []),
        (answer(TWO), [f"the servers of {NAME} do not agree: a has {ONE} (TTL 60 s), b has {TWO} (TTL 60 s)"]),
        (answer(ONE, ttl=5), [f"the servers of {NAME} do not agree: a has {ONE} (TTL 60 s), b has {ONE} (TTL 5 s)"]),
        (
            answer(ONE, alias="x.example.org"),
            [f"the servers of {NAME} do not agree: a has {ONE} (TTL 60 s), b has an alias (CNAME) of x.example.org"],
        ),
        (answer(error="it answers REFUSED"), [f"b has no answer for {NAME}: it answers REFUSED"]),
    ],
)
def test_servers_that_do_not_agree(second: Any, said: list[str]) -> None:
    assert dns_ask.lagging({NAME: {"a": answer(ONE), "b": second, "c": answer(ONE)}}) == said


def test_servers_that_lag_behind_what_is_wanted() -> None:
    answers = {NAME: {"a": answer(ONE), "b": answer(), "c": answer(error="timed out")}}
    assert dns_ask.lagging(answers, {NAME: records(ONE)}) == [
        f"c has no answer for {NAME}: timed out",
        f"b has no AAAA record for {NAME}, not {ONE} (TTL 60 s)",
    ]
    assert dns_ask.lagging({NAME: {"a": answer(TWO), "b": answer(TWO)}}, {NAME: records(ONE)}) == [
        f"a has {TWO} (TTL 60 s) for {NAME}, not {ONE} (TTL 60 s)",
        f"b has {TWO} (TTL 60 s) for {NAME}, not {ONE} (TTL 60 s)",
    ]
    assert dns_ask.lagging({NAME: {"a": answer(error="x"), "b": answer(error="y")}}) == [
        f"a has no answer for {NAME}: x",
        f"b has no answer for {NAME}: y",
    ]


class Servers:
    """Name servers that say one thing after the other, on a clock of their own."""

    def __init__(self, *answers: dns_ask.Answer) -> None:
        self.answers, self.now, self.asked = list(answers), 0.0, 0

    def ask(self, where: dns_ask.Places, kind: str) -> dict[str, dict[str, dns_ask.Answer]]:
        self.asked += 1
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return {name: dict.fromkeys(servers, said) for name, servers in where.items()}

    def sleep(self, seconds: float) -> None:
        self.now += seconds


WHERE = {NAME: {"a": "192.0.2.53", "b": "192.0.2.54"}}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(*answers: dns_ask.Answer) -> Servers:
        servers = Servers(*answers)
        monkeypatch.setattr(dns_ask, "ask", servers.ask)
        monkeypatch.setattr(dns_ask.time, "sleep", servers.sleep)  # type: ignore[attr-defined]
        monkeypatch.setattr(dns_ask.time, "monotonic", lambda: servers.now)  # type: ignore[attr-defined]
        return servers

    return use


def test_servers_are_waited_for(told: Any) -> None:
    servers = told(answer(), answer(), answer(), answer(ONE))
    assert dns_ask.agreed(WHERE, 60, {NAME: records(ONE)}) == {NAME: answer(ONE)}
    assert servers.asked == 4
    assert servers.now == pytest.approx(0.2 + 0.4 + 0.8)


def test_the_deadline_is_kept_and_they_are_asked_at_most_every_five_seconds(told: Any) -> None:
    servers = told(answer())
    with pytest.raises(CommandExecutionError) as caught:
        dns_ask.agreed(WHERE, 60, {NAME: records(ONE)})
    assert str(caught.value).splitlines() == [
        *(f"{each} has no AAAA record for {NAME}, not {ONE} (TTL 60 s) (after 60 s)" for each in ("a", "b")),
        f"The change of {NAME} was reported as done, but none of these servers shows it. It may have been made in "
        "another view than the one that they show this host (split horizon), or at a server whose zone they do not "
        "copy, or they need longer than the deadline.",
    ]
    assert 55 <= servers.now <= 60
    assert 12 <= servers.asked <= 20
    servers = told(answer())
    with pytest.raises(CommandExecutionError, match=r"\(after 0\.1 s\)"):
        dns_ask.agreed(WHERE, 0.1, {NAME: records(ONE)})
    assert (servers.asked, servers.now) == (1, 0)


def test_who_will_say_the_same_again_is_not_waited_for(told: Any) -> None:
    """But after a change it is: it answered before."""
    wrong = answer(error="it answers REFUSED", lasting=True)
    servers = told(wrong)
    with pytest.raises(CommandExecutionError) as caught:
        dns_ask.agreed(WHERE, 60)
    assert str(caught.value).splitlines() == [f"{each} has no answer for {NAME}: it answers REFUSED" for each in "ab"]
    assert (servers.asked, servers.now) == (1, 0)
    servers = told(wrong, wrong, answer(ONE))
    assert dns_ask.agreed(WHERE, 60, {NAME: records(ONE)}) == {NAME: answer(ONE)}
    assert servers.asked == 3


def test_they_are_asked_once_where_there_is_no_time(told: Any) -> None:
    servers = told(answer(error="timed out"))
    with pytest.raises(CommandExecutionError, match=r"timed out \(asked once\)"):
        dns_ask.agreed(WHERE, 0)
    assert (servers.asked, servers.now) == (1, 0)


def test_a_summary_where_all_agree(told: Any) -> None:
    told(answer(ONE))
    found = dns_ask.lookup(NAME, ["192.0.2.53"])
    assert found == {
        **{"name": NAME, "agree": True, "addresses": [ONE], "ttl": 60, "alias": ""},
        "servers": {"192.0.2.53": answer(ONE)},
    }
    told(answer(error="timed out"))
    found = dns_ask.lookup(NAME, ["192.0.2.53"])
    assert (found["agree"], found["addresses"], found["ttl"], found["alias"]) == (False, [], None, "")


def test_servers_that_are_known_are_not_looked_up() -> None:
    listed = ["192.0.2.53", "2001:db8::53#5353"]
    assert dns_ask.places([NAME, "mail.example.org"], listed, []) == {
        name: {each: each for each in listed} for name in (NAME, "mail.example.org")
    }


# --------------------------------------------------------------------------------------------------------------
# One server


class NameServer:
    """A server whose answer is a text of records, as in a zone file."""

    def __init__(self, text: str = "", code: str = "NOERROR", flags: int = dns.flags.AA, error: Any = None) -> None:
        self.text, self.code, self.flags, self.error = text, code, flags, error
        self.asked: list[Any] = []

    def tcp(self, question: Any, where: str, timeout: float, port: int) -> Any:
        (asked,) = question.question
        self.asked.append((asked.to_text(), question.flags & dns.flags.RD, where, timeout, port))
        if self.error:
            raise self.error
        lines = [line for line in self.text.split("\n") if line]
        sections = "\n".join([f"id 1\nopcode QUERY\nrcode {self.code}\nflags QR\n;QUESTION\n;ANSWER", *lines])
        answer = dns.message.from_text(sections)
        answer.flags |= self.flags
        return answer


def asked(monkeypatch: pytest.MonkeyPatch, server: NameServer, place: str = "192.0.2.53") -> dns_ask.Answer:
    monkeypatch.setattr(dns.query, "tcp", server.tcp)
    return dns_ask.ask({NAME: {"ns1": place}})[NAME]["ns1"]


@pytest.mark.parametrize(
    "kind, values",
    [("A", ["192.0.2.80", "192.0.2.81"]), ("AAAA", [ONE, TWO]), ("PTR", ["mail.example.org", "www.example.org"])],
)
def test_other_types_of_records(monkeypatch: pytest.MonkeyPatch, kind: str, values: list[str]) -> None:
    """As they are compared: names in lower case, without the dot at the end."""
    written = [f"{each.title()}." if kind == "PTR" else each for each in reversed(values)]
    others = f'{NAME}. 60 IN TXT "text"\nother.example.org. 60 IN {kind} {written[0]}\n'
    server = NameServer(others + "".join(f"{NAME}. 300 IN {kind} {each}\n" for each in written))
    monkeypatch.setattr(dns.query, "tcp", server.tcp)
    assert dns_ask.ask({NAME: {"ns1": "192.0.2.53"}}, kind)[NAME]["ns1"] == answer(*values, ttl=300)
    assert [each[0] for each in server.asked] == [f"{NAME}. IN {kind}"]
    assert dns_ask.told(records(*values, ttl=300), kind) == f"{', '.join(values)} (TTL 300 s)"
    assert dns_ask.told(records(), kind) == f"no {kind} record"


def test_a_server_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """No recursion is desired: what it has in a cache does not count."""
    for place, where, port in (
        ("192.0.2.53", "192.0.2.53", 53),
        ("192.0.2.53#5353", "192.0.2.53", 5353),
        ("2001:db8::53#1", "2001:db8::53", 1),
    ):
        server = NameServer()
        assert asked(monkeypatch, server, place) == answer()
        assert server.asked == [(f"{NAME}. IN AAAA", 0, where, 5.0, port)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{NAME}. 60 IN AAAA {TWO}\n{NAME}. 60 IN AAAA {ONE}", answer(ONE, TWO)),
        (f"{NAME}. 0 IN AAAA 2001:DB8:0::1", answer(ONE, ttl=0)),
        (f"WWW.example.ORG. 60 IN AAAA {ONE}", answer(ONE)),
        (f"{NAME}. 60 IN CNAME web.example.net.\nweb.example.net. 60 IN AAAA {ONE}", answer(alias="web.example.net")),
        (f"other.example.org. 60 IN AAAA {ONE}", answer()),
        (f"{NAME}. 60 IN A 192.0.2.1", answer()),
    ],
)
def test_an_answer(monkeypatch: pytest.MonkeyPatch, text: str, expected: Any) -> None:
    assert asked(monkeypatch, NameServer(text)) == expected


@pytest.mark.parametrize(
    ("server", "error", "lasting"),
    [
        (NameServer(code="REFUSED"), "it answers REFUSED", True),
        (NameServer(code="NOTAUTH"), "it answers NOTAUTH", True),
        (NameServer(code="SERVFAIL"), "it answers SERVFAIL", False),
        (NameServer(f"{NAME}. 60 IN AAAA {ONE}", flags=0), f"it is not authoritative for {NAME}", True),
        (NameServer(error=ConnectionRefusedError("it is\nrefused")), "it is refused", True),
        (NameServer(error=EOFError()), "EOFError", False),
        (NameServer(error=MESS("in a mess")), "in a mess", False),
    ],
)
def test_no_answer(monkeypatch: pytest.MonkeyPatch, server: NameServer, error: str, lasting: bool) -> None:
    assert asked(monkeypatch, server) == answer(error=error, lasting=lasting)


def test_a_name_that_does_not_exist_has_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, NameServer(code="NXDOMAIN")) == answer()
