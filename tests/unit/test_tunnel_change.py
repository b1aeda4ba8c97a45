"""What is shown of the files of a tunnel: what is about tunnels, and nothing else."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any, cast

import _dualstack_dns_memory as dns_memory
import _dualstack_host_commands as host_commands
import _dualstack_host_files as host_files
import _dualstack_tunnel_change as tunnel_change
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_others as tunnel_others
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_tunnel_surroundings as tunnel_surroundings
import pytest
import tunnel_ifupdown
import tunnel_netplan
import tunnel_networkd
from salt.exceptions import CommandExecutionError

MAIN, OWN = "/etc/network/interfaces", "/etc/network/interfaces.d/he-ipv6"
ARGUMENTS: dict[str, Any] = {
    "endpoint": "216.66.84.42",
    "local": "46.105.5.1",
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
    "addresses": ["2001:470:1f13:f87::77/64"],
}
TUNNEL = tunnel_sit.canonical(ARGUMENTS)
BY_HAND = """\
auto he-ipv6 eth9 wlan0
iface wlan0 inet dhcp
    wpa-psk s3cret
iface he-ipv6 inet6 v4tunnel
    address 2001:470:1f12:f87::2
    # the update key is s3cret
    netmask 64
    endpoint 216.66.84.42
    local s3cret
    post-up ip addr add 2001:470:1f13:f87::77/64 dev he-ipv6
"""


def shown(old: str | None, new: str | None, path: str = MAIN) -> dict[str, Any]:
    """The change of one file."""
    edits = {path: host_files.Edit(old, new)}
    return tunnel_change._shown(edits[path], tunnel_change._known(tunnel_ifupdown.about(), "he-ipv6", edits))


def test_no_secret_is_shown_of_a_stanza_that_is_adopted() -> None:
    with pytest.raises(CommandExecutionError, match="local: another value in .*, line 9") as raised:
        tunnel_ifupdown.present(TUNNEL, {MAIN: BY_HAND}, adopt=True)
    assert "s3cret" not in str(raised.value)
    files = tunnel_ifupdown.absent("he-ipv6", {MAIN: BY_HAND}, adopt=True)
    change = shown(BY_HAND, files[MAIN])
    assert "s3cret" not in str(change)
    assert change["new"].splitlines()[0] == "auto eth9 wlan0"
    assert change["old"].splitlines() == [
        "auto he-ipv6 eth9 wlan0",
        "iface he-ipv6 inet6 v4tunnel",
        "    address 2001:470:1f12:f87::2",
        "    # ***",
        "    netmask 64",
        "    endpoint 216.66.84.42",
        "    local ***",
        "    post-up ip addr add 2001:470:1f13:f87::77/64 dev he-ipv6",
    ]


def test_of_a_file_of_our_own_all_is_shown_but_its_comment() -> None:
    text = tunnel_ifupdown.files(TUNNEL)[OWN]
    change = shown(None, text, OWN)
    assert change["old"] == "absent"
    assert change["new"].splitlines()[0].startswith("# Managed by Salt (he_tunnel)")
    assert change["new"].splitlines()[1:] == text.splitlines()[1:]
    assert shown(text, None, OWN)["new"] == "absent"


def test_a_byte_that_is_no_text_does_no_harm() -> None:
    assert shown("mtu 1280\n\udcff\udcfe\n", "mtu 1280\n") == {"old": "***", "new": ""}


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the published addresses are remembered."""
    monkeypatch.setattr(dns_memory, "MEMORY", str(tmp_path / "published.json"))
    return tmp_path / "published.json"


def renumbered(**changes: Any) -> tuple[Any, list[str]]:
    """The interface to be, where this host has the tunnel, and the pillar has another one."""
    plugin: Any = tunnel_ifupdown
    configuration = tunnel_stack.Configuration("ifupdown", plugin, {}, None, [])
    seen = tunnel_host.Sight("he-ipv6", configuration, [], [], tunnel_interface.wanted(TUNNEL))
    return tunnel_change._renumbered(seen, tunnel_interface.wanted({**TUNNEL, **changes}))


