"""
Whether others reach this host: it cannot test that itself, so another host is asked to connect to it.

The prober is a minion of the same master, or the master. A minion needs no preparation: it runs Salt's own
``network.connect``. The master runs the runner ``outside_view.connect``, since Salt's own, ``salt.cmd``, would let its
callers run anything on the master.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_converge as converge
import _dualstack_plugins as plugins
import _dualstack_service_place as service_place
import _dualstack_service_questions as service_questions
import _dualstack_service_settings as service_settings
import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltInvocationError

CONNECT = 5  # seconds for one connection
PATIENCE = 20  # seconds for the answer of the prober, or the master
MASTER = "master"


class Master(NamedTuple):
    """The way to the master, which alone can make another host connect; and the options of this minion."""

    publish: Callable[..., Any]  # publish.publish
    runner: Callable[..., Any]  # publish.runner
    opts: Mapping[str, Any]


def reach(
    known: Mapping[str, plugins.Service],
    master: Master,
    prober: str | None,
    services: Mapping[str, Any],
    address: str | None = None,
) -> converge.Finding:
    """
    Make another host connect to each service of this one, on the addresses of both families.

    known
        All plug-ins, by the names of their services.
    master
        The way to the master.
    prober
        The id of a minion, or ``master``. Without one, nothing is proven, and the finding says so.
    services
        As in the pillar ``ipv6:services``: their ``ports``, by default those that they are configured for and that
        are open to all.
    address
        The IPv6 address that is published; by default all global ones of this host.

    Raises ``CommandExecutionError`` with what to do where the prober cannot be asked.
    """
    if prober is None:
        words = "skipped: no prober is named; whether this host is reachable from outside is not proven"
        return converge.Finding(True, words)
    for key, value in (("prober", prober), ("address", address)):
        for each in errors(master.opts["id"], **{key: value}):
            raise SaltInvocationError(f"{key}: {each}")
    if not services:
        return converge.Finding(True, f"skipped: no service is declared that {prober} could connect to")
    place = service_place.here([], address)
    place = place._replace(held=place.addresses)  # whether this host has it is what others find out
    service_place.refuse_one_family(place)
    private = list(filter(service_place.private, salt.utils.network.ip_addrs()))
    lines = []
    connects: dict[str, list[bool]] = {}
    for name, settings in services.items():
        for port, found in _asked(known, name, settings or {}, place):
            for each in (address for own in found.values() for address in own if address not in private):
                done, said = connect(master, prober, each, port)
                connects.setdefault("ipv6" if ":" in each else "ipv4", []).append(done)
                lines.append(f"{name}: tcp/{port} on {each}: {said}")
    lines += [f"{each} is a private address, which {prober} did not test" for each in private]
    if "ipv6" in connects and not any(connects["ipv6"]):
        lines.append(f"{prober} reaches nothing over IPv6: does it have IPv6 itself?")
    return converge.Finding(all(map(all, connects.values())), "\n".join([f"tested from {prober}:", *lines]))


def _asked(
    known: Mapping[str, plugins.Service], name: str, settings: Mapping[str, Any], place: service_place.Place
) -> Iterator[tuple[int, service_place.Addresses]]:
    """The ports of a service, and the addresses at which each is tried. One with declared ports needs no plug-in."""
    if name not in known and service_settings.ports(settings):
        yield from ((port, place.held) for port in service_settings.ports(settings))
        return
    seen = service_questions.of(known, name, settings, place)
    yield from ((port, service_place.asked(seen.live.get(port, []), place)) for port in seen.ports)


def connect(master: Master, prober: str, address: str, port: int) -> tuple[bool, str]:
    """
    Make another host open one connection.

    master
        The way to the master.
    prober
        The id of a minion, or ``master``.
    address
        Of this host.
    port
        TCP.

    Returns whether it connects, and its message. Raises ``CommandExecutionError`` with what to do where the prober
    cannot be asked.
    """
    if "master_uri" not in master.opts:
        raise CommandExecutionError(f"this host has no master now, and only a master could make {prober} connect to it")
    family = "ipv6" if salt.utils.network.is_ipv6(address) else "ipv4"
    # As keywords, so that no part of an address is parsed as a number or a keyword.
    arguments = [{"host": address, "port": port, "family": family, "timeout": CONNECT, "__kwarg__": True}]
    answer = _ask_master(master, arguments) if prober == MASTER else _ask_minion(master, prober, arguments)
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), bool):
        raise CommandExecutionError(f"{prober} could not be asked to connect: {answer}")
    return answer["result"], "connects" if answer["result"] else str(answer["comment"])


def _ask_minion(master: Master, prober: str, arguments: list[Any]) -> Any:
    started = time.monotonic()
    found = master.publish(prober, "network.connect", arguments, tgt_type="list", timeout=PATIENCE)
    if found is None:
        raise CommandExecutionError(f"prober: the master knows no minion {prober}, or has not accepted its key")
    if found == {} and time.monotonic() - started < PATIENCE:
        # The master does not refuse explicitly: it returns nothing.
        permission = f"peer:\n  {master.opts['id']}:\n    - network.connect"
        raise CommandExecutionError(
            f"the master does not let this host ask {prober}; it needs in its configuration:\n{permission}"
        )
    if found == {}:
        raise CommandExecutionError(f"{prober} did not answer within {PATIENCE} s: does it run?")
    return found.get(prober) if isinstance(found, dict) else found


def _ask_master(master: Master, arguments: list[Any]) -> Any:
    found = master.runner("outside_view.connect", arguments, timeout=PATIENCE)
    if found == {}:
        permission = f"peer_run:\n  {master.opts['id']}:\n    - outside_view.connect"
        raise CommandExecutionError(
            f"the master does not let this host ask it; it needs in its configuration:\n{permission}"
        )
    if isinstance(found, str) and "is not available" in found:
        raise CommandExecutionError(
            f"the master lacks the runner: run 'salt-run saltutil.sync_runners' there ({found})"
        )
    return found


def errors(minion: str, prober: Any = None, address: Any = None) -> list[str]:
    """
    The errors in a prober, or in a published address, if given.

    minion
        The id of this minion.
    prober, address
        As for :py:func:`reach`.

    Returns sentences without the key.
    """
    if prober is not None and (not isinstance(prober, str) or not prober):
        return [f"{prober!r} is not the id of a minion, or master"]
    if prober == minion:
        return [f"{prober} is this host itself, which cannot prove that others reach it"]
    if address is not None and not (isinstance(address, str) and salt.utils.network.is_ipv6(address)):
        return [f"{address!r} is not an IPv6 address"]
    return []
