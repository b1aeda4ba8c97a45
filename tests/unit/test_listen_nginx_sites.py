"""nginx's servers by name: which of them lack IPv6 on the addresses that are published, and what they are given."""

from __future__ import annotations

import random
from typing import Any

import listen_nginx
import pytest

from .test_listen_nginx import DEBIAN_SITE, MAIN, added, debian, http, one
from ..growth import growth

SITE = "/etc/nginx/sites-enabled/default"
SIX = "2001:db8::10"

BOTH = ["ipv4", "ipv6"]


def site(*names: str, ipv4: str = "192.0.2.1", ipv6: str = SIX) -> dict[str, Any]:
    return {"names": list(names), "addresses": {"ipv4": ipv4.split(), "ipv6": ipv6.split()}}


def planned(text: str, **given: Any) -> dict[str, Any]:
    """The plan; a second one finds nothing to do, and the same to say is missing."""
    published = site(**given)
    plan: dict[str, Any] = listen_nginx.dual_stack(one(text), {}, 0, published)
    assert plan["always"] == plan["files"]
    again = listen_nginx.dual_stack(one(plan["files"].get(MAIN, text)), {}, 0, published)
    assert (again["files"], len(again["missing"])) == ({}, len(plan["missing"]))
    return plan


def lines(text: str, **given: Any) -> list[str]:
    return added(text, planned(text, **given)["files"].get(MAIN, text))


def test_a_site_beside_debians_gets_its_own_line() -> None:
    shop = "server { listen 80; server_name shop.example.org; }\n"
    plan = listen_nginx.dual_stack(debian(DEBIAN_SITE + shop), {}, 0, site("shop.example.org"))
    assert plan["always"] == plan["files"] == {SITE: DEBIAN_SITE + shop.replace("80;", "80; listen [::]:80;")}
    assert plan["missing"] == []


def test_a_published_address_gets_its_counterpart() -> None:
    text = http("listen 80;\nlisten 192.0.2.1:443 ssl;\nserver_name a;")
    assert lines(text) == ["listen [::]:80;", f"listen [{SIX}]:443 ssl;"]
    assert lines(text, ipv6=f"{SIX} 2001:db8::11") == [
        *("listen [::]:80;", f"listen [{SIX}]:443 ssl;", "listen [2001:db8::11]:443 ssl;")
    ]
    # In the form of the kernel, whoever has written it.
    assert lines(text, ipv6="2001:0DB8:0::10") == lines(text)
    assert planned(text)["notes"] == []


@pytest.mark.parametrize(
    "text",
    [
        http("listen 192.0.2.1:443 ssl; listen [::]:443 ssl;"),
        http(f"listen 192.0.2.1:443 ssl; listen [{SIX}]:443 ssl;"),
        http("listen 192.0.2.1:443 ssl; listen [2001:DB8:0::10]:443 ssl;"),
        http("listen 192.0.2.9:443;", "listen 10.0.0.1:443;", "listen 127.0.0.1:443;", "listen unix:/x;"),
        # one site in two halves
        http("listen 192.0.2.1:443; server_name a b;", f"listen [{SIX}]:443; server_name b;"),
        http("listen 192.0.2.1:443; server_name a b;", "listen [::]:443; server_name b;"),
        http(f"listen 80; listen [{SIX}]:80;"),
        http(f"listen 192.0.2.1:80; listen [{SIX}]:80;", "listen 192.0.2.2:80; listen [2001:db8::11]:80;"),
    ],
)
def test_what_has_ipv6_already_or_is_not_published_stays(text: str) -> None:
    assert lines(text) == []
    assert planned(text)["missing"] == planned(text, ipv6="")["missing"] == []


def test_nothing_is_said_of_single_addresses_unless_asked() -> None:
    plan = listen_nginx.dual_stack(one(http("listen 192.0.2.1:443;")), {})
    assert plan["files"] == {} and plan["missing"] == []
    assert plan["notes"] == [f"{MAIN}:3: `listen 192.0.2.1:443;`: a specific address: left alone"]


