"""unbound, stunnel, coturn, Murmur: what their plug-ins say of them is true, and IPv4-only ones become dual-stack."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import _dualstack_service_verdict as service_verdict
import pytest

from . import daemons

FOUR, SIX = "192.0.2.10", "2001:db8::10"
SITE = {"names": [], "addresses": {"ipv4": [FOUR], "ipv6": [SIX]}}
CERTIFICATE = "/etc/ssl/more-daemons.pem"


class Daemon(NamedTuple):
    """What a test needs to know of a service."""

    path: str  # the file that is written
    before: str  # what stands in it above the lines of a test
    behind: str
    ipv4_only: str
    single: str  # on a single address
    ports: list[int]
    folders: list[str]  # that a test may change


STUNNEL = f"pid = /run/stunnel4/site.pid\ncert = {CERTIFICATE}\n"
DAEMONS = {
    "unbound": Daemon(
        "/etc/unbound/unbound.conf.d/site.conf",
        "server:\n",
        "",
        "    interface: 0.0.0.0  # northwind\n    interface: ::1\n    do-ip6: no\n",
        f"    interface: {FOUR}\n",
        [53],
        ["/etc/unbound"],
    ),
    "stunnel4": Daemon(
        "/etc/stunnel/site.conf",
        STUNNEL,
        "",
        "[imaps]\naccept = 993\nexec = /bin/cat\n[https]\naccept  = 0.0.0.0:443\nexec = /bin/cat\n",
        f"[https]\naccept = {FOUR}:443\nexec = /bin/cat\n",
        [443, 993],
        ["/etc/stunnel"],
    ),
    "coturn": Daemon(
        "/etc/turnserver.conf",
        "syslog\nno-rfc5780\nuse-auth-secret\nstatic-auth-secret=northwind\n",
        "",
        "listening-ip=0.0.0.0\n",
        f"listening-ip={FOUR}\n",
        [3478],
        ["/etc/turnserver.conf", "/etc/default/coturn"],
    ),
    "murmur": Daemon(
        "/etc/mumble-server.ini",
        (
            "database=/var/lib/mumble-server/mumble-server.sqlite\nlogfile=/var/log/mumble-server/mumble-server.log\n"
            "pidfile=/run/mumble-server/mumble-server.pid\nserverpassword=northwind\n"
        ),
        "[Ice]\nIce.Warn.UnknownProperties=1\n",
        "host=0.0.0.0\n",
        f"host={FOUR}\n",
        [64738],
        ["/etc/mumble-server.ini"],
    ),
}
INIT = {"murmur": "mumble-server"}


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    """A certificate; addresses; and what Debian asks to be enabled."""
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=server.example.org"]
    daemons.run(*key, "-keyout", CERTIFICATE, "-out", f"{CERTIFICATE}.crt")
    with open(CERTIFICATE, "a", encoding="ascii") as whole:
        whole.write(Path(f"{CERTIFICATE}.crt").read_text())
    os.chmod(CERTIFICATE, 0o644)  # coturn has no privileges when it reads it
    daemons.run("ip", "address", "add", f"{FOUR}/32", "dev", "lo")
    daemons.run("ip", "address", "add", f"{SIX}/128", "dev", "lo")
    # coturn's PID file is in a folder that is root's; without it, Debian's script waits for 30 s at each stop.
    mode = os.stat("/run").st_mode
    os.chmod("/run", 0o1777)
    yield
    os.chmod("/run", mode)
    daemons.run("ip", "address", "del", f"{FOUR}/32", "dev", "lo")
    daemons.run("ip", "address", "del", f"{SIX}/128", "dev", "lo")


@pytest.fixture
def running(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Configure a service with some lines, and start it."""

    def start(name: str, lines: str, *ports: int) -> None:
        daemon = DAEMONS[name]
        request.addfinalizer(lambda: _restore(*daemon.folders))
        request.addfinalizer(lambda: daemons.stop(INIT.get(name, name), *ports))
        if name == "coturn":
            Path("/etc/default/coturn").write_text("TURNSERVER_ENABLED=1\n")
        write(name, lines)
        daemons.start(INIT.get(name, name))

    return start


