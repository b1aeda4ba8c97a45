"""
One fault: a host is made, a run of the formula is struck, and what has become of the host is judged; then another run.

In an enclosure of its own: ``tests/enclosure.sh PYTHON -m tests.faults.harness_one``, with the fault on the standard
input; see :mod:`harness`. ``{"kind": "none"}`` is a run without a fault, which tells what a host is before and after.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import ground, programs
from .harness_host import REPOSITORY, SALT, Session, host
from .harness_look import differences, judge, look, runs, settled

ROOM = Path("/run/dualstack.harness")  # what is not part of the host
TRANSACTION = Path("/var/lib/dualstack/transaction")
RESTORED = Path("/run/dualstack/restored")
STRIKE = Path(__file__).with_name("strike")
LIMIT = 150.0  # seconds for a run, whatever happens to it
SETTLING = 90.0  # seconds for a restorer
LATE = 3.0  # seconds after which a run that hangs is late, where the deadline can be brought forward


class Run:
    """A run of the formula, as a process of its own, with its own cache."""

    def __init__(self, name: str, folder: Path = SALT, **strike: object) -> None:
        self.name, self.log = name, ROOM / f"{name}.effects"
        environment = {
            **os.environ,
            **{f"STRIKE_{key.upper()}": str(value) for key, value in strike.items()},
            "STRIKE_LOG": str(self.log),
            "STRIKE_OWN": f"{SALT}:{SALT}2",
            "PYTHONPATH": str(STRIKE),
            "PYTHONPYCACHEPREFIX": "/tmp/dualstack-harness",
            "PATH": f"{programs.FIRST}:{os.environ['PATH']}",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        words = [sys.executable, "-W", "ignore", str(Path(sys.executable).with_name("salt-call"))]
        words += ["-c", str(folder), "--local", "--retcode-passthrough", "-l", "warning", "--out=json"]
        with open(ROOM / f"{name}.said", "wb") as said:
            self.process = subprocess.Popen(
                [*words, "state.apply", "ipv6"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment,
                start_new_session=True,
                cwd=REPOSITORY,
            )

    def wait(self, hastened: bool = False) -> int | None:
        """How it ended; none if it had to be ended. A restorer's deadline may be brought forward, once it is late."""
        end, stuck = time.monotonic() + LIMIT, 0.0
        while self.process.poll() is None:
            stopped = "\nState:\tT" in Path(f"/proc/{self.process.pid}/status").read_text() or _hanging()
            stuck = (stuck or time.monotonic()) if stopped else 0.0
            if hastened and stuck and time.monotonic() > stuck + LATE:
                bring_forward()
            nobody = stuck and time.monotonic() > stuck + 10 * LATE and not TRANSACTION.exists() and not _hanging()
            if time.monotonic() > end or nobody:
                for pid in {self.process.pid, *runs()}:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return self.process.wait() if nobody else None  # it had changed nothing yet
            time.sleep(0.05)
        return self.process.returncode

    def said(self) -> str:
        """What it printed."""
        return (ROOM / f"{self.name}.said").read_text(errors="replace")

    def effects(self) -> list[dict[str, Any]]:
        """What it did to the world outside of it."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def failed(self) -> list[str]:
        """The comments of the states that failed."""
        with contextlib.suppress(ValueError, KeyError, AttributeError):
            said = self.said()
            results = json.loads(said[said.index("{\n") :])["local"].values()
            return [f"{each['__id__']}: {each['comment']}" for each in results if each["result"] is False]
        return [self.said()[-600:]]


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def bring_forward() -> None:
    """A deadline passes now."""
    with contextlib.suppress(OSError):
        if (TRANSACTION / "deadline").exists():
            (TRANSACTION / "deadline.now").write_text("1\n")
            (TRANSACTION / "deadline.now").rename(TRANSACTION / "deadline")


def _hanging() -> bool:
    return any(programs.MARK in words for words in runs().values())


def main() -> None:
    """Read a fault, print what came of it."""
    given = json.load(sys.stdin)
    for each in (signal.SIGINT, signal.SIGHUP):  # a shell ignores them for what it starts in the background
        signal.signal(each, signal.SIG_DFL)
    ROOM.mkdir()
    began = time.monotonic()
    with host(tuple(given["services"]), given.get("tunnel", False)):
        print(json.dumps({**struck(given), "took": round(time.monotonic() - began, 1)}))
        sys.stdout.flush()
    os._exit(0)  # what still runs here ends with the namespace


def struck(given: dict[str, Any]) -> dict[str, Any]:
    """Make a host, strike it, judge it, and run once more."""
    services, fault = tuple(given["services"]), given["fault"]
    session = Session()
    before = look(services)
    old = given.get("old", before)
    if fault["kind"] == "none":
        first = Run("first")
        assert first.wait() == 0, first.said()
        known = first.effects()
        after = look(services)
        assert (again := Run("again")).wait() == 0, again.said()
        wrong = differences(after, look(services))
        assert not wrong, wrong
        return {"old": before, "new": after, "effects": known, "again": again.effects()}
    new = given["new"]
    strange = differences(old, before)
    report: dict[str, Any] = {"strange": strange}
    with KINDS[fault["kind"]](fault) as first:
        report["ended"] = first.wait(hastened=True)
        # What is read-only cannot be put back before it is writable again.
        settled(SETTLING if fault.get("fault") != "is read-only" else SETTLING / 6)
    report["settled"] = settled(SETTLING)
    report["struck"] = (
        any("struck" in each for each in first.effects()) or (ROOM / "struck").exists() or fault.get("sure")
    )
    report["failed"] = first.failed()
    report["wrong"] = fault.get("wrong", [])
    report["restored"] = _text(RESTORED)
    now = look(services)
    report |= judge(old, new, now, session.answers())._asdict()
    for pid in runs():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    second = Run("second")
    ended = second.wait()
    settled(SETTLING)
    last = look(services)
    report["differs"] = differences(new, last) + ([f"it ended with {ended}", *second.failed()] if ended else [])
    if not session.answers():
        report["differs"].append("the session that was open is lost")
    return report


@contextlib.contextmanager
def strike(fault: dict[str, Any]) -> Iterator[Run]:
    """Salt is struck at an effect."""
    yield Run("first", **{key: fault[key] for key in ("at", "count", "when", "how")})


@contextlib.contextmanager
def command(fault: dict[str, Any]) -> Iterator[Run]:
    """
    A command fails, lies, hangs, or is not there; always, or only once, at its so-many-th call, which counts those that
    can change this host: not those in a namespace for a rehearsal.
    """
    text = programs.FAULTS.get(fault["fault"], fault["fault"])
    if fault["fault"] in ("is missing", "is not executable"):
        with programs.broken(fault["program"], fault["fault"]):
            (ROOM / "struck").touch()
            yield Run("first")
        return
    here, counter = os.readlink("/proc/self/ns/net"), ROOM / "calls"
    text = f"""[ "$(readlink /proc/self/ns/net)" = "{here}" ] || exec "$real" "$@"
