"""MariaDB, PostgreSQL, BIND and Exim: Debian's daemons, from IPv4 only to both families."""

from __future__ import annotations

import shutil
import smtplib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import pytest

from . import daemons

ADDRESSES = {"ipv4": ["192.0.2.10"], "ipv6": ["2001:db8::10"]}
SITE = {"names": [], "addresses": ADDRESSES}


class Case(NamedTuple):
    """How a daemon is made one of IPv4 only, and how it is asked."""

    port: int
    path: str  # whose text says where it listens
    template: str  # of a line in it, or of all of it
    pattern: str  # that this line replaces; empty for a file of its own
    only: str  # the value for all addresses of IPv4
    single: str  # that for one address
    greeting: bytes  # what it says; empty if it waits for the client


CASES = {
    "mariadb": Case(
        3306,
        "/etc/mysql/mariadb.conf.d/50-server.cnf",
        "bind-address            = {}",
        r"^bind-address .*$",
        "0.0.0.0",
        "127.0.0.1,192.0.2.10",
        b"MariaDB",
    ),
    "postgresql": Case(
        5432,
        "/etc/postgresql/15/main/conf.d/local.conf",
        "listen_addresses = '{}' # here\n",
        "",
        "0.0.0.0",
        "localhost, 192.0.2.10",
        b"",
    ),
    "exim4": Case(
        25,
        "/etc/exim4/update-exim4.conf.conf",
        "dc_local_interfaces='{}'",
        r"^dc_local_interfaces=.*$",
        "0.0.0.0",
        "127.0.0.1 ; ::1 ; 192.0.2.10",
        b"220 ",
    ),
}
FOLDERS = {"mariadb": ["/etc/mysql"], "postgresql": ["/etc/postgresql"], "named": ["/etc/bind", "/etc/default/named"]}

DEBCONF = """\
dc_eximconfig_configtype='internet'
dc_other_hostnames=''
dc_local_interfaces='127.0.0.1 ; ::1'
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
CFILEMODE='644'
dc_use_split_config='true'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
"""


@pytest.fixture(scope="module")
def exim() -> Iterator[None]:
    """Exim in the place of Postfix, as its packages and debconf would put it."""
    copied = []
    for pattern in ("etc/init.d/exim4", "etc/exim4/*", "usr/sbin/*exim*", "usr/lib/exim4"):
        for each in Path("/opt").glob(f"exim4-*/{pattern}"):
            target = Path("/", *each.parts[3:])
            target.parent.mkdir(exist_ok=True)
            daemons.run("cp", "-a", str(each), str(target))
            copied.append(target)
    daemons.run("useradd", "--system", "--user-group", "--home-dir=/var/spool/exim4", "Debian-exim")
    own = [Path(each) for each in ("/var/spool/exim4", "/var/log/exim4", "/var/lib/exim4")]
    for each in own:
        each.mkdir()
        shutil.chown(each, "Debian-exim", "Debian-exim")
    Path(CASES["exim4"].path).write_text(DEBCONF)
    yield
    for target in (*copied, *own, Path("/etc/exim4")):
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
    daemons.run("userdel", "Debian-exim")


@pytest.fixture(autouse=True)
def _published() -> Iterator[None]:
    """This host has addresses that others know."""
    for address in ADDRESSES["ipv4"] + ADDRESSES["ipv6"]:
        daemons.run("ip", "address", "replace", address, "dev", "lo")
    yield
    for address in ADDRESSES["ipv4"] + ADDRESSES["ipv6"]:
        daemons.run("ip", "address", "delete", address, "dev", "lo")


@pytest.fixture
def configured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Make a daemon one that runs with a value, to be stopped and restored afterwards."""

    def prepare(name: str, value: str) -> None:
        if name == "exim4":
            request.getfixturevalue("exim")
        else:
            monkeypatch.setitem(daemons.FOLDERS, name, FOLDERS[name])
            request.addfinalizer(lambda: daemons.restore(name))
        request.addfinalizer(lambda: daemons.stop(name, CASES[name].port))
        write(name, value)
        daemons.start(name, CASES[name].port)

    return prepare


def write(name: str, value: str) -> None:
    """The daemon's configuration gets a value."""
    case = CASES[name]
    line = case.template.format(value)
    if case.pattern:
        daemons.edit(case.path, case.pattern, line)
    else:
        Path(case.path).write_text(line)


def values(name: str) -> str:
    """The line of the configuration that says where it listens."""
    key = CASES[name].template.partition("=")[0]
    return next(line for line in Path(CASES[name].path).read_text().splitlines() if line.startswith(key))


