"""
Commands of this host, run so that none of them can block a state forever.
"""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import subprocess
import tempfile
from typing import Any, NamedTuple

import salt.utils.files
import salt.utils.json
from salt.exceptions import CommandExecutionError
from salt.utils.path import which as _salt_which

PATIENCE = 60.0  # seconds for a command that either answers at once or hangs

# A login shell of Debian's `su` has none of these in its PATH, and salt-call inherits it.
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def which(program: str) -> str:
    """
    The path of a program, also in the administrators' folders; empty if there is none.

    program
        Its name.
    """
    folders = (f"{folder}/{program}" for folder in SBIN.split(":"))
    return _salt_which(program) or next((each for each in folders if os.access(each, os.X_OK)), "")


def path() -> str:
    """
    The ``PATH`` for commands: this process's, and the administrators' folders.
    """
    return f"{os.environ.get('PATH', '/usr/bin:/bin')}:{SBIN}"


class CommandFailed(CommandExecutionError):
    """A command ended with an error."""


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    retcode: int
    stdout: str
    stderr: str

    def words(self) -> str:
        """All that it printed in one line, errors first."""
        return _in_one_line(f"{self.stderr}\n{self.stdout}")


def _in_one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip()) or "nothing"


def output(words: list[str], patience: float = PATIENCE) -> Said:
    """
    Run a command for its output.

    words
        The command and its arguments; no shell.
    patience
        Seconds after which it is killed, with all processes that it has started.

    Raises ``OSError`` where there is no such program, and ``CommandExecutionError`` where it takes too long.
    """
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=_environment(),
        encoding="utf-8",
        errors="surrogateescape",
    )
    try:
        stdout, stderr = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        _kill_session(process.pid)
        process.communicate()
        raise CommandExecutionError(f"'{' '.join(words)}' took more than {patience:g} s and was killed") from None
    return Said(process.returncode, stdout, stderr)


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": path(), "LC_ALL": "C"}


def run(words: list[str], patience: float = 120) -> dict[str, Any]:
    """
    Run a command that may start daemons, in a session of its own.

    words
        The command and its arguments; no shell.
    patience
        Seconds after which it is killed, with all processes that it has started.

    Returns ``retcode`` and ``said``, its output, in one line. Not by ``cmd.run_all``: that waits forever for a started
    daemon that holds its output, and its time limit ends the command, but not the children. Raises ``OSError`` where
    there is no such program.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env=_environment(),
        )
        late = ""
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            _kill_session(process.pid)
            process.wait()
            late = f"it took more than {patience} s and was killed\n"
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return {"retcode": process.returncode, "said": _in_one_line(f"{late}{text}")}


def failure(words: list[str], patience: float = 120) -> str:
    """
    The error message of a command that fails; empty for one that succeeds.

    words
        The command and its arguments; no shell.
    patience
        Seconds after which it is killed, with all processes that it has started.

    Raises ``OSError`` where there is no such program.
    """
    done = run(words, patience)
    return f"'{' '.join(words)}' ended with {done['retcode']} and said: {done['said']}" if done["retcode"] else ""


def ip(words: list[str]) -> list[dict[str, Any]]:
    """
    What ip(8) reports about this host.

    words
        Its arguments, without ``-j``.

    Returns what it prints as JSON, without the empty entries that some versions print for what they filtered out.
    Raises ``CommandFailed``, a ``CommandExecutionError``, with its message, and ``CommandExecutionError`` where there
    is no ip(8).
    """
    program = which("ip")
    if not program:
        raise CommandExecutionError("ip is not installed; it comes with the package iproute2")
    done = output([program, "-j", *words])
    if done.retcode:
        said = done.stderr.strip() or f"it ended with {done.retcode}"
        raise CommandFailed(f"'ip -j {' '.join(words)}' failed: {said}")
    try:
        found = salt.utils.json.loads(done.stdout or "[]")
    except ValueError:
        raise CommandExecutionError(f"'ip -j {' '.join(words)}' printed no JSON, but: {done.words()}") from None
    return [each for each in found if each]


def _kill_session(leader: int) -> None:
    """Kill a command and all processes that it has started, even in process groups of their own."""
    for status in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):  # it has just ended by itself
            with salt.utils.files.fopen(status, "rb") as stream:
                session = stream.read().rpartition(b")")[2].split()[3]  # proc(5)
            if int(session) == leader:
                os.kill(int(status.split("/")[2]), signal.SIGKILL)
