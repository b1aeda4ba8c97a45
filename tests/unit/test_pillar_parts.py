"""Kernel parameters, the proof, and names that differ: each kind of error with its sentence."""

from __future__ import annotations

from typing import Any

import _dualstack_pillar as pillar
import _dualstack_pillar_parts as pillar_parts
import pytest

KNOWN = pillar.Known({}, {}, {})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("net.ipv6.bindv6only", 0, None),
        ("net.ipv6.bindv6only", 1, None),
        ("net.ipv6.bindv6only", 2, "2 is not 0 or 1"),
        ("net.ipv6.bindv6only", "1", "'1' is not 0 or 1, without quotes"),
        ("net.ipv6.bindv6only", "0", "'0' is not 0 or 1, without quotes"),
        ("net.ipv6.bindv6only", True, "True is not 0 or 1"),
        ("net.ipv6.bindv6only", 1.0, "1.0 is not 0 or 1"),
        ("net.ipv6.conf.he-ipv6.accept_ra", 0, None),
        ("net.ipv4.conf.eth0/100.rp_filter", 0, None),
        ("vm.swappiness", "1  2\t3", None),
        ("vm.swappiness", True, "True is not a number or a text; true and false are written 1 and 0"),
        ("vm.swappiness", [1], "[1] is not a number or a text; true and false are written 1 and 0"),
        ("vm.swappiness", " 1", "' 1' is not a value in one line, without blanks at its ends"),
        ("vm.swappiness", "1\n2", "'1\\n2' is not a value in one line, without blanks at its ends"),
        ("vm.swappiness", "", "'' is not a value in one line, without blanks at its ends"),
        ("vm.swappiness", "\u00fc", "'\u00fc' has characters that are not ASCII"),
        ("net/ipv6/bindv6only", 1, "not the name of a kernel parameter; expected net.ipv6.bindv6only"),
        ("bindv6only", 1, "not the name of a kernel parameter, as in net.ipv6.bindv6only"),
        ("net..ipv6", 1, "not the name of a kernel parameter, as in net.ipv6.bindv6only"),
        (f"net.{'x' * 146}", 1, None),
        (f"net.{'x' * 147}", 1, "not the name of a kernel parameter, which has at most 150 characters"),
    ],
)
def test_kernel_parameters(key: str, value: Any, said: str | None) -> None:
    assert list(pillar_parts.sysctl_errors({key: value})) == ([f"{key}: {said}"] if said else [])


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("net.ipv6.bindv6only", ""),
        ("net.ipv6.bindv6onyl", "there is no 'bindv6onyl' in /proc/sys/net/ipv6; did you mean bindv6only?"),
        ("net.ipv6.conf.all.accept_raa", "there is no 'accept_raa' in /proc/sys/net/ipv6/conf/all; did you mean "),
        ("net.ipv6.zzz", "there is no 'zzz' in /proc/sys/net/ipv6"),
        ("net.ipv6.conf", "this is not a parameter, but a group of them"),
        ("net.ipv6.conf.none0.accept_ra", ""),  # an interface may come
        ("net.ipv6.conf.none0/7.accept_ra", ""),
        ("net.ipv6.conf.all.zzzzzz", "there is no 'zzzzzz' in /proc/sys/net/ipv6/conf/all"),
        ("net.ipv4.neigh.lo.zzzzzz", "there is no 'zzzzzz' in /proc/sys/net/ipv4/neigh/lo"),
        ("net.ipv4.zzzzzz", "there is no 'zzzzzz' in /proc/sys/net/ipv4"),
        ("net.core.zzzzzz", "there is no 'zzzzzz' in /proc/sys/net/core"),
        ("net.ipv6.icmp.zzzzzz", "there is no 'zzzzzz' in /proc/sys/net/ipv6/icmp"),
        ("net.ipv6.route.zzzzzz", "there is no 'zzzzzz' in /proc/sys/net/ipv6/route"),
        ("zzzzzz.x", "there is no 'zzzzzz' in /proc/sys"),
        ("net.zzzzzz.x", ""),  # as a module may bring net.netfilter
        ("fs.zzzzzz", ""),
    ],
)
def test_what_this_kernel_has_not(key: str, said: str) -> None:
    found = pillar_parts.not_there(key)
    assert found.startswith(said) if said.endswith("mean ") else found == said


