"""The formula on a host that ufw manages: refused before anything is installed, and taken over on request."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..firewall import managers, netfilter
from ..lab.conftest import Salt
from .conftest import PILLAR

VALID, TOOLS = "The pillar ipv6 makes sense", "The firewall's tools are installed"
UP, LOADER = "The firewall is up", "What loads the rules at boot is installed"
SAVED = "The rules are saved for the next boot"
CONTROL = """Package: ufw
Version: 0.36.2-1
Architecture: all
Maintainer: nobody <nobody@example.org>
Breaks: iptables-persistent, netfilter-persistent-of-ours
Description: as Debian's, which cannot be installed beside iptables-persistent
"""
# As Debian's does before its files go.
PRERM = '#!/bin/sh -e\n[ "$1" != remove ] || [ ! -x /lib/ufw/ufw-init ] || /lib/ufw/ufw-init stop || true\n'


def installed(package: str) -> bool:
    """Whether Debian has a package installed."""
    return Path(f"/var/lib/dpkg/info/{package}.list").exists()


@pytest.fixture
def ufw(tmp_path: Path, host: None) -> Iterator[None]:
    """ufw is installed as a package, and runs; iptables-persistent is not installed."""
    netfilter.run("dpkg", "--purge", "iptables-persistent")
    subprocess.run("echo PURGE | debconf-communicate iptables-persistent", shell=True, check=True)
    package = tmp_path / "ufw"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN/control").write_text(CONTROL)
    (package / "DEBIAN/prerm").write_text(PRERM)
    (package / "DEBIAN/prerm").chmod(0o755)
    netfilter.run("dpkg-deb", "--build", str(package), str(tmp_path / "ufw.deb"))
    netfilter.run("dpkg", "--install", str(tmp_path / "ufw.deb"))
    managers.install_ufw()
    managers.enable_ufw("allow 22/tcp")
    yield
    managers.remove_ufw()
    netfilter.run("dpkg", "--purge", "ufw")
    if not installed("iptables-persistent"):
        (found,) = Path("/var/cache/apt/archives").glob("iptables-persistent_*.deb")
        netfilter.run("dpkg", "--install", str(found))


def declare(salt: Salt, **firewall: Any) -> None:
    """The pillar, with these keys of the firewall besides."""
    pillar = {"ipv6": {"firewall": {**PILLAR["ipv6"]["firewall"], **firewall}, "confirm": {"mode": "none"}}}
    (salt.pillar / "ipv6.sls").write_text(yaml.safe_dump(pillar))


def live() -> dict[str, str]:
    """The live rules."""
    return {family: netfilter.save(family, "nft") for family in netfilter.COMMANDS}


def test_a_host_that_ufw_manages_is_left_alone(ufw: None, salt: Salt) -> None:
    """Before anything is installed: that alone would remove ufw, and open the host."""
    declare(salt)
    before = live()
    for words in (["test=True"], []):
        done = salt.call("state.apply", "ipv6", *words)
        assert done[VALID]["result"] is False
        assert done[VALID]["comment"].startswith("ipv6:firewall: ufw is active (its chains are live in iptables-nft; ")
        assert {done[each]["result"] for each in (TOOLS, UP)} == {False}
        assert not any(each["changes"] for each in done.values())
    assert installed("ufw") and not installed("iptables-persistent")
    assert live() == before


def test_no_package_is_removed_for_others(ufw: None, salt: Salt, shadows: Path) -> None:
    """Where ufw stays, and where it is not even active; by what apt says before, and by what it does."""
    declare(salt, beside=["ufw"])
    before = live()
    for words in (["test=True"], []):
        done = salt.call("state.apply", "ipv6.deps", *words)[TOOLS]
        assert done["result"] is False, done
        assert done["comment"].startswith("to install iptables-persistent would remove ufw, so nothing was installed")
        assert "ipv6:firewall:take_over: [ufw]" in done["comment"]
    # An apt that does not say it before.
    (shadows / "apt-get").write_text('#!/bin/sh\n[ "$1" != -s ] || exit 100\nexec /usr/bin/apt-get "$@"\n')
    (shadows / "apt-get").chmod(0o755)
    done = salt.call("state.apply", "ipv6.deps")[TOOLS]
    assert done["result"] is False, done
    assert "remove is disabled" in done["comment"]
    assert installed("ufw") and not installed("iptables-persistent")
    assert live() == before


def test_ufw_is_taken_over_by_the_formula(ufw: None, salt: Salt) -> None:
    declare(salt, take_over=["ufw"])
    before = live()
    predicted = salt.call("state.apply", "ipv6", "test=True")
    assert {name: each["result"] for name, each in predicted.items() if each["result"] is False} == {}
    assert predicted[TOOLS]["comment"] == (
        "installed: iptables; iptables-persistent comes once ufw has been taken over"
    )
    assert [predicted[each]["result"] for each in (UP, LOADER, SAVED)] == [None, None, None]
    assert live() == before and installed("ufw") and not installed("iptables-persistent")

    shutil.rmtree("/etc/iptables", ignore_errors=True)
    done = salt.call("state.apply", "ipv6")
    assert {name: each["comment"] for name, each in done.items() if each["result"] is False} == {}
    assert list(done).index(LOADER) > list(done).index("This host can still be managed")
    assert done[UP]["changes"]["/etc/ufw/ufw.conf"] == {"old": "ENABLED=yes", "new": "ENABLED=no"}
    assert done[UP]["changes"] == predicted[UP]["changes"]
    assert done[SAVED]["changes"] == predicted[SAVED]["changes"]
    assert set(done[SAVED]["changes"]) == {"/etc/iptables/rules.v4", "/etc/iptables/rules.v6"}
    assert installed("iptables-persistent") and not installed("ufw")
    for family in netfilter.COMMANDS:
        assert "ufw" not in live()[family] and ":INPUT DROP" in live()[family]

    again = salt.call("state.apply", "ipv6")
    assert {name: each["changes"] for name, each in again.items() if each["changes"]} == {}
    assert {name: each["comment"] for name, each in again.items() if each["result"] is False} == {}
