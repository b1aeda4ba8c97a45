"""
The servers in nginx's configuration: their names, where they listen, whom they let in. PURE: never accesses the host.
"""

from __future__ import annotations

import posixpath
import re
from collections import ChainMap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import _dualstack_service_addresses as service_addresses
import _dualstack_service_edits as service_edits
import _dualstack_service_includes as service_includes
import _dualstack_service_nginx as service_nginx
import _dualstack_service_sites as service_sites
from salt.exceptions import SaltInvocationError

MAIN = "/etc/nginx/nginx.conf"
ROOT = "/etc/nginx"

ANY4, ANY6, OTHER = service_addresses.ANY4, service_addresses.ANY6, service_addresses.OTHER

KINDS = ("http", "mail", "stream")
UDP = ("udp", "quic", "http3")
LOOPBACK4 = re.compile(r"127(?:\.[0-9]+){3}(?:/[0-9]+)?")
# The ports by which nginx knows what a server of mail speaks that has no `protocol`.
MAIL = {"25": "smtp", "587": "smtp", "465": "smtp", "143": "imap", "993": "imap", "110": "pop3", "995": "pop3"}


class Listen(NamedTuple):
    """One address of a server."""

    statement: service_nginx.Statement  # the server's own, if nothing is written
    address: str
    port: str  # a number, or a range; "" if it cannot be known
    transport: str
    note: str

    @property
    def socket(self) -> tuple[str, str]:
        """What two of them share that are on the same port."""
        return self.transport, self.port


class Block(NamedTuple):
    """A block, such as a server, with what counts for it."""

    statement: service_nginx.Statement
    kinds: tuple[str, ...]  # the names of the blocks around it and its own; the deeper ones are all alike
    listens: list[Listen]
    names: list[str]
    access: list[service_nginx.Statement]  # in a block `geo`, all of its lines
    missing: list[str]  # includes that are not known here
    settings: ChainMap[str, str]  # `protocol` and `ssl`, those of the blocks around it behind its own


def patterns(statement: service_nginx.Statement) -> list[str]:
    """
    The pattern of a statement that includes files, in a list; empty for any other.

    statement
        The statement.
    """
    if statement.sign != ";" or statement.words[0] != "include" or len(statement.words) != 2:
        return []
    return [posixpath.join(ROOT, service_nginx.plain(statement.words[1]))]


def blocks(files: dict[str, dict[str, Any]]) -> list[Block]:
    """
    All blocks of all files, in the order in which nginx reads them.

    files
        Every file that nginx reads, by path.
    """
    result: list[Block] = []
    around: list[Block] = []  # each file closes what it opens

    def place(path: str, each: service_nginx.Statement) -> str:
        return service_edits.place(path, files[path]["text"], each.start)

    for step in service_includes.walk(files, MAIN, service_nginx.statements, lambda each: len(patterns(each)), place):
        each = step.statement
        if each.sign == "{":
            # The names of blocks deeper than a server do not matter.
            kinds = (*(around[-1].kinds[:2] if around else ()), each.words[0])
            known = around[-1].settings if 0 < len(kinds) - 1 < 2 else ChainMap[str, str]()
            settings = known.new_child()
            result.append(Block(each, kinds, [], [], [], [], settings))
            around.append(result[-1])
        elif each.sign == "}":
            around.pop()
        elif around:
            _enter(around[-1], each)
            around[-1].missing.extend(target for target in step.included if target not in files)
    return result


def _enter(block: Block, statement: service_nginx.Statement) -> None:
    """What a statement means for the block around it."""
    name, *values = (service_nginx.plain(word) for word in statement.words)
    if name == "listen" and values:
        block.listens.append(_listen(statement, values, block.kinds[0]))
    elif name == "server_name":
        block.names.extend(values)
    elif name in ("protocol", "ssl") and values:
        block.settings[name] = values[0]
    elif values and (name in ("allow", "deny") or block.kinds[-1] == "geo"):
        block.access.append(statement)


