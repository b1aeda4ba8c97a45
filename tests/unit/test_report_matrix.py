"""What a report is made of: sockets, addresses, rules, answers and names, here of a host that is made up."""

from __future__ import annotations


from pathlib import Path
from typing import Any

import _dualstack_firewall_trial as firewall_trial
import _dualstack_firewall_view as firewall_view
import _dualstack_pillar as pillar
import _dualstack_report as report
import _dualstack_report_names as report_names
import _dualstack_report_problems as report_problems
import _dualstack_service_allowed as service_allowed
import _dualstack_service_audit as service_audit
import _dualstack_service_host as service_host
import _dualstack_service_probe as service_probe
import _dualstack_service_probe_udp as service_probe_udp
import pytest
import salt.utils.network
from salt.exceptions import CommandExecutionError, SaltInvocationError

FOUR, MORE, SIX = "46.105.5.1", "46.105.5.9", "2001:470:1f13:f87::77"
SERVICES: Any = {"dovecot": None, "ssh": None}
KNOWN = pillar.Known({}, SERVICES, {})


class Host:
    """A host: its addresses, its sockets, its rules and its services."""

    def __init__(self) -> None:
        self.addresses = {"ipv4": [FOUR, MORE], "ipv6": ["fe80::1", SIX]}
        self.usual = {"ipv4": (FOUR, "eth0"), "ipv6": (SIX, "he-ipv6")}
        self.serves: dict[str, dict[str, list[str]]] = {"dovecot": {"ipv4": ["tcp/143"], "ipv6": ["tcp/143"]}}
        self.sockets: list[dict[str, Any]] = []
        self.unseen: list[str] = []
        self.running: list[str] = []
        self.rejects: set[tuple[str, str]] = set()
        self.silent: set[str] = set()
        self.warnings: list[str] = []
        self.untested = ""
        self.tried: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.look: dict[str, Any] = {}

    def expectations(self, expect: Any, tunnel: Any) -> Any:
        if self.untested:
            raise CommandExecutionError(self.untested)
        assert expect == [{"to": "icmp", "verdict": "accept"}]
        return [{"family": each, "destination": to, "interface": by} for each, (to, by) in self.usual.items()]

    def allowed(self, targets: list[str], tunnel: Any, choice: str) -> Any:
        if self.untested:
            raise CommandExecutionError(self.untested)
        self.tried, self.tunnel = targets, tunnel
        assert choice == "auto"
        return {
            "allowed": {to: {each: (to, each) not in self.rejects for each in ("ipv4", "ipv6")} for to in targets},
            "warnings": self.warnings,
        }

    def probe_all(self, targets: list[dict[str, Any]], timeout: float | None) -> list[dict[str, Any]]:
        self.asked += targets
        silent = {"answers": False, "error": "no banner", "banner": "", "look": {}, "reason": "timeout"}
        spoken = {"answers": True, "error": "", "banner": "hello", "look": self.look, "reason": ""}
        return [{**each, **(silent if each["address"] in self.silent else spoken)} for each in targets]

    def daemon(self, known: Any, name: str) -> Any:
        about = {"files": [], "units": [], "protocols": {143: "imap", 22: "ssh"}}
        return service_host.Daemon(name, None, about)  # type: ignore[arg-type]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(salt.utils.network, "ip_addrs", lambda: found.addresses["ipv4"])
    monkeypatch.setattr(salt.utils.network, "ip_addrs6", lambda: found.addresses["ipv6"])
    monkeypatch.setattr(firewall_view, "expectations", found.expectations)
    monkeypatch.setattr(firewall_trial, "allowed", found.allowed)
    monkeypatch.setattr(service_audit, "audit", lambda known: {key: {"serves": it} for key, it in found.serves.items()})
    monkeypatch.setattr(service_audit, "sockets", lambda known: {"sockets": found.sockets, "unseen": found.unseen})
    monkeypatch.setattr(service_host, "daemon", found.daemon)
    monkeypatch.setattr(service_host, "listeners", lambda daemon, files: [])
    monkeypatch.setattr(service_host, "running", lambda daemon: daemon.name in found.running)
    monkeypatch.setattr(service_probe, "probe_all", found.probe_all)
    monkeypatch.setattr(report_names, "published", lambda names, servers, *_: [] if not names else [(names, servers)])
    monkeypatch.setattr(pillar, "errors", lambda given, known: [])
    return found


