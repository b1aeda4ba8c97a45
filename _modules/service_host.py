"""
One service on this host: its configuration files, its processes, stopping and starting it.

What is particular to a service comes from its plug-in, the execution module ``listen_<service>``; of those this
module knows only that they are there.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import time
from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "service_host"

PREFIX = "listen_"
TAIL = 15  # lines of a log that a report shows
LOGS = ("/var/log/syslog", "/var/log/messages", "/var/log/mail.log", "/var/log/daemon.log")


def names() -> list[str]:
    """
    The services that have a plug-in.

    The files beside this one are looked at, not the loader: asking that for all names would load every module there
    is, which takes seconds.

    CLI Example:

    .. code-block:: bash

        salt '*' service_host.names
    """
    files = glob.glob(os.path.join(os.path.dirname(__file__), f"{PREFIX}*.py"))
    return sorted(os.path.basename(each)[len(PREFIX) : -len(".py")] for each in files)


def about(name: str) -> dict[str, Any]:
    """
    What a service's plug-in says of it.

    name
        The service, as in ``ipv6:services``.

    Returns ``files``, where its configuration begins; ``processes``, patterns of "EXE ARGUMENTS"; ``units``, patterns
    of systemd units; ``init``, its name for service(8); ``options``, the keys that only it has in the pillar, each with
    what is expected, in words (a plug-in that has some has ``errors``, too, for their values); ``check``, the command
    that checks its configuration; and the ``protocols`` of its usual ports. Some also have ``sets_v6only``, whether it
    sets ``IPV6_V6ONLY`` of all its sockets by itself, and ``always``, its keys in the pillar that hold even where it
    serves both families already. Raises ``SaltInvocationError`` where there is no such plug-in.

    CLI Example:

    .. code-block:: bash

        salt-call service_host.about dovecot
    """
    function = f"{PREFIX}{name}.about"
    if function not in __salt__:
        raise SaltInvocationError(f"{name}: not a service that is known; expected one of {', '.join(names())}")
    found: dict[str, Any] = __salt__[function]()
    return found


def configuration(name: str) -> dict[str, Any]:
    """
    The configuration files of a service, with all that they include.

    name
        The service.

    Returns ``{path: {"text": ..., "includes": [[path, ...], ...]}}`` in reading order; the n-th item of ``includes``
    are the files that the n-th include statement of that file reads. Raises ``OSError``.

    CLI Example:

    .. code-block:: bash

        salt-call service_host.configuration dovecot
    """
    todo = [path for pattern in about(name)["files"] for path in sorted(glob.glob(pattern))]
    found: dict[str, Any] = {}
    while todo:
        path = todo.pop(0)
        text = None if path in found or os.path.isdir(path) else __salt__["host_files.read"](path)
        if text is None:
            continue
        patterns = __salt__[f"{PREFIX}{name}.includes"](path, text)
        matched = [sorted(each for each in glob.glob(pattern) if os.path.isfile(each)) for pattern in patterns]
        found[path] = {"text": text, "includes": matched}
        todo = [each for paths in matched for each in paths] + todo
    return found


def check(name: str) -> str:
    """
    What the service's own checker says against its configuration files; an empty text if it is content.

    name
        The service.

    CLI Example:

    .. code-block:: bash

        salt-call service_host.check postfix
    """
    words = about(name)["check"]
    if not words or not __salt__["host_commands.which"](words[0]):
        return ""
    said: str = __salt__["host_commands.failure"](words)
    return said


def owner(process: dict[str, Any]) -> str:
    """
    The service that a process belongs to.

    process
        What ``socket_diag.process`` says of it.

    By its systemd unit or its command. One that no plug-in knows is called after its unit, or else its program.

    CLI Example:

    .. code-block:: bash

        salt-call service_host.owner '{command: /usr/sbin/dovecot -F, unit: dovecot.service, name: dovecot}'
    """
    # A blank behind a program without arguments, so that `EXE *` is for it as well.
    commands = (process["command"], f"{process['command']} ")
    for name in names():
        plugin = about(name)
        if any(fnmatch.fnmatchcase(process["unit"], each) for each in plugin["units"]):
            return name
        if any(fnmatch.fnmatchcase(command, each) for command in commands for each in plugin["processes"]):
            return name
    unit: str = process["unit"]
    return unit.partition(".")[0] if unit.endswith((".service", ".socket")) else process["name"]


def running(name: str) -> bool:
    """
    Whether a service runs, as far as its init script or unit knows.

    name
        The service.

    CLI Example:

    .. code-block:: bash

        salt '*' service_host.running dovecot
    """
    return not _service(name, "status", 30)["retcode"]


def restart(name: str, patience: float = 120) -> None:
    """
    Stop a service and start it again. Never a reload: most daemons keep their listeners then, and some die.

    name
        The service.
    patience
        After so many seconds the command is killed.

    Raises ``CommandExecutionError`` with what it said.

    CLI Example:

    .. code-block:: bash

        salt '*' service_host.restart dovecot
    """
    done = _service(name, "restart", patience)
    if done["retcode"]:
        raise CommandExecutionError(
            f"'service {about(name)['init']} restart' ended with {done['retcode']} and said: {done['said']}"
        )


def _service(name: str, verb: str, patience: float) -> dict[str, Any]:
    """service(8), which speaks to systemd where that runs, and to the init script where it does not."""
    init = about(name)["init"]
    if not init:
        raise CommandExecutionError(f"{name} is not a service that could be started")
    done: dict[str, Any] = __salt__["host_commands.run"](["service", init, verb], patience)
    return done


def log_mark(name: str) -> dict[str, Any]:
    """
    Where the logs of a service end now, for :py:func:`log_since`.

    name
        The service.

    CLI Example:

    .. code-block:: bash

        salt-call service_host.log_mark dovecot
    """
    return {"time": time.time(), "files": {path: os.path.getsize(path) for path in _logs(name)}}


def log_since(name: str, mark: dict[str, Any]) -> list[str]:
    """
    What a service has logged since: its last lines.

    name
        The service.
    mark
        From :py:func:`log_mark`.

    CLI Example:

    .. code-block:: bash

        salt-call service_host.log_since dovecot '{time: 0, files: {}}'
    """
    lines: list[str] = []
    if os.path.isdir("/run/systemd/system"):  # sd_booted(3)
        since = ["--since", f"@{mark['time']:.0f}", "--no-pager", "-q", "-o", "cat", "-n", str(TAIL)]
        units = [word for unit in about(name)["units"] for word in ("-u", unit)]
        said = __salt__["cmd.run_all"](["journalctl", *since, *units], python_shell=False, ignore_retcode=True)
        lines += said["stdout"].splitlines()
    for path in _logs(name):
        text = __salt__["host_files.read"](path) or ""
        # The mark counts bytes, and the text may have fewer signs than that.
        added = text.encode("utf-8", "surrogateescape")[mark["files"].get(path, 0) :]
        lines += added.decode("utf-8", "replace").splitlines()[-TAIL:]
    return [line for line in lines if line.strip()][-TAIL:]


def _logs(name: str) -> list[str]:
    own = [*glob.glob(f"/var/log/{name}/*.log"), *glob.glob(f"/var/log/{name}.log")]
    return [path for path in (*sorted(own), *LOGS) if os.path.isfile(path)]
