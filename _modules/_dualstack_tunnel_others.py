"""
All tunnels of this host, of whatever name, whoever made them: live, and in the files from which a boot makes them.

A tunnel is recognised by what it is, not by its name: its kind, and its ends.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import _dualstack_host_files as host_files
import _dualstack_plugins as plugins
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_scripts as tunnel_scripts
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_tunnel_wireguard as tunnel_wireguard
from salt.exceptions import CommandExecutionError

# The kinds of ip-link(8) that carry packets of the internet within others. (PPP is rather the way to it.)
KINDS = (
    *("sit", "ipip", "gre", "gretap", "erspan", "ip6tnl", "ip6gre", "ip6gretap", "ip6erspan", "vti", "vti6", "xfrm"),
    *("wireguard", "tun"),
)
TAP = "tap"  # of the kind `tun`, but the port of a virtual machine
OPEN = (tunnel_interface.ANY, "0.0.0.0", "::", "auto", "", "?", None)  # ends that may be any address
# The kernel's own.
FALLBACK = ("sit0", "gre0", "gretap0", "tunl0", "erspan0", "ip_vti0", "ip6tnl0", "ip6gre0", "ip6_vti0")
LARGEST = 1 << 20  # bytes of a script
# What editors and package managers leave beside a file; nobody runs it.
LEFT_OVER = re.compile(r".*(?:~|\.(?:dpkg-[a-z]+|ucf-[a-z]+|rpm(?:save|new|orig)|bak|old|orig|save|disabled))")

Tunnel = dict[str, Any]


def found(links: Iterable[Mapping[str, Any]], stacks: tunnel_stack.Stacks) -> list[Tunnel]:
    """
    All tunnels.

    links
        All interfaces, as ip(8) reports them.
    stacks
        The available network stacks, whose files are read whether they configure this host or not.

    Returns for each its ``name``, empty where a script does not say it; ``kind``; ``endpoint`` and ``local``, ``any``
    where they are not given; whether it is ``live``, and ``up``; its ``places`` in files, as in ``/etc/rc.local, line
    3``; whether one of these is ``ours``; and ``warnings``, about ends that are not what a file says.
    """
    tunnels: dict[Any, Tunnel] = {}
    for each in (*_live(links), *_configured(stacks), *_scripted()):
        key = each["name"] or (each["kind"], each["endpoint"], each["local"])
        known = tunnels.setdefault(key, {**each, "places": [], "warnings": []})
        known["places"] += [place for place in each["places"] if place not in known["places"]]
        known["ours"] = known["ours"] or each["ours"]
        known["warnings"] += [said for said in each["warnings"] if said not in known["warnings"]]
    return list(tunnels.values())


def _live(links: Iterable[Mapping[str, Any]]) -> Iterator[Tunnel]:
    for link in links:
        if is_tunnel(link) and link["ifname"] not in FALLBACK:
            data = link["linkinfo"].get("info_data", {})
            ends = {"endpoint": data.get("remote"), "local": data.get("local")}
            kind = link["linkinfo"]["info_kind"]
            seen = {
                "name": link["ifname"],
                "kind": "6to4" if kind == "sit" and ends["endpoint"] in OPEN else kind,
                **ends,
            }
            yield _described(seen, live=True, up="UP" in link["flags"])


def is_tunnel(link: Mapping[str, Any]) -> bool:
    """
    Whether an interface is a tunnel.

    link
        As ip(8) reports it.
    """
    kind = link.get("linkinfo", {})
    return kind.get("info_kind") in KINDS and kind.get("info_data", {}).get("type") != TAP


def _configured(stacks: tunnel_stack.Stacks) -> Iterator[Tunnel]:
    for plugin in stacks.values():
        for each in _of(plugin):
            yield _described(each, place=each["place"], ours=bool(each.get("ours")))


def _of(plugin: plugins.Stack) -> list[dict[str, Any]]:
    try:
        if "tunnels" not in plugin.about().get("offers", []):
            return []
        return plugin.tunnels(tunnel_stack.texts(plugin))
    except (CommandExecutionError, OSError):
        return []  # that the stack's files cannot be read is said of its configuration: `unread`


def scripts() -> Iterator[tuple[str, str]]:
    """The scripts of this host that may configure its network, and what they run: each with its path and its text."""
    paths = sorted({each for pattern in tunnel_scripts.places() for each in glob.glob(pattern)})
    callers = sorted({each for pattern in tunnel_scripts.callers() for each in glob.glob(pattern)})
    texts = [host_files.read(each) or "" for each in callers if os.path.isfile(each)]
    paths += [each for text in texts for each in tunnel_scripts.called(text) if each not in paths]
    for path in paths:
        if LEFT_OVER.fullmatch(path) or not os.path.isfile(path) or os.path.getsize(path) > LARGEST:
            continue
        text = host_files.read(path) or ""
        paths += [each for each in tunnel_scripts.called(text) if each not in paths]  # what they run, and that runs
        yield path, text


def _scripted() -> Iterator[Tunnel]:
    for path, text in scripts():
        for each in tunnel_scripts.found(text, path):
            yield _described(each, place=f"{path}, line {each['line']}")


def _described(
    tunnel: Mapping[str, Any], live: bool = False, up: bool = False, place: str = "", ours: bool = False
) -> Tunnel:
    endpoint, local = tunnel.get("endpoint"), tunnel.get("local")
    return {
        "name": tunnel.get("name") or "",
        "kind": tunnel.get("kind") or "sit",
        "endpoint": tunnel_interface.ANY if endpoint in OPEN else endpoint,
        "local": tunnel_interface.ANY if local in OPEN else local,
        "live": live,
        "up": up,
        "places": [place] if place else [],
        "ours": ours,
        "warnings": [f"{place}: {tunnel['warning']}"] if tunnel.get("warning") else [],
    }


def colliding(wanted: Mapping[str, Any], tunnels: Iterable[Tunnel], kind: str = "sit") -> list[Tunnel]:
    """
    The tunnels of other names that have the ends of one that is wanted, or may have them.

    wanted
        With ``name``, ``endpoint`` and ``local``.
    tunnels
        From :py:func:`found`.
    kind
        Of the wanted one.

    To the kernel, two tunnels of the same ends are one; and where one end is any address, both would take the packets
    of the same broker, which has one tunnel. Of WireGuard there may be several, each with a key of its own.
    """
    return [
        each
        for each in tunnels
        if each["name"] != wanted["name"]
        and wanted["endpoint"] not in OPEN
        and each["kind"] == kind != tunnel_wireguard.CARRIER
        and each["endpoint"] == wanted["endpoint"]
        and (each["local"] == wanted["local"] or each["local"] in OPEN or wanted["local"] in OPEN)
    ]


def listed(tunnels: list[Tunnel]) -> list[Tunnel]:
    """
    Tunnels, each with the names of those that it ``collides`` with.

    tunnels
        From :py:func:`found`.
    """
    return [
        {**each, "collides": [other["name"] for other in colliding(each, tunnels, each["kind"])]} for each in tunnels
    ]


def sentence(tunnel: Tunnel) -> str:
    """
    A tunnel in words.

    tunnel
        From :py:func:`found`.
    """
    seen = ["live" if tunnel["up"] else "live, but down"] if tunnel["live"] else []
    local = "" if tunnel["local"] in OPEN else f" from {tunnel['local']}"
    return f"{tunnel['name'] or 'a tunnel'}{local} to {tunnel['endpoint']} ({'; '.join([*seen, *tunnel['places']])})"
