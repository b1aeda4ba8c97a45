"""A site, not a port: what users see over IPv4 has to be there over IPv6, by name."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import daemons

FOUR, SIX = "192.0.2.10", "2001:db8::10"
SITES = Path("/etc/nginx/sites-enabled")
PILLAR: dict[str, Any] = {"address": SIX}


@pytest.fixture(autouse=True)
def _addresses() -> Iterator[None]:
    """The host has an address of each family, and a service that is not Debian's any more is put back."""
    for address in (f"{FOUR}/32", f"{SIX}/128"):
        daemons.run("ip", "addr", "add", address, "dev", "lo")
    yield
    for address in (f"{FOUR}/32", f"{SIX}/128"):
        daemons.run("ip", "addr", "del", address, "dev", "lo", check=False)


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Any:
    """Start a service; it is stopped, and its configuration is Debian's again, when the test is over."""

    def start(name: str, *ports: int) -> None:
        request.addfinalizer(lambda: daemons.restore(name))
        request.addfinalizer(lambda: daemons.stop(name, *ports))
        daemons.start(name, *ports)

    return start


def certificate(name: str) -> str:
    """A certificate for a name, and its key, in one file."""
    path = f"/etc/ssl/{name}.pem"
    daemons.run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "9", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
        *("-keyout", path, "-out", f"{path}.crt"),
    )
    Path(path).write_text(Path(path).read_text() + Path(f"{path}.crt").read_text())
    return path


def site(name: str, text: str) -> Path:
    """One of nginx's sites."""
    path = SITES / name
    path.write_text(text)
    return path


def shop(listen: str = "listen 80;", more: str = "") -> str:
    answer = 'return 200 "the shop $request_id\\n";'
    return f"server {{ {listen} server_name shop.example.org; {more} location / {{ {answer} }} }}\n"


def status(modules: Any, service: str, port: int, name: str, **given: Any) -> dict[str, Any]:
    """What each address says to somebody who asks for a name."""
    found = modules.service_listen.probe(service, [port], names=[name], addresses=[FOUR, SIX], **given)
    return {each["address"]: each["look"].get("status") or each["error"] for each in found}


def twice(converge: Any, name: str, **given: Any) -> dict[str, Any]:
    """Predicted, done, and nothing left to do."""
    predicted = converge(name, test=True, **PILLAR, **given)
    assert predicted["result"] is None, predicted["comment"]
    done: dict[str, Any] = converge(name, **PILLAR, **given)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    again = converge(name, **PILLAR, **given)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]
    return done


@pytest.mark.parametrize("names", [[], ["shop.example.org"], ["mail.example.org"]])
def test_a_server_without_ipv6_beside_the_default_site(names: list[str], run: Any, converge: Any, modules: Any) -> None:
    path = site("shop", shop())
    run("nginx", 80)
    wrong = modules.service_listen.answering("nginx", names=["shop.example.org"])
    assert wrong["result"] is False and "shop.example.org" in wrong["comment"], wrong["comment"]
    done = twice(converge, "nginx", **({"names": names} if names else {}))
    assert str(path) in done["changes"] and "listen [::]:80;" in path.read_text()
    assert modules.service_listen.answering("nginx", names=["shop.example.org"])["result"] is True


def test_a_single_address_of_ipv4_gets_the_published_one_of_ipv6(run: Any, converge: Any, modules: Any) -> None:
    pem = certificate("shop.example.org")
    path = site(
        "shop",
        shop(
            f"listen 80; listen [::]:80; listen {FOUR}:443 ssl;", f"ssl_certificate {pem}; ssl_certificate_key {pem};"
        ),
    )
    run("nginx", 80)
    found = modules.ipv6.report(as_data=True)
    assert modules.service_listen.answering("nginx", names=["shop.example.org"])["result"] is False
    assert any("443" in each["text"] for each in found["problems"]), found["problems"]
    twice(converge, "nginx")
    assert f"listen [{SIX}]:443 ssl;" in path.read_text()
    assert status(modules, "nginx", 443, "shop.example.org") == {FOUR: 200, SIX: 200}
    assert not [each for each in modules.ipv6.report(as_data=True)["problems"] if "443" in each["text"]]


