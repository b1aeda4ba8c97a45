"""
How PostgreSQL's configuration says where it listens, and how it serves both families. It never accesses the host.

* Debian runs any number of clusters, each with a ``postgresql.conf`` and a port of its own; all are this service's.
* Measured with Debian's 15: ``listen_addresses = '*'`` is both families, one socket each, with IPV6_V6ONLY set by
  itself; ``'::'`` alone is IPv6 only. The default is ``localhost``.
* The last setting counts, and ``postgresql.auto.conf``, which ``ALTER SYSTEM`` writes, comes last. It is the daemon's
  own file, and never changed here.
* Whom it lets in is said by ``pg_hba.conf``: where 127.0.0.1 may come in, ::1 may.
"""

from __future__ import annotations

import posixpath
from typing import Any, NamedTuple

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_includes as service_includes
    import _dualstack_service_lists as service_lists
    import _dualstack_service_postgresql as service_postgresql
__virtualname__ = "listen_postgresql"

ROOT, DATA = "/etc/postgresql", "/var/lib/postgresql"
MAIN, HBA, AUTO = "postgresql.conf", "pg_hba.conf", "postgresql.auto.conf"
USUAL = 5432
# The words of a diff that are no secrets.
SHOWN = (
    "listen_addresses port include include_dir include_if_exists host hostssl hostnossl hostgssenc hostnogssenc local "
    "all replication samehost samenet sameuser trust reject md5 scram-sha-256 peer ident cert"
).split()

Statement = service_postgresql.Statement


class Cluster(NamedTuple):
    folder: str  # of its configuration
    listen: Statement | None
    port: int | None


