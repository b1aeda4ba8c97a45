"""
A host that is managed over its own IPv6 gets a tunnel: what is refused, and that the kernel does what was foreseen.

There is no tunnel device in the enclosure: the end of a wire stands in for it. All else is the kernel's own.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_host_management as host_management
import _dualstack_host_peers as host_peers
import _dualstack_host_ways as host_ways
import _dualstack_native_interface as native_interface
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_way_back as tunnel_way_back
import pytest
from salt.exceptions import CommandExecutionError

from ..lab.network import ARGUMENTS as TUNNEL
from ..lab.network import NAME
from . import ground

OWN, CLIENT, MASTER, SERVER = "2001:db8:1::5", "2001:db8:77::1", "2001:db8:78::1", "2001:db8:79::53"
SSH = host_management.Connection("ipv6", "in", CLIENT, 22, f"the ssh client {CLIENT}, who is logged in", OWN)
SALT = host_management.Connection("ipv6", "out", MASTER, 4506, f"the Salt master {MASTER}")
OVER_IPV4 = host_management.Connection("ipv4", "in", "192.0.2.7", 22, "the ssh client", "192.0.2.1")
RESOLVER = Path("/etc/resolv.conf")

# Hosts, by how they reach the IPv6 internet without a tunnel. The router is the other end of the wire.
NATIVE = ["ip -6 addr add 2001:db8:1::5/64 dev eth9 nodad"]
HOSTS = {
    "a default route that a router announced": [*NATIVE, "ip -6 route add default via fe80::1 dev eth9 metric 2048"],
    "a default route of metric 512": [*NATIVE, "ip -6 route add default via fe80::1 dev eth9 metric 512"],
    "no default route": NATIVE,
    "a route to the peers alone": [*NATIVE, "ip -6 route add 2001:db8:70::/44 via fe80::1 dev eth9"],
    "a temporary default route": [*NATIVE, "ip -6 route add default via fe80::1 dev eth9 metric 2048 expires 900"],
    "an address that is deprecated": [
        "ip -6 addr add 2001:db8:1::5/64 dev eth9 nodad preferred_lft 0 valid_lft forever",
        "ip -6 route add default via fe80::1 dev eth9 metric 512",
    ],
    "a deprecated address that the route names": [
        "ip -6 addr add 2001:db8:1::5/64 dev eth9 nodad preferred_lft 0 valid_lft forever",
        "ip -6 route add default via fe80::1 dev eth9 metric 512 src 2001:db8:1::5",
    ],
    "an address without its route": [
        "ip -6 addr add 2001:db8:1::5/128 dev eth9 nodad noprefixroute",
        "ip -6 route add default via fe80::1 dev eth9 metric 2048 src 2001:db8:1::5",
    ],
    "a prefix whose route somebody removed": [
        *NATIVE,
        "ip -6 addr add 2001:db8:77::5/64 dev eth9 nodad",
        "ip -6 route del 2001:db8:77::/64 dev eth9",
    ],
    "two uplinks, by rules": [
        *NATIVE,
        "ip -6 rule add pref 100 from 2001:db8:1::/64 lookup 77",
        "ip -6 route add default via fe80::1 dev eth9 table 77",
        "ip -6 route add default via fe80::1 dev eth9 metric 2048",
    ],
    "rules for ports": [
        *NATIVE,
        "ip -6 rule add pref 100 ipproto tcp sport 22 lookup 77",
        "ip -6 route add default via fe80::1 dev eth9 table 77",
    ],
    "a refused range": [
        *NATIVE,
        "ip -6 route add default via fe80::1 dev eth9 metric 2048",
        "ip -6 route add unreachable 2001:db8:78::/48",
    ],
    "a route with two next hops": [
        *NATIVE,
        "ip -6 route add default metric 2048 nexthop via fe80::1 dev eth9 nexthop via fe80::2 dev eth9",
    ],
}
TUNNELS: dict[str, dict[str, Any]] = {
    "as by default": {},
    "a high metric": {"metric": 4096},
    "routing by source": {"routing": "source"},
    "no routes": {"routing": "none"},
    "a prefix that the client is in": {"addresses": ["2001:db8:77::9/48"], "metric": 4096},
    "an address among the host's own": {"addresses": ["2001:db8:1::9/64"], "routing": "source"},
    "one address": {"addresses": ["2001:470:1f13:f87::77/128"], "metric": 4096},
}


def interface(**changes: Any) -> dict[str, Any]:
    """What a tunnel declares."""
    return tunnel_interface.wanted(tunnel_sit.canonical({**TUNNEL, **changes}))


def make(*lines: str) -> None:
    for line in lines:
        ground.run(*line.split())


def wire(name: str) -> list[str]:
    """A device."""
    return [f"ip link add {name} type veth peer name {name}p", f"ip link set {name}p up", f"ip link set {name} up"]


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    """The network is the test's own; the tunnel of the one before is gone."""
    rules = subprocess.run(["ip", "-6", "rule", "save"], capture_output=True, check=True).stdout
    Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")  # an address can be used at once
    make(*wire("eth9"))
    yield
    for name in ("eth8", "eth9", NAME):
        subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
    for words in (["-6", "route", "flush", "table", "77"], ["-6", "route", "flush", "type", "unreachable"]):
        subprocess.run(["ip", *words], capture_output=True, check=False)
    subprocess.run(["sh", "-c", "ip -6 rule flush; ip -6 rule del pref 0"], capture_output=True, check=False)
    subprocess.run(["ip", "-6", "rule", "restore"], input=rules, check=True)
    RESOLVER.write_text("")


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tunnel_way_back.Peers]:
    """Those whom the host must not lose: who manages it, and the name servers of /etc/resolv.conf."""

    def are(*managing: host_management.Connection) -> tunnel_way_back.Peers:
        monkeypatch.setattr(host_management, "connections", lambda opts: list(managing))
        return lambda: host_peers.over_ipv6({})

    return are


