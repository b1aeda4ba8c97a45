"""PostgreSQL's configuration: where it listens, whom it lets in, and how it comes to serve both families."""

from __future__ import annotations

import random
from typing import Any

import _dualstack_secrets_shown as secrets_shown
import listen_postgresql
import pytest
from salt.exceptions import SaltInvocationError

FOLDER = "/etc/postgresql/15/main"
MAIN, HBA, EXTRA = f"{FOLDER}/postgresql.conf", f"{FOLDER}/pg_hba.conf", f"{FOLDER}/conf.d/local.conf"
AUTO = "/var/lib/postgresql/15/main/postgresql.auto.conf"
SITE = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": ["2001:db8::10", "2001:db8::11"]}}
NO_SIX = {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": []}}

# Debian's own, without most of its lines and comments.
DEBIAN = """\
data_directory = '/var/lib/postgresql/15/main'\t\t# use data in another directory
hba_file = '/etc/postgresql/15/main/pg_hba.conf'\t# host-based authentication file
#listen_addresses = 'localhost'\t\t# what IP address(es) to listen on;
port = 5432\t\t\t\t# (change requires restart)
cluster_name = '15/main'\t\t\t# added to process titles if nonempty
include_dir = 'conf.d'\t\t\t# include files ending in '.conf' from
#include = '...'\t\t\t# include file
"""
DEBIANS_HBA = """\
# "local" is for Unix domain socket connections only
local   all             all                                     peer
# IPv4 local connections:
host    all             all             127.0.0.1/32            scram-sha-256
# IPv6 local connections:
host    all             all             ::1/128                 scram-sha-256
host    replication     all             127.0.0.1/32            scram-sha-256
host    replication     all             ::1/128                 scram-sha-256
"""


def debian(extra: str = "", hba: str = DEBIANS_HBA, auto: str = "", main: str = DEBIAN) -> dict[str, dict[str, Any]]:
    return {
        MAIN: {"text": main, "includes": [[EXTRA]]},
        EXTRA: {"text": extra, "includes": []},
        AUTO: {"text": auto, "includes": []},
        HBA: {"text": hba, "includes": []},
    }


def changed(files: dict[str, dict[str, Any]], site: dict[str, Any] | None = None) -> dict[str, str]:
    """What changes for both families; a second run must change nothing."""
    done = listen_postgresql.dual_stack(files, {}, 0, site)
    result: dict[str, str] = done["files"]
    after = {path: {**file, "text": result.get(path, file["text"])} for path, file in files.items()}
    assert listen_postgresql.dual_stack(after, {}, 0, site)["files"] == {}
    assert done["always"].items() <= result.items()
    return result


def sockets(files: dict[str, dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {(each["address"], each["port"]) for each in listen_postgresql.listeners(files)}


def test_debian_is_on_loopback_and_stays_there() -> None:
    assert listen_postgresql.includes(MAIN, DEBIAN) == [f"{FOLDER}/conf.d/*.conf"]
    assert listen_postgresql.listeners(debian()) == [
        {
            **{"port": 5432, "transport": "tcp", "protocol": "postgresql", "address": "localhost", "v6only": None},
            **{"file": MAIN, "line": 0, "note": "loopback: left alone"},
        }
    ]
    assert listen_postgresql.dual_stack(debian(), {}, 1, SITE) == {
        **{"files": {}, "bindv6only": None, "notes": [], "always": {}, "missing": []}
    }


# What ss(8) shows of PostgreSQL 15.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listen_addresses = '*'", {("0.0.0.0", 5432), ("::", 5432)}),
        ("listen_addresses = '*, 192.0.2.1'", {("0.0.0.0", 5432), ("::", 5432)}),
        ("LISTEN_ADDRESSES='0.0.0.0'# c", {("0.0.0.0", 5432)}),
        ("listen_addresses '::'\nport = 5433", {("::", 5433)}),
        ("listen_addresses = localhost", {("localhost", 5432)}),
        ("listen_addresses = ''", set()),
        ("listen_addresses = '192.0.2.10,2001:DB8::10'\r\n", {("192.0.2.10", 5432), ("2001:db8::10", 5432)}),
        ("listen_addresses = '0.0.0.0'\nlisten_addresses = '127.0.0.1'", {("127.0.0.1", 5432)}),
        ("port = '5434'", {("localhost", 5434)}),
        ("port = x", {("localhost", None)}),
    ],
)
def test_where_it_listens(text: str, expected: set[tuple[str, int]]) -> None:
    assert sockets(debian(text)) == expected


def test_includes_are_relative_to_their_file() -> None:
    text = "include 'a.conf'\ninclude_if_exists = '/b/c.conf' # d\n include_dir='e'\n#include 'f'\n"
    assert listen_postgresql.includes(MAIN, text) == [f"{FOLDER}/a.conf", "/b/c.conf", f"{FOLDER}/e/*.conf"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("'0.0.0.0'", "'*'"),
        ("'::'", "'*'"),
        ("'192.0.2.10'", "'192.0.2.10, 2001:db8::10, 2001:db8::11'"),
        ("'localhost,192.0.2.10'", "'localhost,192.0.2.10,2001:db8::10,2001:db8::11'"),
        ("'127.0.0.1, 0.0.0.0'", "'127.0.0.1, 0.0.0.0, ::'"),
    ],
)
def test_the_other_family_is_added(before: str, after: str) -> None:
    whole = "# a\n\tlisten_addresses = {}\t# b\nport = 5432\n"
    assert changed(debian(whole.format(before)), SITE) == {EXTRA: whole.format(after)}


