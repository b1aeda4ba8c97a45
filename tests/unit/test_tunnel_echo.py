"""The output of ping(8) of iputils, parsed."""

from __future__ import annotations

import _dualstack_tunnel_echo as tunnel_echo

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
