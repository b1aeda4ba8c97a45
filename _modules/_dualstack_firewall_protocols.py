"""
Protocols and ICMP types: the IPv6 equivalents of IPv4's.
"""

from __future__ import annotations

import difflib
import re

import _dualstack_firewall_option as firewall_option
from salt.exceptions import SaltInvocationError

OTHER_BASE = re.compile(r"0x[0-9a-f]+|0[0-7]+")
ICMP = ("icmp", "1")
ICMPV6 = ("icmpv6", "ipv6-icmp", "58")
HEADERS = {"ipv6-frag": "frag", "44": "frag", "ipv6-route": "rt", "43": "rt", "ipv6-opts": "dst", "60": "dst"}
V4_PROTOCOLS = ("ipv6", "41", "igmp", "2")
V6_PROTOCOLS = (*ICMPV6, *HEADERS, "ipv6-nonxt", "59", "ipv6-mh", "mh", "mobility-header", "135")
REFUSED_PROTOCOLS = {
    "hopopt": "the commands take it as *any*; use `-m hbh`, or `-p all` if that is meant",
    "icmp6": "is the name of the match; the protocol is `icmpv6`",
    "icmp-6": "is not a protocol; expected `icmpv6`",
    "any": "is not a protocol; expected `all`",
}
PROTOCOLS = frozenset((*ICMP, *V4_PROTOCOLS, *V6_PROTOCOLS, *REFUSED_PROTOCOLS, "ah", "51"))

ICMP_TABLE = """
    255   -      any
    0     129    echo-reply pong
    0/0   129/0
    3     1      destination-unreachable
    3/0   1/0    network-unreachable
    3/1   1/3    host-unreachable
    3/2   4/1    protocol-unreachable
    3/3   1/4    port-unreachable
    3/4   2      fragmentation-needed
    3/5   1/0    source-route-failed
    3/6   1/0    network-unknown
    3/7   1/0    host-unknown
    3/8   1/0
    3/9   1/1    network-prohibited
    3/10  1/1    host-prohibited
    3/11  1/0    tos-network-unreachable
    3/12  1/0    tos-host-unreachable
    3/13  1/1    communication-prohibited
    3/14  -      host-precedence-violation
    3/15  1/1    precedence-cutoff
    4     -      source-quench
    5     137    redirect
    5/0   -      network-redirect
    5/1   -      host-redirect
    5/2   -      tos-network-redirect
    5/3   -      tos-host-redirect
    8     128    echo-request ping
    8/0   128/0
    9     134    router-advertisement
    9/0   134/0
    10    133    router-solicitation
    10/0  133/0
    11    3      time-exceeded ttl-exceeded
    11/0  3/0    ttl-zero-during-transit
    11/1  3/1    ttl-zero-during-reassembly
    12    4      parameter-problem
    12/0  4/0    ip-header-bad
    12/1  -      required-option-missing
    12/2  4/0
    13    -      timestamp-request
    14    -      timestamp-reply
    17    -      address-mask-request
    18    -      address-mask-reply
"""
ICMP_ROWS = [line.split() for line in ICMP_TABLE.strip().splitlines()]  # type of IPv4, of IPv6, IPv4's names
ICMP_TYPES = {name: v4 for v4, _, *names in ICMP_ROWS for name in names}
ICMPV6_TYPES = {v4: v6 for v4, v6, *_ in ICMP_ROWS if v6 != "-"}


