"""A host at a glance: real daemons, real rules of both families, a real name server."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_pillar as pillar_room
import _dualstack_plugins as plugins
import _dualstack_report as report
import _dualstack_report_problems as report_problems
import _dualstack_report_table as report_table
import pytest
from salt.exceptions import SaltInvocationError

from . import daemons

FOUR, SIX = "46.105.5.1", "2001:470:1f13:f87::77"
REPOSITORY = Path(__file__).resolve().parents[2]
SALT_CALL = [sys.executable, "-W", "ignore", str(Path(sys.executable).with_name("salt-call"))]
COMMANDS = {"ipv4": "iptables", "ipv6": "ip6tables"}
RESOLV, HOSTS = Path("/etc/resolv.conf"), Path("/etc/hosts")
ZONE = f"""$TTL 60
@ IN SOA ns.example.org. root.example.org. 1 60 60 60 60
@ IN NS ns.example.org.
ns IN A {FOUR}
both IN A {FOUR}
both IN AAAA {SIX}
both IN AAAA 2001:db8::1
four IN A {FOUR}
alias IN CNAME both
moved IN A {FOUR}
moved IN AAAA 2001:db8::1
"""


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    """The host has an address of each family on an interface, its default routes, and a firewall that shuts nothing."""
    daemons.run(*"ip link add eth0 type veth peer name beyond".split())
    for line in (
        "link set eth0 up",
        "link set beyond up",
        f"addr add {FOUR}/24 dev eth0",
        "route add default via 46.105.5.2",
        f"-6 addr add {SIX}/64 dev eth0 nodad",
        "-6 route add default via fe80::1 dev eth0",
    ):
        daemons.run("ip", *line.split())
    yield
    daemons.run(*"ip link del eth0".split())


@pytest.fixture
def shut(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Let nothing in over a family, but to these ports of TCP."""

    def load(family: str, *ports: int) -> None:
        command = COMMANDS[family]
        request.addfinalizer(lambda: daemons.run(command, "-F", "INPUT"))
        request.addfinalizer(lambda: daemons.run(command, "-P", "INPUT", "ACCEPT"))
        daemons.run(command, "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")
        for port in ports:
            daemons.run(command, "-A", "INPUT", "-p", "tcp", "--dport", str(port), "-j", "ACCEPT")
        daemons.run(command, "-P", "INPUT", "DROP")

    return load


@pytest.fixture
def name_server() -> Iterator[None]:
    """The DNS knows example.org, and this host asks it."""
    local = Path("/etc/bind/named.conf.local")
    before = local.read_text()
    Path("/etc/bind/db.example").write_text(ZONE)
    local.write_text('zone "example.org" { type master; file "/etc/bind/db.example"; };\n')
    RESOLV.write_text("nameserver 127.0.0.1\n")
    daemons.start("named", 53)
    yield
    daemons.stop("named", 53)
    local.write_text(before)
    RESOLV.write_text("")