def about() -> dict[str, Any]:
    """
    Facts about the service.

    Returns ``files`` to begin reading with, patterns of its ``processes``, ``executables`` and ``units``, the ``users``
    that it runs as, its name for service(8), ``init``, its own keys in the pillar, ``options``, of which there are
    none, and the ``protocols`` of its usual ports. ``check`` is empty: ``postgres -C`` refuses to run as root, and
    knows one cluster at a time. ``words`` are those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postgresql.about
    """
    program = "/usr/lib/postgresql/*/bin/postgres"
    return {
        "files": [f"{ROOT}/*/*/{MAIN}", f"{DATA}/*/*/{AUTO}", f"{ROOT}/*/*/{HBA}"],
        "processes": [program, f"{program} *"],
        "executables": [program],
        "users": ["postgres"],
        "units": ["postgresql.service", "postgresql@*.service"],
        "init": "postgresql",
        "sets_v6only": True,
        "sites": True,
        "options": {},
        "check": [],
        "words": SHOWN,
        "protocols": {USUAL: "postgresql"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path; relative ones begin in its folder.
    text
        Its content.

    Returns shell patterns of absolute paths, in the order of the text. Raises ``SaltInvocationError`` where the text
    cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postgresql.includes /etc/postgresql/15/main/postgresql.conf "include_dir = 'conf.d'"
    """
    return [pattern for each in _statements(path, text) for pattern in _patterns(each)]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that the configurations of all clusters ask for.

    files
        Every file that PostgreSQL reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each socket with ``port``, ``transport``, ``protocol``, ``address``, ``v6only``,
    ``file``, ``line`` and ``note``; implicit ones are on line 0. Raises ``SaltInvocationError`` where a text cannot be
    read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postgresql.listeners '{/etc/postgresql/15/main/postgresql.conf: {text: "port = 5433"}}'
    """
    return [
        {
            "port": cluster.port,
            "transport": "tcp",
            "protocol": "postgresql",
            "address": address,
            "v6only": True if ":" in address else None,
            "file": cluster.listen.path if cluster.listen else f"{cluster.folder}/{MAIN}",
            "line": cluster.listen.line if cluster.listen else 0,
            "note": service_lists.why_alone(address),
        }
        for cluster in _clusters(files)
        for address in _addresses(cluster.listen)
    ]


def dual_stack(
    files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0, site: dict[str, Any] | None = None
) -> dict[str, Any]:
    """
    The same configurations, listening on both families, and letting in ::1 where 127.0.0.1 may come in.

    files
        As :py:func:`listeners` takes them, and each cluster's pg_hba.conf.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; PostgreSQL does not care.
    site
        ``addresses``: the published ones of this host, by family. One that it listens on comes with those of IPv6.

    Returns ``files``, the new text of each file that changes, ``always``, those of pg_hba.conf, ``bindv6only``,
    ``None`` as it is immune, ``notes``, and ``missing``, what would be published and has no IPv6. Raises
    ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_postgresql.dual_stack '{/etc/postgresql/15/main/postgresql.conf: {text: ""}}' '{}'
    """
    edits: dict[str, list[tuple[int, int, str]]] = {}
    companions: dict[str, list[tuple[int, int, str]]] = {}
    notes: list[str] = []
    missing = []
    for cluster in _clusters(files):
        addresses = _addresses(cluster.listen)
        if cluster.listen:
            found = service_lists.lack(addresses, site)
            written = f"{cluster.listen.path}:{cluster.listen.line}: `listen_addresses = '{cluster.listen.value}'`"
            if found.added and posixpath.basename(cluster.listen.path) == AUTO:
                notes.append(f"{written}: left alone; use ALTER SYSTEM SET, or ALTER SYSTEM RESET listen_addresses")
            elif found.added:
                value = _widened(cluster.listen.value, found.added)
                edits.setdefault(cluster.listen.path, []).append((*cluster.listen.span, f"'{value}'"))
                addresses = [*addresses, *found.added]
            elif found.note:
                notes.append(f"{written}: {found.note}")
            elif found.missing:
                said = f"{written}: {found.missing}; add one, or write listen_addresses = '*'"
                missing.append(service_lists.gap(said, cluster.port))
        path = f"{cluster.folder}/{HBA}"
        if path in files and any(
            ":" in each and not service_lists.why_alone(each)[:8] == "loopback" for each in addresses
        ):
            companions[path], more = service_postgresql.companions(path, files[path]["text"])
            notes += more
    always = service_edits.rewritten(files, companions)
    return {
        "files": {**service_edits.rewritten(files, edits), **always},
        "always": always,
        "bindv6only": None,
        "notes": notes,
        "missing": missing,
    }


def _statements(path: str, text: str) -> list[Statement]:
    return [] if posixpath.basename(path) == HBA else list(service_postgresql.statements(path, text))


def _patterns(statement: Statement) -> list[str]:
    if statement.name not in service_postgresql.INCLUDES:
        return []
    path = posixpath.join(posixpath.dirname(statement.path), statement.value)
    return [posixpath.join(path, "*.conf") if statement.name == "include_dir" else path]


def _clusters(files: dict[str, dict[str, Any]]) -> list[Cluster]:
    """The clusters, each with the settings that count."""

    def place(path: str, each: Statement) -> str:
        return f"{path}:{each.line}:1"

    found = []
    for main in files:
        folder, name = posixpath.split(main)
        if name != MAIN or posixpath.dirname(posixpath.dirname(folder)) != ROOT:
            continue
        walked = service_includes.walk(files, main, _statements, lambda each: len(_patterns(each)), place)
        settings = {step.statement.name: step.statement for step in walked}
        data = settings.get("data_directory")
        auto = posixpath.join(data.value if data else folder.replace(ROOT, DATA, 1), AUTO)
        if auto in files:
            settings.update({each.name: each for each in _statements(auto, files[auto]["text"])})
        found.append(Cluster(folder, settings.get("listen_addresses"), _port(settings.get("port"))))
    return found


def _port(setting: Statement | None) -> int | None:
    if setting is None:
        return USUAL
    number = setting.value if setting.value.isascii() and setting.value.isdigit() else ""
    return int(number) if 0 < len(number) < 6 else None


def _addresses(listen: Statement | None) -> list[str]:
    """Its addresses, in canonical form."""
    words = [each.strip().strip('"') for each in (listen.value if listen else "localhost").split(",")]
    if "*" in words:
        return [service_lists.ANY4, service_lists.ANY6]
    return [service_addresses.canonical(each) for each in words if each]


def _widened(value: str, added: list[str]) -> str:
    """The list with more addresses, with commas as before; one wildcard alone becomes that of both."""
    if value.strip() in (service_lists.ANY4, service_lists.ANY6):
        return "*"
    comma = "," if "," in value and ", " not in value else ", "
    return comma.join([value, *added]).replace("'", "''")
