"""
What the authoritative name servers say, each asked directly, over TCP; no cache is trusted.
"""

from __future__ import annotations

import concurrent.futures
import ipaddress
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_dns_values as dns_values
import _dualstack_host_commands as host_commands
import _dualstack_host_time as host_time
import _dualstack_plugins as plugins
from salt.exceptions import CommandExecutionError

QUERY = 5.0  # seconds for one answer of a name server
LASTING = ("REFUSED", "NOTAUTH", "NOTIMP", "FORMERR")  # what a server says that will say the same again
# How the value of a record is written, by its type: in canonical form.
VALUES: dict[str, Callable[[Any], str]] = {
    "A": lambda record: str(ipaddress.IPv4Address(record.address)),
    "AAAA": lambda record: str(ipaddress.IPv6Address(record.address)),
    "PTR": lambda record: dns_values.canonical(record.target.to_text()),
}

# By name, and by the server's label: its ``address`` or ``address#port``.
Places = dict[str, dict[str, str]]


class Answer(plugins.Records):
    """One server's answer about a name: the records (of type PTR: names), the target of a CNAME, or an error."""

    alias: str
    error: str
    lasting: bool  # whether asking again would not help: it is no matter of time


class Question(NamedTuple):
    """What one server is asked."""

    name: str
    kind: str  # a type of records
    where: str  # ``address`` or ``address#port``


class Reply(NamedTuple):
    """What it says: dnspython's message, if it came; and why it is no answer, if it is none."""

    message: Any
    error: str
    lasting: bool = False  # as in an Answer


NOTHING: Answer = {"addresses": [], "ttl": None, "alias": "", "error": "", "lasting": False}


def lookup(name: str, servers: list[str] | None, kind: str = "AAAA") -> dict[str, Any]:
    """
    The records of a name, as each of its authoritative servers has them now.

    name
        A host name in lower case, without the dot at the end.
    servers
        The servers to ask, each an address or ``address#port``; without any, those that the zone's NS records name.
    kind
        The type of the records, one of ``VALUES``.

    Returns what ``aaaa.lookup`` returns. Raises ``CommandExecutionError`` where no server is found.
    """
    answers = ask(places([name], servers, []), kind)[name]
    agree = not lagging({name: answers}, kind=kind)
    common = next(iter(answers.values())) if agree else NOTHING
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
    dns = dnspython()
    found: Places = {}
    zones: dict[Any, dict[str, str]] = {}
    for name in names:
        try:
            asking = resolver(QUERY)
            zone = dns.resolver.zone_for_name(name, resolver=asking)
            if zone not in zones:
                zones[zone] = _name_servers(dns, asking, zone)
            found[name] = zones[zone]
        except (dns.exception.DNSException, OSError) as error:
            if not fallback:
                raise CommandExecutionError(
                    f"{told_as}: this host's resolver does not find the authoritative servers of {name} "
                    f"({said(error)}); list them"
                ) from None
            found[name] = {each: each for each in fallback}
    return found


def _name_servers(dns: Any, asking: Any, zone: Any) -> dict[str, str]:
    """
    The servers that the NS records of a zone name, at each of their IPv4 addresses.

    An IPv6 address is used only if the server has no other: it is the same server, and this host may not have IPv6 yet.
    """
    servers: dict[str, str] = {}
    for host in hosts(asking, zone):
        addresses = at(asking, host, "A") or at(asking, host, "AAAA")
        if not addresses:
            raise dns.exception.DNSException(f"its name server {host}. has no address")
        servers.update({f"{host} ({address})": address for address in addresses})
    return servers


def resolver(patience: float) -> Any:
    """
    This host's resolver, as dnspython has it. Raises what dnspython does where /etc/resolv.conf names no server.

    patience
        Seconds for one answer.
    """
    found = dnspython().resolver.Resolver()
    found.lifetime = host_time.left(patience)
    return found


