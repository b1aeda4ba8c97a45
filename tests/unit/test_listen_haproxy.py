"""The listeners of HAProxy: seen, and made dual-stack. What the kernel then has was measured with 2.6."""

from __future__ import annotations

import random
from typing import Any

import listen_haproxy
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/haproxy/haproxy.cfg"

# Debian's file, shortened, and what people write below it.
WHOLE = """\
global
\tlog /dev/log\tlocal0
\tstats socket /run/haproxy/admin.sock mode 660 level admin
        ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets

defaults
\tlog\tglobal
\tmode\thttp
        timeout client  50000

# the public site
frontend www
    bind *:80   # bind *:81
    bind :443,*:8443 ssl crt /etc/ssl/private/www.pem alpn h2,http/1.1
    bind 127.0.0.1:8080
    acl office src 127.0.0.0/8 192.0.2.0/24
    default_backend app

listen stats
\tbind [::]:1936 name admin
\tstats enable

backend app
    server a 127.0.0.1:9000
"""
DUAL = (
    WHOLE.replace("bind *:80  ", "bind *:80,:::80 v6only  ")
    .replace("bind :443,*:8443 ssl", "bind :443,:::443,*:8443,:::8443 v6only ssl")
    .replace("bind [::]:1936 name", "bind [::]:1936,*:1936 v6only name")
)


NOTHING: dict[str, Any] = {"files": {}, "always": {}, "bindv6only": None, "notes": [], "missing": []}


def given(text: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}}


def seen(text: str) -> list[tuple]:
    keys = ("port", "transport", "address", "v6only", "note")
    return [tuple(each[key] for key in keys) for each in listen_haproxy.listeners(given(text))]


def converged(text: str) -> str:
    """The dual-stack text; asked a second time, and for the other value of the sysctl, nothing changes."""
    plan = listen_haproxy.dual_stack(given(text), {})
    assert plan["bindv6only"] is None
    result: str = plan["files"].get(MAIN, text)
    for bindv6only in (0, 1):
        assert listen_haproxy.dual_stack(given(result), {}, bindv6only)["files"] == {}
        assert listen_haproxy.dual_stack(given(text), {}, bindv6only) == plan
    return result


def test_a_whole_file_is_seen() -> None:
    found = listen_haproxy.listeners(given(WHOLE))
    assert [(each["port"], each["address"], each["v6only"], each["line"], each["note"]) for each in found] == [
        (80, "0.0.0.0", None, 13, ""),
        (443, "0.0.0.0", None, 14, ""),
        (8443, "0.0.0.0", None, 14, ""),
        (8080, "127.0.0.1", None, 15, "loopback: left alone"),
        (1936, "::", None, 20, ""),
    ]
    assert {each["file"] for each in found} == {MAIN}


def test_a_whole_file_becomes_dual_stack_and_the_rest_stays() -> None:
    assert converged(WHOLE) == DUAL
    notes = listen_haproxy.dual_stack(given(WHOLE), {})["notes"]
    assert f"{MAIN}:3: `/run/haproxy/admin.sock`: a Unix socket: left alone" in notes
    assert f"{MAIN}:15: `127.0.0.1:8080`: loopback: left alone" in notes
    assert f"{MAIN}:16: `src` knows this host as 127.0.0.0/8 only; over IPv6 it is ::1" in notes
    assert "::ffff:" not in "".join(notes)


def test_a_dual_socket_is_left_alone_and_what_it_shows_is_reported() -> None:
    note = (
        f"{MAIN}:2: v4v6 serves both families already: left alone; "
        "logs and X-Forwarded-For show its IPv4 clients as ::ffff:192.0.2.1"
    )
    plan = listen_haproxy.dual_stack(given("frontend a\n bind :::80 v4v6\n"), {})
    assert plan == {**NOTHING, "notes": [note]}
    assert note not in listen_haproxy.dual_stack(given("frontend a\n bind *:80,:::80 v4v6\n"), {})["notes"]


