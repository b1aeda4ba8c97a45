"""The one socket of vsftpd: seen, and made dual-stack. What the daemon does was measured with Debian's 3.0.3."""

from __future__ import annotations

import random
from typing import Any

import listen_vsftpd
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/vsftpd.conf"

# Debian's file, shortened; and as it was before 2016.
DEBIAN = """\
# Example config file /etc/vsftpd.conf
#
# Run standalone?  vsftpd can run either from an inetd or as a standalone
# daemon started from an initscript.
listen=NO
#
# This directive enables listening on IPv6 sockets.
listen_ipv6=YES
#
anonymous_enable=NO
#xferlog_file=/var/log/vsftpd.log
pam_service_name=vsftpd
"""
OLD = DEBIAN.replace("listen=NO", "listen=YES").replace("listen_ipv6=YES", "#listen_ipv6=YES")


def given(text: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}}


def seen(text: str) -> list[tuple]:
    return [
        (each["port"], each["address"], each["line"], each["note"]) for each in listen_vsftpd.listeners(given(text))
    ]


def converged(text: str) -> str:
    """The dual-stack text; asked a second time, nothing changes."""
    result: str = listen_vsftpd.dual_stack(given(text), {})["files"].get(MAIN, text)
    assert listen_vsftpd.dual_stack(given(result), {})["files"] == {}
    return result


def refusal(text: str, bindv6only: int = 0) -> str:
    with pytest.raises(SaltInvocationError) as raised:
        listen_vsftpd.dual_stack(given(text), {}, bindv6only)
    return str(raised.value)


def test_debians_file_is_dual_stack_as_long_as_the_sysctl_is_0() -> None:
    assert listen_vsftpd.listeners(given(DEBIAN)) == [
        {
            "port": 21,
            "transport": "tcp",
            "protocol": "ftp",
            "address": "::",
            "v6only": None,
            "file": MAIN,
            "line": 8,
            "note": "",
        }
    ]
    assert listen_vsftpd.dual_stack(given(DEBIAN), {}) == {"files": {}, "bindv6only": 0, "notes": [], "missing": []}
    assert "with net.ipv6.bindv6only=1 it would serve IPv6 only; run two instances" in refusal(DEBIAN, bindv6only=1)


def test_an_old_file_becomes_dual_stack_and_the_rest_stays() -> None:
    assert seen(OLD) == [(21, "0.0.0.0", 5, "")]
    assert converged(OLD) == OLD.replace("listen=YES\n#\n", "listen=NO\nlisten_ipv6=YES\n#\n")
    assert listen_vsftpd.dual_stack(given(OLD), {})["bindv6only"] == 0


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("listen=YES", "listen=NO\nlisten_ipv6=YES"),
        ("\tlisten=yes\n", "\tlisten=NO\nlisten_ipv6=YES\n"),
        ("listen=1\nlisten_ipv6=NO\n", "listen=NO\nlisten_ipv6=YES\n"),
        ("listen=TRUE\nlisten_ipv6=0\n", "listen=NO\nlisten_ipv6=YES\n"),
        ("listen=Yes\nlisten_ipv6=False\n", "listen=NO\nlisten_ipv6=YES\n"),
        ("listen_ipv6=false\n# x\nlisten=TRUE\n", "listen_ipv6=YES\n# x\nlisten=NO\n"),
        ("listen=NO\nlisten=YES\n", "listen=NO\nlisten=NO\nlisten_ipv6=YES\n"),
        ("listen_ipv6=YES\nlisten=YES\nlisten_ipv6=NO\n", "listen_ipv6=YES\nlisten=NO\nlisten_ipv6=YES\n"),
        ("listen=YES\nlisten_ipv6=YES\n", "listen=NO\nlisten_ipv6=YES\n"),
        ("listen_ipv6=YES\n", "listen_ipv6=YES\n"),
        ("listen=YES\nlisten_address=0.0.0.0 \n", "listen=NO\nlisten_ipv6=YES\nlisten_address=0.0.0.0 \n"),
        ("ftpd_banner=\udce4\r\n#\0\nlisten=YES\n", "ftpd_banner=\udce4\r\n#\0\nlisten=NO\nlisten_ipv6=YES\n"),
        ("listen=YES\nlisten_address=192.0.2.1\n", "listen=YES\nlisten_address=192.0.2.1\n"),
        ("listen_ipv6=YES\nlisten_address6=2001:db8::1\n", "listen_ipv6=YES\nlisten_address6=2001:db8::1\n"),
    ],
)
def test_only_the_switches_change(text: str, result: str) -> None:
    assert converged(text) == result


