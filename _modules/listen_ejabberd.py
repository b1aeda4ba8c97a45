"""
How ejabberd's configuration says where it listens, and how it serves both families.

It never accesses the host. The services are plug-ins: an execution module ``listen_<service>`` with the functions of
this one. The two grammars have rooms of their own, ``_dualstack_service_ejabberd_yml`` and
``_dualstack_service_ejabberd_cfg``.

* ejabberd never sets IPV6_V6ONLY. ``net.ipv6.bindv6only`` at its start decides what a listener on ``::`` serves, and a
  listener of each family on one port needs 1: otherwise all of ejabberd exits with EADDRINUSE.
* Without an address, a listener is on 0.0.0.0.
* Listeners change only with a restart: a reload succeeds, but keeps the old sockets.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_ejabberd_cfg as service_ejabberd_cfg
    import _dualstack_service_ejabberd_yml as service_ejabberd_yml
    import _dualstack_service_includes as service_includes
__virtualname__ = "listen_ejabberd"

YML, CFG = "/etc/ejabberd/ejabberd.yml", "/etc/ejabberd/ejabberd.cfg"
OPTIONS = {"listeners": "'split' or 'dual'"}
WAYS = {"split": 1, "dual": 0}  # and the value of bindv6only that each needs
ANY4, ANY6, OTHER = service_addresses.ANY4, service_addresses.ANY6, service_addresses.OTHER
LOOPBACK4, LOOPBACK6 = ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")
# The words of a diff that are no secrets.
SHOWN = (
    "ejabberd_c2s ejabberd_s2s_in ejabberd_http ejabberd_service ejabberd_stun ejabberd_sip mod_mqtt mod_proxy65 "
    "ejabberd_xmlrpc transport acl loopback starttls_required tls_compression zlib max_stanza_size shaper access c2s "
    "s2s c2s_shaper s2s_shaper fast"
).split()


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes`` and ``units``, its name for service(8),
    ``init``, its own keys in the pillar, ``options``, the command that checks its configuration, of which there is
    none, and the ``protocols`` of its usual ports. ``words`` are those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ejabberd.about
    """
    return {
        "files": [YML, CFG],
        "processes": ["*/beam*ejabberd*"],  # beam.smp runs other programs, too
        "units": ["ejabberd.service"],
        "init": "ejabberd",
        "sets_v6only": False,
        "options": OPTIONS,
        "check": [],
        "words": SHOWN,
        "protocols": {5222: "xmpp", 5269: "xmpp-server", 5223: "tls", 5443: "https"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path, which says its grammar.
    text
        Its content.

    Returns absolute paths, as glob patterns, in the order of the text. Raises ``SaltInvocationError`` where the text
    cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ejabberd.includes /etc/ejabberd/ejabberd.cfg '{include_config_file, "ports.cfg"}.'
    """
    return [each["pattern"] for each in _statements(path, text) if each["kind"] == "include"]


def errors(options: dict[str, Any]) -> list[str]:
    """
    The errors in the values of the keys that only this service has in the pillar.

    options
        Those keys: ``listeners``, which is ``split`` (one for each family; the default) or ``dual`` (one for both).

    Returns a list of sentences, empty if nothing is wrong.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ejabberd.errors '{listeners: dual}'
    """
    found = options.get("listeners", "split")
    if found in tuple(WAYS):
        return []
    return [f"listeners: {found!r} is not a way to serve both families; expected {OPTIONS['listeners']}"]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    files
        Every file that ejabberd reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each listener, in the order of the text, with ``port``, ``transport``, ``address``,
    ``v6only``, ``file``, ``line`` and ``note``. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ejabberd.listeners '{/etc/ejabberd/ejabberd.yml: {text: "listen: []", includes: []}}'
    """
    return [
        {
            **{key: listener[key] for key in ("port", "transport", "address")},
            "v6only": None,
            "file": path,
            "line": listener["line"],
            "note": _why_alone(listener),
        }
        for path, listener in _read(files)["listeners"]
    ]


def dual_stack(files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0) -> dict[str, Any]:
    """
    The same configuration, serving both families. Only the words that must change do.

    files
        As for :py:func:`listeners`.
    options
        As for :py:func:`errors`. ``split`` writes two listeners for each port, on 0.0.0.0 and on ::, and joins nothing;
        ``dual`` writes one, on ::, and joins two that differ by their address only.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts. The result does not depend on it, but names the one
        that it needs.

    An access rule ``acl`` with IPv4's loopback also gets IPv6's, or local clients would lose their rights. So does
    ``ip_access`` of ejabberd.cfg, and its ``{deny, "0.0.0.0/0"}`` gets ``{deny, "::/0"}``: clients that no rule matches
    may register, so without it everybody could over IPv6.

    Returns ``files``, the new texts of those that change; ``bindv6only``, the value that the result needs, or ``None``
    if it does not matter; and ``notes``, what was left alone and why. Raises ``SaltInvocationError`` where a text
    cannot be read, or two listeners cannot be joined.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ejabberd.dual_stack '{/etc/ejabberd/ejabberd.yml: {text: "listen: []"}}' '{listeners: dual}'
    """
    problems = errors(options)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    way = options.get("listeners", "split")
    found = _read(files)
    notes = list(found["notes"])
    edits: dict[str, list[list[Any]]] = {}
    served = set()
    for path, listener in found["listeners"]:
        if _why_alone(listener):
            port = "" if listener["port"] is None else f"port {listener['port']}: "
            notes.append(f"{path}:{listener['line']}: {port}{_why_alone(listener)}")
    for rows in _ports(found["listeners"]):
        change = _split if way == "split" else _dual
        for path, edit in change(files, rows, notes):
            edits.setdefault(path, []).append(edit)
        served |= {listener["address"] for _, listener in rows}
    for path, edit in [*_companions(found["acls"], notes), *_registrations(found["registrations"], way)]:
        edits.setdefault(path, []).append(edit)
    return {
        "files": service_edits.rewritten(files, edits),
        "bindv6only": WAYS[way] if served & set(OTHER) else None,
        "notes": notes,
    }


def _statements(path: str, text: str) -> list[dict[str, Any]]:
    grammar = service_ejabberd_yml if path.endswith((".yml", ".yaml")) else service_ejabberd_cfg
    return grammar.statements(path, text)


def _read(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The listeners and access rules in force, each with the path of its file, and notes."""
    main = YML if YML in files else CFG
    notes = []
    if main == YML and CFG in files:
        notes.append(f"{CFG}: ignored, as {YML} is there and is what ejabberd reads")
    rows = _walk(files, main)
    lists = [(path, each) for path, each in rows if each["kind"] == "listen"]
    if not lists:
        notes.append(f"{main}: no `listen` there, so ejabberd listens on no port")
    if main == CFG:
        # There, the last one replaces the others; in ejabberd.yml they add up.
        notes += [
            f"{path}:{each['line']}: this `listen` counts for nothing, a later one does" for path, each in lists[:-1]
        ]
        lists = lists[-1:]
    return {
        "listeners": [(path, listener) for path, each in lists for listener in each["listeners"]],
        "acls": [(path, each) for path, each in rows if each["kind"] == "acl"],
        "registrations": [(path, each) for path, each in rows if "rules" in each],
        "notes": notes,
    }


def _walk(files: dict[str, dict[str, Any]], main: str) -> list[tuple[str, dict[str, Any]]]:
    """The statements of a file and of those that it includes, each where it counts, with the path of its file."""

    def place(path: str, each: dict[str, Any]) -> str:
        return f"{path}:{each['line']}"

    steps = service_includes.walk(files, main, _statements, lambda each: int(each["kind"] == "include"), place)
    return [
        (step.path, step.statement)
        for step in steps
        if step.statement["kind"] != "include" and all(_lets_in(each, step.statement) for each in step.above)
    ]


def _lets_in(include: dict[str, Any], statement: dict[str, Any]) -> bool:
    """Whether a statement of an included file counts."""
    kind = statement["kind"]
    return (include["allow"] is None or kind in include["allow"]) and kind not in include["disallow"]


def _why_alone(listener: dict[str, Any]) -> str:
    """Why a listener is never moved; empty if it serves a whole family."""
    if listener["note"]:
        return str(listener["note"])
    return service_addresses.why_alone(listener["address"], single=f"{listener['address']} only")


def _ports(rows: list[tuple[str, dict[str, Any]]]) -> list[list[tuple[str, dict[str, Any]]]]:
    """The listeners that could be moved or be in the way, by port and transport."""
    result: dict[Any, list[tuple[str, dict[str, Any]]]] = {}
    for path, listener in rows:
        if not listener["note"]:
            result.setdefault((listener["port"], listener["transport"]), []).append((path, listener))
    return list(result.values())


def _wildcards(rows: list[tuple[str, dict[str, Any]]]) -> tuple[list[tuple[str, dict[str, Any]]], str]:
    """The listeners of one port that serve a whole family, one of each; and which of them is there twice, if any."""
    result: dict[str, tuple[str, dict[str, Any]]] = {}
    repeated = ""
    for path, listener in rows:
        if listener["address"] in result:
            repeated = f"{path}:{listener['line']}: port {listener['port']}: is there twice on {listener['address']}"
        elif listener["address"] in OTHER:
            result[listener["address"]] = path, listener
    return list(result.values()), repeated


def _in_the_way(rows: list[tuple[str, dict[str, Any]]], wildcard: str, versions: tuple[int, ...]) -> str:
    """Which listener on an address of these families would clash with a new wildcard on the same port, if any."""
    for path, listener in rows:
        address = listener["address"]
        if address not in OTHER and ipaddress.ip_address(address).version in versions:
            return (
                f"{path}:{listener['line']}: port {listener['port']}: "
                f"the listener on {address} is in the way of one on {wildcard}"
            )
    return ""


def _split(
    files: dict[str, dict[str, Any]], rows: list[tuple[str, dict[str, Any]]], notes: list[str]
) -> list[tuple[str, list[Any]]]:
    """The edits that put a listener of either family on a port."""
    wildcards, repeated = _wildcards(rows)
    if repeated:
        notes.append(f"{repeated}, and the second was left alone")
    if len(wildcards) != 1:
        return []
    path, listener = wildcards[0]
    missing = OTHER[listener["address"]]
    clash = _in_the_way(rows, missing, (ipaddress.ip_address(missing).version,))
    if clash:
        notes.append(f"{clash}, so the port was left as it is")
        return []
    start, end = listener["start"], listener["end"]
    text = files[path]["text"][start:end]
    copies = [
        service_edits.spliced(
            text, [[first - start, last - start, words] for first, last, words in listener["edits"][address]]
        )
        for address in (ANY4, ANY6)
    ]
    return [(path, [start, end, listener["separator"].join(copies)])]


def _dual(
    files: dict[str, dict[str, Any]], rows: list[tuple[str, dict[str, Any]]], notes: list[str]
) -> list[tuple[str, list[Any]]]:
    """The edits that put one listener for both families on a port."""
    wildcards, repeated = _wildcards(rows)
    if repeated:
        raise SaltInvocationError(f"{repeated}; remove one of them by hand")
    if not wildcards:
        return []
    path, listener = wildcards[0]
    edits = [(path, edit) for edit in listener["edits"][ANY6]] if listener["address"] != ANY6 else []
    clash = _in_the_way(rows, ANY6, (4, 6) if edits else (4,))
    if clash and edits:
        notes.append(f"{clash}, so the port was left as it is")
        return []
    if clash:
        raise SaltInvocationError(f"{clash} for both families; remove one of them, or keep `listeners: split`")
    if len(wildcards) == 1:
        return edits
    other_path, other = wildcards[1]
    place = f"{other_path}:{other['line']}: port {listener['port']}: cannot be joined with line {listener['line']}"
    if other["meaning"] != listener["meaning"]:
        raise SaltInvocationError(f"{place}, as their options differ; make them equal, or keep `listeners: split`")
    if other["drop"] is None:
        raise SaltInvocationError(f"{place} of {path}; remove one of them by hand")
    return edits + [(other_path, edit) for edit in other["drop"]]


def _companions(acls: list[tuple[str, dict[str, Any]]], notes: list[str]) -> list[tuple[str, list[Any]]]:
    """The edits that let access rules for IPv4's loopback match IPv6's."""
    names: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for path, acl in acls:
        names.setdefault(acl["name"], []).append((path, acl))
    edits = []
    for name, rows in names.items():
        networks = [_network(acl["address"]) for _, acl in rows]
        if any(each and each.version == 6 and LOOPBACK6.subnet_of(each) for each in networks):
            continue
        local = [row for row, each in zip(rows, networks) if each and each.version == 4 and each.subnet_of(LOOPBACK4)]
        for path, acl in local[:1]:
            if acl["companion"] is None:
                notes.append(f"{path}:{acl['line']}: names {acl['address']} but not ::1: left alone, add it if it may")
            else:
                edits += [(path, edit) for edit in acl["companion"]]
    return edits


def _registrations(lists: list[tuple[str, dict[str, Any]]], way: str) -> list[tuple[str, list[Any]]]:
    """The edits that make ``ip_access`` treat IPv6 like IPv4; one with IPv6 addresses is left alone."""
    edits = []
    for path, each in lists:
        networks = [_network(rule["address"]) for rule in each["rules"]]
        if any(network and network.version == 6 for network in networks):
            continue
        for rule, network in zip(each["rules"], networks):
            twins = []
            if network and way == "dual" and network.prefixlen:  # how such a listener sees a client of IPv4
                twins.append(f"::ffff:{network.network_address}/{network.prefixlen + 96}")
            if network and network.subnet_of(LOOPBACK4):
                twins.append(str(LOOPBACK6))
            if network and not network.prefixlen:
                twins.append("::/0")
            words = "".join(f', {{{rule["verb"]}, "{twin}"}}' for twin in twins)
            edits += [(path, [rule["end"], rule["end"], words])] if words else []
    return edits


def _network(address: str) -> Any:
    try:
        return ipaddress.ip_network(address, strict=False)
    except ValueError:
        return None
