"""
One service on this host: its configuration files, its processes, stopping and starting it.

What is particular to a service comes from its plug-in.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_plugins as plugins
import _dualstack_secrets_said as secrets_said
import _dualstack_transaction_beat as transaction_beat
from salt.exceptions import CommandExecutionError, SaltException, SaltInvocationError

SYSTEMD = "/run/systemd/system"  # sd_booted(3)
STATUS = 30.0  # seconds
CHECK = 60.0  # seconds for a service's own checker
JOURNAL = 10.0  # seconds
TAIL = 15  # lines of a log that a report shows
MORE = 40 * TAIL  # lines of it that are read, since many may be about our own questions
# How logs call a client: Postfix, sshd and HAProxy; Dovecot; nginx; and the beginning of a line of an access log.
CLIENT = r"dualstack-probe|(?:\bfrom \S*?\[?|\brip=|\bclient:? \[?|^\[?)(?:{})(?![0-9a-f.])"
MOST = 1 << 16  # characters at the beginning and at the end of an output or a log: more are not read
LOGS = ("/var/log/syslog", "/var/log/messages", "/var/log/mail.log", "/var/log/daemon.log")


class Daemon(NamedTuple):
    """
    A service with a plug-in, and the plug-in's facts about it.

    ``about`` has ``files``, where its configuration begins; ``processes``, patterns of "EXE ARGUMENTS"; ``units``,
    patterns of systemd units; ``init``, its name for service(8); ``options``, the keys that only it has in the pillar,
    each with a description of the expected value; ``check``, the command that checks its configuration; and the
    ``protocols`` of its usual ports. Some also have:

    * ``executables``, patterns of its program, and ``users``, those that its processes may have beside root
    * ``sets_v6only``, whether it sets ``IPV6_V6ONLY`` of all its sockets by itself
    * ``shares_ports``, whether two of its sockets may claim the same port
    * ``sites``, whether it makes use of names and addresses, and ``names``, whether it tells the names that it serves
    * ``sends``, whether it sends mail, over the families of its key ``send``
    * ``always``, its keys in the pillar that hold even where it serves both families already
    * ``warns``, statuses of its checker that do not keep it from starting
    * ``restarts``, whether it has its own commands for that
    * ``words``, those of its configuration that are about listening, and no secrets: a diff shows them
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
        patterns = _asked(service, {path: {"text": text}}, functools.partial(service.plugin.includes, path, text))
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


def listeners(service: Daemon, files: plugins.Files) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    service
        The service.
    files
        Its configuration, from :py:func:`configuration`.

    Raises ``SaltException`` as its plug-in does, with no secret of these files in it.
    """
    found: list[dict[str, Any]] = _asked(service, files, lambda: service.plugin.listeners(files))
    return found


def told(service: Daemon, files: plugins.Files) -> list[dict[str, Any]]:
    """
    The same for a look at what runs: none if the files cannot be read. The daemon runs nevertheless, and the plan of
    its own state reports the errors in them.

    service, files
        As for :py:func:`listeners`.
    """
    try:
        return listeners(service, files)
    except SaltException:
        return []


def sites(service: Daemon, files: plugins.Files) -> list[dict[str, Any]]:
    """
    The host names that a configuration serves, each with its ``names`` and TCP ``ports``; none where the plug-in does
    not know.

    service, files
        As for :py:func:`listeners`. Files that cannot be read have no names.
    """
    try:
        return _asked(service, files, lambda: service.plugin.sites(files)) if service.about.get("names") else []
    except SaltException:
        return []


def dual_stack(
    service: Daemon,
    files: plugins.Files,
    options: dict[str, Any],
    bindv6only: int,
    site: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families.

    service, files
        As for :py:func:`listeners`.
    options
        The service's own settings.
    bindv6only
        The value of ``net.ipv6.bindv6only`` that will hold when it starts.
    site
        The ``names`` and ``addresses`` by which others come, for a plug-in that knows what to do with them.

    Returns what its plug-in does, with no secret in its sentences: ``files``; ``always``, the texts with only those
    edits that are needed even where every port answers in both families; ``bindv6only``; ``notes``; and ``missing``,
    what has no IPv6 and cannot be given it, each with ``names``, ``port`` and what is to be ``said``. Raises as
    :py:func:`listeners` does.
    """
    further = [site] if service.about.get("sites") else []
    found: dict[str, Any] = {
        **{"always": {}, "missing": []},
        **_asked(service, files, lambda: service.plugin.dual_stack(files, options, bindv6only, *further)),
    }
    if found["notes"] or found["missing"]:
        known, secrets = service.about.get("words"), _secrets(files)
        found["notes"] = [secrets_said.quoted(each, known, secrets) for each in found["notes"]]
        found["missing"] = [
            {**each, "said": secrets_said.quoted(each["said"], known, secrets)} for each in found["missing"]
        ]
    return found


