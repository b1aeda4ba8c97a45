"""
What else filters and forwards on this host, beside the rules that are tried: those of the other backend, native tables
of nftables, and the networks that packets are sent on to. It only reads.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_rehearsal as firewall_rehearsal
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_view as firewall_view
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_host_ip as host_ip
import _dualstack_host_routes as host_routes
from salt.exceptions import CommandExecutionError

# linux/netlink.h, linux/netfilter/nfnetlink.h and nf_tables.h
NETLINK_NETFILTER = 12
GET_TABLE, ERROR, DONE = 10 << 8 | 1, 2, 3
REQUEST_DUMP = 0x1 | 0x300
NAME = 1  # NFTA_TABLE_NAME
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
BUFFER, PATIENCE = 1 << 16, 5.0

PROC = "/proc/sys/net"
OURS = {"ip": "ipv4", "ip6": "ipv6"}  # where iptables-nft has its tables
FILTERING = (*OURS, "inet", "netdev")
OWNER = re.compile(r"^\s*flags owner.*\n", re.MULTILINE)  # such a table is gone with the program that made it
TO = re.compile(r" --to-destination (?:\[([0-9a-f.:-]+)\]|([0-9a-f.:-]+))| -j NETMAP --to ([0-9a-f.:/]+)")
IPV4 = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9.])")
IPV6 = re.compile(r"(?<![0-9a-f.:])[0-9a-f]{0,4}:[0-9a-f:]*:[0-9a-f.:]*(?![0-9a-f.:])")
LINKS = re.compile(r"\b(?:iif|oif) [^\n]*")
DEVICES = re.compile(r"\bdevices? (?:= \{)?([^;{}\n]*)")
INTERFACE = re.compile(r'"([A-Za-z0-9][A-Za-z0-9._@-]{0,14})"')
MOST = 1024  # networks behind this host

Networks = list[tuple[str, str]]  # family and network


def look(
    texts: Mapping[str, str], expectations: Sequence[firewall_view.Expectation], backend: str
) -> firewall_rehearsal.Around:
    """
    What a rehearsal needs beside the rules that are tried.

    texts
        Those rules, of each family.
    expectations
        What is tried.
    backend
        Of these rules, ``nft`` or ``legacy``.

    What cannot be read is among the ``reasons``. Raises ``CommandExecutionError`` where ip(8) does not say where
    packets go.
    """
    reasons: list[str] = []
    named = _tables(reasons)
    rulesets, covered = _others(backend, named, reasons)
    native = _native(
        [each for each in named if each[0] not in covered or each[1] not in firewall_save.BUILT_IN], reasons
    )
    networks = _networks([*texts.values(), *(text for _, _, text in rulesets)], native.values(), expectations)
    if len(networks) > MOST:
        reasons.append(f"the rules forward to {len(networks)} networks, and no more than {MOST} can be imitated")
    behind = _behind(networks[:MOST])
    links = {name for text in native.values() for name in _links(text)}
    sysctl = _sysctl({each["interface"] for each in [*expectations, *behind]}) if networks or native else {}
    return firewall_rehearsal.Around(rulesets, native, sysctl, behind, sorted(links - {"lo"}), reasons)


def _tables(reasons: list[str]) -> list[tuple[str, str]]:
    """Every table of nftables that filters IP packets, by its family and its name: the kernel is asked, not nft(8)."""
    found: list[tuple[str, str]] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
            netlink.settimeout(PATIENCE)
            netlink.sendto(HEADER.pack(HEADER.size + 4, GET_TABLE, REQUEST_DUMP, 1, 0) + bytes(4), (0, 0))
            while not (said := _messages(netlink.recv(BUFFER)))[1]:
                found += said[0]
            found += said[0]
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.ENOENT):  # no nftables
            reasons.append(f"whether nftables filters here could not be asked: {error.strerror or error}")
    return [each for each in dict.fromkeys(found) if each[0] in FILTERING]


def _messages(data: bytes) -> tuple[list[tuple[str, str]], bool]:
    """The tables in a part of the kernel's answer, and whether it is the last one."""
    found: list[tuple[str, str]] = []
    while len(data) >= HEADER.size:
        length, kind, _, _, _ = HEADER.unpack_from(data)
        if kind == ERROR:
            (code,) = struct.unpack_from("=i", data, HEADER.size)
            raise OSError(-code, "")
        if kind == DONE or length < HEADER.size:
            return found, True
        family, at = data[HEADER.size], HEADER.size + 4
        while at + 4 <= length:
            size, attribute = struct.unpack_from("=HH", data, at)
            if attribute & 0x3FFF == NAME:
                found.append(
                    (FAMILIES.get(family, ""), data[at + 4 : at + size].rstrip(b"\0").decode("utf-8", "replace"))
                )
            at += max(4, size + 3 & ~3)
        data = data[length + 3 & ~3 :]
    return found, False


def _others(
    backend: str, named: Sequence[tuple[str, str]], reasons: list[str]
) -> tuple[list[tuple[str, list[str], str]], set[str]]:
    """
    The rules of the other backend, which a packet has to pass as well: family, command, text; and in which families the
    tables of nftables that are named as those of iptables are its own.
    """
    unused = "legacy" if backend == "nft" else "nft"
    found: list[tuple[str, list[str], str]] = []
    covered = set(OURS) if backend == "nft" else set()
    for family in firewall_kernel.families():
        kind = "ip6" if family == "ipv6" else "ip"
        names = [name for each, name in named if each == kind and name in firewall_save.BUILT_IN]
        if unused == "legacy":
            names = (host_files.read(f"/proc/net/{kind}_tables_names") or "").split()
        command = f"{firewall_commands.COMMANDS[family]}-{unused}"
        save, restore = (host_commands.which(f"{command}-{verb}") for verb in ("save", "restore"))
        said = ""
        try:
            if names and save and restore:
                tables = firewall_save.parse(firewall_commands.run([save]))
                covered.add(kind)
                if any(chains != firewall_save.empty(table) for table, chains in tables.items()):
                    words = [restore, "-w", str(firewall_commands.LOCK)]
                    found.append((family, words, firewall_save.render(tables)))
                continue
        except CommandExecutionError as error:
            said = str(error)
        if names and unused == "legacy":  # the tables of nftables may be read by nft(8)
            said = said or f"{command} is not installed"
            reasons.append(f"the tables {', '.join(names)} of {command} filter here too, and were not read: {said}")
    return found, covered


