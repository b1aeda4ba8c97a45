"""Which lines of a boot's files change the firewall, and which only look or load the same."""

from __future__ import annotations

import _dualstack_boot_text as boot_text
import pytest

CHANGES = (
    "iptables-restore < /etc/iptables.up.rules",
    "/sbin/iptables-restore /etc/firewall.conf",
    "ip6tables-legacy-restore -n </etc/ip6.rules",
    "iptables-apply /etc/x",
    "iptables -A INPUT -p tcp --dport 22 -j ACCEPT",
    "  /usr/sbin/iptables -w -t nat -I POSTROUTING 1 -j MASQUERADE",
    "ip6tables -P INPUT DROP",
    "ip6tables --policy INPUT DROP",
    "[ -x /sbin/iptables ] && /sbin/iptables -F",
    "if ! iptables -N wall; then exit; fi",
    '"$IPTABLES" -F INPUT',
    "$IPT -A INPUT -j DROP",
    "${IPT6} -X",
    "nft -f /etc/other.nft",
    "nft flush ruleset",
    "nft add rule inet filter input drop",
    "ipset destroy",
    "ipset -q flush admins",
    "sh -c 'iptables -F'",
    "iptables-restore < /etc/iptables/rules.v4; iptables -F",
    "iptables-restore < /etc/iptables/rules.v6",
    "iptables-restore < /etc/iptables/rules.v4.old",
)
HARMLESS = (
    "iptables -L -n",
    "iptables -S",
    "iptables -C INPUT -j DROP",
    "iptables-save > /var/backups/x",
    "modprobe ip_tables",
    "echo iptables are nice",
    "# iptables -F",
    "true # iptables -F",
    "nft list ruleset",
    "ipset list",
    "ipset create admins hash:ip",
    "ipset restore -exist < /etc/iptables/ipsets",
    "myiptables -F",
    "iptables-restore < /etc/iptables/rules.v4",
    "ip6tables-restore </etc/iptables/rules.v6",
    "/sbin/iptables-restore -w /etc/iptables/rules.v4 && ip6tables-restore < /etc/iptables/rules.v6",
    "service apache2 -F; iptables -L",
)


@pytest.mark.parametrize("line", CHANGES)
def test_a_line_that_changes_the_firewall_is_found(line: str) -> None:
    text = f"#!/bin/sh\n# a script\n\n{line}\nexit 0\n"
    assert boot_text.script(text) == [(4, line.strip())]


@pytest.mark.parametrize("line", HARMLESS)
def test_a_line_that_only_looks_or_loads_the_same_is_none(line: str) -> None:
    assert boot_text.script(f"#!/bin/sh\n{line}\n") == []


@pytest.mark.parametrize("line", CHANGES)
def test_the_part_of_a_line_that_changes_it_is_told_alone(line: str) -> None:
    part = boot_text.command(f"login password && {line}; logout password")
    assert "log" not in part
    assert part in line
    assert boot_text.command(part)


def test_a_line_that_goes_on_has_the_number_of_its_first() -> None:
    assert boot_text.script("#!/bin/sh\niptables \\\n  -A INPUT \\\n  -j DROP\ntrue\\\n") == [
        (2, "iptables    -A INPUT    -j DROP")
    ]


def test_the_commands_of_a_unit_are_those_of_its_start() -> None:
    text = (
        "[Service]\nExecStartPre=-/bin/a\n#ExecStart=/bin/b\nExecStart=/bin/sh \\\n -c x\nExecStop=/bin/d\nExecStart=\n"
    )
    assert boot_text.unit(text) == [(2, "/bin/a"), (4, "/bin/sh   -c x")]


def test_the_commands_of_ifupdown_are_those_of_its_way_up() -> None:
    text = (
        "auto eth0\niface eth0 inet static\n  address 192.0.2.1\n  pre-up iptables-restore < /etc/x\n"
        "  up /bin/a\n  # up /bin/b\n  post-up /bin/c\n  down /bin/d\n  upstream 1\n"
    )
    assert boot_text.hooks(text) == [(4, "iptables-restore < /etc/x"), (5, "/bin/a"), (7, "/bin/c")]


def test_the_commands_of_cron_are_those_of_a_boot() -> None:
    assert boot_text.reboots("5 4 * * * root iptables -F\n@reboot root /bin/a\n#@reboot root /bin/b\n") == [
        (2, "@reboot root /bin/a")
    ]


def test_programs_are_the_paths_of_a_line() -> None:
    line = "[ -x /etc/fw.sh ] && sh /etc/fw.sh </etc/rules >/dev/null 2>&1 a/b $HOME/c"
    assert boot_text.programs(line) == ["/etc/fw.sh", "/etc/fw.sh", "/etc/rules", "/dev/null"]


def test_what_flushes_is_found_and_which_family() -> None:
    text = "#!/usr/sbin/nft -f\n# flush ruleset\nflush ruleset\n  flush ruleset ip6; add table ip x\nflush table ip x\n"
    text += 'table ip y { chain z { log prefix "flush ruleset" } }\n'
    assert boot_text.flushes(text) == [((3, "flush ruleset"), ""), ((4, "flush ruleset ip6; add table ip x"), "ip6")]


def test_includes_of_nft_are_patterns_below_etc() -> None:
    assert boot_text.included('include "/etc/nftables.d/*.nft"\n#include "a"\n include "b.nft"\n') == [
        "/etc/nftables.d/*.nft",
        "/etc/b.nft",
    ]


def test_tables_of_nft_are_told_apart() -> None:
    listed = "# Warning: x\ntable ip filter {\n\tchain a {\n\t}\n}\ntable inet mine {\n}\n"
    assert boot_text.nft_tables(listed) == {
        "ip filter": "table ip filter {\n\tchain a {\n\t}\n}",
        "inet mine": "table inet mine {\n}",
    }
    assert boot_text.nft_tables("") == {}
