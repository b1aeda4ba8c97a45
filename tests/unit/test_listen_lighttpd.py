"""The listeners of lighttpd: seen, and made dual-stack. What it then opens was measured with 1.4.69."""

from __future__ import annotations

import fnmatch
import random
from typing import Any

import listen_lighttpd
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/lighttpd/lighttpd.conf"
TLS = "/etc/lighttpd/conf-enabled/10-ssl.conf"

# Debian's file, shortened.
DEBIAN = """\
server.modules = (
\t"mod_indexfile",
 \t"mod_redirect", # "
)
server.document-root        = "/var/www/html"
server.port                 = 80
server.feature-flags       += ("server.graceful-shutdown-timeout" => 5)
#server.bind = "127.0.0.1"

# default listening port for IPv6 falls back to the IPv4 port
include_shell "/usr/share/lighttpd/use-ipv6.pl " + server.port
include_shell "/usr/share/lighttpd/create-mime.conf.pl"
include "/etc/lighttpd/conf-enabled/*.conf"
"""
ONLY4 = DEBIAN.replace("include_shell", "#include_shell", 1)
TLS_BLOCK = """\
$SERVER["socket"] == "0.0.0.0:443" {
\tssl.engine  = "enable"   # } not the end
\tssl.pemfile = "/etc/lighttpd/server.pem"
\t$HTTP["host"] =~ "^w{3}" { url.redirect = () }
}
"""


NOTHING: dict[str, Any] = {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}


def given(text: str, **others: str) -> dict[str, dict[str, Any]]:
    """The files of a host, by path; a pattern matches as there, the order of the folder included."""
    texts = {MAIN: text, **others}
    return {
        path: {
            "text": each,
            "includes": [fnmatch.filter(sorted(texts), pattern) for pattern in listen_lighttpd.includes(path, each)],
        }
        for path, each in texts.items()
    }


def seen(text: str, **others: str) -> list[tuple]:
    keys = ("port", "address", "v6only", "line", "note")
    return [tuple(each[key] for key in keys) for each in listen_lighttpd.listeners(given(text, **others))]


def converged(text: str, bindv6only: int = 0) -> str:
    """The dual-stack text; asked a second time, nothing changes."""
    plan = listen_lighttpd.dual_stack(given(text), {}, bindv6only)
    result: str = plan["files"].get(MAIN, text)
    again = listen_lighttpd.dual_stack(given(result), {}, bindv6only)
    assert (again["files"], again["bindv6only"]) == ({}, plan["bindv6only"])
    return result


def refusal(text: str, **others: str) -> str:
    with pytest.raises(SaltInvocationError) as raised:
        listen_lighttpd.dual_stack(given(text, **others), {})
    return str(raised.value)


def test_debians_file_is_dual_stack() -> None:
    assert listen_lighttpd.includes(MAIN, DEBIAN) == ["/etc/lighttpd/conf-enabled/*.conf"]
    assert seen(DEBIAN) == [(80, "0.0.0.0", None, 6, ""), (80, "::", True, 11, "")]
    for bindv6only in (0, 1):
        plan = listen_lighttpd.dual_stack(given(DEBIAN), {}, bindv6only)
        assert plan == NOTHING


def test_ipv4_alone_gets_a_block_at_the_end_and_the_rest_stays() -> None:
    assert seen(ONLY4) == [(80, "0.0.0.0", None, 6, "")]
    assert converged(ONLY4) == ONLY4 + '$SERVER["socket"] == "[::]:80" { }\n'


def test_a_block_of_an_included_file_is_copied_with_all_it_has() -> None:
    files = given(DEBIAN, **{TLS: TLS_BLOCK})
    found = [(each["port"], each["address"], each["file"]) for each in listen_lighttpd.listeners(files)]
    assert found == [(80, "0.0.0.0", MAIN), (80, "::", MAIN), (443, "0.0.0.0", TLS)]
    changed = listen_lighttpd.dual_stack(files, {})["files"]
    assert changed == {MAIN: DEBIAN + TLS_BLOCK.replace("0.0.0.0", "[::]")}
    assert listen_lighttpd.dual_stack(given(changed[MAIN], **{TLS: TLS_BLOCK}), {})["files"] == {}