@pytest.mark.parametrize(
    "text",
    [
        *("", "listen_addresses = '*'", "listen_addresses = '0.0.0.0, ::'", "listen_addresses = ''"),
        *("listen_addresses = '10.0.0.5'", "listen_addresses = '192.0.2.10, 2001:db8::11'"),
        *(
            "#listen_addresses = '0.0.0.0'",
            "listen_addresses = '127.0.0.1, ::1'",
            "listen_addresses = 'db.example.org'",
        ),
    ],
)
def test_what_is_right_or_not_ours_stays(text: str) -> None:
    assert changed(debian(text), SITE) == {}


def test_each_cluster_has_its_own_port_and_file() -> None:
    second = "/etc/postgresql/13/old/postgresql.conf"
    files = {
        **debian("listen_addresses = '*'"),
        second: {"text": "port = 5433\nlisten_addresses='0.0.0.0'\n", "includes": []},
    }
    assert sockets(files) == {("0.0.0.0", 5432), ("::", 5432), ("0.0.0.0", 5433)}
    assert changed(files) == {second: "port = 5433\nlisten_addresses='*'\n"}


def test_what_alter_system_has_said_is_said_and_not_edited() -> None:
    files = debian("listen_addresses = '*'", auto="# Do not edit\nlisten_addresses = '0.0.0.0'\n")
    assert sockets(files) == {("0.0.0.0", 5432)}
    done = listen_postgresql.dual_stack(files, {})
    assert (done["files"], done["notes"]) == (
        {},
        [
            f"{AUTO}:2: `listen_addresses = '0.0.0.0'`: left alone; use ALTER SYSTEM SET, or ALTER SYSTEM RESET "
            "listen_addresses"
        ],
    )
    elsewhere = DEBIAN.replace("/var/lib/postgresql/15/main", "/srv/pg")
    assert sockets(debian("listen_addresses = '*'", auto="listen_addresses = '::'", main=elsewhere)) == {
        *(("0.0.0.0", 5432), ("::", 5432))
    }


def test_a_published_address_without_ipv6_is_missing() -> None:
    done = listen_postgresql.dual_stack(debian("listen_addresses = '192.0.2.10'"), {}, 0, NO_SIX)
    assert (done["files"], done["missing"]) == (
        {},
        [
            {
                **{"names": [], "port": 5432},
                "said": f"{EXTRA}:1: `listen_addresses = '192.0.2.10'`: 192.0.2.10 is published, and no IPv6 address "
                "of this host is known to listen on beside it; add one, or write listen_addresses = '*'",
            }
        ],
    )


OPEN = "listen_addresses = '*'"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("host all all 127.0.0.1/32 md5\n", "host all all 127.0.0.1/32 md5\nhost all all ::1/128 md5\n"),
        (
            "host    all             all             127.0.0.1/32            trust # c\r\nlocal all all peer",
            "host    all             all             127.0.0.1/32            trust # c\r\n"
            "host    all             all             ::1/128                 trust # c\r\nlocal all all peer",
        ),
        (
            'hostssl app,"a b" u 127.0.0.1/32 cert map=x',
            'hostssl app,"a b" u 127.0.0.1/32 cert map=x\nhostssl app,"a b" u ::1/128 cert map=x',
        ),
        (
            "host all all 127.0.0.1 255.255.255.255 md5",
            "host all all 127.0.0.1 255.255.255.255 md5\nhost all all ::1/128 md5",
        ),
        (
            "host all bad 127.0.0.1/32 reject\nhost all all ::/0 md5\n",
            "host all bad 127.0.0.1/32 reject\nhost all bad ::1/128 reject\nhost all all ::/0 md5\n",
        ),
    ],
)
def test_where_127_0_0_1_may_come_in_1_may(before: str, after: str) -> None:
    files = debian(OPEN, hba=before)
    assert changed(files) == {HBA: after}
    assert listen_postgresql.dual_stack(files, {})["always"] == {HBA: after}


