"""
Power cuts at many steps of a run, and what the restorer outlives: on request, since each cut takes half a minute.

``bash tests/power/run.sh`` runs them and prints the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..lab.power import INSIDE, REPOSITORY, Cut, Server, after_cuts

CUTS = (
    Cut("armed", r"os.rename .*/armed'"),
    Cut("the first entry of the journal is written", r"os.rename .*/entries/0001"),
    Cut("before the file of parameters", r"os.rename .*'local.conf'"),
    Cut("before the parameter is set", r"open \('/proc/sys/|Popen .*sysctl"),
    Cut("before the rules are live", r"Popen .*restore.*(?<!test)'\]"),
    Cut("while the rules become live", r"Popen .*restore", after=0.3),
    Cut("before the rules are saved", r"os.rename .*, 'rules.v4'"),
    Cut("one family is saved", r"os.rename .*, 'rules.v6'"),
    Cut("both are saved", r"os.rename .*/entries/0003"),
    Cut("before the tunnel's file", r"os.rename .*, '(he-ipv6|interfaces)'"),
    Cut("before ifup", r"Popen \['ifup', '--force'"),
    Cut("while the tunnel comes up", r"Popen \['ifup', '--force'", after=0.7),
    Cut("later in it", r"Popen \['ifup', '--force'", after=2.0),
    Cut("before the commit", r"os.rename .*/committed'"),
    Cut("after the commit", r"Popen .*restorer', 'clean'", new=True),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of IPv4 only, which has never booted."""
    found = Server(tmp_path)
    yield found
    found.cut()


@pytest.mark.parametrize("before", ["IPv4 only", "both families"])
def test_after_a_power_cut_the_host_comes_up_old_or_new(server: Server, before: str) -> None:
    if before == "both families":  # the tunnel and the firewall of an earlier run are changed
        server.boot(f"{INSIDE} run LAB_BEFORE=1", "sync")
        assert server.await_file("exit").strip() == "0", server.output
        server.cut()
    rows = after_cuts(server, CUTS)
    ends = {row.cut.where: row.ends for row in rows}
    assert ends == {cut.where: "new" if cut.new else "old" for cut in CUTS}
    assert {row.cut.where: row.let_in for row in rows if not row.cut.new and row.let_in} == {}


def test_the_restorer_outlives_what_systemd_and_people_do(server: Server) -> None:
    server.boot(f"{Path(INSIDE.split()[0])} {REPOSITORY}/tests/lab/survive.py")
    status = server.await_file("exit")
    print(server.output)
    assert status.strip() == "0"