def is_server(block: Block) -> bool:
    """
    Whether a block is a server of http, mail or stream.

    block
        The block.
    """
    return len(block.kinds) == 2 and block.kinds[0] in KINDS and block.kinds[1] == "server"


def servers(found: list[Block]) -> list[Block]:
    """
    The servers, with the ``listen`` that nginx adds to one of http that has none.

    found
        All blocks.
    """
    result = []
    for each in filter(is_server, found):
        if not each.listens and each.kinds[0] == "http" and not each.missing:
            each = each._replace(listens=[Listen(each.statement, ANY4, "80", "tcp", "a server without `listen`")])
        result.append(each)
    return result


def _listen(statement: service_nginx.Statement, values: list[str], family: str) -> Listen:
    target, *words = values
    transport = "udp" if any(word in UDP for word in words) else "tcp"
    if target.startswith("unix:"):
        return Listen(statement, "unix", "", transport, "a UNIX socket: left alone")
    match = re.fullmatch(
        r"(?:(?P<host>\[[^]]*\]|[^:\[\]]+):)?(?P<port>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?"
        r"|(?P<alone>\[[^]]*\]|[^:\[\]]+)",
        target,
    )
    if not match or "$" in target or not 0 < int(match["port"] or 80) < 65536:
        return Listen(statement, target, "", transport, "no address and port: cannot decide")
    port = str(int(match["port"] or 80)) + (f"-{int(match['last'])}" if match["last"] else "")
    if match["alone"] and family != "http":
        return Listen(statement, target, "", transport, "no port: cannot decide")
    note = "a range of ports" if match["last"] else ""
    host = match["host"] or match["alone"] or "*"
    address = service_addresses.canonical(ANY4 if host == "*" else host.strip("[]"))
    return Listen(statement, address, port, transport, service_addresses.why_alone(address) or note)


def parameters(listen: Listen) -> list[str]:
    """
    The words behind the address.

    listen
        One address of a server.
    """
    return listen.statement.words[2:] if listen.statement.sign == ";" else []


def encrypted(found: list[Block]) -> set[tuple[str, ...]]:
    """
    The addresses, each with the kind of its servers and its socket, on which TLS is spoken: one ``ssl`` decides for all
    servers.

    found
        The servers.
    """
    return {
        (server.kinds[0], each.address, *each.socket)
        for server in found
        for each in server.listens
        if "ssl" in parameters(each) or server.settings.get("ssl") == "on"
    }


def protocol(server: Block, listen: Listen, secure: set[tuple[str, ...]]) -> str:
    """
    What is spoken on one address of a server, as the probe calls it. Empty for UDP, and where only the port says it:
    what ``stream`` passes on through a port of the web.

    server
        The server.
    listen
        The address.
    secure
        From :py:func:`encrypted`.
    """
    kind = server.kinds[0]
    over_tls = (kind, listen.address, *listen.socket) in secure
    if listen.transport != "tcp" or (kind == "stream" and listen.port in ("80", "443")):
        return ""
    spoken = "http" if kind == "http" else server.settings.get("protocol", MAIL.get(listen.port, ""))
    if kind == "stream" or spoken not in ("http", *MAIL.values()):
        return "tls" if over_tls else "tcp"
    return spoken + "s" * over_tls


def both(found: list[Block]) -> dict[tuple[str, str, str], Listen]:
    """
    The addresses that are sockets for both families: one ``ipv6only=off`` decides for all servers.

    found
        The servers.
    """
    return {
        (each.address, *each.socket): each
        for server in found
        for each in server.listens
        if ":" in each.address and "ipv6only=off" in parameters(each)
    }


def refuse_conflicts(found: list[Block], shared: dict[tuple[str, str, str], Listen]) -> None:
    """
    Raises ``SaltInvocationError`` if a socket for both families and one of IPv4 take each other's port. Those of UDP
    can be shared.

    found
        The servers.
    shared
        From :py:func:`both`.
    """
    for server in found:
        for each in server.listens:
            other = shared.get((ANY6, *each.socket))
            if other and each.transport == "tcp" and re.fullmatch(r"[0-9.]+", each.address):
                raise SaltInvocationError(
                    f"nginx would not start: {named(other.statement)} is a socket for both families, and "
                    f"{named(each.statement)} needs the same port; remove `ipv6only=off`, or the other one"
                )


