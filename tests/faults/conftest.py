"""What goes wrong on hosts, made real in the enclosure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _enclosed() -> None:
    """These tests mount file systems, and change the firewall: it must not be the machine's."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"


@pytest.fixture(autouse=True)
def _host() -> Iterator[None]:
    """A host where no run was killed when a test begins."""
    yield
    shutil.rmtree("/var/lib/dualstack", ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on the enclosure's own disk, which knows immutable files, ACLs and extended attributes."""
    path = Path("/srv/faults")
    path.mkdir(parents=True)
    yield path
    shutil.rmtree(path)
