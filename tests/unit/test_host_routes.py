"""Where packets go and who manages this host, by what ip(8), the environment and the minion's configuration say."""

from __future__ import annotations

import json
import os
from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_host_management as host_management
import _dualstack_host_routes as host_routes
import pytest
from salt.exceptions import CommandExecutionError

Connection = host_management.Connection


class Ip:
    """What ip(8) prints, by its arguments; of all others it says that there is nothing."""

    def __init__(self) -> None:
        self.says: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, words: list[str]) -> host_commands.Said:
        assert words[:2] == ["ip", "-j"]
        asked = " ".join(words[2:])
        if asked not in self.says:
            return host_commands.Said(2, "", "RTNETLINK answers: Network is unreachable\n")
        return host_commands.Said(0, json.dumps(self.says[asked]), "")


@pytest.fixture
def ip(monkeypatch: pytest.MonkeyPatch) -> Ip:
    fake = Ip()
    monkeypatch.setattr(host_commands, "which", lambda name: f"/sbin/{name}")
    monkeypatch.setattr(host_commands, "output", fake)
    return fake


# --------------------------------------------------------------------------------------------------------------
# Routes


def test_the_route_to_a_host(ip: Ip) -> None:
    ip.says["route get 198.51.100.1"] = [{"dst": "198.51.100.1", "dev": "eth0", "prefsrc": "192.0.2.1", "flags": []}]
    assert host_routes.to("198.51.100.1") == host_routes.Route("eth0", "192.0.2.1", False)
    assert host_routes.to("2001:db8::1") == host_routes.Route(None, None, False)
    ip.says["route get 192.0.2.1"] = [{"type": "local", "dst": "192.0.2.1", "dev": "lo", "prefsrc": "192.0.2.1"}]
    assert host_routes.to("192.0.2.1").local is True
    ip.says["route get 192.0.2.99"] = []
    assert host_routes.to("192.0.2.99") == host_routes.Route()


def test_the_route_by_an_interface(ip: Ip) -> None:
    ip.says["route get 198.51.100.1 oif eth1"] = [{"dev": "eth1", "prefsrc": "192.0.2.2"}]
    assert host_routes.to("198.51.100.1", "eth1") == host_routes.Route("eth1", "192.0.2.2", False)
    # To ask for the loopback interface would be no route at all.
    ip.says["route get 127.0.0.1"] = [{"dev": "lo", "prefsrc": "127.0.0.1", "type": "local"}]
    assert host_routes.to("127.0.0.1", "lo").interface == "lo"


def link(*held: str) -> dict[str, Any]:
    """An interface with these addresses, each with its scope."""
    addresses = [
        {"family": "inet6" if ":" in local else "inet", "local": local, "prefixlen": 24, "scope": scope}
        for local, scope in map(str.split, held)
    ]
    return {"ifname": "eth0", "mtu": 1500, "flags": ["UP"], "addr_info": [{}, *addresses]}


def test_the_address_of_an_interface(ip: Ip) -> None:
    """A public one, if it has one."""
    ip.says["addr show dev eth0"] = [
        {},  # ip(8) prints one for every link that it does not show
        link("169.254.1.1 link", "192.0.2.1 global", "192.0.2.2 global", "fe80::1 link", "2001:db8::1 global"),
    ]
    assert host_routes.address("eth0", "ipv4") == "192.0.2.1"
    assert host_routes.address("eth0", "ipv6") == "2001:db8::1"
    ip.says["addr show dev eth1"] = [link("fe80::1 link")]
    assert host_routes.address("eth1", "ipv6") == "fe80::1"
    assert host_routes.address("eth1", "ipv4") is None
    assert host_routes.address("eth2", "ipv4") is None


