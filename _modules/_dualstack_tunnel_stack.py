"""
Which network stack configures this host, and what its files say about a tunnel.

The stacks are plug-ins, ``tunnel_<stack>``, and do not access the host: this room does that for them, and reads the
files that they name.
"""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_plugins as plugins
import _dualstack_tunnel_sit as tunnel_sit
from salt.exceptions import CommandExecutionError, SaltInvocationError

Stacks = Mapping[str, plugins.Stack]  # the plug-ins, by the names of their stacks

AUTO = "auto"
UNKNOWN = "unknown"  # what a plug-in calls an implementation that it does not recognise
VERSION = 10.0  # seconds for a program to say what it is


class Configuration(NamedTuple):
    """One network stack's configuration of a tunnel on this host."""

    stack: str
    plugin: plugins.Stack
    files: dict[str, str]  # the texts of all files that the stack reads, by path
    tunnel: dict[str, Any] | None  # the keys of the tunnel as far as the files have them
    rivals: list[str]  # other stacks that could configure it as well, if none does yet


def errors(tunnel: Mapping[str, Any], stacks: Stacks) -> list[str]:
    """
    All errors in a tunnel, as far as this can be checked without the host.

    tunnel
        As in the state ``he_tunnel.present``.
    stacks
        The available network stacks.

    Returns a list of sentences, each beginning with the wrong key; empty if there are none.
    """
    problems = tunnel_sit.errors(tunnel)
    stack = tunnel.get("stack") or AUTO
    if stack != AUTO and not any(each.startswith("stack:") for each in problems) and stack not in stacks:
        expected = ", ".join([AUTO, *stacks])
        problems.append(f"stack: {stack!r} is not a network stack that is supported; expected one of {expected}")
    return problems


def check(given: Mapping[str, Any], stacks: Stacks) -> None:
    """
    Refuse bad values of some keys of a tunnel, if the others do not matter.

    given
        These keys; ``None`` stands for the default.
    stacks
        The available network stacks.

    Raises ``SaltInvocationError`` with every error, one per line.
    """
    problems = [each for each in errors(given, stacks) if each.partition(":")[0] in given]
    if problems:
        raise SaltInvocationError("\n".join(problems))


def read(name: str, choice: str, stacks: Stacks) -> Configuration:
    """
    The configuration of a tunnel by this host's network stack.

    name
        The interface.
    choice
        A stack, or ``auto``: the one that configures this host. If several could, the one that has the tunnel; if none
        has it, the first, with the others as its ``rivals``.
    stacks
        The available network stacks.

    Raises ``CommandExecutionError`` rather than choose a stack whose files the host does not read, or cannot parse, and
    if two have the tunnel.
    """
    refusals = {each: _refusal(each, plugin) for each, plugin in stacks.items() if choice in (AUTO, each)}
    found = [_read(name, each, stacks[each]) for each, refusal in refusals.items() if not refusal]
    if not found:
        said = f"{'; '.join(refusals.values())}; supported network stacks: {', '.join(stacks)}"
        if choice != AUTO and not host_commands.which(stacks[choice].about()["program"]):
            raise host_commands.NotInstalled(said, choice)  # a stack that is asked for by its name is installed
        raise CommandExecutionError(said)
    having = [each for each in found if each.tunnel is not None]
    if len(having) > 1:
        names = " and ".join(each.stack for each in having)
        raise CommandExecutionError(f"stack: {names} have {name} in their files; expected the name of one of them")
    return having[0] if having else found[0]._replace(rivals=[each.stack for each in found[1:]])


def _refusal(stack: str, plugin: plugins.Stack) -> str:
    """Why a stack does not configure this host; an empty text if it does."""
    try:
        about = plugin.about()
        if not host_commands.which(about["program"]):
            return f"this host has no {about['program']}"
        said = host_commands.output([about["program"], *about["arguments"]], VERSION)
        found = plugin.recognise(said.stdout + said.stderr)
    except (CommandExecutionError, OSError) as error:  # a broken plug-in must not hide the others
        return str(error)
    if found == stack:
        return ""
    version = f" (it says: {said.words()})" if found == UNKNOWN else ""
    return f"the {about['program']} of this host is {found}{version}, {about['otherwise']}"


def _read(name: str, stack: str, plugin: plugins.Stack) -> Configuration:
    files = texts(plugin, name)
    return Configuration(stack, plugin, files, plugin.parse(name, files), [])


def texts(plugin: plugins.Stack, name: str = "") -> dict[str, str]:
    """
    The texts of all files that a stack reads, by path.

    plugin
        The stack's.
    name
        An interface whose own file counts as read. Without, they are those that the stack comes to by itself.
    """
    files: dict[str, str] = {}
    todo = list(plugin.roots(name))
    while todo:
        path = todo.pop(0)
        if path in files or not os.path.isfile(path):
            continue
        files[path] = host_files.read(path) or ""
        for pattern, expression in plugin.includes(path, files[path]):
            todo += [each for each in sorted(glob.glob(pattern)) if re.fullmatch(expression, posixpath.basename(each))]
    return files


def networks(stacks: Stacks) -> dict[str, str]:
    """
    The texts of all files that the stacks read that configure this host, by path.

    stacks
        The available network stacks.
    """
    found = [texts(plugin) for each, plugin in stacks.items() if not _refusal(each, plugin)]
    return {path: text for each in found for path, text in each.items()}
