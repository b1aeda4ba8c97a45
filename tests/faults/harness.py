"""
Strikes runs of the whole formula with every fault that it knows, judges what is left of the host, and prints a table.

``bash tests/faults/all.sh`` does all of it, which takes hours; ``--few 40`` a sample, ``--only WORD`` those whose line
has this word, ``--list`` shows them. Each fault has an enclosure of its own, with its own network, daemons
and files.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import harness_cases as cases
from .harness_host import QUICK, REPOSITORY

COLUMNS = (
    *("faults", "old", "new", "part by part", "mixed", "locked out", "services down", "left-over files"),
    *("second run differs", "not in time"),
)
# Of a fault that could not even be tried: whatever ended the harness itself, has done harm.
UNKNOWN: dict[str, Any] = {
    "verdict": "mixed",
    "took": 0,
    "struck": False,
    "restored": "",
    "settled": False,
    "ended": None,
}
UNKNOWN |= {key: [] for key in ("mixed", "locked_out", "down", "left", "differs", "strange", "failed", "wrong")}
LIMIT = 600  # seconds for one fault
Report = dict[str, Any]


def one(given: dict[str, Any]) -> Report:
    """Try one fault, in an enclosure of its own."""
    enclosure = REPOSITORY / "tests" / "enclosure.sh"
    words = ["bash", str(enclosure), sys.executable, "-W", "ignore", "-m", "tests.faults.harness_one"]
    # The file is there instead of a pipe, since daemons keep what they get open.
    with open(os.memfd_create("report"), "w+b") as said, open(os.memfd_create("errors"), "w+b") as errors:
        with open(os.memfd_create("fault"), "w+b") as fault:
            fault.write(json.dumps(given).encode())
            fault.seek(0)
            done = subprocess.run(
                words, stdin=fault, stdout=said, stderr=errors, cwd=REPOSITORY, timeout=LIMIT, check=False
            )
        for each in (said, errors):
            each.seek(0)
        lines = said.read().decode("utf-8", "replace").splitlines()
        if done.returncode or not lines:
            why = errors.read().decode("utf-8", "replace")[-4000:]
            raise AssertionError(f"{given['fault']} could not be tried ({done.returncode}): {why}")
    report: Report = json.loads(lines[-1])
    return report


def reference(services: tuple[str, ...], tunnel: bool = False) -> dict[str, Any]:
    """What a run without a fault does, and makes of the host."""
    given = {"services": services, "tunnel": tunnel}
    return {**given, **one({**given, "fault": {"kind": "none"}})}


def attempt(known: dict[str, Any], fault: cases.Fault) -> Report:
    """Try one fault; what came of it, and whether that must not be."""
    given = {key: known[key] for key in ("services", "tunnel", "new")}
    told = {"fault": fault, "label": cases.label(fault)}
    try:
        report: Report = {**told, **one({**given, "fault": fault})}
    except (AssertionError, subprocess.SubprocessError) as error:
        return {**told, **UNKNOWN, "bad": [str(error)]}
    report["bad"] = [
        *([f"mixed: {each}" for each in report["mixed"][:12]] if report["verdict"] == "mixed" else []),
        # By itself, a part may fail and be put back. A run that was struck has to be undone as a whole, or be done.
        *([f"part by part: {each}" for each in report["mixed"][:6]] if _torn(fault, report) else []),
        *(f"locked out: {each}" for each in report["locked_out"]),
        *(f"down: {each}" for each in report["down"]),
        *(f"left over: {each}" for each in report["left"]),
        *(f"second run: {each}" for each in report["differs"]),
        *report["wrong"],
        *(f"before the fault: {each}" for each in report["strange"]),
        *([] if report["settled"] else ["the restorer has not ended in time"]),
        *([] if report["ended"] is not None else ["the run has not ended in time"]),
    ]
    return report


def _torn(fault: cases.Fault, report: Report) -> bool:
    return report["verdict"] == "parts" and fault["kind"] in ("strike", "restorer", "confirmed")


def attempts(
    known: dict[str, Any], faults: list[cases.Fault], jobs: int, tell: Callable[[Report], None] = lambda report: None
) -> list[Report]:
    """Try many faults, some at a time."""
    lock = threading.Lock()

    def tried(fault: cases.Fault) -> Report:
        report = attempt(known, fault)
        with lock:
            tell(report)
        return report

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(tried, faults))


def table(reports: list[Report]) -> str:
    """How many of each kind ended how."""
    rows: dict[str, collections.Counter[str]] = {}
    for report in reports:
        counts = {
            "faults": 1,
            "old": report["verdict"] == "old",
            "new": report["verdict"] == "new",
            "part by part": report["verdict"] == "parts" and not _torn(report["fault"], report),
            "mixed": report["verdict"] == "mixed" or _torn(report["fault"], report),
            "locked out": bool(report["locked_out"]),
            "services down": bool(report["down"]),
            "left-over files": bool(report["left"]),
            "second run differs": bool(report["differs"]),
            "not in time": not report["settled"] or report["ended"] is None,
        }
        for row in (cases.kind(report["fault"]), "all"):
            rows.setdefault(row, collections.Counter()).update({key: int(value) for key, value in counts.items()})
    rows["all"] = rows.pop("all", collections.Counter())
    lines = [["fault", *COLUMNS], *([row, *(str(counts[key]) for key in COLUMNS)] for row, counts in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(f"{each:{w}}" for each, w in zip(line, widths)) + " |" for line in lines)


def show(report: Report) -> None:
    """A line about a fault, and more about one that has done harm."""
    struck = "" if report["struck"] else " (NOT STRUCK)"
    line = f"{report['verdict']:5} {report['took']:5} s {report['ended']!s:>4}  {report['label']}{struck}"
    print(f"{'BAD ' if report['bad'] else 'good'} {line}")
    for each in report["bad"]:
        print(f"        {each}")
    if report["bad"]:
        for each in report["failed"]:
            print(f"        it said: {each[:400]!r}")
        for each in report["restored"].splitlines():
            print(f"        the restorer said: {each[:400]}")
    sys.stdout.flush()


def main() -> int:
    """Try them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, help="a sample of about so many")
    parser.add_argument("--whole", action="store_true", help="each way of striking at each effect")
    parser.add_argument("--only", default="", help="those with this word in their line")
    parser.add_argument("--every", type=int, default=1, help="each n-th")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--services", default=",".join(QUICK))
    parser.add_argument("--tunnel", action="store_true", help="with a tunnel, where the kernel has the module sit")
    parser.add_argument("--report", type=Path, help="a file for all that was found out")
    given = parser.parse_args()
    services = tuple(given.services.split(","))
    known = reference(services, given.tunnel)
    effects = known["effects"]
    faults = cases.sample(effects, services, given.few) if given.few else cases.every(effects, services, given.whole)
    faults = [each for each in faults if given.only in cases.label(each)][:: given.every]
    if given.list:
        print(*map(cases.label, faults), sep="\n")
        return 0
    print(f"{len(effects)} effects; {len(faults)} faults")
    reports = attempts(known, faults, given.jobs, show)
    if given.report:
        given.report.write_text(json.dumps(reports, indent=1))
    print(table(reports))
    return int(any(each["bad"] for each in reports))


if __name__ == "__main__":
    sys.exit(main())
