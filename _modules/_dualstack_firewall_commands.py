"""
The iptables commands of this host, those of both families run in parallel.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping

import _dualstack_host_commands as host_commands
from salt.exceptions import CommandExecutionError

COMMANDS = {"ipv4": "iptables", "ipv6": "ip6tables"}
PATIENCE = 60  # seconds: for the lock that all iptables-legacy commands share, and for names to be resolved

Process = subprocess.Popen[str]


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
    return "nft" if "nf_tables" in run([program, "--version"]) else "legacy"


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
    return [command(family, backend, "restore"), "--noflush", "-w", str(PATIENCE)]


def run(words: list[str]) -> str:
    """
    What a command prints.

    words
        The command and its arguments; no shell.

    Raises ``CommandExecutionError``.
    """
    return finish(start(words))


def start(words: list[str], text: str = "", environment: Mapping[str, str] | None = None) -> Process:
    """
    Start a command, and give it its input.

    words
        The command and its arguments; no shell.
    text
        The input.
    environment
        What differs in its environment.
    """
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PATH": host_commands.path(), "LC_ALL": "C", **(environment or {})},
        encoding="utf-8",
        errors="surrogateescape",
    )
    with contextlib.suppress(BrokenPipeError), process.stdin or contextlib.nullcontext() as stream:
        if stream:
            stream.write(text)
    return process


def start_in_namespace(words: list[str], text: str, environment: Mapping[str, str]) -> Process:
    """
    As :py:func:`start`, in a scratch network namespace, where no live rule and no live interface is.
    """
    try:
        return start(["unshare", "--net", *words], text, environment)
    except FileNotFoundError:
        raise CommandExecutionError("unshare is not installed; it comes with the package util-linux") from None


def finish(process: Process) -> str:
    """
    What a command that was started prints, when it has ended.

    process
        The command.

    Raises ``CommandExecutionError`` with its output if it failed, and ``NoNamespaces`` if that is the reason.
    """
    process.stdin = None
    try:
        output, errors = process.communicate(timeout=2 * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise CommandExecutionError(f"{_words(process)} did not end in {2 * PATIENCE} s") from None
    if process.returncode:
        said = "; ".join(line.strip() for line in errors.splitlines() if line.strip() and "--help" not in line)
        if said.startswith("unshare: "):
            raise NoNamespaces(f"network namespaces are not permitted here: {said}")
        raise CommandExecutionError(said or f"{_words(process)} ended with {process.returncode}")
    return output


def _words(process: Process) -> str:
    return " ".join(map(str, process.args)) if isinstance(process.args, list) else str(process.args)
