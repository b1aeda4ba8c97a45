"""
The grammar of HAProxy's configuration, its sections 2, 4.2 and 11: the lines that say where it listens. PURE: never
accesses the host.
"""

from __future__ import annotations

import re
from typing import Any

import _dualstack_service_addresses as service_addresses
from salt.exceptions import SaltInvocationError

SECTIONS = (
    "global defaults frontend backend listen peers mailers resolvers userlist http-errors cache program ring "
    "log-forward fcgi-app crt-store log-profile traces acme"
).split()
KEYWORDS = ("bind", "dgram-bind", "stats", "disabled", "enabled", "mode", ".if", ".endif", *SECTIONS)
# Only lines that begin with one of these are split into words: the others may contain anything.
INTERESTING = re.compile(rf"[ \t\r\v\f]*(?:{'|'.join(map(re.escape, KEYWORDS))})(?=[ \t\r\v\f#]|$)")

# The pieces of a line, section 2.2. A quote that matches `sign` is not closed.
PIECE = re.compile(
    r"""(?P<space>[ \t\r\v\f]+)|(?P<comment>\#.*)|'(?P<strong>[^']*)'|"(?P<weak>(?:\\.|[^"\\])*)"|"""
    r"""(?P<escape>\\(?:x[0-9A-Fa-f]{2}|.))|(?P<sign>.)""",
    re.DOTALL,
)
WEAK_PIECE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|.)|.", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"} | {sign: sign for sign in " #\\'\"$"}

# Parameters of bind whose next word is relevant here, or is free text that could itself be `v6only`.
TAKES_TEXT = ("name", "interface", "namespace", "user", "group", "id")
# One address of a list; a comma within ${...} belongs to the variable's default.
ITEM = re.compile(r"(?:\$\{[^}]*\}|[^,])+")
PREFIX = re.compile(r"(?:(stream|dgram)\+)?([a-z]+?)([46]?)@")
PORTS = re.compile(r"0*([0-9]{1,5})(?:-0*([0-9]{1,5}))?")
UNIX = ("unix", "uxst", "uxdg", "abns", "abnsz")
INHERITED = ("fd", "sockpair", "rev", "rhttp")


def statements(path: str, text: str) -> list[dict[str, Any]]:
    """
    The lines of a file that name addresses to listen on.

    path
        The file.
    text
        Its content.

    Each has ``path``, ``line``, ``text``, ``offset``, ``keyword``, ``section``, ``conditional``, ``items`` (the
    addresses), ``end`` (of the addresses), ``flags``, ``scope``, ``single`` and ``ssl``. Raises
    ``SaltInvocationError`` for a quote that is not closed.
    """
    result = []
    section: dict[str, Any] = {"disabled": False, "line": 0, "mode": "tcp"}
    modes = {"": "tcp"}  # by the name of a section `defaults`; the last one's has none
    disabled_by_default, conditions, offset = False, 0, 0
    for number, line in enumerate(text.split("\n"), 1):
        found = words(f"{path}:{number}", line, offset) if INTERESTING.match(line) else []
        offset += len(line) + 1
        if not found:
            continue
        keyword = found[0]["text"]
        if keyword in SECTIONS:
            # `disabled` in `defaults` holds for the sections after it, up to the next `defaults`.
            disabled_by_default = disabled_by_default and keyword != "defaults"
            texts = [word["text"] for word in found]
            base = texts[texts.index("from") + 1] if "from" in texts[:-1] else ""
            mode = "tcp" if keyword == "defaults" and not base else modes.get(base, "tcp")
            name = texts[1] if len(texts) > 1 else ""
            section = {"disabled": disabled_by_default, "keyword": keyword, "line": number, "name": name, "mode": mode}
        elif keyword in ("disabled", "enabled"):
            section["disabled"] = keyword == "disabled"
            if section.get("keyword") == "defaults":
                disabled_by_default = section["disabled"]
        elif keyword == "mode" and len(found) > 1:
            section["mode"] = found[1]["text"]
        elif keyword in (".if", ".endif"):
            conditions = max(0, conditions + (1 if keyword == ".if" else -1))
        if section.get("keyword") == "defaults":
            modes[section["name"]] = modes[""] = section["mode"]
        addresses = _addresses(found)
        if addresses:
            result.append(
                {
                    "path": path,
                    "line": number,
                    "text": line,
                    "offset": offset - len(line) - 1,
                    "keyword": keyword,
                    "section": section,
                    "conditional": conditions > 0,
                    "items": _items(addresses[0], keyword == "dgram-bind"),
                    "end": addresses[0]["end"],
                    **_parameters(addresses),
                }
            )
    return result


