"""
Commands of this host, run so that none of them can hold a state for ever.
"""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import subprocess
import tempfile
from typing import Any

import salt.utils.files
import salt.utils.json
from salt.exceptions import CommandExecutionError
from salt.utils.path import which as _salt_which

__virtualname__ = "host_commands"

# A login shell of Debian's `su` has none of these in its PATH, and salt-call inherits it.
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def which(program: str) -> str:
    """
    Where a program is, the folders of administrators included; an empty text if there is none.

    program
        Its name.

    CLI Example:

    .. code-block:: bash

        salt-call host_commands.which ifup
    """
    folders = (f"{folder}/{program}" for folder in SBIN.split(":"))
    return _salt_which(program) or next((each for each in folders if os.access(each, os.X_OK)), "")


def path() -> str:
    """
    The ``PATH`` that commands are run with: this process's, and the folders of administrators.

    CLI Example:

    .. code-block:: bash

        salt-call host_commands.path
    """
    return f"{os.environ.get('PATH', '/usr/bin:/bin')}:{SBIN}"


def run(words: list[str], patience: float = 120) -> dict[str, Any]:
    """
    Run a command that may start daemons, in a session of its own.

    words
        The command and its arguments; no shell.
    patience
        After so many seconds it is killed, with all that it has started.

    Returns ``retcode`` and ``said``, what it printed, in one line. Not by ``cmd.run_all``: that waits for a daemon
    that was started and holds its output, for ever, and its time limit ends the command, but not the children.
    Raises ``OSError`` where there is no such program.

    CLI Example:

    .. code-block:: bash

        salt-call host_commands.run '[service, dovecot, restart]' 60
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PATH": path(), "LC_ALL": "C"},
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
    said = "; ".join(line.strip() for line in f"{late}{text}".splitlines() if line.strip())
    return {"retcode": process.returncode, "said": said or "nothing"}


def failure(words: list[str], patience: float = 120) -> str:
    """
    What there is to say of a command that fails; an empty text of one that succeeds.

    words
        The command and its arguments; no shell.
    patience
        After so many seconds it is killed, with all that it has started.

    Raises ``OSError`` where there is no such program.

    CLI Example:

    .. code-block:: bash

        salt-call host_commands.failure '[postfix, check]'
    """
    done = run(words, patience)
    return f"'{' '.join(words)}' ended with {done['retcode']} and said: {done['said']}" if done["retcode"] else ""


def ip(words: list[str]) -> list[dict[str, Any]]:
    """
    What ip(8) tells of this host.

    words
        Its arguments, without ``-j``.

    Returns what it prints as JSON, without the empty entries that some versions leave for what they did not show.
    Raises ``CommandExecutionError`` with what it said.

    CLI Example:

    .. code-block:: bash

        salt '*' host_commands.ip '["-6", route, get, "2001:db8::1"]'
    """
    program = which("ip")
    if not program:
        raise CommandExecutionError("ip is not installed; it comes with the package iproute2")
    done = subprocess.run([program, "-j", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or f"it ended with {done.returncode}"
        raise CommandExecutionError(f"'ip -j {' '.join(words)}' failed: {said}")
    return [each for each in salt.utils.json.loads(done.stdout or "[]") if each]


def _kill_session(leader: int) -> None:
    """Kill a command and all that it has started, whatever process groups these have made for themselves."""
    for status in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):  # it has just ended by itself
            with salt.utils.files.fopen(status, "rb") as stream:
                session = stream.read().rpartition(b")")[2].split()[3]  # proc(5)
            if int(session) == leader:
                os.kill(int(status.split("/")[2]), signal.SIGKILL)
