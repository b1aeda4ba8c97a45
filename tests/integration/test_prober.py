"""Another host is asked whether it reaches this one: a real master, and a minion that knows nothing of this project."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = {"base": [str(REPOSITORY / "salt"), str(REPOSITORY)]}
FOUR, SIX, PRIVATE = "46.105.5.1", "2001:db8::1", "192.168.7.2"
PROBERS = "198.51.100.9", "2001:db8:9::9"  # from which whoever tests connects: a machine outside would have its own
NOT_PROVEN = "not tried: no prober is named; whether this host is reachable from outside is not proven"
PILLAR = {"dns": {"address": SIX}, "verify": {"public_ipv4": FOUR, "prober": "prober"}}
PERMITTED = ["^outside_view\\.(connect|answer)$"]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _seen_from_outside(four: str = PROBERS[0], six: str = PROBERS[1]) -> None:
    """Whoever connects to this host's addresses comes from these."""
    _ip("route", "change", "local", FOUR, "dev", "lo", "table", "local", "src", four)
    _ip("-6", "route", "del", "local", SIX, "dev", "lo", "table", "local")  # a change would only add a second one
    _ip("-6", "route", "add", "local", SIX, "dev", "lo", "table", "local", "src", six)


@pytest.fixture(scope="module", autouse=True)
def _addresses() -> Iterator[None]:
    """This host has a public address of each family, and a private one."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"
    addresses = (f"{FOUR}/32", f"{SIX}/128", f"{PRIVATE}/32", f"{PROBERS[0]}/32", f"{PROBERS[1]}/128")
    for address in addresses:
        _ip("addr", "add", address, "dev", "lo")
    _seen_from_outside()
    yield
    for address in addresses:
        _ip("addr", "del", address, "dev", "lo")
    for family, own in (("-4", FOUR), ("-6", SIX)):  # a route with another source outlives its address
        words = ["ip", family, "route", "del", "local", own, "dev", "lo", "table", "local"]
        subprocess.run(words, check=False, capture_output=True)


@pytest.fixture(scope="module")
def pillars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The master's pillar: of ``server``, its addresses; of others, nothing."""
    folder = tmp_path_factory.mktemp("pillar")
    (folder / "top.sls").write_text("base: {'server': [ipv6], 'server.evil': [other]}")
    (folder / "ipv6.sls").write_text(yaml.safe_dump({"ipv6": PILLAR}))
    (folder / "other.sls").write_text(yaml.safe_dump({"ipv6": PILLAR}))
    return folder


@pytest.fixture(scope="module")
def master(salt_factories: Any, pillars: Path) -> Iterator[Any]:
    """A master that lets ``server`` ask, and nobody else, with as few workers as possible."""
    daemon = salt_factories.salt_master_daemon(
        "master",
        overrides={
            "file_roots": ROOTS,
            "pillar_roots": {"base": [str(pillars)]},
            "open_mode": True,
            "fileserver_list_cache_time": 0,
            "worker_threads": 3,
            "peer_run": {"^server$": PERMITTED},
        },
    )
    with daemon.started(start_timeout=300):
        yield daemon


@pytest.fixture(scope="module")
def server(master: Any) -> Iterator[Any]:
    """A minion with this project's modules; call it as the master does."""
    minion = master.salt_minion_daemon("server", overrides={"start_event_grains": [], "module_dirs": [str(REPOSITORY)]})
    with minion.started(start_timeout=300):
        command = master.salt_cli(timeout=300)
        yield lambda *words, **given: command.run(*words, minion_tgt="server", **given).data


@pytest.fixture(scope="module")
def runner(master: Any, server: Any) -> None:
    """The master has the runner."""
    given = {"prober": "master", "services": {"a": {"ports": [22]}}}
    done = reachable(server, **given)
    assert done["result"] is None
    assert "the master lacks the runner, or has another version of it: run 'salt-run saltutil.syn" in done["comment"]
    assert "runners.outside_view" in master.salt_run_cli().run("saltutil.sync_runners").data


@pytest.fixture(scope="module")
def prober(master: Any) -> Iterator[None]:
    """A minion without any module of this project, with addresses of its own."""
    grains = {"ipv4": ["127.0.0.1", PROBERS[0]], "ipv6": ["::1", PROBERS[1]]}
    with master.salt_minion_daemon("prober", overrides={"start_event_grains": [], "grains": grains}).started(
        start_timeout=300
    ):
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


