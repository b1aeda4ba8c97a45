"""Those who manage this host are found, and let in again: real sessions of a real sshd, and real rules."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_firewall_trial as firewall_trial
import _dualstack_host_management as host_management
import _dualstack_host_management_proof as host_management_proof
import _dualstack_transaction_proofs as transaction_proofs
import _dualstack_service_sockets as service_sockets
import pytest

from . import netfilter, world

Converge = Callable[..., dict[str, Any]]
ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


@pytest.fixture(scope="module", autouse=True)
def _networks() -> Iterator[None]:
    with world.networks():
        yield


@pytest.fixture(scope="module")
def daemon(_networks: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[world.Sshd]:
    """One that listens on port 22 of every address."""
    daemon = world.Sshd(tmp_path_factory.mktemp("sshd"))
    yield daemon
    daemon.end()


@pytest.fixture
def sshd(daemon: world.Sshd) -> Iterator[world.Sshd]:
    """The same; nobody is logged in when a test begins."""
    yield daemon
    daemon.end_sessions()


def found(**opts: Any) -> list[tuple[Any, ...]]:
    """Each connection: direction, the other host, the port, this host's address, and the interface."""
    connections = host_management.connections(opts)
    return [(each.direction, each.remote, each.port, each.own, each.interface) for each in connections]


def test_nobody_is_said_to_be_nobody(sshd: world.Sshd) -> None:
    managers = host_management.managers({})
    assert managers.connections == [] and managers.unseen == [host_management.NOBODY]
    assert {(each.family, each.address, each.port) for each in managers.sshd.listeners} == {
        ("ipv4", None, 22),
        ("ipv6", None, 22),
    }


def test_every_administrator_who_is_logged_in(sshd: world.Sshd) -> None:
    """With a command, over IPv6, through a forwarding alone, to the second uplink."""
    with sshd.session(world.CLIENT, world.OWN):
        assert found() == [("in", world.CLIENT, 22, world.OWN, "eth0")]
        with sshd.session(world.CLIENT6, world.OWN6), sshd.session(world.SECOND, world.OWN_SECOND):
            assert set(found()) == {
                ("in", world.CLIENT, 22, world.OWN, "eth0"),
                ("in", world.CLIENT6, 22, world.OWN6, "eth0"),
                ("in", world.SECOND, 22, world.OWN_SECOND, "eth1"),
            }
    sshd.end_sessions()
    with sshd.session(world.CLIENT, world.OWN, "-N", command=""):
        deadline = time.monotonic() + 10
        while not found() and time.monotonic() < deadline:  # for a moment it is still the process of a stranger
            time.sleep(0.02)
        assert found() == [("in", world.CLIENT, 22, world.OWN, "eth0")]


def test_whoever_tries_passwords_is_no_administrator(sshd: world.Sshd) -> None:
    """A connection whose client has not logged in may be anybody's."""
    words = ["ip", "netns", "exec", "others", "bash", "-c"]
    script = f"exec 3<>/dev/tcp/{world.OWN}/22; read -r line <&3; echo $line; sleep 60"
    with subprocess.Popen([*words, script], stdout=subprocess.PIPE) as stranger:
        try:
            assert stranger.stdout and stranger.stdout.readline().startswith(b"SSH-2.0")
            assert any(each.remote == world.CLIENT for each in service_sockets.connected()[0])
            assert found() == []
        finally:
            stranger.kill()


def test_another_program_of_that_name_is_no_sshd(tmp_path: Path) -> None:
    """One that is not root's."""
    program = tmp_path / "sshd"
    shutil.copy("/usr/bin/socat", program)
    program.chmod(0o755)
    tmp_path.chmod(0o755)
    words = ["setpriv", "--reuid=65534", "--clear-groups", str(program), "TCP-LISTEN:2222", "STDOUT"]
    with subprocess.Popen(words) as process:
        try:
            world.await_listener(2222)
            assert {each.port for each in host_management.managers({}).sshd.listeners} <= {22}
        finally:
            process.kill()


