"""The configuration of ifupdown: written, read, found in other files, moved."""

from __future__ import annotations

import contextlib
from typing import Any

import _dualstack_tunnel_own as tunnel_own
import _dualstack_tunnel_sit as tunnel_sit
import pytest
import tunnel_ifupdown
from salt.exceptions import CommandExecutionError

from ..lab.network import ARGUMENTS

MAIN = "/etc/network/interfaces"
OWN = "/etc/network/interfaces.d/he-ipv6"
GIVEN: dict[str, Any] = {**ARGUMENTS, "addresses": [*ARGUMENTS["addresses"], "2001:470:1f13:f87::78/64"]}
TUNNEL = tunnel_sit.canonical(GIVEN)
SOURCES = "source /etc/network/interfaces.d/*\n"

# As people have it in their main file since 2011, next to what must not change.
BY_HAND = """\
# This file describes the network interfaces available on your system
auto lo eth0 he-ipv6
iface lo inet loopback

# the hoster's
iface eth0 inet static
    address 46.105.5.1/24
    gateway 46.105.5.254   # do not touch
    post-up echo one \\
        two

iface he-ipv6 inet6 v4tunnel
    address 2001:470:1f12:f87::2
    netmask 64
    endpoint 216.66.84.42
    local 46.105.5.1
    gateway 2001:470:1f12:f87::1
    ttl 255
    post-up ip addr add 2001:470:1f13:f87::77/64 dev $IFACE

# a comment above eth1
allow-hotplug eth1
iface eth1 inet dhcp
"""
WITHOUT = """\
# This file describes the network interfaces available on your system
auto lo eth0
iface lo inet loopback

# the hoster's
iface eth0 inet static
    address 46.105.5.1/24
    gateway 46.105.5.254   # do not touch
    post-up echo one \\
        two

# a comment above eth1
allow-hotplug eth1
iface eth1 inet dhcp
"""


def test_the_whole_file() -> None:
    assert tunnel_ifupdown.files(TUNNEL) == {OWN: """\
# Managed by Salt (he_tunnel). Changes here are overwritten: they belong in the pillar, ipv6:tunnel.
auto he-ipv6
iface he-ipv6 inet6 v4tunnel
    address 2001:470:1f12:f87::2/64
    endpoint 216.66.84.42
    local 46.105.5.1
    gateway 2001:470:1f12:f87::1
    metric 1024
    ttl 255
    mtu 1480
    preferred-lifetime 0
    up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || true
iface he-ipv6 inet6 static
    address 2001:470:1f13:f87::77/64
    accept_ra 0
    dad-attempts 0
iface he-ipv6 inet6 static
    address 2001:470:1f13:f87::78/64
    accept_ra 0
    dad-attempts 0
    preferred-lifetime 0
"""}


def test_source_routing_in_the_file() -> None:
    (text,) = tunnel_ifupdown.files(tunnel_sit.canonical({**GIVEN, "routing": "source"})).values()
    assert "gateway" not in text
    for prefix in ("2001:470:1f12:f87::/64", "2001:470:1f13:f87::/64"):
        route = f"default from {prefix} via 2001:470:1f12:f87::1 metric 1024"
        assert f"    up ip -6 route replace {route} dev $IFACE onlink\n" in text


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"addresses": []},
        {"source": "2001:470:1f12:f87::2"},
        {"source": "2001:470:1f13:f87::78"},
        {"ttl": 64, "mtu": 1280, "metric": 7, "name": "sixxs"},
        {"routing": "source", "metric": 5},
        {"routing": "none"},
        {"local": "auto"},
        {"routed": "2001:470:1f13:f87::/64"},
        {"routed": ["2001:470:1f13:f87::/64", "2001:470:ab::/48"], "routing": "source"},
        {"carrier": "gre"},
        {"dev": "eth1"},
        {"dev": "eth0.100", "local": "auto", "routing": "source", "addresses": []},
        {"carrier": "gre", "dev": "ppp0"},
        {"carrier": "gre", "local": "auto", "routing": "source", "routed": ["2001:470:ab::/48"], "addresses": []},
    ],
)
def test_what_is_written_is_read_again(change: dict[str, Any]) -> None:
    tunnel = tunnel_sit.canonical({**GIVEN, **change})
    read = tunnel_ifupdown.parse(tunnel["name"], tunnel_ifupdown.files(tunnel))
    assert read is not None
    again = tunnel_sit.canonical(read)
    assert again == tunnel
    assert tunnel_ifupdown.files(again) == tunnel_ifupdown.files(tunnel)


def test_a_stanza_by_hand_is_understood() -> None:
    assert tunnel_ifupdown.parse("he-ipv6", {MAIN: BY_HAND}) == {
        "name": "he-ipv6",
        "address": "2001:470:1f12:f87::2/64",
        "endpoint": "216.66.84.42",
        "local": "46.105.5.1",
        "gateway": "2001:470:1f12:f87::1",
        "ttl": 255,
        "routing": "default",
        "source": "2001:470:1f12:f87::2",
        "addresses": ["2001:470:1f13:f87::77/64"],
    }
    assert tunnel_ifupdown.parse("eth0", {MAIN: BY_HAND}) is None
    assert tunnel_ifupdown.parse("no-such", {MAIN: BY_HAND}) is None


