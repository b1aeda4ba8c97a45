"""What the audit says, and what then happens: predicted, and tried."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import pytest

from . import daemons

EPHEMERAL = 32768  # from here on, ports have other numbers after the next start: Erlang's distribution, pytest's own
CERTIFICATE = "/etc/test.pem"  # with its key
LOSES = {
    *("ejabberd dual", "vsftpd", "haproxy :::", "lighttpd without v6only", "systemd-socket-activate", "python"),
    *("stunnel4", "socat", "socat udp", "php-fpm", "php", "gunicorn", "perl", "node udp"),
}


def haproxy(bind: str) -> None:
    with open("/etc/haproxy/haproxy.cfg", "a", encoding="utf-8") as stream:
        stream.write(f"\nlisten web\n    mode http\n    bind {bind}\n")


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


def append(path: str, text: str) -> None:
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(text)


# Each: the service, what is done to Debian's configuration, and a port to wait for.
SERVICES: dict[str, tuple[str, Callable[[], Any], int]] = {
    "apache2": ("apache2", lambda: None, 80),
    "dovecot": ("dovecot", lambda: None, 143),
    "postfix": ("postfix", lambda: None, 25),
    "ejabberd dual": ("ejabberd", lambda: None, 5222),
    "vsftpd": ("vsftpd", lambda: None, 21),
    "nginx": ("nginx", lambda: None, 80),
    "ssh": ("ssh", lambda: None, 22),
    "prosody": ("prosody", lambda: None, 5222),
    "named": ("named", lambda: None, 53),
    "lighttpd": ("lighttpd", lambda: None, 80),
    "lighttpd without v6only": (
        "lighttpd",
        lambda: write(
            "/etc/lighttpd/lighttpd.conf",
            'server.document-root = "/var/www/html"\nserver.port = 80\nserver.bind = "[::]"\n'
            'server.set-v6only = "disable"\nserver.pid-file = "/run/lighttpd.pid"\n',
        ),
        80,
    ),
    "haproxy *": ("haproxy", lambda: haproxy("*:8000"), 8000),
    "haproxy :::": ("haproxy", lambda: haproxy(":::8000"), 8000),
    "haproxy * and :::": ("haproxy", lambda: haproxy("*:8000,:::8000"), 8000),
    "haproxy v4v6": ("haproxy", lambda: haproxy(":::8000 v4v6"), 8000),
    "postgresql": (
        "postgresql",
        lambda: append("/etc/postgresql/15/main/postgresql.conf", "\nlisten_addresses = '*'\n"),
        5432,
    ),
    "mariadb": ("mariadb", lambda: write("/etc/mysql/mariadb.conf.d/99-all.cnf", "[mysqld]\nbind-address = *\n"), 3306),
    "redis-server": (
        "redis-server",
        lambda: append("/etc/redis/redis.conf", "\nbind * -::*\nprotected-mode no\n"),
        6379,
    ),
    "memcached": ("memcached", lambda: daemons.edit("/etc/memcached.conf", "^-l .*$", ""), 11211),
}
PYTHON = (
    "import socket as s, time; a = s.socket(s.AF_INET6); a.setsockopt(s.SOL_SOCKET, s.SO_REUSEADDR, 1);"
    "a.bind(('::', 8300)); a.listen(); time.sleep(1000)"
)
PERL = (
    "my $s = IO::Socket::IP->new(LocalHost => '::', LocalPort => 8300, Listen => 5, ReuseAddr => 1) or die $@;"
    "sleep 1000"
)
TURN = ["turnserver", "-n", "-L", "::", "-p", "8300", "--no-tls", "--no-dtls", "--cli-password", "x", "--no-cli"]
SECURE = f"ca {CERTIFICATE}\ncert {CERTIFICATE}\nkey {CERTIFICATE}\ndh none\n"
OPENVPN = f"dev null\ntls-server\nifconfig-noexec\nport 8300\n{SECURE}"
UNBOUND = "interface: 0.0.0.0\n interface: ::0\n port: 8300\n username: ''\n chroot: ''\n pidfile: ''\n"
# Each: the files that it needs, its command, and its port.
PROGRAMS: dict[str, tuple[dict[str, str], list[str], str]] = {
    "node": ({}, ["node", "-e", "require('net').createServer().listen(8300)"], "tcp/8300"),
    "node http": ({}, ["node", "-e", "require('http').createServer().listen(8300, '::')"], "tcp/8300"),
    "node udp": ({}, ["node", "-e", "require('dgram').createSocket('udp6').bind(8300)"], "udp/8300"),
    "systemd-socket-activate": ({}, ["systemd-socket-activate", "--accept", "-l", "8300", "/bin/cat"], "tcp/8300"),
    "python": ({}, ["python3", "-c", PYTHON], "tcp/8300"),
    "python http.server": ({}, ["python3", "-m", "http.server", "8300"], "tcp/8300"),
    "python http.server ::": ({}, ["python3", "-m", "http.server", "--bind", "::", "8300"], "tcp/8300"),
    "caddy": ({}, ["caddy", "respond", "--listen", ":8300"], "tcp/8300"),
    "prometheus-node-exporter": ({}, ["prometheus-node-exporter", "--web.listen-address=:8300"], "tcp/8300"),
    "mumble-server": (
        {"/etc/mumble-server.ini": "port=8300\ndatabase=/var/lib/mumble-server/test.sqlite\n"},
        ["murmurd", "-fg", "-ini", "/etc/mumble-server.ini"],
        "udp/8300",
    ),
    "squid": ({"/etc/squid.test": "http_port 8300\n"}, ["squid", "-N", "-f", "/etc/squid.test"], "tcp/8300"),
    "turnserver": ({}, TURN, "udp/8300"),
    "openvpn tcp": (
        {"/etc/openvpn.test": f"{OPENVPN}proto tcp6-server\n"},
        ["openvpn", "--config", "/etc/openvpn.test"],
        "tcp/8300",
    ),
    "openvpn udp": (
        {"/etc/openvpn.test": f"{OPENVPN}proto udp6\n"},
        ["openvpn", "--config", "/etc/openvpn.test"],
        "udp/8300",
    ),
    "openvpn ipv4": (
        {"/etc/openvpn.test": f"{OPENVPN}proto tcp4-server\n"},
        ["openvpn", "--config", "/etc/openvpn.test"],
        "tcp/8300",
    ),
    "stunnel4": (
        {
            "/etc/stunnel.test": "foreground = yes\npid =\n[a]\naccept = :::8300\nconnect = 127.0.0.1:9\n"
            f"cert = {CERTIFICATE}\n"
        },
        ["stunnel4", "/etc/stunnel.test"],
        "tcp/8300",
    ),
    "socat": ({}, ["socat", "TCP6-LISTEN:8300,fork,reuseaddr", "EXEC:/bin/cat"], "tcp/8300"),
    "socat udp": ({}, ["socat", "UDP6-LISTEN:8300,fork", "EXEC:/bin/cat"], "udp/8300"),
    "php-fpm": (
        {
            "/etc/php-fpm.test": "[global]\nerror_log = /dev/null\n[www]\nuser = www-data\nlisten = [::]:8300\n"
            "pm = static\npm.max_children = 2\n"
        },
        ["php-fpm8.2", "-F", "-y", "/etc/php-fpm.test"],
        "tcp/8300",
    ),
    "php": ({}, ["php", "-S", "[::]:8300"], "tcp/8300"),
    "gunicorn": (
        {"/etc/wsgi.py": "def app(environ, start):\n    start('200 OK', [])\n    return []\n"},
        ["gunicorn", "--chdir", "/etc", "--bind", "[::]:8300", "wsgi:app"],
        "tcp/8300",
    ),
    "perl": ({}, ["perl", "-MIO::Socket::IP", "-e", PERL], "tcp/8300"),
    "chronyd": ({}, ["chronyd", "-d", "-f", "/dev/null", "allow all", "port 8300"], "udp/8300"),
    "unbound": (
        {"/etc/unbound.test": f"server:\n {UNBOUND}"},
        ["unbound", "-d", "-c", "/etc/unbound.test"],
        "udp/8300",
    ),
    "redis ::": ({}, ["redis-server", "--bind", "::", "--protected-mode", "no", "--port", "8300"], "tcp/8300"),
    "memcached udp": ({}, ["memcached", "-u", "nobody", "-p", "8300", "-U", "8300"], "udp/8300"),
    "epmd": ({}, ["epmd", "-port", "8300"], "tcp/8300"),
    "rsync": ({}, ["rsync", "--daemon", "--no-detach", "--port", "8300", "--config", "/dev/null"], "tcp/8300"),
}
ETC = (
    "apache2",
    "dovecot",
    "postfix",
    "ejabberd",
    "haproxy",
    "lighttpd",
    "postgresql",
    "mysql",
    "redis",
    "memcached.conf",
    "mumble-server.ini",
)


@pytest.fixture(autouse=True)
def _etc() -> Iterator[None]:
    """Every configuration is Debian's again."""
    yield
    for name in ETC:
        daemons.run("cp", "-a", "--remove-destination", f"{daemons.ROOT}/etc/{name}", "/etc/")
    Path("/etc/mysql/mariadb.conf.d/99-all.cnf").unlink(missing_ok=True)


