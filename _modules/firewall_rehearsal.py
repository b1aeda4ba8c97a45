"""
Firewall rules, tried with real packets before they are loaded.

A candidate is loaded into a scratch network namespace, whose interfaces are named and addressed as the live ones.
Packets of the *expectations* are sent from their outer ends, and the kernel says what becomes of each. An
expectation is a plain dictionary: ``family``, ``direction`` (``in`` or ``out``), ``protocol`` (``tcp``, ``udp``,
``icmp``: an echo request; ``nd``: a neighbour solicitation), ``source``, ``destination``, ``port``, ``interface``,
``verdict`` (``accept``, ``drop``, ``reject``; ``deny``: either of these two) and ``why`` it is expected.

Nothing here changes the host. This file is a module of Salt, and also the script that runs in the namespace; that
one knows nothing of Salt.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import ipaddress
import itertools
import json
import os
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if __name__ != "__main__":
    from salt.exceptions import CommandExecutionError, SaltInvocationError

if TYPE_CHECKING:
    __opts__: dict[str, Any] = {}

__virtualname__ = "firewall_rehearsal"

FAMILIES = ("ipv4", "ipv6")
VERDICTS = ("accept", "drop", "reject", "deny")
# Hosts anywhere, and this host where it has no address yet: RFC 5737, RFC 3849.
OUTSIDE = {"ipv4": "198.51.100.1", "ipv6": "2001:db8:ffff::1"}
HERE = {"ipv4": "198.51.100.2", "ipv6": "2001:db8:ffff::2"}
LOOPBACK = {"ipv4": "127.0.0.1", "ipv6": "::1"}
NEIGHBOUR = "fe80::1"
# A login shell of Debian's `su` has no sbin in its PATH, and salt-call inherits it.
PATH = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"


# --------------------------------------------------------------------------------------------------------------
# What is expected


def errors(expect: Any) -> list[str]:
    """
    Everything that is wrong with a list of expectations as users write it.

    expect
        The list ``ipv6:firewall:expect`` of the pillar; see :py:func:`expectations`.

    Returns a list of texts, each beginning with the place within the list, as in ``[0]:to: ...``; empty if nothing is.

    CLI Example:

    .. code-block:: bash

        salt-call firewall_rehearsal.errors '[{to: tcp/22, verdict: accept}]'
    """
    return _read(expect)[1]


def expectations(expect: list[dict[str, Any]], tunnel: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """
    Everything that is expected of this host's firewall: what the user says, and that the host stays manageable.

    expect
        A list of dictionaries:

        ``to``: ``tcp/22``, ``udp/53``, ``tcp/25,80,143``, ``icmp`` (an echo request, in each family), ``nd`` (IPv6
        neighbour discovery), ``tcp/[2001:db8::1]:22``, or a list of these;
        ``verdict``: ``accept``, ``drop``, ``reject``, or ``deny`` (drop or reject);
        ``from``: an address or a network or a list of them, by default a host anywhere, in each family;
        ``address``: the address, or one of each family, that it is sent to;
        ``interface``: the one that it arrives on or leaves by, by default that of the route;
        ``family``: ``ipv4`` or ``ipv6``, by default what the addresses are, else both;
        ``direction``: ``in``, or ``out`` for connections of this host to ``address``.
    tunnel
        The pillar's ``ipv6:tunnel``. IPv6 without a route is expected to come by it.

    The ssh client in whose session this runs, and the master of this minion, are expected without being listed.

    Returns expectations, one for each family, host and port. Raises ``SaltInvocationError`` for a malformed list,
    ``CommandExecutionError`` without ip(8).

    CLI Example:

    .. code-block:: bash

        salt '*' firewall_rehearsal.expectations '[{to: tcp/3306, from: 198.51.100.7, verdict: drop}]'
    """
    wishes, problems = _read(expect)
    if problems:
        raise SaltInvocationError("\n".join(f"expect{problem}" for problem in problems))
    route = functools.cache(_route)
    return [_resolved(wish, tunnel or {}, route) for wish in [*_ssh_client(), *_masters(), *wishes]]


def _read(expect: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Expectations as far as they can be told without a host, and what is wrong. ``None`` is to be looked up."""
    if not isinstance(expect, list):
        return [], [f": expected a list, found {expect!r}"]
    wishes: list[dict[str, Any]] = []
    problems = []
    for index, entry in enumerate(expect):
        place = f"[{index}]"
        if not isinstance(entry, dict):
            problems.append(f"{place}: expected a dictionary such as {{to: tcp/22, verdict: accept}}, found {entry!r}")
            continue
        given, wrong = _values(entry)
        found = [] if wrong else [_wishes(given, target, f"expect{place}") for target in given["to"]]
        if not all(found):
            wrong = [": no family is left; family, to, from and address have none in common"]
        problems += [f"{place}{each}" for each in wrong]
        wishes += itertools.chain.from_iterable(found)
    return wishes, problems


