"""
The tunnel in the configuration of ifupdown-ng, interfaces(5) of Alpine and Debian. PURE: never accesses the host.

Measured with 0.11.3:

* A stanza ``v4tunnel`` with an ``endpoint`` makes every command fail, for all interfaces. A tunnel always needs a
  ``tunnel-local``, which may be ``any``.
* Without ``metric`` a default route gets the metric 1, and beats every other.
* ``ifup --force`` counts an interface twice; an interface that was deleted by hand is forgotten by ``ifdown``.
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
__virtualname__ = "tunnel_ifupdown_ng"

MAIN = tunnel_interfaces5.MAIN
STATE = "/run/ifstate"

# The words of these files that are shown in changes.
SHOWN = (
    "auto iface inet6 static manual use tunnel tunnel-mode sit tunnel-dev tunnel-local tunnel-remote tunnel-endpoint "
    "tunnel-ttl any address netmask gateway metric mtu source source-directory up post-up down ip -6 addr route add "
    "replace del default from via dev onlink preferred_lft $IFACE echo true /proc/sys/net/ipv6/conf/$IFACE/accept_ra "
    "unreachable gre without a route"
).split()


def about() -> dict[str, Any]:
    """
    How ifupdown-ng is recognised on a host.

    Returns the keys of :py:func:`tunnel_ifupdown.about`.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.about
    """
    return {
        "program": "ifup",
        "arguments": ["--version"],
        "otherwise": "which reads /etc/network/interfaces differently: the options of the tunnel's stanza are others",
        "mark": tunnel_own.MARK,
        "words": SHOWN,
        "carriers": ["sit", "gre"],
        "binds": True,
        "evidence": [STATE],
        "offers": ["has", "record", "tunnels", "native_read", "native_files"],
        "boot": {
            "service": "networking",
            "selected": tunnel_interfaces5.SELECTED,
            "unless": {},
        },
    }


def recognise(version: str) -> str:
    """
    Which implementation of ifup(8) this is.

    version
        What ``ifup --version`` printed.

    Returns ``ifupdown``, ``ifupdown_ng``, ``ifupdown2`` or ``unknown``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.recognise 'ifupdown-ng 0'
    """
    return tunnel_interfaces5.implementation(version, {"ifupdown-ng": "ifupdown_ng"})


def roots(name: str) -> list[str]:
    """
    The files to begin reading with; :py:func:`includes` leads to the others.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.roots he-ipv6
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

        salt '*' tunnel_ifupdown_ng.includes /etc/network/interfaces 'source /etc/network/interfaces.d/*'
    """
    return tunnel_interfaces5.includes(path, text)


def files(tunnel: dict[str, Any]) -> dict[str, str]:
    """
    The file of a tunnel, as text.

    tunnel
        In canonical form (:py:func:`tunnel_sit.canonical`), its ``local`` an address, or ``any``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.files '{name: he-ipv6, endpoint: 216.66.84.42, local: any, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, ttl: 255, mtu: 1480}'
    """  # noqa: E501
    name = tunnel["name"]
    stanza = [f"auto {name}", f"iface {name}", "    use tunnel"]
    return {
        tunnel_interfaces5.own_file(name): tunnel_own.HEADER
        + "\n".join([*stanza, *tunnel_stanzas.lines(tunnel, tunnel_stanzas.IFUPDOWN_NG, "up")])
        + "\n"
    }


def present(tunnel: dict[str, Any], host: dict[str, str], adopt: bool = False) -> dict[str, str]:
    """
    The files of a host on which the tunnel is configured.

    tunnel
        In canonical form, its ``local`` an address, or ``any``.
    host
        The text of every file that ifupdown-ng reads on the host, by path.
    adopt
        Move hand-written stanzas of this name here, instead of refusing.

    Returns and raises as :py:func:`tunnel_ifupdown.present`.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.present '{name: he-ipv6, endpoint: 216.66.84.42, local: any, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, ttl: 255, mtu: 1480}' '{/etc/network/interfaces: ""}'
    """  # noqa: E501
    return tunnel_adoption.present(tunnel["name"], host, adopt, tunnel_stanzas.IFUPDOWN_NG, tunnel, files(tunnel))


def absent(name: str, host: dict[str, str], adopt: bool = False) -> dict[str, str | None]:
    """
    The files of a host on which the tunnel is not configured.

    name
        The interface name.
    host
        The text of every file that ifupdown-ng reads on the host, by path.
    adopt
        Remove hand-written stanzas of this name, too, instead of refusing.

    Returns and raises as :py:func:`tunnel_ifupdown.absent`.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.absent he-ipv6 '{/etc/network/interfaces: ""}'
    """
    return tunnel_adoption.absent(name, host, adopt, tunnel_stanzas.IFUPDOWN_NG)


def parse(name: str, host: dict[str, str]) -> dict[str, Any] | None:
    """
    The tunnel that the configuration of a host declares.

    name
        The interface name.
    host
        The text of every file that ifupdown-ng reads on the host, by path.

    Returns the keys of a tunnel as far as the stanzas have them, or ``None`` if there is no such tunnel.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.parse he-ipv6 \\
            '{/etc/network/interfaces: "iface he-ipv6\\n use tunnel\\n tunnel-mode sit\\n tunnel-remote 216.66.84.42"}'
    """
    return tunnel_stanzas.parse(name, host, tunnel_stanzas.IFUPDOWN_NG)


def tunnels(host: dict[str, str]) -> list[dict[str, Any]]:
    """
    All tunnels that the files of a host would make, whatever their names: by stanzas, and by hooks of any interface.

    host
        The text of every file that ifupdown-ng reads on the host, by path.

    Returns what :py:func:`tunnel_ifupdown.tunnels` returns.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.tunnels \\
            '{/etc/network/interfaces: "iface he-ipv6\\n use tunnel\\n tunnel-mode sit\\n tunnel-remote 216.66.84.42"}'
    """
    return tunnel_stanzas.tunnels(host)


def up(name: str) -> list[list[str]]:
    """
    The commands that bring up an interface that does not exist, but may be recorded as up.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.up he-ipv6
    """
    return [["ifdown", name], ["ifup", name]]


def down(name: str) -> list[list[str]]:
    """
    The commands that take an interface down, whether it is recorded as up or not.

    name
        The interface name.

    Their exit status means nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.down he-ipv6
    """
    return [["ifdown", name], ["ifdown", "--force", name]]


def has(interface: dict[str, Any], evidence: dict[str, str]) -> str:
    """
    By what is seen that ifupdown-ng has an interface up.

    interface
        Its ``name``.
    evidence
        The texts of the files that :py:func:`about` calls so, by path.

    Returns a sentence; empty if it has not.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.has '{name: eth0}' '{}'
    """
    return tunnel_interfaces5.has(interface, evidence)


def record(name: str) -> list[list[str]]:
    """
    The command by which ifupdown-ng knows as up what is up already, and leaves it as it is: ifup(8) itself makes the
    entry, under its own lock, for a stanza with nothing in it, and without its executors.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.record he-ipv6
    """
    script = 'printf "iface %s\\n" "$1" | ifup --executor-path /nonexistent -i /proc/self/fd/0 "$1"'
    return [["sh", "-c", script, "ifup", name]]


def native_read(native: dict[str, Any], host: dict[str, str]) -> list[dict[str, Any]]:
    """
    What the files say about the IPv6 of an interface, as :py:func:`tunnel_ifupdown.native_read`.

    native, host
        As there.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.native_read '{interface: eth0, index: 2}' '{}'
    """
    return native_stanzas.read(native, host)


def native_files(native: dict[str, Any], host: dict[str, str]) -> dict[str, str | None]:
    """
    The files that change for IPv6 of an interface, as :py:func:`tunnel_ifupdown.native_files`.

    native, host
        As there.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_ifupdown_ng.native_files '{interface: eth0, index: 2, addresses: [], gateway: "", metric: null, source: null}' '{}'
    """  # noqa: E501
    return native_stanzas.told("ifupdown-ng", native, host)
