"""What all unit tests share."""

from __future__ import annotations

from pathlib import Path

import _dualstack_host_leftovers as host_leftovers
import _dualstack_host_lock as host_lock
import pytest

from .servers import serve, tls  # noqa: F401  # the servers of probes


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks and records are in a folder of the test's own: unit tests run on this machine itself."""
    folder = tmp_path_factory.mktemp("dualstack")
    monkeypatch.setattr(host_lock, "FOLDER", str(folder / "run"))
    monkeypatch.setattr(host_leftovers, "FOLDER", str(folder / "lib"))
    return folder
