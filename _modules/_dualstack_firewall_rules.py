"""
The rule language: translates one rule, as people write it, for iptables and for ip6tables. PURE: never accesses the
host.

A rule is either the words of a script (``-p tcp --dport 25 -j ACCEPT``) or a mapping with the keys of Salt's iptables
state, and two more: ``family`` (``ipv4``, ``ipv6`` or ``both``) and ``rule`` (words, so that the other keys can be
given to them). In a mapping every value may be ``{ipv4: …, ipv6: …}``. IPv4's words are the common language: they are
translated by meaning. What only IPv6 has words for is taken as it is, for IPv6 only.

What this module does not know is passed on unchanged, in both families: the kernel decides on extensions. Ambiguous
cases are resolved as follows:

**Families**

- A rule that names addresses of one family is for that family; of a mixed list each family gets its part; a network
  inside another one in the list is left out, adjacent networks are not joined. Host names are for both families; one
  with a mask length needs ``family``, since a length means something else in the other.
- ``0.0.0.0/0`` and ``::/0``, in whatever spelling, are addresses of their family like any other. Neither stands for
  *any* in the other one.
- A part that is lost because the rest of the rule is for the other family causes a warning; a rule that is left with no
  family is an error. So is an empty list: it never means *any*.
- ``! -s ADDRESS`` is for the family of the address only, with a warning. ``! -s`` with one address of each family is
  for both. More than one of the same family is an error, because the commands cannot say it.
- Refused, because the commands would silently take it as something else: an address with a zone (``fe80::1%eth0``;
  use ``-i``), an octet with a leading zero (octal), a mask of length 0 after a name, ``-p hopopt`` (matches all).
- A list that is too long for one line of ``iptables-restore`` becomes several rules.
- ``--to-destination`` and similar options take one address of each family, as a list or given twice.
- A set's name does not contain its family: such a rule is for both, unless ``sets`` or ``family`` say otherwise. Of a
  set that has a twin for IPv6, IPv6's rule names the twin.
- ``family`` given by hand (also by ``-4``, ``-6``, a leading ``ip6tables``): masks, protocols and negations are taken
  as they are written. Meaning is still translated: ``-p icmp`` for IPv6 is ICMPv6.

**Protocols**: ``icmp``, ``1`` are ``ipv6-icmp`` for IPv6, also negated and as ``--ctproto``. ``icmpv6``, ``ipv6-icmp``,
``58`` and the protocols of IPv6's extension headers are IPv6-only; as a header, they are matched with ``-m frag``,
``-m rt``, ``-m dst``, because ``-p`` never sees them. ``ipv6`` (41, what a tunnel carries) and ``igmp`` are IPv4-only.
``ah`` is ``-p ah`` for IPv4 and ``-m ah`` for IPv6, whichever of them is written.

**ICMP types** are translated from IPv4 to IPv6, by meaning, names, aliases and numbers alike: :rfc:`7915`, section
4.2, with two additions. What both commands know by the same name (redirect, router advertisement and solicitation) is
the same; ``host-unreachable`` is ``address-unreachable``, as in nftables' ``icmpx``. Where one type has several
counterparts it is the one of the same name: ``destination-unreachable`` is type 1, not *packet too big*. ``any`` and
``255`` are ``-p ipv6-icmp`` without a type. A type without a counterpart leaves IPv6 without the rule, and the reason
says so. ``--icmpv6-type`` is IPv6-only. ``! --icmp-type`` needs ``family``: it would also hit neighbour discovery.

**--reject-with** is translated in both directions, as in ``icmpx``: port-unreachable; net-unreachable and no-route;
host-unreachable and addr-unreachable; net-, host-, admin-prohibited and adm-prohibited. policy-fail and reject-route
are IPv6-only. ``icmp-proto-unreachable`` needs ``family``. ``tcp-reset`` needs ``-p tcp``.

**Matches and targets**: ``ttl`` and ``TTL`` become ``hl`` and ``HL``; ``hl`` and ``HL`` as written are IPv6-only like
every match that only IPv6 has. ``-f`` needs ``family``. An ``addrtype`` list with ``BROADCAST`` is IPv4-only. ``u32``
and ``bpf`` look at bytes of the header: both families get them, with a warning.

**Mask lengths** (connlimit, hashlimit): the whole address, 32 or 128, and 0 are translated; 33 to 127 is IPv6-only;
another length needs ``family`` or one for each, ``24|64``. In HMARK, which only shares a load, it is the same number
for both. The mask of ``recent`` is an address; a whole one is translated.

**Ports** of a mapping: YAML reads ``20:21`` without quotes as the number 1221. What well-known ports give is refused,
and the error says what to write; any other number is a port.

**Dropped** as not part of a rule: ``iptables`` in front, ``-w``, ``-v``, ``-A CHAIN``, ``-t TABLE``, the counters
(``-c``, ``[1:2]``) and a shell comment. ``-I``, ``-D``, ``-P`` and similar are errors, as are shell variables, which
would not be expanded.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import _dualstack_families as families
import _dualstack_firewall_extensions as firewall_extensions
import _dualstack_firewall_mappings as firewall_mappings
import _dualstack_firewall_option as firewall_option
import _dualstack_firewall_reading as firewall_reading
import _dualstack_firewall_words as firewall_words
from salt.exceptions import SaltInvocationError

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What rules may differ in, where that means nothing for their translation; and what stands for it meanwhile.
OF_ITS_OWN = re.compile(
    r'(--[ds]port )([0-9]{1,5})(?= |$)|(--comment ")([A-Za-z0-9][A-Za-z0-9.:/_-]* [A-Za-z0-9 .:/_-]{0,100})(?="(?: |$))'
)
PORT_OF_SHAPE, COMMENT_OF_SHAPE = "64999", "0comment of0"
SHAPED = re.compile(f"{PORT_OF_SHAPE}|{COMMENT_OF_SHAPE}")
LONGEST_WORD = 1000  # iptables-restore has room for 1023 bytes


def translate(
    rule: str | Mapping[str, Any],
    chain: str | None = None,
    table: str | None = None,
    sets: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """
    Translate one rule into the words for each family. The module's docstring documents ambiguous cases.

    rule
        Words as in a script (``-p tcp --dport 25 -j ACCEPT``), or a mapping with the keys of Salt's iptables state and
        ``family`` and ``rule``.

    chain
        The chain that the rule stands in: ``-A`` of another one is an error.

    table
        The table that the rule stands in: ``-t`` of another one is an error.

    sets
        What the sets that rules may refer to hold: ``{name: "inet", "inet6" or "both"}``, or ``"twin NAME"`` for a set
        of IPv4 whose twin for IPv6 is NAME. A set that is not named here is taken to serve both families.

    Returns ``{"ipv4": [text], "ipv6": [text], "reasons": {family: why it gets none}, "warnings": [text]}``; the texts
    are in the syntax of ``iptables-restore``, without ``-A CHAIN``. Raises ``SaltInvocationError`` if the rule cannot
    be understood, is for no family, or is ambiguous.
    """
    if isinstance(rule, str):
        read = firewall_option.Rule(sets or {})
        firewall_reading.read(firewall_words.split(rule), read, chain, table)
        if not rule.strip():
            raise SaltInvocationError("the rule is empty")
        readings = (read, read)
    elif isinstance(rule, Mapping):
        readings = _read_mapping(rule, sets or {}, chain, table)
    else:
        raise SaltInvocationError(f"`{rule!r}`: a rule is words or a mapping")
    _check_texts(readings)
    if readings[0] is readings[1] and not readings[0].special and not readings[0].family:
        text = firewall_words.join([word for option in readings[0].options for word in option.words])
        return {"ipv4": [text], "ipv6": [text], "reasons": {}, "warnings": readings[0].warnings}
    return _judged(readings)


def translate_all(
    rules: list[Any],
    chain: str | None = None,
    table: str | None = None,
    sets: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """
    Translate the rules of one chain.

    rules
        Each as for :py:func:`translate`.

    chain
        The chain that they stand in.

    table
        The table that they stand in.

    sets
        As for :py:func:`translate`.

    Returns for each rule what :py:func:`translate` does, or ``{"error": text}``.
    """
    translated = []
    shapes: dict[str, dict[str, Any]] = {}
    for rule in rules:
        try:
            translated.append(_by_shape(rule, shapes, chain, table) or translate(rule, chain, table, sets))
        except SaltInvocationError as error:
            translated.append({"error": str(error)})
    return translated


def _by_shape(
    rule: Any, shapes: dict[str, dict[str, Any]], chain: str | None, table: str | None
) -> dict[str, Any] | None:
    """
    What :py:func:`translate` returns for a rule that differs from another one only in numbers of ports or in a comment,
    as thousands may: these are the same in both families. ``None`` for any other, and where anything is to be said.
    """
    if not isinstance(rule, str) or PORT_OF_SHAPE in rule or COMMENT_OF_SHAPE in rule or "-set" in rule:
        return None
    own: list[str] = []

    def without(match: re.Match[str]) -> str:
        own.append(match[2] or match[4])
        return f"{match[1]}{PORT_OF_SHAPE}" if match[1] else f"{match[3]}{COMMENT_OF_SHAPE}"

    shape = OF_ITS_OWN.sub(without, rule)
    if not own or any(each.isdecimal() and int(each) > 65535 for each in own):
        return None
    if shape not in shapes:
        try:
            shapes[shape] = translate(shape, chain, table)
        except SaltInvocationError:
            shapes[shape] = {}
    found = shapes[shape]
    if not found or found["warnings"] or found["reasons"]:
        return None
    result: dict[str, Any] = {"reasons": {}, "warnings": []}
    for family in families.FAMILIES:
        parts = SHAPED.split("\0".join(found[family]))
        if len(found[family]) != 1 or len(parts) != len(own) + 1:
            return None
        result[family] = ["".join([part for pair in zip(parts, [*own, ""]) for part in pair])]
    return result


def _read_mapping(
    given: Mapping[str, Any], sets: Mapping[str, str], chain: str | None, table: str | None
) -> tuple[firewall_option.Rule, firewall_option.Rule]:
    family = "both" if given.get("family") is None else given["family"]
    if family not in (*families.FAMILIES, "both"):
        raise SaltInvocationError(f"`family: {family}`: expected ipv4, ipv6 or both")
    own = {key: value for key, value in given.items() if isinstance(value, Mapping)}
    for key, value in own.items():
        if not value or not set(value) <= set(families.FAMILIES):
            raise SaltInvocationError(f"`{key}`: a mapping has the keys ipv4 and ipv6")
    readings = []
    for each in families.FAMILIES if own else families.FAMILIES[:1]:
        mine = {key: value.get(each) if key in own else value for key, value in given.items()}
        missing = [key for key, value in own.items() if each not in value]
        read = firewall_option.Rule(sets, family=None if family == "both" else family)
        for key in missing:
            del mine[key]
            read.denied.setdefault(each, []).append(f"`{key}` has no value for {families.NAMES[each]}")
        readings.append(firewall_reading.read(firewall_mappings.words(mine), read, chain, table))
        if not read.options and "rule" not in mine:
            raise SaltInvocationError("the rule is empty")
    return readings[0], readings[-1]


def _check_texts(readings: tuple[firewall_option.Rule, firewall_option.Rule]) -> None:
    """What the commands accept but do not keep: control characters, texts that are too long, variables."""
    first, second = readings
    for rule in (first,) if first is second else readings:
        for option in rule.options:
            if option.name in PORTS:
                _refuse_ports(option)
            for value in option.values:
                if not value.isprintable() and CONTROL.search(value):
                    raise SaltInvocationError(
                        f"`{option.name} {value!r}`: a line break or control character makes a saved rule unloadable"
                    )
                if option.name in firewall_extensions.FREE_TEXT:
                    limit = firewall_extensions.FREE_TEXT[option.name]
                    if 0 < limit < len(value.encode()):
                        rule.warnings.append(
                            f"`{option.name}`: the kernel keeps {limit} of {len(value.encode())} bytes"
                        )
                elif ("$" in value or "`" in value) and firewall_reading.VARIABLE.search(value):
                    raise SaltInvocationError(f"{option}: shell variables are not expanded")


def _judged(readings: tuple[firewall_option.Rule, firewall_option.Rule]) -> dict[str, Any]:
    """Each option gives its words for both families; together they decide which families the rule is for."""
    result: dict[str, Any] = {"ipv4": [], "ipv6": [], "reasons": {}, "warnings": []}
    texts = {}
    for index, (family, rule) in enumerate(zip(families.FAMILIES, readings)):
        if index == 0 or rule is not readings[0]:
            said = [option.say(rule, option) if option.say else (option.words, option.words) for option in rule.options]
        texts[family] = _texts([words[index] for words in said])
    by_hand = readings[0].family
    for family, rule in zip(families.FAMILIES, readings):
        denied = list(dict.fromkeys(rule.denied.get(family, [])))
        if by_hand not in (None, family):
            result["reasons"][family] = f"the rule says `family: {by_hand}`"
        elif denied:
            result["reasons"][family] = "; ".join(denied)
        else:
            result[family] = texts[family]
    if not result["ipv4"] and not result["ipv6"]:
        why = "; ".join(f"{families.NAMES[family]}: {reason}" for family, reason in result["reasons"].items())
        raise SaltInvocationError(f"the rule applies to no family. {why}")
    for family, rule in zip(families.FAMILIES, readings):
        if result[family]:
            if rule.undecided.get(family):
                raise SaltInvocationError("\n".join(dict.fromkeys(rule.undecided[family])))
            result["warnings"] += [text for text in rule.warnings if text not in result["warnings"]]
            continue
        for part in rule.lost.get(family, []):
            result["warnings"].append(f"`{part}` is left out for {families.NAMES[family]}: {result['reasons'][family]}")
        if by_hand is None and family in rule.only_negated:
            result["warnings"].append(
                f"the rule is for {families.NAMES[families.other(family)]} only. {result['reasons'][family]}"
            )
    return result


def _texts(said: list[list[str]]) -> list[str]:
    """The rule's text; or several, where a list of addresses is longer than ``iptables-restore`` reads."""
    if all(len(word) <= LONGEST_WORD for words in said for word in words):
        return [firewall_words.join([word for words in said for word in words])]
    parts = [_parts(words) if words[:1] in (["-s"], ["-d"]) else [words] for words in said]
    return [firewall_words.join(itertools.chain(*choice)) for choice in itertools.product(*parts)]


