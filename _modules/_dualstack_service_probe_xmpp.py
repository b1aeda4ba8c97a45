"""
Conversations in XMPP, RFC 6120, as a client and as another server: the features of a stream, and its certificate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, cast
from xml.etree import ElementTree
from xml.sax import saxutils

import _dualstack_service_probe_stream as service_probe_stream
import _dualstack_service_probe_tls as service_probe_tls

STREAM = "{http://etherx.jabber.org/streams}"
TLS = "{urn:ietf:params:xml:ns:xmpp-tls}"
CONDITIONS = "{urn:ietf:params:xml:ns:xmpp-streams}"
NAMESPACES = {
    "xmpp": "xmlns='jabber:client'",
    "xmpp-server": "xmlns='jabber:server' xmlns:db='jabber:server:dialback'",
}
UNKNOWN = "host-unknown"
GOODBYE = b"</stream:stream>"


def talk(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: MutableMapping[str, Any]) -> None:
    """
    Open a stream, and go over to TLS where that is offered.

    stream
        The connection.
    target
        Of ``service_probe.probe``, complete.
    look
        Gets ``greeting``: empty, or the error in the stream, such as ``not-authorized``: that is an answer, too;
        ``capabilities``: the features, sorted; ``starttls``: empty, ``offered`` or ``required``; and ``certificate``.
    """
    features = _open(stream, target, look)
    offered = features.find(f"{TLS}starttls") if features is not None else None
    if offered is not None:
        look["starttls"] = "offered" if offered.find(f"{TLS}required") is None else "required"
        stream.awaited = "answer to starttls"
        stream.say(f"<starttls xmlns='{TLS[1:-1]}'/>".encode())
        answer = _element(stream, _parser(), (f"{TLS}proceed", f"{TLS}failure"), inside=True)
        if answer.tag != f"{TLS}proceed":
            look["starttls"] += ", fails: failure"
        elif service_probe_tls.upgrade(stream, target["name"], look):
            before = look["capabilities"]
            _open(stream, target, look)
            look["capabilities"] = sorted({*before, *look["capabilities"]})
        else:
            return
    stream.part(GOODBYE, GOODBYE)


def _open(
    stream: service_probe_stream.Stream, target: Mapping[str, Any], look: MutableMapping[str, Any]
) -> ElementTree.Element | None:
    """Open a stream; returns its features, if it gets to them."""
    name = saxutils.quoteattr(target["name"] or service_probe_stream.literal(target["address"]))
    stream.say(
        f"<?xml version='1.0'?><stream:stream to={name} version='1.0' "
        f"xmlns:stream='{STREAM[1:-1]}' {NAMESPACES[target['protocol']]}>".encode()
    )
    parser = _parser()
    _element(stream, parser, (f"{STREAM}stream",), start=True)
    if not look:
        look.update(greeting="", capabilities=[], starttls="")
    stream.awaited = "features"
    found = _element(stream, parser, (f"{STREAM}features", f"{STREAM}error"))
    if found.tag == f"{STREAM}error":
        names = [each.tag.removeprefix(CONDITIONS) for each in found if each.tag.startswith(CONDITIONS)]
        look["greeting"] = next((each for each in names if each != "text"), "error")
        if look["greeting"] == UNKNOWN and target["name"]:
            look.clear()
            words = f"does not serve this host ({UNKNOWN})"
            raise service_probe_stream.Failure(service_probe_stream.ALERT, words)
        return None
    look["capabilities"] = sorted(
        f"{_local(each)} {(part.text or '').strip()}" if _local(each) == "mechanisms" else _local(each)
        for each in found
        for part in (list(each) if _local(each) == "mechanisms" else [each])
    )
    return found


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _parser() -> ElementTree.XMLPullParser:
    return ElementTree.XMLPullParser(("start", "end"))


def _element(
    stream: service_probe_stream.Stream,
    parser: ElementTree.XMLPullParser,
    tags: tuple[str, ...],
    start: bool = False,
    inside: bool = False,
) -> ElementTree.Element:
    """Wait for the end of an element, or for its start. `inside` a stream whose beginning another parser has read."""
    if inside:
        parser.feed(b"<inside>")
    heard = 0
    while True:
        piece = bytes(stream.buffer[heard:])
        heard = len(stream.buffer)
        try:
            parser.feed(piece)
            for event, element in cast("Iterator[tuple[str, ElementTree.Element]]", parser.read_events()):
                if element.tag in tags and event == ("start" if start else "end"):
                    stream.buffer.clear()
                    return element
        except (ElementTree.ParseError, ValueError, LookupError):  # or an encoding that nobody knows
            words = "answered, but not in this protocol"
            raise service_probe_stream.Failure(service_probe_stream.GARBAGE, words) from None
        if heard > service_probe_stream.LIMIT:
            words = f"no end of the {stream.awaited} in {service_probe_stream.LIMIT} bytes"
            raise service_probe_stream.Failure(service_probe_stream.GARBAGE, words)
        stream.more_or_fail()