def answered(name: str, address: str) -> bool:
    """Whether the daemon answers at an address."""
    case = CASES[name]
    if not case.greeting:
        return "accepting connections" in daemons.run("pg_isready", "--timeout=5", f"--host={address}")
    with socket.create_connection((address, case.port), timeout=10) as connection:
        return case.greeting in connection.recv(1000)


def given(name: str) -> dict[str, Any]:
    """The settings in the pillar."""
    return {"ports": [CASES[name].port], "timeout": 60}


@pytest.mark.parametrize("name", CASES)
def test_one_of_ipv4_only_answers_on_both_families(name: str, configured: Any, converge: Any, modules: Any) -> None:
    port, key = CASES[name].port, f"tcp/{CASES[name].port}"
    configured(name, CASES[name].only)
    before = values(name)
    assert daemons.families(port) == ["ipv4"]

    predicted = converge(name, test=True, **given(name))
    assert predicted["result"] is None, predicted["comment"]
    assert (values(name), daemons.families(port)) == (before, ["ipv4"])

    done = converge(name, **given(name))
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    assert done["changes"]["listening"] == {"old": {key: "ipv4"}, "new": {key: "ipv4 and ipv6"}}
    assert f"-{before}".rstrip(" # here") in done["changes"][CASES[name].path].replace(" # ***", "")
    assert daemons.families(port) == ["ipv4", "ipv6"]
    assert all(answered(name, address) for address in daemons.LOOPBACK.values())
    assert all(answered(name, address) for address in (*ADDRESSES["ipv4"], *ADDRESSES["ipv6"]))

    again = converge(name, **given(name))
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]

    converged = values(name)
    write(name, CASES[name].only)
    daemons.run("service", name, "restart")
    daemons.wait_for(port)
    assert daemons.families(port) == ["ipv4"]
    assert converge(name, **given(name))["result"] is True
    assert (values(name), daemons.families(port)) == (converged, ["ipv4", "ipv6"])


@pytest.mark.parametrize("name", CASES)
def test_what_the_kernel_would_do_to_others_does_not_matter(name: str, configured: Any, modules: Any) -> None:
    """What is converged serves the same with net.ipv6.bindv6only=1."""
    configured(name, CASES[name].only)
    apply(modules, name, None)
    daemons.bindv6only(1)
    daemons.run("service", name, "restart")
    daemons.wait_for(CASES[name].port, family="ipv6")
    assert daemons.families(CASES[name].port) == ["ipv4", "ipv6"]


@pytest.mark.parametrize("name", CASES)
def test_a_published_address_comes_with_those_of_ipv6(name: str, configured: Any, modules: Any) -> None:
    configured(name, CASES[name].single)
    assert not listens("2001:db8::10", CASES[name].port)
    assert apply(modules, name, {"names": [], "addresses": {"ipv4": ["192.0.2.10"], "ipv6": []}})["missing"]
    done = apply(modules, name, SITE)
    assert (list(done["files"]), done["missing"]) == ([CASES[name].path], [])
    daemons.run("service", name, "restart")
    daemons.wait_for(CASES[name].port)
    assert all(answered(name, address) for address in (*ADDRESSES["ipv4"], *ADDRESSES["ipv6"]))
    assert apply(modules, name, SITE)["files"] == {}


@pytest.mark.parametrize("name", CASES)
def test_a_daemon_on_loopback_is_left_alone(name: str, configured: Any, converge: Any, modules: Any) -> None:
    configured(name, "127.0.0.1")
    done = converge(name, timeout=60)
    assert (done["result"], done["changes"]) == (True, {}), done["comment"]
    assert apply(modules, name, SITE)["files"] == {}
    assert daemons.families(CASES[name].port) == ["ipv4"]


def apply(modules: Any, name: str, site: dict[str, Any] | None) -> dict[str, Any]:
    """What the plug-in says of the files of this host, written."""
    service = service_host.daemon(plugins.services(modules), name)
    files = service_host.configuration(service)
    done: dict[str, Any] = modules[f"listen_{name}.dual_stack"](files, {}, 0, site)
    for path, text in done["files"].items():
        Path(path).write_text(text)
    return done


def listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=3):
            return True
    except OSError:
        return False


def test_the_checkers_find_what_is_wrong(configured: Any, converge: Any, modules: Any) -> None:
    for name, words in (("mariadb", "[mysqld]\nnonsense-option = 1\n"), ("exim4", "nonsense = 1\n")):
        path = {"mariadb": "/etc/mysql/mariadb.conf.d/99-x.cnf", "exim4": "/etc/exim4/conf.d/main/00_x"}[name]
        configured(name, CASES[name].only)
        Path(path).write_text(words)
        done = converge(name, **given(name))
        Path(path).unlink()
        assert done["result"] is False
        assert f"{name}: its present configuration is invalid: " in done["comment"]
        assert "nonsense" in done["comment"]


