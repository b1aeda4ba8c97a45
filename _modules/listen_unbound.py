"""
How unbound's configuration says where it listens, and how it serves both families. It never accesses the host.

* Without ``interface`` it listens on both loopback addresses. ``interface: ::0`` is IPv6 only, whatever
  ``net.ipv6.bindv6only`` is: unbound sets IPV6_V6ONLY to 1 itself, so both have to be written. Measured with 1.17.
* ``interface-automatic: yes`` takes the place of all ``interface``: it listens on both families.
* ``do-ip6: no`` excludes IPv6 without an error. Of a switch, the last one counts.
* Whoever is not in an ``access-control`` is refused; 127.0.0.0/8 and ::1 are allowed if they are not mentioned.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import _dualstack_rooms
from salt.exceptions import SaltInvocationError

with _dualstack_rooms.fresh(__file__):
    import _dualstack_service_addresses as service_addresses
    import _dualstack_service_edits as service_edits
    import _dualstack_service_lists as service_lists
    import _dualstack_service_unbound as service_unbound
__virtualname__ = "listen_unbound"

MAIN = "/etc/unbound/unbound.conf"

ANY4, ANY6 = service_addresses.ANY4, service_addresses.ANY6
WRITTEN = {ANY4: "0.0.0.0", ANY6: "::0"}
INTERFACES = ("interface", "ip-address")
SWITCHES = ("do-ip4", "do-ip6", "do-tcp", "do-udp", "interface-automatic", "so-reuseport")
FAMILY = {4: "do-ip4", 6: "do-ip6"}
AUTOMATIC = "interface-automatic"
# What unbound does with those whom no access-control mentions.
USUAL = {"0.0.0.0/0": "refuse", "127.0.0.0/8": "allow"}
TWINS = {"0.0.0.0/0": "::/0", "127.0.0.0/8": "::1/128", "127.0.0.1/32": "::1/128"}
# The words of a diff that are no secrets.
SHOWN = [
    *(*INTERFACES, *SWITCHES, "access-control", "allow", "allow_setrd", "allow_snoop", "allow_cookie"),
    *("refuse", "refuse_non_local", "deny", "deny_non_local", "server", "include", "include-toplevel"),
]


class Interface(NamedTuple):
    option: service_unbound.Option
    address: str
    port: str


class Settings(NamedTuple):
    interfaces: list[Interface]
    switches: dict[str, service_unbound.Option]  # the last of each name
    ports: list[str]  # of `interface-automatic`
    secure: list[str]  # the ports of DNS over TLS and over HTTPS
    access: list[service_unbound.Option]
    actions: list[service_unbound.Option]


def about() -> dict[str, Any]:
    """
    Facts about the service itself.

    Returns ``files`` to begin reading with, patterns of its ``processes``, ``executables`` and ``units``, the ``users``
    that its processes may have, its name for service(8), ``init``, its own keys in the pillar, ``options``, of which
    there are none, the command that checks its configuration, and the ``protocols`` of its usual ports. ``words`` are
    those of its configuration that a diff may show.

    CLI Example:

    .. code-block:: bash

        salt-call listen_unbound.about
    """
    return {
        "files": [MAIN],
        "processes": ["/usr/sbin/unbound", "/usr/sbin/unbound *"],
        "executables": ["/usr/sbin/unbound"],
        "users": ["unbound"],
        "units": ["unbound.service"],
        "init": "unbound",
        "sets_v6only": True,
        "options": {},
        "check": ["unbound-checkconf"],
        "words": SHOWN,
        "protocols": {53: "dns", 853: "tls"},
        "sites": True,
    }


def includes(path: str, text: str) -> list[str]:
    """
    The files that a file includes.

    path
        The file's own path, for errors.
    text
        Its content.

    Returns shell patterns of absolute paths, in the order of the text. Raises ``SaltInvocationError`` where the text
    cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_unbound.includes /etc/unbound/unbound.conf 'include: "/etc/unbound/unbound.conf.d/*.conf"'
    """
    return service_unbound.patterns(path, text)


def listeners(files: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The sockets that a configuration asks for.

    files
        Every file that unbound reads, by path: ``text``, and ``includes``, the paths that each pattern of
        :py:func:`includes` matched.

    Returns one dictionary for each socket, in the order of the text, with ``port``, ``transport``, ``address``,
    ``v6only``, ``file``, ``line`` and ``note``, and, of TCP, ``protocol``; implicit ones are on line 0. Raises
    ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_unbound.listeners '{/etc/unbound/unbound.conf: {text: "server:", includes: []}}'
    """
    settings = _settings(files)
    sockets: list[tuple[str, str, service_unbound.Option | None]] = [
        (each.address, each.port, each.option) for each in settings.interfaces
    ]
    if _on(settings, AUTOMATIC, False):
        at = settings.switches[AUTOMATIC]
        sockets = [(address, port, at) for port in settings.ports for address in (ANY4, ANY6)]
    elif not sockets:
        sockets = [(address, settings.ports[0], None) for address in ("127.0.0.1", "::1")]
    return [
        {
            "port": _number(port),
            "transport": transport,
            **({"protocol": "tls" if port in settings.secure else "dns"} if transport == "tcp" else {}),
            "address": address,
            "v6only": True if ":" in address else None,
            "file": option.path if option else MAIN,
            "line": option.line if option else 0,
            "note": "no port: cannot decide" if _number(port) is None else _why(address),
        }
        for address, port, option in sockets
        if _on(settings, FAMILY.get(service_addresses.version(address) or 0, ""), True)
        for transport in ("tcp", "udp")
        if _on(settings, f"do-{transport}", True)
    ]


