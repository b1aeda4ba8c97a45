"""
A run as a transaction: armed before its first change, and committed as a whole, or put back as a whole.

Whoever is killed, hangs, or shuts out who manages this host, is put back by the restorer, which needs nothing of it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from typing import NamedTuple

import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_host_hindrances as host_hindrances
import _dualstack_host_lock as host_lock
import _dualstack_transaction_beat as transaction_beat
import _dualstack_transaction_event as transaction_event
import _dualstack_transaction_guard as transaction_guard
import _dualstack_transaction_journal as transaction_journal
import _dualstack_transaction_launch as transaction_launch
import _dualstack_transaction_place as transaction_place
import _dualstack_transaction_restorer as transaction_restorer
import _dualstack_transaction_rules as transaction_rules
from salt.exceptions import CommandExecutionError

PATIENCE = 10.0  # seconds to wait for another run's transaction
RESTORING = 300.0  # seconds for the restorer: services take as long as they take
STARTING = 10.0  # seconds for the restorer to start
PAUSE = 0.05  # seconds between two looks
STILL = "it is still being put back: see the log of this host (logger -t dualstack)"
SHELL = "/bin/sh"
SCRIPT = f"{transaction_place.FOLDER}/{transaction_restorer.NAME}"
STARTED = f"/run/dualstack/{transaction_restorer.NAME}"  # the same, for the one that is there before the folder is


ALL = "everything is as it was"  # the last words of a restorer that could do all of it


class PutBack(CommandExecutionError):
    """The restorer has put everything back before it could be committed."""


class Step(NamedTuple):
    """A step that is written down: its number, and what is not watched over from now on, for people."""

    number: int
    warning: str


def refuse() -> None:
    """
    Refuse where no journal could be written, without writing one.

    Raises ``CommandExecutionError``.
    """
    why = host_hindrances.of_folder(f"{transaction_place.FOLDER}/journal")
    if why:
        raise CommandExecutionError(f"no journal of the change can be written: {why}")


def await_others() -> None:
    """
    Wait for the end of another run's transaction; put it back if it is dead, and so is its restorer.

    Raises ``CommandExecutionError`` if it goes on.
    """
    if not transaction_place.is_open() or transaction_place.is_ours():
        return
    end = time.monotonic() + PATIENCE
    late = time.monotonic() + RESTORING
    while transaction_place.is_open():
        held, watched = transaction_place.is_held(), transaction_place.is_watched()
        now = time.monotonic()
        if not held and not watched:
            _finish("it has died, and so has its restorer")
            _refuse_the_rest()
        elif now > (end if held else late):
            found = transaction_place.holder()
            who = found.said if found else "another run"
            raise CommandExecutionError(f"this host is being changed by {who}: run this again when that has ended")
        else:
            time.sleep(PAUSE)


def _refuse_the_rest() -> None:
    """What a restorer could not take away, on a disk that has become read-only, another one cannot either."""
    if transaction_place.is_open() and not transaction_place.is_held() and not transaction_place.is_watched():
        refuse()
        raise CommandExecutionError(f"{transaction_place.FOLDER} is left of an earlier run, and cannot be taken away")


def _finish(why: str) -> None:
    """What a restorer that was killed has left to do."""
    with host_lock.held("transaction", why, PATIENCE):
        if not transaction_place.is_open() or transaction_place.is_watched():
            return
        begun = os.path.exists(transaction_place.ARMED) or os.path.exists(transaction_place.RESTORING)
        if os.path.exists(SCRIPT):
            host_commands.run([SHELL, SCRIPT, "now" if begun else "clean", why], RESTORING)
        if transaction_place.is_open() and not begun:
            shutil.rmtree(transaction_place.FOLDER)


def begin(part: str, name: str, images: list[transaction_journal.Image], edits: host_files.Edits) -> Step:
    """
    Write down how everything was that a step is about to change; the first step of a run arms the restorer.

    part
        Of the host.
    name
        What changes it, for messages.
    images
        How it was, without the files.
    edits
        The files.

    Returns the step. Raises ``CommandExecutionError`` and ``OSError``; then nothing may be changed.
    """
    first = not transaction_place.is_ours()
    warning = _arm(name) if first else ""
    transaction_beat.arm(True)
    try:
        if not os.path.exists(transaction_place.ARMED):
            raise PutBack("this run is being put back by its restorer")
        if not transaction_place.is_watched():
            transaction_launch.start(SCRIPT, *transaction_place.run())
            _await_restorer()
        number = transaction_journal.write(part, [*images, *transaction_journal.of_files(edits)], edits)
        return Step(number, warning)
    except BaseException:
        if first:  # nothing was changed yet
            commit()
        raise


def _await_restorer() -> None:
    end = time.monotonic() + STARTING
    while not transaction_place.is_watched():
        if time.monotonic() > end:
            raise CommandExecutionError("the restorer, which would put this run back if it failed, does not start")
        time.sleep(PAUSE / 10)


def _arm(name: str) -> str:
    """Returns what this transaction does not watch over."""
    await_others()
    with host_lock.held("transaction", name, PATIENCE):
        await_others()
        pid, start = transaction_place.run()
        holder = transaction_place.Holder(
            pid,
            start,
            transaction_place.job(),
            time.time(),
            name,
            transaction_guard.removal(),
            transaction_event.command(),
        )
        try:
            for path in (transaction_place.ASKED_ASIDE, transaction_place.TOLD):  # of an earlier one
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            transaction_place.put(STARTED, transaction_restorer.TEXT)
            transaction_launch.start(STARTED, pid, start)
            os.makedirs(os.path.dirname(transaction_place.FOLDER), mode=0o700, exist_ok=True)
            os.mkdir(transaction_place.FOLDER, 0o700)
            os.mkdir(transaction_place.ENTRIES, 0o700)
            transaction_place.put(transaction_place.HOLDER, holder.shell)
            transaction_place.put(f"{transaction_place.FOLDER}/{transaction_rules.NAME}", transaction_rules.AWK)
            transaction_place.put(SCRIPT, transaction_restorer.TEXT, 0o700)
            warning = transaction_guard.install(transaction_place.FOLDER)
            _await_restorer()
            transaction_beat.arm(True)
            transaction_beat.push(transaction_beat.IDLE)
            transaction_place.put(transaction_place.ARMED, "")
            for each in (transaction_place.FOLDER, os.path.dirname(transaction_place.FOLDER), "/var/lib"):
                transaction_place.settle(each)
            return warning
        except BaseException:
            transaction_beat.arm(False)
            with contextlib.suppress(OSError, CommandExecutionError):
                transaction_guard.remove()
            shutil.rmtree(transaction_place.FOLDER, ignore_errors=True)
            raise


def go_on() -> None:
    """
    Leave the transaction open for the next step of this run, or for its end.
    """
    transaction_beat.push(transaction_beat.IDLE)


def undone(step: Step) -> None:
    """
    Remember that a step was undone: nothing of it has to be put back.

    step
        The step.
    """
    with contextlib.suppress(OSError):  # then it is put back once more, which changes nothing
        transaction_journal.undone(step.number)


def commit() -> None:
    """
    Keep everything that this run has changed.

    Raises ``PutBack`` with the restorer's report, if that was quicker.
    """
    try:
        transaction_place.commit()
    except FileNotFoundError:
        raise PutBack("\n".join(awaited())) from None
    except OSError as error:
        raise PutBack("\n".join([f"it cannot be kept: {error.strerror}", *roll_back("it could not be kept")])) from None
    finally:
        transaction_beat.arm(False)
    host_commands.run([SHELL, SCRIPT, "clean"])
    forget()


def put_back(parts: list[str], why: str) -> list[str]:
    """
    Put back some parts of what this run has changed; it goes on.

    parts
        The parts of the host.
    why
        The reason, for the report.

    Returns what the restorer reports.
    """
    host_commands.run([SHELL, SCRIPT, "part", " ".join(parts), why], RESTORING)
    return told()


def roll_back(why: str) -> list[str]:
    """
    Put back everything that this run has changed.

    why
        The reason, for the report.

    Returns what the restorer reports.
    """
    transaction_beat.arm(False)
    try:
        transaction_place.put(transaction_place.ASKED, f"{why}\n")
    except OSError:
        _ask_otherwise(why)
    return awaited()


def _ask_otherwise(why: str) -> None:
    """A full disk has no room for the reason, but for the name; one that is read-only has neither."""
    try:
        os.rename(f"{transaction_place.ASKED}.new", transaction_place.ASKED)
    except OSError:
        with contextlib.suppress(OSError):
            transaction_place.put(transaction_place.ASKED_ASIDE, f"{why}\n")


def awaited() -> list[str]:
    """
    Wait until everything is put back; what the restorer reports.
    """
    return told() if settle() else [STILL]


def settle(gone: Callable[[], bool] = lambda: not transaction_place.is_open()) -> bool:
    """
    Wait for the restorer, or do its work if it has died.

    gone
        Whether it is done: by default if no transaction is open.

    Returns whether it has come to an end.
    """
    end = time.monotonic() + RESTORING
    while not gone() and not _is_stuck() and time.monotonic() < end:
        if not transaction_place.is_watched():
            _finish("this was asked for, and its restorer has died")
        time.sleep(PAUSE)
    return gone() or _is_stuck()


def _is_stuck() -> bool:
    """Whether all is put back, and the folder cannot be taken away."""
    reported = any(map(os.path.exists, (transaction_place.REPORT, transaction_place.TOLD)))
    return reported and not os.access(transaction_place.FOLDER, os.W_OK)


def told() -> list[str]:
    """
    What the last restorer has reported, once.
    """
    lines = transaction_place.report().splitlines()
    with contextlib.suppress(OSError):
        os.rename(transaction_place.REPORT, transaction_place.TOLD)
    return lines


def forget() -> None:
    """
    A run was kept: of the one before nobody has to be told any more.
    """
    with contextlib.suppress(OSError):
        os.unlink(transaction_place.TOLD)
