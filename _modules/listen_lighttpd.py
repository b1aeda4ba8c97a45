"""
The listeners in the configuration of lighttpd. It knows no host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* Measured with 1.4.69: without ``server.bind`` it listens on 0.0.0.0 only. ``[::]`` is IPv6 only, since lighttpd sets
  ``IPV6_V6ONLY`` itself; ``server.set-v6only = "disable"`` leaves that to the kernel, for all sockets, wherever it
  stands. Beside an IPv4 socket such a ``[::]`` does not start with ``net.ipv6.bindv6only=0``.
* ``server.use-ipv6 = "enable"`` *moves* every socket without an address to ``[::]``.
* A socket is opened for every ``$SERVER["socket"] == "..."``, even within other conditions. Sockets that are the same
  are opened once.
* Debian's ``use-ipv6.pl`` prints such a block for ``[::]``.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from salt.exceptions import SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "listen_lighttpd"

MAIN = "/etc/lighttpd/lighttpd.conf"
FOLDER = "/etc/lighttpd"  # relative includes start here, whichever file they stand in

TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+)|(?P<comment>\#[^\n]*)|"(?P<string>(?:\\"|\\(?!")|[^"\\])*)"|"""
    r"""(?P<name>[A-Za-z][A-Za-z0-9._-]*)|(?P<number>[0-9]+)|(?P<variable>\$[A-Za-z]+)|"""
    r"""(?P<operator>==|!=|=~|!~|=\^|=\$|\+=|:=|=>|.)""",
    re.DOTALL,
)
ASSIGNMENTS = ("=", "+=", ":=")
ELSE = ("else", "elseif", "elsif", "elif")
CLOSING = {"(": ")", "[": "]", "{": "}"}
# Files that include each other without end, and a limit to what a tree of includes may grow to.
DEPTH, VISITS = 32, 10000
# A variable that is appended to itself again and again.
LONGEST = 4096

USE_IPV6 = re.compile(r"(?:\S*/)?use-ipv6\.pl(?:\s+([0-9]{1,5}))?\s*")
CONF_ENABLED = re.compile(r"(?:\S*/)?include-conf-enabled\.pl\s*")
HARMLESS = re.compile(r"(?:\S*/)?create-mime\.(?:conf|assign)\.pl\s*")
SECURE = '\n\tssl.engine = "enable"\n'
OFF = ("disable", "false", "0", 0)
WILDCARDS = ("0.0.0.0", "::")


class Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int
    place: str  # path:line:column


END = Token("end", "", 0, 0, "")


