"""
Where coturn listens, and how it serves both families. It never accesses the host.

Measured with Debian's 4.6.1:

* Each ``listening-ip`` has sockets of its own, UDP and TCP. Without any, each address that the host has when coturn
  starts has them: one that comes later, that of a tunnel for instance, only after a restart.
* ``listening-ip=::`` serves both families, whatever ``net.ipv6.bindv6only`` is; but it tells clients of IPv4 that their
  address is ``::ffff:192.0.2.1``, which is of no use to them. Beside ``listening-ip=0.0.0.0``, which takes their
  connections (SO_REUSEPORT), both families are told the truth: so both are written.
* A name and its value are separated by ``=`` or blanks; the last port counts; nothing can stand behind a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_lists as service_lists
__virtualname__ = "listen_coturn"

MAIN = "/etc/turnserver.conf"

ANY4, ANY6 = service_addresses.ANY4, service_addresses.ANY6
LISTENING = "listening-ip"
LINE = re.compile(
    r"[ \t]*(?P<name>[A-Za-z0-9][A-Za-z0-9-]*)"
    r'(?:(?:[ \t]*=[ \t]*|[ \t]+)(?P<quote>"?)(?P<value>.*?)(?P=quote))?[ \t\r]*'
)
OFF = ("0", "false", "no", "off", "f", "n")
PORTS = {"listening-port": "3478", "tls-listening-port": "5349"}
AT_START = "each address that the host has when coturn starts"
# What knows addresses of peers and relays, and what it means that it knows those of IPv4 only.
DEAF = {
    "relay-ip": "nothing is relayed over IPv6",
    "denied-peer-ip": "peers of IPv6 are not denied, those in networks of your own among them",
    "allowed-peer-ip": "no peers of IPv6 are allowed by it",
}
# The words of a diff that are no secrets.
SHOWN = [LISTENING, *PORTS, *DEAF, "no-rfc5780"]


class Setting(NamedTuple):
    path: str
    line: int
    name: str
    value: str
    start: int  # of the line, in the text
    span: tuple[int, int]  # of the value, without quotes
    end: int  # of the line


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes``, ``executables`` and ``units``, the ``users``
    that its processes may have, its name for service(8), ``init``, its own keys in the pillar, ``options``, and the
    command that checks its configuration, ``check``, neither of which exists, and the ``protocols`` of its usual ports.
    ``words`` are those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_coturn.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/bin/turnserver", "/usr/bin/turnserver *"],
        "executables": ["/usr/bin/turnserver"],
        "users": ["turnserver"],
        "units": ["coturn.service", "coturn@*.service"],
        "init": "coturn",
        "sets_v6only": True,
        "options": {},
        "check": [],
        "words": SHOWN,
        "protocols": {3478: "tcp", 5349: "tls"},
        "sites": True,
    }


def includes(path: str, text: str) -> list[str]:
    """
    The include statements of a file: coturn has none.

    path
        The file's own path.
    text
        Its content.

    Returns an empty list.

    CLI Example:

    .. code-block:: bash

        salt-call listen_coturn.includes /etc/turnserver.conf ''
    """
    return []


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The configured listeners.

    files
        The text of every file, by path.

    Returns a list of dictionaries with ``port``, ``transport``, ``address``, ``v6only``, ``file``, ``line`` and
    ``note``, and, of TCP, ``protocol``; implicit ones are on line 0. ``::`` beside ``0.0.0.0`` is left with IPv6 alone,
    and said to be so.

    CLI Example:

    .. code-block:: bash

        salt-call listen_coturn.listeners '{/etc/turnserver.conf: {text: "listening-ip=0.0.0.0\\n", includes: []}}'
    """
    found = []
    for path, file in files.items():
        settings = _settings(path, file["text"])
        own = _own(settings)
        addresses = {_address(each): each.line for each in own} or {ANY4: 0, ANY6: 0}
        for address, line in addresses.items():
            v6only = ANY4 in addresses if address == ANY6 else True if ":" in address else None
            note = service_addresses.why_alone(address) if own else AT_START
            found += [
                {
                    "port": port,
                    "transport": transport,
                    **({"protocol": protocol} if transport == "tcp" else {}),
                    "address": address,
                    "v6only": v6only,
                    "file": path,
                    "line": line,
                    "note": note if port else "no port: cannot decide",
                }
                for port, transport, protocol in _sockets(settings)
            ]
    return found


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families: addresses are added, none is removed.

    files
        The text of every file, by path.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; coturn does not care.
    site
        ``addresses`` of this host that are published, by family; ``None`` for wildcards only.

    Returns ``files``, the new text of each file that changes, ``bindv6only``, ``None`` as it is immune, ``notes``,
    ``always``, in which nothing is, and what is ``missing``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_coturn.dual_stack '{/etc/turnserver.conf: {text: "listening-ip=0.0.0.0", includes: []}}' '{}'
    """
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes: list[str] = []
    missing = []
    for path, file in files.items():
        settings = _settings(path, file["text"])
        own = _own(settings)
        addresses = [_address(each) for each in own]
        # `::1` shares the port with `::`, as all sockets of coturn do.
        lack = service_lists.lack([each for each in addresses if ANY4 not in addresses or each != "::1"], site)
        published = service_addresses.published(site, "ipv4")
        source = next((each for each in own if _address(each) in (ANY4, ANY6, *published)), None)
        if source:
            edits[path] = [_below(file["text"], source, address) for address in lack.added]
            if lack.added and not any(each.name == "no-rfc5780" and _is_on(each) for each in settings):
                notes.append(
                    f"{_place(source)}: with two addresses coturn opens the ports behind its own as well, for RFC "
                    "5780; `no-rfc5780` keeps them closed"
                )
        if lack.missing and source:
            port = next((port for port, *_ in _sockets(settings)), None)
            missing.append(service_lists.gap(f"{_place(source)}: {_written(source)}: {lack.missing}", port))
        elif lack.note:
            notes.append(f"{_place(source or own[0])}: {_written(source or own[0])}: {lack.note}")
        if not own or any(":" in each for each in (*addresses, *lack.added)):
            notes += _deaf(settings)
    return {
        "files": service_edits.rewritten(files, edits),
        "always": {},
        "bindv6only": None,
        "notes": notes,
        "missing": missing,
    }


def _settings(path: str, text: str) -> list[Setting]:
    found, start = [], 0
    for number, line in enumerate(text.split("\n"), 1):
        match = LINE.fullmatch(line)
        if match:
            at = match.span("value") if match["value"] is not None else (match.end(), match.end())
            span = (start + at[0], start + at[1])
            found.append(
                Setting(path, number, match["name"], match["value"] or "", start, span, start + len(line.rstrip("\r")))
            )
        start += len(line) + 1
    return found


def _own(settings: list[Setting]) -> list[Setting]:
    return [each for each in settings if each.name == LISTENING]


def _address(setting: Setting) -> str:
    return service_addresses.canonical(setting.value)


def _is_on(setting: Setting) -> bool:
    return setting.value.lower() not in OFF


def _sockets(settings: list[Setting]) -> list[tuple[int | None, str, str]]:
    """The ports of each address, with their transport and protocol; those with TLS need a certificate."""
    last = {each.name: each for each in settings}

    def on(name: str) -> bool:
        return name in last and _is_on(last[name])

    def port(name: str) -> int | None:
        written = last[name].value if name in last else PORTS[name]
        return int(written) if re.fullmatch("[0-9]{1,5}", written) else None

    plain, secure = {"tcp": "no-tcp", "udp": "no-udp"}, {"tcp": "no-tls", "udp": "no-dtls"}
    found = [(port("listening-port"), each, "tcp") for each in plain if not on(plain[each])]
    if "cert" in last and "pkey" in last:
        found += [(port("tls-listening-port"), each, "tls") for each in secure if not on(secure[each])]
    return found


def _deaf(settings: list[Setting]) -> Iterator[str]:
    for name, what in DEAF.items():
        entries = [each for each in settings if each.name == name]
        if entries and not any(":" in each.value for each in entries):
            yield f"{_place(entries[0])}: `{name}` knows IPv4 only: {what}"


def _below(text: str, setting: Setting, address: str) -> tuple[int, int, str]:
    """A line below one, in its fashion, with another address: where it goes, twice, and what is to be written."""
    start, end = setting.span
    newline = "\r\n" if text[setting.end : setting.end + 1] == "\r" else "\n"
    return (
        setting.end,
        setting.end,
        f"{newline}{text[setting.start : start]}{address}{text[end : setting.end].rstrip()}",
    )


def _place(setting: Setting) -> str:
    return f"{setting.path}:{setting.line}"


def _written(setting: Setting) -> str:
    return f"`{setting.name}={setting.value}`"
