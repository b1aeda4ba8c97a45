"""
The listeners in the configuration of HAProxy, its sections 2, 4.2 and 11. It knows no host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* Measured with 2.6: ``*:80``, ``:80`` and ``0.0.0.0:80`` are IPv4 only. ``:::80``, ``[::]:80`` and ``ipv6@:80`` follow
  ``net.ipv6.bindv6only``, unless ``v4v6`` or ``v6only`` stands behind the addresses; ``v6only`` beats ``v4v6``, and
  neither touches the IPv4 addresses of the same line. So ``*:80,:::80 v6only`` is the same whatever the sysctl says.
* A dual socket shows IPv4 clients as ``::ffff:192.0.2.1`` in logs, ``X-Forwarded-For`` and ``%[src]``; two sockets do
  not.
* HAProxy sets ``SO_REUSEPORT``: ``*:80`` and a dual ``:::80`` start side by side, so an overlap shows in no error. With
  ``noreuseport`` it does not start.
* ``v4v6`` and ``v6only`` work the same for ``dgram-bind`` and in ``log-forward``.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from salt.exceptions import SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

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

# Parameters of bind whose next word matters here, or is free text and could itself be `v6only`.
TAKES_TEXT = ("name", "interface", "namespace", "user", "group", "id")
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

    Returns ``files``, ``processes``, ``units``, ``init``, ``options`` (none), ``check`` and ``protocols``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_haproxy.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/haproxy *"],
        "units": ["haproxy.service"],
        "init": "haproxy",
        "options": {},
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

    A wildcard without its twin of the other family gets it as an address of its own, ``*:80,:::80 v6only``, so that
    IPv4 clients keep the addresses they are known by; a ``::`` beside a ``*`` gets ``v6only``. A ``:::80 v4v6`` that
    has the port for itself serves both and is left alone.

    Returns ``files`` (those that change), ``bindv6only`` (what the result demands: nothing) and ``notes``. Raises
    ``SaltInvocationError`` where a line cannot take a second address or ``v6only``.

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
    for statement in statements:
        statement["dual"] = _serves_both(statement, covered)
    # What another line says about the same port has to leave IPv4 to these.
    covered |= {
        ("0.0.0.0", *socket)
        for statement in statements
        if statement["dual"]
        for item in _wildcards(statement)
        for socket in _sockets(statement, item)
    }
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes = []
    for statement in statements:
        if statement["dual"]:
            notes.append(
                f"{_place(statement)}: v4v6 serves both families already: left alone; "
                "logs and X-Forwarded-For show its IPv4 clients as ::ffff:192.0.2.1"
            )
        else:
            edits.setdefault(statement["path"], []).extend(_edits(statement, covered))
        for item in statement["items"]:
            if _reason(statement, item):
                notes.append(f"{_place(statement)}: {item['text']}: {_reason(statement, item)}")
    notes += [note for path, file in files.items() for note in _source_hints(path, file["text"])]
    return {
        "files": {
            path: __salt__["text_edits.spliced"](files[path]["text"], found) for path, found in edits.items() if found
        },
        "bindv6only": None,
        "notes": notes,
    }


def _serves_both(statement: dict[str, Any], covered: set[tuple]) -> bool:
    """Whether ``v4v6`` is in force, meets no IPv4 address of the same port, and no address of the line lacks a twin."""
    wildcards = _wildcards(statement)
    return any(_v6only(statement, item) is False for item in wildcards) and all(
        # For ``::`` there is to be no twin, for ``*`` there has to be one.
        ((_other(item), *socket) in covered) == (item["address"] == "0.0.0.0")
        for item in wildcards
        for socket in _sockets(statement, item)
    )


def _edits(statement: dict[str, Any], covered: set[tuple]) -> list[tuple[int, int, str]]:
    """The changes to one line, as spans of the file and what replaces them."""
    result = []
    for item in _wildcards(statement):
        shared = [(_other(item), *socket) in covered for socket in _sockets(statement, item)]
        if any(shared) and not all(shared):
            raise SaltInvocationError(
                f"{_place(statement, item)}: another line has some of the ports of `{item['text']}` "
                "in the other family; write a line of its own for those"
            )
        if not any(shared):
            result.append(_twin(statement, item))
    if result and statement["single"]:
        raise SaltInvocationError(
            f"{_place(statement)}: `id` allows one address only; take it away, or write `:::PORT v4v6` for the address"
        )
    # Behind the twins: what is inserted at the same place keeps this order.
    if result or any(item["address"] == "::" for item in _wildcards(statement)):
        result += _v6only_edits(statement)
    if result and statement["keyword"] not in ("bind", "dgram-bind"):
        raise SaltInvocationError(
            f"{_place(statement)}: an address on a `{statement['keyword']}` line has no place for v6only; "
            "move it to a `bind` line of its own"
        )
    return result


def _twin(statement: dict[str, Any], item: dict[str, Any]) -> tuple[int, int, str]:
    """The same port of the other family, behind a wildcard and within its quotes."""
    port = item["text"].rpartition(":")[2]
    last = item["spots"][-1]
    # Behind the first sign of an escape is the middle of it.
    if statement["text"][last - statement["offset"]] != port[-1]:
        raise SaltInvocationError(f"{_place(statement, item)}: write the port of `{item['text']}` without escapes")
    if item["address"] == "0.0.0.0":
        return last + 1, last + 1, f",{item['prefix'].replace('4@', '6@')}:::{port}"
    return last + 1, last + 1, f",{item['prefix'].replace('6@', '4@')}*:{port}"


def _v6only_edits(statement: dict[str, Any]) -> list[tuple[int, int, str]]:
    """The changes that bring ``v6only`` into force, for the whole line."""
    flags = statement["flags"]
    if "v6only" in flags:
        return []
    for item in statement["items"]:
        if _reason(statement, item) and _heeds_v6only(item):
            raise SaltInvocationError(
                f"{_place(statement, item)}: the line needs v6only, which could take IPv4 from `{item['text']}`; "
                "write a line of its own for that"
            )
    if "v4v6" in flags:
        return [(*flags["v4v6"], "v6only")]
    return [(statement["end"], statement["end"], " v6only")]


def _heeds_v6only(item: dict[str, Any]) -> bool:
    """Whether ``v6only`` could change what an address serves that is left alone."""
    if item["transport"] == "unix" or item["family"] in INHERITED:
        return False
    host, colon, _ = item["text"].rpartition(":")
    # Of a variable nobody knows, unless it is only the port.
    if "$" in item["text"] and ("$" in host or not colon):
        return True
    return item["address"] == "::" or _is_mapped(item["address"])


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


def _other(item: dict[str, Any]) -> str:
    """The wildcard of the other family."""
    return "::" if item["address"] == "0.0.0.0" else "0.0.0.0"


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
    if _is_mapped(item["address"]):
        return "an IPv4 address in the form of IPv6: serves IPv4 only, left alone"
    try:
        address = ipaddress.ip_address(item["address"])
    except ValueError:
        return "a host name: left alone"
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
    """
    ``flags``: where v4v6 and v6only stand; ``scope``: interface and namespace; ``single``: whether HAProxy accepts one
    address only.
    """
    flags: dict[str, tuple[int, int]] = {}
    values = {}
    value_of = ""
    for word in words[1:]:
        if value_of:
            values[value_of] = word["text"]
            value_of = ""
        elif word["text"] in TAKES_TEXT:
            value_of = word["text"]
        elif word["text"] in ("v4v6", "v6only"):
            flags[word["text"]] = (word["start"], word["end"])
    return {"flags": flags, "scope": (values.get("interface"), values.get("namespace")), "single": "id" in values}


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


def _is_mapped(address: str) -> bool:
    try:
        return ipaddress.IPv6Address(address).ipv4_mapped is not None
    except ValueError:
        return False


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
