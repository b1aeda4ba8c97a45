"""Apache's virtual hosts: which of them lack IPv6 on the addresses that are published, and what they are given."""

from __future__ import annotations

import random
import re
from typing import Any

import listen_apache2
import pytest

from .test_listen_apache2 import MAIN, one
from ..growth import growth

SIX = "2001:db8::10"
UNKNOWN = "no IPv6 address of this host is known that it could have, too"

BOTH = ["ipv4", "ipv6"]


def site(*names: str, ipv4: str = "192.0.2.10", ipv6: str = SIX) -> dict[str, Any]:
    return {"names": list(names), "addresses": {"ipv4": ipv4.split(), "ipv6": ipv6.split()}}


def host(address: str, *names: str) -> str:
    return f"<VirtualHost {address}>\n" + "".join(f"ServerName {name}\n" for name in names) + "</VirtualHost>\n"


def planned(text: str, *names: str, **given: Any) -> dict[str, Any]:
    """The plan; a second one finds nothing to do, and the same to say is missing."""
    published = site(*names, **given)
    plan: dict[str, Any] = listen_apache2.dual_stack(one(text), {}, 0, published)
    again = listen_apache2.dual_stack(one(plan["files"].get(MAIN, text)), {}, 0, published)
    assert (again["files"], again["always"], len(again["missing"])) == ({}, {}, len(plan["missing"]))
    return plan


def changed(text: str, *names: str, **given: Any) -> str:
    plan = planned(text, *names, **given)
    assert plan["missing"] == [] or not given.get("ipv6", SIX)
    result: str = plan["files"].get(MAIN, text)
    return result


def test_a_virtual_host_on_a_published_address_is_widened() -> None:
    text = "Listen 80\n" + host("192.0.2.10:80", "shop.example.org") + host("*:80", "other.example.org")
    plan = planned(text, "shop.example.org")
    assert plan["always"] == plan["files"] == {MAIN: text.replace("192.0.2.10:80", f"192.0.2.10:80 [{SIX}]:80")}
    assert (plan["missing"], plan["notes"]) == ([], [])


def test_where_no_ipv6_address_is_known_it_is_missing() -> None:
    text = "Listen 80\n" + host("192.0.2.10:80", "shop.example.org")
    plan = planned(text, ipv6="")
    assert plan["files"] == {}
    assert plan["missing"] == [
        {
            "names": ["shop.example.org"],
            "port": 80,
            "said": f"{MAIN}:2: `<VirtualHost 192.0.2.10:80>`: {UNKNOWN}",
        }
    ]
    assert plan["notes"] == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("192.0.2.10", f"192.0.2.10 [{SIX}]"),
        ("192.0.2.10:*", f"192.0.2.10:* [{SIX}]:*"),
        ('"192.0.2.10:80"', f'"192.0.2.10:80" [{SIX}]:80'),
        ("192.0.2.10:80 10.0.0.1:80 ", f"192.0.2.10:80 [{SIX}]:80 10.0.0.1:80 "),
        ("192.0.2.10:80 192.0.2.10:443", f"192.0.2.10:80 [{SIX}]:80 192.0.2.10:443 [{SIX}]:443"),
        ("192.0.2.10:80 \\\n  10.0.0.1:80", f"192.0.2.10:80 [{SIX}]:80 \\\n  10.0.0.1:80"),
        # These answer over IPv6, or are not published.
        *((same, same) for same in ("*:80", "_default_:80", "0.0.0.0:80", "[::]:80", "*", "192.0.2.99:80")),
        *(
            (same, same)
            for same in ("10.0.0.1:80", "127.0.0.1:80", "www.example.org:80", "${ADDRESS}:80", "192.0.2.10:x")
        ),
        *(
            (same, same)
            for same in (f"192.0.2.10:80 [{SIX}]:80", "192.0.2.10:80 *:80", "192.0.2.10:80 [2001:DB8:0::10]:80")
        ),
    ],
)
def test_every_form_of_an_address(before: str, after: str) -> None:
    text = "Listen 80\n{}{}"
    assert changed(text.format(host(before, "a"), "")) == text.format(host(after, "a"), "")
    assert changed(text.format(host(before, "a"), host("*:443", "b"))) == text.format(
        host(after, "a"), host("*:443", "b")
    )


def test_all_hosts_of_an_address_go_together() -> None:
    # Alone on the new address, one of them would answer for the other.
    text = "Listen 80\n" + host("192.0.2.10:80 *:80", "a") + host("192.0.2.10:80", "b") + host("*:80", "c")
    widened = text.replace("192.0.2.10:80", f"192.0.2.10:80 [{SIX}]:80")
    assert changed(text) == widened
    # The third one answers on another published address, and has to go on doing so.
    assert changed(text, ipv4="192.0.2.10 192.0.2.11") == widened.replace(
        "<VirtualHost *:80", f"<VirtualHost *:80 [{SIX}]:80"
    )
    # And what is on all addresses is not hidden by one on the published address.
    text = "Listen 80\n" + host("*:80", "a") + host(f"*:80 [{SIX}]:80", "b") + host("10.0.0.1:80", "c")
    assert changed(text) == text.replace("<VirtualHost *:80>", f"<VirtualHost *:80 [{SIX}]:80>")


