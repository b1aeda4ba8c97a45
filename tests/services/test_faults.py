"""Whatever goes wrong, the old files are restored, and the service answers as before."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import daemons

CONF = Path("/etc/dovecot/dovecot.conf")
INIT = Path("/etc/init.d/dovecot")


@pytest.fixture(autouse=True)
def _dovecot(ipv4_only: Any) -> Iterator[None]:
    """Dovecot serves IPv4 only, and does so after each fault as well."""
    ipv4_only("dovecot")
    yield


@pytest.fixture
def refused(converge: Any) -> Any:
    """A run that fails and changes nothing; returns what it says."""

    def run(said: str, **given: Any) -> None:
        before, listening = CONF.read_bytes(), daemons.families(143)
        done = converge("dovecot", ports=[143], timeout=5, **given)
        assert done["result"] is False, done
        assert said in done["comment"]
        assert "Traceback" not in done["comment"]
        assert done["changes"] == {}
        assert CONF.read_bytes() == before
        assert not [each.name for each in CONF.parent.iterdir() if "tmp" in each.name]
        assert daemons.families(143) == listening

    return run


def test_a_syntax_error_in_the_existing_file(refused: Any, converge: Any) -> None:
    with CONF.open("a") as stream:
        stream.write("service imap-login {\n")
    refused("dovecot.conf")
    assert converge("dovecot", test=True, ports=[143])["result"] is False


def test_an_error_that_only_the_checker_knows(refused: Any) -> None:
    with CONF.open("a") as stream:
        stream.write("imap_nonsense = yes\n")
    refused("its present configuration is invalid: 'doveconf -n' ended with")


def test_a_port_that_another_process_holds(refused: Any) -> None:
    with socket.create_server(("::1", 143), family=socket.AF_INET6):
        refused("is taken by")


def login(script: str) -> None:
    """Dovecot, which runs, would start this instead of its login process the next time."""
    Path("/usr/local/bin/login").write_text(f'#!/bin/sh\n{script}\nexec /usr/lib/dovecot/imap-login "$@"\n')
    os.chmod("/usr/local/bin/login", 0o755)
    with CONF.open("a") as stream:
        stream.write("service imap-login {\n  executable = /usr/local/bin/login\n  chroot =\n}\n")


def test_a_daemon_that_listens_and_dies(refused: Any) -> None:
    # The master holds the sockets, and nobody says a word to who connects.
    login(f"! grep -q '^listen = .*::' {CONF} || exit 1")
    refused("it did not answer as it should within 5 s: tcp/143 does not answer: ")


def test_a_service_that_does_not_survive_any_restart(converge: Any) -> None:
    # What a person has left in the file since the last start is nothing that could be undone: it is said.
    login("exit 1")
    before = CONF.read_bytes()
    done = converge("dovecot", ports=[143], timeout=3)
    assert done["result"] is False
    assert "it did not answer as it should within 3 s: tcp/143 does not answer: " in done["comment"]
    assert "It could not be put back" in done["comment"]
    assert CONF.read_bytes() == before


def test_a_file_that_cannot_be_replaced(refused: Any) -> None:
    daemons.run("mount", "--bind", str(CONF), str(CONF))
    try:
        daemons.run("mount", "-o", "remount,bind,ro", str(CONF))
        refused("dovecot.conf")
    finally:
        daemons.run("umount", str(CONF))


def test_a_folder_that_is_read_only(refused: Any) -> None:
    with mounted("ro"):
        refused("its file system is mounted read-only")


def test_a_full_disk(refused: Any) -> None:
    with mounted("rw", fill=True):
        refused("No space left on device")


@contextlib.contextmanager
def mounted(mode: str, fill: bool = False) -> Iterator[None]:
    """/etc/dovecot is a small disk of its own."""
    daemons.run("cp", "-a", "/etc/dovecot", "/run/dovecot.copy")
    daemons.run("mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", "/etc/dovecot")
    try:
        daemons.run("cp", "-a", "/run/dovecot.copy/.", "/etc/dovecot")
        if fill:
            with contextlib.suppress(OSError), open("/etc/dovecot/ballast", "wb", buffering=0) as stream:
                while True:
                    stream.write(b"x" * 1024)
        daemons.run("mount", "-o", f"remount,{mode}", "/etc/dovecot")
        yield
    finally:
        daemons.run("umount", "/etc/dovecot")
        daemons.run("rm", "-r", "/run/dovecot.copy")


@pytest.mark.parametrize("when", ["before it is stopped", "after it was stopped"])
def test_a_restart_that_hangs(when: str, refused: Any) -> None:
    real = INIT.read_text()
    stops = "/etc/init.d/dovecot.real stop" if when == "after it was stopped" else ":"
    Path("/etc/init.d/dovecot.real").write_text(real)
    os.chmod("/etc/init.d/dovecot.real", 0o755)
    # It hangs once, as long as there is the new configuration.
    hang = f'[ "$1" != restart ] || ! grep -q "listen = .*::" {CONF} || {{ {stops}; sleep 1000 & wait; }}'
    INIT.write_text(f'#!/bin/sh\n{hang}\nexec /etc/init.d/dovecot.real "$@"\n')
    try:
        refused("took more than 5 s and was killed")
        assert "sleep 1000" not in daemons.run("ps", "-eo", "args")
    finally:
        INIT.write_text(real)
        os.unlink("/etc/init.d/dovecot.real")


def test_a_restart_that_fails(refused: Any) -> None:
    real = INIT.read_text()
    INIT.write_text(f'#!/bin/sh\nif grep -q "listen = .*::" {CONF}; then echo no luck today; exit 3; fi\n{real}')
    try:
        refused("no luck today")
    finally:
        INIT.write_text(real)


def test_arguments_that_nobody_knows(converge: Any) -> None:
    done = converge("dovecot", ports=[143], lissten="both")
    assert done["result"] is False
    assert "dovecot:lissten: unknown key; expected one of ports, " in done["comment"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ports": ["imap"]}, "dovecot:ports: ['imap'] is not a list of TCP ports"),
        ({"ports": []}, "dovecot:ports: [] is not a list of TCP ports"),
        (
            {"ports": [143], "protocols": {143: "gopher"}},
            "dovecot:protocols: 143: 'gopher' is not a port and its protocol",
        ),
        ({"ports": [143], "timeout": -1}, "dovecot:timeout: -1 is not a number of seconds"),
    ],
)
def test_arguments_that_are_wrong(given: dict[str, Any], said: str, converge: Any) -> None:
    done = converge("dovecot", **given)
    assert done["result"] is False
    assert said in done["comment"]


def test_a_service_that_is_not_there(converge: Any) -> None:
    assert "not a service that is known" in converge("qmail")["comment"]
    path = Path("/etc/vsftpd.conf")
    text = path.read_text()
    path.unlink()
    try:
        assert "vsftpd is not installed on this host: there is no /etc/vsftpd.conf" in converge("vsftpd")["comment"]
    finally:
        path.write_text(text)


def test_what_the_file_may_be_read_by_does_not_change(converge: Any) -> None:
    CONF.chmod(0o600)
    assert converge("dovecot", ports=[143])["result"] is True
    assert stat.S_IMODE(CONF.stat().st_mode) == 0o600
