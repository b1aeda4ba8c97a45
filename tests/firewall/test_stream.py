"""A firewall that changes under a stream of packets, and IPv6 alive behind one that drops."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import netfilter

Converge = Callable[..., dict[str, Any]]
OWN = {"ipv4": "192.0.2.1", "ipv6": "2001:db8:5::1"}
PEER = {"ipv4": "192.0.2.2", "ipv6": "2001:db8:5::2"}
FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
ALLOWED, FORBIDDEN, LEAVING = 5001, 5002, 5003
ROOM = 64 * 1024 * 1024  # bytes: nothing reads while the stream flows
SO_RCVBUFFORCE = 33

# Sends datagrams to both ports in both families, 1 ms apart, and lines through TCP, until its input ends.
SENDER = f"""
import json, select, socket, sys, time
own, ports, leaving = json.loads(sys.argv[1]), ({ALLOWED}, {FORBIDDEN}), {LEAVING}
kinds = {{"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}}
datagrams = {{family: socket.socket(kind, socket.SOCK_DGRAM) for family, kind in kinds.items()}}
streams = {{family: socket.create_connection((own[family], leaving)) for family in kinds}}
print("connected", flush=True)
number, due = 0, time.monotonic()
while not select.select([sys.stdin], [], [], 0)[0]:
    for family in kinds:
        for port in ports:
            datagrams[family].sendto(b"%d" % number, (own[family], port))
        streams[family].sendall(b"%d\\n" % number)
    number += 1
    due += 0.001
    time.sleep(max(0, due - time.monotonic()))
for stream in streams.values():
    stream.shutdown(socket.SHUT_WR)
    stream.recv(1)
print(number, flush=True)
"""

# One echo request, and whether the answer to it comes.
PING = """
import socket, sys
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
raw.settimeout(3)
raw.sendto(b"\\x80\\0\\0\\0\\x12\\x34\\0\\1ping", (sys.argv[1], 0))
try:
    while True:
        data, sender = raw.recvfrom(2048)
        if data[:1] == b"\\x81" and data[4:6] == b"\\x12\\x34":
            sys.exit(0)
except TimeoutError:
    sys.exit(1)
"""


@pytest.fixture
def _peer() -> Iterator[None]:
    """A neighbour in a namespace of its own, behind a veth."""
    netfilter.run("ip", "netns", "add", "peer")
    netfilter.run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", "peer")
    for words, name, addresses in (([], "near", OWN), (["-n", "peer"], "far", PEER)):
        netfilter.run("ip", *words, "addr", "add", f"{addresses['ipv4']}/24", "dev", name)
        netfilter.run("ip", *words, "addr", "add", f"{addresses['ipv6']}/64", "dev", name, "nodad")
        netfilter.run("ip", *words, "link", "set", name, "up")
    yield
    netfilter.run("ip", "link", "del", "near")
    netfilter.run("ip", "netns", "del", "peer")


def fillers(net: int) -> list[str]:
    """A thousand rules that have nothing to do with the stream."""
    ipv4 = [f"-s 10.{net}.{number // 250}.{number % 250} -p tcp --dport 80 -j ACCEPT" for number in range(1000)]
    ipv6 = [f"-s 2001:db8:{net}::{number:x} -p tcp --dport 80 -j ACCEPT" for number in range(1000)]
    return [*ipv4, *ipv6]


def receivers(port: int) -> dict[str, socket.socket]:
    """A datagram socket for each family, with room for the whole stream."""
    found = {}
    for family, kind in FAMILIES.items():
        found[family] = socket.socket(kind, socket.SOCK_DGRAM)
        if family == "ipv6":
            found[family].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found[family].setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        found[family].bind((OWN[family], port))
        found[family].setblocking(False)
    return found


def received(receiver: socket.socket) -> list[int]:
    """The numbers of the datagrams that came, in order."""
    numbers = []
    while True:
        try:
            numbers.append(int(receiver.recv(100)))
        except BlockingIOError:
            return numbers


@pytest.mark.usefixtures("_peer")
def test_a_change_of_a_thousand_rules_under_a_stream(converge: Converge, backend: str) -> None:
    keep = ["-i lo -j ACCEPT", f"-p udp --dport {ALLOWED} -j ACCEPT", "-m conntrack --ctstate ESTABLISHED -j ACCEPT"]
    connect = f"-p tcp --dport {LEAVING} -j ACCEPT"
    old = {"filter": {"INPUT": {"policy": "DROP", "rules": [*fillers(1), *keep, connect]}}}
    new = {"filter": {"INPUT": {"policy": "DROP", "rules": [*fillers(2), *keep]}}}
    assert converge(old)["result"] is True
    allowed, forbidden = receivers(ALLOWED), receivers(FORBIDDEN)
    listeners = {family: socket.create_server((OWN[family], LEAVING), family=kind) for family, kind in FAMILIES.items()}
    words = ["ip", "netns", "exec", "peer", sys.executable, "-c", SENDER, json.dumps(OWN)]
    sender = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert sender.stdin and sender.stdout and sender.stdout.readline() == "connected\n"
    connections = {family: listener.accept()[0] for family, listener in listeners.items()}

    time.sleep(0.3)
    changed = converge(new)
    time.sleep(0.3)

    sender.stdin.close()
    lines = {}
    for family, connection in connections.items():
        connection.settimeout(10)
        lines[family] = b"".join(iter(lambda each=connection: each.recv(65536), b"")).split()  # type: ignore[misc]
        connection.sendall(b".")
    sent = int(sender.stdout.readline())
    sender.wait()
    assert changed["result"] is True, changed["comment"]
    assert sent > 600
    for family in FAMILIES:
        assert received(allowed[family]) == list(range(sent)), "allowed packets were lost"
        assert received(forbidden[family]) == [], "forbidden packets came in"
        assert lines[family] == [b"%d" % number for number in range(sent)], "the connection was broken"
        counters = netfilter.save(family, backend, counters=True).splitlines()
        counted = next(line for line in counters if f"--dport {ALLOWED}" in line)
        assert counted.startswith(f"[{sent}:"), "the counters were reset"
    for each in [*allowed.values(), *forbidden.values(), *listeners.values(), *connections.values()]:
        each.close()


def pings() -> tuple[bool, bool]:
    """Whether this host reaches its neighbour, and the neighbour this host, when neither knows the other."""
    found = []
    for words, target in (([], PEER["ipv6"]), (["ip", "netns", "exec", "peer"], OWN["ipv6"])):
        netfilter.run("ip", "neigh", "flush", "all")
        netfilter.run("ip", "-n", "peer", "neigh", "flush", "all")
        done = subprocess.run([*words, sys.executable, "-c", PING, target], check=False)
        found.append(done.returncode == 0)
    return found[0], found[1]


DROPPING = {"filter": {chain: {"policy": "DROP", "rules": ["-j DROP"]} for chain in ("INPUT", "OUTPUT", "FORWARD")}}


@pytest.mark.usefixtures("_peer")
@pytest.mark.parametrize(
    "others",
    [{}, {"raw": {"PREROUTING": ["-j DROP"], "OUTPUT": ["-j DROP"]}}, {"mangle": {"INPUT": {"policy": "DROP"}}}],
    ids=["filter", "raw", "mangle"],
)
def test_ipv6_is_alive_behind_a_firewall_that_drops_everything(converge: Converge, others: dict[str, Any]) -> None:
    done = converge({**DROPPING, **others})
    assert done["result"] is True, done["comment"]
    assert pings() == (True, True)


@pytest.mark.usefixtures("_peer")
def test_without_what_is_essential_ipv6_is_dead(converge: Converge) -> None:
    """The tests above can fail."""
    assert converge(DROPPING, icmpv6_essential=False)["result"] is True
    assert pings() == (False, False)
