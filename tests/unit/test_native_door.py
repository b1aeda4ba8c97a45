"""The door of the hoster's IPv6: arguments, the pillar, and where what is wrong is in it."""

from __future__ import annotations

from typing import Any

import ipv6_native
import pytest

GIVEN: dict[str, Any] = {"interface": "eth0", "address": "2001:db8:1::8/64", "gateway": "fe80::1"}
DONE: dict[str, Any] = {"changes": {}, "warnings": [], "files": {}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the plans are made of."""
    calls: list[dict[str, Any]] = []

    def plan(native: dict[str, Any], *_: Any) -> dict[str, Any]:
        calls.append(native)
        return DONE

    for name in ("plan_present", "plan_absent"):
        monkeypatch.setattr(vars(ipv6_native)["native_change"], name, plan)
    for name, value in (("__opts__", {"test": False}), ("__salt__", {}), ("__pillar__", {"ipv6": {"native": GIVEN}})):
        monkeypatch.setattr(ipv6_native, name, value, raising=False)
    return calls


def test_what_is_given_and_what_the_pillar_has(asked: list[dict[str, Any]]) -> None:
    done = ipv6_native.native("x", test=True, pillar="ipv6:native", metric=7, source=None, __env__="base")
    assert (done["name"], done["result"], done["comment"]) == ("x", True, "eth0 is as declared")
    ipv6_native.native("eth1", test=True, address="2001:db8:1::8/64")
    ipv6_native.native_absent("x", test=True, interface="eth2")
    ipv6_native.native_absent("x", test=True, pillar="ipv6:native", stack="networkd")
    assert asked == [
        {**GIVEN, "metric": 7},
        {"interface": "eth1", "address": "2001:db8:1::8/64"},
        {"interface": "eth2"},
        {**GIVEN, "stack": "networkd"},
    ]


def test_what_it_does_not_know_is_refused(asked: list[dict[str, Any]]) -> None:
    for function in (ipv6_native.native, ipv6_native.native_absent):
        assert function("x", test=True, gatewy="fe80::1")["comment"] == "unknown argument: gatewy"
    assert asked == []


@pytest.mark.parametrize("pillar", [5, ["s3cret"], {"password": "s3cret"}])
def test_a_pillar_that_is_no_key_is_not_shown(asked: list[dict[str, Any]], pillar: Any) -> None:
    done = ipv6_native.native("x", test=True, pillar=pillar)
    assert done["result"] is False and "s3cret" not in str(done)


def test_what_is_wrong_is_said_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"ipv6": {"native": {**GIVEN, "gateway": "::", "metric": 0}}}
    for name, value in (("__opts__", {"test": False}), ("__salt__", {}), ("__pillar__", wrong)):
        monkeypatch.setattr(ipv6_native, name, value, raising=False)
    done = ipv6_native.native("x", test=True, pillar="ipv6:native", metric=-1)
    assert [each.partition(" ")[0] for each in done["comment"].splitlines()] == ["ipv6:native:gateway:", "metric:"]
    assert ipv6_native.native("x", pillar="ipv6:nothing")["comment"] == (
        "ipv6:nothing: expected a mapping in the pillar, found nothing"
    )
    absent = ipv6_native.native_absent("lo", test=True)
    assert absent["comment"].startswith("interface: 'lo' is not an interface that leads to others")