def about() -> dict[str, Any]:
    """
    What is known of the service.

    Returns ``files``, ``processes``, ``units``, ``init``, ``options`` (none), ``check`` and ``protocols``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_lighttpd.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/lighttpd *"],
        "units": ["lighttpd.service"],
        "init": "lighttpd",
        "options": {},
        "check": ["lighttpd", "-tt", "-f", MAIN],
        "protocols": {80: "http", 443: "https"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path.
    text
        Its content.

    Returns absolute shell patterns in textual order. A pattern that needs a variable of another file is left out.
    Raises ``SaltInvocationError`` where the text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_lighttpd.includes /etc/lighttpd/lighttpd.conf 'include "conf-enabled/*.conf"'
    """
    return [pattern for _, pattern in _with_patterns(path, text) if pattern]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    What the configuration says, in textual order.

    files
        The text of every file that the service reads, with its includes, by path.

    Returns a list of dictionaries with ``port``, ``transport``, ``address``, ``v6only``, ``file``, ``line`` and
    ``note``. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_lighttpd.listeners '{/etc/lighttpd/lighttpd.conf: {text: "", includes: []}}'
    """
    return [
        {
            "port": socket["port"],
            "transport": "tcp",
            "address": socket["address"],
            "v6only": socket["v6only"],
            "file": socket["path"],
            "line": socket["line"],
            "note": _reason(socket),
        }
        for socket in _sockets(_read(files))
        if not socket["unix"]
    ]


def dual_stack(files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """
    The same configuration, listening on both families.

    files
        The text of every file that the service reads, with its includes, by path.
    options
        This service's own keys of the pillar: none.
    bindv6only
        The value of ``net.ipv6.bindv6only`` when the service starts.

    A port that one family lacks gets a ``$SERVER["socket"]`` at the end of the main file, with a copy of what the
    other family's blocks hold. ``server.set-v6only = "disable"`` is turned where the sockets would not start, or
    would leave out IPv4.

    Returns ``files`` (those that change), ``bindv6only`` (what the result demands) and ``notes``. Raises
    ``SaltInvocationError`` where a text cannot be read, and where a socket for the whole family would collide with
    one on a single address.

    CLI Example:

    .. code-block:: bash

        salt-call listen_lighttpd.dual_stack '{/etc/lighttpd/lighttpd.conf: {text: "", includes: []}}' '{}'
    """
    state = _read(files)
    ports = _by_port(_sockets(state))
    changed = {}
    left = [own for own in ports.values() if _left_to_the_kernel(own)]
    # A new socket would be left to the kernel, too.
    if any(bindv6only == _fails_with(own) for own in left) or any(_missing(own) for own in ports.values()):
        changed = _with_v6only(files, state)
        state = _read({path: {**file, "text": changed.get(path, file["text"])} for path, file in files.items()})
        ports = _by_port(_sockets(state))
        left = []
    blocks = [_block(port, own, address, state) for port, own in ports.items() for address in _missing(own)]
    if blocks:
        text = state["files"][state["main"]]["text"]
        end = "\r\n" if "\r\n" in text else "\n"
        before = "" if not text or text.endswith("\n") else end
        changed[state["main"]] = text + before + "".join(f"{block}{end}" for block in blocks)
    notes = [
        f"{socket['path']}:{socket['line']}: {socket['written']}: {_reason(socket)}"
        for socket in _sockets(state)
        if _reason(socket)
    ]
    return {"files": changed, "bindv6only": bindv6only if left else None, "notes": notes + state["notes"]}


def _missing(own: list[dict[str, Any]]) -> list[str]:
    """The wildcards that a port lacks, if it has one at all."""
    present = {each["address"] for each in own} & set(WILDCARDS)
    if not present or _left_to_the_kernel(own):
        return []
    return [address for address in WILDCARDS if address not in present]


def _left_to_the_kernel(own: list[dict[str, Any]]) -> bool:
    return any(each["address"] == "::" and each["v6only"] is None for each in own)


def _fails_with(own: list[dict[str, Any]]) -> int:
    """The ``net.ipv6.bindv6only`` with which a ``[::]`` without a will of its own collides, or misses IPv4."""
    return 0 if any(each["address"] == "0.0.0.0" for each in own) else 1


def _by_port(sockets: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    ports: dict[int, list[dict[str, Any]]] = {}
    for socket in sockets:
        if socket["port"] and socket["address"] and not socket["unix"]:
            ports.setdefault(socket["port"], []).append(socket)
    return ports


def _with_v6only(files: dict[str, dict[str, Any]], state: dict[str, Any]) -> dict[str, str]:
    """The files in which every ``server.set-v6only`` is on."""
    edits: dict[str, set[tuple[int, int, str]]] = {}
    for setting in state["set_v6only"]:
        if setting["value"] in OFF:
            term = (setting["expression"] or [END])[0]
            if len(setting["expression"] or []) != 1 or term.kind not in ("string", "number"):
                raise SaltInvocationError(
                    f"{setting['place']}: write server.set-v6only = \"enable\", without variables"
                )
            edits.setdefault(setting["path"], set()).add((term.start, term.end, '"enable"'))
    return {path: __salt__["text_edits.spliced"](files[path]["text"], each) for path, each in edits.items()}


def _block(port: int, own: list[dict[str, Any]], address: str, state: dict[str, Any]) -> str:
    """A block for a wildcard, which has what the blocks of the other family have."""
    version = ipaddress.ip_address(address).version
    model = [each for each in own if each["address"] in WILDCARDS]
    for each in own:
        if _version(each["address"]) in (version, None):
            raise SaltInvocationError(
                f"{each['path']}:{each['line']}: a socket on {address} port {port} would collide with "
                f"`{each['written']}`; remove that one, or give each family its addresses by hand"
            )
    bodies = []
    for each in model:
        if each["block"] and (each["block"]["chained"] or each["block"]["nested"]):
            raise SaltInvocationError(
                f"{each['path']}:{each['line']}: `{each['written']}` is part of another condition; "
                f"write the block for {_name(address)}:{port} by hand"
            )
        bodies += [_body(each, state)] if each["block"] else []
    body = "".join(body for body in bodies if body.strip())
    if not bodies and state["settings"].get("ssl.engine", {}).get("value") not in (None, *OFF):
        # Of what is set for the whole server, this alone is not passed on to sockets.
        body = SECURE
    return f'$SERVER["socket"] == "{_name(address)}:{port}" {{{body or " "}}}'


def _body(socket: dict[str, Any], state: dict[str, Any]) -> str:
    """What stands between the braces of a block, or what a script prints there."""
    block = socket["block"]
    text: str = (
        block["text"] if "text" in block else state["files"][socket["path"]]["text"][block["start"] : block["end"]]
    )
    return text


def _name(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _version(address: str) -> int | None:
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return None  # a host name, of whichever family


def _reason(socket: dict[str, Any]) -> str:
    """Why a socket is left alone; empty for a wildcard."""
    if socket["unix"]:
        return "a Unix socket: left alone"
    if not socket["address"] or not socket["port"]:
        return "not plain text: cannot decide"
    if socket["address"] in WILDCARDS:
        return ""
    try:
        loopback = ipaddress.ip_address(socket["address"]).is_loopback
    except ValueError:
        return "a host name: left alone"
    return "loopback: left alone" if loopback else "one address: left alone"


def _sockets(state: dict[str, Any]) -> list[dict[str, Any]]:
    """The sockets that lighttpd opens, in textual order; those of the same block text are one each."""
    if not state["main"]:
        return []
    settings = state["settings"]
    default = _default_port(settings)
    bind = settings.get("server.bind")
    first = bind or settings.get("server.port") or {"path": state["main"], "line": 0, "order": -1}
    result = []
    for each in [{**first, "socket": bind["value"] if bind else "", "settings": {}, "block": None}, *state["blocks"]]:
        written = each["socket"]
        own = {**settings, **each["settings"]}
        v6 = own.get("server.use-ipv6", {}).get("value", "disable") not in OFF
        address, port = ("", None) if written is None else _address(str(written), v6, default)
        v6only = own.get("server.set-v6only", {}).get("value", "enable") not in OFF or None
        result.append(
            {
                "order": each["order"],
                "path": each["path"],
                "line": each["line"],
                "written": written or f"server.port = {port}",
                "unix": str(written).startswith(("/", "unix:")),
                "address": address,
                "port": port,
                "v6only": v6only if ":" in address else None,
                "block": each["block"],
            }
        )
    return sorted(result, key=lambda each: each["order"])


def _default_port(settings: dict[str, dict[str, Any]]) -> int | None:
    encrypted = settings.get("ssl.engine", {}).get("value", "disable") not in OFF
    if "server.port" not in settings:
        return 443 if encrypted else 80
    value = settings["server.port"]["value"]
    if not re.fullmatch("[0-9]{1,9}", str(value)):
        return None
    port = int(value)
    return (port or (443 if encrypted else 80)) if port < 65536 else None


def _address(written: str, v6: bool, default: int | None) -> tuple[str, int | None]:
    """What the kernel will see: ``[::]:80``, ``:80``, ``*:80``, ``host``."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{1,9}))?", written)
    if not match:
        return written, None
    host = match[1].strip("[]")
    port = default if match[2] is None else int(match[2])
    port = port if port and port < 65536 else None
    if host in ("", "*"):
        return ("::" if v6 else "0.0.0.0"), port
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        return host, port


