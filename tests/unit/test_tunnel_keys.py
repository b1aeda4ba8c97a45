"""The keys of a WireGuard tunnel on a host: which files are refused, and that no key is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _dualstack_host_commands as host_commands
import _dualstack_tunnel_adopt as tunnel_adopt
import _dualstack_tunnel_keys as tunnel_keys
import pytest
from salt.exceptions import CommandExecutionError

SECRET = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PUBLIC = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
LINKS: list[dict[str, Any]] = [
    {"ifname": "lo"},
    {"ifname": "wg0", "flags": ["UP"], "mtu": 1420, "linkinfo": {"info_kind": "wireguard"}, "addr_info": []},
]


class Wg:
    """wg(8), which is not on every machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.retcode, self.stdout = 0, ""
        self.asked: list[Any] = []
        monkeypatch.setattr(host_commands, "start", lambda words, text="", **_: self.asked.append((words, text)))
        monkeypatch.setattr(host_commands, "finish", lambda _: host_commands.Said(self.retcode, self.stdout, ""))


@pytest.fixture
def wg(monkeypatch: pytest.MonkeyPatch) -> Wg:
    return Wg(monkeypatch)


def keyed(own: Path, preshared: str = "") -> Any:
    part = {"private_key_file": str(own), "preshared_key_file": preshared}
    return tunnel_keys.keyed({"link": {"kind": "wireguard"}}, {"wireguard": part})


def test_the_key_is_known_by_its_public_one(wg: Wg, tmp_path: Path) -> None:
    own, wg.stdout = tmp_path / "own", f"{PUBLIC}\n"
    own.touch(mode=0o640)
    own.write_text(f"{SECRET}\n")
    found = keyed(own, str(own))
    assert found["link"]["own_key"] == PUBLIC and found["link"]["preshared_key"].startswith("sha256:")
    assert found["keys"] == {"private": str(own), "preshared": str(own)}
    assert SECRET not in str(found) and wg.asked == [(["wg", "pubkey"], f"{SECRET}\n")]
    assert tunnel_keys.keyed({"link": {}}, {"carrier": "sit"}) == {"link": {}}


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_file_of_everybodys_is_refused(wg: Wg, tmp_path: Path, mode: int) -> None:
    own = tmp_path / "own"
    own.write_text(SECRET)
    own.chmod(mode)
    with pytest.raises(CommandExecutionError, match=r"private_key_file: \S+ can be read or written by everybody"):
        keyed(own)
    assert wg.asked == []


def test_a_file_without_a_key_is_refused_without_a_word_of_it(wg: Wg, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.touch(mode=0o600)
    for text in (f"PrivateKey = {SECRET}", f"{SECRET}{SECRET}", SECRET[:-1], ""):
        own.write_text(text)
        with pytest.raises(CommandExecutionError, match="holds no key") as error:
            keyed(own)
        assert SECRET[:20] not in str(error.value)
    for other, said in ((tmp_path / "none", "does not exist"), (tmp_path, "everybody|holds no key")):
        with pytest.raises(CommandExecutionError, match=said):
            keyed(other)
    own.write_text(SECRET)
    wg.retcode, wg.stdout = 1, SECRET
    with pytest.raises(CommandExecutionError) as error:
        keyed(own)
    assert str(error.value) == "'wg pubkey' ended with 1"


@pytest.mark.parametrize("words", [f"echo {SECRET}; sleep 60", f"echo {SECRET} >&2; sleep 60", f"echo {SECRET}; false"])
def test_what_the_program_says_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """A real program: what it has printed until it is killed is said of others."""
    own, program = tmp_path / "own", tmp_path / "wg"
    own.touch(mode=0o600)
    own.write_text(SECRET)
    program.write_text(f"#!/bin/sh\n{words}\n")
    program.chmod(0o755)
    monkeypatch.setattr(host_commands, "which", lambda _: str(program))
    monkeypatch.setattr(host_commands, "PATIENCE", 0.5)
    with pytest.raises(CommandExecutionError) as error:
        keyed(own)
    assert "wg pubkey" in str(error.value) and SECRET[:20] not in str(error.value)
    assert tunnel_keys.completed(LINKS) == LINKS


def test_the_ends_of_live_interfaces(wg: Wg) -> None:
    peer = f"{PUBLIC}\t(none)\t[2001:db8::1]:7\t::/0,10.0.0.0/8\t1\t2\t3\toff"
    wg.stdout = f"wg0\t{SECRET}\t{PUBLIC}\t51820\toff\nwg0\t{peer}\n"
    _, found = tunnel_keys.completed(LINKS)
    assert found["linkinfo"]["info_data"]["remote"] == "2001:db8::1" and SECRET not in str(found)
    assert LINKS[1]["linkinfo"] == {"info_kind": "wireguard"}
    for wg.retcode, wg.stdout in ((1, ""), (0, SECRET), (0, "")):
        assert tunnel_keys.completed(LINKS) == LINKS
    wg.asked.clear()
    assert tunnel_keys.completed(LINKS[:1]) == LINKS[:1] and wg.asked == []


def test_a_vpn_that_is_only_live_is_no_tunnel_of_the_pillars() -> None:
    seen = {"name": "wg0", "kind": "wireguard", "endpoint": "192.0.2.1", "local": "any", "places": [], "warnings": []}
    answer = tunnel_adopt.pillar([{**seen, "live": True, "up": True, "ours": False}], LINKS, [], {})
    assert answer["ipv6"] == {} and any("wg0" in each for each in answer["notes"]), answer