def _asked(service: Daemon, files: plugins.Files, ask: Callable[[], Any]) -> Any:
    """What a plug-in answers. Its errors may quote the files: then they are shown as those in a diff are."""
    try:
        return ask()
    except SaltException as error:
        said = secrets_said.quoted(str(error), service.about.get("words"), _secrets(files))
        kind = SaltInvocationError if isinstance(error, SaltInvocationError) else CommandExecutionError
        raise kind(said) from None


def _secrets(files: plugins.Files) -> secrets_said.Secrets:
    return secrets_said.of(each["text"] for each in files.values())


class Checked(NamedTuple):
    """What a service's own checker has found: why the service would not start, or empty; and its other complaints."""

    error: str
    complaints: frozenset[str] = frozenset()


def check(service: Daemon) -> Checked:
    """
    What the service's own checker finds in its configuration files.

    service
        The service.

    Complaints are what it says with a status that it has for what does not keep the service from starting, the
    plug-in's ``warns``. No secret of these files is in it. Raises ``CommandExecutionError`` for a checker that is not
    installed, or does not come to an end.
    """
    words: list[str] = service.about["check"]
    if not words:
        return Checked("")
    if not host_commands.which(words[0]):
        raise CommandExecutionError(f"{service.name}: its configuration cannot be checked: {words[0]} is not installed")
    try:
        done = host_commands.output(words, CHECK)
    except host_commands.TooMuch as error:
        raise CommandExecutionError(f"{service.name}: its configuration could not be checked: {error}") from None
    if not done.retcode:
        return Checked("")
    hide = functools.partial(_discreet, service)
    if done.retcode in service.about.get("warns", ()):
        return Checked("", frozenset(hide(f"{done.stdout}\n{done.stderr}").splitlines()))
    return Checked(host_commands.ended(" ".join(words), done.retcode, done.words(hide)))


def running(service: Daemon) -> bool:
    """
    Whether a service runs, according to its init script or unit.

    service
        The service.

    Raises ``CommandExecutionError`` for what cannot run as a service of its own, and where the answer never came: that
    is not the answer that it does not run.
    """
    done = host_commands.run(_command(service, "status"), STATUS, hide=functools.partial(_discreet, service))
    if done.retcode < 0:
        raise CommandExecutionError(f"whether {service.name} runs is not known: {done.sentence}")
    return not done.retcode


def restart(service: Daemon, patience: float, options: dict[str, Any] | None = None) -> None:
    """
    Stop a service and start it again. Never a reload: most daemons keep their listeners then, and some die.

    service
        The service.
    patience
        Seconds after which a command is killed.
    options
        The service's own settings, by which a plug-in may have commands of its own: ``restarts`` of its facts.

    Raises ``CommandExecutionError`` with what it said, without the secrets of its configuration.
    """
    hide = functools.partial(_discreet, service)
    own = restarting(service, options)
    transaction_beat.stop(service.name)
    for words in own or [_command(service, "restart")]:
        done = host_commands.run(words, patience, hide=hide)
        if done.retcode:
            raise CommandExecutionError(done.sentence)


