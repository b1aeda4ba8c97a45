"""The numbers that a broker has of a tunnel: read, compared with the pillar, used where the pillar has none."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import _dualstack_firewall_declared as firewall_declared
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_pillar as pillar_room
import _dualstack_tunnel_settings as tunnel_settings
import pytest
import tunnel_ifupdown
from salt.exceptions import CommandExecutionError

from . import server
from .conftest import LOCAL, MEMORY
from .server import ID, KEY, NUMBERS

WHOLE = {
    "endpoint": "216.66.84.42",
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
    "addresses": ["2001:470:1f13:f87::77/64"],
}
STACKS: Any = {"ifupdown": tunnel_ifupdown}


def test_the_numbers_of_the_broker(door: Any, broker: Any, pillar: Any) -> None:
    pillar["ipv6"]["tunnel"].update(WHOLE)
    found = door.broker_info()
    assert {key: found[key] for key in ("endpoint", "address", "gateway")} == {
        key: WHOLE[key] for key in ("endpoint", "address", "gateway")
    }
    assert (found["client"], found["local"], found["behind_nat"], found["id"]) == (LOCAL, LOCAL, False, ID)
    assert (found["routed64"], found["routed48"]) == ("2001:470:1f13:f87::/64", "2001:470:abcd::/48")
    assert (found["description"], found["rdns"]) == ("a tunnel & its <name>", ["ns1.he.net", "ns2.he.net"])
    assert (found["problems"], found["in_sync"], found["mtu"]) == ([], True, None)
    assert broker.updates() == []
    for key in ("routed48", "rdns1", "rdns2", "description", "clientv4"):
        del broker.tunnels[ID][key]
    found = door.broker_info()
    assert (found["routed48"], found["rdns"], found["client"]) == (None, [], None)
    said = f"local: it is {LOCAL}, and the broker has no address of this host: he_tunnel.registered tells it"
    assert found["problems"] == [said]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"endpoint": "216.218.226.238"}, "endpoint: it is 216.218.226.238; the broker's end is 216.66.84.42"),
        (
            {"endpoint": LOCAL},
            f"endpoint: it is {LOCAL}, which is this host's own address there; the broker's end is 2",
        ),
        (
            {"address": "2001:470:1f12:f87::1/64", "gateway": "2001:470:1f12:f87::2"},
            "address: it is 2001:470:1f12:f87::1, and the broker says that this is its own end; expected 2001:4",
        ),
        (
            {"address": "2001:470:1f12:f87::1/64", "gateway": "2001:470:1f12:f87::2"},
            "gateway: it is 2001:470:1f12:f87::2, and the broker says that this is this host's end; expected ",
        ),
        (
            {"address": "2001:470:1f13:f87::2/64", "gateway": "2001:470:1f13:f87::1"},
            "address: it is 2001:470:1f13:f87::2, which is in 2001:470:1f13:f87::/64, the prefix that is routed",
        ),
        (
            {"address": "2001:470:1f12:f87::3/64"},
            "address: it is 2001:470:1f12:f87::3, which nobody has: of this prefix",
        ),
        (
            {"addresses": ["2001:470:1f12:f87::77/64"]},
            "addresses: 2001:470:1f12:f87::77 is in 2001:470:1f12:f87::/64, the tunnel's own prefix, of which",
        ),
        (
            {"addresses": ["2001:470:1f14:f87::77/64"]},
            "addresses: 2001:470:1f14:f87::77 is in no prefix that the broker routes to this host; expected one",
        ),
        (
            {"addresses": []},
            "addresses: there are none; the broker routes 2001:470:1f13:f87::/64 and 2001:470:abcd",
        ),
        (
            {"local": "46.105.5.99"},
            f"local: it is 46.105.5.99, and the broker has {LOCAL}: he_tunnel.registered tells it",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(door: Any, broker: Any, pillar: Any, change: Any, words: str) -> None:
    pillar["ipv6"]["tunnel"].update({**WHOLE, **change})
    found = door.broker_info()
    assert [each for each in found["problems"] if each.startswith(words)], found["problems"]
    assert found["in_sync"] is False


def test_addresses_of_the_48_are_right(door: Any, broker: Any, pillar: Any) -> None:
    pillar["ipv6"]["tunnel"].update({**WHOLE, "addresses": ["2001:470:abcd:7::1/64", "2001:0470:1f13:0f87::99/128"]})
    assert door.broker_info()["problems"] == []


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE tunnels [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1 if n else chr(0)};".replace(chr(0), "") * 10}">' for n in range(9))
    + ']><tunnels><tunnel id="123456"><description>&a8;</description></tunnel></tunnels>'
)
OUTSIDE = (
    '<!DOCTYPE tunnels [<!ENTITY x SYSTEM "file:///etc/passwd">]><tunnels><tunnel id="123456">'
    "<serverv4>&x;</serverv4></tunnel></tunnels>"
)


def numbers(**change: str) -> str:
    return server.xml((ID, {**NUMBERS, **change}))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, server.xml()), f"the account has no tunnel {ID}; it has: none"),
        ((200, server.xml(("7", NUMBERS), ("8", NUMBERS))), f"the account has no tunnel {ID}; it has: 7, 8"),
        ((200, ""), "its answer is empty"),
        ((200, "<!DOCTYPE html><html><body>Log in</body></html>"), "it answers with a web page"),
        ((200, "<html><body>Log in</body></html>"), "it answers with a web page"),
        ((200, "no tunnels here"), "it answers something unknown: 'no tunnels here'"),
        ((200, numbers()[:-12]), "its answer is broken XML: "),
        ((200, BOMB), "its answer declares a document type, which is refused"),
        ((200, OUTSIDE), "its answer declares a document type, which is refused"),
        ((200, numbers(serverv4="216.66.84.420")), "its serverv4 is '216.66.84.420', which cannot be one"),
        ((200, numbers(clientv6="::ffff:1.2.3.4.5")), "its clientv6 is '::ffff:1.2.3.4.5', which cannot be one"),
        ((200, numbers(serverv6="")), "its answer lacks serverv6"),
        ((200, "<tunnels>" + "<a>" * 20000), "its answer is broken XML: "),
        ((200, "<tunnels>" + " " * 70000 + "</tunnels>"), "its answer has more than 65536 bytes"),
        ((302, "", {"Location": "/elsewhere"}), "it answers with a redirect (302), which is not followed"),
        ((500, ""), "it answers 500 for the tunnel's numbers"),
        ((200, "badauth"), "the broker does not show the tunnel's numbers to this user with this update key"),
        ((401, ""), "the broker does not show the tunnel's numbers to this user with this update key"),
        (server.flood, "its answer has more than 65536 bytes"),
        (server.drip, "no answer within 1 s"),
        (server.hang, "no answer within 1 s"),
        (server.close, "no answer: "),
    ],
)
def test_a_wrong_answer_is_said_in_words(door: Any, rooms: Any, broker: Any, answer: Any, words: str) -> None:
    rooms.broker_ask.TIMEOUT = 1.0
    broker.answers["info"] = answer
    with pytest.raises(CommandExecutionError) as raised:
        door.broker_info()
    assert str(raised.value).startswith(words)
    assert [each["kind"] for each in broker.requests] == ["info"]
    broker.answers.clear()
    if words.startswith("the broker does not show"):  # who goes on with a wrong key is locked out
        with pytest.raises(CommandExecutionError, match="it is not asked again today, unless they change"):
            door.broker_info()
        assert len(broker.requests) == 1
    else:
        assert door.broker_info()["endpoint"] == "216.66.84.42"


def test_a_wrong_key_is_tried_once(door: Any, broker: Any, pillar: Any) -> None:
    pillar["tunnelbroker"]["update_key"] = "wrong"
    for _ in range(3):
        with pytest.raises(CommandExecutionError):
            door.broker_info()
    assert len(broker.requests) == 1
    pillar["tunnelbroker"]["update_key"] = KEY
    assert door.broker_info()["client"] == LOCAL


# --------------------------------------------------------------------------------------------------------------
# A tunnel of which only the id and the account are known


def known() -> pillar_room.Known:
    return pillar_room.Known(STACKS, {}, {})


def valid(pillar: Any) -> Any:
    return pillar_room.checked(pillar, "ipv6", {}, known(), {"os": "Debian", "osrelease": "12"}, "/tmp")


def test_an_id_and_an_account_are_enough(door: Any, broker: Any, pillar: Any) -> None:
    complete = door.broker_change.broker_complete.complete
    tunnel = pillar["ipv6"]["tunnel"]
    whole = complete(tunnel, pillar)
    assert {key: whole[key] for key in ("endpoint", "address", "gateway")} == {
        key: WHOLE[key] for key in ("endpoint", "address", "gateway")
    }
    assert "addresses" not in whole  # the broker routes a prefix: which addresses of it, is the user's to say
    assert len(broker.requests) == 1
    broker.answers["info"] = (503, "")  # from now on, its web site is not needed
    assert complete(tunnel, pillar) == whole
    assert complete({**tunnel, "gateway": "2001:db8::1"}, {})["gateway"] == "2001:db8::1"
    assert len(broker.requests) == 1
    wanted = door.broker_change.tunnel_sit.canonical(complete(tunnel, {}))
    assert wanted["routes"] == ["default via 2001:470:1f12:f87::1 metric 1024"]
    assert not {"id", "account", "broker", "ca"} & wanted.keys()
    seen = tunnel_settings.asked("x", {}, pillar, "ipv6:tunnel", STACKS)
    assert seen["gateway"] == WHOLE["gateway"] and seen["source"] == "2001:470:1f12:f87::2"


def test_the_pillar_is_checked_with_it(broker: Any, pillar: Any) -> None:
    assert pillar_room.errors(pillar["ipv6"], known()) == []
    found = valid(pillar)
    assert found.holds is True, found.comment
    assert [each["kind"] for each in broker.requests] == ["info"]
    broker.answers["info"] = (503, "")
    assert valid(pillar).holds is True
    MEMORY.unlink()
    found = valid(pillar)
    assert found.holds is False
    assert found.comment == (
        "ipv6:tunnel:endpoint: missing, and the broker, which knows it, does not say: it answers 503 for the tunnel's "
        "numbers; try again later, or write endpoint, address, gateway into the pillar"
    )
    pillar["ipv6"]["tunnel"].update(WHOLE)
    assert valid(pillar).holds is True
    del pillar["tunnelbroker"]
    found = valid(pillar)
    assert found.comment == "tunnelbroker: expected a mapping with user and update_key in the pillar, found nothing"
    pillar["ipv6"]["tunnel"] = {"id": 7, "endpoint": "216.66.84.42"}
    said = pillar_room.errors(pillar["ipv6"], known())
    assert said[:3] == [
        "ipv6:tunnel:address: missing; expected an IPv6 address with its prefix length, as in 2001:470:1f12:f87::2/64",
        "ipv6:tunnel:gateway: missing; expected the IPv6 address of the broker's end",
        "ipv6:tunnel:account: missing beside id; expected the key of the pillar that has the account's user and "
        "update_key, such as tunnelbroker",
    ]


def test_what_the_broker_says_has_to_make_sense(broker: Any, pillar: Any) -> None:
    broker.tunnels[ID]["serverv4"] = "224.0.0.1"
    found = valid(pillar)
    assert found.holds is False
    assert found.comment == "ipv6:tunnel:endpoint: '224.0.0.1' is not an IPv4 unicast address that a tunnel can end at"


def test_the_firewall_lets_the_brokers_pings_in(broker: Any, pillar: Any) -> None:
    pillar["ipv6"]["firewall"] = {"tables": {"filter": {"INPUT": {"policy": "DROP"}}}}
    declared = firewall_declared.declared(pillar, "ipv6:firewall", {}, None)
    built = firewall_ruleset.build(declared.firewall, declared.tunnel)
    assert built["tables"]["ipv4"]["filter"]["INPUT"]["rules"] == [
        "-s 216.66.84.42 -p ipv6 -j ACCEPT",
        "-s 66.220.2.74 -p icmp -m icmp --icmp-type 8 -j ACCEPT",
        "-s 216.66.84.42 -p icmp -m icmp --icmp-type 8 -j ACCEPT",
    ]
    assert KEY not in str(declared) and "66.220" not in str(built["tables"]["ipv6"])
    pillar["ipv6"]["tunnel"] = {"endpoint": "216.66.84.42"}
    declared = firewall_declared.declared(pillar, "ipv6:firewall", {}, None)
    assert (
        len(firewall_ruleset.build(declared.firewall, declared.tunnel)["tables"]["ipv4"]["filter"]["INPUT"]["rules"])
        == 1
    )


def test_a_firewall_that_cannot_know_the_endpoint_is_refused(broker: Any, pillar: Any) -> None:
    """Without the endpoint, the tunnel's packets would be dropped."""
    broker.answers["info"] = (503, "")
    pillar["ipv6"]["firewall"] = {"tables": {"filter": {"INPUT": {"policy": "DROP"}}}}
    with pytest.raises(CommandExecutionError, match="^endpoint: missing, and the broker, which knows it, does not say"):
        firewall_declared.declared(pillar, "ipv6:firewall", {}, None)


