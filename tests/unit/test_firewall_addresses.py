"""Addresses in a rule: which family they are of, what of a list is left, and what the commands would misread."""

from __future__ import annotations

import _dualstack_firewall_rules as firewall_rules
import pytest
from salt.exceptions import SaltInvocationError


def said(rule: str) -> tuple[str | None, str | None, list[str]]:
    """The rule for IPv4, that for IPv6, and the warnings."""
    result = firewall_rules.translate(rule)
    ipv4, ipv6 = ((result[family] or [None])[0] for family in ("ipv4", "ipv6"))
    return ipv4, ipv6, result["warnings"]


def error(rule: str) -> str:
    with pytest.raises(SaltInvocationError) as caught:
        firewall_rules.translate(rule)
    return str(caught.value)


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "0.0.0.0/0", "255.255.255.255/32", "10/8", "10.1", "10.0.0.0/255.0.0.0"]
)
def test_an_address_of_ipv4(address: str) -> None:
    assert said(f"-s {address} -j DROP") == (f"-s {address} -j DROP", None, [])


@pytest.mark.parametrize("address", ["2001:db8::1", "::/0", "::1/128", "::ffff:192.0.2.1", "2001:db8::/ffff:ffff::"])
def test_an_address_of_ipv6(address: str) -> None:
    assert said(f"-d {address} -j DROP") == (None, f"-d {address} -j DROP", [])


def test_brackets_are_taken_off() -> None:
    assert said("-s [2001:db8::1]/64") == (None, "-s 2001:db8::1/64", [])


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("010.0.0.1", "the commands read `010` as octal or hexadecimal; write it as a decimal number"),
        ("10.0.00.1", "the commands read `00` as octal or hexadecimal; write it as a decimal number"),
        ("0x0a000001", "the commands read `0x0a000001` as octal or hexadecimal; write it as a decimal number"),
        ("1.2.3.4.5", "`1.2.3.4.5` is not an IPv4 address"),
        ("256.1.1.1", "`256.1.1.1` is not an IPv4 address"),
        ("1..2", "`1..2` is not an IPv4 address"),
        ("192.0.2.1/33", "`192.0.2.1/33`: a mask length is at most 32"),
        ("192.0.2.1/255.0.0.256", "`255.0.0.256` is not an IPv4 address"),
        ("::1/129", "`::1/129`: a mask length is at most 128"),
        ("2001:db8::g", "`2001:db8::g` is not an IPv6 address"),
        ("::1/ffff::g", "`ffff::g` is not an IPv6 address"),
        ("fe80::1%eth0", "the commands drop the zone silently; name the interface with `-i` or `-o`"),
        ("/24", "`/24` is not an address"),
        ("www/", "`www/` is not an address"),
        ("192.0.2.1,,192.0.2.2", "`` is not an address"),
    ],
)
def test_what_the_commands_would_misread_is_refused(address: str, why: str) -> None:
    for option in ("-s", "-d"):
        found = error(f"{option} {address} -j DROP")
        assert found.startswith(f"`{option} {address}`: ") and found.endswith(why)


@pytest.mark.parametrize(
    ("mask", "family"),
    [("33", "ipv6"), ("128", "ipv6"), ("255.255.255.0", "ipv4"), ("ffff::", "ipv6"), ("24", None), ("32", None)],
)
def test_a_host_name_with_a_mask(mask: str, family: str | None) -> None:
    rule = f"-s www.example.org/{mask}"
    if family:
        assert said(rule) == ((rule, None, []) if family == "ipv4" else (None, rule, []))
    else:
        assert error(rule) == f"`{rule}`: a mask length means something else in IPv6; set `family:`"
    assert said("-4 -s www.example.org/24") == ("-s www.example.org/24", None, [])
    assert said("-6 -s www.example.org/24") == (None, "-s www.example.org/24", [])


@pytest.mark.parametrize("mask", ["0", "00", "0.0.0.0", "::"])
def test_a_name_with_a_mask_of_nothing_would_be_any(mask: str) -> None:
    said = f"`-s www/{mask}`: a mask of length 0 means *any*, whatever stands before it"
    assert error(f"-s www/{mask} -j ACCEPT") == said


