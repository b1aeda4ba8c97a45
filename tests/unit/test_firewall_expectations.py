"""Valid and invalid expectations."""

from __future__ import annotations

from typing import Any

import _dualstack_firewall_expectations as firewall_expectations
import _dualstack_firewall_view as firewall_view
import pytest
from salt.exceptions import SaltInvocationError


def wishes(**entry: Any) -> list[tuple[Any, ...]]:
    """Family, protocol, own address, remote address, port."""
    found, problems = firewall_expectations.read([{"verdict": "accept", **entry}])
    assert problems == []
    return [(each["family"], each["protocol"], each["own"], each["remote"], each["port"]) for each in found]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"to": "tcp/22"}, [("ipv4", "tcp", None, None, 22), ("ipv6", "tcp", None, None, 22)]),
        ({"to": "udp/53", "family": "ipv6"}, [("ipv6", "udp", None, None, 53)]),
        ({"to": "icmp"}, [("ipv4", "icmp", None, None, None), ("ipv6", "icmp", None, None, None)]),
        ({"to": "nd"}, [("ipv6", "nd", None, "fe80::1", None)]),
        (
            {"to": ["tcp/25,80", "udp/53"], "family": "ipv4"},
            [("ipv4", "tcp", None, None, 25), ("ipv4", "tcp", None, None, 80), ("ipv4", "udp", None, None, 53)],
        ),
        ({"to": "tcp/[2001:DB8::0:1]:22"}, [("ipv6", "tcp", "2001:db8::1", None, 22)]),
        ({"to": "tcp/192.0.2.1:22,23"}, [("ipv4", "tcp", "192.0.2.1", None, port) for port in (22, 23)]),
        ({"to": "tcp/22", "address": "192.0.2.1"}, [("ipv4", "tcp", "192.0.2.1", None, 22)]),
        (
            {"to": "tcp/3306", "from": ["198.51.100.7", "2001:db8:1::7"]},
            [("ipv4", "tcp", None, "198.51.100.7", 3306), ("ipv6", "tcp", None, "2001:db8:1::7", 3306)],
        ),
        ({"to": "tcp/1", "from": "192.0.2.0/24"}, [("ipv4", "tcp", None, "192.0.2.1", 1)]),
        ({"to": "tcp/1", "from": "192.0.2.9/24"}, [("ipv4", "tcp", None, "192.0.2.9", 1)]),
        ({"to": "tcp/1", "from": "192.0.2.8/31"}, [("ipv4", "tcp", None, "192.0.2.8", 1)]),
        ({"to": "tcp/1", "from": "2001:db8::/32"}, [("ipv6", "tcp", None, "2001:db8::1", 1)]),
        ({"to": "tcp/1", "from": "::/0"}, [("ipv6", "tcp", None, None, 1)]),
        (
            {"to": "tcp/443", "direction": "out", "address": "192.0.2.53"},
            [("ipv4", "tcp", None, "192.0.2.53", 443)],
        ),
    ],
)
def test_what_is_tried(entry: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    assert wishes(**entry) == expected


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"to": "tpc/22"}, ":to: 'tpc/22' is not tcp/PORT, udp/PORT, icmp or nd, as in tcp/22 or tcp/25,80,143"),
        ({"to": 22}, ":to: 22 is not tcp/PORT, udp/PORT, icmp or nd, as in tcp/22 or tcp/25,80,143"),
        ({"to": "tcp/ssh"}, ":to: 'tcp/ssh' is not tcp/PORT, udp/PORT, icmp or nd, as in tcp/22 or tcp/25,80,143"),
        ({"to": "tcp/0"}, ":to: 'tcp/0' has a port that is not a whole number from 1 to 65535"),
        ({"to": "udp/22,65536"}, ":to: 'udp/22,65536' has a port that is not a whole number from 1 to 65535"),
        ({"to": "tcp/[2001:db8::g]:22"}, ":to: '2001:db8::g' is not an address"),
        ({"to": []}, ":to: expected at least one, found an empty list"),
        ({}, ":to: missing; expected for instance tcp/22"),
        ({"to": "tcp/22", "verdict": None}, ":verdict: None is not one of accept, drop, reject, deny"),
        ({"to": "tcp/22", "verdict": "ACCEPT"}, ":verdict: 'ACCEPT' is not one of accept, drop, reject, deny"),
        ({"to": "tcp/22", "from": "salt.example.org"}, ":from: 'salt.example.org' is not an address or a network"),
        ({"to": "tcp/22", "from": 7}, ":from: 7 is not an address or a network"),
        ({"to": "tcp/22", "from": []}, ":from: expected at least one, found an empty list"),
        ({"to": "tcp/22", "from": "224.0.0.1"}, ":from: '224.0.0.1' is not the address of a host"),
        (
            {"to": "tcp/22", "from": "fe80::1%eth0"},
            ":from: 'fe80::1%eth0' has a zone; the interface is a key of its own",
        ),
        ({"to": "tcp/22", "address": "::"}, ":address: '::' is not the address of a host"),
        ({"to": "tcp/22", "address": "192.0.2.0/24"}, ":address: '192.0.2.0/24' is not an address"),
        ({"to": "tcp/22", "interface": "eth0; reboot"}, ":interface: 'eth0; reboot' is not the name of an interface"),
        ({"to": "tcp/22", "family": "inet6"}, ":family: 'inet6' is not one of ipv4, ipv6"),
        ({"to": "tcp/22", "form": "192.0.2.1"}, ":form: unknown key; did you mean from?"),
        (
            {"to": "tcp/22", "zone": "x"},
            ":zone: unknown key; expected one of to, verdict, from, address, interface, family, direction, via",
        ),
        (
            {"to": "tcp/22", "direction": "out", "from": "192.0.2.1"},
            ":from: is for what comes in; where a connection goes to is its address",
        ),
        ({"to": "tcp/22", "via": "nat"}, ":via: 'nat' is not one of forward, input"),
        (
            {"to": "tcp/22", "via": "forward", "direction": "out", "address": "192.0.2.1"},
            ":via: is for what comes in from others",
        ),
        ({"to": "tcp/22", "via": "input", "interface": "lo"}, ":via: is for what comes in from others"),
        ({"to": "nd", "via": "forward"}, ":via: nd is not forwarded"),
        (
            {"to": "nd", "from": "2001:db8::1"},
            ":to: nd comes in, from a neighbour; it has neither from nor direction",
        ),
        (
            {"to": ["tcp/22", "nd"], "direction": "in"},
            ":to: nd comes in, from a neighbour; it has neither from nor direction",
        ),
        (
            {"to": "tcp/22", "from": "192.0.2.1", "address": "2001:db8::1"},
            ": no family is left; family, to, from and address have none in common",
        ),
        (
            {"to": ["tcp/22", "nd"], "family": "ipv4"},
            ": no family is left; family, to, from and address have none in common",
        ),
    ],
)
def test_what_is_refused(entry: dict[str, Any], problem: str) -> None:
    good = {"to": "tcp/22", "verdict": "accept"}
    bad = {"verdict": "accept", **entry}
    assert firewall_expectations.errors([good, bad]) == [f"[1]{problem}"]


