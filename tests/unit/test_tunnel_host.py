"""The tunnel as it is on a host, and whether the host can have it: with hosts made of what ip(8) would print."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import _dualstack_host_commands as host_commands
import _dualstack_host_ip as host_ip
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_tunnel_surroundings as tunnel_surroundings
import pytest
from salt.exceptions import CommandExecutionError

ENDPOINT, LOCAL = "216.66.84.42", "46.105.5.1"
TUNNEL: dict[str, Any] = {
    "endpoint": ENDPOINT,
    "local": LOCAL,
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
}
WANTED = {**tunnel_sit.canonical(TUNNEL), "local": LOCAL}
LIVE: Any = tunnel_interface.wanted(WANTED)
ETH0 = {"ifname": "eth0", "mtu": 1500, "addr_info": [{"family": "inet", "local": LOCAL}]}


def ends(name: str, local: str = LOCAL, remote: str = ENDPOINT) -> dict[str, Any]:
    return {"ifname": name, "mtu": 1480, "linkinfo": {"info_data": {"local": local, "remote": remote}}}


def sight(
    tunnel: Any = None, live: Any = None, links: Any = (ETH0,), routes: Any = (), rivals: Any = (), files: Any = ()
) -> tunnel_host.Sight:
    plugin = SimpleNamespace(parse=lambda name, host: {"name": name} if name in "".join(host.values()) else None)
    configuration = tunnel_stack.Configuration("toy", cast(Any, plugin), dict(files), tunnel, list(rivals))
    return tunnel_host.Sight("he0", configuration, list(links), list(routes), live)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """What ip(8) says of a route."""

    def build(route: Any) -> None:
        def ip(words: list[str]) -> Any:
            assert words in (["route", "get", ENDPOINT], ["route", "get", ENDPOINT, "from", LOCAL])
            if isinstance(route, Exception):
                raise route
            return [route]

        monkeypatch.setattr(host_ip, "look", ip)

    return build


def test_the_status_of_a_host() -> None:
    found = tunnel_host.status(sight(TUNNEL, LIVE, files={"/a": "he1", "/b": "he0", "/c": "x"}))
    assert found == {
        "name": "he0",
        "stack": "toy",
        "reason": "",
        "live": LIVE,
        "configured": TUNNEL,
        "files": ["/b"],
        "differences": {},
        "in_sync": True,
        "unread": [],
    }
    drifted = {**LIVE, "link": {**LIVE["link"], "mtu": 1400}}
    found = tunnel_host.status(sight(TUNNEL, drifted))
    assert (found["in_sync"], found["differences"]) == (False, {"link": {"mtu": {"old": 1400, "new": 1480}}})


def test_what_is_asked_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    link = {"ifname": "he0", "flags": ["UP"], "mtu": 1480}
    route = {"dst": "default", "gateway": "2001:470:1f12:f87::1", "dev": "he0", "metric": 1024}
    answers = {"-d addr show": [ETH0, link], "-6 route show default": [route]}
    refusing = {"type": "unreachable", "dst": "2001:db8:1::/64", "dev": "lo", "metric": tunnel_sit.owner("he0")}
    answers["-6 route show type unreachable"] = [refusing]
    monkeypatch.setattr(host_ip, "look", lambda words: answers[" ".join(words)])
    monkeypatch.setattr(tunnel_stack, "read", lambda *given: given)
    live = tunnel_host.live("he0")
    unassigned = f"unreachable 2001:db8:1::/64 metric {tunnel_sit.owner('he0')}"
    assert live and live["routes"] == ["default via 2001:470:1f12:f87::1 metric 1024", unassigned]
    assert tunnel_host.live("he1") is None
    stacks: Any = {}
    seen: Any = tunnel_host.look("he0", "auto", stacks)
    assert seen == ("he0", ("he0", "auto", stacks), [ETH0, link], [route, refusing], live)


def test_a_live_tunnel_that_is_not_configured_is_a_difference() -> None:
    assert tunnel_host.differences(sight()) == {}
    assert set(tunnel_host.differences(sight(None, LIVE))) == {"link", "addresses", "routes"}


def test_local_auto_is_whatever_packets_to_the_endpoint_come_from() -> None:
    auto = {**TUNNEL, "local": "auto"}
    assert tunnel_host.differences(sight(auto, LIVE)) == {"link": {"local": {"old": LOCAL, "new": "any"}}}
    follows = {**LIVE, "link": {**LIVE["link"], "local": "any"}}
    assert tunnel_host.differences(sight(auto, follows)) == {}


@pytest.mark.parametrize(
    ("configured", "live", "known", "change"),
    [
        (TUNNEL, LIVE, None, None),
        (TUNNEL, LIVE, "the file says so", None),
        (TUNNEL, LIVE, "", ("unaware of it", "aware of it")),
        (TUNNEL, None, "", None),
        (None, None, "the file says so", ("aware of it", "unaware of it")),
        (None, None, "", None),
    ],
)
def test_what_the_stack_knows(configured: Any, live: Any, known: str | None, change: Any) -> None:
    seen = sight(configured, live)
    seen = seen._replace(configuration=seen.configuration._replace(known=known))
    expected = {"record": {"toy": {"old": change[0], "new": change[1]}}} if change else None
    assert tunnel_host.differences(seen).get("record") == (expected or {}).get("record")


def test_the_way_is_that_of_packets_from_the_local_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ip(words: list[str]) -> Any:
        asked.append(words)
        return [{"dev": "ppp0" if "from" in words else "eth0"}]

    monkeypatch.setattr(host_ip, "look", ip)
    assert tunnel_host.route_to(ENDPOINT, LOCAL)["dev"] == "ppp0"
    assert tunnel_host.route_to(ENDPOINT)["dev"] == tunnel_host.route_to(ENDPOINT, "auto")["dev"] == "eth0"
    assert asked[0] == ["route", "get", ENDPOINT, "from", LOCAL]


def test_an_endpoint_that_cannot_be_the_brokers(kernel: Any) -> None:
    for route in ({"type": "local", "dev": "eth0"}, {"dev": "lo"}):
        kernel(route)
        with pytest.raises(CommandExecutionError, match="^endpoint: .* is an address of this host; expected the broke"):
            tunnel_host.route_to(ENDPOINT)
    kernel(host_ip.Nothing("ip", 2, "Network is unreachable"))
    said = f"^endpoint: this host has no route to {ENDPOINT}: 'ip' ended with 2 and said: Network is unreachable$"
    with pytest.raises(CommandExecutionError, match=said):
        tunnel_host.route_to(ENDPOINT)
    kernel(CommandExecutionError("ip is not installed"))  # which says nothing about routes
    with pytest.raises(CommandExecutionError, match="^ip is not installed$"):
        tunnel_host.route_to(ENDPOINT)
    kernel({"dev": "eth0", "prefsrc": LOCAL})
    assert tunnel_host.route_to(ENDPOINT)["prefsrc"] == LOCAL


# What a host lacks


def test_several_stacks_that_could_have_it() -> None:
    tunnel_surroundings.check_stack(sight())
    with pytest.raises(CommandExecutionError, match="^stack: toy and a and b could configure this host; expected the"):
        tunnel_surroundings.check_stack(sight(rivals=["a", "b"]))


@pytest.mark.parametrize(
    ("loaded", "code", "lacks"),
    [
        (True, 1, ""),
        (False, 0, ""),
        (False, 1, "'modprobe --dry-run sit' ended with 1 and said: no such module"),
        (False, None, "modprobe is not installed on this host"),
    ],
)
def test_a_kernel_without_the_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loaded: bool, code: int | None, lacks: str
) -> None:
    if code is not None:  # the status of this host's modprobe(8)
        (tmp_path / "modprobe").write_text(f"#!/bin/sh\necho no such module\nexit {code}\n")
        (tmp_path / "modprobe").chmod(0o755)
    monkeypatch.setattr(host_commands, "PATH", str(tmp_path))
    monkeypatch.setattr(os.path, "isdir", lambda path: loaded and path == "/sys/module/sit")
    tunnel_surroundings.check_kernel(sight(live=LIVE))  # built in, without a module
    other = {**LIVE, "link": {**LIVE["link"], "kind": "ipip"}}
    for seen in (sight(), sight(live=other)):
        with pytest.raises(CommandExecutionError) if lacks else contextlib.nullcontext() as caught:
            tunnel_surroundings.check_kernel(seen)
        if caught:
            assert "has no module 'sit'" in str(caught.value) and f"({lacks}" in str(caught.value)


# What would be in its way


def test_an_interface_of_another_kind_is_not_deleted() -> None:
    def kind(name: str) -> dict[str, Any]:
        return {**LIVE, "link": {**LIVE["link"], "kind": name}}

    for allowed in (sight(), sight(live=LIVE), sight(TUNNEL, kind("ipip"))):
        tunnel_surroundings.check_interface(allowed)
    for refused, said in (
        (sight(live=kind("dummy")), "dummy"),
        (sight(live=kind("physical")), "physical"),
        (sight(TUNNEL, kind("physical")), "physical"),
    ):
        with pytest.raises(CommandExecutionError) as raised:
            tunnel_surroundings.check_interface(refused)
        assert str(raised.value) == f"name: he0 is an interface of this host of the kind {said}, not a tunnel"


def refused(check: Callable[[], None]) -> str:
    try:
        check()
    except CommandExecutionError as error:
        return str(error)
    return ""


def conflict(seen: tunnel_host.Sight, **change: Any) -> str:
    return refused(lambda: tunnel_surroundings.check_others({**WANTED, **change}, seen))


def test_the_tunnel_begins_at_an_address_of_this_host() -> None:
    six = {"ifname": "eth1", "addr_info": [{"family": "inet6", "local": "192.0.2.1"}]}
    other = {"ifname": "eth2", "addr_info": [{"family": "inet", "local": "10.0.0.1"}]}

    def said(local: str) -> str:
        seen = sight(links=[ETH0, six, other])
        return refused(lambda: tunnel_surroundings.check_local({**WANTED, "local": local}, seen))

    assert said("192.0.2.1") == (
        f"local: 192.0.2.1 is not an address of this host, which has {LOCAL}, 10.0.0.1; "
        "behind NAT it is the private one; 'auto' follows when it changes"
    )
    assert said("10.0.0.1") == said("auto") == ""


def made(name: str, local: str = LOCAL, endpoint: str = ENDPOINT, **more: Any) -> dict[str, Any]:
    """A tunnel of this host."""
    whole = {"kind": "sit", "live": True, "up": True, "places": [], "ours": False}
    return {"name": name, "local": local, "endpoint": endpoint, **whole, **more}


def taken(tunnel: dict[str, Any], seen: tunnel_host.Sight | None = None, **change: Any) -> str:
    wanted = {**WANTED, "name": "he0", **change}
    return refused(lambda: tunnel_surroundings.check_tunnels(wanted, seen or sight(), [tunnel]))


@pytest.mark.parametrize("local", [LOCAL, "any"])
@pytest.mark.parametrize("wanted", [LOCAL, "auto"])
@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({}, "live"),
        ({"up": False}, "live, but down"),
        ({"live": False, "places": ["/etc/rc.local, line 3"]}, "/etc/rc.local, line 3"),
        ({"places": ["/etc/a, line 1", "/etc/b, line 2"]}, "live; /etc/a, line 1; /etc/b, line 2"),
    ],
)
def test_another_tunnel_to_the_same_broker(local: str, wanted: str, more: dict[str, Any], where: str) -> None:
    said = taken(made("old", local, **more), local=wanted)
    origin = "" if local == "any" else f" from {LOCAL}"
    assert said.startswith(f"endpoint: this host has a tunnel there already: old{origin} to {ENDPOINT} ({where}), and ")


def test_tunnels_that_are_in_nobodys_way() -> None:
    for allowed in (
        made("he0", ours=True),
        made("old", local="46.105.5.9"),
        made("old", endpoint="216.66.84.43"),
        made("old", kind="gre"),
        made("tun6to4", endpoint="any"),
    ):
        assert taken(allowed) == ""


def test_a_tunnel_of_this_name_that_somebody_else_has_made() -> None:
    seen = sight()
    unknown = seen._replace(configuration=seen.configuration._replace(known=""))
    said = (
        "name: he0 is up, but in no file of this host, and not by he_tunnel; 'adopt: true' lets he_tunnel take it over"
    )
    assert taken(made("he0"), unknown) == said
    assert taken(made("he0"), unknown, adopt=True) == taken(made("he0", ours=True), unknown) == taken(made("he0")) == ""
    twice = made("he0", places=["/etc/rc.local, line 3"])
    for adopt in (True, False):
        assert taken(twice, unknown, adopt=adopt).startswith(
            "name: he0 is made by /etc/rc.local, line 3 as well, and wou"
        )
    assert taken({**twice, "ours": True, "live": False}).startswith("name: he0 is made by /etc/rc.local, line 3")
    own = sight(files={"/etc/own": ""})
    assert (
        refused(lambda: tunnel_surroundings.check_makers(seen, [made("he0"), made("he1", places=["/etc/x, line 1"])]))
        == ""
    )
    gone = refused(lambda: tunnel_surroundings.check_makers(seen, [twice]))
    assert gone.startswith("name: he0 is made by /etc/rc.local, line 3, and would be made again at the next boot; take")
    assert refused(lambda: tunnel_surroundings.check_makers(own, [made("he0", places=["/etc/own, line 1"])])) == ""
    assert taken(made("he0", places=["/etc/own, line 1"]), own) == ""  # that is for the plug-in to say


def test_a_default_route_of_the_same_metric() -> None:
    native = {"gateway": "fe80::1", "dev": "eth0", "metric": 1024}
    assert conflict(sight(routes=[native])) == (
        "metric: this host already has an IPv6 default route of metric 1024, via fe80::1 dev eth0; "
        "use 'routing: source' beside native IPv6, or another metric"
    )
    for routes, change in (
        ([native], {"routing": "source"}),
        ([native], {"routing": "none"}),
        ([native], {"metric": 2048}),
        ([{**native, "dev": "he0"}], {}),
        ([{**native, "from": "2001:db8::/64"}], {}),
    ):
        assert conflict(sight(routes=routes), **change) == ""
    assert "via fe80::1 dev eth0" in conflict(sight(routes=[{**native, "dev": "he0"}, native]))


def test_a_router_that_announces_itself_later_is_no_hindrance_to_a_live_tunnel() -> None:
    announced = {"gateway": "fe80::1", "dev": "eth0", "metric": 1024}
    for live in (LIVE, {**LIVE, "link": {**LIVE["link"], "mtu": 1400}}, {**LIVE, "addresses": {}}):
        seen = sight(live=live, routes=[announced])
        assert conflict(seen) == ""
        assert tunnel_surroundings.warnings(WANTED, seen, {"dev": "eth0"}) == [
            "metric: eth0 has a default route of the tunnel's metric 1024 as well, via fe80::1: which of them packets "
            "take is the kernel's choice; use 'routing: source' beside native IPv6, or a smaller metric"
        ]
    # Where the route has to be added, it still is.
    for live in ({**LIVE, "routes": []}, {**LIVE, "link": {**LIVE["link"], "endpoint": "any"}}):
        seen = sight(live=live, routes=[announced])
        assert conflict(seen).startswith("metric: this host already has an IPv6 default route")
        assert tunnel_surroundings.warnings(WANTED, seen, {"dev": "eth0"}) == []


def test_an_mtu_that_does_not_fit_into_the_underlay_is_a_warning() -> None:
    def warned(mtu: int, underlay: str = "eth0", **route: Any) -> list[str]:
        links = [{**ETH0, "ifname": "lo", "mtu": 65536}, {**ETH0, "mtu": 1400}]
        return tunnel_surroundings.warnings({**WANTED, "mtu": mtu}, sight(links=links), {"dev": underlay, **route})

    said = "mtu: eth0 carries packets of at most 1380 bytes within IPv4, less than the tunnel's 1381"
    assert warned(1381) == [said]
    assert warned(1380) == warned(1480, "eth9") == warned(1480, "lo") == []
    of_the_route = "mtu: eth9 carries packets of at most 1472 bytes within IPv4, less than the tunnel's 1480"
    assert warned(1480, "eth9", metrics=[{"mtu": 1492}]) == [of_the_route]
    assert warned(1472, "eth9", metrics=[{"mtu": 1492}]) == []


# A LAN behind this host


def test_a_prefix_that_a_lan_has_as_well() -> None:
    given = {**TUNNEL, "addresses": ["2001:470:1f13:f87::77/64", "2001:470:ab::5/64"], "routing": "source"}
    wanted = tunnel_sit.canonical(given)
    held = {"family": "inet6", "scope": "global", "local": "2001:470:1f13:f87::1", "prefixlen": 64}

    def laid(*addresses: dict[str, Any], name: str = "eth1") -> tuple[dict[str, Any], list[str]]:
        links = [ETH0, {"ifname": name, "addr_info": list(addresses)}]
        return tunnel_surroundings.beside_lan(wanted, sight(links=links))

    tunnel, said = laid(held)
    prefix = "2001:470:1f13:f87::/64"
    assert said == [
        "addresses: eth1 has 2001:470:1f13:f87::1/64, of the prefix of 2001:470:1f13:f87::77/64: that is used as "
        f"2001:470:1f13:f87::77/128, and {prefix} as a prefix that is routed; write 'routed: {prefix}'"
    ]
    assert tunnel["addresses"] == ["2001:470:1f13:f87::77/128", "2001:470:ab::5/64"]
    assert tunnel["routed"] == [prefix] and len(tunnel["unreachable"]) == 1
    assert tunnel["routes"] == wanted["routes"], "what comes from the LAN leaves by the tunnel, too"
    # Nothing of the kind: no address of it, one address alone, another prefix, the tunnel itself, a link-local one.
    for addresses, name in (
        ([], "eth1"),
        ([{**held, "prefixlen": 128}], "eth1"),
        ([{**held, "local": "2001:db8::1"}], "eth1"),
        ([held], "he0"),
        ([{**held, "scope": "link"}], "eth1"),
    ):
        assert laid(*addresses, name=name) == (wanted, [])
    declared = tunnel_sit.canonical({**given, "routed": prefix})
    links = [ETH0, {"ifname": "eth1", "addr_info": [held]}]
    assert tunnel_surroundings.beside_lan(declared, sight(links=links)) == (declared, [])


def test_each_next_hop_of_a_default_route_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As iproute2 6.1 prints two of one metric: the route itself has no interface."""
    hops = [
        {"gateway": "fe80::1", "dev": "eth0", "weight": 1, "flags": []},
        {"gateway": TUNNEL["gateway"], "dev": "he0", "weight": 1, "flags": []},
    ]
    answers = {
        "-d addr show": [{**ETH0, "flags": []}],
        "-6 route show default": [{"dst": "default", "metric": 1024, "flags": [], "pref": "medium", "nexthops": hops}],
        "-6 route show type unreachable": [],
    }
    monkeypatch.setattr(host_ip, "look", lambda words: answers[" ".join(words)])
    _, routes = tunnel_host.surroundings()
    assert [(each["dev"], each["gateway"], each["metric"]) for each in routes] == [
        ("eth0", "fe80::1", 1024),
        ("he0", TUNNEL["gateway"], 1024),
    ]
    with pytest.raises(CommandExecutionError, match="metric 1024, via fe80::1 dev eth0;"):
        tunnel_surroundings.check_others(WANTED, sight(routes=routes))


