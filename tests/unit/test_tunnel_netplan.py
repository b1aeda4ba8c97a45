"""The configuration of netplan: written, read, found in other files, moved. The files of others are real."""

from __future__ import annotations

from typing import Any

import _dualstack_tunnel_own as tunnel_own
import _dualstack_tunnel_sit as tunnel_sit
import pytest
import tunnel_netplan
from salt.exceptions import CommandExecutionError

from ..lab.network import ARGUMENTS
from .variants import VARIANTS

FOLDER = "/etc/netplan"
OWN = f"{FOLDER}/60-he-ipv6.yaml"
ROUTES = "/etc/systemd/network/10-netplan-he-ipv6.network.d/50-he_tunnel.conf"
TUNNEL = tunnel_sit.canonical(ARGUMENTS)
NETWORKD: dict[str, str] = {}
CLOUD = {f"{FOLDER}/50-cloud-init.yaml": "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true}\n"}
DESKTOP = {f"{FOLDER}/01-network-manager-all.yaml": "network:\n  version: 2\n  renderer: NetworkManager\n"}
PER_DEVICE = {f"{FOLDER}/01.yaml": "network:\n  version: 2\n  ethernets:\n    eth0:\n      renderer: NetworkManager\n"}
BY_HAND = """\
# the hoster's
network:
  version: 2
  renderer: networkd
  ethernets:
    eth0:   # do not touch
      dhcp4: yes
  tunnels:
    # he.net
    he-ipv6:
      mode: sit
      remote: 216.66.84.42
      local: 46.105.5.1
      addresses:
        - 2001:470:1f12:f87::2/64
        - "2001:470:1f13:f87::77/64"
      routes:
        - to: default
          via: "2001:470:1f12:f87::1"
  # behind it
  bridges:
    br0: {interfaces: [eth1]}
"""
WITHOUT = """\
# the hoster's
network:
  version: 2
  renderer: networkd
  ethernets:
    eth0:   # do not touch
      dhcp4: yes
  # behind it
  bridges:
    br0: {interfaces: [eth1]}
"""
PATH = f"{FOLDER}/01-netcfg.yaml"


def filed(extra: dict[str, Any]) -> dict[str, Any]:
    """A tunnel as the files get it."""
    found = tunnel_sit.canonical({**ARGUMENTS, **extra})
    return {**found, "local": "any"} if found["local"] == "auto" else found


def test_the_file_where_systemd_networkd_renders() -> None:
    assert tunnel_netplan.files(TUNNEL) == {
        OWN: tunnel_own.HEADER
        + """\
network:
  version: 2
  tunnels:
    he-ipv6:
      renderer: networkd
      mode: sit
      local: 46.105.5.1
      remote: 216.66.84.42
      ttl: 255
      mtu: 1480
      accept-ra: false
      optional: true
      addresses:
        - "2001:470:1f13:f87::77/64"
        - "2001:470:1f12:f87::2/64"  # the tunnel's own
      routes:
        - to: "::/0"
          via: "2001:470:1f12:f87::1"
          metric: 1024
          on-link: true
          from: "2001:470:1f13:f87::77"
"""
    }


def test_the_file_where_networkmanager_renders() -> None:
    for host in (DESKTOP, PER_DEVICE):
        (text,) = tunnel_netplan.present(TUNNEL, host).values()
        assert text and "renderer: NetworkManager" in text
        assert "\n      mtu:" not in text and "lifetime" not in text
        assert 'ip-tunnel.mtu: "1480"' in text and "ipv6-address-generation: stable-privacy" in text
    source = tunnel_netplan.present(tunnel_sit.canonical({**ARGUMENTS, "routing": "source"}), DESKTOP)
    assert set(source) == {OWN}
    assert 'ipv6.route2_options: "onlink=true,from=2001:470:1f13:f87::/64"' in (source[OWN] or "")


