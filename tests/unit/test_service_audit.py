"""The audit, where it meets what no test can time, and what no test's host is: all of it is made up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import _dualstack_service_audit as service_audit
import _dualstack_service_owner as service_owner
import _dualstack_service_program as service_program
import _dualstack_service_sockets as service_sockets
import pytest

SIX = {"transport": "tcp", "port": 5432, "address": "::", "v6only": True, "uid": 0}
FOUR = {**SIX, "address": "0.0.0.0", "v6only": None}
DAEMON, GONE = 1, 2**22 + 1  # a number that no process can have, proc(5): kernel.pid_max
FACTS = {
    **{"exe": "/usr/bin/mydaemon", "deleted": False, "arguments": [], "command": "/usr/bin/mydaemon"},
    **{"name": "mydaemon", "uids": [0, 0], "unit": "", "parent": 0, "started": 1},
}


def host(monkeypatch: pytest.MonkeyPatch, sockets: list[dict[str, Any]], **process: Any) -> None:
    """A host with these sockets, and one process of which this is known. Only root can change programs."""

    def facts(pid: int) -> dict[str, Any]:
        blank = {key: type(value)() for key, value in FACTS.items()}
        return {**(blank if pid == GONE else {**FACTS, **process}), "pid": pid}

    monkeypatch.setattr(service_sockets, "listening", lambda: {"sockets": sockets, "unseen": []})
    monkeypatch.setattr(service_sockets, "process", facts)
    monkeypatch.setattr(service_program, "roots_own", lambda process: True)


def unsure(monkeypatch: pytest.MonkeyPatch, exe: str, pids: list[int], transport: str = "tcp") -> Any:
    """What is not known of a program on both families that would start with ``net.ipv6.bindv6only=0``."""
    sockets = [{**each, "pids": pids, "transport": transport} for each in (FOUR, SIX)]
    host(monkeypatch, sockets, exe=exe, name=exe.rpartition("/")[2])
    (verdict,) = service_audit.audit({}, 0).values()
    return verdict["unsure"]


@pytest.mark.parametrize("pids", [[DAEMON], [DAEMON, GONE]])
def test_a_child_that_has_ended_does_not_make_its_daemon_unknown(
    monkeypatch: pytest.MonkeyPatch, pids: list[int]
) -> None:
    assert unsure(monkeypatch, "/usr/lib/postgresql/15/bin/postgres", pids) == []
    assert unsure(monkeypatch, "/usr/sbin/mydaemon", pids) == ["tcp/5432"]


@pytest.mark.parametrize("program", service_program.SETS_V6ONLY)
def test_programs_that_are_known_to_choose_for_themselves(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    assert unsure(monkeypatch, f"/usr/sbin/{program}", [DAEMON]) == []
    assert unsure(monkeypatch, f"/opt/some/bin/{program}", [DAEMON]) == []
    assert unsure(monkeypatch, f"/home/some/{program}", [DAEMON]) == ["tcp/5432"]
    over_udp = unsure(monkeypatch, f"/usr/bin/{program}", [DAEMON], "udp")
    assert over_udp == (["udp/5432"] if program == "node" else [])


def test_a_program_is_not_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, [{**each, "pids": [DAEMON]} for each in (FOUR, SIX)], name="postgres")
    assert service_audit.audit({}, 0)["postgres"]["unsure"] == ["tcp/5432"]


def test_one_that_anybody_can_change_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, [{**each, "pids": [DAEMON]} for each in (FOUR, SIX)], exe="/usr/sbin/named")
    monkeypatch.setattr(service_program, "roots_own", lambda process: False)
    assert service_audit.audit({}, 0)["mydaemon"]["unsure"] == ["tcp/5432"]


def test_a_program_that_this_user_may_not_see_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, [{**SIX, "pids": [DAEMON]}, {**SIX, "port": 80, "pids": [GONE]}], exe="")
    found = service_audit.sockets({})
    assert [(each["service"], each["holder"]) for each in found["sockets"]] == [("", ""), ("", "")]
    assert found["unseen"] == ["This user may not see which program holds 1 socket (tcp/5432)."]


def test_whether_this_host_has_the_loopback_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "if_inet6"
    monkeypatch.setattr(service_audit, "ADDRESSES", str(table))
    assert service_audit.loopback6() is False  # no IPv6 in this kernel
    other = "fe800000000000000000000000000001 02 40 20 80     eth0\n"
    table.write_text(other)
    assert service_audit.loopback6() is False
    table.write_text(f"{other}00000000000000000000000000000001 01 80 10 80       lo\n")
    assert service_audit.loopback6() is True


def test_thousands_of_sockets_are_judged_once_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    pids = list(range(100, 300))
    sockets = [
        {**SIX, "v6only": False, "port": 1000 + each, "pids": [pids[each % 200]] if each % 2 else pids}
        for each in range(2000)
    ]
    host(monkeypatch, sockets, exe="/usr/sbin/mydaemon")
    process, own = service_sockets.process, service_owner.owner

    def looked(pid: int) -> dict[str, Any]:
        asked.append(pid)
        return process(pid)

    owned: list[int] = []

    def owner(process: Any, services: Any, roots: bool) -> str:
        owned.append(process["pid"])
        return own(process, services, roots)

    monkeypatch.setattr(service_sockets, "process", looked)
    monkeypatch.setattr(service_owner, "owner", owner)
    began = time.monotonic()
    assert len(service_audit.audit({}, 1)["mydaemon"]["unsure"]) == 2000
    assert time.monotonic() - began < 2
    assert sorted(asked) == sorted(owned) == pids
