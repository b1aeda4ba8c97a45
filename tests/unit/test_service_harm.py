"""The audit's verdicts on a host whose sockets, processes and services are made up."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import _dualstack_host_sysctl as host_sysctl
import _dualstack_service_audit as service_audit
import _dualstack_service_host as service_host
import _dualstack_service_owner as service_owner
import _dualstack_service_sockets as service_sockets
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

LOSES, UNSURE = "would lose IPv4 on", "may lose a family on"
PIDS = {"web": 11, "mail": 22, "program": 33, "sshd": 44}


def on(owner: str, port: int, address: str = "::", v6only: bool | None = False, transport: str = "tcp") -> Any:
    """A socket; without an owner, nobody may see its process."""
    return {
        **{"transport": transport, "port": port, "address": address, "v6only": v6only},
        **{"pids": [PIDS[owner]] if owner else [], "uid": 0, "note": ""},
    }


def split(owner: str, port: int) -> list[Any]:
    return [on(owner, port, "0.0.0.0", None), on(owner, port, v6only=True)]


class Toy:
    """
    A service whose only file says where it listens.

    sets_v6only
        What is known of its program; nothing, if this is ``None``.
    written
        Its configured listeners; an exception for a file that it refuses.
    after
        Those of its dual-stack configuration, and the value that they demand.
    """

    def __init__(
        self, sets_v6only: bool | None = None, written: Any = (), after: Any = (), demands: Any = None
    ) -> None:
        self.sets_v6only, self.written, self.after, self.demands = sets_v6only, written, after, demands

    def about(self) -> dict[str, Any]:
        facts = {"files": ["/etc/toy"], "options": {}, "protocols": {}}
        return facts if self.sets_v6only is None else {**facts, "sets_v6only": self.sets_v6only}

    def listeners(self, files: Any) -> Any:
        if isinstance(self.written, Exception):
            raise self.written
        return self.after if files == {"/etc/toy": {"text": "dual", "includes": []}} else self.written

    def dual_stack(self, files: Any, options: Any, bindv6only: int = 0) -> dict[str, Any]:
        return {"files": {"/etc/toy": "dual"}, "bindv6only": self.demands, "notes": []}


Host = Callable[..., dict[str, Any]]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with these sockets; returns the plug-ins of its services."""

    def build(*sockets: Any, **known: Toy) -> dict[str, Any]:
        names = {pid: name for name, pid in PIDS.items()}
        monkeypatch.setattr(service_sockets, "listening", lambda: {"sockets": list(sockets), "unseen": ["x"]})
        facts = {"exe": "/x", "deleted": False, "arguments": [], "uids": [0, 0]}
        monkeypatch.setattr(service_sockets, "process", lambda pid: {**facts, "pid": pid, "name": names[pid]})
        monkeypatch.setattr(service_owner, "owner", lambda process, services, roots: process["name"])
        files = {"/etc/toy": {"text": "old", "includes": []}}
        monkeypatch.setattr(service_host, "configuration", lambda service: files)
        monkeypatch.setattr(service_host, "installed", lambda service: files)
        return known

    return build


def test_each_socket_has_its_service(host: Host) -> None:
    found = service_audit.sockets(host(on("web", 80), on("", 111)))
    assert [(each["port"], each["service"], each["holder"]) for each in found["sockets"]] == [
        (80, "web", "web (process 11, user root)"),
        (111, "", ""),
    ]
    assert found["unseen"] == ["x"]


def test_which_families_each_port_serves_and_misses(host: Host) -> None:
    sockets = [on("web", 443), *split("web", 80), on("mail", 25, "0.0.0.0", None), on("", 53, transport="udp")]
    found = service_audit.audit(
        host(*sockets, on("mail", 587, "127.0.0.1", None), on("sshd", 22, "192.0.2.1", None)), 0
    )
    assert list(found) == ["mail", "unknown", "web"]
    assert found["web"]["serves"] == {"ipv4": ["tcp/80", "tcp/443"], "ipv6": ["tcp/80", "tcp/443"]}
    assert found["web"]["misses"] == {"ipv4": [], "ipv6": []}
    assert (found["mail"]["serves"]["ipv4"], found["mail"]["misses"]["ipv6"]) == (["tcp/25"], ["tcp/25"])
    assert found["unknown"]["serves"]["ipv6"] == ["udp/53"]