def hosts(asking: Any, zone: Any) -> list[str]:
    """
    The name servers that the NS records of a zone name, without the dot at the end. Raises what dnspython does.

    asking
        From :py:func:`resolver`.
    zone
        The zone, as dnspython has it.
    """
    return sorted(each.target.to_text().rstrip(".") for each in asking.resolve(zone, "NS"))


def at(asking: Any, host: str, kind: str) -> list[str]:
    """
    The addresses of a host; none where there are none. Raises what dnspython does where that is not known.

    asking
        From :py:func:`resolver`.
    host
        Its name, without the dot at the end.
    kind
        ``A`` or ``AAAA``.
    """
    nothing = dnspython().resolver
    try:
        return sorted(each.address for each in asking.resolve(f"{host}.", kind))
    except (nothing.NXDOMAIN, nothing.NoAnswer):
        return []


def ask(where: Places, kind: str = "AAAA") -> dict[str, dict[str, Answer]]:
    """
    What each server currently says about each name.

    where
        From :py:func:`places`.
    kind
        The type of the records, one of ``VALUES``.

    Returns the answers by name and by the server's label.
    """
    questions = [(name, label, place) for name, servers in where.items() for label, place in servers.items()]
    replies = asked([Question(name, kind, place) for name, _, place in questions])
    answers: dict[str, dict[str, Answer]] = {name: {} for name in where}
    for (name, label, _), reply in zip(questions, replies):
        answers[name][label] = _answer(name, kind, reply)
    return answers


def _referral(message: Any) -> str:
    """The zone whose other servers a message refers to, if it does."""
    zones = [each.name.to_text(omit_final_dot=True) for each in message.authority if is_kind(each, "NS")]
    return f": it delegates the zone {zones[0]}" if zones else ""


def _answer(name: str, kind: str, reply: Reply) -> Answer:
    found: Answer = {**NOTHING, "addresses": [], "error": reply.error, "lasting": reply.lasting}
    if reply.error:
        return found
    for rrset in rrsets(reply, name, kind):
        found["addresses"] = sorted(VALUES[kind](each) for each in rrset)
        found["ttl"] = rrset.ttl
    for rrset in rrsets(reply, name, "CNAME"):
        found["alias"] = rrset[0].target.to_text(omit_final_dot=True)
    return found


def rrsets(reply: Reply, name: str, kind: str) -> list[Any]:
    """
    The records of a name in a reply: one RRset of dnspython's, or none.

    reply
        A reply that has come.
    name
        The name.
    kind
        The type of the records.
    """
    owner = dnspython().name.from_text(name)
    return [each for each in reply.message.answer if each.name == owner and is_kind(each, kind)]


def is_kind(rrset: Any, kind: str) -> bool:
    """
    Whether records are of a type.

    rrset
        An RRset of dnspython's.
    kind
        The type.
    """
    return bool(rrset.rdtype == dnspython().rdatatype.from_text(kind))


def asked(questions: Sequence[Question]) -> list[Reply]:
    """
    Put questions to name servers, at the same time.

    questions
        The questions.

    Returns the reply to each of them.
    """
    dns = dnspython()
    end = time.monotonic() + host_time.left(math.inf)
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(lambda each: _ask_one(dns, each, end), questions))


def _ask_one(dns: Any, question: Question, end: float) -> Reply:
    address, port = dns_values.server(question.where)
    patience = min(QUERY, end - time.monotonic())
    if patience <= 0:
        return Reply(None, "it was not asked, since the time was over")
    try:
        # No recursion is desired, and TCP has no answer that is cut off or forged.
        query = dns.message.make_query(question.name, question.kind, flags=0)
        reply = dns.query.tcp(query, address, timeout=patience, port=port)
    except (dns.exception.DNSException, OSError, EOFError) as error:
        return Reply(None, said(error), isinstance(error, ConnectionRefusedError))
    code = dns.rcode.to_text(reply.rcode())
    if code not in ("NOERROR", "NXDOMAIN"):
        return Reply(reply, f"it answers {code}", code in LASTING)
    if not reply.flags & dns.flags.AA:
        return Reply(reply, f"it is not authoritative for {question.name}{_referral(reply)}", True)
    return Reply(reply, "")


