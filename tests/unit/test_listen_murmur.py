"""Murmur: where it listens, and how it comes to serve both families. What it does was measured with Debian's 1.3.4."""

from __future__ import annotations

import random
from typing import Any

import listen_murmur
import pytest

MAIN = "/etc/mumble-server.ini"
SITE = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": ["2001:db8::10", "2001:db8::11"]}}
NO_SIX = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": []}}
# Debian's own, shortened.
DEBIAN = """\
; Path to database. If blank, will search for
database=/var/lib/mumble-server/mumble-server.sqlite
icesecretwrite=
welcometext="<br />Welcome to this server running <b>Murmur</b>.<br />Enjoy your stay!<br />"
; Port to bind TCP and UDP sockets to.
port=64738

; Specific IP or hostname to bind to.
; If this is left blank (default), Murmur will bind to all available addresses.
;host=

; Password to join server.
serverpassword=

[Ice]
Ice.Warn.UnknownProperties=1
"""


def given(text: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}}


def planned(text: str, site: dict[str, Any] | None = None) -> dict[str, Any]:
    done: dict[str, Any] = listen_murmur.dual_stack(given(text), {}, 0, site)
    assert done == listen_murmur.dual_stack(given(text), {}, 1, site)
    return done


def changed(text: str, site: dict[str, Any] | None = None) -> str:
    result: str = planned(text, site)["files"].get(MAIN, text)
    assert planned(result, site)["files"] == {}
    return result


def sockets(text: str) -> list[tuple[Any, ...]]:
    return [
        (each["address"], each["port"], each["v6only"])
        for each in listen_murmur.listeners(given(text))
        if each["transport"] == "tcp"
    ]


def test_debians_own_serves_both_families() -> None:
    assert listen_murmur.includes(MAIN, DEBIAN) == []
    assert listen_murmur.listeners(given(DEBIAN)) == [
        {
            **{"port": 64738, "transport": transport, "address": "::", "v6only": False},
            **{"file": MAIN, "line": 0, "note": "", **spoken},
        }
        for transport, spoken in (("tcp", {"protocol": "tls"}), ("udp", {}))
    ]
    assert planned(DEBIAN, SITE) == {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host=0.0.0.0\nport=7\n", [("0.0.0.0", 7, None)]),
        ("host = ::\r\n", [("::", 64738, True)]),
        ("[General]\nhost=0.0.0.0 ; comment\n", [("0.0.0.0", 64738, None)]),
        ('host=":: 0.0.0.0"\n', [("::", 64738, True), ("0.0.0.0", 64738, None)]),
        ("host=0.0.0.0\nhost=::\n", [("::", 64738, True)]),
        ("HOST=0.0.0.0\n#host=0.0.0.0\n[Ice]\nhost=0.0.0.0\n", [("::", 64738, False)]),
        ("host=192.0.2.10, 2001:db8::10\n", [("::", 64738, False)]),
        ("host=\n", [("::", 64738, False)]),
        ("host=voice.example.org\nport=x\n", [("voice.example.org", None, None)]),
    ],
)
def test_where_murmur_listens(text: str, expected: list[tuple[Any, ...]]) -> None:
    assert sockets(text) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("host=0.0.0.0", "host=0.0.0.0 ::"),
        ("host = 0.0.0.0  ; all\r\nport=1\r\n", "host = 0.0.0.0 ::  ; all\r\nport=1\r\n"),
        ('host="::"\n', 'host=":: 0.0.0.0"\n'),
        ("host=0.0.0.0 192.0.2.10\n", "host=0.0.0.0 192.0.2.10 ::\n"),
        (DEBIAN.replace(";host=", "host=0.0.0.0"), DEBIAN.replace(";host=", "host=0.0.0.0 ::")),
    ],
)
def test_the_other_family_is_added(before: str, after: str) -> None:
    assert changed(before) == after
    assert {*sockets(before)} < {*sockets(after)}


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("host=127.0.0.1\n", ["`host=127.0.0.1`: loopback: left alone"]),
        ("host=192.0.2.10\n", ["`host=192.0.2.10`: a specific address: left alone"]),
        ("host=voice.example.org\n", ["`host=voice.example.org`: a host name: left alone"]),
        ("host=a, b\n", ["`host` is no list with blanks: Murmur ignores it, and listens on all"]),
        (
            "host=0.0.0.0 2001:db8::5\n",
            ["`host=0.0.0.0 2001:db8::5`: left alone, since `2001:db8::5` has the port in the other family"],
        ),
        ("host=0.0.0.0 ::\n", []),
    ],
)
def test_what_is_right_or_left_alone(text: str, notes: list[str]) -> None:
    assert changed(text) == text
    said = planned(text)["notes"]
    assert [each.removeprefix(f"{MAIN}:1: ") for each in said] == notes


def test_a_published_address_gets_those_of_ipv6() -> None:
    assert changed('host="192.0.2.10"\n', SITE) == 'host="192.0.2.10 2001:db8::10 2001:db8::11"\n'
    dual = "host=192.0.2.10 2001:db8::11\n"
    assert planned(dual, SITE) == {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}
    (gap,) = planned("port=7\nhost=192.0.2.10\n", NO_SIX)["missing"]
    assert gap["port"] == 7
    assert gap["said"].startswith(f"{MAIN}:2: `host=192.0.2.10`: 192.0.2.10 is published, and no IPv6 address")


def test_no_text_whatever_is_a_traceback_or_takes_a_socket_away() -> None:
    dice = random.Random(4)
    whole = 'port=5\nhost="0.0.0.0" ; c\n[Ice]\nhost=::\n[General]\nhost=192.0.2.10\n'
    signs = ["\\", '"', "\n", "\r\n", "\t", "\0", "\udcff", "#", ";", "=", "[", "]", "::", "²", ",", "9" * 5000]
    for _ in range(800):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        assert {*sockets(text)} <= {*sockets(changed(text, SITE))}
