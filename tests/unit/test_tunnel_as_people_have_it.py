"""
Tunnels as people have them: stanzas and scripts in the forms of wikis, forums, blogs, repositories, and the brokers'
own examples. Each is seen; each stanza is taken over with its own meaning, or refused with the line that is in the way.
"""

from __future__ import annotations

import fnmatch
from typing import Any

import _dualstack_tunnel_scripts as tunnel_scripts
import _dualstack_tunnel_sit as tunnel_sit
import pytest
import tunnel_ifupdown
from salt.exceptions import CommandExecutionError

MAIN = "/etc/network/interfaces"
SOURCES = "source /etc/network/interfaces.d/*\n"
HE: dict[str, Any] = {"address": "2001:470:7:5bf::2/64", "gateway": "2001:470:7:5bf::1", "endpoint": "216.66.22.2"}


def stanza(name: str, *lines: str) -> str:
    """A stanza v4tunnel of Hurricane Electric's example, and more lines."""
    start = f"auto {name}\niface {name} inet6 v4tunnel\n"
    return start + "".join(f"        {each}\n" for each in lines)


ADDRESS = ("address 2001:470:7:5bf::2", "netmask 64", "endpoint 216.66.22.2")
EXAMPLE = (*ADDRESS, "local 192.0.2.8", "ttl 255", "gateway 2001:470:7:5bf::1")
# What the file has; the tunnel's name; what the pillar has to say beside HE, or the line that is in the way.
STANZAS: dict[str, tuple[str, str, dict[str, Any] | str]] = {
    "the broker's example": (stanza("he-ipv6", *EXAMPLE), "he-ipv6", {"local": "192.0.2.8"}),
    "the example, and a pillar that has no local address": (stanza("he-ipv6", *EXAMPLE), "he-ipv6", "line 6 (local)"),
    "the example with tabs": (
        stanza("he-ipv6", *EXAMPLE).replace(" 2001", "\t2001").replace("        ", "\t").replace("ttl ", "ttl\t"),
        "he-ipv6",
        {"local": "192.0.2.8"},
    ),
    "the example without indentation": (
        stanza("he-ipv6", *EXAMPLE).replace("        ", ""),
        "he-ipv6",
        {"local": "192.0.2.8"},
    ),
    "indented as a whole": (
        " auto he-ipv6\n  iface he-ipv6 inet6 v4tunnel\n   address 2001:470:7:5bf::2\n   netmask 64\n"
        "   endpoint 216.66.22.2\n   gateway 2001:470:7:5bf::1\n",
        "he-ipv6",
        {},
    ),
    "comments between the lines": (
        "auto he-ipv6\niface he-ipv6 inet6 v4tunnel\n    # Your public IPv4 address\n    local 203.0.113.50\n\n"
        "    # Hurricane Electric's tunnel server\n    endpoint 216.66.22.2\n\n    address 2001:470:7:5bf::2\n"
        "    # Prefix length\n    netmask 64\n    ttl 255\n    gateway 2001:470:7:5bf::1\n\n"
        "    # Post-up commands (optional)\n    up ip -6 route add 2001:470:8:5bf::/64 dev he-ipv6\n",
        "he-ipv6",
        {"local": "203.0.113.50", "addresses": ["2001:470:8:5bf::1/64"]},
    ),
    "a route to the routed prefix, and no address in it": (
        stanza("he-ipv6", *EXAMPLE[:3], EXAMPLE[5], "up ip -6 route add 2001:470:8:5bf::/64 dev he-ipv6"),
        "he-ipv6",
        "line 7 (up)",
    ),
    "a comment behind every value": (
        stanza("he-ipv6", *(f"{each}         #HEAT" for each in EXAMPLE)).replace(
            "v4tunnel\n", "v4tunnel            #HEAT\n"
        ),
        "he-ipv6",
        {"local": "192.0.2.8"},
    ),
    "a comment of several words": (
        stanza("he-ipv6", *EXAMPLE).replace("v4tunnel\n", "v4tunnel # Hurricane Electric, Fremont\n"),
        "he-ipv6",
        {"local": "192.0.2.8"},
    ),
    "hooks for the default route, Ubuntu 2011": (
        stanza(
            "he-ipv6",
            *("endpoint 216.66.22.2", "address  2001:470:7:5bf::2", "netmask  64", "ttl 64"),
            *("up ip -6 route add default dev he-ipv6", "down ip -6 route del default dev he-ipv6"),
        ),
        "he-ipv6",
        {"ttl": 64},
    ),
    "local by a command": (
        stanza("he-ipv6", *ADDRESS, "local `/usr/local/bin/checkipeth0`", "up ip -6 route add default dev he-ipv6"),
        "he-ipv6",
        "line 6 (local)",
    ),
    "an address with its prefix length, accept_ra": (
        stanza("tun6", "accept_ra 0", "address 2001:470:7:5bf::2/64", *EXAMPLE[2:]),
        "tun6",
        {"local": "192.0.2.8"},
    ),
    "the tunnel's network is a /48": (
        stanza(
            "he-ipv6",
            EXAMPLE[0],
            "netmask 48",
            *EXAMPLE[2:],
            "post-up /sbin/ip -6 route replace 2001:470:7::/48 dev lo",
        ),
        "he-ipv6",
        " 9 (post-up)",
    ),
    "another address of the routed prefix by a hook, and mtu": (
        stanza(
            "he",
            *(*EXAMPLE, "mtu 1480", "up ip -6 addr add 2001:470:8:5bf::1/64 dev $IFACE"),
            *(
                "up ip -6 route add 2001:470:8:5bf::/64 dev $IFACE",
                "up ip -6 route add ::/0 via 2001:470:7:5bf::1 dev $IFACE",
            ),
        ),
        "he",
        {"local": "192.0.2.8", "addresses": ["2001:470:8:5bf::1/64"]},
    ),
    "an address that the pillar lacks": (
        stanza("he", *EXAMPLE, "up ip -6 addr add 2001:470:8:5bf::99/64 dev $IFACE"),
        "he",
        "2001:470:8:5bf::99/64 in /etc/network/interfaces, line 9 (up)",
    ),
    "route(8), as in Hungary": (
        stanza(
            "sit1",
            *("address 2001:0470:0007:05bf::2", "netmask 64", "endpoint 216.66.22.2", "local 212.53.166.158"),
            *("up route -A inet6 add ::/0 dev sit1", "up ip addr add 2001:470:8:5bf::2/64 dev sit1"),
            "down ip addr del 2001:470:8:5bf::2/64 dev sit1",
        ),
        "sit1",
        {"local": "212.53.166.158", "metric": 1, "addresses": ["2001:470:8:5bf::2/64"]},
    ),
    "SixXS, with a small MTU": (
        "iface sixxs inet6 v4tunnel\n    address 2001:470:7:5bf::2\n    netmask 64\n    endpoint 216.66.22.2\n"
        "    ttl 64\n"
        "    up ip link set mtu 1280 dev sixxs\n    up ip route add default via 2001:470:7:5bf::1 dev sixxs\n",
        "sixxs",
        {"ttl": 64, "mtu": 1280},
    ),
    "SixXS, and a pillar with the usual MTU": (
        "iface sixxs inet6 v4tunnel\n    address 2001:470:7:5bf::2\n    netmask 64\n    endpoint 216.66.22.2\n"
        "    up ip link set mtu 1280 dev sixxs\n",
        "sixxs",
        "mtu: 1280 in /etc/network/interfaces, line 5 (up)",
    ),
    "policy routing": (
        stanza(
            "he-ipv6",
            *(*EXAMPLE[:5], "post-up ip route add default via 2001:470:7:5bf::1 dev he-ipv6 table he_ipv6"),
            "post-up ip -6 rule add from 2001:470:7:5bf::2/128 table he_ipv6",
        ),
        "he-ipv6",
        "8 (post-up), 9 (post-up)",
    ),
    "scripts as hooks, behind an empty line": (
        stanza("he-ipv6", *EXAMPLE) + "\nup /app/proxy/ifaceup.sh\ndown /app/proxy/ifacedown.sh\n",
        "he-ipv6",
        "10 (up), 11 (down)",
    ),
    "modprobe first": (stanza("he-ipv6", "pre-up modprobe ipv6", *ADDRESS), "he-ipv6", {"routing": "none"}),
    "an IPv4 stanza of the same name": (
        stanza("he-ipv6", *ADDRESS) + "iface he-ipv6 inet static\n    address 10.0.0.2/30\n",
        "he-ipv6",
        "6 (iface)",
    ),
    "a second stanza, inet6 static": (
        stanza("he-ipv6", *ADDRESS) + "iface he-ipv6 inet6 static\n    address 2001:470:8:5bf::1\n    netmask 64\n",
        "he-ipv6",
        {"routing": "none", "addresses": ["2001:470:8:5bf::1/64"]},
    ),
    "a static stanza that makes its tunnel first": (
        "auto ipv6net\niface ipv6net inet6 static\n    address 2001:470:7:5bf::2/64\n"
        "    pre-up ip tunnel add $IFACE mode sit remote 216.66.22.2 local 192.0.2.8 ttl 64\n"
        "    up ip -6 route add ::/0 dev $IFACE\n    post-down ip tunnel del $IFACE\n",
        "ipv6net",
        {"local": "192.0.2.8", "ttl": 64},
    ),
    "a manual stanza with nothing but hooks": (
        "auto hetun\niface hetun inet6 manual\n    pre-up ip tunnel add hetun mode sit remote 216.66.22.2 ttl 255\n"
        "    pre-up ip tunnel del hetun2 2>/dev/null || true\n",
        "hetun",
        "4 (pre-up)",
    ),
    "hooks with what may fail": (
        "auto hetun\niface hetun inet6 manual\n    pre-up ip tunnel del hetun 2>/dev/null || true\n"
        "    pre-up ip tunnel add hetun mode sit remote 216.66.22.2 ttl 255\n    up ip link set hetun up\n"
        "    up ip -6 addr add 2001:470:7:5bf::2/64 dev hetun\n    post-down ip tunnel del hetun 2>/dev/null || true\n",
        "hetun",
        {"routing": "none"},
    ),
    "under the loopback interface, as with GRE": (
        "auto lo\niface lo inet loopback\n    up ip tunnel add t01 mode sit remote 216.66.22.2 ttl 255\n"
        "    up ip -6 addr add 2001:470:7:5bf::2/64 dev t01\n    up ip link set up t01\n"
        "    up ip link set mtu 1464 multicast on dev t01\n",
        "t01",
        "would stay: 6 (up)",
    ),
    "under another interface": (
        "auto eth0\niface eth0 inet dhcp\n    post-up /sbin/ip tunnel add he6 mode sit remote 216.66.22.2 ttl 255\n"
        "    post-up /sbin/ip link set he6 up; /sbin/ip addr add 2001:470:7:5bf::2/64 dev he6\n"
        "    post-up /sbin/ip -6 route add ::/0 dev he6\n    pre-down /sbin/ip tunnel del he6\n",
        "he6",
        {},
    ),
    "ifconfig and route in one line": (
        stanza(
            "he-ipv6",
            *ADDRESS,
            "up ifconfig he-ipv6 mtu 1472; route -6 add ::/0 gw 2001:470:7:5bf::1 dev he-ipv6 metric 512",
        ),
        "he-ipv6",
        {"mtu": 1472, "metric": 512},
    ),
    "forwarding by a hook": (
        stanza("he-ipv6", *ADDRESS, "up sysctl -w net.ipv6.conf.all.forwarding=1"),
        "he-ipv6",
        "6 (up)",
    ),
    "a firewall in a hook": (
        stanza("he-ipv6", *ADDRESS, "pre-up ip6tables-restore < /etc/ip6.rules"),
        "he-ipv6",
        "6 (pre-up)",
    ),
    "name servers": (stanza("he-ipv6", *ADDRESS, "dns-nameservers 2001:470:20::2"), "he-ipv6", "6 (dns-nameservers)"),
    "a base stanza": (
        "iface base inet6 v4tunnel\n    endpoint 216.66.22.2\niface he-ipv6 inherits base\n"
        "    address 2001:470:7:5bf::2/64\n",
        "he-ipv6",
        "3 (iface)",
    ),
    "continued lines": (
        "auto \\\n  he-ipv6\niface he-ipv6 \\\n    inet6 v4tunnel\n    address \\\n  2001:470:7:5bf::2/64\n"
        "    endpoint 216.66.22.2\n",
        "he-ipv6",
        {"routing": "none"},
    ),
    "options of another ifup": (
        "auto ipv6tun\niface ipv6tun inet6 static\n    address 2001:470:7:5bf::2\n    netmask 64\n"
        "    tunnel-ipv4-local 192.0.2.8\n"
        "    tunnel-ipv4-remote 216.66.22.2\n    tunnel-mode sit\n    mtu 1480\n",
        "ipv6tun",
        "5 (tunnel-ipv4-local), 6 (tunnel-ipv4-remote), 7 (tunnel-mode)",
    ),
    "6to4, as a tunnel to anywhere": (
        "auto 6to4\niface 6to4 inet6 v4tunnel\n\tpre-up modprobe ipv6\n\taddress 2002:a0b:3036::1\n\tnetmask 16\n"
        "\tgateway ::10.11.48.1\n\tendpoint any\n\tlocal 10.11.48.54\n",
        "6to4",
        "line 7 (endpoint)",
    ),
    "6to4, by its own method": (
        "auto tun6to4\niface tun6to4 inet6 6to4\n    local 203.0.113.10\n",
        "tun6to4",
        "2 (iface)",
    ),
    "aiccu in a stanza": (
        "auto sixxs\niface sixxs inet6 manual\n    up ip link set mtu 1480 dev $IFACE\n"
        "    pre-up invoke-rc.d aiccu start\n"
        "    post-down invoke-rc.d aiccu stop\n",
        "sixxs",
        "4 (pre-up), 5 (post-down)",
    ),
}


