"""The hoster's IPv6 in the kernel: what is seen of it, what differs, and the commands that change it, and back."""

from __future__ import annotations

from typing import Any

import _dualstack_native_host as native_host
import _dualstack_native_interface as native_interface
import _dualstack_native_settings as native_settings
import _dualstack_tunnel_interface as tunnel_interface
import pytest
from salt.exceptions import CommandExecutionError

GIVEN: dict[str, Any] = {"interface": "eth0", "address": "2001:db8:1::8/64", "gateway": "fe80::1"}
ROUTE = {"dst": "default", "gateway": "fe80::1", "dev": "eth0", "protocol": "static", "metric": 1024, "flags": []}


def address(text: str, **more: Any) -> dict[str, Any]:
    host, _, length = text.partition("/")
    family = "inet6" if ":" in host else "inet"
    return {"family": family, "local": host, "prefixlen": int(length), "scope": "global", **more}


def link(*held: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ifname": "eth0", "mtu": 1500, "flags": ["BROADCAST", "UP"], "addr_info": list(held), **more}


OTHERS = (address("192.0.2.8/24"), address("2001:db8:1::99/64"), address("fe80::8/64", scope="link"))
HERE = link(*OTHERS, address("2001:db8:1::8/64"))


def declared(**more: Any) -> dict[str, Any]:
    return native_settings.canonical({**GIVEN, **more})


def steps(found: dict[str, Any], routes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    native = declared(**more)
    now = native_interface.live(native, found, routes)
    return native_interface.differences(now, native_interface.wanted(native, now))


def commands(found: dict[str, Any], routes: list[dict[str, Any]], **more: Any) -> list[str]:
    return [" ".join(each) for each in native_interface.commands("eth0", steps(found, routes, **more))]


FOREVER = "valid_lft forever preferred_lft forever"


def test_nothing_is_done_where_all_is_there() -> None:
    assert commands(HERE, [ROUTE]) == []


def test_what_is_missing_comes_and_nothing_else_goes() -> None:
    assert steps(link(*OTHERS), [{**ROUTE, "dev": "eth1"}]) == {
        "addresses": {"2001:db8:1::8/64": {"old": "absent", "new": "preferred"}},
        "routes": {"default via fe80::1 metric 1024": {"old": "absent", "new": "present"}},
    }
    assert commands(link(*OTHERS), [{**ROUTE, "dev": "eth1"}, {**ROUTE, "gateway": "fe80::2"}]) == [
        f"ip -6 addr replace 2001:db8:1::8/64 dev eth0 {FOREVER}",
        "ip -6 route add default via fe80::1 metric 1024 dev eth0 onlink",
    ]


def test_another_prefix_length_goes_before_the_right_one_comes() -> None:
    assert commands(link(address("2001:db8:1::8/128")), [ROUTE]) == [
        "ip -6 addr del 2001:db8:1::8/128 dev eth0",
        f"ip -6 addr replace 2001:db8:1::8/64 dev eth0 {FOREVER}",
    ]


@pytest.mark.parametrize(
    ("route", "metric", "coming"),
    [
        ({"metric": 256}, None, []),  # whatever it has
        ({"metric": 1024, "protocol": "ra"}, None, []),
        ({"metric": 256}, 256, []),
        ({"metric": 256}, 512, ["ip -6 route add default via fe80::1 metric 512 dev eth0 onlink"]),
        ({"from": "2001:db8:1::/64"}, None, ["ip -6 route add default via fe80::1 metric 1024 dev eth0 onlink"]),
    ],
)
def test_which_route_will_do(route: dict[str, Any], metric: int | None, coming: list[str]) -> None:
    assert commands(HERE, [{**ROUTE, **route}], metric=metric) == coming


def test_a_source_makes_the_others_deprecated_and_without_one_that_stays() -> None:
    held = link(address("2001:db8:1::8/64"), address("2001:db8:1::9/128", deprecated=True))
    more: dict[str, Any] = {"addresses": ["2001:db8:1::9/128"]}
    assert commands(held, [ROUTE], **more) == []
    assert commands(held, [ROUTE], source="2001:db8:1::8", **more) == []
    assert commands(held, [ROUTE], source="2001:db8:1::9", **more) == [
        "ip -6 addr replace 2001:db8:1::8/64 dev eth0 valid_lft forever preferred_lft 0",
        f"ip -6 addr replace 2001:db8:1::9/128 dev eth0 {FOREVER}",
    ]


def test_the_way_back() -> None:
    found = steps(link(address("2001:db8:1::8/128")), [])
    back = native_interface.back(found)
    assert [" ".join(each) for each in native_interface.commands("eth0", back)] == [
        "ip -6 addr del 2001:db8:1::8/64 dev eth0",
        f"ip -6 addr replace 2001:db8:1::8/128 dev eth0 {FOREVER}",
        "ip -6 route del default via fe80::1 metric 1024 dev eth0",
    ]
    assert native_interface.back(back) == found


def test_what_goes_with_a_file_of_ours() -> None:
    native = declared(addresses=["2001:db8:1::9/64"])
    now = native_interface.live(native, link(*OTHERS, *map(address, native["addresses"])), [ROUTE])
    left = native_interface.without(now, ["2001:db8:1::9/64"], True)
    assert [" ".join(each) for each in native_interface.commands("eth0", native_interface.differences(now, left))] == [
        "ip -6 route del default via fe80::1 metric 1024 dev eth0",
        "ip -6 addr del 2001:db8:1::9/64 dev eth0",
    ]


# --------------------------------------------------------------------------------------------------------------
# What prevents it


def seen(found: dict[str, Any], routes: list[dict[str, Any]], **more: Any) -> native_host.Sight:
    return native_host.Sight(declared(**more), None, {}, [], found, routes)  # type: ignore[arg-type]


def checked(sight: native_host.Sight) -> str:
    now = native_interface.live(sight.native, sight.link, sight.routes)
    try:
        native_host.check_live(sight, now, native_interface.wanted(sight.native, now))
    except CommandExecutionError as error:
        return str(error)
    return ""


def test_a_route_of_others_with_the_same_metric() -> None:
    other = {**ROUTE, "dev": "he-ipv6", "gateway": "2001:470:1f12:f87::1"}
    assert checked(seen(HERE, [other])) == (
        "metric: this host has an IPv6 default route of metric 1024 already, via 2001:470:1f12:f87::1 dev he-ipv6, and "
        "the kernel has one of each metric; expected another: the least comes first"
    )
    assert checked(seen(HERE, [other], metric=512)) == ""
    assert checked(seen(HERE, [other, ROUTE])) == "", "it is there, and stays"
    assert checked(seen(HERE, [{**other, "from": "2001:db8::/64"}])) == ""
    several = {"dst": "default", "metric": 1024, "nexthops": [{"dev": "eth0", "gateway": "fe80::1"}]}
    assert "by several next hops" in checked(seen(HERE, [several]))


def test_an_address_that_another_host_has() -> None:
    said = "address: 2001:db8:1::8 is a duplicate: another host at eth0 has it"
    assert checked(seen(link(address("2001:db8:1::8/64", dadfailed=True, tentative=True)), [ROUTE])) == said
    more = seen(link(address("2001:db8:1::9/64", dadfailed=True)), [ROUTE], addresses=["2001:db8:1::9/64"])
    assert checked(more).startswith("addresses: 2001:db8:1::9 is a duplicate")


def test_an_interface_that_cannot_have_it() -> None:
    native_host.check_link(seen(HERE, []))
    with pytest.raises(CommandExecutionError, match="^interface: eth0 is a part of br0, which has the addresses"):
        native_host.check_link(seen(link(master="br0"), []))
    with pytest.raises(CommandExecutionError, match="^interface: eth0 is in the VRF blue, whose table has its routes"):
        native_host.check_link(seen(link(master="blue", linkinfo={"info_slave_kind": "vrf"}), []))
    with pytest.raises(CommandExecutionError, match="^interface: eth0 is down"):
        native_host.check_link(seen(link(flags=["BROADCAST"]), []))


def test_a_route_that_goes_with_its_router() -> None:
    advertised = {**ROUTE, "protocol": "ra"}
    for routes, warned in (([advertised], True), ([ROUTE], False), ([advertised, {**ROUTE, "metric": 9}], False)):
        sight = seen(HERE, routes)
        now = native_interface.live(sight.native, sight.link, sight.routes)
        assert bool(native_host.warnings(sight, now)) is warned


def test_an_address_that_is_the_prefix_itself() -> None:
    for text, held, warned in (("::/56", False, True), ("::/56", True, False), ("::8/64", False, False)):
        given = f"2001:db8:1:0{text}" if text.startswith("::") else text
        sight = seen(link(address("2001:db8:1::/56")) if held else link(), [], address=given)
        now = native_interface.live(sight.native, sight.link, sight.routes)
        assert bool(native_host.warnings(sight, now)) is warned
    assert not native_settings.anycast("2001:db8:1::/128")
    assert not native_settings.anycast("2001:db8:1::/127")


def test_an_address_that_goes_with_its_router() -> None:
    for seconds, warned in ((86400, True), (2**32 - 1, False)):
        found = link(address("2001:db8:1::8/64", valid_life_time=seconds, dynamic=True), OTHERS[1])
        sight = seen(found, [ROUTE])
        now = native_interface.live(sight.native, sight.link, sight.routes)
        assert native_interface.wanted(sight.native, now)["addresses"] == now["addresses"], "it is not taken over"
        assert bool(native_host.warnings(sight, now)) is warned


def test_for_who_asks_where_packets_leave_the_link_does_not_change() -> None:
    native = declared()
    now = native_interface.live(native, link(), [])
    target = native_interface.wanted(native, now)
    ways = [native_interface.interface(HERE, each) for each in (now, target)]
    found = [each[:4] for each in tunnel_interface.commands("eth0", *ways)]
    assert found == [["ip", "-6", "addr", "replace"], ["ip", "-6", "route", "add"]]
