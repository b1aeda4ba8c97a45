"""
Erlang terms in a text, as ``file:consult/1`` reads them, and where each of them stands. PURE: never accesses the host.

* The grammar is that of ``erl_scan`` and ``erl_parse:parse_term`` of OTP 25, compared with its verdicts and values.
* More lenient in one respect: bytes that are not UTF-8 are allowed in comments and quotes, as before OTP 17.
* Stricter in two: ``fun m:f/1``, and terms nested deeper than a hundred levels; no configuration has either.
"""

from __future__ import annotations

import bisect
import math
import re
from collections import deque
from typing import Any

from salt.exceptions import SaltInvocationError

DEEPEST = 100
LONGEST_ATOM = 255
LONGEST_INTEGER = 4000  # digits; Python refuses more than 4300

SPACE = "\x00-\x20\x80-\xa0"
NAME = r"[a-zA-Z0-9_@\xc0-\xd6\xd8-\xf6\xf8-\xff]*"
DIGITS = r"[0-9](?:_?[0-9])*"
ESCAPE = r"\\(?:\^.|[^^])"
TOKEN = re.compile(
    rf"""
      (?P<space>   [{SPACE}]+ | %[^\n]* )
    | (?P<dot>     \.(?=[{SPACE}%]|\Z) )
    | (?P<atom>    [a-z\xdf-\xf6\xf8-\xff]{NAME} )
    | (?P<variable>[A-Z_\xc0-\xd6\xd8-\xde]{NAME} )
    | (?P<based>   {DIGITS}\# )
    | (?P<float>   {DIGITS}\.{DIGITS}(?:[eE](?:[+-]?{DIGITS})?)? )
    | (?P<integer> {DIGITS} )
    | (?P<string>  "[^"\\]*(?:{ESCAPE}[^"\\]*)*" )
    | (?P<quoted>  '[^'\\]*(?:{ESCAPE}[^'\\]*)*' )
    | (?P<char>    \$(?:\\(?:x\{{[^}}]*\}}|x..|[0-7]{{1,3}}|\^.|[^x^])|[^\\]) )
    | (?P<sign>    \.\.\.? | << | >> | => | := | \#\{{ | \+\+ | -- | -> | \|\| | (?![\"'$])[\x21-\x7e\xa1-\xff] )
    """,
    re.DOTALL | re.VERBOSE,
)
MEANING = re.compile(r"\\(?:x\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{2})|([0-7]{1,3})|\^(.)|(.))", re.DOTALL)
NAMED = dict(zip("nrtvbfesd", "\n\r\t\v\b\f\x1b \x7f"))
RESERVED = set(
    "after and andalso band begin bnot bor bsl bsr bxor case catch cond div end fun if let not of or orelse receive "
    "rem try when xor".split()
)
CLOSING = {"{": "}", "[": "]", "<<": ">>", "#{": "}"}
NUMBERS = ("integer", "float", "char")


def parse(text: str, path: str = "") -> list[dict[str, Any]]:
    """
    The terms of a text.

    text
        The content of the file.
    path
        Its name, for errors.

    Returns a list of terms. Each has ``kind``, the offsets ``start`` and ``end``, ``line`` and ``column``, and

    * ``value`` if it is an ``atom``, ``string``, ``integer``, ``float`` or ``char``;
    * ``items`` if it is a ``tuple`` or a ``list``, which also has ``tail``: what follows ``|``, or ``None``;
    * ``items`` if it is a ``map``, pairs of key and value; or a ``binary``, of ``value``, ``size`` and ``type``.

    Those of the text itself also have ``dot``, the offset behind the dot that ends them.
    Raises ``SaltInvocationError`` with ``path:line:column`` where ``file:consult/1`` would refuse the file.
    """
    lines = [0, *(match.end() for match in re.finditer("\n", text))]
    source = {"path": path, "text": text, "lines": lines}
    result: list[dict[str, Any]] = []
    at = 0
    while True:
        tokens, at = _tokens(source, at)
        if tokens[0]["kind"] == "end":
            return result
        term = _term(source, tokens, 1)
        if tokens[0]["kind"] != "dot":
            _unexpected(source, tokens[0])
        result.append({**term, "dot": tokens[0]["end"]})


def plain(term: dict[str, Any]) -> Any:
    """
    The meaning of a term, regardless of its place and spelling.

    term
        One of :py:func:`parse`.

    Returns numbers as they are, and everything else as a list that begins with its kind. A string is a list of
    numbers, as in Erlang.
    """
    kind = term["kind"]
    if kind == "atom":
        return [kind, term["value"]]
    if kind == "string":
        return ["list", *map(ord, term["value"])]
    if kind == "char":
        return ord(term["value"])
    if kind == "tuple":
        return [kind, *map(plain, term["items"])]
    if kind == "list":
        items = ["list", *map(plain, term["items"])]
        tail = plain(term["tail"]) if term["tail"] else ["list"]
        return items + tail[1:] if isinstance(tail, list) and tail[0] == "list" else ["improper", items, tail]
    if kind == "map":
        pairs = [(plain(key), plain(value)) for key, value in term["items"]]
        last = {repr(key): [key, value] for key, value in pairs}
        return [kind, *(last[key] for key in sorted(last))]
    if kind == "binary":
        return [kind, *(segment for item in term["items"] for segment in _plain_segments(item))]
    return term["value"]