def agreed(
    where: Places, deadline: float, wanted: Mapping[str, plugins.Records] | None = None, kind: str = "AAAA"
) -> dict[str, Answer]:
    """
    What all servers say about each name, as soon as they agree.

    where
        From :py:func:`places`.
    deadline
        Seconds until they have to; with 0 they are asked once.
    wanted
        What they have to say, by name, after a change.
    kind
        The type of the records, one of ``VALUES``.

    Raises ``CommandExecutionError`` at the deadline, with the servers that lag. Without ``wanted``, nobody waits for a
    server that refuses, is not authoritative or does not listen: it answered before the change, or it will not.
    """
    end = time.monotonic() + host_time.left(deadline)
    pause = 0.2
    while True:
        answers = ask(where, kind)
        late = lagging(answers, wanted, kind)
        if not late:
            return {name: next(iter(found.values())) for name, found in answers.items()}
        lasting = not wanted and any(each["lasting"] for found in answers.values() for each in found.values())
        if lasting or time.monotonic() + pause > end:
            when = "" if lasting else f" (after {deadline:g} s)" if deadline else " (asked once)"
            raise CommandExecutionError("\n".join([*(f"{each}{when}" for each in late), *_unseen(answers, wanted)]))
        time.sleep(pause)
        pause = min(2 * pause, 5)


def _unseen(answers: Mapping[str, Mapping[str, Answer]], wanted: Mapping[str, plugins.Records] | None) -> Iterator[str]:
    for name, found in answers.items():
        if wanted and not any(each["error"] or holds(each, wanted[name]) for each in found.values()):
            yield (
                f"The change of {name} was reported as done, but none of these servers shows it. It may have been "
                "made in another view than the one that they show this host (split horizon), or at a server whose zone "
                "they do not copy, or they need longer than the deadline."
            )


def lagging(
    answers: Mapping[str, Mapping[str, Answer]],
    wanted: Mapping[str, plugins.Records] | None = None,
    kind: str = "AAAA",
) -> list[str]:
    """
    The servers that do not answer, or that differ from what is wanted, or from the first of them.

    answers
        From :py:func:`ask`.
    wanted
        What they have to say, by name.
    kind
        The type of the records, one of ``VALUES``.

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
                sentences.append(f"{label} has {told(answer, kind)} for {name}, not {told(wanted[name], kind)}")
            elif not wanted and not (same(answer, speaking[first]) and answer["alias"] == speaking[first]["alias"]):
                sentences.append(
                    f"the servers of {name} do not agree: {first} has {told(speaking[first], kind)}, "
                    f"{label} has {told(answer, kind)}"
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
        The records; without any, it may also say what a wildcard does ``instead``.
    """
    instead = not records["addresses"] and answer["addresses"] == records.get("instead")
    return not answer["alias"] and (instead or same(answer, records))


def told(records: plugins.Records, kind: str = "AAAA") -> str:
    """
    Records in words.

    records
        The records, or a server's answer.
    kind
        Their type.
    """
    if alias := records.get("alias"):
        return f"an alias (CNAME) of {alias}"
    if not records["addresses"]:
        return f"no {kind} record"
    ttl = "" if records["ttl"] is None else f" (TTL {records['ttl']} s)"
    return ", ".join(records["addresses"]) + ttl


def dnspython() -> Any:
    """
    The library, or a ``CommandExecutionError``. It is not imported at the top: it is needed only where there are
    records, and may be installed by the same run that loads this module.
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
        raise host_commands.NotInstalled(
            "the Python that runs Salt has no dnspython; install it with 'salt-pip install dnspython', or, where Salt "
            "runs on the system's Python, the package python3-dnspython",
            "dns",
        ) from None
    return dns


def said(error: Exception) -> str:
    """
    An error of dnspython's, in one line.

    error
        The error.
    """
    return " ".join(str(error).split()) or type(error).__name__