def test_what_does_not_say_is_not_taken_for_no_route(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    ip.says["route get 192.0.2.99"] = [{"gateway": "192.0.2.1"}]
    with pytest.raises(CommandExecutionError, match="printed a route without an interface$"):
        host_routes.to("192.0.2.99")
    monkeypatch.setattr(host_commands, "output", lambda words: host_commands.Said(1, "", "Segmentation fault"))
    for ask in (host_routes.to, lambda host: host_routes.address(host, "ipv4")):
        with pytest.raises(CommandExecutionError, match="ended with 1 and said: Segmentation fault$"):
            ask("192.0.2.99")


# --------------------------------------------------------------------------------------------------------------
# Who manages this host


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Processes: for each, its environment and its parent. This one has the first number."""
    found: dict[str, bytes] = {}

    def write(processes: dict[int, tuple[bytes, int]]) -> None:
        found.clear()
        for number, (environment, parent) in processes.items():
            found[f"/proc/{number}/environ"] = environment
            found[f"/proc/{number}/status"] = b"Name:\tx\nPid:\t%d\nPPid:\t%d\n" % (number, parent)
        monkeypatch.setattr(os, "getpid", lambda: next(iter(processes)))

    class Stream:
        def __init__(self, path: str, mode: str) -> None:
            assert mode == "rb", "an environment may hold any bytes"
            if path not in found:
                raise FileNotFoundError(path)
            self.path = path

        def __enter__(self) -> Stream:
            return self

        def __exit__(self, *_: Any) -> None:
            pass

        def read(self) -> bytes:
            return found[self.path]

    monkeypatch.setattr("salt.utils.files.fopen", Stream)
    return write


LOGGED_IN = b"HOME=/root\0SSH_CONNECTION=192.0.2.7 40000 192.0.2.1 2222\0TERM=x\0"


def test_the_client_of_the_nearest_session_is_let_in_again(ip: Ip, session: Any) -> None:
    ip.says["route get 192.0.2.1"] = [{"type": "local", "dev": "lo"}]
    expected = Connection(
        "ipv4", "in", "192.0.2.7", 2222, "the ssh client 192.0.2.7, who is logged in", "192.0.2.1", None
    )
    for environment in (LOGGED_IN, LOGGED_IN[len(b"HOME=/root\0") :]):
        session({500: (b"A=b\0", 400), 400: (environment, 300), 300: (b"SSH_CONNECTION=1 2 3 4\0", 1)})
        assert host_management.connections({}) == [expected]


def test_nobody_is_logged_in(ip: Ip, session: Any) -> None:
    session({500: (b"OLD_SSH_CONNECTION=a b c d\0SSH_CONNECTIONS=a\0", 400), 400: (b"", 0)})
    assert host_management.connections({}) == []
    session({500: (b"A=b\0", 400)})  # a parent that may not be looked at
    assert host_management.connections({}) == []
    session({500: (b"SSH_CONNECTION=\0", 400), 400: (b"SSH_CONNECTION=a b c\0", 0)})
    assert host_management.connections({}) == []


def test_a_session_on_another_host_or_namespace_is_none(ip: Ip, session: Any) -> None:
    session({500: (LOGGED_IN, 1)})
    ip.says["route get 192.0.2.1"] = [{"dev": "eth0"}]
    assert host_management.connections({}) == []


def test_a_session_over_a_link_local_address(ip: Ip, session: Any) -> None:
    """No route leads there; the zone is the interface."""
    session({500: (b"SSH_CONNECTION=fe80::7%eth0 40000 fe80::1%eth0 22\0", 1)})
    assert host_management.connections({}) == [
        Connection("ipv6", "in", "fe80::7", 22, "the ssh client fe80::7, who is logged in", "fe80::1", "eth0")
    ]


def out(master: str, *ports: int) -> list[Connection]:
    family = "ipv6" if ":" in master else "ipv4"
    return [Connection(family, "out", master, port, f"the Salt master {master}") for port in ports]


def test_every_master_stays_reachable(ip: Ip, session: Any) -> None:
    session({500: (b"", 0)})
    minion = {"file_client": "remote", "master_ip": "192.0.2.9", "master_uri": "tcp://192.0.2.9:4506"}
    assert host_management.connections(minion) == out("192.0.2.9", 4505, 4506)
    six = {**minion, "master_uri": "tcp://[2001:db8::9]:14506", "publish_port": "14505"}
    assert host_management.connections(six) == out("2001:db8::9", 14505, 14506)
    several = {**minion, "master_uri_list": ["tcp://192.0.2.9:4506", "tcp://[2001:db8::9]:4506"]}
    assert host_management.connections(several) == out("192.0.2.9", 4505, 4506) + out("2001:db8::9", 4505, 4506)


def test_a_minion_without_a_master_has_none(ip: Ip, session: Any) -> None:
    session({500: (b"", 0)})
    masterless = {"file_client": "local", "master_ip": "192.0.2.9", "master_uri": "tcp://192.0.2.9:4506"}
    assert host_management.connections(masterless) == []
    assert host_management.connections({"file_client": "remote", "master": "salt"}) == []