def test_postgresql_lets_in_1_where_it_lets_in_127_0_0_1(configured: Any, modules: Any) -> None:
    hba = Path("/etc/postgresql/15/main/pg_hba.conf")
    configured("postgresql", "*")
    hba.write_text("local all postgres peer\nhost all all 127.0.0.1/32 trust\n")
    daemons.run("service", "postgresql", "restart")
    daemons.wait_for(5432)
    query = ["psql", "--username=postgres", "--no-password", "--tuples-only", "--command=SELECT 40+2", "--host"]
    assert "42" in daemons.run(*query, "127.0.0.1")
    assert "no pg_hba.conf entry" in daemons.run(*query, "::1", check=False)
    assert list(apply(modules, "postgresql", None)["always"]) == [str(hba)]
    daemons.run("service", "postgresql", "restart")
    daemons.wait_for(5432)
    assert "42" in daemons.run(*query, "::1")
    assert "no pg_hba.conf entry" in daemons.run(*query, "2001:db8::10", check=False)
    assert hba.read_text().endswith("host all all ::1/128 trust\n")


def test_two_clusters_of_postgresql(configured: Any, converge: Any, request: pytest.FixtureRequest) -> None:
    configured("postgresql", "*")
    daemons.run("pg_createcluster", "--start-conf=auto", "--port=5433", "15", "second")
    request.addfinalizer(lambda: daemons.run("pg_dropcluster", "--stop", "15", "second"))
    second = Path("/etc/postgresql/15/second/postgresql.conf")
    daemons.edit(str(second), "^#listen_addresses = 'localhost'", "listen_addresses = '0.0.0.0'")
    daemons.run("service", "postgresql", "restart")
    daemons.wait_for(5432, 5433)
    assert (daemons.families(5432), daemons.families(5433)) == (["ipv4", "ipv6"], ["ipv4"])
    done = converge("postgresql", ports=[5432, 5433], timeout=60)
    assert done["result"] is True, done["comment"]
    assert set(done["changes"]) == {str(second), "listening"}
    assert (daemons.families(5432), daemons.families(5433)) == (["ipv4", "ipv6"], ["ipv4", "ipv6"])


def test_what_is_read_is_what_postgresql_reads(configured: Any, modules: Any) -> None:
    configured("postgresql", "192.0.2.10, localhost")
    binary = "/usr/lib/postgresql/15/bin/postgres -C listen_addresses -D /etc/postgresql/15/main"
    assert daemons.run("su", "postgres", "-c", binary).strip() == "192.0.2.10, localhost"
    service = service_host.daemon(plugins.services(modules), "postgresql")
    found = modules.listen_postgresql.listeners(service_host.configuration(service))
    assert [each["address"] for each in found] == ["192.0.2.10", "localhost"]


def test_exim_relays_for_its_own_host_over_both_families(configured: Any, modules: Any) -> None:
    """A configuration by hand, which Debian's generator leaves alone."""
    configured("exim4", "0.0.0.0")
    main = Path("/etc/exim4/exim4.conf")
    daemons.run("cp", "/var/lib/exim4/config.autogenerated", str(main))
    daemons.edit(str(main), r"^(hostlist relay_from_hosts =).*$", r"\1 127.0.0.1")
    try:
        daemons.stop("exim4", 25)
        done = apply(modules, "exim4", None)
        assert (list(done["files"]), list(done["always"])) == ([str(main)], [str(main)])
        daemons.start("exim4", 25)
        daemons.wait_for(25, family="ipv6")
        for address in daemons.LOOPBACK.values():
            with smtplib.SMTP(address, 25, timeout=10) as server:
                server.ehlo("x")
                server.mail("root@server.example.org")
                assert server.rcpt("b@example.net")[0] == 250, address
        assert apply(modules, "exim4", None)["files"] == {}
    finally:
        daemons.stop("exim4", 25)
        main.unlink()


# named opens a socket on each address of the host.
OPTIONS, DEFAULTS = Path("/etc/bind/named.conf.options"), Path("/etc/default/named")


