"""
The tunnel in the configuration of NetworkManager, a keyfile: nm-settings-keyfile(5). PURE: never accesses the host.

A tunnel has one file of its own, ``/etc/NetworkManager/system-connections/<name>.nmconnection``. Other files are
removed in one case only: when ``adopt`` takes over a connection that was made by hand.

How NetworkManager treats it was measured with 1.42 and 1.52:

* It gives no address a lifetime. Of several, the kernel is made to choose the one that is listed first; the default
  route names it as well (``src``). What says otherwise, such as ``ip address change``, is put back.
* Without ``addr-gen-mode`` the tunnel does not come up. With a mode other than 0600 the file is not read, and no exit
  status says so.
* The ends of a tunnel that is up cannot be changed, other than by bringing it down and up.
"""

from __future__ import annotations

import posixpath
import re
import uuid
from collections.abc import Mapping
from typing import Any

import _dualstack_rooms
from salt.exceptions import CommandExecutionError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_native_keyfile as native_keyfile
    import _dualstack_tunnel_connection as tunnel_connection
    import _dualstack_tunnel_keyfile as tunnel_keyfile
    import _dualstack_tunnel_own as tunnel_own

__virtualname__ = "tunnel_networkmanager"

STACK = "networkmanager"
NAMESPACE = uuid.UUID("6d0f1c1e-5b5c-5c3e-9d6b-0e5f5d1c7a41")  # of the identifiers of our connections
DEVICES = "/run/NetworkManager/devices"
UNMANAGED = r"^[ \t]*unmanaged-devices[ \t]*=.*\binterface-name:=?{}(?![\w.-])"
WAIT = ["nmcli", "--wait", "45"]  # seconds; without, it waits for 90

# The words of these files that are shown in changes.
SHOWN = (
    "connection id uuid type ip-tunnel interface-name autoconnect mode local remote ttl mtu parent ipv4 ipv6 method "
    "disabled manual auto ignore link-local addr-gen-mode stable-privacy default eui64 gateway route-metric "
    "never-default onlink src from type unreachable table true false user managed proxy"
).split()
SHOWN += [f"{tunnel_connection.OURS}{end}" for end in ("", ".addresses", ".gateway")]
SHOWN += [each.format(number) for number in range(1, 10) for each in ("address{}", "route{}", "route{}_options")]


def about() -> dict[str, Any]:
    """
    How NetworkManager is recognised on a host.

    Returns ``program``, which has to be there; ``arguments``, with which it identifies itself to :py:func:`recognise`;
    ``otherwise``, why something else by that name does not work; ``unit``, which has to run; ``evidence``, the files by
    which :py:func:`has` judges; ``mark`` and ``mode``, what a file of this project's own begins with, and its
    permissions; ``words``, those of its files that are shown in changes; ``fixed``, what of a tunnel that is up it does
    not let others change; ``deprecates``, that it cannot make an address deprecated; and ``boot``, how an interface
    comes up at boot.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.about
    """
    return {
        "program": "nmcli",
        "arguments": ["--version"],
        "otherwise": "which is not NetworkManager's",
        "unit": "NetworkManager.service",
        "offers": ["has", "changed", "record", "tunnels", "native_read", "native_files"],
        "evidence": [f"{DEVICES}/*", f"{tunnel_keyfile.RUN}/*"],
        "settles": 5.0,
        # One that is up again gets its routes from it, at the same time as from others.
        "fixed": ["endpoint", "local", "dev", "ttl", "up"],
        "deprecates": False,
        "binds": True,
        "mark": tunnel_own.MARK,
        "mode": 0o600,
        "words": SHOWN,
        "carriers": ["sit", "gre"],
        "boot": {
            "service": "NetworkManager",
            "selected": r"^[ \t]*interface-name[ \t]*=[ \t]*{}[ \t]*$",
            "unless": {"/etc/NetworkManager/NetworkManager.conf": UNMANAGED},
        },
    }