def test_all_servers_of_an_address_go_together() -> None:
    # The second one is on all addresses of IPv6, and would no longer answer on that one.
    text = http(
        "listen 192.0.2.1:443 ssl default_server;\nssl_reject_handshake on;",
        "listen 192.0.2.1:443 ssl;\nlisten [::]:443 ssl;\nserver_name a;",
        "listen 192.0.2.1:443 ssl;\nserver_name b;",
        "listen 443 ssl;\nlisten [::]:443 ssl;\nserver_name internal;",
    )
    assert lines(text) == [f"listen [{SIX}]:443 ssl default_server;", *[f"listen [{SIX}]:443 ssl;"] * 2]
    # With an address that only the last one serves, that is on the new one, too.
    assert lines(text, ipv4="192.0.2.1 192.0.2.2")[-1:] == [f"listen [{SIX}]:443 ssl;"]
    assert len(lines(text, ipv4="192.0.2.1 192.0.2.2")) == 4


def test_servers_on_all_addresses_are_not_hidden_by_one_on_the_published_address() -> None:
    text = http("listen 80;\nserver_name a;", f"listen 80;\nlisten [::]:80;\nlisten [{SIX}]:80;\nserver_name b;")
    assert lines(text) == ["listen [::]:80;", f"listen [{SIX}]:80;"]
    # An address that nobody else is on is served by `[::]:80`.
    assert lines(text, ipv6="2001:db8::11") == ["listen [::]:80;"]


def test_a_server_of_ipv6_alone_gets_ipv4_and_is_not_hidden_either() -> None:
    text = http(f"listen 80;\nlisten [{SIX}]:80;\nserver_name a;", "listen [::]:80;\nserver_name b;")
    assert lines(text) == ["listen 80;", f"listen [{SIX}]:80;"]
    # But for the other half of one in IPv4, which has an address of its own now.
    text = http(
        f"listen 80;\nlisten [{SIX}]:80;\nserver_name a;",
        "listen 80;\nserver_name b;",
        "listen [::]:80;\nserver_name b;",
    )
    assert lines(text) == [f"listen [{SIX}]:80;"]


def test_a_port_that_rejects_unknown_names_is_widened_as_a_whole() -> None:
    text = http(
        "listen 443 ssl default_server;\nssl_reject_handshake on;",
        "listen 443 ssl http2;\nserver_name a;",
        "listen 443 ssl http2 proxy_protocol;\nserver_name b;",
    )
    assert lines(text) == [
        "listen [::]:443 ssl default_server;",
        "listen [::]:443 ssl http2;",
        "listen [::]:443 ssl http2 proxy_protocol;",
    ]


def test_what_may_stand_only_once_for_an_address_stands_once() -> None:
    text = http(
        "listen 192.0.2.1:443 ssl default_server backlog=9;\nserver_name a;",
        "listen 192.0.2.2:443 ssl default_server backlog=9;\nserver_name b;",
    )
    assert lines(text, ipv4="192.0.2.1 192.0.2.2") == [
        f"listen [{SIX}]:443 ssl default_server backlog=9;",
        f"listen [{SIX}]:443 ssl;",
    ]
    # nginx binds such a socket by itself, and the one on all addresses has the port.
    beside = http("listen 192.0.2.1:443 ssl deferred;\nserver_name a;", "listen [::]:443 ssl;\nserver_name b;")
    assert f"listen [{SIX}]:443 ssl;" in lines(beside)


def test_what_cannot_be_added_is_missing() -> None:
    text = http("listen 192.0.2.1:443 ssl;\nserver_name _ .Shop.example.org;")
    assert planned(text, ipv6="")["missing"] == [
        {
            "names": ["shop.example.org"],
            "port": 443,
            "said": f"{MAIN}:3: `listen 192.0.2.1:443 ssl;`: no IPv6 address of this host is known that it could "
            "have, too",
        }
    ]
    assert planned(text, ipv6="")["notes"] == []


