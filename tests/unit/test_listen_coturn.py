"""coturn: where it listens, and how it comes to serve both families. What it does was measured with Debian's 4.6.1."""

from __future__ import annotations

import random
from typing import Any

import listen_coturn
import pytest

MAIN = "/etc/turnserver.conf"
SITE = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": ["2001:db8::10"]}}
NO_SIX = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": []}}
# Of the shape that people write.
USUAL = """\
# Coturn TURN SERVER configuration file
listening-port=3478
tls-listening-port=5349
listening-ip=0.0.0.0
#listening-ip=10.207.21.238
external-ip=192.0.2.10
realm=turn.example.org
use-auth-secret
static-auth-secret=north
user=me:south
cert=/etc/ssl/turn.pem
pkey=/etc/ssl/turn.key
no-multicast-peers
no-rfc5780
"""


def given(text: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}}


def planned(text: str, site: dict[str, Any] | None = None) -> dict[str, Any]:
    done: dict[str, Any] = listen_coturn.dual_stack(given(text), {}, 0, site)
    assert done == listen_coturn.dual_stack(given(text), {}, 1, site)
    return done


def changed(text: str, site: dict[str, Any] | None = None) -> str:
    result: str = planned(text, site)["files"].get(MAIN, text)
    assert planned(result, site)["files"] == {}
    return result


def sockets(text: str) -> list[tuple[Any, ...]]:
    return [(each["address"], each["transport"], each["port"]) for each in listen_coturn.listeners(given(text))]


def test_what_people_write() -> None:
    assert listen_coturn.includes(MAIN, USUAL) == []
    assert sockets(USUAL) == [
        ("0.0.0.0", "tcp", 3478),
        ("0.0.0.0", "udp", 3478),
        ("0.0.0.0", "tcp", 5349),
        ("0.0.0.0", "udp", 5349),
    ]
    after = USUAL.replace("listening-ip=0.0.0.0\n", "listening-ip=0.0.0.0\nlistening-ip=::\n")
    assert planned(USUAL) == {"files": {MAIN: after}, "always": {}, "bindv6only": None, "notes": [], "missing": []}
    assert changed(USUAL) == after
    assert len(sockets(after)) == 8


def test_by_default_it_is_on_each_address_of_the_host() -> None:
    found = listen_coturn.listeners(given("syslog\n"))
    assert [(each["address"], each["v6only"], each["line"]) for each in found if each["transport"] == "udp"] == [
        ("0.0.0.0", None, 0),
        ("::", True, 0),
    ]
    assert {each["note"] for each in found} == {"each address that the host has when coturn starts"}
    assert planned("syslog\n", SITE) == {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listening-ip=192.0.2.1\nno-tcp\n", [("192.0.2.1", "udp", 3478)]),
        ("listening-ip = 192.0.2.1\nno-udp\n", [("192.0.2.1", "tcp", 3478)]),
        ("\tlistening-ip 192.0.2.1 \nno-udp=1\nno-tcp=0\n", [("192.0.2.1", "tcp", 3478)]),
        ('listening-ip="192.0.2.1"\r\nlistening-port=1\nlistening-port=2\nno-udp\n', [("192.0.2.1", "tcp", 2)]),
        ("listening-ip=::1\nlistening-ip=::1\nno-udp\n", [("::1", "tcp", 3478)]),
        ("listening-ip=turn.example.org\nno-udp\nlistening-port=x\n", [("turn.example.org", "tcp", None)]),
        ("listening-ip=::\ncert=/x\npkey=/y\nno-tcp\nno-udp\n", [("::", "tcp", 5349), ("::", "udp", 5349)]),
        ("listening-ip=::\ncert=/x\npkey=/y\nno-tls\nno-tcp\n", [("::", "udp", 3478), ("::", "udp", 5349)]),
        ("listening-ip=::\ncert=/x\npkey=/y\nno-dtls\nno-udp\n", [("::", "tcp", 3478), ("::", "tcp", 5349)]),
        ("listening-ip=::\ncert=/x\nno-udp\n", [("::", "tcp", 3478)]),
        ("LISTENING-IP=192.0.2.1\nno-udp\n", [("0.0.0.0", "tcp", 3478), ("::", "tcp", 3478)]),
    ],
)
def test_where_coturn_listens(text: str, expected: list[tuple[Any, ...]]) -> None:
    assert sockets(text) == expected