def test_line_ends_tabs_and_strange_bytes_stay() -> None:
    text = "frontend a # \udce4\r\n\tbind\t*:80\t# \udcff\r\n  mode\ttcp"
    assert converged(text) == "frontend a # \udce4\r\n\tbind\t*:80,:::80 v6only\t# \udcff\r\n  mode\ttcp"


@pytest.mark.parametrize(
    ("line", "listener"),
    [
        ("bind *:80", (80, "tcp", "0.0.0.0", None, "")),
        ("bind :80", (80, "tcp", "0.0.0.0", None, "")),
        ("bind 0:80", (80, "tcp", "0.0.0.0", None, "")),
        ("bind *:080", (80, "tcp", "0.0.0.0", None, "")),
        ("bind ipv4@:80", (80, "tcp", "0.0.0.0", None, "")),
        ("bind tcp@:80", (80, "tcp", "0.0.0.0", None, "")),
        ("bind *:80 v6only", (80, "tcp", "0.0.0.0", None, "")),
        ("bind :::80", (80, "tcp", "::", None, "")),
        ("bind [::]:80", (80, "tcp", "::", None, "")),
        ("bind 0::0:80", (80, "tcp", "::", None, "")),
        ("bind ipv6@:80", (80, "tcp", "::", None, "")),
        ("bind ipv6@*:80", (80, "tcp", "::", None, "")),
        ("bind stream+ipv6@:80 v4v6", (80, "tcp", "::", False, "")),
        ("bind :::80 v4v6", (80, "tcp", "::", False, "")),
        ("bind :::80 v6only", (80, "tcp", "::", True, "")),
        ("bind :::80 v4v6 v6only", (80, "tcp", "::", True, "")),
        ("bind :::80 name v6only", (80, "tcp", "::", None, "")),
        ("bind :::80 interface v6only", (80, "tcp", "::", None, "")),
        ("bind :::80 namespace v6only", (80, "tcp", "::", None, "")),
        ("bind :::80 user v6only group v4v6", (80, "tcp", "::", None, "")),
        ("bind :::80#v4v6", (80, "tcp", "::", None, "")),
        ('bind "*:80" v4v6', (80, "tcp", "0.0.0.0", None, "")),
        ("bind '*':80", (80, "tcp", "0.0.0.0", None, "")),
        (r"bind \x2a:80", (80, "tcp", "0.0.0.0", None, "")),
        ("bind *:80,", (80, "tcp", "0.0.0.0", None, "")),
        ("bind 192.0.2.1:80", (80, "tcp", "192.0.2.1", None, "one address: left alone")),
        ("bind [2001:DB8::1]:80", (80, "tcp", "2001:db8::1", None, "one address: left alone")),
        ("bind ::1:80", (80, "tcp", "::1", None, "loopback: left alone")),
        ("bind www.example.org:80", (80, "tcp", "www.example.org", None, "a host name: left alone")),
        ("bind quic4@:443 ssl", (443, "udp", "0.0.0.0", None, "QUIC: left alone")),
        ("dgram-bind :::514", (514, "udp", "::", None, "")),
        ("stats socket :9999 level admin", (9999, "tcp", "0.0.0.0", None, "the administrator's socket: left alone")),
        ("listen old *:80", (80, "tcp", "0.0.0.0", None, "")),
        ("bind fd@3", (None, "tcp", "0.0.0.0", None, "a socket that is inherited: cannot decide")),
        ("bind sockpair@3", (None, "tcp", "0.0.0.0", None, "a socket that is inherited: cannot decide")),
        ("bind rev@x/y", (None, "tcp", "0.0.0.0", None, "a socket that is inherited: cannot decide")),
        ("bind rhttp@x/y", (None, "tcp", "0.0.0.0", None, "a socket that is inherited: cannot decide")),
        ('bind "fd@${FD}"', (None, "tcp", "0.0.0.0", None, "a socket that is inherited: cannot decide")),
        ('bind "*:$PORT"', (None, "tcp", "0.0.0.0", None, "a variable: cannot decide")),
        ('bind *:"${PORT-80}"', (None, "tcp", "0.0.0.0", None, "a variable: cannot decide")),
        ('bind "${HOST-*}":80', (80, "tcp", "${HOST-*}", None, "a variable: cannot decide")),
        ("bind *:http", (None, "tcp", "0.0.0.0", None, "no port that HAProxy knows: left alone")),
        ("bind *:70000", (None, "tcp", "0.0.0.0", None, "no port that HAProxy knows: left alone")),
    ],
)
def test_every_form_of_an_address_is_known(line: str, listener: tuple) -> None:
    assert seen(f"frontend a\n {line}\n") == [listener]


