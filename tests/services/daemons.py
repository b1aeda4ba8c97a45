"""Debian's daemons, in the enclosure: configured, started as Debian starts them, tested."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("LAB_ROOT", "/nowhere"))
BINDV6ONLY = Path("/proc/sys/net/ipv6/bindv6only")
LOOPBACK = {"ipv4": "127.0.0.1", "ipv6": "::1"}
# Where each keeps what a test may change.
FOLDERS = {
    "apache2": ["/etc/apache2"],
    "dovecot": ["/etc/dovecot"],
    "postfix": ["/etc/postfix", "/etc/init.d/postfix"],
    "ejabberd": ["/etc/ejabberd"],
    "nginx": ["/etc/nginx"],
    "haproxy": ["/etc/haproxy"],
}


def run(*words: str, check: bool = True) -> str:
    """What a command prints. A daemon that it starts may hold its output open: that goes to a file."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=120)
        output.seek(0)
        said = output.read()
    assert not check or done.returncode == 0, f"{words} ended with {done.returncode}: {said}"
    return said


def start(name: str, *ports: int) -> None:
    """Start a service, and wait until these ports are open over IPv4."""
    run("service", name, "start")
    wait_for(*ports)


def wait_for(*ports: int, family: str = "ipv4") -> None:
    """Wait until the ports are open."""
    deadline = time.monotonic() + 30
    while not all(answers(port, family) for port in ports):
        assert time.monotonic() < deadline, f"{ports} are not open: {run('ss', '-ltnp')}"
        time.sleep(0.05)


def wait_until(holds: Callable[[], Any]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, run("ss", "-ltnp")
        time.sleep(0.2)


def stop(name: str, *ports: int) -> None:
    """Stop a service, whatever state it is in, and wait until nobody holds these ports."""
    run("service", name, "stop", check=False)
    if name == "prosody":  # Debian's init script looks for a process of Lua 5.2, and never stops the one of Lua 5.4
        os.kill(int(Path("/run/prosody/prosody.pid").read_text()), signal.SIGTERM)
    deadline = time.monotonic() + 30
    while any(answers(port, family) for port in ports for family in LOOPBACK):
        assert time.monotonic() < deadline, f"{name} does not stop: {run('ss', '-ltnp')}"
        time.sleep(0.05)


def restore(name: str) -> None:
    """The configuration is Debian's again."""
    for path in FOLDERS[name]:
        if os.path.isdir(path):
            shutil.rmtree(path)
        run("cp", "-a", f"{ROOT}{path}", path)


def answers(port: int, family: str) -> bool:
    """Whether a connection is accepted."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK[family], port), timeout=3):
        return True
    return False


def families(port: int) -> list[str]:
    """Over which families a port accepts connections."""
    return [family for family in LOOPBACK if answers(port, family)]


def edit(path: str, pattern: str, replacement: str, count: int = 0) -> None:
    """Change a file by a regular expression that has to match."""
    text = Path(path).read_text()
    new, done = re.subn(pattern, replacement, text, count=count, flags=re.MULTILINE)
    assert done, f"{pattern} is not in {path}"
    Path(path).write_text(new)


def bindv6only(value: int, at_boot: int | None = None) -> None:
    """Set the kernel's default, now and for the next boot."""
    BINDV6ONLY.write_text(str(value))
    Path("/etc/sysctl.d/local.conf").write_text(f"net.ipv6.bindv6only = {value if at_boot is None else at_boot}\n")


def only_ipv4(name: str) -> None:
    """Configure a service as it was in 2011: for IPv4 only."""
    if name == "apache2":
        edit("/etc/apache2/ports.conf", "^Listen 80$", "Listen 0.0.0.0:80")
    elif name == "dovecot":
        edit("/etc/dovecot/dovecot.conf", r"^#listen = \*, ::$", "listen = *")
    elif name == "postfix":
        run("postconf", "-e", "inet_protocols = ipv4", "mynetworks = 127.0.0.0/8")
    elif name == "ejabberd":
        edit("/etc/ejabberd/ejabberd.yml", r'^    ip: "::"\n', "")


PORTS = {"apache2": [80], "dovecot": [143, 110], "postfix": [25], "ejabberd": [5222, 5269]}