def test_a_stanza_elsewhere_is_reported_with_its_lines() -> None:
    with pytest.raises(CommandExecutionError) as raised:
        tunnel_ifupdown.present(TUNNEL, {MAIN: BY_HAND + SOURCES})
    assert f"he-ipv6 is already configured in {MAIN}, line 2, 12" in str(raised.value)
    assert "adopt: true" in str(raised.value)


def test_adopting_moves_the_stanza_and_nothing_else() -> None:
    files = tunnel_ifupdown.present(TUNNEL, {MAIN: BY_HAND + SOURCES}, adopt=True)
    assert files == {MAIN: WITHOUT + SOURCES, **tunnel_ifupdown.files(TUNNEL)}


@pytest.mark.parametrize(
    "line",
    [
        "    up /usr/local/sbin/notify",
        "    post-up ip6tables-restore < /etc/ip6tables",
        "    up ip -6 rule add from 2001:470:1f13:f87::/64 table 6",
        "    tunnel-physdev eth0",
        "    pre-up ip addr add 192.0.2.1/24 dev eth0",
    ],
)
def test_adopting_refuses_to_lose_a_line(line: str) -> None:
    text = f"iface he-ipv6 inet6 v4tunnel\n    endpoint 216.66.84.42\n{line}\n"
    with pytest.raises(CommandExecutionError) as raised:
        tunnel_ifupdown.present(TUNNEL, {MAIN: SOURCES, "/etc/network/other": text}, adopt=True)
    assert f"these lines would be lost: 3 ({line.split()[0]})." in str(raised.value)


@pytest.mark.parametrize(
    "stanza",
    ["mapping he-ipv6\n    script /bin/true\n", "iface he-ipv6 inet6 v4tunnel inherits base\n", "iface he-ipv6\n"],
)
def test_adopting_refuses_stanzas_of_another_kind(stanza: str) -> None:
    with pytest.raises(CommandExecutionError, match="cannot be adopted"):
        tunnel_ifupdown.present(TUNNEL, {MAIN: stanza + SOURCES}, adopt=True)


def test_a_file_of_that_name_that_a_user_wrote_is_adopted_too() -> None:
    text = "auto he-ipv6\niface he-ipv6 inet6 v4tunnel\n    endpoint 216.66.84.42\n"
    host = {MAIN: SOURCES, OWN: text}
    with pytest.raises(CommandExecutionError, match="already configured in"):
        tunnel_ifupdown.present(TUNNEL, host)
    assert tunnel_ifupdown.present(TUNNEL, host, adopt=True) == tunnel_ifupdown.files(TUNNEL)
    with pytest.raises(CommandExecutionError, match="holds other lines"):
        tunnel_ifupdown.present(TUNNEL, {**host, OWN: text + "auto eth1\n"}, adopt=True)


@pytest.mark.parametrize(
    ("main", "read"),
    [
        ("source /etc/network/interfaces.d/*\n", True),
        ("source interfaces.d/*\n", True),
        ("source interfaces.d/he-ipv6\n", True),
        ("source-directory /etc/network/interfaces.d\n", True),
        ("source-directory interfaces.d\n", True),
        ("source /etc/network/interfaces.d/eth*\n", False),
        ("source /etc/network/interfaces.d/*.cfg\n", False),
        ("#source /etc/network/interfaces.d/*\n", False),
        ("source /etc/network/other.d/*\n", False),
        ("", False),
    ],
)
def test_the_one_line_is_added_only_where_it_is_needed(main: str, read: bool) -> None:
    files = tunnel_ifupdown.present(TUNNEL, {MAIN: main})
    assert files.get(MAIN) == (None if read else f"{main}source {OWN}\n")
    with_it = {MAIN: main, **files}
    assert tunnel_ifupdown.present(TUNNEL, with_it).get(MAIN, with_it[MAIN]) == with_it[MAIN]
    gone = tunnel_ifupdown.absent("he-ipv6", with_it)
    assert gone[OWN] is None
    assert gone.get(MAIN, main) == main


def test_a_source_line_of_an_included_file_counts() -> None:
    host = {MAIN: "source /etc/network/more\n", "/etc/network/more": SOURCES}
    assert MAIN not in tunnel_ifupdown.present(TUNNEL, host)


def test_a_directory_skips_names_with_dots() -> None:
    tunnel = {**TUNNEL, "name": "he.6"}
    files = tunnel_ifupdown.present(tunnel, {MAIN: "source-directory interfaces.d\n"})
    assert files[MAIN].endswith("source /etc/network/interfaces.d/he.6\n")


def test_absent_removes_only_what_is_ours() -> None:
    host = {MAIN: SOURCES, **tunnel_ifupdown.files(TUNNEL)}
    assert tunnel_ifupdown.absent("he-ipv6", host) == {OWN: None}
    assert tunnel_ifupdown.absent("he-ipv6", {MAIN: SOURCES}) == {}
    with pytest.raises(CommandExecutionError, match="already configured in"):
        tunnel_ifupdown.absent("he-ipv6", {MAIN: BY_HAND})
    assert tunnel_ifupdown.absent("he-ipv6", {MAIN: BY_HAND}, adopt=True) == {MAIN: WITHOUT}


