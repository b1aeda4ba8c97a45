"""The configuration of systemd-networkd: written, read, found in other files, moved. The files of others are real."""

from __future__ import annotations

from typing import Any

import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_units as units
import pytest
import tunnel_networkd
from salt.exceptions import CommandExecutionError

from ..lab.network import ARGUMENTS
from .variants import BOUND, VARIANTS

FOLDER = "/etc/systemd/network"
NETDEV, NETWORK = f"{FOLDER}/50-he-ipv6.netdev", f"{FOLDER}/50-he-ipv6.network"
TUNNEL = tunnel_sit.canonical(ARGUMENTS)
MADE = """\
# Managed by Salt (he_tunnel). Changes here are overwritten: they belong in the pillar, ipv6:tunnel.
[NetDev]
Name=he-ipv6
Kind=sit
MTUBytes=1480

[Tunnel]
Independent=yes
Local=46.105.5.1
Remote=216.66.84.42
TTL=255
"""
BY_HAND = {
    f"{FOLDER}/he.netdev": """\
[Match]

[NetDev]
Description=HE.net Tunnelbroker sit device
Name=he-ipv6
Kind=sit
MTUBytes=1480

[Tunnel]
Local=46.105.5.1
Remote=216.66.84.42
TTL=255
""",
    f"{FOLDER}/he.network": """\
[Match]
Name=he-ipv6

[Network]
Address=2001:470:1f12:f87::2/64
Address=2001:470:1f13:f87::77/64
Gateway=2001:470:1f12:f87::1
""",
    f"{FOLDER}/eth0.network": "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\nTunnel=he-ipv6\n",
}


def filed(extra: dict[str, Any]) -> dict[str, Any]:
    """A tunnel as the files get it."""
    found = tunnel_sit.canonical({**ARGUMENTS, **extra})
    return {**found, "local": "any"} if found["local"] == "auto" else found


def test_the_files() -> None:
    files = tunnel_networkd.files(TUNNEL)
    assert files[NETDEV] == MADE
    assert files[NETWORK].partition("\n")[2] == """\
[Match]
Name=he-ipv6

[Link]
RequiredForOnline=no

[Network]
IPv6AcceptRA=no

[Address]
Address=2001:470:1f12:f87::2/64
PreferredLifetime=0

[Address]
Address=2001:470:1f13:f87::77/64

[Route]
Destination=::/0
Gateway=2001:470:1f12:f87::1
GatewayOnLink=yes
Metric=1024
"""


@pytest.mark.parametrize("extra", [*VARIANTS, *BOUND])
def test_what_is_written_is_read(extra: dict[str, Any]) -> None:
    tunnel = filed(extra)
    files = tunnel_networkd.files(tunnel)
    read = tunnel_sit.canonical(tunnel_networkd.parse("he-ipv6", files) or {})
    assert {**read, "local": "any" if read["local"] == "auto" else read["local"]} == tunnel
    files = {**({f"{FOLDER}/9.network": f"[Match]\nName={tunnel['dev']}\n"} if tunnel["dev"] else {}), **files}
    whole = {path: text or "" for path, text in {**files, **tunnel_networkd.present(tunnel, files)}.items()}
    assert tunnel_networkd.present(tunnel, whole).items() <= whole.items()
    assert len(whole) == len(files) + bool(tunnel["dev"])
    ours = {path for path in whole if path != f"{FOLDER}/9.network"}
    assert tunnel_networkd.absent("he-ipv6", whole) == dict.fromkeys(ours)


def test_a_tunnel_is_bound_by_a_drop_in_of_its_devices_file() -> None:
    tunnel, own = filed({"dev": "eth1"}), f"{FOLDER}/30-uplink.network.d/50-he-ipv6.conf"
    host = {f"{FOLDER}/30-uplink.network": "[Match]\nName=eth1\nType=ether\n", f"{FOLDER}/eth0.network": ETH0}
    bound = tunnel_networkd.present(tunnel, host)
    assert (bound[own] or "").endswith("[Network]\nTunnel=he-ipv6\n")
    assert "Independent" not in (bound[NETDEV] or "")
    after = {path: text for path, text in {**host, **bound}.items() if text is not None}
    assert (tunnel_networkd.parse("he-ipv6", after) or {})["dev"] == "eth1"
    # It moves with the key, and goes with it.
    moved = tunnel_networkd.present(filed({"dev": "eth0"}), after)
    assert moved[own] is None and f"{FOLDER}/eth0.network.d/50-he-ipv6.conf" in moved
    free = tunnel_networkd.present(TUNNEL, after)
    assert free[own] is None and "Independent=yes\n" in (free[NETDEV] or "")


