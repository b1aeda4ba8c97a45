"""
The listeners in the configuration of HAProxy, its sections 2, 4.2 and 11. It never accesses the host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* Measured with 2.6: ``*:80``, ``:80`` and ``0.0.0.0:80`` are IPv4 only. ``:::80``, ``[::]:80`` and ``ipv6@:80`` follow
  ``net.ipv6.bindv6only``, unless ``v4v6`` or ``v6only`` follows the addresses; ``v6only`` beats ``v4v6``, and neither
  touches the IPv4 addresses of the same line. So ``*:80,:::80 v6only`` is the same whatever the sysctl says.
* A dual socket shows IPv4 clients as ``::ffff:192.0.2.1`` in logs, ``X-Forwarded-For`` and ``%[src]``; two sockets do
  not.
* HAProxy sets ``SO_REUSEPORT``: ``*:80`` and a dual ``:::80`` start side by side, so an overlap causes no error. With
  ``noreuseport`` it does not start.
* ``v4v6`` and ``v6only`` work the same for ``dgram-bind`` and in ``log-forward``.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_haproxy as service_haproxy
__virtualname__ = "listen_haproxy"

MAIN = "/etc/haproxy/haproxy.cfg"
# The words of a diff that are no secrets.
SHOWN = (
    "frontend backend defaults global dgram-bind bind-process crt alpn h2 http/1.1 accept-proxy transparent interface "
    "name mode id nbproc process defer-accept"
).split()


def about() -> dict[str, Any]:
    """
    Facts about the service.

    Returns ``files``, ``processes``, ``units``, ``init``, ``options`` (none), ``check`` and ``protocols``. ``words``
    are those of its configuration that a diff may show.

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
        "words": SHOWN,
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
    The configured listeners, in textual order.

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
        states its families explicitly.

    A wildcard without its counterpart of the other family gets it as an address of its own, ``*:80,:::80 v6only``, so
    that IPv4 clients keep their plain addresses; a ``::`` beside a ``*`` gets ``v6only``. A ``:::80 v4v6`` that has the
    port for itself serves both and is left alone.

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
    # Another line with the same port has to leave IPv4 to these.
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
                notes.append(f"{_place(statement)}: `{item['text']}`: {_reason(statement, item)}")
    notes += [note for path, file in files.items() for note in _source_hints(path, file["text"])]
    return {
        "files": {path: service_edits.spliced(files[path]["text"], found) for path, found in edits.items() if found},
        "bindv6only": None,
        "notes": notes,
    }


def _serves_both(statement: dict[str, Any], covered: set[tuple]) -> bool:
    """Whether ``v4v6`` is in force, meets no IPv4 address of its port, and no address lacks its counterpart."""
    wildcards = _wildcards(statement)
    return any(_v6only(statement, item) is False for item in wildcards) and all(
        # ``::`` must not have a counterpart, ``*`` must have one.
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
    # After the counterparts: insertions at the same place keep this order.
    if result or any(item["address"] == "::" for item in _wildcards(statement)):
        result += _v6only_edits(statement)
    if result and statement["keyword"] not in ("bind", "dgram-bind"):
        raise SaltInvocationError(
            f"{_place(statement)}: an address on a `{statement['keyword']}` line has no place for v6only; "
            "move it to a `bind` line of its own"
        )
    return result


def _twin(statement: dict[str, Any], item: dict[str, Any]) -> tuple[int, int, str]:
    """The same port of the other family, after a wildcard and within its quotes."""
    port = item["text"].rpartition(":")[2]
    last = item["spots"][-1]
    # After the first character of an escape is the middle of it.
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
    """Whether ``v6only`` could change what an address that is left alone serves."""
    if item["transport"] == "unix" or item["family"] in service_haproxy.INHERITED:
        return False
    host, colon, _ = item["text"].rpartition(":")
    # The value of a variable is unknown, unless it is only the port.
    if "$" in item["text"] and ("$" in host or not colon):
        return True
    return item["address"] == "::" or _is_mapped(item["address"])


def _source_hints(path: str, text: str) -> list[str]:
    """Conditions on the client's address that match this host as 127.0.0.0/8 only."""
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
    """What two sockets have to share to collide: those bound to different interfaces do not."""
    return [(item["transport"], port, *statement["scope"]) for port in item["ports"]]


def _reason(statement: dict[str, Any], item: dict[str, Any]) -> str:
    """Why an address is left alone; empty for a wildcard that is not."""
    if item["transport"] == "unix":
        return "a Unix socket: left alone"
    if item["family"] in service_haproxy.INHERITED:
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
    if _is_mapped(item["address"]):
        return "an IPv4 address in the form of IPv6: serves IPv4 only, left alone"
    return service_addresses.why_alone(item["address"], single="one address")


def _all_statements(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [statement for path, file in files.items() for statement in service_haproxy.statements(path, file["text"])]


def _is_mapped(address: str) -> bool:
    try:
        return ipaddress.IPv6Address(address).ipv4_mapped is not None
    except ValueError:
        return False