@pytest.fixture
def named(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Make named run with these options, and these words on its command line."""
    monkeypatch.setitem(daemons.FOLDERS, "named", ["/etc/bind"])

    def restore() -> None:
        daemons.stop("named", 53)
        daemons.restore("named")
        daemons.run("cp", "-a", f"{daemons.ROOT}{DEFAULTS}", str(DEFAULTS))

    def prepare(options: str, words: str = "") -> None:
        request.addfinalizer(restore)
        OPTIONS.write_text(f'options {{\n\tdirectory "/var/cache/bind"; // here\n\t{options}\n}};\n')
        DEFAULTS.write_text(f'RESOLVCONF=no\nOPTIONS="-u bind{words}"\n')
        daemons.run("service", "named", "start")
        wait()

    return prepare


def wait() -> None:
    """Until named answers at one of its addresses."""
    assert any("status: NOERROR" in dug(each) for each in ("192.0.2.10", "127.0.0.1", "2001:db8::10") for _ in range(5))


def dug(address: str, *more: str) -> str:
    """What named says to a question for `localhost`."""
    return daemons.run("dig", "+time=1", "+tries=1", *more, f"@{address}", "localhost", check=False)


def restarted(done: dict[str, Any]) -> dict[str, Any]:
    assert daemons.run("named-checkconf") == ""
    daemons.run("service", "named", "restart")
    wait()
    return done


@pytest.mark.parametrize(
    ("options", "words", "path"),
    [
        ("listen-on-v6 { none; };", "", OPTIONS),
        ("listen-on { any; }; listen-on-v6 { };", "", OPTIONS),
        ("listen-on-v6 { any; };", " -4", DEFAULTS),
        ("listen-on { 127.0.0.1; 192.0.2.10; };\n\tlisten-on-v6 { /* no */ ::1; };", "", OPTIONS),
    ],
)
def test_named_of_ipv4_only_answers_on_both_families(
    options: str, words: str, path: Path, named: Any, modules: Any
) -> None:
    named(options, words)
    assert "connection refused" in dug("2001:db8::10") + dug("2001:db8::10", "+tcp")
    assert list(restarted(apply(modules, "named", SITE))["files"]) == [str(path)]
    for address in ADDRESSES["ipv4"] + ADDRESSES["ipv6"]:
        assert "status: NOERROR" in dug(address), address
        assert "status: NOERROR" in dug(address, "+tcp"), address
    assert apply(modules, "named", SITE)["files"] == {}


def test_named_converges_as_the_state_has_it(named: Any, converge: Any) -> None:
    named("listen-on-v6 { none; };")
    given: dict[str, Any] = {"ports": [53], "address": ADDRESSES["ipv6"][0], "timeout": 60}
    predicted = converge("named", test=True, **given)
    assert predicted["result"] is None, predicted["comment"]
    done = converge("named", **given)
    assert (done["result"], done["changes"]) == (True, predicted["changes"]), done["comment"]
    assert done["changes"]["listening"] == {"old": {"tcp/53": "ipv4"}, "new": {"tcp/53": "ipv4 and ipv6"}}
    assert "status: NOERROR" in dug(ADDRESSES["ipv6"][0], "+tcp")
    again = converge("named", **given)
    assert (again["result"], again["changes"]) == (True, {}), again["comment"]


def test_named_answers_1_where_it_answers_127_0_0_1(named: Any, modules: Any) -> None:
    named("allow-query { 127.0.0.1; };")
    assert "status: REFUSED" in dug("::1")
    assert list(restarted(apply(modules, "named", None))["always"]) == [str(OPTIONS)]
    assert "status: NOERROR" in dug("::1")
    assert "status: REFUSED" in dug("2001:db8::10", "-b", "2001:db8::10")


def test_named_on_loopback_is_left_alone(named: Any, modules: Any) -> None:
    named("listen-on { 127.0.0.1; };\n\tlisten-on-v6 { none; };", " -4")
    assert apply(modules, "named", SITE)["files"] == {}


def test_a_port_of_its_own_is_served_by_both(named: Any, modules: Any) -> None:
    named("listen-on { any; };\n\tlisten-on port 5353 { any; };")
    assert "connection refused" in dug("::1", "-p", "5353")
    assert list(restarted(apply(modules, "named", None))["files"]) == [str(OPTIONS)]
    assert all("status: NOERROR" in dug("::1", "-p", port) for port in ("53", "5353"))


def test_what_is_read_is_what_named_opens(named: Any, modules: Any) -> None:
    """A wildcard of the plug-in is each address of this host."""
    named("listen-on port 5353 { !192.0.2.10; any; };\n\tlisten-on-v6 { 2001:db8::10; };")
    service = service_host.daemon(plugins.services(modules), "named")
    read = modules.listen_named.listeners(service_host.configuration(service))
    assert {(each["address"], each["port"]) for each in read if each["transport"] == "tcp"} == {
        *(("0.0.0.0", 5353), ("2001:db8::10", 53))
    }
    live = [each for each in modules.service_listen.sockets()["sockets"] if each["service"] == "named"]
    assert {(each["address"], each["port"]) for each in live if each["port"] in (53, 5353)} == {
        *(("127.0.0.1", 5353), ("2001:db8::10", 53))
    }
