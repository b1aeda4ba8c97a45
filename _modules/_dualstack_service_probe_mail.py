"""
Conversations of mail servers: SMTP, IMAP and POP3; and of FTP, whose words are those of SMTP.

Each waits for the whole greeting, asks what the server can do, goes over to TLS if that is offered, asks once more, and
says good-bye.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

import _dualstack_service_probe_page as service_probe_page
import _dualstack_service_probe_stream as service_probe_stream
import _dualstack_service_probe_tls as service_probe_tls

Look = MutableMapping[str, Any]

# 220- begins a greeting of several lines, 220 ends it, RFC 5321 section 4.2 and RFC 959 section 4.2. Before its end
# nothing may be sent: postscreen(8) sends a first line to detect clients that talk too early.
REPLY = re.compile(rb"\A(\d{3})(?:-(?s:.*?)^\1)?(?: [^\n]*|\r?)\n", re.MULTILINE)
REPLY_FIRST = re.compile(rb"[245]\d\d(?:[ -]|\r?\n)")
# Of one client's address, and nothing that others see: what main.cf(5) lets a proxy say, and Dovecot's
# login_trusted_networks, which it says in its greeting of POP3.
PRIVILEGES = ("XCLIENT", "XFORWARD")
PRIVILEGED = re.compile(r"\[XCLIENT\]\s*")
IMAP_GREETING = re.compile(rb"^\* (?:OK|PREAUTH|BYE)\b[^\n]*\n", re.MULTILINE | re.IGNORECASE)
IMAP_FIRST = re.compile(rb"\* (?:OK|PREAUTH|BYE)\b", re.IGNORECASE)
IMAP_REPLY = re.compile(rb"^a (?:OK|NO|BAD)\b[^\n]*\n", re.MULTILINE | re.IGNORECASE)
IMAP_CAPABILITY = re.compile(rb"^\* CAPABILITY ([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
POP3_GREETING = re.compile(rb"\A(?:\+OK|-ERR)\b[^\n]*\n", re.IGNORECASE)
POP3_FIRST = re.compile(rb"(?:\+OK|-ERR)\b", re.IGNORECASE)
POP3_LIST = re.compile(rb"\A(?:-ERR\b[^\n]*\n|\+OK\b[^\n]*\n(?s:.*?)^\.\r?\n)", re.MULTILINE | re.IGNORECASE)


def smtp(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: Look) -> None:
    """
    SMTP, RFC 5321. A greeting that refuses is an answer, too: what it refuses may be this very client. But 421 is
    none: such a server has no time, or is not able to speak, as Postfix that waits for the PROXY protocol in vain.

    stream
        The connection.
    target
        Of ``service_probe.probe``, complete.
    look
        Gets ``code`` and ``greeting``, ``capabilities``, ``starttls`` and ``certificate``.
    """
    greeting = stream.hear(REPLY, REPLY_FIRST)
    _refuse(greeting, b"421")
    look.update(code=int(greeting[:3]), greeting=_words(greeting, greeting[:3]), starttls="", capabilities=[])
    if look["code"] == 220:
        address = stream.socket.getsockname()[0].partition("%")[0]
        # A client without a name says its address, section 4.1.3: no name of ours could be looked up.
        hello = f"EHLO [{'IPv6:' if ':' in address else ''}{address}]\r\n".encode()
        _smtp_capabilities(stream, hello, look)
        if "STARTTLS" in look["capabilities"]:
            if not _starttls(stream, target, look, stream.ask(b"STARTTLS\r\n", REPLY, "answer to STARTTLS"), b"220"):
                return
            if "certificate" in look:
                _smtp_capabilities(stream, hello, look)
    stream.part(b"QUIT\r\n", b"221")


def _smtp_capabilities(stream: service_probe_stream.Stream, hello: bytes, look: Look) -> None:
    lines = _lines(stream.ask(hello, REPLY, "answer to EHLO"))
    found = {each[4:].strip().upper() for each in lines[1:] if each.startswith("250")}
    found = {each for each in found if not each.startswith(PRIVILEGES)}
    look["capabilities"] = sorted(found | ({"STARTTLS"} & {*look["capabilities"]}))


def imap(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: Look) -> None:
    """
    IMAP, RFC 3501.

    stream, target
        As for :py:func:`smtp`.
    look
        Gets ``greeting``, ``capabilities``, ``starttls`` and ``certificate``. ``LOGINDISABLED`` takes something away:
        instead of it, ``LOGIN`` is there or not.
    """
    greeting = stream.hear(IMAP_GREETING, IMAP_FIRST)
    _refuse(greeting, rb"\* BYE")
    words = re.sub(r"\[CAPABILITY [^\]]*\]", "", _words(greeting[2:]))
    look.update(greeting=" ".join(words.split()), starttls="", capabilities=[])
    _imap_capabilities(stream, look)
    if "STARTTLS" in look["capabilities"]:
        if not _starttls(
            stream, target, look, stream.ask(b"a STARTTLS\r\n", IMAP_REPLY, "answer to STARTTLS"), b"A OK"
        ):
            return
        if "certificate" in look:
            _imap_capabilities(stream, look)
    stream.part(b"a LOGOUT\r\n", b"a OK")


def _imap_capabilities(stream: service_probe_stream.Stream, look: Look) -> None:
    said = stream.ask(b"a CAPABILITY\r\n", IMAP_REPLY, "answer to CAPABILITY")
    found = {each.upper() for line in IMAP_CAPABILITY.findall(said) for each in line.decode("ascii", "replace").split()}
    found = found - {"LOGINDISABLED"} if "LOGINDISABLED" in found else found | {"LOGIN"}
    look["capabilities"] = sorted(found | ({"STARTTLS"} & {*look["capabilities"]}))


def pop3(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: Look) -> None:
    """
    POP3, RFC 1939 and RFC 2449.

    stream, target
        As for :py:func:`smtp`.
    look
        Gets ``greeting``, ``capabilities``, ``starttls`` and ``certificate``.
    """
    greeting = stream.hear(POP3_GREETING, POP3_FIRST)
    _refuse(greeting, b"-ERR")
    look.update(greeting=PRIVILEGED.sub("", _words(greeting)), starttls="", capabilities=[])
    _pop3_capabilities(stream, look)
    if "STLS" in look["capabilities"]:
        if not _starttls(stream, target, look, stream.ask(b"STLS\r\n", POP3_GREETING, "answer to STLS"), b"+OK"):
            return
        if "certificate" in look:
            _pop3_capabilities(stream, look)
    stream.part(b"QUIT\r\n", b"+OK")


def _pop3_capabilities(stream: service_probe_stream.Stream, look: Look) -> None:
    lines = _lines(stream.ask(b"CAPA\r\n", POP3_LIST, "answer to CAPA"))
    found = {each.strip().upper() for each in lines[1:] if each != "."}
    look["capabilities"] = sorted(found | ({"STLS"} & {*look["capabilities"]}))


def ftp(stream: service_probe_stream.Stream, target: Mapping[str, Any], look: Look) -> None:
    """
    FTP, RFC 959 and RFC 4217.

    stream, target
        As for :py:func:`smtp`.
    look
        Gets ``greeting``, ``starttls`` and ``certificate``.
    """
    greeting = stream.hear(REPLY, REPLY_FIRST)
    _refuse(greeting, b"[45]")
    look.update(greeting=_words(greeting, greeting[:3]), starttls="")
    if target["protocol"] == "ftp":
        said = stream.ask(b"AUTH TLS\r\n", REPLY, "answer to AUTH TLS")
        if said.startswith(b"234") and not _starttls(stream, target, look, said, b"234"):
            return
    stream.part(b"QUIT\r\n", b"221")


def _starttls(
    stream: service_probe_stream.Stream, target: Mapping[str, Any], look: Look, said: bytes, agreed: bytes
) -> bool:
    """Whether the conversation can go on: after a handshake that failed, nobody knows what is spoken."""
    last = service_probe_stream.first_line(said.strip().rpartition(b"\n")[2])
    look["starttls"] = "offered"
    if not last.upper().encode().startswith(agreed):
        look["starttls"] = f"offered, fails: {last}"
        return True
    return service_probe_tls.upgrade(stream, target["name"], look)


def _refuse(greeting: bytes, pattern: bytes) -> None:
    if re.match(pattern, greeting, re.IGNORECASE):
        said = service_probe_stream.first_line(greeting)
        raise service_probe_stream.Failure(service_probe_stream.REFUSED, f"refuses with `{said}`")


def _lines(said: bytes) -> list[str]:
    return said.decode("utf-8", "replace").splitlines()


def _words(greeting: bytes, code: bytes = b"") -> str:
    """A greeting without its code, and without what differs from one to the next."""
    lines = (each[4:] if code and each.startswith(code) else each for each in greeting.strip().splitlines())
    return service_probe_page.lasting(" ".join(map(service_probe_stream.first_line, lines)))
