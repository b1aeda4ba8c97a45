"""
Whose a listening socket is: the service that opened it, or else the program.

A process belongs to a service by what it cannot choose: its program, its user, its systemd unit. By the words of a
command line, anybody's process would be any service.
"""

from __future__ import annotations

import fnmatch
import pwd
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import _dualstack_service_host as service_host
import _dualstack_service_program as service_program

Process = Mapping[str, Any]  # from `service_sockets.process`


def owner(process: Process, services: Mapping[str, service_host.Daemon], roots: bool = False) -> str:
    """
    The service that a process belongs to.

    process
        The result of ``service_sockets.process``.
    services
        All that are known, by their names.
    roots
        Whether the socket in question was opened by root: then its user is one that a configuration names.

    One belongs to a service if it runs the service's program, or is in its systemd unit; and runs as root, or as one of
    the service's users; and if only root can change the program's file. One without a plug-in is named after its unit,
    or else its program; after the path of the program where that name is a service's. Returns an empty text where this
    user may not see which program it runs.
    """
    unit = process["unit"]
    run = [name for name, service in services.items() if _runs(process, service.about)]
    meant = [name for name, service in services.items() if _matches(unit, service.about["units"])]
    found = next((name for name in (*run, *meant) if roots or _may(process, services[name].about)), "")
    if found and service_program.roots_own(process):
        return found
    name = unit.partition(".")[0] if unit.endswith((".service", ".socket")) and not meant else ""
    if name in ("", *services):
        # Names that end so are those of socket units, in the audit.
        name = process["name"] if process["exe"] and not process["name"].endswith(".socket") else ""
    return _printable(process["exe"] if name in ("", *services) else name)


def holder(process: Process, name: str) -> str:
    """
    A process in words: ``nginx (process 812, user www-data)``.

    process
        The result of ``service_sockets.process``.
    name
        What :py:func:`owner` says of it.
    """
    uid = (process["uids"] or [0])[-1]
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return f"{name} (process {process['pid']}, user {user})"


def opener(
    pids: Sequence[int], look: Callable[[int], Process], names: Callable[[int], str], known: Iterable[str]
) -> int:
    """
    The one of the holders of a socket that has opened it, as far as this can be seen; 0 for none.

    pids
        The processes that have the socket open.
    look, names
        What is known of a process, and to whom it belongs.
    known
        The names of the services.

    A child inherits the sockets of its parent. Where several hold one that are not related, it was passed on: a service
    among them did not get it from a stranger. Of the rest, the oldest counts.
    """
    if len(pids) == 1:
        return pids[0]
    held = set(pids)
    first = [pid for pid in pids if look(pid)["name"] and held.isdisjoint(_ancestors(pid, look))]
    return min(first, key=lambda pid: (names(pid) not in known, not names(pid), look(pid)["started"], pid), default=0)


def _ancestors(pid: int, look: Callable[[int], Process]) -> list[int]:
    found: list[int] = []
    while (pid := look(pid)["parent"]) and pid not in found:
        found.append(pid)
    return found


def _runs(process: Process, about: Mapping[str, Any]) -> bool:
    """Whether it runs the program of a service, with arguments as the service's."""
    exe = process["exe"]
    if not exe or not _matches(exe, about.get("executables", ["*"])):
        return False
    patterns = about["processes"]
    return any(_fits(process, each) for each in patterns) or not patterns and "executables" in about


def _fits(process: Process, pattern: str) -> bool:
    """Whether a process is the one of a pattern `EXE ARGUMENTS`: the first word is that of the program alone."""
    exe, blank, arguments = pattern.partition(" ")
    if not blank:
        return fnmatch.fnmatchcase(process["command"], pattern)
    return fnmatch.fnmatchcase(process["exe"], exe) and fnmatch.fnmatchcase(" ".join(process["arguments"]), arguments)


def _may(process: Process, about: Mapping[str, Any]) -> bool:
    """Whether its users are root, or a service's own. A plug-in that says nothing of them has any."""
    others = {*process["uids"]} - {0}
    return bool(process["uids"]) and ("users" not in about or others <= set(_uids(about["users"] if others else ())))


def _uids(users: Iterable[str]) -> list[int]:
    found = []
    for name in users:
        try:
            found.append(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue  # this host has no such user
    return found


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(text, each) for each in patterns)


def _printable(text: str) -> str:
    """A name that a process has chosen, for a sentence."""
    return "".join(each if each.isprintable() else "?" for each in text)
