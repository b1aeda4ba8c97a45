"""What the plug-ins of services say is spoken at each listener, whatever its port."""

from __future__ import annotations

import importlib
from typing import Any

import _dualstack_service_probe as service_probe
import pytest

POSTFIX, MASTER = "/etc/postfix/main.cf", "/etc/postfix/master.cf"
DOVECOT, SSH, VSFTPD = "/etc/dovecot/dovecot.conf", "/etc/ssh/sshd_config", "/etc/vsftpd.conf"
YML, CFG = "/etc/ejabberd/ejabberd.yml", "/etc/ejabberd/ejabberd.cfg"
PROSODY = "/etc/prosody/prosody.cfg.lua"
SMTPD = "inet n - y - - smtpd"


def spoken(name: str, texts: dict[str, str]) -> dict[int, Any]:
    """What is said of each port; each of its listeners has to say the same, but UDP nothing, if TCP says something."""
    files = {path: {"text": text, "includes": []} for path, text in texts.items()}
    result: dict[int, Any] = {}
    for each in importlib.import_module(f"listen_{name}").listeners(files):
        found = each.get("protocol")
        assert found is None or found in service_probe.protocols() and each["transport"] == "tcp"
        if each["transport"] == "tcp" or each["port"] not in result:
            assert result.setdefault(each["port"], found) == found
    return result


@pytest.mark.parametrize(
    ("main", "master", "found"),
    [
        ("", f"25 {SMTPD}\n2525 inet n - y - 1 postscreen\n", {25: "smtp", 2525: "smtp"}),
        ("", f"2525 {SMTPD}\n  -o smtpd_tls_wrappermode=yes\n", {2525: "smtps"}),
        ("", f"2525 {SMTPD} -osmtpd_tls_wrappermode=YES\n", {2525: "smtps"}),
        ("", f"2525 {SMTPD}\n  -o {{ smtpd_tls_wrappermode = yes }}\n", {2525: "smtps"}),
        ("own = yes\n", f"465 {SMTPD}\n  -o smtpd_tls_wrappermode=$own\n", {465: "smtps"}),
        ("", f"submissions {SMTPD}\n", {465: "smtp"}),
        (
            "smtpd_tls_wrappermode = yes\n",
            f"smtps {SMTPD}\n587 {SMTPD}\n  -o smtpd_tls_wrappermode=no\n",
            {465: "smtps", 587: "smtp"},
        ),
        ("smtpd_tls_wrappermode = yes\n", "25 inet n - y - 1 postscreen\n", {25: "smtp"}),
        ("", "10023 inet n n n - 0 spawn user=nobody argv=/bin/x -o smtpd_tls_wrappermode=yes\n", {10023: "tcp"}),
    ],
)
def test_postfix(main: str, master: str, found: dict[int, str]) -> None:
    assert spoken("postfix", {POSTFIX: main, MASTER: master}) == found


def login(service: str, name: str, *lines: str) -> str:
    return (
        f"service {service} {{\n  inet_listener {name} {{\n" + "".join(f"    {each}\n" for each in lines) + "  }\n}\n"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("protocols = imap pop3\n", {143: "imap", 993: "imaps", 110: "pop3", 995: "pop3s"}),
        ("protocols = imap\n" + login("imap-login", "imap", "port = 1143"), {1143: "imap", 993: "imaps"}),
        ("protocols = imap\n" + login("imap-login", "imaps", "port = 143", "ssl = no"), {143: "imap"}),
        (
            "protocols = imap\n" + login("imap-login", "other", "port = 1993", "ssl = yes"),
            {143: "imap", 993: "imaps", 1993: "imaps"},
        ),
        (
            "protocols = submission\n" + login("submission-login", "s", "port = 465", "ssl = yes"),
            {587: "smtp", 465: "smtps"},
        ),
        ("protocols = sieve lmtp\n" + login("lmtp", "lmtp", "port = 24"), {4190: "tcp", 24: "tcp"}),
        ("protocols =\n" + login("doveadm", "http", "port = 8080", "ssl = yes"), {8080: "tls"}),
    ],
)
def test_dovecot(text: str, found: dict[int, str]) -> None:
    assert spoken("dovecot", {DOVECOT: text + "service x {\n}\n"}) == found


OLD_LISTENERS = (
    '{listen, [{5222, ejabberd_c2s, [starttls]}, {5223, ejabberd_c2s, [tls, {certfile, "x"}]}, '
    "{5269, ejabberd_s2s_in, []}, {5280, ejabberd_http, [http_bind]}, {5281, ejabberd_http, [tls]}, "
    "{8888, ejabberd_service, []}, {{3478, udp}, ejabberd_stun, []}]}.\n"
)
YML_LISTENERS = """\
listen:
  - {port: 5222, module: ejabberd_c2s, starttls: true}
  - {port: 443, module: ejabberd_c2s, tls: true}
  - {port: 5269, module: ejabberd_s2s_in}
  - {port: 5280, module: ejabberd_http}
  - {port: 5443, module: ejabberd_http, tls: "true"}
  - {port: 1883, module: mod_mqtt}
  - {port: 8883, module: mod_mqtt, tls: true}
  - {port: 3478, module: ejabberd_stun, transport: udp}
"""


