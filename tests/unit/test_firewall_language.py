"""The vocabulary of the rule language, word by word: what each means for the two families."""

from __future__ import annotations

import _dualstack_firewall_rules as firewall_rules
import pytest
from salt.exceptions import SaltInvocationError


def said(rule: str, chain: str | None = None, table: str | None = None) -> tuple[str | None, str | None]:
    """The rule for IPv4, and for IPv6."""
    result = firewall_rules.translate(rule, chain, table)
    assert result["warnings"] == []
    ipv4, ipv6 = ((result[family] or [None])[0] for family in ("ipv4", "ipv6"))
    return ipv4, ipv6


def error(rule: str) -> str:
    with pytest.raises(SaltInvocationError) as caught:
        firewall_rules.translate(rule)
    return str(caught.value)


# --------------------------------------------------------------------------------------------------------------
# Options of every rule

SPELLINGS = {
    "-s 192.0.2.1": ["--source 192.0.2.1", "--src 192.0.2.1", "--sou 192.0.2.1", "-s192.0.2.1", "--source=192.0.2.1"],
    "-d 192.0.2.1": ["--destination 192.0.2.1", "--dst 192.0.2.1", "--dest 192.0.2.1"],
    "-p tcp": ["--protocol tcp", "--proto tcp", "-ptcp"],
    "-i eth0": ["--in-interface eth0", "--in eth0"],
    "-o eth0": ["--out-interface eth0", "--out eth0"],
    "-j DROP": ["--jump DROP", "--ju DROP"],
    "-g OWN": ["--goto OWN", "--go OWN"],
    "-m tcp": ["--match tcp", "--mat tcp"],
}
NOT_PART_OF_A_RULE = ["-w", "--wait", "-w 5", "--wait 5", "-W 5", "--wait-interval 5", "-v", "--verbose"]
NOT_PART_OF_A_RULE += ["-c 1 2", "--set-counters 1 2", "-A INPUT", "--append INPUT", "--app INPUT", "-AINPUT"]
NOT_PART_OF_A_RULE += ["-t filter", "--table filter", "--tab filter", "-tfilter"]


@pytest.mark.parametrize(("short", "long"), [(short, each) for short, all_ in SPELLINGS.items() for each in all_])
def test_a_long_name_and_its_abbreviations_are_the_short_one(short: str, long: str) -> None:
    assert said(long) == said(short)
    assert short in said(long)


@pytest.mark.parametrize("fragments", ["-f", "--fragment", "--fragments", "--frag"])
def test_fragments_of_ipv4(fragments: str) -> None:
    assert said(f"-s 192.0.2.1 {fragments}") == ("-s 192.0.2.1 -f", None)


@pytest.mark.parametrize("words", NOT_PART_OF_A_RULE)
def test_what_is_not_part_of_a_rule_is_left_out(words: str) -> None:
    assert said(f"{words} -i lo -j ACCEPT", chain="INPUT", table="filter") == ("-i lo -j ACCEPT",) * 2
    assert said(f"-i lo -j ACCEPT {words}") == ("-i lo -j ACCEPT",) * 2


@pytest.mark.parametrize(
    "command",
    [
        *("iptables", "iptables-nft", "iptables-legacy", "/usr/sbin/iptables", "/sbin/iptables-legacy"),
        *("iptables-restore", "[0:0]", "iptables [12:3456]"),
    ],
)
def test_what_may_come_before_a_rule(command: str) -> None:
    assert said(f"{command} -A INPUT -i lo -j ACCEPT") == ("-i lo -j ACCEPT",) * 2


@pytest.mark.parametrize("command", ["ip6tables", "/sbin/ip6tables-nft", "-6", "--ipv6"])
def test_a_rule_of_ipv6(command: str) -> None:
    assert said(f"{command} -i lo -j ACCEPT") == (None, "-i lo -j ACCEPT")
    assert "contradicts `family: ipv6`" in error(f"{command} -4 -i lo -j ACCEPT")


def test_a_rule_of_ipv4() -> None:
    for command in ("-4", "--ipv4"):
        assert said(f"{command} -i lo -j ACCEPT") == ("-i lo -j ACCEPT", None)


