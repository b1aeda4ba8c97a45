"""Tests on the lab's server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ..lab import network


@pytest.fixture(autouse=True)
def _server() -> Iterator[None]:
    """The server is IPv4-only when a test begins."""
    network.reset()
    yield


@pytest.fixture
def tunnel(modules: Any) -> None:
    """The tunnel is there. (Without the detour through a state run, which takes longer.)"""
    done = modules.converge.run("he_tunnel", "present", network.NAME, network.ARGUMENTS, {}, False)
    assert done["result"] is True, done["comment"]
