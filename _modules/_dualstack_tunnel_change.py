"""
Changes of this host's 6in4 tunnel: planned, applied, and undone.

A plan has the keys that :py:mod:`converge` reads, ``changes`` and ``warnings``, and those that :py:func:`apply` and
:py:func:`undo` need: ``name``; ``files``, their old and new texts; the current interface (``live``) and the wanted one
(``target``); and the commands of the stack, and of those from which the tunnel moves to it.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import shlex
import time
from collections.abc import Mapping
from typing import Any

import _dualstack_broker_complete as broker_complete
import _dualstack_converge as converge
import _dualstack_dns_memory as dns_memory
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_host_sysctl as host_sysctl
import _dualstack_plugins as plugins
import _dualstack_transaction_journal as transaction_journal
import _dualstack_secrets_said as secrets_said
import _dualstack_secrets_shown as secrets_shown
import _dualstack_tunnel_advertisements as tunnel_advertisements
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_keys as tunnel_keys
import _dualstack_tunnel_others as tunnel_others
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_tunnel_surroundings as tunnel_surroundings
import _dualstack_tunnel_way_back as tunnel_way_back
import _dualstack_words as words
from salt.exceptions import CommandExecutionError, SaltInvocationError

PART = "tunnel"  # whose lock is held
BOUND = 360.0  # seconds for all of it
MODE = 0o644  # of a file of our own
WORDS = (*tunnel_sit.DEFAULTS, *tunnel_sit.REQUIRED, "source")  # that a diff shows, whatever the stack
PATIENCE = 120  # seconds; a hook of ifup's may hang
LOOK = 0.1  # seconds between two looks at an interface on which a stack works
# Seconds for a stack that brings an interface up and goes on working when it says that it is done, before all is put
# back: NetworkManager tries for so long again to add a route that the kernel refuses at first (nm-l3cfg.c).
UP = 20.0


def wanted(tunnel: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> dict[str, Any]:
    """
    A tunnel in canonical form.

    tunnel
        As a user wrote it.
    stacks
        The available network stacks.

    Raises ``SaltInvocationError`` with all errors in it.
    """
    tunnel = broker_complete.recalled(tunnel)
    problems = tunnel_stack.errors(tunnel, stacks)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    return tunnel_sit.canonical(tunnel)


# --------------------------------------------------------------------------------------------------------------
# Plans


def plan_present(
    tunnel: Mapping[str, Any],
    stacks: tunnel_stack.Stacks,
    promised: Mapping[str, Any] | None = None,
    peers: tunnel_way_back.Peers = list,
) -> converge.Plan:
    """
    What has to change to create a tunnel. Changes nothing.

    tunnel
        As a user wrote it.
    stacks
        The available network stacks.
    promised
        The kernel parameters that states before this one would have set by now, if they did more than predict.
    peers
        Everybody whom this host must not lose.

    Raises ``SaltInvocationError`` for bad input and ``CommandExecutionError`` where this host cannot have that tunnel.
    """
    complete = wanted(tunnel, stacks)
    tunnel_surroundings.check_ipv6(complete["name"], promised or {})
    seen = tunnel_host.look(complete["name"], complete["stack"], stacks)
    tunnel_surroundings.check_stack(seen)
    tunnel_surroundings.check_carrier(complete, seen)
    tunnel_surroundings.check_dev(complete, seen)
    tunnel_surroundings.check_kernel(seen, complete["carrier"])
    tunnel_surroundings.check_interface(seen, complete["carrier"])
    complete, shared = tunnel_surroundings.beside_lan(complete, seen)
    tunnel_surroundings.check_local(complete, seen)
    route = tunnel_host.route_to(complete["endpoint"], complete["local"], complete["dev"])
    tunnel_surroundings.check_tunnels(complete, seen, tunnel_others.found(seen.links, stacks))
    tunnel_surroundings.check_others(complete, seen)
    warnings = [*seen.configuration.unread, *shared, *tunnel_surroundings.warnings(complete, seen, route)]
    files = seen.configuration.plugin.present(filed(complete), seen.configuration.files, adopt=complete["adopt"])
    if not complete["dev"]:  # another file may bind it, which stays
        complete = {**complete, "dev": _bound(seen, files)}
    target, kept = _renumbered(seen, tunnel_host.wanted(complete, seen.configuration))
    warnings += kept
    warnings += tunnel_way_back.check(seen.name, seen.live, target, peers)
    return _plan(seen, {**_left(seen, complete["adopt"], filed(complete)), **files}, target, warnings)


def filed(tunnel: dict[str, Any]) -> dict[str, Any]:
    """
    A tunnel as files have it: without an address of the moment.

    tunnel
        In canonical form.
    """
    return tunnel if tunnel["local"] != tunnel_stack.AUTO else {**tunnel, "local": tunnel_interface.ANY}


def _bound(seen: tunnel_host.Sight, files: Mapping[str, str | None]) -> str | None:
    """The device that the tunnel is bound to by the files as they will be."""
    after = {path: text for path, text in {**seen.configuration.files, **files}.items() if text is not None}
    return (seen.configuration.plugin.parse(seen.name, after) or {}).get("dev")


def _left(seen: tunnel_host.Sight, adopt: bool, wanted: dict[str, Any] | None = None) -> dict[str, str | None]:
    """The files from which the tunnel goes, those of other stacks than its own: two would bring it up."""
    for each in seen.configuration.former:
        if wanted is not None and adopt:
            each.plugin.present(wanted, each.files, adopt=adopt)  # refuses where a line would be lost
    return {
        path: text
        for each in seen.configuration.former
        for path, text in each.plugin.absent(seen.name, each.files, adopt=adopt).items()
    }


def plan_absent(
    tunnel: Mapping[str, Any], stacks: tunnel_stack.Stacks, peers: tunnel_way_back.Peers = list
) -> converge.Plan:
    """
    What has to change to remove a tunnel. Changes nothing.

    tunnel
        As a user wrote it. Only its ``name``, ``stack``, ``adopt`` and ``carrier`` are used.
    stacks
        The available network stacks.
    peers
        Everybody whom this host must not lose.

    Raises ``SaltInvocationError`` for bad input and ``CommandExecutionError`` where that interface is not a tunnel, not
    ours to remove, or the only way to somebody who manages this host.
    """
    given = {key: tunnel[key] for key in ("name", "stack", "adopt", "carrier") if tunnel.get(key) is not None}
    tunnel_stack.check(given, stacks)
    complete = {**tunnel_sit.DEFAULTS, **given}
    seen = tunnel_host.look(complete["name"], complete["stack"], stacks)
    tunnel_surroundings.check_interface(seen, complete["carrier"])
    tunnel_surroundings.check_makers(seen, tunnel_others.found(seen.links, stacks))
    files = seen.configuration.plugin.absent(seen.name, seen.configuration.files, adopt=complete["adopt"])
    files = {**_left(seen, complete["adopt"]), **files}
    warnings = [*seen.configuration.unread, *tunnel_way_back.check(seen.name, seen.live, None, peers)]
    return _plan(seen, files, None, warnings)


def _renumbered(seen: tunnel_host.Sight, target: tunnel_host.Interface) -> tuple[tunnel_host.Interface, list[str]]:
    """The interface to be, with the old addresses that DNS still leads to, and a warning about each of these."""
    old = [each.partition("/")[0] for each in tunnel_interface.undeclared(seen.live, target)]
    published = dns_memory.recall() if old else {}
    names = {each: [name for name, held in published.items() if each in held] for each in old}
    target = tunnel_interface.renumbered(seen.live, target, [each for each in old if names[each]])
    staying = [each.partition("/")[0] for each in target["addresses"]]
    return target, [
        f"{each} stays on {seen.name} for a day, deprecated: DNS may still lead to it ({', '.join(names[each])})"
        for each in old
        if each in staying and names[each]
    ]


def _plan(
    seen: tunnel_host.Sight, files: Mapping[str, str | None], target: dict[str, Any] | None, warnings: list[str]
) -> converge.Plan:
    stack, former = seen.configuration, seen.configuration.former
    # Those that had it before, and the one that has it then.
    every = [*former, tunnel_stack.Former(stack.stack, stack.plugin, stack.files)]
    before = {path: text for each in every for path, text in each.files.items()}
    abouts = [each.plugin.about() for each in every]
    edits: host_files.Edits = {}
    # Several stacks have the same mark: whose a file is, says who reads it. One that is new is of the last.
    owners = {path: about for each, about in zip(every, abouts) for path in each.files}
    own = {path: text for path, text in before.items() if _mode(text, owners[path])}
    for path, text in {**own, **files}.items():  # our own file even if its text is right: its mode may not be
        edits.update(host_files.edit(path, before.get(path), text, _mode(text, owners.get(path, abouts[-1]))))
    known = [word for each in abouts for word in _known(each, seen.name, edits)]
    changes = {"files": {path: _shown(edit, known) for path, edit in edits.items()}} if edits else {}
    settings, said = _settings(seen, target)
    about, here = abouts[-1], plugins.commands
    record = tunnel_host.record(seen, target is not None)
    differences = tunnel_interface.differences(seen.live, target)
    in_place = (
        tunnel_interface.changeable(seen.live, target)
        and not former
        and not differences.get("link", {}).keys() & {*about.get("fixed", [])}
        and not (record and "record" not in about.get("offers", []))
    )
    offered = about.get("offers", [])
    # Where no address is deprecated, their order decides, and only the stack can restore that.
    asked = edits or (differences.get("addresses") and not stack.deprecates)
    return {
        "name": seen.name,
        "changes": {**changes, **differences, **({"settings": settings} if settings else {}), **record},
        "settings": settings,
        "settled": False,  # whether they may have been made
        "warnings": [*warnings, *said],
        "files": edits,
        "live": seen.live,
        "keys": tunnel_keys.files(seen.configuration.tunnel),  # by which that is made again
        "target": target,
        "in_place": in_place,  # otherwise it is taken down, if it is up, and brought up
        "up": here(stack.plugin.up(seen.name)),
        "down": here(stack.plugin.down(seen.name)),
        # Of the stack that has it now, which may be another one.
        "was": [[here(each.plugin.up(seen.name)), here(each.plugin.down(seen.name))] for each in every],
        "changed": here(stack.plugin.changed(seen.name)) if asked and "changed" in offered else [],
        # By these, those that had it before forget what is in their files no longer.
        "left": [
            command
            for each in former
            if "changed" in each.plugin.about().get("offers", [])
            for command in here(each.plugin.changed(seen.name))
        ],
        "record": here(stack.plugin.record(seen.name)) if record and "record" in offered else [],
        # By which the stack that has it up now knows it again, if it is put back by others.
        "known": here(stack.plugin.record(seen.name)) if stack.known and "record" in offered and not former else [],
        "settles": float(about.get("settles", 0.0)),  # seconds
        "touched": False,  # whether the interface may have been changed
    }


def _mode(text: str | None, about: Mapping[str, Any]) -> int | None:
    """The permissions of a file of our own; of others they stay."""
    if about.get("mark") and text is not None and text.startswith(about["mark"]):
        return int(about.get("mode", MODE))
    return None


def _settings(seen: tunnel_host.Sight, target: dict[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    """The kernel parameters of an interface that stays, and why they cannot be set. A new one has its files."""
    stays = target is not None and tunnel_interface.changeable(seen.live, target)
    found = tunnel_advertisements.differences(seen.name) if stays else {}
    refused = tunnel_advertisements.refused(seen.name) if found else ""
    return ({}, [refused]) if refused else (found, [])


def _known(about: Mapping[str, Any], name: str, edits: host_files.Edits) -> list[str]:
    """The words of the files that are no secrets."""
    return [*WORDS, *about.get("words", []), name, *edits, *re.findall(r"\w+", about.get("mark", ""))]


def _shown(edit: host_files.Edit, known: list[str]) -> dict[str, Any]:
    return {**(_lines(edit.old, edit.new, known) if edit.old != edit.new else {}), **host_files.mode_change(edit)}


def _lines(old: str | None, new: str | None, known: list[str]) -> dict[str, str]:
    """The lines in which two texts differ, without those that they share, and without secrets."""
    olds, news = (old or "").split("\n"), (new or "").split("\n")
    matcher = difflib.SequenceMatcher(a=olds, b=news, autojunk=False)
    spans = [span for span in matcher.get_opcodes() if span[0] != "equal"]
    return {
        "old": "absent" if old is None else _spans(olds, [(i, j) for _, i, j, _, _ in spans], known),
        "new": "absent" if new is None else _spans(news, [(i, j) for _, _, _, i, j in spans], known),
    }


def _spans(lines: list[str], spans: list[tuple[int, int]], known: list[str]) -> str:
    return "\n".join(
        line.rstrip() for start, end in spans for line in secrets_shown.span(lines, start, end, known)
    ).rstrip("\n")


def before(plan: converge.Plan) -> list[transaction_journal.Image]:
    """
    How the interface was, for the restorer: the commands that lead back to it.

    plan
        The plan.
    """
    name, live, target = plan["name"], _former(plan), plan["target"]
    parameters = [
        transaction_journal.Image(("parameter", host_sysctl.place(each), change["old"]))
        for each, change in plan["settings"].items()
    ]
    if not tunnel_interface.differences(live, target) and plan["in_place"]:
        return parameters
    back = tunnel_interface.commands(name, target, live) if plan["in_place"] else tunnel_interface.again(name, live)
    flags = ["yes" if each else "no" for each in (live is not None, plan["in_place"])]
    stack = [_in_sh(plan["was"][0][0]), _in_sh([*plan["down"], *plan["was"][0][1]])]
    text = "".join(f"{shlex.join(each)}\n" for each in back)
    return [transaction_journal.Image(("link", name, *flags, *stack), {"link": text}), *parameters]


def _former(plan: converge.Plan) -> dict[str, Any] | None:
    """The interface as it was, with the files of its keys, which cannot be seen."""
    return {**plan["live"], "keys": plan["keys"]} if plan["live"] is not None else None


def _in_sh(commands: list[list[str]]) -> str:
    return "; ".join(shlex.join(each) for each in commands)


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
    if tunnel_host.live(name) != live:
        raise host_files.Moved(f"the interface {name}", "link", "addresses", "routes")
    plan["touched"] = True
    if plan["in_place"]:
        host_files.write(plan["files"])
        _change(plan)
        plan["settled"] = True
        tunnel_advertisements.settle(plan["settings"])
        return
    if live is not None or target is None or plan["was"][:-1]:
        _take_down(plan)
    host_files.write(plan["files"])
    _run(plan["left"])
    if target is None:
        _run(plan["changed"])
        _carry_out(tunnel_interface.commands(name, tunnel_host.live(name), None))  # a stack may have made it anew
        return
    _bring_up(plan)
    _quieten(plan)


def _change(plan: converge.Plan) -> None:
    """What the stack does not do itself when its files have changed is done after it."""
    name, target = plan["name"], plan["target"]
    if plan["changed"]:
        _run(plan["changed"])
        _await(plan)
    _carry_out(tunnel_interface.commands(name, tunnel_host.live(name), target))
    for each in plan["record"]:
        said = host_commands.run(each, PATIENCE)
        if said.retcode:
            raise CommandExecutionError(said.sentence)


def _run(commands: list[list[str]]) -> None:
    """Commands whose exit status tells nothing: the live interface does."""
    for each in commands:
        with contextlib.suppress(host_commands.NotInstalled):  # of a stack from which the host has gone
            host_commands.run(each, PATIENCE)


def _await(plan: converge.Plan, least: float = 0.0) -> dict[str, Any]:
    """Give the stack its time, if it takes any; what still differs then."""
    end = time.monotonic() + (plan["settles"] and max(plan["settles"], least))
    while True:
        left = tunnel_interface.differences(tunnel_host.live(plan["name"]), plan["target"])
        if not left or time.monotonic() >= end:
            return left
        time.sleep(LOOK)


def _quieten(plan: converge.Plan) -> None:
    """A stack's files may not say what a new interface does with router advertisements."""
    found = tunnel_advertisements.differences(plan["name"])
    refused = tunnel_advertisements.refused(plan["name"]) if found else ""
    if refused:
        plan["warnings"].append(refused)
    else:
        tunnel_advertisements.settle(found)


