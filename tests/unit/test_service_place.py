"""Where others find this host: by which addresses, and which sockets of a service are there."""

from __future__ import annotations

from typing import Any

import _dualstack_host_routes as host_routes
import _dualstack_service_place as service_place
import pytest
import salt.utils.network
from salt.exceptions import CommandExecutionError

FOUR, MORE, SIX, TUNNEL = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:7::7"
BOTH = [{"address": "0.0.0.0"}, {"address": "::", "v6only": True}]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Any:
    """This host has these addresses."""

    def has(*addresses: str) -> None:
        monkeypatch.setattr(salt.utils.network, "ip_addrs", lambda: [each for each in addresses if ":" not in each])
        monkeypatch.setattr(salt.utils.network, "ip_addrs6", lambda: [each for each in addresses if ":" in each])

    has(FOUR, "10.0.0.5", "fe80::1", SIX, "fd00::5")
    return has


def socket(address: str, port: int = 80, transport: str = "tcp", v6only: bool | None = None) -> dict[str, Any]:
    return {"address": address, "port": port, "transport": transport, "v6only": v6only}


def test_others_come_by_public_addresses(host: Any) -> None:
    found = service_place.here(["www.example.org"])
    assert found.addresses == found.held == {"ipv4": [FOUR], "ipv6": [SIX]}
    assert (found.names, found.chosen) == (["www.example.org"], False)


def test_behind_nat_the_address_counts_from_which_packets_leave(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host("10.0.0.5", "172.17.0.1", "fd00::5")
    monkeypatch.setattr(host_routes, "to", lambda address: host_routes.Route())
    assert service_place.here().addresses == {"ipv4": ["10.0.0.5", "172.17.0.1"], "ipv6": ["fd00::5"]}
    monkeypatch.setattr(host_routes, "to", lambda address: host_routes.Route("eth0", "10.0.0.5"))
    assert service_place.here().addresses["ipv4"] == ["10.0.0.5"], "nobody comes by the address of a bridge"


def test_the_published_address_is_the_one_whether_it_is_there_yet_or_not(host: Any) -> None:
    found = service_place.here(published=TUNNEL)
    assert (found.addresses["ipv6"], found.held["ipv6"], found.chosen) == ([TUNNEL], [], True)
    host(FOUR, SIX, TUNNEL)
    assert service_place.here(published="2001:DB8:7:0::7").held["ipv6"] == [TUNNEL]


@pytest.mark.parametrize(
    ("has", "published", "said"),
    [
        ([FOUR], None, "this host has no IPv6 address but those of loopback and link"),
        ([SIX], None, "this host has no IPv4 address but those of loopback and link"),
        ([FOUR, SIX], TUNNEL, f"this host does not have {TUNNEL}, which is published"),
    ],
)
def test_a_host_without_a_family_cannot_be_proven(has: list[str], published: Any, said: str, host: Any) -> None:
    host(*has)
    with pytest.raises(CommandExecutionError, match=f"^{said}$"):
        service_place.refuse_one_family(service_place.here(published=published))


def test_what_others_can_connect_to(host: Any) -> None:
    place = service_place.here(published=TUNNEL)
    sockets = [
        *(socket("0.0.0.0"), socket("::"), socket(FOUR, 443), socket(f"::ffff:{FOUR}", 444), socket(TUNNEL, 445)),
        *(
            socket("127.0.0.1", 1),
            socket("10.0.0.5", 2),
            socket("::1", 3),
            socket("0.0.0.0", 4, "udp"),
            socket("::", 0),
        ),
        socket("localhost", 5),
    ]
    assert list(service_place.by_port(sockets, place)) == [80, 443, 444, 445]
    assert len(service_place.by_port(sockets, place)[80]) == 2


@pytest.mark.parametrize(
    ("addresses", "published", "served"),
    [
        (["0.0.0.0", "::"], None, ["ipv4", "ipv6"]),
        (["0.0.0.0"], None, ["ipv4"]),
        ([FOUR, SIX], None, ["ipv4", "ipv6"]),
        ([FOUR, SIX], TUNNEL, ["ipv4"]),
        ([FOUR, TUNNEL], TUNNEL, ["ipv4", "ipv6"]),
        ([f"::ffff:{FOUR}"], None, ["ipv4"]),
        ([MORE, "::"], None, ["ipv6"]),
        (["127.0.0.1", "::1"], None, []),
    ],
)
def test_a_single_address_is_enough_if_others_come_by_it(
    addresses: list[str], published: Any, served: list[str], host: Any
) -> None:
    sockets = [socket(each, v6only=True if ":" in each else None) for each in addresses]
    assert service_place.served(sockets, service_place.here(published=published)) == served


def test_one_of_several_global_addresses_is_enough_where_none_was_chosen(host: Any) -> None:
    host(FOUR, SIX, "2001:db8::2")
    assert service_place.served([socket(FOUR), socket(SIX)], service_place.here()) == ["ipv4", "ipv6"]
    chosen = service_place.at([FOUR, SIX, "2001:db8::2"])
    assert service_place.served([socket(FOUR), socket(SIX)], chosen) == ["ipv4"]


def test_a_port_is_asked_where_it_is_and_where_it_should_be(host: Any) -> None:
    place = service_place.here(published=SIX)
    assert service_place.asked([socket(each, v6only=True) for each in ("0.0.0.0", "::")], place) == {
        "ipv4": [FOUR],
        "ipv6": [SIX],
    }
    assert service_place.asked([], place) == {"ipv4": [FOUR], "ipv6": [SIX]}
    host(FOUR, MORE)
    assert service_place.asked([socket(MORE)], service_place.here(published=TUNNEL)) == {
        "ipv4": [MORE],
        "ipv6": ["::1"],
    }
    assert service_place.asked([], service_place.at([FOUR])) == {"ipv4": [FOUR], "ipv6": []}
