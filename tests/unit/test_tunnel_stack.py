"""Which of the available network stacks is chosen."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, cast

import _dualstack_plugins as plugins
import _dualstack_tunnel_stack as tunnel_stack
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError


class Toy:
    """
    A network stack.

    program
        What it looks for on this host, and what that says of itself.
    path
        Its file, and what that includes.
    """

    def __init__(self, program: str, says: str, path: Path) -> None:
        self.program, self.says, self.path = program, says, path

    def about(self) -> dict[str, Any]:
        return {"program": self.program, "arguments": [self.says], "otherwise": "which is another"}

    def recognise(self, version: str) -> str:
        return version.strip()

    def roots(self, name: str) -> list[str]:
        return [str(self.path)]

    def includes(self, path: str, text: str) -> list[list[str]]:
        return [[f"{self.path.parent}/{text.strip()}", "[a-z.]+"]] if text.strip() else []

    def parse(self, name: str, host: dict[str, str]) -> dict[str, Any] | None:
        return {"name": name} if any(Path(each).name == name for each in host) else None


def found(stacks: dict[str, Any], choice: str = "auto", name: str = "he-ipv6") -> tunnel_stack.Configuration:
    return tunnel_stack.read(name, choice, cast(tunnel_stack.Stacks, stacks))


@pytest.fixture
def stacks(tmp_path: Path) -> dict[str, Any]:
    """Of these three, one is this host's: it has no program of the first, and the second is another's."""
    return {
        "none": Toy("no-such-program", "none", tmp_path / "none"),
        "other": Toy("echo", "another", tmp_path / "other"),
        "ours": Toy("echo", "ours", tmp_path / "ours"),
    }


def test_the_one_that_knows_its_program_is_chosen(stacks: dict[str, Any]) -> None:
    assert found(stacks).stack == found(stacks, "ours").stack == "ours"
    assert found(stacks).plugin is stacks["ours"]


def test_of_several_the_one_that_has_the_tunnel_is_chosen(stacks: dict[str, Any], tmp_path: Path) -> None:
    stacks["other"].says = "other"
    assert (found(stacks).stack, found(stacks).rivals) == ("other", ["ours"])
    (tmp_path / "ours").touch()
    chosen = found(stacks, name="ours")
    assert (chosen.stack, chosen.tunnel, chosen.rivals) == ("ours", {"name": "ours"}, [])
    (tmp_path / "other").write_text("ours")
    with pytest.raises(CommandExecutionError, match="^stack: other and ours have ours in their files"):
        found(stacks, name="ours")
    assert found(stacks, "other", name="ours").rivals == []


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("none", "this host has no no-such-program; supported network stacks: none, other, ours"),
        ("other", "the echo of this host is another, which is another; supported network stacks: none, other, ours"),
    ],
)
def test_none_is_chosen_that_the_host_does_not_have(stacks: dict[str, Any], choice: str, said: str) -> None:
    with pytest.raises(CommandExecutionError) as raised:
        found(stacks, choice)
    assert str(raised.value) == said


def test_where_there_is_none_each_says_why(stacks: dict[str, Any]) -> None:
    del stacks["ours"]
    with pytest.raises(CommandExecutionError) as raised:
        found(stacks)
    assert str(raised.value) == (
        "this host has no no-such-program; the echo of this host is another, which is another; "
        "supported network stacks: none, other"
    )


def test_a_module_that_is_no_plug_in_is_in_nobodys_way(stacks: dict[str, Any]) -> None:
    (broken,) = plugins.stacks({"tunnel_broken.unrelated": print}).values()
    assert found({"broken": broken, **stacks}).stack == "ours"
    with pytest.raises(CommandExecutionError, match="^the module tunnel_broken has no function about"):
        found({"broken": broken})


def test_included_files_are_read_once_and_by_their_names(stacks: dict[str, Any], tmp_path: Path) -> None:
    for name, text in (("ours", "*"), ("a.more", "ours"), ("UPPER", ""), ("b", "no-such")):
        (tmp_path / name).write_text(text)
    assert found(stacks).files == {
        f"{tmp_path}/{name}": text for name, text in (("ours", "*"), ("a.more", "ours"), ("b", "no-such"))
    }


def test_what_is_wrong_with_a_stack(stacks: dict[str, Any]) -> None:
    tunnel = {"endpoint": "192.0.2.1", "address": "2001:db8::2/64", "gateway": "2001:db8::1"}
    for choice in ({}, {"stack": None}, {"stack": "auto"}, {"stack": "ours"}):
        assert tunnel_stack.errors({**tunnel, **choice}, cast(tunnel_stack.Stacks, stacks)) == []
    for wrong, said in (
        ("wicked", "is not a network stack that is supported; expected one of auto, none, other, ours"),
        ("No Such", "is not the name of a network stack, such as ifupdown"),
        ({"a": 1}, "is not the name of a network stack, such as ifupdown"),
    ):
        problems = tunnel_stack.errors({**tunnel, "stack": wrong}, cast(tunnel_stack.Stacks, stacks))
        assert problems == [f"stack: {wrong!r} {said}"]


def test_keys_are_checked_without_the_others(stacks: dict[str, Any]) -> None:
    tunnel_stack.check({"name": "he-ipv6", "stack": None}, cast(tunnel_stack.Stacks, stacks))
    with pytest.raises(SaltInvocationError) as raised:
        tunnel_stack.check({"name": "sit0", "stack": "wicked"}, cast(tunnel_stack.Stacks, stacks))
    assert [each.partition(":")[0] for each in str(raised.value).splitlines()] == ["name", "stack"]


@pytest.mark.parametrize(
    ("stack", "able"),
    [
        *((each, True) for each in ("ifupdown", "ifupdown_ng", "networkd", "networkmanager")),
        *((each, False) for each in ("ifupdown2", "netplan")),
    ],
)
def test_which_stacks_bind_a_tunnel_to_a_device(stack: str, able: bool) -> None:
    plugin = importlib.import_module(f"tunnel_{stack}")
    tunnel = {"endpoint": "216.66.84.42", "address": "2001:db8::2/64", "gateway": "2001:db8::1", "dev": "eth1"}
    found = tunnel_stack.errors({**tunnel, "stack": stack}, {stack: plugin})
    said = f"dev: {stack} cannot bind a tunnel to a device here; leave it out"
    assert found == [] if able else [each.startswith(said) for each in found] == [True]
