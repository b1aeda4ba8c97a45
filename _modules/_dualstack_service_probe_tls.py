"""
TLS in a probe: the handshake, from the first byte or after STARTTLS, and the certificate that is shown.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import ssl
import warnings
from collections.abc import MutableMapping
from typing import Any

import _dualstack_service_probe_certificate as service_probe_certificate
import _dualstack_service_probe_stream as service_probe_stream


def encrypt(stream: service_probe_stream.Stream, name: str, within: str = "") -> dict[str, Any]:
    """
    The handshake, with everything the library still supports: old servers count, too.

    stream
        A connection; it goes on in TLS.
    name
        The name to ask for (SNI), or none.
    within
        What is to be spoken within TLS (ALPN), or nothing.

    Returns the certificate as :py:func:`service_probe_certificate.facts` does; nothing, where none is shown. It is not
    verified. Raises ``Failure``.
    """
    before, stream.awaited = stream.awaited, "TLS handshake"
    if stream.buffer:  # said before the handshake, which could be taken for said within it
        raise service_probe_stream.Failure(service_probe_stream.GARBAGE, "says something before the TLS handshake")
    try:
        with stream.failing():
            stream.socket.settimeout(stream.left())
            stream.socket = secure = _context(within).wrap_socket(stream.socket, server_hostname=name or None)
    except service_probe_stream.Failure as failure:
        if failure.reason == service_probe_stream.ALERT:
            whom = f"the name {name}" if name else "a client that asks for no name"
            raise service_probe_stream.Failure(
                failure.reason, str(failure).replace("refuses: ", f"refuses {whom}: ")
            ) from None
        if failure.reason == service_probe_stream.CLOSED:
            raise service_probe_stream.Failure(failure.reason, "closed the connection in the TLS handshake") from None
        raise
    stream.awaited = before
    der = secure.getpeercert(binary_form=True)
    return _facts(der, name) if der else {}


def upgrade(stream: service_probe_stream.Stream, name: str, look: MutableMapping[str, Any]) -> bool:
    """
    The handshake after the other side has agreed to STARTTLS.

    stream, name
        As for :py:func:`encrypt`.
    look
        Gets ``starttls``: ``offered``, or why that fails, and ``certificate``.

    Returns whether the conversation goes on.
    """
    look.setdefault("starttls", "offered")
    try:
        look["certificate"] = encrypt(stream, name)
    except service_probe_stream.Failure as failure:
        look["starttls"] += f", fails: {failure}"
        return False
    return True


def _facts(der: bytes, name: str) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    try:
        return service_probe_certificate.facts(der, name, now)
    except (ValueError, IndexError):  # OpenSSL is more tolerant; such a one can still be compared
        return {"key": hashlib.sha256(der).hexdigest(), "fits": False, "names": [], "expires": ""}


@functools.lru_cache(maxsize=2)
def _context(within: str) -> ssl.SSLContext:
    """One for all handshakes: to make one takes longer than to use it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options |= 0x4  # SSL_OP_LEGACY_SERVER_CONNECT: servers from before RFC 5746
    with contextlib.suppress(ssl.SSLError):  # not every library has security levels
        # Ciphers without a certificate come last: Postfix takes them where a client prefers them.
        context.set_ciphers("ALL:+aNULL:@SECLEVEL=0")
    if within:
        context.set_alpn_protocols([within])
    return context
