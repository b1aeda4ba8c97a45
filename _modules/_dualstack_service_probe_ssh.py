"""
A conversation in SSH, RFC 4253, up to the server's host key, which no login is needed to see.

The key exchange is begun and not finished: no secret is computed, only a public value sent that any server accepts.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import struct
from collections.abc import Mapping, MutableMapping
from typing import Any

import _dualstack_service_probe_stream as service_probe_stream

DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, KEXINIT, INIT, REPLY = 1, 2, 3, 4, 20, 30, 31
BY_APPLICATION = 11  # section 11.1
LARGEST = 35000  # bytes of a packet, section 6.1
# Other lines may come before the version, section 4.2.
VERSION = re.compile(rb"^SSH-[^\n]*\n", re.MULTILINE)
# What sshd says instead, before it closes: too many are about to log in, or this address has done so in vain.
REFUSALS = ("Exceeded MaxStartups", "Not allowed at this time")
GENERATOR = bytes.fromhex(  # of the curve P-256: a point that is surely on it
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
EXCHANGES = {  # and what is sent in each
    "curve25519-sha256": b"\x09" + bytes(31),
    "curve25519-sha256@libssh.org": b"\x09" + bytes(31),
    "ecdh-sha2-nistp256": GENERATOR,
    "diffie-hellman-group14-sha256": b"\x5a" * 255,
    "diffie-hellman-group14-sha1": b"\x5a" * 255,
}
KEYS = (
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256,ssh-rsa,ssh-dss"
)
CIPHERS = (
    "chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr,"
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-cbc,3des-cbc"
)
CODES = "hmac-sha2-256,hmac-sha2-512,hmac-sha2-256-etm@openssh.com,hmac-sha1"
OFFERED = [
    ",".join(EXCHANGES),
    KEYS,
    CIPHERS,
    CIPHERS,
    CODES,
    CODES,
    "none,zlib@openssh.com",
    "none,zlib@openssh.com",
    "",
    "",
]


def talk(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: MutableMapping[str, Any]) -> None:
    """
    Ask for the host key that the server prefers.

    stream
        The connection.
    target
        Of ``service_probe.probe``; all of its facts are known from the connection.
    look
        Gets ``greeting``: the version, and ``keys``: the key's fingerprint as ssh-keygen(1) prints it; none where the
        server has no exchange that is known here.
    """
    try:
        greeting = stream.hear(VERSION)
    except service_probe_stream.Failure:
        said = service_probe_stream.first_line(stream.beginning)
        if said in REFUSALS:
            raise service_probe_stream.Failure(service_probe_stream.REFUSED, f"refuses with `{said}`") from None
        raise
    version = VERSION.search(greeting)
    look.update(greeting=service_probe_stream.first_line(version[0] if version else greeting), keys=[])
    stream.say(b"SSH-2.0-probe\r\n")
    try:
        stream.awaited = "key exchange"
        server = _receive(stream, KEXINIT)
        spoken = _names(server[17:])
        exchange = next((each for each in EXCHANGES if each in spoken), "")
        stream.say(_packet(_kexinit()))
        if exchange:
            stream.say(_packet(bytes([INIT]) + _string(EXCHANGES[exchange])))
            key = _take(_receive(stream, REPLY)[1:])
            digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
            look["keys"] = [f"SHA256:{digest}"]
    finally:
        # sshd logs an error for a client that just disconnects.
        stream.part(_packet(struct.pack("!BIII", DISCONNECT, BY_APPLICATION, 0, 0)))


def _kexinit() -> bytes:
    """Section 7.1."""
    return bytes([KEXINIT]) + os.urandom(16) + b"".join(_string(each.encode()) for each in OFFERED) + bytes(5)


def _string(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


def _take(data: bytes) -> bytes:
    length = int.from_bytes(data[:4], "big")
    return data[4 : 4 + length]


def _names(data: bytes) -> list[str]:
    return _take(data).decode("ascii", "replace").split(",")


def _packet(payload: bytes) -> bytes:
    """Not encrypted, section 6: a multiple of eight bytes, at least four of them padding."""
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack("!IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


def _receive(stream: service_probe_stream.Stream, wanted: int) -> bytes:
    """The next message of this kind; those that mean nothing are left out."""
    while True:
        length, padding = struct.unpack("!IB", stream.take(5))
        if not padding + 1 < length <= LARGEST:
            raise service_probe_stream.Failure(service_probe_stream.GARBAGE, "answered, but not in this protocol")
        message = stream.take(length - 1)[: length - 1 - padding]
        if message[0] == wanted:
            return message
        if message[0] not in (IGNORE, UNIMPLEMENTED, DEBUG):
            said = _take(message[5:]).decode("utf-8", "replace") if message[0] == DISCONNECT else ""
            words = service_probe_stream.first_line(said.encode()) or f"message {message[0]}"
            raise service_probe_stream.Failure(service_probe_stream.CLOSED, f"ends the key exchange: {words}")
