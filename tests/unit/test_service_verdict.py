"""What sockets serve, and will serve after the next start; where it can be, tried with real sockets."""

from __future__ import annotations

import contextlib
import itertools
import socket
from typing import Any

import _dualstack_service_verdict as service_verdict
import pytest

FOUR = {"transport": "tcp", "port": 143, "address": "0.0.0.0", "v6only": None}
SIX = {"transport": "tcp", "port": 143, "address": "::", "v6only": True}
BOTH = {"transport": "tcp", "port": 143, "address": "::", "v6only": False}
OPEN = {"transport": "tcp", "port": 143, "address": "::", "v6only": None}


@pytest.mark.parametrize(
    ("sockets", "bindv6only", "expected"),
    [
        ([], 0, []),
        ([FOUR], 0, ["ipv4"]),
        ([SIX], 0, ["ipv6"]),
        ([BOTH], 1, ["ipv4", "ipv6"]),
        ([OPEN], 0, ["ipv4", "ipv6"]),
        ([OPEN], 1, ["ipv6"]),
        ([SIX, FOUR], 0, ["ipv4", "ipv6"]),
        ([{**FOUR, "address": "::ffff:127.0.0.1"}], 0, ["ipv4"]),
        ([{**FOUR, "address": "192.0.2.1"}], 0, ["ipv4"]),
        ([{**FOUR, "address": "fe80::1%eth0"}], 0, ["ipv6"]),
        ([{**FOUR, "address": "localhost"}], 0, []),
    ],
)
def test_the_families_of_a_port(sockets: list[dict[str, Any]], bindv6only: int, expected: list[str]) -> None:
    assert service_verdict.served(sockets, bindv6only) == expected


@pytest.mark.parametrize(
    ("sockets", "follows", "bindv6only", "expected"),
    [
        ([BOTH], True, 1, ["ipv6"]),
        ([BOTH], True, 0, ["ipv4", "ipv6"]),
        ([BOTH], False, 1, ["ipv4", "ipv6"]),
        ([SIX, FOUR], False, 0, ["ipv4", "ipv6"]),
        ([SIX, FOUR], True, 1, ["ipv4", "ipv6"]),
        ([SIX, FOUR], True, 0, []),
        ([{**SIX, "transport": "udp"}, {**FOUR, "transport": "udp"}], True, 0, ["ipv4", "ipv6"]),
        ([{**SIX, "transport": "udp"}, {**FOUR, "transport": "udp"}], None, 0, []),
        ([{**SIX, "transport": "udp"}, {**FOUR, "transport": "udp"}], None, 1, ["ipv4", "ipv6"]),
        ([{**BOTH, "transport": "udp"}, {**FOUR, "transport": "udp"}], None, 0, ["ipv4", "ipv6"]),
        ([{**BOTH, "transport": "udp"}, {**FOUR, "transport": "udp"}], None, 1, ["ipv4", "ipv6"]),
        ([{**BOTH, "transport": "udp"}], None, 1, ["ipv6"]),
        ([SIX, FOUR], None, 0, []),
        ([BOTH, FOUR], True, 0, ["ipv4", "ipv6"]),  # they are there: the daemon lets them overlap
        ([OPEN, FOUR], True, 0, []),  # which may be SIX
        ([SIX], True, 0, ["ipv4", "ipv6"]),
    ],
)
def test_after_the_next_start(
    sockets: list[dict[str, Any]], follows: bool | None, bindv6only: int, expected: list[str]
) -> None:
    assert service_verdict.after_start(sockets, follows, bindv6only) == expected


@pytest.mark.parametrize("pair", list(itertools.permutations([("0.0.0.0", None), ("::", True), ("::", False)], 2)))
def test_the_kernel_agrees_on_what_collides(pair: Any) -> None:
    with contextlib.ExitStack() as stack:
        port, refused = 0, False
        for address, v6only in pair:
            each = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if v6only is not None:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
            try:
                each.bind((address, port))
                each.listen()
            except OSError:
                refused = True
            port = port or each.getsockname()[1]
    sockets = [{"transport": "tcp", "port": 1, "address": address, "v6only": v6only} for address, v6only in pair]
    if {address for address, _ in pair} == {"0.0.0.0", "::"}:
        assert service_verdict.collide(sockets, 0) == refused
    else:
        assert refused


@pytest.mark.parametrize("pair", list(itertools.permutations([("0.0.0.0", None), ("::", True), ("::", False)], 2)))
@pytest.mark.parametrize("reuse", [0, 1])
def test_over_udp_the_kernel_lets_sockets_overlap_that_permit_it(pair: Any, reuse: int) -> None:
    """So a live pair that overlaps will be there again, and for one that does not, this is not known."""
    with contextlib.ExitStack() as stack:
        port, refused = 0, False
        for address, v6only in pair:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            each = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            if v6only is not None:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
            try:
                each.bind((address, port))
            except OSError:
                refused = True
            port = port or each.getsockname()[1]
    overlap = dict(pair) != {"0.0.0.0": None, "::": True}
    assert refused == (overlap and not reuse)


def test_only_what_is_for_all_addresses_is_looked_at() -> None:
    sockets = [
        FOUR,
        SIX,
        {**FOUR, "address": "127.0.0.1"},
        {**FOUR, "port": None},
        {**FOUR, "transport": "udp", "port": 9},
    ]
    found = service_verdict.by_port(sockets)
    assert found == {"tcp/143": [FOUR, SIX], "udp/9": [sockets[-1]]}


def test_a_daemon_that_shares_its_ports_starts() -> None:
    assert service_verdict.after_start([SIX, FOUR], True, 0, shares=True) == ["ipv4", "ipv6"]


def test_ports_are_sorted_by_their_numbers() -> None:
    sockets = [
        {**FOUR, "transport": transport, "port": port} for transport, port in (("udp", 9), ("tcp", 993), ("tcp", 25))
    ]
    assert list(service_verdict.by_port(sockets)) == ["tcp/25", "tcp/993", "udp/9"]
