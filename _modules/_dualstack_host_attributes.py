"""
Owner, permissions, ACL and extended attributes of a file, for the one that takes its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

ACL = "system.posix_acl_access"
NOT_KEPT = ("security.ima", "security.evm")  # signatures of the old text


def copy(source: int, descriptor: int, mode: int | None) -> None:
    """
    Give an open file the attributes of another one.

    source
        The other one, open as well.
    descriptor
        The open file.
    mode
        What its permissions may be at most; ``None`` for no limit.

    Raises ``OSError`` where one of them cannot be set.
    """
    found = os.fstat(source)
    permissions = stat.S_IMODE(found.st_mode)
    os.fchown(descriptor, found.st_uid, found.st_gid)
    os.fchmod(descriptor, permissions)
    names = _extended(source)
    if ACL not in names:
        with contextlib.suppress(OSError):  # that one which the folder's default has just given it
            os.removexattr(descriptor, ACL)
    for name in names:
        if name not in NOT_KEPT:
            os.setxattr(descriptor, name, os.getxattr(source, name))
    if mode is not None:
        os.fchmod(descriptor, limited(permissions, mode))


def limited(permissions: int, mode: int) -> int:
    """
    Permissions within a limit; the owner may always read and write.

    permissions
        As they are.
    mode
        What they may be at most.
    """
    return (permissions & mode) | stat.S_IRUSR | stat.S_IWUSR


def _extended(source: int) -> list[str]:
    try:
        return os.listxattr(source)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
