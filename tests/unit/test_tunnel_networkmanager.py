"""The configuration of NetworkManager: written, read, found in other files, taken over."""

from __future__ import annotations

import re
from typing import Any

import _dualstack_tunnel_keyfile as tunnel_keyfile
import _dualstack_tunnel_sit as tunnel_sit
import pytest
import tunnel_networkmanager
from salt.exceptions import CommandExecutionError

from ..lab.network import ARGUMENTS

FOLDER = "/etc/NetworkManager/system-connections"
OWN = f"{FOLDER}/he-ipv6.nmconnection"
NAMED = f"{FOLDER}/HE Tunnel.nmconnection"
GIVEN: dict[str, Any] = {**ARGUMENTS, "addresses": [*ARGUMENTS["addresses"], "2001:470:1f13:f87::78/64"]}
TUNNEL = tunnel_sit.canonical(GIVEN)

TEXT = """\
# Managed by Salt (he_tunnel). Changes here are overwritten: they belong in the pillar, ipv6:tunnel.
[connection]
id=he-ipv6
uuid=04c785f2-3d03-537b-9461-35aa6e30ec72
type=ip-tunnel
interface-name=he-ipv6

[ip-tunnel]
mode=3
local=46.105.5.1
remote=216.66.84.42
ttl=255
mtu=1480

[ipv4]
method=disabled

[ipv6]
method=manual
addr-gen-mode=stable-privacy
address1=2001:470:1f13:f87::77/64
address2=2001:470:1f12:f87::2/64
address3=2001:470:1f13:f87::78/64
route1=::/0,2001:470:1f12:f87::1,1024
route1_options=onlink=true,src=2001:470:1f13:f87::77

[user]
org.saltproject.he_tunnel=managed
org.saltproject.he_tunnel.addresses=2001:470:1f12:f87::2/64 2001:470:1f13:f87::77/64 2001:470:1f13:f87::78/64
"""
# The same, after 1.42 has written it anew: `nmcli connection modify he-ipv6 ipv6.may-fail yes`.
REWRITTEN = """\
[connection]
id=he-ipv6
uuid=04c785f2-3d03-537b-9461-35aa6e30ec72
type=ip-tunnel
interface-name=he-ipv6
timestamp=1795885515

[ip-tunnel]
local=46.105.5.1
mode=3
mtu=1480
remote=216.66.84.42
ttl=255

[ipv4]
method=disabled

[ipv6]
addr-gen-mode=stable-privacy
address1=2001:470:1f13:f87::77/64
address2=2001:470:1f12:f87::2/64
address3=2001:470:1f13:f87::78/64
method=manual
route1=::/0,2001:470:1f12:f87::1,1024
route1_options=onlink=true,src=2001:470:1f13:f87::77

[proxy]

[user]
org.saltproject.he_tunnel=managed
org.saltproject.he_tunnel.addresses=2001:470:1f12:f87::2/64 2001:470:1f13:f87::77/64 2001:470:1f13:f87::78/64
"""


def by_hand(sections: str, name: str = "he-ipv6", connection: str = "") -> str:
    """A file as nmcli writes it, with these sections."""
    return f"""\
[connection]
id=HE Tunnel
uuid=9f0fb1b7-3048-4373-94e1-7c654ef26806
type=ip-tunnel
interface-name={name}
{connection}
{sections}
"""


