"""
What a certificate says, RFC 5280: for which names it is, until when, and its public key. PURE: never accesses the host.

The library that Python has for TLS tells this only of certificates that it trusts; others are needed here, too.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

INTEGER, OBJECT, SEQUENCE, SET, UTC_TIME, VERSION, EXTENSIONS = 0x02, 0x06, 0x30, 0x31, 0x17, 0xA0, 0xA3
COMMON_NAME = bytes.fromhex("550403")
ALTERNATIVE_NAMES = bytes.fromhex("551d11")
DNS_NAME = 0x82


class Part(NamedTuple):
    """An element of DER."""

    tag: int
    content: bytes
    whole: bytes


def facts(der: bytes, name: str, now: datetime.datetime) -> dict[str, Any]:
    """
    What is compared of a certificate.

    der
        The certificate.
    name
        The name that was asked for; none, if empty.
    now
        The time, UTC.

    Returns ``key``: the SHA-256 of the public key; ``names``, sorted; ``expires``: such as ``2026-11-27``; ``fits``:
    whether it is in date and, if a name was asked for, for that name. Raises ``ValueError`` for what is no certificate.
    """
    (certificate,) = _parts(der)
    fields = [each for each in _parts(_first(certificate).content) if each.tag != VERSION]
    # Serial number, algorithm, issuer, validity, subject, key; then what is optional.
    if len(fields) < 6:
        raise ValueError("not a certificate")
    begin, end = (_time(each) for each in _parts(fields[3].content))
    names = _alternative_names(fields[6:]) or _common_names(fields[4])
    return {
        "key": hashlib.sha256(fields[5].whole).hexdigest(),
        "fits": begin <= now <= end and (not name or any(_matches(each, name.lower()) for each in names)),
        "names": sorted(names),
        "expires": end.date().isoformat(),
    }


def _parts(data: bytes) -> Iterator[Part]:
    """The elements that follow each other in DER, X.690 section 8.1."""
    place = 0
    while place < len(data):
        if place + 2 > len(data):
            raise ValueError("DER that ends too early")
        tag, length, start = data[place], data[place + 1], place + 2
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(data[start : start + size], "big"), start + size
        if start + length > len(data):
            raise ValueError("DER that ends too early")
        yield Part(tag, data[start : start + length], data[place : start + length])
        place = start + length


def _first(part: Part) -> Part:
    for each in _parts(part.content):
        return each
    raise ValueError("DER without a content")


def _time(part: Part) -> datetime.datetime:
    text = part.content.decode("ascii")
    if part.tag == UTC_TIME:  # two digits of the year, section 4.1.2.5.1
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ")


def _alternative_names(rest: list[Part]) -> set[str]:
    for part in rest:
        if part.tag == EXTENSIONS:
            for extension in _parts(_first(part).content):
                key, *_, value = _parts(extension.content)
                if key.content == ALTERNATIVE_NAMES:
                    return {_text(each) for each in _parts(_first(value).content) if each.tag == DNS_NAME}
    return set()


def _common_names(subject: Part) -> set[str]:
    """Certificates from before RFC 6125 have their name here."""
    pairs = [list(_parts(each.content)) for group in _parts(subject.content) for each in _parts(group.content)]
    return {_text(value) for key, value in pairs if key.content == COMMON_NAME}


def _text(part: Part) -> str:
    return part.content.decode("utf-8", "replace").lower().rstrip(".")


def _matches(pattern: str, name: str) -> bool:
    """A wildcard stands for the whole first label, RFC 6125 section 6.4.3."""
    return pattern == name or (pattern[:2] == "*." and pattern[1:] == name[name.find(".") :])