@pytest.mark.parametrize("option", ["-s 192.0.2.1", "-d 192.0.2.1", "-p tcp", "-i lo", "-o lo", "-j DROP", "-g OWN"])
def test_an_option_is_given_once_and_has_a_value(option: str) -> None:
    assert "given twice" in error(f"{option} {option}")
    assert "needs a value" in error(option[:2])
    assert "needs a value" in error(f"{option[:2]} -m comment --comment x")
    assert "needs a value" in error(f"{option[:2]} ''")


def test_an_extension_has_a_name_and_fragments_are_asked_for_once() -> None:
    assert error("-m") == "`-m`: needs a value"
    assert "given twice" in error("-4 -f -f")
    assert said("-m tcp -m comment --comment x") == ("-m tcp -m comment --comment x",) * 2


ORDER = "the order of the rules is that of the list"
CHAIN = "a chain is there if it is a key of its table"
ALL = "a chain holds the rules of its list and no others"
COMMANDS = {
    ORDER: "-I --insert -R --replace -D --delete -C --check",
    "a chain's policy is its key `policy`": "-P --policy",
    CHAIN: "-N --new-chain -X --delete-chain -E --rename-chain",
    ALL: "-F --flush -Z --zero",
    "it is for listing": "-L --list -S --list-rules -n --numeric -x --exact",
    "it is not part of a rule": "-h --help -V --version -M --modprobe",
}


@pytest.mark.parametrize(("why", "word"), [(why, word) for why, words in COMMANDS.items() for word in words.split()])
def test_a_command_that_is_no_rule_is_refused_with_the_reason(why: str, word: str) -> None:
    assert error(f"{word} INPUT -j DROP") == f"`{word}`: {why}"


@pytest.mark.parametrize("word", ["$SSH", "${SSH}", "$(ssh)", "$1", "$*", "$@", "$#", "$?", "$!", "$$", "$-", "`ssh`"])
def test_a_variable_of_a_shell_is_refused_wherever_it_stands(word: str) -> None:
    for rule in (f"-j DROP '{word}'", f"-p tcp -s '{word}' -j DROP", f"-i '{word}' -j DROP"):
        assert "shell variables are not expanded" in error(rule)
    assert said(f"-m comment --comment '{word}'") != (None, None)


def test_a_list_with_blanks_is_no_list() -> None:
    for rule, place in {"-s 192.0.2.1, 192.0.2.2 -j DROP": "`-s 192.0.2.1,`", "-i lo eth0 -j DROP": "`-i lo`"}.items():
        assert f"found after {place}; expected an option (a list has commas and no blanks)" in error(rule)
    assert error("ACCEPT -i lo") == "`ACCEPT`: found; expected an option (a list has commas and no blanks)"


# --------------------------------------------------------------------------------------------------------------
# Protocols and types of ICMP


@pytest.mark.parametrize("name", ["ipv6", "41", "igmp", "2", "0x2", "IGMP"])
def test_a_protocol_of_ipv4(name: str) -> None:
    assert said(f"-p {name} -j DROP") == (f"-p {name} -j DROP", None)
    assert said(f"-6 -p {name} -j DROP") == (None, f"-p {name} -j DROP")


@pytest.mark.parametrize("name", "icmpv6 ipv6-icmp 58 ICMPv6 ipv6-nonxt 59 ipv6-mh mh mobility-header 135 0x3a".split())
def test_a_protocol_of_ipv6(name: str) -> None:
    assert said(f"-p {name} -j DROP") == (None, f"-p {name} -j DROP")


@pytest.mark.parametrize(
    ("name", "match"),
    [("ipv6-frag", "frag"), ("44", "frag"), ("ipv6-route", "rt"), ("43", "rt"), ("ipv6-opts", "dst"), ("60", "dst")],
)
def test_a_header_of_ipv6_is_matched_as_one(name: str, match: str) -> None:
    assert said(f"-p {name} -j DROP") == (None, f"-m {match} -j DROP")
    assert said(f"-p {name} -m {match} -j DROP") == (None, f"-m {match} -j DROP")
    comment = "-m comment --comment x -j DROP"
    assert said(f"-p {name} {comment}") == (None, f"-m {match} {comment}")
    assert f"matched with `-m {match}`; set `family: ipv4`" in error(f"! -p {name} -j DROP")