@pytest.mark.parametrize("case", STANZAS)
def test_each_stanza_is_taken_over_as_it_is_or_refused_with_its_line(case: str) -> None:
    text, name, outcome = STANZAS[case]
    others = "# mine\nauto eth7\niface eth7 inet dhcp\n"
    host = {MAIN: text, "/etc/network/more": others + SOURCES}
    tunnel = tunnel_sit.canonical(
        {**HE, "local": "auto", "name": name, **(outcome if isinstance(outcome, dict) else {})}
    )
    with pytest.raises(CommandExecutionError, match="adopt: true"):
        tunnel_ifupdown.present(tunnel, host)
    if isinstance(outcome, str):
        with pytest.raises(CommandExecutionError) as raised:
            tunnel_ifupdown.present(tunnel, host, adopt=True)
        assert outcome in str(raised.value)
        return
    files = tunnel_ifupdown.present(tunnel, host, adopt=True)
    assert set(files) == {MAIN, f"/etc/network/interfaces.d/{name}"}
    read = tunnel_ifupdown.parse(name, {MAIN: text})
    assert read is not None
    # As far as the file says it, it is the tunnel that is written in its place.
    assert set(read.pop("addresses")) <= set(tunnel["addresses"])
    del read["source"]
    said = tunnel_sit.canonical({**HE, "addresses": tunnel["addresses"], **read})
    assert {key: said[key] for key in read} == {key: tunnel[key] for key in read}
    assert tunnel_ifupdown.parse(name, {MAIN: files[MAIN]}) is None


