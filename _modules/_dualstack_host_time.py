"""
The time that a state may take, as a whole: each wait on the way is shortened to what is left of it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import _dualstack_rooms
import _dualstack_transaction_beat as transaction_beat
from salt.exceptions import CommandExecutionError

# Each public module has rooms of its own, but a plug-in's waits are part of the state that calls it.
_THREAD: threading.local = vars(_dualstack_rooms).setdefault("time", threading.local())


class Over(CommandExecutionError):
    """The time of a state is over."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """
    Limit the time of what is done in this context.

    seconds
        The limit. It replaces an outer one: what is undone needs time of its own.
    """
    outer = getattr(_THREAD, "limit", None)
    _THREAD.limit = (time.monotonic() + seconds, seconds)
    transaction_beat.push(seconds)
    try:
        yield
    finally:
        _THREAD.limit = outer
        beat()


def left(patience: float) -> float:
    """
    How long something may take.

    patience
        The seconds that it would be given by itself.

    Returns the seconds that it has. Raises ``Over`` where none are left.
    """
    limit = getattr(_THREAD, "limit", None)
    if limit is None:
        return patience
    end, seconds = limit
    remaining: float = end - time.monotonic()
    if remaining <= 0:
        raise Over(f"the {seconds:g} s that this state may take are over")
    return min(patience, remaining)


def beat() -> None:
    """
    Give a sign of life: a state goes on, and has the rest of its time; or none does, and others' states may come first.
    """
    limit = getattr(_THREAD, "limit", None)
    transaction_beat.push(transaction_beat.IDLE if limit is None else max(limit[0] - time.monotonic(), 0))
