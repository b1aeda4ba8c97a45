"""How ping(8) of iputils is asked, and its output, parsed."""

from __future__ import annotations

from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_tunnel_echo as tunnel_echo
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

ANSWERED = """\
PING 216.66.84.42 (216.66.84.42) from 46.105.5.1 : 56(84) bytes of data.
64 bytes from 216.66.84.42: icmp_seq=1 ttl=64 time=0.051 ms
From 46.105.5.254 icmp_seq=2 Destination Host Unreachable

--- 216.66.84.42 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 402ms
rtt min/avg/max/mdev = 0.051/0.063/0.071/0.008 ms
"""
UNREACHABLE = """\
PING 2001:db8::1(2001:db8::1) 56 data bytes
From 2001:470:1f12:f87::1 icmp_seq=1 Destination unreachable: No route

--- 2001:db8::1 ping statistics ---
2 packets transmitted, 0 received, +1 errors, 100% packet loss, time 201ms
"""


def test_answers_are_counted_and_timed() -> None:
    found = tunnel_echo.parse(ANSWERED)
    assert (found["sent"], found["received"], found["loss"], found["answering"]) == (3, 2, 33, True)
    assert found["rtt"] == {"min": 0.051, "avg": 0.063, "max": 0.071}
    assert found["reason"] == ""
    assert tunnel_echo.words(found) == "2 of 3, 33% loss, 0.063 ms on average"


def test_a_reason_is_what_was_said_first() -> None:
    found = tunnel_echo.parse(UNREACHABLE)
    assert (found["answering"], found["loss"], found["rtt"]) == (False, 100, None)
    assert found["reason"] == "From 2001:470:1f12:f87::1 icmp_seq=1 Destination unreachable: No route"
    too_large = tunnel_echo.parse("", "ping: local error: message too long, mtu: 1400\n")
    assert (too_large["sent"], too_large["reason"]) == (0, "ping: local error: message too long, mtu: 1400")


def test_silence_has_no_reason() -> None:
    found = tunnel_echo.parse("2 packets transmitted, 0 received, 100% packet loss, time 201ms\n")
    assert (found["sent"], found["answering"], found["reason"]) == (2, False, "")


@pytest.mark.parametrize(
    "line",
    [
        "From 192.0.2.1 icmp_seq=1 Destination Host Unreachable",
        "ping: connect: Invalid argument",
        "ping: sendmsg: Operation not permitted",
        "From 2001:db8::1 icmp_seq=1 Time exceeded: Hop limit",
        "From 2001:db8::1 icmp_seq=1 Packet too big: mtu=1280",
        "ping: local error: message too long, mtu=1400",
        "ping: bind: Cannot assign requested address",
    ],
)
def test_what_ping_says_of_a_failure_is_the_reason(line: str) -> None:
    assert tunnel_echo.parse(f"PING x(x) 56 data bytes\n {line}\n")["reason"] == line
    assert tunnel_echo.parse(f"{line}\n", "ping: of the errors\n")["reason"] == "ping: of the errors"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], float]]:
    """The commands that would have been run, and for how long."""
    commands: list[tuple[list[str], float]] = []

    def output(words: list[str], patience: float) -> host_commands.Said:
        commands.append((words, patience))
        return host_commands.Said(0, ANSWERED, "")

    monkeypatch.setattr(host_commands, "which", lambda name: name)
    monkeypatch.setattr(host_commands, "output", output)
    return commands


def test_the_command_that_asks(asked: list[tuple[list[str], float]]) -> None:
    answer = tunnel_echo.ask("216.66.84.42")
    assert (answer["target"], answer["received"]) == ("216.66.84.42", 2)
    tunnel_echo.ask("2001:db8::1", "2001:db8::2%he0", attempts=50, timeout=9.5, size=1432)
    words = [" ".join(words) for words, _ in asked]
    assert words == [
        "ping -4 -n -c 3 -i 0.2 -W 2 216.66.84.42",
        "ping -6 -n -c 50 -i 0.2 -W 9.5 -I 2001:db8::2%he0 -M do -s 1432 2001:db8::1",
    ]
    # It takes 50 times 0.2 s and 9.5 s if nothing comes back, and gets ten seconds to end then.
    assert asked[1][1] == pytest.approx(50 * 0.2 + 9.5 + 10)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"attempts": 0}, "attempts: 0 is not a whole number from 1 to 500"),
        ({"attempts": True}, "attempts: True is not a whole number from 1 to 500"),
        ({"attempts": 1.5}, "attempts: 1.5 is not a whole number from 1 to 500"),
        ({"attempts": 501}, "attempts: 501 is not a whole number from 1 to 500"),
        ({"timeout": 0}, "timeout: 0 is not a number of seconds up to 30"),
        ({"timeout": True}, "timeout: True is not a number of seconds up to 30"),
        ({"timeout": "2"}, "timeout: '2' is not a number of seconds up to 30"),
        ({"timeout": 30.1}, "timeout: 30.1 is not a number of seconds up to 30"),
        ({"target": "-f"}, "target: '-f' is not an IP address"),
        ({"target": 5}, "target: 5 is not an IP address"),
    ],
)
def test_bad_input_is_refused_before_anything_is_run(given: Any, said: str, asked: list[Any]) -> None:
    with pytest.raises(SaltInvocationError) as raised:
        tunnel_echo.ask(**{"target": "192.0.2.1", **given})
    assert (str(raised.value), asked) == (said, [])


def test_the_least_and_the_most_that_may_be_asked_for(asked: list[Any]) -> None:
    tunnel_echo.ask("192.0.2.1", attempts=1, timeout=0.1)
    tunnel_echo.ask("192.0.2.1", attempts=500, timeout=30)
    assert len(asked) == 2


def test_a_host_without_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_commands, "which", lambda name: "")
    with pytest.raises(CommandExecutionError, match="^ping is not installed$"):
        tunnel_echo.ask("192.0.2.1")


def test_words_without_an_answer() -> None:
    assert tunnel_echo.words(tunnel_echo.parse(UNREACHABLE)) == "0 of 2, 100% loss"
    assert tunnel_echo.parse("") == {
        **{"sent": 0, "received": 0, "loss": 100, "rtt": None},
        **{"answering": False, "reason": ""},
    }


def test_who_may_not_send_has_found_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container without CAP_NET_RAW: measured with iputils 20221126."""
    said = "ping: socktype: SOCK_RAW\nping: socket: Operation not permitted\n"
    monkeypatch.setattr(host_commands, "which", lambda name: name)
    monkeypatch.setattr(host_commands, "output", lambda words, patience: host_commands.Said(2, "", said))
    with pytest.raises(CommandExecutionError, match="^no ping can be sent here "):
        tunnel_echo.ask("2001:db8::1")
