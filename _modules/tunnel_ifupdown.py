"""
The tunnel in the configuration of Debian's ifupdown, interfaces(5). PURE: never accesses the host.

The network stacks are plug-ins: an execution module ``tunnel_<stack>`` with the functions of this one.

* How ifupdown treats a stanza was measured with 0.8.41 and 0.8.44. The form that :py:func:`files` writes has no hook
  that could fail and orphan the tunnel, and determines every source address.
* A tunnel has one file of its own, ``/etc/network/interfaces.d/<name>``. Other files are changed in two cases only:
  when none of them sources that file, and when ``adopt`` moves a stanza written by hand.
"""

from __future__ import annotations

from typing import Any

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_native_stanzas as native_stanzas
    import _dualstack_tunnel_adoption as tunnel_adoption
    import _dualstack_tunnel_interfaces5 as tunnel_interfaces5
    import _dualstack_tunnel_own as tunnel_own
    import _dualstack_tunnel_stanzas as tunnel_stanzas
    import _dualstack_tunnel_wireguard as tunnel_wireguard
__virtualname__ = "tunnel_ifupdown"

MAIN = tunnel_interfaces5.MAIN
STATE = "/run/network/ifstate"

# The words of these files that are shown in changes.
SHOWN = (
    "auto allow-hotplug iface inet inet6 v4tunnel static manual address netmask endpoint local gateway metric ttl mtu "
    "preferred-lifetime accept_ra autoconf dad-attempts source source-directory pre-up up post-up pre-down down "
    "post-down ip -6 addr route add replace del default from via dev onlink unreachable link tunnel mode sit gre "
    "remote type wireguard wg set private-key listen-port peer preshared-key allowed-ips persistent-keepalive $IFACE "
    "echo true show /dev/null ifup sysctl /proc/sys/net/ipv6/conf/$IFACE/accept_ra without a"
).split()


def about() -> dict[str, Any]:
    """
    How ifupdown is recognised on a host.

    Returns ``program``, which has to be there; ``arguments``, with which it identifies itself to :py:func:`recognise`;
    ``otherwise``, why another implementation of it does not work; ``mark``, what a file of this project's own begins
    with; ``words``, those of its files that are shown in changes; ``carriers``, which tunnels it can make; ``binds``,
    whether to a device; ``boot``, how an interface comes up at boot; and ``evidence``, the files by which
    :py:func:`has` judges.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.about
    """
    return {
        "program": "ifup",
        "arguments": ["--version"],
        "otherwise": "which reads /etc/network/interfaces differently and could lose all its interfaces because "
        "of the tunnel's stanza",
        "mark": tunnel_own.MARK,
        "words": SHOWN,
        "carriers": ["sit", "gre", tunnel_wireguard.CARRIER],
        "binds": True,
        "evidence": [STATE],
        "offers": ["has", "record", "tunnels", "native_read", "native_files"],
        "boot": {
            "service": "networking",
            "selected": tunnel_interfaces5.SELECTED,
            "unless": tunnel_interfaces5.UNLESS,
        },
    }


def recognise(version: str) -> str:
    """
    Which implementation of ifup(8) this is.

    version
        What ``ifup --version`` printed.

    Returns ``ifupdown``, ``ifupdown-ng``, ``ifupdown2`` or ``unknown``. They read the same file differently: a
    ``v4tunnel`` stanza makes every command of ifupdown-ng fail, for all interfaces.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.recognise 'ifup version 0.8.41'
    """
    return tunnel_interfaces5.implementation(version, {})


def up(name: str) -> list[str]:
    """
    The command that brings up an interface that does not exist.

    name
        The interface name.

    ``--force``, since an interface that was deleted by hand is still recorded as up.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.up he-ipv6
    """
    return ["ifup", "--force", name]


def down(name: str) -> list[str]:
    """
    The command that takes an interface down, with the configuration that it was brought up with.

    name
        The interface name.

    Its exit status means nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.down he-ipv6
    """
    return ["ifdown", "--force", name]


def roots(name: str) -> list[str]:
    """
    The files to begin reading with; :py:func:`includes` leads to the others.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.roots he-ipv6
    """
    return [MAIN, tunnel_interfaces5.own_file(name)]


def includes(path: str, text: str) -> list[list[str]]:
    """
    The files that a file includes.

    path
        The file's own path; relative patterns start in its folder.
    text
        Its content.

    Returns a list of pairs: a shell pattern for paths, and a regular expression for the last part of the path.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.includes /etc/network/interfaces 'source /etc/network/interfaces.d/*'
    """
    return tunnel_interfaces5.includes(path, text)


