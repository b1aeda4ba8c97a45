"""The lab's network, as the tests in the guest see it. ``topology.sh`` built it; the tests run on the server."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

TUNNEL: dict[str, Any] = {
    "name": "he-ipv6",
    "endpoint": "216.66.84.42",
    "local": "46.105.5.1",
    "address": "2001:470:1f12:f87::2/64",
    "gateway": "2001:470:1f12:f87::1",
    "addresses": ["2001:470:1f13:f87::77/64"],
}
NAME = TUNNEL["name"]
ARGUMENTS = {key: value for key, value in TUNNEL.items() if key != "name"}
PUBLISHED = "2001:470:1f13:f87::77"
CLIENT6 = "2001:db8:c::2"

# A tunnel to another broker, which second_broker() makes.
SECOND = "second"
TWO: dict[str, Any] = {
    "endpoint": "192.0.2.66",
    "address": "2001:db8:66::2/64",
    "gateway": "2001:db8:66::1",
    "addresses": ["2001:db8:6666::77/64"],
    "routing": "source",
}
OTHER = "2001:db8:6666::77"

STACKS = "ifupdown, ifupdown2, ifupdown_ng, netplan, networkd, networkmanager, toy"  # with the tests' own

MAIN = Path("/etc/network/interfaces")
FOLDER = Path("/etc/network/interfaces.d")
OWN_FILE = FOLDER / NAME
IFSTATE = Path("/run/network/ifstate")
RULES = Path("/etc/iptables")
SYSCTL_FILE = Path("/etc/sysctl.d/local.conf")
MAIN_TEXT = f"""\
# The host's own interfaces.
source {FOLDER}/*

auto lo
iface lo inet loopback
"""


def run(*words: str, check: bool = True) -> str:
    """Run a command on the server, and return what it prints."""
    done = subprocess.run(words, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert not check or done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}: {done.stdout}"
    return done.stdout


def on(namespace: str, *words: str, check: bool = True) -> str:
    """Run a command in another namespace: ``broker``, ``client4`` or ``client6``."""
    return run("ip", "netns", "exec", namespace, *words, check=check)


def reaches(namespace: str, address: str, attempts: int = 2) -> bool:
    """Whether an address answers a ping from a namespace."""
    words = ["ip", "netns", "exec", namespace, "ping", "-n", "-q", "-c", str(attempts), "-i", "0.2", "-W", "1", address]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def ip(*words: str) -> Any:
    """What ``ip -j`` prints on the server; an empty list for what does not exist."""
    done = subprocess.run(["ip", "-j", *words], check=False, text=True, capture_output=True)
    assert done.returncode == 0 or "does not exist" in done.stderr, done.stderr
    return [each for each in json.loads(done.stdout or "[]") if each]


def second_broker(mode: str) -> None:
    """A second broker beside the first one, and its end of a tunnel, ``he1``: ``sit``, ``gre`` or ``wireguard``."""
    run("modprobe", "ip_gre" if mode == "gre" else mode)
    on("broker", "ip", "addr", "replace", "192.0.2.66/32", "dev", "lo")
    if mode == "wireguard":
        on("broker", "ip", "link", "add", "he1", "type", mode)
    else:
        ends = ["local", "192.0.2.66", "remote", "46.105.5.1", "ttl", "255"]
        on("broker", "ip", "tunnel", "add", "he1", "mode", mode, *ends)
    on("broker", "ip", "link", "set", "he1", "up", "mtu", "1420" if mode == "wireguard" else "1476")
    on("broker", "ip", "addr", "add", "2001:db8:66::1/64", "dev", "he1", "nodad")
    on("broker", "ip", "route", "add", "2001:db8:6666::/64", "via", "2001:db8:66::2", "dev", "he1")


def index(name: str = NAME) -> int:
    """The interface's number, which changes when it is deleted and made again."""
    number: int = ip("link", "show", "dev", name)[0]["ifindex"]
    return number


def source_address() -> str:
    """The address that a connection to client6 would come from."""
    address: str = ip("-6", "route", "get", CLIENT6)[0]["prefsrc"]
    return address


def world() -> dict[str, Any]:
    """Everything on the server that this project could change."""
    files = {}
    for top in (MAIN.parent, SYSCTL_FILE.parent, RULES):
        for path in sorted(top.rglob("*")):
            if path.is_file():
                status = path.stat()
                files[str(path)] = (path.read_bytes(), status.st_mode, status.st_ino, status.st_mtime_ns)
    return {
        "files": files,
        "links": run("ip", "-d", "link"),
        "addresses": run("ip", "addr"),
        "routes": run("ip", "-6", "route", "show", "table", "all"),
        "ifstate": IFSTATE.read_text() if IFSTATE.exists() else "",
        "firewall": firewall(),
        "bindv6only": Path("/proc/sys/net/ipv6/bindv6only").read_text(),
    }


def firewall() -> dict[str, list[str]]:
    """The rules of both families, without counters. Where no table is in use, asking would bring one into use."""
    rules = {}
    for command, names in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")):
        used = Path("/proc/net", names).exists() and Path("/proc/net", names).read_text()
        lines = run(f"{command}-save").splitlines() if used else []
        rules[command] = [line.partition(" [")[0] for line in lines if not line.startswith("#")]
    return rules


def boot() -> None:
    """What a boot does with the tunnel: nothing is up, ifupdown remembers nothing, and brings up what is ``auto``."""
    if ip("link", "show", "dev", NAME):
        run("ip", "link", "del", "dev", NAME)
    _forget()
    run("ifup", "-a")


def _forget() -> None:
    for path in IFSTATE.parent.glob("*ifstate*"):
        path.unlink()


def reset() -> None:
    """Make the server what topology.sh left: IPv4 only, and an ifupdown that knows nothing of a tunnel."""
    for link in ip("link"):
        if link["ifname"] not in ("lo", "sit0", "eth0"):
            run("ip", "link", "del", "dev", link["ifname"])
    run("ip", "-6", "route", "flush", "default")
    shutil.rmtree(FOLDER)
    FOLDER.mkdir()
    for folder in MAIN.parent.glob("if-*.d"):
        for hook in folder.glob("test-*"):
            hook.unlink()
    MAIN.write_text(MAIN_TEXT)
    MAIN.chmod(0o644)
    _forget()
    SYSCTL_FILE.unlink(missing_ok=True)
    Path("/proc/sys/net/ipv6/bindv6only").write_text("0")
    if RULES.exists():
        shutil.rmtree(RULES)
        text = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n"
        for command in ("iptables-restore", "ip6tables-restore"):
            subprocess.run([command], input=text, text=True, check=True)
    hear("46.105.5.1")
    while run("ip", "-6", "addr", "show", "tentative"):
        time.sleep(0.1)


def forget_zone() -> None:
    """End the name server of ``zone.sh``, and what the server remembers of its records."""
    run("bash", "-c", "kill $(cat /run/zone/named.pid); while [ -e /run/zone/named.pid ]; do sleep 0.1; done")
    shutil.rmtree("/var/lib/dualstack_aaaa", ignore_errors=True)


def hear(address: str) -> None:
    """Let the broker's end belong to the server at this address. With another than 46.105.5.1 it is silent."""
    on("broker", "ip", "tunnel", "change", "he0", "mode", "sit", "remote", address)


def hook(phase: str, name: str, script: str) -> Path:
    """A script that ifupdown runs for every interface; :func:`reset` removes it."""
    path = MAIN.parent / f"if-{phase}.d" / f"test-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def shadow(folder: Path, program: str, arguments: str, does: str) -> None:
    """
    Put a program into a folder that acts for the real one.

    arguments
        A shell pattern. Where it matches the program's arguments, something else happens.
    does
        What; without an ``exit`` in it, the real program runs afterwards.
    """
    path = folder / program
    path.write_text(f'#!/bin/sh\ncase "$*" in {arguments}) {does} ;; esac\nexec /sbin/{program} "$@"\n')
    path.chmod(0o755)