def _read(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The configuration as a whole: the ``settings`` of the server, and the ``blocks`` for sockets."""
    main = next(iter(files), "")
    state: dict[str, Any] = {
        "main": main,
        "files": files,
        "settings": {},
        "variables": {},
        "events": {},
        "blocks": [],
        "set_v6only": [],
        "notes": [],
        "visits": 0,
        "order": 0,
    }
    if main:
        _walk(main, files, state, [], {"kind": "server", "settings": state["settings"]})
    return state


def _walk(
    path: str, files: dict[str, dict[str, Any]], state: dict[str, Any], above: list[str], scope: dict[str, Any]
) -> None:
    """One file, in the scope of the block in which its include stands."""
    state["visits"] += 1
    if path in above or len(above) > DEPTH or state["visits"] > VISITS:
        raise SaltInvocationError(f"{path}: includes that do not come to an end")
    if path not in state["events"]:
        state["events"][path] = _with_patterns(path, files[path]["text"])
    included = iter(files[path]["includes"])
    scopes = [scope]
    for event, pattern in state["events"][path]:
        state["order"] += 1
        if event["kind"] == "assignment":
            _assign(event, path, state, scopes[-1])
        elif event["kind"] == "open":
            scopes.append(_scope(event, path, state, scopes))
        elif event["kind"] == "close":
            scopes.pop()
        elif pattern:
            for each in next(included, []):
                if each in files:
                    _walk(each, files, state, [*above, path], scopes[-1])
        else:
            _include_unread(event, path, state)


def _include_unread(event: dict[str, Any], path: str, state: dict[str, Any]) -> None:
    """An include whose text nobody has: what a known script prints, or a note."""
    value = _value(event["expression"], state["variables"])
    place = {"path": path, "line": event["line"], "order": state["order"]}
    script = USE_IPV6.fullmatch(value) if event["name"] == "include_shell" and isinstance(value, str) else None
    if script:
        port = int(script[1] or 0)
        port = port if 0 < port < 65536 else 80
        block = {"text": SECURE if port == 443 else "", "chained": False, "nested": False}
        state["blocks"].append({**place, "socket": f"[::]:{port}", "settings": {}, "block": block})
    elif not (isinstance(value, str) and HARMLESS.fullmatch(value)):
        what = "a variable of another file" if value is None else f"`{value}`"
        state["notes"].append(f"{path}:{event['line']}: {event['name']}: what {what} adds cannot be known")


def _assign(event: dict[str, Any], path: str, state: dict[str, Any], scope: dict[str, Any]) -> None:
    value = _assigned(event, state["variables"])
    setting = {
        "value": value,
        "expression": event["expression"],
        "path": path,
        "line": event["line"],
        "place": event["place"],
        "order": state["order"],
    }
    if event["name"] == "server.set-v6only" and scope["kind"] != "other":
        state["set_v6only"].append(setting)
    if scope["kind"] != "other":
        scope["settings"][event["name"]] = setting


def _assigned(event: dict[str, Any], variables: dict[str, Any]) -> str | int | None:
    """The value of an assignment, which is remembered for the expressions behind it."""
    value = _value(event["expression"], variables)
    name = _qualified(event["name"])
    if event["operator"] == "+=":
        value = _sum(variables.get(name), value)
    variables[name] = value
    return value


def _scope(event: dict[str, Any], path: str, state: dict[str, Any], scopes: list[dict[str, Any]]) -> dict[str, Any]:
    """What assignments within a block are good for."""
    block = event["block"]
    if block["condition"] == "global":
        return {"kind": "server", "settings": state["settings"]}
    value = _value(block["expression"], state["variables"])
    if block["condition"].startswith('$HTTP["remoteip"]') and "127." in str(value) and "::1" not in str(value):
        state["notes"].append(f"{path}:{event['line']}: `{value}` is this host over IPv4 only; over IPv6 it is ::1")
    if block["condition"] != '$SERVER["socket"] ==':
        return {"kind": "other", "settings": {}}
    settings: dict[str, Any] = {}
    state["blocks"].append(
        {
            "path": path,
            "line": event["line"],
            "order": state["order"],
            "socket": value,
            "settings": settings,
            "block": {**block, "nested": scopes[-1]["kind"] != "server"},
        }
    )
    return {"kind": "socket", "settings": settings}


def _with_patterns(path: str, text: str) -> list[tuple[dict[str, Any], str]]:
    """The events of a file, and for every include that the file alone can tell its pattern."""
    result = []
    variables: dict[str, Any] = {}
    for event in _events(path, text):
        pattern = ""
        if event["kind"] == "assignment":
            _assigned(event, variables)
        elif event["kind"] == "include":
            value = _value(event["expression"], variables)
            if event["name"] == "include_shell":
                value = "conf-enabled/*.conf" if isinstance(value, str) and CONF_ENABLED.fullmatch(value) else None
            if value and "\0" not in str(value):
                pattern = posixpath.normpath(posixpath.join(FOLDER, str(value)))
        result.append((event, pattern))
    return result


def _value(expression: list[Token] | None, variables: dict[str, Any]) -> str | int | None:
    """The value of an expression; ``None`` for a list and for what is not known."""
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
    for value in values[1:]:
        result = _sum(result, value)
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
    """
    The statements of a file in textual order: ``assignment``, ``include``, and ``open`` and ``close`` of a block.
    """
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
