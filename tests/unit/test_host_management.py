"""Who manages this host, according to the environment of those who have started Salt, the minion, and the pillar."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import _dualstack_host_management as host_management
import _dualstack_host_management_masters as host_management_masters
import _dualstack_host_management_settings as host_management_settings
import _dualstack_host_management_way as host_management_way
import _dualstack_host_routes as host_routes
import _dualstack_service_sockets as service_sockets
import pytest

HERE = Path(host_management.__file__).parent
# Salt gives its processes titles, as the tool does here: what others see of its environment is gone then.
SCRIPT = """
import os, sys
sys.path.insert(0, sys.argv[1])
import _dualstack_host_management_session as session
import _dualstack_host_management_way as way
session.host_routes.to = lambda host: session.host_routes.Route("eth0", host, True)
way.incoming = lambda remote, own: None
if sys.argv[2:]:
    __import__("setproctitle").setproctitle("x" * 4000)
    assert b"SSH_CONNECTION" not in open("/proc/self/environ", "rb").read()
print([each[:4] + each[5:7] for each in session.client(os.environ)])
"""


def clients(connection: str, *titled: str, above: str = "") -> str:
    """Who is logged in, where this is the value of SSH_CONNECTION, and that above is an ancestor's."""
    words = [sys.executable, "-c", SCRIPT, str(HERE), *titled]
    if above:
        words = ["sh", "-c", 'env -u SSH_CONNECTION "$@"; exit', "-", *words]
    environment = {**os.environ, "SSH_CONNECTION": above or connection}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOGGED_IN = "192.0.2.1 50000 192.0.2.2 22"
CLIENT = "[('ipv4', 'in', '192.0.2.1', 22, '192.0.2.2', None)]"


def test_the_client_in_whose_session_salt_runs() -> None:
    assert clients(LOGGED_IN) == CLIENT
    assert clients("fe80::1%eth1 50000 fe80::2%eth1 22") == "[('ipv6', 'in', 'fe80::1', 22, 'fe80::2', 'eth1')]"


def test_a_title_hides_nobody() -> None:
    assert clients(LOGGED_IN, "titled") == CLIENT


def test_the_client_of_an_ancestor() -> None:
    assert clients("", above=LOGGED_IN) == CLIENT


@pytest.mark.parametrize(
    "connection",
    [
        "",
        "a b c d",
        "192.0.2.1 x 192.0.2.2 22",
        "192.0.2.1 50000 192.0.2.2 y",
        "1 2 3",
        "192.0.2.1 1 $(id) 22",
        "\udcff",
    ],
)
def test_what_is_no_connection_is_nobody(connection: str) -> None:
    assert clients(connection) == clients("")


# --------------------------------------------------------------------------------------------------------------
# Masters


LOCALHOST = str(socket.getaddrinfo("localhost", None)[0][4][0])


def out(master: str, *ports: int) -> list[host_management.Connection]:
    family = host_management_way.family(master)
    return [host_management.Connection(family, "out", master, port, f"the Salt master {master}") for port in ports]


@pytest.fixture(autouse=True)
def _routes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_routes, "to", lambda host: host_routes.Route("eth0"))


def masters(**opts: Any) -> list[host_management.Connection]:
    """Those that are found, without any doubt."""
    found, unseen = host_management_masters.masters(opts, [], [])
    assert not unseen
    return found


def test_every_master_stays_reachable() -> None:
    minion = {"master_ip": "192.0.2.9", "master_uri": "tcp://192.0.2.9:4506"}
    assert masters(**minion) == out("192.0.2.9", 4505, 4506)
    six = {**minion, "master_uri": "tcp://[2001:db8::9]:14506", "publish_port": "14505"}
    assert masters(**six) == out("2001:db8::9", 14505, 14506)
    several = {**minion, "master_uri_list": ["tcp://192.0.2.9:4506", "tcp://[2001:db8::9]:4506"]}
    assert masters(**several) == out("192.0.2.9", 4505, 4506) + out("2001:db8::9", 4505, 4506)
    assert masters(file_client="remote", master="salt") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("master: 192.0.2.9", out("192.0.2.9", 4505, 4506)),
        (
            "master: [192.0.2.9, '[2001:db8::9]:5506', 2001:db8::8]\nmaster_type: failover\npublish_port: 5505",
            out("192.0.2.9", 5505, 4506) + out("2001:db8::9", 5505, 5506) + out("2001:db8::8", 5505, 4506),
        ),
        ("master: localhost\nmaster_port: 5506", out(LOCALHOST, 4505, 5506)),
        ("", []),
        ("id: x", []),
        ("master: 192.0.2.9\nmaster_type: disable", []),
        ("master: module.function\nmaster_type: func", []),
    ],
)
def test_the_masters_that_the_configuration_names(tmp_path: Path, text: str, expected: list[Any]) -> None:
    """Also under --local; the default name, `salt`, is none."""
    (tmp_path / "minion").write_text(text)
    found = masters(conf_file=str(tmp_path / "minion"), file_client="local", master="salt")
    assert found == expected


