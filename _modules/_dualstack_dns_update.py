"""
Dynamic updates (:rfc:`2136`): what is sent to a name server, and what its answer means, in words.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, NamedTuple

import _dualstack_plugins as plugins

CODES = {
    "REFUSED": "it refuses: the key {key} may not change {kind} records of these names, or the zone takes no updates",
    "NOTAUTH": "it is not authoritative for the zone {zone}, or does not accept the key {key}",
    "NOTZONE": "a name is not in the zone {zone}",
    "NXRRSET": "somebody has changed the records in the meantime",
    "YXRRSET": "somebody has added records in the meantime",
    "NXDOMAIN": "somebody has removed a name in the meantime",
    "YXDOMAIN": "somebody has added a name in the meantime",
    "SERVFAIL": "it has failed; its log says why (often it cannot write its journal)",
    "FORMERR": "it does not understand the update",
    "NOTIMP": "it does not support dynamic updates",
}
# What it says without a signature: PowerDNS of every wrong key, Knot and BIND of what is not their zone.
UNSIGNED = {
    **CODES,
    "REFUSED": "it refuses: it does not know the key {key} with this secret and algorithm, or takes no updates from "
    "this host",
}
# RFC 8945, section 5.2: these errors cannot be signed.
BADKEY = (
    "BADKEY: it does not know the key {key} with this algorithm, or the key may not change {kind} records of these "
    "names (Knot says the same of both)"
)
BADSIG = "BADSIG: the key {key} is not the one that it has"
BADTIME = "BADTIME: its clock and that of this host differ by more than five minutes"
NOT_SIGNED = " (this answer is not signed)"
UNKNOWN = "whether the records were changed is not known"


class Key(NamedTuple):
    """A TSIG key, and the zone in which it is used."""

    name: str
    secret: str  # in base64
    algorithm: str
    zone: str


def message(key: Key, edits: plugins.Edits, kind: str = "AAAA") -> Any:
    """
    One update with all edits, which a server carries out only if the records still are the old ones.

    key
        The key that signs it.
    edits
        ``{name: {"old": {"addresses": [...], "ttl": ...}, "new": {...}}}``
    kind
        The type of the records; of ``PTR`` the "addresses" are names.

    A TTL is changed by deleting a record and adding it again: a server may ignore the addition of a record that it has,
    as Knot does. Raises ``dns.exception.DNSException`` for what is no name or address.
    """
    import dns.name
    import dns.tsig
    import dns.update

    tsig = dns.tsig.Key(key.name, "".join(key.secret.split()), f"{key.algorithm}.")
    update = dns.update.UpdateMessage(key.zone, keyring=tsig)
    for each, edit in edits.items():
        name = dns.name.from_text(each)
        old, new = (_values(edit[side], kind) for side in ("old", "new"))
        again = edit["old"]["ttl"] != edit["new"]["ttl"]
        # A prerequisite with values is about the whole RRset (RFC 2136, section 2.4.2).
        if old:
            update.present(name, kind, *old)
        else:
            update.absent(name, kind)
        for value in old:
            if again or value not in new:
                update.delete(name, kind, value)
        for value in new:
            if again or value not in old:
                update.add(name, edit["new"]["ttl"], kind, value)
    return update


def _values(records: plugins.Records, kind: str) -> list[str]:
    """The values as in a zone file, where a name without a dot at the end would be one in the zone."""
    return [f"{each}." if kind == "PTR" else each for each in records["addresses"]]


def send(update: Any, key: Key, server: str, port: int, patience: float, kind: str = "AAAA") -> str:
    """
    Send an update over TCP.

    update, key, kind
        From and as for :py:func:`message`.
    server, port
        An address, and a port.
    patience
        Seconds for the connection and the answer.

    Returns why it was not carried out, or nothing where a signed answer says that it was.
    """
    import dns.exception

    words = {"key": key.name, "zone": key.zone, "kind": kind}
    try:
        return _judged(update, _exchanged(update.to_wire(), server, port, patience)).format(**words)
    except TimeoutError:
        return f"no answer within {patience:g} s; {UNKNOWN}"
    except (dns.exception.DNSException, OSError, EOFError) as error:
        return str(error) or type(error).__name__


def otherwise(key: Key, edits: plugins.Edits, server: str, port: int, patience: float, kind: str = "AAAA") -> str:
    """
    Whether a server shows names otherwise to the key than to who asks without it, as one with views does.

    key, edits, kind
        As for :py:func:`message`.
    server, port, patience
        As for :py:func:`send`; for each question.

    Returns what to add to the reason why the records are not what they were; nothing if they are shown alike, or if it
    does not answer.
    """
    import dns.exception
    import dns.message
    import dns.query
    import dns.tsig

    tsig = dns.tsig.Key(key.name, "".join(key.secret.split()), f"{key.algorithm}.")
    differing = []
    for name in edits:
        shown = []
        for keyring in (None, tsig):
            question = dns.message.make_query(name, kind, flags=0)
            if keyring:
                question.use_tsig(keyring)
            try:
                answer = dns.query.tcp(question, server, timeout=patience, port=port)
            except (dns.exception.DNSException, OSError, EOFError):
                return ""
            shown.append({each.to_text() for rrset in answer.answer for each in rrset})
        if shown[0] != shown[1]:
            differing.append(name)
    if not differing:
        return ""
    return (
        f"; it has other records of {', '.join(differing)} for who asks with the key {key.name} than for who asks "
        "without it: the key leads to another view of the zone (split horizon); list servers that show it as servers"
    )


def _exchanged(wire: bytes, server: str, port: int, patience: float) -> bytes:
    """
    The answer to a message, as it comes: dnspython drops one whose signature is missing, and its reason with it.
    """
    end = time.monotonic() + patience

    def received(length: int) -> bytes:
        parts: list[bytes] = []
        while (missing := length - sum(map(len, parts))) > 0:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            parts.append(connection.recv(missing))
            if not parts[-1]:
                raise EOFError(f"it has closed the connection without an answer; {UNKNOWN}")
        return b"".join(parts)

    with socket.create_connection((server, port), patience) as connection:
        connection.sendall(struct.pack("!H", len(wire)) + wire)
        return received(*struct.unpack("!H", received(2)))


def _judged(update: Any, wire: bytes) -> str:
    """Why an update was not carried out, by the answer; nothing if it was."""
    import dns.exception
    import dns.message
    import dns.rcode
    import dns.tsig

    try:
        answer = dns.message.from_wire(wire, keyring=update.keyring, request_mac=update.mac)
    except dns.tsig.PeerBadKey:
        return BADKEY + NOT_SIGNED
    except (dns.tsig.PeerBadSignature, dns.tsig.PeerBadTruncation):
        return BADSIG + NOT_SIGNED
    except (dns.tsig.PeerBadTime, dns.tsig.BadTime):
        return BADTIME
    except (dns.tsig.BadSignature, dns.tsig.BadKey, dns.tsig.BadAlgorithm):
        return "its answer is not signed with the key; somebody else may have answered"
    except dns.exception.FormError:
        answer = dns.message.from_wire(wire)  # without its signature; it may say why
    if answer.id != update.id or not answer.flags & 0x8000:  # it is no response (RFC 1035, section 4.1.1)
        return f"it answers something else; {UNKNOWN}"
    code = dns.rcode.to_text(answer.rcode())
    if answer.had_tsig:
        return "" if code == "NOERROR" else f"{code}: {CODES.get(code, 'the update was not carried out')}"
    if code == "NOERROR":
        return f"its answer is not signed; somebody else may have answered, and {UNKNOWN}"
    return f"{code}: {UNSIGNED.get(code, 'the update was not carried out')}{NOT_SIGNED}"
