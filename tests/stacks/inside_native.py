"""
What the tests of the hoster's IPv6 do inside of the guest: ``inside_native.py converge``, and ``inside_native.py
rebooted`` after another boot.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..lab.conftest import Salt
from ..lab.network import CLIENT6, ip, on, reaches, run
from .inside import FOLDER, eth0, loaded

ADDRESS = "2001:db8:1::8"
GIVEN: dict[str, Any] = {"interface": "eth0", "address": f"{ADDRESS}/64", "gateway": "fe80::1", "metric": 300}
CLIENT4, IPV4 = "198.51.100.2", "46.105.5.1"
RENDERED = (
    Path("/run/systemd/network/10-netplan-eth0.network"),
    Path("/run/NetworkManager/system-connections/netplan-eth0.nmconnection"),
)
# What somebody may do with the network afterwards: the tunnel's plug-in has networkd read its files again.
LATER = {
    "systemd-networkd": ["networkctl reload", "networkctl reconfigure eth0", "systemctl restart systemd-networkd"],
    "NetworkManager": ["nmcli connection reload", "systemctl restart NetworkManager"],
}
ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 2222), family=socket.AddressFamily(int(sys.argv[2]))) as server:
    print(flush=True)
    there, _ = server.accept()
    while said := there.recv(9):
        there.sendall(said)
"""
KEYFILE = "/etc/NetworkManager/system-connections/eth0.nmconnection"


def hoster() -> None:
    """The broker is the hoster's router as well."""
    on("broker", "ip", "-6", "addr", "add", "fe80::1/64", "dev", "server", "nodad")
    on("broker", "ip", "-6", "route", "add", "2001:db8:1::/64", "dev", "server")


def native(modules: Any, test: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = modules["ipv6.native"]("the hoster's", test=test, **GIVEN)
    return found


def next_boot(modules: Any) -> str:
    """What is said of the next boot, as far as this is about it: the pillar has other parts as well."""
    states = {"the next boot": {"ipv6": ["next_boot", {"pillar": "ipv6"}]}}
    (found,) = modules["state.high"](states, pillar={"ipv6": {"native": GIVEN}}).values()
    lines = str(found["comment"]).splitlines()
    return "".join(each.removeprefix("native: ") for each in lines if each.startswith("native: "))


def own_files() -> list[Path]:
    """The files of this project."""
    folders = ("/etc/systemd/network", "/etc/netplan", "/etc/NetworkManager", "/etc/network")
    paths = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    return sorted(path for path in paths if "(ipv6.native)" in path.read_text(errors="replace"))


def rendered() -> bool:
    """Whether what netplan has rendered has the address: a stack that begins anew reads that."""
    return any(ADDRESS in each.read_text() for each in RENDERED if each.exists())


@contextlib.contextmanager
def session(namespace: str, theirs: str, own: str) -> Iterator[Callable[[], bool]]:
    """Somebody is connected, to one of this host's addresses; and whether packets still go back and forth."""
    family = socket.AF_INET6 if ":" in own else socket.AF_INET
    words = ["ip", "netns", "exec", namespace, sys.executable, "-c", ECHO, theirs, str(int(family))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline()
        with socket.create_connection((theirs, 2222), 30, (own, 0)) as here:

            def lives() -> bool:
                here.sendall(b".")
                return here.recv(9) == b"."

            yield lives


def later(modules: Any) -> None:
    """What others do with the network takes neither the addresses nor who is connected."""
    does = [each for unit, lines in LATER.items() for each in lines if _runs(unit)]
    does += ["netplan apply"] if list(Path("/etc/netplan").glob("*.yaml")) else []
    before = eth0()[:2]
    with session("client4", CLIENT4, IPV4) as over4, session("client6", CLIENT6, ADDRESS) as over6:
        for each in does:
            run(*each.split())
            time.sleep(3)
            assert over4(), each
            assert over6(), each
            found = native(modules)
            assert (found["result"], found["changes"]) == (True, {}), (each, found)
            assert eth0()[:2] == before, (each, eth0()[:2])
            print(f"{each}: {run('ip', '-6', 'route', 'show', 'default')}", flush=True)


def _runs(unit: str) -> bool:
    return subprocess.run(["systemctl", "-q", "is-active", unit], check=False).returncode == 0


def converge() -> None:
    """It is there, as predicted, and the interface is not configured anew for that."""
    hoster()
    Salt(FOLDER)
    modules = loaded()
    before = eth0()
    if Path(KEYFILE).exists():  # NetworkManager's files are written by hand, as it says
        said = native(modules)["comment"]
        assert said.startswith("stack: NetworkManager has eth0") and KEYFILE in said, said
        text = Path(KEYFILE).read_text().partition("[ipv6]")[0]
        written = "\n".join(each for each in said.split("'") if "=" in each)
        Path(KEYFILE).write_text(f"{text}[ipv6]\n{written}\n")
        run("sync")
        return
    predicted = native(modules, test=True)
    assert predicted["result"] is None and own_files() == [], predicted
    done = native(modules)
    assert (done["result"], done["changes"]) == (True, predicted["changes"]), done
    assert reaches("client6", ADDRESS)
    assert native(modules)["changes"] == {}
    assert len(own_files()) == 1, own_files()
    assert eth0() == before
    assert rendered() is bool(list(Path("/etc/netplan").glob("*.yaml")))
    later(modules)
    run("sync")


def rebooted() -> None:
    """It has come up by itself; and then it goes."""
    hoster()
    modules = loaded()
    end = time.monotonic() + 20
    while not reaches("client6", ADDRESS) and time.monotonic() < end:
        time.sleep(0.5)
    print(run("ip", "-6", "route"), run("ip", "-6", "addr", "show", "dev", "eth0"))
    assert reaches("client6", ADDRESS)
    found = native(modules)
    assert (found["result"], found["changes"]) == (True, {}), found
    told = next_boot(modules)
    assert re.fullmatch("the files of [a-z]+ have the addresses and the route of eth0", told), told
    before = eth0()
    gone = modules["ipv6.native_absent"]("eth0", test=False)
    assert gone["result"] is True, gone
    assert own_files() == [] and eth0() == before and not rendered()
    held = [each["local"] for link in ip("-6", "addr", "show", "dev", "eth0") for each in link["addr_info"]]
    assert (ADDRESS in held) is Path(KEYFILE).exists(), "what somebody else has configured stays"


if __name__ == "__main__":
    {"converge": converge, "rebooted": rebooted}[sys.argv[1]]()
