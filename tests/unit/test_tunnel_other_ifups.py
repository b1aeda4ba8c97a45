"""The configuration of ifupdown-ng and of ifupdown2: written, read, found in other files, moved."""

from __future__ import annotations

import importlib
from typing import Any

import _dualstack_tunnel_sit as tunnel_sit
import pytest
import tunnel_ifupdown
from salt.exceptions import CommandExecutionError

from ..lab.network import ARGUMENTS

MAIN = "/etc/network/interfaces"
OWN = "/etc/network/interfaces.d/he-ipv6"
SOURCES = "source /etc/network/interfaces.d/*\n"
GIVEN: dict[str, Any] = {**ARGUMENTS, "addresses": [*ARGUMENTS["addresses"], "2001:470:1f13:f87::78/64"]}
TUNNEL = tunnel_sit.canonical(GIVEN)
START = "# Managed by Salt (he_tunnel). Changes here are overwritten: they belong in the pillar, ipv6:tunnel.\n"
WHOLE = {
    "ifupdown_ng": """\
auto he-ipv6
iface he-ipv6
    use tunnel
    tunnel-mode sit
    tunnel-local 46.105.5.1
    tunnel-remote 216.66.84.42
    tunnel-ttl 255
    mtu 1480
    address 2001:470:1f12:f87::2/64
    address 2001:470:1f13:f87::77/64
    address 2001:470:1f13:f87::78/64
    gateway 2001:470:1f12:f87::1
    metric 1024
    up ip -6 addr replace 2001:470:1f12:f87::2/64 dev $IFACE preferred_lft 0
    up ip -6 addr replace 2001:470:1f13:f87::78/64 dev $IFACE preferred_lft 0
    up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || true
""",
    "ifupdown2": """\
auto he-ipv6
iface he-ipv6 inet6 static
    tunnel-mode sit
    tunnel-local 46.105.5.1
    tunnel-endpoint 216.66.84.42
    tunnel-ttl 255
    mtu 1480
    address 2001:470:1f12:f87::2/64
    address 2001:470:1f13:f87::77/64
    address 2001:470:1f13:f87::78/64
    gateway 2001:470:1f12:f87::1
    metric 1024
    post-up ip -6 addr replace 2001:470:1f12:f87::2/64 dev $IFACE preferred_lft 0
    post-up ip -6 addr replace 2001:470:1f13:f87::78/64 dev $IFACE preferred_lft 0
    post-up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || true
""",
}


@pytest.fixture(params=WHOLE)
def stack(request: pytest.FixtureRequest) -> Any:
    """A plug-in."""
    return importlib.import_module(f"tunnel_{request.param}")


def name(stack: Any) -> str:
    """The plug-in's stack."""
    return str(stack.__name__).removeprefix("tunnel_")


def test_the_whole_file(stack: Any) -> None:
    assert stack.files(TUNNEL) == {OWN: START + WHOLE[name(stack)]}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"addresses": []},
        {"source": "2001:470:1f12:f87::2"},
        {"source": "2001:470:1f13:f87::78"},
        {"ttl": 64, "mtu": 1280, "metric": 7, "name": "sixxs"},
        {"routing": "source", "metric": 5},
        {"routing": "none", "metric": 9},
        {"routed": ["2001:470:1f13:f87::/64", "2001:470:f00::/48"]},
        {"carrier": "gre", "routed": "2001:470:1f13:f87::/64", "routing": "source"},
        {"routing": "none", "gateway": None},
        {"dev": "eth1"},
        {"dev": "ppp0", "local": "auto", "carrier": "gre"},
    ],
)
def test_what_is_written_is_read_again(stack: Any, change: dict[str, Any]) -> None:
    tunnel = tunnel_sit.canonical({**GIVEN, **change})
    read = stack.parse(tunnel["name"], stack.files(tunnel))
    assert read is not None
    again = tunnel_sit.canonical(read)
    assert again == tunnel
    assert stack.files(again) == stack.files(tunnel)


def test_no_local_address_is_none_in_the_files(stack: Any) -> None:
    files = stack.files({**TUNNEL, "local": "any"})
    assert ("tunnel-local any" in files[OWN]) == (name(stack) == "ifupdown_ng")  # which does nothing without one
    read = stack.parse("he-ipv6", files)
    assert read is not None and "local" not in read


