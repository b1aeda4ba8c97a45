"""The beacon of the tunnel on a real minion: its events reach the master."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
TUNNEL = {
    "endpoint": "216.66.84.42",
    "local": "46.105.5.1",
    "address": "2001:db8:41::2/64",
    "gateway": "2001:db8:41::1",
}
TAG = "salt/beacon/native/he_tunnel/"


def ip(*words: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def _broker() -> Iterator[None]:
    """Another host, where the broker's end will be; this one has the tunnel's local address."""
    ip("netns", "add", "broker")
    ip("addr", "add", f"{TUNNEL['local']}/32", "dev", "lo")
    yield
    ip("addr", "del", f"{TUNNEL['local']}/32", "dev", "lo")
    subprocess.run(["ip", "link", "del", "he-ipv6"], check=False, stderr=subprocess.DEVNULL)
    ip("netns", "del", "broker")


def connect() -> None:
    """The tunnel comes up: something of its name, with the broker's end behind it."""
    ip("link", "add", "he-ipv6", "type", "veth", "peer", "name", "end", "netns", "broker")
    ip("-n", "broker", "addr", "add", f"{TUNNEL['gateway']}/64", "dev", "end", "nodad")
    ip("-n", "broker", "link", "set", "end", "up")
    ip("addr", "add", TUNNEL["address"], "dev", "he-ipv6", "nodad")
    ip("link", "set", "he-ipv6", "up")


@pytest.mark.usefixtures("_broker")
def test_its_events_reach_the_master(
    salt_factories: Any, event_listener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = tmp_path / "metrics" / "dualstack.prom"
    metrics.parent.mkdir()
    pillar = tmp_path / "pillar"
    pillar.mkdir()
    (pillar / "top.sls").write_text("base: {'*': [ipv6]}\n")
    (pillar / "ipv6.sls").write_text(yaml.safe_dump({"ipv6": {"tunnel": TUNNEL}}))
    beacon = [{"interval": 1}, {"attempts": 1}, {"timeout": 1}, {"metrics": str(metrics)}]
    master = salt_factories.salt_master_daemon(
        "beacons", overrides={"pillar_roots": {"base": [str(pillar)]}, "open_mode": True}
    )
    overrides = {"module_dirs": [str(REPOSITORY)], "beacons": {"he_tunnel": beacon}, "loop_interval": 1}
    start = time.time()
    with master.started(start_timeout=300), master.salt_minion_daemon("native", overrides=overrides).started(
        start_timeout=300
    ):

        def awaited(tag: str) -> dict[str, Any]:
            found = event_listener.wait_for_events([(master.id, TAG + tag)], after_time=start, timeout=60)
            assert found.found_all_events, (tag, found.missed)
            (event,) = list(found.matches)[:1]
            return dict(event.data)

        first = awaited("silent")
        assert first["reason"] == "he-ipv6 does not exist on this host" and first["gateway"] == TUNNEL["gateway"]
        connect()
        again = awaited("answering")
        assert again["name"] == "he-ipv6" and 0 < again["rtt"] < 1
        time.sleep(4)  # nothing changes, and nothing fires
        tags = [each.tag for each in event_listener.get_events([(master.id, TAG + "*")], after_time=start)]
        assert sorted(tags) == [TAG + "answering", TAG + "silent"]
        assert 'dualstack_tunnel_broker_answering{interface="he-ipv6"} 1\n' in metrics.read_text()