SEEN = {
    case: name
    for case, (text, name, _) in STANZAS.items()
    if case not in ("aiccu in a stanza", "options of another ifup", "a base stanza", "ifconfig and route in one line")
}


@pytest.mark.parametrize("case", SEEN)
def test_each_of_them_is_seen(case: str) -> None:
    found = {each["name"]: each for each in tunnel_ifupdown.tunnels({MAIN: STANZAS[case][0]})}
    assert SEEN[case] in found
    seen = found[SEEN[case]]
    assert (seen["kind"], seen["endpoint"]) == (("6to4", "any") if "6to4" in case else ("sit", "216.66.22.2"))


ADD = "ip tunnel add he-ipv6 mode sit remote 216.66.22.2 local 192.0.2.8 ttl 255"
TUNNEL = ("he-ipv6", "sit", "216.66.22.2", "192.0.2.8", 0)
# A text, where it is, and the tunnels in it: name, kind, endpoint, local, line.
SCRIPTS: dict[str, tuple[str, str, list[tuple[str, str, str, str, int]]]] = {
    "rc.local": (
        f"#!/bin/sh -e\nmodprobe ipv6\n{ADD}\nip link set he-ipv6 up\nexit 0\n",
        "/etc/rc.local",
        [(*TUNNEL[:4], 3)],
    ),
    "net-tools": (
        "#!/bin/bash\nifconfig sit0 up\nifconfig sit0 inet6 tunnel ::209.51.161.14\nifconfig sit1 up\n"
        "ifconfig sit1 inet6 add 2001:470:1f06:343::2/64\nroute -A inet6 add ::/0 dev sit1",
        "/etc/rc.local",
        [("sit1", "sit", "209.51.161.14", "any", 3)],
    ),
    "net-tools, with paths": (
        "sleep 10;\n/sbin/ifconfig sit0 down\n/sbin/ifconfig sit0 up\n/sbin/ifconfig sit0 inet6 tunnel ::45.32.66.87\n",
        "/etc/rc.local",
        [("sit1", "sit", "45.32.66.87", "any", 4)],
    ),
    "net-tools, with a variable": (
        "ENDPOINT=216.66.22.2\nmodprobe -r sit\nifconfig sit0 inet6 tunnel ::$ENDPOINT 2> /dev/null\n",
        "/etc/rc.local",
        [("sit1", "sit", "216.66.22.2", "any", 3)],
    ),
    "iptunnel": (
        "iptunnel add sit1 mode sit remote 216.66.22.2 local 192.0.2.8 ttl 30\nifconfig sit1 up\n",
        "/etc/init.d/ipv6",
        [("sit1", "sit", "216.66.22.2", "192.0.2.8", 1)],
    ),
    "another order of words": (
        "/sbin/ip tun add ttl 64 local 192.0.2.8 remote 216.66.22.2 mode sit he0\n",
        "/etc/rc.local",
        [("he0", "sit", "216.66.22.2", "192.0.2.8", 1)],
    ),
    "ip link add": (
        "ip link add sit9 type sit remote \"216.66.22.2\" local '192.0.2.8' ttl 255\n"
        "ip link add name y type sit remote 192.0.2.1\n",
        "/etc/rc.local",
        [("sit9", "sit", "216.66.22.2", "192.0.2.8", 1), ("y", "sit", "192.0.2.1", "any", 2)],
    ),
    "a script of variables": (
        'set -e\nREMOTE_IPV4="216.66.22.2"\nLOCAL_IPV4="192.0.2.8"\nmodprobe sit\n'
        "ip tunnel add he-ipv6 mode sit remote $REMOTE_IPV4 local ${LOCAL_IPV4} ttl 255\n",
        "/etc/rc.local",
        [(*TUNNEL[:4], 5)],
    ),
    "a local address of the moment": (
        "LOCAL=`ip -4 addr show dev eth0 | awk '{print $2}'`\n"
        "ip tunnel add he mode sit remote 216.66.22.2 local $LOCAL\n"
        "ip tunnel add b mode sit remote 216.66.22.3 local $(hostname -I | cut -d' ' -f1) ttl 255\n",
        "/etc/network/if-up.d/he",
        [("he", "sit", "216.66.22.2", "?", 2), ("b", "sit", "216.66.22.3", "?", 3)],
    ),
    "continued lines": (
        "ip tunnel add he-ipv6 mode sit \\\n    local 192.0.2.8 \\\n    remote 216.66.22.2 \\\n    ttl 255\n",
        "/etc/rc.local",
        [(*TUNNEL[:4], 1)],
    ),
    "6to4 in if-up.d": (
        '#!/bin/sh\nif [ "$IFACE" != eth0 ]; then\n\texit 0\nfi\n'
        'IPV4=`/sbin/ip -4 addr show dev eth0|grep "^ *inet"|sed -r '
        "-e 's:.*inet ([0-9\\.]+)/.*:\\1:'`\n"
        "/sbin/ip tunnel add tun6to4 mode sit ttl 64 remote any local $IPV4 2>&1 >> /tmp/DEBUG\n",
        "/etc/network/if-up.d/6to4",
        [("tun6to4", "6to4", "any", "?", 6)],
    ),
    "an init script": (
        "case \"$1\" in\n  start)\n    echo -n 'Starting tunnel: ip tunnel add'\n"
        "    if ! ip link show he-ipv6 >/dev/null 2>&1; then\n"
        f"      {ADD} || exit 1\n    fi\n    ;;\n  stop)\n    ip tunnel del he-ipv6\n    ;;\nesac\n",
        "/etc/init.d/he",
        [(*TUNNEL[:4], 5)],
    ),
    "a systemd unit": (
        f"[Unit]\nDescription=he.net IPv6 tunnel\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/{ADD}\n"
        "ExecStart=/bin/ip link set he-ipv6 up mtu 1480\nExecStop=/bin/ip tunnel del he-ipv6\n",
        "/etc/systemd/system/he-ipv6.service",
        [(*TUNNEL[:4], 6)],
    ),
    "a systemd unit with a shell": (
        "[Service]\nExecStartPre=-/sbin/ip tunnel del he-ipv6\n"
        'ExecStart=/bin/bash -c "/sbin/ip tunnel add he-ipv6 mode sit '
        'remote 216.66.22.2 local 192.0.2.8 ttl 255 && /sbin/ip link set he-ipv6 up"\n',
        "/etc/systemd/system/he-ipv6.service",
        [(*TUNNEL[:4], 3)],
    ),
    "a systemd unit with its environment": (
        '[Service]\nEnvironment="REMOTE=216.66.22.2" LOCAL=192.0.2.8\n'
        "ExecStart=/sbin/ip tunnel add he-ipv6 mode sit remote ${REMOTE} local $LOCAL ttl 255\n",
        "/lib/systemd/system/he-ipv6.service",
        [(*TUNNEL[:4], 3)],
    ),
    "a change of something else": ("ip tunnel change he-ipv6 ttl 64\nip tun del he-ipv6\n", "/etc/rc.local", []),
    "a systemd unit, what it does at the end": (
        f"[Service]\nExecStop=/sbin/{ADD}\n",
        "/etc/systemd/system/x.service",
        [],
    ),
    "cron": (
        f"SHELL=/bin/sh\n# m h dom\n@reboot root {ADD}\n"
        f"*/5 * * * * root /sbin/ip tunnel change b mode sit remote 192.0.2.1\n",
        "/etc/cron.d/he",
        [(*TUNNEL[:4], 3), ("b", "sit", "192.0.2.1", "any", 4)],
    ),
    "a crontab of root's": (f"@reboot sleep 30 && {ADD}\n", "/var/spool/cron/crontabs/root", [(*TUNNEL[:4], 1)]),
    "a dispatcher": (
        f'#!/bin/sh\n[ "$2" = up ] && {{\n  {ADD}\n  ip link set he-ipv6 up\n}}\n',
        "/etc/NetworkManager/dispatcher.d/50-he",
        [(*TUNNEL[:4], 3)],
    ),
    "sudo, and a function of its own": (
        f'run() {{ "$@" || logger failed; }}\nsudo -n {ADD}\nrun ip tunnel add k mode sit remote 192.0.2.1\n',
        "/etc/rc.local",
        [(*TUNNEL[:4], 2), ("k", "sit", "192.0.2.1", "any", 3)],
    ),
    "words in a variable": (
        "IP='/sbin/ip -4'\n$IP tunnel add he-ipv6 mode sit remote 216.66.22.2 local 192.0.2.8\n"
        "eval $IP tunnel add k mode ipip remote 192.0.2.1\n",
        "/etc/rc.local",
        [(*TUNNEL[:4], 2), ("k", "ipip", "192.0.2.1", "any", 3)],
    ),
    "a name of a loop": (
        'i=1; while [ $i -le $COUNT ]; do TUN="sit$i"\n'
        "ip tunnel add $TUN mode sit remote $KH_IP local $IR_IP ttl 255; done\n",
        "/etc/rc.local",
        [("sit1", "sit", "?", "?", 2)],
    ),
    "what is only written somewhere": (
        f"# {ADD}\necho {ADD}\necho '{ADD}' >>/etc/rc.local\ncat >/etc/x <<EOF\n{ADD}\nEOF\n"
        f"grep -q 'ip tunnel add' /etc/rc.local\n"
        f"ssh root@other {ADD}\n: <<'X'\n{ADD}\nX\n",
        "/etc/rc.local",
        [],
    ),
    "what is run in another namespace": (
        f"ip netns exec b {ADD}\nip -n b tunnel add x mode sit\n",
        "/etc/rc.local",
        [],
    ),
    "what is run from a here-document": (f"bash <<'EOF'\n{ADD}\nEOF\n", "/etc/rc.local", [(*TUNNEL[:4], 1)]),
    "other kinds": (
        "ip tunnel add gre1 mode gre local 192.0.2.8 remote 192.0.2.1 ttl 255 key 2749365187\n"
        "ip -6 tunnel add t6 mode ip6gre remote 2001:db8::1 local 2001:db8::2 hoplimit 255\n"
        "ip -6 tunnel add t4 mode ip4ip6 remote 2001:db8::1 local 2001:db8::2\nip link add wg0 type wireguard\n",
        "/etc/rc.local",
        [
            ("gre1", "gre", "192.0.2.1", "192.0.2.8", 1),
            ("t6", "ip6gre", "2001:db8::1", "2001:db8::2", 2),
            ("t4", "ip6tnl", "2001:db8::1", "2001:db8::2", 3),
            ("wg0", "wireguard", "any", "any", 4),
        ],
    ),
    "aiccu": (
        "# comment\nusername JDO1-SIXXS\npassword s3cret\nserver tic.sixxs.net\nipv6_interface sixxs\n"
        "tunnel_id T12345\n",
        "/etc/aiccu.conf",
        [("sixxs", "aiccu", "?", "any", 5)],
    ),
    "aiccu that is not configured": ("# username\n\n", "/etc/aiccu.conf", []),
    "gogoc": (
        "userid=me\npasswd=s3cret\nserver=81.171.72.11\nif_tunnel_v6v4=sit1\n",
        "/etc/gogoc/gogoc.conf",
        [("sit1", "gogoc", "81.171.72.11", "any", 4)],
    ),
    "miredo": (
        "InterfaceName\tteredo\nServerAddress teredo-debian.remlab.net\n",
        "/etc/miredo/miredo.conf",
        [("teredo", "miredo", "?", "any", 1)],
    ),
}


