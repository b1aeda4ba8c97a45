"""The pillar `ipv6:dns` as a list: names in several zones, and with several providers."""

from __future__ import annotations

from typing import Any

import _dualstack_dns_address as dns_address
import _dualstack_dns_parts as dns_parts
import pytest

from .test_dns_settings import ADDRESS, OTHER, SECRET, SETTINGS, dns, errors, refusal, wish

NET = {**SETTINGS["rfc2136"], "zone": "example.net"}
REVERSE = "1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"


def test_entries_and_their_keys() -> None:
    one, two = {"names": ["A.example.org.", "b.example.org"]}, {"names": ["c.example.net", "a.example.org"]}
    assert dns_parts.entries(one) == [("ipv6:dns", one)]
    assert dns_parts.entries([one, 5, two], "x:dns") == [("x:dns:0", one), ("x:dns:2", two)]
    assert dns_parts.names([one, two]) == ["a.example.org", "b.example.org", "c.example.net"]


@pytest.mark.parametrize("odd", [None, 5, "x", [], {}, [None], [[{}]], [{"names": 5, "servers": 5, "address": None}]])
def test_whatever_is_written_has_entries(odd: Any) -> None:
    assert dns_parts.names(odd) == dns_parts.servers(odd) == []
    assert dns_parts.address(odd) is dns_address.published(odd, {}) is None


def test_servers_that_can_be_asked_about_all_names() -> None:
    assert dns_parts.servers({"servers": ["192.0.2.53"]}) == ["192.0.2.53"]
    assert dns_parts.servers([{"servers": ["192.0.2.53"]}, {"servers": ["192.0.2.53"]}]) == ["192.0.2.53"]
    assert dns_parts.servers([{"servers": ["192.0.2.53"]}, {}]) == []


def test_one_address_for_all() -> None:
    assert dns_parts.address([{}, {"address": ADDRESS}]) == ADDRESS
    assert dns_address.published([{}, {"address": "2001:DB8:1::77"}], {"source": OTHER}) == ADDRESS
    assert dns_address.published([{}, {}], {"source": OTHER}) == OTHER


def test_entries_for_several_zones() -> None:
    other = dns(names=["www.example.net"], rfc2136=NET)
    assert (
        errors(
            [dns(address=ADDRESS), other, dns("he", names=["old.example.org"], he={"keys": {"old.example.org": "x"}})]
        )
        == []
    )
    assert errors([dns(names=["www.example.org", "www.example.net"])]) == [
        "[0]:rfc2136:zone: www.example.net is not in the zone example.org; one change is made in one zone: "
        "write dns as a list, with an entry for each zone"
    ]
    assert errors([dns(), {**other, "names": ["www.example.net", "WWW.example.org."]}]) == [
        "[1]:rfc2136:zone: www.example.org is not in the zone example.net; one change is made in one zone: "
        "write dns as a list, with an entry for each zone",
        "[1]:names: www.example.org is in [0], too; a name belongs to one entry",
    ]
    assert errors([dns(address=ADDRESS), {**other, "address": "2001:DB8:1::77"}]) == []
    assert errors([dns(address=ADDRESS), {**other, "address": OTHER}]) == [
        f"[1]:address: {OTHER} is not {ADDRESS}, which another entry has; "
        "IPv6 is proven for one address, with which all names are published"
    ]
    ptr = {"zone": REVERSE}
    assert errors([dns(ptr=ptr), {**other, "ptr": ptr}]) == ["[1]:ptr: [0] has one, too; an address has one PTR record"]


def test_a_wish_of_one_entry() -> None:
    other = dns(names=["www.example.net"], rfc2136=NET)
    for entries, tunnel in (([dns(address=ADDRESS), other], {}), ([dns(), other], {"address": f"{ADDRESS}/64"})):
        found = wish({}, "ipv6:dns:1", dns=entries, tunnel=tunnel)
        assert (found.names, found.address, found.credentials) == (["www.example.net"], ADDRESS, "ipv6:dns:1:rfc2136")
    said = "pillar: ipv6:dns is a list in the pillar; expected the key of one entry: ipv6:dns:0, ipv6:dns:1"
    assert refusal({}, dns=[dns(), other]) == said
    assert refusal({}, "ipv6:dns:1", dns=[dns(), {**other, "names": "x"}]).startswith("ipv6:dns[1]:names: expected a l")
    assert refusal({}, "ipv6:dns:0", dns=[dns(rfc2136={**NET, "tokn": SECRET})]).startswith(
        "ipv6:dns[0]:rfc2136:tokn: unknown key;"
    )
    assert (
        refusal({}, "ipv6:dns:2", dns=[dns(), other]) == "ipv6:dns:2: expected a mapping in the pillar, found nothing"
    )
