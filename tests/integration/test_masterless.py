"""A minion without a master: it fetches the modules by itself, and brings what the host lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..lab.conftest import Salt
from ..lab.network import run
from .conftest import REPOSITORY, assert_converges, assert_next_version, copy_repository, make_next_version

NETADDR = "netaddr is there for the Python that runs Salt"
PIP = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": os.environ.get("LAB_WHEELS", "")}  # bin/test sets it


def test_a_minion_that_never_synced(salt: Salt) -> None:
    salt.configure(file_roots={"base": [str(REPOSITORY / "salt"), str(REPOSITORY)]}, module_dirs=[])
    assert_converges(lambda sls: salt.call("state.apply", sls))
    assert list(salt.folder.rglob("extmods/modules/dualstack_iptables.py"))


def test_the_next_version_is_used_at_once(salt: Salt, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_repository(copy)
    salt.configure(file_roots={"base": [str(copy / "salt"), str(copy)]}, module_dirs=[])
    salt.call("state.apply", "ipv6")
    make_next_version(copy)
    assert_next_version(salt.call("state.apply", "ipv6"))


@pytest.fixture
def without_netaddr(tmp_path: Path) -> Iterator[None]:
    """Salt's Python lacks netaddr. Its environment is shared with others, so an overlay hides what is done to it."""
    for folder in ("upper", "work"):
        (tmp_path / folder).mkdir()
    layers = f"lowerdir={sys.prefix},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    run("mount", "-t", "overlay", "-o", layers, "overlay", sys.prefix)
    run(sys.executable, "-m", "pip", "uninstall", "-q", "-y", "netaddr")
    yield
    run("umount", "-l", sys.prefix)


def has_netaddr(python: str) -> bool:
    """Whether a Python finds netaddr."""
    return subprocess.run([python, "-c", "import netaddr"], check=False, capture_output=True).returncode == 0


def test_netaddr_comes_from_pip_where_salt_brings_its_own_python(salt: Salt, without_netaddr: None) -> None:
    assert not has_netaddr(sys.executable)
    assert salt.call("state.apply", "ipv6.deps", "test=True", **PIP)[NETADDR]["result"] is None
    done = salt.call("state.apply", "ipv6.deps", **PIP)[NETADDR]
    assert done["result"] is True, done["comment"]
    assert done["changes"]
    assert has_netaddr(sys.executable)
    assert salt.call("state.apply", "ipv6.deps", **PIP)[NETADDR]["changes"] == {}


def test_the_firewall_does_not_wait_for_netaddr(salt: Salt, without_netaddr: None) -> None:
    done = salt.call("state.apply", "ipv6", PIP_NO_INDEX="1")
    assert done[NETADDR]["result"] is False
    assert done["The firewall is up"]["result"] is True
    assert done["IPv6 is proven"]["result"] is True


def test_netaddr_comes_from_debian_where_salt_runs_in_the_systems_python(salt: Salt) -> None:
    salt.configure(grains={"pythonexecutable": "/usr/bin/python3"})
    if has_netaddr("/usr/bin/python3"):  # salt-ssh has been here
        run("apt-get", "purge", "-q", "-y", "python3-netaddr")
    assert not has_netaddr("/usr/bin/python3")
    done = salt.call("state.apply", "ipv6.deps")[NETADDR]
    assert done["result"] is True, done["comment"]
    assert "python3-netaddr" in done["changes"]
    assert has_netaddr("/usr/bin/python3")
    assert salt.call("state.apply", "ipv6.deps")[NETADDR]["changes"] == {}


def test_ifupdown_is_installed_only_where_it_is_asked_for(salt: Salt) -> None:
    (salt.pillar / "ipv6.sls").write_text((REPOSITORY / "pillar.example").read_text())
    asked = salt.call("state.apply", "ipv6.deps", "pillar={ipv6: {tunnel: {stack: ifupdown}}}", "test=True")
    assert asked["ifupdown is installed"]["result"] is True
    assert asked["ifupdown is installed"]["comment"] == "installed: /sbin/ifup"
    assert "ifupdown is installed" not in salt.call("state.apply", "ipv6.deps", "test=True")