def recognise(version: str) -> str:
    """
    Which program this is.

    version
        What ``nmcli --version`` printed.

    Returns ``networkmanager``, or ``unknown``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.recognise 'nmcli tool, version 1.42.4'
    """
    return STACK if re.search(r"\bnmcli tool, version [0-9]", version) else "unknown"


# --------------------------------------------------------------------------------------------------------------
# Commands


def up(name: str) -> list[list[str]]:
    """
    The commands that bring up an interface that does not exist.

    name
        The interface name.

    The first says nothing about a file that is not read; the second fails then.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.up he-ipv6
    """
    return [_load(name), [*WAIT, "connection", "up", "filename", _own_file(name)]]


def down(name: str) -> list[str]:
    """
    The command that takes an interface down, whatever connection has brought it up.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.down he-ipv6
    """
    return [*WAIT, "device", "disconnect", name]


def changed(name: str) -> list[list[str]]:
    """
    The commands by which NetworkManager takes a changed file into account: addresses, routes, and the MTU of an
    interface that is up. Of a file that was removed, it forgets the connection.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.changed he-ipv6
    """
    return [_load(name), [*WAIT, "device", "reapply", name]]


def record(name: str) -> list[list[str]]:
    """
    The commands by which NetworkManager takes over an interface that is up as its file says.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.record he-ipv6
    """
    return up(name)


def _load(name: str) -> list[str]:
    """Not `reload`, which would read all files: those of other interfaces may have changed as well."""
    return [*WAIT, "connection", "load", _own_file(name)]


def has(interface: dict[str, Any], evidence: dict[str, str]) -> str:
    """
    By what is seen that NetworkManager has an interface up, by a connection of its own: neither by one of netplan's,
    nor by one in which it has written down what somebody else had configured.

    interface
        Its ``name`` and ``index``.
    evidence
        The texts of the files that :py:func:`about` names, by path.

    Returns a reason; empty if it has not.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.has '{name: eth0, index: 2}' \\
            '{/run/NetworkManager/devices/2: "[device]\\nmanaged=true\\nconnection-uuid=27afa607-ee36-43f0-b8c3-9d245cdc4bb3"}'
    """  # noqa: E501
    path = f"{DEVICES}/{interface['index']}"
    state = tunnel_keyfile.read(path, evidence.get(path, ""))
    used = state.value("device", "connection-uuid")
    if not used or not tunnel_keyfile.truth(state.value("device", "managed")):
        return ""
    for profile in _profiles(evidence):
        if profile.uuid == used and (profile.netplan or profile.generated):
            return ""
    return f"{path} has {interface['name']}"


# --------------------------------------------------------------------------------------------------------------
# Reading


def roots(name: str) -> list[str]:
    """
    The files to begin reading with, as shell patterns; :py:func:`includes` leads to no others.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.roots he-ipv6
    """
    own = [_own_file(name)] if name else []
    return [
        *own,
        f"{tunnel_keyfile.ETC}/*",
        f"{tunnel_keyfile.RUN}/*{tunnel_keyfile.SUFFIX}",
        f"{tunnel_keyfile.LIB}/*{tunnel_keyfile.SUFFIX}",
    ]


def includes(path: str, text: str) -> list[list[str]]:
    """
    The files that a file includes: none.

    path
        The file's own path.
    text
        Its content.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.includes /etc/NetworkManager/system-connections/he-ipv6.nmconnection ''
    """
    return []


