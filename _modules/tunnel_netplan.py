"""
The tunnel in the configuration of netplan, netplan-yaml(5), for both of its renderers. PURE: never accesses the host.

* A tunnel has one file of its own, ``/etc/netplan/60-<name>.yaml``. With systemd-networkd and ``routing: source`` it
  has another one for its routes, since netplan cannot write these.
* The tunnel is rendered by what renders the host's own interfaces.
* NetworkManager cannot make an address deprecated, so none is: the source of connections is in the default route.
"""

from __future__ import annotations

from typing import Any

import _dualstack_rooms
from salt.exceptions import CommandExecutionError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_native_files as native_files_room
    import _dualstack_native_yaml as native_yaml
    import _dualstack_tunnel_definition as tunnel_definition
    import _dualstack_tunnel_own as tunnel_own
    import _dualstack_tunnel_rendered as tunnel_rendered
    import _dualstack_tunnel_units as tunnel_units
    import _dualstack_tunnel_yaml as tunnel_yaml
    import _dualstack_tunnel_yaml_text as tunnel_yaml_text

__virtualname__ = "tunnel_netplan"

FOLDER, ROUTES, ROUTES_HEADER = tunnel_yaml_text.FOLDER, tunnel_yaml_text.ROUTES, tunnel_yaml_text.ROUTES_HEADER
LINKS, DEVICES = native_files_room.LINKS, native_files_room.DEVICES
KEYFILES = tunnel_rendered.KEYFILES

# The words of these files that are shown in changes.
SHOWN = (
    "network version tunnels renderer networkd NetworkManager mode sit local remote ttl mtu accept-ra false "
    "optional true ipv6-address-generation stable-privacy addresses routes to via metric on-link from "
    "networkmanager passthrough ip-tunnel type unreachable gre onlink default any Route Destination Source Gateway "
    "GatewayOnLink yes Metric own tunnel"
).split()


def about() -> dict[str, Any]:
    """
    How netplan is recognised on a host.

    Returns the keys of :py:func:`tunnel_ifupdown.about`, and ``mode``, the permissions of a file of its own; ``unit``,
    one of which has to run; ``evidence``, the files by which :py:func:`has` judges; ``offers``, the functions that not
    every plug-in has; ``boot``, how an interface comes up at boot; ``fixed``, what is not changed while the tunnel is
    up; ``deprecates``, that no address is deprecated; and ``settles``, the seconds that it may go on working after a
    command has returned.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.about
    """
    return {
        "program": "netplan",
        "arguments": [],  # it is written in Python, and takes a second to say something
        "otherwise": "which is not netplan.io",
        "mark": tunnel_own.MARK,
        "mode": 0o600,
        "words": SHOWN,
        "carriers": ["sit", "gre"],
        "unit": ["systemd-networkd.service", "NetworkManager.service"],
        "evidence": [f"{LINKS}*", f"{DEVICES}*", f"{KEYFILES}*"],
        "offers": ["has", "changed", "record", "tunnels", "native_read", "native_files", "native_changed"],
        "settles": 10.0,
        "boot": {
            "service": "systemd-networkd",
            "generators": [f"{each}/systemd/system-generators/netplan" for each in ("/usr/lib", "/lib")],
            "selected": r"^[ \t]*[\"']?{}[\"']?[ \t]*:",
            "unless": {},
        },
        "fixed": ["endpoint", "local", "ttl", "up"],
        "deprecates": False,
    }


def recognise(version: str) -> str:
    """
    Which program this is.

    version
        What ``netplan info`` printed, or nothing: it is not asked, and there is no other program of this name.

    Returns ``netplan`` or ``unknown``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.recognise 'netplan.io: ...'
    """
    return "netplan" if not version or "netplan.io" in version else "unknown"


def has(interface: dict[str, Any], evidence: dict[str, str]) -> str:
    """
    By what is seen that an interface is configured by what netplan has generated.

    interface
        Its ``name`` and its ``index``.
    evidence
        The texts of the files that :py:func:`about` names, by path.

    Returns a reason; empty if it is not.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.has '{name: eth0, index: 2}' '{}'
    """
    name, index = interface["name"], interface["index"]
    state = native_files_room.assigned(evidence.get(f"{LINKS}{index}", ""))
    file = state.get("NETWORK_FILE", "")
    if file.startswith(tunnel_units.NETPLAN) and state.get("ADMIN_STATE") != "unmanaged":
        return f"systemd-networkd has {name} by {file}"
    device = native_files_room.assigned(evidence.get(f"{DEVICES}{index}", ""))
    if device.get("managed") == "true" and device.get("connection-uuid"):
        for path, text in evidence.items():
            keyfile = native_files_room.assigned(text)
            theirs = keyfile.get("interface-name") or path.removeprefix(KEYFILES).removesuffix(".nmconnection")
            # One that NetworkManager has written itself is named by its identifier, and may have no interface's name.
            same = keyfile.get("uuid") == device["connection-uuid"]
            if path.startswith(KEYFILES) and (theirs == name or same):
                return f"NetworkManager has {name} by {path}"
    return ""


