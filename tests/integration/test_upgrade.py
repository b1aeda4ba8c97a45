"""A changed private room is used by the same process that used the old one."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import salt.loader
from saltfactories.utils.functional import Loaders

from .conftest import REPOSITORY, copy_repository

# Imported by the door itself, by another room, and by a plug-in: the room, a text of it, and a call that says it.
ROOMS: dict[str, tuple[str, str, tuple[str, dict[str, Any]]]] = {
    "door": ("converge", '"unknown argument: ', ("ipv6.proven", {"name": "x", "oops": 1})),
    "room": ("words", "unknown key", ("ipv6.errors", {"pillar": {"tunel": {}}})),
}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository, to be changed. Its rooms are found as Salt lets them be, not as the tests' own are."""
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(REPOSITORY / "_modules")])
    folder = tmp_path / "copy"
    copy_repository(folder)
    return folder


@pytest.mark.parametrize("how", ROOMS)
def test_a_room_is_loaded_anew_with_its_door(salt_factories: Any, copy: Path, how: str) -> None:
    room, old, (function, arguments) = ROOMS[how]
    minion = salt_factories.salt_minion_daemon(
        f"upgraded-{how}", overrides={"file_client": "local", "module_dirs": [str(copy)]}
    )
    loaders = Loaders(minion.config.copy(), loaded_base_name=f"upgraded_{how}")
    assert "NEW " not in str(loaders.modules[function](**arguments))
    path = copy / "_modules" / f"_dualstack_{room}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, f"{old[:1]}NEW {old[1:]}" if old[0] == '"' else f"NEW {old}"))
    loaders.reload_all()  # what saltutil.refresh_modules does
    assert "NEW " in str(loaders.modules[function](**arguments))


def test_two_copies_live_beside_each_other(salt_factories: Any, copy: Path) -> None:
    """A door keeps the rooms that it was loaded with, whatever rooms are imported afterwards."""
    path = copy / "_modules" / "_dualstack_words.py"
    path.write_text(path.read_text().replace("unknown key", "OTHER unknown key"))
    loaded = []
    for name, folder in (("first", REPOSITORY), ("second", copy)):
        overrides = {"file_client": "local", "module_dirs": [str(folder)]}
        minion = salt_factories.salt_minion_daemon(name, overrides=overrides)
        # Names of their own, or Salt itself would put the second door in the place of the first.
        loaded.append(Loaders(minion.config.copy(), loaded_base_name=f"copies_{name}"))
    for _ in range(2):
        said = [str(each.modules.ipv6.errors({"tunel": {}})) for each in loaded]
        assert ["OTHER" in each for each in said] == [False, True]


def test_threads_may_load_doors_at_the_same_time(salt_factories: Any, copy: Path) -> None:
    """As in a minion with ``multiprocessing: False``: each job has a loader of its own, in a thread of its own."""
    minion = salt_factories.salt_minion_daemon(
        "threads", overrides={"file_client": "local", "module_dirs": [str(copy)]}
    )
    doors = ["ipv6.errors", "he_tunnel.render", "dualstack_iptables.translate", "service_listen.audit", "aaaa.lookup"]
    barrier = threading.Barrier(4)

    def load(number: int) -> list[str]:
        loader = salt.loader.minion_mods(minion.config.copy(), loaded_base_name=f"thread_{number}")
        barrier.wait()
        shifted = doors[number % len(doors) :] + doors[: number % len(doors)]
        return [each for each in shifted if each not in loader]

    for _ in range(3):
        for name in [each for each in sys.modules if each.startswith("_dualstack_")]:
            del sys.modules[name]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(load, range(4))) == [[]] * 4
