"""What a boot makes of files of sysctl.d(5): how lines and names are read, and which line counts."""

from __future__ import annotations

import _dualstack_host_sysctl_boot as host_sysctl_boot
import pytest

# As Debian ships it, and as the manual page of sysctl.d(5) has it.
DEBIAN = """\
# Uncomment the next two lines to enable Spoof protection (reverse-path filter)
#net.ipv4.conf.default.rp_filter=1
; net.ipv4.conf.all.rp_filter=1

net.ipv4.ip_forward=1
  kernel.modprobe = /sbin/mod probe
"""
MANUAL = """\
net.ipv4.conf.default.rp_filter = 2
net.ipv4.conf.*.rp_filter = 2
-net.ipv4.conf.all.rp_filter
net.ipv4.conf.hub0.rp_filter = 1
"""


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("net.ipv6.bindv6only", "net/ipv6/bindv6only"),
        ("net/ipv6/bindv6only", "net/ipv6/bindv6only"),
        ("net.ipv4.conf.enp3s0/200.forwarding", "net/ipv4/conf/enp3s0.200/forwarding"),
        ("net/ipv4/conf/enp3s0.200/forwarding", "net/ipv4/conf/enp3s0.200/forwarding"),
        ("net.ipv4.conf.*.rp_filter", "net/ipv4/conf/*/rp_filter"),
        ("/net/ipv4//ip_forward", "net/ipv4/ip_forward"),
        ("kernel", "kernel"),
    ],
)
def test_a_name_with_dots_or_slashes_is_one_key(name: str, key: str) -> None:
    assert host_sysctl_boot.key(name) == key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DEBIAN, [("net/ipv4/ip_forward", "1", 5), ("kernel/modprobe", "/sbin/mod probe", 6)]),
        ("-a.b = 1\n", [("a/b", "1", 1)]),
        ("- a.b\n", [("a/b", None, 1)]),
        ("a.b\n=\n", [("", "", 2)]),
        ("a.b=", [("a/b", "", 1)]),
        ("a.b = c = d # e \r\n", [("a/b", "c = d # e", 1)]),
        ("a.b = 1\x0ba.c = 2\n", [("a/b", "1\x0ba.c = 2", 1)]),
        ("", []),
    ],
)
def test_a_line_sets_or_excludes_or_is_a_comment(text: str, expected: list[tuple[str, str | None, int]]) -> None:
    found = list(host_sysctl_boot.settings(text, "f"))
    assert [(each.key, each.value, each.line) for each in found] == expected
    assert {each.file for each in found} <= {"f"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("default", "2"), ("eth0", "2"), ("eth0/100", "2"), ("hub0", "1"), ("all", None), (".x", "2")],
)
def test_the_example_of_the_manual_page(name: str, value: str | None) -> None:
    found = list(host_sysctl_boot.settings(MANUAL, "f"))
    key = host_sysctl_boot.key(f"net.ipv4.conf.{name}.rp_filter") if name[0] != "." else "net/ipv4/conf/.x/rp_filter"
    for decide in (host_sysctl_boot.by_systemd, host_sysctl_boot.by_procps):
        decided = decide(found, key)
        assert decided and decided.value == value, (decide, name)


def test_what_no_line_names_has_no_line() -> None:
    found = list(host_sysctl_boot.settings(MANUAL, "f"))
    assert host_sysctl_boot.by_systemd(found, "net/ipv4/conf/a/b/rp_filter") is None
    assert host_sysctl_boot.by_procps(found, "net/ipv4/ip_forward") is None
