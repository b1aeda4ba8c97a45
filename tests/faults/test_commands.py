"""Every command that the doors use, broken in every way: the host is as before or as declared, and it is said why."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_plugins as plugins
import _dualstack_service_host as service_host
import pytest
from salt.exceptions import CommandExecutionError

from ..firewall import netfilter
from ..services import daemons
from . import programs

PATIENCE = 4.0  # seconds, in place of a minute or more
SHELL = "ended with 139 and said: Segmentation fault"
ABSENT = ["is missing", "is not executable"]
ALL = [*ABSENT, *programs.FAULTS]
# One hanging program takes as long as another: each kind is tried with one of them, these with all.
LOADED = {  # a function of each door, by which it is loaded
    "dualstack_iptables": "dualstack_iptables.audit",
    "he_tunnel": "he_tunnel.render",
    "service_listen": "service_listen.audit",
    "ipv6": "ipv6.missing",
}
FEW = [each for each in ALL if each not in programs.HANGS[:2] and each != "prints 100 MB"]


@pytest.fixture(autouse=True)
def _enclosed() -> Iterator[None]:
    """Nothing is left of any of them: no process, no open file, no memory."""
    assert "ENCLOSED" in os.environ, "run these with tests/enclosure.sh"
    before, memory = programs.descriptors(), programs.most_memory()
    yield
    assert programs.left() == []
    assert programs.descriptors() <= before + 2  # Salt itself opens some, once
    assert programs.most_memory() - memory < 150


@pytest.fixture
def impatient(modules: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the commands of a door wait for a few seconds only, if they are to hang."""

    def patch(fault: str, door: str, **bounds: str) -> None:
        if fault in programs.HANGS:
            assert modules[LOADED[door]]
            for room, name in bounds.items():
                for each in programs.rooms(door, room):
                    monkeypatch.setattr(each, name, PATIENCE)

    return patch


def well_said(done: dict[str, Any], fault: str) -> None:
    """A failure in words, and without a traceback."""
    assert (done["result"], done["changes"]) == (False, {}), done
    # A shell that runs several commands says it in its own words.
    assert programs.WORDS.get(fault, "") in done["comment"].replace(SHELL, programs.WORDS["dies by a signal"]), done
    assert "Traceback" not in done["comment"] and "this is a bug" not in done["comment"], done["comment"]
    assert len(done["comment"]) < 9000 and all(each == "\n" or each.isprintable() for each in done["comment"])


# --------------------------------------------------------------------------------------------------------------
# The firewall

