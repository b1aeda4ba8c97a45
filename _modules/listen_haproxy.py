"""
The listeners in the configuration of HAProxy, its sections 2, 4.2 and 11. PURE: knows no host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* Measured with 2.6: ``*:80``, ``:80`` and ``0.0.0.0:80`` are IPv4 only. ``:::80``, ``[::]:80`` and ``ipv6@:80`` follow
  ``net.ipv6.bindv6only``, unless ``v4v6`` or ``v6only`` stands behind the addresses; ``v6only`` beats ``v4v6``, and
  neither touches the IPv4 addresses of the same line.
* HAProxy sets ``SO_REUSEPORT``: ``*:80`` and a dual ``:::80`` start side by side, so an overlap shows in no error. With
  ``noreuseport`` it does not start.
* ``v4v6`` and ``v6only`` work the same for ``dgram-bind`` and in ``log-forward``.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from salt.exceptions import SaltInvocationError

__virtualname__ = "listen_haproxy"

MAIN = "/etc/haproxy/haproxy.cfg"

SECTIONS = (
    "global defaults frontend backend listen peers mailers resolvers userlist http-errors cache program ring "
    "log-forward fcgi-app crt-store log-profile traces acme"
).split()
KEYWORDS = ("bind", "dgram-bind", "stats", "disabled", "enabled", ".if", ".endif", *SECTIONS)
# Only lines that begin with one of these are cut into words: the others may hold anything.
INTERESTING = re.compile(rf"[ \t\r\v\f]*(?:{'|'.join(map(re.escape, KEYWORDS))})(?=[ \t\r\v\f#]|$)")

# The pieces of a line, section 2.2. What is `sign` and a quote has no partner.
PIECE = re.compile(
    r"""(?P<space>[ \t\r\v\f]+)|(?P<comment>\#.*)|'(?P<strong>[^']*)'|"(?P<weak>(?:\\.|[^"\\])*)"|"""
    r"""(?P<escape>\\(?:x[0-9A-Fa-f]{2}|.))|(?P<sign>.)""",
    re.DOTALL,
)
WEAK_PIECE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|.)|.", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"} | {sign: sign for sign in " #\\'\"$"}

# Parameters of bind whose next word is free text, and could itself be `v6only`.
TAKES_TEXT = ("name", "interface", "namespace", "user", "group")
# One address of a list; a comma within ${...} belongs to the variable's default.
ITEM = re.compile(r"(?:\$\{[^}]*\}|[^,])+")
PREFIX = re.compile(r"(?:(stream|dgram)\+)?([a-z]+?)([46]?)@")
PORTS = re.compile(r"0*([0-9]{1,5})(?:-0*([0-9]{1,5}))?")
UNIX = ("unix", "uxst", "uxdg", "abns", "abnsz")
INHERITED = ("fd", "sockpair", "rev", "rhttp")
WILDCARDS = ("0.0.0.0", "::")


def about() -> dict[str, Any]:
    """
    What is known of the service.

    Returns ``files``, ``processes``, ``units``, ``init``, ``check`` and ``protocols``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_haproxy.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/haproxy *"],
        "units": ["haproxy.service"],
        "init": "haproxy",
        "check": ["haproxy", "-c", "-q", "-f", MAIN],
        "protocols": {80: "http", 443: "https"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The include statements of a file: HAProxy has none.

    path
        The file's own path.
    text
        Its content.

    Returns an empty list.

    CLI Example:

    .. code-block:: bash

        salt-call listen_haproxy.includes /etc/haproxy/haproxy.cfg ''
    """
    return []


