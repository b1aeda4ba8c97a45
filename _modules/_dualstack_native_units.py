"""
The hoster's IPv6 in the configuration of systemd-networkd: a drop-in for the file by which that has the interface.
PURE: never accesses the host.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import _dualstack_native_files as native_files
import _dualstack_native_settings as native_settings
import _dualstack_tunnel_bound as tunnel_bound
import _dualstack_tunnel_units as tunnel_units
from salt.exceptions import CommandExecutionError

DROP_IN = "50-dualstack.conf"


def read(native: Mapping[str, Any], host: Mapping[str, str]) -> list[native_files.Fact]:
    """
    What the files say about the IPv6 of an interface.

    native
        Its ``interface`` and its ``index``.
    host
        The texts of the files, and of the evidence, by path.
    """
    assigned = _assigned(native, host)
    found = []
    for line, block in _values(assigned, "Address", "Address"):
        whole = line.value if "/" in line.value else f"{line.value}/128"
        deprecated = tunnel_units.value(block, "Address", "PreferredLifetime") == "0"
        found += native_files.fact(_place(line), _is_ours(line, host), whole, deprecated=deprecated)
    for line, block in _values(assigned, "Gateway", "Route"):
        metric = tunnel_units.value(block, "Route", "Metric", str(native_settings.METRIC))
        number = int(metric) if metric.isdecimal() else None
        found += native_files.fact(_place(line), _is_ours(line, host), gateway=line.value, metric=number)
    return found


def _assigned(native: Mapping[str, Any], host: Mapping[str, str]) -> list[tunnel_units.Line]:
    file = native_files.network_file(native, host)
    every = tunnel_units.files(host, "network")
    for path in (file, f"/usr{file}", file.removeprefix("/usr")):  # /lib is a link to that in /usr
        if file and path in every:
            return every[path]
    raise CommandExecutionError(
        f"interface: systemd-networkd has {native['interface']} by no file that is there"
        + (f" ({file})" if file else "; expected a file in /etc/systemd/network that matches it")
    )


def _values(
    assigned: list[tunnel_units.Line], key: str, section: str
) -> Iterator[tuple[tunnel_units.Line, list[tunnel_units.Line]]]:
    for block in tunnel_units.pairs(assigned, key):
        line = next((each for each in block if each.key == key and each.value), None)
        if line is None or (line.section == "Route" and not _is_default(block)):
            continue
        if line.section in ("Network", section):
            yield line, block


def _is_default(block: list[tunnel_units.Line]) -> bool:
    said = {each.key: each.value for each in block}
    if said.get("Source") or said.get("Table", "main") not in ("main", "254"):
        return False
    if said.get("Type", "unicast") != "unicast":
        return False
    return native_files.is_default(said.get("Destination") or native_files.DEFAULT)


def _place(line: tunnel_units.Line) -> str:
    return f"{line.path}, line {line.number}"


def _is_ours(line: tunnel_units.Line, host: Mapping[str, str]) -> bool:
    return host[line.path].startswith(native_files.MARK)


def write(native: Mapping[str, Any], host: Mapping[str, str]) -> dict[str, str | None]:
    """
    The files that change.

    native
        From :py:func:`native_files.lacking`, or :py:func:`native_files.nothing`.
    host
        The texts of the files, and of the evidence, by path.

    Returns the new texts, ``None`` for a file that goes. Raises ``CommandExecutionError`` where that file is somebody
    else's, or the interface shares its configuration with another one.
    """
    file = native_files.network_file(native, host)
    path = f"{tunnel_bound.FOLDER}/{posixpath.basename(file)}.d/{DROP_IN}"
    if native_files.is_empty(native):
        return native_files.own(path, None, host) if file else {}
    if native_files.sharing(native, host):
        raise CommandExecutionError(
            f"interface: {file} is for other interfaces than {native['interface']}, too, and they would get its "
            "addresses; give it a file of its own first"
        )
    lines = []
    for address in native["addresses"]:
        lines += ["", "[Address]", f"Address={address}"]
        lines += ["PreferredLifetime=0"] if native_files.deprecated(native, address) else []
    if native["gateway"]:
        metric = native["metric"] or native_settings.METRIC
        lines += ["", "[Route]", f"Gateway={native['gateway']}", "GatewayOnLink=yes", f"Metric={metric}"]
    return native_files.own(path, native_files.HEADER + "\n".join(lines[1:]) + "\n", host)