SAVED = [Path("/etc/iptables/rules.v4"), Path("/etc/iptables/rules.v6")]
BEFORE: dict[str, Any] = {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-p tcp --dport 22 -j ACCEPT"]}}}
AFTER: dict[str, Any] = {
    "filter": {
        "INPUT": {
            "policy": "DROP",
            "rules": [
                "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
                "-p tcp --dport 22 -j ACCEPT",
                "-p tcp --dport 80 -m set --match-set friends src -j ACCEPT",
            ],
        }
    }
}
EXPECT = [{"to": "tcp/22", "verdict": "accept"}, {"to": "tcp/3306", "verdict": "drop"}]
SETS = "create friends hash:net family inet\nadd friends 192.0.2.0/24\n"
FIREWALL = {"firewall_commands": "PATIENCE", "host_commands": "PATIENCE"}


def world(backend: str) -> list[Any]:
    """The live rules and the saved ones."""
    live = [netfilter.save(family, backend) for family in netfilter.COMMANDS]
    return [*live, *(each.read_bytes() if each.exists() else None for each in SAVED)]


@pytest.fixture
def firewall(modules: Any, impatient: Any) -> Iterator[Callable[..., Any]]:
    """A host with rules, and its change with a broken program: the result, and whether the host is as before."""

    def run(name: str, fault: str, backend: str = "nft") -> tuple[dict[str, Any], bool]:
        netfilter.run("ipset", "restore", text=SETS)
        done = modules.dualstack_iptables.ruleset("firewall", tables=BEFORE, backend=backend, test=False)
        assert done["result"] is True, done
        before = world(backend)
        impatient(fault, "dualstack_iptables", **FIREWALL)
        began = time.monotonic()
        with programs.broken(name, fault):
            done = modules.dualstack_iptables.ruleset(
                "firewall", tables=AFTER, expect=EXPECT, backend=backend, test=False
            )
        assert time.monotonic() - began < 3 * PATIENCE + 20
        return done, world(backend) == before

    netfilter.reset()
    yield run
    netfilter.reset()
    daemons.run("rm", "-rf", "/etc/iptables", "/var/lib/dualstack_iptables")


def check(run: Any, name: str, fault: str, backend: str = "nft") -> None:
    """A failure in words, and the host as before; unless the program was not needed."""
    done, unchanged = run(name, fault, backend)
    if done["result"] is True:
        assert not unchanged and "--dport 80" in netfilter.save("ipv4", backend)
        return
    well_said(done, fault)
    assert unchanged


@pytest.mark.parametrize("fault", ALL)
def test_a_restore_that_is_broken(firewall: Any, fault: str) -> None:
    check(firewall, "ip6tables-nft-restore", fault)


@pytest.mark.parametrize("fault", FEW)
@pytest.mark.parametrize("name", ["iptables-nft-save", "unshare", "ipset"])
def test_another_command_of_the_firewall_that_is_broken(firewall: Any, name: str, fault: str) -> None:
    check(firewall, name, fault)


@pytest.mark.parametrize("fault", [each for each in FEW if each != "does it and fails"])
def test_an_ip_that_is_broken_while_a_firewall_is_rehearsed(firewall: Any, fault: str) -> None:
    check(firewall, "ip", fault)


@pytest.mark.parametrize("fault", ["is missing", "fails", "lies", "prints bytes", "prints for ever"])
@pytest.mark.parametrize("name", ["iptables-legacy-save", "ip6tables-legacy-restore"])
def test_a_command_of_legacy_that_is_broken(firewall: Any, name: str, fault: str) -> None:
    check(firewall, name, fault, "legacy")


HERE = '[ "$(readlink /proc/self/ns/net)" = "{namespace}" ] || exec "$real" "$@"\n'
TWICE = '[ ! -e /run/broken ] || exec $real "$@"\ntouch /run/broken\n'


@pytest.mark.parametrize("fault", [*programs.FAULTS, "does it and hangs"])
@pytest.mark.parametrize("once", [True, False], ids=["once", "always"])
def test_a_restore_that_breaks_when_the_live_rules_change(
    firewall: Any, impatient: Any, fault: str, once: bool
) -> None:
    script = programs.FAULTS.get(fault, f'"$real" "$@"; sleep {programs.MARK}')
    impatient(programs.HANGS[0], "dualstack_iptables", **FIREWALL)
    Path("/run/broken").unlink(missing_ok=True)
    lines = HERE.format(namespace=os.readlink("/proc/self/ns/net")) + (TWICE if once else "")
    done, unchanged = firewall("iptables-nft-restore", f"{lines}{script}")
    assert done["result"] is False
    assert unchanged
    if once:
        well_said(done, fault)
        assert done["comment"].endswith("Everything was put back as it was.")


def test_an_unshare_that_makes_no_namespace_changes_nothing(firewall: Any) -> None:
    """It would load on the host what is to be tried elsewhere."""
    done, unchanged = firewall("unshare", 'shift; exec "$@"')
    assert unchanged
    assert (done["result"], "unshare has made no network namespace" in done["comment"]) == (False, True), done


def test_a_save_that_shows_no_rules_is_not_believed(firewall: Any) -> None:
    done, unchanged = firewall("iptables-nft-save", HERE.format(namespace=os.readlink("/proc/self/ns/net")))
    assert unchanged
    assert done["comment"] == "iptables-save printed nothing of the table filter, which has rules"


@pytest.mark.parametrize(
    ("prints", "said"),
    [
        ("iptables v1.8.9 (nf_tables)", ""),
        ("iptables v1.8.9 (legacy)", ""),
        ("iptables v1.6.1", ""),
        ("Segmentation fault", "--version' printed no version of iptables, but: Segmentation fault"),
        ("", "--version' printed no version of iptables, but: nothing"),
    ],
)
def test_the_version_of_iptables(modules: Any, prints: str, said: str) -> None:
    with programs.broken("iptables", f"[ $1 = --version ] || exec /usr/sbin/iptables-nft \"$@\"; echo '{prints}'"):
        try:
            modules.dualstack_iptables.audit()
            assert not said
        except CommandExecutionError as error:
            assert said and said in str(error)


@pytest.mark.parametrize("prints", ["", "{}", "null", "[1]", '{"results": 5}', '{"results": [{}, {}]}', "[" * 99999])
def test_a_rehearsal_without_verdicts(firewall: Any, prints: str) -> None:
    script = f'case "$*" in *rehearsal_script*) echo \'{prints}\'; exit 0;; esac; exec "$real" "$@"'
    done, unchanged = firewall("unshare", script)
    assert unchanged
    well_said(done, "")
    assert "the rehearsal of the firewall failed: it printed no verdicts, but: " in done["comment"]


# --------------------------------------------------------------------------------------------------------------
# The tunnel

GARBAGE = [
    "{}",
    "null",
    "[1]",
    "[[1]]",
    '[{"ifname": "he-ipv6"}]',
    '[{"ifname": 5, "mtu": 1480, "flags": []}]',
    '[{"ifname": "lo", "mtu": "many", "flags": []}]',
    '[{"ifname": "lo", "mtu": 1, "flags": [], "addr_info": [{"family": "inet"}]}]',
    '[{"ifname": "he-ipv6", "mtu": 1, "flags": [], "linkinfo": 5}]',
    '[{"ifname": "he-ipv6", "mtu": 1, "flags": [], "linkinfo": {"info_data": []}}]',
    '[{"dev": ["he-ipv6"]}]',
    "[" * 99999,
    "7" * 9999,
    "<html>",
]
ARGUMENTS = {"endpoint": "216.66.84.42", "address": "2001:db8::2/64", "gateway": "2001:db8::1", "local": "46.105.5.1"}
TUNNEL = {"host_commands": "PATIENCE", "tunnel_manager": "VERSION", "tunnel_surroundings": "MODPROBE"}


@pytest.fixture
def present(modules: Any, impatient: Any) -> Callable[..., dict[str, Any]]:
    """A tunnel, on a host with a broken program. (This kernel has no sit: what comes after that is in the guest.)"""

    def run(name: str, fault: str) -> dict[str, Any]:
        impatient(fault, "he_tunnel", **TUNNEL)
        with programs.broken(name, fault):
            began = time.monotonic()
            done: dict[str, Any] = modules.he_tunnel.present("he-ipv6", **ARGUMENTS, test=False)
            assert time.monotonic() - began < PATIENCE + 15
        assert not Path("/etc/network/interfaces.d/he-ipv6").exists()
        return done

    return run


@pytest.mark.parametrize("fault", ALL)
def test_an_ip_that_is_broken(present: Any, fault: str) -> None:
    done = present("ip", fault)
    well_said(done, fault if fault != "lies" else "")
    assert "ip" in done["comment"]


@pytest.mark.parametrize("fault", FEW)
@pytest.mark.parametrize("name", ["ifup", "modprobe"])
def test_another_command_of_the_tunnel_that_is_broken(present: Any, name: str, fault: str) -> None:
    if (name, fault) in {("modprobe", "lies"), ("modprobe", "prints bytes"), ("ifup", "does it and fails")}:
        return  # that is believed: what comes next will fail
    done = present(name, fault)
    well_said(done, fault if name == "modprobe" or fault in programs.HANGS else "")
    assert ("the kernel" if name == "modprobe" else "ifup") in done["comment"]


@pytest.mark.parametrize("prints", GARBAGE)
@pytest.mark.parametrize("asked", ["-d addr show", "route show default table all"])
def test_an_ip_that_prints_what_it_should_not(present: Any, asked: str, prints: str) -> None:
    done = present("ip", f"case \"$*\" in *'{asked}') echo '{prints}';; *) exec $real \"$@\";; esac")
    well_said(done, "")
    assert f"'ip -j {asked}' printed no JSON that can be read, but: " in done["comment"]


LINKS = [
    {
        "ifname": "he-ipv6",
        "mtu": 1480,
        "flags": ["UP"],
        "linkinfo": {"info_kind": "sit", "info_data": {"remote": "216.66.84.42", "local": "46.105.5.1", "ttl": 255}},
        "addr_info": [
            {"family": "inet6", "scope": "global", "local": "2001:db8::2", "prefixlen": 64},
            {},
        ],
    }
]


@pytest.fixture
def ladder(modules: Any, impatient: Any) -> Iterator[Callable[..., dict[str, Any]]]:
    """Call a rung on a host whose ip(8) tells of a tunnel, and does this when it is asked for a route."""
    (files,) = modules.he_tunnel.render("he-ipv6", **ARGUMENTS).items()
    path = Path(files[0])
    path.write_text(files[1])
    programs.FIRST.joinpath("ip").unlink(missing_ok=True)

    def run(rung: str, route: str, ping: str = "exit 0", **arguments: Any) -> dict[str, Any]:
        script = f"case \"$*\" in *addr*) echo '{json.dumps(LINKS)}';; *'route get'*) {route};; *) echo '[]';; esac"
        with programs.broken("ip", script), programs.broken("ping", ping):
            done: dict[str, Any] = getattr(modules.he_tunnel, rung)("he-ipv6", **arguments, test=False)
        return done

    yield run
    path.unlink()


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("echo 'RTNETLINK answers: Network is unreachable' >&2; exit 2", "this host has no route to 2000::: 'ip -j"),
        ("echo '[]'", "this host has no route to 2000::: 'ip -j -6 route get 2000::' ended with 0 and said: nothing"),
        ("echo 'cannot open netlink socket' >&2; exit 1", "'ip -j -6 route get 2000::' ended with 1 and said: cannot"),
        ("kill -SEGV $$", "'ip -j -6 route get 2000::' was killed by SIGSEGV and said: nothing"),
        ('echo \'[{"gateway": "fe80::1"}]\'', "'ip -j -6 route get 2000::' printed a route without an interface"),
        ("echo '[{}]'", "this host has no route to 2000::"),
        ("echo '[[]]'", "'ip -j -6 route get 2000::' printed no JSON that can be read, but: [[]]"),
    ],
)
def test_a_failure_of_ip_is_not_taken_for_a_missing_route(ladder: Any, route: str, said: str) -> None:
    done = ladder("routed", route)
    well_said(done, "")
    assert done["comment"].startswith(said)


