"""
Several looks at the host at once: a report that waits for one after the other takes too long.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
from collections.abc import Callable, Sequence
from typing import TypeVar

Found = TypeVar("Found")
One = TypeVar("One")
Other = TypeVar("Other")


def all_of(looks: Sequence[Callable[[], Found]]) -> list[Found]:
    """
    What some looks have found, each in a thread of its own.

    looks
        The functions.

    Returns the results in their order. Raises what the first of them that fails raises, once all have ended.
    """
    with concurrent.futures.ThreadPoolExecutor(max(1, len(looks))) as pool:
        running = [_start(pool, look) for look in looks]
    return [each.result() for each in running]


def both(one: Callable[[], One], other: Callable[[], Other]) -> tuple[One, Other]:
    """
    The same for two looks, whatever they return.

    one, other
        The functions.
    """
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = _start(pool, other)
        return one(), running.result()


def _start(pool: concurrent.futures.ThreadPoolExecutor, look: Callable[[], Found]) -> concurrent.futures.Future[Found]:
    # Salt's loader finds what belongs to a plug-in by the context, which a thread does not inherit.
    return pool.submit(contextvars.copy_context().run, look)
