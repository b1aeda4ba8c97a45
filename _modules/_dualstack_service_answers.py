"""
Whether a service answers: on which ports and addresses, and what it says.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import _dualstack_host_time as host_time
import _dualstack_plugins as plugins
import _dualstack_service_audit as service_audit
import _dualstack_service_host as service_host
import _dualstack_service_probe as service_probe
import _dualstack_service_settings as service_settings
import _dualstack_service_verdict as service_verdict
import salt.utils.network
from salt.exceptions import CommandExecutionError

LOOPBACK = {"ipv4": "127.0.0.1", "ipv6": "::1"}  # used to ask a service that listens on all addresses
PROBE = 5.0  # seconds for one answer
LAST = 1.0  # seconds for one at the end of the time

Answers = list[dict[str, Any]]


def ask(
    known: Mapping[str, plugins.Service], name: str, settings: Mapping[str, Any], addresses: Sequence[str] | None = None
) -> Answers:
    """
    Check whether a service answers, on each family and port.

    known
        All plug-ins, by the names of their services.
    name
        The service.
    settings
        Its settings: ``ports``, by default those on which it listens for all addresses and that its configuration
        names, and ``protocols``.
    addresses
        Of this host; by default ``127.0.0.1`` and ``::1``.

    Returns the result of ``service_probe.probe`` for each: ``address``, ``port``, ``protocol``, ``answers``,
    ``banner``, ``error`` and ``seconds``. Raises ``SaltInvocationError`` for wrong settings, and
    ``CommandExecutionError`` where there is no port to ask.
    """
    service_settings.refuse({name: settings}, known)
    ports = service_settings.ports(settings) or open_ports(known, name)
    found = targets(service_host.daemon(known, name), ports, service_settings.protocols(settings), addresses)
    return service_probe.probe_all(found, PROBE)


def open_ports(known: Mapping[str, plugins.Service], name: str) -> list[int]:
    """
    The TCP ports of a service without declared ports: see :py:func:`usual_ports`.

    known
        All plug-ins, by the names of their services.
    name
        The service.

    Raises ``CommandExecutionError`` where there are none, and ``SaltInvocationError`` where there is no such service.
    """
    service_settings.refuse({name: None}, known)
    service = service_host.daemon(known, name)
    live = [each for each in service_audit.sockets(known)["sockets"] if each["service"] == name]
    ports = usual_ports(service_audit.configured(service, service_host.configuration(service)), live)
    if not ports:
        raise CommandExecutionError(f"{name} listens on no TCP port that is open to all")
    return ports


def usual_ports(configured: service_audit.Ports, live: service_audit.Sockets) -> list[int]:
    """
    The TCP ports that a service is configured for and, if it runs, that are open to all.

    configured
        Its configured listeners, by port.
    live
        Its sockets; none, if it does not run.
    """
    ports = service_verdict.by_port(live) if live else configured
    return [int(each.partition("/")[2]) for each in ports if each in configured and each.startswith("tcp/")]


def targets(
    service: service_host.Daemon,
    ports: Sequence[int],
    protocols: Mapping[int, str],
    addresses: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """
    The targets for ``service_probe.probe_all``.

    service
        The service.
    ports
        TCP ports.
    protocols
        The protocol of a port, if it is not the usual one.
    addresses
        Of this host; by default those of loopback.
    """
    spoken = {**service.about["protocols"], **protocols}
    return [
        {"address": address, "port": port, "protocol": spoken.get(port, "tcp")}
        for port in ports
        for address in addresses or LOOPBACK.values()
    ]


def public_addresses() -> list[str]:
    """
    The addresses of this host by which others reach it: all but those of loopback and link.

    Raises ``CommandExecutionError`` where there are none of one family.
    """
    four: list[str] = salt.utils.network.ip_addrs()
    six = [each for each in salt.utils.network.ip_addrs6() if not each.lower().startswith("fe80:")]
    for family, found in (("IPv4", four), ("IPv6", six)):
        if not found:
            raise CommandExecutionError(f"this host has no {family} address but those of loopback and link")
    return [*four, *six]


def silence(answers: Answers) -> str:
    """
    The errors of those that do not answer; an empty text if all do.

    answers
        From ``service_probe.probe_all``.
    """
    return "; ".join(
        f"tcp/{each['port']} on {each['address']}: {each['error']}" for each in answers if not each["answers"]
    )


def wait(whom: list[dict[str, Any]], timeout: float) -> None:
    """
    Wait until all answer.

    whom
        From :py:func:`targets`.
    timeout
        Seconds.

    Raises ``CommandExecutionError`` with the errors.
    """
    timeout = host_time.left(timeout)
    deadline = time.monotonic() + timeout
    while True:
        rest = max(deadline - time.monotonic(), LAST)
        said = silence(service_probe.probe_all(whom, min(PROBE, rest)))
        if not said:
            return
        if time.monotonic() > deadline:
            raise CommandExecutionError(f"it did not answer within {timeout:.3g} s: {said}")
        time.sleep(0.2)
