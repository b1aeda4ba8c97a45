"""
The proof in the report: a native host, and one with a tunnel whose broker is in a namespace.

The enclosure's kernel has no 6in4 device. A veth stands in for it, which the report is told to be one; everything else
is real: the addresses, the routes, the pings, the files, the name server.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _dualstack_dns_values as dns_values
import _dualstack_host_ip as host_ip
import _dualstack_pillar as pillar_room
import _dualstack_plugins as plugins
import _dualstack_report_table as report_table
import _dualstack_report_whole as report_whole
import pytest

from ..integration import native
from . import daemons

NAME, BROKER = "he-ipv6", "broker"
ENDPOINT, LOCAL = "216.66.84.42", "46.105.5.1"
OURS, GATEWAY, PUBLISHED = "2001:470:1f12:f87::2", "2001:470:1f12:f87::1", "2001:470:1f13:f87::77"
ROUTED = "2001:470:1f13:f87::/64"
TUNNEL = {
    "endpoint": ENDPOINT,
    "local": LOCAL,
    "address": f"{OURS}/64",
    "gateway": GATEWAY,
    "addresses": [f"{PUBLISHED}/64"],
}
KIND = {"info_kind": "sit", "info_data": {"proto": "ip6ip", "remote": ENDPOINT, "local": LOCAL, "ttl": 255}}
INTERFACES = Path("/etc/network/interfaces.d/he-ipv6")
IFSTATE = Path("/run/network/ifstate")
RESOLV = Path("/etc/resolv.conf")
PILLAR = {"tunnel": TUNNEL, "verify": {"beyond": [native.BEYOND]}}
GOOD = f"{NAME} to {ENDPOINT}: the broker answers, {PUBLISHED} is routed, MTU 1480"

Report = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def report(modules: Any) -> Report:
    """The report on this host with a pillar; its text is narrow, and its data can be sent."""
    known = pillar_room.Known(plugins.stacks(modules), plugins.services(modules), plugins.providers(modules))

    def look(pillar: dict[str, Any]) -> dict[str, Any]:
        found = report_whole.of_pillar(pillar, known)
        assert found["version"] == 1
        assert json.loads(json.dumps(found)) == found
        lines = report_table.table(found).split("\n")
        assert max(map(len, lines)) <= report_table.WIDTH
        assert " ".join(lines).endswith(dns_values.spelt(found["summary"]))
        return found

    return look


def broker(*words: str) -> None:
    daemons.run("ip", "-n", BROKER, *words)


@pytest.fixture
def tunnel(modules: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host whose tunnel is up, and its broker, who routes the prefix."""
    look = host_ip.look

    def sit(words: list[str]) -> list[dict[str, Any]]:
        return [{**each, "linkinfo": KIND} if each.get("ifname") == NAME else each for each in look(words)]

    monkeypatch.setattr(host_ip, "look", sit)
    INTERFACES.write_text(modules.he_tunnel.render(**TUNNEL)[str(INTERFACES)])
    IFSTATE.parent.mkdir(parents=True, exist_ok=True)
    IFSTATE.write_text(f"{NAME}={NAME}\n")  # ifup has brought it up
    daemons.run("ip", "netns", "add", BROKER)
    try:
        for name, peer in (("eth0", "wan"), (NAME, "six")):
            daemons.run(*f"ip link add {name} type veth peer name {peer} netns {BROKER}".split())
            daemons.run("ip", "link", "set", name, "mtu", "1480", "addrgenmode", "none", "up")
            broker("link", "set", peer, "mtu", "1480", "up")
        Path(f"/proc/sys/net/ipv6/conf/{NAME}/accept_ra").write_text("0\n")  # as the file says
        broker("link", "set", "lo", "up")
        daemons.run("ip", "addr", "add", f"{LOCAL}/24", "dev", "eth0")
        daemons.run("ip", "route", "add", "default", "via", "46.105.5.2")
        for each, device in (("46.105.5.2/24", "wan"), (f"{ENDPOINT}/32", "lo")):
            broker("addr", "add", each, "dev", device)
        daemons.run(*f"ip -6 addr add {OURS}/64 dev {NAME} nodad preferred_lft 0".split())
        daemons.run(*f"ip -6 addr add {PUBLISHED}/64 dev {NAME} nodad".split())
        daemons.run(*f"ip -6 route add default via {GATEWAY} dev {NAME} metric 1024".split())
        for each, device in ((f"{GATEWAY}/64", "six"), (f"{native.BEYOND}/128", "lo")):
            broker("addr", "add", each, "dev", device, "nodad")
        broker("-6", "route", "add", ROUTED, "via", OURS, "dev", "six")
        for target in (GATEWAY, ENDPOINT):
            daemons.run("ping", "-c", "1", "-w", "10", target)  # until the link is up
        yield
    finally:
        IFSTATE.unlink()
        INTERFACES.unlink()
        for name in ("eth0", NAME):
            subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)
        daemons.run("ip", "netns", "del", BROKER)


