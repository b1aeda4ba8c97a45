"""What lives becomes a pillar, and the pillar makes what lives: adopted rules change nothing when they are applied."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable
from typing import Any

import _dualstack_firewall_delta as firewall_delta
import _dualstack_firewall_fold as firewall_fold
import _dualstack_firewall_kernel as firewall_kernel
import _dualstack_firewall_programs as firewall_programs
import pytest

from . import netfilter

Converge = Callable[..., dict[str, Any]]

# Rules as iptables-restore takes them, for IPv4 and for IPv6; None where that family does not have such a rule.
ADDRESSES = [
    ("-s 192.0.2.7 -j ACCEPT", None),
    (None, "-s 2001:db8::7 -j ACCEPT"),
    ("-s 192.0.2.0/24 -d 198.51.100.9 -p tcp -j DROP", "-s 2001:db8::/32 -d 2001:db8:1::9 -p tcp -j DROP"),
    ("-s 10.0.0.0/8,172.16.0.0/12 -j DROP", "-s fc00::/7,fe80::/10 -j DROP"),
    ("! -s 192.0.2.0/24 -p tcp --dport 3306 -j DROP", None),
    (None, "! -d 2001:db8::/32 -j DROP"),
    ("-m iprange --src-range 192.0.2.1-192.0.2.9 -j ACCEPT", None),
    ("-m conntrack --ctorigdst 192.0.2.1 -j ACCEPT", "-m conntrack --ctorigdst 2001:db8::1 -j ACCEPT"),
    ("-p ipv6 -s 192.0.2.1 -j ACCEPT", None),
]
PROTOCOLS = [
    ("-p icmp -j ACCEPT", "-p ipv6-icmp -j ACCEPT"),
    ("-p icmp -j ACCEPT", "-p icmp -j ACCEPT"),
    ("! -p icmp -j ACCEPT", "! -p ipv6-icmp -j ACCEPT"),
    ("-p icmp --icmp-type echo-request -m limit --limit 5/s -j ACCEPT", None),
    ("-p icmp --icmp-type echo-request -j ACCEPT", "-p ipv6-icmp --icmpv6-type echo-request -j ACCEPT"),
    ("-p icmp --icmp-type fragmentation-needed -j ACCEPT", "-p ipv6-icmp --icmpv6-type packet-too-big -j ACCEPT"),
    ("-p icmp --icmp-type any -j ACCEPT", "-p ipv6-icmp -j ACCEPT"),
    ("-p icmp --icmp-type timestamp-request -j DROP", None),
    ("-p icmp ! --icmp-type redirect -j ACCEPT", "-p ipv6-icmp ! --icmpv6-type redirect -j ACCEPT"),
    (None, "-p ipv6-icmp --icmpv6-type neighbour-solicitation -m hl --hl-eq 255 -j ACCEPT"),
    ("-p ah -j ACCEPT", "-m ah -j ACCEPT"),
    ("-p ah -m ah --ahspi 7 -j ACCEPT", "-m ah --ahspi 7 -j ACCEPT"),
    ("-p igmp -j ACCEPT", "-p ah -j DROP"),
    ("-p ipv6-icmp -j ACCEPT", "-p ipv6-frag -j DROP"),
    ("-m conntrack --ctproto icmp -j ACCEPT", "-m conntrack --ctproto icmpv6 -j ACCEPT"),
    (None, "-m conntrack --ctproto icmp -j ACCEPT"),
    ("-f -j DROP", "-m frag --fragmore -j DROP"),
]
ANSWERS = [
    ("-j REJECT", "-j REJECT"),
    ("-j REJECT --reject-with icmp-host-prohibited", "-j REJECT --reject-with icmp6-adm-prohibited"),
    ("-j REJECT --reject-with icmp-proto-unreachable", "-j REJECT --reject-with icmp6-policy-fail"),
    ("-p tcp --syn -j REJECT --reject-with tcp-reset", "-p tcp --syn -j REJECT --reject-with tcp-reset"),
]
MATCHES = [
    ("-p udp --sport 1024: --dport 53 -j ACCEPT",) * 2,
    ("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",) * 2,
    ("-m state --state NEW -p tcp --dport ssh -j ACCEPT",) * 2,
    ("-p tcp -m multiport --dports 25,80,143 -j ACCEPT",) * 2,
    ("-m ttl --ttl-lt 2 -j DROP", "-m hl --hl-lt 2 -j DROP"),
    ("-p tcp --dport 22 -m recent --name ssh --update --seconds 60 --hitcount 4 -j DROP",) * 2,
    ("-p tcp --syn -m connlimit --connlimit-above 9 -j DROP",) * 2,
    ("-p tcp --syn -m connlimit --connlimit-above 9 --connlimit-mask 24 -j DROP", None),
    ("-m hashlimit --hashlimit-above 9/sec --hashlimit-mode srcip --hashlimit-name a -j DROP",) * 2,
    (
        "-m hashlimit --hashlimit-upto 9/s --hashlimit-mode srcip --hashlimit-name b --hashlimit-srcmask 24 -j DROP",
        "-m hashlimit --hashlimit-upto 9/s --hashlimit-mode srcip --hashlimit-name b --hashlimit-srcmask 64 -j DROP",
    ),
    ("-m addrtype --dst-type BROADCAST -j DROP", "-m addrtype --dst-type MULTICAST -j DROP"),
    ("-m mark --mark 0x1/0xff",) * 2,
    ("",) * 2,
    ('-j LOG --log-prefix "in: \\"dropped\\" " --log-level info',) * 2,
    ('-j NFLOG --nflog-group 3 --nflog-prefix "a b"',) * 2,
    ('-m string --algo bm --string "GET /$HOME" -j DROP',) * 2,
    ('-m comment --comment "it\'s a \\"test\\", 1 \\\\ 2; $(x) `y` #z !" -j ACCEPT',) * 2,
    ('-m comment --comment "" -j ACCEPT',) * 2,
    ("-m comment --comment -p -p tcp -j ACCEPT",) * 2,
    ("-m comment --comment Grüße -j ACCEPT",) * 2,
]
SHAPES = [*ADDRESSES, *PROTOCOLS, *ANSWERS, *MATCHES]
# What cannot be in every chain.
INTERFACES = [("-i lo -j ACCEPT",) * 2, ("! -i eth+ -p tcp -j DROP",) * 2]
JUMPS = [("-p tcp --dport 7 -j OURS",) * 2, ("-g OURS",) * 2]


def text(chains: dict[str, tuple[str, list[str]]]) -> str:
    """A table filter for iptables-restore."""
    lines = ["*filter", *(f":{chain} {policy} [0:0]" for chain, (policy, _) in chains.items())]
    lines += [f"-A {chain} {rule}" for chain, (_, rules) in chains.items() for rule in rules]
    return "\n".join([*lines, "COMMIT", ""])


def some_rules(chance: random.Random, chain: str) -> tuple[list[str], list[str]]:
    """Rules of both families, most of them twins, some in one family or in another order."""
    shapes = [*SHAPES, *(JUMPS if chain != "OURS" else []), *(INTERFACES if chain != "OUTPUT" else [])]
    pairs = [chance.choice(shapes) for _ in range(chance.randrange(25))]
    families: list[list[str]] = []
    for family in (0, 1):
        rules = [rule for pair in pairs if (rule := pair[family]) is not None and chance.random() > 0.1]
        for _ in range(chance.randrange(3) if rules else 0):
            rules.insert(chance.randrange(len(rules)), rules.pop(chance.randrange(len(rules))))
        families.append(rules)
    return families[0], families[1]


def some_ruleset(seed: int) -> dict[str, str]:
    chance = random.Random(seed)
    families: list[dict[str, tuple[str, list[str]]]] = [{}, {}]
    for chain in ("INPUT", "FORWARD", "OUTPUT", "OURS"):
        for ruleset, rules in zip(families, some_rules(chance, chain)):
            ruleset[chain] = ("-" if chain == "OURS" else chance.choice(["ACCEPT", "DROP"]), rules)
    chance.choice(families)["ALONE"] = ("-", ["-p tcp -j ACCEPT", "-j RETURN"])
    return {"ipv4": text(families[0]), "ipv6": text(families[1])}


def adopt(backend: str, tunnel: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is there but for what belongs to Docker and its like."""
    live = {
        family: firewall_delta.own(tables, firewall_delta.Others(firewall_programs.NAMES))
        for family, tables in firewall_kernel.read(backend).items()
    }
    return firewall_fold.adopt(live, tunnel, firewall_kernel.set_families(firewall_kernel.sets()))


