"""
A power cut in the middle of a run: the next boot comes up as if that had never begun, and nobody was let in meanwhile.

A sample, on a server that systemd boots; tests/power has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..lab.power import Cut, Server, after_cuts

CUTS = (
    Cut("one family is saved for the boot", r"os.rename .*, 'rules.v6'"),
    Cut("while the tunnel comes up", r"Popen \['ifup', '--force'", after=0.7),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of IPv4 only, which has never booted."""
    found = Server(tmp_path)
    yield found
    found.cut()


def test_after_a_power_cut_the_host_comes_up_as_before_the_run(server: Server) -> None:
    rows = after_cuts(server, CUTS)
    assert [(row.changed, row.let_in) for row in rows] == [({}, 0)] * len(CUTS)
    assert all(row.tried > 20 for row in rows)
