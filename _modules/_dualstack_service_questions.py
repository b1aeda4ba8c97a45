"""
What a service is asked: on which ports and addresses, in which protocol, and by which names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_addresses as service_addresses
import _dualstack_service_audit as service_audit
import _dualstack_service_host as service_host
import _dualstack_service_place as service_place
import _dualstack_service_settings as service_settings
import _dualstack_service_verdict as service_verdict
from salt.exceptions import CommandExecutionError

# What knows no names: its answer is the same whatever it is asked by.
NAMELESS = ("tcp", "ssh", "ftp", "mysql", "postgresql", "dns")

At = Mapping[int, service_place.Addresses]  # by port


class Question(NamedTuple):
    """One port, asked by one name (or none) on addresses of both families; ``options`` are those of the probe."""

    port: int
    protocol: str
    name: str
    addresses: service_place.Addresses
    options: Mapping[str, Any]


class View(NamedTuple):
    """One service, as far as it can be seen without asking it."""

    service: service_host.Daemon
    settings: Mapping[str, Any]
    place: service_place.Place
    live: dict[int, service_place.Sockets]  # its sockets that others can connect to, by port
    written: dict[int, service_place.Sockets]  # its configured listeners, likewise
    sites: dict[int, list[str]]  # the names that it is configured for, by port
    ports: list[int]  # those that matter
    sockets: service_place.Sockets  # all of its sockets
    foreign: dict[int, list[str]]  # by port, who else would answer there: sentences


def view(
    service: service_host.Daemon,
    files: plugins.Files,
    seen: service_audit.Sockets,
    settings: Mapping[str, Any],
    place: service_place.Place,
) -> View:
    """
    What can be seen of a service.

    service
        The service.
    files
        Its configuration.
    seen
        All sockets of this host.
    settings
        Its settings.
    place
        Where others find this host.

    Without declared ports, those count that it is configured for and, if it runs, that others can connect to.
    """
    own = [each for each in seen if each["service"] == service.name]
    live = service_place.by_port([*own, *lent(service, seen)], place)
    told = service_host.told(service, files)
    units = settings.get("units")  # of systemd: those that the pillar names
    written = service_place.by_port(
        [each for each in told if not units or each["note"].partition(":")[0] in units], place
    )
    # What a host name stands for is shown by the sockets.
    by_name = {each["port"] for each in told if service_addresses.version(service_place.plain(each["address"])) is None}
    usual = [port for port in (live if own else written) if port in written or port in by_name]
    named = place._replace(names=service_settings.names(settings) or place.names)
    ports = service_settings.ports(settings) or usual
    foreign = {port: _foreign(service, port, service_place.asked(live.get(port, []), place), seen) for port in ports}
    return View(service, settings, named, live, written, _sites(service, files), ports, own, foreign)


def lent(service: service_host.Daemon, seen: service_audit.Sockets) -> service_place.Sockets:
    """
    The sockets that systemd holds for a service: those of the socket unit of the same name.

    service
        The service.
    seen
        All sockets of this host.
    """
    units = {f"{each.rpartition('.')[0]}.socket" for each in service.about["units"]}
    return [each for each in seen if each.get("unit") in units]


def _foreign(
    service: service_host.Daemon, port: int, addresses: service_place.Addresses, seen: service_audit.Sockets
) -> list[str]:
    """Who else answers on the addresses that are asked: the socket of a single address gets what comes to it."""
    held = lent(service, seen)
    at = [each for each in seen if each["transport"] == "tcp" and each["port"] == port]
    said = []
    for family, own in addresses.items():
        for address in own:
            single = [each for each in at if service_place.plain(each["address"]) == address]
            wide = [each for each in at if service_verdict.wildcard(each["address"]) and family in each["families"]]
            for each in single or wide:
                if each["service"] not in ("", service.name) and each not in held:
                    said.append(f"on {address} is {each['holder']}, not {service.name}")
    return list(dict.fromkeys(said))


def of(
    known: Mapping[str, plugins.Service], name: str, settings: Mapping[str, Any], place: service_place.Place
) -> View:
    """
    The same for a service of which nothing has been read yet.

    known
        All plug-ins, by the names of their services.
    name
        The service.
    settings, place
        As for :py:func:`view`.

    Raises ``SaltInvocationError`` for wrong settings, and ``CommandExecutionError`` where there is no port to ask.
    """
    service_settings.refuse({name: settings}, known)
    service = service_host.daemon(known, name)
    seen = service_audit.sockets(known)["sockets"]
    files = service_host.configuration(service)
    found = view(service, files, seen, settings, place)
    if not found.ports:
        raise CommandExecutionError(f"{name} listens on no TCP port that is open to all")
    return found


def questions(seen: View, at: At | None = None) -> list[Question]:
    """
    What the service is asked: on each of its ports, by each name that was declared, or else by those that it is
    configured for there.

    seen
        The service.
    at
        The addresses at which its ports are asked; by default those of the place that each is on.
    """
    names = {port: seen.place.names or seen.sites.get(port, []) for port in seen.ports}
    return [each for port in seen.ports for each in _of_port(seen, port, names[port], at)]


def again(seen: View, silent: Iterable[int], at: At | None = None) -> list[Question]:
    """
    What is asked where a port does not know the names that were declared: those that it is configured for.

    seen
        The service.
    silent
        The ports that have not answered.
    at
        As for :py:func:`questions`.
    """
    if not seen.place.names:
        return []
    further = {port: [each for each in seen.sites.get(port, []) if each not in seen.place.names] for port in silent}
    return [each for port, names in further.items() if names for each in _of_port(seen, port, names, at)]


def _of_port(seen: View, port: int, names: Sequence[str], at: At | None) -> list[Question]:
    options = service_settings.probe(seen.settings, port)
    spoken = protocol(seen, port)
    own = options.pop("name", None)
    called = [own] if own else [] if spoken in NAMELESS else names
    addresses = at[port] if at else service_place.asked(seen.live.get(port, []), seen.place)
    return [Question(port, spoken, name, addresses, options) for name in called or [""]]


def protocol(seen: View, port: int) -> str:
    """
    What is spoken on a port: by the pillar, or by the service's configuration, or else by its usual ports.

    seen
        The service.
    port
        TCP.
    """
    configured = [each["protocol"] for each in seen.written.get(port, []) if each.get("protocol")]
    usual = seen.service.about["protocols"].get(port, "tcp")
    found: str = service_settings.protocols(seen.settings).get(port) or next(iter(configured), usual)
    return found


def targets(question: Question) -> list[dict[str, Any]]:
    """
    A question as ``service_probe.probe_all`` takes it: IPv4 first.

    question
        The question.
    """
    asked = {"port": question.port, "protocol": question.protocol, "name": question.name, **question.options}
    return [{**asked, "address": each} for own in question.addresses.values() for each in own]


def _sites(service: service_host.Daemon, files: plugins.Files) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for each in service_host.sites(service, files):
        for port in each["ports"]:
            names = found.setdefault(port, [])
            names += [name for name in each["names"] if name not in names]
    return found
