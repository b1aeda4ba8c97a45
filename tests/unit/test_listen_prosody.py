"""The listeners of Prosody: seen, and made dual-stack. What it opens was measured with 0.12."""

from __future__ import annotations

import fnmatch
import random
from typing import Any

import listen_prosody
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/prosody/prosody.cfg.lua"
HOST = "/etc/prosody/conf.d/example.org.cfg.lua"

# Debian's file, shortened.
DEBIAN = """\
-- Prosody Example Configuration File: interfaces = { "127.0.0.1" }
admins = { }
modules_enabled = {

\t-- Generally required
\t\t"disco"; -- Service discovery
\t--"bosh"; -- Enable BOSH clients, aka "Jabber over HTTP"
}
modules_disabled = {
\t-- "c2s"; -- Handle client connections
}
pidfile = "/run/prosody/prosody.pid";
limits = {
\tc2s = {
\t\trate = "10kb/s";
\t};
}
log = {
\tinfo = "/var/log/prosody/prosody.log";
\t{ levels = { "error" }; to = "syslog";  };
}
VirtualHost "localhost"
--Component "gateway.example.com"
Include "conf.d/*.cfg.lua"
"""
ONLY4 = DEBIAN.replace('VirtualHost "localhost"', "interfaces = { '*' } -- IPv4\nVirtualHost \"localhost\"")
HTTPS = [(5281, "0.0.0.0"), (5281, "::")]
BOTH = [(5222, "0.0.0.0"), (5222, "::"), (5269, "0.0.0.0"), (5269, "::")]


def given(text: str, **others: str) -> dict[str, dict[str, Any]]:
    """The files of a host, by path; a pattern matches as there."""
    texts = {MAIN: text, **others}
    return {
        path: {
            "text": each,
            "includes": [fnmatch.filter(sorted(texts), pattern) for pattern in listen_prosody.includes(path, each)],
        }
        for path, each in texts.items()
    }


def seen(text: str, **others: str) -> list[tuple]:
    return [(each["port"], each["address"]) for each in listen_prosody.listeners(given(text, **others))]


def noted(text: str) -> list[str]:
    notes: list[str] = listen_prosody.dual_stack(given(text), {})["notes"]
    return notes


def converged(text: str) -> str:
    """The dual-stack text; asked a second time, and for the other value of the sysctl, nothing changes."""
    plan = listen_prosody.dual_stack(given(text), {})
    assert plan["bindv6only"] is None
    result: str = plan["files"].get(MAIN, text)
    assert listen_prosody.dual_stack(given(result), {})["files"] == {}
    assert listen_prosody.dual_stack(given(text), {}, 1) == plan
    return result


def refusal(text: str) -> str:
    with pytest.raises(SaltInvocationError) as raised:
        listen_prosody.dual_stack(given(text), {})
    return str(raised.value)


def test_debians_file_is_dual_stack() -> None:
    assert seen(DEBIAN) == BOTH
    assert listen_prosody.listeners(given(DEBIAN))[1] == {
        "port": 5222,
        "transport": "tcp",
        "protocol": "xmpp",
        "address": "::",
        "v6only": True,
        "file": MAIN,
        "line": 0,
        "note": "",
    }
    nothing: dict[str, Any] = {"files": {}, "bindv6only": None, "notes": [], "missing": []}
    assert listen_prosody.dual_stack(given(DEBIAN), {}) == nothing
    assert listen_prosody.includes(MAIN, DEBIAN) == ["/etc/prosody/conf.d/*.cfg.lua"]


