"""
The listeners in socket units, systemd.socket(5): read, not written. PURE: never accesses the host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* A bare port, ``ListenStream=22``, is ``[::]:22``; what ``BindIPv6Only=`` then leaves to the kernel is IPv6 only with
  ``net.ipv6.bindv6only=1``. Debian's ``ssh.socket`` is such a unit: it would lock an administrator out.
* ``BindIPv6Only=`` applies to every socket of the unit, wherever it stands. An empty ``ListenStream=`` removes all
  listeners before it, of every kind.
* Whether a unit is enabled is not in its files: the kernel shows what listens.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
__virtualname__ = "listen_systemd"

# Where units are looked for, systemd.unit(5): the first file of a name counts, and masks the others.
FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
PATTERNS = ("*.socket", "*.socket.d/*.conf", "socket.d/*.conf")

TRANSPORTS = {"ListenStream": "tcp", "ListenDatagram": "udp"}
KINDS = (
    *TRANSPORTS,
    "ListenSequentialPacket",
    "ListenFIFO",
    "ListenSpecial",
    "ListenNetlink",
    "ListenMessageQueue",
    "ListenUSBFunction",
)
# BindIPv6Only= takes a boolean as well.
V6ONLY = {
    "default": None,
    **dict.fromkeys(("both", "0", "no", "n", "false", "f", "off"), False),
    **dict.fromkeys(("ipv6-only", "1", "yes", "y", "true", "t", "on"), True),
}
ADDRESS = re.compile(r"(?:(?P<v4>[0-9.]+):|\[(?P<v6>[^\]]+)\]:)?(?P<port>[0-9]{1,5})(?:%\S+)?")
NO_PORT = ("/", "@", "vsock")
WILDCARDS = tuple(service_addresses.OTHER)
DROP_IN = "dual-stack.conf"
# The words of a diff that are no secrets.
SHOWN = "ListenStream ListenDatagram BindIPv6Only Socket both ipv6-only".split()


def about() -> dict[str, Any]:
    """
    Facts about socket units.

    Returns ``files``, ``processes``, ``units``, ``init``, ``options``, ``check`` and ``protocols``. There is nothing to
    restart as a whole, no key in the pillar, and no checker. ``words`` are those of its configuration that a diff may
    show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_systemd.about
    """
    programs = ("/lib/systemd/systemd", "/usr/lib/systemd/systemd")
    return {
        "files": [f"{folder}/{pattern}" for pattern in PATTERNS for folder in FOLDERS],
        # As process 1, systemd has arguments only after a `daemon-reexec`.
        "processes": ["*systemd-socket-activate *", *programs, *(f"{program} *" for program in programs)],
        "units": ["*.socket"],
        "init": "",
        "options": {},
        "check": [],
        "words": SHOWN,
        "protocols": {22: "ssh"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The include statements of a unit: there are none, drop-ins are found by their names.

    path
        The file's own path.
    text
        Its content.

    Returns an empty list.

    CLI Example:

    .. code-block:: bash

        salt-call listen_systemd.includes /etc/systemd/system/ssh.socket ''
    """
    return []


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The listeners of the socket units, each with its drop-ins.

    files
        The text of every unit and drop-in, by path.

    Returns a list of dictionaries with ``port``, ``transport``, ``address``, ``v6only``, ``file``, ``line`` and
    ``note``, which begins with the name of the unit. Templates do not listen, their instances do.

    CLI Example:

    .. code-block:: bash

        salt-call listen_systemd.listeners '{/lib/systemd/system/a.socket: {text: "[Socket]", includes: []}}'
    """
    return [listener for own in _units(files).values() for listener in own]


def dual_stack(files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """
    Whether the socket units listen on both families. Units are not written: they belong to their packages.

    files
        The text of every unit and drop-in, by path.
    options
        Own keys of the pillar: none.
    bindv6only
        The value of ``net.ipv6.bindv6only`` when the sockets are opened.

    Returns ``files`` (none), ``bindv6only`` (what the units demand) and ``notes``. Raises ``SaltInvocationError`` with
    the drop-in to write for every unit that does not serve both families.

    CLI Example:

    .. code-block:: bash

        salt-call listen_systemd.dual_stack '{/lib/systemd/system/a.socket: {text: "[Socket]", includes: []}}' '{}'
    """
    demanded = None
    problems, notes = [], []
    for name, own in _units(files).items():
        notes += [
            f"{each['file']}:{each['line']}: {each['note']}: `{each['address']}`: left alone"
            for each in own
            if each["address"] not in WILDCARDS
        ]
        wildcards = [each for each in own if each["address"] in WILDCARDS]
        if any(not _dual(group, bindv6only) for group in _by_port(wildcards).values()):
            problems.append(_advice(name, wildcards))
        elif any(each["address"] == "::" and each["v6only"] is None for each in wildcards):
            demanded = bindv6only
    if problems:
        raise SaltInvocationError("\n".join(problems))
    return {"files": {}, "bindv6only": demanded, "notes": notes}


def _by_port(wildcards: list[dict[str, Any]]) -> dict[tuple, list[dict[str, Any]]]:
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for each in wildcards:
        groups.setdefault((each["transport"], each["port"]), []).append(each)
    return groups


def _dual(group: list[dict[str, Any]], bindv6only: int) -> bool:
    """Whether the sockets of one port serve both families, and can be bound together."""
    v4 = any(each["address"] == "0.0.0.0" for each in group)
    v6 = [each for each in group if each["address"] == "::"]
    alone = all(each["v6only"] or (each["v6only"] is None and bindv6only) for each in v6)
    return bool(v6) and alone == v4


def _advice(name: str, wildcards: list[dict[str, Any]]) -> str:
    """The drop-in that makes a unit dual-stack independently of the sysctl, in one sentence."""
    groups = _by_port(wildcards)
    ports = ", ".join(f"{transport}/{port}" for transport, port in groups)
    if all(each["address"] == "::" for each in wildcards):
        lines = ["BindIPv6Only=both"]
    else:
        lines = ["BindIPv6Only=ipv6-only"]
        for (transport, port), group in groups.items():
            kind = "ListenStream" if transport == "tcp" else "ListenDatagram"
            found = {each["address"] for each in group}
            wanted = {"0.0.0.0": f"{kind}=0.0.0.0:{port}", "::": f"{kind}=[::]:{port}"}
            lines += [line for address, line in wanted.items() if address not in found]
    return (
        f"{name} does not serve both families on {ports}; "
        f"write {FOLDERS[0]}/{name}.d/{DROP_IN} with the lines [Socket], {', '.join(lines)}"
    )


def _units(files: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The listeners of every unit, by its name, in the order of the files."""
    result: dict[str, list[dict[str, Any]]] = {}
    for path in files:
        folder, _, name = path.rpartition("/")
        if folder not in FOLDERS or not name.endswith(".socket") or name.endswith("@.socket") or name in result:
            continue
        main = next(f"{each}/{name}" for each in FOLDERS if f"{each}/{name}" in files)
        result[name] = _listeners(name, [main, *_drop_ins(name, files)], files)
    return result


