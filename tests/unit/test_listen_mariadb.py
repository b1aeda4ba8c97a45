"""MariaDB's configuration: where it listens, and how it comes to serve both families."""

from __future__ import annotations

import random
from typing import Any

import _dualstack_secrets_shown as secrets_shown
import listen_mariadb
import pytest
from salt.exceptions import SaltInvocationError

MAIN = "/etc/mysql/my.cnf"
SERVER = "/etc/mysql/mariadb.conf.d/50-server.cnf"
LATER = "/etc/mysql/mariadb.conf.d/99-local.cnf"
SITE = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": ["2001:db8::10", "2001:DB8:0::11"]}}
NO_SIX = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": []}}

DEBIAN = """\
[client-server]
# Port or socket location where to connect
# port = 3306
socket = /run/mysqld/mysqld.sock

!includedir /etc/mysql/conf.d/
!includedir /etc/mysql/mariadb.conf.d/
"""
DEBIANS = """\
# this is only for the mysqld standalone daemon
[mysqld]
pid-file                = /run/mysqld/mysqld.pid
# localhost which is more compatible and is not less secure.
bind-address            = 127.0.0.1
expire_logs_days        = 10

[embedded]
[mariadb]
"""


def one(text: str) -> dict[str, dict[str, Any]]:
    return {MAIN: {"text": text, "includes": []}}


def debian(server: str = DEBIANS, later: str = "") -> dict[str, dict[str, Any]]:
    return {
        MAIN: {"text": DEBIAN, "includes": [[], [SERVER, LATER]]},
        SERVER: {"text": server, "includes": []},
        LATER: {"text": later, "includes": []},
    }


def changed(text: str, site: dict[str, Any] | None = None) -> str:
    """The text for both families; a second run must change nothing."""
    result: str = listen_mariadb.dual_stack(one(text), {}, 0, site)["files"].get(MAIN, text)
    assert listen_mariadb.dual_stack(one(result), {}, 0, site)["files"] == {}
    return result


def sockets(files: dict[str, dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {(each["address"], each["port"]) for each in listen_mariadb.listeners(files)}


def server(value: str) -> str:
    return f"[mysqld]\nbind-address = {value}\n"


def test_debian_is_on_loopback_and_stays_there() -> None:
    assert listen_mariadb.includes(MAIN, DEBIAN) == ["/etc/mysql/conf.d/*.cnf", "/etc/mysql/mariadb.conf.d/*.cnf"]
    assert listen_mariadb.listeners(debian()) == [
        {
            **{"port": 3306, "transport": "tcp", "protocol": "mysql", "address": "127.0.0.1", "v6only": None},
            **{"file": SERVER, "line": 5, "note": "loopback: left alone"},
        }
    ]
    assert listen_mariadb.dual_stack(debian(), {}, 1, SITE) == {
        **{"files": {}, "bindv6only": None, "always": {}, "missing": []},
        "notes": [f"{SERVER}:5: `bind-address = 127.0.0.1`: loopback: left alone"],
    }


def test_without_a_bind_address_both_are_served() -> None:
    four, six = listen_mariadb.listeners(one("[mysqld]\nport=3307\n"))
    assert (four["address"], six["address"], six["v6only"], six["port"], six["line"]) == (
        *("0.0.0.0", "::", True),
        *(3307, 0),
    )
    assert sockets({}) == {("0.0.0.0", 3306), ("::", 3306)}


# What ss(8) shows of MariaDB 10.11.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (server("*"), {("0.0.0.0", 3306), ("::", 3306)}),
        (server("::"), {("::", 3306)}),
        (server("0.0.0.0,::"), {("0.0.0.0", 3306), ("::", 3306)}),
        (server("0"), {("0.0.0.0", 3306)}),
        (server('"0.0.0.0"'), {("0.0.0.0", 3306)}),
        (server("0.0.0.0 # c"), {("0.0.0.0", 3306)}),
        (server("192.0.2.10,2001:DB8::10"), {("192.0.2.10", 3306), ("2001:db8::10", 3306)}),
        ("[mysqld]\nbind_address=0.0.0.0\nport=0\nextra_port = 3399", {("0.0.0.0", 3306), ("0.0.0.0", 3399)}),
        ("[mysqld]\nloose-bind-addr=0.0.0.0", {("0.0.0.0", 3306)}),
        ("[mysqld]\r\nbind-address = 0.0.0.0\r\n", {("0.0.0.0", 3306)}),
        (server("0.0.0.0") + server("127.0.0.1"), {("127.0.0.1", 3306)}),
        (server("0.0.0.0") + "[client]\nport=1\nbind-address=127.0.0.1", {("0.0.0.0", 3306)}),
        ("[mariadb-10.11]\nport=1\n[mariadb-10.6]\nport=2\n[mysqld_safe]\nport=3", {("0.0.0.0", 1), ("::", 1)}),
        ("[mysqld]\nBIND-ADDRESS=::", {("::", 3306)}),
        ("[mysqld]\nskip-bind-address", {("0.0.0.0", 3306)}),
        ("[mysqld]\nbind-address=::\nskip-bind-address", {("0.0.0.0", 3306)}),
        ("[mysqld]\nskip-bind-address\nbind-address=::", {("::", 3306)}),
        ("[mysqld]\nbind-address=*\nskip-bind-address\nbind-address=::", {("::", 3306)}),
        ("[mysqld]\nskip-networking", set()),
        ("[mysqld]\nskip_networking=0", {("0.0.0.0", 3306), ("::", 3306)}),
    ],
)
def test_where_it_listens(text: str, expected: set[tuple[str, int]]) -> None:
    assert sockets(one(text)) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.0.0.0", "*"),
        ("::", "*"),
        ("0  # all", "*  # all"),
        ("'0.0.0.0'", "'*'"),
        ("0.0.0.0\r", "*\r"),
        ("192.0.2.10", "192.0.2.10,2001:db8::10,2001:db8::11"),
        ("127.0.0.1,192.0.2.10", "127.0.0.1,192.0.2.10,2001:db8::10,2001:db8::11"),
        ("127.0.0.1,::1,192.0.2.10", "127.0.0.1,::1,192.0.2.10,2001:db8::10,2001:db8::11"),
    ],
)
def test_the_other_family_is_added(before: str, after: str) -> None:
    whole = "# a\n[client]\npassword = x\n[mysqld]\n\tbind-address\t=\t{}\nkey=b\n"
    assert changed(whole.format(before), SITE) == whole.format(after)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[mysqld]\nport = 1\n", server("*"), server("0.0.0.0,::"), server("192.0.2.10,2001:db8::11")),
        *(server("10.0.0.5"), server("localhost"), server("127.0.0.1,::1"), server("0.0.0.0,2001:db8::10")),
        *("[client]\nbind-address=0.0.0.0\n", "#bind-address=0.0.0.0\n", "bind-address=0.0.0.0\n"),
        "[mysqld]\nskip-networking\nbind-address=0.0.0.0\n",
    ],
)
def test_what_is_right_or_not_ours_stays(text: str) -> None:
    assert changed(text, SITE) == text


