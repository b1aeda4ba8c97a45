"""Real BIND, Knot and PowerDNS on loopback addresses, in the enclosure's network namespace, and what they hold."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import dns.tsig
import dns.update
import dns.zone

PRIMARY, SECONDARY, KNOT, POWERDNS = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
KEYS = {  # the name of each TSIG key, with its secret
    "host1": "aG9zdDEgbWF5IGNoYW5nZSBzb21lIG5hbWVzIG9ubHk=",
    "admin": "YWRtaW4gbWF5IGNoYW5nZSB3aGF0IGl0IGxpa2VzIHRvbw==",
}
WRONG = "dGhpcyBpcyBub3QgdGhlIGtleSBvZiBhbnlib2R5IGhlcmU="
NAMES = ("www", "mail", "alias", "wild")  # what host1 may change, AAAA records only

# What zone_of() gives a zone; `two.example` has a second name server.
ZONE = """\
$TTL 3600
@ SOA ns1 hostmaster ({serial} 3600 600 86400 60)
@ NS ns1
ns1 A 127.0.0.1
www A 192.0.2.80
www TXT "not a matter of AAAA records"
alias CNAME www
*.star AAAA 2001:db8::5
"""
SECOND = "@ NS ns2\nns2 A 127.0.0.2\n"

OPTIONS = """\
options {{
  directory "{folder}"; pid-file none; session-keyfile "{folder}/session.key"; lock-file none;
  listen-on {{ {address}; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; notify yes; notify-delay 1; allow-transfer {{ any; }};
  transfer-source {address}; notify-source {address};
}};
controls {{ }};
"""


def zone_of(name: str, serial: int = 1) -> str:
    """The text of a zone as it is when a test begins."""
    return ZONE.format(serial=serial) + (SECOND if name == "two.example" else "")


def start(folder: Path, address: str, config: str) -> subprocess.Popen[bytes]:
    """Start a name server with its own configuration, and wait until it answers."""
    folder.mkdir(exist_ok=True)
    path = folder / "named.conf"
    path.write_text(OPTIONS.format(folder=folder, address=address) + config)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["named", "-g", "-n", "1", "-c", str(path)], stdout=log, stderr=log)
    for _ in range(200):
        try:
            dns.query.tcp(dns.message.make_query(".", "SOA"), address, timeout=2)
            return process
        except (OSError, EOFError):
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
    raise AssertionError(f"named did not start: {(folder / 'log').read_text()}")


# Knot has an ACL like BIND's update-policy.
KNOT_CONFIG = """\
server:
    rundir: {folder}
    user: root:root
    listen: {address}@53
database:
    storage: {folder}/db
log:
  - target: stderr
    any: info
key:
{keys}acl:
  - id: admin
    key: admin
    action: update
  - id: host1
    key: host1
    action: update
    update-type: [AAAA]
    update-owner: name
    update-owner-match: equal
    update-owner-name: [{names}]
  - id: copy
    address: 127.0.0.0/8
    action: transfer
zone:
  - domain: {zone}
    file: {folder}/zone
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
    acl: [admin, host1, copy]
"""
# PowerDNS knows no names and types to which a key is limited.
POWERDNS_CONFIG = """\
launch=gsqlite3
gsqlite3-database={folder}/db
local-address={address}
socket-dir={folder}
dnsupdate=yes
allow-axfr-ips=127.0.0.0/8
webserver=yes
webserver-address={address}
webserver-allow-from=127.0.0.0/8
api=yes
api-key=a token
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
security-poll-suffix=
disable-syslog=yes
"""


def start_knot(folder: Path, zone: str, text: str) -> subprocess.Popen[bytes]:
    """Start Knot with one zone."""
    folder.mkdir(exist_ok=True)
    (folder / "zone").write_text(f"$ORIGIN {zone}.\n{text}")
    keys = "".join(f"  - id: {name}\n    algorithm: hmac-sha256\n    secret: {KEYS[name]}\n" for name in KEYS)
    config = KNOT_CONFIG.format(folder=folder, address=KNOT, keys=keys, names=", ".join((*NAMES, "a.star")), zone=zone)
    (folder / "knot.conf").write_text(config)
    return _begun(["knotd", "-c", str(folder / "knot.conf")], folder, KNOT, zone)


def start_powerdns(folder: Path, zone: str, text: str) -> subprocess.Popen[bytes]:
    """Start PowerDNS with one zone."""
    folder.mkdir(exist_ok=True)
    (folder / "pdns.conf").write_text(POWERDNS_CONFIG.format(folder=folder, address=POWERDNS))
    (folder / "zone").write_text(text)
    schema = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql").read_text()
    with sqlite3.connect(folder / "db") as database:
        database.executescript(schema)
    for words in (
        ["load-zone", zone, str(folder / "zone")],
        *(["import-tsig-key", name, "hmac-sha256", secret] for name, secret in KEYS.items()),
        ["set-meta", zone, "TSIG-ALLOW-DNSUPDATE", *KEYS],
        ["set-meta", zone, "ALLOW-DNSUPDATE-FROM", "127.0.0.0/8"],
    ):
        subprocess.run(["pdnsutil", f"--config-dir={folder}", *words], check=True, capture_output=True)
    return _begun(["pdns_server", f"--config-dir={folder}", "--guardian=no", "--daemon=no"], folder, POWERDNS, zone)


def _begun(words: list[str], folder: Path, address: str, zone: str) -> subprocess.Popen[bytes]:
    """Start a server, and wait until it has its zone."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    for _ in range(200):
        try:
            if dns.query.tcp(dns.message.make_query(zone, "SOA"), address, timeout=2).answer:
                return process
        except (OSError, EOFError):
            assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)
    raise AssertionError(f"{words[0]} did not start: {(folder / 'log').read_text()}")


def whole(zone: str, server: str = PRIMARY) -> set[str]:
    """All that a server has in a zone, but for the serial number."""
    lines = dns.zone.from_xfr(dns.query.xfr(server, zone, timeout=5)).to_text().splitlines()
    return {" ".join(line.split()) for line in lines if " SOA " not in line}


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a name server."""
    process.terminate()
    process.wait()


def primary_config(folder: Path, zones: tuple[str, ...]) -> str:
    """The keys, and zones that may be changed with them; their files are written."""
    folder.mkdir(exist_ok=True)
    config = [f'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};' for name, secret in KEYS.items()]
    for zone in zones:
        (folder / zone).write_text(zone_of(zone))
        grants = [f"grant host1 name {name}.{zone} AAAA;" for name in (*NAMES, "a.star")]
        policy = f"update-policy {{ grant admin zonesub ANY; {' '.join(grants)} }};"
        config.append(f'zone "{zone}" {{ type primary; file "{folder / zone}"; {policy} }};')
    return "\n".join(config)


def records(name: str, kind: str = "AAAA", server: str = PRIMARY) -> list[str]:
    """What a server has of a name: each record with its TTL."""
    answer = dns.query.tcp(dns.message.make_query(name, kind), server, timeout=5)
    return sorted(
        f"{rrset.ttl} {each}"
        for rrset in answer.answer
        for each in rrset
        if rrset.rdtype == dns.rdatatype.from_text(kind)
    )


def put(name: str, *values: str, kind: str = "AAAA", ttl: int = 3600, server: str = PRIMARY) -> None:
    """Have a primary hold these records of a name, and no others of that kind, as an administrator would."""
    zone = ".".join(name.split(".")[-2:])
    update = dns.update.UpdateMessage(zone, keyring=dns.tsig.Key("admin", KEYS["admin"], "hmac-sha256."))
    owner = dns.name.from_text(name)
    update.delete(owner, kind)
    for value in values:
        update.add(owner, ttl, kind, value)
    answer = dns.query.tcp(update, server, timeout=5)
    assert answer.rcode() == 0, answer
