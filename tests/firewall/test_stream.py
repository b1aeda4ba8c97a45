"""What packets feel of a change, and of policies that drop all; a neighbour at the other end of a veth sends them."""

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

HOST = {"ipv4": "192.0.2.1", "ipv6": "2001:db8:5::1"}
NEIGHBOUR = {"ipv4": "192.0.2.2", "ipv6": "2001:db8:5::2"}
LINK_LOCAL = {"host": "fe80::1", "neighbour": "fe80::2"}
THERE = ("ip", "netns", "exec", "neighbour")
SOCKETS = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
NETWORK = f"""
ip netns add neighbour
ip link add lan type veth peer name lan netns neighbour
ip link set lan addrgenmode none up
ip -n neighbour link set lan addrgenmode none up
ip addr add {HOST["ipv4"]}/24 dev lan
ip addr add {HOST["ipv6"]}/64 dev lan nodad
ip addr add {LINK_LOCAL["host"]}/64 dev lan nodad
ip -n neighbour addr add {NEIGHBOUR["ipv4"]}/24 dev lan
ip -n neighbour addr add {NEIGHBOUR["ipv6"]}/64 dev lan nodad
ip -n neighbour addr add {LINK_LOCAL["neighbour"]}/64 dev lan nodad
"""


@pytest.fixture(scope="module", autouse=True)
def _neighbour() -> Iterator[None]:
    """A network namespace at the other end of this one's interface ``lan``."""
    netfilter.run("sh", "-ec", NETWORK)
    yield
    netfilter.run("ip", "link", "delete", "lan")
    netfilter.run("ip", "netns", "delete", "neighbour")


# --------------------------------------------------------------------------------------------------------------
# A change under a stream of packets

ALLOWED, FORBIDDEN, ESTABLISHED, TCP = 5000, 5001, 5002, 6000
SEND = """
import json, select, socket, sys, time
host, allowed, forbidden, established, tcp = sys.argv[1].split(","), *map(int, sys.argv[2:])
flows = {}
for address in host:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in (allowed, forbidden, established):
        flows[address, port] = socket.socket(family, socket.SOCK_DGRAM)
    known = flows[address, established]
    known.settimeout(10)
    known.sendto(b"hello", (address, established))
    known.recv(9)
    while (address, tcp) not in flows:
        try:
            flows[address, tcp] = socket.create_connection((address, tcp), timeout=10)
        except ConnectionRefusedError:
            time.sleep(0.01)
    flows[address, tcp].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print("ready", flush=True)
number, following = 0, time.monotonic()
while not select.select([sys.stdin], [], [], max(0, following - time.monotonic()))[0]:
    for (address, port), flow in flows.items():
        if port == tcp:
            flow.sendall(number.to_bytes(4, "big"))
        else:
            flow.sendto(number.to_bytes(4, "big"), (address, port))
    number += 1
    following += 0.001
echoed = {}
for (address, port), flow in flows.items():
    if port == tcp:
        flow.settimeout(10)
        flow.shutdown(socket.SHUT_WR)
        echoed[address] = b"".join(iter(lambda: flow.recv(65536), b"")).hex()
print(json.dumps({"sent": number, "echoed": echoed}))
"""
ECHO = """
import selectors, socket, sys
ready = selectors.DefaultSelector()
listener = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
ready.register(listener, selectors.EVENT_READ)
ready.register(sys.stdin, selectors.EVENT_READ)
while True:
    for key, _ in ready.select():
        if key.fileobj is sys.stdin:
            sys.exit()
        if key.fileobj is listener:
            ready.register(listener.accept()[0], selectors.EVENT_READ)
            continue
        data = key.fileobj.recv(65536)
        key.fileobj.sendall(data)
        if not data:
            ready.unregister(key.fileobj)
            key.fileobj.close()
"""


