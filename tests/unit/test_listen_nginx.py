"""nginx's configuration: where it listens, and how it comes to serve both families."""

from __future__ import annotations

import random
from typing import Any

import listen_nginx
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/nginx/nginx.conf"
SITE = "/etc/nginx/sites-enabled/default"

# Debian's own, without most of its comments.
DEBIAN_MAIN = """\
user www-data;
include /etc/nginx/modules-enabled/*.conf;

events {
\tworker_connections 768;
\t# multi_accept on;
}

http {
\tssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; # Dropping SSLv3, ref: POODLE
\tinclude /etc/nginx/conf.d/*.conf;
\tinclude sites-enabled/*;
}
#mail {
#\tserver {
#\t\tlisten     localhost:110;
#\t}
#}
"""
DEBIAN_SITE = """\
server {
\tlisten 80 default_server;
\tlisten [::]:80 default_server;

\t# listen 443 ssl default_server;
\troot /var/www/html;
\tserver_name _;

\tlocation / {
\t\ttry_files $uri $uri/ =404;
\t}
\tlocation ~ "\\.php{1,2}$" {
\t\tfastcgi_pass unix:/run/php/php7.4-fpm.sock;
\t}
}
"""


NOTHING: dict[str, Any] = {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}


def one(text: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}}


def debian(site: str) -> dict[str, dict[str, Any]]:
    return {
        MAIN: {"text": DEBIAN_MAIN, "includes": [[], [], [SITE]]},
        SITE: {"text": site, "includes": []},
    }


def changed(text: str) -> str:
    """The text for both families; a second run must change nothing."""
    result: str = listen_nginx.dual_stack(one(text), {})["files"].get(MAIN, text)
    assert listen_nginx.dual_stack(one(result), {})["files"] == {}
    return result


def http(*servers: str) -> str:
    return "http {\n" + "".join(f"server {{\n{server}\n}}\n" for server in servers) + "}\n"


def added(before: str, after: str) -> list[str]:
    """The lines that were added; raises if another one was touched."""
    lines, old = after.split("\n"), before.split("\n")
    result = []
    for line in lines:
        if old and line == old[0]:
            old.pop(0)
        else:
            result.append(line)
    assert old == []
    return result


def sockets(text: str) -> list[tuple[Any, ...]]:
    return [
        (each["transport"], each["address"], each["port"], each["v6only"]) for each in listen_nginx.listeners(one(text))
    ]


def refusal(files: dict[str, dict[str, Any]]) -> str:
    with pytest.raises(SaltInvocationError) as raised:
        listen_nginx.dual_stack(files, {})
    return str(raised.value)


def test_the_includes_of_debian() -> None:
    assert listen_nginx.includes(MAIN, DEBIAN_MAIN) == [
        "/etc/nginx/modules-enabled/*.conf",
        "/etc/nginx/conf.d/*.conf",
        "/etc/nginx/sites-enabled/*",
    ]
    assert listen_nginx.includes(MAIN, "a { include 'b c/*'; } # include d;\n") == ["/etc/nginx/b c/*"]


def test_debian_serves_both_families_as_it_is() -> None:
    assert listen_nginx.listeners(debian(DEBIAN_SITE)) == [
        {
            "port": 80,
            "transport": "tcp",
            "address": address,
            "v6only": v6only,
            "file": SITE,
            "line": line,
            "note": "",
            "protocol": "http",
        }
        for address, v6only, line in (("0.0.0.0", None, 2), ("::", True, 3))
    ]
    assert listen_nginx.dual_stack(debian(DEBIAN_SITE), {}, 1) == NOTHING


def test_the_line_that_was_taken_out_of_debians_file_comes_back() -> None:
    without = DEBIAN_SITE.replace("\tlisten [::]:80 default_server;\n", "")
    assert listen_nginx.dual_stack(debian(without), {})["files"] == {SITE: DEBIAN_SITE}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("listen 80;", "listen [::]:80;"),
        ("listen *:80;", "listen [::]:80;"),
        ("listen *;", "listen [::]:80;"),
        ("listen 0.0.0.0:8080 ssl http2;", "listen [::]:8080 ssl http2;"),
        ("    listen\t443   ssl # why\n default_server;", "    listen [::]:443 ssl default_server;"),
        (
            "  listen 80 backlog=9 reuseport so_keepalive=on;  # c",
            "  listen [::]:80 backlog=9 reuseport so_keepalive=on;",
        ),
        ("listen 443 quic reuseport;", "listen [::]:443 quic reuseport;"),
        ('listen "80" "default_server";', 'listen [::]:80 "default_server";'),
        ("listen 8000-8002;", "listen [::]:8000-8002;"),
        ("listen 80 ipv6only=off;", "listen [::]:80;"),
        ("\tlisten [::]:80 ipv6only=on deferred;", "\tlisten 80 deferred;"),
        ("listen [0:0::0];", "listen 80;"),
        ("listen 80;\r", "listen [::]:80;\r"),
    ],
)
def test_the_other_family_gets_its_line_below(line: str, expected: str) -> None:
    text = http(f"root /x;\n{line}\nserver_name a;")
    result = changed(text)
    assert added(text, result) == [expected]
    assert result == text.replace(line, f"{line}\n{expected}")


