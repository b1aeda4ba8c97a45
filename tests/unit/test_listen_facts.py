"""What is known of each service: which processes are its own, what its usual ports speak, how it is checked."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import _dualstack_service_host as service_host
import _dualstack_service_probe as service_probe
import pytest

MODULES = Path(__file__).resolve().parents[2] / "_modules"
NAMES = sorted(path.stem.removeprefix("listen_") for path in MODULES.glob("listen_*.py"))
PLUGINS: dict[str, Any] = {name: importlib.import_module(f"listen_{name}") for name in NAMES}
ABOUT = {"files", "processes", "units", "init", "sets_v6only", "options", "check", "protocols", "words"}
WEB = {80: "http", 443: "https"}

# The configuration, the name for service(8), the checker, and whether IPV6_V6ONLY is set by the daemon in any case.
FACTS: dict[str, tuple[list[str], str, str, bool]] = {
    "apache2": (["/etc/apache2/apache2.conf"], "apache2", "apache2ctl -t", True),
    "dovecot": (["/etc/dovecot/dovecot.conf"], "dovecot", "doveconf -n", True),
    "ejabberd": (["/etc/ejabberd/ejabberd.yml", "/etc/ejabberd/ejabberd.cfg"], "ejabberd", "", False),
    "haproxy": (["/etc/haproxy/haproxy.cfg"], "haproxy", "haproxy -c -q -f /etc/haproxy/haproxy.cfg", False),
    "lighttpd": (["/etc/lighttpd/lighttpd.conf"], "lighttpd", "lighttpd -tt -f /etc/lighttpd/lighttpd.conf", False),
    "nginx": (["/etc/nginx/nginx.conf"], "nginx", "nginx -t", True),
    "postfix": (["/etc/postfix/main.cf", "/etc/postfix/master.cf"], "postfix", "postfix check", True),
    "prosody": (["/etc/prosody/prosody.cfg.lua"], "prosody", "prosodyctl check config", True),
    "ssh": (["/etc/ssh/sshd_config"], "ssh", "/usr/sbin/sshd -t", True),
    "vsftpd": (["/etc/vsftpd.conf"], "vsftpd", "", False),
}
PROTOCOLS: dict[str, dict[int, str]] = {
    "apache2": WEB,
    "dovecot": {
        **{24: "tcp", 110: "pop3", 143: "imap", 465: "smtps"},
        **{587: "smtp", 993: "imaps", 995: "pop3s", 4190: "tcp"},
    },
    "ejabberd": {5222: "xmpp", 5223: "tls", 5269: "xmpp-server", 5443: "https"},
    "haproxy": WEB,
    "lighttpd": WEB,
    "nginx": WEB,
    "postfix": {25: "smtp", 465: "smtps", 587: "smtp"},
    "prosody": {5222: "xmpp", 5223: "tls", 5269: "xmpp-server", 5280: "http", 5281: "https"},
    "ssh": {22: "ssh"},
    "systemd": {22: "ssh"},
    "vsftpd": {21: "ftp"},
}


def owner(command: str = "/opt/x", unit: str = "") -> str:
    services = {name: service_host.daemon(PLUGINS, name) for name in PLUGINS}
    return service_host.owner({"command": command, "unit": unit, "name": "unknown"}, services)


def test_where_each_begins_and_how_it_is_started_and_checked() -> None:
    assert {*FACTS, "systemd"} == set(NAMES)
    for name, facts in FACTS.items():
        about = PLUGINS[name].about()
        found = about["files"], about["init"], " ".join(about["check"]), about.get("sets_v6only", False)
        assert found == facts, name


def test_what_the_usual_ports_speak() -> None:
    assert {name: PLUGINS[name].about()["protocols"] for name in NAMES} == PROTOCOLS
    assert {each for spoken in PROTOCOLS.values() for each in spoken.values()} <= set(service_probe.protocols())


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/sbin/apache2 -k start", "apache2"),
        ("/usr/sbin/apache2", "apache2"),
        ("/usr/sbin/dovecot -F", "dovecot"),
        ("/usr/sbin/dovecot", "dovecot"),
        ("/usr/lib/erlang/erts-13.1.5/bin/beam.smp -K true -- -sname ejabberd@localhost", "ejabberd"),
        ("/usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid", "haproxy"),
        ("/usr/sbin/lighttpd -D -f /etc/lighttpd/lighttpd.conf", "lighttpd"),
        ("/usr/sbin/nginx -g daemon on; master_process on;", "nginx"),
        ("/usr/sbin/nginx", "nginx"),
        ("/usr/lib/postfix/sbin/master -w", "postfix"),
        ("/usr/lib/postfix/sbin/master", "postfix"),
        ("/usr/lib/postfix/master", "postfix"),
        ("/usr/libexec/postfix/master -w", "postfix"),
        ("/usr/bin/lua5.4 /usr/bin/prosody -F", "prosody"),
        ("/usr/bin/lua5.4 /usr/bin/prosody", "prosody"),
        ("/usr/sbin/sshd -D", "ssh"),
        ("/usr/sbin/sshd", "ssh"),
        ("/lib/systemd/systemd", "systemd"),
        ("/usr/lib/systemd/systemd --system --deserialize 31", "systemd"),
        ("/usr/bin/systemd-socket-activate -l 80 cat", "systemd"),
        ("/usr/sbin/vsftpd /etc/vsftpd.conf", "vsftpd"),
        ("/usr/sbin/vsftpd", "vsftpd"),
        # and what only looks like one of them
        ("/usr/sbin/dovecot-lda -f me", "unknown"),
        ("/usr/lib/erlang/erts-13.1.5/bin/beam.smp -- -sname rabbit@localhost", "unknown"),
        ("/usr/bin/lua5.4 /usr/bin/prosodyctl shell", "unknown"),
        ("/usr/bin/lua5.4 /usr/bin/other", "unknown"),
        ("/usr/sbin/vsftpd-monitor", "unknown"),
        ("/opt/salt/bin/master", "unknown"),
        ("/usr/lib/systemd/systemd-resolved", "unknown"),
    ],
)
def test_a_service_is_known_by_its_command(command: str, name: str) -> None:
    assert owner(command) == name


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("apache2.service", "apache2"),
        ("apache2@site.service", "apache2"),
        ("dovecot.service", "dovecot"),
        ("ejabberd.service", "ejabberd"),
        ("haproxy.service", "haproxy"),
        ("lighttpd.service", "lighttpd"),
        ("nginx.service", "nginx"),
        ("postfix.service", "postfix"),
        ("postfix@-.service", "postfix"),
        ("prosody.service", "prosody"),
        ("ssh.service", "ssh"),
        ("ssh@3-192.0.2.1:22-192.0.2.9:40000.service", "ssh"),
        ("sshd.service", "ssh"),
        ("ssh.socket", "systemd"),
        ("vsftpd.service", "vsftpd"),
        ("nginx-exporter.service", "nginx-exporter"),
        ("session-1.scope", "unknown"),
    ],
)
def test_a_service_is_known_by_its_unit(unit: str, name: str) -> None:
    assert owner(unit=unit) == name


def test_socket_units_are_found_wherever_systemd_finds_them() -> None:
    files = PLUGINS["systemd"].about()["files"]
    folders = [f"{each}/systemd/system" for each in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")]
    for folder in folders:
        assert {f"{folder}/{each}" for each in ("*.socket", "*.socket.d/*.conf", "socket.d/*.conf")} <= set(files)
