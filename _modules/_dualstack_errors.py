"""
Errors in words, sorted by who has to act: whoever wrote the pillar, the administrator of the host, or we.
"""

from __future__ import annotations

import errno
import logging
import os
import traceback

from salt.exceptions import SaltException

log = logging.getLogger(__name__)

ADVICE = {
    errno.ENOSPC: "free some space, or inodes ('df', 'df -i')",
    errno.EDQUOT: "free some space: a quota is used up",
    errno.EROFS: "remount it, or look why the kernel did that ('dmesg')",
    errno.EPERM: "it may be immutable or append-only ('lsattr'), or a security module forbids it",
    errno.EACCES: "Salt has to run as root here, or a security module forbids it",
    errno.EBUSY: "something is mounted there",
    errno.EIO: "the disk has an error ('dmesg')",
}


def said(error: BaseException) -> str:
    """
    An error for a comment, without a traceback.

    error
        What was raised. A ``SaltInvocationError`` names the key of the pillar, a ``CommandExecutionError`` says what
        is wrong with the host, or what a command said, an ``OSError`` is about a file; any other is a bug of this
        project's, and says where it is.
    """
    if isinstance(error, SaltException):
        return str(error)
    if isinstance(error, OSError) and error.errno is None:  # of Python's own, such as a time-out
        return str(error) or type(error).__name__
    if isinstance(error, OSError):
        advice = ADVICE.get(error.errno or 0)
        what = f"{error.strerror}; {advice}" if advice else str(error.strerror)
        return f"{os.fsdecode(error.filename)}: {what}" if isinstance(error.filename, (str, bytes)) else what
    if isinstance(error, MemoryError):
        return "this host has not enough memory for it"
    return f"this is a bug in the dualstack modules, not on this host: {bug(error)}; please report it"


def bug(error: BaseException) -> str:
    """
    What is wrong with a program, and where. How it came there is logged.

    error
        What it has raised.

    Neither has the error's message in it: that may hold a secret, as the one of a KeyError does.
    """
    places = traceback.extract_tb(error.__traceback__)
    log.debug("%s\n%s", type(error).__name__, "".join(traceback.format_list(places)))
    place = f" at {os.path.basename(places[-1].filename)}:{places[-1].lineno}" if places else ""
    return f"{type(error).__name__}{place}"
