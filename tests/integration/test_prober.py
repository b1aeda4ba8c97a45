"""Another host is asked whether it reaches this one: a real master, and a minion that knows nothing of this project."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..services import daemons

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = {"base": [str(REPOSITORY / "salt"), str(REPOSITORY)]}
FOUR, SIX, PRIVATE = "46.105.5.1", "2001:db8::1", "192.168.7.2"
NOT_PROVEN = "skipped: no prober is named; whether this host is reachable from outside is not proven"


@pytest.fixture(scope="module", autouse=True)
def _addresses() -> Iterator[None]:
    """This host has a public address of each family, and a private one."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"
    addresses = (f"{FOUR}/32", f"{SIX}/128", f"{PRIVATE}/32")
    for address in addresses:
        subprocess.run(["ip", "addr", "add", address, "dev", "lo"], check=True)
    yield
    for address in addresses:
        subprocess.run(["ip", "addr", "del", address, "dev", "lo"], check=True)


@pytest.fixture(scope="module")
def master(salt_factories: Any) -> Iterator[Any]:
    """A master that lets ``server`` ask, and nobody else."""
    daemon = salt_factories.salt_master_daemon(
        "master",
        overrides={
            "file_roots": ROOTS,
            "open_mode": True,
            "fileserver_list_cache_time": 0,
            "peer": {"server": ["network.connect"]},
            "peer_run": {"server": ["outside_view.connect"]},
        },
    )
    with daemon.started(start_timeout=300):
        yield daemon


@pytest.fixture(scope="module")
def server(master: Any) -> Iterator[Any]:
    """A minion with this project's modules; call it as the master does."""
    minion = master.salt_minion_daemon("server", overrides={"start_event_grains": [], "module_dirs": [str(REPOSITORY)]})
    with minion.started(start_timeout=300):
        command = master.salt_cli(timeout=120)
        yield lambda *words, **given: command.run(*words, minion_tgt="server", **given).data


@pytest.fixture(scope="module")
def prober(master: Any) -> Iterator[None]:
    """A minion without any module of this project."""
    with master.salt_minion_daemon("prober", overrides={"start_event_grains": []}).started(start_timeout=300):
        yield


@pytest.fixture
def port() -> Iterator[int]:
    """A port that accepts connections in both families."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def only_ipv4() -> Iterator[int]:
    """A port that accepts connections over IPv4."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        yield listener.getsockname()[1]


def reachable(call: Any, **given: Any) -> dict[str, Any]:
    """The state ``service_listen.reachable``."""
    (done,) = call("state.single", "service_listen.reachable", name="outside", **given).values()
    return dict(done)


@pytest.mark.usefixtures("prober")
def test_another_minion_connects_to_each_address_and_port(server: Any, port: int, only_ipv4: int) -> None:
    done = reachable(server, prober="prober", services={"a": {"ports": [port]}}, address=SIX)
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]
    assert done["comment"].splitlines() == [
        "tested from prober:",
        f"a: tcp/{port} on {FOUR}: connects",
        f"a: tcp/{port} on {SIX}: connects",
        f"{PRIVATE} is a private address, which prober did not test",
    ]
    services = {"a": {"ports": [port]}, "b": {"ports": [only_ipv4]}}
    done = reachable(server, prober="prober", services=services)
    assert done["result"] is False
    lines = done["comment"].splitlines()
    assert f"b: tcp/{only_ipv4} on {FOUR}: connects" in lines
    assert f"b: tcp/{only_ipv4} on {SIX}: Unable to connect to {SIX} ({SIX}) on tcp port {only_ipv4}" in lines
    assert "IPv6 itself" not in done["comment"]
    done = reachable(server, prober="prober", services={"b": {"ports": [only_ipv4]}})
    assert done["comment"].splitlines()[-1] == "prober reaches nothing over IPv6: does it have IPv6 itself?"


def test_the_master_connects(server: Any, master: Any, port: int, only_ipv4: int) -> None:
    given = {"prober": "master", "services": {"a": {"ports": [port]}}}
    done = reachable(server, **given)
    assert done["result"] is False
    assert "the master lacks the runner: run 'salt-run saltutil.sync_runners' there" in done["comment"]
    assert "runners.outside_view" in master.salt_run_cli().run("saltutil.sync_runners").data
    done = reachable(server, **given)
    assert done["result"] is True, done["comment"]
    assert f"a: tcp/{port} on {SIX}: connects" in done["comment"]
    done = reachable(server, prober="master", services={"b": {"ports": [only_ipv4]}})
    assert done["result"] is False
    assert f"Unable to connect to {SIX}" in done["comment"]