@pytest.fixture
def salt_call(tmp_path: Path) -> Callable[..., str]:
    """What ``salt-call --local`` prints, with this pillar."""

    def run(*words: str, pillar: dict[str, Any] | None = None, prefix: list[str] | None = None) -> str:
        folder = tmp_path / "pillar"
        folder.mkdir(exist_ok=True)
        (folder / "top.sls").write_text(json.dumps({"base": {"*": ["ipv6"]}}))
        (folder / "ipv6.sls").write_text(json.dumps({"ipv6": pillar or {}}))
        settings = {
            "file_client": "local",
            "root_dir": str(tmp_path),
            "module_dirs": [str(REPOSITORY)],
            "pillar_roots": {"base": [str(folder)]},
            "id": "server",
        }
        (tmp_path / "minion").write_text(json.dumps(settings))
        command = [*(prefix or []), *SALT_CALL, "-c", str(tmp_path), "--local", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def cells(found: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The results for each service and port, in each family: listening, allowed, answering."""
    keys = ("listening", "allowed", "answering")

    def three(row: dict[str, Any], family: str) -> list[Any]:
        return [row[family].get(key, "-") for key in keys]

    return {
        f"{row['service']} {row['transport']}/{row['port']}": (three(row, "ipv4"), three(row, "ipv6"))
        for row in found["services"]
        if (row["port"] or 0) < 32768
    }


def matrix(
    modules: Any, services: Any = None, tunnel: Any = None, names: Any = None, servers: Any = None
) -> dict[str, Any]:
    """The services and names of this host, and what is wrong with them."""
    known = pillar_room.Known(plugins.stacks(modules), plugins.services(modules), plugins.providers(modules))
    found = report.matrix(services or {}, tunnel or {}, names or [], servers or [], known)
    found.update({key: [] for key in ("proof", "ptr", "mail", "tunnels")})
    found["problems"] = report_problems.problems(found)
    return {**found, "summary": report_problems.summary(found, found["problems"])}


def texts(found: dict[str, Any]) -> list[str]:
    return [each["text"] for each in found["problems"]]


GOOD = [True, True, True]


def test_what_is_the_same_in_both_families(modules: Any) -> None:
    daemons.start("dovecot", 143)
    try:
        found = matrix(modules, {"dovecot": {"ports": [143]}}, {}, [])
    finally:
        daemons.stop("dovecot", 143)
    assert cells(found) == {f"dovecot tcp/{port}": (GOOD, GOOD) for port in (110, 143, 993, 995)}
    assert found["ipv4"] == {"addresses": [FOUR], "address": FOUR, "interface": "eth0"}
    assert found["ipv6"] == {"addresses": [SIX], "address": SIX, "interface": "eth0"}
    assert [row["declared"] for row in found["services"][:4]] == [False, True, False, False]
    assert found["problems"] == []
    # The tests' own process listens as well, on a port of clients and over IPv4 only.
    assert found["summary"] == "all 2 services are as expected in both families"


def test_what_differs_is_reported(ipv4_only: Any, modules: Any, shut: Any) -> None:
    """Dovecot misses IPv6, and the firewall of IPv6 lets in what that of IPv4 does not, and the other way round."""
    ipv4_only("dovecot")
    daemons.start("apache2", 80)
    daemons.start("ssh", 22)
    shut("ipv4", 22, 143)
    shut("ipv6", 80, 143)
    try:
        found = matrix(modules, {"dovecot": {"ports": [143]}, "vsftpd": {}}, {}, [])
    finally:
        daemons.stop("apache2", 80)
        daemons.stop("ssh", 22)
    shut_there = [True, False, True]
    assert cells(found) == {
        "apache2 tcp/80": (shut_there, GOOD),
        **{f"dovecot tcp/{port}": (shut_there, [False, False, "-"]) for port in (110, 993, 995)},
        "dovecot tcp/143": (GOOD, [False, True, "-"]),
        "ssh tcp/22": (GOOD, shut_there),
        "vsftpd /None": ([False, "-", "-"], [False, "-", "-"]),
    }
    assert texts(found) == [
        "apache2 (80) is open over IPv6 and closed over IPv4",
        "dovecot (110, 143, 993, 995) does not listen over IPv6",
        "ssh (22) is open over IPv4 and closed over IPv6",
        "vsftpd does not listen",
    ]
    assert found["summary"] == "4 things to look at: apache2, dovecot, ssh, vsftpd"


def test_a_service_that_does_not_answer_in_its_own_words(modules: Any) -> None:
    daemons.start("dovecot", 143)
    try:
        found = matrix(modules, {"dovecot": {"ports": [143], "protocols": {143: "smtp"}}}, {}, [])
    finally:
        daemons.stop("dovecot", 143)
    assert cells(found)["dovecot tcp/143"] == ([True, True, False], [True, True, False])
    words = "answered, but not in this protocol"
    assert texts(found) == [
        f"dovecot (143) does not answer over IPv4: {words} on {FOUR}",
        f"dovecot (143) does not answer over IPv6: {words} on {SIX}",
    ]


def test_a_service_on_the_addresses_of_others_is_there_and_one_on_loopback_is_not(modules: Any, shut: Any) -> None:
    """named binds each address by itself; a rule may be for one address."""
    daemons.run("ip", "-6", "addr", "add", "2001:470:1f12:f87::2/64", *"dev eth0 nodad preferred_lft 0".split())
    shut("ipv6")
    daemons.run(*"ip6tables -A INPUT -d 2001:470:1f12:f87::2 -p tcp -j ACCEPT".split())
    script = (
        "import socket, time; s = socket.create_server(('2001:470:1f12:f87::2', 8300), family=socket.AF_INET6);"
        "t = socket.create_server(('127.0.0.1', 8301)); time.sleep(1000)"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    daemons.start("named", 53)
    try:
        daemons.wait_for(8301)
        found = matrix(modules, {}, {}, [])
    finally:
        process.kill()
        process.wait()
        daemons.stop("named", 53)
    assert cells(found) == {
        "named tcp/53": (GOOD, [True, False, True]),
        "named udp/53": ([True, True, True], [True, False, True]),
        f"{Path(sys.executable).name} tcp/8300": ([False, True, "-"], GOOD),
    }


def test_who_is_published(modules: Any, name_server: None) -> None:
    """Only the name server's answer counts, not /etc/hosts; other addresses besides this host's do no harm."""
    hosts = HOSTS.read_text()
    HOSTS.write_text(f"{hosts}{SIX} four.example.org\n")
    names = [f"{name}.example.org" for name in ("both", "four", "alias", "moved", "nowhere")]
    try:
        found = matrix(modules, {}, {}, names)
    finally:
        HOSTS.write_text(hosts)
    published = {
        row["name"].partition(".")[0]: [row[family].get("published", "-") for family in ("ipv4", "ipv6")]
        for row in found["published"]
    }
    assert published == {
        "both": [True, True],
        "four": [True, False],
        "alias": [True, True],
        "moved": [True, False],
        "nowhere": [False, False],
    }
    assert texts(found) == [
        "four.example.org has no AAAA",
        "moved.example.org points elsewhere by AAAA 2001:db8::1",
        "nowhere.example.org has no A and no AAAA",
    ]


def test_the_servers_of_the_pillar_are_asked_where_it_has_any(modules: Any, name_server: None) -> None:
    RESOLV.write_text("")
    found = matrix(modules, {}, {}, ["both.example.org"], ["127.0.0.1#53"])
    assert [found["published"][0][family]["published"] for family in ("ipv4", "ipv6")] == [True, True]
    with pytest.raises(SaltInvocationError, match="ipv6:dns:servers: 'ns1' is not the address of a name server"):
        matrix(modules, {}, {}, ["both.example.org"], ["ns1"])


def test_a_name_server_that_is_not_there(modules: Any) -> None:
    RESOLV.write_text("nameserver 192.0.2.1\n")
    try:
        found = matrix(modules, {}, {}, ["www.example.org", "bad..name"])
    finally:
        RESOLV.write_text("")
    assert [row["ipv4"]["published"] for row in found["published"]] == [None, None]
    notes = [each["text"] for each in found["notes"] if ".name" in each["text"] or "www" in each["text"]]
    assert notes[0] == "www.example.org: no name server answered within 5 s"
    assert notes[1].startswith("bad..name: not looked up: ")
    assert found["problems"] == []


def test_a_host_behind_nat_does_not_know_its_address(modules: Any, name_server: None) -> None:
    daemons.run("ip", "addr", "del", f"{FOUR}/24", "dev", "eth0")
    daemons.run("ip", "addr", "add", "10.0.0.2/24", "dev", "eth0")
    found = matrix(modules, {}, {}, ["both.example.org"])
    assert found["published"][0]["ipv4"] == {"published": None, "records": [FOUR]}
    assert found["published"][0]["ipv6"]["published"] is True
    assert "does not know its public IPv4 address" in found["notes"][-1]["text"]


def test_a_host_without_ipv6_yet(modules: Any, shut: Any, name_server: None) -> None:
    """What will be open as soon as the tunnel is up is reported before."""
    daemons.run("ip", "-6", "addr", "flush", "dev", "eth0")
    daemons.run("ip", "-6", "route", "flush", "default")
    shut("ipv4", 143)
    shut("ipv6")
    daemons.run(*"ip6tables -A INPUT -i he-ipv6 -p tcp -j ACCEPT".split())
    tunnel = {"endpoint": "216.66.84.42", "address": "2001:470:1f12:f87::2/64", "gateway": "2001:470:1f12:f87::1"}
    daemons.start("dovecot", 143)
    try:
        found = matrix(modules, {}, tunnel, ["four.example.org", "both.example.org"])
    finally:
        daemons.stop("dovecot", 143)
    assert found["ipv6"] == {"addresses": [], "address": None, "interface": "he-ipv6"}
    assert cells(found)["dovecot tcp/143"] == (GOOD, [True, True, "-"])
    assert cells(found)["dovecot tcp/110"] == ([True, False, True], [True, True, "-"])
    assert texts(found) == [
        "this host has no public IPv6 address",
        "dovecot (110, 993, 995) is open over IPv6 and closed over IPv4",
        "both.example.org points elsewhere by AAAA 2001:470:1f13:f87::77, 2001:db8::1",
    ]


def test_a_host_with_nothing_on_it(modules: Any, loaders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loaders.modules.pack, "__pillar__", {})  # what other tests have left there is not this host's
    daemons.run(*"ip link set eth0 down".split())
    daemons.run(*"ip addr flush dev eth0".split())
    found = matrix(modules)
    assert cells(found) == {}
    assert texts(found) == ["this host has no public IPv4 and no IPv6 address"]
    assert modules.ipv6.report().endswith("\nthis host has no public IPv4 and no IPv6 address")


def test_where_namespaces_are_not_permitted(salt_call: Any) -> None:
    daemons.start("dovecot", 143)
    try:
        said = salt_call("--out=json", "ipv6.report", "as_data=True", prefix=dropped("sys_admin"))
    finally:
        daemons.stop("dovecot", 143)
    found = json.loads(said)["local"]
    assert cells(found)["dovecot tcp/143"] == ([True, None, True], [True, None, True])
    assert "network namespaces are not permitted here" in found["notes"][0]["text"]
    assert found["summary"].startswith("nothing wrong was found; not known: beyond, allowed (")


def test_users_other_than_root_learn_what_they_may_see(salt_call: Any) -> None:
    """Not the sockets' owners: the pillar's protocol of a port is trusted, and probed."""
    daemons.start("dovecot", 143)
    pillar = {"services": {"dovecot": {"ports": [143]}}}
    try:
        said = salt_call("--out=json", "ipv6.report", "as_data=True", pillar=pillar, prefix=dropped("all"))
        portless = salt_call(
            *("--out=json", "ipv6.report", "as_data=True"),
            pillar={"services": {"dovecot": {}, "vsftpd": {}}},
            prefix=dropped("all"),
        )
    finally:
        daemons.stop("dovecot", 143)
    found = json.loads(said)["local"]
    assert cells(found) == {
        "dovecot tcp/143": ([True, None, True], [True, None, True]),
        **{f"unknown tcp/{port}": ([True, None, True], [True, None, True]) for port in (110, 993, 995)},
    }
    assert texts(json.loads(portless)["local"]) == ["vsftpd does not listen"]


def test_who_may_not_send_pings_does_not_take_silence_for_an_answer(salt_call: Any, shadows: Path) -> None:
    """And whoever may, does. All of the report's threads are Salt's, or its plug-ins would not be found there."""
    pillar = {"dns": {"address": SIX}, "verify": {"beyond": ["2001:db8:c::2"]}, "services": {"dovecot": {}}}

    def proof(*prefix: str) -> dict[str, Any]:
        said = salt_call("--out=json", "ipv6.report", "as_data=True", pillar=pillar, prefix=list(prefix))
        found = {each["rung"]: each for each in json.loads(said)["local"]["proof"]}
        assert found["published address"]["outcome"] == found["route"]["outcome"] == "held"
        assert not [each["text"] for each in found.values() if "this is a bug" in each["text"]]
        return found

    assert proof()["beyond"]["outcome"] == "failed"
    beyond = proof(*dropped("all"))["beyond"]
    assert (beyond["outcome"], beyond["text"]) == (
        "not tried",
        "'/usr/bin/ping' cannot be run: Operation not permitted",
    )
    shutil.copy("/usr/bin/ping", shadows / "ping")  # without its capabilities
    beyond = proof(*dropped("all"))["beyond"]
    assert beyond["outcome"] == "not tried"
    assert beyond["text"].startswith("no ping can be sent here (ping: ")


def dropped(capability: str) -> list[str]:
    return ["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}"]


def test_the_terminal_shows_the_table_as_it_is(ipv4_only: Any, salt_call: Any, modules: Any) -> None:
    ipv4_only("dovecot")
    pillar = {"services": {"dovecot": {"ports": [143]}}}
    shown = salt_call("ipv6.report", pillar=pillar)
    assert salt_call("--out=json", "ipv6.report", pillar=pillar) != shown
    data = json.loads(salt_call("--out=json", "ipv6.report", "as_data=True", pillar=pillar))["local"]
    lines = report_table.table(data).split("\n")
    assert shown == "local:\n" + "".join(f"    {line}\n" for line in lines)
    assert max(map(len, shown.split("\n"))) <= 100
    assert "! dovecot 110 yes NO yes yes yes -".split() in [line.split() for line in lines]
    wrong = "dovecot (110, 143, 993, 995) does not listen over IPv6"
    assert lines[-1] == data["summary"] == f"{wrong}; not known: beyond"


def test_a_wrong_pillar_is_named(modules: Any) -> None:
    with pytest.raises(SaltInvocationError, match="ipv6:services:qmail: not a service that is known"):
        matrix(modules, {"qmail": {}})
    with pytest.raises(SaltInvocationError, match="ipv6:dns:names: expected a list of names, found 'www.example.org'"):
        matrix(modules, {}, {}, "www.example.org")


def test_a_pillar_that_is_no_mapping_is_named(salt_call: Any) -> None:
    for pillar in ("nonsense", {"dns": ["www.example.org"]}):
        with pytest.raises(AssertionError, match="Passed invalid arguments: ipv6(:dns.0.)?: ?expected"):
            salt_call("ipv6.report", pillar=pillar)


def test_iptables_of_both_backends(modules: Any, request: pytest.FixtureRequest) -> None:
    """What iptables(8) does not show is tried as well: a packet has to pass the rules of both."""
    request.addfinalizer(lambda: daemons.run("iptables-legacy", "-P", "INPUT", "ACCEPT"))
    daemons.run("iptables-legacy", "-P", "INPUT", "DROP")
    daemons.run(*"iptables-legacy -I INPUT -i lo -j ACCEPT".split())
    request.addfinalizer(lambda: daemons.run("iptables-legacy", "-F", "INPUT"))
    daemons.start("dovecot", 143)
    try:
        found = matrix(modules, {}, {}, [])
    finally:
        daemons.stop("dovecot", 143)
    assert cells(found)["dovecot tcp/143"] == ([True, False, True], [True, True, True])
    assert "iptables-legacy also filters here" in found["notes"][0]["text"]


def test_iptables_is_not_there(modules: Any, request: pytest.FixtureRequest) -> None:
    for name in ("iptables", "iptables-nft", "iptables-legacy"):
        path = Path(shutil.which(name) or "")
        request.addfinalizer(functools.partial(path.with_suffix(".away").rename, path))
        path.rename(path.with_suffix(".away"))
    daemons.start("dovecot", 143)
    try:
        found = matrix(modules, {}, {}, [])
    finally:
        daemons.stop("dovecot", 143)
    assert cells(found)["dovecot tcp/143"] == ([True, None, True], [True, None, True])
    assert found["notes"][0]["text"].endswith("was not tested: iptables is not installed on this host")