# Keyfiles of 6in4 tunnels as they are found in guides, in scripts that call nmcli (as that makes them), in old hosts.
# For each: what is in it, and the keys that no pillar has, by their lines; none if it can be taken over.
ROUTER = by_hand("""\
[ip-tunnel]
local=192.168.11.22
mode=3
remote=216.66.88.90

[ipv4]
method=disabled

[ipv6]
addr-gen-mode=default
address1=2001:db8:2::2/64,2001:db8:2::1
method=manual

[proxy]""")
RASPBERRY = by_hand("""\
[ip-tunnel]
local=10.1.1.5
mode=3
mtu=1480
parent=eth0
remote=216.66.80.30
ttl=255

[ipv4]
method=disabled

[ipv6]
addr-gen-mode=default
address1=2001:470:aaaa:1::2/64
gateway=2001:470:aaaa:1::1
method=manual

[proxy]""")
WITHOUT_LOCAL = by_hand("""\
[ip-tunnel]
mode=3
remote=216.66.86.114

[ipv4]
method=disabled

[ipv6]
addr-gen-mode=default
address1=2001:470:6c:dd3::2/64,2001:470:6c:dd3::1
method=manual

[proxy]""")
BLOG = """\
[connection]
id=he-ipv6
uuid=72bc5e25-0131-4ea0-838a-d5e01c68f870
type=ip-tunnel
autoconnect=false
interface-name=he-ipv6
permissions=
timestamp=1660642073

[ip-tunnel]
local=203.0.113.5
mode=3
remote=216.218.221.42
ttl=255

[ipv4]
dns-search=
method=disabled

[ipv6]
addr-gen-mode=stable-privacy
address1=2001:470:35:57a::2/64
dns-priority=100
dns-search=
method=manual
"""
GENERATED = """\
[connection]
id=netplan-he-ipv6
type=ip-tunnel
interface-name=he-ipv6

[ip-tunnel]
mode=3
local=1.1.1.1
remote=2.2.2.2

[ipv4]
method=disabled

[ipv6]
method=manual
address1=2001:dead:beef::2/64
gateway=2001:dead:beef::1
"""
OLD = """\

[connection]
id=sixxs
uuid=4e80a56d-c99f-4aad-a6dd-b449bc398c57
type=ip-tunnel
interface-name=he-ipv6
autoconnect=true
timestamp=6654332

[ip-tunnel]
mode = 3
remote = 216.66.84.42
local = 46.105.5.1
ttl = 0xff

[ipv4]
method=auto

[ipv6]
method=manual
addresses1=2001:470:1f12:f87::2;64;2001:470:1f12:f87::1;
addresses2=2001:0470:1f13:0f87:0000:0000:0000:0077;64;
"""
FROM_THE_ROUTED = by_hand("""\
[ip-tunnel]
local=46.105.5.1
mode=3
remote=216.66.84.42
ttl=64

[ipv4]
method=disabled

[ipv6]
addr-gen-mode=stable-privacy
address1=2001:470:1f12:f87::2/64
address2=2001:470:1f13:f87::77/64
method=manual
never-default=true
route1=::/0,2001:470:1f12:f87::1,100
route1_options=from=2001:470:1f12:f87::/64,onlink=true
route2=::/0,2001:470:1f12:f87::1,100
route2_options=from=2001:470:1f13:f87::/64,onlink=true

[proxy]""")
NO_ROUTE = by_hand("""\
[ip-tunnel]
mode=3
remote=216.66.84.42

[ipv4]
method=disabled

[ipv6]
address1=2001:470:1f12:f87::2/64
gateway=2001:470:1f12:f87::1
method=manual
never-default=true
""")
MUCH = by_hand(
    """\
[ip-tunnel]
local=46.105.5.1
mode=3
remote=216.66.84.42
tos=16

[ipv4]
address1=10.0.0.2/30
method=manual

[ipv6]
addr-gen-mode=default
address1=2001:470:1f12:f87::2/64,2001:470:1f12:f87::1
dns=2001:470:20::2;
dns-priority=100
dns-search=example.org;
method=manual
route-metric=50
route1=2001:db8:5::/48,2001:470:1f12:f87::1
route1_options=mtu=1400
routing-rule1=priority 5 from 2001:470:1f13::/48 table 100

[proxy]

[match]
path=pci-0000""",
    connection="zone=external\nautoconnect-priority=10\nsecondaries=27afa607-ee36-43f0-b8c3-9d245cdc4bb3;",
)
COMMENTED = by_hand("""\
[ip-tunnel]
mode=3       # 3 = SIT
remote=216.66.84.42

[ipv6]
method=manual
address1=2001:470:1f12:f87::2/64,2001:470:1f12:f87::1
""")
AUTOMATIC = by_hand("""\
[ip-tunnel]
mode=3
remote=216.66.84.42
flags=0
path-mtu-discovery=true

[ipv4]
method=auto

[ipv6]
addr-gen-mode=stable-privacy
address1=2001:470:1f12:f87::2/64
method=auto
route1=2000::/3,2001:470:1f12:f87::1,5
""")
NATIVE = by_hand("""\
[ip-tunnel]
mode=3
remote=216.66.84.42
mtu=1472

[ipv4]
method=disabled

[ipv6]
addr-gen-mode=stable-privacy
address1=2001:470:1f12:f87::2/64
address2=2001:470:1f13:f87::77/128
method=manual
route1=::/0,2001:470:1f12:f87::1,2048
route1_options=onlink=true,src=2001:470:1f13:f87::77,table=254
""")

MINE = by_hand("""\
[ip-tunnel]
local=46.105.5.1
mode=3
mtu=1480
remote=216.66.84.42
ttl=255

[ipv4]
method=disabled

[ipv6]
addr-gen-mode=default
address1=2001:470:1f12:f87::2/64
address2=2001:470:1f13:f87::77/64
method=manual
route1=::/0,2001:470:1f12:f87::1,1024
route1_options=onlink=true,src=2001:470:1f13:f87::77

[proxy]""")