def facts() -> list[list[Any]]:
    """All that a change could change: rules, addresses and routes, but for those of a wire that has just come up."""
    asked = [["-6", "rule"], *([family, "route", "show", "table", "all"] for family in ("-4", "-6"))]
    found = [json.loads(subprocess.check_output(["ip", "-j", *words])) for words in asked]
    found[2] = [{**each, "flags": None} for each in found[2] if not each["dst"].startswith(("fe80:", "ff00:"))]
    found[2].sort(key=str)
    links = json.loads(subprocess.check_output(["ip", "-j", "addr", "show"]))
    held = [(link["ifname"], each) for link in links for each in link["addr_info"] if each["scope"] != "link"]
    return [*found, [link["ifname"] for link in links], held]


def refused(peers: tunnel_way_back.Peers, target: Any, live: Any = None) -> list[str]:
    """What is said; and nothing has changed meanwhile."""
    before = facts()
    with pytest.raises(CommandExecutionError) as raised:
        tunnel_way_back.check(NAME, live, target, peers)
    assert facts() == before
    return str(raised.value).splitlines()


def carry_out(commands: list[list[str]]) -> None:
    """Change the tunnel in earnest, as far as the end of a wire is one."""
    for words in commands:
        if words[:3] == ["ip", "tunnel", "add"]:
            make(f"ip link add {NAME} type veth peer name {NAME}p", f"ip link set {NAME}p up")
        elif words[1] != "tunnel" and "mtu" not in words:
            ground.run(*words)


FLOWS = [
    host_ways.Flow(CLIENT, OWN, None, ("ipproto", "tcp", "sport", "22")),
    host_ways.Flow(MASTER, None, None, ("ipproto", "tcp", "dport", "4506")),
    host_ways.Flow(SERVER, None, None, ("ipproto", "udp", "dport", "53")),
    host_ways.Flow("2001:db8:1::6", OWN, None),
    host_ways.Flow("2001:470:1f12:f87::1"),
    host_ways.Flow("fe80::7", None, "eth9"),
]


