"""he_tunnel.present: predicted, done, done once, and repaired when it drifts."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ..lab.network import (
    CLIENT6,
    FOLDER,
    MAIN,
    MAIN_TEXT,
    NAME,
    OWN_FILE,
    PUBLISHED,
    TUNNEL,
    boot,
    index,
    ip,
    on,
    reaches,
    reset,
    run,
    source_address,
    world,
)


def test_test_mode_predicts_and_changes_nothing(states: Any) -> None:
    before = world()
    predicted = states.he_tunnel.present(**TUNNEL, test=True)
    assert predicted.result is None
    assert world() == before
    done = states.he_tunnel.present(**TUNNEL)
    assert done.result is True, done.comment
    assert done.changes == predicted.changes
    assert set(done.changes) == {"files", "link", "addresses", "routes"}
    assert world() != before


def test_the_tunnel_carries_packets_both_ways(states: Any) -> None:
    assert not reaches("client6", PUBLISHED)
    assert states.he_tunnel.present(**TUNNEL).result is True
    assert reaches("client6", PUBLISHED)
    assert reaches("broker", "2001:470:1f12:f87::2")
    assert source_address() == PUBLISHED
    run("ping", "-6", "-n", "-c", "1", "-W", "1", CLIENT6)


def test_a_second_run_changes_nothing(states: Any, tunnel: None, test: bool) -> None:
    before = world()
    again = states.he_tunnel.present(**TUNNEL, test=test)
    assert (again.result, again.changes) == (True, {})
    assert world() == before


def test_the_next_boot_makes_the_same_interface(states: Any, modules: Any, tunnel: None) -> None:
    boot()
    assert modules.he_tunnel.status()["differences"] == {}
    assert reaches("client6", PUBLISHED)
    assert states.he_tunnel.present(**TUNNEL).changes == {}


def test_the_interface_goes_down_as_ifupdown_does_it(tunnel: None) -> None:
    run("ifquery", "--state", NAME)
    run("ifdown", NAME)
    assert ip("link", "show", "dev", NAME) == []


def old_new(old: Any, new: Any) -> dict[str, Any]:
    return {"old": old, "new": new}


DEFAULT_ROUTE = "default via 2001:470:1f12:f87::1 metric 1024"
# What happens to the live interface; what the next run has to name; whether it can be mended in place.
DRIFT = {
    "mtu": ("ip link set he-ipv6 mtu 1400", {"link": {"mtu": old_new(1400, 1480)}}, True),
    "ttl": ("ip tunnel change he-ipv6 mode sit ttl 64", {"link": {"ttl": old_new(64, 255)}}, True),
    "endpoint": (
        "ip tunnel change he-ipv6 mode sit remote 216.66.84.43",
        {"link": {"endpoint": old_new("216.66.84.43", "216.66.84.42")}},
        True,
    ),
    "local": (
        "ip tunnel change he-ipv6 mode sit local any",
        {"link": {"local": old_new("any", "46.105.5.1")}},
        True,
    ),
    "address-deleted": (
        f"ip -6 addr del {PUBLISHED}/64 dev he-ipv6",
        {"addresses": {f"{PUBLISHED}/64": old_new("absent", "preferred")}},
        True,
    ),
    "address-added": (
        "ip -6 addr add 2001:470:1f13:f87::99/64 dev he-ipv6",
        {"addresses": {"2001:470:1f13:f87::99/64": old_new("preferred", "absent")}},
        True,
    ),
    "address-preferred": (
        "ip -6 addr change 2001:470:1f12:f87::2/64 dev he-ipv6 preferred_lft forever",
        {"addresses": {"2001:470:1f12:f87::2/64": old_new("preferred", "deprecated")}},
        True,
    ),
    "prefix-length": (
        f"ip -6 addr del {PUBLISHED}/64 dev he-ipv6; ip -6 addr add {PUBLISHED}/128 dev he-ipv6",
        {
            "addresses": {
                f"{PUBLISHED}/64": old_new("absent", "preferred"),
                f"{PUBLISHED}/128": old_new("preferred", "absent"),
            }
        },
        True,
    ),
    "route-deleted": (
        "ip -6 route del default dev he-ipv6",
        {"routes": {DEFAULT_ROUTE: old_new("absent", "present")}},
        True,
    ),
    "route-metric": (
        "ip -6 route del default dev he-ipv6; ip -6 route add default via 2001:470:1f12:f87::1 dev he-ipv6 metric 1",
        {
            "routes": {
                DEFAULT_ROUTE: old_new("absent", "present"),
                "default via 2001:470:1f12:f87::1 metric 1": old_new("present", "absent"),
            }
        },
        True,
    ),
    "down": (
        "ip link set he-ipv6 down",
        {
            "link": {"up": old_new(False, True)},
            "addresses": {
                f"{PUBLISHED}/64": old_new("absent", "preferred"),
                "2001:470:1f12:f87::2/64": old_new("absent", "deprecated"),
            },
            "routes": {DEFAULT_ROUTE: old_new("absent", "present")},
        },
        True,
    ),
    "deleted": (
        "ip link del he-ipv6",
        {
            "link": {
                "kind": old_new("absent", "sit"),
                "endpoint": old_new("absent", "216.66.84.42"),
                "local": old_new("absent", "46.105.5.1"),
                "ttl": old_new("absent", 255),
                "mtu": old_new("absent", 1480),
                "up": old_new("absent", True),
            },
            "addresses": {
                f"{PUBLISHED}/64": old_new("absent", "preferred"),
                "2001:470:1f12:f87::2/64": old_new("absent", "deprecated"),
            },
            "routes": {DEFAULT_ROUTE: old_new("absent", "present")},
        },
        False,
    ),
    "advertisements": (
        "echo 1 >/proc/sys/net/ipv6/conf/he-ipv6/accept_ra",
        {"settings": {"net.ipv6.conf.he-ipv6.accept_ra": old_new("1", "0")}},
        True,
    ),
    "file": (
        f"sed -i 's/ttl 255/ttl 64/' {OWN_FILE}",
        {"files": {str(OWN_FILE): old_new("    ttl 64", "    ttl 255")}},
        True,
    ),
}


@pytest.mark.parametrize("case", DRIFT)
def test_drift_is_named_and_repaired(states: Any, tunnel: None, case: str) -> None:
    happens, expected, in_place = DRIFT[case]
    number = index()
    run("sh", "-ec", happens)
    drifted = world()
    predicted = states.he_tunnel.present(**TUNNEL, test=True)
    assert (predicted.result, predicted.changes) == (None, expected)
    assert world() == drifted
    done = states.he_tunnel.present(**TUNNEL)
    assert (done.result, done.changes) == (True, expected), done.comment
    assert (index() == number) is in_place
    assert states.he_tunnel.present(**TUNNEL).changes == {}
    assert reaches("client6", PUBLISHED)
    assert source_address() == PUBLISHED


def test_a_tunnel_without_an_endpoint_is_made_anew(states: Any, tunnel: None) -> None:
    run("ip", "link", "del", NAME)
    run("ip", "tunnel", "add", NAME, "mode", "sit", "remote", "any", "local", "46.105.5.1")
    done = states.he_tunnel.present(**TUNNEL)
    assert done.result is True, done.comment
    assert done.changes["link"]["endpoint"] == old_new("any", "216.66.84.42")
    assert reaches("client6", PUBLISHED)


def test_a_lost_file_is_written_again_without_an_interruption(states: Any, tunnel: None) -> None:
    number = index()
    OWN_FILE.unlink()
    done = states.he_tunnel.present(**TUNNEL)
    assert list(done.changes) == ["files"]
    assert index() == number


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("ttl", 64, "link"),
        ("mtu", 1280, "link"),
        ("endpoint", "216.66.84.43", "link"),
        ("metric", 512, "routes"),
        ("addresses", ["2001:470:1f13:f87::77/64", "2001:470:1f13:f87::78/64"], "addresses"),
        ("addresses", ["2001:470:1f13:f87::78/64"], "addresses"),
        ("addresses", [], "addresses"),
        ("source", "2001:470:1f12:f87::2", "addresses"),
        ("routing", "source", "routes"),
        ("routing", "none", "routes"),
    ],
)
def test_a_changed_pillar_is_carried_out_in_place(
    states: Any, modules: Any, tunnel: None, key: str, value: Any, part: str
) -> None:
    number = index()
    wanted = {**TUNNEL, key: value}
    predicted = states.he_tunnel.present(**wanted, test=True)
    done = states.he_tunnel.present(**wanted)
    assert done.result is True, done.comment
    assert done.changes == predicted.changes
    assert set(done.changes) == {"files", part}
    assert index() == number
    assert states.he_tunnel.present(**wanted).changes == {}
    assert modules.he_tunnel.status()["differences"] == {}
    # and the configuration that was written makes the same of it at the next boot
    boot()
    assert states.he_tunnel.present(**wanted).changes == {}


def test_packets_flow_while_addresses_change(states: Any, tunnel: None) -> None:
    with_another = {**TUNNEL, "addresses": [*TUNNEL["addresses"], "2001:470:1f13:f87::78/64"]}
    words = ["ip", "netns", "exec", "client6", "ping", "-n", "-q", "-i", "0.1", "-W", "1", PUBLISHED]
    flow = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert states.he_tunnel.present(**with_another).result is True
    assert states.he_tunnel.present(**TUNNEL).result is True
    flow.send_signal(signal.SIGINT)
    assert " 0% packet loss" in flow.communicate(timeout=30)[0]


def test_the_source_address_is_the_declared_one_whatever_the_order(states: Any) -> None:
    several = [f"2001:470:1f13:f87::{n}/64" for n in (77, 78, 79)]
    for source in ("2001:470:1f13:f87::78", "2001:470:1f13:f87::77", "2001:470:1f12:f87::2"):
        assert states.he_tunnel.present(**{**TUNNEL, "addresses": several, "source": source}).result is True
        assert source_address() == source
        boot()
        assert source_address() == source


def test_local_auto_is_no_address_in_particular(states: Any) -> None:
    done = states.he_tunnel.present(**{**TUNNEL, "local": "auto"})
    assert done.changes["link"]["local"]["new"] == "any"
    assert " local " not in OWN_FILE.read_text()
    assert reaches("client6", PUBLISHED)
    assert states.he_tunnel.present(**TUNNEL).changes["link"] == {"local": {"old": "any", "new": "46.105.5.1"}}
    assert states.he_tunnel.present(**TUNNEL).changes == {}


def test_a_private_local_is_allowed(states: Any) -> None:
    run("ip", "addr", "add", "192.168.7.2/24", "dev", "eth0")
    try:
        assert states.he_tunnel.present(**{**TUNNEL, "local": "192.168.7.2"}).result is True
        assert ip("-d", "link", "show", "dev", NAME)[0]["linkinfo"]["info_data"]["local"] == "192.168.7.2"
    finally:
        run("ip", "addr", "del", "192.168.7.2/24", "dev", "eth0")


def test_source_routing_leaves_a_native_default_route_alone(states: Any) -> None:
    run("ip", "-6", "addr", "add", "2001:db8:5::5/64", "dev", "eth0", "nodad")
    run("ip", "-6", "route", "add", "default", "via", "2001:db8:5::1", "dev", "eth0", "metric", "1024")
    try:
        assert states.he_tunnel.present(**{**TUNNEL, "routing": "source"}).result is True
        assert ip("-6", "route", "get", CLIENT6, "from", PUBLISHED)[0]["dev"] == NAME
        assert ip("-6", "route", "get", CLIENT6, "from", "2001:db8:5::5")[0]["dev"] == "eth0"
        assert reaches("client6", PUBLISHED)
        assert states.he_tunnel.present(**{**TUNNEL, "routing": "source"}).changes == {}
    finally:
        run("ip", "-6", "addr", "del", "2001:db8:5::5/64", "dev", "eth0")


# One router advertisement (RFC 4861, section 4.2) to all nodes on the link: it may be used for half an hour.
ADVERTISE = """
import socket, struct
router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("server"))
router.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0))
"""


def test_a_router_that_announces_itself_on_the_lan_is_a_warning(states: Any, tunnel: None) -> None:
    on("broker", sys.executable, "-c", ADVERTISE)
    for _ in range(50):
        rivals = [each for each in ip("-6", "route", "show", "default") if each.get("dev") == "eth0"]
        if rivals:
            break
        time.sleep(0.1)
    assert rivals[0]["metric"] == 1024, "the kernel gives it the metric that is also the tunnel's default"
    done = states.he_tunnel.present(**TUNNEL)
    assert (done.result, done.changes) == (True, {}), done.comment
    assert "metric: eth0 has a default route of the tunnel's metric 1024 as well" in done.comment
    for rung in (states.he_tunnel.live, states.he_tunnel.routed, states.he_tunnel.answering, states.he_tunnel.reaching):
        done = rung(NAME)
        assert done.result is True, done.comment


def test_the_main_file_is_never_rewritten(states: Any) -> None:
    before = MAIN.stat()
    assert states.he_tunnel.present(**TUNNEL).result is True
    assert MAIN.read_text() == MAIN_TEXT
    assert MAIN.stat().st_mtime_ns == before.st_mtime_ns
    assert OWN_FILE.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("ending", ["\n", ""])
def test_one_line_is_added_to_a_main_file_that_does_not_read_the_folder(states: Any, ending: str) -> None:
    main = f"# mine\nauto lo\niface lo inet loopback{ending}"
    MAIN.write_text(main)
    MAIN.chmod(0o600)
    (FOLDER / "dead").write_text("auto dead\niface dead inet manual\n")
    line = f"source {OWN_FILE}"
    done = states.he_tunnel.present(**TUNNEL)
    assert done.changes["files"][str(MAIN)] == old_new("", line)
    assert MAIN.read_text() == f"# mine\nauto lo\niface lo inet loopback\n{line}\n"
    assert MAIN.stat().st_mode & 0o777 == 0o600
    assert "dead" not in run("ifquery", "--list", "-a")
    assert NAME in run("ifquery", "--list", "-a")
    assert states.he_tunnel.present(**TUNNEL).changes == {}
    assert states.he_tunnel.absent(NAME).result is True
    assert MAIN.read_text().strip() == main.strip()


def test_a_source_directory_reads_the_folder_too(states: Any) -> None:
    MAIN.write_text(f"source-directory {FOLDER}\n")
    assert str(MAIN) not in states.he_tunnel.present(**TUNNEL).changes["files"]
    assert NAME in run("ifquery", "--list", "-a")


def test_a_main_file_that_is_a_link_stays_one(states: Any, tmp_path: Path) -> None:
    real = tmp_path / "interfaces"
    real.write_text("auto lo\niface lo inet loopback\n")
    MAIN.unlink()
    MAIN.symlink_to(real)
    try:
        assert states.he_tunnel.present(**TUNNEL).result is True
        assert MAIN.is_symlink()
        assert real.read_text().endswith(f"source {OWN_FILE}\n")
    finally:
        MAIN.unlink()
        reset()


def test_a_host_without_a_main_file_gets_one(states: Any) -> None:
    MAIN.unlink()
    shutil.rmtree(FOLDER)
    assert states.he_tunnel.present(**TUNNEL).result is True
    assert MAIN.read_text() == f"source {OWN_FILE}\n"
    assert reaches("client6", PUBLISHED)
