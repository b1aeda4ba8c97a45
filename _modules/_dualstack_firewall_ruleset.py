"""
The pillar's firewall as the tables of both families. It never accesses the host.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

import _dualstack_families as families
import _dualstack_firewall_beside as firewall_beside
import _dualstack_firewall_essential as firewall_essential
import _dualstack_firewall_expectations as firewall_expectations
import _dualstack_firewall_programs as firewall_programs
import _dualstack_firewall_rules as firewall_rules
import _dualstack_firewall_save as firewall_save
import _dualstack_firewall_sets as firewall_sets
import _dualstack_settings_tunnels as settings_tunnels
import salt.utils.json
import _dualstack_tunnel_wireguard as tunnel_wireguard
from salt.exceptions import SaltInvocationError

# What carries a tunnel's packets over IPv4, in the words of iptables.
PROTOCOLS = {"sit": "ipv6", "gre": "gre"}
KEYS = (
    *("backend", "icmpv6_essential", "preserve", "preserve_only", "foreign", "tables"),
    *("expect", "from", "clamp_mss", "save", "beside", "take_over", "sets"),
)
CHAIN_KEYS = ("policy", "rules", "family")
CHAIN_NAME = r"[A-Za-z0-9_][^\s\"'\\!,;|]{0,27}"  # 28 bytes at most, in characters that iptables-restore can read
PATTERN = re.compile(r"(?! )[A-Za-z0-9_.:/+@*?\[\]!,= -]{1,250}(?<! )")  # of a chain, an interface or a whole rule
POLICIES = ("ACCEPT", "DROP")
# Targets that are nobody's: a pattern of chains that matched one would make it a chain of others.
TARGETS = (
    *("ACCEPT", "DROP", "RETURN", "REJECT", "LOG", "NFLOG", "MARK", "CONNMARK", "MASQUERADE", "SNAT", "DNAT"),
    *("REDIRECT", "NETMAP", "TPROXY", "NOTRACK", "CT", "TCPMSS", "SET", "NFQUEUE"),
)
NUMBER = re.compile(r"-?[0-9]{1,300}")


class Reading(TypedDict):
    """The meaning of a firewall, with messages: see :py:func:`read`."""

    tables: dict[str, firewall_save.Tables]
    origins: dict[str, dict[str, dict[str, list[str]]]]
    preserve: list[str]
    notes: list[str]
    warnings: list[str]
    problems: list[str]


def errors(firewall: Any) -> list[str]:
    """
    All errors in the pillar's firewall, as far as this can be checked without the host.

    firewall
        As in the pillar ``ipv6:firewall``.

    Returns a list of sentences, each beginning with the wrong key; empty if there are none.
    """
    return list(read(firewall)["problems"])


def build(
    firewall: dict[str, Any], tunnel: dict[str, Any] | None = None, sets: dict[str, str] | None = None
) -> Reading:
    """
    As :py:func:`read`, for a valid firewall.

    Raises ``SaltInvocationError`` with every error, one per line.
    """
    reading = read(firewall, tunnel, sets)
    if reading["problems"]:
        raise SaltInvocationError("\n".join(reading["problems"]))
    return reading


def read(firewall: Any, tunnel: dict[str, Any] | None = None, sets: dict[str, str] | None = None) -> Reading:
    """
    The tables of a firewall, for both families.

    firewall
        As in the pillar ``ipv6:firewall``.
    tunnel
        The tunnel whose packets are let through: ``endpoint``, ``carrier``, ``wireguard``; ``name`` for ``clamp_mss``;
        and ``pingers``, from where the broker pings this host before it accepts its address. Of several it is the
        first, and they are under ``others``.
    sets
        The family of each set of ipset(8), as ``firewall_kernel.set_families`` returns it; those of the firewall's own
        sets are known without it.

    Returns ``tables`` by family; ``origins``, which has for each rule there the pillar's key that it comes from;
    ``preserve``, the names that belong to others; ``notes``, why rules are in one family only; ``warnings``; and
    ``problems``, every error. The tables are complete only if there are none.
    """
    # The same firewall is read more than once in a run. As JSON it is plain data.
    reading = _read_json(salt.utils.json.dumps([firewall, tunnel, sets], default=str))
    return {**reading, "problems": [*_written_twice(firewall), *reading["problems"]]}


def essential(chain: str) -> list[str]:
    """
    The rules of ip6tables without which IPv6 does not work: what :rfc:`4890` says must not be dropped.

    chain
        A built-in chain.
    """
    return firewall_essential.rules(chain)


@functools.lru_cache(maxsize=4)
def _read_json(text: str) -> Reading:
    firewall, tunnel, sets = salt.utils.json.loads(text)
    reading: Reading = {
        "tables": {family: {} for family in families.FAMILIES},
        "origins": {family: {} for family in families.FAMILIES},
        "preserve": firewall_programs.NAMES,
        "notes": [],
        "warnings": [],
        "problems": problems(firewall),
    }
    if not isinstance(firewall, dict) or not isinstance(firewall.get("tables"), dict):
        return reading
    built_in = firewall_save.BUILT_IN
    sets = {**(sets or {}), **firewall_sets.read(firewall).families}
    for table, chains in firewall["tables"].items():
        if table in built_in and isinstance(chains, dict):
            _table(reading, table, chains, sets)
    if not reading["problems"]:
        reading["preserve"] = preserved(firewall)
        _prepend(reading, firewall, tunnel or {})
    return reading


def problems(firewall: Any) -> list[str]:
    """
    The errors in the keys of a firewall; its chains are not checked.

    firewall
        As in the pillar ``ipv6:firewall``.
    """
    return list(_problems(firewall))


def _problems(firewall: Any) -> Iterator[str]:
    if not isinstance(firewall, dict):
        yield f"expected a mapping with the keys {', '.join(KEYS)}, found {firewall!r}"
        return
    for key in firewall:
        if key not in KEYS:
            yield f"{key}: unknown key; expected one of {', '.join(KEYS)}"
    backend = firewall.get("backend", "auto")
    if backend not in ("auto", "nft", "legacy"):
        yield f"backend: {backend!r} is not a backend of iptables; expected auto, nft or legacy"
    if firewall.get("foreign", "remove") not in ("remove", "keep"):
        yield f"foreign: {firewall['foreign']!r} is neither remove nor keep"
    for key in ("icmpv6_essential", "clamp_mss", "save"):
        if not isinstance(firewall.get(key, True), bool):
            yield f"{key}: {firewall[key]!r} is neither true nor false"
    for key in ("preserve", "preserve_only"):
        yield from _wrong_patterns(key, firewall.get(key))
    expect = firewall.get("expect")
    expect = [] if expect is None else expect
    yield from (f"expect{each}" for each in firewall_expectations.errors(expect))
    yield from (f"from{each}" for each in firewall_expectations.anywhere(firewall.get("from"))[1])
    yield from firewall_beside.errors(firewall)
    yield from firewall_sets.read(firewall).problems
    tables = firewall.get("tables")
    if not isinstance(tables, dict):
        yield f"tables: expected a mapping of tables, such as filter, found {tables!r}"
        return
    built_in = firewall_save.BUILT_IN
    for table, chains in tables.items():
        if table not in built_in:
            yield f"tables:{table}: not a table of iptables; expected one of {', '.join(built_in)}"
        elif not isinstance(chains, dict):
            yield f"tables:{table}: expected a mapping of chains, such as INPUT, found {chains!r}"


def _wrong_patterns(key: str, preserve: Any) -> Iterator[str]:
    preserve = [] if preserve is None else preserve
    if not isinstance(preserve, list) or not all(isinstance(each, str) and each for each in preserve):
        yield f"{key}: expected a list of names or patterns of chains, such as [DOCKER*], found {preserve!r}"
    elif not all(PATTERN.fullmatch(each) for each in preserve):
        yield f"{key}: expected names or patterns of chains in plain letters, such as DOCKER*, found {preserve!r}"
    elif "*" in preserve:
        yield f"{key}: '*' would leave every rule there is in its place"
    else:
        for each in preserve:
            target = next((name for name in TARGETS if fnmatch.fnmatchcase(name, each)), None)
            if target:
                yield f"{key}: {each!r} also matches the target {target}, which is no program's: say more of its name"


def preserved(firewall: dict[str, Any]) -> list[str]:
    """
    The patterns of what belongs to other programs.

    firewall
        As in the pillar ``ipv6:firewall``: ``preserve`` adds to those that are known, ``preserve_only`` replaces all.
    """
    if firewall.get("preserve_only") is not None:
        return list(firewall["preserve_only"])
    return [*firewall_programs.NAMES, *(firewall.get("preserve") or [])]


def _table(reading: Reading, table: str, chains: dict[str, Any], sets: dict[str, str] | None) -> None:
    built_in = firewall_save.BUILT_IN[table]
    for family in families.FAMILIES:
        reading["tables"][family][table] = {}
        reading["origins"][family][table] = {}
    declared = {chain: _chain(reading, f"tables:{table}:{chain}", chain, each) for chain, each in chains.items()}
    for chain, each in declared.items():
        own = chain in built_in
        policies, problem = _policies(each.get("policy"), own)
        of_chain = _families(each.get("family"))
        if problem:
            reading["problems"].append(f"tables:{table}:{chain}:policy: {problem}")
        if not of_chain or (own and len(of_chain) < 2):
            expected = "both families have a built-in chain" if own else "expected ipv4, ipv6 or both"
            reading["problems"].append(f"tables:{table}:{chain}:family: {each['family']!r}: {expected}")
        for family in of_chain:
            reading["tables"][family][table][chain] = {"policy": policies[family], "rules": []}
            reading["origins"][family][table][chain] = []
    for chain, each in declared.items():
        listed = list(_listed(reading, f"tables:{table}:{chain}:rules", each.get("rules")))
        rules = [rule for _, rule in listed]
        translated = firewall_rules.translate_all(rules, chain, table, sets)
        for (origin, _), words in zip(listed, translated):
            _rule(reading, table, chain, origin, words)


def _chain(reading: Reading, origin: str, chain: str, declared: Any) -> dict[str, Any]:
    """A chain as a mapping; errors in its shape are noted."""
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
    """The policy in each family, and its error."""
    if not built_in:
        problem = "" if policy is None else f"{policy!r}: only a built-in chain has a policy"
        return dict.fromkeys(families.FAMILIES), problem
    if policy is None:
        return dict.fromkeys(families.FAMILIES, firewall_save.UNSAID), ""
    each = policy if isinstance(policy, dict) else dict.fromkeys(families.FAMILIES, policy)
    if not each or not set(each) <= set(families.FAMILIES) or any(value not in POLICIES for value in each.values()):
        problem = f"{policy!r}: expected ACCEPT or DROP, or a mapping of one for ipv4 and one for ipv6"
        return dict.fromkeys(families.FAMILIES, firewall_save.UNSAID), problem
    return {family: each.get(family, firewall_save.UNSAID) for family in families.FAMILIES}, ""


def _families(family: Any) -> tuple[str, ...]:
    if family in (None, "both"):
        return families.FAMILIES
    return (family,) if family in families.FAMILIES else ()


def _listed(reading: Reading, origin: str, rules: Any) -> Iterator[tuple[str, Any]]:
    """The rules of a chain in their order, each with its key in the pillar."""
    groups = sorted(rules.items(), key=_place) if isinstance(rules, dict) else [("", rules)]
    for name, group in groups:
        place = f"{origin}:{name}" if name else origin
        if isinstance(group, list):
            yield from ((f"{place}[{index}]", rule) for index, rule in enumerate(group))
        elif group is not None:
            reading["problems"].append(f"{place}: expected a list of rules, found {group!r}")


def _place(group: tuple[str, Any]) -> tuple[bool, int, str]:
    """The sort key of a group: numbers come first, in their order, then names. A key is always text here."""
    name = group[0]
    number = NUMBER.fullmatch(name)
    return (not number, int(name) if number else 0, name)


def _written_twice(firewall: Any) -> Iterator[str]:
    """Groups whose name is given as a number and as text: as text they would be one, and the first would be lost."""
    for table, chains in _items(firewall.get("tables") if isinstance(firewall, dict) else None):
        for chain, each in _items(chains):
            rules = each.get("rules") if isinstance(each, dict) else None
            for name, count in Counter(str(name) for name, _ in _items(rules)).items():
                if count > 1:
                    yield f"tables:{table}:{chain}:rules:{name}: given twice, as a number and as text"


def _items(mapping: Any) -> list[tuple[Any, Any]]:
    return list(mapping.items()) if isinstance(mapping, dict) else []


def _rule(reading: Reading, table: str, chain: str, origin: str, words: dict[str, Any]) -> None:
    if "error" in words:
        reading["problems"].append(f"{origin}: {words['error']}")
        return
    reading["warnings"] += [f"{origin}: {warning}" for warning in words["warnings"]]
    reading["notes"] += [f"{origin}: not for {family}: {reason}" for family, reason in words["reasons"].items()]
    for family in families.FAMILIES:
        if chain in reading["tables"][family][table]:
            reading["tables"][family][table][chain]["rules"] += words[family]
            reading["origins"][family][table][chain] += [origin] * len(words[family])


def _prepend(reading: Reading, firewall: dict[str, Any], tunnel: dict[str, Any]) -> None:
    """The implied rules: they precede all others."""
    tables = reading["tables"]
    pingers = [one for each in settings_tunnels.apart(tunnel) for one in each.get("pingers") or []]
    if pingers and "filter" in tables["ipv4"]:
        rules = [f"-s {each} -p icmp -m icmp --icmp-type 8 -j ACCEPT" for each in dict.fromkeys(pingers)]
        _in_front(reading, "ipv4", "filter", "INPUT", rules, "tunnel:account")
    carrying = [rule for each in settings_tunnels.apart(tunnel) if each.get("endpoint") for rule in _carrying(each)]
    if carrying and "filter" in tables["ipv4"]:
        for chain in ("INPUT", "OUTPUT"):
            rules = [rule for place, rule in dict.fromkeys(carrying) if place == chain]
            _in_front(reading, "ipv4", "filter", chain, rules, "tunnel:endpoint")
    names = settings_tunnels.interfaces(tunnel)
    if names and firewall.get("clamp_mss"):
        for family in families.FAMILIES:
            tables[family].setdefault("mangle", {})
            reading["origins"][family].setdefault("mangle", {})
        clamp = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
        rules = [f"{way} {name} {clamp}" for name in names for way in ("-i", "-o")]
        _in_front(reading, "ipv6", "mangle", "FORWARD", rules, "clamp_mss")
    if firewall.get("icmpv6_essential", True):
        for table, chains in tables["ipv6"].items():
            if needs_essential(table, chains):
                _essential(reading, table, names)


def _carrying(tunnel: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rules that let through what carries a tunnel's packets, each with its chain."""
    carrier, endpoint = str(tunnel.get("carrier") or "sit"), tunnel["endpoint"]
    if carrier == tunnel_wireguard.CARRIER:
        part: Any = tunnel.get(carrier) if isinstance(tunnel.get(carrier), dict) else {}
        port, own = part.get("port") or tunnel_wireguard.PORT, part.get("listen_port")
        mine, here = (f" --{way}port {own}" if own else "" for way in "ds")
        return [
            ("INPUT", f"-s {endpoint} -p udp -m udp --sport {port}{mine} -j ACCEPT"),
            ("OUTPUT", f"-d {endpoint} -p udp -m udp{here} --dport {port} -j ACCEPT"),
        ]
    protocol = PROTOCOLS.get(carrier, "ipv6")
    return [("INPUT", f"-s {endpoint} -p {protocol} -j ACCEPT"), ("OUTPUT", f"-d {endpoint} -p {protocol} -j ACCEPT")]


