"""Where a zone's servers are not one: a hidden primary, one that lags, views, a zone below the zone; on real BIND."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.tsig
import pytest

from . import servers
from .servers import PRIMARY, SECONDARY, put, records

OURS, OLD, FOREIGN = "2001:db8:1::77", "2001:db8:1::66", "2001:db8:2::9"
HEAD = "$TTL 3600\n@ SOA ns1 hostmaster (1 3600 600 86400 60)\n"
KEYS = "".join(
    f'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};' for name, secret in servers.KEYS.items()
)
POLICY = "update-policy { grant admin zonesub ANY; grant host1 zonesub AAAA; };"
SOON = 15  # seconds, of which nothing is spent waiting

Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start BIND with a configuration, and with the zones of which a text is given; each of them may be changed."""
    processes: list[subprocess.Popen[bytes]] = []
    Path("/etc/resolv.conf").write_text(f"nameserver {PRIMARY}\n")

    def run(address: str, config: str = "", options: str = "", **zones: str) -> subprocess.Popen[bytes]:
        folder = tmp_path / address
        folder.mkdir()
        for zone, text in zones.items():
            (folder / zone).write_text(HEAD + text)
            config += f'zone "{zone}" {{ type primary; file "{folder}/{zone}"; {POLICY} {options} }};'
        processes.append(servers.start(folder, address, config if "key " in config else KEYS + config))
        return processes[-1]

    yield run
    for process in processes:
        servers.stop(process)


@pytest.fixture(autouse=True)
def primary() -> None:
    """Not the one of the other tests."""


def copy(zone: str, options: str = "") -> str:
    """The configuration of a server that copies a zone from the primary."""
    return f'zone "{zone}" {{ type secondary; primaries {{ {PRIMARY}; }}; file "copy"; {options} }};'


def in_time(state: Any, name: str, **arguments: Any) -> Any:
    """Apply a state that has a minute, and takes none of it."""
    begin = time.monotonic()
    done = state(name, deadline=60, **arguments)
    assert time.monotonic() - begin < SOON
    return done


# --------------------------------------------------------------------------------------------------------------
# Copies


HIDDEN = "@ NS ns2\nns2 A 127.0.0.2\nwww A 192.0.2.80\n"


def test_a_hidden_primary(start: Start, modules: Any, published: Any, withdrawn: Any, pillar: Any) -> None:
    """It takes the updates, and is not among the servers that have to show them."""
    start(PRIMARY, **{"hidden.example": HIDDEN})
    start(SECONDARY, copy("hidden.example"))
    pillar["rfc2136"]["zone"] = "hidden.example"
    name = "www.hidden.example"
    assert list(modules.aaaa.lookup(name)["servers"]) == ["ns2.hidden.example (127.0.0.2)"]
    published(name, address=OURS)
    assert records(name, server=SECONDARY) == [f"3600 {OURS}"]
    withdrawn(name)
    assert records(name, server=PRIMARY) == records(name, server=SECONDARY) == []


TWO = "@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.0.0.2\nwww A 192.0.2.80\n"


def test_a_secondary_that_lags_is_waited_for(start: Start, published: Any, pillar: Any) -> None:
    """It is told of no change, and looks for one now and then."""
    start(PRIMARY, options="notify no;", **{"two.example": TWO})
    start(SECONDARY, copy("two.example", "max-refresh-time 3;"))
    pillar["rfc2136"]["zone"] = "two.example"
    published("www.two.example", address=OURS)
    assert records("www.two.example", server=SECONDARY) == [f"3600 {OURS}"]


@pytest.fixture
def disagreeing(start: Start, pillar: Any) -> str:
    """A name of which two servers do not say the same, and never will."""
    start(PRIMARY, **{"two.example": TWO})
    start(SECONDARY, **{"two.example": TWO})
    pillar["rfc2136"]["zone"] = "two.example"
    put("www.two.example", FOREIGN)
    return "www.two.example"


