"""
The listeners in socket units, systemd.socket(5). PURE: never accesses the host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* A bare port, ``ListenStream=22``, is ``[::]:22``; what ``BindIPv6Only=`` then leaves to the kernel is IPv6 only with
  ``net.ipv6.bindv6only=1``. Debian's ``ssh.socket`` is such a unit: it would lock an administrator out.
* ``BindIPv6Only=`` applies to every socket of the unit, wherever it stands. An empty ``ListenStream=`` removes all
  listeners before it, of every kind.
* Whether a unit is enabled is not in its files: the kernel shows what listens.
* Units belong to their packages: they are read, and only those that the pillar names in ``units`` get a drop-in, which
  gives each port a socket of either family with ``IPV6_V6ONLY``, whatever ``net.ipv6.bindv6only`` is.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import _dualstack_rooms
from salt.exceptions import CommandExecutionError, SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_published as service_published
__virtualname__ = "listen_systemd"

# Where units are looked for, systemd.unit(5): the first file of a name counts, and masks the others.
FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
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
YES, NO = ("1", "yes", "y", "true", "t", "on"), ("0", "no", "n", "false", "f", "off")
# BindIPv6Only= takes a boolean as well.
V6ONLY = {"default": None, **dict.fromkeys(("both", *NO), False), **dict.fromkeys(("ipv6-only", *YES), True)}
ADDRESS = re.compile(r"(?:(?P<v4>[0-9.]+):|\[(?P<v6>[^\]]+)\]:)?(?P<port>[0-9]{1,5})(?:%\S+)?")
SSH = ("ssh.socket", "sshd.socket")
NO_PORT = ("/", "@", "vsock")
ANY4, ANY6, OTHER = service_addresses.ANY4, service_addresses.ANY6, service_addresses.OTHER
WILDCARDS = tuple(OTHER)
# Ours; the second name where there is a drop-in behind the first one that would undo it.
DROP_INS = ("dualstack.conf", "zz-dualstack.conf")
HEAD = "# Of the Salt state service_listen.dual_stack: sockets of both families, whatever net.ipv6.bindv6only is.\n"
OPTIONS = {"units": "the socket units that get a drop-in, such as [ssh.socket]"}
UNIT = re.compile(r"(?!.*@\.socket)[A-Za-z0-9:_.@\\-]+\.socket")
# The words of a diff that are no secrets.
SHOWN = "ListenStream ListenDatagram BindIPv6Only Socket both ipv6-only".split()


def about() -> dict[str, Any]:
    """
    Facts about socket units.

    Returns ``files``, ``processes``, ``units``, ``init``, ``options``, ``check`` and ``protocols``. There is nothing to
    restart as a whole, and no checker. ``words`` are those of its configuration that a diff may
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
        "executables": ["*/systemd-socket-activate", *programs],
        "users": [],
        "units": ["*.socket"],
        "init": "",
        "sites": True,
        "restarts": True,
        "options": OPTIONS,
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


def errors(options: dict[str, Any]) -> list[str]:
    """
    The errors in the values of the keys of the pillar that only socket units have.

    options
        Those keys. ``units`` is the list of the units that get a drop-in where they lack a family, or would lose one.

    Returns one sentence for each error.

    CLI Example:

    .. code-block:: bash

        salt-call listen_systemd.errors '{units: [ssh.socket]}'
    """
    units = options.get("units", [])
    if not isinstance(units, list):
        return [f"units: {units!r} is not a list; expected {OPTIONS['units']}"]
    return [
        f"units: {each!r} is not the name of a socket unit; expected one such as 'ssh.socket'"
        for each in units
        if not isinstance(each, str) or not UNIT.fullmatch(each)
    ]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The listeners of the socket units, each with its drop-ins.

    files
        The text of every unit and drop-in, by path.

    Returns a list of dictionaries with ``port``, ``transport``, ``address``, ``v6only``, ``file``, ``line`` and
    ``note``, which begins with the name of the unit; and ``protocol``, if the unit says it. Templates do not
    listen, their instances do.

    CLI Example:

    .. code-block:: bash

        salt-call listen_systemd.listeners '{/lib/systemd/system/a.socket: {text: "[Socket]", includes: []}}'
    """
    return [listener for own in _units(files).values() for listener in own]


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    How the socket units listen on both families: with a drop-in for those that the pillar names.

    files
        The text of every unit and drop-in, by path.
    options
        Own keys of the pillar; see :py:func:`errors`.
    bindv6only
        The value of ``net.ipv6.bindv6only`` when the sockets are opened.
    site
        The names that the pillar declares, and the addresses of this host that are published; with them, a unit of
        ``units`` on a published address of IPv4 gets a socket on each of IPv6.

    Returns ``files`` (the drop-ins, of which those that are not among the files given are new), ``bindv6only`` (what
    the units demand), ``notes``, and ``missing``, what cannot be had without an address. Without ``units``, raises
    ``SaltInvocationError`` with the drop-in to write for every unit that does not serve both families; with them, the
    others are notes.

    CLI Example:

    .. code-block:: bash

        salt-call listen_systemd.dual_stack '{/lib/systemd/system/a.socket: {text: "[Socket]", includes: []}}' '{}'
    """
    wrong = errors(options)
    if wrong:
        raise SaltInvocationError("; ".join(wrong))
    missing: list[dict[str, Any]] = []
    changed: dict[str, str] = {}
    folders = _folders(files)
    for name in options.get("units", []):
        changed.update(_converged(name, files, folders, site, missing))
    after = {**files, **{path: {"text": text, "includes": []} for path, text in changed.items()}}
    demanded = None
    problems, notes = [], []
    published = {each for family in service_published.addresses(site).values() for each in family}
    for name, own in _units(after).items():
        notes += [
            f"{each['file']}:{each['line']}: {each['note']}: `{each['address']}`: left alone"
            for each in own
            if each["address"] not in WILDCARDS and each["file"] not in changed
        ]
        wildcards = [each for each in own if each["address"] in WILDCARDS]
        beside = {(each["transport"], each["port"]) for each in own if each["address"] in published}
        groups = {port: group for port, group in _by_port(wildcards).items() if port not in beside}
        if any(not _dual(group, bindv6only) for group in groups.values()):
            problems.append(_advice(name, groups))
        elif any(each["address"] == ANY6 and each["v6only"] is None for each in wildcards):
            demanded = bindv6only
    if problems and not options.get("units"):
        raise SaltInvocationError("\n".join(problems))
    return {"files": changed, "bindv6only": demanded, "notes": notes + problems, "missing": missing}


