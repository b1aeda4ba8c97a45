"""
Changes of this host's 6in4 tunnel: planned, applied, and undone.

A plan has the keys that :py:mod:`converge` reads, ``changes`` and ``warnings``, and those that :py:func:`apply` and
:py:func:`undo` need: ``name``; ``files``, their old and new texts; the current interface (``live``) and the wanted one
(``target``); and the stack's commands, ``up`` and ``down``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_tunnel_surroundings as tunnel_surroundings
import _dualstack_words as words
from salt.exceptions import CommandExecutionError, SaltInvocationError

PATIENCE = 120  # seconds; a hook of ifup's may hang


def wanted(tunnel: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> dict[str, Any]:
    """
    A tunnel in canonical form.

    tunnel
        As a user wrote it.
    stacks
        The available network stacks.

    Raises ``SaltInvocationError`` with all errors in it.
    """
    problems = tunnel_stack.errors(tunnel, stacks)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    return tunnel_sit.canonical(tunnel)


# --------------------------------------------------------------------------------------------------------------
# Plans


def plan_present(tunnel: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> converge.Plan:
    """
    What has to change to create a tunnel. Changes nothing.

    tunnel
        As a user wrote it.
    stacks
        The available network stacks.

    Raises ``SaltInvocationError`` for bad input and ``CommandExecutionError`` where this host cannot have that tunnel.
    """
    complete = wanted(tunnel, stacks)
    tunnel_surroundings.check_ipv6()
    seen = tunnel_host.look(complete["name"], complete["stack"], stacks)
    tunnel_surroundings.check_stack(seen)
    tunnel_surroundings.check_kernel(seen)
    tunnel_surroundings.check_interface(seen)
    route = tunnel_host.route_to(complete["endpoint"])
    complete = tunnel_host.resolved(complete, route)
    tunnel_surroundings.check_others(complete, seen)
    warnings = tunnel_surroundings.warnings(complete, seen, route["dev"])
    files = seen.configuration.plugin.present(complete, seen.configuration.files, adopt=complete["adopt"])
    return _plan(seen, files, tunnel_interface.wanted(complete), warnings)


def plan_absent(tunnel: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> converge.Plan:
    """
    What has to change to remove a tunnel. Changes nothing.

    tunnel
        As a user wrote it. Only its ``name``, ``stack`` and ``adopt`` are used.
    stacks
        The available network stacks.

    Raises ``SaltInvocationError`` for bad input and ``CommandExecutionError`` where that interface is not a tunnel, or
    not ours to remove.
    """
    given = {key: tunnel[key] for key in ("name", "stack", "adopt") if tunnel.get(key) is not None}
    tunnel_stack.check(given, stacks)
    complete = {**tunnel_sit.DEFAULTS, **given}
    seen = tunnel_host.look(complete["name"], complete["stack"], stacks)
    tunnel_surroundings.check_interface(seen)
    files = seen.configuration.plugin.absent(seen.name, seen.configuration.files, adopt=complete["adopt"])
    return _plan(seen, files, None, [])


def _plan(
    seen: tunnel_host.Sight, files: Mapping[str, str | None], target: dict[str, Any] | None, warnings: list[str]
) -> converge.Plan:
    before, plugin = seen.configuration.files, seen.configuration.plugin
    edits = {path: {"old": before.get(path), "new": text} for path, text in files.items() if before.get(path) != text}
    changes = {"files": {path: _lines(**edit) for path, edit in edits.items()}} if edits else {}
    return {
        "name": seen.name,
        "changes": {**changes, **tunnel_interface.differences(seen.live, target)},
        "warnings": warnings,
        "files": edits,
        "live": seen.live,
        "target": target,
        "up": plugin.up(seen.name),
        "down": plugin.down(seen.name),
    }


def _lines(old: str | None, new: str | None) -> dict[str, str]:
    """The lines in which two texts differ, without those that they share."""
    olds, news = _printable(old or "").splitlines(), _printable(new or "").splitlines()
    matcher = difflib.SequenceMatcher(a=olds, b=news, autojunk=False)
    spans = [span for span in matcher.get_opcodes() if span[0] != "equal"]
    return {
        "old": "absent" if old is None else "\n".join(line for _, i, j, _, _ in spans for line in olds[i:j]),
        "new": "absent" if new is None else "\n".join(line for _, _, _, i, j in spans for line in news[i:j]),
    }


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# --------------------------------------------------------------------------------------------------------------
# Writing


def apply(plan: converge.Plan) -> None:
    """
    Carry out a plan.

    plan
        From :py:func:`plan_present` or :py:func:`plan_absent`, made on this host just now.

    What can be changed in place is changed in place: addresses, routes, MTU, and the tunnel's ends. Otherwise the
    interface is taken down with the old configuration before the new one is written. Raises ``CommandExecutionError``
    with the tool's message; the host may then be half changed, which :py:func:`undo` repairs.
    """
    name, live, target = plan["name"], plan["live"], plan["target"]
    if tunnel_interface.changeable(live, target):
        _write_files(plan, "new")
        _carry_out(tunnel_interface.commands(name, live, target))
        return
    if live is not None or target is None:
        _take_down(plan)
    _write_files(plan, "new")
    if target is not None:
        _bring_up(plan)


def undo(plan: converge.Plan) -> None:
    """
    Put files and interface back as they were when a plan was made.

    plan
        A plan that was carried out, wholly or in part.

    Raises ``CommandExecutionError`` with the tool's message where that fails.
    """
    name, before = plan["name"], plan["live"]
    now = tunnel_host.live(name)
    if not tunnel_interface.changeable(now, before):
        _take_down(plan)  # even if there is no interface: ifupdown may have a record of one
        _write_files(plan, "old")
        if before is not None:
            # Whether it works or not: the stack has to record the interface again, the rest is restored below.
            host_commands.run(plan["up"], PATIENCE)
        now = tunnel_host.live(name)
    _write_files(plan, "old")
    _carry_out(tunnel_interface.commands(name, now, before))


def _take_down(plan: converge.Plan) -> None:
    """The stack's own command first, since it keeps a record; then the device, since its exit status is unreliable."""
    name = plan["name"]
    host_commands.run(plan["down"], PATIENCE)
    _carry_out(tunnel_interface.commands(name, tunnel_host.live(name), None))


def _bring_up(plan: converge.Plan) -> None:
    """Bring the interface up; only the live interface shows whether that worked."""
    said = host_commands.run(plan["up"], PATIENCE)
    left = tunnel_interface.differences(tunnel_host.live(plan["name"]), plan["target"])
    if said["retcode"] or left:
        lines = [f"'{' '.join(plan['up'])}' ended with {said['retcode']} and said: {said['said']}"]
        if left:
            lines += ["After that, the interface differed:", *words.differences(left)]
        raise CommandExecutionError("\n".join(lines))


def _carry_out(commands: list[list[str]]) -> None:
    for command in commands:
        said = host_commands.output(command)
        if said.retcode:
            raise CommandExecutionError(f"'{' '.join(command)}' failed: {said.words()}")


def _write_files(plan: converge.Plan, which: str) -> None:
    """Write the ``new`` or the ``old`` files of a plan."""
    for path, edit in plan["files"].items():
        host_files.write(path, edit[which])
