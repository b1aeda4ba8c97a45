"""
The dual-stack firewall for a host that has rules for IPv4 only. PURE: never accesses the host.

IPv4's rules are written so that they are for both families, and IPv4 keeps each of them as it is. IPv6 is to be no more
open than IPv4: an IPv6 packet is treated like an IPv4 packet of a stranger, whose address no rule names.

- A rule that translates is one for both. A mask length of ``connlimit`` or ``hashlimit`` becomes ``24|64``.
- A rule that names IPv4's addresses, or what only IPv4 has, stays IPv4's (``family: ipv4``), and is told: it needs its
  twin. ``MASQUERADE`` stays IPv4's as well: IPv6 has addresses enough.
- If such a rule drops, rejects, returns or leads to another chain, IPv6 gets it without what is true of every stranger:
  ``! -s 10.0.0.0/8``, ``-d`` with an address of this host. Without that, what it holds off would come in over IPv6.
- Where a rule names the interface of IPv4's default route, IPv6 has another one beside it that names the tunnel's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, NamedTuple

import _dualstack_firewall_fold as firewall_fold
import _dualstack_firewall_option as firewall_option
import _dualstack_firewall_reading as firewall_reading
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_words as firewall_words
from salt.exceptions import SaltInvocationError

MASKS = ("--connlimit-mask", "--hashlimit-srcmask", "--hashlimit-dstmask")
CUSTOMER = 64  # bits of an IPv6 prefix that one customer has at least
WAYS = ("-i", "-o")
SHUTTING = ("DROP", "REJECT")
LEAVING = ("OUTPUT", "POSTROUTING")  # where this host's own address is the source
SOURCE, DESTINATION = ("-s", "--src-range"), ("-d", "--dst-range", "--ctorigdst")
NO_MASQUERADE = "IPv6 has an address for every host"
SIX_IN_FOUR = ("ipv6", "41")
ENDS = ("-m", "-j", "-g")  # what begins anew in a rule


class Host(NamedTuple):
    """What has to be known of the host."""

    tunnel: dict[str, Any] | None  # as in the pillar ``ipv6:tunnel``
    sets: dict[str, str]  # the family of each set, as ``firewall_kernel.set_families`` returns it
    uplinks: tuple[str, ...] = ()  # the interfaces of IPv4's default routes
    addresses: tuple[str, ...] = ()  # its own, of IPv4


class Proposal(NamedTuple):
    """A firewall for the pillar, what has to be known about it, and what IPv4 has to be with it."""

    firewall: dict[str, Any]
    notes: list[str]
    ipv4: firewall_save.Tables


class Place(NamedTuple):
    """Where a rule stands, and the user's chains there."""

    table: str
    chain: str
    chains: frozenset[str]


class Rule(NamedTuple):
    """A rule of IPv4 as the pillar's rules, and what has to be known about each: a sentence without its chain."""

    rules: list[Any]
    notes: list[str]
    beside: int = 0  # how many were added for the tunnel's interface


def ipv4_only(tables: dict[str, firewall_save.Tables]) -> bool:
    """
    Whether IPv4 has rules and IPv6 has none.

    tables
        Of each family, without what belongs to others. A family that is missing has none.
    """
    having = [family for family in tables if _count(tables[family])]
    return having == ["ipv4"]


def _count(tables: firewall_save.Tables) -> int:
    return sum(len(each["rules"]) for chains in tables.values() for each in chains.values())


def proposal(tables: dict[str, firewall_save.Tables], host: Host) -> Proposal:
    """
    A firewall of both families that IPv4's rules follow from, unchanged and in their order.

    tables
        Of each family, in the kernel's form and without what belongs to others; IPv6's are without rules.
    host
        What is known of the host.

    Raises ``SaltInvocationError`` with every rule that the pillar cannot express, one per line.
    """
    chains = firewall_fold.side_by_side({"ipv4": tables["ipv4"]})
    firewall_fold.without_implied(chains, host.tunnel, ["ipv4"])
    firewall: dict[str, Any] = {"icmpv6_essential": True, "tables": {}}
    kept: firewall_save.Tables = {}
    notes: list[str] = []
    problems: list[str] = []
    beside = alone = 0
    for (table, chain), both in chains.items():
        place = f"tables:{table}:{chain}"
        own = frozenset(name for of, name in chains if of == table) - set(firewall_save.BUILT_IN[table])
        now = tables.get("ipv6", {}).get(table, {}).get(chain, {"policy": "ACCEPT", "rules": []})
        policy = _policy(both["ipv4"]["policy"], now["policy"])
        if policy:
            notes += _told_policy(place, both["ipv4"]["policy"], now["policy"])
        rules = []
        for live in both["ipv4"]["rules"]:
            try:
                made = _rule(live, Place(table, chain, own), host)
            except SaltInvocationError as error:
                problems.append(f"{place}: {error}")
                continue
            rules += made.rules
            beside += made.beside
            alone += isinstance(made.rules[0], dict)  # of its family
            notes += [f"{place}: {each}" for each in made.notes]
        firewall["tables"].setdefault(table, {})[chain] = {**policy, "rules": rules}
        kept.setdefault(table, {})[chain] = both["ipv4"]
    if problems:
        raise SaltInvocationError("\n".join(problems))
    for table, chain, each in _left(tables.get("ipv6", {}), firewall["tables"]):
        firewall["tables"][table][chain] = each
    name = (host.tunnel or {}).get("name")
    if beside:
        notes.insert(0, f"{beside} rules name {', '.join(host.uplinks)}; IPv6 has as many beside them that name {name}")
    total = _count(kept)
    notes.insert(0, f"IPv6 gets {total - alone} of IPv4's {total} rules, and before them what it does not work without")
    return Proposal(firewall, notes, kept)