@pytest.mark.parametrize("tunnel", TUNNELS)
@pytest.mark.parametrize("host", HOSTS)
def test_what_is_foreseen_is_what_the_kernel_does(host: str, tunnel: str) -> None:
    make(*HOSTS[host])
    target = interface(**TUNNELS[tunnel])
    commands = tunnel_interface.commands(NAME, None, target)
    now = [host_ways.now(each) for each in FLOWS]
    foreseen = host_ways.foresee(FLOWS, NAME, commands)
    assert [(each.now, each.known) for each in foreseen] == [(each, True) for each in now]
    carry_out(commands)
    assert [each.then for each in foreseen] == [host_ways.now(each) for each in FLOWS]


@pytest.mark.parametrize("host", HOSTS)
def test_a_tunnel_that_changes_is_foreseen_too(host: str) -> None:
    make(*HOSTS[host])
    live, target = interface(metric=4096), interface(address="2001:470:1f12:f87::3/64", addresses=[], metric=1000)
    carry_out(tunnel_interface.commands(NAME, None, live))
    for before, after in (
        (live, target),
        (target, {**live, "link": {**live["link"], "endpoint": "any"}}),
        (live, None),
    ):
        commands = tunnel_interface.commands(NAME, before, after)
        foreseen = host_ways.foresee(FLOWS, NAME, commands)
        assert all(each.known for each in foreseen)
        carry_out(commands)
        assert [each.then for each in foreseen] == [host_ways.now(each) for each in FLOWS]


RENUMBERINGS: dict[str, dict[str, Any]] = {
    "another address": {"addresses": ["2001:470:1f13:f87::78/64"]},
    "another prefix": {"addresses": ["2001:470:aaaa:1::78/64"]},
    "another metric": {"metric": 7},
    "everything": {
        **{"address": "2001:470:bbbb:1::2/64", "gateway": "2001:470:bbbb:1::1"},
        "addresses": ["2001:470:aaaa:1::78/64"],
    },
    "another gateway": {"gateway": "2001:470:1f12:f87::9"},
    "from a default to routes by source": {"routing": "source"},
}


@pytest.mark.parametrize("kind", RENUMBERINGS)
def test_while_the_tunnel_is_renumbered_packets_leave_by_it_all_the_time(kind: str) -> None:
    live, target = interface(), interface(**RENUMBERINGS[kind])
    carry_out(tunnel_interface.commands(NAME, None, live))
    flows = [host_ways.Flow(MASTER), host_ways.Flow(MASTER, "2001:470:1f13:f87::77")]
    flows = flows if "source" not in kind else flows[1:]
    for before, after in ((live, target), (target, live)):
        for words in tunnel_interface.commands(NAME, before, after):
            carry_out([words])
            assert {each and each.interface for each in map(host_ways.now, flows)} == {NAME}, words
            held = (tunnel_host.live(NAME) or {})["addresses"]
            assert any(each.items() <= held.items() for each in (before["addresses"], after["addresses"])), words
        found = tunnel_host.live(NAME) or {}
        assert [found[part] for part in ("addresses", "routes")] == [after[part] for part in ("addresses", "routes")]


def test_an_old_address_that_dns_leads_to_goes_by_itself() -> None:
    live, declared = interface(), interface(addresses=["2001:470:1f13:f87::78/64"])
    carry_out(tunnel_interface.commands(NAME, None, live))
    target = tunnel_interface.renumbered(live, declared, ["2001:470:1f13:f87::77"])
    carry_out(tunnel_interface.commands(NAME, live, target))
    assert (tunnel_host.live(NAME) or {})["addresses"] == target["addresses"]
    assert target["addresses"]["2001:470:1f13:f87::77/64"] == "expiring"
    assert tunnel_interface.commands(NAME, target, tunnel_interface.renumbered(target, declared)) == []
    make(f"ip -6 addr change 2001:470:1f13:f87::77/64 dev {NAME} valid_lft 1 preferred_lft 0")
    time.sleep(3)
    assert (tunnel_host.live(NAME) or {})["addresses"] == declared["addresses"]


