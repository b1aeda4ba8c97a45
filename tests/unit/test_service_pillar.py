"""The settings of services in the pillar: which part of it they are taken from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import _dualstack_service_pillar as service_pillar
import pytest
from salt.exceptions import SaltInvocationError

KNOWN: Any = {"ssh": SimpleNamespace(about=lambda: {"options": {}})}
SSH = {"ports": [22]}


@pytest.mark.parametrize(
    ("pillar", "key", "found"),
    [
        ({"ipv6": {"services": {"ssh": SSH}}}, "ipv6:services", {"ssh": SSH}),
        ({"my": {"daemons": {"ssh": SSH}, "services": {"ssh": None}}}, "my:daemons", {"ssh": SSH}),
        ({"daemons": {"ssh": SSH}}, "daemons", {"ssh": SSH}),
        ({"ipv6": {"sysctl": {}}}, "ipv6:services", {}),
        ({"x": 1}, "services", {}),
        ({"x": 1}, None, {}),
    ],
)
def test_all_services_are_those_under_the_key(pillar: Any, key: str | None, found: Any) -> None:
    assert service_pillar.every(pillar, key, KNOWN) == found


def test_a_key_with_nothing_beside_the_services_is_wrong() -> None:
    with pytest.raises(SaltInvocationError, match="ipv5: expected a mapping in the pillar, found nothing"):
        service_pillar.every({"ipv6": {"services": {"ssh": SSH}}}, "ipv5:services", KNOWN)


def test_values_of_a_key_that_is_no_services_are_not_shown() -> None:
    pillar = {"my": {"passwords": {"ssh": "s3cret"}}}
    said = "^my:passwords:ssh: expected a mapping, found a str$"
    with pytest.raises(SaltInvocationError, match=said):
        service_pillar.one(pillar, "my:passwords", "ssh", KNOWN)
    with pytest.raises(SaltInvocationError, match=said):
        service_pillar.every(pillar, "my:passwords", KNOWN)


def test_what_stands_beside_the_services() -> None:
    pillar: Any = {"ipv6": {"services": {}, "sysctl": {"net.ipv6.bindv6only": 1}, "sysctl_except": ["a"]}}
    pillar["ipv6"]["verify"] = {"prober": "master"}
    assert service_pillar.bindv6only(pillar, "ipv6:services") == 1
    assert service_pillar.exceptions(pillar, "ipv6:services") == ["a"]
    assert service_pillar.prober(pillar, "ipv6:services") == "master"
    for key, found in ((None, pillar), ("ipv6:services", {"ipv6": {"services": {}}})):
        assert service_pillar.bindv6only(found, key) is None
        assert service_pillar.exceptions(found, key) == []
        assert service_pillar.prober(found, key) is None
    pillar["ipv6"]["sysctl"]["net.ipv6.bindv6only"] = 0
    assert service_pillar.bindv6only(pillar, "ipv6:services") == 0


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        (
            {"verify": {"prober": "me"}},
            "my:verify:prober: me is this host itself, which cannot prove that others reach",
        ),
        ({"dns": {"address": "192.0.2.1"}}, "my:dns:address: '192.0.2.1' is not an IPv6 address"),
        ({}, ""),
    ],
)
def test_who_looks_from_outside_is_checked_under_its_own_key(beside: Any, said: str) -> None:
    pillar = {"my": {"services": {"ssh": SSH}, **beside}}
    service_pillar.refuse_outside(pillar, None, "me")
    if not said:
        service_pillar.refuse_outside(pillar, "my:services", "me")
        return
    with pytest.raises(SaltInvocationError) as raised:
        service_pillar.refuse_outside(pillar, "my:services", "me")
    assert str(raised.value).startswith(said)


def test_the_settings_of_one_service() -> None:
    pillar = {"ipv6": {"services": {"ssh": SSH, "none": None}}}
    assert service_pillar.one(pillar, "ipv6:services", "ssh", KNOWN) == SSH
    assert service_pillar.one(pillar, None, "ssh", KNOWN) == {}
    with pytest.raises(SaltInvocationError, match="^ipv6:services:nginx: there is no such service in the pillar$"):
        service_pillar.one(pillar, "ipv6:services", "nginx", KNOWN)


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ({"sysctl_except": "ssh"}, "my:sysctl_except: expected a list of services, found 'ssh'"),
        ({"sysctl": {"net.ipv6.bindv6only": True}}, "my:sysctl:net.ipv6.bindv6only: True is not 0 or 1"),
        ({"sysctl": {"net.ipv6.bindv6only": 2}}, "my:sysctl:net.ipv6.bindv6only: 2 is not 0 or 1"),
        ({"sysctl": {"net.ipv6.bindv6only": "1"}}, "my:sysctl:net.ipv6.bindv6only: '1' is not 0 or 1"),
    ],
)
def test_what_is_wrong_beside_the_services_is_named(beside: Any, said: str) -> None:
    pillar = {"my": {"services": {}, **beside}}
    with pytest.raises(SaltInvocationError) as raised:
        service_pillar.exceptions(pillar, "my:services")
        service_pillar.bindv6only(pillar, "my:services")
    assert str(raised.value) == said


def test_values_of_services_are_shown() -> None:
    with pytest.raises(SaltInvocationError, match="^ipv6:services:ssh: expected a mapping, found 143$"):
        service_pillar.every({"ipv6": {"services": {"ssh": 143}}}, "ipv6:services", KNOWN)
