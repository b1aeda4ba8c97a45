"""
Whether others reach this host: it cannot test that itself, so another host is asked to connect to it.

The prober is the master, or another minion of it that the pillar names. Either way the master is asked, by its runner
``outside_view``, which only connects to addresses that the pillar gives this host. (A minion could also ask another one
directly, by ``peer``; but it could then make it connect to anything.)
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_converge as converge
import _dualstack_host_time as host_time
import _dualstack_plugins as plugins
import _dualstack_service_place as service_place
import _dualstack_service_questions as service_questions
import _dualstack_service_settings as service_settings
import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltException, SaltInvocationError

CONNECT = 5  # seconds for the connections of one request, which are opened at the same time; the runner gives no more
PATIENCE = 30.0  # seconds for the answer to one request: those of the connections, the prober's way, and a busy master
PAUSES = (0.2, 2.0)  # seconds between two questions, at first and at most
MOST = 64  # connections of one request, which the runner permits
MASTER = "master"
SHOWN = 200  # characters of an answer that makes no sense

Target = tuple[str, int]  # an address and a port


class Master(NamedTuple):
    """The way to the master, which alone can make another host connect; and the options of this minion."""

    runner: Callable[..., Any]  # publish.runner
    opts: Mapping[str, Any]


class Answer(NamedTuple):
    """Whether a port was reached, ``None`` if that could not be tried, and why."""

    reached: bool | None
    said: str


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
        The id of a minion, or ``master``.
    services
        As in the pillar ``ipv6:services``: their ``ports``, by default those that they are configured for and that
        are open to all.
    address
        The IPv6 address that is published; by default all global ones of this host.

    It holds if something was reached over IPv6, and nothing that could be tried was not. Without a prober or services,
    where the prober cannot be asked, or where it could try nothing over IPv6, nothing was found out: ``None``, and the
    comment says why. Raises ``SaltInvocationError`` for a wrong prober or address.
    """
    if prober is None:
        words = "not tried: no prober is named; whether this host is reachable from outside is not proven"
        return converge.Finding(None, words)
    for key, value in (("prober", prober), ("address", address)):
        for each in errors(master.opts["id"], **{key: value}):
            raise SaltInvocationError(f"{key}: {each}")
    if not services:
        return converge.Finding(None, f"not tried: no service is declared that {prober} could connect to")
    place = service_place.here([], address)
    place = place._replace(held=place.addresses)  # whether this host has it is what others find out
    service_place.refuse_one_family(place)
    private = list(filter(service_place.private, salt.utils.network.ip_addrs()))
    asked = [
        (name, (each, port))
        for name, settings in services.items()
        for port, found in _asked(known, name, settings or {}, place)
        for each in (address for own in found.values() for address in own if address not in private)
    ]
    try:
        answers = ask(master, prober, list(dict.fromkeys(target for _, target in asked)))
    except CommandExecutionError as error:
        return converge.Finding(None, f"not tried: {error}")
    return _judged(prober, asked, answers, private)


def _asked(
    known: Mapping[str, plugins.Service], name: str, settings: Mapping[str, Any], place: service_place.Place
) -> Iterator[tuple[int, service_place.Addresses]]:
    """The ports of a service, and the addresses at which each is tried. One with declared ports needs no plug-in."""
    if name not in known and service_settings.ports(settings):
        yield from ((port, place.held) for port in service_settings.ports(settings))
        return
    seen = service_questions.of(known, name, settings, place)
    yield from ((port, service_place.asked(seen.live.get(port, []), place)) for port in seen.ports)


def _judged(
    prober: str, asked: Sequence[tuple[str, Target]], answers: Mapping[Target, Answer], private: Sequence[str]
) -> converge.Finding:
    lines = [f"{name}: tcp/{target[1]} on {target[0]}: {answers[target].said}" for name, target in asked]
    lines += [f"{each} is a private address, which {prober} did not test" for each in private]
    tried = {target: each.reached for target, each in answers.items() if each.reached is not None}
    six = [reached for (address, _), reached in tried.items() if ":" in address]
    if six and not any(six):
        lines.append(f"{prober} reaches nothing over IPv6: does it have IPv6 itself?")
    if not six:
        lines.append("whether this host is reachable over IPv6 is not proven: nothing was tried")
    holds = False if not all(tried.values()) else True if six else None
    return converge.Finding(holds, "\n".join([f"tested from {prober}:", *lines]))


