"""
A tunnel of systemd-networkd that is bound to a device: the file of that names the tunnel, systemd.network(5). PURE:
never accesses the host.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

import _dualstack_tunnel_netdev as tunnel_netdev
import _dualstack_tunnel_own as tunnel_own
from salt.exceptions import CommandExecutionError

FOLDER = "/etc/systemd/network"
MARK = "# bound to "  # in our own .netdev, the interface whose file has to name the tunnel
# A netdev that is not `Independent` is made with the interface whose file names it, and not again before that is
# configured anew; nor is one that is `Independent` since its file has changed. It is made here then; systemd-networkd
# takes it as its own.
MAKE = "; ".join(
    (
        f"file={FOLDER}/50-$1.netdev",
        "tries=0",
        "grep -q '^Independent=yes$' $file && tries=30",
        "while [ $tries -gt 0 ] && ! ip link show dev $1 >/dev/null 2>&1; do tries=$((tries - 1)); sleep 0.1; done",
        "ip link show dev $1 >/dev/null 2>&1 && exit 0",
        'of() { sed -n "s/^$1=//p" $file; }',
        "local=$(of Local)",
        f"dev=$(sed -n 's/^{MARK}//p' $file)",
        "ip tunnel add $1 mode $(of Kind) remote $(of Remote) ${local:+local $local} ttl $(of TTL) ${dev:+dev $dev} ||"
        " ip link show dev $1 >/dev/null 2>&1 || exit",  # it may be the first
        "ip link set dev $1 mtu $(of MTUBytes)",
    )
)


def drop_ins(name: str, host: Mapping[str, str]) -> dict[str, str | None]:
    """
    Our own lines in the files of other interfaces, to be removed.

    name
        The tunnel's.
    host
        The text of every file that systemd-networkd reads on the host, by path.
    """
    end = f".network.d/50-{name}.conf"
    return {path: None for path, text in host.items() if path.endswith(end) and text.startswith(tunnel_own.MARK)}


def files(name: str, dev: str, host: Mapping[str, str]) -> dict[str, str]:
    """
    The drop-in for the file of an interface, by which a tunnel is bound to that; none where it is already.

    name
        The tunnel's.
    dev
        The interface.
    host
        The text of every file that systemd-networkd reads on the host, by path, without our own drop-ins.

    Raises ``CommandExecutionError`` if another file binds the tunnel elsewhere, if there is none about the interface,
    or if it is about others, too.
    """
    if tunnel_netdev.named(name, host):
        if tunnel_netdev.underlay(name, host) == dev:
            return {}
        place = tunnel_netdev.named(name, host)[0]
        raise CommandExecutionError(
            f"dev: {place.path}, line {place.number} binds {name} to another interface than {dev}; take that away first"
        )
    path, assigned = next(iter(tunnel_netdev.about(dev, host).items()), ("", []))
    if not path:
        # A file of its own would take the place of one that has it by its MAC address, say, with all that is in there.
        raise CommandExecutionError(
            f"dev: no .network file of systemd-networkd is about {dev} by its name, and only such a file binds a "
            f"tunnel to it; write 'Name={dev}' into the [Match] of the file that configures it ('networkctl status "
            f"{dev}')"
        )
    if not tunnel_netdev.only(assigned, dev):
        raise CommandExecutionError(
            f"dev: {path} is about other interfaces than {dev}, too, and each would be given the tunnel; give {dev} a "
            "file of its own"
        )
    drop_in = f"{FOLDER}/{posixpath.basename(path)}.d/50-{name}.conf"
    return {drop_in: f"{tunnel_own.HEADER}[Network]\nTunnel={name}\n"}
