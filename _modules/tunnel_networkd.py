"""
The tunnel in the configuration of systemd-networkd, systemd.netdev(5) and systemd.network(5). PURE: never accesses the
host.

* A tunnel has two files of its own, ``/etc/systemd/network/50-<name>.netdev`` and ``.network``.
* systemd 252 does not change a netdev that exists: what differs is changed in the kernel, and the files are for the
  next boot. Later releases change it.
* Files that netplan has generated are netplan's.
"""

from __future__ import annotations

import posixpath
from typing import Any

import _dualstack_rooms
from salt.exceptions import CommandExecutionError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_native_units as native_units
    import _dualstack_tunnel_bound as tunnel_bound
    import _dualstack_tunnel_netdev as tunnel_netdev
    import _dualstack_tunnel_own as tunnel_own
    import _dualstack_tunnel_sit as tunnel_sit
    import _dualstack_tunnel_units as tunnel_units

__virtualname__ = "tunnel_networkd"

LINKS = "/run/systemd/netif/links/"
ONLINE = "/lib/systemd/systemd-networkd-wait-online"
PATIENCE = 20  # seconds for an interface that was made, to have its addresses and routes
# The words of these files that are shown in changes.
SHOWN = (
    "NetDev Name Kind sit MTUBytes Tunnel Independent yes Local Remote TTL Match Link RequiredForOnline no Network "
    "IPv6AcceptRA Address PreferredLifetime Route Destination Gateway GatewayOnLink Metric Source Type "
    "unreachable gre any bound to"
).split()


def about() -> dict[str, Any]:
    """
    How systemd-networkd is recognised on a host.

    Returns the keys of :py:func:`tunnel_ifupdown.about`, and ``unit``, which has to run; ``evidence``, the files by
    which :py:func:`has` judges; ``offers``, the functions that not every plug-in has; and ``settles``, the seconds that
    it may go on working after a command has returned.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.about
    """
    return {
        "program": "networkctl",
        "arguments": ["--version"],
        "otherwise": "which is not that of systemd",
        "mark": tunnel_own.MARK,
        "words": SHOWN,
        "carriers": ["sit", "gre"],
        "unit": "systemd-networkd.service",
        "evidence": [f"{LINKS}*"],
        "offers": ["has", "changed", "record", "tunnels", "native_read", "native_files"],
        "settles": 10.0,
        "binds": True,
        # It brings back itself what an interface has lost that was down.
        "fixed": ["up"],
        "boot": {
            "service": "systemd-networkd",
            "selected": r"^[ \t]*Name[ \t]*=[ \t]*{}[ \t]*$",
            "unless": {},
        },
    }


def recognise(version: str) -> str:
    """
    Which program this is.

    version
        What ``networkctl --version`` printed.

    Returns ``networkd`` or ``unknown``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.recognise 'systemd 252 (252.39-1~deb12u1)'
    """
    return "networkd" if version.startswith("systemd ") else "unknown"


def has(interface: dict[str, Any], evidence: dict[str, str]) -> str:
    """
    By what is seen that systemd-networkd configures an interface by files of its own.

    interface
        Its ``name`` and its ``index``.
    evidence
        The texts of the files that :py:func:`about` names, by path.

    Returns a reason; empty if it does not, or by a file of netplan's.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.has '{name: eth0, index: 2}' '{}'
    """
    path = f"{LINKS}{interface['index']}"
    state = dict(line.partition("=")[::2] for line in evidence.get(path, "").splitlines())
    file = state.get("NETWORK_FILE", "")
    if not file or state.get("ADMIN_STATE") == "unmanaged" or file.startswith(tunnel_units.NETPLAN):
        return ""
    return f"systemd-networkd has {interface['name']} by {file}"


def up(name: str) -> list[list[str]]:
    """
    The commands that bring up an interface that does not exist.

    name
        The interface name.

    The first one returns before anything is made; the last one waits for it.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.up he-ipv6
    """
    return [["networkctl", "reload"], ["sh", "-c", tunnel_bound.MAKE, "tunnel", name], _wait(name)]


def _wait(name: str) -> list[str]:
    return [ONLINE, f"--interface={name}", f"--timeout={PATIENCE}", "--quiet"]


