"""
Where Dovecot listens, by the meaning of its configuration: which listeners there are, which are served, and from which
setting each takes its addresses. PURE: never accesses the host.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import _dualstack_service_addresses as service_addresses
import _dualstack_service_dovecot as service_dovecot


class Listener(NamedTuple):
    """An ``inet_listener`` that is built into Dovecot."""

    protocol: str  # the word in `protocols` that enables its service; "" if none is needed
    port: str
    ssl: bool


LISTENERS = {
    ("imap-login", "imap"): Listener("imap", "143", False),
    ("imap-login", "imaps"): Listener("imap", "993", True),
    ("pop3-login", "pop3"): Listener("pop3", "110", False),
    ("pop3-login", "pop3s"): Listener("pop3", "995", True),
    ("submission-login", "submission"): Listener("submission", "587", False),
    ("managesieve-login", "sieve"): Listener("sieve", "4190", False),
}
LISTENERS_24 = {**LISTENERS, ("submission-login", "submissions"): Listener("submission", "465", True)}
# The protocols of services to which people add listeners, and the ports of listeners that are off by default.
PROTOCOLS = {**{service: known.protocol for (service, _), known in LISTENERS.items()}, "lmtp": "lmtp"}
# What the probe speaks there, without TLS and with it.
SPOKEN = {"imap": ("imap", "imaps"), "pop3": ("pop3", "pop3s"), "submission": ("smtp", "smtps")}
PORTS_24 = {("lmtp", "lmtp"): "24"}


class Address(NamedTuple):
    """One word of a list of addresses."""

    word: str  # as written
    shown: str  # as the kernel shows it
    family: int | None
    port: str
    note: str  # a note, unless it is a wildcard


class Socket(NamedTuple):
    """What Dovecot opens."""

    setting: tuple[str, ...]  # the setting that has the address
    place: service_dovecot.Statement | None  # where a user would look for it
    address: Address
    port: int | None
    note: str  # about the port
    protocol: str  # as the probe names it


def _value(read: service_dovecot.Configuration, default: str, *setting: str) -> str:
    return read.settings[setting].value if setting in read.settings else default


def statement_of(read: service_dovecot.Configuration, setting: tuple[str, ...]) -> service_dovecot.Statement | None:
    """
    The statement that a user would look at; none for a default.

    read
        The configuration.
    setting
        The path of a setting.
    """
    return read.settings.get(setting) or next(reversed(read.members.get(setting, {}).values()), None)


def _built_in(read: service_dovecot.Configuration) -> dict[tuple[str, str], Listener]:
    return LISTENERS_24 if read.dialect == "2.4" else LISTENERS


def _listeners(read: service_dovecot.Configuration) -> list[tuple[str, str]]:
    """All inet_listeners by service and name, whether they are served or not."""
    return list({**dict.fromkeys(_built_in(read)), **read.declared})


def _known(read: service_dovecot.Configuration, service: str, name: str) -> Listener:
    """Dovecot's built-in facts about a listener."""
    port = PORTS_24.get((service, name), "0") if read.dialect == "2.4" else "0"
    return _built_in(read).get((service, name), Listener(PROTOCOLS.get(service, ""), port, False))


def _port(read: service_dovecot.Configuration, service: str, name: str) -> tuple[str, service_dovecot.Statement | None]:
    """The port of a listener, and where it is written."""
    written = read.settings.get(("service", service, "inet_listener", name, "port"))
    return (written.value if written else _known(read, service, name).port), written


def _number(port: str) -> tuple[int | None, str]:
    if re.fullmatch("[0-9]{1,5}", port) and int(port) < 65536:
        return int(port), ""
    return None, f"the port `{port}` is not known: cannot decide"


def _over_tls(read: service_dovecot.Configuration, service: str, name: str) -> bool:
    """Whether TLS begins at once."""
    default = "yes" if _known(read, service, name).ssl else "no"
    return service_dovecot.is_true(_value(read, default, "service", service, "inet_listener", name, "ssl"))