@pytest.mark.usefixtures("runner", "prober")
def test_another_minion_connects_to_each_address_and_port(server: Any, port: int, only_ipv4: int) -> None:
    done = reachable(server, prober="prober", services={"a": {"ports": [port]}}, address=SIX)
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]
    assert done["comment"].splitlines()[:3] == [
        "tested from prober:",
        f"a: tcp/{port} on {FOUR}: connects",
        f"a: tcp/{port} on {PROBERS[0]}: not tested: the pillar of server, as the master has it, does not say that "
        f"{PROBERS[0]} belongs to it; ipv6:verify:public_ipv4 would",
    ]
    assert done["comment"].splitlines()[3:] == [
        f"a: tcp/{port} on {SIX}: connects",
        f"{PRIVATE} is a private address, which prober did not test",
    ]
    services = {"a": {"ports": [port]}, "b": {"ports": [only_ipv4]}}
    done = reachable(server, prober="prober", services=services, address=SIX)
    assert done["result"] is False
    lines = done["comment"].splitlines()
    assert f"b: tcp/{only_ipv4} on {FOUR}: connects" in lines
    assert f"b: tcp/{only_ipv4} on {SIX}: Unable to connect to {SIX} ({SIX}) on tcp port {only_ipv4}" in lines
    assert "IPv6 itself" not in done["comment"]
    done = reachable(server, prober="prober", services={"b": {"ports": [only_ipv4]}}, address=SIX)
    assert done["comment"].splitlines()[-1] == "prober reaches nothing over IPv6: does it have IPv6 itself?"


@pytest.mark.usefixtures("runner")
def test_the_master_connects(server: Any, port: int, only_ipv4: int) -> None:
    done = reachable(server, prober="master", services={"a": {"ports": [port]}})
    assert done["result"] is True, done["comment"]
    for own in (FOUR, SIX):
        assert f"a: tcp/{port} on {own}: connects" in done["comment"]
    done = reachable(server, prober="master", services={"b": {"ports": [only_ipv4]}}, address=SIX)
    assert done["result"] is False
    assert f"b: tcp/{only_ipv4} on {SIX}: Connection refused" in done["comment"]


@pytest.mark.usefixtures("runner")
def test_a_master_on_this_host_or_without_ipv6_proves_nothing(server: Any, port: int) -> None:
    given: dict[str, Any] = {"prober": "master", "services": {"a": {"ports": [port]}}, "address": SIX}
    try:
        _seen_from_outside(FOUR, SIX)
        done = reachable(server, **given)
        assert done["result"] is None
        words = "not tested: this is an address of the master itself, which is not outside"
        assert f"a: tcp/{port} on {SIX}: {words}" in done["comment"]
    finally:
        _seen_from_outside()
    away = "2001:db8:ffff::1"  # a network to which this host has no route
    answer = server("publish.runner", "outside_view.connect", [[[away, port]]])
    assert "does not say that" in answer["answers"][0]["comment"]


