"""
What a whole run of the formula without changes costs, and where the time goes: ``tests/bench/formula.sh``.

On the mission's server, with ``pillar.example``: whole commands, ``salt-call --local state.apply``, in turns with as
many ``test.nop`` states. Every number is the median of a few runs, in seconds; the guest is some five times slower than
a machine.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
RUNS = 5


def main() -> None:
    """Print the figures."""
    for script in ("server-2011.sh", "zone.sh"):
        subprocess.run(["bash", f"tests/lab/{script}"], check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configure(folder)
        assert all(each["result"] for each in call(folder, "ipv6")[1])
        count = len(call(folder, "ipv6")[1])
        nops: dict[str, Any] = {f"nothing {number}": {"test.nop": []} for number in range(count)}
        (folder / "states" / "nothing.sls").write_text(yaml.safe_dump(nops))
        call(folder, "nothing")
        whole, nothing, durations = [], [], []
        for _ in range(RUNS):
            taken, states = call(folder, "ipv6")
            assert not [each["__id__"] for each in states if each["changes"] or not each["result"]]
            whole.append(taken)
            durations.append({each["__id__"]: each["duration"] / 1000 for each in states})
            nothing.append(call(folder, "nothing")[0])
    ratio = statistics.median(whole) / statistics.median(nothing)
    print(f"{count} states without changes  {statistics.median(whole):7.2f}")
    print(f"{count} times test.nop          {statistics.median(nothing):7.2f}")
    print(f"ratio                     {ratio:7.2f}")
    medians = {key: statistics.median(each[key] for each in durations) for key in durations[0]}
    print(f"\nin the states themselves  {sum(medians.values()):7.2f}, of which")
    for key, taken in sorted(medians.items(), key=lambda each: -each[1])[:12]:
        print(f"  {taken:6.2f}  {key}")


def configure(folder: Path) -> None:
    """A masterless minion with the README's configuration."""
    for each in ("states", "pillar"):
        (folder / each).mkdir()
    (folder / "pillar" / "top.sls").write_text("base: {'*': [ipv6]}\n")
    (folder / "pillar" / "ipv6.sls").write_text((REPOSITORY / "pillar.example").read_text())
    minion = {
        "id": "server",
        "file_client": "local",
        "root_dir": str(folder),
        "file_roots": {"base": [str(REPOSITORY / "salt"), str(folder / "states")]},
        "module_dirs": [str(REPOSITORY)],
        "pillar_roots": {"base": [str(folder / "pillar")]},
    }
    (folder / "minion").write_text(yaml.safe_dump(minion))


def call(folder: Path, sls: str) -> tuple[float, list[dict[str, Any]]]:
    """The seconds that a run takes, and the results of its states."""
    program = [sys.executable, "-W", "ignore", str(Path(sys.executable).parent / "salt-call")]
    start = time.perf_counter()
    done = subprocess.run(
        [*program, "-c", str(folder), "--local", "--out=json", "state.apply", sls], capture_output=True, text=True
    )
    taken = time.perf_counter() - start
    return taken, list(json.loads(done.stdout)["local"].values())


if __name__ == "__main__":
    main()