def test_source_routes_of_systemd_networkd_have_a_file_of_their_own() -> None:
    tunnel = filed({"routing": "source"})
    files = tunnel_netplan.files(tunnel)
    assert set(files) == {OWN, ROUTES} and files[ROUTES].count("[Route]") == 2
    assert "routes:" not in files[OWN]
    # Another mark: the file is for a daemon that is no root.
    assert not files[ROUTES].startswith(tunnel_own.MARK)
    assert tunnel_netplan.present(TUNNEL, files) == {**tunnel_netplan.files(TUNNEL), ROUTES: None}
    assert tunnel_netplan.absent("he-ipv6", files) == {OWN: None, ROUTES: None}
    with pytest.raises(CommandExecutionError, match="50-he_tunnel.conf is not managed by he_tunnel"):
        tunnel_netplan.present(tunnel, {ROUTES: "[Route]\n"}, adopt=True)


@pytest.mark.parametrize("host", [NETWORKD, CLOUD, DESKTOP, PER_DEVICE], ids=["nothing", "cloud", "desktop", "device"])
@pytest.mark.parametrize("extra", VARIANTS)
def test_what_is_written_is_read(extra: dict[str, Any], host: dict[str, str]) -> None:
    tunnel = filed(extra)
    files = {path: text for path, text in tunnel_netplan.present(tunnel, host).items() if text is not None}
    read = tunnel_sit.canonical(tunnel_netplan.parse("he-ipv6", {**host, **files}) or {})
    assert {**read, "local": "any" if read["local"] == "auto" else read["local"]} == tunnel
    assert tunnel_netplan.present(tunnel, {**host, **files}) == files
    assert tunnel_netplan.absent("he-ipv6", {**host, **files}) == dict.fromkeys(files)


def test_somebody_elses_is_refused_and_adopted() -> None:
    with pytest.raises(CommandExecutionError) as error:
        tunnel_netplan.present(TUNNEL, {PATH: BY_HAND})
    assert f"he-ipv6 is already configured in {PATH}, line 10, and not by he_tunnel" in str(error.value)
    moved = tunnel_netplan.present(TUNNEL, {PATH: BY_HAND}, adopt=True)
    assert moved == {PATH: WITHOUT.replace("  # behind it", "  # behind it"), **tunnel_netplan.files(TUNNEL)}
    after = {path: text for path, text in moved.items() if text is not None}
    assert tunnel_netplan.present(TUNNEL, after) == tunnel_netplan.files(TUNNEL)
    assert tunnel_netplan.absent("he-ipv6", {PATH: BY_HAND}, adopt=True) == {PATH: WITHOUT}


def test_a_file_with_nothing_else_goes() -> None:
    text = "network:\n  version: 2\n  tunnels:\n    he-ipv6:\n      mode: sit\n      remote: 216.66.84.42\n"
    assert tunnel_netplan.present(TUNNEL, {f"{FOLDER}/99-he-tunnel.yaml": text}, adopt=True) == {
        f"{FOLDER}/99-he-tunnel.yaml": None,
        **tunnel_netplan.files(TUNNEL),
    }
    # What renders all other interfaces is not about the tunnel.
    host = {f"{FOLDER}/99.yaml": text.replace("  tunnels", "  renderer: NetworkManager\n  tunnels")}
    assert tunnel_netplan.present(TUNNEL, host, adopt=True)[f"{FOLDER}/99.yaml"] == (
        "network:\n  version: 2\n  renderer: NetworkManager\n"
    )