# --------------------------------------------------------------------------------------------------------------
# The key


def test_the_key_is_nowhere(
    door: Any, broker: Any, pillar: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def processes(handler: Any) -> None:
        """While the broker is asked, what others see of this process."""
        for each in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    seen.append((each / name).read_text(errors="replace"))
                except OSError:
                    pass
        handler.wfile.write(f"HTTP/1.0 200 OK\r\n\r\nnonsense {handler.headers['Authorization']} {KEY}".encode())

    broker.tunnels[ID]["clientv4"] = "198.51.100.9"
    broker.answers["update"] = processes
    with caplog.at_level(logging.DEBUG):
        told = [door.registered("x", pillar="ipv6:tunnel", test=test) for test in (True, False, False)]
        MEMORY.unlink()
        told.append(door.broker_info("ipv6:tunnel"))
        broker.answers["info"] = lambda handler: processes(handler)
        with pytest.raises(CommandExecutionError) as raised:
            door.broker_info("ipv6:tunnel")
        told.append(str(raised.value))
        account = door.broker_change.broker_settings.account(pillar["ipv6"]["tunnel"], pillar)
        told.append(f"{account} {account!r} {[account]}")
    basic = door.broker_change.broker_ask._basic(account)
    assert "nonsense ***" in str(told) or "nonsense Basic ***" in str(told)
    out, err = capfd.readouterr()
    everything = [str(told), caplog.text, out, err, *seen, *(each["path"] for each in broker.requests)]
    everything += [each.read_text(errors="replace") for each in MEMORY.parent.iterdir()]
    assert len(seen) > 3
    for secret in (KEY, basic, "Upd4te"):
        assert not [each for each in everything if secret in each], secret
    assert all("username" not in each["query"] and "password" not in each["query"] for each in broker.requests)
