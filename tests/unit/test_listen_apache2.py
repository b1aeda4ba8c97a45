"""Apache's configuration: where it listens, and how it comes to serve both families."""

from __future__ import annotations

import random
from typing import Any

import listen_apache2
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/apache2/apache2.conf"
PORTS = "/etc/apache2/ports.conf"

# Debian's own, without its comments.
DEBIAN_MAIN = """\
DefaultRuntimeDir ${APACHE_RUN_DIR}
IncludeOptional mods-enabled/*.load
IncludeOptional mods-enabled/*.conf
# Include list of ports to listen on
Include ports.conf
<Directory />
\tOptions FollowSymLinks
\tRequire all denied
</Directory>
<FilesMatch "^\\.ht">
\tRequire all denied
</FilesMatch>
LogFormat "%h %l %u %t \\"%r\\" %>s %O" common
IncludeOptional conf-enabled/*.conf
IncludeOptional sites-enabled/*.conf
"""
DEBIAN_PORTS = """\
# If you just change the port or add more ports here, you will likely also
# have to change the VirtualHost statement in
# /etc/apache2/sites-enabled/000-default.conf

Listen 80

<IfModule ssl_module>
\tListen 443
</IfModule>

<IfModule mod_gnutls.c>
\tListen 443
</IfModule>
"""


def one(text: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}}


def debian(ports: str) -> dict[str, dict[str, Any]]:
    matched: list[list[str]] = [[], [], [PORTS], [], [], []]
    return {MAIN: {"text": DEBIAN_MAIN, "includes": matched}, PORTS: {"text": ports, "includes": []}}


def changed(text: str) -> str:
    """The text for both families; a second run must change nothing."""
    result: str = listen_apache2.dual_stack(one(text), {})["files"].get(MAIN, text)
    assert listen_apache2.dual_stack(one(result), {})["files"] == {}
    return result


def notes(text: str) -> str:
    return "\n".join(listen_apache2.dual_stack(one(text), {})["notes"])


def sockets(text: str) -> list[tuple[Any, ...]]:
    return [(each["address"], each["port"], each["v6only"]) for each in listen_apache2.listeners(one(text))]


def test_the_includes_of_debian() -> None:
    assert listen_apache2.includes(MAIN, DEBIAN_MAIN) == [
        "/etc/apache2/mods-enabled/*.load",
        "/etc/apache2/mods-enabled/*.conf",
        "/etc/apache2/ports.conf",
        "/etc/apache2/ports.conf/*",
        "/etc/apache2/conf-enabled/*.conf",
        "/etc/apache2/sites-enabled/*.conf",
    ]


def test_a_folder_means_what_is_in_it() -> None:
    text = 'include "/srv/a b/"\nInclude conf.d\n#Include no\nIncludeOptional\n'
    assert listen_apache2.includes(MAIN, text) == ["/srv/a b/*", "/etc/apache2/conf.d", "/etc/apache2/conf.d/*"]


def test_debian_serves_both_families_as_it_is() -> None:
    assert [
        (each["port"], each["address"], each["v6only"], each["file"], each["line"]) for each in debian_listeners()
    ] == [
        (80, "::", False, PORTS, 5),
        (443, "::", False, PORTS, 8),
        (443, "::", False, PORTS, 12),
    ]
    assert [each["note"] for each in debian_listeners()] == [
        "",
        "inside `<IfModule ssl_module>`: taken as there",
        "inside `<IfModule mod_gnutls.c>`: taken as there",
    ]
    result = listen_apache2.dual_stack(debian(DEBIAN_PORTS), {})
    assert (result["files"], result["bindv6only"]) == ({}, None)


