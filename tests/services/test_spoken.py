"""What plug-ins say of their listeners is what the real daemons speak there, on ports that say nothing about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import _dualstack_service_probe as service_probe
import pytest

from . import daemons, test_single_addresses
from .test_same_site import certificate

prepared = test_single_addresses.prepared  # the fixture
NAME = "server.example.org"
MASTER = """
2525 inet n - y - - smtpd
2465 inet n - y - - smtpd
  -o smtpd_tls_wrappermode=yes
"""
DOVECOT = """
protocols = imap pop3
ssl = yes
ssl_cert = <{pem}
ssl_key = <{pem}
service imap-login {{
  inet_listener imap {{
    port = 1143
  }}
  inet_listener other {{
    port = 1993
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = 1110
  }}
  inet_listener pop3s {{
    port = 1995
  }}
}}
"""
YML, PROSODY = "/etc/ejabberd/ejabberd.yml", "/etc/prosody/prosody.cfg.lua"
HOSTS = 'VirtualHost "im.example.org"\nComponent "rooms.example.org" "muc"\n'
EDITS: dict[str, list[tuple[str, str, str]]] = {
    "ejabberd": [
        (YML, r"^  - localhost$", f"  - localhost\n  - {NAME}"),
        (YML, "^    port: 5222$", "    port: 15222"),
        (YML, "^    port: 5269$", "    port: 15269"),
        (YML, "^    port: 5280$", "    port: 15280"),
    ],
    "prosody": [
        (PROSODY, "^admins = ", "c2s_ports = { 15222 }\ns2s_ports = { 15269 }\nadmins = "),
        (PROSODY, r'^VirtualHost "localhost"$', f'{HOSTS}VirtualHost "localhost"'),
    ],
    "ssh": [("/etc/ssh/sshd_config", "^#Port 22$", "Port 2222")],
    "vsftpd": [("/etc/vsftpd.conf", "^listen=NO$", "listen=NO\nlisten_port=2121")],
}
FOUND = {
    "postfix": {25: "smtp", 2525: "smtp", 2465: "smtps"},
    "dovecot": {1143: "imap", 993: "imaps", 1993: "imaps", 1110: "pop3", 1995: "pop3s"},
    "ejabberd": {
        **{15222: "xmpp", 5223: "tls", 15269: "xmpp-server", 5443: "https", 15280: "https", 1883: "tcp"},
    },
    "prosody": {15222: "xmpp", 15269: "xmpp-server"},
    "ssh": {2222: "ssh"},
    "vsftpd": {2121: "ftp"},
}


def configure(name: str) -> None:
    """What is more than a few edits."""
    if name == "postfix":
        pem = certificate(NAME)
        daemons.run("postconf", "-e", f"smtpd_tls_cert_file={pem}", f"smtpd_tls_key_file={pem}")
        Path("/etc/postfix/master.cf").write_text(Path("/etc/postfix/master.cf").read_text() + MASTER)
    elif name == "dovecot":
        Path("/etc/dovecot/local.conf").write_text(DOVECOT.format(pem=certificate(NAME)))


@pytest.mark.parametrize("name", FOUND)
def test_what_is_said_is_spoken(name: str, modules: Any, prepared: Callable[..., None]) -> None:
    prepared(name, *EDITS.get(name, []))
    configure(name)
    service = service_host.daemon(plugins.services(modules), name)
    files = service_host.configuration(service)
    said = {each["port"]: each.get("protocol") for each in service_host.listeners(service, files)}
    assert {port: protocol for port, protocol in said.items() if protocol} == FOUND[name]
    daemons.start(name, *FOUND[name])
    hosts: dict[int, list[str]] = {}
    for site in service_host.sites(service, files):
        for port in site["ports"]:
            hosts.setdefault(port, []).extend(site["names"])
    asked = [
        {"address": "127.0.0.1", "port": port, "protocol": protocol, "name": host}
        for port, protocol in FOUND[name].items()
        for host in hosts.get(port, [NAME])
    ]
    silent = [each for each in service_probe.probe_all(asked) if not each["answers"]]
    assert silent == []


def test_the_hosts_of_xmpp(modules: Any, prepared: Callable[..., None]) -> None:
    found = {}
    for name in ("ejabberd", "prosody"):
        prepared(name, *EDITS[name])
        service = service_host.daemon(plugins.services(modules), name)
        found[name] = service_host.sites(service, service_host.configuration(service))
    assert found == {
        "ejabberd": [{"names": ["localhost", NAME], "ports": [15222, 5223, 15269]}],
        "prosody": [
            {"names": ["im.example.org", "localhost"], "ports": [15222, 15269]},
            {"names": ["rooms.example.org"], "ports": [15269]},
        ],
    }
