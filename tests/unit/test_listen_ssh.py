"""sshd's configuration: where it listens, and how it comes to serve both families."""

from __future__ import annotations

import random
from typing import Any

import listen_ssh
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/ssh/sshd_config"
EXTRA = "/etc/ssh/sshd_config.d/a.conf"
SOCKET = "/etc/systemd/system/sockets.target.wants/ssh.socket"
GENERATED = "/run/systemd/generator/ssh.socket.d/addresses.conf"
SITE = {"names": ["a.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": ["2001:db8::1", "2001:db8::2"]}}

# Debian's own, without most of its comments.
DEBIAN = """\

# This is the sshd server system-wide configuration file.  See
# sshd_config(5) for more information.

Include /etc/ssh/sshd_config.d/*.conf

#Port 22
#AddressFamily any
#ListenAddress 0.0.0.0
#ListenAddress ::

KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem\tsftp\t/usr/lib/openssh/sftp-server

# Example of overriding settings on a per-user basis
#Match User anoncvs
#\tX11Forwarding no
"""


def one(text: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}}


def debian(extra: str, main: str = DEBIAN) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": main, "includes": [[EXTRA]]}, EXTRA: {"text": extra, "includes": []}}


def changed(text: str) -> str:
    """The text for both families; a second run must change nothing."""
    result: str = listen_ssh.dual_stack(one(text), {})["files"].get(MAIN, text)
    assert listen_ssh.dual_stack(one(result), {})["files"] == {}
    return result


def notes(text: str) -> list[str]:
    found: list[str] = listen_ssh.dual_stack(one(text), {})["notes"]
    return found


def sockets(files: dict[str, dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {(each["address"], each["port"]) for each in listen_ssh.listeners(files)}


def test_debian_serves_both_families_as_it_is() -> None:
    assert listen_ssh.includes(MAIN, DEBIAN) == ["/etc/ssh/sshd_config.d/*.conf"]
    assert listen_ssh.listeners(debian("")) == [
        {
            **{"port": 22, "transport": "tcp", "protocol": "ssh", "address": address, "v6only": v6only},
            **{"file": MAIN, "line": 0, "note": ""},
        }
        for address, v6only in (("0.0.0.0", None), ("::", True))
    ]
    nothing: dict[str, Any] = {"files": {}, "bindv6only": None, "notes": [], "missing": []}
    assert listen_ssh.dual_stack(debian(""), {}, 1) == nothing


def test_includes_can_be_several_and_relative() -> None:
    assert listen_ssh.includes(MAIN, 'include "a b/*" /x/c # d\n#Include e\nInclude=f\n') == [
        "/etc/ssh/a b/*",
        "/x/c",
        "/etc/ssh/f",
    ]


# What sshd -T of OpenSSH 9.2 prints as `listenaddress`.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Port 22\nPort 2222\n", {("0.0.0.0", 22), ("::", 22), ("0.0.0.0", 2222), ("::", 2222)}),
        ("ListenAddress 0.0.0.0\nPort 2222\nPort 23", {("0.0.0.0", 2222), ("0.0.0.0", 23)}),
        (
            "ListenAddress 0.0.0.0:77\nListenAddress ::\nListenAddress [::]:55\nListenAddress 0.0.0.0",
            {("0.0.0.0", 77), ("::", 22), ("::", 55), ("0.0.0.0", 22)},
        ),
        ('Port=22 # c\nlistenaddress = "0.0.0.0"', {("0.0.0.0", 22)}),
        ("AddressFamily inet\nAddressFamily inet6\n", {("0.0.0.0", 22)}),
        ("AddressFamily INET6\n", {("::", 22)}),
        ("Match all\nPort 23", {("0.0.0.0", 23), ("::", 23)}),
        ("Match user x\nMatch all\nListenAddress 0.0.0.0", {("0.0.0.0", 22)}),
        ("ListenAddress [0.0.0.0]:44", {("0.0.0.0", 44)}),
        ("ListenAddress '0.0.0.0':44", {("0.0.0.0", 44)}),
        ("\tListenAddress\t0.0.0.0\t\r", {("0.0.0.0", 22)}),
        ('"ListenAddress" [::]', {("::", 22)}),
        ("ListenAddress 127.0.0.1\nListenAddress 2001:db8::1", {("127.0.0.1", 22), ("2001:db8::1", 22)}),
    ],
)
def test_where_sshd_listens(text: str, expected: set[tuple[str, int]]) -> None:
    assert sockets(one(text)) == expected