def test_ipv4_alone_becomes_dual_stack_and_the_rest_stays() -> None:
    assert seen(ONLY4) == [(5222, "0.0.0.0"), (5269, "0.0.0.0")]
    assert listen_prosody.listeners(given(ONLY4))[0]["line"] == 22
    assert converged(ONLY4) == ONLY4.replace("{ '*' }", "{ '*', '::' }")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('interfaces = { "*" }', 'interfaces = { "*", "::" }'),
        ('interfaces={"0.0.0.0",}', 'interfaces={"0.0.0.0", "::",}'),
        ('interfaces = { "::"; }', 'interfaces = { "::", "*"; }'),
        ('interfaces = "*";', 'interfaces = { "*", "::" };'),
        ("interface = '::'", "interface = { '::', '*' }"),
        ("interfaces = [[*]]", 'interfaces = { [[*]], "::" }'),
        ('interfaces = { "127.0.0.1" }', 'interfaces = { "127.0.0.1" }'),
        ('interfaces = { "::", "*" }', 'interfaces = { "::", "*" }'),
        ('interfaces = { "*", "2001:db8::1" }; c2s_ports = {}; s2s_ports = {}',) * 2,
        (
            'interfaces = { "127.0.0.1" }\ninterfaces = { "*" }',
            'interfaces = { "127.0.0.1" }\ninterfaces = { "*", "::" }',
        ),
        ('interfaces = { "*" }\nc2s_interfaces = { "::1" }', 'interfaces = { "*", "::" }\nc2s_interfaces = { "::1" }'),
        ('c2s_interfaces = { "*" }\r\n', 'c2s_interfaces = { "*", "::" }\r\n'),
        ('s2s_interfaces = { "*" } --\udce4\0', 's2s_interfaces = { "*", "::" } --\udce4\0'),
        ("use_ipv6 = false", "use_ipv6 = true"),
        ("use_ipv4 = false; use_ipv6 = true", "use_ipv4 = true; use_ipv6 = true"),
        ('use_ipv6 = false\ninterfaces = { "*", "::" }',) * 2,
        (
            'modules_enabled = { "bosh" }\nhttp_interfaces = { "*" }',
            'modules_enabled = { "bosh" }\nhttp_interfaces = { "*", "::" }',
        ),
        ('proxy65_interfaces = { "*" }',) * 2,  # which nobody loads
        # left to the person who programmed it
        ("interfaces = { os.getenv('A') }",) * 2,
        ('interfaces = "*" .. ""',) * 2,
        ('interfaces = { "*" .. x }',) * 2,
        ('interfaces = { "*", x }',) * 2,
        ('interfaces = { "*" "127.0.0.1" }',) * 2,
        ('interfaces = { "*" } + x',) * 2,
        ('interfaces = { "*" } or x',) * 2,
        ('interfaces = { "*" } and x',) * 2,
        ('interfaces = ENV_ADDRESS or "*"',) * 2,
        ('interfaces = { "*", nil }',) * 2,
        ('interfaces = { "*", [2] = "x" }',) * 2,
        ('interfaces, x = { "*" }, 1',) * 2,
        ('if x then interfaces = { "*" } end',) * 2,
        ('for i = 1, 2 do interfaces = { "*" } end',) * 2,
        ('while x do interfaces = { "*" } end',) * 2,
        ('if x then if y then end interfaces = { "*" } end',) * 2,
        ('if x then repeat until y interfaces = { "*" } end',) * 2,
        ('repeat interfaces = { "*" } until x',) * 2,
        ('function f() interfaces = { "*" } end',) * 2,
        ('if x then y = 1 end interfaces = { "*" }', 'if x then y = 1 end interfaces = { "*", "::" }'),
        ('do y = 1 end interfaces = { "*" }', 'do y = 1 end interfaces = { "*", "::" }'),
        ('function f() y = 1 end interfaces = "*"', 'function f() y = 1 end interfaces = { "*", "::" }'),
        ('repeat y = 1 until x interfaces = { "*" }', 'repeat y = 1 until x interfaces = { "*", "::" }'),
        ('local interfaces = { "*" }',) * 2,
        ('_G.interfaces = { "*" }',) * 2,
    ],
)
def test_only_the_words_that_must_change(text: str, result: str) -> None:
    assert converged(text) == result


