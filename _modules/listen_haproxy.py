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
* A frontend on one address has it for itself, whoever else is on all addresses.
* ``v4v6`` and ``v6only`` work the same for ``dgram-bind`` and in ``log-forward``.
"""

from __future__ import annotations

from typing import Any

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_haproxy as service_haproxy
    import _dualstack_service_haproxy_lines as service_haproxy_lines
    import _dualstack_service_haproxy_sites as service_haproxy_sites
    import _dualstack_service_sites as service_sites
__virtualname__ = "listen_haproxy"

MAIN = "/etc/haproxy/haproxy.cfg"
# The words of a diff that are no secrets.
SHOWN = (
    "frontend backend defaults global dgram-bind bind-process crt alpn h2 http/1.1 accept-proxy transparent interface "
    "name mode id nbproc process defer-accept acl src hdr use_backend"
).split()


def about() -> dict[str, Any]:
    """
    Facts about the service.

    Returns ``files``, ``processes``, ``units``, ``init``, ``options`` (none), ``check`` and ``protocols``. ``words``
    are those of its configuration that a diff may show; ``sites``: that it serves by name, and that
    :py:func:`dual_stack` takes a ``site``.

    CLI Example:

    .. code-block:: bash

        salt-call listen_haproxy.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/haproxy *"],
        "executables": ["/usr/sbin/haproxy"],
        "users": ["haproxy"],
        "shares_ports": True,
        "units": ["haproxy.service"],
        "init": "haproxy",
        "options": {},
        "check": ["haproxy", "-c", "-q", "-f", MAIN],
        "words": SHOWN,
        "protocols": {80: "http", 443: "https"},
        "sites": True,
        "names": True,
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
    ``note``, and with ``protocol`` where it is known; a range of ports gives one for every port. Raises
    ``SaltInvocationError`` for a quote that is not closed.

    CLI Example:

    .. code-block:: bash

        salt-call listen_haproxy.listeners '{/etc/haproxy/haproxy.cfg: {text: "", includes: []}}'
    """
    return [
        {
            "port": port,
            "transport": item["transport"],
            "address": item["address"],
            "v6only": service_haproxy_lines.v6only(statement, item),
            "file": statement["path"],
            "line": statement["line"],
            "note": service_haproxy_lines.reason(statement, item)
            or ("inside .if: taken as in force" if statement["conditional"] else ""),
            **({"protocol": spoken} if (spoken := service_haproxy_lines.protocol(statement, item, port)) else {}),
        }
        for statement in _all_statements(files)
        for item in statement["items"]
        if item["transport"] != "unix"
        for port in item["ports"] or [None]
    ]


def sites(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The host names that frontends choose by, and their ports.

    files
        The text of every file that the service reads, by path.

    Returns one dictionary for each section that compares the name that a client asks for: the ``names``, without
    patterns and those in files of their own, and its TCP ``ports``, but those that are for this host only and ranges.
    Raises ``SaltInvocationError`` for a quote that is not closed.

    CLI Example:

    .. code-block:: bash

        salt-call listen_haproxy.sites '{/etc/haproxy/haproxy.cfg: {text: "", includes: []}}'
    """
    result = []
    for path, file in files.items():
        ports: dict[int, set[int]] = {}
        for statement in service_haproxy.statements(path, file["text"]):
            ports.setdefault(statement["section"]["line"], set()).update(
                item["ports"][0]
                for item in statement["items"]
                if item["transport"] == "tcp" and len(item["ports"]) == 1 and service_sites.reachable(item["address"])
                if not statement["section"]["disabled"] and statement["keyword"] != "stats"
            )
        for section, names in service_haproxy_sites.names(list(service_haproxy_sites.conditions(file["text"]))).items():
            if names and ports.get(section):
                result.append({"names": names, "ports": sorted(ports[section])})
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
        The text of every file that the service reads, by path.
    options
        This service's own keys of the pillar: none.
    bindv6only
        The value of ``net.ipv6.bindv6only`` when the service starts. The result is the same for both: every wildcard
        states its families explicitly.
    site
        The ``names`` that the pillar declares, and the ``addresses`` of this host that are published, a list for
        ``ipv4`` and one for ``ipv6``: what is on one of the former comes to be on the latter. ``None``: single
        addresses are left alone.

    A wildcard without its counterpart of the other family gets it as an address of its own, ``*:80,:::80 v6only``, so
    that IPv4 clients keep their plain addresses; a ``::`` beside a ``*`` gets ``v6only``. A ``:::80 v4v6`` that has the
    port for itself serves both and is left alone.

    Returns ``files`` (those that change), ``always`` (those with only the edits for single addresses), ``bindv6only``
    (what the result demands: nothing), ``notes``, and ``missing``: a list of what cannot be given the other family
    here, each with ``names``, ``port`` and what is ``said``. Raises ``SaltInvocationError`` for a quote that is not
    closed.

    CLI Example:

    .. code-block:: bash

        salt-call listen_haproxy.dual_stack '{/etc/haproxy/haproxy.cfg: {text: "", includes: []}}' '{}'
    """
    statements = _all_statements(files)
    found = {path: list(service_haproxy_sites.conditions(file["text"])) for path, file in files.items()}
    names = {path: service_haproxy_sites.names(each) for path, each in found.items()}
    covered = {
        (item["address"], *socket)
        for statement in statements
        for item in service_haproxy_lines.wildcards(statement)
        for socket in service_haproxy_lines.sockets(statement, item)
    }
    for statement in statements:
        statement["dual"] = service_haproxy_lines.serves_both(statement, covered)
    # Another line with the same port has to leave IPv4 to these.
    covered |= {
        ("0.0.0.0", *socket)
        for statement in statements
        if statement["dual"]
        for item in service_haproxy_lines.wildcards(statement)
        for socket in service_haproxy_lines.sockets(statement, item)
    }
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes = []
    missing = []

    def miss(statement: dict[str, Any], item: dict[str, Any], said: str) -> None:
        own = names[statement["path"]].get(statement["section"]["line"], [])
        missing.append({"names": own, "port": item["ports"][0], "said": said})

    for statement in statements:
        statement["refused"] = False
        if statement["dual"]:
            notes.append(
                f"{service_haproxy_lines.place(statement)}: v4v6 serves both families already: left alone; "
                "logs and X-Forwarded-For show its IPv4 clients as ::ffff:192.0.2.1"
            )
            continue
        try:
            edits.setdefault(statement["path"], []).extend(service_haproxy_lines.edits(statement, covered))
        except SaltInvocationError as error:  # of this line alone: the others are no worse for it
            statement["refused"] = True
            miss(statement, service_haproxy_lines.wildcards(statement)[0], str(error))
    published = service_sites.site(site)
    single = _singles(statements, covered, published) if published else []
    always: dict[str, list[tuple[int, int, str]]] = {}
    for statement, item, address, why in single:
        if why:
            miss(statement, item, f"{service_haproxy_lines.place(statement, item)}: `{item['text']}`: {why}")
        else:
            always.setdefault(statement["path"], []).append(service_haproxy_lines.also(item, address))
    seen = {id(item) for _, item, _, _ in single}
    for statement in statements:
        for item in statement["items"]:
            reason = service_haproxy_lines.reason(statement, item)
            if reason and id(item) not in seen:
                notes.append(f"{service_haproxy_lines.place(statement)}: `{item['text']}`: {reason}")
    notes += [note for path, each in found.items() for note in service_haproxy_sites.one_family(path, each)]
    return {
        # Single addresses first: they come before a `v6only` at the same place.
        "files": service_edits.rewritten(
            files, {path: [*always.get(path, []), *edits.get(path, [])] for path in {**edits, **always}}
        ),
        "always": service_edits.rewritten(files, always),
        "bindv6only": None,
        "notes": notes,
        "missing": missing,
    }


def _singles(
    statements: list[dict[str, Any]], covered: set[tuple], published: service_sites.Site
) -> list[tuple[dict[str, Any], dict[str, Any], str, str]]:
    """Which single addresses get one of IPv6 beside them: a statement, an item of it, the address, or why it cannot."""
    sections: dict[tuple[str, int], int] = {}
    holds = []
    holders: dict[tuple, set[int]] = {}  # who has an address and port, or is about to
    for statement in statements:
        number = sections.setdefault((statement["path"], statement["section"]["line"]), len(sections))
        for item in statement["items"]:
            reason = service_haproxy_lines.reason(statement, item)
            if reason not in ("", service_haproxy_lines.SINGLE):
                continue
            for socket in service_haproxy_lines.sockets(statement, item):
                addresses = {item["address"]}
                if not reason and not statement["refused"]:
                    other = service_haproxy_lines.other(item)
                    addresses |= {other} if statement["dual"] or (other, *socket) not in covered else set()
                for address in addresses:
                    holds.append(service_sites.Hold(number, address, socket, (statement, item, socket)))
                    holders.setdefault((address, *socket), set()).add(number)
    # A frontend in IPv6 alone is taken for the other half of one in IPv4, whatever their names.
    added, missing = service_sites.lacking(holds, [[""]] * len(sections), published)
    wanted: dict[tuple[int, str], tuple[service_sites.Hold, set[tuple]]] = {}
    for hold, address in added:
        _, item, socket = hold.what
        wanted.setdefault((id(item), address), (hold, set()))[1].add(socket)
        holders.setdefault((address, *socket), set()).add(hold.server)
    result = [(*each, "", service_addresses.NAMED) for each in _unknown(statements)]
    for (_, address), (hold, sockets) in wanted.items():
        statement, item, _ = hold.what
        why = ""
        others = set().union(*(holders.get((address, *socket), set()) for socket in sockets)) - {hold.server}
        if others or item["address"] in service_addresses.OTHER:
            why = f"another section has [{address}] on this port, or would have; write an address of its own for each"
        elif sockets != set(service_haproxy_lines.sockets(statement, item)):
            why = f"some of its ports are on [{address}] already; write a line of its own for the others"
        elif statement["single"]:
            why = f"`id` allows one address only; write a line for [{address}] without it"
        elif statement["text"][item["spots"][-1] - statement["offset"]] != item["text"][-1]:
            why = "its port is written with escapes; write it without"
        result.append((statement, item, address, why))
    # A section that gets one of several addresses answers on a published one.
    given = {
        (id(statement["section"]), port) for statement, item, _, why in result if not why for port in item["ports"]
    }
    for hold, why in missing:
        result.append((*hold.what[:2], "", why))
    return [
        (statement, item, address, why)
        for statement, item, address, why in result
        if not why or not all((id(statement["section"]), port) in given for port in item["ports"])
    ]


def _unknown(statements: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Listeners on host names, where their section is on no address of IPv6 with the same port, nor about to be."""
    found = []
    six: dict[int, set[tuple]] = {}
    for statement in statements:
        for item in statement["items"]:
            reason = service_haproxy_lines.reason(statement, item)
            if reason in ("", service_haproxy_lines.SINGLE):
                if not reason or service_sites.is_public(item["address"], 6):
                    six.setdefault(id(statement["section"]), set()).update(
                        service_haproxy_lines.sockets(statement, item)
                    )
            elif service_sites.is_named(item["address"]) and reason == service_addresses.why_alone(item["address"]):
                found.append((statement, item))
    return [
        (statement, item)
        for statement, item in found
        if not six.get(id(statement["section"]), set()).issuperset(service_haproxy_lines.sockets(statement, item))
    ]


def _all_statements(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [statement for path, file in files.items() for statement in service_haproxy.statements(path, file["text"])]
