"""
The stage of a rehearsal: the interfaces, addresses, routes and rules of this host, in a scratch network namespace.

The script of ``firewall_rehearsal_script`` uses it, so it imports no room that needs Salt.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import subprocess
import tempfile
from typing import Any

import _dualstack_firewall_rehearsal_packets as firewall_rehearsal_packets

NAMESPACE = "/proc/self/ns/net"
CLONE_NEWNET = 0x40000000  # linux/sched.h
GATEWAYS = {"ipv4": "169.254.0.1", "ipv6": "fe80::2"}
MOST, LAST = 1 << 20, 2000  # bytes that a command may print, and those that are shown
# Not every kernel has all of them.
SETTINGS = (
    ("core/rps_default_mask", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/icmp_echo_ignore_all", "0"),
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv4/icmp_ratemask", "0"),
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/icmp/echo_ignore_all", "0"),
    ("ipv6/icmp/ratelimit", "0"),
    ("ipv6/icmp/ratemask", "0"),  # a list of types, which must not be empty
)


def leave(outside: str) -> None:
    """
    Go on in a network namespace of its own.

    outside
        The one that must not be changed.

    Raises ``OSError``, and ``RuntimeError`` where this makes no difference.
    """
    import ctypes  # pylint: disable=import-outside-toplevel  # as in the script

    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace could be made")
    refuse(outside)


def refuse(outside: str) -> None:
    """
    Raise ``RuntimeError`` in the network namespace that must not be changed.

    outside
        That one.
    """
    if os.readlink(NAMESPACE) == outside:
        raise RuntimeError("unshare has made no network namespace, and these rules must not be loaded here")


def ends(job: dict[str, Any], probes: list[dict[str, Any]]) -> dict[str, str]:
    """
    The outer end of each interface, by its name.

    job
        As the script gets it.
    probes
        The expectations that are tried here.
    """
    names = {each["interface"] for each in [*probes, *job["behind"]]} | set(job["links"])
    return {name: "lo" if name == "lo" else f"rehearsal{number}" for number, name in enumerate(sorted(names))}


def build(job: dict[str, Any], probes: list[dict[str, Any]], outer: dict[str, str]) -> None:
    """
    Make the interfaces, with the addresses of the host and the routes to all others.

    job
        As the script gets it.
    probes
        The expectations that are tried here.
    outer
        The :py:func:`ends`.

    Raises ``RuntimeError`` where ip(8) fails.
    """
    forwarding = {name: value for name, value in job["sysctl"].items() if name.split("/")[2] == "all"}
    _set({**dict(SETTINGS), **forwarding})
    run(["ip", "-batch", "-"], "\n".join(_words_of_ip(job, probes, outer)))
    _set({name: value for name, value in job["sysctl"].items() if name not in forwarding})


def _set(values: dict[str, str]) -> None:
    for name, value in values.items():
        with contextlib.suppress(OSError), open(f"/proc/sys/net/{name}", "w", encoding="ascii") as stream:
            stream.write(value)


def _words_of_ip(job: dict[str, Any], probes: list[dict[str, Any]], outer: dict[str, str]) -> list[str]:
    lines = ["link set dev lo up"]
    near, far = (_mac(each) for each in (firewall_rehearsal_packets.NEAR, firewall_rehearsal_packets.FAR))
    for name, end in outer.items():
        if name == "lo":
            continue
        lines.append(f"link add name {name} address {near} type veth peer name {end} address {far}")
        if any(each["family"] == "ipv6" for each in [*probes, *job["behind"]]):
            lines += [f"link set dev {each} addrgenmode none" for each in (name, end)]
        lines += [f"link set dev {end} up", f"link set dev {name} up"]
    for each in probes:
        name, family = each["interface"], each["family"]
        here = [each["own"]] if name != "lo" or each.get("behind") else [each["source"], each["destination"]]
        for own in here:
            lines += _address(own, family, name)
        if name != "lo":
            lines += _way(each["remote"], family, name)
    for each in job["behind"]:
        if each["interface"] == "lo":
            lines += _address(each["network"].partition("/")[0], each["family"], "lo")
            continue
        if each["own"]:
            lines += _address(each["own"], each["family"], each["interface"])
        lines += _way(each["network"], each["family"], each["interface"])
    return list(dict.fromkeys(lines))


def _address(own: str, family: str, name: str) -> list[str]:
    length = "32" if family == "ipv4" else "128 nodad"
    return [] if ipaddress.ip_address(own).is_loopback else [f"addr replace {own}/{length} dev {name}"]


def _way(remote: str, family: str, name: str) -> list[str]:
    """The route to a host or a network, and its gateway, which nobody is."""
    network = ipaddress.ip_network(remote)
    gateway, route = GATEWAYS[family], f"route replace {network}"
    if network.is_link_local:
        gateway, route = str(network.network_address), f"{route} dev {name}"
    else:
        route = f"{route} via {gateway} dev {name} onlink"
    mac = _mac(firewall_rehearsal_packets.GATEWAY)
    return [f"neigh replace {gateway} lladdr {mac} dev {name} nud permanent", route]


def _mac(address: bytes) -> str:
    return address.hex(":")


def load(job: dict[str, Any], families: set[str]) -> dict[str, str]:
    """
    Load the sets and the rules.

    job
        As the script gets it.
    families
        Those whose rules are needed.

    Returns what nft(8) said of the tables that it could not load, by their names. Raises ``RuntimeError`` where
    anything else cannot be loaded.
    """
    if job["sets"]:
        run(["ipset", "restore"], job["sets"])
    failures = {}
    for name, words, text in job["native"]:
        try:
            run(words, text)
        except RuntimeError as error:
            failures[name] = str(error)
    # The lock of iptables-legacy is the host's; what is locked here is not.
    with tempfile.NamedTemporaryFile() as lock:
        os.environ["XTABLES_LOCKFILE"] = lock.name
        for family, restore, text in job["rulesets"]:
            if family in families:
                run(restore, text)
    return failures


def run(words: list[str], text: str) -> None:
    """
    Run a command.

    words
        The command and its arguments.
    text
        Its input.

    Raises ``RuntimeError`` where it fails, and ``OSError`` where it cannot be run.
    """
    with tempfile.TemporaryFile() as source:
        source.write(text.encode("utf-8", "surrogateescape"))
        source.seek(0)
        with subprocess.Popen(words, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            said = process.stdout.read(MOST) if process.stdout else b""
            if len(said) == MOST:
                process.kill()
    if process.returncode:
        words_of_it = " ".join(said[-LAST:].decode("utf-8", "replace").split())
        raise RuntimeError(f"'{' '.join(words)}' ended with {process.returncode} and said: {words_of_it or 'nothing'}")
