"""
A network stack of the tests' own, in a module directory of its own: one file of shell variables for each interface,
which its programs ``toyup`` and ``toydown`` read.
"""

from __future__ import annotations

import shlex
from typing import Any

from salt.exceptions import CommandExecutionError

FOLDER = "/etc/toy"
MARK = "# by he_tunnel"
NUMBERS = ("ttl", "mtu", "metric")
KEYS = ("endpoint", "local", "address", "gateway", "routing", "source", *NUMBERS)


def about() -> dict[str, Any]:
    """How the toy is recognised."""
    return {"program": "toyup", "arguments": ["--version"], "otherwise": "which is no toy"}


def recognise(version: str) -> str:
    """Whose program it is."""
    return "toy" if version.startswith("toy ") else "earnest"


def roots(name: str) -> list[str]:
    """The file of an interface."""
    return [f"{FOLDER}/{name}"]


def includes(path: str, text: str) -> list[list[str]]:
    """Nothing."""
    return []


def parse(name: str, host: dict[str, str]) -> dict[str, Any] | None:
    """The tunnel of a file."""
    text = host.get(f"{FOLDER}/{name}")
    if text is None:
        return None
    found: dict[str, Any] = dict(word.split("=", 1) for word in shlex.split(text, comments=True))
    found.update({key: int(found[key]) for key in NUMBERS}, addresses=found["addresses"].split(), name=name)
    return found


def files(tunnel: dict[str, Any]) -> dict[str, str]:
    """The file of a tunnel."""
    lines = [f"{key}={tunnel[key]}" for key in KEYS]
    lines.append(f"addresses={shlex.quote(' '.join(tunnel['addresses']))}")
    return {f"{FOLDER}/{tunnel['name']}": "\n".join([MARK, *lines, ""])}


def present(tunnel: dict[str, Any], host: dict[str, str], adopt: bool = False) -> dict[str, str]:
    """The file of a tunnel, where no other is in its place."""
    for path, text in host.items():
        if not adopt and not text.startswith(MARK):
            raise CommandExecutionError(f"{path} was written by a person")
    return files(tunnel)


def absent(name: str, host: dict[str, str], adopt: bool = False) -> dict[str, None]:
    """No file."""
    return dict.fromkeys(host)


def up(name: str) -> list[str]:
    """The command that brings an interface up."""
    return ["toyup", name]


def down(name: str) -> list[str]:
    """The command that takes it down."""
    return ["toydown", name]
