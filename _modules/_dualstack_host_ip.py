"""
What ip(8) reports about this host: read as JSON, and refused in words if it is anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import _dualstack_host_commands as host_commands
import salt.utils.json
from salt.exceptions import CommandExecutionError

# How the kernel, or ip(8) for it, says that there is no such route, interface or family.
NOTHING = re.compile(
    "RTNETLINK answers: (Network is unreachable|No route to host|Permission denied|Invalid argument|No such device"
    "|Address family not supported|Operation not supported)|Cannot find device|does not exist"
)
Kinds = Mapping[str, type]
# What everybody expects of an entry: of an interface, of one of its addresses, and of a route.
LINK = {"ifname": str, "mtu": int, "flags": list}
LINK_TOO = {"addr_info": list, "linkinfo": dict}
ADDRESS = {"family": str, "scope": str, "local": str, "prefixlen": int}
KIND_TOO = {"info_kind": str, "info_data": dict}
ROUTE_TOO = {"dev": str, "type": str, "gateway": str, "prefsrc": str, "from": str, "metric": int}

Entry = dict[str, Any]


class Nothing(host_commands.CommandFailed):
    """The kernel says that there is no such route, interface or family."""


def look(words: list[str]) -> list[Entry]:
    """
    What ip(8) answers.

    words
        Its arguments, without ``-j``.

    Returns what it prints as JSON, without the empty entries that some versions print for what they filtered out.
    Raises ``Nothing`` where there is no such route or interface, and ``CommandExecutionError``, which that is too,
    where ip(8) fails, is not there, or prints anything else: that says nothing about routes and interfaces.
    """
    if not host_commands.which("ip"):
        said = "ip is not installed on this host; it comes with the package iproute2"
        raise host_commands.NotInstalled(said, "tunnel")
    done = host_commands.output(["ip", "-j", *words])
    name = f"ip -j {' '.join(words)}"
    if done.retcode:
        kind = Nothing if NOTHING.search(done.stderr) else host_commands.CommandFailed
        raise kind(name, done.retcode, done.words())
    try:
        found = salt.utils.json.loads(done.stdout or "[]")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, dict) and _is_whole(each) for each in found):
        said = host_commands.in_one_line(done.stdout)
        raise CommandExecutionError(f"'{name}' printed no JSON that can be read, but: {said}")
    return [_without_gaps(each) for each in found if each]


def _without_gaps(entry: Entry) -> Entry:
    return {**entry, "addr_info": [each for each in entry["addr_info"] if each]} if "addr_info" in entry else entry


def route(words: list[str]) -> Entry:
    """
    The route of packets, as the kernel decides it.

    words
        The arguments: ``route get`` and what follows.

    Raises as :py:func:`look` does; ``Nothing`` where there is no route.
    """
    name = f"ip -j {' '.join(words)}"
    found = look(words)
    if not found:
        raise Nothing(name, 0, "nothing")
    if "dev" not in found[0]:
        raise CommandExecutionError(f"'{name}' printed a route without an interface")
    return found[0]


def _is_whole(entry: Entry) -> bool:
    """Whether an entry has all of an interface, or of a route."""
    if "ifname" not in entry and "addr_info" not in entry:
        return _has(entry, {}, ROUTE_TOO)
    kind = entry.get("linkinfo", {})
    addresses = entry.get("addr_info", [])
    return (
        _has(entry, LINK, LINK_TOO)
        and _has(kind, {}, KIND_TOO)
        and all(isinstance(each, dict) and (not each or _has(each, ADDRESS)) for each in addresses)
    )


def _has(entry: Entry, needed: Kinds, possible: Kinds | None = None) -> bool:
    return needed.keys() <= entry.keys() and all(
        isinstance(entry[key], kind) for key, kind in {**needed, **(possible or {})}.items() if key in entry
    )
