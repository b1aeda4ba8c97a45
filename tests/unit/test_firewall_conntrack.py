"""Which connections are entered into the kernel's tracking, from tables as in proc(5)."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys
from typing import Any

import _dualstack_firewall_conntrack as firewall_conntrack
import _dualstack_host_files as host_files
import pytest
from salt.exceptions import CommandExecutionError

End = tuple[str, int]
Row = tuple[End, End, str]

ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT, TIME_WAIT, CLOSE_WAIT, LISTEN = "01", "02", "03", "04", "06", "08", "0A"
V4 = (("192.0.2.1", 22), ("198.51.100.7", 40000))
V6 = (("2001:db8::1", 22), ("2001:db8:1::7", 40000))
MAPPED = (("::ffff:192.0.2.1", 80), ("::ffff:198.51.100.7", 40001))


def end(address: str, port: int) -> str:
    """An end as the kernel writes it: words of 32 bits in the host's byte order."""
    packed = ipaddress.ip_address(address).packed
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write the tables of a host: for each version of TCP, its sockets as local end, other end and state."""
    found: dict[str, str | None] = {}
    monkeypatch.setattr(host_files, "read", found.get)

    def write(tcp: list[Row], tcp6: list[Row] | None) -> None:
        for path, rows in (("/proc/net/tcp", tcp), ("/proc/net/tcp6", tcp6)):
            lines = ["  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"]
            for number, (local, remote, state) in enumerate(rows or []):
                lines.append(f"   {number}: {end(*local)} {end(*remote)} {state} 00000000:00000000 00:00000000")
            found[path] = None if rows is None else "\n".join(lines) + "\n"

    return write


def listening(address: str, port: int) -> Row:
    return (address, port), ("::" if ":" in address else "0.0.0.0", 0), LISTEN


def test_the_kernels_own_words_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a machine with an Intel processor."""
    monkeypatch.setattr(sys, "byteorder", "little")
    rest = "00000000:00000000 02:000006DB 00000000     0        0 15233 2 0000000000000000 20 4 29 10 -1\n"
    texts = {
        "/proc/net/tcp": f"  sl  local\n   0: 010200C0:9C40 076433C6:11FA 01 {rest}",
        "/proc/net/tcp6": f"  sl  local\n   0: B80D0120000000000000000001000000:9C41 "
        f"B80D0120010000000000000007000000:01BB 01 {rest}"
        f"   1: 0000000000000000FFFF0000010200C0:9C42 0000000000000000FFFF0000076433C6:0050 01 {rest}",
    }
    monkeypatch.setattr(host_files, "read", texts.get)
    assert firewall_conntrack.connections() == [
        (("192.0.2.1", 40000), ("198.51.100.7", 4602)),
        (("2001:db8::1", 40001), ("2001:db8:0:1::7", 443)),
        (("192.0.2.1", 40002), ("198.51.100.7", 80)),
    ]


def test_ipv4_to_a_listener_of_both_families_is_ipv4(tables: Any) -> None:
    """On the wire it is IPv4, although the socket is one of IPv6: it has to be entered as what it is on the wire."""
    tables([], [listening("::", 80), (*MAPPED, ESTABLISHED)])
    assert firewall_conntrack.connections() == [(("198.51.100.7", 40001), ("192.0.2.1", 80))]


def test_the_end_that_opened_the_connection_comes_first(tables: Any) -> None:
    """It is this host, unless the port is one that it listens on."""
    tables([(*V4, ESTABLISHED)], [(*V6, ESTABLISHED)])
    assert firewall_conntrack.connections() == [V4, V6]
    tables([listening("0.0.0.0", 22), (*V4, ESTABLISHED)], [listening("::", 22), (*V6, ESTABLISHED)])
    assert firewall_conntrack.connections() == [V4[::-1], V6[::-1]]
    tables([listening("0.0.0.0", 40000), (*V4, ESTABLISHED)], [])
    assert firewall_conntrack.connections() == [V4]


def test_what_is_not_established_is_left_to_the_kernel(tables: Any) -> None:
    others = [SYN_SENT, SYN_RECV, FIN_WAIT, TIME_WAIT, CLOSE_WAIT]
    tables([(*V4, state) for state in others], [listening("::", 22), *((*V6, state) for state in others)])
    assert firewall_conntrack.connections() == []


def test_a_kernel_without_ipv6(tables: Any) -> None:
    tables([(*V4, ESTABLISHED)], None)
    assert firewall_conntrack.connections() == [V4]


class Kernel:
    """Answers every request of a netlink socket with the next of some errors."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.requests: list[bytes] = []

    def socket(self, *_: Any) -> Kernel:
        return self

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def settimeout(self, seconds: float) -> None:
        assert 1 <= seconds <= 60

    def sendto(self, request: bytes, to: Any) -> None:
        self.requests.append(request)

    def recv(self, _: int) -> bytes:
        return struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -self.codes.pop(0)) + self.requests[-1][:16]


def test_those_that_are_tracked_already_are_not_counted(tables: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tables([(*V4, ESTABLISHED)], [(*V6, ESTABLISHED), (*MAPPED, ESTABLISHED)])
    kernel = Kernel(errno.EEXIST, 0, 0)
    monkeypatch.setattr(socket, "socket", kernel.socket)
    assert firewall_conntrack.enter() == 2
    assert len(kernel.requests) == 3


@pytest.mark.parametrize(("code", "name"), [(errno.EPERM, "EPERM"), (errno.EINVAL, "EINVAL"), (errno.ENOENT, "ENOENT")])
def test_a_refusal_is_an_error_with_its_reason(
    tables: Any, monkeypatch: pytest.MonkeyPatch, code: int, name: str
) -> None:
    tables([(*V4, ESTABLISHED)], [])
    monkeypatch.setattr(socket, "socket", Kernel(code).socket)
    with pytest.raises(CommandExecutionError, match=rf"^the kernel does not allow .* \({name}\)$"):
        firewall_conntrack.enter()