def test_a_file_without_a_newline_at_its_end() -> None:
    snippet = "/etc/nginx/listen"
    files: dict[str, Any] = {
        MAIN: {"text": http("include listen;"), "includes": [[snippet]]},
        snippet: {"text": "listen 80;", "includes": []},
    }
    assert listen_nginx.dual_stack(files, {})["files"] == {snippet: "listen 80;\nlisten [::]:80;"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("http { server { listen 80; root /x; } }", "http { server { listen 80; listen [::]:80; root /x; } }"),
        ("http{server{listen 80;}}", "http{server{listen 80; listen [::]:80;}}"),
        ("http { server { root /x; } }", "http { server { listen 80; listen [::]:80; root /x; } }"),
        (
            "http {\r\n\tserver { # a {\r\n\t  root /x;\r\n\t}\r\n}\r\n",
            "http {\r\n\tserver { # a {\r\n\t  listen 80;\r\n\t  listen [::]:80;\r\n\t  root /x;\r\n\t}\r\n}\r\n",
        ),
        ("http {\n server {\n }\n}\n", "http {\n server {\n     listen 80;\n     listen [::]:80;\n }\n}\n"),
    ],
)
def test_servers_on_one_line_and_servers_that_do_not_say(before: str, after: str) -> None:
    assert changed(before) == after


def test_a_server_that_does_not_say_has_port_80_of_ipv4() -> None:
    (found,) = listen_nginx.listeners(debian("server {\n}\n"))
    assert (found["address"], found["port"], found["file"], found["line"]) == ("0.0.0.0", 80, MAIN, 0)
    assert found["note"] == f"a server without `listen`: {SITE}:1"


def test_a_server_whose_include_is_not_known_is_left_alone() -> None:
    files = {MAIN: {"text": http("include a;"), "includes": [["/etc/nginx/a"]]}}
    assert listen_nginx.listeners(files) == []
    assert listen_nginx.dual_stack(files, {}) == {
        **NOTHING,
        "notes": [f"{MAIN}:2: a server that was left alone: /etc/nginx/a is not known here"],
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        http("listen 80; listen [::]:80;"),
        http("listen [::]:80 ipv6only=off;"),
        http("listen [::]:80 ipv6only=off;", "listen [::]:80; server_name b;"),
        http("listen unix:/run/x;", "listen localhost:80;", "listen 127.0.0.1:80;", "listen [2001:db8::1]:80;"),
        http("listen ${PORT};", "listen [::]:http;", "listen 0;"),
        "http { upstream a { server 127.0.0.1:80; } map $a $b { listen 80; } }",
        "events { server { listen 80; } }\nserver { listen 80; }",
        "stream { server { } }\nmail { server { listen *; } }",
        # Another server has the other family, on purpose.
        http("listen 80; server_name a b;", "listen [::]:80; server_name b;"),
        http("listen 80;", "listen [::]:80;"),
        http("listen 80;", "listen [::1]:80 backlog=5;"),
        http('add_header a "listen 80;";\nlisten 127.0.0.1:80;'),
        http("listen;\nlisten 80;\nlisten [::]:80;\nallow;\nallow 127.0.0.1 ::1;\ndeny;"),
    ],
)
def test_what_is_right_or_cannot_be_decided_stays(text: str) -> None:
    assert changed(text) == text


def test_mail_and_stream_have_servers_too() -> None:
    text = (
        "stream {\nserver {\nlisten 53 udp;\nlisten 53;\nlisten [::]:53;\n}\n}\nmail {\nserver {\nlisten 143;\n}\n}\n"
    )
    assert added(text, changed(text)) == ["listen [::]:53 udp;", "listen [::]:143;"]
    assert sockets(text) == [
        ("udp", "0.0.0.0", 53, None),
        ("tcp", "0.0.0.0", 53, None),
        ("tcp", "::", 53, True),
        ("tcp", "0.0.0.0", 143, None),
    ]


def test_servers_of_other_names_do_not_serve_each_others_families() -> None:
    text = http("listen 80;\nserver_name a;", "listen [::]:80;\nserver_name b;")
    assert added(text, changed(text)) == ["listen [::]:80;", "listen 80;"]


