"""A run is confirmed by whoever comes in anew over ssh: a real sshd, its client, and salt-ssh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..lab.conftest import Salt
from ..lab.network import run
from . import native
from .conftest import PILLAR, REPOSITORY
from .test_confirm import END, FOLDER, REPORTS, settled

HOST, CLIENT = native.IPV4, "192.0.2.1"


class Client:
    """The ssh client of an administrator."""

    def __init__(self, folder: Path) -> None:
        self.key = folder / "key"
        self.options = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={folder}/known_hosts", "LogLevel=ERROR"]
        proxy = folder / "proxy"  # so that it comes from another host; salt-ssh splits options at spaces
        proxy.write_text(f"#!/bin/sh\nexec ip netns exec {native.NAMESPACE} socat - TCP:{HOST}:22\n")
        proxy.chmod(0o755)
        self.options.append(f"ProxyCommand={proxy}")

    def words(self, *words: str) -> list[str]:
        """The command that does something on the host."""
        options = [word for each in self.options for word in ("-o", each)]
        first = words[:2] if words[0] == "-o" else ()  # of several, ssh takes the first
        return ["ssh", *first, "-i", str(self.key), *options, *words[len(first) :]]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin that."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(self.words(*words), text=True, **pipes)


def returned(process: subprocess.Popen[str]) -> Any:
    """What ``salt-call`` has returned."""
    out, errors = process.communicate(timeout=150)
    print(out, errors)
    return Salt.results(json.loads(out)["local"])


@pytest.fixture
def client(host: None, tmp_path: Path) -> Iterator[Client]:
    """A real sshd on this host, and a client that it lets in."""
    found = Client(tmp_path)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(found.key))
    config = tmp_path / "sshd_config"
    config.write_text(
        f"ListenAddress 0.0.0.0:22\nPermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {found.key}.pub\nSubsystem sftp internal-sftp\nPidFile {tmp_path}/pid\n"
    )
    for each in ("ssh_host_ed25519_key",):
        if not Path("/etc/ssh", each).exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"/etc/ssh/{each}")
    with (tmp_path / "sshd.log").open("w") as log:
        server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], stderr=log)
    time.sleep(1)
    with native.host():
        yield found
    server.terminate()
    server.wait()
    for report in REPORTS:
        report.unlink(missing_ok=True)


@pytest.fixture
def call(client: Client, salt: Salt) -> list[str]:
    """The words of a masterless ``salt-call`` on the host, whose runs wait for a confirmation."""
    waits = {"confirm": {"mode": "manual", "within": 90}}
    (salt.pillar / "ipv6.sls").write_text(yaml.safe_dump({"ipv6": {**PILLAR["ipv6"], **waits}}))
    program = Path(sys.executable).parent / "salt-call"
    return [HOST, sys.executable, "-W", "ignore", str(program), "-c", str(salt.folder), "--out=json", "--local"]


def wait_until_it_waits(process: Any) -> None:
    """Until somebody may confirm it."""
    end = time.monotonic() + 90
    while not (FOLDER / "waiting").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


def test_only_a_new_connection_confirms(client: Client, call: list[str], tmp_path: Path) -> None:
    old = ("-S", str(tmp_path / "old"))
    subprocess.run(client.words("-M", *old, "-fN", HOST), check=True, stdin=subprocess.DEVNULL, timeout=20)
    try:
        process = client.start(*call, "state.apply", "ipv6")
        wait_until_it_waits(process)
        refused = returned(client.start(*old, *call, "ipv6.confirm"))
        assert refused["outcome"] == "refused"
        assert f"the connection of the ssh client {CLIENT} is older than the last change" in refused["comment"]
        confirmed(returned(client.start(*call, "ipv6.confirm")))
        end = returned(process)[END]
    finally:
        subprocess.run(client.words(*old, "-O", "exit", HOST), check=True, capture_output=True)
    assert end["result"] is True
    assert "by a new connection of the ssh client" in end["comment"] or "by a new login from" in end["comment"]
    settled(old=False)


def test_a_login_from_this_host_itself_proves_nothing(client: Client, call: list[str]) -> None:
    process = client.start(*call, "state.apply", "ipv6")
    wait_until_it_waits(process)
    refused = returned(client.start("-o", "ProxyCommand=none", *call, "ipv6.confirm"))
    assert refused["outcome"] == "refused" and f"{HOST} is this host itself" in refused["comment"], refused
    confirmed(returned(client.start(*call, "ipv6.confirm")))
    assert returned(process)[END]["result"] is True
    settled(old=False)


def confirmed(said: dict[str, Any]) -> None:
    """By what was called, or before that by the login for it, which the run may see first."""
    assert said["outcome"] == "confirmed" or "by a new login" in said["comment"], said


def test_the_clients_next_login_confirms(client: Client, call: list[str]) -> None:
    process = client.start(*call, "state.apply", "ipv6")
    wait_until_it_waits(process)
    client.start(HOST, "sleep 4").wait(timeout=30)
    end = returned(process)[END]
    assert (end["result"], f"by a new login from {CLIENT}." in end["comment"]) == (True, True), end
    settled(old=False)


def test_a_second_call_of_salt_ssh_confirms(client: Client, call: list[str], salt: Salt) -> None:
    roster = {"host": HOST, "user": "root", "priv": str(client.key), "ssh_options": client.options, "timeout": 120}
    (salt.folder / "roster").write_text(yaml.safe_dump({"server": {**roster, "set_path": os.environ["PATH"]}}))
    master = yaml.safe_load((salt.folder / "minion").read_text())
    del master["module_dirs"], master["file_client"], master["id"]
    roots = {"base": [str(REPOSITORY / "salt"), str(REPOSITORY)]}
    master.update(file_roots=roots, cachedir=str(salt.folder / "cache"), ssh_log_file=str(salt.folder / "ssh.log"))
    (salt.folder / "master").write_text(yaml.safe_dump(master))
    words = ("--roster-file", str(salt.folder / "roster"), "server")
    done: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: done.update(salt.command("salt-ssh", *words, "state.apply", "ipv6")))
    thread.start()
    end = time.monotonic() + 200
    while not (FOLDER / "waiting").exists() and time.monotonic() < end:
        assert thread.is_alive(), done
        time.sleep(0.1)
    confirmed(salt.command("salt-ssh", *words, "ipv6.confirm")["server"])
    thread.join()
    assert "by a new" in salt.results(done["server"])[END]["comment"]
    settled(old=False)