def test_a_default_server_that_rejects_names_that_it_does_not_know(run: Any, converge: Any, modules: Any) -> None:
    pem = certificate("shop.example.org")
    site("reject", "server { listen 443 ssl default_server; ssl_reject_handshake on; }\n")
    site("shop", shop("listen 443 ssl;", f"ssl_certificate {pem}; ssl_certificate_key {pem};"))
    run("nginx", 443)
    assert daemons.families(443) == ["ipv4"]
    done = twice(converge, "nginx", names=["www.example.org"])
    assert "tcp/443" in done["changes"]["listening"]["new"]
    assert status(modules, "nginx", 443, "shop.example.org") == {FOUR: 200, SIX: 200}


def test_an_answer_that_differs_is_no_answer(run: Any, converge: Any, modules: Any) -> None:
    site(
        "shop",
        shop("listen 80; listen [::]:80;", f"allow {FOUR}; deny all;").replace(
            "return 200", "add_header x y; return 200"
        ),
    )
    site(
        "shop",
        "server { listen 80; listen [::]:80; server_name shop.example.org; root /var/www/html; "
        f"allow {FOUR}; deny all; }}\n",
    )
    run("nginx", 80)
    done = converge("nginx", names=["shop.example.org"], **PILLAR)
    assert done["result"] is False
    assert "tcp/80 (shop.example.org) answers 200 over IPv4 and 403 over IPv6" in done["comment"], done["comment"]
    proof = modules.service_listen.answering("nginx", names=["shop.example.org"])
    assert proof["result"] is False and "403" in proof["comment"]


def test_an_error_in_both_families_is_told_and_no_failure(run: Any, converge: Any, modules: Any) -> None:
    site("shop", "server { listen 80; listen [::]:80; server_name shop.example.org; return 503; }\n")
    run("nginx", 80)
    done = converge("nginx", names=["shop.example.org"], **PILLAR)
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]
    assert "503" in done["comment"]
    proof = modules.service_listen.answering("nginx", names=["shop.example.org"])
    assert proof["result"] is True and "503" in proof["comment"]


def test_a_virtual_host_of_one_address(run: Any, converge: Any, modules: Any) -> None:
    path = Path("/etc/apache2/sites-enabled/shop.conf")
    path.write_text(
        f"<VirtualHost {FOUR}:80>\n  ServerName shop.example.org\n  Redirect / "
        "http://elsewhere.example.org/\n</VirtualHost>\n"
    )
    run("apache2", 80)
    assert modules.service_listen.answering("apache2", names=["shop.example.org"])["result"] is False
    twice(converge, "apache2", names=["shop.example.org"])
    assert f"<VirtualHost {FOUR}:80 [{SIX}]:80>" in path.read_text()
    assert modules.service_listen.answering("apache2", names=["shop.example.org"])["result"] is True


def test_a_port_that_expects_the_proxy_protocol_is_not_touched_until_it_is_asked_so(
    run: Any, converge: Any, modules: Any
) -> None:
    path = Path("/etc/haproxy/haproxy.cfg")
    path.write_text(
        path.read_text() + "\nlisten web\n  mode http\n  bind *:80 accept-proxy\n  http-request return status 200\n"
    )
    run("haproxy", 80)
    before = path.read_bytes()
    inodes = [each["inode"] for each in modules.service_listen.sockets()["sockets"] if each["service"] == "haproxy"]
    for test in (True, False):
        done = converge("haproxy", ports=[80], test=test, **PILLAR)
        assert (done["result"], done["changes"]) == (False, {})
        assert "PROXY protocol" in done["comment"] and "ipv6:services:haproxy:probe" in done["comment"], done["comment"]
    assert path.read_bytes() == before
    assert inodes == [
        each["inode"] for each in modules.service_listen.sockets()["sockets"] if each["service"] == "haproxy"
    ]
    twice(converge, "haproxy", ports=[80], probe={80: {"proxy": "v2"}})
    assert status(modules, "haproxy", 80, "x.example.org", settings={80: {"proxy": "v1"}}) == {FOUR: 200, SIX: 200}


