"""HAProxy's frontends on single addresses, the names that they choose by, and the lists of clients."""

from __future__ import annotations

from typing import Any

import _dualstack_secrets_said as secrets_said
import listen_haproxy
import pytest

from .test_listen_haproxy import MAIN, given
from ..growth import growth

SIX = "2001:db8::10"


def site(ipv4: str = "192.0.2.1", ipv6: str = SIX, *names: str) -> dict[str, Any]:
    return {"names": list(names), "addresses": {"ipv4": ipv4.split(), "ipv6": ipv6.split()}}


def planned(text: str, *published: str) -> dict[str, Any]:
    """The plan; a second one finds nothing to do, and the same to say is missing."""
    plan: dict[str, Any] = listen_haproxy.dual_stack(given(text), {}, 0, site(*published))
    again = listen_haproxy.dual_stack(given(plan["files"].get(MAIN, text)), {}, 0, site(*published))
    assert (again["files"], again["always"], len(again["missing"])) == ({}, {}, len(plan["missing"]))
    return plan


def changed(text: str, *published: str) -> str:
    result: str = planned(text, *published)["files"].get(MAIN, text)
    return result


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("bind 192.0.2.1:443 ssl crt x", f"bind 192.0.2.1:443,[{SIX}]:443 ssl crt x"),
        ("bind 192.0.2.1:443", f"bind 192.0.2.1:443,[{SIX}]:443"),
        ("bind ipv4@192.0.2.1:443", f"bind ipv4@192.0.2.1:443,ipv6@[{SIX}]:443"),
        ("bind tcp@192.0.2.1:443", f"bind tcp@192.0.2.1:443,tcp@[{SIX}]:443"),
        ('bind "192.0.2.1:443" # x', f'bind "192.0.2.1:443,[{SIX}]:443" # x'),
        ("bind 192.0.2.1:80-85", f"bind 192.0.2.1:80-85,[{SIX}]:80-85"),
        ("bind 10.0.0.1:80,192.0.2.1:80,/run/x", f"bind 10.0.0.1:80,192.0.2.1:80,[{SIX}]:80,/run/x"),
        ("bind *:80,192.0.2.1:443", f"bind *:80,:::80,192.0.2.1:443,[{SIX}]:443 v6only"),
        ("bind *:80\n bind 192.0.2.1:443 ssl", f"bind *:80,:::80 v6only\n bind 192.0.2.1:443,[{SIX}]:443 ssl"),
        # One is enough for two addresses.
        ("bind 192.0.2.1:443\n bind 192.0.2.2:443", f"bind 192.0.2.1:443,[{SIX}]:443\n bind 192.0.2.2:443"),
        # Somebody else has the port on all addresses.
        (
            "bind 192.0.2.1:443\nfrontend b\n bind :::443 v4v6",
            f"bind 192.0.2.1:443,[{SIX}]:443\nfrontend b\n bind :::443 v4v6",
        ),
        (
            "bind 192.0.2.1:443\nfrontend b\n bind *:443",
            f"bind 192.0.2.1:443,[{SIX}]:443\nfrontend b\n bind *:443,:::443 v6only",
        ),
        *(
            (same, same)
            for same in (
                f"bind 192.0.2.1:443,[{SIX}]:443",
                f"bind 192.0.2.1:443\n bind {SIX}:443 ssl",
                "bind 192.0.2.1:443\n bind :::443 v4v6",
                f"bind 192.0.2.1:443\nfrontend six\n bind [{SIX}]:443",
                "bind 192.0.2.99:443,10.0.0.1:443,127.0.0.1:443",
                "bind quic4@192.0.2.1:443",
                "bind 192.0.2.1:443\n disabled",
            )
        ),
    ],
)
def test_a_published_address_gets_its_counterpart(before: str, after: str) -> None:
    plan = planned(f"frontend a\n {before}\n", "192.0.2.1 192.0.2.2" if "192.0.2.2" in before else "192.0.2.1")
    assert plan["files"].get(MAIN, f"frontend a\n {before}\n") == f"frontend a\n {after}\n"
    assert plan["missing"] == []
    if "*:" not in before:
        assert plan["always"] == plan["files"]