def _policy(four: str | None, six: str | None) -> dict[str, Any]:
    if four is None:
        return {}
    return {"policy": four if six in (four, "ACCEPT") else {"ipv4": four, "ipv6": six}}


def _told_policy(place: str, four: str, six: str | None) -> Iterator[str]:
    if four != six and six == "ACCEPT":
        yield f"{place}: IPv6's policy becomes {four}, as IPv4's is; it is {six} now"
    elif four != six:
        yield f"{place}: IPv6's policy stays {six}; IPv4's is {four}"


def _left(ipv6: firewall_save.Tables, made: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The chains that only IPv6 has, without rules, and built-in chains of which only IPv6 has a policy."""
    for table, chains in ipv6.items():
        for chain, each in chains.items():
            if table in made and chain not in made[table]:
                if each["policy"] is None:
                    yield table, chain, {"family": "ipv6", "rules": []}
                elif each["policy"] != "ACCEPT":
                    yield table, chain, {"policy": {"ipv4": "ACCEPT", "ipv6": each["policy"]}, "rules": []}


# --------------------------------------------------------------------------------------------------------------
# One rule


def _rule(live: str, place: Place, host: Host) -> Rule:
    rule = firewall_fold.normal(live)
    translate = firewall_fold.translator(host.sets)
    wider, notes = _with_masks(rule, host)
    translated = translate(wider)
    denied = translated["reasons"].get("ipv6") or "; ".join(translated["warnings"])
    if translated["ipv4"] == [rule] and translated["ipv6"] and not denied:
        denied = _why_not(rule, place, host)
        if not denied:
            beside = [text for each in translated["ipv6"] if (text := _by_the_tunnel(each, host))]
            written = [firewall_fold.in_shell_words(wider), *map(_for_ipv6, beside)]
            return Rule(written, notes + _told_interface(rule, host), len(beside))
    shown = firewall_fold.in_shell_words(rule)
    if translate(rule, "ipv4")["ipv4"] != [rule]:
        raise SaltInvocationError(f"the pillar cannot express the IPv4 rule `{rule}`")
    strangers = _for_strangers(wider, place, host)
    beside = [text for each in strangers if (text := _by_the_tunnel(each, host))]
    if not strangers and any(each.name == "-p" and each.values[0] in SIX_IN_FOUR for each in _options(rule, host)):
        denied = ""  # it is what carries IPv6
    said = denied.replace("\n", "; ")
    meanwhile = " and ".join(f"`{firewall_fold.in_shell_words(each)}`" for each in strangers)
    kind = "is IPv4's alone" if denied == NO_MASQUERADE else "needs its IPv6 twin"
    note = f"{kind}: `{shown}`: {said}" + (f"; until then IPv6 has {meanwhile}" if meanwhile else "")
    four = {"family": "ipv4", "rule": shown}
    return Rule([four, *map(_for_ipv6, [*strangers, *beside])], [note] if denied else [], len(beside))


def _for_ipv6(rule: str) -> dict[str, str]:
    return {"family": "ipv6", "rule": firewall_fold.in_shell_words(rule)}


def _options(rule: str, host: Host) -> list[firewall_option.Option]:
    read = firewall_option.Rule(host.sets)
    try:
        return firewall_reading.read(firewall_words.split(rule), read).options
    except SaltInvocationError:
        return []  # it is not for both, and there is nothing to be changed in it


def _text(options: list[firewall_option.Option]) -> str:
    return firewall_words.join([word for option in options for word in option.words]) or "-p all"


def _target(options: list[firewall_option.Option]) -> str:
    return next((option.values[0] for option in options if option.name in ("-j", "-g")), "")


def _with_masks(rule: str, host: Host) -> tuple[str, list[str]]:
    """A rule that counts clients by a prefix of IPv4, with one for IPv6 as well."""
    if not any(mask in rule for mask in MASKS):
        return rule, []
    options, notes = _options(rule, host), []
    for index, option in enumerate(options):
        if option.name in MASKS and option.values[0].isdecimal() and 0 < int(option.values[0]) < 32:
            options[index] = option._replace(values=[f"{option.values[0]}|{CUSTOMER}"])
            notes.append(f"{option} is {CUSTOMER} for IPv6: `{firewall_fold.in_shell_words(rule)}`")
    return (_text(options), notes) if notes else (rule, [])


def _why_not(rule: str, place: Place, host: Host) -> str:
    """Why a rule that IPv6 could have should not be for it; empty if it should."""
    target = _target(_options(rule, host))
    if place.table == "nat" and target == "MASQUERADE":
        return NO_MASQUERADE
    if target not in SHUTTING and (option := _but_the_uplink(rule, host)):
        return f"{option}: the tunnel would be among those"
    return ""


def _told_interface(rule: str, host: Host) -> list[str]:
    """What a rule about interfaces means for IPv6, where that needs a look."""
    shown = firewall_fold.in_shell_words(rule)
    if option := _but_the_uplink(rule, host):
        return [f"{option} is true of the tunnel, too: for IPv6, `{shown}` shuts it"]
    if host.tunnel is None and _uplink(rule, host):
        uplinks = ", ".join(host.uplinks)
        return [f"`{shown}` is about {uplinks}: what comes by a tunnel needs another, which ipv6:tunnel adds here"]
    return []


def _but_the_uplink(rule: str, host: Host) -> firewall_option.Option | None:
    """``! -i eth0``, where IPv6 comes in by another interface."""
    return next((each for each in _uplink(rule, host) if each.negated), None) if host.tunnel else None


def _uplink(rule: str, host: Host) -> list[firewall_option.Option]:
    if not any(f"{way} " in rule for way in WAYS):
        return []
    return [each for each in _options(rule, host) if each.name in WAYS and _names_uplink(each.values[0], host)]


def _names_uplink(name: str, host: Host) -> bool:
    tunnel = (host.tunnel or {}).get("name", "")
    return any(_fits(name, each) for each in host.uplinks) and not (tunnel and _fits(name, tunnel))


def _fits(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


def _by_the_tunnel(rule: str, host: Host) -> str:
    """IPv6's rule with the tunnel's interface instead of IPv4's uplink; empty if it names none."""
    name = (host.tunnel or {}).get("name")
    changed = [each for each in _uplink(rule, host) if not each.negated]
    if not name or not changed:
        return ""
    return _text([each._replace(values=[name]) if each in changed else each for each in _options(rule, host)])


# --------------------------------------------------------------------------------------------------------------
# What is true of every stranger


def _for_strangers(rule: str, place: Place, host: Host) -> list[str]:
    """
    IPv6's rules for a rule that only IPv4 can have, if IPv6 would be more open without: that rule without what is true
    of each IPv6 packet. None, where it would be true of no IPv6 packet.
    """
    options = _options(rule, host)
    target = _target(options)
    if target not in SHUTTING and (place.table == "nat" or target not in {"RETURN", *place.chains}):
        return []
    verdicts = [_of_strangers(option, options, place.chain, host) for option in options]
    if False in verdicts or True not in verdicts:
        return []
    left: list[firewall_option.Option] = []
    for index, (option, verdict) in enumerate(zip(options, verdicts)):
        end = next((later for later in range(index + 1, len(options)) if options[later].name in ENDS), len(options))
        of_it = verdicts[index + 1 : end]
        idle = option.name == "-m" and True in of_it and None not in of_it  # a match may not be without its options
        if verdict is None and not idle:
            left.append(option)
    translate = firewall_fold.translator(host.sets)
    translated = translate(_text(left))
    rules: list[str] = [] if translated["warnings"] else translated["ipv6"]
    return [each for each in rules if translate(each, "ipv6")["ipv6"] == [each]]


def _of_strangers(
    option: firewall_option.Option, options: list[firewall_option.Option], chain: str, host: Host
) -> bool | None:
    """Whether an option of IPv4's is true of all IPv6 packets, or of none; ``None`` if it is for both families."""
    if option.say is None:
        return None
    alone = firewall_option.Rule(host.sets)
    alone.options = options
    try:
        option.say(alone, option)
    except SaltInvocationError:
        return False
    if alone.undecided.get("ipv6"):
        return option.name == "--reject-with" or (option.name == "-f" and option.negated)
    if not alone.denied.get("ipv6"):
        return None
    return option.negated or _is_here(option, chain, host)


def _is_here(option: firewall_option.Option, chain: str, host: Host) -> bool:
    """Whether an address is this host's own, at this host's end of the packet."""
    if option.name not in (SOURCE if chain in LEAVING else DESTINATION) or chain == "FORWARD":
        return False
    first, dash, last = option.values[0].partition("-")
    try:
        network = ipaddress.IPv4Network(first, strict=False)
        end = ipaddress.IPv4Address(last) if dash else network[-1]
    except ValueError:
        return False
    return any(network[0] <= ipaddress.IPv4Address(each) <= end for each in host.addresses)
