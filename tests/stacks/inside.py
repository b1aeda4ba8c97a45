"""
What the tests of the network stacks do inside of the guest: ``inside.py converge``, ``inside.py rebooted``, and
``inside.py gone``, each after a boot.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import salt.config
import salt.loader

from ..lab.conftest import Salt
from ..lab.network import ARGUMENTS, NAME, OTHER, PUBLISHED, SECOND, TWO, ip, on, reaches, run, second_broker

FOLDER = Path("/srv/lab")  # Salt's own files
TUNNEL = "The tunnel is up"
DEFAULT = f"default via {ARGUMENTS['gateway']} metric"
CHANGE = f"ip tunnel change {NAME} mode sit remote 216.66.84.42 local 46.105.5.1 ttl 255"
# What happens, and where the next run sees it: the parts of the changes, and a word of them.
DRIFT: dict[str, tuple[str, set[str], str]] = {
    "an address is removed": (f"ip -6 addr del {PUBLISHED}/64 dev {NAME}", {"addresses"}, PUBLISHED),
    "the MTU": (f"ip link set dev {NAME} mtu 1400", {"link"}, "1400"),
    "the TTL": (CHANGE.replace("255", "7"), {"link"}, "ttl"),
    "the endpoint": (CHANGE.replace("84.42", "84.43"), {"link"}, "216.66.84.43"),
    "the local address": (CHANGE.replace("46.105.5.1", "46.105.5.7"), {"link"}, "46.105.5.7"),
    "the route": (f"ip -6 route del default dev {NAME}", {"routes"}, DEFAULT),
    "the metric": (
        f"ip -6 route del default dev {NAME}; ip -6 route add {DEFAULT} 7 dev {NAME} onlink",
        {"routes"},
        f"{DEFAULT} 7",
    ),
    "it is down": (f"ip link set dev {NAME} down", {"link", "addresses", "routes"}, "up"),
    "it is deleted": (f"ip link del {NAME}", {"link", "addresses", "routes"}, "sit"),
    "a file is edited": ("sed -i 's/216.66.84.42/216.66.84.44/' {0}", {"files"}, "216.66.84.44"),
    "a file is deleted": ("rm {0}", {"files"}, "absent"),
}


def own_files(name: str = NAME) -> list[Path]:
    """The files of this project that are about the tunnel."""
    folders = ("/etc/systemd/network", "/etc/netplan", "/etc/NetworkManager/system-connections", "/etc/network")
    return sorted(path for folder in folders for path in Path(folder).rglob(f"*{name}*") if path.is_file())


def eth0() -> list[str]:
    """What must not change: the interface that is not ours, and how often its stack has configured it."""
    journal = run("journalctl", "--no-pager", "-o", "cat", "-u", "systemd-networkd", "-u", "NetworkManager")
    seen = [
        line for line in journal.splitlines() if "eth0" in line and ("onfiguring" in line or "state change" in line)
    ]
    return [run("ip", "-4", "addr", "show", "dev", "eth0"), run("ip", "-4", "route"), *seen]


def changed(states: dict[str, Any]) -> dict[str, Any]:
    """The changes of the states that have any; every state has to be right, or wants to be."""
    wrong = {key: each["comment"] for key, each in states.items() if each["result"] is False}
    assert not wrong, wrong
    return {key: each["changes"] for key, each in states.items() if each["changes"]}


def loaded() -> Any:
    """Salt's modules, loaded once."""
    opts = salt.config.minion_config(str(FOLDER / "minion"))
    opts["grains"] = salt.loader.grains(opts)
    return salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))


def apply(modules: Any, *words: str, **named: Any) -> dict[str, Any]:
    """The formula, or a part of it: the changes of the states that have any."""
    return changed(Salt.results(modules["state.apply"](*words, **named)))


