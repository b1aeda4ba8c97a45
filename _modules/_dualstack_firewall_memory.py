"""
What is remembered between runs, to save time: nothing else depends on it.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import stat
from typing import Any

import _dualstack_host_files as host_files
import _dualstack_host_json as host_json
import _dualstack_host_lock as host_lock
import salt.utils.json
from salt.exceptions import CommandExecutionError

MODE = 0o600
PATIENCE = 1.0  # seconds: what is not remembered now is found out again


def recall(cachedir: str) -> dict[str, Any]:
    """
    What was remembered; nothing where the file is damaged, or somebody else may have written it.

    cachedir
        Salt's folder for such things.
    """
    try:
        if not _only_ours(_file(cachedir)):
            return {}
        kept = host_json.typed(host_json.load(_file(cachedir)), dict)
        facts: dict[str, Any] = host_json.typed(kept.get("facts"), dict)
    except (ValueError, OSError):
        return {}
    return facts if kept.get("digest") == digest(facts) else {}


def _only_ours(path: str) -> bool:
    """Whether nobody else can have written a file: it is our word that the rules were tried."""
    found = os.lstat(path)
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & ~MODE


def keep(cachedir: str, facts: dict[str, Any]) -> None:
    """
    Remember some facts, instead of those remembered before.

    cachedir
        Salt's folder for such things.
    facts
        Plain data.
    """
    # Under a lock of its own: test=True remembers as well, and holds no other.
    with contextlib.suppress(OSError, CommandExecutionError), host_lock.held("memory", "the memory", PATIENCE):
        text = salt.utils.json.dumps({"digest": digest(facts), "facts": facts})
        if os.path.lexists(_file(cachedir)) and not _only_ours(_file(cachedir)):
            os.remove(_file(cachedir))
        host_files.replace(_file(cachedir), text, MODE)


def _file(cachedir: str) -> str:
    return os.path.join(cachedir, "dualstack_iptables.json")


def digest(*facts: Any) -> str:
    """
    A text that identifies facts.

    facts
        Plain data.
    """
    return hashlib.sha256(salt.utils.json.dumps(facts, default=str).encode()).hexdigest()


def rooms() -> list[Any]:
    """
    Identifies this version of the rooms: another release may translate a rule differently.
    """
    looked = [(path, os.stat(path)) for path in sorted(glob.glob(f"{os.path.dirname(__file__)}/_dualstack_*.py"))]
    return [[os.path.basename(path), each.st_mtime_ns, each.st_size] for path, each in looked]
