"""Whose a port is: Debian's own daemons, and programs of nobody's that look like them."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import _dualstack_plugins as plugins
import _dualstack_service_audit as service_audit
import _dualstack_service_host as service_host
import _dualstack_service_sockets as service_sockets
import pytest

from . import daemons

NOBODY = pwd.getpwnam("nobody").pw_uid
PORT = 8300
BEAM = "/usr/lib/erlang/erts-*/bin/beam.smp"
# Each daemon, a port of its own, and the users of all processes that hold it, in both families.
DAEMONS: dict[str, tuple[int, set[str]]] = {
    "apache2": (80, {"root", "www-data"}),
    "dovecot": (143, {"root"}),
    "postfix": (25, {"root"}),
    "ejabberd": (5222, {"ejabberd"}),
    "nginx": (80, {"root", "www-data"}),
    "haproxy": (PORT, {"haproxy"}),
    "lighttpd": (80, {"www-data"}),
    "vsftpd": (21, {"root"}),
    "prosody": (5222, {"prosody"}),
    "ssh": (22, {"root"}),
    "mariadb": (3306, {"mysql"}),
    "murmur": (64738, {"mumble-server"}),
    "named": (53, {"bind"}),
    "postgresql": (5432, {"postgres"}),
    "stunnel4": (PORT, {"stunnel4"}),
    "unbound": (53, {"unbound"}),
}
# What some need to listen at all.
CONFIGURATIONS = {
    "haproxy": (
        "/etc/haproxy/haproxy.cfg",
        f"\nlisten web\n    mode http\n    bind *:{PORT}\n    bind [::]:{PORT} v6only\n",
    ),
    "stunnel4": (
        "/etc/stunnel/test.conf",
        "pid = /run/stunnel-test/pid\nsetuid = stunnel4\nsetgid = stunnel4\n"
        f"[test]\naccept = :::{PORT}\nconnect = 127.0.0.1:9\ncert = /etc/test.pem\n",
    ),
}
LISTEN = (
    "import socket as s, time; a = s.socket(s.AF_INET6); a.setsockopt(s.SOL_SOCKET, s.SO_REUSEADDR, 1);"
    f"a.bind(('::', {PORT})); a.listen(); time.sleep(1000)"
)
Serve = Callable[..., dict[str, Any]]


def on(modules: Any, port: int) -> list[dict[str, Any]]:
    """What is said of a port."""
    return [each for each in modules.service_listen.sockets()["sockets"] if each["port"] == port]


def users_of(sockets: list[dict[str, Any]]) -> set[str]:
    """The users of all processes that hold these."""
    uids = {uid for each in sockets for pid in each["pids"] for uid in service_sockets.process(pid)["uids"]}
    # Dovecot has a child of this user, once somebody has connected.
    return {pwd.getpwuid(each).pw_name for each in uids} - {"dovenull"}


@pytest.fixture
def serve(modules: Any) -> Iterator[Serve]:
    """Starts a program that listens; returns what is said of its port, with the number of its process."""
    with ExitStack() as stack:

        def start(*words: Any, user: int | None = NOBODY, port: int = PORT, **given: Any) -> dict[str, Any]:
            process = subprocess.Popen([*map(str, words)], user=user, stdin=subprocess.DEVNULL, cwd="/", **given)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            deadline = time.monotonic() + 20
            while not (found := on(modules, port)):
                assert process.poll() is None and time.monotonic() < deadline, words
                time.sleep(0.05)
            return {**found[0], "pid": process.pid}

        yield start


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of nobody's, with a program that listens."""
    path = Path("/var/lib/nobodys")
    path.mkdir()
    (path / "fake.py").write_text(LISTEN)
    (path / "nginx.py").write_text(LISTEN)
    os.chown(path, NOBODY, -1)
    yield path
    shutil.rmtree(path)


def python() -> str:
    return os.path.realpath("/usr/bin/python3")


@pytest.fixture(scope="module", autouse=True)
def _certificate() -> None:
    """For those that start with none."""
    made = ("-subj", "/CN=server.example.org", "-days", "9", "-keyout", "/etc/test.key", "-out", "/etc/test.crt")
    daemons.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made)
    daemons.run("install", "-d", "-o", "stunnel4", "/run/stunnel-test")
    Path("/etc/test.pem").write_text(Path("/etc/test.key").read_text() + Path("/etc/test.crt").read_text())


