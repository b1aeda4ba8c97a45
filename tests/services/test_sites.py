"""Sites are the same over both families: real web servers, asked by name on each of this host's addresses."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import pytest

from . import daemons

FOUR, SIX = "192.0.2.10", "2001:db8::10"
OTHER = "192.0.2.11"
SITE = {"names": ["shop.example.org"], "addresses": {"ipv4": [FOUR], "ipv6": [SIX]}}
REJECTED = "rejected"
PEM = Path("/etc/ssl/private/both.pem")
Web = Callable[..., Any]


@pytest.fixture(autouse=True)
def _addresses() -> Iterator[None]:
    """The addresses that would be published, and a certificate with its key."""
    daemons.run("ip", "addr", "replace", f"{FOUR}/32", "dev", "lo")
    daemons.run("ip", "addr", "replace", f"{SIX}/128", "dev", "lo", "nodad")
    snakeoil = [Path("/etc/ssl/certs/ssl-cert-snakeoil.pem"), Path("/etc/ssl/private/ssl-cert-snakeoil.key")]
    PEM.write_text("".join(each.read_text() for each in snakeoil))
    yield
    for address in (f"{FOUR}/32", f"{OTHER}/32", f"{SIX}/128"):
        daemons.run("ip", "addr", "del", address, "dev", "lo", check=False)


class Server(NamedTuple):
    """One web server, with what a test writes into its configuration."""

    name: str
    modules: Any
    service: service_host.Daemon

    def start(self, files: dict[str, str]) -> None:
        """Start it with these files."""
        for path, text in files.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
        assert service_host.check(self.service).error == ""
        daemons.run("service", self.name, "start")
        wait_for_a_listener()

    def converge(self, key: str = "files", site: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write what the plug-in says, check that there is nothing left to do, and restart."""
        files = service_host.configuration(self.service)
        plan: dict[str, Any] = self.plan(files, site or SITE)
        for path, text in plan[key].items():
            Path(path).write_text(text)
        assert self.plan(service_host.configuration(self.service), site or SITE)[key] == {}
        assert service_host.check(self.service).error == ""
        daemons.run("service", self.name, "restart")
        wait_for_a_listener()
        return plan

    def plan(self, files: plugins.Files, site: dict[str, Any]) -> dict[str, Any]:
        """What the plug-in says."""
        found: dict[str, Any] = self.modules[f"listen_{self.name}.dual_stack"](files, {}, 0, site)
        return found

    def sites(self) -> list[dict[str, Any]]:
        """The names and ports that the plug-in sees."""
        found: list[dict[str, Any]] = self.modules[f"listen_{self.name}.sites"](
            service_host.configuration(self.service)
        )
        return found


@pytest.fixture
def web(request: pytest.FixtureRequest, modules: Any, tmp_path: Path) -> Callable[[str], Server]:
    """A web server that is not running, as Debian has it, but without its own sites."""

    def prepare(name: str) -> Server:
        kept = tmp_path / name
        daemons.run("cp", "-a", f"/etc/{name}", str(kept))

        def restore() -> None:
            daemons.run("service", name, "stop", check=False)
            daemons.run("rm", "-r", f"/etc/{name}")
            daemons.run("cp", "-a", str(kept), f"/etc/{name}")

        request.addfinalizer(restore)
        for path in Path(f"/etc/{name}").glob("sites-enabled/*"):
            path.unlink()
        return Server(name, modules, service_host.daemon(plugins.services(modules), name))

    return prepare


def wait_for_a_listener() -> None:
    """Wait until something answers on one of the ports of the web."""
    deadline = time.monotonic() + 30
    while not any(is_open(address, port) for address in (FOUR, "127.0.0.1", SIX) for port in (80, 443)):
        assert time.monotonic() < deadline, daemons.run("ss", "-ltnp")
        time.sleep(0.05)