@pytest.mark.parametrize(
    ("listed", "ipv4", "ipv6"),
    [
        ("192.0.2.1,2001:db8::1", "192.0.2.1", "2001:db8::1"),
        ("www,192.0.2.1", "www,192.0.2.1", "www"),
        ("10.0.0.0/8,10.1.0.0/16,11.0.0.0/8", "10.0.0.0/8,11.0.0.0/8", None),
        ("10.1.0.0/16,10.0.0.0/8", "10.0.0.0/8", None),
        ("10/8,10.1.2.3", "10/8", None),
        ("10.1,10.1.0.0,10.1.0.1", "10.1,10.1.0.1", None),
        ("192.0.2.1,192.0.2.1", "192.0.2.1", None),
        ("10.0.0.0/9,10.128.0.0/9", "10.0.0.0/9,10.128.0.0/9", None),
        ("2001:db8:1::/48,2001:db8::/32,2001:db9::/32", None, "2001:db8::/32,2001:db9::/32"),
        ("::1,::1/128", None, "::1"),
        ("2001:db8::1,::/0", None, "::/0"),
        ("10.0.0.0/255.0.255.0,10.0.0.0/8", "10.0.0.0/255.0.255.0,10.0.0.0/8", None),
    ],
)
def test_what_is_left_of_a_list(listed: str, ipv4: str | None, ipv6: str | None) -> None:
    """Each family has its part, without what is inside of something else."""
    expected = [each and f"-s {each} -j DROP" for each in (ipv4, ipv6)]
    assert said(f"-s {listed} -j DROP") == (*expected, [])


def test_a_part_that_is_lost_is_a_warning() -> None:
    assert said("-s 192.0.2.1,2001:db8::1 -m realm --realm 1")[2] == [
        "`-s 2001:db8::1` is left out for IPv6: `-m realm`: exists in IPv4 only"
    ]
    assert said("-d 2001:db8::1,192.0.2.1,192.0.2.2 -p icmpv6")[2] == [
        "`-d 192.0.2.1,192.0.2.2` is left out for IPv4: `-p icmpv6`: is a protocol of IPv6"
    ]
    assert said("-d www,2001:db8::1 -p icmpv6")[2] == [], "a name is lost to nobody"


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_all_but_an_address_is_for_its_family_with_a_warning(address: str) -> None:
    rule, ours, other = f"! -s {address} -j DROP", *(("IPv6", "IPv4") if ":" in address else ("IPv4", "IPv6"))
    ipv4, ipv6, warnings = said(rule)
    assert (ipv4, ipv6) == ((None, rule) if ":" in address else (rule, None))
    assert warnings == [f"the rule is for {ours} only. `! -s {address}`: names {ours} addresses only"]
    assert other not in warnings[0]
    assert said(f"-{ours[-1]} {rule}")[2] == []
    assert said(f"{rule} -d {address}")[2] == [], "that is for one family anyhow"


def test_all_but_one_of_each_family() -> None:
    assert said("! -s 192.0.2.1,2001:db8::1") == ("! -s 192.0.2.1", "! -s 2001:db8::1", [])
    for several in ("192.0.2.1,192.0.2.2", "2001:db8::1,2001:db8::2"):
        assert error(f"! -s {several}").endswith(
            "the commands cannot express a negated list; use a set or several rules"
        )


@pytest.mark.parametrize(
    ("target", "family"),
    [
        ("192.0.2.1", "ipv4"),
        ("192.0.2.1:80", "ipv4"),
        ("192.0.2.1-192.0.2.9:80-90", "ipv4"),
        ("2001:db8::1", "ipv6"),
        ("[2001:db8::1]:80", "ipv6"),
        ("[2001:db8::1-2001:db8::9]:80", "ipv6"),
        (":80", None),
        ("www:80", None),
        ("80-90", None),
    ],
)
def test_where_a_connection_is_led_to(target: str, family: str | None) -> None:
    rule = f"-p tcp -j DNAT --to-destination {target}"
    assert said(rule)[:2] == (rule if family != "ipv6" else None, rule if family != "ipv4" else None)


def test_a_range_is_of_one_family() -> None:
    assert "begins in one family and ends in the other" in error("-m iprange --src-range [::1-192.0.2.1]")
    assert "`10.0.0.256` is not an IPv4 address" in error("-j DNAT --to-destination 10.0.0.256")