def _values(entry: dict[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    given: dict[str, Any] = {}
    problems = []
    for key, value in entry.items():
        if key not in READERS:
            near = difflib.get_close_matches(str(key), READERS, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(READERS)}"
            problems.append(f":{key}: unknown key; {hint}")
            continue
        try:
            given[key] = READERS[key](value)
        except ValueError as error:
            problems.append(f":{key}: {error}")
    for key, example in (("to", "tcp/22"), ("verdict", "accept")):
        if key not in entry:
            problems.append(f":{key}: missing; expected for instance {example}")
    if given.get("direction") == "out" and "from" in given:
        problems.append(":from: is for what comes in; where a connection goes to is its address")
    if any(protocol == "nd" for protocol, _, _ in given.get("to", [])) and ("from" in given or "direction" in given):
        problems.append(":to: nd comes in, from a neighbour; it has neither from nor direction")
    return given, problems


def _wishes(given: dict[str, Any], target: tuple[str, Any, int | None], why: str) -> list[dict[str, Any]]:
    """One for each family, remote host and own address."""
    outwards = given.get("direction") == "out"
    protocol, address, port = target
    wishes = []
    for family in FAMILIES:
        addresses = _of_family(family, [address] if address else given.get("address"))
        sources = _of_family(family, given.get("from"))
        if family == "ipv4" and protocol == "nd" or given.get("family", family) != family:
            continue
        for own, remote in itertools.product(addresses, sources):
            wishes.append(
                {
                    "family": family,
                    "direction": "out" if outwards else "in",
                    "protocol": protocol,
                    "own": None if outwards else own,
                    "remote": own if outwards else NEIGHBOUR if protocol == "nd" else remote,
                    "port": port,
                    "interface": given.get("interface"),
                    "verdict": given["verdict"],
                    "why": why,
                }
            )
    return wishes


def _of_family(family: str, hosts: list[tuple[str, str | None]] | None) -> list[str | None]:
    """The addresses of one family; ``None`` is any of it."""
    return [None] if hosts is None else [address for its_family, address in hosts if its_family == family]


def _targets(value: Any) -> list[tuple[str, tuple[str, str | None] | None, int | None]]:
    found: list[tuple[str, tuple[str, str | None] | None, int | None]] = []
    for each in _list(value):
        if each in ("icmp", "nd"):
            found.append((each, None, None))
            continue
        parts = re.fullmatch(
            r"(tcp|udp)/(?:\[(.+)\]:|([0-9.]+):)?(\d+(?:,\d+)*)", each if isinstance(each, str) else ""
        )
        if not parts:
            raise ValueError(f"{each!r} is not tcp/PORT, udp/PORT, icmp or nd, as in tcp/22 or tcp/25,80,143")
        protocol, ipv6, ipv4, ports = parts.groups()
        address = _hosts(ipv6 or ipv4)[0] if ipv6 or ipv4 else None
        for port in map(int, ports.split(",")):
            if not 1 <= port <= 65535:
                raise ValueError(f"{each!r} has a port that is not a whole number from 1 to 65535")
            found.append((protocol, address, port))
    return found


def _sources(value: Any) -> list[tuple[str, str | None]]:
    """Of a network its first host, and of a network that is everything any."""
    found: list[tuple[str, str | None]] = []
    for each in _list(value):
        try:
            given = ipaddress.ip_interface(each if isinstance(each, str) else repr(each))
        except ValueError:
            raise ValueError(f"{each!r} is not an address or a network") from None
        network = given.network
        host = given.ip + 1 if given.ip == network.network_address and network.num_addresses > 2 else given.ip
        found.append((f"ipv{given.version}", _unicast(host, each) if network.prefixlen else None))
    return found


def _hosts(value: Any) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for each in _list(value):
        try:
            address = ipaddress.ip_address(each if isinstance(each, str) else repr(each))
        except ValueError:
            raise ValueError(f"{each!r} is not an address") from None
        found.append((f"ipv{address.version}", _unicast(address, each)))
    return found


def _unicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address, written: Any) -> str:
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        raise ValueError(f"{written!r} is not the address of a host")
    if "%" in str(written):
        raise ValueError(f"{written!r} has a zone; the interface is a key of its own")
    return str(address)


def _list(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("expected at least one, found an empty list")
    return values


def _interface(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}", value):
        raise ValueError(f"{value!r} is not the name of an interface")
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is not one of {', '.join(words)}")
        return str(value)

    return read


READERS: dict[str, Callable[[Any], Any]] = {
    "to": _targets,
    "verdict": _one_of(*VERDICTS),
    "from": _sources,
    "address": _hosts,
    "interface": _interface,
    "family": _one_of(*FAMILIES),
    "direction": _one_of("in", "out"),
}


# --------------------------------------------------------------------------------------------------------------
# This host


def _ssh_client() -> list[dict[str, Any]]:
    """Whoever is logged in may log in again: SSH_CONNECTION, ssh(1), of the nearest ancestor that has one."""
    process = os.getpid()
    while process:
        try:
            with open(f"/proc/{process}/environ", "rb") as stream:
                said = re.search(rb"(?:^|\0)SSH_CONNECTION=([^\0]*)", stream.read())
            with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as stream:
                parent = re.search(r"^PPid:\s*(\d+)", stream.read(), re.MULTILINE)
        except OSError:
            return []
        words = said[1].decode("utf-8", "replace").split() if said else []
        if len(words) == 4:
            return _logged_in(*words)
        process = int(parent[1]) if parent else 0
    return []


def _logged_in(client: str, _: str, server: str, port: str) -> list[dict[str, Any]]:
    client, _, zone = client.partition("%")
    server = server.partition("%")[0]
    family = "ipv6" if ":" in client else "ipv4"
    if not zone and _route(server, None).get("type") != "local":
        return []  # it ended in another network namespace
    why = f"the ssh client {client}, who is logged in"
    return [_manageable(family, "in", client, int(port), why, own=server, interface=zone or None)]


def _masters() -> list[dict[str, Any]]:
    """Every master that this minion has resolved; none where it needs none."""
    if __opts__.get("file_client") != "remote" or "master_ip" not in __opts__:
        return []
    wishes = []
    for uri in dict.fromkeys([__opts__["master_uri"], *__opts__.get("master_uri_list", [])]):
        host, _, port = uri.rpartition("/")[2].rpartition(":")
        master = host.strip("[]")
        for each in (int(__opts__.get("publish_port", 4505)), int(port)):
            family = "ipv6" if ":" in master else "ipv4"
            wishes.append(_manageable(family, "out", master, each, f"the Salt master {master}"))
    return wishes


def _manageable(
    family: str,
    direction: str,
    remote: str,
    port: int,
    why: str,
    own: str | None = None,
    interface: str | None = None,
) -> dict[str, Any]:
    return {
        "family": family,
        "direction": direction,
        "protocol": "tcp",
        "own": own,
        "remote": remote,
        "port": port,
        "interface": interface,
        "verdict": "accept",
        "why": why,
    }


def _resolved(wish: dict[str, Any], tunnel: dict[str, Any], route: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """An expectation with what the live host knows: by which interface, and with which address of its own."""
    family, interface = wish["family"], wish["interface"]
    remote = wish["remote"] or (LOOPBACK if interface == "lo" else OUTSIDE)[family]
    outside = OUTSIDE[family] if remote == NEIGHBOUR else remote
    found = route(outside, interface)
    tunnels = tunnel.get("name", "he-ipv6") if tunnel and family == "ipv6" else None
    interface = interface or found.get("dev") or tunnels or route(OUTSIDE["ipv4"], None).get("dev") or "eth0"
    own = wish["own"] or (found.get("prefsrc") if found.get("dev") == interface else _address_of(interface, family))
    if not own and interface == tunnels:
        own = tunnel.get("source") or next(iter([*(tunnel.get("addresses") or []), tunnel.get("address")]))
    own = (own or HERE[family]).partition("/")[0]
    source, destination = (own, remote) if wish["direction"] == "out" else (remote, own)
    return {
        "family": family,
        "direction": wish["direction"],
        "protocol": wish["protocol"],
        "source": source,
        "destination": destination,
        "port": wish["port"],
        "interface": interface,
        "verdict": wish["verdict"],
        "why": wish["why"],
    }


def _route(remote: str, interface: str | None) -> dict[str, Any]:
    """The live route to a host; empty if there is none."""
    found = _ip("route", "get", remote, *(["oif", interface] if interface and interface != "lo" else []))
    return found[0] if found else {}


def _address_of(interface: str, family: str) -> str | None:
    """An address of an interface, rather one that is known outside."""
    kind = "inet6" if family == "ipv6" else "inet"
    held = [each for link in _ip("addr", "show", "dev", interface) for each in link.get("addr_info", [])]
    held = sorted((each for each in held if each["family"] == kind), key=lambda each: each["scope"] != "global")
    return held[0]["local"] if held else None


def _ip(*words: str) -> list[dict[str, Any]]:
    """What ip(8) says; nothing if it knows no such route or interface."""
    try:
        said = subprocess.run(
            ["ip", "-j", *words], capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH}
        )
    except FileNotFoundError:
        raise CommandExecutionError("ip is not installed; it comes with the package iproute2") from None
    found = json.loads(said.stdout or "[]") if said.returncode == 0 else []
    return [each for each in found if each]  # some versions print {} for what they left out


# --------------------------------------------------------------------------------------------------------------
# The rehearsal


def run(
    rulesets: dict[str, str], expectations: list[dict[str, Any]], backend: str, sets: str = ""
) -> list[dict[str, Any]]:
    """
    Try rulesets with real packets, in a scratch network namespace.

    rulesets
        For each family the text for ``iptables-restore``, with all its tables.
    expectations
        As :py:func:`expectations` returns them.
    backend
        ``nft`` or ``legacy``.
    sets
        Text for ``ipset restore``, for the sets that the rules refer to.

    Returns the expectations, each with ``found`` (``accept``, ``drop`` or ``reject``), ``ok``, whether that is what
    was expected, and ``note``, what else is to be said. A packet is accepted if it passes all chains on its way in
    or out, and its answer all those on the way back.
    Raises ``CommandExecutionError`` if the rulesets do not load, or where network namespaces are not permitted.

    CLI Example:

    .. code-block:: bash

        salt-call firewall_rehearsal.run '{ipv4: "*filter\\n:INPUT DROP\\nCOMMIT\\n"}' \\
            '[{family: ipv4, direction: in, protocol: tcp, source: 198.51.100.1, destination: 192.0.2.1, port: 22,
            interface: eth0, verdict: drop, why: by hand}]' nft
    """
    results: dict[int, dict[str, Any]] = {}
    for indices in _stages(expectations):
        job = {
            "rulesets": rulesets,
            "backend": backend,
            "sets": sets,
            "expectations": [expectations[index] for index in indices],
        }
        results.update(zip(indices, _in_namespace(job)))
    return [{**expectation, **results[index]} for index, expectation in enumerate(expectations)]


def _stages(expectations: list[dict[str, Any]]) -> list[list[int]]:
    """Which expectations share a namespace: in one, a host is beyond one interface only."""
    stages: list[tuple[dict[str, str], list[int]]] = []
    for index, each in enumerate(expectations):
        for beyond, indices in stages:
            if beyond.get(_remote(each), each["interface"]) == each["interface"]:
                break
        else:
            beyond, indices = {}, []
            stages.append((beyond, indices))
        beyond[_remote(each)] = each["interface"]
        indices.append(index)
    return [indices for _, indices in stages]


def _in_namespace(job: dict[str, Any]) -> list[dict[str, Any]]:
    # Isolated: what lies beside this file must not stand in for Python's own modules.
    words = ["unshare", "--net", sys.executable, "-I", "-S", __file__]
    environment = {**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8"}
    try:
        said = subprocess.run(
            words, input=json.dumps(job), capture_output=True, text=True, check=False, env=environment
        )
    except FileNotFoundError:
        raise CommandExecutionError("unshare is not installed; it comes with the package util-linux") from None
    if said.stderr.startswith("unshare:"):
        raise CommandExecutionError(f"network namespaces are not permitted here: {said.stderr.strip()}")
    try:
        answer = json.loads(said.stdout)
    except ValueError:
        raise CommandExecutionError(f"the rehearsal of the firewall failed: {said.stderr.strip()}") from None
    if "error" in answer:
        raise CommandExecutionError(answer["error"])
    results: list[dict[str, Any]] = answer["results"]
    return results


def _remote(expectation: dict[str, Any]) -> str:
    remote: str = expectation["destination" if expectation["direction"] == "out" else "source"]
    return remote


def _own(expectation: dict[str, Any]) -> str:
    own: str = expectation["source" if expectation["direction"] == "out" else "destination"]
    return own


# --------------------------------------------------------------------------------------------------------------
# In the namespace: the interfaces and the rules

# Answers go to the gateway's hardware address, which nobody has: only the raw socket at the outer end hears them.
NEAR, FAR, GATEWAY = (bytes((2, 0, 0, 0, 0, number)) for number in (1, 2, 3))
GATEWAYS = {"ipv4": "169.254.0.1", "ipv6": "fe80::2"}
TENTATIVE = 0x40  # IFA_F_TENTATIVE, rtnetlink(7)
PATIENCE = 5  # seconds for the scratch interfaces to come up
SECOND_THOUGHTS = 0.5  # seconds in which a packet that is not what was expected may still become it


class Stage(NamedTuple):
    """The probes, and by what they are known; the outer end of each interface; the sockets; the numbers of fences."""

    probes: list[dict[str, Any]]
    known: dict[Hashable, list[dict[str, Any]]]
    outer: dict[str, str]
    ears: dict[str, socket.socket]
    serials: Iterator[int]


def _rehearse(job: dict[str, Any]) -> list[dict[str, Any]]:
    names = sorted({each["interface"] for each in job["expectations"]})
    outer = {name: "lo" if name == "lo" else f"rehearsal{number}" for number, name in enumerate(names)}
    probes = [_probe(number, each, outer[each["interface"]]) for number, each in enumerate(job["expectations"])]
    stage = Stage(probes, {}, outer, _ears({each["family"] for each in probes}), itertools.count())
    for each in probes:
        stage.known.setdefault(each["key"], []).append(each)
    _build(probes, outer)
    # On one processor packets are dealt with in the order in which they are sent; see _settled.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    _await_interfaces(stage)
    _load(job)
    _converse(stage)
    return [_finding(each) for each in probes]


def _build(probes: list[dict[str, Any]], outer: dict[str, str]) -> None:
    for name, value in (
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
    ):
        # Not every kernel has all of them.
        with contextlib.suppress(OSError), open(f"/proc/sys/net/{name}", "w", encoding="ascii") as stream:
            stream.write(value)
    _run(["ip", "-batch", "-"], "\n".join(_words_of_ip(probes, outer)))


def _words_of_ip(probes: list[dict[str, Any]], outer: dict[str, str]) -> list[str]:
    lines = ["link set dev lo up"]
    for name, end in outer.items():
        if name == "lo":
            continue
        lines.append(f"link add name {name} address {_mac(NEAR)} type veth peer name {end} address {_mac(FAR)}")
        if any(each["family"] == "ipv6" for each in probes):
            lines += [f"link set dev {each} addrgenmode none" for each in (name, end)]
        lines += [f"link set dev {end} up", f"link set dev {name} up"]
    for each in probes:
        name, remote = each["interface"], _remote(each)
        length = "32" if each["family"] == "ipv4" else "128 nodad"
        for own in [_own(each)] if name != "lo" else [each["source"], each["destination"]]:
            if not ipaddress.ip_address(own).is_loopback:
                lines.append(f"addr replace {own}/{length} dev {name}")
        if name == "lo":
            continue
        gateway, route = GATEWAYS[each["family"]], f"route replace {remote}/{length[:3].strip()}"
        if ipaddress.ip_address(remote).is_link_local:
            gateway, route = remote, f"{route} dev {name}"
        else:
            route = f"{route} via {gateway} dev {name} onlink"
        lines += [f"neigh replace {gateway} lladdr {_mac(GATEWAY)} dev {name} nud permanent", route]
    return list(dict.fromkeys(lines))


def _mac(address: bytes) -> str:
    return address.hex(":")


def _load(job: dict[str, Any]) -> None:
    if job["sets"]:
        _run(["ipset", "restore"], job["sets"])
    # The lock of iptables-legacy is the host's; what is locked here is not.
    with tempfile.NamedTemporaryFile() as lock:
        os.environ["XTABLES_LOCKFILE"] = lock.name
        for family, text in job["rulesets"].items():
            command = "iptables" if family == "ipv4" else "ip6tables"
            _run([f"{command}-{job['backend']}-restore", "-w", "60"], text)


def _run(words: list[str], text: str) -> None:
    said = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if said.returncode:
        raise RuntimeError(f"{' '.join(words)}: {said.stderr.strip() or said.stdout.strip()}")


def _await_interfaces(stage: Stage) -> None:
    """A link is ready, and an address valid, some time after the kernel was told so."""
    wanted = {
        (ipaddress.ip_address(_own(each)).packed.hex(), each["interface"])
        for each in stage.probes
        if each["family"] == "ipv6" and not ipaddress.ip_address(_own(each)).is_loopback
    }
    deadline = time.monotonic() + PATIENCE
    while True:
        valid = set()
        if wanted:
            with open("/proc/net/if_inet6", encoding="ascii") as stream:
                held = [line.split() for line in stream]
            valid = {(address, name) for address, _, _, _, flags, name in held if not int(flags, 16) & TENTATIVE}
        if wanted <= valid and _settled(stage, 0.01):
            return
        if time.monotonic() > deadline:
            raise RuntimeError("the interfaces of the scratch network namespace do not come up")
        time.sleep(0.002)


# --------------------------------------------------------------------------------------------------------------
# In the namespace: the packets

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
ICMP = {"ipv4": socket.IPPROTO_ICMP, "ipv6": socket.IPPROTO_ICMPV6}
ETHERTYPE = {"ipv4": 0x0800, "ipv6": 0x86DD}
FAMILY = {number: family for family, number in ETHERTYPE.items()}
FENCE = 0x88B5  # an ethertype for experiments, IEEE 802: no firewall of IP sees it
OUTGOING = 4  # PACKET_OUTGOING, packet(7)
SYN, RST, ACK = 2, 4, 16
FIRST_PORT = 40000
FIRST_NUMBER = 0x5EED0000  # a TCP probe is known by its sequence number, any other by its payload
MAGIC = b"firewall rehearsal"
ASKED, ANSWERED = b"?", b"!"
# Types of ICMP (RFC 792) and ICMPv6 (RFC 4443)
ECHO = {"ipv4": (8, 0), "ipv6": (128, 129)}
UNREACHABLE = {"ipv4": 3, "ipv6": 1}
SOLICITATION, ADVERTISEMENT = 135, 136  # RFC 4861


class Packet(NamedTuple):
    """What lies within an IP packet, and where it goes; addresses are packed."""

    family: str
    protocol: int
    source: bytes
    destination: bytes
    body: bytes


def _probe(number: int, expectation: dict[str, Any], outer: str) -> dict[str, Any]:
    """
    An expectation, its packet, and at which side who asks and who answers are.

    A side is the outer end of the interface, or ``host``: what the host receives once its rules have let it in.
    """
    inwards, local = expectation["direction"] == "in", expectation["interface"] == "lo"
    packet = _question(number, expectation)
    recognised = _recognised(packet)
    return {
        **expectation,
        "packet": packet,
        "key": recognised[0] if recognised else None,
        "asks": outer if inwards and not local else "host",
        "answers": "host" if inwards or local else outer,
        "seen": set(),
    }


def _question(number: int, expectation: dict[str, Any]) -> Packet:
    family, protocol = expectation["family"], expectation["protocol"]
    source, destination = (ipaddress.ip_address(expectation[key]).packed for key in ("source", "destination"))
    payload = MAGIC + struct.pack("!I", number) + ASKED
    if protocol == "tcp":
        body = _tcp(FIRST_PORT + number, expectation["port"], FIRST_NUMBER + number, 0, SYN)
        return Packet(family, TCP, source, destination, body)
    if protocol == "udp":
        return Packet(family, UDP, source, destination, _udp(FIRST_PORT + number, expectation["port"], payload))
    if protocol == "icmp":
        body = struct.pack("!BBHHH", ECHO[family][0], 0, 0, FIRST_PORT + number, 1) + payload
    else:
        body = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + destination + b"\x01\x01" + GATEWAY
    return Packet(family, ICMP[family], source, destination, body)


def _tcp(source: int, destination: int, sequence: int, acknowledged: int, flags: int) -> bytes:
    header = struct.pack("!HHIIBBHHH", source, destination, sequence, acknowledged, 6 << 4, flags, 64240, 0, 0)
    return header + b"\x02\x04\x05\xb4"  # the largest segment, which no real SYN is without


def _udp(source: int, destination: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(payload), 0) + payload


def _answer(question: Packet) -> Packet:
    """What whoever was asked would say."""
    family, protocol, source, destination, body = question
    if protocol == TCP:
        source_port, destination_port, sequence = struct.unpack_from("!HHI", body)
        answer = _tcp(destination_port, source_port, 1, sequence + 1, SYN | ACK)
    elif protocol == UDP:
        source_port, destination_port = struct.unpack_from("!HH", body)
        answer = _udp(destination_port, source_port, body[8:-1] + ANSWERED)
    else:
        answer = struct.pack("!BBH", ECHO[family][1], 0, 0) + body[4:]
    return Packet(family, protocol, destination, source, answer)


def _recognised(packet: Packet) -> tuple[Hashable, str] | None:
    """Which probe a packet belongs to, and whether it is its question, its answer, or a refusal."""
    family, protocol, _, _, body = packet
    if protocol == TCP and len(body) >= 14:
        sequence, acknowledged, _, flags = struct.unpack_from("!IIBB", body, 4)
        if flags & (SYN | ACK | RST) == SYN:
            return sequence - FIRST_NUMBER, "question"
        return acknowledged - 1 - FIRST_NUMBER, "reset" if flags & RST else "answer"
    if protocol == UDP:
        return _by_payload(body[8:], "answer" if body.endswith(ANSWERED) else "question")
    if protocol != ICMP[family] or len(body) < 8:
        return None
    kind = body[0]
    if kind == UNREACHABLE[family]:
        return _refused(family, body[8:])
    if kind in ECHO[family]:
        return _by_payload(body[8:], "question" if kind == ECHO[family][0] else "answer")
    if family == "ipv6" and kind in (SOLICITATION, ADVERTISEMENT):
        return body[8:24], "question" if kind == SOLICITATION else "answer"
    return None


def _by_payload(payload: bytes, kind: str) -> tuple[Hashable, str] | None:
    if not payload.startswith(MAGIC):
        return None
    number: int = struct.unpack_from("!I", payload, len(MAGIC))[0]
    return number, kind


def _refused(family: str, quoted: bytes) -> tuple[Hashable, str] | None:
    """An ICMP error is about the packet that it quotes."""
    packet = _parsed(family, quoted)
    recognised = _recognised(packet) if packet else None
    return (recognised[0], "error") if recognised and recognised[1] == "question" else None


def _parsed(family: str, data: bytes) -> Packet | None:
    if family == "ipv4" and len(data) >= 20:
        return Packet(family, data[9], data[12:16], data[16:20], data[(data[0] & 15) * 4 :])
    if family == "ipv6" and len(data) >= 40:
        return Packet(family, data[6], data[8:24], data[24:40], data[40:])
    return None


def _bytes(packet: Packet) -> bytes:
    """The IP packet, with its checksums. RFC 791, RFC 8200."""
    family, protocol, source, destination, body = packet
    pseudo = source + destination + struct.pack("!II", len(body), protocol)
    offset = {TCP: 16, UDP: 6}.get(protocol, 2)
    checksum = _checksum(body if protocol == ICMP["ipv4"] else pseudo + body)
    body = body[:offset] + struct.pack("!H", checksum or 0xFFFF) + body[offset + 2 :]
    if family == "ipv6":
        hops = 255 if body[0] == SOLICITATION and protocol == ICMP[family] else 64
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, hops) + source + destination + body
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, protocol, 0) + source + destination
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + body


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


# --------------------------------------------------------------------------------------------------------------
# In the namespace: sending, hearing, judging

SO_RCVBUFFORCE = 33  # socket(7)


def _ears(families: set[str]) -> dict[str, socket.socket]:
    """
    All sockets: ``wire`` for the frames of every interface; for each family one to send packets of this host, and
    those that are given a copy of what the host receives, which is after its rules (raw(7)).
    """
    ears = {"wire": socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))}  # ETH_P_ALL
    for family in families:
        kind = socket.AF_INET if family == "ipv4" else socket.AF_INET6
        ears[f"{family} mouth"] = socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for protocol in (TCP, UDP, ICMP[family]):
            ear = ears[f"{family} {protocol}"] = socket.socket(kind, socket.SOCK_RAW, protocol)
            if family == "ipv6":
                ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    for ear in ears.values():
        ear.setblocking(False)
        ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 2**24)
    return ears