def listed(backend: str) -> dict[str, str]:
    """The chains, policies and rules of the table filter."""
    return {family: netfilter.run(f"{command}-{backend}", "-S") for family, command in netfilter.COMMANDS.items()}


def unchanged(converge: Converge, backend: str, tunnel: dict[str, Any] | None = None) -> dict[str, Any]:
    """Adopt what lives; applying that changes nothing, nor does adopting again."""
    before = {family: netfilter.save(family, backend) for family in netfilter.COMMANDS}
    firewall = adopt(backend, tunnel)
    done = converge(**firewall, tunnel=tunnel, save=False)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == {}
    assert {family: netfilter.save(family, backend) for family in netfilter.COMMANDS} == before
    assert adopt(backend, tunnel) == firewall
    return firewall


@pytest.mark.parametrize("seed", range(20))
def test_what_is_adopted_is_there(converge: Converge, backend: str, seed: int) -> None:
    for family, ruleset in some_ruleset(seed).items():
        netfilter.load(family, backend, ruleset)
    unchanged(converge, backend)


@pytest.mark.parametrize("seed", range(100, 105))
def test_what_is_adopted_comes_back(converge: Converge, backend: str, seed: int) -> None:
    """Also on a host that has none of it."""
    for family, ruleset in some_ruleset(seed).items():
        netfilter.load(family, backend, ruleset)
    before = listed(backend)
    firewall = adopt(backend)
    netfilter.reset()
    done = converge(**firewall)
    assert done["result"] is True, done["comment"]
    assert listed(backend) == before


