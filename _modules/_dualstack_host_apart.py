"""
A call in a process of its own: what a library does there can be ended, as a command can, when its time is over.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import IO

import _dualstack_errors as errors
import _dualstack_host_memory as host_memory
import _dualstack_host_processes as host_processes
import _dualstack_host_time as host_time
import salt.utils.json
from salt.exceptions import CommandExecutionError

MEMORY = 512 << 20  # bytes that it may use besides what is in use already
MOST = 1 << 20  # bytes of its answer
PAUSE = 0.02  # seconds between two looks whether it has ended


def call(function: Callable[[], str], patience: float) -> str:
    """
    Call a function that does not limit its own time and memory.

    function
        It shares nothing with the caller but what it returns.
    patience
        Seconds after which it is ended; within a state, as many as that has left.

    Returns what it returns. Raises ``TimeoutError`` where that takes too long, and ``CommandExecutionError`` with what
    it raises.
    """
    patience = host_time.left(patience)
    host_processes.heed_children()
    with host_memory.stream() as answer:
        child = os.fork()
        if not child:
            _answer(function, answer)
        try:
            status = _wait(child, time.monotonic() + patience)
        except BaseException:
            _end(child)
            raise
        said = host_memory.read(answer, MOST)
    if status:
        raise CommandExecutionError(f"the process that asked was ended (status {os.waitstatus_to_exitcode(status)})")
    found = salt.utils.json.loads(said.decode())
    if "error" in found:
        raise CommandExecutionError(found["error"])
    return str(found["returned"])


def _answer(function: Callable[[], str], answer: IO[bytes]) -> None:
    """In the new process, which never returns from here."""
    status = 1
    try:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        os.setsid()
        with open("/proc/self/statm", "rb") as stream:
            used = int(stream.read().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, used + MEMORY))
        try:
            found = {"returned": function()}
        except Exception as error:  # pylint: disable=broad-except  # the caller is told
            found = {"error": errors.said(error)}
        answer.write(salt.utils.json.dumps(found).encode())
        status = 0
    finally:
        os._exit(status)


def _wait(child: int, end: float) -> int:
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(PAUSE)


def _end(child: int) -> None:
    for kill in (os.kill, os.killpg):  # it may not have its own session yet, or have started others
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
