"""
IPv6 of the hoster in the files of each network stack: what they say, what is left for a file of our own, and its text.
The configurations are as hosters and their customers have them.
"""

from __future__ import annotations

import types
from typing import Any

import _dualstack_native_files as native_files
import _dualstack_native_settings as native_settings
import pytest
import tunnel_ifupdown
import tunnel_ifupdown2
import tunnel_ifupdown_ng
import tunnel_netplan
import tunnel_networkd
import tunnel_networkmanager
import yaml
from salt.exceptions import CommandExecutionError

GIVEN: dict[str, Any] = {"interface": "eth0", "address": "2001:db8:1::8/64", "gateway": "fe80::1"}
MAIN, OWN = "/etc/network/interfaces", "/etc/network/interfaces.d/eth0-ipv6"
SOURCES = "source /etc/network/interfaces.d/*\n"
EVERY = [
    tunnel_ifupdown,
    tunnel_ifupdown2,
    tunnel_ifupdown_ng,
    tunnel_netplan,
    tunnel_networkd,
    tunnel_networkmanager,
]
HEADER = "# Managed by Salt (ipv6.native). Changes here are overwritten: they belong in the pillar, ipv6:native.\n"


def declared(**more: Any) -> dict[str, Any]:
    return {**native_settings.canonical({**GIVEN, **more}), "index": 2}


def changes(plugin: types.ModuleType, host: dict[str, str], **more: Any) -> dict[str, str | None]:
    """What has to change in the files of a host."""
    native = declared(**more)
    left = native_files.lacking(native, plugin.native_read(native, host))
    found: dict[str, str | None] = plugin.native_files(left, host)
    return found


def refused(plugin: types.ModuleType, host: dict[str, str], **more: Any) -> str:
    with pytest.raises(CommandExecutionError) as raised:
        changes(plugin, host, **more)
    return str(raised.value)


def settled(plugin: types.ModuleType, host: dict[str, str], **more: Any) -> dict[str, str]:
    """The files of a host after the change; a second one is empty, and taking it back leaves the first files."""
    edits = changes(plugin, host, **more)
    after = {path: text for path, text in {**host, **edits}.items() if text is not None}
    again = {path: text for path, text in changes(plugin, after, **more).items() if after.get(path) != text}
    assert again == {}
    gone = plugin.native_files(native_files.nothing(declared(**more)), after)
    assert {path: text for path, text in {**after, **gone}.items() if text is not None} == host
    return {path: after[path] for path in edits}


@pytest.mark.parametrize("plugin", EVERY)
def test_every_stack_offers_it(plugin: types.ModuleType) -> None:
    assert {"native_read", "native_files"} <= set(plugin.about()["offers"])


@pytest.mark.parametrize("plugin", EVERY)
def test_where_nothing_is_to_be_written_nothing_is(plugin: types.ModuleType) -> None:
    assert plugin.native_files(native_files.nothing(declared()), {}) == {}


# --------------------------------------------------------------------------------------------------------------
# What is there, and what is left


def fact(address: str = "", gateway: str = "", ours: bool = False) -> dict[str, Any]:
    return {"address": address, "gateway": gateway, "place": "a file, line 7", "ours": ours}


def test_what_others_have_is_not_written_again() -> None:
    native = declared(addresses=["2001:db8:1::9/64"])
    left = native_files.lacking(native, [fact("2001:db8:1::8/64"), fact("2001:db8:1::70/64")])
    assert (left["addresses"], left["gateway"]) == (["2001:db8:1::9/64"], "fe80::1")
    left = native_files.lacking(native, [fact(gateway="fe80::1"), fact("2001:db8:1::9/64", ours=True)])
    assert (left["addresses"], left["gateway"]) == (native["addresses"], "")
    ours = [fact("2001:db8:1::8/48", ours=True), fact(gateway="fe80::2", ours=True)]
    assert native_files.lacking(native, ours) == native, "what is ours is written anew"


def test_what_says_otherwise_is_refused_with_its_line() -> None:
    native = declared(addresses=["2001:db8:1::9/64"])
    theirs = [fact("2001:db8:1::8/48"), fact("2001:db8:1::9/128"), fact(gateway="2001:db8:1::1")]
    with pytest.raises(CommandExecutionError) as raised:
        native_files.lacking(native, theirs)
    end = "or take that line away"
    assert str(raised.value).splitlines() == [
        "address: 2001:db8:1::8/48 in a file, line 7, and the pillar has 2001:db8:1::8/64: write it into "
        f"ipv6:native:address, {end}",
        "addresses: 2001:db8:1::9/128 in a file, line 7, and the pillar has 2001:db8:1::9/64: write it into "
        f"ipv6:native:addresses, {end}",
        "gateway: 2001:db8:1::1 in a file, line 7, and the pillar has fe80::1: write it into ipv6:native:gateway, "
        + end,
    ]


# --------------------------------------------------------------------------------------------------------------
# ifupdown, and the other implementations of ifup(8)

