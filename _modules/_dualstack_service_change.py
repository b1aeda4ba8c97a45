"""
Making one service the same in both families: planned, applied, undone.

Restart, then check: a reload keeps old listeners, and no checker finds two that collide. So the new files are written
and checked, the service is restarted and asked; if it does not answer, the caller undoes the change.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_converge as converge
import _dualstack_families as families
import _dualstack_host_files as host_files
import _dualstack_mail_ask as mail_ask
import _dualstack_service_sending as service_sending
import _dualstack_plugins as plugins
import _dualstack_secrets_shown as secrets_shown
import _dualstack_service_audit as service_audit
import _dualstack_service_edits as service_edits
import _dualstack_service_host as service_host
import _dualstack_service_judgement as service_judgement
import _dualstack_service_place as service_place
import _dualstack_service_questions as service_questions
import _dualstack_service_settings as service_settings
import _dualstack_service_verdict as service_verdict
import _dualstack_transaction_journal as transaction_journal
from salt.exceptions import CommandExecutionError, SaltException

BOTH = list(families.FAMILIES)
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
    known: Mapping[str, plugins.Service],
    name: str,
    settings: Mapping[str, Any],
    bindv6only: int | None = None,
    place: service_place.Place | None = None,
    lookups: mail_ask.Lookups | None = None,
) -> converge.Plan:
    """
    What has to change so that a service is over IPv6 what it is over IPv4. Changes nothing.

    known
        All plug-ins, by the names of their services.
    name
        The service.
    settings
        Its settings, as in the pillar: ``ports``, the TCP ports that have to answer, by default those that it is
        configured for and that others can connect to; ``protocols``; ``names``; ``probe``; ``timeout``; and its own.
    bindv6only
        The value of ``net.ipv6.bindv6only`` that will hold when the service starts; by default the live one.
    place
        Where others find this host; by default on all of its addresses.
    lookups
        Asks the DNS about a service that sends mail; by default this host's resolver. A plan that is made again needs
        the same one, as an answer that fails to come is no change of the host.

    Returns a plan for :py:func:`apply` and :py:func:`undo`. A service that is the same in both families, and will be so
    after its next start, keeps its listeners, whatever its files say; what a name of it lacks, and companions such as
    Postfix's ``mynetworks``, always apply. One that does not run is not started: its files are converged. Raises
    ``SaltException`` where it cannot be done.
    """
    service_settings.refuse({name: settings}, known)
    service = service_host.daemon(known, name)
    files = service_host.installed(service)
    value = service_audit.bindv6only() if bindv6only is None else bindv6only
    seen = service_audit.sockets(known)["sockets"]
    now = _observe(service_questions.view(service, files, seen, settings, place or service_place.here()), value)
    result: converge.Plan = {
        **{"name": name, "changes": {}, "warnings": service_judgement.remarks(now.verdicts), "files": {}},
        **{"demand": None, "restart": False, "complaints": frozenset(), "settings": settings, "place": now.view.place},
        **{"answered": service_judgement.answered(now.verdicts), "sockets": _inodes(now.view.sockets)},
        "probed": sorted(
            {address for each in now.verdicts for own in each.question.addresses.values() for address in own}
        ),
        "timeout": settings.get("timeout", service_settings.TIMEOUT),
    }
    if now.serving and bindv6only is None:
        result["warnings"] += _lost_at_boot(now.view, value, service_audit.bindv6only_at_boot())
    if not now.serving:  # also where it does not run: it could not start, and somebody else would be taken for it
        _refuse_taken_ports(service, now.view.ports, seen)
    options = service_settings.own(settings)
    if sending := service_sending.decided(service, files, settings, now.view.place, lookups or mail_ask.Lookups()):
        options["send"] = sending.send
        result["warnings"] += sending.lines
    texts = _texts(service, files, now, value, bindv6only, result, options)
    for path, text in texts.items():
        result["files"].update(host_files.edit(path, files[path]["text"] if path in files else None, text))
    if result["files"]:
        found = service_host.check(service)
        if found.error:
            raise CommandExecutionError(f"{name}: its present configuration is invalid: {found.error}")
        result["complaints"] = found.complaints
        result["changes"] = {
            path: _shown(service, path, edit.old or "", edit.new or "") for path, edit in result["files"].items()
        }
    if not now.up:
        result["warnings"].append(f"{name} is not running, and was not started: only its files are managed.")
        return result
    if not now.view.ports:
        result["warnings"].append(f"{name} listens on no TCP port that is open to all.")
    elif not now.serving:
        _refuse_what_cannot_be_asked(now)
        after = service_edits.afterwards(files, texts)
        _refuse_silence(now, _unhelped(now, files, after) if texts else now.faults, result["warnings"])
        result["changes"].update(_promised(now))
    result["restart"] = bool(result["changes"])
    return result


class _Now(NamedTuple):
    """The present state of a service."""

    view: service_questions.View
    up: bool
    verdicts: list[service_judgement.Verdict]
    lasting: dict[int, list[str]]  # by port, the families whose sockets are there and will be after the next start
    faults: list[str]  # why it is not the same in both families

    @property
    def serving(self) -> bool:
        """Whether it is the same in both families now, and will be after its next start."""
        return self.up and not self.faults and all(found == BOTH for found in self.lasting.values())


def _observe(view: service_questions.View, value: int) -> _Now:
    up = bool(view.sockets) or service_host.running(view.service)
    verdicts = service_judgement.of_service(view) if up else []
    lasting = {port: _lasting(view, port, value) for port in view.ports}
    return _Now(view, up, verdicts, lasting, service_judgement.faults(verdicts))


def _lasting(view: service_questions.View, port: int, value: int) -> list[str]:
    """The families whose sockets are there, and will be after the next start."""
    live, written = view.live.get(port, []), view.written.get(port, [])
    wide = [each for each in live if service_verdict.wildcard(each["address"])]
    then = service_verdict.after_start(wide, service_audit.follows(view.service, wide, written) is not False, value)
    single = service_place.served([each for each in live if each not in wide], view.place)
    lasting = [family for family in service_verdict.served(wide) if family in then]
    return [family for family in families.FAMILIES if family in lasting or family in single]


def _lost_at_boot(view: service_questions.View, value: int, boot: int) -> list[str]:
    """What a service that is right now would lose by a kernel parameter that has another value after the next boot."""
    lost = [port for port in view.ports if _lasting(view, port, value) == BOTH != _lasting(view, port, boot)]
    if value == boot or not lost:
        return []
    ports = ", ".join(f"tcp/{port}" for port in lost)
    return [
        f"{view.service.name}: {service_audit.PARAMETER} is {value} now and {boot} at the next boot, after which it "
        f"would lose a family on {ports}, or not start: declare it in ipv6:sysctl"
    ]


def _inodes(own: service_audit.Sockets) -> list[int]:
    return sorted(each["inode"] for each in own)


def _texts(
    service: service_host.Daemon,
    files: plugins.Files,
    now: _Now,
    value: int,
    declared: int | None,
    result: converge.Plan,
    options: dict[str, Any],
) -> Mapping[str, str]:
    """The new texts of the files that have to change; what stands in the way of it is refused."""
    site = {"names": now.view.place.names, "addresses": now.view.place.addresses}
    try:
        dual = service_host.dual_stack(service, files, options, value, site)
    except SaltException as error:
        if not now.serving or set(options) & set(service.about.get("always", [])):
            raise
        result["warnings"].append(f"{service.name}: what its files lack is not known: {error}")
        return {}
    lacking = _lacking(now, dual)
    if now.serving and not set(options) & set(service.about.get("always", [])):
        result["warnings"] += [
            each for each in dual["notes"] if not each.endswith("left alone")
        ]  # what it may not let in
        _refuse_the_missing(service.name, lacking)
        always: Mapping[str, str] = dual["always"]
        return always
    result.update({"demand": dual["bindv6only"], "warnings": [*result["warnings"], *dual["notes"]]})
    if dual["bindv6only"] not in (None, value):
        raise CommandExecutionError(
            f"{service.name}: it would not serve both families, or not start, where {service_audit.PARAMETER} is "
            f"{value}; this needs {dual['bindv6only']}"
        )
    if dual["bindv6only"] is not None and declared is None:  # else a state before this one sets it, at the boot too
        _refuse_what_the_boot_would_not_bear(service.name, dual["bindv6only"], service_audit.bindv6only_at_boot())
    _refuse_the_missing(service.name, lacking)
    _refuse_what_is_left_out(now.view, service_edits.afterwards(files, dual["files"]), value, dual["notes"])
    texts: Mapping[str, str] = dual["files"]
    return texts


def _lacking(now: _Now, dual: Mapping[str, Any]) -> list[str]:
    """What has no IPv6 and cannot be given it, as far as it concerns the names that others use."""
    names = set(now.view.place.names)
    return [
        each["said"]
        for each in dual["missing"]
        if not names or not each["names"] or names & set(each["names"])
        if not (each.get("unknown") and _shown_by_sockets(now.view, each["port"]))
    ]


def _shown_by_sockets(view: service_questions.View, port: int | None) -> bool:
    """Whether the sockets of a port, or of all, are in both families, whatever the host name they come from."""
    ports = [port] if port else list(view.live)
    return bool(ports) and all(service_place.served(view.live.get(each, []), view.place) == BOTH for each in ports)


def _refuse_the_missing(name: str, lacking: list[str]) -> None:
    if lacking:
        raise CommandExecutionError("\n".join(f"{name}: {each}" for each in lacking))


def _unhelped(now: _Now, files: plugins.Files, after: plugins.Files) -> list[str]:
    """
    What is wrong with names that answer in both families, and whose part of the configuration is not about to change: a
    restart would not help. Where the plug-in does not tell the families of a site, any may be helped.
    """
    old, new = (_families(now.view.service, each) for each in (files, after))
    helped = {each for each, found in new.items() if set(found) - set(old.get(each, []))}
    stuck = [
        each
        for each in now.verdicts
        if each.wrong
        and each.families == BOTH
        and (each.question.port, each.question.name) in old
        and (each.question.port, each.question.name) not in helped
    ]
    return service_judgement.faults(stuck)


def _families(service: service_host.Daemon, files: plugins.Files) -> dict[tuple[int, str], list[str]]:
    """The families in which each name is served on each port, by the configuration; as far as the plug-in tells."""
    found: dict[tuple[int, str], list[str]] = {}
    for each in service_host.sites(service, files):
        for port, own in each.get("families", {}).items():
            for name in each["names"]:
                found[port, name] = [*found.get((port, name), []), *own]
    return found


def _refuse_silence(now: _Now, unhelped: list[str], notes: list[str]) -> None:
    """
    A restart does not help where a port that somebody listens on answers in neither family: what is wrong with it, or
    with the question, is not what is about to change. Nor does it help where sockets and files are as they should be.
    """
    name = now.view.service.name
    live = now.view.live
    silent = [each for each in now.verdicts if not each.families and live.get(each.question.port)]
    said = [each for each in service_judgement.faults(silent) if each in now.faults]
    if said:
        hint = (
            f"what is asked, and how, can be said in ipv6:services:{name}:probe, and in names and protocols beside it"
        )
        raise CommandExecutionError("\n".join(f"{name}: {each}" for each in [*said, hint]))
    if unhelped and all(found == BOTH for found in now.lasting.values()):
        told = [f"{name} listens on both families, but {each}" for each in unhelped]
        raise CommandExecutionError("\n".join(dict.fromkeys([*told, *notes])))


def _promised(now: _Now) -> dict[str, Any]:
    """What will be otherwise when the service has started again: the families of ports, and what names are answered."""
    answering = {
        port: [
            family
            for family in found
            if any(family in each.families for each in now.verdicts if each.question.port == port)
        ]
        for port, found in now.lasting.items()
    }
    found: dict[str, Any] = {}
    if any(each != BOTH for each in answering.values()):
        found["listening"] = {
            "old": {f"tcp/{port}": _words(each) for port, each in answering.items()},
            "new": {f"tcp/{port}": _words(BOTH) for port in answering},
        }
    differing = [
        service_judgement.title(each.question)
        for each in now.verdicts
        if each.wrong and answering[each.question.port] == BOTH
    ]
    if differing:
        found["answering"] = {
            "old": dict.fromkeys(differing, "not the same over IPv6"),
            "new": dict.fromkeys(differing, "the same in both families"),
        }
    return found


def _words(found: list[str]) -> str:
    return " and ".join(found) or "none that would last"


def _refuse_what_cannot_be_asked(now: _Now) -> None:
    """Where IPv6 has no address to ask at, and none that is about to come, no restart could be shown to help."""
    place = now.view.place
    if not (place.held["ipv6"] or place.chosen or service_audit.loopback6()):
        raise CommandExecutionError(
            f"{now.view.service.name}: it cannot be asked over IPv6: this host has no IPv6 address, not even ::1 (is "
            "net.ipv6.conf.lo.disable_ipv6 set?)"
        )


def _refuse_what_is_left_out(view: service_questions.View, files: plugins.Files, value: int, notes: list[str]) -> None:
    """Refuse before anything is changed if the new configuration would still not suffice."""
    configured = service_place.by_port(service_host.listeners(view.service, files), view.place)
    problems = []
    for number in view.ports:
        listeners = configured.get(number, [])
        served = service_place.served(listeners, view.place, value)
        missing = " and ".join(family for family in families.FAMILIES if family not in served)
        if missing:
            where = f"for all addresses of {missing}"
            if view.place.chosen and missing == "ipv6":
                where += f", or {', '.join(view.place.addresses['ipv6'])}"
            problems.append(f"{view.service.name}: no listener on tcp/{number} is {where}")
        elif not view.service.about.get("shares_ports") and service_verdict.collide(listeners, value):
            places = " and ".join(f"{each['file']}:{each['line']}" for each in listeners)
            where = f"where {service_audit.PARAMETER} is {value}"
            problems.append(f"{view.service.name}: the listeners on tcp/{number} collide {where}: {places}")
    if problems:
        raise CommandExecutionError("\n".join([*problems, *notes]))


def _refuse_taken_ports(service: service_host.Daemon, wanted: list[int], seen: service_audit.Sockets) -> None:
    lent = service_questions.lent(service, seen)
    for each in lent:
        if each["port"] in wanted:
            raise CommandExecutionError(
                f"{service.name}: {each['unit']} listens on tcp/{each['port']} for it, so its own files do not "
                "count; name "
                f"the unit in ipv6:services:{service_audit.SYSTEMD}:units"
            )
    for each in seen:
        if each["transport"] == "tcp" and each["port"] in wanted and each["service"] not in (service.name, ""):
            raise CommandExecutionError(
                f"{service.name}: tcp/{each['port']} on {each['address']} is taken by {each['holder']}"
            )


def before(known: Mapping[str, plugins.Service], plan: converge.Plan) -> list[transaction_journal.Image]:
    """
    That the service ran, and how it is started again, for the restorer.

    known
        All plug-ins, by the names of their services.
    plan
        From :py:func:`plan`.
    """
    if not plan["restart"]:
        return []
    service = service_host.daemon(known, plan["name"])
    own = service_host.restarting(service, service_settings.own(plan["settings"]))
    words = [service.name, service.about["init"], f"{plan['timeout']:.0f}", " && ".join(map(shlex.join, own))]
    return [transaction_journal.Image(("service", *words))]


def apply(known: Mapping[str, plugins.Service], plan: converge.Plan) -> None:
    """
    Write the files of a plan, check them, restart the service and wait until it is the same in both families.

    known
        All plug-ins, by the names of their services.
    plan
        From :py:func:`plan`.

    Raises ``CommandExecutionError`` with what the checker, the service or its log said, or ``OSError``.
    """
    service = service_host.daemon(known, plan["name"])
    refuse_what_the_kernel_does_not_bear(plan)
    _refuse_an_address_that_is_not_here(plan)
    mark = service_host.log_mark(service)
    host_files.write(plan["files"])
    if plan["files"]:
        _refuse_a_bad_configuration(service, plan)
    if not plan["restart"]:
        return
    try:
        service_host.restart(service, plan["timeout"], service_settings.own(plan["settings"]))
        files = service_host.installed(service)

        def view() -> service_questions.View:
            seen = service_audit.sockets(known)["sockets"]
            return service_questions.view(service, files, seen, plan["settings"], plan["place"])

        service_judgement.wait(view, plan["timeout"])
    except CommandExecutionError as error:
        lines = service_host.log_since(service, mark, plan["probed"])
        logged = ["Its log says:", *lines] if lines else []
        raise CommandExecutionError("\n".join([f"{service.name}: {error}", *logged])) from None


def _refuse_an_address_that_is_not_here(plan: converge.Plan) -> None:
    """A daemon that is to bind the published address would not start without it; while predicting, it may come yet."""
    place = plan["place"]
    absent = [each for each in place.addresses["ipv6"] if each not in place.held["ipv6"]]
    for edit in plan["files"].values():
        for each in absent:
            if (edit.new or "").count(each) > (edit.old or "").count(each):
                raise CommandExecutionError(f"{plan['name']}: this host does not have {each}, which is to listen there")


def _refuse_a_bad_configuration(service: service_host.Daemon, plan: converge.Plan) -> None:
    """What the checker did not complain about before is not a habit of this host."""
    found = service_host.check(service)
    problem = found.error or "; ".join(sorted(found.complaints - plan["complaints"]))
    if problem:
        raise CommandExecutionError(f"the new configuration is refused: {problem}")


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
    own = service_settings.own(plan["settings"])
    service_host.bring_back(service_host.daemon(known, plan["name"]), plan["timeout"], own)
    service_judgement.wait_for(plan["answered"], plan["timeout"])


def _refuse_what_the_boot_would_not_bear(name: str, demand: int, boot: int) -> None:
    """The parameter's value has to be the one that the new listeners need, also after a reboot."""
    if boot != demand:
        raise CommandExecutionError(
            f"{name}: {service_audit.PARAMETER} is {boot} at the next boot, and has to be {demand}: else the service "
            "would lose a family, or not start; declare it in ipv6:sysctl"
        )


def refuse_what_the_kernel_does_not_bear(plan: converge.Plan) -> None:
    """
    Raise ``CommandExecutionError`` where ``net.ipv6.bindv6only`` is not what the new listeners need, now and at boot.

    plan
        From :py:func:`plan`. Under ``test=True`` a state before this one would have set the value by now.
    """
    live = service_audit.bindv6only()
    if plan["demand"] not in (None, live):
        raise CommandExecutionError(
            f"{plan['name']}: {service_audit.PARAMETER} is {live} now, and has to be {plan['demand']}: else the "
            "service would lose a family, or not start"
        )
    if plan["demand"] is not None:
        _refuse_what_the_boot_would_not_bear(plan["name"], plan["demand"], service_audit.bindv6only_at_boot())