@pytest.mark.parametrize(
    ("text", "listeners"),
    [
        ("", []),
        ("listen=NO\n", []),
        ("LISTEN=YES\n", []),
        ("#listen=YES\n", []),
        ("listen=YES\n", [(21, "0.0.0.0", 1, "")]),
        ("listen=YES\nlisten_address=0\n", [(21, "0.0.0.0", 1, "")]),
        ("listen=YES\nlisten_address=127.0.0.1\n", [(21, "127.0.0.1", 1, "loopback: left alone")]),
        (
            "listen=YES\nlisten_address=ftp.example.org\n",
            [(21, "ftp.example.org", 1, "no address that vsftpd knows: left alone")],
        ),
        ("listen_ipv6=YES\nlisten_address6=\n", [(21, "::", 1, "")]),
        ("listen_ipv6=YES\nlisten_address=127.0.0.1\n", [(21, "::", 1, "")]),
        ("listen_ipv6=YES\nlisten_address6=0:0::0\n", [(21, "::", 1, "")]),
        ("listen_ipv6=YES\nlisten_address6=2001:DB8::1\n", [(21, "2001:db8::1", 1, "one address: left alone")]),
        ("listen_port=2121\nlisten_ipv6=YES\nlisten_port=2122\n", [(2122, "::", 2, "")]),
        ("listen_port=02121\nlisten_ipv6=YES\n", [(1105, "::", 2, "")]),
        ("listen_port=21x\nlisten_ipv6=YES\n", [(None, "::", 2, "listen_port is not a port")]),
        ("listen_port=08\nlisten_ipv6=YES\n", [(None, "::", 2, "listen_port is not a port")]),
        ("listen_port=ftp\nlisten_ipv6=YES\n", [(None, "::", 2, "listen_port is not a port")]),
        ("listen_port=65535\nlisten_ipv6=YES\n", [(65535, "::", 2, "")]),
        ("listen_port=65536\nlisten_ipv6=YES\n", [(None, "::", 2, "listen_port is not a port")]),
        ("listen_port=70000\nlisten_ipv6=YES\n", [(None, "::", 2, "listen_port is not a port")]),
        ("listen_port=0\nlisten_ipv6=YES\n", [(None, "::", 2, "listen_port is not a port")]),
        (
            "listen_ipv6=YES\nlisten=YES\n",
            [
                (21, "::", 1, "vsftpd does not start with both, listen and listen_ipv6"),
                (21, "0.0.0.0", 2, "vsftpd does not start with both, listen and listen_ipv6"),
            ],
        ),
    ],
)
def test_what_a_file_asks_for(text: str, listeners: list[tuple]) -> None:
    assert seen(text) == listeners


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listen = YES\n", f"{MAIN}:1:1: expected listen=VALUE, without white space around the name"),
        ("#\n  listen_ipv6\n", f"{MAIN}:2:3: expected listen_ipv6=VALUE, without white space around the name"),
        ("listen= YES\n", f"{MAIN}:1:8: listen is ' YES', which vsftpd reads neither as YES nor as NO"),
        ("listen=YES\r\n", f"{MAIN}:1:8: listen is 'YES\\r', which vsftpd reads neither as YES nor as NO"),
        ("listen=\n", f"{MAIN}:1:8: listen is '', which vsftpd reads neither as YES nor as NO"),
        ("listen=NO\n", f"{MAIN}: vsftpd does not listen itself, inetd or a socket unit does it"),
        ("", f"{MAIN}: vsftpd does not listen itself, inetd or a socket unit does it"),
        ("listen=YES\nlisten_address6=2001:db8::1\n", f"{MAIN}: vsftpd has one socket, and listen_address"),
        (
            "listen=YES\nlisten_ipv6=YES\nlisten_address=192.0.2.1\n",
            f"{MAIN}: vsftpd has one socket, and listen_address",
        ),
    ],
)
def test_what_vsftpd_refuses_and_what_it_cannot_do_is_reported(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_what_is_left_alone_is_reported_and_demands_nothing() -> None:
    plan = listen_vsftpd.dual_stack(given("listen=YES\nlisten_address=192.0.2.1\n"), {}, bindv6only=1)
    notes = [f"{MAIN}:1: `192.0.2.1`: one address: left alone"]
    assert plan == {"files": {}, "bindv6only": None, "notes": notes, "missing": []}
    # A published one lacks IPv6, and vsftpd has no second socket.
    for six in ([], ["2001:db8::1"]):
        site = {"names": ["ftp.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": six}}
        found = listen_vsftpd.dual_stack(given("listen=YES\nlisten_address=192.0.2.1\n"), {}, 1, site)
        (missing,) = found["missing"]
        assert (found["files"], missing["names"], missing["port"]) == ({}, ["ftp.example.org"], 21)
        assert missing["said"].startswith(
            f"{MAIN}:1: `192.0.2.1`: this address is published, and vsftpd has one socket: "
        )
        local = listen_vsftpd.dual_stack(given("listen=YES\nlisten_address=192.0.2.9\n"), {}, 1, site)
        assert (local["missing"], len(local["notes"])) == ([], 1)


def test_the_wrappers_judge_ipv6_too() -> None:
    notes = listen_vsftpd.dual_stack(given("listen=YES\ntcp_wrappers=YES\n"), {})["notes"]
    assert notes == [f"{MAIN}: tcp_wrappers=YES: hosts.allow and hosts.deny judge IPv6 clients, too"]


def test_the_plain_data_of_the_service() -> None:
    about = listen_vsftpd.about()
    assert about["files"] == [MAIN]
    assert about["options"] == {}
    assert set(about) >= {"files", "processes", "executables", "users", "units", "init", "options", "check", "words"}
    assert listen_vsftpd.includes(MAIN, DEBIAN) == []
    assert listen_vsftpd.dual_stack({}, {}) == {"files": {}, "bindv6only": None, "notes": [], "missing": []}


def test_no_text_whatever_is_a_traceback() -> None:
    chance = random.Random(4)
    pieces = [*OLD.splitlines(keepends=True), "listen", "_ipv6", "_port", "_address6", *"=01 \n\r\t\0\udcff#:Y", "YES"]
    for _ in range(500):
        text = "".join(chance.choices(pieces, k=20)) if chance.random() < 0.7 else OLD[: chance.randrange(len(OLD))]
        try:
            seen(text)
            converged(text)
        except SaltInvocationError as error:
            assert str(error).startswith(MAIN)
