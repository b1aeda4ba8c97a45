"""WireGuard as a tunnel's carrier: its definition, the words of wg(8), and what is seen of a live interface."""

from __future__ import annotations

import re
from typing import Any

import _dualstack_firewall_ruleset as firewall_ruleset
import _dualstack_tunnel_interface as tunnel_interface
import _dualstack_tunnel_sit as tunnel_sit
import _dualstack_tunnel_stack as tunnel_stack
import _dualstack_tunnel_wireguard as tunnel_wireguard
import pytest
import tunnel_ifupdown
import tunnel_ifupdown2
import tunnel_ifupdown_ng
import tunnel_netplan
import tunnel_networkd
import tunnel_networkmanager
from salt.exceptions import CommandExecutionError

# Public keys, and private ones of nobody.
THEIRS = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
OURS = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
SECRET = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PART: dict[str, Any] = {"public_key": THEIRS, "private_key_file": "/etc/wireguard/own.key"}
TUNNEL: dict[str, Any] = {
    "name": "wg6",
    "endpoint": "192.0.2.66",
    "address": "2001:db8:66::2/64",
    "gateway": "2001:db8:66::1",
    "addresses": ["2001:db8:6666::77/64"],
    "carrier": "wireguard",
    "wireguard": PART,
}
WHOLE = {
    **PART,
    **{"port": 20002, "listen_port": 51900, "keepalive": 25, "allowed_ips": ["2001:db8::/32", "::/0"]},
    "preshared_key_file": "/etc/wireguard/psk",
}
MAIN = {"/etc/network/interfaces": "source /etc/network/interfaces.d/*\n"}


def test_defaults() -> None:
    found = tunnel_sit.canonical(TUNNEL)
    assert (found["mtu"], found["local"]) == (1420, "auto")
    assert found["wireguard"] == {
        **PART,
        **{"port": 51820, "preshared_key_file": "", "listen_port": 0, "keepalive": 0, "allowed_ips": ["::/0"]},
    }
    other = tunnel_sit.canonical({**TUNNEL, "carrier": "sit", "wireguard": {}})
    assert "wireguard" not in other and other["mtu"] == 1480


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wireguard": None}, "wireguard: missing; expected a mapping"),
        ({"wireguard": {}}, "wireguard: missing; expected a mapping"),
        ({"carrier": "gre"}, "wireguard: only for 'carrier: wireguard'"),
        ({"wireguard": "text"}, "wireguard: expected a mapping"),
        ({"local": "46.105.5.1"}, "local: wireguard has no local address"),
        ({"dev": "eth1"}, "dev: wireguard is bound to no device"),
        ({"ttl": 64}, "ttl: wireguard has none"),
        ({"mtu": 65500}, "mtu: 65500 is not"),
        ({"wireguard": {**PART, "private_key": SECRET}}, "wireguard: private_key: no key stands in the pillar"),
        (
            {"wireguard": {**PART, "preshared_key": SECRET}},
            "write it into a file, and its name into preshared_key_file",
        ),
        ({"wireguard": {**PART, "public_key": SECRET[:-2]}}, "wireguard: public_key: not a key"),
        ({"wireguard": {**PART, "public_key": f"{SECRET}\n"}}, "wireguard: public_key: not a key"),
        ({"wireguard": {**PART, "private_key_file": SECRET}}, "wireguard: private_key_file: not the path"),
        ({"wireguard": {**PART, "private_key_file": "/etc/a b"}}, "private_key_file: not the path"),
        ({"wireguard": {**PART, "private_key_file": "/etc/$(id)"}}, "private_key_file: not the path"),
        ({"wireguard": {**PART, "private_key_file": "/etc/../own"}}, "private_key_file: not the path"),
        ({"wireguard": {"public_key": THEIRS}}, "wireguard: private_key_file: missing"),
        ({"wireguard": {**PART, "port": 0}}, "wireguard: port: not a whole number from 1 to 65535"),
        ({"wireguard": {**PART, "port": True}}, "wireguard: port: not a whole number"),
        ({"wireguard": {**PART, "listen_port": "51820"}}, "listen_port: not a whole number"),
        ({"wireguard": {**PART, "keepalive": 65536}}, "keepalive: not a whole number from 0"),
        ({"wireguard": {**PART, "allowed_ips": ["0.0.0.0/0"]}}, "allowed_ips: not a list of IPv6 prefixes"),
        ({"wireguard": {**PART, "allowed_ips": []}}, "allowed_ips: expected an IPv6 prefix"),
        ({"wireguard": {**PART, "allowed_ips": 5}}, "allowed_ips: not a list"),
        (
            {"wireguard": {**PART, "allowed_ips": ["2001:db8::/32"]}},
            "wireguard: allowed_ips: the kernel lets no packets",
        ),
        (
            {"wireguard": {**PART, "allowed_ips": ["2000::/4"]}, "routing": "source"},
            "expected '::/0', or 'routing: none'",
        ),
        ({"wireguard": {**PART, "Endpoint": "x"}}, "wireguard: Endpoint: "),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_without_a_key(change: dict[str, Any], said: str) -> None:
    problems = tunnel_sit.errors({**TUNNEL, **change})
    assert len(problems) == 1 and said in problems[0], problems
    assert SECRET[:20] not in problems[0]


