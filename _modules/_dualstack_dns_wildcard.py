"""
A wildcard over a name: what it answers where the name has no records of its own (:rfc:`4592`).

Such an answer is no record of the name: it cannot be deleted there, and a record that is added takes the place of
*everything* that the wildcard gives to the name, whatever its type.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import _dualstack_dns_ask as dns_ask
import _dualstack_dns_zone as dns_zone
from salt.exceptions import CommandExecutionError

KINDS = ("A", "AAAA", "CNAME", "MX", "TXT", "SRV", "CAA", "HTTPS")  # what a wildcard may give
LENGTH = 253  # of a name, without the dot at the end

Data = dict[str, tuple[str, ...]]  # by type, the values as in a zone file


class Wildcard(NamedTuple):
    """The wildcard over a name."""

    data: Data  # what it gives; nothing where it gives nothing
    answers: bool  # whether it answers for the name, which then has no record of its own
    kind: str = "AAAA"  # of the records that are asked for

    @property
    def addresses(self) -> list[str]:
        """Its AAAA records, or of type PTR the names."""
        return sorted(self.data.get(self.kind, ()))


Wildcards = dict[str, Wildcard]  # by name


def over(where: dns_ask.Places, kind: str = "AAAA") -> Wildcards:
    """
    The wildcards over some names.

    where
        From :py:func:`_dualstack_dns_ask.places`. The first server of each name is asked.
    kind
        The type of the records that the names have, or are to have; of a reverse name, no other type is asked for.

    Returns those that there are. A name that does not exist beside this one, or beside one above it in its zone, has an
    answer only by a wildcard. If one *below* it has the same, this name does not exist either: else it would stop the
    wildcard. Raises ``CommandExecutionError`` where a server does not answer.
    """
    label = secrets.token_hex(6)
    servers = {name: next(iter(places.values())) for name, places in where.items()}
    beside = [
        (name, f"{label}.{above}")
        for name, zone in dns_zone.found(servers).items()
        for above in _above(name, zone)
        if len(f"{label}.{above}") <= LENGTH
    ]
    replies = dns_ask.asked([dns_ask.Question(each, kind, servers[name]) for name, each in beside])
    found: Wildcards = {}
    for (name, each), reply in zip(beside, replies):
        if name in found or _is_missing(each, reply):
            continue
        kinds = KINDS if kind == "AAAA" else (kind,)
        data = _data(each, servers[name], kinds)
        below = f"{label}.{name}"
        answers = len(below) <= LENGTH and all(_data(same, servers[name], kinds) == data for same in (name, below))
        found[name] = Wildcard(data, answers and bool(data), kind)
    return found


def _above(name: str, zone: str) -> list[str]:
    """The names above one in its zone, the next first; none if the zone is not known."""
    inside = name.removesuffix(f".{zone}") if zone and name != zone else ""
    labels = inside.split(".") if inside else []
    return [".".join([*labels[index:], zone]) for index in range(1, len(labels) + 1)]


def _is_missing(name: str, reply: dns_ask.Reply) -> bool:
    if reply.error:
        raise CommandExecutionError(f"whether there is a wildcard beside {name} is not known: {reply.error}")
    return bool(reply.message.rcode())  # NXDOMAIN


def _data(name: str, server: str, kinds: Sequence[str]) -> Data:
    """All that a server has of a name, of some types."""
    replies = dns_ask.asked([dns_ask.Question(name, kind, server) for kind in kinds])
    found: Data = {}
    for kind, reply in zip(kinds, replies):
        if reply.error:
            raise CommandExecutionError(f"whether {name} comes from a wildcard is not known: {reply.error}")
        for rrset in dns_ask.rrsets(reply, name, kind):
            found[kind] = tuple(sorted(dns_ask.VALUES.get(kind, str)(each) for each in rrset))
    return found


def own(
    answers: Mapping[str, dns_ask.Answer], wildcards: Wildcards, satisfied: str | None = None
) -> dict[str, dns_ask.Answer]:
    """
    What names have of their own.

    answers
        What their servers say.
    wildcards
        From :py:func:`over`.
    satisfied
        An address with which nothing else is needed: a wildcard that gives only this one may go on.
    """
    found: dict[str, dns_ask.Answer] = {}
    for name, answer in answers.items():
        wildcard = wildcards.get(name)
        if wildcard:
            answer = {**answer, "instead": wildcard.addresses}
            if suffices(wildcard, satisfied):
                answer["ttl"] = None  # the wildcard's own matter
            elif wildcard.answers:
                answer = {**answer, "addresses": [], "ttl": None, "alias": ""}
        found[name] = answer
    return found


def suffices(wildcard: Wildcard, address: str | None) -> bool:
    """
    Whether a wildcard gives to a name what it is to have.

    wildcard
        The wildcard over the name.
    address
        The address that the name is to have.
    """
    return wildcard.answers and wildcard.addresses == [address]


def refuse(wildcards: Wildcards, address: str | None) -> None:
    """
    Refuse to publish a record that would take others away.

    wildcards
        From :py:func:`over`.
    address
        The address that is to be published.

    Raises ``CommandExecutionError`` with the records that have to be there first.
    """
    problems = []
    for name, wildcard in wildcards.items():
        others = [f"{kind} {each}" for kind, values in wildcard.data.items() if kind != "AAAA" for each in values]
        if wildcard.answers and others and not suffices(wildcard, address):
            problems.append(
                f"{name} has no records of its own: a wildcard answers for it, with "
                f"{', '.join(others)}. An AAAA record of its own would take these away from it (RFC 4592); add those "
                "that it needs for this name first, at least one"
            )
    if problems:
        raise CommandExecutionError("\n".join(problems))


def warnings(wildcards: Wildcards) -> list[str]:
    """
    What should be known of the wildcards over some names that give them an address.

    wildcards
        From :py:func:`over`.

    Returns a sentence for each.
    """
    return [
        f"{name} has no record of its own: a wildcard answers {', '.join(wildcard.addresses)} for it, "
        "which this host has not published"
        for name, wildcard in wildcards.items()
        if wildcard.answers and wildcard.addresses
    ]
