"""
The hoster's IPv6 in the configuration of netplan: a file of our own, which netplan merges with those that define the
interface. PURE: never accesses the host.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import _dualstack_native_files as native_files
import _dualstack_native_settings as native_settings
import _dualstack_tunnel_units as tunnel_units
import _dualstack_tunnel_yaml as tunnel_yaml
import _dualstack_tunnel_yaml_text as tunnel_yaml_text
from salt.exceptions import CommandExecutionError

MODE = 0o600
SKIPPED = ("version", "renderer", "tunnels", "openvswitch", "nm-devices")


def own_file(interface: str) -> str:
    """
    The file of our own.

    interface
        The interface.
    """
    return tunnel_yaml_text.own_file(native_settings.file_name(interface))


def read(native: Mapping[str, Any], host: Mapping[str, str]) -> list[native_files.Fact]:
    """
    What the files say about the IPv6 of an interface.

    native
        Its ``interface`` and its ``index``.
    host
        The texts of the files, and of the evidence, by path.

    Raises ``CommandExecutionError`` for a file that netplan cannot read, and where none defines the interface.
    """
    kind, name = _where(native, host)
    defined = tunnel_yaml.mapping(tunnel_yaml.read(host), "network", kind, name)
    found = []
    for item in tunnel_yaml.items(defined.get("addresses")):
        for address in item.data if isinstance(item.data, dict) else [tunnel_yaml.text(item)]:
            lifetime = tunnel_yaml.text(tunnel_yaml.mapping(item, address).get("lifetime"))
            found += _fact(item, host, address=address, deprecated=lifetime == "0")
    if "gateway6" in defined:
        gateway = tunnel_yaml.text(defined["gateway6"])
        found += _fact(defined["gateway6"], host, gateway=gateway, metric=native_settings.METRIC)
    for route in tunnel_yaml.items(defined.get("routes")):
        said = {key: tunnel_yaml.text(each) for key, each in tunnel_yaml.mapping(route).items()}
        if said.get("table", "254") != "254" or said.get("type", "unicast") != "unicast":
            continue
        if native_files.is_default(said.get("to", "")):
            metric = said.get("metric", str(native_settings.METRIC))
            number = int(metric) if metric.isdecimal() else None
            found += _fact(route, host, gateway=said.get("via", ""), metric=number)
    return found


def _fact(value: tunnel_yaml.Value, host: Mapping[str, str], **said: Any) -> list[native_files.Fact]:
    path, line = value.place
    return native_files.fact(f"{path}, line {line}", host[path].startswith(native_files.MARK), **said)


def _where(native: Mapping[str, Any], host: Mapping[str, str]) -> tuple[str, str]:
    """The section that defines an interface, and its name there, which need not be the kernel's."""
    name = identifier(native, host)
    network = tunnel_yaml.mapping(tunnel_yaml.read(host), "network")
    for kind in (each for each in network if each not in SKIPPED):
        if name in tunnel_yaml.mapping(network[kind]):
            return kind, name
    raise CommandExecutionError(f"interface: no file of netplan's defines {native['interface']} ({name})")


def identifier(native: Mapping[str, Any], host: Mapping[str, str]) -> str:
    """
    What netplan calls an interface, and what it renders for it.

    native
        Its ``interface`` and its ``index``.
    host
        The texts of the files, and of the evidence, by path.
    """
    file = native_files.network_file(native, host)
    if file.startswith(tunnel_units.NETPLAN):
        return file.removeprefix(tunnel_units.NETPLAN).removesuffix(".network")
    for path, text in host.items():
        said = native_files.assigned(text) if path.startswith(native_files.KEYFILES) else {}
        if said.get("interface-name") == native["interface"]:
            return posixpath.basename(path).removeprefix("netplan-").removesuffix(".nmconnection")
    return str(native["interface"])


def write(native: Mapping[str, Any], host: Mapping[str, str]) -> dict[str, str | None]:
    """
    The files that change.

    native
        From :py:func:`native_files.lacking`, or :py:func:`native_files.nothing`.
    host
        The texts of the files, and of the evidence, by path.

    Returns the new texts, ``None`` for a file that goes. Raises ``CommandExecutionError`` where that file is somebody
    else's, or the configuration is for several interfaces.
    """
    path = own_file(native["interface"])
    if native_files.is_empty(native):
        return native_files.own(path, None, host)
    kind, name = _where(native, {each: text for each, text in host.items() if each != path})
    file = native_files.network_file(native, host)
    if native_files.sharing(native, host):
        raise CommandExecutionError(
            f"interface: {file} is for other interfaces than {native['interface']}, too, and they would get its "
            f"addresses; define it by itself in {tunnel_yaml_text.FOLDER}"
        )
    lines = ["network:", "  version: 2", f"  {kind}:", f"    {name}:"]
    lines += ["      addresses:"] if native["addresses"] else []
    for address in native["addresses"]:
        if native_files.deprecated(native, address):
            if not file:
                raise CommandExecutionError("source: NetworkManager cannot make the other addresses deprecated")
            lines += [f'        - "{address}":', "            lifetime: 0"]
        else:
            lines.append(f'        - "{address}"')
    if native["gateway"]:
        metric = native["metric"] or native_settings.METRIC
        lines += ["      routes:", '        - to: "::/0"', f'          via: "{native["gateway"]}"']
        lines += [f"          metric: {metric}", "          on-link: true"]
    return native_files.own(path, native_files.HEADER + "\n".join(lines) + "\n", host)
