"""What is known of each service: which processes are its own, what its usual ports speak, how it is checked."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import _dualstack_service_host as service_host
import _dualstack_service_owner as service_owner
import _dualstack_service_probe as service_probe
import _dualstack_service_program as service_program
import pytest

MODULES = Path(__file__).resolve().parents[2] / "_modules"
NAMES = sorted(path.stem.removeprefix("listen_") for path in MODULES.glob("listen_*.py"))
PLUGINS: dict[str, Any] = {name: importlib.import_module(f"listen_{name}") for name in NAMES}
ABOUT = {
    *("files", "processes", "executables", "users", "units", "init", "sets_v6only", "options", "check", "protocols"),
    "words",
}
WEB = {80: "http", 443: "https"}

# The configuration, the name for service(8), the checker, and whether IPV6_V6ONLY is set by the daemon in any case.
FACTS: dict[str, tuple[list[str], str, str, bool]] = {
    "apache2": (["/etc/apache2/apache2.conf"], "apache2", "apache2ctl -t", True),
    "dovecot": (["/etc/dovecot/dovecot.conf"], "dovecot", "doveconf -n", True),
    "ejabberd": (
        [
            "/etc/ejabberd/ejabberd.yml",
            "/etc/ejabberd/ejabberd.cfg",
            "/opt/ejabberd/conf/ejabberd.yml",
            "/usr/local/etc/ejabberd/ejabberd.yml",
        ],
        "ejabberd",
        "",
        False,
    ),
    "haproxy": (["/etc/haproxy/haproxy.cfg"], "haproxy", "haproxy -c -q -f /etc/haproxy/haproxy.cfg", False),
    "lighttpd": (["/etc/lighttpd/lighttpd.conf"], "lighttpd", "lighttpd -tt -f /etc/lighttpd/lighttpd.conf", False),
    "nginx": (["/etc/nginx/nginx.conf"], "nginx", "nginx -t", True),
    "postfix": (["/etc/postfix/main.cf", "/etc/postfix/master.cf"], "postfix", "postfix check", True),
    "prosody": (["/etc/prosody/prosody.cfg.lua"], "prosody", "prosodyctl check config", True),
    "ssh": (
        [
            "/etc/ssh/sshd_config",
            "/etc/systemd/system/sockets.target.wants/ssh.socket",
            "/run/systemd/generator/ssh.socket.d/addresses.conf",
        ],
        "ssh",
        "/usr/sbin/sshd -t",
        True,
    ),
    "coturn": (["/etc/turnserver.conf"], "coturn", "", True),
    "exim4": (
        [
            "/etc/exim4/exim4.conf",
            "/etc/exim4/update-exim4.conf.conf",
            "/etc/exim4/exim4.conf.localmacros",
            "/etc/exim4/exim4.conf.template",
            "/etc/exim4/conf.d/main/*",
            "/etc/exim4/conf.d/router/*",
            "/etc/exim4/conf.d/transport/*",
            "/etc/default/exim4",
        ],
        "exim4",
        "sh -c update-exim4.conf --check && exec exim4 -bV",
        True,
    ),
    "mariadb": (["/etc/my.cnf", "/etc/mysql/my.cnf"], "mariadb", "mariadbd --help --verbose", True),
    "murmur": (["/etc/mumble-server.ini"], "mumble-server", "", True),
    "named": (["/etc/bind/named.conf", "/etc/default/named"], "named", "named-checkconf", True),
    "postgresql": (
        [
            "/etc/postgresql/*/*/postgresql.conf",
            "/var/lib/postgresql/*/*/postgresql.auto.conf",
            "/etc/postgresql/*/*/pg_hba.conf",
        ],
        "postgresql",
        "",
        True,
    ),
    "stunnel4": (["/etc/stunnel/*.conf"], "stunnel4", "", False),
    "unbound": (["/etc/unbound/unbound.conf"], "unbound", "unbound-checkconf", True),
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
    "coturn": {3478: "tcp", 5349: "tls"},
    "exim4": {25: "smtp", 465: "smtps", 587: "smtp"},
    "mariadb": {3306: "mysql"},
    "murmur": {64738: "tls"},
    "named": {53: "dns", 853: "tls", 443: "tls"},
    "postgresql": {5432: "postgresql"},
    "stunnel4": {443: "tls", 465: "tls", 563: "tls", 636: "tls", 853: "tls", 990: "tls", 993: "tls", 995: "tls"},
    "unbound": {53: "dns", 853: "tls"},
    "vsftpd": {21: "ftp"},
}


# Whose processes they may be, beside root's: as they run on Debian, and nginx also as its own packages have it.
USERS = {
    "coturn": ["turnserver"],
    "exim4": ["Debian-exim"],
    "mariadb": ["mysql"],
    "murmur": ["mumble-server", "_mumble-server"],
    "named": ["bind"],
    "postgresql": ["postgres"],
    "stunnel4": ["stunnel4"],
    "unbound": ["unbound"],
    **{"apache2": ["www-data"], "ejabberd": ["ejabberd"], "haproxy": ["haproxy"], "lighttpd": ["www-data"]},
    **{"nginx": ["www-data", "nginx"], "postfix": ["postfix"], "prosody": ["prosody"]},
}


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root can change any program."""
    monkeypatch.setattr(service_program, "roots_own", lambda process: True)


