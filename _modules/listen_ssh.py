"""
How sshd's configuration says where it listens, and how it serves both families. It never accesses the host.

* Without ``ListenAddress`` it listens on both families, one socket each: it sets IPV6_V6ONLY to 1 itself.
  ``ListenAddress ::`` alone is IPv6 only, whatever ``net.ipv6.bindv6only`` says.
* ``Port`` and ``ListenAddress`` accumulate; of ``AddressFamily``, the first one counts, sshd_config(5).
* To lock nobody out, sockets are only added here, never removed or moved.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_includes as service_includes
__virtualname__ = "listen_ssh"

MAIN = "/etc/ssh/sshd_config"
ROOT = "/etc/ssh"

ANY4, ANY6, OTHER = service_addresses.ANY4, service_addresses.ANY6, service_addresses.OTHER

ADDRESS_FAMILY = {"any": [ANY4, ANY6], "inet": [ANY4], "inet6": [ANY6]}

KEYWORD = re.compile(r'[ \t\r]*(?:"(?P<quoted>[^"\n]*)"|(?P<bare>[^ \t\r\n="#][^ \t\r\n="]*))[ \t\r]*=?[ \t\r]*')
# argv_split(): quotes can stand anywhere in a word, a comment only where one could begin.
WORD = re.compile(r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\\.|[^ \t\r\n"'\\])+""")
QUOTING = re.compile(r"""\\([\\"' ])|["']""")
PORT = re.compile(r"[0-9]{1,9}")
KEYWORDS = ("include", "match", "port", "addressfamily", "listenaddress")
# The words of a diff that are no secrets.
SHOWN = "Port ListenAddress AddressFamily Include Match".split()


class Directive(NamedTuple):
    path: str
    line: int
    keyword: str
    words: list[str]  # the arguments
    spans: list[tuple[int, int]]  # where they stand in the text, quotes included
    start: int  # of the line
    end: int
    everywhere: bool  # for every connection, as far as its own file says


class Listen(NamedTuple):
    directive: Directive
    address: str
    port: str  # "" for each Port of the configuration
    domain: tuple[str, ...]  # `rdomain NAME`
    note: str