def matrix(services: Any = None, tunnel: Any = None) -> Any:
    return report.matrix(services or {}, tunnel or {}, [], [], KNOWN)


def problems(found: Any) -> list[str]:
    whole = {**found, "proof": [], "ptr": [], "mail": [], "tunnels": []}
    return [each["text"] for each in report_problems.problems(whole)]


def rows(found: Any) -> dict[str, Any]:
    return {f"{each['service']} {each['transport']}/{each['port']}": each for each in found["services"]}


def notes(found: Any) -> list[str]:
    return [f"{each['mark']} {each['text']}" for each in found["notes"]]


YES = {"listening": True, "allowed": True, "answering": True}


def test_a_host_and_its_service(host: Host) -> None:
    found = matrix()
    assert found["ipv4"] == {"addresses": [FOUR, MORE], "address": FOUR, "interface": "eth0"}
    assert found["ipv6"] == {"addresses": [SIX], "address": SIX, "interface": "he-ipv6"}, "no link-local one"
    assert found["services"] == [
        {
            **{"service": "dovecot", "transport": "tcp", "port": 143, "protocol": "imap", "declared": False},
            **{"ipv4": YES, "ipv6": YES},
        }
    ]
    assert (problems(found), notes(found)) == ([], [])
    assert host.tried == ["tcp/143"]
    assert [(each["address"], each["protocol"]) for each in host.asked] == [
        *((FOUR, "imap"), (MORE, "imap"), (SIX, "imap")),
    ]


def test_the_usual_address_is_one_that_the_host_has(host: Host) -> None:
    host.usual = {"ipv4": ("198.51.100.2", "eth0"), "ipv6": (SIX, "eth0")}
    assert matrix()["ipv4"] == {"addresses": [FOUR, MORE], "address": FOUR, "interface": "eth0"}
    host.addresses["ipv4"] = []
    assert matrix()["ipv4"] == {"addresses": [], "address": None, "interface": "eth0"}


def test_one_address_that_does_not_answer_is_enough(host: Host) -> None:
    host.silent = {MORE}
    found = rows(matrix())["dovecot tcp/143"]
    assert found["ipv4"] == {**YES, "answering": False, "error": f"no banner on {MORE}"}
    assert found["ipv6"] == YES
    host.silent = {FOUR, MORE}
    assert rows(matrix())["dovecot tcp/143"]["ipv4"]["error"] == f"no banner on {FOUR}"


def test_a_service_of_one_family(host: Host) -> None:
    host.serves = {"dovecot": {"ipv4": ["tcp/143"], "ipv6": []}}
    host.rejects = {("tcp/143", "ipv6")}
    found = matrix()
    row = rows(found)["dovecot tcp/143"]
    assert (row["ipv4"], row["ipv6"]) == (YES, {"listening": False, "allowed": False})
    assert problems(found) == ["dovecot (143) does not listen over IPv6"]


def test_a_socket_that_systemd_holds_is_the_services(host: Host) -> None:
    host.serves = {"ssh.socket": {"ipv4": ["tcp/22"], "ipv6": ["tcp/22"]}}
    assert list(rows(matrix())) == ["ssh tcp/22"]


def socket(address: str, family: str, port: int, service: str = "ssh", transport: str = "tcp") -> dict[str, Any]:
    return {"address": address, "families": [family], "port": port, "service": service, "transport": transport}


def test_what_listens_on_one_address_is_asked_there(host: Host) -> None:
    host.serves = {}
    host.sockets = [
        socket(MORE, "ipv4", 22),
        socket(SIX, "ipv6", 22),
        socket("127.0.0.1", "ipv4", 25),
        socket(f"::ffff:{FOUR}", "ipv4", 80, "nginx"),
    ]
    host.rejects = {(f"tcp/{MORE}:22", "ipv4")}
    found = matrix()
    assert list(rows(found)) == ["nginx tcp/80", "ssh tcp/22"], "loopback does not concern others"
    row = rows(found)["ssh tcp/22"]
    assert row["ipv4"] == {**YES, "allowed": False}
    assert row["ipv6"] == YES
    assert sorted(host.tried) == sorted([f"tcp/{MORE}:22", "tcp/22", "tcp/80"])
    assert ([each["address"] for each in host.asked]) == [FOUR, MORE, SIX]
    assert rows(found)["nginx tcp/80"]["ipv6"] == {"listening": False, "allowed": True}
    host.usual["ipv6"] = ("2001:db8::1", "eth0")
    host.addresses["ipv6"] = ["2001:db8::1", SIX]
    matrix()
    assert f"tcp/[{SIX}]:22" in host.tried