def test_what_an_included_file_says() -> None:
    assert sockets(debian("AddressFamily inet\nPort 2\n", DEBIAN + "Port 25\nAddressFamily inet6\n")) == {
        ("0.0.0.0", 2),
        ("0.0.0.0", 25),
    }
    # A Match block ends with its file.
    assert sockets(debian("Match User x\nX11Forwarding no\n", DEBIAN + "ListenAddress ::\n")) == {("::", 22)}
    # A file that is included inside of one has nothing to say.
    inside = debian("Match all\nPort 24\n", "Match User x\nInclude /etc/ssh/sshd_config.d/*.conf\n")
    assert sockets(inside) == {("0.0.0.0", 22), ("::", 22)}


def test_the_family_is_changed_in_the_file_that_decides() -> None:
    files = debian("AddressFamily inet # no tunnel yet\n", DEBIAN + "AddressFamily inet\n")
    assert listen_ssh.dual_stack(files, {})["files"] == {EXTRA: "AddressFamily any # no tunnel yet\n"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("AddressFamily inet", "AddressFamily any"),
        ('addressfamily="inet6"\r\nPort 22\r\n', "addressfamily=any\r\nPort 22\r\n"),
        ("ListenAddress 0.0.0.0\n", "ListenAddress 0.0.0.0\nListenAddress ::\n"),
        ("ListenAddress 0.0.0.0", "ListenAddress 0.0.0.0\nListenAddress ::"),
        ("ListenAddress ::\nUsePAM yes\n", "ListenAddress ::\nListenAddress 0.0.0.0\nUsePAM yes\n"),
        ("\tListenAddress 0.0.0.0:2222 # c\r\n", "\tListenAddress 0.0.0.0:2222 # c\r\n\tListenAddress [::]:2222\r\n"),
        ("ListenAddress [::]:2222\n", "ListenAddress [::]:2222\nListenAddress 0.0.0.0:2222\n"),
        (
            'ListenAddress 0.0.0.0 rdomain "a b"\nListenAddress ::\n',
            'ListenAddress 0.0.0.0 rdomain "a b"\nListenAddress :: rdomain "a b"\n'
            "ListenAddress ::\nListenAddress 0.0.0.0\n",
        ),
        (
            "Port 1\nPort 2\nListenAddress 0.0.0.0\nListenAddress [::]:2\n",
            "Port 1\nPort 2\nListenAddress 0.0.0.0\nListenAddress [::]:1\nListenAddress [::]:2\n",
        ),
        (
            "ListenAddress 0.0.0.0\nListenAddress 0.0.0.0:22\n",
            "ListenAddress 0.0.0.0\nListenAddress ::\nListenAddress 0.0.0.0:22\n",
        ),
        ("AddressFamily inet\nListenAddress 0.0.0.0\n", "AddressFamily any\nListenAddress 0.0.0.0\nListenAddress ::\n"),
        (
            "Match user x\nMatch ALL\nListenAddress ::\n",
            "Match user x\nMatch ALL\nListenAddress ::\nListenAddress 0.0.0.0\n",
        ),
        (
            "AddressFamily inet\nListenAddress 0.0.0.0\nListenAddress 192.0.2.1\n",
            "AddressFamily any\nListenAddress 0.0.0.0\nListenAddress ::\nListenAddress 192.0.2.1\n",
        ),
        ("Match all\nListenAddress 0.0.0.0\n", "Match all\nListenAddress 0.0.0.0\nListenAddress ::\n"),
    ],
)
def test_the_other_family_is_added(before: str, after: str) -> None:
    assert changed(before) == after
    # Whoever could come in, still can.
    assert sockets(one(before)) < sockets(one(after)) or "rdomain" in before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Port 22\nPort 2222\n",
        "AddressFamily any\nAddressFamily inet\n",
        "ListenAddress 0.0.0.0\nListenAddress ::\n",
        "Port 22\nListenAddress 0.0.0.0\nListenAddress [::]:22\n",
        "ListenAddress 127.0.0.1\nListenAddress 192.0.2.1\nListenAddress localhost\n",
        "ListenAddress 0.0.0.0\nListenAddress ::1\n",
        "ListenAddress ::\nListenAddress 192.0.2.1\n",
        "ListenAddress 0.0.0.0\nListenAddress www.example.org\n",
        "AddressFamily inet\nListenAddress 192.0.2.1\n",
        "Match User x\nListenAddress 0.0.0.0\nAddressFamily inet\n",
        '#ListenAddress 0.0.0.0\nBanner "unclosed\n',
        "ListenAddress 0.0.0.0:a:b\nListenAddress [::]:!\n",
        "ListenAddress [::]:\n",
        "ListenAddress :22\n",
    ],
)
def test_what_is_right_or_cannot_be_decided_stays(text: str) -> None:
    assert changed(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ListenAddress 127.0.0.1", [":1: `ListenAddress 127.0.0.1`: loopback: left alone"]),
        ("\nListenAddress 192.0.2.1:22", [":2: `ListenAddress 192.0.2.1:22`: a specific address: left alone"]),
        ("ListenAddress localhost", [":1: `ListenAddress localhost`: a host name: left alone"]),
        ("ListenAddress [::]:!", [":1: `ListenAddress [::]:!`: no address and port: cannot decide"]),
        (
            "ListenAddress 0.0.0.0\nListenAddress ::1",
            [
                ":2: `ListenAddress ::1`: loopback: left alone",
                ":1: `ListenAddress 0.0.0.0` was left alone: "
                f"`ListenAddress ::1` ({MAIN}:2) has the port in the other family",
            ],
        ),
        (
            "AddressFamily inet\nListenAddress 192.0.2.1",
            [
                ":2: `ListenAddress 192.0.2.1`: a specific address: left alone",
                ":1: `AddressFamily inet` was left alone: no address is a wildcard",
            ],
        ),
        (
            "Match Address 192.0.2.0/24,!192.0.2.9",
            [":1: `Match Address 192.0.2.0/24,!192.0.2.9` knows IPv4 only: over IPv6 it never holds"],
        ),
        ("Match Address 192.0.2.0/24,2001:db8::/32\nMatch User 1.2", []),
    ],
)
def test_what_is_left_alone_is_reported(text: str, expected: list[str]) -> None:
    assert notes(text) == [MAIN + note for note in expected]


