"""
Commands of this host: none can block a state forever, and none depends on who has started Salt.

Each runs in a clean environment, in a session of its own, with no open files but its input and output. What it prints
is kept in memory, up to a limit. When its time is over, it is killed with all that it has started.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, NamedTuple

import _dualstack_host_memory as host_memory
import _dualstack_host_processes as host_processes
import _dualstack_host_time as host_time
import _dualstack_transaction_beat as transaction_beat
from salt.exceptions import CommandExecutionError

PATIENCE = 60.0  # seconds for a command that either answers at once or hangs
LONG = 120.0  # seconds for one that may start daemons
MOST = 64 << 20  # bytes that a command may print: a million entries of ipset(8) are as many
PULSE = 0.02  # seconds between two looks at how much it has printed
SHOWN = 1 << 15  # characters at either end of what it printed that are looked at for a message

# Not the caller's: a login shell of Debian's `su` has no sbin in it, and somebody else's may have anything.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "HOME": "/root", "TERM": "dumb"}
UMASK = 0o022  # of what a command makes, as at the boot: a daemon's socket may be for others


def which(program: str) -> str:
    """
    The path of a program; empty if there is none.

    program
        Its name, or its path.
    """
    if "/" in program:
        return program if _executable(program) else ""
    return next((each for folder in PATH.split(":") if _executable(each := f"{folder}/{program}")), "")


def _executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


class CommandFailed(CommandExecutionError):
    """A command ended with an error; ``said`` is what it said."""

    def __init__(self, name: str, retcode: int, said: str) -> None:
        super().__init__(ended(name, retcode, said))
        self.said = said


class NotInstalled(CommandExecutionError):
    """There is no such program; ``need`` is the part of ``ipv6.deps`` that would install it, empty if none does."""

    def __init__(self, said: str, need: str = "") -> None:
        super().__init__(said)
        self.need = need


class TooMuch(CommandExecutionError):
    """A command took too long, or printed too much, and was killed."""


Hide = Callable[[str], str]  # returns a text without what is not for everybody


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    retcode: int
    stdout: str
    stderr: str

    def words(self, hide: Hide = str) -> str:
        """All that it printed in one line, errors first; what is hidden is so before anything is cut."""
        return in_one_line(hide(f"{_ends(self.stderr)}\n{_ends(self.stdout)}"))


class Ended(NamedTuple):
    """How a command ended, as a number, and on request in a sentence: most succeed, and nobody wants to read it."""

    retcode: int
    told: Callable[[], str]

    @property
    def sentence(self) -> str:
        """The sentence, without what is not for everybody."""
        return self.told()


def ended(name: str, retcode: int, said: str) -> str:
    """
    How a command ended, in a sentence.

    name
        The command.
    retcode
        Its status, or the negative number of the signal that has ended it.
    said
        What it printed.
    """
    how = f"was killed by {_signal(-retcode)}" if retcode < 0 else f"ended with {retcode}"
    return f"'{in_one_line(name)}' {how} and said: {said}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"


def in_one_line(text: str) -> str:
    """
    What a command printed, in one printable line; the middle of a long text is left out.

    text
        Its output.
    """
    lines = [line.strip() for line in _ends(text).splitlines() if line.strip()]
    if len(lines) > 30:
        lines = [*lines[:10], "...", *lines[-20:]]
    line = "; ".join(lines) or "nothing"
    line = line if len(line) <= 4000 else f"{line[:1500]} ... {line[-2400:]}"
    return "".join(each if each.isprintable() else " " if each.isspace() else "?" for each in line)


def _ends(text: str) -> str:
    """The first and the last lines of a text that is longer than anybody wants to read; none of them is cut."""
    if len(text) <= 2 * SHOWN:
        return text
    return f"{text[:SHOWN].rpartition(chr(10))[0]}\n...\n{text[-SHOWN:].partition(chr(10))[2]}"


class Process(NamedTuple):
    """A command that runs."""

    name: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    errors: IO[bytes]
    patience: float  # seconds
    end: float  # of its time
    mark: str  # in its environment, and in those of what it starts
    hide: Hide  # what it prints and is not for everybody


def start(
    words: list[str],
    text: str = "",
    patience: float | None = None,
    environment: Mapping[str, str] | None = None,
    shown: str = "",
    hide: Hide = str,
    reads: bool = False,
) -> Process:
    """
    Start a command.

    words
        The command and its arguments; no shell.
    text
        Its input.
    patience
        Seconds after which it is killed, with all that it has started, by default 60; within a state, as many as that
        has left.
    environment
        What it needs in its environment, besides the usual.
    shown
        How messages call it, if its arguments are not for everybody.
    hide
        Takes out of what it prints what is not for everybody, for a message.
    reads
        It only reads: the restorer may be told of it a moment after it has begun, which starts it sooner.

    Raises ``NotInstalled`` where there is no such program, ``CommandExecutionError`` where it cannot be run, and where
    the state's time is over.
    """
    patience = host_time.left(PATIENCE if patience is None else patience)
    host_processes.heed_children()
    program = words[0] if "/" in words[0] else which(words[0])
    if not program:
        raise NotInstalled(f"{words[0]} is not installed on this host (it is not in {PATH})")
    transaction_beat.push(patience)
    mark = host_processes.mark()
    with contextlib.ExitStack() as opened:
        source = opened.enter_context(host_memory.stream(text))
        output, errors = (opened.enter_context(host_memory.stream()) for _ in range(2))
        try:
            process = subprocess.Popen(
                words,
                executable=program,
                stdin=source,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                cwd="/",
                env={"PATH": PATH, **ENVIRONMENT, **(environment or {}), **mark.environment},
                umask=UMASK,
                preexec_fn=_beginning(reads),
            )
        except OSError as error:
            raise CommandExecutionError(f"'{program}' cannot be run: {error.strerror}") from None
        opened.pop_all()
        source.close()
    if reads:
        transaction_beat.note(process.pid)
    end = time.monotonic() + patience
    return Process(shown or " ".join(words), process, output, errors, patience, end, mark.text, hide)


def _beginning(reads: bool) -> Callable[[], None] | None:
    """
    What a process does before it becomes the command. Most have nothing to do: a copy of this process in which Python
    runs may wait forever for what another thread of it has held at that moment, and is slower to make.
    """
    if (transaction_beat.is_armed() and not reads) or host_processes.inherits_signals():
        return _begin
    return None


def _begin() -> None:
    transaction_beat.note(os.getpid())
    host_processes.forget_signals()


def finish(started: Process, *others: Process) -> Said:
    """
    Wait for the end of a command.

    started
        The command.
    others
        Commands that run at the same time, and must not print too much meanwhile either.

    Raises ``TooMuch`` where it took too long or printed too much; then it is gone, with all that it has started.
    """
    try:
        _wait(started, *others)
        said = Said(started.process.returncode, _text(started.output), _text(started.errors))
    except BaseException:  # an interrupted run leaves no command behind
        give_up(started)
        raise
    _close(started)
    host_time.beat()
    return said


def give_up(started: Process) -> None:
    """
    Kill a command and all that it has started.

    started
        The command.
    """
    try:
        host_processes.kill(started.process, started.mark)
    finally:
        _close(started)


def _close(started: Process) -> None:
    for each in (started.output, started.errors):
        host_memory.close(each)


def _wait(started: Process, *others: Process) -> None:
    with _ending(started.process.pid) as ended:
        over = False
        while not over:
            over = ended(PULSE) or started.process.poll() is not None
            for each in (started, *others):
                if host_memory.size(each.output) + host_memory.size(each.errors) > MOST:
                    raise TooMuch(f"'{in_one_line(each.name)}' printed more than {MOST >> 20} MB and was killed")
            if not over and time.monotonic() > started.end:
                raise TooMuch(_late(started))
    started.process.wait()


def _late(started: Process) -> str:
    said = Said(0, _text(started.output), _text(started.errors)).words(started.hide)
    until_then = f"; until then it said: {said}" if said != "nothing" else ""
    return f"'{in_one_line(started.name)}' took more than {started.patience:.3g} s and was killed{until_then}"


@contextlib.contextmanager
def _ending(pid: int) -> Iterator[Callable[[float], bool]]:
    """Gives a function that waits some seconds for the end of a process, and returns whether it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # this Python or kernel has none
        yield _sleep
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    try:
        yield lambda seconds: bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _sleep(seconds: float) -> bool:
    time.sleep(min(seconds, 0.01))
    return False