ETH0 = "[Match]\nName=eth0\n"


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ({}, "dev: no .network file of systemd-networkd is about eth1"),
        ({"a.network": "[Match]\nName=eth*\n"}, "a.network is about other interfaces than eth1, too"),
        ({"a.network": "[Match]\nName=eth1 eth2\n"}, "a.network is about other interfaces than eth1, too"),
        (
            {"a.network": "[Match]\nName=eth1\n", "b.network": f"{ETH0}[Network]\nTunnel=he-ipv6\n"},
            "b.network, line 4 binds he-ipv6 to another interface than eth1",
        ),
    ],
)
def test_what_cannot_be_bound_is_refused(host: dict[str, str], said: str) -> None:
    with pytest.raises(CommandExecutionError) as error:
        tunnel_networkd.present(filed({"dev": "eth1"}), {f"{FOLDER}/{name}": text for name, text in host.items()})
    assert said in str(error.value)


def test_source_routes_are_the_kernels_own() -> None:
    text = tunnel_networkd.files(filed({"routing": "source"}))[NETWORK]
    assert text.count("[Route]") == 2
    assert "Source=2001:470:1f13:f87::/64\nGateway=2001:470:1f12:f87::1\n" in text


def test_somebody_elses_is_refused_and_adopted() -> None:
    with pytest.raises(CommandExecutionError) as error:
        tunnel_networkd.present(TUNNEL, BY_HAND)
    assert f"he-ipv6 is already configured in {FOLDER}/he.netdev, line 4, and not by he_tunnel" in str(error.value)
    assert f"{FOLDER}/he.network, line 2" in str(error.value)
    moved = tunnel_networkd.present(TUNNEL, BY_HAND, adopt=True)
    # The file of the other interface names the tunnel, and stays: an independent one would make it fail.
    assert moved == {
        f"{FOLDER}/he.netdev": None,
        f"{FOLDER}/he.network": None,
        **tunnel_networkd.files(TUNNEL),
        NETDEV: MADE.replace("Independent=yes\n", "# bound to eth0\n"),
    }
    after = {path: text for path, text in {**BY_HAND, **moved}.items() if text is not None}
    alone = tunnel_networkd.parse("he-ipv6", tunnel_networkd.files(TUNNEL)) or {}
    assert tunnel_networkd.parse("he-ipv6", after) == {**alone, "dev": "eth0"}
    assert {**after, **tunnel_networkd.present(TUNNEL, after)} == after


def test_a_local_address_is_not_lost() -> None:
    """With `auto` the tunnel would begin at the address of the route, which may be another one: as with ifupdown."""
    with pytest.raises(CommandExecutionError, match=r"he.netdev: these lines would be lost: 10 \(Local: another"):
        tunnel_networkd.present(filed({"local": "auto"}), BY_HAND, adopt=True)
    for dynamic in ("any", "dhcp4"):
        host = {path: text.replace("Local=46.105.5.1", f"Local={dynamic}") for path, text in BY_HAND.items()}
        assert tunnel_networkd.present(filed({"local": "auto"}), host, adopt=True)[f"{FOLDER}/he.netdev"] is None