def parse(name: str, host: dict[str, str]) -> dict[str, Any] | None:
    """
    The tunnel that the configuration of a host declares.

    name
        The interface name.
    host
        The text of every file that NetworkManager reads on the host, by path.

    Returns the keys of a tunnel as far as its connection has them, or ``None`` if there is no such tunnel. Our own
    connection comes first, others in the order of their paths; a file that NetworkManager cannot read does not count.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.parse he-ipv6 '{/etc/NetworkManager/system-connections/a: "[ip-tunnel]\\nmode=3\\nremote=216.66.84.42\\n[connection]\\ninterface-name=he-ipv6"}'
    """  # noqa: E501
    found = [
        each
        for each in _configured(host)
        if each.interface == name and each.kind in tunnel_connection.CARRIERS and not each.strange
    ]
    found.sort(key=lambda each: not _ours(name, each, host))
    return tunnel_connection.tunnel(found[0]) if found else None


def tunnels(host: dict[str, str]) -> list[dict[str, Any]]:
    """
    All tunnels of whatever name and kind in the files of a host, netplan's excepted.

    host
        The text of every file that NetworkManager reads on the host, by path.

    Returns a list of dictionaries with ``name``, ``kind``, ``endpoint`` and ``local`` (``any`` where it is not given),
    ``place`` and ``ours``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.tunnels '{/etc/NetworkManager/system-connections/a: "[ip-tunnel]\\nmode=2\\nremote=192.0.2.1"}'
    """  # noqa: E501
    result = []
    for profile in _configured(host):
        if not profile.kind or profile.strange:
            continue
        peers = tunnel_keyfile.peers(profile)
        remote = profile.entry("ip-tunnel", "remote") or (peers[0] if peers else None)
        endpoint = remote.value if remote else ""
        if peers:
            endpoint = endpoint.rpartition(":")[0].strip("[]")
        line = remote.line if remote else min((each.line for each in profile.entries), default=1)
        result.append(
            {
                "name": profile.interface,
                "kind": profile.kind,
                "endpoint": endpoint or "any",
                "local": profile.value("ip-tunnel", "local") or "any",
                "place": f"{profile.path}, line {line}",
                "ours": _ours(profile.interface, profile, host),
            }
        )
    return result


def _profiles(texts: Mapping[str, str]) -> list[tunnel_keyfile.Profile]:
    return [tunnel_keyfile.read(path, text) for path, text in sorted(texts.items()) if tunnel_keyfile.loads(path)]


def _configured(host: Mapping[str, str]) -> list[tunnel_keyfile.Profile]:
    """The connections that were configured for NetworkManager itself."""
    return [each for each in _profiles(host) if not each.netplan and not each.generated]


def _own_file(name: str) -> str:
    """The one file that belongs to a tunnel."""
    return f"{tunnel_keyfile.ETC}/{name}{tunnel_keyfile.SUFFIX}"


def _ours(name: str, profile: tunnel_keyfile.Profile, host: Mapping[str, str]) -> bool:
    """A clone of ours has its mark, and another file."""
    return profile.path == _own_file(name) and tunnel_connection.marked(profile, host[profile.path])


# --------------------------------------------------------------------------------------------------------------
# Writing


def files(tunnel: dict[str, Any]) -> dict[str, str]:
    """
    The files of a tunnel, as text.

    tunnel
        In canonical form (:py:func:`tunnel_sit.canonical`), its ``local`` an address, or ``any``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.files '{name: he-ipv6, endpoint: 216.66.84.42, local: 46.105.5.1, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, routes: [], gateway: null, ttl: 255, mtu: 1480}'
    """  # noqa: E501
    return {
        _own_file(tunnel["name"]): tunnel_connection.text(
            tunnel, str(uuid.uuid5(NAMESPACE, tunnel["name"])), tunnel["name"]
        )
    }


