"""
ICMP echo requests, by the host's ping(8): whether an address answers, from which address, with how large a packet.
"""

from __future__ import annotations

import re
from typing import Any

import _dualstack_host_commands as host_commands
import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltInvocationError

INTERVAL = 0.2  # seconds
ATTEMPTS = 500  # at most; these and the longest timeout, twice, are still less than a state may take
TIMEOUT = 30  # seconds at most
PATIENCE = 10.0  # seconds for ping(8) itself
COUNTS = re.compile(r"(\d{1,9}) packets transmitted, (\d{1,9}) received")
TIMES = re.compile(r"= (\d+\.?\d*)/(\d+\.?\d*)/(\d+\.?\d*)/")
MUTE = re.compile(r"\bsocket: (Operation not permitted|Permission denied)")  # it may not send any
FAILURE = re.compile(r"unreachable|invalid|not permitted|exceeded|too (big|long)|ping: ", re.IGNORECASE)


def ask(
    target: str, source: str | None = None, attempts: int = 3, timeout: float = 2, size: int | None = None
) -> dict[str, Any]:
    """
    Ask an address whether it answers.

    target
        An IPv4 or IPv6 address.
    source
        The address that the requests come from, or the interface that they leave by, whatever the routes say, or
        both, as ``ADDRESS%INTERFACE``.
    attempts
        How many requests are sent, 0.2 s apart: up to 500.
    timeout
        Seconds to wait for the last answer, up to 30.
    size
        Bytes of data in each request, which then must not be fragmented on its way.

    Returns ``target``, ``sent``, ``received``, ``loss`` (percent), ``rtt`` (``min``, ``avg``, ``max`` in ms, or
    ``None``), ``answering`` (whether any answer came) and ``reason``, ping's error message; empty if nothing came back.
    Raises ``SaltInvocationError`` for bad input, and ``CommandExecutionError`` where there is no ping(8), where it may
    not send any, or where it does not say how many answers came, nor why none.
    """
    if isinstance(attempts, bool) or not isinstance(attempts, int) or not 0 < attempts <= ATTEMPTS:
        raise SaltInvocationError(f"attempts: {attempts!r} is not a whole number from 1 to {ATTEMPTS}")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= TIMEOUT:
        raise SaltInvocationError(f"timeout: {timeout!r} is not a number of seconds up to {TIMEOUT}")
    if not isinstance(target, str) or not salt.utils.network.is_ip(target):
        raise SaltInvocationError(f"target: {target!r} is not an IP address")
    if not host_commands.which("ping"):
        raise CommandExecutionError("ping is not installed")
    words = ["ping", "-6" if salt.utils.network.is_ipv6(target) else "-4", "-n"]
    words += ["-c", str(attempts), "-i", str(INTERVAL), "-W", str(timeout)]
    # Of IPv4, ping(8) takes each by itself.
    for each in [source or ""] if salt.utils.network.is_ipv6(target) else (source or "").split("%"):
        words += ["-I", each] if each else []
    words += ["-M", "do", "-s", str(size)] if size else []
    words.append(target)
    done = host_commands.output(words, attempts * INTERVAL + timeout + PATIENCE)
    found = parse(done.stdout, done.stderr)
    if not found["sent"] and MUTE.search(done.stderr):
        raise CommandExecutionError(f"no ping can be sent here ({found['reason']})")
    if not found["sent"] and not found["reason"]:
        raise host_commands.CommandFailed(" ".join(words), done.retcode, done.words())
    return {"target": target, **found}


def parse(stdout: str, stderr: str = "") -> dict[str, Any]:
    """
    The result of ping(8) of iputils, parsed from its output.

    stdout, stderr
        Its texts.

    Returns what :py:func:`ask` does, except ``target``.
    """
    counts, times = COUNTS.search(stdout), TIMES.search(stdout)
    sent, received = (int(counts[1]), int(counts[2])) if counts else (0, 0)
    failures = [line.strip() for line in [*stderr.splitlines(), *stdout.splitlines()] if FAILURE.search(line)]
    return {
        "sent": sent,
        "received": received,
        "loss": round(100 * (sent - received) / sent) if sent else 100,
        "rtt": {key: float(times[n]) for n, key in enumerate(("min", "avg", "max"), 1)} if times else None,
        "answering": received > 0,
        "reason": host_commands.in_one_line(failures[0]) if failures and not received else "",
    }


def words(answer: dict[str, Any]) -> str:
    """
    How many answers came, how many were lost, and how long they took, in words.

    answer
        From :py:func:`ask`.
    """
    average = f", {answer['rtt']['avg']:g} ms on average" if answer["rtt"] else ""
    return f"{answer['received']} of {answer['sent']}, {answer['loss']}% loss{average}"
