"""
The values of Postfix's parameters, with what they refer to: postconf(5). PURE: never accesses the host.

``$name``, ``${name}``, ``$(name)``, ``${name?text}``, ``${name:text}``, and ``${name?{text}:{text}}``. Comparisons,
``${{a} == {b} ? {c} : {d}}``, are not decided here.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

import _dualstack_service_postfix as service_postfix

NAME = re.compile(r"\s*(\w+)\s*", re.ASCII)
PLAIN = re.compile(r"\w+", re.ASCII)
CLOSING = {"{": "}", "(": ")"}
# Deep enough for real files; circular references end here, too.
NESTING = 20
EXPANDED = 100_000

# What Debian's Postfix has built in, of what lists of addresses, networks and files refer to.
BUILT_IN = {
    "command_directory": "/usr/sbin",
    "daemon_directory": "/usr/lib/postfix/sbin",
    "data_directory": "/var/lib/postfix",
    "default_database_type": "hash",
    "inet_interfaces": "all",
    "inet_protocols": "all",
    "mail_name": "Postfix",
    "mail_owner": "postfix",
    "meta_directory": "/etc/postfix",
    "multi_instance_directories": "",
    "multi_instance_enable": "no",
    "multi_instance_group": "",
    "multi_instance_name": "",
    "proxy_interfaces": "",
    "queue_directory": "/var/spool/postfix",
    "setgid_group": "postdrop",
    "shlib_directory": "/usr/lib/postfix",
}
# What Postfix makes of the host itself: such a word stays as it is written, and is taken for a host name.
OF_THE_HOST = ("myhostname", "mydomain", "myorigin", "mydestination", "relay_domains", "mynetworks")


def expanded(value: str, known: dict[str, dict[str, Any]], path: str = service_postfix.MAIN) -> str | None:
    """
    A value with its references expanded; ``None`` if only Postfix itself could do that.

    value
        As it is written.
    known
        The parameters.
    path
        The main.cf that they are of: its folder is ``$config_directory``.
    """
    own = {name: each["value"] for name, each in known.items()} if "$" in value else {}
    return _expanded(value, {**BUILT_IN, "config_directory": posixpath.dirname(path), **own}, NESTING, [EXPANDED])


def _expanded(value: str, known: dict[str, str], depth: int, left: list[int]) -> str | None:
    """The same; ``left`` is how much may still be read, so that a few lines cannot grow without end."""
    left[0] -= len(value) + 1
    if left[0] < 0 or depth < 0:
        return None
    pieces, at = [], 0
    while (sign := value.find("$", at)) >= 0:
        pieces.append(value[at:sign])
        found, at = _reference(value, sign + 1, known)
        if found is None:
            return None
        text, final = found
        result = text if final else _expanded(text, known, depth - 1, left)
        if result is None:
            return None
        pieces.append(result)
    return "".join([*pieces, value[at:]])


def _reference(value: str, at: int, known: dict[str, str]) -> tuple[tuple[str, bool] | None, int]:
    """What stands behind a ``$``: the text that it means, and whether that is final; and where it ends."""
    opening = value[at : at + 1]
    if opening == "$":
        return ("$", True), at + 1
    if opening in CLOSING:
        end = _closing(value, at)
        return _chosen(value[at + 1 : end], known) if end else None, end + 1
    name = PLAIN.match(value, at)
    return _chosen(name[0], known) if name else None, name.end() if name else at


def _closing(value: str, at: int) -> int:
    """Where the bracket at a place is closed; 0 if it is not."""
    opening, depth = value[at], 0
    for offset in range(at, len(value)):
        depth += (value[offset] == opening) - (value[offset] == CLOSING[opening])
        if not depth:
            return offset
    return 0


def _chosen(inside: str, known: dict[str, str]) -> tuple[str, bool] | None:
    """The meaning of ``name``, ``name?text``, ``name:text`` or ``name?{text}:{text}``."""
    name = NAME.match(inside)
    if not name or name[1] not in known and name[1] not in OF_THE_HOST:
        return None
    set_here, kind, rest = name[1] in known, inside[name.end() : name.end() + 1], inside[name.end() + 1 :].strip()
    if not kind:
        return (known[name[1]], False) if set_here else (f"${name[1]}", True)
    if kind not in "?:":
        return None
    first, second = rest, ""
    if rest.startswith("{"):
        end = _closing(rest, 0)
        after = rest[end + 1 :].strip()
        if not end or after and not after.startswith(":"):
            return None
        first, second = rest[1:end].strip(), after[1:].strip()
        second = second[1:-1].strip() if second.startswith("{") and second.endswith("}") else second
    filled = bool(known[name[1]]) if set_here else True
    if kind == ":":
        return (second if filled else first), False
    return (first if filled else second), False
