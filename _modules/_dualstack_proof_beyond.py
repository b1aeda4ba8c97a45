"""
Whether somebody on the IPv6 internet answers to the published address: a ping, or a name server of the zone.

A host that only sends proves little: the answer has to find its way back to this very address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

import _dualstack_converge as converge
import _dualstack_dns_ask as dns_ask
import _dualstack_dns_values as dns_values
import _dualstack_host_routes as host_routes
import _dualstack_host_time as host_time
import _dualstack_tunnel_echo as tunnel_echo
from salt.exceptions import CommandExecutionError, SaltInvocationError

QUERY = 4.0  # seconds for one answer of a name server
MOST = 8  # name servers that are asked


def pinged(address: str, beyond: Sequence[str]) -> converge.Finding:
    """
    Whether one of some hosts answers a ping from an address.

    address
        Of this host.
    beyond
        The hosts' addresses, of IPv6; asked one after the other until one answers.

    Raises ``SaltInvocationError`` for one that is not such an address.
    """
    silence: list[str] = []
    tried = False
    for target in _checked(beyond):
        if host_routes.to(target).local:
            silence.append(f"{target} is an address of this host, and proves nothing")
            continue
        if host_routes.on_link(target):
            silence.append(f"{target} is a neighbour of this host, whose answer needs no way to the internet")
            continue
        answer = tunnel_echo.ask(target, source=address)
        if answer["answering"]:
            said = f"{target} answers to {address}: {tunnel_echo.words(answer)}"
            return converge.Finding(True, "; ".join([*silence, said]))
        tried = True
        silence.append(f"{target} does not answer to {address} ({answer['reason'] or 'nothing came back'})")
    return converge.Finding(False if tried else None, "; ".join(silence) or "nobody beyond is named")


def _checked(beyond: Any) -> list[str]:
    try:
        if not isinstance(beyond, (list, tuple)):
            raise ValueError
        return [str(ipaddress.IPv6Address(each)) for each in beyond]
    except ValueError:
        raise SaltInvocationError(f"beyond: {beyond!r} is not a list of IPv6 addresses") from None


def asked(address: str, names: Sequence[str], servers: Sequence[str] | None = None) -> converge.Finding:
    """
    Whether a name server of the names' zones answers a question that comes from an address, over IPv6.

    address
        Of this host.
    names
        Host names.
    servers
        The name servers, each an ``address`` or ``address#port``, as far as they are known; those that the zones' NS
        records name are asked as well.

    One silent server may itself be the one that has failed. So nothing is said to have failed unless several do not
    answer over IPv6, and one of the zone does over IPv4.
    """
    try:
        found, unknown = _name_servers(names, servers or ())
    except CommandExecutionError as error:
        return converge.Finding(None, f"no name server was asked over IPv6: {error}")
    found = {label: place for label, place in found.items() if not _is_near(dns_values.server(place)[0])}
    if not found:
        why = f" ({unknown})" if unknown else ""
        return converge.Finding(None, f"no name server of {', '.join(names)} with an IPv6 address is known{why}")
    silence: list[str] = []
    for label, place in list(found.items())[:MOST]:
        said = _question(place, names[0], address)
        if not said:
            return converge.Finding(True, "; ".join([*silence, f"the name server {label} answers to {address}"]))
        silence.append(f"the name server {label} does not answer to {address} ({said})")
    told = "; ".join(silence)
    if len(silence) > 1 and _answer_over_ipv4(names, servers):
        return converge.Finding(False, f"{told}; over IPv4, the zone's name servers do")
    return converge.Finding(None, f"{told}: whether it is they or this host's IPv6 is not known")


def _is_near(server: str) -> bool:
    """Whether an answer would prove nothing: it is this host, or a neighbour of it."""
    return host_routes.to(server).local or host_routes.on_link(server)


def _name_servers(names: Sequence[str], servers: Iterable[str]) -> tuple[dict[str, str], str]:
    """The name servers over IPv6, by label, and why there may be more."""
    found = {each: each for each in servers if ":" in dns_values.server(each)[0]}
    unknown = ""
    dns = dns_ask.dnspython()
    zones: set[Any] = set()
    for name in names:
        try:
            asking = dns_ask.resolver(QUERY)
            zone = dns.resolver.zone_for_name(name, resolver=asking)
            if zone in zones:
                continue
            zones.add(zone)
            for host in dns_ask.hosts(asking, zone):
                # One server is one witness, however often it is named.
                known = {dns_values.server(each)[0] for each in found.values()}
                new = [each for each in dns_ask.at(asking, host, "AAAA") if each not in known]
                found.update({f"{host} ({each})": each for each in new})
        except (dns.exception.DNSException, OSError) as error:
            unknown = dns_ask.said(error)
    return found, unknown


def _question(place: str, name: str, address: str) -> str:
    """Ask a name server, over TCP; why it has not answered, or nothing. Whatever it answers, it does."""
    dns = dns_ask.dnspython()
    server, port = dns_values.server(place)
    try:
        dns.query.tcp(
            dns.message.make_query(name, "AAAA", flags=0),
            server,
            timeout=min(QUERY, host_time.left(QUERY)),
            port=port,
            source=address,
        )
    except (dns.exception.DNSException, OSError, EOFError) as error:
        return dns_ask.said(error)
    return ""


def _answer_over_ipv4(names: Sequence[str], servers: Sequence[str] | None) -> bool:
    given = [each for each in servers or () if ":" not in dns_values.server(each)[0]]
    try:
        answers = dns_ask.ask(dns_ask.places(list(names[:1]), given, []))
    except CommandExecutionError:
        return False
    return any(not each["error"] for found in answers.values() for each in found.values())