def up(name: str) -> list[list[str]]:
    """
    The command that brings up an interface that does not exist.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.up he-ipv6
    """
    return tunnel_rendered.up(name)


def down(name: str) -> list[list[str]]:
    """
    The command that takes an interface down.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.down he-ipv6
    """
    return tunnel_rendered.down(name)


def changed(name: str) -> list[list[str]]:
    """
    The command by which the renderer takes changed files into account: other interfaces stay as they are.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.changed he-ipv6
    """
    return tunnel_rendered.changed(name)


def record(name: str) -> list[list[str]]:
    """
    The command by which the renderer makes an interface its own that is up already. NetworkManager has to make it anew.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.record he-ipv6
    """
    return tunnel_rendered.record(name)


def roots(name: str) -> list[str]:
    """
    The files to begin reading with, as patterns of paths.

    name
        The interface name.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.roots he-ipv6
    """
    folders = [each for each in tunnel_yaml.FOLDERS if each != "/lib/netplan"]  # a link to that in /usr
    own = [tunnel_yaml_text.own_file(name)] if name else []
    return [*own, *(f"{folder}/*{tunnel_yaml.SUFFIX}" for folder in folders), ROUTES.format(name or "*")]


def includes(path: str, text: str) -> list[list[str]]:
    """
    The files that a file includes: none.

    path
        The file's own path.
    text
        Its content.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.includes /etc/netplan/01-netcfg.yaml ''
    """
    return []


def parse(name: str, host: dict[str, str]) -> dict[str, Any] | None:
    """
    The tunnel that the configuration of a host declares.

    name
        The interface name.
    host
        The text of every file that netplan reads on the host, by path.

    Returns the keys of a tunnel as far as the files have them, or ``None`` if there is no such tunnel. Raises
    ``CommandExecutionError`` for a file that netplan cannot read.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.parse he-ipv6 \\
            '{/etc/netplan/he.yaml: "network: {tunnels: {he-ipv6: {mode: sit, remote: 216.66.84.42}}}"}'
    """
    path = ROUTES.format(name)
    found = tunnel_definition.read(name, host, tunnel_units.lines(path, host.get(path, "")))
    own = host.get(tunnel_yaml_text.own_file(name), "")
    if found is not None and found["routing"] == "none":
        found.update(tunnel_own.remembered(own))
    return found


def tunnels(host: dict[str, str]) -> list[dict[str, Any]]:
    """
    All tunnels of whatever name and kind in the host's files.

    host
        The text of every file that netplan reads on the host, by path.

    Returns for each its ``name``, ``kind``, ``endpoint``, ``local``, ``place`` (a file and a line), and whether it is
    ``ours``. Raises ``CommandExecutionError`` for a file that netplan cannot read.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.tunnels '{}'
    """
    found = []
    for name, each in tunnel_definition.defined(host).items():
        said = {key: tunnel_yaml.text(value) for key, value in each.data.items()}
        peers = [tunnel_yaml.mapping(peer) for peer in tunnel_yaml.items(each.data.get("peers"))]
        ends = [tunnel_yaml.text(peer.get("endpoint")) for peer in peers]
        found.append(
            {
                "name": name,
                "kind": said.get("mode") or "sit",
                "endpoint": tunnel_definition.end(said.get("remote") or next((end for end in ends if end), "")),
                "local": tunnel_definition.end(said.get("local", "")),
                "place": f"{each.place.path}, line {each.place.line}",
                "ours": host[each.place.path].startswith(tunnel_own.MARK),
            }
        )
    return found


def files(tunnel: dict[str, Any]) -> dict[str, str]:
    """
    The files of a tunnel, as text, where systemd-networkd is the renderer.

    tunnel
        In canonical form (:py:func:`tunnel_sit.canonical`), its ``local`` an address, or ``any``.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.files '{name: he-ipv6, endpoint: 216.66.84.42, local: 46.105.5.1, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, routes: [], unreachable: [], carrier: sit, ttl: 255, mtu: 1480}'
    """  # noqa: E501
    texts = tunnel_yaml_text.files(tunnel, tunnel_definition.NETWORKD)
    return {path: text for path, text in texts.items() if text is not None}


def present(tunnel: dict[str, Any], host: dict[str, str], adopt: bool = False) -> dict[str, str | None]:
    """
    The files of a host on which the tunnel is configured.

    tunnel
        In canonical form, its ``local`` an address, or ``any``.
    host
        The text of every file that netplan reads on the host, by path.
    adopt
        Move hand-written definitions of this name here, instead of refusing.

    Returns the new text of every file that matters, ``None`` for one that is removed. Raises ``CommandExecutionError``
    if the name is configured elsewhere and may not be moved, if moving would lose a line, and for a file that netplan
    cannot read.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.present '{name: he-ipv6, endpoint: 216.66.84.42, local: 46.105.5.1, address: "2001:db8::2/64", addresses: [], source: "2001:db8::2", routing: none, routes: [], unreachable: [], carrier: sit, ttl: 255, mtu: 1480}' '{}'
    """  # noqa: E501
    name = tunnel["name"]
    texts = tunnel_yaml_text.files(tunnel, tunnel_definition.renderer(name, host, tunnel_yaml_text.own_file(name)))
    result = {**_without_foreign(name, host, adopt, tunnel), **texts}
    return {path: text for path, text in result.items() if text is not None or path in host}


