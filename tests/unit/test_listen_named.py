"""BIND's configuration: where it listens, whom it answers, and how it comes to serve both families."""

from __future__ import annotations

import random
from typing import Any

import _dualstack_secrets_shown as secrets_shown
import listen_named
import pytest
from salt.exceptions import SaltInvocationError

MAIN, OPTIONS, DEFAULTS = listen_named.MAIN, "/etc/bind/named.conf.options", listen_named.DEFAULTS
SITE = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": ["2001:db8::10", "2001:db8::11"]}}
NO_SIX = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": []}}

DEBIAN = """\
// This is the primary configuration file for the BIND DNS server named.
include "/etc/bind/named.conf.options";
include "/etc/bind/named.conf.local";
"""
DEBIANS_OPTIONS = """\
options {
\tdirectory "/var/cache/bind";

\t// forwarders {
\t// \t0.0.0.0;
\t// };
\tdnssec-validation auto;

\tlisten-on-v6 { any; };
};
"""


def one(text: str, defaults: str = "") -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}, DEFAULTS: {"text": defaults, "includes": []}}


def debian(options: str = DEBIANS_OPTIONS, defaults: str = "") -> dict[str, dict[str, Any]]:
    return {
        **one(DEBIAN, defaults),
        MAIN: {"text": DEBIAN, "includes": [[OPTIONS], []]},
        OPTIONS: {"text": options, "includes": []},
    }


def changed(files: dict[str, dict[str, Any]], site: dict[str, Any] | None = None) -> dict[str, str]:
    """What changes for both families; a second run must change nothing."""
    done = listen_named.dual_stack(files, {}, 0, site)
    result: dict[str, str] = done["files"]
    assert listen_named.dual_stack(afterwards(files, result), {}, 0, site)["files"] == {}
    assert set(done["always"]) <= set(result)
    return result


