"""
The files that a change needs beside those that it replaces: none of them stays, even if the run is killed.

A record in this host's own folder names them before they are made. Whoever holds the lock next removes them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import threading
import urllib.parse
from collections.abc import Iterator

import _dualstack_host_place as host_place
import _dualstack_rooms
from salt.exceptions import CommandExecutionError

FOLDER = "/var/lib/dualstack"
NEW, OLD = "dualstack-new", "dualstack-old"
KEPT = "dualstack-kept"  # for as long as a run may have to be put back: the transaction removes it
OURS = re.compile(rf"\..+\.({NEW}|{OLD})", re.DOTALL)
LONGEST = 200  # bytes of a name that is used as it is: a file's name may have 255

# The record of this thread, shared with the plug-ins: each public module has rooms of its own.
_THREAD: threading.local = vars(_dualstack_rooms).setdefault("leftovers", threading.local())


def beside(name: str, kind: str) -> str:
    """
    The name of a file beside another one: hidden, and with a suffix that no daemon reads.

    name
        That of the other file.
    kind
        ``NEW``, the one that is about to take its place; ``OLD``, the one whose place was taken; or ``KEPT``, the one
        that was there before the run.
    """
    if len(os.fsencode(name)) > LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}.{kind}"


@contextlib.contextmanager
def of(part: str) -> Iterator[None]:
    """
    Keep a record of the files in this context, and remove them at its end, and those of a run that was killed before.

    part
        Whose lock is held.

    Raises ``OSError``.
    """
    record = f"{part.replace('/', '_')}.files"
    outer = getattr(_THREAD, "record", "")
    _sweep(record)
    _THREAD.record = record
    try:
        yield
    finally:
        _THREAD.record = outer
        with contextlib.suppress(OSError, CommandExecutionError):  # whoever holds the lock next tries again
            _sweep(record)


def note(path: str) -> None:
    """
    Write into the record that a file is about to be made.

    path
        The file.

    Where no lock is held, as for what is only remembered, nothing is recorded. Raises ``OSError``, and
    ``CommandExecutionError`` where others may write in the folder: then it must not be made.
    """
    record = getattr(_THREAD, "record", "")
    if not record:
        return
    line = f"{urllib.parse.quote(os.fsencode(path))}\n".encode()  # it may have any byte in it, and newlines
    descriptor = _open(f"{FOLDER}/{record}")
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, before)  # else the next line would be a part of this one
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), FOLDER)
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, FOLDER) from None
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    """A record, to add to it."""
    attempts = 10  # the folder vanishes if somebody else's record was the last one in it
    while True:
        attempts -= 1
        try:
            os.makedirs(FOLDER, mode=0o700, exist_ok=True)
            _refuse_others()
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            if not attempts:
                raise


def _refuse_others() -> None:
    """Where others can write, a record may be theirs."""
    found = os.stat(FOLDER)
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise CommandExecutionError(
            f"{FOLDER}: others may write in this folder (owner {found.st_uid}, mode {mode}): look what is in it, "
            "remove it, and run this again"
        )


def _sweep(record: str) -> None:
    """Remove what a record names; if something cannot be removed, as on a read-only file system, the record stays."""
    path = f"{FOLDER}/{record}"
    lines = _lines(path)
    if lines is None or all([_removed(line) for line in lines]):  # a list: each of them is tried
        if lines is not None:  # else nothing is written: the disk may be read-only
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
        with contextlib.suppress(OSError):  # there are other records in it, or there is none
            os.rmdir(FOLDER)


def _lines(path: str) -> list[bytes] | None:
    try:
        _refuse_others()
        descriptor = os.open(path, host_place.READING | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    return host_place.contents(descriptor, path).splitlines()


def _removed(line: bytes) -> bool:
    """Remove what a line names, if it is one of these files: whatever else is in a record, nothing else is removed."""
    path = os.fsdecode(urllib.parse.unquote_to_bytes(line))
    try:
        if os.path.isabs(path) and OURS.fullmatch(os.path.basename(path)):
            os.remove(path)
    except (ValueError, FileNotFoundError, NotADirectoryError):
        return True  # it is no path, or done
    except OSError:
        return False
    return True
