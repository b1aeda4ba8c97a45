"""A broker on loopback, and a host with a public address, in the enclosure's network namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import server

LOCAL = "46.105.5.1"
REPOSITORY = Path(__file__).resolve().parents[2]
MEMORY = Path("/var/lib/dualstack_tunnel/broker.json")


@pytest.fixture(scope="session", autouse=True)
def _enclosed() -> None:
    """These tests give a host addresses, and write to /var/lib: they must not be the machine's."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"


def ip(*words: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *words], check=True)


@pytest.fixture(scope="module", autouse=True)
def _uplink() -> Iterator[None]:
    """The interface by which this host reaches its tunnel's endpoint; nobody is at the other end."""
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "away")
    for each in ("eth0", "away"):
        ip("link", "set", each, "up")
    renumbered(LOCAL)
    yield
    ip("link", "del", "eth0")


def renumbered(address: str) -> None:
    """This host gets another address."""
    ip("-4", "addr", "flush", "dev", "eth0")
    ip("addr", "add", f"{address}/24", "dev", "eth0")
    ip("route", "replace", "default", "dev", "eth0")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the certificates."""
    folder = tmp_path_factory.mktemp("ca")
    server.certificates(folder)
    return folder


@pytest.fixture
def broker(authority: Path) -> Iterator[server.Broker]:
    """The broker."""
    found = server.Broker(authority)
    yield found
    found.stop()


@pytest.fixture
def pillar(broker: server.Broker, authority: Path) -> dict[str, Any]:
    """A pillar with the least that a tunnel needs."""
    renumbered(LOCAL)
    shutil.rmtree(MEMORY.parent, ignore_errors=True)
    tunnel = {"id": int(server.ID), "account": "tunnelbroker", "broker": broker.url, "ca": str(authority / "ca.pem")}
    return {"ipv6": {"tunnel": tunnel}, "tunnelbroker": {"user": server.USER, "update_key": server.KEY}}


@pytest.fixture
def door(pillar: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, as Salt would load it, with this pillar."""
    for each in [name for name in sys.modules if name == "he_tunnel_broker"]:
        del sys.modules[each]
    import he_tunnel_broker as module  # pylint: disable=import-outside-toplevel

    found: Any = module
    for name, value in (("__salt__", {}), ("__opts__", {"test": False}), ("__pillar__", pillar)):
        monkeypatch.setattr(found, name, value, raising=False)
    return found


@pytest.fixture
def rooms(door: Any) -> Any:
    """The rooms that the door has, for a test that sets their clocks and limits."""
    return door.broker_change


@pytest.fixture
def registered(door: Any) -> Callable[..., dict[str, Any]]:
    """The state ``he_tunnel.registered``, with the pillar."""

    def call(test: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = door.registered("x", pillar="ipv6:tunnel", test=test)
        return found

    return call
