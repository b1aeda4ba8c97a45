"""
Publishing and withdrawing the PTR record of an address: the plans. They are carried out, and undone, as those of other
records are.

Only the PTR records of this address are changed, and those of older addresses that this host has published. An address
has one PTR record, since those who ask expect one; that of somebody else is not replaced, unless that is declared.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

import _dualstack_converge as converge
import _dualstack_dns_ask as dns_ask
import _dualstack_dns_change as dns_change
import _dualstack_dns_memory as dns_memory
import _dualstack_dns_ptr as dns_ptr
import _dualstack_dns_reverse as dns_reverse
import _dualstack_dns_settings as dns_settings
import _dualstack_dns_wildcard as dns_wildcard
import _dualstack_host_files as host_files
import _dualstack_plugins as plugins
from salt.exceptions import CommandExecutionError

# What name servers say that do not serve a zone, or not to us.
ELSEWHERE = re.compile(r"REFUSED|NOTAUTH|NOTZONE|not authoritative")


def plan_published(wish: dns_settings.Wish) -> converge.Plan:
    """
    What would change so that an address has the PTR record.

    wish
        From :py:func:`_dualstack_dns_ptr_wish.wish`.

    Raises ``CommandExecutionError`` where somebody else has published one for the address, where the zone is not
    served, and as :py:func:`_dualstack_dns_change.plan_published` does.
    """
    (reverse,) = wish.names
    host = str(wish.host)
    memory = dns_memory.recall(dns_ptr.KIND)
    with _explained(wish.place, wish.zone, wish.names[0]):
        old_ones, warnings = _older(wish, memory)
        places, now, wildcards = dns_change.look(wish._replace(names=[reverse, *old_ones]), host)
    warnings += dns_wildcard.warnings(wildcards)
    dns_change.refuse_aliases([reverse], now)
    old = dns_change.records(now[reverse])
    foreign = [each for each in old["addresses"] if each not in (host, *memory.get(reverse, []))]
    if foreign and not wish.exclusive:
        raise CommandExecutionError(
            f"{wish.address} has a PTR record that this host has not published: {', '.join(foreign)}; an address has "
            f"one, and {wish.place}exclusive: true replaces it"
        )
    ttl = wish.ttl if wish.about["sets_ttl"] else old["ttl"]
    if ttl != wish.ttl and ttl is not None:
        warnings.append(f"{reverse} has a TTL of {ttl} s, and {wish.provider} cannot change it to {wish.ttl} s")
    edits: plugins.Edits = {reverse: {"old": old, "new": {"addresses": [host], "ttl": ttl}}}
    edits.update(_withdrawals(wish._replace(exclusive=False), old_ones, now, memory, warnings))
    return _planned(wish, places, edits, memory, {reverse: [host]}, warnings)


def plan_withdrawn(wish: dns_settings.Wish) -> converge.Plan:
    """
    What would change so that an address no longer has a PTR record that this host has published.

    wish
        From :py:func:`_dualstack_dns_ptr_wish.wish`; its name counts as published by this host.

    Raises ``CommandExecutionError`` as :py:func:`plan_published` does, and where the provider cannot remove records.
    """
    (reverse,) = wish.names
    memory = dns_memory.recall(dns_ptr.KIND)
    with _explained(wish.place, wish.zone, wish.names[0]):
        old_ones, warnings = _older(wish, memory)
        places, now, wildcards = dns_change.look(wish._replace(names=[reverse, *old_ones]))
    warnings += dns_wildcard.warnings(wildcards)
    own = [str(wish.host), *memory.get(reverse, [])]
    edits = {reverse: dns_change.withdrawal(wish, reverse, dns_change.records(now[reverse]), own, warnings)}
    edits.update(_withdrawals(wish._replace(exclusive=False), old_ones, now, memory, warnings))
    return _planned(wish, places, edits, memory, {}, warnings)


def _withdrawals(
    wish: dns_settings.Wish,
    old_ones: list[str],
    now: Mapping[str, dns_ask.Answer],
    memory: dns_memory.Addresses,
    warnings: list[str],
) -> plugins.Edits:
    found = {each: dns_change.records(now[each]) for each in old_ones}
    return {each: dns_change.withdrawal(wish, each, found[each], memory[each], warnings) for each in found}


def _planned(
    wish: dns_settings.Wish,
    places: dns_ask.Places,
    edits: plugins.Edits,
    memory: dns_memory.Addresses,
    ours: dns_memory.Addresses,
    warnings: list[str],
) -> converge.Plan:
    return {
        **dns_change.planned(wish, places, edits, memory, ours, warnings),
        "zone": [wish.place, wish.zone, wish.names[0]],
    }


def _older(wish: dns_settings.Wish, memory: dns_memory.Addresses) -> tuple[list[str], list[str]]:
    """
    The reverse names of other addresses under which this host has published the same name, and warnings of those that
    are not in this zone.
    """
    others = [each for each, hosts in memory.items() if wish.host in hosts and each not in wish.names]
    zone, said = _zone(wish)
    inside = [each for each in others if zone is None or dns_reverse.contains(zone, each)]
    warnings = said + [
        f"this host has also published {wish.host} for {dns_reverse.address(each)}, which is not in the zone {zone}: "
        "that was left there"
        for each in others
        if each not in inside
    ]
    return inside, warnings


def _zone(wish: dns_settings.Wish) -> tuple[str | None, list[str]]:
    """
    The zone of the address, if it is known or found, and what should be known of it.

    Raises ``CommandExecutionError`` if the DNS has another; where the servers are listed, which may be a view of their
    own, that is no more than said.
    """
    (reverse,) = wish.names
    found = _found(reverse)
    if wish.zone is None or found in (None, wish.zone):
        return wish.zone or found, []
    said = f"{wish.place}zone: {wish.zone} is not delegated: in the DNS, {wish.address} belongs to the zone {found}; "
    if wish.servers:
        return wish.zone, [f"{said}others do not see its records until it is delegated to these name servers"]
    raise CommandExecutionError(
        f"{said}have it delegated to your name servers by whoever has that one, or correct the zone"
    )


def _found(name: str) -> str | None:
    """The zone that a name is in, as this host's resolver finds it; ``None`` where it finds none."""
    dns = dns_ask.dnspython()
    try:
        zone = dns.resolver.zone_for_name(name, resolver=dns_ask.resolver(dns_ask.QUERY))
        return str(zone).lower().rstrip(".") or "."
    except (dns.exception.DNSException, OSError):
        return None


