"""
This host's live rules as a firewall for the pillar: of both families where both have rules, and else, on a host that
knew IPv4 only, a proposal for both.

What is proposed has been loaded into a scratch network namespace: the kernel makes of it, for IPv4, exactly what is
live, rule by rule.
"""

from __future__ import annotations

import re
from typing import Any

import _dualstack_firewall_blame as firewall_blame
import _dualstack_firewall_commands as firewall_commands
import _dualstack_firewall_dual as firewall_dual
import _dualstack_firewall_fold as firewall_fold
import _dualstack_firewall_ipset as firewall_ipset
import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_scratch as firewall_scratch
import _dualstack_host_ip as host_ip
import _dualstack_settings_tunnels as settings_tunnels
from salt.exceptions import CommandExecutionError

PLACE = re.compile(r"tables:([^:]+):(.+):rules\[(\d+)\]")
PATIENCE = 50  # rules that the kernel does not take, each found by loading all of them
UNTOUCHED: firewall_save.Chain = {"policy": "ACCEPT", "rules": []}


def adopt(
    tables: dict[str, firewall_save.Tables], tunnel: dict[str, Any] | None, sets: str, choice: str
) -> dict[str, Any]:
    """
    The live rules as the pillar.

    tables
        Of each family, without what belongs to others.
    tunnel
        As in the pillar ``ipv6:tunnel``.
    sets
        The sets of ipset(8), as ipset save prints them.
    choice
        The backend, as in the pillar ``ipv6:firewall:backend``.

    Returns ``ipv6``, with ``firewall``; and ``notes``, sentences about what the proposal changes for IPv6, where it is
    one. Raises ``SaltInvocationError`` with every rule that the pillar cannot express, and ``CommandExecutionError``.
    """
    holding, own = firewall_ipset.holding(sets), firewall_ipset.adopted(sets)
    declared = {"sets": own} if own else {}
    if not firewall_dual.ipv4_only(tables):
        return {"ipv6": {"firewall": {**firewall_fold.adopt(tables, tunnel, holding), **declared}}}
    host, notes = _host(tunnel, holding)
    made = firewall_dual.proposal(tables, host)
    proven, said = _proven(made, host, sets, firewall_commands.backend(choice))
    ends = [str(each["endpoint"]) for each in settings_tunnels.apart(tunnel) if each.get("endpoint")]
    if ends and "filter" in made.ipv4 and _without_endpoint(made, tables["ipv4"]):
        notes.append(
            f"ipv6:tunnel adds to IPv4 that its packets pass, from and to {' and '.join(ends)}; nothing else is added"
        )
    return {"ipv6": {"firewall": {**proven.firewall, **declared}}, "notes": [*said, *notes, *proven.notes]}


def _without_endpoint(made: firewall_dual.Proposal, live: firewall_save.Tables) -> bool:
    """Whether a chain of the live table filter lacks the tunnel's own rule."""
    return any(
        live.get("filter", {}).get(chain, UNTOUCHED) == made.ipv4.get("filter", {}).get(chain, UNTOUCHED)
        for chain in ("INPUT", "OUTPUT")
    )


def _host(tunnel: dict[str, Any] | None, holding: dict[str, str]) -> tuple[firewall_dual.Host, list[str]]:
    try:
        routes = host_ip.look(["-4", "route", "show", "default"])
        links = host_ip.look(["-4", "addr", "show"])
    except CommandExecutionError as error:
        said = f"rules that name an interface or an address of this host were taken as they are: {error}"
        return firewall_dual.Host(tunnel, holding), [said]
    uplinks = dict.fromkeys(str(each["dev"]) for each in routes if each.get("dev"))
    addresses = [each["local"] for link in links for each in link.get("addr_info", []) if each.get("scope") != "host"]
    return firewall_dual.Host(tunnel, holding, tuple(uplinks), tuple(addresses)), []


def _proven(
    made: firewall_dual.Proposal, host: firewall_dual.Host, sets: str, backend: str
) -> tuple[firewall_dual.Proposal, list[str]]:
    """
    The proposal, without what ip6tables does not take, and how it is known that IPv4 stays as it is.

    Raises ``CommandExecutionError`` where IPv4 would not.
    """
    for _ in range(PATIENCE):
        # Without the endpoint: the tunnel's own rules come from another part of the pillar.
        built = firewall_ruleset.build(made.firewall, {"name": (host.tunnel or {}).get("name")}, host.sets)
        texts = {family: firewall_save.render(each) for family, each in built["tables"].items()}
        try:
            loaded = firewall_scratch.load(texts, backend, sets)
        except firewall_commands.NoNamespaces as error:
            _compare(made.ipv4, built["tables"]["ipv4"])
            return made, [f"{_stays(made)}: by their text, since {error}"]
        refusal = loaded.refusals.get("ipv6")
        if not refusal:
            break
        rule = firewall_blame.rule("ipv6", refusal, built["tables"]["ipv6"], built["origins"]["ipv6"], backend, sets)
        place = PLACE.fullmatch(rule.origin) if rule else None
        if not rule or not place:
            raise CommandExecutionError(f"ip6tables does not take the proposal: {refusal.sentence}")
        made = _without(made, place, rule.words, refusal.said)
    if "ipv4" not in loaded.tables:
        raise CommandExecutionError(f"iptables does not take its own rules again: {loaded.refusals['ipv4'].sentence}")
    _compare(made.ipv4, loaded.tables["ipv4"])
    return made, [f"{_stays(made)}, as the kernel says"]


def _stays(made: firewall_dual.Proposal) -> str:
    count = sum(len(each["rules"]) for chains in made.ipv4.values() for each in chains.values())
    return (
        "IPv6 has no rules of its own: IPv4's are proposed for both families. For IPv4, the pillar gives exactly the "
        f"{count} live rules in their order, and their policies"
    )


def _without(made: firewall_dual.Proposal, place: re.Match[str], words: str, said: str) -> firewall_dual.Proposal:
    """The proposal with one rule for IPv4 only, or, if it was for IPv6 only, without it."""
    table, chain, index = place[1], place[2], int(place[3])
    rules = made.firewall["tables"][table][chain]["rules"]
    if isinstance(rules[index], dict):
        del rules[index]
    else:
        rules[index] = {"family": "ipv4", "rule": rules[index].replace(f"|{firewall_dual.CUSTOMER}", "")}
    note = f"tables:{table}:{chain}: needs its IPv6 twin: ip6tables does not take `{words}`: {said}"
    return made._replace(notes=[*made.notes, note])


def _compare(live: firewall_save.Tables, made: firewall_save.Tables) -> None:
    """Raises ``CommandExecutionError`` where the rules of IPv4 would not be what they are."""
    for table, chains in live.items():
        for chain in {**chains, **made.get(table, {})}:
            now, then = (_plain(each.get(chain, UNTOUCHED)) for each in (chains, made.get(table, {})))
            if now != then:
                raise CommandExecutionError(
                    f"tables:{table}:{chain}: the proposal would change IPv4 from {now} to {then}; please report it"
                )


def _plain(chain: firewall_save.Chain) -> firewall_save.Chain:
    unsaid = chain["policy"] == firewall_save.UNSAID
    rules = [firewall_fold.normal(rule) for rule in chain["rules"]]
    return {"policy": "ACCEPT" if unsaid else chain["policy"], "rules": rules}
