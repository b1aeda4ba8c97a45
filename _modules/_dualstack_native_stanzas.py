"""
The hoster's IPv6 in the files of ifup(8), interfaces(5), in its three implementations; ifupdown's are written. PURE:
never accesses the host.

The file has a stanza of the interface's own name: ifup(8) carries out all of one name. The addresses and the route are
in hooks, which can be repeated, and change no parameter of the interface.
"""

from __future__ import annotations

import fnmatch
import math
import posixpath
import re
from collections.abc import Mapping
from typing import Any

import _dualstack_native_files as native_files
import _dualstack_native_hooks as native_hooks
import _dualstack_native_settings as native_settings
import _dualstack_tunnel_interfaces5 as tunnel_interfaces5
from salt.exceptions import CommandExecutionError

Fact = native_files.Fact
# By these options, and by such a hook, a stanza makes its interface.
MADE = ("bridge", "bond_slaves", "bond_mode", "ovs_", "vlan_raw_device")
MAKING = re.compile(r"\bip\s+(?:-\S+\s+)*l\w*\s+add\b|\bip\s+tu\w*\s+add\b|\bbrctl\s+addbr\b|\bvconfig\s+add\b")
# It waits for duplicate address detection, 6 seconds at most: of every address, as a stanza with an address has it for
# its own. (Without these variables it asks ip(8) for nonsense, hears nothing, and does not wait.)
SETTLE = "IF_ADDRESS=:: IF_NETMASK=0 /lib/ifupdown/settle-dad.sh"


def read(native: Mapping[str, Any], host: Mapping[str, str]) -> list[Fact]:
    """
    What the files say about the IPv6 of an interface.

    native
        Its ``interface``.
    host
        The texts of the files, by path.
    """
    name = native["interface"]
    own = tunnel_interfaces5.own_file(native_settings.file_name(name))
    every = {path: tunnel_interfaces5.stanzas(text) for path, text in host.items()}
    templates = {each.name: each for stanzas in every.values() for each in stanzas if each.name}
    found: list[Fact] = []
    for path, stanzas in every.items():
        ours = path == own and host[path].startswith(native_files.MARK)
        for stanza in stanzas:
            if stanza.keyword != "iface":
                continue
            iface = tunnel_interfaces5.real(stanza.name)
            if iface == name:
                found += _of_options(stanza, templates, path, ours)
            for option in stanza.options:
                if option.key in tunnel_interfaces5.HOOKS and option.key not in tunnel_interfaces5.DOWN:
                    found += _of_hook(option, name, stanza, path, ours)
    return found


def _of_options(
    stanza: tunnel_interfaces5.Stanza, templates: Mapping[str, tunnel_interfaces5.Stanza], path: str, ours: bool
) -> list[Fact]:
    """Its addresses and gateways, also those of the stanzas whose options it inherits."""
    options, above, seen = list(stanza.options), _above(stanza), {stanza.name}
    while above in templates and above not in seen:
        seen.add(above)
        options = [*templates[above].options, *options]
        above = _above(templates[above])
    said = [(each.key, tunnel_interfaces5.plain(each.value), each) for each in options]
    masks = [value for key, value, _ in said if key == "netmask"]
    metrics = [value for key, value, _ in said if key == "metric"]
    metric = int(metrics[-1]) if metrics and metrics[-1].isdecimal() else native_settings.METRIC
    deprecated = any((key, value) == ("preferred-lifetime", "0") for key, value, _ in said)
    found: list[Fact] = []
    for key, value, option in said:
        own = option in stanza.options
        place = f"{path}, line {(option.first if own else stanza.first) + 1}"
        if key == "address":
            whole = value if "/" in value else f"{value}/{masks[-1] if masks else '128'}"
            read = native_files.fact(place, ours, whole, deprecated=deprecated)
            # Such as a netmask of ffff:ffff:ffff:ffff::, which ip(8) does not take.
            found += read or (native_files.unclear(place, ours, f"ip -6 addr add {value}") if ":" in value else [])
        elif key == "gateway":  # some have options of ip(8) behind it
            found += native_files.fact(place, ours, gateway="".join(value.split()[:1]), metric=metric)
    return found


def _above(stanza: tunnel_interfaces5.Stanza) -> str:
    """The stanza that it inherits from; for ifupdown-ng, that is an option."""
    return stanza.inherits or "".join(stanza.values("inherit")[:1])


def _of_hook(
    option: tunnel_interfaces5.Option, name: str, stanza: tunnel_interfaces5.Stanza, path: str, ours: bool
) -> list[Fact]:
    place, iface = f"{path}, line {option.first + 1}", tunnel_interfaces5.real(stanza.name)
    if iface != name and not re.search(rf"(?<![\w.:-]){re.escape(name)}(?![\w.-])", option.value):
        return []
    known = {
        f"IF_{each.key.upper().replace('-', '_')}": tunnel_interfaces5.plain(each.value) for each in stanza.options
    }
    added, text = native_hooks.read(option.value, name, iface, known)
    found: list[Fact] = []
    for each in added:
        found += native_files.fact(place, ours, each.address, each.gateway, each.metric, each.deprecated)
    return found + (native_files.unclear(place, ours, text) if text else [])


