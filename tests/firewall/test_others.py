"""The ruleset among others: Docker, fail2ban and libvirt, other commands, a failing one, files, sets, containers."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import REPOSITORY
from . import netfilter

Converge = Callable[..., dict[str, Any]]

SAVED = {"ipv4": Path("/etc/iptables/rules.v4"), "ipv6": Path("/etc/iptables/rules.v6")}


def host(*rules: str) -> dict[str, Any]:
    """A host's ruleset that declares the tables that others write to, too."""
    return {
        "filter": {
            "INPUT": {"policy": "DROP", "rules": [*rules, "-i lo -j ACCEPT", "-p tcp --dport 22 -j ACCEPT"]},
            "FORWARD": ["-i eth1 -o eth2 -j ACCEPT", *rules],
            "OUTPUT": {"policy": "ACCEPT"},
        },
        "nat": {
            "PREROUTING": ["-p tcp --dport 8080 -j REDIRECT --to-ports 80"],
            "POSTROUTING": ["-o eth2 -j MASQUERADE"],
        },
    }


def live(backend: str, counters: bool = False) -> dict[str, str]:
    return {family: netfilter.save(family, backend, counters) for family in SAVED}


def tables(backend: str) -> dict[str, Any]:
    """What lives, by family and table."""
    return {family: netfilter.tables(text) for family, text in live(backend).items()}


def counted(backend: str) -> dict[str, list[str]]:
    """What lives, with counters: of rules, since those of a policy begin anew when it is set."""
    return {
        family: [re.sub(r"^(:.*) .*", r"\1", line) for line in text.split("\n")]
        for family, text in live(backend, counters=True).items()
    }


# --------------------------------------------------------------------------------------------------------------
# Docker, fail2ban, libvirt

BRIDGE = "br-1a2b3c4d5e6f"  # of a network that somebody made with docker network create
DOCKER_USER = "-A FORWARD -j DOCKER-USER"
ISOLATION = f"""\
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -i {BRIDGE} ! -o {BRIDGE} -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -o {BRIDGE} -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
"""
NAT = f"""\
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d LOOPBACK -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s NETWORK ! -o docker0 -j MASQUERADE
-A POSTROUTING -s NETWORK ! -o {BRIDGE} -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8000 -j DNAT --to-destination :80
COMMIT
"""
DOCKER = {
    "20 to 27": f"""\
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
{DOCKER_USER}
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A FORWARD -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o {BRIDGE} -j DOCKER
-A FORWARD -i {BRIDGE} ! -o {BRIDGE} -j ACCEPT
-A FORWARD -i {BRIDGE} -o {BRIDGE} -j ACCEPT
-A DOCKER -d CONTAINER ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
{ISOLATION}COMMIT
{NAT}""",
    "28": f"""\
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
{DOCKER_USER}
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d CONTAINER ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-BRIDGE -o {BRIDGE} -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-CT -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-FORWARD -i {BRIDGE} -j ACCEPT
{ISOLATION}COMMIT
*raw
-A PREROUTING -d CONTAINER ! -i docker0 -j DROP
COMMIT
{NAT}""",
}
FAIL2BAN = """\
*filter
:f2b-sshd - [0:0]
-I INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A f2b-sshd -s BANNED -j REJECT
-A f2b-sshd -j RETURN
COMMIT
"""
LIBVIRT = """\
*filter
:LIBVIRT_INP - [0:0]
:LIBVIRT_OUT - [0:0]
:LIBVIRT_FWI - [0:0]
:LIBVIRT_FWO - [0:0]
:LIBVIRT_FWX - [0:0]
-I INPUT -j LIBVIRT_INP
-I OUTPUT -j LIBVIRT_OUT
-I FORWARD -j LIBVIRT_FWX
-I FORWARD -j LIBVIRT_FWI
-I FORWARD -j LIBVIRT_FWO
-A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 53 -j ACCEPT
-A LIBVIRT_OUT -o virbr0 -p udp -m udp --dport 68 -j ACCEPT
-A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
-A LIBVIRT_FWI -o virbr0 -j REJECT
-A LIBVIRT_FWO -i virbr0 -j REJECT
COMMIT
*nat
:LIBVIRT_PRT - [0:0]
-I POSTROUTING -j LIBVIRT_PRT
-A LIBVIRT_PRT -s NETWORK ! -d NETWORK -j MASQUERADE
COMMIT
*mangle
:LIBVIRT_PRT - [0:0]
-I POSTROUTING -j LIBVIRT_PRT
-A LIBVIRT_PRT -o virbr0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
COMMIT
"""
WORDS = {
    "ipv4": {"NETWORK": "172.17.0.0/16", "CONTAINER": "172.17.0.2", "BANNED": "192.0.2.66", "LOOPBACK": "127.0.0.0/8"},
    "ipv6": {"NETWORK": "fd00:d::/64", "CONTAINER": "fd00:d::2", "BANNED": "2001:db8::66", "LOOPBACK": "::1"},
}
THEIRS = re.compile(f"DOCKER|docker0|{BRIDGE}|f2b-|LIBVIRT_|virbr0")