def files(tunnel: dict[str, Any]) -> dict[str, str]:
    """
    The files of a tunnel, as text.

    tunnel
        In canonical form (:py:func:`tunnel_sit.canonical`), its ``local`` an address, or ``any``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.files '{name: he-ipv6, endpoint: 216.66.84.42, local: 46.105.5.1, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, ttl: 255, mtu: 1480}'
    """  # noqa: E501
    name, source = tunnel["name"], tunnel["source"]
    sit = tunnel.get("carrier", "sit") == "sit" and not tunnel.get("dev")  # a v4tunnel is bound to none
    lines = [
        f"auto {name}",
        *(_sit(tunnel) if sit else _other(tunnel)),
    ]
    if tunnel["routing"] == "default":
        lines += [f"    gateway {tunnel['gateway']}", f"    metric {tunnel['metric']}"]
    lines += [f"    ttl {tunnel['ttl']}"] if sit else []  # of others it is in the hook
    lines += [f"    mtu {tunnel['mtu']}"]
    lines += [
        *_deprecation(tunnel["address"], source),
        f"    up {tunnel_stanzas.QUIET}",
        *tunnel_stanzas.refusing(tunnel),
    ]
    if tunnel["routing"] == "source":
        # `ip route add` cannot be repeated, `replace` can: a hook that fails leaves an interface that ifdown ignores.
        lines += [f"    up ip -6 route replace {route} dev $IFACE onlink" for route in tunnel["routes"]]
    lines += [f"    {each}" for each in tunnel_own.unrouted(tunnel)]
    # Not a second `address` line: ifupdown would put both into one command.
    for address in tunnel["addresses"]:
        lines += [
            f"iface {name} inet6 static",
            f"    address {address}",
            "    accept_ra 0",
            "    dad-attempts 0",
            *_deprecation(address, source),
        ]
    return {tunnel_interfaces5.own_file(name): tunnel_own.HEADER + "\n".join(lines) + "\n"}


def _sit(tunnel: dict[str, Any]) -> list[str]:
    return [
        f"iface {tunnel['name']} inet6 v4tunnel",
        f"    address {tunnel['address']}",
        f"    endpoint {tunnel['endpoint']}",
        *([] if tunnel["local"] in tunnel_own.NO_LOCAL else [f"    local {tunnel['local']}"]),
    ]


def _other(tunnel: dict[str, Any]) -> list[str]:
    """A tunnel for which interfaces(5) has no method but `inet tunnel`, which would take an IPv4 address of its own."""
    local = "" if tunnel["local"] in tunnel_own.NO_LOCAL else f" local {tunnel['local']}"
    dev = f" dev {tunnel['dev']}" if tunnel.get("dev") else ""
    ends = f"remote {tunnel['endpoint']}{local} ttl {tunnel['ttl']}{dev}"
    made = [f"ip tunnel add $IFACE mode {tunnel.get('carrier', 'sit')} {ends}"]
    if tunnel.get("carrier") == tunnel_wireguard.CARRIER:
        peer = tunnel_wireguard.said("$IFACE", tunnel["endpoint"], tunnel[tunnel_wireguard.CARRIER])
        made = [f"ip link add dev $IFACE type {tunnel_wireguard.CARRIER}", peer]
    if tunnel.get("dev"):
        # `ifup -a` goes by the order of the files, in which this one may be before a VLAN, a bridge or a bond.
        made = [f"ip link show dev {tunnel['dev']} >/dev/null 2>&1 || ifup {tunnel['dev']}", *made]
    return [
        f"iface {tunnel['name']} inet6 static",
        *(f"    pre-up {each} || true" for each in made),
        "    post-down ip link del dev $IFACE || true",
        f"    address {tunnel['address']}",
        "    accept_ra 0",
        "    dad-attempts 0",
    ]


def _deprecation(address: str, source: str) -> list[str]:
    return [] if address.partition("/")[0] == source else ["    preferred-lifetime 0"]


def present(tunnel: dict[str, Any], host: dict[str, str], adopt: bool = False) -> dict[str, str]:
    """
    The files of a host on which the tunnel is configured.

    tunnel
        In canonical form, its ``local`` an address, or ``any``.
    host
        The text of every file that ifupdown reads on the host, by path.
    adopt
        Move hand-written stanzas of this name here, instead of refusing.

    Returns the new text of every file that matters. Raises ``CommandExecutionError`` if the name is configured
    elsewhere and may not be moved, or if moving would lose something: an address, a route, a value that the tunnel does not
    have, or a line that no key of a tunnel can say.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.present '{name: he-ipv6, endpoint: 216.66.84.42, local: 46.105.5.1, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, ttl: 255, mtu: 1480}' '{/etc/network/interfaces: ""}'
    """  # noqa: E501
    name = tunnel["name"]
    return tunnel_adoption.present(name, host, adopt, tunnel_stanzas.IFUPDOWN, tunnel, files(tunnel))


