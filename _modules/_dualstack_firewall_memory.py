"""
What is remembered between runs, to save time: nothing else depends on it.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from typing import Any

import _dualstack_host_files as host_files
import salt.utils.json


def recall(cachedir: str) -> dict[str, Any]:
    """
    What was remembered.

    cachedir
        Salt's folder for such things.
    """
    try:
        found = salt.utils.json.loads(host_files.read(_file(cachedir)) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def keep(cachedir: str, facts: dict[str, Any]) -> None:
    """
    Remember some facts, instead of those remembered before.

    cachedir
        Salt's folder for such things.
    facts
        Plain data.
    """
    with contextlib.suppress(OSError):
        host_files.write(_file(cachedir), salt.utils.json.dumps(facts), mode=0o600)


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