# A line more, and what is said about it: the number, and the key, but never the value.
LOST = {
    ("he.network", "Address=2001:470:1f13:f87::99/64"): "5 (Address: another addresses)",
    ("he.network", "DNS=2001:4860:4860::8888"): "5 (DNS)",
    ("he.network", "IPForward=ipv6"): "5 (IPForward)",
    ("he.network", "IPv6AcceptRA=yes"): "5 (IPv6AcceptRA)",
    ("he.network", "DHCP=ipv6"): "5 (DHCP)",
    ("he.netdev", "MTUBytes=1400"): "5 (MTUBytes: another mtu)",
    ("he.netdev", "MACAddress=02:00:00:00:00:01"): "5 (MACAddress)",
}
SECTIONS = {
    "[Tunnel]\nTTL=64\n": ("he.netdev", "14 (TTL: another ttl)"),
    "[Tunnel]\nTOS=4\n": ("he.netdev", "14 (TOS)"),
    "[Tunnel]\nRemote=216.66.80.26\n": ("he.netdev", "14 (Remote: another endpoint)"),
    "[Tunnel]\nLocal=192.0.2.1\n": ("he.netdev", "14 (Local: another local)"),
    "[Tunnel]\nIPv6RapidDeploymentPrefix=2602::/24\n": ("he.netdev", "14 (IPv6RapidDeploymentPrefix)"),
    "[Route]\nDestination=2000::/3\nGateway=2001:470:1f12:f87::1\n": ("he.network", "9 (Destination), 10 (Gateway)"),
    "[Route]\nGateway=2001:470:1f12:f87::1\nMetric=5\n": ("he.network", "10 (Metric: another metric)"),
    "[Route]\nGateway=2001:470:1f12:f87::9\n": ("he.network", "9 (Gateway: another gateway)"),
    "[RoutingPolicyRule]\nFrom=2001:470:1f13:f87::/64\nTable=7\n": (
        "he.network",
        "9 (From: another routing), 10 (Table: another routing)",
    ),
    "[Address]\nAddress=192.0.2.1/31\nPeer=192.0.2.0\n": ("he.network", "9 (Address: another addresses), 10 (Peer)"),
    "[Address]\nAddress=2001:470:1f13:f87::77/64\nPreferredLifetime=60\n": ("he.network", "10 (PreferredLifetime)"),
    "[Link]\nMTUBytes=1280\n": ("he.network", "9 (MTUBytes: another mtu)"),
    "[Link]\nMulticast=yes\n": ("he.network", "9 (Multicast)"),
    "[IPv6SendRA]\nManaged=yes\n": ("he.network", "9 (Managed)"),
}


@pytest.mark.parametrize("where", LOST, ids=lambda each: each[1])
def test_no_line_is_lost(where: tuple[str, str]) -> None:
    file, line = where
    lines = BY_HAND[f"{FOLDER}/{file}"].splitlines()
    lines.insert(4, line)
    check_lost({**BY_HAND, f"{FOLDER}/{file}": "\n".join(lines)}, file, LOST[where])


@pytest.mark.parametrize("section", SECTIONS)
def test_no_section_is_lost(section: str) -> None:
    file, said = SECTIONS[section]
    path = f"{FOLDER}/{file}"
    check_lost({**BY_HAND, path: BY_HAND[path] + section}, file, said)
    drop_in = f"/run/systemd/network/{file}.d/more.conf"
    with pytest.raises(CommandExecutionError, match="it is not in /etc/systemd/network, and would come back"):
        tunnel_networkd.present(TUNNEL, {**BY_HAND, drop_in: section}, adopt=True)


def check_lost(host: dict[str, str], file: str, said: str) -> None:
    """What is lost is named, and refused."""
    with pytest.raises(CommandExecutionError) as error:
        tunnel_networkd.present(TUNNEL, host, adopt=True)
    assert str(error.value) == (
        f"he-ipv6 cannot be adopted from {FOLDER}/{file}: these lines would be lost: {said}. "
        "Remove them, or declare what they say"
    )