def bring_back(service: Daemon, patience: float, options: dict[str, Any] | None = None) -> None:
    """
    Stop and start a service whose restart may just have failed: by other words, since the same would fail again.

    service, patience, options
        As for :py:func:`restart`.

    Raises as that does.
    """
    if service.about.get("restarts"):
        restart(service, patience, options)
        return
    transaction_beat.stop(service.name)
    hide = functools.partial(_discreet, service)
    host_commands.run(_command(service, "stop"), patience, hide=hide)  # it may have stopped already, or hang
    if os.path.isdir(SYSTEMD):
        host_commands.run(["systemctl", "reset-failed", service.about["init"]], STATUS)
    done = host_commands.run(_command(service, "start"), patience, hide=hide)
    if done.retcode:
        raise CommandExecutionError(done.sentence)


def restarting(service: Daemon, options: dict[str, Any] | None = None) -> list[list[str]]:
    """
    The commands of its own by which a service is started again; none for one with an init script or a unit.

    service, options
        As for :py:func:`restart`.
    """
    return service.plugin.restart(configuration(service), options or {}) if service.about.get("restarts") else []


def _command(service: Daemon, verb: str) -> list[str]:
    """service(8), which uses systemd if that runs, and otherwise the init script."""
    init = service.about["init"]
    if not init:
        raise CommandExecutionError(f"{service.name} is not a service that could be started")
    return ["service", init, verb]


def _discreet(service: Daemon, said: str) -> str:
    """What a program said about a service, without the secrets of its configuration."""
    try:
        files = configuration(service)
    except (OSError, SaltException):  # it cannot be read: what looks like a secret is masked anyway
        files = {}
    return secrets_said.without(said, _secrets(files))


def log_mark(service: Daemon) -> dict[str, Any]:
    """
    Where the logs of a service end now, for :py:func:`log_since`.

    service
        The service.
    """
    sizes = {}
    for path in _logs(service.name):
        with contextlib.suppress(FileNotFoundError):  # it has just been rotated: the next one is new from its beginning
            sizes[path] = os.path.getsize(path)
    return {"time": time.time(), "files": sizes}


def log_since(service: Daemon, mark: dict[str, Any], probed: Iterable[str] = ()) -> list[str]:
    """
    What a service has logged since then: the last lines, without the secrets of its configuration.

    service
        The service.
    mark
        From :py:func:`log_mark`.
    probed
        Addresses of this host on which the service was asked: what it says of a client from there is about ourselves.
    """
    lines: list[str] = []
    journal = host_commands.which("journalctl")
    if journal and os.path.isdir(SYSTEMD):
        since = ["--since", f"@{mark['time']:.0f}", "--no-pager", "-q", "-o", "cat", "-n", str(MORE)]
        units = [word for unit in service.about["units"] for word in ("-u", unit)]
        try:
            lines += host_commands.output([journal, *since, *units], JOURNAL).stdout.splitlines()
        except CommandExecutionError as error:  # what has failed before is more important
            lines.append(f"(its journal could not be read: {error})")
    for path in _logs(service.name):
        try:
            lines += _added(path, mark["files"].get(path, 0))
        except OSError as error:  # as above; it may just be rotated
            lines.append(f"({path} could not be read: {error.strerror})")
    ourselves = re.compile(CLIENT.format("|".join(map(re.escape, probed)) or "$."))
    told = [line for line in lines if line.strip() and not ourselves.search(line)]
    said = _discreet(service, "\n".join(told[-TAIL:]))
    return [host_commands.in_one_line(line) for line in said.splitlines()[-TAIL:]]


def _added(path: str, before: int) -> list[str]:
    """The last of the lines that are new in a log; one that is shorter than before is another one."""
    size = os.path.getsize(path)
    before = before if before <= size else 0
    start = max(before, size - MOST)
    added = (host_files.read_bytes(path, start, follow=False) or b"").decode(
        "utf-8", "surrogateescape"
    )  # as its secrets are
    whole = added if start == before else added.partition("\n")[2]
    return whole.splitlines()[-MORE:]


def _logs(name: str) -> list[str]:
    own = [*glob.glob(f"/var/log/{name}/*.log"), *glob.glob(f"/var/log/{name}.log")]
    # Not links: a folder may be its daemon's own, which could have root read any file to it.
    return [path for path in (*sorted(own), *LOGS) if os.path.isfile(path) and not os.path.islink(path)]
