"""
The rule language: one rule, as people write it, into the words of iptables and of ip6tables. PURE: knows no host.

A rule is either the words of a script (``-p tcp --dport 25 -j ACCEPT``) or a mapping with the keys of Salt's iptables
state, with two keys more: ``family`` (``ipv4``, ``ipv6`` or ``both``) and ``rule`` (words, so that the other keys can
be given to them). In a mapping every value may be ``{ipv4: …, ipv6: …}``. IPv4's words are the common language: they
are translated by meaning. What only IPv6 has words for is taken as it is, for IPv6 only.

What this module does not know passes through unchanged, in both families: the kernel is the judge of an extension.
What could be read in two ways is decided thus:

**Families**

- A rule that names addresses of one family is for that family; of a mixed list each family gets its part; a network
  inside of another one in the list is left out, neighbours are not joined. Host names are for both families, a host
  name with a mask length needs ``family``, since a length means something else in the other.
- ``0.0.0.0/0`` and ``::/0``, in whatever spelling, are addresses of their family like any other. Neither stands for
  *any* in the other one.
- A part that is lost because the rest of the rule is for the other family is a warning; a rule that is left with no
  family at all is an error. So is an empty list: it never means *any*.
- ``! -s ADDRESS`` is for the family of the address only, with a warning. ``! -s`` with one address of each family is
  for both. More than one of the same family is an error, because the commands cannot say it.
- Refused, because the commands would silently take it as something else: an address with a zone (``fe80::1%eth0``;
  use ``-i``), an octet with a leading zero (octal), a mask of length 0 after a name, ``-p hopopt`` (matches all).
- A list that is too long for one line of ``iptables-restore`` becomes several rules.
- ``--to-destination`` and its like take one address of each family, as a list or given twice.
- A set's family is not in its name: such a rule is for both families, if ``sets`` or ``family`` do not say otherwise.
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

**Dropped** as not part of a rule: ``iptables`` in front, ``-w``, ``-v``, ``-A CHAIN``, ``-t TABLE``, the counters
(``-c``, ``[1:2]``) and a shell comment. ``-I``, ``-D``, ``-P`` and their like are errors, as are shell variables, which
nobody would expand.
"""

from __future__ import annotations

import difflib
import itertools
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from salt.exceptions import SaltInvocationError

__virtualname__ = "dualstack_rules"

FAMILIES = ("ipv4", "ipv6")
NAMES = {"ipv4": "IPv4", "ipv6": "IPv6"}


# --- words and text ---------------------------------------------------------------------------------------------------