IPV4 = "auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n"
HETZNER = IPV4 + "iface eth0 inet6 static\n  address 2001:db8:1::8\n  netmask 64\n  gateway fe80::1\n"
OVH = """\
auto eth0
iface eth0 inet static
    address 192.0.2.8/24
    gateway 192.0.2.254
iface eth0 inet6 static
    address 2001:db8:1::8
    netmask 64
    post-up /sbin/ip -f inet6 route add 2001:db8:ff:ff:ff:ff:ff:ff dev eth0
    post-up /sbin/ip -f inet6 route add default via 2001:db8:ff:ff:ff:ff:ff:ff
    pre-down /sbin/ip -f inet6 route del default via 2001:db8:ff:ff:ff:ff:ff:ff
"""
HOOKS = """\
auto eth0
iface eth0 inet dhcp
    up ip -6 addr add 2001:db8:1::8/64 dev $IFACE
    up ip -6 route add default via fe80::1 dev $IFACE onlink
"""


def test_ifupdown_gets_a_file_of_its_own() -> None:
    text = settled(tunnel_ifupdown, {MAIN: IPV4 + SOURCES}, addresses=["2001:db8:1::9/128"], source="2001:db8:1::8")
    assert text == {
        OWN: HEADER + "iface eth0 inet6 manual\n"
        "    up ip -6 addr replace 2001:db8:1::8/64 dev $IFACE || true\n"
        "    up ip -6 addr replace 2001:db8:1::9/128 dev $IFACE preferred_lft 0 || true\n"
        "    up ip -6 route replace default via fe80::1 dev $IFACE onlink metric 1024 || true\n"
        "    up IF_ADDRESS=:: IF_NETMASK=0 /lib/ifupdown/settle-dad.sh || true\n"
    }


def test_ifupdowns_own_file_takes_no_address_from_router_advertisements() -> None:
    """The method static sets autoconf to 0, which is its default: the interface would lose those that it has so."""
    (text,) = settled(tunnel_ifupdown, {MAIN: IPV4 + SOURCES}).values()
    assert {each.split()[-1] for each in text.splitlines() if each.startswith("iface")} == {"manual"}
    assert all(each.endswith("|| true") for each in text.splitlines() if each.strip().startswith("up"))


def test_ifupdown_reads_that_file() -> None:
    native = declared()
    host = settled(tunnel_ifupdown, {MAIN: IPV4}, metric=300)
    assert host[MAIN] == f"{IPV4}source {OWN}\n"
    assert "metric 300 ||" in host[OWN]
    facts = tunnel_ifupdown.native_read(native, host)
    assert [(each["address"], each["gateway"], each["place"], each["ours"]) for each in facts] == [
        ("2001:db8:1::8/64", "", f"{OWN}, line 3", True),
        ("", "fe80::1", f"{OWN}, line 4", True),
    ]
    assert changes(tunnel_ifupdown, {MAIN: IPV4[:-1]})[MAIN] == f"{IPV4}source {OWN}\n", "a last line without its end"


@pytest.mark.parametrize(
    ("text", "gateway"), [(HETZNER, "fe80::1"), (OVH, "2001:db8:ff:ff:ff:ff:ff:ff"), (HOOKS, "fe80::1")]
)
@pytest.mark.parametrize("plugin", EVERY[:3])
def test_what_ifup_has_already_is_verified(plugin: types.ModuleType, text: str, gateway: str) -> None:
    assert changes(plugin, {MAIN: text}, gateway=gateway) == {}
    said = refused(plugin, {MAIN: text}, gateway="fe80::2")
    assert said.startswith(f"gateway: {gateway} in {MAIN}, line ")
    said = refused(plugin, {MAIN: text}, gateway=gateway, address="2001:db8:1::8/56")
    assert said.startswith(f"address: 2001:db8:1::8/64 in {MAIN}, line ")


def test_a_part_of_it_in_other_files_is_completed() -> None:
    some = HETZNER.replace("  gateway fe80::1\n", "")
    host = settled(tunnel_ifupdown, {MAIN: some + SOURCES})
    route = "    up ip -6 route replace default via fe80::1 dev $IFACE onlink metric 1024 || true\n"
    assert host == {OWN: f"{HEADER}iface eth0 inet6 manual\n{route}"}
    other = "auto eth0\niface eth0 inet6 static\n  address 2001:db8:9::1/64\n"
    assert "2001:db8:9::1" not in str(
        settled(tunnel_ifupdown, {MAIN: other + SOURCES})
    ), "another address is no concern"


def test_a_file_of_ours_goes_when_others_have_all_of_it() -> None:
    own = settled(tunnel_ifupdown, {MAIN: IPV4 + SOURCES})
    assert changes(tunnel_ifupdown, {MAIN: HETZNER + SOURCES, **own}) == {OWN: None}


