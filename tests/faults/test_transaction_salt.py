"""The transaction of a run, by the ways in which Salt can call its states."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_converge as converge
import _dualstack_transaction_beat as transaction_beat
import _dualstack_transaction_place as transaction_place
import _dualstack_transaction_run as transaction_run
import pytest

from ..conftest import REPOSITORY
from . import ground
from .test_restorer import FORK, change, die, in_run, kill_restorers, report

LIVE, FILE = Path("/proc/sys/net/ipv6/bindv6only"), Path("/etc/sysctl.d/transaction.conf")
CHANGE = [{"name": "net.ipv6.bindv6only"}, {"value": 1}, {"config": str(FILE)}]
END = {"end": {"ipv6.managed": [{"pillar": "ipv6"}, {"order": "last"}]}}
OLD, NEW = ("0\n", False), ("1\n", True)

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Call]:
    """``salt-call`` with states and a pillar, masterless; returns the results by the states' IDs."""
    call = [sys.executable, "-W", "ignore", str(Path(sys.executable).with_name("salt-call")), "-c", str(tmp_path)]
    config = {"id": "one", "file_client": "local", "root_dir": str(tmp_path), "module_dirs": [str(REPOSITORY)]}
    roots = {"file_roots": {"base": [str(tmp_path)]}}
    (tmp_path / "minion").write_text(json.dumps({**config, **roots}))

    def run(*words: str, states: dict[str, Any], **pillar: Any) -> dict[str, Any]:
        (tmp_path / "states.sls").write_text(json.dumps(states))
        words = (*call, "--local", "--out=json", *words, f"pillar={json.dumps({'ipv6': pillar})}")
        done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
        found = json.loads(done.stdout)["local"]
        assert isinstance(found, dict), (found, done.stderr)
        return {each["__id__"]: each for each in found.values()}

    LIVE.write_text("0\n")
    yield run
    over()
    LIVE.write_text("0\n")
    for path in (FILE, Path(transaction_place.REPORT)):
        path.unlink(missing_ok=True)


def over() -> tuple[str, bool]:
    """What is there when no transaction is open any more."""
    end = time.monotonic() + 30
    while transaction_place.is_open():
        assert time.monotonic() < end, "the restorer does not come to an end"
        time.sleep(0.05)
    return LIVE.read_text(), FILE.exists()


def test_one_state_by_its_id_is_kept(call: Call) -> None:
    """Salt shows it the whole run, and does not call the others."""
    done = call("state.sls_id", "it", "states", states={"it": {"ipv6.parameter": CHANGE}, **END})
    assert list(done) == ["it"] and done["it"]["result"] is True, done
    assert over() == NEW


def test_a_run_whose_journal_is_gone_is_not_kept_unasked(call: Call) -> None:
    """That nothing is written there any more does not mean that nothing was changed."""
    damage = {"damage": {"cmd.run": [{"name": f"rm -r {transaction_place.ENTRIES}"}]}}
    states = {"it": {"ipv6.parameter": CHANGE}, **damage, **END}
    end = call("state.apply", "states", states=states, confirm={"mode": "manual", "within": 5})["end"]
    assert end["result"] is False, end
    assert "its journal cannot be read" in end["comment"] and end["comment"].endswith("not everything is as it was")
    for each in FILE.parent.glob(f".{FILE.name}.*"):
        each.unlink()


def test_the_end_waits_for_states_in_parallel(call: Call) -> None:
    done = call("state.apply", "states", states={"it": {"ipv6.parameter": [*CHANGE, {"parallel": True}]}, **END})
    assert (done["it"]["result"], done["end"]["result"]) == (True, True), done
    assert "Kept for good: sysctl" in done["end"]["comment"]
    assert over() == NEW


def test_a_run_that_ends_before_its_end_is_put_back(call: Call) -> None:
    bad = {"bad": {"cmd.run": [{"name": "false"}, {"failhard": True}]}}
    done = call("state.apply", "states", states={"it": {"ipv6.parameter": CHANGE}, **bad, **END})
    assert "end" not in done, done
    assert over() == OLD


