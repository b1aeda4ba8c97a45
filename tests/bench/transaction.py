"""
What it costs that a run can be put back as a whole: ``tests/bench/transaction.sh``.

A run of ten steps, of which each replaces two files, and writes down a parameter and the rules of both families, with
and without the journal, the restorer and the guard of the next boot. In seconds; each is the median of a few runs.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import _dualstack_converge as converge
import _dualstack_host_files as host_files
import _dualstack_transaction_journal as transaction_journal
import _dualstack_transaction_run as transaction_run

RUNS, STEPS = 9, 10
RULES = "*filter\n" + "".join(f"-A INPUT -s 192.0.2.{number}/32 -j ACCEPT\n" for number in range(200)) + "COMMIT\n"
Images = Callable[[converge.Plan], list[transaction_journal.Image]]


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir="/srv") as name:
        folder = Path(name)
        with_it, without = [], []
        for _ in range(RUNS):
            with_it.append(run(folder, images))
            without.append(run(folder, None))
        nothing = statistics.median(timed(lambda: state(folder, 0, images, False)) for _ in range(RUNS))
        one, other = statistics.median(with_it), statistics.median(without)
        print(f"a run of {STEPS} steps              {one:7.3f}")
        print(f"the same without a transaction {other:7.3f}")
        print(f"the price                      {one - other:7.3f}")
        print(f"a state without changes        {nothing:7.4f}")


def images(_: converge.Plan) -> list[transaction_journal.Image]:
    """A parameter, and rules of both families."""
    rules = [
        transaction_journal.Image(("rules", each, "true", "true"), {f"{each}.before": RULES, f"{each}.after": RULES})
        for each in ("ipv4", "ipv6")
    ]
    return [transaction_journal.Image(("parameter", "/proc/sys/net/ipv6/bindv6only", "0")), *rules]


def run(folder: Path, before: Images | None) -> float:
    """How long all steps take, each of which changes its files anew."""

    def steps() -> None:
        for number in range(STEPS):
            state(folder, number, before, True)
        if before:
            transaction_run.commit()

    return timed(steps)


def timed(action: Callable[[], object]) -> float:
    """How long something takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def state(folder: Path, number: int, before: Images | None, changes: bool) -> None:
    """One state: two files get new texts, or keep those that they have."""
    texts = {str(folder / f"{number}.{each}"): str(time.time_ns()) if changes else "" for each in "ab"}

    def plan() -> converge.Plan:
        edits: host_files.Edits = {}
        for path, text in texts.items():
            now = host_files.read(path)
            edits.update(host_files.edit(path, now, text if changes else now))
        return {"changes": dict.fromkeys(edits, {}), "files": edits}

    def apply(made: converge.Plan) -> None:
        host_files.write(made["files"])

    change = converge.Change("bench", plan, apply, lambda made: host_files.restoring(made["files"]), before=before)
    done = converge.run("it", change, {converge.ENDED: True}, False)
    assert done["result"], done


if __name__ == "__main__":
    main()
