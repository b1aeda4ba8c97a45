"""Where packets may be sent on to, by the text of rules, and the kernel's answer about tables of nftables."""

from __future__ import annotations

import struct
from typing import Any

import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_surroundings as firewall_surroundings
import _dualstack_host_ip as host_ip
import _dualstack_host_routes as host_routes
import pytest

Expected: Any = {"source": "193.0.6.139", "destination": "192.0.2.1"}


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("-j DNAT --to-destination 172.17.0.2:3306", ["172.17.0.2/32"]),
        ("-j DNAT --to-destination 172.17.0.2", ["172.17.0.2/32"]),
        ("-j DNAT --to-destination :8080", []),
        ("-j DNAT --to-destination 10.0.0.4-10.0.0.6:80-90 --random", ["10.0.0.4/31", "10.0.0.6/32"]),
        ("-j DNAT --to-destination [fd00::2]:3306", ["fd00::2/128"]),
        ("-j DNAT --to-destination fd00::2", ["fd00::2/128"]),
        ("-j DNAT --to-destination [fd00::4-fd00::5]:80", ["fd00::4/127"]),
        ("-d 192.0.2.0/24 -j NETMAP --to 10.9.0.0/24", ["10.9.0.0/24"]),
        ("-p tcp -j REDIRECT --to-ports 80", []),
        ("-j SNAT --to-source 192.0.2.9", []),
        ("-j DNAT --to-destination 193.0.6.139", []),
    ],
)
def test_where_rules_send_packets(rule: str, found: list[str]) -> None:
    text = f"*nat\n-A PREROUTING {rule}\nCOMMIT\n"
    assert [each for _, each in firewall_surroundings._networks([text], [], [Expected])] == found


def test_where_native_tables_send_packets() -> None:
    text = "map { 80 : 10.1.0.2 . 80, 81 : fd00::7 } dnat ip to 10.1.0.3:80 ether saddr 02:42:ac:11:00:02"
    found = firewall_surroundings._networks([], [text], [Expected])
    assert found == [("ipv4", "10.1.0.2/32"), ("ipv4", "10.1.0.3/32"), ("ipv6", "fd00::7/128")]
    assert firewall_surroundings._networks([], [text.replace("dnat", "counter")], [Expected]) == []


def test_a_host_behind_this_one() -> None:
    behind: Any = {"source": "193.0.6.139", "destination": "10.1.0.9", "behind": "192.0.2.1"}
    assert firewall_surroundings._networks([], [], [Expected, behind]) == [("ipv4", "10.1.0.9/32")]


def test_the_ways_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = [
        {"dst": "default", "dev": "eth0", "gateway": "192.0.2.254"},
        {"dst": "172.17.0.0/16", "dev": "docker0", "prefsrc": "172.17.0.1"},
        {"dst": "172.17.0.0/16", "dev": "eth9", "metric": 100},
        {"dst": "10.0.0.0/8", "nexthops": [{"dev": "eth1"}, {"dev": "eth2"}]},
        {"type": "local", "dst": "172.17.0.1", "dev": "docker0", "table": "local"},
        {"type": "broadcast", "dst": "172.17.255.255", "dev": "docker0", "table": "local"},
    ]
    monkeypatch.setattr(host_ip, "look", lambda words: routes if words[0] == "-4" else [])
    monkeypatch.setattr(host_routes, "address", lambda name, family: f"of {name}")
    asked = ["172.17.0.2/32", "172.17.0.1/32", "10.1.2.3/32", "203.0.113.9/32", "fd00::2/128"]
    families = [("ipv6" if ":" in each else "ipv4", each) for each in asked]
    found = firewall_surroundings._behind(families)
    assert [(each["network"], each["interface"], each["own"]) for each in found] == [
        ("172.17.0.2/32", "docker0", "172.17.0.1"),
        ("172.17.0.1/32", "lo", None),
        ("10.1.2.3/32", "eth1", "of eth1"),
        ("203.0.113.9/32", "eth0", "of eth0"),
    ], "and none to where there is no route"


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body + bytes(-len(body) % 4)


def table(family: int, name: bytes) -> bytes:
    text = name + b"\0"
    attribute = struct.pack("=HH", 4 + len(text), 1) + text + bytes(-len(text) % 4)
    return message(10 << 8, bytes((family, 0, 0, 0)) + struct.pack("=HHI", 8, 2, 0) + attribute)


def test_the_answer_of_the_kernel() -> None:
    said = table(1, b"firewalld") + table(2, b"filter") + table(10, b"crowdsec6")
    found = [("inet", "firewalld"), ("ip", "filter"), ("ip6", "crowdsec6")]
    assert firewall_surroundings._messages(said) == (found, False)
    assert firewall_surroundings._messages(said + message(3, bytes(4))) == (found, True)
    with pytest.raises(OSError, match="Errno 1"):
        firewall_surroundings._messages(message(2, struct.pack("=i", -1) + bytes(16)))


def test_the_interfaces_that_a_native_table_needs() -> None:
    text = """
        type filter hook ingress devices = { eth0, wan.7 } priority filter; policy accept;
        type filter hook ingress device "eth1" priority -500; policy accept;
        iif "docker0" oif { "br0", "br1" } accept
        iifname "cali*" oifname "wg0" accept
    """
    found = sorted(firewall_surroundings._links(text))
    assert found == ["br0", "br1", "docker0", "eth0", "eth1", "wan.7"]


def test_a_host_that_has_nothing_else() -> None:
    assert not any(firewall_rehearsal.Around()), "then nothing is paid for it"
