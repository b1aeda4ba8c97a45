"""
Count what a run does to the host, and stop before one of these effects: Python imports this first (PYTHONPATH).

``LAB_CUT`` is a pattern, or the number of an effect since the run was armed. Where it matches, ``/run/control/reached``
is written; then nothing more happens, or, with ``LAB_CUT_DURING`` set, everything goes on.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from typing import Any

KINDS = (
    "subprocess.Popen",
    "open",
    "os.rename",
    "os.remove",
    "os.link",
    "os.symlink",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
)
# What is no effect on the host: Salt's own files, and those in memory.
QUIET = re.compile(r"/srv/lab|/tmp|/dev/|/proc/(?!sys)|/sys/|/run/|memfd|\.pyc|/var/cache|-save|'-C'|unshare|is-active")
ARMED = "/var/lib/dualstack/transaction/armed'"
CUT = os.environ.get("LAB_CUT", "")
_state = {"count": 0, "armed": 0, "inside": 0}


def _effect(event: str, arguments: tuple[Any, ...]) -> str:
    if event not in KINDS:
        return ""
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        return ""
    shown = f"{event} {arguments[1] if event == 'subprocess.Popen' else arguments[:2]}"
    return "" if QUIET.search(shown) else shown


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if _state["inside"] or not (shown := _effect(event, arguments)):
        return
    _state["inside"] = 1
    try:
        if event == "os.rename" and shown.endswith(f"{ARMED})"):
            _state["armed"] = 1
        if not _state["armed"]:
            return
        _state["count"] += 1
        with open("/run/control/effects", "a") as log:
            log.write(f"{_state['count']} {shown}\n")
        if CUT == str(_state["count"]) or (not CUT.isdigit() and re.search(CUT, shown)):
            with open("/run/control/reached", "w") as stream:
                stream.write(shown)
            while "LAB_CUT_DURING" not in os.environ:
                time.sleep(1000)
    finally:
        _state["inside"] = 0


if CUT and threading.current_thread() is threading.main_thread():
    sys.addaudithook(_look)