def restart(files: dict[str, dict[str, Any]], options: dict[str, Any]) -> list[list[str]]:
    """
    The commands after which the units of the pillar listen as their files say.

    files
        The text of every unit and drop-in, by path, with the drop-ins of :py:func:`dual_stack`.
    options
        Own keys of the pillar; see :py:func:`errors`.

    Returns commands, to be run one after the other; none without ``units``. systemd does not start a socket whose
    service runs ("already active, refusing"): that is stopped with it, and the next client starts it again. Services
    for a client each (``Accept=yes``) go on, as do the sessions of sshd.

    CLI Example:

    .. code-block:: bash

        salt-call listen_systemd.restart '{}' '{units: [ssh.socket]}'
    """
    units = options.get("units", [])
    if not units:
        return []
    folders = _folders(files)
    services = []
    for name in units:
        paths = [each for each in (_main(name, files), *_drop_ins(name, folders)) if each]
        settings = {key: value for path in paths for _, key, value in _assignments(files[path]["text"])}
        if settings.get("Accept", "no").lower() not in YES:
            services.append(settings.get("Service") or f"{name.removesuffix('.socket')}.service")
    return [["systemctl", "daemon-reload"], ["systemctl", "stop", *units, *services], ["systemctl", "start", *units]]


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


def _advice(name: str, groups: dict[tuple, list[dict[str, Any]]]) -> str:
    """The drop-in that makes a unit dual-stack independently of the sysctl, in one sentence."""
    wildcards = [each for group in groups.values() for each in group]
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
        f"{name} does not serve both families on {ports}; add it to `units`, or "
        f"write {FOLDERS[0]}/{name}.d/{DROP_INS[0]} with the lines [Socket], {', '.join(lines)}"
    )


def _converged(
    name: str,
    files: dict[str, dict[str, Any]],
    folders: dict[str, list[str]],
    site: service_published.Site | None,
    missing: list[dict[str, Any]],
) -> dict[str, str]:
    """The drop-in of a unit, if it needs one that is not there yet; what it cannot do is put into ``missing``."""
    main = _main(name, files)
    if not main:
        raise CommandExecutionError(f"{name}: there is no such socket unit; expected one in {', '.join(FOLDERS)}")
    mine = {f"{FOLDERS[0]}/{name}.d/{each}" for each in DROP_INS}
    others = [each for each in _drop_ins(name, folders) if each not in mine]
    rows, v6only = _rows([main, *others], files)
    lines, problem = _lines(rows, v6only, service_published.addresses(site))
    if problem:
        line, said = problem
        missing.append(service_published.missing(site, line["port"], f"{line['file']}:{line['line']}: {name}: {said}"))
    last = max((each.rpartition("/")[2] for each in others), default="")
    ours = next((each for each in DROP_INS if each > last), "")
    if lines and not ours:
        raise SaltInvocationError(f"{name}: a drop-in behind {last} would not count; rename that one")
    path, text = f"{FOLDERS[0]}/{name}.d/{ours}", HEAD + "\n".join(["[Socket]", *lines, ""])
    return {path: text} if lines and files.get(path, {}).get("text") != text else {}