def test_absent_keeps_a_comment_that_names_the_file() -> None:
    main = f"# source {OWN}\nsource {OWN}\n"
    assert tunnel_ifupdown.absent("he-ipv6", {MAIN: main, OWN: tunnel_own.HEADER}) == {
        MAIN: f"# source {OWN}\n",
        OWN: None,
    }


@pytest.mark.parametrize(
    ("printed", "stack"),
    [
        ("ifup version 0.8.41\nCopyright (c) 1999-2009 Anthony Towns\n", "ifupdown"),
        ("ifupdown-ng 0.11.3\n\nCopyright (c) 2020 Ariadne Conill\n", "ifupdown-ng"),
        ("ifupdown2:3.0.0-1.1\n", "ifupdown2"),
        ("something else", "unknown"),
    ],
)
def test_the_implementations_are_told_apart(printed: str, stack: str) -> None:
    assert tunnel_ifupdown.recognise(printed) == stack


def test_ifupdown_is_distinguished_from_what_reads_its_files_differently() -> None:
    about = tunnel_ifupdown.about()
    assert (about["program"], about["arguments"]) == ("ifup", ["--version"])
    assert "could lose all its interfaces" in about["otherwise"]


@pytest.mark.parametrize(
    "stanza",
    [
        "iface eth1 inet dhcp\n",
        "mapping eth1\n    script /bin/true\n",
        "template base\n    ttl 9\n",
        "rename eth1=lan\n",
        "source /etc/network/more\n",
        "source-directory more.d\n",
        "auto eth1\n",
        "allow-hotplug eth1\n",
        "no-auto-down eth1\n",
        "no-scripts eth1\n",
    ],
)
def test_a_stanza_ends_where_the_next_one_begins(stanza: str) -> None:
    text = "iface he-ipv6 inet6 v4tunnel\n    endpoint 216.66.84.42\n"
    read = tunnel_ifupdown.parse("he-ipv6", {MAIN: text + stanza})
    assert read == tunnel_ifupdown.parse("he-ipv6", {MAIN: text})
    adopted = tunnel_ifupdown.present(TUNNEL, {MAIN: SOURCES + text + stanza}, adopt=True)
    assert adopted[MAIN] == SOURCES + stanza


def test_a_line_is_added_below_a_last_line_without_an_end() -> None:
    assert tunnel_ifupdown.present(TUNNEL, {MAIN: "auto lo"})[MAIN] == f"auto lo\nsource {OWN}\n"
    assert tunnel_ifupdown.present(TUNNEL, {})[MAIN] == f"source {OWN}\n"


def test_where_reading_begins_and_how_it_goes_on() -> None:
    assert tunnel_ifupdown.roots("he-ipv6") == [MAIN, OWN]
    text = "source a/* ../b\nsource-directory /c d\nauto e\n"
    assert tunnel_ifupdown.includes(MAIN, text) == [
        ["/etc/network/a/*", ".*"],
        ["/etc/b", ".*"],
        ["/c/*", "[A-Za-z0-9_-]+"],
        ["/etc/network/d/*", "[A-Za-z0-9_-]+"],
    ]


def test_how_the_interface_comes_up_and_goes_down() -> None:
    assert tunnel_ifupdown.up("he-ipv6") == ["ifup", "--force", "he-ipv6"]
    assert tunnel_ifupdown.down("he-ipv6") == ["ifdown", "--force", "he-ipv6"]


# A tunnel that means the same as the stanza of the tests below, and one more of each thing that a stanza can have.
SMALL: dict[str, Any] = {
    "endpoint": "216.66.84.42",
    "local": "auto",
    "address": "2001:db8::2/64",
    "gateway": "2001:db8::1",
}