def bound(port: str) -> list[str]:
    """The addresses of the sockets of a port, `tcp/PORT`, as ss(8) has them: `*` is both families in this Debian."""
    transport, _, number = port.partition("/")
    lines = daemons.run("ss", "-Hln", "-t" if transport == "tcp" else "-u").splitlines()
    locals_ = [line.split()[3].rpartition(":") for line in lines]
    return sorted({address for address, _, found in locals_ if found == number})


def settled(port: str) -> bool:
    """Whether a port is open, and stays as it is: a daemon may open its sockets one after the other."""
    found = bound(port)
    time.sleep(0.2)
    return bool(found) and bound(port) == found


@contextmanager
def started(case: str) -> Iterator[None]:
    """The daemon runs."""
    if case in PROGRAMS:
        files, words, port = PROGRAMS[case]
        for path, text in files.items():
            write(path, text)
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait(lambda: settled(port), case)
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            wait(lambda: not bound(port), f"the end of {case}")
        return
    name, _, number = SERVICES[case]
    try:
        daemons.run("service", name, "start", check=False)
        daemons.wait_for(number, family="ipv6" if daemons.answers(number, "ipv6") else "ipv4")
        wait(lambda: steady(number), case)
        yield
    finally:
        daemons.stop(name, number)


def steady(port: int) -> bool:
    """Whether a daemon has come up: some bind one family after the other."""
    first = daemons.families(port)
    time.sleep(0.3)
    return bool(first) and daemons.families(port) == first


