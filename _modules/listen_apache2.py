"""
How Apache's configuration says where it listens, and how it serves both families. It never accesses the host.

* ``Listen 80`` is one socket on ``::`` for both families: Apache sets IPV6_V6ONLY to 0 itself, whatever
  ``net.ipv6.bindv6only`` says (measured with 2.4.71). So is ``Listen [::]:80`` (make_sock() of ``server/listen.c``).
* ``Listen 80`` together with ``Listen [::]:80`` passes ``apache2ctl -t``, and then nothing listens at all: such pairs
  are detected here, before a restart.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_includes as service_includes
__virtualname__ = "listen_apache2"

MAIN = "/etc/apache2/apache2.conf"
ROOT = "/etc/apache2"  # Debian's ServerRoot

ANY4, ANY6 = service_addresses.ANY4, service_addresses.ANY6

BOTH = "*"
NESTING = 128  # sections inside each other

# A line, with the lines that a backslash at its end joins to it.
LINE = re.compile(r"((?:[^\\\n]+|\\\r?\n|\\)*)(?:\n|\Z)")
GLUE = re.compile(r"\\\r?\n")
WORD = re.compile(
    r'"[^"\\]*(?:\\[\s\S][^"\\]*)*"?'  # an unclosed quote ends with the line, ap_getword_conf()
    r"|'[^'\\]*(?:\\[\s\S][^'\\]*)*'?"
    r"|(?:\\\r?\n|[^ \t\r\n\v\f])+"
)
INCLUDES = ("include", "includeoptional")
# Sections that are decided while the configuration is read; Listen cannot stand in any other one.
CONDITIONS = ("<ifmodule", "<ifdefine", "<ifversion", "<iffile", "<ifdirective", "<ifsection")
MACRO, PERL, HOST = "<macro", "<perl", "<virtualhost"
# 127.0.0.1, 127.0.0.0/8, 127.0.0.0/255.0.0.0, or a part of it.
LOOPBACK4 = re.compile(r"127(?:\.[0-9]+){0,3}\.?(?:/[0-9.]+)?")
# The words of a diff that are no secrets.
SHOWN = (
    "VirtualHost /VirtualHost NameVirtualHost ServerName ServerAlias SSLEngine IfModule Require Allow "
    "Deny Order from"
).split()


class Section(NamedTuple):
    words: str  # as written: `<IfModule ssl_module>`
    path: str
    line: int


class Directive(NamedTuple):
    path: str
    line: int
    words: list[str]
    spans: list[tuple[int, int]]  # where the words are in the text, quotes included
    sections: tuple[Section, ...]  # around it, the outermost first


class Listen(NamedTuple):
    directive: Directive
    address: str  # BOTH for a port alone
    port: int | None
    conditions: frozenset[str]
    decidable: bool
    note: str


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes`` and ``units``, its name for service(8),
    ``init``, its own keys in the pillar, ``options``, of which there are none, the command that checks its
    configuration, and the ``protocols`` of its usual ports. ``words`` are those of its configuration that a diff may
    show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_apache2.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/apache2*"],
        "units": ["apache2.service", "apache2@*.service"],
        "init": "apache2",
        "sets_v6only": True,
        "options": {},
        "check": ["apache2ctl", "-t"],
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

    Returns shell patterns of absolute paths, in the order of the text. A name without a wildcard can be a file or a
    folder, which only the host knows: it gives two patterns, ``NAME`` and ``NAME/*``. Raises ``SaltInvocationError``
    where the text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_apache2.includes /etc/apache2/apache2.conf 'Include ports.conf'
    """
    return [pattern for each in _directives(path, text) for pattern in _patterns(each)]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    files
        Every file that Apache reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each ``Listen``, in the order of the text, with ``port``, ``transport``, ``address``,
    ``v6only``, ``file``, ``line`` and ``note``. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_apache2.listeners '{/etc/apache2/apache2.conf: {text: "Listen 80", includes: []}}'
    """
    return [
        {
            "port": each.port,
            "transport": "tcp",
            "address": ANY6 if each.address == BOTH else each.address,
            "v6only": _v6only(each.address),
            "file": each.directive.path,
            "line": each.directive.line,
            "note": each.note,
        }
        for each in _listens(_walk(files))
    ]


def dual_stack(files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """
    The same configuration, listening on both families.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; Apache does not care.

    Returns ``files``, the new text of each file that changes, ``bindv6only``, ``None`` as it is immune, and ``notes``.
    Raises ``SaltInvocationError`` where a text cannot be read, and where two statements take each other's port, so that
    Apache would not start.

    CLI Example:

    .. code-block:: bash

        salt-call listen_apache2.dual_stack '{/etc/apache2/apache2.conf: {text: "Listen 0.0.0.0:80"}}' '{}'
    """
    directives = list(_walk(files))
    listens = _listens(directives)
    _refuse_conflicts(listens)
    edits: dict[str, dict[int, tuple[int, int, str]]] = {}  # by where they start
    notes = []
    on_port: dict[int | None, list[Listen]] = {}
    for each in listens:
        if each.address == BOTH or ":" in each.address:
            on_port.setdefault(each.port, []).append(each)
    for each in listens:
        if each.note:
            notes.append(f"{_place(each)}: `{_words(each)}`: {each.note}")
        if each.address != ANY4 or not each.decidable:
            continue
        company = on_port.get(each.port, [])
        prefix = _prefix(files, each.directive)
        if any(other.address in (BOTH, ANY6) and other.conditions <= each.conditions for other in company):
            pass  # Apache makes one socket of the two
        elif company:
            notes.append(
                f"{_place(each)}: `{_words(each)}` was left alone: "
                f"`{_words(company[0])}` ({_place(company[0])}) has the port in IPv6"
            )
        elif prefix is None:
            notes.append(f"{_place(each)}: `{_words(each)}` was left alone: write `Listen {each.port}` by hand")
        else:
            edits.setdefault(each.directive.path, {})[prefix[0]] = (*prefix, "")
    if edits or any(each.address in (BOTH, ANY6) for each in listens):
        for path, start, word in _blind_to_loopback(directives):
            edits.setdefault(path, {})[start] = (start, start, word)
        notes += _deaf_hosts(directives)
    result = service_edits.rewritten(files, {path: each.values() for path, each in edits.items()})
    # What was checked for the old text has to hold for the new one, too.
    _refuse_conflicts(_listens(_walk(service_edits.afterwards(files, result))))
    return {"files": result, "bindv6only": None, "notes": list(dict.fromkeys(notes))}


def _error(path: str, text: str, start: int, what: str) -> SaltInvocationError:
    return SaltInvocationError(f"{service_edits.place(path, text, start)}: {what}")


def _directives(path: str, text: str) -> Iterator[Directive]:
    """The directives of one file, the lines that begin and end a section among them."""
    number = 1
    opened: list[tuple[str, int]] = []
    sections: tuple[Section, ...] = ()
    for match in LINE.finditer(text):
        line, number = number, number + match[1].count("\n") + 1
        found = [(_plain(each[0]), each.span()) for each in WORD.finditer(text, *match.span(1))]
        words = [word for word, _ in found if word]
        if not words or words[0].startswith("#"):
            continue
        start = found[0][1][0]
        kind = words[0].lower().rstrip(">")
        if opened and opened[-1][0] == PERL and not kind.startswith("</perl"):
            continue  # a program of another language
        if kind.startswith("</"):
            if not opened or opened[-1][0] != "<" + kind[2:]:
                raise _error(path, text, start, f"a `{words[0]}` that closes nothing")
            opened.pop()
            sections = sections[:-1]
        yield Directive(path, line, words, [span for word, span in found if word], sections)
        if kind.startswith("<") and not kind.startswith("</"):
            if len(opened) == NESTING:
                raise _error(path, text, start, f"more than {NESTING} sections inside each other")
            opened.append((kind, start))
            sections += (Section(" ".join(words), path, line),)
    if opened:
        kind, start = opened[-1]
        raise _error(path, text, start, f"a `{kind}>` that is not closed")


def _plain(raw: str) -> str:
    word = GLUE.sub("", raw)
    if word[:1] in ("'", '"'):
        return word[1:].removesuffix(word[0])
    return word


def _patterns(directive: Directive) -> list[str]:
    if directive.words[0].lower() not in INCLUDES or len(directive.words) < 2:
        return []
    name = posixpath.join(ROOT, directive.words[1])
    if re.search(r"[*?\[]", name):
        return [name]
    folder = f"{name.rstrip('/')}/*"
    return [folder] if name.endswith("/") else [name, folder]


def _walk(files: dict[str, dict[str, Any]]) -> Iterator[Directive]:
    """The directives of all files in the order in which Apache reads them."""

    def place(path: str, each: Directive) -> str:
        return service_edits.place(path, files[path]["text"], each.spans[0][0])

    for step in service_includes.walk(files, MAIN, _directives, lambda each: len(_patterns(each)), place):
        around = [section for each in step.above for section in each.sections]
        yield step.statement._replace(sections=(*around, *step.statement.sections))


def _listens(directives: Iterable[Directive]) -> list[Listen]:
    result = []
    for each in directives:
        if each.words[0].lower() != "listen" or len(each.words) < 2:
            continue
        kinds = [section.words.lower().split()[0].rstrip(">") for section in each.sections]
        if not all(kind in (*CONDITIONS, MACRO) for kind in kinds):
            continue  # Apache refuses it there
        address, port, notes = _socket(each.words[1])
        if MACRO in kinds:
            notes = ["inside a macro: cannot decide"]
        conditions = frozenset(section.words for section in each.sections)
        decidable = port is not None and MACRO not in kinds
        if each.sections and decidable:
            notes.append(f"inside `{each.sections[-1].words}`: taken as there")
        result.append(Listen(each, address, port, conditions, decidable, "; ".join(notes)))
    return result


def _socket(word: str) -> tuple[str, int | None, list[str]]:
    """The address and the port of `[ADDRESS:]PORT`, and a note for the user."""
    match = re.fullmatch(r"(?:(?P<host>\[[^]]*\]|[^\[\]]+):)?(?P<port>[0-9]{1,5})", word)
    if "$" in word:
        return word, None, ["a variable: cannot decide"]
    if not match or not 0 < int(match["port"]) < 65536:
        return word, None, ["no address and port: cannot decide"]
    port = int(match["port"])
    if match["host"] in (None, BOTH):
        return BOTH, port, []
    host = match["host"].strip("[]")
    alone = service_addresses.why_alone(host)
    return service_addresses.canonical(host), port, [alone] if alone else []


def _v6only(address: str) -> bool | None:
    """What the socket will have: a specific IPv6 address has no IPv4 in it, whatever the program sets."""
    if address in (BOTH, ANY6):
        return False
    return True if ":" in address else None


def _place(listen: Listen) -> str:
    return f"{listen.directive.path}:{listen.directive.line}"


def _words(listen: Listen) -> str:
    return " ".join(listen.directive.words)


def _prefix(files: dict[str, dict[str, Any]], directive: Directive) -> tuple[int, int] | None:
    """Where the address stands in the text, with its colon; nowhere, if a backslash divides it."""
    start, end = directive.spans[1]
    found = files[directive.path]["text"].find(f"{ANY4}:", start, end)
    return None if found < 0 else (found, found + len(ANY4) + 1)


def _refuse_conflicts(listens: list[Listen]) -> None:
    """
    Raises if two statements take each other's port.

    Conditions are not evaluated: each set of conditions around a statement is assumed to hold in turn, so that Debian's
    two ``Listen 443``, for mod_ssl and for mod_gnutls, do not count as a pair.
    """
    listens = [each for each in listens if each.decidable]
    for world in {each.conditions for each in listens}:
        pair = _conflict([each for each in listens if each.conditions <= world])
        if pair:
            first, second = pair
            raise SaltInvocationError(
                f"apache2 would not start: `{_words(second)}` ({_place(second)}) needs the port that "
                f"`{_words(first)}` ({_place(first)}) has taken; remove one of the two"
            )


def _conflict(listens: list[Listen]) -> tuple[Listen, Listen] | None:
    """The first two statements of which the second cannot be bound, in the order of open_listeners()."""
    queue: list[tuple[str, Listen]] = []
    for each in listens:
        # For a port alone, getaddrinfo() gets no name.
        queue += [(address, each) for address in ([ANY4, ANY6] if each.address == BOTH else [each.address])]
    bound: dict[int | None, dict[str, Listen]] = {}
    for index, (address, each) in enumerate(queue):
        follower = queue[index + 1] if index + 1 < len(queue) else ("", each)
        if address == ANY4 and follower[0] == ANY6 and follower[1].port == each.port:
            queue[index + 1] = (address, each)
            address, each = follower
            follower = queue[index + 1]
        holders = bound.setdefault(each.port, {})
        if address == ANY4 and ANY6 in holders:
            continue  # the one socket serves it
        clash = _clash(address, holders)
        if clash is None:
            holders[address] = each
        elif ANY6 in holders or (address, follower[0], follower[1].port) != (ANY6, ANY4, each.port):
            # A `::` that fails is ignored if 0.0.0.0 follows, but a second `::` leaves a socket unbound.
            return clash, each
    return None


def _clash(address: str, holders: dict[str, Listen]) -> Listen | None:
    """The statement that already has this address, among those bound to the same port."""
    same = holders.get(address) or holders.get(ANY6)
    if same or address not in (ANY4, ANY6):
        return same or (holders.get(ANY4) if ":" not in address else None)
    return next((each for other, each in holders.items() if address == ANY6 or ":" not in other), None)


def _blind_to_loopback(directives: list[Directive]) -> Iterator[tuple[str, int, str]]:
    """Where an access list knows 127.0.0.1 and not ::1, and what is missing there."""
    lists: dict[Any, list[tuple[Directive, list[str]]]] = {}
    for each in directives:
        words = [word.lower() for word in each.words]
        verb = tuple(words[: 3 if words[:2] == ["require", "not"] else 2])
        if verb in (("require", "ip"), ("require", "not", "ip"), ("allow", "from"), ("deny", "from")):
            lists.setdefault((each.sections, verb), []).append((each, words[len(verb) :]))
    for members in lists.values():
        if any(re.match(r"::1(?:/|$)|all$", word) for _, words in members for word in words):
            continue
        for each, words in members:
            last = max((index for index, word in enumerate(words) if LOOPBACK4.fullmatch(word)), default=None)
            if last is not None:
                yield each.path, each.spans[len(each.words) - len(words) + last][1], " ::1"
                break


def _deaf_hosts(directives: list[Directive]) -> Iterator[str]:
    for each in directives:
        if each.words[0].lower() == HOST:
            addresses = [_socket(word.rstrip(">").replace(":*", ":1")) for word in each.words[1:]]
            if addresses and all(re.fullmatch(r"[0-9.]+", address) and address != ANY4 for address, _, _ in addresses):
                yield (
                    f"{each.path}:{each.line}: `{' '.join(each.words)}` knows IPv4 only: "
                    "what arrives over IPv6 is answered by another host of this server"
                )
