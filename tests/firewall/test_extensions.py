"""
Every extension of iptables: a rule given for its own family is loaded as it would be without this project.

The rules are this project's own, in the manner of ``extensions/*.t`` in iptables' source, one or more for each
extension that a Debian kernel has.
"""

from __future__ import annotations

import _dualstack_families as families
import _dualstack_firewall_rules as firewall_rules
import pytest

from . import netfilter

BOTH = """
-m addrtype --src-type LOCAL --dst-type UNICAST
-m addrtype ! --dst-type MULTICAST
-m bpf --bytecode "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0"
-m cgroup ! --cgroup 7
-m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 5
-m comment --comment "-p tcp is no option here; neither is ! or \\"this\\""
-m connbytes ! --connbytes 10:20 --connbytes-dir reply --connbytes-mode avgpkt
-m connlabel --label 3 --set
-m connlimit --connlimit-upto 3 --connlimit-daddr
-m connlimit --connlimit-above 3 --connlimit-mask 24
-m connmark ! --mark 0x10/0xf0
-m conntrack --ctstate NEW,UNTRACKED --ctdir REPLY
-m conntrack --ctproto 17 --ctorigdstport 5000:5010 --ctstatus ASSURED --ctexpire 1:9
-m cpu ! --cpu 1
-p dccp -m dccp --dport 5 --dccp-types REQUEST,RESPONSE
-m devgroup ! --src-group 0x2/0x3
-m dscp --dscp-class AF11
-p tcp -m ecn --ecn-tcp-ece ! --ecn-ip-ect 2
-p esp -m esp --espspi 5:9
-m hashlimit --hashlimit-above 4kb/s --hashlimit-burst 1mb --hashlimit-mode dstip,dstport --hashlimit-name h1
-m hashlimit --hashlimit 7/min --hashlimit-mode srcip --hashlimit-srcmask 24 --hashlimit-name h2
-m helper --helper sip
-p ipcomp -m ipcomp --ipcompspi 3
-m length ! --length 100:200
-m limit --limit 5/sec --limit-burst 9
-m mac --mac-source 02:00:00:AB:cd:01
-m mark ! --mark 5/7
-p udp -m multiport ! --ports 53,67:68
-p sctp -m sctp --chunk-types only DATA:Be,INIT
-m owner --uid-owner 0-99 --gid-owner 5 @OUTPUT
-m physdev --physdev-in eth+ ! --physdev-is-bridged
-m pkttype ! --pkt-type host
-m policy --dir in --pol ipsec --strict --reqid 3 --proto esp --mode transport --next --reqid 4 --proto ah @INPUT
-m quota --quota 5000
-m recent --name one --rcheck --seconds 5 --reap --hitcount 2 --rdest
-m recent ! --update --name two
-m rpfilter --loose --accept-local --invert @raw/PREROUTING
-m socket --nowildcard --transparent @INPUT
-m state --state INVALID
-m statistic --mode nth --every 5 --packet 2
-m string --algo kmp --hex-string "|0d 0A|x" --from 3 --to 90 --icase
-m string ! --string "it's | here" --algo bm
-p tcp -m tcp ! --tcp-option 5 --tcp-flags ALL NONE
-p tcp ! --syn --sport :1023 ! --dport www
-p tcp -m tcpmss ! --mss 500:600
-m time --timestart 22:00 --timestop 6:00 --contiguous --weekdays Sa,Su --monthdays 1,2
-m tos ! --tos 0x10/0x3f
-m u32 --u32 "0x4&0xff=0x1:0x5,0x9&&0x0>>0x16&0x3c@0x4=0x0"
-p udp -m udp --sport domain
! -i eth+ -j LOG --log-prefix "! -s 'quoted' " --log-level info --log-uid --log-ip-options
-j NFLOG --nflog-group 3 --nflog-prefix "-j DROP" --nflog-threshold 2 --nflog-size 60
-j NFQUEUE --queue-balance 1:4 --queue-bypass --queue-cpu-fanout
-p tcp -j SYNPROXY --sack-perm --timestamp --mss 1400 --wscale 7
-j AUDIT --type accept
-j CLASSIFY --set-class 1:ffff @mangle/POSTROUTING
-j CHECKSUM --checksum-fill @mangle/POSTROUTING
-j CONNMARK --restore-mark --nfmask 0xf --ctmask 0xf0 @mangle/PREROUTING
-j CONNMARK --or-mark 8 @mangle/PREROUTING
-j CT --zone 5 --ctevents new,destroy @raw/PREROUTING
-p tcp --dport 21 -j CT --helper ftp @raw/PREROUTING
-j NOTRACK @raw/PREROUTING
-j DSCP --set-dscp-class CS3 @mangle/FORWARD
-j HMARK --hmark-mod 10 --hmark-rnd 7 --hmark-src-prefix 20 @mangle/PREROUTING
-j MARK --and-mark 0xf @mangle/PREROUTING
-j RATEEST --rateest-name r1 --rateest-interval 250ms --rateest-ewmalog 500ms @mangle/PREROUTING
-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1200 @mangle/FORWARD
-p tcp -j TCPOPTSTRIP --strip-options wscale,7 @mangle/FORWARD
-j TOS --or-tos 0x8 @mangle/FORWARD
-p udp -j TPROXY --on-port 99 --tproxy-mark 3/3 @mangle/PREROUTING
-j TRACE @raw/PREROUTING
-p tcp -j MASQUERADE --to-ports 100-200 --random @nat/POSTROUTING
-p udp -j REDIRECT --to-ports 53 --random @nat/PREROUTING
"""
OWN = {
    "ipv4": """
-p ah -m ah ! --ahspi 5:9
-f
! -f -d 10.0.0.1
-p icmp ! --icmp-type 8/0
-p icmp --icmp-type any
-p icmp --icmp-type 3/3:5
-p 58
-p 41
-m realm ! --realm 0x5/0xff
-m ttl ! --ttl-eq 5
-m addrtype --dst-type BROADCAST,LOCAL
-m iprange ! --src-range 10.0.0.1-10.0.0.9 --dst-range 10.1.0.1
-m conntrack --ctorigsrc 10.0.0.0/8 ! --ctrepldst 10.1.0.1
-m recent --set --name x --mask 255.255.0.0
-s 10.0.0.0/255.0.255.0 ! -d 192.0.2.1/31
-p tcp -j REJECT --reject-with tcp-rst
-j REJECT --reject-with proto-unreach
-j TTL --ttl-dec 3 @mangle/FORWARD
-p tcp -j ECN --ecn-tcp-remove @mangle/FORWARD
-p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.5:80-90/1000 --persistent @nat/PREROUTING
-p udp -j SNAT --to 192.0.2.1:500-600 --random-fully @nat/POSTROUTING
-j NETMAP --to 10.0.0.0/24 @nat/PREROUTING
-j TEE --gateway 192.0.2.9 @mangle/PREROUTING
-p tcp -j TPROXY --on-port 5 --on-ip 127.0.0.1 @mangle/PREROUTING
""",
    "ipv6": """
-m ah ! --ahspi 5
-p 41
-p igmp
-m dst --dst-len 4 --dst-opts 149:92,12:12
-m eui64 @INPUT
-m frag ! --fragid 1:2 --fragres --fragfirst
-m hbh --hbh-len 8
-m hl --hl-gt 5
-p icmpv6 ! --icmpv6-type redirect
-p icmpv6 -m icmp6 --icmpv6-type 200/3
-m ipv6header --header esp,ipv6-nonxt --soft
-p mh -m mh --mh-type 1:3
-m rt --rt-type 0 --rt-segsleft 1:3 --rt-0-res
-m srh --srh-segs-left-eq 1 ! --srh-tag 5
-m iprange --src-range 2001:db8::1-2001:db8::9
-m policy --dir in --pol ipsec --mode tunnel --tunnel-src 2001:db8::/64 @INPUT
-m connlimit --connlimit-above 2 --connlimit-mask 56
-m hashlimit --hashlimit-upto 3/sec --hashlimit-mode srcip --hashlimit-srcmask 32 --hashlimit-name h3
-m recent --set --name y --mask ffff:ffff::
-s 2001:db8::/ffff:0:ffff:: ! -d ::ffff:192.0.2.1
-j REJECT --reject-with no-route
-j REJECT --reject-with reject-route
-j HL --hl-inc 1 @mangle/FORWARD
-j SNPT --src-pfx 2001:db8:1::/64 --dst-pfx 2001:db8:2::/64 @mangle/POSTROUTING
-j DNPT --src-pfx 2001:db8:1::/64 --dst-pfx 2001:db8:2::/64 @mangle/PREROUTING
-p tcp -j DNAT --to-destination [2001:db8::1-2001:db8::5]:80-90 @nat/PREROUTING
-j SNAT --to-source 2001:db8::1 @nat/POSTROUTING
-j NETMAP --to 2001:db8::/64 @nat/PREROUTING
-j TEE --gateway 2001:db8::9 @mangle/PREROUTING
""",
}


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_rule_by_hand_is_what_it_would_be_without_us(family: str, backend: str) -> None:
    bare, ours, again = [], [], []
    for line in (BOTH + OWN[family]).strip().splitlines():
        rule, _, place = line.partition(" @")
        table, _, chain = place.rpartition("/")
        where = (table or "filter", chain or "INPUT")
        bare.append((line, _held(family, backend, *where, rule)))
        (text,) = firewall_rules.translate({"family": family, "rule": rule})[family]
        ours.append((line, _held(family, backend, *where, text)))
        (text,) = firewall_rules.translate({"family": family, "rule": ours[-1][1]})[family]
        again.append((line, _held(family, backend, *where, text)))
    assert ours == bare
    assert again == bare


def _held(family: str, backend: str, table: str, chain: str, text: str) -> str:
    """What the kernel makes of one rule."""
    netfilter.load(family, backend, f"*{table}\n-F {chain}\n-A {chain} {text}\nCOMMIT\n")
    (held,) = netfilter.rules(family, backend, chain, table)
    return held


def test_what_is_for_both_needs_no_family() -> None:
    undecided = {"--connlimit-mask 24", "--hashlimit-srcmask 24"}  # lengths that mean something else in IPv6
    for line in BOTH.strip().splitlines():
        rule = line.partition(" @")[0]
        if not any(each in rule for each in undecided):
            result = firewall_rules.translate(rule)
            assert len(result["ipv4"]) == len(result["ipv6"]) == 1, rule