def errors(options: dict[str, Any]) -> list[str]:
    """
    What is wrong with this service's own keys in the pillar. It has none.

    options
        The keys.

    Returns a list of sentences.

    CLI Example:

    .. code-block:: bash

        salt-call listen_haproxy.errors '{}'
    """
    return [f"{key}: unknown key; haproxy has no keys of its own" for key in options]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    What the configuration says, in textual order.

    files
        The text of every file that the service reads, by path.

    Returns a list of dictionaries with ``port``, ``transport``, ``address``, ``v6only``, ``file``, ``line`` and
    ``note``; a range of ports gives one for every port. Raises ``SaltInvocationError`` for a quote that is not closed.

    CLI Example:

    .. code-block:: bash

        salt-call listen_haproxy.listeners '{/etc/haproxy/haproxy.cfg: {text: "", includes: []}}'
    """
    return [
        {
            "port": port,
            "transport": item["transport"],
            "address": item["address"],
            "v6only": _v6only(statement, item),
            "file": statement["path"],
            "line": statement["line"],
            "note": _reason(statement, item) or ("inside .if: taken as in force" if statement["conditional"] else ""),
        }
        for statement in _all_statements(files)
        for item in statement["items"]
        if item["transport"] != "unix"
        for port in item["ports"] or [None]
    ]


def dual_stack(files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """
    The same configuration, listening on both families.

    files
        The text of every file that the service reads, by path.
    options
        This service's own keys of the pillar: none.
    bindv6only
        The value of ``net.ipv6.bindv6only`` when the service starts. The result is the same for both: every wildcard
        says itself what it is.

    A port that only ``*`` or only ``::`` has gets one socket for both families, ``:::80 v4v6``; a ``::`` beside a ``*``
    gets ``v6only``.

    Returns ``files`` (those that change), ``bindv6only`` (what the result demands: nothing) and ``notes``. Raises
    ``SaltInvocationError`` where a line would have to say both, ``v4v6`` and ``v6only``, or can say neither.

    CLI Example:

    .. code-block:: bash

        salt-call listen_haproxy.dual_stack '{/etc/haproxy/haproxy.cfg: {text: "", includes: []}}' '{}'
    """
    statements = _all_statements(files)
    covered = {
        (item["address"], *socket)
        for statement in statements
        for item in _wildcards(statement)
        for socket in _sockets(statement, item)
    }
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes = []
    for statement in statements:
        found = _edits(statement, covered)
        if found:
            edits.setdefault(statement["path"], []).extend(found)
            if any(words.strip() == "v4v6" for _, _, words in found):
                notes.append(
                    f"{_place(statement)}: logs and X-Forwarded-For show IPv4 clients of this line as ::ffff:192.0.2.1"
                )
        for item in statement["items"]:
            if _reason(statement, item):
                notes.append(f"{_place(statement)}: {item['text']}: {_reason(statement, item)}")
    notes += [note for path, file in files.items() for note in _source_hints(path, file["text"])]
    return {
        "files": {path: _edited(files[path]["text"], found) for path, found in edits.items()},
        "bindv6only": None,
        "notes": notes,
    }


def _edits(statement: dict[str, Any], covered: set[tuple]) -> list[tuple[int, int, str]]:
    """The changes to one line, as spans of the file and what replaces them."""
    result = []
    wanted = {}
    for item in _wildcards(statement):
        other = "::" if item["address"] == "0.0.0.0" else "0.0.0.0"
        shared = [(other, *socket) in covered for socket in _sockets(statement, item)]
        if any(shared) and not all(shared):
            raise SaltInvocationError(
                f"{_place(statement, item)}: another line has some of the ports of `{item['text']}` "
                "in the other family; write a line of its own for those"
            )
        if item["address"] == "0.0.0.0" and not all(shared):
            result.append(_to_v6(statement, item))
        if item["address"] == "::" or not all(shared):
            wanted["v6only" if all(shared) else "v4v6"] = item
    if len(wanted) > 1:
        raise SaltInvocationError(
            f"{_place(statement)}: `{wanted['v4v6']['text']}` needs v4v6 and `{wanted['v6only']['text']}` needs "
            "v6only, which hold for a whole line; write two lines"
        )
    for word in wanted:
        result += _flag(statement, word)
    if result and statement["keyword"] not in ("bind", "dgram-bind"):
        raise SaltInvocationError(
            f"{_place(statement)}: an address on a `{statement['keyword']}` line has no place for v4v6 and v6only; "
            "move it to a `bind` line of its own"
        )
    return result


def _to_v6(statement: dict[str, Any], item: dict[str, Any]) -> tuple[int, int, str]:
    """The change of one IPv4 wildcard to ``::``, which keeps its port."""
    address = item["text"].rpartition(":")[0]
    first = item["spots"][0]
    last = item["spots"][len(address) - 1] + 1 if address else first
    # Quotes or escapes inside of it would be lost, or half of them.
    if statement["text"][first - statement["offset"] : last - statement["offset"]] != address:
        raise SaltInvocationError(
            f"{_place(statement, item)}: write the address `{item['text']}` without quotes and escapes inside"
        )
    return first, last, item["prefix"].replace("4@", "6@") + "::"


def _flag(statement: dict[str, Any], word: str) -> list[tuple[int, int, str]]:
    """The changes that make ``v4v6`` or ``v6only`` the one that is in force."""
    flags = statement["flags"]
    unwanted = flags.get("v6only") if word == "v4v6" else flags.get("v4v6")
    if word in flags:
        # A v4v6 that v6only overrides does no harm; a v6only has to go, with the white space before it.
        return [(unwanted[0], unwanted[2], "")] if unwanted and word == "v4v6" else []
    if unwanted:
        return [(unwanted[1], unwanted[2], word)]
    return [(statement["end"], statement["end"], f" {word}")]


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    pieces, done = [], 0
    for start, end, words in sorted(edits):
        pieces += [text[done:start], words]
        done = end
    return "".join([*pieces, text[done:]])


def _source_hints(path: str, text: str) -> list[str]:
    """Conditions on the client's address that know this host as 127.0.0.0/8 only."""
    return [
        f"{path}:{number}: `src` knows this host as 127.0.0.0/8 only; over IPv6 it is ::1"
        for number, line in enumerate(text.split("\n"), 1)
        if re.search(r"\bsrc\b[^#]*\s127\.", line) and "::1" not in line and not line.lstrip().startswith("#")
    ]


