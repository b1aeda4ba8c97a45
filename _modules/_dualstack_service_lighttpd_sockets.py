"""
The sockets in lighttpd's configuration, and the host names: what all files together say. PURE: never accesses the host.
"""

from __future__ import annotations

import re
from typing import Any

import _dualstack_service_addresses as service_addresses
import _dualstack_service_includes as service_includes
import _dualstack_service_lighttpd as service_lighttpd

USE_IPV6 = re.compile(r"(?:\S*/)?use-ipv6\.pl(?:\s+([0-9]{1,5}))?\s*")
HARMLESS = re.compile(r"(?:\S*/)?create-mime\.(?:conf|assign)\.pl\s*")
SECURE = '\n\tssl.engine = "enable"\n'
OFF = ("disable", "false", "0", 0)
HOST, CLIENT = '$HTTP["host"] ==', re.compile(r'\$HTTP\["remote-?ip"\]')
IPV4 = re.compile(r"[0-9]\\*\.")  # in an address or in an expression that matches some


def read(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """
    The configuration as a whole: the ``settings`` of the server, the ``blocks`` for sockets, and the ``hosts`` that
    conditions name, each with the block that it stands in.

    files
        Every file that lighttpd reads, by path.

    Raises ``SaltInvocationError`` where a text cannot be read.
    """
    main = next(iter(files), "")
    state: dict[str, Any] = {
        "main": main,
        "files": files,
        "settings": {},
        "variables": {},
        "blocks": [],
        "hosts": [],
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


def sockets(state: dict[str, Any]) -> list[dict[str, Any]]:
    """
    The sockets that lighttpd opens, in textual order; those of the same block text are one each.

    state
        From :py:func:`read`.
    """
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
        v6 = _is_on(own, "server.use-ipv6")
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
                # The only setting of the server that is not passed on to the sockets of blocks.
                "tls": _is_on(each["settings"] if each["block"] else settings, "ssl.engine"),
            }
        )
    return sorted(result, key=lambda each: each["order"])


def _is_on(settings: dict[str, dict[str, Any]], name: str) -> bool:
    return settings.get(name, {}).get("value", "disable") not in OFF


def _default_port(settings: dict[str, dict[str, Any]]) -> int | None:
    encrypted = _is_on(settings, "ssl.engine")
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


def _include_unread(event: dict[str, Any], path: str, state: dict[str, Any]) -> None:
    """An include whose text is not known: what a known script prints, or a note."""
    value = service_lighttpd.value(event["expression"], state["variables"])
    place = {"path": path, "line": event["line"], "order": state["order"]}
    script = USE_IPV6.fullmatch(value) if event["name"] == "include_shell" and isinstance(value, str) else None
    if script:
        port = int(script[1] or 0)
        port = port if 0 < port < 65536 else 80
        block = {"text": SECURE if port == 443 else "", "chained": False, "nested": False}
        settings = {"ssl.engine": {"value": "enable"}} if port == 443 else {}
        state["blocks"].append({**place, "socket": f"[::]:{port}", "settings": settings, "block": block})
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
    if block["condition"] == HOST and isinstance(value, str):
        around = next((each["block"] for each in reversed(scopes) if each["kind"] == "socket"), None)
        state["hosts"].append((value.rpartition(":")[0] or value, around))
    if CLIENT.match(block["condition"]):
        place = f"{path}:{event['line']}"
        if "127." in str(value) and "::1" not in str(value):
            state["notes"].append(f"{place}: `{value}` is this host over IPv4 only; over IPv6 it is ::1")
        elif IPV4.search(str(value)) and ":" not in str(value):
            state["notes"].append(f"{place}: `{value}` knows addresses of IPv4 only: over IPv6 it is nobody")
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
    return {"kind": "socket", "settings": settings, "block": state["blocks"][-1]["block"]}


def reason(socket: dict[str, Any]) -> str:
    """
    Why a socket is left alone; empty for a wildcard.

    socket
        The socket.
    """
    if socket["unix"]:
        return "a Unix socket: left alone"
    if not socket["address"] or not socket["port"]:
        return "not plain text: cannot decide"
    return service_addresses.why_alone(socket["address"], single="one address")