@pytest.mark.parametrize(
    ("verify", "said"),
    [
        ({"prober": "web1.example.org", "beyond": ["2001:4860:4860::8888", "2001:4860:4860::8844"]}, []),
        ({"public_ipv4": "46.105.5.1"}, []),
        ({"public_ipv4": "198.51.100.7"}, []),  # the demo's world is one of documentation
        ({"public_ipv4": "2001:db8::1"}, ["public_ipv4: '2001:db8::1' is not an IPv4 address"]),
        ({"public_ipv4": "46.105.5.1/24"}, ["public_ipv4: '46.105.5.1/24' is not an IPv4 address"]),
        ({"public_ipv4": 771294465}, ["public_ipv4: 771294465 is not an IPv4 address"]),
        ({"public_ipv4": None}, ["public_ipv4: None is not an IPv4 address"]),
        ({"public_ipv4": ["46.105.5.1"]}, ["public_ipv4: ['46.105.5.1'] is not an IPv4 address"]),
        *(
            (
                {"public_ipv4": each},
                [f"public_ipv4: {each} is not a public IPv4 address, by which hosts of other networks reach this one"],
            )
            for each in ("192.168.7.2", "10.0.0.5", "100.64.0.1", "127.0.0.1", "169.254.1.1", "0.0.0.0", "224.0.0.1")
        ),
        ({"prober": "web*"}, ["prober: 'web*' is not the id of one minion, without blanks and patterns"]),
        ({"prober": 7}, ["prober: 7 is not the id of one minion, without blanks and patterns"]),
        ({"beyond": "2001:db8::1"}, ["beyond: expected a list of IPv6 addresses, found '2001:db8::1'"]),
        ({"beyond": [7]}, ["beyond[0]: 7 is not an IPv6 address"]),
        ({"beyond": ["2001:db8::1", "192.0.2.1"]}, ["beyond[1]: '192.0.2.1' is not an IPv6 address"]),
        ({"beyond": ["2001:db8::1", "2001:DB8:0::1"]}, ["beyond[1]: '2001:DB8:0::1' is given twice"]),
        *(
            ({"beyond": [each]}, [f"beyond[0]: {each!r} is not a global IPv6 unicast address"])
            for each in ("ff02::1", "::1", "::", "fe80::1", "::ffff:192.0.2.1", "2001:db8::1%eth0")
        ),
        ({"bejond": []}, ["bejond: unknown key; did you mean beyond?"]),
    ],
)
def test_the_proof(verify: Any, said: list[str]) -> None:
    assert list(pillar_parts.verify_errors(verify)) == said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["vsftpd", "getty@tty1.service"], []),
        ("vsftpd", [": expected a list of services, found 'vsftpd'"]),
        (["a", "b", "a"], ["[2]: 'a' is given twice"]),
        (["a b"], ["[0]: 'a b' is not the name of a service; expected a list of services, such as [vsftpd]"]),
        ([7], ["[0]: 7 is not the name of a service; expected a list of services, such as [vsftpd]"]),
    ],
)
def test_services_that_are_left_out(names: Any, said: list[str]) -> None:
    assert list(pillar_parts.name_errors(names)) == said


NO_FILE = "is not a file that is read at boot; expected for example /etc/sysctl.d/local.conf"