def door(modules: Any, name: str = NAME, **tunnel: Any) -> Callable[..., dict[str, Any]]:
    """``he_tunnel.present`` with the pillar's tunnel, or with another."""

    def present(test: bool) -> dict[str, Any]:
        result: dict[str, Any] = modules["he_tunnel.present"](name, test=test, **(tunnel or ARGUMENTS))
        assert result["result"] is not False, result["comment"]
        return result

    return present


def drift(modules: Any) -> None:
    """One drift after the other: each is predicted, repaired as it was predicted, and nothing else is."""
    present = door(modules)
    files = {path: (path.read_text(), path.stat().st_mode) for path in own_files()}
    file = max(files, key=lambda path: "216.66.84.42" in files[path][0])
    for name, (happens, parts, word) in DRIFT.items():
        begin = time.monotonic()
        subprocess.run(["bash", "-c", happens.format(file)], check=True, timeout=60)
        predicted = present(test=True)
        done = present(test=False)
        print(f"{name}: {time.monotonic() - begin:.1f} s: {done['changes']}", flush=True)
        assert done["changes"] == predicted["changes"], (name, predicted["changes"])
        assert parts <= set(done["changes"]) <= {*parts, "record", "settings"}, name
        assert word in str(done["changes"]), name
        assert {path: (path.read_text(), path.stat().st_mode) for path in own_files()} == files, name
    assert present(test=False)["changes"] == {}
    assert reaches("client6", PUBLISHED)


def moved(modules: Any) -> None:
    """
    The tunnel of a host that had ifupdown before its upgrade: it moves to the stack that has eth0 now, as predicted.
    ifupdown has let it go when the other stack brings it up.
    """
    present = door(modules)
    assert modules["he_tunnel.absent"](NAME, test=False)["result"] is True
    made = modules["he_tunnel.present"](NAME, stack="ifupdown", test=False, **ARGUMENTS)
    assert made["result"] is True, made["comment"]
    old = Path("/etc/network/interfaces.d") / NAME
    record = Path("/run/network/ifstate")
    assert old.exists() and f"{NAME}=" in record.read_text()
    assert reaches("client6", PUBLISHED)
    predicted = present(test=True)
    done = present(test=False)
    assert done["changes"] == predicted["changes"]
    assert done["changes"]["files"][str(old)]["new"] == "absent" and len(done["changes"]["files"]) > 1
    assert not old.exists() and f"{NAME}=" not in record.read_text()
    assert reaches("client6", PUBLISHED)
    assert present(test=False)["changes"] == {}


def gre(modules: Any) -> None:
    """Another carrier: it comes up as predicted, beside the other tunnel; it drifts, is repaired, and goes."""
    second_broker("gre")
    rule = "INPUT -s 192.0.2.66 -p gre -j ACCEPT".split()
    run("iptables", "-I", *rule)  # the formula's own rules are for the tunnel of the pillar
    present = door(modules, SECOND, carrier="gre", **TWO)
    assert not reaches("client6", OTHER)

    def repaired(*words: str, **link: Any) -> None:
        run(*words)
        predicted = present(test=True)
        done = present(test=False)
        print(f"{' '.join(words)}: {done['changes']}", flush=True)
        assert done["changes"] == predicted["changes"]
        assert {key: each["new"] for key, each in done["changes"]["link"].items()} == link, done["changes"]
        assert reaches("client6", OTHER)

    everything = {"kind": "gre", "endpoint": TWO["endpoint"], "local": "any", "ttl": 255, "mtu": 1476, "up": True}
    repaired("true", **everything)
    assert own_files(SECOND)
    assert present(test=False)["changes"] == {}
    for rung in ("live", "routed", "underlaid", "answering"):
        found = modules[f"he_tunnel.{rung}"](SECOND)
        assert found["result"] is True, found["comment"]
    repaired(*f"ip tunnel change {SECOND} mode gre remote 192.0.2.67 ttl 7".split(), endpoint="192.0.2.66", ttl=255)
    repaired(*f"ip link set dev {SECOND} mtu 1400".split(), mtu=1476)
    repaired(*f"ip link del dev {SECOND}".split(), **everything)
    assert present(test=False)["changes"] == {}
    gone = modules["he_tunnel.absent"](SECOND, test=False)
    assert gone["result"] is True, gone["comment"]
    assert ip("link", "show", "dev", SECOND) == [] and own_files(SECOND) == []
    assert reaches("client6", PUBLISHED) and not reaches("client6", OTHER)
    on("broker", "ip", "link", "del", "he1")
    run("iptables", "-D", *rule)