@pytest.mark.parametrize("name", DAEMONS)
def test_the_sockets_of_debians_daemons_are_theirs(name: str, modules: Any) -> None:
    port, users = DAEMONS[name]
    about = service_host.daemon(plugins.services(modules), name).about
    path, added = CONFIGURATIONS.get(name, ("/dev/null", ""))
    config = Path(path)
    text = config.read_text() if config.exists() else ""
    config.write_text(text + added)
    try:
        daemons.start(about["init"], port)
        # A worker is its own user's only some time after the port is open.
        daemons.wait_until(lambda: users_of(on(modules, port)) == users)
        sockets = on(modules, port)
    finally:
        daemons.stop(about["init"], port)
        config.write_text(text)
    assert {each["service"] for each in sockets} == {name}
    assert all(each["holder"].startswith(f"{name} (process ") for each in sockets)
    assert users <= {"root", *about["users"]}


def test_a_daemon_that_was_upgraded_while_it_runs_is_still_the_service(modules: Any) -> None:
    program = Path("/usr/sbin/nginx")
    daemons.start("nginx", 80)
    try:
        new = shutil.copy2(program, "/usr/sbin/nginx.dpkg-new")
        os.replace(new, program)
        assert all(service_sockets.process(pid)["deleted"] for each in on(modules, 80) for pid in each["pids"])
        assert {each["service"] for each in on(modules, 80)} == {"nginx"}
        program.rename("/usr/sbin/nginx.kept")
        assert {each["service"] for each in on(modules, 80)} == {"nginx"}
        Path("/usr/sbin/nginx.kept").rename(program)
    finally:
        daemons.stop("nginx", 80)


def test_a_user_that_only_a_configuration_names_has_what_root_has_opened(modules: Any) -> None:
    config = Path("/etc/lighttpd/lighttpd.conf")
    text = config.read_text()
    daemons.edit(str(config), "^server.username .*$", 'server.username = "nobody"')
    daemons.run("chown", "-R", "nobody", "/var/log/lighttpd", "/var/cache/lighttpd")
    try:
        daemons.start("lighttpd", 80)
        assert {(each["service"], each["uid"]) for each in on(modules, 80)} == {("lighttpd", 0)}
        assert "user nobody" in on(modules, 80)[0]["holder"]
    finally:
        daemons.stop("lighttpd", 80)
        daemons.run("chown", "-R", "www-data", "/var/log/lighttpd", "/var/cache/lighttpd")
        config.write_text(text)


# --------------------------------------------------------------------------------------------------------------
# What only looks like a service


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("beam.smp", ["fake.py", "ejabberd"]),
        ("beam.smp", ["fake.py", "-sname", "ejabberd@localhost"]),
        ("nginx", ["fake.py"]),
        ("nginx", ["nginx.py", "/usr/sbin/nginx"]),
        ("master", ["fake.py", "/usr/lib/postfix/sbin/master", "-w"]),
        ("apache2", ["fake.py", "/usr/sbin/apache2", "-k", "start"]),
    ],
)
def test_a_program_of_nobodys_is_no_service(folder: Path, serve: Serve, name: str, words: list[str]) -> None:
    shutil.copy(python(), folder / name)
    found = serve(folder / name, folder / words[0], *words[1:])
    expected = str(folder / name) if name in DAEMONS else name
    assert found["service"] == expected
    assert found["holder"] == f"{expected} (process {found['pid']}, user nobody)"


@pytest.mark.parametrize("user", [None, NOBODY])
def test_words_in_the_arguments_of_roots_program_are_no_service(
    folder: Path, serve: Serve, user: int | None, modules: Any
) -> None:
    found = serve(python(), folder / "fake.py", "/usr/sbin/nginx", user=user)
    assert found["service"] == os.path.basename(python())
    assert modules.service_listen.audit(1)[found["service"]]["unsure"] == [f"tcp/{PORT}"]


@pytest.mark.parametrize("argv", ["nginx: master process /usr/sbin/nginx", "/usr/sbin/sshd"])
def test_a_name_that_a_program_gives_itself_is_no_service(folder: Path, serve: Serve, argv: str) -> None:
    for own in ("nginx", "sshd", "ssh", "nginx.socket", "ssh.service"):
        # prctl(PR_SET_NAME)
        script = f"import ctypes; ctypes.CDLL(None).prctl(15, b'{own}'); {LISTEN}"
        program = subprocess.Popen([argv, "-c", script], executable=python(), user=NOBODY, stdin=subprocess.DEVNULL)
        try:
            daemons.wait_for(PORT, family="ipv6")
            found = service_sockets.process(program.pid)
            assert (found["name"], found["exe"]) == (own, python())
            assert serve("true")["service"] == (own if own in ("sshd", "ssh.service") else python())
        finally:
            program.kill()
            program.wait()