def test_an_old_address_stays_until_dns_leads_elsewhere(memory: Path) -> None:
    another: dict[str, Any] = {"addresses": ["2001:470:1f13:f87::78/64"], "source": "2001:470:1f13:f87::78"}
    old, target = "2001:470:1f13:f87::77/64", tunnel_interface.wanted({**TUNNEL, **another})
    assert renumbered(**another) == (target, [])
    held = {"www.example.org": ["2001:470:1f13:f87::77"], "mail.example.org": ["2001:470:1f13:f87::77", "2001:db8::1"]}
    memory.write_text(json.dumps({**held, "other.example.org": ["2001:470:1f12:f87::2"]}))
    staying, warnings = renumbered(**another)
    assert staying["addresses"] == {**target["addresses"], old: "expiring"}
    assert warnings == [
        "2001:470:1f13:f87::77 stays on he-ipv6 for a day, deprecated: DNS may still lead to it "
        "(www.example.org, mail.example.org)"
    ]
    assert renumbered() == (tunnel_interface.wanted(TUNNEL), [])
    memory.write_text('{"www.example.org": ["2001:470:1f13:f87::78"]}')
    assert renumbered(**another) == (target, [])


def test_the_memory_is_not_read_without_an_old_address(memory: Path) -> None:
    memory.write_text("nonsense")
    assert renumbered(ttl=64)[1] == []


NETDEV, NETWORK = "/etc/systemd/network/50-he-ipv6.netdev", "/etc/systemd/network/50-he-ipv6.network"


def moving(files: dict[str, str]) -> tunnel_host.Sight:
    """A host with ifupdown, and the tunnel in the files of systemd-networkd."""
    former = tunnel_stack.Former("networkd", cast(Any, tunnel_networkd), files)
    stack = tunnel_stack.Configuration("ifupdown", cast(Any, tunnel_ifupdown), {MAIN: ""}, None, former=(former,))
    return tunnel_host.Sight("he-ipv6", stack, [], [], None)


def test_nothing_is_lost_from_another_stack() -> None:
    by_hand = {each.replace("50-", "he-"): text for each, text in tunnel_networkd.files(TUNNEL).items()}
    by_hand = {each: text.partition("\n")[2] for each, text in by_hand.items()}
    seen = moving(by_hand)
    assert tunnel_change._left(seen, True, TUNNEL) == dict.fromkeys(by_hand)
    fewer = tunnel_sit.canonical({**ARGUMENTS, "addresses": []})
    with pytest.raises(CommandExecutionError, match=r"he-he-ipv6.network: these lines would be lost: .*addresses"):
        tunnel_change._left(seen, True, fewer)
    assert tunnel_change._left(seen, True) == dict.fromkeys(by_hand)  # nothing is left anywhere
    with pytest.raises(CommandExecutionError, match="not by he_tunnel"):
        tunnel_change._left(seen, False, TUNNEL)