def test_a_site_in_two_halves_is_left_alone() -> None:
    text = "Listen 80\n" + host("192.0.2.10:80", "a") + host(f"[{SIX}]:80", "a")
    assert changed(text) == text
    assert planned(text, ipv6="")["missing"] == []


def test_nothing_is_said_of_single_addresses_unless_asked() -> None:
    text = "Listen 80\n" + host("192.0.2.10:80", "a")
    plan = listen_apache2.dual_stack(one(text), {})
    assert (plan["files"], plan["always"], plan["missing"]) == ({}, {}, [])
    assert plan["notes"] == [
        f"{MAIN}:2: `<VirtualHost 192.0.2.10:80>` knows IPv4 only: what arrives over IPv6 is answered by another host "
        "of this server"
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Listen 192.0.2.10:443 https", f"Listen 192.0.2.10:443 https\nListen [{SIX}]:443 https"),
        (
            "<IfModule a>\r\n\tListen 192.0.2.10:443 \\\r\n https\r\n</IfModule>",
            f"<IfModule a>\r\n\tListen 192.0.2.10:443 \\\r\n https\r\n\tListen [{SIX}]:443 https\r\n</IfModule>",
        ),
        # What a host name stands for does not matter beside them.
        (
            "Listen www.example.org:80\nListen 192.0.2.11:80",
            f"Listen www.example.org:80\nListen 192.0.2.11:80\nListen [{SIX}]:80",
        ),
        # One is enough for two addresses, and alternatives have one each.
        (
            "Listen 192.0.2.10:80\nListen 192.0.2.11:80",
            f"Listen 192.0.2.10:80\nListen [{SIX}]:80\nListen 192.0.2.11:80",
        ),
        (
            "<IfModule a>\nListen 192.0.2.10:80\n</IfModule>\n<IfModule !a>\nListen 192.0.2.11:80\n</IfModule>",
            f"<IfModule a>\nListen 192.0.2.10:80\nListen [{SIX}]:80\n</IfModule>\n"
            f"<IfModule !a>\nListen 192.0.2.11:80\nListen [{SIX}]:80\n</IfModule>",
        ),
        *(
            (same, same)
            for same in (
                f"Listen 192.0.2.10:80\nListen [{SIX}]:80",
                "Listen 192.0.2.99:80",
                "Listen 10.0.0.1:80",
                "Listen 127.0.0.1:80",
                "Listen localhost:80",
                "Listen www.example.org:80\nListen [2001:db8::10]:80",
                "Listen ${ADDRESS}:80",
            )
        ),
    ],
)
def test_a_listener_on_a_published_address_gets_its_counterpart(before: str, after: str) -> None:
    assert changed(before, ipv4="192.0.2.10 192.0.2.11") == after
    plan = planned(before, ipv4="192.0.2.10 192.0.2.11")
    assert plan["always"] == plan["files"]


def test_a_listener_that_cannot_have_one_is_missing_with_the_names_on_its_port() -> None:
    text = "Listen 192.0.2.10:443\n" + host("*:443", "a") + host("*", "b") + host("*:80", "c")
    assert planned(text, ipv6="")["missing"] == [
        {"names": ["a", "b"], "port": 443, "said": f"{MAIN}:1: `Listen 192.0.2.10:443`: {UNKNOWN}"}
    ]
    # One of IPv6 that is not known to be published may be.
    assert planned("Listen [2001:db8::77]:443\n" + text, ipv6="")["missing"] == []
    assert planned("Listen [::1]:443\n" + text, ipv6="")["missing"] != []


def test_a_listener_on_a_host_name_is_missing() -> None:
    text = "Listen 80\nListen www.example.org:443 https\n" + host("*:443", "a") + host("*:80", "c")
    why = "a host name: what it stands for is not known; write the addresses of both families"
    plan = planned(text)
    assert plan["missing"] == [
        {"names": ["a"], "port": 443, "said": f"{MAIN}:2: `Listen www.example.org:443 https`: {why}"}
    ]
    assert (plan["files"], plan["notes"]) == ({}, [])
    assert changed(text.replace("Listen 80", "Listen 80\nListen 192.0.2.10:443")).count(f"Listen [{SIX}]:443") == 1
    assert planned(text.replace("www", "192.0.2.10:443\nListen www"), ipv6="")["missing"][0]["said"].endswith(UNKNOWN)
    # Unless asked about a site, it is left alone as before.
    plan = listen_apache2.dual_stack(one(text), {})
    assert plan["missing"] == []
    assert plan["notes"] == [f"{MAIN}:2: `Listen www.example.org:443 https`: a host name: left alone"]


