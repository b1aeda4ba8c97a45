"""
The script that tries firewall rules with real packets, in a scratch network namespace: for ``firewall_rehearsal``.

It is run by an isolated Python, reads a job from stdin, and prints the verdict on each packet. So it does not use Salt,
nor does any room that it imports.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import itertools
import json
import os
import select
import socket
import struct
import sys
import time
import traceback
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

import _dualstack_firewall_rehearsal_packets as firewall_rehearsal_packets
import _dualstack_firewall_rehearsal_stage as firewall_rehearsal_stage

TENTATIVE = 0x40  # IFA_F_TENTATIVE, rtnetlink(7)
PATIENCE = 5  # seconds for the scratch interfaces to come up
# Seconds, and looks, in which an unexpected verdict may still become the expected one: a busy host has fewer looks.
SECOND_THOUGHTS, ROUNDS = 0.5, 30
WORKERS = 4  # rehearsals at once, where each packet has one of its own
SO_RCVBUFFORCE = 33  # socket(7)
TCP, UDP, ICMP = firewall_rehearsal_packets.TCP, firewall_rehearsal_packets.UDP, firewall_rehearsal_packets.ICMP
FENCE, ETHERTYPE = firewall_rehearsal_packets.FENCE, firewall_rehearsal_packets.ETHERTYPE
HEADER = firewall_rehearsal_packets.NEAR + firewall_rehearsal_packets.GATEWAY

Packet = firewall_rehearsal_packets.Packet
Answer = dict[str, Any]  # the results, and what of the rules could not be loaded


class Stage(NamedTuple):
    """The probes, and what identifies them; the outer end of each interface; the sockets; the numbers of fences."""

    probes: list[dict[str, Any]]
    known: dict[Hashable, list[dict[str, Any]]]
    outer: dict[str, str]
    ears: dict[str, socket.socket]
    serials: Iterator[int]


def _rehearse(job: dict[str, Any]) -> Answer:
    firewall_rehearsal_stage.refuse(job["outside"])
    processors = sorted(os.sched_getaffinity(0))
    if not job["apart"]:
        return _together(job, processors[0], job["expectations"])
    import concurrent.futures  # pylint: disable=import-outside-toplevel  # most rehearsals do without them
    import multiprocessing  # pylint: disable=import-outside-toplevel

    # A rule that counts packets, or remembers hosts, is to meet each packet as if it were the first.
    workers = min(WORKERS, len(processors))
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(workers, fork) as pool:
        ways = [processors[number % workers] for number in range(len(job["expectations"]))]
        answers = list(pool.map(functools.partial(_alone, job), ways, job["expectations"]))
    return {
        "results": [result for each in answers for result in each["results"]],
        "unloaded": {name: said for each in answers for name, said in each["unloaded"].items()},
    }


def _alone(job: dict[str, Any], processor: int, expectation: dict[str, Any]) -> Answer:
    firewall_rehearsal_stage.leave(job["outside"])
    return _together(job, processor, [expectation])


def _together(job: dict[str, Any], processor: int, expectations: list[dict[str, Any]]) -> Answer:
    names = firewall_rehearsal_stage.ends(job, expectations)
    with contextlib.ExitStack() as sockets:
        probes = [
            firewall_rehearsal_packets.probe(number, each, names[each["interface"]])
            for number, each in enumerate(expectations)
        ]
        families = {each["family"] for each in probes}
        stage = Stage(probes, {}, names, _ears(sockets, families), itertools.count())
        for each in probes:
            stage.known.setdefault(each["key"], []).append(each)
        firewall_rehearsal_stage.build(job, probes, names)
        # On one processor, packets are processed in the order in which they are sent; see _settled.
        os.sched_setaffinity(0, {processor})
        _await_interfaces(stage)
        unloaded = firewall_rehearsal_stage.load(job, families)
        for family, port in {(each["family"], each["port"]) for each in probes if _talks(each)}:
            _serve(sockets, family, port, len(probes))
        _converse(stage)
        return {"results": [_finding(each) for each in probes], "unloaded": unloaded}


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


def _ears(sockets: contextlib.ExitStack, families: set[str]) -> dict[str, socket.socket]:
    """
    All sockets: ``wire`` for the frames of every interface; for each family one to send packets of this host, and those
    that get a copy of what the host receives, after its rules (raw(7)).
    """
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))  # ETH_P_ALL
    ears = {"wire": sockets.enter_context(wire)}
    for family in families:
        kind = socket.AF_INET if family == "ipv4" else socket.AF_INET6
        mouth = socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW)
        ears[f"{family} mouth"] = sockets.enter_context(mouth)
        for protocol in (TCP, UDP, ICMP[family]):
            ear = sockets.enter_context(socket.socket(kind, socket.SOCK_RAW, protocol))
            ears[f"{family} {protocol}"] = ear
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
    quiet = rounds = 0
    while quiet < 2 or (
        (rounds < ROUNDS or time.monotonic() < deadline) and not all(_finding(each)["ok"] for each in stage.probes)
    ):
        rounds += 1
        if rounds == ROUNDS // 2:  # as a client does that hears nothing
            for each in stage.probes:
                if not each["seen"] and not _finding(each)["ok"]:
                    _send(stage, each["packet"], each["asks"], each["interface"])
        before = sum(len(each["seen"]) for each in stage.probes)
        if not _settled(stage, PATIENCE):
            raise RuntimeError("the scratch network namespace lost a frame")
        quiet = quiet + 1 if sum(len(each["seen"]) for each in stage.probes) == before else 0
        if quiet > 2:
            time.sleep(0.01)


def _send(stage: Stage, packet: Packet, side: str, interface: str) -> None:
    family = packet.family
    if side != "host":
        header = HEADER + struct.pack("!H", ETHERTYPE[family])
        stage.ears["wire"].sendto(header + firewall_rehearsal_packets.encoded(packet), (side, ETHERTYPE[family]))
        return
    destination = ipaddress.ip_address(packet.destination)
    scope = socket.if_nametoindex(interface) if destination.is_link_local else 0
    address = (str(destination), 0) if family == "ipv4" else (str(destination), 0, 0, scope)
    with contextlib.suppress(PermissionError):  # a rule of OUTPUT has dropped it
        stage.ears[f"{family} mouth"].sendto(firewall_rehearsal_packets.encoded(packet), address)


def _settled(stage: Stage, patience: float) -> bool:
    """
    Receive everything in flight on the interfaces, and return whether all of it arrived.

    A frame that no firewall stops follows the packets, each way: when it arrives, all before it have been processed.
    """
    crossings = [pair for near, far in stage.outer.items() if near != "lo" for pair in ((far, near), (near, far))]
    for sender, receiver in [*crossings, ("lo", "lo")]:
        serial = struct.pack("!I", next(stage.serials))
        stage.ears["wire"].sendto(HEADER + struct.pack("!H", FENCE) + serial, (sender, FENCE))
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
            elif address[2] != firewall_rehearsal_packets.OUTGOING and address[1] == FENCE:
                fences.add((address[0], data[14:]))
            elif address[2] != firewall_rehearsal_packets.OUTGOING and address[0] in stage.outer.values():
                _note(
                    stage,
                    address[0],
                    firewall_rehearsal_packets.parsed(firewall_rehearsal_packets.FAMILY.get(address[1], ""), data[14:]),
                )
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
        return firewall_rehearsal_packets.parsed(family, data)
    source = ipaddress.ip_address(address[0].partition("%")[0]).packed
    return Packet(family, int(protocol), source, ancillary[0][2][:16], data)


def _note(stage: Stage, side: str, packet: Packet | None) -> None:
    recognised = firewall_rehearsal_packets.recognised(packet) if packet else None
    if packet is None or recognised is None:
        return
    key, kind = recognised
    for probe in stage.known.get(key, []):
        if (side, kind) in probe["seen"]:
            continue
        if kind == "answer" and side == probe["asks"] and _talks(probe):
            _send(stage, firewall_rehearsal_packets.more(packet, probe["number"]), side, probe["interface"])
        probe["seen"].add((side, kind))
        if kind == "question" and _is_elsewhere(probe, side, packet):
            probe["forwarded"] = probe["forwarded"] or (side, firewall_rehearsal_packets.whereto(packet))
            _send(stage, firewall_rehearsal_packets.answer(packet), side, probe["interface"])
        # The host itself answers TCP, echo requests and solicitations.
        elif kind == "question" and side == probe["answers"] and (side != "host" or packet.protocol == UDP):
            _send(stage, firewall_rehearsal_packets.answer(packet), side, probe["interface"])


def _is_elsewhere(probe: dict[str, Any], side: str, packet: Packet) -> bool:
    """Whether it has left this host for somebody else than it was sent to, or through it; a copy of it has not."""
    changed = packet.destination != probe["packet"].destination
    return side != "host" and (changed or bool(probe.get("behind")))


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
    side, whereto = probe["forwarded"] or (probe["answers"], "")
    found, held_back = _verdict(probe["asks"], side, probe["seen"])
    first, then = ("INPUT", "OUTPUT") if probe["direction"] == "in" else ("OUTPUT", "INPUT")
    if whereto:
        first, then = ("FORWARD", "FORWARD") if probe["asks"] != "host" else (first, then)
    note = f"{first} lets it pass, but {then} holds the answer back" if held_back else ""
    if _talks(probe) and (probe["asks"], "answer") in probe["seen"] and (side, "more") not in probe["seen"]:
        found, note = "drop", f"{first} lets the first packet pass, but not those that follow"
    if whereto:
        note = f"forwarded to {whereto}" + (f"; {note}" if note else "")
    ok = probe["verdict"] in (found, "any") or (probe["verdict"] == "deny" and found != "accept")
    via = probe.get("via") if found == "accept" and ok else None
    if via == "forward" and not whereto:
        ok, note = False, "this host takes it itself, and does not forward it"
    return {"found": found, "ok": ok and (via != "input" or not whereto), "note": note}


def _verdict(asks: str, answers: str, seen: set[tuple[str, str]]) -> tuple[str, bool]:
    """The verdict on a question, and whether only its answer was dropped."""
    if (answers, "question") in seen:
        answered = bool(seen & {(asks, "answer"), (asks, "reset")})
        return "accept" if answered else "drop", not answered
    refused = bool(seen & {(asks, "reset"), (asks, "error")})
    return "reject" if refused else "drop", False


def main() -> None:
    """
    Read the job, and print what was found.
    """
    try:
        answer: Answer = _rehearse(json.load(sys.stdin))
    except (OSError, RuntimeError) as error:
        answer = {"error": str(error)}
    except Exception as error:  # pylint: disable=broad-except  # a traceback would be all that anybody sees
        place = traceback.extract_tb(error.__traceback__)[-1].lineno
        answer = {"error": f"this is a bug in its script, line {place}: {type(error).__name__}; please report it"}
    json.dump(answer, sys.stdout)
