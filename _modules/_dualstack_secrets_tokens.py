"""
The words of a configuration, whatever its language, and which may be a secret. PURE: never accesses the host.

No grammar is known here: a word is what neither white space nor a bracket, comma, semicolon, equals sign or quote
divides, so that ``user:password`` is one. What follows a name such as ``password`` may be a secret up to the end of its
statement, and anything else in the place of a value as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# In the name of a key: what stands behind it is a secret. Those of WEAK are also in names of switches and files.
STRONG = re.compile(
    r"(?<!proxy_)(?<!cgi_)(?<!grpc_)(?<!by)pass(?!ive|thr)|pwd|(?:^|[^a-z])pw(?:$|[^a-z])|secret|token|api[_-]?key|"
    r"access_?key|credential|psk|bearer|setcookie|odbc|sql_server|environment|setenv|bindpw|kennwort|(?:^|_)pin(?:$|_)|"
    r"licen[cs]e_?key",
    re.IGNORECASE,
)
WEAK = re.compile(r"auth|basic|key|private|salt_|_salt|hash|sasl|dsn|cookie|sql", re.IGNORECASE)

WORD = r"[^\s{}\[\]()<>;,=\"']+"
TOKEN = re.compile(
    rf"""
    (?P<line>\n)
    | (?P<blank>[^\S\n]+)
    | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    | (?P<rest>["'][^\n]*)  # a quote that is not closed on its line
    | (?P<address>[!]?(?:ipv[46]@)?\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\](?:{WORD})?)
    | (?P<sign>[{{}}\[\]()<>;,=])
    | (?P<word>{WORD})
    """,
    re.VERBOSE,
)
OPENING, CLOSING = "{[(<", "}])>"
REMARKS = ("#", ";", "--", "%", "//")  # a line of prose, of which not every word behind "password" is one
CONTINUES = tuple("\\:=,{[(>|")  # at the end of a line: the value stands in the next one


class Token(NamedTuple):
    """A part of a text; all of them together are the text."""

    kind: str  # line, blank, string, rest, address, sign or word
    text: str
    content: str  # the same without quotes
    secret: str  # "strong" or "weak" where it stands behind a name of a secret, else empty
    first: bool  # of its line


def tokens(text: str) -> Iterator[Token]:
    """
    The words of a text, and all between them.

    text
        Of a configuration file, or a part of it.
    """
    zone, depth, outside, valued = "", 0, 0, False
    first, last, remark = True, "", False  # on its line
    for match in TOKEN.finditer(text):
        kind, found = str(match.lastgroup), match[0]
        if kind == "line":
            behind = text[match.end() : match.end() + 200].lstrip(" \t")[:1]
            goes_on = last.endswith(CONTINUES) or behind in ("'", '"')
            if not (depth > outside and last == "," if valued else goes_on):
                zone = ""
            first, last = True, ""
        elif kind == "sign":
            depth += (found in OPENING) - (found in CLOSING)
            # A comma stands between a name and its value, too.
            if found == ";" or depth < outside or (found == "," and valued and depth <= outside):
                zone = ""
            last = found
        if kind in ("line", "sign", "blank"):
            yield Token(kind, found, found, "", False)
            continue
        content = found[1:-1] if kind == "string" else found
        yield Token(kind, found, content, zone, first)
        remark = found.startswith(REMARKS) if first else remark
        valued = bool(zone) and (valued or any(each.isalnum() for each in found))
        named = _named(content) if zone != "strong" else ""
        if named:
            # A name behind a name, as in `stats auth`: the value is yet to come.
            zone, outside, valued = "weak" if remark else named, depth, False
        first, last = False, found


def _named(content: str) -> str:
    """Whether a word is the name of a secret: what kind of."""
    if STRONG.search(content):
        return "strong"
    return "weak" if WEAK.search(content) else ""