TUNNEL = {"name": "he-ipv6", "endpoint": "192.0.2.1"}
PILLAR: dict[str, Any] = {
    "icmpv6_essential": True,
    "clamp_mss": True,
    "tables": {
        "mangle": {
            "PREROUTING": {"policy": "ACCEPT", "rules": ["-m rpfilter --invert -j DROP"]},
            "FORWARD": {"policy": "ACCEPT", "rules": []},
        },
        "nat": {"POSTROUTING": {"policy": "ACCEPT", "rules": ["-s 10.0.0.0/8 -o eth0 -j MASQUERADE"]}},
        "filter": {
            "INPUT": {
                "policy": "DROP",
                "rules": [
                    "-i lo -j ACCEPT",
                    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                    "-p icmp -m icmp --icmp-type 8 -j ACCEPT",
                    "-p tcp -m tcp --dport 22 -m comment --comment \"the 'ssh' port, mine\" -j ACCEPT",
                    "-s 192.0.2.0/24 -p tcp -m tcp --dport 3306 -j ACCEPT",
                    {"family": "ipv4", "rule": "-p tcp -m tcp --dport 8080 -j ACCEPT"},
                    "-s 2001:db8::/32 -p tcp -m tcp --dport 3306 -j ACCEPT",
                    "-p tcp -j INPUT-tcp",
                    "-j REJECT --reject-with icmp-port-unreachable",
                ],
            },
            "FORWARD": {"policy": {"ipv4": "DROP", "ipv6": "ACCEPT"}, "rules": []},
            "OUTPUT": {"policy": "ACCEPT", "rules": []},
            "INPUT-tcp": {"rules": ["-p tcp -m tcp --dport 25 -j ACCEPT"]},
        },
    },
}


