"""The states take their settings from the pillar: beside named arguments, which win over it."""

from __future__ import annotations

from typing import Any

import pytest

from ..lab.network import CLIENT6, NAME, OWN_FILE, PUBLISHED, STACKS, TUNNEL, ip, world

KEY = "ipv6:tunnel"
PILLAR = {"tunnel": TUNNEL, "verify": {"beyond": [CLIENT6]}}


def call(modules: Any, function: str, pillar: Any, *arguments: dict[str, Any], **kwargs: Any) -> Any:
    """One state, as it stands in an SLS file: it has no argument but where in the pillar the others are."""
    state = {"The tunnel": {"he_tunnel": [function, {"pillar": KEY}, *arguments]}}
    (result,) = modules.state.high(state, pillar={"ipv6": pillar}, **kwargs)
    return result


def test_the_tunnel_comes_and_goes(modules: Any) -> None:
    predicted = call(modules, "present", PILLAR, test=True)
    done = call(modules, "present", PILLAR)
    assert (predicted.result, done.result) == (None, True), done.comment
    assert done.changes == predicted.changes
    assert (done.name, done.comment) == ("The tunnel", f"{NAME} was changed: files, link, addresses, routes")
    again = call(modules, "present", PILLAR)
    assert (again.result, again.changes, again.comment) == (True, {}, f"{NAME} is as declared")
    gone = call(modules, "absent", PILLAR)
    assert (gone.result, gone.comment) == (True, f"{NAME} was changed: files, link, addresses, routes")
    assert not OWN_FILE.exists()


def test_the_interface_has_a_default_and_is_the_pillars_own(modules: Any) -> None:
    nameless = {key: value for key, value in TUNNEL.items() if key != "name"}
    assert call(modules, "present", {"tunnel": nameless}).comment.startswith(f"{NAME} was changed")
    assert call(modules, "absent", {"tunnel": nameless}).result is True
    assert call(modules, "present", {"tunnel": {**TUNNEL, "name": "sixxs"}}).comment.startswith("sixxs was changed")
    assert ip("link", "show", "dev", "sixxs")
    assert call(modules, "live", {"tunnel": {**TUNNEL, "name": "sixxs"}}).comment.startswith("sixxs is up")
    assert call(modules, "absent", {"tunnel": {**TUNNEL, "name": "sixxs"}}).result is True


def test_arguments_win(modules: Any) -> None:
    done = call(modules, "present", PILLAR, {"ttl": 64}, {"addresses": []})
    assert done.changes["link"]["ttl"]["new"] == 64
    assert set(done.changes["addresses"]) == {TUNNEL["address"]}


BROKEN: dict[str, tuple[Any, str]] = {
    "nothing": (None, "ipv6:tunnel: expected a mapping in the pillar, found nothing"),
    "no mapping": (["he-ipv6"], "ipv6:tunnel: expected a mapping in the pillar, found a list"),
    "all at once": (
        {**TUNNEL, "endpoint": "x", "ttl": 0, "endpiont": 1, "stack": "wicked"},
        "ipv6:tunnel:endpiont: unknown key; did you mean endpoint?\n"
        "ipv6:tunnel:endpoint: 'x' is not an IPv4 address\n"
        "ipv6:tunnel:ttl: 0 is not a whole number from 1 to 255\n"
        f"ipv6:tunnel:stack: 'wicked' is not a network stack that is supported; expected one of auto, {STACKS}",
    ),
    "not of this host": (
        {**TUNNEL, "local": "192.0.2.1"},
        "ipv6:tunnel:local: 192.0.2.1 is not an address of this host",
    ),
    "an interface of it": ({**TUNNEL, "name": "eth0"}, "ipv6:tunnel:name: eth0 is an interface of this host of the"),
    "a stack that is not here": ({**TUNNEL, "stack": "toy"}, "this host has no toyup; "),
}


@pytest.mark.parametrize("case", BROKEN)
def test_errors_begin_with_the_place_in_the_pillar(modules: Any, case: str, test: bool) -> None:
    tunnel, said = BROKEN[case]
    before = world()
    done = call(modules, "present", {} if tunnel is None else {"tunnel": tunnel}, test=test)
    assert (done.result, done.changes) == (False, {})
    assert done.comment.startswith(said)
    assert world() == before


