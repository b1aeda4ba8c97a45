"""
How Exim's configuration says where it listens, and how it serves both families. It never accesses the host.

* Measured with Debian's 4.96: without ``local_interfaces`` it listens on both families, one socket each, with
  IPV6_V6ONLY set by itself; so it does for ``::0``. ``::`` is another matter: that socket follows
  ``net.ipv6.bindv6only``, and where that is 0, IPv4 has no socket beside it.
* Debian generates the configuration before each start: what is edited is update-exim4.conf.conf, or whichever file has
  the last word.
* A mail server on loopback, which only sends, is left as it is.
* It also sends over both families. Where that is not wanted, the routers that look up hosts get ``ipv4_only``.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, NamedTuple

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_exim4 as service_exim4
    import _dualstack_service_exim4_sending as service_exim4_sending
    import _dualstack_service_lists as service_lists
__virtualname__ = "listen_exim4"

MAIN, UPDATE, DEFAULTS = service_exim4.MAIN, service_exim4.UPDATE, service_exim4.DEFAULTS
ANY6 = service_addresses.ANY6
WILDCARD = "::0"  # the one for which Exim sets IPV6_V6ONLY
PORTS = {"smtp": 25, "mail": 25, "smtps": 465, "ssmtp": 465, "submissions": 465, "urd": 465, "submission": 587}
BARE = re.compile(r"(?<![0-9A-Fa-f:])::(?![0-9A-Fa-f:])")
# ADDRESS, ADDRESS.PORT, or [ADDRESS]:PORT
ENDPOINT = re.compile(
    r"\[(?P<boxed>[^]]*)\](?::(?P<port>[0-9]{1,5}))?|(?P<four>[0-9]+(?:\.[0-9]+){3})(?:\.(?P<dotted>[0-9]{1,5}))?"
    r"|(?P<six>[0-9A-Fa-f:]*:[0-9A-Fa-f:]*)(?:\.(?P<last>[0-9]{1,5}))?"
)
OPTIONS = {"send": "auto, both or ipv4: the families over which mail is sent"}
SEND = ("auto", "both", "ipv4")
DASH_OX = re.compile(r"(?<!\S)-oX[ \t]*(?P<list>\S+)")
SILENT = ("queueonly", "nodaemon")  # of QUEUERUNNER: nothing listens
EVERY = ("*", "@[]", "localhost")  # of a host list: ::1 is in it
# The words of a diff that are no secrets.
SHOWN = (
    "dc_local_interfaces local_interfaces MAIN_LOCAL_INTERFACES dc_relay_nets relay_from_hosts hostlist disable_ipv6 "
    "no_disable_ipv6 daemon_smtp_ports tls_on_connect_ports SMTPLISTENEROPTIONS -oX -oP smtp smtps submission <; "
    "ipv4_only dualstack over IPv6 only when PTR HELO name and SPF record are right"
).split()

Value = service_exim4.Value


class Interface(NamedTuple):
    address: str  # in canonical form
    port: int | None  # None: each of the usual ones
    v6only: bool | None
    item: service_exim4.Item


class Settings(NamedTuple):
    value: Value | None  # the list that counts; None: both families
    tight: bool  # whether it stands on the command line
    interfaces: list[Interface]
    ports: list[int | None]
    secure: list[int | None]  # those where TLS begins at once
    disabled: Value | None  # the option that shuts IPv6 off
    relays: Value | None
    silent: str  # why nothing listens


def about() -> dict[str, Any]:
    """
    Facts about the service.

    Returns ``files`` to begin reading with, patterns of its ``processes``, ``executables`` and ``units``, the ``users``
    that it runs as, its name for service(8), ``init``, its own keys in the pillar, ``options``, the
    command that checks its configuration, what Debian would generate as well as what there is, and the
    ``protocols`` of its usual ports. ``words`` are those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_exim4.about
    """
    return {
        "files": [
            *(MAIN, UPDATE, service_exim4.MACROS, service_exim4.TEMPLATE),
            *(f"{service_exim4.CONF_D}/{each}/*" for each in service_exim4.FOLDERS),
            DEFAULTS,
        ],
        "processes": ["/usr/sbin/exim4", "/usr/sbin/exim4 *"],
        "executables": ["/usr/sbin/exim4"],
        "users": ["Debian-exim"],
        "units": ["exim4.service"],
        "init": "exim4",
        "sets_v6only": True,
        "sites": True,
        "sends": True,
        "options": OPTIONS,
        "check": ["sh", "-c", "update-exim4.conf --check && exec exim4 -bV"],
        "words": SHOWN,
        "protocols": {25: "smtp", 465: "smtps", 587: "smtp"},
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path.
    text
        Its content.

    Returns absolute paths, in the order of the text.

    CLI Example:

    .. code-block:: bash

        salt-call listen_exim4.includes /etc/exim4/exim4.conf '.include /etc/exim4/local.conf'
    """
    return service_exim4.includes(path, text)


