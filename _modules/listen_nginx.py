"""
How nginx's configuration says where it listens, and how it serves both families. It never accesses the host.

* ``listen 80`` is IPv4 only, and ``listen [::]:80`` is IPv6 only whatever ``net.ipv6.bindv6only`` says, since
  ``ipv6only=on`` is the default (nginx 1.3.4 and later): a server needs both lines.
* Every server gets its own second line: without it, a request over IPv6 would be answered by another server.
* Servers on one address are alone with each other there: those on all addresses do not answer on it.
* ``listen 80`` beside ``listen [::]:80 ipv6only=off`` passes ``nginx -t`` and fails at the start: refused here.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_nginx as service_nginx
    import _dualstack_service_nginx_servers as service_nginx_servers
    import _dualstack_service_sites as service_sites
__virtualname__ = "listen_nginx"

MAIN = service_nginx_servers.MAIN

ANY4, ANY6, OTHER = service_nginx_servers.ANY4, service_nginx_servers.ANY6, service_nginx_servers.OTHER

_quoted, _named = service_nginx_servers.quoted, service_nginx_servers.named

DEFAULTS = ("default", "default_server")
# Parameters of the socket: only one `listen` of all that share an address and port may have them.
SOCKET = re.compile(
    r"(?:setfib|fastopen|backlog|rcvbuf|sndbuf|accept_filter|ipv6only|so_keepalive)=.*|deferred|bind|reuseport", re.S
)
# The words of a diff that are no secrets.
SHOWN = (
    "events location default_server reuseport deferred backlog fastopen so_keepalive setfib rcvbuf sndbuf "
    "accept_filter http3 server_name stream mail _ resolver ipv6 set_real_ip_from geo"
).split()

Key = tuple[str, str, str, str]  # the kind of a server, an address, and a socket


class _Plan(NamedTuple):
    """What is to be added, and what is to be said."""

    lines: dict[int, dict[tuple[str, int], list[str]]]  # by the number of a server, and a statement of it
    taken: dict[Key, set[str]]  # which parameters that may stand only once an address has
    notes: list[str]
    missing: list[dict[str, Any]]


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes`` and ``units``, its name for service(8),
    ``init``, its own keys in the pillar, ``options``, of which there are none, the command that checks its
    configuration, and the ``protocols`` of its usual ports. ``words`` are those of its configuration that a diff may
    show; ``sites``: that it serves by name, and that :py:func:`dual_stack` takes a ``site``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_nginx.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/nginx*"],
        "executables": ["/usr/sbin/nginx*"],
        "users": ["www-data", "nginx"],
        "units": ["nginx.service"],
        "init": "nginx",
        "sets_v6only": True,
        "options": {},
        "check": ["nginx", "-t"],
        "words": SHOWN,
        "protocols": {80: "http", 443: "https"},
        "sites": True,
        "names": True,
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path, for errors.
    text
        Its content.

    Returns shell patterns of absolute paths, in the order of the text; relative ones start in /etc/nginx. Raises
    ``SaltInvocationError`` where the text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_nginx.includes /etc/nginx/nginx.conf 'include conf.d/*.conf;'
    """
    return [
        pattern for each in service_nginx.statements(path, text) for pattern in service_nginx_servers.patterns(each)
    ]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for, UNIX sockets left out.

    files
        Every file that nginx reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each ``listen``, in the order of the text, with ``port``, ``transport``, ``address``,
    ``v6only``, ``file``, ``line`` and ``note``, and with ``protocol`` where it is known. A server of ``http`` without
    ``listen`` has port 80 of IPv4, on line 0. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_nginx.listeners '{/etc/nginx/nginx.conf: {text: "http { server { listen 80; } }"}}'
    """
    servers = service_nginx_servers.servers(service_nginx_servers.blocks(files))
    shared = service_nginx_servers.both(servers)
    secure = service_nginx_servers.encrypted(servers)
    result = []
    for server in servers:
        for each in server.listens:
            if each.address == "unix":
                continue
            implied = each.statement is server.statement
            spoken = service_nginx_servers.protocol(server, each, secure)
            result.append(
                {
                    "port": int(each.port) if each.port.isdecimal() else None,
                    "transport": each.transport,
                    "address": each.address,
                    "v6only": (each.address, *each.socket) not in shared if ":" in each.address else None,
                    "file": MAIN if implied else each.statement.path,
                    "line": 0 if implied else each.statement.line,
                    "note": f"{each.note}: {service_nginx_servers.place(each.statement)}" if implied else each.note,
                    **({"protocol": spoken} if spoken else {}),
                }
            )
    return result


def sites(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The host names that are served, and on which ports.

    files
        As :py:func:`listeners` takes them.

    Returns one dictionary for each server of ``http`` with a name, in the order of the text: its ``names``, without
    patterns and ``_``; its TCP ``ports``, but those that are for this host only; and the ``families`` of each port.
    Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_nginx.sites '{/etc/nginx/nginx.conf: {text: "http { server { server_name a.example; } }"}}'
    """
    result = []
    servers = service_nginx_servers.servers(service_nginx_servers.blocks(files))
    shared = service_nginx_servers.both(servers)
    for server in servers:
        ports: dict[int, set[str]] = {}
        for each in server.listens:
            if each.transport == "tcp" and each.port.isdecimal() and service_sites.reachable(each.address):
                own = ("ipv4", "ipv6") if (each.address, *each.socket) in shared else _family(each.address)
                ports.setdefault(int(each.port), set()).update(own)
        names = service_sites.host_names(server.names)
        if names and ports and server.kinds[0] == "http":
            families = {port: sorted(found) for port, found in sorted(ports.items())}
            result.append({"names": names, "ports": sorted(ports), "families": families})
    return result


