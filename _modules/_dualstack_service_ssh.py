"""
The grammar of sshd's configuration, sshd_config(5), as far as it says where sshd listens and for whom. PURE: never
accesses the host.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_addresses as service_addresses
import _dualstack_service_includes as service_includes
from salt.exceptions import SaltInvocationError

MAIN = "/etc/ssh/sshd_config"
ROOT = "/etc/ssh"
ANY4, ANY6 = service_addresses.ANY4, service_addresses.ANY6

ADDRESS_FAMILY = {"any": [ANY4, ANY6], "inet": [ANY4], "inet6": [ANY6]}

KEYWORD = re.compile(r'[ \t\r]*(?:"(?P<quoted>[^"\n]*)"|(?P<bare>[^ \t\r\n="#][^ \t\r\n="]*))[ \t\r]*=?[ \t\r]*')
# argv_split(): quotes can stand anywhere in a word, a comment only where one could begin.
WORD = re.compile(r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\\.|[^ \t\r\n"'\\])+""")
QUOTING = re.compile(r"""\\([\\"' ])|["']""")
PORT = re.compile(r"[0-9]{1,9}")
KEYWORDS = ("include", "match", "port", "addressfamily", "listenaddress", "allowusers", "denyusers")
# An address or a network of IPv4, or a pattern of it.
IPV4_PATTERN = re.compile(r"!?(?=.*[0-9])[0-9*?]+(?:\.[0-9*?]+){1,3}(?:/[0-9]+)?")
USERS = {
    "AllowUsers": "lets users in from addresses of IPv4 only: over IPv6, they are kept out",
    "DenyUsers": "keeps out addresses of IPv4 only: over IPv6, they are let in",
}


class Directive(NamedTuple):
    """One line."""

    path: str
    line: int
    keyword: str
    words: list[str]  # the arguments
    spans: list[tuple[int, int]]  # where they stand in the text, quotes included
    start: int  # of the line
    end: int
    everywhere: bool  # for every connection, as far as its own file says


class Listen(NamedTuple):
    """A ``ListenAddress``."""

    directive: Directive
    address: str
    port: str  # "" for each Port of the configuration
    domain: tuple[str, ...]  # `rdomain NAME`
    note: str


class Settings(NamedTuple):
    """What counts of all files together."""

    ports: list[tuple[str, Directive | None]]
    family: str
    family_at: Directive | None
    listens: list[Listen]
    matches: list[Directive]
    users: list[Directive]


def _error(directive: Directive, column: int, what: str) -> SaltInvocationError:
    return SaltInvocationError(f"{directive.path}:{directive.line}:{column}: {what}")


def directives(path: str, text: str) -> Iterator[Directive]:
    """
    The directives of one file that matter here.

    path
        The file.
    text
        Its content.

    Raises ``SaltInvocationError`` where the text cannot be read.
    """
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


def patterns(directive: Directive) -> list[str]:
    """
    The patterns of an include; else nothing.

    directive
        One of :py:func:`directives`.
    """
    return [posixpath.join(ROOT, word) for word in directive.words] if directive.keyword == "include" else []


def _walk(files: plugins.Files) -> Iterator[tuple[Directive, bool]]:
    """The directives of all files in the order in which sshd reads them, and whether they hold for every connection."""

    def begin(path: str, each: Directive) -> str:
        return f"{path}:{each.line}:1"

    for step in service_includes.walk(files, MAIN, directives, lambda each: len(patterns(each)), begin):
        yield step.statement, all(each.everywhere for each in (*step.above, step.statement))


def settings(files: plugins.Files) -> Settings:
    """
    What all files together say about listening.

    files
        Every file, by path.

    Raises ``SaltInvocationError`` where a text cannot be read.
    """
    numbers: list[tuple[str, Directive | None]] = []
    family, family_at = "any", None
    listens, matches, users = [], [], []
    for each, everywhere in _walk(files):
        if each.keyword == "match":
            matches.append(each)
        elif each.keyword in ("allowusers", "denyusers"):
            users.append(each)
        elif not everywhere:
            continue  # sshd refuses the others there
        elif each.keyword == "port":
            numbers.append((_number(each.words[0]), each))
        elif each.keyword == "listenaddress":
            listens.append(_listen(each))
        elif each.keyword == "addressfamily" and not family_at:
            family, family_at = each.words[0].lower(), each
            if family not in ADDRESS_FAMILY:
                column = each.spans[0][0] - each.start + 1
                raise _error(each, column, f"'{each.words[0]}' is not an address family; expected any, inet or inet6")
    return Settings(numbers or [("22", None)], family, family_at, listens, matches, users)


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


def ports(listen: Listen, found: Settings) -> list[str]:
    """
    The ports of a ``ListenAddress``.

    listen
        One of them.
    found
        From :py:func:`settings`.
    """
    return [listen.port] if listen.port else [port for port, _ in found.ports]


def deaf_matches(matches: list[Directive]) -> Iterator[str]:
    """
    Notes about ``Match`` blocks for addresses of IPv4 only.

    matches
        Those of :py:func:`settings`.
    """
    for each in matches:
        for criterion, value in zip(each.words, each.words[1:]):
            known = criterion.lower() in ("address", "localaddress")
            if known and re.search(r"[0-9]+\.[0-9]", value) and ":" not in value:
                yield f"{place(each)}: `Match {' '.join(each.words)}` knows IPv4 only: over IPv6 it never holds"


def deaf_users(lists: list[Directive]) -> Iterator[str]:
    """
    Notes about users that are let in, or banned, by addresses of IPv4 only.

    lists
        The ``users`` of :py:func:`settings`.
    """
    for keyword, meaning in USERS.items():
        own = [each for each in lists if each.keyword == keyword.lower()]
        hosts: dict[str, list[str]] = {}  # by user; "" for any
        for each in own:
            for word in each.words:
                user, at, host = word.rpartition("@")
                hosts.setdefault(user if at else word, []).append(host)
        deaf = {user for user, found in hosts.items() if all(IPV4_PATTERN.fullmatch(host) for host in found)}
        for each in own:
            if any(word.rpartition("@")[0] in deaf for word in each.words):
                yield f"{place(each)}: `{keyword} {' '.join(each.words)}` {meaning}"


def place(directive: Directive) -> str:
    """
    Where a directive stands.

    directive
        One of :py:func:`directives`.
    """
    return f"{directive.path}:{directive.line}"


def written(listen: Listen) -> str:
    """
    The line of a ``ListenAddress``.

    listen
        One of them.
    """
    return f"ListenAddress {' '.join(listen.directive.words)}"