def wait(ready: Callable[[], bool], what: str) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < deadline, f"waited for {what}: {daemons.run('ss', '-ltunp')}"
        time.sleep(0.05)


@pytest.fixture(scope="module", autouse=True)
def _certificate() -> None:
    """For those that start with none."""
    made = ("-subj", "/CN=server.example.org", "-days", "9", "-keyout", "/etc/test.key", "-out", "/etc/test.crt")
    daemons.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made)
    write(CERTIFICATE, Path("/etc/test.key").read_text() + Path("/etc/test.crt").read_text())
    daemons.run("install", "-d", "-o", "mumble-server", "/var/lib/mumble-server")


@pytest.mark.parametrize("case", [*SERVICES, *PROGRAMS])
def test_what_the_parameter_does_to_a_daemon_is_what_was_predicted(case: str, modules: Any) -> None:
    if case in SERVICES:
        SERVICES[case][1]()
    with started(case):
        before = observed(modules, 0)
        with_one = predicted(modules, 1)
    assert bool(before) == (case != "named")  # that binds each address of the host by itself
    assert PROGRAMS.get(case, ({}, [], f"tcp/{SERVICES[case][2]}" if case in SERVICES else ""))[2] in [
        *before,
        "tcp/53",
    ]
    daemons.bindv6only(1)
    with started(case):
        assert observed(modules, 1, before) == with_one
        with_zero = predicted(modules, 0, case in LOSES)
    daemons.bindv6only(0)
    with started(case):
        assert observed(modules, 0, before) == with_zero
    assert (with_one != before) == (case in LOSES)
    assert with_zero == before


def observed(modules: Any, value: int, ports: dict[str, list[str]] | None = None) -> dict[str, list[str]]:
    """Over which families connections are accepted, on the ports that the audit knows, or on these."""
    if ports is None:
        ports = judged(modules.service_listen.audit(value))
        assert {port: served(port) for port in ports} == ports
    return {port: served(port) for port in ports}


def served(port: str) -> list[str]:
    """The families that a port really serves: over UDP, nobody answers a connection."""
    if port.startswith("tcp/"):
        return daemons.families(int(port[4:]))
    families = {"*": {"ipv4", "ipv6"}, "[::]": {"ipv6"}, "0.0.0.0": {"ipv4"}}
    return sorted(set().union(*(families[each] for each in bound(port))))