def test_one_name_on_two_addresses_of_ipv4_cannot_be_both_on_one_of_ipv6() -> None:
    text = "Listen 80\n" + host("192.0.2.11:80", "a", "b") + host("192.0.2.10:80", "A") + host("192.0.2.11:80", "c")
    plan = planned(text, ipv4="192.0.2.10 192.0.2.11")
    after = text.replace("192.0.2.10:80", f"192.0.2.10:80 [{SIX}]:80").replace(
        "192.0.2.11:80>\nServerName c", f"192.0.2.11:80 [{SIX}]:80>\nServerName c"
    )
    assert plan["files"] == plan["always"] == {MAIN: after}
    (missing,) = plan["missing"]
    assert (missing["names"], missing["port"]) == (["a", "b"], 80)
    assert missing["said"] == (
        f"{MAIN}:2: `<VirtualHost 192.0.2.11:80>`: a server on 192.0.2.10 has the same name, and only one of the two "
        f"can be on [{SIX}]; give each an IPv6 address of its own by hand"
    )
    # With one of its own, it has what it needs.
    own = after.replace("192.0.2.11:80>\nServerName a", "192.0.2.11:80 [2001:db8::11]:80>\nServerName a")
    assert planned(own, ipv4="192.0.2.10 192.0.2.11")["missing"] == []
    assert planned(own, ipv4="192.0.2.10 192.0.2.11", ipv6=f"{SIX} 2001:db8::11")["missing"] == []
    # One and the same host on both is no such thing.
    assert changed("Listen 80\n" + host("192.0.2.10:80 192.0.2.11:80", "a"), ipv4="192.0.2.10 192.0.2.11") != ""


def test_a_host_on_all_ports_is_not_asked_where_another_has_the_port() -> None:
    text = "Listen 80\nListen 8080\nServerName m\n" + host("*", "a") + host("*:80", "b") + host("192.0.2.10:*", "c")
    assert listen_apache2.sites(one(text)) == [
        {"names": ["a"], "ports": [8080], "families": {8080: BOTH}},
        {"names": ["b"], "ports": [80], "families": {80: BOTH}},
        {"names": ["c"], "ports": [80, 8080], "families": {80: ["ipv4"], 8080: ["ipv4"]}},
    ]


def test_what_is_on_all_addresses_of_ipv4_is_not_always_changed() -> None:
    text = "Listen 0.0.0.0:80\n" + host("192.0.2.10:80", "a") + "<Location /s>\nRequire ip 127.0.0.1\n</Location>\n"
    plan = planned(text)
    always = text.replace("192.0.2.10:80", f"192.0.2.10:80 [{SIX}]:80").replace("127.0.0.1", "127.0.0.1 ::1")
    assert plan["always"] == {MAIN: always}
    assert plan["files"] == {MAIN: always.replace("0.0.0.0:", "")}


def test_where_the_published_ipv4_addresses_are_not_known_a_declared_name_decides() -> None:
    text = (
        "Listen 203.0.113.5:80\nListen 203.0.113.6:80\n" + host("203.0.113.5:80", "a.x") + host("203.0.113.6:80", "b.x")
    )
    assert changed(text, ipv4="") == text
    assert changed(text, "b.x", ipv4="") == text.replace("6:80\n<", f"6:80\nListen [{SIX}]:80\n<").replace(
        "6:80>", f"6:80 [{SIX}]:80>"
    )
    assert [each["names"] for each in planned(text, "b.x", ipv4="", ipv6="")["missing"]] == [["a.x", "b.x"], ["b.x"]]


