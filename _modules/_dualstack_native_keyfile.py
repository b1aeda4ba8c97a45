"""
The hoster's IPv6 in the configuration of NetworkManager: the connection that has the interface is read, and not
written. PURE: never accesses the host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import _dualstack_native_files as native_files
import _dualstack_native_settings as native_settings
import _dualstack_tunnel_keyfile as tunnel_keyfile

MAIN = ("", "0", "254")
UNKNOWN = -1  # another metric than any that is declared
METHODS = ("manual", "auto", "dhcp")  # with others, NetworkManager leaves what a connection has of addresses and routes


def read(native: Mapping[str, Any], host: Mapping[str, str]) -> list[native_files.Fact]:
    """
    What the connection of an interface says about its IPv6.

    native
        Its ``interface`` and its ``index``.
    host
        The texts of the files, and of the evidence, by path.
    """
    profile = _profile(native, host)
    if profile is None or not _counts(profile):
        return []
    found: list[native_files.Fact] = []
    for address in tunnel_keyfile.addresses(profile):
        found += native_files.fact(_place(profile, address.entry), False, address.address)
    table = profile.value(tunnel_keyfile.IPV6, "route-table")
    if table not in MAIN:
        return found  # all of its routes are for some packets only
    gateway, entry = tunnel_keyfile.gateway(profile), profile.entry(tunnel_keyfile.IPV6, "gateway")
    # Without a number of its own, NetworkManager chooses one for the kind of interface.
    given = tunnel_keyfile.number(profile.value(tunnel_keyfile.IPV6, "route-metric"))
    metric = UNKNOWN if given is None else given
    found += native_files.fact(_place(profile, entry), False, gateway=gateway, metric=metric)
    for route in tunnel_keyfile.routes(profile):
        if route.destination == tunnel_keyfile.DEFAULT and not route.options.keys() & {"from", "table"}:
            place, own = _place(profile, route.entry), metric if route.metric is None else route.metric
            found += native_files.fact(place, False, gateway=route.gateway, metric=own)
    return found


def _counts(profile: tunnel_keyfile.Profile) -> bool:
    """Whether NetworkManager takes the addresses of a connection."""
    return not profile.strange and profile.value(tunnel_keyfile.IPV6, "method") in METHODS


def _free(profile: tunnel_keyfile.Profile | None, key: str) -> int:
    """The first number behind those of a key, which need not be one after the other."""
    entries = profile.entries if profile else []
    said = [re.fullmatch(rf"{key}(?:es|s)?(\d*)", each.key) for each in entries if each.section == tunnel_keyfile.IPV6]
    return max([int(each[1] or 0) for each in said if each], default=0) + 1


def _place(profile: tunnel_keyfile.Profile, entry: tunnel_keyfile.Entry | None) -> str:
    return f"{profile.path}, line {entry.line}" if entry else profile.path


def _profile(native: Mapping[str, Any], host: Mapping[str, str]) -> tunnel_keyfile.Profile | None:
    device = native_files.assigned(host.get(f"{native_files.DEVICES}{native['index']}", ""))
    profiles = [tunnel_keyfile.read(path, text) for path, text in host.items() if tunnel_keyfile.loads(path)]
    wanted = device.get("connection-uuid")
    return next((each for each in profiles if wanted and each.uuid == wanted), None)


def told(native: Mapping[str, Any], host: Mapping[str, str]) -> dict[str, str | None]:
    """
    The files that change: none.

    native
        From :py:func:`native_files.lacking`, or :py:func:`native_files.nothing`.
    host
        The texts of the files, and of the evidence, by path.

    Raises ``CommandExecutionError`` with what to write, if anything is to be written.
    """
    if native_files.is_empty(native):
        return {}
    profile = _profile(native, host)
    lines = ["method=manual"] if not profile or profile.value(tunnel_keyfile.IPV6, "method") != "manual" else []
    held = [each.address for each in tunnel_keyfile.addresses(profile)] if profile else []
    lacking = [each for each in native["addresses"] if each not in held]  # it may have them, and not count
    lines += [f"address{number}={each}" for number, each in enumerate(lacking, _free(profile, "address"))]
    if native["gateway"]:
        number, metric = _free(profile, "route"), native["metric"] or native_settings.METRIC
        lines += [f"route{number}=::/0,{native['gateway']},{metric}", f"route{number}_options=onlink=true"]
    where = f"{profile.path if profile else 'the keyfile of its connection'}, section [{tunnel_keyfile.IPV6}]"
    raise native_files.by_hand("NetworkManager", native, where, lines)
