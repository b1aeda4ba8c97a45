"""
A connection that manages this host, and the interface by which its packets come.
"""

from __future__ import annotations

from typing import NamedTuple

import _dualstack_host_ip as host_ip
import _dualstack_host_routes as host_routes
import _dualstack_host_sysctl as host_sysctl

WITHOUT_WIRE = ("lo", "dummy")  # what comes to an address of these comes by another interface


class Connection(NamedTuple):
    """A TCP connection that has to remain possible."""

    family: str
    direction: str  # in, or out: this host opens it
    remote: str
    port: int
    why: str
    own: str | None = None  # this host's address, where it matters
    interface: str | None = None
    ssh: bool = False  # sshd answers


def family(address: str) -> str:
    """
    The family of an address.

    address
        In text.
    """
    return "ipv6" if ":" in address else "ipv4"


def logged_in(remote: str, own: str, port: int, interface: str) -> Connection:
    """
    The connection of an ssh client.

    remote, own, port
        Its address, and what it has connected to.
    interface
        The one by which it comes; empty to look.

    Raises ``CommandExecutionError`` where ip(8) does not say.
    """
    why = f"the ssh client {remote}, who is logged in"
    return Connection(family(remote), "in", remote, port, why, own, interface or incoming(remote, own), True)


def incoming(remote: str, own: str) -> str | None:
    """
    The interface by which packets come from a host to an address of this one; ``None`` leaves it to the route.

    remote, own
        The two addresses.

    They need not come by the interface by which the answers leave: with two uplinks and one default route, what is sent
    to the address of the second comes by the second. But they do where the other host is a neighbour there, where the
    address has no wire (``lo``, a dummy), or where the kernel drops what comes by any other (``rp_filter``). Raises
    ``CommandExecutionError`` where ip(8) does not say.
    """
    back = host_routes.back(remote, own)
    held = _held(own)
    if back.local or not held or back.interface in held or host_routes.on_link(remote, own):
        return back.interface
    return back.interface if back.interface and family(own) == "ipv4" and _strict(held[0]) else held[0]


def _held(own: str) -> list[str]:
    """The interfaces that have an address and can receive, as far as it comes by them."""
    links = host_ip.look(["-details", "addr", "show", "up"])
    return [
        link["ifname"]
        for link in links
        if any(each["local"] == own for each in link.get("addr_info", []))
        and link["ifname"] != "lo"
        and link.get("linkinfo", {}).get("info_kind") not in WITHOUT_WIRE
    ]


def _strict(interface: str) -> bool:
    """Whether the kernel drops what comes by an interface while the answer would leave by another, RFC 3704."""
    names = (f"net.ipv4.conf.{each}.rp_filter" for each in ("all", interface.replace(".", "/")))
    return max(int(host_sysctl.live(name) or 0) for name in names) == 1