def test_variables_that_are_defined_are_known() -> None:
    text = "Define IP 192.0.2.10\nDefine PORT 80\nListen ${IP}:${PORT}\n" + host("${IP}:${PORT}", "a")
    assert changed(text) == text.replace("PORT}\n<", f"PORT}}\nListen [{SIX}]:80\n<").replace("}>", f"}} [{SIX}]:80>")
    grown = "Define A aaaaaaaaaa\n" + "Define A ${A}${A}\n" * 100 + "Listen 80\n"
    assert changed(grown) == grown
    (note,) = planned("Listen 80\n" + host("${IP}:80", "a"))["notes"]
    assert note.startswith(f"{MAIN}:2: `<VirtualHost ${{IP}}:80>`: which addresses these are is known only when Apache")
    assert len(planned("Listen 80\n" + host("www.example.org:80", "a"))["notes"]) == 1


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("Require ip 192.0.2.0/24", "nobody else is let in over IPv6"),
        ("Require ip 127.0.0.1 10.", "nobody else is let in over IPv6"),
        ("Allow from 192.0.2.1", "nobody else is let in over IPv6"),
        ("Require not ip 192.0.2.66", "over IPv6 nobody is kept out"),
        ("Deny from 192.0.2.66", "over IPv6 nobody is kept out"),
        ("Require ip 192.0.2.0/24 2001:db8::/32", ""),
        ("Require ip 192.0.2.0/24\nRequire ip 2001:db8::/32", ""),
        ("Require ip 127.0.0.1", ""),
        ("Allow from 192.0.2.1 all", ""),
        ("Require host example.org", ""),
    ],
)
def test_lists_of_clients_that_know_ipv4_only_are_told_and_not_widened(rules: str, said: str) -> None:
    text = f"Listen 80\n<Location /s>\n{rules}\n</Location>\n"
    notes = planned(text)["notes"]
    first = rules.split("\n")[0]
    assert notes == ([f"{MAIN}:3: `{first}`: this list knows addresses of IPv4 only: {said}"] if said else [])


def test_the_names_and_the_ports_of_sites() -> None:
    snippet = "/etc/apache2/names"
    text = (
        "ServerName main.example.org\nListen 80\nListen 8000\nListen 127.0.0.1:8080\n"
        "<IfModule ssl_module>\nListen 443\n</IfModule>\n"
        "<VirtualHost *:80 192.0.2.10:443>\nInclude names\nServerAlias *.b.example.org B.example.org\n</VirtualHost>\n"
        "<VirtualHost 127.0.0.1:80>\nServerName c\n</VirtualHost>\n"
        "<VirtualHost *:81>\nServerName d\n</VirtualHost>\n"
        "<VirtualHost 192.0.2.10>\n<IfModule x>\nServerName https://e.example.org:443\n</IfModule>\n</VirtualHost>\n"
        "<Macro Site $name>\n<VirtualHost *:80>\nServerName f\n</VirtualHost>\n</Macro>\n"
        "<VirtualHost *:8080>\nServerName g\n</VirtualHost>\n"
    )
    files: dict[str, Any] = {
        MAIN: {"text": text, "includes": [[snippet], []]},
        snippet: {"text": "ServerName a.example.org\n", "includes": []},
    }
    assert listen_apache2.sites(files) == [
        {"names": ["main.example.org"], "ports": [443, 8000], "families": {443: BOTH, 8000: BOTH}},
        {"names": ["a.example.org", "b.example.org"], "ports": [80, 443], "families": {80: BOTH, 443: ["ipv4"]}},
        {"names": ["e.example.org"], "ports": [80, 8000], "families": {80: ["ipv4"], 8000: ["ipv4"]}},
    ]
    assert listen_apache2.sites(one("ServerName a\nListen 80\n" + host("*"))) == []
    assert listen_apache2.sites({}) == []
    assert listen_apache2.about()["sites"] is True


def many_hosts(count: int) -> None:
    text = "Listen 80\n" + "".join(host("192.0.2.10:80", f"s{number}.example", "x.example") for number in range(count))
    plan = listen_apache2.dual_stack(one(text), {}, 0, site(*(f"s{number}.example" for number in range(count))))
    assert plan["files"][MAIN].count(f"[{SIX}]:80") == count
    assert len(listen_apache2.sites(one(text))) == count


def test_four_times_as_many_hosts_take_four_times_as_long() -> None:
    assert growth(many_hosts, 100) < 9


def answering(text: str, address: str) -> set[str]:
    """Which hosts answer on an address, as Apache chooses: those of the address, or those on all."""
    hosts = re.findall(r"<VirtualHost (.*)>\nServerName (.*)\n", text)
    exact = {name for addresses, name in hosts if address in addresses.split()}
    return exact or {name for addresses, name in hosts if {"*:80", "0.0.0.0:80"} & set(addresses.split())}


def test_whatever_there_is_who_answers_over_ipv4_answers_over_ipv6() -> None:
    dice = random.Random(12)
    choices = [
        "*:80",
        "0.0.0.0:80",
        "192.0.2.10:80",
        "192.0.2.11:80",
        f"[{SIX}]:80",
        "[2001:db8::77]:80",
        "10.0.0.1:80",
    ]
    for _ in range(1500):
        text = "Listen 80\n" + "".join(
            host(" ".join(dice.sample(choices, dice.randrange(1, 4))), f"s{number}")
            for number in range(dice.randrange(1, 6))
        )
        published = dice.choice(["192.0.2.10", "192.0.2.10 192.0.2.11"])
        after = changed(text, ipv4=published)
        for each in published.split():
            assert answering(after, f"{each}:80") == answering(text, f"{each}:80"), after
            assert answering(after, f"{each}:80") <= answering(after, f"[{SIX}]:80"), after