@pytest.fixture
def receivers() -> Iterator[dict[tuple[str, int], socket.socket]]:
    """A socket for each family and port. They keep what comes in until somebody looks."""
    found = {}
    for family, address in HOST.items():
        for port in (ALLOWED, FORBIDDEN, ESTABLISHED):
            found[family, port] = receiver = socket.socket(SOCKETS[family], socket.SOCK_DGRAM)
            receiver.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), 256 << 20)
            receiver.bind((address, port))
            receiver.settimeout(10)
    yield found
    for receiver in found.values():
        receiver.close()


def received(receiver: socket.socket) -> list[int]:
    """The numbers of the packets that have come in."""
    receiver.setblocking(False)
    numbers = []
    while True:
        try:
            numbers.append(int.from_bytes(receiver.recv(9), "big"))
        except BlockingIOError:
            return numbers


def start(script: str, *words: object, at: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start a script, here or elsewhere, with a pipe at both its ends. It is to end when its input does."""
    command = [*at, sys.executable, "-c", script, *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tables(first: int, policy: str, *new: str) -> dict[str, Any]:
    """Many rules, those that let the stream pass among them, and those that stop it."""
    udp = "-p udp -m udp --dport"
    others = [f"-p tcp -m tcp --dport {port} -j REJECT --reject-with tcp-reset" for port in range(first, first + 1000)]
    rules = [*others[:500], "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", f"{udp} {ALLOWED} -j ACCEPT"]
    rules += [f"{udp} {FORBIDDEN} -j own", *new, *others[500:]]
    own = [f"-p udp -m udp --sport {first} -j RETURN", "-j DROP", f"-p udp -m udp --dport {first} -j RETURN"]
    return {"filter": {"INPUT": {"policy": policy, "rules": rules}, "own": own}}


@pytest.mark.parametrize("policy", ["DROP", "ACCEPT"])
def test_a_change_of_a_thousand_rules_is_not_felt(
    converge: Converge, backend: str, policy: str, receivers: dict[tuple[str, int], socket.socket]
) -> None:
    new = [f"-p udp -m udp --dport {ESTABLISHED} -j ACCEPT", f"-p tcp -m tcp --dport {TCP} -j ACCEPT"]
    before, after = tables(10_000, policy, *new), tables(20_000, policy, "-m conntrack --ctstate NEW -j DROP")
    assert converge(before)["result"] is True
    numbers = (ALLOWED, FORBIDDEN, ESTABLISHED, TCP)
    with start(ECHO, TCP), start(SEND, ",".join(HOST.values()), *numbers, at=THERE) as sender:
        assert sender.stdout
        for family in HOST:
            _, neighbour = receivers[family, ESTABLISHED].recvfrom(9)
            receivers[family, ESTABLISHED].sendto(b"hello", neighbour)
        assert sender.stdout.readline() == "ready\n"
        for each in (after, before, after):
            time.sleep(0.1)
            done = converge(each)
            assert done["result"] is True, done["comment"]
            assert len(done["changes"]["ipv4"]["filter INPUT"]["added"]) > 1000
        time.sleep(0.1)
        told = json.loads(sender.communicate("stop", timeout=60)[0])
    sent = list(range(told["sent"]))
    assert len(sent) > 300
    for family, address in HOST.items():
        assert received(receivers[family, FORBIDDEN]) == []
        assert received(receivers[family, ALLOWED]) == sent
        assert received(receivers[family, ESTABLISHED]) == sent
        assert told["echoed"][address] == b"".join(number.to_bytes(4, "big") for number in sent).hex()
        lines = netfilter.save(family, backend, counters=True).split("\n")
        counted = {
            rule: int(count[1:].split(":")[0]) for count, _, rule in (line.partition("] ") for line in lines) if rule
        }
        assert counted[f"-A INPUT -p udp -m udp --dport {ALLOWED} -j ACCEPT"] == len(sent)
        assert counted[f"-A INPUT -p udp -m udp --dport {FORBIDDEN} -j own"] == len(sent)
        assert counted["-A own -j DROP"] == len(sent)


CONNECT = """
import socket, sys
address = (sys.argv[1], int(sys.argv[2]))
first = socket.create_connection(address, timeout=10)
print("ready", flush=True)
stream = first.makefile()
for _ in range(3):
    print(stream.readline(), end="", flush=True)
sys.stdin.readline()
try:
    socket.create_connection(address, timeout=0.5)
    print("accepted", flush=True)
except TimeoutError:
    print("refused", flush=True)
"""


def test_a_connection_of_which_the_rule_has_left(converge: Converge) -> None:
    """It goes on, and there is no second one."""
    conntrack = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"

    def declared(*rules: str) -> dict[str, Any]:
        return {"filter": {"INPUT": {"policy": "DROP", "rules": [conntrack, *rules]}}}

    assert converge(declared(f"-p tcp --dport {TCP} -j ACCEPT"))["result"] is True
    with socket.create_server(("::", TCP), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        listener.settimeout(10)
        for address in HOST.values():
            with start(CONNECT, address, TCP, at=THERE) as client:
                assert client.stdin and client.stdout
                assert client.stdout.readline() == "ready\n"
                connection = listener.accept()[0]
                for rules in ([], ["-p tcp --dport 1:65535 -j DROP"], []):
                    assert converge(declared(*rules))["result"] is True
                    connection.sendall(b"line\n")
                    assert client.stdout.readline() == "line\n"
                client.stdin.write("again\n")
                client.stdin.flush()
                assert client.stdout.readline() == "refused\n"
                connection.close()
            converge(declared(f"-p tcp --dport {TCP} -j ACCEPT"))


SPEAK = """
import socket, sys
address, port, opens = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "there"
if opens:
    connection = socket.create_connection((address, port))
else:
    listener = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    print("ready", flush=True)
    connection = listener.accept()[0]
sys.stdin.readline()
connection.sendall(b"a word")
sys.stdin.readline()
"""


@pytest.mark.parametrize("family", SOCKETS)
@pytest.mark.parametrize("opened", ["here", "there"])
def test_a_connection_that_is_older_than_the_tracking(converge: Converge, family: str, opened: str) -> None:
    """No rule has asked for tracking when it is opened; the other end is the next to speak on it, and is heard."""
    rules = ["-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
    with socket.create_server((HOST[family], TCP), family=SOCKETS[family]) as listener:
        listener.settimeout(10)
        address = HOST[family] if opened == "there" else NEIGHBOUR[family]
        with start(SPEAK, address, TCP, opened, at=THERE) as other:
            assert other.stdin and other.stdout
            if opened == "there":
                connection = listener.accept()[0]
            else:
                assert other.stdout.readline() == "ready\n"
                connection = socket.create_connection((address, TCP))
            connection.settimeout(3)
            assert converge({"filter": {"INPUT": {"policy": "DROP", "rules": rules}}})["result"] is True
            other.stdin.write("\n")
            other.stdin.flush()
            assert connection.recv(100) == b"a word"
            connection.close()


@pytest.mark.parametrize("family", SOCKETS)
def test_it_may_have_been_opened_to_a_listener_of_both_families(converge: Converge, family: str) -> None:
    """Over IPv4 too, which such a listener sees as IPv6, from ``::ffff:192.0.2.2``."""
    rules = ["-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        listener.settimeout(10)
        with start(SPEAK, HOST[family], listener.getsockname()[1], "there", at=THERE) as other:
            assert other.stdin
            with listener.accept()[0] as connection:
                connection.settimeout(3)
                assert converge({"filter": {"INPUT": {"policy": "DROP", "rules": rules}}})["result"] is True
                other.stdin.write("\n")
                other.stdin.flush()
                assert connection.recv(100) == b"a word"


# --------------------------------------------------------------------------------------------------------------
# Neighbour discovery

PING = """
import select, socket, struct, sys
link = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
address = socket.getaddrinfo(sys.argv[1], None)[0][4]
for sequence in range(2):
    try:
        link.sendto(struct.pack("!BBHHH", 128, 0, 0, 77, sequence), address)
    except PermissionError:  # OUTPUT dropped it
        continue
    while select.select([link], [], [], 0.5)[0]:
        answer, sender = link.recvfrom(2048)
        if answer[0] == 129 and struct.unpack("!HH", answer[4:8]) == (77, sequence) and sender[0] == address[0]:
            sys.exit(0)
sys.exit("no answer")
"""


def reach(*words: str, address: str) -> bool:
    """Whether an address answers a ping from somewhere that knows no neighbour yet."""
    for namespace in ([], ["-n", "neighbour"]):
        netfilter.run("ip", *namespace, "-6", "neigh", "flush", "dev", "lan")
        assert "REACHABLE" not in netfilter.run("ip", *namespace, "-6", "neigh", "show", "dev", "lan")
    return (
        subprocess.run([*words, sys.executable, "-c", PING, address], check=False, stderr=subprocess.PIPE).returncode
        == 0
    )


def reaches() -> list[bool]:
    """In and out, with global and with link-local addresses."""
    return [
        reach(*THERE, address=HOST["ipv6"]),
        reach(address=NEIGHBOUR["ipv6"]),
        reach(*THERE, address=f"{LINK_LOCAL['host']}%lan"),
        reach(address=f"{LINK_LOCAL['neighbour']}%lan"),
    ]


SHUT = {"INPUT": {"policy": "DROP"}, "FORWARD": {"policy": "DROP"}, "OUTPUT": {"policy": "DROP"}}
CONNECTIONS = [
    "-m conntrack --ctstate INVALID -j DROP",
    "-m conntrack --ctstate NEW,RELATED,ESTABLISHED -j ACCEPT",
]
REVERSE_PATH = {"PREROUTING": ["-m rpfilter --invert -j DROP"]}
RULESETS: dict[str, Any] = {
    "policies": {"filter": SHUT},
    "connections": {"filter": {chain: {"policy": "DROP", "rules": CONNECTIONS} for chain in SHUT}},
    "reverse path": {"filter": SHUT, "raw": REVERSE_PATH},
    "reverse path, mangle": {"filter": SHUT, "mangle": REVERSE_PATH},
    "untracked": {"filter": SHUT, "raw": {"PREROUTING": ["-j CT --notrack"], "OUTPUT": ["-j CT --notrack"]}},
    "every table": {
        table: {chain: {"policy": "DROP"} for chain in chains}
        for table, chains in netfilter.BUILT_IN.items()
        if table != "nat"
    },
    "a drop in a chain": {"filter": SHUT, "raw": {"PREROUTING": ["-j own"], "own": ["-j DROP"]}},
    "a last rule": {"filter": {chain: ["-i lo -j ACCEPT"] * (chain == "INPUT") + ["-j REJECT"] for chain in SHUT}},
}  # fmt: skip


@pytest.mark.parametrize("name", RULESETS)
def test_ipv6_works_under_every_ruleset(converge: Converge, name: str) -> None:
    done = converge(RULESETS[name])
    assert done["result"] is True, done["comment"]
    assert reaches() == [True] * 4


@pytest.mark.parametrize("name", ["policies", "connections"])
def test_it_does_not_without_what_is_essential(converge: Converge, name: str) -> None:
    """Else the test above would show nothing."""
    done = converge(RULESETS[name], icmpv6_essential=False)
    assert done["result"] is True, done["comment"]
    assert reaches() == [False] * 4


def test_a_neighbour_that_has_our_address_is_noticed(converge: Converge) -> None:
    """Duplicate address detection: its answer comes to all nodes, and is for an address that is not one yet."""
    assert converge(RULESETS["every table"])["result"] is True
    netfilter.run("ip", "-n", "neighbour", "addr", "add", "2001:db8:5::9/64", "dev", "lan", "nodad")
    netfilter.run("ip", "addr", "add", "2001:db8:5::9/64", "dev", "lan")
    time.sleep(2)
    assert "dadfailed" in netfilter.run("ip", "-6", "addr", "show", "dev", "lan")
    for namespace in ([], ["-n", "neighbour"]):
        netfilter.run("ip", *namespace, "addr", "del", "2001:db8:5::9/64", "dev", "lan")