def _lines(
    rows: list[dict[str, Any]], v6only: bool | None, published: dict[str, list[str]]
) -> tuple[list[str], tuple[dict[str, Any], str] | None]:
    """The lines of a drop-in, none if the unit serves both families in any case; and what cannot be served, and why."""
    sockets: dict[tuple[str, Any], set[str]] = {}
    for row in rows:
        sockets.setdefault((row["key"], row["port"]), set()).add(row["address"])
    lines, done, needed, wild, problem = [], set(), False, False, None
    for row in rows:
        key, port, address = row["key"], row["port"], row["address"]
        beside = sockets[key, port]
        plain = f"{key}={row['value']}"
        if port is None:
            lines.append(plain)
        elif address in OTHER:
            alone = [each for each in beside if each not in OTHER]
            if alone and len(beside & set(OTHER)) == 1:
                if any(each in [*published["ipv4"], *published["ipv6"]] for each in alone):
                    return [], None  # it serves the other family, where that is published
                words = f"beside `{alone[0]}` there can be no socket for all addresses of both families"
                return [], (row, words)
            if (key, port) not in done:
                lines += [f"{key}={ANY4}:{port}", f"{key}=[{ANY6}]:{port}"]
                settled = v6only is (ANY4 in beside) and ANY6 in beside
                needed, wild = needed or not settled, True
            done.add((key, port))
        else:
            lines.append(plain)
            lacking = service_published.lacking(address, beside, published)
            if lacking is not None and (key, port) not in done:
                done.add((key, port))
                lines += [f"{key}=[{each}]:{port}" for each in lacking]
                needed = needed or bool(lacking)
                problem = problem if lacking else (row, f"`{plain}`: {service_published.UNKNOWN}")
    # The first line takes all others back, of every kind.
    return (["ListenStream=", *lines, *(["BindIPv6Only=ipv6-only"] if wild else [])] if needed else []), problem


def _units(files: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The listeners of every unit, by its name, in the order of the files."""
    result: dict[str, list[dict[str, Any]]] = {}
    folders = _folders(files)
    for path in files:
        folder, _, name = path.rpartition("/")
        if folder not in FOLDERS or not name.endswith(".socket") or name.endswith("@.socket") or name in result:
            continue
        rows, v6only = _rows([_main(name, files), *_drop_ins(name, folders)], files)
        result[name] = [_listener(row, name, v6only) for row in rows if row["transport"]]
    return result


def _main(name: str, files: dict[str, dict[str, Any]]) -> str:
    """The path of a unit's own file; empty if there is none."""
    return next((f"{each}/{name}" for each in FOLDERS if f"{each}/{name}" in files), "")


def _drop_ins(name: str, folders: dict[str, list[str]]) -> list[str]:
    """The drop-ins of a unit in the order in which they count: by file name, of which the first one found counts."""
    stem = name.removesuffix(".socket")
    # `a-b.socket` has a-b.socket.d, and with all others of that prefix a-.socket.d.
    prefixes = [stem[: match.end()] for match in re.finditer("-", stem)]
    own = [f"{each}.socket.d" for each in [stem, *reversed(prefixes)]] + ["socket.d"]
    found: dict[str, str] = {}
    for place in (f"{folder}/{each}" for folder in FOLDERS for each in own):
        for path in folders.get(place, []):
            found.setdefault(path.rpartition("/")[2], path)
    return [found[each] for each in sorted(found)]


def _folders(files: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The paths in each folder."""
    result: dict[str, list[str]] = {}
    for path in files:
        result.setdefault(path.rpartition("/")[0], []).append(path)
    return result


def _rows(paths: list[str], files: dict[str, dict[str, Any]]) -> tuple[list[dict[str, Any]], bool | None]:
    """What one unit opens, out of its file and its drop-ins, in their order; and what it says about IPV6_V6ONLY."""
    result: list[dict[str, Any]] = []
    v6only = None
    for path in paths:
        for line, key, value in _assignments(files[path]["text"]):
            if key == "BindIPv6Only":
                v6only = V6ONLY.get(value, v6only)
            elif key in KINDS and not value:
                result = []
            elif key in KINDS:
                transport = "" if value.startswith(NO_PORT) else TRANSPORTS.get(key, "")
                port, address = _socket(value) if transport else (None, "")
                row = {"key": key, "value": value, "transport": transport, "port": port, "address": address}
                result.append({**row, "file": path, "line": line})
    return result, v6only


def _listener(row: dict[str, Any], name: str, v6only: bool | None) -> dict[str, Any]:
    """One of these, as :py:func:`listeners` shows it."""
    listener = {key: row[key] for key in ("port", "address", "transport", "file", "line")}
    if name in SSH and row["transport"] == "tcp":
        listener["protocol"] = "ssh"
    if row["port"] is None:
        reason = "a specifier: cannot decide" if "%" in row["value"] else "no address that systemd knows"
        return {**listener, "note": f"{name}: {reason}", "v6only": None}
    return {**listener, "note": name, "v6only": v6only if ":" in row["address"] else None}


def _socket(value: str) -> tuple[int | None, str]:
    """Port and address of a value; no port where it has none that systemd knows."""
    match = ADDRESS.fullmatch(value)
    try:
        if match and 0 < int(match["port"]) < 65536:
            # systemd turns a bare port into 0.0.0.0 only where the kernel has no IPv6 at all.
            return int(match["port"]), str(ipaddress.ip_address(match["v4"] or match["v6"] or ANY6))
    except ValueError:
        pass
    return None, value


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
