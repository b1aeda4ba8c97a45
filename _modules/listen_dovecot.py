"""
On which addresses and ports Dovecot listens, and how to make that both IPv4 and IPv6. It never accesses the host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* Since 2.0 Dovecot listens on both families unless told otherwise (``listen = *, ::``), one socket for each, and sets
  IPV6_V6ONLY itself, so net.ipv6.bindv6only has no effect.
* A listener of its own address (``address`` in an ``inet_listener`` block, in Dovecot 2.4 ``listen``) does not follow
  the global ``listen``.
* ``protocol imap { listen = *:10143 }`` is the grammar of Dovecot 1. 2.0 to 2.3 still read it, but with one port only.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, NamedTuple

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_dovecot as service_dovecot
    import _dualstack_service_edits as service_edits
__virtualname__ = "listen_dovecot"

MAIN = service_dovecot.MAIN
OPTIONS = {"explicit": "true or false: whether `listen` is written even where the default would do"}

WILDCARDS = {4: "*", 6: "[::]"}  # `[::]`, since Dovecot 1 reads a bare `::` as an invalid port
# The words of a diff that are no secrets.
SHOWN = (
    "inet_listener inet_listener_imap imap imaps pop3 pop3s lmtp submission submissions managesieve managesieve-login "
    "sieve imap-login pop3-login submission-login protocols reuse_port haproxy"
).split()


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


def about() -> dict[str, Any]:
    """
    Facts about the service: its files, processes, units, validator and protocols.

    Returns plain data with the keys ``files``, ``processes``, ``units``, ``init``, ``options``, ``check`` and
    ``protocols``. ``words`` are those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_dovecot.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/dovecot", "/usr/sbin/dovecot *"],
        "units": ["dovecot.service"],
        "init": "dovecot",
        "sets_v6only": True,
        "options": OPTIONS,
        "check": ["doveconf", "-n"],
        "words": SHOWN,
        "protocols": {
            143: "imap",
            993: "imaps",
            110: "pop3",
            995: "pop3s",
            587: "smtp",
            465: "smtps",
            4190: "tcp",
            24: "tcp",
        },
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path; relative patterns start in its folder.
    text
        Its content.

    Returns absolute patterns, in the order of the text; ``{a,b}.conf`` gives two. Raises ``SaltInvocationError`` for a
    line that Dovecot would refuse.

    CLI Example:

    .. code-block:: bash

        salt-call listen_dovecot.includes /etc/dovecot/dovecot.conf '!include conf.d/*.conf'
    """
    return [pattern for each in service_dovecot.statements(path, text) for pattern in service_dovecot.patterns(each)]


def errors(options: dict[str, Any]) -> list[str]:
    """
    The errors in the values of the keys that only this service has.

    options
        ``explicit``: write ``listen = *, [::]`` even where that is the default, which it is since Dovecot 2.0. Dovecot
        1 listens on IPv4 only by default, and its files look like newer ones.

    Returns one sentence for each error.

    CLI Example:

    .. code-block:: bash

        salt-call listen_dovecot.errors '{explicit: true}'
    """
    found = options.get("explicit", False)
    return [] if isinstance(found, bool) else [f"explicit: {found!r} is not a boolean; expected {OPTIONS['explicit']}"]


def listeners(files: dict[str, Any]) -> list[dict[str, Any]]:
    """
    Where Dovecot listens, according to its configuration.

    files
        For each path its ``text`` and its ``includes``, the paths that each pattern of :py:func:`includes` matched.

    Returns the listeners in the order of the text, implicit ones first: ``port``, ``transport``, ``address``,
    ``v6only``, ``file``, ``line`` and ``note``. Raises ``SaltInvocationError`` for what Dovecot would refuse.

    CLI Example:

    .. code-block:: bash

        salt-call listen_dovecot.listeners '{/etc/dovecot/dovecot.conf: {text: "listen = *", includes: []}}'
    """
    read = service_dovecot.configuration(files)
    order = {path: number for number, path in enumerate(files)}
    result = [
        {
            "port": socket.port,
            "transport": "tcp",
            "address": socket.address.shown,
            "v6only": True if socket.address.family == 6 else None,
            "file": socket.place.path if socket.place else read.main,
            "line": socket.place.line if socket.place else 0,
            "note": "; ".join(filter(None, (socket.address.note, socket.note))),
        }
        for socket in _sockets(read)
    ]
    return sorted(result, key=lambda each: (each["line"] > 0, order.get(each["file"], 0), each["line"]))


def dual_stack(files: dict[str, Any], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """
    The same configuration, listening on both families.

    files
        As for :py:func:`listeners`.
    options
        As for :py:func:`errors`.
    bindv6only
        The value that net.ipv6.bindv6only will have; it does not matter to Dovecot.

    Returns ``files``: the new text of each file that changes; ``bindv6only``: always ``None``; ``notes``: what was left
    alone, and why. Raises ``SaltInvocationError`` for wrong options, and for what Dovecot would refuse.

    CLI Example:

    .. code-block:: bash

        salt-call listen_dovecot.dual_stack '{/etc/dovecot/dovecot.conf: {text: "listen = *", includes: []}}' '{}'
    """
    wrong = errors(options)
    if wrong:
        raise SaltInvocationError("; ".join(wrong))
    read = service_dovecot.configuration(files)
    edits: dict[str, dict[int, tuple[int, int, str]]] = {}  # by where they start
    notes: list[str] = []
    sockets = _sockets(read)
    for setting in _sources(read):
        statement = _statement_of(read, setting)
        if statement is None:
            continue  # the default
        value, found = _widened(read, sockets, setting, statement, files[statement.path]["text"])
        notes += found
        if value:
            edits.setdefault(statement.path, {})[statement.start] = (statement.start, statement.end, value)
    for statement in _trusting(read):
        value = _appended(files[statement.path]["text"][statement.start : statement.end], ["::1"])
        edits.setdefault(statement.path, {})[statement.start] = (statement.start, statement.end, value)
    result = service_edits.rewritten(files, {path: each.values() for path, each in edits.items()})
    if options.get("explicit") and read.main in files and ("listen",) not in {*read.settings, *read.members}:
        # At the end every block is closed, and no include follows.
        text = result.get(read.main, files[read.main]["text"])
        result[read.main] = service_edits.with_lines(text, ["listen = *, [::]"])
    return {"files": result, "bindv6only": None, "notes": list(dict.fromkeys([*notes, *_filters(read)]))}


# Meaning.


def _value(read: service_dovecot.Configuration, default: str, *setting: str) -> str:
    return read.settings[setting].value if setting in read.settings else default


def _statement_of(read: service_dovecot.Configuration, setting: tuple[str, ...]) -> service_dovecot.Statement | None:
    """The statement that a user would look at; none for a default."""
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


def _served(read: service_dovecot.Configuration, service: str, name: str) -> bool:
    known = _known(read, service, name)
    tls = _value(read, "yes" if known.ssl else "no", "service", service, "inet_listener", name, "ssl")
    if _number(_port(read, service, name)[0])[0] == 0:
        return False
    if service_dovecot.is_true(tls) and _value(read, service_dovecot.DEFAULTS["ssl"], "ssl") == "no":
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


def _sources(read: service_dovecot.Configuration) -> list[tuple[str, ...]]:
    """The settings from which the listeners take their addresses, and always the global one."""
    found = [_source(read, *listener) for listener in _listeners(read) if _number(_port(read, *listener)[0])[0] != 0]
    return list(dict.fromkeys([("listen",), *found]))


def _sockets(read: service_dovecot.Configuration) -> list[Socket]:
    result = []
    for service, name in _listeners(read):
        setting = _source(read, service, name)
        port, written = _port(read, service, name)
        place = _statement_of(read, setting) or written
        for address in _addresses(read, setting) if _served(read, service, name) else []:
            result.append(Socket(setting, place, address, *_number(address.port or port)))
    return result


def _addresses(read: service_dovecot.Configuration, setting: tuple[str, ...]) -> list[Address]:
    return [_address(word) for word in service_dovecot.listed(read, setting)]


def _address(word: str) -> Address:
    if word.startswith(("$", "<")):
        return Address(word, word, None, "", "a macro: cannot decide")
    match = service_dovecot.PORT.fullmatch(word)
    address, port = (match["address"], match["port"]) if match else (word, "")
    bare = service_addresses.ANY4 if address == "*" else address.strip("[]")
    version = service_addresses.version(bare)
    local = address.lower() in ("localhost", "ip6-localhost")
    note = service_addresses.why_alone(bare, name="loopback" if local else "a host name")
    return Address(word, service_addresses.canonical(bare) if version else address, version, port, note)


# Writing.


def _widened(
    read: service_dovecot.Configuration,
    sockets: list[Socket],
    setting: tuple[str, ...],
    statement: service_dovecot.Statement,
    text: str,
) -> tuple[str, list[str]]:
    """The value with the missing wildcard, or nothing if it stays; and the notes."""
    addresses = _addresses(read, setting)
    raw = text[statement.start : statement.end]
    shared = service_dovecot.last_port(raw) if read.dialect == "2" else ""
    plain = "$" not in raw and not any(each.note for each in addresses)
    ports = list(dict.fromkeys(each.port for each in addresses))
    added, notes = [], []
    for port in ports:
        group = [each for each in addresses if each.port == port]
        families = {each.family for each in group if not each.note}
        missing = [family for family in WILDCARDS if family not in families]
        if len(missing) == 2:
            notes += [f"`{each.word}` is {each.note}" for each in group]
        elif missing:
            _refuse_removal(read, setting, missing[0])
            beside = [each for each in group if each.note and each.family in (missing[0], None)]
            others = _others(sockets, setting, missing[0])
            if others and all(any(not each.note for each in same) for same in others.values()):
                continue  # another block already has the other family on each of these ports
            beside += [each for same in others.values() for each in same]
            if beside:  # EADDRINUSE, and Dovecot would not start
                words = ", ".join(dict.fromkeys(f"`{each.word}`" for each in beside))
                notes.append(f"`{WILDCARDS[missing[0]]}` cannot be bound to the same port beside {words}: left alone")
            elif shared and not plain:
                notes.append("a port beside specific addresses: left alone, write an inet_listener block for it")
            else:
                added.append(WILDCARDS[missing[0]] + (f":{port}" if port else ""))
    value = _appended(raw, added) if added else ""
    if value and plain and len(ports) == 1:
        each, last = (f":{port}" if port else "" for port in (ports[0], ports[0] or shared))
        value = f"*{each}, [::]{last}"
    if value and (shared or any(ports)):
        reader = "Dovecot 2.0 to 2.3" if shared else "Dovecot 1"
        notes.append(f"the port in `listen` is written for {reader}; newer ones want it in an inet_listener block")
    return value, [f"{statement.path}:{statement.line}: {note}" for note in notes]


def _others(sockets: list[Socket], setting: tuple[str, ...], family: int) -> dict[int, list[Address]]:
    """For each port of a setting what others bind to it in one family; empty if nothing."""
    ports: dict[int, list[Address]] = {each.port: [] for each in sockets if each.setting == setting and each.port}
    for each in sockets:
        if each.setting != setting and each.port in ports and each.address.family in (family, None):
            ports[each.port].append(each.address)
    return ports if any(ports.values()) else {}


def _refuse_removal(read: service_dovecot.Configuration, setting: tuple[str, ...], family: int) -> None:
    """Raises where a wildcard would be added that ``listen { :: = no }`` takes away again."""
    for name, member in read.members.get(setting, {}).items():
        address = _address(name)
        if not address.note and address.family == family and not service_dovecot.is_true(member.value):
            problem = f"`{member.key} = {member.value}` takes away what is to be added; remove this line"
            raise service_dovecot.refusal(member, problem)


def _appended(value: str, words: list[str]) -> str:
    """A list with more words, divided as the others are. A comma would become part of a macro's name."""
    comma = "$" not in value and ("," in value or " " not in value)
    return (", " if comma else " ").join([value, *words])


def _trusting(read: service_dovecot.Configuration) -> list[service_dovecot.Statement]:
    """The lists of trusted networks that know IPv4's loopback, but not that of IPv6."""
    return [
        statement
        for setting, statement in read.settings.items()
        if setting[-1] == "login_trusted_networks" and _is_ipv4_loopback_only(service_dovecot.listed(read, setting))
    ]


def _is_ipv4_loopback_only(words: list[str]) -> bool:
    networks = []
    for word in words:
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            continue
    loopback = ipaddress.ip_address("::1")
    return any(each.version == 4 and each.is_loopback for each in networks) and not any(
        loopback in each for each in networks
    )


def _filters(read: service_dovecot.Configuration) -> list[str]:
    """Notes about blocks for clients or addresses that know IPv4's loopback only."""
    filters = [block for block in read.blocks if block.key in ("remote", "local")]
    return [
        f"{block.path}:{block.line}: `{block.key} {block.value}` does not apply to ::1: left alone"
        for block in filters
        if _is_ipv4_loopback_only([block.value])
        and not any(each.key == block.key and each.value.partition("/")[0] == "::1" for each in filters)
    ]
