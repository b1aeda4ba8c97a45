"""lighttpd's sockets on single addresses, and the host names in its conditions."""

from __future__ import annotations

from typing import Any

import listen_lighttpd
import pytest

from .test_listen_lighttpd import MAIN, TLS, given
from ..growth import growth

SIX = "2001:db8::10"


def site(*names: str, ipv4: str = "192.0.2.1", ipv6: str = SIX) -> dict[str, Any]:
    return {"names": list(names), "addresses": {"ipv4": ipv4.split(), "ipv6": ipv6.split()}}


def planned(text: str, *names: str, **published: str) -> dict[str, Any]:
    """The plan; a second one finds nothing to do, and the same to say is missing."""
    plan: dict[str, Any] = listen_lighttpd.dual_stack(given(text), {}, 0, site(*names, **published))
    again = listen_lighttpd.dual_stack(given(plan["files"].get(MAIN, text)), {}, 0, site(*names, **published))
    assert (again["files"], again["always"], len(again["missing"])) == ({}, {}, len(plan["missing"]))
    return plan


def socket(address: str, body: str = " ") -> str:
    return f'$SERVER["socket"] == "{address}" {{{body}}}\n'


BODY = '\n\tssl.engine = "enable"\n'


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ('server.bind = "192.0.2.1"\n', socket(f"[{SIX}]:80")),
        ('server.bind = "192.0.2.1"\nserver.port = 8080\n', socket(f"[{SIX}]:8080")),
        ('server.bind = "192.0.2.1"\nssl.engine = "enable"\n', socket(f"[{SIX}]:443", BODY)),
        ('server.bind = "127.0.0.1"\n' + socket("192.0.2.1:443", BODY), socket(f"[{SIX}]:443", BODY)),
        # One is enough for two addresses.
        ('server.bind = "192.0.2.1"\n' + socket("192.0.2.2:80"), socket(f"[{SIX}]:80")),
        # An address of IPv6 that is not published is in the way of the one for all.
        (socket("[2001:db8::99]:80"), socket(f"[{SIX}]:80")),
        ('server.bind = "192.0.2.1"\n' + socket("[2001:db8::99]:80"), socket(f"[{SIX}]:80")),
        ('server.bind = "192.0.2.1"\n' + socket("[::]:80"), ""),
        ('server.bind = "192.0.2.1"\n' + socket(f"[{SIX}]:80"), ""),
        (socket(f"[{SIX}]:80"), ""),
        ('server.bind = "192.0.2.99"\n', ""),
        ('server.bind = "10.0.0.1"\n', ""),
        ('server.bind = "127.0.0.1"\n', ""),
        ('server.bind = "localhost"\n', ""),
        ('server.bind = "/run/x"\n', ""),
    ],
)
def test_a_published_address_gets_its_counterpart(text: str, added: str) -> None:
    plan = planned(text, ipv4="192.0.2.1 192.0.2.2")
    assert plan["always"] == plan["files"] == ({MAIN: text + added} if added else {})
    assert plan["missing"] == []


def test_a_socket_on_all_addresses_is_not_always_added() -> None:
    text = socket("192.0.2.1:443", BODY)
    plan = planned(text)
    assert plan["always"] == {MAIN: text + socket(f"[{SIX}]:443", BODY)}
    assert plan["files"] == {MAIN: plan["always"][MAIN] + socket("[::]:80")}
    assert listen_lighttpd.dual_stack(given(text), {})["always"] == {}


def test_a_socket_on_a_host_name_is_missing() -> None:
    text = '$HTTP["host"] == "a.example" { }\nserver.bind = "Shop.example.org"\n'
    why = "a host name: what it stands for is not known; write the addresses of both families"
    plan = planned(text)
    assert plan["missing"] == [
        {"names": ["a.example"], "port": 80, "said": f"{MAIN}:2: `Shop.example.org`: {why}"},
    ]
    assert (plan["files"], plan["notes"]) == ({}, [])
    for right in ("[::]:80", f"[{SIX}]:80", "[2001:db8::77]:80", "192.0.2.1:80"):
        assert planned(text + socket(right))["missing"] == []
    assert planned(text + socket("[::1]:80"))["missing"] != []
    assert len(planned(text + socket("www.example.org:443", BODY))["missing"]) == 2
    plan = listen_lighttpd.dual_stack(given(text), {})
    assert (plan["missing"], plan["notes"]) == ([], [f"{MAIN}:2: Shop.example.org: a host name: left alone"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server.port = 8080\n", ["http"]),
        ('server.port = 8443\nssl.engine = "enable"\n', ["https"]),
        ('ssl.engine = "enable"\n' + socket(":8080"), ["https", "http"]),
        (socket(":8443", BODY) + socket(":8080", '\nssl.engine = "disable"\n'), ["http", "https", "http"]),
        # Blocks for the same socket are one.
        (socket(":8443") + socket("*:8443", BODY), ["http", "https", "https"]),
        (socket("[::]:8443") + socket("0.0.0.0:8443", BODY), ["http", "http", "https"]),
        ('include_shell "/usr/share/lighttpd/use-ipv6.pl 443"\n', ["http", "https"]),
        ('include_shell "/usr/share/lighttpd/use-ipv6.pl 80"\n', ["http", "http"]),
    ],
)
def test_what_is_spoken_on_each_socket(text: str, expected: list[str]) -> None:
    assert [each["protocol"] for each in listen_lighttpd.listeners(given(text))] == expected


