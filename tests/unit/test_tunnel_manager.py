"""Which network stack has a host's interfaces up: by files, on a host that is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_host_ip as host_ip
import _dualstack_tunnel_manager as tunnel_manager
import _dualstack_tunnel_stack as tunnel_stack
import pytest
from salt.exceptions import CommandExecutionError


class Stack:
    """
    A network stack that has those interfaces up that a file of evidence names, one a line.

    folder
        Where its evidence and its own file are.
    name
        Its name; its file has the tunnel where it has this host's tunnel.
    """

    def __init__(self, folder: Path, name: str, **about: Any) -> None:
        self.name, self.evidence, self.own = name, folder / f"{name}.up", folder / f"{name}.conf"
        self.more = about

    def about(self) -> dict[str, Any]:
        found = {"program": "echo", "arguments": [], "otherwise": "which is another", "offers": ["has"]}
        return {**found, "evidence": [f"{self.evidence}*"], **self.more}

    def recognise(self, version: str) -> str:
        return self.name

    def has(self, interface: dict[str, Any], evidence: dict[str, str]) -> str:
        having = [path for path, text in evidence.items() if interface["name"] in text.split()]
        return f"{Path(having[0]).name} has {interface['name']}" if having else ""

    def roots(self, name: str) -> list[str]:
        return [str(self.own)]

    def includes(self, path: str, text: str) -> list[list[str]]:
        return []

    def parse(self, name: str, host: dict[str, str]) -> dict[str, Any] | None:
        return {"name": name} if name in "".join(host.values()) else None

    def up(self, *names: str) -> None:
        """The stack has these up."""
        self.evidence.write_text("\n".join(names))

    def has_tunnel(self) -> None:
        """The stack has the tunnel in its file."""
        self.own.write_text("he0")


ROUTES = "Iface Destination Gateway Flags\neth0 00000000 FE01A8C0 0003\neth0 0001A8C0 00000000 0001\n"


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Stack]:
    """Three of them, and a host whose packets leave by eth0."""
    (tmp_path / "route").write_text(ROUTES)
    monkeypatch.setattr(tunnel_manager, "ROUTES", str(tmp_path / "route"))
    return {each: Stack(tmp_path, each) for each in ("a", "b", "c")}


def chosen(stacks: dict[str, Stack], choice: str = "auto") -> tunnel_stack.Configuration:
    return tunnel_stack.read("he0", choice, cast(tunnel_stack.Stacks, stacks))


def test_the_one_that_has_the_hosts_interface_is_in_use(stacks: dict[str, Stack]) -> None:
    stacks["b"].up("lo", "eth0")
    found = chosen(stacks)
    assert (found.stack, found.reason, found.rivals, found.former) == ("b", "b.up has eth0", [], ())
    stacks["a"].up("eth1", "lo")
    assert chosen(stacks).stack == "b"


def test_the_tunnel_moves_to_it_from_another(stacks: dict[str, Stack]) -> None:
    stacks["b"].up("eth0")
    stacks["a"].has_tunnel()
    stacks["c"].has_tunnel()
    found = chosen(stacks)
    assert (found.stack, found.tunnel) == ("b", None)
    assert [(each.stack, each.files) for each in found.former] == [
        ("a", {str(stacks["a"].own): "he0"}),
        ("c", {str(stacks["c"].own): "he0"}),
    ]
    assert chosen(stacks, "c").reason == "the pillar names it"
    assert [each.stack for each in chosen(stacks, "c").former] == ["a"]


def test_of_two_that_have_it_the_one_with_the_tunnel_is_in_use(stacks: dict[str, Stack]) -> None:
    stacks["a"].up("eth0")
    stacks["b"].up("eth0")
    with pytest.raises(CommandExecutionError) as raised:
        chosen(stacks)
    assert str(raised.value) == (
        "stack: several configure this host (a: a.up has eth0; b: b.up has eth0); expected the name of one of them"
    )
    stacks["b"].has_tunnel()
    assert chosen(stacks).stack == "b"
    assert chosen(stacks, "a").stack == "a"


def test_where_none_has_it_what_is_installed_counts(stacks: dict[str, Stack]) -> None:
    assert (chosen(stacks).stack, chosen(stacks).rivals) == ("a", ["b", "c"])
    stacks["c"].has_tunnel()
    assert (chosen(stacks).stack, chosen(stacks).reason) == ("c", "it has he0 in its files")


def test_a_stack_without_its_program_or_its_service_has_nothing(
    stacks: dict[str, Stack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, systemd = tmp_path / "invocation:", tmp_path / "systemd"
    monkeypatch.setattr(tunnel_manager, "RUNNING", f"{running}{{}}")
    monkeypatch.setattr(tunnel_manager, "SYSTEMD", str(systemd))
    stacks["a"].more = {"unit": "a.service"}
    stacks["a"].up("eth0")
    assert chosen(stacks).stack == "a"  # without systemd, what it has up tells
    stacks["a"].up("eth1")
    assert chosen(stacks).stack == "b"
    with pytest.raises(CommandExecutionError, match="^a.service does not run on this host; supported network"):
        chosen(stacks, "a")
    stacks["a"].up("eth0")
    systemd.mkdir()
    with pytest.raises(CommandExecutionError, match="^a.service does not run on this host; supported network"):
        chosen(stacks, "a")
    assert chosen(stacks).stack == "b"
    Path(f"{running}a.service").symlink_to("0123")
    assert chosen(stacks).stack == "a"
    stacks["a"].more = {"program": "no-such-program"}
    assert chosen(stacks).stack == "b"
    with pytest.raises(host_commands.NotInstalled):
        chosen(stacks, "a")


def test_whether_it_has_the_tunnel_up(stacks: dict[str, Stack]) -> None:
    stacks["a"].up("eth0")
    assert chosen(stacks).known == ""
    stacks["a"].up("eth0", "he0")
    assert chosen(stacks).known == "a.up has he0"
    stacks["a"].more = {"offers": []}
    assert chosen(stacks, "a").known is None


def test_a_default_route_of_another_table(
    stacks: dict[str, Stack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "route").write_text(ROUTES.splitlines()[0])
    answer: list[dict[str, Any]] = [
        {"dst": "default", "table": "7", "dev": "ppp0"},
        {"dst": "default", "table": "9", "nexthops": [{"dev": "eth1", "weight": 1}, {"dev": "eth2", "weight": 1}]},
    ]
    monkeypatch.setattr(host_ip, "look", lambda words: answer)
    for name in ("ppp0", "eth1", "eth2"):
        stacks["b"].up(name)
        assert (chosen(stacks).stack, chosen(stacks).reason) == ("b", f"b.up has {name}")
    answer.clear()
    assert chosen(stacks).rivals == ["b", "c"]


def test_a_broken_plug_in_is_in_nobodys_way(stacks: dict[str, Stack], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise CommandExecutionError("broken")

    stacks["b"].up("eth0")
    stacks["b"].has_tunnel()
    for function in ("has", "parse"):
        monkeypatch.setattr(stacks["a"], function, fails)
    assert chosen(stacks).stack == "b"
    assert chosen(stacks).unread == ("whether a has he0 as well is not known: broken",)
    with pytest.raises(CommandExecutionError, match="^broken$"):
        chosen(stacks, "a")


def test_files_are_read_once(stacks: dict[str, Stack], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    parse = Stack.parse

    def reads(stack: Stack, name: str, host: dict[str, str]) -> Any:
        read.append(stack.name)
        return parse(stack, name, host)

    monkeypatch.setattr(Stack, "parse", reads)
    stacks["b"].up("eth0")
    stacks["a"].has_tunnel()
    stacks["b"].has_tunnel()
    assert [each.stack for each in chosen(stacks).former] == ["a"]
    assert read == ["a", "b", "c"]


def test_an_interface_that_goes_meanwhile(stacks: dict[str, Stack], monkeypatch: pytest.MonkeyPatch) -> None:
    stacks["b"].up("eth0")
    read = host_files.read
    gone = str(stacks["a"].evidence)
    stacks["a"].up("lo")
    monkeypatch.setattr(host_files, "read", lambda path: None if path == gone else read(path))
    assert chosen(stacks).stack == "b"
