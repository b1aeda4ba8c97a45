"""
The access rules of ejabberd that name addresses: which of them need IPv6's beside IPv4's, and which do not hold over
IPv6. PURE: never accesses the host.

A statement is a pair of the path of its file and what the rooms of the two grammars say about it.
"""

from __future__ import annotations

import ipaddress
from typing import Any

LOOPBACK4, LOOPBACK6 = ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")
Statements = list[tuple[str, dict[str, Any]]]


def companions(acls: Statements, notes: list[str]) -> list[tuple[str, list[Any]]]:
    """
    The edits that let access rules for IPv4's loopback match IPv6's.

    acls
        The statements of the kind ``acl``.
    notes
        Gets a sentence for each that cannot be edited.
    """
    edits = []
    for rows in _by_name(acls).values():
        networks = [_network(acl["address"]) for _, acl in rows]
        if any(each and each.version == 6 and LOOPBACK6.subnet_of(each) for each in networks):
            continue
        local = [row for row, each in zip(rows, networks) if each and each.version == 4 and each.subnet_of(LOOPBACK4)]
        for path, acl in local[:1]:
            if acl["companion"] is None:
                notes.append(f"{path}:{acl['line']}: names {acl['address']} but not ::1: left alone, add it if it may")
            else:
                edits += [(path, edit) for edit in acl["companion"]]
    return edits


def _by_name(acls: Statements) -> dict[str, Statements]:
    names: dict[str, Statements] = {}
    for path, acl in acls:
        names.setdefault(acl["name"], []).append((path, acl))
    return names


def bans(acls: Statements, accesses: Statements) -> list[str]:
    """
    Notes about addresses of IPv4 that are kept out, where those of IPv6 are not.

    acls
        The statements of the kind ``acl``.
    accesses
        Those with ``denied``, the names of the acls that they deny.
    """
    names = _by_name(acls)
    result = {}
    for path, access in accesses:
        for name in access["denied"]:
            rows = names.get(name, [])
            networks = [_network(acl["address"]) for _, acl in rows]
            if {each.version for each in networks if each} != {4} or name in result:
                continue
            where, acl = rows[0]
            words = ", ".join(each["address"] for _, each in rows)
            result[name] = (
                f"{where}:{acl['line']}: {words}: is denied in {path}:{access['line']}, and no address of IPv6 beside "
                "it: whom this bans may come over IPv6; left alone, add what else is banned"
            )
    return list(result.values())


def registrations(lists: Statements, way: str) -> list[tuple[str, list[Any]]]:
    """
    The edits that make ``ip_access`` treat IPv6 like IPv4; one with IPv6 addresses is left alone.

    lists
        The statements with ``rules``.
    way
        ``split`` or ``dual``: whether clients of IPv4 come through a listener on ``::``.
    """
    edits = []
    for path, each in lists:
        networks = [_network(rule["address"]) for rule in each["rules"]]
        if any(network and network.version == 6 for network in networks):
            continue
        for rule, network in zip(each["rules"], networks):
            twins = []
            if network and way == "dual" and network.prefixlen:  # how such a listener sees a client of IPv4
                twins.append(f"::ffff:{network.network_address}/{network.prefixlen + 96}")
            if network and network.subnet_of(LOOPBACK4):
                twins.append(str(LOOPBACK6))
            if network and not network.prefixlen:
                twins.append("::/0")
            words = "".join(f', {{{rule["verb"]}, "{twin}"}}' for twin in twins)
            edits += [(path, [rule["end"], rule["end"], words])] if words else []
    return edits


def _network(address: str) -> Any:
    try:
        return ipaddress.ip_network(address, strict=False)
    except ValueError:
        return None
