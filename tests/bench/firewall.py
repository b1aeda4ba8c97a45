"""
What the firewall costs, beside the bare commands and Salt's own states, in one run: ``tests/bench/firewall.sh``.

Every number is the median of a few runs, in seconds. A *state run* is a whole ``salt-call state.apply``; the empty one
has a single ``test.nop``, and what the others take beyond it is what their states cost. Rules count for each family.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..firewall import netfilter

REPOSITORY = Path(__file__).resolve().parents[2]
SIZES = (10, 100, 1000, 10_000)
SALTS_OWN = 100  # rules: more of them would take minutes
BACKENDS = ("nft", "legacy")
RUNS = 5


def rules(count: int) -> list[str]:
    """Rules as servers have them: ports, sources of both families, comments; each is one rule in each family."""
    found = []
    for number in range(count):
        port = f"-p tcp -m tcp --dport {number % 60_000 + 1}"
        comment = f' -m comment --comment "rule {number}"' if number % 3 == 0 else ""
        found.append(f"{port}{comment} -j ACCEPT")
    return found


def seconds(action: Callable[[], Any], before: Callable[[], Any] = lambda: None, runs: int = RUNS) -> float:
    """The median of some runs."""
    taken = []
    for _ in range(runs):
        before()
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


class Minion:
    """A masterless minion whose states are these."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states = folder / "states"
        self.states.mkdir()
        minion = {
            "id": "bench",
            "file_client": "local",
            "root_dir": str(folder),
            "file_roots": {"base": [str(self.states)]},
            "module_dirs": [str(REPOSITORY)],
            "fileserver_list_cache_time": 0,
        }
        (folder / "minion").write_text(json.dumps(minion))

    def sls(self, name: str, states: dict[str, Any]) -> None:
        """Write an SLS."""
        (self.states / f"{name}.sls").write_text("#!json\n" + json.dumps(states))

    def apply(self, name: str, *words: str) -> None:
        """Run salt-call state.apply; all of it has to succeed."""
        command = [sys.executable, "-W", "ignore", str(Path(sys.executable).parent / "salt-call")]
        words = ("-c", str(self.folder), "--local", "--retcode-passthrough", "state.apply", name, *words)
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def restored(backend: str, text: str) -> None:
    """The bare commands load both families."""
    for command in netfilter.COMMANDS.values():
        netfilter.run(f"{command}-{backend}-restore", text=text)


def saved(backend: str) -> None:
    """The bare commands read both families."""
    for command in netfilter.COMMANDS.values():
        netfilter.run(f"{command}-{backend}-save")


def measure(minion: Minion, backend: str, count: int) -> dict[str, float]:
    """One line of the table."""
    listed = rules(count)
    text = "*filter\n:INPUT ACCEPT [0:0]\n" + "".join(f"-A INPUT {rule}\n" for rule in listed) + "COMMIT\n"
    ruleset = {"tables": {"filter": {"INPUT": {"policy": "ACCEPT", "rules": listed}}}, "backend": backend}
    minion.sls("ours", {"ours": {"dualstack_iptables.ruleset": [{key: value} for key, value in ruleset.items()]}})
    found = {
        "restores": seconds(lambda: restored(backend, text), netfilter.reset),
        "saves": seconds(lambda: saved(backend)),
        "empty": seconds(lambda: minion.apply("empty")),
        "first": seconds(lambda: minion.apply("ours"), netfilter.reset, 3),
        "no-op": seconds(lambda: minion.apply("ours")),
        "test=True": seconds(lambda: minion.apply("ours", "test=True")),
    }
    if count <= SALTS_OWN:
        netfilter.reset()
        own = {
            f"{family} {number}": {"iptables.append": [{"chain": "INPUT"}, {"family": family}, *salts(number)]}
            for family in netfilter.COMMANDS
            for number in range(count)
        }
        minion.sls("own", own)
        found["Salt's first"] = seconds(lambda: minion.apply("own"), runs=1)
        found["Salt's no-op"] = seconds(lambda: minion.apply("own"), runs=1)
    return found


def salts(number: int) -> list[dict[str, Any]]:
    """The n-th rule for Salt's own state."""
    comment = [{"match": "comment"}, {"comment": f"rule {number}"}] if number % 3 == 0 else []
    return [{"proto": "tcp"}, {"dport": number % 60_000 + 1}, *comment, {"jump": "ACCEPT"}]


def main(sizes: list[int]) -> None:
    """Print the table."""
    print("seconds; the columns behind | are what a state run takes beyond an empty one")
    head = ("backend", "rules", "restores", "saves", "empty run", "| first", "no-op", "test=True", "first/restores")
    print(*(f"{each:>14}" for each in (*head, "Salt's first", "Salt's no-op")))
    with tempfile.TemporaryDirectory() as folder:
        minion = Minion(Path(folder))
        minion.sls("empty", {"nothing": {"test.nop": []}})
        minion.apply("empty")
        for backend in BACKENDS:
            for count in sizes:
                found = measure(minion, backend, count)
                beyond = {key: value - found["empty"] for key, value in found.items()}
                ratio = beyond["first"] / found["restores"]
                numbers = [found["restores"], found["saves"], found["empty"]]
                numbers += [beyond["first"], beyond["no-op"], beyond["test=True"], ratio]
                numbers += [beyond[key] for key in ("Salt's first", "Salt's no-op") if key in beyond]
                print(*(f"{each:>14}" for each in (backend, count, *(f"{each:.3f}" for each in numbers))), flush=True)
                netfilter.reset()


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