def adopted(text: str, **more: Any) -> str:
    """What is left of a file when a tunnel is taken over from it."""
    tunnel = tunnel_sit.canonical({**SMALL, "routing": "none", **more})
    return tunnel_ifupdown.present(tunnel, {MAIN: SOURCES + text}, adopt=True)[MAIN]


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        *((each, {}) for each in ("preferred-lifetime 0", "accept_ra 0", "autoconf 0", "dad-attempts 0", "privext 0")),
        ("mtu 1280", {"mtu": 1280}),
        ("ttl 64", {"ttl": 64}),
        ("local 46.105.5.1", {"local": "46.105.5.1"}),
        ("local any", {}),
        ("gateway 2001:db8::1", {"routing": "default"}),
        ("up ip -6 addr add 2001:db8::7/64 dev $IFACE", {"addresses": ["2001:db8::7/64"]}),
        ("post-up /sbin/ip a replace 2001:db8::7/64 dev he-ipv6", {"addresses": ["2001:db8::7/64"]}),
        ("pre-up ip address add 2001:db8::7/64 dev ${IFACE}", {"addresses": ["2001:db8::7/64"]}),
        ("up ifconfig he-ipv6 inet6 add 2001:db8::7/64", {"addresses": ["2001:db8::7/64"]}),
        ('down ip addr del 2001:db8::7/64 dev "$IFACE"', {}),
        ("pre-down ip addr delete 2001:db8::7/64 dev he-ipv6", {}),
        ("post-down ip -6 route del default via fe80::1 dev he-ipv6", {}),
        ("down ip tunnel del he-ipv6 || true", {}),
        ("up ip link set mtu 1280 dev $IFACE", {"mtu": 1280}),
        ("up ip link set dev he-ipv6 up mtu 1280 2>/dev/null", {"mtu": 1280}),
        ("up ip link set $IFACE up", {}),
        ("up ip -6 route add unreachable 2001:db8:1::/48 dev lo", {"routed": "2001:db8:1::/48"}),
        ("up ip -6 route add 2001:db8:1::/64 dev he-ipv6", {"routed": "2001:db8:1::/48"}),
        (
            "up ip addr add 2001:db8:1::7/64 dev $IFACE",
            {"addresses": ["2001:db8:1::7/64"], "routed": "2001:db8:1::/64"},
        ),
        ("pre-up modprobe -q ipv6", {}),
        ("up ip -6 route add 2001:db8::/64 dev he-ipv6", {}),
        ("up ip r add default via 2001:db8::1 metric 5 dev he-ipv6 onlink", {"routing": "default", "metric": 5}),
        ("up ip -6 route replace default via 2001:db8::1 dev $IFACE", {"routing": "default"}),
        ("up ip -6 route add ::/0 dev he-ipv6", {"routing": "default"}),
        ("up ip route add default via 2001:db8::1", {"routing": "default"}),
        ("up route -A inet6 add ::/0 dev he-ipv6", {"routing": "default", "metric": 1}),
        ("up ip -6 ro re default from 2001:db8::/64 via 2001:db8::1 dev $IFACE onlink || true", {"routing": "source"}),
    ],
)
def test_adopting_takes_over_what_a_tunnel_can_say(line: str, keys: dict[str, Any]) -> None:
    text = f"iface he-ipv6 inet6 v4tunnel\n    address 2001:db8::2/64\n    endpoint 216.66.84.42\n    {line}\n"
    assert adopted(text, **keys) == SOURCES


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mtu 1280", "mtu: 1280 in {}, line 5 (mtu), and the pillar has 1480: write it into ipv6:tunnel:mtu, or take"),
        ("ttl\t64", "ttl: 64 in {}, line 5 (ttl), and the pillar has 255"),
        ("local 46.105.5.1", "local: 46.105.5.1 in {}, line 5 (local), and the pillar has none"),
        ("gateway 2001:db8::1", "routing: default in {}, line 5 (gateway), and the pillar has none"),
        ("address 2001:db8::99/64", "addresses: 2001:db8::99/64 in {}, line 5 (address), and the pillar has no such"),
        ("auto he-ipv6:1\niface he-ipv6:1 inet6 static\n address 2001:db8::99/64", "99/64 in {}, line 7 (address)"),
        ("up /sbin/ip -6 addr add 2001:db8::99 dev $IFACE", "addresses: 2001:db8::99/128 in {}, line 5 (up)"),
        ("up ip -6 addr add 2001:db8::99/64 dev $IFACE", "addresses: 2001:db8::99/64 in {}, line 5 (up)"),
        ("up ip -6 addr add 2001:db8::2/128 dev $IFACE", "address: 2001:db8::2/128 in {}, line 5 (up), and the pillar"),
        ("up ip link set mtu 1280 dev he-ipv6", "mtu: 1280 in {}, line 5 (up), and the pillar has 1480"),
        ("up ip -6 route add 2001:db8:1::/48 dev he-ipv6", "addresses: a route to 2001:db8:1::/48 in {}, line 5 (up)"),
        ("up ip -6 route add 2000::/3 dev he-ipv6", "routing: a route to 2000::/3 in {}, line 5 (up)"),
        ("up ip -6 route add ::/0 dev he-ipv6", "routing: default in {}, line 5 (up), and the pillar has none"),
        ("endpoint 192.0.2.1", "endpoint: 192.0.2.1 in {}, line 5 (endpoint), and the pillar has 216.66.84.42"),
        ("endpoint s3cret", "endpoint: another value in {}, line 5 (endpoint)"),
    ],
)
def test_adopting_refuses_what_the_pillar_does_not_have_and_names_the_key(line: str, said: str) -> None:
    text = f"iface he-ipv6 inet6 v4tunnel\n    address 2001:db8::2/64\n    endpoint 216.66.84.42\n    {line}\n"
    with pytest.raises(CommandExecutionError) as raised:
        adopted(text)
    assert said.format(MAIN) in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_the_metric_that_no_line_gives_is_the_kernels() -> None:
    text = "iface he-ipv6 inet6 v4tunnel\n    address 2001:db8::2/64\n    gateway 2001:db8::1\n    metric 5\n"
    with pytest.raises(CommandExecutionError, match="metric: 5 in .*line 5 .*has 1024: .*ipv6:tunnel:metric"):
        adopted(text, routing="default")
    with pytest.raises(CommandExecutionError, match="metric: 1024 in .*line 4 .*has 7"):
        adopted(text.replace("    metric 5\n", ""), routing="default", metric=7)


