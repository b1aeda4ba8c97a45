"""The configuration of ifupdown: written, read, found in other files, moved."""

from __future__ import annotations

from typing import Any

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
    ],
)
def test_what_is_written_is_read_again(change: dict[str, Any]) -> None:
    tunnel = tunnel_sit.canonical({**GIVEN, **change})
    read = tunnel_ifupdown.parse(tunnel["name"], tunnel_ifupdown.files(tunnel))
    assert read is not None
    again = tunnel_sit.canonical(read)
    if tunnel["routing"] == "none":  # which has no gateway in the file, and no metric
        again.update(gateway=tunnel["gateway"], metric=tunnel["metric"])
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
    assert tunnel_ifupdown.absent("he-ipv6", {MAIN: main, OWN: tunnel_ifupdown.HEADER}) == {
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


@pytest.mark.parametrize(
    "line",
    [
        *("metric 5", "preferred-lifetime 0", "accept_ra 0", "autoconf 0", "dad-attempts 0", "mtu 1480", "ttl 64"),
        *("up ip -6 addr add 2001:db8::7/64 dev $IFACE", "post-up /sbin/ip a replace 2001:db8::7/64 dev he-ipv6"),
        *("pre-up ip address add 2001:db8::7/64 dev ${IFACE}", 'down ip addr del 2001:db8::7/64 dev "$IFACE"'),
        *(
            "pre-down ip addr delete 2001:db8::7/64 dev he-ipv6",
            "post-down ip -6 route del default via fe80::1 dev he-ipv6",
        ),
        *(
            "up ip r add default via fe80::1 metric 5 dev he-ipv6 onlink",
            "up ip -6 route replace default via ::1 dev $IFACE",
        ),
    ],
)
def test_adopting_takes_over_what_a_tunnel_can_say(line: str) -> None:
    text = f"iface he-ipv6 inet6 v4tunnel\n    endpoint 216.66.84.42\n    {line}\n"
    assert tunnel_ifupdown.present(TUNNEL, {MAIN: SOURCES + text}, adopt=True)[MAIN] == SOURCES


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
        with pytest.raises(CommandExecutionError, match="these lines would be lost: 4"):
            tunnel_ifupdown.present(TUNNEL, {MAIN: text}, adopt=True)
    else:
        assert hook not in tunnel_ifupdown.present(TUNNEL, {MAIN: text}, adopt=True)[MAIN]