def afterwards(files: dict[str, dict[str, Any]], texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {path: {**file, "text": texts.get(path, file["text"])} for path, file in files.items()}


def text_of(words: str, site: dict[str, Any] | None = None) -> str:
    """These words of the options, changed."""
    whole = f"options {{ {words} }};\n"
    new = changed(one(whole), site).get(MAIN, whole)
    return new[len("options { ") : -len(" };\n")]


def sockets(files: dict[str, dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {(each["address"], each["port"]) for each in listen_named.listeners(files) if each["transport"] == "tcp"}


def test_debian_serves_both_families_as_it_is() -> None:
    assert listen_named.includes(MAIN, DEBIAN) == ["/etc/bind/named.conf.options", "/etc/bind/named.conf.local"]
    six, _, four, udp = listen_named.listeners(debian())
    assert (six["address"], six["file"], six["line"], six["v6only"]) == ("::", OPTIONS, 9, True)
    assert four == {
        **{"port": 53, "transport": "tcp", "address": "0.0.0.0", "v6only": None, "file": MAIN, "line": 0, "note": ""},
        "protocol": "dns",
    }
    assert udp["transport"] == "udp"
    assert listen_named.dual_stack(debian(), {}, 1, SITE) == {
        **{"files": {}, "bindv6only": None, "notes": [], "always": {}, "missing": []}
    }


ANY4, ANY6 = ("0.0.0.0", 53), ("::", 53)


# What ss(8) shows of named 9.18, where its sockets on every address of the host count as one on all.
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", {ANY4, ANY6}),
        ("listen-on-v6 { none; };", {ANY4}),
        ("listen-on-v6 { };", {ANY4}),
        ("listen-on-v6 { !any; };", {ANY4}),
        ("listen-on-v6 { 127.0.0.1; };", {ANY4}),
        ("listen-on { 2001:db8::10; 127.0.0.1; };", {("127.0.0.1", 53), ANY6}),
        ("listen-on { 127.0.0.1; 192.0.2.10; };", {("127.0.0.1", 53), ("192.0.2.10", 53), ANY6}),
        ("listen-on { 192.0.2.10; }; listen-on-v6 { 2001:db8::10; };", {("192.0.2.10", 53), ("2001:db8::10", 53)}),
        ("listen-on port 5353 { any; };", {("0.0.0.0", 5353), ANY6}),
        ("listen-on port 5353 { any; }; listen-on { any; }; listen-on-v6 {none;};", {("0.0.0.0", 5353), ANY4}),
        ("port 5354; listen-on { any; };", {("0.0.0.0", 5354), ("::", 5354)}),
        ("LISTEN-ON { localhost; }; listen-on-v6 { localnets; };", {ANY4, ANY6}),
        ("listen-on { !10.0.0.1; any; };", {ANY4, ANY6}),
        ("listen-on { { 10.0.0.1; }; 10.1.0.0/16; };", {("10.0.0.1", 53), ("10.1.0.0/16", 53), ANY6}),
        ("listen-on { !any; 10.0.0.1; };", {ANY6}),
        ("listen-on { !10.0.0.1; 10.0.0.1; 10.0.0.2; };", {("10.0.0.2", 53), ANY6}),
        ("listen-on { !{ 10.0.0.1; !10.0.0.2; }; 10.0.0.1; 10.0.0.2; };", {("10.0.0.2", 53), ANY6}),
        ("listen-on { key k; unknown; };", {("?", 53), ANY6}),
        ('listen-on/* c */{"any";} ; // listen-on { none; };\n# x {\n', {ANY4, ANY6}),
    ],
)
def test_where_it_listens(words: str, expected: set[tuple[str, int]]) -> None:
    assert sockets(one(f"options {{ {words} }};")) == expected


def test_lists_with_a_name() -> None:
    assert sockets(one('acl "ours" { 10.0.0.1; ours; };\noptions { listen-on { ours; }; };')) == {
        ("10.0.0.1", 53),
        ANY6,
    }


def test_options_can_be_in_an_included_file() -> None:
    files: dict[str, dict[str, Any]] = {
        MAIN: {"text": 'options { include "o.conf"; };', "includes": [["/var/cache/bind/o.conf"]]},
        "/var/cache/bind/o.conf": {"text": "listen-on-v6 { none; };", "includes": []},
    }
    assert listen_named.includes(MAIN, files[MAIN]["text"]) == ["/var/cache/bind/o.conf"]
    assert sockets(files) == {ANY4}
    assert changed(files) == {"/var/cache/bind/o.conf": "listen-on-v6 { any; };"}


@pytest.mark.parametrize(
    ("defaults", "expected", "after"),
    [
        ('OPTIONS="-u bind -4"\n', {ANY4}, 'OPTIONS="-u bind"\n'),
        ("RESOLVCONF=no\nOPTIONS='-4 -u bind'\n", {ANY4}, "RESOLVCONF=no\nOPTIONS='-u bind'\n"),
        ("OPTIONS=-4", {ANY4}, "OPTIONS="),
        ('OPTIONS="-6 -u bind"', {ANY6}, 'OPTIONS="-u bind"'),
        ('OPTIONS="-u bind"\n#OPTIONS="-4"\n', {ANY4, ANY6}, ""),
        ('OPTIONS="-p 5353"', {("0.0.0.0", 5353), ("::", 5353)}, ""),
    ],
)
def test_the_switches_of_the_command_line(defaults: str, expected: set[tuple[str, int]], after: str) -> None:
    assert sockets(debian(defaults=defaults)) == expected
    assert changed(debian(defaults=defaults)) == ({DEFAULTS: after} if after else {})


def test_a_name_server_of_its_own_host_keeps_its_switch() -> None:
    text = "options { listen-on { 127.0.0.1; }; };"
    assert changed(one(text, 'OPTIONS="-4"')) == {}
    assert changed(one("options { listen-on { 192.0.2.10; }; };", 'OPTIONS="-4"'), SITE) == {DEFAULTS: 'OPTIONS=""'}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("listen-on-v6 { none; };", "listen-on-v6 { any; };"),
        ("listen-on-v6 { /* no */ none; };", "listen-on-v6 { /* no */ any; };"),
        ("listen-on-v6{};", "listen-on-v6{ any; };"),
        ("listen-on-v6 { ::1; };", "listen-on-v6 { ::1; any; };"),
        ("listen-on { any; }; listen-on-v6 { 2001:db8::1;};", "listen-on { any; }; listen-on-v6 { 2001:db8::1; any;};"),
        (
            "listen-on port 5353 { any; };",
            "listen-on port 5353 { any; }; listen-on-v6 { any; }; listen-on-v6 port 5353 { any; };",
        ),
        (
            "listen-on-v6 { any; };\r\n\tlisten-on port 853 tls local { any; };\r\n",
            "listen-on-v6 { any; };\r\n\tlisten-on port 853 tls local { any; };\r\n"
            "\tlisten-on-v6 port 853 tls local { any; };\r\n",
        ),
        (
            "listen-on { 192.0.2.10; }; listen-on-v6 { ::1; };",
            "listen-on { 192.0.2.10; }; listen-on-v6 { ::1; 2001:db8::10; 2001:db8::11; };",
        ),
        (
            "listen-on { 192.0.2.10; }; listen-on { 127.0.0.1; }; listen-on { 192.0.2.0/24; }; listen-on-v6 { none; };",
            "listen-on { 192.0.2.10; }; listen-on { 127.0.0.1; }; listen-on { 192.0.2.0/24; }; "
            "listen-on-v6 { 2001:db8::10; 2001:db8::11; };",
        ),
        (
            "listen-on { 127.0.0.1; }; listen-on { any; }; listen-on-v6 { ::1; };",
            "listen-on { 127.0.0.1; }; listen-on { any; }; listen-on-v6 { ::1; any; };",
        ),
        (
            "listen-on { 127.0.0.1; 192.0.2.0/24; }; listen-on-v6 { none; };",
            "listen-on { 127.0.0.1; 192.0.2.0/24; }; listen-on-v6 { 2001:db8::10; 2001:db8::11; };",
        ),
    ],
)
def test_ipv6_is_added(before: str, after: str) -> None:
    assert text_of(before, SITE) == after


