"""The dynamic records of dns.he.net: the service is on the internet, and stands here on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import dyndns
from .servers import put, records

WWW, MAIL = "www.example.org", "mail.example.org"
OURS, OLD = "2001:db8:1::77", "2001:db8:1::66"
KEYS = {WWW: "K3y+of/www&its%own", MAIL: "K3yOfMail"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the certificates."""
    folder = tmp_path_factory.mktemp("ca")
    dyndns.certificates(folder)
    return folder


@pytest.fixture
def service(authority: Path, pillar: dict[str, Any]) -> Iterator[Any]:
    """The service, and a pillar for it; its records exist, as they have to."""
    server = dyndns.start(authority, KEYS)
    pillar["he"] = {"keys": KEYS, "url": server.url, "ca": str(authority / "ca.pem"), "timeout": 1}
    put(WWW, OLD, ttl=300)
    put(MAIL, OLD, ttl=300)
    yield server
    server.shutdown()
    server.server_close()


def test_a_record_gets_another_address_by_one_call(published: Any, service: Any) -> None:
    done = published(WWW, address=OURS, by="he", ttl=300)
    assert done.changes == {WWW: {"old": [OLD], "new": [OURS]}}
    assert records(WWW) == [f"300 {OURS}"]
    (request,) = service.requests
    assert request["path"] == "/nic/update"
    assert request["form"] == {"hostname": WWW, "password": KEYS[WWW], "myip": OURS}
    assert "Authorization" not in request["headers"]


def test_each_name_has_its_own_key(published: Any, service: Any) -> None:
    published("names", records=[WWW, MAIL], address=OURS, by="he", ttl=300)
    assert [each["form"]["password"] for each in service.requests] == list(KEYS.values())


def test_a_record_that_is_right_costs_no_call(published: Any, service: Any) -> None:
    put(WWW, OURS)
    assert published(WWW, address=OURS, by="he").changes == {}
    assert service.requests == []


def test_the_ttl_is_a_matter_of_the_web_page(published: Any, service: Any) -> None:
    done = published(WWW, address=OURS, by="he", ttl=60)
    assert f"{WWW} has a TTL of 300 s, and he cannot change it to 60 s" in done.comment


def test_nochg_is_a_success(modules: Any, service: Any, pillar: Any) -> None:
    put(WWW, OURS)
    edits = {WWW: {"old": {"addresses": [OLD], "ttl": 300}, "new": {"addresses": [OURS], "ttl": 300}}}
    modules.aaaa_he.change("ipv6:dns:he", edits)
    service.answer = (200, {}, "nochg")
    modules.aaaa_he.change("ipv6:dns:he", edits)


@pytest.mark.parametrize("ca", ["/nowhere/ca.pem", "/etc/hostname"])
def test_an_authority_that_cannot_be_read_is_the_pillars_fault(states: Any, service: Any, pillar: Any, ca: str) -> None:
    pillar["he"]["ca"] = ca
    done = states.aaaa.published(WWW, address=OURS, by="he", ttl=300)
    assert (done.result, done.changes, service.requests) == (False, {}, [])
    assert f"failed: ca: {ca} has no certificate that can be read" in done.comment


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {}, "badauth"), "the key is wrong, or the record is not enabled for dynamic DNS (badauth)"),
        ((401, {}, "badauth"), "the key is wrong, or the record is not enabled for dynamic DNS (badauth)"),
        ((401, {}, "<html>no</html>"), "the key is wrong"),
        ((200, {}, "nohost"), "there is no such record; create an AAAA record there and enable it for dynamic DNS"),
        ((200, {}, "badip"), "it does not accept the address (badip)"),
        ((200, {}, "badsys\r\n"), "it does not understand the request (badsys)"),
        ((200, {}, "badagent"), "it does not accept this client (badagent)"),
        ((200, {}, "abuse"), "it was updated too often; wait some hours, then look at dns.he.net (abuse)"),
        ((200, {}, "interval"), "the last update was too recent; wait some minutes (interval)"),
        ((200, {}, "notfqdn"), "it is not a full host name (notfqdn)"),
        ((200, {}, "!yours"), "the record belongs to another account (!yours)"),
        ((200, {}, "dnserr"), "it reports an internal error; try again later (dnserr)"),
        ((200, {}, "911"), "it is out of order; try again later (911)"),
        ((200, {}, f"good {OLD}"), f"it has set another address: '{OLD}'"),
        ((200, {}, "good 192.0.2.1"), "it has set another address: '192.0.2.1'"),
        ((200, {}, "-ERROR: something"), "it answers something unknown: '-ERROR: something'"),
        ((200, {}, f"goodness {KEYS[WWW]}"), "it answers something unknown: 'goodness ***'"),
        ((200, {}, ""), "its answer is empty"),
        ((200, {}, "<!DOCTYPE html><p>good"), "it answers with a web page; a captive portal may be in between"),
        ((503, {}, "<html>"), "it answers 503 Service Unavailable"),
        ((302, {"Location": "/other"}, ""), "it answers with a redirect (302), which is not followed"),
        ("hang", "no answer in time; whether the record was changed is not known"),
        ("close", "no answer: "),
        ("noise", "no answer: SSH-2.0-OpenSSH_9.2"),
    ],
)
def test_every_answer_is_reported_in_words(states: Any, service: Any, answer: Any, words: str) -> None:
    service.answer = answer
    done = states.aaaa.published(WWW, address=OURS, by="he", ttl=300)
    assert (done.result, done.changes) == (False, {})
    assert words in done.comment
    assert done.comment.endswith("Everything was put back as it was.")
    assert KEYS[WWW] not in str(done.raw)
    assert [each["path"] for each in service.requests] == ["/nic/update"]  # once, and no redirect was followed
    assert records(WWW) == [f"300 {OLD}"]