def bound(modules: Any) -> None:
    """The tunnel is bound to eth0, which networkd configures once more for that, and let go; netplan refuses it."""
    before = eth0()[:2]
    stack = modules["he_tunnel.status"]()["stack"]
    if stack == "netplan":
        refused = modules["he_tunnel.present"](NAME, test=False, **ARGUMENTS, dev="eth0")
        assert refused["result"] is False and refused["comment"].startswith("dev: netplan cannot bind"), refused
    if stack != "networkd":
        return
    present, free = door(modules, **ARGUMENTS, dev="eth0"), door(modules)
    for happens in ("true", f"{CHANGE} dev lo", f"ip link del {NAME}"):
        run(*happens.split())
        predicted = present(test=True)
        done = present(test=False)
        print(f"{happens}: {done['changes']}", flush=True)
        assert done["changes"] == predicted["changes"] and done["changes"]["link"]["dev"]["new"] == "eth0"
        assert ip("-d", "link", "show", "dev", NAME)[0]["linkinfo"]["info_data"]["link"] == "eth0"
        assert present(test=False)["changes"] == {} and reaches("client6", PUBLISHED), happens
    assert free(test=False)["changes"]["link"]["dev"] == {"old": "eth0", "new": "absent"}
    assert free(test=False)["changes"] == {} and reaches("client6", PUBLISHED)
    assert eth0()[:2] == before


def converge() -> None:
    """The mission, from a host of IPv4 only; and whatever happens to it afterwards."""
    salt_call = Salt(FOLDER)
    before = eth0()
    assert not reaches("client6", PUBLISHED)
    modules = loaded()
    predicted = apply(modules, "ipv6", test=True)
    assert not ip("link", "show", "dev", NAME)
    done = changed(salt_call.call("state.apply", "ipv6"))
    assert done[TUNNEL] == predicted[TUNNEL]
    assert {"files", "link", "addresses", "routes"} <= set(done[TUNNEL])
    assert reaches("client6", PUBLISHED)
    assert apply(modules, "ipv6") == {}
    print(modules["he_tunnel.status"]())
    drift(modules)
    moved(modules)
    gre(modules)
    assert eth0() == before
    bound(modules)
    run("sync")


def rebooted() -> None:
    """The tunnel has come up by itself; and then it goes."""
    modules = loaded()
    end = time.monotonic() + 20
    while not reaches("client6", PUBLISHED) and time.monotonic() < end:
        time.sleep(0.5)
    assert reaches("client6", PUBLISHED)
    before = eth0()
    status = modules["he_tunnel.status"]()
    assert status["in_sync"] is True, status
    assert apply(modules, "ipv6", test=True) == {}
    print(apply(modules, "ipv6.absent"))
    assert ip("link", "show", "dev", NAME) == []
    assert own_files() == []
    assert not reaches("client6", PUBLISHED)
    assert eth0() == before
    run("sync")


def nothing_is_left() -> None:
    """Neither a file nor a device, after another boot; and IPv4 is as it was."""
    time.sleep(2)
    assert own_files() == []
    assert ip("link", "show", "dev", NAME) == []
    assert reaches("client4", "46.105.5.1")


if __name__ == "__main__":
    {"converge": converge, "rebooted": rebooted, "gone": nothing_is_left}[sys.argv[1]]()