@pytest.mark.parametrize(
    ("stanza", "lost"),
    [
        ("iface he-ipv6 inet static\n    address 192.0.2.9/24\n", "2 (iface)"),
        ("iface he-ipv6 inet6 auto\n", "2 (iface)"),
        (
            "iface he-ipv6 inet6 static\n    address 2001:db8::2/64\n    dns-nameservers 2001:db8::53\n",
            "4 (dns-nameservers)",
        ),
        ("iface he-ipv6 inet6 static\n    accept_ra 2\n", "3 (accept_ra)"),
        ("iface he-ipv6 inherits he-ipv6\n", "2 (iface)"),
        ("mapping he-ipv6\n    script /bin/map\n", "2 (mapping)"),
        ("no-auto-down he-ipv6\n", "2 (no-auto-down)"),
        ("iface he-ipv6 inet6 static\n    up sysctl -w net.ipv6.conf.all.forwarding=1\n", "3 (up)"),
        (
            "iface he-ipv6 inet6 static\n    tunnel-mode sit\n    description tunnel\n",
            "3 (tunnel-mode), 4 (description)",
        ),
        ("iface he-ipv6 inet manual\n    up ip tunnel add he-ipv6 mode sit remote 216.66.84.42 key 7\n", "3 (up)"),
        ("iface he-ipv6 inet6 manual\n    up ip -6 rule add from 2001:db8::/64 table 6\n", "3 (up)"),
        ("iface he-ipv6 inet6 manual\n    up ip -6 route add ::/0 dev he-ipv6 table 6\n", "3 (up)"),
        (
            "iface he-ipv6 inet6 manual\n    up test -e /run/x && ip link set he-ipv6 up\n    up a | b\n",
            "3 (up), 4 (up)",
        ),
        ("iface he-ipv6 inet6 manual\n    up ip -6 addr add $(cat /etc/secret) dev he-ipv6\n", "3 (up)"),
    ],
)
def test_adopting_refuses_each_line_that_has_no_key(stanza: str, lost: str) -> None:
    with pytest.raises(CommandExecutionError) as raised:
        adopted(stanza)
    assert f"these lines would be lost: {lost}." in str(raised.value)


def test_an_ipv4_stanza_that_does_nothing_is_no_loss() -> None:
    stanza = "iface he-ipv6 inet6 v4tunnel\n    address 2001:db8::2\n    endpoint 216.66.84.42\n"
    assert adopted(f"auto he-ipv6\niface he-ipv6 inet manual\n{stanza}") == SOURCES


ETH0 = "auto eth0\niface eth0 inet dhcp\n    up ethtool -K eth0 tx off\n"
BY_HOOKS = (
    "    up ip tunnel add he-ipv6 mode sit remote 216.66.84.42 local 46.105.5.1 ttl 255\n"
    "    up ip link set he-ipv6 up mtu 1480\n"
    "    up ip -6 addr add 2001:db8::2/64 dev he-ipv6\n"
    "    up ip -6 route add ::/0 via 2001:db8::1 dev he-ipv6\n"
    "    down ip tunnel del he-ipv6\n"
)
OF_HOOKS: dict[str, Any] = {**SMALL, "local": "46.105.5.1"}


def test_a_tunnel_of_hooks_of_another_interface_is_read() -> None:
    read = tunnel_ifupdown.parse("he-ipv6", {MAIN: ETH0 + BY_HOOKS})
    assert read is not None
    assert tunnel_sit.canonical(read) == tunnel_sit.canonical(OF_HOOKS)


def test_adopting_takes_these_hooks_and_leaves_the_others() -> None:
    tunnel = tunnel_sit.canonical(OF_HOOKS)
    host = {MAIN: SOURCES + ETH0 + BY_HOOKS}
    with pytest.raises(CommandExecutionError, match="already configured in .*, line 5, 6, 7, 8, 9"):
        tunnel_ifupdown.present(tunnel, host)
    assert tunnel_ifupdown.present(tunnel, host, adopt=True)[MAIN] == SOURCES + ETH0
    assert tunnel_ifupdown.absent("he-ipv6", host, adopt=True)[MAIN] == SOURCES + ETH0


@pytest.mark.parametrize(
    "line",
    [
        "    up ip addr add 192.0.2.7/24 dev eth0; ip -6 addr add 2001:db8::2/64 dev he-ipv6\n",
        "    up ip -6 addr add 2001:db8::2/64 dev he-ipv6 && /usr/local/bin/notify\n",
        "    up sh -c 'ip -6 addr add 2001:db8::2/64 dev he-ipv6; reboot'\n",
    ],
)
def test_adopting_refuses_a_hook_that_is_about_both(line: str) -> None:
    with pytest.raises(
        CommandExecutionError,
        match=r"line 5: these lines do something else as well, and would stay: 5 \(up\)",
    ):
        tunnel_ifupdown.present(tunnel_sit.canonical(OF_HOOKS), {MAIN: SOURCES + ETH0 + line}, adopt=True)