def test_an_address_that_its_family_excludes() -> None:
    (found,) = listen_ssh.listeners(one("AddressFamily inet\nListenAddress ::\n"))
    assert found["note"] == "`AddressFamily inet` excludes it: sshd does not start"


def test_a_port_by_name() -> None:
    found = listen_ssh.listeners(one("Port ssh\n"))
    assert [(each["port"], each["note"]) for each in found] == [(None, "a port by name: cannot decide")] * 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\nPort "22', ':2:6: a `"` that is not closed'),
        ("ListenAddress 0.0.0.0'", ":1:22: a `'` that is not closed"),
        ("Port", ":1:5: nothing behind `port`"),
        ("Include # a", ":1:12: nothing behind `include`"),
        ("Port 22\n\tAddressFamily ipv4", ":2:16: 'ipv4' is not an address family; expected any, inet or inet6"),
        ("AddressFamily ipv4", ":1:15: 'ipv4' is not an address family; expected any, inet or inet6"),
    ],
)
def test_errors_have_their_place(text: str, said: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        listen_ssh.listeners(one(text))
    assert str(raised.value) == MAIN + said


def test_a_file_that_includes_itself_is_an_error() -> None:
    with pytest.raises(SaltInvocationError, match=f"{MAIN}:2:1: {MAIN} is included without an end"):
        listen_ssh.listeners({MAIN: {"text": "\nInclude *", "includes": [[MAIN]]}})
    assert sockets({}) == {("0.0.0.0", 22), ("::", 22)}


def test_about_is_plain_data() -> None:
    about = listen_ssh.about()
    assert about["files"] == [MAIN, SOCKET, GENERATED]
    assert about["options"] == {}
    assert about["protocols"] == {22: "ssh"}


def test_no_text_whatever_is_a_traceback_or_takes_a_socket_away() -> None:
    dice = random.Random(4)
    whole = (
        "Port 22\nAddressFamily inet\nListenAddress 0.0.0.0\nListenAddress [::]:5 rdomain x # c\nMatch all\nPort 7\n"
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
        "#",
        "=",
        "[",
        "]",
        "::",
        "²",
        "٣",
        "Match a b\n",
        "\x85",
        "9" * 5000,
    ]
    for _ in range(800):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        try:
            listen_ssh.includes(MAIN, text)
            assert sockets(one(text)) <= sockets(one(changed(text)))
        except SaltInvocationError as error:
            assert MAIN in str(error) and "\n" not in str(error)


# --- published addresses


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("ListenAddress 192.0.2.1", ["2001:db8::1", "2001:db8::2"]),
        ("ListenAddress 192.0.2.1:2222", ["[2001:db8::1]:2222", "[2001:db8::2]:2222"]),
        ("Port 22\nPort 23\nListenAddress 192.0.2.1", ["2001:db8::1", "2001:db8::2"]),
        (
            "Port 22\nPort 23\nListenAddress 192.0.2.1\nListenAddress [::]:22",
            ["[2001:db8::1]:23", "[2001:db8::2]:23"],
        ),
        ("ListenAddress 192.0.2.1\nListenAddress 192.0.2.1:22", ["2001:db8::1", "2001:db8::2"]),
        ("ListenAddress 192.0.2.1 rdomain x", ["2001:db8::1 rdomain x", "2001:db8::2 rdomain x"]),
        ("ListenAddress 192.0.2.1\nListenAddress 127.0.0.1", ["2001:db8::1", "2001:db8::2"]),
        ("ListenAddress 192.0.2.1\nListenAddress 2001:db8::2", []),
        ("ListenAddress 192.0.2.1\nListenAddress ::", []),
        ("ListenAddress 0.0.0.0\nListenAddress ::1", ["[2001:db8::1]:22", "[2001:db8::2]:22"]),
        ("ListenAddress 0.0.0.0\nListenAddress 2001:db8::2", []),
        ("ListenAddress ::\nListenAddress 127.0.0.1", []),
        ("ListenAddress 192.0.2.9", []),
        ("ListenAddress localhost", []),
    ],
)
def test_a_published_address_gets_those_of_ipv6(text: str, added: list[str]) -> None:
    result = listen_ssh.dual_stack(one(text), {}, 0, SITE)
    new = result["files"].get(MAIN, text)
    assert [each for each in new.split("\n") if each not in text.split("\n")] == [
        f"ListenAddress {each}" for each in added
    ]
    again = listen_ssh.dual_stack(one(new), {}, 0, SITE)
    assert (again["files"], again["missing"], result["missing"]) == ({}, [], [])