@pytest.mark.parametrize(
    "words",
    [
        "",
        "listen-on { 127.0.0.1; }; listen-on-v6 { none; };",
        "listen-on { 127.0.0.1; };",
        "listen-on { none; };",
        "listen-on { 10.0.0.1; 127.0.0.1; }; listen-on-v6 { none; };",
        "listen-on { 192.0.2.10; };",
        "listen-on { 192.0.2.10; }; listen-on-v6 { 2001:db8::11; };",
        "listen-on-v6 { !2001:db8::5; ::1; };",
        "listen-on { x; }; listen-on-v6 { none; };",
        "/* listen-on-v6 { none; }; */ # listen-on-v6 { none; };\n",
    ],
)
def test_what_is_right_or_not_ours_stays(words: str) -> None:
    assert text_of(words, SITE) == words


def test_a_published_address_without_ipv6_is_missing() -> None:
    done = listen_named.dual_stack(
        one("options { listen-on { 192.0.2.10; };\nlisten-on-v6 { none; }; };"), {}, 0, NO_SIX
    )
    assert (done["files"], done["notes"]) == ({}, [])
    assert done["missing"] == [
        {
            **{"names": [], "port": 53},
            "said": f"{MAIN}:1: `listen-on`: 192.0.2.10 is published, and no IPv6 address of this host is known to "
            "listen on beside it; add one to listen-on-v6",
        }
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("allow-recursion { 127.0.0.1; 10.0.0.0/8; };", "allow-recursion { 127.0.0.1; ::1; 10.0.0.0/8; };"),
        ("allow-query { 127.0.0.0/8; };", "allow-query { 127.0.0.0/8; ::1; };"),
    ],
)
def test_where_127_0_0_1_may_ask_1_may(before: str, after: str) -> None:
    assert text_of(before) == after
    files = one(f"options {{ {before} }};")
    assert list(listen_named.dual_stack(files, {})["always"]) == [MAIN]