def is_open(address: str, port: int) -> bool:
    """Whether a connection is accepted."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=3):
        return True
    return False


def ask(address: str, name: str, port: int = 80) -> str:
    """The page of a name, from an address: by SNI and Host. Or how it fails."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((address, port), timeout=5) as plain:
            secured = context.wrap_socket(plain, server_hostname=name) if port == 443 else plain
            connection = http.client.HTTPConnection(name, port)
            connection.sock = secured
            connection.request("GET", "/", headers={"Host": name})
            page = connection.getresponse().read().decode().strip()
            secured.close()
            return page
    except ssl.SSLError:
        return REJECTED
    except OSError as error:
        return type(error).__name__


def pages(name: str, port: int = 80) -> list[str]:
    """The pages of a name on the published addresses, IPv4 first."""
    return [ask(address, name, port) for address in (FOUR, SIX)]


def nginx_site(*lines: str) -> str:
    return "server {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


TLS = ("ssl_certificate /etc/ssl/private/both.pem;", "ssl_certificate_key /etc/ssl/private/both.pem;")


def test_a_site_of_nginx_is_not_hidden_by_debians(web: Web) -> None:
    nginx = web("nginx")
    nginx.start(
        {
            "/etc/nginx/sites-enabled/default": nginx_site(
                "listen 80 default_server;", "listen [::]:80 default_server;", "server_name _;", "return 200 debian;"
            ),
            "/etc/nginx/sites-enabled/shop": nginx_site(
                "listen 80;", "server_name shop.example.org;", "return 200 shop;"
            ),
        }
    )
    assert pages("shop.example.org") == ["shop", "debian"]
    assert nginx.sites() == [{"names": ["shop.example.org"], "ports": [80], "families": {80: ["ipv4"]}}]
    plan = nginx.converge("always")
    assert set(plan["always"]) == {"/etc/nginx/sites-enabled/shop"}
    assert pages("shop.example.org") == ["shop", "shop"]
    assert pages("other.example.org") == ["debian", "debian"]


def test_a_published_address_of_nginx_gets_its_counterpart(web: Web) -> None:
    nginx = web("nginx")
    shop = ("listen 80;", f"listen {FOUR}:443 ssl;", "server_name shop.example.org;", "return 200 shop;", *TLS)
    nginx.start({"/etc/nginx/sites-enabled/shop": nginx_site(*shop)})
    assert pages("shop.example.org", 443) == ["shop", "ConnectionRefusedError"]
    nginx.converge("always")
    assert pages("shop.example.org", 443) == pages("shop.example.org") == ["shop", "shop"]


def test_nginx_rejects_unknown_names_over_both_families(web: Web) -> None:
    nginx = web("nginx")
    nginx.start(
        {
            "/etc/nginx/sites-enabled/default": nginx_site(
                "listen 443 ssl default_server;", "ssl_reject_handshake on;"
            ),
            "/etc/nginx/sites-enabled/shop": nginx_site(
                "listen 443 ssl http2;", "server_name shop.example.org;", "return 200 shop;", *TLS
            ),
        }
    )
    nginx.converge()
    assert pages("shop.example.org", 443) == ["shop", "shop"]
    assert pages("other.example.org", 443) == [REJECTED, REJECTED]


def test_all_servers_of_an_address_of_nginx_answer_on_the_new_one(web: Web) -> None:
    nginx = web("nginx")
    nginx.start(
        {
            "/etc/nginx/sites-enabled/a": nginx_site(
                *("listen 80 default_server;", "listen [::]:80 default_server;", "server_name _;", "return 200 other;")
            ),
            "/etc/nginx/sites-enabled/b": nginx_site(
                *(f"listen {FOUR}:80;", "listen [::]:80;", "server_name b.example.org;", "return 200 b;")
            ),
            "/etc/nginx/sites-enabled/c": nginx_site(
                f"listen {FOUR}:80 default_server;", "server_name c.example.org;", "return 200 c;"
            ),
        }
    )
    assert pages("b.example.org") == ["b", "b"]
    assert pages("c.example.org") == ["c", "other"]
    nginx.converge("always")
    assert pages("b.example.org") == ["b", "b"]
    assert pages("c.example.org") == pages("unknown.example.org") == ["c", "c"]
    assert [ask(address, "c.example.org") for address in ("127.0.0.1", "::1")] == ["other", "other"]


