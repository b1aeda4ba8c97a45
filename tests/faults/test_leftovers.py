"""The records of what a run makes beside the files that it replaces, and what somebody may have done to them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import _dualstack_converge as converge
import _dualstack_host_files as host_files
import _dualstack_host_leftovers as host_leftovers
import _dualstack_host_lock as host_lock
import pytest

from . import ground

RECORDS = Path(host_leftovers.FOLDER)
RECORD = RECORDS / "faults.files"


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "file"
    path.write_text("old")
    return path


def write(file: Path, test: bool = False) -> converge.Result:
    """Converge a file."""

    def plan() -> converge.Plan:
        edits = host_files.edit(str(file), host_files.read(str(file)), "new")
        return {"changes": dict.fromkeys(edits, {}), "files": edits}

    undo = converge.Change("faults", plan, lambda each: host_files.write(each["files"]), lambda each: [])
    return converge.run("it", undo, {}, test)


def test_a_record_that_is_damaged_removes_nothing_of_others(folder: Path, file: Path) -> None:
    names = ["file", ".file", ".x.dualstack-new.bak", "x.dualstack-old", "..dualstack-new", ".dualstack-new"]
    for name in names:
        (folder / name).write_text("theirs")
    (folder / ".dir.dualstack-new").mkdir()
    (folder / ".mine.dualstack-new").write_text("")
    RECORDS.mkdir(mode=0o700)
    lines = [f"{folder}/{name}" for name in [*names, ".dir.dualstack-new", "none/.x.dualstack-old"]]
    garbage = [
        b"\0\xff%00",
        b"",
        b"%",
        b"/" * 5000,
        b"file/.x.dualstack-new",
        b".x.dualstack-new",
        b"/.\0.dualstack-new",
    ]
    RECORD.write_bytes(
        b"\n".join([*map(os.fsencode, lines), *garbage, os.fsencode(folder / ".mine.dualstack-new"), b"torn"])
    )
    file.write_text("old")
    assert write(file)["result"] is True
    assert sorted(os.listdir(folder)) == sorted([*names, ".dir.dualstack-new"])
    shutil.rmtree(folder / ".dir.dualstack-new")  # it could not be removed as a file, so its record stays until it can
    with host_leftovers.of("faults"):
        pass
    assert not RECORDS.exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Path.mkdir, "Is a directory"),
        (os.mkfifo, "it is no regular file"),
        (lambda path: path.symlink_to("/etc/passwd"), "Too many levels of symbolic links"),
        (ground.device, "it is no regular file"),
    ],
)
def test_a_record_that_is_no_file(file: Path, make: Callable[[Path], object], said: str) -> None:
    RECORDS.mkdir(mode=0o700)
    make(RECORD)
    done = write(file)
    assert (done["result"], file.read_text()) == (False, "old")
    assert f"{RECORD}: " in done["comment"] and said in done["comment"]


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_a_folder_in_which_others_may_write(folder: Path, file: Path, mode: int) -> None:
    RECORDS.mkdir()
    RECORDS.chmod(mode)
    (folder / ".x.dualstack-old").write_text("")
    RECORD.write_text(f"{folder}/.x.dualstack-old\n")
    done = write(file)
    assert (done["result"], file.read_text()) == (False, "old")
    assert f"{RECORDS}: others may write in this folder (owner 0, mode {mode:04o})" in done["comment"]
    assert (folder / ".x.dualstack-old").exists()


def test_a_folder_of_somebody_else(file: Path) -> None:
    RECORDS.mkdir(mode=0o700)
    os.chown(RECORDS, 1000, 1000)
    assert "others may write in this folder (owner 1000" in write(file)["comment"]
    assert file.read_text() == "old"


def test_a_folder_that_is_a_link(folder: Path, file: Path) -> None:
    (folder / "elsewhere").mkdir(mode=0o700)
    RECORDS.symlink_to(folder / "elsewhere")
    try:
        assert write(file)["result"] is True
        assert os.listdir(folder / "elsewhere") == []
    finally:
        RECORDS.unlink()


@pytest.mark.parametrize("fault", [ground.full, ground.without_inodes, ground.read_only])
def test_no_room_for_a_record(file: Path, fault: Callable[..., object]) -> None:
    with fault(RECORDS):  # type: ignore[attr-defined]
        before = ground.snapshot(str(file.parent), str(RECORDS))
        done = write(file)
        assert (done["result"], str(RECORDS) in done["comment"]) == (False, True), done
        assert ground.snapshot(str(file.parent), str(RECORDS)) == before
    assert write(file)["result"] is True


def test_a_host_without_a_folder_for_locks(file: Path) -> None:
    locks = Path(host_lock.FOLDER)
    shutil.rmtree(locks, ignore_errors=True)
    assert write(file)["result"] is True
    file.write_text("old")
    with ground.read_only(locks):
        (locks / "faults.lock").exists()
        done = write(file)
        assert (done["result"], file.read_text()) == (False, "old")
        assert str(locks) in done["comment"] and "Read-only file system" in done["comment"]


def test_where_no_lock_could_be_taken_that_is_foreseen(file: Path) -> None:
    """It would be the first thing that a run fails at."""
    with ground.mounted(Path("/run"), "ro"):
        done = write(file, test=True)
    assert (done["result"], done["changes"]) == (False, {})
    assert done["comment"].startswith("no lock can be taken: no file can be made in /run")
    assert write(file, test=True)["result"] is None


def test_the_folder_of_records_may_vanish_at_any_moment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run, of another part, has removed its own record, which was the last one."""
    once = iter([True])

    def vanish() -> None:
        if next(once, False):
            os.rmdir(RECORDS)
        real()

    real = host_leftovers._refuse_others
    with host_leftovers.of("one"):
        monkeypatch.setattr(host_leftovers, "_refuse_others", vanish)
        host_leftovers.note(str(folder / ".one.dualstack-old"))
        assert os.listdir(RECORDS) == ["one.files"]


def test_two_parts_do_not_disturb_each_other(folder: Path) -> None:
    with host_leftovers.of("one"):
        host_leftovers.note(str(folder / ".one.dualstack-old"))
        (folder / ".one.dualstack-old").write_text("")
        with host_leftovers.of("other"):
            host_leftovers.note(str(folder / ".other.dualstack-old"))
        assert (folder / ".one.dualstack-old").exists()
        assert os.listdir(RECORDS) == ["one.files"]
    assert os.listdir(folder) == []
