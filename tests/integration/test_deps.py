"""What the host lacks is installed; what exists stays as it is."""

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


LOOKUP = {"packages": {"tunnel": ["no-such-package"], "firewall": ["iptables"], "ifupdown": "no-such-package"}}


def test_what_cannot_be_installed_is_reported(states: Any) -> None:
    refused = states.ipv6.provided("No such package", need="tunnel", lookup=LOOKUP)
    assert refused.result is False
    assert "no-such-package" in refused.comment


def test_what_is_installed_and_does_not_do_is_reported(states: Any, tmp_path: Path) -> None:
    """The package is there, and brings no command nevertheless."""
    run("mv", "/sbin/ifup", str(tmp_path))
    try:
        refused = states.ipv6.provided("It works", need="ifupdown", lookup={"packages": {"ifupdown": "ifupdown"}})
    finally:
        run("mv", str(tmp_path / "ifup"), "/sbin/ifup")
    assert refused.result is False
    assert "still missing: /sbin/ifup" in refused.comment


@pytest.mark.parametrize(("need", "there"), [("ifupdown", "/sbin/ifup"), ("firewall", "iptables")])
def test_what_is_there_is_not_installed(states: Any, need: str, there: str) -> None:
    found = states.ipv6.provided("It works", need=need, lookup=LOOKUP)
    assert found.result is True
    assert found.comment == f"installed: {there}"
    assert found.changes == {}


@pytest.mark.parametrize(
    ("need", "lookup", "said"),
    [
        ("tunel", LOOKUP, "need: 'tunel' is not one of tunnel, ifupdown, firewall, netaddr, dns"),
        (None, LOOKUP, "need: None is not one of"),
        ("tunnel", {}, "lookup:packages:tunnel: expected the names of packages, found None"),
        *(
            ("tunnel", each, "lookup:packages:tunnel: expected the names of packages, found None")
            for each in ("x", [1])
        ),
        ("tunnel", {"packages": ["x"]}, "lookup:packages:tunnel: expected the names of packages, found None"),
        ("tunnel", {"packages": {"tunnel": [1]}}, "lookup:packages:tunnel: expected the names of packages, found [1]"),
    ],
)
def test_what_nobody_can_provide_is_an_error(states: Any, need: Any, lookup: Any, said: str) -> None:
    refused = states.ipv6.provided("It works", need=need, lookup=lookup)
    assert (refused.result, refused.changes) == (False, {})
    assert said in refused.comment


def test_unknown_arguments_are_named(states: Any) -> None:
    refused = states.ipv6.provided("It works", need="firewall", prof=["true"], lookup=LOOKUP)
    assert refused.result is False
    assert refused.comment == "unknown argument: prof"


def test_a_python_that_is_not_there_is_reported(salt: Salt) -> None:
    salt.configure(grains={"pythonexecutable": "/nowhere/python"})
    done = salt.call("state.apply", "ipv6.deps", "test=True")["netaddr is there for the Python that runs Salt"]
    assert done["result"] is False
    assert "'/nowhere/python'" in done["comment"]
    assert "Traceback" not in done["comment"]
