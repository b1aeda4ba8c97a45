"""What ``he_tunnel`` makes of its arguments and the pillar, on a host that is made up."""

from __future__ import annotations

from typing import Any

import he_tunnel as module
import pytest
import tunnel_ifupdown
from salt.exceptions import SaltInvocationError

from ..lab.network import ARGUMENTS as TUNNEL

he_tunnel: Any = module
OWN = "/etc/network/interfaces.d/he-ipv6"
FUNCTIONS = ("about", "recognise", "roots", "includes", "parse", "files", "present", "absent", "up", "down")


@pytest.fixture(autouse=True)
def _door(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is loaded as Salt would load it."""
    stack = {f"tunnel_ifupdown.{each}": getattr(tunnel_ifupdown, each) for each in FUNCTIONS}
    for name, value in (("__salt__", stack), ("__opts__", {"test": False}), ("__pillar__", {})):
        monkeypatch.setattr(he_tunnel, name, value, raising=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the rungs of the ladder were asked; each says that it holds."""
    calls: list[Any] = []

    def rung(name: str) -> Any:
        def climb(seen: Any, *given: Any) -> Any:
            calls.append((name, seen, *given))
            return he_tunnel.converge.Finding(True, f"{name} holds")

        return climb

    for name in ("live", "routed", "underlaid", "answering", "reaching", "ping"):
        monkeypatch.setattr(he_tunnel.tunnel_ladder, name, rung(name))
    monkeypatch.setattr(he_tunnel.tunnel_host, "look", lambda name, stack, stacks: f"{name} of {stack}")
    return calls


def test_what_is_rendered_is_what_the_stack_would_write() -> None:
    (text,) = he_tunnel.render(**TUNNEL).values()
    assert he_tunnel.render(**TUNNEL) == {OWN: text}
    assert "auto he-ipv6\n" in text and "    endpoint 216.66.84.42\n" in text
    (following,) = he_tunnel.render(**{**TUNNEL, "local": "auto"}).values()
    assert following == text.replace("    local 46.105.5.1\n", "")
    assert list(he_tunnel.render("sixxs", __pub_fun="he_tunnel.render", **TUNNEL)) == [OWN.replace("he-ipv6", "sixxs")]
    for change, said in (
        ({"stack": "auto"}, "stack: 'auto' is for a host to find out; expected the name of a network stack, such as"),
        ({"endpiont": "x"}, "endpiont: unknown key; did you mean endpoint?"),
    ):
        with pytest.raises(SaltInvocationError) as raised:
            he_tunnel.render(**{**TUNNEL, **change})
        assert str(raised.value).startswith(said)


def test_ping_asks_the_tunnels_own_end_by_default(asked: list[Any]) -> None:
    he_tunnel.ping()
    he_tunnel.ping("sixxs", "2001:db8::1", 7, 0.5)
    assert asked == [("ping", "he-ipv6 of auto", None, 3, 2), ("ping", "sixxs of auto", "2001:db8::1", 7, 0.5)]
    with pytest.raises(SaltInvocationError, match="^name: 'sit0' is reserved"):
        he_tunnel.ping("sit0")


def test_each_rung_is_asked_what_is_given(asked: list[Any]) -> None:
    seen = "he0 of ifupdown"
    for rung, given, expected in (
        ("live", {}, ()),
        ("routed", {"beyond": ["2001:db8::1"], "source": "2001:db8::2"}, (["2001:db8::1"], "2001:db8::2")),
        ("underlaid", {}, ()),
        ("answering", {"target": "2001:db8::1", "attempts": 7, "timeout": 9}, ("2001:db8::1", 7, 9)),
        ("reaching", {"beyond": ["2001:db8::1"], "source": "2001:db8::2"}, (["2001:db8::1"], "2001:db8::2")),
    ):
        done = getattr(he_tunnel, rung)("he0", stack="ifupdown", **given)
        said = {"comment": f"{rung} holds", "outcome": "held"}
        assert done == {"name": "he0", "result": True, "changes": {}, **said}
        assert asked.pop() == (rung, seen, *expected)
    assert he_tunnel.answering("he0")["result"] is True
    assert asked.pop() == ("answering", "he0 of auto", None, 3, 2)


def test_each_rung_takes_the_rest_from_the_pillar(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    beside = {"verify": {"beyond": ["2001:db8::1"]}, "dns": {"address": "2001:db8::7"}}
    pillar: Any = {"my": {"tunnel": {**TUNNEL, "name": "sixxs", "stack": "ifupdown"}, **beside}}
    monkeypatch.setattr(he_tunnel, "__pillar__", pillar, raising=False)
    for rung, expected in (
        ("live", ()),
        ("routed", (["2001:db8::1"], "2001:db8::7")),
        ("underlaid", ()),
        ("answering", (TUNNEL["gateway"], 3, 2)),
        ("reaching", (["2001:db8::1"], "2001:db8::7")),
    ):
        done = getattr(he_tunnel, rung)("A rung", pillar="my:tunnel")
        assert (done["name"], done["result"]) == ("A rung", True)
        assert asked.pop() == (rung, "sixxs of ifupdown", *expected)
        pillar["my"]["tunnel"]["ttl"] = 0
        done = getattr(he_tunnel, rung)("A rung", pillar="my:tunnel")
        assert (done["result"], done["comment"].split(" is ")[0]) == (False, "my:tunnel:ttl: 0")
        del pillar["my"]["tunnel"]["ttl"]
    assert asked == []


@pytest.mark.parametrize("rung", ["live", "routed", "underlaid", "answering", "reaching"])
def test_in_test_mode_no_rung_is_climbed(rung: str, asked: list[Any]) -> None:
    said = "he0 was not asked: test=True sends no packets"
    done = getattr(he_tunnel, rung)("he0", test=True)
    assert (done["result"], done["comment"]) == (None, said)
    he_tunnel.__opts__["test"] = True
    assert getattr(he_tunnel, rung)("he0")["comment"] == said
    assert asked == []
    assert getattr(he_tunnel, rung)("he0", test=False)["result"] is True
    refused = getattr(he_tunnel, rung)("he0", retries=3)
    assert (refused["result"], refused["comment"]) == (False, "unknown argument: retries")


def test_present_and_absent_plan_what_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[Any] = []

    def plan(kind: str) -> Any:
        def make(declared: Any, stacks: Any, *_: Any) -> Any:
            planned.append((kind, declared))
            raise SaltInvocationError("ttl: no\nadopt: no")

        return make

    for kind in ("present", "absent"):
        monkeypatch.setattr(he_tunnel.tunnel_change, f"plan_{kind}", plan(kind))
    assert he_tunnel.present("he0", ttl=9)["comment"] == "ttl: no\nadopt: no"
    assert he_tunnel.absent("he0", adopt=True)["result"] is False
    assert he_tunnel.present("he0", tll=9)["comment"] == "unknown argument: tll"
    pillar = {"my": {"tunnel": {"name": "sixxs", "ttl": 5, "adopt": True}}}
    monkeypatch.setattr(he_tunnel, "__pillar__", pillar, raising=False)
    done = he_tunnel.present("The tunnel", pillar="my:tunnel", ttl=9)
    assert (done["name"], done["comment"]) == ("The tunnel", "ttl: no\nmy:tunnel:adopt: no")
    he_tunnel.absent("No tunnel", pillar="my:tunnel", stack="ifupdown")
    assert planned == [
        ("present", {"name": "he0", "ttl": 9}),
        ("absent", {"name": "he0", "stack": None, "adopt": True}),
        ("present", {"name": "sixxs", "ttl": 9, "adopt": True}),
        ("absent", {"name": "sixxs", "ttl": 5, "adopt": True, "stack": "ifupdown"}),
    ]
