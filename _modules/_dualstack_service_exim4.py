"""
The grammar of Exim's configuration, and how Debian makes it of several files. PURE: never accesses the host.

/etc/exim4/exim4.conf is all, if it exists. Else update-exim4.conf(8) generates the configuration before each start, of
a template or of the files in conf.d, and writes the values of update-exim4.conf.conf into it as macros, below a marker.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import _dualstack_plugins as plugins
import _dualstack_service_includes as service_includes

ROOT = "/etc/exim4"
MAIN, UPDATE, DEFAULTS = f"{ROOT}/exim4.conf", f"{ROOT}/update-exim4.conf.conf", "/etc/default/exim4"
MACROS, TEMPLATE, CONF_D = f"{ROOT}/exim4.conf.localmacros", f"{ROOT}/exim4.conf.template", f"{ROOT}/conf.d"
FOLDERS = ("main", "router", "transport")  # of conf.d, in the order in which they are read
MAIN_SECTION = "main"
MARKER = re.compile(r"UPEX4CmacrosUPEX4C[ \t]*=")
SUBSTITUTED = (
    "internet",
    "smarthost",
    "satellite",
    "local",
)  # the kinds of configuration in which the macros are written
FROM_UPDATE = {"MAIN_LOCAL_INTERFACES": "dc_local_interfaces", "MAIN_RELAY_NETS": "dc_relay_nets"}

BLANK = " \t\r\f\v"
INCLUDE = re.compile(r"\.include(?:_if_exists)?[ \t]+\"?(?P<path>[^\"]+?)\"?[ \t]*")
CONDITION = re.compile(r"\.(?P<what>ifdef|ifndef|elifdef|elifndef|else|endif)\b[ \t]*(?P<rest>.*)")
MACRO = re.compile(r"(?P<name>[A-Z][A-Za-z0-9_]*)[ \t]*==?[ \t]*(?P<value>.*)", re.DOTALL)
OPTION = re.compile(
    r"(?:hide[ \t]+)?(?P<name>hostlist[ \t]+relay_from_hosts|(?:no_|not_)?[a-z][a-z0-9_]*)[ \t]*"
    r"(?:=[ \t]*(?P<value>.*))?",
    re.DOTALL,
)
SETTING = re.compile(r"(?P<name>[a-z][a-z0-9_]*)[ \t]*=[ \t]*(?P<value>.*)", re.DOTALL)
NAMES = (
    *(
        "primary_hostname",
        "qualify_domain",
        "dns_ipv4_lookup",
        "local_interfaces",
        "daemon_smtp_ports",
        "daemon_smtp_port",
        "tls_on_connect_ports",
        "disable_ipv6",
    ),
    "hostlist relay_from_hosts",
)
SHELL = re.compile(
    r"^[ \t]*(?P<name>[A-Za-z_]+)=(?P<quote>[\"']?)(?P<value>[^\"'\n]*?)(?P=quote)[ \t\r]*(?:#.*)?$", re.MULTILINE
)
PART = re.compile(r"[A-Za-z0-9_-]+(?:\.rul)?")
PREFIX = re.compile(r"[ \t]*<(?P<sign>[^A-Za-z0-9 \t])[ \t]*")
DEEPEST = 20  # macros that are made of macros


class Value(NamedTuple):
    """What is written for an option."""

    path: str
    line: int
    text: str
    offsets: list[int]  # of each character in its file, and of the end
    debian: bool = False  # from update-exim4.conf.conf, where a `;` in a list makes it the separator
    known: bool = True  # False where it is made of macros and expansions, so that it cannot be edited
    bare: bool = False  # without quotes, in a file that the shell reads


Macros = Mapping[str, Value]


class Item(NamedTuple):
    """An item of a list."""

    word: str
    start: int  # in the text of the value
    end: int


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes, in the order of the text.

    path
        The file.
    text
        Its content.
    """
    return [found for line in _lines(path, text) for found in _included(line)]


def shell(path: str, text: str) -> dict[str, Value]:
    """
    The assignments of a file that the shell reads, by their names: each the last.

    path
        The file.
    text
        Its content.
    """
    found = {}
    for each in SHELL.finditer(text):
        start, end = each.span("value")
        line = text.count("\n", 0, start) + 1
        known = "$" not in each["value"] and "`" not in each["value"]
        offsets = list(range(start, end + 1))
        found[each["name"]] = Value(path, line, each["value"], offsets, known=known, bare=not each["quote"])
    return found


