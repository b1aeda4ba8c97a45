"""The ladder's rungs, climbed with the answers that a network would give."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import _dualstack_host_ip as host_ip
import _dualstack_tunnel_echo as tunnel_echo
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_ladder as tunnel_ladder
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

ENDPOINT, LOCAL = "216.66.84.42", "46.105.5.1"
OURS, GATEWAY, PUBLISHED = "2001:470:1f12:f87::2", "2001:470:1f12:f87::1", "2001:470:1f13:f87::77"
BEYOND, FARTHER = "2001:db8:1::1", "2001:db8:2::2"
TUNNEL = {
    "name": "he0",
    "endpoint": ENDPOINT,
    "local": LOCAL,
    "address": f"{OURS}/64",
    "gateway": GATEWAY,
    "addresses": [f"{PUBLISHED}/64"],
}
WITHOUT_GATEWAY = {key: value for key, value in TUNNEL.items() if key != "gateway"} | {"routing": "none"}


def sight(tunnel: dict[str, Any] | None = TUNNEL, live: Any = True, links: Any = ()) -> tunnel_host.Sight:
    """A host that has this configured; and live, unless it is said otherwise."""
    if live is True:
        live = tunnel_interface.wanted(tunnel_sit.canonical(tunnel or TUNNEL))
    configuration = tunnel_stack.Configuration("toy", cast(Any, SimpleNamespace()), {}, tunnel, [])
    return tunnel_host.Sight("he0", configuration, list(links), [], live)


def silent(reason: str = "") -> dict[str, Any]:
    return {"sent": 3, "received": 0, "loss": 100, "rtt": None, "answering": False, "reason": reason}


Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Those who answer; it returns what was asked, as it happens."""

    def build(*answering: Any, reason: str = "") -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def ask(
            target: str, source: str | None = None, attempts: int = 3, timeout: float = 2, size: int | None = None
        ) -> dict[str, Any]:
            asked.append({"to": target, "from": source, "attempts": attempts, "timeout": timeout, "size": size})
            if target in answering or (target, source) in answering:
                return {"target": target, **silent(), "received": 3, "loss": 0, "answering": True}
            return {"target": target, **silent(reason)}

        monkeypatch.setattr(tunnel_echo, "ask", ask)
        return asked

    return build


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[list[str]]]:
    """A kernel that would route like this; it returns what ip(8) was asked."""

    def build(route: Any) -> list[list[str]]:
        asked: list[list[str]] = []

        def ip(words: list[str]) -> Any:
            asked.append(words)
            if isinstance(route, Exception):
                raise route
            return [route]

        monkeypatch.setattr(host_ip, "look", ip)
        return asked

    return build


# The device


def test_the_device_is_as_configured() -> None:
    done = tunnel_ladder.live(sight())
    assert done.holds is True
    assert done.comment == (
        f"he0 is up as configured: from {LOCAL} to {ENDPOINT}, TTL 255, MTU 1480, with {OURS}/64, {PUBLISHED}/64"
    )


def test_an_address_that_cannot_be_used_counts_on_the_tunnel_only() -> None:
    def address(**flags: Any) -> dict[str, Any]:
        return {"family": "inet6", "local": OURS, **flags}

    for flag in ("tentative", "dadfailed"):
        done = tunnel_ladder.live(sight(links=[{"ifname": "he0", "addr_info": [address(**{flag: True})]}]))
        said = f"he0 is not what its configuration says: {OURS} is {flag}, and cannot be used"
        assert (done.holds, done.comment) == (False, said)
    both = [{"ifname": "he0", "addr_info": [address(tentative=True, dadfailed=True)]}]
    said = f": {OURS} is tentative, and cannot be used; {OURS} is dadfailed, and cannot be used"
    assert tunnel_ladder.live(sight(links=both)).comment.endswith(said)
    for link in (
        {"ifname": "eth0", "addr_info": [address(tentative=True)]},
        {"ifname": "he0", "addr_info": [address(deprecated=True), address(tentative=False)]},
        {"ifname": "he0"},
    ):
        assert tunnel_ladder.live(sight(links=[link])).holds is True