def postfix(*settings: str) -> None:
    daemons.run("postconf", "-e", *settings)


def test_a_mail_server_that_greets_late(run: Any, converge: Any, modules: Any) -> None:
    postfix("inet_protocols = ipv4", "postscreen_greet_action = enforce", "postscreen_greet_banner = $smtpd_banner")
    text = Path("/etc/postfix/master.cf").read_text()
    text = re.sub(
        r"^smtp      inet.*$", "smtp      inet  n       -       y       -       1       postscreen", text, flags=re.M
    )
    text = re.sub(r"^#smtpd     pass", "smtpd     pass", text, flags=re.M)
    Path("/etc/postfix/master.cf").write_text(text)
    run("postfix", 25)
    done = converge("postfix", ports=[25], timeout=60, **PILLAR)
    assert done["result"] is True, done["comment"]
    assert daemons.families(25) == ["ipv4", "ipv6"]
    assert modules.service_listen.answering("postfix", ports=[25])["result"] is True


def test_a_mail_server_on_single_addresses_of_both_families(run: Any, converge: Any, modules: Any) -> None:
    postfix(f"inet_interfaces = {FOUR}, {SIX}", "mynetworks = 127.0.0.0/8 [::1]/128")
    run("postfix")
    daemons.wait_until(lambda: modules.service_listen.answering("postfix")["result"])
    for given in ({}, {"ports": [25]}):
        done = converge("postfix", send="both", **given, **PILLAR)
        assert (done["result"], done["changes"]) == (True, {}), done["comment"]
    assert not [each for each in modules.ipv6.report(as_data=True)["problems"] if each["of"] == "postfix"]


def test_a_mail_server_on_a_single_address_of_ipv4(run: Any, converge: Any, modules: Any) -> None:
    postfix(f"inet_interfaces = {FOUR}", "mynetworks = 127.0.0.0/8 [::1]/128")
    run("postfix")
    daemons.wait_until(lambda: "220" in str(modules.service_listen.probe("postfix", [25], addresses=[FOUR])))
    twice(converge, "postfix")
    assert "220" in str(modules.service_listen.probe("postfix", [25], addresses=[SIX]))


def test_companions_are_converged_where_every_port_answers(run: Any, converge: Any, modules: Any) -> None:
    postfix("mynetworks = 127.0.0.0/8")
    run("postfix", 25)
    done = twice(converge, "postfix", ports=[25], send="both")
    assert list(done["changes"]) == ["/etc/postfix/main.cf"]
    assert "[::1]/128" in daemons.run("postconf", "-h", "mynetworks")


def test_a_mail_server_that_only_sends_stays_as_it_is(run: Any, converge: Any) -> None:
    postfix("inet_interfaces = loopback-only", "inet_protocols = ipv4", "mynetworks = 127.0.0.0/8 [::1]/128")
    run("postfix", 25)
    done = converge("postfix", **PILLAR)
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]
    assert "postfix listens on no TCP port that is open to all" in done["comment"]


