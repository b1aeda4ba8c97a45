"""The formula's SLS files, with pillars that must not change anything; and kernel parameters."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = [Path("/etc/sysctl.d"), Path("/usr/lib/sysctl.d")]
SYSCTL_CONF = Path("/etc/sysctl.conf")
# Each network namespace has its own of these.
PARAMETERS = (
    *("ipv6/bindv6only", "ipv4/ip_forward", "ipv4/conf/lo/rp_filter"),
    *("ipv4/ip_local_port_range", "ipv4/ip_local_reserved_ports"),
)


@pytest.fixture(scope="session", autouse=True)
def _enclosed() -> None:
    """A pillar that is not refused would be applied: not to the machine."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"


@pytest.fixture
def etc() -> Iterator[Path]:
    """``/etc/sysctl.d``: a small disk of its own, with nothing on it, and no other file sets a parameter at boot."""
    live = {path: path.read_text() for path in (Path("/proc/sys/net") / each for each in PARAMETERS)}
    conf = SYSCTL_CONF.read_text()
    SYSCTL_CONF.write_text("")
    for folder in FOLDERS:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", folder], check=True)
    yield FOLDERS[0]
    for folder in FOLDERS:
        subprocess.run(["umount", folder], check=True)
    SYSCTL_CONF.write_text(conf)
    for path, text in live.items():
        path.write_text(text)


@pytest.fixture(params=["systemd", "procps"])
def loader(request: pytest.FixtureRequest) -> Iterator[str]:
    """Which program sets the parameters at boot."""
    booted = Path("/run/systemd/system")
    if request.param == "systemd":
        booted.mkdir(parents=True)
    yield str(request.param)
    if request.param == "systemd":
        booted.rmdir()
