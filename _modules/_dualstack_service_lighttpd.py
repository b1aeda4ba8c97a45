"""
The grammar of lighttpd's configuration: the statements of one file, and the values of expressions. PURE: never accesses
the host.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from salt.exceptions import SaltInvocationError

FOLDER = "/etc/lighttpd"  # relative includes start here, whichever file they stand in

TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+)|(?P<comment>\#[^\n]*)|"(?P<string>(?:\\"|\\(?!")|[^"\\])*)"|"""
    r"""(?P<name>[A-Za-z][A-Za-z0-9._-]*)|(?P<number>[0-9]+)|(?P<variable>\$[A-Za-z]+)|"""
    r"""(?P<operator>==|!=|=~|!~|=\^|=\$|\+=|:=|=>|.)""",
    re.DOTALL,
)
ASSIGNMENTS = ("=", "+=", ":=")
ELSE = ("else", "elseif", "elsif", "elif")
LONGEST = 4096  # of a variable that is repeatedly appended to itself
CONF_ENABLED = re.compile(r"(?:\S*/)?include-conf-enabled\.pl\s*")


class Token(NamedTuple):
    """One word."""

    kind: str
    text: str
    start: int
    end: int
    place: str  # path:line:column


END = Token("end", "", 0, 0, "")


def events(path: str, text: str) -> list[dict[str, Any]]:
    """
    The statements of a file in textual order: ``assignment``, ``include``, and ``open`` and ``close`` of a block.

    path
        The file's own path.
    text
        Its content.

    Each has ``kind``, ``name``, ``line``, ``place`` and ``pattern``, the shell pattern of an include, if the file alone
    determines it. Raises ``SaltInvocationError`` where the text cannot be read.
    """
    result = _events(path, text)
    variables: dict[str, Any] = {}
    for event in result:
        event["pattern"] = ""
        if event["kind"] == "assignment":
            assigned(event, variables)
        elif event["kind"] == "include":
            found = value(event["expression"], variables)
            if event["name"] == "include_shell":
                found = "conf-enabled/*.conf" if isinstance(found, str) and CONF_ENABLED.fullmatch(found) else None
            if found and "\0" not in str(found):
                event["pattern"] = posixpath.normpath(posixpath.join(FOLDER, str(found)))
    return result


def assigned(event: dict[str, Any], variables: dict[str, Any]) -> str | int | None:
    """
    The value of an assignment, which is remembered for later expressions.

    event
        An ``assignment``.
    variables
        The values assigned before it.
    """
    found = value(event["expression"], variables)
    name = _qualified(event["name"])
    if event["operator"] == "+=":
        found = _sum(variables.get(name), found)
    variables[name] = found
    return found


def value(expression: list[Token] | None, variables: dict[str, Any]) -> str | int | None:
    """
    The value of an expression; ``None`` for a list and for an unknown value.

    expression
        Its terms, ``None`` for a list.
    variables
        The values assigned before it.
    """
    if not expression:
        return None
    values = [
        (
            term.text.replace('\\"', '"')
            if term.kind == "string"
            else int(term.text[:10]) if term.kind == "number" else variables.get(_qualified(term.text))
        )
        for term in expression
    ]
    result = values[0]
    for each in values[1:]:
        result = _sum(result, each)
    return result


def _sum(one: str | int | None, other: str | int | None) -> str | int | None:
    if one is None or other is None:
        return None
    if isinstance(one, int) and isinstance(other, int):
        return (one + other) % 10**10
    return result if len(result := f"{one}{other}") <= LONGEST else None


def _qualified(name: str) -> str:
    return name if "." in name else f"var.{name}"


def _events(path: str, text: str) -> list[dict[str, Any]]:
    tokens = list(_tokens(path, text))
    result: list[dict[str, Any]] = []
    blocks: list[tuple[dict[str, Any], Token]] = []
    head: dict[str, Any] = {}  # of the next block
    last: dict[str, Any] = {}  # the block that was closed last
    index = 0
    while index < len(tokens):
        token, after = tokens[index], tokens[index + 1] if index + 1 < len(tokens) else END
        event = {"name": token.text, "line": int(token.place.split(":")[-2]), "place": token.place}
        index += 1
        if token.kind == "name" and token.text in ("include", "include_shell"):
            expression, index = _expression(tokens, index)
            result.append({**event, "kind": "include", "expression": expression})
        elif token.kind == "name" and after.kind == "operator" and after.text in ASSIGNMENTS:
            expression, index = _expression(tokens, index + 1)
            result.append({**event, "kind": "assignment", "operator": after.text, "expression": expression})
        elif token.kind == "name" and token.text in ELSE:
            last["chained"] = head["chained"] = True
        elif token.kind == "name" and token.text == "global":
            head["condition"] = "global"
        elif token.kind == "variable":
            words = tokens[index : index + 4]
            if [each.text for each in words[:1] + words[2:3]] == ["[", "]"] and len(words) == 4:
                head["condition"] = f'{token.text}["{words[1].text}"] {words[3].text}'
                head["expression"], index = _expression(tokens, index + 4)
        elif token.kind == "operator" and token.text == "{":
            block = {"condition": "", "expression": None, "chained": False, **head, "start": token.end}
            blocks.append((block, token))
            result.append({**event, "kind": "open", "block": block})
            head = {}
        elif token.kind == "operator" and token.text == "}":
            if not blocks:
                raise SaltInvocationError(f"{token.place}: a }} without its {{")
            last, _ = blocks.pop()
            last["end"] = token.start
            result.append({**event, "kind": "close"})
    if blocks:
        raise SaltInvocationError(f"{blocks[-1][1].place}: a {{ that is not closed")
    return result


def _expression(tokens: list[Token], index: int) -> tuple[list[Token] | None, int]:
    """The terms of ``a + b + ...`` from there on, ``None`` for one with a list, and where it ends."""
    terms: list[Token] | None = []
    while index < len(tokens):
        if tokens[index].text == "(" and tokens[index].kind == "operator":
            terms, index = None, _behind_list(tokens, index)
        elif tokens[index].kind in ("string", "number", "name"):
            if terms is not None:
                terms.append(tokens[index])
            index += 1
        else:
            return None, index
        if index >= len(tokens) or tokens[index].kind != "operator" or tokens[index].text != "+":
            break
        index += 1
    return terms, index


def _behind_list(tokens: list[Token], index: int) -> int:
    opened = []
    for position in range(index, len(tokens)):
        if tokens[position].kind == "operator" and tokens[position].text == "(":
            opened.append(tokens[position])
        elif tokens[position].kind == "operator" and tokens[position].text == ")":
            opened.pop()
            if not opened:
                return position + 1
    raise SaltInvocationError(f"{opened[-1].place}: a ( that is not closed")


def _tokens(path: str, text: str) -> Iterator[Token]:
    """The words of a text, without blanks and comments."""
    line, begin = 1, 0
    for match in TOKEN.finditer(text):
        kind = str(match.lastgroup)
        place = f"{path}:{line}:{match.start() - begin + 1}"
        if match[0] == '"':
            raise SaltInvocationError(f'{place}: a quote " that is not closed')
        if kind not in ("blank", "comment"):
            yield Token(kind, match[kind], match.start(), match.end(), place)
        if "\n" in match[0]:
            line += match[0].count("\n")
            begin = match.start() + match[0].rindex("\n") + 1