@pytest.mark.usefixtures("prober")
def test_a_master_that_does_not_permit_it(master: Any, port: int) -> None:
    minion = master.salt_minion_daemon("stranger", overrides={"module_dirs": [str(REPOSITORY)]})
    command = minion.salt_call_cli(timeout=120)
    services = {"a": {"ports": [port]}}
    done = reachable(lambda *words, **given: command.run(*words, **given).data, prober="prober", services=services)
    assert done["result"] is False
    assert done["comment"] == (
        "the master does not let this host ask prober; it needs in its configuration:\n"
        "peer:\n  stranger:\n    - network.connect"
    )
    done = reachable(lambda *words, **given: command.run(*words, **given).data, prober="master", services=services)
    assert done["result"] is False
    assert done["comment"].endswith("peer_run:\n  stranger:\n    - outside_view.connect")


def test_a_prober_that_is_not_there(server: Any, master: Any, port: int) -> None:
    services = {"a": {"ports": [port]}}
    done = reachable(server, prober="nobody", services=services)
    assert done["result"] is False
    assert "the master knows no minion nobody, or has not accepted its key" in done["comment"]
    # Its key is accepted, but it does not run.
    command = master.salt_minion_daemon("sleeper", overrides={}).salt_call_cli(timeout=120)
    assert command.run("test.ping").data is True
    done = reachable(server, prober="sleeper", services=services)
    assert done["result"] is False
    assert "sleeper did not answer within 20 s: does it run?" in done["comment"]


@pytest.mark.usefixtures("prober")
def test_the_pillar_says_who_connects_to_what_and_where(server: Any, port: int) -> None:
    state = {"Outside": {"service_listen": ["reachable", {"name": "outside"}, {"pillar": "ipv6:services"}]}}
    pillar: dict[str, Any] = {"services": {"ssh": {"ports": [port]}}, "verify": {"prober": "prober"}}

    def done(**beside: Any) -> Any:
        (found,) = server("state.high", json.dumps(state), pillar={"ipv6": {**pillar, **beside}}).values()
        return found

    native = done()
    assert (native["result"], f"ssh: tcp/{port} on {SIX}: connects" in native["comment"]) == (True, True)
    tunnel = done(tunnel={"address": "2001:db8::2/64", "endpoint": "192.0.2.9"})
    assert tunnel["result"] is False
    assert f"ssh: tcp/{port} on 2001:db8::2: Unable to connect" in tunnel["comment"]
    assert f" on {SIX}: " not in tunnel["comment"]
    other = done(tunnel={"address": "2001:db8::2/64"}, dns={"address": "2001:db8::3"})
    assert f"ssh: tcp/{port} on 2001:db8::3: Unable to connect" in other["comment"]


@pytest.mark.usefixtures("prober")
def test_a_host_with_native_ipv6_is_proven(server: Any, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: daemons.stop("dovecot", 143))
    daemons.start("dovecot", 143)
    pillar = {"ipv6": {"services": {"dovecot": None}, "verify": {"prober": "prober"}}}
    done = {each["__id__"]: each for each in server("state.apply", "ipv6.verify", pillar=pillar).values()}
    assert {each["result"] for each in done.values()} == {True}, {key: each["comment"] for key, each in done.items()}
    outside = done["This host is reachable from outside"]["comment"]
    assert f"dovecot: tcp/143 on {SIX}: connects" in outside
    assert "IPv6 is proven" in done


# --------------------------------------------------------------------------------------------------------------
# Without a master


def test_nobody_is_asked_where_nobody_is_named(states: Any, port: int) -> None:
    services = {"a": {"ports": [port]}}
    done = states.service_listen.reachable("outside", services=services)
    assert (done.result, done.changes, done.comment) == (True, {}, NOT_PROVEN)
    assert states.service_listen.reachable("outside", services=services, test=True).result is True
    done = states.service_listen.reachable("outside", prober="prober", services=services, test=True)
    assert (done.result, done.comment) == (None, "prober was not asked")
    done = states.service_listen.reachable("outside", prober="prober")
    assert (done.result, done.comment) == (True, "skipped: no service is declared that prober could connect to")


def test_what_cannot_be_asked_is_refused(states: Any, port: int) -> None:
    for given, said in (
        ({"prober": 5}, "prober: 5 is not the id of a minion, or master"),
        ({"prober": ""}, "prober: '' is not the id of a minion, or master"),
        ({"prober": "server"}, "prober: server is this host itself, which cannot prove that others reach it"),
        ({"prober": "prober", "address": FOUR}, f"address: '{FOUR}' is not an IPv6 address"),
        ({"prober": "prober"}, "this host has no master now, and only a master could make prober connect to it"),
        ({"probe": "prober"}, "unknown argument: probe"),
    ):
        done = states.service_listen.reachable("outside", services={"a": {"ports": [port]}}, **given)
        assert (done.result, done.comment) == (False, said)
