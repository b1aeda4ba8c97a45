"""
The zone in which a name really is, as its name servers have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import _dualstack_dns_ask as dns_ask
import _dualstack_dns_values as dns_values
from salt.exceptions import CommandExecutionError


def found(servers: Mapping[str, str]) -> dict[str, str]:
    """
    The zone of each name: that of the next SOA record at or above it, or one that is delegated to other servers.

    servers
        For each host name a server to ask, ``address`` or ``address#port``.

    Returns nothing for a name of which its server does not say it. Raises ``CommandExecutionError`` where a server does
    not listen, so that no update could be sent to it either.
    """
    zones = dict.fromkeys(servers, "")
    walked = {name: name for name in servers}
    while walked:
        replies = dns_ask.asked([dns_ask.Question(at, "SOA", servers[name]) for name, at in walked.items()])
        for name, reply in zip(list(walked), replies):
            if reply.lasting and reply.message is None:
                raise CommandExecutionError(f"{servers[name]} has no answer for the zone of {name}: {reply.error}")
            zones[name] = _told(name, reply)
            walked[name] = walked[name].partition(".")[2]
            if zones[name] or reply.error or not walked[name]:
                del walked[name]
    return zones


def _told(name: str, reply: dns_ask.Reply) -> str:
    """The zone that a reply tells; nothing if it tells that of something else, as for an alias that of its target."""
    if reply.message is None:
        return ""
    kind = "NS" if reply.error else "SOA"  # a referral has the child zone's NS records, and is not authoritative
    for rrset in (*reply.message.answer, *reply.message.authority):
        zone = dns_values.canonical(rrset.name.to_text())
        if dns_ask.is_kind(rrset, kind) and f".{name}".endswith(f".{zone}"):
            return zone
    return ""


def refuse(names: Sequence[str], zone: str, servers: Sequence[str], where: dns_ask.Places, place: str) -> None:
    """
    Refuse to change names that are not in the zone of the settings, but in one below it.

    names
        The names that would be changed.
    zone
        The zone of the settings; nothing where they have none.
    servers
        Where the change is sent; without any, the first server of each name is asked.
    where
        The servers of each name.
    place
        The setting.

    A server that has both zones may put the record into the upper one, where nobody ever finds it. Raises
    ``CommandExecutionError`` with the zone that each name is in.
    """
    problems = []
    asked = {name: next(iter(servers or where[name].values())) for name in names} if zone else {}
    for name, real in found(asked).items():
        if real != zone and real.endswith(f".{zone}"):
            problems.append(
                f"{place}:zone: {name} is in the zone {real}, below {zone}: a record "
                f"of it there would never be found; the zone in the settings has to be {real}"
            )
    if problems:
        raise CommandExecutionError("\n".join(problems))