def test_a_pillar_is_adopted_as_it_was_written(converge: Converge, backend: str) -> None:
    done = converge(**PILLAR, tunnel=TUNNEL)
    assert done["result"] is True, done["comment"]
    assert unchanged(converge, backend, TUNNEL) == PILLAR


# --------------------------------------------------------------------------------------------------------------
# Hosts as they are

DOCKER_HOST = {
    "ipv4": """
        *nat
        :DOCKER - [0:0]
        -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
        -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
        -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
        -A DOCKER -i docker0 -j RETURN
        -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
        COMMIT
        *filter
        :INPUT DROP [0:0]
        :FORWARD DROP [0:0]
        :DOCKER - [0:0]
        :DOCKER-ISOLATION-STAGE-1 - [0:0]
        :DOCKER-USER - [0:0]
        :f2b-sshd - [0:0]
        -A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
        -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
        -A INPUT -i lo -j ACCEPT
        -A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT
        -A INPUT -p tcp -m tcp --dport 22 -m state --state NEW -j ACCEPT
        -A INPUT -p tcp -m multiport --dports 80,443 -j ACCEPT
        -A FORWARD -j DOCKER-USER
        -A FORWARD -j DOCKER-ISOLATION-STAGE-1
        -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
        -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
        -A DOCKER-ISOLATION-STAGE-1 -j RETURN
        -A DOCKER-USER -j RETURN
        -A f2b-sshd -s 198.51.100.66/32 -j REJECT --reject-with icmp-port-unreachable
        -A f2b-sshd -j RETURN
        COMMIT
        """,
    "ipv6": """
        *filter
        :INPUT DROP [0:0]
        :FORWARD DROP [0:0]
        -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
        -A INPUT -i lo -j ACCEPT
        -A INPUT -p ipv6-icmp -j ACCEPT
        -A INPUT -p tcp -m multiport --dports 80,443 -j ACCEPT
        COMMIT
        """,
}
ROUTER = {
    "ipv4": """
        *raw
        -A PREROUTING -i wan0 -p udp --dport 53 -j CT --notrack
        COMMIT
        *mangle
        -A FORWARD -o wan0 -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
        -A POSTROUTING -o wan0 -p udp -m dscp --dscp-class ef -j CLASSIFY --set-class 1:10
        -A PREROUTING -j CONNMARK --restore-mark
        COMMIT
        *nat
        -A PREROUTING -i wan0 -p tcp --dport 443 -j DNAT --to-destination 10.0.0.10:8443
        -A PREROUTING -i lan0 -p tcp --dport 80 -j REDIRECT --to-ports 3128
        -A POSTROUTING -s 10.0.0.0/24 -o wan0 -j SNAT --to-source 192.0.2.9
        -A POSTROUTING -d 10.0.0.10 -p tcp --dport 8443 -j MASQUERADE
        COMMIT
        *filter
        :INPUT DROP [0:0]
        :FORWARD DROP [0:0]
        :log-drop - [0:0]
        -A INPUT -i lan0 -p udp --dport 67:68 --sport 67:68 -j ACCEPT
        -A INPUT -m set --match-set friends src -p tcp --dport 22 -j ACCEPT
        -A INPUT -j log-drop
        -A FORWARD -m conntrack --ctstate INVALID -j DROP
        -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
        -A FORWARD -i lan0 -o wan0 -s 10.0.0.0/24 -m mac --mac-source 02:00:00:AB:CD:EF -j ACCEPT
        -A FORWARD -i lan0 -o wan0 -m time --timestart 08:00 --timestop 18:00 --weekdays Mon,Tue -j ACCEPT
        -A FORWARD -m statistic --mode random --probability 0.5 -j LOG --log-prefix "half: "
        -A FORWARD -j log-drop
        -A log-drop -m limit --limit 5/min -j LOG --log-prefix "[fw] drop: " --log-tcp-options --log-ip-options
        -A log-drop -j DROP
        COMMIT
        """,
    "ipv6": """
        *mangle
        -A FORWARD -o wan0 -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
        COMMIT
        *filter
        :INPUT DROP [0:0]
        :FORWARD DROP [0:0]
        :log-drop - [0:0]
        -A INPUT -s fe80::/10 -p udp --sport 547 --dport 546 -j ACCEPT
        -A INPUT -m set --match-set friends6 src -p tcp --dport 22 -j ACCEPT
        -A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type echo-request -m limit --limit 900/min -j ACCEPT
        -A INPUT -j log-drop
        -A FORWARD -m rt --rt-type 0 -j DROP
        -A FORWARD -m conntrack --ctstate INVALID -j DROP
        -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
        -A FORWARD -i lan0 -o wan0 -m time --timestart 08:00 --timestop 18:00 --weekdays Mon,Tue -j ACCEPT
        -A FORWARD -j log-drop
        -A log-drop -m limit --limit 5/min -j LOG --log-prefix "[fw] drop: " --log-tcp-options --log-ip-options
        -A log-drop -j DROP
        COMMIT
        """,
}
MAIL_SERVER = {
    "ipv4": """
        *filter
        :INPUT DROP [0:0]
        :mail - [0:0]
        :web - [0:0]
        :unused - [0:0]
        -A INPUT -i lo -j ACCEPT
        -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        -A INPUT -p icmp -j ACCEPT
        -A INPUT -p tcp -m tcp -m multiport --dports 25,465,587,143,993 -m comment --comment "mail, all of it" -j mail
        -A INPUT -p tcp -m tcp --dport 80 -g web
        -A INPUT -p tcp -j REJECT --reject-with tcp-reset
        -A INPUT -j REJECT --reject-with icmp-admin-prohibited
        -A OUTPUT -p tcp --dport 25 -m owner ! --uid-owner mail -j REJECT
        -A mail -p tcp --dport 25 -m hashlimit --hashlimit-upto 9/s --hashlimit-name m --hashlimit-mode srcip -j ACCEPT
        -A mail -p tcp --dport 25 -m recent --name spam --set -j DROP
        -A mail -s 203.0.113.0/24 -j DROP
        -A mail -j ACCEPT
        -A web -p tcp --syn -m connlimit --connlimit-above 40 -j DROP
        -A web -j ACCEPT
        COMMIT
        """,
    "ipv6": """
        *filter
        :INPUT DROP [0:0]
        :mail - [0:0]
        :unused - [0:0]
        -A INPUT -i lo -j ACCEPT
        -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        -A INPUT -p icmp -j ACCEPT
        -A INPUT -p ipv6-icmp -j ACCEPT
        -A INPUT -p tcp -m tcp -m multiport --dports 25,465,587,143,993 -m comment --comment "mail, all of it" -j mail
        -A INPUT -p tcp -j REJECT --reject-with tcp-reset
        -A INPUT -j REJECT --reject-with icmp6-adm-prohibited
        -A mail -p tcp --dport 25 -m hashlimit --hashlimit-upto 9/s --hashlimit-name m --hashlimit-mode srcip -j ACCEPT
        -A mail -p tcp --dport 25 -m recent --name spam --set -j DROP
        -A mail -s 2001:db8:bad::/48 -j DROP
        -A mail -j ACCEPT
        COMMIT
        """,
}


@pytest.mark.parametrize("host", [DOCKER_HOST, ROUTER, MAIL_SERVER], ids=["docker", "router", "mail"])
def test_a_host_stays_as_it_is(converge: Converge, backend: str, host: dict[str, str]) -> None:
    netfilter.run("ipset", "restore", text="create friends hash:ip\ncreate friends6 hash:net family inet6\n")
    for family, ruleset in host.items():
        netfilter.load(family, backend, textwrap.dedent(ruleset))
    unchanged(converge, backend)