def test_all_that_is_said_of_a_listener() -> None:
    (found,) = listen_apache2.listeners(one("\nListen 0.0.0.0:8080"))
    assert found == {
        "port": 8080,
        "transport": "tcp",
        "address": "0.0.0.0",
        "v6only": None,
        "file": MAIN,
        "line": 2,
        "note": "",
        "protocol": "http",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Listen 8080\n<VirtualHost *:8080>\n</VirtualHost>", "http"),
        ("Listen 8443\n<VirtualHost *:8443>\nSSLEngine on\n</VirtualHost>", "https"),
        ("Listen 8443\n<VirtualHost *:8443>\n<IfModule x>\nsslengine ON\n</IfModule>\n</VirtualHost>", "https"),
        ("Listen 8443\n<VirtualHost 192.0.2.1:8443>\nGnuTLSEnable on\n</VirtualHost>", "https"),
        ("Listen 80 http\n<VirtualHost *:80>\nSSLEngine on\n</VirtualHost>", "https"),
        # Where nobody turns it on or off, it is what the listener is for.
        ("Listen 443\n<VirtualHost *:443>\n</VirtualHost>", "https"),
        ("Listen 443 http\n<VirtualHost *:443>\n</VirtualHost>", "http"),
        ("Listen 8443 https\n<VirtualHost *:8443>\n</VirtualHost>", "https"),
        ("Listen 8443 https\n<VirtualHost *:8443>\nSSLEngine off\n</VirtualHost>", "http"),
        ("SSLEngine on\nListen 8443\n<VirtualHost *:8443>\n</VirtualHost>", "https"),
        ("SSLEngine on\nListen 8443", "https"),
        ("SSLEngine on\nListen 80\n<VirtualHost *:80>\nSSLEngine off\n</VirtualHost>", "http"),
        # The first one decides, among those that others can reach, and one on the port before those on all ports.
        (
            "Listen 8080\n<VirtualHost *:8080>\n</VirtualHost>\n<VirtualHost *:8080>\nSSLEngine on\n</VirtualHost>",
            "http",
        ),
        (
            "Listen 8443\n<VirtualHost *:8443>\nSSLEngine on\n</VirtualHost>\n<VirtualHost *:8443>\n</VirtualHost>",
            "https",
        ),
        (
            "Listen 8443\n<VirtualHost [::1]:8443>\n</VirtualHost>\n<VirtualHost *:8443>\nSSLEngine on\n</VirtualHost>",
            "https",
        ),
        ("Listen 8443\n<VirtualHost *>\n</VirtualHost>\n<VirtualHost *:8443>\nSSLEngine on\n</VirtualHost>", "https"),
        ("Listen 8443\n<VirtualHost *>\nSSLEngine on\n</VirtualHost>\n<VirtualHost *:80>\n</VirtualHost>", "https"),
        ("Listen 8080\n<Macro x>\nSSLEngine on\n</Macro>\n<VirtualHost *:443>\nSSLEngine on\n</VirtualHost>", "http"),
    ],
)
def test_whether_tls_is_spoken_on_a_port(text: str, expected: str) -> None:
    (found,) = listen_apache2.listeners(one(text + "\n"))
    assert found["protocol"] == expected


def test_a_listener_without_a_port_has_no_protocol() -> None:
    assert "protocol" not in listen_apache2.listeners(one("Listen ${PORT}\n"))[0]


def debian_listeners() -> list[dict[str, Any]]:
    return listen_apache2.listeners(debian(DEBIAN_PORTS))


