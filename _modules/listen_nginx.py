"""
How nginx's configuration says where it listens, and how it serves both families. It never accesses the host.

* ``listen 80`` is IPv4 only, and ``listen [::]:80`` is IPv6 only whatever ``net.ipv6.bindv6only`` says, since
  ``ipv6only=on`` is the default (nginx 1.3.4 and later): a server needs both lines.
* Every server gets its own second line: without it, a request over IPv6 would be answered by another server.
* ``listen 80`` beside ``listen [::]:80 ipv6only=off`` passes ``nginx -t`` and fails at the start: refused here.
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
    import _dualstack_service_nginx as service_nginx
__virtualname__ = "listen_nginx"

MAIN = "/etc/nginx/nginx.conf"
ROOT = "/etc/nginx"

ANY4, ANY6, OTHER = service_addresses.ANY4, service_addresses.ANY6, service_addresses.OTHER

KINDS = ("http", "mail", "stream")
DEFAULTS = ("default", "default_server")
# Parameters of the socket: only one `listen` of all that share an address and port may have them.
SOCKET = re.compile(
    r"(?:setfib|fastopen|backlog|rcvbuf|sndbuf|accept_filter|ipv6only|so_keepalive)=.*|deferred|bind|reuseport", re.S
)
UDP = ("udp", "quic", "http3")
LOOPBACK4 = re.compile(r"127(?:\.[0-9]+){3}(?:/[0-9]+)?")
# The words of a diff that are no secrets.
SHOWN = (
    "events location default_server reuseport deferred backlog fastopen so_keepalive setfib rcvbuf sndbuf "
    "accept_filter http3 server_name stream mail _ resolver ipv6 set_real_ip_from"
).split()


class Listen(NamedTuple):
    statement: service_nginx.Statement  # the server's own, if nothing is written
    address: str
    port: str  # a number, or a range; "" if it cannot be known
    transport: str
    note: str

    @property
    def socket(self) -> tuple[str, str]:
        return self.transport, self.port


class Block(NamedTuple):
    statement: service_nginx.Statement
    kinds: tuple[str, ...]  # the names of the blocks around it and its own; the deeper ones are all alike
    listens: list[Listen]
    names: list[str]
    access: list[service_nginx.Statement]
    missing: list[str]  # includes that are not known here


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes`` and ``units``, its name for service(8),
    ``init``, its own keys in the pillar, ``options``, of which there are none, the command that checks its
    configuration, and the ``protocols`` of its usual ports. ``words`` are those of its configuration that a diff may
    show.

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
        "words": SHOWN,
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
    return [pattern for each in service_nginx.statements(path, text) for pattern in _patterns(each)]


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
    # What to insert after each statement. Statements of a file that several servers include occur several times.
    wanted: dict[tuple[str, int], tuple[service_nginx.Statement, set[tuple[str, ...]]]] = {}
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
        "files": service_edits.rewritten(files, edits),
        "bindv6only": None,
        "notes": list(dict.fromkeys(notes)),
    }


def _patterns(statement: service_nginx.Statement) -> list[str]:
    if statement.sign != ";" or statement.words[0] != "include" or len(statement.words) != 2:
        return []
    return [posixpath.join(ROOT, service_nginx.plain(statement.words[1]))]


def _blocks(files: dict[str, dict[str, Any]]) -> list[Block]:
    """All blocks of all files, in the order in which nginx reads them."""
    result: list[Block] = []
    around: list[Block] = []  # each file closes what it opens

    def place(path: str, each: service_nginx.Statement) -> str:
        return service_edits.place(path, files[path]["text"], each.start)

    for step in service_includes.walk(files, MAIN, service_nginx.statements, lambda each: len(_patterns(each)), place):
        each = step.statement
        if each.sign == "{":
            # The names of blocks deeper than a server do not matter.
            result.append(Block(each, (*(around[-1].kinds[:2] if around else ()), each.words[0]), [], [], [], []))
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
    elif name in ("allow", "deny") and values:
        block.access.append(statement)


def _is_server(block: Block) -> bool:
    return len(block.kinds) == 2 and block.kinds[0] in KINDS and block.kinds[1] == "server"


def _servers(blocks: list[Block]) -> list[Block]:
    """The servers, with the ``listen`` that nginx adds to one of http that has none."""
    servers = []
    for each in filter(_is_server, blocks):
        if not each.listens and each.kinds[0] == "http" and not each.missing:
            each = each._replace(listens=[Listen(each.statement, ANY4, "80", "tcp", "a server without `listen`")])
        servers.append(each)
    return servers


def _listen(statement: service_nginx.Statement, values: list[str], family: str) -> Listen:
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
    address = service_addresses.canonical(ANY4 if host == "*" else host.strip("[]"))
    return Listen(statement, address, port, transport, service_addresses.why_alone(address) or note)


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
) -> Iterator[tuple[service_nginx.Statement, tuple[str, ...], str]]:
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


def _blind_to_loopback(blocks: list[Block]) -> Iterator[service_nginx.Statement]:
    """Where an access list accepts 127.0.0.1, but not ::1."""
    for block in blocks:
        rules = [(each.words[0], service_nginx.plain(each.words[1])) for each in block.access]
        if ("deny", "all") in rules and not {("allow", "::1"), ("allow", "::1/128"), ("allow", "all")} & set(rules):
            for each, (verb, value) in zip(block.access, rules):
                if verb == "allow" and LOOPBACK4.fullmatch(value):
                    yield each
                    break


def _place(statement: service_nginx.Statement) -> str:
    return f"{statement.path}:{statement.line}"


def _written(statement: service_nginx.Statement) -> str:
    return " ".join(statement.words) + (statement.sign if statement.sign == ";" else " {")


def _insertion(text: str, statement: service_nginx.Statement, lines: tuple[str, ...]) -> tuple[int, int, str]:
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
