"""What all tests share."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.state
import salt.utils.entrypoints
from saltfactories.utils.functional import Loaders

from .lab.replay import *  # noqa: F401, F403  # the hooks

REPOSITORY = Path(__file__).resolve().parents[1]

# Salt's log handlers outlive pytest's streams.
logging.raiseExceptions = False

# For each run of states, Salt asks every installed package for its extensions. None is installed within this process.
salt.utils.entrypoints.iter_entry_points = functools.lru_cache(None)(salt.utils.entrypoints.iter_entry_points)

# A shell ignores Ctrl-C on behalf of what it starts in the background, nohup(1) a terminal that goes away, and Python
# inherits that; some tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

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


class States:
    """The states by their names, which are called with ``state.single``: ``states.he_tunnel.present("he-ipv6")``."""

    def __init__(self, single: Callable[..., Any], name: str = "") -> None:
        self._single = single
        self._name = name

    def __getattr__(self, name: str) -> States:
        return States(self._single, f"{self._name}.{name}".lstrip("."))

    def __call__(self, *words: Any, **named: Any) -> Any:
        return self._single(self._name, *words, **named)


@pytest.fixture(scope="session")
def loaded() -> dict[tuple[str, bool | None], salt.state.State]:
    """What Salt has loaded for states: by the minion, and by whether it only predicts."""
    return {}


@pytest.fixture
def states(loaders: Loaders, loaded: dict[tuple[str, bool | None], salt.state.State]) -> States:
    """
    The states.

    For each call, ``state.single`` would load all modules and states again, which takes far longer than the call, the
    most in the guest. Here they stay loaded, as from one state of a run to the next.
    """

    def single(*words: Any, **named: Any) -> Any:
        def load(opts: Any, pillar: Any, **rest: Any) -> salt.state.State:
            assert not pillar, "a pillar would stay loaded, too"
            key = opts["id"], opts["test"]
            if key not in loaded:
                loaded[key] = new(opts, pillar, **rest)
            return loaded[key]

        new = salt.state.State
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(salt.state, "State", load)
            return loaders.modules.state.single(*words, **named)

    return States(single)


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