def _converse(stage: Stage) -> None:
    for each in stage.probes:
        _send(stage, each["packet"], each["asks"], each["interface"])
    deadline = time.monotonic() + SECOND_THOUGHTS
    quiet = 0
    while quiet < 2 or (time.monotonic() < deadline and not all(_finding(each)["ok"] for each in stage.probes)):
        before = sum(len(each["seen"]) for each in stage.probes)
        if not _settled(stage, PATIENCE):
            raise RuntimeError("the scratch network namespace lost a frame")
        quiet = quiet + 1 if sum(len(each["seen"]) for each in stage.probes) == before else 0
        if quiet > 2:
            time.sleep(0.01)


def _send(stage: Stage, packet: Packet, side: str, interface: str) -> None:
    family = packet.family
    if side != "host":
        header = NEAR + GATEWAY + struct.pack("!H", ETHERTYPE[family])
        stage.ears["wire"].sendto(header + _bytes(packet), (side, ETHERTYPE[family]))
        return
    destination = ipaddress.ip_address(packet.destination)
    scope = socket.if_nametoindex(interface) if destination.is_link_local else 0
    address = (str(destination), 0) if family == "ipv4" else (str(destination), 0, 0, scope)
    with contextlib.suppress(PermissionError):  # a rule of OUTPUT has dropped it
        stage.ears[f"{family} mouth"].sendto(_bytes(packet), address)