def test_what_is_forwarded() -> None:
    found, problems = firewall_expectations.read([{"to": "tcp/80", "verdict": "accept", "via": "forward"}])
    assert problems == [] and [each["via"] for each in found] == ["forward", "forward"]
    given = {"to": "tcp/22", "verdict": "deny"}
    assert firewall_expectations.closes([given], "ipv4", 22, None)
    assert not firewall_expectations.closes([{**given, "via": "forward"}], "ipv4", 22, None), "not this host's"


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        (None, {}),
        ("192.0.2.7", {"ipv4": ["192.0.2.7"]}),
        (["192.0.2.7", "2001:db8::/48"], {"ipv4": ["192.0.2.7"], "ipv6": ["2001:db8::1"]}),
    ],
)
def test_the_hosts_that_stand_for_anywhere(hosts: Any, found: Any) -> None:
    assert firewall_expectations.anywhere(hosts) == (found, [])


@pytest.mark.parametrize(
    ("hosts", "problem"),
    [
        ("everywhere", ": 'everywhere' is not an address or a network"),
        ([], ": expected at least one, found an empty list"),
        (["0.0.0.0/0"], ": a network of all addresses is what this is to stand for; expected hosts in it"),
        ({"ipv4": "192.0.2.1"}, ": {'ipv4': '192.0.2.1'} is not an address or a network"),
    ],
)
def test_hosts_that_stand_for_nobody(hosts: Any, problem: str) -> None:
    assert firewall_expectations.anywhere(hosts) == ({}, [problem])


