"""
What the authoritative name servers say, each asked directly, over TCP; no cache is trusted.
"""

from __future__ import annotations

import concurrent.futures
import ipaddress
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import _dualstack_dns_values as dns_values
import _dualstack_host_time as host_time
import _dualstack_plugins as plugins
from salt.exceptions import CommandExecutionError

QUERY = 5.0  # seconds for one answer of a name server

# By name, and by the server's label: its ``address`` or ``address#port``.
Places = dict[str, dict[str, str]]


class Answer(plugins.Records):
    """One server's answer about a name: the records, the target of a CNAME, or an error."""

    alias: str
    error: str


def lookup(name: str, servers: list[str] | None) -> dict[str, Any]:
    """
    The AAAA records of a name, as each of its authoritative servers has them now.

    name
        A host name in lower case, without the dot at the end.
    servers
        The servers to ask, each an address or ``address#port``; without any, those that the zone's NS records name.

    Returns what ``aaaa.lookup`` returns. Raises ``CommandExecutionError`` where no server is found.
    """
    answers = ask(places([name], servers, []))[name]
    agree = not lagging({name: answers})
    nothing: Answer = {"addresses": [], "ttl": None, "alias": "", "error": ""}
    common = next(iter(answers.values())) if agree else nothing
    summary = {"addresses": common["addresses"], "ttl": common["ttl"], "alias": common["alias"]}
    return {"name": name, "agree": agree, **summary, "servers": answers}


def places(names: list[str], servers: list[str] | None, fallback: Sequence[str], told_as: str = "servers") -> Places:
    """
    The authoritative servers of each name.

    names
        Host names.
    servers
        The servers, if they are known; else the NS records are looked up by this host's resolver.
    fallback
        The servers where this host's resolver finds none.
    told_as
        The setting that the error names, under which they can be listed.

    Raises ``CommandExecutionError`` where no server is found.
    """
    if servers:
        return {name: {each: each for each in servers} for name in names}
    dns = _dnspython()
    found: Places = {}
    zones: dict[Any, dict[str, str]] = {}
    for name in names:
        try:
            resolver = dns.resolver.Resolver()
            resolver.lifetime = host_time.left(QUERY)
            zone = dns.resolver.zone_for_name(name, resolver=resolver)
            if zone not in zones:
                zones[zone] = _name_servers(dns, resolver, zone)
            found[name] = zones[zone]
        except (dns.exception.DNSException, OSError) as error:
            if not fallback:
                raise CommandExecutionError(
                    f"{told_as}: this host's resolver does not find the authoritative servers of {name} "
                    f"({_said(error)}); list them"
                ) from None
            found[name] = {each: each for each in fallback}
    return found


def _name_servers(dns: Any, resolver: Any, zone: Any) -> dict[str, str]:
    """
    The servers that the NS records of a zone name, at each of their IPv4 addresses.

    An IPv6 address is used only if the server has no other: it is the same server, and this host may not have IPv6 yet.
    """
    servers = {}
    for host in sorted(each.target.to_text() for each in resolver.resolve(zone, "NS")):
        for kind in ("A", "AAAA"):
            try:
                addresses = sorted(each.address for each in resolver.resolve(host, kind))
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                continue
            servers.update({f"{host.rstrip('.')} ({address})": address for address in addresses})
            break
        else:
            raise dns.exception.DNSException(f"its name server {host} has no address")
    return servers


def ask(where: Places) -> dict[str, dict[str, Answer]]:
    """
    What each server currently says about each name.

    where
        From :py:func:`places`.

    Returns the answers by name and by the server's label.
    """
    dns = _dnspython()
    questions = [(name, label, place) for name, servers in where.items() for label, place in servers.items()]
    end = time.monotonic() + host_time.left(math.inf)
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        answers = list(pool.map(lambda each: _ask_one(dns, each[0], each[2], end), questions))
    asked: dict[str, dict[str, Answer]] = {name: {} for name in where}
    for (name, label, _), answer in zip(questions, answers):
        asked[name][label] = answer
    return asked


