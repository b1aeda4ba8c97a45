"""
The master's event bus: ``dualstack/confirmed`` and ``dualstack/restored``.

The second is sent when the run is over, or dead, by a process that the restorer starts: its command is prepared while
Salt's configuration is at hand.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import Any

import _dualstack_rooms
import _dualstack_transaction_place as transaction_place

CONFIRMED, RESTORED = "dualstack/confirmed", "dualstack/restored"

# Shared with the doors that change something: each has rooms of its own.
_KNOWN: dict[str, str] = vars(_dualstack_rooms).setdefault("transaction_event", {"command": ""})

# The restorer's report is told, and put aside, by the run if that is still there.
PROGRAM = f"""
import os, sys, salt.client
path = [each for each in {(transaction_place.REPORT, transaction_place.TOLD)!r} if os.path.exists(each)][0]
data = {{"report": open(path, errors="replace").read(), "jid": sys.argv[2]}}
salt.client.Caller(sys.argv[1]).cmd("event.send", {RESTORED!r}, data, preload=True)
"""


def prepare(opts: Mapping[str, Any]) -> None:
    """
    Remember how the master is told that a run of this process was put back.

    opts
        Salt's, of this minion.
    """
    transaction_place.run()  # from here on, states in parallel know whose they are
    words = [sys.executable, "-c", PROGRAM, str(opts.get("conf_file")), transaction_place.job()]
    _KNOWN["command"] = shlex.join(words) if has_master(opts) else ""


def command() -> str:
    """
    The command that tells the master; empty where there is none.
    """
    return _KNOWN["command"]


def has_master(opts: Mapping[str, Any]) -> bool:
    """
    Whether Salt uses a master now.

    opts
        Salt's, of this minion.
    """
    return opts.get("file_client") == "remote" and "master_uri" in opts


def confirmed(opts: Mapping[str, Any], modules: Mapping[str, Any], how: str, changed: list[str]) -> None:
    """
    Tell the master, if there is one, that what a run has changed is kept.

    opts
        Salt's, of this minion.
    modules
        Salt's execution modules.
    how
        How it was confirmed.
    changed
        The parts of the host.
    """
    if has_master(opts):
        modules["event.send"](CONFIRMED, {"how": how, "changed": changed, "jid": transaction_place.job()})