def test_good_without_a_change_is_not_trusted(states: Any, service: Any) -> None:
    service.updates = False
    done = states.aaaa.published(WWW, address=OURS, by="he", ttl=300, deadline=1)
    assert done.result is False
    assert f"ns1.example.org (127.0.0.1) has {OLD} (TTL 300 s) for {WWW}, not {OURS} (TTL 300 s)" in done.comment
    # It said that it had changed the record: so it is told to put it back.
    assert [each["form"]["myip"] for each in service.requests] == [OURS, OLD]


def test_a_certificate_of_another_authority(states: Any, service: Any, pillar: Any, authority: Path) -> None:
    pillar["he"]["ca"] = str(authority / "other.pem")
    done = states.aaaa.published(WWW, address=OURS, by="he")
    assert done.result is False
    assert "its certificate is not trusted: " in done.comment
    assert service.requests == []


def test_a_certificate_of_another_host(states: Any, service: Any, pillar: Any) -> None:
    pillar["he"]["url"] = service.url.replace("127.0.0.1", "localhost")
    done = states.aaaa.published(WWW, address=OURS, by="he")
    assert "its certificate is not trusted: Hostname mismatch" in done.comment
    assert service.requests == []


def test_a_service_that_is_not_there(states: Any, service: Any, pillar: Any) -> None:
    pillar["he"]["url"] = "https://127.0.0.1:1/nic/update"
    done = states.aaaa.published(WWW, address=OURS, by="he")
    assert "no answer: [Errno 111] Connection refused" in done.comment
    pillar["he"]["ca"] = "/nonexistent"
    assert "No such file" in states.aaaa.published(WWW, address=OURS, by="he").comment


def test_never_without_tls(states: Any, service: Any, pillar: Any) -> None:
    pillar["he"]["url"] = service.url.replace("https", "http")
    done = states.aaaa.published(WWW, address=OURS, by="he")
    assert (done.result, done.comment) == (
        False,
        "he:url: expected an https:// URL without user, key or query, " "such as https://dyn.dns.he.net/nic/update",
    )
    assert service.requests == []


def test_it_cannot_withdraw(states: Any, service: Any, test: bool) -> None:
    done = states.aaaa.withdrawn(WWW, address=OLD, by="he", test=test)
    assert (done.result, done.changes) == (False, {})
    assert done.comment.startswith(f"provider: he cannot remove a record; remove {OLD} (TTL 300 s) of {WWW} by hand")
    assert service.requests == []
    put(WWW)
    assert states.aaaa.withdrawn(WWW, address=OLD, by="he", test=test).result is True


def test_no_key_is_in_a_log(states: Any, service: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert states.aaaa.published(WWW, address=OURS, by="he", ttl=300).result is True
        service.answer = (200, {}, "badauth")
        assert states.aaaa.published(MAIL, address=OURS, by="he", ttl=300).result is False
    assert not [key for key in KEYS.values() if key in caplog.text]