def test_options_of_a_socket_of_nginx_do_not_keep_it_from_starting(web: Web) -> None:
    nginx = web("nginx")
    nginx.start(
        {
            "/etc/nginx/sites-enabled/a": nginx_site("listen [::]:80;", "server_name a;", "return 200 a;"),
            "/etc/nginx/sites-enabled/b": nginx_site(
                f"listen {FOUR}:80 backlog=99 deferred;", "server_name b.example.org;", "return 200 b;"
            ),
        }
    )
    nginx.converge()
    assert pages("b.example.org") == ["b", "b"]


def test_a_socket_of_nginx_in_the_way_of_the_one_for_all_addresses(web: Web) -> None:
    nginx = web("nginx")
    nginx.start(
        {
            "/etc/nginx/sites-enabled/a": nginx_site("listen [::1]:80 backlog=99;", "server_name a;", "return 200 a;"),
            "/etc/nginx/sites-enabled/shop": nginx_site(
                "listen 80;", "server_name shop.example.org;", "return 200 shop;"
            ),
        }
    )
    assert nginx.converge()["missing"] == []
    assert pages("shop.example.org") == ["shop", "shop"]
    assert ask("::1", "a") == "a"


def test_forty_sites_of_nginx_that_share_snippets(web: Web) -> None:
    nginx = web("nginx")
    names = [f"s{number}.example.org" for number in range(40)]
    files = {
        f"/etc/nginx/sites-enabled/{name}": nginx_site(
            "include snippets/x80;", f"server_name {name};", f"return 200 {name};"
        )
        + nginx_site("include snippets/x443;", f"server_name {name};", f"return 200 {name};")
        for name in names
    }
    # One of them has the second line already.
    files[f"/etc/nginx/sites-enabled/{names[7]}"] = nginx_site(
        "include snippets/x80;", "listen [::]:80;", f"server_name {names[7]};", f"return 200 {names[7]};"
    )
    snippets = {
        "/etc/nginx/snippets/x80": "listen 80;\n",
        "/etc/nginx/snippets/x443": f"listen {FOUR}:443 ssl;\n" + "\n".join(TLS),
    }
    nginx.start({**files, **snippets})
    assert len(nginx.sites()) == 79
    nginx.converge("always")
    for name in names:
        assert pages(name) == [name, name]
    assert pages(names[3], 443) == [names[3], names[3]]


def apache_host(address: str, name: str) -> str:
    return (
        f"<VirtualHost {address}>\n  ServerName {name}\n  DocumentRoot /var/www/{name.split('.')[0]}\n</VirtualHost>\n"
    )


@pytest.fixture
def documents() -> Iterator[None]:
    """A page for each of these names, under /var/www."""
    folders = [Path("/var/www") / name for name in ("shop", "blog", "default")]
    for each in folders:
        each.mkdir()
        (each / "index.html").write_text(each.name)
    yield
    for each in folders:
        daemons.run("rm", "-r", str(each))


def test_virtual_hosts_of_apache_are_widened_together(web: Web, documents: None) -> None:
    apache = web("apache2")
    path = "/etc/apache2/sites-enabled/all.conf"
    hosts = [
        ("*:80", "default.example.org"),
        (f"{FOUR}:80", "shop.example.org"),
        (f"{FOUR}:80 *:80", "blog.example.org"),
    ]
    apache.start({path: "".join(apache_host(*each) for each in hosts)})
    assert pages("shop.example.org") == ["shop", "default"]
    assert pages("blog.example.org") == ["blog", "blog"]
    assert [(each["names"], each["ports"]) for each in apache.sites()] == [([name], [80]) for _, name in hosts]
    plan = apache.converge("always")
    assert plan["missing"] == []
    assert pages("shop.example.org") == ["shop", "shop"]
    assert pages("blog.example.org") == ["blog", "blog"]
    # As over IPv4, the first host of the address answers for names that nobody has.
    assert pages("default.example.org") == pages("unknown.example.org") == ["shop", "shop"]
    assert [ask(address, "default.example.org") for address in ("127.0.0.1", "::1")] == ["default", "default"]