def ask(master: Master, prober: str, targets: Sequence[Target]) -> dict[Target, Answer]:
    """
    Make another host open connections, as many at the same time as it takes at once.

    master
        The way to the master.
    prober
        The id of a minion, or ``master``.
    targets
        Addresses of this host, and TCP ports.

    Returns an answer for each of them. Raises ``CommandExecutionError`` with what to do where the prober cannot be
    asked.
    """
    if "master_uri" not in master.opts:
        raise CommandExecutionError(f"this host has no master now, and only a master could make {prober} connect to it")
    found: dict[Target, Answer] = {}
    for first in range(0, len(targets), MOST):
        found.update(_answers(master, prober, targets[first : first + MOST]))
    return {
        target: found.get((str(ipaddress.ip_address(target[0])), target[1]), Answer(None, f"{prober} did not say"))
        for target in targets
    }


def _answers(master: Master, prober: str, targets: Sequence[Target]) -> dict[Target, Answer]:
    """Begin, and come again until there is an answer: the master lets nobody wait."""
    wanted = {"targets": [list(each) for each in targets], "prober": prober, "timeout": CONNECT}
    end = time.monotonic() + host_time.left(PATIENCE)
    pauses = _pauses(end)
    begun = _run(master, "connect", wanted)
    while busy := begun.get("busy"):
        if not next(pauses):
            raise CommandExecutionError(f"{prober} had no time within {PATIENCE:g} s: {str(busy)[:SHOWN]}")
        begun = _run(master, "connect", wanted)
    found = _read(begun)
    token = begun.get("token")
    if not token:
        return found
    ended = _run(master, "answer", {"token": token})
    while ended.get("waiting"):
        if not next(pauses):
            raise CommandExecutionError(f"{prober} did not answer within {PATIENCE:g} s: does it run?")
        ended = _run(master, "answer", {"token": token})
    return {**found, **_read(ended)}


def _pauses(end: float) -> Iterator[bool]:
    """Wait, longer each time; whether there is time for another question."""
    pause, longest = PAUSES
    while time.monotonic() + pause < end:
        time.sleep(pause)
        yield True
        pause = min(2 * pause, longest)
    while True:
        yield False


def _read(said: Mapping[str, Any]) -> dict[Target, Answer]:
    """The answers in what the runner said, which may be of another version, or make no sense."""
    answers = said.get("answers")
    if not isinstance(answers, list):
        raise _odd(said)
    found = {}
    for each in answers:
        if not isinstance(each, Mapping) or not isinstance(each.get("address"), str):
            raise _odd(each)
        result = each.get("result")
        if type(each.get("port")) is not int or not (result is None or isinstance(result, bool)):
            raise _odd(each)
        found[(each["address"], each["port"])] = Answer(result, str(each.get("comment"))[:SHOWN])
    return found


def _run(master: Master, function: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Call a function of the runner. Its arguments are named, so that no part of them is parsed as a number."""
    name = f"outside_view.{function}"
    try:
        said = master.runner(name, [{**arguments, "__kwarg__": True}], timeout=CONNECT)
    except (SaltException, OSError) as error:
        raise CommandExecutionError(f"the master could not be asked: {error}") from None
    if said == {}:  # The master does not refuse explicitly.
        permission = permitted(master.opts["id"])
        raise CommandExecutionError(
            f"the master does not let this host ask it; it needs in its configuration:\n{permission}"
        )
    if isinstance(said, str) and ("is not available" in said or "Passed invalid arguments" in said):
        raise CommandExecutionError(
            "the master lacks the runner, or has another version of it: run 'salt-run saltutil.sync_runners' there"
        )
    if not isinstance(said, Mapping):
        raise _odd(said)
    if said.get("error"):
        raise CommandExecutionError(f"the master refuses: {str(said['error'])[: 2 * SHOWN]}")
    return said


def _odd(said: object) -> CommandExecutionError:
    # The last line of a traceback tells most.
    lines = [line for line in str(said).splitlines() if line.strip()] or [""]
    return CommandExecutionError(f"the master said something that makes no sense: {lines[-1].strip()[:SHOWN]!r}")


def permitted(minion: str) -> str:
    """
    What the master's configuration has to have, so that a minion may ask.

    minion
        Its id.

    Both are regular expressions, of which only the beginning has to match: without both ends, ``a.example`` would also
    permit ``a.example.net``, and ``abexample``.
    """
    own = minion.replace(".", "\\.")  # the only character of an id that means something there
    return f"peer_run:\n  ^{own}$:\n    - ^outside_view\\.(connect|answer)$"


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