def test_it_is_told_apart_from_the_others(stack: Any) -> None:
    printed = {
        "ifupdown": "ifup version 0.8.41",
        "ifupdown_ng": "ifupdown-ng 0.11.3",
        "ifupdown2": "ifupdown2:3.0.0-1.1",
    }
    for each, said in printed.items():
        assert (stack.recognise(said) == name(stack)) == (each == name(stack))
    assert stack.recognise("busybox") == "unknown"
    assert stack.about()["program"] == "ifup"


def test_what_ifupdown_has_written_is_none_of_its(stack: Any) -> None:
    text = {MAIN: SOURCES, **tunnel_ifupdown.files(TUNNEL)}
    assert stack.parse("he-ipv6", text) is None
    assert stack.present(TUNNEL, text) == stack.files(TUNNEL)  # a host whose ifup has been replaced
    assert stack.absent("he-ipv6", text) == {OWN: None}


def test_it_moves_what_means_the_same_and_refuses_what_does_not(stack: Any) -> None:
    text = WHOLE[name(stack)]
    with pytest.raises(CommandExecutionError, match="already configured in .*, line 1, 2,"):
        stack.present(TUNNEL, {MAIN: text + SOURCES})
    assert stack.present(TUNNEL, {MAIN: text + SOURCES}, adopt=True) == {MAIN: SOURCES, **stack.files(TUNNEL)}
    with pytest.raises(CommandExecutionError, match="mtu: 1480 in .*mtu.*, and the pillar has 1280"):
        stack.present({**TUNNEL, "mtu": 1280}, {MAIN: text + SOURCES}, adopt=True)
    with pytest.raises(CommandExecutionError, match=r"these lines would be lost: 3 \(vrf\)"):
        stack.present(TUNNEL, {MAIN: "auto he-ipv6\niface he-ipv6\n    vrf blue\n"}, adopt=True)
    with pytest.raises(CommandExecutionError, match=r"these lines would be lost: 1 \(iface\)"):
        stack.present(TUNNEL, {MAIN: "iface he-ipv6 inet6 v4tunnel\n    endpoint 216.66.84.42\n"}, adopt=True)


def test_the_metric_that_no_line_gives() -> None:
    text = "iface he-ipv6{}\n    tunnel-mode sit\n    {} 216.66.84.42\n    gateway 2001:470:1f12:f87::1\n"
    for each, remote, metric in (("ifupdown_ng", "tunnel-remote", 1), ("ifupdown2", "tunnel-endpoint", None)):
        module = importlib.import_module(f"tunnel_{each}")
        read = module.parse("he-ipv6", {MAIN: text.format("", remote)})
        assert (read["endpoint"], read.get("metric")) == ("216.66.84.42", metric)


def test_what_they_have_up() -> None:
    ng, two = (importlib.import_module(f"tunnel_{each}") for each in WHOLE)
    state = {"/run/ifstate": "lo=lo 1 explicit\neth0=eth0 2\n"}
    assert ng.has({"name": "eth0"}, state) == "/run/ifstate has eth0"
    assert ng.has({"name": "eth"}, state) == ng.has({"name": "eth0"}, {}) == ""
    pickled = b"\x94\x8c\x04name\x94\x8c\x04eth0\x94\x8c\x0baddr_method\x94".decode("utf-8", "surrogateescape")
    assert two.has({"name": "eth0"}, {"/var/tmp/network/ifstatenew": pickled}) == "/var/tmp/network/ifstatenew has eth0"
    assert two.has({"name": "eth"}, {"/var/tmp/network/ifstatenew": pickled}) == ""
    assert two.has({"name": "eth0"}, {}) == ""


def test_every_tunnel_is_seen(stack: Any) -> None:
    (seen,) = stack.tunnels({OWN: stack.files(TUNNEL)[OWN]})
    assert seen == {
        "name": "he-ipv6",
        "kind": "sit",
        "endpoint": "216.66.84.42",
        "local": "46.105.5.1",
        "place": f"{OWN}, line 3",
        "ours": True,
    }


def test_the_commands(stack: Any) -> None:
    commands = [*stack.record("he-ipv6")]
    for each in (stack.up("he-ipv6"), stack.down("he-ipv6")):
        commands += [each] if isinstance(each[0], str) else each
    assert all("he-ipv6" in each and isinstance(each, list) for each in commands)
    assert stack.roots("he-ipv6") == [MAIN, OWN]
    assert stack.includes(MAIN, SOURCES) == [["/etc/network/interfaces.d/*", ".*"]]