def errors(options: dict[str, Any]) -> list[str]:
    """
    The errors in the values of the keys of the pillar that only Exim has.

    options
        Those keys: ``send`` is ``auto``, ``both`` or ``ipv4``.

    Returns one sentence for each error.

    CLI Example:

    .. code-block:: bash

        salt-call listen_exim4.errors '{send: ipv4}'
    """
    send = options.get("send", "auto")
    return [] if send in SEND else [f"send: {send!r} is not {', '.join(SEND[:-1])} or {SEND[-1]}"]


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    files
        Every file of it, by path: ``text``, and ``includes``, the paths that each pattern of :py:func:`includes`
        matched.

    Returns one dictionary for each socket with ``port``, ``transport``, ``protocol``, ``address``, ``v6only``,
    ``file``, ``line`` and ``note``; implicit ones are on line 0. Raises ``SaltInvocationError`` for files that include
    each other for ever.

    CLI Example:

    .. code-block:: bash

        salt-call listen_exim4.listeners '{/etc/exim4/exim4.conf: {text: "local_interfaces = 0.0.0.0"}}'
    """
    settings = _settings(files)
    if settings.silent:
        return []
    return [
        {
            "port": port,
            "transport": "tcp",
            "protocol": "smtps" if port in settings.secure else "smtp",
            "address": each.address,
            "v6only": each.v6only,
            "file": settings.value.path if settings.value else MAIN if MAIN in files else UPDATE,
            "line": settings.value.line if settings.value else 0,
            "note": service_lists.why_alone(each.address),
        }
        for each in settings.interfaces
        if not (settings.disabled and ":" in each.address)
        for port in ([each.port] if each.port else settings.ports)
    ]


def dual_stack(
    files: dict[str, dict[str, Any]], options: dict[str, Any], bindv6only: int = 0, site: dict[str, Any] | None = None
) -> dict[str, Any]:
    """
    The same configuration, listening on both families, and relaying for ::1 where it relays for 127.0.0.1.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys; see :py:func:`errors`. With ``send: ipv4``, each router that looks up the hosts of a
        domain is restricted to IPv4; with ``both``, our own restrictions go; with ``auto``, they stay as they are,
        since this module cannot ask the DNS.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts. It does not matter for what is written here.
    site
        ``addresses``: the published ones of this host, by family. One that it listens on comes with those of IPv6.

    Returns ``files``, the new text of each file that changes, ``always``, those with ``relay_from_hosts``
    and with what restricts sending, ``bindv6only``, ``None`` as it is immune, ``notes``, and ``missing``, what would be
    published and has no IPv6. Raises ``SaltInvocationError`` as :py:func:`listeners` does, and for wrong options.

    CLI Example:

    .. code-block:: bash

        salt-call listen_exim4.dual_stack '{/etc/exim4/exim4.conf: {text: "local_interfaces = 0.0.0.0"}}' '{}'
    """
    problems = errors(options)
    if problems:
        raise SaltInvocationError("; ".join(problems))
    settings = _settings(files)
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes: list[str] = []
    missing: list[dict[str, Any]] = []
    companions, told = _companions(settings.relays) if _for_others(settings, site) else ({}, [])
    if settings.silent:
        notes.append(f"{settings.silent}: nothing listens: left alone")
    elif settings.value:
        changes, notes, missing = _with_interfaces(settings, settings.value, site)
        if changes:
            edits[settings.value.path] = changes
    if settings.disabled and _for_others(settings, site):
        _enable(settings.disabled, edits, notes)
    for path, found in companions.items():
        edits[path] = [*edits.get(path, []), *found]
    texts, always = service_edits.rewritten(files, edits), service_edits.rewritten(files, companions)
    send = options.get("send", "auto")
    if send != "auto":
        texts, always = (_with_families(files, each, send) for each in (texts, always))
    return {
        "files": texts,
        "always": always,
        "bindv6only": None,
        "notes": [*notes, *told, *(service_exim4_sending.notes(files) if send == "ipv4" else [])],
        "missing": missing,
    }


def senders(
    files: dict[str, dict[str, Any]], host: dict[str, str], site: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """
    What sends mail over IPv6 when the configuration has both families, but for the restriction that is written here.

    files
        As :py:func:`listeners` takes them.
    host
        ``fqdn``, its name with its domain, and its ``mailname``: what /etc/mailname has.
    site
        As for :py:func:`dual_stack`.

    Returns one dict for each router that looks up the hosts of a domain: ``name``, ``place``, ``address``, the one that
    its transport binds to, empty where the kernel chooses, ``helo``, the name with which it greets, and ``domain``, the
    one that addresses are completed with, both empty where only Exim could tell; and ``kept``, why it is not restricted
    to IPv4 in any case. Raises ``SaltInvocationError`` as :py:func:`listeners` does.

    CLI Example:

    .. code-block:: bash

        salt-call listen_exim4.senders '{/etc/exim4/exim4.conf: {text: ""}}' '{fqdn: mail.example.org}'
    """
    after = service_edits.afterwards(files, dual_stack(files, {}, 0, site)["files"])
    return [] if _settings(after).disabled else service_exim4_sending.senders(after, host)


def _with_families(files: dict[str, dict[str, Any]], texts: dict[str, str], send: str) -> dict[str, str]:
    """The new texts, with routers that send over these families."""
    after = service_edits.afterwards(files, texts)
    edits = service_exim4_sending.edits(after, "both" if _settings(after).disabled else send)
    return {**texts, **service_edits.rewritten(after, edits)}


def _with_interfaces(
    settings: Settings, value: Value, site: dict[str, Any] | None
) -> tuple[list[tuple[int, int, str]], list[str], list[dict[str, Any]]]:
    """The edits of the list of interfaces, notes, and what is missing."""
    edits: list[tuple[int, int, str]] = []
    notes: list[str] = []
    missing: list[dict[str, Any]] = []
    added: list[str] = []
    for port in dict.fromkeys(each.port for each in settings.interfaces):
        own = [each for each in settings.interfaces if each.port == port]
        found = service_lists.lack([each.address for each in own], site)
        for each in own:
            if each.address == ANY6 and each.v6only is None:
                edits += _named(value, each.item)
        added += [_written(address, port) for address in found.added]
        if found.note:
            notes.append(f"{value.path}:{value.line}: {', '.join(each.item.word for each in own)}: {found.note}")
        elif found.missing:
            said = f"{value.path}:{value.line}: {found.missing}; add one"
            missing += [service_lists.gap(said, each) for each in ([port] if port else settings.ports)]
    if added or edits:
        if not value.known:
            return [], [f"{value.path}:{value.line}: made of macros: left alone; add {', '.join(added)}"], missing
        more = service_exim4.with_items(value, added, settings.tight) if added else []
        if any(start != end for start, end, _ in more):  # the list is written anew, with its only item
            more = [(start, end, BARE.sub(WILDCARD, words)) for start, end, words in more]
            edits = []
        edits += more
    return edits, notes, missing


def _named(value: Value, item: service_exim4.Item) -> list[tuple[int, int, str]]:
    """The edit that makes `::` the wildcard for which Exim sets IPV6_V6ONLY."""
    written = value.text[item.start : item.end]
    colons = written.index("::::") + 4 if "::::" in written else written.index("::") + 2
    where = value.offsets[item.start + colons]
    return [(where, where, "0")]


def _written(address: str, port: int | None) -> str:
    word = WILDCARD if address == ANY6 else address
    return f"[{word}]:{port}" if port else word


def _for_others(settings: Settings, site: dict[str, Any] | None) -> bool:
    """Whether it listens for others: on all addresses, or on a published one."""
    known = [*service_addresses.OTHER, *service_addresses.published(site, "ipv4")]
    return not settings.silent and any(each.address in known for each in settings.interfaces)


def _enable(disabled: Value, edits: dict[str, list[tuple[int, int, str]]], notes: list[str]) -> None:
    """No more `disable_ipv6`."""
    place = f"{disabled.path}:{disabled.line}"
    if disabled.known:
        edit = (disabled.offsets[0], disabled.offsets[len(disabled.text.rstrip())], "false")
    elif len(disabled.offsets) == len("disable_ipv6") + 1:
        edit = (disabled.offsets[0], disabled.offsets[0], "no_")
    else:
        notes.append(f"{place}: disable_ipv6 is made of macros: left alone; it has to be false")
        return
    edits.setdefault(disabled.path, []).append(edit)
    notes.append(f"{place}: Exim sends over IPv6, too: the address that it sends from needs a PTR record")


def _companions(relays: Value | None) -> tuple[dict[str, list[tuple[int, int, str]]], list[str]]:
    """Where 127.0.0.1 may relay, ::1 may; and a note on networks of IPv4 only. Debian's own list has both."""
    if relays is None or not relays.known:
        return {}, []
    _, items = service_exim4.items(relays)
    networks = [(each, _network(each.word)) for each in items]
    six = any(network and network.version == 6 for _, network in networks) or any(each.word in EVERY for each in items)
    trusted = next((network for _, network in networks if network and network.is_loopback), None)
    foreign = [each.word for each, network in networks if network and network.version == 4 and not network.is_loopback]
    notes = []
    if foreign and not any(network and network.version == 6 and not network.is_loopback for _, network in networks):
        notes.append(
            f"{relays.path}:{relays.line}: who may relay knows no network of IPv6: add it beside {', '.join(foreign)}"
        )
    if trusted and not six and not relays.debian:
        return {relays.path: service_exim4.with_items(relays, ["::1"])}, notes
    return {}, notes


