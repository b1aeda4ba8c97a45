"""A host that knew IPv4 only: what is proposed leaves IPv4 as it is, and lets in over IPv6 no more than over IPv4."""

from __future__ import annotations

import json
import socket
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from . import netfilter
from .test_adopt import DOCKER_HOST, MAIL_SERVER, ROUTER, some_ruleset

Converge = Callable[..., dict[str, Any]]

TUNNEL = {"name": "he-ipv6", "endpoint": "192.0.2.41"}
OWN, OWN6 = "192.0.2.1", "2001:db8:e0::1"
PORTS = (22, 25, 80, 443, 3306, 5432, 8080)
NETWORK = f"""
ip netns add others
ip link add eth0 type veth peer name far0 netns others
ip link add he-ipv6 type veth peer name far6 netns others
ip addr add {OWN}/24 dev eth0
ip addr add {OWN6}/64 dev he-ipv6 nodad
ip link set eth0 up
ip link set he-ipv6 up
ip route add default via 192.0.2.7
ip -n others addr add 192.0.2.7/24 dev far0
ip -n others addr add 2001:db8:e0::7/64 dev far6 nodad
ip -n others link set lo up
ip -n others link set far0 up
ip -n others link set far6 up
"""
CONNECT = """
import json, select, socket, sys, time
pending, reached = {}, []
for address, port in json.loads(sys.argv[1]):
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    one.setblocking(False)
    one.connect_ex((address, port))
    pending[one] = (address, port)
end = time.monotonic() + 3
while pending and time.monotonic() < end:
    for one in select.select([], pending, [], end - time.monotonic())[1]:
        place = pending.pop(one)
        if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            reached.append(place)
print(json.dumps(reached))
"""


@pytest.fixture(name="network")
def _network() -> Iterator[None]:
    """IPv4 by eth0, IPv6 by he-ipv6, and somebody at the other end of both; services on all ports."""
    netfilter.run("sh", "-ec", NETWORK)
    with ExitStack() as stack:
        for port in PORTS:
            both = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=9)
            stack.enter_context(both)
        yield
    for name in ("eth0", "he-ipv6"):
        netfilter.run("ip", "link", "del", name)
    netfilter.run("ip", "netns", "del", "others")


def reached() -> tuple[set[int], set[int]]:
    """The ports that a stranger reaches over IPv4, and over IPv6."""
    asked = json.dumps([(address, port) for address in (OWN, OWN6) for port in PORTS])
    found = json.loads(netfilter.run("ip", "netns", "exec", "others", sys.executable, "-c", CONNECT, asked))
    four, six = ({port for address, port in found if address == own} for own in (OWN, OWN6))
    return four, six


def saved(backend: str) -> str:
    return netfilter.save("ipv4", backend)


def adopted(door: Any, backend: str, monkeypatch: pytest.MonkeyPatch, tunnel: Any = None) -> dict[str, Any]:
    """What the door proposes, with a tunnel in the pillar; it changes nothing."""
    before = {family: netfilter.save(family, backend) for family in netfilter.COMMANDS}
    monkeypatch.setitem(door.__globals__, "__pillar__", {"ipv6": {"tunnel": tunnel}} if tunnel else {})
    found: dict[str, Any] = door(backend)
    assert {family: netfilter.save(family, backend) for family in netfilter.COMMANDS} == before
    return found


@pytest.fixture
def adopt(backend: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    import dualstack_iptables

    monkeypatch.setattr(dualstack_iptables, "__pillar__", {}, raising=False)
    return lambda tunnel=None: adopted(dualstack_iptables.adopt, backend, monkeypatch, tunnel)


def applied(converge: Converge, backend: str, found: dict[str, Any], tunnel: Any = None) -> None:
    """Apply it: IPv4 stays byte for byte, but for the tunnel's protocol 41, and there is nothing left to do."""
    before = saved(backend)
    firewall = json.loads(json.dumps(found["ipv6"]["firewall"]))
    done = converge(**firewall, tunnel=tunnel, save=False)
    assert done["result"] is True, done["comment"]
    own = ("-A INPUT -s 192.0.2.41/32 -p ipv6 -j ACCEPT", "-A OUTPUT -d 192.0.2.41/32 -p ipv6 -j ACCEPT")
    after = "\n".join(line for line in saved(backend).split("\n") if not tunnel or line not in own)
    tables = netfilter.tables
    assert netfilter.difference(tables(after), tables(before)) == ""
    assert after == before or backend == "nft", "a table may be listed that was not used before"
    again = converge(**firewall, tunnel=tunnel, save=False)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]


