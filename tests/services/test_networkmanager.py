"""NetworkManager's own reader has the last word on keyfiles: ``nmcli --offline``, which needs no daemon."""

from __future__ import annotations

import subprocess
from typing import Any

import _dualstack_tunnel_keyfile as tunnel_keyfile
import _dualstack_tunnel_sit as tunnel_sit
import pytest
import tunnel_networkmanager

from ..unit.test_tunnel_networkmanager import COMMENTED, GIVEN, MINE, NAMED, OWN, ROUTER, SAMPLES, filed


def nmcli(text: str) -> subprocess.CompletedProcess[str]:
    """What it makes of a keyfile: the same connection in its own form, or an error."""
    words = ["nmcli", "--offline", "connection", "modify", "ipv6.may-fail", "yes"]
    return subprocess.run(words, input=text, check=False, text=True, capture_output=True)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"local": "auto", "ttl": 1, "mtu": 1280, "metric": 2**32 - 1},
        {"routing": "source"},
        {"routing": "none"},
        {"addresses": [], "source": None},
        {"source": "2001:470:1f13:f87::78"},
        {"routed": ["2001:470:1f13:f87::/64"]},
        {"carrier": "gre", "mtu": None},
    ],
)
def test_what_we_write(given: dict[str, Any]) -> None:
    tunnel = filed(tunnel_sit.canonical({**GIVEN, **given}))
    files = tunnel_networkmanager.files(tunnel)
    said = nmcli(files[OWN])
    assert (said.returncode, said.stderr) == (0, "") and not said.stdout.startswith("#")
    again = {OWN: said.stdout}
    assert tunnel_networkmanager.parse("he-ipv6", again) == tunnel_networkmanager.parse("he-ipv6", files)
    assert tunnel_networkmanager.present(tunnel, again) == again  # in its form it means the same, and is still ours


@pytest.mark.parametrize("name", SAMPLES)
def test_what_others_have_written(name: str) -> None:
    text, *_ = SAMPLES[name]
    said = nmcli(text)
    assert (said.returncode, said.stderr) == (0, "")
    found = tunnel_networkmanager.parse("he-ipv6", {NAMED: said.stdout})
    assert found == tunnel_networkmanager.parse("he-ipv6", {NAMED: text}) is not None


@pytest.mark.parametrize(
    "text",
    [
        COMMENTED,
        ROUTER + "; a comment\n",
        ROUTER + "rubbish\n",
        ROUTER + "[unfinished\n",
        "mode=3\n" + ROUTER,
        "\n=3\n" + ROUTER,
        ROUTER.replace("mode=3", "mode=99"),
    ],
)
def test_what_neither_of_us_can_read(text: str) -> None:
    assert nmcli(text).returncode != 0
    assert tunnel_networkmanager.parse("he-ipv6", {NAMED: text}) is None


@pytest.mark.parametrize("number", ["3", "0x3", "03", "0X3"])
def test_numbers(number: str) -> None:
    text = ROUTER.replace("mode=3", f"mode={number}").replace("remote=", f"ttl={number}\nremote=")
    assert "\nttl=3\n" in nmcli(text).stdout
    assert (tunnel_networkmanager.parse("he-ipv6", {NAMED: text}) or {})["ttl"] == 3


ADDRESSES = [
    "address1=2001:db8::4/2001:db8::ff",
    "address1=2001:db8::4",
    "address1=2001:db8::4,66",
    "addresses1=2001:db8::4;64;2001:db8::ff;",
    "address=2001:db8::4/64\naddress0=2001:db8::5/64\naddresses1=2001:db8::6/64\naddress1=2001:db8::7/64",
    "address1=2001:db8::4/64\naddress1=2001:db8::8/64",
    "address1=2001:db8::4/64\naddress01=2001:db8::5/64",
    "address1=2001:db8::4/64,2001:db8::fe\ngateway=2001:db8::ff",
    "address1=2001:db8::4/64\nroute1=::/0,2001:db8::ff,7\nroute2=2001:db8:8::/48,2001:db8::ff",
    "address1=2001:db8::4/64\nroutes1=::/0;2001:db8::ff;7;\nroute1_options=src=2001:db8::4",
    "address1=2001:db8::4/64\nroute1=::/0,,9",
    "address1=2001:db8::4/64\nroute1=::/0,9",
    "address1=2001:db8::4/64\nroute1=::/0,2001:db8::ff\nroute1_options=onlink=true,src=2001:db8::4,window=7",
    "address2=2001:0db8:0:0::4/64\naddress1=2001:db8::5/128",
]


@pytest.mark.parametrize("lines", ADDRESSES)
def test_addresses_and_routes_in_every_form(lines: str) -> None:
    text = f"{MINE.partition('[ipv6]')[0]}[ipv6]\nmethod=manual\n{lines}\n"
    said = nmcli(text)
    assert said.returncode == 0, said.stderr
    ours, theirs = tunnel_keyfile.read(NAMED, text), tunnel_keyfile.read(NAMED, said.stdout)
    assert [each.address for each in tunnel_keyfile.addresses(ours)] == [
        each.address for each in tunnel_keyfile.addresses(theirs)
    ]
    assert tunnel_keyfile.gateway(ours) == tunnel_keyfile.gateway(theirs)
    routes = [
        [(each.destination, each.gateway, each.metric, each.options) for each in tunnel_keyfile.routes(profile)]
        for profile in (ours, theirs)
    ]
    assert routes[0] == routes[1]
