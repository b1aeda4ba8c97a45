"""
The language of shell scripts, as far as it has to be read to find commands in them. PURE: runs nothing, and never
accesses the host.

Source: POSIX.1-2017, Shell Command Language, 2.2 (quoting), 2.3 (tokens), 2.6.2 (parameters), 2.7.4 (here-documents).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

UNKNOWN = "?"  # what only a run would tell
BREAKS = ("&&", "||", ";;", "|&", ";", "&", "|", "\n", "(", ")")
RESERVED = (
    "if",
    "then",
    "elif",
    "else",
    "fi",
    "do",
    "done",
    "while",
    "until",
    "{",
    "}",
    "!",
    "time",
    "exec",
    "esac",
    "in",
)
DECLARING = ("export", "local", "readonly", "declare", "typeset")
NAME = r"[A-Za-z_][A-Za-z0-9_]*"
ASSIGNMENT = re.compile(rf"({NAME})=(.*)", re.DOTALL)
REDIRECTION = re.compile(r"(?:\d*|&)(?:>>?\|?|<>?|[<>]&)")
SAFE = re.compile(r"[^\s;&|<>()'\"\\$`#]+")  # characters that mean themselves


class Word(NamedTuple):
    """A word, or an operator."""

    text: str
    line: int  # from 1
    operator: bool = False
    split: bool = False  # whether it has a variable outside of quotes: its value may be several words, or none


class Command(NamedTuple):
    """A simple command: its words, with variables replaced, and where its output goes."""

    words: list[str]
    targets: list[str]  # files that it writes to
    line: int  # from 1
    before: str  # the operator before it
    document: str  # a here-document that it reads
    certain: bool  # whether all of its words are known


def commands(text: str, known: Mapping[str, str] | None = None) -> list[Command]:
    """
    The simple commands of a text, in their order.

    text
        A shell script, or a part of one. Anything is accepted: what is not understood gives no command, or a wrong one.
    known
        Variables that are set outside of it.
    """
    variables = dict(known or {})
    result: list[Command] = []
    before = "\n"
    words: list[Word] = []
    for word in [*_words(text), Word("\n", 0, True)]:
        if word.operator and word.text in BREAKS:
            found = _command(words, before, variables)
            if found is not None:
                result.append(found)
            before, words = (word.text if words or word.text != "\n" else before), []
        else:
            words.append(word)
    return result


def _command(words: list[Word], before: str, variables: dict[str, str]) -> Command | None:
    plain: list[str] = []
    targets: list[str] = []
    document = ""
    line = words[0].line if words else 0
    position = 0
    while position < len(words):
        word = words[position]
        if word.operator:  # a redirection, and its file; or a here-document's text
            following = words[position + 1] if position + 1 < len(words) else None
            if word.text.startswith("<<"):
                document = word.text[2:]
            elif following is not None and not following.operator:
                if ">" in word.text and "&" not in word.text[1:]:
                    targets.append(_value(following.text, variables)[0])
                position += 1
        else:
            value, _ = _value(word.text, variables)
            plain += value.split() if word.split else [value]
        position += 1
    while plain and plain[0] in RESERVED:
        plain.pop(0)
    bare = all(ASSIGNMENT.fullmatch(each) for each in plain)  # and not only for one command
    while plain and ASSIGNMENT.fullmatch(plain[0]):
        if bare:
            _assign(plain[0], variables)
        plain.pop(0)
    if plain and plain[0] in DECLARING:
        for each in plain[1:]:
            _assign(each, variables)
        return None
    if not plain:
        return None
    return Command(plain, targets, line, before, document, not any(UNKNOWN in each for each in [*plain, *targets]))


def _assign(word: str, variables: dict[str, str]) -> None:
    found = ASSIGNMENT.fullmatch(word)
    if found:
        variables[found[1]] = found[2]


# A variable stands in a word as \0NAME\0, until its value is known; a value that can only be known by running as \0\0.
MARK = "\0"


def _value(text: str, variables: Mapping[str, str]) -> tuple[str, bool]:
    parts = text.split(MARK)
    values = [each if index % 2 == 0 else _variable(each, variables) for index, each in enumerate(parts)]
    return "".join(values), len(parts) > 1


def _variable(expression: str, variables: Mapping[str, str]) -> str:
    found = re.fullmatch(rf"({NAME})(?:(:?[-=?+])(.*)|(%%?|##?)(.*))?", expression, re.DOTALL)
    if not found:
        return UNKNOWN
    name, default, other, cut, pattern = found.groups()
    value = variables.get(name)
    if default:
        if default.endswith("+"):
            return other if value else ""
        return value if value else (other if default[-1] in "-=" and "$" not in other else UNKNOWN)
    if value is None:
        return UNKNOWN
    if cut and UNKNOWN not in value:
        return _cut(value, cut, pattern)
    return value


def _cut(value: str, cut: str, pattern: str) -> str:
    """``${NAME%/*}`` and ``${NAME#*/}``, with one star at most."""
    if "?" in pattern or "[" in pattern or pattern.count("*") > 1:
        return UNKNOWN
    expression = ".*".join(re.escape(each) for each in pattern.split("*"))
    ends = range(len(value), -1, -1) if cut in ("%", "##") else range(len(value) + 1)
    for at in ends:
        part, rest = (value[at:], value[:at]) if cut.startswith("%") else (value[:at], value[at:])
        if re.fullmatch(expression, part, re.DOTALL):
            return rest
    return value


# --------------------------------------------------------------------------------------------------------------
# Tokens


def _words(text: str) -> Iterator[Word]:
    position, line = 0, 1
    awaited: list[tuple[str, bool]] = []  # the ends of here-documents, and whether tabs before them are removed
    current: list[str] | None = None
    split, start = False, 1
    while position < len(text):
        char = text[position]
        if current is None and char == "#":
            position = _end_of_line(text, position)
            continue
        if text.startswith("\\\n", position):
            position, line = position + 2, line + 1
            continue
        operator = _operator(text, position, current is None or "".join(current).isdigit())
        if char in " \t\r\n" or operator:
            if operator and current is not None and "".join(current).isdigit() and operator[0] in "<>":
                current = None  # the number of a file: 2>
            if current is not None:
                yield Word("".join(current), start, False, split)
            current, split = None, False
            if char in " \t\r":
                position += 1
            elif operator in ("<<", "<<-"):
                position, end = _here(text, position + len(operator))
                awaited.append((end, operator == "<<-"))
            else:
                position += len(operator) or 1
                if operator == "\n":
                    for end, tabs in awaited:
                        body, position, lines = _document(text, position, end, tabs)
                        line += lines
                        yield Word(f"<<{body}", line, True)
                    awaited = []
                    line += 1
                yield Word(operator, line - (operator == "\n"), True)
            continue
        if current is None:
            current, start, split = [], line, False
        piece, position, lines, open_ = _piece(text, position)
        current.append(piece)
        split |= open_
        line += lines
    if current is not None:
        yield Word("".join(current), start, False, split)


def _operator(text: str, position: int, first: bool) -> str:
    char = text[position]
    if char not in "\n&|;()<>":
        return ""
    if char == "\n":
        return "\n"
    if char in "<>" or (char == "&" and text[position + 1 : position + 2] == ">"):
        found = re.compile(r"<<<|<<-|<<|&>>|&>|>>|>\||>&|<&|<>|<|>").match(text, position)
        return found[0] if found else ""
    for each in BREAKS:
        if text.startswith(each, position):
            return each
    return ""


def _end_of_line(text: str, position: int) -> int:
    found = text.find("\n", position)
    return len(text) if found < 0 else found


def _here(text: str, position: int) -> tuple[int, str]:
    """The word behind ``<<``: where it ends, and what ends the document."""
    found = re.compile(r"[ \t]*(['\"]?)([^\s'\";|&<>()]+)\1").match(text, position)
    return (found.end(), found[2].replace("\\", "")) if found else (position, "")


def _document(text: str, position: int, end: str, tabs: bool) -> tuple[str, int, int]:
    """A here-document: its text, where it ends, and how many lines it has."""
    body: list[str] = []
    count = 0
    while position < len(text):
        after = _end_of_line(text, position)
        line = text[position:after]
        position, count = min(after + 1, len(text)), count + 1
        if (line.lstrip("\t") if tabs else line).rstrip("\r") == end:
            break
        body.append(line)
    return "\n".join(body), position, count


def _piece(text: str, position: int) -> tuple[str, int, int, bool]:
    """A part of a word: what it stands for, its end, how many lines it has, and whether its value may be split."""
    char = text[position]
    if char == "'":
        end = text.find("'", position + 1)
        end = len(text) if end < 0 else end
        inner = text[position + 1 : end]
        return inner, end + 1, inner.count("\n"), False
    if char == '"':
        return _quoted(text, position + 1)
    if char == "\\":
        return text[position + 1 : position + 2], position + 2, 0, False
    if char == "$":
        piece, end, lines = _dollar(text, position)
        return piece, end, lines, piece.startswith(MARK)
    if char == "`":
        end = text.find("`", position + 1)
        end = len(text) if end < 0 else end
        return MARK * 2, end + 1, text.count("\n", position, end), False
    found = SAFE.match(text, position)
    return (found[0], found.end(), 0, False) if found else (char, position + 1, 0, False)


def _quoted(text: str, position: int) -> tuple[str, int, int, bool]:
    result: list[str] = []
    lines = 0
    while position < len(text) and text[position] != '"':
        char = text[position]
        if char == "\\" and text[position + 1 : position + 2] in ("$", '"', "\\", "`", "\n"):
            following = text[position + 1]
            result.append("" if following == "\n" else following)
            lines += following == "\n"
            position += 2
        elif char == "$":
            piece, position, more = _dollar(text, position)
            result.append(piece)
            lines += more
        elif char == "`":
            end = text.find("`", position + 1)
            end = len(text) if end < 0 else end
            result.append(MARK * 2)
            lines += text.count("\n", position, end)
            position = end + 1
        else:
            result.append(char)
            lines += char == "\n"
            position += 1
    return "".join(result), position + 1, lines, False


def _dollar(text: str, position: int) -> tuple[str, int, int]:
    """A variable, or a command whose output stands here."""
    opening = text[position + 1 : position + 2]
    if opening in ("{", "("):
        end = _closing(text, position + 1)
        inner = text[position + 2 : end]
        expression = inner if opening == "{" and MARK not in inner else ""
        return f"{MARK}{expression}{MARK}", end + 1, text.count("\n", position, end)
    found = re.compile(rf"\$({NAME})").match(text, position)
    if found:
        return f"{MARK}{found[1]}{MARK}", found.end(), 0
    if opening and opening in "0123456789@*#?$!-":
        return MARK * 2, position + 2, 0
    return "$", position + 1, 0


def _closing(text: str, position: int) -> int:
    """Where a bracket is closed again; the end of the text if it never is."""
    pairs = {"{": "}", "(": ")"}
    opening, depth = text[position], 0
    for at in range(position, len(text)):
        depth += (text[at] == opening) - (text[at] == pairs[opening])
        if depth == 0:
            return at
    return len(text)