SAMPLES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "router": (
        ROUTER,
        {
            **{"endpoint": "216.66.88.90", "local": "192.168.11.22", "routing": "default", "metric": 675},
            **{"address": "2001:db8:2::2/64", "gateway": "2001:db8:2::1", "source": "2001:db8:2::2"},
        },
        [],
    ),
    "raspberry": (
        RASPBERRY,
        {
            **{"endpoint": "216.66.80.30", "local": "10.1.1.5", "ttl": 255, "mtu": 1480, "routing": "default"},
            **{"address": "2001:470:aaaa:1::2/64", "gateway": "2001:470:aaaa:1::1", "metric": 675},
            **{"source": "2001:470:aaaa:1::2", "dev": "eth0"},
        },
        [],
    ),
    "without local": (
        WITHOUT_LOCAL,
        {
            **{"endpoint": "216.66.86.114", "routing": "default", "metric": 675, "source": "2001:470:6c:dd3::2"},
            **{"address": "2001:470:6c:dd3::2/64", "gateway": "2001:470:6c:dd3::1"},
        },
        [],
    ),
    "blog": (
        BLOG,
        {
            **{"endpoint": "216.218.221.42", "local": "203.0.113.5", "ttl": 255, "routing": "none"},
            **{"address": "2001:470:35:57a::2/64", "source": "2001:470:35:57a::2"},
        },
        ["connection.autoconnect"],
    ),
    "netplan": (
        GENERATED,
        {
            **{"endpoint": "2.2.2.2", "local": "1.1.1.1", "routing": "default", "metric": 675},
            **{"address": "2001:dead:beef::2/64", "gateway": "2001:dead:beef::1", "source": "2001:dead:beef::2"},
        },
        [],
    ),
    "old": (
        OLD,
        {
            **{"endpoint": "216.66.84.42", "local": "46.105.5.1", "ttl": 255, "routing": "default", "metric": 675},
            **{"address": "2001:470:1f12:f87::2/64", "gateway": "2001:470:1f12:f87::1"},
            **{"addresses": ["2001:470:1f13:f87::77/64"], "source": "2001:470:1f12:f87::2"},
        },
        [],
    ),
    "source": (
        FROM_THE_ROUTED,
        {
            **{"endpoint": "216.66.84.42", "local": "46.105.5.1", "ttl": 64, "routing": "source", "metric": 100},
            **{"address": "2001:470:1f12:f87::2/64", "gateway": "2001:470:1f12:f87::1"},
            **{"addresses": ["2001:470:1f13:f87::77/64"], "source": "2001:470:1f12:f87::2"},
        },
        [],
    ),
    "no route": (
        NO_ROUTE,
        {
            **{"endpoint": "216.66.84.42", "routing": "none"},
            **{"address": "2001:470:1f12:f87::2/64", "source": "2001:470:1f12:f87::2"},
        },
        [],
    ),
    "much": (
        MUCH,
        {
            **{"endpoint": "216.66.84.42", "local": "46.105.5.1", "routing": "default", "metric": 50},
            **{"address": "2001:470:1f12:f87::2/64", "gateway": "2001:470:1f12:f87::1"},
            "source": "2001:470:1f12:f87::2",
        },
        [
            *("connection.zone", "connection.autoconnect-priority", "connection.secondaries"),
            *("ip-tunnel.tos", "ipv4.address1", "ipv4.method", "ipv6.dns", "ipv6.dns-priority", "ipv6.dns-search"),
            *("ipv6.route1", "ipv6.route1_options", "ipv6.routing-rule1", "match.path"),
        ],
    ),
    "automatic": (
        AUTOMATIC,
        {
            **{"endpoint": "216.66.84.42", "routing": "none"},
            **{"address": "2001:470:1f12:f87::2/64", "source": "2001:470:1f12:f87::2"},
        },
        ["ipv6.route1"],
    ),
    "native": (
        NATIVE,
        {
            **{"endpoint": "216.66.84.42", "mtu": 1472, "routing": "default", "metric": 2048},
            **{"address": "2001:470:1f12:f87::2/64", "gateway": "2001:470:1f12:f87::1"},
            **{"addresses": ["2001:470:1f13:f87::77/128"], "source": "2001:470:1f13:f87::77"},
        },
        [],
    ),
}
NAMES = [pytest.param(each, id=each) for each in SAMPLES]


def filed(tunnel: dict[str, Any]) -> dict[str, Any]:
    """As files have it: with `local: auto`, the address of the moment is left out."""
    return {**tunnel, "local": "any"} if tunnel["local"] == "auto" else tunnel


def lost_in(text: str, error: CommandExecutionError) -> list[str]:
    """The keys that an error says would be lost, each on the line that it names."""
    section, keys = "", {}
    for number, line in enumerate(text.splitlines(), 1):
        section = line[1:-1] if line.startswith("[") else section
        keys[number] = f"{section}.{line.partition('=')[0].strip()}"
    found = re.findall(r"(\d+) \(([\w.-]+): ", str(error).partition("would be lost:")[2])
    assert found and all(keys[int(number)] == key for number, key in found), str(error)
    return [key for _, key in found]


# --------------------------------------------------------------------------------------------------------------
# Our own file


def test_the_whole_file() -> None:
    assert tunnel_networkmanager.files(TUNNEL) == {OWN: TEXT}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"local": "auto"},
        {"ttl": 64, "mtu": 1280, "metric": 1},
        {"routing": "source"},
        {"routing": "none"},
        {"routing": "none", "gateway": None},
        {"addresses": []},
        {"addresses": [], "routing": "source", "local": "auto"},
        {"source": "2001:470:1f13:f87::78"},
        {"source": "2001:470:1f12:f87::2", "routing": "source"},
        {"addresses": ["2001:470:1f12:f87::3/64", "2001:470:1f13:f87::77/128"]},
        {"name": "he.v6-2"},
        {"routed": ["2001:470:1f13:f87::/64", "2001:db8:48::/48"]},
        {"routed": ["2001:db8:48::/48"], "routing": "source"},
        {"carrier": "gre", "mtu": None},
        {"dev": "eth1"},
        {"dev": "ppp0", "local": "auto", "routing": "source"},
    ],
)
def test_what_is_written_is_read(given: dict[str, Any]) -> None:
    tunnel = tunnel_sit.canonical({**GIVEN, **given})
    (path,) = tunnel_networkmanager.files(filed(tunnel))
    files = tunnel_networkmanager.present(filed(tunnel), {})
    written = tunnel_networkmanager.files(filed(tunnel))
    assert files == written and path == f"{FOLDER}/{tunnel['name']}.nmconnection"
    parsed = tunnel_networkmanager.parse(tunnel["name"], written)
    assert parsed is not None and tunnel_sit.canonical(parsed) == tunnel
    assert tunnel_networkmanager.present(filed(tunnel), written) == written


