"""What this host has published, as its file has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import _dualstack_dns_memory as dns_memory
import pytest


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "folder" / "published.json"
    monkeypatch.setattr(dns_memory, "MEMORY", str(path))
    return path


def test_names_are_remembered_and_forgotten(memory: Path) -> None:
    assert dns_memory.recall() == {}
    dns_memory.remember({"b.example": ["2001:db8::2", "2001:db8::1", "2001:db8::2"], "a.example": ["2001:db8::1"]})
    assert dns_memory.recall() == {"a.example": ["2001:db8::1"], "b.example": ["2001:db8::1", "2001:db8::2"]}
    dns_memory.remember({"b.example": [], "c.example": []})
    assert json.loads(memory.read_text()) == {"a.example": ["2001:db8::1"]}
    assert memory.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("{broken", {}),
        ("[1]", {}),
        ('{"a.example": 5, "b.example": ["2001:db8::1", null], "c.example": null}', {"b.example": ["2001:db8::1"]}),
    ],
)
def test_a_file_that_is_damaged(memory: Path, text: str, found: Any) -> None:
    memory.parent.mkdir()
    memory.write_text(text)
    assert dns_memory.recall() == found
    dns_memory.remember({"new.example": ["2001:db8::9"]})
    assert dns_memory.recall() == {**found, "new.example": ["2001:db8::9"]}
