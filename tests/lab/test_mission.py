"""The mission, step by step: an IPv6-only client reaches the server, and finally no longer does."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from salt.utils.args import parse_input

from ..cli_examples import doors
from .conftest import REPOSITORY, Salt
from .network import (
    MAIN,
    MAIN_TEXT,
    NAME,
    OWN_FILE,
    PUBLISHED,
    SYSCTL_FILE,
    forget_zone,
    hear,
    ip,
    on,
    reaches,
    run,
    world,
)


def results(states: dict[str, Any]) -> list[Any]:
    """The results in order."""
    return [each["result"] for each in states.values()]


def changed(states: dict[str, Any]) -> dict[str, Any]:
    """The changes of the states that have any."""
    return {key: each["changes"] for key, each in states.items() if each["changes"]}


SERVICES = {25: "220 ", 80: "HTTP/1.1 ", 143: "* OK ", 5222: "<?xml "}
DATABASE = 3306
BROKERS = ("he_tunnel.broker_info", "he_tunnel.registered")  # they ask the broker's web site: tests/broker has one
NATIVE = ("ipv6.native", "ipv6.native_absent")  # nothing has this server's eth0 up: tests/functional/test_native.py
EXAMPLE = (REPOSITORY / "pillar.example").read_text()


@pytest.fixture
def _server_of_2011() -> Iterator[None]:
    """The server's services and firewall of 2011, and the zone that names it."""
    run("bash", "tests/lab/server-2011.sh")
    run("bash", "tests/lab/zone.sh")
    yield
    for name in ("apache2", "dovecot", "postfix", "redis-server", "ejabberd"):
        run("service", name, "stop", check=False)
    forget_zone()


def greetings(namespace: str, family: int, name: str = "www.example.org") -> dict[int, str]:
    """How each service greets a client that looks the server up by its name."""
    ports = map(str, (*SERVICES, DATABASE))
    lines = on(namespace, sys.executable, "tests/lab/greet.py", str(family), name, *ports).splitlines()
    return {int(line.partition(" ")[0]): line.partition(" ")[2] for line in lines}


def greeted(namespace: str, family: int, name: str = "www.example.org") -> set[int]:
    """The ports on which a client is greeted as it should be."""
    found = greetings(namespace, family, name)
    assert not [port for port, start in SERVICES.items() if not found[port].startswith(("nothing:", start))], found
    assert len(found) == len(SERVICES) + 1
    return {port for port, words in found.items() if not words.startswith("nothing:")}


def aaaa(name: str) -> list[str]:
    """The AAAA records of a name, as the zone has them."""
    return on("client6", "dig", "+short", "+tcp", "AAAA", name).split()


def pointed() -> list[str]:
    """Where the PTR record of the published address leads, as the zone has it."""
    return on("client6", "dig", "+short", "+tcp", "-x", PUBLISHED).split()


def readme_commands() -> list[list[str]]:
    """The functions that README.md shows a person how to call, each with its arguments."""
    text = (REPOSITORY / "README.md").read_text().replace("\\\n", " ")
    shown = re.findall(r"(?:^ {4}|`)(salt(?:-call)? [^`\n]*)", text, re.MULTILINE)
    words = [[each for each in shlex.split(line, comments=True)] for line in shown]
    calls = [[each for each in line[1:] if each != "*" and not each.startswith("--")] for line in words]
    return _once(call for call in calls if not call[0].startswith(("state.", "saltutil.")))


def _once(calls: Iterable[list[str]]) -> list[list[str]]:
    """Calls without those that are there already."""
    return [list(each) for each in dict.fromkeys(map(tuple, calls))]


def asked(loaders: Any, pillar: dict[str, Any], function: str, *words: str) -> Any:
    """Call a function as the command line does."""
    loaders.modules.pack["__pillar__"]["ipv6"] = pillar
    arguments, named = parse_input(words, condition=False)
    return loaders.modules[function](*arguments, **named)