@contextlib.contextmanager
def _explained(place: str, zone: str | None, reverse: str) -> Iterator[None]:
    """Say which setting is meant, where a server does not serve the zone."""
    try:
        yield
    except host_files.Moved:
        raise
    except CommandExecutionError as error:
        if not ELSEWHERE.search(str(error)) or f"{place}zone:" in str(error):
            raise
        told = f"the zone {zone}" if zone else f"the zone of {reverse}"
        raise CommandExecutionError(
            f"{error}\n{place}zone: {told} has to be served by these name servers, be delegated to them, "
            "and take PTR records"
        ) from None


def apply(plan: converge.Plan, providers: Mapping[str, plugins.Provider]) -> None:
    """
    Carry out a plan, as :py:func:`_dualstack_dns_change.apply` does.

    plan
        From :py:func:`plan_published` or :py:func:`plan_withdrawn`, made just now.
    providers
        From :py:func:`_dualstack_plugins.providers`.
    """
    with _explained(*plan["zone"]):
        dns_change.apply(plan, providers)


def claim(wish: dns_settings.Wish, published: bool) -> None:
    """
    Remember what this host has published, so that it is removed when its address changes.

    wish
        What was asked for, and holds.
    published
        Whether it was asked to be there; else to be gone.

    Raises ``OSError``.
    """
    gone = [each for each, hosts in dns_memory.recall(dns_ptr.KIND).items() if wish.host in hosts]
    inside = [each for each in gone if wish.zone is not None and dns_reverse.contains(wish.zone, each)]
    now = [str(wish.host)] if published else []
    dns_memory.remember({**dict.fromkeys(inside, []), **dict.fromkeys(wish.names, now)}, dns_ptr.KIND)
