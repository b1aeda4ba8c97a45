"""A service that exists only in the tests: toyd, whose configuration has lines such as ``listen 0.0.0.0 2525``."""

from __future__ import annotations

import re
from typing import Any

MAIN = "/etc/toy.conf"
LINE = re.compile(r"^listen (\S+) (\d+)$", re.MULTILINE)
OTHER = {"0.0.0.0": "::", "::": "0.0.0.0"}


def about() -> dict[str, Any]:
    """What is known of it."""
    return {
        "files": [MAIN],
        "processes": ["*python* /usr/local/sbin/toyd"],
        "units": ["toy.service"],
        "init": "toy",
        "sets_v6only": True,
        "always": ["greeting"],
        "options": {"greeting": "a word"},
        "check": ["/usr/local/sbin/toyd", "--check"],
        "protocols": {2525: "smtp"},
    }


def errors(options: dict[str, Any]) -> list[str]:
    """What is wrong with its own settings."""
    word = options.get("greeting", "hello")
    return [] if isinstance(word, str) and word.isalpha() else [f"greeting: {word!r} is not a word"]


def includes(path: str, text: str) -> list[str]:
    """It has no includes."""
    return []


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The sockets that its configuration asks for."""
    return [
        {
            "port": int(match[2]),
            "transport": "tcp",
            "address": match[1],
            "v6only": True if ":" in match[1] else None,
            "file": path,
            "line": file["text"].count("\n", 0, match.start()) + 1,
            "note": "",
        }
        for path, file in files.items()
        for match in LINE.finditer(file["text"])
    ]


def dual_stack(files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """The same configuration, with a line for each family."""
    text = files[MAIN]["text"]
    found = {(each["address"], each["port"]) for each in listeners(files)}
    lacking = [(OTHER[address], port) for address, port in found if (OTHER[address], port) not in found]
    new = text + "".join(f"listen {address} {port}\n" for address, port in lacking)
    if "greeting" in options:
        new = re.sub(r"^greeting .*$", f"greeting {options['greeting']}", new, flags=re.MULTILINE)
    return {"files": {MAIN: new} if new != text else {}, "bindv6only": None, "notes": []}