def test_an_included_file_is_changed_and_nothing_else_in_it() -> None:
    ports = DEBIAN_PORTS.replace("Listen ", "Listen 0.0.0.0:").replace("\n", "\r\n")
    assert listen_apache2.dual_stack(debian(ports), {}, 1)["files"] == {PORTS: DEBIAN_PORTS.replace("\n", "\r\n")}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Listen 0.0.0.0:80", "Listen 80"),
        ("  listen\t0.0.0.0:8443   https\n", "  listen\t8443   https\n"),
        ('Listen "0.0.0.0:80"\n', 'Listen "80"\n'),
        ("Listen \\\n  0.0.0.0:80 \\\n  http\n", "Listen \\\n  80 \\\n  http\n"),
        *(
            (f"<{each} x>\nListen 0.0.0.0:80\n</{each}>\n", f"<{each} x>\nListen 80\n</{each}>\n")
            for each in ("IfModule", "IfVersion", "IfFile", "IfDirective", "IfSection")
        ),
        ("<IfDefine A>\nListen 0.0.0.0:80\n</IfDefine>\n", "<IfDefine A>\nListen 80\n</IfDefine>\n"),
        ("Listen 0.0.0.0:80\nListen 0.0.0.0:81\n", "Listen 80\nListen 81\n"),
        ("# \udcff\nListen 0.0.0.0:80\n", "# \udcff\nListen 80\n"),
    ],
)
def test_ipv4_alone_becomes_the_port_alone(before: str, after: str) -> None:
    assert changed(before) == after
    assert {(address, v6only) for address, _, v6only in sockets(after)} == {("::", False)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Listen 80",
        "Listen *:80\n",
        "Listen :::80\n",
        "Listen [::]:80\n",
        "Listen 0.0.0.0:80\nListen [::]:80\n",
        "Listen [::]:80\nListen 81\nListen 0.0.0.0:80\n",
        "Listen 80\nListen 0.0.0.0:80\n",
        "Listen 127.0.0.1:80\nListen 192.0.2.1:81\n",
        "Listen 0.0.0.0:80\nListen [2001:db8::1]:80\n",
        "Listen [2001:db8::1]:80\nListen 80\n",
        "Listen ${PORT}\nListen 0.0.0.0:${PORT}\n",
        "<Macro Site $port>\nListen 0.0.0.0:80\n</Macro>\n",
        "<VirtualHost *:80>\nListen 0.0.0.0:80\n</VirtualHost>\n",
        "# a comment \\\nListen 0.0.0.0:80\n",
        "<Perl>\nif (1 < 2) { \n<STDIN>\nListen 0.0.0.0:80\n</Perl>\n",
        "Listen 0.0.\\\n0.0:80\n",
    ],
)
def test_what_is_right_or_cannot_be_decided_stays(text: str) -> None:
    assert changed(text) == text


def test_what_the_kernel_will_see() -> None:
    assert sockets("Listen 1\nListen 65535") == [("::", 1, False), ("::", 65535, False)]
    text = "Listen 0.0.0.0:80\nListen [::]:80\nListen [::1]:81\nListen 192.0.2.1:82\nListen ${A}\nListen a.example:83"
    assert sockets(text) == [
        ("0.0.0.0", 80, None),
        ("::", 80, False),
        ("::1", 81, True),
        ("192.0.2.1", 82, None),
        ("${A}", None, None),
        ("a.example", 83, None),
    ]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("Listen 127.0.0.1:80", f"{MAIN}:1: `Listen 127.0.0.1:80`: loopback: left alone"),
        ("Listen \\\n 80\nListen 127.0.0.1:81", f"{MAIN}:3: `Listen 127.0.0.1:81`: loopback: left alone"),
        ("\nListen 192.0.2.1:80", f"{MAIN}:2: `Listen 192.0.2.1:80`: a specific address: left alone"),
        ("Listen example.org:80", f"{MAIN}:1: `Listen example.org:80`: a host name: left alone"),
        ("Listen ${PORT}", f"{MAIN}:1: `Listen ${{PORT}}`: a variable: cannot decide"),
        ("Listen 65536", f"{MAIN}:1: `Listen 65536`: no address and port: cannot decide"),
        ("Listen 0", f"{MAIN}:1: `Listen 0`: no address and port: cannot decide"),
        ("Listen 70000", f"{MAIN}:1: `Listen 70000`: no address and port: cannot decide"),
        ("<Macro A>\nListen 80\n</Macro>", f"{MAIN}:2: `Listen 80`: inside a macro: cannot decide"),
        (
            "Listen 0.0.0.0:80\n<IfModule a>\nListen [::]:80\n</IfModule>",
            f"{MAIN}:1: `Listen 0.0.0.0:80` was left alone: `Listen [::]:80` ({MAIN}:3) has the port in IPv6",
        ),
        ("Listen 0.0.0.0:80\nListen [::1]:80", f"`Listen [::1]:80` ({MAIN}:2) has the port in IPv6"),
        (
            "Listen 80\n<VirtualHost 192.0.2.1:80>\n</VirtualHost>",
            f"{MAIN}:2: `<VirtualHost 192.0.2.1:80>` knows IPv4 only",
        ),
    ],
)
def test_what_is_left_alone_is_reported(text: str, note: str) -> None:
    assert note in notes(text)