def _settled(stage: Stage, patience: float) -> bool:
    """
    Hear everything that is under way on the interfaces, and say whether it came to an end.

    A frame that no firewall stops follows what was sent, each way: when it arrives, all before it has been dealt with.
    """
    crossings = [pair for near, far in stage.outer.items() if near != "lo" for pair in ((far, near), (near, far))]
    for sender, receiver in [*crossings, ("lo", "lo")]:
        serial = struct.pack("!I", next(stage.serials))
        stage.ears["wire"].sendto(NEAR + GATEWAY + struct.pack("!H", FENCE) + serial, (sender, FENCE))
        deadline = time.monotonic() + patience
        while (receiver, serial) not in _hear(stage, deadline - time.monotonic()):
            if time.monotonic() > deadline:
                return False
    return True


def _hear(stage: Stage, patience: float) -> set[tuple[str, bytes]]:
    """Note what is seen of the probes, answer where an answer is due; the fences that have arrived, and where."""
    fences = set()
    select.select(list(stage.ears.values()), [], [], max(0.0, patience))
    for name, ear in stage.ears.items():
        for data, ancillary, address in _received(ear):
            if name != "wire":
                _note(stage, "host", _of_host(name, data, ancillary, address))
            elif address[2] != OUTGOING and address[1] == FENCE:
                fences.add((address[0], data[14:]))
            elif address[2] != OUTGOING and address[0] in stage.outer.values():
                _note(stage, address[0], _parsed(FAMILY.get(address[1], ""), data[14:]))
    return fences