def test_a_service_that_binds_addresses_can_bind_none_where_there_is_none(host: Host) -> None:
    host.serves = {}
    host.sockets = [socket(FOUR, "ipv4", 22)]
    host.addresses["ipv6"] = []
    assert "listening" not in rows(matrix())["ssh tcp/22"]["ipv6"]
    host.serves = {"ssh": {"ipv4": ["tcp/22"], "ipv6": []}}
    assert rows(matrix())["ssh tcp/22"]["ipv6"]["listening"] is False


def test_what_the_pillar_expects_and_nobody_serves(host: Host) -> None:
    found = matrix({"dovecot": {"ports": [143, 993]}, "ssh": None})
    assert {key: each["declared"] for key, each in rows(found).items()} == {
        "dovecot tcp/143": True,
        "dovecot tcp/993": True,
        "ssh /None": True,
    }
    assert rows(found)["dovecot tcp/993"]["ipv4"] == {"listening": False, "allowed": True}
    assert rows(found)["ssh /None"]["ipv4"] == {"listening": False}, "nobody knows where"


def test_a_process_that_cannot_be_seen(host: Host) -> None:
    """The pillar is believed that it is the service; and of one without ports nothing is known."""
    host.serves = {"unknown": {"ipv4": ["tcp/993"], "ipv6": ["tcp/993"]}}
    host.unseen = ["the processes of others cannot be seen"]
    found = matrix({"dovecot": {"ports": [993]}})
    assert list(rows(found)) == ["dovecot tcp/993"]
    assert rows(found)["dovecot tcp/993"]["ipv4"]["listening"] is True
    assert notes(found)[0] == "? the processes of others cannot be seen"
    host.running = ["ssh"]
    assert rows(matrix({"ssh": {}}))["ssh /None"]["ipv4"]["listening"] is None
    host.running = []
    assert rows(matrix({"ssh": {}}))["ssh /None"]["ipv4"]["listening"] is False
    assert list(rows(matrix({"ssh": {}}))) == ["ssh /None", "unknown tcp/993"], "those come last"


def test_what_is_spoken_on_a_port(host: Host) -> None:
    host.serves = {"dovecot": {"ipv4": ["tcp/143", "tcp/4190"], "ipv6": []}, "x": {"ipv4": ["udp/7"], "ipv6": []}}
    found = matrix({"dovecot": {"ports": [143, 4190], "protocols": {"143": "smtp"}}})
    assert {key: each["protocol"] for key, each in rows(found).items()} == {
        "dovecot tcp/143": "smtp",
        "dovecot tcp/4190": "tcp",
        "x udp/7": "udp",
    }
    assert all(each["port"] != 7 for each in host.asked)
    assert notes(found) == [
        "* only a connection was tried, since what is spoken there is not known",
        "- what is spoken over UDP was not asked where its protocol is not known",
    ]