@pytest.mark.parametrize(
    "text",
    [
        "auto eth1\niface eth1 inet6 static\n  address 2001:db8:1::8/64\n  gateway fe80::1\n",  # another interface
        "auto eth0\niface eth0 inet6 static\n  address 2001:db8:1::77/64\n",
        "auto eth0\niface eth0 inet static\n  address 192.0.2.8/24\n  gateway 192.0.2.1\n",
        "auto eth0\niface eth0 inet6 auto\n",
        "auto eth0\niface eth0 inet6 static\n  address what\n  gateway ever\n",
        "auto eth0\niface eth0 inet dhcp\n  down ip -6 route add default via fe80::9 dev eth0\n",
        "auto eth0\niface eth0 inet dhcp\n  up ip -6 route add default from 2001:db8:7::/64 via fe80::9 dev eth0\n",
    ],
)
def test_what_does_not_concern_it(text: str) -> None:
    facts = tunnel_ifupdown.native_read(declared(), {MAIN: text})
    assert [each for each in facts if each["address"] != "2001:db8:1::77/64"] == []


def test_what_ifupdown_refuses() -> None:
    said = (
        "interface: no file of ifupdown's brings eth0 up at boot; expected a line 'auto eth0' or 'allow-hotplug eth0'"
    )
    assert refused(tunnel_ifupdown, {MAIN: "auto lo\niface lo inet loopback\n"}) == said
    foreign = {MAIN: IPV4 + SOURCES, OWN: "iface eth0 inet6 manual\n"}
    assert (
        refused(tunnel_ifupdown, foreign) == f"{OWN} is not managed by ipv6.native, which would write there; rename it"
    )
    assert tunnel_ifupdown.native_files(native_files.nothing(declared()), foreign) == {}, "nor removed"


@pytest.mark.parametrize(("plugin", "name"), [(tunnel_ifupdown2, "ifupdown2"), (tunnel_ifupdown_ng, "ifupdown-ng")])
def test_the_others_say_what_to_write(plugin: types.ModuleType, name: str) -> None:
    assert refused(plugin, {MAIN: IPV4}) == (
        f"stack: {name} has eth0, and its files are not written by ipv6.native; write into {MAIN}, at its stanza: "
        "'address 2001:db8:1::8/64', 'up ip -6 route replace default via fe80::1 dev $IFACE onlink metric 1024'. "
        "Then this state verifies it"
    )
    written = IPV4.replace("inet dhcp\n", "inet dhcp\n  address 2001:db8:1::8/64\n") + HOOKS.splitlines()[-1] + "\n"
    assert changes(plugin, {MAIN: written}) == {}


# --------------------------------------------------------------------------------------------------------------
# systemd-networkd

LINK = "/run/systemd/netif/links/2"
NETWORK = "/etc/systemd/network/20-wired.network"
DROP_IN = "/etc/systemd/network/20-wired.network.d/50-dualstack.conf"
WIRED = "[Match]\nName=eth0\n\n[Network]\nDHCP=ipv4\n"


def networkd(text: str = WIRED, **more: str) -> dict[str, str]:
    return {LINK: f"ADMIN_STATE=configured\nNETWORK_FILE={NETWORK}\n", NETWORK: text, **more}


def test_networkd_gets_a_drop_in() -> None:
    host = settled(tunnel_networkd, networkd(), addresses=["2001:db8:1::9/128"], source="2001:db8:1::8", metric=300)
    assert host == {
        DROP_IN: HEADER + "[Address]\nAddress=2001:db8:1::8/64\n\n"
        "[Address]\nAddress=2001:db8:1::9/128\nPreferredLifetime=0\n\n"
        "[Route]\nGateway=fe80::1\nGatewayOnLink=yes\nMetric=300\n"
    }


@pytest.mark.parametrize(
    "more",
    [
        "Address=2001:db8:1::8/64\nGateway=fe80::1\n",
        "Address=192.0.2.8/24\nGateway=192.0.2.1\n[Address]\nAddress=2001:db8:1::8/64\n[Route]\nGateway=fe80::1\n",
        "Address=2001:db8:1::8/64\n[Route]\nDestination=::/0\nGateway=fe80::1\nGatewayOnLink=yes\nMetric=50\n",
    ],
)
def test_what_networkd_has_already_is_verified(more: str) -> None:
    assert changes(tunnel_networkd, networkd(WIRED + more)) == {}
    assert refused(tunnel_networkd, networkd(WIRED + more), gateway="fe80::2").startswith(
        f"gateway: fe80::1 in {NETWORK}, line "
    )


def test_networkd_drop_ins_of_others_count() -> None:
    theirs = {f"{NETWORK}.d/10-ipv6.conf": "[Network]\nAddress=2001:db8:1::8/64\n"}
    assert settled(tunnel_networkd, networkd(**theirs)) == {
        DROP_IN: HEADER + "[Route]\nGateway=fe80::1\nGatewayOnLink=yes\nMetric=1024\n"
    }
    assert "line 2" in refused(tunnel_networkd, networkd(**theirs), address="2001:db8:1::8/48")


@pytest.mark.parametrize(
    "route",
    [
        "Destination=2001:db8:5::/48\nGateway=fe80::9",
        "Gateway=fe80::9\nTable=7",
        "Gateway=fe80::9\nSource=2001:db8::/64",
    ],
)
def test_other_routes_of_networkd_are_no_gateway(route: str) -> None:
    assert "fe80::1" in str(settled(tunnel_networkd, networkd(f"{WIRED}[Route]\n{route}\n")))


