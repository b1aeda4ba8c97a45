"""
A kernel parameter, live and for the next boot: planned, applied, and undone.

The live value is set first: the kernel alone can say whether it takes a value, and what it refuses never gets into a
file. Whoever is killed in between leaves a host that the next boot makes as it was, and the next run as declared.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from typing import Any

import _dualstack_converge as converge
import _dualstack_host_files as host_files
import _dualstack_host_sysctl as host_sysctl
import _dualstack_host_sysctl_boot as host_sysctl_boot
import _dualstack_pillar_parts as pillar_parts
import _dualstack_sysctl_text as sysctl_text
import _dualstack_sysctl_values as sysctl_values
import _dualstack_transaction_journal as transaction_journal
from salt.exceptions import CommandExecutionError

PART = "sysctl"  # whose lock is held
BOUND = 60.0  # seconds
HARMLESS = 0  # the kernel's own net.ipv6.bindv6only, which it has again once no file sets it


def change(wanted: Callable[[], converge.Plan]) -> converge.Change:
    """
    How the states of this room are converged.

    wanted
        Makes the plan.
    """
    return converge.Change(PART, wanted, apply, undo, lambda: BOUND, before)


def plan(name: str, value: str, file: str) -> converge.Plan:
    """
    How a parameter gets a value.

    name
        The parameter.
    value
        Its value.
    file
        The file that sets it at boot, if no other one does so already.

    Raises ``CommandExecutionError`` where there cannot be such a parameter, and where another file would have the last
    word at boot; ``OSError`` where it cannot be set here.
    """
    if reason := pillar_parts.not_there(name):
        raise CommandExecutionError(f"{name}: {reason}")
    place, live = host_sysctl.place(name), host_sysctl.live(name)
    warnings = []
    changes: dict[str, Any] = {}
    if live is None:
        warnings = [f"{place} is not there yet: a run after its module or interface has come sets it"]
    elif not sysctl_values.same(live, value):
        host_sysctl.refuse(name)
        changes[place] = {"old": sysctl_values.shown(name, live), "new": sysctl_values.shown(name, value)}
    files = _at_boot(name, value, file)
    for path, edit in files.items():
        changes[path] = _shown(name, edit)
    return {"changes": changes, "warnings": warnings, "files": files, "name": name, "value": value, "live": live}


def _at_boot(name: str, value: str, file: str) -> host_files.Edits:
    now = host_sysctl.boot(name)
    if now and now.value is not None and sysctl_values.same(now.value, value):
        return {}
    if os.path.realpath(file) == os.devnull:
        raise CommandExecutionError(f"{file}: it is masked, a link to {os.devnull}: remove it, or name another file")
    old = host_files.read(file)
    new = sysctl_text.with_value(old, name, value)
    then = host_sysctl.boot(name, file, new)
    if then is None or then.value is None or not sysctl_values.same(then.value, value):
        raise CommandExecutionError(_beaten(name, file, then))
    return host_files.edit(file, old, new)


def _beaten(name: str, file: str, by: host_sysctl_boot.Setting | None) -> str:
    """Why a line in a file has no effect at boot."""
    program = "systemd-sysctl" if host_sysctl.by_systemd() else "sysctl --system"
    if by is None or os.path.realpath(file) not in map(os.path.realpath, host_sysctl.files(file)):
        return f"{file}: {program} does not read it at boot: name a file in /etc/sysctl.d"
    value = "nothing" if by.value is None else repr(sysctl_values.shown(name, by.value))
    return (
        f"{name}: at boot, {by.file}:{by.line} would set it to {value}, after {file}: "
        "remove that line, or name that file in ipv6:lookup:sysctl_file"
    )


def _shown(name: str, edit: host_files.Edit) -> dict[str, str]:
    old, new = ("\n".join(sysctl_text.said(text, name)) or "absent" for text in (edit.old, edit.new))
    return {"old": old, "new": new}


def before(made: converge.Plan) -> list[transaction_journal.Image]:
    """
    The live value as it was, for the restorer.

    made
        The plan.
    """
    place = host_sysctl.place(made["name"])
    return [transaction_journal.Image(("parameter", place, made["live"]))] if place in made["changes"] else []


def apply(made: converge.Plan) -> None:
    """
    Carry a plan out.

    made
        The plan.

    Raises ``CommandExecutionError`` if the kernel does not take the value, or takes it for another one; ``Moved``,
    which is one, if somebody else has changed the parameter or the file meanwhile; and ``OSError``.
    """
    if host_sysctl.place(made["name"]) in made["changes"]:
        _set(made)
    host_files.write(made["files"])


def _set(made: converge.Plan) -> None:
    name, value, place = made["name"], made["value"], host_sysctl.place(made["name"])
    made["taken"] = value  # from here on it may be what is live
    try:
        host_sysctl.write(name, made["live"], value)
    except host_files.Moved:
        del made["taken"]
        raise
    except OSError as error:
        made["taken"] = host_sysctl.live(name)  # of several numbers it may have taken the first ones
        if error.errno not in (errno.EINVAL, errno.ERANGE):
            raise
        refused = repr(sysctl_values.shown(name, value))
        raise CommandExecutionError(f"{place}: the kernel does not take {refused}: {error.strerror}") from None
    made["taken"] = taken = host_sysctl.live(name)
    if taken is None or not sysctl_values.same(taken, value):
        given, found = (repr(sysctl_values.shown(name, each or "")) for each in (value, taken))
        raise CommandExecutionError(f"{place}: the kernel makes {found} of {given}: declare it as it is there")


def undo(made: converge.Plan) -> list[converge.Step]:
    """
    The steps that restore the state before a plan was applied, in whole or in part.

    made
        The plan.
    """
    changed = host_sysctl.place(made["name"]) in made["changes"]
    live = [functools.partial(_put_back, made)] if changed else []
    return [*live, *host_files.restoring(made["files"])]


def _put_back(made: converge.Plan) -> None:
    now, ours = host_sysctl.live(made["name"]), made.get("taken")
    if now == made["live"]:
        return
    if now is None or ours is None or not sysctl_values.same(now, ours):
        raise host_files.Moved(host_sysctl.place(made["name"]))
    if not made["live"]:  # a stable_secret, which the kernel does not forget
        place = host_sysctl.place(made["name"])
        raise CommandExecutionError(f"{place}: it had no value, and keeps this one until the next boot")
    host_sysctl.write(made["name"], now, made["live"])


def plan_absent(name: str, file: str) -> converge.Plan:
    """
    How a file no longer sets a parameter at boot. The live value stays, and other files.

    name
        The parameter.
    file
        The file.

    Raises ``OSError``, and ``CommandExecutionError`` where it cannot be replaced.
    """
    old = host_files.read(file)
    files = {} if old is None else host_files.edit(file, old, sysctl_text.without(old, name))
    changes = {path: _shown(name, edit) for path, edit in files.items()}
    return {"changes": changes, "warnings": [], "files": files, "name": name}


def kept(name: str, file: str, harmed: Callable[[int], list[str]]) -> converge.Finding:
    """
    Whether a file has to go on setting a parameter, since a service now depends on it.

    name
        The parameter.
    file
        The file.
    harmed
        Which services a value of ``net.ipv6.bindv6only`` would harm, one sentence for each.

    The comment says why; it is empty if the parameter need not be kept.
    """
    depends = name == pillar_parts.LISTENERS and sysctl_text.said(host_files.read(file), name)
    harms = harmed(HARMLESS) if depends else []
    said = [f"{name} stays in {file}. With the kernel's own {HARMLESS}, at its next start:", *harms]
    return converge.Finding(bool(harms), "\n".join(said) if harms else "")
