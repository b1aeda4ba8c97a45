"""
The ssh client in whose session Salt runs, by what sshd has put into the environment: SSH_CONNECTION, ssh(1).
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping

import _dualstack_host_management_way as host_management_way
import _dualstack_host_routes as host_routes
import salt.utils.files

NAME = "SSH_CONNECTION"


def client(environment: Mapping[str, str]) -> Iterator[host_management_way.Connection]:
    """
    The connection by which the client of this session has logged in, if there is one.

    environment
        That of this process, as it is in its memory: a process that gives itself a title overwrites what others see.

    The nearest counts: this process, or an ancestor. Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    for value in (environment.get(NAME, ""), *_inherited()):
        words = value.split()
        if _is_connection(words):
            yield from _logged_in(*words)
            return


def _inherited() -> Iterator[str]:
    """The variable of each process above; one that cannot be read, or that has overwritten it, may have a parent."""
    process = os.getpid()
    while process:
        for said in re.findall(rb"(?:^|\0)SSH_CONNECTION=([^\0]*)", _read(process, "environ")):
            yield said.decode("utf-8", "replace")
        parent = re.search(rb"^PPid:\s*(\d+)", _read(process, "status"), re.MULTILINE)
        process = int(parent[1]) if parent else 0


def _read(process: int, name: str) -> bytes:
    try:
        with salt.utils.files.fopen(f"/proc/{process}/{name}", "rb") as stream:
            found: bytes = stream.read()
    except OSError:
        return b""
    return found


def _is_connection(words: list[str]) -> bool:
    """Whether this is a value of sshd's, and not of somebody who sets what he likes."""
    if len(words) != 4 or not all(re.fullmatch("[0-9]{1,5}", each) for each in words[1::2]):
        return False
    try:
        return all(ipaddress.ip_address(each.partition("%")[0]) for each in words[::2])
    except ValueError:
        return False


def _logged_in(remote: str, _: str, own: str, port: str) -> Iterator[host_management_way.Connection]:
    remote, _, zone = remote.partition("%")
    own = own.partition("%")[0]
    if not zone and not host_routes.to(own).local:
        return  # the connection ended in another network namespace
    yield host_management_way.logged_in(remote, own, int(port), zone)