# A line more of the definition, and what is said about it.
LOST = {
    "nameservers: {addresses: [2001:db8::53]}": "18 (nameservers.addresses)",
    "mtu: 1400": "18 (mtu: another mtu)",
    "ttl: 64": "18 (ttl: another ttl)",
    "key: 7": "18 (key)",
    "accept-ra: yes": "18 (accept-ra)",
    "dhcp6: true": "18 (dhcp6)",
    "gateway6: 2001:470:1f12:f87::9": "18 (gateway6: another gateway)",
    "link-local: [ipv4]": "18 (link-local)",
    "routing-policy: [{from: '2001:470:1f13:f87::/64', table: 5}]": (
        "18 (routing-policy.from: another routing), 18 (routing-policy.table: another routing)"
    ),
    "networkmanager: {passthrough: {connection.zone: trusted}}": "18 (networkmanager.passthrough.connection.zone)",
    "ignored: {a: [b, {c: d}]}": "18 (ignored.a), 18 (ignored.a.c)",
}
ADDRESSES = {
    "- 2001:470:1f13:f87::99/64": "18 (addresses: another addresses)",
    "- 192.0.2.1/24": "18 (addresses: another addresses)",
    '- "2001:470:1f13:f87::77/48"': "18 (addresses: another addresses)",
}
ELSEWHERE = {
    "- {to: '2001:db8:5::/48', via: '2001:470:1f12:f87::1'}": "20 (to), 20 (via)",
    "- {to: '::/0', via: '2001:470:1f12:f87::1', metric: 3}": "20 (metric: another metric)",
    "- {to: default, via: '2001:470:1f12:f87::1', mtu: 1300}": "20 (mtu)",
    "- {to: default, via: '2001:470:1f12:f87::1', table: 9}": "20 (to), 20 (via), 20 (table)",
    "- {to: default, via: '2001:470:1f12:f87::1', from: '2001:470:1f12:f87::2'}": "20 (from: another source)",
    "- {to: default, via: 192.0.2.1}": "20 (to), 20 (via)",
}


@pytest.mark.parametrize("more, said", LOST.items())
def test_no_key_is_lost(more: str, said: str) -> None:
    check_lost(
        BY_HAND.replace("      routes:", f"      {more}\n      routes:").replace("a-a", ""), said.replace("18", "17")
    )


@pytest.mark.parametrize("more, said", ADDRESSES.items())
def test_no_address_is_lost(more: str, said: str) -> None:
    check_lost(BY_HAND.replace("      routes:", f"        {more}\n      routes:"), said.replace("18", "17"))


@pytest.mark.parametrize("more, said", ELSEWHERE.items())
def test_no_route_is_lost(more: str, said: str) -> None:
    check_lost(BY_HAND.replace("  # behind it", f"        {more}\n  # behind it"), said)


def test_what_an_interface_says_of_its_renderer_counts_before_the_general_word() -> None:
    text = "network: {renderer: %s, ethernets: {eth0: {renderer: %s, dhcp4: true}}}\n"
    for general, own in (("networkd", "NetworkManager"), ("NetworkManager", "networkd")):
        files = tunnel_netplan.present(TUNNEL, {PATH: text % (general, own)})
        assert f"      renderer: {own}\n" in (files[OWN] or "")


def test_a_local_address_is_not_lost() -> None:
    """With `auto` the tunnel would begin at the address of the route, which may be another one: as with ifupdown."""
    with pytest.raises(CommandExecutionError, match=r"01-netcfg.yaml: these lines would be lost: 13 \(local: another"):
        tunnel_netplan.present(filed({"local": "auto"}), {PATH: BY_HAND}, adopt=True)
    text = BY_HAND.replace("46.105.5.1", "0.0.0.0")
    assert tunnel_netplan.present(filed({"local": "auto"}), {PATH: text}, adopt=True)[PATH] == WITHOUT


def test_no_rule_for_packets_from_elsewhere_is_lost() -> None:
    """Such as from a LAN behind this host, which would be without its default route."""
    path = f"{FOLDER}/he.yaml"
    definition = (
        "{mode: sit, remote: 216.66.84.42, addresses: ['2001:470:1f12:f87::2/64', '2001:470:1f13:f87::77/64'],\n"
        "   routing-policy: [{from: '2001:470:7e43:1::/64', table: 5}],\n"
        "   routes: [{to: '::/0', via: '2001:470:1f12:f87::1', table: 5}]}"
    )
    host = {path: f"network:\n tunnels:\n  he-ipv6: {definition}\n"}
    wanted = filed({"routing": "source", "local": "auto"})
    with pytest.raises(CommandExecutionError, match=r"would be lost: 4 \(routing-policy.from: another addresses\)\."):
        tunnel_netplan.present(wanted, host, adopt=True)
    routed = filed({"routing": "source", "local": "auto", "routed": ["2001:470:7e43::/48"]})
    assert tunnel_netplan.present(routed, host, adopt=True)[path] is None


