"""What probes see of mail servers, of those of XMPP, of sshd, databases and others, and which differences count."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import _dualstack_service_compare as service_compare
import _dualstack_service_probe as service_probe
import pytest

from . import conversations, daemons
from .conversations import FOUR, SIX, Run, Start, both, both_udp, certificate, same


@pytest.fixture(autouse=True)
def _addresses() -> Iterator[None]:
    with conversations.addresses():
        yield


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Start:
    return conversations.starter(request)


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return conversations.runner(request, tmp_path)


# --------------------------------------------------------------------------------------------------------------
# Mail


def test_postscreen_makes_clients_wait(start: Start) -> None:
    daemons.edit("/etc/postfix/master.cf", "^smtp      inet.*$", "smtp inet n - y - 1 postscreen")
    daemons.edit("/etc/postfix/master.cf", "^#smtpd     pass", "smtpd pass")
    daemons.run("postconf", "-e", "postscreen_greet_action = enforce", "postscreen_cache_map =")
    daemons.run("postconf", "-e", "postscreen_access_list =")
    start("postfix", 25)
    hasty = service_probe.probe({"address": FOUR, "port": 25, "protocol": "smtp"}, 3)
    assert (hasty["answers"], hasty["reason"]) == (False, "timeout")
    four, six = both(25, "smtp", name="mail.example.org")
    assert four["answers"] and six["answers"] and 5 < four["seconds"] < 15
    assert service_compare.differences(four, six) == []
    assert four["look"]["starttls"] == "offered" and four["look"]["certificate"]["key"]


def test_a_mail_server(start: Start) -> None:
    start("postfix", 25)
    look = same(both(25, "smtp"))
    assert (look["code"], look["starttls"]) == (220, "offered")
    assert look["greeting"].endswith("ESMTP Postfix (Debian/GNU)")
    assert {"STARTTLS", "SIZE 10240000", "8BITMIME"} <= {*look["capabilities"]} and look["certificate"]["fits"]


def test_a_mail_server_that_lacks_something_over_ipv6(start: Start) -> None:
    daemons.run("postconf", "-e", "smtpd_discard_ehlo_keyword_address_maps = cidr:/etc/postfix/discard")
    Path("/etc/postfix/discard").write_text("::/0 starttls, chunking\n")
    start("postfix", 25)
    four, six = both(25, "smtp")
    assert service_compare.differences(four, six) == [
        "STARTTLS is offered over IPv4 and not offered over IPv6",
        "lacks over IPv6: CHUNKING, STARTTLS",
    ]
    assert service_compare.differences(six, four) == []


def test_a_mail_server_that_refuses_everybody(start: Start) -> None:
    daemons.edit("/etc/postfix/master.cf", "^(smtp      inet.*)$", r"\1\n  -o smtpd_client_restrictions=reject")
    daemons.run("postconf", "-e", "smtpd_delay_reject = no")
    start("postfix", 25)
    four, six = both(25, "smtp")
    assert four["look"]["code"] == 554 and four["answers"]
    assert service_compare.differences(four, six) == []
    assert service_compare.told(four, six) == ["answers with code 554 over both"]


def test_postfix_behind_a_proxy(start: Start) -> None:
    daemons.run("postconf", "-e", "smtpd_upstream_proxy_protocol = haproxy", "smtpd_upstream_proxy_timeout = 1s")
    start("postfix", 25)
    four, six = both(25, "smtp")
    assert (four["answers"], six["reason"]) == (False, "refused") and "`421 4.3." in six["error"]
    assert service_compare.likely(six).startswith("the PROXY protocol is expected on this port")
    assert same(both(25, "smtp", proxy="v1"))["code"] == 220


def test_a_trusted_network_of_dovecots(start: Start) -> None:
    Path("/etc/dovecot/local.conf").write_text("login_trusted_networks = 192.0.2.0/24 127.0.0.0/8 ::1\n")
    start("dovecot", 143, 110)
    four, _ = both(110, "pop3")
    assert "[XCLIENT]" in four["banner"]
    for port, protocol in ((110, "pop3"), (995, "pop3s"), (143, "imap"), (993, "imaps")):
        same(both(port, protocol))


def test_mailboxes(start: Start) -> None:
    start("dovecot", 143, 110)
    for port, protocol, upgrade in ((143, "imap", "STARTTLS"), (110, "pop3", "STLS")):
        look = same(both(port, protocol))
        assert look["starttls"] == "offered" and upgrade in look["capabilities"] and look["certificate"]["key"]
        assert look["greeting"].endswith("OK Dovecot (Debian) ready.")
    for port, protocol in ((993, "imaps"), (995, "pop3s")):
        assert same(both(port, protocol))["certificate"]["key"]


def test_a_certificate_of_one_family(start: Start, tmp_path: Path) -> None:
    shutil.copytree(tmp_path, "/etc/dovecot/own")
    pem, key = certificate("imap.example.org", Path("/etc/dovecot/own"))
    with Path("/etc/dovecot/local.conf").open("w") as file:
        file.write(f"local {SIX} {{\n  ssl_cert = <{pem}\n  ssl_key = <{key}\n}}\n")
    start("dovecot", 143)
    (said,) = service_compare.differences(*both(143, "imap"))
    assert said.startswith("has another key in its certificate over IPv6 (for imap.example.org) than over IPv4 (for ")


def test_ftp(start: Start) -> None:
    start("vsftpd", 21, folder="/etc/vsftpd.conf")
    assert same(both(21, "ftp"))["greeting"] == "(vsFTPd 3.0.3)"


# --------------------------------------------------------------------------------------------------------------
# Others


@pytest.mark.parametrize("name", ["prosody", "ejabberd"])
def test_xmpp(start: Start, name: str) -> None:
    if name == "prosody":
        made = certificate("jabber.example.org", Path("/etc/prosody/certs"))
        Path("/etc/prosody/conf.d/host.cfg.lua").write_text(
            f'VirtualHost "jabber.example.org"\nssl = {{ certificate = "{made[0]}"; key = "{made[1]}" }}\n'
        )
    else:
        daemons.edit("/etc/ejabberd/ejabberd.yml", "^  - localhost$", "  - jabber.example.org")
    start(name, 5222, 5269)
    for port, protocol in ((5222, "xmpp"), (5269, "xmpp-server")):
        look = same(both(port, protocol, name="jabber.example.org"))
        # Prosody wants to know another server by its certificate, and says so after the handshake.
        refused = "not-authorized" if (name, protocol) == ("prosody", "xmpp-server") else ""
        assert (look["greeting"], look["starttls"]) == (refused, "required")
        assert look["certificate"]["fits"] is (name == "prosody")
        assert ("mechanisms PLAIN" in look["capabilities"]) is (protocol == "xmpp")
        four, six = both(port, protocol, name="other.example.org")
        assert (four["answers"], six["reason"], service_compare.differences(four, six)) == (False, "alert", [])
        assert service_compare.told(four, six) == [
            "answers neither over IPv4 nor over IPv6: does not serve this host (host-unknown)"
        ]
        assert same(both(port, protocol))["greeting"] == "host-unknown"  # who asks for nobody only wants to know


def test_the_host_key(run: Run, tmp_path: Path) -> None:
    os.makedirs("/run/sshd", exist_ok=True)
    output = run("/usr/sbin/sshd", "-D", "-e")
    daemons.wait_for(22)
    look = same(both(22, "ssh"))
    known = daemons.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]
    assert look["keys"] == [known] and look["greeting"].startswith("SSH-2.0-OpenSSH_")
    said = output.read_text()
    assert "error" not in said and "kex_exchange_identification: Connection reset" not in said
    assert f"Received disconnect from {SIX} port" in said


@pytest.mark.parametrize("exchange", ["ecdh-sha2-nistp256", "diffie-hellman-group14-sha256"])
def test_older_key_exchanges(run: Run, exchange: str) -> None:
    os.makedirs("/run/sshd", exist_ok=True)
    run("/usr/sbin/sshd", "-D", "-e", "-o", f"KexAlgorithms={exchange}", "-o", "HostKeyAlgorithms=rsa-sha2-512")
    daemons.wait_for(22)
    known = daemons.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_rsa_key.pub").split()[1]
    assert same(both(22, "ssh"))["keys"] == [known]


def test_sshd_has_a_limit(run: Run) -> None:
    os.makedirs("/run/sshd", exist_ok=True)
    run("/usr/sbin/sshd", "-D", "-e", "-o", "MaxStartups=1:100:1")
    daemons.wait_for(22)
    time.sleep(0.5)  # the wait was a client, too
    for _ in range(3):
        same(both(22, "ssh"))


def test_no_key_exchange_in_common(run: Run) -> None:
    os.makedirs("/run/sshd", exist_ok=True)
    run("/usr/sbin/sshd", "-D", "-e", "-o", "KexAlgorithms=sntrup761x25519-sha512@openssh.com")
    daemons.wait_for(22)
    assert same(both(22, "ssh"))["keys"] == []


def test_another_host_key(run: Run, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    os.makedirs("/run/sshd", exist_ok=True)
    daemons.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key"))
    run("/usr/sbin/sshd", "-D", "-e", "-o", f"ListenAddress={FOUR}", "-o", "PidFile=none")
    run("/usr/sbin/sshd", "-D", "-e", "-o", f"ListenAddress={SIX}", "-o", "PidFile=none", "-h", str(tmp_path / "key"))
    _wait(FOUR, 22)
    _wait(SIX, 22)
    (said,) = service_compare.differences(*both(22, "ssh"))
    assert said.startswith("has the host key SHA256:") and " over IPv6 and SHA256:" in said


def test_tcp_wrappers(run: Run) -> None:
    os.makedirs("/run/sshd", exist_ok=True)
    deny = Path("/etc/hosts.deny")
    before = deny.read_text()
    deny.write_text(f"{before}sshd: [{SIX}]\n")
    try:
        run("/usr/sbin/sshd", "-D", "-e")
        daemons.wait_for(22)
        _, hasty = both(22, "ssh", seconds=3)
        four, six = both(22, "ssh", seconds=15)
    finally:
        deny.write_text(before)
    assert four["answers"] and (six["answers"], six["reason"], hasty["reason"]) == (False, "closed", "timeout")
    assert "hosts.allow" in service_compare.likely(six) and "hosts.allow" in service_compare.likely(hasty)


def _wait(address: str, port: int) -> None:
    deadline = time.monotonic() + 10
    while not service_probe.probe({"address": address, "port": port})["answers"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_name_server_that_lets_one_family_ask(start: Start) -> None:
    daemons.edit(
        "/etc/bind/named.conf.options", "listen-on-v6", "allow-query { 127.0.0.1; 192.0.2.0/24; }; listen-on-v6"
    )
    start("named", 53, folder="/etc/bind")
    both_udp(53, "dns")
    for answers in (both(53, "dns"), both_udp(53, "dns")):
        assert service_compare.differences(*answers) == ["answers with code 0 over IPv4 and 5 over IPv6"]


def test_dns(start: Start) -> None:
    start("named", 53, folder="/etc/bind")
    same(both(53, "dns"))
    same(both_udp(53, "dns"))
    same(both_udp(53, "dns"))


def test_a_name_server_of_one_family(start: Start) -> None:
    daemons.edit("/etc/bind/named.conf.options", "listen-on-v6 { any; };", "listen-on-v6 { none; };")
    start("named", 53, folder="/etc/bind")
    four, six = both_udp(53, "dns")
    assert service_compare.differences(four, six) == [
        "answers over IPv4, but not over IPv6: connection refused; "
        "nobody listens on this address and port, or a firewall rejects it"
    ]
    assert six["reason"] == "refused"


def test_ntp(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "chrony.conf"
    config.write_text("allow\nlocal stratum 10\n")
    run("chronyd", "-x", "-d", "-f", str(config), "-u", "root")
    same(both_udp(123, "ntp"))


def test_stun(run: Run) -> None:
    run("turnserver", "-n", "--no-cli", "--log-file=stdout", "--realm=example.org", f"-L{FOUR}", f"-L{SIX}")
    same(both_udp(3478, "stun"))


def test_http3(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    pem, key = certificate("shop.example.org", tmp_path)
    config = tmp_path / "Caddyfile"
    config.write_text(
        "{\n auto_https off\n admin off\n}\n" f"https://shop.example.org {{\n tls {pem} {key}\n respond hello\n}}\n"
    )
    run("caddy", "run", "--config", str(config), "--adapter", "caddyfile")
    same(both_udp(443, "quic"))
    look = same(both(443, "https", name="shop.example.org"))
    assert look["status"] == 200 and look["certificate"]["fits"]


@pytest.fixture
def named() -> Iterator[None]:
    """The host's address has a name: MariaDB counts the errors only of clients that have one."""
    hosts = Path("/etc/hosts")
    before = hosts.read_text()
    hosts.write_text(f"{before}{FOUR} client.example.org\n")
    yield
    hosts.write_text(before)


