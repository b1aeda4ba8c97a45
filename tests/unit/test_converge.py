"""The procedure of every state, with a room that fails at each step in each way."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import _dualstack_converge as converge
import _dualstack_host_files as host_files
import _dualstack_host_time as host_time
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

Act = Callable[[], Any]


class Room:
    """A host with two things on it, `lamp` and `door`, and what is done at each step."""

    def __init__(self, **at: Act) -> None:
        self.host = {"lamp": "off", "door": "shut"}
        self.wanted = {"lamp": "on", "door": "open"}
        self.calls: list[str] = []
        self.at = at  # a step's name: what is done when it is taken

    def change(self, bound: float = 60.0) -> converge.Change:
        """How the room is converged."""
        return converge.Change("room", self.plan, self.apply, self.undo, lambda: bound)

    def step(self, name: str) -> None:
        """Take a step, and do what is to be done there."""
        self.calls.append(name)
        number = self.calls.count(name)
        self.at.get(f"{name}{number}", self.at.get(name, lambda: None))()

    def plan(self) -> converge.Plan:
        """What differs."""
        self.step("plan")
        changes = {
            key: {"old": self.host[key], "new": self.wanted[key]}
            for key in self.host
            if self.host[key] != self.wanted[key]
        }
        return {"changes": changes, "warnings": ["the bulb is old"], "before": dict(self.host)}

    def apply(self, plan: converge.Plan) -> None:
        """Change one thing after the other."""
        for key in plan["changes"]:
            self.step(f"apply {key}")
            self.host[key] = self.wanted[key]

    def undo(self, plan: converge.Plan) -> list[converge.Step]:
        """Put one thing after the other back."""

        def back(key: str) -> None:
            self.step(f"undo {key}")
            self.host[key] = plan["before"][key]

        return [lambda: back("door"), lambda: back("lamp")]


def run(room: Room, test: bool = False, **surplus: Any) -> converge.Result:
    """Converge a room."""
    return converge.run("the room", room.change(), surplus, test)


def raising(error: BaseException) -> Act:
    """Raises an error."""

    def act() -> None:
        raise error

    return act


ERRORS = {
    "the host's": (CommandExecutionError("there is no bulb"), "there is no bulb"),
    "the pillar's": (SaltInvocationError("ipv6:lamp: 'red' is not on or off"), "ipv6:lamp: 'red' is not on or off"),
    "a file's": (OSError(28, "No space left on device", "/etc/lamp"), "/etc/lamp: No space left on device; free some"),
    "a command's": (subprocess.TimeoutExpired("lamp", 5), "this is a bug in the dualstack modules"),
    "a bug": (
        KeyError("s3cret"),
        "this is a bug in the dualstack modules, not on this host: KeyError at test_converge",
    ),
    "bad text": (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "s3cret"), "bug in the dualstack modules"),
}
errors = pytest.mark.parametrize("error, said", ERRORS.values(), ids=list(ERRORS))


def test_a_plan_is_carried_out_and_made_again() -> None:
    room = Room()
    done = run(room)
    assert room.calls == ["plan", "apply lamp", "apply door", "plan"]
    assert done == {
        "name": "the room",
        "result": True,
        "changes": {"lamp": {"old": "off", "new": "on"}, "door": {"old": "shut", "new": "open"}},
        "comment": "the room was changed: lamp, door\nthe bulb is old",
    }
    assert run(room) == {**done, "changes": {}, "comment": "the room is as declared\nthe bulb is old"}


def test_a_dry_run_only_plans() -> None:
    room = Room()
    predicted = run(room, test=True)
    assert (room.calls, predicted["result"]) == (["plan"], None)
    assert predicted["changes"] == run(room)["changes"]


def test_the_second_plan_counts() -> None:
    """What says that it has done its work, and has not, is put back."""
    room = Room()
    room.at = {"apply door": lambda: room.wanted.update(lamp="blue")}  # what was done first is no more what is wanted
    done = run(room)
    assert done["result"] is False
    assert done["comment"].splitlines()[:2] == ["After the change, this still differs:", "lamp is on, expected blue"]
    assert room.host == {"lamp": "off", "door": "shut"}


@errors
def test_a_plan_that_fails(error: Exception, said: str) -> None:
    room = Room(plan=raising(error))
    done = run(room)
    assert (done["result"], done["changes"], room.calls) == (False, {}, ["plan"])
    assert said in done["comment"] and "Traceback" not in done["comment"] and "s3cret" not in done["comment"]


@errors
@pytest.mark.parametrize("step", ["apply lamp", "apply door", "plan2"])
def test_a_change_that_fails_is_undone(step: str, error: Exception, said: str) -> None:
    room = Room(**{step: raising(error)})
    done = run(room)
    assert (done["result"], done["changes"]) == (False, {})
    assert said in done["comment"] and "s3cret" not in done["comment"]
    assert done["comment"].endswith("\nEverything was put back as it was.")
    assert room.host == {"lamp": "off", "door": "shut"}


@errors
def test_an_undo_goes_on_after_a_step_that_failed(error: Exception, said: str) -> None:
    room = Room(**{"plan2": raising(CommandExecutionError("it is dark")), "undo door": raising(error)})
    done = run(room)
    assert room.host == {"lamp": "off", "door": "open"}
    assert (done["result"], list(done["changes"])) == (False, ["lamp", "door"])
    lines = done["comment"].splitlines()
    assert lines[0] == "it is dark"
    assert lines[1].startswith("It could not be put back: ") and said in lines[1]
    assert lines[-1] == "lamp is off, expected on"
    assert "Everything was put back" not in done["comment"] and "s3cret" not in done["comment"]


def test_an_undo_is_looked_at() -> None:
    """An undo that says nothing and has done nothing is no undo."""
    room = Room(plan2=raising(CommandExecutionError("it is dark")))
    change = room.change()._replace(undo=lambda plan: [])
    done = converge.run("the room", change, {}, False)
    assert done["result"] is False and list(done["changes"]) == ["lamp", "door"]
    assert done["comment"].splitlines() == ["it is dark", "It could not be put back: now this differs:"]


def test_an_undo_whose_steps_cannot_be_told() -> None:
    room = Room(**{"apply door": raising(CommandExecutionError("it is dark"))})
    change = room.change()._replace(undo=lambda plan: raising(KeyError("x"))())
    done = converge.run("the room", change, {}, False)
    assert done["result"] is False and list(done["changes"]) == ["lamp", "door"]
    assert "It could not be put back: this is a bug" in done["comment"]


def test_a_step_that_fails_although_the_host_is_as_before() -> None:
    """As a command that does what it should, and then hangs."""
    room = Room(plan2=raising(CommandExecutionError("it is dark")))

    def undo(plan: converge.Plan) -> list[converge.Step]:
        return [*room.undo(plan), raising(CommandExecutionError("'restore' took more than 90 s"))]

    done = converge.run("the room", room.change()._replace(undo=undo), {}, False)
    assert (done["result"], done["changes"]) == (False, {})
    assert done["comment"].splitlines() == [
        "it is dark",
        "It could not be put back: 'restore' took more than 90 s",
        "Everything is as it was.",
    ]


def test_of_what_could_not_be_put_back_only_what_is_new_is_said() -> None:
    room = Room(plan2=raising(CommandExecutionError("it is dark")))
    change = room.change()._replace(undo=lambda plan: [lambda: room.host.update(lamp="off", door="off its hinges")])
    done = converge.run("the room", change, {}, False)
    assert done["comment"].splitlines()[-1] == "door is off its hinges, expected open"
    assert "lamp" not in done["comment"].partition("now this differs")[2]


def test_what_somebody_else_has_changed_is_left_to_them() -> None:
    room = Room(
        **{"plan2": raising(CommandExecutionError("it is dark")), "undo door": raising(host_files.Moved("door"))}
    )
    room.at["undo door"] = lambda: (room.host.update(door="ajar"), raising(host_files.Moved("door"))())
    done = run(room)
    assert done["comment"].splitlines() == [
        "it is dark",
        "door has been changed by somebody else meanwhile: that was left as it is",
        "Everything else was put back as it was.",
    ]
    assert (done["result"], done["changes"], room.host) == (False, {}, {"lamp": "off", "door": "ajar"})


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("step", ["apply lamp", "apply door", "plan2"])
def test_an_interruption_goes_on_when_everything_is_put_back(
    step: str, interruption: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    room = Room(**{step: raising(interruption())})
    with caplog.at_level(logging.WARNING), pytest.raises(interruption):
        run(room)
    assert room.host == {"lamp": "off", "door": "shut"}
    assert "This was interrupted. | Everything was put back as it was." in caplog.text


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_of_the_undo_does_not_end_it(interruption: type[BaseException]) -> None:
    room = Room(**{"plan2": raising(CommandExecutionError("it is dark")), "undo door": raising(interruption())})
    done = run(room)
    assert room.host["lamp"] == "off"
    assert "It could not be put back: this was interrupted." in done["comment"].splitlines()


def test_a_terminal_that_goes_away_is_an_interruption() -> None:
    """The administrator's ssh session, which the change itself may cut; Salt does not heed it."""
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    room = Room()
    room.at["apply door"] = lambda: os.kill(os.getpid(), signal.SIGHUP)
    with pytest.raises(SystemExit) as caught:
        run(room)
    assert (caught.value.code, room.host) == (129, {"lamp": "off", "door": "shut"})
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_who_has_chosen_that_it_shall_not_be_one_is_heeded() -> None:
    """As by nohup(1)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        room = Room()
        room.at["apply door"] = lambda: os.kill(os.getpid(), signal.SIGHUP)
        assert run(room)["result"] is True
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number, comes", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_waits_for_the_undo(number: int, comes: type[BaseException]) -> None:
    """Ctrl-C, or the minion's stop: as a signal, which may come at any moment."""

    def stop(*_: Any) -> None:
        raise SystemExit

    before = signal.signal(signal.SIGTERM, stop)
    try:
        room = Room(plan2=raising(CommandExecutionError("it is dark")))
        room.at["undo door"] = lambda: os.kill(os.getpid(), number)
        with pytest.raises(comes):
            run(room)
        assert room.host == {"lamp": "off", "door": "shut"}
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_an_undo_works_as_well() -> None:
    """Only the main thread may have handlers of signals."""
    room = Room(**{"apply door": raising(CommandExecutionError("it is dark"))})
    results: list[converge.Result] = []
    thread = threading.Thread(target=lambda: results.append(run(room)))
    thread.start()
    thread.join()
    assert results[0]["comment"] == "it is dark\nEverything was put back as it was."