def test_a_virtual_host_of_apache_that_cannot_be_widened_is_missing(web: Web, documents: None) -> None:
    apache = web("apache2")
    path = "/etc/apache2/sites-enabled/all.conf"
    apache.start({path: apache_host("*:80", "default.example.org") + apache_host(f"{FOUR}:80", "shop.example.org")})
    site = {"names": ["shop.example.org"], "addresses": {"ipv4": [FOUR], "ipv6": []}}
    (missing,) = apache.converge(site=site)["missing"]
    assert (missing["names"], missing["port"]) == (["shop.example.org"], 80)
    assert missing["said"].startswith(f"{path}:5: `<VirtualHost {FOUR}:80>`: ")


def test_a_host_of_apache_on_0_0_0_0_answers_over_both_families(web: Web, documents: None) -> None:
    apache = web("apache2")
    path = "/etc/apache2/sites-enabled/all.conf"
    hosts = apache_host("*:80", "default.example.org") + apache_host("0.0.0.0:80", "shop.example.org")
    apache.start({path: hosts + apache_host("[::]:80", "blog.example.org")})
    assert pages("shop.example.org") == ["shop", "shop"]
    assert pages("blog.example.org") == ["blog", "blog"]
    assert apache.converge()["files"] == {}


def test_a_listener_of_apache_on_a_published_address_gets_its_counterpart(web: Web, documents: None) -> None:
    apache = web("apache2")
    daemons.run("a2enmod", "-q", "ssl")
    host = apache_host("*:443", "shop.example.org").replace(
        "  Doc", f"  SSLEngine on\n  SSLCertificateFile {PEM}\n  Doc"
    )
    apache.start(
        {
            "/etc/apache2/ports.conf": f"Listen 80\n<IfModule ssl_module>\n\tListen {FOUR}:443 https\n</IfModule>\n",
            "/etc/apache2/sites-enabled/all.conf": host + apache_host("*:80", "default.example.org"),
        }
    )
    assert pages("shop.example.org", 443) == ["shop", "ConnectionRefusedError"]
    apache.converge("always")
    assert pages("shop.example.org", 443) == ["shop", "shop"]
    assert pages("default.example.org") == ["default", "default"]


HAPROXY = """\
global
    user haproxy
    group haproxy
    daemon
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
"""


def test_a_published_address_of_haproxy_gets_its_counterpart(web: Web) -> None:
    haproxy = web("haproxy")
    haproxy.start(
        {
            "/etc/haproxy/haproxy.cfg": HAPROXY
            + f"""\
frontend shop
    bind {FOUR}:80 name http
    bind ipv4@{FOUR}:443 ssl crt {PEM}
    acl shop hdr(host) -i shop.example.org
    http-request return status 200 content-type text/plain string shop if shop
    http-request return status 200 content-type text/plain string unknown
frontend other
    bind *:80
    http-request return status 200 content-type text/plain string other
"""
        }
    )
    assert pages("shop.example.org") == ["shop", "ConnectionRefusedError"]
    assert haproxy.sites() == [{"names": ["shop.example.org"], "ports": [80, 443]}]
    haproxy.converge()
    assert pages("shop.example.org") == pages("shop.example.org", 443) == ["shop", "shop"]
    assert [ask(address, "shop.example.org") for address in ("127.0.0.1", "::1")] == ["other", "other"]


def test_one_family_of_haproxy_in_a_frontend_of_its_own_is_left_alone(web: Web) -> None:
    haproxy = web("haproxy")
    answer = "    http-request return status 200 content-type text/plain string"
    haproxy.start(
        {
            "/etc/haproxy/haproxy.cfg": HAPROXY
            + f"frontend a\n    bind {FOUR}:80\n{answer} shop\nfrontend b\n    bind [{SIX}]:80\n{answer} shop\n"
        }
    )
    plan = haproxy.converge()
    assert (plan["files"], plan["missing"]) == ({}, [])
    assert pages("shop.example.org") == ["shop", "shop"]


