"""
The matches and targets of iptables-extensions(8) that are not the same in both families, and their options.
"""

from __future__ import annotations

import _dualstack_families as families
import _dualstack_firewall_addresses as firewall_addresses
import _dualstack_firewall_option as firewall_option
import _dualstack_firewall_protocols as firewall_protocols
from salt.exceptions import SaltInvocationError

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


def _reject_with(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    word = option.values[0].lower()
    found = REJECT.get(word) or next((REJECT[name] for name in REJECT if name.startswith(word)), None)
    if not found:
        raise SaltInvocationError(f"{option}: expected one of {', '.join(name for name, *_ in REJECT_TYPES if name)}")
    if found[0] == "tcp-reset" and not any(
        each.name == "-p" and each.values[0].lower() in ("tcp", "6") and not each.negated for each in rule.options
    ):
        raise SaltInvocationError(f"{option}: needs `-p tcp`")
    if not found[0]:
        rule.deny("ipv4", option, "IPv4 has no equivalent")
    if not found[1]:
        rule.ask("ipv6", option, "IPv6 has no equivalent; use icmp-port-unreachable, or set `family: ipv4`")
    return option.with_values(found[0]), option.with_values(found[1])


def _only(family: str) -> firewall_option.Say:
    def say(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
        rule.deny(families.other(family), option, f"exists in {families.NAMES[family]} only")
        return option.words, option.words

    return say


def _renamed(v6: str) -> firewall_option.Say:
    def say(_rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
        if option.name in ("-m", "-j"):
            return option.words, option.with_values(v6)
        return option.words, option._replace(name=v6).words

    return say


def _bytes_of_the_header(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    if not rule.family:
        rule.warnings.append(
            f"{option}: counts bytes of the header, which differ; set `family:` if it is for one family"
        )
    return option.words, option.words


def fragment(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    """``-f``, which only IPv4 has. (Each of these takes the rule so far, and returns both families' words.)"""
    rule.ask("ipv6", option, "IPv6 has no equivalent; set `family: ipv4`, and use `-m frag` for IPv6")
    return option.words, option.words


def _address_type(rule: firewall_option.Rule, option: firewall_option.Option) -> firewall_option.Both:
    if "BROADCAST" in option.values[0].upper().split(","):
        rule.deny("ipv6", option, "IPv6 has no broadcast")
    return option.words, option.words


_v4_only, _v6_only = _only("ipv4"), _only("ipv6")
MATCHES: dict[str, firewall_option.Say] = {
    **dict.fromkeys(("realm", "osf", "ipv4options"), _v4_only),
    **dict.fromkeys(
        ("icmp6", "icmpv6", "hl", "frag", "hbh", "dst", "rt", "ipv6header", "mh", "srh", "eui64"), _v6_only
    ),
    **dict.fromkeys(("u32", "bpf"), _bytes_of_the_header),
    "icmp": firewall_protocols.match_icmp,
    "ttl": _renamed("hl"),
    "ah": firewall_protocols.match_ah,
}
TARGETS: dict[str, firewall_option.Say] = {
    **dict.fromkeys(("ECN", "CLUSTERIP", "ULOG"), _v4_only),
    **dict.fromkeys(("HL", "DNPT", "SNPT"), _v6_only),
    "TTL": _renamed("HL"),
}


# The options of those matches and targets of which some differ: all of them, so that abbreviations are told apart.
OPTIONS: tuple[tuple[str, firewall_option.Say | None, str], ...] = (
    ("icmp", firewall_protocols.icmp_type, "icmp-type"),
    ("icmp6", _v6_only, "icmpv6-type"),
    ("ttl", _renamed("--hl-eq"), "ttl ttl-eq"),
    ("ttl", _renamed("--hl-lt"), "ttl-lt"),
    ("ttl", _renamed("--hl-gt"), "ttl-gt"),
    ("iprange", firewall_addresses.one_address, "src-range dst-range"),
    ("conntrack", firewall_addresses.one_address, "ctorigsrc ctorigdst ctreplsrc ctrepldst"),
    ("conntrack", firewall_protocols.conntrack_protocol, "ctproto"),
    ("conntrack", None, "ctstate ctstatus ctexpire ctdir ctorigsrcport ctorigdstport ctreplsrcport ctrepldstport"),
    ("connlimit", firewall_addresses.mask_length, "connlimit-mask"),
    ("connlimit", None, "connlimit-above connlimit-upto connlimit-saddr connlimit-daddr"),
    ("hashlimit", firewall_addresses.mask_length, "hashlimit-srcmask hashlimit-dstmask"),
    ("hashlimit", None, "hashlimit-above hashlimit-upto hashlimit-burst hashlimit-mode hashlimit-name"),
    ("hashlimit", None, "hashlimit-htable-size hashlimit-htable-max hashlimit-htable-expire"),
    ("hashlimit", None, "hashlimit-htable-gcinterval hashlimit-rate-match hashlimit-rate-interval"),
    ("recent", firewall_addresses.recent_mask, "mask"),
    ("recent", None, "set rcheck update remove seconds reap hitcount rttl name rsource rdest"),
    ("policy", firewall_addresses.one_address, "tunnel-src tunnel-dst"),
    ("policy", None, "dir pol strict reqid spi proto mode next"),
    ("ipvs", firewall_addresses.one_address, "vaddr"),
    ("ipvs", firewall_protocols.conntrack_protocol, "vproto"),
    ("ipvs", None, "ipvs vport vdir vmethod vportctl"),
    ("set", firewall_addresses.set_name, "match-set set"),
    ("set", None, "return-nomatch update-counters update-subcounters"),
    ("set", None, "packets-eq packets-lt packets-gt bytes-eq bytes-lt bytes-gt"),
    ("addrtype", _address_type, "src-type dst-type"),
    ("addrtype", None, "limit-iface-in limit-iface-out"),
    ("string", None, "from to algo string hex-string icase"),
    ("comment", None, "comment"),
    ("DNAT", firewall_addresses.one_address, "to-destination"),
    ("DNAT", None, "random persistent"),
    ("SNAT", firewall_addresses.one_address, "to-source"),
    ("SNAT", None, "random random-fully persistent"),
    ("NETMAP", firewall_addresses.one_address, "to"),
    ("TTL", _renamed("--hl-set"), "ttl-set"),
    ("TTL", _renamed("--hl-inc"), "ttl-inc"),
    ("TTL", _renamed("--hl-dec"), "ttl-dec"),
    ("TEE", firewall_addresses.one_address, "gateway"),
    ("TEE", None, "oif"),
    ("TPROXY", firewall_addresses.one_address, "on-ip"),
    ("TPROXY", None, "on-port tproxy-mark"),
    ("HMARK", firewall_addresses.hash_prefix, "hmark-src-prefix hmark-dst-prefix"),
    ("HMARK", None, "hmark-mod hmark-rnd hmark-offset hmark-tuple hmark-sport hmark-dport hmark-spi"),
    ("HMARK", None, "hmark-sport-mask hmark-dport-mask hmark-spi-mask hmark-proto-mask"),
    ("SET", firewall_addresses.set_name, "add-set del-set map-set"),
    ("SET", None, "exist timeout map-mark map-prio map-queue"),
    ("REJECT", _reject_with, "reject-with"),
    ("LOG", None, "log-level log-prefix log-tcp-sequence log-tcp-options log-ip-options log-uid log-macdecode"),
    ("NFLOG", None, "nflog-group nflog-prefix nflog-range nflog-size nflog-threshold"),
)
MODULES: dict[str, dict[str, firewall_option.Say | None]] = {}
for _module, _say, _names in OPTIONS:
    MODULES.setdefault(_module, {}).update((f"--{_name}", _say) for _name in _names.split())
MODULES["icmpv6"] = MODULES["icmp6"]
LOADED_BY_PROTOCOL = {
    **dict.fromkeys(firewall_protocols.ICMP, "icmp"),
    **dict.fromkeys(firewall_protocols.ICMPV6, "icmp6"),
}

# A name that several extensions share is known only where its extension is loaded, all others everywhere.
SHARED = ("--to", "--mask", "--set", "--ttl", "--gateway")
EVERYWHERE = {name: say for names in MODULES.values() for name, say in names.items() if say and name not in SHARED}

FREE_TEXT = {"--comment": 255, "--log-prefix": 29, "--nflog-prefix": 63, "--ulog-prefix": 32, "--string": 128}
FREE_TEXT |= {"--hex-string": 0, "--label": 0}  # what the kernel keeps of it, in bytes; 0: not checked
