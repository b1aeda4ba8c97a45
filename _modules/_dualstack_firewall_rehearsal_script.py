"""
The script that tries firewall rules with real packets, in a scratch network namespace: for ``firewall_rehearsal``.

It is run as a file by an isolated Python, reads a job from stdin, and prints the verdict on each packet. So it does not
use Salt and imports no other room: everything has to be in this one file.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

# --------------------------------------------------------------------------------------------------------------
# The interfaces and the rules

# Answers go to the gateway's hardware address, which nobody has: only the raw socket at the outer end hears them.
NEAR, FAR, GATEWAY = (bytes((2, 0, 0, 0, 0, number)) for number in (1, 2, 3))
GATEWAYS = {"ipv4": "169.254.0.1", "ipv6": "fe80::2"}
TENTATIVE = 0x40  # IFA_F_TENTATIVE, rtnetlink(7)
PATIENCE = 5  # seconds for the scratch interfaces to come up
MOST, LAST = 1 << 20, 2000  # bytes that a command may print, and those that are shown
SECOND_THOUGHTS = 0.5  # seconds in which an unexpected verdict may still become the expected one


class Stage(NamedTuple):
    """The probes, and what identifies them; the outer end of each interface; the sockets; the numbers of fences."""

    probes: list[dict[str, Any]]
    known: dict[Hashable, list[dict[str, Any]]]
    outer: dict[str, str]
    ears: dict[str, socket.socket]
    serials: Iterator[int]


def _rehearse(job: dict[str, Any]) -> list[dict[str, Any]]:
    if os.readlink("/proc/self/ns/net") == job["outside"]:
        raise RuntimeError("unshare has made no network namespace, and these rules must not be loaded here")
    names = sorted({each["interface"] for each in job["expectations"]})
    outer = {name: "lo" if name == "lo" else f"rehearsal{number}" for number, name in enumerate(names)}
    probes = [_probe(number, each, outer[each["interface"]]) for number, each in enumerate(job["expectations"])]
    stage = Stage(probes, {}, outer, _ears({each["family"] for each in probes}), itertools.count())
    for each in probes:
        stage.known.setdefault(each["key"], []).append(each)
    _build(probes, outer)
    # On one processor, packets are processed in the order in which they are sent; see _settled.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    _await_interfaces(stage)
    _load(job)
    with contextlib.ExitStack() as servers:
        for family, port in {(each["family"], each["port"]) for each in probes if _talks(each)}:
            _serve(servers, family, port, len(probes))
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
        name, remote = each["interface"], each["remote"]
        length = "32" if each["family"] == "ipv4" else "128 nodad"
        for own in [each["own"]] if name != "lo" else [each["source"], each["destination"]]:
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
        for restore, text in job["rulesets"]:
            _run(restore, text)


def _run(words: list[str], text: str) -> None:
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


def _await_interfaces(stage: Stage) -> None:
    """A link becomes ready, and an address valid, some time after the command."""
    wanted = {
        (ipaddress.ip_address(each["own"]).packed.hex(), each["interface"])
        for each in stage.probes
        if each["family"] == "ipv6" and not ipaddress.ip_address(each["own"]).is_loopback
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
# The packets

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
ICMP = {"ipv4": socket.IPPROTO_ICMP, "ipv6": socket.IPPROTO_ICMPV6}
ETHERTYPE = {"ipv4": 0x0800, "ipv6": 0x86DD}
FAMILY = {number: family for family, number in ETHERTYPE.items()}
FENCE = 0x88B5  # an ethertype for experiments, IEEE 802: no firewall of IP sees it
OUTGOING = 4  # PACKET_OUTGOING, packet(7)
SYN, RST, PSH, ACK = 2, 4, 8, 16
FIRST_PORT = 40000
# A TCP probe is identified by its sequence number, any other, and what follows the first packets, by the payload.
FIRST_NUMBER, APART = 0x5EED0000, 256
MAGIC = b"firewall rehearsal"
ASKED, ANSWERED = b"?", b"!"
# Types of ICMP (RFC 792) and ICMPv6 (RFC 4443)
ECHO = {"ipv4": (8, 0), "ipv6": (128, 129)}
UNREACHABLE = {"ipv4": 3, "ipv6": 1}
SOLICITATION, ADVERTISEMENT = 135, 136  # RFC 4861


class Packet(NamedTuple):
    """The payload of an IP packet, and its addresses, packed."""

    family: str
    protocol: int
    source: bytes
    destination: bytes
    body: bytes


def _probe(number: int, expectation: dict[str, Any], outer: str) -> dict[str, Any]:
    """
    An expectation, its packet, and the sides of client and server.

    A side is the outer end of the interface, or ``host``: what the host receives once its rules have let it in.
    """
    inwards, local = expectation["direction"] == "in", expectation["interface"] == "lo"
    packet = _question(number, expectation)
    recognised = _recognised(packet)
    return {
        **expectation,
        "number": number,
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
        body = _tcp(FIRST_PORT + number, expectation["port"], FIRST_NUMBER + number * APART, 0, SYN)
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
    """The answer of the side that was asked."""
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


def _more(answer: Packet, number: int) -> Packet:
    """What the side that has asked for a TCP connection says once it is there."""
    family, protocol, source, destination, body = answer
    source_port, destination_port, sequence, acknowledged = struct.unpack_from("!HHII", body)
    words = _tcp(destination_port, source_port, acknowledged, sequence + 1 & 0xFFFFFFFF, PSH | ACK)
    return Packet(family, protocol, destination, source, words + MAGIC + struct.pack("!I", number) + ASKED)


def _recognised(packet: Packet) -> tuple[Hashable, str] | None:
    """Which probe a packet belongs to, and whether it is its question, its answer, or a refusal."""
    family, protocol, _, _, body = packet
    if protocol == TCP and len(body) >= 14:
        sequence, acknowledged, _, flags = struct.unpack_from("!IIBB", body, 4)
        if flags & (SYN | ACK | RST) == SYN:
            return (sequence - FIRST_NUMBER) // APART, "question"
        number, more = divmod(acknowledged - 1 - FIRST_NUMBER, APART)
        told = "reset" if flags & RST else "thanks" if more else "answer"
        return _by_payload(body[(body[12] >> 4) * 4 :], "more") or (number, told)
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
# Sending, hearing, judging

SO_RCVBUFFORCE = 33  # socket(7)


def _ears(families: set[str]) -> dict[str, socket.socket]:
    """
    All sockets: ``wire`` for the frames of every interface; for each family one to send packets of this host, and those
    that get a copy of what the host receives, after its rules (raw(7)).
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
    Receive everything in flight on the interfaces, and return whether all of it arrived.

    A frame that no firewall stops follows the packets, each way: when it arrives, all before it have been processed.
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
    """Record the probes seen, answer where an answer is due; the fences that have arrived, and where."""
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
    """What a raw socket returns: in IPv4 the packet, in IPv6 its payload and the addresses."""
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
        if kind == "answer" and side == probe["asks"] and _talks(probe):
            _send(stage, _more(packet, probe["number"]), side, probe["interface"])
        probe["seen"].add((side, kind))
        # The host itself answers TCP, echo requests and solicitations.
        if kind == "question" and side == probe["answers"] and (side != "host" or packet.protocol == UDP):
            _send(stage, _answer(packet), side, probe["interface"])