def test_a_socket_in_the_way_of_the_one_for_all_addresses() -> None:
    text = http("listen 80;\nlisten 443;\nserver_name a;", "listen [::1]:443 deferred;\nserver_name b;")
    (missing,) = planned(text, ipv6="")["missing"]
    assert (missing["names"], missing["port"]) == (["a"], 443)
    assert f"`listen [::1]:443 deferred;` ({MAIN}:8) has a socket of its own" in missing["said"]
    assert lines(text, ipv6="") == ["listen [::]:80;"]
    # The published addresses can have sockets of their own, too.
    assert (lines(text), planned(text)["missing"]) == (["listen [::]:80;", f"listen [{SIX}]:443;"], [])
    text = http("listen 80;\nserver_name a;", f"listen 80;\nlisten [{SIX}]:80 backlog=5;\nserver_name b;")
    assert (lines(text), planned(text)["missing"]) == ([f"listen [{SIX}]:80;"], [])
    # Nothing is missing where IPv4 is what cannot be added.
    text = http("listen [::]:80;\nserver_name a;", "listen 127.0.0.1:80 backlog=5;\nserver_name b;")
    assert (lines(text), planned(text)["missing"]) == ([], [])
    assert f"{MAIN}:3: `listen [::]:80;` was left alone: `listen 127.0.0.1:80 backlog=5;`" in planned(text)["notes"][0]


def test_where_the_published_ipv4_addresses_are_not_known_a_declared_name_decides() -> None:
    text = http("listen 203.0.113.5:443;\nserver_name a.example;", "listen 203.0.113.6:443;\nserver_name b.example;")
    assert lines(text, ipv4="") == []
    assert listen_nginx.dual_stack(one(text), {}, 0, site("b.example", ipv4=""))["files"][MAIN] == text.replace(
        "203.0.113.6:443;", f"203.0.113.6:443;\nlisten [{SIX}]:443;"
    )
    private = text.replace("203.0.113.", "10.0.0.")
    assert listen_nginx.dual_stack(one(private), {}, 0, site("b.example", ipv4=""))["files"] == {}


def test_servers_without_names_cannot_share_an_address() -> None:
    text = "stream {\n server { listen 192.0.2.1:53; }\n server { listen 192.0.2.2:53; }\n}\n"
    assert planned(text)["files"] == {MAIN: text.replace("2.1:53;", f"2.1:53; listen [{SIX}]:53;")}
    plan = planned(text, ipv4="192.0.2.1 192.0.2.2")
    assert plan["files"] == {}
    assert [each["port"] for each in plan["missing"]] == [53, 53]


def test_one_name_on_two_addresses_of_ipv4_cannot_be_both_on_one_of_ipv6() -> None:
    text = http(
        "listen 192.0.2.2:80;\nserver_name a b;", "listen 192.0.2.1:80;\nserver_name A;", "listen 192.0.2.2:80;"
    )
    given = {"ipv4": "192.0.2.1 192.0.2.2"}
    plan = planned(text, **given)
    after = text.replace("192.0.2.1:80;", f"192.0.2.1:80;\nlisten [{SIX}]:80;").replace(
        "192.0.2.2:80;\n}", f"192.0.2.2:80;\nlisten [{SIX}]:80;\n}}"
    )
    assert plan["files"] == {MAIN: after}
    why = (
        f"{MAIN}:3: `listen 192.0.2.2:80;`: a server on 192.0.2.1 has the same name, and only one of the two can be on "
        f"[{SIX}]; give each an IPv6 address of its own by hand"
    )
    assert plan["missing"] == [{"names": ["a", "b"], "port": 80, "said": why}]
    # The address that is published first decides.
    (missing,) = planned(text, ipv4="192.0.2.2 192.0.2.1")["missing"]
    assert missing["names"] == ["a"]
    # With one of its own, known to be published or not, each has what it needs.
    own = after.replace("192.0.2.2:80;\nserver_name", "192.0.2.2:80;\nlisten [2001:db8::11]:80;\nserver_name")
    assert (lines(own, **given), planned(own, **given)["missing"]) == ([], [])
    assert planned(own, **given, ipv6=f"{SIX} 2001:db8::11")["missing"] == []
    # No two of a name are on one address, and nobody is hidden who answers there already.
    wide = http("listen 80;\nlisten [::]:80;\nserver_name a b;", "listen 192.0.2.2:80;\nserver_name a;")
    for order in ("192.0.2.1 192.0.2.2", "192.0.2.2 192.0.2.1"):
        assert lines(wide, ipv4=order) == []
        assert [each["names"] for each in planned(wide, ipv4=order)["missing"]] == [["a"]]
    # On one address, nginx takes the first of them in both families.
    assert lines(http(*["listen 192.0.2.1:80;\nserver_name a;"] * 2)) == [f"listen [{SIX}]:80;"] * 2
    assert lines(wide, ipv4="192.0.2.2") == [f"listen [{SIX}]:80;"]


