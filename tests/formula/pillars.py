"""A good pillar, and what may be wrong with one: every kind of value, at every place where it does not belong."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Place = tuple[Any, ...]  # keys and indexes, from the top
Case = tuple[str, str, dict[str, Any]]  # what it is called; the key that has to be named; the pillar

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = yaml.safe_load((REPOSITORY / "pillar.example").read_text())["ipv6"]
GOOD: dict[str, Any] = {
    **EXAMPLE,
    "native": {
        "interface": "eth0",
        "address": "2001:db8:1::8/64",
        "gateway": "fe80::1",
        "addresses": ["2001:db8:1::9/128"],
        "metric": 2048,
        "source": "2001:db8:1::8",
        "stack": "auto",
    },
    "sysctl_except": ["vsftpd"],
    "verify": {"beyond": ["2001:4860:4860::8888"], "prober": "prober.example.org"},
    "dns": {
        "provider": "command",
        "names": ["www.example.org"],
        "address": "2001:470:1f13:f87::77",
        "ttl": 3600,
        "exclusive": False,
        "withdraw_when_broken": False,
        "servers": ["192.0.2.53"],
        "deadline": 60,
        "command": {"publish": "/usr/local/sbin/publish"},
    },
    "lookup": {
        "sysctl_file": "/etc/sysctl.d/local.conf",
        "packages": {
            "tunnel": ["iproute2", "iputils-ping"],
            "ifupdown": "ifupdown",
            "firewall": ["iptables", "iptables-persistent"],
            "netaddr": "python3-netaddr",
        },
    },
}
ODD: dict[str, Any] = {
    "nothing": None,
    "a list": [],
    "a mapping": {},
    "no text": "",
    "a blank": " ",
    "true": True,
    "false": False,
    "below zero": -1,
    "a fraction": 3.7,
    "too much": 10**12,
    "a date": datetime.date(2026, 1, 2),
    "a time": datetime.datetime(2026, 1, 2, 3, 4),
    "bytes": b"\x00\xff",
    "a set": {"x"},
    "two words": "two words",
    "two lines": "two\nlines",
    "a line break": "lo\n",
    "Jinja": "{{ 1 // 0 }} {% raw %}",
    "a shell": "$(touch /owned); `id` && x | y > z",
    "quotes": "'\"",
    "YAML": "x: [y, {z",
    "beyond ASCII": "prüfung",
    "a picture": "\U0001f600",
    "a control character": "a\x7f\x1b[2J",
    "half a character": "\ud83d",
    "long": "x" * 70000,
    "a list of lists": [["x", 1], [[]]],
    "nested": {"a": {"b": [{"c": None}]}},
    "a key that is no text": {None: 1, True: 2, 3: 4, "x": 5},
}


def named(place: Place) -> str:
    """How an error names a place: the key of the mapping that it is in; a rule as a whole, and an expectation."""
    if "rules" in place[:-1]:
        place = place[: place.index("rules") + 3]
    elif place[:2] != ("firewall", "expect"):
        place = place[: next((at for at, each in enumerate(place) if isinstance(each, int)), len(place))]
    elif len(place) > 4:
        place = place[:4]
    return "ipv6" + "".join(f"[{each}]" if isinstance(each, int) else f":{each}" for each in place)


def changed(place: Place, value: Any) -> dict[str, Any]:
    """The good pillar with another value at a place; ``...`` takes it away."""
    pillar = copy.deepcopy(GOOD)
    inner: Any = pillar
    for each in place[:-1]:
        inner = inner[each]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return pillar


def places(value: Any = None, above: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every place of the good pillar, with what is there."""
    value = GOOD if value is None else value
    found = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in found:
        yield (*above, key), each
        yield from places(each, (*above, key)) if isinstance(each, (dict, list)) else ()
