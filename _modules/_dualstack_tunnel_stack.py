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
import _dualstack_tunnel_manager as tunnel_manager
import _dualstack_tunnel_sit as tunnel_sit
from salt.exceptions import CommandExecutionError, SaltInvocationError

Stacks = Mapping[str, plugins.Stack]  # the plug-ins, by the names of their stacks

AUTO = "auto"


class Former(NamedTuple):
    """Another network stack that has the tunnel in its files, but does not configure this host, or shall not."""

    stack: str
    plugin: plugins.Stack
    files: dict[str, str]


class Configuration(NamedTuple):
    """One network stack's configuration of a tunnel on this host."""

    stack: str
    plugin: plugins.Stack
    files: dict[str, str]  # the texts of all files that the stack reads, by path
    tunnel: dict[str, Any] | None  # the keys of the tunnel as far as the files have them
    rivals: list[str] = []  # other stacks that could configure it as well, if none does yet
    reason: str = ""  # why it is this one; empty if it might be one of its rivals
    known: str | None = None  # by what it is seen that the stack has the tunnel up; None if that cannot be told
    deprecates: bool = True  # whether its files can make an address deprecated
    former: tuple[Former, ...] = ()  # from which the tunnel moves to this one
    unread: tuple[str, ...] = ()  # of which other stacks it is not known whether they have the tunnel, and why


class Held(NamedTuple):
    """What a stack's files say about a tunnel: read once."""

    files: dict[str, str]
    tunnel: dict[str, Any] | None


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
    elif not problems and stack in stacks and tunnel.get("dev"):
        problems += [said for said in [dev_error(stack, stacks[stack])] if said]
    if not problems and stack in stacks and tunnel.get("carrier"):
        problems += [said for said in [carrier_error(tunnel["carrier"], stack, stacks[stack])] if said]
    return problems


def carrier_error(carrier: str, stack: str, plugin: plugins.Stack) -> str:
    """
    Why a network stack cannot make a tunnel of some kind; an empty text if it can.

    carrier
        The kind, valid.
    stack, plugin
        The network stack.
    """
    able = [tunnel_sit.DEFAULTS["carrier"]]
    if carrier not in able:  # which every one can
        able = plugin.about().get("carriers", able)
    return "" if carrier in able else f"carrier: {stack} cannot configure {carrier} here; expected {' or '.join(able)}"


def dev_error(stack: str, plugin: plugins.Stack) -> str:
    """
    Why a network stack cannot bind a tunnel to a device; an empty text if it can.

    stack, plugin
        The network stack.
    """
    if plugin.about().get("binds"):
        return ""
    return (
        f"dev: {stack} cannot bind a tunnel to a device here; leave it out, and let the address choose the way: "
        "'local' with that of the uplink, and a rule for packets from there (ip rule)"
    )


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
        A stack, or ``auto``: the one that has this host's own interfaces up. Where that is none, as in a container, or
        cannot be told, it is the one that has the tunnel; if none has it, the first, with the others as its ``rivals``.
    stacks
        The available network stacks.

    Raises ``CommandExecutionError`` rather than choose a stack whose files the host does not read, or cannot parse, and
    if two have the tunnel.
    """
    managing = tunnel_manager.managing(stacks if choice == AUTO else {choice: stacks[choice]})
    held, unread = every(name, stacks)
    having = [each for each, found in held.items() if found.tunnel is not None]
    candidates = [choice] if choice != AUTO else [each for each in managing if each in having] or list(managing)
    if len(candidates) != 1 and len(managing) > 1:
        said = "; ".join(f"{each}: {reason}" for each, reason in managing.items())
        raise CommandExecutionError(f"stack: several configure this host ({said}); expected the name of one of them")
    if not candidates:
        return _by_what_is_installed(name, stacks, held, unread)
    chosen = candidates[0]
    _refuse(chosen, stacks, chosen in managing)
    reason = managing.get(chosen) if choice == AUTO else "the pillar names it"
    # Other implementations of one program read the same files, and the host has one of them.
    former = [
        Former(each, stacks[each], held[each].files)
        for each in sorted(having)
        if each != chosen and stacks[each].roots(name) != stacks[chosen].roots(name)
    ]
    return _of(name, chosen, stacks, held, unread)._replace(reason=reason or "", former=tuple(former))


def _by_what_is_installed(
    name: str, stacks: Stacks, held: Mapping[str, Held], unread: Mapping[str, str]
) -> Configuration:
    """The stack, where none has the host's own interfaces up."""
    asked: tunnel_manager.Answers = {}
    refusals = {each: tunnel_manager.refusal(each, plugin, asked=asked) for each, plugin in stacks.items()}
    found = [_of(name, each, stacks, held, unread) for each, refusal in refusals.items() if not refusal]
    if not found:
        said = "; ".join(dict.fromkeys(refusals.values()))
        raise CommandExecutionError(f"{said}; supported network stacks: {', '.join(stacks)}")
    having = [each for each in found if each.tunnel is not None]
    if len(having) > 1:
        names = " and ".join(each.stack for each in having)
        raise CommandExecutionError(f"stack: {names} have {name} in their files; expected the name of one of them")
    if having:
        return having[0]._replace(reason=f"it has {name} in its files")
    rivals = [each.stack for each in found[1:]]
    return found[0]._replace(rivals=rivals, reason="" if rivals else "this host has no other")


def _refuse(stack: str, stacks: Stacks, seen: bool) -> None:
    said = tunnel_manager.refusal(stack, stacks[stack], seen)
    if not said:
        return
    said = f"{said}; supported network stacks: {', '.join(stacks)}"
    if not host_commands.which(stacks[stack].about()["program"]):
        raise host_commands.NotInstalled(said, stack)  # a stack that is asked for by its name is installed
    raise CommandExecutionError(said)


def every(name: str, stacks: Stacks) -> tuple[dict[str, Held], dict[str, str]]:
    """
    What the files of all stacks say about a tunnel, whether they configure this host or not.

    name
        The interface.
    stacks
        The available network stacks.

    Returns what each of them has, and for those whose files cannot be read, why.
    """
    held, unread = {}, {}
    for each, plugin in stacks.items():
        try:
            files = texts(plugin, name)
            held[each] = Held(files, plugin.parse(name, files))
        except (CommandExecutionError, OSError) as error:  # it must not hide the others
            unread[each] = str(error)
    return held, unread


def _of(name: str, stack: str, stacks: Stacks, held: Mapping[str, Held], unread: Mapping[str, str]) -> Configuration:
    if stack in unread:
        raise CommandExecutionError(unread[stack])
    plugin = stacks[stack]
    known = tunnel_manager.knows(plugin, tunnel_manager.interface(name))
    said = tuple(f"whether {each} has {name} as well is not known: {why}" for each, why in unread.items())
    deprecates = bool(plugin.about().get("deprecates", True))
    return Configuration(stack, plugin, *held[stack], known=known, deprecates=deprecates, unread=said)


def texts(plugin: plugins.Stack, name: str = "") -> dict[str, str]:
    """
    The texts of all files that a stack reads, by path.

    plugin
        The stack's.
    name
        An interface whose own file counts as read. Without, they are those that the stack comes to by itself.
    """
    files: dict[str, str] = {}
    todo = [each for pattern in plugin.roots(name) for each in sorted(glob.glob(pattern))]
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
    found = [texts(plugin) for each, plugin in stacks.items() if not tunnel_manager.refusal(each, plugin)]
    return {path: text for each in found for path, text in each.items()}
