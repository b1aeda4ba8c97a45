"""How the time of something grows with its size: a ratio, which a busy machine does not change as it does seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

TIMES = 4


def growth(work: Callable[[int], object], size: int) -> float:
    """
    How much more of the processor's time :py:data:`TIMES` as much takes: as many times if that is linear, 16 times
    if it is quadratic. The least of three measurements counts, of each.
    """
    least = [min(_seconds(work, each) for _ in range(3)) for each in (size, size * TIMES)]
    return least[1] / least[0]


def _seconds(work: Callable[[int], object], size: int) -> float:
    began = time.process_time()
    work(size)
    return time.process_time() - began
