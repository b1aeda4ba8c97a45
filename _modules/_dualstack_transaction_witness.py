"""
Who confirms a run, and whether that is a new connection: one that was made after the last change.

sshd starts a process for each connection; the time at which that has started is when the connection was made.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import _dualstack_converge as converge
import _dualstack_host_files as host_files
import _dualstack_host_routes as host_routes
import _dualstack_transaction_place as transaction_place

PROGRAMS = ("sshd", "sshd-session", "dropbear")
LISTENER = re.compile(r"\[listener\]|^\S*/")  # the title of the process that waits for connections
VARIABLE = "SSH_CONNECTION"  # ssh(1): the client's address and port, and this host's

Proofs = Callable[[], list[converge.Finding]]


class Session(NamedTuple):
    """An ssh session."""

    start: int  # of its connection's process, in the kernel's ticks
    client: str  # the address
    user: int  # the number of who is logged in


def now() -> int:
    """
    The time as the kernel says when a process has started: its ticks since the boot.
    """
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def session(pid: int) -> Session | None:
    """
    The ssh session in which a process runs; ``None`` if it is in none.

    pid
        The process.
    """
    client = ""
    while pid > 1:
        client = client or _client(pid)
        parent = _parent(pid)
        if _is_sshd(parent):
            return Session(_connection(parent), client, _user(pid))
        pid = parent
    return None


def logins(of: Session, since: int) -> Iterator[Session]:
    """
    The sessions that the client of a session has begun since.

    of
        The session: the same user from the same address counts, and nobody else.
    since
        In ticks. The connection has to be younger.
    """
    if _is_here(of.client):
        return
    for name in filter(str.isdigit, os.listdir("/proc")):
        pid = int(name)
        if transaction_place.started(pid) <= since or not _is_sshd(_parent(pid)):
            continue
        found = Session(_connection(_parent(pid)), _client(pid), _user(pid))
        if found.start > since and of.client and (found.client, found.user) == (of.client, of.user):
            yield found


def judge(since: int, proofs: Proofs) -> converge.Finding:
    """
    Whether who calls this process proves that this host can still be managed.

    since
        When the last change was made, in ticks.
    proofs
        Makes new connections to the masters of this host.

    A job comes over the connection that a minion has had all the time: so it has to make a new one.
    """
    job = transaction_place.job()
    if job:
        tried = proofs()
        found = converge.together(tried, "it has no master to which a new connection could be made: nothing is proven")
        return converge.Finding(bool(tried) and found.holds is not False, f"by the master (job {job}); {found.comment}")
    caller = session(os.getpid())
    if caller is None:
        return converge.Finding(
            False, "whoever calls this is neither in an ssh session nor a master: no connection is proven by that"
        )
    who = f"the ssh client {caller.client}" if caller.client else "an ssh client"
    if caller.start <= since:
        return converge.Finding(False, f"the connection of {who} is older than the last change, and proves nothing")
    if _is_here(caller.client):
        return converge.Finding(False, f"{who} is this host itself, and proves nothing")
    return converge.Finding(True, f"by a new connection of {who}")


def _is_here(client: str) -> bool:
    """Whether a connection comes from this host itself, as by ``ssh localhost``: no rule for others is about it."""
    address, _, interface = client.partition("%")
    try:
        ipaddress.ip_address(address)
    except ValueError:  # sshd does not know the client
        return False
    return host_routes.to(address, interface or None).local


def _is_sshd(pid: int) -> bool:
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)") in PROGRAMS
    except OSError:
        return False


def _connection(pid: int) -> int:
    """When the connection was made of one of sshd's processes: the oldest one above it that does not listen."""
    while _is_sshd(parent := _parent(pid)) and not LISTENER.search(_read(parent, "cmdline").replace("\0", " ")):
        pid = parent
    return transaction_place.started(pid)


def _parent(pid: int) -> int:
    found = re.search(r"^PPid:\s*(\d+)", _read(pid, "status"), re.MULTILINE)
    return int(found[1]) if found else 0


def _user(pid: int) -> int:
    found = re.search(r"^Uid:\s*(\d+)", _read(pid, "status"), re.MULTILINE)
    return int(found[1]) if found else -1


def _client(pid: int) -> str:
    # A process that gives itself a title overwrites what others see of its environment.
    own = os.environ.get(VARIABLE, "") if pid == os.getpid() else ""
    found = re.search(rf"(?:^|\0){VARIABLE}=([^\0 ]+)", _read(pid, "environ"))
    return own.partition(" ")[0] or (found[1] if found else "")


def _read(pid: int, name: str) -> str:
    try:
        return host_files.read(f"/proc/{pid}/{name}") or ""
    except (OSError, ValueError):
        return ""
