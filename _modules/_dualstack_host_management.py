"""
Who manages this host, and over which connections: these have to survive every change.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import _dualstack_host_routes as host_routes
import salt.utils.files


class Connection(NamedTuple):
    """A TCP connection that has to remain possible."""

    family: str
    direction: str  # in, or out: this host opens it
    remote: str
    port: int
    why: str
    own: str | None = None  # this host's address, where it matters
    interface: str | None = None


def connections(opts: Mapping[str, Any]) -> list[Connection]:
    """
    The connections that manage this host: from the ssh client in whose session this runs, and to the master.

    opts
        Salt's, of this minion.

    Raises ``CommandExecutionError`` where ip(8) does not say where packets go.
    """
    return [*_ssh_client(), *_masters(opts)]


def _ssh_client() -> Iterator[Connection]:
    """The logged-in client must be able to log in again: SSH_CONNECTION, ssh(1), of the nearest ancestor with one."""
    process = os.getpid()
    while process:
        try:
            with salt.utils.files.fopen(f"/proc/{process}/environ", "rb") as stream:
                said = re.search(rb"(?:^|\0)SSH_CONNECTION=([^\0]*)", stream.read())
            with salt.utils.files.fopen(f"/proc/{process}/status", "rb") as stream:
                parent = re.search(rb"^PPid:\s*(\d+)", stream.read(), re.MULTILINE)
        except OSError:
            return
        words = said[1].decode("utf-8", "replace").split() if said else []
        if _is_connection(words):
            yield from _logged_in(*words)
            return
        process = int(parent[1]) if parent else 0


def _is_connection(words: list[str]) -> bool:
    """Whether this is a value of sshd's, and not of somebody who sets what he likes."""
    if len(words) != 4 or not all(re.fullmatch("[0-9]{1,5}", each) for each in words[1::2]):
        return False
    try:
        return all(ipaddress.ip_address(each.partition("%")[0]) for each in words[::2])
    except ValueError:
        return False


def _logged_in(client: str, _: str, server: str, port: str) -> Iterator[Connection]:
    client, _, zone = client.partition("%")
    server = server.partition("%")[0]
    if not zone and not host_routes.to(server).local:
        return  # the connection ended in another network namespace
    why = f"the ssh client {client}, who is logged in"
    yield Connection(_family(client), "in", client, int(port), why, server, zone or None)


def _masters(opts: Mapping[str, Any]) -> Iterator[Connection]:
    """Every master that this minion has resolved; none if it is masterless."""
    if opts.get("file_client") != "remote" or "master_ip" not in opts:
        return
    for uri in dict.fromkeys([opts["master_uri"], *opts.get("master_uri_list", [])]):
        host, _, port = uri.rpartition("/")[2].rpartition(":")
        master = host.strip("[]")
        for each in (int(opts.get("publish_port", 4505)), int(port)):
            yield Connection(_family(master), "out", master, each, f"the Salt master {master}")


def _family(address: str) -> str:
    return "ipv6" if ":" in address else "ipv4"
