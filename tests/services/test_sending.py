"""
Mail over IPv6 is sent only where a receiver will take it: real Postfix and Exim, a real BIND with the records, and a
receiver in a network of its own, which notes from where mail has come.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _dualstack_mail_ask as mail_ask
import _dualstack_plugins as plugins
import _dualstack_service_sending as service_sending
import pytest

from ..dns import servers
from . import daemons
from .test_more_databases_and_mail import DEBCONF, exim  # noqa: F401  # a fixture
from .test_pillar import KEY, call

FOUR, SIX, OTHER = "192.0.2.25", "2001:db8:1::25", "2001:db8:1::26"
REVERSE = "1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
HOST = "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"  # of the address, in its /48
NETWORK = "receiver"
# Who sends may take time to look, to give up one family and to take the other.
PATIENCE = 30
ZONES = {
    "example.org": """\
$TTL 60
@ SOA ns1 hostmaster (1 3600 600 86400 600)
@ NS ns1
ns1 A 127.0.0.1
server A 192.0.2.25
{helo}
{spf}
""",
    REVERSE: """\
$TTL 60
@ SOA ns1.example.org. hostmaster.example.org. (1 3600 600 86400 600)
@ NS ns1.example.org.
{ptr}
""",
    "example.net": """\
$TTL 60
@ SOA ns1 hostmaster (1 3600 600 86400 600)
@ NS ns1
ns1 A 127.0.0.1
@ MX 10 mx
mx A 192.0.2.1
mx AAAA 2001:db8:1::1
six MX 10 mx6
mx6 AAAA 2001:db8:1::1
""",
}
RECORDS = {
    "helo": f"server AAAA {SIX}",
    "spf": '@ TXT "v=spf1 mx ip4:192.0.2.0/24 " "ip6:2001:db8:1::/48 -all"',
    "ptr": f"{HOST} PTR server.example.org.",
}
RECEIVER = """
import socket, threading
def talk(peer, stream):
    stream.write(b"220 mx.example.net ESMTP\\r\\n")
    data = False
    for line in stream:
        word = line.strip().upper()
        if data:
            if word == b".":
                data = False
                print(peer, flush=True)
                stream.write(b"250 taken\\r\\n")
        elif word == b"DATA":
            data = True
            stream.write(b"354 go on\\r\\n")
        else:
            stream.write(b"221 bye\\r\\n" if word == b"QUIT" else b"250 mx.example.net\\r\\n")
def serve(family, address):
    listener = socket.create_server((address, 25), family=family)
    while True:
        connection, peer = listener.accept()
        threading.Thread(target=talk, args=(peer[0], connection.makefile("rwb", buffering=0))).start()
for each in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8:1::1")):
    threading.Thread(target=serve, args=each).start()
