"""A reverse zone beside the others at the primary, as a broker delegates it: `ip6.arpa` is there, too."""

from __future__ import annotations

import ipaddress
import subprocess
from pathlib import Path

import dns.message
import dns.query
import dns.tsig
import dns.update

from . import servers

ZONE = "1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"  # of 2001:db8:1::/48, delegated to the primary
TOP = "ip6.arpa"
OUTSIDE = "2.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"  # not delegated
POLICY = "update-policy { grant admin zonesub ANY; grant host1 zonesub PTR; };"


def start(
    folder: Path, served: tuple[str, ...] = (ZONE, TOP), policy: str = POLICY, address: str = servers.PRIMARY
) -> subprocess.Popen[bytes]:
    """Start the primary, or another server, with the usual zones and with these."""
    config = [servers.primary_config(folder, ("example.org", "two.example"))]
    for zone in served:
        text = (
            "$TTL 3600\n@ SOA ns1.example.org. hostmaster.example.org. (1 3600 600 86400 60)\n@ NS ns1.example.org.\n"
        )
        if zone == TOP:
            text += f"{ZONE}. NS ns1.example.org.\n"
        (folder / zone).write_text(text)
        config.append(f'zone "{zone}" {{ type primary; file "{folder / zone}"; {policy if zone != TOP else ""} }};')
    return servers.start(folder, address, "\n".join(config))


def name(address: str) -> str:
    """The reverse name of an address."""
    return ipaddress.ip_address(address).reverse_pointer


def records(address: str, server: str = servers.PRIMARY) -> list[str]:
    """The PTR records of an address, each with its TTL."""
    return servers.records(name(address), "PTR", server)


def put(address: str, *hosts: str, ttl: int = 3600, kind: str = "PTR") -> None:
    """Have the primary hold these records of an address, and no others of that kind, as an administrator would."""
    _update(f"{name(address)}.", [f"{each}." for each in hosts], ttl, kind)


def put_wildcard(host: str) -> None:
    """Have the primary answer this for every address that has no record of its own."""
    _update(f"*.{ZONE}.", [f"{host}."], 3600, "PTR")


def _update(owner: str, values: list[str], ttl: int, kind: str) -> None:
    update = dns.update.UpdateMessage(ZONE, keyring=dns.tsig.Key("admin", servers.KEYS["admin"], "hmac-sha256."))
    update.delete(owner, kind)
    for value in values:
        update.add(owner, ttl, kind, value)
    answer = dns.query.tcp(update, servers.PRIMARY, timeout=5)
    assert answer.rcode() == 0, answer