@pytest.mark.parametrize(
    ("lookup", "said"),
    [
        ({}, []),
        ({"sysctl_file": "/etc/sysctl.conf"}, []),
        ({"sysctl_file": "/etc/sysctl.d/99-x_y.conf"}, []),
        *(
            ({"sysctl_file": each}, [f"sysctl_file: {each!r} {NO_FILE}"])
            for each in ("/etc/sysctlxconf", "/etc/sysctl.d/x", "/etc/sysctl.d/.x.conf", "/etc/sysctl.d/a/b.conf", 5)
        ),
        ({"packages": []}, ["packages: expected a mapping of names of packages, found []"]),
        *(({"packages": {each: "python3-x"}}, []) for each in ("ifupdown", "netaddr", "dnspython", "lexicon")),
        *(({"packages": {each: ["a1", "b+c.d-e"]}}, []) for each in ("tunnel", "firewall")),
        *(
            ({"packages": {each: value}}, [f"packages:{each}: expected a list of packages, found {value!r}"])
            for each in ("tunnel", "firewall")
            for value in ("iproute2", 5)
        ),
        ({"packages": {"ifupdown": ["x"]}}, ["packages:ifupdown: ['x'] is not the name of a package, as in Debian"]),
        (
            {"packages": {"tunnel": ["ok", "A B"]}},
            ["packages:tunnel: ['ok', 'A B'] is not the name of a package, as in "],
        ),
        ({"packages": {"tunel": ["x"]}}, ["packages:tunel: unknown key; did you mean tunnel?"]),
        ({"sysctl": 1}, ["sysctl: unknown key; did you mean sysctl_file?"]),
    ],
)
def test_names_that_differ(lookup: Any, said: list[str]) -> None:
    found = list(pillar_parts.lookup_errors(lookup))
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said))


# --------------------------------------------------------------------------------------------------------------
# Any part


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("tunnel", "the tunnel's numbers"),
        ("firewall", "the firewall's tables"),
        ("sysctl", "kernel parameters"),
        ("services", "services"),
        ("verify", "what proves that IPv6 works"),
        ("dns", "where the AAAA records are published"),
        ("lookup", "what is called otherwise on this host"),
    ],
)
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "nothing"),
        (True, "true or false"),
        (5, "a whole number"),
        (1.5, "a number"),
        ("x", "text"),
        ([], "a list"),
        (b"x", "a bytes"),
    ],
)
def test_a_part_is_a_mapping(part: str, words: str, value: Any, kind: str) -> None:
    (said,) = pillar.errors({part: value}, KNOWN)
    if (part, value) == ("dns", []):  # which may be a list, but not without an entry
        assert said.startswith("ipv6:dns: expected a mapping with ") and said.endswith(", found an empty list")
    else:
        assert said == f"ipv6:{part}: expected a mapping of {words}, found {kind}"


def test_what_cannot_be_in_a_file_is_refused_before_all_else() -> None:
    printed = "expected text that can be printed, found the character"
    for text, character in (
        ("\x00", "0000"),
        ("\x7f", "007F"),
        ("\x1b[2J", "001B"),
        ("\ud83d", "D83D"),
        ("\x85", "0085"),
    ):
        assert pillar.errors({"verify": {"prober": f"x{text}"}}, KNOWN) == [
            f"ipv6:verify:prober: {printed} U+{character} in it"
        ]
    assert pillar.errors({"verify": {"beyond": ["\x00"]}}, KNOWN) == [f"ipv6:verify:beyond[0]: {printed} U+0000 in it"]
    assert pillar.errors({"sysctl": {5: 1}}, KNOWN) == [
        "ipv6:sysctl:5: expected a key that is text, found a whole number; should it be quoted?"
    ]
    assert pillar.errors({"verify": {"prober": b"x"}}, KNOWN) == [
        "ipv6:verify:prober: expected text, a number, a list or a mapping, found a bytes; should it be quoted?"
    ]