def test_what_networkd_refuses() -> None:
    shared = {"/run/systemd/netif/links/3": f"NETWORK_FILE={NETWORK}\n"}
    said = refused(tunnel_networkd, networkd("[Match]\nName=e*\n", **shared))
    assert said.startswith(f"interface: {NETWORK} is for other interfaces than eth0, too")
    other = {"/run/systemd/netif/links/3": "NETWORK_FILE=/etc/systemd/network/30-other.network\n"}
    assert DROP_IN in settled(tunnel_networkd, networkd("[Match]\nName=e*\n", **other))
    assert refused(tunnel_networkd, {LINK: ""}).startswith("interface: systemd-networkd has eth0 by no file")
    assert NETWORK in refused(tunnel_networkd, {LINK: f"NETWORK_FILE={NETWORK}\n"})
    assert "is not managed" in refused(tunnel_networkd, networkd(**{DROP_IN: "[Network]\nLLDP=yes\n"}))


# --------------------------------------------------------------------------------------------------------------
# netplan

CLOUD = "/etc/netplan/50-cloud-init.yaml"
PLAN = "/etc/netplan/60-eth0-ipv6.yaml"
DHCP = """\
network:
    ethernets:
        eth0:
            dhcp4: true
            match:
                macaddress: 96:00:00:08:19:da
            set-name: eth0
    version: 2
"""
BY_CLOUD = """\
            addresses:
            - 192.0.2.8/32
            - 2001:db8:1::8/64
            routes:
            -   on-link: true
                to: default
                via: 172.31.1.1
            -   to: default
                via: fe80::1
"""
BY_GATEWAY6 = "            addresses: ['2001:db8:1::8/64']\n            gateway6: fe80::1\n"


def netplan(more: str = "", name: str = "eth0") -> dict[str, str]:
    text = DHCP.replace("eth0:", f"{name}:").replace("            dhcp4", f"{more}            dhcp4")
    return {LINK: f"NETWORK_FILE=/run/systemd/network/10-netplan-{name}.network\n", CLOUD: text}


def test_netplan_gets_a_file_of_its_own_for_its_own_name() -> None:
    more = {"addresses": ["2001:db8:1::9/128"], "source": "2001:db8:1::8"}
    host = settled(tunnel_netplan, netplan(name="primary"), **more)
    assert list(host) == [PLAN]
    assert host[PLAN].startswith(HEADER)
    assert yaml.safe_load(host[PLAN]) == {
        "network": {
            "version": 2,
            "ethernets": {
                "primary": {
                    "addresses": ["2001:db8:1::8/64", {"2001:db8:1::9/128": {"lifetime": 0}}],
                    "routes": [{"to": "::/0", "via": "fe80::1", "metric": 1024, "on-link": True}],
                }
            },
        }
    }


@pytest.mark.parametrize("more", [BY_CLOUD, BY_GATEWAY6])
def test_what_netplan_has_already_is_verified(more: str) -> None:
    assert changes(tunnel_netplan, netplan(more)) == {}
    assert refused(tunnel_netplan, netplan(more), gateway="fe80::2").startswith(f"gateway: fe80::1 in {CLOUD}, line ")
    assert refused(tunnel_netplan, netplan(more), address="2001:db8:1::8/48").startswith(
        f"address: 2001:db8:1::8/64 in {CLOUD}, line "
    )


def test_netplans_networkmanager() -> None:
    keyfile = "/run/NetworkManager/system-connections/netplan-lan.nmconnection"
    host = {keyfile: "[connection]\ninterface-name=eth0\n", CLOUD: netplan(name="lan")[CLOUD]}
    assert "lan" in yaml.safe_load(settled(tunnel_netplan, host)[PLAN])["network"]["ethernets"]
    more = {"addresses": ["2001:db8:1::9/128"], "source": "2001:db8:1::8"}
    assert refused(tunnel_netplan, host, **more) == "source: NetworkManager cannot make the other addresses deprecated"


def test_what_netplan_refuses() -> None:
    assert refused(tunnel_netplan, {CLOUD: "network: {version: 2}\n"}) == (
        "interface: no file of netplan's defines eth0 (eth0)"
    )
    shared = {**netplan(), "/run/systemd/netif/links/3": netplan()[LINK]}
    assert refused(tunnel_netplan, shared).startswith(
        "interface: /run/systemd/network/10-netplan-eth0.network is for other interfaces than eth0, too"
    )
    assert "is not managed" in refused(tunnel_netplan, {**netplan(), PLAN: "network: {version: 2}\n"})
    bridge = {**netplan(), CLOUD: "network: {bridges: {eth0: {dhcp4: true}}}\n"}
    assert "bridges" in yaml.safe_load(settled(tunnel_netplan, bridge)[PLAN])["network"]


# --------------------------------------------------------------------------------------------------------------
# NetworkManager

