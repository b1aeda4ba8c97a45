"""
On which addresses and ports Dovecot listens, and how to make that both IPv4 and IPv6. It knows no host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* The grammar is that of Dovecot's ``config-parser.c``, 1.2 to 2.4, compared with ``doveconf`` 2.3.19. Last assignment
  wins, across all included files in the order of their text.
* Since 2.0 Dovecot listens on both families unless told otherwise (``listen = *, ::``), one socket for each, and sets
  IPV6_V6ONLY itself. Whatever net.ipv6.bindv6only says, it does not matter here.
* A listener of its own address (``address`` in an ``inet_listener`` block, in Dovecot 2.4 ``listen``) does not follow
  the global ``listen``.
* ``protocol imap { listen = *:10143 }`` is the grammar of Dovecot 1. 2.0 to 2.3 still read it, but with one port only.
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

__virtualname__ = "listen_dovecot"

MAIN = "/etc/dovecot/dovecot.conf"
OPTIONS = {"explicit": "true or false: whether `listen` is written even where the default would do"}

WHITE = " \t\r\f\v"
# A physical line up to its comment. A quote that stays open hides every `#` after it.
CONTENT = re.compile(r"""(?:"(?:\\.|[^"\\])*(?:"|\\?\Z)|'(?:\\.|[^'\\])*(?:'|\\?\Z)|[^"'#]+)*""", re.DOTALL)
KEY = re.compile(rf'"(?P<quoted>(?:\\.|[^"\\])*)"|(?P<bare>[^{WHITE}=]*)', re.DOTALL)
BLOCK = re.compile(
    rf'(?:(?=\{{)|"(?P<quoted>[^"]*)"[{WHITE}]*|(?P<bare>[^{WHITE}]+)[{WHITE}]+)\{{(?P<rest>.*)', re.DOTALL
)
PORT = re.compile(r"(?P<address>\*|\[[^\]]*\]|[^:\[\]]+):(?P<port>[0-9]+)")
BRACES = re.compile(r"\{([^{}]+)\}")
NESTING = 100  # no real file has more than five
ALTERNATIVES = 100

# Settings of 2.4 that can also be written as a block: `protocols { imap = yes }`.
LISTS = ("listen", "protocols")
WILDCARDS = {4: "*", 6: "[::]"}  # `[::]`, since a bare `::` is a bad port for Dovecot 1


class Listener(NamedTuple):
    """An ``inet_listener`` that Dovecot knows by itself."""

    protocol: str  # the word in `protocols` that turns its service on; "" where nothing is needed
    port: str
    ssl: bool


DEFAULTS = {"listen": "*, ::", "protocols": "imap pop3 lmtp", "ssl": "yes"}
LISTENERS = {
    ("imap-login", "imap"): Listener("imap", "143", False),
    ("imap-login", "imaps"): Listener("imap", "993", True),
    ("pop3-login", "pop3"): Listener("pop3", "110", False),
    ("pop3-login", "pop3s"): Listener("pop3", "995", True),
    ("submission-login", "submission"): Listener("submission", "587", False),
    ("managesieve-login", "sieve"): Listener("sieve", "4190", False),
}
LISTENERS_24 = {**LISTENERS, ("submission-login", "submissions"): Listener("submission", "465", True)}
# The protocols of services in which people add listeners, and the ports of listeners that nobody has unasked.
PROTOCOLS = {**{service: known.protocol for (service, _), known in LISTENERS.items()}, "lmtp": "lmtp"}
PORTS_24 = {("lmtp", "lmtp"): "24"}
# Which listeners `listen` and `ssl_listen` of Dovecot 1 mean, by the name of the `protocol` block.
OLD = [
    (("imap",), ("imap-login", "imap"), ("imap-login", "imaps")),
    (("pop3",), ("pop3-login", "pop3"), ("pop3-login", "pop3s")),
    (("sieve", "managesieve"), ("managesieve-login", "sieve"), None),
]


class Statement(NamedTuple):
    """One logical line; ``start`` and ``end`` enclose its value in the text of the file, without quotes."""

    kind: str  # "set", "open", "close" or "include"
    key: str
    value: str  # of an opened block its name, of an include its pattern
    path: str
    line: int
    column: int
    start: int = 0
    end: int = 0


class Configuration(NamedTuple):
    """What all files say together."""

    main: str
    dialect: str  # "1", "2" or "2.4"
    settings: dict[tuple[str, ...], Statement]  # the assignment that wins, by the path of its setting
    members: dict[tuple[str, ...], dict[str, Statement]]  # of a list that is written as a block
    declared: dict[tuple[str, str], None]  # inet_listeners, in the order of the text
    patterns: list[str]  # of includes
    blocks: list[Statement]  # each one that was opened


class Address(NamedTuple):
    """One word of a list of addresses."""

    word: str  # as it is written
    shown: str  # as the kernel shows it
    family: int | None
    port: str
    note: str  # what it is, unless it is a wildcard


class Socket(NamedTuple):
    """What Dovecot opens."""

    setting: tuple[str, ...]  # from which the address is
    place: Statement | None  # where a person would look for it
    address: Address
    port: int | None
    note: str  # about the port


def about() -> dict[str, Any]:
    """
    What this service is: its files, processes, units, validator and protocols.

    Returns plain data with the keys ``files``, ``processes``, ``units``, ``init``, ``options``, ``check`` and
    ``protocols``.

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
    return [pattern for each in _statements(path, text) if each.kind == "include" for pattern in _patterns(each)]


def errors(options: dict[str, Any]) -> list[str]:
    """
    What is wrong with the values of the keys that only this service has.

    options
        ``explicit``: write ``listen = *, [::]`` even where that is the default, which it is since Dovecot 2.0. Dovecot
        1 listens on IPv4 unless told otherwise, and its files cannot be told from newer ones.

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

    Returns the listeners in the order of the text, those that stand nowhere first: ``port``, ``transport``,
    ``address``, ``v6only``, ``file``, ``line`` and ``note``. Raises ``SaltInvocationError`` for what Dovecot would
    refuse.

    CLI Example:

    .. code-block:: bash

        salt-call listen_dovecot.listeners '{/etc/dovecot/dovecot.conf: {text: "listen = *", includes: []}}'
    """
    read = _read(files)
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
    read = _read(files)
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
    result = {path: __salt__["text_edits.spliced"](files[path]["text"], each.values()) for path, each in edits.items()}
    if options.get("explicit") and read.main in files and ("listen",) not in {*read.settings, *read.members}:
        result[read.main] = _with_line(result.get(read.main, files[read.main]["text"]), "listen = *, [::]")
    return {"files": result, "bindv6only": None, "notes": list(dict.fromkeys([*notes, *_filters(read)]))}


def _with_line(text: str, line: str) -> str:
    """One more line at the end, where every block is closed and no include follows."""
    end = "\r\n" if "\r\n" in text else "\n"
    return f"{text}{'' if text.endswith(chr(10)) or not text else end}{line}{end}"


# Reading: lines, then files, then what they mean together.


def _refusal(path: str, line: int, column: int, problem: str) -> SaltInvocationError:
    return SaltInvocationError(f"{path}:{line}:{column}: {problem}")


def _statements(path: str, text: str) -> Iterator[Statement]:
    """The logical lines of one file; raises where Dovecot would."""
    offset = 0  # of the physical line
    parts: list[str] = []  # of the logical line
    starts: list[tuple[int, int]] = []  # of these parts: in the logical line, and in the text
    length = 0
    first = (0, 0)  # line and column where it begins
    for line, raw in enumerate(text.removesuffix("\n").split("\n"), start=1):
        content = raw.partition("\0")[0]  # as C reads it
        indent = len(content) - len(content.lstrip(WHITE))
        content = _content(content[indent:])
        if not parts:
            first = (line, indent + 1)
            length, starts = 0, []
        starts.append((length, offset + indent))
        offset += len(raw) + 1
        if not content:
            parts = []  # a comment or an empty line drops what was to be continued, and says nothing
        elif content.endswith("\\"):
            content = content[:-1].rstrip(WHITE)
            if content:
                parts.append(content + " ")
                length += len(content) + 1
        else:
            yield _statement(path, first, "".join([*parts, content]), starts)
            parts = []
    if parts:
        raise _refusal(path, *first, "a line that is to be continued, and the file ends")


def _content(line: str) -> str:
    """A line without its comment and without the white space at its end."""
    match = CONTENT.match(line)
    return match[0].rstrip(WHITE) if match else ""


def _statement(path: str, first: tuple[int, int], line: str, starts: list[tuple[int, int]]) -> Statement:
    """What one logical line says."""
    match = KEY.match(line)
    end = match.end() if match else 0
    quoted = match["quoted"] if match else None
    key = line[:end] if quoted is None else _unescaped(quoted)
    rest = line[end:].lstrip(WHITE)
    if key in ("!include", "!include_try"):
        return Statement("include", key, rest, path, *first)
    if rest.startswith("="):
        if not key:
            raise _refusal(path, *first, "a `=` without a key")
        value = rest[1:].lstrip(WHITE)
        start = len(line) - len(value)
        quotes = int(len(value) > 1 and value[0] in "\"'" and value[-1] == value[0])
        if quotes:
            value = _unescaped(value[1:-1])
        return Statement("set", key, value, path, *first, _at(starts, start) + quotes, _at(starts, len(line)) - quotes)
    if key == "}" and not rest:
        return Statement("close", key, "", path, *first)
    if key == "group" and rest.startswith("@"):  # group @NAME NAME { in 2.4
        rest = rest.partition(" ")[2].lstrip(WHITE)
    block = BLOCK.match(rest)
    if not block:
        raise _refusal(path, *first, f"expected `{key[:40]} = value` or `{key[:40]} {{`")
    if block["rest"]:
        raise _refusal(path, *first, "garbage after `{`; what is in the block begins on a line of its own")
    name = block["bare"] or ("" if block["quoted"] is None else _unescaped(block["quoted"]))
    return Statement("open", key, name, path, *first)


def _at(starts: list[tuple[int, int]], index: int) -> int:
    """Where in the text a character of the logical line stands."""
    return next(offset + index - start for start, offset in reversed(starts) if start <= index)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _patterns(include: Statement) -> list[str]:
    """The patterns of one include, without the braces of GLOB_BRACE, which Python's glob does not know."""
    patterns = [posixpath.join(posixpath.dirname(include.path), include.value)]
    while any(map(BRACES.search, patterns)):
        if len(patterns) > ALTERNATIVES:
            raise _refusal(include.path, include.line, include.column, "too many alternatives in braces")
        patterns = list(dict.fromkeys(more for each in patterns for more in _alternatives(each)))
    return patterns


def _alternatives(pattern: str) -> list[str]:
    match = BRACES.search(pattern)
    if not match:
        return [pattern]
    return [pattern[: match.start()] + word + pattern[match.end() :] for word in match[1].split(",")]


def _in_order(files: dict[str, Any]) -> Iterator[Statement]:
    """The logical lines of all files, in the order in which Dovecot reads them."""
    main = next(iter(files), None)
    if main is None:
        return
    # As in Dovecot, files that wait for their turn are already open: including one of them is a recursion.
    stack = [(main, _statements(main, files[main]["text"]), iter(files[main]["includes"]))]
    while stack:
        path, statements, found = stack[-1]
        statement = next(statements, None)
        if statement is None:
            stack.pop()
        elif statement.kind == "include":
            yield statement
            for each in reversed([match for _ in _patterns(statement) for match in next(found, [])]):
                if each in {path for path, _, _ in stack}:
                    problem = f"`{statement.key} {statement.value}` includes {each}, which includes this file"
                    raise _refusal(path, statement.line, statement.column, problem)
                if each in files:
                    stack.append((each, _statements(each, files[each]["text"]), iter(files[each]["includes"])))
        else:
            yield statement


def _read(files: dict[str, Any]) -> Configuration:
    """What all files say together."""
    statements = list(_in_order(files))
    read = Configuration(next(iter(files), MAIN), _dialect(statements), {}, {}, {}, [], [])
    opened: list[Statement] = []
    scopes: list[tuple[str, ...]] = [()]
    for number, statement in enumerate(statements):
        if statement.kind == "include":
            read.patterns.append(statement.value)
        elif statement.kind == "open":
            if len(opened) == NESTING:
                problem = f"blocks that are nested more than {NESTING} deep"
                raise _refusal(statement.path, statement.line, statement.column, problem)
            # A block without a name is another one each time, except where it is a list.
            name = (statement.value or str(number),) if statement.value or statement.key not in LISTS else ()
            opened.append(statement)
            scopes.append((*scopes[-1], statement.key, *name))
            _declare(read, scopes[-1])
            read.blocks.append(statement)
        elif statement.kind == "close":
            if not opened:
                raise _refusal(statement.path, statement.line, statement.column, "a `}` that closes nothing")
            opened.pop()
            scopes.pop()
        else:
            statement = statement._replace(value=_expanded(read, statement.value))
            for setting, value in _assignments(read, scopes[-1], statement):
                _assign(read, setting, statement._replace(value=value))
    if opened:
        last = opened[-1]
        raise _refusal(last.path, last.line, last.column, f"the block `{last.key}` is not closed")
    return read


def _dialect(statements: list[Statement]) -> str:
    """Which Dovecot the files are for: only 2.4 says so, and only Dovecot 1 has no `service` blocks at all."""
    if any(each.kind == "set" and each.key == "dovecot_config_version" for each in statements):
        return "2.4"
    return "2" if any(each.kind == "open" and each.key == "service" for each in statements) else "1"


def _declare(read: Configuration, setting: tuple[str, ...]) -> None:
    if len(setting) > 3 and (setting[0], setting[2]) == ("service", "inet_listener"):
        read.declared[setting[1], setting[3]] = None


def _assign(read: Configuration, setting: tuple[str, ...], statement: Statement) -> None:
    _declare(read, setting)
    if setting[-2:-1] and setting[-2] in LISTS:
        read.members.setdefault(setting[:-1], {})[setting[-1]] = statement
    else:
        read.members.pop(setting, None)
        read.settings[setting] = statement


def _expanded(read: Configuration, value: str) -> str:
    """``$listen ::`` and, in 2.4, ``$SET:listen ::``; what is not known here stays a macro."""
    if "$" not in value:
        return value
    mark = "$SET:" if read.dialect == "2.4" else "$"
    words: dict[str, None] = {}  # each once, or else a few lines could grow without end
    for word in value.split(" "):
        name = word.removeprefix(mark)
        known = name != word and ((name,) in read.settings or name in DEFAULTS)
        words.update(dict.fromkeys(_words(read, (name,)) if known else [word]))
    return " ".join(words)


def _assignments(
    read: Configuration, scope: tuple[str, ...], statement: Statement
) -> list[tuple[tuple[str, ...], str]]:
    """What a statement assigns: one value to one setting, unless it is in the grammar of Dovecot 1."""
    key, value = statement.key, statement.value
    general = key == "listen" and not scope
    if (
        key not in ("listen", "ssl_listen")
        or read.dialect == "2.4"
        or (scope and (*scope, "")[0:3:2] != ("protocol", ""))
    ):
        return [((*scope, *key.split("/")), value)]
    if not general and not value:
        return []  # the default
    port = _last_port(value) if read.dialect == "2" else ""
    if port:
        value = value[: -len(port) - 1]
    result: list[tuple[tuple[str, ...], str]] = [((key,), value)] if general else []
    for names, plain, tls in OLD:
        listener = plain if key == "listen" else tls
        # `protocol !imap` is every other one
        if listener and (not scope or (scope[1].lstrip("!") in names) != scope[1].startswith("!")):
            block = ("service", listener[0], "inet_listener", listener[1])
            result += [] if general else [((*block, "address"), value)]
            result += [((*block, "port"), port)] if port else []
    return result


def _last_port(value: str) -> str:
    """The port of the last address: Dovecot 2 reads it as that of all of them."""
    match = PORT.fullmatch(re.split("[ ,]", value)[-1])
    return match["port"] if match else ""


# Meaning.


def _words(read: Configuration, setting: tuple[str, ...]) -> list[str]:
    """The words of a list, however it is written."""
    default = DEFAULTS.get(setting[0], "") if len(setting) == 1 else ""
    if setting == ("protocols",) and (
        read.dialect == "2.4" or any(each.endswith(".protocol") for each in read.patterns)
    ):
        default = ""  # in Debian, each package brings its own
    written = read.settings.get(setting)
    words = dict.fromkeys(re.split("[ ,]+", written.value if written else default))
    for name, member in read.members.get(setting, {}).items():
        words.pop(name, None)
        if _is_true(member.value):
            words[name] = None
    return [word for word in words if word]


def _is_true(value: str) -> bool:
    return value.lower() in ("yes", "y", "1")


def _value(read: Configuration, default: str, *setting: str) -> str:
    return read.settings[setting].value if setting in read.settings else default


def _statement_of(read: Configuration, setting: tuple[str, ...]) -> Statement | None:
    """The statement that a person would look at; none for a default."""
    return read.settings.get(setting) or next(reversed(read.members.get(setting, {}).values()), None)


def _built_in(read: Configuration) -> dict[tuple[str, str], Listener]:
    return LISTENERS_24 if read.dialect == "2.4" else LISTENERS


def _listeners(read: Configuration) -> list[tuple[str, str]]:
    """All inet_listeners by service and name, whether they are served or not."""
    return list({**dict.fromkeys(_built_in(read)), **read.declared})


def _known(read: Configuration, service: str, name: str) -> Listener:
    """What Dovecot knows of a listener by itself."""
    port = PORTS_24.get((service, name), "0") if read.dialect == "2.4" else "0"
    return _built_in(read).get((service, name), Listener(PROTOCOLS.get(service, ""), port, False))


def _port(read: Configuration, service: str, name: str) -> tuple[str, Statement | None]:
    """The port of a listener, and where it is written."""
    written = read.settings.get(("service", service, "inet_listener", name, "port"))
    return (written.value if written else _known(read, service, name).port), written


def _number(port: str) -> tuple[int | None, str]:
    if re.fullmatch("[0-9]{1,5}", port) and int(port) < 65536:
        return int(port), ""
    return None, f"the port `{port}` is not known: cannot decide"


def _served(read: Configuration, service: str, name: str) -> bool:
    known = _known(read, service, name)
    tls = _value(read, "yes" if known.ssl else "no", "service", service, "inet_listener", name, "ssl")
    if _number(_port(read, service, name)[0])[0] == 0:
        return False
    if _is_true(tls) and _value(read, DEFAULTS["ssl"], "ssl") == "no":
        return False
    protocol = _value(read, known.protocol, "service", service, "protocol")
    protocols = ["sieve" if word == "managesieve" else word for word in _words(read, ("protocols",))]
    if f"{protocol}s" in protocols and protocol not in protocols:
        return name != protocol  # of Dovecot 1: `imaps` without `imap`
    return not protocol or protocol in protocols


def _source(read: Configuration, service: str, name: str) -> tuple[str, ...]:
    """The setting that a listener has its addresses from."""
    block = ("service", service, "inet_listener", name)
    own = [(*block, "listen"), ("service", service, "listen")] if read.dialect == "2.4" else [(*block, "address")]
    # In 2.4 a block `listen { }` alone adds to the outer list, so that it is no list of its own.
    return next((setting for setting in own if setting in read.settings and _words(read, setting)), ("listen",))


def _sources(read: Configuration) -> list[tuple[str, ...]]:
    """The settings from which the listeners have their addresses, and the global one in any case."""
    found = [_source(read, *listener) for listener in _listeners(read) if _number(_port(read, *listener)[0])[0] != 0]
    return list(dict.fromkeys([("listen",), *found]))


def _sockets(read: Configuration) -> list[Socket]:
    result = []
    for service, name in _listeners(read):
        setting = _source(read, service, name)
        port, written = _port(read, service, name)
        place = _statement_of(read, setting) or written
        for address in _addresses(read, setting) if _served(read, service, name) else []:
            result.append(Socket(setting, place, address, *_number(address.port or port)))
    return result


def _addresses(read: Configuration, setting: tuple[str, ...]) -> list[Address]:
    return [_address(word) for word in _words(read, setting)]


def _address(word: str) -> Address:
    if word.startswith(("$", "<")):
        return Address(word, word, None, "", "a macro: cannot decide")
    match = PORT.fullmatch(word)
    address, port = (match["address"], match["port"]) if match else (word, "")
    try:
        ip = ipaddress.ip_address("0.0.0.0" if address == "*" else address.strip("[]"))
    except ValueError:
        local = address.lower() in ("localhost", "ip6-localhost")
        return Address(word, address, None, port, "loopback: left alone" if local else "a host name: left alone")
    if ip.is_unspecified:
        return Address(word, str(ip), ip.version, port, "")
    note = "loopback: left alone" if ip.is_loopback else "a specific address: left alone"
    return Address(word, str(ip), ip.version, port, note)


# Writing.


def _widened(
    read: Configuration, sockets: list[Socket], setting: tuple[str, ...], statement: Statement, text: str
) -> tuple[str, list[str]]:
    """The value with the wildcard that it misses, or nothing if it is to stay; and the notes."""
    addresses = _addresses(read, setting)
    raw = text[statement.start : statement.end]
    shared = _last_port(raw) if read.dialect == "2" else ""
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
    """For each port of a setting what others bind to it in one family; nothing if none of them do."""
    ports: dict[int, list[Address]] = {each.port: [] for each in sockets if each.setting == setting and each.port}
    for each in sockets:
        if each.setting != setting and each.port in ports and each.address.family in (family, None):
            ports[each.port].append(each.address)
    return ports if any(ports.values()) else {}


def _refuse_removal(read: Configuration, setting: tuple[str, ...], family: int) -> None:
    """Raises where a wildcard would be added that ``listen { :: = no }`` takes away again."""
    for name, member in read.members.get(setting, {}).items():
        address = _address(name)
        if not address.note and address.family == family and not _is_true(member.value):
            problem = f"`{member.key} = {member.value}` takes away what is to be added; remove this line"
            raise _refusal(member.path, member.line, member.column, problem)


def _appended(value: str, words: list[str]) -> str:
    """A list with more words, divided as the others are. A comma would become part of a macro's name."""
    comma = "$" not in value and ("," in value or " " not in value)
    return (", " if comma else " ").join([value, *words])


def _trusting(read: Configuration) -> list[Statement]:
    """The lists of trusted networks that know IPv4's loopback, but not that of IPv6."""
    return [
        statement
        for setting, statement in read.settings.items()
        if setting[-1] == "login_trusted_networks" and _is_ipv4_loopback_only(_words(read, setting))
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


def _filters(read: Configuration) -> list[str]:
    """Notes about blocks for clients or addresses that know IPv4's loopback only."""
    filters = [block for block in read.blocks if block.key in ("remote", "local")]
    return [
        f"{block.path}:{block.line}: `{block.key} {block.value}` does not apply to ::1: left alone"
        for block in filters
        if _is_ipv4_loopback_only([block.value])
        and not any(each.key == block.key and each.value.partition("/")[0] == "::1" for each in filters)
    ]
