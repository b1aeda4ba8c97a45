"""
Whether a tunnel that is configured already means the same as the declared one: what would be lost if it were taken
over. PURE: never accesses the host.

Of lines that have no key in the pillar, only the number and the first word are shown: they may contain secrets.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

import _dualstack_tunnel_interfaces5 as tunnel_interfaces5
import _dualstack_tunnel_own as tunnel_own
import _dualstack_tunnel_stanzas as tunnel_stanzas
import _dualstack_tunnel_wireguard as tunnel_wireguard
from salt.exceptions import CommandExecutionError

Fact = tunnel_stanzas.Fact
PILLAR = "ipv6:tunnel"
DEVICE = re.compile(r"[A-Za-z0-9._-]{1,15}")


def moved(
    name: str,
    host: Mapping[str, str],
    adopt: bool,
    dialect: tunnel_stanzas.Dialect,
    declared: Mapping[str, Any] | None,
) -> dict[str, str]:
    """
    The files of a host without the lines about a tunnel that are not ours.

    name
        The interface.
    host
        The texts of the files, by path.
    adopt
        Whether they may be taken.
    dialect
        That of the implementation.
    declared
        The tunnel that takes their place, in canonical form; ``None`` if none does.

    Returns the new text of every file that has such lines. Raises ``CommandExecutionError`` where they may not be
    taken, and where something that they say would be lost.
    """
    own = tunnel_interfaces5.own_file(name)
    others = {path: text for path, text in host.items() if not (path == own and text.startswith(tunnel_own.MARK))}
    reading = tunnel_stanzas.read(name, others, dialect)
    problems: list[str] = []
    for path, lines in reading.lines.items():
        place = f"{path}, line {', '.join(str(each) for each in lines)}"
        if not adopt:
            problems.append(tunnel_own.foreign(name, place, own))
            continue
        problems += _lost(name, path, place, reading.facts, declared)
        staying = [f"{each.line} ({each.word})" for each in reading.staying if each.path == path]
        if staying:
            problems.append(
                f"{name} cannot be adopted from {place}: these lines do something else as well, and "
                f"would stay: {', '.join(staying)}. Take what they do to {name} away by hand"
            )
    result = {
        path: tunnel_interfaces5.without(others[path], name, reading.taken.get(path, frozenset()))
        for path in reading.lines
    }
    if own in others and tunnel_interfaces5.stanzas(result.get(own, others[own])):
        problems.append(f"{own} is not managed by he_tunnel and holds other lines; move them to another file")
    if problems:
        raise CommandExecutionError("\n".join(dict.fromkeys(problems)))
    return result


def present(
    name: str,
    host: Mapping[str, str],
    adopt: bool,
    dialect: tunnel_stanzas.Dialect,
    declared: Mapping[str, Any],
    files: Mapping[str, str],
) -> dict[str, str]:
    """
    The files of a host on which a tunnel is configured by a file of its own, which is read.

    name
        The interface.
    host
        The texts of the files, by path.
    adopt
        Whether lines of others may be taken.
    dialect
        That of the implementation.
    declared
        The tunnel, in canonical form.
    files
        Its own files.

    Returns and raises as :py:func:`moved`.
    """
    result = {**moved(name, host, adopt, dialect, declared), **files}
    main = result.get(tunnel_interfaces5.MAIN, host.get(tunnel_interfaces5.MAIN, ""))
    if not tunnel_interfaces5.read(name, {**host, **result, tunnel_interfaces5.MAIN: main}):
        # Only this file, not the folder: other files there have been inactive so far, and stay so.
        result[tunnel_interfaces5.MAIN] = tunnel_interfaces5.included(main, name)
    return result


def absent(name: str, host: Mapping[str, str], adopt: bool, dialect: tunnel_stanzas.Dialect) -> dict[str, str | None]:
    """
    The files of a host on which a tunnel is not configured; ``None`` for one that is removed.

    name
        The interface.
    host
        The texts of the files, by path.
    adopt
        Whether lines of others may be taken.
    dialect
        That of the implementation.

    Raises as :py:func:`moved`.
    """
    own, line = tunnel_interfaces5.own_file(name), tunnel_interfaces5.source_line(name)
    result: dict[str, str | None] = {**moved(name, host, adopt, dialect, None)}
    if own in result or host.get(own, "").startswith(tunnel_own.MARK):
        result[own] = None
    main = (result.get(tunnel_interfaces5.MAIN, host.get(tunnel_interfaces5.MAIN)) or "").splitlines(keepends=True)
    if line in main:
        result[tunnel_interfaces5.MAIN] = "".join(each for each in main if each != line)
    return result


def _lost(name: str, path: str, place: str, facts: list[Fact], declared: Mapping[str, Any] | None) -> list[str]:
    here = sorted((each for each in facts if each.path == path), key=lambda each: each.line)
    keyless = [each for each in here if not each.key or (each.key == "selection" and declared is not None)]
    problems = []
    if keyless:
        lines = ", ".join(f"{each.line} ({each.word})" for each in keyless)
        problems.append(
            f"{name} cannot be adopted from {place}: these lines would be lost: {lines}. "
            "Move them to a hook in /etc/network/if-up.d, or remove them"
        )
    if declared is not None:
        problems += [said for each in here if each.key for said in difference(each, declared)]
    return problems


def difference(fact: Fact, declared: Mapping[str, Any]) -> list[str]:
    """
    What of a line the declared tunnel does not have: a sentence, or none.

    fact
        The line.
    declared
        The tunnel, in canonical form.
    """
    key, value = ("metric" if fact.key == tunnel_stanzas.IMPLIED else fact.key), fact.value
    at = f"in {fact.path}, line {fact.line} ({fact.word})"
    if key == "address":
        return _address(value, at, declared)
    if key == "routed":
        has = declared.get("routed") or []
        return [] if value in has else [_said(key, value, at, ", ".join(has) or "none")]
    if key == "tunnel":
        carrier = declared.get("carrier", tunnel_stanzas.SIT)
        return [] if value in ("", carrier) else [_said("carrier", value, at, carrier)]
    if key == tunnel_wireguard.CARRIER:
        return [] if value == declared.get(key) else [_said(key, "another peer or key", at, "another")]
    if key == "prefix":
        return _prefix(value, at, declared)
    if key == "dev":
        has, shown = declared.get("dev"), value if DEVICE.fullmatch(value) else "another value"
        return [] if has == value else [_said(key, shown, at, has or "none")]
    if key == "from":
        wanted = any(each.startswith(f"default from {value} ") for each in declared.get("routes", []))
        return [] if wanted else [_route(f"from {value}", at)]
    if key in ("endpoint", "local", "ttl", "mtu", "gateway", "metric", "routing", "source"):
        has = declared.get(key)
        if key == "metric" and declared.get("routing") == "none":
            return []  # said of the route
        if has == value or str(has) == str(value):
            return []
        shown = has if has is not None and not (key == "local" and has in tunnel_own.NO_LOCAL) else "none"
        return [_said(key, _shown(value), at, f"{shown}")]
    return []


def _said(key: str, value: str, at: str, has: str) -> str:
    return f"{key}: {value} {at}, and the pillar has {has}: write it into {PILLAR}:{key}, or take the line away"


def _shown(value: Any) -> str:
    """A value, if it is an address, a number, or a word of ours: anything else may be a secret."""
    text = str(value)
    try:
        ipaddress.ip_interface(text)
        return text
    except ValueError:
        return text if isinstance(value, int) or text in ("default", "source", "none") else "another value"


def _is_in(network: str, declared: Mapping[str, Any]) -> bool:
    """Whether it is a part of a prefix that is routed to the host: what is not assigned there is refused."""
    try:
        within = ipaddress.ip_network(network)
    except ValueError:
        return False
    routed = [ipaddress.IPv6Network(each) for each in declared.get("routed") or []]
    return isinstance(within, ipaddress.IPv6Network) and any(within.subnet_of(each) for each in routed)


def _address(value: tuple[str, bool, bool], at: str, declared: Mapping[str, Any]) -> list[str]:
    """An address has to be one of the declared; so has its prefix length, if the file gives one."""
    address, _, given = value
    all_ = [each for each in [declared.get("address"), *declared.get("addresses", [])] if each]
    hosts = {each.partition("/")[0]: each for each in all_}
    host = address.partition("/")[0]
    # Within a prefix that is routed, the length is of no matter: it is laid as /128.
    if address in all_ or (host in hosts and (not given or _is_in(f"{host}/128", declared))):
        return []
    key = "addresses" if declared.get("address", "").partition("/")[0] != host else "address"
    return [_said(key, _shown(address), at, hosts.get(host, "no such address"))]


def _prefix(value: str, at: str, declared: Mapping[str, Any]) -> list[str]:
    """A route into the tunnel is there anyway if it is a part of the network of an address."""
    network = ipaddress.IPv6Network(value)
    all_ = [each for each in [declared.get("address"), *declared.get("addresses", [])] if each]
    if _is_in(value, declared) or any(network.subnet_of(ipaddress.IPv6Interface(each).network) for each in all_):
        return []
    if network.prefixlen <= 3:
        return [f"routing: a route to {value} {at}: 'default' is one to ::/0, which includes it; take the line away"]
    return [_route(f"to {value}", at)]


def _route(what: str, at: str) -> str:
    return (
        f"addresses: a route {what} {at}, and the pillar has no address in this prefix: write one into "
        f"{PILLAR}:addresses, or take the line away"
    )