def start_others(backend: str, version: str) -> None:
    """They all write their rules, in both families; and their rules have counted something."""
    for family, words in WORDS.items():
        for text in (DOCKER[version], FAIL2BAN, LIBVIRT):
            for word, address in words.items():
                text = text.replace(word, address)
            netfilter.load(family, backend, text)
        counted = iter(range(1000, 9000))
        saved = re.sub(r"^\[0:0\]", lambda _: f"[{next(counted)}:7]", live(backend, True)[family], flags=re.MULTILINE)
        netfilter.run(f"{netfilter.COMMANDS[family]}-{backend}-restore", "--counters", text=f"{saved}\n")


def theirs(backend: str) -> dict[str, list[str]]:
    """What they have written, by family, byte for byte, with counters."""
    return {
        family: [line for line in text.split("\n") if THEIRS.search(line) or line.startswith("*")]
        for family, text in live(backend, counters=True).items()
    }


@pytest.mark.parametrize("version", DOCKER)
def test_others_are_left_alone(converge: Converge, backend: str, version: str) -> None:
    start_others(backend, version)
    before = theirs(backend)
    assert len(before["ipv4"]) == len(before["ipv6"]) > 50
    for tables in (host(), host("-p tcp --dport 443 -j ACCEPT"), host("-p udp -j DROP", "-p sctp -j DROP")):
        done = converge(tables)
        assert done["result"] is True, done["comment"]
        assert netfilter.difference(theirs(backend), before) == ""
        assert converge(tables)["changes"] == {}
    for family, path in SAVED.items():
        jump = "-p tcp -m multiport --dports 22 -j f2b-sshd"
        rules = netfilter.rules(family, backend, "INPUT")
        assert rules.index(jump) < rules.index("-p tcp -m tcp --dport 22 -j ACCEPT")
        assert ":FORWARD DROP" in netfilter.save(family, backend)  # as Docker has set it
        assert not THEIRS.search(path.read_text())


def test_a_rule_of_docker_that_names_nothing_of_docker(converge: Converge, backend: str) -> None:
    """A container that connects to its own published port: up to Docker 27 a rule of each such port."""
    hairpin = "-s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE"
    start_others(backend, "20 to 27")
    netfilter.load("ipv4", backend, f"*nat\n-A POSTROUTING {hairpin}\nCOMMIT\n")
    assert converge(host())["result"] is True
    assert hairpin in netfilter.rules("ipv4", backend, "POSTROUTING", "nat")


def test_a_ban_of_a_moment_ago_survives(converge: Converge, backend: str) -> None:
    start_others(backend, "28")
    plan = converge(host(), test=True)
    ban = "-s 192.0.2.99/32 -j REJECT --reject-with icmp-port-unreachable"
    netfilter.load("ipv4", backend, f"*filter\n-I f2b-sshd {ban}\nCOMMIT\n")
    done = converge(host())
    assert done["changes"] == plan["changes"]
    assert netfilter.rules("ipv4", backend, "f2b-sshd")[0] == ban


def test_without_preserve_all_belongs_to_the_ruleset(converge: Converge, backend: str) -> None:
    start_others(backend, "28")
    done = converge(host(), preserve_only=[])
    assert done["result"] is True, done["comment"]
    for family in SAVED:
        assert not THEIRS.search("".join(netfilter.tables(netfilter.save(family, backend))["filter"]))
    assert converge(host(), preserve_only=[])["changes"] == {}


# --------------------------------------------------------------------------------------------------------------
# Others who are at it at the same time, or in the way


