"""
Where Murmur, the server of Mumble, listens, and how it serves both families. It never accesses the host.

Measured with Debian's 1.3.4:

* Without ``host`` it has one socket on ``::`` for both families, whatever ``net.ipv6.bindv6only`` is. With ``host``,
  each address has a socket of its own, and ``::`` is IPv6 only: Murmur sets IPV6_V6ONLY itself, one way or the other.
* ``host`` is a list with blanks. One with commas is ignored as a whole, as if there were none.
* Of several, the last one counts; names are in small letters. What stands below a section other than ``[General]`` is
  not Murmur's own. TCP and UDP have the same port.
* Virtual servers of its database may have addresses of their own; they are not seen here.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_lists as service_lists
__virtualname__ = "listen_murmur"

MAIN = "/etc/mumble-server.ini"
PORT = "64738"

ANY6 = service_addresses.ANY6
LINE = re.compile(r"\s*(?:\[(?P<section>[^\]]*)\].*|(?P<name>[^=;#\[\s][^=;]*)=(?P<value>.*))")
VALUE = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^;"])*')  # up to a comment
# The words of a diff that are no secrets.
SHOWN = ["host", "port"]


class Setting(NamedTuple):
    line: int
    value: str  # with its quotes
    start: int  # in the text
    end: int


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes``, ``executables`` and ``units``, the ``users``
    that its processes may have, its name for service(8), ``init``, its own keys in the pillar, ``options``, and the
    command that checks its configuration, ``check``, neither of which exists, and the ``protocols`` of its usual port.
    ``words`` are those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_murmur.about
    """
    return {
        "files": [MAIN],
        "processes": [
            "/usr/sbin/murmurd",
            "/usr/sbin/murmurd *",
            "/usr/*bin/mumble-server",
            "/usr/*bin/mumble-server *",
        ],
        "executables": ["/usr/sbin/murmurd", "/usr/*bin/mumble-server"],
        "users": ["mumble-server", "_mumble-server"],
        "units": ["mumble-server.service"],
        "init": "mumble-server",
        "sets_v6only": True,
        "options": {},
        "check": [],
        "words": SHOWN,
        "protocols": {64738: "tls"},
        "sites": True,
    }


def includes(path: str, text: str) -> list[str]:
    """
    The include statements of a file: Murmur has none.

    path
        The file's own path.
    text
        Its content.

    Returns an empty list.

    CLI Example:

    .. code-block:: bash

        salt-call listen_murmur.includes /etc/mumble-server.ini ''
    """
    return []


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The configured listeners.

    files
        The text of every file, by path.

    Returns a list of dictionaries with ``port``, ``transport``, ``address``, ``v6only``, ``file``, ``line`` and
    ``note``, and, of TCP, ``protocol``; implicit ones are on line 0.

    CLI Example:

    .. code-block:: bash

        salt-call listen_murmur.listeners '{/etc/mumble-server.ini: {text: "host=0.0.0.0\\n", includes: []}}'
    """
    found = []
    for path, file in files.items():
        settings = _settings(file["text"])
        host, port = settings.get("host"), settings.get("port")
        number = _number(port.value.strip('"') if port else PORT)
        addresses = [service_addresses.canonical(word) for word in _words(host)]
        for address in addresses or [ANY6]:
            v6only = True if ":" in address else None
            found += [
                {
                    "port": number,
                    "transport": transport,
                    **({"protocol": "tls"} if transport == "tcp" else {}),
                    "address": address,
                    "v6only": v6only if addresses else False,
                    "file": path,
                    "line": host.line if host else 0,
                    "note": service_addresses.why_alone(address) if number else "no port: cannot decide",
                }
                for transport in ("tcp", "udp")
            ]
    return found


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families: addresses are added to ``host``, none is removed.

    files
        The text of every file, by path.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; Murmur does not care.
    site
        ``addresses`` of this host that are published, by family; ``None`` for wildcards only.

    Returns ``files``, the new text of each file that changes, ``bindv6only``, ``None`` as it is immune, ``notes``,
    ``always``, in which nothing is, and what is ``missing``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_murmur.dual_stack '{/etc/mumble-server.ini: {text: "host=0.0.0.0\\n", includes: []}}' '{}'
    """
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes = []
    missing = []
    for path, file in files.items():
        settings = _settings(file["text"])
        host = settings.get("host")
        if not host or not _words(host):
            if host and host.value:
                notes.append(
                    f"{path}:{host.line}: `host` is no list with blanks: Murmur ignores it, and listens on all"
                )
            continue
        lack = service_lists.lack([service_addresses.canonical(word) for word in _words(host)], site)
        said = f"{path}:{host.line}: `host={host.value}`: "
        if lack.added:
            end = host.end - host.value.endswith('"')
            edits[path] = [(end, end, "".join(f" {address}" for address in lack.added))]
        notes += [f"{said}{lack.note}"] if lack.note else []
        if lack.missing:
            port = settings.get("port")
            missing.append(service_lists.gap(f"{said}{lack.missing}", _number(port.value.strip('"') if port else PORT)))
    return {
        "files": service_edits.rewritten(files, edits),
        "always": {},
        "bindv6only": None,
        "notes": notes,
        "missing": missing,
    }


def _settings(text: str) -> dict[str, Setting]:
    """Murmur's own settings, by name: the last one of each."""
    found = {}
    section, start = "general", 0
    for number, line in enumerate(text.split("\n"), 1):
        match = LINE.fullmatch(line)
        if match and match["section"] is not None:
            section = match["section"].strip().lower()
        elif match and section == "general" and (value := VALUE.match(match["value"])):
            at = start + match.start("value") + len(value[0]) - len(value[0].lstrip())
            written = value[0].strip()
            found[match["name"].rstrip()] = Setting(number, written, at, at + len(written))
        start += len(line) + 1
    return found


def _words(host: Setting | None) -> list[str]:
    """The addresses and names of `host`; none, if Murmur takes it for empty."""
    value = host.value if host else ""
    quoted = re.fullmatch(r'"([^"\\]*)"', value)
    if quoted:
        return quoted[1].split()
    return [] if re.search(r'[",\\]', value) else value.split()


def _number(port: str) -> int | None:
    return int(port) if re.fullmatch("[0-9]{1,5}", port) else None
