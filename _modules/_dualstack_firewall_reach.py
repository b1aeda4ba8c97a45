"""
What can be reached on this host now, and no longer could after a change of its firewall.

Shut to everybody is sshd where none of these gets in any more: a host anywhere, a neighbour on each interface, a host
of each network that the rules or their sets name. That rules let in only some is what a firewall is for.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_families as families
import _dualstack_firewall_expectations as firewall_expectations
import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_view as firewall_view
import _dualstack_host_ip as host_ip
import _dualstack_host_management as host_management
import _dualstack_host_management_sshd as host_management_sshd
import _dualstack_host_routes as host_routes

Connection = host_management.Connection
Try = Callable[[Sequence[Connection]], Sequence[firewall_rehearsal.Tried]]
Port = tuple[str, int]  # the family, and the number

SOURCES = (re.compile(r" -s ([0-9a-f.:/]+)"), re.compile(r" --src-range ([0-9a-f.:]+)-"))
MEMBERS = re.compile(r"^add \S+ ([0-9a-f.:/]+)", re.MULTILINE)
INTERFACES = re.compile(r" -i ([A-Za-z0-9][A-Za-z0-9._@-]{0,14})(?= |$)", re.MULTILINE)
MOST = 100  # hosts of networks that the rules name
NAMED = 10  # ports in a sentence


class Reach(NamedTuple):
    """What is wrong, and what should be known, in sentences."""

    failures: list[str]
    warnings: list[str]


class Rules(NamedTuple):
    """How the new rules are tried, how the live ones; the text of the new ones, and that of the sets."""

    then: Try
    now: Try
    texts: Mapping[str, str]
    sets: Callable[[], str]


def strangers(sshd: host_management_sshd.Looked) -> list[Connection]:
    """
    Who may want to reach what listens on this host: a host anywhere; for sshd, also a neighbour of each interface.

    sshd
        What listens.

    Returns a connection of each to each port. Where no route leads out, nobody comes. Raises ``CommandExecutionError``
    where ip(8) does not say.
    """
    if not sshd.listeners and not sshd.others:
        return []
    found = []
    for family in families.FAMILIES:
        route = host_routes.to(firewall_view.OUTSIDE[family])
        anybody = [(firewall_view.OUTSIDE[family], None, None)] if route.interface and not route.local else []
        for listeners, whoever in ((sshd.listeners, [*anybody, *_neighbours(family)]), (sshd.others, anybody)):
            for each in listeners:
                for remote, own, interface in whoever if each.family == family else ():
                    if each.address in (None, own) or not own:
                        found.append(_connection(family, remote, each.port, each.address or own, interface))
    return list(dict.fromkeys(found))


def compared(
    asked: Sequence[Connection],
    tried: Sequence[firewall_rehearsal.Tried],
    sshd: host_management_sshd.Looked,
    expect: Sequence[Mapping[str, Any]],
    rules: Rules,
) -> Reach:
    """
    What the new rules shut, and the live ones do not.

    asked, tried
        The :py:func:`strangers`, and what the new rules do to each.
    sshd
        What listens.
    expect
        What the user expects of the firewall: what it says is to be shut may be.
    rules
        How others are tried.

    Raises as the functions of the rules do.
    """
    of_sshd = {(each.family, each.port) for each in sshd.listeners}
    passed = _passed(asked, tried, of_sshd)
    open_ports = {_port(each) for each in passed}
    shut = [each for each in asked if each not in passed and not _is_meant(expect, each)]
    closed = {_port(each) for each in shut} & of_sshd - open_ports
    again = [each for each in shut if _port(each) in closed]  # a packet may have been late
    again += [each for family, port in sorted(closed) for each in _named(family, port, rules)]
    closed -= {_port(each) for each in _passed(again, rules.then(again), of_sshd)}
    suspects = [each for each in shut if _port(each) in closed or _port(each) not in of_sshd]
    lost = {_port(each): each for each in reversed(_passed(suspects, rules.now(suspects), of_sshd))}
    failures = [
        f"sshd's port tcp/{each.port} over {families.NAMES[each.family]}: {each.remote} gets in now, and nobody would "
        "any more; if that is meant, expect has to say so: "
        f"{{to: tcp/{each.port}, family: {each.family}, verdict: deny}}"
        for place, each in lost.items()
        if place in closed
    ]
    others = [f"tcp/{port} ({families.NAMES[family]})" for family, port in sorted(set(lost) - of_sshd)]
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    said = f"Hosts anywhere reach these ports now, and will not any more: {', '.join(others[:NAMED])}{more}"
    return Reach(failures, [said] if others else [])


def _port(connection: Connection) -> Port:
    return connection.family, connection.port


def _passed(
    asked: Sequence[Connection], tried: Sequence[firewall_rehearsal.Tried], of_sshd: set[Port]
) -> list[Connection]:
    """Those that get in; what is sent on to another host does not get to this one's sshd."""
    return [
        each
        for each, found in zip(asked, tried)
        if found["found"] == firewall_rehearsal.ACCEPT
        and not (_port(each) in of_sshd and found["note"].startswith(firewall_rehearsal.FORWARDED))
    ]


def _is_meant(expect: Sequence[Mapping[str, Any]], connection: Connection) -> bool:
    return firewall_expectations.closes(expect, connection.family, connection.port, None)


def _connection(family: str, remote: str, port: int, own: str | None, interface: str | None) -> Connection:
    return Connection(family, "in", remote, port, "whoever reaches it now", own, interface)


def _neighbours(family: str) -> Iterator[tuple[str, str, str]]:
    """A host of each network of this one, with this host's address and the interface."""
    kind = "inet6" if family == "ipv6" else "inet"
    for link in host_ip.look(["addr", "show", "up"]):
        for each in link.get("addr_info", []):
            if each["family"] == kind and each["scope"] == "global":
                network = ipaddress.ip_interface(f"{each['local']}/{each['prefixlen']}").network
                hosts = (str(network.network_address + number) for number in range(1, min(3, network.num_addresses)))
                near = next((host for host in hosts if host != each["local"]), None)
                if near:
                    yield near, each["local"], link["ifname"]


def _named(family: str, port: int, rules: Rules) -> list[Connection]:
    """Hosts of the networks, and by the interfaces, that rules name."""
    text = rules.texts.get(family, "")
    written = [each for pattern in SOURCES for each in pattern.findall(text)]
    if "-set " in text:
        written += MEMBERS.findall(rules.sets())
    hosts: list[str] = []
    for each in dict.fromkeys(written):
        network = ipaddress.ip_network(each, strict=False)
        if f"ipv{network.version}" == family and network.prefixlen:
            hosts.append(str(network[min(1, network.num_addresses - 1)]))
    interfaces = dict.fromkeys(INTERFACES.findall(text))
    ways = [(host, None) for host in hosts[:MOST]]
    ways += [(host, each) for each in interfaces for host in [firewall_view.OUTSIDE[family], *hosts][:MOST]]
    return [_connection(family, host, port, None, each) for host, each in ways if each != "lo"]