def undo(plan: converge.Plan) -> list[converge.Step]:
    """
    The steps that put files and interface back as they were when a plan was made.

    plan
        A plan that was carried out, wholly or in part.
    """
    files = host_files.restoring(plan["files"])
    if plan["settled"]:
        files.append(lambda: tunnel_advertisements.unsettle(plan["settings"]))
    return [lambda: _take_down_again(plan), *files, lambda: _bring_back(plan)] if plan["touched"] else files


def _take_down_again(plan: converge.Plan) -> None:
    """What cannot be changed back in place is taken down with the configuration by which it came up."""
    now = tunnel_host.live(plan["name"])
    if not (plan["in_place"] and tunnel_interface.changeable(now, plan["live"])):
        _run(plan["down"])  # even if there is no interface: ifupdown may have a record of one
        _carry_out(tunnel_interface.commands(plan["name"], tunnel_host.live(plan["name"]), None))


def _bring_back(plan: converge.Plan) -> None:
    name, before = plan["name"], _former(plan)
    if not plan["in_place"] and (before is None or plan["was"][:-1]):
        _run(plan["changed"])  # it forgets what was in its files in the meantime
    if before is not None and tunnel_host.live(name) is None:
        # Whether it works or not: a hook of the stack's may fail, and it has to know the interface all the same.
        _run(plan["was"][0][0])
        _await({**plan, "target": before})
        _carry_out(tunnel_interface.commands(name, tunnel_host.live(name), before))
        _run(plan["known"])
    elif plan["in_place"]:
        _run(plan["changed"])
        _await({**plan, "target": before})
    _carry_out(tunnel_interface.commands(name, tunnel_host.live(name), before))


def _take_down(plan: converge.Plan) -> None:
    """The stack's own command first, since it keeps a record; then the device, since its exit status is unreliable."""
    for _, down in plan["was"]:
        _run(down)
    _carry_out(tunnel_interface.commands(plan["name"], tunnel_host.live(plan["name"]), None))


def _bring_up(plan: converge.Plan) -> None:
    """Bring the interface up; only the live interface shows whether that worked."""
    texts = [text for each in plan["files"].values() for text in (each.old, each.new) if text]
    secrets = secrets_said.of(texts)
    said = [
        host_commands.run(each, PATIENCE, hide=lambda text: secrets_said.without(text, secrets)) for each in plan["up"]
    ]
    failed = [each.sentence for each in said if each.retcode]
    left = _await(plan, 0.0 if failed else UP)
    if failed or left:
        lines = failed or [each.sentence for each in said]
        if left:
            lines += ["After that, the interface differed:", *words.differences(left)]
        raise CommandExecutionError("\n".join(lines))


def _carry_out(commands: list[list[str]]) -> None:
    for command in commands:
        said = host_commands.output(command)
        if said.retcode:
            raise host_commands.CommandFailed(" ".join(command), said.retcode, said.words())