@pytest.mark.usefixtures("runner")
def test_a_minion_cannot_have_others_scanned(server: Any, port: int, master: Any) -> None:
    """Whatever a minion says about itself, it does not open a connection to another."""
    ask = "publish.runner", "outside_view.connect"
    for other in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "fe80::1%lo"):
        assert server(*ask, [[[other, port]]])["error"].startswith("targets: ")
    for other in (PROBERS[0], PROBERS[1], PRIVATE):
        (answer,) = server(*ask, [[[other, port]]])["answers"]
        assert (answer["result"], answer["comment"][:42]) == (None, "not tested: the pillar of server, as the m")
    # Its grains, and a pillar of its own, are its word against the master's.
    server("grains.setvals", {"ipv4": [PROBERS[0]], "ipv6": [PROBERS[1]]})
    assert server("saltutil.refresh_grains") is True
    mine = {"ipv6": {"dns": {"address": PROBERS[1]}, "verify": {"public_ipv4": PROBERS[0], "prober": "other"}}}
    given = [{"name": "outside"}, {"prober": "master"}, {"services": {"a": {"ports": [port]}}}, {"address": PROBERS[1]}]
    done = server("state.high", json.dumps({"x": {"service_listen": ["reachable", *given]}}), pillar=mine)
    assert f"{PROBERS[1]}: not tested: the pillar of server" in str(done), done
    assert server(*ask, [[[PROBERS[1], port]]])["token"] == ""
    # Nor does it make any minion connect but the one that the pillar names.
    refused = server(*ask, [[[SIX, port]], "other"])["error"]
    assert refused.startswith("prober: 'other' is not master, and not what this minion's pillar, as the master has it")
    assert server(*ask, [[[SIX, port]], "*"])["error"].startswith("prober: '*' is not master")
    assert server("publish.publish", "prober", "network.connect", [SIX, port]) == {}
    # The functions that do the work are nobody's.
    assert server("publish.runner", "outside_view._connections", [[[PROBERS[1], port]], 5]) == {}
    by_hand = master.salt_run_cli().run("outside_view.connect", json.dumps([[SIX, port]])).data
    assert by_hand["answers"][0]["comment"].startswith("not tested: the pillar of "), by_hand


@pytest.fixture
def silent(only_ipv4: int) -> Iterator[int]:
    """A port that says nothing at all."""
    rule = ["INPUT", "-p", "tcp", "--dport", str(only_ipv4), "-j", "DROP"]
    for command in ("iptables", "ip6tables"):
        subprocess.run([command, "-A", *rule], check=True)
    yield only_ipv4
    for command in ("iptables", "ip6tables"):
        subprocess.run([command, "-D", *rule], check=True)


@pytest.mark.usefixtures("runner", "prober")
@pytest.mark.parametrize("who", ["master", "prober"])
def test_ports_that_say_nothing_are_tried_at_the_same_time(server: Any, who: str, silent: int) -> None:
    done = reachable(server, prober=who, services={"a": {"ports": [silent]}}, address=SIX)
    assert done["result"] is False, done
    for own in (FOUR, SIX):
        assert f"a: tcp/{silent} on {own}: " in done["comment"]
    assert 5 < done["duration"] / 1000 < 30


def test_no_worker_of_the_master_waits_for_a_connection(silent: int, port: int, tmp_path: Path) -> None:
    """The runner as the master calls it: what it does meanwhile, it does beside it."""
    spec = importlib.util.spec_from_file_location("outside_view", REPOSITORY / "_runners" / "outside_view.py")
    assert spec and spec.loader
    runner: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    runner.__opts__ = {"id": "server", "cachedir": str(tmp_path), "conf_file": "/nonexistent"}
    runner.__salt__ = {"pillar.show_pillar": lambda _: {"ipv6": PILLAR}}
    started = time.monotonic()
    token = runner.connect([[FOUR, silent], [SIX, silent], [SIX, port]])["token"]
    assert runner.answer(token) == {"waiting": True}
    assert time.monotonic() - started < 3
    while (answer := runner.answer(token)) == {"waiting": True}:
        time.sleep(0.1)
    assert 4.9 < time.monotonic() - started < 9  # both at the same time
    found = {(each["address"], each["port"]): (each["result"], each["comment"]) for each in answer["answers"]}
    nothing = (False, "no answer within 5 s")
    assert found == {(FOUR, silent): nothing, (SIX, silent): nothing, (SIX, port): (True, "connects")}


@pytest.mark.usefixtures("runner")
def test_a_master_that_does_not_permit_it(master: Any, port: int) -> None:
    minion = master.salt_minion_daemon("server.evil", overrides={"module_dirs": [str(REPOSITORY)]})
    command = minion.salt_call_cli(timeout=300)
    for who in ("prober", "master"):
        done = reachable(
            lambda *words, **given: command.run(*words, **given).data,
            prober=who,
            services={"a": {"ports": [port]}},
            address=SIX,
        )
        assert done["result"] is None
        assert done["comment"] == (
            "not tried: the master does not let this host ask it; it needs in its configuration:\n"
            "peer_run:\n  ^server\\.evil$:\n    - ^outside_view\\.(connect|answer)$"
        )