@pytest.mark.parametrize(
    ("text", "listeners"),
    [
        ("use_ipv6 = false", [(5222, "0.0.0.0"), (5269, "0.0.0.0")]),
        ("use_ipv4 = false", [(5222, "::"), (5269, "::")]),
        ('use_ipv6 = "false"', BOTH),
        ("use_ipv6 = nil", BOTH),
        ("use_ipv6 = x", [(5222, "0.0.0.0"), (5222, ""), (5269, "0.0.0.0"), (5269, "")]),
        ("interfaces = {}", []),
        ('interfaces, x = { "*" }, 1', [(5222, ""), (5269, "")]),
        ('a, interfaces, x = 1, { "*" }, 2', [(5222, ""), (5269, "")]),
        ('interfaces, a, x = { "*" }, 1, 2', [(5222, ""), (5269, "")]),
        ("interfaces = nil", BOTH),
        ('interfaces = { "localhost" }', [(5222, "localhost"), (5269, "localhost")]),
        ('interfaces = { "*" }; c2s_interfaces = "127.0.0.1"', [(5269, "0.0.0.0"), (5222, "127.0.0.1")]),
        ('interfaces = "*"; c2s_ports = { 5222, 5223 }; s2s_ports = {}', [(5222, "0.0.0.0"), (5223, "0.0.0.0")]),
        ('interfaces = "*"; c2s_ports = "5300"', [(5300, "0.0.0.0"), (5269, "0.0.0.0")]),
        ('interfaces = "*"; c2s_ports = f()', [(None, "0.0.0.0"), (5269, "0.0.0.0")]),
        ('interfaces = "*"; c2s_ports = { 1, 65535 }', [(1, "0.0.0.0"), (65535, "0.0.0.0"), (5269, "0.0.0.0")]),
        ('interfaces = "*"; c2s_ports = { 0, 65536 }', [(None, "0.0.0.0"), (None, "0.0.0.0"), (5269, "0.0.0.0")]),
        ('interfaces = "*"; c2s_ports = "x"', [(None, "0.0.0.0"), (5269, "0.0.0.0")]),
        ('interfaces = "*"; c2s_direct_tls_ports = 5223', [(5222, "0.0.0.0"), (5223, "0.0.0.0"), (5269, "0.0.0.0")]),
        ('modules_disabled = { "c2s" }', BOTH[2:]),
        ('modules_enabled = { "http" }', [*BOTH, (5280, "127.0.0.1"), (5280, "::1"), (5281, "0.0.0.0"), (5281, "::")]),
        (
            'VirtualHost "a"\nmodules_enabled = { "bosh" }\n',
            [*BOTH, (5280, "127.0.0.1"), (5280, "::1"), (5281, "0.0.0.0"), (5281, "::")],
        ),
        ('modules_enabled = { "admin_telnet" }; local_interfaces = "*"', [*BOTH, (5582, "0.0.0.0")]),
        ('VirtualHost "a"\nComponent "b.a"\ncomponent_secret = "x"', [*BOTH, (5347, "127.0.0.1"), (5347, "::1")]),
        ('Component "b.a" "proxy65"', [*BOTH, (5000, "0.0.0.0"), (5000, "::")]),
        ('component("b.a") "muc"', BOTH),
        ("Component\nx = 1", BOTH),
        ('x = { "bosh" }; admins = "proxy65"', BOTH),
        ("modules_enabled = f(x)", BOTH),
        *(
            (f'modules_enabled = {{ "{each}" }}', [*BOTH, *((5280, a) for a in ("127.0.0.1", "::1")), *HTTPS])
            for each in ("http", "bosh", "websocket", "http_file_share", "http_files", "http_openmetrics")
        ),
        *(
            (f"use_ipv6 = false; {each}_ports = 5223", [*BOTH[::2], (5223, "0.0.0.0")])
            for each in ("c2s_direct_tls", "legacy_ssl", "s2s_direct_tls")
        ),
        ('use_ipv6 = false; modules_disabled = { "s2s" }; s2s_direct_tls_ports = 5270', BOTH[:1]),
        ('use_ipv6 = false; modules_enabled = { "proxy65" }', [*BOTH[::2], (5000, "0.0.0.0")]),
        ("use_ipv6 = false; proxy65_ports = 5001", [*BOTH[::2], (5001, "0.0.0.0")]),
        ('modules_enabled = { "net_multiplex" }; ports = 5555', [*BOTH, (5555, "0.0.0.0"), (5555, "::")]),
        ('VirtualHost "a"\ninterfaces = { "127.0.0.1" }', BOTH),
        *((f'{word} "a"\ninterfaces = {{ "127.0.0.1" }}', BOTH) for word in ("Host", "host")),
        *(
            (f'{word} "a"\ninterfaces = {{ "127.0.0.1" }}', [*BOTH, (5347, "127.0.0.1"), (5347, "::1")])
            for word in ("Component", "component")
        ),
        ('VirtualHost "a" { interfaces = { "x" } }\nuse_ipv6 = false', [(5222, "0.0.0.0"), (5269, "0.0.0.0")]),
        ('--[==[ ]]\ninterfaces = "*" ]==] use_ipv6 = false --[ x', [(5222, "0.0.0.0"), (5269, "0.0.0.0")]),
        ('x = \'--[[\' y = [=[ ]] " ]=] use_ipv6 = false z = "\\"--"', [(5222, "0.0.0.0"), (5269, "0.0.0.0")]),
    ],
)
def test_what_prosody_opens(text: str, listeners: list[tuple]) -> None:
    assert sorted(seen(text), key=str) == sorted(listeners, key=str)


def test_an_included_file_begins_as_the_server_where_it_stands() -> None:
    files = given(DEBIAN, **{HOST: 'interfaces = { "*" }\nVirtualHost "example.org"\nuse_ipv4 = false\n'})
    found = listen_prosody.listeners(files)
    assert {(each["file"], each["line"], each["address"]) for each in found} == {(HOST, 1, "0.0.0.0")}
    changed = listen_prosody.dual_stack(files, {})["files"]
    assert changed == {HOST: 'interfaces = { "*", "::" }\nVirtualHost "example.org"\nuse_ipv4 = false\n'}
    assert seen(DEBIAN.replace("conf.d", "/srv"), **{HOST: files[HOST]["text"]}) == BOTH