# --------------------------------------------------------------------------------------------------------------
# Rulesets as they are

SETS = "create friends hash:ip\nadd friends 203.0.113.5\n"


@pytest.mark.parametrize("host", [DOCKER_HOST, ROUTER, MAIL_SERVER], ids=["docker", "router", "mail"])
@pytest.mark.parametrize("tunnel", [None, TUNNEL], ids=["alone", "tunnel"])
def test_ipv4_of_a_host_stays_as_it_is(
    converge: Converge, backend: str, adopt: Any, host: dict[str, str], tunnel: Any
) -> None:
    netfilter.run("ipset", "restore", text=SETS)
    netfilter.load("ipv4", backend, textwrap.dedent(host["ipv4"]))
    found = adopt(tunnel)
    assert found["notes"][0].startswith("IPv6 has no rules of its own: IPv4's are proposed for both families.")
    assert found["notes"][0].endswith(", as the kernel says")
    assert found["ipv6"]["firewall"]["icmpv6_essential"] is True
    applied(converge, backend, found, tunnel)
    for family in netfilter.COMMANDS:
        assert ":INPUT DROP" in netfilter.save(family, backend)


@pytest.mark.parametrize("seed", range(200, 208))
def test_ipv4_of_any_host_stays_as_it_is(converge: Converge, backend: str, adopt: Any, seed: int) -> None:
    netfilter.load("ipv4", backend, some_ruleset(seed)["ipv4"])
    found = adopt(TUNNEL)
    # The rules at random may shut everybody out, which is another matter.
    applied(converge, backend, found, TUNNEL)
    again = adopt(TUNNEL)
    assert "notes" not in again, "IPv6 has rules now"
    done = converge(**again["ipv6"]["firewall"], tunnel=TUNNEL, save=False)
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]


def test_a_host_with_rules_for_ipv6_is_adopted_as_it_is(converge: Converge, backend: str, adopt: Any) -> None:
    for family, ruleset in MAIL_SERVER.items():
        netfilter.load(family, backend, textwrap.dedent(ruleset))
    found = adopt()
    assert list(found) == ["ipv6"]
    done = converge(**found["ipv6"]["firewall"], save=False)
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]


def test_a_host_without_rules(adopt: Any) -> None:
    assert adopt() == {"ipv6": {"firewall": {"icmpv6_essential": True, "tables": {}}}}


# --------------------------------------------------------------------------------------------------------------
# As tight as IPv4

