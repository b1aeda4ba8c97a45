"""
What is remembered between runs, to save time: nothing else depends on it.
"""

from __future__ import annotations

import contextlib
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


RULES = "dualstack_iptables"  # the file of what is remembered of the rules


def recall(cachedir: str, name: str = RULES) -> dict[str, Any]:
    """
    What was remembered; nothing where the file is damaged, or somebody else may have written it.

    cachedir
        Salt's folder for such things.
    name
        Of the file.
    """
    path = _file(cachedir, name)
    try:
        if not _only_ours(path):
            return {}
        text = host_files.read(path) or ""
        body = text[len(_head("")) : -1]
        if text != f"{_head(body)}{body}}}":
            return {}
        facts: dict[str, Any] = host_json.typed(salt.utils.json.loads(body), dict)
    except (ValueError, OSError):
        return {}
    return facts


def _only_ours(path: str) -> bool:
    """Whether nobody else can have written a file: it is our word that the rules were tried."""
    found = os.lstat(path)
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & ~MODE


def keep(cachedir: str, facts: dict[str, Any], name: str = RULES) -> None:
    """
    Remember some facts, instead of those remembered before.

    cachedir
        Salt's folder for such things.
    facts
        Plain data.
    name
        Of the file.
    """
    path = _file(cachedir, name)
    # Under a lock of its own: test=True remembers as well, and holds no other.
    with contextlib.suppress(OSError, CommandExecutionError), host_lock.held("memory", "the memory", PATIENCE):
        body = salt.utils.json.dumps(facts)
        text = f"{_head(body)}{body}}}"
        if os.path.lexists(path) and not _only_ours(path):
            os.remove(path)
        host_files.replace(path, text, MODE)


def _head(body: str) -> str:
    """What comes before the facts in the file."""
    return f'{{"digest": "{hashlib.sha256(body.encode("utf-8", "surrogateescape")).hexdigest()}", "facts": '


def _file(cachedir: str, name: str) -> str:
    return os.path.join(cachedir, f"{name}.json")


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
    with os.scandir(os.path.dirname(__file__)) as entries:
        looked = [each for each in entries if each.name.startswith("_dualstack_") and each.name.endswith(".py")]
    found = [(each.name, os.stat(each.path)) for each in looked]
    return [[name, each.st_mtime_ns, each.st_size] for name, each in sorted(found)]
