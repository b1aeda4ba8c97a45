"""
Processes that this project has started, found again with all that they have started themselves.
"""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import subprocess
import time
from typing import NamedTuple

import salt.utils.files
from salt.exceptions import CommandExecutionError

NAME = "DUALSTACK_COMMAND"
OF_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}  # which it ignores itself, and restores for a command
PATIENCE = 5.0  # seconds for the kernel to end a killed process: one that waits for a disk goes on waiting


class Mark(NamedTuple):
    """What is found in the environment of a process and of what it starts, whatever session they are in."""

    text: str
    environment: dict[str, str]


class _Seen(NamedTuple):
    """A process, as proc(5) describes it."""

    pid: int
    parent: int
    session: int


def mark() -> Mark:
    """
    A new mark.
    """
    text = os.urandom(8).hex()
    return Mark(text, {NAME: text})


def inherits_signals() -> bool:
    """
    Whether a command would ignore or block signals since whoever has started Salt does.
    """
    ignored = {each for each in signal.valid_signals() if signal.getsignal(each) == signal.SIG_IGN}
    return bool(ignored - OF_PYTHON or signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def forget_signals() -> None:
    """
    Handle all signals as usual, in a process that is about to become a command: daemons would inherit what is not.
    """
    for each in signal.valid_signals():
        if signal.getsignal(each) == signal.SIG_IGN:
            signal.signal(each, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def heed_children() -> None:
    """
    Let the kernel keep how a command has ended: where Salt was started with SIGCHLD ignored, each seems to succeed.

    Raises ``CommandExecutionError`` where that cannot be changed, as in a thread.
    """
    if signal.getsignal(signal.SIGCHLD) != signal.SIG_IGN:
        return
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    except ValueError:
        raise CommandExecutionError("Salt was started with SIGCHLD ignored: no command can be run") from None


def kill(process: subprocess.Popen[bytes], mark: str) -> None:
    """
    Kill a process and all that it has started: its children and theirs, those in its session, and those with its mark.

    process
        The process, the leader of its session. It may have ended already.
    mark
        Its mark.
    """
    end = time.monotonic() + PATIENCE
    while (found := _family(process.pid, mark)) and time.monotonic() < end:  # some may just be starting others
        for pid in found:
            with contextlib.suppress(OSError):  # it has just ended by itself
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        time.sleep(0.01)
    process.poll()


def _family(leader: int, mark: str) -> set[int]:
    seen = [each for path in glob.glob("/proc/[0-9]*/stat") if (each := _look(path))]
    found = {each.pid for each in seen if each.session == leader or each.pid == leader or _marked(each.pid, mark)}
    while more := {each.pid for each in seen if each.parent in found} - found:
        found |= more
    return found


def _look(path: str) -> _Seen | None:
    """A process; ``None`` if it has ended, even where its parent has not noticed yet."""
    with contextlib.suppress(OSError, IndexError, ValueError), salt.utils.files.fopen(path, "rb") as stream:
        state, parent, _, session = stream.read().rpartition(b")")[2].split()[:4]
        if state not in (b"Z", b"X"):
            return _Seen(int(path.split("/")[2]), int(parent), int(session))
    return None


def _marked(pid: int, mark: str) -> bool:
    with contextlib.suppress(OSError), salt.utils.files.fopen(f"/proc/{pid}/environ", "rb") as stream:
        return f"{NAME}={mark}".encode() in stream.read().split(b"\0")
    return False