def test_a_named_list_and_a_view_have_their_companions() -> None:
    before = 'acl t { 127.0.0.1; };\nview "v" { match-clients { any; }; allow-recursion { t; 127.0.0.1; }; };\n'
    assert changed(one(before)) == {
        MAIN: before.replace("acl t { 127.0.0.1;", "acl t { 127.0.0.1; ::1;").replace(
            "t; 127.0.0.1;", "t; 127.0.0.1; ::1;"
        )
    }


@pytest.mark.parametrize(
    "words",
    [
        "allow-query { any; };",
        "allow-query { localhost; 10.0.0.0/8; };",
        "allow-query { 127.0.0.1; ::1; };",
        "allow-query { 127.0.0.1; any; };",
        "allow-query { !127.0.0.1; 10.0.0.0/8; };",
        "allow-query { 127.0.0.1; !::1; };",
        "allow-transfer { key k; };",
    ],
)
def test_lists_that_stay(words: str) -> None:
    assert text_of(words) == words


def test_lists_that_know_ipv4_only_are_told() -> None:
    done = listen_named.dual_stack(one("options {\nallow-query { 192.0.2.0/24; localhost; };\n};"), {})
    assert done["notes"] == [f"{MAIN}:2: `allow-query` knows no network of IPv6: add it beside 192.0.2.0/24"]
    done = listen_named.dual_stack(one("options {\nallow-query { 192.0.2.0/24; 2001:db8::/32; };\n};"), {})
    assert done["notes"] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("options {\n listen-on { any; }; ", ":1:9: a `{` that is not closed"),
        ("options { };\n}", ":2:1: a `}` too many"),
        ('key k { secret "hidden; };', ":1:16: a quote or a comment that is not closed"),
        ("/* x", ":1:1: a quote or a comment that is not closed"),
        ("options { }\n", ":1:1: a statement without a `;` at its end"),
        ("a {" * 60, ":1:153: too many blocks within each other"),
    ],
)
def test_errors_have_their_place(text: str, said: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        listen_named.listeners(one(text))
    assert str(raised.value) == MAIN + said


def test_a_file_that_includes_itself_is_an_error() -> None:
    with pytest.raises(SaltInvocationError, match=f"{MAIN}:2:1: {MAIN} is included without an end"):
        listen_named.listeners({MAIN: {"text": f'\ninclude "{MAIN}";', "includes": [[MAIN]]}})
    assert sockets({}) == {ANY4, ANY6}


def test_a_diff_shows_what_changes_and_no_secret() -> None:
    text = 'key k { secret "hunter2="; }; options { listen-on-v6 { none; }; };\nkey l { secret hunter2; };\n'
    said = secrets_shown.diff(MAIN, text, changed(one(text))[MAIN], listen_named.about()["words"])
    assert "listen-on-v6 { any; };" in said and "hunter2" not in said
    said = secrets_shown.diff(DEFAULTS, 'OPTIONS="-u bind -4"', 'OPTIONS="-u bind"', listen_named.about()["words"])
    assert "-OPTIONS" in said and "+OPTIONS" in said and "-4" in said


def test_no_text_whatever_is_a_traceback_or_takes_a_socket_away() -> None:
    dice = random.Random(4)
    whole = (
        "acl a { 127.0.0.1; !10.0.0.0/8; };\noptions { listen-on port 5 { any; }; listen-on-v6 { none; }; // c\n"
        "allow-query { a; 127.0.0.1; { 10.0.0.1; }; }; };\nview v { allow-recursion { 127.0.0.1; }; };\n"
    )
    signs = [
        "\\",
        '"',
        "'",
        "\n",
        "\r\n",
        "/*",
        "\0",
        "\udcff",
        "#",
        "!",
        "{",
        "}",
        ";",
        "::",
        "²",
        "٣",
        "*/",
        "9" * 5000,
    ]
    for _ in range(1500):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        files = one(text, text)
        try:
            listen_named.includes(MAIN, text)
            after = sockets(afterwards(files, changed(files, SITE)))
            assert all(each in after or {("0.0.0.0", each[1]), ("::", each[1])} & after for each in sockets(files))
        except SaltInvocationError as error:
            assert MAIN in str(error) and "\n" not in str(error)