def test_a_device_or_a_configuration_that_is_missing() -> None:
    done = tunnel_ladder.live(sight(None))
    assert (done.holds, done.comment) == (False, "he0 is not configured on this host")
    done = tunnel_ladder.live(sight(live=None))
    assert (done.holds, done.comment) == (False, "he0 does not exist on this host")


# The route


def test_the_route_of_packets_beyond_the_broker(kernel: Any) -> None:
    asked = kernel({"dev": "he0", "prefsrc": PUBLISHED})
    done = tunnel_ladder.routed(sight(), [BEYOND, FARTHER])
    assert (done.holds, done.comment) == (True, f"packets to {BEYOND} leave by he0 and come from {PUBLISHED}")
    assert tunnel_ladder.routed(sight()).comment.startswith("packets to 2000:: leave by he0 ")
    assert tunnel_ladder.routed(sight(), source=OURS).holds is True  # the kernel chooses the source
    assert asked == [["-6", "route", "get", target] for target in (BEYOND, "2000::", "2000::")]


def test_the_route_of_one_source(kernel: Any) -> None:
    tunnel = {**TUNNEL, "routing": "source"}
    asked = kernel({"dev": "he0"})
    assert tunnel_ladder.routed(sight(tunnel), [BEYOND]).comment == f"packets from {PUBLISHED} to {BEYOND} leave by he0"
    assert tunnel_ladder.routed(sight(tunnel), [BEYOND], OURS).holds is True
    assert asked == [["-6", "route", "get", BEYOND, "from", source] for source in (PUBLISHED, OURS)]


def test_another_route_or_source_or_none(kernel: Any) -> None:
    kernel({"dev": "eth0", "gateway": "fe80::1", "metric": 5, "prefsrc": OURS})
    done = tunnel_ladder.routed(sight(), [BEYOND])
    said = "do not leave by he0, but by another route that comes first: gateway fe80::1 dev eth0 metric 5"
    assert (done.holds, done.comment) == (False, f"packets to {BEYOND} {said}")
    kernel({"dev": "he0", "prefsrc": OURS})
    done = tunnel_ladder.routed(sight(), [BEYOND])
    assert (done.holds, f"but come from {OURS} instead of {PUBLISHED}" in done.comment) == (False, True)
    kernel(host_ip.Nothing("ip", 2, "Network is unreachable"))
    done = tunnel_ladder.routed(sight(), [BEYOND])
    said = f"this host has no route to {BEYOND}: 'ip' ended with 2 and said: Network is unreachable"
    assert (done.holds, done.comment) == (False, said)
    kernel(CommandExecutionError("ip is not installed"))  # which says nothing about routes
    with pytest.raises(CommandExecutionError, match="^ip is not installed$"):
        tunnel_ladder.routed(sight(), [BEYOND])


# The endpoint


def test_the_endpoint_is_asked_over_ipv4_from_the_tunnels_local_address(network: Ask) -> None:
    asked = network(ENDPOINT)
    done = tunnel_ladder.underlaid(sight())
    assert (done.holds, done.comment) == (True, f"{ENDPOINT} answers over IPv4: 3 of 3, 0% loss")
    assert [(each["to"], each["from"]) for each in asked] == [(ENDPOINT, LOCAL)]
    live = tunnel_interface.wanted(tunnel_sit.canonical(TUNNEL))
    live["link"]["local"] = "any"
    assert tunnel_ladder.underlaid(sight(live=live)).holds is True
    assert asked[-1]["from"] is None


