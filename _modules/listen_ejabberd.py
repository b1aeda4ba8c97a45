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
    import _dualstack_service_ejabberd_rules as service_ejabberd_rules
    import _dualstack_service_ejabberd_yml as service_ejabberd_yml
    import _dualstack_service_includes as service_includes
    import _dualstack_service_published as service_published
    import _dualstack_service_sites as service_sites
__virtualname__ = "listen_ejabberd"

YML, CFG = "/etc/ejabberd/ejabberd.yml", "/etc/ejabberd/ejabberd.cfg"
# Debian's two, that of ProcessOne's packages, and that of `make install`: the first one that is there counts.
FILES = [YML, CFG, "/opt/ejabberd/conf/ejabberd.yml", "/usr/local/etc/ejabberd/ejabberd.yml"]
OPTIONS = {"listeners": "'split' or 'dual'"}
WAYS = {"split": 1, "dual": 0}  # and the value of bindv6only that each needs
# What the probe speaks to a listener of each module, without TLS and with it; of others, the bare connection.
SPOKEN = {
    "ejabberd_c2s": ("xmpp", "tls"),
    "ejabberd_s2s_in": ("xmpp-server", "tls"),
    "ejabberd_http": ("http", "https"),
}
OF_HOSTS = ("ejabberd_c2s", "ejabberd_s2s_in")
ANY4, ANY6, OTHER = service_addresses.ANY4, service_addresses.ANY6, service_addresses.OTHER
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
        "files": FILES,
        "processes": ["*/beam* *ejabberd*"],  # beam.smp runs other programs, too
        "executables": ["/usr/*/beam*", "/opt/*/beam*"],
        "users": ["ejabberd"],
        "units": ["ejabberd.service"],
        "init": "ejabberd",
        "sets_v6only": False,
        "sites": True,
        "names": True,
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
    ``v6only``, ``file``, ``line`` and ``note``; and, of TCP, ``protocol``. Raises ``SaltInvocationError`` where
    a text cannot be read.

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
            **({"protocol": _protocol(listener)} if listener["transport"] == "tcp" else {}),
        }
        for path, listener in _read(files)["listeners"]
    ]


