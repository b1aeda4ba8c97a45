"""IPv6 by the hoster where systemd-networkd, netplan or NetworkManager have the network, and after a boot."""

from __future__ import annotations

import os
import sys

import pytest

from ..lab.power import REPOSITORY, Server
from .test_stacks import server  # noqa: F401  # pylint: disable=unused-import


@pytest.mark.skipif("LAB_ROOT" not in os.environ, reason="bin/test prepares the lab")
def test_the_hosters_ipv6_on_another_network_stack(server: Server) -> None:  # noqa: F811
    for boot in ("converge", "rebooted"):
        server.boot(
            f"cd {REPOSITORY}",
            f"PYTHONPYCACHEPREFIX=/run/bytecode {sys.executable} -m tests.stacks.inside_native {boot}",
        )
        status = server.await_file("exit")
        print(server.output)
        assert status.strip() == "0", boot
