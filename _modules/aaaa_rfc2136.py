"""
AAAA records by dynamic update (:rfc:`2136`), signed with TSIG (:rfc:`8945`).

All names are in one message, which the server carries out as a whole or not at all, and only if the AAAA records have
not changed since the change was planned. The key needs access only to the AAAA records of these names; in BIND::

    key "host1" { algorithm hmac-sha256; secret "..."; };     // made by: tsig-keygen -a hmac-sha256 host1
    zone "example.org" {
        type primary;
        file "/var/lib/bind/example.org";
        update-policy {
            grant host1 name www.example.org AAAA;
            grant host1 name mail.example.org AAAA;
        };
    };
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import TYPE_CHECKING, Any

import _dualstack_rooms
from salt.exceptions import CommandExecutionError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_dns_provider as dns_provider
    import _dualstack_host_time as host_time
    import _dualstack_plugins as plugins
if TYPE_CHECKING:
    __pillar__: dict[str, Any] = {}

__virtualname__ = "aaaa_rfc2136"

ALGORITHMS = ("hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")
ANSWER = 10.0  # seconds; a server answers as soon as it has written its journal
CODES = {
    "REFUSED": "it refuses: the key {key} may not change AAAA records of these names, or the zone takes no updates",
    "NOTAUTH": "it is not authoritative for the zone {zone}, or does not accept the key {key}",
    "NOTZONE": "a name is not in the zone {zone}",
    "NXRRSET": "somebody has changed the records in the meantime, or they come from a wildcard",
    "YXRRSET": "somebody has added records in the meantime",
    "NXDOMAIN": "somebody has removed a name in the meantime",
    "YXDOMAIN": "somebody has added a name in the meantime",
    "SERVFAIL": "it has failed; its log says why (often it cannot write its journal)",
    "FORMERR": "it does not understand the update",
    "NOTIMP": "it does not support dynamic updates",
}


def about(settings: dict[str, Any]) -> dict[str, Any]:
    """
    What this provider can do, and the keys of its settings.

    settings
        Those of the pillar.

    Returns the mapping that is described in the module ``aaaa``.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_rfc2136.about '{server: 192.0.2.53}'
    """
    return {
        "keys": {
            "server": "the address of the zone's primary server",
            "port": "a port (53)",
            "zone": "the name of the zone",
            "key_name": "the name of the TSIG key",
            "key": "the TSIG key in base64, as tsig-keygen prints it",
            "algorithm": f"one of {', '.join(ALGORITHMS)} (hmac-sha256)",
        },
        "required": ["server", "zone", "key_name", "key"],
        "withdraws": True,
        "sets_ttl": True,
        "replaces": False,
        "atomic": True,
        "servers": [f"{settings.get('server')}#{settings.get('port', 53)}"],
    }


def errors(settings: dict[str, Any], names: list[str]) -> list[str]:
    """
    The errors in the values of the settings.

    settings
        Those of the pillar that are given and known.
    names
        The host names.

    Returns sentences that begin with the key. The TSIG key is never shown.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_rfc2136.errors '{algorithm: hmac-md5}' '[www.example.org]'
    """
    problems = []
    if "server" in settings and not _is_address(settings["server"]):
        problems.append(f"server: {settings['server']!r} is not an IP address")
    port = settings.get("port", 53)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        problems.append(f"port: {port!r} is not a port from 1 to 65535")
    name = settings.get("key_name", "key")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", name):
        problems.append("key_name: it is not the name of a key, such as host1.example.org")  # it may be the key
    if "key" in settings and not _is_base64(settings["key"]):
        problems.append("key: it is not base64; expected what tsig-keygen prints as the secret")
    algorithm = settings.get("algorithm", "hmac-sha256")
    if algorithm not in ALGORITHMS:
        problems.append(f"algorithm: {algorithm!r} is not one of {', '.join(ALGORITHMS)}")
    return problems


def _is_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(ipaddress.ip_address(value))
    except ValueError:
        return False


def _is_base64(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(base64.b64decode("".join(value.split()), validate=True))
    except (binascii.Error, ValueError):
        return False


def change(credentials: str, edits: plugins.Edits) -> None:
    """
    Send one update with all edits.

    credentials
        The key of the pillar under which the settings are. They are read only from there.
    edits
        ``{name: {"old": {"addresses": [...], "ttl": ...}, "new": {...}}}``

    Raises ``SaltInvocationError`` for wrong settings or edits, and ``CommandExecutionError`` with what the server
    said, in words.

    CLI Example:

    .. code-block:: bash

        salt-call aaaa_rfc2136.change ipv6:dns:rfc2136 '{}'
    """
    import dns.exception
    import dns.query
    import dns.rcode
    import dns.tsig

    settings = dns_provider.checked(__pillar__, credentials, edits, about, errors)
    if not edits:
        return
    words = {"key": settings["key_name"], "zone": settings["zone"]}
    try:
        answer = dns.query.tcp(
            _message(settings, edits), settings["server"], timeout=host_time.left(ANSWER), port=settings.get("port", 53)
        )
        code = dns.rcode.to_text(answer.rcode())
        problem = "" if code == "NOERROR" else CODES.get(code, "the update was not carried out").format(**words)
        reason = f"{code}: {problem}" if problem else ""
    except dns.tsig.PeerBadKey:
        reason = f"BADKEY: it does not know the key {words['key']} with this algorithm"
    except (dns.tsig.PeerBadSignature, dns.tsig.PeerBadTruncation):
        reason = f"BADSIG: the key {words['key']} is not the one that it has"
    except (dns.tsig.PeerBadTime, dns.tsig.BadTime):
        reason = "BADTIME: its clock and that of this host differ by more than five minutes"
    except (dns.tsig.BadSignature, dns.tsig.BadKey, dns.tsig.BadAlgorithm):
        reason = "its answer is not signed with the key; somebody else may have answered"
    except dns.exception.Timeout:
        reason = f"no answer within {ANSWER:g} s; whether the records were changed is not known"
    except (dns.exception.DNSException, OSError, EOFError) as error:
        reason = str(error) or type(error).__name__
    if reason:
        where = f"{settings['server']}#{settings.get('port', 53)}"
        raise CommandExecutionError(f"the update of {', '.join(edits)} at {where} failed: {reason}")


def _message(settings: dict[str, Any], edits: plugins.Edits) -> Any:
    import dns.name
    import dns.tsig
    import dns.update

    algorithm = settings.get("algorithm", "hmac-sha256")
    key = dns.tsig.Key(settings["key_name"], "".join(settings["key"].split()), f"{algorithm}.")
    update = dns.update.UpdateMessage(settings["zone"], keyring=key)
    for each, edit in edits.items():
        name = dns.name.from_text(each)
        old, new = edit["old"], edit["new"]
        # A prerequisite with values is about the whole RRset (RFC 2136, section 2.4.2).
        if old["addresses"]:
            update.present(name, "AAAA", *old["addresses"])
        else:
            update.absent(name, "AAAA")
        for address in old["addresses"]:
            if address not in new["addresses"]:
                update.delete(name, "AAAA", address)
        for address in new["addresses"]:
            if address not in old["addresses"] or old["ttl"] != new["ttl"]:
                update.add(name, new["ttl"], "AAAA", address)
    return update
