"""The other two implementations of ifup(8), from their Debian packages, unpacked in ``/opt``."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from .network import MAIN, run

ALL = ("ifupdown-ng", "ifupdown2")
STATES = (Path("/run/ifstate"), Path("/var/tmp/network/ifstatenew"))  # what they have up
DPKG_STATUS = Path("/var/lib/dpkg/status")
EXECUTORS = Path("/usr/libexec/ifupdown-ng")
IFUPDOWN2_INSTALLED = """
Package: ifupdown2
Status: install ok installed
Maintainer: nobody
Architecture: all
Version: 3.0.0-1.1
Description: network interface management
"""


@contextlib.contextmanager
def instead(name: str, folder: Path) -> Iterator[str]:
    """
    Another implementation is the host's.

    name
        Which.
    folder
        The first in the PATH of every command.
    """
    package = Path("/opt") / name
    library, settings, status = Path("/usr/share/ifupdown2"), MAIN.parent / "ifupdown2", DPKG_STATUS.read_text()
    if name == "ifupdown2":  # it finds itself by absolute paths, and its version by asking dpkg
        shutil.copytree(package / "usr/share/ifupdown2", library, symlinks=True)
        shutil.copytree(package / "etc/network/ifupdown2", settings)
        (library / "__main__.py").chmod(0o755)
        DPKG_STATUS.write_text(status + IFUPDOWN2_INSTALLED)
    else:
        shutil.copytree(package / "usr/libexec/ifupdown-ng", EXECUTORS)
    programs = [each.name for each in (package / "sbin").iterdir()]
    for program in programs:
        (folder / program).write_text(f'#!/bin/sh\nexec {package}/sbin/{program} "$@"\n')
        (folder / program).chmod(0o755)
    try:
        assert name in run("ifup", "--version")
        yield name
    finally:
        for program in programs:
            (folder / program).unlink()
        for each in (library, settings, EXECUTORS):
            shutil.rmtree(each, ignore_errors=True)
        for state in STATES:
            state.unlink(missing_ok=True)
        DPKG_STATUS.write_text(status)


def boot(name: str) -> None:
    """What a boot does with the tunnel."""
    for link in ("he-ipv6",):
        run("ip", "link", "del", "dev", link, check=False)
    for state in STATES:
        state.unlink(missing_ok=True)
    run("ifup", "-a")