def _talks(probe: dict[str, Any]) -> bool:
    """Whether a connection is made: a real server answers."""
    return probe["protocol"] == "tcp" and probe["answers"] == "host" != probe["asks"]


def _serve(servers: contextlib.ExitStack, family: str, port: int, clients: int) -> None:
    """Let the kernel make connections to a port. Where it does not, its refusal is the answer."""
    kind = socket.AF_INET if family == "ipv4" else socket.AF_INET6
    with contextlib.suppress(OSError):
        server = servers.enter_context(socket.socket(kind, socket.SOCK_STREAM))
        if family == "ipv6":
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("", port))
        server.listen(clients)


def _finding(probe: dict[str, Any]) -> dict[str, Any]:
    found, held_back = _verdict(probe["asks"], probe["answers"], probe["seen"])
    first, then = ("INPUT", "OUTPUT") if probe["direction"] == "in" else ("OUTPUT", "INPUT")
    note = f"{first} lets it pass, but {then} holds the answer back" if held_back else ""
    if _talks(probe) and (probe["asks"], "answer") in probe["seen"] and ("host", "more") not in probe["seen"]:
        found, note = "drop", f"{first} lets the first packet pass, but not those that follow"
    return {
        "found": found,
        "ok": probe["verdict"] in (found, "any") or (probe["verdict"] == "deny" and found != "accept"),
        "note": note,
    }


def _verdict(asks: str, answers: str, seen: set[tuple[str, str]]) -> tuple[str, bool]:
    """The verdict on a question, and whether only its answer was dropped."""
    if (answers, "question") in seen:
        answered = bool(seen & {(asks, "answer"), (asks, "reset")})
        return "accept" if answered else "drop", not answered
    refused = bool(seen & {(asks, "reset"), (asks, "error")})
    return "reject" if refused else "drop", False


def _main() -> None:
    try:
        answer: dict[str, Any] = {"results": _rehearse(json.load(sys.stdin))}
    except (OSError, RuntimeError) as error:
        answer = {"error": str(error)}
    except Exception as error:  # pylint: disable=broad-except  # a traceback would be all that anybody sees
        place = traceback.extract_tb(error.__traceback__)[-1].lineno
        answer = {"error": f"this is a bug in its script, line {place}: {type(error).__name__}; please report it"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