def options(files: plugins.Files) -> dict[str, Value]:
    """
    The options of the main section that matter here, by their names; ``disable_ipv6`` has ``true`` or ``false``.

    files
        All files, by path.

    Raises ``SaltInvocationError`` for files that include each other for ever.
    """
    found: dict[str, Value] = {}
    for section, line, macros in statements(files, ("main",)):
        if section != MAIN_SECTION:
            break
        match = OPTION.fullmatch(line.text)
        if match:
            _take(found, line, match, macros)
    return found


def statements(files: plugins.Files, folders: Sequence[str] = FOLDERS) -> Iterator[tuple[str, Value, Macros]]:
    """
    The lines that count, in order: those of branches that hold, without conditions, macros and sections' beginnings.

    files
        All files, by path.
    folders
        Those of conf.d that matter, where the configuration is split.

    Returns each with its section (``main``, ``routers``, ``transports``), and the macros that are defined there.
    Raises ``SaltInvocationError`` for files that include each other for ever.
    """
    macros: dict[str, Value] = {}
    states: list[bool] = []  # of the conditions around a line: whether each holds
    done: list[bool] = []  # whether a branch of it has held
    section = MAIN_SECTION

    def place(path: str, each: Value) -> str:
        return f"{path}:{each.line}:1"

    for main in _mains(files, folders):
        for step in service_includes.walk(files, main, _lines, lambda each: len(_included(each)), place):
            line = step.statement
            condition = CONDITION.fullmatch(line.text)
            if condition:
                _branch(condition["what"], any(each in condition["rest"] for each in macros), states, done)
            elif not all(states):
                continue
            elif line.text.split(None, 1)[0] == "begin":
                section = line.text.split()[-1]
            elif macro := MACRO.fullmatch(line.text):
                macros[macro["name"]] = _part(line, macro.start("value"))
                if MARKER.match(line.text) and main != MAIN:
                    macros = {**_debian(files), **macros}
            else:
                yield section, line, macros


def setting(line: Value, macros: Macros) -> tuple[str, Value] | None:
    """
    The name and the value of an option of a router or a transport; ``None`` for any other line.

    line, macros
        From :py:func:`statements`.
    """
    match = SETTING.fullmatch(line.text)
    return (match["name"], _resolved(_part(line, match.start("value")), macros)) if match else None


def _take(found: dict[str, Value], line: Value, option: re.Match[str], macros: Macros) -> None:
    name = " ".join(option["name"].split())
    bare = re.sub(r"^(?:no_|not_)", "", name)
    if bare not in NAMES:
        return
    if option["value"] is None:
        found[bare] = line._replace(text="true" if bare == name else "false", known=False)
    else:
        found["daemon_smtp_ports" if name == "daemon_smtp_port" else name] = _resolved(
            _part(line, option.start("value")), macros
        )


def _branch(what: str, holds: bool, states: list[bool], done: list[bool]) -> None:
    if what in ("ifdef", "ifndef"):
        states.append(holds == (what == "ifdef"))
        done.append(states[-1])
    elif states and what == "endif":
        states.pop()
        done.pop()
    elif states:
        states[-1] = not done[-1] and (what == "else" or holds == (what == "elifdef"))
        done[-1] = done[-1] or states[-1]


def _mains(files: plugins.Files, folders: Sequence[str]) -> list[str]:
    """The files of which the configuration consists, in order: those of these folders, where it is split."""
    if MAIN in files:
        return [MAIN]
    settings = shell(UPDATE, files.get(UPDATE, {}).get("text", ""))
    split = settings.get("dc_use_split_config")
    if split is None or split.text.lower() != "true":
        return [each for each in (MACROS, TEMPLATE) if each in files]
    # As its run_parts() does it: NAME.rul takes the place of NAME.
    return [path for folder in folders for path in _parts(files, f"{CONF_D}/{folder}")]


def _parts(files: plugins.Files, folder: str) -> list[str]:
    names = {posixpath.basename(each) for each in files if posixpath.dirname(each) == folder}
    bare = sorted(each for each in names if PART.fullmatch(each) and not each.endswith(".rul"))
    return [f"{folder}/{each}.rul" if f"{each}.rul" in names else f"{folder}/{each}" for each in bare]


