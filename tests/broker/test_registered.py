"""The broker is told this host's address: only if it has another one, and never again and again."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from . import server
from .conftest import LOCAL, MEMORY, renumbered
from .server import ID, KEY, USER

OTHER = "46.105.5.77"
BEFORE = "198.51.100.9"
AGAIN = "nothing is sent again for"


def lapse(seconds: float) -> None:
    """So much time goes by, for what is remembered."""
    found = json.loads(MEMORY.read_text())
    for entry in found.values():
        for key in ("until", "done", "read", "denied_until"):
            entry[key] = entry.get(key, 0) - seconds
    MEMORY.write_text(json.dumps(found))


def test_it_is_told_once(registered: Any, broker: Any) -> None:
    broker.tunnels[ID]["clientv4"] = BEFORE
    told = registered(test=True)
    assert (told["result"], told["changes"]) == (None, {"endpoint": {"old": BEFORE, "new": LOCAL}})
    assert broker.updates() == []
    done = registered()
    assert (done["result"], done["changes"]) == (True, told["changes"]), done
    (request,) = broker.updates()
    assert request["query"] == {"hostname": ID, "myip": LOCAL}
    assert request["headers"]["User-Agent"].startswith("dualstack")
    assert broker.tunnels[ID]["clientv4"] == LOCAL
    again = registered()
    assert (again["result"], again["changes"]) == (True, {}), again
    assert len(broker.updates()) == 1


def test_a_host_that_is_known_is_not_told(registered: Any, broker: Any, test: bool) -> None:
    done = registered(test)
    assert (done["result"], done["changes"], done["comment"]) == (True, {}, "he-ipv6 is as declared")
    assert [each["kind"] for each in broker.requests] == ["info", "info"]  # its numbers, and what it has now


def test_a_change_of_the_address_is_told(registered: Any, broker: Any) -> None:
    assert registered()["changes"] == {}
    renumbered(OTHER)
    assert registered()["changes"] == {"endpoint": {"old": LOCAL, "new": OTHER}}
    assert [each["query"]["myip"] for each in broker.updates()] == [OTHER]
    assert registered()["changes"] == {}


def test_without_the_brokers_record_what_it_has_said_counts(registered: Any, broker: Any, pillar: Any) -> None:
    pillar["ipv6"]["tunnel"].update(endpoint="216.66.84.42", local=LOCAL)
    broker.answers["info"] = (404, "")
    pillar["ipv6"]["tunnel"].update(address="2001:470:1f12:f87::2/64", gateway="2001:470:1f12:f87::1")
    told = registered(test=True)
    assert told["changes"] == {"endpoint": {"old": "not known", "new": LOCAL}}
    assert "could not be read: it answers 404 for the tunnel's numbers; compared with nothing" in told["comment"]
    assert registered()["changes"] == told["changes"]  # it says nochg
    again = registered()
    assert again["changes"] == {} and "compared with what it has answered last" in again["comment"]
    assert len(broker.updates()) == 1
    pillar["ipv6"]["tunnel"]["local"] = OTHER
    assert registered()["changes"] == {"endpoint": {"old": LOCAL, "new": OTHER}}
    assert len(broker.updates()) == 2


def test_a_record_that_lags_is_not_told_again(registered: Any, broker: Any) -> None:
    """Its record shows another address, and to an update it says that nothing has changed."""
    broker.tunnels[ID]["clientv4"] = BEFORE
    broker.answers["update"] = (200, f"nochg {LOCAL}")
    assert registered()["result"] is True
    assert registered()["changes"] == {}
    assert len(broker.updates()) == 1
    lapse(3700)
    assert registered()["changes"] != {}
    assert len(broker.updates()) == 2


LASTING = [
    ((200, "badauth"), "the user or the update key is wrong"),
    ((401, "badauth\n"), "the user or the update key is wrong"),
    ((401, "<html>no</html>"), "the user or the update key is wrong"),
    ((200, "nohost\r\n"), "the account has no tunnel of this id (nohost)"),
    ((200, "notfqdn"), "(notfqdn)"),
    ((200, "!yours"), "the tunnel belongs to another account (!yours)"),
    ((200, "abuse"), "the tunnel is blocked since it was updated too often"),
    ((200, "badagent"), "it does not accept this client (badagent)"),
    ((200, "badip"), "it does not accept the address (badip)"),
    ((200, "-ERROR: IP is blocked. (RFC1918 Private Address Space)"), "it does not accept the address (it says: IP is"),
]
PASSING = [
    ((200, "-ERROR: IP is not ICMP pingable. Please make sure ICMP is not blocked."), "it could not ping this host"),
    ((200, "-ERROR: something of its own"), "it says: something of its own"),
    ((200, "-ERROR:"), "it reports an error without a word"),
    ((200, "dnserr"), "it reports an internal error (dnserr)"),
    ((200, "911"), "it is out of order (911)"),
    ((200, "badsys"), "it does not understand the request (badsys)"),
    ((200, "interval"), "the last update was too recent (interval)"),
    ((200, ""), "its answer is empty"),
    ((200, "<!DOCTYPE html><p>good 46.105.5.1"), "it answers with a web page; a captive portal may be in between"),
    ((200, f"good {OTHER}"), f"it has set another address: {OTHER}"),
    ((200, "good luck"), "it answers something unknown: 'good luck'"),
    ((200, "goodness 46.105.5.1"), "it answers something unknown: 'goodness 46.105.5.1'"),
    ((200, "GOOD 46.105.5.1"), "it answers something unknown"),
    ((503, "<html>"), "it answers 503 Service Unavailable"),
    ((302, "", {"Location": "/other"}), "it answers with a redirect (302), which is not followed"),
    ((301, f"good {LOCAL}", {"Location": "https://127.0.0.1/"}), "it answers with a redirect (301)"),
    (server.hang, "no answer within 1 s"),
    (server.drip, "no answer within 1 s"),
    (server.flood, "its answer has more than 4096 bytes"),
    (server.close, "no answer: "),
    (server.noise, "no answer: "),
]


@pytest.mark.parametrize(("answer", "words"), [*LASTING, *PASSING])
def test_every_answer_is_said_in_words(registered: Any, broker: Any, rooms: Any, answer: Any, words: str) -> None:
    rooms.broker_ask.TIMEOUT = 1.0
    broker.tunnels[ID]["clientv4"] = BEFORE
    broker.answers["update"] = answer
    done = registered()
    assert (done["result"], done["changes"]) == (False, {}), done
    assert words in done["comment"]
    assert f"the broker was told {LOCAL} as the address of tunnel {ID}: " in done["comment"]
    assert len(broker.updates()) == 1
    assert not [each for each in broker.requests if each["kind"] == "other"]  # no redirect was followed
    lasting = (answer, words) in LASTING
    # It is not asked again, whatever it would say now: not even for its record.
    broker.answers.clear()
    broker.requests.clear()
    for test in (False, True, False):
        held = registered(test)
        assert (held["result"], held["changes"]) == (False, {})
        assert f"the broker is not told {LOCAL}: " in held["comment"] and AGAIN in held["comment"]
    assert broker.requests == []
    lapse(310)
    assert (registered()["result"] is True) is not lasting
    assert len(broker.updates()) == (0 if lasting else 1)
    lapse(24 * 3600)
    assert registered()["result"] is True
    assert len(broker.updates()) == 1


@pytest.mark.parametrize("change", ["key", "user", "address"])
def test_after_a_refusal_a_change_is_tried_at_once(registered: Any, broker: Any, pillar: Any, change: str) -> None:
    broker.tunnels[ID]["clientv4"] = BEFORE
    broker.answers["update"] = (200, "badauth")
    assert registered()["result"] is False
    assert registered()["result"] is False
    assert len(broker.updates()) == 1
    broker.answers.clear()
    if change == "address":
        renumbered(OTHER)
    elif change == "key":
        pillar["tunnelbroker"]["update_key"] = "another"
    else:
        pillar["tunnelbroker"]["user"] = "another"
    assert registered()["result"] is (change == "address")
    assert len(broker.updates()) == 2


def test_a_run_that_is_killed_while_it_waits_counts(registered: Any, broker: Any, rooms: Any) -> None:
    broker.tunnels[ID]["clientv4"] = BEFORE

    def killed(*_: Any) -> Any:
        raise SystemExit(1)

    before = rooms.broker_ask.ask
    rooms.broker_ask.ask = lambda account, url, *rest: (killed if "update" in url else before)(account, url, *rest)
    with pytest.raises(SystemExit):
        registered()
    rooms.broker_ask.ask = before
    assert "what it answered the last time is not known" in registered()["comment"]
    assert broker.updates() == []


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ("selfsigned", "its certificate is not trusted: self"),
        ("expired", "its certificate is not trusted: certificate has expired"),
        ("elsewhere", "its certificate is not trusted: IP address mismatch"),
    ],
)
def test_certificates_are_verified(
    registered: Any, authority: Path, pillar: Any, broker: Any, certificate: str, words: str
) -> None:
    assert registered()["result"] is True
    renumbered(OTHER)
    other = server.Broker(authority, certificate)
    pillar["ipv6"]["tunnel"].update(
        broker=other.url, endpoint="216.66.84.42", address="2001:db8::2/64", gateway="2001:db8::1"
    )
    done = registered()
    other.stop()
    assert done["result"] is False and words in done["comment"], done
    assert other.requests == []


def test_a_ca_that_cannot_be_read(registered: Any, pillar: Any, broker: Any) -> None:
    for ca in ("/nowhere/ca.pem", "/etc/hostname"):
        pillar["ipv6"]["tunnel"]["ca"] = ca
        done = registered()
        assert done["result"] is False
        assert f"ca: {ca} has no certificate that can be read" in done["comment"]
    assert broker.requests == []


def test_a_broker_that_is_not_there(registered: Any, pillar: Any) -> None:
    pillar["ipv6"]["tunnel"]["broker"] = "https://127.0.0.1:1"
    done = registered()
    assert done["result"] is False and "no answer: [Errno 111] Connection refused" in done["comment"]
    assert done["comment"].startswith("ipv6:tunnel:endpoint: missing, and the broker, which knows it, does not say: ")
    pillar["ipv6"]["tunnel"]["broker"] = "https://no-such-host.invalid"
    assert "the name no-such-host.invalid leads nowhere" in registered()["comment"]


def test_no_proxy_is_used(registered: Any, broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    broker.tunnels[ID]["clientv4"] = BEFORE
    assert registered()["result"] is True


def test_only_ipv4_is_used(registered: Any, broker: Any, pillar: Any) -> None:
    """The broker takes the address from which the request comes."""
    hosts = Path("/etc/hosts").read_text()
    Path("/etc/hosts").write_text("2001:db8::6 six.example.org\n" + hosts)
    pillar["ipv6"]["tunnel"]["broker"] = broker.url.replace("127.0.0.1", "six.example.org")
    done = registered()
    Path("/etc/hosts").write_text(hosts)
    assert "the name six.example.org leads nowhere" in done["comment"]


@pytest.mark.parametrize("local", ["192.168.1.7", "10.1.2.3", "172.20.0.9", "100.64.3.4"])
def test_behind_nat_the_broker_takes_the_source(registered: Any, broker: Any, rooms: Any, local: str) -> None:
    renumbered(local)
    broker.source = "203.0.113.9"
    answering = [False]
    rooms.tunnel_echo.ask = lambda *_, **__: {"answering": answering[0]}
    told = registered(test=True)
    source = {"endpoint": {"old": LOCAL, "new": "the address that the request comes from"}}
    assert (told["result"], told["changes"]) == (None, source)
    assert registered()["changes"] == source
    (request,) = broker.updates()
    assert request["query"] == {"hostname": ID}
    again = registered()  # it is silent still: the NAT does not pass protocol 41 on
    assert (again["result"], again["changes"]) == (True, {})
    assert f"holds 203.0.113.9: the NAT has to pass protocol 41 on to {local}" in again["comment"]
    assert len(broker.updates()) == 1
    lapse(310)
    broker.source = "203.0.113.10"
    assert registered()["changes"] == {"endpoint": {**source["endpoint"], "old": "203.0.113.9"}}
    answering[0] = True
    lapse(310)
    assert "so the broker has the right address" in registered()["comment"]
    assert len(broker.updates()) == 2


def test_bad_settings_are_named(registered: Any, broker: Any, pillar: Any) -> None:
    tunnel: dict[str, Any] = pillar["ipv6"]["tunnel"]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"id": None}, "ipv6:tunnel:id: missing; expected the tunnel's number at the broker"),
        ({"account": None}, "ipv6:tunnel:account: missing; expected the key of the pillar"),
        ({"account": {"user": "x", "update_key": KEY}}, "ipv6:tunnel:account: expected the key of the pillar that"),
        ({"id": "12 34"}, "ipv6:tunnel:id: '12 34' is not the tunnel's number"),
        ({"id": True}, "ipv6:tunnel:id: True is not the tunnel's number"),
        ({"broker": "http://127.0.0.1/"}, "ipv6:tunnel:broker: expected the https:// URL"),
        ({"broker": f"https://{USER}:{KEY}@127.0.0.1"}, "ipv6:tunnel:broker: expected the https:// URL"),
        ({"broker": "https://127.0.0.1/?x=1"}, "ipv6:tunnel:broker: expected the https:// URL"),
        ({"ca": "ca.pem"}, "ipv6:tunnel:ca: 'ca.pem' is not the path of a file"),
        ({"register": "no"}, "ipv6:tunnel:register: 'no' is not true or false"),
        ({"register": False}, "ipv6:tunnel:register: it is false"),
        ({"account": "nowhere"}, "nowhere: expected a mapping with user and update_key in the pillar, found nothing"),
        ({"acount": "x"}, "ipv6:tunnel:acount: unknown key; did you mean account?"),
    ]
    for change, words in wrong:
        pillar["ipv6"]["tunnel"] = {key: each for key, each in {**tunnel, **change}.items() if each is not None}
        done = registered()
        assert done["result"] is False and done["comment"].startswith(words), done["comment"]
        assert KEY not in str(done)
    assert broker.requests == []


def test_a_bad_account_is_named(registered: Any, broker: Any, pillar: Any) -> None:
    account = pillar["tunnelbroker"]
    for change, words in (
        ({"update_key": 12345}, "tunnelbroker:update_key: expected the tunnel's update key, from the broker's tab Adv"),
        ({"user": "some:body"}, "tunnelbroker:user: expected the name of the account, found text that cannot be one"),
        ({"update_key": ""}, "tunnelbroker:update_key: expected the tunnel's update key"),
        ({"update_key": f"{KEY}\n"}, "tunnelbroker:update_key: expected the tunnel's update key"),
        ({"password": KEY}, "tunnelbroker:password: unknown key; expected one of user, update_key"),
    ):
        pillar["tunnelbroker"] = {**account, **change}
        done = registered()
        assert done["result"] is False and done["comment"].startswith(words), done["comment"]
        assert KEY not in str(done) and "12345" not in done["comment"]
    assert broker.requests == []


def test_only_root_can_read_what_is_remembered(registered: Any, broker: Any) -> None:
    broker.tunnels[ID]["clientv4"] = BEFORE
    os.umask(0)
    assert registered()["result"] is True
    os.umask(0o022)
    assert stat.S_IMODE(MEMORY.stat().st_mode) == 0o600
    text = MEMORY.read_text()
    assert KEY not in text and USER not in text
    MEMORY.write_text("[")
    done = registered()
    assert done["result"] is False and "broker.json is damaged" in done["comment"]
    assert len(broker.updates()) == 1
