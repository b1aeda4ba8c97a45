"""The audit, where it meets what no test can time: a process that ends while it is looked at."""

from __future__ import annotations

from typing import Any

import _dualstack_service_audit as service_audit
import _dualstack_service_host as service_host
import _dualstack_service_sockets as service_sockets
import pytest

SIX = {"transport": "tcp", "port": 5432, "address": "::", "v6only": True}
FOUR = {**SIX, "address": "0.0.0.0", "v6only": None}
DAEMON, GONE = 1, 2**22 + 1  # a number that no process can have, proc(5): kernel.pid_max


def audit(monkeypatch: pytest.MonkeyPatch, program: str, pids: list[int]) -> Any:
    """What is said of a program on both families that would start with ``net.ipv6.bindv6only=0``."""

    real = service_sockets.process

    def process(pid: int) -> dict[str, Any]:
        found: dict[str, Any] = {**real(pid)}
        return {**found, "name": program} if pid == DAEMON else found

    seen = {"sockets": [{**each, "pids": pids} for each in (FOUR, SIX)], "unseen": []}
    monkeypatch.setattr(service_sockets, "listening", lambda: seen)
    monkeypatch.setattr(service_sockets, "process", process)
    monkeypatch.setattr(service_host, "owner", lambda process, services: process["name"])
    return service_audit.audit({}, 0)[program]["unsure"]


@pytest.mark.parametrize("pids", [[DAEMON], [DAEMON, GONE]])
def test_a_child_that_has_ended_does_not_make_its_daemon_unknown(
    monkeypatch: pytest.MonkeyPatch, pids: list[int]
) -> None:
    assert audit(monkeypatch, "postgres", pids) == []
    assert audit(monkeypatch, "mydaemon", pids) == ["tcp/5432"]


@pytest.mark.parametrize(
    "program",
    ["named", "unbound", "postgres", "mariadbd", "mysqld", "redis-server", "memcached", "epmd", "node", "java"],
)
def test_programs_that_are_known_to_choose_for_themselves(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    assert audit(monkeypatch, program, [DAEMON]) == []
