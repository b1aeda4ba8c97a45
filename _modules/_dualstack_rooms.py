"""
The rooms of a folder, imported anew for each public module that Salt loads from it.

Salt loads its modules anew after a sync, and has their folder on ``sys.path`` meanwhile; Python keeps what it has
imported. This room is the only one that Python keeps as well: it must not need to change.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

# Threads of one process load modules at the same time where a minion has `multiprocessing: False`.
_LOCK = threading.RLock()


@contextlib.contextmanager
def fresh(file: str) -> Iterator[None]:
    """
    Import rooms in this context.

    file
        The ``__file__`` of the public module that imports them: its rooms are those of its own folder.
    """
    folder = os.path.dirname(file)
    with _LOCK:
        for name in list(sys.modules):
            if name.startswith("_dualstack_") and name != __name__:
                sys.modules.pop(name, None)
        # At the end, as Salt does, so that nothing in the folder hides a module of Python's; and once more even if it
        # is there already, since Salt may take its own entry away while another thread is here.
        sys.path.append(folder)
        try:
            yield
        finally:
            last = len(sys.path) - 1 - sys.path[::-1].index(folder)
            del sys.path[last]