@pytest.mark.parametrize("allowed", [["::/0"], ["2000::/3"], ["::/1"], ["::/2", "4000::/2"], ["2000::/4", "3000::/4"]])
def test_prefixes_that_the_internet_is_in_are_enough(allowed: list[str]) -> None:
    given = {**TUNNEL, "wireguard": {**PART, "allowed_ips": allowed}}
    assert tunnel_sit.errors(given) == [] == tunnel_sit.errors({**given, "routing": "source"})
    assert tunnel_sit.errors({**TUNNEL, "routing": "none", "wireguard": {**PART, "allowed_ips": ["fd00::/8"]}}) == []


@pytest.mark.parametrize("part", [PART, WHOLE, {**PART, "port": 20002}, {**WHOLE, "preshared_key_file": ""}], ids=len)
@pytest.mark.parametrize("routing", ["default", "source"])
def test_the_files_of_ifupdown_are_read_as_they_were_written(part: dict[str, Any], routing: str) -> None:
    tunnel = tunnel_sit.canonical({**TUNNEL, "wireguard": part, "routing": routing})
    texts = {**MAIN, **tunnel_ifupdown.files({**tunnel, "local": "any"})}
    found = tunnel_ifupdown.parse("wg6", texts)
    assert found is not None and tunnel_sit.canonical(found) == tunnel
    (listed,) = tunnel_ifupdown.tunnels(texts)
    assert (listed["name"], listed["kind"], listed["ours"]) == ("wg6", "wireguard", True)


def test_a_stanza_by_hand_is_adopted_only_if_it_says_the_same() -> None:
    tunnel = {**tunnel_sit.canonical({**TUNNEL, "routing": "none"}), "local": "any"}
    own, text = next(iter(tunnel_ifupdown.files(tunnel).items()))
    by_hand = {"/etc/network/interfaces": text.partition("\n")[2]}
    assert tunnel_ifupdown.present(tunnel, by_hand, adopt=True)[own] == text
    for old, new in ((":51820", ":51821"), (THEIRS, OURS), ("own.key", "other.key"), ("::/0", "2001:db8::/32")):
        other = {"/etc/network/interfaces": by_hand["/etc/network/interfaces"].replace(old, new)}
        with pytest.raises(CommandExecutionError, match="wireguard: another peer or key"):
            tunnel_ifupdown.present(tunnel, other, adopt=True)
    quick = "auto wg6\niface wg6 inet6 static\n address 2001:db8:66::2/64\n pre-up ip link add wg6 type wireguard\n"
    quick += " pre-up wg setconf wg6 /etc/wireguard/wg6.conf\n"
    with pytest.raises(CommandExecutionError, match=re.escape("these lines would be lost: 5 (pre-up)")):
        tunnel_ifupdown.present(tunnel, {"/etc/network/interfaces": quick}, adopt=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "show wg6",
        "set wg6",
        "set wg6 peer",
        f"set wg6 private-key /etc/own peer {THEIRS} peer {OURS} endpoint 192.0.2.1:1",
        f"set wg6 private-key /etc/own peer {THEIRS} endpoint broker.example.net:51820",
        f"set wg6 private-key /etc/own peer {THEIRS} endpoint [2001:db8::1]:51820",
        f"set wg6 private-key /etc/own peer {THEIRS}",
        f"set wg6 private-key /etc/own peer {THEIRS} endpoint 192.0.2.1:x",
        f"set wg6 peer {THEIRS} endpoint 192.0.2.1:51820",
        f"set wg6 fwmark 7 private-key /etc/own peer {THEIRS} endpoint 192.0.2.1:51820",
        f"set wg6 private-key /etc/own peer {THEIRS} endpoint 192.0.2.1:1 persistent-keepalive often",
    ],
)
def test_another_command_is_not_understood(text: str) -> None:
    with pytest.raises(ValueError):
        tunnel_wireguard.understood(text.split())


def dump(*peers: str) -> str:
    return "".join(f"wg6\t{each}\n" for each in (f"{SECRET}\t{OURS}\t41000\toff", *peers))


PEER = f"{THEIRS}\t(none)\t192.0.2.66:51820\t::/0\t0\t0\t0\toff"
LINK: dict[str, Any] = {"ifname": "wg6", "flags": ["UP"], "mtu": 1420, "linkinfo": {"info_kind": "wireguard"}}


def live(*peers: str) -> Any:
    data = tunnel_wireguard.dumped(dump(*peers))["wg6"]
    assert SECRET not in str(data)
    return tunnel_interface.parse("wg6", [{**LINK, "linkinfo": {**LINK["linkinfo"], "info_data": data}}], [])


def target(part: dict[str, Any] | None = None, psk: str = "none") -> dict[str, Any]:
    found = tunnel_interface.wanted(tunnel_sit.canonical({**TUNNEL, "wireguard": part or PART}))
    found["link"].update({"own_key": OURS, "preshared_key": psk})
    return {
        **found,
        "keys": {"private": "/etc/wireguard/own.key", "preshared": (part or PART).get("preshared_key_file", "")},
    }


