"""What the host lacks is installed; what is there stays as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..firewall import netfilter
from ..lab.conftest import Salt
from ..lab.network import run

TOOLS = "The firewall's tools are installed"


def installed(package: str) -> bool:
    """Whether Debian has a package installed."""
    return Path(f"/var/lib/dpkg/info/{package}.list").exists()


def test_what_lives_is_not_saved_by_the_installation_of_the_tools(salt: Salt) -> None:
    run("dpkg", "--purge", "iptables-persistent")
    subprocess.run("echo PURGE | debconf-communicate iptables-persistent", shell=True, check=True)
    netfilter.run("iptables", "-A", "INPUT", "-s", "192.0.2.77", "-j", "DROP")

    predicted = salt.call("state.apply", "ipv6.deps", "test=True")
    assert predicted[TOOLS]["result"] is None
    assert not installed("iptables-persistent")

    done = salt.call("state.apply", "ipv6.deps")[TOOLS]
    assert done["result"] is True, done["comment"]
    assert "iptables-persistent" in done["changes"]
    assert installed("iptables-persistent")
    assert [path for path in Path("/etc/iptables").glob("*") if "192.0.2.77" in path.read_text()] == []
    assert salt.call("state.apply", "ipv6.deps")[TOOLS]["changes"] == {}


def test_what_cannot_be_installed_is_said(states: Any) -> None:
    refused = states.ipv6_deps.provided("No such package", packages=["no-such-package"])
    assert refused.result is False
    assert "no-such-package" in refused.comment


def test_what_is_installed_and_does_not_do_is_said(states: Any) -> None:
    """The packages are there, and the command fails nevertheless."""
    refused = states.ipv6_deps.provided("It works", proof=["test", "-e", "/nowhere"], packages=["iptables"])
    assert refused.result is False
    assert "'test -e /nowhere' ended with 1" in refused.comment


@pytest.mark.parametrize("proof", [["test", "-e", "/"], ["/usr/bin/python3", "-c", "import json"]])
def test_what_is_there_is_not_installed(states: Any, proof: list[str]) -> None:
    there = states.ipv6_deps.provided("It works", proof=proof, packages=["no-such-package"])
    assert there.result is True
    assert there.comment == f"'{' '.join(proof)}' succeeds"
    assert there.changes == {}


def test_unknown_arguments_are_named(states: Any) -> None:
    refused = states.ipv6_deps.provided("It works", prof=["true"], packages=["iptables"])
    assert refused.result is False
    assert refused.comment == "unknown argument: prof"
