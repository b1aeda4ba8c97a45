"""
Where sshd listens on this host, and who is logged in through it, by the kernel's own tables.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import _dualstack_host_commands as host_commands
import _dualstack_host_management_way as host_management_way
import _dualstack_service_sockets as service_sockets
from salt.exceptions import CommandExecutionError

PROGRAMS = ("sshd", "sshd-session", "sshd-auth", "dropbear")
# The title of a process of sshd before its client has logged in: this may be anybody.
STRANGER = re.compile(r"^[\w/-]+: .*\[(net|accepted|preauth)\]")
UNITS = ("ssh.socket", "sshd.socket", "dropbear.socket")  # systemd's sockets, whose service starts when somebody comes
LISTENS = re.compile(r"^Listen=.*:(\d+) \(Stream\)$", re.MULTILINE)
ANY = ("0.0.0.0", "::")
SYSTEMD = "/run/systemd/system"  # sd_booted(3)


class Listener(NamedTuple):
    """A port of sshd, in one family; the address is ``None`` for every one of it."""

    family: str
    address: str | None
    port: int


class Looked(NamedTuple):
    """Where sshd listens, who is logged in, what else listens to TCP, and what could not be looked at."""

    listeners: list[Listener]
    sessions: list[service_sockets.Connected]
    others: list[Listener]
    unseen: list[str]


def look(listening: Sequence[dict[str, Any]], connected: Sequence[service_sockets.Connected]) -> Looked:
    """
    What the kernel's tables say of sshd.

    listening, connected
        The listening sockets, and the connections, of this host.

    A connection is a session once its client has logged in: before, it may be anybody's who tries passwords. Sockets of
    other network namespaces are not seen.
    """
    unseen: list[str] = []
    found = [each for each in listening if each["transport"] == "tcp"]
    units = _ports_of_units(unseen) if any(1 in each["pids"] for each in found) else set()
    is_sshd = functools.cache(_is_sshd)
    listeners: list[Listener] = []
    others: list[Listener] = []
    for each in found:
        ours = any(map(is_sshd, each["pids"])) or 1 in each["pids"] and each["port"] in units
        (listeners if ours else others).extend(_of(each))
    hidden = [each for each in found if not each["pids"]]
    if hidden and not listeners:
        unseen.append(f"No process in sight holds {service_sockets.ports(hidden)}: it is not known where sshd listens.")
    return Looked(listeners, [each for each in connected if _is_session(each, is_sshd)], others, unseen)


def logged_in(looked: Looked) -> Iterator[host_management_way.Connection]:
    """
    The clients that are logged in, each once.

    looked
        What :py:func:`look` has found.

    Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    for each in dict.fromkeys((each.remote, each.own, each.port, each.interface) for each in looked.sessions):
        yield host_management_way.logged_in(*each)


def _of(entry: dict[str, Any]) -> Iterator[Listener]:
    """A listening socket, in each family that it serves; none for the loopback interface."""
    address = entry["address"].removeprefix("::ffff:")
    if address.startswith("127.") or address == "::1" or entry["interface"] == "lo":
        return
    for family in entry["families"]:
        yield Listener(family, None if address in ANY else address, entry["port"])


def _is_sshd(pid: int) -> bool:
    """Whether this is a process of sshd's that runs as root: others may call their program so."""
    process = service_sockets.process(pid)
    return os.path.basename(process["exe"]) in PROGRAMS and 0 in process["uids"]


def _is_session(connection: service_sockets.Connected, is_sshd: Any) -> bool:
    if not any(map(is_sshd, connection.pids)):
        return False
    for pid in connection.pids:
        process = service_sockets.process(pid)
        if os.path.basename(process["exe"]) == "sshd-auth" or STRANGER.match(service_sockets.title(pid)):
            return False
    return True


def _ports_of_units(unseen: list[str]) -> set[int]:
    """The ports on which systemd listens for sshd."""
    if not os.path.isdir(SYSTEMD):
        return set()
    try:
        said = host_commands.output(["systemctl", "show", "--property=Listen", *UNITS])
    except CommandExecutionError as error:
        unseen.append(f"It is not known on which ports systemd listens for sshd: {error}")
        return set()
    return {int(port) for port in LISTENS.findall(said.stdout)}