DEVICE = {"/run/NetworkManager/devices/2": "[device]\nmanaged=true\nconnection-uuid=4711\n"}
KEYFILE = "/etc/NetworkManager/system-connections/Wired.nmconnection"
CONNECTION = "[connection]\nid=Wired\nuuid=4711\ntype=ethernet\n\n[ipv4]\nmethod=auto\n\n[ipv6]\n"
WHERE = f"stack: NetworkManager has eth0, and its files are not written by ipv6.native; write into {KEYFILE}, section [ipv6]: "  # noqa: E501


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("method=auto\n", "'method=manual', 'address1=2001:db8:1::8/64', 'route1=::/0,fe80::1,1024', 'route1_options=onlink=true'"),  # noqa: E501
        ("method=manual\naddress1=2001:db8:1::8/64\n", "'route1=::/0,fe80::1,1024', 'route1_options=onlink=true'"),
        ("method=manual\naddress1=2001:db8:9::1/64\ngateway=fe80::1\n", "'address2=2001:db8:1::8/64'"),
    ],
)  # fmt: skip
def test_networkmanager_says_what_to_write(section: str, said: str) -> None:
    assert refused(tunnel_networkmanager, {**DEVICE, KEYFILE: CONNECTION + section}) == (
        f"{WHERE}{said}. Then this state verifies it"
    )


@pytest.mark.parametrize(
    "section",
    [
        "method=manual\naddress1=2001:db8:1::8/64,fe80::1\n",
        "method=manual\naddress1=2001:db8:1::8/64\ngateway=fe80::1\n",
        "method=manual\naddress1=2001:db8:1::8/64\nroute1=::/0,fe80::1,1024\nroute1_options=onlink=true\n",
    ],
)
def test_what_networkmanager_has_already_is_verified(section: str) -> None:
    host = {**DEVICE, KEYFILE: CONNECTION + section}
    assert changes(tunnel_networkmanager, host) == {}
    said = refused(tunnel_networkmanager, host, gateway="fe80::2")
    assert said.startswith(f"gateway: fe80::1 in {KEYFILE}")


def test_another_connection_of_networkmanagers_does_not_count() -> None:
    other = CONNECTION.replace("4711", "4712") + "method=manual\naddress1=2001:db8:1::8/64\ngateway=fe80::1\n"
    said = refused(tunnel_networkmanager, {**DEVICE, KEYFILE: other})
    assert "write into the keyfile of its connection, section [ipv6]: 'method=manual'" in said


# --------------------------------------------------------------------------------------------------------------
# As people have it


@pytest.mark.parametrize(
    ("plugin", "host", "more"),
    [
        (  # OVH's guide, with a second address
            tunnel_ifupdown,
            {
                MAIN: "auto eth0\niface eth0 inet dhcp\n    accept_ra 0\n\niface eth0 inet6 static \n"
                "    address 2001:db8:1::8 \n    netmask 128\n\n"
                "post-up /sbin/ip -f inet6 route add 2001:db8:ff::1 dev eth0 \n"
                "post-up /sbin/ip -f inet6 route add default via 2001:db8:ff::1 \n"
                "up /sbin/ifconfig eth0 inet6 add 2001:db8:1::9/64\n"
                "pre-down /sbin/ip -f inet6 route del default via 2001:db8:ff::1\n"
            },
            {"address": "2001:db8:1::8/128", "gateway": "2001:db8:ff::1", "addresses": ["2001:db8:1::9/64"]},
        ),
        (  # a gateway by route(8)
            tunnel_ifupdown,
            {
                MAIN: "auto eth0\niface eth0 inet6 static\n\taddress\t2001:db8:1::8/64\n"
                "\tpost-up route -A inet6 add default gw fe80::1 dev eth0\n"
            },
            {},
        ),
        (  # Proxmox at OVH
            tunnel_ifupdown2,
            {MAIN: "auto vmbr0\niface vmbr0 inet6 static\n\taddress 2001:db8:1::/56\n\tgateway fe80::1\n"},
            {"interface": "vmbr0", "address": "2001:db8:1::/56"},
        ),
        (  # Contabo
            tunnel_networkd,
            networkd(
                "[Match]\nName=eth0\n\n[Network]\nAddress=192.0.2.104/20\nAddress=2001:db8:1::8/64\nGateway=192.0.2.1\n"
                "DNS=2001:db8::1:53\nIPv6AcceptRA=no\n\n[Route]\nGateway=fe80::1\nGatewayOnLink=yes\n"
            ),
            {},
        ),
        (  # netcup
            tunnel_networkd,
            networkd("[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\nAddress=2001:db8:1::8/64\nGateway=fe80::1\n"),
            {},
        ),
        (  # Hetzner's installimage
            tunnel_netplan,
            {
                "/etc/netplan/01-netcfg.yaml": "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    eth0:\n"
                "      addresses:\n        - 192.0.2.8/32\n        - 2001:db8:1::8/64\n      routes:\n"
                "        - on-link: true\n          to: 0.0.0.0/0\n          via: 192.0.2.193\n"
                "        - to: default\n          via: fe80::1\n"
            },
            {},
        ),
        (  # OVH's cloud-init, in a bond
            tunnel_netplan,
            {
                CLOUD: "network:\n    version: 2\n    bonds:\n        bond0:\n            accept-ra: false\n"
                "            addresses: [192.0.2.1/32, '2001:db8:1::8/56']\n            gateway6: fe80::1\n"
            },
            {"interface": "bond0", "address": "2001:db8:1::8/56"},
        ),
    ],
)
def test_what_people_have_is_verified(plugin: types.ModuleType, host: dict[str, str], more: dict[str, Any]) -> None:
    assert changes(plugin, host, **more) == {}


