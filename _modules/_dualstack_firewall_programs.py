"""
The programs that write rules of their own beside anybody's: by what these are known. PURE: never accesses the host.

What a pattern is, see ``firewall_delta.Others``: of a chain, an interface or a set, or, with a blank, of a whole rule.
The names are those that the programs use by default, seen in dumps of hosts that run them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_save as firewall_save

BY_PROGRAM = {
    # Its bridges have names of 12 hexadecimal digits. By the two with MASQUERADE, a container reaches its own published
    # port; the next one keeps others from a port that is published on a loopback address; the last is of an encrypted
    # network of Swarm: without it, packets are sent, and taken, as plain text.
    "Docker": [
        "DOCKER*",
        "docker*",
        "br-" + 12 * "[0-9a-f]",
        "-s */32 -d */32 -p * --dport * -j MASQUERADE",
        "-s */128 -d */128 -p * --dport * -j MASQUERADE",
        "-d 127.*/32 ! -i lo -p * --dport * -j DROP",
        '-p udp *--u32 "0x0>>0x16&0x3c@0xc&0xffffff00=0x*" *',
    ],
    "Podman, and others by CNI": ["NETAVARK*", "podman*", "CNI-*", "cni0", "cni-*"],
    "Kubernetes": [
        *("KUBE-*", "kube-*", "cali*", "CILIUM_*", "cilium_*", "lxc_*", "FLANNEL-*", "flannel*", "WEAVE*", "weave"),
        *('*--comment "cali:*', '*--comment "KUBE-ROUTER *', '*--comment "kube-router *'),
    ],
    # Before it had chains of its own; and before it had comments, of its own default network and of k3s.
    "flannel of old": [
        '*--comment "flanneld *',
        *(f"{way} 10.{net}.0.0/16 *" for net in (244, 42) for way in ("-s", "-d", "! -s")),
    ],
    "libvirt": ["LIBVIRT_*", "virbr*"],
    # Before it had chains of its own; of its default network, and of another one what nobody else writes so.
    "libvirt of old": [
        "-s 192.168.122.0/24 *",
        "-s */* ! -d */* -p * -j MASQUERADE --to-ports 1024-65535",
        "-s */24 -d 224.0.0.0/24 -j RETURN",
        "-s */24 -d 255.255.255.255/32 -j RETURN",
        "-s 192.168.1[0-9][0-9].0/24 ! -d 192.168.1[0-9][0-9].0/24 -j MASQUERADE",
    ],
    # The last is of the default network of lxc-net.
    "LXC, LXD, Incus": [
        *("lxcbr*", "lxdbr*", "incusbr*", '*--comment "generated for * network *'),
        *('*--comment "generated for LXD *', '*--comment "generated for Incus *'),
        "-s 10.0.3.0/24 ! -d 10.0.3.0/24 -j MASQUERADE",
    ],
    "Proxmox": ["PVEFW*", "fwbr*", "fwln*"],
    "fail2ban": ["f2b-*", "fail2ban-*"],
    "sshguard": ["sshguard", "sshguard[46]"],
    "CrowdSec": ["CROWDSEC*", "crowdsec*"],
    "Tailscale": ["ts-*", "tailscale*"],
    "WireGuard": ["wg[0-9]*", "wg-*", '*--comment "wg-quick(8) *'],
    "NetworkManager, where it shares a connection": ["nm-sh-*"],
    "miniupnpd": ["MINIUPNPD*"],
}
NAMES = [each for patterns in BY_PROGRAM.values() for each in patterns]

# The chains in which a program names its own bridges; DOCKER-USER is the administrator's.
AT_BRIDGES = re.compile(r"(?!DOCKER-USER$)(DOCKER|NETAVARK|CNI-|LIBVIRT_|KUBE-|FLANNEL-)")
INTERFACE = re.compile(r"(?:^| )-[io] (\S+)")


def bridges(live: Mapping[str, firewall_save.Tables], there: Collection[str]) -> list[str]:
    """
    The bridges that a program has made under a name that somebody has chosen: those that its own rules name.

    live
        The live tables, by family.
    there
        The bridges of this host.

    Returns their names, sorted.
    """
    named = set()
    for tables in live.values():
        for chains in tables.values():
            for chain, each in chains.items():
                at = bool(AT_BRIDGES.match(chain))
                for rule in each["rules"]:
                    if at or any(map(AT_BRIDGES.match, firewall_delta.targets([rule]))):
                        named.update(INTERFACE.findall(rule))
    return sorted(named & set(there))


def led_to(live: Mapping[str, firewall_save.Tables], preserve: list[str], ours: Collection[str]) -> list[str]:
    """
    The chains that chains of others lead to, directly or through others of these: they cannot be removed.

    live
        The live tables, by family.
    preserve
        The patterns of names that belong to others.
    ours
        The names of chains that are not looked at: the declared ones, and those that this formula has made.

    Returns their names, sorted.
    """
    found = set()
    for tables in live.values():
        for chains in tables.values():
            pending = [chain for chain in chains if firewall_delta.foreign(chain, preserve)]
            seen = {*pending, *ours}
            while pending:
                names = firewall_delta.targets(chains[pending.pop()]["rules"]) & set(chains) - seen
                seen |= names
                found |= names
                pending += names
    return sorted(found)