def check_lost(text: str, said: str) -> None:
    """What is lost is named, and refused."""
    with pytest.raises(CommandExecutionError) as error:
        tunnel_netplan.present(TUNNEL, {PATH: text}, adopt=True)
    assert str(error.value) == (
        f"he-ipv6 cannot be adopted from {PATH}: these lines would be lost: {said}. "
        "Remove them, or declare what they say"
    )


def test_what_shares_its_lines_with_others_is_not_moved() -> None:
    definition = "{mode: sit, remote: 216.66.84.42, local: 46.105.5.1}"
    text = "network: {version: 2, tunnels: {he-ipv6: %s, gre1: {mode: gre, remote: 192.0.2.1}}}\n" % definition
    with pytest.raises(CommandExecutionError, match="line 1: he-ipv6 shares its lines with others"):
        tunnel_netplan.present(TUNNEL, {PATH: text}, adopt=True)
    flow = (
        f"network:\n  version: 2\n  tunnels:\n    he-ipv6: {definition}\n    gre1: {{mode: gre, remote: 192.0.2.1}}\n"
    )
    moved = tunnel_netplan.present(TUNNEL, {PATH: flow}, adopt=True)
    assert moved[PATH] == flow.replace(f"    he-ipv6: {definition}\n", "")
    anchor = flow.replace("he-ipv6: {", "he-ipv6: &it {") + "    he2: *it\n"
    with pytest.raises(CommandExecutionError, match="or is named elsewhere"):
        tunnel_netplan.present(TUNNEL, {PATH: anchor}, adopt=True)


def test_several_files_are_one_configuration() -> None:
    host = {
        "/usr/lib/netplan/10-a.yaml": "network: {tunnels: {he-ipv6: {mode: sit, remote: 192.0.2.1, ttl: 1}}}\n",
        f"{FOLDER}/20-b.yaml": "network: {tunnels: {he-ipv6: {remote: 216.66.84.42, addresses: ['2001:db8::2/64']}}}\n",
        "/run/netplan/30-c.yaml": "network: {tunnels: {he-ipv6: {addresses: ['2001:db8:1::2/64']}}}\n",
    }
    read = tunnel_netplan.parse("he-ipv6", host)
    assert read == {
        "name": "he-ipv6",
        "endpoint": "216.66.84.42",
        "ttl": 1,
        "routing": "none",
        "source": "2001:db8::2",
        "address": "2001:db8::2/64",
        "addresses": ["2001:db8:1::2/64"],
    }
    with pytest.raises(CommandExecutionError) as error:
        tunnel_netplan.present(TUNNEL, host, adopt=True)
    assert "cannot be adopted from /usr/lib/netplan/10-a.yaml: it is not in /etc/netplan" in str(error.value)
    assert "cannot be adopted from /run/netplan/30-c.yaml" in str(error.value)
    # A file of the same name elsewhere is not read.
    masked = {**host, f"{FOLDER}/10-a.yaml": "network: {version: 2}\n"}
    assert tunnel_netplan.parse("he-ipv6", masked) is None


