"""All tunnels of a host, and the pillar that they would be: on hosts that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import _dualstack_tunnel_adopt as tunnel_adopt
import _dualstack_tunnel_others as tunnel_others
import _dualstack_tunnel_scripts as tunnel_scripts
import _dualstack_tunnel_stack as tunnel_stack
import pytest
import tunnel_ifupdown
from salt.exceptions import CommandExecutionError

ENDPOINT, LOCAL = "216.66.84.42", "46.105.5.1"


def link(name: str, remote: str = ENDPOINT, local: str = LOCAL, kind: str = "sit", up: bool = True) -> dict[str, Any]:
    data = {"proto": "ip6ip", "remote": remote, "local": local, "ttl": 64}
    return {
        "ifname": name,
        "mtu": 1480,
        "flags": ["POINTOPOINT", "NOARP", *(["UP"] if up else [])],
        "linkinfo": {"info_kind": kind, "info_data": data},
        "addr_info": [
            {"family": "inet6", "local": "2001:470:1f12:f87::2", "prefixlen": 64, "scope": "global"},
            {"family": "inet6", "local": "2001:470:1f13:f87::77", "prefixlen": 64, "scope": "global"},
            {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
        ],
    }


class Stack:
    """A network stack with these tunnels in its files."""

    def __init__(self, *tunnels: dict[str, Any]) -> None:
        self.listed = list(tunnels)

    def about(self) -> dict[str, Any]:
        return {"offers": ["tunnels"]}

    def roots(self, name: str) -> list[str]:
        return []

    def parse(self, name: str, host: dict[str, str]) -> dict[str, Any] | None:
        return next((each["parsed"] for each in self.listed if each["name"] == name and "parsed" in each), None)

    def tunnels(self, host: dict[str, str]) -> list[dict[str, Any]]:
        return self.listed


def found(links: list[dict[str, Any]], *stacks: Any) -> list[dict[str, Any]]:
    named = {f"stack{number}": each for number, each in enumerate(stacks)}
    return tunnel_others.listed(tunnel_others.found(links, cast(tunnel_stack.Stacks, named)))


@pytest.fixture(autouse=True)
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a host's scripts; it is empty."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    monkeypatch.setattr(tunnel_scripts, "places", lambda: [f"{folder}/*"])
    monkeypatch.setattr(tunnel_scripts, "callers", list)
    monkeypatch.setattr(tunnel_scripts, "found", lambda text, path="": eval(text) if text else [])  # what it would find
    return folder


def test_live_tunnels_are_recognised_by_their_kind() -> None:
    physical = {"ifname": "eth0", "mtu": 1500, "flags": ["UP"]}
    port = {**link("vnet0", kind="tun"), "linkinfo": {"info_kind": "tun", "info_data": {"type": "tap"}}}
    answer = found(
        [physical, port, link("sit0", "any", "any"), link("a", local="any"), link("b", kind="gre", up=False)]
    )
    assert [(each["name"], each["kind"], each["local"], each["live"], each["up"]) for each in answer] == [
        ("a", "sit", "any", True, True),
        ("b", "gre", LOCAL, True, False),
    ]


def test_one_tunnel_in_several_places_is_one(scripts: Path) -> None:
    mine = {
        "name": "a",
        "kind": "sit",
        "endpoint": ENDPOINT,
        "local": LOCAL,
        "place": "/etc/mine, line 2",
        "ours": True,
    }
    other = {**mine, "place": "/etc/other, line 9", "ours": False}
    (scripts / "rc.local").write_text(
        str([{"name": "a", "kind": "sit", "endpoint": ENDPOINT, "local": "?", "line": 4}])
    )
    (answer,) = found([link("a")], Stack(mine), Stack(other, other))
    assert answer == {
        **{"name": "a", "kind": "sit", "endpoint": ENDPOINT, "local": LOCAL, "live": True, "up": True, "ours": True},
        "places": ["/etc/mine, line 2", "/etc/other, line 9", f"{scripts}/rc.local, line 4"],
        "collides": [],
        "warnings": [],
    }


def test_a_live_tunnel_without_an_endpoint_is_6to4_as_in_files() -> None:
    """To the kernel it is sit. The pillar cannot have it."""
    links = [link("tun6to4", "any")]
    assert [each["kind"] for each in found(links)] == ["6to4"]
    answer = tunnel_adopt.pillar(tunnel_others.found(links, {}), links, [], {})
    assert answer["ipv6"] == {} and "tun6to4 from 46.105.5.1 to any (live) is no tunnel that" in answer["notes"][1]


def test_what_nobody_runs_makes_no_tunnel(scripts: Path) -> None:
    made = str([{"name": "a", "kind": "sit", "endpoint": ENDPOINT, "local": "any", "line": 1}])
    for name in ("he", "he.dpkg-old", "he~", "he.bak", "he.ucf-dist", "he.sh"):
        (scripts / name).write_text(made)
    (answer,) = found([])
    assert answer["places"] == [f"{scripts}/he, line 1", f"{scripts}/he.sh, line 1"]


def test_tunnels_that_collide(scripts: Path) -> None:
    (scripts / "rc.local").write_text(
        str([{"name": None, "kind": "sit", "endpoint": ENDPOINT, "local": "any", "line": 1}])
    )
    links = [link("a"), link("b", local="192.0.2.1"), link("c", kind="gre"), link("d", "192.0.2.9"), link("e", "any")]
    assert {each["name"]: each["collides"] for each in found(links)} == {
        **{"a": [""], "b": [""], "c": [], "d": [], "e": []},
        "": ["a", "b"],
    }


def test_an_end_that_is_not_what_the_file_says_is_told() -> None:
    odd = {
        "name": "a",
        "kind": "sit",
        "endpoint": "any",
        "local": "any",
        "place": "/etc/a, line 2",
        "warning": "a typo",
    }
    assert found([], Stack(odd, odd))[0]["warnings"] == ["/etc/a, line 2: a typo"]
    assert pillar([], [], Stack(odd))["notes"][-1] == "a: /etc/a, line 2: a typo"


def test_a_plug_in_that_fails_hides_no_other() -> None:
    class Broken(Stack):
        def tunnels(self, host: dict[str, str]) -> list[dict[str, Any]]:
            raise CommandExecutionError("broken")

    mine = {
        "name": "a",
        "kind": "sit",
        "endpoint": ENDPOINT,
        "local": LOCAL,
        "place": "/etc/mine, line 2",
        "ours": True,
    }
    assert [each["name"] for each in found([], Broken(), Stack(mine))] == ["a"]


# --------------------------------------------------------------------------------------------------------------
# The pillar

ROUTE = {"dst": "default", "gateway": "2001:470:1f12:f87::1", "dev": "sit1", "metric": 512}
PILLAR = {
    "endpoint": ENDPOINT,
    "local": LOCAL,
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
    "ttl": 64,
    "metric": 512,
    "addresses": ["2001:470:1f13:f87::77/64"],
    "adopt": True,
}


def pillar(links: list[dict[str, Any]], routes: list[dict[str, Any]], *stacks: Any) -> dict[str, Any]:
    named: Any = {f"stack{number}": each for number, each in enumerate(stacks)}
    return tunnel_adopt.pillar(tunnel_others.found(links, named), links, routes, named)


def test_a_tunnel_that_is_only_live() -> None:
    assert pillar([link("sit1")], [ROUTE]) == {"ipv6": {"tunnel": {"name": "sit1", **PILLAR}}, "notes": []}
    following = {key: value for key, value in PILLAR.items() if key != "local"}
    assert pillar([link("sit1", local="any")], [ROUTE])["ipv6"]["tunnel"] == {"name": "sit1", **following}
    by_source = pillar([link("sit1")], [{**ROUTE, "from": "2001:470:1f13:f87::/64"}])["ipv6"]["tunnel"]
    assert by_source == {"name": "sit1", **PILLAR, "routing": "source"}
    without = pillar([link("he-ipv6")], [])["ipv6"]["tunnel"]
    assert without == {**{k: v for k, v in PILLAR.items() if k not in ("gateway", "metric")}, "routing": "none"}


def test_a_route_without_a_gateway_is_said() -> None:
    answer = pillar([link("sit1")], [{"dst": "default", "dev": "sit1", "metric": 1024}])
    assert answer["notes"] == ["sit1: gateway: missing; expected the IPv6 address of the broker's end"]


def test_a_tunnel_in_files() -> None:
    text = tunnel_ifupdown.files({**tunnel(), "name": "sixxs"})["/etc/network/interfaces.d/sixxs"]
    parsed = tunnel_ifupdown.parse("sixxs", {"/etc/network/interfaces.d/sixxs": text})
    mine = {"name": "sixxs", "kind": "sit", "endpoint": ENDPOINT, "local": LOCAL, "place": "x, line 2", "ours": True}
    answer = pillar([], [], Stack({**mine, "parsed": parsed}))
    expected = {key: PILLAR[key] for key in ("endpoint", "local", "address", "gateway", "addresses")}
    assert {k: v for k, v in answer["ipv6"]["tunnel"].items() if k != "source"} == {"name": "sixxs", **expected}
    assert answer["notes"] == []
    live = link("sixxs")
    live["addr_info"].append({"family": "inet6", "local": "2001:db8::7", "prefixlen": 64, "scope": "global"})
    said = pillar([live], [{**ROUTE, "dev": "sixxs"}], Stack({**mine, "parsed": parsed}))["notes"]
    assert said == [
        "sixxs: 2001:db8::7/64 is live, and not in the files",
        "sixxs: default via 2001:470:1f12:f87::1 metric 512 is live, and not in the files",
    ]


def tunnel() -> dict[str, Any]:
    return {
        **PILLAR,
        **{"ttl": 255, "mtu": 1480, "metric": 1024, "routing": "default", "source": "2001:470:1f13:f87::77"},
    }


def test_several_and_none_and_others(scripts: Path) -> None:
    assert pillar([], []) == {"ipv6": {}, "notes": ["this host has no 6in4 tunnel"]}
    both = pillar([link("a"), link("b", "192.0.2.9")], [])
    assert list(both["ipv6"]["tunnels"]) == ["a", "b"]
    (scripts / "rc.local").write_text(
        str([{"name": "a", "kind": "sit", "endpoint": ENDPOINT, "local": "any", "line": 4}])
    )
    answer = pillar([link("a"), link("g", kind="ipip")], [{**ROUTE, "dev": "a"}])
    assert answer["notes"] == [
        f"a: {scripts}/rc.local, line 4 makes it",
        f"g from {LOCAL} to {ENDPOINT} (live) is no tunnel that the pillar can have",
    ]


@pytest.mark.parametrize(("mtu", "said"), [(1476, {}), (1480, {"mtu": 1480})])
def test_a_carrier_that_the_pillar_has(mtu: int, said: dict[str, int]) -> None:
    """Its usual MTU is another one."""
    answer = pillar([{**link("sit1", kind="gre"), "mtu": mtu}], [ROUTE])
    assert answer == {"ipv6": {"tunnel": {"name": "sit1", **PILLAR, "carrier": "gre", **said}}, "notes": []}


def test_a_stack_whose_files_cannot_be_read_is_named() -> None:
    class Broken(Stack):
        def parse(self, name: str, host: dict[str, str]) -> dict[str, Any] | None:
            raise CommandExecutionError("/etc/netplan/x.yaml, line 3: a tab")

    assert pillar([link("sit1")], [ROUTE], Broken())["notes"] == [
        "sit1: whether stack0 has it is not known: /etc/netplan/x.yaml, line 3: a tab"
    ]