def write(name: str, lines: str) -> None:
    """Change the lines of a test, and nothing else: the file keeps its owner."""
    daemon = DAEMONS[name]
    Path(daemon.path).write_text(f"{daemon.before}{lines}{daemon.behind}")


def _restore(*paths: str) -> None:
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path)
        daemons.run("cp", "-a", f"{daemons.ROOT}{path}", path)


def service(modules: Any, name: str) -> service_host.Daemon:
    return service_host.daemon(plugins.services(modules), name)


def check(own: service_host.Daemon) -> None:
    """Its own checker, if it has one, accepts its files."""
    if own.about["check"]:
        daemons.run(*own.about["check"])


def sockets(modules: Any, name: str) -> set[tuple[Any, ...]]:
    """What a service listens on, by the kernel's own tables."""
    return {
        (each["transport"], each["port"], each["address"], *each["families"])
        for each in modules.service_listen.sockets()["sockets"]
        if each["service"] == name
    }


def written(modules: Any, name: str, bindv6only: int) -> set[tuple[Any, ...]]:
    """What its plug-in says that it listens on."""
    own = service(modules, name)
    return {
        (each["transport"], each["port"], each["address"], *service_verdict.served([each], bindv6only))
        for each in service_host.listeners(own, service_host.configuration(own))
    }


