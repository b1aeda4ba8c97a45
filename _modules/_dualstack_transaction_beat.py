"""
The sign of life of a run that changes this host: it pushes ahead the time at which the restorer takes it for hanging.

Each step has a bound of its own. It is told in seconds of uptime, since the clock may be set meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os

import _dualstack_host_files as host_files
import _dualstack_rooms
import _dualstack_transaction_place as transaction_place

# Seconds between two steps of a run: other people's states may come between, and take what they take. That the run is
# alive is seen without this.
IDLE = 86400.0
GRACE = 15.0  # seconds beyond the bound of a step, in which the run notices by itself

# Shared with the plug-ins: each public module has rooms of its own.
_RUN: dict[str, bool] = vars(_dualstack_rooms).setdefault("transaction", {"armed": False})


def arm(armed: bool) -> None:
    """
    Begin, or end, to give signs of life.

    armed
        Whether this run has a transaction open.
    """
    _RUN["armed"] = armed


def is_armed() -> bool:
    """
    Whether this run has a transaction open.
    """
    return _RUN["armed"]


def push(seconds: float) -> None:
    """
    Promise to be heard of again within some time.

    seconds
        The time.
    """
    if not _RUN["armed"]:
        return
    with contextlib.suppress(OSError):  # then the old one counts
        now = uptime()
        # Not under a name of the process: of several, any is a sign of life.
        new = f"{transaction_place.FOLDER}/deadline.{os.getpid()}"
        with open(new, "w", encoding="ascii") as stream:
            stream.write(f"{now + seconds + GRACE:.0f}\n")
        os.rename(new, f"{transaction_place.FOLDER}/deadline")


def uptime() -> float:
    """
    The clock of the deadline, in seconds: the restorer's. A container may have one of its own, which the kernel knows
    nothing of: ``proc_uptime`` of lxcfs(1).

    Raises ``OSError``.
    """
    with open("/proc/uptime", encoding="ascii") as stream:
        return float(stream.read().split()[0])


def note(pid: int) -> None:
    """
    Tell the restorer of a command: it ends it before it puts anything back, even if it is left behind.

    pid
        The command's process, which leads a session of its own.
    """
    if _RUN["armed"]:
        with contextlib.suppress(OSError):
            _append(f"{transaction_place.FOLDER}/commands", f"{pid}:{transaction_place.started(pid)}")


def stop(service: str) -> None:
    """
    Tell the restorer that a service is about to be stopped: it has to be started again.

    service
        Its name.

    Raises ``OSError`` where that cannot be written: then it must not be stopped.
    """
    path = f"{transaction_place.FOLDER}/stopped"
    if _RUN["armed"] and service not in (host_files.read(path) or "").splitlines():
        with contextlib.suppress(FileNotFoundError):  # the restorer was quicker
            _append(path, service)


def _append(path: str, line: str) -> None:
    data = f"{line}\n".encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(descriptor)