def test_a_default_route_that_comes_first_is_refused_with_what_helps(peers: Any) -> None:
    make(*HOSTS["a default route that a router announced"])
    RESOLVER.write_text(f"nameserver 192.0.2.53\nnameserver {SERVER}\nnameserver ::1\nnameserver nonsense\n")
    everybody = peers(SSH, SALT, OVER_IPV4)
    said = refused(everybody, interface())
    lost = "packets there leave by eth9 from 2001:db8:1::5, and with this change they would leave by he-ipv6 from"
    why = (
        "this host has an IPv6 default route of its own, of metric 2048, and the least comes first; "
        "expected more than 2048, or 'routing: source'"
    )
    assert said == [
        f"metric: the ssh client {CLIENT}, who is logged in: {lost} {OWN}: {why}",
        f"metric: the Salt master {MASTER}: {lost} 2001:470:1f13:f87::77: {why}",
        f"metric: the name server {SERVER}: {lost} 2001:470:1f13:f87::77: {why}",
    ]
    for helps in ({"metric": 2049}, {"routing": "source"}, {"routing": "none"}):
        assert tunnel_way_back.check(NAME, None, interface(**helps), everybody) == []


def test_a_prefix_that_somebody_is_in_is_refused(peers: Any) -> None:
    make(*HOSTS["a default route that a router announced"])
    target = interface(metric=4096, addresses=["2001:db8:77::9/48"])
    (said,) = refused(peers(SSH, SALT), target)
    assert said.startswith(
        f"address: the ssh client {CLIENT}, who is logged in: packets there leave by eth9 from {OWN}"
    )
    assert said.endswith(": 2001:db8:77::9/48 says that this whole prefix is at the other end of the tunnel")