def test_an_end_that_cannot_judge_puts_it_back_and_says_so(call: Call) -> None:
    states = {"it": {"ipv6.parameter": CHANGE}, **END}
    done = call("state.apply", "states", states=states, confirm={"mode": "manuel"})["end"]
    assert done["result"] is False and "ipv6:confirm:mode: 'manuel'" in done["comment"], done
    assert done["comment"].endswith("everything is as it was")
    assert over() == OLD


def test_a_container_has_a_clock_of_its_own(call: Call, tmp_path: Path) -> None:
    """As lxcfs(1) gives it one: the kernel's clock says how long the machine is up."""
    clock, stop = tmp_path / "uptime", threading.Event()

    def tick(since: float = time.monotonic()) -> None:
        with open(clock, "r+", encoding="ascii") as stream:
            while not stop.wait(0.1):
                stream.seek(0)
                stream.write(f"{100 + time.monotonic() - since:.2f} 0.00\n")
                stream.flush()

    clock.write_text("100.00 0.00\n")
    ticking = threading.Thread(target=tick)
    ground.run("mount", "--bind", str(clock), "/proc/uptime")
    ticking.start()
    try:
        states = {"it": {"ipv6.parameter": CHANGE}, **END}
        begun = time.monotonic()
        done = call("state.apply", "states", states=states, confirm={"mode": "manual", "within": 5})["end"]
        assert done["result"] is False and "nobody has confirmed it in time" in done["comment"], done
        assert time.monotonic() - begun < 30 and over() == OLD
    finally:
        stop.set()
        ticking.join()
        ground.run("umount", "/proc/uptime")


def test_a_job_in_a_thread_is_a_run_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a minion with ``multiprocessing: False`` does them; the first one stops at a failure."""
    file, other = folder / "file", folder / "other"
    file.write_text("old\n")
    ready, go = threading.Event(), threading.Event()

    def first() -> None:
        in_run(change(file, "new\n"))()
        ready.set()
        go.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    assert ready.wait(20)
    monkeypatch.setattr(transaction_run, "PATIENCE", 0.3)
    done = converge.run("second", change(other, "x\n"), {}, False)
    go.set()
    thread.join()
    assert done["result"] is False and "is being changed by process" in done["comment"], done
    over()
    assert (file.read_text(), other.exists()) == ("old\n", False) and "it has died" in report()


def test_a_service_is_not_stopped_where_that_cannot_be_written_down(folder: Path) -> None:
    """The restorer starts what is in that list: whatever is not would stay down if the run was killed now."""
    place = Path("/var/lib/dualstack")
    with ground.disk(place):
        transaction_run.begin("service-x", "it", [], {})
        transaction_beat.stop("x")
        ground.fill(place)
        transaction_beat.stop("x")  # it is there already
        for number in range(9999):  # what is left of the last block
            try:
                transaction_beat.stop(f"y{number:040d}")
            except OSError as error:
                assert error.filename == f"{transaction_place.FOLDER}/stopped"
                break
        else:
            pytest.fail("it was not written, and nothing was said")
        transaction_run.roll_back("this is a test")
    place.rmdir()


def test_what_cannot_be_taken_away_is_said(folder: Path) -> None:
    """A run and its restorer were killed, and the disk has become read-only since."""
    file, other, place = folder / "file", folder / "other", Path("/var/lib/dualstack")
    file.write_text("old\n")

    def strike() -> None:
        in_run(change(file, "new\n"))()
        kill_restorers()
        ground.run("mount", "-o", "remount,ro", str(place))
        die()

    with ground.disk(place):
        process = FORK.Process(target=strike)
        process.start()
        process.join()
        begun = time.monotonic()
        done = converge.run("it", change(other, "new\n"), {}, False)
        assert time.monotonic() - begun < 20 and (file.read_text(), other.exists()) == ("old\n", False)
        assert done["result"] is False and "read-only" in done["comment"], done
        ground.run("mount", "-o", "remount,rw", str(place))
        assert converge.run("it", change(other, "new\n"), {}, False)["result"] is True
    place.rmdir()
