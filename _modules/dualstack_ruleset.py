"""
The pillar's firewall as the tables of two families. It knows no host: what is the same for every host is here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import salt.utils.json
from salt.exceptions import SaltInvocationError

if TYPE_CHECKING:
    __salt__: dict[str, Any] = {}

__virtualname__ = "dualstack_ruleset"

FAMILIES = ("ipv4", "ipv6")
KEYS = ("backend", "icmpv6_essential", "preserve", "tables", "expect", "clamp_mss", "save")
CHAIN_KEYS = ("policy", "rules", "family")
CHAIN_NAME = r"[A-Za-z0-9_][^\s\"'\\!,;|]{0,27}"  # the kernel takes 28 bytes; the rest iptables-restore cannot read
PATTERN = re.compile(r"(?! )[A-Za-z0-9_.:/+@*?\[\]!,= -]{1,250}(?<! )")  # of a chain, an interface or a whole rule
POLICIES = ("ACCEPT", "DROP")
UNSAID = ""

# Programs that write rules of their own, and know them by these names of chains and interfaces. Docker's bridges are
# named by 12 hexadecimal digits; its rule for a container that uses its own published port names nothing of it.
PRESERVE = [
    "DOCKER*",
    "docker0",
    "br-" + 12 * "[0-9a-f]",
    "-s 172.*/32 -d 172.*/32 -p * --dport * -j MASQUERADE",
    "f2b-*",
    "fail2ban-*",
    "sshguard",
    "LIBVIRT_*",
    "virbr*",
    "KUBE-*",
    "CNI-*",
    "cali-*",
    "CILIUM_*",
    "FLANNEL-*",
    "NETAVARK*",
    "ts-*",
]

# What must not be dropped, or IPv6 does not work: RFC 4890, sections 4.3.1 (in transit) and 4.4.1 (of this host).
# Neighbour discovery goes untracked, so that no rule for connections lets it in.
ERRORS_AND_ECHO = [
    "destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem", "echo-request", "echo-reply",
]  # fmt: skip
NEIGHBOUR_DISCOVERY = (133, 134, 135, 136, 141, 142, 148, 149)  # a router would have lowered the hop limit of 255
LISTENER_DISCOVERY = (130, 131, 132, 143)  # of multicast, link-local by RFC 2710, section 3
ROUTER_DISCOVERY = (151, 152, 153)  # of multicast, RFC 4286, section 5


def errors(firewall: dict[str, Any]) -> list[str]:
    """
    Everything that is wrong with the pillar's firewall, as far as that can be told without a host.

    firewall
        As in the pillar ``ipv6:firewall``.

    Returns a list of sentences, each beginning with the key that is wrong; empty if nothing is.

    CLI Example:

    .. code-block:: bash

        salt '*' dualstack_ruleset.errors '{tables: {filter: {INPUT: ["-p icmp -j ACEPT"]}}}'
    """
    return list(_read(firewall)["problems"])


def build(
    firewall: dict[str, Any], tunnel: dict[str, Any] | None = None, sets: dict[str, str] | None = None
) -> dict[str, Any]:
    """
    The tables that a firewall means, in both families.

    firewall
        As in the pillar ``ipv6:firewall``.
    tunnel
        The 6in4 tunnel whose protocol 41 is let through, with ``endpoint``, and ``name`` for ``clamp_mss``.
    sets
        For which family each set of ipset(8) is, as ``iptables_kernel.set_families`` tells it.

    Returns ``tables`` by family, as in ``iptables_save``; ``origins``, which has for each rule there the pillar's
    key that it comes from; ``preserve``, the names that belong to others; ``notes``, why rules are in one family
    only; and ``warnings``.
    Raises ``SaltInvocationError`` with every error, one per line.

    CLI Example:

    .. code-block:: bash

        salt-call dualstack_ruleset.build '{tables: {filter: {INPUT: {policy: DROP, rules: ["-p icmp -j ACCEPT"]}}}}'
    """
    result: dict[str, Any] = _read(firewall, tunnel, sets)
    if result["problems"]:
        raise SaltInvocationError("\n".join(result["problems"]))
    return result


def preserved() -> list[str]:
    """
    The names of chains and interfaces that are left to others unless the pillar says otherwise.

    CLI Example:

    .. code-block:: bash

        salt-call dualstack_ruleset.preserved
    """
    return PRESERVE


def essential(chain: str) -> list[str]:
    """
    The rules of ip6tables without which IPv6 does not work: what :rfc:`4890` says must not be dropped.

    chain
        A built-in chain.

    CLI Example:

    .. code-block:: bash

        salt-call dualstack_ruleset.essential INPUT
    """
    accept = "-p ipv6-icmp -m icmp6 --icmpv6-type"
    rules = [f"{accept} {name} -j ACCEPT" for name in ERRORS_AND_ECHO]
    if chain == "FORWARD":
        return rules
    # A host that has no address yet reports its groups from ::, RFC 3590, section 4.
    link_local = "-s fe80::/10 " if chain in ("INPUT", "PREROUTING") else ""
    rules += [f"{accept} {number} -m hl --hl-eq 255 -j ACCEPT" for number in NEIGHBOUR_DISCOVERY]
    rules += [f"{link_local}{accept} {number} -j ACCEPT" for number in LISTENER_DISCOVERY]
    rules += [f"{link_local}{accept} {number} -m hl --hl-eq 1 -j ACCEPT" for number in ROUTER_DISCOVERY]
    return rules


def _read(firewall: Any, tunnel: dict[str, Any] | None = None, sets: dict[str, str] | None = None) -> dict[str, Any]:
    """The firewall as tables, with all its problems. One run asks for the same firewall more than once."""
    result: dict[str, Any] = _read_json(salt.utils.json.dumps([firewall, tunnel, sets], default=str))
    return result


@functools.lru_cache(maxsize=4)
def _read_json(text: str) -> dict[str, Any]:
    firewall, tunnel, sets = salt.utils.json.loads(text)
    reading = {
        "tables": {family: {} for family in FAMILIES},
        "origins": {family: {} for family in FAMILIES},
        "preserve": PRESERVE,
        "sets": sets,
        "notes": [],
        "warnings": [],
        "problems": list(_problems(firewall)),
    }
    if not isinstance(firewall, dict) or not isinstance(firewall.get("tables"), dict):
        return reading
    built_in = __salt__["iptables_save.built_in"]()
    for table, chains in firewall["tables"].items():
        if table in built_in and isinstance(chains, dict):
            _table(reading, table, chains)
    if not reading["problems"]:
        reading["preserve"] = firewall.get("preserve", PRESERVE) or []
        _prepend(reading, firewall, tunnel or {})
    return reading


def _problems(firewall: Any) -> Iterator[str]:
    """What is wrong with the keys; the chains are read by others."""
    if not isinstance(firewall, dict):
        yield f"expected a mapping with the keys {', '.join(KEYS)}, found {firewall!r}"
        return
    for key in firewall:
        if key not in KEYS:
            yield f"{key}: unknown key; expected one of {', '.join(KEYS)}"
    backend = firewall.get("backend", "auto")
    if backend not in ("auto", "nft", "legacy"):
        yield f"backend: {backend!r} is not a backend of iptables; expected auto, nft or legacy"
    for key in ("icmpv6_essential", "clamp_mss", "save"):
        if not isinstance(firewall.get(key, True), bool):
            yield f"{key}: {firewall[key]!r} is neither true nor false"
    preserve = firewall.get("preserve")
    preserve = [] if preserve is None else preserve
    if not isinstance(preserve, list) or not all(isinstance(each, str) and each for each in preserve):
        yield f"preserve: expected a list of names or patterns of chains, such as [DOCKER*], found {preserve!r}"
    elif not all(PATTERN.fullmatch(each) for each in preserve):
        yield f"preserve: expected names or patterns of chains in plain letters, such as DOCKER*, found {preserve!r}"
    elif "*" in preserve:
        yield "preserve: '*' would leave every rule there is in its place"
    expect = firewall.get("expect")
    expect = [] if expect is None else expect
    yield from (f"expect{each}" for each in __salt__["firewall_rehearsal.errors"](expect))
    tables = firewall.get("tables")
    if not isinstance(tables, dict):
        yield f"tables: expected a mapping of tables, such as filter, found {tables!r}"
        return
    built_in = __salt__["iptables_save.built_in"]()
    for table, chains in tables.items():
        if table not in built_in:
            yield f"tables:{table}: not a table of iptables; expected one of {', '.join(built_in)}"
        elif not isinstance(chains, dict):
            yield f"tables:{table}: expected a mapping of chains, such as INPUT, found {chains!r}"


def _table(reading: dict[str, Any], table: str, chains: dict[str, Any]) -> None:
    built_in = __salt__["iptables_save.built_in"]()[table]
    for family in FAMILIES:
        reading["tables"][family][table] = {}
        reading["origins"][family][table] = {}
    declared = {chain: _chain(reading, f"tables:{table}:{chain}", chain, each) for chain, each in chains.items()}
    for chain, each in declared.items():
        own = chain in built_in
        policies, problem = _policies(each.get("policy"), own)
        families = _families(each.get("family"))
        if problem:
            reading["problems"].append(f"tables:{table}:{chain}:policy: {problem}")
        if not families or (own and len(families) < 2):
            expected = "both families have a built-in chain" if own else "expected ipv4, ipv6 or both"
            reading["problems"].append(f"tables:{table}:{chain}:family: {each['family']!r}: {expected}")
        for family in families:
            reading["tables"][family][table][chain] = {"policy": policies[family], "rules": []}
            reading["origins"][family][table][chain] = []
    for chain, each in declared.items():
        listed = list(_listed(reading, f"tables:{table}:{chain}:rules", each.get("rules")))
        rules = [rule for _, rule in listed]
        translated = __salt__["dualstack_rules.translate_all"](rules, chain, table, reading["sets"])
        for (origin, _), words in zip(listed, translated):
            _rule(reading, table, chain, origin, words)


def _chain(reading: dict[str, Any], origin: str, chain: str, declared: Any) -> dict[str, Any]:
    """A chain as a mapping; what is wrong with its shape is noted."""
    problems = reading["problems"]
    if not re.fullmatch(CHAIN_NAME, chain) or len(chain.encode()) > 28:
        problems.append(f"{origin}: not the name of a chain: up to 28 letters, digits and signs such as - and _")
    if declared is None or isinstance(declared, list):
        return {"rules": declared}
    if not isinstance(declared, dict):
        problems.append(f"{origin}: expected a list of rules, or a mapping with policy and rules, found {declared!r}")
        return {}
    for key in declared:
        if key not in CHAIN_KEYS:
            problems.append(f"{origin}:{key}: unknown key; expected one of {', '.join(CHAIN_KEYS)}")
    return declared


def _policies(policy: Any, built_in: bool) -> tuple[dict[str, str | None], str]:
    """The policy in each family, and what is wrong with it."""
    if not built_in:
        problem = "" if policy is None else f"{policy!r}: only a built-in chain has a policy"
        return dict.fromkeys(FAMILIES), problem
    if policy is None:
        return dict.fromkeys(FAMILIES, UNSAID), ""
    each = policy if isinstance(policy, dict) else dict.fromkeys(FAMILIES, policy)
    if not each or not set(each) <= set(FAMILIES) or any(value not in POLICIES for value in each.values()):
        problem = f"{policy!r}: expected ACCEPT or DROP, or a mapping of one for ipv4 and one for ipv6"
        return dict.fromkeys(FAMILIES, UNSAID), problem
    return {family: each.get(family, UNSAID) for family in FAMILIES}, ""


def _families(family: Any) -> tuple[str, ...]:
    if family in (None, "both"):
        return FAMILIES
    return (family,) if family in FAMILIES else ()


def _listed(reading: dict[str, Any], origin: str, rules: Any) -> Iterator[tuple[str, Any]]:
    """The rules of a chain in their order, each with its key in the pillar; groups are sorted by name."""
    groups = sorted(rules.items()) if isinstance(rules, dict) else [("", rules)]
    for name, group in groups:
        place = f"{origin}:{name}" if name else origin
        if isinstance(group, list):
            yield from ((f"{place}[{index}]", rule) for index, rule in enumerate(group))
        elif group is not None:
            reading["problems"].append(f"{place}: expected a list of rules, found {group!r}")


def _rule(reading: dict[str, Any], table: str, chain: str, origin: str, words: dict[str, Any]) -> None:
    if "error" in words:
        reading["problems"].append(f"{origin}: {words['error']}")
        return
    reading["warnings"] += [f"{origin}: {warning}" for warning in words["warnings"]]
    reading["notes"] += [f"{origin}: not for {family}: {reason}" for family, reason in words["reasons"].items()]
    for family in FAMILIES:
        if chain in reading["tables"][family][table]:
            reading["tables"][family][table][chain]["rules"] += words[family]
            reading["origins"][family][table][chain] += [origin] * len(words[family])


def _prepend(reading: dict[str, Any], firewall: dict[str, Any], tunnel: dict[str, Any]) -> None:
    """The rules that nobody has to write: they stand in front of all others."""
    tables = reading["tables"]
    if tunnel.get("endpoint") and "filter" in tables["ipv4"]:
        _in_front(reading, "ipv4", "filter", "INPUT", [f"-s {tunnel['endpoint']} -p ipv6 -j ACCEPT"], "tunnel:endpoint")
        _in_front(
            reading, "ipv4", "filter", "OUTPUT", [f"-d {tunnel['endpoint']} -p ipv6 -j ACCEPT"], "tunnel:endpoint"
        )
    if tunnel.get("name") and firewall.get("clamp_mss"):
        for family in FAMILIES:
            tables[family].setdefault("mangle", {})
            reading["origins"][family].setdefault("mangle", {})
        clamp = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
        rules = [f"{way} {tunnel['name']} {clamp}" for way in ("-i", "-o")]
        _in_front(reading, "ipv6", "mangle", "FORWARD", rules, "clamp_mss")
    if firewall.get("icmpv6_essential", True):
        for table, chains in tables["ipv6"].items():
            if table == "filter" or (table != "nat" and _drops(chains)):
                for chain in chains:
                    if chains[chain]["policy"] is not None:
                        _in_front(reading, "ipv6", table, chain, essential(chain), "icmpv6_essential")


def _drops(chains: dict[str, Any]) -> bool:
    """Whether a table that is not made for it drops packets: one with a check of the reverse path, for instance."""
    return any(each["policy"] == "DROP" or any("-j DROP" in rule for rule in each["rules"]) for each in chains.values())


def _in_front(reading: dict[str, Any], family: str, table: str, chain: str, rules: list[str], origin: str) -> None:
    reading["tables"][family][table].setdefault(chain, {"policy": UNSAID, "rules": []})["rules"][:0] = rules
    reading["origins"][family][table].setdefault(chain, [])[:0] = [origin] * len(rules)