def test_the_time_of_a_state_is_limited_and_an_undo_has_as_much_again() -> None:
    def slow() -> None:
        time.sleep(0.3)
        host_time.left(1)

    room = Room(**{"apply lamp": slow, "undo door": lambda: host_time.left(1)})
    done = converge.run("the room", room.change(bound=0.2), {}, False)
    assert done["comment"] == "the 0.2 s that this state may take are over\nEverything was put back as it was."


def test_bytes_that_are_no_text_can_be_sent_to_the_master() -> None:
    """As in an old file, whose lines are in the changes; Salt could not encode them."""
    room = Room()
    room.host["lamp"] = "\udce9"
    done = run(room)
    assert done["changes"]["lamp"] == {"old": "\ufffd", "new": "on"}
    found = converge.look("it", lambda: converge.Finding(False, "caf\udce9"), {})
    assert found["comment"] == "caf\ufffd"


def test_an_unknown_argument_is_named() -> None:
    room = Room()
    done = run(room, lmap=1, onlyif=["true"], __env__="base")
    assert (done["result"], done["comment"], room.calls) == (False, "unknown argument: lmap", [])


def test_nobody_else_of_us_is_let_in_between() -> None:
    room, other = Room(), Room()
    room.at["apply door"] = lambda: threading.Thread(target=lambda: run(other)).start()
    room.at["plan2"] = lambda: threading.Event().wait(0.3) or (other.calls and pytest.fail("it was let in"))
    assert run(room)["result"] is True
    end = time.monotonic() + 5
    while len(other.calls) < 4 and time.monotonic() < end:
        time.sleep(0.05)
    assert other.calls == ["plan", "apply lamp", "apply door", "plan"]


