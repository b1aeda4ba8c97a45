"""
What keeps a file from being replaced, found before anything is changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import struct

import _dualstack_host_leftovers as host_leftovers
import _dualstack_host_place as host_place
import salt.utils.files
from salt.exceptions import CommandExecutionError

# ioctl_iflags(2). Where another architecture has other numbers, nothing is found here, and the write itself fails.
GET_FLAGS = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
IMMUTABLE, APPEND_ONLY = 0x10, 0x20


def refuse(path: str, exists: bool) -> None:
    """
    Refuse to replace a file if that is known to fail, or to do harm.

    path
        The file's path.
    exists
        Whether it is there; else it is to be made.

    Raises ``CommandExecutionError``, and ``OSError``.
    """
    _refuse_without_record()
    if not exists:
        _refuse_links_of_others(path)
    target = os.path.realpath(path)
    why = of_folder(target)
    if why:
        raise CommandExecutionError(f"{path}: {why}")
    if not os.path.lexists(target):
        return
    found = os.lstat(target)
    if not stat.S_ISREG(found.st_mode):
        raise CommandExecutionError(f"{path}: it is no regular file, or a link to none: it is not replaced")
    names = _names(target, found)
    if names > 1:
        raise CommandExecutionError(
            f"{path}: it has {names} names (hard links), and replacing it would part them: "
            f"find the others with 'find / -xdev -samefile {target}', and leave one, or make them symbolic links"
        )
    why = _why_not(target, os.W_OK)
    if why:
        raise CommandExecutionError(f"{path}: it cannot be replaced: {why}")
    if _is_mounted(target):
        raise CommandExecutionError(
            f"{path}: it is a mount point, and cannot be replaced in one step: change the file that is mounted there"
        )


def of_folder(path: str) -> str:
    """
    Why no file can be made in a folder, or where that has to be made; empty if it can.

    path
        The file's path.
    """
    folder = os.path.dirname(path)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        return f"no file can be made there: {folder} is no folder"
    why = _why_not(folder, os.W_OK | os.X_OK)
    return f"no file can be made in {folder}: {why}" if why else ""


def _refuse_links_of_others(path: str) -> None:
    """A link to nothing decides where a new file is made: nobody else may say so."""
    place = path
    while place != os.path.dirname(place):
        if os.path.islink(place) and os.lstat(place).st_uid not in (0, os.geteuid()):
            raise CommandExecutionError(
                f"{path}: no file is made there, since {place} is a link of another user's: "
                "remove it, or give it to root (chown -h root)"
            )
        place = os.path.dirname(place)


def _refuse_without_record() -> None:
    """What is written is recorded before: a run that is killed leaves nothing that nobody knows of."""
    why = of_folder(f"{host_leftovers.FOLDER}/record")
    if why:
        raise CommandExecutionError(f"no record of what is written can be made: {why}")


def _names(target: str, found: os.stat_result) -> int:
    """How many names a file has, without those that a run which was killed, or goes on, has given it."""
    folder, name = os.path.split(target)
    ours = 0
    for kind in (host_leftovers.OLD, host_leftovers.KEPT):
        with contextlib.suppress(OSError):
            ours += os.path.samestat(os.lstat(os.path.join(folder, host_leftovers.beside(name, kind))), found)
    return found.st_nlink - ours


def _why_not(path: str, access: int) -> str:
    """Why a file or folder cannot be changed; empty if it can."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "its file system is mounted read-only"
    flags = _flags(path)
    if flags & IMMUTABLE:
        return "it is immutable (chattr -i)"
    if flags & APPEND_ONLY:
        return "it is append-only (chattr -a)"
    return "" if os.access(path, access) else "this user may not, or a security module forbids it"


def _flags(path: str) -> int:
    """What chattr(1) has set; 0 where that is unknown."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, host_place.READING)
        try:
            answer = fcntl.ioctl(descriptor, GET_FLAGS, bytes(struct.calcsize("l")))
        finally:
            os.close(descriptor)
        flags: int = struct.unpack_from("i", answer)[0]
        return flags
    return 0


def _is_mounted(path: str) -> bool:
    with salt.utils.files.fopen("/proc/self/mountinfo", "rb") as stream:
        places = [os.fsdecode(_unescaped(line.split()[4])) for line in stream]
    return path in places


def _unescaped(word: bytes) -> bytes:
    """A path as proc(5) has it, with octal escapes."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), word)