def die() -> None:
    """The broker no longer does anything over IPv6."""
    daemons.run(*f"ip netns exec {BROKER} ip6tables -A INPUT -p icmpv6 --icmpv6-type echo-request -j DROP".split())


def outcomes(found: dict[str, Any]) -> dict[str, str]:
    return {each["rung"]: each["outcome"] for each in found["proof"]}


def text(found: dict[str, Any], rung: str) -> str:
    return next(str(each["text"]) for each in found["proof"] if each["rung"] == rung)


HELD = {"tunnel": "held", "published address": "held", "route": "held", "beyond": "held", "next boot": "held"}


# --------------------------------------------------------------------------------------------------------------
# A tunnel


@pytest.mark.usefixtures("tunnel")
def test_a_tunnel_that_works(report: Report) -> None:
    found = report(PILLAR)
    assert outcomes(found) == HELD, found["proof"]
    assert text(found, "tunnel") == GOOD
    assert text(found, "beyond").startswith(f"{native.BEYOND} answers to {PUBLISHED}: 3 of 3")
    assert [each["warnings"] for each in found["proof"]] == [[]] * 5
    assert found["problems"] == []
    assert f"  tunnel             yes  {NAME} to {ENDPOINT}: the broker answers" in report_table.table(found)


@pytest.mark.usefixtures("tunnel")
def test_a_broker_that_is_dead(report: Report) -> None:
    """What listens here still answers here, in both families: nobody else gets there."""
    die()
    daemons.start("dovecot", 143)
    try:
        found = report({**PILLAR, "services": {"dovecot": {"ports": [143]}}})
    finally:
        daemons.stop("dovecot", 143)
    imap = next(each for each in found["services"] if each["port"] == 143)
    assert imap["ipv6"] == {"listening": True, "allowed": True, "answering": True}
    assert outcomes(found) == {**HELD, "tunnel": "failed", "beyond": "failed"}
    assert text(found, "tunnel").startswith(f"{GATEWAY} does not answer through {NAME}: 100% loss")
    assert f"{ENDPOINT} answers over IPv4: protocol 41 is blocked on the way" in text(found, "tunnel")
    assert found["summary"].startswith("IPv6 is not proven: tunnel and beyond failed")
    shown = report_table.table(found)
    assert f"\n! tunnel             NO   {GATEWAY} does not answer" in shown
    assert "are the same" not in shown and "are as expected" not in shown


@pytest.mark.usefixtures("tunnel")
def test_ipv4_to_the_broker_is_down(report: Report) -> None:
    die()
    broker("addr", "del", f"{ENDPOINT}/32", "dev", "lo")
    found = report(PILLAR)
    assert outcomes(found)["tunnel"] == "failed"
    assert text(found, "tunnel").startswith(f"{ENDPOINT} does not answer over IPv4 (")
    assert text(found, "tunnel").endswith("IPv4 to the endpoint is down or blocked")


@pytest.mark.usefixtures("tunnel")
def test_a_prefix_that_is_not_routed(report: Report) -> None:
    broker("-6", "route", "del", ROUTED)
    found = report({"tunnel": TUNNEL})
    assert outcomes(found) == {**HELD, "tunnel": "failed", "beyond": "failed"}
    assert f"the broker does not route the prefix of {PUBLISHED} to this tunnel" in text(found, "tunnel")
    assert found["summary"].startswith("IPv6 is not proven: tunnel and beyond failed")


@pytest.mark.usefixtures("tunnel")
def test_large_packets_are_lost(report: Report) -> None:
    broker("link", "set", "six", "mtu", "1280")
    found = report(PILLAR)
    assert outcomes(found) == HELD
    (warning,) = [said for each in found["proof"] for said in each["warnings"]]
    assert warning.startswith(f"packets of 1480 bytes, the MTU of {NAME}, do not come back from {GATEWAY}")
    assert [each["of"] for each in found["problems"]] == ["tunnel"]
    assert found["summary"].startswith(warning)


@pytest.mark.usefixtures("tunnel")
def test_a_tunnel_that_is_not_what_its_files_say(report: Report) -> None:
    daemons.run("ip", "-6", "addr", "add", "2001:470:1f13:f87::99/64", "dev", NAME, "nodad")
    found = report(PILLAR)
    assert outcomes(found) == {**HELD, "tunnel": "failed", "next boot": "failed"}
    assert "2001:470:1f13:f87::99/64" in text(found, "tunnel")