def test_a_file_that_networkmanager_has_written_anew_stays() -> None:
    assert tunnel_networkmanager.parse("he-ipv6", {OWN: REWRITTEN}) == tunnel_networkmanager.parse(
        "he-ipv6", {OWN: TEXT}
    )
    assert tunnel_networkmanager.present(TUNNEL, {OWN: REWRITTEN}) == {OWN: REWRITTEN}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mode=3", "mode=2"),
        ("ttl=255", "ttl=254"),
        ("ttl=255\n", ""),
        ("local=46.105.5.1\n", ""),
        ("216.66.84.42", "216.66.84.46"),
        ("1024", "1025"),
        ("1024", ""),
        ("address3=", "address4=2001:470:1f13:f87::79/64\naddress3="),
        ("address1=2001:470:1f13:f87::77/64\n", ""),
        ("address1=2001:470:1f13:f87::77/64", "address1=2001:470:1f13:f87::77/128"),
        ("src=2001:470:1f13:f87::77", "src=2001:470:1f12:f87::2"),
        ("method=manual", "method=auto"),
        ("method=manual", "method=disabled"),
        ("method=manual", "method=manual\ndns=2001:470:20::2;"),
        ("interface-name=he-ipv6", "interface-name=he-ipv6\nautoconnect=false"),
        ("interface-name=he-ipv6\n", ""),
        ("interface-name=he-ipv6", "interface-name=he2"),
        ("addr-gen-mode=stable-privacy", "addr-gen-mode=eui64"),
        ("addr-gen-mode=stable-privacy\n", ""),
        ("[ipv4]", "rubbish\n[ipv4]"),
        ("route1=", "never-default=true\nroute9="),
    ],
)
@pytest.mark.parametrize("before", [TEXT, REWRITTEN])
def test_a_file_that_was_changed_is_put_right(before: str, old: str, new: str) -> None:
    assert old in before
    assert tunnel_networkmanager.present(TUNNEL, {OWN: before.replace(old, new)}) == {OWN: TEXT}


def test_another_identifier_and_name_of_ours_stay() -> None:
    """It was taken over once, and by these NetworkManager has the interface up."""
    kept = TEXT.replace("04c785f2", "deadbeef").replace("id=he-ipv6", "id=HE Tunnel")
    assert tunnel_networkmanager.present(TUNNEL, {OWN: kept}) == {OWN: kept}
    assert tunnel_networkmanager.present(TUNNEL, {OWN: kept.replace("ttl=255", "ttl=9")}) == {OWN: kept}