def _text(stream: IO[bytes]) -> str:
    return host_memory.read(stream, MOST).decode("utf-8", "surrogateescape")


def output(words: list[str], patience: float | None = None) -> Said:
    """
    Run a command for its output.

    words, patience
        As for :py:func:`start`.

    Raises as :py:func:`start` and :py:func:`finish` do.
    """
    return finish(start(words, patience=patience))


def run(words: list[str], patience: float | None = None, shown: str = "", hide: Hide = str) -> Ended:
    """
    Run a command for what it does: it may start daemons.

    words, patience, shown, hide
        As for :py:func:`start`; by default it has 120 seconds.

    Returns how it ended; one that takes too long, or prints too much, has a ``retcode`` of -9. Raises as
    :py:func:`start` does.
    """
    started = start(words, patience=LONG if patience is None else patience, shown=shown, hide=hide)
    try:
        done = finish(started)
    except TooMuch as error:
        late = str(error)
        return Ended(-signal.SIGKILL, lambda: late)
    return Ended(done.retcode, lambda: ended(started.name, done.retcode, done.words(hide)))


def failure(words: list[str], patience: float | None = None, shown: str = "", hide: Hide = str) -> str:
    """
    The error message of a command that fails; empty for one that succeeds.

    words, patience, shown, hide
        As for :py:func:`run`.

    Raises as :py:func:`start` does.
    """
    done = run(words, patience, shown, hide)
    return done.sentence if done.retcode else ""