def _ask_one(dns: Any, name: str, where: str, end: float) -> Answer:
    address, port = dns_values.server(where)
    found: Answer = {"addresses": [], "ttl": None, "alias": "", "error": ""}
    patience = min(QUERY, end - time.monotonic())
    if patience <= 0:
        return {**found, "error": "it was not asked, since the time was over"}
    try:
        # No recursion is desired, and TCP has no answer that is cut off or forged.
        question = dns.message.make_query(name, "AAAA", flags=0)
        answer = dns.query.tcp(question, address, timeout=patience, port=port)
    except (dns.exception.DNSException, OSError, EOFError) as error:
        return {**found, "error": _said(error)}
    code = dns.rcode.to_text(answer.rcode())
    if code not in ("NOERROR", "NXDOMAIN"):
        return {**found, "error": f"it answers {code}"}
    if not answer.flags & dns.flags.AA:
        return {**found, "error": f"it is not authoritative for {name}"}
    owner = dns.name.from_text(name)
    for rrset in answer.answer:
        if rrset.name == owner and rrset.rdtype == dns.rdatatype.AAAA:
            found["addresses"] = sorted(str(ipaddress.IPv6Address(each.address)) for each in rrset)
            found["ttl"] = rrset.ttl
        elif rrset.name == owner and rrset.rdtype == dns.rdatatype.CNAME:
            found["alias"] = rrset[0].target.to_text(omit_final_dot=True)
    return found


def agreed(where: Places, deadline: float, wanted: Mapping[str, plugins.Records] | None = None) -> dict[str, Answer]:
    """
    What all servers say about each name, as soon as they agree.

    where
        From :py:func:`places`.
    deadline
        Seconds until they have to.
    wanted
        What they have to say, by name.

    Raises ``CommandExecutionError`` at the deadline, with the servers that lag.
    """
    end = time.monotonic() + host_time.left(deadline)
    pause = 0.2
    while True:
        answers = ask(where)
        late = lagging(answers, wanted)
        if not late:
            return {name: next(iter(found.values())) for name, found in answers.items()}
        if time.monotonic() + pause > end:
            raise CommandExecutionError("\n".join(f"{each} (after {deadline:g} s)" for each in late))
        time.sleep(pause)
        pause = min(2 * pause, 5)


def lagging(
    answers: Mapping[str, Mapping[str, Answer]], wanted: Mapping[str, plugins.Records] | None = None
) -> list[str]:
    """
    The servers that do not answer, or that differ from what is wanted, or from the first of them.

    answers
        From :py:func:`ask`.
    wanted
        What they have to say, by name.

    Returns a sentence for each of them.
    """
    sentences = []
    for name, found in answers.items():
        speaking = {label: answer for label, answer in found.items() if not answer["error"]}
        sentences += [
            f"{each} has no answer for {name}: {found[each]['error']}" for each in found if found[each]["error"]
        ]
        first = next(iter(speaking), "")
        for label, answer in speaking.items():
            if wanted and not holds(answer, wanted[name]):
                sentences.append(f"{label} has {told(answer)} for {name}, not {told(wanted[name])}")
            elif not wanted and not (same(answer, speaking[first]) and answer["alias"] == speaking[first]["alias"]):
                sentences.append(
                    f"the servers of {name} do not agree: {first} has {told(speaking[first])}, "
                    f"{label} has {told(answer)}"
                )
    return sentences


def same(one: plugins.Records, other: plugins.Records) -> bool:
    """
    Whether records are the same. A TTL of ``None`` matches any.

    one, other
        The records.
    """
    return one["addresses"] == other["addresses"] and len({one["ttl"], other["ttl"]} - {None}) < 2


def holds(answer: Answer, records: plugins.Records) -> bool:
    """
    Whether a server has these records for a name.

    answer
        What it says.
    records
        The records.
    """
    return not answer["alias"] and same(answer, records)


def told(records: plugins.Records) -> str:
    """
    Records in words.

    records
        The records, or a server's answer.
    """
    if alias := records.get("alias"):
        return f"an alias (CNAME) of {alias}"
    if not records["addresses"]:
        return "no AAAA record"
    ttl = "" if records["ttl"] is None else f" (TTL {records['ttl']} s)"
    return ", ".join(records["addresses"]) + ttl


def _dnspython() -> Any:
    """
    The library. It is not imported at the top: it is needed only where there are records, and may be installed by the
    same run that loads this module.
    """
    try:
        import dns.exception
        import dns.flags
        import dns.message
        import dns.name
        import dns.query
        import dns.rcode
        import dns.rdatatype
        import dns.resolver
    except ImportError:
        raise CommandExecutionError(
            "the Python that runs Salt has no dnspython; install it with 'salt-pip install dnspython', or, where Salt "
            "runs on the system's Python, the package python3-dnspython"
        ) from None
    return dns


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