HOSTS = {
    "drops by default": (
        """
        *filter
        :INPUT DROP [0:0]
        :FORWARD DROP [0:0]
        -A INPUT -i lo -j ACCEPT
        -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
        -A INPUT -i eth0 -p tcp -m tcp --dport 22 -j ACCEPT
        -A INPUT -p tcp -m multiport --dports 25,80 -j ACCEPT
        -A INPUT -s 203.0.113.0/24 -p tcp --dport 3306 -j ACCEPT
        -A INPUT -p icmp -j ACCEPT
        COMMIT
        """,
        {22, 25, 80},
        {22, 25, 80},
    ),
    "drops some by the interface": (
        """
        *filter
        -A INPUT -i eth0 -p tcp --dport 3306 -j DROP
        -A INPUT -i eth+ -p tcp --dport 5432 -j REJECT
        -A INPUT ! -i eth0 -p tcp --dport 8080 -j ACCEPT
        -A INPUT -p tcp --dport 8080 -j DROP
        COMMIT
        """,
        {22, 25, 80, 443},
        {22, 25, 80, 443},
    ),
    "drops all but some addresses": (
        """
        *filter
        :lan - [0:0]
        -A INPUT ! -s 10.0.0.0/8 -p tcp --dport 3306 -j DROP
        -A INPUT -p tcp --dport 5432 -m set ! --match-set friends src -j REJECT --reject-with tcp-reset
        -A INPUT -p tcp --dport 8080 -m iprange ! --src-range 10.0.0.1-10.0.0.9 -j DROP
        -A INPUT -d 192.0.2.1 -p tcp --dport 25 -j DROP
        -A INPUT -s 203.0.113.66 -j DROP
        -A INPUT -p tcp --dport 443 -j lan
        -A lan ! -s 10.0.0.0/8 -j RETURN
        -A lan -p tcp -j ACCEPT
        -A INPUT -p tcp --dport 443 -j DROP
        COMMIT
        """,
        {22, 80},
        {22, 80},
    ),
    "drops by its own address, which is said otherwise": (
        """
        *filter
        -A INPUT -p tcp --dport 3306 -m iprange --dst-range 192.0.2.0-192.0.2.9 -j DROP
        -A INPUT -p tcp --dport 5432 -m conntrack --ctstate NEW --ctorigdst 192.0.2.1 -j DROP
        -A INPUT -p tcp --dport 8080 -m conntrack --ctorigdst 192.0.2.0/24 -j REJECT
        -A INPUT -p tcp --dport 25 -m iprange --dst-range 192.0.2.2-192.0.2.9 -j DROP
        COMMIT
        """,
        {22, 25, 80, 443},
        {22, 25, 80, 443},
    ),
    "rejects what is left": (
        """
        *filter
        -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
        -A INPUT -p tcp --dport 22 -j ACCEPT
        -A INPUT -d 192.0.2.1 -p tcp --dport 80 -j ACCEPT
        -A INPUT -p tcp --dport 443 ! -s 203.0.113.0/24 -j ACCEPT
        -A INPUT -j REJECT --reject-with icmp-proto-unreachable
        COMMIT
        """,
        {22, 80, 443},
        {22},  # the others name an address: they are listed
    ),
    "shuts by leading elsewhere": (
        """
        *filter
        :outside - [0:0]
        :own - [0:0]
        -A INPUT ! -s 10.0.0.0/8 -i eth0 -j outside
        -A INPUT -d 192.0.2.1/32 -g own
        -A outside -p tcp --dport 3306 -j DROP
        -A own -p tcp --dport 5432 -j DROP
        -A own -j ACCEPT
        COMMIT
        *raw
        -A PREROUTING ! -s 10.0.0.0/8 -p tcp --dport 8080 -j DROP
        COMMIT
        """,
        {22, 25, 80, 443},
        {22, 25, 80, 443},
    ),
}


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("host", HOSTS)
def test_ipv6_lets_in_no_more_than_ipv4(converge: Converge, backend: str, adopt: Any, host: str) -> None:
    text, over4, over6 = HOSTS[host]
    netfilter.run("ipset", "restore", text=SETS)
    netfilter.load("ipv4", backend, textwrap.dedent(text))
    assert reached() == (over4, set(PORTS)), "as it is: IPv6 is open"
    found = adopt(TUNNEL)
    applied(converge, backend, found, TUNNEL)
    assert reached() == (over4, over6)
    if over4 != over6:
        told = [each for each in found["notes"] if "needs its IPv6 twin" in each]
        assert len(told) == 3, told


@pytest.mark.usefixtures("network")
def test_a_shut_ipv6_is_not_opened_by_its_policies(converge: Converge, backend: str, adopt: Any) -> None:
    """As of those who shut what they did not use."""
    netfilter.load("ipv4", backend, "*filter\n:OUTPUT ACCEPT\n-A INPUT -p tcp --dport 3306 -j DROP\nCOMMIT\n")
    netfilter.load("ipv6", backend, "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\nCOMMIT\n")
    found = adopt(TUNNEL)
    assert [each for each in found["notes"] if "stays DROP" in each] == [
        "tables:filter:INPUT: IPv6's policy stays DROP; IPv4's is ACCEPT"
    ]
    applied(converge, backend, found, TUNNEL)
    assert reached() == (set(PORTS) - {3306}, set())
    assert netfilter.run(f"ip6tables-{backend}", "-S").splitlines()[:3] == [
        "-P INPUT DROP", "-P FORWARD DROP", "-P OUTPUT DROP",
    ]  # fmt: skip


def test_what_ip6tables_does_not_take_stays_ipv4s(converge: Converge, backend: str, adopt: Any) -> None:
    """The rule language does not know all extensions: the kernel decides."""
    netfilter.load(
        "ipv4", backend, "*nat\n-A POSTROUTING -o eth1 -j MASQUERADE\nCOMMIT\n*filter\n:INPUT DROP\nCOMMIT\n"
    )
    found = adopt(TUNNEL)
    rules = found["ipv6"]["firewall"]["tables"]["nat"]["POSTROUTING"]["rules"]
    assert rules == [{"family": "ipv4", "rule": "-o eth1 -j MASQUERADE"}]
    assert not any("MASQUERADE" in each and "twin" in each for each in found["notes"])
    applied(converge, backend, found, TUNNEL)
