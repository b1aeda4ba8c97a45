"""How the formula and a tunnel get to a host over ssh. Other ways in: test_master.py, tests/integration."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .conftest import REPOSITORY, Salt
from .network import PUBLISHED, reaches, run

ROOTS = {"base": [str(REPOSITORY / "salt"), str(REPOSITORY)]}


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Path]:
    """A real sshd on the server, and the private key that it lets in."""
    key = tmp_path / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    authorized = tmp_path / "authorized_keys"
    authorized.write_text((tmp_path / "key.pub").read_text())
    config = tmp_path / "sshd_config"
    config.write_text(
        "ListenAddress 127.0.0.1:22\nPermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {authorized}\nSubsystem sftp internal-sftp\nPidFile {tmp_path}/pid\n"
    )
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)])
    yield key
    server.terminate()
    server.wait()


def test_salt_ssh_to_a_host_with_nothing_but_python(salt: Salt, sshd: Path) -> None:
    options = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={salt.folder}/known_hosts"]
    roster = {
        "server": {"host": "127.0.0.1", "user": "root", "priv": str(sshd), "ssh_options": options}
        | {"set_path": "/usr/sbin:/usr/bin:/sbin:/bin", "timeout": 120}
    }
    (salt.folder / "roster").write_text(yaml.safe_dump(roster))
    master = yaml.safe_load((salt.folder / "minion").read_text())
    del master["module_dirs"], master["file_client"], master["id"]
    master.update(file_roots=ROOTS, cachedir=str(salt.folder / "cache"), ssh_log_file=str(salt.folder / "ssh.log"))
    (salt.folder / "master").write_text(yaml.safe_dump(master))
    words = ("--roster-file", str(salt.folder / "roster"), "server", "state.apply", "ipv6")
    done = salt.results(salt.command("salt-ssh", *words)["server"])
    assert {each["result"] for each in done.values()} == {True}, done
    assert "python3-netaddr" in done["netaddr is there for the Python that runs Salt"]["changes"]
    assert reaches("client6", PUBLISHED)
    again = salt.results(salt.command("salt-ssh", *words)["server"])
    assert [each["changes"] for each in again.values()] == [{}] * len(again)