def test_without_a_native_way_there_is_nothing_to_lose(peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    RESOLVER.write_text("nameserver 192.0.2.53\n")
    monkeypatch.setattr(host_ways, "foresee", None)  # and it costs nothing
    assert tunnel_way_back.check(NAME, None, interface(), peers(OVER_IPV4)) == []


def test_a_peer_who_is_not_reached_now_is_not_lost(peers: Any) -> None:
    assert tunnel_way_back.check(NAME, None, interface(), peers(SALT)) == []


def test_without_a_change_nobody_is_asked_for() -> None:
    def never() -> list[host_peers.Peer]:
        raise AssertionError

    assert tunnel_way_back.check(NAME, interface(), interface(), never) == []


def test_who_is_reached_by_the_tunnel_may_be_reached_from_its_new_address(peers: Any) -> None:
    live = interface()
    carry_out(tunnel_interface.commands(NAME, None, live))
    RESOLVER.write_text(f"nameserver {SERVER}\n")
    target = interface(addresses=["2001:470:1f13:f87::78/64"])
    assert tunnel_way_back.check(NAME, live, target, peers(SALT)) == []


def test_an_address_does_not_go_while_somebody_is_connected_to_it(peers: Any) -> None:
    live = interface()
    carry_out(tunnel_interface.commands(NAME, None, live))
    logged_in = SSH._replace(own="2001:470:1f13:f87::77")
    (said,) = refused(peers(logged_in), interface(addresses=["2001:470:1f13:f87::78/64"]), live)
    assert said == (
        f"address: 2001:470:1f13:f87::77 on he-ipv6 would go, and {SSH.why} is connected to it; "
        "connect to an address of this host that stays, for instance over IPv4"
    )
    added = interface(addresses=["2001:470:1f13:f87::78/64", "2001:470:1f13:f87::77/64"])
    assert tunnel_way_back.check(NAME, live, added, peers(logged_in)) == []


def test_the_only_way_to_the_master_is_not_removed(peers: Any) -> None:
    live = interface()
    carry_out(tunnel_interface.commands(NAME, None, live))
    (said,) = refused(peers(SALT), None, live)
    assert said.endswith("and with this change they would have no way")
    RESOLVER.write_text(f"nameserver {SERVER}\n")
    assert tunnel_way_back.check(NAME, live, None, peers(OVER_IPV4)) == []


def test_a_route_without_a_tunnel_that_becomes_a_default_is_left_alone(peers: Any) -> None:
    make(*HOSTS["a route to the peers alone"])
    assert tunnel_way_back.check(NAME, None, interface(), peers(SSH, SALT)) == []


@pytest.fixture
def no_namespaces(shadows: Path) -> None:
    """As in many containers."""
    (shadows / "unshare").write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2; exit 1\n")
    (shadows / "unshare").chmod(0o755)


def test_where_namespaces_are_not_permitted_it_is_said(peers: Any, no_namespaces: None) -> None:
    make(*HOSTS["a default route that a router announced"])
    (said,) = tunnel_way_back.check(NAME, None, interface(metric=4096), peers(SSH))
    assert said.startswith(f"{SSH.why}: whether it is still reached as it is now is not known: a copy of this host's")
    assert "Operation not permitted" in said
    assert len(refused(peers(SSH, SALT), interface())) == 2
    (said,) = refused(peers(SSH, SALT), interface(metric=4096, addresses=["2001:db8:77::9/48"]))
    assert said.startswith("address: ") and said.endswith("at the other end of the tunnel")
    for helps in ({"routing": "source"}, {"routing": "none"}):
        assert len(tunnel_way_back.check(NAME, None, interface(**helps), peers(SSH))) == 1
    make("ip -6 route add 2001:db8:70::/44 via fe80::1 dev eth9")
    assert len(tunnel_way_back.check(NAME, None, interface(), peers(SSH))) == 1


def test_a_kernel_that_can_make_no_device_for_the_copy(peers: Any, shadows: Path) -> None:
    make(*HOSTS["a default route that a router announced"])
    (shadows / "ip").write_text('#!/bin/sh\ncase "$*" in *batch*) exit 0 ;; esac\nexec /sbin/ip "$@"\n')
    (shadows / "ip").chmod(0o755)
    assert len(refused(peers(SSH, SALT), interface())) == 2
    said = tunnel_way_back.check(NAME, None, interface(metric=4096), peers(SSH))
    unknown = "whether it is still reached as it is now is not known: a copy of this host's network decides otherwise"
    assert said == [f"{SSH.why}: {unknown}"]


def test_what_left_by_the_tunnel_may_leave_by_another_way(peers: Any) -> None:
    make(*HOSTS["a default route that a router announced"])
    live = interface()
    carry_out(tunnel_interface.commands(NAME, None, live))
    logged_in = SSH._replace(own="2001:470:1f13:f87::77")
    for target in (interface(routing="source"), None):
        assert tunnel_way_back.check(NAME, live, target, peers(SALT)) == []
    assert tunnel_way_back.check(NAME, live, interface(routing="source"), peers(logged_in)) == []
    lost = (
        f"{SSH.why}: packets there leave by he-ipv6 from {logged_in.own}, and with this change they would leave by eth9"
    )
    assert refused(peers(logged_in), interface(routing="none"), live) == [f"{lost} from {logged_in.own}"]


def test_whoever_may_come_to_any_address_is_answered_from_there(peers: Any) -> None:
    make(*HOSTS["an address that is deprecated"])
    anywhere = SSH._replace(own=None)
    target = interface(metric=4096)  # a source that is preferred: of all that this host sends by itself
    assert tunnel_way_back.check(NAME, None, target, peers(anywhere)) == []
    (said,) = refused(peers(anywhere, SALT), target)
    there = f"packets there leave by eth9 from {OWN}, and with this change they would leave by eth9 from"
    assert said == f"the Salt master {MASTER}: {there} 2001:470:1f13:f87::77"


@pytest.mark.parametrize("does", ["exit 3", "echo nonsense", "echo '[]'", "echo '[{}]'", "echo '[1]'", "exit 0"])
def test_an_ip_that_is_broken_is_not_taken_for_no_route(peers: Any, shadows: Path, does: str) -> None:
    make(*HOSTS["a default route that a router announced"])
    case = f'case "$*" in *"route get"*) {does}; exit 1 ;; esac'
    (shadows / "ip").write_text(f'#!/bin/sh\n{case}\nexec /sbin/ip "$@"\n')
    (shadows / "ip").chmod(0o755)
    (said,) = refused(peers(SSH), interface())
    assert said.startswith(f"'ip -j -6 route get {CLIENT} from {OWN} ipproto tcp sport 22' printed no route, but: ")


def test_an_unshare_that_lies_changes_nothing(peers: Any, shadows: Path) -> None:
    make(*HOSTS["a default route that a router announced"])
    (shadows / "unshare").write_text('#!/bin/sh\nshift; exec "$@"\n')
    (shadows / "unshare").chmod(0o755)
    assert "it has made no network namespace" in refused(peers(SSH), interface())[0]


def hosters(metric: int = 1024, address: str = "2001:db8:8::8/64") -> dict[str, Any]:
    """What a hoster's network declares of eth8."""
    view = {"addresses": {address: "preferred"}, "routes": [f"default via fe80::1 metric {metric}"]}
    return native_interface.interface({"mtu": 1500}, view)


def test_an_interface_that_is_no_tunnel_is_told_by_its_own_keys(peers: Any) -> None:
    make(*HOSTS["a default route that a router announced"], *wire("eth8"))
    bare = native_interface.interface({"mtu": 1500}, {"addresses": {}, "routes": []})
    lost = (
        f"{SSH.why}: packets there leave by eth9 from {OWN}, and with this change they would leave by eth8 from {OWN}"
    )
    own = "this host has an IPv6 default route of its own, of metric 2048, and the least comes first"
    for target, said in (
        (hosters(), f"metric: {lost}: {own}; expected more than 2048"),
        (
            hosters(4096, "2001:db8:77::8/48"),
            f"address: {lost}: 2001:db8:77::8/48 says that this whole prefix is at the link of eth8; expected it with "
            "/128",
        ),
    ):
        with pytest.raises(CommandExecutionError) as raised:
            tunnel_way_back.check("eth8", bare, target, peers(SSH), tunnel=False)
        assert str(raised.value) == said
    for helps in (hosters(4096), hosters(4096, "2001:db8:77::8/128")):
        assert tunnel_way_back.check("eth8", bare, helps, peers(SSH), tunnel=False) == []
    make("ip -6 route del default", "ip -6 route add 2001:db8:70::/44 via fe80::1 dev eth9")
    assert tunnel_way_back.check("eth8", bare, hosters(), peers(SSH), tunnel=False) == []


def test_whoever_is_connected_to_the_hosters_address_keeps_it(peers: Any) -> None:
    make(*HOSTS["a default route that a router announced"])
    link = {"mtu": 1500}
    held = {"addresses": {f"{OWN}/64": "preferred"}, "routes": ["default via fe80::1 metric 2048"]}
    live = native_interface.interface(link, held)
    bare = native_interface.interface(link, {"addresses": {}, "routes": []})
    with pytest.raises(CommandExecutionError, match=f"^address: {OWN} on eth9 would go, and {SSH.why} is connected"):
        tunnel_way_back.check("eth9", live, bare, peers(SSH), tunnel=False)
