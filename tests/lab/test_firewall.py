"""The firewall of pillar.example, as clients meet it through the tunnel and beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from .conftest import Salt
from .network import PUBLISHED, RULES, firewall, on, reaches, run

PORTS = (22, 25, 80, 143, 3306, 5222, 5269, 8080, 9999)
ALLOWED = {22, 25, 80, 143, 5222, 5269}

SERVE = """
import selectors, socket, sys
ready = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        listener = socket.create_server((address, port), family=family)
        ready.register(listener, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in ready.select():
        key.fileobj.accept()[0].close()
"""
CONNECT = """
import json, socket, sys
found = []
for port in map(int, sys.argv[2:]):
    try:
        socket.create_connection((sys.argv[1], port), timeout=1).close()
    except OSError:
        continue
    found.append(port)
print(json.dumps(found))
"""


@pytest.fixture
def _services() -> Iterator[None]:
    """Something listens on every port, in both families."""
    words = [sys.executable, "-c", SERVE, *map(str, PORTS)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert server.stdout and server.stdout.readline() == "ready\n"
    yield
    server.kill()
    server.wait()


def open_ports(namespace: str, address: str) -> set[int]:
    """The ports that a client can connect to."""
    return set(json.loads(on(namespace, sys.executable, "-c", CONNECT, address, *map(str, PORTS))))


@pytest.mark.usefixtures("_services")
def test_a_client_reaches_exactly_the_allowed_ports_in_both_families(salt: Salt) -> None:
    assert open_ports("client4", "46.105.5.1") == set(PORTS)
    salt.call("state.apply", "ipv6")
    assert open_ports("client4", "46.105.5.1") == {*ALLOWED, 8080}
    assert open_ports("client6", PUBLISHED) == ALLOWED
    assert reaches("client6", PUBLISHED)


def test_the_next_boot_has_the_same_rules(salt: Salt) -> None:
    salt.call("state.apply", "ipv6")
    rules = firewall()
    for command, file in (("iptables", "rules.v4"), ("ip6tables", "rules.v6")):
        assert "-A INPUT -i lo -j ACCEPT\n" in (RULES / file).read_text()
        run(command, "-P", "INPUT", "ACCEPT")
        run(command, "-F")
    assert firewall() != rules
    run("netfilter-persistent", "start")
    assert firewall() == rules


@pytest.mark.usefixtures("_services")
def test_a_ruleset_that_fails_its_rehearsal_stops_the_tunnel_too(salt: Salt) -> None:
    expected = {"ipv6": {"firewall": {"expect": [{"to": "tcp/9999", "verdict": "accept"}]}}}
    done = salt.call("state.apply", "ipv6", f"pillar={json.dumps(expected)}")
    assert "tcp/9999" in done["The firewall is up"]["comment"]
    assert [name for name, each in done.items() if each["result"] is False][0] == "The firewall is up"
    assert open_ports("client4", "46.105.5.1") == set(PORTS)
    assert not RULES.exists()
