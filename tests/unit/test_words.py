"""Words that messages have in common."""

from __future__ import annotations

import _dualstack_words as words
import pytest


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("polcy", "unknown key; did you mean policy?"),
        ("zone", "unknown key; expected one of policy, rules"),
        (7, "unknown key; expected one of policy, rules"),
        ("p" * 10**6, "unknown key; expected one of policy, rules"),
    ],
)
def test_a_key_that_is_not_known(key: object, said: str) -> None:
    assert words.unknown(key, iter(["policy", "rules"])) == said


@pytest.mark.parametrize(
    "changes, lines",
    [
        ({}, []),
        ({"mtu": {"old": 1400, "new": 1480}}, ["mtu is 1400, expected 1480"]),
        (
            {
                "link": {"mtu": {"old": 1400, "new": 1480}, "up": {"old": False, "new": True}},
                "addresses": {"2001:db8::7/64": {"old": "absent", "new": "preferred"}},
            },
            [
                "link: mtu is 1400, expected 1480",
                "link: up is False, expected True",
                "addresses: 2001:db8::7/64 is absent, expected preferred",
            ],
        ),
        (  # lines of a file, and a file that is not there
            {"files": {"/a": {"old": "one\ntwo", "new": "three"}, "/b": {"old": "absent", "new": "four\nfive"}}},
            [
                "files: /a: `one` is present, expected absent",
                "files: /a: `two` is present, expected absent",
                "files: /a: `three` is absent, expected present",
                "files: /b: `four` is absent, expected present",
                "files: /b: `five` is absent, expected present",
            ],
        ),
        (  # rules of a firewall
            {
                "ipv6": {
                    "filter INPUT": {
                        "policy": {"old": "ACCEPT", "new": "DROP"},
                        "removed": ["-i eth0 -j ACCEPT"],
                        "added": ["-i lo -j ACCEPT"],
                        "moved": ["-j LOG"],
                    }
                }
            },
            [
                "ipv6: filter INPUT: policy is ACCEPT, expected DROP",
                "ipv6: filter INPUT: `-i eth0 -j ACCEPT` is present, expected absent",
                "ipv6: filter INPUT: `-i lo -j ACCEPT` is absent, expected present",
                "ipv6: filter INPUT: `-j LOG` is not in its place",
            ],
        ),
        (  # records
            {"www.example.org": {"old": [], "new": ["2001:db8::1", "2001:db8::2"], "ttl": {"old": 60, "new": 3600}}},
            [
                "www.example.org is empty, expected 2001:db8::1, 2001:db8::2",
                "www.example.org: ttl is 60, expected 3600",
            ],
        ),
        (  # a service: the diff of its file, and its ports
            {
                "/etc/x.conf": "--- x\n+++ x\n@@ -1,2 +1,2 @@\n same\n-listen *\n--- a\n+listen *, ::\n",
                "listening": {"old": {"25": "ipv4", "80": "both"}, "new": {"25": "both", "80": "both", "443": "both"}},
            },
            [
                "/etc/x.conf: `listen *` is present, expected absent",
                "/etc/x.conf: `-- a` is present, expected absent",
                "/etc/x.conf: `listen *, ::` is absent, expected present",
                "listening: 25 is ipv4, expected both",
                "listening: 443 is absent, expected both",
            ],
        ),
        ({"a": {"b": {"old": None, "new": ""}}, "c": 7}, ["a: b is None, expected empty", "c: 7"]),
    ],
)
def test_differences_are_one_a_line(changes: dict[str, object], lines: list[str]) -> None:
    assert words.differences(changes) == lines
