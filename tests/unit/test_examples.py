"""The hook and the reactor in examples/: they run, and do what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import jinja2
import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HOOK = EXAMPLES / "hooks" / "dualstack-tunnel"
IFUPDOWN = {
    "IFACE": "eth0",
    "LOGICAL": "eth0",
    "ADDRFAM": "inet",
    "METHOD": "dhcp",
    "MODE": "start",
    "PHASE": "post-up",
}
NETWORKD = {"IFACE": "eth0", "AdministrativeState": "configured", "OperationalState": "routable", "STATE": "routable"}
ROUTE = "216.66.84.42 via 46.105.5.254 dev eth0 src {} uid 0 \\n    cache "


class Host:
    """A host with this hook, whose ip(8) and salt-call(1) are stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, folder / "calls"
        (folder / "bin").mkdir()
        for name in ("logger", "salt-call"):
            self.program(name, f'[ {name} = logger ] || echo "$*" >>{self.calls}; exit 0')
        self.address("46.105.5.1")
        text = HOOK.read_text().replace("/run/", f"{folder}/").replace("/etc/default/", f"{folder}/")
        self.hook = folder / "hook"
        self.hook.write_text(text)
        self.hook.chmod(0o755)

    def program(self, name: str, script: str) -> None:
        """A program of this name."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def address(self, address: str) -> None:
        """The uplink has this address; none, and there is no route."""
        self.program("ip", f"printf '{ROUTE.format(address)}'" if address else "echo unreachable >&2; exit 2")

    def run(self, environment: dict[str, str], *words: str) -> list[str]:
        """Call the hook; what Salt was called with."""
        self.calls.unlink(missing_ok=True)
        env = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", **environment}
        done = subprocess.run([self.hook, *words], env=env, check=False, capture_output=True, text=True, timeout=10)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        told = self.folder / "dualstack-tunnel.address"
        for _ in range(20):  # it goes on in the background
            if self.calls.exists() and told.exists():
                break
            time.sleep(0.02)
        time.sleep(0.05)
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One that has never told anybody anything."""
    return Host(tmp_path)


CALL = "--local --retcode-passthrough he_tunnel.registered he-ipv6 pillar=ipv6:tunnel"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (IFUPDOWN, []),
        (NETWORKD, []),
        ({"NM_DISPATCHER_ACTION": "up", "CONNECTION_UUID": "x"}, ["eth0", "up"]),
        ({"NM_DISPATCHER_ACTION": "dhcp4-change"}, ["eth0", "dhcp4-change"]),
    ],
)
def test_each_dispatcher_has_the_broker_told_once(host: Host, environment: dict[str, str], words: list[str]) -> None:
    assert host.run(environment, *words) == [CALL]
    assert host.run(environment, *words) == []
    host.address("46.105.5.2")
    assert host.run(environment, *words) == [CALL]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({**IFUPDOWN, "IFACE": "lo"}, []),
        ({**IFUPDOWN, "IFACE": "--all"}, []),
        ({**IFUPDOWN, "IFACE": "he-ipv6"}, []),
        ({**IFUPDOWN, "MODE": "stop"}, []),
        ({"NM_DISPATCHER_ACTION": "down"}, ["eth0", "down"]),
        ({"NM_DISPATCHER_ACTION": "hostname"}, ["", "hostname"]),
        ({"NM_DISPATCHER_ACTION": "up"}, ["lo", "up"]),
    ],
)
def test_what_does_not_matter_calls_nobody(host: Host, environment: dict[str, str], words: list[str]) -> None:
    assert host.run(environment, *words) == []


def test_a_failure_is_tried_again_at_the_next_event(host: Host) -> None:
    host.program("salt-call", f'echo "$*" >>{host.calls}; exit 1')
    assert host.run(IFUPDOWN) == [CALL]
    assert host.run(IFUPDOWN) == [CALL]
    host.address("")
    assert host.run(IFUPDOWN) == []


def test_its_settings(host: Host) -> None:
    (host.folder / "dualstack-tunnel").write_text("CALL=salt-call NAME=six PILLAR=net:tunnels:six\n")
    assert host.run(IFUPDOWN) == ["--retcode-passthrough he_tunnel.registered six pillar=net:tunnels:six"]


def test_the_reactor_applies_the_tunnel_on_the_minion_that_has_fired() -> None:
    environment = jinja2.Environment()
    environment.filters["json"] = json.dumps
    text = environment.from_string((EXAMPLES / "reactor" / "tunnel.sls").read_text()).render(data={"id": "web1"})
    arguments = [{"tgt": "web1"}, {"tgt_type": "list"}, {"args": [{"mods": "ipv6.tunnel"}, {"queue": True}]}]
    assert list(yaml.safe_load(text).values()) == [{"local.state.apply": arguments}]


def test_the_configuration_in_the_text_is_yaml() -> None:
    text = (EXAMPLES / "reactor" / "README.md").read_text()
    beacon, reactor = (yaml.safe_load(each) for each in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE))
    assert beacon["beacons"]["he_tunnel"][0] == {"interval": 60}
    for each in reactor["reactor"]:
        ((_, files),) = each.items()
        assert [Path(file).name for file in files] == ["tunnel.sls"]
