"""What this host has published, as its file has it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import _dualstack_dns_memory as dns_memory
import _dualstack_errors as errors
import _dualstack_host_files as host_files
import pytest
from salt.exceptions import CommandExecutionError


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


def test_nothing_stays_of_what_is_forgotten(memory: Path) -> None:
    dns_memory.remember({"a.example": ["2001:db8::1"]})
    dns_memory.remember({"a.example": [], "b.example": []})
    assert not memory.parent.exists()
    dns_memory.remember({"a.example": []})
    assert not memory.parent.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{broken",
        "[1]",
        "5",
        "null",
        '{"a.example": 5}',
        '{"a.example": null}',
        '{"a.example": "2001:db8::1"}',
        '{"a.example": {"2001:db8::1": 1}}',
        '{"a.example": ["2001:db8::1", null]}',
        '{"a.example": ["2001:db8::1", "192.0.2.1"]}',
        '{"a.example": ["caf\udce9"]}',
        "[" * 200_000,
        "".join(map(chr, range(256))),
    ],
)
def test_a_file_that_is_damaged_is_named_and_left(memory: Path, text: str) -> None:
    memory.parent.mkdir()
    data = text.encode("utf-8", "surrogateescape")
    memory.write_bytes(data)
    for action in (dns_memory.recall, lambda: dns_memory.remember({"new.example": ["2001:db8::9"]})):
        with pytest.raises(CommandExecutionError, match=f"{memory} is damaged: "):
            action()
    assert memory.read_bytes() == data


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path.name)])
def test_what_is_no_file_is_named(memory: Path, make: Callable[[Path], object]) -> None:
    memory.parent.mkdir()
    make(memory)
    for action in (dns_memory.recall, lambda: dns_memory.remember({"new.example": ["2001:db8::9"]})):
        with pytest.raises(OSError) as raised:
            action()
        assert errors.said(raised.value).startswith(f"{memory}: ")


def test_permissions_that_have_drifted(memory: Path) -> None:
    assert dns_memory.drift() == {}
    dns_memory.remember({"a.example": ["2001:db8::1"]})
    assert dns_memory.drift() == {}
    memory.chmod(0o644)
    assert [edit.wrong for edit in dns_memory.drift().values()] == [0o644]
    host_files.write(dns_memory.drift())
    assert (dns_memory.drift(), memory.stat().st_mode & 0o777) == ({}, 0o600)


# --------------------------------------------------------------------------------------------------------------
# PTR records

OWNER = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"


@pytest.fixture
def pointers(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = memory.with_name("pointers.json")
    monkeypatch.setattr(dns_memory, "POINTERS", str(path))
    return path


def test_ptr_records_are_remembered_beside_the_others(memory: Path, pointers: Path) -> None:
    dns_memory.remember({"a.example": ["2001:db8::1"]})
    dns_memory.remember({OWNER: ["a.example", "_odd.example"]}, "PTR")
    assert dns_memory.recall("PTR") == {OWNER: ["_odd.example", "a.example"]}
    assert dns_memory.recall() == {"a.example": ["2001:db8::1"]}
    assert pointers.stat().st_mode & 0o777 == 0o600
    pointers.chmod(0o644)
    assert (list(dns_memory.drift("PTR")), list(dns_memory.drift())) == ([str(pointers)], [])
    dns_memory.remember({OWNER: []}, "PTR")
    assert (pointers.exists(), memory.exists()) == (False, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"a.example": ["2001:db8::1"]}',
        f'{{"{OWNER}": "a.example"}}',
        f'{{"{OWNER}": [null]}}',
        f'{{"{OWNER}": ["--option"]}}',
        f'{{"{OWNER}": ["two words"]}}',
    ],
)
def test_a_file_of_ptr_records_that_is_damaged_is_named_and_left(pointers: Path, text: str) -> None:
    pointers.parent.mkdir()
    pointers.write_text(text)
    for action in (lambda: dns_memory.recall("PTR"), lambda: dns_memory.remember({OWNER: ["b.example"]}, "PTR")):
        with pytest.raises(CommandExecutionError, match=f"{pointers} is damaged: it names the names of addresses"):
            action()
    assert pointers.read_text() == text
    assert dns_memory.recall() == {}