def test_a_listener_on_a_host_name_is_missing() -> None:
    text = http("listen 80;\nlisten [::]:80;\nlisten Shop.example.org:443 ssl;\nserver_name a;")
    why = "a host name: what it stands for is not known; write the addresses of both families"
    said = f"{MAIN}:5: `listen Shop.example.org:443 ssl;`: {why}"
    assert (
        planned(text)["missing"] == planned(text, ipv6="")["missing"] == [{"names": ["a"], "port": 443, "said": said}]
    )
    assert (planned(text)["files"], planned(text)["notes"]) == ({}, [])
    for right in ("[::]:443 ssl", "443 ssl", "[2001:db8::77]:443 ssl", "192.0.2.1:443 ssl"):
        plan = planned(text.replace("listen 80;", f"listen 80;\nlisten {right};"))
        assert plan["missing"] == []
    assert planned(text.replace("listen 80;", "listen 80;\nlisten [::1]:443 ssl;"))["missing"] != []
    local = planned(text.replace("Shop.example.org", "localhost"))
    assert (local["missing"], len(local["notes"])) == ([], 1)
    assert listen_nginx.dual_stack(one(text), {})["missing"] == []
    assert listen_nginx.dual_stack(one(text), {})["notes"] == [
        f"{MAIN}:5: `listen Shop.example.org:443 ssl;`: a host name: left alone"
    ]


def test_lists_of_clients_that_know_ipv4_only_are_told_and_not_widened() -> None:
    def notes(rules: str) -> list[str]:
        text = http(f"listen 80;\n{rules}")
        assert lines(text)[:1] == ["listen [::]:80;"]
        return list(planned(text)["notes"])

    assert notes("allow 192.0.2.0/24;\ndeny all;") == [
        f"{MAIN}:4: `allow 192.0.2.0/24;`: this list knows addresses of IPv4 only: nobody else is let in over IPv6"
    ]
    assert notes("deny 192.0.2.66;") == [
        f"{MAIN}:4: `deny 192.0.2.66;`: this list knows addresses of IPv4 only: over IPv6 nobody is kept out"
    ]
    assert len(notes("location /x {\nallow 127.0.0.1;\nallow 10.0.0.0/8;\ndeny all;\n}")) == 1
    for right in (
        "allow 127.0.0.1;\ndeny all;",
        "allow 192.0.2.1; allow 2001:db8::/32; deny all;",
        "deny all;",
        "allow all;",
        "allow 192.0.2.1; deny 192.0.2.2; deny all; allow 2001:db8::1;",
        "deny unix:;",
    ):
        assert notes(right) == []
    geo = "http {\ngeo $inside {\ndefault 0;\n192.0.2.0/24 1;\n}\nserver { listen 80; listen [::]:80; }\n}\n"
    (note,) = planned(geo)["notes"]
    assert note.startswith(f"{MAIN}:2: `geo $inside {{` knows addresses of IPv4 only")
    assert planned(geo.replace("default 0;", "2001:db8::/32 1;"))["notes"] == []