def test_every_error_is_reported_at_once() -> None:
    problems = firewall_expectations.errors([{"to": "x"}, "tcp/22", {"verdict": "drop"}])
    assert [each.partition(": ")[0] for each in problems] == ["[0]:to", "[0]:verdict", "[1]", "[2]:to"]
    assert firewall_expectations.errors({"to": "tcp/22"}) == [": expected a list, found {'to': 'tcp/22'}"]
    with pytest.raises(SaltInvocationError, match=r"expect\[0\]:to: 'x' is not .*\nexpect\[0\]:verdict: missing"):
        firewall_view.expectations([{"to": "x"}])


def test_all_that_is_known_of_a_packet() -> None:
    entry = {"to": ["tcp/1,65535", "nd"], "verdict": "deny", "interface": "eth0", "family": "ipv6"}
    usual: dict[str, Any] = {
        "family": "ipv6",
        "direction": "in",
        "own": None,
        "interface": "eth0",
        "verdict": "deny",
        "why": "expect[0]",
    }
    assert firewall_expectations.read([entry])[0] == [
        {**usual, "protocol": "tcp", "remote": None, "port": 1},
        {**usual, "protocol": "tcp", "remote": None, "port": 65535},
        {**usual, "protocol": "nd", "remote": "fe80::1", "port": None},
    ]
    out = {"to": "udp/53", "verdict": "reject", "direction": "out", "address": ["192.0.2.53", "2001:db8::53"]}
    found = firewall_expectations.read([{"to": "icmp", "verdict": "drop", "direction": "in", "family": "ipv4"}, out])[0]
    usual = {"protocol": "udp", "port": 53, "own": None, "interface": None, "verdict": "reject", "why": "expect[1]"}
    assert found == [
        {**usual, "family": "ipv4", "direction": "in", "protocol": "icmp", "port": None, "remote": None,
         "verdict": "drop", "why": "expect[0]"},
        {**usual, "family": "ipv4", "direction": "out", "remote": "192.0.2.53"},
        {**usual, "family": "ipv6", "direction": "out", "remote": "2001:db8::53"},
    ]  # fmt: skip


@pytest.mark.parametrize("address", ["255.255.255.255", "0.0.0.0", "::", "224.0.0.1", "ff02::1"])
def test_an_address_that_no_host_has(address: str) -> None:
    for key in ("from", "address"):
        problems = firewall_expectations.errors([{"to": "tcp/22", "verdict": "accept", key: address}])
        assert problems == [f"[0]:{key}: {address!r} is not the address of a host"]


@pytest.mark.parametrize("name", ["eth0", "he-ipv6", "br_0", "eth0.100", "veth@if2", "x", "a" * 15])
def test_the_name_of_an_interface(name: str) -> None:
    entry = {"to": "tcp/22", "verdict": "accept", "interface": name}
    assert firewall_expectations.errors([entry]) == []
    assert (
        len(firewall_expectations.errors([{**entry, "interface": f"{name} "}, {**entry, "interface": "b" * 16}])) == 2
    )
