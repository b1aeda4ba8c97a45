"""
AAAA records, and PTR records, by dynamic update (:rfc:`2136`), signed with TSIG (:rfc:`8945`).

All names are in one message, which the server carries out as a whole or not at all, and only if the records have not
changed since the change was planned. It goes to the primary server, which need not be one of those that the NS
records name. If the server has several views of the zone, the key has to lead to the one that the servers show which
are asked for the result.

The key needs access only to the AAAA records of these names; in BIND::

    key "host1" { algorithm hmac-sha256; secret "..."; };     // made by: tsig-keygen -a hmac-sha256 host1
    zone "example.org" {
        type primary;
        file "/var/lib/bind/example.org";
        update-policy {
            grant host1 name www.example.org AAAA;
            grant host1 name mail.example.org AAAA;
        };
    };

and in the reverse zone, for the PTR record of its address, ``grant host1 zonesub PTR;``.

In Knot::

    acl:
      - id: host1
        key: host1
        action: update
        update-type: [AAAA]
        update-owner: name
        update-owner-match: equal
        update-owner-name: [www, mail]

PowerDNS (``dnsupdate=yes``, and the key in the zone's metadata ``TSIG-ALLOW-DNSUPDATE``) cannot limit a key to names or
types: it may change the whole zone. It signs no refusal of a key; such an answer is reported as not signed.
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
    import _dualstack_dns_update as dns_update
    import _dualstack_dns_values as dns_values
    import _dualstack_host_time as host_time
    import _dualstack_plugins as plugins
if TYPE_CHECKING:
    __pillar__: dict[str, Any] = {}

__virtualname__ = "aaaa_rfc2136"

ALGORITHMS = ("hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")
ANSWER = 10.0  # seconds; a server answers as soon as it has written its journal


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
        "kinds": ["AAAA", "PTR"],
        "servers": [f"{settings.get('server')}#{settings.get('port', 53)}"],
        "zone": dns_provider.zone(settings),
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
    settings = dns_provider.checked(__pillar__, credentials, edits, about, errors)
    if not edits:
        return
    zone = dns_values.canonical(settings["zone"])
    key = dns_update.Key(settings["key_name"], settings["key"], settings.get("algorithm", "hmac-sha256"), zone)
    server, port = settings["server"], settings.get("port", dns_values.PORT)
    kind = dns_provider.kind_of(edits)
    plain = dns_provider.plain(edits)
    reason = dns_update.send(dns_update.message(key, plain, kind), key, server, port, host_time.left(ANSWER), kind)
    if kind == "AAAA" and reason.startswith(("NXRRSET", "YXRRSET")):
        reason += dns_update.otherwise(key, plain, server, port, host_time.left(ANSWER))
    if reason:
        raise CommandExecutionError(f"the update of {', '.join(edits)} at {server}#{port} failed: {reason}")
