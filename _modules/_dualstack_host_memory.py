"""
Files in memory, for the input and the output of commands.

Unlike a pipe, one neither blocks a command that nobody reads, nor ends one that goes on as a daemon; and it needs no
disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import tempfile
from typing import IO

NAME = "dualstack"
FLAGS = 0x1 | 0x2  # MFD_CLOEXEC, MFD_ALLOW_SEALING: memfd_create(2)
ADD_SEALS, GROW = 1033, 0x4  # F_ADD_SEALS, F_SEAL_GROW: fcntl(2)
SHARED = "/dev/shm"


def stream(text: str = "") -> IO[bytes]:
    """
    A file in memory.

    text
        What is in it, to be read. One without is for writing.

    Raises ``OSError``.
    """
    descriptor = _descriptor()
    if descriptor < 0:  # a kernel from before 2014, or one that is told not to
        made: IO[bytes] = tempfile.TemporaryFile(buffering=0, dir=SHARED if os.path.isdir(SHARED) else None)
    else:
        made = os.fdopen(descriptor, "w+b", buffering=0)
    try:
        rest = memoryview(text.encode("utf-8", "surrogateescape"))
        while rest:
            rest = rest[made.write(rest) :]
        made.seek(0)
        if not text:  # programs that open /dev/stdout once more must not overwrite what is there
            fcntl.fcntl(made, fcntl.F_SETFL, fcntl.fcntl(made, fcntl.F_GETFL) | os.O_APPEND)
    except BaseException:
        made.close()
        raise
    return made


def _descriptor() -> int:
    """Of a new file; negative where there can be none."""
    try:
        if hasattr(os, "memfd_create"):
            return os.memfd_create(NAME, FLAGS)
        # Salt's own Python is built for systems that had no memfd_create(2), and runs on those that have.
        return int(ctypes.CDLL(None).memfd_create(NAME.encode(), FLAGS))
    except (AttributeError, OSError):
        return -1


def size(made: IO[bytes]) -> int:
    """
    How many bytes are in a file.

    made
        The file.
    """
    return os.fstat(made.fileno()).st_size


def read(made: IO[bytes], most: int) -> bytes:
    """
    What is in a file, from its beginning.

    made
        The file.
    most
        Bytes at most.
    """
    return os.pread(made.fileno(), min(size(made), most), 0)


def close(made: IO[bytes]) -> None:
    """
    Close a file that others may still have open: it is empty from now on, and takes no memory.

    made
        The file. A daemon that goes on writing to it gets an error, and no signal.
    """
    if made.closed:
        return
    with contextlib.suppress(OSError):
        fcntl.fcntl(made, ADD_SEALS, GROW)
    with contextlib.suppress(OSError):
        os.ftruncate(made.fileno(), 0)
    made.close()