@pytest.mark.parametrize(
    ("ping", "said"),
    [
        ("exit 0", "ended with 0 and said: nothing"),
        ("kill -SEGV $$", "was killed by SIGSEGV and said: nothing"),
        ("echo 'out of luck' >&2; exit 3", "ended with 3 and said: out of luck"),
        (r"printf '\377\376'; exit 1", "ended with 1 and said: ??"),
        ("echo '1.2.3 packets'; echo 'rtt = 1.2.3/4/5/6'", "said: 1.2.3 packets; rtt = 1.2.3/4/5/6"),
        ("echo '3 packets transmitted, 2 received'; echo '= 1.2.3/4/5/'", "2 of 3, 33% loss"),
        ("echo 'ping: socktype: SOCK_RAW' >&2; exit 2", "100% loss; ping: socktype: SOCK_RAW"),
        (f"yes {programs.LONG}", "printed more than 64 MB and was killed"),
    ],
)
def test_a_ping_that_is_broken(ladder: Any, ping: str, said: str) -> None:
    done = ladder("answering", "echo '[]'", ping, attempts=1, timeout=1)
    assert said in done["comment"]
    assert done["result"] is ("2 of 3" in said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"attempts": 501}, "attempts: 501 is not a whole number from 1 to 500"),
        ({"attempts": 0}, "attempts: 0 is not a whole number from 1 to 500"),
        ({"timeout": 31}, "timeout: 31 is not a number of seconds up to 30"),
        ({"timeout": float("inf")}, "timeout: inf is not a number of seconds up to 30"),
        ({"timeout": float("nan")}, "timeout: nan is not a number of seconds up to 30"),
    ],
)
def test_nobody_may_ping_for_longer_than_a_state_may_take(ladder: Any, given: Any, said: str) -> None:
    assert ladder("answering", "echo '[]'", **given)["comment"] == said


