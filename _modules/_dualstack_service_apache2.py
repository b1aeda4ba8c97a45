"""
The grammar of Apache's configuration: directives, sections and includes. PURE: never accesses the host.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import _dualstack_service_edits as service_edits
import _dualstack_service_includes as service_includes
from salt.exceptions import SaltInvocationError

MAIN = "/etc/apache2/apache2.conf"
ROOT = "/etc/apache2"  # Debian's ServerRoot
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
LONGEST = 256  # of a variable: one that is made of itself twice, again and again, would fill the memory
VARIABLE = re.compile(r"\$\{(\w+)\}")
MACRO, PERL, HOST = "<macro", "<perl", "<virtualhost"


class Section(NamedTuple):
    """What is around a directive."""

    words: str  # as written: `<IfModule ssl_module>`
    path: str
    line: int


class Directive(NamedTuple):
    """One directive, or a line that begins or ends a section."""

    path: str
    line: int
    words: list[str]
    spans: list[tuple[int, int]]  # where the words are in the text, quotes included
    sections: tuple[Section, ...]  # around it, the outermost first


def _error(path: str, text: str, start: int, what: str) -> SaltInvocationError:
    return SaltInvocationError(f"{service_edits.place(path, text, start)}: {what}")


def directives(path: str, text: str) -> Iterator[Directive]:
    """
    The directives of one file, the lines that begin and end a section among them.

    path
        The file.
    text
        Its content.

    Raises ``SaltInvocationError`` where the text cannot be read.
    """
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


def patterns(directive: Directive) -> list[str]:
    """
    The patterns of a directive that includes files; empty for any other.

    directive
        The directive.
    """
    if directive.words[0].lower() not in INCLUDES or len(directive.words) < 2:
        return []
    name = posixpath.join(ROOT, directive.words[1])
    if re.search(r"[*?\[]", name):
        return [name]
    folder = f"{name.rstrip('/')}/*"
    return [folder] if name.endswith("/") else [name, folder]


def walk(files: dict[str, dict[str, Any]]) -> Iterator[Directive]:
    """
    The directives of all files in the order in which Apache reads them.

    files
        Every file that Apache reads, by path.

    A variable that ``Define`` has given a value before is replaced in the words, but not where they stand in the text.
    """
    defined: dict[str, str] = {}

    def known(match: re.Match[str]) -> str:
        return defined.get(match[1], match[0])

    def place(path: str, each: Directive) -> str:
        return service_edits.place(path, files[path]["text"], each.spans[0][0])

    for step in service_includes.walk(files, MAIN, directives, lambda each: len(patterns(each)), place):
        around = [section for each in step.above for section in each.sections]
        words = [VARIABLE.sub(known, word) if "${" in word else word for word in step.statement.words]
        if words[0].lower() == "define" and len(words) == 3 and len(words[2]) < LONGEST:
            defined[words[1]] = words[2]
        yield step.statement._replace(words=words, sections=(*around, *step.statement.sections))


def kinds(directive: Directive) -> list[str]:
    """
    The kinds of the sections around a directive: ``<ifmodule``.

    directive
        The directive.
    """
    return [section.words.lower().split()[0].rstrip(">") for section in directive.sections]


def place(directive: Directive) -> str:
    """
    Where a directive stands.

    directive
        The directive.
    """
    return f"{directive.path}:{directive.line}"


def quoted(directive: Directive) -> str:
    """
    A directive as a message quotes it, with its place.

    directive
        The directive.
    """
    return f"{place(directive)}: `{' '.join(directive.words)}`"
