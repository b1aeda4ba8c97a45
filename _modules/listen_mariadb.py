"""
How MariaDB's configuration says where it listens, and how it serves both families. It never accesses the host.

* Measured with Debian's 10.11: ``bind-address`` unset or ``*`` is both families, one socket each, with IPV6_V6ONLY set
  by itself; ``::`` alone is IPv6 only, unlike MySQL's, and ``skip-bind-address`` IPv4 only. A list has commas and no
  blanks. With an empty one, and with ``*`` beside another address, it does not start.
* Of all files and groups, the last assignment counts. Names may have ``-`` or ``_``, in either case.
* Debian's default is loopback: a database that is not for others is left alone.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_includes as service_includes
    import _dualstack_service_lists as service_lists
__virtualname__ = "listen_mariadb"

MAINS = ("/etc/my.cnf", "/etc/mysql/my.cnf")
BIND, PORT, EXTRA, SKIP = "bind-address", "port", "extra-port", "skip-networking"
UNBOUND = "skip-bind-address"
USUAL = "3306"
VERSION = "10.11"  # Debian 12's: `[mariadb-10.11]` is for this one only
BASES = ("mysqld", "mariadb", "mariadbd")
GROUPS = ("server", "client-server", "galera", *BASES, *(f"{each}-{VERSION}" for each in BASES))

INCLUDE = re.compile(r"[ \t\r]*!(?P<what>includedir|include)[ \t]+(?P<path>[^\r\n]*?)[ \t\r]*")
GROUP = re.compile(r"[ \t\r]*\[(?P<name>[^\]\n]*)\][^\n]*")
OPTION = re.compile(r"[ \t\r]*(?P<name>[A-Za-z][A-Za-z0-9_-]*)[ \t\r]*(?:=[ \t]*(?P<value>[^\n]*)|#[^\n]*)?")
# A comment begins with # outside of quotes.
VALUE = re.compile(r"""(?:"[^"\n]*"|'[^'\n]*'|[^#"'\n]|["'](?=[^"'\n]*$))*""")
QUOTED = re.compile(r"""(["'])(.*)\1""")
OFF = ("0", "off", "false")
NUMBER = re.compile(r"[0-9]{1,5}")
# The words of a diff that are no secrets.
SHOWN = "bind-address bind_address port extra-port extra_port skip-networking skip_networking mysqld mariadb".split()
ACCOUNTS = (
    "accounts that are bound to IPv4 addresses, such as 'user'@'192.0.2.%', do not match clients over IPv6: "
    "see User and Host in mysql.user"
)


class Statement(NamedTuple):
    path: str
    line: int
    kind: str  # include, or the name of a setting
    group: str
    value: str  # without quotes; of an include, its pattern
    span: tuple[int, int]  # of the value in the text, without quotes; of UNBOUND, that of its name


def about() -> dict[str, Any]:
    """
    Facts about the service.

    Returns ``files`` to begin reading with, patterns of its ``processes``, ``executables`` and ``units``, the ``users``
    that it runs as, its name for service(8), ``init``, its own keys in the pillar, ``options``, of which there are
    none, the command that checks its configuration (``check``: it prints the effective one, and does not start), and
    the ``protocols`` of its usual ports. ``words`` are those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_mariadb.about
    """
    programs = ["/usr/sbin/mariadbd", "/usr/sbin/mysqld"]
    return {
        "files": list(MAINS),
        "processes": [f"{each}{arguments}" for each in programs for arguments in ("", " *")],
        "executables": programs,
        "users": ["mysql"],
        "units": ["mariadb.service", "mariadb@*.service", "mysql.service"],
        "init": "mariadb",
        "sets_v6only": True,
        "sites": True,
        "options": {},
        "check": ["mariadbd", "--help", "--verbose"],
        "words": SHOWN,
        "protocols": {3306: "mysql"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path.
    text
        Its content.

    Returns shell patterns of absolute paths, in the order of the text.

    CLI Example:

    .. code-block:: bash

        salt-call listen_mariadb.includes /etc/mysql/my.cnf '!includedir /etc/mysql/conf.d/'
    """
    return [each.value for each in _statements(path, text) if each.kind == "include"]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    files
        Every file that MariaDB reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each socket with ``port``, ``transport``, ``protocol``, ``address``, ``v6only``,
    ``file``, ``line`` and ``note``; implicit ones are on line 0. Raises ``SaltInvocationError`` for files that include
    each other for ever.

    CLI Example:

    .. code-block:: bash

        salt-call listen_mariadb.listeners '{/etc/mysql/my.cnf: {text: "[mysqld]\\nport=3306", includes: []}}'
    """
    settings = _settings(files)
    bind = _bind(settings)
    path = next((each for each in MAINS if each in files), MAINS[-1])
    return [
        {
            "port": int(port) if NUMBER.fullmatch(port) else None,
            "transport": "tcp",
            "protocol": "mysql",
            "address": address,
            "v6only": True if ":" in address else None,
            "file": bind.path if bind else path,
            "line": bind.line if bind else 0,
            "note": service_lists.why_alone(address),
        }
        for port in _ports(settings)
        for address in _addresses(bind)
    ]


def dual_stack(
    files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0, site: dict[str, Any] | None = None
) -> dict[str, Any]:
    """
    The same configuration, listening on both families: an address is added to the one ``bind-address`` that counts.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; MariaDB does not care.
    site
        ``addresses``: the published ones of this host, by family. One that it listens on comes with those of IPv6.

    Returns ``files``, the new text of the file that changes, ``bindv6only``, ``None`` as it is immune, ``notes``,
    ``always``, which is empty, and ``missing``, what would be published and has no IPv6. Raises
    ``SaltInvocationError`` as :py:func:`listeners` does.

    CLI Example:

    .. code-block:: bash

        salt-call listen_mariadb.dual_stack '{/etc/mysql/my.cnf: {text: "[mysqld]\\nbind-address=0.0.0.0"}}' '{}'
    """
    settings = _settings(files)
    bind, ports = _bind(settings), _ports(settings)
    result: dict[str, Any] = {"files": {}, "bindv6only": None, "notes": _instances(files), "always": {}, "missing": []}
    if not ports and SKIP in settings:
        result["notes"] += [f"{_place(settings[SKIP])}: `{SKIP}`: it has no TCP port: left alone"]
    if not ports or bind is None:
        return result
    written = f"{_place(bind)}: `{f'{BIND} = {bind.value}' if bind.kind == BIND else bind.kind}`"
    found = service_lists.lack(_addresses(bind), site)
    if found.added:
        # `*` is both families; beside other addresses it is refused.
        value = "*" if bind.value in ("0.0.0.0", "0", "::") else ",".join([bind.value, *found.added])
        value = value if bind.kind == BIND else f"{BIND} = *"
        result["files"] = service_edits.rewritten(files, {bind.path: [(*bind.span, value)]})
        result["notes"] += [f"{written}: {ACCOUNTS}"]
    elif found.note:
        result["notes"] += [f"{written}: {found.note}"]
    elif found.missing:
        said = f"{written}: {found.missing}; add one, or write {BIND} = *"
        result["missing"] = [service_lists.gap(said, int(port)) for port in ports if NUMBER.fullmatch(port)]
    return result


def _place(statement: Statement) -> str:
    return f"{statement.path}:{statement.line}"


def _statements(path: str, text: str) -> Iterator[Statement]:
    """The statements of one file that matter here."""
    start, group = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        first, start = start, start + len(line) + 1
        if include := INCLUDE.fullmatch(line):
            folder = include["what"] == "includedir"
            pattern = posixpath.join(include["path"], "*.cnf") if folder else include["path"]
            yield Statement(path, number, "include", group, pattern, (first, first))
        elif header := GROUP.fullmatch(line):
            group = header["name"].strip()
        elif (option := OPTION.fullmatch(line)) and (name := _name(option["name"])):
            if name == UNBOUND:
                span = option.span("name")
                yield Statement(path, number, name, group, "0.0.0.0", (first + span[0], first + span[1]))
                continue
            begin = first + max(option.start("value"), 0)
            value = VALUE.match(option["value"] or "")
            written = value[0].rstrip(" \t\r") if value else ""
            if quoted := QUOTED.fullmatch(written):
                begin, written = begin + 1, quoted[2]
            yield Statement(path, number, name, group, written, (begin, begin + len(written)))


def _name(written: str) -> str:
    """The setting that a name means; empty for all others. Names may be cut short, as long as they are unique."""
    name = written.replace("_", "-").lower()
    name = name[len("loose-") :] if name.startswith("loose-") else name
    if name.startswith("bind") and BIND.startswith(name):
        return BIND
    return name if name in (PORT, EXTRA, SKIP, UNBOUND) else ""


def _walk(files: dict[str, dict[str, Any]]) -> Iterator[Statement]:
    """The settings of all files and groups, in the order in which MariaDB reads them."""

    def place(path: str, each: Statement) -> str:
        return f"{path}:{each.line}:1"

    for main in MAINS:
        for step in service_includes.walk(files, main, _statements, lambda each: int(each.kind == "include"), place):
            if step.statement.kind != "include":
                yield step.statement


def _settings(files: dict[str, dict[str, Any]]) -> dict[str, Statement]:
    """The settings that count: each the last of its name."""
    found: dict[str, Statement] = {}
    for each in _walk(files):
        if each.group in GROUPS:
            found.pop(each.kind, None)  # the last one is last
            found[each.kind] = each
    return found


def _instances(files: dict[str, dict[str, Any]]) -> list[str]:
    """Notes on what is for an instance of its own, such as mariadb@NAME: groups with a suffix."""
    return [
        f"{_place(each)}: `{each.kind}` of `[{each.group}]`, an instance of its own: left alone"
        for each in _walk(files)
        if each.kind in (BIND, UNBOUND)
        and each.group.partition(".")[0] in BASES
        and "." in each.group.replace(VERSION, "")
    ]


def _bind(settings: dict[str, Statement]) -> Statement | None:
    """What says which addresses: the last of its kinds."""
    return next((each for name, each in reversed(settings.items()) if name in (BIND, UNBOUND)), None)


def _ports(settings: dict[str, Statement]) -> list[str]:
    """Its ports, as they are written; none if it has no network."""
    skip = settings.get(SKIP)
    if skip and skip.value.lower() not in OFF:
        return []
    port = settings[PORT].value if PORT in settings else USUAL
    extra = settings[EXTRA].value if EXTRA in settings else ""
    return [port if port.strip("0") else USUAL, *([extra] if extra.strip("0") else [])]


def _addresses(bind: Statement | None) -> list[str]:
    """Its addresses, in canonical form."""
    if bind is None:
        return [service_lists.ANY4, service_lists.ANY6]
    words = [each.strip() for each in bind.value.split(",")]
    if any(word != each for word, each in zip(words, bind.value.split(","))):
        raise SaltInvocationError(f"{_place(bind)}:1: MariaDB takes no blanks in `{BIND} = {bind.value}`")
    if words == ["*"]:
        return [service_lists.ANY4, service_lists.ANY6]
    return [service_lists.ANY4 if each == "0" else service_addresses.canonical(each) for each in words]
