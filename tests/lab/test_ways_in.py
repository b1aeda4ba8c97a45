"""How the formula gets to a host: synced by itself, from a master, over ssh; and how it brings what the host lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import REPOSITORY, Salt
from .network import PUBLISHED, reaches, run

ROOTS = {"base": [str(REPOSITORY / "salt"), str(REPOSITORY)]}


def test_a_minion_that_never_synced(salt: Salt) -> None:
    salt.configure(file_roots=ROOTS, module_dirs=[])
    done = salt.call("state.apply", "ipv6")
    assert {each["result"] for each in done.values()} == {True}, done
    assert reaches("client6", PUBLISHED)
    assert list(salt.folder.rglob("extmods/modules/he_tunnel.py"))
    again = salt.call("state.apply", "ipv6")
    assert [each["changes"] for each in again.values()] == [{}] * len(again)


def test_an_upgrade_of_the_modules_is_used_at_once(salt: Salt, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for folder in ("salt", "_modules", "_states"):
        shutil.copytree(REPOSITORY / folder, copy / folder)
    salt.configure(file_roots={"base": [str(copy / "salt"), str(copy)]}, module_dirs=[])
    assert salt.call("state.apply", "ipv6")["The tunnel is up"]["result"] is True
    module = copy / "_modules" / "tunnel_ifupdown.py"
    module.write_text(module.read_text().replace("Changes here are overwritten", "The next version"))
    changes = salt.call("state.apply", "ipv6")["The tunnel is up"]["changes"]
    assert "The next version" in str(changes)


@pytest.fixture
def without_netaddr() -> Iterator[None]:
    """Salt's Python lacks netaddr. (The environment is an overlay: nothing of the machine changes.)"""
    run(sys.executable, "-m", "pip", "uninstall", "-q", "-y", "netaddr")
    yield
    run(sys.executable, "-m", "pip", "install", "-q", "--no-index", "--find-links", os.environ["LAB_WHEELS"], "netaddr")


def test_netaddr_comes_from_pip_where_salt_brings_its_own_python(salt: Salt, without_netaddr: None) -> None:
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": os.environ["LAB_WHEELS"]}
    key = "netaddr is there for the Python that runs Salt"
    predicted = salt.call("state.apply", "ipv6.deps", "test=True", **pip)
    assert predicted[key]["result"] is None
    done = salt.call("state.apply", "ipv6.deps", **pip)
    assert done[key]["result"] is True
    assert done[key]["changes"]
    run(sys.executable, "-c", "import netaddr")
    assert salt.call("state.apply", "ipv6.deps", **pip)[key]["changes"] == {}


def test_the_tunnel_does_not_wait_for_netaddr(salt: Salt, without_netaddr: None) -> None:
    done = salt.call("state.apply", "ipv6", PIP_NO_INDEX="1")
    assert done["netaddr is there for the Python that runs Salt"]["result"] is False
    assert done["The broker answers through the tunnel"]["result"] is True


def test_netaddr_comes_from_debian_where_salt_runs_in_the_systems_python(salt: Salt) -> None:
    salt.configure(grains={"pythonexecutable": "/usr/bin/python3"})
    key = "netaddr is there for the Python that runs Salt"
    done = salt.call("state.apply", "ipv6.deps")
    assert done[key]["result"] is True, done[key]["comment"]
    assert "python3-netaddr" in done[key]["changes"]
    run("/usr/bin/python3", "-c", "import netaddr")
    assert salt.call("state.apply", "ipv6.deps")[key]["changes"] == {}


def test_ifupdown_is_installed_only_where_it_is_asked_for(salt: Salt) -> None:
    asked = salt.call("state.apply", "ipv6.deps", "pillar={ipv6: {tunnel: {stack: ifupdown}}}", "test=True")
    assert asked["ifupdown is installed"]["result"] is True
    assert "unless condition is true" in asked["ifupdown is installed"]["comment"]
    assert "ifupdown is installed" not in salt.call("state.apply", "ipv6.deps", "test=True")


def test_a_master_and_a_minion_that_never_synced(salt_factories: Any, salt: Salt) -> None:
    master = salt_factories.salt_master_daemon(
        "master",
        defaults={"fileserver_list_cache_time": 0},
        overrides={"file_roots": ROOTS, "pillar_roots": {"base": [str(salt.pillar)]}, "open_mode": True},
    )
    with master.started(start_timeout=300):
        minion = master.salt_minion_daemon("minion-1", overrides={"start_event_grains": []})
        with minion.started(start_timeout=300):
            salt_cli = master.salt_cli(timeout=300)
            done = salt.results(salt_cli.run("state.apply", "ipv6", minion_tgt="minion-1").data)
            assert {each["result"] for each in done.values()} == {True}, done
            assert reaches("client6", PUBLISHED)
            again = salt.results(salt_cli.run("state.apply", "ipv6", minion_tgt="minion-1").data)
            assert [each["changes"] for each in again.values()] == [{}] * len(again)
            status = salt_cli.run("he_tunnel.status", minion_tgt="minion-1").data
            assert status["in_sync"] is True


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
    assert done["netaddr is there for the Python that runs Salt"]["name"] == "python3-netaddr"
    assert reaches("client6", PUBLISHED)
    again = salt.results(salt.command("salt-ssh", *words)["server"])
    assert [each["changes"] for each in again.values()] == [{}] * len(again)
