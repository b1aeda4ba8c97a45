"""
The place of a file, held open: the folder that it is in, and its name there.

What is done to a file is done in that folder, and not at the end of a path: whoever may write in this folder, or in one
on the way, leads us nowhere else by a link that was not there before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

import _dualstack_host_attributes as host_attributes

MODE = 0o644  # of a new file
FOLDER_MODE = 0o755  # of a new folder
NULL = os.makedev(1, 3)  # /dev/null: a link to it is how a file of sysctl.d is masked
# A named pipe must not block, and a terminal must not become ours.
READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)  # as on FAT


class Place(NamedTuple):
    """Where a file is, whether it exists or not."""

    path: str  # its real one
    folder: int  # a descriptor
    name: str


@contextlib.contextmanager
def of(path: str) -> Iterator[Place]:
    """
    Hold the place of a file open in this context.

    path
        The file's path. If it is a link, the place is that of its target.

    Raises ``OSError``.
    """
    real = os.path.realpath(path)
    folder, name = os.path.split(real)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.readlink(f"/proc/self/fd/{descriptor}") != folder:
            raise OSError(errno.ESTALE, "a folder on the way has just been replaced or removed", path)
        yield Place(real, descriptor, name)
    finally:
        os.close(descriptor)


def contents(descriptor: int, path: str, start: int = 0) -> bytes:
    """
    What is in an open file, which is closed.

    descriptor
        The file.
    path
        Its path, for errors.
    start
        Where to begin.

    Raises ``OSError``, also for what is no file, such as a named pipe.
    """
    try:
        found = os.fstat(descriptor)
        if stat.S_ISCHR(found.st_mode) and found.st_rdev == NULL:
            return b""
        _refuse_irregular(found, path)
        with open(descriptor, "rb", closefd=False) as stream:
            stream.seek(start)
            return stream.read()
    finally:
        os.close(descriptor)


def _refuse_irregular(found: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", path)


def read(place: Place, name: str) -> str | None:
    """
    The text of a file in a place's folder; ``None`` if there is none.

    place
        The place.
    name
        The file's name. A link is not followed.

    Raises ``OSError``.
    """
    try:
        descriptor = os.open(name, READING | os.O_NOFOLLOW, dir_fd=place.folder)
    except FileNotFoundError:
        return None
    return contents(descriptor, place.path).decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def opened(place: Place) -> Iterator[int]:
    """
    The place's file, open in this context.

    place
        The place.

    Raises ``OSError``, also for what is no regular file.
    """
    descriptor = os.open(place.name, READING | os.O_NOFOLLOW, dir_fd=place.folder)
    try:
        _refuse_irregular(os.fstat(descriptor), place.path)
        yield descriptor
    finally:
        os.close(descriptor)


def make(place: Place, name: str, text: str, mode: int | None) -> None:
    """
    Make another file in a place's folder, with the attributes of the place's file. Until then nobody else can read it.

    place
        The place.
    name
        The new file's name. What is there, of a run that was killed, is removed.
    text
        The whole text.
    mode
        What its permissions may be at most; ``None`` for no limit.

    Raises ``OSError``.
    """
    remove(place, name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=place.folder)
    try:
        with open(descriptor, "wb", closefd=False) as stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
        try:
            with opened(place) as source:
                host_attributes.copy(source, descriptor, mode)
        except FileNotFoundError:
            os.fchmod(descriptor, MODE if mode is None else mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep(place: Place, name: str, text: str) -> None:
    """
    Give the place's file a second name, so that it survives being replaced.

    place
        The place.
    name
        The second name.
    text
        Its text, for a copy where the file system has no hard links.

    Raises ``OSError``.
    """
    remove(place, name)
    try:
        os.link(place.name, name, src_dir_fd=place.folder, dst_dir_fd=place.folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        make(place, name, text, None)


def alike(place: Place, name: str) -> bool:
    """
    Whether the place's file and another one of the folder have the same owners and permissions.

    place
        The place.
    name
        The other file's name.

    Raises ``OSError``.
    """
    found = [os.stat(each, dir_fd=place.folder, follow_symlinks=False) for each in (place.name, name)]
    one, other = ((each.st_uid, each.st_gid, each.st_mode) for each in found)
    return one == other


def rename(place: Place, name: str) -> None:
    """
    Let another file of the folder take the place, in one step.

    place
        The place.
    name
        The other file's name.

    Raises ``OSError``.
    """
    os.rename(name, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    os.fsync(place.folder)  # a file's name is on the disk when its folder is


def remove(place: Place, name: str) -> None:
    """
    Remove a file of the folder, if it is there.

    place
        The place.
    name
        The file's name.

    Raises ``OSError``.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=place.folder)
        os.fsync(place.folder)


def missing_folder(path: str) -> str:
    """
    The topmost folder on the way to a file that does not exist; empty if all of them do.

    path
        The file's path.
    """
    missing, folder = "", os.path.dirname(os.path.realpath(path))
    while not os.path.isdir(folder):
        missing, folder = folder, os.path.dirname(folder)
    return missing


def make_folders(path: str) -> str:
    """
    Make the folders on the way to a file, with the permissions of folders, whatever the umask.

    path
        The file's path.

    Returns the topmost of them; empty if all were there. Raises ``OSError``; then none is left.
    """
    topmost = missing_folder(path)
    try:
        for folder in reversed(_folders(path, topmost)):
            _make_folder(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_folders(path, topmost)
        raise
    return topmost


def _folders(path: str, topmost: str) -> list[str]:
    """Those on the way to a file, from the innermost to the topmost."""
    found, folder = [], os.path.dirname(os.path.realpath(path))
    while topmost and folder.startswith(topmost):
        found.append(folder)
        folder = os.path.dirname(folder)
    return found


def _make_folder(path: str) -> None:
    with contextlib.suppress(FileExistsError):  # somebody else was faster
        os.mkdir(path, FOLDER_MODE)
        _on_folder(path, lambda descriptor: os.fchmod(descriptor, FOLDER_MODE))
        _on_folder(os.path.dirname(path), os.fsync)


def _on_folder(path: str, action: Callable[[int], None]) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        action(descriptor)
    finally:
        os.close(descriptor)


def remove_folders(path: str, topmost: str) -> None:
    """
    Remove the folders that were made for a file, unless there is something in them by now.

    path
        The file's path.
    topmost
        The topmost of those that were made; empty if none was.

    Raises ``OSError``.
    """
    for folder in _folders(path, topmost):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                return
            raise