def test_of_a_listener_behind_a_proxy_nothing_is_said() -> None:
    assert planned(http("listen 80 proxy_protocol;\nlisten [::]:80;"))["notes"] == []
    assert planned(http("listen 127.0.0.1:80 proxy_protocol;"))["notes"] == [
        f"{MAIN}:3: `listen 127.0.0.1:80 proxy_protocol;`: loopback: left alone"
    ]


def test_the_names_and_the_ports_of_sites() -> None:
    snippet = "/etc/nginx/snippets/names"
    text = http(
        "listen 80; listen [::]:80; listen 192.0.2.1:443 ssl; listen 443 quic; include snippets/names;",
        'listen 127.0.0.1:8080; listen localhost:8081; listen [::1]:80; listen unix:/x; server_name "b";',
        "server_name *.example.org ~^www[0-9]+ _ $hostname '' 192.0.2.1;",
        "server_name C.Example.org. .d.example.org;",
        "listen 80; include not_there; server_name e;",
    )
    files: dict[str, Any] = {
        MAIN: {"text": text, "includes": [[snippet], []]},
        snippet: {"text": 'server_name a.example.org "x_y.example.org";', "includes": []},
    }
    assert listen_nginx.sites(files) == [
        {"names": ["a.example.org", "x_y.example.org"], "ports": [80, 443], "families": {80: BOTH, 443: ["ipv4"]}},
        {"names": ["c.example.org", "d.example.org"], "ports": [80], "families": {80: ["ipv4"]}},
        {"names": ["e"], "ports": [80], "families": {80: ["ipv4"]}},
    ]
    both = "http { server { listen [::]:80 ipv6only=off; server_name a; } }"
    assert listen_nginx.sites(one(both)) == [{"names": ["a"], "ports": [80], "families": {80: BOTH}}]
    assert listen_nginx.sites(one("stream { server { listen 443; server_name a; } }")) == []
    assert listen_nginx.sites({}) == []
    assert listen_nginx.about()["sites"] is True


def test_forty_sites_that_share_snippets() -> None:
    listen, tls = "/etc/nginx/snippets/listen.conf", "/etc/nginx/snippets/tls.conf"
    paths = [f"/etc/nginx/sites-enabled/{number:02}.conf" for number in range(40)]
    files: dict[str, Any] = {
        MAIN: {"text": "http { include sites-enabled/*; }", "includes": [paths]},
        **{
            path: {
                "text": f"server {{\n  include snippets/listen.conf;\n  server_name s{number}.example.org;\n}}\n"
                f"server {{\n  listen 192.0.2.1:443 ssl;\n  include snippets/tls.conf;\n"
                f"  server_name s{number}.example.org;\n}}\n",
                "includes": [[listen], [tls]],
            }
            for number, path in enumerate(paths)
        },
        listen: {"text": "listen 80;\n", "includes": []},
        tls: {"text": "ssl_certificate x;\n", "includes": []},
    }
    plan = listen_nginx.dual_stack(files, {}, 0, site())
    assert set(plan["files"]) == {listen, *paths}
    assert plan["files"][listen] == "listen 80;\nlisten [::]:80;\n"
    assert all(text.count(f"  listen [{SIX}]:443 ssl;\n") == 1 for path, text in plan["files"].items() if path in paths)
    then = {path: {**each, "text": plan["files"].get(path, each["text"])} for path, each in files.items()}
    assert listen_nginx.dual_stack(then, {}, 0, site())["files"] == {}
    assert len(listen_nginx.sites(files)) == 80


def many_servers(count: int) -> None:
    text = http(*(f"listen 80;\nlisten 192.0.2.1:443 ssl;\nserver_name s{number}.example;" for number in range(count)))
    plan = listen_nginx.dual_stack(one(text), {}, 0, site(*(f"s{number}.example" for number in range(count))))
    assert plan["files"][MAIN].count("listen [") == 2 * count
    assert len(listen_nginx.sites(one(text))) == count


def test_four_times_as_many_servers_take_four_times_as_long() -> None:
    assert growth(many_servers, 100) < 9


