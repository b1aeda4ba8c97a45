"""
The listeners in the configuration of lighttpd. It never accesses the host.

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

import re
from typing import Any

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_includes as service_includes
    import _dualstack_service_lighttpd as service_lighttpd
__virtualname__ = "listen_lighttpd"

MAIN = "/etc/lighttpd/lighttpd.conf"

USE_IPV6 = re.compile(r"(?:\S*/)?use-ipv6\.pl(?:\s+([0-9]{1,5}))?\s*")
HARMLESS = re.compile(r"(?:\S*/)?create-mime\.(?:conf|assign)\.pl\s*")
SECURE = '\n\tssl.engine = "enable"\n'
OFF = ("disable", "false", "0", 0)
WILDCARDS = tuple(service_addresses.OTHER)
# The words of a diff that are no secrets.
SHOWN = (
    "$SERVER $HTTP server.bind server.port server.use-ipv6 server.set-v6only ssl.engine server.modules else elseif "
    "include include_shell /usr/share/lighttpd/use-ipv6.pl"
).split()


def about() -> dict[str, Any]:
    """
    Facts about the service.

    Returns ``files``, ``processes``, ``units``, ``init``, ``options`` (none), ``check`` and ``protocols``. ``words``
    are those of its configuration that a diff may show.

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
        "words": SHOWN,
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
    return [event["pattern"] for event in service_lighttpd.events(path, text) if event["pattern"]]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The configured listeners, in textual order.

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

    A port that one family lacks gets a ``$SERVER["socket"]`` at the end of the main file, with a copy of what the other
    family's blocks hold. ``server.set-v6only = "disable"`` is switched if the sockets would not start, or would not
    serve IPv4.

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
        state = _read(service_edits.afterwards(files, changed))
        ports = _by_port(_sockets(state))
        left = []
    blocks = [_block(port, own, address, state) for port, own in ports.items() for address in _missing(own)]
    if blocks:
        changed[state["main"]] = service_edits.with_lines(state["files"][state["main"]]["text"], blocks)
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
    """The ``net.ipv6.bindv6only`` with which a ``[::]`` without a setting collides, or does not serve IPv4."""
    return 0 if any(each["address"] == "0.0.0.0" for each in own) else 1


def _by_port(sockets: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    ports: dict[int, list[dict[str, Any]]] = {}
    for socket in sockets:
        if socket["port"] and socket["address"] and not socket["unix"]:
            ports.setdefault(socket["port"], []).append(socket)
    return ports


def _with_v6only(files: dict[str, dict[str, Any]], state: dict[str, Any]) -> dict[str, str]:
    """The files in which every ``server.set-v6only`` is on."""
    edits: dict[str, dict[int, tuple[int, int, str]]] = {}  # by where they start: a file may be read twice
    for setting in state["set_v6only"]:
        if setting["value"] in OFF:
            term = (setting["expression"] or [service_lighttpd.END])[0]
            if len(setting["expression"] or []) != 1 or term.kind not in ("string", "number"):
                raise SaltInvocationError(
                    f"{setting['place']}: write server.set-v6only = \"enable\", without variables"
                )
            edits.setdefault(setting["path"], {})[term.start] = (term.start, term.end, '"enable"')
    return service_edits.rewritten(files, {path: each.values() for path, each in edits.items()})


def _block(port: int, own: list[dict[str, Any]], address: str, state: dict[str, Any]) -> str:
    """A block for a wildcard, with the contents of the other family's blocks."""
    version = service_addresses.version(address)
    model = [each for each in own if each["address"] in WILDCARDS]
    for each in own:
        if service_addresses.version(each["address"]) in (version, None):
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
        # The only server-wide setting that is not passed on to sockets.
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


def _reason(socket: dict[str, Any]) -> str:
    """Why a socket is left alone; empty for a wildcard."""
    if socket["unix"]:
        return "a Unix socket: left alone"
    if not socket["address"] or not socket["port"]:
        return "not plain text: cannot decide"
    return service_addresses.why_alone(socket["address"], single="one address")


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
    """What the kernel will show: ``[::]:80``, ``:80``, ``*:80``, ``host``."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{1,9}))?", written)
    if not match:
        return written, None
    host = match[1].strip("[]")
    port = default if match[2] is None else int(match[2])
    port = port if port and port < 65536 else None
    if host in ("", "*"):
        return ("::" if v6 else "0.0.0.0"), port
    return service_addresses.canonical(host), port


def _read(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The configuration as a whole: the ``settings`` of the server, and the ``blocks`` for sockets."""
    main = next(iter(files), "")
    state: dict[str, Any] = {
        "main": main,
        "files": files,
        "settings": {},
        "variables": {},
        "blocks": [],
        "set_v6only": [],
        "notes": [],
        "order": 0,
    }
    scopes = [{"kind": "server", "settings": state["settings"]}]  # each file closes what it opens

    def place(path: str, event: dict[str, Any]) -> str:
        return str(event["place"])

    for step in service_includes.walk(
        files, main, service_lighttpd.events, lambda event: bool(event["pattern"]), place
    ):
        event, path = step.statement, step.path
        state["order"] += 1
        if event["kind"] == "assignment":
            _assign(event, path, state, scopes[-1])
        elif event["kind"] == "open":
            scopes.append(_scope(event, path, state, scopes))
        elif event["kind"] == "close":
            scopes.pop()
        elif not event["pattern"]:
            _include_unread(event, path, state)
    return state


def _include_unread(event: dict[str, Any], path: str, state: dict[str, Any]) -> None:
    """An include whose text is not known: what a known script prints, or a note."""
    value = service_lighttpd.value(event["expression"], state["variables"])
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
    value = service_lighttpd.assigned(event, state["variables"])
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


def _scope(event: dict[str, Any], path: str, state: dict[str, Any], scopes: list[dict[str, Any]]) -> dict[str, Any]:
    """Evaluates the assignments within a block."""
    block = event["block"]
    if block["condition"] == "global":
        return {"kind": "server", "settings": state["settings"]}
    value = service_lighttpd.value(block["expression"], state["variables"])
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