def test_line_ends_and_strange_bytes_stay() -> None:
    text = '# \udce4\r\nserver.port = 98\r\nserver.tag = "\udcff\0"'
    assert converged(text) == text + '\r\n$SERVER["socket"] == "[::]:98" { }\r\n'


@pytest.mark.parametrize(
    ("text", "listeners"),
    [
        ("", [(80, "0.0.0.0", None, 0, "")]),
        ("server.port = 8080", [(8080, "0.0.0.0", None, 1, "")]),
        ('server.port = "8080"', [(8080, "0.0.0.0", None, 1, "")]),
        ("server.port = 8000 + 80", [(8080, "0.0.0.0", None, 1, "")]),
        ("server.port =\n0100", [(100, "0.0.0.0", None, 1, "")]),
        ("p = 8080\nserver.port = var.p\n", [(8080, "0.0.0.0", None, 2, "")]),
        ("server.port = 8080\nserver.port := 8081", [(8081, "0.0.0.0", None, 2, "")]),
        ("global { server.port = 97 }", [(97, "0.0.0.0", None, 1, "")]),
        ("server.port = env.PORT\n", [(None, "0.0.0.0", None, 1, "not plain text: cannot decide")]),
        ("server.bind = env.ADDRESS\n", [(None, "", None, 1, "not plain text: cannot decide")]),
        ('server.tag = "a\\"#{b\n"\nserver.port = 91 # "', [(91, "0.0.0.0", None, 3, "")]),
        ('ssl.engine = "enable"', [(443, "0.0.0.0", None, 0, "")]),
        ('server.bind = "[::]"', [(80, "::", True, 1, "")]),
        ('server.bind = "2001:db8::1"', [(None, "2001:db8::1", True, 1, "not plain text: cannot decide")]),
        ("server.port = # the port\n91", [(91, "0.0.0.0", None, 1, "")]),
        ('server.bind = "[::]:8085"', [(8085, "::", True, 1, "")]),
        ('server.bind = "*"', [(80, "0.0.0.0", None, 1, "")]),
        ('server.bind = "localhost"', [(80, "localhost", None, 1, "a host name: left alone")]),
        ('server.bind = "127.0.0.1"', [(80, "127.0.0.1", None, 1, "loopback: left alone")]),
        ('server.bind = "/run/lighttpd.sock"', []),
        ('server.use-ipv6 = "enable"', [(80, "::", True, 0, "")]),
        *(
            (f'server.bind = "[::]"\nserver.set-v6only = {off}', [(80, "::", None, 1, "")])
            for off in ('"disable"', '"false"', '"0"', "0")
        ),
        ('server.bind = "[::]"\nserver.set-v6only = "enable"', [(80, "::", True, 1, "")]),
        (
            'server.bind = "10.0.0.1"\n$SERVER["socket"] == ":81" { }',
            [(80, "10.0.0.1", None, 1, "one address: left alone"), (81, "0.0.0.0", None, 2, "")],
        ),
        ('include_shell "/usr/share/lighttpd/use-ipv6.pl"', [(80, "0.0.0.0", None, 0, ""), (80, "::", True, 1, "")]),
        *(
            (f'include_shell "use-ipv6.pl {given}"', [(80, "0.0.0.0", None, 0, ""), (port, "::", True, 1, "")])
            for given, port in ((1, 1), (65535, 65535), (0, 80), (65536, 80))
        ),
        *((f"server.port = {port}", [(port, "0.0.0.0", None, 1, "")]) for port in (1, 65535)),
        ("server.port = 65536", [(None, "0.0.0.0", None, 1, "not plain text: cannot decide")]),
        ("server.port = 0", [(80, "0.0.0.0", None, 1, "")]),
        ('server.bind = ":65536"', [(None, "0.0.0.0", None, 1, "not plain text: cannot decide")]),
        ('server.bind = ":65535"', [(65535, "0.0.0.0", None, 1, "")]),
        ('include_shell "use-ipv6.pl 88"', [(80, "0.0.0.0", None, 0, ""), (88, "::", True, 1, "")]),
    ],
)
def test_the_socket_of_the_server(text: str, listeners: list[tuple]) -> None:
    assert seen(text) == listeners


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        ('$SERVER["socket"] == ":81" { }', (81, "0.0.0.0", None)),
        ('$SERVER["socket"] == ":0081" { }', (81, "0.0.0.0", None)),
        ('$SERVER["socket"]=="[::]:81"{}', (81, "::", True)),
        ('$SERVER ["socket"]\n==\n"[::]" {}', (80, "::", True)),
        ('var.x = "[::]"\n$SERVER["socket"] == var.x + ":81" { }', (81, "::", True)),
        ('x = "[::]"\nx += ":81"\n$SERVER["socket"] == x { }', (81, "::", True)),
        ('x := "[::]:81"\n$SERVER["socket"] == x { }', (81, "::", True)),
        ('$SERVER["socket"] == ":81" { server.use-ipv6 = "enable" }', (81, "::", True)),
        ('$SERVER["socket"] == "[::]:81" { server.set-v6only = "disable" }', (81, "::", None)),
        ('$SERVER["socket"] == "[::]:81" { }\nserver.set-v6only = "disable"', (81, "::", None)),
        (
            'server.set-v6only = "disable"\n$SERVER["socket"] == "[::]:81" { server.set-v6only = "enable" }',
            (81, "::", True),
        ),
        ('$HTTP["host"] == "x" { $SERVER["socket"] == "[::]:81" { } }', (81, "::", True)),
        ('$HTTP["host"] == "x" { } else $SERVER["socket"] == ":81" { }', (81, "0.0.0.0", None)),
        ('$SERVER["socket"] == "[::1]:81" { }', (81, "::1", True)),
    ],
)
def test_the_socket_of_a_block(text: str, listener: tuple) -> None:
    assert listener in [each[:3] for each in seen(text)]