@pytest.mark.parametrize("live", [None, tunnel_interface.wanted(TUNNEL)])
def test_a_stack_that_had_it_forgets_it_before_another_brings_it_up(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = moving(tunnel_networkd.files(TUNNEL))._replace(live=live)
    plan = tunnel_change._plan(
        seen, {**tunnel_ifupdown.files(TUNNEL), NETDEV: None, NETWORK: None}, tunnel_interface.wanted(TUNNEL), []
    )
    done: list[Any] = []
    monkeypatch.setattr(tunnel_host, "live", lambda name: live)
    monkeypatch.setattr(host_files, "write", lambda edits: done.append("files"))
    monkeypatch.setattr(tunnel_change, "_run", done.extend)
    monkeypatch.setattr(tunnel_change, "_carry_out", lambda commands: None)
    monkeypatch.setattr(tunnel_change, "_bring_up", lambda plan: done.extend(plan["up"]))
    monkeypatch.setattr(tunnel_change, "_quieten", lambda plan: None)
    tunnel_change.apply(plan)
    reload = ["networkctl", "reload"]
    assert done[done.index("files") :] == ["files", reload, *plan["up"]]
    assert done.index(["networkctl", "delete", "he-ipv6"]) < done.index("files")


def test_what_was_not_there_is_forgotten_when_it_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it comes up with the next `networkctl reload`, whoever calls that."""
    stack = tunnel_stack.Configuration("netplan", cast(Any, tunnel_netplan), {}, None)
    seen = tunnel_host.Sight("he-ipv6", stack, [], [], None)
    plan = tunnel_change._plan(seen, tunnel_netplan.files(TUNNEL), tunnel_interface.wanted(TUNNEL), [])
    done: list[Any] = []
    monkeypatch.setattr(tunnel_host, "live", lambda name: None)
    monkeypatch.setattr(tunnel_change, "_run", done.extend)
    monkeypatch.setattr(tunnel_change, "_carry_out", lambda commands: None)
    monkeypatch.setattr(host_files, "restoring", lambda edits: [lambda: done.append("files")])
    plan["touched"] = True
    for step in tunnel_change.undo(plan):
        step()
    assert done == [*plan["down"], "files", *tunnel_netplan.changed("he-ipv6")]


def test_each_stacks_file_has_its_own_mode() -> None:
    """They have the same mark."""
    former = tunnel_stack.Former("ifupdown", cast(Any, tunnel_ifupdown), tunnel_ifupdown.files(TUNNEL))
    stack = tunnel_stack.Configuration("netplan", cast(Any, tunnel_netplan), {}, None, former=(former,))
    seen = tunnel_host.Sight("he-ipv6", stack, [], [], None)
    ((path, text),) = tunnel_netplan.files(TUNNEL).items()
    plan = tunnel_change._plan(seen, {OWN: None, path: text}, tunnel_interface.wanted(TUNNEL), [])
    assert (plan["files"][path].new, plan["files"][path].mode) == (text, 0o600)
    assert plan["files"][OWN].new is None


@pytest.mark.parametrize("absent", [True, False])
def test_what_could_not_be_read_is_said(absent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a tunnel said to be gone while it is not known who would bring it up."""
    said = "whether netplan has he-ipv6 as well is not known: a tab"
    stack = tunnel_stack.Configuration("ifupdown", cast(Any, tunnel_ifupdown), {MAIN: ""}, None, unread=(said,))
    seen = tunnel_host.Sight("he-ipv6", stack, [], [], None)
    monkeypatch.setattr(tunnel_host, "look", lambda *_: seen)
    monkeypatch.setattr(tunnel_others, "found", lambda *_: [])
    if absent:
        assert tunnel_change.plan_absent({"name": "he-ipv6"}, {})["warnings"] == [said]
        return
    for name in ("check_ipv6", "check_kernel", "check_local"):
        monkeypatch.setattr(tunnel_surroundings, name, lambda *_: None)
    monkeypatch.setattr(tunnel_host, "route_to", lambda *_: {"dev": "eth0"})
    assert tunnel_change.plan_present(ARGUMENTS, {})["warnings"] == [said]


@pytest.mark.parametrize(
    ("settles", "retcode", "comes", "waited"),
    [
        (5.0, 0, 12.0, 12.0),  # such as a route that NetworkManager tries again to add
        (5.0, 0, 99.0, tunnel_change.UP),
        (5.0, 1, 99.0, 5.0),  # all is put back anyway
        (30.0, 0, 99.0, 30.0),
        (0.0, 0, 12.0, 0.0),  # what does all before it returns has no time
    ],
)
def test_a_stack_that_goes_on_working_has_time_to_bring_it_up(
    monkeypatch: pytest.MonkeyPatch, settles: float, retcode: int, comes: float, waited: float
) -> None:
    clock = [0.0]
    later = types.SimpleNamespace(
        monotonic=lambda: clock[0], sleep=lambda seconds: clock.__setitem__(0, round(clock[0] + seconds, 3))
    )
    monkeypatch.setattr(tunnel_change, "time", later)
    monkeypatch.setattr(tunnel_host, "live", lambda _: clock[0] >= comes)
    differs = {"routes": {"default": {"old": "absent", "new": "present"}}}
    monkeypatch.setattr(tunnel_interface, "differences", lambda live, _: {} if live else differs)
    done = types.SimpleNamespace(retcode=retcode, sentence=f"'true' ended with {retcode}")
    monkeypatch.setattr(host_commands, "run", lambda *_, **__: done)
    plan = {"name": "he-ipv6", "files": {}, "up": [["true"]], "settles": settles, "target": {}}
    if comes <= waited:
        tunnel_change._bring_up(plan)
    else:
        with pytest.raises(CommandExecutionError, match="default is absent, expected present"):
            tunnel_change._bring_up(plan)
    assert clock[0] == pytest.approx(waited)