@pytest.mark.parametrize(
    "line",
    [
        *("bind /run/x", "bind unix@x,abns@y", "bind uxst@x,uxdg@x,abnsz@x"),
        *("bind", "stats enable", "#bind *:80", "bindx *:80"),
    ],
)
def test_what_is_no_port_is_no_listener(line: str) -> None:
    assert seen(f"frontend a\n {line}\n") == []


def test_a_range_is_every_port_of_it() -> None:
    assert [each[0] for each in seen("frontend a\n bind *:80-82\n")] == [80, 81, 82]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("bind *:80", "bind *:80,:::80 v6only"),
        ("bind :80", "bind :80,:::80 v6only"),
        ("bind 0.0.0.0:080", "bind 0.0.0.0:080,:::080 v6only"),
        ("bind *:80 ssl crt x", "bind *:80,:::80 v6only ssl crt x"),
        ("bind ipv4@*:80", "bind ipv4@*:80,ipv6@:::80 v6only"),
        ("bind stream+ipv4@:80", "bind stream+ipv4@:80,stream+ipv6@:::80 v6only"),
        ("bind tcp@:80", "bind tcp@:80,tcp@:::80 v6only"),
        ("bind *:80 ssl  v4v6", "bind *:80,:::80 ssl  v6only"),
        ("bind *:80 v6only", "bind *:80,:::80 v6only"),
        ("bind *:80 v4v6 v6only", "bind *:80,:::80 v4v6 v6only"),
        ("bind *:80-85 name v4v6", "bind *:80-85,:::80-85 v6only name v4v6"),
        ("bind *:80,", "bind *:80,:::80, v6only"),
        ("dgram-bind *:514", "dgram-bind *:514,:::514 v6only"),
        # what would lose IPv4, or follows the sysctl
        ("bind :::80", "bind :::80,*:80 v6only"),
        ("bind [::]:80 ssl crt x", "bind [::]:80,*:80 v6only ssl crt x"),
        ("bind ipv6@:80", "bind ipv6@:80,ipv4@*:80 v6only"),
        ("bind :::80 ssl  v6only crt x", "bind :::80,*:80 ssl  v6only crt x"),
        ("bind :::80 v4v6 ssl  v6only crt x", "bind :::80,*:80 v4v6 ssl  v6only crt x"),
        # quotes and escapes
        ('bind "*:80"', 'bind "*:80,:::80" v6only'),
        ("bind '*':80", "bind '*':80,:::80 v6only"),
        ('bind *:"80" # x', 'bind *:"80,:::80" v6only # x'),
        (r"bind \x2a:80", r"bind \x2a:80,:::80 v6only"),
        ('bind i"pv4"@*:80', 'bind i"pv4"@*:80,ipv6@:::80 v6only'),
        # several addresses
        ('bind ":80",*:81', 'bind ":80,:::80",*:81,:::81 v6only'),
        (
            "bind *:80,127.0.0.1:81,/run/x,[2001:db8::1]:82",
            "bind *:80,:::80,127.0.0.1:81,/run/x,[2001:db8::1]:82 v6only",
        ),
        ("bind *:80,:::80,:::443", "bind *:80,:::80,:::443,*:443 v6only"),
        ("bind :::80,*:81 v4v6", "bind :::80,*:80,*:81,:::81 v6only"),
        ('bind *:80,"/run/$X","fd@$FD"', 'bind *:80,:::80,"/run/$X","fd@$FD" v6only'),
        ('bind *:80,"*:$PORT",fd@3', 'bind *:80,:::80,"*:$PORT",fd@3 v6only'),
        # dual already
        ("bind :::80 v4v6", "bind :::80 v4v6"),
        ("bind :::80,[::]:81 v4v6", "bind :::80,[::]:81 v4v6"),
        ("bind :::80 v4v6 id 5", "bind :::80 v4v6 id 5"),
        ("bind :::80,*:81 v4v6\n bind :::81", "bind :::80,*:81 v4v6\n bind :::81 v6only"),
        ("bind :::80 v4v6\n bind :::80", "bind :::80 v4v6\n bind :::80 v6only"),
        (
            "bind *:80\n bind :::80,:::81 v4v6\n bind :::81,:::82 v4v6",
            "bind *:80\n bind :::80,:::81 v6only\n bind :::81,:::82 v4v6",
        ),
        # both families are there
        ("bind *:80,:::80", "bind *:80,:::80 v6only"),
        ("bind *:80\n bind :::80", "bind *:80\n bind :::80 v6only"),
        ("bind :::80\nlisten b\n bind *:80", "bind :::80 v6only\nlisten b\n bind *:80"),
        ("bind *:80\n bind :::80 v4v6", "bind *:80\n bind :::80 v6only"),
        ("bind *:80\n bind :::80 v6only", "bind *:80\n bind :::80 v6only"),
        ("bind *:80\n bind :::80 v4v6 v6only", "bind *:80\n bind :::80 v4v6 v6only"),
        ("bind *:80-82\n bind :::80-82", "bind *:80-82\n bind :::80-82 v6only"),
        # but not of the same socket
        ("bind *:80\n dgram-bind :::80", "bind *:80,:::80 v6only\n dgram-bind :::80,*:80 v6only"),
        ("bind *:80 interface a\n bind :::80", "bind *:80,:::80 v6only interface a\n bind :::80,*:80 v6only"),
        ("bind *:80 id 1\n bind :::80 id 2", "bind *:80 id 1\n bind :::80 v6only id 2"),
        ("bind *:80\n disabled", "bind *:80\n disabled"),
        # left alone
        ('bind "*:$PORT"', 'bind "*:$PORT"'),
        ('bind "${A-*:80,*:81,*:82}"', 'bind "${A-*:80,*:81,*:82}"'),
        ("bind quic4@:443", "bind quic4@:443"),
        ("bind ::ffff:0.0.0.0:80", "bind ::ffff:0.0.0.0:80"),
    ],
)
def test_only_the_words_that_must_change(text: str, result: str) -> None:
    assert converged(f"frontend a\n {text}\n") == f"frontend a\n {result}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bind *:80-85\n bind :::80", f"{MAIN}:2:7: another line has some of the ports of `*:80-85`"),
        ("bind :::80-85 v4v6\n bind *:80", f"{MAIN}:2:7: another line has some of the ports of `:::80-85`"),
        ("listen b *:80", f"{MAIN}:2: an address on a `listen` line has no place for v6only"),
        (r"bind *:8\x30", f"{MAIN}:2:7: write the port of `*:80` without escapes"),
        ("bind *:80 id 5", f"{MAIN}:2: `id` allows one address only"),
        ("bind *:80,::ffff:192.0.2.1:81", f"{MAIN}:2:12: the line needs v6only, which could take IPv4 from `::ffff:"),
        ("bind *:80,:::http", f"{MAIN}:2:12: the line needs v6only, which could take IPv4 from `:::http`"),
        ("bind *:80,quic6@:443", f"{MAIN}:2:12: the line needs v6only, which could take IPv4 from `quic6@:443`"),
        ('bind *:80,"$ADDRESS"', f"{MAIN}:2:13: the line needs v6only, which could take IPv4 from `$ADDRESS`"),
        (
            'bind *:80,"${HOST}:81" v4v6',
            f"{MAIN}:2:13: the line needs v6only, which could take IPv4 from `${{HOST}}:81`",
        ),
    ],
)
def test_a_line_that_cannot_say_it_is_missing_and_harms_no_other(text: str, message: str) -> None:
    plan = listen_haproxy.dual_stack(given(f"frontend a\n {text}\nfrontend b\n bind *:90\n"), {})
    (missing,) = plan["missing"]
    assert missing["said"].startswith(message)
    assert (missing["names"], missing["port"]) == ([], 80)
    assert plan["files"][MAIN].startswith(f"frontend a\n {text}".split(" id ")[0])
    assert plan["files"][MAIN].endswith("\nfrontend b\n bind *:90,:::90 v6only\n")


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_quote_that_is_not_closed_has_a_place(quote: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        listen_haproxy.listeners(given(f"frontend a\n bind *:80{quote}\n"))
    assert str(raised.value) == f"{MAIN}:2:11: a quote {quote} that is not closed"
    assert seen(f"frontend a\n http-request set-header x it{quote}s\n") == []


def test_disabled_sections_do_not_listen() -> None:
    first = "defaults\n disabled\nfrontend a\n bind *:80\nfrontend b\n enabled\n bind *:81\n"
    notes = [each[4] for each in seen(f"{first}defaults\nlisten c\n bind *:82\n")]
    assert notes == ["a disabled section: nothing listens", "", ""]


def test_conditions_are_taken_as_true() -> None:
    text = "frontend a\n.if defined(X)\n bind *:80\n.endif\n bind *:81\n"
    assert [each[4] for each in seen(text)] == ["inside .if: taken as in force", ""]
    assert converged(text) == text.replace("*:80", "*:80,:::80 v6only").replace("*:81", "*:81,:::81 v6only")


def test_conditions_inside_of_conditions_end_one_by_one() -> None:
    text = "frontend a\n.if defined(X)\n.if defined(Y)\n.endif\n bind *:80\n.endif\n bind *:81\n"
    assert [each[4] for each in seen(text)] == ["inside .if: taken as in force", ""]


def test_a_condition_on_clients_counts_unless_it_is_a_comment_or_knows_ipv6() -> None:
    def noted(line: str) -> int:
        return len(listen_haproxy.dual_stack(given(f"frontend a\n{line}\n"), {})["notes"])

    assert [noted(" acl a src 127.0.0.1"), noted("\tuse_backend b if { src 127.0.0.0/8 }")] == [1, 1]
    for line in (" # acl a src 127.0.0.1", "#acl a src 127.0.0.1", " acl a src 127.0.0.1 ::1", " acl a src ::2"):
        assert noted(line) == 0


def test_the_plain_data_of_the_service() -> None:
    about = listen_haproxy.about()
    assert about["files"] == [MAIN]
    assert about["options"] == {}
    assert set(about) >= {"files", "processes", "executables", "users", "units", "init", "options", "check", "words"}
    assert listen_haproxy.includes(MAIN, WHOLE) == []
    assert listen_haproxy.dual_stack({}, {}) == NOTHING


def test_no_text_whatever_is_a_traceback() -> None:
    chance = random.Random(4)
    pieces = [
        *WHOLE.splitlines(keepends=True),
        *"*:80 :::80 bind v4v6 v6only ' \" \\ $ , @ [ ] # \n \r \t \0 \udcff".split(" "),
    ]
    for _ in range(300):
        text = "".join(chance.choices(pieces, k=30)) if chance.random() < 0.5 else WHOLE[: chance.randrange(len(WHOLE))]
        try:
            converged(text)
        except SaltInvocationError as error:
            assert str(error).startswith(f"{MAIN}:")


def test_escapes_are_read_as_haproxy_reads_them() -> None:
    text = r"bind a\ \#\\\'\"\$\n\r\t\z:80"
    (found,) = listen_haproxy.listeners(given(f"frontend a\n {text}\n"))
    assert (found["address"], found["port"]) == ("a #\\'\"$\n\r\t\\z", 80)