def answering(text: str, addresses: dict[str, str]) -> dict[str, set[str]]:
    """Which servers answer on each of these addresses, as nginx chooses: those of the address, or those on all."""
    found: dict[str, set[str]] = {}
    for server in text.split("server {")[1:]:
        name = server.split("server_name ")[1].split(";")[0]
        for listen in server.split("listen ")[1:]:
            found.setdefault(listen.split(";")[0], set()).add(name)
    return {address: found.get(address) or found.get(everywhere, set()) for address, everywhere in addresses.items()}


def test_whatever_there_is_who_answers_over_ipv4_answers_over_ipv6() -> None:
    dice = random.Random(12)
    six, other = f"[{SIX}]:80", "[2001:db8::77]:80"
    choices = ["80", "[::]:80", "192.0.2.1:80", "192.0.2.2:80", six, other, "10.0.0.1:80"]
    for _ in range(1500):
        servers = [
            "".join(f"listen {each};\n" for each in dice.sample(choices, dice.randrange(1, 4)))
            + f"server_name s{number};"
            for number in range(dice.randrange(1, 6))
        ]
        published = dice.choice(["192.0.2.1", "192.0.2.1 192.0.2.2"])
        plan = planned(http(*servers), ipv4=published)
        text = plan["files"].get(MAIN, http(*servers))
        found = answering(text, {**{f"{each}:80": "80" for each in published.split()}, six: "[::]:80"})
        over_ipv4 = set().union(*(found[f"{each}:80"] for each in published.split()))
        assert over_ipv4 <= found[six], text
        # IPv4 is as it was, but for servers that had IPv6 alone.
        before = answering(http(*servers), {f"{each}:80": "80" for each in published.split()})
        assert all(before[address] <= found[address] for address in before), text
        assert plan["missing"] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http { server { listen 8080; } }", ["http"]),
        ("http { server { } }", ["http"]),
        ("http { server { listen 8443 ssl http2; } }", ["https"]),
        ("http { server { ssl on; listen 8443; } }", ["https"]),
        ("http { server { listen 8443; } ssl on; }", ["https"]),
        ("http { server { listen 8443; } server { ssl on; listen 8444; } }", ["http", "https"]),
        ("http { map $x $y { ssl on; } server { listen 8080; location / { if (a) { } } } }", ["http"]),
        # One parameter decides for all servers of an address and port, and for no other address.
        ("http { server { listen 8443; } server { listen *:8443 ssl; } }", ["https", "https"]),
        ("http { server { listen 80; listen [::]:80 ssl; } }", ["http", "https"]),
        ("http { server { listen 443 quic; listen 443 ssl; } }", ["", "https"]),
        ("mail { server { listen 2525; protocol smtp; } }", ["smtp"]),
        ("mail { server { listen 2465 ssl; protocol smtp; } }", ["smtps"]),
        ("mail { server { protocol imap; listen 1143; listen 1993 ssl; } }", ["imap", "imaps"]),
        ("mail { server { protocol pop3; listen 1110; listen 1995 ssl; } }", ["pop3", "pop3s"]),
        ("mail { ssl on; server { listen 1995; protocol pop3; } }", ["pop3s"]),
        ("mail { server { listen 25; } server { listen 993 ssl; } }", ["smtp", "imaps"]),
        ("mail { server { listen 2500; } server { listen 2501 ssl; } }", ["tcp", "tls"]),
        ("stream { server { listen 2500; } server { listen 2501 ssl; } }", ["tcp", "tls"]),
        ("stream { server { listen 53 udp; } }", [""]),
        # What is passed on through a port of the web is known by that only, as ever.
        ("stream { server { listen 80; listen 443; } server { listen 8443; ssl_preread on; } }", ["", "", "tcp"]),
    ],
)
def test_what_is_spoken_on_each_listener(text: str, expected: list[str]) -> None:
    assert [each.get("protocol", "") for each in listen_nginx.listeners(one(text))] == expected