def test_a_floating_address_with_a_table_of_its_own_is_no_default_route() -> None:
    floating = (
        "network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses: ['2001:db8:7::1/64']\n      routes:\n"
        "        - {to: default, via: 'fe80::9', table: 200}\n"
    )
    host = {**netplan(BY_CLOUD), "/etc/netplan/60-floating-ip.yaml": floating}
    assert changes(tunnel_netplan, host) == {}


# --------------------------------------------------------------------------------------------------------------
# What hooks add, whatever else they do


ADDRESS = "up ip -6 addr add 2001:db8:1::8/64 dev eth0"


@pytest.mark.parametrize(
    "hooks",
    [
        "up ip -6 addr add 2001:db8:1::8/64 dev eth0 label eth0:six\n up ip -6 r a default via fe80::1 dev eth0",
        "up ip -6 a a 2001:db8:1::8/64 dev $IFACE noprefixroute\n up ip -6 ro add ::/0 via fe80::1 dev $IFACE",
        f"{ADDRESS}\n up ip -6 route add default via fe80::1 dev eth0 mtu 1400 advmss 1340",
        f"{ADDRESS}\n up ip -6 route add default dev eth0 via fe80::1 initcwnd 30 initrwnd 30",
        f"{ADDRESS}\n up ip -6 route replace default via inet6 fe80::1 dev eth0 hoplimit 64",
        f"{ADDRESS}\n up ip -6 route show default | grep -q fe80 || ip -6 route add default via fe80::1 dev eth0",
        f"{ADDRESS}; logger up\n up ip -6 route add default via fe80::1 dev eth0 || logger no route",
        "up sysctl -w net.ipv6.conf.all.forwarding=1; ip -6 addr add 2001:db8:1::8/64 dev eth0\n gateway fe80::1",
        "up (sleep 9; ip -6 addr add 2001:db8:1::8/64 dev eth0) &\n gateway fe80::1%eth0",
        "up sh -c 'ip -6 addr add 2001:db8:1::8/64 dev eth0; ip -6 route add default via fe80::1 dev eth0'",
        "up [ -d /proc/sys/net/ipv6 ] && ip -6 addr add 2001:db8:1::8/64 dev eth0\n gateway fe80::1 dev eth0",
        "netmask 64\n up ip -6 addr add 2001:db8:1::8/$IF_NETMASK dev $IFACE\n gateway fe80::1",
    ],
)
def test_what_hooks_add_beside_other_things_is_verified(hooks: str) -> None:
    assert changes(tunnel_ifupdown, {MAIN: f"auto eth0\niface eth0 inet6 manual\n {hooks}\n"}) == {}


def test_hooks_in_the_stanza_of_another_interface_count_and_templates_too() -> None:
    lo = f"auto lo eth0\niface lo inet loopback\n {ADDRESS}\n up ip -6 route add default via fe80::1 dev eth0\n"
    assert changes(tunnel_ifupdown, {MAIN: lo + "iface eth0 inet dhcp\n"}) == {}
    assert OWN in changes(tunnel_ifupdown, {MAIN: lo.replace("dev eth0", "dev eth00") + "iface eth0 inet dhcp\n"})
    six = "auto eth0\niface six inet6 static\n netmask 64\n gateway fe80::1\n"
    host = {MAIN: f"{six}iface eth0 inet6 static inherits six\n address 2001:db8:1::8\n"}
    assert changes(tunnel_ifupdown, host) == {}
    assert "gateway: fe80::1 in /etc/network/interfaces, line 5" in refused(tunnel_ifupdown, host, gateway="fe80::2")
    as_ng = {MAIN: f"{six}iface eth0\n inherit six\n address 2001:db8:1::8\n"}
    assert changes(tunnel_ifupdown_ng, as_ng) == {}


@pytest.mark.parametrize(
    "line",
    [
        "up for i in 7 8; do ip -6 addr add 2001:db8:1::$i/64 dev eth0; done",
        "up ip -6 addr add 2001:db8:1::8/$LENGTH dev eth0",
        "up ip addr add 2001:DB8:1:0::8/64 dev $DEVICE",
        "up ifconfig eth0 inet6 add 2001:db8:1::8/64 && ping6 -c 1 fe80::1%eth0",
        "address 2001:db8:1::8\n netmask ffff:ffff:ffff:ffff::",
        "up ip -6 route add default via $GATEWAY dev eth0",
        "up ip -6 route add default dev eth0 mtu 1400",
        "up route -A inet6 add default gw fe80::1 dev eth0 && touch /run/up",
    ],
)
def test_a_hook_that_is_not_understood_is_refused_where_it_may_add_the_same(line: str) -> None:
    """A boot would add it twice, and ifup fails at the second one."""
    said = refused(tunnel_ifupdown, {MAIN: f"auto eth0\niface eth0 inet6 static\n {line}\n"})
    assert said.startswith(("address: /etc/network/interfaces, line 3 seems to", "gateway: /etc/network/interfaces, "))
    assert "\n" not in said and "in a way that is not understood here" in said


