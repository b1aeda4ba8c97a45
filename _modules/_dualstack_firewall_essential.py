"""
The rules of ip6tables without which IPv6 does not work, :rfc:`4890`, and their places among a chain's own rules. PURE:
never accesses the host.

They come first in the table filter. In other tables, whose rules also mark and count, they come before the first rule
that may drop. What a chain's own rules say about a type of ICMPv6 is not hidden by them:

- Echo requests and replies are left to the own rules if these name them, or drop or reject all of ICMPv6.
- Another type that own rules drop or reject is accepted only after these rules.

Router advertisements through the tunnel are dropped: a broker's would give this host an address, a default route and a
source address. There is no router at that end that this host is to learn from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_words as firewall_words

# What must not be dropped for IPv6 to work: RFC 4890, sections 4.3.1 (in transit) and 4.4.1 (of this host). Neighbour
# discovery goes untracked, so that no rule for connections lets it in.
ECHO = {128: "echo-request", 129: "echo-reply"}
ERRORS = {1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem"}
ADVERTISEMENT = 134  # of a router
NEIGHBOUR_DISCOVERY = (133, ADVERTISEMENT, 135, 136, 141, 142, 148, 149)  # a router would have lowered the hop limit
LISTENER_DISCOVERY = (130, 131, 132, 143)  # of multicast, link-local by RFC 2710, section 3
ROUTER_DISCOVERY = (151, 152, 153)  # of multicast, RFC 4286, section 5

# The names of ip6tables, as `ip6tables -p icmpv6 -h` lists them.
NAMES = {
    **{name: kind for kind, name in {**ERRORS, **ECHO}.items()},
    **dict.fromkeys(
        "no-route communication-prohibited beyond-scope address-unreachable port-unreachable failed-policy "
        "reject-route".split(),
        1,
    ),
    **dict.fromkeys("ttl-exceeded ttl-zero-during-transit ttl-zero-during-reassembly".split(), 3),
    **dict.fromkeys("bad-header unknown-header-type unknown-option".split(), 4),
    "ping": 128,
    "pong": 129,
    "mld-listener-query": 130,
    "mld-listener-report": 131,
    "mld-listener-done": 132,
    "mld-listener-reduction": 132,
    "router-solicitation": 133,
    "router-advertisement": ADVERTISEMENT,
    "neighbour-solicitation": 135,
    "neighbor-solicitation": 135,
    "neighbour-advertisement": 136,
    "neighbor-advertisement": 136,
    "redirect": 137,
}
FEW = 4  # rules, which are shown one by one
SHUTTING = ("DROP", "REJECT")
PROTOCOLS = ("ipv6-icmp", "icmpv6", "58")
PROTOCOL, TYPE = ("-p", "--protocol"), "--icmpv6-type"
OF_TYPE = re.compile(r"(?<=--icmpv6-type )\S+")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
TARGET = re.compile(r"(?:-j|-g|--jump|--goto) (\S+)")


class About(NamedTuple):
    """What a rule says about types of ICMPv6: those that it names, and those that it shuts."""

    named: frozenset[int]
    shut: frozenset[int]
    drops: bool = False  # it may drop a packet of any kind


NOTHING = About(frozenset(), frozenset())
DROPS = About(frozenset(), frozenset(), True)


def rules(chain: str, tunnels: Sequence[str] = ()) -> list[str]:
    """
    The rules of a built-in chain, in the words of ip6tables.

    chain
        Its name.
    tunnels
        The tunnels' interfaces, whose router advertisements are dropped in INPUT.
    """
    return [text for _, text in _rules(chain, tunnels)]


def saved(chain: str, tunnels: Sequence[str] = ()) -> list[str]:
    """
    The same, as the kernel spells them.

    chain, tunnels
        As for :py:func:`rules`.
    """
    return [as_saved(rule) for rule in rules(chain, tunnels)]


def as_saved(rule: str) -> str:
    """
    One of these rules as the kernel spells it.

    rule
        In the words of :py:func:`rules`.
    """
    return OF_TYPE.sub(lambda found: str(NAMES.get(found[0], found[0])), rule)


def _rules(chain: str, tunnels: Sequence[str]) -> list[tuple[int, str]]:
    """Each with its type; 0 for one that stays in front whatever a chain says."""
    accept = "-p ipv6-icmp -m icmp6 --icmpv6-type"
    found = [(kind, f"{accept} {name} -j ACCEPT") for kind, name in {**ERRORS, **ECHO}.items()]
    if chain == "FORWARD":
        return found
    # A host that has no address yet reports its groups from ::, RFC 3590, section 4.
    link_local = "-s fe80::/10 " if chain in ("INPUT", "PREROUTING") else ""
    if chain == "INPUT":
        found += [(0, f"-i {tunnel} {accept} {ADVERTISEMENT} -j DROP") for tunnel in tunnels]
    found += [(kind, f"{accept} {kind} -m hl --hl-eq 255 -j ACCEPT") for kind in NEIGHBOUR_DISCOVERY]
    found += [(kind, f"{link_local}{accept} {kind} -j ACCEPT") for kind in LISTENER_DISCOVERY]
    found += [(kind, f"{link_local}{accept} {kind} -m hl --hl-eq 1 -j ACCEPT") for kind in ROUTER_DISCOVERY]
    return found


class Placed(NamedTuple):
    """Places in the list of a chain's own rules, in ascending order, with the rules that come before each."""

    rules: list[tuple[int, list[str]]]
    left: list[str]  # the types that are left to the own rules, by name


