"""Several tunnels at once, tunnels by another carrier, and prefixes that are routed to this host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..lab.network import ARGUMENTS, CLIENT6, FOLDER, NAME, OTHER, OWN_FILE, PUBLISHED, SECOND, TWO
from ..lab.network import boot, ip, on, reaches, run, second_broker, world
from .test_formula import EXAMPLE, apply

ROUTED = "2001:470:1f13:f87::/64"
LAN_HOST = "2001:470:1f13:f87::99"
FORWARDING = Path("/proc/sys/net/ipv6/conf/all/forwarding")


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Iterator[None]:
    second_broker(getattr(request, "param", "sit"))
    yield
    on("broker", "ip", "link", "del", "he1")


@pytest.fixture
def router() -> Iterator[None]:
    """The server forwards packets."""
    FORWARDING.write_text("1")
    yield
    FORWARDING.write_text("0")


def sent(name: str) -> int:
    """The packets that have left by an interface."""
    count: int = ip("-s", "link", "show", "dev", name)[0]["stats64"]["tx"]["packets"]
    return count


def refusing() -> list[str]:
    return [each["dst"] for each in ip("-6", "route", "show", "type", "unreachable")]


def results(done: dict[str, Any]) -> dict[str, str]:
    return {key: each.comment for key, each in done.items() if each.result is not True}


@pytest.mark.usefixtures("broker")
def test_two_tunnels_at_once(modules: Any) -> None:
    pillar = {
        "tunnels": {NAME: {**ARGUMENTS, "routed": ROUTED}, SECOND: TWO},
        "firewall": {"tables": EXAMPLE["firewall"]["tables"]},
        "verify": {"beyond": [CLIENT6]},
    }
    before = world()
    predicted = apply(modules, "ipv6", pillar, test=True)
    assert world() == before
    done = apply(modules, "ipv6", pillar)
    assert not results(done), results(done)
    for name in (NAME, SECOND):
        assert done[f"The tunnel {name} is up"].changes == predicted[f"The tunnel {name} is up"].changes != {}
    assert reaches("client6", PUBLISHED) and reaches("client6", OTHER)
    # Each answers by its own way.
    for address, way, other in ((PUBLISHED, NAME, SECOND), (OTHER, SECOND, NAME)):
        counts = sent(way), sent(other)
        assert reaches("client6", address, attempts=5)
        assert (sent(way) - counts[0] >= 5, sent(other) - counts[1]) == (True, 0)
    assert "local" not in (FOLDER / SECOND).read_text()
    after = world()
    again = apply(modules, "ipv6", pillar)
    assert not results(again) and [each.changes for each in again.values()] == [{}] * len(again)
    assert world() == after
    run("ip", "link", "del", "dev", SECOND)
    repaired = apply(modules, "ipv6.tunnel", pillar)
    assert [key for key, each in repaired.items() if each.changes] == [f"The tunnel {SECOND} is up"]
    assert reaches("client6", OTHER)
    undone = apply(modules, "ipv6.absent", pillar)
    assert not results(undone), results(undone)
    assert not OWN_FILE.exists() and not (FOLDER / SECOND).exists() and refusing() == []
    assert all(not each.changes for each in apply(modules, "ipv6.absent", pillar, test=True).values())


@pytest.mark.usefixtures("router")
def test_packets_to_unassigned_addresses_do_not_go_in_circles(modules: Any) -> None:
    def asked() -> tuple[int, str]:
        count = sent(NAME)
        said = on("client6", "ping", "-n", "-c", "1", "-W", "2", LAN_HOST, check=False)
        return sent(NAME) - count, said

    assert modules.he_tunnel.present(NAME, **ARGUMENTS)["result"] is True
    count, said = asked()
    assert count > 20 and "Time exceeded" in said, "this is what it is about"
    routed = {**ARGUMENTS, "routed": ROUTED}
    predicted = modules.he_tunnel.present(NAME, **routed, test=True)["changes"]
    done = modules.he_tunnel.present(NAME, **routed)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted
    count, said = asked()
    assert count == 1 and "Destination unreachable: No route" in said, said
    assert reaches("client6", PUBLISHED)
    assert modules.he_tunnel.present(NAME, **routed)["changes"] == {}
    # Drift, the next boot, another prefix, and the way back.
    run("ip", "-6", "route", "flush", "type", "unreachable")
    assert modules.he_tunnel.live(NAME)["result"] is False
    assert list(modules.he_tunnel.present(NAME, **routed)["changes"]) == ["routes"]
    boot()
    assert refusing() == [ROUTED]
    assert modules.he_tunnel.live(NAME)["result"] is True
    wider = {**ARGUMENTS, "routed": [ROUTED, "2001:470:ab::/48"]}
    assert modules.he_tunnel.present(NAME, **wider)["result"] is True
    assert sorted(refusing()) == [ROUTED, "2001:470:ab::/48"]
    run("ifdown", NAME)
    assert refusing() == []
    run("ifup", NAME)
    assert len(refusing()) == 2
    assert modules.he_tunnel.present(NAME, **wider)["changes"] == {}
    assert modules.he_tunnel.absent(NAME)["result"] is True
    assert refusing() == []


@pytest.fixture
def lan() -> Iterator[None]:
    """A LAN behind the server, with the routed prefix, and a host in it."""
    run("ip", "netns", "add", "lan")
    run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", "lan")
    run("ip", "addr", "add", "2001:470:1f13:f87::1/64", "dev", "eth1", "nodad")
    run("ip", "link", "set", "eth1", "up")
    for words in ("link set lo up", f"addr add {LAN_HOST}/64 dev eth0 nodad", "link set eth0 up"):
        run("ip", "-n", "lan", *words.split())
    run("ip", "-n", "lan", "route", "add", "default", "via", "2001:470:1f13:f87::1")
    yield
    run("ip", "netns", "del", "lan")
    run("ip", "link", "del", "eth1", check=False)


@pytest.mark.usefixtures("router", "lan")
@pytest.mark.parametrize("routing", ["default", "source"])
def test_a_lan_with_the_routed_prefix_stays_reachable(modules: Any, routing: str) -> None:
    given = {**ARGUMENTS, "routing": routing}
    predicted = modules.he_tunnel.present(NAME, **given, test=True)
    done = modules.he_tunnel.present(NAME, **given)
    assert done["result"] is True, done["comment"]
    assert "addresses: eth1 has 2001:470:1f13:f87::1/64" in done["comment"], done["comment"]
    assert done["changes"] == predicted["changes"]
    assert f"{PUBLISHED}/128" in done["changes"]["addresses"]
    assert reaches("client6", PUBLISHED) and reaches("client6", LAN_HOST) and reaches("lan", CLIENT6)
    assert modules.he_tunnel.present(NAME, **given)["changes"] == {}
    assert modules.he_tunnel.live(NAME)["result"] is True
    boot()
    assert reaches("client6", LAN_HOST) and modules.he_tunnel.present(NAME, **given)["changes"] == {}
    assert modules.he_tunnel.absent(NAME)["result"] is True


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize("broker", ["gre"], indirect=True)
def test_gre_carries_it_as_well(modules: Any) -> None:
    gre = {**TWO, "carrier": "gre"}
    predicted = modules.he_tunnel.present(SECOND, **gre, test=True)["changes"]
    done = modules.he_tunnel.present(SECOND, **gre)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted
    assert done["changes"]["link"]["kind"]["new"] == "gre" and done["changes"]["link"]["mtu"]["new"] == 1476
    assert reaches("client6", OTHER)
    for rung in ("live", "routed", "underlaid", "answering", "reaching"):
        found = getattr(modules.he_tunnel, rung)(SECOND)
        assert found["result"] is True, found["comment"]
    assert modules.he_tunnel.present(SECOND, **gre)["changes"] == {}
    run("ip", "tunnel", "change", SECOND, "mode", "gre", "ttl", "7", "remote", "192.0.2.66")
    assert modules.he_tunnel.present(SECOND, **gre)["changes"] == {"link": {"ttl": {"old": 7, "new": 255}}}
    # The next boot has it, and so has ifupdown.
    run("ifdown", SECOND)
    assert ip("link", "show", "dev", SECOND) == []
    run("ifup", "-a")
    assert modules.he_tunnel.present(SECOND, **gre)["changes"] == {}
    # To the other kind, and back: the kernel has to make it anew.
    changed = modules.he_tunnel.present(SECOND, **TWO)
    assert changed["result"] is True, changed["comment"]
    assert changed["changes"]["link"]["kind"] == {"old": "gre", "new": "sit"}
    assert not reaches("client6", OTHER)
    assert modules.he_tunnel.present(SECOND, **gre)["result"] is True
    assert reaches("client6", OTHER)
    assert modules.he_tunnel.absent(SECOND)["result"] is True
    assert ip("link", "show", "dev", SECOND) == [] and not (FOLDER / SECOND).exists()