def test_a_silent_endpoint(network: Ask) -> None:
    network(GATEWAY)
    done = tunnel_ladder.underlaid(sight())
    said = f"{ENDPOINT} does not answer over IPv4 (nothing came back)"
    answers = f", but {GATEWAY} answers through the tunnel: only pings are not answered"
    assert (done.holds, done.comment) == (True, said + answers)
    network(reason="Network is unreachable")
    done = tunnel_ladder.underlaid(sight())
    said = f"{ENDPOINT} does not answer over IPv4 (Network is unreachable)"
    down = f", nor {GATEWAY} through the tunnel: IPv4 to the endpoint is down or blocked"
    assert (done.holds, done.comment) == (False, said + down)
    done = tunnel_ladder.underlaid(sight(WITHOUT_GATEWAY))
    unnamed = ": whether it is down, or only pings are not answered, is not known without a gateway to ask"
    assert (done.holds, done.comment) == (False, said + unnamed)
    network()
    done = tunnel_ladder.underlaid(sight(WITHOUT_GATEWAY))
    assert (done.holds, done.comment.endswith(unnamed)) == (None, True)


# The broker's end


def test_the_brokers_end_is_asked_through_the_tunnel(network: Ask) -> None:
    asked = network(GATEWAY, BEYOND)
    answer = tunnel_ladder.ping(sight(), attempts=2, timeout=7)
    assert answer["summary"] == f"{GATEWAY} answers through he0: 3 of 3, 0% loss"
    assert asked.pop() == {"to": GATEWAY, "from": f"{OURS}%he0", "attempts": 2, "timeout": 7, "size": None}
    assert tunnel_ladder.ping(sight(), BEYOND)["target"] == BEYOND
    assert asked.pop() == {"to": BEYOND, "from": f"{OURS}%he0", "attempts": 3, "timeout": 2, "size": None}
    assert tunnel_ladder.ping(sight(None), BEYOND)["answering"] is True
    assert asked.pop()["from"] == "he0"


def test_whom_to_ping_has_to_be_known() -> None:
    with pytest.raises(CommandExecutionError, match="^he0 does not exist on this host$"):
        tunnel_ladder.ping(sight(live=None))
    for seen in (sight(None), sight(WITHOUT_GATEWAY)):
        with pytest.raises(CommandExecutionError, match="^the configuration of he0 names no gateway; give a target$"):
            tunnel_ladder.ping(seen)
    with pytest.raises(SaltInvocationError, match="^target: '192.0.2.1' is not an IPv6 address$"):
        tunnel_ladder.ping(sight(), "192.0.2.1")


def test_a_ping_that_is_lost_says_why_or_what_may_be(network: Ask) -> None:
    network(reason="Destination unreachable: No route")
    lost = f"{GATEWAY} does not answer through he0: 100% loss; "
    assert tunnel_ladder.ping(sight())["summary"] == f"{lost}Destination unreachable: No route"
    network()
    assert tunnel_ladder.ping(sight())["summary"].startswith(f"{lost}nothing came back: protocol 41 may be blocked")


def test_a_brokers_end_that_answers_is_all_that_is_asked(network: Ask) -> None:
    asked = network(GATEWAY)
    done = tunnel_ladder.answering(sight())
    assert (done.holds, done.comment) == (True, f"{GATEWAY} answers through he0: 3 of 3, 0% loss")
    assert [each["to"] for each in asked] == [GATEWAY]


def test_a_silent_brokers_end(network: Ask) -> None:
    asked = network(ENDPOINT)
    done = tunnel_ladder.answering(sight(), attempts=4, timeout=9)
    assert (done.holds, done.comment) == (
        False,
        f"{GATEWAY} does not answer through he0: 100% loss; {ENDPOINT} answers over IPv4: protocol 41 is blocked on "
        f"the way, or the broker holds another IPv4 address of this host than {LOCAL}",
    )
    assert [(each["to"], each["attempts"], each["timeout"]) for each in asked] == [(GATEWAY, 4, 9), (ENDPOINT, 4, 9)]
    network(reason="No route")
    done = tunnel_ladder.answering(sight())
    assert (done.holds, done.comment) == (
        False,
        f"{GATEWAY} does not answer through he0: 100% loss (No route); {ENDPOINT} does not answer over IPv4 either: "
        "IPv4 to the endpoint is down or blocked",
    )