def write(native: Mapping[str, Any], host: Mapping[str, str]) -> dict[str, str | None]:
    """
    The files that change.

    native
        From :py:func:`native_files.lacking`, or :py:func:`native_files.nothing`.
    host
        The texts of the files, by path.

    Returns the new texts, ``None`` for a file that goes. Raises ``CommandExecutionError`` where that file is somebody
    else's, or nothing brings the interface up at boot.
    """
    name = native["interface"]
    file = native_settings.file_name(name)
    line, main = tunnel_interfaces5.source_line(file), host.get(tunnel_interfaces5.MAIN, "")
    if native_files.is_empty(native):
        result = native_files.own(tunnel_interfaces5.own_file(file), None, host)
        if line in main.splitlines(keepends=True):
            result[tunnel_interfaces5.MAIN] = "".join(each for each in main.splitlines(keepends=True) if each != line)
        return result
    every = [each for text in host.values() for each in tunnel_interfaces5.stanzas(text)]
    if not any(each.selects and _selects(each, name) for each in every):
        raise CommandExecutionError(
            f"interface: no file of ifupdown's brings {name} up at boot; expected a line 'auto {name}' or "
            f"'allow-hotplug {name}'"
        )
    for path, text in host.items():
        for each in tunnel_interfaces5.stanzas(text):
            if each.keyword == "mapping" and any(fnmatch.fnmatchcase(name, pattern) for pattern in each.words[1:]):
                raise CommandExecutionError(
                    f"interface: the mapping in {path}, line {each.first + 1} has {name} brought up by the stanza of "
                    "another name, which a file of ours would not be part of; write the addresses into that stanza"
                )
    _check_order(name, tunnel_interfaces5.own_file(file), host)
    result = native_files.own(tunnel_interfaces5.own_file(file), text_of(native), host)
    if not tunnel_interfaces5.read(file, {**host, tunnel_interfaces5.MAIN: main}):
        # Only this file, not the folder: other files there have been inactive so far, and stay so.
        result[tunnel_interfaces5.MAIN] = tunnel_interfaces5.included(main, file)
    return result


def _check_order(name: str, own: str, host: Mapping[str, str]) -> None:
    """ifup(8) goes by the order of the files: an interface that another stanza makes has to be there before ours."""
    makers = [
        (
            (each.first, path) if path == tunnel_interfaces5.MAIN else _position(path, host),
            f"{path}, line {each.first + 1}",
        )
        for path, text in host.items()
        for each in tunnel_interfaces5.stanzas(text)
        if path != own and each.keyword == "iface" and each.name == name and any(map(_makes, each.options))
    ]
    if makers and _position(own, host) < min(makers)[0]:
        raise CommandExecutionError(
            f"interface: the stanza in {min(makers)[1]} makes {name}, and {tunnel_interfaces5.MAIN}, line "
            f"{_position(own, host)[0] + 1} includes {own} before that, while there is no {name} yet; move that line "
            "to the end of the file"
        )


def _makes(option: tunnel_interfaces5.Option) -> bool:
    return option.key.replace("-", "_").startswith(MADE) or (
        option.key == "pre-up" and bool(MAKING.search(option.value))
    )


def _position(path: str, host: Mapping[str, str]) -> tuple[float, str]:
    """Where a file is read: by which line of the main one, and in which order of several."""
    for stanza in tunnel_interfaces5.stanzas(host.get(tunnel_interfaces5.MAIN, "")):
        for pattern, expression in tunnel_interfaces5.includes(tunnel_interfaces5.MAIN, " ".join(stanza.words)):
            same = posixpath.dirname(path) == posixpath.dirname(pattern) and fnmatch.fnmatchcase(path, pattern)
            if same and re.fullmatch(expression, posixpath.basename(path)):
                return stanza.first, path
    return math.inf, path


def _selects(stanza: tunnel_interfaces5.Stanza, name: str) -> bool:
    """By its name, or by a pattern, which begins with a slash."""
    return stanza.declares(name) or any(
        fnmatch.fnmatchcase(name, each[1:].removesuffix("/")) for each in stanza.interfaces if each.startswith("/")
    )


def text_of(native: Mapping[str, Any]) -> str:
    """
    The text of the file.

    native
        As for :py:func:`write`.
    """
    # Not `inet6 static`: that switches off the addresses that the interface has from router advertisements (autoconf),
    # and fails where the address is there already. A hook that fails would leave an interface that ifdown(8) does not
    # know of.
    lines = [f"iface {native['interface']} inet6 manual"]
    for address in native["addresses"]:
        preferred = " preferred_lft 0" if native_files.deprecated(native, address) else ""
        lines.append(f"    up ip -6 addr replace {address} dev $IFACE{preferred} || true")
    if native["gateway"]:
        metric = native["metric"] or native_settings.METRIC
        lines.append(
            f"    up ip -6 route replace default via {native['gateway']} dev $IFACE onlink metric {metric} || true"
        )
    # As ifupdown itself does: what starts after the network can be bound to the addresses then.
    lines += [f"    up {SETTLE} || true"] if native["addresses"] else []
    return native_files.HEADER + "\n".join(lines) + "\n"


def told(stack: str, native: Mapping[str, Any], host: Mapping[str, str]) -> dict[str, str | None]:
    """
    The same for an implementation whose files are not written: nothing changes, or it raises
    ``CommandExecutionError`` with what to write.

    stack
        Its name.
    native, host
        As for :py:func:`write`.
    """
    if native_files.is_empty(native):
        return {}
    metric = native["metric"] or native_settings.METRIC
    lines = [f"address {each}" for each in native["addresses"]]
    if native["gateway"]:
        lines.append(f"up ip -6 route replace default via {native['gateway']} dev $IFACE onlink metric {metric}")
    places = [
        path
        for path, text in host.items()
        for each in tunnel_interfaces5.stanzas(text)
        if each.keyword == "iface" and each.name == native["interface"]
    ]
    raise native_files.by_hand(stack, native, f"{(places or [tunnel_interfaces5.MAIN])[0]}, at its stanza", lines)
