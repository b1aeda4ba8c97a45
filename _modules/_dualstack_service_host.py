"""
One service on this host: its configuration files, its processes, stopping and starting it.

What is particular to a service comes from its plug-in.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_plugins as plugins
from salt.exceptions import CommandExecutionError

TAIL = 15  # lines of a log that a report shows
LOGS = ("/var/log/syslog", "/var/log/messages", "/var/log/mail.log", "/var/log/daemon.log")


class Daemon(NamedTuple):
    """
    A service with a plug-in, and the plug-in's facts about it.

    ``about`` has ``files``, where its configuration begins; ``processes``, patterns of "EXE ARGUMENTS"; ``units``,
    patterns of systemd units; ``init``, its name for service(8); ``options``, the keys that only it has in the pillar,
    each with a description of the expected value; ``check``, the command that checks its configuration; and the
    ``protocols`` of its usual ports. Some also have ``sets_v6only``, whether it sets ``IPV6_V6ONLY`` of all its sockets
    by itself, and ``always``, its keys in the pillar that hold even where it serves both families already.
    """

    name: str
    plugin: plugins.Service
    about: dict[str, Any]


def daemon(known: Mapping[str, plugins.Service], name: str) -> Daemon:
    """
    One service.

    known
        All plug-ins, by the names of their services.
    name
        One of them.
    """
    return Daemon(name, known[name], known[name].about())


def daemons(known: Mapping[str, plugins.Service]) -> dict[str, Daemon]:
    """
    All services with a plug-in, by their names.

    known
        All plug-ins.
    """
    return {name: daemon(known, name) for name in known}


def configuration(service: Daemon) -> plugins.Files:
    """
    The configuration files of a service, with all that they include.

    service
        The service.

    Returns ``{path: {"text": ..., "includes": [[path, ...], ...]}}`` in reading order; the n-th item of ``includes``
    are the files that the n-th include statement of that file reads. Raises ``OSError``, and ``SaltInvocationError``
    where the plug-in cannot read a file.
    """
    todo = [path for pattern in service.about["files"] for path in sorted(glob.glob(pattern))]
    found: plugins.Files = {}
    while todo:
        path = todo.pop(0)
        text = None if path in found or os.path.isdir(path) else host_files.read(path)
        if text is None:
            continue
        patterns = service.plugin.includes(path, text)
        matched = [sorted(each for each in glob.glob(pattern) if os.path.isfile(each)) for pattern in patterns]
        found[path] = {"text": text, "includes": matched}
        todo = [each for paths in matched for each in paths] + todo
    return found


def installed(service: Daemon) -> plugins.Files:
    """
    The configuration files of a service that has to be there.

    service
        The service.

    Returns and raises as :py:func:`configuration` does, and ``CommandExecutionError`` where there is no such file.
    """
    found = configuration(service)
    if not found:
        expected = " or ".join(service.about["files"])
        raise CommandExecutionError(f"{service.name} is not installed on this host: there is no {expected}")
    return found


def check(service: Daemon) -> str:
    """
    The errors that the service's own checker finds in its configuration files; empty if there are none.

    service
        The service.
    """
    words: list[str] = service.about["check"]
    if not words or not host_commands.which(words[0]):
        return ""
    return host_commands.failure(words)


def owner(process: Mapping[str, Any], services: Mapping[str, Daemon]) -> str:
    """
    The service that a process belongs to.

    process
        The result of ``service_sockets.process``.
    services
        All that are known, by their names.

    By its systemd unit or its command. One without a plug-in is named after its unit, or else its program.
    """
    # A blank after a program without arguments, so that `EXE *` matches it as well.
    commands = (process["command"], f"{process['command']} ")
    for name, service in services.items():
        if any(fnmatch.fnmatchcase(process["unit"], each) for each in service.about["units"]):
            return name
        if any(fnmatch.fnmatchcase(command, each) for command in commands for each in service.about["processes"]):
            return name
    unit: str = process["unit"]
    program: str = process["name"]
    return unit.partition(".")[0] if unit.endswith((".service", ".socket")) else program


def running(service: Daemon) -> bool:
    """
    Whether a service runs, according to its init script or unit.

    service
        The service.

    Raises ``CommandExecutionError`` for what cannot run as a service of its own.
    """
    return not _service(service, "status", 30)["retcode"]


def restart(service: Daemon, patience: float = 120) -> None:
    """
    Stop a service and start it again. Never a reload: most daemons keep their listeners then, and some die.

    service
        The service.
    patience
        Seconds after which the command is killed.

    Raises ``CommandExecutionError`` with what it said.
    """
    done = _service(service, "restart", patience)
    if done["retcode"]:
        raise CommandExecutionError(
            f"'service {service.about['init']} restart' ended with {done['retcode']} and said: {done['said']}"
        )


def _service(service: Daemon, verb: str, patience: float) -> dict[str, Any]:
    """service(8), which uses systemd if that runs, and otherwise the init script."""
    init = service.about["init"]
    if not init:
        raise CommandExecutionError(f"{service.name} is not a service that could be started")
    return host_commands.run(["service", init, verb], patience)


def log_mark(service: Daemon) -> dict[str, Any]:
    """
    Where the logs of a service end now, for :py:func:`log_since`.

    service
        The service.
    """
    return {"time": time.time(), "files": {path: os.path.getsize(path) for path in _logs(service.name)}}


def log_since(service: Daemon, mark: dict[str, Any]) -> list[str]:
    """
    What a service has logged since then: the last lines.

    service
        The service.
    mark
        From :py:func:`log_mark`.
    """
    lines: list[str] = []
    journal = host_commands.which("journalctl")
    if journal and os.path.isdir("/run/systemd/system"):  # sd_booted(3)
        since = ["--since", f"@{mark['time']:.0f}", "--no-pager", "-q", "-o", "cat", "-n", str(TAIL)]
        units = [word for unit in service.about["units"] for word in ("-u", unit)]
        lines += host_commands.output([journal, *since, *units]).stdout.splitlines()
    for path in _logs(service.name):
        text = host_files.read(path) or ""
        # The mark counts bytes, and the text may have fewer characters.
        added = text.encode("utf-8", "surrogateescape")[mark["files"].get(path, 0) :]
        lines += added.decode("utf-8", "replace").splitlines()[-TAIL:]
    return [line for line in lines if line.strip()][-TAIL:]


def _logs(name: str) -> list[str]:
    own = [*glob.glob(f"/var/log/{name}/*.log"), *glob.glob(f"/var/log/{name}.log")]
    return [path for path in (*sorted(own), *LOGS) if os.path.isfile(path)]