def down(name: str) -> list[list[str]]:
    """
    The commands that take an interface down.

    name
        The interface name.

    The second one removes the routes that refuse packets: systemd-networkd leaves them.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.down he-ipv6
    """
    metric = str(tunnel_sit.owner(name))
    return [["networkctl", "delete", name], ["ip", "-6", "route", "flush", "type", "unreachable", "metric", metric]]


def changed(name: str) -> list[list[str]]:
    """
    The commands by which systemd-networkd takes changed files into account: other interfaces stay as they are.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.changed he-ipv6
    """
    return [["networkctl", "reload"]]


def record(name: str) -> list[list[str]]:
    """
    The commands by which systemd-networkd makes an interface its own that is up already.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.record he-ipv6
    """
    return [["networkctl", "reload"], ["networkctl", "reconfigure", name], _wait(name)]


def roots(name: str) -> list[str]:
    """
    The files to begin reading with, as patterns of paths.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.roots he-ipv6
    """
    own = [each for each in _own_files(name) if name]
    return [*own, *(f"{folder}/*.{kind}" for folder in tunnel_units.FOLDERS[:-1] for kind in tunnel_units.KINDS)]


def _own_files(name: str) -> list[str]:
    return [f"{tunnel_bound.FOLDER}/50-{name}.{kind}" for kind in tunnel_units.KINDS]


def includes(path: str, text: str) -> list[list[str]]:
    """
    The files that a file includes: its drop-ins.

    path
        The file's own path.
    text
        Its content.

    Returns a list of pairs: a shell pattern for paths, and a regular expression for the last part of the path.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.includes /etc/systemd/network/20-eth0.network ''
    """
    if not path.endswith(tuple(f".{each}" for each in tunnel_units.KINDS)):
        return []
    return [[f"{folder}/{posixpath.basename(path)}.d/*.conf", ".*"] for folder in tunnel_units.FOLDERS[:-1]]


def parse(name: str, host: dict[str, str]) -> dict[str, Any] | None:
    """
    The tunnel that the configuration of a host declares.

    name
        The interface name.
    host
        The text of every file that systemd-networkd reads on the host, by path.

    Returns the keys of a tunnel as far as the files have them, or ``None`` if there is no such tunnel.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.parse he-ipv6 \\
            '{/etc/systemd/network/he.netdev: "[NetDev]\\nName=he-ipv6\\nKind=sit\\n[Tunnel]\\nRemote=216.66.84.42\\n"}'
    """
    found = tunnel_netdev.read(name, host)
    own = host.get(_own_files(name)[1], "")
    if found is not None and found["routing"] == "none":
        found.update(tunnel_own.remembered(own))
    netdev = host.get(_own_files(name)[0], "")
    noted = [line.removeprefix(tunnel_bound.MARK) for line in netdev.splitlines() if line.startswith(tunnel_bound.MARK)]
    if found is not None and noted and netdev.startswith(tunnel_own.MARK):
        found["dev"] = noted[0]
    return found


def tunnels(host: dict[str, str]) -> list[dict[str, Any]]:
    """
    All tunnels of whatever name and kind in the host's files.

    host
        The text of every file that systemd-networkd reads on the host, by path.

    Returns for each its ``name``, ``kind``, ``endpoint``, ``local``, ``place`` (a file and a line), and whether it is
    ``ours``; and a ``warning`` where its end is not what the file says.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.tunnels '{}'
    """
    found = []
    for path, assigned in tunnel_units.files(host, "netdev").items():
        tunnel = tunnel_netdev.described(path, assigned, host)
        if tunnel:
            found.append({**tunnel, "ours": host[path].startswith(tunnel_own.MARK)})
    return found