def test_a_key_without_a_value_is_asked_about() -> None:
    said = "expected a value, found nothing; leave the key out if none is meant"
    assert pillar.errors({"lookup": {"packages": {}}}, KNOWN) == []
    assert pillar.errors({"firewall": {"tables": {"filter": {"INPUT": None}}}}, KNOWN) == [
        f"ipv6:firewall:tables:filter:INPUT: {said}"
    ]
    assert pillar.errors({"sysctl_except": None}, KNOWN) == [
        "ipv6:sysctl_except: expected a list of services, found None"
    ]


def test_numbers_as_keys_where_they_are_ports_and_groups() -> None:
    groups = {"filter": {"INPUT": {"rules": {10: ["-i lo -j ACCEPT"], 20: []}}}}
    assert pillar.errors({"firewall": {"tables": groups}}, KNOWN) == []
    mixed: Any = {"filter": {"INPUT": {"rules": {10: [], "x": [], None: []}}}}
    assert len(pillar.errors({"firewall": {"tables": mixed}}, KNOWN)) == 2


def test_a_long_value_does_not_make_a_long_sentence() -> None:
    (said,) = pillar.errors({"verify": {"prober": "a b" * 1000}}, KNOWN)
    assert said.startswith("ipv6:verify:prober: 'a ba b") and said.endswith("without blanks and patterns")
    assert len(said) == 605 and " ... " in said


def test_what_is_no_pillar_at_all() -> None:
    parts = "tunnel, tunnels, native, firewall, sysctl, services, verify, dns"
    assert pillar.errors(["x"], KNOWN) == [f"ipv6: expected a mapping with the parts {parts}, found ['x']"]
    assert pillar.errors({"sysctl_exept": []}, KNOWN) == ["ipv6:sysctl_exept: unknown key; did you mean sysctl_except?"]


# --------------------------------------------------------------------------------------------------------------
# The check of a host's pillar


def checked(given: Any, key: Any = "ipv6", supported: Any = None, **grains: str) -> tuple[bool | None, str]:
    found = pillar.checked({"ipv6": given, "other": given}, key, supported or {}, KNOWN, grains, "/nowhere")
    return found.holds, found.comment


def test_the_finding_about_a_pillar() -> None:
    assert checked({}) == (True, "it is valid")
    assert checked({"sysctl": {"vm.swappiness": 1}}) == (True, "it is valid")
    assert checked({"sysctl": {"net.ipv6.zzz": 1}}) == (
        *(False, "ipv6:sysctl:net.ipv6.zzz: there is no 'zzz' in /proc/sys/net/ipv6"),
    )
    assert checked({"sysctl": 5})[0] is False


def test_a_key_of_the_pillar_that_is_wrong() -> None:
    assert checked({}, key=5) == (False, "pillar: expected a key of the pillar, such as ipv6, found a whole number")
    none = "there is no such pillar for this host; an empty one, {}, manages nothing"
    assert checked({}, key="ipv7") == (False, f"ipv7: {none}")
    parts = "tunnel, tunnels, native, firewall, sysctl, services, verify, dns"
    assert checked("s3cret", key="other") == (False, f"other: expected a mapping with the parts {parts}, found text")


def test_a_host_that_is_not_supported() -> None:
    supported = {"Debian": ["11", "13"]}
    given = {"sysctl": {"vm.swappiness": 1}}
    assert checked(given, supported=supported, os="Debian", osrelease="13") == (True, "it is valid")
    assert checked(given, supported=supported, os="Debian", osrelease="10") == (
        *(False, "ipv6:sysctl is not supported on Debian 10; expected Debian 11 to 13"),
    )
    said = "warning: Debian 14 is not among the releases that are supported (Debian 11 to 13): it was not tried"
    assert checked(given, supported=supported, os="Debian", osrelease="14") == (True, f"it is valid\n{said}")
    assert "without the number of a release (it says '')" in checked(given, supported=supported, os="Debian")[1]
    assert checked({}, supported=supported, os="Debian", osrelease="14") == (True, "it is valid")
