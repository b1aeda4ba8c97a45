"""
Counts what a program does to the world outside of it, and strikes at one of these effects; for PYTHONPATH.

Every effect has a name: ``run /usr/sbin/service dovecot restart``, ``write /etc/dovecot/.dovecot.conf.dualstack-new``,
``rename ... to ...``. The environment says what happens:

* ``STRIKE_LOG``: the file that each name is appended to, and how long each command took
* ``STRIKE_AT``: the name of the effect, and ``STRIKE_COUNT``: which of those with this name, from 1
* ``STRIKE_WHEN``: ``before`` it; ``torn``, in the middle of it; or ``after`` it
* ``STRIKE_HOW``: ``kill``; ``tree``, with everything that it has started; ``term``; ``int``; ``stop``; or a path, a
  program that makes something else happen, and is waited for

Programs that this one starts are not counted: they do not get these variables.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

ENVIRONMENT = {key: os.environ.pop(key) for key in list(os.environ) if key.startswith("STRIKE_")}
SALTS_OWN = tuple(ENVIRONMENT.get("STRIKE_OWN", "").split(":"))
NOWHERE = ("/dev", "/tmp", "/run/dualstack.harness", "/memfd", "memfd", "pipe:", "/proc/self", "/root/.cache")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FOLDERS = {"os.remove": 1, "os.mkdir": 2, "os.rmdir": 1, "os.chmod": 2, "os.chown": 3}
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT, "stop": signal.SIGSTOP}
PAUSE = 0.02  # seconds of a command until it is struck in the middle


class _Strike:
    """The effects so far, and what to do."""

    def __init__(self, log: str, at: str, count: int, when: str, how: str) -> None:
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.at, self.count, self.when, self.how = at, count, when, how
        self.pid = os.getpid()
        self.seen: collections.Counter[str] = collections.Counter()
        self.due = ""  # the path of the file that is to be torn, or "now"
        self.done = False
        self.thread = threading.local()

    def write(self, **line: Any) -> None:
        """A line of the log."""
        os.write(self.log, (json.dumps(line) + "\n").encode())

    def effect(self, name: str, path: str = "") -> bool:
        """One effect more, which is about to happen; whether it is the one."""
        name = " ".join(name.split())[:160]
        name = re.sub(r"[0-9a-f]{12,}|(?<=/proc/)\d+|(?<=deadline\.)\d+", "N", name)
        self.seen[name] += 1
        self.write(name=name, count=self.seen[name], at=time.monotonic())
        if name != self.at or self.seen[name] != self.count or self.done:
            return False
        if self.when == "before":
            self.strike()
        elif path:
            self.due = path if self.when == "torn" else "now"
        return True

    def strike(self) -> None:
        """Now."""
        if self.done:
            return
        self.done = True
        self.due = ""
        self.write(struck=self.how, when=self.when)
        if self.how not in (*SIGNALS, "tree"):
            subprocess.run([self.how], check=False)
            return
        if self.how == "tree":
            for pid in _descendants(self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.how == "int":  # Ctrl-C reaches all that is in the foreground
            os.killpg(os.getpgid(0), signal.SIGINT)
        else:
            os.kill(self.pid, SIGNALS.get(self.how, signal.SIGKILL))
        time.sleep(0.01)  # Python's own handlers run between two lines, in the main thread


def _descendants(pid: int) -> list[int]:
    """All processes that a process has started, and those that these have."""
    parents: dict[int, list[int]] = collections.defaultdict(list)
    for each in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{each}/stat", encoding="utf-8", errors="replace") as stream:
            parents[int(stream.read().rpartition(")")[2].split()[1])].append(int(each))
    found, todo = [], [pid]
    while todo:
        children = parents[todo.pop()]
        found += children
        todo += children
    return found


def _place(path: Any, folder: int = -1) -> str:
    """The whole path of a file."""
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    path = os.fsdecode(path)
    if path.startswith("/"):
        return os.path.normpath(path)
    with contextlib.suppress(OSError):
        return os.path.normpath(
            os.path.join(os.readlink(f"/proc/self/{f'fd/{folder}' if folder >= 0 else 'cwd'}"), path)
        )
    return path


def _outside(path: str) -> bool:
    return not path.startswith((*filter(None, SALTS_OWN), *NOWHERE))


def _audit(event: str, given: tuple[Any, ...]) -> None:
    this = STRIKE
    if os.getpid() != this.pid or getattr(this.thread, "busy", False) or event in ("object.__getattr__", "compile"):
        return
    this.thread.busy = True
    try:
        if this.due and event in (*ABOUT, "open", "subprocess.Popen") and not isinstance(given[0], int):
            _overdue()
        _told(event, given)
    except OSError:
        pass
    finally:
        this.thread.busy = False


def _overdue() -> None:
    """The effect is over: what it has written becomes torn, as far as it may be."""
    path = STRIKE.due
    if path != "now" and not path.startswith("/proc"):
        with contextlib.suppress(OSError):
            os.truncate(path, os.path.getsize(path) // 2)
    STRIKE.strike()


ABOUT: dict[str, Callable[..., str]] = {
    "os.rename": lambda old, new, one, other: f"rename {_place(old, one)} to {_place(new, other)}",
    "os.link": lambda old, new, one, other: f"link {_place(old, one)} to {_place(new, other)}",
    "os.remove": lambda path, folder: f"remove {_place(path, folder)}",
    "os.rmdir": lambda path, folder: f"rmdir {_place(path, folder)}",
    "os.mkdir": lambda path, mode, folder: f"mkdir {_place(path, folder)}",
    "os.chmod": lambda path, mode, folder: f"chmod {_place(path, folder)}",
    "os.chown": lambda path, user, group, folder: f"chown {_place(path, folder)}",
    "os.setxattr": lambda path, name, value, flags: f"setxattr {name} {_place(path)}",
    "os.truncate": lambda path, length: f"truncate {_place(path)}",
    "socket.connect": lambda socket, address: f"connect {_address(address)}",
    "socket.sendto": lambda socket, address: f"send {_address(address)}",
}


def _address(address: Any) -> str:
    return f"{address[0]} port {address[1]}" if isinstance(address, tuple) else str(address)


def _told(event: str, given: tuple[Any, ...]) -> None:
    if event == "open":
        path, mode, flags = given
        if isinstance(path, int) or not (flags or 0) & WRITING:
            return
        whole = _place(path, getattr(STRIKE.thread, "folder", -1))
        if _outside(whole):
            STRIKE.effect(f"write {whole}", whole)
    elif event == "subprocess.Popen":
        program, words = given[0], given[1]
        words = [os.fsdecode(each) for each in words] if isinstance(words, (list, tuple)) else [os.fsdecode(words)]
        name = " ".join([os.path.basename(os.fsdecode(program)), *words[1:]])
        if STRIKE.effect(f"run {name}"):
            STRIKE.thread.command = True
    elif event in ABOUT:
        name = ABOUT[event](*given)
        if _outside(name.split(" ")[1]):
            STRIKE.effect(name, "now")


def _install() -> None:
    """Look at what has no audit event, or one that does not say enough."""
    popen: Any = subprocess.Popen
    real_open, started, ended = os.open, popen._execute_child, popen._handle_exitstatus

    def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        STRIKE.thread.folder = -1 if dir_fd is None else dir_fd
        try:
            return real_open(path, flags, mode, dir_fd=dir_fd)
        finally:
            STRIKE.thread.folder = -1

    def execute(self: Any, *given: Any, **named: Any) -> Any:
        STRIKE.thread.command = False
        began = time.monotonic()
        done = started(self, *given, **named)
        self.strike = (getattr(STRIKE.thread, "command", False), began, os.getpid())
        if self.strike[0] and STRIKE.when == "torn":
            time.sleep(PAUSE)
            STRIKE.strike()
        return done

    def exited(self: Any, *given: Any, **named: Any) -> Any:
        done = ended(self, *given, **named)
        due, began, pid = getattr(self, "strike", (False, 0, 0))
        if pid == STRIKE.pid and not STRIKE.done:
            STRIKE.write(ended=str(self.args)[:80], took=round(time.monotonic() - began, 3))
        if due and STRIKE.when == "after":
            STRIKE.strike()
        return done

    os.open = opened
    popen._execute_child, popen._handle_exitstatus = execute, exited
    sys.addaudithook(_audit)


if "STRIKE_LOG" in ENVIRONMENT:
    STRIKE = _Strike(
        ENVIRONMENT["STRIKE_LOG"],
        ENVIRONMENT.get("STRIKE_AT", ""),
        int(ENVIRONMENT.get("STRIKE_COUNT", 1)),
        ENVIRONMENT.get("STRIKE_WHEN", "before"),
        ENVIRONMENT.get("STRIKE_HOW", "kill"),
    )
    _install()
