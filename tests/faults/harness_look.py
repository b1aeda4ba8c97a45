"""What a host looks like, as named facts; and which of two known states it is in."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from ..firewall import netfilter
from . import ground, programs
from .harness_host import ADDRESSES, FROM_OUTSIDE, SERVICES, logs_in, shell

Facts = dict[str, str]

TREES = ("/etc", "/usr/local", "/var/lib/iptables")
OURS = ("/var/lib/dualstack", "/run/systemd/system", "/etc/systemd/system")
LEFT = re.compile(r"dualstack|\.___atomic|\.kept$")
# Processes of a run, of what it starts, and of whoever puts back what it has done.
RUNS = re.compile(
    r"/etc/init\.d/|/usr/sbin/service |dualstack/transaction|restorer|salt-call|-restore|/ifup|/ifdown|sleep 98765"
)
BY_CHANCE = re.compile(r"/(flush|stable_secret)$|^/etc/(mtab|resolv\.conf)$|^/root/\.(cache|rnd|ansible)")
BY_CHANCE_OF_IP = re.compile(
    r" (valid_lft|preferred_lft|expires|qlen|link/ether|dynamic) \S+| pref \w+| tentative|(?<=fe80::)[0-9a-f:]+"
    r"|(?<=@)if\d+|(?m:^\d+: )|\\|(?<=state )(UNKNOWN|LOWERLAYERDOWN)"
)
ASK = Path(__file__).with_name("harness_ask.py")
# Which part of the pillar a fact belongs to: one part can fail, and leave the others as they are.
PARTS = {
    "firewall": r"rules |file /etc/iptables",
    "sysctl": r"sysctl |file /etc/sysctl",
    "tunnel": r"ip |file /etc/network",
    **{name: rf"(file /etc/{name}/|port {port}( |$)|process {name}$)" for name, (port, *_) in SERVICES.items()},
}


def look(services: tuple[str, ...]) -> Facts:
    """Everything that a run may change, and that its administrators and clients rely on."""
    found: Facts = {}
    for family in ("ipv4", "ipv6"):
        tables = netfilter.tables(netfilter.save(family, "nft"))
        found |= {f"rules {family} {table}": "\n".join(lines) for table, lines in tables.items()}
        found[f"ssh {family}"] = str(logs_in(family))
    for words in ("addr", "link", "rule", "-6 rule", "route show table all", "-6 route show table all"):
        text = BY_CHANCE_OF_IP.sub("", shell(f"ip -o {words}"))
        found[f"ip {words}"] = "\n".join(sorted(line.strip() for line in text.splitlines()))
    for folder, _, names in os.walk("/proc/sys/net/ipv6"):
        for path in (f"{folder}/{name}" for name in names):
            if not BY_CHANCE.search(path):
                try:
                    found[f"sysctl {path[10:]}"] = Path(path).read_text().strip()
                except OSError:
                    continue
    found |= files()
    running = {path.name for path in _executables()}
    for name in services:
        found[f"process {name}"] = str(SERVICES[name][1] in running)
    ports = [SERVICES[name][0] for name in services]
    question = [*FROM_OUTSIDE, "/usr/bin/python3", str(ASK), json.dumps([ADDRESSES, ports])]
    done = subprocess.run(question, capture_output=True, text=True, check=True)
    return {**found, **json.loads(done.stdout)}


def _executables() -> list[Path]:
    found = []
    for each in programs.of_processes("exe"):
        try:
            found.append(each.readlink())
        except OSError:
            continue
    return found


def files() -> Facts:
    """The files, each with its owners, mode, attributes and a digest."""
    trees = [each for root in (*TREES, *OURS) for each in Path(root).parent.glob(f"{Path(root).name}*")]
    found = ground.snapshot(*map(str, trees))
    found |= {str(each): ground.facts(str(each)) for each in trees if each.name.startswith("dualstack")}
    told = {}
    for path, (mode, *others) in found.items():
        if not BY_CHANCE.search(path):
            data = [hashlib.sha256(each).hexdigest()[:16] if isinstance(each, bytes) else each for each in others]
            told[f"file {path}"] = " ".join(map(str, [mode, *data]))
    return told


def runs() -> dict[int, str]:
    """The processes of runs and of restorers that there are."""
    found = {}
    for path in programs.of_processes("cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if RUNS.search(words) and "tests.faults" not in words:
            found[int(path.parent.name)] = words.strip()[:120]
    return found


def settled(limit: float) -> bool:
    """Wait until nothing of a run or of a restorer goes on; whether that was in time."""
    end = time.monotonic() + limit
    while runs():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


class Judgement(NamedTuple):
    """In which state a host is."""

    verdict: str  # old, new, parts (each of them as a whole), or mixed
    mixed: list[str]  # what is not as all the rest
    locked_out: list[str]
    down: list[str]
    left: list[str]

    @property
    def bad(self) -> bool:
        """Whether this must not be."""
        return self.verdict == "mixed" or bool(self.locked_out or self.down or self.left)


def judge(old: Facts, new: Facts, now: Facts, logged_in: bool) -> Judgement:
    """Compare a host with what it was before, and with what a run without a fault makes of it."""
    left = [key for key in now if key not in old and key not in new and key.startswith("file ") and LEFT.search(key)]
    left += [f"process {words}" for words in runs().values()]
    states: dict[str, str] = {}
    for key in sorted((old.keys() | new.keys() | now.keys()) - set(left)):
        before, after, found = old.get(key), new.get(key), now.get(key)
        if before == after == found:
            continue
        states[key] = "old" if found == before else "new" if found == after else "neither"
        if before == after:
            states[key] = "strange"
    kinds = set(states.values())
    if kinds <= {"old"}:
        verdict = "old"
    elif kinds <= {"new"}:
        verdict = "new"
    else:
        parts = {part: {states[key] for key in states if re.match(pattern, key)} for part, pattern in PARTS.items()}
        known = {key for key in states if any(re.match(pattern, key) for pattern in PARTS.values())}
        whole = all(each in ({"old"}, {"new"}, set()) for each in parts.values())
        rest = {states[key] for key in states.keys() - known if not key.startswith("ssh ")}
        verdict = "parts" if whole and not rest - {"old", "new"} else "mixed"
    fewer = min(("old", "new"), key=lambda each: sum(found == each for found in states.values()))
    mixed = [f"{key} is {found}" for key, found in states.items() if found not in ("old", "new") or found == fewer]
    lost = [] if logged_in else ["the session that was open"]
    lost += [key for key in old if key.startswith("ssh ") and old[key] == "True" and now.get(key) != "True"]
    down = [key for key in old if key.startswith("process ") and old[key] == "True" and now.get(key) != "True"]
    down += [key for key in old if key.startswith("port ") and answered(old.get(key)) and not answered(now.get(key))]
    return Judgement(verdict, [] if verdict in ("old", "new") else mixed, lost, down, sorted(left))


def answered(said: str | None) -> bool:
    """Whether a port has said something."""
    return said is not None and not said.startswith("-")


def differences(new: Facts, now: Facts) -> list[str]:
    """What is not as after a run without a fault."""
    keys = sorted(key for key in new.keys() | now.keys() if new.get(key) != now.get(key))
    return [f"{key}: {now.get(key)!s:.150}, and not {new.get(key)!s:.150}" for key in keys]


if __name__ == "__main__":
    json.dump(look(tuple(sys.argv[1:])), sys.stdout)