def test_the_endpoint_says_nothing_about_another_target(network: Ask) -> None:
    asked = network()
    assert tunnel_ladder.answering(sight(), BEYOND).comment.startswith(f"{BEYOND} does not answer through he0: 100%")
    assert [each["to"] for each in asked] == [BEYOND]


# Beyond


def test_those_beyond_are_asked_from_the_published_address(network: Ask) -> None:
    asked = network(GATEWAY, FARTHER)
    done = tunnel_ladder.reaching(sight(), [BEYOND, FARTHER])
    said = f"{BEYOND} does not answer to {PUBLISHED} (nothing came back); {FARTHER} answers to {PUBLISHED}: 3 of 3"
    assert (done.holds, done.comment) == (True, f"{said}, 0% loss")
    assert [(each["to"], each["from"]) for each in asked[1:]] == [(BEYOND, PUBLISHED), (FARTHER, PUBLISHED)]
    assert tunnel_ladder.reaching(sight(), [FARTHER], OURS).comment.startswith(f"{FARTHER} answers to {OURS}: ")


def test_packets_of_the_full_size_are_tried_as_well(network: Ask) -> None:
    asked = network(FARTHER, reason="too big")
    done = tunnel_ladder.reaching(sight({**TUNNEL, "mtu": 1400}), [FARTHER])
    # 40 bytes of IPv6 and 8 of ICMPv6 come on top.
    assert asked[0] == {"to": GATEWAY, "from": OURS, "attempts": 2, "timeout": 1, "size": 1400 - 48}
    answers, warning = done.comment.splitlines()
    assert (done.holds, answers) == (True, f"{FARTHER} answers to {PUBLISHED}: 3 of 3, 0% loss")
    assert warning.startswith(f"warning: packets of 1400 bytes, the MTU of he0, do not come back from {GATEWAY} (too b")
    network(FARTHER)
    assert "(nothing came back): large transfers" in tunnel_ladder.reaching(sight(), [FARTHER]).comment
    asked = network(FARTHER)
    done = tunnel_ladder.reaching(sight(WITHOUT_GATEWAY), [FARTHER])
    assert (len(asked), "warning" in done.comment) == (1, False)


def test_a_prefix_that_is_not_routed_here(network: Ask) -> None:
    network(GATEWAY, (BEYOND, OURS))
    done = tunnel_ladder.reaching(sight(), [BEYOND, FARTHER])
    assert (done.holds, done.comment) == (
        False,
        f"{BEYOND} does not answer to {PUBLISHED} (nothing came back); {FARTHER} does not answer to {PUBLISHED} "
        f"(nothing came back), but to {OURS}, this end of the tunnel: the broker does not route the prefix of "
        f"{PUBLISHED} to this tunnel, or somebody filters it",
    )
    asked = network(GATEWAY)
    done = tunnel_ladder.reaching(sight(), [BEYOND], OURS)
    end = f"{BEYOND} does not answer to {OURS} (nothing came back); nor to this end of the tunnel, {OURS}"
    assert (done.holds, done.comment) == (False, end)
    assert [each["to"] for each in asked] == [GATEWAY, BEYOND]  # which is not asked twice the same


def test_by_default_the_brokers_end_answers_to_the_published_address(network: Ask) -> None:
    asked = network(GATEWAY)
    done = tunnel_ladder.reaching(sight(), [])
    assert (done.holds, done.comment) == (True, f"{GATEWAY} answers to {PUBLISHED}: 3 of 3, 0% loss")
    assert asked[-1]["from"] == PUBLISHED
    network((GATEWAY, OURS))
    done = tunnel_ladder.reaching(sight())
    assert (done.holds, done.comment.splitlines()[0]) == (
        False,
        f"{GATEWAY} does not answer to {PUBLISHED} (nothing came back), but to {OURS}, this end of the tunnel: the "
        f"broker does not route the prefix of {PUBLISHED} to this tunnel, or somebody filters it",
    )
    network()
    assert tunnel_ladder.reaching(sight()).holds is False