def blind_to_loopback(found: list[Block]) -> Iterator[service_nginx.Statement]:
    """
    Where an access list accepts 127.0.0.1, but not ::1.

    found
        All blocks.
    """
    for block in found:
        rules = _rules(block)
        if ("deny", "all") in rules and not {("allow", "::1"), ("allow", "::1/128"), ("allow", "all")} & set(rules):
            for each, (verb, value) in zip(block.access, rules):
                if verb == "allow" and LOOPBACK4.fullmatch(value):
                    yield each
                    break


def one_family_lists(found: list[Block]) -> Iterator[str]:
    """
    Notes on lists of clients that know IPv4 only: nobody but the administrator knows whom they mean in IPv6.

    found
        All blocks.
    """
    for block in found:
        rules = _rules(block)
        if not rules:
            continue
        if block.kinds[-1] == "geo":
            if service_sites.only_ipv4([key for key, _ in rules]):
                yield (
                    f"{place(block.statement)}: `{written(block.statement)}` knows addresses of IPv4 only: over IPv6 "
                    "everybody has its default"
                )
            continue
        closed = ("deny", "all") in rules
        verb, what = (
            ("allow", "nobody else is let in over IPv6") if closed else ("deny", "over IPv6 nobody is kept out")
        )
        if service_sites.only_ipv4([value for each, value in rules if each == verb]):
            each = next(each for each, (word, _) in zip(block.access, rules) if word == verb)
            yield f"{place(each)}: `{written(each)}`: this list knows addresses of IPv4 only: {what}"


def _rules(block: Block) -> list[tuple[str, str]]:
    """The words of each line that count: a verb and an address; in a block `geo`, an address and a value."""
    return [(service_nginx.plain(each.words[0]), service_nginx.plain(each.words[1])) for each in block.access]


def place(statement: service_nginx.Statement) -> str:
    """
    Where a statement stands.

    statement
        The statement.
    """
    return f"{statement.path}:{statement.line}"


def written(statement: service_nginx.Statement) -> str:
    """
    A statement as a message quotes it.

    statement
        The statement.
    """
    return " ".join(statement.words) + (statement.sign if statement.sign == ";" else " {")


def quoted(statement: service_nginx.Statement) -> str:
    """
    A statement as a message quotes it, behind its place.

    statement
        The statement.
    """
    return f"{place(statement)}: `{written(statement)}`"


def named(statement: service_nginx.Statement) -> str:
    """
    A statement as a message quotes it, with its place behind it.

    statement
        The statement.
    """
    return f"`{written(statement)}` ({place(statement)})"


def insertion(text: str, statement: service_nginx.Statement, lines: Sequence[str]) -> tuple[int, int, str]:
    """
    Where lines go that follow a statement, twice, and what is to be written there.

    text
        Of the file.
    statement
        A statement in it; lines that follow the beginning of a block come to be the first ones inside.
    lines
        The lines, without their ends.
    """
    begin = text.rfind("\n", 0, statement.start) + 1
    newline = text.find("\n", statement.end)
    end = len(text) if newline < 0 else newline
    before, behind = text[begin : statement.start], text[statement.end : end].strip(" \t\r")
    if before.strip(" \t") or (behind and not behind.startswith("#")):
        return statement.end, statement.end, "".join(f" {line}" for line in lines)  # it shares its line with others
    indent = before
    if statement.sign == "{":
        inner = re.compile(r"\s*\n([ \t]*)[^\s}]").match(text, end)
        indent = inner[1] if inner else before + ("\t" if "\t" in before else "    ")
    carriage = "\r" if text[end - 1] == "\r" else ""
    end -= len(carriage)
    return end, end, "".join(f"{carriage}\n{indent}{line}" for line in lines)