# --------------------------------------------------------------------------------------------------------------
# Files of others


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", [NAMED, OWN, f"{FOLDER}/he-ipv6", f"{FOLDER}/he.bak"])
def test_a_tunnel_made_by_hand_is_read(path: str, name: str) -> None:
    text, expected, _ = SAMPLES[name]
    found = tunnel_networkmanager.parse("he-ipv6", {path: text})
    assert found == {"name": "he-ipv6", "addresses": [], **expected}
    assert tunnel_networkmanager.parse("he", {path: text}) is None
    (seen,) = tunnel_networkmanager.tunnels({path: text})
    line = int(seen["place"].rpartition(" ")[2])
    assert text.splitlines()[line - 1].replace(" ", "") == f"remote={expected['endpoint']}"
    assert seen == {
        **{"name": "he-ipv6", "kind": "sit", "endpoint": expected["endpoint"], "local": expected.get("local", "any")},
        **{"place": f"{path}, line {line}", "ours": False},
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", [NAMED, OWN])
def test_a_tunnel_made_by_hand_is_taken_over_if_nothing_is_lost(path: str, name: str) -> None:
    text, expected, lost = SAMPLES[name]
    tunnel = filed(tunnel_sit.canonical({key: value for key, value in {**expected, "name": "he-ipv6"}.items()}))
    with pytest.raises(CommandExecutionError, match="'adopt: true' lets he_tunnel take it over") as refused:
        tunnel_networkmanager.present(tunnel, {path: text})
    assert f"{path}, line " in str(refused.value)
    if lost:
        with pytest.raises(CommandExecutionError, match="cannot be adopted from") as error:
            tunnel_networkmanager.present(tunnel, {path: text}, adopt=True)
        assert lost_in(text, error.value) == lost
        return
    files = tunnel_networkmanager.present(tunnel, {path: text}, adopt=True)
    assert [each for each, new in files.items() if new is None] == [each for each in [path] if each != OWN]
    before, after = tunnel_keyfile.read(path, text), tunnel_keyfile.read(OWN, files[OWN] or "")
    assert (after.uuid, after.value("connection", "id")) == (before.uuid, before.value("connection", "id"))
    left = {each: new for each, new in files.items() if new is not None}
    found = {"name": "he-ipv6", "addresses": [], **expected, "ttl": tunnel["ttl"], "mtu": tunnel["mtu"]}
    assert tunnel_networkmanager.parse("he-ipv6", left) == found
    assert tunnel_networkmanager.present(tunnel, left) == left


@pytest.mark.parametrize(
    ("given", "key", "why"),
    [
        ({"endpoint": "216.66.84.46"}, "ip-tunnel.remote", "another endpoint"),
        ({"local": "46.105.5.2"}, "ip-tunnel.local", "another local"),
        ({"ttl": 254}, "ip-tunnel.ttl", "another ttl"),
        ({"mtu": 1400}, "ip-tunnel.mtu", "another mtu"),
        ({"addresses": ["2001:470:1f13:f87::79/64"]}, "ipv6.address2", "it is not among the pillar's addresses"),
        ({"addresses": ["2001:470:1f13:f87::77/128"]}, "ipv6.address2", "it is not among the pillar's addresses"),
        ({"address": "2001:470:1f12:f87::3/64"}, "ipv6.address1", "it is not among the pillar's addresses"),
        ({"gateway": "2001:470:1f12:f87::5"}, "ipv6.route1", "another gateway"),
        ({"metric": 1}, "ipv6.route1", "another metric"),
        ({"routing": "source"}, "ipv6.route1", "another routing"),
        ({"routing": "none"}, "ipv6.route1", "another routing"),
        ({"source": "2001:470:1f12:f87::2"}, "ipv6.route1_options", "another source"),
    ],
)
def test_what_the_pillar_says_otherwise_would_be_lost(given: dict[str, Any], key: str, why: str) -> None:
    text = MINE
    with pytest.raises(CommandExecutionError) as error:
        tunnel_networkmanager.present(tunnel_sit.canonical({**ARGUMENTS, **given}), {NAMED: text}, adopt=True)
    assert key in lost_in(text, error.value) and why in str(error.value)
    assert tunnel_networkmanager.present(tunnel_sit.canonical(ARGUMENTS), {NAMED: text}, adopt=True)[NAMED] is None


@pytest.mark.parametrize(
    ("given", "key"),
    [({"gateway": "2001:db8:2::9"}, "ipv6.address1"), ({"routing": "source"}, "ipv6.address1"), ({}, "")],
)
def test_a_gateway_beside_an_address(given: dict[str, Any], key: str) -> None:
    tunnel = tunnel_sit.canonical({**SAMPLES["router"][1], "metric": 1024, **given})
    if not key:
        assert tunnel_networkmanager.present(tunnel, {NAMED: ROUTER}, adopt=True)[NAMED] is None
        return
    with pytest.raises(CommandExecutionError) as error:
        tunnel_networkmanager.present(tunnel, {NAMED: ROUTER}, adopt=True)
    assert lost_in(ROUTER, error.value) == [key]


def test_a_local_address_is_not_lost() -> None:
    """With `auto` the tunnel would begin at the address of the route, which may be another one: as with ifupdown."""
    given = filed(tunnel_sit.canonical({**SAMPLES["router"][1], "local": "192.168.11.22"}))
    assert set(tunnel_networkmanager.present(given, {NAMED: ROUTER}, adopt=True)) == {NAMED, OWN}
    tunnel = filed(tunnel_sit.canonical({**SAMPLES["router"][1], "local": "auto"}))
    with pytest.raises(CommandExecutionError, match=r"ip-tunnel.local: the pillar has another local"):
        tunnel_networkmanager.present(tunnel, {NAMED: ROUTER}, adopt=True)
    without = ROUTER.replace("local=192.168.11.22\n", "")
    assert set(tunnel_networkmanager.present(tunnel, {NAMED: without}, adopt=True)) == {NAMED, OWN}


def test_no_value_is_told() -> None:
    secret = (
        MUCH.replace("external", "hunter2").replace("path=pci-0000", "path=hunter3").replace("example.org", "hunter4")
    )
    for adopt in (False, True):
        with pytest.raises(CommandExecutionError) as error:
            tunnel_networkmanager.present(TUNNEL, {NAMED: secret}, adopt=adopt)
        assert "hunter" not in str(error.value) and "HE Tunnel.nmconnection" in str(error.value)


def test_several_that_are_in_the_way_are_all_told() -> None:
    host = {
        NAMED: ROUTER,
        f"{FOLDER}/b": WITHOUT_LOCAL,
        f"{FOLDER}/eth0.nmconnection": "[connection]\ninterface-name=eth0\n",
    }
    with pytest.raises(CommandExecutionError) as error:
        tunnel_networkmanager.present(TUNNEL, host)
    assert str(error.value).count("already configured in") == 2 and "eth0" not in str(error.value)


def test_one_of_a_package_cannot_be_moved() -> None:
    path = "/usr/lib/NetworkManager/system-connections/he.nmconnection"
    for adopt in (False, True):
        with pytest.raises(CommandExecutionError, match=f"{path}, line 5, which is for packages"):
            tunnel_networkmanager.present(TUNNEL, {path: ROUTER}, adopt=adopt)


def test_another_interface_in_our_file() -> None:
    host = {OWN: ROUTER.replace("interface-name=he-ipv6", "interface-name=he2")}
    for adopt in (False, True):
        with pytest.raises(
            CommandExecutionError, match=f"{OWN} is not managed by he_tunnel and is for another interface"
        ):
            tunnel_networkmanager.present(TUNNEL, host, adopt=adopt)
    assert tunnel_networkmanager.absent("he-ipv6", host) == {}


def test_a_clone_of_ours_is_not_ours() -> None:
    """`nmcli connection clone he-ipv6 copy` copies the mark as well."""
    clone = REWRITTEN.replace("id=he-ipv6", "id=copy").replace("04c785f2", "deadbeef")
    host = {OWN: TEXT, f"{FOLDER}/copy.nmconnection": clone}
    with pytest.raises(CommandExecutionError, match="copy.nmconnection, line 5, and not by he_tunnel"):
        tunnel_networkmanager.present(TUNNEL, host)
    assert [each["ours"] for each in tunnel_networkmanager.tunnels(host)] == [False, True]
    files = tunnel_networkmanager.present(TUNNEL, host, adopt=True)
    assert files[f"{FOLDER}/copy.nmconnection"] is None


def test_a_kind_that_is_not_a_carrier_cannot_be_taken_over() -> None:
    vti = ROUTER.replace("mode=3", "mode=5")
    assert tunnel_networkmanager.parse("he-ipv6", {NAMED: vti}) is None
    with pytest.raises(
        CommandExecutionError, match=re.escape("9 (ip-tunnel.mode: expected that of sit, 3, or of gre, 2)")
    ):
        tunnel_networkmanager.present(TUNNEL, {NAMED: vti}, adopt=True)
    ethernet = "[connection]\ntype=ethernet\ninterface-name=he-ipv6\n"
    with pytest.raises(CommandExecutionError, match=re.escape("2 (connection.type: ")):
        tunnel_networkmanager.present(TUNNEL, {NAMED: ethernet}, adopt=True)


def test_another_carrier() -> None:
    gre = ROUTER.replace("mode=3", "mode=2")
    found = tunnel_networkmanager.parse("he-ipv6", {NAMED: gre})
    assert found == {"name": "he-ipv6", "addresses": [], "carrier": "gre", **SAMPLES["router"][1]}
    with pytest.raises(CommandExecutionError, match=re.escape("9 (ip-tunnel.mode: the pillar has another carrier)")):
        tunnel_networkmanager.present(filed(tunnel_sit.canonical(SAMPLES["router"][1])), {NAMED: gre}, adopt=True)
    tunnel = tunnel_sit.canonical(found)
    files = tunnel_networkmanager.present(tunnel, {NAMED: gre}, adopt=True)
    assert files[NAMED] is None and "\nmode=2\n" in (files[OWN] or "")


def test_a_route_that_refuses_packets() -> None:
    text = MINE.replace("[proxy]", "route2=2001:470:1f13:f87::/64,,5\nroute2_options=type=unreachable\n\n[proxy]")
    found = tunnel_networkmanager.parse("he-ipv6", {NAMED: text})
    assert found is not None and found["routed"] == ["2001:470:1f13:f87::/64"] and found["routing"] == "default"
    with pytest.raises(CommandExecutionError) as error:
        tunnel_networkmanager.present(tunnel_sit.canonical(ARGUMENTS), {NAMED: text}, adopt=True)
    assert lost_in(text, error.value) == ["ipv6.route2"] and "another routed" in str(error.value)
    laid = text.replace("77/64", "77/128")  # as the pillar has it then
    tunnel = tunnel_sit.canonical({**ARGUMENTS, "routed": ["2001:470:1f13:f87::/64"]})
    files = tunnel_networkmanager.present(tunnel, {NAMED: laid}, adopt=True)
    (metric,) = [each.split()[-1] for each in tunnel["unreachable"]]
    lines = f"route2=2001:470:1f13:f87::/64,,{metric}\nroute2_options=type=unreachable\n"
    assert files[NAMED] is None and lines in (files[OWN] or "")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (COMMENTED, 8),  # no number, and so no mode
        (ROUTER + "; a comment\n", 21),
        (ROUTER + "rubbish\n", 21),
        (ROUTER + "[unfinished\n", 21),
        ("mode=3\n" + ROUTER, 1),
        ("\n=3\n" + ROUTER, 2),
    ],
)
def test_what_networkmanager_cannot_read_is_no_configuration(text: str, line: int) -> None:
    assert tunnel_networkmanager.parse("he-ipv6", {NAMED: text}) is None
    assert tunnel_networkmanager.tunnels({NAMED: text}) == []
    with pytest.raises(CommandExecutionError, match="is already configured in"):
        tunnel_networkmanager.present(TUNNEL, {NAMED: text})
    with pytest.raises(CommandExecutionError, match=rf"\b{line} \("):
        tunnel_networkmanager.present(TUNNEL, {NAMED: text}, adopt=True)


