"""
Changes of the IPv6 that a hoster routes to this host: planned, applied, and undone.

A plan has the keys that :py:mod:`converge` reads, ``changes`` and ``warnings``, and those that :py:func:`apply` and
:py:func:`undo` need: ``native``, in canonical form; ``files``, their old and new texts; ``live``, what the interface
has of what is declared; and ``steps``, its changes.

The files are for the next boot: no network stack is told of them, since that might take the interface down by which
this host is reached. What differs live is changed with ip(8). Where a stack reads what is rendered from its files, that
is rendered: it may configure the interface anew for somebody else, and must find the address then.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_native_files as native_files
import _dualstack_native_host as native_host
import _dualstack_native_interface as native_interface
import _dualstack_native_settings as native_settings
import _dualstack_plugins as plugins
import _dualstack_transaction_journal as transaction_journal
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_tunnel_surroundings as tunnel_surroundings
import _dualstack_tunnel_way_back as tunnel_way_back
from salt.exceptions import CommandExecutionError

PART = "native"  # whose lock is held
MODE = 0o644  # of a file of our own
LIVE = ("addresses", "routes")
PATIENCE = 60.0  # seconds for a command of the stack


def plan_present(
    native: Mapping[str, Any],
    stacks: tunnel_stack.Stacks,
    promised: Mapping[str, Any] | None = None,
    peers: tunnel_way_back.Peers = list,
) -> converge.Plan:
    """
    What has to change for the interface to have its addresses and its default route, now and at the next boot. Changes
    nothing.

    native
        As a user wrote it.
    stacks
        The available network stacks.
    promised
        The kernel parameters that states before this one would have set by now, if they did more than predict.
    peers
        Everybody whom this host must not lose.

    Raises ``SaltInvocationError`` for bad input and ``CommandExecutionError`` where this host cannot have that.
    """
    complete = native_settings.canonical(native)
    tunnel_surroundings.check_ipv6(complete["interface"], promised or {})
    seen = native_host.look(complete, stacks)
    native_host.check_link(seen)
    now = native_interface.live(seen.native, seen.link, seen.routes)
    target = native_interface.wanted(seen.native, now)
    native_host.check_live(seen, now, target)
    left = native_files.lacking(seen.native, seen.facts)
    if left["metric"] is None and target["routes"]:
        left["metric"] = int(target["routes"][0].split()[-1])  # as it is live, or else our own
    files = seen.configuration.plugin.native_files(left, seen.host)
    warnings = [*native_host.warnings(seen, now), *native_host.scripted(seen.native)]
    return _plan(seen, files, now, target, warnings, peers)


def plan_absent(
    native: Mapping[str, Any], stacks: tunnel_stack.Stacks, peers: tunnel_way_back.Peers = list
) -> converge.Plan:
    """
    What has to change so that nothing is left of what a file of ours has configured. Changes nothing.

    native
        As a user wrote it. Only its ``interface`` and ``stack`` are used.
    stacks
        The available network stacks.
    peers
        Everybody whom this host must not lose.

    What others' files have stays, and so does all of an interface without a file of ours. Raises as
    :py:func:`plan_present` does.
    """
    given = {key: native[key] for key in ("interface", "stack") if native.get(key) is not None}
    asked = {**native_settings.DEFAULTS, **given}
    native_settings.check(asked, tuple(given) + ("interface",))
    seen = native_host.look(asked, stacks)
    own = native_files.only_ours(seen.facts)
    addresses = [each["address"] for each in own if each["address"]]
    gateways = [each["gateway"] for each in own if each["gateway"]]
    metrics = [each.get("metric") for each in own if each["gateway"]]
    declared = {**seen.native, "addresses": addresses, "gateway": "".join(gateways[:1]), "metric": None, "source": None}
    routes = [
        each
        for each in seen.routes
        if each.get("protocol") != native_interface.ADVERTISED and each.get("metric") in metrics
    ]
    seen = seen._replace(native=declared, routes=routes)
    now = native_interface.live(declared, seen.link, seen.routes)
    files = seen.configuration.plugin.native_files(native_files.nothing(declared), seen.host)
    return _plan(seen, files, now, native_interface.without(now, addresses, True), [], peers)


def _plan(
    seen: native_host.Sight,
    files: Mapping[str, str | None],
    now: native_interface.View,
    target: native_interface.View,
    warnings: list[str],
    peers: tunnel_way_back.Peers,
) -> converge.Plan:
    name = seen.native["interface"]
    steps = native_interface.differences(now, target)
    if steps:
        ways = [native_interface.interface(seen.link, each) for each in (now, target)]
        warnings = [*warnings, *tunnel_way_back.check(name, ways[0], ways[1], peers, tunnel=False)]
    before = seen.configuration.files
    about = seen.configuration.plugin.about()
    edits: host_files.Edits = {}
    for path, text in files.items():
        mode = int(about.get("mode", MODE)) if _ours(before.get(path), text) else None
        edits.update(host_files.edit(path, before.get(path), text, mode))
    if any(each.old != each.new for each in edits.values()):
        warnings = [*warnings, *native_host.asked_anew(seen)]
    changes = {"files": {path: _shown(path, edit) for path, edit in edits.items()}} if edits else {}
    return {
        "name": name,
        "changes": {**changes, **steps},
        "warnings": warnings,
        "files": edits,
        "native": seen.native,
        "stack": seen.configuration.stack,
        "boot": about.get("boot"),  # what starts that at boot
        "rendering": _rendering(seen) if edits else [],
        "live": now,
        "steps": steps,
        "touched": False,  # whether the interface may have been changed
    }


def _rendering(seen: native_host.Sight) -> list[list[str]]:
    plugin = seen.configuration.plugin
    offered = "native_changed" in plugin.about().get("offers", [])
    return plugins.commands(plugin.native_changed(seen.native, seen.host)) if offered else []


def _ours(*texts: str | None) -> bool:
    return any(text is not None and text.startswith(native_files.MARK) for text in texts)


def _shown(path: str, edit: host_files.Edit) -> dict[str, Any]:
    """A file of ours as a whole; of another one, the lines that come or go, which are ours as well."""
    if edit.old == edit.new:
        return host_files.mode_change(edit)
    olds, news = ((text or "").splitlines() for text in (edit.old, edit.new))
    if _ours(edit.old, edit.new):
        old, new = ("absent" if text is None else text.rstrip("\n") for text in (edit.old, edit.new))
        return {"old": old, "new": new, **host_files.mode_change(edit)}
    old, new = ("\n".join(each for each in one if each not in other) for one, other in ((olds, news), (news, olds)))
    return {"old": old or "absent", "new": new or "absent"}


def before(plan: converge.Plan) -> list[transaction_journal.Image]:
    """
    How the interface was, for the restorer: the commands that lead back to it. The link itself stays.

    plan
        The plan.
    """
    back = native_interface.commands(plan["name"], native_interface.back(plan["steps"]))
    text = "".join(f"{shlex.join(each)}\n" for each in back)
    stays = ["yes", "yes", ":", ":"]  # it was there, and is changed in place: nothing brings it up or down
    stays += ["; ".join(map(shlex.join, plan["rendering"]))] if plan["rendering"] else []
    return [transaction_journal.Image(("link", plan["name"], *stays), {"link": text})] if back or stays[4:] else []


def apply(plan: converge.Plan) -> None:
    """
    Carry out a plan.

    plan
        From :py:func:`plan_present` or :py:func:`plan_absent`, made on this host just now.

    Raises ``CommandExecutionError`` with the tool's message; the host may then be half changed, which :py:func:`undo`
    repairs.
    """
    if native_host.live(plan["native"]) != plan["live"]:
        raise host_files.Moved(f"the interface {plan['name']}", *LIVE)
    plan["touched"] = bool(plan["steps"])
    host_files.write(plan["files"])
    _carry_out(native_interface.commands(plan["name"], plan["steps"]))
    if plan["steps"]:
        native_host.await_addresses(plan["native"])
    _render(plan)


def _render(plan: converge.Plan) -> None:
    for command in plan["rendering"]:
        said = host_commands.run(command, PATIENCE, shown=f"{plan['stack']}, which renders {plan['name']}")
        if said.retcode:
            raise CommandExecutionError(said.sentence)


def undo(plan: converge.Plan) -> list[converge.Step]:
    """
    The steps that put files and interface back as they were when a plan was made.

    plan
        A plan that was carried out, wholly or in part.
    """
    files = [*host_files.restoring(plan["files"]), *([lambda: _render(plan)] if plan["rendering"] else [])]
    return [lambda: _put_back(plan), *files] if plan["touched"] else files


def _put_back(plan: converge.Plan) -> None:
    """What has not come about need not go."""
    now = native_host.live(plan["native"])
    held = {**now["addresses"], **dict.fromkeys(now["routes"], native_interface.PRESENT)}
    left = {
        part: {thing: each for thing, each in things.items() if held.get(thing, native_interface.ABSENT) != each["new"]}
        for part, things in native_interface.back(plan["steps"]).items()
    }
    _carry_out(native_interface.commands(plan["name"], left))


def _carry_out(commands: list[list[str]]) -> None:
    for command in commands:
        said = host_commands.output(command)
        if said.retcode:
            raise host_commands.CommandFailed(" ".join(command), said.retcode, said.words())
