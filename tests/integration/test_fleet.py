"""The next version reaches a minion that is running, and is used without a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import applier, assert_converges, assert_next_version, copy_repository, make_next_version


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, which the master serves."""
    folder = tmp_path_factory.mktemp("copy")
    copy_repository(folder)
    return folder


def test_the_next_version_is_used_without_a_restart(start: Callable[..., Any], host: None, copy: Path) -> None:
    master = start(file_roots={"base": [str(copy / "salt"), str(copy)]})
    apply = applier(master)
    assert_converges(apply)
    make_next_version(copy)
    master.salt_run_cli().run("fileserver.clear_file_list_cache")
    assert_next_version(apply("ipv6"))
    assert_next_version(apply("ipv6"))