def test_a_mode_in_words_is_understood() -> None:
    """NetworkManager does not; the one who wrote it meant it, and nothing is lost."""
    text = WITHOUT_LOCAL.replace("mode=3", "mode=sit")
    assert tunnel_networkmanager.parse("he-ipv6", {NAMED: text}) is not None
    tunnel = filed(tunnel_sit.canonical(SAMPLES["without local"][1]))
    assert tunnel_networkmanager.present(tunnel, {NAMED: text}, adopt=True)[NAMED] is None


def test_what_others_have_made_and_networkmanager_has_written_down_does_not_count() -> None:
    noted = ROUTER + "\n[.nmmeta]\nnm-generated=true\nvolatile=true\nexternal=true\n"
    run = "/run/NetworkManager/system-connections"
    host = {f"{run}/he-ipv6.nmconnection": noted, f"{run}/netplan-he-ipv6.nmconnection": GENERATED}
    assert tunnel_networkmanager.parse("he-ipv6", host) is None
    assert tunnel_networkmanager.tunnels(host) == []
    assert tunnel_networkmanager.present(TUNNEL, host) == {OWN: TEXT}
    assert tunnel_networkmanager.absent("he-ipv6", host, adopt=True) == {}


def test_a_connection_of_the_moment_is_taken_over() -> None:
    """`nmcli connection add save no`."""
    path = "/run/NetworkManager/system-connections/he-ipv6.nmconnection"
    tunnel = filed(tunnel_sit.canonical(SAMPLES["router"][1]))
    files = tunnel_networkmanager.present(tunnel, {path: ROUTER}, adopt=True)
    assert files[path] is None and "uuid=9f0fb1b7-3048-4373-94e1-7c654ef26806" in (files[OWN] or "")