def test_a_host_without_ping(ladder: Any) -> None:
    done = ladder("answering", "echo '[]'", "is missing")
    assert (done["result"], done["comment"]) == (False, "ping is not installed")


# --------------------------------------------------------------------------------------------------------------
# Services

CONF = Path("/etc/dovecot/dovecot.conf")


@pytest.fixture
def dovecot(modules: Any, impatient: Any) -> Iterator[Callable[..., Any]]:
    """Dovecot serves IPv4 only, and is to serve both, on a host with a broken program."""

    def run(name: str, fault: str) -> dict[str, Any]:
        daemons.only_ipv4("dovecot")
        daemons.start("dovecot", 143)
        before = CONF.read_bytes()
        impatient(fault, "service_listen", service_host="CHECK")
        impatient(fault, "service_listen", service_host="STATUS")
        with programs.broken(name, fault):
            done: dict[str, Any] = modules.service_listen.dual_stack("dovecot", ports=[143], timeout=4, test=False)
        if done["result"] is not True:
            assert CONF.read_bytes() == before
            assert daemons.families(143) == ["ipv4"]
            assert not [each.name for each in CONF.parent.iterdir() if "dualstack" in each.name]
        return done

    yield run
    daemons.stop("dovecot", 143)
    daemons.restore("dovecot")