def owner(command: str = "/opt/x", unit: str = "", user: int = 0) -> str:
    services = {name: service_host.daemon(PLUGINS, name) for name in PLUGINS}
    exe, *arguments = command.split()
    process = {"exe": exe, "arguments": arguments, "command": command, "unit": unit, "uids": [user, user]}
    return service_owner.owner({**process, "name": "unknown"}, services)


def test_where_each_begins_and_how_it_is_started_and_checked() -> None:
    assert {*FACTS, "systemd"} == set(NAMES)
    for name, facts in FACTS.items():
        about = PLUGINS[name].about()
        found = about["files"], about["init"], " ".join(about["check"]), about.get("sets_v6only", False)
        assert found == facts, name


def test_whose_processes_each_may_have() -> None:
    assert {name: users for name in NAMES if (users := PLUGINS[name].about()["users"])} == USERS


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
        ("/usr/bin/turnserver -c /etc/turnserver.conf --pidfile=", "coturn"),
        ("/usr/sbin/exim4 -bd -q30m", "exim4"),
        ("/usr/sbin/mariadbd", "mariadb"),
        ("/usr/sbin/mysqld --basedir=/usr", "mariadb"),
        ("/usr/sbin/murmurd -ini /etc/mumble-server.ini", "murmur"),
        ("/usr/sbin/named -f -u bind", "named"),
        ("/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main", "postgresql"),
        ("/usr/bin/stunnel4 /etc/stunnel/web.conf", "stunnel4"),
        ("/usr/sbin/unbound -d -p", "unbound"),
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
    assert owner(command, user=4_000_000_000) == "unknown"


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
        ("coturn.service", "coturn"),
        ("exim4.service", "exim4"),
        ("mariadb.service", "mariadb"),
        ("mumble-server.service", "murmur"),
        ("named.service", "named"),
        ("postgresql@15-main.service", "postgresql"),
        ("stunnel@web.service", "stunnel4"),
        ("unbound.service", "unbound"),
        ("nginx-exporter.service", "nginx-exporter"),
        ("session-1.scope", "unknown"),
    ],
)
def test_a_service_is_known_by_its_unit(unit: str, name: str) -> None:
    assert owner(unit=unit) == name
    # There may be processes of others in a unit, such as those of who has logged in.
    assert owner(unit=unit, user=4_000_000_000) == (name if name == "nginx-exporter" else "unknown")


def test_socket_units_are_found_wherever_systemd_finds_them() -> None:
    files = PLUGINS["systemd"].about()["files"]
    folders = [f"{each}/systemd/system" for each in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")]
    for folder in folders:
        assert {f"{folder}/{each}" for each in ("*.socket", "*.socket.d/*.conf", "socket.d/*.conf")} <= set(files)
