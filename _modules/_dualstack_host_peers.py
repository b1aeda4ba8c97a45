"""
Whom this host must not lose over IPv6: those who manage it, and its name servers.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_host_files as host_files
import _dualstack_host_management as host_management
import _dualstack_host_ways as host_ways

RESOLVERS = "/etc/resolv.conf"
BEHIND = "/run/systemd/resolve/resolv.conf"  # the servers that systemd-resolved asks, if the first names only itself


class Peer(NamedTuple):
    """Somebody who has to be reached."""

    who: str
    flow: host_ways.Flow
    manages: bool
    answered: bool  # he comes to this host, at an address of his choice


def over_ipv6(opts: Mapping[str, Any]) -> list[Peer]:
    """
    Everybody whom this host reaches, or answers, over IPv6.

    opts
        Salt's, of this minion.

    Raises ``CommandExecutionError`` where ip(8) does not say where packets go, and ``OSError``.
    """
    return [*_managing(opts), *_resolvers()]


def _managing(opts: Mapping[str, Any]) -> Iterator[Peer]:
    for each in host_management.connections(opts):
        if each.family == "ipv6":
            answers = each.direction == "in"
            bound = each.interface if ipaddress.ip_address(each.remote).is_link_local else None
            words = ("ipproto", "tcp", "sport" if answers else "dport", str(each.port))
            flow = host_ways.Flow(each.remote, each.own if answers else None, bound, words)
            yield Peer(each.why, flow, manages=True, answered=answers)


def _resolvers() -> Iterator[Peer]:
    for path in (RESOLVERS, BEHIND):
        for server in re.findall(r"^[ \t]*nameserver[ \t]+(\S+)", host_files.read(path) or "", re.MULTILINE):
            address, _, interface = server.partition("%")
            try:
                parsed = ipaddress.ip_address(address)
            except ValueError:  # the C library does not use it either
                continue
            if parsed.version == 6 and not parsed.is_loopback:
                words = ("ipproto", "udp", "dport", "53")
                flow = host_ways.Flow(address, None, interface or None, words)
                yield Peer(f"the name server {server}", flow, manages=False, answered=False)
