"""The audit, where it meets what no test can time: a process that ends while it is looked at."""

from __future__ import annotations

from typing import Any

import known_daemons
import listening_verdict
import pytest
import service_listen
import socket_diag

SIX = {"transport": "tcp", "port": 5432, "address": "::", "v6only": True}
FOUR = {**SIX, "address": "0.0.0.0", "v6only": None}
DAEMON, GONE = 1, 2**22 + 1  # a number that no process can have, proc(5): kernel.pid_max


def audit(monkeypatch: pytest.MonkeyPatch, program: str, pids: list[int]) -> Any:
    """What is said of a program on both families that would start with ``net.ipv6.bindv6only=0``."""

    def process(pid: int) -> dict[str, Any]:
        found: dict[str, Any] = {**socket_diag.process(pid)}
        return {**found, "name": program} if pid == DAEMON else found

    siblings = {
        "socket_diag.listening": lambda: {"sockets": [{**each, "pids": pids} for each in (FOUR, SIX)], "unseen": []},
        "socket_diag.process": process,
        "service_host.owner": lambda process: process["name"],
        "service_host.names": list,
        "known_daemons.sets_v6only": known_daemons.sets_v6only,
        **{f"listening_verdict.{name}": getattr(listening_verdict, name) for name in ("by_port", "families")},
        "listening_verdict.after_start": listening_verdict.after_start,
    }
    monkeypatch.setattr(service_listen, "__salt__", siblings, raising=False)
    monkeypatch.setattr(listening_verdict, "__salt__", {"socket_diag.families": socket_diag.families}, raising=False)
    return service_listen.audit(0)[program]["unsure"]


@pytest.mark.parametrize("pids", [[DAEMON], [DAEMON, GONE]])
def test_a_child_that_has_ended_does_not_make_its_daemon_unknown(
    monkeypatch: pytest.MonkeyPatch, pids: list[int]
) -> None:
    assert audit(monkeypatch, "postgres", pids) == []
    assert audit(monkeypatch, "mydaemon", pids) == ["tcp/5432"]
