"""Who manages this host, according to the environment of those who have started Salt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import _dualstack_host_management as host_management
import pytest

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import _dualstack_host_management as host_management
host_management.host_routes.to = lambda host: host_management.host_routes.Route("eth0", host, True)
print([each[:4] + each[5:] for each in host_management._ssh_client()])
"""


def clients(connection: str) -> str:
    """Who is logged in, where this is the value of SSH_CONNECTION."""
    words = [sys.executable, "-c", SCRIPT, str(Path(host_management.__file__).parent)]
    environment = {**os.environ, "SSH_CONNECTION": connection}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_client_in_whose_session_salt_runs() -> None:
    assert clients("192.0.2.1 50000 192.0.2.2 22") == "[('ipv4', 'in', '192.0.2.1', 22, '192.0.2.2', None)]"
    assert clients("fe80::1%eth1 50000 fe80::2%eth1 22") == "[('ipv6', 'in', 'fe80::1', 22, 'fe80::2', 'eth1')]"


@pytest.mark.parametrize(
    "connection",
    [
        "",
        "a b c d",
        "192.0.2.1 x 192.0.2.2 22",
        "192.0.2.1 50000 192.0.2.2 y",
        "1 2 3",
        "192.0.2.1 1 $(id) 22",
        "\udcff",
    ],
)
def test_what_is_no_connection_is_nobody(connection: str) -> None:
    assert clients(connection) == clients("")
