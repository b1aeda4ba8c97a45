"""
Making one service answer on both families: planned, applied, undone.

Restart, then check: a reload keeps old listeners, and no checker finds two that collide. So the new files are written
and checked, the service is restarted and asked; if it does not answer, the caller undoes the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_converge as converge
import _dualstack_families as families
import _dualstack_host_files as host_files
import _dualstack_plugins as plugins
import _dualstack_secrets_shown as secrets_shown
import _dualstack_service_answers as service_answers
import _dualstack_service_audit as service_audit
import _dualstack_service_edits as service_edits
import _dualstack_service_host as service_host
import _dualstack_service_probe as service_probe
import _dualstack_service_settings as service_settings
import _dualstack_service_verdict as service_verdict
from salt.exceptions import CommandExecutionError

PART = "service-"  # with its name: whose lock is held


def diff(
    known: Mapping[str, plugins.Service], name: str, settings: Mapping[str, Any], bindv6only: int | None = None
) -> str:
    """
    How the configuration of a service would change so that it listens on both families.

    known
        All plug-ins, by the names of their services.
    name
        The service.
    settings
        Its settings.
    bindv6only
        The value of ``net.ipv6.bindv6only`` that will hold when it starts; by default the live one.

    Returns a unified diff; an empty text where nothing has to change. Whether the service already answers does not
    matter here. Raises ``SaltException`` where it cannot be done.
    """
    service_settings.refuse({name: settings}, known)
    service = service_host.daemon(known, name)
    files = service_host.installed(service)
    value = service_audit.bindv6only() if bindv6only is None else bindv6only
    wanted = service_host.dual_stack(service, files, service_settings.own(settings), value)
    return "\n".join(_shown(service, path, files[path]["text"], text) for path, text in wanted["files"].items())


def _shown(service: service_host.Daemon, path: str, old: str, new: str) -> str:
    return secrets_shown.diff(path, old, new, service.about.get("words"))


def plan(
    known: Mapping[str, plugins.Service], name: str, settings: Mapping[str, Any], bindv6only: int | None = None
) -> converge.Plan:
    """
    What has to change so that a service answers on both families. Changes nothing.

    known
        All plug-ins, by the names of their services.
    name
        The service.
    settings
        Its settings, as in the pillar: ``ports``, the TCP ports that have to answer, by default those for all addresses
        that it is configured for, and that answer in one family at least; ``protocols``; ``timeout``; and its own.
    bindv6only
        The value of ``net.ipv6.bindv6only`` that will hold when the service starts; by default the live one.

    Returns a plan for :py:func:`apply` and :py:func:`undo`. A service that answers on both families, and will do so
    after its next start, is left alone, whatever its files say; but options other than for listening, such as Postfix's
    ``mynetworks``, always apply. One that does not run is not started: its files are converged. Raises
    ``SaltException`` where it cannot be done.
    """
    service_settings.refuse({name: settings}, known)
    service = service_host.daemon(known, name)
    options = service_settings.own(settings)
    files = service_host.installed(service)
    value = service_audit.bindv6only() if bindv6only is None else bindv6only
    seen = service_audit.sockets(known)["sockets"]
    now = _observe(service, files, seen, settings, value)
    result: converge.Plan = {
        **{"name": name, "changes": {}, "warnings": [], "files": {}, "demand": None, "restart": False},
        **{"targets": now.targets, "answered": now.answered, "sockets": now.sockets},
        "timeout": settings.get("timeout", service_settings.TIMEOUT),
    }
    both = list(families.FAMILIES)
    serving = bool(now.state) and all(each == both for each in now.state.values())
    if serving and not set(options) & set(service.about.get("always", [])):
        return result
    dual = service_host.dual_stack(service, files, options, value)
    result.update({"demand": dual["bindv6only"], "warnings": list(dual["notes"])})
    if dual["bindv6only"] not in (None, value):
        raise CommandExecutionError(
            f"{name}: it would not serve both families, or not start, where {service_audit.PARAMETER} is {value}; "
            f"this needs {dual['bindv6only']}"
        )
    if dual["bindv6only"] is not None and bindv6only is None:  # else a state before this one sets it, at the boot too
        _refuse_what_the_boot_would_not_bear(name, dual["bindv6only"], service_audit.bindv6only_at_boot())
    _refuse_what_is_left_out(service, service_edits.afterwards(files, dual["files"]), now.ports, value, dual["notes"])
    for path, text in dual["files"].items():
        result["files"].update(host_files.edit(path, files[path]["text"], text))
    if result["files"]:
        problem = service_host.check(service)
        if problem:
            raise CommandExecutionError(f"{name}: its present configuration is invalid: {problem}")
        result["changes"] = {
            path: _shown(service, path, edit.old or "", edit.new or "") for path, edit in result["files"].items()
        }
    if not now.up:
        result["warnings"].append(f"{name} is not running, and was not started: only its files are managed.")
        return result
    if not now.ports:
        result["warnings"].append(f"{name} listens on no TCP port that is open to all.")
    elif not serving:
        if not result["files"]:
            _refuse_silence(name, now)
        _refuse_taken_ports(name, now.ports, seen)
        result["changes"]["listening"] = {
            "old": {port: _words(found) for port, found in now.state.items()},
            "new": {port: _words(both) for port in now.state},
        }
    result["restart"] = bool(result["changes"])
    return result


class _Now(NamedTuple):
    """The present state of a service."""

    up: bool
    ports: list[int]  # that matter
    targets: list[dict[str, Any]]  # whom to ask
    answers: service_answers.Answers
    answered: list[dict[str, Any]]  # the targets that did
    lasting: dict[str, list[str]]  # by port, the families whose sockets are there and will be after the next start
    state: dict[str, list[str]]  # of these, those that answer
    sockets: list[int]  # inodes


def _observe(
    service: service_host.Daemon,
    files: plugins.Files,
    seen: service_audit.Sockets,
    settings: Mapping[str, Any],
    value: int,
) -> _Now:
    own = [each for each in seen if each["service"] == service.name]
    configured = service_audit.configured(service, files)
    protocols = service_settings.protocols(settings)
    up = bool(own) or service_host.running(service)
    declared = service_settings.ports(settings)
    wanted = declared or service_answers.usual_ports(configured, own)
    targets = service_answers.targets(service, wanted, protocols)
    answers = service_probe.probe_all(targets, service_answers.PROBE) if up else []
    alive = {(each["address"], each["port"]) for each in answers if each["answers"]}
    if not declared and alive:  # an undeclared port that answers in neither family does not count
        wanted = [port for port in wanted if any(number == port for _, number in alive)]
        targets = [each for each in targets if each["port"] in wanted]
        answers = [each for each in answers if each["port"] in wanted]
    live = service_verdict.by_port(own)
    lasting = {
        port: _lasting(service, live.get(port, []), configured.get(port, []), value)
        for port in (f"tcp/{number}" for number in wanted)
    }
    return _Now(
        up,
        wanted,
        targets,
        answers,
        [{key: each[key] for key in ("address", "port", "protocol")} for each in answers if each["answers"]],
        lasting,
        {
            port: [family for family in found if (service_answers.LOOPBACK[family], int(port[4:])) in alive]
            for port, found in lasting.items()
            if up
        },
        _inodes(own),
    )


def _lasting(
    service: service_host.Daemon, live: service_audit.Sockets, written: service_audit.Sockets, value: int
) -> list[str]:
    """The families whose sockets are there, and will be after the next start."""
    then = service_verdict.after_start(live, service_audit.follows(service, live, written) is not False, value)
    return [family for family in service_verdict.served(live) if family in then]


def _inodes(own: service_audit.Sockets) -> list[int]:
    return sorted(each["inode"] for each in own)


def _refuse_silence(name: str, now: _Now) -> None:
    """If sockets and files are as they should be but nothing answers, a restart at every run would not help."""
    if all(found == list(families.FAMILIES) for found in now.lasting.values()):
        said = service_answers.silence(now.answers)
        raise CommandExecutionError(f"{name} listens on both families, but does not answer: {said}")


def _words(found: list[str]) -> str:
    return " and ".join(found) or "none that would last"


def _refuse_what_is_left_out(
    service: service_host.Daemon, files: plugins.Files, wanted: list[int], value: int, notes: list[str]
) -> None:
    """Refuse before anything is changed if the new configuration would still not suffice."""
    configured = service_verdict.by_port(service_host.listeners(service, files))
    problems = []
    for number in wanted:
        listeners = configured.get(f"tcp/{number}", [])
        served = service_verdict.served(listeners, value)
        missing = " and ".join(family for family in families.FAMILIES if family not in served)
        if missing:
            problems.append(f"{service.name}: no listener on tcp/{number} is for all addresses of {missing}")
        elif service_verdict.collide(listeners, value):
            places = " and ".join(f"{each['file']}:{each['line']}" for each in listeners)
            where = f"where {service_audit.PARAMETER} is {value}"
            problems.append(f"{service.name}: the listeners on tcp/{number} collide {where}: {places}")
    if problems:
        raise CommandExecutionError("\n".join([*problems, *notes]))


def _refuse_taken_ports(name: str, wanted: list[int], seen: service_audit.Sockets) -> None:
    for each in seen:
        if each["transport"] == "tcp" and each["port"] in wanted and each["service"] not in (name, ""):
            pids = ", ".join(map(str, each["pids"]))
            raise CommandExecutionError(
                f"{name}: tcp/{each['port']} on {each['address']} is taken by {each['service']} (process {pids})"
            )


def apply(known: Mapping[str, plugins.Service], plan: converge.Plan) -> None:
    """
    Write the files of a plan, check them, restart the service and wait until it answers on both families.

    known
        All plug-ins, by the names of their services.
    plan
        From :py:func:`plan`.

    Raises ``CommandExecutionError`` with what the checker, the service or its log said, or ``OSError``.
    """
    service = service_host.daemon(known, plan["name"])
    _refuse_what_the_kernel_does_not_bear(plan)
    mark = service_host.log_mark(service)
    host_files.write(plan["files"])
    problem = service_host.check(service) if plan["files"] else ""
    if problem:
        raise CommandExecutionError(f"the new configuration is refused: {problem}")
    if not plan["restart"]:
        return
    try:
        service_host.restart(service, plan["timeout"])
        service_answers.wait(plan["targets"], plan["timeout"])
    except CommandExecutionError as error:
        lines = service_host.log_since(service, mark)
        logged = ["Its log says:", *lines] if lines else []
        raise CommandExecutionError("\n".join([f"{service.name}: {error}", *logged])) from None


def undo(known: Mapping[str, plugins.Service], plan: converge.Plan) -> list[converge.Step]:
    """
    The steps that restore the files of a plan, and restart the service until it answers as before.

    known
        All plug-ins, by the names of their services.
    plan
        A plan that was carried out, wholly or in part.
    """
    files = host_files.restoring(plan["files"])
    return [*files, lambda: _restart_again(known, plan)] if plan["restart"] else files


def _restart_again(known: Mapping[str, plugins.Service], plan: converge.Plan) -> None:
    seen = service_audit.sockets(known)["sockets"]
    if plan["sockets"] == _inodes([each for each in seen if each["service"] == plan["name"]]):
        return  # the same sockets: it was never stopped
    service_host.restart(service_host.daemon(known, plan["name"]), plan["timeout"])
    service_answers.wait(plan["answered"], plan["timeout"])


def _refuse_what_the_boot_would_not_bear(name: str, demand: int, boot: int) -> None:
    """The parameter's value has to be the one that the new listeners need, also after a reboot."""
    if boot != demand:
        raise CommandExecutionError(
            f"{name}: {service_audit.PARAMETER} is {boot} at the next boot, and has to be {demand}: else the service "
            "would lose a family, or not start; declare it in ipv6:sysctl"
        )


def _refuse_what_the_kernel_does_not_bear(plan: converge.Plan) -> None:
    """As the last one, and for the live value: a state before this one may just have set both."""
    live = service_audit.bindv6only()
    if plan["demand"] not in (None, live):
        raise CommandExecutionError(
            f"{plan['name']}: {service_audit.PARAMETER} is {live} now, and has to be {plan['demand']}: else the "
            "service would lose a family, or not start"
        )
    if plan["demand"] is not None:
        _refuse_what_the_boot_would_not_bear(plan["name"], plan["demand"], service_audit.bindv6only_at_boot())