def test_includes_are_relative_to_the_file_that_includes() -> None:
    text = 'include("a.lua") Include [[../b.lua]] Include "/srv/*.lua" Include(os.getenv("X")) x = { Include "c" }'
    assert listen_prosody.includes(HOST, text) == ["/etc/prosody/conf.d/a.lua", "/etc/prosody/b.lua", "/srv/*.lua"]


def test_what_is_left_alone_is_reported() -> None:
    text = """\
interfaces = { "192.0.2.1", "localhost" }
c2s_interfaces = { os.getenv("A") }
RunScript "more.lua"
VirtualHost "a"
s2s_interfaces = { "::" }
"""
    assert noted(text) == [
        f"{MAIN}:2:1: c2s_interfaces: Lua has to compute it: cannot decide",
        f"{MAIN}:1:1: interfaces: 192.0.2.1: one address: left alone",
        f"{MAIN}:1:1: interfaces: localhost: a host name: left alone",
        f"{MAIN}:3:1: RunScript: what Lua has to compute is not read",
        f"{MAIN}:5:1: s2s_interfaces has no effect below a VirtualHost or Component",
    ]
    assert noted('interfaces = { "*" }') == []
    assert noted("interfaces = { }") == [f"{MAIN}:1:1: interfaces: an empty list: nothing listens"]
    notes = [each["note"] for each in listen_prosody.listeners(given('modules_enabled = { "http" }\nc2s_ports = x'))]
    assert notes[-2:] == ["no plain port: cannot decide"] * 2
    assert "loopback: left alone" in notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('\n interfaces = {\n"*" }', f"{MAIN}:2:2: write the table interfaces on one line, or add `::`"),
        (
            'interfaces = { "*", "2001:db8::1" }',
            f"{MAIN}:1:1: `::` would collide with `2001:db8::1`; take that one out",
        ),
        ('interfaces = { "::", "127.0.0.1" }', f"{MAIN}:1:1: `*` would collide with `127.0.0.1`; take that one out"),
        ('interfaces = { "*", "localhost" }', f"{MAIN}:1:1: `::` would collide with `localhost`; take that one out"),
        ('a = "b\n"', f'{MAIN}:1:5: a " that is not closed'),
        ("a = 'b", f"{MAIN}:1:5: a ' that is not closed"),
        ("a = [==[b]]", f"{MAIN}:1:5: a [==[ that is not closed"),
        ("\n--[[ a", f"{MAIN}:2:1: a --[ that is not closed"),
        ("a = {\n(1)", f"{MAIN}:1:5: a {{ that is not closed"),
        ("a = (1", f"{MAIN}:1:5: a ( that is not closed"),
        ("a = [1", f"{MAIN}:1:5: a [ that is not closed"),
        ("\n)", f"{MAIN}:2:1: a ) without its ("),
        ("a = (1]", f"{MAIN}:1:7: a ] without its ["),
        ("}", f"{MAIN}:1:1: a }} without its {{"),
        (f'Include "{MAIN}"', f"{MAIN}:1:1: {MAIN} is included without an end"),
    ],
)
def test_what_cannot_be_done_or_read_is_reported(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_the_plain_data_of_the_service() -> None:
    about = listen_prosody.about()
    assert about["files"] == [MAIN]
    assert about["options"] == {}
    assert set(about) >= {"files", "processes", "executables", "users", "units", "init", "options", "check", "words"}
    assert listen_prosody.dual_stack({}, {})["files"] == {}


def test_depth_is_no_danger() -> None:
    assert seen("a = " + "{" * 20000 + "}" * 20000) == BOTH
    assert refusal("a = " + "{" * 20000).endswith("a { that is not closed")
    assert seen("if x then " * 5000) == BOTH


def test_no_text_whatever_is_a_traceback() -> None:
    chance = random.Random(4)
    whole = ONLY4 + 'c2s_interfaces = "::"\nhttp_ports = { 80 }\n'
    signs = 'interfaces = { "*" "::" } ( ) [ ] [[ ]] -- --[[ , ; . \' " \\ \n \r \t \0 \udcff 9'
    pieces = [*whole.splitlines(keepends=True), *signs.split(" "), " ", "if", "end", "Include", "use_ipv6", "false"]
    for _ in range(400):
        text = "".join(chance.choices(pieces, k=30)) if chance.random() < 0.7 else whole[: chance.randrange(len(whole))]
        try:
            listen_prosody.listeners(given(text))
            converged(text)
        except SaltInvocationError as error:
            assert str(error).startswith(MAIN)


# --- published addresses

SITE = {"names": ["im.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": ["2001:db8::1", "2001:db8::2"]}}


@pytest.mark.parametrize(
    ("setting", "new"),
    [
        ('interfaces = { "192.0.2.1" }', 'interfaces = { "192.0.2.1", "2001:db8::1", "2001:db8::2" }'),
        ("c2s_interfaces = '192.0.2.1';", "c2s_interfaces = { '192.0.2.1', '2001:db8::1', '2001:db8::2' };"),
        (
            'interfaces = {\n  "127.0.0.1"; -- a\n  "192.0.2.1"; -- b\n}',
            'interfaces = {\n  "127.0.0.1"; -- a\n  "192.0.2.1", "2001:db8::1", "2001:db8::2"; -- b\n}',
        ),
        (
            'modules_enabled = { "bosh" }\nhttp_interfaces = { [[192.0.2.1]] }',
            'modules_enabled = { "bosh" }\nhttp_interfaces = { [[192.0.2.1]], "2001:db8::1", "2001:db8::2" }',
        ),
        ('interfaces = { "192.0.2.1", "2001:DB8::2" }', None),
        ('interfaces = { "192.0.2.1", "::" }', None),
        ('interfaces = { "*", "2001:db8::2" }', None),
        ('interfaces = { "*", "::1" }', 'interfaces = { "*", "::1", "2001:db8::1", "2001:db8::2" }'),
        ('interfaces = { "192.0.2.9" }', None),
        ('component_interfaces = { "192.0.2.1" }', None),  # no component
        ('interfaces = { os.getenv("A") }', None),
        ("use_ipv6 = false", "use_ipv6 = true"),
    ],
)
def test_a_list_with_a_published_address_gets_those_of_ipv6(setting: str, new: str | None) -> None:
    text = f'{setting}\nVirtualHost "im.example.org"\n'
    plan = listen_prosody.dual_stack(given(text), {}, 0, SITE)
    after = plan["files"].get(MAIN, text)
    assert after == text.replace(setting, new or setting)
    again = listen_prosody.dual_stack(given(after), {}, 0, SITE)
    assert (again["files"], again["missing"], plan["missing"]) == ({}, [], [])
    assert new is None or "192.0.2.1" not in str(plan["notes"])


def test_without_an_address_it_is_missing() -> None:
    site = {"names": ["im.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": []}}
    for setting, port in (("interfaces", None), ("c2s_interfaces", 5222)):
        plan = listen_prosody.dual_stack(given(f'{setting} = "192.0.2.1"\n'), {}, 0, site)
        (missing,) = plan["missing"]
        assert (plan["files"], missing["names"], missing["port"]) == ({}, ["im.example.org"], port)
        assert missing["said"].startswith(f"{MAIN}:1:1: {setting}: this address is published, and no address of IPv6 ")


def test_lists_that_trust_one_loopback_are_told() -> None:
    text = 'trusted_proxies = { "127.0.0.1" }\nsecure_interfaces = { "127.0.0.1", "::1" }\n'
    said = "trusted_proxies names IPv4's loopback, and not ::1: left alone, add it if it may"
    assert noted(text) == [f"{MAIN}:1:1: {said}"]


def test_the_hosts_that_are_served() -> None:
    text = (
        'c2s_direct_tls_ports = { 5223 }\nVirtualHost "IM.example.org"\n  Include "conf.d/*.cfg.lua"\n'
        '  enabled = true\nComponent "rooms.example.org" "muc"\nVirtualHost "off.example.org"\n  enabled = false\n'
    )
    other = 'VirtualHost "b.example.org"\n'
    assert listen_prosody.about()["names"] is True
    assert listen_prosody.sites(given(text, **{HOST: other})) == [
        {"names": ["im.example.org", "b.example.org"], "ports": [5222, 5223, 5269]},
        {"names": ["rooms.example.org"], "ports": [5269]},
    ]
    assert listen_prosody.sites(given(DEBIAN)) == [{"names": ["localhost"], "ports": [5222, 5269]}]
    assert listen_prosody.sites(given('modules_disabled = { "s2s" }\nComponent "a.example.org"\n')) == []
    assert listen_prosody.sites({}) == []
    # What has been switched off in an included file is another host.
    off = 'VirtualHost "b.example.org"\nenabled = false\n'
    assert listen_prosody.sites(given(text, **{HOST: off}))[0]["names"] == ["im.example.org"]
