"""
Inside of the guest: what the restorer outlives where systemd is PID 1, and what the guard does not do before a reboot.

Each line that it prints is something that holds; the first that does not ends it with an error.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "_modules"))

import _dualstack_transaction_guard as guard  # noqa: E402
import _dualstack_transaction_launch as launch  # noqa: E402
import _dualstack_transaction_place as place  # noqa: E402
import _dualstack_transaction_restorer as restorer  # noqa: E402
import _dualstack_transaction_rules as rules  # noqa: E402

SCRIPT = f"{place.FOLDER}/restorer"
MINION = Path("/etc/systemd/system/minion.service")
KILL_MODES = ("control-group", "mixed", "process", "none")


def begin() -> None:
    """A transaction whose run has ended, and which nobody confirms for a long time."""
    os.makedirs(place.ENTRIES, mode=0o700)
    place.put(place.HOLDER, place.Holder(0, 0, name="a test", guard=guard.removal()).shell)
    place.put(f"{place.FOLDER}/{rules.NAME}", rules.AWK)
    place.put(f"{place.FOLDER}/deadline", "999999\n")
    place.put(SCRIPT, restorer.TEXT, 0o700)
    place.put(place.ARMED, "")
    place.settle(place.FOLDER)
    holds("the guard is there", guard.install(place.FOLDER) == "" and len(guard.paths()) == 2)


def holds(what: str, answer: bool) -> None:
    """Say that something holds, or end."""
    print("holds" if answer else "DOES NOT HOLD", what, flush=True)
    if not answer:
        run("journalctl", "--no-pager", "-b", "-n", "30")
        sys.exit(1)


def soon(condition: Callable[[], bool]) -> bool:
    """Whether something becomes true within some seconds."""
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


def run(*words: str) -> None:
    """Run a command, which succeeds."""
    subprocess.run(words, check=True, timeout=60)


def pid() -> int:
    """The restorer's."""
    return int(Path(place.RESTORER).read_text().split()[0])


def group() -> str:
    """The control group of the restorer."""
    return Path(f"/proc/{pid()}/cgroup").read_text().strip().rpartition(":")[2]


def survives(how: str) -> None:
    """The restorer that a unit starts outlives the end of that unit."""
    first = pid()
    for mode in KILL_MODES:
        MINION.write_text(
            f"[Service]\nKillMode={mode}\nTimeoutStopSec=3\n"
            f"ExecStart={sys.executable} {__file__} minion\nExecStop=/bin/true\n"
        )
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", "minion")
        holds(f"{how}: after a start of the minion, KillMode={mode}", place.is_watched() and pid() == first)
        run("systemctl", "stop", "minion")
        holds(f"{how}: after its stop", place.is_watched() and pid() == first)


def minion() -> None:
    """Like Salt's: it starts the restorer, and goes on."""
    if not place.is_watched():
        launch.start(SCRIPT, *place.run())
    time.sleep(1000)


def started_by_a_unit(how: str) -> None:
    """Have a unit start the restorer, and everything end that unit."""
    MINION.write_text(f"[Service]\nKillMode=process\nExecStart={sys.executable} {__file__} minion\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "minion")
    holds(f"{how}: it runs", soon(place.is_watched))
    holds(f"{how}: in no group of the minion's ({group()})", "minion" not in group())
    survives(how)
    run("systemctl", "daemon-reexec")
    holds(f"{how}: after daemon-reexec", place.is_watched())
    first = pid()
    os.kill(first, signal.SIGKILL)
    holds(f"{how}: killed, and started again", soon(lambda: place.is_watched() and pid() != first))
    run("systemctl", "start", "systemd-tmpfiles-clean")  # what needs sysinit.target, which wants the guard
    run("systemctl", "is-active", guard.NAME)
    holds(
        f"{how}: the guard, which was started, does nothing before a reboot",
        os.path.exists(place.ARMED) and len(guard.paths()) == 2,
    )


def stop() -> None:
    """End the restorer, as one whose transaction is another run's."""
    Path(place.RESTORER).write_text("1 1\n")
    units = ["systemctl", "list-units", "--all", "--no-legend", launch.UNIT.format("*")]
    holds("it ends", soon(lambda: subprocess.run(units, check=False, capture_output=True).stdout == b""))


def main() -> None:
    """As a service, and where systemd-run does not work."""
    begin()
    started_by_a_unit("a service")
    holds("a service: of its own", group().startswith("/system.slice/dualstack-restorer-"))
    adjusted = Path(f"/proc/{pid()}/oom_score_adj").read_text().strip()
    holds(f"a service: it is the last that a lack of memory ends ({adjusted})", adjusted == "-1000")
    stop()
    fake = Path("/usr/local/sbin/systemd-run")
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    started_by_a_unit("a process")
    fake.unlink()
    stop()
    run("sh", SCRIPT, "clean")
    holds("nothing is left", not os.path.exists(place.FOLDER) and guard.paths() == [])
    MINION.unlink()
    run("systemctl", "daemon-reload")


if __name__ == "__main__":
    minion() if sys.argv[1:] == ["minion"] else main()