def test_without_anybody_who_could_answer_nothing_is_tried(network: Ask) -> None:
    asked = network(GATEWAY)
    done = tunnel_ladder.reaching(sight(WITHOUT_GATEWAY), [])
    assert (done.holds, asked) == (None, [])
    assert done.comment.startswith(f"nobody is named who could answer to {PUBLISHED}")


def test_a_configuration_that_makes_no_sense_is_named() -> None:
    broken = sight({**TUNNEL, "endpoint": "x", "ttl": 0}, live=None)
    for rung in (tunnel_ladder.routed, tunnel_ladder.reaching):
        with pytest.raises(CommandExecutionError) as raised:
            rung(broken)
        said = "the configuration of he0 makes no sense: endpoint: 'x' is not an IPv4 address; ttl: 0 is not a whole "
        assert str(raised.value).startswith(said)
        with pytest.raises(CommandExecutionError, match="^he0 is not configured on this host$"):
            rung(sight(None))
    for asks in (tunnel_ladder.underlaid, tunnel_ladder.answering):
        with pytest.raises(CommandExecutionError, match="^he0 does not exist on this host$"):
            cast(Any, asks)(sight(live=None))


def test_what_is_no_address_is_refused() -> None:
    for rung in (tunnel_ladder.routed, tunnel_ladder.reaching):
        wrong: list[Any] = [BEYOND, [BEYOND, "192.0.2.1"], [5], {}]
        for beyond in wrong:
            with pytest.raises(SaltInvocationError, match=r"^beyond: .* is not a list of IPv6 addresses$"):
                rung(sight(), beyond)
        with pytest.raises(SaltInvocationError, match="^source: '192.0.2.1' is not an IPv6 address$"):
            rung(sight(), [BEYOND], "192.0.2.1")


def lost(held: str) -> Any:
    """A host that has this address, and not the tunnel's."""
    lo = {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "scope": "host"}]}
    own = [{"family": "inet", "local": held, "scope": "global"}] if held else []
    six = [{"family": "inet6", "local": LOCAL, "scope": "global"}]
    return sight(links=[lo, {"ifname": "eth0", "addr_info": [*own, *six]}])


def test_an_address_that_the_host_has_lost_is_said(network: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that IPv4 is down: it is not."""
    asked = network(ENDPOINT)
    monkeypatch.setattr(tunnel_host, "route_to", lambda endpoint, dev: {"dev": "eth0", "prefsrc": "46.105.5.77"})
    said = f"{LOCAL}, from which the packets of he0 come, is none of this host's addresses any more; now it has 46.105"
    done = tunnel_ladder.underlaid(lost("46.105.5.77"))
    assert done.holds is False and done.comment.startswith(said) and asked == []
    done = tunnel_ladder.answering(lost("46.105.5.77"))
    assert done.holds is False and said in done.comment and "IPv4 to the endpoint" not in done.comment

    def nowhere(endpoint: str, dev: str | None) -> Any:
        raise CommandExecutionError("no route")

    monkeypatch.setattr(tunnel_host, "route_to", nowhere)
    assert "any more; now it has 10.0.0.1: " in tunnel_ladder.underlaid(lost("10.0.0.1")).comment
    assert "any more; now it has none: " in tunnel_ladder.underlaid(lost("")).comment


def test_an_address_that_the_host_has_is_not_lost(network: Ask) -> None:
    network(ENDPOINT)
    assert tunnel_ladder.underlaid(lost(LOCAL)).holds is True
    live = tunnel_interface.wanted(tunnel_sit.canonical(TUNNEL))
    live["link"]["local"] = "any"
    assert tunnel_ladder.underlaid(lost("")._replace(live=live)).holds is True