def test_one_without_an_identifier_keeps_what_networkmanager_calls_it() -> None:
    """Seen with netplan's netplan-eth0.nmconnection on 1.42."""
    made = tunnel_keyfile.read("/run/NetworkManager/system-connections/netplan-eth0.nmconnection", "")
    assert made.uuid == "626dd384-8b3d-3690-9511-192b2c79b3fd"
    text = ROUTER.replace("uuid=9f0fb1b7-3048-4373-94e1-7c654ef26806\n", "")
    tunnel = filed(tunnel_sit.canonical(SAMPLES["router"][1]))
    files = tunnel_networkmanager.present(tunnel, {NAMED: text}, adopt=True)
    assert f"uuid={tunnel_keyfile.read(NAMED, text).uuid}\n" in (files[OWN] or "")


def test_absent() -> None:
    assert tunnel_networkmanager.absent("he-ipv6", {}) == {}
    assert tunnel_networkmanager.absent("he-ipv6", {OWN: TEXT}) == {OWN: None}
    assert tunnel_networkmanager.absent("he-ipv6", {OWN: REWRITTEN}) == {OWN: None}
    with pytest.raises(CommandExecutionError, match="not by he_tunnel"):
        tunnel_networkmanager.absent("he-ipv6", {NAMED: ROUTER})
    assert tunnel_networkmanager.absent("he-ipv6", {NAMED: ROUTER, OWN: TEXT}, adopt=True) == {NAMED: None, OWN: None}
    with pytest.raises(CommandExecutionError) as error:
        tunnel_networkmanager.absent("he-ipv6", {NAMED: MUCH}, adopt=True)
    assert lost_in(MUCH, error.value) == SAMPLES["much"][2]


# --------------------------------------------------------------------------------------------------------------
# Tunnels of every kind, and what is up


def test_tunnels_of_every_kind() -> None:
    wireguard = """\
[connection]
id=wg0
type=wireguard
interface-name=wg0

[wireguard]
private-key=yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=

[wireguard-peer.xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=]
endpoint=[2001:db8:7::1]:51820
preshared-key=FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=
allowed-ips=::/0;
"""
    host = {
        f"{FOLDER}/a": "[connection]\ninterface-name=gre1\n[ip-tunnel]\nmode=2\nlocal=192.0.2.1\nremote=192.0.2.2\n",
        f"{FOLDER}/b": wireguard,
        f"{FOLDER}/c": "[connection]\ninterface-name=t6\ntype=ip-tunnel\n[ip-tunnel]\nmode=0x6\nremote=2001:db8::9\n",
        f"{FOLDER}/d": "[connection]\ninterface-name=x\n[ip-tunnel]\nmode=99\nremote=192.0.2.9\n",
        f"{FOLDER}/e~": "[connection]\ninterface-name=y\n[ip-tunnel]\nmode=3\nremote=192.0.2.9\n",
        OWN: TEXT,
    }
    found = {each["name"]: each for each in tunnel_networkmanager.tunnels(host)}
    assert {name: (each["kind"], each["endpoint"], each["local"], each["ours"]) for name, each in found.items()} == {
        "gre1": ("gre", "192.0.2.2", "192.0.2.1", False),
        "wg0": ("wireguard", "2001:db8:7::1", "any", False),
        "t6": ("ip6ip6", "2001:db8::9", "any", False),
        "he-ipv6": ("sit", "216.66.84.42", "46.105.5.1", True),
    }
    assert found["gre1"]["place"] == f"{FOLDER}/a, line 6" and found["wg0"]["place"] == f"{FOLDER}/b, line 10"
    assert "yAnz5TF" not in str(found) and "FpCyhws9" not in str(found)


@pytest.mark.parametrize(
    ("path", "read"),
    [
        (f"{FOLDER}/HE Tunnel.nmconnection", True),
        (f"{FOLDER}/he", True),
        (f"{FOLDER}/he.bak", True),
        (f"{FOLDER}/he.nmconnection~", False),
        (f"{FOLDER}/.he.nmconnection", False),
        (f"{FOLDER}/he.nmconnection.X7k2Qa", False),
        (f"{FOLDER}/27afa607-ee36-43f0-b8c3-9d245cdc4bb3.nmmeta", False),
        (f"{FOLDER}/client.PEM", False),
        ("/run/NetworkManager/system-connections/he", False),
        ("/usr/lib/NetworkManager/system-connections/he.nmconnection", True),
        ("/etc/network/interfaces.d/he.nmconnection", False),
    ],
)
def test_the_files_that_networkmanager_reads(path: str, read: bool) -> None:
    assert tunnel_keyfile.loads(path) is read
    assert (tunnel_networkmanager.parse("he-ipv6", {path: ROUTER}) is not None) is read


def test_addresses_in_every_form() -> None:
    """Of NetworkManager's own tests: numbers count, not the order; of the same key the last; 64 where none is given."""
    text = """\
[ipv6]
addresses30=2001:db8::30/25
address30=2001:db8::31/24
address4=2001:db8::4/2001:db8::ff
address30=2001:db8::32/26
address=2001:db8::5,66
address0=2001:db8::6;;
address01=2001:db8::7/64
address7=bogus
routes1=::/0,2001:db8::1,99
route=2001:db8:8::1/32
routes2=2001:db8:9::,7
route10=::/0,,0
route11=2001:db8:b::/48,11
"""
    profile = tunnel_keyfile.read(OWN, text)
    found = [each.address for each in tunnel_keyfile.addresses(profile)]
    assert found == ["2001:db8::5/66", "2001:db8::6/64", "2001:db8::4/64", "2001:db8::32/26", "2001:db8::30/25"]
    assert tunnel_keyfile.gateway(profile) == "2001:db8::ff"
    routes = [(each.destination, each.gateway, each.metric) for each in tunnel_keyfile.routes(profile)]
    assert routes[:2] == [("2001:db8::/32", "", None), ("::/0", "2001:db8::1", 99)]
    assert routes[-2:] == [("::/0", "", 0), ("2001:db8:b::/48", "", 11)]