def test_access_lists_learn_ipv6_as_soon_as_there_is_some() -> None:
    text = "Listen {}\n<Location /status>\nRequire ip 127.0.0.1{}\n</Location>\n"
    both = text.format("80", " ::1")
    assert changed(text.format("0.0.0.0:80", "")) == changed(text.format("80", "")) == both
    assert changed(text.format("[::]:80", "")) == text.format("[::]:80", " ::1")
    for alone in ("127.0.0.1:80", "192.0.2.1:80"):
        assert changed(text.format(alone, "")) == text.format(alone, "")


def test_there_is_one_note_for_each_address() -> None:
    for address, note in (
        ("127.0.0.1", "loopback: left alone"),
        ("192.0.2.1", "a specific address: left alone"),
        ("[2001:db8::1]", "a specific address: left alone"),
    ):
        assert notes(f"Listen {address}:80") == f"{MAIN}:1: `Listen {address}:80`: {note}"
    assert notes("Listen 80\nListen [::]:81\nListen 0.0.0.0:82") == ""


def test_hosts_that_answer_over_ipv6_are_not_told() -> None:
    hosts = ("*:80", "_default_:80", "0.0.0.0:80", "192.0.2.1:80 [2001:db8::1]:80", "www.example.org")
    assert notes("Listen 80\n" + "".join(f"<VirtualHost {host}>\n</VirtualHost>\n" for host in hosts)) == ""


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("Listen 80\nListen [::]:80", ("Listen 80", 1), ("Listen [::]:80", 2)),  # measured: nothing listens
        ("Listen [::]:80\nListen 80", ("Listen [::]:80", 1), ("Listen 80", 2)),
        ("Listen 80\nListen 80", ("Listen 80", 1), ("Listen 80", 2)),
        ("Listen 0.0.0.0:80\nListen 81\nListen [::]:80", ("Listen 0.0.0.0:80", 1), ("Listen [::]:80", 3)),
        ("Listen 0.0.0.0:80\nListen 80", ("Listen 0.0.0.0:80", 1), ("Listen 80", 2)),
        ("Listen 80\nListen 192.0.2.1:80", ("Listen 80", 1), ("Listen 192.0.2.1:80", 2)),
        ("Listen 127.0.0.1:80\nListen 0.0.0.0:80", ("Listen 127.0.0.1:80", 1), ("Listen 0.0.0.0:80", 2)),
        ("<IfModule a>\nListen 80\n</IfModule>\nListen [::]:80", ("Listen 80", 2), ("Listen [::]:80", 4)),
    ],
)
def test_pairs_that_kill_the_daemon_are_refused(text: str, first: tuple[str, int], second: tuple[str, int]) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        listen_apache2.dual_stack(one(text), {})
    assert str(raised.value) == (
        f"apache2 would not start: `{second[0]}` ({MAIN}:{second[1]}) needs the port that "
        f"`{first[0]}` ({MAIN}:{first[1]}) has taken; remove one of the two"
    )


def test_alternatives_are_no_pair() -> None:
    text = "<IfModule a>\nListen 0.0.0.0:80\n</IfModule>\n<IfModule !a>\nListen 0.0.0.0:80\n</IfModule>\n"
    assert changed(text) == text.replace("0.0.0.0:", "")


