"""
The ladder of the proof: each rung looks at one thing that has to hold before others are sent here.

The states of ``ipv6.verify``, the gate before DNS and the report all climb this one. Every address that the pillar
publishes has to hold.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_boot_judgement as boot_judgement
import _dualstack_converge as converge
import _dualstack_dns_address as dns_address
import _dualstack_dns_parts as dns_parts
import _dualstack_pillar as pillar_room
import _dualstack_proof_address as proof_address
import _dualstack_proof_beyond as proof_beyond
import _dualstack_proof_names as proof_names
import _dualstack_proof_rungs as proof_rungs
import _dualstack_settings as settings
import _dualstack_settings_native as settings_native
import _dualstack_settings_tunnels as settings_tunnels
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_ladder as tunnel_ladder
import _dualstack_tunnel_stack as tunnel_stack
import salt.utils.network
from salt.exceptions import SaltInvocationError

# What the pillar says nothing about, and nobody has looked at.
UNSAID = {
    proof_rungs.SERVICES: f"not tried: {proof_rungs.SERVICES}: the pillar names none",
    proof_rungs.OUTSIDE: f"not tried: {proof_rungs.OUTSIDE}: nobody is named who would connect (verify:prober)",
}


class Asked(NamedTuple):
    """What the rungs are about."""

    ipv6: Mapping[str, Any]  # the pillar
    addresses: list[str]  # that are published
    beyond: list[str]
    tunnels: list[dict[str, Any]]
    native: list[dict[str, Any]] = []  # the hoster's interface, if the pillar has it

    @property
    def promised(self) -> bool:
        """Whether DNS sends others here."""
        return bool(self.ipv6.get("dns"))


def asked(pillar: Mapping[str, Any], key: str | None, given: Mapping[str, Any]) -> Asked:
    """
    What the rungs are about, by their arguments or by the pillar.

    pillar
        The whole pillar.
    key
        Where ``ipv6`` is in it; ``None`` if nothing is taken from there.
    given
        The arguments ``address`` and ``beyond``, ``None`` where one is not given.

    Raises ``SaltInvocationError`` where they are wrong.
    """
    return of({} if key is None else settings.part(pillar, key), given, "" if key is None else f"{key}:")


def of(ipv6: Mapping[str, Any], given: Mapping[str, Any] | None = None, place: str = "") -> Asked:
    """
    The same for a pillar ``ipv6``.

    ipv6, given
        As above.
    place
        What errors in the pillar begin with.
    """
    given = given or {}
    tunnels = list(settings_tunnels.entries(ipv6).values())
    own = given.get("address")
    try:
        published = [own] if own is not None else _published(ipv6.get("dns"), settings_native.holders(ipv6))
        addresses = list(dict.fromkeys(str(ipaddress.IPv6Address(str(each))) for each in published))
    except ValueError:
        where = "address" if own is not None else f"{place}dns:address"
        raise SaltInvocationError(f"{where}: expected an IPv6 address without a prefix length") from None
    verify = ipv6.get("verify")
    beyond = given.get("beyond") or (verify.get("beyond") if isinstance(verify, Mapping) else None) or []
    if not isinstance(beyond, (list, tuple)):
        raise SaltInvocationError(f"beyond: expected a list of IPv6 addresses, found {beyond!r}")
    native = settings_native.of_part(ipv6.get(settings_native.PART))
    return Asked(ipv6, addresses, list(beyond), tunnels, native)


def _published(dns: Any, holders: list[dict[str, Any]]) -> list[Any]:
    tunnel = settings_tunnels.of(holders, None)
    entries = [entry for _, entry in dns_parts.entries(dns)] or [{}]
    given = [dns_address.published(each, tunnel) or each.get("address") for each in entries]
    return [each for each in given if each is not None]


# --------------------------------------------------------------------------------------------------------------
# The rungs


def assigned(this: Asked) -> converge.Finding:
    """
    Whether every published address is on this host, and others can use it.

    this
        From :py:func:`asked`.
    """
    # Of a tunnel's addresses, all but the source are deprecated by its own state, so that none leaves by them.
    held = [each for holder in [*this.tunnels, *this.native] for each in settings_tunnels.hosts(holder)]
    return _each(this, lambda address: proof_address.assigned(address, held))


def leaving(this: Asked) -> converge.Finding:
    """
    Whether what comes from every published address leaves this host.

    this
        From :py:func:`asked`.
    """

    def look(address: str) -> converge.Finding:
        tunnel = _of(this, address)
        by_tunnel = tunnel is not None and tunnel.get("routing") != "none"
        native = next((each for each in this.native if settings_tunnels.has(each, address)), None)
        name = tunnel["name"] if tunnel and by_tunnel else native["name"] if native else None
        return proof_address.leaving(address, this.beyond, name and str(name))

    return _each(this, look)


def reaching(this: Asked, stacks: tunnel_stack.Stacks) -> converge.Finding:
    """
    Whether somebody beyond answers to every published address.

    this
        From :py:func:`asked`.
    stacks
        The network stacks.
    """
    names, servers = dns_parts.names(this.ipv6.get("dns")), dns_parts.servers(this.ipv6.get("dns"))

    def look(address: str) -> converge.Finding:
        tunnel = _of(this, address)
        if this.beyond and tunnel is None:
            return proof_beyond.pinged(address, this.beyond)
        tunnelled = _through_tunnel(this, tunnel, address, stacks) if tunnel else None
        if tunnelled and (this.beyond or tunnelled.holds is False):
            return tunnelled
        heard = proof_beyond.asked(address, names, servers) if names else None
        if heard is None:
            return tunnelled or converge.Finding(None, "nobody beyond is named: verify:beyond has no address")
        if tunnelled is None or tunnelled.holds is None:
            return heard
        said = "\n".join(
            [heard.comment, tunnelled.comment] if heard.holds is False else [tunnelled.comment, heard.comment]
        )
        # The broker's end has answered; whether it leads on is doubtful when nobody behind it does.
        return converge.Finding(None if heard.holds is False else True, said)

    return _each(this, look)


def _through_tunnel(
    this: Asked, tunnel: Mapping[str, Any], address: str, stacks: tunnel_stack.Stacks
) -> converge.Finding:
    return tunnel_ladder.reaching(sight(tunnel, stacks), this.beyond, address)


def sight(tunnel: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> tunnel_host.Sight:
    """
    A tunnel, and its surroundings.

    tunnel
        One of :py:func:`asked`.
    stacks
        The network stacks.

    Raises ``CommandExecutionError`` where none of them configures this host.
    """
    return tunnel_host.look(str(tunnel["name"]), str(tunnel.get("stack") or tunnel_stack.AUTO), stacks)


def _of(this: Asked, address: str) -> dict[str, Any] | None:
    """The tunnel that has an address."""
    return next((each for each in this.tunnels if settings_tunnels.has(each, address)), None)


def leading(this: Asked) -> converge.Finding:
    """
    Whether the published names lead to this host over IPv4 as well.

    this
        From :py:func:`asked`.
    """
    verify = this.ipv6.get("verify")
    public = verify.get("public_ipv4") if isinstance(verify, Mapping) else None
    own = salt.utils.network.ip_addrs()
    found = []
    for _, entry in dns_parts.entries(this.ipv6.get("dns")):
        names, servers = dns_parts.names(entry), dns_parts.servers(entry)
        if entry.get("other_ipv4") is True:
            said = f"not looked up, since dns:other_ipv4 is true: {', '.join(names)}"
            found.append(converge.Finding(True, said))
        else:
            found.append(proof_names.lead(names, servers, public, own))
    return converge.together(found, "there is nothing to look at")


def next_boot(this: Asked, known: pillar_room.Known) -> converge.Finding:
    """
    Whether the next boot comes up as this host is now.

    this
        From :py:func:`asked`.
    known
        The plug-ins.
    """
    return boot_judgement.look(this.ipv6, known)


def _each(this: Asked, look: Callable[[str], converge.Finding]) -> converge.Finding:
    return converge.together(
        map(look, this.addresses), "no address is published: neither dns, nor tunnel, nor native has one"
    )


# --------------------------------------------------------------------------------------------------------------
# What they prove


def together(this: Asked, rungs: Any) -> converge.Judgement:
    """
    What rungs that were climbed prove together.

    this
        From :py:func:`asked`: rungs that every entry of its ``dns`` has under ``without`` need not have been tried.
    rungs
        Each with its ``rung``, ``title``, ``outcome`` and ``why``.

    Raises ``SaltInvocationError`` for other rungs.
    """
    climbs: dict[str, list[proof_rungs.Climb]] = {}
    for rung, climb in map(_climb, _listed(rungs)):
        climbs.setdefault(rung, []).append(climb)
    if not climbs:
        return converge.Judgement(None, "nothing was tried, and so nothing is proven", converge.UNTRIED)
    proof = proof_rungs.judge(climbs, without(this.ipv6.get("dns")))
    proof.lines.extend(UNSAID[each] for each in UNSAID if this.promised and each not in climbs)
    if proof.outcome == converge.HELD:
        return converge.Judgement(True, "\n".join(proof.lines), proof.outcome)
    broken = this.promised or any(each.outcome == converge.FAILED for found in climbs.values() for each in found)
    return converge.Judgement(
        False if broken else None, "\n".join(["IPv6 is not proven:", *proof.lines]), proof.outcome
    )


def without(dns: Any) -> list[str]:
    """
    The rungs that need not have been tried: those that every entry of the part lists.

    dns
        The part; it may be anything.
    """
    listed = [entry.get("without") for _, entry in dns_parts.entries(dns)]
    lists = [each if isinstance(each, (list, tuple)) else [] for each in listed]
    return [rung for rung in (lists[0] if lists else []) if all(rung in each for each in lists)]


def _listed(rungs: Any) -> Sequence[Any]:
    if rungs is None:
        return []
    if not isinstance(rungs, (list, tuple)):
        raise SaltInvocationError(f"rungs: expected IDs of states, each with its rung, found a {type(rungs).__name__}")
    return rungs


def _climb(given: Any) -> tuple[str, proof_rungs.Climb]:
    keys = ("rung", "title", "outcome", "why")
    if not isinstance(given, Mapping) or not all(isinstance(given.get(each), str) for each in keys):
        raise SaltInvocationError(f"rungs: expected {', '.join(keys)} of each, found {given!r}")
    if given["rung"] not in proof_rungs.RUNGS:
        expected = ", ".join(proof_rungs.RUNGS)
        raise SaltInvocationError(f"rungs: {given['rung']!r} is not a rung of the proof; expected one of {expected}")
    if given["outcome"] not in converge.OUTCOMES.values():
        raise SaltInvocationError(f"rungs: {given['outcome']!r} is not an outcome")
    return given["rung"], proof_rungs.Climb(given["title"], given["outcome"], given["why"])
