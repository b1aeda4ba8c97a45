"""What this host forwards: the rehearsal says what a real client finds, beside the rules of those with containers."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_trial as firewall_trial
import _dualstack_host_management as host_management
import pytest

from . import netfilter, world
from .netfilter import run

Converge = Callable[..., dict[str, Any]]
CONTAINER, CONTAINER6 = "172.17.0.2", "fd00:d0c:1::2"
CONTAINERS = """
link add docker0 type veth peer name inside netns container
addr add 172.17.0.1/16 dev docker0
addr add fd00:d0c:1::1/64 dev docker0 nodad
link set docker0 up
"""
INSIDE = f"""
link set lo up
addr add {CONTAINER}/16 dev inside
addr add {CONTAINER6}/64 dev inside nodad
link set inside up
route add default via 172.17.0.1
route add default via fd00:d0c:1::1
"""
TO_CONTAINERS = f"""
route add 172.17.0.0/16 via {world.OWN}
route add fd00:d0c:1::/64 via {world.OWN6}
"""
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")

# As Docker 20.10 (dockerd -p 3306:3306) and Docker 28 write them, in each family.
NAT = """*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d {loopback} -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s {network} ! -o docker0 -j MASQUERADE
-A POSTROUTING -s {container} -d {container} -p tcp -m tcp --dport 3306 -j MASQUERADE
{returned}-A DOCKER ! -i docker0 -p tcp -m tcp --dport 3306 -j DNAT --to-destination {to}:3306
COMMIT
"""
FILTER_20 = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{discovery}-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d {container} ! -i docker0 -o docker0 -p tcp -m tcp --dport 3306 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER {user}-j RETURN
COMMIT
"""
FILTER_28 = """*raw
-A PREROUTING -d {container} ! -i docker0 -j DROP
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{discovery}-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d {container} ! -i docker0 -o docker0 -p tcp -m tcp --dport 3306 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-USER {user}-j RETURN
COMMIT
"""
DOCKER = {"20": FILTER_20, "28": FILTER_28}
ENDS = {
    "ipv4": {"container": f"{CONTAINER}/32", "network": "172.17.0.0/16", "loopback": "127.0.0.0/8", "to": CONTAINER},
    "ipv6": {
        "container": f"{CONTAINER6}/128",
        "network": "fd00:d0c:1::/64",
        "loopback": "::1/128",
        "to": f"[{CONTAINER6}]",
    },
}
WHERE = {"ipv4": f"{CONTAINER}:3306", "ipv6": f"[{CONTAINER6}]:3306"}
OWN = {"ipv4": world.OWN, "ipv6": world.OWN6}
BIND = {"ipv4": CONTAINER, "ipv6": f"[{CONTAINER6}]"}


@pytest.fixture(scope="module", autouse=True)
def _networks() -> Iterator[None]:
    """A host with an uplink and a container behind a bridge, which it forwards to."""
    before = {name: run("sysctl", "-n", name).strip() for name in FORWARDING}
    run("ip", "netns", "add", "container")
    try:
        with world.networks():
            run("ip", "-batch", "-", text=CONTAINERS)
            run("ip", "-n", "container", "-batch", "-", text=INSIDE)
            run("ip", "-n", "others", "-batch", "-", text=TO_CONTAINERS)
            run("sysctl", "-qw", *(f"{name}=1" for name in FORWARDING))
            yield
    finally:
        subprocess.run(["ip", "link", "del", "docker0"], check=False)
        run("ip", "netns", "del", "container")
        run("sysctl", "-qw", *(f"{name}={value}" for name, value in before.items()))


@pytest.fixture(scope="module", autouse=True)
def _servers(_networks: None) -> Iterator[None]:
    """A database in the container, another one on the host."""
    with contextlib.ExitStack() as servers:
        for namespace, said in (("container", "container"), ("", "host")):
            words = ["ip", "netns", "exec", namespace] if namespace else []
            for kind in ("TCP4-LISTEN", "TCP6-LISTEN"):
                more = ",ipv6only=1" if kind.startswith("TCP6") else ""
                words_too = [f"{kind}:3306,fork,reuseaddr{more}", f"SYSTEM:echo {said}"]
                server = servers.enter_context(subprocess.Popen([*words, "socat", *words_too]))
                servers.callback(server.terminate)
            world.await_listener(3306, namespace)
        yield


@pytest.fixture(params=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest) -> str:
    """Each."""
    return str(request.param)