echo "$0 $*" >>{counter}
[ "$(wc -l <{counter})" {'=' if fault.get('once') else '-ge'} {fault['call']} ] || exec "$real" "$@"
echo "$0 $*" >>{ROOM}/struck
{text}"""
    with programs.broken(fault["program"], text):
        yield Run("first")


@contextlib.contextmanager
def disk(fault: dict[str, Any]) -> Iterator[Run]:
    """A folder's file system is full, or read-only: from the beginning, or from an effect on."""
    folder, small, script = fault["folder"], ROOM / "disk", ROOM / "meanwhile"
    small.mkdir()
    ground.run("mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small))
    for each in ("upper", "work"):
        (small / each).mkdir()
    layers = f"lowerdir={folder},upperdir={small}/upper,workdir={small}/work"
    ground.run("mount", "-t", "overlay", "-o", layers, "overlay", folder)
    action = {
        "is full": f"cat /dev/zero >{small}/ballast 2>/dev/null",
        "is read-only": f"mount -o remount,ro {folder}",
    }[fault["fault"]]
    script.write_text(f"#!/bin/sh\n{action}\ntouch {ROOM}/struck\n")
    script.chmod(0o755)
    if "at" not in fault:
        ground.run(str(script))
    struck = {key: fault[key] for key in ("at", "count", "when") if key in fault}
    yield Run("first", how=script, **struck)
    ground.run("mount", "-o", "remount,rw", folder)
    (small / "ballast").unlink(missing_ok=True)


@contextlib.contextmanager
def two_ways(fault: dict[str, Any]) -> Iterator[Run]:
    """Another run begins while one is at work; with a cache of its own, it knows nothing of the first one from Salt."""
    script = ROOM / "second-way"
    script.write_text(f"#!/bin/sh\ntouch {ROOM}/now; sleep 15\n")
    script.chmod(0o755)
    first = Run("first", at=fault["at"], count=fault["count"], when="after", how=script)
    while not (ROOM / "now").exists() and first.process.poll() is None:
        time.sleep(0.05)
    other = Run("other", SALT.with_name("salt2"))
    yield first
    fault["other"] = [str(other.wait()), *other.failed()]
    if not any(f"process {first.process.pid}" in each for each in fault["other"]):
        fault["wrong"] = [f"the second way in does not name the first: {fault['other']}"]


@contextlib.contextmanager
def silent_service(fault: dict[str, Any]) -> Iterator[Run]:
    """A service does not come back after it has been stopped for a restart."""
    init = Path(f"/etc/init.d/{fault['service']}")
    real = init.with_name(f"{init.name}.real")
    text = init.read_bytes()
    real.write_bytes(text)
    real.chmod(0o755)
    once = "" if fault.get("always") else f"[ ! -e {ROOM}/struck ] && "
    init.write_text(
        f"#!/bin/sh\ncase $1 in restart|reload|force-reload)\n"
        f'{once}{{ touch {ROOM}/struck; {real} stop; {fault["then"]}; }};; esac\nexec {real} "$@"\n'
    )
    try:
        yield Run("first")
    finally:
        init.write_bytes(text)
        real.unlink()


@contextlib.contextmanager
def restorer(fault: dict[str, Any]) -> Iterator[Run]:
    """The restorer is killed: as soon as it begins, or with the run; the next run has to do what it could not."""
    run = Run("first", **{key: fault[key] for key in ("at", "count", "when", "how")})
    while run.process.poll() is None:
        time.sleep(0.01)
    end = time.monotonic() + 5
    while time.monotonic() < end and not (found := [pid for pid, words in runs().items() if "restorer" in words]):
        time.sleep(0.005)
    time.sleep(fault["after"])
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            fault["killed"] = True
    yield run


@contextlib.contextmanager
def confirmed(fault: dict[str, Any]) -> Iterator[Run]:
    """The deadline is over at the very moment when the run has done everything, and commits."""
    script = ROOM / "deadline"
    script.write_text(
        f"#!/bin/sh\nsleep {fault['before']}; cd {TRANSACTION} && echo 1 >deadline.now && mv deadline.now deadline\n"
        f"sleep {fault['after']}\n"
    )
    script.chmod(0o755)
    yield Run("first", at=fault["at"], count=fault["count"], when=fault["when"], how=script)


KINDS = {
    "strike": strike,
    "command": command,
    "disk": disk,
    "two ways": two_ways,
    "service": silent_service,
    "restorer": restorer,
    "confirmed": confirmed,
}

if __name__ == "__main__":
    main()
