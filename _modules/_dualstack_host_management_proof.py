"""
Proofs that this host can still be managed, as far as it can give them itself: nobody comes in from outside here.
"""

from __future__ import annotations

import concurrent.futures
import ipaddress
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import _dualstack_host_management as host_management

PATIENCE = 5.0  # seconds for a connection, and again for the first words of sshd
GREETING = b"SSH-"  # RFC 4253, section 4.2; other lines may come before it
MOST = 1 << 13  # bytes in which it has to come

Connection = host_management.Connection


class Proof(NamedTuple):
    """Whether a connection holds, ``None`` where that could not be tried, and what that proves, in a sentence."""

    connection: Connection
    holds: bool | None
    words: str


def judge(opts: Mapping[str, Any]) -> list[Proof]:
    """
    Try each connection that manages this host anew, as far as this host can: to the masters, and to sshd from itself.

    opts
        Salt's, of this minion, with its pillar.

    Returns a proof for each; none where nobody is known. All are tried at the same time, each for at most 10 seconds.
    Raises ``CommandExecutionError`` where ip(8) does not say who manages this host.
    """
    return judged(host_management.connections(opts))


def judged(connections: list[Connection]) -> list[Proof]:
    """
    The same for given connections.

    connections
        Those that manage this host.
    """
    places = list(dict.fromkeys(_place(each) for each in connections))
    with concurrent.futures.ThreadPoolExecutor(max(1, len(places))) as pool:
        said = dict(zip(places, pool.map(lambda place: _try(*place), places)))
    return [_proof(each, *said[_place(each)]) for each in connections]


def _place(connection: Connection) -> tuple[str, int, str | None, bool]:
    """What is connected to: the master; or this host, where its client does; and whether it greets as sshd does."""
    if connection.direction == "out":
        return connection.remote, connection.port, None, False
    loopback = "::1" if connection.family == "ipv6" else "127.0.0.1"
    return connection.own or loopback, connection.port, connection.interface, connection.ssh


def _try(host: str, port: int, interface: str | None, greets: bool) -> tuple[bool | None, str]:
    """
    Whether a new connection is made, and sshd greets; and what went wrong.

    A master that refuses one has been reached, and has answered: it does not run now, or listens to another port than
    the minion's configuration has. No rule of this host is to blame for that.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as stream:
            stream.settimeout(PATIENCE)
            scope = socket.if_nametoindex(interface) if interface and ipaddress.ip_address(host).is_link_local else 0
            stream.connect((host, port, 0, scope) if ":" in host else (host, port))
            if not greets:
                return True, ""
            heard = b""
            deadline = time.monotonic() + PATIENCE
            while not (heard.startswith(GREETING) or b"\n" + GREETING in heard):
                stream.settimeout(max(0.01, deadline - time.monotonic()))
                more = stream.recv(MOST)
                heard += more
                if not more or len(heard) > MOST:
                    return False, f"it said {heard[:60]!r}" if heard else "it closed the connection without a word"
            return True, ""
    except ConnectionRefusedError as error:
        return False if greets else None, str(error.strerror)
    except TimeoutError:
        return False, f"no answer within {PATIENCE:.0f} s"
    except OSError as error:
        return False, error.strerror or str(error)


def _proof(connection: Connection, holds: bool | None, problem: str) -> Proof:
    place = f"{connection.remote} port {connection.port}"
    if connection.direction == "out":
        if holds:
            said = f"{connection.why}: a new connection to {place} (the weaker proof: nobody has come in from outside)"
        elif holds is None:
            said = (
                f"{connection.why}: it refuses a new connection to {place}, so it is reached; whether it runs is open"
            )
        else:
            said = f"{connection.why}: no new connection to {place}: {problem}"
        return Proof(connection, holds, said)
    here = f"{connection.own or 'this host'} port {connection.port}"
    server = "sshd" if connection.ssh else "the server"
    if holds:
        said = (
            f"{connection.why}: {server} answers on {here} (a look from this host itself, weaker still: "
            "it has not passed the rules for what comes from outside)"
        )
    else:
        said = f"{connection.why}: {server} does not answer on {here}: {problem}"
    return Proof(connection, holds, said)