def test_the_family_of_published_addresses() -> None:
    text = "AddressFamily inet\nListenAddress 192.0.2.1\n"
    new = listen_ssh.dual_stack(one(text), {}, 0, SITE)["files"][MAIN]
    assert listen_ssh.dual_stack(one("ListenAddress 192.0.2.1"), {}, 0, SITE)["notes"] == []
    assert new.startswith("AddressFamily any\nListenAddress 192.0.2.1\nListenAddress 2001:db8::1\n")


def test_without_an_address_it_is_missing() -> None:
    site = {"names": [], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": []}}
    result = listen_ssh.dual_stack(one("Port 22\nListenAddress 192.0.2.1\n"), {}, 0, site)
    (missing,) = result["missing"]
    assert (result["files"], missing["port"]) == ({}, 22)
    assert missing["said"].startswith(
        f"{MAIN}:2: `ListenAddress 192.0.2.1`: this address is published, and no address "
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AllowUsers me@192.0.2.*", ["`AllowUsers me@192.0.2.*` lets users in from addresses of IPv4 only"]),
        ("AllowUsers me@192.0.2.0/24 you", ["`AllowUsers me@192.0.2.0/24 you` lets users in"]),
        ("DenyUsers *@203.0.113.?", ["`DenyUsers *@203.0.113.?` keeps out addresses of IPv4 only"]),
        ("AllowUsers me@192.0.2.*\nAllowUsers me@2001:db8::*", []),
        ("AllowUsers me me@192.0.2.1", []),
        ("AllowUsers me@*.example.org you *@*", []),
        ("Match LocalAddress 192.0.2.1", ["`Match LocalAddress 192.0.2.1` knows IPv4 only"]),
        ("Match User x LocalAddress 192.0.2.1,2001:db8::1", []),
    ],
)
def test_who_is_let_in_by_address(text: str, expected: list[str]) -> None:
    assert [each.partition(": ")[2][: len(said)] for each, said in zip(notes(text), expected)] == expected
    assert len(notes(text)) == len(expected)


def test_where_systemd_listens_sshd_config_does_not_count() -> None:
    unit = {"text": "[Socket]\nListenStream=22\n", "includes": []}
    files = {**one("ListenAddress 0.0.0.0\n"), SOCKET: unit}
    assert listen_ssh.includes(SOCKET, "Include x") == []
    assert [each["note"] for each in listen_ssh.listeners(files)] == [
        "ssh.socket is enabled: systemd listens in its place"
    ]
    result = listen_ssh.dual_stack(files, {})
    assert result["files"] == {}
    assert "do not count, and are left alone; the service `systemd` has this unit" in result["notes"][0]
    # Ubuntu's generator has the unit follow sshd_config.
    generated = listen_ssh.dual_stack({**files, GENERATED: unit}, {})
    assert generated["files"] == {MAIN: "ListenAddress 0.0.0.0\nListenAddress ::\n"}
    assert "`systemctl daemon-reload`" in generated["notes"][0]
    assert listen_ssh.listeners({**files, GENERATED: unit})[0]["note"] == ""