def test_whoever_came_by_another_server_counts_beside_others(
    sshd: world.Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of ssh that goes by another name, whose client's session this is."""
    monkeypatch.setenv("SSH_CONNECTION", f"{world.CLIENT} 4242 {world.OWN} 2222")
    with subprocess.Popen(["socat", "TCP-LISTEN:2222,reuseaddr", "EXEC:cat"]) as server:
        world.await_listener(2222)
        client = ["ip", "netns", "exec", "others", "socat", "EXEC:sleep 60", f"TCP:{world.OWN}:2222"]
        with sshd.session(world.SECOND, world.OWN_SECOND), subprocess.Popen(client) as process:
            deadline = time.monotonic() + 10
            while len(found()) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert found()[0] == ("in", world.CLIENT, 2222, world.OWN, "eth0")
            process.kill()
            server.kill()
            server.wait()
            assert found() == [("in", world.SECOND, 22, world.OWN_SECOND, "eth1")]


def test_a_jump_host_is_who_manages(sshd: world.Sshd) -> None:
    """What it forwards comes from it: its own address is the peer of the session."""
    with sshd.session(world.BEYOND, world.OWN):
        assert found() == [("in", world.BEYOND, 22, world.OWN, "eth0")]


def test_the_interface_of_a_second_uplink(sshd: world.Sshd) -> None:
    """With one default route, with a routing table of its own, and where the kernel drops what comes by another one."""
    netfilter.run(
        "ip", "netns", "exec", "others", "ip", "route", "add", world.OWN_SECOND, "dev", "far1", "src", world.BEYOND
    )
    with sshd.session(world.BEYOND, world.OWN_SECOND):
        assert found() == [("in", world.BEYOND, 22, world.OWN_SECOND, "eth1")]
        netfilter.run(
            "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth1.rp_filter=1"
        )  # the most counts
        assert found() == [("in", world.BEYOND, 22, world.OWN_SECOND, "eth0")]
        netfilter.run("ip", "rule", "add", "from", world.OWN_SECOND, "lookup", "7")
        netfilter.run("ip", "route", "add", "default", "via", world.SECOND, "table", "7")
        try:
            assert found() == [("in", world.BEYOND, 22, world.OWN_SECOND, "eth1")]
        finally:
            netfilter.run("ip", "rule", "del", "from", world.OWN_SECOND, "lookup", "7")


# --------------------------------------------------------------------------------------------------------------
# Rules


def tables(*rules: str, policy: str = "DROP") -> dict[str, Any]:
    return {"filter": {"INPUT": {"policy": policy, "rules": ["-i lo -j ACCEPT", f"{ESTABLISHED}", *rules]}}}


FROM = "-s {} -p tcp --dport 22 -j ACCEPT"


def test_an_administrator_is_not_shut_out(sshd: world.Sshd, converge: Converge) -> None:
    only = tables(FROM.format(world.CLIENT))
    with sshd.session(world.CLIENT, world.OWN), sshd.session(world.CLIENT6, world.OWN6):
        done = converge(only)
        assert done["result"] is False and done["changes"] == {}
        assert done["comment"].startswith("The ruleset was not loaded, since it fails its rehearsal:\n")
        assert (
            f"the ssh client {world.CLIENT6}, who is logged in: tcp/22 from {world.CLIENT6} to {world.OWN6}: "
            "expected accept, found drop"
        ) in done["comment"]
        assert "ipv6:manage:ignore" in done["comment"] and world.CLIENT + "," not in done["comment"]
        both = tables(FROM.format(world.CLIENT), FROM.format(world.CLIENT6))
        assert converge(both)["result"] is True
        # What is open to him is open for a new connection.
        assert sshd.says(world.CLIENT6, world.OWN6, "echo in") == "in\n"


def test_who_need_not_manage_may_be_shut_out(sshd: world.Sshd, converge: Converge) -> None:
    only = tables(FROM.format(world.CLIENT), FROM.format(world.CLIENT6))
    with sshd.session(world.SECOND, world.OWN_SECOND):
        assert converge(only)["result"] is False
        entry = {"to": "tcp/22", "from": world.SECOND, "verdict": "deny"}
        assert converge(only, test=True, expect=[entry])["result"] is None


@pytest.mark.parametrize(("family", "remote"), [("ipv4", world.CLIENT), ("ipv6", world.CLIENT6)])
def test_sshd_is_not_shut_to_everybody(sshd: world.Sshd, converge: Converge, family: str, remote: str) -> None:
    """Nobody is logged in: then no rule of one family may let nobody in, unless that is what is meant."""
    one = {"family": "ipv6" if family == "ipv4" else "ipv4", "rule": "-p tcp --dport 22 -j ACCEPT"}
    shut = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", ESTABLISHED, one]}}}
    name = {"ipv4": "IPv4", "ipv6": "IPv6"}[family]
    for test in (True, False):
        done = converge(shut, test=test)
        assert done["result"] is False
        assert f"sshd's port tcp/22 over {name}: " in done["comment"] and "nobody would any more" in done["comment"]
    done = converge(shut, expect=[{"to": "tcp/22", "family": family, "verdict": "deny"}])
    assert done["result"] is True and host_management.NOBODY in done["comment"]
    # What is shut already is not asked for again.
    assert converge({"filter": {**shut["filter"], "FORWARD": {"policy": "DROP"}}})["result"] is True


@pytest.mark.parametrize(
    "rule",
    [
        "-p tcp --dport 22 -j ACCEPT",
        "-s 10.9.0.0/16 -p tcp --dport 22 -j ACCEPT",
        "-i tun7 -p tcp --dport 22 -j ACCEPT",
        "-m iprange --src-range 10.9.0.1-10.9.0.7 -p tcp --dport 22 -j ACCEPT",
        "-m set --match-set admins src -p tcp --dport 22 -j ACCEPT",
    ],
)
def test_rules_that_let_in_some_are_a_firewall(sshd: world.Sshd, converge: Converge, rule: str) -> None:
    if "-set " in rule:
        netfilter.run("ipset", "restore", text="create admins hash:net\nadd admins 10.9.0.0/16\n")
    allowed = [{"family": "ipv4", "rule": rule}, {"family": "ipv6", "rule": "-p tcp --dport 22 -j ACCEPT"}]
    rules = ["-i lo -j ACCEPT", ESTABLISHED, *allowed]
    done = converge({"filter": {"INPUT": {"policy": "DROP", "rules": rules}}})
    assert done["result"] is True, done["comment"]


def test_other_ports_that_are_shut_are_told(sshd: world.Sshd, converge: Converge) -> None:
    with subprocess.Popen(["socat", "TCP-LISTEN:8080,fork", "STDOUT"]) as process:
        try:
            world.await_listener(8080)
            done = converge(tables("-p tcp --dport 22 -j ACCEPT"))
        finally:
            process.kill()
    said = "Hosts anywhere reach these ports now, and will not any more: tcp/8080 (IPv4)"
    assert done["result"] is True and said in done["comment"]


def test_where_nothing_can_be_tried_that_is_said(
    sshd: world.Sshd, converge: Converge, shadows: Path, backend: str
) -> None:
    refusing = shadows / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    with sshd.session(world.CLIENT, world.OWN):
        done = converge(tables(FROM.format(world.CLIENT)), test=True)
        admitted = firewall_trial.admitted(host_management.connections({}), backend)
    said = f"nothing has shown that these rules let in the ssh client {world.CLIENT}, who is logged in"
    assert done["result"] is None and said in done["comment"]
    assert admitted.tried == [] and said in admitted.unknown[0]


def test_whether_the_live_rules_admit_them(sshd: world.Sshd, backend: str) -> None:
    with sshd.session(world.CLIENT, world.OWN), sshd.session(world.CLIENT6, world.OWN6):
        managed = host_management.connections({})
        netfilter.load(
            "ipv4", backend, f"*filter\n-A INPUT -s {world.CLIENT} -p tcp --dport 22 --syn -j DROP\nCOMMIT\n"
        )
        found, unknown = firewall_trial.admitted(managed, backend)
    assert not [each for each in unknown if "filters" not in each]
    assert {each["source"]: each["found"] for each in found} == {world.CLIENT: "drop", world.CLIENT6: "accept"}


# --------------------------------------------------------------------------------------------------------------
# Proofs


def test_at_the_end_of_a_run_the_live_rules_let_in_who_is_logged_in(sshd: world.Sshd) -> None:
    with sshd.session(world.CLIENT, world.OWN):
        held = transaction_proofs.found({})
        assert {each.holds for each in held} == {True} and f"let in the ssh client {world.CLIENT}" in held[-1].comment
        rule = f"*filter\n-A INPUT -s {world.CLIENT} -p tcp --dport 22 --syn -j DROP\nCOMMIT\n"
        netfilter.load("ipv4", "nft", rule)  # as a state of others in the same run may do
        assert [each.holds for each in transaction_proofs.found({})] == [True, False]


def test_proofs(sshd: world.Sshd) -> None:
    with sshd.session(world.CLIENT, world.OWN):
        (proof,) = host_management_proof.judge({})
        assert proof.holds is True
        assert "sshd answers on 192.0.2.1 port 22 (a look from this host itself, weaker still" in proof.words
        netfilter.load("ipv4", "nft", "*filter\n-A INPUT -p tcp --dport 22 -j REJECT --reject-with tcp-reset\nCOMMIT\n")
        (proof,) = host_management_proof.judge({})
        assert proof.holds is False and proof.words.endswith("does not answer on 192.0.2.1 port 22: Connection refused")


def test_the_proof_of_a_master() -> None:
    master = {"master_ip": world.CLIENT, "master_uri": f"tcp://{world.CLIENT}:4506"}
    words = ["ip", "netns", "exec", "others", "socat", "TCP-LISTEN:4505,fork", "STDOUT"]
    with subprocess.Popen(words) as process:
        try:
            world.await_listener(4505, "others")
            publish, back = host_management_proof.judge(master)
        finally:
            process.kill()
    assert publish.holds is True and "the weaker proof: nobody has come in from outside" in publish.words
    assert back.holds is None and "it refuses a new connection to 192.0.2.7 port 4506, so it is reached" in back.words


# --------------------------------------------------------------------------------------------------------------
# Salt's own connections

LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import _dualstack_host_management as host_management
print(json.dumps(host_management.connections({})))
"""


@contextlib.contextmanager
def salt(folder: Path) -> Iterator[None]:
    """A master on this host, and a minion among the others, which is connected to it."""
    settings = {"user": "root", "root_dir": str(folder), "worker_threads": 1, "auto_accept": True}
    own = {"user": "root", "root_dir": str(folder / "m"), "id": "m", "master": world.OWN, "random_reauth_delay": 1}
    (folder / "master").write_text(json.dumps({**settings, "interface": "0.0.0.0"}))
    (folder / "minion").write_text(json.dumps(own))
    programs = Path(sys.executable).parent
    started = []
    try:
        for words in (["salt-master"], ["salt-minion"]):
            place = ["ip", "netns", "exec", "others"] if "salt-minion" in words else []
            command = [*place, sys.executable, str(programs / words[0]), "-c", str(folder), "-l", "quiet"]
            started.append(subprocess.Popen(command, start_new_session=True))
        deadline = time.monotonic() + 90
        while not netfilter.run("ss", "-Htn", "state", "established", "sport = :4505"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield
    finally:
        for each in reversed(started):
            os.killpg(each.pid, signal.SIGKILL)
            each.wait()


def test_a_master_on_this_host_and_its_minion(converge: Converge) -> None:
    """The minions have to get in; where the master is, its minion knows without any configuration."""
    with tempfile.TemporaryDirectory() as folder, salt(Path(folder)):  # in it are sockets, whose paths are short
        assert set(found()) == {("in", world.CLIENT, port, world.OWN, "eth0") for port in (4505, 4506)}
        words = [
            "ip",
            "netns",
            "exec",
            "others",
            sys.executable,
            "-c",
            LOOK,
            str(Path(host_management.__file__).parent),
        ]
        seen = json.loads(netfilter.run(*words))
        assert {(each[1], each[2], each[3]) for each in seen} == {("out", world.OWN, port) for port in (4505, 4506)}
        done = converge(tables(f"-s {world.CLIENT} -p tcp --dport 4505 -j ACCEPT"))
        assert done["result"] is False
        assert f"the minion {world.CLIENT} of the Salt master on this host: tcp/4506" in done["comment"]


def test_a_single_rule_does_not_shut_an_administrator_out(sshd: world.Sshd, modules: Any, backend: str) -> None:
    rule = modules.dualstack_iptables.rule
    with sshd.session(world.CLIENT, world.OWN):
        done = rule(f"-s {world.CLIENT} -p tcp --dport 22 -j DROP", backend=backend, test=False)
        assert done["result"] is False and f"the ssh client {world.CLIENT}, who is logged in" in done["comment"]
        assert netfilter.rules("ipv4", backend, "INPUT") == []
        assert rule(f"-s {world.SECOND} -p tcp --dport 22 -j DROP", backend=backend, test=False)["result"] is True


def test_the_client_of_a_command_is_not_shut_out(sshd: world.Sshd, tmp_path: Path, backend: str) -> None:
    """``ssh root@host salt-call --local``: Salt gives itself a title, and its environment cannot be seen any more."""
    repository = Path(host_management.__file__).resolve().parents[1]
    settings = {"root_dir": str(tmp_path), "file_client": "local", "module_dirs": [str(repository)], "id": "m"}
    (tmp_path / "minion").write_text(json.dumps(settings))
    shut = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", ESTABLISHED]}}}
    expect = [{"to": "tcp/22", "verdict": "deny"}]  # by strangers; not by who is here
    words = f"--local -c {tmp_path} --out=json dualstack_iptables.ruleset firewall tables='{json.dumps(shut)}'"
    call = f"{sys.executable} {Path(sys.executable).parent}/salt-call {words} expect='{json.dumps(expect)}'"
    for test in ("True", "False"):
        said = sshd.says(world.CLIENT6, world.OWN6, f"{call} backend={backend} test={test} || true")
        done = json.loads(said)["local"]
        assert done["result"] is False
        assert f"the ssh client {world.CLIENT6}, who is logged in: tcp/22" in done["comment"]
    assert sshd.says(world.CLIENT6, world.OWN6, "echo in") == "in\n"
