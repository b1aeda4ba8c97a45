"""
Which network stacks work on this host, and which of them has its interfaces up: that one configures the tunnel.

What is installed says little: every Debian has networkd, every Ubuntu has netplan with one of two others behind it. So
each stack is asked by what is seen that it has the interface up by which IPv4 packets leave this host.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_host_ip as host_ip
import _dualstack_plugins as plugins
from salt.exceptions import CommandExecutionError

Stacks = Mapping[str, plugins.Stack]  # the plug-ins, by the names of their stacks
Interface = dict[str, Any]  # its name, and its index: 0 if there is none
Answers = dict[tuple[str, ...], host_commands.Said]  # of programs that were asked what they are

UNKNOWN = "unknown"  # what a plug-in calls an implementation that it does not recognise
VERSION = 10.0  # seconds for a program to say what it is
RUNNING = "/run/systemd/units/invocation:{}"  # a link that is there as long as the unit runs
SYSTEMD = "/run/systemd/system"
ROUTES, DEFAULT = "/proc/net/route", "00000000"  # of the main table, with the destination in its second column


def refusal(stack: str, plugin: plugins.Stack, seen: bool = False, asked: Answers | None = None) -> str:
    """
    Why a stack does not configure this host; an empty text if it does, or could.

    stack
        Its name.
    plugin
        Its plug-in.
    seen
        Whether it has an interface up: then it runs, which cannot be told otherwise where there is no systemd.
    asked
        What programs have said already: several plug-ins have the same. What this one says is added.
    """
    try:
        about = plugin.about()
        program, arguments = about["program"], about["arguments"]
        if not host_commands.which(program):
            return f"this host has no {program}"
        if not (seen if _runs(about) is None else _runs(about)):
            return f"{' or '.join(_units(about))} does not run on this host"
        said = _said((program, *arguments), {} if asked is None else asked) if arguments else None
        found = plugin.recognise(said.stdout + said.stderr if said else "")
    except (CommandExecutionError, OSError) as error:  # a broken plug-in must not hide the others
        return str(error)
    if found == stack:
        return ""
    version = f" (it says: {said.words()})" if found == UNKNOWN and said else ""
    return f"the {program} of this host is {found}{version}, {about['otherwise']}"


def _said(words: tuple[str, ...], asked: Answers) -> host_commands.Said:
    if words not in asked:
        asked[words] = host_commands.output(list(words), VERSION)
    return asked[words]


def _runs(about: Mapping[str, Any]) -> bool | None:
    """Whether the stack's unit runs, if it has one; on a host without systemd that is not known."""
    units = _units(about)
    if not units:
        return True
    return any(os.path.lexists(RUNNING.format(each)) for each in units) if os.path.isdir(SYSTEMD) else None


def _units(about: Mapping[str, Any]) -> list[str]:
    unit = about.get("unit") or []
    return [unit] if isinstance(unit, str) else list(unit)


def managing(stacks: Stacks) -> dict[str, str]:
    """
    The stacks that have the interface up by which IPv4 packets leave this host.

    stacks
        The available network stacks.

    Returns by what each of them is seen to have it, as in ``/run/network/ifstate has eth0``.
    """
    interfaces = list(_underlays())
    asked: Answers = {}
    found = {}
    for stack, plugin in stacks.items():
        reason = next((said for each in interfaces if (said := knows(plugin, each))), "")
        if reason and not refusal(stack, plugin, seen=True, asked=asked):
            found[stack] = reason
    return found


def _underlays() -> Iterator[Interface]:
    """The interfaces of the IPv4 default routes: of the main table, or else of any."""
    names = [line.split()[0] for line in (host_files.read(ROUTES) or "").splitlines() if line.split()[1:2] == [DEFAULT]]
    if not names:
        routes = host_ip.look(["route", "show", "default", "table", "all"])
        hops = [hop for route in routes for hop in [route, *route.get("nexthops", [])]]
        names = [str(each["dev"]) for each in hops if "dev" in each]
    for name in dict.fromkeys(names):
        yield interface(name)


def interface(name: str) -> Interface:
    """
    An interface, as :py:func:`knows` wants it.

    name
        Its name.
    """
    return {"name": name, "index": int(host_files.read(f"/sys/class/net/{name}/ifindex") or 0)}


def knows(plugin: plugins.Stack, which: Interface) -> str | None:
    """
    By what it is seen that a stack has an interface up; empty if it has not, ``None`` if it cannot be told.

    plugin
        The stack's.
    which
        From :py:func:`interface`.
    """
    try:
        about = plugin.about()
        if "has" not in about.get("offers", []):
            return None
        return "" if _runs(about) is False else plugin.has(which, evidence(plugin))
    except CommandExecutionError:  # a broken plug-in is named where it is chosen
        return None


def evidence(plugin: plugins.Stack) -> dict[str, str]:
    """
    The texts of the files that show what a stack has up now, by path.

    plugin
        The stack's.
    """
    found = {}
    patterns = plugin.about().get("evidence", [])
    for path in (path for pattern in patterns for path in sorted(glob.glob(pattern)) if os.path.isfile(path)):
        text = host_files.read(path)  # it may have gone in the meantime: interfaces come and go
        found.update({path: text} if text is not None else {})
    return found
