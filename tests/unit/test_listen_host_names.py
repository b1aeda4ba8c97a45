"""Listeners by host name: whether they have IPv6 is not known from the files."""

from __future__ import annotations

import importlib
from typing import Any

import _dualstack_service_addresses as service_addresses
import pytest

POSTFIX, MASTER = "/etc/postfix/main.cf", "/etc/postfix/master.cf"
DOVECOT, SSH, PROSODY = "/etc/dovecot/dovecot.conf", "/etc/ssh/sshd_config", "/etc/prosody/prosody.cfg.lua"
SITE = {"names": ["server.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": ["2001:db8::1"]}}
ONE_ENTRY = {MASTER: "smtp inet n - y - - smtpd\n"}
TWO_ENTRIES = {MASTER: "smtp inet n - y - - smtpd\n587 inet n - y - - smtpd\n"}
OF_A_NAME = {MASTER: "server.example.org:smtp inet n - y - - smtpd\n"}


def plan(name: str, texts: dict[str, str], site: dict[str, Any] | None = SITE) -> dict[str, Any]:
    files = {path: {"text": text, "includes": []} for path, text in texts.items()}
    result: dict[str, Any] = importlib.import_module(f"listen_{name}").dual_stack(files, {}, 0, site)
    return result


@pytest.mark.parametrize(
    ("name", "texts", "said", "port"),
    [
        (
            "postfix",
            {POSTFIX: "inet_interfaces = server.example.org\n", **ONE_ENTRY},
            f"{POSTFIX}:1: inet_interfaces: `server.example.org`",
            25,
        ),
        (
            "postfix",
            {POSTFIX: "inet_interfaces = $myhostname, localhost\n", **TWO_ENTRIES},
            f"{POSTFIX}:1: inet_interfaces: `$myhostname`",
            None,
        ),
        (
            "postfix",
            {POSTFIX: "myhostname = mail.example.org\ninet_interfaces = $myhostname, localhost\n", **ONE_ENTRY},
            f"{POSTFIX}:2: inet_interfaces: `mail.example.org`",
            25,
        ),
        (
            "postfix",
            {POSTFIX: "", **OF_A_NAME},
            f"{MASTER}:1: the entry `server.example.org:smtp`: `server.example.org`",
            25,
        ),
        (
            "dovecot",
            {DOVECOT: "protocols = imap\nlisten = server.example.org\n"},
            f"{DOVECOT}:2: `server.example.org`",
            None,
        ),
        (
            "dovecot",
            {DOVECOT: "protocols = imap\nssl = no\nlisten = localhost, server.example.org\n"},
            f"{DOVECOT}:3: `server.example.org`",
            143,
        ),
        ("ssh", {SSH: "ListenAddress server.example.org\n"}, f"{SSH}:1: `ListenAddress server.example.org`", 22),
        (
            "ssh",
            {SSH: "Port 2\nListenAddress localhost\nListenAddress server.example.org:3\nListenAddress 192.0.2.1\n"},
            f"{SSH}:3: `ListenAddress server.example.org:3`",
            3,
        ),
        (
            "prosody",
            {PROSODY: 'c2s_interfaces = { "server.example.org", "127.0.0.1" }\n'},
            f"{PROSODY}:1:1: c2s_interfaces: `server.example.org`",
            5222,
        ),
    ],
)
def test_a_host_name_is_missing(name: str, texts: dict[str, str], said: str, port: int | None) -> None:
    result = plan(name, texts)
    (missing,) = result["missing"]
    assert missing == {
        **{"names": SITE["names"], "port": port, "said": f"{said}: {service_addresses.NAMED}"},
        "unknown": True,
    }
    assert f"{said}:" not in str(result["notes"])
    # Where nothing is known of the site, it is told.
    before = plan(name, texts, None)
    assert (before["missing"], len(before["notes"]) > len(result["notes"])) == ([], True)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("postfix", {POSTFIX: "inet_interfaces = $myhostname, 2001:db8::1\n", **ONE_ENTRY}),
        ("postfix", {POSTFIX: "inet_interfaces = $myhostname, 192.0.2.1\n", **ONE_ENTRY}),
        ("postfix", {POSTFIX: "inet_interfaces = localhost\n", **ONE_ENTRY}),
        ("postfix", {POSTFIX: "inet_interfaces = loopback-only\n", **ONE_ENTRY}),
        ("postfix", {POSTFIX: "inet_interfaces = server.example.org\n", MASTER: ""}),
        ("postfix", {POSTFIX: "", MASTER: "localhost:smtp inet n - y - - smtpd\n"}),
        ("postfix", {POSTFIX: "", MASTER: f"{OF_A_NAME[MASTER]}[2001:db8::1]:25 inet n - y - - smtpd\n"}),
        ("dovecot", {DOVECOT: "protocols = imap\nlisten = server.example.org, 192.0.2.1\n"}),
        ("dovecot", {DOVECOT: "protocols = imap\nlisten = localhost\n"}),
        ("dovecot", {DOVECOT: "protocols = imap\nlisten = $own\n"}),
        ("ssh", {SSH: "ListenAddress server.example.org\nListenAddress 2001:db8::1\n"}),
        ("ssh", {SSH: "ListenAddress server.example.org\nListenAddress 192.0.2.1\n"}),
        ("ssh", {SSH: "ListenAddress localhost\n"}),
        ("prosody", {PROSODY: 'c2s_interfaces = { "server.example.org", "2001:db8::1" }\n'}),
        ("prosody", {PROSODY: 'c2s_interfaces = { "server.example.org", "192.0.2.1" }\n'}),
        ("prosody", {PROSODY: 'c2s_interfaces = { "localhost" }\n'}),
    ],
)
def test_a_port_that_has_ipv6_beside_it_is_not_missing(name: str, texts: dict[str, str]) -> None:
    assert plan(name, texts)["missing"] == []