@pytest.mark.parametrize("method", ["disabled", "ignore", "link-local"])
def test_a_method_without_addresses(method: str) -> None:
    found = tunnel_networkmanager.parse("he-ipv6", {NAMED: MINE.replace("method=manual", f"method={method}")})
    assert found is not None and "address" not in found and found["addresses"] == []
    tunnel = tunnel_sit.canonical(ARGUMENTS)
    with pytest.raises(CommandExecutionError, match=r"\(ipv6.method: "):
        tunnel_networkmanager.present(tunnel, {NAMED: MINE.replace("method=manual", f"method={method}")}, adopt=True)


@pytest.mark.parametrize(
    ("text", "value"), [("64", 64), ("0x40", 64), ("0100", 64), ("0", 0), ("", None), ("64 ", None), ("sit", None)]
)
def test_numbers(text: str, value: int | None) -> None:
    assert tunnel_keyfile.number(text) == value


def test_who_has_an_interface_up() -> None:
    """As 1.42 writes it."""
    devices = "/run/NetworkManager/devices"
    state = "[device]\nmanaged=true\nperm-hw-addr-fake=22:9D:9C:B8:70:85\nconnection-uuid={}\nnm-owned=false\n"
    ours, netplans = "7d1d7c5c-6d3d-4a4e-8a4c-0a6a5f3c3c10", "626dd384-8b3d-3690-9511-192b2c79b3fd"
    wired = "0e9ea7d1-3a5c-3c0c-8f4e-5c6b2b0a9d11"  # of an Ethernet that nobody has configured, by DHCP
    lo = "[connection]\nid=lo\nuuid=7fbc774d-bd6f-44eb-92b0-321d33748a63\n[.nmmeta]\nnm-generated=true\nexternal=true\n"
    evidence = {
        f"{devices}/1": state.format("7fbc774d-bd6f-44eb-92b0-321d33748a63"),
        f"{devices}/3": state.format(ours),
        f"{devices}/4": state.format(netplans),
        f"{devices}/5": "[device]\nmanaged=true\nnm-owned=true\n",
        f"{devices}/6": "[device]\nmanaged=false\n",
        f"{devices}/7": state.format(ours).replace("managed=true", "managed=false"),
        "/run/NetworkManager/system-connections/lo.nmconnection": lo,
        "/run/NetworkManager/system-connections/netplan-eth0.nmconnection": "[connection]\nid=netplan-eth0\n",
        f"{devices}/8": state.format(wired),
        "/run/NetworkManager/system-connections/Wired connection 1.nmconnection": (
            f"[connection]\nid=Wired connection 1\nuuid={wired}\ntype=ethernet\n[.nmmeta]\nnm-generated=true\n"
        ),
    }
    found = {
        index: tunnel_networkmanager.has({"name": f"eth{index}", "index": index}, evidence)
        for index in (0, 1, 3, 4, 5, 6, 7, 8)
    }
    assert found == {0: "", 1: "", 3: f"{devices}/3 has eth3", 4: "", 5: "", 6: "", 7: "", 8: f"{devices}/8 has eth8"}


# --------------------------------------------------------------------------------------------------------------
# The program


@pytest.mark.parametrize(
    ("said", "which"),
    [
        ("nmcli tool, version 1.42.4", "networkmanager"),
        ("nmcli tool, version 1.52.1-1.el9\n", "networkmanager"),
        ("", "unknown"),
        ("nmcli: command not found", "unknown"),
    ],
)
def test_the_program(said: str, which: str) -> None:
    assert tunnel_networkmanager.recognise(said) == which


def test_the_commands_end_and_are_for_this_interface_alone() -> None:
    module = tunnel_networkmanager
    for command in [
        *module.up("he-ipv6"),
        module.down("he-ipv6"),
        *module.changed("he-ipv6"),
        *module.record("he-ipv6"),
    ]:
        assert command[:3] == ["nmcli", "--wait", "45"]
        assert command[-1] in ("he-ipv6", OWN)


def test_the_patterns_for_the_next_boot() -> None:
    boot = tunnel_networkmanager.about()["boot"]
    assert re.search(boot["selected"].format(re.escape("he-ipv6")), TEXT, re.MULTILINE)
    assert not re.search(boot["selected"].format(re.escape("he")), TEXT, re.MULTILINE)
    (unless,) = boot["unless"].values()
    for line, hit in (
        ("unmanaged-devices=interface-name:he-ipv6;interface-name:eth1", True),
        ("unmanaged-devices=mac:00:22:68:1c:59:b1;interface-name:=he-ipv6", True),
        ("unmanaged-devices=interface-name:he-ipv62", False),
        ("#unmanaged-devices=interface-name:he-ipv6", False),
    ):
        assert bool(re.search(unless.format(re.escape("he-ipv6")), line)) is hit


def test_what_is_offered_is_there() -> None:
    for each in tunnel_networkmanager.about()["offers"]:
        assert callable(getattr(tunnel_networkmanager, each))