def test_what_is_on_all_addresses_is_not_always_changed() -> None:
    plan = planned("frontend a\n bind *:80\n bind 192.0.2.1:443\n")
    assert plan["always"] == {MAIN: f"frontend a\n bind *:80\n bind 192.0.2.1:443,[{SIX}]:443\n"}
    assert listen_haproxy.dual_stack(given("frontend a\n bind 192.0.2.1:443\n"), {})["notes"] == [
        f"{MAIN}:2: `192.0.2.1:443`: one address: left alone"
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("bind 192.0.2.1:443 id 5", f"`id` allows one address only; write a line for [{SIX}] without it"),
        (r"bind 192.0.2.1:44\x33", "its port is written with escapes; write it without"),
        (
            f"bind 192.0.2.1:443\nfrontend b\n bind 192.0.2.2:443,[{SIX}]:443",
            f"another section has [{SIX}] on this port, or would have; write an address of its own for each",
        ),
        (
            f"bind 192.0.2.1:443-444\n bind [{SIX}]:443",
            f"some of its ports are on [{SIX}] already; write a line of its",
        ),
    ],
)
def test_what_cannot_be_added_is_missing(text: str, why: str) -> None:
    text = f"frontend a\n acl shop req.hdr(host) -i shop.example.org\n {text}\n"
    (missing,) = planned(text, "192.0.2.1 192.0.2.2")["missing"]
    assert (missing["names"], missing["port"]) == (["shop.example.org"], 443)
    assert missing["said"].startswith(f"{MAIN}:3:7: `192.0.2.1:443")
    assert f"`: {why}" in missing["said"]
    assert changed(text, "192.0.2.1 192.0.2.2") == text


def test_two_sections_do_not_come_to_share_an_address() -> None:
    text = "frontend a\n bind 192.0.2.1:443\nfrontend b\n bind 192.0.2.2:443\n"
    plan = planned(text, "192.0.2.1 192.0.2.2")
    assert (plan["files"], len(plan["missing"])) == ({}, 2)
    assert len(planned("frontend a\n bind 192.0.2.1:443\n", "192.0.2.1", "")["missing"]) == 1


def test_of_a_listener_behind_a_proxy_nothing_is_said() -> None:
    assert planned("frontend a\n bind *:80 accept-proxy\n")["notes"] == []


def test_what_to_do_is_not_masked_as_if_it_were_quoted() -> None:
    (missing,) = planned("frontend a\n bind *:80 id 7\n")["missing"]
    shown = secrets_said.quoted(missing["said"], listen_haproxy.about()["words"], secrets_said.known([]))
    assert shown == missing["said"] and ":::PORT v4v6" in shown


def test_a_listener_on_a_host_name_is_missing() -> None:
    text = "frontend a\n acl shop req.hdr(host) -i a.example.org\n bind *:80\n bind Shop.example.org:443 ssl crt x\n"
    why = "a host name: what it stands for is not known; write the addresses of both families"
    plan = planned(text)
    assert plan["missing"] == [
        {"names": ["a.example.org"], "port": 443, "said": f"{MAIN}:4:7: `Shop.example.org:443`: {why}"}
    ]
    assert (plan["files"], plan["notes"]) == ({MAIN: text.replace("*:80", "*:80,:::80 v6only")}, [])
    for right in (":::443", f"[{SIX}]:443", "[2001:db8::77]:443", "*:443", "192.0.2.1:443"):
        assert planned(text.replace("*:80", right))["missing"] == []
    assert planned(text.replace("*:80", "[::1]:443"))["missing"] != []
    # Another section does not answer for this one.
    assert planned(text + "frontend b\n bind :::443\n")["missing"] != []
    for wrong in ("localhost:443", "${NAME}:443", "shop.example.org", "/run/shop"):
        left = planned(text.replace("Shop.example.org:443", wrong))
        assert (left["missing"], len(left["notes"])) == ([], 1)
    (left_alone,) = listen_haproxy.dual_stack(given(text), {})["notes"]
    assert left_alone == f"{MAIN}:4: `Shop.example.org:443`: a host name: left alone"
    assert listen_haproxy.dual_stack(given(text), {})["missing"] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("frontend a\n mode http\n bind *:8080,*:8081\n bind *:8443 ssl crt x", ["http", "http", "https"]),
        ("frontend a\n bind *:8080\n bind *:8443 name ssl\n mode http", ["http", "http"]),
        ("listen a *:8080\n mode http", ["http"]),
        ("listen a\n bind *:8080\n bind *:8443 crt x ssl", ["tcp", "tls"]),
        ("defaults\n mode http\nfrontend a\n bind *:80\nfrontend b\n mode tcp\n bind *:81", ["http", "tcp"]),
        ("defaults\n mode http\ndefaults\nfrontend a\n bind *:8080", ["tcp"]),
        (
            "defaults w\n mode http\ndefaults t\nfrontend a from w\n bind *:8080\nfrontend b\n bind *:81\n"
            "defaults v from w\nfrontend c\n bind *:82\nfrontend d from t\n bind *:83",
            ["http", "tcp", "http", "tcp"],
        ),
        ("defaults\n mode http\npeers a\n bind *:1024 ssl crt x\n", ["tls"]),
        ("defaults\n mode http\nlog-forward a\n bind *:514\n dgram-bind *:514", ["tcp", ""]),
        ("defaults\n mode http\nfrontend a\n bind quic4@*:443 ssl crt x", [""]),
        ("global\n stats socket ipv4@127.0.0.1:9999\ndefaults\n mode http", ["tcp"]),
        # What is passed on through a port of the web is known by that only, as ever.
        ("frontend a\n bind *:80\n bind *:443\n bind *:8443", ["", "", "tcp"]),
        ("bind *:8080", ["tcp"]),
    ],
)
def test_what_is_spoken_on_each_listener(text: str, expected: list[str]) -> None:
    assert [each.get("protocol", "") for each in listen_haproxy.listeners(given(text + "\n"))] == expected


