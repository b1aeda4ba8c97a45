"""What the unit tests share."""

from __future__ import annotations

import pytest
import text_edits


@pytest.fixture(autouse=True)
def _text_edits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sibling that most plug-ins of services use, for the one that is tested: `listen_x` by `test_listen_x`."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    if name.startswith("listen_"):
        monkeypatch.setattr(f"{name}.__salt__", {"text_edits.spliced": text_edits.spliced}, raising=False)