def judged(audit: dict[str, Any]) -> dict[str, list[str]]:
    """The families of each port by the audit's word."""
    found: dict[str, list[str]] = {}
    for verdict in audit.values():
        for family, ports in verdict["serves"].items():
            for port in ports:
                if int(port[4:]) < EPHEMERAL:
                    found.setdefault(port, []).append(family)
    return found


def predicted(modules: Any, value: int, gains: bool = False) -> dict[str, list[str]]:
    """
    What the audit says will be after the next start. A program that it does not know may follow the kernel: what it
    then gains is not told, and known here.
    """
    audit = modules.service_listen.audit(value)
    lost = {port for verdict in audit.values() for port in verdict["loses_ipv4"] + verdict["unsure"]}
    assert not [verdict for verdict in audit.values() if verdict["collides"]]
    return {
        port: ["ipv6"] if port in lost else ["ipv4", "ipv6"] if gains and found == ["ipv6"] else found
        for port, found in judged(audit).items()
    }


def test_split_listeners_collide_without_the_parameter(modules: Any, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: daemons.restore("ejabberd"))
    daemons.bindv6only(1)
    path = Path("/etc/ejabberd/ejabberd.yml")
    files = service_host.configuration(service_host.daemon(plugins.services(modules), "ejabberd"))
    path.write_text(modules.listen_ejabberd.dual_stack(files, {}, 1)["files"][str(path)])
    daemons.start("ejabberd", 5222, 5269)
    try:
        assert modules.service_listen.audit(1)["ejabberd"]["collides"] == []
        collides = modules.service_listen.audit(0)["ejabberd"]["collides"]
        assert {"tcp/5222", "tcp/5269"} <= set(collides)
    finally:
        daemons.stop("ejabberd")
    daemons.bindv6only(0)
    daemons.run("ejabberdctl", "foreground", check=False)  # it ends at once, where the init script waits for a minute
    assert daemons.families(5222) == []
    assert "address already in use" in Path("/var/log/ejabberd/ejabberd.log").read_text()
    daemons.stop("ejabberd")


def test_the_gate_in_front_of_the_parameter(states: Any, modules: Any) -> None:
    """It names who would be harmed, unless they are excepted, or converged in the same run."""
    with started("ejabberd dual"):
        harmed = modules.service_listen.harmed(1)
        assert [each.split()[0] for each in harmed] == ["ejabberd"]
        refused = states.service_listen.unharmed("No service is harmed", bindv6only=1)
        assert refused.result is False
        assert "ejabberd would lose IPv4 on" in refused.comment
        assert (
            states.service_listen.unharmed("No service is harmed", bindv6only=1, exceptions=["ejabberd"]).result is True
        )
        split = {"ejabberd": {"ports": [5222], "listeners": "split"}}
        assert states.service_listen.unharmed("No service is harmed", bindv6only=1, services=split).result is True
        dual = {"ejabberd": {"ports": [5222], "listeners": "dual"}}
        assert states.service_listen.unharmed("No service is harmed", bindv6only=1, services=dual).result is False
        assert modules.service_listen.harmed(0) == []


def test_a_service_that_misses_a_family_is_named(ipv4_only: Any, modules: Any) -> None:
    ipv4_only("dovecot")
    verdict = modules.service_listen.audit()["dovecot"]
    assert "tcp/143" in verdict["misses"]["ipv6"]
    assert verdict["misses"]["ipv4"] == []


def test_what_is_harmed_by_a_value_that_holds_already_is_told_and_no_failure(states: Any) -> None:
    advice = "Converge them in the same run (ipv6:services), or list them in ipv6:sysctl_except."
    said = "may lose a family on tcp/8300: its program is not known to set IPV6_V6ONLY by itself"

    def gate(**given: Any) -> tuple[bool, list[str]]:
        done = states.service_listen.unharmed("No service is harmed", **given)
        assert done.changes == {}
        return done.result, done.comment.splitlines()

    with started("python"):
        result, (first, harm, last) = gate()
        assert (result, first, last) == (False, "With net.ipv6.bindv6only=1, at its next start:", advice)
        assert harm.startswith("python3") and harm.endswith(said)
        assert gate(bindv6only=0) == (True, ["no service is harmed by net.ipv6.bindv6only=0"])
        daemons.bindv6only(1, at_boot=0)
        assert gate(bindv6only=1) == (False, [first, harm, last])
        daemons.bindv6only(1)
        assert gate(bindv6only=1) == (True, [first, harm])