def test_a_hook_that_only_mentions_the_tunnel_stays() -> None:
    line = "    up iptables -A INPUT -i he-ipv6 -j ACCEPT\n"
    assert adopted(ETH0 + line + "auto he-ipv6\n") == SOURCES + ETH0 + line


def test_a_base_stanza_is_read_but_not_taken() -> None:
    base = "iface base inet6 v4tunnel\n    ttl 9\n    endpoint 192.0.2.1\n"
    text = f"{base}iface he-ipv6 inherits base\n    address 2001:db8::2/64\n"
    read = tunnel_ifupdown.parse("he-ipv6", {MAIN: text})
    assert read is not None
    assert (read["endpoint"], read["ttl"], read["address"]) == ("192.0.2.1", 9, "2001:db8::2/64")


def test_no_local_address_is_no_line() -> None:
    tunnel = {**TUNNEL, "local": "any"}
    (text,) = tunnel_ifupdown.files(tunnel).values()
    assert "local" not in text
    read = tunnel_ifupdown.parse("he-ipv6", {OWN: text})
    assert read is not None and "local" not in read
    assert "local" not in (tunnel_ifupdown.parse("he-ipv6", {OWN: text + "    local any\n"}) or {})


def test_what_ifupdown_has_up() -> None:
    state = {"/run/network/ifstate": "lo=lo\neth0=home\n"}
    assert tunnel_ifupdown.about()["evidence"] == list(state)
    assert tunnel_ifupdown.has({"name": "eth0", "index": 2}, state) == "/run/network/ifstate has eth0"
    for name in ("eth", "th0", "eth0.1", "home"):
        assert tunnel_ifupdown.has({"name": name, "index": 3}, state) == ""
    assert tunnel_ifupdown.has({"name": "eth0", "index": 2}, {}) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "iface a inet6 v4tunnel\n endpoint 192.0.2.1\n local 192.0.2.2 # mine\n",
            ("a", "sit", "192.0.2.1", "192.0.2.2"),
        ),
        ("iface a inet6 v4tunnel\n endpoint any\n", ("a", "6to4", "any", "any")),
        ("iface a inet6 6to4\n local 192.0.2.2\n", ("a", "6to4", "any", "192.0.2.2")),
        ("iface a inet tunnel\n mode GRE\n endpoint 192.0.2.1\n", ("a", "gre", "192.0.2.1", "any")),
        ("iface a inet6 v4tunnel\n endpoint `cat x`\n", ("a", "sit", "?", "any")),
        ("iface e inet dhcp\n up ip tunnel add a mode sit remote 192.0.2.1\n", ("a", "sit", "192.0.2.1", "any")),
        (
            "iface a inet6 static\n pre-up ip tun add $IFACE mode sit remote 192.0.2.1\n",
            ("a", "sit", "192.0.2.1", "any"),
        ),
        ("iface sit0 inet6 static\n address 2002:c000:201::1\n", ("sit0", "6to4", "any", "any")),
        ("iface b inet6 v4tunnel\n endpoint 192.0.2.1\n", ("b", "sit", "192.0.2.1", "any")),
    ],
)
def test_every_tunnel_is_seen_whatever_its_name(text: str, found: tuple[str, ...]) -> None:
    (seen,) = tunnel_ifupdown.tunnels({MAIN: f"auto lo\n{text}"})
    assert tuple(seen[key] for key in ("name", "kind", "endpoint", "local")) == found
    assert seen["place"].startswith(f"{MAIN}, line ") and seen["ours"] is False


def test_our_own_is_seen_as_ours_once() -> None:
    assert tunnel_ifupdown.tunnels(tunnel_ifupdown.files(TUNNEL)) == [
        {
            "name": "he-ipv6",
            "kind": "sit",
            "endpoint": "216.66.84.42",
            "local": "46.105.5.1",
            "place": f"{OWN}, line 3",
            "ours": True,
        }
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("iface", "mapping", "mapping\n script x\n", "auto", "source", "source-directory", "iface he-ipv6", "allow-"),
        *(
            "iface he-ipv6 inet6",
            "iface he-ipv6 inherits",
            "iface he-ipv6 inherits he-ipv6",
            "inherits",
            "\\",
            "\\\n\\\n",
        ),
        "iface he-ipv6 inet6 v4tunnel\n address\n netmask\n endpoint\n local\n ttl\n mtu\n gateway\n metric\n up\n",
        "iface he-ipv6 inet6 v4tunnel\n address x/y\n netmask 255.255.255.0\n ttl many\n mtu -1\n gateway x\n",
        "iface he-ipv6 inet6 v4tunnel\n up ip\n up ip tunnel\n up ip tunnel add\n up ip addr add\n up ip link set\n",
        "iface he-ipv6 inet6 v4tunnel\n up ip route add default via\n up route -A inet6 add\n up ifconfig\n up ip -6\n",
        "iface he-ipv6 inet6 v4tunnel\n up $(\n up `\n up \"\n up '\n up ${\n up <<\n up <<X\n up >\n up (((\n up ;;\n",
        "iface a inherits b\niface b inherits a\niface he-ipv6 inherits a\n",
        "\ufeffauto he-ipv6\n\0\udcff iface he-ipv6 inet6 v4tunnel",
    ],
)
def test_what_is_malformed_is_no_traceback(text: str) -> None:
    host = {MAIN: text}
    tunnel_ifupdown.includes(MAIN, text)
    tunnel_ifupdown.tunnels(host)
    tunnel_ifupdown.parse("he-ipv6", host)
    for adopt in (False, True):
        for change in (
            lambda: tunnel_ifupdown.present(TUNNEL, host, adopt),
            lambda: tunnel_ifupdown.absent("he-ipv6", host),
        ):
            with contextlib.suppress(CommandExecutionError):
                change()