def client(family: str, port: int = 3306, own: str = "") -> str:
    """Who answers a real client from outside, over the wire."""
    to = own or OWN[family]
    address = f"TCP6:[{to}]:{port},connect-timeout=1" if family == "ipv6" else f"TCP4:{to}:{port},connect-timeout=1"
    words = ["ip", "netns", "exec", "others", "timeout", "3", "socat", "-u", address, "STDOUT"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def docker(family: str, backend: str, version: str, user: str = "") -> None:
    discovery = "-A INPUT -p ipv6-icmp -j ACCEPT\n" if family == "ipv6" else ""
    returned = "-A DOCKER -i docker0 -j RETURN\n" if version == "20" else ""
    text = NAT + DOCKER[version]
    netfilter.load(family, backend, text.format(**ENDS[family], discovery=discovery, returned=returned, user=user))


def tried(family: str, backend: str, **entry: Any) -> tuple[str, bool, str]:
    """The verdict on the live rules."""
    given = {"to": "tcp/3306", "verdict": "drop", "family": family, **entry}
    (found,) = firewall_trial.tried([given], None, firewall_kernel.read(backend), backend)
    return found["found"], found["ok"], found["note"]


@pytest.mark.parametrize("version", DOCKER)
def test_a_published_port_is_forwarded_whatever_input_says(family: str, backend: str, version: str) -> None:
    docker(family, backend, version)
    assert client(family) == "container"
    assert tried(family, backend) == ("accept", False, f"forwarded to {WHERE[family]}")
    assert tried(family, backend, verdict="accept") == ("accept", True, f"forwarded to {WHERE[family]}")
    assert tried(family, backend, verdict="accept", via="forward")[:2] == ("accept", True)
    assert tried(family, backend, verdict="accept", via="input")[:2] == ("accept", False)
    assert tried(family, backend, to="tcp/3307") == ("drop", True, "")


@pytest.mark.parametrize("version", DOCKER)
def test_a_published_port_that_is_closed_for_users(family: str, backend: str, version: str) -> None:
    """Where Docker says to close it: in DOCKER-USER, which is in FORWARD."""
    drop = "-i eth0 -p tcp --dport 3306 -j DROP\n-A DOCKER-USER "
    docker(family, backend, version, drop)
    assert client(family) == ""
    assert tried(family, backend) == ("drop", True, "")
    assert tried(family, backend, via="forward", verdict="accept")[:2] == ("drop", False)
    netfilter.reset()
    docker(family, backend, version, drop.replace("DROP", "REJECT --reject-with tcp-reset"))
    assert tried(family, backend, verdict="reject") == ("reject", True, "")


def test_without_forwarding_nobody_gets_there(family: str, backend: str) -> None:
    docker(family, backend, "20")
    name = FORWARDING[family == "ipv6"]
    run("sysctl", "-qw", f"{name}=0")
    try:
        assert client(family) == ""
        assert tried(family, backend) == ("drop", True, "")
    finally:
        run("sysctl", "-qw", f"{name}=1")


def test_the_containers_own_address(family: str, backend: str) -> None:
    """What is sent to it directly is forwarded without DNAT; Docker 28 keeps it out."""
    to = "tcp/" + WHERE[family]
    allowed = f"*filter\n:FORWARD DROP [0:0]\n-A FORWARD -d {ENDS[family]['container']} -j ACCEPT\n"
    netfilter.load(family, backend, f"{allowed}-A FORWARD -i docker0 -j ACCEPT\nCOMMIT\n")
    forwarded = f"forwarded to {WHERE[family]}"
    assert tried(family, backend, to=to, via="forward") == ("accept", False, forwarded)
    assert tried(family, backend, to=to, via="forward", verdict="accept") == ("accept", True, forwarded)
    assert client(family, own=ENDS[family]["to"].strip("[]")) == "container"
    netfilter.reset()
    docker(family, backend, "28")
    assert tried(family, backend, to=to, via="forward") == ("drop", True, "")
    assert client(family, own=ENDS[family]["to"].strip("[]")) == ""


def test_the_answer_of_a_container_is_held_back(family: str, backend: str) -> None:
    text = NAT.format(**ENDS[family], returned="")
    netfilter.load(family, backend, f"{text}*filter\n:FORWARD DROP [0:0]\n-A FORWARD -o docker0 -j ACCEPT\nCOMMIT\n")
    said = f"forwarded to {WHERE[family]}; FORWARD lets it pass, but FORWARD holds the answer back"
    assert tried(family, backend) == ("drop", True, said)
    assert client(family) == ""


def test_a_port_of_this_host_is_not_forwarded(family: str, backend: str) -> None:
    assert client(family) == "host"
    said = "this host takes it itself, and does not forward it"
    assert tried(family, backend, verdict="accept", via="forward") == ("accept", False, said)
    assert tried(family, backend, verdict="accept", via="input") == ("accept", True, "")


def test_the_ruleset_with_docker_beside_it(converge: Converge, family: str, backend: str) -> None:
    """The whole way, with the pillar's tables and Docker's."""
    docker(family, backend, "28")
    tables = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-m conntrack --ctstate ESTABLISHED -j ACCEPT"]}}}
    for test in (True, False):
        done = converge(tables, test=test, expect=[{"to": "tcp/3306", "family": family, "verdict": "drop"}])
        assert done["result"] is False and done["changes"] == {}
        assert f"expected drop, found accept (forwarded to {WHERE[family]})" in done["comment"], done["comment"]
    via = [{"to": "tcp/3306", "family": family, "verdict": "accept", "via": "forward"}]
    assert converge(tables, expect=via)["result"] is True
    assert client(family) == "container"


def test_who_manages_this_host_is_not_sent_elsewhere(backend: str) -> None:
    docker("ipv4", backend, "20")
    me = host_management.Connection("ipv4", "in", world.CLIENT, 3306, "the ssh client", world.OWN, "eth0")
    found = firewall_trial.tried(None, None, firewall_kernel.read(backend), backend, [me])
    assert [(each["found"], each["ok"], each["note"]) for each in found] == [
        ("accept", False, f"forwarded to {WHERE['ipv4']}")
    ]


# --------------------------------------------------------------------------------------------------------------
# Podman and libvirt, a range, another server, this host itself


def test_a_port_that_podman_publishes(family: str, backend: str) -> None:
    """As netavark writes it, with marks, on a bridge of its own."""
    ends = ENDS[family]
    text = f"""*nat
:NETAVARK-HOSTPORT-DNAT - [0:0]
:NETAVARK-HOSTPORT-MASQ - [0:0]
:NETAVARK-HOSTPORT-SETMARK - [0:0]
:NETAVARK-DN-1D8721804F16F - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT
-A POSTROUTING -j NETAVARK-HOSTPORT-MASQ
-A NETAVARK-HOSTPORT-MASQ -m comment --comment "netavark portfw masq mark" -m mark --mark 0x2000/0x2000 -j MASQUERADE
-A NETAVARK-HOSTPORT-SETMARK -j MARK --set-xmark 0x2000/0x2000
-A NETAVARK-HOSTPORT-DNAT -p tcp -m tcp --dport 8080 -m comment --comment "dnat" -j NETAVARK-DN-1D8721804F16F
-A NETAVARK-DN-1D8721804F16F -s {ends['network']} -p tcp -m tcp --dport 8080 -j NETAVARK-HOSTPORT-SETMARK
-A NETAVARK-DN-1D8721804F16F -p tcp -m tcp --dport 8080 -j DNAT --to-destination {ends['to']}:3306
COMMIT
*filter
:FORWARD DROP [0:0]
:NETAVARK_FORWARD - [0:0]
-A FORWARD -m comment --comment "netavark firewall rules" -j NETAVARK_FORWARD
-A NETAVARK_FORWARD -d {ends['network']} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A NETAVARK_FORWARD -s {ends['network']} -j ACCEPT
COMMIT
"""
    netfilter.load(family, backend, text)
    assert tried(family, backend, to="tcp/8080") == ("drop", True, ""), "podman's INPUT rule is missing"
    assert client(family, 8080) == ""
    new = f"*filter\n-A NETAVARK_FORWARD -d {ends['network']} -p tcp --dport 3306 -j ACCEPT\nCOMMIT\n"
    netfilter.load(family, backend, new)
    assert client(family, 8080) == "container"
    assert tried(family, backend, to="tcp/8080") == ("accept", False, f"forwarded to {WHERE[family]}")


def test_a_guest_of_libvirt(backend: str) -> None:
    """Its network is NAT, outwards only: a hook that forwards a port in has to open it too."""
    text = f"""*nat
-A PREROUTING -p tcp -m tcp --dport 2222 -j DNAT --to-destination {CONTAINER}-{CONTAINER}:3306
-A POSTROUTING -s 172.17.0.0/16 ! -d 172.17.0.0/16 -j MASQUERADE
COMMIT
*filter
:LIBVIRT_FWI - [0:0]
:LIBVIRT_FWO - [0:0]
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_FWI -d 172.17.0.0/16 -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o docker0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 172.17.0.0/16 -i docker0 -j ACCEPT
COMMIT
"""
    netfilter.load("ipv4", backend, text)
    assert client("ipv4", 2222) == ""
    assert tried("ipv4", backend, to="tcp/2222", verdict="reject") == ("reject", True, "")
    netfilter.load("ipv4", backend, f"*filter\n-I FORWARD -d {CONTAINER}/32 -j ACCEPT\nCOMMIT\n")
    assert client("ipv4", 2222) == "container"
    assert tried("ipv4", backend, to="tcp/2222") == ("accept", False, f"forwarded to {WHERE['ipv4']}")


def test_what_is_sent_back_out_by_the_same_interface(backend: str) -> None:
    text = f"*nat\n-A PREROUTING -p udp --dport 53 -j DNAT --to-destination {world.CLIENT}\n"
    netfilter.load("ipv4", backend, f"{text}-A POSTROUTING -j MASQUERADE\nCOMMIT\n")
    said = f"forwarded to {world.CLIENT}:53"
    assert tried("ipv4", backend, to="udp/53", verdict="accept") == ("accept", True, said)


def test_a_network_that_is_mapped(backend: str) -> None:
    netfilter.load("ipv4", backend, f"*nat\n-A PREROUTING -d {world.OWN} -j NETMAP --to 172.17.9.0/24\nCOMMIT\n")
    assert tried("ipv4", backend) == ("accept", False, "forwarded to 172.17.9.1:3306")


def test_what_is_sent_to_another_address_of_this_host(family: str, backend: str) -> None:
    """Its chain is INPUT, and nothing is forwarded."""
    own = {"ipv4": "172.17.0.1", "ipv6": "[fd00:d0c:1::1]"}[family]
    nat = f"*nat\n-A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination {own}:3306\nCOMMIT\n"
    netfilter.load(family, backend, f"{nat}*filter\n:FORWARD DROP [0:0]\nCOMMIT\n")
    assert client(family, 8080) == "host"
    assert tried(family, backend, to="tcp/8080", verdict="accept", via="input") == ("accept", True, "")
    netfilter.load(family, backend, f"*filter\n-A INPUT -d {own.strip('[]')} -j DROP\nCOMMIT\n")
    assert tried(family, backend, to="tcp/8080") == ("drop", True, "")


# --------------------------------------------------------------------------------------------------------------
# What else filters here


@pytest.fixture
def nft() -> Iterator[Callable[[str], None]]:
    """Load rules by nft(8); the tables are gone afterwards."""

    def load(text: str) -> None:
        run("nft", "-f", "-", text=text)

    yield load
    for line in run("nft", "list", "tables").splitlines():
        _, family, name = line.split()
        if family not in ("ip", "ip6") or name not in netfilter.BUILT_IN:
            run("nft", "delete", "table", family, name)


def test_a_native_table_drops_too(family: str, backend: str, nft: Callable[[str], None]) -> None:
    nft("table inet filter { chain in { type filter hook input priority 0; policy drop; tcp dport 22 accept; }; }")
    assert client(family) == ""
    assert tried(family, backend, verdict="accept") == ("drop", False, "")
    assert tried(family, backend, to="tcp/22", verdict="drop")[:2] == ("accept", False)


def test_a_native_table_forwards_too(family: str, backend: str, nft: Callable[[str], None]) -> None:
    """As netavark and Docker 29 do with nftables; with a map, and a rule that names an interface."""
    kind = "ip6" if family == "ipv6" else "ip"
    nft(
        f"table inet netavark {{ map to {{ type inet_service : {family}_addr; "
        f"elements = {{ 3306 : {CONTAINER6 if kind == 'ip6' else CONTAINER} }}; }}; "
        "chain pre { type nat hook prerouting priority dstnat; fib daddr type local "
        f"dnat {kind} to tcp dport map @to; }}; "
        'chain forward { type filter hook forward priority 0; policy drop; iif "docker0" accept; '
        'oif "docker0" ct status dnat accept; }; }'
    )
    assert client(family) == "container"
    netfilter.load(family, backend, "*filter\n:INPUT DROP [0:0]\nCOMMIT\n")
    assert tried(family, backend) == ("accept", False, f"forwarded to {WHERE[family]}")


def test_the_other_backend_filters_too(family: str, backend: str) -> None:
    other = "legacy" if backend == "nft" else "nft"
    text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\n-A INPUT -p ipv6-icmp -j ACCEPT\nCOMMIT\n"
    netfilter.load(family, other, text)
    assert client(family) == ""
    assert tried(family, backend, verdict="accept") == ("drop", False, "")
    assert tried(family, backend, to="tcp/22", verdict="accept") == ("accept", True, "")
