"""Tests on the lab's server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from saltfactories.utils.functional import Loaders

from ..lab import network

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


@pytest.fixture(scope="session")
def loaders(salt_factories: Any) -> Loaders:
    """All modules and states, straight from the repository, and a plug-in of a user's own, a network stack."""
    minion = salt_factories.salt_minion_daemon(
        "server-with-a-toy",
        overrides={
            "file_client": "local",
            "fileserver_list_cache_time": 0,
            "file_roots": {"base": [str(REPOSITORY / "salt")]},
            "module_dirs": [str(REPOSITORY), str(HERE / "toy")],
        },
    )
    return Loaders(minion.config.copy(), loaded_base_name="functional")


@pytest.fixture(autouse=True)
def _server() -> Iterator[None]:
    """The server is IPv4-only when a test begins."""
    network.reset()
    yield


@pytest.fixture
def tunnel(modules: Any) -> None:
    """The tunnel is there. (Without the detour through a state run, which takes longer.)"""
    done = modules.he_tunnel.present(network.NAME, **network.ARGUMENTS, test=False)
    assert done["result"] is True, done["comment"]