def _place(statement: dict[str, Any], item: dict[str, Any] | None = None) -> str:
    place = f"{statement['path']}:{statement['line']}"
    return f"{place}:{item['spots'][0] - statement['offset'] + 1}" if item else place


def _v6only(statement: dict[str, Any], item: dict[str, Any]) -> bool | None:
    if ":" not in item["address"]:
        return None
    return True if "v6only" in statement["flags"] else False if "v4v6" in statement["flags"] else None


def _wildcards(statement: dict[str, Any]) -> list[dict[str, Any]]:
    """The addresses of a statement that are to serve both families."""
    return [item for item in statement["items"] if not _reason(statement, item)]


def _sockets(statement: dict[str, Any], item: dict[str, Any]) -> list[tuple]:
    """What makes two sockets the same but for the family: bound to different interfaces they do not meet."""
    return [(item["transport"], port, *statement["scope"]) for port in item["ports"]]


def _reason(statement: dict[str, Any], item: dict[str, Any]) -> str:
    """Why an address is left alone; empty for a wildcard that is not."""
    if item["transport"] == "unix":
        return "a Unix socket: left alone"
    if item["family"] in INHERITED:
        return "a socket that is inherited: cannot decide"
    if "$" in item["text"]:
        return "a variable: cannot decide"
    if not item["ports"]:
        return "no port that HAProxy knows: left alone"
    if statement["section"]["disabled"]:
        return "a disabled section: nothing listens"
    if statement["keyword"] == "stats":
        return "the administrator's socket: left alone"
    if item["family"].startswith("quic"):
        return "QUIC: left alone"
    if item["address"] in WILDCARDS:
        return ""
    try:
        address = ipaddress.ip_address(item["address"])
    except ValueError:
        return "a host name: left alone"
    if getattr(address, "ipv4_mapped", None):
        return "an IPv4 address in the form of IPv6: serves IPv4 only, left alone"
    return "loopback: left alone" if address.is_loopback else "one address: left alone"


def _all_statements(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [statement for path, file in files.items() for statement in _statements(path, file["text"])]


def _statements(path: str, text: str) -> list[dict[str, Any]]:
    """The lines of a file that name addresses to listen on."""
    result = []
    section: dict[str, Any] = {"disabled": False}
    disabled_by_default, conditions, offset = False, 0, 0
    for number, line in enumerate(text.split("\n"), 1):
        words = _words(f"{path}:{number}", line, offset) if INTERESTING.match(line) else []
        offset += len(line) + 1
        if not words:
            continue
        keyword = words[0]["text"]
        if keyword in SECTIONS:
            # `disabled` in `defaults` holds for the sections after it, up to the next `defaults`.
            disabled_by_default = disabled_by_default and keyword != "defaults"
            section = {"disabled": disabled_by_default, "keyword": keyword}
        elif keyword in ("disabled", "enabled"):
            section["disabled"] = keyword == "disabled"
            if section.get("keyword") == "defaults":
                disabled_by_default = section["disabled"]
        elif keyword in (".if", ".endif"):
            conditions = max(0, conditions + (1 if keyword == ".if" else -1))
        addresses = _addresses(words)
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
    """``flags``: where v4v6 and v6only stand, with the end of the word before; ``scope``: interface and namespace."""
    flags: dict[str, tuple[int, int, int]] = {}
    scope = {}
    value_of = ""
    for before, word in zip(words, words[1:]):
        if value_of:
            scope[value_of] = word["text"]
            value_of = ""
        elif word["text"] in TAKES_TEXT:
            value_of = word["text"]
        elif word["text"] in ("v4v6", "v6only"):
            flags[word["text"]] = (before["end"], word["start"], word["end"])
    return {"flags": flags, "scope": (scope.get("interface"), scope.get("namespace"))}


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
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return host


def _ports(text: str) -> list[int]:
    match = PORTS.fullmatch(text)
    if not match:
        return []
    first = int(match[1])
    last = int(match[2] or first)
    return list(range(first, last + 1)) if 0 < first <= last <= 65535 else []


def _words(place: str, line: str, offset: int) -> list[dict[str, Any]]:
    """
    The words of a line, section 2.2: ``text`` without quotes, ``start`` and ``end`` in the file, and in ``spots`` where
    every sign of the text stands.
    """
    words: list[dict[str, Any]] = []
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
            words.append({"text": "", "start": offset + piece.start(), "spots": []})
            inside = True
        signs = [piece[0]] if kind in ("sign", "escape") else list(piece[kind])
        if kind == "weak":
            signs = WEAK_PIECE.findall(piece[kind])
        spot = offset + piece.start(kind)
        for sign in signs:
            text = sign if kind == "strong" else _unescaped(sign)
            words[-1]["text"] += text
            words[-1]["spots"] += [spot] * len(text)
            spot += len(sign)
        words[-1]["end"] = offset + piece.end()
    return words


def _unescaped(sign: str) -> str:
    if len(sign) == 1:
        return sign
    if sign[1] == "x" and len(sign) == 4:
        return chr(int(sign[2:], 16))
    # A backslash before any other sign stands for itself.
    return ESCAPES.get(sign[1], sign)
