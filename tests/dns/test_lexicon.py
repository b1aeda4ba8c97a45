"""The library Lexicon itself, with its `ddns` provider against the real BIND."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import servers
from .servers import put, records

WWW, MAIL = "www.example.org", "mail.example.org"
OURS, OLD, FOREIGN = "2001:db8:1::77", "2001:db8:1::66", "2001:db8:2::9"
TOKEN = f"hmac-sha256:host1:{servers.KEYS['host1']}"


@pytest.fixture(autouse=True)
def _hoster(pillar: dict[str, Any]) -> None:
    options = {"auth_token": TOKEN, "ddns_server": servers.PRIMARY}
    pillar["lexicon"] = {"provider": "ddns", "zone": "example.org", "options": options}


def test_published_replaced_and_withdrawn(published: Any, withdrawn: Any) -> None:
    put(WWW, FOREIGN, ttl=300)
    given = {"by": "lexicon", "ttl": 300}
    assert published(WWW, address=OLD, **given).changes == {WWW: {"old": [FOREIGN], "new": [OLD, FOREIGN]}}
    assert published(WWW, address=OURS, **given).changes == {WWW: {"old": [OLD, FOREIGN], "new": [OURS, FOREIGN]}}
    assert records(WWW) == [f"300 {OURS}", f"300 {FOREIGN}"]
    assert withdrawn(WWW, by="lexicon").changes == {WWW: {"old": [OURS, FOREIGN], "new": [FOREIGN]}}


@pytest.mark.parametrize("hoster", ["ddns", "powerdns"])
def test_the_ttl(published: Any, request: pytest.FixtureRequest, hoster: str) -> None:
    """Of one record, of several, and together with another address: at PowerDNS it is one of all records of a name."""
    given = request.getfixturevalue("powerdns") if hoster == "powerdns" else {"by": "lexicon"}
    server = given.get("servers", [servers.PRIMARY])[0]
    put(WWW, OURS, ttl=60, server=server)
    assert published(WWW, address=OURS, ttl=300, **given).changes == {
        WWW: {"old": [OURS], "new": [OURS], "ttl": {"old": 60, "new": 300}}
    }
    assert records(WWW, server=server) == [f"300 {OURS}"]
    put(WWW, OURS, FOREIGN, ttl=60, server=server)
    published(WWW, address=OURS, ttl=300, **given)
    published(WWW, address=OLD, ttl=60, **given)
    assert records(WWW, server=server) == [f"60 {OLD}", f"60 {FOREIGN}"]


def test_a_hoster_that_reports_no_failure_is_not_believed(states: Any, pillar: Any) -> None:
    """Lexicon's `ddns` does not look at the server's answer, which is REFUSED for the second name."""
    names = [WWW, "forbidden.example.org"]
    done = states.aaaa.published("names", records=names, address=OURS, by="lexicon", deadline=1)
    assert (done.result, done.changes) == (False, {})
    assert "has no AAAA record for forbidden.example.org, not 2001:db8:1::77 (TTL 3600 s)" in done.comment
    assert "Everything was put back as it was." in done.comment
    assert records(WWW) == []


@pytest.fixture
def powerdns(tmp_path: Path, pillar: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """PowerDNS, changed by its API; and what the states need to use it."""
    process = servers.start_powerdns(tmp_path / "powerdns", "example.org", servers.zone_of("example.org"))
    options = {"auth_token": "a token", "pdns_server": f"http://{servers.POWERDNS}:8081"}
    pillar["lexicon"].update(provider="powerdns", options=options)
    yield {"by": "lexicon", "servers": [servers.POWERDNS]}
    servers.stop(process)


OTHERS = [
    *[("A", "192.0.2.80"), ("TXT", '"v=spf1 -all"'), ("CAA", '0 issue "letsencrypt.org"')],
    *[("MX", "10 www.example.org."), ("SRV", "0 0 443 www.example.org."), ("HTTPS", "1 .")],
]


@pytest.mark.parametrize("hoster", ["ddns", "powerdns"])
def test_no_other_record_is_touched(
    published: Any, withdrawn: Any, request: pytest.FixtureRequest, hoster: str
) -> None:
    """Neither of the name nor in the whole zone, by what deletes one record or by what replaces all of a type."""
    given = request.getfixturevalue("powerdns") if hoster == "powerdns" else {"by": "lexicon"}
    server = given.get("servers", [servers.PRIMARY])[0]
    for kind, value in OTHERS:
        for name in (WWW, MAIL):
            put(name, value, kind=kind, server=server)
    put(WWW, FOREIGN, ttl=300, server=server)
    put(MAIL, FOREIGN, server=server)
    before = servers.whole("example.org", server)

    def added() -> set[str]:
        now = servers.whole("example.org", server)
        assert before <= now
        return now - before

    published(WWW, address=OLD, ttl=300, **given)
    assert added() == {f"www 300 IN AAAA {OLD}"}
    published(WWW, address=OURS, ttl=300, **given)
    assert added() == {f"www 300 IN AAAA {OURS}"}
    withdrawn(WWW, **given)
    assert added() == set()
    published("wild.example.org", address=OURS, ttl=60, **given)
    published("wild.example.org", address=OURS, ttl=90, **given)
    withdrawn("wild.example.org", **given)
    assert added() == set()


def test_a_hoster_that_does_not_exist(states: Any, pillar: Any) -> None:
    pillar["lexicon"]["provider"] = "gandhi"
    done = states.aaaa.published(WWW, address=OURS, by="lexicon", test=True)
    assert (done.result, done.comment) == (
        False,
        "lexicon:provider: 'gandhi' is not a hoster that Lexicon knows; did you mean gandi?",
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"options": {"auth_token": TOKEN.replace("=", ""), "ddns_server": servers.PRIMARY}}, "padding"),
        ({"options": {"auth_token": TOKEN, "ddns_server": "127.0.0.9"}}, "refused"),
        ({"options": {"auth_token": TOKEN}}, "No DDNS server provided"),
    ],
)
def test_what_lexicon_says_is_reported_without_secrets(
    states: Any, pillar: Any, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], words: str
) -> None:
    pillar["lexicon"].update(settings)
    with caplog.at_level(logging.DEBUG):
        done = states.aaaa.published(WWW, address=OURS, by="lexicon", deadline=1)
    assert (done.result, done.changes) == (False, {})
    assert words in done.comment
    assert "Everything was put back as it was." in done.comment
    assert servers.KEYS["host1"].rstrip("=") not in str(done.raw) + caplog.text


def test_a_credential_in_a_url(states: Any, pillar: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Lexicon's `dreamhost` puts it there; the hoster cannot be reached from here, and the error tells the URL."""
    pillar["lexicon"].update(provider="dreamhost", options={"auth_token": "a+token/of=ours"})
    with caplog.at_level(logging.DEBUG):
        done = states.aaaa.published(WWW, address=OURS, by="lexicon", deadline=1)
    assert done.result is False
    assert "Max retries exceeded with url: " in done.comment
    assert "key=***" in done.comment
    for secret in ("a+token/of=ours", "a%2Btoken%2Fof%3Dours"):
        assert secret not in str(done.raw) + caplog.text
    assert not [each for each in caplog.records if each.name.startswith("urllib3")]


def test_the_declared_zone_is_used_not_the_one_found(states: Any, pillar: Any) -> None:
    """As with a zone that is not delegated yet."""
    options = {"auth_token": "a token", "pdns_server": "http://127.0.0.1:1"}
    pillar["lexicon"].update(provider="powerdns", options=options, zone=WWW)
    done = states.aaaa.published(WWW, address=OURS, by="lexicon", deadline=1)
    assert done.result is False
    assert f"/zones/{WWW}. " in done.comment


def test_a_name_in_another_zone(states: Any) -> None:
    done = states.aaaa.published("www.two.example", address=OURS, by="lexicon")
    assert done.comment.startswith(
        "lexicon:zone: www.two.example is not in the zone example.org; one change is made in one zone"
    )
