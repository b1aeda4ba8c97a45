"""The mission as a user walks through it: an IPv6-only client reaches the server, and in the end does not."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Salt
from .network import MAIN, MAIN_TEXT, NAME, OWN_FILE, PUBLISHED, hear, ip, reaches, run, world


def results(states: dict[str, Any]) -> list[Any]:
    """The results in order."""
    return [each["result"] for each in states.values()]


def changed(states: dict[str, Any]) -> dict[str, Any]:
    """The changes of the states that have any."""
    return {key: each["changes"] for key, each in states.items() if each["changes"]}


SERVICES = {"apache2": 80, "dovecot": 143, "postfix": 25, "ejabberd": 5222}


@pytest.fixture
def _services() -> Iterator[None]:
    """The server's services of 2011."""
    run("bash", "tests/lab/services.sh")
    yield
    for name in SERVICES:
        run("service", name, "stop", check=False)


def connects(namespace: str, address: str) -> list[str]:
    """The services that accept a connection from a namespace."""
    words = ["ip", "netns", "exec", namespace, "timeout", "3", "bash", "-c"]
    tried = {
        name: subprocess.run([*words, f"</dev/tcp/{address}/{port}"], check=False, stderr=subprocess.DEVNULL)
        for name, port in SERVICES.items()
    }
    return [name for name, done in tried.items() if done.returncode == 0]


@pytest.mark.usefixtures("_services")
def test_the_mission(salt: Salt, tmp_path: Path) -> None:
    salt.declare(services=True)
    before = world()
    assert reaches("client4", "46.105.5.1")
    assert not reaches("client6", PUBLISHED)
    assert connects("client4", "46.105.5.1") == list(SERVICES)
    assert connects("client6", PUBLISHED) == []

    predicted = salt.call("state.apply", "ipv6", "test=True")
    assert set(results(predicted)) == {True, None}
    assert world() == before

    done = salt.call("state.apply", "ipv6")
    assert set(results(done)) == {True}
    parts = ("The firewall is up", "The tunnel is up", *(f"{name} listens on both families" for name in SERVICES))
    assert {part: changed(done)[part] for part in parts} == {part: changed(predicted)[part] for part in parts}
    assert set(changed(done)) == {"net.ipv6.bindv6only is 1", *parts}

    capture = tmp_path / "wire"
    tcpdump = subprocess.Popen(["tcpdump", "-i", "eth0", "-n", "-U", "-w", str(capture)], stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    assert reaches("client6", PUBLISHED)
    assert connects("client6", PUBLISHED) == connects("client4", "46.105.5.1") == list(SERVICES)
    time.sleep(0.5)
    tcpdump.terminate()
    tcpdump.wait()
    for ends in (
        f"216.66.84.42 > 46.105.5.1: IP6 2001:db8:c::2 > {PUBLISHED}: ICMP6, echo request",
        f"46.105.5.1 > 216.66.84.42: IP6 {PUBLISHED} > 2001:db8:c::2: ICMP6, echo reply",
    ):
        assert ends in run("tcpdump", "-n", "-r", str(capture), "ip proto 41")
    outside = run("tcpdump", "-n", "-r", str(capture), "ether proto 0x86dd and ip6 net 2000::/3")
    assert "2001:" not in outside, "IPv6 has left the server outside of the tunnel"

    after = world()
    again = salt.call("state.apply", "ipv6")
    assert set(results(again)) == {True}
    assert changed(again) == {}
    assert world() == after

    gone = salt.call("state.apply", "ipv6.absent")
    assert set(results(gone)) == {True}
    assert ip("link", "show", "dev", NAME) == []
    assert not OWN_FILE.exists()
    assert MAIN.read_text() == MAIN_TEXT
    assert not reaches("client6", PUBLISHED)
    assert reaches("client4", "46.105.5.1")


def test_drift_of_every_kind_at_once(salt: Salt) -> None:
    salt.call("state.apply", "ipv6")
    run("ip", "link", "set", NAME, "mtu", "1400")
    run("ip", "-6", "addr", "del", f"{PUBLISHED}/64", "dev", NAME)
    run("sed", "-i", "s/ttl 255/ttl 7/", str(OWN_FILE))
    assert not reaches("client6", PUBLISHED)
    repaired = salt.call("state.apply", "ipv6")
    assert changed(repaired) == {
        "The tunnel is up": {
            "files": {str(OWN_FILE): {"old": "    ttl 7", "new": "    ttl 255"}},
            "link": {"mtu": {"old": 1400, "new": 1480}},
            "addresses": {f"{PUBLISHED}/64": {"old": "absent", "new": "preferred"}},
        }
    }
    assert reaches("client6", PUBLISHED)
    run("ip", "link", "del", NAME)
    assert set(changed(salt.call("state.apply", "ipv6"))["The tunnel is up"]) == {"link", "addresses", "routes"}
    assert reaches("client6", PUBLISHED)


def test_a_silent_broker_fails_the_proof_and_keeps_the_tunnel(salt: Salt) -> None:
    hear("46.105.5.2")
    done = salt.call("state.apply", "ipv6")
    assert done["The tunnel is up"]["result"] is True
    assert done["The broker answers through the tunnel"]["result"] is False
    assert "100% loss" in done["The broker answers through the tunnel"]["comment"]


def test_a_wrong_pillar_changes_nothing(salt: Salt) -> None:
    pillar = salt.pillar / "ipv6.sls"
    pillar.write_text(pillar.read_text().replace("endpoint: 216.66.84.42", "endpoint: 2001:db8::1"))
    before = world()
    refused = salt.call("state.apply", "ipv6")
    assert set(results(refused)) == {False}
    assert (
        "ipv6:tunnel:endpoint: '2001:db8::1' is not an IPv4 address"
        in refused["The pillar ipv6 makes sense"]["comment"]
    )
    assert world() == before