def test_what_cannot_be_added_is_missing_with_its_names() -> None:
    text = '$HTTP["host"] == "a.example" { }\nserver.bind = "192.0.2.1"\n' + socket(
        "192.0.2.1:443", '\n$HTTP["host"] == "b.example" { }\n'
    )
    plan = planned(text, ipv6="")
    why = "no IPv6 address of this host is known that it could have, too"
    assert plan["missing"] == [
        {"names": ["a.example"], "port": 80, "said": f"{MAIN}:2: `192.0.2.1`: {why}"},
        {"names": ["a.example", "b.example"], "port": 443, "said": f"{MAIN}:3: `192.0.2.1:443`: {why}"},
    ]
    assert (plan["files"], plan["notes"]) == ({}, [])
    (missing,) = planned(socket("192.0.2.1:443", BODY) + socket("192.0.2.2:443"), ipv4="192.0.2.1 192.0.2.2")["missing"]
    assert "its sockets hold different settings" in missing["said"]
    assert planned('server.bind = "192.0.2.1"\n' + socket("[2001:db8::77]:80"), ipv6="")["missing"] == []


def test_where_the_published_ipv4_addresses_are_not_known_a_declared_name_decides() -> None:
    text = 'server.bind = "203.0.113.5"\n$HTTP["host"] == "a.example" { }\n'
    assert planned(text, ipv4="")["files"] == planned(text, "b.example", ipv4="")["files"] == {}
    assert planned(text, "A.example", ipv4="")["files"] == {MAIN: text + socket(f"[{SIX}]:80")}


def test_lists_of_clients_that_know_ipv4_only_are_told() -> None:
    def notes(condition: str) -> int:
        return len(planned(f"{condition} {{ }}\n")["notes"])

    assert notes('$HTTP["remoteip"] == "192.0.2.0/24"') == 1
    assert notes('$HTTP["remote-ip"] !~ "^192\\.0\\.2\\."') == 1
    assert notes('$HTTP["remoteip"] == "127.0.0.1"') == 1
    assert notes('$HTTP["remoteip"] == "2001:db8::/32"') == 0
    assert notes('$HTTP["remoteip"] =~ "^(192\\.0\\.2\\.|2001:db8:)"') == 0
    assert notes('$HTTP["host"] == "192.0.2.1"') == 0


def test_the_names_and_the_ports_of_sites() -> None:
    text = (
        'server.bind = "127.0.0.1"\n$SERVER["socket"] == ":80" { }\n'
        'domain = "example.org"\n$HTTP["host"] == "www." + domain { }\n$HTTP["host"] =~ "^b" { } '
        'else $HTTP["host"] == "C.example.org:80" { }\n$HTTP["host"] != "d" { }\n'
        'include "conf-enabled/*.conf"\n' + socket("127.0.0.1:8080", '$HTTP["host"] == "f" { }')
    )
    tls = '$SERVER["socket"] == ":443" { $HTTP["url"] =~ "x" { $HTTP["host"] == "e.example.org" { } } }\n'
    assert listen_lighttpd.sites(given(text, **{TLS: tls})) == [
        {"names": ["www.example.org", "c.example.org"], "ports": [80, 443]},
        {"names": ["e.example.org"], "ports": [443]},
    ]
    assert listen_lighttpd.sites({}) == []
    assert listen_lighttpd.about()["sites"] is True


def many_sockets(count: int) -> None:
    numbers = range(1001, 1001 + count)
    text = "".join(socket(f"192.0.2.1:{each}", f'$HTTP["host"] == "s{each}.example" {{ }}') for each in numbers)
    assert planned(text)["files"][MAIN].count(SIX) == count
    assert planned(text, ipv6="")["missing"]
    assert len(listen_lighttpd.sites(given(text))) == count


def test_four_times_as_many_sockets_take_four_times_as_long() -> None:
    assert growth(many_sockets, 100) < 9
