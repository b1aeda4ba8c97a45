"""When a change fails, the old file and the old link are restored, and the tool's message is reported."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..lab.network import (
    ARGUMENTS,
    CLIENT6,
    FOLDER,
    NAME,
    OWN_FILE,
    PUBLISHED,
    TUNNEL,
    hook,
    ip,
    reaches,
    run,
    shadow,
    world,
)

CHANGED = {**TUNNEL, "ttl": 64, "addresses": ["2001:470:1f13:f87::78/64"]}


def _undisturbed(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Nothing relevant differs. (A restored file is a new file with the old content.)"""
    for path in before["files"].keys() | after["files"].keys():
        assert before["files"].get(path, ())[:2] == after["files"].get(path, ())[:2], path
    assert {"ifstate", "bindv6only"} & {key for key in before if before[key] != after[key]} == set()
    assert _interface(before) == _interface(after)


def _interface(state: dict[str, Any]) -> list[str]:
    """Addresses and links without the numbers that the kernel counts up."""
    text = f"{state['links']}{state['addresses']}".replace(" nodad", "")
    lines = [line.split(": ", 1)[-1] for line in text.splitlines()]
    return [*sorted(lines), *sorted(state["routes"].splitlines())]


@pytest.fixture
def without_endpoint(states: Any) -> None:
    """The tunnel is configured and up, but the live one accepts packets from anybody: it has to be made anew."""
    assert states.he_tunnel.present(**TUNNEL).result is True
    run("ip", "link", "del", NAME)
    run("ip", "tunnel", "add", NAME, "mode", "sit", "remote", "any", "local", "46.105.5.1", "ttl", "64")
    run("ip", "link", "set", NAME, "up", "mtu", "1400")
    run("ip", "-6", "addr", "add", f"{PUBLISHED}/64", "dev", NAME)
    run("ip", "-6", "route", "add", "default", "dev", NAME, "metric", "77")


def test_a_new_tunnel_that_does_not_come_up_leaves_nothing(states: Any) -> None:
    hook("pre-up", "fails", "echo the hook says no >&2; exit 1")
    before = world()
    result = states.he_tunnel.present(**TUNNEL)
    assert (result.result, result.changes) == (False, {})
    assert "'ifup --force he-ipv6' ended with 1 and said:" in result.comment
    assert "the hook says no" in result.comment
    assert "Everything was put back as it was." in result.comment
    assert not OWN_FILE.exists()
    assert ip("link", "show", "dev", NAME) == []
    _undisturbed(before, world())


def test_a_hook_that_fails_after_the_tunnel_is_up_fails_too(states: Any) -> None:
    hook("up", "fails", "echo the hook says no >&2; exit 1")
    before = world()
    result = states.he_tunnel.present(**TUNNEL)
    assert result.result is False
    assert "the hook says no" in result.comment
    _undisturbed(before, world())


@pytest.mark.parametrize("phase", ["pre-up", "up"])
def test_the_old_link_is_back_when_the_new_one_does_not_come_up(
    states: Any, without_endpoint: None, phase: str
) -> None:
    broken = hook(phase, "fails", "exit 1")
    before = world()
    result = states.he_tunnel.present(**CHANGED)
    assert (result.result, result.changes) == (False, {})
    assert "Everything was put back as it was." in result.comment
    broken.unlink()
    after = world()
    after["ifstate"] = before["ifstate"]  # ifupdown cannot record an interface that it failed to bring up
    before["files"].pop(str(broken))
    _undisturbed(before, after)
    assert states.he_tunnel.present(**TUNNEL).result is True
    assert reaches("client6", PUBLISHED)


def test_an_ifup_that_lies_is_found_out(states: Any, shadows: Path) -> None:
    shadow(shadows, "ifup", "--force*", "echo already configured; exit 0")
    before = world()
    result = states.he_tunnel.present(**TUNNEL)
    assert (result.result, result.changes) == (False, {})
    assert "ended with 0 and said: already configured" in result.comment
    assert "link: kind is absent, expected sit" in result.comment
    _undisturbed(before, world())


