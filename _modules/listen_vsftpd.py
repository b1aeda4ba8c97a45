"""
The listener in the configuration of vsftpd, vsftpd.conf(5). It never accesses the host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* vsftpd has one socket: ``listen=YES`` is IPv4 only, ``listen_ipv6=YES`` is ``::`` and leaves ``IPV6_V6ONLY`` to the
  kernel; with both it exits, with neither another process listens for it. So dual-stack needs
  ``net.ipv6.bindv6only=0``.
* Measured with Debian's 3.0.3: white space is legal before a name and nowhere else, ``#`` begins a comment only as the
  first character of a line, the last assignment wins, a port that begins with 0 is octal.
"""

from __future__ import annotations

import re
from typing import Any

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_published as service_published
__virtualname__ = "listen_vsftpd"

MAIN = "/etc/vsftpd.conf"

V4, V6 = "listen", "listen_ipv6"
TLS = ("ssl_enable", "implicit_ssl")  # with both, TLS begins at once
SWITCHES = (V4, V6, "tcp_wrappers", *TLS)
NAMES = (*SWITCHES, "listen_port", "listen_address", "listen_address6")
SETTING = re.compile(rf"[ \t\r\v\f]*({'|'.join(NAMES)})([ \t]*)(?:=(.*))?", re.DOTALL)
TRUE = ("YES", "TRUE", "1")
FALSE = ("NO", "FALSE", "0")
ONE_SOCKET = (
    "this address is published, and vsftpd has one socket: take listen_address out and write listen=NO and "
    "listen_ipv6=YES, which serves all addresses of both families, or run a second instance for IPv6"
)
# The words of a diff that are no secrets.
SHOWN = "listen_ipv6 listen_port listen_address listen_address6 tcp_wrappers".split()


def about() -> dict[str, Any]:
    """
    Facts about the service.

    Returns ``files``, ``processes``, ``units``, ``init``, ``options`` and ``check`` (vsftpd has none of these two) and
    ``protocols``. ``words`` are those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_vsftpd.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/vsftpd", "/usr/sbin/vsftpd *"],
        "executables": ["/usr/sbin/vsftpd"],
        "users": [],
        "units": ["vsftpd.service"],
        "init": "vsftpd",
        "sets_v6only": False,
        "sites": True,
        "options": {},
        "check": [],
        "words": SHOWN,
        "protocols": {21: "ftp"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The include statements of a file: vsftpd has none.

    path
        The file's own path.
    text
        Its content.

    Returns an empty list.

    CLI Example:

    .. code-block:: bash

        salt-call listen_vsftpd.includes /etc/vsftpd.conf ''
    """
    return []


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The configured listeners; every file is an instance of its own.

    files
        The text of every file, by path.

    Returns a list of dictionaries with ``port``, ``transport``, ``protocol``, ``address``, ``v6only``, ``file``,
    ``line`` and ``note``. Raises ``SaltInvocationError`` for a value of these settings that vsftpd refuses.

    CLI Example:

    .. code-block:: bash

        salt-call listen_vsftpd.listeners '{/etc/vsftpd.conf: {text: "listen=YES\\n", includes: []}}'
    """
    return [
        {**socket, "transport": "tcp", "v6only": None, "file": path}
        for path, file in files.items()
        for socket in _sockets(_settings(path, file["text"]))
    ]


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families: ``listen=NO`` and ``listen_ipv6=YES``.

    files
        The text of every file, by path.
    options
        This service's own keys of the pillar: none.
    bindv6only
        The value of ``net.ipv6.bindv6only`` when the service starts.
    site
        The names that the pillar declares, and the addresses of this host that are published.

    Returns ``files`` (those that change), ``bindv6only`` (0, as a ``::`` serves IPv4 only then), ``notes``, and
    ``missing`` (one socket on a published address of IPv4 cannot have another one). Raises ``SaltInvocationError`` if
    that value is 1, or if the one socket would not be a ``::``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_vsftpd.dual_stack '{/etc/vsftpd.conf: {text: "listen=YES\\n", includes: []}}' '{}'
    """
    changed: dict[str, str] = {}
    demanded = None
    notes = []
    missing = []
    published = service_published.addresses(site)
    for path, file in files.items():
        settings = _settings(path, file["text"])
        sockets = _sockets(settings)
        if not sockets:
            raise SaltInvocationError(
                f"{path}: vsftpd does not listen itself, inetd or a socket unit does it in its place; "
                "make that one dual-stack, or write listen_ipv6=YES"
            )
        if len(sockets) == 1 and _reason(sockets[0]["address"]):
            place = f"{path}:{sockets[0]['line']}: `{sockets[0]['address']}`"
            if service_published.lacking(sockets[0]["address"], (), published) is None:
                notes.append(f"{place}: {sockets[0]['note']}")
            else:
                missing.append(service_published.missing(site, sockets[0]["port"], f"{place}: {ONE_SOCKET}"))
            continue
        if any(_reason(address) for address in (*(each["address"] for each in sockets), _address(settings, V6))):
            raise SaltInvocationError(
                f"{path}: vsftpd has one socket, and listen_address or listen_address6 binds it to one address; "
                "remove that setting, or run two instances with a file each"
            )
        if bindv6only:
            raise SaltInvocationError(
                f"{path}: vsftpd has one socket, and with net.ipv6.bindv6only=1 it would serve IPv6 only; run two "
                "instances, one with listen=YES and one with listen_ipv6=YES, and name vsftpd in sysctl_except, "
                "or leave net.ipv6.bindv6only at 0"
            )
        demanded = 0
        text = _switched(file["text"], settings)
        if text != file["text"]:
            changed[path] = text
        if _on(settings, "tcp_wrappers"):
            notes.append(f"{path}: tcp_wrappers=YES: hosts.allow and hosts.deny judge IPv6 clients, too")
    return {"files": changed, "bindv6only": demanded, "notes": notes, "missing": missing}