def test_none_becomes_one_for_all() -> None:
    text = "[mysqld]\nskip-networking=0\nskip_bind_address # all\n"
    assert changed(text) == "[mysqld]\nskip-networking=0\nbind-address = * # all\n"


def test_a_published_address_beside_all_of_ipv4_is_enough() -> None:
    assert listen_mariadb.dual_stack(one(server("0.0.0.0,2001:db8::10")), {}, 0, SITE)["notes"] == []
    assert "left alone" in listen_mariadb.dual_stack(one(server("0.0.0.0,2001:db8::10")), {})["notes"][0]


def test_only_the_last_one_is_changed() -> None:
    files = debian(later="[mariadbd]\nbind-address=0.0.0.0\n")
    assert listen_mariadb.dual_stack(files, {})["files"] == {LATER: "[mariadbd]\nbind-address=*\n"}
    files = debian(server=server("0.0.0.0"), later="[mariadbd]\nbind-address=127.0.0.1\n")
    assert listen_mariadb.dual_stack(files, {})["files"] == {}


def test_a_published_address_without_ipv6_is_missing() -> None:
    done = listen_mariadb.dual_stack(one(server("192.0.2.10")), {}, 0, NO_SIX)
    assert (done["files"], done["notes"]) == ({}, [])
    assert done["missing"] == [
        {
            **{"names": [], "port": 3306},
            "said": f"{MAIN}:2: `bind-address = 192.0.2.10`: 192.0.2.10 is published, and no IPv6 address of this host "
            "is known to listen on beside it; add one, or write bind-address = *",
        }
    ]
    assert listen_mariadb.dual_stack(one(server("192.0.2.10,2001:db8::77")), {}, 0, NO_SIX)["missing"] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (server("192.0.2.10"), ":2: `bind-address = 192.0.2.10`: a specific address: left alone"),
        (
            server("0.0.0.0,::1"),
            ":2: `bind-address = 0.0.0.0,::1`: left alone, since `::1` has the port in the other family",
        ),
        ("[mysqld]\nskip-networking\n", ":2: `skip-networking`: it has no TCP port: left alone"),
        (
            "[mariadbd.second]\nbind-address = 0.0.0.0\n[mariadb-10.6]\nbind-address = ::\n",
            ":2: `bind-address` of `[mariadbd.second]`, an instance of its own: left alone",
        ),
        (server("0.0.0.0"), f":2: `bind-address = 0.0.0.0`: {listen_mariadb.ACCOUNTS}"),
    ],
)
def test_what_is_left_alone_is_reported(text: str, said: str) -> None:
    assert listen_mariadb.dual_stack(one(text), {})["notes"] == [MAIN + said]


def test_blanks_in_the_list_are_an_error() -> None:
    with pytest.raises(
        SaltInvocationError, match=f"{MAIN}:2:1: MariaDB takes no blanks in `bind-address = 0.0.0.0, ::`"
    ):
        listen_mariadb.listeners(one(server("0.0.0.0, ::")))


def test_a_file_that_includes_itself_is_an_error() -> None:
    with pytest.raises(SaltInvocationError, match=f"{MAIN}:2:1: {MAIN} is included without an end"):
        listen_mariadb.listeners({MAIN: {"text": "\n!include /etc/mysql/my.cnf", "includes": [[MAIN]]}})


def test_a_diff_shows_what_changes_and_no_secret() -> None:
    text = "[mysqld]\nwsrep_sst_auth = sst:hunter2\nbind-address = 0.0.0.0 # hunter2\n[client]\npassword = hunter2\n"
    said = secrets_shown.diff(MAIN, text, changed(text), listen_mariadb.about()["words"])
    assert "+bind-address = *" in said and "hunter2" not in said


def test_no_text_whatever_is_a_traceback_or_takes_a_socket_away() -> None:
    dice = random.Random(4)
    whole = (
        "[mysqld]\nbind-address = '0.0.0.0' # c\n[client]\nport=2\n!include x\n[server]\nport = 3306\nextra_port=1\n"
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
        ",",
        "*",
        "9" * 5000,
    ]
    for _ in range(800):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        try:
            listen_mariadb.includes(MAIN, text)
            assert sockets(one(text)) <= sockets(one(changed(text, SITE)))
        except SaltInvocationError as error:
            assert MAIN in str(error) and "\n" not in str(error)