def test_the_way_by_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a route by it, the kernel takes the endpoint for a neighbour; at a point-to-point link, it is one."""
    asked: list[list[str]] = []
    found: dict[str, Any] = {}

    def ip(words: list[str]) -> Any:
        asked.append(words)
        if words[0] == "-d":
            return [{"ifname": "ppp0", "flags": ["POINTOPOINT"]}, {"ifname": "eth1", "flags": ["BROADCAST"]}]
        if "fibmatch" in words:
            raise host_ip.Nothing("ip", 2, "RTNETLINK answers: No route to host")
        return [{"dst": ENDPOINT, "dev": words[-1], **found}]

    monkeypatch.setattr(host_ip, "look", ip)
    found["gateway"] = "203.0.113.254"
    assert tunnel_host.route_to(ENDPOINT, LOCAL, "eth1")["dev"] == "eth1"
    assert asked == [["route", "get", ENDPOINT, "from", LOCAL, "oif", "eth1"]]
    del found["gateway"]
    assert tunnel_host.route_to(ENDPOINT, "auto", "ppp0")["dev"] == "ppp0"
    with pytest.raises(CommandExecutionError, match=f"endpoint: this host has no route to {ENDPOINT} oif eth1"):
        tunnel_host.route_to(ENDPOINT, "any", "eth1")


def test_a_device_that_is_not_there_or_that_the_stack_cannot_have() -> None:
    wanted = {**WANTED, "dev": "eth7"}
    plugin = SimpleNamespace(about=lambda: {"binds": True})
    links = [ETH0, {"ifname": "lo"}, {"ifname": "sit0"}, {"ifname": "he0"}]
    seen = sight(links=links)
    seen = seen._replace(configuration=seen.configuration._replace(plugin=cast(Any, plugin)))
    with pytest.raises(CommandExecutionError, match="^dev: this host has no interface eth7; expected one of eth0$"):
        tunnel_surroundings.check_dev(wanted, seen)
    tunnel_surroundings.check_dev({**wanted, "dev": "eth0"}, seen)
    tunnel_surroundings.check_dev({**wanted, "dev": None}, sight(links=links))
    unable = seen._replace(
        configuration=seen.configuration._replace(plugin=cast(Any, SimpleNamespace(about=lambda: {})))
    )
    with pytest.raises(CommandExecutionError, match="^dev: toy cannot bind a tunnel to a device here; leave it out"):
        tunnel_surroundings.check_dev(wanted, unable)
