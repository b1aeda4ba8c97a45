"""A Debian that is about to boot: what the tests of the next boot change there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _dualstack_tunnel_stack as tunnel_stack
import tunnel_ifupdown

INIT = Path("/sbin/init")
WANTS = Path("/etc/systemd/system/multi-user.target.wants")


class Stacks:
    """The network stacks that a pillar may name, and no services."""

    stacks: tunnel_stack.Stacks = {"ifupdown": tunnel_ifupdown}  # type: ignore[dict-item]
    services: dict[str, Any] = {}


@contextlib.contextmanager
def kept(aside: Path, *folders: Path) -> Iterator[None]:
    """systemd boots this Debian; afterwards the files in these folders are as they were."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"
    for each in folders:
        shutil.copytree(each, aside / str(each)[1:], symlinks=True)
    INIT.symlink_to("/lib/systemd/systemd")
    try:
        yield
    finally:
        INIT.unlink(missing_ok=True)
        for each in folders:
            restore(aside / str(each)[1:], each)


def restore(before: Path, folder: Path) -> None:
    """Files below a folder as they were."""
    for each in sorted(folder.rglob("*"), reverse=True):
        old = before / each.relative_to(folder)
        if not old.is_symlink() and not old.exists():
            if each.is_dir() and not each.is_symlink():
                each.rmdir()
            else:
                each.unlink()
    for old in sorted(before.rglob("*")):
        new = folder / old.relative_to(before)
        if old.is_symlink():
            if not new.is_symlink():
                new.unlink(missing_ok=True)
                new.symlink_to(os.readlink(old))
        elif old.is_dir():
            new.mkdir(exist_ok=True)
        elif new.is_symlink() or not new.exists() or stamp(new) != stamp(old):
            new.unlink(missing_ok=True)
            shutil.copy2(old, new)


def stamp(path: Path) -> tuple[int, ...]:
    """What is another one if a file has been written."""
    status = path.stat()
    return status.st_mode, status.st_size, status.st_mtime_ns