@pytest.mark.parametrize("operator", ["=~", "!=", "=^", "!~"])
def test_other_conditions_open_nothing(operator: str) -> None:
    assert len(seen(f'$SERVER["socket"] {operator} ":81" {{ }}\n$HTTP["host"] == ":82" {{ }}')) == 1


@pytest.mark.parametrize(
    ("text", "bindv6only", "added"),
    [
        ('server.bind = "[::]"\n', 0, '$SERVER["socket"] == "0.0.0.0:80" { }\n'),
        ('server.use-ipv6 = "enable"\n', 1, '$SERVER["socket"] == "0.0.0.0:80" { }\n'),
        ('server.bind = "[::]"\nserver.set-v6only = "disable"\n', 0, ""),
        (
            'server.port = 443\nssl.engine = "enable"\n',
            0,
            '$SERVER["socket"] == "[::]:443" {\n\tssl.engine = "enable"\n}\n',
        ),
        ('$SERVER["socket"] == ":80" { a.b = 1 }\n', 0, '$SERVER["socket"] == "[::]:80" { a.b = 1 }\n'),
        ('server.bind = "127.0.0.1"\n', 0, ""),
        ('server.bind = "/run/x"\n', 0, ""),
        (
            'server.bind = "127.0.0.1"\n$SERVER["socket"] == ":81" {\n\n}\n',
            0,
            '$SERVER["socket"] == "[::]:81" { }\n',
        ),
        ("server.port = env.PORT\n", 0, ""),
    ],
)
def test_the_family_that_is_missing_is_added(text: str, bindv6only: int, added: str) -> None:
    assert converged(text, bindv6only) == text + added


