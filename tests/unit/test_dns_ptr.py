"""The pillar `ipv6:dns:ptr`: its errors, and what the states of the PTR record are asked for."""

from __future__ import annotations

from typing import Any

import _dualstack_dns_ptr_wish as dns_ptr_wish
import _dualstack_dns_reverse as dns_reverse
import _dualstack_dns_settings as dns_settings
import pytest
from salt.exceptions import SaltInvocationError

from .test_dns_parts import NET, REVERSE
from .test_dns_settings import ADDRESS, OTHER, PROVIDERS, SECRET, dns, errors, settings

COMMANDS = {"publish_ptr": "/usr/local/sbin/publish"}


@pytest.mark.parametrize(
    ("ptr", "words"),
    [
        ({"zone": REVERSE}, ""),
        ({"zone": f"{REVERSE.upper()}.", "name": "x.example.net", "ttl": 0, "exclusive": True, "deadline": 1}, ""),
        ({"zone": REVERSE, "servers": ["192.0.2.53"], "provider": "command", "command": COMMANDS}, ""),
        ({"zone": REVERSE, "rfc2136": {"key_name": "host2"}}, ""),
        ({}, "ptr:zone: missing; expected the name of a reverse zone, such as 7.8."),
        ([], "ptr: expected a mapping with provider, name, zone, ttl, exclusive, servers, deadline, found a list"),
        ({"zone": "example.org"}, "ptr:zone: 'example.org' is not the name of a reverse zone, such as 7.8."),
        ({"zone": REVERSE, "name": "mail"}, "ptr:name: 'mail' is not a host name with its domain"),
        ({"zone": REVERSE, "name": ["x.example"]}, "ptr:name: ['x.example'] is not a host name with its domain"),
        ({"zone": REVERSE, "ttl": "1h"}, "ptr:ttl: '1h' is not a whole number of seconds"),
        ({"zone": REVERSE, "deadlin": 1}, "ptr:deadlin: unknown key; did you mean deadline?"),
        ({"zone": REVERSE, "address": ADDRESS}, "ptr:address: unknown key"),
        (
            {"zone": REVERSE, "provider": "bind"},
            "ptr:provider: 'bind' is not a provider that is known; expected one of c",
        ),
        (
            {"zone": REVERSE, "provider": "he"},
            "ptr:provider: he cannot be used: it cannot change PTR records; expected ",
        ),
        ({"zone": REVERSE, "provider": "command"}, "ptr:command: missing; expected a mapping with publish, withdraw"),
        ({"zone": REVERSE, "rfc2136": {"zone": "x"}}, "ptr:rfc2136:zone: unknown key; the zone is ptr:zone"),
        ({"zone": REVERSE, "rfc2136": SECRET}, "ptr:rfc2136: expected a mapping with server, port, zone"),
        ({"zone": REVERSE, "rfc2136": {"algorithm": "md5"}}, "ptr:rfc2136:algorithm: 'md5' is not one of"),
        ({"zone": REVERSE, "rfc2136": {"keyname": "x"}}, "ptr:rfc2136:keyname: unknown key; did you mean key_name?"),
        (
            {"zone": REVERSE, "provider": "command", "command": {"publish_ptr": "x"}},
            "ptr:command:publish_ptr: it is not a command such as /usr/local/sbin/publish_ptr",
        ),
    ],
)
def test_what_is_wrong_with_the_ptr_record(ptr: Any, words: str) -> None:
    problems = errors(dns(ptr=ptr))
    assert len(problems) == bool(words), problems
    assert "".join(problems).startswith(words)
    assert SECRET not in str(problems)


def test_what_is_wrong_with_settings_for_both_is_told_once() -> None:
    wrong = settings("rfc2136", key=SECRET[1:], algorithm="md5")
    assert errors({**wrong, "ptr": {"zone": REVERSE}}) == errors(wrong)


def pointed(given: dict[str, Any], key: str | None = "ipv6:dns:ptr", /, **parts: Any) -> dns_settings.Wish:
    pillar = {"ipv6": {"dns": dns(address=ADDRESS, ptr={"zone": REVERSE}), **parts}}
    return dns_ptr_wish.wish("The PTR record", {"ttl": None, **given}, key, pillar, PROVIDERS)


