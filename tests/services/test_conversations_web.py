"""What probes see of web servers, and which differences between the families count."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import _dualstack_service_compare as service_compare
import _dualstack_service_probe as service_probe
import pytest

from . import conversations, daemons
from .conversations import FOUR, SIX, Start, both, certificate, same

SITE = Path("/etc/nginx/sites-enabled/default")


@pytest.fixture(autouse=True)
def _addresses() -> Iterator[None]:
    with conversations.addresses():
        yield


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Start:
    return conversations.starter(request)


def nginx(start: Start, text: str, *ports: int) -> None:
    SITE.write_text(text)
    start("nginx", *ports)


PAGE = """<html><head><title>{title}</title><meta name=csrf content=$request_id></head><body><h1>{title}</h1>
<script nonce=$request_id>var t = $msec;</script><p>You are $remote_addr ($remote_port), this is [$server_addr],
it is $time_local and $time_iso8601, request $request_id took $request_time s</p></body></html>"""


def test_a_dynamic_page_is_the_same_page(start: Start) -> None:
    page = PAGE.format(title="Shop").replace("\n", " ")
    nginx(start, f"server {{ listen 80; listen [::]:80; default_type text/html; return 200 '{page}'; }}", 80)
    look = same(both(80, "http", name="shop.example.org"))
    assert (look["status"], look["page"]["title"]) == (200, "Shop Shop")


def test_text_that_is_nothing_but_dynamic(start: Start) -> None:
    nginx(start, "server { listen 80; listen [::]:80; return 200 '$request_id $remote_addr $remote_port $msec'; }", 80)
    assert same(both(80, "http"))["status"] == 200


def test_a_word_that_differs_at_every_request_is_found_by_asking_again(start: Start) -> None:
    nginx(
        start,
        "split_clients $request_id $word { 25% apple; 25% pear; 25% plum; * cherry; }\n"
        "server { listen 80; listen [::]:80; return 200 'fruit of this second: $word'; }",
        80,
    )
    for _ in range(10):
        same(both(80, "http"))


def test_servers_that_take_turns_are_one_site(start: Start) -> None:
    nginx(
        start,
        "upstream both { server 127.0.0.1:81; server 127.0.0.1:82; }\n"
        "server { listen 81; return 200 'served by one'; }\nserver { listen 82; return 200 'served by two'; }\n"
        "server { listen 80; listen [::]:80; location / { proxy_pass http://both; } }",
        80,
    )
    daemons.edit("/etc/nginx/nginx.conf", "^worker_processes .*$", "worker_processes 1;")
    daemons.run("service", "nginx", "restart")
    daemons.wait_for(80, 81, 82)
    for _ in range(4):
        same(both(80, "http"))


def test_a_name_that_lacks_a_family_shows_another_site(start: Start) -> None:
    nginx(
        start,
        "server { listen 80 default_server; listen [::]:80 default_server; return 200 'default\\n'; }\n"
        "server { listen 80; server_name shop.example.org; return 200 'shop\\n'; }",
        80,
    )
    four, six = both(80, "http", name="shop.example.org")
    assert service_compare.differences(four, six) == ["shows another page over IPv6 than over IPv4"]
    same(both(80, "http", name="other.example.org"))


def test_debians_default_site_is_not_the_shop(start: Start) -> None:
    (SITE.parent / "shop").write_text(f"server {{ listen 80; server_name shop.example.org; return 200 '{PAGE}'; }}")
    start("nginx", 80)
    four, six = both(80, "http", name="shop.example.org")
    (said,) = service_compare.differences(four, six)
    assert said.startswith("shows another page over IPv6 than over IPv4: `")


@pytest.mark.parametrize(
    ("four", "six", "said"),
    [
        ("return 200 ok;", "return 403;", ["answers 200 over IPv4 and 403 over IPv6"]),
        ("return 200 ok;", "proxy_pass http://127.0.0.1:9;", ["answers 200 over IPv4 and 502 over IPv6"]),
        ("return 403;", "return 200 ok;", ["answers 403 over IPv4 and 200 over IPv6"]),
        ("proxy_pass http://127.0.0.1:9;", "return 200 ok;", []),
        ("proxy_pass http://127.0.0.1:9;", "proxy_pass http://127.0.0.1:9;", []),
        ("return 301 http://$server_addr/x;", "return 301 http://[$server_addr]/x;", []),
        ("return 301 http://192.0.2.10/x;", "return 301 http://192.0.2.10/x;", []),
        (
            "return 301 https://$host/;",
            "return 301 http://$host/login;",
            ["redirects to https://shop.example.org/ over IPv4 and to http://shop.example.org/login over IPv6"],
        ),
        ("return 301 https://$host/?state=$request_id;", "return 301 https://$host/?state=$request_id;", []),
    ],
)
def test_what_the_families_answer(start: Start, four: str, six: str, said: list[str]) -> None:
    nginx(
        start,
        f"server {{ listen 80; location / {{ {four} }} }}\nserver {{ listen [::]:80; location / {{ {six} }} }}",
        80,
    )
    answers = both(80, "http", name="shop.example.org")
    assert service_compare.differences(*answers) == said
    if four == six and "proxy_pass" in four:
        assert service_compare.told(*answers) == ["answers 502 over both"]


def test_a_path_is_asked_for(start: Start) -> None:
    nginx(
        start,
        "server { listen 80; listen [::]:80; location = /health { return 204; } location / { return 500; } }",
        80,
    )
    assert same(both(80, "http", path="/health"))["status"] == 204
    assert same(both(80, "http"))["status"] == 500


def test_sites_by_sni(start: Start, tmp_path: Path) -> None:
    """The name has IPv4 only, and the default server rejects all names that it does not know."""
    pem, key = certificate("*.example.org", tmp_path)
    nginx(
        start,
        f"ssl_certificate {pem}; ssl_certificate_key {key};\n"
        "server { listen 443 ssl http2 default_server; listen [::]:443 ssl default_server; ssl_reject_handshake on; }\n"
        "server { listen 443 ssl http2; server_name shop.example.org; return 200 shop; }\n"
        "server { listen 443 ssl; listen [::]:443 ssl; server_name both.example.org; return 200 $ssl_protocol; }",
        443,
    )
    four, six = both(443, "https", name="shop.example.org")
    assert four["answers"] and four["look"]["certificate"]["fits"]
    assert (six["answers"], six["reason"]) == (False, "alert")
    assert six["error"] == "speaks TLS, but refuses the name shop.example.org: alert unrecognized name"
    assert service_compare.differences(four, six) == [
        f"answers over IPv4, but not over IPv6: {six['error']}; the server has no certificate for shop.example.org, "
        "and rejects names that it does not know (SNI)"
    ]
    assert "SNI" in service_compare.likely(six)
    look = same(both(443, "https", name="both.example.org"))
    assert look["certificate"] | {"key": "", "expires": ""} == {
        "key": "",
        "fits": True,
        "names": ["*.example.org"],
        "expires": "",
    }
    nobody = both(443, "https")
    assert service_compare.differences(*nobody) == []
    assert "asks for no name" in service_compare.told(*nobody)[0]


def test_a_server_that_wants_to_know_its_clients(start: Start, tmp_path: Path) -> None:
    pem, key = certificate("shop.example.org", tmp_path)
    bundle = Path("/etc/haproxy/shop.pem")
    bundle.write_text(Path(pem).read_text() + Path(key).read_text())
    with Path("/etc/haproxy/haproxy.cfg").open("a") as file:
        file.write(f"\nfrontend web\n    bind :::443 v4v6 ssl crt {bundle} ca-file {bundle} verify required\n")
    start("haproxy", 443)
    four, six = both(443, "https", name="shop.example.org")
    assert four["answers"] and six["look"]["certificate"]["fits"] and service_compare.differences(four, six) == []
    assert service_compare.told(four, six) == ["requires a certificate of the client's over both: no more is seen"]


def test_nothing_but_http2(start: Start, tmp_path: Path) -> None:
    pem, key = certificate("shop.example.org", tmp_path)
    bundle = Path("/etc/haproxy/shop.pem")
    bundle.write_text(Path(pem).read_text() + Path(key).read_text())
    with Path("/etc/haproxy/haproxy.cfg").open("a") as file:
        file.write(f"\nfrontend web\n    bind :::443 v4v6 ssl crt {bundle} alpn h2 proto h2\n")
        file.write("    bind :::80 v4v6 proto h2\n")
    start("haproxy", 443, 80)
    look = same(both(443, "https", name="shop.example.org"))
    assert look["expects"] == "HTTP/2" and look["certificate"]["fits"]
    assert same(both(80, "http"))["expects"] == "HTTP/2"


def test_a_limit_of_requests(start: Start) -> None:
    nginx(
        start,
        "limit_req_zone $server_name zone=x:1m rate=1r/s; limit_conn_zone $binary_remote_addr zone=c:1m;\n"
        "server { listen 80; listen [::]:80; limit_req zone=x; }\n"
        "server { listen 81; listen [::]:81; limit_conn c 4; location / { proxy_pass http://127.0.0.1:82; } }\n"
        "server { listen 82; return 200 ok; }",
        80,
        81,
    )
    assert same(both(80, "http"))["status"] == 200
    targets = [{"address": each, "port": 81, "protocol": "http"} for each in (FOUR, SIX)]
    assert {each["look"]["status"] for each in service_probe.probe_all(targets * 40)} == {200}


def test_a_page_that_is_cut_over_ipv6(start: Start) -> None:
    Path("/var/www/html/page.html").write_text("<p>" + "many words " * 20000)
    nginx(
        start,
        "server { listen 80; root /var/www/html; }\n" "server { listen [::]:80; root /var/www/html; limit_rate 1000; }",
        80,
    )
    answers = both(80, "http", path="/page.html", seconds=2)
    said = ["shows a page over IPv6 that does not come to its end, as it does over IPv4"]
    assert service_compare.differences(*answers) == said


def test_the_name_of_a_page_that_is_asked_for_by_address(start: Start) -> None:
    nginx(
        start,
        "server { listen 80; listen [::]:80; default_type text/html; return 200 '<title>Index of $host</title>'; }",
        80,
    )
    assert same(both(80, "http"))["page"]["title"] == "Index of"


def test_another_certificate(start: Start, tmp_path: Path) -> None:
    ours, other = certificate("shop.example.org", tmp_path), certificate("snakeoil.example.org", tmp_path)
    nginx(
        start,
        f"server {{ listen 443 ssl; ssl_certificate {ours[0]}; ssl_certificate_key {ours[1]}; }}\n"
        f"server {{ listen [::]:443 ssl; ssl_certificate {other[0]}; ssl_certificate_key {other[1]}; }}",
        443,
    )
    assert service_compare.differences(*both(443, "https", name="shop.example.org")) == [
        "has another key in its certificate over IPv6 (for snakeoil.example.org) than over IPv4 (for shop.example.org)",
        "over IPv6, the certificate is for snakeoil.example.org and not for this one, or is not valid yet",
    ]


def test_http_where_tls_is_expected(start: Start, tmp_path: Path) -> None:
    pem, key = certificate("shop.example.org", tmp_path)
    nginx(
        start,
        f"ssl_certificate {pem}; ssl_certificate_key {key}; server {{ listen 443 ssl; listen [::]:443 ssl; }}\n"
        "server { listen 80; listen [::]:80; }",
        80,
        443,
    )
    four, six = both(443, "http")
    assert service_compare.likely(four) == "TLS is expected on this port"
    assert service_compare.differences(four, six) == []
    assert service_compare.told(four, six) == ["answers 400 over both", "speaks nothing but TLS on this port"]
    plain = both(80, "https")
    assert {each["reason"] for each in plain} == {"garbage"}
    assert service_compare.likely(plain[0]).startswith("no TLS is spoken on this port")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_proxy_protocol(start: Start, version: str) -> None:
    with Path("/etc/haproxy/haproxy.cfg").open("a") as file:
        file.write(
            "\nfrontend web\n    bind :::80 v4v6 accept-proxy\n"
            '    http-request return status 200 content-type text/plain lf-string "haproxy says %[src] %[src_port]"\n'
        )
    nginx(start, "server { listen 81 proxy_protocol; listen [::]:81 proxy_protocol; return 200 nginx; }", 81)
    start("haproxy", 80)
    for port in (80, 81):
        without = both(port, "http")
        assert {each["reason"] for each in without} <= {"closed", "timeout"}
        assert "PROXY protocol" in service_compare.likely(without[0])
        assert same(both(port, "http", proxy=version))["status"] == 200


def test_hundreds_of_sites(start: Start, tmp_path: Path) -> None:
    pem, key = certificate("*.example.org", tmp_path)
    page = PAGE.format(title="site {number}").replace("\n", " ")
    names = [f"site{number}.example.org" for number in range(200)]
    listen = "listen 80; listen [::]:80; listen 443 ssl; listen [::]:443 ssl; default_type text/html;"
    sites = [
        f"server {{ {listen} server_name {name}; return 200 '{page.replace('{number}', name)}'; }}" for name in names
    ]
    nginx(start, "\n".join([f"ssl_certificate {pem}; ssl_certificate_key {key};", *sites]), 80, 443)
    for port, protocol in ((80, "http"), (443, "https")):
        targets = [
            {"address": address, "port": port, "protocol": protocol, "name": name}
            for name in names
            for address in (FOUR, SIX)
        ]
        began = time.monotonic()
        for target in targets[::10]:
            service_probe.probe_all([target])
        alone = 10 * (time.monotonic() - began)
        began = time.monotonic()
        answers = service_probe.probe_all(targets)
        pairs = list(zip(answers[::2], answers[1::2]))
        assert [each for four, six in pairs for each in service_compare.differences(four, six)] == []
        assert time.monotonic() - began < 2 * alone  # threads have their price on a busy machine
        assert {each["look"]["status"] for each in answers} == {200}
        assert len({each["look"]["page"]["title"] for each in answers}) == 200