def test_what_is_left_to_the_kernel_is_turned_only_where_it_would_fail() -> None:
    alone = 'server.bind = "[::]"\nserver.set-v6only = "disable" # why\n'
    both = f'{alone}$SERVER["socket"] == "0.0.0.0:80" {{ }}\n'
    assert listen_lighttpd.dual_stack(given(alone), {}, 0) == {**NOTHING, "bindv6only": 0}
    assert listen_lighttpd.dual_stack(given(both), {}, 1) == {**NOTHING, "bindv6only": 1}
    turned = both.replace("disable", "enable")
    assert converged(alone, 1) == turned
    assert converged(both, 0) == turned
    assert listen_lighttpd.dual_stack(given(both), {}, 0)["bindv6only"] is None
    # Another port is IPv4 only, and the new socket for that must not be left to the kernel.
    other = 'server.set-v6only = "disable"\n$SERVER["socket"] == "[::]:81" { }\n'
    added = '$SERVER["socket"] == "[::]:80" { }\n$SERVER["socket"] == "0.0.0.0:81" { }\n'
    assert converged(other, 0) == other.replace("disable", "enable") + added


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a = "b\n', f'{MAIN}:1:5: a quote " that is not closed'),
        ('a = "b\\"\n', f'{MAIN}:1:5: a quote " that is not closed'),
        ("\n a = (\n(1)\n", f"{MAIN}:2:6: a ( that is not closed"),
        ('$HTTP["host"] == "a" {\n', f"{MAIN}:1:22: a {{ that is not closed"),
        ("\n }\n", f"{MAIN}:2:2: a }} without its {{"),
        (f'include "{MAIN}"\n', f"{MAIN}:1:1: {MAIN} is included without an end"),
    ],
)
def test_what_cannot_be_read_is_reported(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "port", "said"),
    [
        (
            '$SERVER["socket"] == "[2001:db8::1]:80" { }',
            80,
            "1: `[2001:db8::1]:80`: a socket on :: port 80 would collide",
        ),
        (
            '$SERVER["socket"] == "www:80" { }',
            80,
            "1: `www:80`: a socket on :: port 80 would collide with it; remove it",
        ),
        (
            '$SERVER["socket"] == ":81" { } else { }',
            81,
            "1: `:81`: it is part of another condition; write the block for",
        ),
        *(
            (
                f'$HTTP["host"] =~ "a" {{ }} {word} $SERVER["socket"] == ":81" {{ }}',
                *(81, "1: `:81`: it is part of another condition; write the block for [::]:81 by hand"),
            )
            for word in ("else", "elseif", "elsif", "elif")
        ),
        ('$HTTP["host"] =~ "a" { $SERVER["socket"] == ":81" { } }', 81, "1: `:81`: it is part of another condition"),
    ],
)
def test_what_cannot_be_done_is_missing_and_harms_no_other_port(text: str, port: int | None, said: str) -> None:
    plan = listen_lighttpd.dual_stack(given(f'{text}\n$SERVER["socket"] == "[::]:99" {{ }}\n'), {})
    (missing,) = plan["missing"]
    assert missing["said"].startswith(f"{MAIN}:{said}")
    assert (missing["names"], missing["port"]) == ([], port)
    assert plan["files"][MAIN].endswith('$SERVER["socket"] == "0.0.0.0:99" { }\n')


def test_a_setting_by_a_variable_is_missing_and_no_socket_is_left_to_the_kernel() -> None:
    text = 'x = "disable"\nserver.set-v6only = x\n$SERVER["socket"] == "[::]:81" { }\n'
    plan = listen_lighttpd.dual_stack(given(text), {})
    assert [each["said"] for each in plan["missing"]] == [
        f'{MAIN}:2:1: write server.set-v6only = "enable", without variables'
    ]
    assert plan["files"] == {}


@pytest.mark.parametrize("bind", ["127.0.0.1", "www"])
def test_a_port_that_has_ipv6_is_no_worse_for_an_address_in_the_way_of_ipv4(bind: str) -> None:
    text = f'server.bind = "{bind}"\n$SERVER["socket"] == "[::]:80" {{ }}\n'
    assert converged(text) == text
    plan = listen_lighttpd.dual_stack(given(text), {})
    assert (plan["missing"], len(plan["notes"])) == ([], 2)
    assert f"{MAIN}:1: `{bind}`: a socket on 0.0.0.0 port 80 would collide with it: left alone" in plan["notes"]