def test_a_socket_for_both_families_is_left_with_ipv6_beside_one_of_ipv4() -> None:
    for text, expected in (("listening-ip=::\n", False), ("listening-ip=::\nlistening-ip=0.0.0.0\n", True)):
        found = listen_coturn.listeners(given(text))
        assert {each["v6only"] for each in found if each["address"] == "::"} == {expected}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("listening-ip=0.0.0.0", "listening-ip=0.0.0.0\nlistening-ip=::"),
        ("listening-ip=0.0.0.0\nlistening-ip=::1", "listening-ip=0.0.0.0\nlistening-ip=::\nlistening-ip=::1"),
        ('  listening-ip "0.0.0.0" \r\nx', '  listening-ip "0.0.0.0" \r\n  listening-ip "::"\r\nx'),
        # It would tell clients of IPv4 that they are ::ffff:192.0.2.1.
        ("listening-ip=::\n", "listening-ip=::\nlistening-ip=0.0.0.0\n"),
    ],
)
def test_the_other_family_is_added(before: str, after: str) -> None:
    assert changed(before) == after


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("listening-ip=127.0.0.1\n", [":1: `listening-ip=127.0.0.1`: loopback: left alone"]),
        (
            "listening-ip=127.0.0.1\nlistening-ip=::\n",
            [":2: `listening-ip=::`: left alone, since `127.0.0.1` has the port in the other family"],
        ),
        ("listening-ip=192.0.2.10\n", [":1: `listening-ip=192.0.2.10`: a specific address: left alone"]),
        ("listening-ip='0.0.0.0'\n", [":1: `listening-ip='0.0.0.0'`: a host name: left alone"]),
        ("listening-ip=turn.example.org\n", [":1: `listening-ip=turn.example.org`: a host name: left alone"]),
        ("listening-ip=0.0.0.0\nlistening-ip=::\nrelay-ip=192.0.2.1\nrelay-ip=2001:db8::1\n", []),
        (
            "listening-ip=0.0.0.0\nlistening-ip=::\nrelay-ip=192.0.2.1\n",
            [":3: `relay-ip` knows IPv4 only: nothing is relayed over IPv6"],
        ),
        (
            "denied-peer-ip=10.0.0.0-10.255.255.255\nallowed-peer-ip=10.0.0.1\n",
            [
                ":1: `denied-peer-ip` knows IPv4 only: peers of IPv6 are not denied, those in "
                "networks of your own among them",
                ":2: `allowed-peer-ip` knows IPv4 only: no peers of IPv6 are allowed by it",
            ],
        ),
    ],
)
def test_what_is_right_or_left_alone(text: str, notes: list[str]) -> None:
    assert changed(text) == text
    assert planned(text)["notes"] == [MAIN + note for note in notes]


def test_a_second_port_is_told() -> None:
    (note,) = planned("listening-ip=0.0.0.0\nno-rfc5780=0\n")["notes"]
    assert note.startswith(f"{MAIN}:1: with two addresses coturn opens the ports behind its own as well")


def test_a_published_address_gets_those_of_ipv6() -> None:
    before = "listening-ip=10.0.0.1\nlistening-ip=192.0.2.10\nno-rfc5780\n"
    assert changed(before, SITE) == before.replace("2.10\n", "2.10\nlistening-ip=2001:db8::10\n")
    dual = "listening-ip=192.0.2.10\nlistening-ip=2001:db8::10\n"
    assert planned(dual, SITE) == {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}
    (gap,) = planned("listening-ip=192.0.2.10\nlistening-port=7\n", NO_SIX)["missing"]
    assert gap["port"] == 7
    assert gap["said"].startswith(f"{MAIN}:1: `listening-ip=192.0.2.10`: 192.0.2.10 is published, and no IPv6 address")


def test_secrets_are_never_said() -> None:
    text = USUAL.replace("0.0.0.0", "192.0.2.77") + "relay-ip=192.0.2.77\ndenied-peer-ip=10.0.0.1\n"
    said = repr((planned(text), planned(text, NO_SIX), listen_coturn.listeners(given(text))))
    assert "north" not in said and "south" not in said


def test_no_text_whatever_is_a_traceback_or_takes_a_socket_away() -> None:
    dice = random.Random(4)
    whole = 'listening-port=5\nlistening-ip "0.0.0.0"\nno-udp=0\ncert=x\npkey=y\nlistening-ip=192.0.2.10\n# c\n'
    signs = [
        "\\",
        '"',
        "'",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\udcff",
        "#",
        "=",
        " ",
        "::",
        "²",
        "9" * 5000,
        "listening-ip=::\n",
    ]
    for _ in range(800):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        assert {*sockets(text)} <= {*sockets(changed(text, SITE))}
