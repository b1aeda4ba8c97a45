"""A tunnel that WireGuard carries: it comes up, drifts, is repaired, and no key of it is told to anybody."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..lab.network import CLIENT6, FOLDER, OTHER, SECOND, TWO
from ..lab.network import hook, ip, on, reaches, run, second_broker, world
from .test_formula import EXAMPLE, apply

KEYS = Path("/etc/wireguard")
PORT = 20002


def _pair() -> tuple[str, str]:
    private = run("wg", "genkey").strip()
    public = subprocess.run(["wg", "pubkey"], input=private, text=True, capture_output=True, check=True).stdout
    return private, public.strip()


def _file(name: str, key: str) -> str:
    path = KEYS / name
    path.touch(mode=0o600)
    path.write_text(f"{key}\n")
    return str(path)


@pytest.fixture
def secrets() -> list[str]:
    """All that nobody is to read anywhere but in its own file."""
    return []


@pytest.fixture
def tunnel(secrets: list[str]) -> Iterator[dict[str, Any]]:
    """The broker, and what it hands out."""
    KEYS.mkdir(mode=0o700, exist_ok=True)
    theirs, ours, preshared = _pair(), _pair(), run("wg", "genpsk").strip()
    secrets += [theirs[0], ours[0], preshared]
    second_broker("wireguard")
    peer = [
        "peer",
        ours[1],
        "preshared-key",
        _file("psk", preshared),
        "allowed-ips",
        "2001:db8:66::2,2001:db8:6666::/64",
    ]
    on("broker", "wg", "set", "he1", "listen-port", str(PORT), "private-key", _file("broker", theirs[0]), *peer)
    (KEYS / "broker").unlink()
    part = {"public_key": theirs[1], "port": PORT, "private_key_file": _file("own", ours[0])}
    part.update({"preshared_key_file": str(KEYS / "psk"), "listen_port": 51900, "keepalive": 25})
    # Its packets come from its published address, or the server's peer would wander to another.
    way = ["46.105.5.1/32", "dev", "server", "src", "192.0.2.66"]
    on("broker", "ip", "route", "add", *way)
    yield {**TWO, "carrier": "wireguard", "wireguard": part}
    on("broker", "ip", "route", "del", *way)
    on("broker", "ip", "link", "del", "he1")


def _told(secrets: list[str], *said: Any) -> None:
    text = json.dumps(said, default=str)
    assert not any(each in text for each in secrets)


def test_it_comes_up_drifts_and_goes(modules: Any, tunnel: dict[str, Any], secrets: list[str]) -> None:
    def present(**other: Any) -> Any:
        predicted = modules.he_tunnel.present(SECOND, **{**tunnel, **other}, test=True)
        done = modules.he_tunnel.present(SECOND, **{**tunnel, **other})
        assert done["result"] is True, done["comment"]
        assert done["changes"] == predicted["changes"]
        _told(secrets, predicted, done)
        return done["changes"]

    part = tunnel["wireguard"]
    before = world()
    made = present()
    assert made["link"]["kind"]["new"] == "wireguard" and made["link"]["mtu"]["new"] == 1420
    assert reaches("client6", OTHER)
    file = FOLDER / SECOND
    _told(secrets, file.read_text())
    for rung in ("live", "routed", "underlaid", "answering", "reaching"):
        found = getattr(modules.he_tunnel, rung)(SECOND)
        assert found["result"] is True, found["comment"]
        _told(secrets, found)
    status = modules.he_tunnel.status(SECOND)
    assert status["in_sync"] is True and status["live"]["link"]["kind"] == "wireguard", status
    assert status["configured"]["wireguard"] == {**part, "allowed_ips": ["::/0"]}
    _told(secrets, status, modules.he_tunnel.adopt(), modules.he_tunnel.render(SECOND, **tunnel))
    assert present() == {}
    after = world()

    secrets += [_pair()[0], run("wg", "genpsk").strip()]
    intruder, psk = _file("stranger", secrets[-2]), _file("other-psk", secrets[-1])
    key, other = part["public_key"], _pair()[1]
    drifts: dict[str, set[str]] = {
        f"peer {key} endpoint 192.0.2.67:7 allowed-ips 2001:db8::/32 persistent-keepalive 0": {
            *("endpoint", "port", "allowed_ips", "keepalive")
        },
        f"peer {key} preshared-key {psk}": {"preshared_key"},
        f"peer {key} remove": {"endpoint", "port", "public_key", "allowed_ips", "keepalive", "preshared_key"},
        f"peer {other} allowed-ips 2001:db8:bad::/48": {"public_key"},
        f"listen-port 51901 private-key {intruder}": {"listen_port", "own_key"},
    }
    for happens, keys in drifts.items():
        run("wg", "set", SECOND, *happens.split())
        changes = present()
        assert changes.keys() == {"link"} and keys <= set(changes["link"]), (happens, changes)
        # Of a second peer, either may be the first.
        assert set(changes["link"]) == keys or other in happens, (happens, changes)
        assert reaches("client6", OTHER), happens
    for happens, parts in {
        f"link set dev {SECOND} mtu 1400": {"link"},
        f"-6 addr del {OTHER}/64 dev {SECOND}": {"addresses"},
        f"link set dev {SECOND} down": {"link", "addresses", "routes"},
        f"link del dev {SECOND}": {"link", "addresses", "routes"},
    }.items():
        run("ip", *happens.split())
        assert set(present()) == parts, happens
        assert reaches("client6", OTHER), happens
    assert present() == {}
    assert world()["files"] == after["files"]

    run("ifdown", SECOND)
    assert ip("link", "show", "dev", SECOND) == []
    run("ifup", SECOND)
    assert present() == {} and reaches("client6", OTHER)
    # Another port, to another kind, and back.
    assert present(wireguard={**part, "listen_port": None, "keepalive": None}).keys() == {"files", "link"}
    assert present(wireguard={**part, "listen_port": None, "keepalive": None}) == {}
    assert modules.he_tunnel.present(SECOND, **TWO)["changes"]["link"]["kind"] == {"old": "wireguard", "new": "sit"}
    assert present()["link"]["kind"] == {"old": "sit", "new": "wireguard"}
    assert reaches("client6", OTHER)
    gone = modules.he_tunnel.absent(SECOND)
    assert gone["result"] is True, gone["comment"]
    _told(secrets, gone)
    assert world() == before


def test_a_change_that_fails_is_taken_back_with_the_keys(
    modules: Any, tunnel: dict[str, Any], secrets: list[str]
) -> None:
    assert modules.he_tunnel.present(SECOND, **tunnel)["result"] is True
    before = modules.he_tunnel.status(SECOND)
    hook("pre-up", "fails", "exit 1")
    found = modules.he_tunnel.present(SECOND, **TWO)
    assert found["result"] is False and "Everything was put back as it was." in found["comment"], found
    _told(secrets, found)
    after = modules.he_tunnel.status(SECOND)
    assert (after["live"], after["configured"]) == (before["live"], before["configured"])
    assert reaches("client6", OTHER)


def test_a_key_that_cannot_be_used_is_refused_before_anything_is_changed(
    modules: Any, tunnel: dict[str, Any], secrets: list[str]
) -> None:
    part, before = tunnel["wireguard"], world()
    own = Path(part["private_key_file"])
    wrong: dict[str, tuple[Callable[[], Any], str]] = {
        "is not there": (own.unlink, "does not exist"),
        "everybody's": (lambda: own.write_text(f"{secrets[1]}\n"), "expected the mode 0600"),
        "no key": (lambda: own.write_text("PrivateKey = x"), "holds no key of WireGuard"),
    }
    for name, (happens, said) in wrong.items():
        happens()
        run("chmod", "644" if "everybody" in name else "600", str(own), check=own.exists())
        for test in (True, False):
            found = modules.he_tunnel.present(SECOND, **tunnel, test=test)
            assert found["result"] is False and said in found["comment"], (name, found)
            assert f"wireguard: private_key_file: {own}" in found["comment"]
            _told(secrets, found)
        assert world() == before


def test_the_firewall_lets_it_through_and_the_whole_formula_has_it(
    modules: Any, tunnel: dict[str, Any], secrets: list[str]
) -> None:
    pillar = {
        "tunnel": {**tunnel, "name": SECOND, "routing": "default"},
        "firewall": {"tables": EXAMPLE["firewall"]["tables"]},
        "verify": {"beyond": [CLIENT6]},
    }
    done = apply(modules, "ipv6", pillar)
    wrong = {key: each.comment for key, each in done.items() if each.result is not True}
    assert not wrong, wrong
    _told(secrets, {key: (each.changes, each.comment) for key, each in done.items()})
    rules = run("iptables", "-S")
    assert f"-A INPUT -s 192.0.2.66/32 -p udp -m udp --sport {PORT} --dport 51900 -j ACCEPT" in rules
    assert f"-A OUTPUT -d 192.0.2.66/32 -p udp -m udp --sport 51900 --dport {PORT} -j ACCEPT" in rules
    assert "-p ipv6 " not in rules and "-p 41" not in rules
    assert reaches("client6", OTHER)
    again = apply(modules, "ipv6", pillar)
    assert [each.changes for each in again.values()] == [{}] * len(again)
    undone = apply(modules, "ipv6.absent", pillar)
    assert all(each.result is True for each in undone.values()), undone
    assert ip("link", "show", "dev", SECOND) == []