def files(tunnel: dict[str, Any]) -> dict[str, str]:
    """
    The files of a tunnel, as text.

    tunnel
        In canonical form (:py:func:`tunnel_sit.canonical`), its ``local`` an address, or ``any``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.files '{name: he-ipv6, endpoint: 216.66.84.42, local: 46.105.5.1, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, routes: [], unreachable: [], carrier: sit, ttl: 255, mtu: 1480}'
    """  # noqa: E501
    netdev, network = _own_files(tunnel["name"])
    made = ["[NetDev]", f"Name={tunnel['name']}", f"Kind={tunnel['carrier']}", f"MTUBytes={tunnel['mtu']}", ""]
    # Without `Independent`, there is no device unless the file of another interface names it.
    made += ["[Tunnel]", f"{tunnel_bound.MARK}{tunnel['dev']}" if tunnel.get("dev") else "Independent=yes"]
    made += [f"Local={tunnel['local']}"] if tunnel["local"] != "any" else []
    made += [f"Remote={tunnel['endpoint']}", f"TTL={tunnel['ttl']}"]
    # A broker that does not answer must not delay the boot.
    lines = ["[Match]", f"Name={tunnel['name']}", "", "[Link]", "RequiredForOnline=no", ""]
    lines += ["[Network]", *tunnel_own.unrouted(tunnel), "IPv6AcceptRA=no"]
    for address in [tunnel["address"], *tunnel["addresses"]]:
        lines += ["", "[Address]", f"Address={address}"]
        lines += [] if address.partition("/")[0] == tunnel["source"] else ["PreferredLifetime=0"]
    for route in tunnel["routes"]:
        lines += _route(route.split())
    for route in tunnel["unreachable"]:
        _, prefix, _, metric = route.split()
        lines += ["", "[Route]", f"Destination={prefix}", "Type=unreachable", f"Metric={metric}"]
    return {netdev: tunnel_own.HEADER + "\n".join(made) + "\n", network: tunnel_own.HEADER + "\n".join(lines) + "\n"}


def _route(words: list[str]) -> list[str]:
    """A default route, from the words of `ip route`."""
    said = dict(zip(words[1::2], words[2::2]))
    lines = ["", "[Route]", "Destination=::/0"]
    lines += [f"Source={said['from']}"] if "from" in said else []
    return [*lines, f"Gateway={said['via']}", "GatewayOnLink=yes", f"Metric={said['metric']}"]


def present(tunnel: dict[str, Any], host: dict[str, str], adopt: bool = False) -> dict[str, str | None]:
    """
    The files of a host on which the tunnel is configured.

    tunnel
        In canonical form, its ``local`` an address, or ``any``.
    host
        The text of every file that systemd-networkd reads on the host, by path.
    adopt
        Move hand-written files of this name here, instead of refusing.

    Returns the new text of every file that matters, ``None`` for one that is removed. Where the file of another
    interface names the tunnel (``Tunnel=``), that stays as it is, and the tunnel depends on it. Raises
    ``CommandExecutionError`` if the name is configured elsewhere and may not be moved, if moving would lose a line, or
    if another file comes first.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.present '{name: he-ipv6, endpoint: 216.66.84.42, local: 46.105.5.1, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, routes: [], unreachable: [], carrier: sit, ttl: 255, mtu: 1480}' '{}'
    """  # noqa: E501
    name = tunnel["name"]
    ours = tunnel_bound.drop_ins(name, host)
    host = {path: text for path, text in host.items() if path not in ours}
    result = {**ours, **_without_foreign(name, host, adopt, tunnel), **files(tunnel)}
    if tunnel.get("dev"):
        result.update(tunnel_bound.files(name, tunnel["dev"], host))
    elif tunnel_netdev.named(name, host):
        netdev, _ = _own_files(name)
        bound = tunnel_netdev.underlay(name, host)
        result[netdev] = (result[netdev] or "").replace(
            "Independent=yes\n", f"{tunnel_bound.MARK}{bound}\n" if bound else ""
        )
    left = {path: text for path, text in {**host, **result}.items() if text is not None}
    _, own = _own_files(name)
    first = next(iter(tunnel_netdev.networks(name, left)), own)
    if first != own:
        raise CommandExecutionError(
            f"{first} comes before {own} and matches {name}, too: systemd-networkd would configure the tunnel by it. "
            "Narrow its section [Match]"
        )
    return result


