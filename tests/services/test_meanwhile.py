"""An administrator with an editor, while a service is being changed: nothing that they write is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import daemons

CONF = Path("/etc/dovecot/dovecot.conf")
CHECKER = Path("/usr/local/bin/doveconf")
COUNT = Path("/run/doveconf.count")
LINE = "# mind the gap"


@pytest.fixture(autouse=True)
def _dovecot(ipv4_only: Any) -> Iterator[None]:
    """Dovecot serves IPv4 only."""
    ipv4_only("dovecot")
    yield


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[Callable[[int, str], None]]:
    """While Dovecot's checker runs for the n-th time, somebody writes a line into its file."""

    def when(number: int, line: str = LINE) -> None:
        COUNT.write_text("")
        CHECKER.write_text(
            f"#!/bin/sh\necho >>{COUNT}\n"
            f'[ "$(wc -l <{COUNT})" != {number} ] || echo "{line}" >>{CONF}\n'
            'exec /usr/bin/doveconf "$@"\n'
        )
        os.chmod(CHECKER, 0o755)

    yield when
    for path in (CHECKER, COUNT):
        path.unlink(missing_ok=True)


def test_an_edit_between_the_plan_and_the_change(converge: Any, edited: Any) -> None:
    edited(1)
    before = CONF.read_text()
    done = converge("dovecot", ports=[143], timeout=10)
    assert (done["result"], done["changes"]) == (False, {})
    assert done["comment"].splitlines() == [
        f"{CONF} has been changed by somebody else meanwhile: that was left as it is",
        "Everything else was put back as it was.",
    ]
    assert CONF.read_text() == f"{before}{LINE}\n"
    assert converge("dovecot", ports=[143], timeout=10)["result"] is True
    assert LINE in CONF.read_text() and daemons.families(143) == ["ipv4", "ipv6"]


def test_an_edit_after_the_change(converge: Any, edited: Any) -> None:
    edited(2)
    done = converge("dovecot", ports=[143], timeout=10)
    assert done["result"] is True, done
    assert LINE in CONF.read_text() and "[::]" in CONF.read_text()
    assert converge("dovecot", ports=[143])["changes"] == {}


def test_an_edit_before_the_undo(converge: Any, edited: Any) -> None:
    """It is the reason that the new configuration is refused: the file is theirs now, and the rest is put back."""
    edited(2, "imap_nonsense = yes")
    done = converge("dovecot", ports=[143], timeout=10)
    assert done["result"] is False
    assert done["comment"].splitlines()[0].startswith("the new configuration is refused: 'doveconf -n' ended with")
    assert f"{CONF} has been changed by somebody else meanwhile: that was left as it is" in done["comment"].splitlines()
    assert "imap_nonsense = yes" in CONF.read_text() and "[::]" in CONF.read_text()
    assert daemons.families(143) == ["ipv4"] and not list(CONF.parent.glob(".*dualstack*"))