def test_a_lock_that_somebody_holds(converge: Converge, backend: str) -> None:
    words = ["flock", "/run/xtables.lock", "sh", "-c", "echo locked; exec sleep 9"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "locked\n"
        done = converge(host())
        waited = holder.poll() is not None
    assert done["result"] is True, done["comment"]
    assert waited == (backend == "legacy")  # iptables-nft has no lock


def test_rules_in_the_other_backend_are_reported(converge: Converge, backend: str) -> None:
    other = {"nft": "legacy", "legacy": "nft"}[backend]
    netfilter.load("ipv6", other, "*filter\n-A INPUT -p tcp -j DROP\nCOMMIT\n")
    for test in (True, False, False):
        comment = converge(host(), test=test)["comment"]
        assert f"ip6tables-{other} also filters here: its table filter has 1 rules" in comment
        assert f"iptables-{other} also filters here" not in comment.replace("ip6tables", "")
    assert netfilter.rules("ipv6", other, "INPUT") == ["-p tcp -j DROP"]


FAILING = """\
#!/bin/sh
[ "$(readlink /proc/self/ns/net)" = '{namespace}' ] || exec {program} "$@"
echo 'the kernel has a bad day' >&2
exit 4
"""


@pytest.mark.parametrize("failing", netfilter.COMMANDS.values())
def test_a_family_that_fails_takes_the_other_back(
    converge: Converge, backend: str, failing: str, shadows: Path
) -> None:
    passing = "-i lo -p udp --dport 9 -j ACCEPT"
    assert converge(host(passing))["result"] is True
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            for _ in range(7):
                sender.sendto(b"x", (address, 9))
    before = counted(backend)
    assert all(any(line.startswith("[7:") for line in lines) for lines in before.values())
    files = [path.read_bytes() for path in SAVED.values()]
    program = shadows / f"{failing}-{backend}-restore"
    real = f"/usr/sbin/{program.name}"
    program.write_text(FAILING.format(namespace=os.readlink("/proc/self/ns/net"), program=real))
    program.chmod(0o755)
    done = converge(host(passing, "-p tcp --dport 80 -j ACCEPT"))
    assert (done["result"], done["changes"]) == (False, {})
    assert "the kernel has a bad day" in done["comment"]
    assert "Everything was put back as it was." in done["comment"]
    assert netfilter.difference(counted(backend), before) == ""
    assert [path.read_bytes() for path in SAVED.values()] == files


# --------------------------------------------------------------------------------------------------------------
# A container that may not create namespaces


@pytest.fixture
def contained(backend: str, tmp_path: Path) -> Converge:
    """``converge`` for a Salt that lacks CAP_SYS_ADMIN, in a process of its own."""
    settings = {"file_client": "local", "root_dir": str(tmp_path), "module_dirs": [str(REPOSITORY)], "id": "contained"}
    (tmp_path / "minion").write_text(json.dumps(settings))

    def run(tables: dict[str, Any], test: bool = False, state: str = "ruleset", **arguments: Any) -> dict[str, Any]:
        arguments = {"name": "firewall", "tables": tables, "backend": backend, "test": test, **arguments}
        words = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", sys.executable, "-W", "ignore"]
        words += [str(Path(sys.executable).with_name("salt-call")), "-c", str(tmp_path), "--local", "--out=json"]
        words += ["state.single", f"dualstack_iptables.{state}"]
        words += [f"{key}={json.dumps(value)}" for key, value in arguments.items()]
        said = subprocess.run(words, capture_output=True, text=True, check=False)
        (done,) = json.loads(said.stdout)["local"].values()
        result: dict[str, Any] = done
        return result

    return run


def test_a_container_that_may_not_create_namespaces(converge: Converge, contained: Converge, backend: str) -> None:
    tables = host("-p tcp --dport smtp -m comment --comment 'two words, \"quoted\"' -j own", "-p icmp -j ACCEPT")
    tables["filter"]["own"] = ["-s 192.0.2.1,192.0.2.2 -j RETURN", "-m limit -j LOG"]
    assert converge(tables)["result"] is True
    normal = {family: netfilter.tables(text) for family, text in live(backend).items()}
    netfilter.reset()
    for path in SAVED.values():
        path.unlink()
    start_others(backend, "28")
    before = live(backend)
    predicted = contained(tables, test=True)
    assert predicted["result"] is None, predicted["comment"]
    assert "unshare" in predicted["comment"] and "unreferenced chains" in predicted["comment"]
    assert live(backend) == before
    done = contained(tables)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    for family in SAVED:
        lines = netfilter.tables(netfilter.save(family, backend))
        for table, wanted in normal[family].items():
            assert [line for line in lines[table] if not THEIRS.search(line) and ":FORWARD" not in line] == wanted
    again = contained(tables)
    assert (again["result"], again["changes"]) == (True, {})


def test_what_a_container_cannot_try_is_not_proven(contained: Converge) -> None:
    tables = host("-p tcp --dport 22 -j ACCEPT")
    assert contained(tables)["result"] is True
    found = contained(tables, state="proven", expect=[{"to": "tcp/22", "verdict": "accept"}])
    assert (found["outcome"], found["changes"]) == ("not tried", {}), found
    assert "their expectations were not tested" in found["comment"]


@pytest.mark.parametrize("rule", ["-j REJECT --reject-with tcp-reset -p udp", "-j MASQUERADE", "-j NOWHERE", "-j one"])
def test_a_container_where_the_kernel_refuses(contained: Converge, backend: str, rule: str) -> None:
    netfilter.load("ipv4", backend, "*filter\n-A INPUT -j ACCEPT\nCOMMIT\n")
    before = live(backend)
    done = contained(
        {"filter": {"INPUT": ["-p tcp -j ACCEPT", rule, "-j one"], "one": ["-j one"] * (rule == "-j one")}}
    )
    assert (done["result"], done["changes"]) == (False, {}), done["comment"]
    assert {family: netfilter.tables(text) for family, text in live(backend).items()} == {
        family: netfilter.tables(text) for family, text in before.items()
    }


# --------------------------------------------------------------------------------------------------------------
# Sets, files, the next boot


@pytest.fixture
def booted(backend: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """What Debian's netfilter-persistent makes of the files in a kernel without any rules."""

    def choose(choice: str) -> None:
        for command in netfilter.COMMANDS.values():
            for suffix in ("", "-save", "-restore"):
                link = Path(f"/etc/alternatives/{command}{suffix}")
                link.unlink(missing_ok=True)
                link.symlink_to(f"/usr/sbin/{command}-{choice}{suffix}")

    def boot() -> dict[str, Any]:
        saves = " && ".join(f"echo '# {command}' && {command}-save" for command in netfilter.COMMANDS.values())
        said = netfilter.run("unshare", "--net", "sh", "-c", f"netfilter-persistent start >&2 && {saves}")
        ipv4, _, ipv6 = said.partition("# ip6tables\n")
        return {"ipv4": netfilter.tables(ipv4), "ipv6": netfilter.tables(ipv6)}

    choose(backend)
    yield boot
    choose("nft")


def test_a_boot_loads_what_lives(converge: Converge, backend: str, booted: Callable[[], dict[str, Any]]) -> None:
    comment = """-m comment --comment "it's \\"5 %\\", \\\\ 漢字" -j own"""
    for tables in (host(), host(comment) | {"raw": {"OUTPUT": []}}):
        tables["filter"]["own"] = ["-p tcp --syn -m limit --limit 3/sec -j RETURN", "-j LOG --log-prefix 'no: '"]
        done = converge(tables)
        assert done["result"] is True, done["comment"]
        assert "at boot" not in done["comment"]
        assert booted() == {family: netfilter.tables(text) for family, text in live(backend).items()}


def test_tables_that_somebody_saved_are_kept(
    converge: Converge, backend: str, booted: Callable[[], dict[str, Any]]
) -> None:
    kept = '*mangle\n:PREROUTING ACCEPT [0:0]\n:mine - [0:0]\n-A mine -m comment --comment "a  *b"\nCOMMIT\n'
    old = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n"
    SAVED["ipv4"].parent.mkdir()
    SAVED["ipv4"].write_text(f"# Made by hand\n{old}# and this\n{kept}")
    SAVED["ipv6"].write_text(kept)
    done = converge(host())
    assert done["result"] is True, done["comment"]
    for path in SAVED.values():
        assert path.read_text().count(kept) == 1
        assert path.read_text().count("*filter") == 1
    wanted = {family: netfilter.tables(text) for family, text in live(backend).items()}
    for tables in wanted.values():
        assert tables.setdefault("mangle", ['-A mine -m comment --comment "a  *b"', ":mine -"])
    assert booted() == wanted
    assert converge(host())["changes"] == {}


SETS = """\
create blocked4 hash:net family inet
create blocked6 hash:net family inet6
create blocked list:set
add blocked4 192.0.2.0/24
add blocked6 2001:db8::/32
add blocked blocked4
add blocked blocked6
"""


def test_sets(converge: Converge, backend: str, booted: Callable[[], dict[str, Any]]) -> None:
    netfilter.run("ipset", "restore", text=SETS)
    rules = [f"-m set --match-set {name} src -j DROP" for name in ("blocked4", "blocked6", "blocked")]
    assert converge(host(*rules), test=True)["result"] is None
    done = converge(host(*rules))
    assert done["result"] is True, done["comment"]
    assert netfilter.rules("ipv4", backend, "FORWARD")[1:] == [rules[0], rules[2]]
    assert netfilter.rules("ipv6", backend, "FORWARD")[-2:] == [rules[1], rules[2]]
    netfilter.run("ipset", "add", "blocked4", "198.51.100.0/24")  # what is in them belongs to others
    assert converge(host(*rules))["changes"] == {}
    (SAVED["ipv4"].parent / "ipsets").write_text(netfilter.run("ipset", "save"))
    assert booted() == {family: netfilter.tables(text) for family, text in live(backend).items()}
    missing = converge(host("-m set --match-set unheard-of src -j DROP"))
    assert missing["result"] is False
    assert "tables:filter:INPUT:rules[0]" in missing["comment"]
    assert netfilter.rules("ipv4", backend, "FORWARD")[1:] == [rules[0], rules[2]]
    netfilter.run(f"iptables-{backend}", "-F")
    netfilter.run(f"ip6tables-{backend}", "-F")