def many_host_names(count: int) -> None:
    text = "defaults\n mode http\n" + "".join(
        f"frontend s{number}\n bind s{number}.example:{number + 10000}\n bind 192.0.2.1:{number}\n bind "
        f"*:{number + 5000}\n"
        for number in range(1001, 1001 + count)
    )
    plan = planned(text)
    assert (plan["files"][MAIN].count(SIX), len(plan["missing"])) == (count, count)
    assert len(listen_haproxy.listeners(given(text))) == 3 * count


def test_four_times_as_many_host_names_take_four_times_as_long() -> None:
    assert growth(many_host_names, 100) < 9


@pytest.mark.parametrize(
    ("lines", "notes"),
    [
        ("acl office src 192.0.2.0/24", 1),
        ("acl office src 192.0.2.0/24\nacl office src 2001:db8::/32", 0),
        ("acl office src 192.0.2.0/24\nacl home src 2001:db8::/32", 1),
        ("acl office src -f /etc/haproxy/office 192.0.2.0/24", 0),
        ("acl office src 127.0.0.1", 1),
        ("http-request deny if { src 192.0.2.66 } !{ src 192.0.2.67 }", 2),
        ("tcp-request connection reject unless { src 192.0.2.0/24 2001:db8::/32 }", 0),
        ("http-request set-src src", 0),
        ("# acl office src 192.0.2.0/24", 0),
        ("http-request set-header x it's src 192.0.2.1", 0),
    ],
)
def test_lists_of_clients_that_know_ipv4_only_are_told_and_not_widened(lines: str, notes: int) -> None:
    text = f"frontend a\n{lines}\n"
    plan = planned(text)
    assert (plan["files"], len(plan["notes"])) == ({}, notes)
    for note in plan["notes"] if "192." in lines else []:
        # The rest of the line is none of our business.
        assert note.startswith(
            (f"{MAIN}:2: `acl office src 192.0.2.0/24`: this list knows", f"{MAIN}:2: `src 192.0.2.6")
        )


def test_the_names_and_the_ports_of_sites() -> None:
    text = """\
global
  log /dev/log local0
frontend web
  bind *:80
  bind 192.0.2.1:443,127.0.0.1:8443 ssl crt /etc/ssl/x.pem
  acl shop hdr(host) -i shop.example.org Www.Example.org:443
  acl shop hdr(host),lower -m str other.example.org
  acl many hdr_end(host) -i .example.net
  acl many hdr(host) -m reg ^a
  acl many req.hdr(host) -i -f /etc/haproxy/names
  acl many hdr(host) -M -f /etc/haproxy/map
  acl path path_beg /host
  use_backend shop if shop
  use_backend api if { req.hdr(Host,1),field(1,:) -i api.example.org } || { path /x }
  redirect scheme https code 301 unless { hdr_dom(host) example.com }
listen tls from x
  mode tcp
  bind :8443
  use_backend a if { req_ssl_sni -i a.example.org } # b.example.org
  use_backend b if { ssl_fc_sni b.example.org } { src 192.0.2.1 }
frontend off
  bind *:81
  disabled
  acl x hdr(host) x.example.org
frontend inside
  bind 127.0.0.1:9000
  acl x hdr(host) y.example.org
backend b
  acl x hdr(host) z.example.org
"""
    assert listen_haproxy.sites(given(text)) == [
        {
            "names": ["shop.example.org", "other.example.org", "api.example.org", "example.com"],
            "ports": [80, 443],
        },
        {"names": ["a.example.org", "b.example.org"], "ports": [8443]},
    ]
    assert listen_haproxy.sites({}) == []
    assert listen_haproxy.about()["sites"] is True


def many_frontends(count: int) -> None:
    text = "".join(
        f"frontend f{number}\n bind 192.0.2.1:{number}\n acl x hdr(host) -i s{number}.example\n"
        for number in range(1, 1 + count)
    )
    assert planned(text)["files"][MAIN].count(SIX) == count
    assert len(listen_haproxy.sites(given(text))) == count


def test_four_times_as_many_frontends_take_four_times_as_long() -> None:
    assert growth(many_frontends, 100) < 9