def sites(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The hosts of XMPP that a configuration serves.

    files
        As for :py:func:`listeners`.

    Returns one dictionary: ``names``, and ``ports``, the TCP ports for clients and for other servers; an empty list
    where there are none. Raises ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ejabberd.sites '{/etc/ejabberd/ejabberd.yml: {text: "hosts: [example.org]", includes: []}}'
    """
    found = _read(files)
    names = service_sites.host_names(found["hosts"])
    ports = [
        listener["port"]
        for _, listener in found["listeners"]
        if listener["port"] and listener["transport"] == "tcp" and listener["module"] in OF_HOSTS
    ]
    return [{"names": names, "ports": list(dict.fromkeys(ports))}] if names and ports else []


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, serving both families. Only the words that must change do.

    files
        As for :py:func:`listeners`.
    options
        As for :py:func:`errors`. ``split`` writes two listeners for each port, on 0.0.0.0 and on ::, and joins nothing;
        ``dual`` writes one, on ::, and joins two that differ by their address only. ``split`` is the default, except
        where all are on :: alone and serve both families so.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts. The result does not depend on it, but names the one
        that it needs.
    site
        The names that the pillar declares, and the addresses of this host that are published; with them, a listener on
        a published address of IPv4 gets a copy on each of IPv6.

    An access rule ``acl`` with IPv4's loopback also gets IPv6's, or local clients would lose their rights. So does
    ``ip_access`` of ejabberd.cfg, and its ``{deny, "0.0.0.0/0"}`` gets ``{deny, "::/0"}``: clients that no rule matches
    may register, so without it everybody could over IPv6.

    Returns ``files``, the new texts of those that change; ``always``, the same with nothing but these rules, which
    matter even where ejabberd answers in both families; ``bindv6only``, the value that the result needs, or ``None`` if
    it does not matter; ``notes``, what was left alone and why; and ``missing``, what cannot be had without an address.
    Raises ``SaltInvocationError`` where a text cannot be read, or two listeners cannot be joined.

    CLI Example:

    .. code-block:: bash

        salt-call listen_ejabberd.dual_stack '{/etc/ejabberd/ejabberd.yml: {text: "listen: []"}}' '{listeners: dual}'
    """
    problems = errors(options)
    if problems:
        raise SaltInvocationError("\n".join(problems))
    found = _read(files)
    way = options.get("listeners") or _default(found["listeners"], bindv6only)
    notes = list(found["notes"])
    edits: dict[str, list[list[Any]]] = {}
    missing: list[dict[str, Any]] = []
    told = set()
    served = set()
    for rows in _ports(found["listeners"]):
        change = _split if way == "split" else _dual
        for path, edit in change(files, rows, notes):
            edits.setdefault(path, []).append(edit)
        single = _single(rows, service_published.addresses(site))
        if single:
            path, listener, lacking = single
            told.add(id(listener))
            if lacking:
                edits.setdefault(path, []).append(_copies(files[path]["text"], listener, lacking))
            else:
                said = f"{path}:{listener['line']}: port {listener['port']}: {service_published.UNKNOWN}"
                missing.append(service_published.missing(site, listener["port"], said))
        served |= {listener["address"] for _, listener in rows}
    for path, listener in found["listeners"]:
        if _why_alone(listener) and id(listener) not in told:
            port = "" if listener["port"] is None else f"port {listener['port']}: "
            notes.append(f"{path}:{listener['line']}: {port}{_why_alone(listener)}")
    always: dict[str, list[list[Any]]] = {}
    rules = service_ejabberd_rules.companions(found["acls"], notes)
    for path, edit in [*rules, *service_ejabberd_rules.registrations(found["registrations"], way)]:
        edits.setdefault(path, []).append(edit)
        always.setdefault(path, []).append(edit)
    return {
        "files": service_edits.rewritten(files, edits),
        "always": service_edits.rewritten(files, always),
        "bindv6only": WAYS[way] if served & set(OTHER) else None,
        "notes": notes + service_ejabberd_rules.bans(found["acls"], found["accesses"]),
        "missing": missing,
    }


def _statements(path: str, text: str) -> list[dict[str, Any]]:
    grammar = service_ejabberd_yml if path.endswith((".yml", ".yaml")) else service_ejabberd_cfg
    return grammar.statements(path, text)


def _read(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The listeners and access rules in force, each with the path of its file, and notes."""
    main = next((each for each in FILES if each in files), CFG)
    notes = [
        f"{each}: ignored, as {main} is there and is what ejabberd reads"
        for each in FILES
        if each in files and each != main
    ]
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
        "hosts": [name for _, each in rows if each["kind"] == "hosts" for name in each["names"]],
        "acls": [(path, each) for path, each in rows if each["kind"] == "acl"],
        "accesses": [(path, each) for path, each in rows if "denied" in each],
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


def _protocol(listener: dict[str, Any]) -> str:
    """What is spoken at a listener of TCP, as the probe names it."""
    return SPOKEN.get(listener["module"], ("tcp", "tls"))[listener["tls"]]


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


def _default(rows: list[tuple[str, dict[str, Any]]], bindv6only: int) -> str:
    """The way where none is declared: what serves both families with one listener each is not split unasked."""
    ports = [{listener["address"] for _, listener in each} for each in _ports(rows)]
    open_to_all = [each for each in ports if each & set(OTHER)]
    return "dual" if open_to_all and not bindv6only and all(each == {ANY6} for each in open_to_all) else "split"


def _single(
    rows: list[tuple[str, dict[str, Any]]], published: dict[str, list[str]]
) -> tuple[str, dict[str, Any], list[str]] | None:
    """The listener of a port that is on a published address of IPv4 alone, and the addresses that it lacks."""
    beside = {listener["address"] for _, listener in rows}
    for path, listener in rows:
        lacking = service_published.lacking(listener["address"], beside, published)
        if lacking is not None:
            return path, listener, lacking
    return None


def _copies(text: str, listener: dict[str, Any], addresses: list[str]) -> list[Any]:
    """The edit that puts copies of a listener behind it, on other addresses."""
    start, end = listener["start"], listener["end"]
    copies = [
        service_edits.spliced(
            text[start:end], [[first - start, last - start, words] for first, last, words in listener["moved"](address)]
        )
        for address in addresses
    ]
    return [end, end, "".join(f"{listener['separator']}{copy}" for copy in copies)]


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