def about(chains: firewall_save.Table) -> dict[str, About]:
    """
    What each user's chain says about types of ICMPv6, with the chains that it leads to.

    chains
        All chains of a table, with their own rules only.
    """
    users = {name: each["rules"] for name, each in chains.items() if each["policy"] is None}
    found = dict.fromkeys(users, NOTHING)
    for _ in users:  # the longest way through them has as many steps
        before = dict(found)
        for name, own in users.items():
            said = [each for rule in own if (each := _with_chains(rule, before)) is not NOTHING]
            found[name] = About(
                frozenset().union(*(each.named for each in said)),
                frozenset().union(*(each.shut for each in said)),
                any(each.drops for each in said),
            )
        if found == before:
            break
    return found


def placed(table: str, chain: str, own: list[str], users: dict[str, About], tunnels: Sequence[str] = ()) -> Placed:
    """
    Where these rules belong among those of a built-in chain.

    table, chain
        Its names.
    own
        Its own rules.
    users
        What the user's chains say, from :py:func:`about`.
    tunnels
        As for :py:func:`rules`.
    """
    said = {place: each for place, rule in enumerate(own) if (each := _with_chains(rule, users)) is not NOTHING}
    start = 0
    if table != "filter":
        start = next((place for place, each in said.items() if each.drops), len(own))
    named = frozenset().union(*(each.named for each in said.values()))
    found: dict[int, list[str]] = {}
    for kind, text in _rules(chain, tunnels if table == "filter" else ()):
        if kind in ECHO and kind in named:
            continue
        last = max((place for place, each in said.items() if kind in each.shut), default=-1)
        found.setdefault(max(start, last + 1), []).append(text)
    return Placed(sorted(found.items()), [name for kind, name in ECHO.items() if kind in named])


def inserted(own: list[str], places: list[tuple[int, list[str]]]) -> list[str]:
    """
    A chain's rules with others among them.

    own
        Its own.
    places
        As in :py:class:`Placed`.
    """
    found = list(own)
    for place, more in reversed(places):
        found[place:place] = more
    return found


def in_short(chain: str, tunnels: Sequence[str], wanted: list[str], change: dict[str, Any]) -> dict[str, Any]:
    """
    The change of a built-in chain, with one line for all of these rules if all of them come.

    chain, tunnels
        As for :py:func:`rules`.
    wanted
        The chain's rules, as the kernel spells them.
    change
        As ``firewall_delta.tables`` has it.
    """
    ours = {*saved(chain, tunnels), *rules(chain, tunnels)}
    count = sum(rule in ours for rule in wanted)
    added = change.get("added", [])
    if count < FEW or sum(rule in ours for rule in added) < count:
        return change
    line = f"{count} rules of RFC 4890 for ICMPv6 (icmpv6_essential)"
    first = next(place for place, rule in enumerate(added) if rule in ours)
    short = [line if place == first else rule for place, rule in enumerate(added) if place == first or rule not in ours]
    return {**change, "added": short}


def _with_chains(rule: str, users: dict[str, About]) -> About:
    """What a rule says, with the chain that it leads to."""
    bare = QUOTED.sub('""', rule) if '"' in rule else rule
    targets = TARGET.findall(bare)
    goal = targets[-1] if targets else ""
    clear = len(targets) < 2 and goal[:1] not in ("-", '"')
    if clear and " 58 " not in f"{bare} " and "icmp" not in bare.lower():  # as most, of which there may be thousands
        return users.get(goal, DROPS if goal in SHUTTING else NOTHING)
    words = firewall_words.split(rule)
    goal = _after(words, ("-j", "-g", "--jump", "--goto"))
    led, shuts = users.get(goal, NOTHING), goal in SHUTTING
    named: frozenset[int] = frozenset()
    text = _after(words, (TYPE,))
    if _after(words, PROTOCOL).lower() in PROTOCOLS and not _is_negated(words, (*PROTOCOL, TYPE)):
        named = frozenset(_kinds(text) if text else ECHO if shuts else ())
    return About(named | led.named, (named if shuts and text else frozenset()) | led.shut, shuts or led.drops)


def _after(words: list[str], options: tuple[str, ...]) -> str:
    """The value of an option; a text that looks like one is no option."""
    for before, word, value in zip(["", *words], words, words[1:]):
        if word in options and before not in ("--comment", "--log-prefix", "--nflog-prefix", "--string"):
            return value
    return ""


def _is_negated(words: list[str], options: tuple[str, ...]) -> bool:
    return any(before == "!" and word in options for before, word in zip(words, words[1:]))


def _kinds(text: str) -> set[int]:
    """The types that a value of ``--icmpv6-type`` may mean."""
    name = text.partition("/")[0].lower()
    if name.isdecimal():
        return {int(name)}
    return {NAMES[name]} if name in NAMES else {kind for full, kind in NAMES.items() if name and full.startswith(name)}