def test_ejabberd() -> None:
    assert spoken("ejabberd", {YML: YML_LISTENERS}) == {
        **{5222: "xmpp", 443: "tls", 5269: "xmpp-server", 5280: "http", 5443: "https", 1883: "tcp", 8883: "tls"},
        3478: None,
    }
    assert spoken("ejabberd", {CFG: OLD_LISTENERS}) == {
        **{5222: "xmpp", 5223: "tls", 5269: "xmpp-server", 5280: "http", 5281: "https", 8888: "tcp"},
        3478: None,
    }


def test_prosody() -> None:
    text = (
        'modules_enabled = { "http"; "proxy65" }\nc2s_ports = { 15222 }\nc2s_direct_tls_ports = { 15223 }\n'
        "legacy_ssl_ports = { 5223 }\ns2s_direct_tls_ports = { 5270 }\nhttp_ports = { 80 }\nhttps_ports = { 443 }\n"
        'Component "a.example.org"\n'
    )
    assert spoken("prosody", {PROSODY: text}) == {
        **{15222: "xmpp", 15223: "tls", 5223: "tls", 5269: "xmpp-server", 5270: "tls", 80: "http", 443: "https"},
        **{5347: "tcp", 5000: "tcp"},
    }


def test_ssh() -> None:
    assert spoken("ssh", {SSH: "Port 22\nPort 2222\n"}) == {22: "ssh", 2222: "ssh"}


def test_the_socket_of_ssh() -> None:
    units = {f"/lib/systemd/system/{each}.socket": f"[Socket]\nListenStream={port}\n" for each, port in UNITS.items()}
    assert spoken("systemd", units) == {2222: "ssh", 2223: "ssh", 4369: None}


UNITS = {"ssh": 2222, "sshd": 2223, "epmd": 4369}


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", "ftp"),
        ("ssl_enable=YES\n", "ftp"),
        ("implicit_ssl=YES\n", "ftp"),
        ("implicit_ssl=YES\nssl_enable=YES\n", "tls"),
    ],
)
def test_vsftpd(more: str, found: str) -> None:
    assert spoken("vsftpd", {VSFTPD: f"listen_ipv6=YES\nlisten_port=2121\n{more}"}) == {2121: found}


EXIM, NAMED, UNBOUND = "/etc/exim4/exim4.conf", "/etc/bind/named.conf", "/etc/unbound/unbound.conf"
TLS_BY_NUMBER = "daemon_smtp_ports = 25 : 465 : 2465\ntls_on_connect_ports = smtps : 2465\n"


def test_exim() -> None:
    assert spoken("exim4", {EXIM: TLS_BY_NUMBER}) == {25: "smtp", 465: "smtps", 2465: "smtps"}
    assert spoken("exim4", {EXIM: "daemon_smtp_ports = 465\n"}) == {465: "smtp"}


def test_databases() -> None:
    assert spoken("mariadb", {"/etc/mysql/my.cnf": "[mysqld]\nport = 13306\nextra_port = 13307\n"}) == {
        **{13306: "mysql", 13307: "mysql"}
    }
    main = "/etc/postgresql/15/main/postgresql.conf"
    assert spoken("postgresql", {main: "port = 15432\n"}) == {15432: "postgresql"}


def test_named() -> None:
    text = (
        "options { listen-on port 5353 { any; }; listen-on port 8853 tls own { any; };"
        " listen-on port 8443 tls own http default { any; }; listen-on port 8080 tls none http default { any; };"
        " listen-on-v6 { none; }; };"
    )
    assert spoken("named", {NAMED: text}) == {5353: "dns", 8853: "tls", 8443: "tls", 8080: "tcp"}


def test_unbound() -> None:
    interfaces = "".join(f"  interface: 0.0.0.0@{port}\n" for port in (5353, 853, 443, 8853, 8854))
    assert spoken("unbound", {UNBOUND: f"server:\n{interfaces}  port: 53\n"}) == {
        **{5353: "dns", 853: "tls", 443: "tls", 8853: "dns", 8854: "dns"}
    }
    own = "  ssl-port:8853\n  https-port: 1\n  tls-additional-port: 8854\n"
    assert spoken("unbound", {UNBOUND: f"server:\n{interfaces}{own}"}) == {
        **{5353: "dns", 853: "dns", 443: "dns", 8853: "tls", 8854: "tls"}
    }


def test_what_is_tls_on_any_port() -> None:
    assert spoken("stunnel4", {"/etc/stunnel/a.conf": "[a]\naccept = 8443\nconnect = 80\n"}) == {8443: "tls"}
    assert spoken("murmur", {"/etc/mumble-server.ini": "port=1234\n"}) == {1234: "tls"}
    text = "listening-port=1\ntls-listening-port=2\ncert=/c\npkey=/k\n"
    assert spoken("coturn", {"/etc/turnserver.conf": text}) == {1: "tcp", 2: "tls"}