@pytest.mark.usefixtures("tunnel")
def test_a_tunnel_that_nobody_has_set_up_yet(report: Report) -> None:
    found = report({"tunnel": {**TUNNEL, "name": "six"}})
    assert (outcomes(found)["tunnel"], text(found, "tunnel")) == ("failed", "six is not configured on this host")


@pytest.mark.usefixtures("tunnel")
def test_another_tunnel(report: Report) -> None:
    """What the route of one takes away from the other is a problem; that it is there, is not."""
    for each, mode in (("idle", "tun"), ("machine", "tap"), ("other", "tun")):
        daemons.run("ip", "tuntap", "add", "dev", each, "mode", mode)
    for each in ("machine", "other"):
        daemons.run("ip", "link", "set", each, "up")
    try:
        found = report(PILLAR)
        nothing: dict[str, Any] = {"local": None, "remote": None, "addresses": [], "metrics": [], "rival": False}
        assert found["tunnels"] == [{"interface": "other", "kind": "tun", **nothing}]
        said = "another tunnel is up: other, tun"
        assert {"mark": "-", "text": said} in found["notes"]
        assert found["problems"] == []
        daemons.run("ip", "-6", "route", "add", "default", "dev", "other", "metric", "5")
        found = report(PILLAR)
        assert outcomes(found)["route"] == "failed"
        text = f"{said}, and an IPv6 default route of metric 5, which may come before the tunnel's"
        assert {"of": "other", "text": text} in found["problems"]
        assert said not in [each["text"] for each in found["notes"]]
    finally:
        for each in ("idle", "machine", "other"):
            daemons.run("ip", "link", "del", each)


# --------------------------------------------------------------------------------------------------------------
# A host with IPv6 of its own


def test_a_native_host(report: Report) -> None:
    with native.host():
        found = report({"dns": {"address": native.ADDRESS}, "verify": {"beyond": [native.BEYOND]}})
        assert outcomes(found) == {
            **{"published address": "held", "route": "held", "beyond": "held", "next boot": "not tried"}
        }
        native.silence(native.BEYOND)
        found = report({"dns": {"address": native.ADDRESS}, "verify": {"beyond": [native.BEYOND]}})
        assert outcomes(found)["beyond"] == "failed"
        assert found["summary"].startswith("IPv6 is not proven: beyond failed")
        found = report({"dns": {"address": "2001:db8:dead::1"}})
        assert text(found, "published address") == "2001:db8:dead::1 is not an address of this host"
        assert text(found, "beyond") == "not tried, since this failed: published address"
        assert found["summary"].startswith("IPv6 is not proven: published address failed; not known: next boot")
    with native.host(route=False):
        found = report({"dns": {"address": native.ADDRESS}})
        assert outcomes(found)["route"] == "failed"
        assert text(found, "beyond") == "not tried, since this failed: route"


def test_nobody_beyond_is_asked(report: Report) -> None:
    """The services may be as good as they like: whether others come to them is not known."""
    with native.host():
        found = report({})
        assert outcomes(found) == {"route": "held", "beyond": "not tried"}
        assert found["problems"] == []
        assert found["summary"] == "nothing wrong was found; not known: beyond"
        assert "\n? beyond  ?    nobody beyond is named" in report_table.table(found)
        found = report({"dns": {"address": native.ADDRESS, "without": ["beyond", "next boot"]}})
        assert outcomes(found)["beyond"] == "not tried"
        assert found["summary"] == "nothing wrong was found; not known: PTR"  # no name server is known either
        assert "\n  beyond             -    not needed, as dns:without says: " in report_table.table(found)


# --------------------------------------------------------------------------------------------------------------
# PTR records and mail

REVERSE = "1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
HEAD = """$TTL 60
@ IN SOA ns.example.org. root.example.org. 1 60 60 60 60
@ IN NS ns.example.org.
"""
FORWARD = f"""{HEAD}ns IN A 127.0.0.1
server IN A {native.IPV4}
server IN AAAA {native.ADDRESS}
server IN TXT "v=spf1 ip6:{native.ADDRESS} -all"
xn--bcher-kva IN A {native.IPV4}
"""
POINTER = "8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 IN PTR server.example.org.\n"