def dual_stack(
    files: dict[str, dict[str, Any]],
    options: dict[str, Any],
    bindv6only: int = 0,
    site: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The same configuration, listening on both families: interfaces are added, none is removed.

    files
        As :py:func:`listeners` takes them.
    options
        The service's own keys: none.
    bindv6only
        The value of net.ipv6.bindv6only when the service starts; unbound does not care.
    site
        ``addresses`` of this host that are published, by family; ``None`` for wildcards only.

    Returns ``files``, the new text of each file that changes, ``bindv6only``, ``None`` as it is immune, ``notes``,
    ``always``, the texts with the entries of access lists alone, and what is ``missing``. Raises
    ``SaltInvocationError`` where a text cannot be read.

    CLI Example:

    .. code-block:: bash

        salt-call listen_unbound.dual_stack '{/etc/unbound/unbound.conf: {text: "server:", includes: []}}' '{}'
    """
    settings = _settings(files)
    edits: dict[str, list[tuple[int, int, str]]] = {}
    notes: list[str] = []
    missing: list[dict[str, Any]] = []
    families: set[int] = set()  # that have to be on
    if _on(settings, AUTOMATIC, False):
        families = {4, 6}
    else:
        for port in dict.fromkeys(each.port for each in settings.interfaces):
            own = [each for each in settings.interfaces if each.port == port]
            addresses = [each.address for each in own]
            lack = service_lists.lack(_claims(addresses, settings), site)
            source = _source(own, site)
            if source and lack.missing:
                missing.append(
                    service_lists.gap(f"{_place(source.option)}: {_written(source)}: {lack.missing}", _number(port))
                )
            elif source:
                families |= {service_addresses.version(each) or 4 for each in (*addresses, *lack.added)}
                suffix = f"@{port}" if "@" in source.option.words[0].text else ""
                text = files[source.option.path]["text"]
                edits.setdefault(source.option.path, []).extend(
                    service_unbound.beside(text, source.option, f"{WRITTEN.get(address, address)}{suffix}")
                    for address in lack.added
                )
            notes += _left_alone(own, source, lack.note, site)
    for version in sorted(families):
        switch = settings.switches.get(FAMILY[version])
        if switch and not _on(settings, FAMILY[version], True):
            edits.setdefault(switch.path, []).append((switch.words[0].start, switch.words[0].end, "yes"))
    companions: dict[str, list[tuple[int, int, str]]] = {}
    if 6 in families:
        notes += _deaf(settings)
        for option, twin in _lonely(settings.access):
            text = files[option.path]["text"]
            companions.setdefault(option.path, []).append(service_unbound.beside(text, option, twin))
    both = {path: [*edits.get(path, []), *companions.get(path, [])] for path in (*edits, *companions)}
    return {
        "files": service_edits.rewritten(files, both),
        "always": service_edits.rewritten(files, companions),
        "bindv6only": None,
        "notes": list(dict.fromkeys(notes)),
        "missing": missing,
    }


def _settings(files: dict[str, dict[str, Any]]) -> Settings:
    found = Settings([], {}, [], [], [], [])
    port, automatic = "53", ""
    secure, more = {"tls-port": "853", "https-port": "443"}, []
    for clause, option in service_unbound.walk(files, MAIN):
        if clause != "server" or not option.words:
            continue
        value = option.words[0].text
        if option.name in SWITCHES:
            if value not in ("yes", "no"):
                raise SaltInvocationError(f"{_place(option)}: {option.name} is neither yes nor no")
            found.switches[option.name] = option
        elif option.name == "port":
            port = value
        elif option.name == "interface-automatic-ports":
            automatic = value
        elif (name := option.name.replace("ssl-", "tls-")) in secure:
            secure[name] = value
        elif name == "tls-additional-port":
            more.append(value)
        elif option.name in INTERFACES:
            address, _, own = value.partition("@")
            found.interfaces.append(Interface(option, service_addresses.canonical(address), own))
        elif option.name == "access-control":
            found.access.append(option)
        elif option.name == "interface-action":
            found.actions.append(option)
    interfaces = [each._replace(port=each.port or port) for each in found.interfaces]
    on = _on(found, AUTOMATIC, False)
    ports = automatic.split() if on and automatic.split() else [port]
    return found._replace(interfaces=interfaces, ports=ports, secure=[*secure.values(), *more])


def _on(settings: Settings, name: str, usually: bool) -> bool:
    switch = settings.switches.get(name)
    return switch.words[0].text == "yes" if switch else usually


def _claims(addresses: list[str], settings: Settings) -> list[str]:
    """The addresses of a port, without ::1 where it can share the port with ``::0`` (SO_REUSEPORT)."""
    shares = ANY4 in addresses and _on(settings, "so-reuseport", True)
    return [each for each in addresses if not (shares and each == "::1")]


def _source(own: list[Interface], site: dict[str, Any] | None) -> Interface | None:
    """The interface of a port that others are added for: on all addresses, or on a published one."""
    published = service_addresses.published(site, "ipv4")
    wanted = [each for each in own if each.address in service_addresses.OTHER]
    return next(iter([*wanted, *(each for each in own if each.address in published)]), None)


def _left_alone(
    own: list[Interface], source: Interface | None, note: str, site: dict[str, Any] | None
) -> Iterator[str]:
    published = [address for family in ("ipv4", "ipv6") for address in service_addresses.published(site, family)]
    for each in own:
        if _why(each.address) and each.address not in published:
            yield f"{_place(each.option)}: {_written(each)}: {_why(each.address)}"
    if source and note:
        yield f"{_place(source.option)}: {_written(source)}: {note}"


def _why(address: str) -> str:
    return service_addresses.why_alone(address, name="an interface by its name, with all its addresses")


def _lonely(access: list[service_unbound.Option]) -> Iterator[tuple[service_unbound.Option, str]]:
    """Entries for all of IPv4, or for this host, that unbound does not have for IPv6: with the network to add."""
    known = {_network(each) for each in access}
    for each in access:
        network, twin = _network(each), TWINS.get(_network(each), "")
        usual = USUAL["0.0.0.0/0" if network == "0.0.0.0/0" else "127.0.0.0/8"]
        if twin and twin not in known and _action(each) not in ("", usual):
            known.add(twin)
            yield each, twin.removesuffix("/128")


def _deaf(settings: Settings) -> Iterator[str]:
    """The entries of access lists that know IPv4 networks, as long as no network of IPv6 is there."""
    if any(":" in _network(each) and _network(each) not in TWINS.values() for each in settings.access):
        return
    for each in (*settings.access, *settings.actions):
        network = _network(each)
        if network and ":" not in network and network not in TWINS:
            what = "refused" if _action(each).startswith("allow") else "not kept out"
            yield (
                f"{_place(each)}: `{each.name}: {each.words[0].text} {_action(each)}` knows IPv4 only: the same "
                f"clients are {what} over IPv6"
            )


def _network(option: service_unbound.Option) -> str:
    try:
        return str(ipaddress.ip_network(option.words[0].text.partition("@")[0], strict=False))
    except ValueError:
        return ""


def _action(option: service_unbound.Option) -> str:
    return option.words[1].text if len(option.words) > 1 else ""


def _number(port: str) -> int | None:
    return int(port) if re.fullmatch("[0-9]{1,5}", port) else None


def _place(option: service_unbound.Option) -> str:
    return f"{option.path}:{option.line}"


def _written(interface: Interface) -> str:
    return f"`{interface.option.name}: {interface.option.words[0].text}`"