def changes(*peers: str, **wanted: Any) -> tuple[set[str], list[str]]:
    before, after = live(*peers), target(**wanted)
    assert tunnel_interface.changeable(before, after)
    after = {**after, "addresses": before["addresses"], "routes": before["routes"]}
    found = tunnel_interface.differences(before, after).get("link", {})
    return set(found), [" ".join(each) for each in tunnel_interface.commands("wg6", before, after)]


def test_a_live_interface_that_is_right_has_no_difference_whatever_port_the_kernel_chose() -> None:
    assert changes(PEER) == (set(), [])
    assert changes(PEER, part={**PART, "listen_port": 41000}) == (set(), [])
    keys, commands = changes(PEER, part={**PART, "listen_port": 41001})
    assert keys == {"listen_port"} and commands[0].startswith("wg set wg6 listen-port 41001 peer ")


def test_each_drift_is_seen_and_has_its_command() -> None:
    right = f"peer {THEIRS} endpoint 192.0.2.66:51820 persistent-keepalive 0 allowed-ips ::/0"
    assert changes(PEER.replace(".66:", ".67:")) == ({"endpoint"}, [f"wg set wg6 {right}"])
    assert changes(PEER.replace("::/0", "(none)")) == ({"allowed_ips"}, [f"wg set wg6 {right}"])
    assert changes(PEER.replace("off", "25")) == ({"keepalive"}, [f"wg set wg6 {right}"])
    keys, commands = changes(PEER.replace("(none)", SECRET))
    assert keys == {"preshared_key"} and commands == [
        f"wg set wg6 {right.replace(' endpoint', ' preshared-key /dev/null endpoint', 1)}"
    ]
    other = f"{OURS}\t(none)\t(none)\t2001:db8::/32\t0\t0\t0\toff"
    assert changes(PEER, other) == ({"public_key"}, [f"wg set wg6 peer {OURS} remove", f"wg set wg6 {right}"])
    keys, commands = changes()
    assert keys == {"endpoint", "port", "public_key", "allowed_ips"} and commands == [f"wg set wg6 {right}"]


def test_the_way_back_makes_what_was_there_without_a_key_that_is_not_known() -> None:
    made = [" ".join(each) for each in tunnel_interface.again("wg6", live(PEER))]
    assert made[0] == "ip link add wg6 type wireguard"
    assert made[1].startswith(f"wg set wg6 listen-port 41000 peer {THEIRS} endpoint 192.0.2.66:51820 ")
    assert "key /" not in str(made)
    new = [" ".join(each) for each in tunnel_interface.commands("wg6", None, target())]
    assert new[1].startswith(f"wg set wg6 private-key /etc/wireguard/own.key peer {THEIRS} ")


def test_what_wg_prints_in_another_form_is_refused_without_a_word_of_it() -> None:
    for text in (SECRET, f"wg6\t{SECRET}\n", dump().replace("41000", "port"), f"other\t{PEER}\n"):
        with pytest.raises(CommandExecutionError) as error:
            tunnel_wireguard.dumped(text)
        assert SECRET not in str(error.value)


def test_the_rules_follow() -> None:
    def rules(part: Any) -> list[str]:
        firewall = {"tables": {"filter": {"INPUT": {"policy": "DROP"}, "OUTPUT": {"policy": "DROP"}}}}
        tunnel = {"name": "wg6", "endpoint": "192.0.2.66", "carrier": "wireguard", "wireguard": part}
        tables = firewall_ruleset.read(firewall, tunnel)["tables"]["ipv4"]["filter"]
        return [*tables["INPUT"]["rules"], *tables["OUTPUT"]["rules"]]

    assert rules({"port": 20002}) == [
        "-s 192.0.2.66 -p udp -m udp --sport 20002 -j ACCEPT",
        "-d 192.0.2.66 -p udp -m udp --dport 20002 -j ACCEPT",
    ]
    assert rules({"listen_port": 51900})[0] == "-s 192.0.2.66 -p udp -m udp --sport 51820 --dport 51900 -j ACCEPT"
    assert len(rules(None)) == 2


OTHERS = (tunnel_ifupdown2, tunnel_ifupdown_ng, tunnel_netplan, tunnel_networkd, tunnel_networkmanager)


@pytest.mark.parametrize("plugin", OTHERS, ids=lambda each: each.__name__)
def test_a_stack_on_which_it_was_not_seen_to_come_up_refuses_it(plugin: Any) -> None:
    stacks: Any = {"ifupdown": tunnel_ifupdown, "other": plugin}
    said = "carrier: other cannot configure wireguard here; expected sit or gre"
    assert tunnel_stack.errors({**TUNNEL, "stack": "other"}, stacks) == [said]
    assert tunnel_stack.errors({**TUNNEL, "stack": "ifupdown"}, stacks) == []
    gre = {**TUNNEL, "carrier": "gre", "wireguard": None, "stack": "other"}
    assert tunnel_stack.errors(gre, stacks) == []
