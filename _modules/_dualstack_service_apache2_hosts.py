"""
The virtual hosts in Apache's configuration: their names and addresses, and which of them lack IPv6. PURE: never
accesses the host.

``<VirtualHost *:80>``, ``_default_`` and, measured with 2.4, ``0.0.0.0`` answer over both families, but on no address
that another host names with the same port.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import _dualstack_service_addresses as service_addresses
import _dualstack_service_apache2 as service_apache2
import _dualstack_service_sites as service_sites

ANY4, ANY6 = service_addresses.ANY4, service_addresses.ANY6

ADDRESS = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]+)(?::(?P<port>\*|[0-9]{1,5}))?")
BOTH = ("ipv4", "ipv6")
EVERYWHERE = ("*", "_default_", ANY4, ANY6)
NAMES = ("servername", "serveralias")
ENGINES = ("sslengine", "gnutlsenable")
# Which lists of clients there are, and what it means if they know IPv4 only.
LET_IN, KEPT_OUT = "nobody else is let in over IPv6", "over IPv6 nobody is kept out"
LISTS = {
    ("require", "ip"): LET_IN,
    ("require", "not", "ip"): KEPT_OUT,
    ("allow", "from"): LET_IN,
    ("deny", "from"): KEPT_OUT,
}
# 127.0.0.1, 127.0.0.0/8, 127.0.0.0/255.0.0.0, or a part of it.
LOOPBACK4 = re.compile(r"127(?:\.[0-9]+){0,3}\.?(?:/[0-9.]+)?")


# Directives that are one list of clients, each with its verb and its values in lower case.
Clients = list[tuple[service_apache2.Directive, tuple[str, ...], list[str]]]


class Address(NamedTuple):
    """One address of a virtual host."""

    host: str  # ANY4 for every address of both families
    port: str  # a number, `*`, or empty
    word: int  # which of the words it is


class Host(NamedTuple):
    """A virtual host, or the main server, which has no addresses of its own."""

    directive: service_apache2.Directive | None
    addresses: list[Address]
    names: list[str]  # as they are written
    tls: list[bool]  # what each directive says that turns TLS on or off; the last one counts


def hosts(directives: Iterable[service_apache2.Directive]) -> list[Host]:
    """
    The main server, and the virtual hosts in the order of the text; those in macros are left out.

    directives
        All of them, in the order in which Apache reads them.
    """
    result = [Host(None, [], [], [])]
    current = result[0]
    for each in directives:
        kind = each.words[0].lower()
        if kind == service_apache2.HOST:
            current = Host(each, list(_addresses(each)), [], [])
            if service_apache2.MACRO not in service_apache2.kinds(each):
                result.append(current)
        elif kind in (*NAMES, *ENGINES) and len(each.words) > 1:
            around = service_apache2.kinds(each)
            target = current if service_apache2.HOST in around else result[0]
            if service_apache2.HOST not in around and service_apache2.MACRO in around:
                continue
            if kind in ENGINES:
                target.tls.append(each.words[1].lower() == "on")
            else:
                # `ServerName https://www.example.org:443`
                target.names.extend(word.rpartition("://")[2].partition(":")[0] for word in each.words[1:])
    return result


def encrypted(found: list[Host]) -> dict[str, bool | None]:
    """
    Whether TLS is spoken on a port: what the first virtual host there says, or the main server. Where neither does, it
    is as the protocol of the ``Listen`` says (measured with 2.4).

    found
        The main server and the virtual hosts.

    Returns it by the port as virtual hosts have it: a number, ``*`` for those on all ports, or empty for all others.
    """
    result: dict[str, bool | None] = {}
    for host in found:
        said = host.tls or found[0].tls
        tls = said[-1] if said else None
        for address in host.addresses:
            if service_sites.reachable(address.host):
                result.setdefault(address.port or "*", tls)
        if not host.directive:
            result[""] = tls
    return result


def _addresses(directive: service_apache2.Directive) -> Iterator[Address]:
    for index, word in enumerate(directive.words[1:], 1):
        match = ADDRESS.fullmatch(word.rstrip(">"))
        if match:
            host = service_addresses.canonical(match["host"].strip("[]"))
            yield Address(ANY4 if host.lower() in EVERYWHERE else host, match["port"] or "", index)


def sites(found: list[Host], listened: set[int]) -> list[dict[str, Any]]:
    """
    The host names that are served, and on which ports.

    found
        The main server and the virtual hosts.
    listened
        The TCP ports that Apache listens on.

    The main server is asked only where no virtual host is, and one on all ports where no other one has the port.
    """
    result: list[dict[str, Any]] = []
    taken: dict[str, set[str]] = {}  # by the address of virtual hosts
    for host in found:
        for address in host.addresses:
            taken.setdefault(address.host, set()).add(address.port)
    everywhere = taken.get(ANY4, set())
    for host in found:
        ports = {
            port
            for address in host.addresses
            if service_sites.reachable(address.host)
            for port in ([int(address.port)] if address.port.isdecimal() else listened)
            if address.port.isdecimal() or str(port) not in taken[address.host]
        }
        if not host.directive:
            ports = set() if everywhere & {"*", ""} else listened - {int(each) for each in everywhere}
        names = service_sites.host_names(host.names)
        if names and ports & listened:
            own = sorted(ports & listened)
            result.append({"names": names, "ports": own, "families": {port: _families(host, port) for port in own}})
    return result


def _families(host: Host, port: int) -> list[str]:
    """The families in which a host is asked on a port; the main server in both."""
    on = [each.host for each in host.addresses if each.port == str(port) or not each.port.isdecimal()]
    versions = {service_addresses.version(each) for each in on if each != ANY4}
    found = [f"ipv{version}" for version in (4, 6) if version in versions]
    return list(BOTH) if ANY4 in on or not on else found


def widened(
    found: list[Host], published: service_sites.Site
) -> tuple[list[tuple[service_apache2.Directive, int, str]], list[dict[str, Any]]]:
    """
    The addresses that virtual hosts lack: all that are on an IPv4 address come to be on the IPv6 ones.

    found
        The main server and the virtual hosts.
    published
        What is published of this host.

    Returns what to add, each a directive, the number of the word that it follows, and the address; and what is missing
    while no address is known.
    """
    holds = [
        service_sites.Hold(number, address, each.port, each)
        for number, host in enumerate(found)
        for each in host.addresses
        for address in ([ANY4, ANY6] if each.host == ANY4 else [each.host])
    ]
    names = [host.names or [""] for host in found]
    added, missing = service_sites.lacking(holds, names, published, chosen=names)
    edits = []
    for hold, address in added:
        directive = found[hold.server].directive
        assert directive  # the main server has no addresses
        edits.append((directive, hold.what.word, f"[{address}]" + (f":{hold.what.port}" if hold.what.port else "")))
    said = []
    for hold, why in missing:
        host = found[hold.server]
        assert host.directive
        said.append(
            {
                "names": service_sites.host_names(host.names),
                "port": int(hold.what.port) if hold.what.port.isdecimal() else None,
                "said": f"{service_apache2.quoted(host.directive)}: {why}",
            }
        )
    return edits, said


def deaf(found: list[Host], seen: set[tuple[str, int]]) -> Iterator[str]:
    """
    Notes on virtual hosts that know IPv4 only.

    found
        The main server and the virtual hosts.
    seen
        The places, path and line, of those that have been seen to.
    """
    for host in found:
        addresses = [each.host for each in host.addresses]
        directive = host.directive
        if not directive or not addresses or (directive.path, directive.line) in seen:
            continue
        if all(service_addresses.version(each) == 4 and each != ANY4 for each in addresses):
            yield (
                f"{service_apache2.quoted(directive)} knows IPv4 only: what arrives over IPv6 is answered by another "
                "host of this server"
            )


def unresolved(found: list[Host]) -> Iterator[str]:
    """
    Notes on virtual hosts whose addresses are not known from the text.

    found
        The main server and the virtual hosts.
    """
    for host in found:
        words = host.directive.words[1:] if host.directive else []
        known = [service_addresses.version(each.host) for each in host.addresses]
        if words and host.directive and not any(known):
            yield (
                f"{service_apache2.quoted(host.directive)}: which addresses these are is known only when Apache "
                "starts: if none is of IPv6, another host answers there"
            )


def lists(directives: Iterable[service_apache2.Directive]) -> Iterator[Clients]:
    """
    The lists of clients: which directives make one.

    directives
        All of them, in the order in which Apache reads them.
    """
    found: dict[Any, Clients] = {}
    for each in directives:
        if each.words[0].lower() in ("require", "allow", "deny"):
            words = [word.lower() for word in each.words]
            verb = tuple(words[: 3 if words[:2] == ["require", "not"] else 2])
            if verb in LISTS:
                found.setdefault((each.sections, verb), []).append((each, verb, words[len(verb) :]))
    yield from found.values()


def blind_to_loopback(found: Iterable[Clients]) -> Iterator[tuple[service_apache2.Directive, int]]:
    """
    Where a list of clients knows 127.0.0.1 and not ::1: the directive, and the number of the word that it follows.

    found
        The lists.
    """
    for members in found:
        if any(re.match(r"::1(?:/|$)|all$", word) for _, _, words in members for word in words):
            continue
        for each, verb, words in members:
            last = max((index for index, word in enumerate(words) if LOOPBACK4.fullmatch(word)), default=None)
            if last is not None:
                yield each, len(verb) + last
                break


def one_family(found: Iterable[Clients]) -> Iterator[str]:
    """
    Notes on lists of clients that know IPv4 only: nobody but the administrator knows whom they mean in IPv6.

    found
        The lists.
    """
    for members in found:
        values = [word for _, _, words in members for word in words]
        if service_sites.only_ipv4(values) and "all" not in values:
            directive, verb, _ = members[0]
            yield f"{service_apache2.quoted(directive)}: this list knows addresses of IPv4 only: {LISTS[verb]}"
