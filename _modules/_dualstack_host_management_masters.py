"""
The Salt masters of this host's minion, and the minions of a master on this host.
"""

from __future__ import annotations

import functools
import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_host_commands as host_commands
import _dualstack_host_management_way as host_management_way
import _dualstack_host_routes as host_routes
import _dualstack_service_sockets as service_sockets
import salt.config
import salt.utils.network
from salt.exceptions import CommandExecutionError

Connection = host_management_way.Connection
PUBLISH, RETURN = 4505, 4506  # Salt's defaults of publish_port and master_port
PATIENCE = 5.0  # seconds for a name to be resolved
WITHOUT = ("disable", "func")  # master_type: there is none, or its name is not in the configuration


class Named(NamedTuple):
    """A master as the configuration names it."""

    host: str
    port: int
    publish: int


def masters(
    opts: Mapping[str, Any],
    listening: Sequence[Mapping[str, Any]],
    connected: Sequence[service_sockets.Connected],
) -> tuple[list[Connection], list[str]]:
    """
    Every master of this host's minion: the one that Salt uses now, those to which a minion's daemon is connected, and
    those that the configuration names, also where Salt runs without a master (``--local``).

    opts
        Salt's, of this minion.
    listening, connected
        The listening sockets, and the connections, of this host.

    Returns the connections, and why a master that has a name has no address. The default name ``salt`` counts only
    where it is written down, or in use; a master on this host that is not in use, only while it runs. Raises
    ``CommandExecutionError`` where ip(8) does not say.
    """
    used = [*_in_use(opts), *_connected(opts, connected)]
    named, unseen = _resolved(_configured(opts), {each.host for each in used})
    here = {each["port"] for each in listening}
    named = [each for each in named if each.publish in here or not host_routes.to(each.host).local]
    found = [
        Connection(host_management_way.family(each.host), "out", each.host, port, f"the Salt master {each.host}")
        for each in dict.fromkeys([*used, *named])
        for port in (each.publish, each.port)
    ]
    return found, unseen


def minions(
    listening: Sequence[Mapping[str, Any]], connected: Sequence[service_sockets.Connected]
) -> Iterator[Connection]:
    """
    The minions that are connected to a master on this host: each has to reach all of its ports.

    listening, connected
        The listening sockets, and the connections, of this host.

    Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    runs = _running("salt-master")
    ports = sorted(
        {
            each["port"]
            for each in listening
            if each["transport"] == "tcp" and not _loopback(each["address"]) and any(map(runs, each["pids"]))
        }
    )
    inbound = dict.fromkeys((each.remote, each.own) for each in connected if each.port in ports)
    for remote, own in inbound:
        if host_routes.to(remote).local:
            continue  # this host's own minion, whose connections are outgoing ones too
        interface = host_management_way.incoming(remote, own)
        for port in ports:
            family, why = host_management_way.family(remote), f"the minion {remote} of the Salt master on this host"
            yield Connection(family, "in", remote, port, why, own, interface)


def _in_use(opts: Mapping[str, Any]) -> Iterator[Named]:
    """What the minion has resolved; nothing where Salt uses no master."""
    if "master_ip" not in opts:
        return
    for uri in [opts["master_uri"], *opts.get("master_uri_list", [])]:
        host, _, port = uri.rpartition("/")[2].rpartition(":")
        yield Named(host.strip("[]"), int(port), int(opts.get("publish_port", PUBLISH)))


def _connected(opts: Mapping[str, Any], connected: Sequence[service_sockets.Connected]) -> Iterator[Named]:
    publish, runs = int(opts.get("publish_port", PUBLISH)), _running("salt-minion")
    for each in connected:
        if each.remote_port == publish and any(map(runs, each.pids)):
            yield Named(each.remote, int(opts.get("master_port", RETURN)), publish)


def _running(program: str) -> Any:
    """Whether a process runs a program of Salt's, all of which Python runs: by its command line."""

    @functools.cache
    def runs(pid: int) -> bool:
        return any(os.path.basename(word) == program for word in service_sockets.title(pid).split())

    return runs


def _configured(opts: Mapping[str, Any]) -> list[Named]:
    """The masters that the minion's files name."""
    path = str(opts.get("conf_file") or "")
    if not os.path.isfile(path):
        return []
    given = salt.config.load_config(path, "", path, exit_on_config_errors=False)
    for include in (given.get("default_include", "minion.d/*.conf"), given.get("include", [])):
        given.update(salt.config.include_config(include, path, verbose=False))
    if given.get("master_type") in WITHOUT:
        return []
    master = given.get("master") or []
    port, publish = int(given.get("master_port", RETURN)), int(given.get("publish_port", PUBLISH))
    found = []
    for each in map(str, master if isinstance(master, list) else [master]):
        host, own = each, None
        if given.get("master_uri_format") != "ip_only":
            try:
                host, own = salt.utils.network.parse_host_port(each)
            except ValueError:
                continue  # the minion refuses it too
        found.append(Named(host, int(own or port), publish))
    return found


def _resolved(named: Sequence[Named], used: set[str]) -> tuple[list[Named], list[str]]:
    """The masters by their addresses: of several, the one in use, or else the first that has a route."""
    asked = {
        each.host: host_commands.start(["getent", "ahosts", each.host], patience=PATIENCE)
        for each in named
        if not _is_address(each.host)
    }
    addresses, why = {}, {}
    for host, process in asked.items():
        try:
            said = host_commands.finish(process)
            addresses[host] = list(dict.fromkeys(line.split()[0] for line in said.stdout.splitlines() if line.strip()))
        except CommandExecutionError as error:
            addresses[host], why[host] = [], f" ({error})"
    found, unseen = [], []
    for each in named:
        held = addresses.get(each.host, [each.host])
        chosen = [host for host in held if host in used] or [host for host in held if host_routes.to(host).interface]
        if chosen:
            found.append(each._replace(host=chosen[0]))
        elif held:
            unseen.append(f"There is no route to the Salt master {each.host} of the minion's configuration")
        else:
            said_of = why.get(each.host, "")
            unseen.append(f"The Salt master {each.host} of the minion's configuration has no address{said_of}")
    return found, unseen


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _loopback(address: str) -> bool:
    return ipaddress.ip_address(address.removeprefix("::ffff:").partition("%")[0]).is_loopback
