"""
One writer at a time: whoever changes a part of this host holds its lock, from the plan to the second plan.

A minion, a masterless ``salt-call`` and salt-ssh may run at the same time, and so may states with ``parallel: true``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator

import _dualstack_host_commands as host_commands
import _dualstack_host_hindrances as host_hindrances
import _dualstack_host_leftovers as host_leftovers
import _dualstack_host_time as host_time
import salt.utils.json
from salt.exceptions import CommandExecutionError

FOLDER = "/run/dualstack"
PATIENCE = 300.0  # seconds
NAME = 100  # characters of a state's name that others are told, and of a part
PAUSE = 0.1  # seconds between two attempts


@contextlib.contextmanager
def held(part: str, name: str, patience: float = PATIENCE) -> Iterator[None]:
    """
    Hold the lock of a part of this host in this context.

    part
        ``firewall``, ``tunnel``, ``dns``, ``sysctl``, or ``service-NAME``.
    name
        The state that holds it, for the message that others get.
    patience
        Seconds to wait for it; within a state, as many as that has left.

    What an earlier holder could not clean up, since it was killed, is removed. Raises ``CommandExecutionError`` with
    the name of the one who holds the lock, if that takes too long, and where others could replace the lock.
    """
    _make_folder()
    path = f"{FOLDER}/{part.replace('/', '_').replace(chr(0), '_')[:NAME]}.lock"
    # Never removed: whoever waits for it has it open. Not inherited by the commands that are started meanwhile.
    with contextlib.closing(_File(path)) as file:
        _wait(file, part, patience)
        file.sign(name)
        try:
            with host_leftovers.of(part[:NAME]):
                yield
        finally:
            file.sign("")


def refuse() -> None:
    """
    Refuse where no lock could be taken, without taking one.

    Raises ``CommandExecutionError``.
    """
    if os.path.lexists(FOLDER):
        _refuse_others()
    why = host_hindrances.of_folder(f"{FOLDER}/lock")
    if why:
        raise CommandExecutionError(f"no lock can be taken: {why}")


def _make_folder() -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(FOLDER, 0o700)
    _refuse_others()


def _refuse_others() -> None:
    """In a folder of somebody else's, others could take the lock from under us, or point it at another file."""
    found = os.lstat(FOLDER)
    if not stat.S_ISDIR(found.st_mode):
        problem = "is no folder"
    elif found.st_uid != os.geteuid():
        problem = f"belongs to the user with the number {found.st_uid}"
    elif stat.S_IMODE(found.st_mode) & 0o022:
        problem = f"can be written by others (its mode is {stat.S_IMODE(found.st_mode):04o})"
    else:
        return
    raise CommandExecutionError(
        f"{FOLDER} {problem}: locks would be worth nothing there; find out who has made it, and remove it"
    )


class _File:
    """A lock's file, with the name of its holder in it."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def taken(self) -> bool:
        """Try to take the lock."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def sign(self, name: str) -> None:
        """Say who holds the lock."""
        text = (
            salt.utils.json.dumps({"pid": os.getpid(), "name": str(name)[:NAME], "since": time.time()}) if name else ""
        )
        with contextlib.suppress(OSError):  # on a full disk the lock holds as well, without a name
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, text.encode("utf-8", "backslashreplace"), 0)

    def holder(self) -> str:
        """Who holds the lock, in words."""
        try:
            found = salt.utils.json.loads(os.pread(self.descriptor, 1 << 16, 0).decode())
            name, since = host_commands.in_one_line(found["name"]), time.time() - found["since"]
            return f"process {found['pid']:d}, for '{name}', since {since:.0f} s"
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return "another process"  # it has just taken it, or somebody has written something else into the file

    def close(self) -> None:
        """Give the lock back."""
        os.close(self.descriptor)


def _wait(file: _File, part: str, patience: float) -> None:
    end = time.monotonic() + host_time.left(patience)
    while not file.taken():
        if time.monotonic() > end:
            raise CommandExecutionError(
                f"the {part} of this host is being changed by {file.holder()}: it was not waited for any longer; "
                "run this again when that has ended"
            )
        time.sleep(PAUSE)