def _plain_segments(item: dict[str, Any]) -> list[Any]:
    value = item["value"]
    each = map(ord, value["value"]) if value["kind"] == "string" else [plain(value)]
    return [[number, item["size"], item["type"]] for number in each]


def _fail(source: dict[str, Any], at: int, problem: str) -> Any:
    line, column = _place(source, at)
    raise SaltInvocationError(f"{source['path']}:{line}:{column}: {problem}")


def _place(source: dict[str, Any], at: int) -> tuple[int, int]:
    line = bisect.bisect(source["lines"], at)
    return line, at - source["lines"][line - 1] + 1


def _tokens(source: dict[str, Any], at: int) -> tuple[deque[dict[str, Any]], int]:
    """The tokens of one term, up to its dot or the end of the text, and where the next one begins."""
    text = source["text"]
    tokens: deque[dict[str, Any]] = deque()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            return _fail(source, at, _unreadable(text[at : at + 2]))
        kind, start = match.lastgroup, at
        at = match.end()
        if kind == "space":
            continue
        token: dict[str, Any] = {"kind": kind, "start": start, "end": at, "value": match[0]}
        _evaluate(source, token)
        at = token["end"]
        tokens.append(token)
        if kind == "dot":
            return tokens, at
    tokens.append({"kind": "end", "start": at, "end": at, "value": ""})
    return tokens, at


def _unreadable(begin: str) -> str:
    names = {'"': "unterminated string", "'": "unterminated atom", "$": "unterminated character"}
    if begin == "$\\":
        return "illegal character"
    return names.get(begin[0], "illegal character")


def _evaluate(source: dict[str, Any], token: dict[str, Any]) -> None:
    """Gives a token its value, and the kind of a term where it is one."""
    kind, word = token["kind"], token["value"]
    if kind == "integer":
        token["value"] = _integer(source, token, word, 10)
    elif kind == "based":
        _based(source, token)
    elif kind == "float":
        token["value"] = _float(source, token, word.replace("_", ""))
    elif kind in ("string", "quoted"):
        token["value"] = _unescaped(source, token["start"], word[1:-1])
    elif kind == "char":
        token["value"] = _unescaped(source, token["start"], word[1:])
    elif kind == "atom" and word in RESERVED:
        token["kind"] = "sign"
    if kind == "quoted":
        token["kind"] = "atom"
    if token["kind"] == "atom" and len(token["value"]) > LONGEST_ATOM:
        _fail(source, token["start"], "illegal atom")


def _integer(source: dict[str, Any], token: dict[str, Any], digits: str, base: int) -> int:
    if len(digits) > LONGEST_INTEGER:
        _fail(source, token["start"], f"an integer of more than {LONGEST_INTEGER} digits")
    return int(digits.replace("_", ""), base)


def _based(source: dict[str, Any], token: dict[str, Any]) -> None:
    base = _integer(source, token, token["value"][:-1], 10)
    if not 2 <= base <= 36:
        _fail(source, token["start"], f"illegal base '{base}'")
    letters = f"a-{chr(86 + base)}A-{chr(54 + base)}" if base > 10 else ""
    digit = f"[0-{min(base, 10) - 1}{letters}]"
    match = re.compile(f"{digit}(?:_?{digit})*").match(source["text"], token["end"])
    if match is None:
        return _fail(source, token["start"], "illegal integer")
    token.update(kind="integer", end=match.end(), value=_integer(source, token, match[0], base))


def _float(source: dict[str, Any], token: dict[str, Any], word: str) -> float:
    value = math.inf if word[-1] in "eE" else float(word)
    return _fail(source, token["start"], "illegal float") if math.isinf(value) else value


def _unescaped(source: dict[str, Any], start: int, word: str) -> str:
    def meaning(match: re.Match[str]) -> str:
        long, short, octal, control, other = match.groups()
        if control:
            return chr(ord(control) & 31)
        if other and other != "x":
            return NAMED.get(other, other)
        digits = long or short or octal
        number = int(digits[:9], 8 if octal else 16) if digits else 0x110000
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            _fail(source, start, "illegal character")
        return chr(number)

    return MEANING.sub(meaning, word) if "\\" in word else word