@pytest.mark.parametrize(("port", "known"), [("0", False), ("1", True), ("65535", True), ("65536", False)])
def test_the_limits_of_a_port(port: str, known: bool) -> None:
    text = http(f"listen {port};")
    assert added(text, changed(text)) == ([f"listen [::]:{port};"] if known else [])


def test_every_server_gets_its_own_line() -> None:
    text = http(
        "listen 80 default_server;\nlisten [::]:80 default_server;",
        "listen 80;\nserver_name b;",
        "listen 80;\nserver_name c;",
    )
    assert added(text, changed(text)) == ["listen [::]:80;"] * 2


def test_what_may_stand_only_once_for_an_address_is_not_repeated() -> None:
    for default in ("default_server", "default"):
        text = http(
            f"listen 80 {default} backlog=5 ssl;",
            f"listen 80;\nlisten [::]:80 {default} backlog=7;\nserver_name b;",
        )
        assert added(text, changed(text)) == ["listen [::]:80 ssl;"]


def test_one_ipv6only_decides_for_all_servers() -> None:
    text = http("listen [::]:80;", "listen [::]:80 ipv6only=off; server_name b;", "listen [::]:81; server_name c;")
    assert [v6only for _, _, _, v6only in sockets(text)] == [False, False, True]


@pytest.mark.parametrize(
    "other", ["listen 80;", "listen *:80;", "listen 0.0.0.0:80;", "listen 127.0.0.1:80;", "root /x;"]
)
def test_a_socket_for_both_families_beside_one_of_ipv4_is_refused(other: str) -> None:
    said = refusal(one(http("listen [::]:80 ipv6only=off;", other)))
    assert said.startswith(f"nginx would not start: `listen [::]:80 ipv6only=off;` ({MAIN}:3) is a socket for both")
    assert f"({MAIN}:{5 if other == 'root /x;' else 6}) needs the same port" in said


@pytest.mark.parametrize(("word", "transport"), [("udp", "udp"), ("quic", "udp"), ("http3", "udp"), ("ssl", "tcp")])
def test_which_words_mean_udp(word: str, transport: str) -> None:
    assert sockets(http(f"listen 443 {word};")) == [(transport, "0.0.0.0", 443, None)]
    split = http(f"listen 443 {word};\nlisten [::]:443;")
    assert added(split, changed(split)) == ([] if transport == "tcp" else [f"listen [::]:443 {word};", "listen 443;"])


def test_ports_of_udp_can_be_shared() -> None:
    text = "stream { server { listen 53 udp; listen [::]:53 udp ipv6only=off; } }"
    assert changed(text) == text


def test_a_snippet_that_several_servers_read() -> None:
    snippet = "/etc/nginx/snippets/listen.conf"
    include = "include snippets/listen.conf;\n"

    def files(*servers: str) -> dict[str, dict[str, Any]]:
        return {
            MAIN: {"text": http(*servers), "includes": [[snippet]] * len(servers)},
            snippet: {"text": "listen 80;\n", "includes": []},
        }

    same = files(f"{include}server_name a;", f"{include}server_name b;")
    assert listen_nginx.dual_stack(same, {})["files"] == {snippet: "listen 80;\nlisten [::]:80;\n"}
    # Where only one of them lacks the other family, it gets a line of its own.
    other = files(f"{include}server_name a;", f"{include}server_name b;listen [::]:80;")
    changed = listen_nginx.dual_stack(other, {})["files"]
    assert added(other[MAIN]["text"], changed.pop(MAIN)) == ["listen [::]:80;"]
    assert changed == {}


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("listen localhost:8080;", "`listen localhost:8080;`: a host name: left alone"),
        ("listen 127.0.0.1:80;", "`listen 127.0.0.1:80;`: loopback: left alone"),
        ("listen [2001:db8::1]:80;", "`listen [2001:db8::1]:80;`: a specific address: left alone"),
        ("listen unix:/run/nginx.sock;", "`listen unix:/run/nginx.sock;`: a UNIX socket: left alone"),
        ("listen ${PORT};", "`listen ${PORT};`: no address and port: cannot decide"),
    ],
)
def test_what_is_left_alone_is_reported(line: str, note: str) -> None:
    assert listen_nginx.dual_stack(one(http(line)), {})["notes"] == [f"{MAIN}:3: {note}"]


@pytest.mark.parametrize("line", ["listen 8000-8002;", "root /x;", "listen 80;"])
def test_what_gets_its_other_family_needs_no_note(line: str) -> None:
    assert listen_nginx.dual_stack(one(http(line)), {})["notes"] == []