def _network(word: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        return None


def _settings(files: dict[str, dict[str, Any]]) -> Settings:
    found = service_exim4.options(files)
    defaults = service_exim4.shell(DEFAULTS, files.get(DEFAULTS, {}).get("text", ""))
    value, ports, tight = found.get("local_interfaces"), _words(found.get("daemon_smtp_ports")), False
    given = defaults.get("SMTPLISTENEROPTIONS")
    if given and (match := DASH_OX.search(given.text)):
        start, end = match.span("list")
        listed = given._replace(text=match["list"], offsets=given.offsets[start : end + 1])
        words = _words(listed)
        if any("." in each or ":" in each for each in words):
            value, tight = listed, True
        ports = [each for each in words if "." not in each and ":" not in each] or ports
    interfaces = [_interface(each) for each in service_exim4.items(value)[1]] if value else []
    if value is None or not value.text.strip():
        none = service_exim4.Item("", 0, 0)
        value, tight = None, False
        interfaces = [Interface("0.0.0.0", None, None, none), Interface(ANY6, None, True, none)]
    if tight:
        interfaces = [each for each in interfaces if "." in each.item.word or ":" in each.item.word]
    disabled = found.get("disable_ipv6")
    runner = defaults.get("QUEUERUNNER")
    return Settings(
        value,
        tight,
        interfaces,
        [_port(each) for each in ports or ["smtp"]],
        [_port(each) for each in _words(found.get("tls_on_connect_ports"))],
        disabled if disabled and disabled.text.strip().lower() in ("true", "yes") else None,
        found.get("hostlist relay_from_hosts"),
        f"{DEFAULTS}:{runner.line}: QUEUERUNNER={runner.text}" if runner and runner.text in SILENT else "",
    )


def _words(value: Value | None) -> list[str]:
    return [each.word for each in service_exim4.items(value)[1]] if value else []


def _port(word: str) -> int | None:
    return int(word) if re.fullmatch(r"[0-9]{1,5}", word) else PORTS.get(word)


def _interface(item: service_exim4.Item) -> Interface:
    match = ENDPOINT.fullmatch(item.word)
    if not match:
        return Interface(item.word, None, None, item)
    word = match["boxed"] or match["four"] or match["six"] or ""
    port = match["port"] or match["dotted"] or match["last"]
    address = service_addresses.canonical(word)
    v6only = True if ":" in address and word != ANY6 else None
    return Interface(address, int(port) if port else None, v6only, item)