def _unexpected(source: dict[str, Any], token: dict[str, Any]) -> Any:
    if token["kind"] == "end":
        return _fail(source, token["start"], "syntax error before the end of the file: the last term is not complete")
    if token["kind"] == "variable":
        return _fail(source, token["start"], f"bad term: the variable `{token['value']}`")
    word = source["text"][token["start"] : token["end"]]
    shown = {"sign": repr(word), "dot": word}.get(token["kind"], f"`{word}`")
    return _fail(source, token["start"], f"syntax error before: {shown}")


def _is(token: dict[str, Any], *signs: str) -> bool:
    return token["kind"] == "sign" and token["value"] in signs


def _expect(source: dict[str, Any], tokens: deque[dict[str, Any]], *signs: str) -> dict[str, Any]:
    if not _is(tokens[0], *signs):
        _unexpected(source, tokens[0])
    return tokens.popleft()


def _term(source: dict[str, Any], tokens: deque[dict[str, Any]], depth: int) -> dict[str, Any]:
    """Takes the first term from the tokens."""
    first = tokens[0]
    if depth > DEEPEST:
        _fail(source, first["start"], f"nested deeper than {DEEPEST} levels")
    line, column = _place(source, first["start"])
    place = {"start": first["start"], "line": line, "column": column}
    if first["kind"] == "string":
        pieces = []
        while tokens[0]["kind"] == "string":
            pieces.append(tokens.popleft())
        return {**place, "kind": "string", "value": "".join(map(str, _values(pieces))), "end": pieces[-1]["end"]}
    if first["kind"] in ("atom", *NUMBERS):
        return {**place, **tokens.popleft()}
    if _is(first, "+", "-"):
        return {**_signed(source, tokens, depth), **place}
    if _is(first, "("):
        tokens.popleft()
        term = _term(source, tokens, depth + 1)
        return {**term, **place, "end": _expect(source, tokens, ")")["end"]}
    if not _is(first, "{", "[", "<<", "#") and not _is(first, "#{"):
        _unexpected(source, first)
    tokens.popleft()
    opening = first["value"]
    if opening == "#":  # white space may stand between the two signs of a map
        _expect(source, tokens, "{")
        opening = "#{"
    kind = {"{": "tuple", "[": "list", "<<": "binary", "#{": "map"}[opening]
    items: list[Any] = []
    tail = None
    if not _is(tokens[0], CLOSING[opening]):
        while True:
            items.append(_item(source, tokens, kind, depth + 1))
            if kind == "list" and _is(tokens[0], "|"):
                tokens.popleft()
                tail = _term(source, tokens, depth + 1)
                break
            if not _is(tokens[0], ","):
                break
            tokens.popleft()
    term = {**place, "kind": kind, "items": items, "end": _expect(source, tokens, CLOSING[opening])["end"]}
    return {**term, "tail": tail} if kind == "list" else term


def _values(tokens: list[dict[str, Any]]) -> list[Any]:
    return [token["value"] for token in tokens]


def _signed(source: dict[str, Any], tokens: deque[dict[str, Any]], depth: int) -> dict[str, Any]:
    sign = tokens.popleft()
    term = _term(source, tokens, depth + 1)
    if term["kind"] not in NUMBERS or "sign" in term:
        _fail(source, sign["start"], "bad term")
    number = ord(term["value"]) if term["kind"] == "char" else term["value"]
    kind = "float" if term["kind"] == "float" else "integer"
    return {**term, "kind": kind, "value": -number if sign["value"] == "-" else number, "sign": sign["value"]}


def _item(source: dict[str, Any], tokens: deque[dict[str, Any]], kind: str, depth: int) -> Any:
    if kind == "binary":
        return _segment(source, tokens, depth)
    term = _term(source, tokens, depth)
    if kind != "map":
        return term
    _expect(source, tokens, "=>")
    return [term, _term(source, tokens, depth)]


def _segment(source: dict[str, Any], tokens: deque[dict[str, Any]], depth: int) -> dict[str, Any]:
    value = _term(source, tokens, depth)
    size = None
    words: list[str] = []
    if _is(tokens[0], ":"):
        tokens.popleft()
        size = _expect_kind(source, tokens, "integer")["value"]
    while _is(tokens[0], "-" if words else "/"):
        tokens.popleft()
        words.append(_expect_kind(source, tokens, "atom")["value"])
        if _is(tokens[0], ":"):
            tokens.popleft()
            words[-1] += f":{_expect_kind(source, tokens, 'integer')['value']}"
    fits = {"integer": True, "char": True, "string": True, "float": "float" in words}
    fits["binary"] = not {"binary", "bytes", "bitstring", "bits"}.isdisjoint(words)
    if not fits.get(value["kind"], False):
        _fail(source, value["start"], "bad term")
    return {"value": value, "size": size, "type": "-".join(words)}


def _expect_kind(source: dict[str, Any], tokens: deque[dict[str, Any]], kind: str) -> dict[str, Any]:
    if tokens[0]["kind"] != kind:
        _unexpected(source, tokens[0])
    return tokens.popleft()
