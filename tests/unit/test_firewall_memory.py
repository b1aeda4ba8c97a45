"""What is remembered between runs, and when it is no longer trusted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import _dualstack_firewall_memory as firewall_memory
import pytest


def test_what_is_kept_is_recalled_and_nothing_else(tmp_path: Path) -> None:
    assert firewall_memory.recall(str(tmp_path)) == {}
    firewall_memory.keep(str(tmp_path), {"key": "x", "wanted": {"ipv4": []}})
    firewall_memory.keep(str(tmp_path), {"proof": "y"})
    assert firewall_memory.recall(str(tmp_path)) == {"proof": "y"}
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    for text in ("{", "[]", "null"):
        file.write_text(text)
        assert firewall_memory.recall(str(tmp_path)) == {}


def test_without_the_folder_nothing_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    firewall_memory.keep(str(tmp_path / "file" / "folder"), {"proof": "y"})


def test_a_change_in_any_room_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = sorted(Path(firewall_memory.__file__).parent.glob("_dualstack_*.py"))
    for room in rooms:
        shutil.copy2(room, tmp_path)
    monkeypatch.setattr(firewall_memory, "__file__", str(tmp_path / "_dualstack_firewall_memory.py"))
    known = {firewall_memory.digest(firewall_memory.rooms())}
    for number, room in enumerate(rooms, 1):
        os.utime(tmp_path / room.name, ns=(number, number))
        known.add(firewall_memory.digest(firewall_memory.rooms()))
    assert len(known) == len(rooms) + 1


def test_what_was_altered_is_not_recalled(tmp_path: Path) -> None:
    firewall_memory.keep(str(tmp_path), {"key": "x", "wanted": "y"})
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    for other in (
        text.replace('"y"', '"z"'),
        text.replace("x", "xx"),
        text[:-1],
        text + " ",
        text.replace("{", "{ ", 1),
        "",
    ):
        file.write_text(other)
        assert firewall_memory.recall(str(tmp_path)) == {}
    file.write_text(text)
    assert firewall_memory.recall(str(tmp_path)) == {"key": "x", "wanted": "y"}