def open_on(address: str, port: int) -> bool:
    """Whether a port opens within some seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=3):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("name", DAEMONS)
def test_a_service_for_ipv4_only_answers_on_both_families(name: str, running: Any, converge: Any, modules: Any) -> None:
    daemon, init = DAEMONS[name], INIT.get(name, name)
    ports = daemon.ports
    given = {"ports": ports, "timeout": 60}
    running(name, daemon.ipv4_only, *ports)
    daemons.wait_for(*ports)
    assert [daemons.families(port) for port in ports] == [["ipv4"]] * len(ports)
    before = Path(daemon.path).read_text()

    predicted = converge(name, test=True, **given)
    assert predicted["result"] is None, predicted["comment"]
    assert Path(daemon.path).read_text() == before
    assert [daemons.families(port) for port in ports] == [["ipv4"]] * len(ports)

    done = converge(name, **given)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    assert "northwind" not in repr((predicted, done))
    assert "***" not in done["changes"][daemon.path].replace("# ***", "")
    assert [daemons.families(port) for port in ports] == [["ipv4", "ipv6"]] * len(ports)
    assert all(each["answers"] for each in modules.service_listen.probe(name, ports))
    again = converge(name, **given)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]

    # What a user undoes is done again.
    write(name, daemon.ipv4_only)
    daemons.run("service", init, "restart")
    daemons.wait_for(*ports)
    assert [daemons.families(port) for port in ports] == [["ipv4"]] * len(ports)
    done = converge(name, **given)
    assert list(done["changes"]) == [daemon.path, "listening"], done["comment"]
    assert [daemons.families(port) for port in ports] == [["ipv4", "ipv6"]] * len(ports)


@pytest.mark.parametrize("name", DAEMONS)
def test_it_does_so_whatever_the_kernels_default_is(name: str, running: Any, modules: Any) -> None:
    """What was written for one value serves both families with the other one."""
    daemon, init = DAEMONS[name], INIT.get(name, name)
    running(name, daemon.ipv4_only, *daemon.ports)
    daemons.wait_for(*daemon.ports)
    for value in (1, 0):
        write(name, daemon.ipv4_only)
        own = service(modules, name)
        done = service_host.dual_stack(own, service_host.configuration(own), {}, value)
        assert done["bindv6only"] is None
        Path(daemon.path).write_text(done["files"][daemon.path])
        daemons.bindv6only(1 - value)
        daemons.run("service", init, "restart")
        daemons.wait_for(*daemon.ports)
        daemons.wait_for(*daemon.ports, family="ipv6")


# Configurations, and on which ports each listens.
READ = {
    "unbound": [
        "",
        "    interface: 0.0.0.0\n    interface: ::0@5353\n",
        "    interface: ::0\n    do-ip6: no\n    interface: 0.0.0.0\n    port: 54\n    do-udp: no\n",
        f"    interface: {FOUR}\n    interface: {SIX}\n    interface: ::0@5353\n",
        "    interface-automatic: yes\n    interface: 127.0.0.1\n",
        "    interface: 0.0.0.0\n    interface: ::0\n    interface: ::1\n",
    ],
    "stunnel4": [
        "[a]\naccept = 443\nexec = /bin/cat\n",
        "[a]\naccept = :::443\nexec = /bin/cat\n",
        "[a]\nsocket = a:IPV6_V6ONLY=no\naccept = 443\nexec = /bin/cat\n",
        "[a]\nsocket = a:IPV6_V6ONLY=yes\naccept = :::443\nexec = /bin/cat\n"
        "[b]\naccept = 0.0.0.0:443\nexec = /bin/cat\n",
        f"[a]\naccept = {FOUR}:443\naccept = {SIX}:443\naccept = 127.0.0.1:444\nexec = /bin/cat\n",
    ],
    "coturn": [
        "listening-ip=0.0.0.0\n",
        "listening-ip ::\nno-udp\n",
        "listening-ip=0.0.0.0\nlistening-ip=::1\n",
        f'listening-ip = "{FOUR}"\nlistening-ip={SIX}\nlistening-port=3490\n',
        f"listening-ip={FOUR}\nno-tcp\ncert={CERTIFICATE}.crt\npkey={CERTIFICATE}\n",
        f"listening-ip={FOUR}\nno-udp\nno-tls\ncert={CERTIFICATE}.crt\npkey={CERTIFICATE}\n",
    ],
    "murmur": [
        "",
        "host=0.0.0.0 ::\nport=64740\n",
        'host="::" ; and nothing else\n',
        f"host={FOUR} {SIX}\n",
        f"host={FOUR}, {SIX}\n",
    ],
}


@pytest.mark.parametrize("bindv6only", [0, 1])
@pytest.mark.parametrize(("name", "lines"), [(name, lines) for name, each in READ.items() for lines in each])
def test_a_service_listens_where_its_plug_in_says(
    name: str, lines: str, bindv6only: int, running: Any, modules: Any
) -> None:
    daemons.bindv6only(bindv6only)
    running(name, lines)
    expected = written(modules, name, bindv6only)
    if lines == READ["stunnel4"][0] and bindv6only:
        expected.add(("tcp", 443, "::", "ipv6"))  # the second one that it tries
    deadline = time.monotonic() + 60
    while sockets(modules, name) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sockets(modules, name) == expected


@pytest.mark.parametrize("name", DAEMONS)
def test_a_published_address_gets_one_of_ipv6(name: str, running: Any, modules: Any) -> None:
    daemon, init = DAEMONS[name], INIT.get(name, name)
    running(name, daemon.single)
    ports = [port for port in daemon.ports if port != 993]
    own = service(modules, name)
    plan = modules[f"listen_{name}.dual_stack"](service_host.configuration(own), {}, 0, SITE)
    assert (list(plan["files"]), plan["missing"], plan["bindv6only"]) == ([daemon.path], [], None)
    Path(daemon.path).write_text(plan["files"][daemon.path])
    check(own)
    daemons.run("service", init, "restart")
    assert all(open_on(address, port) for port in ports for address in (FOUR, SIX))
    assert not any(daemons.families(port) for port in ports)
    again = modules[f"listen_{name}.dual_stack"](service_host.configuration(own), {}, 0, SITE)
    assert again["files"] == {}


def asked(address: str) -> str:
    """How unbound answers a question from this address."""
    said = daemons.run("dig", "+tries=1", "+time=2", f"@{address}", "-b", address, "localhost", "A", check=False)
    return said.partition("status: ")[2].partition(",")[0]


def test_unbound_lets_the_same_clients_in_over_ipv6(running: Any, modules: Any) -> None:
    """Both families are open already: it is the access list that knows IPv4 only."""
    lines = "    interface: 0.0.0.0\n    interface: ::0\n    access-control: 0.0.0.0/0 allow\n"
    running("unbound", lines, 53)
    assert open_on(SIX, 53)
    assert [asked(each) for each in (FOUR, SIX)] == ["NOERROR", "REFUSED"]
    own = service(modules, "unbound")
    plan = modules["listen_unbound.dual_stack"](service_host.configuration(own), {}, 0, SITE)
    path = DAEMONS["unbound"].path
    assert plan["always"] == plan["files"]
    Path(path).write_text(plan["always"][path])
    check(own)
    daemons.run("service", "unbound", "restart")
    assert open_on(SIX, 53)
    assert [asked(each) for each in (FOUR, SIX)] == ["NOERROR", "NOERROR"]


def mapped(address: str) -> int:
    """The family of the address that a STUN server tells a client: 1 or 2. RFC 5389"""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((address, 3478))
        client.send(struct.pack("!HHI", 1, 0, 0x2112A442) + bytes(12))
        answer, at = client.recv(2000), 20
    while at < len(answer):
        kind, length = struct.unpack("!HH", answer[at : at + 4])
        if kind == 0x20:
            return answer[at + 5]
        at += 4 + (length + 3) // 4 * 4
    raise AssertionError(f"no XOR-MAPPED-ADDRESS: {answer!r}")


def test_coturn_tells_clients_of_both_families_their_own_address(running: Any, modules: Any) -> None:
    """That is why `::` alone, which serves both, is not enough."""
    running("coturn", "listening-ip=::\n", 3478)
    assert open_on(FOUR, 3478)
    assert [mapped(each) for each in (FOUR, SIX)] == [2, 2]
    own = service(modules, "coturn")
    plan = service_host.dual_stack(own, service_host.configuration(own), {}, 0)
    Path("/etc/turnserver.conf").write_text(plan["files"]["/etc/turnserver.conf"])
    daemons.run("service", "coturn", "restart")
    assert open_on(FOUR, 3478)
    assert [mapped(each) for each in (FOUR, SIX)] == [1, 2]


@pytest.mark.parametrize("name", DAEMONS)
def test_the_kernels_default_harms_none_that_serves_both(name: str, running: Any, modules: Any) -> None:
    daemon = DAEMONS[name]
    running(name, daemon.ipv4_only, *daemon.ports)
    daemons.wait_for(*daemon.ports)
    own = service(modules, name)
    done = service_host.dual_stack(own, service_host.configuration(own), {}, 0)
    Path(daemon.path).write_text(done["files"][daemon.path])
    daemons.run("service", INIT.get(name, name), "restart")
    daemons.wait_for(*daemon.ports, family="ipv6")
    for value in (0, 1):
        verdict = modules.service_listen.audit(value)[name]
        assert not any(verdict[key] for key in ("loses_ipv4", "collides", "unsure")), verdict


@pytest.mark.parametrize("name", DAEMONS)
def test_a_published_address_is_served_by_the_state_as_well(
    name: str, running: Any, converge: Any, modules: Any
) -> None:
    daemon = DAEMONS[name]
    ports = [port for port in daemon.ports if f":{port}" in daemon.single or name != "stunnel4"]
    running(name, daemon.single)
    assert all(open_on(FOUR, port) for port in ports)
    given = {"ports": ports, "address": SIX, "timeout": 60}
    predicted = converge(name, test=True, **given)
    assert predicted["result"] is None, predicted["comment"]
    done = converge(name, **given)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    assert all(open_on(address, port) for port in ports for address in (FOUR, SIX))
    again = converge(name, **given)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]


def test_coturn_is_restarted_for_an_address_that_came_later(
    running: Any, converge: Any, request: pytest.FixtureRequest
) -> None:
    """By default it listens on each address that the host has when it starts: a tunnel's is not yet there."""
    four, six = "192.0.2.20", "2001:db8::20"
    request.addfinalizer(lambda: daemons.run("ip", "link", "del", "v0"))
    for words in ("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up"):
        daemons.run("ip", *words.split())
    daemons.run("ip", "address", "add", f"{four}/24", "dev", "v0")
    running("coturn", "", 3478)
    assert open_on(four, 3478)
    daemons.run("ip", "address", "add", f"{six}/64", "dev", "v0", "nodad")
    given = {"ports": [3478], "address": six, "timeout": 60}
    done = converge("coturn", **given)
    assert (done["result"], list(done["changes"])) == (True, ["listening"]), done["comment"]
    assert open_on(six, 3478)
    again = converge("coturn", **given)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]