def _parts(words: list[str]) -> list[list[str]]:
    name, value = words
    parts = [""]
    for entry in value.split(","):
        if len(parts[-1]) + len(entry) > LONGEST_WORD:
            parts.append("")
        parts[-1] += f",{entry}" if parts[-1] else entry
    return [[name, part] for part in parts]


PORT = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9.+_-]*")
ONE_PORT = frozenset(("--dport", "--sport", "--destination-port", "--source-port"))
PORTS = ONE_PORT | {"--dports", "--sports", "--ports", "--destination-ports", "--source-ports"}


def _refuse_ports(option: firewall_option.Option) -> None:
    """Ports and ranges of them, by number or by the name of a service."""
    if len(option.values) != 1:
        raise SaltInvocationError(f"{option}: expected " + ("ports without blanks" if option.values else "a port"))
    ranges = option.values[0].split(",")
    if len(ranges) > 1 and option.name in ONE_PORT:
        raise SaltInvocationError(f"{option}: expected one port or range; several are `{option.name}s`")
    for text in ranges:
        ends = text.split(":")
        for end in ends:
            fits = int(end[:9]) < 65536 if end.isdecimal() else PORT.fullmatch(end) or (not end and len(ends) == 2)
            if not fits or len(ends) > 2 or not text.strip(":"):
                raise SaltInvocationError(f"{option}: `{end}` is not a port; expected a number up to 65535 or a name")
