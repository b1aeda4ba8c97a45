"""
How nginx's configuration says where it listens, and how it serves both families. It knows no host.

* ``listen 80`` is IPv4 only, and ``listen [::]:80`` is IPv6 only whatever ``net.ipv6.bindv6only`` says, since
  ``ipv6only=on`` is the default (nginx 1.3.4 and later): a server needs both lines.
* Every server gets its own second line: without it, a request over IPv6 would be answered by another server.
* ``listen 80`` beside ``listen [::]:80 ipv6only=off`` passes ``nginx -t`` and fails at the start: refused here.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from salt.exceptions import SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "listen_nginx"

MAIN = "/etc/nginx/nginx.conf"
ROOT = "/etc/nginx"

ANY4, ANY6 = "0.0.0.0", "::"
OTHER = {ANY4: ANY6, ANY6: ANY4}
# Limits to what a tree of includes may grow to.
DEPTH, VISITS = 100, 10000

# ngx_conf_read_token(): quotes count only where a word begins, and `${` does not begin a block.
TOKEN = re.compile(
    r"[ \t\r\n]+|\#[^\n]*|(?P<sign>[;{}])"
    r'|(?P<word>"[^"\\]*(?:\\[\s\S][^"\\]*)*"'
    r"|'[^'\\]*(?:\\[\s\S][^'\\]*)*'"
    r"""|(?!["'])(?:[^ \t\r\n;{\\$]+|\$\{?|\\[\s\S])+)"""
)
AFTER_QUOTE = re.compile(r"[ \t\r\n;{)]|\Z")
# What a brace of Lua can hide in, https://www.lua.org/manual/5.1/manual.html#2.1
LUA = re.compile(r"""--\[(=*)\[|\[(=*)\[|--[^\n]*|"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*'|[{}]""")

FAMILIES = ("http", "mail", "stream")
DEFAULTS = ("default", "default_server")
# Parameters of the socket: only one `listen` of all that share an address and port may have them.
SOCKET = re.compile(
    r"(?:setfib|fastopen|backlog|rcvbuf|sndbuf|accept_filter|ipv6only|so_keepalive)=.*|deferred|bind|reuseport", re.S
)
UDP = ("udp", "quic", "http3")
LOOPBACK4 = re.compile(r"127(?:\.[0-9]+){3}(?:/[0-9]+)?")


class Statement(NamedTuple):
    path: str
    line: int
    words: list[str]  # as written, quotes included
    start: int
    end: int  # behind the sign
    sign: str  # one of ; { }


class Listen(NamedTuple):
    statement: Statement  # the server's own, if nothing is written
    address: str
    port: str  # a number, or a range; "" if it cannot be known
    transport: str
    note: str

    @property
    def socket(self) -> tuple[str, str]:
        return self.transport, self.port


class Block(NamedTuple):
    statement: Statement
    kinds: tuple[str, ...]  # the names of the blocks around it and its own; the deeper ones are all alike
    listens: list[Listen]
    names: list[str]
    access: list[Statement]
    missing: list[str]  # includes that are not known here


def about() -> dict[str, Any]:
    """
    What is known of the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes`` and ``units``, its name for service(8),
    ``init``, its own keys in the pillar, ``options``, of which there are none, the command that checks its
    configuration, and the ``protocols`` of its usual ports.

    CLI Example:

    .. code-block:: bash

        salt-call listen_nginx.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/nginx*"],
        "units": ["nginx.service"],
        "init": "nginx",
        "sets_v6only": True,
        "options": {},
        "check": ["nginx", "-t"],
        "protocols": {80: "http", 443: "https"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path, for errors.
    text
        Its content.

    Returns shell patterns of absolute paths, in the order of the text; relative ones start in /etc/nginx. Raises
    ``SaltInvocationError`` where the text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_nginx.includes /etc/nginx/nginx.conf 'include conf.d/*.conf;'
    """
    return [pattern for each in _statements(path, text) for pattern in _patterns(each)]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for, UNIX sockets left out.

    files
        Every file that nginx reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each ``listen``, in the order of the text, with ``port``, ``transport``, ``address``,
    ``v6only``, ``file``, ``line`` and ``note``. A server of ``http`` without ``listen`` has port 80 of IPv4, on line 0.
    Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_nginx.listeners '{/etc/nginx/nginx.conf: {text: "http { server { listen 80; } }"}}'
    """
    servers = _servers(_blocks(files))
    shared = _shared(servers)
    result = []
    for server in servers:
        for each in server.listens:
            if each.address == "unix":
                continue
            implied = each.statement is server.statement
            result.append(
                {
                    "port": int(each.port) if each.port.isdecimal() else None,
                    "transport": each.transport,
                    "address": each.address,
                    "v6only": (each.address, *each.socket) not in shared if ":" in each.address else None,
                    "file": MAIN if implied else each.statement.path,
                    "line": 0 if implied else each.statement.line,
                    "note": f"{each.note}: {_place(each.statement)}" if implied else each.note,
                }
            )
    return result


def dual_stack(files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """
    The same configuration, listening on both families: lines are added, none is changed.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; nginx does not care.

    Returns ``files``, the new text of each file that changes, ``bindv6only``, ``None`` as it is immune, and ``notes``.
    Raises ``SaltInvocationError`` where a text cannot be read, where two statements take each other's port, so that
    nginx would not start, and where a line is shared by servers that need different ones.

    CLI Example:

    .. code-block:: bash

        salt-call listen_nginx.dual_stack '{/etc/nginx/nginx.conf: {text: "http { server { listen 80; } }"}}' '{}'
    """
    blocks = _blocks(files)
    servers = _servers(blocks)
    shared = _shared(servers)
    _refuse_conflicts(servers, shared)
    notes = [
        f"{_place(each.statement)}: `{_written(each.statement)}`: {each.note}"
        for server in servers
        for each in server.listens
        if each.note and each.address not in OTHER
    ]
    notes += [
        f"{_place(each.statement)}: a server that was left alone: {each.missing[0]} is not known here"
        for each in blocks
        if _is_server(each) and not each.listens and each.missing
    ]
    # What is to stand behind each statement. Statements of a file that several servers include come up several times.
    wanted: dict[tuple[str, int], tuple[Statement, set[tuple[str, ...]]]] = {}
    for statement, lines, note in _additions(servers, shared):
        wanted.setdefault((statement.path, statement.start), (statement, set()))[1].add(lines)
        notes += [note] if note else []
    served = any(lines != {()} for _, lines in wanted.values())
    if served or any(each.address == ANY6 for server in servers for each in server.listens):
        for statement in _blind_to_loopback(blocks):
            wanted[statement.path, statement.start] = (statement, {("allow ::1;",)})
    edits: dict[str, list[tuple[int, int, str]]] = {}
    for statement, choices in wanted.values():
        if len(choices) > 1:
            raise SaltInvocationError(
                f"{_place(statement)}: several servers read this `{_written(statement)}`, and only some of them lack "
                "the other family; write both lines here, and remove them from the servers"
            )
        for lines in choices - {()}:
            edits.setdefault(statement.path, []).append(_insertion(files[statement.path]["text"], statement, lines))
    return {
        "files": {path: __salt__["text_edits.spliced"](files[path]["text"], each) for path, each in edits.items()},
        "bindv6only": None,
        "notes": list(dict.fromkeys(notes)),
    }


def _error(path: str, text: str, start: int, what: str) -> SaltInvocationError:
    column = start - text.rfind("\n", 0, start)
    return SaltInvocationError(f"{path}:{text.count(chr(10), 0, start) + 1}:{column}: {what}")


def _statements(path: str, text: str) -> Iterator[Statement]:
    """The statements of one file; those that open and close a block are paired."""
    position, line, counted = 0, 1, 0
    words: list[str] = []
    start = 0
    opened: list[int] = []
    while position < len(text):
        token = TOKEN.match(text, position)
        if not token:
            sign = text[position]
            raise _error(
                path, text, position, f"a `{sign}` that is not closed" if sign != "\\" else "a `\\` at the end"
            )
        if token["word"]:
            if token["word"][0] in "'\"" and not AFTER_QUOTE.match(text, token.end()):
                raise _error(path, text, token.end(), "no white space behind a quoted word")
            if not words:
                start = position
            words.append(token["word"])
        position = token.end()
        sign = token["sign"] or ""
        if not sign:
            continue
        if bool(words) == (sign == "}"):
            raise _error(path, text, position - 1, f"an unexpected `{sign}`")
        if not words:
            start = position - 1
        if sign == "{" and words[0].endswith("_by_lua_block"):
            position, sign = _behind_lua(path, text, position), ";"
        elif sign == "{":
            opened.append(start)
        elif sign == "}":
            if not opened:
                raise _error(path, text, start, "a `}` that closes nothing")
            opened.pop()
        line, counted = line + text.count("\n", counted, start), start
        yield Statement(path, line, words, start, position, sign)
        words = []
    if words:
        raise _error(path, text, start, "a statement without its `;`")
    if opened:
        raise _error(path, text, opened[-1], "a block that is not closed")


def _behind_lua(path: str, text: str, start: int) -> int:
    """Where a block of Lua ends that begins behind a brace."""
    depth, position = 1, start
    while depth:
        found = LUA.search(text, position)
        if not found:
            raise _error(path, text, start - 1, "a block that is not closed")
        position = found.end()
        level = found[1] if found[1] is not None else found[2]
        if level is not None:  # a long bracket, or a comment of that form
            position = text.find(f"]{level}]", position)
            if position < 0:
                raise _error(path, text, found.start(), "a long bracket that is not closed")
        elif found[0] in "{}":
            depth += 1 if found[0] == "{" else -1
    return position


def _plain(word: str) -> str:
    return word[1:-1] if word[0] in "'\"" else word


def _patterns(statement: Statement) -> list[str]:
    if statement.sign != ";" or statement.words[0] != "include" or len(statement.words) != 2:
        return []
    return [posixpath.join(ROOT, _plain(statement.words[1]))]


def _blocks(files: dict[str, dict[str, Any]]) -> list[Block]:
    """All blocks of all files, in the order in which nginx reads them."""
    result: list[Block] = []
    visits = [0]

    def read(path: str, outer: Block | None, trail: tuple[str, ...]) -> None:
        text, matched = files[path]["text"], iter(files[path].get("includes") or [])
        around = [outer]
        for each in _statements(path, text):
            block = around[-1]
            if each.sign == "{":
                # Nobody asks for the names of blocks deeper than a server.
                kinds = (*(block.kinds[:2] if block else ()), each.words[0])
                result.append(Block(each, kinds, [], [], [], []))
                around.append(result[-1])
            elif each.sign == "}":
                around.pop()
            elif block:
                _enter(block, each)
            for pattern in _patterns(each):
                found: list[str] = next(matched, [])
                if block:
                    block.missing.extend(target for target in found if target not in files)
                for target in found:
                    if target not in files:
                        continue
                    visits[0] += 1
                    if target in trail or len(trail) == DEPTH or visits[0] > VISITS:
                        raise _error(path, text, each.start, f"`{pattern}` is included without an end")
                    read(target, block, (*trail, target))

    if MAIN in files:
        read(MAIN, None, (MAIN,))
    return result


def _enter(block: Block, statement: Statement) -> None:
    """What a statement says of the block around it."""
    name, *values = (_plain(word) for word in statement.words)
    if name == "listen" and values:
        block.listens.append(_listen(statement, values, block.kinds[0]))
    elif name == "server_name":
        block.names.extend(values)
    elif name in ("allow", "deny") and values:
        block.access.append(statement)


def _is_server(block: Block) -> bool:
    return len(block.kinds) == 2 and block.kinds[0] in FAMILIES and block.kinds[1] == "server"


def _servers(blocks: list[Block]) -> list[Block]:
    """The servers, with the ``listen`` that nginx adds to one of http that has none."""
    servers = []
    for each in filter(_is_server, blocks):
        if not each.listens and each.kinds[0] == "http" and not each.missing:
            each = each._replace(listens=[Listen(each.statement, ANY4, "80", "tcp", "a server without `listen`")])
        servers.append(each)
    return servers


def _listen(statement: Statement, values: list[str], family: str) -> Listen:
    target, *parameters = values
    transport = "udp" if any(word in UDP for word in parameters) else "tcp"
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
    try:
        address = ipaddress.ip_address(ANY4 if host == "*" else host.strip("[]"))
    except ValueError:
        return Listen(statement, host, port, transport, "a host name: left alone")
    if not address.is_unspecified:
        note = "loopback: left alone" if address.is_loopback else "a specific address: left alone"
    return Listen(statement, str(address), port, transport, note)


def _parameters(listen: Listen) -> list[str]:
    return listen.statement.words[2:] if listen.statement.sign == ";" else []


def _shared(servers: list[Block]) -> dict[tuple[str, str, str], Listen]:
    """The addresses that are sockets for both families: one ``ipv6only=off`` decides for all servers."""
    return {
        (each.address, *each.socket): each
        for server in servers
        for each in server.listens
        if ":" in each.address and "ipv6only=off" in _parameters(each)
    }


def _refuse_conflicts(servers: list[Block], shared: dict[tuple[str, str, str], Listen]) -> None:
    """Raises if a socket for both families and one of IPv4 take each other's port. UDP ports can be shared."""
    for server in servers:
        for each in server.listens:
            both = shared.get((ANY6, *each.socket))
            if both and each.transport == "tcp" and re.fullmatch(r"[0-9.]+", each.address):
                raise SaltInvocationError(
                    f"nginx would not start: `{_written(both.statement)}` ({_place(both.statement)}) is a socket for "
                    f"both families, and `{_written(each.statement)}` ({_place(each.statement)}) needs the same port; "
                    "remove `ipv6only=off`, or the other one"
                )


def _additions(
    servers: list[Block], shared: dict[tuple[str, str, str], Listen]
) -> Iterator[tuple[Statement, tuple[str, ...], str]]:
    """For each wildcard of each server: its statement, the lines that are to follow it (or none), and a note."""
    sockets = [_wildcards(server) for server in servers]
    holders: dict[tuple[str, str, str, str], list[Listen]] = {}  # who listens on an address, by kind of server
    # Servers that have a name in one family only are not to meet their counterpart of the other family.
    halves: dict[tuple[str, str, str, str], dict[str, Listen]] = {}
    separate = {}
    for server, wildcards in zip(servers, sockets):
        for each in server.listens:
            holders.setdefault((server.kinds[0], each.address, *each.socket), []).append(each)
            if each.address not in OTHER and any(map(SOCKET.fullmatch, _parameters(each))):
                separate[":" in each.address, each.socket] = each
        for socket, found in wildcards.items():
            for address, each in found.items():
                if OTHER[address] not in found:
                    named = halves.setdefault((server.kinds[0], address, *socket), {})
                    named.update({name: each for name in server.names or [""]})
    for server, wildcards in zip(servers, sockets):
        for socket, found in wildcards.items():
            address, each = next(iter(found.items()))
            other = OTHER[address]
            if len(found) == 2 or (ANY6, *socket) in shared:
                # Said too, since another server may read the same statement; one for itself cannot be shared.
                yield each.statement, (), ""
                continue
            key = (server.kinds[0], other, *socket)
            twin = next((halves[key][name] for name in server.names or [""] if name in halves.get(key, {})), None)
            twin = twin or separate.get((other == ANY6, socket))
            if twin:
                yield each.statement, (), (
                    f"{_place(each.statement)}: `{_written(each.statement)}` was left alone: "
                    f"`{_written(twin.statement)}` ({_place(twin.statement)}) serves the other family"
                )
                continue
            target = f"[::]:{each.port}" if other == ANY6 else each.port
            if each.statement is server.statement:
                yield each.statement, ("listen 80;", f"listen {target};"), ""
                continue
            words = _repeatable(_parameters(each), holders.get(key, []))
            yield each.statement, (" ".join(["listen", target, *words]) + ";",), ""


def _wildcards(server: Block) -> dict[tuple[str, str], dict[str, Listen]]:
    """The sockets of a server that are open to every address, by family."""
    result: dict[tuple[str, str], dict[str, Listen]] = {}
    for each in server.listens:
        if each.address in OTHER:
            result.setdefault(each.socket, {}).setdefault(each.address, each)
    return result


def _repeatable(parameters: list[str], holders: list[Listen]) -> list[str]:
    """The parameters without those that another ``listen`` of the same address already has."""
    present = [word for each in holders for word in _parameters(each)]
    has_default = any(word in DEFAULTS for word in present)
    has_socket = any(map(SOCKET.fullmatch, present))
    return [
        word
        for word in parameters
        if not word.startswith("ipv6only=")
        and not (has_default and word in DEFAULTS)
        and not (has_socket and SOCKET.fullmatch(word))
    ]


def _blind_to_loopback(blocks: list[Block]) -> Iterator[Statement]:
    """Where an access list lets 127.0.0.1 in, and shuts ::1 out."""
    for block in blocks:
        rules = [(each.words[0], _plain(each.words[1])) for each in block.access]
        if ("deny", "all") in rules and not {("allow", "::1"), ("allow", "::1/128"), ("allow", "all")} & set(rules):
            for each, (verb, value) in zip(block.access, rules):
                if verb == "allow" and LOOPBACK4.fullmatch(value):
                    yield each
                    break


def _place(statement: Statement) -> str:
    return f"{statement.path}:{statement.line}"


def _written(statement: Statement) -> str:
    return " ".join(statement.words) + (statement.sign if statement.sign == ";" else " {")


def _insertion(text: str, statement: Statement, lines: tuple[str, ...]) -> tuple[int, int, str]:
    """Where lines go that follow a statement, twice, and what is to be written there."""
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