@pytest.mark.parametrize("name", ["ah", "51"])
def test_the_authentication_header_is_a_protocol_for_ipv4_only(name: str) -> None:
    assert said(f"-p {name} -j DROP") == (f"-p {name} -j DROP", "-m ah -j DROP")
    assert said(f"-p {name} -m ah --ahspi 5") == (f"-p {name} -m ah --ahspi 5", "-m ah --ahspi 5")
    assert said("-m ah --ahspi 5") == ("-p ah -m ah --ahspi 5", "-m ah --ahspi 5")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hopopt", "the commands take it as *any*; use `-m hbh`, or `-p all` if that is meant"),
        ("icmp6", "is the name of the match; the protocol is `icmpv6`"),
        ("icmp-6", "is not a protocol; expected `icmpv6`"),
        ("any", "is not a protocol; expected `all`"),
        ("tcp,udp", "a rule has one protocol; write one rule for each"),
    ],
)
def test_what_is_no_protocol(name: str, why: str) -> None:
    assert error(f"-p {name} -j DROP") == f"`-p {name}`: {why}"


# RFC 7915, section 4.2, and the two additions that the docstring of firewall_rules names.
TYPES = {
    "0": "129", "0/0": "129/0", "3": "1", "3/0": "1/0", "3/1": "1/3", "3/2": "4/1", "3/3": "1/4", "3/4": "2",
    **dict.fromkeys(("3/5", "3/6", "3/7", "3/8", "3/11", "3/12"), "1/0"),
    **dict.fromkeys(("3/9", "3/10", "3/13", "3/15"), "1/1"),
    "5": "137", "8": "128", "8/0": "128/0", "9": "134", "9/0": "134/0", "10": "133", "10/0": "133/0",
    "11": "3", "11/0": "3/0", "11/1": "3/1", "12": "4", "12/0": "4/0", "12/2": "4/0",
}  # fmt: skip
ONLY_IPV4 = ["3/14", "4", "5/0", "5/1", "5/2", "5/3", "12/1", "13", "14", "17", "18", "3/16", "254"]
NAMES = {
    "0": "echo-reply pong", "3": "destination-unreachable", "3/0": "network-unreachable", "3/1": "host-unreachable",
    "3/2": "protocol-unreachable", "3/3": "port-unreachable", "3/4": "fragmentation-needed",
    "3/5": "source-route-failed", "3/6": "network-unknown", "3/7": "host-unknown", "3/9": "network-prohibited",
    "3/10": "host-prohibited", "3/11": "tos-network-unreachable", "3/12": "tos-host-unreachable",
    "3/13": "communication-prohibited", "3/15": "precedence-cutoff", "5": "redirect", "8": "echo-request ping",
    "9": "router-advertisement", "10": "router-solicitation", "11": "time-exceeded ttl-exceeded",
    "11/0": "ttl-zero-during-transit", "11/1": "ttl-zero-during-reassembly", "12": "parameter-problem",
    "12/0": "ip-header-bad",
}  # fmt: skip
NAMES_OF_IPV4 = """
    host-precedence-violation source-quench network-redirect host-redirect tos-network-redirect tos-host-redirect
    required-option-missing timestamp-request timestamp-reply address-mask-request address-mask-reply
    """


@pytest.mark.parametrize(("ipv4", "ipv6"), TYPES.items())
def test_a_type_of_icmp_and_that_of_icmpv6(ipv4: str, ipv6: str) -> None:
    for written in (ipv4, *NAMES.get(ipv4, "").split()):
        for spelling in (written, written.upper()):
            expected = f"-p icmp --icmp-type {spelling}", f"-p ipv6-icmp --icmpv6-type {ipv6}"
            assert said(f"-p icmp --icmp-type {spelling}") == expected


