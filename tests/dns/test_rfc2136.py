"""Dynamic updates of a real BIND, signed with a real key."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import pytest

from . import minion, servers
from .servers import put, records

WWW, MAIL = "www.example.org", "mail.example.org"
OURS, OLD, FOREIGN = "2001:db8:1::77", "2001:db8:1::66", "2001:db8:2::9"
MEMORY = Path("/var/lib/dualstack_aaaa/published.json")


# --------------------------------------------------------------------------------------------------------------
# Publishing


def test_a_record_is_published_and_nothing_else_is_touched(published: Any) -> None:
    done = published(WWW, address=OURS)
    assert done.changes == {WWW: {"old": [], "new": [OURS]}}
    assert records(WWW) == [f"3600 {OURS}"]
    assert records(WWW, "A") == ["3600 192.0.2.80"]
    assert records(WWW, "TXT") == ['3600 "not a matter of AAAA records"']
    assert json.loads(MEMORY.read_text()) == {WWW: [OURS]}
    assert MEMORY.stat().st_mode & 0o777 == 0o600


def test_under_test_nothing_is_sent_nor_remembered(states: Any) -> None:
    done = states.aaaa.published(WWW, address=OURS, test=True)
    assert (done.result, done.changes) == (None, {WWW: {"old": [], "new": [OURS]}})
    assert records(WWW) == []
    assert not MEMORY.exists()


def test_several_names_are_changed_at_once(published: Any) -> None:
    put(MAIL, OURS)
    done = published("the host's names", records=[WWW, "MAIL.example.org."], address=OURS)
    assert list(done.changes) == [WWW]
    assert records(WWW) == records(MAIL) == [f"3600 {OURS}"]


def test_several_names_or_none(states: Any) -> None:
    before = records("example.org", "SOA")
    done = states.aaaa.published("names", records=[WWW, "forbidden.example.org"], address=OURS)
    assert (done.result, done.changes) == (False, {})
    assert "REFUSED: it refuses: the key host1 may not change AAAA records of these names" in done.comment
    assert "Everything was put back" in done.comment
    assert records(WWW) == records("forbidden.example.org") == []
    assert records("example.org", "SOA") == before  # not even for a moment


def test_drift_is_seen(published: Any) -> None:
    published(WWW, address=OURS)
    put(WWW)
    assert published(WWW, address=OURS).changes == {WWW: {"old": [], "new": [OURS]}}


def test_an_old_address_of_ours_is_replaced(published: Any) -> None:
    published(WWW, address=OLD)
    assert published(WWW, address=OURS).changes == {WWW: {"old": [OLD], "new": [OURS]}}
    assert records(WWW) == [f"3600 {OURS}"]


def test_one_that_was_right_by_hand_is_ours_from_then_on(published: Any) -> None:
    put(WWW, OLD)
    assert published(WWW, address=OLD).changes == {}
    assert published(WWW, address=OURS).changes == {WWW: {"old": [OLD], "new": [OURS]}}


def test_what_others_have_published_stays(published: Any) -> None:
    put(WWW, FOREIGN)
    done = published(WWW, address=OURS)
    assert done.changes == {WWW: {"old": [FOREIGN], "new": [OURS, FOREIGN]}}
    assert f"{WWW} also has {FOREIGN}, which this host has not published: it was left there" in done.comment
    assert published(WWW, address=OLD).changes == {WWW: {"old": [OURS, FOREIGN], "new": [OLD, FOREIGN]}}
    assert records(WWW) == [f"3600 {OLD}", f"3600 {FOREIGN}"]


def test_exclusive_removes_it(published: Any) -> None:
    put(WWW, FOREIGN)
    assert published(WWW, address=OURS, exclusive=True).changes == {WWW: {"old": [FOREIGN], "new": [OURS]}}
    assert records(WWW) == [f"3600 {OURS}"]


def test_a_damaged_memory_is_an_error_with_its_path(published: Any, states: Any) -> None:
    published(WWW, address=OLD)
    MEMORY.write_text("{broken")
    done = states.aaaa.published(WWW, address=OURS)
    assert (done.result, done.changes) == (False, {})
    assert done.comment.startswith(f"{MEMORY} is damaged: ")


def test_a_lost_memory_is_no_reason_to_remove_anything(published: Any) -> None:
    published(WWW, address=OLD)
    MEMORY.unlink()
    assert published(WWW, address=OURS).changes == {WWW: {"old": [OLD], "new": [OLD, OURS]}}


def test_the_ttl_is_compared(published: Any) -> None:
    put(WWW, OURS, ttl=60)
    done = published(WWW, address=OURS, ttl=300)
    assert done.changes == {WWW: {"old": [OURS], "new": [OURS], "ttl": {"old": 60, "new": 300}}}
    assert records(WWW) == [f"300 {OURS}"]


def test_the_ttl_is_that_of_all_records_of_a_name(published: Any) -> None:
    put(WWW, FOREIGN, ttl=60)
    done = published(WWW, address=OURS, ttl=300)
    assert done.changes == {WWW: {"old": [FOREIGN], "new": [OURS, FOREIGN], "ttl": {"old": 60, "new": 300}}}
    assert records(WWW) == [f"300 {OURS}", f"300 {FOREIGN}"]


def test_the_form_of_an_address_makes_no_difference(published: Any) -> None:
    put(WWW, OURS)
    assert published(WWW, address="2001:0DB8:1:0:0:0:0:0077").changes == {}


# --------------------------------------------------------------------------------------------------------------
# Withdrawing


def test_what_was_published_is_withdrawn(published: Any, withdrawn: Any) -> None:
    published(WWW, address=OURS)
    assert withdrawn(WWW).changes == {WWW: {"old": [OURS], "new": []}}
    assert records(WWW) == []
    assert records(WWW, "A") == ["3600 192.0.2.80"]
    assert not MEMORY.exists()


def test_what_others_have_published_is_not_withdrawn(published: Any, withdrawn: Any) -> None:
    put(WWW, FOREIGN)
    published(WWW, address=OURS)
    done = withdrawn(WWW)
    assert done.changes == {WWW: {"old": [OURS, FOREIGN], "new": [FOREIGN]}}
    assert f"{WWW} has {FOREIGN}, which this host has not published: it was left there" in done.comment
    assert records(WWW) == [f"3600 {FOREIGN}"]
    assert withdrawn(WWW, address=OURS).changes == {}
    assert withdrawn(WWW, exclusive=True).changes == {WWW: {"old": [FOREIGN], "new": []}}


def test_an_address_that_is_given_is_withdrawn_though_not_remembered(withdrawn: Any) -> None:
    put(WWW, OURS, FOREIGN)
    assert withdrawn(WWW).changes == {}
    assert withdrawn(WWW, address=OURS).changes == {WWW: {"old": [OURS, FOREIGN], "new": [FOREIGN]}}


def test_a_name_without_records(withdrawn: Any) -> None:
    assert withdrawn("www.example.org", records=["new.example.org", "alias.example.org"]).changes == {}


# --------------------------------------------------------------------------------------------------------------
# What fails


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"key": servers.WRONG}, "BADSIG: the key host1 is not the one that it has"),
        ({"key_name": "host2"}, "BADKEY: it does not know the key host2 with this algorithm"),
        ({"algorithm": "hmac-sha512"}, "BADKEY: it does not know the key host1 with this algorithm"),
        ({"zone": WWW}, "NOTAUTH: it is not authoritative for the zone www.example.org"),
    ],
)
def test_what_the_server_says_is_reported_in_words(
    states: Any, pillar: Any, settings: dict[str, Any], words: str
) -> None:
    pillar["rfc2136"].update(settings)
    done = states.aaaa.published(WWW, address=OURS)
    assert (done.result, done.changes) == (False, {})
    assert words in done.comment
    assert "Everything was put back as it was." in done.comment
    assert not MEMORY.exists()
    for secret in (*servers.KEYS.values(), servers.WRONG):
        assert secret not in str(done.raw)


def test_a_clock_that_is_wrong(modules: Any, pillar: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    now = time.time
    monkeypatch.setattr("time.time", lambda: now() - 3600)  # the clock is a thing of the outside
    edits = {WWW: {"old": {"addresses": [], "ttl": None}, "new": {"addresses": [OURS], "ttl": 60}}}
    with pytest.raises(Exception, match="BADTIME: its clock and that of this host differ"):
        modules.aaaa_rfc2136.change("ipv6:dns:rfc2136", edits)
    assert records(WWW) == []


def undone(change: converge.Change, plan: converge.Plan) -> None:
    """Undo a plan."""
    for step in change.undo(plan):
        step()


@pytest.mark.parametrize(("then", "words"), [([FOREIGN], "NXRRSET"), ([], "NXRRSET"), ([OLD, FOREIGN], "NXRRSET")])
def test_who_was_changed_in_between_is_left_alone(publishing: Any, then: list[str], words: str) -> None:
    put(WWW, OLD)
    change = publishing(WWW, address=OURS, exclusive=True)
    plan = change.plan()
    put(WWW, *then)
    with pytest.raises(Exception, match=f"{words}: somebody has changed the records in the meantime"):
        change.apply(plan)
    undone(change, plan)
    assert records(WWW) == [f"3600 {each}" for each in then]


def test_a_change_whose_answer_was_lost_is_undone(publishing: Any) -> None:
    put(WWW, OLD)
    change = publishing(WWW, address=OURS, exclusive=True)
    plan = change.plan()
    put(WWW, OURS)
    undone(change, plan)
    assert records(WWW) == [f"3600 {OLD}"]


def test_who_was_added_in_between_is_left_alone(publishing: Any) -> None:
    change = publishing(WWW, address=OURS)
    plan = change.plan()
    put(WWW, FOREIGN)
    with pytest.raises(Exception, match="YXRRSET: somebody has added records in the meantime"):
        change.apply(plan)
    undone(change, plan)
    assert records(WWW) == [f"3600 {FOREIGN}"]


def test_a_server_that_takes_no_connection_is_told_before_anything_is_sent(states: Any, pillar: Any) -> None:
    pillar["rfc2136"]["port"] = 54
    for test in (True, False):
        done = states.aaaa.published(WWW, address=OURS, test=test, deadline=600)
        assert (done.result, done.changes) == (False, {})
        assert done.comment.startswith("127.0.0.1#54 has no answer for the zone of www.example.org: ")
        assert "onnection refused" in done.comment
    assert not MEMORY.exists()


def test_a_name_that_is_an_alias(states: Any) -> None:
    for test in (True, False):
        done = states.aaaa.published("alias.example.org", address=OURS, test=test)
        assert (done.result, done.changes) == (False, {})
        assert done.comment.startswith(
            "alias.example.org is an alias (CNAME) of www.example.org: an alias may not have other records"
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"address": "192.0.2.1"}, "address: '192.0.2.1' is not an IPv6 address; expected one without a prefix length"),
        ({"address": None}, "address: missing"),
        ({"ttl": "1h"}, "ttl: '1h' is not a whole number of seconds"),
        (
            {"by": "bind"},
            "provider: 'bind' is not a provider that is known; expected one of command, he, lexicon",
        ),
        ({"records": ["x y"]}, "records: 'x y' is not a host name"),
        ({"records": ["www.example.net"]}, "rfc2136:zone: www.example.net is not in the zone example.org"),
        (
            {"credentials": "ipv6:dns:rfc2137"},
            "credentials: the pillar has nothing under ipv6:dns:rfc2137; expected the",
        ),
        ({"addres": OURS}, "unknown argument: addres"),
    ],
)
def test_bad_input_is_refused(states: Any, test: bool, arguments: dict[str, Any], words: str) -> None:
    done = states.aaaa.published(WWW, test=test, **{"address": OURS, **arguments})
    assert (done.result, done.changes) == (False, {})
    assert words in done.comment
    assert records(WWW) == []


def test_no_secret_is_in_a_log(states: Any, pillar: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert states.aaaa.published(WWW, address=OURS).result is True
        pillar["rfc2136"]["key"] = servers.WRONG
        assert states.aaaa.withdrawn(WWW).result is False
    assert servers.KEYS["host1"] not in caplog.text
    assert servers.WRONG not in caplog.text


# --------------------------------------------------------------------------------------------------------------
# More than one server


def at_both(name: str) -> list[list[str]]:
    return [records(name, server=each) for each in (servers.PRIMARY, servers.SECONDARY)]


def test_every_server_has_to_show_it(published: Any, withdrawn: Any, pillar: Any, secondary: Any) -> None:
    pillar["rfc2136"]["zone"] = "two.example"
    published("www.two.example", address=OURS)
    assert at_both("www.two.example") == [[f"3600 {OURS}"]] * 2
    withdrawn("www.two.example")
    assert at_both("www.two.example") == [[], []]


def test_the_one_that_lags_is_named_and_all_is_put_back(states: Any, pillar: Any, stuck: Any) -> None:
    pillar["rfc2136"]["zone"] = "two.example"
    done = states.aaaa.published("www.two.example", address=OURS, deadline=2)
    assert (done.result, done.changes) == (False, {})
    found, wanted = "no AAAA record", f"{OURS} (TTL 3600 s)"
    assert f"ns2.two.example (127.0.0.2) has {found} for www.two.example, not {wanted} (after 2 s)" in done.comment
    assert "ns1.two.example" not in done.comment
    assert "Everything was put back as it was." in done.comment
    assert at_both("www.two.example") == [[], []]
    assert not MEMORY.exists()


def test_what_is_out_there_is_remembered_even_if_nobody_could_undo_it(
    modules: Any, publishing: Any, pillar: Any, stuck: Any
) -> None:
    pillar["rfc2136"]["zone"] = "two.example"
    one = {"servers": [servers.PRIMARY]}
    assert modules.aaaa.published("www.two.example", address=OLD, **one)["result"] is True
    change = publishing("www.two.example", address=OURS, **one)
    plan = change.plan()
    plan["places"] = {"www.two.example": {each: each for each in (servers.PRIMARY, servers.SECONDARY)}}
    with pytest.raises(Exception, match="127.0.0.2 has no AAAA record"):
        change.apply({**plan, "deadline": 1})
    assert json.loads(MEMORY.read_text()) == {"www.two.example": [OLD, OURS]}
    assert records("www.two.example") == [f"3600 {OURS}"]


def test_servers_that_do_not_agree(states: Any, pillar: Any, stuck: Any) -> None:
    pillar["rfc2136"]["zone"] = "two.example"
    put("www.two.example", OURS)
    done = states.aaaa.published("www.two.example", address=OURS, deadline=1, test=True)
    assert done.result is False
    assert "the servers of www.two.example do not agree: ns1.two.example (127.0.0.1) has" in done.comment
    seen = states.aaaa.published("www.two.example", address=OURS, deadline=1, servers=[servers.PRIMARY], test=True)
    assert (seen.result, seen.changes) == (True, {})


def test_a_server_that_does_not_answer(states: Any, pillar: Any) -> None:
    pillar["rfc2136"]["zone"] = "two.example"
    done = states.aaaa.published("www.two.example", address=OURS, deadline=1)
    assert done.result is False
    assert "ns2.two.example (127.0.0.2) has no answer for www.two.example: " in done.comment
    assert "onnection refused" in done.comment
    assert records("www.two.example") == []


def test_without_a_resolver_the_server_that_takes_updates_is_asked(published: Any) -> None:
    Path("/etc/resolv.conf").write_text("")
    assert published(WWW, address=OURS).changes == {WWW: {"old": [], "new": [OURS]}}


# --------------------------------------------------------------------------------------------------------------
# What a person calls


def test_lookup(modules: Any, stuck: Any) -> None:
    put(WWW, OURS, ttl=60)
    found = modules.aaaa.lookup("WWW.example.org.")
    assert (found["name"], found["agree"], found["addresses"], found["ttl"]) == (WWW, True, [OURS], 60)
    assert list(found["servers"]) == ["ns1.example.org (127.0.0.1)"]
    assert modules.aaaa.lookup("alias.example.org")["alias"] == WWW
    put("www.two.example", OURS)
    two = modules.aaaa.lookup("www.two.example")
    assert (two["agree"], two["addresses"], two["ttl"]) == (False, [], None)
    assert [each["addresses"] for each in two["servers"].values()] == [[OURS], []]
    other = modules.aaaa.lookup(WWW, servers=["127.0.0.2#53", "127.0.0.1#5353"])["servers"]
    assert other["127.0.0.2#53"]["error"] == "it answers REFUSED"
    assert "onnection refused" in other["127.0.0.1#5353"]["error"]


def test_referrals_are_not_believed(modules: Any) -> None:
    put("sub.example.org", "ns.elsewhere.example.", kind="NS")
    (answer,) = modules.aaaa.lookup("www.sub.example.org", servers=[servers.PRIMARY])["servers"].values()
    assert answer["error"] == "it is not authoritative for www.sub.example.org: it delegates the zone sub.example.org"


def test_lookup_refuses(modules: Any) -> None:
    with pytest.raises(Exception, match="names: 'x y' is not a host name"):
        modules.aaaa.lookup("x y")
    with pytest.raises(Exception, match="servers: 'ns1' is not the address of a name server"):
        modules.aaaa.lookup(WWW, servers=["ns1"])
    Path("/etc/resolv.conf").write_text("")
    with pytest.raises(Exception, match="servers: this host's resolver does not find the authoritative servers of www"):
        modules.aaaa.lookup(WWW)


def test_lookup_asks_a_server_at_ipv6_only_where_it_has_nothing_else(modules: Any) -> None:
    host = "ns1.example.org"
    put(host, "::1")
    assert list(modules.aaaa.lookup(WWW)["servers"]) == [f"{host} (127.0.0.1)"]
    put(host, kind="A")
    (answer,) = modules.aaaa.lookup(WWW)["servers"].items()
    assert (answer[0], answer[1]["addresses"]) == (f"{host} (::1)", [])
    assert "onnection refused" in answer[1]["error"]
    put("example.org", "ns9.two.example.", kind="NS")
    with pytest.raises(Exception, match="its name server ns9.two.example. has no address"):
        modules.aaaa.lookup(WWW)


def test_publish_and_withdraw(modules: Any) -> None:
    told = modules.aaaa.published(WWW, address=OURS, ttl=60, test=True)
    assert (told["result"], told["changes"]) == (None, {WWW: {"old": [], "new": [OURS]}})
    assert modules.aaaa.published(WWW, address=OURS, ttl=60)["changes"] == {WWW: {"old": [], "new": [OURS]}}
    assert records(WWW) == [f"60 {OURS}"]
    again = modules.aaaa.published(WWW, address=OURS, ttl=60)
    assert (again["result"], again["changes"]) == (True, {})
    assert modules.aaaa.withdrawn(WWW)["changes"] == {WWW: {"old": [OURS], "new": []}}
    assert records(WWW) == []
    refused = modules.aaaa.published("forbidden.example.org", address=OURS)
    assert refused["result"] is False
    assert "REFUSED" in refused["comment"]


def test_with_a_real_minion_and_its_pillar(tmp_path: Path) -> None:
    """Salt 3008 masks what pillar.get returns; and no secret is in what is printed."""
    settings = {"server": servers.PRIMARY, "zone": "example.org", "key_name": "host1", "key": servers.KEYS["host1"]}
    state = [{"records": [WWW]}, {"address": OURS}, {"by": "rfc2136"}, {"credentials": "ipv6:dns:rfc2136"}]
    files = {"published.sls": {"published": {"aaaa.published": state}}}
    done = minion.call(tmp_path, {"ipv6": {"dns": {"rfc2136": settings}}}, files, "state.apply", "published")
    (result,) = json.loads(done.stdout)["local"].values()
    assert (result["result"], result["changes"]) == (True, {WWW: {"old": [], "new": [OURS]}}), done
    assert records(WWW) == [f"3600 {OURS}"]
    assert servers.KEYS["host1"] not in done.stdout + done.stderr
