"""The formula's SLS files, with pillars that must not change anything."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _enclosed() -> None:
    """A pillar that is not refused would be applied: not to the machine."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"