@pytest.mark.parametrize("name", [*ONLY_IPV4, *NAMES_OF_IPV4.split()])
def test_a_type_without_a_counterpart_is_for_ipv4(name: str) -> None:
    assert said(f"-p icmp --icmp-type {name}") == (f"-p icmp --icmp-type {name}", None)


def test_any_type() -> None:
    for name in ("any", "255", "ANY"):
        assert said(f"-p icmp --icmp-type {name}") == (f"-p icmp --icmp-type {name}", "-p ipv6-icmp")
        assert said(f"-p icmp -m icmp --icmp-type {name}")[1] == "-p ipv6-icmp"
    assert said("-p icmp -m icmp --icmp-type 8")[1] == "-p ipv6-icmp -m icmp6 --icmpv6-type 128"


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("-p icmp --icmp-type echo-requst", "is not an ICMP type; did you mean echo-request?"),
        ("-p icmp --icmp-type xyz", "`xyz` is not an ICMP type"),
        ("-p icmp --icmp-type 256", "expected a number up to 255, or type/code"),
        ("-p icmp --icmp-type 3/1/2", "expected a number up to 255, or type/code"),
        ("-p icmp --icmp-type 3/-1", "expected a number up to 255, or type/code"),
        ("-p icmp --icmp-type 3/3:5", "IPv6 has other codes; set `family: ipv4`"),
        ("-p icmp ! --icmp-type 8", "would hit neighbour discovery in IPv6"),
        ("--icmp-type 8", "needs `-p icmp`"),
        ("! -p icmp --icmp-type 8", "needs `-p icmp`"),
        ("-p tcp --icmp-type 8", "needs `-p icmp`"),
        ("-p icmpv6 --icmp-type 8", "use `--icmpv6-type`"),
        ("-p icmp -m icmp -j DROP", "needs `--icmp-type`; without `-m icmp` the rule is for every type"),
    ],
)
def test_what_is_no_type(rule: str, why: str) -> None:
    assert why in error(rule)


# --------------------------------------------------------------------------------------------------------------
# Extensions

REJECTIONS = {
    ("icmp-net-unreachable", "icmp6-no-route"): "net-unreach net-unreachable no-route",
    ("icmp-host-unreachable", "icmp6-addr-unreachable"): "host-unreach host-unreachable addr-unreach",
    ("icmp-port-unreachable", "icmp6-port-unreachable"): "port-unreach port-unreachable",
    ("icmp-admin-prohibited", "icmp6-adm-prohibited"): "admin-prohib admin-prohibited adm-prohibited",
    ("icmp-net-prohibited", "icmp6-adm-prohibited"): "net-prohib net-prohibited",
    ("icmp-host-prohibited", "icmp6-adm-prohibited"): "host-prohib host-prohibited",
}


@pytest.mark.parametrize(("both", "names"), REJECTIONS.items())
def test_a_rejection_in_each_family(both: tuple[str, str], names: str) -> None:
    for name in (both[0], both[0].upper(), both[0][:-1], *names.split()):
        assert said(f"-j REJECT --reject-with {name}") == tuple(f"-j REJECT --reject-with {each}" for each in both)


def test_a_rejection_of_ipv6_is_one_of_ipv4() -> None:
    found = {each: said(f"-j REJECT --reject-with {each}")[0] for _, each in REJECTIONS}
    assert {name: (text or "").rpartition(" ")[2] for name, text in found.items()} == {
        "icmp6-no-route": "icmp-net-unreachable",
        "icmp6-addr-unreachable": "icmp-host-unreachable",
        "icmp6-port-unreachable": "icmp-port-unreachable",
        "icmp6-adm-prohibited": "icmp-admin-prohibited",
    }


@pytest.mark.parametrize(
    ("names", "full"),
    [
        ("icmp6-policy-fail policy-fail", "icmp6-policy-fail"),
        ("icmp6-reject-route reject-route", "icmp6-reject-route"),
    ],
)
def test_a_rejection_of_ipv6_only(names: str, full: str) -> None:
    for name in names.split():
        assert said(f"-j REJECT --reject-with {name}") == (None, f"-j REJECT --reject-with {full}")


