"""
Which other managers of a firewall there are, and what the pillar says about them: ``beside``, those that stay, and
``take_over``, those that give their rules up to it. PURE: never accesses the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

KNOWN = ("ufw", "firewalld", "nftables")
TAKEN = ("ufw",)  # those that the state `taken_over` can end without a moment in which the host is open
KEYS = {"beside": KNOWN, "take_over": TAKEN}
# Chains of a manager in iptables' tables: where it stays, they do.
CHAINS = {"ufw": ("ufw-*", "ufw6-*")}

# Programs that have tables of nf_tables of their own, by the names of these. They drop what is theirs: those whom they
# have banned, and what goes to their containers and guests.
NEIGHBOURS = (
    "f2b-*", "fail2ban*", "crowdsec*", "sshguard*", "docker-*", "netavark", "libvirt_*", "lxd", "incus", "kube-*",
    "flannel-*", "cali*", "cilium*", "cni*", "wg-quick-*", "tailscale*", "netbird*", "miniupnpd*",
)  # fmt: skip


def errors(firewall: Mapping[str, Any]) -> Iterator[str]:
    """
    The errors in the keys ``beside`` and ``take_over`` of a firewall, each beginning with the key.

    firewall
        As in the pillar ``ipv6:firewall``.
    """
    for key, names in KEYS.items():
        given = firewall.get(key)
        given = [] if given is None else given
        if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
            yield f"{key}: expected a list of {', '.join(names)}, found {given!r}"
            continue
        for each in given:
            if each in names:
                continue
            if each in KNOWN:
                yield (
                    f"{key}: {each} cannot be taken over, only {', '.join(TAKEN)}: name it under beside, apply this, "
                    "end it, and remove it from there"
                )
            else:
                yield f"{key}: {each!r} is not a manager of a firewall that is known; expected {', '.join(names)}"
    if both := sorted({*listed(firewall, "beside")} & {*listed(firewall, "take_over")}):
        yield f"take_over: {', '.join(both)} is also under beside: it either stays or goes"


def listed(firewall: Mapping[str, Any], key: str) -> list[str]:
    """
    The managers under a key; none if that is malformed.

    firewall
        As in the pillar ``ipv6:firewall``.
    key
        ``beside`` or ``take_over``.
    """
    given = firewall.get(key)
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []


def patterns(firewall: Mapping[str, Any]) -> list[str]:
    """
    The chains of the managers that stay, as patterns of ``preserve``.

    firewall
        As in the pillar ``ipv6:firewall``.
    """
    return [each for name in listed(firewall, "beside") for each in CHAINS.get(name, ())]


def is_neighbour(table: str) -> bool:
    """
    Whether a table of nf_tables is that of a program which filters only what is its own.

    table
        Its name.
    """
    return any(fnmatchcase(table, each) for each in NEIGHBOURS)
