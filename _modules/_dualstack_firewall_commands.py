"""
The iptables commands of this host, those of both families run in parallel.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

import _dualstack_host_commands as host_commands
from salt.exceptions import CommandExecutionError

COMMANDS = {"ipv4": "iptables", "ipv6": "ip6tables"}
LOCK = 60  # seconds to wait for the lock that all iptables-legacy commands share
VERSION = re.compile(r"iptables v[\d.]+(?: \((nf_tables|legacy)\))?\s")  # before 1.8 there was only one
MESSAGE = 1 << 16  # characters of what a command says that are looked at
PATIENCE = 90.0  # seconds: for the lock, and for names to be resolved


class NotInstalled(CommandExecutionError):
    """This host has no iptables, or none of the backend that is asked for."""


class NoNamespaces(CommandExecutionError):
    """Network namespaces are not permitted here, as in some containers."""


def backend(choice: str = "auto") -> str:
    """
    The backend of iptables that is used on this host.

    choice
        ``nft``, ``legacy``, or ``auto``: that of the host's command ``iptables``.

    Raises ``NotInstalled``.
    """
    program = host_commands.which("iptables" if choice == "auto" else f"iptables-{choice}")
    if not program and choice != "auto":
        program = host_commands.which("iptables")  # a distribution that has only one, without alternatives
    if not program:
        raise NotInstalled("iptables is not installed on this host")
    found = re.search(r"nft|legacy", os.path.basename(os.path.realpath(program)))
    kind = found[0] if found else _kind(program)
    if choice not in ("auto", kind):
        raise NotInstalled(f"iptables-{choice} is not installed on this host: its iptables is {kind}")
    return kind


def _kind(program: str) -> str:
    said = run([program, "--version"])
    found = VERSION.match(said)
    if not found:
        raise CommandExecutionError(
            f"'{program} --version' printed no version of iptables, but: {host_commands.in_one_line(said)}"
        )
    return "nft" if found[1] == "nf_tables" else "legacy"


def command(family: str, backend: str, verb: str) -> str:
    """
    Where a command is.

    family
        ``ipv4`` or ``ipv6``.
    backend
        ``nft`` or ``legacy``.
    verb
        ``save`` or ``restore``.

    Raises ``NotInstalled``.
    """
    name = COMMANDS[family]
    program = host_commands.which(f"{name}-{backend}-{verb}") or host_commands.which(f"{name}-{verb}")
    if not program:
        raise NotInstalled(f"{name}-{verb} is not installed on this host")
    return program


def adding(family: str, backend: str) -> list[str]:
    """
    The command that changes live rules and keeps all that its input does not name.

    family
        ``ipv4`` or ``ipv6``.
    backend
        ``nft`` or ``legacy``.

    Raises ``NotInstalled``.
    """
    return [command(family, backend, "restore"), "--noflush", "-w", str(LOCK)]


class Job(NamedTuple):
    """
    A command, its input, what it needs in its environment besides the usual, how messages call it, and whether it only
    reads.
    """

    words: list[str]
    text: str = ""
    environment: Mapping[str, str] = {}
    shown: str = ""
    reads: bool = False


def in_namespace(words: list[str]) -> list[str]:
    """
    A command in a scratch network namespace, where no live rule and no live interface is.

    words
        The command and its arguments.

    Raises ``CommandExecutionError`` where there is no unshare(1).
    """
    if not host_commands.which("unshare"):
        raise CommandExecutionError("unshare is not installed on this host; it comes with the package util-linux")
    return ["unshare", "--net", *words]


def run(words: list[str], text: str = "") -> str:
    """
    What a command prints.

    words
        The command and its arguments; no shell.
    text
        Its input.

    Raises as :py:func:`together` does, and ``CommandFailed`` if it fails.
    """
    (said,) = together({"": Job(words, text)}).values()
    if isinstance(said, host_commands.CommandFailed):
        raise said
    return said


def together(jobs: Mapping[str, Job]) -> dict[str, str | host_commands.CommandFailed]:
    """
    Run commands at the same time, and wait until all have ended.

    jobs
        The commands, by keys.

    Returns by the same keys what each prints, or its failure. Raises ``NoNamespaces`` where one needs them and they are
    not permitted, and ``CommandExecutionError`` where one cannot be run, or has to be killed: then all are.
    """
    waiting = {}
    ended: dict[str, str | host_commands.CommandFailed] = {}
    try:
        for key, each in jobs.items():
            waiting[key] = host_commands.start(
                each.words, each.text, PATIENCE, each.environment, each.shown, reads=each.reads
            )
        for key in jobs:
            process = waiting.pop(key)
            ended[key] = _result(process.name, host_commands.finish(process, *waiting.values()))
    finally:
        for process in waiting.values():
            host_commands.give_up(process)
    return ended


def _result(name: str, done: host_commands.Said) -> str | host_commands.CommandFailed:
    if not done.retcode:
        return done.stdout
    if done.stderr.startswith("unshare: "):
        raise NoNamespaces(f"network namespaces are not permitted here: {host_commands.in_one_line(done.stderr)}")
    errors = [line for line in done.stderr[-MESSAGE:].splitlines() if "--help" not in line]
    said = host_commands.in_one_line("\n".join(errors) or done.stdout)
    return host_commands.CommandFailed(name, done.retcode, said)