def _debian(files: plugins.Files) -> dict[str, Value]:
    """The macros that Debian's generator writes."""
    settings = shell(UPDATE, files.get(UPDATE, {}).get("text", ""))
    kind = settings.get("dc_eximconfig_configtype")
    if kind is None or kind.text.lower() not in SUBSTITUTED:
        return {}
    return {
        f"DCconfig_{kind.text.lower()}": kind._replace(text="1", known=False),
        **{
            macro: settings[name]._replace(debian=True)
            for macro, name in FROM_UPDATE.items()
            if name in settings and settings[name].text
        },
    }


def _lines(path: str, text: str) -> Iterator[Value]:
    """The logical lines: a comment within one is ignored, a blank line ends it."""
    start = 0
    pending: Value | None = None
    for number, line in enumerate(text.split("\n"), 1):
        first, start = start, start + len(line) + 1
        bare = line.strip(BLANK)
        if bare.startswith("#"):
            continue
        if bare:
            begin = first + line.index(bare[0])
            piece = bare[:-1] if bare.endswith("\\") else bare
            before = pending or Value(path, number, "", [])
            offsets = [*before.offsets[:-1], *range(begin, begin + len(piece) + 1)]
            pending = before._replace(text=before.text + piece, offsets=offsets)
        if pending and not bare.endswith("\\"):
            if pending.text:
                yield pending
            pending = None
    if pending and pending.text:
        yield pending


def _included(line: Value) -> list[str]:
    match = INCLUDE.fullmatch(line.text)
    return [posixpath.join(ROOT, match["path"].replace("CONFDIR", ROOT))] if match else []


def _part(line: Value, start: int) -> Value:
    return line._replace(text=line.text[start:], offsets=line.offsets[start:])


def _resolved(value: Value, macros: Macros) -> Value:
    """What a value means: that of the macro that it is, or its text with macros in their place."""
    for _ in range(DEEPEST):
        if value.text.strip(BLANK) not in macros:
            break
        value = macros[value.text.strip(BLANK)]
    text = value.text
    for name in sorted(macros, key=len, reverse=True):
        text = text.replace(name, macros[name].text)
    return value if text == value.text and "$" not in text else value._replace(text=text[:10000], known=False)


def items(value: Value) -> tuple[str, list[Item]]:
    """
    The separator of a list, and its items. A separator that is doubled stands for itself.

    value
        The list.
    """
    prefix = PREFIX.match(value.text)
    sign = prefix["sign"] if prefix else ";" if value.debian and ";" in value.text else ":"
    found: list[Item] = []
    position = prefix.end() if prefix else 0
    word, start = "", position
    while position <= len(value.text):
        here = value.text[position : position + 1]
        if here == sign and value.text[position + 1 : position + 2] == sign:
            word, position = word + sign, position + 2
            continue
        if here in ("", sign):
            bare = word.strip(BLANK)
            if bare:
                begin = start + len(word) - len(word.lstrip(BLANK))
                written = value.text[begin:position]
                found.append(Item(bare, begin, begin + len(written.rstrip(BLANK))))
            word, start = "", position + 1
        else:
            word += here
        position += 1
    return sign, found


def with_items(value: Value, words: Sequence[str], tight: bool = False) -> list[tuple[int, int, str]]:
    """
    The edits that add words to a list, with its own separator.

    value
        The list, which is not empty.
    words
        What is to be added. A list of one item without a separator of its own gets `;` for it, as colons would have to
        be doubled.
    tight
        Whether there may be no blanks in it.
    """
    sign, found = items(value)
    last = found[-1]
    gap = "" if tight or len(found) > 1 and value.text[found[-2].end : last.start] == sign else " "
    alone = len(found) == 1 and not PREFIX.match(value.text) and not (value.debian and ";" in value.text)
    if alone:
        start, mark = last.start, "" if value.debian else f"<;{gap}"
        new = mark + f"{gap};{gap}".join([last.word, *words])
    else:
        start, new = last.end, "".join(f"{gap}{sign}{gap}{each.replace(sign, sign * 2)}" for each in words)
    if value.bare:  # blanks and semicolons mean something to the shell
        whole = value.text[:start] + new + value.text[last.end :]
        return [(value.offsets[0], value.offsets[-1], f"'{whole}'")]
    return [(value.offsets[start], value.offsets[last.end], new)]