def test_a_wish_of_a_ptr_record() -> None:
    found = pointed({})
    reverse = dns_reverse.name(ADDRESS)
    assert (found.names, found.address, found.host, found.zone) == ([reverse], ADDRESS, "www.example.org", REVERSE)
    assert (found.kind, found.credentials, found.place) == ("PTR", "ipv6:dns:ptr:rfc2136", "ipv6:dns:ptr:")
    assert (found.ttl, found.exclusive, found.servers, found.deadline) == (3600, False, None, 60)
    assert (found.about["servers"], found.about["withdraws"]) == (["192.0.2.53#53"], True)
    ptr = {"zone": REVERSE, "name": "MAIL.example.org", "ttl": 5, "rfc2136": {"server": "192.0.2.54"}}
    other = pointed(
        {"by": None}, dns=dns(address=ADDRESS, ttl=60, exclusive=True, deadline=9, servers=["::1"], ptr=ptr)
    )
    assert (other.host, other.ttl, other.about["servers"]) == ("mail.example.org", 5, ["192.0.2.54#53"])
    assert other[3:6] == (False, None, 60), "what is said of the AAAA records is not said of this one"
    assert pointed({"name": "a.example.org", "address": OTHER}).host == "a.example.org"


def test_a_wish_of_a_ptr_record_of_an_entry() -> None:
    entries = [dns(address=ADDRESS), dns(names=["www.example.net"], rfc2136=NET, ptr={"zone": REVERSE})]
    found = pointed({}, "ipv6:dns:1:ptr", dns=entries)
    assert (found.host, found.address, found.place) == ("www.example.net", ADDRESS, "ipv6:dns[1]:ptr:")
    assert found.credentials == "ipv6:dns:1:ptr:rfc2136"


@pytest.mark.parametrize(
    ("given", "key", "dns_part", "words"),
    [
        ({}, "ipv6:dns", {}, "pillar: expected the key of a PTR record in the pillar, such as ipv6:dns:ptr"),
        ({}, {"key": SECRET}, {}, "pillar: expected a key of the pillar, such as ipv6:dns:ptr, found a dict"),
        ({"credentials": {"key": SECRET}}, None, {}, "credentials: expected a key of the pillar"),
        ({}, "ipv6:dns:ptr", {"ptr": None}, "ipv6:dns:ptr: expected a mapping in the pillar, found nothing"),
        ({}, "ipv6:dns:ptr", {"ptr": {}}, "ipv6:dns:ptr:zone: missing"),
        ({}, "ipv6:dns:ptr", {"address": None}, "ipv6:dns:address: missing; expected an IPv6 address"),
        ({}, "ipv6:dns:ptr", {"address": "fe80::1"}, "ipv6:dns:address: 'fe80::1' is not a global IPv6 unicast addr"),
        ({"address": "x"}, "ipv6:dns:ptr", {}, "address: 'x' is not an IPv6 address"),
        ({"name": "x"}, "ipv6:dns:ptr", {}, "host: 'x' is not a host name"),
        ({"provider": "he"}, "ipv6:dns:ptr", {}, "by: he cannot be used: it cannot change PTR records"),
        ({}, "ipv6:dns:ptr", {"names": []}, "ipv6:dns:ptr:name: missing; expected a host name"),
        (
            {"address": "2001:db8:2::1"},
            "ipv6:dns:ptr",
            {},
            f"ipv6:dns:ptr:zone: {REVERSE} does not contain 2001:db8:2::1",
        ),
        ({}, "ipv6:dns:ptr", {"rfc2136": {"key": SECRET}}, "ipv6:dns:rfc2136:server: missing"),
        ({"address": ADDRESS}, None, {}, "name: 'The PTR record' is not a host name"),
        ({"name": "a.example.org"}, None, {}, "address: missing; expected an IPv6 address"),
        (
            {"name": "a.example.org", "address": ADDRESS, "credentials": "ipv6:dns:rfc2136"},
            *(None, {}, "ipv6:dns:rfc2136:zone: 'example.org' is not the name of a reverse zone"),
        ),
        (
            {"name": "a.example.org", "address": ADDRESS, "credentials": "ipv6:x"},
            *(None, {}, "credentials: the pillar has nothing under ipv6:x; expected the settings of rfc2136"),
        ),
    ],
)
def test_a_wish_of_a_ptr_record_that_is_refused(given: Any, key: Any, dns_part: Any, words: str) -> None:
    with pytest.raises(SaltInvocationError) as error:
        pointed(given, key, dns={**dns(address=ADDRESS, ptr={"zone": REVERSE}), **dns_part})
    assert str(error.value).startswith(words)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("address", ["2001:db8:1::77", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"])
def test_reverse_names(address: str) -> None:
    name = dns_reverse.name(address)
    assert dns_reverse.is_name(name)
    assert dns_reverse.address(name) == address
    assert not any(map(dns_reverse.is_name, (name.upper(), name[2:], f"0.{name}", f"{name}.", None, 5)))
    assert dns_reverse.contains(name[-20:].partition(".")[2], name)
    assert not dns_reverse.contains("7.ip6.arpa", dns_reverse.name("2001:db8::1"))


@pytest.mark.parametrize(
    ("value", "good"), [("a.example", True), ("_x.y", True), ("-x", False), ("a b", False), ("", False)]
)
def test_what_a_ptr_record_may_say(value: str, good: bool) -> None:
    assert dns_reverse.is_target(value) is good