def test_a_condition_around_an_include_holds_inside() -> None:
    text = "<IfModule a>\nInclude ports.conf\n</IfModule>\n<IfModule b>\nListen 80\n</IfModule>\n"
    files: dict[str, Any] = {
        MAIN: {"text": text, "includes": [[PORTS], []]},
        PORTS: {"text": "Listen 80\n", "includes": []},
    }
    assert listen_apache2.dual_stack(files, {})["files"] == {}
    assert listen_apache2.listeners(files)[0]["note"] == "inside `<IfModule a>`: taken as there"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Require ip 127.0.0.1", "Require ip 127.0.0.1 ::1"),
        ("require IP 192.0.2.0/24 127.0.0.0/8 192.0.2.9", "require IP 192.0.2.0/24 127.0.0.0/8 ::1 192.0.2.9"),
        ("Require not ip 127.0.0.1", "Require not ip 127.0.0.1 ::1"),
        ("Allow from 127.", "Allow from 127. ::1"),
        ("Allow from 127.0.0.0/255.0.0.0 \\\n 192.0.2.1", "Allow from 127.0.0.0/255.0.0.0 ::1 \\\n 192.0.2.1"),
        ("Allow from 127.0.0.1\n Allow from ::1", None),
        ("Require ip 127.0.0.1 ::1/128", None),
        ("Require local", None),
        ("Allow from all\nAllow from 127.0.0.1", None),
        ("Require ip 192.0.2.1", None),
    ],
)
def test_lists_that_know_the_loopback_of_ipv4_learn_that_of_ipv6(before: str, after: str | None) -> None:
    frame = "Listen 80\n<Location /status>\n{}\n</Location>\n<Location /other>\nRequire ip ::1\n</Location>\n"
    assert changed(frame.format(before)) == frame.format(after or before)
    alone = frame.format(before).replace("Listen 80", "Listen 192.0.2.1:80")
    assert changed(alone) == alone


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Listen 80\n <IfModule a>\n", f"{MAIN}:2:2: a `<ifmodule>` that is not closed"),
        ("</IfModule>", f"{MAIN}:1:1: a `</IfModule>` that closes nothing"),
        ("<Directory />\n</IfModule>", f"{MAIN}:2:1: a `</IfModule>` that closes nothing"),
        ("<If a>\n" * 200, f"{MAIN}:129:1: more than 128 sections inside each other"),
    ],
)
def test_sections_that_do_not_match_are_errors_with_their_place(text: str, said: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        listen_apache2.listeners(one(text))
    assert str(raised.value) == said


def test_a_file_that_includes_itself_is_an_error() -> None:
    with pytest.raises(SaltInvocationError, match=f"^{MAIN}:2:1: {MAIN} is included without an end"):
        listen_apache2.listeners({MAIN: {"text": "\nInclude *", "includes": [[MAIN]]}})


def test_files_that_are_not_there_are_skipped() -> None:
    assert listen_apache2.listeners({}) == []
    files = {MAIN: {"text": "Include a\nListen 80", "includes": [["/etc/apache2/a"]]}}
    assert [each["port"] for each in listen_apache2.listeners(files)] == [80]


def test_about_is_plain_data() -> None:
    about = listen_apache2.about()
    assert about["files"] == [MAIN]
    assert about["options"] == {}
    assert about["protocols"] == {80: "http", 443: "https"}


def test_no_text_whatever_is_a_traceback() -> None:
    dice = random.Random(4)
    whole = DEBIAN_PORTS + "Listen 0.0.0.0:81 \\\n http\n<Location a>\nRequire ip 127.0.0.1\n</Location>\nInclude x\n"
    signs = [
        "\\",
        '"',
        "'",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\udcff",
        "<",
        ">",
        "</",
        "[",
        "::",
        "²",
        "٣",
        "Listen ",
        "\x85",
        "9" * 5000,
    ]
    for _ in range(600):
        text = whole[: dice.randrange(len(whole) + 1)]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        try:
            listen_apache2.includes(MAIN, text)
            listen_apache2.listeners(one(text))
            changed(text)
        except SaltInvocationError as error:
            assert MAIN in str(error) and "\n" not in str(error)
