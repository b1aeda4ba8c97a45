"""
Pytest hooks that run some tests in the guest and report them here.

On the machine, a test of ``tests/functional`` or ``tests/lab`` is not run: the guest runs a pytest of its own with
all of them, on the lab's server, and its reports are replayed as if they had been made here. In the guest, the same
hooks write them. If the guest dies or falls silent, the test that it was at has failed, and another guest runs
the rest.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .guest import Guest, GuestError, follow

IN_GUEST = "LAB_GUEST" in os.environ
REPORTS = Path("/run/control/reports")
REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = (REPOSITORY / "tests" / "functional", REPOSITORY / "tests" / "lab")
PATIENCE = 1200  # seconds without a report: the mission takes 500 of them, and more on a busy machine


def runs_in_guest(item: pytest.Item) -> bool:
    """Whether a test belongs to the guest."""
    return any(folder in item.path.parents for folder in FOLDERS)


if IN_GUEST:

    def _write(record: dict[str, Any]) -> None:
        with REPORTS.open("a") as stream:
            stream.write(json.dumps(record) + "\n")

    def pytest_runtest_logreport(report: pytest.TestReport) -> None:
        """Send a report to the machine."""
        config = _write.config  # type: ignore[attr-defined]
        _write({"report": config.hook.pytest_report_to_serializable(config=config, report=report)})

    def pytest_runtest_logfinish(nodeid: str) -> None:
        """Tell the machine that a test is over."""
        _write({"finished": nodeid})

    def pytest_configure(config: pytest.Config) -> None:
        """Keep what is needed to write reports."""
        _write.config = config  # type: ignore[attr-defined]

else:

    class Replay:
        """The guest, and the reports it sends."""

        def __init__(self, items: list[pytest.Item]) -> None:
            root = os.environ.get("LAB_ROOT")
            if not root:
                raise pytest.UsageError("LAB_ROOT is not set: bin/test prepares the lab and sets it")
            wheels = Path(os.environ["LAB_WHEELS"])
            # Bytecode stays in the guest, and is no file that Salt would hand out with the modules beside it.
            settings = ["LAB_GUEST=1", f"LAB_WHEELS={wheels}", "PYTHONPYCACHEPREFIX=/run/bytecode"]
            pytest_again = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "@/run/control/selection"]
            self.guest = Guest(
                ["env", "-C", str(REPOSITORY), *settings, "bash", "tests/lab/topology.sh", *pytest_again],
                root=Path(root),
                shares=[REPOSITORY, Path(sys.prefix), wheels],
                files={"selection": "\n".join(item.nodeid for item in items), "reports": ""},
            )
            self.records = self._records()

        def _records(self) -> Iterator[dict[str, Any]]:
            rest = b""
            for chunk in follow(self.guest.control / "reports", self.guest, PATIENCE):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from map(json.loads, lines)
            raise GuestError(f"the guest ended too early\n{self.guest.last_words()}")

        def reports(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
            """The reports of the next test, which has to be this one."""
            for record in self.records:
                if "finished" in record:
                    return
                report = item.config.hook.pytest_report_from_serializable(config=item.config, data=record["report"])
                if report.nodeid != item.nodeid:
                    raise GuestError(f"the guest ran {report.nodeid} where {item.nodeid} was expected")
                yield report

    REPLAY = pytest.StashKey[Replay]()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
        """Report a test of the guest's."""
        if not runs_in_guest(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        stash = item.session.stash
        try:
            if REPLAY not in stash:
                rest = item.session.items[item.session.items.index(item) :]
                stash[REPLAY] = Replay([each for each in rest if runs_in_guest(each)])
            for report in stash[REPLAY].reports(item):
                item.ihook.pytest_runtest_logreport(report=report)
        except GuestError as error:
            stash[REPLAY].guest.stop()
            del stash[REPLAY]
            lost = pytest.TestReport(item.nodeid, item.location, {}, "failed", str(error), "call")
            item.ihook.pytest_runtest_logreport(report=lost)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_sessionfinish(session: pytest.Session) -> None:
        """Leave no guest behind."""
        if REPLAY in session.stash:
            session.stash[REPLAY].guest.stop()
