"""
Who manages this host, and over which connections: these have to survive every change.

The facts come from the session in which Salt runs (``host_management_session``), from sshd's connections in the kernel
(``host_management_sshd``), from Salt (``host_management_masters``), and from the pillar (``host_management_settings``).
That none is found does not mean that nobody is there.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_host_management_masters as host_management_masters
import _dualstack_host_management_session as host_management_session
import _dualstack_host_management_settings as host_management_settings
import _dualstack_host_management_sshd as host_management_sshd
import _dualstack_host_management_way as host_management_way
import _dualstack_service_sockets as service_sockets
import _dualstack_settings as settings

Connection = host_management_way.Connection
SSH = 22
MOST = 64  # connections of one kind that are looked after: a master may have thousands of minions
NOBODY = (
    "Nobody was found who manages this host over a network: no ssh client is logged in, and it has no Salt master. "
    "Nothing has shown that anybody will still get in; whoever has to belongs into ipv6:manage:allow"
)


class Managers(NamedTuple):
    """The connections; where sshd listens, and what else listens; and what could not be determined, in sentences."""

    connections: list[Connection]
    sshd: host_management_sshd.Looked
    unseen: list[str]


def connections(opts: Mapping[str, Any]) -> list[Connection]:
    """
    The connections that manage this host: from those who are logged in, to the masters, from a master's minions, and
    from whom the pillar names.

    opts
        Salt's, of this minion, with its pillar.

    Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    return managers(opts).connections


def managers(opts: Mapping[str, Any]) -> Managers:
    """
    The same, with what the answer is made from, and what is missing in it.

    opts
        Salt's, of this minion, with its pillar.

    Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    wanted = host_management_settings.read(settings.at(opts.get("pillar") or {}, host_management_settings.KEY))
    listening = service_sockets.listening()["sockets"]
    connected, unseen = service_sockets.connected()
    sshd = host_management_sshd.look(listening, connected)
    masters, without = host_management_masters.masters(opts, listening, connected)
    kinds = (
        [*_sessions(sshd, connected)],
        masters,
        [*host_management_masters.minions(listening, connected)],
    )
    found: dict[tuple[Any, ...], Connection] = {}
    unseen = [*unseen, *sshd.unseen, *without]
    for kind in kinds:
        needed = [each for each in kind if not wanted.ignores(each.remote)]
        if len(needed) > MOST:
            unseen.append(f"Of {len(needed)} connections, such as that of {needed[MOST].why}, only {MOST} were tried")
        _add(found, needed[:MOST])
    if not any(kinds) and not wanted.allow:
        unseen.append(NOBODY)
    _add(found, _allowed(wanted, sshd))
    return Managers(list(found.values()), sshd, unseen)


def _add(found: dict[tuple[Any, ...], Connection], more: list[Connection]) -> None:
    for each in more:
        found.setdefault((each.direction, each.remote, each.port, each.own, each.interface), each)


def _sessions(
    sshd: host_management_sshd.Looked, connected: Sequence[service_sockets.Connected]
) -> Iterator[Connection]:
    """
    Those who are logged in. The client of this session is the first; it may have left (tmux keeps its variables), and
    then those count who are there instead. It may have come through another server than sshd.
    """
    logged_in = [*host_management_sshd.logged_in(sshd)]
    there = {(each.remote, each.own, each.port) for each in connected}
    for each in host_management_session.client(os.environ):
        if not logged_in or (each.remote, each.own, each.port) in there:
            yield each
    yield from logged_in


def _allowed(wanted: host_management_settings.Wanted, sshd: host_management_sshd.Looked) -> list[Connection]:
    """Those of the pillar, to each place where sshd listens."""
    found = []
    for entry in wanted.allow:
        family = f"ipv{entry.network.version}"
        places = [(each.address, each.port) for each in sshd.listeners if each.family == family]
        if entry.port or not places:
            places = [(None, entry.port or SSH)]
        for remote in _hosts(entry.network):
            for own, port in dict.fromkeys(places):
                why = f"{entry.network} of {host_management_settings.KEY}:allow"
                found.append(Connection(family, "in", remote, port, why, own, entry.interface, True))
    return found


def _hosts(network: host_management_settings.Network) -> list[str]:
    """The first and the last host of a network."""
    if network.num_addresses <= 2:
        return [str(each) for each in network]
    last = network.broadcast_address - (1 if isinstance(network, ipaddress.IPv4Network) else 0)
    return [str(network.network_address + 1), str(last)]
