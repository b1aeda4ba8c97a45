"""
On which addresses and ports Dovecot listens, and how to make that both IPv4 and IPv6. It never accesses the host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* Since 2.0 Dovecot listens on both families unless told otherwise (``listen = *, ::``), one socket for each, and sets
  IPV6_V6ONLY itself, so net.ipv6.bindv6only has no effect.
* A listener of its own address (``address`` in an ``inet_listener`` block, in Dovecot 2.4 ``listen``) does not follow
  the global ``listen``.
* In 2.4, a block ``listen { 0.0.0.0 = yes }`` adds to the list before it, and to that of the blocks around it.
* ``protocol imap { listen = *:10143 }`` is the grammar of Dovecot 1. 2.0 to 2.3 still read it, but with one port only.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_dovecot as service_dovecot
    import _dualstack_service_dovecot_listeners as service_dovecot_listeners
    import _dualstack_service_edits as service_edits
    import _dualstack_service_published as service_published
__virtualname__ = "listen_dovecot"

MAIN = service_dovecot.MAIN
OPTIONS = {"explicit": "true or false: whether `listen` is written even where the default would do"}

WILDCARDS = {4: "*", 6: "[::]"}  # `[::]`, since Dovecot 1 reads a bare `::` as an invalid port
# The words of a diff that are no secrets.
SHOWN = (
    "inet_listener inet_listener_imap imap imaps pop3 pop3s lmtp submission submissions managesieve managesieve-login "
    "sieve imap-login pop3-login submission-login protocols reuse_port haproxy"
).split()


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
        "executables": ["/usr/sbin/dovecot"],
        "users": [],
        "units": ["dovecot.service"],
        "init": "dovecot",
        "sets_v6only": True,
        "sites": True,
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

    Returns the listeners in the order of the text, implicit ones first: ``port``, ``transport``, ``protocol``,
    ``address``, ``v6only``, ``file``, ``line`` and ``note``. Raises ``SaltInvocationError`` for what Dovecot would
    refuse.

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
            "protocol": socket.protocol,
            "address": socket.address.shown,
            "v6only": True if socket.address.family == 6 else None,
            "file": socket.place.path if socket.place else read.main,
            "line": socket.place.line if socket.place else 0,
            "note": "; ".join(filter(None, (socket.address.note, socket.note))),
        }
        for socket in service_dovecot_listeners.sockets(read)
    ]
    return sorted(result, key=lambda each: (each["line"] > 0, order.get(each["file"], 0), each["line"]))


def dual_stack(
    files: dict[str, Any], options: dict[str, Any], bindv6only: int = 0, site: dict[str, Any] | None = None
) -> dict[str, Any]:
    """
    The same configuration, listening on both families.

    files
        As for :py:func:`listeners`.
    options
        As for :py:func:`errors`.
    bindv6only
        The value that net.ipv6.bindv6only will have; it does not matter to Dovecot.
    site
        The names that the pillar declares, and the addresses of this host that are published; with them, a list with a
        published one of IPv4 gets those of IPv6.

    Returns ``files``: the new text of each file that changes; ``always``: the same with nothing but trusted networks,
    which matter even where Dovecot answers in both families; ``bindv6only``: always ``None``; ``notes``: what was left
    alone, and why; ``missing``: what cannot be had without an address. Raises ``SaltInvocationError`` for wrong
    options, and for what Dovecot would refuse.

    CLI Example:

    .. code-block:: bash

        salt-call listen_dovecot.dual_stack '{/etc/dovecot/dovecot.conf: {text: "listen = *", includes: []}}' '{}'
    """
    wrong = errors(options)
    if wrong:
        raise SaltInvocationError("; ".join(wrong))
    read = service_dovecot.configuration(files)
    companions: Edits = {}
    for statement in _trusting(read):
        value = _appended(files[statement.path]["text"][statement.start : statement.end], ["::1"])
        companions.setdefault(statement.path, {})[statement.start] = (statement.start, statement.end, value)
    edits = {path: dict(each) for path, each in companions.items()}
    notes: list[str] = []
    missing: list[dict[str, Any]] = []
    published = service_published.addresses(site)
    by_port: ByPort = {}
    own: dict[tuple[str, ...], list[service_dovecot_listeners.Socket]] = {}
    for socket in service_dovecot_listeners.sockets(read):
        by_port.setdefault(socket.port, []).append(socket)
        own.setdefault(socket.setting, []).append(socket)
    for setting in service_dovecot_listeners.sources(read):
        statement_or_none = service_dovecot_listeners.statement_of(read, setting)
        if statement_or_none is None:
            continue  # the default
        statement = statement_or_none
        text = files[statement.path]["text"]
        added, found = _single(read, own.get(setting, []), by_port, published)
        place = f"{statement.path}:{statement.line}"
        if added:
            found = _add(edits, read, setting, added, text)
        elif found:
            ports = {socket.port for socket in own[setting]}
            port = next(iter(ports)) if len(ports) == 1 else None
            missing.append(service_published.missing(site, port, f"{place}: {found[0]}"))
            found = []
        else:
            added, found = _wider(read, own.get(setting, []), by_port, setting, text, published["ipv6"])
            found += _add(edits, read, setting, added, text)
            if site is not None and not added:
                named = _named(own.get(setting, []), by_port, published)
                missing += [service_published.unknown(site, port, f"{place}: `{word}`") for word, port in named.items()]
                found = [note for note in found if not any(note.startswith(f"`{word}` is ") for word in named)]
        notes += [f"{place}: {note}" for note in found]
    result = service_edits.rewritten(files, {path: each.values() for path, each in edits.items()})
    if options.get("explicit") and read.main in files and ("listen",) not in {*read.settings, *read.members}:
        # At the end every block is closed, and no include follows.
        text = result.get(read.main, files[read.main]["text"])
        result[read.main] = service_edits.with_lines(text, ["listen = *, [::]"])
    return {
        "files": result,
        "always": service_edits.rewritten(files, {path: each.values() for path, each in companions.items()}),
        "bindv6only": None,
        "notes": list(dict.fromkeys([*notes, *_filters(read)])),
        "missing": missing,
    }


# Writing.


Edits = dict[str, dict[int, tuple[int, int, str]]]  # by file, and where they start
ByPort = dict[int | None, list[service_dovecot_listeners.Socket]]  # all sockets


def _single(
    read: service_dovecot.Configuration,
    own: list[service_dovecot_listeners.Socket],
    by_port: ByPort,
    published: dict[str, list[str]],
) -> tuple[list[str], list[str]]:
    """The addresses of IPv6 that a list with a published one of IPv4 lacks; or why they cannot be added."""
    beside = {port: {each.address.shown for each in by_port[port]} for port in {each.port for each in own}}
    lacking = [
        each for each in own if service_published.lacking(each.address.shown, beside[each.port], published) is not None
    ]
    if not lacking:
        return [], []
    word = f"`{lacking[0].address.word}`"
    if not published["ipv6"]:
        return [], [f"{word}: {service_published.UNKNOWN}"]
    if any(each.address.port for each in own):
        return [], [f"{word}: it has its port beside it; write inet_listener blocks, and an address of IPv6 in them"]
    if {each.port for each in own} != {each.port for each in lacking}:
        return [], [f"{word}: another block has IPv6 on some of its ports; give each its addresses by hand"]
    return [f"[{each}]" if read.dialect == "1" else each for each in published["ipv6"]], []


def _named(
    own: list[service_dovecot_listeners.Socket], by_port: ByPort, published: dict[str, list[str]]
) -> dict[str, int | None]:
    """The host names in a list by which a port may have IPv4 only, each with that port, if it is the only one."""
    ports: dict[str, set[int | None]] = {}
    for each in own:
        beside = {other.address.shown for other in by_port[each.port]}
        is_name = each.address.note.startswith("a host name")
        if is_name and service_published.named(each.address.shown, beside, published):
            ports.setdefault(each.address.word, set()).add(each.port)
    return {word: next(iter(found)) if len(found) == 1 else None for word, found in ports.items()}


def _wider(
    read: service_dovecot.Configuration,
    own: list[service_dovecot_listeners.Socket],
    by_port: ByPort,
    setting: tuple[str, ...],
    text: str,
    published: list[str],
) -> tuple[list[str], list[str]]:
    """
    The wildcards that a list lacks, each with its port if others have one there; and notes.

    Where IPv6's cannot be bound, the ``published`` addresses are.
    """
    addresses = service_dovecot_listeners.addresses(read, setting)
    shared = _shared(read, setting, text)
    plain = not any(each.note for each in addresses) and "$" not in _raw(read, setting, text)
    added, notes = [], []
    for port in dict.fromkeys(each.port for each in addresses):
        group = [each for each in addresses if each.port == port]
        families = {each.family for each in group if not each.note}
        missing = [family for family in WILDCARDS if family not in families]
        if len(missing) == 2:
            notes += [f"`{each.word}` is {each.note}" for each in group]
        elif missing:
            beside = [each for each in group if each.note and each.family in (missing[0], None)]
            others = _others(own, by_port, setting, missing[0])
            if others and all(any(not each.note for each in same) for same in others.values()):
                continue  # another block already has the other family on each of these ports
            beside += [each for same in others.values() for each in same]
            if beside and published and missing == [6] and not port and not shared:
                if not any(each.shown in published for each in beside):
                    added += [f"[{each}]" if read.dialect == "1" else each for each in published]
            elif beside:  # EADDRINUSE, and Dovecot would not start
                words = ", ".join(dict.fromkeys(f"`{each.word}`" for each in beside))
                notes.append(f"`{WILDCARDS[missing[0]]}` cannot be bound to the same port beside {words}: left alone")
            elif shared and not plain:
                notes.append("a port beside specific addresses: left alone, write an inet_listener block for it")
            else:
                added.append(WILDCARDS[missing[0]] + (f":{port}" if port else ""))
    return added, notes


def _raw(read: service_dovecot.Configuration, setting: tuple[str, ...], text: str) -> str:
    """The words of a list as they are written; none if it is a block."""
    statement = read.settings.get(setting)
    return text[statement.start : statement.end] if statement else ""


def _shared(read: service_dovecot.Configuration, setting: tuple[str, ...], text: str) -> str:
    """The port of the last address, which Dovecot 2 reads as that of all of them."""
    return service_dovecot.last_port(_raw(read, setting, text)) if read.dialect == "2" else ""


def _add(
    edits: Edits, read: service_dovecot.Configuration, setting: tuple[str, ...], words: list[str], text: str
) -> list[str]:
    """Put words into a list, however it is written; returns notes. ``text`` is that of the statement's file."""
    statement = read.settings.get(setting)
    members = read.members.get(setting, {})
    left = []
    for word in words:
        taken_away = [
            member
            for name, member in members.items()
            if not service_dovecot.is_true(member.value) and _shown(name) == _shown(word)
        ]
        for member in taken_away:  # `:: = no`
            edits.setdefault(member.path, {})[member.start] = (member.start, member.end, "yes")
        left += [] if taken_away else [word]
    if not left:
        return []
    if not statement:
        last = next(reversed(members.values()))
        end = text.find("\n", last.end)
        end = len(text) if end < 0 else end
        line = text[text.rfind("\n", 0, last.start) + 1 : last.start]
        indent, close = line[: len(line) - len(line.lstrip())], "\r" if text[end - 1] == "\r" else ""
        lines = "".join(f"\n{indent}{word.strip('[]')} = yes{close}" for word in left)
        edits.setdefault(last.path, {})[end] = (end, end, lines)
        return []
    raw, shared = _raw(read, setting, text), _shared(read, setting, text)
    addresses = service_dovecot_listeners.addresses(read, setting)
    value = _appended(raw, left)
    ports = list(dict.fromkeys(each.port for each in addresses))
    new = [service_dovecot_listeners.address(each) for each in left]
    if not members and "$" not in raw and not any(each.note for each in [*addresses, *new]) and len(ports) == 1:
        each, last_port = (f":{port}" if port else "" for port in (ports[0], ports[0] or shared))
        value = f"*{each}, [::]{last_port}"
    edits.setdefault(statement.path, {})[statement.start] = (statement.start, statement.end, value)
    if not shared and not any(ports):
        return []
    reader = "Dovecot 2.0 to 2.3" if shared else "Dovecot 1"
    return [f"the port in `listen` is written for {reader}; newer ones want it in an inet_listener block"]