def test_blanks_and_continued_lines_mean_what_they_mean_to_ifupdown() -> None:
    text = (
        "  auto   he-ipv6\niface he-ipv6 \\\n  inet6 v4tunnel\n\taddress   2001:db8::2/64  \n"
        "endpoint\t216.66.84.42\n  ttl  64\n"
    )
    read = tunnel_ifupdown.parse("he-ipv6", {MAIN: text})
    assert read is not None
    assert (read["address"], read["endpoint"], read["ttl"]) == ("2001:db8::2/64", "216.66.84.42", 64)


def test_routes_of_hooks_are_read() -> None:
    def read(hook: str) -> Any:
        found = tunnel_ifupdown.parse("he-ipv6", {MAIN: f"iface he-ipv6 inet6 v4tunnel\n    up ip -6 route {hook}\n"})
        return found and (found["routing"], found.get("gateway"), found.get("metric"))

    tail = "default from 2001:db8::/64 via 2001:db8::1"
    assert read(f"replace {tail} metric 7 dev he-ipv6 onlink") == ("source", "2001:db8::1", 7)
    assert read(f"add {tail} dev he-ipv6") == ("source", "2001:db8::1", None)
    assert read(f"del {tail} dev he-ipv6") == ("none", None, None)


@pytest.mark.parametrize(
    ("main", "without"),
    [
        ("auto he-ipv6\n\nauto lo\n", "auto lo\n"),
        ("auto lo\n\nauto he-ipv6\n\nauto eth0\n", "auto lo\n\nauto eth0\n"),
        ("auto lo\n\nauto he-ipv6\n", "auto lo\n"),
        ("auto lo\n\n\nauto eth0\nauto he-ipv6\n", "auto lo\n\n\nauto eth0\n"),
        ("auto lo he-ipv6:1\niface he-ipv6:1 inet6 static\n    address 2001:db8::9/64\n", "auto lo\n"),
        ("auto lo\nauto he-ipv6 # the broker\n", "auto lo\n"),
        ("allow-hotplug he-ipv6 lo\nno-auto-down he-ipv6\n", "allow-hotplug lo\n"),
        ("# kept\nauto lo he-ipv6 eth0\n", "# kept\nauto lo eth0\n"),
    ],
)
def test_what_is_left_when_a_tunnel_is_taken_out(main: str, without: str) -> None:
    assert tunnel_ifupdown.absent("he-ipv6", {MAIN: main}, adopt=True) == {MAIN: without}


def test_a_stanza_without_an_address_gives_none() -> None:
    text = "iface he-ipv6 inet6 manual\niface he-ipv6 inet6 v4tunnel\n    address 2001:db8::2/64\n"
    read = tunnel_ifupdown.parse("he-ipv6", {MAIN: f"{text}iface he-ipv6 inet6 static\n    accept_ra 0\n"})
    assert read is not None
    assert (read["address"], read["source"], read["addresses"]) == ("2001:db8::2/64", "2001:db8::2", [])


def test_a_netmask_is_the_length_of_the_prefix() -> None:
    text = "iface he-ipv6 inet6 v4tunnel\n    address 2001:db8::2\n"
    for more, address in (("", "2001:db8::2/128"), ("    netmask 64\n", "2001:db8::2/64")):
        read = tunnel_ifupdown.parse("he-ipv6", {MAIN: text + more})
        assert read and read["address"] == address


def test_a_line_that_is_continued_at_the_end_of_a_file_ends_there() -> None:
    read = tunnel_ifupdown.parse("he-ipv6", {MAIN: "iface he-ipv6 inet6 v4tunnel\n    local any \\"})
    assert read is not None
    assert tunnel_ifupdown.includes(MAIN, "source a \\")[0] == ["/etc/network/a", ".*"]


@pytest.mark.parametrize("routing", ["default", "source", "none"])
@pytest.mark.parametrize("addresses", [[], TUNNEL["addresses"]])
def test_every_stanza_says_that_routers_are_not_listened_to(routing: str, addresses: list[str]) -> None:
    routes = ["default from 2001:470:1f13:f87::/64 via 2001:470:1f12:f87::1 metric 1024"] if routing == "source" else []
    text = tunnel_ifupdown.files({**TUNNEL, "routing": routing, "addresses": addresses, "routes": routes})[OWN]
    for stanza in text.split("\niface ")[1:]:
        assert sum("accept_ra" in line for line in stanza.splitlines()) == 1, stanza


