"""
The listeners in the configuration of lighttpd. It never accesses the host.

The services are plug-ins: an execution module ``listen_<service>`` with the functions of this one.

* Measured with 1.4.69: without ``server.bind`` it listens on 0.0.0.0 only. ``[::]`` is IPv6 only, since lighttpd sets
  ``IPV6_V6ONLY`` itself; ``server.set-v6only = "disable"`` leaves that to the kernel, for all sockets, wherever it
  stands. Beside an IPv4 socket such a ``[::]`` does not start with ``net.ipv6.bindv6only=0``.
* ``server.use-ipv6 = "enable"`` *moves* every socket without an address to ``[::]``.
* A socket is opened for every ``$SERVER["socket"] == "..."``, even within other conditions. Sockets that are the same
  are opened once.
* Debian's ``use-ipv6.pl`` prints such a block for ``[::]``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import _dualstack_rooms

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_lighttpd as service_lighttpd
    import _dualstack_service_lighttpd_sockets as service_lighttpd_sockets
    import _dualstack_service_sites as service_sites
__virtualname__ = "listen_lighttpd"

MAIN = "/etc/lighttpd/lighttpd.conf"

WILDCARDS = tuple(service_addresses.OTHER)
# The words of a diff that are no secrets.
SHOWN = (
    "$SERVER $HTTP server.bind server.port server.use-ipv6 server.set-v6only ssl.engine server.modules else elseif "
    "include include_shell /usr/share/lighttpd/use-ipv6.pl"
).split()


def about() -> dict[str, Any]:
    """
    Facts about the service.

    Returns ``files``, ``processes``, ``units``, ``init``, ``options`` (none), ``check`` and ``protocols``. ``words``
    are those of its configuration that a diff may show; ``sites``: that it serves by name, and that
    :py:func:`dual_stack` takes a ``site``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_lighttpd.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/lighttpd *"],
        "executables": ["/usr/sbin/lighttpd"],
        "users": ["www-data"],
        "units": ["lighttpd.service"],
        "init": "lighttpd",
        "options": {},
        "check": ["lighttpd", "-tt", "-f", MAIN],
        "words": SHOWN,
        "protocols": {80: "http", 443: "https"},
        "sites": True,
        "names": True,
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path.
    text
        Its content.

    Returns absolute shell patterns in textual order. A pattern that needs a variable of another file is left out.
    Raises ``SaltInvocationError`` where the text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_lighttpd.includes /etc/lighttpd/lighttpd.conf 'include "conf-enabled/*.conf"'
    """
    return [event["pattern"] for event in service_lighttpd.events(path, text) if event["pattern"]]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The configured listeners, in textual order.

    files
        The text of every file that the service reads, with its includes, by path.

    Returns a list of dictionaries with ``port``, ``transport``, ``address``, ``v6only``, ``file``, ``line``, ``note``
    and ``protocol``. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_lighttpd.listeners '{/etc/lighttpd/lighttpd.conf: {text: "", includes: []}}'
    """
    found = [
        each for each in service_lighttpd_sockets.sockets(service_lighttpd_sockets.read(files)) if not each["unix"]
    ]
    # Blocks for the same socket are one.
    secure = {(each["address"], each["port"]) for each in found if each["tls"]}
    return [
        {
            "port": socket["port"],
            "transport": "tcp",
            "address": socket["address"],
            "v6only": socket["v6only"],
            "file": socket["path"],
            "line": socket["line"],
            "note": service_lighttpd_sockets.reason(socket),
            "protocol": "https" if (socket["address"], socket["port"]) in secure else "http",
        }
        for socket in found
    ]