@pytest.mark.parametrize("fault", [each for each in FEW if each not in ABSENT])
def test_a_checker_that_is_broken(dovecot: Any, fault: str) -> None:
    done = dovecot("doveconf", fault)
    if fault in ("lies", "prints bytes"):  # the service itself shows whether all is well
        assert done["result"] is True or done["comment"].endswith("Everything was put back as it was."), done
    else:
        well_said(done, fault)
        kinds = ("its present configuration is invalid", "its configuration could not be checked")
        assert done["comment"].startswith(tuple(f"dovecot: {each}: 'doveconf -n' " for each in kinds)), done


@pytest.mark.parametrize("fault", ABSENT)
def test_a_checker_that_is_not_there_has_not_found_the_files_to_be_right(dovecot: Any, fault: str) -> None:
    done = dovecot("doveconf", fault)
    assert (done["result"], done["changes"]) == (False, {}), done
    assert done["comment"] == "dovecot: its configuration cannot be checked: doveconf is not installed"


@pytest.mark.parametrize("fault", [each for each in FEW if each not in ("is not executable",)])
def test_a_service_command_that_is_broken(dovecot: Any, fault: str) -> None:
    done = dovecot("service", fault)
    assert done["result"] is False
    assert programs.WORDS.get(fault, "") in done["comment"]
    assert "Traceback" not in done["comment"] and "this is a bug" not in done["comment"], done["comment"]


def test_a_service_that_does_not_say_whether_it_runs(dovecot: Any, modules: Any, impatient: Any) -> None:
    """It is not taken for one that does not run, whose files alone would be changed: it might restart any time."""
    daemons.only_ipv4("dovecot")
    before = CONF.read_bytes()
    impatient("hangs", "service_listen", service_host="STATUS")
    with programs.broken("service", "hangs"):
        done = modules.service_listen.dual_stack("dovecot", ports=[143], timeout=4, test=False)
    assert (done["result"], done["changes"], CONF.read_bytes()) == (False, {}, before)
    assert done["comment"].startswith("whether dovecot runs is not known: 'service dovecot status' took more than ")


