"""BIND, Knot and PowerDNS side by side: the same zone, the same updates, the same words where they can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from . import servers

ZONE, WWW, MAIL = "example.org", "www.example.org", "mail.example.org"
OURS, OLD, FOREIGN = "2001:db8:1::77", "2001:db8:1::66", "2001:db8:2::9"


class Server(NamedTuple):
    """One of them, with the zone; and what the states need to use it."""

    kind: str
    address: str
    given: dict[str, Any]

    def put(self, name: str, *values: str, **given: Any) -> None:
        """Have it hold these records."""
        servers.put(name, *values, server=self.address, **given)

    def records(self, name: str, kind: str = "AAAA") -> list[str]:
        """What it has."""
        return servers.records(name, kind, self.address)


@pytest.fixture(params=["bind", "knot", "powerdns"])
def server(request: pytest.FixtureRequest, tmp_path: Path, pillar: dict[str, Any]) -> Iterator[Server]:
    """Each of them. BIND runs for every test."""
    start, address = {
        "bind": (None, servers.PRIMARY),
        "knot": (servers.start_knot, servers.KNOT),
        "powerdns": (servers.start_powerdns, servers.POWERDNS),
    }[request.param]
    process = start(tmp_path / "server", ZONE, servers.zone_of(ZONE)) if start else None
    pillar["rfc2136"]["server"] = address
    yield Server(request.param, address, {"servers": [address]})
    if process:
        servers.stop(process)


def test_from_the_first_record_to_the_last(published: Any, withdrawn: Any, server: Server) -> None:
    """Nothing else is touched in the whole zone."""
    before = servers.whole(ZONE, server.address)
    assert published("names", records=[WWW, MAIL], address=OLD, ttl=300, **server.given).changes == {
        name: {"old": [], "new": [OLD]} for name in (WWW, MAIL)
    }
    assert servers.whole(ZONE, server.address) - before == {f"{name} 300 IN AAAA {OLD}" for name in ("www", "mail")}
    assert published(WWW, address=OURS, ttl=300, **server.given).changes == {WWW: {"old": [OLD], "new": [OURS]}}
    withdrawn("names", records=[WWW, MAIL], **server.given)
    assert servers.whole(ZONE, server.address) == before


@pytest.mark.parametrize("others", [[], [FOREIGN], [FOREIGN, "2001:db8:2::10"]])
def test_the_ttl(published: Any, server: Server, others: list[str]) -> None:
    """Knot ignores the addition of a record that it has, whatever its TTL."""
    server.put(WWW, OURS, *others, ttl=60)
    kept = sorted([OURS, *others])
    done = published(WWW, address=OURS, ttl=300, **server.given)
    assert done.changes == {WWW: {"old": kept, "new": kept, "ttl": {"old": 60, "new": 300}}}
    assert server.records(WWW) == sorted(f"300 {each}" for each in kept)


def test_the_ttl_and_another_address_at_once(published: Any, server: Server) -> None:
    published(WWW, address=OLD, ttl=60, **server.given)
    server.put(WWW, OLD, FOREIGN, ttl=60)
    published(WWW, address=OURS, ttl=300, **server.given)
    assert server.records(WWW) == sorted(f"300 {each}" for each in (OURS, FOREIGN))


def test_what_others_have_published_stays(published: Any, withdrawn: Any, server: Server) -> None:
    server.put(WWW, FOREIGN)
    done = published(WWW, address=OURS, **server.given)
    assert done.changes == {WWW: {"old": [FOREIGN], "new": [OURS, FOREIGN]}}
    assert withdrawn(WWW, **server.given).changes == {WWW: {"old": [OURS, FOREIGN], "new": [FOREIGN]}}


@pytest.mark.parametrize("then", [[FOREIGN], [], [OLD, FOREIGN]])
def test_who_has_changed_it_in_between_is_left_alone(publishing: Any, server: Server, then: list[str]) -> None:
    """Also where the only change is that of the TTL, which deletes and adds."""
    server.put(WWW, OLD, ttl=60)
    for address in (OURS, OLD):
        change = publishing(WWW, address=address, exclusive=True, **server.given)
        server.put(WWW, OLD, ttl=60)
        plan = change.plan()
        server.put(WWW, *then, ttl=60)
        with pytest.raises(Exception, match="NXRRSET: somebody has changed the records in the meantime"):
            change.apply(plan)
        assert server.records(WWW) == sorted(f"60 {each}" for each in then)


REFUSED = "REFUSED: it refuses: it does not know the key {} with this secret and algorithm"
NO_SUCH_ZONE = "NOTAUTH: it is not authoritative for the zone www.example.org, or does not accept the key host1"


@pytest.mark.parametrize(
    ("settings", "usual", "powerdns"),
    [
        ({"key": servers.WRONG}, "BADSIG: the key host1 is not the one that it has", REFUSED.format("host1")),
        ({"key_name": "host2"}, "BADKEY: it does not know the key host2 with this algorithm", REFUSED.format("host2")),
        ({"algorithm": "hmac-sha512"}, "BADKEY: it does not know the key host1 with this a", REFUSED.format("host1")),
        ({"zone": WWW}, NO_SUCH_ZONE, NO_SUCH_ZONE),
    ],
)
def test_why_it_refuses(
    states: Any, pillar: Any, server: Server, settings: dict[str, Any], usual: str, powerdns: str
) -> None:
    """What is not signed says so; and nobody waits for anything."""
    pillar["rfc2136"].update(settings)
    before = servers.whole(ZONE, server.address)
    done = states.aaaa.published(WWW, address=OURS, deadline=600, **server.given)
    assert (done.result, done.changes) == (False, {})
    assert (powerdns if server.kind == "powerdns" else usual) in done.comment
    signed = "zone" in settings and server.kind != "knot"
    assert ("(this answer is not signed)" in done.comment) is not signed
    assert "Everything was put back as it was." in done.comment
    assert servers.whole(ZONE, server.address) == before
    for secret in (*servers.KEYS.values(), servers.WRONG):
        assert secret not in str(done.raw)


def test_a_name_that_the_key_may_not_change(states: Any, server: Server) -> None:
    """PowerDNS cannot limit a key to names."""
    done = states.aaaa.published("forbidden.example.org", address=OURS, **server.given)
    said = {
        "bind": "REFUSED: it refuses: the key host1 may not change AAAA records of these names",
        "knot": "BADKEY: it does not know the key host1 with this algorithm, or the key may not change AAAA records of",
        "powerdns": "was changed",
    }[server.kind]
    assert said in done.comment


# --------------------------------------------------------------------------------------------------------------
# A wildcard over the name

STARRED, STAR = "a.star.example.org", "2001:db8::5"


def test_a_wildcard_gives_way_to_a_record(published: Any, withdrawn: Any, server: Server) -> None:
    """One that gives nothing but AAAA records. Without the record, it answers again."""
    before = servers.whole(ZONE, server.address)
    # The key may not change the second name, but at PowerDNS.
    for name in (STARRED, "a.b.star.example.org") if server.kind == "powerdns" else (STARRED,):
        done = published(name, address=OURS, **server.given)
        assert done.changes == {name: {"old": [], "new": [OURS]}}
        assert f"{name} has no record of its own: a wildcard answers {STAR} for it" in done.comment
        assert server.records(name) == [f"3600 {OURS}"]
        assert published(name, address=OLD, **server.given).changes == {name: {"old": [OURS], "new": [OLD]}}
        assert withdrawn(name, **server.given).changes == {name: {"old": [OLD], "new": []}}
        done = withdrawn(name, **server.given)
        assert f"a wildcard answers {STAR} for it, which this host has not published" in done.comment
        assert servers.whole(ZONE, server.address) == before


@pytest.mark.parametrize(
    ("kind", "value"), [("A", "192.0.2.5"), ("MX", "10 www.example.org."), ("CNAME", "www.example.org.")]
)
@pytest.mark.parametrize("both", [True, False])
def test_what_a_wildcard_gives_is_not_taken_away(
    states: Any, published: Any, server: Server, both: bool, kind: str, value: str
) -> None:
    """The name has to have records of its own first, and they may be the same that the wildcard gives."""
    if not both or kind == "CNAME":
        server.put("*.star.example.org")
    server.put("*.star.example.org", value, kind=kind)
    before = servers.whole(ZONE, server.address)
    for test in (True, False):
        done = states.aaaa.published(STARRED, address=OURS, test=test, **server.given)
        assert (done.result, done.changes) == (False, {})
        assert done.comment == (
            f"{STARRED} has no records of its own: a wildcard answers for it, with {kind} {value}. An AAAA record of "
            "its own would take these away from it (RFC 4592); add those that it needs for this name first, at least "
            "one"
        )
    assert servers.whole(ZONE, server.address) == before
    kind, value = ("A", "192.0.2.5") if kind == "CNAME" else (kind, value)
    server.put(STARRED, value, kind=kind)
    assert published(STARRED, address=OURS, **server.given).changes == {STARRED: {"old": [], "new": [OURS]}}
    assert server.records(STARRED, kind) == [f"3600 {value}"]


def test_a_wildcard_that_leads_here_is_enough(published: Any, withdrawn: Any, server: Server) -> None:
    server.put("*.star.example.org", OURS, ttl=60)
    server.put("*.star.example.org", "192.0.2.5", kind="A")
    before = servers.whole(ZONE, server.address)
    assert published(STARRED, address=OURS, **server.given).changes == {}
    done = withdrawn(STARRED, address=OURS, **server.given)
    assert done.changes == {}
    assert f"a wildcard answers {OURS} for it, which this host has not published" in done.comment
    assert servers.whole(ZONE, server.address) == before


def test_a_wildcard_beside_records_of_its_own(published: Any, withdrawn: Any, server: Server) -> None:
    """What an administrator gave to a name is the name's, whatever the wildcard gives to others."""
    server.put(STARRED, FOREIGN)
    done = published(STARRED, address=OURS, **server.given)
    assert done.changes == {STARRED: {"old": [FOREIGN], "new": [OURS, FOREIGN]}}
    assert "wildcard" not in done.comment
    assert withdrawn(STARRED, exclusive=True, **server.given).changes == {STARRED: {"old": [OURS, FOREIGN], "new": []}}
    assert server.records(STARRED) == [f"3600 {STAR}"]
