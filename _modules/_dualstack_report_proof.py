"""
The proof as a report has it: the rungs that the gate before DNS climbs, judged as there, but all at once.

The firewall and the services, which are rungs as well, are the columns of the report.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import _dualstack_converge as converge
import _dualstack_dns_parts as dns_parts
import _dualstack_dns_values as dns_values
import _dualstack_pillar as pillar
import _dualstack_proof_ladder as proof_ladder
import _dualstack_proof_rungs as proof_rungs
import _dualstack_report_problems as report_problems
import _dualstack_report_threads as report_threads
import _dualstack_tunnel_echo as tunnel_echo
import _dualstack_tunnel_host as tunnel_host
import _dualstack_tunnel_ladder as tunnel_ladder
import _dualstack_tunnel_stack as tunnel_stack
from salt.exceptions import CommandExecutionError

BOUND = 20.0  # seconds for a rung
WARNING = "warning: "  # with which a line begins that is no reason for a rung not to hold

Look = Callable[[], converge.Finding]
Rung = dict[str, Any]  # `rung`, `outcome`, `text`, whether it is `needed`, and its `warnings`


def about(ipv6: Mapping[str, Any], usual: str | None) -> proof_ladder.Asked:
    """
    What the rungs are about.

    ipv6
        The pillar ``ipv6``.
    usual
        The IPv6 address that others use, if the host has one: its way is looked at where the pillar has neither a
        tunnel nor a record to publish.

    Raises ``SaltInvocationError`` where the pillar is wrong.
    """
    this = proof_ladder.of(ipv6, place="ipv6:")
    if this.addresses or this.promised or this.tunnels or not usual or not _is_global(usual):
        return this
    return proof_ladder.of(ipv6, {"address": usual}, "ipv6:")


def _is_global(address: str) -> bool:
    try:
        dns_values.address(address)
    except ValueError:
        return False
    return True


def climb(this: proof_ladder.Asked, known: pillar.Known) -> list[Rung]:
    """
    Climb the rungs, all at once.

    this
        From :py:func:`about`.
    known
        The plug-ins.

    Returns for each its ``rung``; its ``outcome``, as states have it; a ``text`` that says why; whether it is
    ``needed``, ``False`` for one that ``dns:without`` lists; and ``warnings``: sentences about what is wrong although
    it holds. One that cannot be climbed was not tried. Takes at most 20 seconds. Raises nothing.
    """
    looks = _looks(this, known)
    found = report_threads.all_of([functools.partial(_climbed, rung, look) for rung, look in looks.items()])
    without = proof_ladder.without(this.ipv6.get("dns"))
    seen: set[str] = set()
    rungs: list[Rung] = []
    for each in found:
        each["needed"] = each["rung"] not in without
        each["warnings"] = [said for said in each["warnings"] if said not in seen]  # one may come from two rungs
        seen.update(each["warnings"])
        before = report_problems.blocked(each["rung"], found)
        rungs.append(
            {
                **each,
                **({"outcome": converge.UNTRIED, "text": f"not tried, since this failed: {before}"} if before else {}),
            }
        )
    return rungs


def _climbed(rung: str, look: Look) -> Rung:
    done = converge.look(rung, look, {}, bound=BOUND)
    lines = done["comment"].splitlines()
    warnings = [each.removeprefix(WARNING) for each in lines if each.startswith(WARNING)]
    text = "\n".join(each for each in lines if not each.startswith(WARNING))
    return {"rung": rung, "outcome": done["outcome"], "text": text, "needed": True, "warnings": warnings}


def _looks(this: proof_ladder.Asked, known: pillar.Known) -> dict[str, Look]:
    looks: dict[str, Look] = {}
    if this.tunnels:
        looks[proof_rungs.TUNNEL] = lambda: _tunnels(this, known.stacks)
    if this.tunnels or this.native or this.promised:
        looks[proof_rungs.ADDRESS] = lambda: proof_ladder.assigned(this)
    if this.addresses or this.tunnels or this.native or this.promised:
        looks[proof_rungs.ROUTE] = lambda: proof_ladder.leaving(this)
        looks[proof_rungs.BEYOND] = lambda: _heard(lambda: proof_ladder.reaching(this, known.stacks))
    if this.ipv6:
        looks[proof_rungs.BOOT] = lambda: proof_ladder.next_boot(this, known)
    if dns_parts.names(this.ipv6.get("dns")):
        looks[proof_rungs.LEADING] = lambda: proof_ladder.leading(this)
    return looks


# --------------------------------------------------------------------------------------------------------------
# The tunnel


def _tunnels(this: proof_ladder.Asked, stacks: tunnel_stack.Stacks) -> converge.Finding:
    return converge.together([_tunnel(this, each, stacks) for each in this.tunnels], "")


def _tunnel(this: proof_ladder.Asked, tunnel: Mapping[str, Any], stacks: tunnel_stack.Stacks) -> converge.Finding:
    """The tunnel's own ladder, up to the first rung that does not hold; and whether its prefixes are routed here."""
    seen = proof_ladder.sight(tunnel, stacks)
    found = tunnel_ladder.live(seen)
    if found.holds and seen.live is not None:
        live = seen.live
        found = _heard(lambda: _beyond_here(this, seen, live))
    return found


def _beyond_here(this: proof_ladder.Asked, seen: tunnel_host.Sight, live: tunnel_host.Interface) -> converge.Finding:
    gateway = (seen.configuration.tunnel or {}).get("gateway")
    below: list[Look] = [lambda: tunnel_ladder.routed(seen), lambda: tunnel_ladder.underlaid(seen)]
    if gateway:
        below.append(lambda: tunnel_ladder.answering(seen))
    for look in below:
        found = look()
        if not found.holds:
            return found
    ends = f"{seen.name} to {live['link']['endpoint']}"
    said = ["the broker answers" if gateway else "the endpoint answers"]
    unknown: list[str] = []
    warnings: list[str] = []
    own = {each.partition("/")[0] for each in live["addresses"]}
    for address in (each for each in this.addresses if each in own):
        found = tunnel_ladder.reaching(seen, None if gateway else this.beyond, address)
        why, *more = found.comment.splitlines()
        warnings += more
        if found.holds is False:
            return converge.Finding(False, "\n".join([why, *dict.fromkeys(warnings)]))
        if found.holds is None:
            unknown.append(why)
        else:
            said.append(f"{address} is routed")
    said.append(f"MTU {live['link']['mtu']}")
    text = f"{ends}: {', '.join(said)}"
    return converge.Finding(None if unknown else True, "\n".join([text, *unknown, *dict.fromkeys(warnings)]))


def _heard(look: Look) -> converge.Finding:
    """What was found with pings. For a user who may not send any, silence is no failure."""
    found = look()
    mute = _mute() if found.holds is False else ""
    return converge.Finding(None, mute) if mute else found


def _mute() -> str:
    """Why no ping can be sent at all; empty if it can."""
    try:
        answer = tunnel_echo.ask("127.0.0.1", attempts=1, timeout=1)
    except CommandExecutionError as error:
        return str(error)
    return "" if answer["sent"] else f"no ping can be sent here ({answer['reason']})"