@pytest.fixture
def zones(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Have a name server that knows example.org, and what is given of the reverse zone."""

    def start(reverse: str) -> None:
        local = Path("/etc/bind/named.conf.local")
        before = local.read_text()
        request.addfinalizer(lambda: local.write_text(before))
        lines = ""
        for zone, text in (("example.org", FORWARD), (REVERSE, f"{HEAD}{reverse}")):
            Path(f"/etc/bind/db.{zone}").write_text(text)
            lines += f'zone "{zone}" {{ type master; file "/etc/bind/db.{zone}"; }};\n'
        local.write_text(lines)
        RESOLV.write_text("nameserver 127.0.0.1\n")
        request.addfinalizer(lambda: RESOLV.write_text(""))
        daemons.start("named", 53)
        request.addfinalizer(lambda: daemons.stop("named", 53))

    return start


def mailing(send: str) -> dict[str, Any]:
    dns = {"address": native.ADDRESS, "names": ["server.example.org"], "servers": ["127.0.0.1"]}
    return {
        "dns": dns,
        "verify": {"beyond": [native.BEYOND]},
        "services": {"postfix": {"ports": [25], "send": send}},
    }


@pytest.fixture
def postfix(request: pytest.FixtureRequest) -> None:
    """It is called by the name that the zone has."""
    request.addfinalizer(lambda: daemons.restore("postfix"))
    daemons.run("postconf", "-e", "myhostname=server.example.org", "myorigin=server.example.org")


@pytest.mark.usefixtures("postfix")
def test_a_host_whose_mail_is_taken(report: Report, zones: Callable[[str], None]) -> None:
    with native.host():
        zones(POINTER)
        found = report(mailing("auto"))
        names = {"names": ["server.example.org"], "error": "", "expected": False}
        assert found["ptr"] == [{"address": native.ADDRESS, **names}]
        assert [(each["service"], each["outcome"]) for each in found["mail"]] == [("postfix", "held")], found["mail"]
        assert "which leads back to it" in found["mail"][0]["text"]
        assert outcomes(found)["A record"] == "held"
        shown = report_table.table(found)
        assert f"\n  PTR                yes  {native.ADDRESS} is server.example.org\n" in shown
        assert f"\n  mail               yes  postfix from {native.ADDRESS}: PTR: " in shown
        assert report(mailing("ipv4"))["mail"] == []


@pytest.mark.usefixtures("postfix")
def test_a_host_whose_mail_may_be_refused(report: Report, zones: Callable[[str], None]) -> None:
    """It is sent over IPv4, unless the pillar insists."""
    with native.host():
        zones("")
        found = report(mailing("auto"))
        assert found["ptr"][0]["names"] == []
        (mail,) = found["mail"]
        assert (mail["outcome"], mail["send"]) == ("failed", "auto")
        assert f"{native.ADDRESS} has no PTR record" in mail["text"]
        assert [each for each in found["problems"] if "PTR" in each["text"]] == []
        assert f"\n  PTR                no   {native.ADDRESS} has no PTR record\n" in report_table.table(found)
        assert "\n  mail               no   postfix from " in report_table.table(found)
        found = report(mailing("both"))
        text = f"mail of postfix over IPv6 may be refused: PTR: {native.ADDRESS} has no PTR record"
        assert [each["of"] for each in found["problems"] if each["text"].startswith(text)] == ["postfix"]


def test_a_ptr_record_that_the_pillar_has_is_missing(report: Report, zones: Callable[[str], None]) -> None:
    with native.host():
        zones("")
        ptr = {"zone": REVERSE, "provider": "rfc2136", "servers": ["127.0.0.1"]}
        found = report({"dns": {"address": native.ADDRESS, "ptr": ptr}, "verify": {"beyond": [native.BEYOND]}})
        assert {"of": "PTR", "text": f"{native.ADDRESS} has no PTR record, which the pillar has"} in found["problems"]


def test_no_name_server_answers(report: Report) -> None:
    RESOLV.write_text("nameserver 127.0.0.1\n")
    try:
        with native.host():
            found = report(mailing("auto"))
    finally:
        RESOLV.write_text("")
    assert found["ptr"][0]["names"] is None
    said = f"not asked, since the PTR record of {native.ADDRESS} is not known"
    assert [(each["outcome"], each["text"]) for each in found["mail"]] == [("not tried", said)]
    for each in ("A record", "published (server.example.org)", "PTR", "mail (postfix)"):
        assert each in found["summary"]
    assert outcomes(found)["A record"] == "not tried"


def test_an_internationalised_name_is_shown_in_both_forms(report: Report, zones: Callable[[str], None]) -> None:
    with native.host():
        zones(POINTER)
        found = report({"dns": {"address": native.ADDRESS, "names": ["Bücher.example.org"]}})
    name = "xn--bcher-kva.example.org"
    assert [each["name"] for each in found["published"]] == [name]
    assert {"of": name, "text": f"{name} has no AAAA"} in found["problems"]
    shown = report_table.table(found)
    assert f"\n! bücher.example.org ({name})" in shown


def test_a_host_without_ipv6(report: Report) -> None:
    found = report({})
    assert (found["proof"], found["ptr"], found["mail"], found["tunnels"]) == ([], [], [], [])
    assert found["summary"] == "this host has no public IPv4 and no IPv6 address"