def test_rules_of_ones_own_table_are_source_routing() -> None:
    text = """\
[Match]
Name=he-ipv6
[Network]
Address=2001:470:1f12:f87::2/64
Address=2001:470:1f13:f87::77/64
[RoutingPolicyRule]
From=2001:470:1f13:f87::/64
Table=1000
Priority=1000
[Route]
Gateway=2001:470:1f12:f87::1
Table=1000
"""
    host = {**BY_HAND, f"{FOLDER}/he.network": text}
    read = tunnel_networkd.parse("he-ipv6", host)
    assert read and read["routing"] == "source"
    wanted = tunnel_sit.canonical({**ARGUMENTS, "routing": "source"})
    assert tunnel_networkd.present(wanted, host, adopt=True)[f"{FOLDER}/he.network"] is None
    # A rule for packets from elsewhere, such as a LAN, is no route of the tunnel's, unless that prefix is.
    lan = text.replace("1f13:f87::/64", "7e43:1::/64")
    with pytest.raises(CommandExecutionError, match=r"he.network: these lines would be lost: 7 \(From: another addre"):
        tunnel_networkd.present(wanted, {**BY_HAND, f"{FOLDER}/he.network": lan}, adopt=True)
    routed = tunnel_sit.canonical({**ARGUMENTS, "routing": "source", "routed": ["2001:470:7e43::/48"]})
    assert tunnel_networkd.present(routed, {**BY_HAND, f"{FOLDER}/he.network": lan}, adopt=True)
    for_all = text.replace("From=2001:470:1f13:f87::/64\n", "")
    with pytest.raises(CommandExecutionError, match=r"he.network: these lines would be lost: 7 \(Table\), 8 \(Prio"):
        tunnel_networkd.present(wanted, {**BY_HAND, f"{FOLDER}/he.network": for_all}, adopt=True)
    # Without a rule, nothing is looked up in it.
    without = text.replace("[RoutingPolicyRule]", "[Else]")
    read = tunnel_networkd.parse("he-ipv6", {**host, f"{FOLDER}/he.network": without})
    assert read and read["routing"] == "none"


@pytest.mark.parametrize(
    "match, first",
    [("Name=*", True), ("Name=eth* he-*", True), ("Name=!eth*", True), ("Type=sit", True), ("Kind=sit", True)]
    + [(each, False) for each in ("Name=eth*", "Name=!he-*", "Type=ether", "MACAddress=02:00:00:00:00:01", "")],
)
def test_a_file_that_comes_first_is_in_the_way(match: str, first: bool) -> None:
    host = {f"{FOLDER}/10-all.network": f"[Match]\n{match}\n[Network]\nDHCP=yes\n"}
    if not first:
        assert tunnel_networkd.present(TUNNEL, host) == tunnel_networkd.files(TUNNEL)
        return
    with pytest.raises(CommandExecutionError, match="10-all.network comes before .* and matches he-ipv6, too"):
        tunnel_networkd.present(TUNNEL, host)
    later = {f"{FOLDER}/90-all.network": host[f"{FOLDER}/10-all.network"]}
    assert tunnel_networkd.present(TUNNEL, later) == tunnel_networkd.files(TUNNEL)


def test_a_file_that_other_interfaces_share_is_not_moved() -> None:
    host = {**BY_HAND, f"{FOLDER}/he.network": BY_HAND[f"{FOLDER}/he.network"].replace("he-ipv6", "he-ipv6 gre1")}
    with pytest.raises(CommandExecutionError, match="he.network is for other interfaces, too"):
        tunnel_networkd.present(TUNNEL, host, adopt=True)


def test_what_netplan_has_made_is_netplans() -> None:
    host = {
        f"/run/systemd/network/10-netplan-he-ipv6.{kind}": text
        for kind, text in zip(("netdev", "network"), tunnel_networkd.files(TUNNEL).values())
    }
    assert tunnel_networkd.parse("he-ipv6", host) is None
    assert tunnel_networkd.tunnels(host) == []


def test_of_two_files_of_one_name_the_administrators_counts() -> None:
    text = MADE.replace("216.66.84.42", "216.66.80.26")
    host = {"/usr/lib/systemd/network/50-he-ipv6.netdev": text, **tunnel_networkd.files(TUNNEL)}
    read = tunnel_networkd.parse("he-ipv6", host)
    assert read and read["endpoint"] == "216.66.84.42"
    assert tunnel_networkd.tunnels({**host, NETDEV: ""}) == []  # masked


