"""
The grammar of Dovecot's configuration: the lines of a file, and the meaning of all files together. PURE: never accesses
the host.

It is that of Dovecot's ``config-parser.c``, 1.2 to 2.4, compared with ``doveconf`` 2.3.19. Last assignment wins, across
all included files in the order of their text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_includes as service_includes
from salt.exceptions import SaltInvocationError

MAIN = "/etc/dovecot/dovecot.conf"

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
DEFAULTS = {"listen": "*, ::", "protocols": "imap pop3 lmtp", "ssl": "yes"}
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
    value: str  # the name of an opened block, the pattern of an include
    path: str
    line: int
    column: int
    start: int = 0
    end: int = 0


class Configuration(NamedTuple):
    """The meaning of all files together."""

    main: str
    dialect: str  # "1", "2" or "2.4"
    settings: dict[tuple[str, ...], Statement]  # the assignment that wins, by the path of its setting
    members: dict[tuple[str, ...], dict[str, Statement]]  # of a list written as a block
    declared: dict[tuple[str, str], None]  # inet_listeners, in the order of the text
    included: list[str]  # the patterns of includes
    blocks: list[Statement]  # each one that was opened


def place(statement: Statement) -> str:
    """
    Where a line stands.

    statement
        The line.
    """
    return f"{statement.path}:{statement.line}:{statement.column}"


def refusal(statement: Statement, problem: str) -> SaltInvocationError:
    """
    The error message for an invalid line.

    statement
        The line.
    problem
        In words.
    """
    return SaltInvocationError(f"{place(statement)}: {problem}")


def _refusal(path: str, first: tuple[int, int], problem: str) -> SaltInvocationError:
    return SaltInvocationError(f"{path}:{first[0]}:{first[1]}: {problem}")


def statements(path: str, text: str) -> Iterator[Statement]:
    """
    The logical lines of one file.

    path
        The file.
    text
        Its content.

    Raises ``SaltInvocationError`` where Dovecot would refuse a line.
    """
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
            parts = []  # a comment or an empty line silently drops what was to be continued
        elif content.endswith("\\"):
            content = content[:-1].rstrip(WHITE)
            if content:
                parts.append(content + " ")
                length += len(content) + 1
        else:
            yield _statement(path, first, "".join([*parts, content]), starts)
            parts = []
    if parts:
        raise _refusal(path, first, "a line that is to be continued, and the file ends")


def _content(line: str) -> str:
    """A line without its comment and without the white space at its end."""
    match = CONTENT.match(line)
    return match[0].rstrip(WHITE) if match else ""


def _statement(path: str, first: tuple[int, int], line: str, starts: list[tuple[int, int]]) -> Statement:
    """The meaning of one logical line."""
    match = KEY.match(line)
    end = match.end() if match else 0
    quoted = match["quoted"] if match else None
    key = line[:end] if quoted is None else _unescaped(quoted)
    rest = line[end:].lstrip(WHITE)
    if key in ("!include", "!include_try"):
        return Statement("include", key, rest, path, *first)
    if rest.startswith("="):
        if not key:
            raise _refusal(path, first, "a `=` without a key")
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
        raise _refusal(path, first, f"expected `{key[:40]} = value` or `{key[:40]} {{`")
    if block["rest"]:
        raise _refusal(path, first, "garbage after `{`; what is in the block begins on a line of its own")
    name = block["bare"] or ("" if block["quoted"] is None else _unescaped(block["quoted"]))
    return Statement("open", key, name, path, *first)


def _at(starts: list[tuple[int, int]], index: int) -> int:
    """Where in the text a character of the logical line stands."""
    return next(offset + index - start for start, offset in reversed(starts) if start <= index)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def patterns(statement: Statement) -> list[str]:
    """
    The patterns of an include, without the braces of GLOB_BRACE, which Python's glob does not know; else nothing.

    statement
        One line.

    Raises ``SaltInvocationError`` for too many alternatives.
    """
    if statement.kind != "include":
        return []
    found = [posixpath.join(posixpath.dirname(statement.path), statement.value)]
    while any(map(BRACES.search, found)):
        if len(found) > ALTERNATIVES:
            raise refusal(statement, "too many alternatives in braces")
        found = list(dict.fromkeys(more for each in found for more in _alternatives(each)))
    return found


def _alternatives(pattern: str) -> list[str]:
    match = BRACES.search(pattern)
    if not match:
        return [pattern]
    return [pattern[: match.start()] + word + pattern[match.end() :] for word in match[1].split(",")]


def configuration(files: plugins.Files) -> Configuration:
    """
    The meaning of all files together.

    files
        For each path its ``text`` and its ``includes``, the paths that each pattern of :py:func:`patterns` matched.

    Raises ``SaltInvocationError`` for what Dovecot would refuse.
    """
    main = next(iter(files), MAIN)
    steps = service_includes.walk(
        files, main, statements, lambda each: len(patterns(each)), lambda _, each: place(each)
    )
    lines = [step.statement for step in steps]
    read = Configuration(main, _dialect(lines), {}, {}, {}, [], [])
    opened: list[Statement] = []
    scopes: list[tuple[str, ...]] = [()]
    for number, statement in enumerate(lines):
        if statement.kind == "include":
            read.included.append(statement.value)
        elif statement.kind == "open":
            if len(opened) == NESTING:
                problem = f"blocks that are nested more than {NESTING} deep"
                raise refusal(statement, problem)
            # A block without a name is another one each time, except where it is a list.
            name = (statement.value or str(number),) if statement.value or statement.key not in LISTS else ()
            opened.append(statement)
            scopes.append((*scopes[-1], statement.key, *name))
            _declare(read, scopes[-1])
            read.blocks.append(statement)
        elif statement.kind == "close":
            if not opened:
                raise refusal(statement, "a `}` that closes nothing")
            opened.pop()
            scopes.pop()
        else:
            statement = statement._replace(value=_expanded(read, statement.value))
            for setting, value in _assignments(read, scopes[-1], statement):
                _assign(read, setting, statement._replace(value=value))
    if opened:
        last = opened[-1]
        raise refusal(last, f"the block `{last.key}` is not closed")
    return read


def _dialect(lines: list[Statement]) -> str:
    """Which Dovecot the files are for: only 2.4 says so, and only Dovecot 1 has no `service` blocks at all."""
    if any(each.kind == "set" and each.key == "dovecot_config_version" for each in lines):
        return "2.4"
    return "2" if any(each.kind == "open" and each.key == "service" for each in lines) else "1"


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
        words.update(dict.fromkeys(listed(read, (name,)) if known else [word]))
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
    port = last_port(value) if read.dialect == "2" else ""
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


def last_port(value: str) -> str:
    """
    The port of the last address, which Dovecot 2 reads as that of all of them.

    value
        A list of addresses.
    """
    match = PORT.fullmatch(re.split("[ ,]", value)[-1])
    return match["port"] if match else ""


def listed(read: Configuration, setting: tuple[str, ...]) -> list[str]:
    """
    The words of a list, however it is written.

    read
        The configuration.
    setting
        The path of the list's setting.
    """
    default = DEFAULTS.get(setting[0], "") if len(setting) == 1 else ""
    if setting == ("protocols",) and (
        read.dialect == "2.4" or any(each.endswith(".protocol") for each in read.included)
    ):
        default = ""  # in Debian, each package brings its own
    written = read.settings.get(setting)
    words = dict.fromkeys(re.split("[ ,]+", written.value if written else default))
    for name, member in read.members.get(setting, {}).items():
        words.pop(name, None)
        if is_true(member.value):
            words[name] = None
    return [word for word in words if word]


def is_true(value: str) -> bool:
    """
    Whether Dovecot reads a word as yes.

    value
        The word.
    """
    return value.lower() in ("yes", "y", "1")