@pytest.mark.parametrize(
    "line",
    [
        "up ip -6 neigh add proxy 2001:db8:1::8 dev eth0",
        "up ip6tables -A INPUT -d 2001:db8:1::8 -j ACCEPT",
        "up for i in 7 8; do ip -6 addr add 2001:db8:9::$i/64 dev eth0; done",
        "up ip -6 route add default via $GATEWAY dev eth0 table 100",
        "up ip route add default via $GATEWAY dev eth0",
        "up ip -6 route add default via fe80::9 dev eth1 && touch /run/up",
        "up ip -6 addr add 2001:db8:1::8/64 dev he-ipv6; logger up; /usr/local/sbin/other",
        "up ip route add default via 192.0.2.1 dev eth0 onlink; ping6 -c 1 2001:db8:9::1",
        "up ip -6 route add 2001:db8:7::/48 via fe80::9 dev eth0 mtu 1400; ping6 -c 1 2001:db8:9::1",
        "up /usr/local/sbin/started $IFACE",
        "up ip -6 route add; ip; ip -6; ip addr add dev; ip route add via; ip -6 addr add preferred_lft; other",
        "down ip -6 addr del 2001:db8:1::8/$LENGTH dev eth0",
    ],
)
def test_a_hook_that_is_not_understood_is_no_concern_where_it_is_about_something_else(line: str) -> None:
    assert OWN in changes(tunnel_ifupdown, {MAIN: f"auto eth0\niface eth0 inet6 manual\n {line}\n"})


def test_what_brings_the_interface_up_may_be_a_pattern_but_not_a_mapping() -> None:
    assert OWN in changes(tunnel_ifupdown, {MAIN: "auto /eth*\niface eth0 inet dhcp\n"})
    assert "no file of ifupdown's" in refused(tunnel_ifupdown, {MAIN: "auto /en*\niface eth0 inet dhcp\n"})
    mapped = "auto eth0\nmapping eth*\n script /bin/map\niface home inet dhcp\n"
    assert "the mapping in /etc/network/interfaces, line 2" in refused(tunnel_ifupdown, {MAIN: mapped})


def test_a_last_line_that_goes_on_does_not_take_ours() -> None:
    text = IPV4 + "    up echo one \\\n"
    host = {MAIN: text}
    edits = changes(tunnel_ifupdown, host)
    assert edits[MAIN] == f"{text}\nsource {OWN}\n"
    after = {path: each or "" for path, each in {**host, **edits}.items()}
    assert changes(tunnel_ifupdown, after) == {OWN: after[OWN]}, "it is read"


def test_an_interface_that_a_later_stanza_makes_is_not_there_yet() -> None:
    bond = "auto bond0\niface bond0 inet static\n address 192.0.2.8/24\n bond-mode 802.3ad\n bond-slaves eno1 eno2\n"
    bridge = "auto bond0\niface bond0 inet dhcp\n bridge_ports eno1\n"
    made = "auto bond0\niface bond0 inet manual\n pre-up ip -d link add bond0 type dummy\n"
    for text in (bond, bridge, made):
        assert refused(tunnel_ifupdown, {MAIN: SOURCES + text}, interface="bond0") == (
            "interface: the stanza in /etc/network/interfaces, line 3 makes bond0, and /etc/network/interfaces, line 1 "
            "includes /etc/network/interfaces.d/bond0-ipv6 before that, while there is no bond0 yet; move that line to "
            "the end of the file"
        )
        settled(tunnel_ifupdown, {MAIN: text + SOURCES}, interface="bond0")
        settled(tunnel_ifupdown, {MAIN: text}, interface="bond0")
        first = {MAIN: SOURCES, "/etc/network/interfaces.d/50-bond": text}
        settled(tunnel_ifupdown, first, interface="bond0")
        with pytest.raises(CommandExecutionError, match="interfaces.d/x, line 2 makes bond0"):
            changes(tunnel_ifupdown, {MAIN: SOURCES, "/etc/network/interfaces.d/x": text}, interface="bond0")
    settled(tunnel_ifupdown, {MAIN: SOURCES + IPV4})


# --------------------------------------------------------------------------------------------------------------
# What others' files have and say otherwise


GATEWAYS: list[tuple[types.ModuleType, dict[str, str]]] = [
    (tunnel_ifupdown, {MAIN: "auto eth0\niface eth0 inet6 static\n address 2001:db8:1::8/64\n gateway fe80::1\n"}),
    (tunnel_ifupdown, {MAIN: HOOKS}),
    (tunnel_networkd, networkd(WIRED + "Address=2001:db8:1::8/64\nGateway=fe80::1\n")),
    (tunnel_netplan, netplan(BY_CLOUD)),
    (tunnel_netplan, netplan(BY_GATEWAY6)),
]