"""


class World:
    """The network around this host: name server and receiver."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.noted = folder, folder / "noted"
        self._named: subprocess.Popen[bytes] | None = None
        with self.noted.open("wb") as noted:
            words = ["ip", "netns", "exec", NETWORK, sys.executable, "-c", RECEIVER]
            self.receiver = subprocess.Popen(words, stdout=noted, stderr=noted)
        self.records()

    def records(self, **changed: str) -> None:
        """The name server has these records, and nothing remembers others."""
        self.silent()
        config = []
        for number, (zone, text) in enumerate(ZONES.items()):
            path = self.folder / f"zone{number}"
            path.write_text(text.format(**{**RECORDS, **changed}))
            config.append(f'zone "{zone}" {{ type primary; file "{path}"; }};')
        self._named = servers.start(self.folder / "named", "127.0.0.1", "\n".join(config))

    def silent(self) -> None:
        """There is no name server."""
        if self._named:
            servers.stop(self._named)
            self._named = None

    def come(self) -> list[str]:
        """From where mail has come so far."""
        return self.noted.read_text().split()

    def sent(self, to: str = "you@example.net") -> str:
        """From where the next mail comes."""
        before = self.come()
        subprocess.run(["sendmail", "-f", "me@example.org", to], input=b"Subject: hello\n\nhello\n", check=True)
        end = time.monotonic() + PATIENCE
        while len(self.come()) == len(before):
            assert time.monotonic() < end, daemons.run("sh", "-c", "mailq; tail -n 40 /var/log/mail.test", check=False)
            time.sleep(0.05)
        return self.come()[len(before)]

    def families(self, most: int = 8) -> set[str]:
        """The families of some mails, until both were seen: Postfix chooses by chance where it is free to choose."""
        found: set[str] = set()
        while len(found) < 2 and most:
            found.add("ipv6" if ":" in self.sent() else "ipv4")
            most -= 1
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An address of each family, and who is beyond."""
    daemons.run("ip", "netns", "add", NETWORK)
    daemons.run("ip", "link", "add", "vm0", "type", "veth", "peer", "name", "vm1", "netns", NETWORK)
    inside = ["ip", "-n", NETWORK]
    for address in (f"{FOUR}/24", f"{SIX}/64"):
        daemons.run("ip", "addr", "add", address, "dev", "vm0", *(["nodad"] if ":" in address else []))
    for address in ("192.0.2.1/24", "2001:db8:1::1/64"):
        daemons.run(*inside, "addr", "add", address, "dev", "vm1", *(["nodad"] if ":" in address else []))
    for words in (["ip", "link", "set", "vm0", "up"], [*inside, "link", "set", "vm1", "up"]):
        daemons.run(*words)
    daemons.run("ip", "-6", "route", "add", "default", "via", "2001:db8:1::1")
    Path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
    Path("/etc/mailname").write_text("example.org\n")
    around = World(tmp_path)
    yield around
    around.silent()
    around.receiver.kill()
    around.receiver.wait()
    Path("/etc/resolv.conf").write_text("")
    Path("/etc/mailname").unlink()
    daemons.run("ip", "link", "del", "vm0")
    daemons.run("ip", "netns", "del", NETWORK)


MAIN = "myhostname = server.example.org", "myorigin = /etc/mailname", "smtp_tls_security_level = none"
MASTER = Path("/etc/postfix/master.cf")


@pytest.fixture
def postfix(request: pytest.FixtureRequest, world: World) -> World:
    """Postfix, which listens on both families, and sends over both."""
    request.addfinalizer(lambda: daemons.restore("postfix"))
    request.addfinalizer(lambda: daemons.stop("postfix", 25))
    daemons.run("postconf", "-e", "maillog_file = /var/log/mail.test", *MAIN)
    daemons.start("postfix", 25)
    daemons.wait_for(25, family="ipv6")
    return world


def restricted() -> list[str]:
    """The entries of master.cf that send over IPv4 only."""
    found = daemons.run("postconf", "-P", "*/unix/inet_protocols")
    return sorted(line.partition("/")[0] for line in found.splitlines() if line.endswith("ipv4"))


def twice(converge: Any, name: str, **given: Any) -> dict[str, Any]:
    """Predicted, done, and nothing left to do."""
    predicted = converge(name, test=True, **given)
    assert predicted["result"] is None, predicted["comment"]
    done: dict[str, Any] = converge(name, **given)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == predicted["changes"]
    again = converge(name, **given)
    assert (again["result"], again["changes"]) == (True, {}), again
    return done


def settled(converge: Any, name: str, **given: Any) -> str:
    """Nothing to do; the comment."""
    done = converge(name, **given)
    assert (done["result"], done["changes"]) == (True, {}), done
    return str(done["comment"])


def test_with_all_records_postfix_sends_over_both_and_stays_as_it_is(postfix: World, converge: Any) -> None:
    before = MASTER.read_bytes()
    assert settled(converge, "postfix") == "postfix is as declared"
    assert MASTER.read_bytes() == before
    assert postfix.families(40) == {"ipv4", "ipv6"}


LACKING = {
    "ptr": (";", f"PTR: {SIX} has no PTR record"),
    "helo": (";", "HELO: it greets as server.example.org, which has no AAAA record"),
    "spf": ('@ TXT "v=spf1 ip4:192.0.2.0/24 -all"', "SPF: the SPF record of example.org does not cover"),
}


@pytest.mark.parametrize("record", LACKING)
def test_without_one_of_them_it_receives_over_both_and_sends_over_ipv4(
    postfix: World, converge: Any, record: str
) -> None:
    text, said = LACKING[record]
    before = MASTER.read_bytes()
    postfix.records(**{record: text})
    done = twice(converge, "postfix")
    assert said in done["comment"], done["comment"]
    assert "sends mail over IPv4 only (ipv6:services:postfix:send: auto)" in done["comment"]
    assert restricted() == ["relay", "smtp"]
    assert postfix.families() == {"ipv4"}
    assert daemons.families(25) == ["ipv4", "ipv6"]
    postfix.records()
    back = twice(converge, "postfix")
    assert "IPv4 only" not in back["comment"]
    assert MASTER.read_bytes() == before
    assert postfix.families(40) == {"ipv4", "ipv6"}


def test_a_name_server_that_does_not_answer_proves_nothing_and_changes_nothing(postfix: World, converge: Any) -> None:
    postfix.silent()
    said = settled(converge, "postfix")
    assert f"the PTR record of {SIX} is not known: " in said
    assert "It goes on sending mail over IPv6" in said
    postfix.records(ptr=";")
    twice(converge, "postfix")
    postfix.silent()
    assert "It sends mail over IPv4 only" in settled(converge, "postfix")
    assert restricted() == ["relay", "smtp"]


def test_what_would_begin_to_send_over_ipv6_needs_an_answer(postfix: World, converge: Any) -> None:
    daemons.run("postconf", "-e", "inet_protocols = ipv4")
    daemons.run("postfix", "stop")
    daemons.start("postfix", 25)
    postfix.silent()
    twice(converge, "postfix")
    assert restricted() == ["relay", "smtp"]


def test_the_user_has_the_last_word(postfix: World, converge: Any) -> None:
    postfix.records(ptr=";")
    comment = settled(converge, "postfix", send="both")
    assert "It sends mail over IPv6 (ipv6:services:postfix:send: both)" in comment
    assert "has no PTR record" in comment
    assert restricted() == []
    postfix.records()
    twice(converge, "postfix", send="ipv4")
    assert restricted() == ["relay", "smtp"]
    twice(converge, "postfix", send="both")
    assert restricted() == []
    wrong = converge("postfix", send="ipv6")
    assert wrong["result"] is False
    assert wrong["comment"] == "postfix:send: 'ipv6' is not auto, both or ipv4"


def test_what_the_user_has_written_stays(postfix: World, converge: Any) -> None:
    daemons.edit(str(MASTER), r"^(smtp      unix .*)$", r"\1\n  -o inet_protocols=ipv4")
    daemons.edit(str(MASTER), r"^(relay     unix .*)$", r"\1\n  -o inet_protocols=all")
    daemons.run("service", "postfix", "restart")
    daemons.wait_for(25)
    before = MASTER.read_bytes()
    postfix.records(ptr=";")
    comment = settled(converge, "postfix")
    assert "It sends mail over IPv6, though others may refuse that: `-o inet_protocols=all` is yours" in comment
    postfix.records()
    settled(converge, "postfix")
    assert MASTER.read_bytes() == before


def test_the_address_that_it_binds_to_is_judged(postfix: World, converge: Any) -> None:
    daemons.run("ip", "addr", "add", f"{OTHER}/64", "dev", "vm0", "nodad", "preferred_lft", "0")
    assert settled(converge, "postfix") == "postfix is as declared"
    daemons.run("postconf", "-e", f"smtp_bind_address6 = {OTHER}")
    daemons.run("service", "postfix", "restart")
    daemons.wait_for(25)
    assert postfix.sent("you@six.example.net") == OTHER
    done = twice(converge, "postfix")
    assert f"{OTHER} has no PTR record" in done["comment"]
    assert SIX not in done["comment"].replace(OTHER, "").partition("HELO")[0]
    assert postfix.families() == {"ipv4"}


def test_a_host_of_ipv4_only_begins_to_send_over_ipv6_only_when_all_is_right(postfix: World, converge: Any) -> None:
    daemons.run("postconf", "-e", "inet_protocols = ipv4")
    daemons.run("service", "postfix", "restart")
    daemons.wait_for(25)
    assert daemons.families(25) == ["ipv4"]
    postfix.records(ptr=";")
    done = twice(converge, "postfix")
    assert set(done["changes"]) == {"/etc/postfix/main.cf", str(MASTER), "listening"}
    assert daemons.families(25) == ["ipv4", "ipv6"]
    assert postfix.families() == {"ipv4"}


def test_one_that_sends_over_ipv4_only_stays_as_it_is(postfix: World, converge: Any) -> None:
    daemons.run("postconf", "-e", "inet_protocols = ipv4", "inet_interfaces = loopback-only")
    daemons.run("service", "postfix", "restart")
    daemons.wait_for(25)
    before = MASTER.read_bytes()
    postfix.records(ptr=";")
    assert "IPv4 only" not in settled(converge, "postfix")
    assert MASTER.read_bytes() == before


def test_a_host_without_ipv4_sends_over_ipv6_as_it_has_nothing_else(postfix: World, converge: Any) -> None:
    postfix.records(ptr=";")
    daemons.run("ip", "addr", "del", f"{FOUR}/24", "dev", "vm0")
    comment = settled(converge, "postfix")
    assert (
        "It sends mail over IPv6, though others may refuse that: this host has no way to the IPv4 internet" in comment
    )
    assert restricted() == []


def test_a_relay_that_has_ipv6_only_gets_the_mail_over_ipv6(postfix: World, converge: Any) -> None:
    daemons.run("postconf", "-e", "relayhost = [mx6.example.net]")
    daemons.run("service", "postfix", "restart")
    daemons.wait_for(25)
    postfix.records(ptr=";")
    assert "mx6.example.net, to which it hands all mail, has no IPv4 address" in settled(converge, "postfix")
    assert postfix.sent("you@example.com") == SIX
    daemons.run("postconf", "-e", "relayhost = [2001:db8:1::1]")
    daemons.run("service", "postfix", "restart")
    daemons.wait_for(25)
    comment = settled(converge, "postfix")
    assert "over IPv6, though others may refuse that: relayhost = [2001:db8:1::1] is an address of IPv6" in comment
    daemons.run("postconf", "-e", "relayhost = [mx.example.net]")
    daemons.run("service", "postfix", "restart")
    daemons.wait_for(25)
    twice(converge, "postfix")
    assert postfix.sent("you@example.com") == FOUR


def test_without_a_route_to_the_ipv6_internet_the_published_address_is_judged(postfix: World, modules: Any) -> None:
    daemons.run("ip", "-6", "route", "del", "default")

    def converge(name: str, **given: Any) -> Any:
        return modules.service_listen.dual_stack(name, timeout=30, **{"test": False, **given})

    assert "this host has no address from which it would send" in twice(converge, "postfix")["comment"]
    assert restricted() == ["relay", "smtp"]
    twice(converge, "postfix", address=SIX)
    assert restricted() == []


def test_the_name_servers_of_the_pillar_decide(postfix: World, modules: Any) -> None:
    Path("/etc/resolv.conf").write_text("nameserver 127.0.0.9\noptions timeout:1 attempts:1\n")
    pillar: dict[str, Any] = {"services": {"postfix": {"timeout": 30}}, "dns": {"servers": ["127.0.0.1"]}}
    done = call(modules, "dual_stack", "postfix", pillar)
    assert (done.result, done.changes, done.comment) == (True, {}, "postfix is as declared")
    pillar["dns"] = {}  # nobody answers: it goes on as it is
    done = call(modules, "dual_stack", "postfix", pillar)
    assert (done.result, done.changes, "It goes on sending mail" in done.comment) == (True, {}, True), done.comment
    postfix.records(ptr=";")
    pillar["dns"] = {"ptr": {"servers": ["127.0.0.1"]}}
    assert set(call(modules, "dual_stack", "postfix", pillar, test=True).changes) == {str(MASTER)}
    pillar["services"]["postfix"]["send"] = "IPv4"
    wrong = call(modules, "dual_stack", "postfix", pillar)
    assert (wrong.result, wrong.comment) == (False, f"{KEY}:postfix:send: 'IPv4' is not auto, both or ipv4")


def test_the_judgement_for_a_report(postfix: World, modules: Any) -> None:
    known = plugins.services(modules)
    pillar: dict[str, Any] = {"services": {"postfix": None, "ssh": {"ports": [22]}}}
    (found,) = service_sending.judge(pillar, known)
    assert {key: found[key] for key in ("service", "entries", "address", "send", "proven")} == {
        **{"service": "postfix", "entries": ["smtp", "relay"], "address": SIX, "send": "auto", "proven": True},
    }
    assert found["lines"] == [
        f"PTR: held: the PTR record of {SIX} is server.example.org, which leads back to it",
        f"HELO: held: it greets as server.example.org, which is {SIX}",
        f"SPF: held: the SPF record of example.org covers {SIX}",
    ]
    postfix.records(ptr=";", spf='@ TXT "v=spf1 ptr -all"')
    (found,) = service_sending.judge(pillar, known, ["127.0.0.1"])
    assert [each["outcome"] for each in found["verdicts"]] == ["failed", "held", "not tried"]
    assert found["proven"] is False
    daemons.run("ip", "-6", "route", "del", "default")
    (found,) = service_sending.judge({"services": {"postfix": {"send": "ipv4"}}}, known)
    assert (found["address"], found["send"], found["proven"]) == (None, "ipv4", False)
    assert found["lines"][0].startswith("address: not tried: this host has no address from which it would send")
    daemons.run("postconf", "-e", "inet_protocols = ipv4", "inet_interfaces = loopback-only")
    assert service_sending.judge(pillar, known) == []
    main = Path("/etc/postfix/main.cf")
    before = main.read_text()
    main.write_text("no assignment\n")
    (found,) = service_sending.judge(pillar, known)
    main.write_text(before)
    assert found["lines"] == ["files: not tried: the configuration of postfix cannot be read"]


@contextlib.contextmanager
def another(folder: Path, zone: str, text: str) -> Iterator[str]:
    """A second name server, which has one zone otherwise."""
    (folder / "second").mkdir()
    path = folder / "second" / "zone"
    path.write_text(text)
    config = f'zone "{zone}" {{ type primary; file "{path}"; }};'
    daemons.run("ip", "addr", "add", servers.SECONDARY, "dev", "lo")
    process = servers.start(folder / "second", servers.SECONDARY, config)
    yield servers.SECONDARY
    servers.stop(process)
    daemons.run("ip", "addr", "del", servers.SECONDARY, "dev", "lo")


def test_the_servers_of_the_pillar_are_asked_and_no_resolver(world: World) -> None:
    Path("/etc/resolv.conf").write_text("nameserver 127.0.0.9\n")
    ask = mail_ask.Lookups(["nonsense", "127.0.0.1"])
    assert ask("Server.example.org.", "AAAA") == ((SIX,), "")
    assert ask("nothing.example.org", "AAAA") == ((), "")
    assert ask("example.net", "MX") == (("mx.example.net",), "")
    assert ask(f"{HOST}.{REVERSE}", "PTR") == (("server.example.org",), "")
    assert ask("example.org", "TXT") == (("v=spf1 mx ip4:192.0.2.0/24 ip6:2001:db8:1::/48 -all",), "")
    assert ask("www.example.com", "AAAA").error.startswith("the AAAA record of www.example.com could not be asked: ")
    assert ask("a..b", "AAAA") == ((), "'a..b' is no name")
    world.silent()
    assert ask("server.example.org", "AAAA") == ((SIX,), "")  # asked once
    assert "could not be asked" in mail_ask.Lookups(["127.0.0.1"])("server.example.org", "AAAA").error


def test_what_a_resolver_does_not_know_of_is_asked_of_the_zones_own_servers(world: World) -> None:
    old = ZONES["example.org"].format(helo="", spf="")
    with another(world.folder, "example.org", old) as resolver:
        Path("/etc/resolv.conf").write_text(f"nameserver {resolver}\n")
        assert servers.records("server.example.org", server=resolver) == []
        ask = mail_ask.Lookups()
        assert ask("server.example.org", "AAAA") == ((SIX,), "")
        assert ask("example.org", "TXT").records
        assert ask("nothing.example.org", "TXT") == ((), "")


def test_a_server_that_does_not_answer_is_waited_for_once(world: World) -> None:
    daemons.run("ip", "netns", "exec", NETWORK, "ip", "addr", "add", "192.0.2.53/24", "dev", "vm1")
    drop = ["ip", "netns", "exec", NETWORK, "ip", "route", "add", "blackhole", f"{FOUR}/32"]
    daemons.run(*drop)  # no answer of it comes back
    ask = mail_ask.Lookups(["192.0.2.53", "127.0.0.1"])
    start = time.monotonic()
    assert ask("server.example.org", "AAAA") == ((SIX,), "")
    first = time.monotonic() - start
    assert mail_ask.QUERY - 1 < first < mail_ask.QUERY + 5
    for kind in ("A", "TXT", "MX"):
        assert not ask("example.org", kind).error
    assert time.monotonic() - start - first < 1


def test_a_record_has_to_be_on_all_servers(world: World) -> None:
    more = ZONES["example.org"].format(helo=f"server AAAA {SIX}\nserver AAAA {OTHER}", spf="")
    with another(world.folder, "example.org", more) as second:
        ask = mail_ask.Lookups(["127.0.0.1", second, "127.0.0.9"])
        assert ask("server.example.org", "AAAA") == ((SIX,), "")
        assert ask("example.org", "TXT") == ((), "")


def test_an_alias_is_followed_to_a_zone_of_others(world: World) -> None:
    aliases = ["alias CNAME other", "other CNAME mx.example.net.", "round CNAME about", "about CNAME round"]
    world.records(ptr=f"{HOST} CNAME 25.sub.example.net.", helo="\n".join(aliases))
    ask = mail_ask.Lookups(["127.0.0.1"])
    assert ask("alias.example.org", "AAAA") == (("2001:db8:1::1",), "")
    assert not ask("round.example.org", "AAAA").records
    assert ask(f"{HOST}.{REVERSE}", "PTR") == ((), "")


ROUTERS = Path("/etc/exim4/conf.d/router/200_exim4-config_primary")
UPDATE = Path("/etc/exim4/update-exim4.conf.conf")


@pytest.fixture
def exim4(request: pytest.FixtureRequest, exim: Any, world: World) -> World:  # noqa: F811
    """Exim, as Debian has it for a host on the internet: it listens on both families, and sends over both."""
    before = ROUTERS.read_bytes()
    request.addfinalizer(lambda: ROUTERS.write_bytes(before))
    request.addfinalizer(lambda: daemons.stop("exim4", 25))
    UPDATE.write_text(DEBCONF.replace("dc_local_interfaces='127.0.0.1 ; ::1'", "dc_local_interfaces=''"))
    daemons.start("exim4", 25)
    daemons.wait_for(25, family="ipv6")
    Path("/usr/sbin/sendmail").rename("/usr/sbin/sendmail.postfix")
    Path("/usr/sbin/sendmail").symlink_to("/usr/sbin/exim4")
    request.addfinalizer(lambda: Path("/usr/sbin/sendmail.postfix").rename("/usr/sbin/sendmail"))
    return world


def test_exim_sends_over_both_with_all_records(exim4: World, converge: Any) -> None:
    before = ROUTERS.read_bytes()
    assert settled(converge, "exim4") == "exim4 is as declared"
    assert ROUTERS.read_bytes() == before
    assert exim4.sent("you@six.example.net") == SIX
    assert exim4.families() >= {"ipv6"}


@pytest.mark.parametrize("record", LACKING)
def test_exim_receives_over_both_and_sends_over_ipv4_without_one_of_them(
    exim4: World, converge: Any, record: str
) -> None:
    text, said = LACKING[record]
    before = ROUTERS.read_bytes()
    exim4.records(**{record: text})
    done = twice(converge, "exim4")
    assert said in done["comment"], done["comment"]
    assert ROUTERS.read_text().count("ipv4_only = true") == 2
    assert exim4.families() == {"ipv4"}
    assert daemons.families(25) == ["ipv4", "ipv6"]
    exim4.records()
    twice(converge, "exim4")
    assert ROUTERS.read_bytes() == before
    assert exim4.sent("you@six.example.net") == SIX


def test_a_smarthost_of_exim_is_not_judged(exim4: World, converge: Any) -> None:
    UPDATE.write_text(UPDATE.read_text().replace("='internet'", "='smarthost'").replace("rthost=''", "rthost='mx.a.b'"))
    exim4.records(ptr=";")
    assert "PTR" not in settled(converge, "exim4")


def test_what_the_user_of_exim_has_written_stays(exim4: World, converge: Any) -> None:
    daemons.edit(str(ROUTERS), "^(  driver = dnslookup)$", r"\1\n  ipv4_only = no")
    before = ROUTERS.read_bytes()
    exim4.records(ptr=";")
    comment = settled(converge, "exim4")
    assert "others may refuse that: `ipv4_only = no` is yours, and stays: it sends over IPv6\n" in comment
    assert ROUTERS.read_bytes() == before
    assert settled(converge, "exim4", send="ipv4")