def test_deliberate_halves_are_reported() -> None:
    assert listen_nginx.dual_stack(one(http("listen 80;", "listen [::]:80;")), {})["notes"] == [
        f"{MAIN}:3: `listen 80;` was left alone: `listen [::]:80;` ({MAIN}:6) serves the other family",
        f"{MAIN}:6: `listen [::]:80;` was left alone: `listen 80;` ({MAIN}:3) serves the other family",
    ]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("allow 127.0.0.1;\ndeny all;", ["allow ::1;"]),
        ("  allow 127.0.0.0/8; # us\n  allow 127.0.0.2;\n  deny all;", ["  allow ::1;"]),
        ("allow 127.0.0.1;\nallow ::1;\ndeny all;", []),
        ("allow 127.0.0.1;", []),
        ("allow 192.0.2.1;\ndeny all;", []),
        ("allow 127.0.0.1;\ndeny 192.0.2.1;\nallow all;\ndeny all;", []),
    ],
)
def test_lists_that_know_the_loopback_of_ipv4_learn_that_of_ipv6(rules: str, expected: list[str]) -> None:
    text = http(f"listen 80;\nlisten [::]:80;\nlocation /status {{\n{rules}\n}}")
    assert added(text, changed(text)) == expected
    alone = text.replace("listen [::]:80;", "").replace("listen 80;", "listen 192.0.2.1:80;")
    assert changed(alone) == alone


def test_lua_has_braces_of_its_own() -> None:
    lua = "content_by_lua_block {\n a = \"}\" .. '{' -- }\n --[[ } ]] b = [==[ }} ]==] if c then d = {} end\n}"
    for empty in ('"" .. "}"', "'' .. '}'", "--\n'}'", "[[]] .. '}'"):
        assert sockets(http(f"content_by_lua_block {{ a = {empty} }}\nlisten 81;"))[0][2] == 81
    text = http(f"location / {{ {lua} }}\nlisten 80;")
    assert added(text, changed(text)) == ["listen [::]:80;"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http {\n server {", ":2:2: a block that is not closed"),
        ("http {}\n }", ":2:2: a `}` that closes nothing"),
        ("http { listen 80 }", ":1:18: an unexpected `}`"),
        ("a;\n;", ":2:1: an unexpected `;`"),
        ("{", ":1:1: an unexpected `{`"),
        ("\n  user", ":2:3: a statement without its `;`"),
        ('a "b;\n', ':1:3: a `"` that is not closed'),
        ("a 'b'c;", ":1:6: no white space behind a quoted word"),
        ("a \\", ":1:3: a `\\` at the end"),
        ("a_by_lua_block { {", ":1:16: a block that is not closed"),
        ("a_by_lua_block { [[ }", ":1:18: a long bracket that is not closed"),
        ("a {" * 50000, ":1:149998: a block that is not closed"),
    ],
)
def test_errors_have_their_place(text: str, said: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        listen_nginx.listeners(one(text))
    assert str(raised.value) == MAIN + said


def test_deep_blocks_are_no_trouble() -> None:
    assert sockets("a {" * 50000 + "}" * 50000 + http("listen 80;")) == [("tcp", "0.0.0.0", 80, None)]


def test_a_file_that_includes_itself_is_an_error() -> None:
    with pytest.raises(SaltInvocationError, match=f"{MAIN}:2:1: {MAIN} is included without an end"):
        listen_nginx.listeners({MAIN: {"text": "\ninclude *;", "includes": [[MAIN]]}})
    assert listen_nginx.listeners({}) == []


def test_about_is_plain_data() -> None:
    about = listen_nginx.about()
    assert about["files"] == [MAIN]
    assert about["options"] == {}
    assert about["protocols"] == {80: "http", 443: "https"}


def test_no_text_whatever_is_a_traceback() -> None:
    dice = random.Random(4)
    whole = http(
        'listen 80 default_server;\nlisten unix:/x; root "a b";',
        "listen [::]:81; allow 127.0.0.1; deny all;",
        "root /x;",
    )
    signs = [
        "\\",
        '"',
        "'",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\udcff",
        "{",
        "}",
        ";",
        "[",
        "::",
        "$",
        "#",
        "²",
        "٣",
        "listen ",
        "\x85",
        "9" * 5000,
    ]
    for _ in range(600):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        try:
            listen_nginx.includes(MAIN, text)
            listen_nginx.listeners(one(text))
            rest = iter(changed(text))
            assert all(sign in rest for sign in text)  # nothing was taken away
        except SaltInvocationError as error:
            assert MAIN in str(error) and "\n" not in str(error)
