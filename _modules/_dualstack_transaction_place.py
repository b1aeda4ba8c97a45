"""
The transaction that is open on this host, if there is one: a folder that survives a reboot, and who holds it.

It is there from the first change of a run until all of them are confirmed, or put back. ``armed`` is renamed once, by
the run to ``committed`` or by the restorer to ``restoring``: so it cannot end both ways.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import shlex
import threading
import time
from typing import NamedTuple

import _dualstack_host_files as host_files
import _dualstack_rooms

FOLDER = "/var/lib/dualstack/transaction"
REPORT = "/run/dualstack/restored"  # of the restorer, for the next run
TOLD = f"{REPORT}.told"  # the same when that has told it, until a run is kept
ENTRIES = f"{FOLDER}/entries"
HOLDER, RESTORER = f"{FOLDER}/holder", f"{FOLDER}/restorer.pid"
ARMED, COMMITTED, RESTORING, ASKED = (f"{FOLDER}/{each}" for each in ("armed", "committed", "restoring", "asked"))
ASKED_ASIDE = "/run/dualstack/asked"  # where the folder cannot be written any more
PARALLEL = "ParallelState("  # how Salt names the processes of states with `parallel: true`
# The run of this thread, also in the processes that it forks; shared by the doors, each of which has rooms of its own.
_OWN: threading.local = vars(_dualstack_rooms).setdefault("transaction_run", threading.local())


class Holder(NamedTuple):
    """Whose transaction it is."""

    pid: int  # 0: its run has ended, and waits to be confirmed
    start: int  # field 22 of proc(5)
    jid: str = ""
    since: float = 0.0  # seconds since the epoch
    name: str = ""
    guard: str = ""  # the command that takes away what makes the next boot restore
    event: str = ""  # the command that tells the master

    @property
    def said(self) -> str:
        """Who it is, in words."""
        job = f", job {self.jid}" if self.jid else ""
        who = f"process {self.pid}" if self.pid else "a run that waits to be confirmed"
        return f"{who}{job}, for '{self.name}', since {max(time.time() - self.since, 0):.0f} s"

    @property
    def shell(self) -> str:
        """As the restorer reads it."""
        return "".join(f"{key}={shlex.quote(str(value))}\n" for key, value in self._asdict().items())


def is_open() -> bool:
    """
    Whether there is a transaction, whoever holds it.
    """
    return os.path.lexists(FOLDER)


def run() -> tuple[int, int]:
    """
    The process of this run, and when it has started: not the one of a state with ``parallel: true``. A minion with
    ``multiprocessing: False`` does each job in a thread, which is told as a process is, and ends as one does.
    """
    if multiprocessing.current_process().name.startswith(PARALLEL):
        parent = os.getppid()
        pid = getattr(_OWN, "run", parent)
        pid = pid if os.path.exists(f"/proc/{parent}/task/{pid}") else parent
    else:
        pid = _OWN.run = threading.get_native_id()
    return pid, started(pid)


def await_parallel(seconds: float) -> None:
    """
    Wait for the states with ``parallel: true`` that this run has started: Salt does so only for those that a state
    requires.

    seconds
        At most so long.
    """
    end = time.monotonic() + seconds
    for each in multiprocessing.active_children():
        if each.name.startswith(PARALLEL):
            each.join(max(end - time.monotonic(), 0))


def job() -> str:
    """
    The number of Salt's job that this process does; empty if it has none.
    """
    names = f"{multiprocessing.current_process().name} {threading.current_thread().name}"
    found = re.search(r"\d{20}", names)
    return found[0] if found else ""


def started(pid: int) -> int:
    """
    When a process has started, in the kernel's ticks; 0 if it has ended.

    pid
        Its number.
    """
    with contextlib.suppress(OSError, IndexError, ValueError):
        fields = (host_files.read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
        return int(fields[19]) if fields[0] not in ("Z", "X") else 0
    return 0


def holder() -> Holder | None:
    """
    Who holds the transaction; ``None`` where nobody does, or nobody knows.
    """
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        found = dict(each.partition("=")[::2] for each in shlex.split(host_files.read(HOLDER) or ""))
        words = {key: found[key] for key in ("jid", "name", "guard", "event")}
        return Holder(int(found["pid"]), int(found["start"]), since=float(found["since"]), **words)
    return None


def is_ours() -> bool:
    """
    Whether this run holds the transaction.
    """
    if not is_open():
        return False
    found = holder()
    return found is not None and (found.pid, found.start) == run()


def is_held() -> bool:
    """
    Whether the run that holds the transaction goes on, or waits to be confirmed.
    """
    found = holder()
    if found is None:
        return False
    return not found.pid or started(found.pid) == found.start


def is_watched() -> bool:
    """
    Whether the restorer runs.
    """
    found = re.fullmatch(r"(\d+) (\d+)\n?", _text(RESTORER))
    return found is not None and started(int(found[1])) == int(found[2])


def report() -> str:
    """
    What the restorer has said last; empty if nobody has to be told.
    """
    return _text(REPORT).strip()


class Last(NamedTuple):
    """A report of the restorer, and when it was made, in seconds since the epoch."""

    text: str
    when: float


def last() -> Last:
    """
    What the restorer has said of the last run, whether or not anybody has been told; empty if that run was kept.
    """
    for path in (REPORT, TOLD):
        with contextlib.suppress(OSError):
            return Last(_text(path).strip(), os.stat(path).st_mtime)
    return Last("", 0.0)


def put(path: str, text: str, mode: int = 0o600) -> None:
    """
    Write a file of the transaction; its name is on the disk after :py:func:`settle`.

    path
        The file.
    text
        The whole text.
    mode
        Its permissions.

    Raises ``OSError``. Nobody else may write in its folder, so it needs no more care than this.
    """
    new = f"{path}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb", closefd=False) as stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(new, path)


def commit() -> None:
    """
    Keep what the run has changed: by one rename, which is on the disk before anything is taken away that would be
    needed to put it back (``/etc`` may be on another one).

    Raises ``FileNotFoundError`` if the restorer was quicker.
    """
    os.rename(ARMED, COMMITTED)
    with contextlib.suppress(OSError):  # a disk that cannot say so
        settle(FOLDER)


def settle(folder: str) -> None:
    """
    Have the names in a folder on the disk.

    folder
        The folder.

    Raises ``OSError``.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return host_files.read(path) or ""
    return ""