@pytest.fixture
def impatient(modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of the stack may take three seconds."""
    modules.he_tunnel.present(NAME, **ARGUMENTS, test=True)
    for module in [each for key, each in sys.modules.items() if key.endswith(".he_tunnel")]:
        if hasattr(module, "tunnel_change"):  # each of Salt's loaders has a copy, and that has rooms of its own
            monkeypatch.setattr(module.tunnel_change, "PATIENCE", 3)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("kill -SEGV $$", "'ifup --force he-ipv6' was killed by SIGSEGV and said: nothing"),
        ("yes | head -c 100000000; exit 0", "'ifup --force he-ipv6' printed more than 64 MB and was killed"),
        ("setsid sleep 987 & sleep 987", "'ifup --force he-ipv6' took more than 3 s and was killed"),
        ('/sbin/ifup "$@"; echo no luck; exit 1', "'ifup --force he-ipv6' ended with 1 and said: no luck"),
    ],
)
def test_an_ifup_that_is_broken(
    modules: Any, shadows: Path, request: pytest.FixtureRequest, does: str, said: str
) -> None:
    if "sleep" in does:  # a real one may take longer, where the guest is slow
        request.getfixturevalue("impatient")
    shadow(shadows, "ifup", "--force*", does)
    before = world()
    result = modules.he_tunnel.present(NAME, **ARGUMENTS, test=False)
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"].startswith(said)
    assert result["comment"].endswith("Everything was put back as it was.")
    assert "sleep 987" not in run("ps", "ax")
    _undisturbed(before, world())


def test_a_hook_that_hangs_is_ended(modules: Any, impatient: None) -> None:
    hook("pre-up", "hangs", "echo waiting; sleep 987")
    before = world()
    result = modules.he_tunnel.present(NAME, **ARGUMENTS, test=False)
    assert (result["result"], result["changes"]) == (False, {})
    assert "took more than 3 s and was killed; until then it said: waiting" in result["comment"]
    assert "Everything was put back as it was." in result["comment"]
    assert "sleep 987" not in run("ps", "ax")
    _undisturbed(before, world())


def test_a_hook_may_start_a_daemon_that_holds_its_output(states: Any) -> None:
    hook("up", "daemon", "sleep 30 &")
    began = time.monotonic()
    assert states.he_tunnel.present(**TUNNEL).result is True
    assert time.monotonic() - began < 25, "it waited for the daemon"


def test_a_change_in_place_that_fails_is_taken_back(states: Any, shadows: Path, tmp_path: Path) -> None:
    assert states.he_tunnel.present(**TUNNEL).result is True
    before = world()
    # Once, and when the link has already been changed.
    once = tmp_path / "failed"
    shadow(shadows, "ip", "*'addr del'*", f"[ -e {once} ] || {{ touch {once}; echo no way >&2; exit 2; }}")
    result = states.he_tunnel.present(**CHANGED)
    assert once.exists()
    assert (result.result, result.changes) == (False, {})
    assert f"'ip -6 addr del {PUBLISHED}/64 dev he-ipv6' ended with 2 and said: no way" in result.comment
    assert "Everything was put back as it was." in result.comment
    _undisturbed(before, world())
    assert reaches("client6", PUBLISHED)
    assert states.he_tunnel.present(**CHANGED).result is True


def test_what_the_run_cannot_put_back_the_restorer_does(states: Any, shadows: Path) -> None:
    assert states.he_tunnel.present(**TUNNEL).result is True
    before = world()
    shadow(shadows, "ip", "*'addr del'*|*'ttl 255'*", "echo no way >&2; exit 2")  # which the restorer does not use
    result = states.he_tunnel.present(**CHANGED)
    assert result.result is False
    assert "It could not be put back: 'ip tunnel change he-ipv6" in result.comment
    assert "is put back: a change could not be undone" in result.comment
    assert result.comment.endswith("everything is as it was") and result.changes == {}
    _undisturbed(before, world())


def test_what_the_restorer_cannot_put_back_either_it_says(states: Any, shadows: Path) -> None:
    assert states.he_tunnel.present(**TUNNEL).result is True
    script = Path("/usr/sbin/ip")
    kept, real = script.with_name("ip.real"), script.resolve()
    shadow(shadows, "ip", "*'addr del'*|*'ttl 255'*", "echo no way >&2; exit 2")
    script.rename(kept)
    script.write_text(f"#!/bin/sh\ncase $* in *'ttl 255'*) echo never >&2; exit 2;; esac\nexec {real} \"$@\"\n")
    script.chmod(0o755)
    try:
        result = states.he_tunnel.present(**CHANGED)
    finally:
        kept.rename(script)
    assert result.result is False and result.changes
    assert "could not be put back: the interface he-ipv6: 'ip tunnel change he-ipv6" in result.comment
    assert "said: never" in result.comment and result.comment.endswith("\nnot everything is as it was")


@pytest.fixture
def read_only() -> Iterator[None]:
    """The folder of the configuration cannot be written to."""
    run("mount", "--bind", str(FOLDER), str(FOLDER))
    run("mount", "-o", "remount,bind,ro", str(FOLDER))
    yield
    run("umount", str(FOLDER))


def test_a_read_only_folder_is_an_error_and_no_traceback(states: Any, read_only: None) -> None:
    before = world()
    result = states.he_tunnel.present(**TUNNEL)
    assert (result.result, result.changes) == (False, {})
    assert "its file system is mounted read-only" in result.comment
    assert "Traceback" not in result.comment
    _undisturbed(before, world())


def test_the_old_interface_stays_when_the_file_cannot_be_written(
    states: Any, without_endpoint: None, read_only: None
) -> None:
    before = world()
    result = states.he_tunnel.present(**CHANGED)
    assert (result.result, result.changes) == (False, {})
    after = world()
    after["ifstate"] = before["ifstate"]
    _undisturbed(before, after)


def test_absent_is_undone_as_well(states: Any, shadows: Path) -> None:
    assert states.he_tunnel.present(**TUNNEL).result is True
    before = world()
    shadow(shadows, "ip", "*'link del'*", "echo no way >&2; exit 2")
    shadow(shadows, "ifdown", "*", "exit 0")
    result = states.he_tunnel.absent(NAME)
    assert (result.result, result.changes) == (False, {})
    assert "no way" in result.comment
    _undisturbed(before, world())
    run("ping", "-6", "-n", "-c", "1", "-W", "1", CLIENT6)