def test_what_is_asked_over_udp(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def probe_udp(address: str, port: int, protocol: str) -> dict[str, Any]:
        assert (port, protocol) == (53, "dns")
        return {"answers": address not in host.silent, "error": "no answer", "address": address}

    monkeypatch.setattr(service_probe_udp, "probe_udp", probe_udp)
    host.serves = {"x": {"ipv4": ["udp/53"], "ipv6": ["udp/53"]}}
    assert [rows(matrix())["x udp/53"][family] for family in ("ipv4", "ipv6")] == [YES, YES]
    host.silent = {SIX}
    assert rows(matrix())["x udp/53"]["ipv6"] == {**YES, "answering": False, "error": f"no answer on {SIX}"}
    host.silent = {FOUR, MORE, SIX}
    found = rows(matrix())["x udp/53"]
    assert "answering" not in found["ipv4"] and "answering" not in found["ipv6"], "it may not answer everybody"


def test_another_site_over_ipv6_is_no_answer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.look = {"status": 200}
    asked = host.probe_all

    def probe_all(targets: Any, timeout: Any) -> list[dict[str, Any]]:
        return [
            {**each, "look": {"status": 403}} if ":" in each["address"] else each for each in asked(targets, timeout)
        ]

    monkeypatch.setattr(service_probe, "probe_all", probe_all)
    found = matrix()
    assert found["services"][0]["ipv6"]["answering"] is False
    assert problems(found) == [
        "dovecot (143) is not over IPv6 what it is over IPv4: tcp/143 answers 200 over IPv4 and 403 over IPv6"
    ]


def test_sockets_of_clients_are_left_out(host: Host) -> None:
    host.serves = {"b": {"ipv4": ["udp/32768", "udp/32767", "tcp/40000"], "ipv6": []}, "a": {"ipv4": ["udp/50000"]}}
    found = matrix()
    assert list(rows(found)) == ["b udp/32767", "b tcp/40000"]
    assert notes(found)[0] == "- left out, since they seem to be sockets of clients: a udp/50000, b udp/32768"


def test_rules_that_could_not_be_tried(host: Host) -> None:
    host.untested = "namespaces are not permitted"
    found = matrix()
    row = rows(found)["dovecot tcp/143"]
    assert (row["ipv4"], row["ipv6"]) == ({**YES, "allowed": None}, {**YES, "allowed": None})
    assert found["ipv4"] == {"addresses": [FOUR, MORE], "address": FOUR, "interface": None}
    assert notes(found) == [
        "? the interface that traffic arrives on is not known: namespaces are not permitted",
        "? whether the firewalls let anybody in was not tested: namespaces are not permitted",
    ]
    host.untested, host.warnings = "", ["iptables-legacy also filters here"]
    assert notes(matrix()) == ["? iptables-legacy also filters here"]


def test_a_host_without_services(host: Host) -> None:
    host.serves = {}
    found = matrix(tunnel={"name": "six"})
    assert (found["services"], host.tried) == ([], [])


def test_the_parts_of_the_pillar_that_are_used(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(report, "matrix", lambda *arguments: given.append(arguments))
    dns = {"names": ["www.example.org"], "servers": ["192.0.2.53"], "provider": "he"}
    report.of_pillar({"services": {"ssh": {}}, "tunnel": {"address": f"{SIX}/64"}, "dns": dns}, KNOWN)
    report.of_pillar({"services": None, "tunnel": None, "dns": None}, KNOWN)
    report.of_pillar({}, KNOWN)
    nothing: Any = ({}, {}, [], [], KNOWN, None)
    tunnel = {"name": "he-ipv6", "address": f"{SIX}/64"}
    assert given == [({"ssh": {}}, tunnel, ["www.example.org"], ["192.0.2.53"], KNOWN, SIX), nothing, nothing]


def test_a_wrong_pillar_is_refused_with_every_error(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def errors(given: Any, known: Any) -> list[str]:
        asked.append(given)
        return ["ipv6:services: no"]

    monkeypatch.setattr(pillar, "errors", errors)
    with pytest.raises(SaltInvocationError) as caught:
        report.matrix({"ssh": 5}, {}, "www", ["ns1"], KNOWN)  # type: ignore[arg-type]
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        *("ipv6:services", "ipv6:dns:servers", "ipv6:dns:names"),
    ]
    assert asked == [{"services": {"ssh": 5}}], "what is empty is not checked"
    for odd in (5, {"dns": 5}, {"dns": ["www.example.org"]}):
        with pytest.raises(SaltInvocationError, match="^ipv6:services: no$"):
            report.of_pillar(odd, KNOWN)


def test_several_zones(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    zones: list[dict[str, Any]] = [
        {"names": ["www.example.org"], "servers": ["192.0.2.53"], "address": SIX},
        {"names": ["www.example.net"], "servers": ["192.0.2.54"]},
    ]
    with pytest.raises(SaltInvocationError) as caught:
        report.of_pillar({"dns": [zones[0], {"names": "www", "servers": ["ns1"]}]}, KNOWN)
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        *("ipv6:dns:1:servers", "ipv6:dns:1:names"),
    ]
    monkeypatch.setattr(report, "matrix", lambda *arguments: given.append(arguments))
    report.of_pillar({"dns": zones}, KNOWN)
    assert given == [({}, {}, ["www.example.org", "www.example.net"], [], KNOWN, SIX)], "no servers that know both"


def test_lists_of_the_whole_host_that_know_ipv4_only(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deny = tmp_path / "hosts.deny"
    deny.write_text("ALL: 192.0.2.7\n")
    monkeypatch.setattr(service_allowed, "FILES", (str(deny),))
    monkeypatch.setattr(service_allowed, "notes", lambda texts: [f"{path}: {text}" for path, text in texts.items()])
    found = matrix()
    assert notes(found) == [f"- {deny}: ALL: 192.0.2.7\n"]
