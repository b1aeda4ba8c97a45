"""
What the addresses, networks and masks in a rule mean for each family.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

import _dualstack_families as families
import _dualstack_firewall_option as firewall_option
import _dualstack_firewall_sets as firewall_sets
from salt.exceptions import SaltInvocationError

V4_HOST = re.compile(r"[0-9.]+|0[xX][0-9a-fA-F.xX]*")
V4_START = re.compile(r"[0-9]+(\.[0-9]+)+(?![A-Za-z0-9_.])")
FULL_MASK = {"ipv4": "255.255.255.255", "ipv6": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}

LACKS_NETADDR = "the Python that runs Salt lacks netaddr, which a list of addresses needs: apply ipv6.deps"


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


def addresses(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """``-s`` and ``-d``: a list of addresses, networks and names."""
    value = option.values[0]
    if "!" in value:
        _refuse_exceptions(option)
    if "," not in value:
        entries = [_entry(rule, option, value)]
    else:
        entries = [_entry(rule, option, each) for each in value.split(",")]
    by_family: dict[str, list[str]] = {}
    for family in families.FAMILIES:
        mine = [text for its, text in entries if its in (family, None)]
        by_family[family] = _without_overlaps(mine, family) if len(mine) > 1 else mine
    return _each_its_own(rule, option, by_family, entries)


def _refuse_exceptions(option: firewall_option.Option) -> None:
    """``10.0.0.0/8,!10.1.0.0/16``: raises ``SaltInvocationError`` with what to write instead."""
    entries = option.values[0].split(",")
    but = ",".join(each.lstrip("! ") for each in entries if each.startswith("!"))
    others = ",".join(each for each in entries if not each.startswith("!"))
    if not others:
        raise SaltInvocationError(f"{option}: `!` belongs before the option; expected `! {option.name} {but}`")
    raise SaltInvocationError(
        f"{option}: a list has no exceptions; write two rules, first one with `{option.name} {but}` and what is to "
        f"become of those (such as `-j RETURN`), then this one with `{option.name} {others}`"
    )


def _entry(rule: firewall_option.Rule, option: firewall_option.Option, text: str) -> tuple[str | None, str]:
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
            rule.ask("ipv6", option, "a mask length means something else in IPv6; set `family:`")
    return family, text


def _each_its_own(
    rule: firewall_option.Rule,
    option: firewall_option.Option,
    by_family: dict[str, list[str]],
    entries: list[tuple[str | None, str]],
) -> firewall_option.Both:
    """A list of which each family takes its part, which may not be empty, nor have several entries if negated."""
    for family, texts in by_family.items():
        if not texts:
            rule.deny(family, option, f"names {families.NAMES[families.other(family)]} addresses only")
        elif option.negated and len(texts) > 1:
            rule.ask(family, option, "the commands cannot express a negated list; use a set or several rules")
        else:
            literals = [text for its, text in entries if its == family]
            if literals:
                rule.lost.setdefault(family, []).append(f"{option.name} {','.join(literals)}")
    return option.with_values(",".join(by_family["ipv4"])), option.with_values(",".join(by_family["ipv6"]))


def _without_overlaps(texts: list[str], family: str) -> list[str]:
    """The entries that are not inside of another, in their order. Names and masks with holes stay."""
    try:
        import netaddr  # imported here, since a run may install it first
    except ImportError:
        raise SaltInvocationError(LACKS_NETADDR) from None

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


def one_address(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """An option that takes one address, range or ``address:port``; or, in a list, one for each family."""
    entries = []
    for text in option.values[0].split(","):
        try:
            entries.append(_place(text))
        except ValueError as error:
            raise SaltInvocationError(f"{option}: {error}") from None
    if option.name in ("--to-destination", "--to-source") and _has_ports(rule):
        rule.warnings += [said for its, text in entries if its == "ipv6" and (said := _port_or_address(option, text))]
    by_family = {family: [text for its, text in entries if its in (family, None)] for family in families.FAMILIES}
    for family, texts in by_family.items():
        if len(texts) > 1:
            raise SaltInvocationError(
                f"{option}: takes one {families.NAMES[family]} address; found {' and '.join(texts)}"
            )
    return _each_its_own(rule, option, by_family, entries)


def _has_ports(rule: firewall_option.Rule) -> bool:
    protocol = (rule.value("-p") or "").lower()
    return protocol in ("tcp", "udp", "sctp", "dccp", "udplite", "6", "17", "132", "33", "136")


def _port_or_address(option: firewall_option.Option, text: str) -> str:
    """A warning about ``2001:db8::1:80``, which the commands read as an address; with brackets it is clear."""
    address, _, port = text.rpartition(":")
    if text.startswith("[") or not port.isdecimal() or not 0 < int(port) < 65536:
        return ""
    try:
        _v6(address.rpartition("-")[2])
    except ValueError:
        return ""
    return (
        f"`{option.name} {text}` is an address without a port; write `[{address}]:{port}` if {port} is the port, or "
        f"`[{text}]` if it is not"
    )


def _place(text: str) -> tuple[str | None, str]:
    """The family in what a NAT target or a range has: ``a``, ``a-b``, ``a:port``, ``[a-b]:port``, ``:port``."""
    if text.startswith("["):
        ends = text[1:].partition("]")[0]
    elif text.count(":") > 1:
        ends = text
    elif V4_START.match(text):
        ends = text.partition(":")[0]
    else:
        return None, text
    of_family = {_literal(each)[0] for each in ends.split("-")}
    if len(of_family) > 1:
        raise ValueError(f"`{text}` begins in one family and ends in the other")
    return of_family.pop(), text


def recent_mask(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """The mask of ``recent``, which is an address."""
    if option.values[0].lower() in FULL_MASK.values() and not rule.family:
        return option.with_values(FULL_MASK["ipv4"]), option.with_values(FULL_MASK["ipv6"])
    return one_address(rule, option)


def mask_length(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """A prefix length; ``24|64`` is one for each family."""
    value = option.values[0]
    if "|" in value:
        v4, _, v6 = value.partition("|")
        return option.with_values(v4), option.with_values(v6)
    if value in ("32", "128") and not rule.family:
        return option.with_values("32"), option.with_values("128")
    if value.isdecimal() and int(value) and not rule.family:
        if int(value) > 32:
            rule.deny("ipv4", option, "an IPv4 address has 32 bits")
        else:
            rule.ask(
                "ipv6", option, f"means something else in IPv6; write `{value}|64`, one for each, or set `family:`"
            )
        return option.words, option.words
    return (option.words, option.words) if value.isdecimal() else one_address(rule, option)


def hash_prefix(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """A mask length as above; but a different way to share load opens or closes nothing."""
    if option.values[0].isdecimal() and 0 < int(option.values[0]) < 32:
        return option.words, option.words
    return mask_length(rule, option)


def set_name(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """A set of ipset(8), which may hold addresses of one family only, and have a twin for the other."""
    holds = rule.sets.get(option.values[0], "")
    if holds.startswith(firewall_sets.TWIN_OF):
        return option.words, option.with_values(holds[len(firewall_sets.TWIN_OF) :], *option.values[1:])
    family = {"inet": "ipv4", "inet6": "ipv6"}.get(holds)
    if family:
        rule.deny(families.other(family), option, f"the set holds {families.NAMES[family]} addresses")
    return option.words, option.words
