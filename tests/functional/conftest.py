"""Salt's real loader, in-process, on the lab's server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from saltfactories.utils.functional import Loaders

from ..lab import network

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def salt_factories_default_root_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the daemons' folders go; by default they would stay in the temporary folder for ever."""
    return tmp_path_factory.mktemp("f")


@pytest.fixture(scope="session")
def loaders(salt_factories: Any) -> Loaders:
    """All modules and states, straight from the repository."""
    minion = salt_factories.salt_minion_daemon(
        "server",
        overrides={
            "file_client": "local",
            "fileserver_list_cache_time": 0,
            "file_roots": {"base": [str(REPOSITORY / "salt")]},
            "module_dirs": [str(REPOSITORY)],
        },
    )
    return Loaders(minion.config.copy(), loaded_base_name="functional")


@pytest.fixture
def states(loaders: Loaders) -> Any:
    """The states."""
    return loaders.states


@pytest.fixture
def modules(loaders: Loaders) -> Any:
    """The execution modules."""
    return loaders.modules


@pytest.fixture(autouse=True)
def _server() -> Iterator[None]:
    """The server is IPv4-only when a test begins."""
    network.reset()
    yield


@pytest.fixture(params=[True, False], ids=["test", "run"])
def test(request: pytest.FixtureRequest) -> bool:
    """The case runs with ``test=True`` and without."""
    return bool(request.param)


@pytest.fixture
def tunnel(modules: Any) -> None:
    """The tunnel is there. (Without the detour through a state run, which takes longer.)"""
    done = modules.converge.run("he_tunnel", "present", network.NAME, network.ARGUMENTS, {}, False)
    assert done["result"] is True, done["comment"]