def absent(name: str, host: dict[str, str], adopt: bool = False) -> dict[str, str | None]:
    """
    The files of a host on which the tunnel is not configured.

    name
        The interface name.
    host
        The text of every file that ifupdown reads on the host, by path.
    adopt
        Remove hand-written stanzas of this name, too, instead of refusing.

    Returns the new text of every file that matters, ``None`` for one that is removed. Raises
    ``CommandExecutionError`` as :py:func:`present` does.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.absent he-ipv6 '{/etc/network/interfaces: ""}'
    """
    return tunnel_adoption.absent(name, host, adopt, tunnel_stanzas.IFUPDOWN)


def parse(name: str, host: dict[str, str]) -> dict[str, Any] | None:
    """
    The tunnel that the configuration of a host declares.

    name
        The interface name.
    host
        The text of every file that ifupdown reads on the host, by path.

    Returns the keys of a tunnel as far as the stanzas have them, or ``None`` if there is no such tunnel.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.parse he-ipv6 \\
            '{/etc/network/interfaces: "iface he-ipv6 inet6 v4tunnel\\n endpoint 216.66.84.42"}'
    """
    return tunnel_stanzas.parse(name, host, tunnel_stanzas.IFUPDOWN)


def tunnels(host: dict[str, str]) -> list[dict[str, Any]]:
    """
    All tunnels that the files of a host would make, whatever their names: by stanzas, and by hooks of any interface.

    host
        The text of every file that ifupdown reads on the host, by path.

    Returns dictionaries: ``name``; ``kind`` (``sit``, ``6to4`` for one without an endpoint, ``gre``, ...); ``endpoint``
    and ``local``, an address, ``any``, or ``?`` where only a run would tell; ``place`` (``path, line 7``); and whether
    the file is ``ours``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.tunnels \\
            '{/etc/network/interfaces: "iface he-ipv6 inet6 v4tunnel\\n endpoint 216.66.84.42"}'
    """
    return tunnel_stanzas.tunnels(host)


def has(interface: dict[str, Any], evidence: dict[str, str]) -> str:
    """
    By what is seen that ifupdown has an interface up.

    interface
        Its ``name``.
    evidence
        The texts of the files that :py:func:`about` calls so, by path.

    Returns a sentence; empty if it has not.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.has '{name: eth0}' '{/run/network/ifstate: "eth0=eth0"}'
    """
    return tunnel_interfaces5.has(interface, evidence)


def record(name: str) -> list[list[str]]:
    """
    The command by which ifupdown knows as up what is up already, and leaves it as it is.

    name
        The interface name.

    ifup(8) itself makes the entry, under its own lock, for a stanza that does nothing. Then ``ifup -a`` leaves the
    interface alone, and ``ifdown`` takes it down as its own file says. ``/dev/stdin`` is not everywhere.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.record he-ipv6
    """
    script = 'printf "iface %s inet6 manual\\n" "$1" | ifup --no-scripts --force -i /proc/self/fd/0 "$1"'
    return [["sh", "-c", script, "ifup", name]]


def native_read(native: dict[str, Any], host: dict[str, str]) -> list[dict[str, Any]]:
    """
    What the files say about the IPv6 of an interface of the host's own.

    native
        Its ``interface``, and its ``index``.
    host
        The texts of the files that ifupdown reads, and of the evidence, by path.

    Returns dictionaries: an ``address`` with its prefix length or a ``gateway``, empty for the other; ``place``
    (``path, line 7``); and whether the file is ``ours``. They may have more: the ``metric`` of the route, and whether
    the address is ``deprecated``. A hook that is not understood has neither, and is ``unclear``: its text.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.native_read '{interface: eth0, index: 2}' '{/etc/network/interfaces: "auto eth0"}'
    """
    return native_stanzas.read(native, host)


def native_files(native: dict[str, Any], host: dict[str, str]) -> dict[str, str | None]:
    """
    The files that change for an interface of the host's own to have IPv6 at the next boot.

    native
        ``interface``, ``index``, the ``addresses`` and the ``gateway`` that no other file has, empty for none,
        ``metric`` and ``source``.
    host
        As for :py:func:`native_read`.

    Returns the new texts, ``None`` for a file that goes. Raises ``CommandExecutionError`` where the file is somebody
    else's, or nothing brings the interface up at boot.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown.native_files '{interface: eth0, index: 2, addresses: [], gateway: "", metric: null, source: null}' '{/etc/network/interfaces: "auto eth0"}'
    """  # noqa: E501
    return native_stanzas.write(native, host)