@pytest.mark.usefixtures("_server_of_2011")
def test_the_mission(salt: Salt, loaders: Any, tmp_path: Path) -> None:
    salt.declare(whole=True)
    before = world()
    assert [greetings("server", family, "localhost")[DATABASE][:8] for family in (4, 6)] == ["silence:"] * 2
    assert greeted("client4", 4) == set(SERVICES)
    assert greeted("server", 6, "localhost") == {DATABASE}
    assert greeted("client6", 6) == set()
    assert not reaches("client6", PUBLISHED)

    predicted = salt.call("state.apply", "ipv6", "test=True")
    assert set(results(predicted)) == {True, None}
    assert world() == before
    assert aaaa("www.example.org") == []

    done = salt.call("state.apply", "ipv6")
    assert set(results(done)) == {True}, {key: each["comment"] for key, each in done.items() if not each["result"]}
    services = ("apache2", "dovecot", "postfix", "ejabberd")
    parts = [
        *("The firewall is up", "The tunnel is up", *(f"{name} listens on both families" for name in services)),
        *("The AAAA records are published", "The PTR record is published"),
    ]
    assert {part: changed(done)[part] for part in parts} == {part: changed(predicted)[part] for part in parts}
    assert set(changed(done)) == {"net.ipv6.bindv6only is 1", *parts}

    capture = tmp_path / "wire"
    tcpdump = subprocess.Popen(["tcpdump", "-i", "eth0", "-n", "-U", "-w", str(capture)], stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    assert aaaa("www.example.org") == aaaa("mail.example.org") == [PUBLISHED]
    assert pointed() == ["mail.example.org."]
    assert greeted("client6", 6) == greeted("client4", 4) == set(SERVICES)
    assert reaches("client6", PUBLISHED)
    time.sleep(1.5)
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
    assert set(results(again)) == {True}, {key: each["comment"] for key, each in again.items() if not each["result"]}
    assert changed(again) == {}
    assert world() == after

    commands = [each for each in readme_commands() if each[0] not in BROKERS]
    assert len({command[0] for command in commands}) > 12
    for command in commands:
        assert asked(loaders, yaml.safe_load(EXAMPLE)["ipv6"], *command) or command[0].endswith(
            (".audit", ".diff", ".plan")
        )
    resolver = Path("/etc/resolv.conf").read_text()
    Path("/etc/resolv.conf").write_text("nameserver 192.0.2.53\n")
    try:
        for words in [each for each in _once(doors()) if each[0] not in (*BROKERS, *NATIVE)]:
            # A public function that changes something is one that a state calls, too: it is tried with test=True.
            acting = "test" in inspect.signature(loaders.modules[words[0]]).parameters
            words += ["test=True"] if acting and "test=True" not in words else []
            answer = asked(loaders, yaml.safe_load(EXAMPLE)["ipv6"], *words)
            assert not acting or answer["result"] is not False, (words, answer)
    finally:
        Path("/etc/resolv.conf").write_text(resolver)
    assert world() == after

    gone = salt.call("state.apply", "ipv6.absent")
    assert set(results(gone)) == {True}, gone
    assert aaaa("www.example.org") == aaaa("mail.example.org") == pointed() == []
    assert ip("link", "show", "dev", NAME) == []
    assert not OWN_FILE.exists()
    assert MAIN.read_text() == MAIN_TEXT
    assert not reaches("client6", PUBLISHED)
    assert greeted("client4", 4) == set(SERVICES)
    # ejabberd listens twice now, and would not start without it.
    assert "net.ipv6.bindv6only = 1" in SYSCTL_FILE.read_text()


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
    assert refused.pop("This host can still be managed")["changes"] == {}  # it has nothing to end
    assert set(results(refused)) == {False}
    assert (
        "ipv6:tunnel:endpoint: '2001:db8::1' is not an IPv4 address"
        in refused["The pillar ipv6 makes sense"]["comment"]
    )
    assert world() == before
