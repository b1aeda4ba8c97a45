"""A file is replaced, removed and put back, whatever there is in the way."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_errors as errors
import _dualstack_host_attributes as host_attributes
import _dualstack_host_files as host_files
import _dualstack_host_leftovers as host_leftovers
import _dualstack_host_place as host_place
import pytest
from salt.exceptions import CommandExecutionError

from . import ground

OLD, NEW = "old\n" * 500, "new\n" * 900  # more than a page


def change(path: Path, new: str | None, mode: int | None = None, problem: str = "") -> converge.Change:
    """The change of a file; with a problem, the change of something else fails afterwards."""

    def plan() -> converge.Plan:
        edits = host_files.edit(str(path), host_files.read(str(path)), new, mode)
        changes = {
            each: {"old": edit.old, "new": edit.new, **host_files.mode_change(edit)} for each, edit in edits.items()
        }
        return {"changes": changes, "files": edits}

    def apply(plan: converge.Plan) -> None:
        host_files.write(plan["files"])
        if problem:
            raise CommandExecutionError(problem)

    return converge.Change("faults", plan, apply, lambda plan: list(host_files.restoring(plan["files"])))


def write(path: Path, new: str | None = NEW, test: bool = False, **given: Any) -> converge.Result:
    """Converge a file."""
    return converge.run("it", change(path, new, **given), {}, test)


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "file"
    path.write_text(OLD)
    return path


@pytest.fixture
def unchanged(folder: Path) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """In this context, nothing on the host changes."""

    @contextlib.contextmanager
    def check() -> Iterator[None]:
        roots = (str(folder), "/var/lib", "/run")
        before = ground.snapshot(*roots)
        yield
        assert ground.difference(before, ground.snapshot(*roots)) == {}

    return check


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        *((NEW, each) for each in ground.FAULTS),
        *((None, each) for each in sorted(ground.FAULTS.keys() - ground.REMOVABLE)),
    ],
)
def test_a_file_in_an_impossible_place(file: Path, unchanged: Any, new: str | None, fault: str) -> None:
    strike, said, foreseen = ground.FAULTS[fault]
    with strike(file), unchanged():
        predicted = write(file, new, test=True)
        assert predicted["result"] is (False if foreseen else None), predicted
        done = write(file, new)
        assert (done["result"], done["changes"]) == (False, {})
        assert str(file) in done["comment"] and said in done["comment"], done["comment"]
    assert write(file, new)["result"] is True
    assert host_files.read(str(file)) == new
    assert write(file, new)["changes"] == {}


@pytest.mark.parametrize("fault", ["full disk", "no inodes", "read-only disk", "immutable folder"])
def test_a_new_file_in_an_impossible_place(folder: Path, unchanged: Any, fault: str) -> None:
    file = folder / "sub" / "file"
    file.parent.mkdir()
    strike, said, _ = ground.FAULTS[fault]
    with strike(file), unchanged():
        done = write(file)
        assert (done["result"], done["changes"]) == (False, {})
        assert str(file) in done["comment"] and said in done["comment"], done["comment"]
    assert write(file)["result"] is True


def test_a_file_where_a_folder_should_be(folder: Path, unchanged: Any) -> None:
    (folder / "sub").write_text("")
    with unchanged():
        assert "Not a directory" in write(folder / "sub" / "file")["comment"]


@pytest.mark.parametrize("kept", ["the file", "a second text"])
def test_attributes_survive_a_change_and_its_undo(folder: Path, file: Path, kept: str) -> None:
    os.setxattr(folder, ground.DEFAULT_ACL, ground.acl(12, 7))
    os.chown(file, 11, 22)
    os.chmod(file, 0o4751)
    os.setxattr(file, ground.ACL, ground.acl(1234, 6))
    os.setxattr(file, "user.mine", b"\0mine")
    os.setxattr(file, "trusted.ours", b"ours")
    os.setxattr(file, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    before = ground.facts(str(file))
    if kept == "the file":
        assert write(file, problem="something else")["result"] is False
        assert ground.facts(str(file)) == before
    else:
        assert write(file)["result"] is True
        assert ground.facts(str(file))[:-1] == before[:-1]
    assert sorted(os.listdir(folder)) == ["file"]


def test_a_default_acl_of_the_folder_gives_nobody_more(folder: Path, file: Path) -> None:
    os.chmod(file, 0o640)
    before = ground.facts(str(file))
    os.setxattr(folder, ground.DEFAULT_ACL, ground.acl(12, 7))
    assert write(file)["result"] is True
    assert ground.facts(str(file))[:-1] == before[:-1]


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_umask_does_not_matter(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert write(folder / "a" / "b" / "file")["result"] is True
        assert write(folder / "own", mode=0o640)["result"] is True
    finally:
        os.umask(before)
    modes = [oct((folder / each).stat().st_mode & 0o7777) for each in ("a", "a/b", "a/b/file", "own")]
    assert modes == ["0o755", "0o755", "0o644", "0o640"]


def test_a_link_stays_and_its_target_is_written(folder: Path) -> None:
    (folder / "far").mkdir()
    (folder / "link").symlink_to("far/file")
    for new in (OLD, NEW):  # at first it leads to nothing
        assert write(folder / "link", new, problem="something else")["result"] is False
        assert write(folder / "link", new)["result"] is True
        assert os.readlink(folder / "link") == "far/file"
        assert (folder / "far" / "file").read_text() == new
    assert write(folder / "link", None)["result"] is True
    assert os.listdir(folder / "far") == []


def test_a_link_of_somebody_else_does_not_say_where_a_new_file_is_made(folder: Path, unchanged: Any) -> None:
    (folder / "link").symlink_to("/srv/faults/victim")
    os.lchown(folder / "link", 1000, 1000)
    with unchanged():
        done = write(folder / "link")
    assert (done["result"], "is a link of another user's" in done["comment"]) == (False, True)


@pytest.mark.parametrize(
    "name", [b"n" * 255, b"two\nlines", b"caf\xe9", b"with space\\040", "ü".encode() * 127, b".hidden"]
)
def test_a_name_that_is_strange(folder: Path, name: bytes) -> None:
    file = folder / os.fsdecode(name)
    file.write_text(OLD)
    before = ground.facts(str(file))
    assert write(file, problem="something else")["result"] is False
    assert ground.facts(str(file)) == before
    assert write(file)["result"] is True
    assert os.listdir(os.fsencode(folder)) == [name]
    with ground.mounted(file):
        assert "it is a mount point" in write(file, OLD)["comment"]


def test_the_leftovers_of_a_strange_name_are_found(folder: Path) -> None:
    for name in (b"n" * 255, b"two\nlines", b"caf\xe9"):
        with host_leftovers.of("faults"):
            left = folder / host_leftovers.beside(os.fsdecode(name), host_leftovers.NEW)
            host_leftovers.note(str(left))
            left.write_text("")
        assert not left.exists()


def test_what_has_changed_between_plan_and_write_is_left(file: Path) -> None:
    for meddle in (
        "echo theirs >file",
        "rm file",
        "ln -sfn nothing file",
        "rm file; ln -s file file",
        "rm file; mkdir file",
    ):
        ground.run("rm", "-rf", str(file))
        file.write_text(OLD)
        edits = host_files.edit(str(file), OLD, NEW)
        ground.run("sh", "-c", f"cd {file.parent}; {meddle}")
        before = ground.snapshot(str(file.parent))
        with pytest.raises((host_files.Moved, OSError)) as raised:
            host_files.write(edits)
        assert str(file) in errors.said(raised.value)
        for step in host_files.restoring(edits):
            with pytest.raises((host_files.Moved, OSError)):
                step()
        assert ground.snapshot(str(file.parent)) == before


def test_what_appears_where_a_file_was_to_be_made_is_left(folder: Path) -> None:
    edits = host_files.edit(str(folder / "new"), None, NEW)
    (folder / "new").write_text("theirs")
    with pytest.raises(host_files.Moved):
        host_files.write(edits)
    assert ((folder / "new").read_text(), os.listdir(folder)) == ("theirs", ["new"])


def test_what_changes_while_the_new_file_is_made_is_left(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = host_place.make

    def slow(*arguments: Any) -> None:
        make(*arguments)
        file.write_text("theirs")

    edits = host_files.edit(str(file), OLD, NEW)
    monkeypatch.setattr(host_place, "make", slow)
    with host_leftovers.of("faults"), pytest.raises(host_files.Moved):
        host_files.write(edits)
    assert (file.read_text(), os.listdir(file.parent)) == ("theirs", ["file"])


def meddled(file: Path, action: Callable[[], object]) -> converge.Result:
    """A change that fails after somebody else has done something."""
    this = change(file, NEW)

    def apply(plan: converge.Plan) -> None:
        this.apply(plan)
        action()
        raise CommandExecutionError("something else")

    return converge.run("it", this._replace(apply=apply), {}, False)


@pytest.mark.parametrize(("mode", "limit", "after"), [(0o066, 0o600, 0o600), (0o777, 0o640, 0o640), (0, 0o644, 0o600)])
def test_the_owner_may_always_read_and_write(mode: int, limit: int, after: int) -> None:
    assert host_attributes.limited(mode, limit) == after


def test_a_link_of_another_user_in_the_middle_of_the_way_is_not_followed(folder: Path) -> None:
    """It would say where root makes a new file."""
    link = folder / "theirs"
    (folder / "elsewhere").mkdir()
    link.symlink_to(folder / "elsewhere")
    os.lchown(link, 33, 33)
    with pytest.raises(CommandExecutionError, match="theirs"):
        host_files.edit(str(link / "sub" / "new"), None, NEW)
    assert os.listdir(folder / "elsewhere") == []


@pytest.mark.parametrize("length", [199, 200, 201, 239, 240, 245, 255])
def test_a_name_may_be_as_long_as_a_name_can_be(folder: Path, length: int) -> None:
    path = folder / ("x" * length)
    path.write_text(OLD)
    assert converge.run("it", change(path, NEW), {}, False)["result"] is True
    assert (path.read_text(), os.listdir(folder)) == (NEW, [path.name])


def test_what_has_changed_between_write_and_undo_is_left(file: Path) -> None:
    done = meddled(file, lambda: file.write_text("theirs"))
    assert f"{file} has been changed by somebody else meanwhile: that was left as it is" in done["comment"]
    assert (file.read_text(), os.listdir(file.parent)) == ("theirs", ["file"])


def test_what_others_may_read_of_it_since_the_write_is_theirs_to_say(file: Path) -> None:
    """The old permissions might show it to whom its owner has just taken them from."""

    def closed() -> None:
        file.chmod(0o600)
        os.chown(file, 33, 33)

    done = meddled(file, closed)
    assert f"{file} has been changed by somebody else meanwhile: that was left as it is" in done["comment"]
    found = file.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (33, 33, 0o600)
    assert os.listdir(file.parent) == ["file"]


@pytest.mark.parametrize("there", [True, False], ids=["before", "not yet"])
def test_without_a_record_nothing_is_written_and_that_is_foreseen(file: Path, there: bool) -> None:
    """Where this host's own folder is read-only, and the file's is not."""
    records = Path("/var/lib/dualstack")
    if there:
        records.mkdir(mode=0o700)
    try:
        with ground.mounted(records.parent, "ro"):
            for test in (True, False):
                done = converge.run("it", change(file, NEW), {}, test)
                assert (done["result"], done["changes"]) == (False, {}), done
                assert done["comment"].startswith(
                    "no record of what is written can be made: no file can be made in "
                ), done
                assert done["comment"].endswith(
                    "/dualstack: its file system is mounted read-only"
                    if there
                    else "/lib: its file system is mounted read-only"
                ), done
            assert converge.run("it", change(file, OLD), {}, False)["result"] is True, "there is nothing to do"
    finally:
        if there:
            records.rmdir()
    assert (file.read_text(), os.listdir(file.parent)) == (OLD, ["file"])


def test_what_was_removed_between_write_and_undo_is_left(folder: Path, file: Path) -> None:
    assert "somebody else" in meddled(file, file.unlink)["comment"]
    assert os.listdir(folder) == []


def test_a_folder_that_was_removed_between_write_and_undo(folder: Path) -> None:
    file = folder / "sub" / "file"
    file.parent.mkdir()
    file.write_text(OLD)
    done = meddled(file, lambda: ground.run("rm", "-r", str(file.parent)))
    assert "somebody else" in done["comment"] and "bug" not in done["comment"]
    assert os.listdir(folder) == []


def test_an_undo_needs_no_room(file: Path) -> None:
    with ground.disk(file.parent):
        before = ground.facts(str(file))
        done = meddled(file, lambda: ground.fill(file.parent))
        assert "Everything was put back as it was." in done["comment"]
        assert (ground.facts(str(file)), sorted(os.listdir(file.parent))) == (before, ["ballast", "file"])


def test_an_undo_that_fails_says_so_and_the_next_run_cleans_up(file: Path) -> None:
    with ground.disk(file.parent):
        done = meddled(file, lambda: ground.run("mount", "-o", "remount,ro", str(file.parent)))
        assert f"It could not be put back: {file}: Read-only file system" in done["comment"]
        assert done["changes"]
        assert file.read_text() == NEW
        ground.run("mount", "-o", "remount,rw", str(file.parent))
        assert write(file)["result"] is True
        assert os.listdir(file.parent) == ["file"]


def test_an_old_file_that_somebody_has_removed_is_written_again(file: Path) -> None:
    done = meddled(file, lambda: ground.run("sh", "-c", f"rm {file.parent}/.*old"))
    assert "Everything was put back as it was." in done["comment"]
    assert (file.read_text(), os.listdir(file.parent)) == (OLD, ["file"])


def test_without_hard_links_a_copy_is_put_back(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Any, **__: Any) -> None:  # as on FAT, which this kernel does not know
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    os.setxattr(file, ground.ACL, ground.acl(1234, 6))
    os.chown(file, 11, 22)
    before = ground.facts(str(file))
    with ground.disk(file.parent):
        done = meddled(file, lambda: ground.fill(file.parent))
        assert "Everything was put back as it was." in done["comment"]
        assert (ground.facts(str(file)), sorted(os.listdir(file.parent))) == (before, ["ballast", "file"])


def test_an_old_file_that_somebody_has_replaced_by_a_link_is_not_put_back(folder: Path, file: Path) -> None:
    def trap() -> None:
        (kept,) = folder.glob(".*old")
        kept.unlink()
        (folder / "trap").write_text(OLD)
        kept.symlink_to("trap")

    assert "Everything was put back as it was." in meddled(file, trap)["comment"]
    assert (file.is_symlink(), file.read_text(), sorted(os.listdir(folder))) == (False, OLD, ["file", "trap"])


def test_a_folder_that_is_replaced_by_a_link_leads_nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("theirs", OLD), ("victim", "root's")):
        (folder / name).mkdir()
        (folder / name / "file").write_text(text)
    edits = host_files.edit(str(folder / "theirs" / "file"), OLD, NEW)
    real, calls = os.path.realpath, iter(range(99))
    before = ground.facts(str(folder / "victim" / "file"))

    def late(path: Any) -> str:  # they are faster than we, however often we look
        found = real(path)
        if next(calls) == turn:
            (folder / "theirs").rename(folder / "aside")
            (folder / "theirs").symlink_to("victim")
        return found

    monkeypatch.setattr(os.path, "realpath", late)
    for turn in range(5):
        calls = iter(range(99))
        with contextlib.suppress(host_files.Moved, OSError), host_leftovers.of("faults"):
            host_files.write(edits)
        assert ground.facts(str(folder / "victim" / "file")) == before
        assert os.listdir(folder / "victim") == ["file"]
        with contextlib.suppress(FileNotFoundError):
            (folder / "aside").rename(folder / "again")
            (folder / "theirs").unlink()
            (folder / "again").rename(folder / "theirs")
        (folder / "theirs" / "file").write_text(OLD)


def test_a_place_behind_a_link_that_has_just_been_made_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("theirs", "victim"):
        (folder / name / "sub").mkdir(parents=True)
    real = os.path.realpath

    def late(path: Any) -> str:
        found = real(path)
        (folder / "theirs").rename(folder / "aside")
        (folder / "theirs").symlink_to("victim")
        return found

    monkeypatch.setattr(os.path, "realpath", late)
    with pytest.raises(OSError, match="a folder on the way has just been replaced"):
        with host_place.of(str(folder / "theirs" / "sub" / "file")):
            pass


def test_folders_that_were_made_are_removed_by_an_undo(folder: Path, unchanged: Any) -> None:
    file = folder / "a" / "b" / "file"
    with unchanged():
        assert write(file, problem="something else")["result"] is False
    done = meddled(file, lambda: (file.parent / "theirs").write_text(""))
    assert "Everything was put back as it was." in done["comment"]
    assert [str(each.relative_to(folder)) for each in folder.rglob("*")] == ["a", "a/b", "a/b/theirs"]


def test_the_mode_of_our_own_file_is_converged(file: Path) -> None:
    file.write_text(NEW)
    for mode, right in ((0o666, "0640"), (0o4755, "0640"), (0o604, "0600")):
        file.chmod(mode)
        shown = {str(file): {"old": NEW, "new": NEW, "mode": {"old": f"{mode:04o}", "new": right}}}
        assert write(file, test=True, mode=0o640)["changes"] == shown
        assert write(file, mode=0o640, problem="something else")["changes"] == {}
        assert file.stat().st_mode & 0o7777 == mode
        assert write(file, mode=0o640)["changes"] == shown
        assert f"{file.stat().st_mode & 0o7777:04o}" == right
        assert write(file, mode=0o640)["changes"] == {}
    for mode in (0o600, 0o400):  # who wants less gets it
        file.chmod(mode)
        assert write(file, mode=0o640)["changes"] == {}


def test_a_mode_that_somebody_else_has_changed_is_left(file: Path) -> None:
    file.chmod(0o666)
    edits = host_files.edit(str(file), OLD, OLD, 0o640)
    file.chmod(0o644)
    with pytest.raises(host_files.Moved):
        host_files.write(edits)
    assert file.stat().st_mode & 0o7777 == 0o644


def test_no_descriptor_stays_open(folder: Path, file: Path) -> None:
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    before = os.listdir("/proc/self/fd")
    for path in (folder / "folder", folder / "pipe", folder / "none" / "none"):
        with contextlib.suppress(OSError):
            host_files.read(str(path))
        with contextlib.suppress(OSError):
            host_files.replace(str(path), NEW)
    for _ in range(3):
        write(file, NEW, problem="something else")
    assert os.listdir("/proc/self/fd") == before


def test_errors_name_the_path_that_was_meant(folder: Path) -> None:
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    ground.loop(folder / "loop")
    for path in map(str, sorted(folder.iterdir())):
        with pytest.raises(OSError) as raised:
            host_files.read(path)
        assert errors.said(raised.value).startswith(f"{path}: ")
        with pytest.raises(OSError) as raised:
            host_files.replace(path, NEW)
        assert errors.said(raised.value).startswith(f"{path}: ")
