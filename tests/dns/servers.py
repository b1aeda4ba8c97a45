"""Real BIND on loopback addresses, in the enclosure's network namespace, and what it holds."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import dns.tsig
import dns.update

PRIMARY, SECONDARY = "127.0.0.1", "127.0.0.2"
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


def put(name: str, *values: str, kind: str = "AAAA", ttl: int = 3600) -> None:
    """Have the primary hold these records of a name, and no others of that kind, as an administrator would."""
    zone = ".".join(name.split(".")[-2:])
    update = dns.update.UpdateMessage(zone, keyring=dns.tsig.Key("admin", KEYS["admin"], "hmac-sha256."))
    owner = dns.name.from_text(name)
    update.delete(owner, kind)
    for value in values:
        update.add(owner, ttl, kind, value)
    answer = dns.query.tcp(update, PRIMARY, timeout=5)
    assert answer.rcode() == 0, answer
