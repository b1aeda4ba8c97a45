"""
The services of the next boot beside those that run now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_boot_parameters as boot_parameters
import _dualstack_boot_units as boot_units
import _dualstack_boot_verdict as boot_verdict
import _dualstack_converge as converge
import _dualstack_errors as errors
import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import _dualstack_service_settings as service_settings
from salt.exceptions import SaltException

TARGET = ".target"  # groups units; that it is enabled says nothing about any


def look(services: Mapping[str, Any], known: Mapping[str, plugins.Service]) -> converge.Finding:
    """
    Whether the next boot starts each service that runs now.

    services
        The pillar ``ipv6:services``, valid.
    known
        All plug-ins, by the names of their services.

    Changes nothing.
    """
    told = Told([], [], list(boot_parameters.listeners()), [])
    for name, options in services.items():
        try:
            _one(name, dict(options or {}), known, told)
        except (SaltException, OSError) as error:
            told.untried.append(f"{name}: whether the boot starts it is not known: {errors.said(error)}")
    fine = [f"the boot starts {', '.join(told.started)}"] if told.started else []
    return boot_verdict.of("; ".join([*fine, *told.idle]), told.problems, told.untried)


class Told(NamedTuple):
    """What is said about services: those that are started, those that neither run nor are started, and the rest."""

    started: list[str]
    idle: list[str]
    problems: list[str]
    untried: list[str]


def _one(name: str, options: dict[str, Any], known: Mapping[str, plugins.Service], told: Told) -> None:
    service = service_host.daemon(known, name)
    script = service.about["init"]
    if not script:
        units = _sockets(service, options)
        wanted = "the pillar has it" if options.get("units") or options.get("ports") else "it is up now"
        for unit in units:
            _judge(unit, unit, boot_units.start([unit]), wanted, told)
        if not units and service_settings.ports(options):
            told.untried.append(f"{name}: no unit listens on its ports in the pillar")
        elif not units:
            told.idle.append(f"{name} listens for nothing now")
        return
    start = boot_units.start([each for each in service.about["units"] if not each.endswith(TARGET)], script)
    if start.starts is not True and not service_host.running(service):
        then = "the boot does not start it" if start.starts is False else "whether the boot starts it is not known"
        told.idle.append(f"{name} does not run now, and {then} ({start.why})")
    else:
        _judge(name, script, start, "it runs now", told)


def _judge(name: str, unit: str, start: boot_units.Start, wanted: str, told: Told) -> None:
    if start.starts:
        told.started.append(name)
    elif start.starts is None:
        told.untried.append(f"{name}: {wanted}, and whether the boot starts it is not known: {start.why}")
    else:
        said = f"{name}: {wanted}, and the boot does not start it"
        told.problems.append(f"{said}: {start.why}: {boot_units.advice(unit)}")


def _sockets(service: service_host.Daemon, options: dict[str, Any]) -> list[str]:
    """The socket units that systemd listens with: those of the pillar and of its ports, or else those that are up."""
    units = list(options.get("units") or [])
    ports = service_settings.ports(options)
    if units and not ports:
        return units
    told = service_host.listeners(service, service_host.configuration(service))
    named = [(each["note"].partition(":")[0], each["port"]) for each in told if each["port"]]
    if ports:
        return list(dict.fromkeys([*units, *(unit for unit, port in named if port in ports)]))
    return [unit for unit in boot_units.sockets() if unit in dict(named)]