def _family(address: str) -> tuple[str, ...]:
    """The family of an address; none for a host name."""
    version = service_addresses.version(address)
    return (f"ipv{version}",) if version else ()


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families: lines are added, none is changed.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; nginx does not care.
    site
        The ``names`` that the pillar declares, and the ``addresses`` of this host that are published, a list for
        ``ipv4`` and one for ``ipv6``: a server on one of the former comes to be on the latter. ``None``: single
        addresses are left alone.

    Returns ``files``, the new text of each file that changes, ``always``, which is the same, as each of these lines is
    a server's own, ``bindv6only``, ``None`` as it is immune, ``notes``, and ``missing``: a list of what has no IPv6 and
    cannot be given it here, each with ``names``, ``port`` and what is ``said``. Raises ``SaltInvocationError`` where a
    text cannot be read, and where two statements take each other's port, so that nginx would not start.

    CLI Example:

    .. code-block:: bash

        salt-call listen_nginx.dual_stack '{/etc/nginx/nginx.conf: {text: "http { server { listen 80; } }"}}' '{}'
    """
    blocks = service_nginx_servers.blocks(files)
    servers = service_nginx_servers.servers(blocks)
    shared = service_nginx_servers.both(servers)
    service_nginx_servers.refuse_conflicts(servers, shared)
    plan = _Plan({}, _taken(servers), [], [])
    published = service_sites.site(site)
    gained, alone = _add_wildcards(plan, servers, shared, published or service_sites.Site(frozenset(), [], []))
    stuck = {(servers[number].kinds[0], *each.socket) for number, each, _ in alone}
    handled = _add_singles(plan, servers, shared, gained, stuck, published) if published else set()
    for number, each, other in alone:
        if (number, each.socket) not in handled:
            why = (
                f"{_named(other.statement)} has a socket of its own, and would not start beside one for all addresses; "
                "take its parameters away"
            )
            _miss(plan, servers[number], each, why)
    for number, server in enumerate(servers):
        for each in server.listens:
            if published and each.port and service_sites.is_named(each.address):
                if not _has_six(server, each) and (number, each.socket) not in handled:
                    _miss(plan, server, each, service_addresses.NAMED)
            elif each.note and each.address not in OTHER and (number, each.socket) not in handled:
                plan.notes.append(f"{_quoted(each.statement)}: {each.note}")
    plan.notes.extend(
        f"{service_nginx_servers.place(each.statement)}: a server that was left alone: {each.missing[0]} is not known "
        "here"
        for each in blocks
        if service_nginx_servers.is_server(each) and not each.listens and each.missing
    )
    edits = _edits(files, servers, plan)
    if edits or any(":" in each.address and each.address != "::1" for server in servers for each in server.listens):
        for statement in service_nginx_servers.blind_to_loopback(blocks):
            # By its place: a file that several servers include is changed once.
            edits.setdefault(statement.path, {})[statement.start, "allow ::1;"] = service_nginx_servers.insertion(
                files[statement.path]["text"], statement, ["allow ::1;"]
            )
        plan.notes.extend(service_nginx_servers.one_family_lists(blocks))
    texts = service_edits.rewritten(files, {path: each.values() for path, each in edits.items()})
    return {
        "files": texts,
        "always": texts,
        "bindv6only": None,
        "notes": list(dict.fromkeys(plan.notes)),
        "missing": plan.missing,
    }


def _spot(statement: service_nginx.Statement) -> tuple[str, int]:
    return statement.path, statement.start


def _taken(servers: list[service_nginx_servers.Block]) -> dict[Key, set[str]]:
    """Every address of each kind of server, with the parameters that may stand only once and are there already."""
    result: dict[Key, set[str]] = {}
    for server in servers:
        for each in server.listens:
            flags = result.setdefault((server.kinds[0], each.address, *each.socket), set())
            words = service_nginx_servers.parameters(each)
            flags.update(["default"] if any(word in DEFAULTS for word in words) else [])
            flags.update(["socket"] if any(map(SOCKET.fullmatch, words)) else [])
    return result


def _add(
    plan: _Plan, number: int, server: service_nginx_servers.Block, model: service_nginx_servers.Listen, address: str
) -> None:
    """A line for another address, with the parameters of the first but those that this address already has."""
    lines = plan.lines.setdefault(number, {}).setdefault(_spot(model.statement), [])
    target = model.port if address == ANY4 else f"[{address}]:{model.port}"
    if model.statement is server.statement:
        lines += ["listen 80;"] if "listen 80;" not in lines else []
    flags = plan.taken.setdefault((server.kinds[0], address, *model.socket), set())
    words = [
        word
        for word in service_nginx_servers.parameters(model)
        if not word.startswith("ipv6only=")
        and not ("default" in flags and word in DEFAULTS)
        and not ("socket" in flags and SOCKET.fullmatch(word))
    ]
    flags.update(["default"] if any(word in DEFAULTS for word in words) else [])
    flags.update(["socket"] if any(map(SOCKET.fullmatch, words)) else [])
    lines.append(" ".join(["listen", target, *words]) + ";")


def _add_singles(
    plan: _Plan,
    servers: list[service_nginx_servers.Block],
    shared: dict[tuple[str, str, str], service_nginx_servers.Listen],
    gained: list[tuple[int, str, service_nginx_servers.Listen]],
    stuck: set[tuple[str, str, str]],
    published: service_sites.Site,
) -> set[tuple[int, tuple[str, str]]]:
    """Lines for single addresses. Returns the servers that were seen to, with their sockets."""
    holds = [
        service_sites.Hold(number, address, (servers[number].kinds[0], *each.socket), each)
        for number, address, each in gained
    ]
    for number, server in enumerate(servers):
        for each in server.listens:
            if each.port:
                both = each.address == ANY6 and (ANY6, *each.socket) in shared
                holds += [
                    service_sites.Hold(number, address, (server.kinds[0], *each.socket), each)
                    for address in ([ANY4, ANY6] if both else [each.address])
                ]
    names = [server.names or [""] for server in servers]
    chosen = [server.names or [""] if server.kinds[0] == "http" else [] for server in servers]
    added, missing = service_sites.lacking(holds, names, published, stuck, chosen)
    claims: dict[Key, set[int]] = {}
    for hold, address in added:
        claims.setdefault((servers[hold.server].kinds[0], address, *hold.what.socket), set()).add(hold.server)
    for hold, address in added:
        server, listen = servers[hold.server], hold.what
        key = (server.kinds[0], address, *listen.socket)
        if server.kinds[0] != "http" and (key in plan.taken or len(claims[key]) > 1):
            # Without a name to choose by, one address and port has one server.
            why = f"several servers would be on [{address}]:{listen.port}; give each an IPv6 address of its own by hand"
            missing.append(service_sites.Missing(hold, why))
            continue
        if any((server.kinds[0], each, *listen.socket) in plan.taken for each in OTHER):
            # nginx has one socket for all addresses then, unless one of them has parameters of its own.
            plan.taken.setdefault(key, set()).add("socket")
        _add(plan, hold.server, server, listen, address)
    for hold, why in missing:
        _miss(plan, servers[hold.server], hold.what, why)
    return {(hold.server, hold.what.socket) for hold, _ in [*added, *missing]}


def _has_six(server: service_nginx_servers.Block, listen: service_nginx_servers.Listen) -> bool:
    """Whether a server is on the same port of an IPv6 address that others can reach, or is about to be."""
    own = [each.address for each in server.listens if each.socket == listen.socket]
    return any(address in OTHER or service_sites.is_public(address, 6) for address in own)


def _miss(plan: _Plan, server: service_nginx_servers.Block, listen: service_nginx_servers.Listen, why: str) -> None:
    plan.missing.append(
        {
            "names": service_sites.host_names(server.names),
            "port": int(listen.port) if listen.port.isdecimal() else None,
            "said": f"{_quoted(listen.statement)}: {why}",
        }
    )


def _add_wildcards(
    plan: _Plan,
    servers: list[service_nginx_servers.Block],
    shared: dict[tuple[str, str, str], service_nginx_servers.Listen],
    published: service_sites.Site,
) -> tuple[
    list[tuple[int, str, service_nginx_servers.Listen]],
    list[tuple[int, service_nginx_servers.Listen, service_nginx_servers.Listen]],
]:
    """
    Lines for all addresses of the other family. Returns the servers that get one, and those that cannot get that
    of IPv6 because of a socket that is in the way.
    """
    gained, alone = [], []
    sockets = [_wildcards(server) for server in servers]
    # Servers that have a name in one family only are not to meet their counterpart of the other family.
    halves: dict[Key, dict[str, service_nginx_servers.Listen]] = {}
    separate = {}
    for server, wildcards in zip(servers, sockets):
        for each in server.listens:
            if each.address not in OTHER and any(map(SOCKET.fullmatch, service_nginx_servers.parameters(each))):
                separate[":" in each.address, each.socket] = each
            if each.address in published.ipv4:
                # The other half of one on all addresses of IPv6.
                named = halves.setdefault((server.kinds[0], ANY4, *each.socket), {})
                named.update({name: each for name in server.names or [""]})
        for socket, found in wildcards.items():
            for address, each in found.items():
                if OTHER[address] not in found:
                    named = halves.setdefault((server.kinds[0], address, *socket), {})
                    named.update({name: each for name in server.names or [""]})
    for number, (server, wildcards) in enumerate(zip(servers, sockets)):
        for socket, found in wildcards.items():
            address, each = next(iter(found.items()))
            other = OTHER[address]
            if len(found) == 2 or (ANY6, *socket) in shared or _whole(server, socket, other, published):
                continue
            known = halves.get((server.kinds[0], other, *socket), {})
            twin = next((known[name] for name in server.names or [""] if name in known), None)
            if twin:
                plan.notes.append(
                    f"{_quoted(each.statement)} was left alone: {_named(twin.statement)} serves the other family"
                )
            elif (False, socket) in separate and other == ANY4:
                plan.notes.append(
                    f"{_quoted(each.statement)} was left alone: "
                    f"{_named(separate[False, socket].statement)} has the port in IPv4"
                )
            elif (True, socket) in separate and other == ANY6:
                alone.append((number, each, separate[True, socket]))
            else:
                _add(plan, number, server, each, other)
                gained.append((number, other, each))
    return gained, alone


def _whole(
    server: service_nginx_servers.Block, socket: tuple[str, str], other: str, published: service_sites.Site
) -> bool:
    """Whether single addresses of a server are all that matters of a family."""
    own = {each.address for each in server.listens if each.socket == socket}
    if other == ANY4:
        return not own.isdisjoint(published.ipv4)
    return bool(published.ipv6) and own.issuperset(published.ipv6)


def _wildcards(server: service_nginx_servers.Block) -> dict[tuple[str, str], dict[str, service_nginx_servers.Listen]]:
    """The sockets of a server that are open to every address, by family."""
    result: dict[tuple[str, str], dict[str, service_nginx_servers.Listen]] = {}
    for each in server.listens:
        if each.address in OTHER:
            result.setdefault(each.socket, {}).setdefault(each.address, each)
    return result


def _edits(
    files: dict[str, dict[str, Any]], servers: list[service_nginx_servers.Block], plan: _Plan
) -> dict[str, dict[tuple[int, str], tuple[int, int, str]]]:
    """
    Where the lines go: below the statement that they belong to; if other servers read that too, and do not lack the
    same, into the server itself.
    """
    wanted: dict[tuple[str, int], dict[tuple[str, ...], list[int]]] = {}
    statements = {}
    for number, server in enumerate(servers):
        for spot, statement in {_spot(each.statement): each.statement for each in server.listens}.items():
            lines = tuple(plan.lines.get(number, {}).get(spot, []))
            wanted.setdefault(spot, {}).setdefault(lines, []).append(number)
            statements[spot] = statement
    edits: dict[str, dict[tuple[int, str], tuple[int, int, str]]] = {}
    for spot, choices in wanted.items():
        for lines, numbers in choices.items():
            places = [statements[spot]] if len(choices) == 1 else [servers[number].statement for number in numbers]
            for place in places if lines else []:
                edits.setdefault(place.path, {})[place.start, "\n".join(lines)] = service_nginx_servers.insertion(
                    files[place.path]["text"], place, lines
                )
    return edits