# As they are in documentation, pastebins and scripts; what is read of them.
SEEN: dict[str, tuple[str, dict[str, Any]]] = {
    "a pastebin of 2023": (
        """\
###
# tunnel config - 99-he-tunnel.yaml
###
network:
  version: 2
  tunnels:
    he-ipv6:
      mode: sit
      remote: 216.66.87.102
      local: 5.135.186.51
      nameservers:
        addresses:
          - 2001:4860:4860::8888
          - 2001:4860:4860::8844
      routes:
        - to: default
          via: "2001:470:1f20:a::1"
      addresses:
        # Client IPv6 Address
        - 2001:470:1f20:a::2/64
""",
        {"endpoint": "216.66.87.102", "local": "5.135.186.51", "gateway": "2001:470:1f20:a::1", "routing": "default",
         "address": "2001:470:1f20:a::2/64", "addresses": []},
    ),
    "netplan's documentation": (
        """\
network:
  renderer: networkd
  ethernets:
    eth0:
      addresses:
        - 1.1.1.1/24
        - "2001:cafe:face::1/64"
      routes:
        - to: default
          via: 1.1.1.254
  tunnels:
    he-ipv6:
      mode: sit
      remote: 2.2.2.2
      local: 1.1.1.1
      addresses:
        - "2001:dead:beef::2/64"
      routes:
        - to: default
          via: "2001:dead:beef::1"
""",
        {"endpoint": "2.2.2.2", "address": "2001:dead:beef::2/64", "gateway": "2001:dead:beef::1", "metric": None},
    ),
    "before 2021": (
        "network:\n version: 2\n tunnels:\n  he-ipv6: {mode: sit, remote: 216.66.80.26, local: 192.0.2.7,"
        " addresses: ['2001:470:1f08:3f6::2/64'], gateway6: '2001:470:1f08:3f6::1'}\n",
        {"gateway": "2001:470:1f08:3f6::1", "routing": "default"},
    ),
    "::/0, any, and a table of one's own": (
        """\
network:
  version: 2
  tunnels:
    he-ipv6:
      mode: sit
      remote: 216.66.80.26
      local: 0.0.0.0
      ttl: 255
      mtu: 1480
      addresses: ["2001:470:1f08:3f6::2/64", "2001:470:1f09:3f6::1/64"]
      routing-policy:
        - from: "2001:470:1f09:3f6::/64"
          table: 101
      routes:
        - to: "::/0"
          via: "2001:470:1f08:3f6::1"
          table: 101
""",
        {"local": None, "ttl": 255, "mtu": 1480, "routing": "source", "gateway": "2001:470:1f08:3f6::1"},
    ),
    "a lifetime, and what a route may have": (
        """\
network:
  version: 2
  tunnels:
    he-ipv6:
      mode: sit
      remote: 216.66.84.42
      addresses:
        - 2001:470:1f12:f87::2/64: {lifetime: 0, label: eth0:0}
        - 2001:470:1f13:f87::77/64
      routes: [{to: 10.0.0.0/8, via: 10.1.1.1}, {to: 0::/0, via: 2001:470:1f12:f87::1, metric: 100, on-link: yes}]
""",
        {"source": "2001:470:1f13:f87::77", "metric": 100, "addresses": ["2001:470:1f13:f87::77/64"]},
    ),
    "as NetworkManager writes it": (
        """\
network:
  version: 2
  tunnels:
    NM-b4e8a1b6-6c7e-4b6e-9f0a-3f8b9a4c5d6e:
      renderer: NetworkManager
      addresses:
      - "2001:470:1f12:f87::2/64"
      ipv6-address-generation: "stable-privacy"
      mode: "sit"
      local: "46.105.5.1"
      remote: "216.66.84.42"
      networkmanager:
        uuid: "b4e8a1b6-6c7e-4b6e-9f0a-3f8b9a4c5d6e"
        name: "he-ipv6"
        passthrough:
          connection.interface-name: "he-ipv6"
          ipv6.ip6-privacy: "-1"
          ipv6.route1: "::/0,2001:470:1f12:f87::1,50"
          proxy._: ""
""",
        {"endpoint": "216.66.84.42", "gateway": "2001:470:1f12:f87::1", "metric": 50, "routing": "default"},
    ),
    "anchors": (
        "defaults: &it {mode: sit, remote: 216.66.84.42}\nnetwork: {version: 2, tunnels: {he-ipv6: *it}}\n",
        {"endpoint": "216.66.84.42"},
    ),
    "nonsense, which netplan refuses": (
        "network: {tunnels: {he-ipv6: {mode: sit, remote: tserv1, ttl: [], addresses: {a: b}, routes: x, mtu: {}}}}\n",
        {"endpoint": "tserv1", "ttl": None, "address": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("seen", SEEN)
def test_the_files_of_others_are_read(seen: str) -> None:
    text, expected = SEEN[seen]
    read = tunnel_netplan.parse("he-ipv6", {PATH: text})
    assert read and {key: read.get(key) for key in expected} == expected
    found = {each["name"]: each for each in tunnel_netplan.tunnels({PATH: text})}
    assert found["he-ipv6"]["kind"] == "sit" and found["he-ipv6"]["ours"] is False
    with pytest.raises(CommandExecutionError, match="is already configured in .*01-netcfg.yaml, line "):
        tunnel_netplan.present(TUNNEL, {PATH: text})


def test_what_networkmanager_has_written_is_adopted() -> None:
    text = SEEN["as NetworkManager writes it"][0]
    tunnel = tunnel_sit.canonical({**ARGUMENTS, "addresses": []})
    with pytest.raises(CommandExecutionError, match=r"18 \(networkmanager.passthrough.ipv6.route1: another metric\)"):
        tunnel_netplan.present(tunnel, {PATH: text}, adopt=True)
    moved = tunnel_netplan.present(tunnel, {PATH: text.replace(",50", ",1024"), **DESKTOP}, adopt=True)
    assert moved[PATH] is None and "renderer: NetworkManager" in (moved[OWN] or "")
    # Where nothing else says what renders, it is what has rendered the tunnel.
    moved = tunnel_netplan.present(tunnel, {PATH: text.replace(",50", ",1024")}, adopt=True)
    assert moved[PATH] is None and tunnel_netplan.present(tunnel, {OWN: moved[OWN] or ""}) == {OWN: moved[OWN]}


@pytest.mark.parametrize(
    "text, line",
    {
        "network:\n\tversion: 2\n": 2,
        "network:\n  tunnels: {he-ipv6: {mode: sit\n": 3,
        "network:\n  tunnels: [a: b: c]\n": 2,
        "a: *nobody\n": 1,
        "- network\n": 1,
        "just words\n": 1,
        "? [a, b]\n: c\n": 1,
        "a: &a [*a]\n": None,
        "network: {a: '\n": 2,
        "\x00": None,
    }.items(),
)
def test_what_netplan_cannot_read_is_an_error_that_names_it(text: str, line: int | None) -> None:
    host = {PATH: text}
    for function in (tunnel_netplan.tunnels, lambda host: tunnel_netplan.parse("he-ipv6", host)):
        with pytest.raises(CommandExecutionError) as error:
            function(host)
        assert str(error.value).startswith(PATH if line is None else f"{PATH}, line {line}")
    with pytest.raises(CommandExecutionError, match="01-netcfg.yaml"):
        tunnel_netplan.present(TUNNEL, host)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "network:\n", "network: 5\n", "network: {tunnels: }\n",
             "network: {tunnels: [he-ipv6]}\n",
             "network: {tunnels: {he-ipv6: }}\n", "network: {tunnels: {he-ipv6: {mode: ipip}}}\n", "{}\n", "~\n"]
)  # fmt: skip
def test_what_is_no_tunnel_is_none(text: str) -> None:
    assert tunnel_netplan.parse("he-ipv6", {PATH: text}) is None


def test_every_tunnel_is_listed_whatever_its_kind() -> None:
    text = """\
network:
  tunnels:
    gre1: {mode: gre, local: 11.11.11.11, remote: 100.71.125.2}
    wg0:
      mode: wireguard
      peers: [{keys: {public: x}, endpoint: "192.0.2.1:51820"}]
    tun6: {mode: sit, local: 192.0.2.2, remote: 0.0.0.0}
"""
    found = tunnel_netplan.tunnels({PATH: text, **tunnel_netplan.files(TUNNEL)})
    assert [(each["name"], each["kind"], each["endpoint"], each["local"], each["ours"]) for each in found] == [
        ("gre1", "gre", "100.71.125.2", "11.11.11.11", False),
        ("wg0", "wireguard", "192.0.2.1:51820", "any", False),
        ("tun6", "sit", "any", "192.0.2.2", False),
        ("he-ipv6", "sit", "216.66.84.42", "46.105.5.1", True),
    ]
    assert found[1]["place"] == f"{PATH}, line 4"


def test_what_netplan_has_up() -> None:
    links, devices = "/run/systemd/netif/links/3", "/run/NetworkManager/devices/3"
    keyfile = "/run/NetworkManager/system-connections/netplan-eth0.nmconnection"
    eth0 = {"name": "eth0", "index": 3}
    state = "ADMIN_STATE=configured\nNETWORK_FILE=/run/systemd/network/{}\n"
    assert tunnel_netplan.has(eth0, {links: state.format("10-netplan-eth0.network")}) == (
        "systemd-networkd has eth0 by /run/systemd/network/10-netplan-eth0.network"
    )
    assert tunnel_netplan.has(eth0, {links: state.format("20-eth0.network")}) == ""
    device = "[device]\nmanaged=true\nconnection-uuid=626dd384-8b3d-3690-9511-192b2c79b3fd\n"
    text = "[connection]\nid=netplan-eth0\ninterface-name=eth0\n"
    assert tunnel_netplan.has(eth0, {devices: device, keyfile: text}) == f"NetworkManager has eth0 by {keyfile}"
    assert tunnel_netplan.has(eth0, {devices: device.replace("true", "false"), keyfile: text}) == ""
    assert tunnel_netplan.has(eth0, {devices: device}) == ""
    assert tunnel_netplan.has({"name": "eth1", "index": 4}, {devices: device, keyfile: text}) == ""
    # As NetworkManager and netplan of Ubuntu 24.04 share one, which is for any Ethernet.
    shared = "/run/NetworkManager/system-connections/netplan-NM-626dd384-8b3d-3690-9511-192b2c79b3fd.nmconnection"
    text = "[connection]\nid=Home\ntype=ethernet\nuuid=626dd384-8b3d-3690-9511-192b2c79b3fd\n"
    assert tunnel_netplan.has(eth0, {devices: device, shared: text}) == f"NetworkManager has eth0 by {shared}"
    assert tunnel_netplan.has(eth0, {devices: device, shared: text.replace("626dd384", "726dd384")}) == ""


def test_no_other_interface_is_touched() -> None:
    every = [tunnel_netplan.up("he-ipv6"), tunnel_netplan.down("he-ipv6"), tunnel_netplan.changed("he-ipv6")]
    for command in [*every, tunnel_netplan.record("he-ipv6")]:
        assert [(words[:2], words[3:]) for words in command] == [(["sh", "-c"], ["netplan", "he-ipv6"])]
        assert "netplan apply" not in command[0][2] and "\n" not in command[0][2]


def test_what_was_generated_goes_with_the_interface() -> None:
    """The restorer of a run that was killed runs this command and no other: the file would make the tunnel again."""
    ((_, _, script, *_),) = tunnel_netplan.down("he-ipv6")
    assert script.index("networkctl delete $1") < script.index("rm -f /run/systemd/network/10-netplan-$1.netdev ")


def test_recognised() -> None:
    assert tunnel_netplan.recognise('netplan.io:\n  website: "https://netplan.io/"') == "netplan"
    assert tunnel_netplan.recognise("") == "netplan"
    assert tunnel_netplan.recognise("command not found") == "unknown"
