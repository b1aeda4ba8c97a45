"""The read-only functions he_tunnel.status, render and ping; and the state he_tunnel.answering."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

from ..lab.network import MAIN, MAIN_TEXT, NAME, OWN_FILE, TUNNEL, hear, run, world


def test_status_without_a_tunnel(modules: Any) -> None:
    assert modules.he_tunnel.status() == {
        "name": NAME,
        "stack": "ifupdown",
        "reason": "this host has no other",
        "live": None,
        "configured": None,
        "files": [],
        "differences": {},
        "in_sync": True,
        "unread": [],
        "tunnels": [],
    }


def test_status_of_the_tunnel(modules: Any, tunnel: None) -> None:
    before = world()
    status = modules.he_tunnel.status(NAME)
    assert world() == before
    assert status["in_sync"] is True
    assert status["files"] == [str(OWN_FILE)]
    assert status["live"]["link"]["endpoint"] == status["configured"]["endpoint"] == TUNNEL["endpoint"]
    assert status["live"]["addresses"] == {
        "2001:470:1f12:f87::2/64": "deprecated",
        "2001:470:1f13:f87::77/64": "preferred",
    }


def test_status_sees_drift(modules: Any, tunnel: None) -> None:
    run("ip", "link", "set", NAME, "mtu", "1400")
    status = modules.he_tunnel.status()
    assert status["in_sync"] is False
    assert status["differences"] == {"link": {"mtu": {"old": 1400, "new": 1480}}}


def test_status_of_a_tunnel_by_hand(modules: Any) -> None:
    MAIN.write_text(
        f"{MAIN_TEXT}auto {NAME}\niface {NAME} inet6 v4tunnel\n    address 2001:470:1f12:f87::2\n    netmask 64\n"
        "    endpoint 216.66.84.42\n    gateway 2001:470:1f12:f87::1\n    ttl 255\n"
    )
    run("ifup", NAME)
    status = modules.he_tunnel.status()
    assert status["files"] == [str(MAIN)]
    assert status["live"]["link"]["local"] == "any"
    assert status["configured"]["address"] == "2001:470:1f12:f87::2/64"


def test_status_of_a_broken_configuration_says_what_is_wrong(modules: Any) -> None:
    MAIN.write_text(f"{MAIN_TEXT}iface {NAME} inet6 v4tunnel\n    endpoint nonsense\n")
    status = modules.he_tunnel.status()
    assert status["in_sync"] is False
    assert "endpoint: 'nonsense' is not an IPv4 address" in status["differences"]["configuration"]["old"]


def test_render_is_what_present_writes(modules: Any, states: Any) -> None:
    before = world()
    rendered = modules.he_tunnel.render(**TUNNEL)
    assert world() == before
    assert states.he_tunnel.present(**TUNNEL).result is True
    assert rendered == {str(OWN_FILE): OWN_FILE.read_text()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stack": "auto"}, "stack: 'auto' is for a host to find out; expected the name of a network stack"),
        ({"stack": "netctl"}, "stack: 'netctl' is not a network stack that is supported"),
        ({"endpoint": "x", "ttl": 0}, "endpoint: 'x' is not an IPv4 address\nttl: 0 is not"),
    ],
)
def test_render_refuses_bad_input(modules: Any, change: dict[str, Any], said: str) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        modules.he_tunnel.render(**{**TUNNEL, **change})
    assert said in str(raised.value)


def test_ping(modules: Any, tunnel: None) -> None:
    answer = modules.he_tunnel.ping(attempts=2)
    assert answer["answering"] is True
    assert (answer["target"], answer["sent"], answer["received"], answer["loss"]) == (TUNNEL["gateway"], 2, 2, 0)
    assert 0 < answer["rtt"]["min"] <= answer["rtt"]["avg"] <= answer["rtt"]["max"]


def test_the_broker_answers(states: Any, tunnel: None) -> None:
    before = world()
    result = states.he_tunnel.answering(NAME)
    assert (result.result, result.changes) == (True, {})
    assert "2001:470:1f12:f87::1 answers through he-ipv6: 3 of 3, 0% loss" in result.comment
    assert world() == before


def test_test_mode_does_not_ask_and_says_so(states: Any, tunnel: None) -> None:
    result = states.he_tunnel.answering(NAME, test=True)
    assert (result.result, result.changes) == (None, {})
    assert "he-ipv6 was not asked: test=True sends no packets" in result.comment


def test_a_silent_broker_fails_with_loss_and_reason(states: Any, tunnel: None) -> None:
    hear("46.105.5.2")
    result = states.he_tunnel.answering(NAME, attempts=2, timeout=1)
    assert result.result is False
    assert "2001:470:1f12:f87::1 does not answer through he-ipv6: 100% loss;" in result.comment


def test_a_partial_loss_passes_and_is_reported(states: Any, tunnel: None) -> None:
    one = "ip netns exec broker ip tunnel change he0 mode sit remote 46.105.5"
    flapping = subprocess.Popen(["sh", "-c", f"while :; do {one}.2; sleep 0.3; {one}.1; sleep 0.3; done"])
    try:
        result = states.he_tunnel.answering(NAME, attempts=20, timeout=1)
    finally:
        flapping.terminate()
        flapping.wait()
    assert result.result is True, result.comment
    assert 0 < int(re.search(r"(\d+)% loss", result.comment)[1]) < 100  # type: ignore[index]


def test_the_reason_is_what_the_kernel_says(states: Any, tunnel: None) -> None:
    result = states.he_tunnel.answering(NAME, target="2001:db8:dead::1", attempts=1, timeout=1)
    assert result.result is False
    assert "unreachable" in result.comment.lower()


def test_no_interface_no_answer(states: Any) -> None:
    result = states.he_tunnel.answering(NAME)
    assert (result.result, result.changes) == (False, {})
    assert "he-ipv6 does not exist on this host" in result.comment


def test_a_tunnel_without_a_gateway_needs_a_target(states: Any) -> None:
    assert states.he_tunnel.present(**{**TUNNEL, "routing": "none", "gateway": None}).result is True
    assert "names no gateway; give a target" in states.he_tunnel.answering(NAME).comment
    assert states.he_tunnel.answering(NAME, target="2001:470:1f12:f87::1").result is True


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attempts": 0}, "attempts: 0 is not a whole number from 1 to 500"),
        ({"timeout": "soon"}, "timeout: 'soon' is not a number of seconds"),
        ({"target": "-f"}, "target: '-f' is not an IPv6 address"),
        ({"target": "216.66.84.42"}, "target: '216.66.84.42' is not an IPv6 address"),
        ({"retries": 3}, "unknown argument: retries"),
    ],
)
def test_answering_refuses_bad_input(states: Any, tunnel: None, change: dict[str, Any], said: str) -> None:
    result = states.he_tunnel.answering(NAME, **change)
    assert result.result is False
    assert said in result.comment


def test_ping_needs_an_interface(modules: Any) -> None:
    with pytest.raises(CommandExecutionError, match="does not exist"):
        modules.he_tunnel.ping()