def test_nobody_waits_under_test(states: Any, disagreeing: str) -> None:
    for state in (states.aaaa.withdrawn, states.aaaa.published):
        done = in_time(state, disagreeing, address=OURS, test=True)
        assert (done.result, done.changes) == (False, {})
        assert "do not agree: ns1.two.example (127.0.0.1) has" in done.comment
        assert done.comment.endswith(" (asked once)")
    done = states.aaaa.published(disagreeing, address=OURS, deadline=2)
    assert done.comment.endswith(" (after 2 s)")


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"other.example": TWO}, "it answers REFUSED"),
        ({"example": TWO + "www.two NS ns2\n"}, "it is not authoritative for www.two.example: it delegates the zone"),
        (None, "onnection refused"),
    ],
)
def test_nobody_waits_for_what_is_no_matter_of_time(
    start: Start, states: Any, pillar: Any, there: Any, said: str, test: bool
) -> None:
    start(PRIMARY, **{"two.example": TWO})
    if there:
        start(SECONDARY, **there)
    pillar["rfc2136"]["zone"] = "two.example"
    done = in_time(states.aaaa.published, "www.two.example", address=OURS, test=test)
    assert (done.result, done.changes) == (False, {})
    assert done.comment.startswith("ns2.two.example (127.0.0.2) has no answer for www.two.example: ")
    assert said in done.comment
    assert records("www.two.example") == []


# --------------------------------------------------------------------------------------------------------------
# Views

SPLIT = "www.split.example"
EXTERNAL = "@ NS ns2\nns2 A 127.0.0.2\nwww A 192.0.2.80\n"
INTERNAL = "@ NS ns1\nns1 A 127.0.0.1\nwww A 10.0.0.80\n"


@pytest.fixture
def split(start: Start, tmp_path: Path, pillar: Any) -> None:
    """A server that shows one zone to who has a key, and takes updates there, and another zone to all others."""
    for name, text in (("external", EXTERNAL), ("internal", INTERNAL)):
        (tmp_path / name).write_text(HEAD + text)
    start(
        PRIMARY,
        f'{KEYS} view "external" {{ match-clients {{ key host1; key admin; }};'
        f' zone "split.example" {{ type primary; file "{tmp_path}/external"; {POLICY} }}; }};'
        ' view "internal" { match-clients { any; };'
        f' zone "split.example" {{ type primary; file "{tmp_path}/internal"; }}; }};',
    )
    pillar["rfc2136"]["zone"] = "split.example"


def outside(kind: str = "AAAA") -> list[str]:
    """What the view has that the key leads to."""
    question = dns.message.make_query(SPLIT, kind)
    question.use_tsig(dns.tsig.Key("admin", servers.KEYS["admin"], "hmac-sha256."))
    return [each.to_text() for rrset in dns.query.tcp(question, PRIMARY, timeout=5).answer for each in rrset]


@pytest.mark.usefixtures("split")
def test_a_change_in_a_view_that_is_not_seen(states: Any) -> None:
    done = states.aaaa.published(SPLIT, address=OURS, deadline=1)
    assert (done.result, done.changes) == (False, {})
    assert f"The change of {SPLIT} was reported as done, but none of these servers shows it." in done.comment
    assert "another view than the one that they show this host (split horizon)" in done.comment
    assert "Everything was put back as it was." in done.comment
    assert outside() == []


@pytest.mark.usefixtures("split")
def test_a_view_that_has_something_else(states: Any) -> None:
    put(SPLIT, FOREIGN)
    done = states.aaaa.published(SPLIT, address=OURS, deadline=1)
    assert (done.result, done.changes) == (False, {})
    assert (
        f"YXRRSET: somebody has added records in the meantime; it has other records of {SPLIT} for who asks with the "
        "key host1 than for who asks without it: the key leads to another view of the zone (split horizon)"
    ) in done.comment
    assert outside() == [FOREIGN]