@pytest.mark.parametrize("name", ["icmp-proto-unreachable", "proto-unreach", "proto-unreachable"])
def test_a_rejection_of_ipv4_only_is_asked_about(name: str) -> None:
    assert "IPv6 has no equivalent; use icmp-port-unreachable" in error(f"-j REJECT --reject-with {name}")
    assert said(f"-4 -j REJECT --reject-with {name}") == ("-j REJECT --reject-with icmp-proto-unreachable", None)


@pytest.mark.parametrize("name", ["tcp-reset", "tcp-rst"])
def test_a_reset_is_for_tcp(name: str) -> None:
    for protocol in ("tcp", "6", "TCP"):
        assert (
            said(f"-p {protocol} -j REJECT --reject-with {name}")
            == (f"-p {protocol} -j REJECT --reject-with tcp-reset",) * 2
        )
    for protocol in ("", "-p udp ", "! -p tcp "):
        assert "needs `-p tcp`" in error(f"{protocol}-j REJECT --reject-with {name}")


@pytest.mark.parametrize("name", ["-m realm", "-m osf", "-m ipv4options", "-j ECN", "-j CLUSTERIP", "-j ULOG"])
def test_an_extension_of_ipv4(name: str) -> None:
    assert said(f"{name} --x 1") == (f"{name} --x 1", None)


@pytest.mark.parametrize(
    "name",
    "-m icmp6,-m icmpv6,-m hl,-m frag,-m hbh,-m dst,-m rt,-m ipv6header,-m mh,-m srh,-m eui64,"
    "-j HL,-j DNPT,-j SNPT".split(","),
)
def test_an_extension_of_ipv6(name: str) -> None:
    assert said(f"{name} --x 1") == (None, f"{name} --x 1")


def test_the_hop_limit_is_the_time_to_live() -> None:
    for old, new in {"ttl": "hl-eq", "ttl-eq": "hl-eq", "ttl-lt": "hl-lt", "ttl-gt": "hl-gt"}.items():
        assert said(f"-m ttl ! --{old} 5") == (f"-m ttl ! --{old} 5", f"-m hl ! --{new} 5")
    for each in ("set", "inc", "dec"):
        assert said(f"-j TTL --ttl-{each} 5") == (f"-j TTL --ttl-{each} 5", f"-j HL --hl-{each} 5")


@pytest.mark.parametrize("match", ["u32", "bpf"])
def test_bytes_of_the_header_are_for_both_with_a_warning(match: str) -> None:
    result = firewall_rules.translate(f"-m {match} --x 1")
    assert result["ipv4"] == result["ipv6"] == [f"-m {match} --x 1"]
    assert len(result["warnings"]) == 1 and "counts bytes of the header" in result["warnings"][0]
    assert said(f"-4 -m {match} --x 1") == (f"-m {match} --x 1", None)


ADDRESSES = """
    -m iprange --src-range,-m iprange --dst-range,-m policy --tunnel-src,-m policy --tunnel-dst,-m ipvs --vaddr,
    -m conntrack --ctorigsrc,-m conntrack --ctorigdst,-m conntrack --ctreplsrc,-m conntrack --ctrepldst,
    -m recent --mask,-j DNAT --to-destination,-j SNAT --to-source,-j NETMAP --to,-j TEE --gateway,-j TPROXY --on-ip
    """


@pytest.mark.parametrize("option", [each.strip() for each in ADDRESSES.split(",")])
def test_an_address_of_an_extension_says_the_family(option: str) -> None:
    assert said(f"{option} 192.0.2.1") == (f"{option} 192.0.2.1", None)
    assert said(f"{option} 2001:db8::1") == (None, f"{option} 2001:db8::1")
    assert said(f"{option} 192.0.2.1,2001:db8::1") == (f"{option} 192.0.2.1", f"{option} 2001:db8::1")
    assert "takes one IPv4 address; found 192.0.2.1 and 192.0.2.2" in error(f"{option} 192.0.2.1,192.0.2.2")