def test_a_published_address_of_lighttpd_gets_its_counterpart(web: Web, documents: None) -> None:
    lighttpd = web("lighttpd")
    main = Path("/etc/lighttpd/lighttpd.conf")
    text = main.read_text().replace('include_shell "/usr/share/lighttpd/use-ipv6.pl', '#include_shell "x')
    text += f"""\
server.bind = "{FOUR}"
server.document-root := "/var/www/default"
$HTTP["host"] == "shop.example.org" {{
    server.document-root = "/var/www/shop"
}}
$SERVER["socket"] == "{FOUR}:8080" {{
    server.document-root = "/var/www/blog"
}}
"""
    lighttpd.start({str(main): text})
    assert pages("shop.example.org") == ["shop", "ConnectionRefusedError"]
    assert lighttpd.sites() == [{"names": ["shop.example.org"], "ports": [80, 8080]}]
    lighttpd.converge("always")
    assert pages("shop.example.org") == ["shop", "shop"]
    assert pages("unknown.example.org") == ["default", "default"]
    assert pages("unknown.example.org", 8080) == ["blog", "blog"]


def test_an_address_in_the_way_of_lighttpd_harms_nobody(web: Web, documents: None) -> None:
    lighttpd = web("lighttpd")
    main = Path("/etc/lighttpd/lighttpd.conf")
    text = main.read_text().replace('include_shell "/usr/share/lighttpd/use-ipv6.pl', '#include_shell "x')
    text += '$SERVER["socket"] == "[::1]:80" { }\nserver.document-root := "/var/www/shop"\n'
    lighttpd.start({str(main): text})
    plan = lighttpd.converge()
    assert (plan["missing"], list(plan["files"])) == ([], [str(main)])
    assert pages("shop.example.org") == ["shop", "shop"]
    assert [ask(address, "shop.example.org") for address in ("127.0.0.1", "::1")] == ["shop", "shop"]


def test_one_name_on_two_addresses_of_nginx_stays_one_on_the_ipv6_address(web: Web) -> None:
    nginx = web("nginx")
    daemons.run("ip", "addr", "replace", f"{OTHER}/32", "dev", "lo")
    a, b = "/etc/nginx/sites-enabled/a", "/etc/nginx/sites-enabled/b"
    shop = (f"listen {FOUR}:80;", "server_name shop.example.org;", "return 200 shop;")
    nginx.start({a: nginx_site(f"listen {OTHER}:80;", shop[1], "return 503;"), b: nginx_site(*shop)})
    plan = nginx.converge("always", {**SITE, "addresses": {"ipv4": [FOUR, OTHER], "ipv6": [SIX]}})
    assert set(plan["files"]) == {b}
    (missing,) = plan["missing"]
    assert f"a server on {FOUR} has the same name" in missing["said"]
    assert pages("shop.example.org") == ["shop", "shop"]
    assert "conflicting" not in daemons.run("sh", "-c", "nginx -t 2>&1")


def test_two_hundred_sites_are_read_and_planned_in_no_time(web: Web) -> None:
    for name, path, host in (
        ("nginx", "/etc/nginx/sites-enabled/{}", nginx_site("listen 80;", f"listen {FOUR}:443;", "server_name {};")),
        ("apache2", "/etc/apache2/sites-enabled/{}.conf", apache_host(f"{FOUR}:80", "{}")),
    ):
        server = web(name)
        for number in range(200):
            site = f"s{number}.example.org"
            Path(path.format(site)).write_text(host.replace("{}", site))
        began = time.monotonic()
        files = service_host.configuration(server.service)
        assert len(server.plan(files, SITE)["files"]) == 200
        assert len(server.modules[f"listen_{name}.sites"](files)) == 200
        assert time.monotonic() - began < 2, os.getloadavg()