def _served(read: service_dovecot.Configuration, service: str, name: str) -> bool:
    known = _known(read, service, name)
    if _number(_port(read, service, name)[0])[0] == 0:
        return False
    if _over_tls(read, service, name) and _value(read, service_dovecot.DEFAULTS["ssl"], "ssl") == "no":
        return False
    protocol = _value(read, known.protocol, "service", service, "protocol")
    protocols = ["sieve" if word == "managesieve" else word for word in service_dovecot.listed(read, ("protocols",))]
    if f"{protocol}s" in protocols and protocol not in protocols:
        return name != protocol  # of Dovecot 1: `imaps` without `imap`
    return not protocol or protocol in protocols


def _source(read: service_dovecot.Configuration, service: str, name: str) -> tuple[str, ...]:
    """The setting from which a listener takes its addresses."""
    block = ("service", service, "inet_listener", name)
    own = [(*block, "listen"), ("service", service, "listen")] if read.dialect == "2.4" else [(*block, "address")]
    # In 2.4 a block `listen { }` alone adds to the outer list, so it is not a list of its own.
    return next(
        (setting for setting in own if setting in read.settings and service_dovecot.listed(read, setting)), ("listen",)
    )


def _blocks(read: service_dovecot.Configuration, service: str, name: str) -> list[tuple[str, ...]]:
    """The blocks `listen { }` of a listener, from the outside in: measured with 2.4.1, they add to the list before."""
    if read.dialect != "2.4":
        return []
    own = [("service", service, "listen"), ("service", service, "inet_listener", name, "listen")]
    source = _source(read, service, name)
    inner = own[own.index(source) + 1 :] if source in own else own
    return [setting for setting in inner if setting in read.members and setting not in read.settings]


def sources(read: service_dovecot.Configuration) -> list[tuple[str, ...]]:
    """
    The settings from which the listeners take their addresses, and always the global one.

    read
        The configuration.
    """
    used = [listener for listener in _listeners(read) if _number(_port(read, *listener)[0])[0] != 0]
    found = [setting for each in used for setting in (_source(read, *each), *_blocks(read, *each))]
    return list(dict.fromkeys([("listen",), *found]))


def sockets(read: service_dovecot.Configuration) -> list[Socket]:
    """
    What Dovecot opens.

    read
        The configuration.
    """
    result = []
    for service, name in _listeners(read):
        port, written = _port(read, service, name)
        if not _served(read, service, name):
            continue
        source = _source(read, service, name)
        plain, secure = SPOKEN.get(PROTOCOLS.get(service, ""), ("tcp", "tls"))
        spoken = secure if _over_tls(read, service, name) else plain
        origin = dict.fromkeys(service_dovecot.listed(read, source), source)  # of each word
        for block in _blocks(read, service, name):
            for word, member in read.members[block].items():
                origin.pop(word, None)
                if service_dovecot.is_true(member.value):
                    origin[word] = block
        for word, setting in origin.items():
            found = address(word)
            place = statement_of(read, setting) or written
            result.append(Socket(setting, place, found, *_number(found.port or port), spoken))
    return result


def addresses(read: service_dovecot.Configuration, setting: tuple[str, ...]) -> list[Address]:
    """
    The addresses in a setting.

    read
        The configuration.
    setting
        Its path.
    """
    return [address(word) for word in service_dovecot.listed(read, setting)]


def address(word: str) -> Address:
    """
    What one word of a list of addresses means.

    word
        As it is written.
    """
    if word.startswith(("$", "<")):
        return Address(word, word, None, "", "a macro: cannot decide")
    match = service_dovecot.PORT.fullmatch(word)
    host, port = (match["address"], match["port"]) if match else (word, "")
    bare = service_addresses.ANY4 if host == "*" else host.strip("[]")
    version = service_addresses.version(bare)
    local = host.lower() in ("localhost", "ip6-localhost")
    note = service_addresses.why_alone(bare, name="loopback" if local else "a host name")
    return Address(word, service_addresses.canonical(bare) if version else host, version, port, note)
