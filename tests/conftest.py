"""What all tests share."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from saltfactories.utils.functional import Loaders

from .lab.replay import *  # noqa: F401, F403  # the hooks

REPOSITORY = Path(__file__).resolve().parents[1]

# Salt's log handlers outlive pytest's streams.
logging.raiseExceptions = False

# A shell ignores Ctrl-C on behalf of what it starts in the background, and Python inherits that; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The private rooms are plain Python: `import _dualstack_tunnel_sit as tunnel_sit`.
sys.path.insert(0, str(REPOSITORY / "_modules"))


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


@pytest.fixture
def shadows() -> Iterator[Path]:
    """The folder that is first in the PATH of every command, for programs that stand in for the real ones."""
    assert {"ENCLOSED", "LAB_GUEST"} & os.environ.keys(), "the machine's own programs must not be hidden"
    folder = Path("/usr/local/sbin")
    before = set(folder.iterdir())
    yield folder
    for each in set(folder.iterdir()) - before:
        each.unlink()


@pytest.fixture(params=[True, False], ids=["test", "run"])
def test(request: pytest.FixtureRequest) -> bool:
    """The case runs with ``test=True`` and without."""
    return bool(request.param)
