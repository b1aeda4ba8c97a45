"""Connections that are older than the kernel's tracking, as it has them afterwards."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _dualstack_firewall_conntrack as firewall_conntrack
import pytest

LOOPBACK = {"ipv4": "127.0.0.1", "ipv6": "::1"}
TIMEOUT = Path("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listener of both families on ``::``."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as opened:
        opened.settimeout(10)
        yield opened


@pytest.fixture
def connect(listener: socket.socket) -> Iterator[Any]:
    """Open a connection to the listener over one family, and return the port of the end that opened it."""
    held = []

    def run(family: str) -> int:
        held.append(socket.create_connection((LOOPBACK[family], listener.getsockname()[1]), timeout=10))
        held.append(listener.accept()[0])
        return int(held[-2].getsockname()[1])

    yield run
    for each in held:
        each.close()


def tracked(port: int) -> list[str]:
    """What the kernel tracks of the connections that were opened from a port."""
    lines = Path("/proc/net/nf_conntrack").read_text().splitlines()
    return [" ".join(line.split()) for line in lines if re.search(rf"dport=\d+ .* dport={port}\b", line)]


@pytest.mark.parametrize("family", LOOPBACK)
def test_what_the_kernel_knows_of_it(listener: socket.socket, connect: Any, family: str) -> None:
    """Who opened it, over which family, that it is established, and for how long without a packet."""
    there, here = connect(family), listener.getsockname()[1]
    assert tracked(there) == []
    firewall_conntrack.enter()
    (line,) = tracked(there)
    address = {"ipv4": "127.0.0.1", "ipv6": "0000:0000:0000:0000:0000:0000:0000:0001"}[family]
    ends = f"src={address} dst={address}"
    found = re.fullmatch(
        rf"{family} \d+ tcp 6 (\d+) ESTABLISHED {ends} sport={there} dport={here} {ends} sport={here} dport={there} "
        r"\[ASSURED\] mark=0 .*",
        line,
    )
    assert found, line
    assert 0 <= int(TIMEOUT.read_text()) - int(found[1]) <= 10


def test_each_is_entered_once(connect: Any) -> None:
    """However many of this host's sockets are ends of it, and however often this is done."""
    firewall_conntrack.enter()
    ports = [connect("ipv4"), connect("ipv6"), connect("ipv4")]
    assert firewall_conntrack.enter() == 3
    before = [tracked(port) for port in ports]
    assert firewall_conntrack.enter() == 0
    assert [len(each) for each in before] == [1, 1, 1]


def test_the_hosts_own_patience_is_used(connect: Any) -> None:
    usual = TIMEOUT.read_text()
    port = connect("ipv4")
    TIMEOUT.write_text("1000")
    try:
        firewall_conntrack.enter()
        (line,) = tracked(port)
    finally:
        TIMEOUT.write_text(usual)
    assert 990 <= int(line.split()[4]) <= 1000