@pytest.mark.usefixtures("named")
def test_mariadb(start: Start) -> None:
    daemons.edit("/etc/mysql/mariadb.conf.d/50-server.cnf", "^bind-address.*$", "bind-address = *")
    start("mariadb", 3306, folder="/etc/mysql")
    deadline = time.monotonic() + 30
    while (four := service_probe.probe({"address": FOUR, "port": 3306, "protocol": "mysql"}))["look"] == {}:
        assert time.monotonic() < deadline
    assert four["look"]["code"] == 1130 and "Host 'client.example.org' is not allowed" in four["banner"]
    assert service_compare.told(*both(3306, "mysql")) == ["answers with code 1130 over both"]
    daemons.run("mariadb", "-e", "CREATE USER app@'192.0.2.%', app@'%.example.org'")
    assert service_compare.differences(*both(3306, "mysql")) == ["answers with code 0 over IPv4 and 1130 over IPv6"]
    daemons.run("mariadb", "-e", "CREATE USER app@'%'")
    target = {"address": FOUR, "port": 3306, "protocol": "mysql"}
    for found in service_probe.probe_all([target] * 150):  # after 100 that leave at once, it blocks a host
        assert found["answers"] and found["look"].get("code") in (0, 1040), found
    assert "MariaDB" in same(both(3306, "mysql"))["greeting"]


def test_postgresql(start: Start) -> None:
    daemons.edit("/etc/postgresql/15/main/postgresql.conf", "^#listen_addresses.*$", "listen_addresses = '*'")
    start("postgresql", 5432)
    log = Path("/var/log/postgresql/postgresql-15-main.log")
    before = len(log.read_text())
    look = same(both(5432, "postgresql"))
    assert look["starttls"] == "offered" and look["certificate"]["key"]
    assert "incomplete" not in log.read_text()[before:]