@pytest.mark.parametrize(("plugin", "host"), GATEWAYS)
def test_a_route_of_another_metric_is_not_the_declared_one(plugin: types.ModuleType, host: dict[str, str]) -> None:
    assert changes(plugin, host) == changes(plugin, host, metric=1024) == {}
    assert "300" in str(settled(plugin, host, metric=300)), "a boot would not have it"


@pytest.mark.parametrize(
    ("plugin", "host"),
    [
        (tunnel_ifupdown, {MAIN: f"auto eth0\niface eth0 inet6 static\n address 2001:db8:1::8/64\n {HOOKS.splitlines()[-1]} metric 300\n"}),  # noqa: E501
        (tunnel_ifupdown, {MAIN: GATEWAYS[0][1][MAIN] + " metric 300\n"}),
        (tunnel_networkd, networkd(WIRED + "Address=2001:db8:1::8/64\n[Route]\nGateway=fe80::1\nMetric=300\n")),
        (tunnel_netplan, netplan(BY_CLOUD.replace("via: fe80::1", "via: fe80::1\n                metric: 300"))),
        (tunnel_networkmanager, {**DEVICE, KEYFILE: CONNECTION + "method=manual\naddress1=2001:db8:1::8/64\ngateway=fe80::1\nroute-metric=300\n"}),  # noqa: E501
        (tunnel_networkmanager, {**DEVICE, KEYFILE: CONNECTION + "method=manual\naddress1=2001:db8:1::8/64\nroute1=::/0,fe80::1,300\n"}),  # noqa: E501
    ],
)  # fmt: skip
def test_one_of_the_declared_metric_is(plugin: types.ModuleType, host: dict[str, str]) -> None:
    assert changes(plugin, host, metric=300) == {}
    with pytest.raises((AssertionError, CommandExecutionError)):
        assert changes(plugin, host, metric=301) == {}, "this one is not"


@pytest.mark.parametrize(
    ("plugin", "deprecated"),
    [
        (tunnel_ifupdown, {MAIN: "auto eth0\niface eth0 inet6 static\n address 2001:db8:1::8/64\n preferred-lifetime 0\n"}),  # noqa: E501
        (tunnel_ifupdown, {MAIN: f"auto eth0\niface eth0 inet dhcp\n {ADDRESS} preferred_lft 0\n"}),
        (tunnel_networkd, networkd("[Match]\nName=eth0\n[Address]\nAddress=2001:db8:1::8/64\nPreferredLifetime=0\n")),
        (tunnel_netplan, netplan("            addresses: [{'2001:db8:1::8/64': {lifetime: 0}}]\n")),
    ],
)  # fmt: skip
def test_a_source_that_others_files_do_not_have_is_said(plugin: types.ModuleType, deprecated: dict[str, str]) -> None:
    native = declared(addresses=["2001:db8:1::9/64"], source="2001:db8:1::8")
    (said,) = native_files.undeprecated(native, plugin.native_read(native, deprecated))
    assert said.startswith("source: 2001:db8:1::8/64 is deprecated in /etc/"), said
    other = declared(addresses=["2001:db8:1::9/64"], source="2001:db8:1::9")
    assert native_files.undeprecated(other, plugin.native_read(other, deprecated)) == []
    assert native_files.undeprecated(declared(), plugin.native_read(declared(), deprecated)) == []


def test_a_netplan_or_networkd_route_that_is_no_way_does_not_count() -> None:
    full = "Address=2001:db8:1::8/64\n[Route]\nDestination=0:0:0:0:0:0:0:0/0\nGateway=fe80::1\n"
    assert changes(tunnel_networkd, networkd(WIRED + full)) == {}
    assert DROP_IN in changes(tunnel_networkd, networkd(f"{WIRED}{full}Type=unreachable\n"))
    assert PLAN in changes(tunnel_netplan, netplan(BY_CLOUD + "                type: blackhole\n"))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("method=ignore\naddress1=2001:db8:1::8/64\ngateway=fe80::1\n", "'method=manual', 'route1="),
        ("method=disabled\naddress1=2001:db8:1::8/64\ngateway=fe80::1\n", "'method=manual', 'route1="),
        ("method=manual\naddress1=2001:db8:1::8/64\ngateway=fe80::1\nroute-table=100\n", "'route1="),
        ("method=manual\naddress1=2001:db8:9::1/64\naddress3=2001:db8:9::3/64\n", "'address4=2001:db8:1::8/64', "),
        ("method=manual\naddress1=2001:db8:1::8/64\nroute2=2001:db8::/32,fe80::9\n", "'route3=::/0,fe80::1,1024'"),
    ],
)
def test_what_networkmanager_does_not_take_is_not_there(section: str, said: str) -> None:
    assert refused(tunnel_networkmanager, {**DEVICE, KEYFILE: CONNECTION + section}).startswith(WHERE + said)