def test_an_argument_that_is_wrong_is_not_sought_in_the_pillar(modules: Any) -> None:
    done = call(modules, "present", {"tunnel": {**TUNNEL, "mtu": 1}}, {"ttl": 0})
    assert done.comment.splitlines() == [
        "ttl: 0 is not a whole number from 1 to 255",
        "ipv6:tunnel:mtu: 1 is not a whole number from 1280 to 65515",
    ]


def test_what_is_no_error_begins_with_it_too(modules: Any) -> None:
    done = call(modules, "present", {"tunnel": {**TUNNEL, "mtu": 1500}}, test=True)
    assert done.result is None
    assert "\nipv6:tunnel:mtu: eth0 carries packets of at most 1480 bytes" in done.comment


def test_what_absent_does_not_need_is_not_looked_at(modules: Any, tunnel: None) -> None:
    done = call(modules, "absent", {"tunnel": {"name": "a name", "adopt": 1, "ttl": "x"}})
    assert done.comment.splitlines() == [
        "ipv6:tunnel:name: 'a name' is not an interface name: up to 15 letters, digits, '.', '_' and '-'",
        "ipv6:tunnel:adopt: 1 is not true or false",
    ]
    assert call(modules, "absent", {"tunnel": {"ttl": "x"}}).result is True
    assert not OWN_FILE.exists()


def test_the_rungs_find_what_they_ask_for(modules: Any, tunnel: None) -> None:
    for rung, said in (
        ("live", f"{NAME} is up as configured: "),
        ("routed", f"packets to {CLIENT6} leave by {NAME} and come from {PUBLISHED}"),
        ("underlaid", f"{TUNNEL['endpoint']} answers over IPv4: "),
        ("answering", f"{TUNNEL['gateway']} answers through {NAME}: "),
        ("reaching", f"{CLIENT6} answers to {PUBLISHED}: "),
    ):
        asked = call(modules, rung, PILLAR, test=True)
        assert (asked.result, asked.comment) == (None, f"{NAME} was not asked: test=True sends no packets")
        done = call(modules, rung, PILLAR)
        assert (done.result, done.name) == (True, "The tunnel"), done.comment
        assert done.comment.startswith(said)


def test_the_published_address_is_asked_for(modules: Any, tunnel: None) -> None:
    ours = TUNNEL["address"].partition("/")[0]
    done = call(modules, "reaching", {**PILLAR, "dns": {"address": "2001:0470:1F12:f87::2"}})
    assert done.comment.startswith(f"{CLIENT6} answers to {ours}: ")
    done = call(modules, "reaching", {**PILLAR, "dns": {"names": ["www.example.org"]}})
    assert done.comment.startswith(f"{CLIENT6} answers to {PUBLISHED}: ")
    done = call(modules, "reaching", PILLAR, {"beyond": []}, {"source": ours})
    assert done.comment.startswith(f"{TUNNEL['gateway']} answers to {ours}: ")


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ({"verify": {"beyond": "x"}}, "ipv6:verify:beyond: 'x' is not a list of IPv6 addresses"),
        ({"dns": {"address": "x"}}, "ipv6:dns:address: 'x' is not an IPv6 address"),
        ({"tunnel": {**TUNNEL, "source": "x"}}, "ipv6:tunnel:source: 'x' is not an IPv6 address"),
    ],
)
def test_a_rung_tells_where_the_pillar_is_wrong(modules: Any, tunnel: None, beside: Any, said: str) -> None:
    done = call(modules, "reaching", {**PILLAR, **beside})
    assert (done.result, done.comment) == (False, said)


def test_a_rung_looks_at_the_host_once(modules: Any, tunnel: None, tmp_path: Any, shadows: Any) -> None:
    """Only what a rung is about is asked for besides: routed asks for one route."""
    for name in ("ip", "ifup"):
        (shadows / name).write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\nexec /sbin/{name} "$@"\n')
        (shadows / name).chmod(0o755)
    look = ["--version", "-j -d addr show", "-j -6 route show default", "-j -6 route show type unreachable"]
    rungs = {"live": look, "routed": [*look, f"-j -6 route get {CLIENT6}"], "underlaid": look, "answering": look}
    for rung, asked in {**rungs, "reaching": look}.items():
        assert call(modules, rung, PILLAR).result is True
        assert (tmp_path / "asked").read_text().splitlines() == asked, rung
        (tmp_path / "asked").unlink()