# As they are in wikis, blogs, repositories and bug reports; what is read of them.
SEEN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "the Arch wiki's": (
        "[Match]\n\n[NetDev]\nName=he-ipv6\nKind=sit\nMTUBytes=1480\n\n[Tunnel]\nLocal=198.51.100.7\n"
        "Remote=216.66.80.30\nTTL=255\n",
        "[Match]\nName=he-ipv6\n\n[Network]\nAddress=2001:470:1f0a:1::2/64\nGateway=2001:470:1f0a:1::1\n"
        "DNS=2001:4860:4860::8888\nDNS=2001:4860:4860::8844\n",
        {"endpoint": "216.66.80.30", "local": "198.51.100.7", "ttl": 255, "mtu": 1480, "routing": "default",
         "address": "2001:470:1f0a:1::2/64", "gateway": "2001:470:1f0a:1::1"},
    ),
    "systemd #28442": (
        "[NetDev]\nName = he0\nKind = sit\nMTUBytes = 1480\n[Tunnel]\nLocal = 198.51.100.7\nRemote = 216.218.221.6\n"
        "TTL = 255\nIndependent = true\n",
        "[Match]\nName = he0\n[Network]\nAddress = 2001:470:18:82c::2/64\nGateway = 2001:470:18:82c::1\n",
        {"endpoint": "216.218.221.6", "address": "2001:470:18:82c::2/64", "routing": "default"},
    ),
    "systemd #37942": (
        "[NetDev]\nKind=sit\nMTUBytes=1480\nName=ipv6net\n\n[Tunnel]\nLocal=198.51.100.7\nRemote=216.66.80.30\n"
        "TTL=255\n",
        "[Match]\nName=ipv6net\n\n[Network]\nAddress=2001:db8:1::2/64\n\n[Route]\nDestination=::/0\n",
        {"endpoint": "216.66.80.30", "routing": "default", "address": "2001:db8:1::2/64"},
    ),
    "systemd #12547": (
        "[Match]\n\n[NetDev]\nName=tun0\nKind=sit\n\n[Tunnel]\nLocal=any\nRemote=216.66.80.30\nTTL=255\n",
        "[Match]\nName=tun0\n\n[Network]\nAddress=2001:db8:1::2/64\n",
        {"endpoint": "216.66.80.30", "local": None, "routing": "none", "gateway": None},
    ),
    "systemd #12041": (
        "[NetDev]\nName=he-ipv6\nKind=sit\n\n[Tunnel]\nRemote=216.66.80.30\nTTL=255\n",
        "",
        {"endpoint": "216.66.80.30", "local": None, "mtu": None, "address": None},
    ),
    "systemd #24854": (
        "[NetDev]\nName=he-ipv6\nKind=sit\n\n[Tunnel]\nLocal=dhcp4\nRemote=216.66.80.30\nTTL=inherit\n",
        "[Match]\nName=he-ipv6\n",
        {"local": "auto", "ttl": None},
    ),
    "a gateway that is the interface itself": (
        "[NetDev]\nName=he-ipv6\nKind=sit\nMTUBytes=1480\n\n[Tunnel]\nRemote=216.66.38.58\nLocal=198.51.100.7\n"
        "TTL=255\n",
        "[Match]\nName=he-ipv6\n\n[Network]\nAddress=2001:470:1c:4ff::2/64\n\n[Route]\nGateway=::\n",
        {"endpoint": "216.66.38.58", "routing": "default", "gateway": None},
    ),
    "comments between all lines": (
        "# /etc/systemd/network/he-ipv6.netdev\n# =====\n\n[NetDev]\nName=he-ipv6\nKind=sit\n"
        "Description=Hurricane Electric IPv6 Tunnel\n\n[Tunnel]\n# Your local IPv4 address\nLocal=203.0.113.50\n\n"
        "; HE's tunnel server IPv4 address\nRemote=216.66.84.46\n# Time to live\nTTL=255\n",
        "[Match]\nName=he-ipv6\n\n[Network]\nDescription=Hurricane Electric IPv6 Tunnel Network\n"
        "Address=2001:470:1f0e:abc::2/64\nGateway=2001:470:1f0e:abc::1\nIPForward=ipv6\n",
        {"endpoint": "216.66.84.46", "address": "2001:470:1f0e:abc::2/64"},
    ),
    "a /48 beside it, as a script writes it": (
        "[NetDev]\nName=he48\nKind=sit\n\n[Tunnel]\nLocal=198.51.100.7\nRemote=216.66.84.42\nTTL=255\n",
        "[Match]\nName=he48\n\n[Network]\nAddress=2001:470:1f12:f87::2/64\nGateway=2001:470:1f12:f87::1\n"
        "Address=2001:470:7e43::1/48\n",
        {"address": "2001:470:1f12:f87::2/64", "addresses": ["2001:470:7e43::1/48"], "metric": None},
    ),
    "values on several lines, keys given twice, and emptied": (
        "[NetDev]\nName=old\nName=he-ipv6\nKind=\\\n# between\nsit\n[Tunnel]\nRemote=192.0.2.9\nRemote=\n"
        "Remote=216.66.84.42\n"
        "ttl=1\nno assignment\nTTL=64\n",
        "[Match]\nName=eth9\nName=\nName=\"he-ipv6\"\n[Address]\nAddress=2001:db8:9::9/64\n[Network]\nAddress=\n"
        "Address=2001:470:1f12:f87::2/64\nGateway=192.0.2.1\nGateway=\nGateway=2001:470:1f12:f87::1\n",
        {"endpoint": "216.66.84.42", "ttl": 64, "address": "2001:470:1f12:f87::2/64", "addresses": [],
         "gateway": "2001:470:1f12:f87::1"},
    ),
    "prefixes and suffixes": (
        "[NetDev]\nName=he-ipv6\nKind=sit\nMTUBytes=1K\n[Tunnel]\nRemote=216.66.84.42\n",
        "[Match]\nName=he-ipv6\n[Link]\nMTUBytes=1472\n[Network]\nAddress=2001:0470:1F12:0f87::2/64\n"
        "Address=2001:470:1f13:f87::77\n[Route]\nGateway=2001:470:1f12:f87::1\nMetric=512\n",
        {"mtu": 1472, "address": "2001:470:1f12:f87::2/64", "addresses": ["2001:470:1f13:f87::77/128"], "metric": 512},
    ),
    "a typo": (
        "[NetDev]\nName=he-ipv6\nKind=sit\n[Tunnel]\nRemote=216.66.84.442\nTTL=abc\n",
        "[Match]\nName=he-ipv6\n[Network]\nAddress=2001:db8\nGateway=fe80\n",
        {"endpoint": "216.66.84.442", "ttl": "abc", "address": "2001:db8"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("seen", SEEN)
def test_the_files_of_others_are_read(seen: str) -> None:
    netdev, network, expected = SEEN[seen]
    host = {f"{FOLDER}/he.netdev": netdev, f"{FOLDER}/he.network": network}
    (found,) = tunnel_networkd.tunnels(host)
    read = tunnel_networkd.parse(found["name"], host)
    assert read and {key: read.get(key) for key in expected} == expected
    with pytest.raises(CommandExecutionError, match="is already configured in .*he.netdev, line "):
        tunnel_networkd.present({**TUNNEL, "name": found["name"]}, host)


def test_every_tunnel_is_listed_whatever_its_kind() -> None:
    texts = {
        "6to4": "[NetDev]\nName=6to4t\nKind=sit\n[Tunnel]\nLocal=176.56.236.173\nRemote=any\nTTL=64\n",
        "gre": "[NetDev]\nName=tun0\nKind=gre\n[Tunnel]\nLocal=10.255.255.1\nRemote=10.255.255.2\n",
        "ipip": "[NetDev]\nName=m66\nKind=ipip\n[Tunnel]\nLocal=5.172.19.48\nRemote=5.79.136.222\n",
        "wg": "[NetDev]\nName=wg0\nKind=wireguard\n[WireGuardPeer]\nEndpoint=192.0.2.1:51820\n",
        "6rd": "[NetDev]\nName=rd\nKind=sit\n[Tunnel]\nLocal=192.0.2.2\nIPv6RapidDeploymentPrefix=2602::/24\n",
        "typo": "[NetDev]\nName=he\nKind=sit\n[Tunnel]\nLocal=192.0.2.2\nRemote=tserv1.par1\n",
        "wrong section": "[NetDev]\nName=tun-he\nKind=sit\n\n[SIT]\nRemote=216.66.84.42\n",
        "bridge": "[NetDev]\nName=br0\nKind=bridge\n",
    }
    host = {f"{FOLDER}/{name}.netdev": text for name, text in texts.items()}
    host[f"{FOLDER}/6to4.network"] = "[Match]\nName=6to4t\n[Network]\nAddress=2002:b038:ecad::1/16\n"
    found = {each["name"]: each for each in tunnel_networkd.tunnels({**host, NETDEV: MADE})}
    assert [(name, each["kind"], each["endpoint"], each["ours"]) for name, each in found.items()] == [
        ("he-ipv6", "sit", "216.66.84.42", True),
        ("rd", "6rd", "any", False),
        ("6to4t", "6to4", "any", False),
        ("tun0", "gre", "10.255.255.2", False),
        ("m66", "ipip", "5.79.136.222", False),
        ("he", "sit", "any", False),
        ("wg0", "wireguard", "192.0.2.1:51820", False),
        ("tun-he", "sit", "any", False),
    ]
    assert found["he"]["place"] == f"{FOLDER}/typo.netdev, line 2"
    assert "typo.netdev, line 6" in found["he"]["warning"] and "protocol 41 from anybody" in found["he"]["warning"]
    assert "tserv1" not in found["he"]["warning"]


@pytest.mark.parametrize(
    "text", ["", "\n", "\\", "[", "=", "[]\n=\n", "[NetDev]\nName", "\0", "[Tunnel", "# \\\n[NetDev]\n"]
)
def test_what_is_no_configuration_is_no_tunnel(text: str) -> None:
    host = {f"{FOLDER}/x.netdev": text, f"{FOLDER}/x.network": text, f"{FOLDER}/x.network.d/y.conf": text}
    assert tunnel_networkd.parse("he-ipv6", host) is None
    assert tunnel_networkd.tunnels(host) == []
    assert tunnel_networkd.present(TUNNEL, host) == tunnel_networkd.files(TUNNEL)


def test_what_networkd_has_up() -> None:
    path = "/run/systemd/netif/links/3"
    state = "# This is private data. Do not parse.\nADMIN_STATE={}\nOPER_STATE=routable\nNETWORK_FILE={}\n"
    eth0 = {"name": "eth0", "index": 3}
    file = f"{FOLDER}/20-eth0.network"
    assert (
        tunnel_networkd.has(eth0, {path: state.format("configuring", file)}) == f"systemd-networkd has eth0 by {file}"
    )
    assert tunnel_networkd.has(eth0, {path: state.format("unmanaged", file)}) == ""
    assert tunnel_networkd.has(eth0, {path: "ADMIN_STATE=unmanaged\n"}) == ""
    assert tunnel_networkd.has(eth0, {path: state.format("configured", f"{units.NETPLAN}eth0.network")}) == ""
    assert tunnel_networkd.has({"name": "he-ipv6", "index": 0}, {path: state.format("configured", file)}) == ""


def test_an_own_file_of_somebody_else() -> None:
    with pytest.raises(CommandExecutionError, match="50-he-ipv6.network is not managed by he_tunnel and is not about"):
        tunnel_networkd.present(TUNNEL, {NETWORK: "[Match]\nName=eth0\n"}, adopt=True)
    edited = {**tunnel_networkd.files(TUNNEL)}
    edited[NETDEV] = edited[NETDEV].replace("216.66.84.42", "192.0.2.1")
    assert tunnel_networkd.present(TUNNEL, edited) == tunnel_networkd.files(TUNNEL)
    drop_in = f"{NETWORK}.d/more.conf"
    with pytest.raises(CommandExecutionError, match="more.conf, line 2, and not by he_tunnel"):
        tunnel_networkd.present(TUNNEL, {**edited, drop_in: "[Network]\nDNS=192.0.2.53\n"})


def test_recognised() -> None:
    assert tunnel_networkd.recognise("systemd 252 (252.39-1~deb12u2)\n+PAM") == "networkd"
    assert tunnel_networkd.recognise("busybox") == "unknown"