def test_includes_are_relative_to_the_folder_of_the_main_file() -> None:
    text = 'var.d = "conf"\ninclude "a.conf"\ninclude var.d + ".d/*.conf"\ninclude other + "x"\ninclude_shell "x"\n'
    assert listen_lighttpd.includes(TLS, text) == ["/etc/lighttpd/a.conf", "/etc/lighttpd/conf.d/*.conf"]
    for script in ("/usr/share/lighttpd/include-conf-enabled.pl", "include-conf-enabled.pl "):
        assert listen_lighttpd.includes(MAIN, f'include_shell "{script}"') == ["/etc/lighttpd/conf-enabled/*.conf"]


def test_includes_count_where_they_stand() -> None:
    text = 'include "port.conf"\ninclude_shell "use-ipv6.pl " + server.port\n'
    text += '$SERVER["socket"] == ":81" { include "v6.conf" }\n'
    files = {"/etc/lighttpd/port.conf": "server.port = 8080\n", "/etc/lighttpd/v6.conf": 'server.use-ipv6 = "enable"\n'}
    assert [each[:3] for each in seen(text, **files)] == [(8080, "0.0.0.0", None), (8080, "::", True), (81, "::", True)]
    assert [each[0] for each in seen(text)] == [80, 81]  # without them, server.port is not set


def test_what_is_left_alone_is_reported() -> None:
    text = """\
server.bind = "/run/x"
$SERVER["socket"] == "127.0.0.1:81" { }
$HTTP["remoteip"] == "127.0.0.0/8" { }
$HTTP["remoteip"] =~ "^127\\.0\\.0\\.1$|^::1$" { }
include_shell "/usr/local/bin/vhosts"
include elsewhere + ".conf"
"""
    assert listen_lighttpd.dual_stack(given(text), {})["notes"] == [
        f"{MAIN}:1: /run/x: a Unix socket: left alone",
        f"{MAIN}:2: 127.0.0.1:81: loopback: left alone",
        f"{MAIN}:3: `127.0.0.0/8` is this host over IPv4 only; over IPv6 it is ::1",
        f"{MAIN}:5: include_shell: what `/usr/local/bin/vhosts` adds cannot be known",
        f"{MAIN}:6: include: what a variable of another file adds cannot be known",
    ]


def test_the_plain_data_of_the_service() -> None:
    about = listen_lighttpd.about()
    assert about["files"] == [MAIN]
    assert about["options"] == {}
    assert set(about) >= {"files", "processes", "executables", "users", "units", "init", "options", "check", "words"}
    assert listen_lighttpd.listeners({}) == []
    assert listen_lighttpd.dual_stack({}, {}) == NOTHING


def test_depth_and_growth_are_no_danger() -> None:
    nested = '$HTTP["host"] == "a" {\n' * 3000
    assert refusal(nested).endswith("a { that is not closed")
    assert seen(nested + "}" * 3000) == [(80, "0.0.0.0", None, 0, "")]
    assert seen("a = (" * 3000 + ")" * 3000)[0][0] == 80
    assert seen('a = "x"\n' + "a := a + a\n" * 2000 + "server.bind = a") == [
        (None, "", None, 2002, "not plain text: cannot decide")
    ]


def test_no_text_whatever_is_a_traceback() -> None:
    chance = random.Random(4)
    whole = DEBIAN + TLS_BLOCK
    signs = '$SERVER [ ] "socket" == ":81" "[::]:82" { } ( ) + = := " \\" # \n \r \t \0 \udcff else global include a 99'
    pieces = [*whole.splitlines(keepends=True), *signs.split(" "), " "]
    for _ in range(400):
        text = "".join(chance.choices(pieces, k=30)) if chance.random() < 0.7 else whole[: chance.randrange(len(whole))]
        try:
            listen_lighttpd.listeners(given(text))
            converged(text, chance.randrange(2))
        except SaltInvocationError as error:
            assert str(error).startswith(MAIN)