class Settings(NamedTuple):
    ports: list[tuple[str, Directive | None]]
    family: str
    family_at: Directive | None
    listens: list[Listen]
    matches: list[Directive]


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes`` and ``units``, its name for service(8),
    ``init``, its own keys in the pillar, ``options``, of which there are none, the command that checks its
    configuration, and the ``protocols`` of its usual ports. ``words`` are those of its configuration that a diff may
    show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ssh.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/sshd*"],
        "units": ["ssh.service", "ssh@*.service", "sshd.service"],
        "init": "ssh",
        "sets_v6only": True,
        "options": {},
        "check": ["/usr/sbin/sshd", "-t"],  # sshd insists on an absolute path
        "words": SHOWN,
        "protocols": {22: "ssh"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path, for errors.
    text
        Its content.

    Returns shell patterns of absolute paths, in the order of the text; relative ones start in /etc/ssh. Raises
    ``SaltInvocationError`` where the text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ssh.includes /etc/ssh/sshd_config 'Include sshd_config.d/*.conf'
    """
    return [pattern for each in _directives(path, text) for pattern in _patterns(each)]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    files
        Every file that sshd reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each socket, in the order of the text, with ``port``, ``transport``, ``address``,
    ``v6only``, ``file``, ``line`` and ``note``; implicit ones are on line 0. Raises ``SaltInvocationError`` where a
    text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ssh.listeners '{/etc/ssh/sshd_config: {text: "Port 22", includes: []}}'
    """
    settings = _settings(files)
    sockets: list[tuple[str, str, Directive | None, str]] = []
    if not settings.listens:
        for port, directive in settings.ports:
            sockets += [(address, port, directive, "") for address in ADDRESS_FAMILY[settings.family]]
    for each in settings.listens:
        note = each.note
        if each.address in OTHER and each.address not in ADDRESS_FAMILY[settings.family]:
            note = f"`AddressFamily {settings.family}` excludes it: sshd does not start"
        sockets += [(each.address, port, each.directive, note) for port in _ports(each, settings)]
    return [
        {
            "port": int(port) if PORT.fullmatch(port) else None,
            "transport": "tcp",
            "address": address,
            "v6only": True if ":" in address else None,
            "file": directive.path if directive else MAIN,
            "line": directive.line if directive else 0,
            "note": note if PORT.fullmatch(port) else "a port by name: cannot decide",
        }
        for address, port, directive, note in sockets
    ]


def dual_stack(files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """
    The same configuration, listening on both families: sockets are added, none is removed.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; sshd does not care.

    Returns ``files``, the new text of each file that changes, ``bindv6only``, ``None`` as it is immune, and ``notes``.
    Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ssh.dual_stack '{/etc/ssh/sshd_config: {text: "AddressFamily inet"}}' '{}'
    """
    settings = _settings(files)
    notes = [f"{_place(each.directive)}: `{_written(each)}`: {each.note}" for each in settings.listens if each.note]
    notes += _deaf_matches(settings.matches)
    edits: dict[str, list[tuple[int, int, str]]] = {}
    if settings.family != "any" and settings.family_at:
        at = settings.family_at
        if not settings.listens or any(each.address in OTHER for each in settings.listens):
            edits.setdefault(at.path, []).append((*at.spans[0], "any"))
        else:
            notes.append(f"{_place(at)}: `AddressFamily {settings.family}` was left alone: no address is a wildcard")
    # Sockets by address, port and routing domain; those that are not wildcards prevent one.
    taken = {(each.address, port, each.domain) for each in settings.listens for port in _ports(each, settings)}
    narrow: dict[tuple[str, str, tuple[str, ...]], Listen] = {}
    for each in settings.listens:
        if each.address not in OTHER:
            for family in _families(each.address):
                narrow.update({(family, port, each.domain): each for port in _ports(each, settings)})
    for each in settings.listens:
        if each.address not in OTHER:
            continue
        wanted = [(OTHER[each.address], port, each.domain) for port in _ports(each, settings)]
        lacking = [socket for socket in wanted if socket not in taken]
        obstacle = next((narrow[socket] for socket in lacking if socket in narrow), None)
        if obstacle:
            notes.append(
                f"{_place(each.directive)}: `{_written(each)}` was left alone: "
                f"`{_written(obstacle)}` ({_place(obstacle.directive)}) has the port in the other family"
            )
        elif lacking:
            taken.update(lacking)
            whole = not each.port and lacking == wanted
            targets = [OTHER[each.address]] if whole else [_target(address, port) for address, port, _ in lacking]
            edits.setdefault(each.directive.path, []).append(
                _insertion(files[each.directive.path]["text"], each, list(dict.fromkeys(targets)))
            )
    return {
        "files": service_edits.rewritten(files, edits),
        "bindv6only": None,
        "notes": list(dict.fromkeys(notes)),
    }


def _error(directive: Directive, column: int, what: str) -> SaltInvocationError:
    return SaltInvocationError(f"{directive.path}:{directive.line}:{column}: {what}")


def _directives(path: str, text: str) -> Iterator[Directive]:
    """The directives of one file that matter here."""
    start, everywhere = 0, True
    for number, line in enumerate(text.split("\n"), 1):
        first, start = start, start + len(line) + 1
        match = KEYWORD.match(line)
        keyword = (match["quoted"] or match["bare"] or "").lower() if match else ""
        if not match or keyword not in KEYWORDS:
            continue
        end = first + len(line.rstrip("\r"))
        directive = Directive(path, number, keyword, [], [], first, end, everywhere)
        position = match.end()
        while position < len(line) and line[position] != "#":
            if line[position] in " \t\r":
                position += 1
                continue
            word = WORD.match(line, position)
            if not word:
                raise _error(directive, position + 1, f"a `{line[position]}` that is not closed")
            position = word.end()
            if position < len(line) and line[position] not in " \t\r":
                raise _error(directive, position + 1, f"a `{line[position]}` that is not closed")
            directive.words.append(QUOTING.sub(r"\1", word[0]))
            directive.spans.append((first + word.start(), first + word.end()))
        if not directive.words:
            raise _error(directive, len(line.rstrip()) + 1, f"nothing behind `{keyword}`")
        if keyword == "match":
            # `Match all` ends a block, measured with 9.2; one inside of an included file ends with the file.
            everywhere = [word.lower() for word in directive.words] == ["all"]
        yield directive


def _patterns(directive: Directive) -> list[str]:
    return [posixpath.join(ROOT, word) for word in directive.words] if directive.keyword == "include" else []


def _walk(files: dict[str, dict[str, Any]]) -> Iterator[tuple[Directive, bool]]:
    """The directives of all files in the order in which sshd reads them, and whether they hold for every connection."""

    def place(path: str, each: Directive) -> str:
        return f"{path}:{each.line}:1"

    for step in service_includes.walk(files, MAIN, _directives, lambda each: len(_patterns(each)), place):
        yield step.statement, all(each.everywhere for each in (*step.above, step.statement))


def _settings(files: dict[str, dict[str, Any]]) -> Settings:
    ports: list[tuple[str, Directive | None]] = []
    family, family_at = "any", None
    listens, matches = [], []
    for each, everywhere in _walk(files):
        if each.keyword == "match":
            matches.append(each)
        elif not everywhere:
            continue  # sshd refuses the others there
        elif each.keyword == "port":
            ports.append((_number(each.words[0]), each))
        elif each.keyword == "listenaddress":
            listens.append(_listen(each))
        elif each.keyword == "addressfamily" and not family_at:
            family, family_at = each.words[0].lower(), each
            if family not in ADDRESS_FAMILY:
                column = each.spans[0][0] - each.start + 1
                raise _error(each, column, f"'{each.words[0]}' is not an address family; expected any, inet or inet6")
    return Settings(ports or [("22", None)], family, family_at, listens, matches)


def _number(port: str) -> str:
    """The port without zeros in front of it; a name stays a name."""
    return str(int(port)) if PORT.fullmatch(port) else port


def _listen(directive: Directive) -> Listen:
    word, *domain = directive.words
    # ADDRESS with two colons is an IPv6 address without a port.
    match = re.fullmatch(r"\[(?P<boxed>[^]]*)\](?::(?P<port>[^:]+))?|(?P<host>[^:\[]*):(?P<own>[^:]+)", word)
    host = (match["boxed"] or match["host"] or "") if match else word
    port = _number(match["port"] or match["own"] or "") if match else ""
    note = service_addresses.why_alone(host)
    if service_addresses.version(host) is None:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", host):
            note = "no address and port: cannot decide"
    elif port and not re.fullmatch(r"[A-Za-z0-9-]+", port):
        return Listen(directive, word, "", tuple(domain), "no address and port: cannot decide")
    return Listen(directive, service_addresses.canonical(host), port, tuple(domain), note)


def _ports(listen: Listen, settings: Settings) -> list[str]:
    return [listen.port] if listen.port else [port for port, _ in settings.ports]


def _families(address: str) -> list[str]:
    """The wildcards that an address can be in the way of; a host name may be of both families."""
    if ":" in address:
        return [ANY6]
    return [ANY4] if re.fullmatch(r"[0-9.]+", address) else [ANY4, ANY6]


def _deaf_matches(matches: list[Directive]) -> Iterator[str]:
    for each in matches:
        for criterion, value in zip(each.words, each.words[1:]):
            if criterion.lower() == "address" and re.search(r"[0-9]+\.[0-9]", value) and ":" not in value:
                yield f"{_place(each)}: `Match {' '.join(each.words)}` knows IPv4 only: over IPv6 it never holds"


def _place(directive: Directive) -> str:
    return f"{directive.path}:{directive.line}"


def _written(listen: Listen) -> str:
    return f"ListenAddress {' '.join(listen.directive.words)}"


def _target(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _insertion(text: str, listen: Listen, targets: list[str]) -> tuple[int, int, str]:
    """Lines below a ListenAddress, in its own fashion: where they go, twice, and what is to be written."""
    start, end = listen.directive.start, listen.directive.end
    indent = text[start:end][: len(text[start:end]) - len(text[start:end].lstrip(" \t"))]
    newline = "\r\n" if text[end : end + 1] == "\r" else "\n"
    domain = [text[slice(*span)] for span in listen.directive.spans[1:]]
    lines = [" ".join([f"{newline}{indent}ListenAddress", target, *domain]) for target in targets]
    return end, end, "".join(lines)