def test_the_real_program_in_the_hands_of_another_user_is_no_service(folder: Path, serve: Serve) -> None:
    """Anybody may start nginx, and Erlang, with a configuration of their own."""
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/log; events {{}}\n"
        f"http {{ access_log off; server {{ listen [::]:{PORT}; }}\n"
        + "".join(
            f"{each}_temp_path {folder}/{each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + "}\n"
    )
    found = serve("/usr/sbin/nginx", "-c", config, stderr=subprocess.DEVNULL)
    assert (found["service"], found["holder"]) == (
        "/usr/sbin/nginx",
        f"/usr/sbin/nginx (process {found['pid']}, user nobody)",
    )


def test_erlang_of_another_user_is_not_ejabberd(folder: Path, serve: Serve) -> None:
    listen = f"{{ok, _}} = gen_tcp:listen({PORT}, [inet6, {{ip, {{0,0,0,0,0,0,0,0}}}}]), timer:sleep(infinity)."
    found = serve(
        *("erl", "-noinput", "-eval", listen, "-extra", "ejabberd"),
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    assert found["service"] == "beam.smp"
    assert "ejabberd" in service_sockets.process(found["pids"][0])["command"]


def test_a_port_of_a_stranger_is_not_a_services(
    folder: Path, serve: Serve, modules: Any, states: Any, request: pytest.FixtureRequest
) -> None:
    """It is named, and nothing is changed."""
    shutil.copy(python(), folder / "nginx")
    (folder / "fake.py").write_text(LISTEN.replace(str(PORT), "8080"))
    config = Path("/etc/nginx/sites-enabled/default")
    text = config.read_text()
    request.addfinalizer(lambda: config.write_text(text))
    request.addfinalizer(lambda: daemons.stop("nginx", 80))
    daemons.start("nginx", 80)
    found = serve(folder / "nginx", folder / "fake.py", "/usr/sbin/nginx", port=8080)
    config.write_text(f"server {{ listen 8080; }}\n{text}")
    done = states.service_listen.dual_stack("nginx", ports=[8080])
    assert (done.result, done.changes) == (False, {})
    assert f"nginx: tcp/8080 on :: is taken by {folder}/nginx (process {found['pid']}" in done.comment


def test_a_child_that_has_a_socket_too_does_not_make_it_its_own(modules: Any) -> None:
    """And what is left of it when its parent has gone is not the parent's any more."""
    script = (
        f"import os, socket, subprocess, sys, time\n"
        f"a = socket.create_server(('::', {PORT}), family=socket.AF_INET6)\n"
        "child = subprocess.Popen(['/bin/sleep', '1000'], pass_fds=[a.fileno()])\n"
        "print(child.pid, flush=True); time.sleep(1000)"
    )
    parent = subprocess.Popen([python(), "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    try:
        (entry,) = on(modules, PORT)
        assert entry["pids"] == sorted([parent.pid, child])
        assert entry["holder"] == f"{entry['service']} (process {parent.pid}, user root)"
        parent.kill()
        parent.wait()
        (entry,) = on(modules, PORT)
        assert (entry["pids"], entry["service"]) == ([child], "sleep")
    finally:
        parent.kill()
        os.kill(child, signal.SIGKILL)


def test_who_may_not_see_the_program_is_told_so(modules: Any) -> None:
    """And nothing is guessed from a name."""
    daemons.start("nginx", 80)
    reading, writing = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                os.write(writing, json.dumps(service_audit.sockets(plugins.services(modules))).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as stream:
            found = json.load(stream)
        os.waitpid(child, 0)
    finally:
        daemons.stop("nginx", 80)
    assert {(each["service"], each["holder"]) for each in found["sockets"] if each["port"] == 80} == {("", "")}
    assert any("This user may not see the process behind" in each and "tcp/80" in each for each in found["unseen"])


def test_without_the_loopback_address_it_is_not_asked() -> None:
    switch = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")
    assert service_audit.loopback6() is True
    switch.write_text("1")
    try:
        assert service_audit.loopback6() is False
    finally:
        switch.write_text("0")
    assert service_audit.loopback6() is True
