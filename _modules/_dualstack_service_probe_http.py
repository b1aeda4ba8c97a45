"""
A conversation in HTTP/1.1, RFC 9112: a page is asked for as a browser asks for it, and no redirect is followed.
"""

from __future__ import annotations

import re
import urllib.parse
import zlib
from collections.abc import Mapping, MutableMapping
from typing import Any

import _dualstack_service_probe_page as service_probe_page
import _dualstack_service_probe_stream as service_probe_stream

LARGEST = 256 * 1024  # bytes of a page
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 dualstack-probe"
FIRST = re.compile(rb"HTTP/\d(?:\.\d+)? +\d{3}[ \r\n]")
HEAD = re.compile(rb"\AHTTP/\d(?:\.\d+)? +\d{3}(?=[ \r\n])(?s:.*?)\r?\n\r?\n")
# HTTP/2, RFC 9113: how a client begins, section 3.4, and ends, section 6.8; and the server's first frame, section 6.5.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04" + bytes(5)
GOAWAY = b"\0\0\x08\x07" + bytes(5 + 8)
SETTINGS = re.compile(rb"\0(?s:.{2})\x04\0{5}")
LAST_CHUNK = re.compile(rb"(?:\A|\n)0+[ \t]*(?:;[^\n]*)?\r?\n(?:[^\n]+\n)*\r?\n\Z")
LENGTH = re.compile("[0-9]{1,18}")
CHUNK = re.compile(rb"\r?\n?([0-9a-fA-F]{1,8})[ \t]*(?:;[^\n]*)?\r?\n")
# How nginx, Apache, and Go say that they were asked without TLS where TLS is spoken.
TLS_EXPECTED = re.compile(
    rb"plain HTTP request was sent to HTTPS port|speaking plain HTTP to an SSL|HTTP request to an HTTPS"
)
USUAL = {"http": 80, "https": 443}


def talk(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: MutableMapping[str, Any]) -> None:
    """
    Ask for a page.

    stream
        The connection.
    target
        Of ``service_probe.probe``, complete.
    look
        Gets ``status``; ``location``: where a redirect leads, see :py:func:`redirect`; ``page``: the fingerprint of
        the page, ``None`` where not all of it came; and ``expects``: ``TLS``, where the server says that it does.
    """
    name = target["name"] or service_probe_stream.literal(target["address"])
    port = "" if target["port"] == USUAL[target["protocol"]] else f":{target['port']}"
    stream.say(
        f"GET {target['path']} HTTP/1.1\r\nHost: {name}{port}\r\nUser-Agent: {AGENT}\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n".encode()
    )
    status = 100
    while 100 <= status < 200:  # more than 100 Continue is possible, RFC 9110 section 15.2
        head = stream.hear(HEAD, FIRST)
        status = int(head.split()[1])
    look.update(status=status, location="", page=None)
    headers = _headers(head)
    if 300 <= status < 400:
        look["location"] = redirect(headers.get("location", ""), target["address"])
    body = _body(stream, headers, 204 if status == 304 else status)
    if body is not None:
        look["page"] = service_probe_page.fingerprint(body)
        if status == 400 and TLS_EXPECTED.search(body):
            look["expects"] = "TLS"
    stream.part(b"")


def talk_http2(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: MutableMapping[str, Any]) -> None:
    """
    Whether HTTP/2 is spoken, where HTTP/1.1 is not. No page is asked for.

    stream
        The connection, which has agreed on ``h2`` if it is one in TLS.
    target
        Of ``service_probe.probe``; all of its facts are known from the connection.
    look
        Gets ``expects``: ``HTTP/2``.
    """
    stream.say(PREFACE)
    if not SETTINGS.fullmatch(stream.take(9)):
        raise service_probe_stream.Failure(service_probe_stream.GARBAGE, "answered, but not in this protocol")
    look["expects"], stream.banner = "HTTP/2", b""
    stream.part(GOAWAY)


def redirect(location: str, address: str) -> str:
    """
    Where a redirect leads, as far as it can be compared: without what changes. An address is ``ADDRESS``, where it is
    one of the family that was asked over, or else ``ADDRESS-OF-IPV4`` or ``ADDRESS-OF-IPV6``.

    location
        The header's value.
    address
        The one that was asked.
    """
    try:
        parts = urllib.parse.urlsplit(location)
        host = parts.hostname or ""
        place = parts.netloc.rpartition("@")[2]
        if host and not service_probe_page.lasting(host):
            other = "" if (":" in host) == (":" in address) else f"-OF-IPV{6 if ':' in host else 4}"
            place = f"ADDRESS{other}" + (f":{parts.port}" if parts.port else "")
    except ValueError:  # no URL
        return service_probe_page.lasting(location)
    queries = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    query = "&".join(f"{key}={service_probe_page.lasting(value)}" for key, value in queries)
    path = "/".join(service_probe_page.lasting(each) for each in parts.path.split("/"))
    return urllib.parse.urlunsplit((parts.scheme, place, path, query, ""))


def _headers(head: bytes) -> dict[str, str]:
    """By lower-case name; the last one counts."""
    pairs = (line.partition(":") for line in head.decode("latin-1").splitlines()[1:])
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _body(stream: service_probe_stream.Stream, headers: Mapping[str, str], status: int) -> bytes | None:
    """The page, at most its beginning; nothing where it did not come in time."""
    if status == 204:
        return b""
    chunked = headers.get("transfer-encoding", "").lower().endswith("chunked")
    length = LENGTH.fullmatch(headers.get("content-length", "")) if not chunked else None
    wanted = min(int(length[0]), LARGEST) if length else LARGEST
    try:
        while len(stream.buffer) < wanted and not (chunked and LAST_CHUNK.search(stream.buffer[-64:])):
            if not stream.more():
                break
    except service_probe_stream.Failure:
        return None
    body = bytes(stream.buffer[:LARGEST])
    if len(body) < wanted and (length or chunked and not LAST_CHUNK.search(body[-64:])):
        return None
    if chunked:
        body = _joined(body)
    return _unpacked(body) if headers.get("content-encoding", "").lower() in ("gzip", "deflate") else body


def _joined(body: bytes) -> bytes:
    """The chunks of RFC 9112 section 7.1, without what is between them."""
    pieces = []
    place = 0
    while found := CHUNK.match(body, place):
        size = int(found[1], 16)
        if not size:
            break
        pieces.append(body[found.end() : found.end() + size])
        place = found.end() + size
    return b"".join(pieces)


def _unpacked(body: bytes) -> bytes:
    """Some servers have nothing but compressed pages, whoever asks."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, LARGEST)
    except zlib.error:
        return body