@pytest.mark.parametrize("option", ["--to", "--mask", "--gateway"])
def test_a_name_that_several_extensions_share_is_nothing_without_them(option: str) -> None:
    assert said(f"-m other {option} 192.0.2.1") == (f"-m other {option} 192.0.2.1",) * 2


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("-m conntrack --ctp icmp", ("-m conntrack --ctproto icmp", "-m conntrack --ctproto 58")),
        ("-m iprange --src-r 192.0.2.1", ("-m iprange --src-range 192.0.2.1", None)),
        ("-m ipvs --va 192.0.2.1", ("-m ipvs --vaddr 192.0.2.1", None)),
        ("-m ttl --ttl-l 5", ("-m ttl --ttl-lt 5", "-m hl --hl-lt 5")),
        ("-j TTL --ttl-s 5", ("-j TTL --ttl-set 5", "-j HL --hl-set 5")),
        ("-j DNAT --to-d 192.0.2.1", ("-j DNAT --to-destination 192.0.2.1", None)),
    ],
)
def test_an_abbreviation_that_can_only_mean_one(short: str, full: tuple[str | None, str | None]) -> None:
    assert said(short) == full


@pytest.mark.parametrize(
    "rule",
    [
        *("-m conntrack --ctorigsr", "-m conntrack --ctorigds", "-m conntrack --ctrepls", "-m conntrack --ctrepld"),
        *("-m ipvs --vp", "-j TPROXY --on", "-j HMARK --hmark-s", "-j HMARK --hmark-d", "-j SET --map"),
        *("-m connlimit --connlimit", "-m hashlimit --hashlimit-", "-m policy --tunnel"),
    ],
)
def test_one_that_can_mean_several_is_left_to_the_commands(rule: str) -> None:
    for value in ("192.0.2.1", "2001:db8::1", "24"):
        assert said(f"{rule} {value}") == (f"{rule} {value}",) * 2


@pytest.mark.parametrize("option", ["-m conntrack --ctproto", "-m ipvs --vproto"])
def test_the_protocol_of_a_connection(option: str) -> None:
    for name in ("icmp", "1"):
        assert said(f"{option} {name}") == (f"{option} {name}", f"{option} 58")
    for name in ("icmpv6", "ipv6-icmp", "58"):
        assert said(f"{option} {name}") == (None, f"{option} {name}")
    assert said(f"{option} 6") == (f"{option} 6",) * 2


@pytest.mark.parametrize(
    "option", ["-m connlimit --connlimit-mask", "-m hashlimit --hashlimit-srcmask", "-m hashlimit --hashlimit-dstmask"]
)
def test_a_mask_length(option: str) -> None:
    for whole in ("32", "128"):
        assert said(f"{option} {whole}") == (f"{option} 32", f"{option} 128")
    assert said(f"{option} 0") == (f"{option} 0",) * 2
    for length in ("33", "127"):
        assert said(f"{option} {length}") == (None, f"{option} {length}")
    for length in ("1", "31"):
        assert f"write `{length}|64`, one for each, or set `family:`" in error(f"{option} {length}")
        assert said(f"-4 {option} {length}") == (f"{option} {length}", None)
    assert said(f"{option} '24|56'") == (f"{option} 24", f"{option} 56")
    assert said(f"{option} 255.255.255.0") == (f"{option} 255.255.255.0", None)


@pytest.mark.parametrize("option", ["-j HMARK --hmark-src-prefix", "-j HMARK --hmark-dst-prefix"])
def test_a_length_that_only_shares_a_load(option: str) -> None:
    for length in ("1", "31"):
        assert said(f"{option} {length}") == (f"{option} {length}",) * 2
    assert said(f"{option} 32") == (f"{option} 32", f"{option} 128")
    assert said(f"{option} 64") == (None, f"{option} 64")
    assert said(f"{option} 255.0.0.0") == (f"{option} 255.0.0.0", None)