def sites(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The host names that conditions compare with, and their ports.

    files
        The text of every file that the service reads, with its includes, by path.

    Returns a dictionary with ``names`` and TCP ``ports``, but those that are for this host only, for the conditions
    that hold on every socket, and one for each socket that has conditions of its own. Patterns are left out. Raises
    ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_lighttpd.sites '{/etc/lighttpd/lighttpd.conf: {text: "", includes: []}}'
    """
    state = service_lighttpd_sockets.read(files)
    opened = [
        each
        for each in service_lighttpd_sockets.sockets(state)
        if each["port"] and not each["unix"] and service_sites.reachable(each["address"])
    ]
    result = []
    names: dict[int, list[str]] = {}  # by the block around
    for name, around in state["hosts"]:
        names.setdefault(id(around), []).append(name)
    ports = [(id(None), {each["port"] for each in opened})]
    ports += [(id(each["block"]), {each["port"]}) for each in opened if each["block"]]
    for around, own in ports:
        found = service_sites.host_names(names.get(around, []))
        if found and own:
            result.append({"names": found, "ports": sorted(own)})
    return result


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families.

    files
        The text of every file that the service reads, with its includes, by path.
    options
        This service's own keys of the pillar: none.
    bindv6only
        The value of ``net.ipv6.bindv6only`` when the service starts.
    site
        The ``names`` that the pillar declares, and the ``addresses`` of this host that are published, a list for
        ``ipv4`` and one for ``ipv6``: what is on one of the former comes to be on the latter. ``None``: single
        addresses are left alone.

    A port that one family lacks gets a ``$SERVER["socket"]`` at the end of the main file, with a copy of what the other
    family's blocks hold. ``server.set-v6only = "disable"`` is switched if the sockets would not start, or would not
    serve IPv4.

    Returns ``files`` (those that change), ``always`` (those with only the blocks for single addresses), ``bindv6only``
    (what the result demands), ``notes``, and ``missing``: a list of what has no IPv6 and cannot be given it here, each
    with ``names``, ``port`` and what is ``said``. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_lighttpd.dual_stack '{/etc/lighttpd/lighttpd.conf: {text: "", includes: []}}' '{}'
    """
    state = service_lighttpd_sockets.read(files)
    published = service_sites.site(site) or service_sites.Site(frozenset(), [], [])
    ports = _by_port(service_lighttpd_sockets.sockets(state))
    plan = _Plan(_names(state), [], [], [], [], set())
    changed = {}
    left = [own for own in ports.values() if _left_to_the_kernel(own)]
    # A new socket would be left to the kernel, too.
    if any(bindv6only == _fails_with(own) for own in left) or any(_lacks(own, published) for own in ports.values()):
        changed = _with_v6only(files, state, plan)
        state = service_lighttpd_sockets.read(service_edits.afterwards(files, changed))
        ports = _by_port(service_lighttpd_sockets.sockets(state))
        left = [own for own in ports.values() if _left_to_the_kernel(own)]
    loose = any(each["value"] in service_lighttpd_sockets.OFF for each in state["set_v6only"])
    for port, own in ports.items():
        _add_singles(port, own, state, published, plan)
        if site:
            _miss_names(port, own, plan)
        for address in _lacks(own, published):
            if address != "::" or not loose:
                _add_wildcard(port, own, address, state, published, plan)
    main = state["main"]
    always = {main: service_edits.with_lines(files[main]["text"], plan.single)} if plan.single else {}
    if plan.single or plan.wildcard:
        changed[main] = service_edits.with_lines(state["files"][main]["text"], [*plan.single, *plan.wildcard])
    notes = [
        f"{socket['path']}:{socket['line']}: {socket['written']}: {service_lighttpd_sockets.reason(socket)}"
        for socket in service_lighttpd_sockets.sockets(state)
        if service_lighttpd_sockets.reason(socket) and socket["order"] not in plan.seen
    ]
    return {
        "files": changed,
        "always": always,
        "bindv6only": bindv6only if left else None,
        "notes": notes + plan.notes + state["notes"],
        "missing": plan.missing,
    }


class _Plan(NamedTuple):
    """What is to be added, and what is to be said."""

    names: dict[int, list[str]]  # of sites, by port
    single: list[str]  # blocks for single addresses
    wildcard: list[str]
    notes: list[str]
    missing: list[dict[str, Any]]
    seen: set[int]  # the sockets that have been seen to, by their numbers


def _lacks(own: list[dict[str, Any]], published: service_sites.Site) -> list[str]:
    """The wildcards that a port lacks, if it has one at all, and not single addresses that are all that matters."""
    present = {each["address"] for each in own}
    if not present & set(WILDCARDS) or _left_to_the_kernel(own):
        return []
    enough = {"0.0.0.0": published.ipv4, "::": published.ipv6}
    return [each for each in WILDCARDS if each not in present and present.isdisjoint(enough[each])]


def _add_singles(
    port: int, own: list[dict[str, Any]], state: dict[str, Any], published: service_sites.Site, plan: _Plan
) -> None:
    """The published addresses of IPv6, for a port on published ones of IPv4."""
    present = {each["address"] for each in own}
    counted = set(published.ipv4)
    if not counted and published.names and not published.names.isdisjoint(plan.names.get(port, [])):
        counted = {each for each in present if "." in each and service_sites.is_public(each)}
    model = [each for each in own if each["address"] in counted]
    reached = published.ipv6 or [each for each in present if ":" in each and service_sites.is_public(each)]
    if not model or not present.isdisjoint([*WILDCARDS, *reached]):
        return
    plan.seen.update(each["order"] for each in model)
    if not published.ipv6:
        _miss(port, model[0], "no IPv6 address of this host is known that it could have, too", plan)
    elif len({_body(each, state).strip() for each in model}) > 1:
        why = "its sockets hold different settings; write a block for each IPv6 address by hand"
        _miss(port, model[0], why, plan)
    else:
        _add(port, model[:1], published.ipv6, state, plan, plan.single)


def _miss_names(port: int, own: list[dict[str, Any]], plan: _Plan) -> None:
    """The sockets on host names, for a port on no address of IPv6 that others can reach, nor about to be."""
    present = {each["address"] for each in own}
    if not plan.seen.isdisjoint(each["order"] for each in own):
        return
    if present.isdisjoint(WILDCARDS) and not any(service_sites.is_public(each, 6) for each in present):
        for each in own:
            if service_sites.is_named(each["address"]):
                plan.seen.add(each["order"])
                _miss(port, each, service_addresses.NAMED, plan)


def _add_wildcard(
    port: int,
    own: list[dict[str, Any]],
    address: str,
    state: dict[str, Any],
    published: service_sites.Site,
    plan: _Plan,
) -> None:
    """A socket for a whole family, or those for the published addresses if one on another address is in the way."""
    version = service_addresses.version(address)
    model = [each for each in own if each["address"] in WILDCARDS]
    for each in own:
        if service_addresses.version(each["address"]) in (version, None):
            why = f"a socket on {address} port {port} would collide with it"
            if version == 4:
                plan.notes.append(f"{each['path']}:{each['line']}: `{each['written']}`: {why}: left alone")
            elif published.ipv6:
                _add(port, model, published.ipv6, state, plan, plan.single)
            else:
                _miss(port, each, f"{why}; remove it, or give each family its addresses by hand", plan)
            return
    _add(port, model, [address], state, plan, plan.wildcard)


def _add(
    port: int, model: list[dict[str, Any]], addresses: list[str], state: dict[str, Any], plan: _Plan, blocks: list[str]
) -> None:
    """Blocks for addresses, with the contents of others."""
    for each in model:
        if each["block"] and (each["block"]["chained"] or each["block"]["nested"]):
            names = " and ".join(f"{_name(address)}:{port}" for address in addresses)
            _miss(port, each, f"it is part of another condition; write the block for {names} by hand", plan)
            return
    bodies = [_body(each, state) for each in model if each["block"]]
    body = "".join(body for body in bodies if body.strip())
    if not bodies and state["settings"].get("ssl.engine", {}).get("value") not in (None, *service_lighttpd_sockets.OFF):
        # The only server-wide setting that is not passed on to sockets.
        body = service_lighttpd_sockets.SECURE
    blocks.extend(f'$SERVER["socket"] == "{_name(address)}:{port}" {{{body or " "}}}' for address in addresses)


def _miss(port: int, socket: dict[str, Any], why: str, plan: _Plan) -> None:
    said = f"{socket['path']}:{socket['line']}: `{socket['written']}`: {why}"
    plan.missing.append({"names": plan.names.get(port, []), "port": port, "said": said})


def _names(state: dict[str, Any]) -> dict[int, list[str]]:
    """The host names that conditions know for a port: on every socket, and on those of the port."""
    own: dict[int, list[str]] = {}
    for name, around in state["hosts"]:
        own.setdefault(id(around), []).append(name)
    result: dict[int, list[str]] = {}
    for each in service_lighttpd_sockets.sockets(state):
        if each["port"]:
            found = result.setdefault(each["port"], list(own.get(id(None), [])))
            found += own.get(id(each["block"]), []) if each["block"] else []
    return {port: service_sites.host_names(found) for port, found in result.items()}


def _left_to_the_kernel(own: list[dict[str, Any]]) -> bool:
    return any(each["address"] == "::" and each["v6only"] is None for each in own)


def _fails_with(own: list[dict[str, Any]]) -> int:
    """The ``net.ipv6.bindv6only`` with which a ``[::]`` without a setting collides, or does not serve IPv4."""
    return 0 if any(each["address"] == "0.0.0.0" for each in own) else 1


def _by_port(sockets: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    ports: dict[int, list[dict[str, Any]]] = {}
    for socket in sockets:
        if socket["port"] and socket["address"] and not socket["unix"]:
            ports.setdefault(socket["port"], []).append(socket)
    return ports


def _with_v6only(files: dict[str, dict[str, Any]], state: dict[str, Any], plan: _Plan) -> dict[str, str]:
    """The files in which every ``server.set-v6only`` is on."""
    edits: dict[str, dict[int, tuple[int, int, str]]] = {}  # by where they start: a file may be read twice
    for setting in state["set_v6only"]:
        if setting["value"] in service_lighttpd_sockets.OFF:
            term = (setting["expression"] or [service_lighttpd.END])[0]
            if len(setting["expression"] or []) != 1 or term.kind not in ("string", "number"):
                said = f"{setting['place']}: write server.set-v6only = \"enable\", without variables"
                plan.missing.append({"names": [], "port": None, "said": said})
                continue
            edits.setdefault(setting["path"], {})[term.start] = (term.start, term.end, '"enable"')
    return service_edits.rewritten(files, {path: each.values() for path, each in edits.items()})


def _name(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _body(socket: dict[str, Any], state: dict[str, Any]) -> str:
    """What stands between the braces of a block, or what a script prints there."""
    block = socket["block"]
    if not block:
        return ""
    text: str = (
        block["text"] if "text" in block else state["files"][socket["path"]]["text"][block["start"] : block["end"]]
    )
    return text