def protocol(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """``-p``: the protocol of each family."""
    name = protocol_name(rule, option)
    if name in REFUSED_PROTOCOLS:
        raise SaltInvocationError(f"{option}: {REFUSED_PROTOCOLS[name]}")
    if name in ICMP:
        return option.words, option.with_values("ipv6-icmp")
    if name in ("ah", "51"):
        return option.words, _as_header(rule, option, "ah")
    if name in V4_PROTOCOLS and not rule.family:
        rule.deny("ipv6", option, "is for IPv4 only; set `family: ipv6` if IPv6 is meant")
    if name in V6_PROTOCOLS and not rule.family:
        rule.deny("ipv4", option, "is a protocol of IPv6")
    return option.words, _as_header(rule, option, HEADERS[name]) if name in HEADERS else option.words


def protocol_name(rule: firewall_option.Rule, option: firewall_option.Option) -> str:
    """The canonical form: the commands also read hexadecimal and octal numbers, which an explicit family keeps."""
    name = option.values[0].lower()
    if rule.family or not OTHER_BASE.fullmatch(name):
        return name
    return str(int(name, 16 if "x" in name else 8))


def _as_header(rule: firewall_option.Rule, option: firewall_option.Option, match: str) -> list[str]:
    """For IPv6 this is an extension header, which ``-p`` never matches."""
    if option.negated:
        rule.ask(
            "ipv6",
            option,
            f"IPv6 cannot express this: it is an extension header there, matched with `-m {match}`; set `family: ipv4`",
        )
    return [] if rule.has("-m", match) else ["-m", match]


def conntrack_protocol(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """``--ctproto``, likewise."""
    name = protocol_name(rule, option)
    if name in ICMPV6 and not rule.family:
        rule.deny("ipv4", option, "is a protocol of IPv6")
    return option.words, option.with_values("58") if name in ICMP else option.words


def match_ah(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """``-m ah``, which in IPv4 needs the protocol as well."""
    return option.words if rule.value("-p") else ["-p", "ah", *option.words], option.words


def _icmp_type_of(text: str) -> str:
    """``3/1`` for host-unreachable, however it is written."""
    lower = text.lower()
    names = [lower] if lower in ICMP_TYPES else [name for name in ICMP_TYPES if name.startswith(lower)]
    if len(names) > 1:
        raise ValueError(f"is ambiguous: {', '.join(names)}")
    if names:
        return ICMP_TYPES[names[0]]
    try:
        numbers = [int(number, 0) for number in text.split("/")]
    except ValueError:
        near = difflib.get_close_matches(lower, ICMP_TYPES, 1)
        raise ValueError("is not an ICMP type" + (f"; did you mean {near[0]}?" if near else "")) from None
    if len(numbers) > 2 or not all(0 <= number <= 255 for number in numbers):
        raise ValueError("is not an ICMP type; expected a number up to 255, or type/code")
    return "/".join(map(str, numbers))


def icmp_type(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """``--icmp-type``: ICMP's types as those of ICMPv6."""
    protocol = next((each for each in rule.options if each.name == "-p"), None)
    if not protocol or protocol.negated or protocol.values[0].lower() not in ICMP:
        is_v6 = protocol and protocol.values[0].lower() in ICMPV6
        raise SaltInvocationError(f"{option}: " + ("use `--icmpv6-type`" if is_v6 else "needs `-p icmp`"))
    if option.negated:
        rule.ask(
            "ipv6", option, "would hit neighbour discovery in IPv6; set `family: ipv4`, or `! --icmpv6-type` for IPv6"
        )
        return option.words, option.words
    text = option.values[0]
    if ":" in text:  # a range of codes
        rule.ask("ipv6", option, "IPv6 has other codes; set `family: ipv4`")
        return option.words, option.words
    try:
        number = _icmp_type_of(text)
    except ValueError as error:
        raise SaltInvocationError(f"{option}: `{text}` {error}") from None
    if number == "255":
        return option.words, []
    if number not in ICMPV6_TYPES:
        rule.deny("ipv6", option, f"ICMPv6 has no counterpart of type {number}")
        return option.words, []
    return option.words, ["--icmpv6-type", ICMPV6_TYPES[number]]


def match_icmp(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """``-m icmp``, which is nothing without a type."""
    kind = rule.value("--icmp-type")
    if kind is None:
        raise SaltInvocationError(f"{option}: needs `--icmp-type`; without `-m icmp` the rule is for every type")
    return option.words, [] if kind.lower() in ("any", "255") else ["-m", "icmp6"]