@pytest.mark.parametrize("case", SCRIPTS)
def test_the_tunnels_of_a_script(case: str) -> None:
    text, path, tunnels = SCRIPTS[case]
    keys = ("name", "kind", "endpoint", "local", "line")
    assert tunnel_scripts.found(text, path) == [dict(zip(keys, each)) for each in tunnels]


def test_the_scripts_that_a_text_runs() -> None:
    text = (
        "#!/bin/sh\n/usr/local/sbin/he.sh up\nsh /root/ipv6.sh\n. /etc/he.conf\necho /root/not.sh\n/sbin/ip link\n"
        "ExecStart=-/opt/he/up\n@reboot root /root/cron.sh\n   up /etc/network/he-up $IFACE\n# /root/never\n/root/$X\n"
    )
    assert tunnel_scripts.called(text) == [
        *("/usr/local/sbin/he.sh", "/root/ipv6.sh", "/etc/he.conf", "/opt/he/up", "/root/cron.sh", "/etc/network/he-up")
    ]


def test_where_scripts_are_is_looked_for() -> None:
    for _, path, _ in SCRIPTS.values():
        assert any(fnmatch.fnmatchcase(path, pattern) for pattern in tunnel_scripts.places()), path


@pytest.mark.parametrize(
    "text",
    [
        "$(",
        "`",
        '"',
        "'",
        "${",
        "${a",
        "<<",
        "<<X\nip tunnel",
        "\\",
        "ip tunnel add",
        "ip tunnel add mode",
        "((((",
        "${a%%[}",
        "a=${a",
    ],
)
def test_a_broken_script_is_no_traceback(text: str) -> None:
    tunnel_scripts.found(f"{text} ip tunnel add")
    tunnel_scripts.found(text)
    tunnel_scripts.found(text, "/etc/aiccu.conf")
