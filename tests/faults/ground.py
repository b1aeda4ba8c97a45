"""The ground that gives way: full, read-only and strange file systems, and what a host looks like before and after."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"
LOCKS = ("/run/dualstack", "/run/lock")
OTHERS = ("/var/lib/dpkg", "/var/lib/postfix")


def run(*words: str) -> None:
    """Run a command, which has to succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"


def acl(user: int, bits: int) -> bytes:
    """The raw value of an ACL that gives one more user some permissions, acl(5)."""
    nobody = 0xFFFFFFFF
    entries = [(1, 6, nobody), (2, bits, user), (4, 4, nobody), (16, 6, nobody), (32, 0, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def facts(path: str) -> tuple[Any, ...]:
    """Everything that there is to know of a file: its kind, mode, owners, names, attributes and what is in it."""
    found = os.lstat(path)
    known: tuple[Any, ...] = (oct(found.st_mode), found.st_uid, found.st_gid)
    if stat.S_ISLNK(found.st_mode):
        return (*known, os.readlink(path))
    attributes = {name: os.getxattr(path, name) for name in sorted(os.listxattr(path))}
    if not stat.S_ISREG(found.st_mode):
        return (*known, attributes)
    data = Path(path).read_bytes()
    return (*known, found.st_nlink, attributes, data if len(data) < 100_000 else hashlib.sha256(data).hexdigest())


def snapshot(*roots: str) -> dict[str, tuple[Any, ...]]:
    """
    All files of some trees, but for locks, which stay by intention, the many of Debian's package manager, and what
    Postfix writes whenever it likes: its random numbers, and its cache of TLS sessions.
    """
    found = {}
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if os.path.join(folder, name) not in (*OTHERS, *LOCKS)]
            found.update({path: facts(path) for path in (os.path.join(folder, name) for name in [*folders, *files])})
    return found


def difference(old: dict[str, tuple[Any, ...]], new: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """What differs between two snapshots."""
    return {path: (old.get(path), new.get(path)) for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


@contextlib.contextmanager
def disk(path: Path, options: str = "size=256k") -> Iterator[None]:
    """A folder becomes a small disk of its own, with what was in it."""
    path.mkdir(parents=True, exist_ok=True)
    copy = Path("/srv/copy")
    run("cp", "-a", str(path), str(copy))
    run("mount", "-t", "tmpfs", "-o", f"mode=755,{options}", "tmpfs", str(path))
    try:
        run("cp", "-a", f"{copy}/.", str(path))
        yield
    finally:
        run("umount", str(path))
        run("rm", "-r", str(copy))


@contextlib.contextmanager
def full(path: Path) -> Iterator[None]:
    """The disk of a folder is full."""
    with disk(path):
        fill(path)
        yield


def fill(path: Path) -> None:
    """Leave not a byte on a disk."""
    with contextlib.suppress(OSError), open(path / "ballast", "wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 1024)


@contextlib.contextmanager
def without_inodes(path: Path, left: int = 0) -> Iterator[None]:
    """The disk of a folder has room, but for no other file."""
    with disk(path, "nr_inodes=40"):
        with contextlib.suppress(OSError):
            for number in range(40):
                (path / f"ballast{number}").touch()
        for ballast in list(path.glob("ballast*"))[:left]:
            ballast.unlink()
        yield


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[None]:
    """The disk of a folder is mounted read-only."""
    with disk(path):
        run("mount", "-o", "remount,ro", str(path))
        yield


@contextlib.contextmanager
def mounted(path: Path, options: str = "rw") -> Iterator[None]:
    """A file is a mount point."""
    run("mount", "--bind", str(path), str(path))
    try:
        run("mount", "-o", f"remount,bind,{options}", str(path))
        yield
    finally:
        run("umount", str(path))


@contextlib.contextmanager
def flag(path: Path, letter: str) -> Iterator[None]:
    """A file or folder has an attribute of chattr(1)."""
    run("chattr", f"+{letter}", str(path))
    try:
        yield
    finally:
        run("chattr", f"-{letter}", str(path))


@contextlib.contextmanager
def instead(path: Path, make: Callable[[Path], object]) -> Iterator[None]:
    """There is something else in a file's place."""
    aside = path.with_name("aside")
    path.rename(aside)
    make(path)
    try:
        yield
    finally:
        run("rm", "-r", str(path))
        aside.rename(path)


@contextlib.contextmanager
def second_name(path: Path) -> Iterator[None]:
    """A file has a second name."""
    other = path.with_name("other")
    other.hardlink_to(path)
    try:
        yield
    finally:
        other.unlink()


def null(path: Path) -> None:
    """A link to /dev/null: how a file is masked."""
    path.symlink_to("/dev/null")


def loop(path: Path) -> None:
    """A link that leads to itself."""
    path.symlink_to(path.name)


def device(path: Path) -> None:
    """A device file; here the one of /dev/zero."""
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))


# What happens to a file, how a comment has to call it, and whether test=True already knows.
FAULTS: dict[str, tuple[Callable[[Path], Any], str, bool]] = {
    "full disk": (lambda path: full(path.parent), "No space left on device; free some space", False),
    "no inodes": (lambda path: without_inodes(path.parent), "No space left on device; free some space", False),
    "one inode": (lambda path: without_inodes(path.parent, left=1), "No space left on device; free some space", False),
    "read-only disk": (lambda path: read_only(path.parent), "its file system is mounted read-only", True),
    "read-only file": (lambda path: mounted(path, "ro"), "its file system is mounted read-only", True),
    "mount point": (mounted, "it is a mount point", True),
    "immutable": (lambda path: flag(path, "i"), "it is immutable (chattr -i)", True),
    "append-only": (lambda path: flag(path, "a"), "it is append-only (chattr -a)", True),
    "immutable folder": (lambda path: flag(path.parent, "i"), "it is immutable (chattr -i)", True),
    "append-only folder": (lambda path: flag(path.parent, "a"), "it is append-only (chattr -a)", True),
    "hard link": (second_name, "it has 2 names (hard links)", True),
    "named pipe": (lambda path: instead(path, os.mkfifo), "it is no regular file", True),
    "device": (lambda path: instead(path, device), "it is no regular file", True),
    "folder": (lambda path: instead(path, Path.mkdir), "Is a directory", True),
    "link to itself": (lambda path: instead(path, loop), "Too many levels of symbolic links", True),
    "link to /dev/null": (lambda path: instead(path, null), "it is no regular file, or a link to none", True),
}
REMOVABLE = {"full disk", "one inode"}  # the faults with which a file can still be removed
