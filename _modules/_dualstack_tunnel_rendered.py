"""
The commands by which one interface becomes what netplan's files say, whatever renders it. PURE: returned, not run.

``netplan apply`` restarts every interface, and so does systemd-networkd with those whose files were generated anew. So
netplan generates in a folder of its own, from where the files of the one interface are taken.
"""

from __future__ import annotations

import _dualstack_tunnel_sit as tunnel_sit

KEYFILES = "/run/NetworkManager/system-connections/netplan-"
WAIT = "nmcli --wait 45"  # seconds
ONLINE = "/lib/systemd/systemd-networkd-wait-online --interface=$1 --timeout=20 --quiet"
GENERATE = "/usr/libexec/netplan/generate"
KEYFILE = f"key={KEYFILES}$1.nmconnection"
# For an interface of the host's own, which is not made by these files.
RENDER_LINK = "; ".join(
    (
        "folder=$(mktemp -d) && trap 'rm -rf $folder' EXIT || exit",
        "for each in etc lib run; do [ ! -d /$each/netplan ] || { mkdir $folder/$each && "
        "cp -a /$each/netplan $folder/$each; } || exit; done",
        # The command `netplan generate` has systemd run its generators, which write the files of all interfaces anew.
        f"generate={GENERATE}; [ -x $generate ] || generate='netplan generate'",
        "$generate --root-dir $folder || exit",
        "take() { if [ -e $folder$1 ]; then mkdir -p ${1%/*} && cp -p $folder$1 $1 && chmod $2 $1; "
        "else rm -f $1; fi; }",
        "take /run/systemd/network/10-netplan-$1.network 644 || exit",
        f"{KEYFILE}; take $key 600 || exit",
    )
)
RENDER = f"{RENDER_LINK}; take /run/systemd/network/10-netplan-$1.netdev 644 || exit"
UP = f"{WAIT} connection load $key && {WAIT} connection up filename $key"
FORGET = f"! command -v nmcli >/dev/null || {WAIT} connection load $key >/dev/null 2>&1 || :"


def _shell(script: str, name: str) -> list[list[str]]:
    return [["sh", "-c", script, "netplan", name]]


def up(name: str) -> list[list[str]]:
    """
    The command that brings up an interface that does not exist.

    name
        The interface name.
    """
    return _shell(f"{RENDER}; if [ -e $key ]; then {UP}; else networkctl reload && {ONLINE}; fi", name)


def down(name: str) -> list[list[str]]:
    """
    The command that takes an interface down; and the routes that refuse packets, which systemd-networkd leaves.

    name
        The interface name.
    """
    # What was generated would make it again, at the next `networkctl reload` of whoever.
    made = " ".join(f"/run/systemd/network/10-netplan-$1.{each}" for each in ("netdev", "network"))
    ends = f"networkctl delete $1; rm -f {made}; ip -6 route flush type unreachable metric {tunnel_sit.owner(name)}"
    return _shell(f"{KEYFILE}; if [ -e $key ]; then {WAIT} device disconnect $1; else {ends}; fi", name)


def changed(name: str) -> list[list[str]]:
    """
    The command by which the renderer takes changed files into account.

    name
        The interface name.
    """
    taken = f"{WAIT} connection load $key && {WAIT} device reapply $1"
    return _shell(f"{RENDER}; if [ -e $key ]; then {taken}; else {FORGET}; networkctl reload; fi", name)


def record(name: str) -> list[list[str]]:
    """
    The command by which the renderer makes an interface its own that is up already. NetworkManager has to make it anew.

    name
        The interface name.
    """
    anew = f"{{ ip link del dev $1; {UP}; }}"
    adopted = f"networkctl reload && networkctl reconfigure $1 && {ONLINE}"
    return _shell(f"{RENDER}; if [ -e $key ]; then {anew}; else {adopted}; fi", name)


def rendered(name: str) -> list[list[str]]:
    """
    The command by which the files of an interface of the host's own are as a boot would render them. The interface
    itself is left alone: NetworkManager reads its connection again, and does not apply it.

    name
        What netplan calls the interface.
    """
    return _shell(f"{RENDER_LINK}; [ ! -e $key ] || {WAIT} connection load $key", name)