def _addresses(words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The words of a statement from its addresses on."""
    keyword = words[0]["text"]
    if keyword in ("bind", "dgram-bind"):
        return words[1:]
    if keyword == "stats" and words[1:] and words[1]["text"] == "socket":
        return words[2:]
    # As it was written up to 1.8: `listen name address:port`.
    if keyword in ("listen", "frontend") and words[2:] and words[2]["text"] != "from":
        return words[2:]
    return []


def _parameters(words: list[dict[str, Any]]) -> dict[str, Any]:
    """
    ``flags``: where v4v6 and v6only stand; ``scope``: interface and namespace; ``single``: whether HAProxy accepts one
    address only; ``ssl``: whether TLS ends there.
    """
    flags: dict[str, tuple[int, int]] = {}
    values = {}
    value_of = ""
    ssl = False
    for word in words[1:]:
        if value_of:
            values[value_of] = word["text"]
            value_of = ""
        elif word["text"] in TAKES_TEXT:
            value_of = word["text"]
        elif word["text"] in ("v4v6", "v6only"):
            flags[word["text"]] = (word["start"], word["end"])
        elif word["text"] == "ssl":
            ssl = True
    return {
        "flags": flags,
        "scope": (values.get("interface"), values.get("namespace")),
        "single": "id" in values,
        "ssl": ssl,
    }


def _items(word: dict[str, Any], datagrams: bool) -> list[dict[str, Any]]:
    """The addresses of a list, section 11."""
    result = []
    for match in ITEM.finditer(word["text"]):
        text = match[0]
        prefix = PREFIX.match(text)
        kind, family, version = prefix.groups() if prefix else (None, "", "")
        rest = text[prefix.end() :] if prefix else text
        host, _, port = rest.rpartition(":")
        transport = "udp" if datagrams or kind == "dgram" or family in ("udp", "quic") else "tcp"
        if rest.startswith("/") or family in UNIX:
            transport = "unix"
        result.append(
            {
                "text": text,
                "spots": word["spots"][match.start() : match.end()],
                "prefix": prefix[0] if prefix else "",
                "family": family,
                "transport": transport,
                "address": _address(host, version == "6"),
                "ports": [] if family in INHERITED else _ports(port),
            }
        )
    return result


def _address(host: str, v6: bool) -> str:
    if host in ("", "*"):
        return "::" if v6 else "0.0.0.0"
    if host == "0":
        return "0.0.0.0"
    bare = host.strip("[]")
    return service_addresses.canonical(bare) if service_addresses.version(bare) else host


def _ports(text: str) -> list[int]:
    match = PORTS.fullmatch(text)
    if not match:
        return []
    first = int(match[1])
    last = int(match[2] or first)
    return list(range(first, last + 1)) if 0 < first <= last <= 65535 else []


def words(place: str, line: str, offset: int) -> list[dict[str, Any]]:
    """
    The words of a line, section 2.2: ``text`` without quotes, ``start`` and ``end`` in the file, and in ``spots`` where
    every sign of the text stands.

    place
        The line's, for errors.
    line
        Its text.
    offset
        Where it begins in the file.

    Raises ``SaltInvocationError`` for a quote that is not closed.
    """
    result: list[dict[str, Any]] = []
    inside = False
    for piece in PIECE.finditer(line):
        kind = str(piece.lastgroup)
        if kind == "comment":
            break
        if kind == "space":
            inside = False
            continue
        if kind == "sign" and piece[0] in "'\"":
            raise SaltInvocationError(f"{place}:{piece.start() + 1}: a quote {piece[0]} that is not closed")
        if not inside:
            result.append({"text": "", "start": offset + piece.start(), "spots": []})
            inside = True
        signs = [piece[0]] if kind in ("sign", "escape") else list(piece[kind])
        if kind == "weak":
            signs = WEAK_PIECE.findall(piece[kind])
        spot = offset + piece.start(kind)
        for sign in signs:
            text = sign if kind == "strong" else _unescaped(sign)
            result[-1]["text"] += text
            result[-1]["spots"] += [spot] * len(text)
            spot += len(sign)
        result[-1]["end"] = offset + piece.end()
    return result


def _unescaped(sign: str) -> str:
    if len(sign) == 1:
        return sign
    if sign[1] == "x" and len(sign) == 4:
        return chr(int(sign[2:], 16))
    # A backslash before any other sign stands for itself.
    return ESCAPES.get(sign[1], sign)