def absent(name: str, host: dict[str, str], adopt: bool = False) -> dict[str, str | None]:
    """
    The files of a host on which the tunnel is not configured.

    name
        The interface name.
    host
        The text of every file that systemd-networkd reads on the host, by path.
    adopt
        Remove hand-written files of this name, too, instead of refusing.

    Returns ``None`` for every file that is removed. Raises ``CommandExecutionError`` as :py:func:`present` does.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.absent he-ipv6 '{}'
    """
    ours = tunnel_bound.drop_ins(name, host)
    host = {path: text for path, text in host.items() if path not in ours}
    own = {**ours, **{path: None for path in _own_files(name) if host.get(path, "").startswith(tunnel_own.MARK)}}
    return {**own, **_without_foreign(name, host, adopt)}


def _without_foreign(
    name: str, host: dict[str, str], adopt: bool, tunnel: dict[str, Any] | None = None
) -> dict[str, str | None]:
    """The files of this name that are not ours, removed; raises if they have to stay."""
    netdevs = tunnel_netdev.netdevs(name, host)
    networks = tunnel_netdev.networks(name, host)
    own = _own_files(name)
    shared = [path for path, each in networks.items() if path not in own and not tunnel_netdev.only(each, name)]
    result: dict[str, str | None] = {}
    problems: list[str] = []
    for path, assigned in [*netdevs.items(), *networks.items()]:
        if path in shared:
            if not any(each in own for each in netdevs) and netdevs and path == next(iter(networks)):
                problems.append(
                    f"{name} cannot be adopted: {path} is for other interfaces, too; give it a file of its own first"
                )
            continue
        for file in dict.fromkeys(line.path for line in assigned):
            if file in own and host[file].startswith(tunnel_own.MARK):
                continue
            lines = [line for line in assigned if line.path == file]
            problems += _problems(name, file, lines, adopt, tunnel, assigned)
            result[file] = None
    for path in own:  # whatever it holds
        if path in host and path not in result and not host[path].startswith(tunnel_own.MARK) and host[path].strip():
            problems.append(f"{path} is not managed by he_tunnel and is not about {name}; rename it")
    if problems:
        raise CommandExecutionError("\n".join(problems))
    return result


def _problems(
    name: str,
    file: str,
    lines: list[tunnel_units.Line],
    adopt: bool,
    tunnel: dict[str, Any] | None,
    assigned: list[tunnel_units.Line],
) -> list[str]:
    """Why a file cannot be removed for ours to take its place."""
    if not adopt:
        return [tunnel_own.foreign(name, f"{file}, line {lines[0].number}", " and ".join(_own_files(name)))]
    if not file.startswith(f"{tunnel_bound.FOLDER}/"):
        return [f"{name} cannot be adopted from {file}: it is not in {tunnel_bound.FOLDER}, and would come back"]
    lost = [each for each in tunnel_netdev.lost(assigned, name, tunnel) if each[0].path == file]
    if lost:
        said = ", ".join(f"{line.number} ({line.key}{f': another {key}' if key else ''})" for line, key in lost)
        return [
            f"{name} cannot be adopted from {file}: these lines would be lost: {said}. Remove them, or declare what "
            "they say"
        ]
    return []


def native_read(native: dict[str, Any], host: dict[str, str]) -> list[dict[str, Any]]:
    """
    What the files say about the IPv6 of an interface, as :py:func:`tunnel_ifupdown.native_read`.

    native, host
        As there.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.native_read '{interface: eth0, index: 2}' '{/run/systemd/netif/links/2: NETWORK_FILE=/etc/systemd/network/a.network, /etc/systemd/network/a.network: "[Match]\\nName=eth0"}'
    """  # noqa: E501
    return native_units.read(native, host)


def native_files(native: dict[str, Any], host: dict[str, str]) -> dict[str, str | None]:
    """
    The files that change for IPv6 of an interface, as :py:func:`tunnel_ifupdown.native_files`.

    native, host
        As there.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkd.native_files '{interface: eth0, index: 2, addresses: [], gateway: "", metric: null, source: null}' '{/run/systemd/netif/links/2: NETWORK_FILE=/etc/systemd/network/a.network, /etc/systemd/network/a.network: "[Match]\\nName=eth0"}'
    """  # noqa: E501
    return native_units.write(native, host)
