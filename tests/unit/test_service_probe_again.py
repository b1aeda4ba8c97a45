"""What probes ask once more, and how many at a time: daemons limit what comes from one client."""

from __future__ import annotations

import collections
import socket
import threading
import time
from typing import Any

import _dualstack_service_compare as service_compare
import _dualstack_service_probe as service_probe
import _dualstack_service_probe_again as service_probe_again
import pytest

from .servers import Act, Serve, closes, converses, says, silent

SHOP = "HTTP/1.1 200 OK\r\n\r\nshop"
BUSY = "HTTP/1.1 503 Service Unavailable\r\n\r\nlater"


def in_turn(*acts: Act) -> tuple[Act, list[int]]:
    """Each connection gets the next, and the last one all others."""
    asked: list[int] = []

    def _act(connection: socket.socket) -> None:
        asked.append(1)
        acts[min(len(asked), len(acts)) - 1](connection)

    return _act, asked


def leaves(text: str) -> Act:
    """Says something, and closes the connection at once."""
    return lambda connection: connection.sendall(text.encode())


def ask(four: Act, six: Act, serve: Serve, protocol: str, names: int = 1, **more: Any) -> list[dict[str, Any]]:
    """Both families of each name, in turn."""
    port = serve(four)
    serve(six, None, "::1", port)
    targets = [
        {"address": address, "port": port, "protocol": protocol, "name": f"s{number}.example", **more}
        for number in range(names)
        for address in ("127.0.0.1", "::1")
    ]
    return service_probe.probe_all(targets)


GREETING = converses([], "220 mail.example.org ESMTP\r\n", {"EHLO": "250 mail.example.org\r\n", "QUIT": "221 bye\r\n"})


@pytest.mark.parametrize(
    ("protocol", "good", "limit"),
    [
        ("http", says(SHOP), says(BUSY)),
        ("http", says(SHOP), says("HTTP/1.1 429 x\r\n\r\n")),
        ("http", says(SHOP), closes),
        ("smtp", GREETING, says("421 4.7.0 too many connections\r\n")),
        ("imap", says("* OK ready\r\n"), says("* BYE too many\r\n")),
    ],
)
def test_a_limit_that_passes(serve: Serve, protocol: str, good: Act, limit: Act) -> None:
    act, asked = in_turn(limit, good)
    four, six = ask(good, act, serve, protocol)
    assert six["answers"] and len(asked) >= 2 and service_compare.differences(four, six) == []


@pytest.mark.parametrize("words", ["Exceeded MaxStartups", "Not allowed at this time"])
def test_sshd_says_that_there_are_too_many(serve: Serve, words: str) -> None:
    act, asked = in_turn(leaves(f"{words}\r\n"), says("SSH-2.0-x\r\n"))
    _, six = ask(says("SSH-2.0-x\r\n"), act, serve, "ssh")
    assert six["answers"] and six["look"]["greeting"] == "SSH-2.0-x" and len(asked) >= 2
    _, six = ask(says("SSH-2.0-x\r\n"), leaves(f"{words}\r\n"), serve, "ssh")
    assert (six["answers"], six["reason"], six["error"]) == (False, "refused", f"refuses with `{words}`")
    assert "a limit" in service_compare.likely(six) and "PROXY" not in service_compare.likely(six)


@pytest.mark.parametrize(("protocol", "act"), [("smtp", closes), ("http", says(BUSY))])
def test_what_stays_is_asked_once_more_only(serve: Serve, protocol: str, act: Act) -> None:
    same, asked = in_turn(act)
    four, six = ask(same, same, serve, protocol, names=10)[:2]
    assert four["answers"] is six["answers"] is (act is not closes) and len(asked) == 40


def test_a_limit_by_the_second(serve: Serve) -> None:
    """One page a second, whoever asks."""
    last, lock = [0.0], threading.Lock()

    def act(connection: socket.socket) -> None:
        with lock:
            free = time.monotonic() - last[0] >= 1
            last[0] = time.monotonic() if free else last[0]
        says(SHOP if free else BUSY)(connection)

    found = ask(act, act, serve, "http")
    assert [each["look"]["status"] for each in found] == [200, 200]


def test_a_limit_of_connections(serve: Serve) -> None:
    """Of one client; and the pages are slow."""
    now: collections.Counter[str] = collections.Counter()
    most: collections.Counter[str] = collections.Counter()

    def act(connection: socket.socket) -> None:
        client = connection.getpeername()[0]
        now[client] += 1
        most[client] = max(now[client], most[client])
        time.sleep(0.05)
        busy = now[client] > service_probe_again.FEW
        now[client] -= 1
        says(BUSY if busy else SHOP)(connection)

    found = ask(act, act, serve, "http", names=40)
    assert {each["look"]["status"] for each in found} == {200}
    assert {*most.values()} <= {*range(service_probe.AT_ONCE + 1)} and len(most) == 2


def test_there_is_an_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_probe_again, "LONGEST", 0.5)
    act, asked = in_turn(closes)
    ask(act, act, serve, "smtp")
    assert len(asked) == 2


def test_silence_of_many_is_not_waited_for_each_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_probe, "HASTY", 0.1)
    began = time.monotonic()
    found = ask(silent, says(SHOP), serve, "http", names=80, seconds=1)
    assert time.monotonic() - began < 6
    assert [each["answers"] for each in found] == [False, True] * 80
    assert {each["error"] for each in found[-20::2]} == {"no banner within 0.1 s"}