SPECIAL = re.compile(r"[\x00-\x1f\x7f\"'\\#]")  # what plain splitting at blanks does not do justice to
BARE = re.compile(r"[^\s\x00-\x1f\x7f\"'\\#$`]+")
TOKEN = re.compile(r"""(?P<blank>\s+)|(?P<comment>\#.*)|(?P<word>(?:[^\s"'\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+)""", re.S)
PART = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^"'\\]+)""", re.S)
OTHER_BASE = re.compile(r"0x[0-9a-f]+|0[0-7]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
ESCAPE = re.compile(r"""\\(["'\\$`])""")


def split_words(text: str) -> list[str]:
    """
    Split a rule's text into its words, as a shell does and as ``iptables-restore`` does.

    text
        Words of a script or of ``iptables-save``. Both quotes and the backslash work as in a shell, ``"it\\'s"`` as
        ``iptables-save`` writes it is read as ``it's``, and a comment after ``#`` is left out. Nothing is expanded.

    Returns the list of words.
    Raises ``SaltInvocationError`` if a quote is not closed.

    CLI Example:

    .. code-block:: bash

        salt-call dualstack_rules.split_words text='-m comment --comment "two words"'
    """
    if not SPECIAL.search(text):
        return text.split()
    text = text.replace("\\\n", " ")
    words, position = [], 0
    while position < len(text):
        token = TOKEN.match(text, position)
        if not token:
            raise SaltInvocationError(f"`{text[position:]}`: a quote that is not closed")
        if token["word"]:
            words.append("".join(_unquoted(*part) for part in PART.findall(token["word"])))
        position = token.end()
    return words


def _unquoted(single: str, double: str, escaped: str, bare: str) -> str:
    return single + ESCAPE.sub(r"\1", double) + escaped + bare


def join_words(words: Iterable[str]) -> str:
    """
    Join words into the text that ``iptables-restore`` reads: the reverse of :py:func:`split_words`.

    words
        The words of one rule.

    Returns the text. A word that is not plain stands in double quotes, with a backslash before each quote in it.

    CLI Example:

    .. code-block:: bash

        salt-call dualstack_rules.join_words '[-m, comment, --comment, two words]'
    """
    return " ".join([word if BARE.fullmatch(word) else _quoted(word) for word in words])


def _quoted(word: str) -> str:
    return '"' + re.sub(r"([\"'\\])", r"\\\1", word) + '"'


# --- what is known of a rule while it is translated -------------------------------------------------------------------


class Option(NamedTuple):
    """One option of a rule. ``say`` tells what it is in each family; without it, it is the same in both."""

    name: str
    negated: bool
    values: list[str]
    say: Say | None

    @property
    def words(self) -> list[str]:
        return ["!", self.name, *self.values] if self.negated else [self.name, *self.values]

    def __str__(self) -> str:
        return f"`{join_words(self.words)}`"


class Rule:
    """A rule as it was read, and what its options said of the families."""  # dataclasses fail in Salt's loader

    def __init__(self, sets: Mapping[str, str], family: str | None = None) -> None:
        self.sets = sets
        self.family = family  # given by hand
        self.options: list[Option] = []
        self.special = False  # some option has a `say`
        self.denied: dict[str, list[str]] = {}  # family -> why the rule is not for it
        self.undecided: dict[str, list[str]] = {}  # family -> what has no twin in it
        self.lost: dict[str, list[str]] = {}  # family -> its part of mixed lists
        self.only_negated: set[str] = set()  # families that are denied by negated options only
        self.warnings: list[str] = []

    def value(self, name: str) -> str | None:
        return next(("".join(option.values) for option in self.options if option.name == name), None)

    def has(self, name: str, value: str) -> bool:
        return any(option.name == name and option.values == [value] for option in self.options)

    def deny(self, family: str, option: Option, reason: str) -> None:
        if family not in self.denied:
            self.only_negated.add(family)
        if not option.negated:
            self.only_negated.discard(family)
        self.denied.setdefault(family, []).append(f"{option}: {reason}")

    def ask(self, family: str, option: Option, problem: str) -> None:
        self.undecided.setdefault(family, []).append(f"{option}: {problem}")


Both = tuple[list[str], list[str]]
Say = Callable[[Rule, Option], Both]


def _other(family: str) -> str:
    return "ipv6" if family == "ipv4" else "ipv4"


# --- addresses --------------------------------------------------------------------------------------------------------

V4_HOST = re.compile(r"[0-9.]+|0[xX][0-9a-fA-F.xX]*")
V4_START = re.compile(r"[0-9]+(\.[0-9]+)+(?![A-Za-z0-9_.])")
FULL_MASK = {"ipv4": "255.255.255.255", "ipv6": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}


def _literal(text: str) -> tuple[str | None, str]:
    """The family of an address or network, and how to write it; no family for a host's name."""
    host, slash, mask = text.partition("/")
    if ":" in host:
        return "ipv6", _v6(host.strip("[]")) + slash + _mask(text, mask, 128, _v6)
    if V4_HOST.fullmatch(host):
        return "ipv4", _v4(host) + slash + _mask(text, mask, 32, _v4)
    if not host or (slash and not mask):
        raise ValueError(f"`{text}` is not an address")
    return None, text


def _mask(text: str, mask: str, longest: int, address: Callable[[str], str]) -> str:
    if not mask and text[-1:] != "/":
        return mask
    if mask.isdecimal():
        if int(mask) > longest:
            raise ValueError(f"`{text}`: a mask length is at most {longest}")
        return mask
    return address(mask)


def _v4(host: str) -> str:
    parts = host.split(".")
    for part in parts:
        if len(part) > 1 and part[0] == "0":
            raise ValueError(
                f"`{host}`: the commands read `{part}` as octal or hexadecimal; write it as a decimal number"
            )
    if len(parts) > 4 or not all(part.isdecimal() and int(part) < 256 for part in parts):
        raise ValueError(f"`{host}` is not an IPv4 address")
    return host


def _v6(host: str) -> str:
    if "%" in host:
        raise ValueError(f"`{host}`: the commands drop the zone silently; name the interface with `-i` or `-o`")
    try:
        socket.inet_pton(socket.AF_INET6, host)
    except OSError:
        raise ValueError(f"`{host}` is not an IPv6 address") from None
    return host


def _addresses(rule: Rule, option: Option) -> Both:
    """``-s`` and ``-d``: a list of addresses, networks and names."""
    value = option.values[0]
    if "," not in value:
        entries = [_entry(rule, option, value)]
    else:
        entries = [_entry(rule, option, each) for each in value.split(",")]
    by_family: dict[str, list[str]] = {}
    for family in FAMILIES:
        mine = [text for its, text in entries if its in (family, None)]
        by_family[family] = _without_overlaps(mine, family) if len(mine) > 1 else mine
    return _each_its_own(rule, option, by_family, entries)


def _entry(rule: Rule, option: Option, text: str) -> tuple[str | None, str]:
    try:
        family, text = _literal(text)
    except ValueError as error:
        raise SaltInvocationError(f"{option}: {error}") from None
    if family is None and "/" in text:
        mask = text.partition("/")[2]
        if not mask.strip("0.:"):
            raise SaltInvocationError(f"{option}: a mask of length 0 means *any*, whatever stands before it")
        if "." in mask or ":" in mask or (mask.isdecimal() and int(mask) > 32):
            return "ipv4" if "." in mask else "ipv6", text
        if not rule.family:
            rule.ask("ipv6", option, "a mask length means something else in IPv6; say `family:`")
    return family, text


def _each_its_own(
    rule: Rule, option: Option, by_family: dict[str, list[str]], entries: list[tuple[str | None, str]]
) -> Both:
    """A list of which each family takes its part, which is not allowed to be empty, nor of several if negated."""
    for family, texts in by_family.items():
        if not texts:
            rule.deny(family, option, f"names {NAMES[_other(family)]} addresses only")
        elif option.negated and len(texts) > 1:
            rule.ask(family, option, "a negated list is something the commands cannot say; use a set or several rules")
        else:
            literals = [text for its, text in entries if its == family]
            if literals:
                rule.lost.setdefault(family, []).append(f"{option.name} {','.join(literals)}")
    return _with_value(option, ",".join(by_family["ipv4"])), _with_value(option, ",".join(by_family["ipv6"]))


def _with_value(option: Option, *values: str) -> list[str]:
    return option._replace(values=list(values)).words


def _without_overlaps(texts: list[str], family: str) -> list[str]:
    """The entries that are not inside of another, in their order. Names and masks with holes stay."""
    try:
        import netaddr
    except ImportError:
        raise SaltInvocationError(
            "the Python that runs Salt lacks netaddr, which a list of addresses needs: apply ipv6.deps"
        ) from None

    kept: dict[tuple[int, int] | str, str] = {}
    for text in texts:
        try:
            network = netaddr.IPNetwork(_complete(text) if family == "ipv4" else text)
            key: tuple[int, int] | str = (network.prefixlen, network.first)
        except (netaddr.AddrFormatError, ValueError):
            key = text
        kept.setdefault(key, text)
    bits = 32 if family == "ipv4" else 128
    lengths = sorted({key[0] for key in kept if isinstance(key, tuple)})
    return [
        text
        for key, text in kept.items()
        if isinstance(key, str)
        or not any((length, key[1] >> bits - length << bits - length) in kept for length in lengths if length < key[0])
    ]


def _complete(text: str) -> str:
    host, slash, mask = text.partition("/")
    return ".".join([*host.split("."), "0", "0", "0"][:4]) + slash + mask


def _one_address(rule: Rule, option: Option) -> Both:
    """An option that takes one address, range or ``address:port``; or, in a list, one for each family."""
    entries = []
    for text in option.values[0].split(","):
        try:
            entries.append(_place(text))
        except ValueError as error:
            raise SaltInvocationError(f"{option}: {error}") from None
    by_family = {family: [text for its, text in entries if its in (family, None)] for family in FAMILIES}
    for family, texts in by_family.items():
        if len(texts) > 1:
            raise SaltInvocationError(f"{option}: takes one {NAMES[family]} address; found {' and '.join(texts)}")
    return _each_its_own(rule, option, by_family, entries)


def _place(text: str) -> tuple[str | None, str]:
    """The family in what a NAT target or a range has: ``a``, ``a-b``, ``a:port``, ``[a-b]:port``, ``:port``."""
    if text.startswith("["):
        addresses = text[1:].partition("]")[0]
    elif text.count(":") > 1:
        addresses = text
    elif V4_START.match(text):
        addresses = text.partition(":")[0]
    else:
        return None, text
    families = {_literal(each)[0] for each in addresses.split("-")}
    if len(families) > 1:
        raise ValueError(f"`{text}` begins in one family and ends in the other")
    return families.pop(), text


def _recent_mask(rule: Rule, option: Option) -> Both:
    if option.values[0].lower() in FULL_MASK.values() and not rule.family:
        return _with_value(option, FULL_MASK["ipv4"]), _with_value(option, FULL_MASK["ipv6"])
    return _one_address(rule, option)


def _mask_length(rule: Rule, option: Option) -> Both:
    """A length that is counted from the start of an address; ``24|64`` is one for each family."""
    value = option.values[0]
    if "|" in value:
        v4, _, v6 = value.partition("|")
        return _with_value(option, v4), _with_value(option, v6)
    if value in ("32", "128") and not rule.family:
        return _with_value(option, "32"), _with_value(option, "128")
    if value.isdecimal() and int(value) and not rule.family:
        if int(value) > 32:
            rule.deny("ipv4", option, "an IPv4 address has 32 bits")
        else:
            rule.ask(
                "ipv6", option, f"means something else in IPv6; write `{value}|64`, one for each, or say `family:`"
            )
        return option.words, option.words
    return (option.words, option.words) if value.isdecimal() else _one_address(rule, option)


def _hash_prefix(rule: Rule, option: Option) -> Both:
    """A mask length as above; but to share a load otherwise is not to open or shut anything."""
    if option.values[0].isdecimal() and 0 < int(option.values[0]) < 32:
        return option.words, option.words
    return _mask_length(rule, option)


def _set(rule: Rule, option: Option) -> Both:
    family = {"inet": "ipv4", "inet6": "ipv6"}.get(rule.sets.get(option.values[0], ""))
    if family:
        rule.deny(_other(family), option, f"the set holds {NAMES[family]} addresses")
    return option.words, option.words


# --- protocols and ICMP -----------------------------------------------------------------------------------------------

ICMP = ("icmp", "1")
ICMPV6 = ("icmpv6", "ipv6-icmp", "58")
HEADERS = {"ipv6-frag": "frag", "44": "frag", "ipv6-route": "rt", "43": "rt", "ipv6-opts": "dst", "60": "dst"}
V4_PROTOCOLS = ("ipv6", "41", "igmp", "2")
V6_PROTOCOLS = (*ICMPV6, *HEADERS, "ipv6-nonxt", "59", "ipv6-mh", "mh", "mobility-header", "135")
REFUSED_PROTOCOLS = {
    "hopopt": "the commands take it as *any*; use `-m hbh`, or `-p all` if that is meant",
    "icmp6": "is the name of the match; the protocol is `icmpv6`",
    "icmp-6": "is no protocol; expected `icmpv6`",
    "any": "is no protocol; expected `all`",
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


def _protocol(rule: Rule, option: Option) -> Both:
    name = _protocol_name(rule, option)
    if name in REFUSED_PROTOCOLS:
        raise SaltInvocationError(f"{option}: {REFUSED_PROTOCOLS[name]}")
    if name in ICMP:
        return option.words, _with_value(option, "ipv6-icmp")
    if name in ("ah", "51"):
        return option.words, _as_header(rule, option, "ah")
    if name in V4_PROTOCOLS and not rule.family:
        rule.deny("ipv6", option, "is for IPv4 only; say `family: ipv6` if IPv6 is meant")
    if name in V6_PROTOCOLS and not rule.family:
        rule.deny("ipv4", option, "is a protocol of IPv6")
    return option.words, _as_header(rule, option, HEADERS[name]) if name in HEADERS else option.words


def _protocol_name(rule: Rule, option: Option) -> str:
    """As it is in the tables: the commands also read hexadecimal and octal numbers. By hand, these are left alone."""
    name = option.values[0].lower()
    if rule.family or not OTHER_BASE.fullmatch(name):
        return name
    return str(int(name, 16 if "x" in name else 8))


def _as_header(rule: Rule, option: Option, match: str) -> list[str]:
    """For IPv6 this is an extension header, which ``-p`` never matches."""
    if option.negated:
        rule.ask(
            "ipv6",
            option,
            f"IPv6 can not say this: it is a header there, matched with `-m {match}`; say `family: ipv4`",
        )
    return [] if rule.has("-m", match) else ["-m", match]


def _conntrack_protocol(rule: Rule, option: Option) -> Both:
    name = _protocol_name(rule, option)
    if name in ICMPV6 and not rule.family:
        rule.deny("ipv4", option, "is a protocol of IPv6")
    return option.words, _with_value(option, "58") if name in ICMP else option.words


def _match_ah(rule: Rule, option: Option) -> Both:
    return option.words if rule.value("-p") else ["-p", "ah", *option.words], option.words


def _icmp_type_of(text: str) -> str:
    """``3/1`` of host-unreachable, in whatever way that is written."""
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
        raise ValueError("is no ICMP type" + (f"; did you mean {near[0]}?" if near else "")) from None
    if len(numbers) > 2 or not all(0 <= number <= 255 for number in numbers):
        raise ValueError("is no ICMP type; expected a number up to 255, or type/code")
    return "/".join(map(str, numbers))


def _icmp_type(rule: Rule, option: Option) -> Both:
    protocol = next((each for each in rule.options if each.name == "-p"), None)
    if not protocol or protocol.negated or protocol.values[0].lower() not in ICMP:
        is_v6 = protocol and protocol.values[0].lower() in ICMPV6
        raise SaltInvocationError(f"{option}: " + ("use `--icmpv6-type`" if is_v6 else "needs `-p icmp`"))
    if option.negated:
        rule.ask(
            "ipv6", option, "would hit neighbour discovery in IPv6; say `family: ipv4`, or `! --icmpv6-type` for IPv6"
        )
        return option.words, option.words
    text = option.values[0]
    if ":" in text:  # a range of codes
        rule.ask("ipv6", option, "IPv6 has other codes; say `family: ipv4`")
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


def _match_icmp(rule: Rule, option: Option) -> Both:
    kind = rule.value("--icmp-type")
    if kind is None:
        raise SaltInvocationError(f"{option}: needs `--icmp-type`; without `-m icmp` the rule is for every type")
    return option.words, [] if kind.lower() in ("any", "255") else ["-m", "icmp6"]


# --- targets and matches that differ ----------------------------------------------------------------------------------

REJECT_TYPES = (  # IPv4's name, IPv6's name, other words for them
    ("icmp-net-unreachable", "icmp6-no-route", "net-unreach", "net-unreachable", "no-route"),
    ("icmp-host-unreachable", "icmp6-addr-unreachable", "host-unreach", "host-unreachable", "addr-unreach"),
    ("icmp-proto-unreachable", "", "proto-unreach", "proto-unreachable"),
    ("icmp-port-unreachable", "icmp6-port-unreachable", "port-unreach", "port-unreachable"),
    ("icmp-admin-prohibited", "icmp6-adm-prohibited", "admin-prohib", "admin-prohibited", "adm-prohibited"),
    ("icmp-net-prohibited", "icmp6-adm-prohibited", "net-prohib", "net-prohibited"),
    ("icmp-host-prohibited", "icmp6-adm-prohibited", "host-prohib", "host-prohibited"),
    ("tcp-reset", "tcp-reset", "tcp-rst"),
    ("", "icmp6-policy-fail", "policy-fail"),
    ("", "icmp6-reject-route", "reject-route"),
)
REJECT: dict[str, tuple[str, str]] = {}
for _v4_name, _v6_name, *_aliases in REJECT_TYPES:
    for _alias in (_v4_name, _v6_name, *_aliases):
        REJECT.setdefault(_alias, (_v4_name, _v6_name))


def _reject_with(rule: Rule, option: Option) -> Both:
    word = option.values[0].lower()
    found = REJECT.get(word) or next((REJECT[name] for name in REJECT if name.startswith(word)), None)
    if not found:
        raise SaltInvocationError(f"{option}: expected one of {', '.join(name for name, *_ in REJECT_TYPES if name)}")
    if found[0] == "tcp-reset" and not any(
        each.name == "-p" and each.values[0].lower() in ("tcp", "6") and not each.negated for each in rule.options
    ):
        raise SaltInvocationError(f"{option}: needs `-p tcp`")
    if not found[0]:
        rule.deny("ipv4", option, "IPv4 has no such answer")
    if not found[1]:
        rule.ask("ipv6", option, "IPv6 has no such answer; use icmp-port-unreachable, or say `family: ipv4`")
    return _with_value(option, found[0]), _with_value(option, found[1])


def _only(family: str) -> Say:
    def say(rule: Rule, option: Option) -> Both:
        rule.deny(_other(family), option, f"exists in {NAMES[family]} only")
        return option.words, option.words

    return say


def _renamed(v6: str) -> Say:
    def say(_rule: Rule, option: Option) -> Both:
        if option.name in ("-m", "-j"):
            return option.words, _with_value(option, v6)
        return option.words, option._replace(name=v6).words

    return say


def _bytes_of_the_header(rule: Rule, option: Option) -> Both:
    if not rule.family:
        rule.warnings.append(
            f"{option}: counts bytes of the header, which differ; say `family:` if it is for one family"
        )
    return option.words, option.words


def _fragment(rule: Rule, option: Option) -> Both:
    rule.ask("ipv6", option, "IPv6 has no twin of it; say `family: ipv4`, and use `-m frag` for IPv6")
    return option.words, option.words


def _address_type(rule: Rule, option: Option) -> Both:
    if "BROADCAST" in option.values[0].upper().split(","):
        rule.deny("ipv6", option, "IPv6 has no broadcast")
    return option.words, option.words


_v4_only, _v6_only = _only("ipv4"), _only("ipv6")
MATCHES: dict[str, Say] = {
    **dict.fromkeys(("realm", "osf", "ipv4options"), _v4_only),
    **dict.fromkeys(
        ("icmp6", "icmpv6", "hl", "frag", "hbh", "dst", "rt", "ipv6header", "mh", "srh", "eui64"), _v6_only
    ),
    **dict.fromkeys(("u32", "bpf"), _bytes_of_the_header),
    "icmp": _match_icmp,
    "ttl": _renamed("hl"),
    "ah": _match_ah,
}
TARGETS: dict[str, Say] = {
    **dict.fromkeys(("ECN", "CLUSTERIP", "ULOG"), _v4_only),
    **dict.fromkeys(("HL", "DNPT", "SNPT"), _v6_only),
    "TTL": _renamed("HL"),
}


# --- options ----------------------------------------------------------------------------------------------------------


# The options of those matches and targets of which some differ: all of them, so that abbreviations are told apart.
OPTIONS: tuple[tuple[str, Say | None, str], ...] = (
    ("icmp", _icmp_type, "icmp-type"),
    ("icmp6", _v6_only, "icmpv6-type"),
    ("ttl", _renamed("--hl-eq"), "ttl ttl-eq"),
    ("ttl", _renamed("--hl-lt"), "ttl-lt"),
    ("ttl", _renamed("--hl-gt"), "ttl-gt"),
    ("iprange", _one_address, "src-range dst-range"),
    ("conntrack", _one_address, "ctorigsrc ctorigdst ctreplsrc ctrepldst"),
    ("conntrack", _conntrack_protocol, "ctproto"),
    ("conntrack", None, "ctstate ctstatus ctexpire ctdir ctorigsrcport ctorigdstport ctreplsrcport ctrepldstport"),
    ("connlimit", _mask_length, "connlimit-mask"),
    ("connlimit", None, "connlimit-above connlimit-upto connlimit-saddr connlimit-daddr"),
    ("hashlimit", _mask_length, "hashlimit-srcmask hashlimit-dstmask"),
    ("hashlimit", None, "hashlimit-above hashlimit-upto hashlimit-burst hashlimit-mode hashlimit-name"),
    ("hashlimit", None, "hashlimit-htable-size hashlimit-htable-max hashlimit-htable-expire"),
    ("hashlimit", None, "hashlimit-htable-gcinterval hashlimit-rate-match hashlimit-rate-interval"),
    ("recent", _recent_mask, "mask"),
    ("recent", None, "set rcheck update remove seconds reap hitcount rttl name rsource rdest"),
    ("policy", _one_address, "tunnel-src tunnel-dst"),
    ("policy", None, "dir pol strict reqid spi proto mode next"),
    ("ipvs", _one_address, "vaddr"),
    ("ipvs", _conntrack_protocol, "vproto"),
    ("ipvs", None, "ipvs vport vdir vmethod vportctl"),
    ("set", _set, "match-set set"),
    ("set", None, "return-nomatch update-counters update-subcounters"),
    ("set", None, "packets-eq packets-lt packets-gt bytes-eq bytes-lt bytes-gt"),
    ("addrtype", _address_type, "src-type dst-type"),
    ("addrtype", None, "limit-iface-in limit-iface-out"),
    ("string", None, "from to algo string hex-string icase"),
    ("comment", None, "comment"),
    ("DNAT", _one_address, "to-destination"),
    ("DNAT", None, "random persistent"),
    ("SNAT", _one_address, "to-source"),
    ("SNAT", None, "random random-fully persistent"),
    ("NETMAP", _one_address, "to"),
    ("TTL", _renamed("--hl-set"), "ttl-set"),
    ("TTL", _renamed("--hl-inc"), "ttl-inc"),
    ("TTL", _renamed("--hl-dec"), "ttl-dec"),
    ("TEE", _one_address, "gateway"),
    ("TEE", None, "oif"),
    ("TPROXY", _one_address, "on-ip"),
    ("TPROXY", None, "on-port tproxy-mark"),
    ("HMARK", _hash_prefix, "hmark-src-prefix hmark-dst-prefix"),
    ("HMARK", None, "hmark-mod hmark-rnd hmark-offset hmark-tuple hmark-sport hmark-dport hmark-spi"),
    ("HMARK", None, "hmark-sport-mask hmark-dport-mask hmark-spi-mask hmark-proto-mask"),
    ("SET", _set, "add-set del-set map-set"),
    ("SET", None, "exist timeout map-mark map-prio map-queue"),
    ("REJECT", _reject_with, "reject-with"),
    ("LOG", None, "log-level log-prefix log-tcp-sequence log-tcp-options log-ip-options log-uid log-macdecode"),
    ("NFLOG", None, "nflog-group nflog-prefix nflog-range nflog-size nflog-threshold"),
)
MODULES: dict[str, dict[str, Say | None]] = {}
for _module, _say, _names in OPTIONS:
    MODULES.setdefault(_module, {}).update((f"--{_name}", _say) for _name in _names.split())
MODULES["icmpv6"] = MODULES["icmp6"]
LOADED_BY_PROTOCOL = {**dict.fromkeys(ICMP, "icmp"), **dict.fromkeys(ICMPV6, "icmp6")}

# Names that several extensions have are known only where theirs is loaded, all others everywhere.
SHARED = ("--to", "--mask", "--set", "--ttl", "--gateway")
EVERYWHERE = {name: say for names in MODULES.values() for name, say in names.items() if say and name not in SHARED}

FREE_TEXT = {"--comment": 255, "--log-prefix": 29, "--nflog-prefix": 63, "--ulog-prefix": 32, "--string": 128}
FREE_TEXT |= {"--hex-string": 0, "--label": 0}  # what the kernel keeps of it, in bytes; 0: not looked at

BASE = {
    **dict.fromkeys(("-s", "--source", "--src"), "-s"),
    **dict.fromkeys(("-d", "--destination", "--dst"), "-d"),
    **dict.fromkeys(("-p", "--protocol"), "-p"),
    **dict.fromkeys(("-i", "--in-interface"), "-i"),
    **dict.fromkeys(("-o", "--out-interface"), "-o"),
    **dict.fromkeys(("-j", "--jump"), "-j"),
    **dict.fromkeys(("-g", "--goto"), "-g"),
    **dict.fromkeys(("-m", "--match"), "-m"),
    **dict.fromkeys(("-f", "--fragment", "--fragments"), "-f"),
    **dict.fromkeys(("-t", "--table"), "-t"),
    **dict.fromkeys(("-A", "--append"), "-A"),
    **dict.fromkeys(("-4", "--ipv4"), "-4"),
    **dict.fromkeys(("-6", "--ipv6"), "-6"),
    **dict.fromkeys(("-w", "--wait", "-W", "--wait-interval"), "-w"),
    **dict.fromkeys(("-c", "--set-counters"), "-c"),
    **dict.fromkeys(("-v", "--verbose"), "-v"),
}
ABBREVIATED = tuple(
    "--source --destination --protocol --in-interface --out-interface --jump --goto --match --table --append "
    "--fragments".split()
)
WITH_VALUE = frozenset(("-s", "-d", "-p", "-i", "-o", "-j", "-g", "-m", "-t", "-A"))
LISTS = ("-s", "-d")
ONCE = frozenset(("-s", "-d", "-p", "-i", "-o", "-j", "-g", "-f"))
ORDER = "the order of the rules is that of the list"
COMMANDS = {
    **dict.fromkeys(("-I", "--insert", "-R", "--replace", "-D", "--delete", "-C", "--check"), ORDER),
    **dict.fromkeys(("-P", "--policy"), "a chain's policy is its key `policy`"),
    **dict.fromkeys(("-N", "--new-chain", "-X", "--delete-chain"), "a chain is there if it is a key of its table"),
    **dict.fromkeys(("-E", "--rename-chain"), "a chain is there if it is a key of its table"),
    **dict.fromkeys(("-F", "--flush", "-Z", "--zero"), "a chain holds the rules of its list and no others"),
    **dict.fromkeys(("-L", "--list", "-S", "--list-rules", "-n", "--numeric", "-x", "--exact"), "it is for listing"),
    **dict.fromkeys(("-h", "--help", "-V", "--version", "-M", "--modprobe"), "it is not part of a rule"),
}
COMMAND_NAME = re.compile(r"(?:.*/)?(ip6?tables)(?:-legacy|-nft)?(?:-restore)?")
COUNTERS = re.compile(r"\[\d+:\d+\]")
VARIABLE = re.compile(r"\$[\w{(@*#?!$-]|`")


def _read(words: list[str], rule: Rule, chain: str | None = None, table: str | None = None) -> Rule:
    """The options of a rule, each under its one name."""
    reach: dict[str, Say | None] = {}  # the long options of what is loaded
    seen: set[str] = set()
    negated = False
    position, end = _leading(words, rule), len(words)
    while position < end:
        word = words[position]
        position += 1
        if word == "!":
            if negated:
                raise SaltInvocationError("`! !`: negated twice")
            negated = True
            continue
        if word[:1] != "-" or word == "-":
            raise _stray(word, rule.options)
        name, attached = BASE.get(word), None
        if name is None:
            name, attached = _option_name(word, reach)
        values = [] if attached is None else [attached]
        if not negated and not values and _is_old_negation(words, position, name):
            negated, position = True, position + 1
        if name in WITH_VALUE or name in FREE_TEXT:
            if not values:
                values = words[position : position + 1]
                position += 1
            if not values or (name in WITH_VALUE and (values[0][:1] == "-" or not values[0])):
                raise SaltInvocationError(f"`{word}`: needs a value")
        elif name not in BASE:
            while _is_value(words, position):
                values.append(words[position])
                position += 1
        option = Option(name, negated, values, None)
        negated = False
        if name in SKIPPED:
            position = _skip(rule, option, words, position, chain, table)
            continue
        if name in ONCE and name in seen:
            raise SaltInvocationError(f"`{name}`: given twice" + ("; write one list" if name in LISTS else ""))
        seen.add(name)
        if say := _say_of(rule, option, reach):
            rule.special = True
            option = option._replace(say=say)
        rule.options.append(option)
    if negated:
        raise SaltInvocationError("`!`: nothing follows that could be negated")
    return rule


def _say_of(rule: Rule, option: Option, reach: dict[str, Say | None]) -> Say | None:
    """What an option means in each family, if that differs; and what it brings into reach."""
    name, values = option.name, option.values
    if name == "-p":
        protocol = _protocol_name(rule, option)
        if protocol in PROTOCOLS:
            reach.update(MODULES.get(LOADED_BY_PROTOCOL.get(protocol, ""), {}))
            return _protocol
        if "," in protocol:
            raise SaltInvocationError(f"{option}: a rule has one protocol; write one rule for each")
        return None
    if name == "-m":
        if option.negated:
            raise SaltInvocationError(f"{option}: negate one of its options instead")
        reach.update(MODULES.get(values[0], {}))
        return MATCHES.get(values[0])
    if name == "-j":
        reach.update(MODULES.get(values[0], {}))
        return TARGETS.get(values[0])
    if name in BASE:
        return _addresses if name in LISTS else _fragment if name == "-f" else None
    say = reach[name] if name in reach else EVERYWHERE.get(name)
    if say and not values:
        raise SaltInvocationError(f"`{name}`: needs a value")
    if name in ("--to-destination", "--to-source"):
        _merge_with_earlier(rule.options, name, values)
    return say


def _is_old_negation(words: list[str], position: int, name: str) -> bool:
    """``--dport ! 22``, as it was written before iptables 1.4.3."""
    return position < len(words) and words[position] == "!" and name not in FREE_TEXT and _is_value(words, position + 1)


SKIPPED = frozenset(("-t", "-A", "-4", "-6", "-w", "-c", "-v"))


def _is_value(words: list[str], position: int) -> bool:
    """Whether there is a word that is not itself an option."""
    if position >= len(words):
        return False
    word = words[position]
    return word != "!" and (word[:1] != "-" or len(word) == 1)


def _leading(words: list[str], rule: Rule) -> int:
    """How many words come before the rule: the command's name, counters."""
    position = 0
    if words and (command := COMMAND_NAME.fullmatch(words[0])):
        position = 1
        if command[1] == "ip6tables":
            _by_hand(rule, "ipv6", words[0])
    if words[position : position + 1] and COUNTERS.fullmatch(words[position]):
        position += 1
    return position


def _by_hand(rule: Rule, family: str, word: str) -> None:
    if rule.family not in (None, family):
        raise SaltInvocationError(f"`{word}`: contradicts `family: {rule.family}`")
    rule.family = family


def _option_name(word: str, reach: Mapping[str, Say | None]) -> tuple[str, str | None]:
    """The one name of an option that is not written in full, and what is attached to it."""
    if word[1] != "-":
        if word in COMMANDS or word[:2] in COMMANDS:
            raise SaltInvocationError(f"`{word}`: {COMMANDS[word[:2]]}")
        return (word[:2], word[2:]) if word[:2] in BASE else (word, None)
    name, equals, value = word.partition("=")
    attached = value if equals else None
    if name in reach or name in EVERYWHERE:
        return name, attached
    if name in BASE:
        return BASE[name], attached
    if name in COMMANDS:
        raise SaltInvocationError(f"`{name}`: {COMMANDS[name]}")
    matching = [full for full in (*reach, *ABBREVIATED) if full.startswith(name)]
    if len(matching) == 1:
        return BASE.get(matching[0], matching[0]), attached
    return name, attached


def _stray(word: str, options: list[Option]) -> SaltInvocationError:
    if VARIABLE.search(word):
        return SaltInvocationError(f"`{word}`: shell variables are not expanded")
    after = f" after {options[-1]}" if options else ""
    return SaltInvocationError(f"`{word}`: found{after}; expected an option (a list has commas and no blanks)")


def _skip(rule: Rule, option: Option, words: list[str], position: int, chain: str | None, table: str | None) -> int:
    """What is written with a rule and not part of it. Returns where the rule goes on."""
    name = option.name
    if name in ("-4", "-6"):
        _by_hand(rule, f"ipv{name[1]}", name)
    for ours, key, kind in (("-A", chain, "chain"), ("-t", table, "table")):
        if name == ours and key and option.values[0] != key:
            raise SaltInvocationError(f"{option}: the rule stands in the {kind} {key}")
    if name == "-w" and not option.values and _is_value(words, position) and words[position].isdecimal():
        return position + 1
    if name == "-c":
        return position + 2 - len(option.values)
    return position


def _merge_with_earlier(options: list[Option], name: str, values: list[str]) -> None:
    """Two ``--to-destination``, one for each family, are a list of both."""
    for earlier in options:
        if earlier.name == name and earlier.values and values:
            options.remove(earlier)
            values[0] = f"{earlier.values[0]},{values[0]}"
            return


# --- mappings ---------------------------------------------------------------------------------------------------------

IGNORED = frozenset("state name save chain table family rule fun order".split())  # as Salt does, or read elsewhere
FIRST = {"if": "-i", "of": "-o"}
AFTER_JUMP = tuple("""
    add-set and-mark and-tos checksum-fill clamp-mss-to-pmtu clustermac ctevents ctmask del-set ecn-tcp-remove exist
    expevents gateway hash-init hashmode helper label local-node log-ip-options log-level log-prefix log-tcp-options
    log-tcp-sequence log-uid map-set mask mss new nfmask nflog-group nflog-prefix nflog-range nflog-threshold nodst
    notrack on-ip on-port or-mark or-tos persistent queue-balance queue-bypass queue-num random random-fully
    rateest-ewmalog rateest-interval rateest-name reject-with restore restore-mark sack-perm save-mark selctx set-class
    set-dscp set-dscp-class set-mark set-mss set-tos set-xmark strip-options timeout timestamp to to-destination
    to-ports to-source total-nodes tproxy-mark ttl-dec ttl-inc ttl-set type ulog-cprange ulog-nlgroup ulog-prefix
    ulog-qthreshold wscale xor-mark xor-tos zone zone-orig zone-reply dst-pfx hl-dec hl-inc hl-set hmark-dport-mask
    hmark-dst-prefix hmark-mod hmark-offset hmark-proto-mask hmark-rnd hmark-spi-mask hmark-sport-mask hmark-src-prefix
    hmark-tuple led-always-blink led-delay led-trigger-id queue-cpu-fanout src-pfx to-port addr and-mask delude honeypot
    or-mask prefix reset reuse set-mac shift static tarpit tname ttl log-macdecode nflog-size
    """.split())  # in the order in which Salt's own build_rule writes them
CONNECTION_STATE = re.compile("NEW|ESTABLISHED|RELATED|INVALID|UNTRACKED")
NEGATION = re.compile(r"!\s*|not\s+")
# Keys that say nothing without a value, and would widen the rule if they were left out.
VALUED = frozenset("""
    proto protocol p source src s destination dst d dport sport dports sports if of in-interface out-interface i o
    jump target j goto g match connstate ctstate comment match-set
    """.split())


def _mapping_words(given: Mapping[str, Any]) -> list[str]:
    """The words of a mapping, in the order of Salt's own ``iptables.build_rule``."""
    for key, value in given.items():
        _refuse_value(key, value)
    keys = {key: value for key, value in given.items() if value is not False and (key, value) != ("comment", None)}
    for key in keys:
        if not isinstance(key, str):
            raise SaltInvocationError(f"`{key!r}`: a key is a word")
        if key in ("position", "command", "full"):
            raise SaltInvocationError(f"`{key}`: {ORDER}")
    if CONNECTION_STATE.search(str(keys.get("state", ""))):
        raise SaltInvocationError(f"`state: {keys['state']}`: Salt leaves this key out; expected `connstate`")
    if not isinstance(keys.get("rule", ""), str):
        raise SaltInvocationError(f"`rule: {keys['rule']!r}`: expected words")
    words = split_words(keys.get("rule", ""))
    for key, option in (("table", "-t"), ("chain", "-A")):
        words += [option, str(keys[key])] if keys.get(key) else []
    for key in [key for key in keys if key in IGNORED or key.startswith("__")]:
        del keys[key]

    jumps = [keys.pop(key) for key in ("target", "jump", "j") if key in keys]
    matches = _list(keys.pop("match", []))
    if not all(matches):
        raise SaltInvocationError("`match`: an empty name")
    loaded = [match.split()[0] for match in matches]
    protocol = keys.pop("proto") if "proto" in keys and loaded != ["policy"] else keys.pop("protocol", None)

    for key, option in FIRST.items():
        if key in keys:
            words += _option_words(option, keys.pop(key))
    if protocol is not None:
        words += _option_words("-p", protocol)
    for match in matches:
        words += ["-m", *split_words(match)]
        if "name_" in keys and match in ("pknock", "quota2", "recent"):
            words += _option_words("--name", keys.pop("name_"))
    if "proto" in keys:
        words += _option_words("--proto", keys.pop("proto"))
    sets = keys.pop("match-set", [])
    for each in [sets] if isinstance(sets, str) else sets:
        words += ["-m", "set", *_option_words("--match-set", each)]
    for key, option, match in IMPLIED:
        if key in keys:
            if match == "multiport" and protocol is None and "-p" not in words:
                raise SaltInvocationError(f"`{key}`: needs `proto`")
            if match and match not in loaded:
                words += ["-m", match]
                loaded.append(match)
            words += _option_words(option, keys.pop(key))
    if keys.get("set"):
        words += _option_words("--match-set", keys.pop("set"))
    after = [(f"--{key}", keys.pop(key)) for key in AFTER_JUMP if key in keys]
    for key, value in keys.items():
        words += _option_words("--name" if key == "name_" else f"-{key}" if len(key) == 1 else f"--{key}", value)
    for value in jumps:
        words += _option_words("-j", value)
    for option, value in after:
        words += [option, *_value_words(option, value)]
    return words


def _refuse_value(key: Any, value: Any) -> None:
    if key in VALUED and isinstance(value, (bool, float)) and (key != "comment" or isinstance(value, bool)):
        raise SaltInvocationError(f"`{key}: {value}`: expected text or a whole number")
    if key == "comment" and isinstance(value, (list, tuple)):
        raise SaltInvocationError(f"`{key}: {value!r}`: expected text")
    for each in value if isinstance(value, (list, tuple)) else ():
        if isinstance(each, bool) or not isinstance(each, (str, int)):
            raise SaltInvocationError(f"`{key}`: expected text or a whole number in the list, found {each!r}")


IMPLIED = (
    ("connstate", "--state", "state"),
    ("dport", "--dport", ""),
    ("sport", "--sport", ""),
    ("dports", "--dports", "multiport"),
    ("sports", "--sports", "multiport"),
    ("comment", "--comment", "comment"),
)


PORT = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9.+_-]*")
ONE_PORT = frozenset(("--dport", "--sport", "--destination-port", "--source-port"))
PORTS = ONE_PORT | {"--dports", "--sports", "--ports", "--destination-ports", "--source-ports"}


def _refuse_ports(option: Option) -> None:
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


def _list(value: Any) -> list[str]:
    if not value:
        return []
    return [str(each).strip() for each in (value if isinstance(value, (list, tuple)) else str(value).split(","))]


def _option_words(option: str, value: Any) -> list[str]:
    """An option and its value; a leading ``!`` or ``not`` in the value negates it, as with Salt's own states."""
    if option == "--comment":
        return [option, str(value)]
    if isinstance(value, (list, tuple)):
        items = [str(each) for each in value]
        negated = [NEGATION.match(item) for item in items]
        if any(negated) and not all(negated):
            raise SaltInvocationError(
                f"`{option[2:] or option}: {', '.join(items)}`: negate all of the list, or nothing"
            )
        if any(negated):
            return ["!", option, *_value_words(option, [NEGATION.sub("", item, count=1) for item in items])]
    elif isinstance(value, str) and (negation := NEGATION.match(value)):
        return ["!", option, *_value_words(option, value[negation.end() :])]
    return [option, *_value_words(option, value)]


def _value_words(option: str, value: Any) -> list[str]:
    if value is None or value is True:
        return []
    if isinstance(value, (list, tuple)):
        if not value or not all(str(each).strip() for each in value):
            raise SaltInvocationError(f"`{option}`: an empty list; it never means *any*")
        return [",".join(str(each).strip() for each in value)]
    if option in FREE_TEXT:
        text = str(value)
        return [text[1:-1] if len(text) > 1 and text[0] == text[-1] in "\"'" else text]
    return split_words(re.sub(r",\s+", ",", str(value)))


# --- the translation --------------------------------------------------------------------------------------------------


LONGEST_WORD = 1000  # iptables-restore has room for 1023 bytes


def translate(
    rule: str | Mapping[str, Any],
    chain: str | None = None,
    table: str | None = None,
    sets: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """
    Translate one rule into the words for each family. The module's own text says how, where there is a choice.

    rule
        Words as in a script (``-p tcp --dport 25 -j ACCEPT``), or a mapping with the keys of Salt's iptables state and
        ``family`` and ``rule``.

    chain
        The chain that the rule stands in: ``-A`` of another one is an error.

    table
        The table that the rule stands in: ``-t`` of another one is an error.

    sets
        What the sets that rules may refer to hold: ``{name: "inet", "inet6" or "both"}``. A set that is not named here
        is taken to serve both families.

    Returns ``{"ipv4": [text], "ipv6": [text], "reasons": {family: why it gets none}, "warnings": [text]}``; the texts
    are in the syntax of ``iptables-restore``, without ``-A CHAIN``.
    Raises ``SaltInvocationError`` if the rule can not be understood, is for no family, or could mean two things.

    CLI Example:

    .. code-block:: bash

        salt-call dualstack_rules.translate rule='-p icmp --icmp-type echo-request -j ACCEPT'
    """
    if isinstance(rule, str):
        read = Rule(sets or {})
        _read(split_words(rule), read, chain, table)
        if not rule.strip():
            raise SaltInvocationError("the rule is empty")
        readings = (read, read)
    elif isinstance(rule, Mapping):
        readings = _read_mapping(rule, sets or {}, chain, table)
    else:
        raise SaltInvocationError(f"`{rule!r}`: a rule is words or a mapping")
    _check_texts(readings)
    if readings[0] is readings[1] and not readings[0].special and not readings[0].family:
        text = join_words([word for option in readings[0].options for word in option.words])
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

    CLI Example:

    .. code-block:: bash

        salt-call dualstack_rules.translate_all rules='["-p icmp -j ACCEPT", "-p tcp --dport 25 -j ACCEPT"]'
    """
    translated = []
    for rule in rules:
        try:
            translated.append(translate(rule, chain, table, sets))
        except SaltInvocationError as error:
            translated.append({"error": str(error)})
    return translated


def _read_mapping(
    given: Mapping[str, Any], sets: Mapping[str, str], chain: str | None, table: str | None
) -> tuple[Rule, Rule]:
    family = "both" if given.get("family") is None else given["family"]
    if family not in (*FAMILIES, "both"):
        raise SaltInvocationError(f"`family: {family}`: expected ipv4, ipv6 or both")
    own = {key: value for key, value in given.items() if isinstance(value, Mapping)}
    for key, value in own.items():
        if not value or not set(value) <= set(FAMILIES):
            raise SaltInvocationError(f"`{key}`: a mapping has the keys ipv4 and ipv6")
    readings = []
    for each in FAMILIES if own else FAMILIES[:1]:
        mine = {key: value.get(each) if key in own else value for key, value in given.items()}
        missing = [key for key, value in own.items() if each not in value]
        read = Rule(sets, family=None if family == "both" else family)
        for key in missing:
            del mine[key]
            read.denied.setdefault(each, []).append(f"`{key}` has no value for {NAMES[each]}")
        readings.append(_read(_mapping_words(mine), read, chain, table))
        if not read.options and "rule" not in mine:
            raise SaltInvocationError("the rule is empty")
    return readings[0], readings[-1]


def _check_texts(readings: tuple[Rule, Rule]) -> None:
    """What the commands would take and then not keep: control characters, texts that are too long, variables."""
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
                if option.name in FREE_TEXT:
                    limit = FREE_TEXT[option.name]
                    if 0 < limit < len(value.encode()):
                        rule.warnings.append(
                            f"`{option.name}`: the kernel keeps {limit} of {len(value.encode())} bytes"
                        )
                elif ("$" in value or "`" in value) and VARIABLE.search(value):
                    raise SaltInvocationError(f"{option}: shell variables are not expanded")


def _judged(readings: tuple[Rule, Rule]) -> dict[str, Any]:
    """Each option says its words for both families; then it is clear which of them the rule is for."""
    result: dict[str, Any] = {"ipv4": [], "ipv6": [], "reasons": {}, "warnings": []}
    texts = {}
    for index, (family, rule) in enumerate(zip(FAMILIES, readings)):
        if index == 0 or rule is not readings[0]:
            said = [option.say(rule, option) if option.say else (option.words, option.words) for option in rule.options]
        texts[family] = _texts([words[index] for words in said])
    by_hand = readings[0].family
    for family, rule in zip(FAMILIES, readings):
        denied = list(dict.fromkeys(rule.denied.get(family, [])))
        if by_hand not in (None, family):
            result["reasons"][family] = f"the rule says `family: {by_hand}`"
        elif denied:
            result["reasons"][family] = "; ".join(denied)
        else:
            result[family] = texts[family]
    if not result["ipv4"] and not result["ipv6"]:
        why = "; ".join(f"{NAMES[family]}: {reason}" for family, reason in result["reasons"].items())
        raise SaltInvocationError(f"the rule is for no family. {why}")
    for family, rule in zip(FAMILIES, readings):
        if result[family]:
            if rule.undecided.get(family):
                raise SaltInvocationError("\n".join(dict.fromkeys(rule.undecided[family])))
            result["warnings"] += [text for text in rule.warnings if text not in result["warnings"]]
            continue
        for part in rule.lost.get(family, []):
            result["warnings"].append(f"`{part}` is left out for {NAMES[family]}: {result['reasons'][family]}")
        if by_hand is None and family in rule.only_negated:
            result["warnings"].append(f"the rule is for {NAMES[_other(family)]} only. {result['reasons'][family]}")
    return result


def _texts(said: list[list[str]]) -> list[str]:
    """The rule's text; or several, where a list of addresses is longer than ``iptables-restore`` reads."""
    if all(len(word) <= LONGEST_WORD for words in said for word in words):
        return [join_words([word for words in said for word in words])]
    parts = [_parts(words) if words[:1] in (["-s"], ["-d"]) else [words] for words in said]
    return [join_words(itertools.chain(*choice)) for choice in itertools.product(*parts)]


def _parts(words: list[str]) -> list[list[str]]:
    name, value = words
    parts = [""]
    for entry in value.split(","):
        if len(parts[-1]) + len(entry) > LONGEST_WORD:
            parts.append("")
        parts[-1] += f",{entry}" if parts[-1] else entry
    return [[name, part] for part in parts]
