"""What the audit says, and what then happens: predicted, and tried."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import pytest

from . import daemons

EPHEMERAL = 32768  # from here on, ports have other numbers after the next start: Erlang's distribution, pytest's own
LOSES = {"ejabberd dual", "vsftpd", "haproxy :::", "lighttpd without v6only", "systemd-socket-activate", "python"}


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
PROGRAMS = {
    "node": ["node", "-e", "require('net').createServer().listen(8300)"],
    "systemd-socket-activate": ["systemd-socket-activate", "--accept", "-l", "8300", "/bin/cat"],
    "python": [
        *("python3", "-c"),
        "import socket as s, time; a = s.socket(s.AF_INET6); a.setsockopt(s.SOL_SOCKET, s.SO_REUSEADDR, 1);"
        "a.bind(('::', 8300)); a.listen(); time.sleep(1000)",
    ],
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
)


@pytest.fixture(autouse=True)
def _etc() -> Iterator[None]:
    """Every configuration is Debian's again."""
    yield
    for name in ETC:
        daemons.run("cp", "-a", "--remove-destination", f"{daemons.ROOT}/etc/{name}", "/etc/")
    Path("/etc/mysql/mariadb.conf.d/99-all.cnf").unlink(missing_ok=True)


@contextmanager
def started(case: str) -> Iterator[None]:
    """The daemon runs."""
    if case in PROGRAMS:
        process = subprocess.Popen(PROGRAMS[case], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            daemons.wait_for(8300, family="ipv6")
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        return
    name, _, port = SERVICES[case]
    try:
        daemons.run("service", name, "start", check=False)
        daemons.wait_for(port, family="ipv6" if daemons.answers(port, "ipv6") else "ipv4")
        yield
    finally:
        daemons.stop(name, port)


@pytest.mark.parametrize("case", [*SERVICES, *PROGRAMS])
def test_what_the_parameter_does_to_a_daemon_is_what_was_predicted(case: str, modules: Any) -> None:
    if case in SERVICES:
        SERVICES[case][1]()
    with started(case):
        before = observed(modules, 0)
        with_one = predicted(modules, 1)
    assert bool(before) == (case != "named")  # that binds each address of the host by itself
    daemons.bindv6only(1)
    with started(case):
        assert observed(modules, 1, before) == with_one
        with_zero = predicted(modules, 0)
    daemons.bindv6only(0)
    with started(case):
        assert observed(modules, 0, before) == with_zero
    assert (with_one != before) == (case in LOSES)
    assert with_zero == before


def observed(modules: Any, value: int, ports: dict[int, list[str]] | None = None) -> dict[int, list[str]]:
    """Over which families connections are accepted, on the ports that the audit knows, or on these."""
    if ports is None:
        ports = judged(modules.service_listen.audit(value))
        assert {port: daemons.families(port) for port in ports} == ports
    return {port: daemons.families(port) for port in ports}


def judged(audit: dict[str, Any]) -> dict[int, list[str]]:
    """The families of each TCP port by the audit's word."""
    found: dict[int, list[str]] = {}
    for verdict in audit.values():
        for family, ports in verdict["serves"].items():
            for port in ports:
                if port.startswith("tcp/") and int(port[4:]) < EPHEMERAL:
                    found.setdefault(int(port[4:]), []).append(family)
    return found


def predicted(modules: Any, value: int) -> dict[int, list[str]]:
    """What the audit says will be after the next start. A program that it does not know may follow the kernel."""
    audit = modules.service_listen.audit(value)
    lost = {port for verdict in audit.values() for port in verdict["loses_ipv4"] + verdict["unsure"]}
    assert not [verdict for verdict in audit.values() if verdict["collides"]]
    gains = ["ipv4", "ipv6"] if value == 0 else []
    return {
        port: ["ipv6"] if f"tcp/{port}" in lost else found if found != ["ipv6"] else gains or found
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