@pytest.mark.parametrize(
    ("hook", "lost"),
    [
        ("up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || true", False),
        ("post-up echo 0 > /proc/sys/net/ipv6/conf/he-ipv6/autoconf", False),
        ("pre-up sysctl -q -w net.ipv6.conf.he-ipv6.accept_ra=0 || :", False),
        ("up /sbin/sysctl net.ipv6.conf.$IFACE.autoconf=0", False),
        ("up echo 1 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra", True),
        ("up sysctl -w net.ipv6.conf.eth0.accept_ra=0", True),
        ("up sysctl -w net.ipv6.conf.$IFACE.accept_ra=0 && reboot", True),
        ("up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/forwarding", True),
    ],
)
def test_a_hook_that_says_so_is_not_lost(hook: str, lost: bool) -> None:
    text = f"auto he-ipv6\niface he-ipv6 inet6 v4tunnel\n    address 2001:db8::2/64\n    {hook}\n"
    if lost:
        with pytest.raises(CommandExecutionError, match="these lines would be lost: 5"):
            adopted(text)
    else:
        assert hook not in adopted(text)


def test_unassigned_addresses_in_the_file() -> None:
    routed = "2001:470:1f13:f87::/64"
    (text,) = tunnel_ifupdown.files(tunnel_sit.canonical({**GIVEN, "routed": routed})).values()
    route = f"unreachable {routed} metric {tunnel_sit.owner('he-ipv6')}"
    assert f"    up ip -6 route replace {route} || true\n    down ip -6 route del {route} || true\n" in text
    assert "    address 2001:470:1f13:f87::77/128\n" in text


def test_unassigned_addresses_by_hand_are_adopted() -> None:
    lines = (
        "    post-up /sbin/ip -6 route add unreachable 2001:470:1f13:f87::/64 dev lo\n"
        "    pre-down ip -6 route del unreachable 2001:470:1f13:f87::/64 || :\n"
    )
    text = BY_HAND.replace("    endpoint 216.66.84.42\n", f"    endpoint 216.66.84.42\n{lines}")
    assert text != BY_HAND
    read = tunnel_ifupdown.parse("he-ipv6", {MAIN: text})
    assert read and read["routed"] == ["2001:470:1f13:f87::/64"]
    given = {key: value for key, value in GIVEN.items() if key != "addresses"}
    declared = tunnel_sit.canonical({**given, **read, "routed": read["routed"]})
    edits = tunnel_ifupdown.present(declared, {MAIN: text}, adopt=True)
    assert "unreachable" not in edits[MAIN] and f"up ip -6 route replace {declared['unreachable'][0]}" in edits[OWN]
    with pytest.raises(CommandExecutionError, match=r"routed: 2001:470:1f13:f87::/64 in .*, and the pillar has none"):
        tunnel_ifupdown.present(tunnel_sit.canonical({**given, **read, "routed": []}), {MAIN: text}, adopt=True)


def test_gre_in_the_file() -> None:
    (text,) = tunnel_ifupdown.files(tunnel_sit.canonical({**GIVEN, "carrier": "gre"})).values()
    assert "v4tunnel" not in text and "    mtu 1476\n" in text
    add = "ip tunnel add $IFACE mode gre remote 216.66.84.42 local 46.105.5.1 ttl 255 || true"
    assert f"iface he-ipv6 inet6 static\n    pre-up {add}\n    post-down ip link del dev $IFACE || true\n" in text
    (found,) = tunnel_ifupdown.tunnels({OWN: text})
    assert (found["kind"], found["endpoint"], found["ours"]) == ("gre", "216.66.84.42", True)


def test_the_device_of_a_bound_tunnel_is_brought_up_first() -> None:
    """Debian's main file begins with the line that includes ours: a VLAN in it would be made after the tunnel."""
    tunnel = tunnel_sit.canonical({**GIVEN, "dev": "eth0.100"})
    (text,) = tunnel_ifupdown.files(tunnel).values()
    hooks = [line.strip() for line in text.splitlines() if line.strip().startswith("pre-up")]
    assert hooks[0] == "pre-up ip link show dev eth0.100 >/dev/null 2>&1 || ifup eth0.100 || true"
    assert hooks[1].startswith("pre-up ip tunnel add $IFACE ") and len(hooks) == 2
    assert tunnel_ifupdown.parse("he-ipv6", {MAIN: SOURCES, OWN: text}) is not None
    assert tunnel_sit.canonical(tunnel_ifupdown.parse("he-ipv6", {MAIN: SOURCES, OWN: text}) or {}) == tunnel
    assert "ifup" not in "".join(tunnel_ifupdown.files(TUNNEL).values())


def test_a_last_line_that_goes_on_does_not_take_ours() -> None:
    host = {MAIN: "auto eth0\niface eth0 inet dhcp\n    up echo one \\\n"}
    after = {**host, **tunnel_ifupdown.present(TUNNEL, host)}
    assert after[MAIN] == f"{host[MAIN]}\nsource {OWN}\n"
    assert tunnel_ifupdown.includes(MAIN, after[MAIN]) == [[OWN, ".*"]]