def present(tunnel: dict[str, Any], host: dict[str, str], adopt: bool = False) -> dict[str, str | None]:
    """
    The files of a host on which the tunnel is configured.

    tunnel
        In canonical form, its ``local`` an address, or ``any``.
    host
        The text of every file that NetworkManager reads on the host, by path.
    adopt
        Take over connections of this interface that were made by hand, instead of refusing.

    Returns the new text of every file that matters, ``None`` for one that is removed. What means the same as it should
    stays as it is. A connection that is taken over keeps its identifier, so that NetworkManager does not take the
    interface down. Raises ``CommandExecutionError`` if the name is configured elsewhere and may not be taken over, or
    if a line of it would be lost.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.present '{name: he-ipv6, endpoint: 216.66.84.42, local: 46.105.5.1, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, routes: [], gateway: null, ttl: 255, mtu: 1480}' '{}'
    """  # noqa: E501
    name, own = tunnel["name"], _own_file(tunnel["name"])
    foreign = _foreign(name, host, adopt, tunnel)
    result: dict[str, str | None] = {each.path: None for each in foreign}
    before, fresh = tunnel_keyfile.read(own, host.get(own, "")), tunnel_keyfile.read(own, files(tunnel)[own])
    if not foreign and own in host and tunnel_connection.same(before, fresh, tunnel):
        return {own: host[own]}
    # By these, NetworkManager and others know the one that was there.
    kept = foreign[0] if foreign else before
    identifier = kept.uuid if kept.entries else fresh.uuid
    return {**result, own: tunnel_connection.text(tunnel, identifier, kept.value("connection", "id") or name)}


def absent(name: str, host: dict[str, str], adopt: bool = False) -> dict[str, str | None]:
    """
    The files of a host on which the tunnel is not configured.

    name
        The interface name.
    host
        The text of every file that NetworkManager reads on the host, by path.
    adopt
        Remove connections of this interface that were made by hand, too, instead of refusing.

    Returns ``None`` for every file that is removed. Raises ``CommandExecutionError`` as :py:func:`present` does.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.absent he-ipv6 '{}'
    """
    own = _own_file(name)
    result: dict[str, str | None] = {each.path: None for each in _foreign(name, host, adopt)}
    if own in host and _ours(name, tunnel_keyfile.read(own, host[own]), host):
        result[own] = None
    return result


def _foreign(
    name: str, host: Mapping[str, str], adopt: bool, tunnel: Mapping[str, Any] | None = None
) -> list[tunnel_keyfile.Profile]:
    """The connections of this interface that are not ours; raises if they have to stay."""
    own, found, problems = _own_file(name), [], []
    for profile in _configured(host):
        if _ours(name, profile, host):
            continue
        if profile.interface != name:
            if profile.path == own and tunnel is not None:
                problems.append(f"{own} is not managed by he_tunnel and is for another interface; move it")
            continue
        found.append(profile)
        entry = profile.entry("connection", "interface-name")
        place = f"{profile.path}, line {entry.line if entry else 1}"
        if posixpath.dirname(profile.path) == tunnel_keyfile.LIB:
            problems.append(f"{name} is already configured in {place}, which is for packages; remove it there")
        elif not adopt:
            problems.append(tunnel_own.foreign(name, place, "" if profile.path == own else own))
        else:
            lost = [*tunnel_connection.lost(profile, tunnel)]
            if lost:
                problems.append(
                    f"{name} cannot be adopted from {profile.path}: these lines would be lost: {', '.join(lost)}. "
                    "Have the pillar say the same where it has a key for it, or remove them"
                )
    if problems:
        raise CommandExecutionError("\n".join(problems))
    return found


def native_read(native: dict[str, Any], host: dict[str, str]) -> list[dict[str, Any]]:
    """
    What the files say about the IPv6 of an interface, as :py:func:`tunnel_ifupdown.native_read`.

    native, host
        As there.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.native_read '{interface: eth0, index: 2}' '{}'
    """
    return native_keyfile.read(native, host)


def native_files(native: dict[str, Any], host: dict[str, str]) -> dict[str, str | None]:
    """
    The files that change for IPv6 of an interface, as :py:func:`tunnel_ifupdown.native_files`.

    native, host
        As there.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_networkmanager.native_files '{interface: eth0, index: 2, addresses: [], gateway: "", metric: null, source: null}' '{}'
    """  # noqa: E501
    return native_keyfile.told(native, host)