def test_a_master_in_an_included_file(tmp_path: Path) -> None:
    (tmp_path / "minion").write_text("id: x")
    (tmp_path / "minion.d").mkdir()
    (tmp_path / "minion.d" / "99.conf").write_text("master: [192.0.2.9]")
    assert masters(conf_file=str(tmp_path / "minion")) == out("192.0.2.9", 4505, 4506)


def test_a_master_without_an_address_is_said(tmp_path: Path) -> None:
    (tmp_path / "minion").write_text("master: nobody.invalid")
    found, unseen = host_management_masters.masters({"conf_file": str(tmp_path / "minion")}, [], [])
    assert found == []
    assert unseen == ["The Salt master nobody.invalid of the minion's configuration has no address"]


# --------------------------------------------------------------------------------------------------------------
# The pillar


@pytest.mark.parametrize(
    ("manage", "errors"),
    [
        ({}, []),
        ({"allow": ["192.0.2.0/24", "2001:db8::1"], "ignore": ["10.0.0.0/8"]}, []),
        ({"allow": [{"from": "192.0.2.7", "port": 2222, "interface": "tun0"}]}, []),
        ({"alow": []}, ["alow: unknown key; did you mean allow?"]),
        ({"allow": "192.0.2.7"}, ["allow: expected a list of addresses and networks, found '192.0.2.7'"]),
        (
            {"allow": ["x"], "ignore": [7]},
            [
                "allow[0]: 'x' is not an address or a network, such as 192.0.2.0/24",
                "ignore[0]: 7 is not an address or a network, such as 192.0.2.0/24",
            ],
        ),
        (
            {"allow": ["::/0"]},
            [
                "allow[0]: '::/0' is everybody; expected an address or a network, and for everybody "
                "ipv6:firewall:expect"
            ],
        ),
        (
            {"ignore": ["224.0.0.1"]},
            ["ignore[0]: '224.0.0.1' is not the address of a host, and not a network of hosts"],
        ),
        (
            {"allow": [{"port": "22", "interface": "x y", "frm": "a"}]},
            [
                "allow[0]:port: '22' is not a whole number from 1 to 65535",
                "allow[0]:interface: 'x y' is not the name of an interface",
                "allow[0]:frm: unknown key; did you mean from?",
                "allow[0]:from: missing; expected an address or a network, such as 192.0.2.0/24",
            ],
        ),
        (
            {"allow": [{"from": "fe80::1%eth0"}], "ignore": [{"from": "192.0.2.7"}]},
            [
                "allow[0]:from: 'fe80::1%eth0' is not an address or a network, such as 192.0.2.0/24",
                "ignore[0]: {'from': '192.0.2.7'} is not an address or a network, such as 192.0.2.0/24",
            ],
        ),
    ],
)
def test_the_errors_in_the_pillar(manage: dict[str, Any], errors: list[str]) -> None:
    assert list(host_management_settings.errors(manage)) == errors


def test_whom_the_pillar_allows_and_ignores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_sockets, "listening", lambda: {"sockets": []})
    monkeypatch.setattr(service_sockets, "connected", lambda: ([], []))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    minion = {"master_ip": "192.0.2.9", "master_uri": "tcp://192.0.2.9:4506"}

    def found(**manage: Any) -> list[tuple[Any, ...]]:
        managers = host_management.managers({**minion, "pillar": {"ipv6": {"manage": manage}}})
        assert managers.unseen == []
        return [(each.direction, each.remote, each.port, each.interface) for each in managers.connections]

    out_ = [("out", "192.0.2.9", 4505, None), ("out", "192.0.2.9", 4506, None)]
    assert found() == out_
    assert found(ignore=["192.0.2.0/24"]) == []
    assert found(allow=[{"from": "10.1.0.0/16", "port": 2222, "interface": "tun0"}, "2001:db8::7"]) == [
        *out_,
        ("in", "10.1.0.1", 2222, "tun0"),
        ("in", "10.1.255.254", 2222, "tun0"),
        ("in", "2001:db8::7", 22, None),
    ]


def test_thousands_of_connections_are_not_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    uris = [f"tcp://10.0.{number // 250}.{number % 250 + 1}:4506" for number in range(300)]
    monkeypatch.setattr(service_sockets, "listening", lambda: {"sockets": []})
    monkeypatch.setattr(service_sockets, "connected", lambda: ([], []))
    managers = host_management.managers({"master_ip": "x", "master_uri": uris[0], "master_uri_list": uris})
    assert len(managers.connections) == host_management.MOST
    assert managers.unseen == ["Of 600 connections, such as that of the Salt master 10.0.0.33, only 64 were tried"]
