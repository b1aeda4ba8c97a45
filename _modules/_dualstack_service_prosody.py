"""
The grammar of Prosody's configuration, a program in Lua: the literal statements of a file. PURE: never accesses the
host.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from salt.exceptions import SaltInvocationError

TOKEN = re.compile(
    r"""(?P<blank>\s+)|(?P<comment>--\[(?P<c>=*)\[.*?\](?P=c)\]|--(?!\[=*\[)[^\n]*)|"""
    r"""(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\[(?P<s>=*)\[.*?\](?P=s)\])|"""
    r"""(?P<open>--\[|\[=*\[|["'])|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9][0-9A-Za-z.]*)|"""
    r"""(?P<symbol>\.{2,3}|[=~<>]=|::|.)""",
    re.DOTALL,
)
BRACKETS = {")": "(", "]": "[", "}": "{"}
CONTROL = {"if": 1, "do": 1, "function": 1, "repeat": 1, "end": -1, "until": -1}
HOSTS = ("VirtualHost", "Host", "host", "Component", "component")
CONSTANTS = {"true": True, "false": False, "nil": None}


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
    The statements of a file outside of brackets, in textual order: ``setting``, ``include``, ``host``, and ``module``
    of a component.

    path
        The file's own path; the patterns of includes start in its folder.
    text
        Its content.

    Each has ``kind``, ``name``, ``path``, ``line``, ``place`` and ``pattern``, the shell pattern of an include that is
    a literal. A setting also has what :py:func:`_literal` returns, and ``host``, whether it belongs to a virtual host.
    Raises ``SaltInvocationError`` where the text cannot be read.
    """
    tokens = list(_tokens(path, text))
    result: list[dict[str, Any]] = []
    brackets: list[Token] = []
    control, host = 0, False
    for index, token in enumerate(tokens):
        after = tokens[index + 1] if index + 1 < len(tokens) else END
        if token.kind == "symbol" and token.text in BRACKETS.values():
            brackets.append(token)
        elif token.kind == "symbol" and token.text in BRACKETS:
            if not brackets or brackets.pop().text != BRACKETS[token.text]:
                raise SaltInvocationError(f"{token.place}: a {token.text} without its {BRACKETS[token.text]}")
        if brackets or token.kind != "name" or (index and tokens[index - 1].text in (".", ":", "local", "function")):
            continue
        line = int(token.place.split(":")[-2])
        event = {"name": token.text, "path": path, "line": line, "place": token.place, "pattern": ""}
        if token.text in CONTROL:
            control = max(0, control + CONTROL[token.text])
        elif token.text in HOSTS:
            names, end = _arguments(tokens, index + 1)
            component = token.text.lower() == "component"
            if names:
                result.append({**event, "kind": "host", "name": names[0], "component": component})
            if component and names:
                result.append({**event, "kind": "module", "name": (*names, "component")[1]})
            # A table after it has the settings of the host, and the next ones are the server's again.
            host = end.text != "{"
        elif token.text in ("Include", "include", "RunScript"):
            names, _ = _arguments(tokens, index + 1)
            pattern = names[0] if names and token.text != "RunScript" else ""
            pattern = posixpath.normpath(posixpath.join(posixpath.dirname(path), pattern)) if pattern else ""
            result.append({**event, "kind": "include", "pattern": "" if "\0" in pattern else pattern})
        elif after.text == "=" and after.kind == "symbol":
            setting = {**event, **_literal(tokens, index + 2, text), "kind": "setting", "host": host}
            others = _before(tokens, index)
            # Plain means unconditional, and not one of several assigned at once.
            setting["dynamic"] = bool(setting["dynamic"] or control or others)
            result += [{**setting, "name": name} for name in [*others, token.text]]
    if brackets:
        raise SaltInvocationError(f"{brackets[-1].place}: a {brackets[-1].text} that is not closed")
    return result


def _before(tokens: list[Token], index: int) -> list[str]:
    """The other names of ``a, b = 1, 2``, in front of the last one."""
    names: list[str] = []
    while index > 1 and tokens[index - 1].text == "," and tokens[index - 2].kind == "name":
        index -= 2
        names.append(tokens[index].text)
    return names


def _arguments(tokens: list[Token], index: int) -> tuple[list[str], Token]:
    """The one or two strings that a function is called with, with or without parentheses; and what follows."""
    names: list[str] = []
    while index < len(tokens):
        token = tokens[index]
        if token.kind == "string" and len(names) < 2:
            names.append(_unquoted(token))
        elif token.kind != "symbol" or token.text not in "()":
            return names, token
        index += 1
    return names, END


def _literal(tokens: list[Token], index: int, text: str) -> dict[str, Any]:
    """
    A plain value, or a table of plain values, not followed by more of the same expression.

    Returns its ``value``, its ``text`` and its ``span`` in the file, the ``elements`` of a table, and whether it is
    ``dynamic``: not plain.
    """
    first = tokens[index] if index < len(tokens) else END
    elements: list[Token] = []
    plain, last = _plain(first), index
    if first.kind == "symbol" and first.text == "{":
        last = index + 1
        while last < len(tokens) and tokens[last].kind in ("string", "number"):
            elements.append(tokens[last])
            last += 1
            if last < len(tokens) and tokens[last].kind == "symbol" and tokens[last].text in ",;":
                last += 1
            else:
                break
        plain = last < len(tokens) and tokens[last].kind == "symbol" and tokens[last].text == "}"
    after = tokens[last + 1] if last + 1 < len(tokens) else END
    ends = after.kind in ("end", "name") and after.text not in ("and", "or")
    if not plain or not (ends or (after.kind == "symbol" and after.text in (";", "::"))):
        return {"dynamic": True, "value": None, "text": "", "span": (0, 0), "elements": []}
    span = (first.start, tokens[last].end)
    value = [_scalar(each) for each in elements] if first.text == "{" else _scalar(first)
    return {"dynamic": False, "value": value, "text": text[span[0] : span[1]], "span": span, "elements": elements}


def _plain(token: Token) -> bool:
    return token.kind in ("string", "number") or (token.kind == "name" and token.text in CONSTANTS)


def _scalar(token: Token) -> str | bool | None:
    """The value of a word; numbers stay as they are written."""
    if token.kind == "name":
        return CONSTANTS[token.text]
    return _unquoted(token) if token.kind == "string" else token.text


def _unquoted(token: Token) -> str:
    if token.text.startswith("["):
        width = token.text.index("[", 1) + 1
        return token.text[width:-width].removeprefix("\n")
    return re.sub(r"\\([\\\"'])", r"\1", token.text[1:-1])


def _tokens(path: str, text: str) -> Iterator[Token]:
    """The words of a text, without blanks and comments."""
    line, begin = 1, 0
    for match in TOKEN.finditer(text):
        kind = str(match.lastgroup)
        place = f"{path}:{line}:{match.start() - begin + 1}"
        if kind == "open":
            raise SaltInvocationError(f"{place}: a {match[0]} that is not closed")
        if kind not in ("blank", "comment"):
            yield Token(kind, match[0], match.start(), match.end(), place)
        if "\n" in match[0]:
            line += match[0].count("\n")
            begin = match.start() + match[0].rindex("\n") + 1