@pytest.mark.usefixtures("split")
def test_the_servers_that_are_listed_decide(start: Start, published: Any, withdrawn: Any) -> None:
    """They have the view of the key; what the primary shows this host does not count."""
    put(SPLIT, FOREIGN)
    start(SECONDARY, f"{KEYS} server {PRIMARY} {{ keys admin; }}; {copy('split.example')}")
    while not records(SPLIT, server=SECONDARY):
        time.sleep(0.1)
    published(SPLIT, address=OURS, servers=[SECONDARY])
    assert sorted(outside()) == [OURS, FOREIGN]
    assert records(SPLIT) == []
    withdrawn(SPLIT, servers=[SECONDARY])
    assert outside() == [FOREIGN]


# --------------------------------------------------------------------------------------------------------------
# A zone below the zone

PARENT = "@ NS ns1\nns1 A 127.0.0.1\nchild NS ns.child\nns.child A {}\nsub A 192.0.2.1\nwww.sub A 192.0.2.1\n"
CHILD, NAME = "@ NS ns\nns A {}\nwww A 192.0.2.80\nalias CNAME www.example.org.\n", "www.child.example.org"


@pytest.mark.parametrize("same", [True, False])
def test_a_delegated_zone_is_named(start: Start, states: Any, published: Any, pillar: Any, same: bool) -> None:
    """Before anything is sent: BIND would take the record into the upper zone, where nobody finds it."""
    place = PRIMARY if same else SECONDARY
    parent, child = {"example.org": PARENT.format(place)}, {"child.example.org": CHILD.format(place)}
    start(PRIMARY, **parent, **(child if same else {}))
    if not same:
        start(SECONDARY, **child)
    before = servers.whole("example.org"), servers.whole("child.example.org", place)
    for test in (True, False):
        for given in ({}, {"servers": [place]}):
            done = in_time(states.aaaa.published, NAME, address=OURS, test=test, **given)
            assert (done.result, done.changes) == (False, {})
            assert done.comment == (
                f"ipv6:dns:rfc2136:zone: {NAME} is in the zone child.example.org, below example.org: a "
                "record of it there would never be found; the zone in the settings has to be child.example.org"
            )
    assert (servers.whole("example.org"), servers.whole("child.example.org", place)) == before
    pillar["rfc2136"].update(zone="child.example.org", server=place)
    published(NAME, address=OURS, servers=[place])
    assert servers.whole("child.example.org", place) - before[1] == {f"www 3600 IN AAAA {OURS}"}


def test_names_that_are_in_the_zone(start: Start, published: Any) -> None:
    start(PRIMARY, **{"example.org": PARENT.format(PRIMARY)})
    names = ["example.org", "www.sub.example.org", "new.sub.example.org", "a.b.c.example.org"]
    assert list(published("names", records=names, address=OURS).changes) == names


# --------------------------------------------------------------------------------------------------------------
# An internationalised zone


def test_an_internationalised_name(start: Start, published: Any, withdrawn: Any, states: Any, pillar: Any) -> None:
    start(PRIMARY, **{"xn--bcher-kva.example": TWO.replace("@ NS ns2\n", "")})
    both = "www.bücher.example (www.xn--bcher-kva.example)"
    pillar["rfc2136"]["zone"] = "Bücher.example"
    done = published("www.bücher.example", address=OURS)
    assert done.changes == {both: {"old": [], "new": [OURS]}}
    assert done.comment == f"www.bücher.example was changed: {both}"
    assert records("www.xn--bcher-kva.example") == [f"3600 {OURS}"]
    assert withdrawn("WWW.xn--bcher-kva.example.").changes == {both: {"old": [OURS], "new": []}}
    done = states.aaaa.published("bü cher.example", address=OURS)
    assert "name: 'bü cher.example' is not a host name with its domain, as in www.example.org (" in done.comment