@pytest.mark.usefixtures("runner")
def test_a_prober_that_is_not_there(server: Any, master: Any, pillars: Path, port: int) -> None:
    services = {"a": {"ports": [port]}}

    def done(who: str) -> dict[str, Any]:
        part = {**PILLAR, "verify": {"prober": who}}
        (pillars / "ipv6.sls").write_text(yaml.safe_dump({"ipv6": part}))
        return reachable(server, prober=who, services=services, address=SIX)

    try:
        nobody = done("nobody")
        assert nobody["result"] is None
        assert "the master knows no minion nobody, or has not accepted its key" in nobody["comment"]
        # Its key is accepted, but it does not run.
        grains = {"ipv4": ["127.0.0.1"], "ipv6": [PROBERS[1]]}
        sleeper = master.salt_minion_daemon("sleeper", overrides={"grains": grains}).salt_call_cli(timeout=300)
        assert sleeper.run("test.ping").data is True
        silent = done("sleeper")
        assert silent["result"] is None
        assert f"{SIX}: not tested: sleeper did not answer; does it run?" in silent["comment"]
        # And one that has no IPv6 itself: its own answer would be the same as if this host were not reachable.
        without = {"ipv4": ["127.0.0.1"], "ipv6": ["::1", "fe80::1"]}
        old = master.salt_minion_daemon("old", overrides={"grains": without}).salt_call_cli(timeout=300)
        assert old.run("test.ping").data is True
        assert f"{SIX}: not tested: old has no IPv6 itself" in done("old")["comment"]
    finally:
        (pillars / "ipv6.sls").write_text(yaml.safe_dump({"ipv6": PILLAR}))


@pytest.mark.usefixtures("runner", "prober")
def test_the_pillar_says_who_connects_to_what_and_where(server: Any, port: int) -> None:
    state = {"Outside": {"service_listen": ["reachable", {"name": "outside"}, {"pillar": "ipv6:services"}]}}
    pillar: dict[str, Any] = {"services": {"ssh": {"ports": [port]}}, "verify": {"prober": "prober"}}

    def done(**beside: Any) -> Any:
        (found,) = server("state.high", json.dumps(state), pillar={"ipv6": {**pillar, **beside}}).values()
        return found

    native = done(dns={"address": SIX})
    assert (native["result"], f"ssh: tcp/{port} on {SIX}: connects" in native["comment"]) == (True, True)
    tunnel = done(tunnel={"address": "2001:db8::2/64", "endpoint": "192.0.2.9"}, dns={"address": None})
    assert tunnel["result"] is None
    assert f"ssh: tcp/{port} on 2001:db8::2: not tested: the pillar of server" in tunnel["comment"]
    assert f" on {SIX}: " not in tunnel["comment"]


# --------------------------------------------------------------------------------------------------------------
# Without a master


def test_nobody_is_asked_where_nobody_is_named(states: Any, port: int) -> None:
    services = {"a": {"ports": [port]}}
    done = states.service_listen.reachable("outside", services=services)
    assert (done.result, done.changes, done.comment) == (None, {}, NOT_PROVEN)
    assert states.service_listen.reachable("outside", services=services, test=True).result is None
    done = states.service_listen.reachable("outside", prober="prober", services=services, test=True)
    assert (done.result, done.comment) == (None, "prober was not asked")
    done = states.service_listen.reachable("outside", prober="prober")
    assert (done.result, done.comment) == (None, "not tried: no service is declared that prober could connect to")


def test_what_cannot_be_asked_is_refused(states: Any, port: int) -> None:
    for given, said in (
        ({"prober": 5}, "prober: 5 is not the id of a minion, or master"),
        ({"prober": ""}, "prober: '' is not the id of a minion, or master"),
        ({"prober": "server"}, "prober: server is this host itself, which cannot prove that others reach it"),
        ({"prober": "prober", "address": FOUR}, f"address: '{FOUR}' is not an IPv6 address"),
        ({"probe": "prober"}, "unknown argument: probe"),
    ):
        done = states.service_listen.reachable("outside", services={"a": {"ports": [port]}}, **given)
        assert (done.result, done.comment) == (False, said)
    done = states.service_listen.reachable("outside", prober="prober", services={"a": {"ports": [port]}})
    assert (done.result, done.comment) == (
        None,
        "not tried: this host has no master now, and only a master could make prober connect to it",
    )