def _shown(word: str) -> str:
    return service_dovecot_listeners.address(word).shown


def _others(
    own: list[service_dovecot_listeners.Socket], by_port: ByPort, setting: tuple[str, ...], family: int
) -> dict[int, list[service_dovecot_listeners.Address]]:
    """For each port of a setting what others bind to it in one family; empty if nothing."""
    ports = {
        port: [
            each.address for each in by_port[port] if each.setting != setting and each.address.family in (family, None)
        ]
        for port in dict.fromkeys(each.port for each in own)
        if port
    }
    return ports if any(ports.values()) else {}


def _appended(value: str, words: list[str]) -> str:
    """A list with more words, divided as the others are. A comma would become part of a macro's name."""
    comma = "$" not in value and ("," in value or " " not in value)
    return (", " if comma else " ").join([value, *words] if value else words)


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
    """Notes about blocks and lists for clients or addresses that know IPv4's loopback only."""
    lists = [
        f"{each.path}:{each.line}: {each.key} names IPv4's loopback, and not ::1: left alone, add it if it may"
        for setting, each in read.settings.items()
        if setting[-1] != "login_trusted_networks"
        and (setting[-1].endswith("_networks") or "allow_nets" in f"{setting[-1]} {each.value}")
        and _is_ipv4_loopback_only(re.split("[ ,]+", each.value.replace("allow_nets=", " ")))
    ]
    filters = [block for block in read.blocks if block.key in ("remote", "local")]
    return lists + [
        f"{block.path}:{block.line}: `{block.key} {block.value}` does not apply to ::1: left alone"
        for block in filters
        if _is_ipv4_loopback_only([block.value])
        and not any(each.key == block.key and each.value.partition("/")[0] == "::1" for each in filters)
    ]
