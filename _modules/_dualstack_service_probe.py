"""
Whether a daemon answers, and what users see of it: a connection, and as much of its protocol as anybody may ask for.

A daemon may listen and yet not serve: the kernel accepts connections for a process that hangs, and Postfix listens with
a configuration on which every one of its ``smtpd`` dies. So a banner has to come, or an answer. What it says beyond
that (its *look*: the page, the certificate, the capabilities) is for :py:mod:`service_compare`. A probe ends the
conversation properly, if the protocol can, so that it leaves no errors in logs.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import ipaddress
import math
import re
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import _dualstack_host_time as host_time
import _dualstack_service_probe_again as service_probe_again
import _dualstack_service_probe_http as service_probe_http
import _dualstack_service_probe_mail as service_probe_mail
import _dualstack_service_probe_packets as service_probe_packets
import _dualstack_service_probe_ssh as service_probe_ssh
import _dualstack_service_probe_stream as service_probe_stream
import _dualstack_service_probe_tls as service_probe_tls
import _dualstack_service_probe_xmpp as service_probe_xmpp
from salt.exceptions import SaltInvocationError

GRACE = 0.1  # seconds for the last of several to be over by their own time
SECONDS = 5.0  # for one answer
# postscreen(8) greets after 6 s, and a mail server waits 5 minutes, RFC 5321 section 4.5.3.2.1.
# The first page of an application may take some seconds.
PATIENCE = {"smtp": 30.0, "http": 15.0, "https": 15.0}
LONGEST = 3600  # seconds
AT_ONCE = 8  # probes of one address: a daemon may limit what comes from one client
HASTY = 2.0  # seconds for an answer where as many in a row have not come in time
# How a server of HTTP/2 alone takes HTTP/1.1.
UNWILLING = (service_probe_stream.CLOSED, service_probe_stream.GARBAGE)
CERTIFICATE = "certificate required"  # the alert of TLS 1.3, after the handshake
LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")
PATH = re.compile(r"/[!-~]*")
REQUIRED, OPTIONAL = ("address", "port"), ("protocol", "name", "path", "proxy", "seconds")
PROXIES = ("", "v1", "v2")

Talk = Callable[[service_probe_stream.Stream, Mapping[str, Any], MutableMapping[str, Any]], None]
Target = Mapping[str, Any]

TALKS: dict[str, Talk | None] = {
    "dns": service_probe_packets.dns,
    "ftp": service_probe_mail.ftp,
    "http": service_probe_http.talk,
    "imap": service_probe_mail.imap,
    "mysql": service_probe_packets.mysql,
    "pop3": service_probe_mail.pop3,
    "postgresql": service_probe_packets.postgresql,
    "smtp": service_probe_mail.smtp,
    "ssh": service_probe_ssh.talk,
    "tcp": None,
    "xmpp": service_probe_xmpp.talk,
    "xmpp-server": service_probe_xmpp.talk,
}
# The same over TLS.
SECURE = {"smtps": "smtp", "imaps": "imap", "pop3s": "pop3", "https": "http", "tls": "tcp"}


def protocols() -> list[str]:
    """
    The protocols that :py:func:`probe` speaks.

    ``tcp`` is a bare connection, which proves no more than that the kernel listens, and ``tls`` a bare handshake.
    """
    return sorted([*TALKS, *SECURE])


def probe(target: Target, timeout: float | None = None) -> dict[str, Any]:
    """
    Probe whether a daemon answers, and what it shows.

    target
        ``address``, IPv4 or IPv6, maybe with a zone; ``port``; and maybe ``protocol``, one of :py:func:`protocols`, by
        default ``tcp``; ``name``: the host to ask for in TLS (SNI), HTTP and XMPP, by default none, and the address;
        ``path``: of the page, by default ``/``; ``proxy``: the version of the PROXY protocol to begin with, ``v1`` or
        ``v2``, by default none; ``seconds``: how long it may take in total, by default 30 for SMTP, 15 for HTTP, 5 for
        others.
    timeout
        Seconds at most, whatever the target's are.

    Returns ``address``, ``port``, ``protocol`` and ``name``; ``answers``: whether it is alive; ``banner``: its first
    line, at most 200 printable characters; ``look``: what can be compared of it, by the protocol's room, and
    ``requires``: what a client would need to see more; ``error``: empty, or what happened instead; ``reason``: the same
    as one word: ``refused``, ``unreachable``, ``timeout``, ``closed``, ``alert`` (speaks the protocol, and refuses this
    name) or ``garbage`` (speaks something else); ``seconds``: the time taken. Certificates are not verified, and old
    versions of TLS are accepted: the probe tells what it sees.
    Raises ``SaltInvocationError`` for invalid arguments, and nothing for network errors.
    """
    return _probe(math.inf, _complete(target, timeout))


def probe_all(targets: Sequence[Target], timeout: float | None = None) -> list[dict[str, Any]]:
    """
    Ask many at the same time.

    targets
        As for :py:func:`probe`; of each address, 8 are asked at a time. Within a state, all have as many seconds as
        that has left. Where a limit may have answered, or a page differs between the families, it is asked for again,
        see :py:mod:`service_probe_again`. Where many in a row at one address and port do not answer in time, the
        others there get less time.
    timeout
        Seconds at most for all of them, whatever their own are.

    Returns the result of :py:func:`probe` for each, in the order of the targets. Raises ``SaltInvocationError`` before
    anything is asked.
    """
    complete = [_complete(each, timeout) for each in targets]
    end = time.monotonic() + min(host_time.left(math.inf), math.inf if timeout is None else timeout + GRACE)
    silent: dict[tuple[str, int], int] = collections.Counter()

    def ask(target: Target) -> dict[str, Any]:
        place = (target["address"], target["port"])
        seconds = min(target["seconds"], HASTY) if silent[place] >= AT_ONCE else target["seconds"]
        answer = _probe(end, {**target, "seconds": seconds})
        silent[place] = silent[place] + 1 if answer["reason"] == service_probe_stream.TIMEOUT else 0
        return answer

    with contextlib.ExitStack() as stack:
        pools = {
            address: stack.enter_context(concurrent.futures.ThreadPoolExecutor(AT_ONCE))
            for address in {target["address"] for target in complete}
        }
        futures = [pools[target["address"]].submit(ask, target) for target in complete]
        answers = [each.result() for each in futures]
    service_probe_again.ask(lambda target: _probe(end, target), complete, answers, end)
    return answers


def _complete(target: Any, timeout: Any) -> dict[str, Any]:
    if not isinstance(target, Mapping) or not {*REQUIRED} <= set(target) <= {*REQUIRED, *OPTIONAL}:
        raise SaltInvocationError(
            f"targets: {target!r} is not a mapping of address and port, and maybe {', '.join(OPTIONAL)}"
        )
    complete = {"protocol": "tcp", "name": "", "path": "/", "proxy": "", **target}
    protocol = complete["protocol"]
    try:
        ipaddress.ip_address(complete["address"] if isinstance(complete["address"], str) else "")
    except ValueError:
        raise SaltInvocationError(f"address: {complete['address']!r} is not an address of IPv4 or IPv6") from None
    port = complete["port"]
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise SaltInvocationError(f"port: {port!r} is not a port; expected a number from 1 to 65535")
    if protocol not in protocols():
        raise SaltInvocationError(
            f"protocol: {protocol!r} is not a protocol that is known; expected one of {', '.join(protocols())}"
        )
    name, path = complete["name"], complete["path"]
    if not isinstance(name, str) or (name and not (len(name) < 254 and NAME.fullmatch(name))):
        raise SaltInvocationError(f"name: {name!r} is not the name of a host")
    if not isinstance(path, str) or not PATH.fullmatch(path):
        raise SaltInvocationError(f"path: {path!r} is not the path of a page; expected one such as /index.html")
    if complete["proxy"] not in PROXIES:
        raise SaltInvocationError(f"proxy: {complete['proxy']!r} is not a version of the PROXY protocol, v1 or v2")
    complete.setdefault("seconds", PATIENCE.get(protocol, SECONDS))
    for key, seconds in (("seconds", complete["seconds"]), ("timeout", LONGEST if timeout is None else timeout)):
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= LONGEST:
            raise SaltInvocationError(f"{key}: {seconds!r} is not a number of seconds up to {LONGEST}")
        complete["seconds"] = min(complete["seconds"], seconds)
    return complete


def _probe(end: float, target: Target) -> dict[str, Any]:
    protocol: str = SECURE.get(target["protocol"]) or target["protocol"]
    found = _converse(end, target, TALKS[protocol])
    rest = target["seconds"] - found["seconds"]
    if protocol == "http" and found["reason"] in UNWILLING and rest > 0:
        modern = _converse(end, {**target, "seconds": rest}, service_probe_http.talk_http2, "h2")
        return modern if modern["answers"] else found
    return found


def _converse(end: float, target: Target, talk: Talk | None, within: str = "") -> dict[str, Any]:
    begin = time.monotonic()
    protocol: str = target["protocol"]
    look: dict[str, Any] = {}
    certificate: dict[str, Any] = {}
    stream = None
    error = reason = banner = ""
    try:
        stream = service_probe_stream.Stream(target["address"], target["port"], min(target["seconds"], end - begin))
        if target["proxy"]:
            stream.say(service_probe_stream.proxy_header(stream, target["proxy"]))
        if protocol in SECURE:
            certificate = {"certificate": service_probe_tls.encrypt(stream, target["name"], within)}
        if talk:
            talk(stream, target, look)
        else:
            stream.part(b"")
    except service_probe_stream.Failure as failure:
        if look:  # it had greeted, so it answers; but not to the end
            look["broken"] = str(failure)
        elif certificate and failure.reason == service_probe_stream.ALERT and CERTIFICATE in str(failure):
            look["requires"] = "a certificate of the client's"
        else:
            error, reason = str(failure), failure.reason
    finally:
        if stream:
            banner = service_probe_stream.first_line(stream.beginning if stream.banner is None else stream.banner)
            stream.close()
    return {
        **{key: target[key] for key in ("address", "port", "protocol", "name")},
        "answers": not error,
        "banner": banner,
        "look": {**look, **certificate},
        "error": error,
        "reason": reason,
        "seconds": round(time.monotonic() - begin, 3),
    }
