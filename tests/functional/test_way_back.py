"""A host with IPv6 of its own gets a tunnel, and a tunnel is renumbered: nobody loses this host meanwhile."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..lab.network import ARGUMENTS, NAME, PUBLISHED, TUNNEL, ip, reaches, run, source_address, world

RESOLVER = Path("/etc/resolv.conf")
MEMORY = Path("/var/lib/dualstack_aaaa/published.json")
ANOTHER = {**TUNNEL, "addresses": ["2001:470:1f13:f87::78/64"]}


@pytest.fixture
def native() -> Iterator[None]:
    """The host has IPv6 of its own, and a name server beyond."""
    for words in (
        "ip link add native type dummy",
        "ip link set native up",
        "ip -6 addr add 2001:db8:5::5/64 dev native nodad",
        "ip -6 route add default via 2001:db8:5::1 dev native metric 2048",
    ):
        run(*words.split())
    before = RESOLVER.read_text()
    RESOLVER.write_text("nameserver 2001:db8:53::53\n")
    yield
    RESOLVER.write_text(before)


def test_what_takes_the_name_servers_way_is_refused(states: Any, native: None, test: bool) -> None:
    before = world()
    result = states.he_tunnel.present(**TUNNEL, test=test)
    assert (result.result, result.changes) == (False, {})
    assert result.comment == (
        "metric: the name server 2001:db8:53::53: packets there leave by native from 2001:db8:5::5, and with this "
        f"change they would leave by he-ipv6 from {PUBLISHED}: this host has an IPv6 default route of its own, of "
        "metric 2048, and the least comes first; expected more than 2048, or 'routing: source'"
    )
    assert world() == before


@pytest.mark.parametrize("helps", [{"metric": 2049}, {"routing": "source"}])
def test_what_the_refusal_names_helps(states: Any, native: None, helps: dict[str, Any]) -> None:
    wanted = {**TUNNEL, **helps}
    broker = ip("route", "get", TUNNEL["endpoint"])
    assert (
        states.he_tunnel.present(**wanted, test=True).comment
        == "he-ipv6 would be changed: files, link, addresses, routes"
    )
    done = states.he_tunnel.present(**wanted)
    assert done.result is True, done.comment
    found = ip("-6", "route", "get", "2001:db8:53::53")[0]
    assert (found["dev"], found["prefsrc"]) == ("native", "2001:db8:5::5")
    assert states.he_tunnel.present(**wanted).changes == {}
    assert ip("route", "get", TUNNEL["endpoint"]) == broker


@pytest.fixture
def published() -> Iterator[None]:
    """This host has published its address."""
    MEMORY.parent.mkdir()
    MEMORY.write_text(json.dumps({"www.example.org": [PUBLISHED]}))
    yield
    shutil.rmtree(MEMORY.parent)


def test_a_published_address_stays_until_dns_leads_elsewhere(
    states: Any, modules: Any, tunnel: None, published: None
) -> None:
    predicted = states.he_tunnel.present(**ANOTHER, test=True)
    words = ["ip", "netns", "exec", "client6", "ping", "-n", "-q", "-i", "0.1", "-W", "1", PUBLISHED]
    flow = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    done = states.he_tunnel.present(**ANOTHER)
    assert done.result is True, done.comment
    assert done.changes == predicted.changes
    assert done.changes["addresses"] == {
        "2001:470:1f13:f87::78/64": {"old": "absent", "new": "preferred"},
        f"{PUBLISHED}/64": {"old": "preferred", "new": "expiring"},
    }
    stays = f"{PUBLISHED} stays on he-ipv6 for a day, deprecated: DNS may still lead to it (www.example.org)"
    assert (done.comment.splitlines()[1:], predicted.comment.splitlines()[1:]) == ([stays], [stays])
    again = states.he_tunnel.present(**ANOTHER)
    assert (again.result, again.changes) == (True, {})
    assert reaches("client6", "2001:470:1f13:f87::78") and source_address() == "2001:470:1f13:f87::78"
    assert modules.he_tunnel.status()["in_sync"] is True
    assert states.he_tunnel.live(NAME).result is True
    MEMORY.write_text(json.dumps({"www.example.org": ["2001:470:1f13:f87::78"]}))
    again = states.he_tunnel.present(**ANOTHER)
    assert (again.result, again.changes, again.comment) == (True, {}, "he-ipv6 is as declared")
    flow.send_signal(signal.SIGINT)
    assert " 0% packet loss" in flow.communicate(timeout=30)[0]
    run(*f"ip -6 addr change {PUBLISHED}/64 dev {NAME} valid_lft 1 preferred_lft 0".split())
    run("sleep", "3")
    assert states.he_tunnel.present(**ANOTHER).changes == {}
    assert not reaches("client6", PUBLISHED)
    assert states.he_tunnel.present(**TUNNEL).result is True
    assert reaches("client6", PUBLISHED)


def test_an_old_address_that_dns_still_leads_to_gets_its_time_anew(states: Any, tunnel: None, published: None) -> None:
    assert states.he_tunnel.present(**ANOTHER).result is True
    run(*f"ip -6 addr change {PUBLISHED}/64 dev {NAME} valid_lft 3600 preferred_lft 0".split())
    change = {"addresses": {f"{PUBLISHED}/64": {"old": "expiring soon", "new": "expiring"}}}
    assert states.he_tunnel.present(**ANOTHER, test=True).changes == change
    assert states.he_tunnel.present(**ANOTHER).changes == change
    assert states.he_tunnel.present(**ANOTHER).changes == {}


def test_an_unpublished_address_goes_and_the_new_one_is_there_before(modules: Any, tunnel: None) -> None:
    with subprocess.Popen(["ip", "-6", "monitor", "address"], stdout=subprocess.PIPE, text=True) as seen:
        arguments = {**ARGUMENTS, "addresses": ["2001:470:1f13:f87::78/64"]}
        assert modules.he_tunnel.present(NAME, **arguments, test=False)["result"] is True
        run("sleep", "0.5")
        seen.terminate()
        lines = seen.communicate()[0].splitlines()
    of = [line for line in lines if "1f13:f87::" in line]
    assert [("Deleted" in line, line.split("::")[1].partition("/")[0]) for line in of] == [(False, "78"), (True, "77")]
