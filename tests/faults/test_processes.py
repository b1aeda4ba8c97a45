"""What a command gets from whoever has started Salt, and what is left of it afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_firewall_commands as firewall_commands
import _dualstack_host_apart as host_apart
import _dualstack_host_commands as host_commands
import _dualstack_host_memory as host_memory
import _dualstack_host_time as host_time
import pytest
from salt.exceptions import CommandExecutionError

from . import programs

SLEEP = f"sleep {programs.MARK}"


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No process, and no open file."""
    before = programs.descriptors()
    yield
    assert programs.descriptors() == before
    assert wait_until(lambda: not programs.left()), programs.left()


def wait_until(holds: Callable[[], bool]) -> bool:
    """Whether something becomes true within 5 s."""
    end = time.monotonic() + 5
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def shell(script: str) -> str:
    """What a script prints."""
    done = host_commands.output(["sh", "-c", script], 10)
    assert done.retcode == 0, done
    return done.stdout


SECRET = "a secret of somebody else's"


def test_where_sigchld_is_ignored_a_command_that_fails_fails() -> None:
    """The kernel would not keep its status, and each would seem to have succeeded."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert host_commands.failure(["false"]) == "'false' ended with 1 and said: nothing"
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with pytest.raises(CommandExecutionError, match="what it said"):
            host_apart.call(lambda: fail("what it said"), 5)
    finally:
        signal.signal(signal.SIGCHLD, before)


def fail(said: str) -> str:
    """Raises an error."""
    raise CommandExecutionError(said)


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "LD_PRELOAD_X", "PYTHONPATH", "XTABLES_LOCKFILE", "LANGUAGE", "IFS"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("PATH", "/somewhere/else")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    said = host_commands.output(["cat", "/proc/self/environ"]).stdout
    found = dict(each.split("=", 1) for each in said.split("\0") if each)
    assert len(found.pop("DUALSTACK_COMMAND")) == 16
    assert found == {"PATH": host_commands.PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", "TERM": "dumb"}
    started = host_commands.start(["sh", "-c", "echo $NEEDED"], environment={"NEEDED": "this"})
    assert host_commands.finish(started).stdout == "this\n"


def test_no_open_file_is_inherited(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    with (tmp_path / "secret").open() as stream:
        os.set_inheritable(stream.fileno(), True)
        # `ls` opens the folder itself.
        assert shell("ls /proc/self/fd").split() == ["0", "1", "2", "3"]
        assert str(tmp_path) not in shell("ls -l /proc/self/fd")


def test_a_session_and_a_folder_of_its_own() -> None:
    pid, session, group = shell("echo $$; exec ps -o sid=,pgid= -p $$").split()
    assert pid == session == group
    assert shell("pwd") == "/\n"


@pytest.mark.parametrize("umask", [0, 0o077])
def test_what_it_makes_is_for_whom_it_is_at_the_boot(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        shell(f"touch {tmp_path}/made; mkdir {tmp_path}/folder")
    finally:
        os.umask(before)
    assert [(tmp_path / each).stat().st_mode & 0o777 for each in ("made", "folder")] == [0o644, 0o755]


def test_no_signal_is_ignored_or_blocked() -> None:
    """As under nohup(1), in the background of a script, or below a daemon that blocks some."""
    chosen = (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT)
    before = {each: signal.signal(each, signal.SIG_IGN) for each in chosen}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    try:
        lines = dict(line.split(":\t") for line in shell("exec cat /proc/self/status").splitlines() if ":\t" in line)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for each, handler in before.items():
            signal.signal(each, handler)
    assert (int(lines["SigBlk"], 16), int(lines["SigIgn"], 16)) == (0, 0)


def test_no_python_runs_in_a_process_that_becomes_a_command() -> None:
    """It could wait forever for what another thread has held when the process was copied, as in a report."""
    copies: list[str] = []
    os.register_at_fork(before=lambda: copies.append("a copy"))
    ignored = [
        each for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP) if signal.getsignal(each) == signal.SIG_IGN
    ]
    try:
        for each in ignored:  # by whoever has started the tests
            signal.signal(each, signal.SIG_DFL)
        assert (shell("echo done"), copies) == ("done\n", [])
        signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # then something has to be done there
        assert (shell("echo done"), copies) == ("done\n", ["a copy"])
    finally:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        for each in ignored:
            signal.signal(each, signal.SIG_IGN)


def test_the_limits_stay_those_of_salt() -> None:
    assert (
        shell("ulimit -n; ulimit -c").split()
        == subprocess.run(
            ["sh", "-c", "ulimit -n; ulimit -c"], capture_output=True, text=True, check=True
        ).stdout.split()
    )


@pytest.mark.parametrize(
    "script",
    [
        SLEEP,
        f"trap '' TERM INT HUP; {SLEEP}; {SLEEP}",
        f"setsid {SLEEP} & {SLEEP}",
        f"(setsid sh -c '{SLEEP} & {SLEEP}' &); {SLEEP}",
        f"setsid env -i {SLEEP} & {SLEEP}",
        f"while :; do setsid {SLEEP} & sleep 0.05; done",
    ],
)
@pytest.mark.parametrize("modern", [True, False], ids=["", "without pidfd and memfd"])
def test_nothing_remains_when_its_time_is_over(script: str, modern: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not modern:
        monkeypatch.delattr(os, "pidfd_open")
        monkeypatch.setattr(host_memory, "_descriptor", lambda: -1)
    began = time.monotonic()
    with pytest.raises(host_commands.TooMuch) as caught:
        host_commands.output(["sh", "-c", f"echo first; {script}"], 0.5)
    assert time.monotonic() - began < 5
    assert str(caught.value).endswith("took more than 0.5 s and was killed; until then it said: first")
    assert programs.left() == []


@pytest.mark.parametrize("modern", [True, False], ids=["", "without pidfd and memfd"])
def test_a_command_works_on_old_systems_as_well(modern: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not modern:
        monkeypatch.delattr(os, "pidfd_open")
        monkeypatch.setattr(host_memory, "_descriptor", lambda: -1)
    text = "many words\n" * 99_999
    done = host_commands.finish(host_commands.start(["sh", "-c", "cat; echo oops >&2; exit 7"], text))
    assert done == (7, text, "oops\n")


def test_a_python_without_memfd_still_has_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with host_memory.stream("text") as stream:
        assert os.readlink(f"/proc/self/fd/{stream.fileno()}").startswith("/memfd:")


def test_a_daemon_goes_on_and_writes_without_harm(tmp_path: Path) -> None:
    """Its output takes no memory any more, and no signal ends it."""
    alive, pid_file = tmp_path / "alive", tmp_path / "pid"
    alive.touch()
    loop = f"while sleep 0.05; do head -c 100000 /dev/zero; echo $? >>{alive}; done"
    done = host_commands.run(["sh", "-c", f"setsid sh -c '{loop}' & echo $! >{pid_file}; echo started"], 5)
    assert done.retcode == 0
    pid = int(pid_file.read_text())
    try:
        lines = alive.read_text().count("\n")
        assert wait_until(lambda: alive.read_text().count("\n") > lines + 5)
        assert os.stat(f"/proc/{pid}/fd/1").st_size == 0
    finally:
        os.killpg(pid, signal.SIGKILL)


def test_a_command_without_an_end_is_killed_by_an_interrupt() -> None:
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        host_commands.output(["sh", "-c", f"setsid {SLEEP} & {SLEEP}"], 30)
    assert programs.left() == []


def test_where_one_of_two_fails_to_start_both_are_gone() -> None:
    jobs = {"ipv4": firewall_commands.Job(["sh", "-c", SLEEP]), "ipv6": firewall_commands.Job(["/etc/passwd"])}
    with pytest.raises(CommandExecutionError, match="'/etc/passwd' cannot be run: Permission denied"):
        firewall_commands.together(jobs)
    assert programs.left() == []


def test_one_that_prints_for_ever_is_seen_while_another_is_waited_for() -> None:
    jobs = {"ipv4": firewall_commands.Job(["sleep", "20"]), "ipv6": firewall_commands.Job(["yes", programs.LONG])}
    began = time.monotonic()
    with pytest.raises(host_commands.TooMuch, match="^'yes x+' printed more than 64 MB and was killed"):
        firewall_commands.together(jobs)
    assert time.monotonic() - began < 10


def test_no_open_file_is_left_after_many_commands() -> None:
    before = programs.descriptors()
    for number in range(50):
        assert host_commands.output(["true"]).retcode == 0
        assert host_commands.failure(["false"]) == "'false' ended with 1 and said: nothing"
        with pytest.raises(CommandExecutionError):
            host_commands.output(["/etc/passwd" if number % 2 else "no-such-program"])
        host_commands.give_up(host_commands.start(["sleep", "9"]))
    assert programs.descriptors() == before


@pytest.mark.parametrize("stream", ["", " >&2"])
@pytest.mark.parametrize("script", ["yes {long} | head -c 100000000", "yes {long}"])
def test_too_much_output_costs_no_memory(script: str, stream: str) -> None:
    before, began = programs.most_memory(), time.monotonic()
    with pytest.raises(host_commands.TooMuch, match="printed more than 64 MB and was killed"):
        host_commands.output(["sh", "-c", f"({script.format(long=programs.LONG)}){stream}"], 30)
    assert programs.most_memory() - before < 50
    assert time.monotonic() - began < 20


def test_much_output_is_a_short_message() -> None:
    said = host_commands.failure(["sh", "-c", f"yes {programs.LONG} | head -c 50000000; exit 1"])
    assert "ended with 1 and said: xxx" in said and len(said) < 5000


def test_bytes_that_are_no_text_are_a_printable_line() -> None:
    said = host_commands.failure(["sh", "-c", r"printf '\377\376\000\033[1mred\tand\r\nblue'; exit 1"])
    assert said.endswith("ended with 1 and said: ????[1mred and; blue")
    json.dumps(said).encode()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -SEGV $$", "was killed by SIGSEGV"),
        ("kill -40 $$", "was killed by signal 40"),
        ("exit 9", "ended with 9"),
    ],
)
def test_how_it_ended_is_said(script: str, said: str) -> None:
    assert host_commands.failure(["sh", "-c", script], shown="it") == f"'it' {said} and said: nothing"


def test_what_is_not_for_everybody_is_not_said() -> None:
    for script, patience in (("exit 1", 9.0), (SLEEP, 0.3), (f"yes {programs.LONG}", 30.0)):
        said = host_commands.failure(["sh", "-c", f"{script} # {SECRET}"], patience, "sh ...")
        assert said.startswith("'sh ...' ") and SECRET not in said


# --------------------------------------------------------------------------------------------------------------
# Calls of libraries


def test_a_call_returns_what_it_returns_and_says_what_it_raises() -> None:
    assert host_apart.call(lambda: "well done", 5) == "well done"

    def refuse() -> str:
        raise CommandExecutionError("not today")

    with pytest.raises(CommandExecutionError, match="^not today$"):
        host_apart.call(refuse, 5)
    with pytest.raises(CommandExecutionError, match="^this is a bug in the dualstack modules, .*KeyError at test_proc"):
        host_apart.call(lambda: {"a": "b"}["secret"], 5)
    with pytest.raises(CommandExecutionError, match=r"^the process that asked was ended \(status -9\)$"):
        host_apart.call(lambda: str(subprocess.run(["kill", "-KILL", str(os.getpid())], check=False)), 5)


@pytest.mark.parametrize("script", [["sleep", programs.MARK], ["sh", "-c", f"trap '' TERM; {SLEEP}; {SLEEP}"]])
def test_a_call_without_an_end_is_ended(script: list[str]) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        host_apart.call(lambda: str(subprocess.run(script, check=False)), 0.5)
    assert time.monotonic() - began < 3


def test_a_call_may_not_take_all_memory() -> None:
    def greedy() -> str:
        return "x" * (2 << 30)

    with pytest.raises(CommandExecutionError, match="not enough memory"):
        host_apart.call(greedy, 20)


def test_a_call_has_what_is_left_of_a_state() -> None:
    began = time.monotonic()
    with host_time.within(0.5), pytest.raises(TimeoutError):
        host_apart.call(lambda: str(subprocess.run(["sleep", "30"], check=False)), 30)
    assert time.monotonic() - began < 3


def test_the_python_of_a_call_does_not_go_on_with_the_test() -> None:
    """Whatever happens in it, it never returns into the code of its caller."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import _dualstack_host_apart as apart\n"
        "def end(): raise SystemExit(3)\n"
        "try: apart.call(end, 5)\nexcept BaseException as error: print(type(error).__name__)\n"
        "print('once')"
    )
    folder = str(Path(host_apart.__file__).parent)
    done: Any = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=False)
    assert done.stdout == "CommandExecutionError\nonce\n", done