def _essential(reading: Reading, table: str, tunnels: list[str]) -> None:
    """Put what IPv6 needs among the rules of each built-in chain of a table."""
    chains, origins = reading["tables"]["ipv6"][table], reading["origins"]["ipv6"][table]
    about = firewall_essential.about(chains)
    for chain, each in chains.items():
        if each["policy"] is None:
            continue
        placed = firewall_essential.placed(table, chain, each["rules"], about, tunnels)
        each["rules"] = firewall_essential.inserted(each["rules"], placed.rules)
        marks = [(place, ["icmpv6_essential"] * len(rules)) for place, rules in placed.rules]
        origins[chain] = firewall_essential.inserted(origins[chain], marks)
        if placed.left:
            left = " and ".join(placed.left)
            reading["notes"].append(f"tables:{table}:{chain}: {left} of ICMPv6: left to the rules that name it")


def needs_essential(table: str, chains: firewall_save.Table) -> bool:
    """
    Whether what IPv6 needs has its place in a table: in filter, and in one that drops packets, as one does that checks
    the reverse path.

    table
        Its name.
    chains
        Its chains.
    """
    if table in ("filter", "nat"):
        return table == "filter"
    return any(each["policy"] == "DROP" or any("-j DROP" in rule for rule in each["rules"]) for each in chains.values())


def _in_front(reading: Reading, family: str, table: str, chain: str, rules: list[str], origin: str) -> None:
    reading["tables"][family][table].setdefault(chain, {"policy": firewall_save.UNSAID, "rules": []})["rules"][
        :0
    ] = rules
    reading["origins"][family][table].setdefault(chain, [])[:0] = [origin] * len(rules)