def test_a_dry_run_waits_for_nobody() -> None:
    room = Room()
    room.at["apply door"] = lambda: run(Room(), test=True)
    assert run(room)["result"] is True


@errors
def test_a_look_that_fails(error: Exception, said: str) -> None:
    done = converge.look("the room", raising(error), {})
    assert (done["result"], done["changes"]) == (False, {})
    assert said in done["comment"] and "s3cret" not in done["comment"]


@pytest.mark.parametrize(
    ("find", "result", "outcome"),
    [
        (lambda: converge.Finding(True, "it holds"), True, "held"),
        (lambda: converge.Finding(False, "it does not"), False, "failed"),
        (lambda: converge.Finding(None, "nobody knows"), None, "not tried"),
        (lambda: converge.Judgement(False, "not proven", "not tried"), False, "not tried"),
        (raising(CommandExecutionError("ping is not installed")), False, "not tried"),
        (raising(SaltInvocationError("ipv6:x: wrong")), False, "not tried"),
        (raising(KeyError("x")), False, "not tried"),
    ],
    ids=["held", "failed", "unknown", "judged", "missing", "wrong", "bug"],
)
def test_only_what_was_tried_has_held_or_failed(find: Any, result: Any, outcome: str) -> None:
    done = converge.look("it", find, {})
    assert (done["result"], done["outcome"]) == (result, outcome)
    predicted = converge.look("it", find, {}, "nothing is asked under test=True")
    assert (predicted["result"], predicted["outcome"]) == (None, "not tried")
    assert converge.look("it", find, {"oops": 1})["outcome"] == "not tried"


def test_several_findings_are_as_good_as_the_worst() -> None:
    held, failed, unknown = (converge.Finding(*each) for each in ((True, "yes"), (False, "no"), (None, "who knows")))
    assert converge.together([held, unknown, failed], "") == (False, "no\nwho knows\nyes")
    assert converge.together([held, unknown], "") == (None, "who knows\nyes")
    assert converge.together([held, held], "") == (True, "yes\nyes")
    assert converge.together([], "nothing was looked at") == (None, "nothing was looked at")


def test_a_look_finds_what_is_there() -> None:
    def unlooked() -> converge.Finding:
        raise CommandExecutionError("it was looked at")

    assert converge.look("it", lambda: converge.Finding(True, "it holds"), {})["result"] is True
    assert converge.look("it", lambda: converge.Finding(False, "it does not"), {})["result"] is False
    untried = converge.look("it", unlooked, {}, "not tried")
    assert (untried["result"], untried["comment"]) == (None, "not tried")
    asked = converge.look("it", unlooked, {}, "not tried", raising(SaltInvocationError("ipv6:x: wrong")))
    assert (asked["result"], asked["comment"]) == (False, "ipv6:x: wrong")
    assert converge.look("it", unlooked, {"lmap": 1})["comment"] == "unknown argument: lmap"
