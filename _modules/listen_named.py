"""
How the configuration of BIND's named says where it listens, and how it serves both families. PURE: never accesses the
host.

* Measured with Debian's 9.18: named opens a socket on each address of the host that ``listen-on`` or ``listen-on-v6``
  matches, with IPV6_V6ONLY set by itself. Without the statement, all addresses of its family match; an empty list
  matches none.
* ``-4`` or ``-6`` among the ``OPTIONS`` of /etc/default/named shuts the other family off, whatever named.conf says.
* Who listens on IPv4 for all has meant to: IPv6 is added to it. IPv4 is never added.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any, NamedTuple

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_includes as service_includes
    import _dualstack_service_lists as service_lists
    import _dualstack_service_named as service_named
__virtualname__ = "listen_named"

MAIN, DEFAULTS, ROOT = "/etc/bind/named.conf", "/etc/default/named", "/var/cache/bind"
LISTEN = {"listen-on": 4, "listen-on-v6": 6}
ANY = {4: service_addresses.ANY4, 6: service_addresses.ANY6}
ALLOWS = ("allow-query", "allow-query-cache", "allow-recursion", "acl")
COMPANION = " ::1;"
USUAL = 53
OPTIONS = re.compile(r"""^[ \t]*(?:export[ \t]+)?OPTIONS=(?P<quote>["']?)(?P<words>[^"'\n]*)(?P=quote)""", re.MULTILINE)
SWITCH = re.compile(r"[ \t]+-(?P<behind>[46])(?!\S)|(?<!\S)-(?P<first>[46])(?:[ \t]+|(?!\S))")
DASH_PORT = re.compile(r"(?<!\S)-p[ \t]*(?:dns=)?([0-9]{1,5})(?!\S)")
# The words of a diff that are no secrets.
SHOWN = (
    "listen-on listen-on-v6 allow-query allow-query-cache allow-recursion allow-transfer acl options none localnets "
    "directory OPTIONS -4 -6 -u bind view"
).split()

Statement = service_named.Statement


class Listen(NamedTuple):
    statement: Statement | None  # None for the default
    version: int
    port: int | None
    head: str  # what stands between the name and the list, such as `port 853 tls local`
    elements: list[service_named.Element]
    addresses: list[str]


class Settings(NamedTuple):
    listens: list[Listen]
    allows: list[tuple[Statement, list[service_named.Element]]]
    only: int  # 4 or 6 by a switch of the command line; else 0
    switch: tuple[int, int]  # where that switch stands in DEFAULTS


def about() -> dict[str, Any]:
    """
    Facts about the service.

    Returns ``files`` to begin reading with, patterns of its ``processes``, ``executables`` and ``units``, the ``users``
    that it runs as, its name for service(8), ``init``, its own keys in the pillar, ``options``, of which there are
    none, the command that checks its configuration, and the ``protocols`` of its usual ports. ``words`` are those of
    its configuration that a diff may show. It opens a socket on each address of the host, where others have one for
    all.

    CLI Example:

    .. code-block:: bash

        salt-call listen_named.about
    """
    return {
        "files": [MAIN, DEFAULTS],
        "processes": ["/usr/sbin/named", "/usr/sbin/named *"],
        "executables": ["/usr/sbin/named"],
        "users": ["bind"],
        "units": ["named.service", "bind9.service"],
        "init": "named",
        "sets_v6only": True,
        "sites": True,
        "options": {},
        "check": ["named-checkconf"],
        "words": SHOWN,
        "protocols": {USUAL: "dns", 853: "tls", 443: "tls"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes, at any depth.

    path
        The file's own path.
    text
        Its content.

    Returns shell patterns of absolute paths, in the order of the text. Raises ``SaltInvocationError`` where the text
    cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_named.includes /etc/bind/named.conf 'include "/etc/bind/named.conf.options";'
    """
    return [pattern for each in _statements(path, text) for pattern in _patterns(each)]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    files
        Every file that named reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each socket with ``port``, ``transport``, ``address``, ``v6only``, ``file``, ``line`` and
    ``note``, and, of TCP, ``protocol``; implicit ones are on line 0. All addresses of a family are ``0.0.0.0`` or
    ``::``. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_named.listeners '{/etc/bind/named.conf: {text: "options { listen-on-v6 { none; }; };"}}'
    """
    settings = _settings(files)
    return [
        {
            "port": each.port,
            "transport": transport,
            **({"protocol": _protocol(each.head)} if transport == "tcp" else {}),
            "address": address,
            "v6only": True if each.version == 6 else None,
            "file": each.statement.path if each.statement else MAIN,
            "line": each.statement.line if each.statement else 0,
            "note": service_lists.why_alone(address),
        }
        for each in settings.listens
        if settings.only in (0, each.version)
        for address in each.addresses
        # DNS over TLS and over HTTPS have no UDP.
        for transport in (["tcp"] if re.search(r"\b(?:tls|http)\b", each.head) else ["tcp", "udp"])
    ]


def dual_stack(
    files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0, site: dict[str, Any] | None = None
) -> dict[str, Any]:
    """
    The same configuration, listening on IPv6 where it listens on IPv4 for others.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; named does not care.
    site
        ``addresses``: the published ones of this host, by family. One that it listens on comes with those of IPv6.

    Returns ``files``, the new text of each file that changes, ``always``, those with the lists that let in 127.0.0.1
    and not ::1, ``bindv6only``, ``None`` as it is immune, ``notes``, and ``missing``, what would be published and has
    no IPv6. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_named.dual_stack '{/etc/bind/named.conf: {text: "options { listen-on-v6 { none; }; };"}}' '{}'
    """
    settings = _settings(files)
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes: list[str] = []
    missing: list[dict[str, Any]] = []
    open_for = _open_for(settings, site)
    if settings.only and open_for:
        edits[DEFAULTS] = [(*settings.switch, "")]
        notes.append(f"{DEFAULTS}: without `-{settings.only}` named asks other servers over both families, too")
    for each, beside in _pairs(settings):
        four, six = _single(each.addresses, site), [address for other in beside for address in other.addresses]
        if ANY[4] in four:  # no address of its own is in the way of all of them
            four, six = [ANY[4]], [address for address in six if address == ANY[6]]
        found = service_lists.lack([*four, *six], site)
        if found.added:
            path, edit = _added(files, settings, each, beside, found.added)
            if edit:
                edits.setdefault(path, []).append(edit)
            else:
                notes.append(f"{path}: its list has `!`: left alone; add {' '.join(found.added)}")
        elif found.missing:
            said = f"{_place(each.statement)}: `listen-on`: {found.missing}; add one to listen-on-v6"
            missing.append(service_lists.gap(said, each.port))
        elif found.note:
            notes.append(f"{_place(each.statement)}: `listen-on`: {found.note}")
    companions, more = _companions(settings) if open_for or _serves_six(settings) else ({}, [])
    for path, found_edits in companions.items():
        edits[path] = [*edits.get(path, []), *found_edits]
    return {
        "files": service_edits.rewritten(files, edits),
        "always": service_edits.rewritten(files, companions),
        "bindv6only": None,
        "notes": [*notes, *more],
        "missing": missing,
    }


def _open_for(settings: Settings, site: dict[str, Any] | None) -> bool:
    """Whether it listens for others in the family that it is limited to: on all addresses, or a published one."""
    known = [*ANY.values(), *service_addresses.published(site, "ipv4")]
    versions = (settings.only,) if settings.only else (4, 6)
    return any(address in known for each in settings.listens if each.version in versions for address in each.addresses)


def _serves_six(settings: Settings) -> bool:
    return settings.only != 4 and any(each.version == 6 and each.addresses for each in settings.listens)


def _pairs(settings: Settings) -> list[tuple[Listen, list[Listen]]]:
    """What listens on IPv4, by port and what it speaks, and what does so on IPv6. Statements add up."""
    groups: dict[tuple[int | None, str], list[Listen]] = {}
    for each in settings.listens:
        groups.setdefault((each.port, _kind(each.head)), []).append(each)
    pairs = []
    for group in groups.values():
        four = [each for each in group if each.version == 4 and each.addresses]
        if four:
            together = [address for each in four for address in each.addresses]
            pairs.append((four[-1]._replace(addresses=together), [each for each in group if each.version == 6]))
    return pairs


def _single(addresses: list[str], site: dict[str, Any] | None) -> list[str]:
    """Addresses, and of networks the published addresses that are in them."""
    known = service_addresses.published(site, "ipv4")
    return [
        single
        for each in addresses
        for single in ([one for one in known if service_named.within(one, each)] or [each] if "/" in each else [each])
    ]


def _kind(head: str) -> str:
    """What a listener speaks: the words of its head but its port."""
    return " ".join(re.sub(r"\bport\s+\S+", "", head).split())


def _protocol(head: str) -> str:
    """What is spoken over TCP, as the probe names it: DNS over HTTPS is HTTP/2, which it does not speak."""
    words = head.lower().split()
    tls = next((value for key, value in zip(words, words[1:]) if key == "tls"), "none")
    if tls != "none":
        return "tls"
    return "tcp" if "http" in words else "dns"


def _added(
    files: dict[str, dict[str, Any]], settings: Settings, four: Listen, beside: list[Listen], added: list[str]
) -> tuple[str, tuple[int, int, str] | None]:
    """The edit that adds addresses to the list of IPv6, and its file; none where the list has its exceptions."""
    words = "".join(f" {'any' if each == ANY[6] else each};" for each in added)
    written = next((each for each in reversed(beside) if each.statement), None)
    if written and written.statement:
        statement = written.statement
        if any(each.negated and each.word != service_named.ANY for each in written.elements):
            return _place(statement), None
        block = statement.block or []
        if not block:
            return statement.path, (*statement.inside, f"{words} ")
        if not written.addresses:
            return statement.path, (block[0].start, block[-1].end, words.lstrip())
        return statement.path, (block[-1].end, block[-1].end, words)
    # There is none for this port: a line below that of IPv4, and one for what was the default.
    lines = [" ".join(["listen-on-v6", *four.head.split(), f"{{{words} }};"])]
    if not any(each.version == 6 and each.statement for each in settings.listens):
        lines.insert(0, "listen-on-v6 { any; };")
    return _below(files, four.statement or settings.listens[0].statement, lines)


def _below(
    files: dict[str, dict[str, Any]], statement: Statement | None, lines: list[str]
) -> tuple[str, tuple[int, int, str] | None]:
    """Statements behind another one, each on a line of its own if that is on one."""
    if statement is None:
        return MAIN, None
    text = files[statement.path]["text"]
    before = text[text.rfind("\n", 0, statement.start) + 1 : statement.start]
    gap = " " if before.strip() else ("\r\n" if "\r\n" in text else "\n") + before
    return statement.path, (statement.end, statement.end, "".join(f"{gap}{each}" for each in lines))


def _companions(settings: Settings) -> tuple[dict[str, list[tuple[int, int, str]]], list[str]]:
    """Where a list lets in 127.0.0.1, ::1 is let in; and notes on those that know IPv4 only."""
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes = []
    for statement, found in settings.allows:
        own = service_named.elements(statement.block or [], {})
        trusted = next((each for each in own if _trusts(each)), None)
        if trusted and service_named.lets_in(found, 4) and service_named.lets_in(found, 6) is None:
            edits.setdefault(statement.path, []).append((trusted.end, trusted.end, COMPANION))
        networks = [each.word for each in own if "." in each.word and not each.negated and not _trusts(each)]
        if networks and not any(":" in each.word or each.word in ("", "any", "localnets") for each in found):
            name = " ".join(word.text for word in statement.words[:2])
            notes.append(f"{_place(statement)}: `{name}` knows no network of IPv6: add it beside {', '.join(networks)}")
    return edits, notes


def _trusts(element: service_named.Element) -> bool:
    return "." in element.word and bool(service_named.lets_in([element], 4))


def _place(statement: Statement | None) -> str:
    return f"{statement.path}:{statement.line}" if statement else MAIN


def _statements(path: str, text: str) -> list[Statement]:
    return [] if path == DEFAULTS else service_named.statements(path, text)


def _patterns(statement: Statement) -> list[str]:
    return [
        posixpath.join(ROOT, each.words[1].text)
        for each in service_named.everywhere([statement])
        if each.name == "include" and len(each.words) == 2
    ]


def _settings(files: dict[str, dict[str, Any]]) -> Settings:
    def place(path: str, each: Statement) -> str:
        return f"{path}:{each.line}:1"

    found = [
        step.statement
        for step in service_includes.walk(files, MAIN, _statements, lambda each: len(_patterns(each)), place)
    ]
    acls = {each.words[1].text: each.block or [] for each in found if each.name == "acl" and len(each.words) == 2}
    # What an included file has in place of the options' block stands there by itself.
    own = [inner for each in found for inner in ((each.block or []) if each.name == "options" else [each])]
    ports = [each.words[1].text for each in own if each.name == "port" and len(each.words) == 2]
    only, switch, port = _switches(files.get(DEFAULTS, {}).get("text", ""))
    usual = port or _number(ports[-1] if ports else str(USUAL))
    listens = [_listen(each, acls, usual) for each in own if each.name in LISTEN]
    for version in (4, 6):
        if not any(each.version == version for each in listens):
            listens.append(Listen(None, version, usual, "", [], [ANY[version]]))
    allows = [
        (each, service_named.elements(each.block, acls))
        for each in service_named.everywhere(found)
        if each.name in ALLOWS and each.block is not None
    ]
    return Settings(listens, allows, only, switch)


def _listen(statement: Statement, acls: dict[str, list[Statement]], usual: int | None) -> Listen:
    version = LISTEN[statement.name]
    words = [each.text for each in statement.words[1:]]
    ports = [value for key, value in zip(words, words[1:]) if key.lower() == "port"]
    elements = service_named.elements(statement.block or [], acls)
    addresses = service_named.addresses(elements, version)
    return Listen(statement, version, _number(ports[0]) if ports else usual, " ".join(words), elements, addresses)


def _number(word: str) -> int | None:
    return int(word) if re.fullmatch(r"[0-9]{1,5}", word) else None


def _switches(text: str) -> tuple[int, tuple[int, int], int | None]:
    """The family that the command line limits named to, or 0; where it says so; and its port."""
    last = None
    for last in OPTIONS.finditer(text):
        pass
    if last is None:
        return 0, (0, 0), None
    words, first = last["words"], last.start("words")
    port = DASH_PORT.search(words)
    number = _number(port[1]) if port else None
    if switch := SWITCH.search(words):
        return int(switch["behind"] or switch["first"]), (first + switch.start(), first + switch.end()), number
    return 0, (0, 0), number
