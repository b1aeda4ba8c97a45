"""Services on one published address of IPv4: what their plug-ins write makes the real daemons answer over IPv6, too."""

from __future__ import annotations

import contextlib
import os
import shutil
import smtplib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import pytest

from . import daemons

IPV4, IPV6 = "192.0.2.10", "2001:db8::10"
SITE = {"names": ["server.example.org"], "addresses": {"ipv4": [IPV4], "ipv6": [IPV6]}}
FOLDERS = {**daemons.FOLDERS, "prosody": ["/etc/prosody"], "ssh": ["/etc/ssh"], "vsftpd": ["/etc/vsftpd.conf"]}


@pytest.fixture(autouse=True)
def _addresses() -> Iterator[None]:
    """The host has the addresses that it publishes."""
    for address in (f"{IPV4}/32", f"{IPV6}/128"):
        daemons.run("ip", "address", "replace", address, "dev", "lo")
    yield
    for address in (f"{IPV4}/32", f"{IPV6}/128"):
        daemons.run("ip", "address", "del", address, "dev", "lo")


@pytest.fixture
def prepared(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Put a service's configuration back, and stop it, when the test is over."""

    def restore(name: str) -> None:
        for path in FOLDERS[name]:
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            daemons.run("cp", "-a", f"{daemons.ROOT}{path}", path)

    def prepare(name: str, *edits: tuple[str, str, str]) -> None:
        request.addfinalizer(lambda: restore(name))
        request.addfinalizer(lambda: stop(name))
        for path, pattern, replacement in edits:
            daemons.edit(path, pattern, replacement, 1)

    return prepare


def stop(name: str) -> None:
    """Stop a service and wait until it has let go of the addresses."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        daemons.stop(name)
    time.sleep(0.5)


def banner(address: str, port: int, ask: bytes = b"") -> bytes:
    """The first that a server says; nothing if it cannot be reached."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=10) as connection:
        connection.sendall(ask)
        return connection.recv(200)
    return b""


def wait_for(address: str, port: int, ask: bytes) -> bytes:
    deadline = time.monotonic() + 30
    while not (said := banner(address, port, ask)):
        assert time.monotonic() < deadline, f"{address} {port} is silent: {daemons.run('ss', '-ltnp')}"
        time.sleep(0.1)
    return said


def plan(modules: Any, name: str, site: dict[str, Any] | None = None) -> tuple[service_host.Daemon, dict[str, Any]]:
    """What the plug-in makes of the real files."""
    service = service_host.daemon(plugins.services(modules), name)
    files = service_host.configuration(service)
    return service, service.plugin.dual_stack(files, {}, 0, site or SITE)


def converge(modules: Any, name: str) -> dict[str, Any]:
    """Write what the plug-in makes; a second plan is empty."""
    service, found = plan(modules, name)
    for path, text in found["files"].items():
        Path(path).write_text(text)
    again = plan(modules, name)[1]
    assert (again["files"], again.get("always", {}), again["missing"]) == ({}, {}, [])
    assert service_host.check(service).error == ""
    return found


STREAM = b"<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' " + (
    b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
)
YML = "/etc/ejabberd/ejabberd.yml"
CASES: dict[str, tuple[str, list[tuple[str, str, str]], list[int], bytes]] = {
    "postfix, interfaces": (
        "postfix",
        [("/etc/postfix/main.cf", "^inet_interfaces = .*$", f"inet_interfaces = {IPV4}")],
        [25],
        b"",
    ),
    "postfix, ipv4 only": (
        "postfix",
        [
            ("/etc/postfix/main.cf", "^inet_interfaces = .*$", f"inet_interfaces = {IPV4}, 127.0.0.1"),
            ("/etc/postfix/main.cf", "^inet_protocols = .*$", "inet_protocols = ipv4"),
        ],
        [25],
        b"",
    ),
    "postfix, an entry with options": (
        "postfix",
        [
            (
                "/etc/postfix/master.cf",
                "^smtp      inet .*$",
                f"{IPV4}:smtp inet n - y - - smtpd\n  -o syslog_name=own\n# why\n  -o smtpd_banner=own",
            )
        ],
        [25],
        b"",
    ),
    "dovecot, the global list": (
        "dovecot",
        [("/etc/dovecot/dovecot.conf", r"^#listen = \*, ::$", f"listen = {IPV4}")],
        [143, 110],
        b"",
    ),
    "dovecot, a listener": (
        "dovecot",
        [
            ("/etc/dovecot/dovecot.conf", r"^#listen = \*, ::$", "listen = 127.0.0.1"),
            (
                "/etc/dovecot/conf.d/10-master.conf",
                "^  inet_listener imap {$",
                f"  inet_listener imap {{\n    address={IPV4}",
            ),
        ],
        [143],
        b"",
    ),
    "ejabberd": (
        "ejabberd",
        [(YML, r'^    ip: "::"\n    module: ejabberd_c2s$', f'    ip: "{IPV4}"\n    module: ejabberd_c2s')],
        [5222],
        STREAM,
    ),
    "prosody": (
        "prosody",
        [("/etc/prosody/prosody.cfg.lua", "^admins = ", f'interfaces = {{ "{IPV4}" }}\nadmins = ')],
        [5222],
        STREAM,
    ),
    "ssh": (
        "ssh",
        [("/etc/ssh/sshd_config", "^#ListenAddress 0.0.0.0$", f"AddressFamily inet\nListenAddress {IPV4}")],
        [22],
        b"",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_answers_on_the_published_address_of_ipv6(case: str, modules: Any, prepared: Callable[..., None]) -> None:
    name, edits, ports, ask = CASES[case]
    prepared(name, *edits)
    daemons.run("service", name, "start")
    for port in ports:
        wait_for(IPV4, port, ask)
        assert banner(IPV6, port, ask) == b""
    assert converge(modules, name)["missing"] == []
    if name == "prosody":
        stop(name)
        daemons.run("service", name, "start")
    else:
        daemons.run("service", name, "restart")
    for port in ports:
        answers = [wait_for(address, port, ask)[:3] for address in (IPV4, IPV6)]
        assert answers[0] == answers[1] != b""
        # What is not published stays closed.
        assert banner("::1", port, ask) == b""


@pytest.mark.parametrize("case", [each for each in CASES if "options" not in each])
def test_without_an_address_nothing_changes(case: str, modules: Any, prepared: Callable[..., None]) -> None:
    name, edits, _, _ = CASES[case]
    prepared(name, *edits)
    found = plan(modules, name, {"names": [], "addresses": {"ipv4": [IPV4], "ipv6": []}})[1]
    assert found["missing"]
    assert IPV6 not in str(found["files"])


HOSTS = Path("/etc/hosts")
NAMED = {
    "postfix": (
        [("/etc/postfix/main.cf", "^inet_interfaces = .*$", "inet_interfaces = $myhostname, localhost")],
        25,
        b"",
    ),
    "dovecot": ([("/etc/dovecot/dovecot.conf", r"^#listen = \*, ::$", "listen = server.example.org")], 143, b""),
    "ssh": ([("/etc/ssh/sshd_config", "^#ListenAddress 0.0.0.0$", "ListenAddress server.example.org")], 22, b""),
    "prosody": (
        [("/etc/prosody/prosody.cfg.lua", "^admins = ", 'c2s_interfaces = { "server.example.org" }\nadmins = ')],
        5222,
        STREAM,
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_host_name_that_stands_for_ipv4_is_missing(
    name: str, modules: Any, prepared: Callable[..., None], request: Any
) -> None:
    edits, port, ask = NAMED[name]
    prepared(name, *edits)
    hosts = HOSTS.read_text()
    request.addfinalizer(lambda: HOSTS.write_text(hosts))
    HOSTS.write_text(f"127.0.0.1 localhost\n{IPV4} server.example.org\n")
    if name == "postfix":
        daemons.run("postconf", "-e", "myhostname=server.example.org")
    daemons.run("service", name, "start")
    assert (wait_for(IPV4, port, ask) != b"", banner(IPV6, port, ask)) == (True, b"")
    found = plan(modules, name)[1]
    assert (found["files"], len(found["missing"])) == ({}, 1)
    assert "server.example.org`: a host name: what it stands for is not known" in found["missing"][0]["said"]


@pytest.mark.parametrize("name", [each for each in NAMED if each != "prosody"])  # which takes its first address
def test_a_host_name_is_what_its_sockets_show(
    name: str, modules: Any, prepared: Callable[..., None], request: Any
) -> None:
    edits, port, ask = NAMED[name]
    prepared(name, *edits)
    hosts = HOSTS.read_text()
    request.addfinalizer(lambda: HOSTS.write_text(hosts))
    if name == "postfix":
        daemons.run("postconf", "-e", "myhostname=server.example.org")
    results = []
    for addresses in ([IPV4, IPV6], [IPV4]):
        HOSTS.write_text("127.0.0.1 localhost\n" + "".join(f"{each} server.example.org\n" for each in addresses))
        daemons.run("service", name, "start")
        wait_for(IPV4, port, ask)
        done = modules.service_listen.dual_stack(name, ports=[port], address=IPV6, timeout=20)
        results.append(done["result"])
        done = modules.service_listen.dual_stack(name, address=IPV6, timeout=20)
        results.append((done["result"], "no TCP port" in done["comment"], "a host name" in done["comment"]))
        stop(name)
    assert results == [True, (True, False, False), False, (False, False, True)]


def test_a_postfix_for_this_host_only_stays_as_it_is(modules: Any, prepared: Callable[..., None]) -> None:
    edits = ("inet_interfaces = loopback-only", "inet_protocols = ipv4", "mynetworks = 127.0.0.0/8")
    prepared("postfix", *(("/etc/postfix/main.cf", f"^{each.split()[0]} = .*$", each) for each in edits))
    found = plan(modules, "postfix")[1]
    assert (found["files"], found["always"], found["missing"]) == ({}, {}, [])


def test_the_companion_alone_lets_a_client_of_ipv6_relay(modules: Any, prepared: Callable[..., None]) -> None:
    prepared("postfix", ("/etc/postfix/main.cf", "^mynetworks = .*$", "mynetworks = 127.0.0.0/8"))
    daemons.start("postfix", 25)

    def relays(address: str) -> bool:
        with smtplib.SMTP(address, 25, timeout=10) as server:
            return [
                server.docmd(each)[0] for each in ("EHLO x", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>")
            ][-1] == 250

    assert (relays("127.0.0.1"), relays("::1")) == (True, False)
    for path, text in plan(modules, "postfix")[1]["always"].items():
        Path(path).write_text(text)
    daemons.run("service", "postfix", "restart")
    wait_for("::1", 25, b"")
    assert (relays("127.0.0.1"), relays("::1")) == (True, True)
    assert plan(modules, "postfix")[1]["always"] == {}


def test_a_second_instance_of_postfix(modules: Any, prepared: Callable[..., None], request: Any) -> None:
    prepared("postfix", ("/etc/postfix/main.cf", "^inet_interfaces = .*$", "inet_interfaces = loopback-only"))
    daemons.run("postmulti", "-e", "init")
    daemons.run("postmulti", "-I", "postfix-out", "-e", "create")
    request.addfinalizer(lambda: shutil.rmtree("/etc/postfix-out"))
    daemons.run("postmulti", "-i", "postfix-out", "-e", "enable")
    daemons.run("postconf", "-c", "/etc/postfix-out", "-e", f"inet_interfaces={IPV4}", "master_service_disable=")
    daemons.run("postconf", "-c", "/etc/postfix-out", "-e", "authorized_submit_users=static:all")
    first = Path("/etc/postfix/main.cf").read_text()
    found = converge(modules, "postfix")
    assert list(found["files"]) == ["/etc/postfix-out/main.cf"]
    assert Path("/etc/postfix/main.cf").read_text() == first
    request.addfinalizer(lambda: daemons.run("postmulti", "-i", "postfix-out", "-p", "stop", check=False))
    daemons.run("postmulti", "-i", "postfix-out", "-p", "start")
    assert [wait_for(address, 25, b"")[:3] for address in (IPV4, IPV6)] == [b"220", b"220"]


def test_vsftpd_has_one_socket(modules: Any, prepared: Callable[..., None]) -> None:
    prepared(
        "vsftpd",
        ("/etc/vsftpd.conf", "^listen=NO$", f"listen=YES\nlisten_address={IPV4}"),
        ("/etc/vsftpd.conf", "^listen_ipv6=YES$", "listen_ipv6=NO"),
    )
    found = plan(modules, "vsftpd")[1]
    assert found["files"] == {}
    assert "vsftpd has one socket" in found["missing"][0]["said"]


# --- socket units


def test_a_drop_in_that_systemd_understands(modules: Any, request: Any) -> None:
    service = service_host.daemon(plugins.services(modules), "systemd")
    files = service_host.configuration(service)
    found = service.plugin.dual_stack(files, {"units": ["ssh.socket"]})
    ((path, text),) = found["files"].items()
    assert path == "/etc/systemd/system/ssh.socket.d/dualstack.conf" and path not in files
    request.addfinalizer(lambda: shutil.rmtree(os.path.dirname(path)))
    os.makedirs(os.path.dirname(path))
    Path(path).write_text(text)
    said = daemons.run("systemd-analyze", "verify", "--man=no", "ssh.socket", check=False)
    assert "dualstack.conf" not in said, said
    # It sees what is wrong there.
    Path(path).write_text(text.replace("[::]:22", "[::]:port"))
    assert "dualstack.conf:5: Failed to parse address value" in daemons.run(
        "systemd-analyze", "verify", "--man=no", "ssh.socket", check=False
    )
    Path(path).write_text(text)
    again = service.plugin.dual_stack(service_host.configuration(service), {"units": ["ssh.socket"]}, 1)
    assert again["files"] == {}


def test_the_sockets_of_the_drop_in_serve_both_families(modules: Any) -> None:
    unit = {"/lib/systemd/system/a.socket": {"text": "[Socket]\nListenStream=2222\n", "includes": []}}
    found = modules.listen_systemd.dual_stack(unit, {"units": ["a.socket"]})
    (text,) = found["files"].values()
    given = [
        each.partition("=")[2] for each in text.splitlines() if each.startswith("ListenStream=") and each[-1] != "="
    ]
    daemons.bindv6only(1)  # as BindIPv6Only=ipv6-only does, for which the program has no option
    words = [
        "systemd-socket-activate",
        "--accept",
        *(word for each in given for word in ("-l", each)),
        "/bin/echo",
        "hello",
    ]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as process:
        try:
            daemons.wait_for(2222)
            assert daemons.families(2222) == ["ipv4", "ipv6"]
        finally:
            process.terminate()