def test_the_next_start_of_a_program_that_follows_the_kernel(host: Host) -> None:
    follows = {"web": Toy(sets_v6only=False), "mail": Toy(sets_v6only=True)}
    known = host(on("web", 80), on("mail", 25), *split("web", 81), **follows)
    assert service_audit.harmed(known, 1) == [f"web {LOSES} tcp/80"]
    assert service_audit.harmed(known, 0) == ["web would not start, since its listeners on tcp/81 collide"]
    verdict = service_audit.audit(known, 1)["web"]
    assert (verdict["loses_ipv4"], verdict["collides"], verdict["unsure"]) == (["tcp/80"], [], [])
    assert service_audit.audit(known, 0)["web"]["collides"] == ["tcp/81"]


def test_the_value_to_judge_by_is_the_live_one_by_default(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    known = host(on("web", 80), web=Toy(sets_v6only=False))
    for live in (0, 1):
        monkeypatch.setattr(service_audit, "bindv6only", lambda live=live: live)
        assert service_audit.audit(known) == service_audit.audit(known, live)
    assert service_audit.audit(known, 0) != service_audit.audit(known, 1)


def test_what_a_configuration_says_counts_more_than_what_is_known_of_the_program(host: Host) -> None:
    def harms(sets_v6only: bool | None, **written: Any) -> list[str]:
        toy = Toy(sets_v6only, [{**on("web", 80), **written}] if written else ())
        return service_audit.harmed(host(on("web", 80), web=toy), 1)

    for sets in (True, False, None):
        assert harms(sets, v6only=None) == [f"web {LOSES} tcp/80"]
        assert harms(sets, v6only=False) == []
    assert harms(True, address="0.0.0.0") == harms(True) == []
    assert harms(False, address="0.0.0.0") == harms(False) == [f"web {LOSES} tcp/80"]
    assert harms(None)[0].startswith(f"web {UNSURE} tcp/80: its program is not known to set IPV6_V6ONLY by itself")


def test_a_configuration_that_cannot_be_read_leaves_what_is_known_of_the_program(host: Host) -> None:
    broken = Toy(sets_v6only=False, written=SaltInvocationError("x"))
    assert service_audit.harmed(host(on("web", 80), web=broken), 1) == [f"web {LOSES} tcp/80"]


def test_files_that_cannot_be_read_at_all_do_not_hide_a_service(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    known = host(on("web", 80), web=Toy(sets_v6only=False))

    def unreadable(service: Any) -> Any:
        raise PermissionError("x")

    monkeypatch.setattr(service_host, "configuration", unreadable)
    assert service_audit.harmed(known, 1) == [f"web {LOSES} tcp/80"]


def test_a_program_without_a_plug_in_is_not_known(host: Host) -> None:
    known = host(on("program", 80), on("program", 443), *split("program", 81))
    said = ": its program is not known to set IPV6_V6ONLY by itself"
    assert service_audit.harmed(known, 1) == [f"program {UNSURE} tcp/80, tcp/443{said}"]
    assert service_audit.harmed(known, 0) == [f"program {UNSURE} tcp/81{said}"]
    assert service_audit.harmed(host(on("", 80)), 1) == [f"unknown {UNSURE} tcp/80{said}"]
    assert service_audit.harmed(host(on("program", 80, "0.0.0.0", None)), 1) == []


def test_each_socket_unit_is_judged_by_itself(host: Host) -> None:
    toy = Toy(written=[{**on("web", port, v6only=None), "note": f"{port}.socket"} for port in (80, 81)])
    found = service_audit.audit(host(on("web", 80), on("web", 81), on("web", 82), web=toy), 1)
    assert {name: verdict["serves"]["ipv6"] for name, verdict in found.items()} == {
        **{"80.socket": ["tcp/80"], "81.socket": ["tcp/81"]},
        "web": ["tcp/82"],
    }


def test_who_is_excepted_or_converged_in_the_same_run_is_not_harmed(host: Host) -> None:
    old = [on("web", 80, v6only=None)]

    def harms(after: Any, demands: int | None = None, **given: Any) -> list[str]:
        known = host(on("web", 80), on("mail", 25), web=Toy(False, old, after, demands), mail=Toy(False))
        return [each.split()[0] for each in service_audit.harmed(known, 1, **given)]

    dual: Any = {"converged": {"web": None}}
    assert harms(split("web", 80)) == ["mail", "web"]
    assert harms(split("web", 80), exceptions=["web"]) == ["mail"]
    assert harms(split("web", 80), exceptions=["web", "mail"]) == []
    assert harms(split("web", 80), **dual) == ["mail"]
    assert harms(split("web", 80), 1, **dual) == ["mail"]
    # What it will be is judged too, by the same value.
    assert harms(split("web", 80), 0, **dual) == ["mail", "web"]
    assert harms(old, **dual) == ["mail", "web"]
    assert harms([on("web", 80, "0.0.0.0", None), on("web", 80)], **dual) == ["mail", "web"]
    # One that serves a single family whatever the value is no reason, nor is one on a single address.
    assert harms([*split("web", 80), on("web", 443, "0.0.0.0", None)], **dual) == ["mail"]
    assert harms([*split("web", 80), on("web", 443, v6only=True), on("web", 81, "::1")], **dual) == ["mail"]


def test_who_is_not_harmed_is_not_looked_at_any_further(host: Host) -> None:
    known = host(on("web", 80), web=Toy(True))
    assert service_audit.harmed(known, 1, {"web": {"ports": "of a pillar that is wrong"}}) == []


@pytest.mark.parametrize("refusal", [SaltInvocationError("x"), CommandExecutionError("x"), OSError("x")])
def test_what_a_plug_in_refuses_is_judged_by_the_live_sockets(
    host: Host, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    def refused(*given: Any) -> Any:
        raise refusal

    monkeypatch.setattr(service_host, "dual_stack", refused)
    known = host(on("web", 80), *split("mail", 25), web=Toy(False), mail=Toy(False))
    converged: Any = {"web": None, "mail": None}
    assert service_audit.harmed(known, 1, converged) == [f"web {LOSES} tcp/80"]


def test_files_that_are_not_there_are_no_error_either(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*given: Any) -> Any:
        raise CommandExecutionError("it is not installed")

    known = host(on("web", 80), web=Toy(False))
    monkeypatch.setattr(service_host, "configuration", none)
    monkeypatch.setattr(service_host, "installed", none)
    assert service_audit.harmed(known, 1, {"web": None}) == [f"web {LOSES} tcp/80"]


def test_wrong_settings_of_who_is_converged_are_an_error(host: Host) -> None:
    known = host(on("web", 80), web=Toy(False))
    with pytest.raises(SaltInvocationError, match="^web:ports: "):
        service_audit.harmed(known, 1, {"web": {"ports": []}})


def test_the_parameter_holds_now_and_after_the_next_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    for live, boot, holds in ((1, "1", 1), (0, "0", 0), (0, None, 0), (1, None, None), (1, "0", None), (0, "1", None)):
        monkeypatch.setattr(service_audit, "bindv6only", lambda live=live: live)
        monkeypatch.setattr(host_sysctl, "value", lambda name, boot=boot: boot)
        assert [value for value in (0, 1) if service_audit.bindv6only_is(value)] == ([] if holds is None else [holds])


def test_configured_listeners_by_port() -> None:
    def configured(written: Any) -> dict[str, Any]:
        toy = Toy(written=written)
        daemon: Any = SimpleNamespace(plugin=toy, about=toy.about())
        return service_audit.configured(daemon, {})

    assert configured([on("web", 80), on("web", 81, "127.0.0.1")]) == {"tcp/80": [on("web", 80)]}
    assert configured(CommandExecutionError("x")) == {}