@pytest.mark.parametrize(
    "text",
    [
        DEBIANS_HBA,
        "host all all 127.0.0.1/32 md5\nhost all all ::1/128 trust\n",
        "host all all 127.0.0.1/32 md5\nhost all all all scram-sha-256\n",
        "host all all 127.0.0.1/32 md5\nhost all all localhost md5\n",
        "host all all 127.0.0.1/32 md5\nhost all all ::/0 md5\n",
        "host all all 127.0.0.1/32 md5\nhost all all ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff md5\n",
        "#host all all 127.0.0.1/32 md5\n",
        "host all all samehost md5\nlocal all all peer\nnonsense\nhost all all \\\n127.0.0.1/32 md5\n",
        "host all all 192.0.2.0/24 md5\nhost all all 0.0.0.0/0 md5\n",
        "host all all 127.0.0.1/32 md5 \\\nclientcert=verify-ca\n",
    ],
)
def test_a_companion_is_only_for_1_and_where_there_is_none(text: str) -> None:
    assert changed(debian(OPEN, hba=text)) == {}


def test_a_cluster_on_loopback_keeps_its_lines() -> None:
    assert changed(debian("", hba="host all all 127.0.0.1/32 md5\n")) == {}


def test_networks_of_ipv4_are_told_and_never_widened() -> None:
    hba = "host all all 0.0.0.0/0 md5\nhost app app 192.0.2.0/24 md5\nhost b b 10.0.0.0/8 md5\nhost b b fd00::/8 md5\n"
    done = listen_postgresql.dual_stack(debian(OPEN, hba=hba), {})
    assert (done["files"], done["notes"]) == (
        {},
        [
            f"{HBA}:1: `0.0.0.0/0` lets in, or keeps out, clients over IPv4 only: add a line for ::/0, if it shall "
            "hold over IPv6 as well",
            f"{HBA}:2: `192.0.2.0/24` lets in, or keeps out, clients over IPv4 only: add a line for their IPv6 "
            "network, if it shall hold over IPv6 as well",
        ],
    )


@pytest.mark.parametrize("text", ["listen_addresses = *", "\nport", "listen_addresses = '0.0.0.0", "include = 'a' 'b'"])
def test_what_postgresql_cannot_read_is_an_error(text: str) -> None:
    with pytest.raises(SaltInvocationError, match=rf"{EXTRA}:[12]:1: no [a-z_]+ that PostgreSQL could read"):
        listen_postgresql.listeners(debian(text))


def test_a_file_that_includes_itself_is_an_error() -> None:
    with pytest.raises(SaltInvocationError, match=f"{MAIN}:2:1: {MAIN} is included without an end"):
        listen_postgresql.listeners({MAIN: {"text": "\ninclude 'postgresql.conf'", "includes": [[MAIN]]}})
    assert sockets({}) == set()


def test_a_diff_shows_what_changes_and_no_secret() -> None:
    text = "listen_addresses = '0.0.0.0' # hunter2\nssl_passphrase_command = 'echo hunter2'\n"
    hba = "host all all 127.0.0.1/32 ldap ldapserver=a ldapbindpasswd=hunter2\n"
    files = debian(text, hba)
    words = listen_postgresql.about()["words"]
    said = "".join(secrets_shown.diff(path, files[path]["text"], new, words) for path, new in changed(files).items())
    assert "+listen_addresses = '*'" in said and "+host all all ::1/128" in said and "hunter2" not in said


def test_no_text_whatever_is_a_traceback_or_takes_a_socket_away() -> None:
    dice = random.Random(4)
    whole = (
        "listen_addresses = '0.0.0.0' # c\nport = 5\ninclude 'a'\nhost all all 127.0.0.1/32 md5\nhost a b ::1/128 c\n"
    )
    signs = ["\\", '"', "'", "\n", "\r\n", "\t", "\0", "\udcff", "#", "=", "::", "²", "٣", ",", "*", "9" * 5000, "/"]
    for _ in range(800):
        text = whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])]
        for _ in range(dice.randrange(5)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(signs) + text[place + dice.randrange(3) :]
        files = debian(text, hba=text)
        try:
            listen_postgresql.includes(MAIN, text)
            done = changed(files, SITE)
            after = {path: {**file, "text": done.get(path, file["text"])} for path, file in files.items()}
            assert sockets(files) <= sockets(after)
        except SaltInvocationError as error:
            assert FOLDER in str(error) and "\n" not in str(error)