def _switched(text: str, settings: dict[str, dict[str, Any]]) -> str:
    """The text with ``listen`` off and ``listen_ipv6`` on."""
    edits = []
    if _on(settings, V4):
        edits.append((*settings[V4]["span"], "NO"))
    if V6 in settings and not _on(settings, V6):
        edits.append((*settings[V6]["span"], "YES"))
    if V6 not in settings:
        end = settings[V4]["span"][1]
        edits.append((end, end, f"\n{V6}=YES"))
    return service_edits.spliced(text, edits)


def _sockets(settings: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The sockets that a file asks for, in textual order; Debian's vsftpd asks for none by default."""
    switches = sorted((name for name in (V4, V6) if _on(settings, name)), key=lambda name: settings[name]["line"])
    result = []
    for switch in switches:
        address, port = _address(settings, switch), _port(settings)
        note = _reason(address)
        if port is None:
            note = "listen_port is not a port"
        if len(switches) == 2:
            note = "vsftpd does not start with both, listen and listen_ipv6"
        protocol = "tls" if all(_on(settings, each) for each in TLS) else "ftp"
        line = settings[switch]["line"]
        result.append({"address": address, "port": port, "protocol": protocol, "line": line, "note": note})
    return result


def _on(settings: dict[str, dict[str, Any]], name: str) -> bool:
    return settings.get(name, {}).get("value") is True


def _address(settings: dict[str, dict[str, Any]], switch: str) -> str:
    name, wildcard = (
        ("listen_address", service_addresses.ANY4) if switch == V4 else ("listen_address6", service_addresses.ANY6)
    )
    # inet_aton(3) takes white space at the end, and 0.
    written = str(settings.get(name, {}).get("value", "")).rstrip()
    if not written or (name, written) == ("listen_address", "0"):
        return wildcard
    return service_addresses.canonical(written)


def _reason(address: str) -> str:
    """Why an address is left alone; empty for a wildcard."""
    return service_addresses.why_alone(address, single="one address", name="no address that vsftpd knows")


def _port(settings: dict[str, dict[str, Any]]) -> int | None:
    written = settings.get("listen_port", {}).get("value", "21")
    if not re.fullmatch(r"0[0-7]{1,6}|[1-9][0-9]{0,4}", written):
        return None
    port = int(written, 8 if written.startswith("0") else 10)
    return port if 0 < port < 65536 else None


def _settings(path: str, text: str) -> dict[str, dict[str, Any]]:
    """The file's settings of the listener, by name: the last ``value``, its ``line``, and its ``span`` in the text."""
    result = {}
    offset = 0
    for number, line in enumerate(text.split("\n"), 1):
        match = SETTING.fullmatch(line)
        if match:
            name, space, value = match.groups()
            if space or value is None:
                place = f"{path}:{number}:{match.start(1) + 1}"
                raise SaltInvocationError(f"{place}: expected {name}=VALUE, without white space around the name")
            span = (offset + match.start(3), offset + match.end(3))
            result[name] = {
                "line": number,
                "span": span,
                "value": _switch(f"{path}:{number}:{match.start(3) + 1}", name, value) if name in SWITCHES else value,
            }
        offset += len(line) + 1
    return result


def _switch(place: str, name: str, value: str) -> bool:
    if value.upper() not in (*TRUE, *FALSE):
        raise SaltInvocationError(f"{place}: {name} is {value!r}, which vsftpd reads neither as YES nor as NO")
    return value.upper() in TRUE
