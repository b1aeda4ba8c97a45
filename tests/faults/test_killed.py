"""A run that ends at any line: killed, interrupted, or by an error that only this line has."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_host_files as host_files
import pytest

OLD, NEW = "old\n" * 3000, "new\n" * 5000
ROOMS = tuple(f"_dualstack_host_{room}.py" for room in ("files", "place", "attributes", "leftovers", "lock"))
# What the kernel is asked for by these rooms, as Python's audit events call it; fsync(2) has none.
EVENTS = {
    "open",
    *(f"os.{name}" for name in ("rename", "link", "remove", "chmod", "chown", "setxattr", "mkdir", "rmdir")),
}
TEXTS = {"replaced": (OLD, NEW), "made": (None, NEW), "removed": (OLD, None)}


def change(path: Path, new: str | None, problem: bool = False) -> converge.Change:
    """The change of a file; it may fail in the end."""

    def plan() -> converge.Plan:
        edits = host_files.edit(str(path), host_files.read(str(path)), new)
        return {"changes": dict.fromkeys(edits, {}), "files": edits}

    def apply(plan: converge.Plan) -> None:
        host_files.write(plan["files"])
        if problem:
            raise OSError(errno.EIO, "something else")

    return converge.Change("faults", plan, apply, lambda plan: list(host_files.restoring(plan["files"])))


class Clock:
    """Counts what the rooms of writing ask the kernel for, and their lines; strikes at one of these moments."""

    def __init__(self, moment: int, strike: Callable[[], None]) -> None:
        self.moment, self.strike, self.count, self.running = moment, strike, 0, True

    @contextlib.contextmanager
    def ticking(self, lines: bool) -> Iterator[None]:
        """The moments are in this context."""
        sys.addaudithook(self.audit)
        if lines:
            sys.settrace(self.trace)
        try:
            yield
        finally:
            sys.settrace(None)
            self.running = False

    def trace(self, frame: types.FrameType, event: str, _: Any) -> Any:
        """For sys.settrace()."""
        if not frame.f_code.co_filename.endswith(ROOMS):
            return None
        if event == "line":
            self.tick()
        return self.trace

    def audit(self, event: str, _: Any) -> None:
        """For sys.addaudithook()."""
        if event in EVENTS:
            self.tick()

    def tick(self) -> None:
        """One moment more."""
        if self.running:
            self.count += 1
            if self.count == self.moment:
                self.running = False
                self.strike()


def forked(action: Callable[[], int]) -> int:
    """Run something in a process of its own; its exit status, negative if a signal has ended it."""
    pid = os.fork()
    if not pid:
        status = 99
        with contextlib.suppress(BaseException):
            status = action()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_until(moment: int, strike: Callable[[], None], this: converge.Change, lines: bool = True) -> tuple[bool, Any]:
    """Run a change; something happens at a moment of it. Whether it did, and the result."""
    clock = Clock(moment, strike)
    with clock.ticking(lines):
        done = converge.run("it", this, {}, False)
        return not clock.running, done


def prepared(folder: Path, old: str | None) -> Path:
    """The file as it is before."""
    file = folder / "sub" / "file"
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    if old is not None:
        file.write_text(old)
    return file


def each_moment(folder: Path, old: str | None, new: str | None, attempt: Callable[[int, Path], int]) -> set[int]:
    """
    Try something at each moment of a change, in a process of its own, until it returns 0: there are no more.

    Returns how these processes ended. After each, the file is old or new, and the next run completes it, and leaves
    nothing behind.
    """
    moment = 0
    seen: set[int] = set()
    while True:
        moment += 1
        file = prepared(folder, old)
        ended = forked(lambda: attempt(moment, file))
        if not ended:
            assert moment > 10
            return seen
        seen.add(ended)
        assert host_files.read(str(file)) in (old, new), f"torn at {moment}"
        assert converge.run("it", change(file, new), {}, True)["result"] is not False, f"test=True fails at {moment}"
        done = converge.run("it", change(file, new), {}, False)
        assert (done["result"], host_files.read(str(file))) == (True, new), (moment, done)
        left = [*folder.rglob(".*"), *Path("/var/lib").glob("dualstack")]
        assert left == [], (moment, ended, left)


@pytest.mark.parametrize(
    ("case", "failing"), [("replaced", False), ("replaced", True), ("made", True), ("removed", True)]
)
def test_killed_at_any_moment(folder: Path, case: str, failing: bool) -> None:
    old, new = TEXTS[case]

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def attempt(moment: int, file: Path) -> int:
        struck, _ = run_until(moment, die, change(file, new, failing))
        return 98 if struck else 0

    assert each_moment(folder, old, new, attempt) == {-signal.SIGKILL}


@pytest.mark.parametrize("case", TEXTS)
def test_interrupted_at_any_moment(folder: Path, case: str) -> None:
    old, new = TEXTS[case]

    def interrupt() -> None:
        raise KeyboardInterrupt

    def attempt(moment: int, file: Path) -> int:
        try:
            return int(run_until(moment, interrupt, change(file, new))[0])
        except KeyboardInterrupt:
            return 2

    assert 2 in each_moment(folder, old, new, attempt)


@pytest.mark.parametrize("case", TEXTS)
def test_an_error_at_any_call(folder: Path, case: str) -> None:
    old, new = TEXTS[case]

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def attempt(moment: int, file: Path) -> int:
        struck, done = run_until(moment, fail, change(file, new), lines=False)
        if not struck:
            return 0
        if "bug" in done["comment"]:
            return 5
        if done["result"]:
            return 1 if host_files.read(str(file)) == new else 6
        return 2 if host_files.read(str(file)) == old else 7

    assert each_moment(folder, old, new, attempt) <= {1, 2}


@pytest.mark.parametrize("strange", [False, True], ids=["", "with another owner and ACL"])
def test_a_reader_never_sees_half_a_file_or_none(folder: Path, strange: bool) -> None:
    file = prepared(folder, OLD)
    wrong: list[Any] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                text = file.read_text()
            except FileNotFoundError:
                text = "none"
            if text not in (OLD, NEW):
                wrong.append(text)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(200):
            if strange:
                os.chown(file, number, number)
            done = converge.run("it", change(file, NEW if number % 2 else OLD, problem=number % 3 == 0), {}, False)
            assert "bug" not in done["comment"]
    finally:
        over.set()
        reader.join()
    assert wrong == []


def test_what_is_on_the_disk_before_what(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = prepared(folder, OLD)
    calls: list[str] = []

    def audit(event: str, arguments: Any) -> None:
        if event in ("os.rename", "os.link") and not over:
            calls.append(event)

    def fsync(descriptor: int) -> None:
        calls.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    over, real = False, os.fsync
    sys.addaudithook(audit)
    monkeypatch.setattr(os, "fsync", fsync)
    assert converge.run("it", change(file, NEW), {}, False)["result"] is True
    over = True
    new, record = ".file.dualstack-new", "faults.files"
    # What is to be made is recorded before; the new file is on the disk before its name is, and then the folder.
    assert calls == [record, new, record, "os.link", "os.rename", "sub"]