def _native(named: Sequence[tuple[str, str]], reasons: list[str]) -> dict[str, str]:
    """The tables that nft(8) lists, as it lists them."""
    if not named:
        return {}
    program = host_commands.which("nft")
    if not program:
        names = ", ".join(f"{family} {name}" for family, name in named)
        reasons.append(f"tables of nftables filter here too ({names}), and nft is not installed to read them")
        return {}
    jobs = {
        f"{family} {name}": firewall_commands.Job([program, "-s", "list", "table", family, name])
        for family, name in named
    }
    found = {}
    for name, said in firewall_commands.together(jobs).items():
        if isinstance(said, CommandExecutionError):
            reasons.append(f"the table {name} of nftables could not be read: {said}")
        elif name.startswith("netdev ") and "policy drop" in said:
            reasons.append(f"the table {name} of nftables drops frames by itself, which cannot be imitated")
        else:
            found[name] = OWNER.sub("", said)
    return found


def _links(text: str) -> Iterator[str]:
    """The interfaces that have to be there, or nft(8) does not load the table."""
    for part in LINKS.findall(text):
        yield from INTERFACE.findall(part)
    for part in DEVICES.findall(text):
        yield from re.findall(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}", part.partition(" priority")[0])


def _networks(
    texts: Iterable[str], native: Iterable[str], expectations: Sequence[firewall_view.Expectation]
) -> Networks:
    """Where packets may be sent on to: by rules that change their destination, or since it is not this host's."""
    found = [each["destination"] for each in expectations if "behind" in each]
    for text in texts:
        if "-j DNAT" in text or "-j NETMAP" in text:
            found += [each for match in TO.finditer(text) for each in _written(match[1] or match[2] or match[3])]
    for text in native:
        if "dnat" in text:
            found += IPV4.findall(text) + IPV6.findall(text)
    known = {each[end] for each in expectations for end in ("source", "destination") if "behind" not in each}
    networks = []
    for each in dict.fromkeys(found):
        try:
            network = ipaddress.ip_network(each, strict=False)
        except ValueError:
            continue
        if each not in known and not (network.is_multicast or network.is_unspecified):
            networks.append((f"ipv{network.version}", str(network)))
    return list(dict.fromkeys(networks))


def _written(value: str) -> Iterator[str]:
    """The addresses in what follows --to-destination: 192.0.2.1, 192.0.2.1:80, 192.0.2.1-192.0.2.9:80, 2001:db8::1."""
    if "." in value and ":" in value:
        value = value.partition(":")[0]
    first, _, last = value.partition("-")
    try:
        low = ipaddress.ip_network(first, strict=False)[0]
        high = ipaddress.ip_address(last) if last else low
        yield from ([first] if not last else map(str, ipaddress.summarize_address_range(low, high)))
    except (ValueError, TypeError):
        return


def _behind(networks: Networks) -> list[firewall_rehearsal.Behind]:
    """By which interface this host sends packets to each: without a route it does not."""
    found: list[firewall_rehearsal.Behind] = []
    for family in dict.fromkeys(family for family, _ in networks):
        routes = sorted(_routes(family), key=lambda each: each[0])
        for network in [ipaddress.ip_network(each) for its, each in networks if its == family]:
            way = next((each for each in routes if network.subnet_of(each[1])), None)  # type: ignore[arg-type]
            if way and way[2]:
                own = way[3] or host_routes.address(way[2], family) if way[2] != "lo" else None
                found.append({"family": family, "network": str(network), "interface": way[2], "own": own})
    return found


def _routes(family: str) -> Iterator[tuple[tuple[int, int], ipaddress.IPv4Network | ipaddress.IPv6Network, str, str]]:
    """The routes of this host: their rank, the best first; where to, by which interface, from which address."""
    try:
        routes = host_ip.look([f"-{family[3:]}", "route", "show", "table", "all"])
    except host_ip.Nothing:  # a kernel without IPv6
        return
    for each in routes:
        kind = each.get("type", "unicast")
        if kind not in ("unicast", "local"):
            continue
        to = str(each.get("dst", "default"))
        network = ipaddress.ip_network(
            {"default": "::/0" if family == "ipv6" else "0.0.0.0/0"}.get(to, to), strict=False
        )
        hops = each.get("nexthops") or [{}]
        interface = "lo" if kind == "local" else str(each.get("dev") or hops[0].get("dev") or "")
        yield (-network.prefixlen, int(each.get("metric", 0))), network, interface, str(each.get("prefsrc") or "")


def _sysctl(interfaces: Iterable[str]) -> dict[str, str]:
    """Whether this host forwards, and whether to itself."""
    names = ["ipv4/conf/{}/forwarding", "ipv4/conf/{}/route_localnet", "ipv6/conf/{}/forwarding"]
    found = {}
    for name in names:
        for each in ["all", *sorted(interfaces)]:
            value = host_files.read(f"{PROC}/{name.format(each)}") or host_files.read(
                f"{PROC}/{name.format('default')}"
            )
            if value:
                found[name.format(each)] = value.strip()
    return found