def absent(name: str, host: dict[str, str], adopt: bool = False) -> dict[str, str | None]:
    """
    The files of a host on which the tunnel is not configured.

    name
        The interface name.
    host
        The text of every file that netplan reads on the host, by path.
    adopt
        Remove hand-written definitions of this name, too, instead of refusing.

    Returns the new text of every file that matters, ``None`` for one that is removed. Raises ``CommandExecutionError``
    as :py:func:`present` does.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.absent he-ipv6 '{}'
    """
    own = {tunnel_yaml_text.own_file(name): tunnel_own.MARK, ROUTES.format(name): ROUTES_HEADER}
    ours: dict[str, str | None] = {path: None for path, mark in own.items() if host.get(path, "").startswith(mark)}
    return {**ours, **_without_foreign(name, host, adopt)}


def _without_foreign(
    name: str, host: dict[str, str], adopt: bool, tunnel: dict[str, Any] | None = None
) -> dict[str, str | None]:
    """The files with definitions of this name that are not ours, without them; raises if they have to stay."""
    own, result, problems = tunnel_yaml_text.own_file(name), {}, []
    for path in tunnel_yaml.order(host):
        if path == own and host[path].startswith(tunnel_own.MARK):
            continue
        found = tunnel_definition.defined({path: host[path]}).get(name)
        if found is None:
            if path == own:
                problems.append(f"{own} is not managed by he_tunnel and is not about {name}; rename it")
            continue
        problem = _problem(name, found, path, adopt, tunnel)
        if problem:
            problems.append(problem)
            continue
        result[path] = tunnel_yaml.without(path, host[path], ("network", "tunnels", _key(name, path, host)))
        if path == own and result[path] is not None:
            problems.append(f"{own} is not managed by he_tunnel and holds more than {name}; rename it")
    routes = ROUTES.format(name)
    if routes in host and not host[routes].startswith(ROUTES_HEADER):
        problems.append(f"{routes} is not managed by he_tunnel; rename it")
    if problems:
        raise CommandExecutionError("\n".join(problems))
    return result


def _key(name: str, path: str, host: dict[str, str]) -> str:
    """By what the file itself calls the definition, which may not be the interface's name."""
    found = tunnel_yaml.mapping(tunnel_yaml.tree(path, host[path]), "network", "tunnels")
    return (
        name if name in found else next(key for key in found if name in tunnel_definition.defined({path: host[path]}))
    )


def _problem(name: str, found: tunnel_yaml.Value, path: str, adopt: bool, tunnel: dict[str, Any] | None) -> str:
    """Why a definition cannot be removed for ours to take its place."""
    if not adopt:
        return tunnel_own.foreign(name, f"{path}, line {found.place.line}", tunnel_yaml_text.own_file(name))
    if not path.startswith(f"{FOLDER}/"):
        return f"{name} cannot be adopted from {path}: it is not in {FOLDER}, and would come back"
    lost = tunnel_definition.lost(found, tunnel)
    said = ", ".join(
        f"{leaf.place.line} ({'.'.join(leaf.keys) or leaf.text}{f': another {key}' if key else ''})"
        for leaf, key in lost
    )
    if said:
        return (
            f"{name} cannot be adopted from {path}: these lines would be lost: {said}. Remove them, or declare what "
            "they say"
        )
    return ""


def native_read(native: dict[str, Any], host: dict[str, str]) -> list[dict[str, Any]]:
    """
    What the files say about the IPv6 of an interface, as :py:func:`tunnel_ifupdown.native_read`.

    native, host
        As there.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.native_read '{interface: eth0, index: 2}' '{/etc/netplan/a.yaml: "network: {ethernets: {eth0: {dhcp4: true}}}"}'
    """  # noqa: E501
    return native_yaml.read(native, host)


def native_files(native: dict[str, Any], host: dict[str, str]) -> dict[str, str | None]:
    """
    The files that change for IPv6 of an interface, as :py:func:`tunnel_ifupdown.native_files`.

    native, host
        As there.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.native_files '{interface: eth0, index: 2, addresses: [], gateway: "", metric: null, source: null}' '{/etc/netplan/a.yaml: "network: {ethernets: {eth0: {dhcp4: true}}}"}'
    """  # noqa: E501
    return native_yaml.write(native, host)


def native_changed(native: dict[str, Any], host: dict[str, str]) -> list[list[str]]:
    """
    The commands after these files were written: what is rendered from them at a boot is rendered for this interface,
    and the interface is left alone.

    native, host
        As in :py:func:`native_files`.

    CLI Example:

    .. code-block:: bash

        salt '*' tunnel_netplan.native_changed '{interface: eth0, index: 2}' '{/etc/netplan/a.yaml: "network: {ethernets: {eth0: {dhcp4: true}}}"}'
    """  # noqa: E501
    return tunnel_rendered.rendered(native_yaml.identifier(native, host))
