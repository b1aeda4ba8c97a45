"""The tunnel and its broker: from two numbers to a working tunnel, and over a change of this host's address."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..broker import server
from ..lab import network

MEMORY = Path("/var/lib/dualstack_tunnel")
NEW = "46.105.5.9"


class Broker(server.Broker):
    """One that really sends to the address that it is told."""

    def moved(self, handler: server.Handler) -> None:
        """An update."""
        address = self.requests[-1]["query"]["myip"]
        self.tunnels[server.ID]["clientv4"] = address
        network.hear(address)
        handler.wfile.write(f"HTTP/1.0 200 OK\r\n\r\ngood {address}\n".encode())


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """The broker's service, on this host's loopback."""
    server.certificates(tmp_path)
    found = Broker(tmp_path)
    found.answers["update"] = found.moved
    yield found
    found.stop()
    shutil.rmtree(MEMORY, ignore_errors=True)


@pytest.fixture
def tunnel(loaders: Any, broker: Broker, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The least that the pillar has to say of a tunnel."""
    found = {"id": int(server.ID), "account": "tunnelbroker", "addresses": network.ARGUMENTS["addresses"]}
    found.update(broker=broker.url, ca=str(tmp_path / "ca.pem"))
    pillar = loaders.modules.pack["__pillar__"]
    pillar.update(ipv6={"tunnel": found}, tunnelbroker={"user": server.USER, "update_key": server.KEY})
    yield found
    pillar.clear()


@pytest.fixture
def _renumbered() -> Iterator[None]:
    """Whatever address the server gets, it has its own again at the end."""
    yield
    _renumber(NEW, "46.105.5.1")


def _renumber(old: str, new: str) -> None:
    """The server gets another address, as from its provider."""
    subprocess.run(["ip", "addr", "del", f"{old}/24", "dev", "eth0"], check=False)
    subprocess.run(["ip", "addr", "replace", f"{new}/24", "dev", "eth0"], check=True)
    subprocess.run(["ip", "route", "replace", "default", "via", "46.105.5.254"], check=True)


@pytest.mark.usefixtures("_renumbered")
def test_from_two_numbers_to_a_tunnel_that_follows(modules: Any, broker: Broker, tunnel: dict[str, Any]) -> None:
    def applied(function: str) -> Any:
        call = getattr(modules.he_tunnel, function)
        told = call("x", pillar="ipv6:tunnel", test=True)
        sent = len(broker.updates())
        done = call("x", pillar="ipv6:tunnel", test=False)
        assert done["result"] is True, done["comment"]
        assert told["changes"] == done["changes"]
        assert len(broker.updates()) - sent <= 1
        again = call("x", pillar="ipv6:tunnel", test=False)
        assert (again["result"], again["changes"]) == (True, {}), again["comment"]
        return done

    assert applied("present")["changes"]
    assert [each["kind"] for each in broker.requests] == ["info"]  # asked once, and remembered
    assert applied("registered")["changes"] == {}
    assert network.reaches("client6", network.PUBLISHED)
    facts = modules.he_tunnel.metrics(as_data=True)
    assert (facts["up"], facts["in_sync"], facts["answering"], facts["assigned"]) == (True, True, True, True)
    assert facts["local"] == "46.105.5.1" and 'dualstack_tunnel_up{interface="he-ipv6"} 1\n' in facts["text"]

    _renumber("46.105.5.1", NEW)
    assert not network.reaches("client6", network.PUBLISHED, attempts=1)
    applied("present")
    change = {"endpoint": {"old": "46.105.5.1", "new": NEW}}
    assert applied("registered")["changes"] == change
    assert [each["query"]["myip"] for each in broker.updates()] == [NEW]
    assert network.reaches("client6", network.PUBLISHED)
    assert modules.he_tunnel.answering("x", pillar="ipv6:tunnel", test=False)["result"] is True


@pytest.mark.usefixtures("_renumbered")
def test_an_address_that_is_lost_is_said(modules: Any, broker: Broker, tunnel: dict[str, Any]) -> None:
    tunnel["local"] = "46.105.5.1"
    assert modules.he_tunnel.present("x", pillar="ipv6:tunnel", test=False)["result"] is True
    _renumber("46.105.5.1", NEW)
    for rung in ("underlaid", "answering"):
        done = getattr(modules.he_tunnel, rung)("x", pillar="ipv6:tunnel", test=False)
        assert done["result"] is False
        assert "46.105.5.1, from which the packets of he-ipv6 come, is none of this host's addresses" in done["comment"]
        assert f"now it has {NEW}: " in done["comment"]
    assert modules.he_tunnel.metrics(as_data=True)["assigned"] is False
