"""
The mission on servers that systemd boots, and whose network is systemd-networkd's, netplan's or NetworkManager's: the
tunnel comes up, drifts, is repaired, comes up again at the next boot, and goes without a trace.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..lab.power import REPOSITORY, Server

STACKS = ("networkd", "netplan", "netplan-networkmanager", "networkmanager")
PATIENCE = 1500.0  # seconds for one boot of them, on a busy machine
BOOTS = ("converge", "rebooted")
LAST = {"networkd": ["gone"]}  # the one stack of these that keeps a device whose files are gone


@pytest.fixture(params=STACKS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of IPv4 only, which has never booted."""
    found = Server(tmp_path, f"bash {REPOSITORY}/tests/stacks/host.sh {request.param}\n", PATIENCE)
    yield found
    found.cut()


def test_the_mission_on_another_network_stack(server: Server, request: pytest.FixtureRequest) -> None:
    for boot in (*BOOTS, *LAST.get(request.node.callspec.params["server"], [])):
        server.boot(
            f"cd {REPOSITORY}", f"PYTHONPYCACHEPREFIX=/run/bytecode {sys.executable} -m tests.stacks.inside {boot}"
        )
        status = server.await_file("exit")
        print(server.output)
        assert status.strip() == "0", boot
