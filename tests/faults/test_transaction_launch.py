"""The restorer outlives whatever ends Salt. What systemd does with its service is seen in tests/power."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import _dualstack_boot_units as boot_units
import _dualstack_transaction_launch as launch
import _dualstack_transaction_place as place
import pytest
from salt.exceptions import CommandExecutionError

from . import programs
from .test_processes import wait_until

# It says how it was started, and waits.
RESTORER = """\
echo "$*" >{folder}/words
tr '\\0' '\\n' </proc/self/environ >{folder}/environment
cp /proc/$$/stat /proc/$$/oom_score_adj {folder}
umask >{folder}/umask
pwd >{folder}/pwd
cut -d ' ' -f 1,22 /proc/$$/stat >{folder}/name
mv {folder}/name {folder}/restorer.pid
[ ! -e {folder}/ends ] || exit "$(cat {folder}/ends)"
while :; do sleep 0.1; done
"""


@pytest.fixture
def transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A transaction's folder with a restorer in it that has not been started."""
    folder = tmp_path / "transaction"
    folder.mkdir()
    monkeypatch.setattr(place, "RESTORER", str(folder / "restorer.pid"))
    (folder / "restorer").write_text(RESTORER.format(folder=folder))
    yield folder
    for pid in family(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not family(folder))


def family(folder: Path) -> list[int]:
    """The processes that have this folder in their command line, but for this one."""
    found = []
    for each in programs.of_processes("cmdline"):
        words, pid = text(each), int(each.parent.name)
        if pid != os.getpid() and str(folder) in words and "pytest" not in words.split("\0"):
            found.append(pid)
    return found


def text(path: Path) -> str:
    """A file of proc(5); empty where the process has ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def start(folder: Path) -> int:
    """Start the restorer; its pid."""
    launch.start(str(folder / "restorer"), os.getpid(), 5)
    assert wait_until(place.is_watched)
    return pid_of(folder)


def pid_of(folder: Path) -> int:
    return int((folder / "restorer.pid").read_text().split()[0])


def signals(pid: int) -> dict[str, int]:
    """Which signals a process ignores, and which it blocks: dash(1) does while it starts a program."""
    lines = [line.split(":", 1) for line in text(Path(f"/proc/{pid}/status")).splitlines()]
    return {words[0]: int(words[1], 16) for words in lines if words[0] in ("SigIgn", "SigBlk")}


def test_it_has_nothing_of_whoever_has_started_it(transaction: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 5 192.0.2.2 22")
    before = programs.descriptors()
    pid = start(transaction)
    assert programs.descriptors() == before
    assert wait_until((transaction / "pwd").exists)
    assert (transaction / "words").read_text() == f"watch {os.getpid()} 5\n"
    assert (transaction / "pwd").read_text() == "/\n"
    assert (transaction / "umask").read_text() == "0077\n"
    names = {line.partition("=")[0] for line in (transaction / "environment").read_text().splitlines()}
    assert names - {"PWD", "OLDPWD"} == {"PATH", "LC_ALL", "HOME", "TERM"}
    files = {each.name: os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    assert files == {"0": "/dev/null", "1": "/dev/null", "2": "/dev/null", "10": str(transaction / "restorer")}
    assert wait_until(lambda: signals(pid) == {"SigIgn": 0, "SigBlk": 0}), signals(pid)
    may = subprocess.run(["sh", "-c", "echo -1000 >/proc/self/oom_score_adj"], check=False, stderr=subprocess.DEVNULL)
    assert (transaction / "oom_score_adj").read_text() == ("0\n" if may.returncode else "-1000\n")
    assert os.getsid(pid) not in (os.getsid(0), os.getpid())
    assert int((transaction / "stat").read_text().rpartition(")")[2].split()[4]) == 0, "it has a terminal"


def test_the_end_of_salts_whole_process_tree_is_none_of_it(transaction: Path) -> None:
    """As the judges of this project kill: children by their parents, the session, the process group."""
    script = "import sys, time, _dualstack_transaction_launch as launch; "
    script += "launch.start(*sys.argv[1:]); time.sleep(100)"
    words = [sys.executable, "-c", script, str(transaction / "restorer"), "1", "5"]
    environment = {**os.environ, "PYTHONPATH": str(Path(launch.__file__).parent)}
    salt = subprocess.Popen(words, env=environment, start_new_session=True)
    assert wait_until(lambda: place.is_watched())
    doomed = tree(salt.pid)
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    os.killpg(salt.pid, signal.SIGKILL)
    salt.wait()
    time.sleep(0.3)
    assert place.is_watched()
    assert pid_of(transaction) not in doomed


def tree(root: int) -> set[int]:
    """A process, its children and theirs, and all in its session."""
    parents, found = {}, {root}
    for each in programs.of_processes("stat"):
        words = text(each).rpartition(")")[2].split()
        if words:
            parents[int(each.parent.name)] = (int(words[1]), int(words[3]))
    while more := {pid for pid, above in parents.items() if found & set(above)} - found:
        found |= more
    return found


def test_one_that_is_killed_is_started_again(transaction: Path) -> None:
    first = start(transaction)
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: place.is_watched() and pid_of(transaction) != first)


def test_after_all_of_it_was_killed_it_is_not_alive_and_can_be_started(transaction: Path) -> None:
    first = start(transaction)
    for pid in sorted(family(transaction), key=lambda each: each == first):
        os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not place.is_watched())
    assert start(transaction) != first
    assert place.is_watched()


@pytest.mark.parametrize("ends", [0, 1])
def test_one_that_has_ended_is_not_started_again(transaction: Path, ends: int) -> None:
    (transaction / "ends").write_text(f"{ends}\n")
    launch.start(str(transaction / "restorer"), os.getpid(), 5)
    assert wait_until((transaction / "restorer.pid").exists)
    first = pid_of(transaction)
    assert wait_until(lambda: not family(transaction))
    assert pid_of(transaction) == first


@pytest.mark.parametrize("fault", ["fails", "hangs", "is missing"])
def test_where_it_cannot_be_started_that_is_said(
    transaction: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(launch, "PATIENCE", 0.5)
    with programs.broken("setsid", fault):
        with pytest.raises(CommandExecutionError, match="if it failed, cannot be started: .*setsid"):
            start(transaction)
    assert not family(transaction)


@pytest.mark.parametrize("fault", ["fails", "hangs", "is missing"])
def test_where_systemd_does_not_start_it_the_other_way_does(
    transaction: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(launch, "PATIENCE", 0.5)
    monkeypatch.setattr(boot_units, "RUNS", "/run")
    with programs.broken("systemd-run", fault):
        start(transaction)
    assert place.is_watched()
