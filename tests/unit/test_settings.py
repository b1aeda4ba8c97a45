"""Parts of the pillar by their keys, and what stands beside them."""

from __future__ import annotations

from typing import Any

import _dualstack_settings as settings
import pytest
from salt.exceptions import SaltInvocationError

PILLAR: dict[str, Any] = {
    "ipv6": {"tunnel": {"ttl": 64}, "firewall": {}, "sysctl_except": ["vsftpd"], "dns": {"address": "2001:db8::1"}},
    "alone": {"x": 1},
    "beside": {"y": 2},
    "secret": "s3cret",
}


def test_a_part() -> None:
    assert settings.part(PILLAR, "ipv6:tunnel") == {"ttl": 64}
    assert settings.part(PILLAR, "alone") == {"x": 1}
    assert settings.part(PILLAR, "ipv6:firewall") == {}
    found = settings.part(PILLAR, "alone")
    found["x"] = 5
    assert PILLAR["alone"] == {"x": 1}, "it is a copy"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("ipv6:tunel", "nothing"),
        ("ipv7", "nothing"),
        ("", "nothing"),
        ("secret:x", "nothing"),
        ("secret", "a str"),
        ("ipv6:tunnel:ttl", "a int"),
        ("ipv6:sysctl_except", "a list"),
    ],
)
def test_what_is_no_part_is_named_and_not_shown(key: str, found: str) -> None:
    with pytest.raises(SaltInvocationError) as caught:
        settings.part(PILLAR, key)
    assert str(caught.value) == f"{key}: expected a mapping in the pillar, found {found}"


def test_what_stands_beside_a_part() -> None:
    assert settings.beside(PILLAR, "ipv6:firewall", "tunnel") == {"ttl": 64}
    assert settings.beside(PILLAR, "ipv6:firewall", "services") == {}
    assert settings.beside(PILLAR, "ipv6:firewall", "sysctl_except") == {}
    assert settings.beside(PILLAR, "alone", "beside") == {"y": 2}
    assert settings.value_beside(PILLAR, "ipv6:services", "sysctl_except") == ["vsftpd"]
    assert settings.value_beside(PILLAR, "ipv6:services", "dns:address") == "2001:db8::1"
    assert settings.value_beside(PILLAR, "ipv6:services", "verify") is None


def test_the_key_of_what_stands_beside() -> None:
    assert settings.place_beside("ipv6:services", "sysctl") == "ipv6:sysctl"
    assert settings.place_beside("a:b:services", "sysctl:x") == "a:b:sysctl:x"
    assert settings.place_beside("services", "sysctl") == "sysctl"


LISTED: dict[str, Any] = {
    "ipv6": {"dns": [{"ttl": 1, "ptr": {"ttl": 2}}, "s3cret"], "tunnel": {"ttl": 64}, "5": {"x": 1}}
}


def test_a_part_in_a_list() -> None:
    assert settings.part(LISTED, "ipv6:dns:0") == {"ttl": 1, "ptr": {"ttl": 2}}
    assert settings.part(LISTED, "ipv6:dns:0:ptr") == {"ttl": 2}
    assert settings.part(LISTED, "ipv6:5") == {"x": 1}
    assert (
        settings.beside(LISTED, "ipv6:dns:1", "tunnel") == settings.beside(LISTED, "ipv6:dns", "tunnel") == {"ttl": 64}
    )
    assert [settings.whole(each) for each in ("ipv6:dns:10", "ipv6:dns", "ipv6:dns:0:ptr")] == [
        *("ipv6:dns", "ipv6:dns", "ipv6:dns:0:ptr")
    ]
    assert settings.told("ipv6:dns:0:ptr") == "ipv6:dns[0]:ptr"
    assert settings.told("ipv6:dns") == "ipv6:dns"


@pytest.mark.parametrize("word", ["2", "-1", "+0", "", "x", "0x0", "\u0660", "1" * 5000, "1"])
def test_what_is_no_part_in_a_list(word: str) -> None:
    with pytest.raises(SaltInvocationError, match="expected a mapping in the pillar, found (nothing|a str)"):
        settings.part(LISTED, f"ipv6:dns:{word}")


@pytest.mark.parametrize("key", [5, None, ["s3cret"], {"s3cret": 1}])
def test_settings_in_the_place_of_a_key_are_not_shown(key: Any) -> None:
    for read in (settings.part, settings.at):
        with pytest.raises(SaltInvocationError) as caught:
            read(PILLAR, key)
        said = f"expected a key of the pillar, such as ipv6:tunnel, found a {type(key).__name__}"
        assert str(caught.value) == said
    with pytest.raises(SaltInvocationError, match="expected a key of the pillar"):
        settings.value_beside(PILLAR, key, "tunnel")