def test_the_whole_mask_of_what_was_seen_lately() -> None:
    ipv4, ipv6 = "255.255.255.255", ":".join(["ffff"] * 8)
    for mask in (ipv4, ipv6, ipv6.upper()):
        assert said(f"-m recent --mask {mask}") == (f"-m recent --mask {ipv4}", f"-m recent --mask {ipv6}")
    assert said(f"-4 -m recent --mask {ipv4}") == (f"-m recent --mask {ipv4}", None)


@pytest.mark.parametrize(
    "option", ["-m set --match-set", "-m set --set", "-j SET --add-set", "-j SET --del-set", "-j SET --map-set"]
)
def test_a_set_is_for_its_family(option: str) -> None:
    for held, expected in {"inet": (True, False), "inet6": (False, True), "both": (True, True)}.items():
        result = firewall_rules.translate(f"{option} those src", sets={"those": held})
        assert (bool(result["ipv4"]), bool(result["ipv6"])) == expected


@pytest.mark.parametrize("option", ["--src-type", "--dst-type"])
def test_only_ipv4_has_broadcast(option: str) -> None:
    for types in ("BROADCAST", "LOCAL,BROADCAST", "broadcast"):
        assert said(f"-m addrtype {option} {types}") == (f"-m addrtype {option} {types}", None)
    assert said(f"-m addrtype {option} LOCAL,MULTICAST") == (f"-m addrtype {option} LOCAL,MULTICAST",) * 2


LONGEST = {"--comment": 255, "--log-prefix": 29, "--nflog-prefix": 63, "--ulog-prefix": 32, "--string": 128}


@pytest.mark.parametrize(("option", "limit"), LONGEST.items())
def test_what_the_kernel_cuts_off_is_a_warning(option: str, limit: int) -> None:
    for text, warnings in (
        ("x" * limit, []),
        ("x" * (limit + 1), [f"`{option}`: the kernel keeps {limit} of {limit + 1} bytes"]),
        ("\u00e9" * limit, [f"`{option}`: the kernel keeps {limit} of {2 * limit} bytes"]),
    ):
        assert firewall_rules.translate(f"-j X {option} {text}")["warnings"] == warnings


@pytest.mark.parametrize("option", [*LONGEST, "--hex-string", "--label"])
def test_free_text_is_no_option(option: str) -> None:
    for text in ("-s", "!", "-p", "--dport"):
        assert said(f"-i lo {option} {text} -j ACCEPT") == (f"-i lo {option} {text} -j ACCEPT",) * 2
    assert error(f"-j ACCEPT {option}") == f"`{option}`: needs a value"


@pytest.mark.parametrize("option", ["--hex-string", "--label"])
def test_a_text_whose_length_is_not_known_is_not_checked(option: str) -> None:
    assert said(f"-m x {option} {'x' * 300}") == (f"-m x {option} {'x' * 300}",) * 2


# --------------------------------------------------------------------------------------------------------------
# Ports


@pytest.mark.parametrize("option", ["--dport", "--sport", "--destination-port", "--source-port"])
def test_one_port_or_range(option: str) -> None:
    for port in ("1", "65535", "1:65535", ":1023", "1024:", "smtp", "ftp-data", "6to4", "smtp:ssh"):
        assert said(f"-p tcp {option} {port}") == (f"-p tcp {option} {port}",) * 2
    for port in ("65536", "1:65536", "1:2:3", ":", "a b", "'a;'", "-1", "99999999999999999999"):
        assert f"`{option}" in error(f"-p tcp {option} {port}")
    assert f"several are `{option}s`" in error(f"-p tcp {option} 22,80")
    assert error(f"-p tcp {option}").endswith("expected a port")
    assert error(f"-p tcp {option} 1 2").endswith("expected ports without blanks")


@pytest.mark.parametrize("option", ["--dports", "--sports", "--ports", "--destination-ports", "--source-ports"])
def test_several_ports(option: str) -> None:
    rule = f"-p tcp -m multiport {option}"
    assert said(f"{rule} 22,smtp,1024:") == (f"{rule} 22,smtp,1024:",) * 2
    for ports in ("22,65536", "22,", "1:2:3", "22,a;"):
        assert "is not a port" in error(f"{rule} '{ports}'")
    assert error(rule).endswith("expected a port")