@contextlib.contextmanager
def stranger() -> Iterator[int]:
    """Somebody else's web server on port 80 of IPv6, as if it were nginx; the number of its process."""
    code = (
        "import socket; s = socket.socket(socket.AF_INET6); s.setsockopt(41, 26, 1); s.setsockopt(1, 2, 1)\n"
        "s.bind(('::', 80)); s.listen()\n"
        "while True: c = s.accept()[0]; c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n'); c.close()"
    )
    process = subprocess.Popen(["python3", "-c", code, "/usr/sbin/nginx"])
    try:
        daemons.wait_for(80, family="ipv6")
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("running", [True, False])
def test_a_foreigner_on_the_port_is_named(running: bool, run: Any, converge: Any, modules: Any) -> None:
    site("default", "server { listen 80; return 200; }\n")
    run("nginx", 80)
    if not running:
        daemons.stop("nginx", 80)
    with stranger() as pid:
        done = converge("nginx", ports=[80], **PILLAR)
        assert (done["result"], done["changes"]) == (False, {})
        assert f"process {pid}" in done["comment"], done["comment"]
        proof = modules.service_listen.answering("nginx", ports=[80])
        assert proof["result"] is False and f"process {pid}" in proof["comment"], proof["comment"]


def test_what_no_edit_would_help_is_refused_before_anything_is_changed(run: Any, converge: Any, modules: Any) -> None:
    """A server without IPv6, and another one that forbids it: a restart would change nothing for that."""
    lacking = site("a", shop())
    forbids = "server { listen 80; listen [::]:80; server_name x.example.org; root /var/www/html; "
    site("b", forbids + f"allow {FOUR}; deny all; }}\n")
    run("nginx", 80)
    inodes = [each["inode"] for each in modules.service_listen.sockets()["sockets"] if each["service"] == "nginx"]
    for test in (True, False):
        done = converge("nginx", test=test, **PILLAR)
        assert (done["result"], done["changes"]) == (False, {}), done
        assert "tcp/80 (x.example.org) answers 200 over IPv4 and 403 over IPv6" in done["comment"], done["comment"]
    assert "[::]" not in lacking.read_text()
    assert inodes == [
        each["inode"] for each in modules.service_listen.sockets()["sockets"] if each["service"] == "nginx"
    ]
    # The names that are to be published can be converged without the other.
    twice(converge, "nginx", names=["shop.example.org"])


def test_a_published_address_that_the_host_does_not_have_yet(run: Any, converge: Any) -> None:
    path = site("shop", shop(f"listen 80; listen [::]:80; listen {FOUR}:8443;"))
    run("nginx", 80)
    before = path.read_text()
    daemons.run("ip", "addr", "del", f"{SIX}/128", "dev", "lo")
    predicted = converge("nginx", test=True, protocols={8443: "http"}, **PILLAR)
    assert predicted["result"] is None, predicted["comment"]
    done = converge("nginx", protocols={8443: "http"}, **PILLAR)
    assert done["result"] is False
    assert f"this host does not have {SIX}" in done["comment"], done["comment"]
    assert path.read_text() == before


def test_a_service_for_a_private_network_is_not_opened(run: Any, converge: Any) -> None:
    """Behind NAT: the address of a bridge is none by which others come."""
    for line in ("link add docker0 type veth", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up"):
        daemons.run("ip", *line.split())
    for line in ("addr del 192.0.2.10/32 dev lo", "link add eth0 type veth", "addr add 10.0.0.5/24 dev eth0"):
        daemons.run("ip", *line.split())
    daemons.run("ip", "link", "set", "eth0", "up")
    daemons.run("ip", "route", "add", "default", "via", "10.0.0.1")
    try:
        path = site("inner", shop("listen 172.17.0.1:9000;"))
        run("nginx", 80)
        done = converge("nginx", **PILLAR)
        assert done["result"] is True and str(path) not in done["changes"], done["comment"]
        assert "[" not in path.read_text().partition("listen")[2].partition(";")[0]
    finally:
        for name in ("docker0", "eth0"):
            daemons.run("ip", "link", "del", name)


def test_a_port_that_refuses_everybody_alike_is_no_fault(run: Any, converge: Any, modules: Any) -> None:
    """nginx's `return 444` closes the connection without a word."""
    pem = certificate("shop.example.org")
    (SITES / "default").unlink()
    site("closed", "server { listen 80 default_server; listen [::]:80 default_server; return 444; }\n")
    tls = f"ssl_certificate {pem}; ssl_certificate_key {pem};"
    site("shop", shop("listen 443 ssl; listen [::]:443 ssl;", tls))
    run("nginx", 443)
    done = converge("nginx", **PILLAR)
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]
    assert "tcp/80 answers in neither family" in done["comment"]
    assert modules.service_listen.answering("nginx")["result"] is True


