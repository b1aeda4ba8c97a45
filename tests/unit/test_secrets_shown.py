"""What is shown of a service's configuration: what is about listening, and nothing else."""

from __future__ import annotations

import _dualstack_secrets_shown as secrets_shown
import pytest

from ..growth import growth

HAPROXY = """\
listen stats
    bind 0.0.0.0:1936
    stats auth admin:s3cret
    http-request set-header Authorization "Bearer s3cret"
"""
EJABBERD = ["ejabberd_c2s"]


def shown(text: str, words: list[str] | None = None) -> str:
    """What is shown of a text, by default with no words of a plug-in."""
    return secrets_shown.shown(text, [] if words is None else words)


def test_a_diff_has_nothing_but_what_changes() -> None:
    wanted = HAPROXY.replace("0.0.0.0:1936", "0.0.0.0:1936,:::1936 v6only")
    assert secrets_shown.diff("/etc/x", HAPROXY, wanted, []).splitlines() == [
        "--- /etc/x",
        "+++ /etc/x",
        "@@ -2 +2 @@",
        "-    bind 0.0.0.0:1936",
        "+    bind 0.0.0.0:1936,:::1936 v6only",
    ]
    assert secrets_shown.diff("/etc/x", HAPROXY, HAPROXY, []) == ""


@pytest.mark.parametrize(
    "text",
    [
        "listen 80 default ssl ipv6only=on;",
        "bind ipv4@:80,ipv6@:::80 v6only",
        "listen = *, ::",
        "#listen = *, ::",
        "Listen [2001:db8::1]:443 https",
        "ports = { 80, 443 }",
        "{ 127.0.0.0/8 [::1]/128 ::1/128 !192.0.2.1 *:80 }",
        "interfaces = { '*', '::' }",
        '["socket"] == "[::]:80"',
        'port: 80\nip: "::"\nmodule: ssl',
        "",
        "\n\n",
    ],
)
def test_what_is_about_listening_is_shown(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set $token s3cret; listen 80;", "***; listen 80;"),
        ('"password": "listen",', '"password": ***,'),
        ("{api_key, 's3cret'}, {port, 80}", "{***, ***}, {port, 80}"),
        ("stats auth admin:80 listen", "***"),
        ('{odbc_server, {mysql, "192.0.2.1", 3306, "12345"}}, {port, 80}', "{***, {***, ***, ***, ***}}, {port, 80}"),
        ("password:\n  80\nport: 80", "password:\n  ***\nport: 80"),
        ("password = \\\n  listen\nlisten", "password = \\\n  ***\nlisten"),
        ("user:80 a@80 x/80 80", "***"),
        ("name 123456 123456", "***"),
        ("port 99999", "port ***"),
        ("port 65536", "port ***"),
        ("listen 192.0.2.1:65536", "listen ***"),
        ("listen 80 'it is s3cret", "listen 80 ***"),
        ('listen "s3cret \\" 80" 80', "listen ***"),
        ("# don't listen", "# ***"),
        ("s3cret", "***"),
        ("dead:beef 1.2.3 [de:ad]", "***"),
    ],
)
def test_all_else_is_hidden(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_a_plug_in_has_words_of_its_own() -> None:
    line = '{{5222, "::"}, ejabberd_c2s, [{certfile, "/etc/x.pem"}, starttls]}'
    assert shown(line, EJABBERD) == '{{5222, "::"}, ejabberd_c2s, [{***, ***}, starttls]}'
    assert shown("{5222, ejabberd_c2s}", EJABBERD) == "{5222, ejabberd_c2s}"
    assert shown("{5222, s3cret}", EJABBERD) == "{***, ***}"


def test_without_such_words_the_name_at_the_beginning_of_a_line_is_shown() -> None:
    text = "greeting s3cret\nmyport 2525\nlisten 0.0.0.0 2525\ns3cret x\nhunter\nx = \\\n hunter two\n"
    expected = "greeting ***\nmyport 2525\nlisten 0.0.0.0 2525\n***\n***\nx = \\\n ***\n"
    assert secrets_shown.shown(text, None) == expected
    assert shown("greeting s3cret") == "***"


def test_lines_that_differ_in_what_is_hidden_are_shown() -> None:
    assert secrets_shown.diff("/x", "a s3cret\n", "a s4cret\n").splitlines()[2:] == ["@@ -1 +1 @@", "-a ***", "+a ***"]
    assert secrets_shown.diff("/x", "a b\n", "a b\nlisten ::\n").splitlines()[2:] == ["@@ -1,0 +2 @@", "+listen ::"]


def test_what_hides_a_line_may_stand_above_it() -> None:
    assert secrets_shown.diff("/x", "password:\n  80\n", "password:\n  81\n", []).splitlines()[3:] == [
        "-  ***",
        "+  ***",
    ]


@pytest.mark.parametrize("part", ["1 ", "{1,", '"a" ', "password\n", "a b\n", "[::", "x"])
def test_a_long_text_is_no_matter(part: str) -> None:
    def work(size: int) -> str:
        return shown(part * size) + secrets_shown.shown(part * size)

    assert work(20000)
    assert growth(work, 1000) < 10


def test_a_text_has_as_many_lines_as_before() -> None:
    text = "a\x0bb\x0cc\u2028d\r\n\x85e\n\n'x\n\""
    assert shown(text).count("\n") == text.count("\n")