def _received(ear: socket.socket) -> Iterator[tuple[bytes, list[Any], Any]]:
    while True:
        try:
            data, ancillary, _, address = ear.recvmsg(4096, 64)
        except BlockingIOError:
            return
        yield data, ancillary, address


def _of_host(name: str, data: bytes, ancillary: list[Any], address: Any) -> Packet | None:
    """What a raw socket gives: in IPv4 the packet, in IPv6 what is in it, and the addresses beside it."""
    family, protocol = name.split()
    if family == "ipv4":
        return _parsed(family, data)
    source = ipaddress.ip_address(address[0].partition("%")[0]).packed
    return Packet(family, int(protocol), source, ancillary[0][2][:16], data)


def _note(stage: Stage, side: str, packet: Packet | None) -> None:
    recognised = _recognised(packet) if packet else None
    if packet is None or recognised is None:
        return
    key, kind = recognised
    for probe in stage.known.get(key, []):
        if (side, kind) in probe["seen"]:
            continue
        probe["seen"].add((side, kind))
        # To TCP, echo requests and solicitations the host has an answer of its own.
        if kind == "question" and side == probe["answers"] and (side != "host" or packet.protocol == UDP):
            _send(stage, _answer(packet), side, probe["interface"])


def _finding(probe: dict[str, Any]) -> dict[str, Any]:
    found, held_back = _verdict(probe["asks"], probe["answers"], probe["seen"])
    first, then = ("INPUT", "OUTPUT") if probe["direction"] == "in" else ("OUTPUT", "INPUT")
    return {
        "found": found,
        "ok": found == probe["verdict"] or (probe["verdict"] == "deny" and found != "accept"),
        "note": f"{first} lets it pass, but {then} holds the answer back" if held_back else "",
    }


def _verdict(asks: str, answers: str, seen: set[tuple[str, str]]) -> tuple[str, bool]:
    """What became of a question, and whether only its answer was held back."""
    if (answers, "question") in seen:
        answered = bool(seen & {(asks, "answer"), (asks, "reset")})
        return "accept" if answered else "drop", not answered
    refused = bool(seen & {(asks, "reset"), (asks, "error")})
    return "reject" if refused else "drop", False


def _main() -> None:
    try:
        answer: dict[str, Any] = {"results": _rehearse(json.load(sys.stdin))}
    except (OSError, RuntimeError) as error:
        answer = {"error": f"the rehearsal of the firewall failed: {error}"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