def test_a_port_of_its_own_is_judged_by_what_is_spoken_there(run: Any, converge: Any, modules: Any) -> None:
    site(
        "odd",
        "server { listen 8080; server_name x.example.org; return 200 fine; }\n"
        "server { listen [::]:8080; server_name x.example.org; return 502; }\n",
    )
    run("nginx", 8080)
    done = converge("nginx", names=["x.example.org"], **PILLAR)
    assert done["result"] is False and "answers 200 over IPv4 and 502 over IPv6" in done["comment"], done["comment"]
    assert modules.service_listen.answering("nginx", names=["x.example.org"])["result"] is False


def test_what_cannot_be_given_ipv6_fails_with_its_line(run: Any, converge: Any) -> None:
    """Nobody has said which IPv6 address is published, and the host has none."""
    path = Path("/etc/apache2/sites-enabled/shop.conf")
    path.write_text(f"<VirtualHost {FOUR}:80>\n  ServerName shop.example.org\n</VirtualHost>\n")
    daemons.run("ip", "addr", "del", f"{SIX}/128", "dev", "lo")
    run("apache2", 80)
    for test in (True, False):
        done = converge("apache2", names=["shop.example.org"], test=test)
        assert (done["result"], done["changes"]) == (False, {}), done["comment"]
        assert f"apache2: {path}:1: " in done["comment"], done["comment"]


def test_lists_of_clients_are_told_and_not_widened(run: Any, converge: Any) -> None:
    path = site("shop", shop("listen 80; listen [::]:80;", "deny 203.0.113.0/24;"))
    run("nginx", 80)
    done = converge("nginx", names=["shop.example.org"], **PILLAR)
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]
    assert f"{path}:1:" in done["comment"] and "IPv4 only" in done["comment"], done["comment"]


def test_the_report_says_no_more_of_a_port_that_refuses_everybody_alike(run: Any, modules: Any) -> None:
    pem = certificate("shop.example.org")
    (SITES / "default").unlink()
    site("closed", "server { listen 80 default_server; listen [::]:80 default_server; return 444; }\n")
    site("shop", shop("listen 443 ssl; listen [::]:443 ssl;", f"ssl_certificate {pem}; ssl_certificate_key {pem};"))
    run("nginx", 443)
    found = modules.ipv6.report(as_data=True)
    (closed,) = [each for each in found["services"] if each["port"] == 80]
    assert all("answering" not in closed[family] for family in ("ipv4", "ipv6")), "not known is neither yes nor no"
    (open_,) = [each for each in found["services"] if each["port"] == 443]
    assert open_["ipv4"]["answering"] is open_["ipv6"]["answering"] is True
    assert not [each for each in found["problems"] if each["of"] == "nginx"], found["problems"]


def test_a_host_that_cannot_be_asked_over_ipv6_is_left_alone(run: Any, converge: Any) -> None:
    postfix("inet_protocols = ipv4", "mynetworks = 127.0.0.0/8 [::1]/128")
    run("postfix", 25)
    before = Path("/etc/postfix/main.cf").read_text()
    flag = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")
    flag.write_text("1")
    try:
        done = converge("postfix", ports=[25])
    finally:
        flag.write_text("0")
        daemons.run("ip", "addr", "add", f"{SIX}/128", "dev", "lo", check=False)
    assert (done["result"], done["changes"]) == (False, {})
    assert "this host has no IPv6 address, not even ::1" in done["comment"], done["comment"]
    assert Path("/etc/postfix/main.cf").read_text() == before