@pytest.mark.parametrize("fault", ["is missing", "fails", "hangs", "prints bytes", "prints for ever"])
def test_a_journal_that_is_broken_hides_nothing(modules: Any, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    known = {"dovecot": plugins.services(modules)["dovecot"]}
    monkeypatch.setattr(service_host, "JOURNAL", 1.0)
    booted = Path("/run/systemd/system")
    booted.mkdir(parents=True)
    try:
        dovecot = service_host.daemon(known, "dovecot")
        with programs.broken("journalctl", fault):
            lines = service_host.log_since(dovecot, service_host.log_mark(dovecot))
    finally:
        booted.rmdir()
    assert [each for each in lines if "could not be read" in each] == lines[: fault in ("hangs", "prints for ever")]
    assert all(each.isprintable() for each in lines)


@pytest.fixture
def log(modules: Any) -> Iterator[tuple[service_host.Daemon, Path]]:
    """Dovecot, and a log of its own."""
    path = Path("/var/log/dovecot/its.log")
    path.parent.mkdir(exist_ok=True)
    path.write_text("what was there before\n")
    yield service_host.daemon({"dovecot": plugins.services(modules)["dovecot"]}, "dovecot"), path
    shutil.rmtree(path.parent)


def test_a_log_that_is_a_link_is_not_followed(log: Any, tmp_path: Path) -> None:
    """Its folder may be the daemon's own: it could have root read any file to it."""
    dovecot, path = log
    mark = service_host.log_mark(dovecot)
    (tmp_path / "shadow").write_text("what only root may read\n")
    path.with_name("link.log").symlink_to(tmp_path / "shadow")
    path.write_text("what was there before\nand this is new\n")
    assert service_host.log_since(dovecot, mark) == ["and this is new"]


def test_what_a_log_says_of_our_own_questions_is_left_out(log: Any) -> None:
    dovecot, path = log
    mark = service_host.log_mark(dovecot)
    ours = (
        "postfix/smtpd[1]: connect from localhost[127.0.0.1]",
        "lost connection after CONNECT from server.example.org[2001:db8::10]",
        "imap-login: Disconnected: user=<>, rip=127.0.0.1, lip=127.0.0.1",
        '192.0.2.10 - - [x] "GET / HTTP/1.1" 200',
        'shop.example.org:80 198.51.100.7 - - "GET /" 200 "dualstack-probe"',
    )
    others = ("fatal: bind 127.0.0.1 port 143: Address already in use", "connect from other[127.0.0.11]")
    path.write_text("what was there before\n" + "\n".join([others[0], *ours * 20, others[1]]) + "\n")
    asked = ["127.0.0.1", "192.0.2.10", "2001:db8::10"]
    assert service_host.log_since(dovecot, mark, asked) == list(others)


def test_a_log_that_is_rotated_meanwhile(log: Any) -> None:
    dovecot, path = log
    mark = service_host.log_mark(dovecot)
    path.write_text("all new\n")
    assert service_host.log_since(dovecot, mark) == ["all new"]


def test_a_log_with_a_secret_that_is_not_utf_8(log: Any) -> None:
    """As in the configuration of a server of 2011; and a run is possible at all."""
    dovecot, path = log
    conf = Path("/etc/dovecot/dovecot.conf")
    before = conf.read_bytes()
    mark = service_host.log_mark(dovecot)
    try:
        conf.write_bytes(before + b"doveadm_password = p\xe4ssw\xf6rd9x\n")
        path.write_bytes(path.read_bytes() + b"no match for p\xe4ssw\xf6rd9x here\n")
        (said,) = service_host.log_since(dovecot, mark)
    finally:
        conf.write_bytes(before)
    assert "rd9x" not in said and said.startswith("no match for")


# --------------------------------------------------------------------------------------------------------------
# DNS, and what a host needs

SETTINGS = {"publish": "/usr/local/sbin/id secret-argument", "timeout": 3}
EDITS = {
    "www.example.org": {
        "old": {"addresses": [], "ttl": None},
        "new": {"addresses": ["2001:db8::1"], "ttl": 60},
    }
}


@pytest.mark.parametrize("fault", [each for each in programs.FAULTS if each not in ("lies", "prints bytes")])
def test_a_publishing_command_that_is_broken(modules: Any, fault: str) -> None:
    modules.pack["__pillar__"]["ipv6"] = {"dns": {"command": SETTINGS}}
    began = time.monotonic()
    with programs.broken("id", fault), pytest.raises(CommandExecutionError) as caught:
        modules.aaaa_command.change("ipv6:dns:command", EDITS)
    assert time.monotonic() - began < 3 + 10
    assert str(caught.value).startswith("publish: '/usr/local/sbin/id ... www.example.org 2001:db8::1 60' ")
    assert programs.WORDS[fault] in str(caught.value)
    assert "secret-argument" not in str(caught.value) or fault == "does it and fails"  # it is id(1) that says it


@pytest.mark.parametrize("fault", [each for each in programs.FAULTS if each not in ("lies", "prints bytes")])
def test_a_python_that_is_broken(modules: Any, impatient: Any, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setitem(modules.pack["__grains__"], "pythonexecutable", "/usr/local/sbin/python3")
    impatient(fault, "ipv6", host_commands="LONG")
    with programs.broken("python3", fault):
        found = modules.ipv6.missing("netaddr", lookup={"packages": {"netaddr": "python3-netaddr"}})
    assert programs.WORDS[fault] in found["lacks"]