def _drop_ins(name: str, files: dict[str, dict[str, Any]]) -> list[str]:
    """The drop-ins of a unit in the order in which they count: by file name, of which the first one found counts."""
    stem = name.removesuffix(".socket")
    # `a-b.socket` has a-b.socket.d, and with all others of that prefix a-.socket.d.
    prefixes = [stem[: match.end()] for match in re.finditer("-", stem)]
    own = [f"{each}.socket.d" for each in [stem, *reversed(prefixes)]] + ["socket.d"]
    found: dict[str, str] = {}
    for place in (f"{folder}/{each}/" for folder in FOLDERS for each in own):
        for path in files:
            if path.startswith(place):
                found.setdefault(path.removeprefix(place), path)
    return [found[each] for each in sorted(found)]


def _listeners(name: str, paths: list[str], files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What one unit opens, out of its file and its drop-ins."""
    result: list[dict[str, Any]] = []
    v6only = None
    for path in paths:
        for line, key, value in _assignments(files[path]["text"]):
            if key == "BindIPv6Only":
                v6only = V6ONLY.get(value, v6only)
            elif key in KINDS and not value:
                result = []
            elif key in TRANSPORTS and not value.startswith(NO_PORT):
                result.append({**_socket(value, name), "transport": TRANSPORTS[key], "file": path, "line": line})
    return [{**each, "v6only": v6only if each["port"] and ":" in each["address"] else None} for each in result]


def _socket(value: str, name: str) -> dict[str, Any]:
    match = ADDRESS.fullmatch(value)
    try:
        if match and 0 < int(match["port"]) < 65536:
            # systemd turns a bare port into 0.0.0.0 only where the kernel has no IPv6 at all.
            address = ipaddress.ip_address(match["v4"] or match["v6"] or "::")
            return {"port": int(match["port"]), "address": str(address), "note": name}
    except ValueError:
        pass
    reason = "a specifier: cannot decide" if "%" in value else "no address that systemd knows"
    return {"port": None, "address": value, "note": f"{name}: {reason}"}


def _assignments(text: str) -> list[tuple[int, str, str]]:
    """Line, key and value of the assignments in [Socket], systemd.syntax(7)."""
    result = []
    section, first, statement = "", 0, ""
    # One line more than there is, as a backslash at the end of the file continues nothing.
    for number, line in enumerate([*text.split("\n"), ""], 1):
        line = line.strip(" \t\r")
        if line.startswith(("#", ";")):
            continue  # even in the middle of a continued line
        first = first if statement else number
        statement += line
        if line.endswith("\\"):
            statement = statement[:-1] + " "
            continue
        if statement.startswith("["):
            section = statement
        elif section == "[Socket]" and "=" in statement:
            key, _, value = statement.partition("=")
            result.append((first, key.rstrip(" \t"), value.strip(" \t")))
        statement = ""
    return result
