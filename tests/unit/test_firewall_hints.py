"""Rules that mean something else than they seem to: what to write is told."""

from __future__ import annotations

from typing import Any

import _dualstack_firewall_rules as firewall_rules
import pytest
from salt.exceptions import SaltInvocationError


def warnings(rule: Any) -> list[str]:
    found: list[str] = firewall_rules.translate(rule)["warnings"]
    return found


DNAT = "-p tcp --dport 80 -j DNAT --to-destination"


@pytest.mark.parametrize(
    ("rule", "meant"),
    [
        (f"{DNAT} 2001:db8::1:80", "[2001:db8::1]:80"),
        (f"{DNAT} 192.0.2.1:80,2001:db8::1:80", "[2001:db8::1]:80"),
        ("-p udp -j SNAT --to-source fd00::9:53", "[fd00::9]:53"),
        ({"family": "ipv6", "rule": f"{DNAT} 2001:db8::1:8080"}, "[2001:db8::1]:8080"),
        ({"proto": "tcp", "dport": 80, "jump": "DNAT", "to-destination": "2001:db8::1:80"}, "[2001:db8::1]:80"),
    ],
)
def test_a_port_that_is_read_as_part_of_an_address(rule: Any, meant: str) -> None:
    (said,) = warnings(rule)
    assert "is an address without a port; write `" in said and f"`{meant}`" in said


@pytest.mark.parametrize(
    "rule",
    [
        f"{DNAT} [2001:db8::1]:80",
        f"{DNAT} [2001:db8::1:80]",
        f"{DNAT} 2001:db8::80",
        f"{DNAT} 2001:db8:0:0:0:0:1:80",
        f"{DNAT} 2001:db8::1:beef",
        f"{DNAT} 2001:db8::1:0",
        f"{DNAT} 192.0.2.1:80",
        f"{DNAT} :8080",
        "-s 2001:db8::1:80 -p tcp -j ACCEPT",
        "-j SNAT --to-source 2001:db8::1:80",  # without a protocol there are no ports
    ],
)
def test_an_address_that_cannot_be_mistaken(rule: str) -> None:
    assert warnings(rule) == []


@pytest.mark.parametrize("key", ["dport", "sport", "destination-port"])
@pytest.mark.parametrize(("number", "written"), [(1221, "20:21"), (1222, "20:22"), (1345, "22:25")])
def test_ports_that_yaml_has_made_one_number_of(key: str, number: int, written: str) -> None:
    with pytest.raises(SaltInvocationError) as error:
        firewall_rules.translate({"proto": "tcp", key: number, "jump": "ACCEPT"})
    assert f"`{key}: {number}`: YAML reads {written} without quotes as {number}" in str(error.value)
    with pytest.raises(SaltInvocationError, match=f"'{written}' if these ports are meant, or '{number}'"):
        firewall_rules.translate({"proto": "tcp", f"{key}s" if key != "x" else key: [80, number], "jump": "ACCEPT"})
    for value in (written, str(number)):
        made = firewall_rules.translate({"proto": "tcp", key: value, "jump": "ACCEPT"})
        assert value in made["ipv4"][0] and value in made["ipv6"][0]


@pytest.mark.parametrize("port", [22, 80, 119, 443, 993, 1194, 1433, 2222, 3306, 8080, True])
def test_other_numbers_are_ports(port: int) -> None:
    if port is not True:
        assert firewall_rules.translate({"proto": "tcp", "dport": port, "jump": "ACCEPT"})["ipv6"]


@pytest.mark.parametrize(
    "rule",
    [
        "-s 10.0.0.0/8,!10.1.0.0/16 -j ACCEPT",
        "-d 10.0.0.0/8,!10.1.0.0/16,!10.2.0.0/16 -j ACCEPT",
        {"source": "10.0.0.0/8,!10.1.0.0/16", "jump": "ACCEPT"},
        "-s 2001:db8::/32,!2001:db8:1::/48 -j ACCEPT",
    ],
)
def test_a_list_with_exceptions(rule: Any) -> None:
    with pytest.raises(SaltInvocationError) as error:
        firewall_rules.translate(rule)
    said = str(error.value)
    assert "a list has no exceptions; write two rules, first one with `-" in said
    assert "then this one with `-" in said
    first, second = said.split("`")[3], said.split("`")[-2]
    assert "!" not in first + second
    for words in (first, second):
        assert firewall_rules.translate(f"{words} -j RETURN")


def test_a_negation_belongs_before_the_option() -> None:
    with pytest.raises(SaltInvocationError, match="expected `! -s 10.1.0.0/16`"):
        firewall_rules.translate("-s !10.1.0.0/16 -j DROP")
